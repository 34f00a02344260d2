//! The kinds of value in a book, each read with its form and range checked: what does not fit is
//! recorded as a fault and yields None or a default, so that reading goes on.
//!
//! It knows JSON, ids, words, integers, decimals, instants and paths, and no rule of billing. The
//! reader of the book's parts (`rate_book.rs`) calls it.

use std::ops::RangeInclusive;

use rust_decimal::Decimal;

use super::document::{Json, Place, is_comment};
use super::{ID_CHARS_MAX, ITEMS_MAX, PRICE_LIMIT, Reader};
use crate::billing::amount::Tokens;
use crate::billing::rate_book::Segment;
use crate::billing::time::Instant;

/// A value of the document and its place.
pub struct Spot<'j> {
    pub json: &'j Json,
    pub place: Place,
}

/// An object none of whose members is unknown.
pub struct Members<'j> {
    pub json: &'j Json,
    pub place: Place,
}

impl Reader {
    pub fn fault(&mut self, place: &Place, problem: impl Into<String>) {
        self.faults.push(place.fault(problem));
    }

    pub fn wrong_kind(&mut self, spot: &Spot<'_>, wanted: &str) {
        self.fault(
            &spot.place,
            format!("is {}; give {wanted}", spot.json.kind()),
        );
    }

    pub fn members<'j>(&mut self, spot: &Spot<'j>, known: &[&str]) -> Option<Members<'j>> {
        let Json::Object(members) = spot.json else {
            self.wrong_kind(spot, "an object");
            return None;
        };
        for (name, _) in members {
            if !known.contains(&name.as_str()) && !is_comment(name) {
                let problem = format!("unknown member; known are {}", known.join(", "));
                self.fault(&spot.place.member(name), problem);
            }
        }
        Some(Members {
            json: spot.json,
            place: spot.place.clone(),
        })
    }

    pub fn required<'j>(&mut self, of: &Members<'j>, name: &str) -> Option<Spot<'j>> {
        let spot = of.get(name);
        if spot.is_none() {
            self.fault(&of.place.member(name), "is missing; add it");
        }
        spot
    }

    pub fn list<'j>(&mut self, spot: &Spot<'j>) -> Vec<Spot<'j>> {
        let Json::List(items) = spot.json else {
            self.wrong_kind(spot, "a list");
            return Vec::new();
        };
        if items.len() > ITEMS_MAX {
            self.fault(
                &spot.place,
                format!("{} items; at most {ITEMS_MAX}", items.len()),
            );
            return Vec::new();
        }
        let item = |(index, json)| Spot {
            json,
            place: spot.place.item(index, json),
        };
        items.iter().enumerate().map(item).collect()
    }

    pub fn list_of<'j>(&mut self, of: &Members<'j>, name: &str) -> Vec<Spot<'j>> {
        self.required(of, name)
            .map(|spot| self.list(&spot))
            .unwrap_or_default()
    }

    /// The members of an object that is a table, sorted by name.
    pub fn entries<'j>(&mut self, spot: &Spot<'j>) -> Vec<(&'j str, Spot<'j>)> {
        let Json::Object(members) = spot.json else {
            self.wrong_kind(spot, "an object");
            return Vec::new();
        };
        let mut entries: Vec<(&str, Spot<'_>)> = members
            .iter()
            .filter(|(name, _)| !is_comment(name))
            .map(|(name, json)| {
                (
                    name.as_str(),
                    Spot {
                        json,
                        place: spot.place.member(name),
                    },
                )
            })
            .collect();
        entries.sort_by_key(|(name, _)| *name);
        for (name, spot) in &entries {
            self.check_id(name, &spot.place);
        }
        entries
    }

    pub fn entries_of<'j>(&mut self, of: &Members<'j>, name: &str) -> Vec<(&'j str, Spot<'j>)> {
        self.required(of, name)
            .map(|spot| self.entries(&spot))
            .unwrap_or_default()
    }

    pub fn text<'j>(&mut self, spot: &Spot<'j>) -> Option<&'j str> {
        let Json::Text(text) = spot.json else {
            self.wrong_kind(spot, "a string");
            return None;
        };
        self.check_id(text, &spot.place).then_some(text)
    }

    pub fn text_of(&mut self, of: &Members<'_>, name: &str) -> Box<str> {
        let spot = self.required(of, name);
        spot.and_then(|spot| self.text(&spot))
            .unwrap_or_default()
            .into()
    }

    pub fn texts_of(&mut self, of: &Members<'_>, name: &str) -> Vec<Box<str>> {
        let items = self.list_of(of, name);
        items
            .iter()
            .filter_map(|item| self.text(item))
            .map(Box::from)
            .collect()
    }

    pub fn check_id(&mut self, id: &str, place: &Place) -> bool {
        let chars = id.chars().count();
        let fits = (1..=ID_CHARS_MAX).contains(&chars);
        if !fits {
            self.fault(
                place,
                format!("{chars} characters; give 1 to {ID_CHARS_MAX}"),
            );
        }
        fits
    }

    pub fn integer<T: TryFrom<u64>>(
        &mut self,
        spot: &Spot<'_>,
        range: RangeInclusive<u64>,
    ) -> Option<T> {
        let Json::Integer(value) = *spot.json else {
            self.wrong_kind(spot, "an integer");
            return None;
        };
        let in_range = u64::try_from(value)
            .ok()
            .filter(|value| range.contains(value));
        let number = in_range.and_then(|value| T::try_from(value).ok());
        if number.is_none() {
            let problem = format!(
                "{value} is out of range; give {} to {}",
                range.start(),
                range.end()
            );
            self.fault(&spot.place, problem);
        }
        number
    }

    pub fn integer_of<T: TryFrom<u64> + Default>(
        &mut self,
        of: &Members<'_>,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> T {
        let spot = self.required(of, name);
        spot.and_then(|spot| self.integer(&spot, range))
            .unwrap_or_default()
    }

    pub fn price(&mut self, spot: &Spot<'_>) -> Option<Decimal> {
        let limit = Decimal::from(PRICE_LIMIT);
        let problem = "is out of range; a price is 0 or more and below 10^9";
        self.decimal(spot, |price| price < limit, problem)
    }

    pub fn rate(&mut self, spot: &Spot<'_>) -> Option<Decimal> {
        let problem = "is out of range; a rate lies between 0 and 1, such as \"0.08\"";
        self.decimal(spot, |rate| rate <= Decimal::ONE, problem)
    }

    /// A decimal string in the form of `interfaces.md` 1, not negative.
    pub fn decimal(
        &mut self,
        spot: &Spot<'_>,
        fits: impl Fn(Decimal) -> bool,
        out_of_range: &str,
    ) -> Option<Decimal> {
        let Json::Text(text) = spot.json else {
            self.wrong_kind(spot, "a decimal string such as \"3.00\"");
            return None;
        };
        let exact = Tokens::parse(text)
            .and_then(|read| Decimal::try_from_i128_with_scale(read.micros(), 6).ok());
        let Some(value) = exact.map(|value| value.normalize()) else {
            let problem =
                format!("{text:?} is no decimal of at most 6 fraction digits, such as \"3.00\"");
            self.fault(&spot.place, problem);
            return None;
        };
        let fits = value >= Decimal::ZERO && fits(value);
        if !fits {
            self.fault(&spot.place, format!("{text:?} {out_of_range}"));
        }
        fits.then_some(value)
    }

    pub fn instant(&mut self, spot: &Spot<'_>) -> Option<Instant> {
        let Json::Text(text) = spot.json else {
            self.wrong_kind(spot, "an instant such as \"2026-01-17T00:00:00Z\"");
            return None;
        };
        let instant = Instant::parse(text);
        if instant.is_none() {
            let problem = format!(
                "{text:?} is no instant from 1970 to 2199; write it like 2026-01-17T00:00:00Z"
            );
            self.fault(&spot.place, problem);
        }
        instant
    }

    pub fn instant_of(&mut self, of: &Members<'_>, name: &str) -> Option<Instant> {
        self.required(of, name).and_then(|spot| self.instant(&spot))
    }

    pub fn instant_or_null_of(&mut self, of: &Members<'_>, name: &str) -> Option<Instant> {
        let spot = self
            .required(of, name)
            .filter(|spot| *spot.json != Json::Null)?;
        self.instant(&spot)
    }

    pub fn word<T: Copy>(&mut self, spot: &Spot<'_>, words: &[(&str, T)]) -> Option<T> {
        let Json::Text(text) = spot.json else {
            self.wrong_kind(spot, "a word");
            return None;
        };
        let found = words
            .iter()
            .find(|(word, _)| word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let problem = format!("{text:?} is unknown; use one of {}", known.join(", "));
            self.fault(&spot.place, problem);
        }
        found
    }

    pub fn word_or<T: Copy>(
        &mut self,
        of: &Members<'_>,
        name: &str,
        words: &[(&str, T)],
        default: T,
    ) -> T {
        of.get(name)
            .and_then(|spot| self.word(&spot, words))
            .unwrap_or(default)
    }

    /// A path or root of segments, `{name}` matching any. Paths lose what follows a `?`, so a
    /// pattern with one could never match, nor could one with half a brace have been meant.
    pub fn pattern(&mut self, spot: &Spot<'_>) -> Option<Vec<Segment>> {
        let Json::Text(text) = spot.json else {
            self.wrong_kind(spot, "a path such as \"/{urn}/manifest\"");
            return None;
        };
        let braced = |segment: &str| {
            let name = segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            name.is_some_and(|name| !name.is_empty() && !name.contains(['{', '}']))
        };
        let mut segments = Vec::new();
        for segment in text.split('/').filter(|segment| !segment.is_empty()) {
            if braced(segment) {
                segments.push(Segment::Any);
            } else if segment.contains(['{', '}', '?']) {
                let problem = format!(
                    "segment {segment:?} holds a brace or `?`; \
                     write {{name}} for any one segment, and no query"
                );
                self.fault(&spot.place, problem);
                return None;
            } else {
                segments.push(Segment::Literal(segment.into()));
            }
        }
        Some(segments)
    }
}

impl<'j> Members<'j> {
    pub fn get(&self, name: &str) -> Option<Spot<'j>> {
        let json = self.json.member(name)?;
        Some(Spot {
            json,
            place: self.place.member(name),
        })
    }
}
