//! Reads one record into an event, or names the first thing wrong with it (`interfaces.md` 1).
//!
//! Nothing here depends on the rate book, the clock or what was read before.

use super::amount::{MAGNITUDE_MAX, parse_decimal};
use super::calendar::parse_instant;
use super::json::{self, Value};

/// A longer record is malformed (`interfaces.md` 1).
pub const RECORD_BYTES_MAX: usize = 1 << 20;

const CLOCK_TICK: &str = "meterfold.clock-tick.v1";

/// Everything that could be read of a record, malformed or not.
pub struct Reading {
    pub source: Option<String>,
    pub id: Option<String>,
    /// The subject; always absent on a record whose type reads clock-tick.
    pub team: Option<String>,
    pub is_tick: bool,
    /// When it was recorded, if that much could be read.
    pub recorded: Option<i64>,
    pub event: Result<Event, Fault>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub reason: &'static str,
    pub detail: String,
}

#[derive(Clone, Debug)]
pub struct Event {
    pub source: String,
    pub id: String,
    /// None on a clock-tick only.
    pub team: Option<String>,
    pub recorded: i64,
    pub content: Content,
}

/// What the content digest covers besides the subject (`fold.md` 4): two events are the same
/// content when these are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    pub time: i64,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    ApiCall(Usage),
    UsageCorrected {
        usage: Usage,
        corrects: Option<String>,
    },
    Enrolled(Offering),
    PostpayCancelled,
    StandingChanged {
        good: bool,
    },
    DowngradeRequested,
    HubCreated {
        hub_id: String,
    },
    AppMigrated {
        app_id: String,
        hub_id: Option<String>,
    },
    TokensPurchased {
        tokens: i64,
        amount: Option<i128>,
        currency: Option<String>,
        expires_at: Option<i64>,
    },
    TokensAdjusted {
        delta: i128,
        reason: Option<String>,
        purpose: Option<String>,
    },
    TrialStarted {
        credits: i64,
        ends_at: i64,
    },
    CreditsPurchased {
        channel: String,
        pack: i64,
        packs: i64,
        account_kind: String,
        amount: Option<i128>,
    },
    CreditsTransferred {
        to: String,
        credits: i64,
    },
    ClockTick,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Usage {
    pub app_id: String,
    pub api: Option<String>,
    pub method: Option<String>,
    pub path: Option<String>,
    pub engine: Option<String>,
    pub source_format: Option<String>,
    pub quantity: i64,
    pub status: String,
    pub http_status: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Offering {
    Free,
    Prepay,
    Postpay {
        country: String,
        payment_method: String,
        good_standing: bool,
        currency: Option<String>,
    },
}

impl Body {
    /// The usage of the two usage types.
    pub fn usage(&self) -> Option<&Usage> {
        match self {
            Body::ApiCall(usage) | Body::UsageCorrected { usage, .. } => Some(usage),
            _ => None,
        }
    }
}

/// Reads a record: a line without its end.
pub fn read(record: &[u8]) -> Reading {
    let value = if record.len() > RECORD_BYTES_MAX {
        None
    } else {
        json::parse(record)
    };
    let Some(value) = value.filter(|value| matches!(value, Value::Object(_))) else {
        return Reading {
            source: None,
            id: None,
            team: None,
            is_tick: false,
            recorded: None,
            event: Err(malformed("record")),
        };
    };
    let readable = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_string);
    let is_tick = readable("type").as_deref() == Some(CLOCK_TICK);
    let instant = |name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .and_then(parse_instant)
    };
    // A `recordedtime` that is present but unreadable is malformed; `time` does not stand in for
    // it.
    let recorded = if value.get("recordedtime").is_some() {
        instant("recordedtime")
    } else {
        instant("time")
    };
    Reading {
        source: readable("source"),
        id: readable("id"),
        team: if is_tick { None } else { readable("subject") },
        is_tick,
        recorded,
        event: read_event(&value),
    }
}

/// The checks in their order; the first fault is reported.
fn read_event(record: &Value) -> Result<Event, Fault> {
    let envelope = Fields {
        object: record,
        prefix: "",
    };
    if envelope.required_string("specversion")? != "1.0" {
        return Err(malformed("specversion"));
    }
    let id = envelope.required_string("id")?;
    let source = envelope.required_string("source")?;
    let kind = envelope.required_string("type")?;
    if !TYPES.contains(&kind.as_str()) {
        return Err(Fault {
            reason: "unknown_type",
            detail: "type".to_string(),
        });
    }
    let team = if kind == CLOCK_TICK {
        None
    } else {
        let subject = envelope.required_string("subject")?;
        if subject.chars().count() > 128 {
            return Err(malformed("subject"));
        }
        Some(subject)
    };
    let time = envelope.required_instant("time")?;
    let recorded = envelope.optional_instant("recordedtime")?.unwrap_or(time);
    let empty = Value::Object(Vec::new());
    let data = match record.get("data") {
        Some(data @ Value::Object(_)) => data,
        Some(_) => return Err(malformed("data")),
        None if TYPES_WITHOUT_DATA.contains(&kind.as_str()) => &empty,
        None => return Err(malformed("data")),
    };
    let body = read_body(
        &kind,
        &Fields {
            object: data,
            prefix: "data.",
        },
    )?;
    Ok(Event {
        source,
        id,
        team,
        recorded,
        content: Content { time, body },
    })
}

const TYPES: [&str; 14] = [
    "meterfold.api-call.v1",
    "meterfold.usage-corrected.v1",
    "meterfold.offering-enrolled.v1",
    "meterfold.postpay-cancelled.v1",
    "meterfold.standing-changed.v1",
    "meterfold.downgrade-requested.v1",
    "meterfold.hub-created.v1",
    "meterfold.app-migrated.v1",
    "meterfold.tokens-purchased.v1",
    "meterfold.tokens-adjusted.v1",
    "meterfold.trial-started.v1",
    "meterfold.credits-purchased.v1",
    "meterfold.credits-transferred.v1",
    CLOCK_TICK,
];

/// Types of which no member is required.
const TYPES_WITHOUT_DATA: [&str; 3] = [
    "meterfold.postpay-cancelled.v1",
    "meterfold.downgrade-requested.v1",
    CLOCK_TICK,
];

/// The members of `data` in the order of the table; struct fields are read in the order in which
/// they are written.
fn read_body(kind: &str, data: &Fields<'_>) -> Result<Body, Fault> {
    Ok(match kind {
        "meterfold.api-call.v1" => Body::ApiCall(read_usage(data, false)?),
        "meterfold.usage-corrected.v1" => Body::UsageCorrected {
            usage: read_usage(data, true)?,
            corrects: data.optional_string("corrects")?,
        },
        "meterfold.offering-enrolled.v1" => Body::Enrolled(read_offering(data)?),
        "meterfold.postpay-cancelled.v1" => Body::PostpayCancelled,
        "meterfold.standing-changed.v1" => Body::StandingChanged {
            good: data.required_bool("good")?,
        },
        "meterfold.downgrade-requested.v1" => Body::DowngradeRequested,
        "meterfold.hub-created.v1" => Body::HubCreated {
            hub_id: data.required_string("hub_id")?,
        },
        "meterfold.app-migrated.v1" => Body::AppMigrated {
            app_id: data.required_string("app_id")?,
            hub_id: data.optional_string("hub_id")?,
        },
        "meterfold.tokens-purchased.v1" => Body::TokensPurchased {
            tokens: data.required_count("tokens")?,
            amount: data.optional_decimal("amount")?,
            currency: data.optional_string("currency")?,
            expires_at: data.optional_instant("expires_at")?,
        },
        "meterfold.tokens-adjusted.v1" => Body::TokensAdjusted {
            delta: data
                .optional_decimal("delta")?
                .ok_or_else(|| data.fault("delta"))?,
            reason: data.optional_string("reason")?,
            purpose: data.optional_choice("purpose", &["api", "subscription"])?,
        },
        "meterfold.trial-started.v1" => Body::TrialStarted {
            credits: data.required_count("credits")?,
            ends_at: data.required_instant("ends_at")?,
        },
        "meterfold.credits-purchased.v1" => Body::CreditsPurchased {
            channel: data.required_string("channel")?,
            pack: data.required_count("pack")?,
            packs: data.required_count("packs")?,
            account_kind: data
                .optional_choice(
                    "account_kind",
                    &["forge", "subscription", "maintenance", "enterprise"],
                )?
                .ok_or_else(|| data.fault("account_kind"))?,
            amount: data.optional_decimal("amount")?,
        },
        "meterfold.credits-transferred.v1" => Body::CreditsTransferred {
            to: data.required_string("to")?,
            credits: data.required_count("credits")?,
        },
        _ => Body::ClockTick,
    })
}

fn read_usage(data: &Fields<'_>, is_correction: bool) -> Result<Usage, Fault> {
    let app_id = data.required_string("app_id")?;
    let api = data.optional_string("api")?;
    let method = data.optional_string("method")?;
    let path = data.optional_string("path")?;
    let engine = data.optional_string("engine")?;
    let source_format = data.optional_string("source_format")?;
    let quantity = match data.optional_integer("quantity")? {
        None | Some(0) if is_correction => return Err(data.fault("quantity")),
        quantity => quantity.unwrap_or(1),
    };
    let statuses = [
        "success",
        "failed",
        "cancelled_before_start",
        "cancelled_after_start",
    ];
    let status = data
        .optional_choice("status", &statuses)?
        .unwrap_or("success".to_string());
    let http_status = data.optional_integer("http_status")?;
    if http_status.is_some_and(|code| !(100..=999).contains(&code)) {
        return Err(data.fault("http_status"));
    }
    Ok(Usage {
        app_id,
        api,
        method,
        path,
        engine,
        source_format,
        quantity,
        status,
        http_status,
    })
}

fn read_offering(data: &Fields<'_>) -> Result<Offering, Fault> {
    let offering = data.optional_choice("offering", &["free", "prepay", "postpay"])?;
    Ok(match offering.as_deref() {
        Some("free") => Offering::Free,
        Some("prepay") => Offering::Prepay,
        Some(_) => Offering::Postpay {
            country: data.required_string("country")?,
            payment_method: data.required_string("payment_method")?,
            good_standing: data.required_bool("good_standing")?,
            currency: data.optional_string("currency")?,
        },
        None => return Err(data.fault("offering")),
    })
}

fn malformed(detail: &str) -> Fault {
    Fault {
        reason: "malformed",
        detail: detail.to_string(),
    }
}

/// The members of the envelope or of `data`, with the prefix that a fault's name carries.
struct Fields<'a> {
    object: &'a Value,
    prefix: &'static str,
}

impl Fields<'_> {
    fn fault(&self, name: &str) -> Fault {
        malformed(&format!("{}{name}", self.prefix))
    }

    /// A member that is absent, or is read as something; anything else is a fault.
    fn optional<T>(
        &self,
        name: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        match self.object.get(name) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.fault(name)),
        }
    }

    fn optional_string(&self, name: &str) -> Result<Option<String>, Fault> {
        self.optional(name, |value| value.as_str().map(str::to_string))
    }

    fn required_string(&self, name: &str) -> Result<String, Fault> {
        let text = self.optional_string(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.fault(name))
    }

    fn optional_choice(&self, name: &str, choices: &[&str]) -> Result<Option<String>, Fault> {
        self.optional(name, |value| {
            value
                .as_str()
                .filter(|text| choices.contains(text))
                .map(str::to_string)
        })
    }

    fn optional_instant(&self, name: &str) -> Result<Option<i64>, Fault> {
        self.optional(name, |value| value.as_str().and_then(parse_instant))
    }

    fn required_instant(&self, name: &str) -> Result<i64, Fault> {
        self.optional_instant(name)?.ok_or_else(|| self.fault(name))
    }

    fn optional_integer(&self, name: &str) -> Result<Option<i64>, Fault> {
        self.optional(name, Value::as_integer)
    }

    /// Tokens, credits, a pack, packs: 1 to 10^15.
    fn required_count(&self, name: &str) -> Result<i64, Fault> {
        let count = self
            .optional_integer(name)?
            .filter(|count| (1..=MAGNITUDE_MAX).contains(&i128::from(*count)));
        count.ok_or_else(|| self.fault(name))
    }

    fn optional_decimal(&self, name: &str) -> Result<Option<i128>, Fault> {
        self.optional(name, |value| value.as_str().and_then(parse_decimal))
    }

    fn required_bool(&self, name: &str) -> Result<bool, Fault> {
        let flag = self.optional(name, |value| {
            if let Value::Bool(flag) = value {
                Some(*flag)
            } else {
                None
            }
        })?;
        flag.ok_or_else(|| self.fault(name))
    }
}
