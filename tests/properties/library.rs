//! A world folded through the library: the loop of `processor::run` on the in-memory twins of log
//! and store.

use std::sync::Arc;

use meterfold::billing::rate_book::RateBook;
use meterfold::billing::time::Instant;
use meterfold::files::memory::MemoryLog;
use meterfold::ports::Batch;
use meterfold::processor::counts::Counts;
use meterfold::processor::partition::Partition;
use meterfold::processor::{CommitPolicy, Progress, RunError, accounts, run};
use meterfold::store::memory::MemoryStore;

use crate::support::program::Outputs;

/// What must not show in any byte.
#[derive(Clone, Debug)]
pub struct Layout {
    pub partitions: u16,
    pub threads: usize,
    /// Records of each batch, again and again; none: all at once.
    pub batches: Vec<usize>,
    /// Commit when so many ids were folded.
    pub ids_max: usize,
    /// Bytes of teams in memory, decoded and encoded.
    pub decoded_bytes_max: usize,
    pub encoded_bytes_max: usize,
    /// Ids and output may leave memory without a commit. Such a run cannot be interrupted.
    pub is_private: bool,
}

pub struct Folded {
    pub outputs: Outputs,
    pub state_digest: u128,
    /// Of the last run.
    pub counts: Counts,
    pub stores: Vec<MemoryStore>,
}

/// Where a run ends before its end.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// After so many records, in good order.
    Ended(usize),
    /// After so many batches; what was not committed is folded again.
    Interrupted(usize),
}

impl Layout {
    pub const PLAIN: Layout = Layout {
        partitions: 1,
        threads: 1,
        batches: Vec::new(),
        ids_max: usize::MAX,
        decoded_bytes_max: usize::MAX,
        encoded_bytes_max: usize::MAX,
        is_private: false,
    };

    pub fn policy(&self) -> CommitPolicy {
        CommitPolicy {
            dirty_teams_max: usize::MAX,
            ids_max: self.ids_max,
            output_bytes_max: usize::MAX,
            decoded_bytes_max: self.decoded_bytes_max,
            encoded_bytes_max: self.encoded_bytes_max,
            is_private: self.is_private,
        }
    }
}

/// One run, or two with a restart between them.
pub fn fold(
    rates: &Arc<RateBook>,
    text: &[u8],
    until: Option<i64>,
    layout: &Layout,
    stop: Option<Stop>,
) -> Folded {
    let log = MemoryLog::new(text, layout.partitions, None);
    let stores: Vec<MemoryStore> = (0..layout.partitions)
        .map(|_| MemoryStore::default())
        .collect();
    let until = until.map(Instant::from_millis);
    let mut next = 0;
    if let Some(stop) = stop {
        let mut partitions = open(rates, &stores);
        let (end, batches) = match stop {
            Stop::Ended(records) => (records.min(log.records()), usize::MAX),
            Stop::Interrupted(batches) => (log.records(), batches),
        };
        let result = run(
            &mut log.source(0..end, &layout.batches),
            &mut partitions,
            &mut log.committer(),
            &layout.policy(),
            layout.threads,
            None,
            &mut StopAfter { batches },
        );
        match result {
            Ok(()) | Err(RunError::Interrupted) => {}
            Err(error) => panic!("{error}"),
        }
        next = log.commits().last().map_or(0, |commit| commit.next);
    }
    let mut partitions = open(rates, &stores);
    run(
        &mut log.source(next..log.records(), &layout.batches),
        &mut partitions,
        &mut log.committer(),
        &layout.policy(),
        layout.threads,
        until,
        &mut StopAfter {
            batches: usize::MAX,
        },
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let mut counts = Counts::default();
    partitions
        .iter()
        .for_each(|partition| counts.add(partition.counts()));

    let mut account_lines = Vec::new();
    accounts::write_all(&partitions, layout.threads, &mut account_lines).expect("accounts");
    let output = log.output();
    Folded {
        outputs: Outputs {
            trace: output.trace,
            dead_letters: output.dead_letters,
            derived: output.derived,
            accounts: account_lines,
        },
        state_digest: state_digest(&partitions),
        counts,
        stores,
    }
}

pub fn open(rates: &Arc<RateBook>, stores: &[MemoryStore]) -> Vec<Partition<MemoryStore>> {
    let open = |(number, store): (u16, &MemoryStore)| {
        Partition::open(number, store.clone(), Arc::clone(rates), true, None).expect("a partition")
    };
    (0..).zip(stores).map(open).collect()
}

pub fn state_digest(partitions: &[Partition<MemoryStore>]) -> u128 {
    let digests = partitions.iter().map(Partition::state_digest);
    digests.fold(0, u128::wrapping_add)
}

/// Interrupts a run.
pub struct StopAfter {
    pub batches: usize,
}

impl Progress for StopAfter {
    fn batch_folded(&mut self, _: &Batch) -> bool {
        self.batches -= 1;
        self.batches > 0
    }
}
