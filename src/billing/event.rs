//! Input events: the facts that the fold accepts (`interfaces.md` 1).
//!
//! `S` is how text is held: `&str` while an event is folded, a [span](crate::wire::span::Span) while
//! it waits in a batch. Every value here is already checked for form and range; what is refused
//! for business reasons is the fold's matter.

use super::amount::Tokens;
use super::time::Instant;

/// One accepted input event. `team` is the CloudEvents subject; a clock tick has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<S> {
    pub source: S,
    pub id: S,
    pub team: S,
    /// When it happened (usage) or takes effect (accounts).
    pub time: Instant,
    pub body: Body<S>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<S> {
    ApiCall(Usage<S>),
    UsageCorrected {
        usage: Usage<S>,
        corrects: Option<S>,
    },
    OfferingEnrolled(Offering<S>),
    PostpayCancelled,
    StandingChanged {
        good: bool,
    },
    DowngradeRequested,
    HubCreated {
        hub_id: S,
    },
    AppMigrated {
        app_id: S,
        hub_id: Option<S>,
    },
    TokensPurchased {
        tokens: u64,
        amount: Option<Tokens>,
        currency: Option<S>,
        expires_at: Option<Instant>,
    },
    TokensAdjusted {
        delta: Tokens,
        reason: Option<S>,
        purpose: Option<Purpose>,
    },
    TrialStarted {
        credits: u64,
        ends_at: Instant,
    },
    CreditsPurchased {
        channel: S,
        pack: u64,
        packs: u64,
        account_kind: AccountKind,
        amount: Option<Tokens>,
    },
    CreditsTransferred {
        to: S,
        credits: u64,
    },
    ClockTick,
}

/// The usage facts of an API call, or of the correction of one. `quantity` is in the meter's measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage<S> {
    pub app_id: S,
    pub api: Option<S>,
    pub method: Option<S>,
    pub path: Option<S>,
    pub engine: Option<S>,
    pub source_format: Option<S>,
    pub quantity: i64,
    pub status: Status,
    pub http_status: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offering<S> {
    Free,
    Prepay,
    Postpay {
        country: S,
        payment_method: S,
        good_standing: bool,
        currency: Option<S>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Success,
    Failed,
    CancelledBeforeStart,
    CancelledAfterStart,
}

/// What a lot may pay for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Api,
    Subscription,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountKind {
    Forge,
    Subscription,
    Maintenance,
    Enterprise,
}

/// Why a record is not an event: a dead letter's reason and the field that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: DeadLetterReason,
    /// Bare name of the field, such as `record` or `data.quantity`.
    pub detail: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeadLetterReason {
    Malformed,
    UnknownType,
    TimeInFuture,
    NoRateCard,
    TooOld,
    NegativeQuantity,
    QuantityTooLarge,
    /// From here on: of records of a log only (`interfaces.md` 5).
    TooLarge,
    WrongKey,
    WrongPartition,
    WrongTopic,
    TickNotAllowed,
}

/// `type` of the two types of usage.
pub const API_CALL_TYPE: &str = "meterfold.api-call.v1";
pub const USAGE_CORRECTED_TYPE: &str = "meterfold.usage-corrected.v1";

/// `type` of a clock tick; the one type whose recorded time is not guarded.
pub const CLOCK_TICK_TYPE: &str = "meterfold.clock-tick.v1";

impl Fault {
    pub const fn malformed(detail: &'static str) -> Fault {
        Fault {
            reason: DeadLetterReason::Malformed,
            detail,
        }
    }
}

impl DeadLetterReason {
    pub const ALL: [DeadLetterReason; 12] = [
        DeadLetterReason::Malformed,
        DeadLetterReason::UnknownType,
        DeadLetterReason::TimeInFuture,
        DeadLetterReason::NoRateCard,
        DeadLetterReason::TooOld,
        DeadLetterReason::NegativeQuantity,
        DeadLetterReason::QuantityTooLarge,
        DeadLetterReason::TooLarge,
        DeadLetterReason::WrongKey,
        DeadLetterReason::WrongPartition,
        DeadLetterReason::WrongTopic,
        DeadLetterReason::TickNotAllowed,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            DeadLetterReason::Malformed => "malformed",
            DeadLetterReason::UnknownType => "unknown_type",
            DeadLetterReason::TimeInFuture => "time_in_future",
            DeadLetterReason::NoRateCard => "no_rate_card",
            DeadLetterReason::TooOld => "too_old",
            DeadLetterReason::NegativeQuantity => "negative_quantity",
            DeadLetterReason::QuantityTooLarge => "quantity_too_large",
            DeadLetterReason::TooLarge => "too_large",
            DeadLetterReason::WrongKey => "wrong_key",
            DeadLetterReason::WrongPartition => "wrong_partition",
            DeadLetterReason::WrongTopic => "wrong_topic",
            DeadLetterReason::TickNotAllowed => "tick_not_allowed",
        }
    }
}

impl Status {
    pub const ALL: [Status; 4] = [
        Status::Success,
        Status::Failed,
        Status::CancelledBeforeStart,
        Status::CancelledAfterStart,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Status::Success => "success",
            Status::Failed => "failed",
            Status::CancelledBeforeStart => "cancelled_before_start",
            Status::CancelledAfterStart => "cancelled_after_start",
        }
    }
}

impl Purpose {
    pub const ALL: [Purpose; 2] = [Purpose::Api, Purpose::Subscription];

    pub const fn name(self) -> &'static str {
        match self {
            Purpose::Api => "api",
            Purpose::Subscription => "subscription",
        }
    }
}

impl AccountKind {
    pub const ALL: [AccountKind; 4] = [
        AccountKind::Forge,
        AccountKind::Subscription,
        AccountKind::Maintenance,
        AccountKind::Enterprise,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            AccountKind::Forge => "forge",
            AccountKind::Subscription => "subscription",
            AccountKind::Maintenance => "maintenance",
            AccountKind::Enterprise => "enterprise",
        }
    }
}

impl<S: Copy> Event<S> {
    /// The same event with its text held another way.
    pub fn map<T>(&self, text: impl Fn(S) -> T + Copy) -> Event<T> {
        Event {
            source: text(self.source),
            id: text(self.id),
            team: text(self.team),
            time: self.time,
            body: self.body.map(text),
        }
    }
}

impl<S> Body<S> {
    pub const fn type_name(&self) -> &'static str {
        match self {
            Body::ApiCall(_) => API_CALL_TYPE,
            Body::UsageCorrected { .. } => USAGE_CORRECTED_TYPE,
            Body::OfferingEnrolled(_) => "meterfold.offering-enrolled.v1",
            Body::PostpayCancelled => "meterfold.postpay-cancelled.v1",
            Body::StandingChanged { .. } => "meterfold.standing-changed.v1",
            Body::DowngradeRequested => "meterfold.downgrade-requested.v1",
            Body::HubCreated { .. } => "meterfold.hub-created.v1",
            Body::AppMigrated { .. } => "meterfold.app-migrated.v1",
            Body::TokensPurchased { .. } => "meterfold.tokens-purchased.v1",
            Body::TokensAdjusted { .. } => "meterfold.tokens-adjusted.v1",
            Body::TrialStarted { .. } => "meterfold.trial-started.v1",
            Body::CreditsPurchased { .. } => "meterfold.credits-purchased.v1",
            Body::CreditsTransferred { .. } => "meterfold.credits-transferred.v1",
            Body::ClockTick => CLOCK_TICK_TYPE,
        }
    }

    /// The usage facts, of a call or of a correction.
    pub const fn usage(&self) -> Option<&Usage<S>> {
        match self {
            Body::ApiCall(usage) | Body::UsageCorrected { usage, .. } => Some(usage),
            _ => None,
        }
    }
}

impl<S: Copy> Body<S> {
    fn map<T>(&self, text: impl Fn(S) -> T + Copy) -> Body<T> {
        match *self {
            Body::ApiCall(ref usage) => Body::ApiCall(usage.map(text)),
            Body::UsageCorrected {
                ref usage,
                corrects,
            } => Body::UsageCorrected {
                usage: usage.map(text),
                corrects: corrects.map(text),
            },
            Body::OfferingEnrolled(ref offering) => Body::OfferingEnrolled(match *offering {
                Offering::Free => Offering::Free,
                Offering::Prepay => Offering::Prepay,
                Offering::Postpay {
                    country,
                    payment_method,
                    good_standing,
                    currency,
                } => Offering::Postpay {
                    country: text(country),
                    payment_method: text(payment_method),
                    good_standing,
                    currency: currency.map(text),
                },
            }),
            Body::PostpayCancelled => Body::PostpayCancelled,
            Body::StandingChanged { good } => Body::StandingChanged { good },
            Body::DowngradeRequested => Body::DowngradeRequested,
            Body::HubCreated { hub_id } => Body::HubCreated {
                hub_id: text(hub_id),
            },
            Body::AppMigrated { app_id, hub_id } => Body::AppMigrated {
                app_id: text(app_id),
                hub_id: hub_id.map(text),
            },
            Body::TokensPurchased {
                tokens,
                amount,
                currency,
                expires_at,
            } => Body::TokensPurchased {
                tokens,
                amount,
                currency: currency.map(text),
                expires_at,
            },
            Body::TokensAdjusted {
                delta,
                reason,
                purpose,
            } => Body::TokensAdjusted {
                delta,
                reason: reason.map(text),
                purpose,
            },
            Body::TrialStarted { credits, ends_at } => Body::TrialStarted { credits, ends_at },
            Body::CreditsPurchased {
                channel,
                pack,
                packs,
                account_kind,
                amount,
            } => Body::CreditsPurchased {
                channel: text(channel),
                pack,
                packs,
                account_kind,
                amount,
            },
            Body::CreditsTransferred { to, credits } => Body::CreditsTransferred {
                to: text(to),
                credits,
            },
            Body::ClockTick => Body::ClockTick,
        }
    }
}

impl<S: Copy> Usage<S> {
    fn map<T>(&self, text: impl Fn(S) -> T + Copy) -> Usage<T> {
        Usage {
            app_id: text(self.app_id),
            api: self.api.map(text),
            method: self.method.map(text),
            path: self.path.map(text),
            engine: self.engine.map(text),
            source_format: self.source_format.map(text),
            quantity: self.quantity,
            status: self.status,
            http_status: self.http_status,
        }
    }
}
