//! What became of an input event: exactly one disposition each (`fold.md` 4 to 6).

/// Order as in `fold.md` 5; every event that is not a dead letter has one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    Zero,
    Grace,
    Denied,
    Unrated,
    Unbillable,
    LateFree,
    OverCap,
    Free,
    Charged,
    Corrected,
    Accepted,
    Refused,
    Duplicate,
    Conflict,
}

/// Why an account event changed nothing (`fold.md` 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    AlreadyEnrolled,
    CountryNotEligible,
    PaymentMethodNotEligible,
    NotInGoodStanding,
    CurrencyNotPriced,
    CurrencyChange,
    PostpayNotOn,
    NotPaid,
    AlreadyPending,
    HubExists,
    NoHub,
    OtherHub,
    BelowMinimum,
    ZeroDelta,
    NotAdjustable,
    Insufficient,
    TrialEnded,
    TrialUsed,
    BadPeriod,
    UnknownChannel,
    ChannelNotAvailable,
    NotApplicableToAccount,
    PackNotSold,
    CreditsEnded,
    AmountMismatch,
    TransferNotAllowed,
}

/// How many events of a team met each disposition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dispositions([u64; Disposition::ALL.len()]);

impl Disposition {
    pub const ALL: [Disposition; 14] = [
        Disposition::Zero,
        Disposition::Grace,
        Disposition::Denied,
        Disposition::Unrated,
        Disposition::Unbillable,
        Disposition::LateFree,
        Disposition::OverCap,
        Disposition::Free,
        Disposition::Charged,
        Disposition::Corrected,
        Disposition::Accepted,
        Disposition::Refused,
        Disposition::Duplicate,
        Disposition::Conflict,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Disposition::Zero => "zero",
            Disposition::Grace => "grace",
            Disposition::Denied => "denied",
            Disposition::Unrated => "unrated",
            Disposition::Unbillable => "unbillable",
            Disposition::LateFree => "late_free",
            Disposition::OverCap => "over_cap",
            Disposition::Free => "free",
            Disposition::Charged => "charged",
            Disposition::Corrected => "corrected",
            Disposition::Accepted => "accepted",
            Disposition::Refused => "refused",
            Disposition::Duplicate => "duplicate",
            Disposition::Conflict => "conflict",
        }
    }
}

impl Refusal {
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::AlreadyEnrolled => "already_enrolled",
            Refusal::CountryNotEligible => "country_not_eligible",
            Refusal::PaymentMethodNotEligible => "payment_method_not_eligible",
            Refusal::NotInGoodStanding => "not_in_good_standing",
            Refusal::CurrencyNotPriced => "currency_not_priced",
            Refusal::CurrencyChange => "currency_change",
            Refusal::PostpayNotOn => "postpay_not_on",
            Refusal::NotPaid => "not_paid",
            Refusal::AlreadyPending => "already_pending",
            Refusal::HubExists => "hub_exists",
            Refusal::NoHub => "no_hub",
            Refusal::OtherHub => "other_hub",
            Refusal::BelowMinimum => "below_minimum",
            Refusal::ZeroDelta => "zero_delta",
            Refusal::NotAdjustable => "not_adjustable",
            Refusal::Insufficient => "insufficient",
            Refusal::TrialEnded => "trial_ended",
            Refusal::TrialUsed => "trial_used",
            Refusal::BadPeriod => "bad_period",
            Refusal::UnknownChannel => "unknown_channel",
            Refusal::ChannelNotAvailable => "channel_not_available",
            Refusal::NotApplicableToAccount => "not_applicable_to_account",
            Refusal::PackNotSold => "pack_not_sold",
            Refusal::CreditsEnded => "credits_ended",
            Refusal::AmountMismatch => "amount_mismatch",
            Refusal::TransferNotAllowed => "transfer_not_allowed",
        }
    }
}

impl Dispositions {
    /// From a stored list.
    pub fn from_counts(counts: Vec<(Disposition, u64)>) -> Dispositions {
        let mut dispositions = Dispositions::default();
        for (disposition, count) in counts {
            *dispositions.count_mut(disposition) = count;
        }
        dispositions
    }

    pub fn add(&mut self, disposition: Disposition) {
        let count = self.count_mut(disposition);
        *count = count.saturating_add(1);
    }

    /// (kind, count) of those that occurred, ascending by kind.
    pub fn counts(&self) -> impl Iterator<Item = (Disposition, u64)> + '_ {
        let counts = Disposition::ALL.iter().copied().zip(self.0.iter().copied());
        counts.filter(|(_, count)| *count > 0)
    }

    #[expect(
        clippy::as_conversions,
        reason = "the number of a variant is its place in ALL"
    )]
    fn count_mut(&mut self, disposition: Disposition) -> &mut u64 {
        &mut self.0[disposition as usize]
    }
}
