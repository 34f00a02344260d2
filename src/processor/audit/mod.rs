//! The audit of a partition: folds again what its journal says was folded, in that order, and
//! compares every step with the journal and every derived event with what was published.
//!
//! The fold is the processor's own [`Partition`](super::partition::Partition); books, writer
//! schemas, clocks and positions come from the journal, so nothing is asked of anybody. Each commit
//! is staged as it was then and its journal record must come out byte for byte. [`whole`] does the
//! same for other ends.

pub mod chain;
mod difference;
mod input;
mod letters;
mod published;
mod purpose;
mod refold;
pub mod whole;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::billing::time::Month;
use crate::ports::evidence::{Evidence, EvidenceError, Stretch, Topic};
use crate::ports::{Store, StoreError};
use crate::wire::journal::{JournalRecord, Kind};
use crate::wire::keys;

use chain::{Chain, JournalReader, Sealed};
use input::{Input, Known};
use letters::Letters;
use published::Published;
use purpose::Purpose;
use refold::{Outputs, Refold};

/// Whose journal is expected, and of which shape.
#[derive(Clone, Debug)]
pub struct Identity {
    pub group: String,
    pub inputs: Vec<String>,
    pub partition_count: u16,
}

/// Which published events are compared.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// None: all teams.
    pub team: Option<&'a str>,
    pub month: Month,
}

/// The first difference of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub what: &'static str,
    /// Topic, partition and offset, or the commit.
    pub place: String,
    /// Input records of the commit that it belongs to, by topic and offset.
    pub inputs: Vec<String>,
    /// What was kept: in the journal, or published.
    pub expected: String,
    pub found: String,
    /// What does not hold, and where it is written.
    pub rule: &'static str,
}

/// Why an audit ends before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    Different(Box<Difference>),
    /// Evidence is missing.
    Unproven(String),
    /// There is no such team or month.
    Unknown(String),
    Interrupted,
    /// The journal is another one than the configuration says.
    Foreign(String),
    Evidence(EvidenceError),
    /// The store of the refold failed.
    Store(String),
}

/// A partition that was refolded without a difference.
#[derive(Clone, Debug)]
pub struct Equal {
    pub partition: u16,
    pub commits: u64,
    pub records: u64,
    /// The commit whose kept state was the start; None: the genesis.
    pub start: Option<u64>,
    /// Published events of the scope, each equal to the refolded one.
    pub events: u64,
    /// Published events of the scope that their topics no longer keep.
    pub events_gone: u64,
    /// Dead letters that were compared, where the scope is all teams.
    pub letters: u64,
    /// Dead letters that their topic no longer keeps: the journal's digest of them is equal.
    pub letters_gone: u64,
    /// The month is closed: nothing can follow.
    pub is_closed: bool,
    /// The month was open when the first record was folded.
    pub has_month: bool,
    /// The team asked for has an account here.
    pub has_team: bool,
    /// Of accepted gaps, by their commit: the month of the first record after it.
    pub gap_ends: BTreeMap<u64, Month>,
}

/// Refolds one partition up to where the month of `scope` is closed, in `store`, which is empty.
/// `folded` is told of records as they are folded, and says whether to go on.
pub fn audit<E: Evidence, S: Store>(
    evidence: &E,
    chain: &Chain,
    scope: Scope<'_>,
    store: S,
    folded: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Equal, Stop> {
    let purpose = Purpose::default();
    let mut walk = Walk::<E, S>::begin(evidence, chain, chain.start, store, purpose, folded)?;
    let mut published = Published::open(evidence, chain.partition, scope)?;
    let mut letters = match scope.team {
        Some(_) => None,
        None => {
            let starts = walk.starts.iter().cloned();
            let starts = starts.map(|(topic, at)| (topic, chain.start.map(|_| at)));
            Some(Letters::open(evidence, chain.partition, starts.collect())?)
        }
    };
    while let Some((sealed, outputs)) = walk.step()? {
        let mut derived = outputs.derived.iter();
        derived.try_for_each(|event| published.compare(event, &sealed))?;
        if let Some(letters) = &mut letters {
            letters.compare(&outputs.dead_letters, &sealed)?;
        }
    }
    let is_closed = chain.closed_by.is_some();
    // While the month is open a processor that runs may have published more by now.
    let is_at_end = walk.is_at_end()?;
    if is_closed || is_at_end {
        published.finish()?;
    }
    if let Some(letters) = letters.as_mut().filter(|_| is_at_end) {
        letters.finish()?;
    }
    let has_team = match scope.team {
        Some(team) => walk.refold.store().get(&keys::team(team, 0))?.is_some(),
        None => false,
    };
    Ok(Equal {
        partition: chain.partition,
        commits: walk.commits,
        records: walk.records,
        start: chain.start,
        events: published.equal,
        events_gone: published.gone,
        letters: letters.as_ref().map_or(0, |letters| letters.equal),
        letters_gone: letters.as_ref().map_or(0, |letters| letters.gone),
        is_closed,
        has_month: walk.refold.began_before(scope.month),
        has_team,
        gap_ends: walk.refold.gap_ends,
    })
}

/// A partition on its way through its journal.
struct Walk<'a, E: Evidence, S> {
    journal: JournalReader<E::Records>,
    inputs: Vec<Input<E::Records>>,
    refold: Refold<'a, S>,
    /// Where each input was begun.
    starts: Vec<(String, i64)>,
    /// The newest commit that was refolded, and the last one that will be.
    sequence: u64,
    last: u64,
    /// How many were refolded, and their records.
    commits: u64,
    records: u64,
    folded: &'a (dyn Fn(u64) -> bool + Sync),
}

impl<'a, E: Evidence, S: Store> Walk<'a, E, S> {
    fn begin(
        evidence: &E,
        chain: &Chain,
        start: Option<u64>,
        mut store: S,
        purpose: Purpose<'a>,
        folded: &'a (dyn Fn(u64) -> bool + Sync),
    ) -> Result<Walk<'a, E, S>, Stop> {
        let partition = chain.partition;
        let journal = evidence.open(Topic::Journal, partition, Stretch::ALL)?;
        let mut journal = JournalReader::new(journal, partition);
        let mut known = Known::default();
        let sealed = loop {
            let Some(sealed) = journal.take()? else {
                return Err(Stop::Unproven(format!(
                    "the journal of partition {partition} is gone"
                )));
            };
            known.add(&sealed.record);
            folded(sealed.record.runs.iter().map(|run| run.count).sum());
            if sealed.record.sequence == start.unwrap_or(0) {
                break sealed;
            }
        };
        let refold = match start {
            None => Refold::begin(&sealed, known, store, purpose)?,
            Some(sequence) => {
                let mut cells =
                    evidence.open(Topic::Snapshot(sequence), partition, Stretch::ALL)?;
                input::load(&mut cells, &mut store)?;
                Refold::resume(&sealed, known, store, purpose)?
            }
        };
        let mut inputs = Vec::new();
        for (index, (topic, next)) in (0..).zip(&sealed.record.positions) {
            let stretch = Stretch::from(*next);
            let records = evidence.open(Topic::Input(index), partition, stretch)?;
            inputs.push(Input::new(topic, records));
        }
        Ok(Walk {
            journal,
            inputs,
            refold,
            starts: sealed.record.positions.clone(),
            sequence: sealed.record.sequence,
            last: chain.closed_by.unwrap_or(chain.head.sequence),
            commits: 1,
            records: 0,
            folded,
        })
    }

    /// Refolds the next commit; None: the last one is refolded.
    fn step(&mut self) -> Result<Option<(Sealed, Outputs)>, Stop> {
        if self.sequence >= self.last {
            return Ok(None);
        }
        let Some(sealed) = self.journal.take()? else {
            return Err(Stop::Unproven(format!(
                "the journal ends after commit {}, it had {} before",
                self.sequence, self.last
            )));
        };
        let outputs = self.refold.follow(&sealed, &mut self.inputs)?;
        self.sequence = sealed.record.sequence;
        let records = sealed.record.runs.iter().map(|run| run.count).sum();
        self.commits += 1;
        self.records += records;
        match (self.folded)(records) {
            true => Ok(Some((sealed, outputs))),
            false => Err(Stop::Interrupted),
        }
    }

    /// Nothing follows in the journal, now as when it was opened.
    fn is_at_end(&mut self) -> Result<bool, Stop> {
        Ok(self.journal.take()?.is_none() && !self.journal.has_grown()?)
    }
}

impl Identity {
    /// The journal belongs to this cluster, group and configuration.
    pub fn check(&self, record: &JournalRecord, cluster: &str) -> Result<(), Stop> {
        let Kind::Genesis {
            cluster: of_cluster,
            group,
        } = &record.kind
        else {
            return Ok(());
        };
        let partition = record.partition;
        let foreign = |what: &str, found: &str, wanted: &str| {
            Err(Stop::Foreign(format!(
                "the journal of partition {partition} belongs to {what} {found}, not to {wanted}: name \
                 the configuration that it was made with"
            )))
        };
        if of_cluster != cluster {
            return foreign("cluster", of_cluster, cluster);
        }
        if *group != self.group {
            return foreign("application", group, &self.group);
        }
        if record.partition_count != self.partition_count {
            let (found, wanted) = (record.partition_count, self.partition_count);
            return foreign(
                "an input of partitions",
                &found.to_string(),
                &wanted.to_string(),
            );
        }
        let inputs: Vec<&str> = record
            .positions
            .iter()
            .map(|(topic, _)| topic.as_str())
            .collect();
        if inputs != self.inputs {
            return foreign("inputs", &inputs.join(", "), &self.inputs.join(", "));
        }
        Ok(())
    }
}

/// Does `work` for all of `items` on `threads` threads. The results stand in the order of the items,
/// whichever thread came to which.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some((index, item)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    items.get(index).map(|item| (index, item))
                } {
                    let result = work(item);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

impl From<EvidenceError> for Stop {
    fn from(error: EvidenceError) -> Stop {
        Stop::Evidence(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Store(error.to_string())
    }
}
