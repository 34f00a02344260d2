//! The rate book: everything about price, caps, classification, eligibility and calendar
//! (`fold.md` 2), as plain data. `wire/rate_book.rs` reads and checks it.
//!
//! Meters, APIs and cap scopes are numbered in the order in which the book first names them, so a
//! book with cards appended numbers the old ones alike; state refers to them by number.

use rust_decimal::Decimal;

use super::amount::{Overflow, Tokens};
use super::event::{AccountKind, Purpose, Status};
use super::time::{Instant, Month};

/// Number of a meter in [`RateBook::meters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterNo(pub u16);

/// Number of an API in [`RateBook::apis`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiNo(pub u16);

/// Number of what a cap suspends, an API or a meter, in [`RateBook::scopes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeNo(pub u16);

/// Index of a card in [`RateBook::cards`], so also its rank by `effective_from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardNo(pub u16);

#[derive(Clone, Debug)]
pub struct RateBook {
    pub id: Box<str>,
    /// Sorted by code.
    pub currencies: Vec<Currency>,
    pub enrolment_deadline: Instant,
    pub dedup_horizon_millis: i64,
    pub future_skew_millis: i64,
    pub credit_validity_months: u16,
    pub credits_end: Instant,
    /// In the book's order.
    pub credit_channels: Vec<CreditChannel>,
    /// Ascending by `effective_from`; never empty.
    pub cards: Vec<RateCard>,
    /// `effective_from` of the first `tiers` card.
    pub launch: Option<Instant>,
    /// Ids by number.
    pub meters: Vec<Box<str>>,
    pub apis: Vec<Box<str>>,
    pub scopes: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency {
    pub code: Box<str>,
    pub minor_digits: u32,
}

#[derive(Clone, Debug)]
pub struct CreditChannel {
    pub channel: Box<str>,
    pub packs: Vec<u64>,
    pub account_kinds: Vec<AccountKind>,
    pub purpose: Purpose,
    pub currency: Box<str>,
    /// (pack, net price per credit), sorted by pack; packs without a list price are absent.
    pub price_per_credit: Vec<(u64, Decimal)>,
    pub tax_rate: Decimal,
    /// None: not on sale yet.
    pub available_from: Option<Instant>,
    /// Exclusive; None: open.
    pub available_to: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// One tier: every account pays from lots; no Free caps, no hub check.
    Legacy,
    /// Free and Paid.
    Tiers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeMode {
    WholeUnit,
    Proportional,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapSuspends {
    Api,
    Meter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeAllowanceWhenPaid {
    None,
    First,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortfallPolicy {
    Carry,
    WriteOff,
}

#[derive(Clone, Debug)]
pub struct RateCard {
    pub id: Box<str>,
    pub effective_from: Instant,
    pub regime: Regime,
    pub charge_mode: ChargeMode,
    pub close_grace_millis: i64,
    pub min_purchase_tokens: u64,
    pub token_validity_months: u16,
    /// (currency, price), sorted by currency.
    pub price_per_token: Vec<(Box<str>, Decimal)>,
    /// (country, rate), sorted by country.
    pub tax_rates: Vec<(Box<str>, Decimal)>,
    pub cap_suspends: CapSuspends,
    pub free_allowance_when_paid: FreeAllowanceWhenPaid,
    pub shortfall_policy: ShortfallPolicy,
    pub postpay: PostpayTerms,
    /// Sorted by API id.
    pub apis: Vec<CardApi>,
    /// In the card's order.
    pub classify: Vec<ClassifyRule>,
    pub meters: Vec<Meter>,
    /// (currency, steps ascending by `from`), sorted by currency.
    pub volume_prices: Vec<(Box<str>, Vec<VolumeStep>)>,
}

#[derive(Clone, Debug, Default)]
pub struct PostpayTerms {
    pub countries: Vec<Box<str>>,
    pub payment_methods: Vec<Box<str>>,
}

/// The path roots of one API: each a list of segments.
#[derive(Clone, Debug)]
pub struct CardApi {
    pub api: ApiNo,
    pub id: Box<str>,
    pub roots: Vec<Vec<Segment>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Literal(Box<str>),
    /// `{name}`: matches any one segment.
    Any,
}

/// One line of `classify`; a field that is None matches everything.
#[derive(Clone, Debug)]
pub struct ClassifyRule {
    pub api: Option<Box<str>>,
    pub engine: Option<Box<str>>,
    pub method: Option<Box<str>>,
    pub path: Option<Vec<Segment>>,
    pub source_format: Option<Vec<Box<str>>>,
    /// Index into the card's `meters`; None: unrated.
    pub meter: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Meter {
    pub meter: MeterNo,
    pub api: ApiNo,
    /// What its cap suspends under its card.
    pub scope: ScopeNo,
    pub measure: Box<str>,
    /// Usage per unit.
    pub unit: u64,
    /// Tokens per unit.
    pub tokens: u64,
    pub free_cap: Option<u64>,
    pub billable: Billable,
}

#[derive(Clone, Debug, Default)]
pub struct Billable {
    pub statuses: Vec<Status>,
    pub http_status_below: Option<u16>,
}

#[derive(Clone, Debug)]
pub struct VolumeStep {
    pub from: u64,
    pub price: Decimal,
}

impl RateBook {
    /// The card in force at `at`: the last one with `effective_from <= at`.
    pub fn card_at(&self, at: Instant) -> Option<CardNo> {
        let later = self.cards.partition_point(|card| card.effective_from <= at);
        later
            .checked_sub(1)
            .and_then(|index| u16::try_from(index).ok())
            .map(CardNo)
    }

    pub fn card(&self, card: CardNo) -> &RateCard {
        &self.cards[usize::from(card.0)]
    }

    pub fn meter_id(&self, meter: MeterNo) -> &str {
        &self.meters[usize::from(meter.0)]
    }

    pub fn api_id(&self, api: ApiNo) -> &str {
        &self.apis[usize::from(api.0)]
    }

    pub fn scope_id(&self, scope: ScopeNo) -> &str {
        &self.scopes[usize::from(scope.0)]
    }

    pub fn minor_digits(&self, currency: &str) -> Option<u32> {
        find(&self.currencies, |entry| entry.code.as_ref(), currency)
            .map(|entry| entry.minor_digits)
    }

    /// When `month` becomes final: its end plus the grace of the card of its last millisecond
    /// (`fold.md` 7). Before the first card its grace holds; nothing is ever booked there.
    pub fn closes_at(&self, month: Month) -> Instant {
        let card = self
            .card_at(month.end().minus_millis(1))
            .unwrap_or(CardNo(0));
        month.end().plus_millis(self.card(card).close_grace_millis)
    }

    /// The earliest month that is not closed at `clock`.
    pub fn earliest_open_month(&self, clock: Instant) -> Month {
        let mut month = clock.month();
        while self.closes_at(month.previous()) > clock {
            month = month.previous();
        }
        month
    }
}

impl RateCard {
    /// Net price per token in `currency`.
    pub fn price_per_token(&self, currency: &str) -> Option<Decimal> {
        find(&self.price_per_token, |(code, _)| code.as_ref(), currency).map(|(_, price)| *price)
    }

    pub fn tax_rate(&self, country: &str) -> Option<Decimal> {
        find(&self.tax_rates, |(code, _)| code.as_ref(), country).map(|(_, rate)| *rate)
    }

    /// This card's row of `meter`, if it has one.
    pub fn meter(&self, meter: MeterNo) -> Option<&Meter> {
        self.meters.iter().find(|row| row.meter == meter)
    }

    /// Tokens due for cumulative usage `cumulative` of `meter` (`fold.md` 2, *Charge*).
    pub fn charged(&self, meter: &Meter, cumulative: u64) -> Result<Tokens, Overflow> {
        let tokens = u128::from(meter.tokens);
        let micros = match self.charge_mode {
            ChargeMode::WholeUnit => {
                let units = cumulative.checked_div(meter.unit).ok_or(Overflow)?;
                u128::from(units)
                    .checked_mul(tokens)
                    .and_then(|whole| whole.checked_mul(1_000_000))
            }
            ChargeMode::Proportional => u128::from(cumulative)
                .checked_mul(tokens)
                .and_then(|product| product.checked_mul(1_000_000))
                .and_then(|product| product.checked_div(u128::from(meter.unit))),
        };
        Tokens::from_micros(i128::try_from(micros.ok_or(Overflow)?).map_err(|_| Overflow)?)
    }

    /// Usage short of a whole unit (`fold.md` 2, *carry*); 0 for proportional cards.
    pub fn carry(&self, meter: &Meter, cumulative: u64) -> u64 {
        match self.charge_mode {
            ChargeMode::WholeUnit => cumulative.checked_rem(meter.unit).unwrap_or(0),
            ChargeMode::Proportional => 0,
        }
    }
}

impl CreditChannel {
    /// On sale at `at`; `available_to` is exclusive.
    pub fn is_available_at(&self, at: Instant) -> bool {
        self.available_from.is_some_and(|from| from <= at)
            && self.available_to.is_none_or(|to| at < to)
    }

    /// The exact net list price of `packs` packs, unrounded; None: no list price.
    pub fn list_price(&self, pack: u64, packs: u64) -> Option<Result<Decimal, Overflow>> {
        let (_, price) = self
            .price_per_credit
            .iter()
            .find(|(size, _)| *size == pack)?;
        let credits = i128::from(pack).checked_mul(i128::from(packs));
        let product = credits
            .and_then(|credits| credits.checked_mul(price.mantissa()))
            .ok_or(Overflow);
        Some(product.and_then(|product| {
            Decimal::try_from_i128_with_scale(product, price.scale()).map_err(|_| Overflow)
        }))
    }
}

impl Billable {
    /// Whether an event of this outcome is charged or counted against a cap (`fold.md` 2).
    pub fn covers(&self, status: Status, http_status: Option<u16>) -> bool {
        let below = |limit: u16| http_status.is_none_or(|status| status < limit);
        self.statuses.contains(&status) || self.http_status_below.is_some_and(below)
    }
}

/// Binary search of a table sorted by name.
fn find<'a, T>(sorted: &'a [T], name: impl Fn(&T) -> &str, wanted: &str) -> Option<&'a T> {
    let index = sorted
        .binary_search_by(|entry| name(entry).cmp(wanted))
        .ok()?;
    sorted.get(index)
}
