//! One partition of a topic that transactions write.

use std::collections::BTreeMap;

use super::Transaction;

/// A record, committed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub offset: i64,
    pub transaction: usize,
    pub appended_at_millis: i64,
    pub key: Vec<u8>,
    /// None: deleted.
    pub value: Option<Vec<u8>>,
}

/// Of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Committed,
    Aborted,
}

#[derive(Clone, Default)]
pub struct Topic {
    pub entries: Vec<Entry>,
    /// The high watermark.
    pub next: i64,
}

impl Topic {
    pub fn append(
        &mut self,
        transaction: usize,
        key: &[u8],
        value: Option<&[u8]>,
        appended_at_millis: i64,
    ) {
        self.entries.push(Entry {
            offset: self.next,
            transaction,
            appended_at_millis,
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        });
        self.next += 1;
    }

    /// A control record follows what the transaction wrote.
    pub fn end(&mut self, transaction: usize) {
        if self.entries.iter().any(|it| it.transaction == transaction) {
            self.next += 1;
        }
    }

    /// The last stable offset: where the first open transaction begins.
    pub(super) fn stable_end(&self, transactions: &[Transaction]) -> i64 {
        let open = self
            .entries
            .iter()
            .find(|it| transactions[it.transaction].state == State::Open);
        open.map_or(self.next, |entry| entry.offset)
    }

    pub(super) fn compact(&mut self, cut: i64, transactions: &[Transaction]) {
        let is_committed =
            |entry: &Entry| transactions[entry.transaction].state == State::Committed;
        let mut last: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
        for entry in &self.entries {
            if entry.offset < cut && is_committed(entry) {
                last.insert(entry.key.clone(), entry.offset);
            }
        }
        self.entries.retain(|entry| {
            entry.offset >= cut
                || (is_committed(entry) && last.get(&entry.key) == Some(&entry.offset))
        });
    }
}
