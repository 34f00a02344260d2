//! Checks between the parts of a book: what each part cannot know alone (`fold.md` 6.2).
//!
//! They run on what was read, after it, and look only at what could be read.

use std::collections::{BTreeMap, HashSet};

use super::document::Place;
use super::values::Members;
use super::{CardDraft, ITEMS_MAX, Reader};
use crate::billing::rate_book::{Currency, RateBook, Regime};
use crate::billing::time::{Instant, Month};

impl Reader {
    pub fn check_currency(&mut self, code: &str, place: &Place, currencies: &[Currency]) {
        if currencies
            .iter()
            .all(|currency| currency.code.as_ref() != code)
        {
            let problem = format!("the book's currencies lack {code:?}; add it with its digits");
            self.fault(place, problem);
        }
    }

    pub fn check_numbers(&mut self, book: &Members<'_>) {
        let numberings = [
            ("meters", &self.meters),
            ("APIs", &self.apis),
            ("cap scopes", &self.scopes),
        ];
        let crowded: Vec<&str> = numberings
            .into_iter()
            .filter(|(_, numbering)| numbering.ids.len() > ITEMS_MAX)
            .map(|(what, _)| what)
            .collect();
        for what in crowded {
            let problem = format!("over {ITEMS_MAX} different {what}; begin a new book");
            self.fault(&book.place.member("cards"), problem);
        }
    }

    pub fn check_card_ids(&mut self, drafts: &[CardDraft]) {
        let mut seen: HashSet<&str> = HashSet::new();
        for draft in drafts {
            let id = draft.card.id.as_ref();
            if !seen.insert(id) && !id.is_empty() {
                let problem = format!("{id:?} is the id of an earlier card too; rename one");
                self.fault(&draft.place.member("id"), problem);
            }
        }
    }

    /// Whether all effective times are known and ascend.
    pub fn check_card_order(&mut self, drafts: &[CardDraft]) -> bool {
        let mut sound = true;
        let mut before: Option<Instant> = None;
        for draft in drafts {
            if let (Some(from), Some(before)) = (draft.effective_from, before)
                && from <= before
            {
                let problem =
                    format!("{from} is not after {before} of the card before; order cards");
                self.fault(&draft.place.member("effective_from"), problem);
                sound = false;
            }
            sound &= draft.effective_from.is_some();
            before = draft.effective_from.or(before);
        }
        sound
    }

    /// A currency once sold stays priced: a team keeps its own for ever.
    pub fn check_continued_prices(&mut self, drafts: &[CardDraft]) {
        let mut priced: BTreeMap<&str, &str> = BTreeMap::new();
        for draft in drafts
            .iter()
            .filter(|draft| draft.card.regime == Regime::Tiers)
        {
            for (code, card) in &priced {
                if draft.prices.iter().all(|(own, _)| own.as_ref() != *code) {
                    let problem = format!("lacks {code:?}, which card {card:?} prices; add it");
                    self.fault(&draft.place.member("price_per_token"), problem);
                }
            }
            for (code, _) in &draft.prices {
                priced.entry(code).or_insert(&draft.card.id);
            }
        }
    }

    /// Months close in their order. Over all months that an event can lie in, and one more: a
    /// walk over the calendar is short, and needs no thought about which cards end where.
    pub fn check_close_instants(&mut self, book: &RateBook, places: &[Place]) {
        let mut month = Instant::EPOCH.month();
        while month < Instant::END.month() {
            let next = month.next();
            let (closes, next_closes) = (book.closes_at(month), book.closes_at(next));
            if next_closes <= closes
                && let Some(card) = card_of_end(book, next)
            {
                let problem = format!(
                    "{next} would close at {next_closes}, {month} not before at {closes}; \
                     give this card more hours or the one before it fewer"
                );
                self.fault(&places[card].member("close_grace_hours"), problem);
            }
            month = next;
        }
    }
}

fn card_of_end(book: &RateBook, month: Month) -> Option<usize> {
    book.card_at(month.end().minus_millis(1))
        .map(|card| usize::from(card.0))
}
