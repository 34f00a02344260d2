//! Trace lines, account lines and their parts (`interfaces.md` 3).

use std::collections::BTreeMap;

use super::amount::format_tokens;
use super::book::Book;
use super::calendar::{Month, format_instant};
use super::event::Reading;
use super::json::{Value, number, object, or_null, string};
use super::team::{Funding, Line, LineKey, Lot, LotKind, MonthState, Team, Tier};

/// What a trace line shows besides the envelope; absent is null.
pub struct AfterEvent {
    pub disposition: &'static str,
    pub reason: Option<&'static str>,
    pub balance: Option<i128>,
    pub debt: Option<i128>,
    pub episode: Option<u64>,
    pub usage: Option<UsageTrace>,
    pub derived: Vec<String>,
}

impl AfterEvent {
    pub fn of(disposition: &'static str) -> AfterEvent {
        AfterEvent {
            disposition,
            reason: None,
            balance: None,
            debt: None,
            episode: None,
            usage: None,
            derived: Vec::new(),
        }
    }
}

/// What a trace line shows of usage.
pub struct UsageTrace {
    pub meter: Option<String>,
    pub rate_card: String,
    pub quantity: i128,
    pub month: Month,
    pub free: Option<i128>,
    /// When 5.1, or the Paid or Legacy part of 5.2, ran.
    pub booked: Option<Booked>,
    pub while_suspended: bool,
}

pub struct Booked {
    pub month: Month,
    pub parts: Line,
}

pub fn trace_line(input: usize, line: u64, reading: &Reading, after: &AfterEvent) -> Value {
    let text = |text: Option<&str>| or_null(text.map(string));
    let tokens = |micro: Option<i128>| or_null(micro.map(|micro| string(format_tokens(micro))));
    let usage = after.usage.as_ref();
    let booked = usage.and_then(|usage| usage.booked.as_ref());
    let parts = booked.map(|booked| booked.parts);
    object([
        ("input", number(input)),
        ("line", number(line)),
        ("source", text(reading.source.as_deref())),
        ("id", text(reading.id.as_deref())),
        ("team", text(reading.team.as_deref())),
        ("disposition", string(after.disposition)),
        ("reason", text(after.reason)),
        (
            "meter",
            text(usage.and_then(|usage| usage.meter.as_deref())),
        ),
        (
            "rate_card",
            text(usage.map(|usage| usage.rate_card.as_str())),
        ),
        (
            "quantity",
            or_null(usage.map(|usage| number(usage.quantity))),
        ),
        (
            "month",
            or_null(usage.map(|usage| string(usage.month.text()))),
        ),
        (
            "booked_to",
            or_null(booked.map(|booked| string(booked.month.text()))),
        ),
        ("charge", tokens(parts.map(|parts| parts.charge))),
        ("prepaid", tokens(parts.map(|parts| parts.prepaid))),
        ("postpaid", tokens(parts.map(|parts| parts.postpaid))),
        ("uncharged", tokens(parts.map(|parts| parts.uncharged))),
        (
            "free",
            or_null(usage.and_then(|usage| usage.free).map(number)),
        ),
        (
            "while_suspended",
            Value::Bool(usage.is_some_and(|usage| usage.while_suspended)),
        ),
        ("balance", tokens(after.balance)),
        ("debt", tokens(after.debt)),
        ("episode", or_null(after.episode.map(number))),
        (
            "derived",
            Value::Array(after.derived.iter().map(string).collect()),
        ),
    ])
}

/// A team at the final clock.
pub fn account_line(book: &Book, clock: i64, team_id: &str, team: &Team) -> Value {
    let apps = team
        .apps
        .iter()
        .map(|(app, migrated_at)| (app.clone(), string(format_instant(*migrated_at))));
    let lots = [false, true]
        .into_iter()
        .flat_map(|subscription| team.live_lots(clock, subscription));
    let lots = lots
        .map(|index| &team.lots[index])
        .filter(|lot| lot.remaining > 0)
        .map(lot_members);
    let months = team.months.iter().filter(|(_, state)| state.is_shown());
    let months = months.map(|(month, state)| month_members(book, clock, *month, state));
    let dispositions = team
        .dispositions
        .iter()
        .map(|(disposition, count)| (disposition.clone(), number(count)));
    object([
        ("team", string(team_id)),
        ("tier", string(tier_name(team.tier_at(book, clock)))),
        ("funding", string(funding_name(team.funding))),
        ("balance", string(format_tokens(team.balance(clock)))),
        ("debt", string(format_tokens(team.debt))),
        ("episode", number(team.episode)),
        ("currency", or_null(team.currency.as_ref().map(string))),
        ("country", or_null(team.country.as_ref().map(string))),
        ("hub", or_null(team.hub.as_ref().map(string))),
        ("apps", Value::Object(apps.collect())),
        ("lots", Value::Array(lots.collect())),
        (
            "postpay",
            object([
                ("on", Value::Bool(team.postpay_on(clock))),
                ("usable", Value::Bool(team.postpay_usable(clock))),
            ]),
        ),
        (
            "pending_downgrade",
            or_null(
                team.pending_downgrade
                    .map(|instant| string(format_instant(instant))),
            ),
        ),
        ("carry_over", usage_map(&team.carry_over(book, clock))),
        ("months", Value::Array(months.collect())),
        ("dispositions", Value::Object(dispositions.collect())),
    ])
}

fn lot_members(lot: &Lot) -> Value {
    object([
        ("id", string(&lot.id)),
        (
            "kind",
            string(if lot.kind == LotKind::Credit {
                "credit"
            } else {
                "token"
            }),
        ),
        (
            "purpose",
            string(if lot.subscription {
                "subscription"
            } else {
                "api"
            }),
        ),
        ("purchased_at", string(format_instant(lot.purchased_at))),
        ("expires_at", string(format_instant(lot.expires_at))),
        ("size", string(format_tokens(lot.size))),
        ("remaining", string(format_tokens(lot.remaining))),
    ])
}

fn month_members(book: &Book, clock: i64, month: Month, state: &MonthState) -> Value {
    object([
        ("month", string(month.text())),
        ("closed", Value::Bool(clock >= book.close_instant(month))),
        ("free_used", usage_map(&state.free_used)),
        ("over_cap", usage_map(&state.over_cap)),
        (
            "capped",
            Value::Array(state.capped.iter().map(string).collect()),
        ),
        ("lines", amounts(&state.lines, line_members)),
        (
            "adjustments",
            amounts(&state.adjustments, |(usage_month, key), line| {
                let mut members = vec![("usage_month".to_string(), string(usage_month.text()))];
                members.extend(line_members(key, line));
                members
            }),
        ),
    ])
}

/// The lines or adjustments that have something in them, in order.
pub fn amounts<K>(
    lines: &BTreeMap<K, Line>,
    mut members: impl FnMut(&K, &Line) -> Vec<(String, Value)>,
) -> Value {
    let shown = lines.iter().filter(|(_, line)| !line.is_zero());
    Value::Array(
        shown
            .map(|(key, line)| Value::Object(members(key, line)))
            .collect(),
    )
}

/// What invoice lines and account lines have in common.
pub fn line_members((meter, card): &LineKey, line: &Line) -> Vec<(String, Value)> {
    let members = [
        ("meter", string(meter)),
        ("rate_card", string(card)),
        ("usage", number(line.usage)),
        ("tokens", string(format_tokens(line.charge))),
        ("prepaid", string(format_tokens(line.prepaid))),
        ("postpaid", string(format_tokens(line.postpaid))),
        ("uncharged", string(format_tokens(line.uncharged))),
    ];
    members
        .map(|(name, value)| (name.to_string(), value))
        .into()
}

/// Meter to usage, without zero entries.
pub fn usage_map(usage: &BTreeMap<String, i128>) -> Value {
    let shown = usage.iter().filter(|(_, usage)| **usage != 0);
    Value::Object(
        shown
            .map(|(meter, usage)| (meter.clone(), number(usage)))
            .collect(),
    )
}

fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Unenrolled => "unenrolled",
        Tier::Free => "free",
        Tier::Paid => "paid",
        Tier::Legacy => "legacy",
    }
}

fn funding_name(funding: Funding) -> &'static str {
    match funding {
        Funding::None => "none",
        Funding::Prepaid => "prepaid",
        Funding::Postpay => "postpay",
        Funding::Suspended => "suspended",
    }
}

/// RFC 4648, padded.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place <= group.len() {
                text.push(char::from(
                    ALPHABET[(bits >> (18 - 6 * place)) as usize & 63],
                ));
            } else {
                text.push('=');
            }
        }
    }
    text
}
