//! A store whose changes gather in memory and go down to the store below in one batch.
//!
//! For a state that nobody else reads and that need not outlive its process, as that of a refold:
//! a cell that every commit writes goes down once for many of them. What is read is always what was
//! applied last.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::ops::ControlFlow;

use crate::ports::{CellVisitor, Cells, Changes, Store, StoreError};

type Held = BTreeMap<Box<[u8]>, Option<Box<[u8]>>>;

/// Memory of an entry beside its bytes.
const ENTRY_BYTES: usize = 64;

pub struct Buffered<S> {
    below: S,
    /// Cells that the store below does not have like this; None: deleted.
    cells: Held,
    bytes: usize,
    bytes_max: usize,
}

impl<S: Store> Buffered<S> {
    /// Holds changes of up to `bytes_max` bytes, and the last commit's beyond it.
    pub fn new(below: S, bytes_max: usize) -> Buffered<S> {
        Buffered {
            below,
            cells: Held::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Adds to what was applied last: nothing goes down without it, or before it.
    pub fn hold(&mut self, changes: &Changes) {
        for (key, value) in changes.iter() {
            self.set(key, value);
        }
    }

    fn set(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.bytes += value.map_or(0, <[u8]>::len);
        match self.cells.get_mut(key) {
            Some(cell) => {
                self.bytes -= cell.as_ref().map_or(0, |value| value.len());
                match (cell, value) {
                    (Some(cell), Some(value)) if cell.len() == value.len() => {
                        cell.copy_from_slice(value);
                    }
                    (cell, value) => *cell = value.map(Box::from),
                }
            }
            None => {
                self.bytes += ENTRY_BYTES + key.len();
                self.cells.insert(key.into(), value.map(Box::from));
            }
        }
    }

    /// Everything goes down. Returns the store below.
    pub fn spill(&mut self) -> Result<&S, StoreError> {
        let mut changes = Changes::default();
        for (key, value) in &self.cells {
            match value {
                Some(value) => changes.put(key, value),
                None => changes.delete(key),
            }
        }
        self.below.apply(&changes)?;
        self.cells.clear();
        self.bytes = 0;
        Ok(&self.below)
    }
}

impl<S: Store> Cells for Buffered<S> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.cells.get(key) {
            Some(value) => Ok(value.as_ref().map(|value| value.to_vec())),
            None => self.below.get(key),
        }
    }

    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let held = |key: &Vec<u8>| self.cells.contains_key(key.as_slice());
        let missing: Vec<Vec<u8>> = keys.iter().filter(|key| !held(key)).cloned().collect();
        let mut below = self.below.get_many(&missing)?.into_iter();
        let answer = |key: &Vec<u8>| match self.cells.get(key.as_slice()) {
            Some(value) => value.as_ref().map(|value| value.to_vec()),
            None => below.next().flatten(),
        };
        Ok(keys.iter().map(answer).collect())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut CellVisitor) -> Result<(), StoreError> {
        let range = (Bound::Included(from), Bound::Excluded(to));
        let mut held = self.cells.range::<[u8], _>(range).peekable();
        let mut is_over = false;
        self.below.scan(from, to, &mut |key, value| {
            while let Some((before, value)) = held.next_if(|(held, _)| ***held < *key) {
                if show(before, value, visit) {
                    is_over = true;
                    return ControlFlow::Break(());
                }
            }
            is_over = match held.next_if(|(held, _)| ***held == *key) {
                Some((key, value)) => show(key, value, visit),
                None => visit(key, value).is_break(),
            };
            match is_over {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        if !is_over {
            held.any(|(key, value)| show(key, value, visit));
        }
        Ok(())
    }
}

impl<S: Store> Store for Buffered<S> {
    /// What is held goes down before more is added: whether that fails is known before anything
    /// of `changes` shows.
    fn apply(&mut self, changes: &Changes) -> Result<(), StoreError> {
        if self.bytes > self.bytes_max {
            self.spill()?;
        }
        self.hold(changes);
        Ok(())
    }
}

/// True: told to stop.
fn show(key: &[u8], value: &Option<Box<[u8]>>, visit: &mut CellVisitor) -> bool {
    value
        .as_ref()
        .is_some_and(|value| visit(key, value).is_break())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    /// Whatever is applied, and however little is held, it reads as a plain store does.
    #[test]
    fn reads_as_the_store_below_would() {
        for bytes_max in [0, 500, usize::MAX] {
            let below = MemoryStore::default();
            let mut buffered = Buffered::new(below.clone(), bytes_max);
            let mut plain = MemoryStore::default();
            let mut random = 1_u64;
            for _ in 0..300 {
                let mut changes = Changes::default();
                for _ in 0..5 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let key = [(random >> 60) as u8, (random >> 33) as u8 % 4];
                    let value = vec![(random >> 40) as u8; (random >> 50) as usize % 9];
                    match random >> 20 & 3 {
                        0 => changes.delete(&key),
                        _ => changes.put(&key, &value),
                    }
                }
                buffered.apply(&changes).expect("memory");
                plain.apply(&changes).expect("memory");
                let cells = |store: &dyn Store, stop_after: usize| {
                    let mut cells = Vec::new();
                    let scanned = store.scan(&[2], &[14], &mut |key, value| {
                        cells.push((key.to_vec(), value.to_vec()));
                        match cells.len() < stop_after {
                            true => ControlFlow::Continue(()),
                            false => ControlFlow::Break(()),
                        }
                    });
                    scanned.expect("memory");
                    cells
                };
                for stop_after in [1, 7, usize::MAX] {
                    assert_eq!(cells(&buffered, stop_after), cells(&plain, stop_after));
                }
                let keys: Vec<Vec<u8>> = (0..16).map(|first| vec![first, 1]).collect();
                let (found, wanted) = (buffered.get_many(&keys), plain.get_many(&keys));
                assert_eq!(found.expect("memory"), wanted.expect("memory"));
                assert_eq!(
                    buffered.get(&keys[3]).expect("memory"),
                    plain.get(&keys[3]).expect("memory")
                );
            }
            assert_eq!(below.cells().is_empty(), bytes_max == usize::MAX);
        }
    }

    #[test]
    fn a_failure_below_shows_nothing_of_what_was_applied() {
        let below = MemoryStore::default();
        let mut buffered = Buffered::new(below.clone(), 0);
        let mut changes = Changes::default();
        changes.put(b"a", b"1");
        buffered.apply(&changes).expect("it is only held");
        below.fail_after(0);
        changes.clear();
        changes.put(b"a", b"2");
        assert!(buffered.apply(&changes).is_err());
        assert_eq!(buffered.get(b"a").expect("memory"), Some(b"1".to_vec()));
    }
}
