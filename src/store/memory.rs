//! The in-memory twin of RocksDB: keeps *live* and *durable* cells apart and fails on demand, so
//! that a test can end a process anywhere and see what a disk would have kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ports::{CellVisitor, Cells, Changes, Store, StoreError};

type CellMap = BTreeMap<Vec<u8>, Vec<u8>>;

/// A disk. Clones are handles to the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    live: CellMap,
    durable: CellMap,
    applies_until_failure: Option<u64>,
}

impl MemoryStore {
    /// What was applied so far survives a crash.
    pub fn flush(&self) {
        self.with(|disk| disk.durable = disk.live.clone());
    }

    /// The process ends: what was not flushed is gone.
    pub fn crash(&self) {
        self.with(|disk| {
            disk.live = disk.durable.clone();
            disk.applies_until_failure = None;
        });
    }

    /// The apply after `count` more fails, and every one after it.
    pub fn fail_after(&self, count: u64) {
        self.with(|disk| disk.applies_until_failure = Some(count));
    }

    /// All live cells, in key order.
    pub fn cells(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.with(|disk| disk.live.clone())
    }

    fn with<T>(&self, use_disk: impl FnOnce(&mut Disk) -> T) -> T {
        use_disk(&mut self.disk.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cells for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.with(|disk| disk.live.get(key).cloned()))
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut CellVisitor) -> Result<(), StoreError> {
        self.with(|disk| {
            for (key, value) in disk.live.range(from.to_vec()..to.to_vec()) {
                if visit(key, value).is_break() {
                    break;
                }
            }
        });
        Ok(())
    }
}

impl Store for MemoryStore {
    fn apply(&mut self, changes: &Changes) -> Result<(), StoreError> {
        self.with(|disk| {
            match &mut disk.applies_until_failure {
                Some(0) => return Err(StoreError::Failed("no space left (on demand)".into())),
                Some(left) => *left -= 1,
                None => {}
            }
            for (key, value) in changes.iter() {
                match value {
                    Some(value) => disk.live.insert(key.to_vec(), value.to_vec()),
                    None => disk.live.remove(key),
                };
            }
            Ok(())
        })
    }
}
