//! The rate book of the reference model: cards, meters, classification, prices, credit channels
//! (`fold.md` 2 and 6.2).
//!
//! It answers what the book says; how the file is read stands in `book_file`. It knows nothing of
//! teams or events.

use std::collections::{BTreeMap, BTreeSet};

use super::amount::MICRO;
use super::calendar::Month;

pub struct Book {
    /// Currency to its minor digits.
    pub currencies: BTreeMap<String, u32>,
    pub enrolment_deadline: i64,
    pub dedup_horizon_ms: i64,
    pub future_skew_ms: i64,
    pub credit_validity_months: i64,
    pub credits_end: i64,
    pub channels: Vec<Channel>,
    pub cards: Vec<Card>,
    /// `effective_from` of the first `tiers` card; never, if there is none.
    pub launch: i64,
}

pub struct Card {
    pub id: String,
    pub effective_from: i64,
    pub tiers: bool,
    pub whole_unit: bool,
    pub close_grace_ms: i64,
    pub min_purchase_tokens: i64,
    pub token_validity_months: i64,
    /// Currency to millionths.
    pub price_per_token: BTreeMap<String, i128>,
    /// Country to the rate as it is spelled in the book.
    pub tax_rates: BTreeMap<String, String>,
    pub cap_suspends_meter: bool,
    pub free_allowance_first: bool,
    pub write_off: bool,
    pub countries: BTreeSet<String>,
    pub payment_methods: BTreeSet<String>,
    /// API to its roots, each cut into segments.
    pub apis: BTreeMap<String, Vec<Vec<String>>>,
    pub classify: Vec<Rule>,
    pub meters: BTreeMap<String, Meter>,
}

pub struct Rule {
    pub api: Option<String>,
    pub engine: Option<String>,
    pub method: Option<String>,
    pub path: Option<Vec<String>>,
    pub source_format: Option<Vec<String>>,
    /// None makes the usage unrated.
    pub meter: Option<String>,
}

pub struct Meter {
    pub id: String,
    pub api: String,
    pub unit: i128,
    pub tokens: i128,
    pub free_cap: Option<i128>,
    pub billable_statuses: Vec<String>,
    pub http_status_below: Option<i64>,
}

pub struct Channel {
    pub channel: String,
    pub packs: Vec<i64>,
    pub account_kinds: Vec<String>,
    pub purpose: String,
    /// Pack to the price of one credit, in millionths.
    pub price_per_credit: BTreeMap<i64, i128>,
    pub available_from: Option<i64>,
    pub available_to: Option<i64>,
}

/// What an API call says of itself, as far as classification reads it.
pub struct Call<'a> {
    pub api: Option<&'a str>,
    pub engine: Option<&'a str>,
    pub method: Option<&'a str>,
    pub path: Option<&'a str>,
    pub source_format: Option<&'a str>,
}

impl Book {
    /// The index of the card in force at an instant (`fold.md` 2).
    pub fn card_index_at(&self, instant: i64) -> Option<usize> {
        self.cards
            .iter()
            .rposition(|card| card.effective_from <= instant)
    }

    /// The card in force at an instant; before the first card's start, the first card.
    pub fn card_at(&self, instant: i64) -> &Card {
        &self.cards[self.card_index_at(instant).unwrap_or(0)]
    }

    /// The card in force at the month's last millisecond.
    pub fn card_of_month_end(&self, month: Month) -> &Card {
        self.card_at(month.end() - 1)
    }

    /// End of month plus the grace of the card of the month's end (`fold.md` 7).
    pub fn close_instant(&self, month: Month) -> i64 {
        month.end() + self.card_of_month_end(month).close_grace_ms
    }

    /// The earliest month that is not closed at an instant.
    pub fn earliest_open_month(&self, clock: i64) -> Month {
        let mut month = Month::of(clock);
        while self.close_instant(month.previous()) > clock {
            month = month.previous();
        }
        month
    }

    /// Minor digits of a currency; the default currency need not be listed.
    pub fn minor_digits(&self, currency: &str) -> u32 {
        self.currencies.get(currency).copied().unwrap_or(2)
    }
}

impl Card {
    /// Micro-tokens charged for a cumulative usage (`fold.md` 2, *Charge*).
    pub fn charged(&self, meter: &str, cumulative: i128) -> i128 {
        let meter = &self.meters[meter];
        if self.whole_unit {
            meter.tokens * cumulative.div_euclid(meter.unit) * MICRO
        } else {
            (cumulative * meter.tokens * MICRO).div_euclid(meter.unit)
        }
    }

    /// Usage short of a whole unit, where whole units are charged.
    pub fn carry(&self, meter: &str, cumulative: i128) -> i128 {
        if self.whole_unit {
            cumulative.rem_euclid(self.meters[meter].unit)
        } else {
            0
        }
    }

    /// What a cap of the meter suspends: its API or the meter itself (`fold.md` 2).
    pub fn scope<'a>(&self, meter: &'a Meter) -> &'a str {
        if self.cap_suspends_meter {
            &meter.id
        } else {
            &meter.api
        }
    }

    /// The meter of a call, or None if the call is unrated (`fold.md` 2, *Classification*).
    pub fn classify(&self, call: &Call<'_>) -> Option<&Meter> {
        let path = call.path.map(segments);
        let api = match (call.api, &path) {
            (Some(api), _) => Some(api.to_string()),
            (None, Some(path)) => self.api_of_path(path),
            (None, None) => None,
        };
        let relative = path.map(|path| {
            let cut = api
                .as_ref()
                .and_then(|api| self.matching_root(api, &path))
                .unwrap_or(0);
            path[cut..].to_vec()
        });
        let rule = self.classify.iter().find(|rule| {
            field_matches(rule.api.as_deref(), api.as_deref())
                && field_matches(rule.engine.as_deref(), call.engine)
                && field_matches(rule.method.as_deref(), call.method)
                && path_matches(rule.path.as_deref(), relative.as_deref())
                && format_matches(rule.source_format.as_deref(), call.source_format)
        })?;
        rule.meter.as_ref().map(|meter| &self.meters[meter])
    }

    /// Of several matching roots the longest decides, then the smaller API id.
    fn api_of_path(&self, path: &[String]) -> Option<String> {
        let mut best: Option<(usize, &String)> = None;
        for (api, roots) in &self.apis {
            for root in roots.iter().filter(|root| is_prefix(root, path)) {
                if best.is_none_or(|(length, _)| root.len() > length) {
                    best = Some((root.len(), api));
                }
            }
        }
        best.map(|(_, api)| api.clone())
    }

    /// The number of segments of the longest root of an API that begins the path.
    fn matching_root(&self, api: &str, path: &[String]) -> Option<usize> {
        let roots = self
            .apis
            .iter()
            .filter(|(id, _)| id.eq_ignore_ascii_case(api))
            .flat_map(|(_, roots)| roots);
        roots
            .filter(|root| is_prefix(root, path))
            .map(Vec::len)
            .max()
    }
}

impl Meter {
    /// Whether a call with this outcome is charged (`fold.md` 2, *Billable*).
    pub fn is_billable(&self, status: &str, http_status: Option<i64>) -> bool {
        let by_status = self.billable_statuses.iter().any(|listed| listed == status);
        by_status
            || self
                .http_status_below
                .is_some_and(|below| http_status.is_none_or(|code| code < below))
    }
}

impl Channel {
    /// `available_from: null` is not yet, `available_to` is exclusive, null is open (`fold.md`
    /// 6.2).
    pub fn is_available(&self, instant: i64) -> bool {
        self.available_from.is_some_and(|from| from <= instant)
            && self.available_to.is_none_or(|to| instant < to)
    }

    /// The list price of a number of packs in millionths, exact: only a quote is rounded; None if
    /// there is none.
    pub fn list_price(&self, pack: i64, packs: i64) -> Option<i128> {
        self.price_per_credit
            .get(&pack)
            .map(|per_credit| per_credit * i128::from(pack) * i128::from(packs))
    }
}

/// A path cut at the first `?` and split at `/`, without its empty segments.
pub fn segments(path: &str) -> Vec<String> {
    let path = path.split('?').next().unwrap_or_default();
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(str::to_string)
        .collect()
}

/// Whether a segment of a root or rule matches one of a path; `{x}` matches any.
fn segment_matches(pattern: &str, segment: &str) -> bool {
    (pattern.starts_with('{') && pattern.ends_with('}')) || pattern == segment
}

fn is_prefix(root: &[String], path: &[String]) -> bool {
    root.len() <= path.len()
        && root
            .iter()
            .zip(path)
            .all(|(pattern, segment)| segment_matches(pattern, segment))
}

fn field_matches(rule: Option<&str>, event: Option<&str>) -> bool {
    rule.is_none_or(|rule| event.is_some_and(|event| rule.eq_ignore_ascii_case(event)))
}

fn path_matches(rule: Option<&[String]>, event: Option<&[String]>) -> bool {
    rule.is_none_or(|rule| {
        event.is_some_and(|event| rule.len() == event.len() && is_prefix(rule, event))
    })
}

fn format_matches(rule: Option<&[String]>, event: Option<&str>) -> bool {
    rule.is_none_or(|rule| {
        event.is_some_and(|event| rule.iter().any(|format| format.eq_ignore_ascii_case(event)))
    })
}
