//! The ids of the commit under way: a small table that fits the processor's cache, spilling into
//! sorted runs that are merged as they grow.

use hashbrown::HashTable;

/// Ids in the table before they become a run.
const TABLE_IDS: usize = 1 << 10;
/// A run is merged with the one before it when that is less than so many times as long.
const MERGE_FACTOR: usize = 4;

/// A remembered id: its hash, its content digest, the bucket that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentId {
    pub id: u128,
    pub content: u64,
    pub bucket: i32,
}

#[derive(Debug, Default)]
pub struct RecentIds {
    table: HashTable<RecentId>,
    /// Each ascending by id; older and longer ones first.
    runs: Vec<Vec<Packed>>,
    len: usize,
}

/// A [`RecentId`] without padding.
#[derive(Clone, Copy, Debug)]
struct Packed {
    id: [u64; 2],
    content: u64,
    bucket: i32,
}

impl RecentIds {
    pub fn len(&self) -> usize {
        self.len
    }

    /// The newest entry of `id`.
    pub fn find(&self, id: u128) -> Option<RecentId> {
        let recent = self.table.find(id as u64, |entry| entry.id == id).copied();
        let wanted = split(id);
        recent.or_else(|| {
            self.runs.iter().rev().find_map(|run| {
                let index = run.partition_point(|entry| entry.id < wanted);
                run.get(index)
                    .filter(|entry| entry.id == wanted)
                    .map(|entry| entry.unpack())
            })
        })
    }

    /// Adds an entry; one of the same id that is here already is out of date.
    pub fn insert(&mut self, entry: RecentId) {
        self.len += 1;
        if let Some(stale) = self
            .table
            .find_mut(entry.id as u64, |other| other.id == entry.id)
        {
            *stale = entry;
            return;
        }
        self.table
            .insert_unique(entry.id as u64, entry, |entry| entry.id as u64);
        if self.table.len() == TABLE_IDS {
            self.spill();
        }
    }

    /// Takes out everything, ascending by (bucket, id).
    pub fn drain(&mut self) -> Vec<RecentId> {
        self.spill();
        self.len = 0;
        let mut entries = std::mem::take(&mut self.runs)
            .into_iter()
            .rev()
            .reduce(|newer, older| merge(older, newer))
            .unwrap_or_default();
        entries.sort_by_key(|entry| entry.bucket);
        entries.iter().map(Packed::unpack).collect()
    }

    fn spill(&mut self) {
        let mut run: Vec<Packed> = self.table.drain().map(Packed::pack).collect();
        run.sort_unstable_by_key(|entry| entry.id);
        while let Some(older) = self
            .runs
            .pop_if(|older| older.len() < MERGE_FACTOR * run.len())
        {
            run = merge(older, run);
        }
        self.runs.push(run);
    }
}

impl Packed {
    fn pack(entry: RecentId) -> Packed {
        Packed {
            id: split(entry.id),
            content: entry.content,
            bucket: entry.bucket,
        }
    }

    fn unpack(&self) -> RecentId {
        let id = u128::from(self.id[0]) << 64 | u128::from(self.id[1]);
        RecentId {
            id,
            content: self.content,
            bucket: self.bucket,
        }
    }
}

/// High half first, so that the halves order as the whole does.
fn split(id: u128) -> [u64; 2] {
    [(id >> 64) as u64, id as u64]
}

/// Of two entries of one id the newer stays.
fn merge(older: Vec<Packed>, newer: Vec<Packed>) -> Vec<Packed> {
    let mut merged = Vec::with_capacity(older.len() + newer.len());
    let mut older = older.into_iter().peekable();
    for entry in newer {
        while let Some(earlier) = older.next_if(|earlier| earlier.id < entry.id) {
            merged.push(earlier);
        }
        older.next_if(|earlier| earlier.id == entry.id);
        merged.push(entry);
    }
    merged.extend(older);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_newest_entry_and_drains_in_order() {
        let mut ids = RecentIds::default();
        let id = |number: u64| xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
        for number in 0..50_000 {
            ids.insert(RecentId {
                id: id(number),
                content: number,
                bucket: 1,
            });
        }
        for number in 0..100 {
            ids.insert(RecentId {
                id: id(number),
                content: 7,
                bucket: 2,
            });
        }
        assert_eq!(
            ids.find(id(99)),
            Some(RecentId {
                id: id(99),
                content: 7,
                bucket: 2
            })
        );
        assert_eq!(ids.find(id(100)).map(|entry| entry.content), Some(100));
        assert_eq!(ids.find(id(50_000)), None);
        let drained = ids.drain();
        assert_eq!(drained.len(), 50_000);
        assert!(drained.is_sorted_by_key(|entry| (entry.bucket, entry.id)));
        assert_eq!((ids.len(), ids.find(id(1))), (0, None));
    }
}
