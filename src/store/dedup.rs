//! The exact memory of ids of one partition (`fold.md` 4, steps 3 and 5).
//!
//! An id is the hash of (subject, source, id); it is remembered with its content digest in the
//! *bucket* of the day on which it was folded, or in the bucket that never ends. Ids of the
//! commit under way lie in a table; committed ones lie in the store as sorted runs, in parts,
//! behind a filter that never misses one. Whether an id is forgotten follows from its bucket and
//! the clock, never from what is physically gone.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use xxhash_rust::xxh3::xxh3_128;

use crate::billing::time::{Instant, MILLIS_PER_DAY};
use crate::ports::{Changes, Store, StoreError};
use crate::wire::keys;

use super::filter::Filter;
use super::recent_ids::{RecentId, RecentIds};

/// Bucket of ids that are kept for ever.
pub const FOREVER: i32 = i32::MAX;

/// Ids in one part of a run: 24 bytes each, small enough that a search reads little.
const PART_IDS: usize = 680;
const ENTRY_BYTES: usize = 24;
/// Runs of one size class in a bucket are merged when there are so many.
const MERGE_RUNS: usize = 16;
const VERSION: u8 = 1;

/// A remembered id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub content: u64,
    pub bucket: i32,
}

#[derive(Debug)]
pub struct Dedup {
    /// Milliseconds that a bucket outlives its day.
    retention_millis: i64,
    pending: RecentIds,
    runs: BTreeMap<i32, Vec<Run>>,
    filter: Filter,
    next_run: u64,
    /// By bucket, committed and pending ids alike.
    digests: BTreeMap<i32, u128>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DedupFigures {
    pub ids: u64,
    pub filter_bytes: u64,
    /// Start of the oldest day whose ids are remembered.
    pub floor: Option<Instant>,
}

/// A sorted run: where each of its parts begins.
#[derive(Debug)]
struct Run {
    number: u64,
    first_ids: Vec<u128>,
    ids: usize,
}

impl Dedup {
    /// Reads what the store remembers. `retention_millis` is the dedup horizon plus the future
    /// skew.
    pub fn load(
        store: &impl Store,
        retention_millis: i64,
        next_run: u64,
        digests: &[(i32, u128)],
    ) -> Result<Dedup, StoreError> {
        let mut dedup = Dedup {
            retention_millis,
            pending: RecentIds::default(),
            runs: BTreeMap::new(),
            filter: Filter::default(),
            next_run,
            digests: digests.iter().copied().collect(),
        };
        let mut fault = None;
        store.scan(
            &[keys::IDS],
            &[keys::IDS + 1],
            &mut |key, value| match keys::parse_ids(key).zip(entries(value)) {
                Some(((bucket, number, _), part)) => {
                    dedup.index_part(bucket, number, part.clone());
                    part.for_each(|(id, _)| dedup.filter.insert(id));
                    ControlFlow::Continue(())
                }
                None => {
                    fault = Some(corrupt(key));
                    ControlFlow::Break(())
                }
            },
        )?;
        fault.map_or(Ok(dedup), Err)
    }

    /// The bucket of usage ids folded at `clock`.
    pub fn bucket_at(clock: Instant) -> i32 {
        i32::try_from(clock.millis().div_euclid(MILLIS_PER_DAY)).unwrap_or(FOREVER - 1)
    }

    /// What is remembered of `id` at `clock`.
    pub fn seen(
        &self,
        store: &impl Store,
        id: u128,
        clock: Option<Instant>,
    ) -> Result<Option<Seen>, StoreError> {
        if !self.filter.may_contain(id) {
            return Ok(None);
        }
        let pending = self.pending.find(id);
        if let Some(pending) = pending.filter(|pending| !self.is_forgotten(pending.bucket, clock)) {
            return Ok(Some(Seen {
                content: pending.content,
                bucket: pending.bucket,
            }));
        }
        // Resends are mostly of late events: newest bucket and newest run first.
        for (bucket, runs) in self.runs.iter().rev() {
            if self.is_forgotten(*bucket, clock) {
                break;
            }
            for run in runs.iter().rev() {
                if let Some(content) = run.find(store, *bucket, id)? {
                    return Ok(Some(Seen {
                        content,
                        bucket: *bucket,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Remembers `id`, which is not remembered yet.
    pub fn remember(&mut self, id: u128, content: u64, bucket: i32) {
        let entry = RecentId {
            id,
            content,
            bucket,
        };
        let digest = self.digests.entry(bucket).or_default();
        *digest = digest.wrapping_add(element(&entry));
        self.filter.insert(id);
        self.pending.insert(entry);
    }

    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Drops forgotten buckets, merges small runs, moves the pending ids into runs. Everything that
    /// changes goes to `changes`.
    pub fn stage(
        &mut self,
        store: &impl Store,
        clock: Option<Instant>,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        while let Some(bucket) = self
            .runs
            .keys()
            .next()
            .copied()
            .filter(|bucket| self.is_forgotten(*bucket, clock))
        {
            for run in self.runs.remove(&bucket).unwrap_or_default() {
                run.delete(bucket, changes);
            }
        }
        let digests = std::mem::take(&mut self.digests);
        self.digests = digests
            .into_iter()
            .filter(|(bucket, _)| !self.is_forgotten(*bucket, clock))
            .collect();
        self.merge_runs(store, changes)?;

        let pending = self.pending.drain();
        for of_bucket in pending.chunk_by(|a, b| a.bucket == b.bucket) {
            let ids: Vec<(u128, u64)> = of_bucket
                .iter()
                .map(|entry| (entry.id, entry.content))
                .collect();
            self.write_run(of_bucket[0].bucket, &ids, changes);
        }
        Ok(())
    }

    pub fn next_run(&self) -> u64 {
        self.next_run
    }

    /// (bucket, sum over its ids) at `clock`, ascending.
    pub fn digests(&self) -> Vec<(i32, u128)> {
        self.digests
            .iter()
            .map(|(bucket, sum)| (*bucket, *sum))
            .collect()
    }

    /// What is remembered, for those who watch.
    pub fn figures(&self) -> DedupFigures {
        let committed: usize = self.runs.values().flatten().map(|run| run.ids).sum();
        let oldest = self.runs.keys().next();
        let day = oldest.filter(|bucket| **bucket != FOREVER);
        DedupFigures {
            ids: (committed + self.pending.len()) as u64,
            filter_bytes: self.filter.bytes() as u64,
            floor: day.map(|day| Instant::from_millis(i64::from(*day) * MILLIS_PER_DAY)),
        }
    }

    /// When the oldest bucket ends.
    pub fn next_end(&self) -> Option<Instant> {
        let oldest = self.runs.keys().next().copied();
        oldest
            .filter(|bucket| *bucket != FOREVER)
            .map(|bucket| self.end_of(bucket))
    }

    /// `clock >= (the first midnight after the bucket's day began) + horizon + skew`.
    fn is_forgotten(&self, bucket: i32, clock: Option<Instant>) -> bool {
        bucket != FOREVER && clock.is_some_and(|clock| clock >= self.end_of(bucket))
    }

    fn end_of(&self, bucket: i32) -> Instant {
        Instant::from_millis((i64::from(bucket) + 1) * MILLIS_PER_DAY)
            .plus_millis(self.retention_millis)
    }

    fn write_run(&mut self, bucket: i32, sorted: &[(u128, u64)], changes: &mut Changes) {
        let number = self.next_run;
        self.next_run += 1;
        let mut first_ids = Vec::with_capacity(sorted.len() / PART_IDS + 1);
        let mut value = Vec::with_capacity(1 + PART_IDS * ENTRY_BYTES);
        for (part, ids) in (0_u32..).zip(sorted.chunks(PART_IDS)) {
            value.clear();
            value.push(VERSION);
            for (id, content) in ids {
                value.extend_from_slice(&id.to_be_bytes());
                value.extend_from_slice(&content.to_be_bytes());
            }
            changes.put(&keys::ids(bucket, number, part), &value);
            first_ids.push(ids[0].0);
        }
        self.runs.entry(bucket).or_default().push(Run {
            number,
            first_ids,
            ids: sorted.len(),
        });
    }

    /// Where a bucket ends in 16 runs of which none is in a higher size class than the last, makes
    /// one of them. All runs are committed: what this commit adds is written afterwards.
    fn merge_runs(&mut self, store: &impl Store, changes: &mut Changes) -> Result<(), StoreError> {
        let class = |run: &Run| run.ids.ilog(MERGE_RUNS);
        let mut merges = Vec::new();
        loop {
            let due = self.runs.iter().find_map(|(bucket, runs)| {
                let start = runs.len().checked_sub(MERGE_RUNS)?;
                let largest = runs.last().map(class)?;
                runs[start..]
                    .iter()
                    .all(|run| class(run) <= largest)
                    .then_some((*bucket, start))
            });
            let Some((bucket, start)) = due else {
                break;
            };
            merges.push((
                bucket,
                self.runs
                    .get_mut(&bucket)
                    .map(|runs| runs.split_off(start))
                    .unwrap_or_default(),
            ));
        }
        for (bucket, merged) in merges {
            let mut ids = Vec::with_capacity(merged.iter().map(|run| run.ids).sum());
            for run in &merged {
                run.read(store, bucket, &mut ids)?;
                run.delete(bucket, changes);
            }
            ids.sort_unstable_by_key(|(id, _)| *id);
            self.write_run(bucket, &ids, changes);
        }
        Ok(())
    }

    fn index_part(
        &mut self,
        bucket: i32,
        number: u64,
        mut part: impl ExactSizeIterator<Item = (u128, u64)>,
    ) {
        let runs = self.runs.entry(bucket).or_default();
        if runs.last().is_none_or(|run| run.number != number) {
            runs.push(Run {
                number,
                first_ids: Vec::new(),
                ids: 0,
            });
        }
        if let Some(run) = runs.last_mut() {
            run.ids += part.len();
            run.first_ids.extend(part.next().map(|(id, _)| id));
        }
    }
}

impl Run {
    fn find(&self, store: &impl Store, bucket: i32, id: u128) -> Result<Option<u64>, StoreError> {
        let Some(part) = self
            .first_ids
            .partition_point(|first| *first <= id)
            .checked_sub(1)
        else {
            return Ok(None);
        };
        let key = self.key(bucket, part);
        let value = store.get(&key)?.ok_or_else(|| corrupt(&key))?;
        let entries = value
            .get(1..)
            .filter(|_| value.len() % ENTRY_BYTES == 1)
            .ok_or_else(|| corrupt(&key))?;
        let (mut low, mut high) = (0, entries.len() / ENTRY_BYTES);
        while low < high {
            let middle = low.midpoint(high);
            let (found, content) = entry(&entries[middle * ENTRY_BYTES..]);
            match found.cmp(&id) {
                std::cmp::Ordering::Equal => return Ok(Some(content)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    fn read(
        &self,
        store: &impl Store,
        bucket: i32,
        out: &mut Vec<(u128, u64)>,
    ) -> Result<(), StoreError> {
        for part in 0..self.first_ids.len() {
            let key = self.key(bucket, part);
            let value = store.get(&key)?;
            out.extend(
                value
                    .as_deref()
                    .and_then(entries)
                    .ok_or_else(|| corrupt(&key))?,
            );
        }
        Ok(())
    }

    fn delete(&self, bucket: i32, changes: &mut Changes) {
        for part in 0..self.first_ids.len() {
            changes.delete(&self.key(bucket, part));
        }
    }

    fn key(&self, bucket: i32, part: usize) -> Vec<u8> {
        keys::ids(bucket, self.number, part as u32)
    }
}

/// (number of ids, sum of their digests) of a stored part of a run; None: not a part.
pub fn part_digest(bucket: i32, value: &[u8]) -> Option<(u64, u128)> {
    let entries = entries(value)?;
    let count = entries.len() as u64;
    let sum = entries.fold(0_u128, |sum, (id, content)| {
        sum.wrapping_add(element(&RecentId {
            id,
            content,
            bucket,
        }))
    });
    Some((count, sum))
}

/// The entries of a part; None: not a part.
fn entries(value: &[u8]) -> Option<impl ExactSizeIterator<Item = (u128, u64)> + Clone + '_> {
    let (version, entries) = value.split_first()?;
    let whole = *version == VERSION && !entries.is_empty() && entries.len() % ENTRY_BYTES == 0;
    whole.then(|| entries.chunks_exact(ENTRY_BYTES).map(entry))
}

fn entry(bytes: &[u8]) -> (u128, u64) {
    let mut id = [0; 16];
    let mut content = [0; 8];
    id.copy_from_slice(&bytes[..16]);
    content.copy_from_slice(&bytes[16..ENTRY_BYTES]);
    (u128::from_be_bytes(id), u64::from_be_bytes(content))
}

/// What a remembered id adds to the digest of its bucket.
fn element(entry: &RecentId) -> u128 {
    let mut bytes = [0; 28];
    bytes[..16].copy_from_slice(&entry.id.to_be_bytes());
    bytes[16..24].copy_from_slice(&entry.content.to_be_bytes());
    bytes[24..].copy_from_slice(&entry.bucket.to_be_bytes());
    xxh3_128(&bytes)
}

fn corrupt(key: &[u8]) -> StoreError {
    StoreError::Corrupt {
        key: format!("{key:02x?}"),
        reason: "not a part of a run of ids".into(),
    }
}
