//! One rate book against another: whether the new one continues the old (`engine.md` 5, *Rate
//! book*). `run` and `replay --state` ask it before they adopt a book, `rates check --against`
//! before anybody does.
//!
//! Comments, layout and the order of members say nothing. Everything else is compared as it is
//! written: `"3.0"` for `"3.00"`, or a default spelled out, is a change. Texts that are no sound
//! JSON are refused; whether they are sound books is `read`'s matter.

use super::document::{self, Json, Place};
use super::{BookFaults, Fault};
use crate::billing::rate_book::{CardNo, RateBook, Regime};
use crate::billing::time::Instant;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BookChange {
    Same,
    /// Newer: the old one with cards appended from `first_card` on, and perhaps currencies added.
    Appended {
        first_card: CardNo,
    },
    /// A strict prefix: the old one stays in force.
    Older,
    /// Anything else, with the first difference: `card` is the first card that differs or is gone,
    /// None a book-wide setting. Cards before it are equal.
    Different {
        card: Option<CardNo>,
        fault: Fault,
    },
}

/// BLAKE3 of what the book says, whatever its comments and layout.
pub fn canonical_digest(text: &[u8]) -> Result<[u8; 32], BookFaults> {
    let canonical = document::read(text)?.canonical().to_string();
    Ok(*blake3::hash(canonical.as_bytes()).as_bytes())
}

/// What the new book is to the old one.
pub fn compare(old: &[u8], new: &[u8]) -> Result<BookChange, BookFaults> {
    let (old, new) = (
        document::read(old)?.canonical(),
        document::read(new)?.canonical(),
    );
    if old == new {
        return Ok(BookChange::Same);
    }
    Ok(match first_obstacle(&old, &new) {
        None => BookChange::Appended {
            first_card: card_no(cards(&old).len()),
        },
        Some(_) if first_obstacle(&new, &old).is_none() => BookChange::Older,
        Some((card, fault)) => BookChange::Different { card, fault },
    })
}

/// What forbids a partition whose clock is `clock` to adopt `book`, whose cards from `first_card`
/// on are new (`engine.md` 5): what was folded must stay priced as it was, and months must go on
/// closing in order.
pub fn check_adoption(
    book: &RateBook,
    first_card: CardNo,
    clock: Instant,
) -> Result<(), BookFaults> {
    let mut faults = Vec::new();
    let foreseen = clock.plus_millis(book.future_skew_millis);
    let first = usize::from(first_card.0);
    for (index, card) in book.cards.iter().enumerate().skip(first) {
        let mut refuse = |field: &str, problem: String| {
            let place = format!("cards[{index}].{field} (card {})", card.id.escape_debug());
            faults.push(Fault { place, problem });
        };
        let from = card.effective_from;
        if index == first && from <= foreseen {
            let problem = format!(
                "{from} would price anew what may be folded already; \
                 let the new card take effect after {foreseen} (the clock and the future skew)"
            );
            refuse("effective_from", problem);
        }
        let before = index.checked_sub(1).map(|before| &book.cards[before]);
        if before.is_some_and(|before| before.close_grace_millis != card.close_grace_millis)
            && from != from.month().start()
        {
            let problem = "differs from the card before; \
                           a new grace takes effect at the first instant of a month";
            refuse("close_grace_hours", problem.to_owned());
        }
        if card.regime == Regime::Tiers && book.launch == Some(from) {
            let problem = "an appended card would be the launch; \
                           the first tiers card must be in the book from the start";
            refuse("regime", problem.to_owned());
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(BookFaults(faults))
    }
}

/// Why `longer` is not `base` with cards appended and perhaps currencies added: the first reason,
/// with the card that it lies in. Settings come first, then the cards in order.
fn first_obstacle(base: &Json, longer: &Json) -> Option<(Option<CardNo>, Fault)> {
    let settings = |book: &Json| match book {
        Json::Object(members) => Json::Object(
            members
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "cards" | "currencies"))
                .cloned()
                .collect(),
        ),
        other => other.clone(),
    };
    let root = Place::default();
    if let Some(fault) = first_difference(&settings(base), &settings(longer), &root) {
        return Some((None, fault));
    }
    let place = root.member("currencies");
    for (code, digits) in currencies(base) {
        let place = place.member(code);
        let now = currencies(longer).iter().find(|(other, _)| other == code);
        let Some((_, now)) = now else {
            return Some((None, place.fault("is missing; put it back")));
        };
        if let Some(fault) = first_difference(digits, now, &place) {
            return Some((None, fault));
        }
    }
    let place = root.member("cards");
    for (index, card) in cards(base).iter().enumerate() {
        let here = place.item(index, card);
        let fault = match cards(longer).get(index) {
            None => Some(here.fault("is missing; put it back")),
            Some(now) => first_difference(card, now, &here),
        };
        if let Some(fault) = fault {
            return Some((Some(card_no(index)), fault));
        }
    }
    if cards(longer).len() > cards(base).len() {
        return None;
    }
    let added = currencies(longer)
        .iter()
        .find(|(code, _)| currencies(base).iter().all(|(known, _)| known != code));
    added.map(|(code, _)| {
        let fault = root.member("currencies").member(code);
        (
            None,
            fault.fault("is added without a new card; add it with the first card that prices it"),
        )
    })
}

/// The first value, in the order of the sorted members, that `old` and `new` do not share.
fn first_difference(old: &Json, new: &Json, place: &Place) -> Option<Fault> {
    match (old, new) {
        (Json::Object(old), Json::Object(new)) => {
            let value = |members: &[(String, Json)], name: &str| {
                members
                    .iter()
                    .find(|(other, _)| other == name)
                    .map(|(_, value)| value.clone())
            };
            let mut names: Vec<&String> = old.iter().chain(new).map(|(name, _)| name).collect();
            names.sort_unstable();
            names.dedup();
            names.into_iter().find_map(|name| {
                let place = place.member(name);
                match (value(old, name), value(new, name)) {
                    (Some(old), Some(new)) => first_difference(&old, &new, &place),
                    (Some(_), None) => Some(place.fault("is missing; put it back")),
                    (None, _) => Some(place.fault("is new; take it out")),
                }
            })
        }
        (Json::List(old), Json::List(new)) => {
            let shared = old
                .iter()
                .zip(new)
                .enumerate()
                .find_map(|(index, (old, new))| {
                    first_difference(old, new, &place.item(index, old))
                });
            let shared_len = old.len().min(new.len());
            shared.or_else(|| match (old.get(shared_len), new.get(shared_len)) {
                (Some(gone), _) => Some(
                    place
                        .item(shared_len, gone)
                        .fault("is missing; put it back"),
                ),
                (_, Some(added)) => {
                    Some(place.item(shared_len, added).fault("is new; take it out"))
                }
                (None, None) => None,
            })
        }
        _ if old == new => None,
        _ => Some(place.fault(format!("was {old}, is now {new}; put it back"))),
    }
}

fn cards(book: &Json) -> &[Json] {
    match book.member("cards") {
        Some(Json::List(cards)) => cards,
        _ => &[],
    }
}

fn currencies(book: &Json) -> &[(String, Json)] {
    match book.member("currencies") {
        Some(Json::Object(currencies)) => currencies,
        _ => &[],
    }
}

/// `read` refuses a book of more cards than a number can name.
fn card_no(index: usize) -> CardNo {
    CardNo(u16::try_from(index).unwrap_or(u16::MAX))
}
