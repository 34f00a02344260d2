//! What other threads may read of the partitions that run in this process.
//!
//! A worker shows a partition when it begins to run and hides it before its store is closed or
//! checked again. A reader sees one moment of it, META and teams of the same commit, and nothing
//! that is not committed. It takes no lock that a fold or a commit takes: only hiding waits, for
//! reads under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::billing::rate_book::RateBook;

use super::rocks::{RocksReader, RocksStore, RocksView};

/// Clones share.
#[derive(Clone, Default)]
pub struct Views {
    shown: Arc<Mutex<Partitions>>,
}

/// None within: hidden by now.
type Partitions = BTreeMap<u16, Arc<RwLock<Option<Shown>>>>;

struct Shown {
    reader: RocksReader,
    book: Arc<RateBook>,
}

impl Views {
    pub fn show(&self, partition: u16, store: &RocksStore, book: &Arc<RateBook>) {
        let shown = Shown {
            reader: store.reader(),
            book: Arc::clone(book),
        };
        let shown = Arc::new(RwLock::new(Some(shown)));
        self.with(|all| all.insert(partition, shown));
    }

    /// Waits for those who read.
    pub fn hide(&self, partition: u16) {
        if let Some(shown) = self.with(|all| all.remove(&partition)) {
            *shown.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Has `read` look at the partition and the rate book that it runs under. None: it is not shown.
    pub fn read<T>(
        &self,
        partition: u16,
        read: impl FnOnce(&RocksView<'_>, &RateBook) -> T,
    ) -> Option<T> {
        let shown = self.with(|all| all.get(&partition).cloned())?;
        let shown = shown.read().unwrap_or_else(PoisonError::into_inner);
        let shown = shown.as_ref()?;
        Some(read(&shown.reader.view(), &shown.book))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Partitions) -> T) -> T {
        look(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
