//! What a team did and owes in one calendar month (`fold.md` 5.1 and 7).

use smallvec::{Array, SmallVec};
use thin_vec::ThinVec;

use super::amount::{Overflow, Tokens};
use super::rate_book::{CardNo, MeterNo, ScopeNo};
use super::time::Month;

/// One month of a team. Open until its close instant; after it nothing here changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeamMonth {
    pub month: Month,
    /// Usage taken free, by meter, ascending by number.
    pub free_used: SmallVec<[(MeterNo, u64); 2]>,
    /// Usage past a cap, by meter, ascending by number.
    pub over_cap: ThinVec<(MeterNo, u64)>,
    /// Scopes whose cap was reached, ascending by number.
    pub capped: ThinVec<ScopeNo>,
    /// Ascending by key.
    pub lines: ThinVec<(LineKey, Booked)>,
    /// For usage of closed months; ascending by (usage month, key).
    pub adjustments: ThinVec<((Month, LineKey), Booked)>,
}

/// Rated usage is booked by meter and rate card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineKey {
    pub meter: MeterNo,
    pub card: CardNo,
}

/// Usage and who pays for it; `charge = prepaid + postpaid + uncharged`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Booked {
    pub usage: i128,
    pub charge: Tokens,
    pub prepaid: Tokens,
    pub postpaid: Tokens,
    pub uncharged: Tokens,
}

impl TeamMonth {
    pub fn new(month: Month) -> TeamMonth {
        TeamMonth {
            month,
            free_used: SmallVec::new(),
            over_cap: ThinVec::new(),
            capped: ThinVec::new(),
            lines: ThinVec::new(),
            adjustments: ThinVec::new(),
        }
    }

    pub fn free_used(&self, meter: MeterNo) -> u64 {
        get(&self.free_used, meter).copied().unwrap_or(0)
    }

    pub fn is_capped(&self, scope: ScopeNo) -> bool {
        self.capped.binary_search(&scope).is_ok()
    }

    pub fn mark_capped(&mut self, scope: ScopeNo) {
        if let Err(at) = self.capped.binary_search(&scope) {
            self.capped.insert(at, scope);
        }
    }

    pub fn free_used_mut(&mut self, meter: MeterNo) -> &mut u64 {
        entry(&mut self.free_used, meter)
    }

    pub fn over_cap_mut(&mut self, meter: MeterNo) -> &mut u64 {
        entry(&mut self.over_cap, meter)
    }

    pub fn line_mut(&mut self, key: LineKey) -> &mut Booked {
        entry(&mut self.lines, key)
    }

    pub fn adjustment_mut(&mut self, usage_month: Month, key: LineKey) -> &mut Booked {
        entry(&mut self.adjustments, (usage_month, key))
    }

    pub fn line(&self, key: LineKey) -> Booked {
        get(&self.lines, key).copied().unwrap_or_default()
    }

    pub fn adjustment(&self, usage_month: Month, key: LineKey) -> Booked {
        get(&self.adjustments, (usage_month, key))
            .copied()
            .unwrap_or_default()
    }

    /// Whether postpaid tokens are booked here, as a line or an adjustment.
    pub fn has_postpaid(&self) -> bool {
        let lines = self.lines.iter().map(|(_, booked)| booked);
        let adjustments = self.adjustments.iter().map(|(_, booked)| booked);
        lines
            .chain(adjustments)
            .any(|booked| !booked.postpaid.is_zero())
    }
}

impl Booked {
    pub fn add(&mut self, other: &Booked) -> Result<(), Overflow> {
        self.usage = self.usage.checked_add(other.usage).ok_or(Overflow)?;
        self.charge = self.charge.plus(other.charge)?;
        self.prepaid = self.prepaid.plus(other.prepaid)?;
        self.postpaid = self.postpaid.plus(other.postpaid)?;
        self.uncharged = self.uncharged.plus(other.uncharged)?;
        Ok(())
    }

    /// Whether usage, charge and all parts are zero; such entries are not shown.
    pub fn is_zero(&self) -> bool {
        self.usage == 0
            && self.charge.is_zero()
            && self.prepaid.is_zero()
            && self.postpaid.is_zero()
            && self.uncharged.is_zero()
    }

    /// `fold.md` 10.1.
    pub fn is_conserved(&self) -> Result<bool, Overflow> {
        Ok(self.prepaid.plus(self.postpaid)?.plus(self.uncharged)? == self.charge)
    }
}

fn get<K: Ord + Copy, V>(sorted: &[(K, V)], key: K) -> Option<&V> {
    let index = sorted.binary_search_by_key(&key, |(key, _)| *key).ok()?;
    sorted.get(index).map(|(_, value)| value)
}

/// A list of entries ascending by key.
trait Sorted<K, V> {
    fn entries(&mut self) -> &mut [(K, V)];
    fn insert_at(&mut self, index: usize, entry: (K, V));
}

impl<K, V> Sorted<K, V> for ThinVec<(K, V)> {
    fn entries(&mut self) -> &mut [(K, V)] {
        self
    }

    fn insert_at(&mut self, index: usize, entry: (K, V)) {
        self.insert(index, entry);
    }
}

impl<K, V, A: Array<Item = (K, V)>> Sorted<K, V> for SmallVec<A> {
    fn entries(&mut self) -> &mut [(K, V)] {
        self
    }

    fn insert_at(&mut self, index: usize, entry: (K, V)) {
        self.insert(index, entry);
    }
}

fn entry<'a, K: Ord + Copy + 'a, V: Default + 'a>(
    sorted: &'a mut impl Sorted<K, V>,
    key: K,
) -> &'a mut V {
    let index = match sorted.entries().binary_search_by_key(&key, |(key, _)| *key) {
        Ok(index) => index,
        Err(index) => {
            sorted.insert_at(index, (key, V::default()));
            index
        }
    };
    &mut sorted.entries()[index].1
}
