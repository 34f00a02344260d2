//! The rate book as a file: JSON text to [`RateBook`] (`fold.md` 2 and 6.2).
//!
//! It refuses every book that the rules could not follow, and names all its faults at once, each
//! with its place and what to do: a book is repaired in one go. Decimals are read exactly from
//! their text, integers from integers; `notice` and `source` are comments, an unknown member is a
//! fault. `run`, `validate`, `replay`, `audit` and `rates` read their book here; what one book is
//! to another stands in `compare.rs`.
//!
//! Reading goes on after a fault: what cannot be read is recorded and stands in as None or a
//! default, and a book with any fault is dropped at the end.

mod checks;
mod compare;
mod document;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use rust_decimal::Decimal;

use crate::billing::event::{AccountKind, Purpose, Status};
use crate::billing::rate_book::{
    ApiNo, Billable, CapSuspends, CardApi, ChargeMode, ClassifyRule, CreditChannel, Currency,
    FreeAllowanceWhenPaid, Meter, MeterNo, PostpayTerms, RateBook, RateCard, Regime, ScopeNo,
    ShortfallPolicy, VolumeStep,
};
use crate::billing::time::{Instant, MILLIS_PER_DAY, MILLIS_PER_HOUR, MILLIS_PER_SECOND};

pub use compare::{BookChange, canonical_digest, check_adoption, compare};
use document::{Json, Place};
use values::{Members, Spot};

/// Most bytes of a book's text.
pub const BOOK_BYTES_MAX: usize = 8 << 20;
/// Most items of any list, and most different meters, APIs and scopes: a number names them.
pub const ITEMS_MAX: usize = 65_535;
/// Most characters of an id, a code or a word.
pub const ID_CHARS_MAX: usize = 128;
/// Most usage of a unit, a cap, a pack, a purchase: the largest quantity that an event may have.
pub const AMOUNT_MAX: u64 = 1_000_000_000_000_000;
pub const TOKENS_PER_UNIT_MAX: u64 = 1_000_000;
pub const VALIDITY_MONTHS_MAX: u64 = 1_200;
pub const CLOSE_GRACE_HOURS_MAX: u64 = 100_000;
pub const DEDUP_HORIZON_DAYS_MAX: u64 = 3_660;
pub const FUTURE_SKEW_SECONDS_MAX: u64 = 86_400;
pub const MINOR_DIGITS_MAX: u64 = 4;
/// Prices are below this.
pub const PRICE_LIMIT: u32 = 1_000_000_000;

const REGIMES: [(&str, Regime); 2] = [("legacy", Regime::Legacy), ("tiers", Regime::Tiers)];
const CHARGE_MODES: [(&str, ChargeMode); 2] = [
    ("whole_unit", ChargeMode::WholeUnit),
    ("proportional", ChargeMode::Proportional),
];
const CAP_SUSPENDS: [(&str, CapSuspends); 2] =
    [("api", CapSuspends::Api), ("meter", CapSuspends::Meter)];
const FREE_ALLOWANCES: [(&str, FreeAllowanceWhenPaid); 2] = [
    ("none", FreeAllowanceWhenPaid::None),
    ("first", FreeAllowanceWhenPaid::First),
];
const SHORTFALL_POLICIES: [(&str, ShortfallPolicy); 2] = [
    ("carry", ShortfallPolicy::Carry),
    ("write_off", ShortfallPolicy::WriteOff),
];

/// Everything that is wrong with a book; one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BookFaults(pub Vec<Fault>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path of the value, with the ids of its card and meter: `cards[3].meters[2].unit (card
    /// aps-2025-12, meter rc)`.
    pub place: String,
    /// What is wrong and what to do about it.
    pub problem: String,
}

/// Reads and checks a book; the faults are those of `fold.md` 6.2, of form, type and range.
pub fn read(text: &[u8]) -> Result<RateBook, BookFaults> {
    let document = document::read(text)?;
    let mut reader = Reader::default();
    let book = reader.book(&Spot {
        json: &document,
        place: Place::default(),
    });
    match book {
        Some(book) if reader.faults.is_empty() => Ok(book),
        _ => Err(BookFaults(reader.faults)),
    }
}

impl fmt::Display for BookFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// Collects faults, and numbers meters, APIs and scopes.
#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
    meters: Numbering,
    apis: Numbering,
    scopes: Numbering,
}

/// Ids by number, in order of first appearance.
#[derive(Default)]
struct Numbering {
    ids: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16>,
}

/// A price table as far as it could be read: a price that could not is None, so that its currency
/// is not reported as missing as well.
type Prices = Vec<(Box<str>, Option<Decimal>)>;

/// What a card is checked for beside its neighbours.
struct CardDraft {
    card: RateCard,
    place: Place,
    effective_from: Option<Instant>,
    prices: Prices,
}

impl Reader {
    fn book(&mut self, spot: &Spot<'_>) -> Option<RateBook> {
        let book = self.members(
            spot,
            &[
                "id",
                "currencies",
                "enrolment_deadline",
                "dedup_horizon_days",
                "future_skew_seconds",
                "credit_validity_months",
                "credits_end",
                "credit_channels",
                "cards",
            ],
        )?;
        let id = self.text_of(&book, "id");
        let currencies = self.currencies(&book);
        let enrolment_deadline = self.instant_of(&book, "enrolment_deadline");
        let horizon_days: i64 =
            self.integer_of(&book, "dedup_horizon_days", 1..=DEDUP_HORIZON_DAYS_MAX);
        let skew_seconds: i64 =
            self.integer_of(&book, "future_skew_seconds", 0..=FUTURE_SKEW_SECONDS_MAX);
        let credit_validity_months =
            self.integer_of(&book, "credit_validity_months", 1..=VALIDITY_MONTHS_MAX);
        let credits_end = self.instant_of(&book, "credits_end");
        let credit_channels = self
            .list_of(&book, "credit_channels")
            .iter()
            .filter_map(|entry| self.channel(entry, &currencies))
            .collect();
        let cards_spot = self.required(&book, "cards");
        let cards = cards_spot
            .as_ref()
            .map(|spot| self.list(spot))
            .unwrap_or_default();
        if let Some(
            spot @ Spot {
                json: Json::List(items),
                ..
            },
        ) = &cards_spot
            && items.is_empty()
        {
            self.fault(&spot.place, "is empty; a book has at least one card");
        }
        let drafts: Vec<CardDraft> = cards
            .iter()
            .filter_map(|entry| self.card(entry, &currencies))
            .collect();
        self.check_numbers(&book);
        self.check_card_ids(&drafts);
        self.check_continued_prices(&drafts);
        let calendar_is_sound = self.check_card_order(&drafts) && drafts.len() == cards.len();

        let places: Vec<Place> = drafts.iter().map(|draft| draft.place.clone()).collect();
        let cards: Vec<RateCard> = drafts.into_iter().map(|draft| draft.card).collect();
        let book = RateBook {
            id,
            currencies,
            enrolment_deadline: enrolment_deadline.unwrap_or_default(),
            dedup_horizon_millis: horizon_days * MILLIS_PER_DAY,
            future_skew_millis: skew_seconds * MILLIS_PER_SECOND,
            credit_validity_months,
            credits_end: credits_end.unwrap_or_default(),
            credit_channels,
            launch: cards
                .iter()
                .find(|card| card.regime == Regime::Tiers)
                .map(|card| card.effective_from),
            cards,
            meters: std::mem::take(&mut self.meters.ids),
            apis: std::mem::take(&mut self.apis.ids),
            scopes: std::mem::take(&mut self.scopes.ids),
        };
        if calendar_is_sound && !book.cards.is_empty() {
            self.check_close_instants(&book, &places);
        }
        Some(book)
    }

    fn currencies(&mut self, book: &Members<'_>) -> Vec<Currency> {
        self.entries_of(book, "currencies")
            .into_iter()
            .map(|(code, spot)| Currency {
                code: code.into(),
                minor_digits: self
                    .integer(&spot, 0..=MINOR_DIGITS_MAX)
                    .unwrap_or_default(),
            })
            .collect()
    }

    fn channel(&mut self, spot: &Spot<'_>, currencies: &[Currency]) -> Option<CreditChannel> {
        let channel = self.members(
            spot,
            &[
                "channel",
                "packs",
                "account_kinds",
                "purpose",
                "currency",
                "price_per_credit",
                "tax_rate",
                "available_from",
                "available_to",
            ],
        )?;
        let name = self.text_of(&channel, "channel");
        let packs = self
            .list_of(&channel, "packs")
            .iter()
            .filter_map(|pack| self.integer(pack, 1..=AMOUNT_MAX))
            .collect();
        let kinds = AccountKind::ALL.map(|kind| (kind.name(), kind));
        let account_kinds = self
            .list_of(&channel, "account_kinds")
            .iter()
            .filter_map(|kind| self.word(kind, &kinds))
            .collect();
        let purposes = Purpose::ALL.map(|purpose| (purpose.name(), purpose));
        let purpose = self
            .required(&channel, "purpose")
            .and_then(|it| self.word(&it, &purposes));
        let currency = self.text_of(&channel, "currency");
        if let Some(spot) = channel.get("currency")
            && !currency.is_empty()
        {
            self.check_currency(&currency, &spot.place, currencies);
        }
        Some(CreditChannel {
            channel: name,
            packs,
            account_kinds,
            purpose: purpose.unwrap_or(Purpose::Api),
            currency,
            price_per_credit: self.pack_prices(&channel),
            tax_rate: self
                .required(&channel, "tax_rate")
                .and_then(|rate| self.rate(&rate))
                .unwrap_or_default(),
            available_from: self.instant_or_null_of(&channel, "available_from"),
            available_to: self.instant_or_null_of(&channel, "available_to"),
        })
    }

    /// `price_per_credit`: packs are member names, so integers written as text.
    fn pack_prices(&mut self, channel: &Members<'_>) -> Vec<(u64, Decimal)> {
        let mut prices: Vec<(u64, Decimal)> = self
            .entries_of(channel, "price_per_credit")
            .into_iter()
            .filter_map(|(pack, spot)| {
                let price = self.price(&spot);
                let canonical = pack.bytes().all(|byte| byte.is_ascii_digit());
                let number = pack
                    .parse()
                    .ok()
                    .filter(|number| (1..=AMOUNT_MAX).contains(number));
                if number.is_none() || !canonical || pack.starts_with('0') {
                    let problem = format!("{pack:?} is no pack; write an integer of 1 to 10^15");
                    self.fault(&spot.place, problem);
                }
                Some((number?, price?))
            })
            .collect();
        prices.sort_unstable_by_key(|(pack, _)| *pack);
        prices
    }

    fn card(&mut self, spot: &Spot<'_>, currencies: &[Currency]) -> Option<CardDraft> {
        let card = self.members(
            spot,
            &[
                "id",
                "effective_from",
                "regime",
                "charge_mode",
                "close_grace_hours",
                "min_purchase_tokens",
                "token_validity_months",
                "price_per_token",
                "tax_rates",
                "cap_suspends",
                "free_allowance_when_paid",
                "shortfall_policy",
                "postpay",
                "apis",
                "classify",
                "meters",
                "volume_prices",
            ],
        )?;
        let id = self.text_of(&card, "id");
        let effective_from = self.instant_of(&card, "effective_from");
        let regime = self
            .required(&card, "regime")
            .and_then(|it| self.word(&it, &REGIMES));
        let charge_mode = self
            .required(&card, "charge_mode")
            .and_then(|it| self.word(&it, &CHARGE_MODES));
        let grace_hours: i64 =
            self.integer_of(&card, "close_grace_hours", 0..=CLOSE_GRACE_HOURS_MAX);
        let min_purchase_tokens = self.integer_of(&card, "min_purchase_tokens", 0..=AMOUNT_MAX);
        let token_validity_months =
            self.integer_of(&card, "token_validity_months", 1..=VALIDITY_MONTHS_MAX);
        let prices = self.token_prices(&card, currencies);
        let tax_rates = self.tax_rates(&card);
        let cap_suspends = self.word_or(&card, "cap_suspends", &CAP_SUSPENDS, CapSuspends::Api);
        let free_allowance_when_paid = self.word_or(
            &card,
            "free_allowance_when_paid",
            &FREE_ALLOWANCES,
            FreeAllowanceWhenPaid::None,
        );
        let shortfall_policy = self.word_or(
            &card,
            "shortfall_policy",
            &SHORTFALL_POLICIES,
            ShortfallPolicy::Carry,
        );
        // A legacy card knows no offerings, so it may leave their terms out.
        let postpay = match (card.get("postpay"), regime) {
            (None, Some(Regime::Tiers)) => self.required(&card, "postpay"),
            (found, _) => found,
        };
        let postpay = postpay
            .and_then(|terms| self.postpay(&terms))
            .unwrap_or_default();
        let apis = self.apis(&card);
        let (meters, meter_ids) = self.meters(&card, cap_suspends, free_allowance_when_paid);
        let classify = self
            .list_of(&card, "classify")
            .iter()
            .filter_map(|rule| self.rule(rule, &meter_ids))
            .collect();
        let volume_prices = self.volume_prices(&card, &prices);
        let card_read = RateCard {
            id,
            effective_from: effective_from.unwrap_or_default(),
            regime: regime.unwrap_or(Regime::Legacy),
            charge_mode: charge_mode.unwrap_or(ChargeMode::WholeUnit),
            close_grace_millis: grace_hours * MILLIS_PER_HOUR,
            min_purchase_tokens,
            token_validity_months,
            price_per_token: prices
                .iter()
                .map(|(code, price)| (code.clone(), price.unwrap_or_default()))
                .collect(),
            tax_rates,
            cap_suspends,
            free_allowance_when_paid,
            shortfall_policy,
            postpay,
            apis,
            classify,
            meters,
            volume_prices,
        };
        Some(CardDraft {
            card: card_read,
            place: card.place,
            effective_from,
            prices,
        })
    }

    fn token_prices(&mut self, card: &Members<'_>, currencies: &[Currency]) -> Prices {
        self.entries_of(card, "price_per_token")
            .into_iter()
            .map(|(code, spot)| {
                self.check_currency(code, &spot.place, currencies);
                (code.into(), self.price(&spot))
            })
            .collect()
    }

    fn tax_rates(&mut self, card: &Members<'_>) -> Vec<(Box<str>, Decimal)> {
        let Some(spot) = card.get("tax_rates") else {
            return Vec::new();
        };
        self.entries(&spot)
            .into_iter()
            .filter_map(|(country, spot)| Some((country.into(), self.rate(&spot)?)))
            .collect()
    }

    fn postpay(&mut self, spot: &Spot<'_>) -> Option<PostpayTerms> {
        let terms = self.members(spot, &["countries", "payment_methods"])?;
        Some(PostpayTerms {
            countries: self.texts_of(&terms, "countries"),
            payment_methods: self.texts_of(&terms, "payment_methods"),
        })
    }

    /// Sorted by id, so their numbers do not depend on the order of members.
    fn apis(&mut self, card: &Members<'_>) -> Vec<CardApi> {
        self.entries_of(card, "apis")
            .into_iter()
            .filter_map(|(id, spot)| {
                let api = ApiNo(self.apis.number(id));
                let members = self.members(&spot, &["roots"])?;
                let roots = self.list_of(&members, "roots");
                let roots = roots.iter().filter_map(|root| self.pattern(root)).collect();
                Some(CardApi {
                    api,
                    id: id.into(),
                    roots,
                })
            })
            .collect()
    }

    /// The meters of a card, and their ids with the index that rules refer to; a meter that could
    /// not be read has an id as well, so that rules that name it are not reported.
    fn meters(
        &mut self,
        card: &Members<'_>,
        cap_suspends: CapSuspends,
        allowance: FreeAllowanceWhenPaid,
    ) -> (Vec<Meter>, BTreeMap<String, usize>) {
        let mut meters = Vec::new();
        let mut ids: BTreeMap<String, usize> = BTreeMap::new();
        for spot in self.list_of(card, "meters") {
            let Some(members) = self.members(
                &spot,
                &[
                    "id", "api", "measure", "unit", "tokens", "free_cap", "billable",
                ],
            ) else {
                continue;
            };
            let id = self.text_of(&members, "id");
            if ids.contains_key(id.as_ref()) && !id.is_empty() {
                let problem = format!("{id:?} is the id of an earlier meter too; rename one");
                self.fault(&members.place.member("id"), problem);
            }
            ids.entry(id.to_string()).or_insert(meters.len());
            let api = self.text_of(&members, "api");
            let scope = match cap_suspends {
                CapSuspends::Api => &api,
                CapSuspends::Meter => &id,
            };
            let (meter, api, scope) = (
                self.meters.number(&id),
                self.apis.number(&api),
                self.scopes.number(scope),
            );
            meters.push(Meter {
                meter: MeterNo(meter),
                api: ApiNo(api),
                scope: ScopeNo(scope),
                measure: self.text_of(&members, "measure"),
                unit: self.integer_of(&members, "unit", 1..=AMOUNT_MAX),
                tokens: self.integer_of(&members, "tokens", 1..=TOKENS_PER_UNIT_MAX),
                free_cap: self.free_cap(&members, allowance),
                billable: self
                    .required(&members, "billable")
                    .and_then(|spot| self.billable(&spot))
                    .unwrap_or_default(),
            });
        }
        (meters, ids)
    }

    fn free_cap(&mut self, meter: &Members<'_>, allowance: FreeAllowanceWhenPaid) -> Option<u64> {
        let spot = self.required(meter, "free_cap")?;
        if *spot.json != Json::Null {
            return self.integer(&spot, 1..=AMOUNT_MAX);
        }
        if allowance == FreeAllowanceWhenPaid::First {
            self.fault(
                &spot.place,
                "is null, but the card has free_allowance_when_paid \"first\"; \
                 give a cap, or \"none\" to the card",
            );
        }
        None
    }

    fn billable(&mut self, spot: &Spot<'_>) -> Option<Billable> {
        let members = self.members(spot, &["statuses", "http_status_below"])?;
        let (statuses, below) = (members.get("statuses"), members.get("http_status_below"));
        if statuses.is_none() && below.is_none() {
            self.fault(
                &members.place,
                "bills nothing; give statuses or http_status_below",
            );
        }
        let names = Status::ALL.map(|status| (status.name(), status));
        let statuses = statuses.map(|spot| self.list(&spot)).unwrap_or_default();
        Some(Billable {
            statuses: statuses
                .iter()
                .filter_map(|it| self.word(it, &names))
                .collect(),
            http_status_below: below.and_then(|spot| self.integer(&spot, 100..=1_000)),
        })
    }

    fn rule(
        &mut self,
        spot: &Spot<'_>,
        meter_ids: &BTreeMap<String, usize>,
    ) -> Option<ClassifyRule> {
        let fields = ["api", "engine", "method", "path", "source_format", "meter"];
        let rule = self.members(spot, &fields)?;
        let mut optional_text = |name: &str| {
            rule.get(name)
                .and_then(|spot| self.text(&spot))
                .map(Box::from)
        };
        let (api, engine, method) = (
            optional_text("api"),
            optional_text("engine"),
            optional_text("method"),
        );
        let path = rule.get("path").and_then(|spot| self.pattern(&spot));
        let source_format = rule
            .get("source_format")
            .map(|_| self.texts_of(&rule, "source_format"));
        Some(ClassifyRule {
            api,
            engine,
            method,
            path,
            source_format,
            meter: self.rule_meter(&rule, meter_ids),
        })
    }

    fn rule_meter(
        &mut self,
        rule: &Members<'_>,
        meter_ids: &BTreeMap<String, usize>,
    ) -> Option<usize> {
        let Some(spot) = rule.get("meter") else {
            let problem = "is missing; name a meter of the card, or null for unrated";
            self.fault(&rule.place.member("meter"), problem);
            return None;
        };
        if *spot.json == Json::Null {
            return None;
        }
        let id = self.text(&spot)?;
        let index = meter_ids.get(id).copied();
        if index.is_none() {
            let problem = format!("{id:?} is no meter of this card; name one of its meters");
            self.fault(&spot.place, problem);
        }
        index
    }

    /// `volume_prices` (B45): steps that ascend, at prices that do not.
    fn volume_prices(
        &mut self,
        card: &Members<'_>,
        prices: &Prices,
    ) -> Vec<(Box<str>, Vec<VolumeStep>)> {
        let Some(spot) = card.get("volume_prices") else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (code, spot) in self.entries(&spot) {
            let base = prices.iter().find(|(priced, _)| priced.as_ref() == code);
            if base.is_none() {
                let problem = format!("price_per_token has no {code}; add it there first");
                self.fault(&spot.place, problem);
            }
            let base = base.and_then(|(_, price)| *price);
            let steps = self.volume_steps(&spot, base);
            tables.push((code.into(), steps));
        }
        tables
    }

    fn volume_steps(&mut self, spot: &Spot<'_>, base: Option<Decimal>) -> Vec<VolumeStep> {
        let mut steps: Vec<VolumeStep> = Vec::new();
        let (mut from_before, mut price_before) = (0, base);
        for step in self.list(spot) {
            let Some(members) = self.members(&step, &["from", "price"]) else {
                continue;
            };
            let from = self.required(&members, "from");
            let price = self.required(&members, "price");
            let (from, price) = (
                from.and_then(|spot| self.integer(&spot, 1..=AMOUNT_MAX)),
                price.and_then(|spot| self.price(&spot)),
            );
            if let Some(from) = from.filter(|from| *from <= from_before) {
                let problem = format!("{from} is not above {from_before}; order steps by `from`");
                self.fault(&members.place.member("from"), problem);
            }
            if let (Some(price), Some(before)) = (price, price_before)
                && price > before
            {
                let problem = format!(
                    "{price} is above {before}, the price before it; prices do not rise with volume"
                );
                self.fault(&members.place.member("price"), problem);
            }
            from_before = from.unwrap_or(from_before);
            price_before = price.or(price_before);
            if let (Some(from), Some(price)) = (from, price) {
                steps.push(VolumeStep { from, price });
            }
        }
        steps
    }
}

impl Numbering {
    /// The number of `id`. Past the last number all ids share one: such a book is refused.
    fn number(&mut self, id: &str) -> u16 {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = u16::try_from(self.ids.len()).unwrap_or(u16::MAX);
        self.ids.push(id.into());
        self.numbers.insert(id.into(), number);
        number
    }
}
