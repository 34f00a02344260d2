//! Derived events: the facts that the fold emits, once each (`fold.md` 9).

use super::amount::Tokens;
use super::invoice::Invoice;
use super::rate_book::{ApiNo, MeterNo, ScopeNo};
use super::time::{Instant, Month};

/// A fact about one team. `time` is the timer's instant, or the clock when the causing event was
/// folded. What it was caused by tells only facts of the log, so a replay gives the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedEvent {
    pub time: Instant,
    /// None: a timer.
    pub cause: Option<Cause>,
    pub fact: Fact,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub source: Box<str>,
    pub id: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    CapReached(CapReached),
    TokensDepleted(TokensDepleted),
    SwitchedToPostpay(SwitchedToPostpay),
    MonthlyInvoice(Box<Invoice>),
}

/// Once per team, month and scope (B38).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapReached {
    pub month: Month,
    pub scope: ScopeNo,
    pub api: ApiNo,
    pub meter: MeterNo,
    pub cap: u64,
    pub used: u64,
}

/// Once per team and episode (B18, B46).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensDepleted {
    pub episode: u64,
    pub reason: DepletionReason,
    /// What expired at that instant, of purpose `api`.
    pub expired: Tokens,
    /// The part of the causing event's charge that nobody paid.
    pub uncharged: Tokens,
    pub postpay_usable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepletionReason {
    Consumed,
    Expired,
    Adjusted,
}

/// Once per team and episode (B46, B52).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchedToPostpay {
    pub episode: u64,
    pub reason: SwitchReason,
    /// How the charge that caused it was split; None unless usage did.
    pub split: Option<Split>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchReason {
    Depleted,
    StandingRestored,
    Enrolled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    pub meter: MeterNo,
    pub charge: Tokens,
    pub prepaid: Tokens,
    pub postpaid: Tokens,
}

/// The four kinds, by their public names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DerivedKind {
    CapReached,
    TokensDepleted,
    SwitchedToPostpay,
    MonthlyInvoice,
}

impl DerivedEvent {
    pub const fn kind(&self) -> DerivedKind {
        match self.fact {
            Fact::CapReached(_) => DerivedKind::CapReached,
            Fact::TokensDepleted(_) => DerivedKind::TokensDepleted,
            Fact::SwitchedToPostpay(_) => DerivedKind::SwitchedToPostpay,
            Fact::MonthlyInvoice(_) => DerivedKind::MonthlyInvoice,
        }
    }
}

impl DerivedKind {
    pub const ALL: [DerivedKind; 4] = [
        DerivedKind::CapReached,
        DerivedKind::TokensDepleted,
        DerivedKind::SwitchedToPostpay,
        DerivedKind::MonthlyInvoice,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            DerivedKind::CapReached => "cap-reached",
            DerivedKind::TokensDepleted => "tokens-depleted",
            DerivedKind::SwitchedToPostpay => "switched-to-postpay",
            DerivedKind::MonthlyInvoice => "monthly-invoice",
        }
    }
}

impl DepletionReason {
    pub const fn name(self) -> &'static str {
        match self {
            DepletionReason::Consumed => "consumed",
            DepletionReason::Expired => "expired",
            DepletionReason::Adjusted => "adjusted",
        }
    }
}

impl SwitchReason {
    pub const fn name(self) -> &'static str {
        match self {
            SwitchReason::Depleted => "depleted",
            SwitchReason::StandingRestored => "standing_restored",
            SwitchReason::Enrolled => "enrolled",
        }
    }
}
