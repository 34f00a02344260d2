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
pub mod position;
mod publication;
mod published;
mod purpose;
mod refold;
mod walk;
pub mod whole;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::billing::time::Month;
use crate::ports::evidence::{Evidence, EvidenceError};
use crate::ports::{Changes, Store, StoreError};
use crate::wire::journal::{JournalRecord, Kind};
use crate::wire::keys;

use chain::Chain;
use letters::Letters;
use position::Position;
use published::Published;
use purpose::Purpose;
use walk::Walk;

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
    /// What an interrupted audit kept is not what the journal says of it.
    Kept(String),
}

impl Stop {
    /// Something is known of the partition now; else the audit may go on later.
    pub fn is_verdict(&self) -> bool {
        match self {
            Stop::Different(_) | Stop::Unproven(_) | Stop::Unknown(_) | Stop::Foreign(_) => true,
            Stop::Interrupted | Stop::Evidence(_) | Stop::Store(_) | Stop::Kept(_) => false,
        }
    }
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

/// Where an audit refolds.
pub struct Work<'a, S> {
    /// Empty, or as it was after the commit of `position`.
    pub store: S,
    /// Where an interrupted audit stood.
    pub position: Option<Position>,
    pub keep: Option<Keep<'a, S>>,
}

/// Is given, after each commit, a cell that belongs to what was applied last: neither may become
/// durable without the other. True: nothing more comes, and both must.
pub type Keep<'a, S> = Box<dyn FnMut(&mut S, &Changes, bool) -> Result<(), StoreError> + 'a>;

impl<S> Work<'_, S> {
    /// In an empty store, of which nothing is kept.
    pub fn unkept(store: S) -> Self {
        Work {
            store,
            position: None,
            keep: None,
        }
    }
}

/// Refolds one partition up to where the month of `scope` is closed. `folded` is told of records as
/// they are folded, and says whether to go on.
pub fn audit<E: Evidence, S: Store>(
    evidence: &E,
    chain: &Chain,
    scope: Scope<'_>,
    work: Work<'_, S>,
    folded: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Equal, Stop> {
    let Work {
        store,
        position,
        mut keep,
    } = work;
    let purpose = Purpose::default();
    let start = chain.starts_before(scope.month).last();
    let start = start.map(|start| start.sequence);
    let mut walk = match &position {
        Some(position) => Walk::<E, S>::go_on(evidence, chain, position, store, purpose, folded)?,
        None => Walk::begin(evidence, chain, start, store, purpose, folded)?,
    };
    let (to, from) = match &position {
        Some(position) => (position.published, position.letters),
        None => Default::default(),
    };
    let mut published = Published::open(evidence, chain.partition, scope, to)?;
    let mut letters = match scope.team {
        Some(_) => None,
        None => {
            let starts = walk.starts.iter().cloned();
            let starts = starts.map(|(topic, at)| (topic, start.map(|_| at)));
            let from = from.unwrap_or_default();
            Some(Letters::open(
                evidence,
                chain.partition,
                starts.collect(),
                from,
            )?)
        }
    };
    while let Some((sealed, outputs)) = walk.step()? {
        let mut derived = outputs.derived.iter();
        derived.try_for_each(|event| published.compare(event, &sealed))?;
        if let Some(letters) = &mut letters {
            letters.compare(&outputs.dead_letters, &sealed)?;
        }
        if let Some(keep) = &mut keep {
            let letters = letters.as_ref().map(Letters::position);
            let position = walk.position(published.positions(), letters).cell();
            let is_over = walk.is_over();
            keep(walk.refold.store_mut(), &position, is_over)?;
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
    let events = published.positions();
    let letters = letters.as_ref().map(Letters::position).unwrap_or_default();
    Ok(Equal {
        partition: chain.partition,
        commits: walk.commits,
        records: walk.records,
        start,
        events: events.iter().map(|kind| kind.equal).sum(),
        events_gone: events.iter().map(|kind| kind.gone).sum(),
        letters: letters.equal,
        letters_gone: letters.gone,
        is_closed,
        has_month: walk.refold.began_before(scope.month),
        has_team,
        gap_ends: walk.refold.gap_ends,
    })
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
