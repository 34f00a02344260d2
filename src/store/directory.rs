//! The stores of a process on a log: one RocksDB directory a partition under one state directory,
//! with one budget of memory for all.
//!
//! A partition may come back to a process before another of its workers has closed it; the set of
//! open ones is shared, and an assignment waits.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::billing::rate_book::RateBook;
use crate::ports::StoreError;
use crate::ports::log::{StoreFigures, Stores};

use super::rocks::{Budget, Rocks, RocksStore};
use super::views::Views;

/// Damaged stores that are kept of one partition; the first ones tell most.
const QUARANTINED_MAX: u32 = 3;

/// One worker's handle; clones share.
pub struct Directory {
    path: PathBuf,
    budget: Budget,
    open: Arc<Mutex<BTreeSet<u16>>>,
    views: Views,
    /// Opened through this handle and not closed yet: given back with it, whatever ended its worker.
    own: BTreeSet<u16>,
}

impl Directory {
    pub fn new(path: &Path) -> std::io::Result<Directory> {
        fs::create_dir_all(path)?;
        Ok(Directory {
            path: path.to_owned(),
            budget: Budget::new(),
            open: Arc::default(),
            views: Views::default(),
            own: BTreeSet::new(),
        })
    }

    /// Lets the readers of `views` see what runs.
    pub fn showing(self, views: Views) -> Directory {
        let mut shown = self;
        shown.views = views;
        shown
    }

    pub fn partition_path(&self, partition: u16) -> PathBuf {
        self.path.join(format!("partition-{partition}"))
    }

    /// The store of a partition, in a database that holds nothing else.
    fn open_alone(&self, partition: u16) -> Result<RocksStore, StoreError> {
        let path = self.partition_path(partition);
        let rocks = Rocks::open_within(&path, &self.budget)?;
        match rocks.partitions()? {
            Some((first, last)) if (first, last) != (partition, partition) => {
                let other = if first == partition { last } else { first };
                Err(StoreError::Unusable(format!(
                    "{} belongs to partition {other}, not to partition {partition}; nothing was changed \
                     in it: put it back, or move it away and let state be restored",
                    path.display()
                )))
            }
            _ => Ok(rocks.partition(partition)),
        }
    }

    fn with_open<T>(&self, use_set: impl FnOnce(&mut BTreeSet<u16>) -> T) -> T {
        use_set(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clone for Directory {
    fn clone(&self) -> Directory {
        Directory {
            path: self.path.clone(),
            budget: self.budget.clone(),
            open: Arc::clone(&self.open),
            views: self.views.clone(),
            own: BTreeSet::new(),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let own = std::mem::take(&mut self.own);
        own.iter().for_each(|partition| self.views.hide(*partition));
        self.with_open(|open| open.retain(|partition| !own.contains(partition)));
    }
}

impl Stores for Directory {
    type Store = RocksStore;

    fn open(&mut self, partition: u16) -> Result<Option<RocksStore>, StoreError> {
        if !self.with_open(|open| open.insert(partition)) {
            return Ok(None);
        }
        match self.open_alone(partition) {
            Ok(store) => {
                self.own.insert(partition);
                Ok(Some(store))
            }
            Err(error) => {
                self.with_open(|open| open.remove(&partition));
                Err(error)
            }
        }
    }

    fn flush(&mut self, store: &RocksStore, is_last: bool) -> Result<(), StoreError> {
        store.flush(is_last)
    }

    fn figures(&self, store: &RocksStore) -> StoreFigures {
        store.figures()
    }

    fn show(&mut self, partition: u16, store: &RocksStore, book: &Arc<RateBook>) {
        self.views.show(partition, store, book);
    }

    fn hide(&mut self, partition: u16) {
        self.views.hide(partition);
    }

    fn close(&mut self, partition: u16, store: RocksStore) {
        self.views.hide(partition);
        drop(store);
        self.own.remove(&partition);
        self.with_open(|open| open.remove(&partition));
    }

    fn discard(&mut self, partition: u16, is_kept: bool) -> Result<(), StoreError> {
        let path = self.partition_path(partition);
        let failed = |error: std::io::Error| {
            StoreError::Failed(format!("{}: cannot be put away: {error}", path.display()))
        };
        if !is_kept {
            return match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
                _ => Ok(()),
            };
        }
        let aside = (1..=QUARANTINED_MAX)
            .map(|number| path.with_extension(format!("quarantined-{number}")))
            .find(|aside| !aside.exists());
        match aside {
            Some(aside) => fs::rename(&path, aside).map_err(failed),
            None => self.discard(partition, false),
        }
    }
}
