//! Writes events as datums of our own schemas: the fields in schema order, defaults written out.
//!
//! Nothing is checked: every [`Event`] holds what may be written.

use super::catalog;
use crate::billing::event::{Body, Event, Offering, Usage};
use crate::billing::time::Instant;

/// Appends `event` as a datum of `schemas/input/<type>.v1.avsc`. `recorded` is written as
/// `recordedtime`.
pub fn encode(event: &Event<&str>, recorded: Option<Instant>, out: &mut Vec<u8>) {
    put_text(event.id, out);
    put_text(event.source, out);
    match event.body {
        Body::ClockTick => put_optional(None::<&str>, put_text, out),
        _ => put_text(event.team, out),
    }
    put_instant(event.time, out);
    put_optional(recorded, put_instant, out);
    put_body(&event.body, out);
}

/// Appends `event` as a datum of [`input_union_schema`](super::input_union_schema).
pub fn encode_branch(event: &Event<&str>, recorded: Option<Instant>, out: &mut Vec<u8>) {
    let branch = catalog::branch_of_type(event.body.type_name());
    put_length(branch.expect("every body is of a type in the catalog"), out);
    encode(event, recorded, out);
}

/// Appends a `long`.
pub fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends `bytes`, or a `string` of these bytes.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn put_body(body: &Body<&str>, out: &mut Vec<u8>) {
    match body {
        Body::ApiCall(usage) => put_usage(
            usage,
            |quantity, out| put_optional(Some(quantity), put_long, out),
            out,
        ),
        Body::UsageCorrected { usage, corrects } => {
            put_usage(usage, put_long, out);
            put_optional(*corrects, put_text, out);
        }
        Body::OfferingEnrolled(offering) => put_offering(offering, out),
        Body::PostpayCancelled | Body::DowngradeRequested | Body::ClockTick => {}
        Body::StandingChanged { good } => put_boolean(*good, out),
        Body::HubCreated { hub_id } => put_text(hub_id, out),
        Body::AppMigrated { app_id, hub_id } => {
            put_text(app_id, out);
            put_optional(*hub_id, put_text, out);
        }
        Body::TokensPurchased {
            tokens,
            amount,
            currency,
            expires_at,
        } => {
            put_count(*tokens, out);
            put_optional(*amount, put_printed, out);
            put_optional(*currency, put_text, out);
            put_optional(*expires_at, put_instant, out);
        }
        Body::TokensAdjusted {
            delta,
            reason,
            purpose,
        } => {
            put_printed(*delta, out);
            put_optional(*reason, put_text, out);
            put_optional(purpose.map(|purpose| purpose.name()), put_text, out);
        }
        Body::TrialStarted { credits, ends_at } => {
            put_count(*credits, out);
            put_instant(*ends_at, out);
        }
        Body::CreditsPurchased {
            channel,
            pack,
            packs,
            account_kind,
            amount,
        } => {
            put_text(channel, out);
            put_count(*pack, out);
            put_count(*packs, out);
            put_text(account_kind.name(), out);
            put_optional(*amount, put_printed, out);
        }
        Body::CreditsTransferred { to, credits } => {
            put_text(to, out);
            put_count(*credits, out);
        }
    }
}

fn put_usage(usage: &Usage<&str>, put_quantity: impl Fn(i64, &mut Vec<u8>), out: &mut Vec<u8>) {
    put_text(usage.app_id, out);
    for text in [
        usage.api,
        usage.method,
        usage.path,
        usage.engine,
        usage.source_format,
    ] {
        put_optional(text, put_text, out);
    }
    put_quantity(usage.quantity, out);
    put_optional(Some(usage.status.name()), put_text, out);
    put_optional(usage.http_status.map(i64::from), put_long, out);
}

fn put_offering(offering: &Offering<&str>, out: &mut Vec<u8>) {
    let (name, country, payment_method, good_standing, currency) = match *offering {
        Offering::Free => ("free", None, None, None, None),
        Offering::Prepay => ("prepay", None, None, None, None),
        Offering::Postpay {
            country,
            payment_method,
            good_standing,
            currency,
        } => (
            "postpay",
            Some(country),
            Some(payment_method),
            Some(good_standing),
            currency,
        ),
    };
    put_text(name, out);
    put_optional(country, put_text, out);
    put_optional(payment_method, put_text, out);
    put_optional(good_standing, put_boolean, out);
    put_optional(currency, put_text, out);
}

/// All optional fields of our schemas are a union of null and one type.
fn put_optional<T>(value: Option<T>, put: impl Fn(T, &mut Vec<u8>), out: &mut Vec<u8>) {
    match value {
        None => put_long(0, out),
        Some(value) => {
            put_long(1, out);
            put(value, out);
        }
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_bytes(text.as_bytes(), out);
}

fn put_printed(value: impl ToString, out: &mut Vec<u8>) {
    put_text(&value.to_string(), out);
}

fn put_instant(instant: Instant, out: &mut Vec<u8>) {
    put_long(instant.millis(), out);
}

fn put_boolean(boolean: bool, out: &mut Vec<u8>) {
    out.push(u8::from(boolean));
}

/// Counts are at most 10^15.
fn put_count(count: u64, out: &mut Vec<u8>) {
    put_long(count as i64, out);
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    put_long(length as i64, out);
}
