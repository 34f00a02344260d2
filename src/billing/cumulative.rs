//! Cumulative usage per meter, era and card, from which charges are differences (`fold.md` 2).

use thin_vec::ThinVec;

use super::amount::Overflow;
use super::rate_book::{CardNo, MeterNo, RateBook, RateCard};

/// Key order puts the cards of a meter's era side by side, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CumulativeKey {
    pub meter: MeterNo,
    pub era: u32,
    pub card: CardNo,
}

/// `base <= cum`; charges so far are `charged(cum) - charged(base)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cumulative {
    pub key: CumulativeKey,
    pub base: u64,
    pub cum: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cumulatives(ThinVec<Cumulative>);

impl Cumulatives {
    /// From a stored list, ascending by key.
    pub fn from_stored(ascending: ThinVec<Cumulative>) -> Cumulatives {
        Cumulatives(ascending)
    }

    pub fn as_slice(&self) -> &[Cumulative] {
        &self.0
    }

    /// The cumulative of `key`. The first usage under a card in an era starts it at the carry of
    /// the card used before, which moves.
    pub fn start(
        &mut self,
        book: &RateBook,
        key: CumulativeKey,
    ) -> Result<&mut Cumulative, Overflow> {
        let index = match self.0.binary_search_by_key(&key, |entry| entry.key) {
            Ok(index) => index,
            Err(index) => {
                let older = index.checked_sub(1).and_then(|index| self.0.get_mut(index));
                let older =
                    older.filter(|older| (older.key.meter, older.key.era) == (key.meter, key.era));
                let carry = match older {
                    Some(older) => {
                        let carry = carry_of(book.card(older.key.card), older);
                        older.cum = older.cum.checked_sub(carry).ok_or(Overflow)?;
                        older.base = older.base.min(older.cum);
                        carry
                    }
                    None => 0,
                };
                self.0.insert(
                    index,
                    Cumulative {
                        key,
                        base: carry,
                        cum: carry,
                    },
                );
                index
            }
        };
        Ok(&mut self.0[index])
    }

    /// (meter, usage short of a whole unit) of every meter used in `era`, by its latest used card;
    /// zero entries left out.
    pub fn carry_over<'a>(
        &'a self,
        book: &'a RateBook,
        era: u32,
    ) -> impl Iterator<Item = (MeterNo, u64)> + 'a {
        let in_era = self.0.iter().filter(move |entry| entry.key.era == era);
        let mut latest: Vec<&Cumulative> = Vec::new();
        for entry in in_era {
            match latest.last_mut() {
                Some(last) if last.key.meter == entry.key.meter => *last = entry,
                _ => latest.push(entry),
            }
        }
        let carry =
            |entry: &Cumulative| (entry.key.meter, carry_of(book.card(entry.key.card), entry));
        latest
            .into_iter()
            .map(carry)
            .filter(|(_, carry)| *carry > 0)
    }
}

fn carry_of(card: &RateCard, entry: &Cumulative) -> u64 {
    card.meter(entry.key.meter)
        .map_or(0, |meter| card.carry(meter, entry.cum))
}
