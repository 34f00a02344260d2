//! The in-memory twin of [`Directory`](super::directory): the disks of one machine, which outlive
//! its processes, and fail on demand.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fail_point::Life;
use crate::ports::log::Stores;
use crate::ports::{CellVisitor, Cells, Changes, Store, StoreError};

use super::memory::MemoryStore;

/// The disks of one machine, by partition. Clones are handles to the same ones.
#[derive(Clone, Default)]
pub struct TwinDisks {
    disks: Rc<RefCell<BTreeMap<u16, MemoryStore>>>,
}

/// What goes wrong with the stores of a process, in calls; `u64::MAX`: never.
#[derive(Clone, Copy, Debug)]
pub struct StoreFaults {
    /// What is applied becomes durable at every so many-th call.
    pub durable_every: u64,
    /// The read after so many fails, once.
    pub read_fails_after: u64,
    /// The apply after so many fails, and all later ones until the store is opened again.
    pub apply_fails_after: u64,
}

/// The stores of one process.
pub struct TwinStores {
    disks: TwinDisks,
    life: Life,
    faults: StoreFaults,
    open: BTreeSet<u16>,
    /// How often stores were put away with their bytes kept.
    pub quarantined: u64,
}

/// A store that a process has open.
pub struct TwinStore {
    inner: MemoryStore,
    life: Life,
    reads_left: Arc<AtomicU64>,
    applies_left: u64,
    applied: u64,
    durable_every: u64,
}

impl StoreFaults {
    pub const NONE: StoreFaults = StoreFaults {
        durable_every: 1,
        read_fails_after: u64::MAX,
        apply_fails_after: u64::MAX,
    };
}

impl TwinDisks {
    pub fn disk(&self, partition: u16) -> MemoryStore {
        self.disks
            .borrow_mut()
            .entry(partition)
            .or_default()
            .clone()
    }

    /// The process ends: what was not durable is gone.
    pub fn crash(&self) {
        self.disks.borrow().values().for_each(MemoryStore::crash);
    }

    /// The machine gets an empty disk.
    pub fn lose(&self, partition: u16) {
        self.disks.borrow_mut().remove(&partition);
    }
}

impl TwinStores {
    pub fn new(disks: TwinDisks, life: Life, faults: StoreFaults) -> TwinStores {
        TwinStores {
            disks,
            life,
            faults,
            open: BTreeSet::new(),
            quarantined: 0,
        }
    }
}

impl Stores for TwinStores {
    type Store = TwinStore;

    fn open(&mut self, partition: u16) -> Result<Option<TwinStore>, StoreError> {
        pass(&self.life)?;
        if !self.open.insert(partition) {
            return Ok(None);
        }
        let faults = self.faults;
        self.faults = faults.healed();
        Ok(Some(TwinStore {
            inner: self.disks.disk(partition),
            life: self.life.clone(),
            reads_left: Arc::new(AtomicU64::new(faults.read_fails_after)),
            applies_left: faults.apply_fails_after,
            applied: 0,
            durable_every: faults.durable_every,
        }))
    }

    fn flush(&mut self, store: &TwinStore, _is_last: bool) -> Result<(), StoreError> {
        pass(&self.life)?;
        store.inner.flush();
        Ok(())
    }

    fn close(&mut self, partition: u16, _store: TwinStore) {
        self.open.remove(&partition);
    }

    fn discard(&mut self, partition: u16, is_kept: bool) -> Result<(), StoreError> {
        pass(&self.life)?;
        self.quarantined += u64::from(is_kept);
        self.disks.lose(partition);
        Ok(())
    }
}

impl StoreFaults {
    /// Only the first store that a process opens fails.
    fn healed(self) -> StoreFaults {
        StoreFaults {
            durable_every: self.durable_every,
            ..StoreFaults::NONE
        }
    }
}

impl TwinStore {
    fn read(&self) -> Result<(), StoreError> {
        pass(&self.life)?;
        let left = self.reads_left.load(Ordering::Relaxed);
        self.reads_left
            .store(left.wrapping_sub(1), Ordering::Relaxed);
        match left {
            0 => Err(StoreError::Failed("a read (on demand)".into())),
            _ => Ok(()),
        }
    }
}

impl Cells for TwinStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read()?;
        self.inner.get(key)
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.read()?;
        self.inner.get_many(keys)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut CellVisitor) -> Result<(), StoreError> {
        self.read()?;
        self.inner.scan(from, to, visit)
    }
}

impl Store for TwinStore {
    fn apply(&mut self, changes: &Changes) -> Result<(), StoreError> {
        pass(&self.life)?;
        if self.applies_left == 0 {
            return Err(StoreError::Failed("no space left (on demand)".into()));
        }
        self.applies_left -= 1;
        self.inner.apply(changes)?;
        self.applied += 1;
        if self.applied.is_multiple_of(self.durable_every) {
            self.inner.flush();
        }
        Ok(())
    }
}

fn pass(life: &Life) -> Result<(), StoreError> {
    match life.pass() {
        true => Ok(()),
        false => Err(StoreError::Failed("the process has ended".into())),
    }
}
