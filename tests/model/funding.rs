//! Funding and the derived events: cap-reached, tokens-depleted, switched-to-postpay, monthly-
//! invoice (`fold.md` 6.3, 7, 9).

use super::amount::{
    MICRO, divide_half_up, format_decimal, format_money, format_tokens, parse_decimal, price,
};
use super::book::{Book, Card, Meter};
use super::calendar::{Month, format_instant};
use super::fold::Scene;
use super::json::{Value, number, object, or_null, string};
use super::output::{amounts, line_members, usage_map};
use super::team::{Funding, Line, LineKey, Team, Tier};

/// A derived event, and what orders it among the others.
pub struct Derived {
    pub time: i64,
    pub team: String,
    pub id: String,
    pub kind: &'static str,
    data: Value,
}

impl Derived {
    /// The CloudEvent (`interfaces.md` 2).
    pub fn event(&self) -> Value {
        object([
            ("specversion", string("1.0")),
            ("id", string(&self.id)),
            ("source", string("meterfold")),
            ("type", string(format!("meterfold.{}.v1", self.kind))),
            ("subject", string(&self.team)),
            ("time", string(format_instant(self.time))),
            ("datacontenttype", string("application/json")),
            ("data", self.data.clone()),
        ])
    }
}

/// What funding is evaluated after.
pub enum Trigger {
    /// Usage that was rated: its meter, and the parts of its charge.
    Usage {
        meter: String,
        parts: Line,
    },
    /// A negative adjustment, with what no lot paid.
    Adjusted {
        uncharged: i128,
    },
    StandingChanged,
    /// Any other event, usage that was not rated included.
    Event,
    /// Lots expired, with what those of purpose `api` still held.
    Expiry {
        expired: i128,
    },
    /// A downgrade or an effect.
    Timer,
}

/// Evaluates funding and derives the events of its change (`fold.md` 6.3).
pub fn evaluate(
    book: &Book,
    team_id: &str,
    team: &mut Team,
    clock: i64,
    trigger: &Trigger,
    cause: &Value,
) -> Vec<Derived> {
    let tier = team.tier_at(book, clock);
    let is_funded = matches!(tier, Tier::Paid | Tier::Legacy);
    let balance = team.balance(clock);
    let usable = team.postpay_usable(clock);
    let before = team.funding;
    team.funding = match is_funded {
        false => Funding::None,
        true if balance > 0 => Funding::Prepaid,
        true if usable => Funding::Postpay,
        true => Funding::Suspended,
    };
    let derived = |team: &Team, kind: &'static str, data: Value| Derived {
        time: clock,
        team: team_id.to_string(),
        id: format!("{kind}/{team_id}/{}", team.episode),
        kind,
        data,
    };
    let mut all = Vec::new();

    if team.funding == Funding::Prepaid && before != Funding::Prepaid {
        team.episode += 1;
        team.last_funded = Funding::Prepaid;
    }
    let is_depleted = before == Funding::Prepaid && is_funded && balance == 0;
    if is_depleted {
        let (reason, expired, uncharged) = match trigger {
            Trigger::Usage { parts, .. } => ("consumed", 0, parts.uncharged),
            Trigger::Adjusted { uncharged } => ("adjusted", 0, *uncharged),
            Trigger::Expiry { expired } => ("expired", *expired, 0),
            Trigger::StandingChanged | Trigger::Event | Trigger::Timer => {
                panic!("{team_id}: the balance is gone, but nothing drew from it")
            }
        };
        let data = object([
            ("cause", cause.clone()),
            ("episode", number(team.episode)),
            ("reason", string(reason)),
            ("expired_tokens", string(format_tokens(expired))),
            ("uncharged_tokens", string(format_tokens(uncharged))),
            ("postpay_usable", Value::Bool(usable)),
        ]);
        all.push(derived(team, "tokens-depleted", data));
    }
    if team.funding == Funding::Postpay && before != Funding::Postpay {
        if team.last_funded == Funding::Prepaid {
            let is_timer = matches!(trigger, Trigger::Expiry { .. } | Trigger::Timer);
            let reason = if is_depleted {
                "depleted"
            } else if matches!(trigger, Trigger::StandingChanged)
                || (is_timer && team.standing_bound_at(clock))
            {
                "standing_restored"
            } else {
                "enrolled"
            };
            let split = match trigger {
                Trigger::Usage { meter, parts } => object([
                    ("meter", string(meter)),
                    ("charge", string(format_tokens(parts.charge))),
                    ("prepaid", string(format_tokens(parts.prepaid))),
                    ("postpaid", string(format_tokens(parts.postpaid))),
                ]),
                _ => Value::Null,
            };
            let data = object([
                ("cause", cause.clone()),
                ("episode", number(team.episode)),
                ("reason", string(reason)),
                ("split", split),
            ]);
            all.push(derived(team, "switched-to-postpay", data));
        }
        team.last_funded = Funding::Postpay;
    }
    all
}

/// The event of a cap that was reached (`fold.md` 5, row 7).
pub fn cap_reached(
    scene: &Scene<'_>,
    month: Month,
    scope: &str,
    meter: &Meter,
    cap: i128,
    used: i128,
) -> Derived {
    Derived {
        time: scene.clock,
        team: scene.team_id.to_string(),
        id: format!("cap-reached/{}/{}/{scope}", scene.team_id, month.text()),
        kind: "cap-reached",
        data: object([
            ("cause", scene.cause()),
            ("month", string(month.text())),
            ("api", string(&meter.api)),
            ("meter", string(&meter.id)),
            ("cap", number(cap)),
            ("used", number(used)),
            ("overshoot", number(used - cap)),
            ("resumes_at", string(format_instant(month.end()))),
        ]),
    }
}

/// The invoice of a month at its close instant (`fold.md` 7).
pub fn monthly_invoice(book: &Book, team_id: &str, team: &Team, month: Month) -> Derived {
    let closes_at = book.close_instant(month);
    let currency = team.currency.as_deref().unwrap_or("USD");
    let digits = book.minor_digits(currency);
    let state = team.months.get(&month).cloned().unwrap_or_default();
    let mut subtotal = 0;
    let mut priced = |key: &LineKey, line: &Line| {
        let card = book
            .cards
            .iter()
            .find(|card| card.id == key.1)
            .expect("lines name cards of the book");
        let unit_price = card.price_per_token.get(currency).copied();
        let amount = price(line.postpaid, unit_price.unwrap_or(0), digits);
        subtotal += amount;
        let mut members = line_members(key, line);
        let unit_price =
            unit_price.map(|unit_price| string(format_decimal(unit_price, digits as usize)));
        members.push(("unit_price".to_string(), or_null(unit_price)));
        members.push(("amount".to_string(), string(format_money(amount, digits))));
        members
    };
    let lines = amounts(&state.lines, |key, line| priced(key, line));
    let adjustments = amounts(&state.adjustments, |(usage_month, key), line| {
        let mut members = vec![("usage_month".to_string(), string(usage_month.text()))];
        members.extend(priced(key, line));
        members
    });

    let mut members = vec![
        ("cause".to_string(), Value::Null),
        ("month".to_string(), string(month.text())),
        ("currency".to_string(), string(currency)),
        ("lines".to_string(), lines),
        ("adjustments".to_string(), adjustments),
        (
            "subtotal".to_string(),
            string(format_money(subtotal, digits)),
        ),
    ];
    let mut total = subtotal;
    if let Some(rate) = tax_rate(book.card_of_month_end(month), team) {
        let rate_millionths = parse_decimal(rate).expect("the book's rates are decimals");
        let tax = divide_half_up(subtotal * rate_millionths, MICRO);
        total += tax;
        let tax = object([
            ("rate", string(rate)),
            ("amount", string(format_money(tax, digits))),
        ]);
        members.push(("tax".to_string(), tax));
    }
    members.extend([
        ("total".to_string(), string(format_money(total, digits))),
        ("free_usage".to_string(), usage_map(&state.free_used)),
        (
            "balance".to_string(),
            string(format_tokens(team.balance(closes_at))),
        ),
        ("debt".to_string(), string(format_tokens(team.debt))),
        (
            "carry_over".to_string(),
            usage_map(&team.carry_over(book, closes_at)),
        ),
    ]);
    Derived {
        time: closes_at,
        team: team_id.to_string(),
        id: format!("monthly-invoice/{team_id}/{}", month.text()),
        kind: "monthly-invoice",
        data: Value::Object(members),
    }
}

fn tax_rate<'a>(card: &'a Card, team: &Team) -> Option<&'a str> {
    team.country
        .as_ref()
        .and_then(|country| card.tax_rates.get(country))
        .map(String::as_str)
}
