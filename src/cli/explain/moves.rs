//! What one step of the fold moved, from the account before and after it: the cumulative of a
//! meter, and the lots.
//!
//! What differs must account for what the fold posted; else the explanation would not be true.

use std::collections::BTreeMap;

use crate::billing::account::TeamAccount;
use crate::billing::amount::{Overflow, Tokens};
use crate::billing::context::Broken;
use crate::billing::cumulative::{Cumulative, CumulativeKey};
use crate::billing::event::Event;
use crate::billing::lot::Lots;
use crate::billing::month::LineKey;
use crate::billing::rating::Posting;
use crate::processor::step::Step;

use super::explanation::{LotKey, Stretch};

/// How the cumulative of the posting's meter moved; it must account for usage and charge.
pub fn stretch(
    step: &Step,
    event: &Event<&str>,
    key: LineKey,
    posting: &Posting,
) -> Result<Stretch, Broken> {
    let book = step.context.book;
    let key = CumulativeKey {
        meter: key.meter,
        era: step.after.era_at(book, event.time),
        card: key.card,
    };
    let find = |account: &TeamAccount| -> Option<Cumulative> {
        let mut all = account.cumulatives.as_slice().iter();
        all.find(|entry| entry.key == key).copied()
    };
    let after = find(step.after).ok_or(Broken::Invariant(
        "fold.md 2: rated usage moves a cumulative",
    ))?;
    let before = find(step.before);
    let from = before.map_or(after.base, |before| before.cum);
    let card = book.card(key.card);
    let meter = card
        .meter(key.meter)
        .ok_or(Broken::Invariant("a charged meter is one of its card"))?;
    let charge = card
        .charged(meter, after.cum)?
        .minus(card.charged(meter, from)?)?;
    if charge != posting.booked.charge
        || i128::from(after.cum) - i128::from(from) != posting.booked.usage
    {
        return Err(Broken::Invariant(
            "fold.md 10.3: a charge is the difference of charged(cumulative)",
        ));
    }
    Ok(Stretch {
        era: key.era,
        from,
        to: after.cum,
        is_carried_in: before.is_none() && after.base > 0,
    })
}

/// What each lot gave for a charge; together it is what was paid from lots.
pub fn drawn(
    before: &Lots,
    after: &Lots,
    posting: &Posting,
) -> Result<Vec<(LotKey, Tokens)>, Broken> {
    let prepaid = posting.booked.prepaid;
    if !prepaid.is_positive() {
        return Ok(Vec::new());
    }
    let after = remaining(after)?;
    let mut parts = Vec::new();
    let mut sum = Tokens::ZERO;
    for (lot, held) in remaining(before)? {
        let left = after.get(&lot).copied().unwrap_or_default();
        let part = held.minus(left)?;
        if !part.is_zero() {
            sum = sum.plus(part)?;
            parts.push((lot, part));
        }
    }
    if sum != prepaid {
        return Err(Broken::Invariant(
            "fold.md 5.1: what is prepaid is drawn from lots",
        ));
    }
    Ok(parts)
}

/// What the lots hold.
pub fn remaining(lots: &Lots) -> Result<BTreeMap<LotKey, Tokens>, Overflow> {
    let mut held: BTreeMap<LotKey, Tokens> = BTreeMap::new();
    for lot in lots.in_draw_order() {
        let sum = held.entry(LotKey::of(lot)).or_default();
        *sum = sum.plus(lot.remaining)?;
    }
    Ok(held)
}
