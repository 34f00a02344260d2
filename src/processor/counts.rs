//! How many events met which end: what the summary of a run tells.

use std::collections::BTreeMap;

use crate::billing::derived_event::DerivedKind;
use crate::billing::disposition::Disposition;
use crate::billing::event::DeadLetterReason;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Every input record, whatever became of it.
    pub events: u64,
    pub by_disposition: BTreeMap<Disposition, u64>,
    pub dead_letters: BTreeMap<DeadLetterReason, u64>,
    pub derived: BTreeMap<DerivedKind, u64>,
}

impl Counts {
    pub fn disposed(&mut self, disposition: Disposition) {
        self.events += 1;
        *self.by_disposition.entry(disposition).or_default() += 1;
    }

    pub fn dead_letter(&mut self, reason: DeadLetterReason) {
        self.events += 1;
        *self.dead_letters.entry(reason).or_default() += 1;
    }

    pub fn derived(&mut self, kind: DerivedKind) {
        *self.derived.entry(kind).or_default() += 1;
    }

    pub fn add(&mut self, other: &Counts) {
        self.events += other.events;
        add_each(&mut self.by_disposition, &other.by_disposition);
        add_each(&mut self.dead_letters, &other.dead_letters);
        add_each(&mut self.derived, &other.derived);
    }

    /// What was added to the dispositions since `before`.
    pub fn dispositions_since(&self, before: &Counts) -> Vec<(Disposition, u64)> {
        since(&self.by_disposition, &before.by_disposition)
    }

    /// What was added to the dead letters since `before`, by name of the reason.
    pub fn dead_letters_since(&self, before: &Counts) -> Vec<(String, u64)> {
        let added = since(&self.dead_letters, &before.dead_letters).into_iter();
        added
            .map(|(reason, count)| (reason.name().to_owned(), count))
            .collect()
    }

    /// `fold.md` 10.6: every record has exactly one disposition.
    pub fn is_conserved(&self) -> bool {
        let disposed: u64 = self
            .by_disposition
            .values()
            .chain(self.dead_letters.values())
            .sum();
        disposed == self.events
    }
}

fn since<K: Ord + Copy>(now: &BTreeMap<K, u64>, before: &BTreeMap<K, u64>) -> Vec<(K, u64)> {
    let added = now.iter().map(|(key, count)| {
        let earlier = before.get(key).copied().unwrap_or_default();
        (*key, count - earlier)
    });
    added.filter(|(_, count)| *count > 0).collect()
}

fn add_each<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(*key).or_default() += count;
    }
}
