//! What workers say of themselves and their partitions, and what follows: the state of the process,
//! whether it is ready and why not.

use std::collections::BTreeMap;

use super::clients::ClientFigures;
use super::halt::Halt;
use super::labels::ProcessState;
use crate::billing::disposition::Dispositions;
use crate::ports::log::StoreFigures;

/// What a worker is doing about Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WorkerState {
    /// Has not joined the group yet.
    #[default]
    Starting,
    /// Brokers, topics or the registry are away: live, not ready (F36).
    WaitingForKafka { reason: String },
    /// A member of the group, with whatever partitions it was given.
    Joined,
    /// Finishes what it has; takes nothing new.
    Draining,
    /// Ended: another instance took its identity. Its heartbeat counts no more.
    Fenced { reason: String },
    /// Ended: none of its partitions may go on. Its heartbeat counts no more.
    Halted,
}

/// What an owned partition is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionState {
    /// Changelog records applied so far and those wanted in all; an estimate.
    Restoring {
        applied: u64,
        wanted: u64,
    },
    Running,
    /// Stands still and will go on by itself, such as under `CLOCK_JUMP` (`engine.md` 7). A wait of a
    /// moment, for a proof of emptiness, is `Running`.
    Waiting {
        reason: String,
    },
    /// Stands still until an operator acts. `text` names both positions and what differs.
    Halted {
        halt: Halt,
        text: String,
    },
}

/// One owned partition, as it stood after its last commit.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionStatus {
    pub partition: u16,
    pub state: PartitionState,
    /// Commit sequence of META in the store: L.
    pub sequence: u64,
    /// Commit sequence of the group's witness, C; None: there is none, or it was not read yet.
    pub committed_sequence: Option<u64>,
    /// None: the clock has not moved yet.
    pub clock_millis: Option<i64>,
    pub inputs: Vec<InputStatus>,
    /// In hex.
    pub state_digest: String,
    /// Head of the journal's hash chain, in hex.
    pub journal_digest: String,
    /// Since the partition was opened, dead letters aside.
    pub dispositions: Dispositions,
    pub dead_letters: u64,
    /// Records consumed less records disposed of at the last commit (V1).
    pub conservation_residual: i64,
    pub last_commit_unix_millis: Option<i64>,
    pub store: StoreStatus,
}

/// One input of a partition. Numbers that were not asked for yet are None.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputStatus {
    pub topic: String,
    /// Offset of the next record to fold, as committed.
    pub position: i64,
    pub log_start: Option<i64>,
    pub log_end: Option<i64>,
    /// Last stable offset: what a read_committed reader may see.
    pub last_stable: Option<i64>,
    /// Append time of the oldest record that waits at hand uncommitted; None: none is at hand.
    pub oldest_waiting_millis: Option<i64>,
    /// The brokers do not answer: there may be more than the ends tell.
    pub is_cut_off: bool,
    /// `retention.ms` of the topic; None: for ever.
    pub retention_millis: Option<i64>,
}

/// Sizes of a partition's store, from RocksDB's properties; the metrics show sums over partitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoreStatus {
    pub figures: StoreFigures,
    pub is_read_only: bool,
    /// Event ids remembered.
    pub dedup_ids: u64,
    /// Memory of the filters before them.
    pub dedup_filter_bytes: u64,
    /// Start of the oldest day whose ids are remembered.
    pub dedup_floor_millis: Option<i64>,
}

impl PartitionStatus {
    /// A partition of which nothing is known yet.
    pub fn restoring(partition: u16) -> PartitionStatus {
        PartitionStatus {
            partition,
            state: PartitionState::Restoring {
                applied: 0,
                wanted: 0,
            },
            sequence: 0,
            committed_sequence: None,
            clock_millis: None,
            inputs: Vec::new(),
            state_digest: String::new(),
            journal_digest: String::new(),
            dispositions: Dispositions::default(),
            dead_letters: 0,
            conservation_residual: 0,
            last_commit_unix_millis: None,
            store: StoreStatus::default(),
        }
    }
}

impl InputStatus {
    /// Records that may be read and are not committed; offsets of control records count too. None:
    /// the log's end was not asked for yet.
    pub fn lag_records(&self) -> Option<u64> {
        let behind = self.last_stable?.saturating_sub(self.position);
        Some(u64::try_from(behind).unwrap_or(0))
    }

    pub fn has_lag(&self) -> bool {
        self.lag_records().is_some_and(|records| records > 0)
    }
}

/// An owned partition and its owner.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub worker: u16,
    pub status: PartitionStatus,
    /// For each input the time up to which its records are known to be committed: that of the oldest
    /// one that waits, or when none was last seen to wait; until either is known, when it was first
    /// seen.
    pub caught_up_millis: BTreeMap<String, i64>,
}

/// All that was said last.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub workers: Vec<WorkerState>,
    pub partitions: BTreeMap<u16, Owned>,
    /// Kafka clients by name.
    pub clients: BTreeMap<String, ClientFigures>,
    /// When the process became ready for the first time.
    pub ready_unix_millis: Option<i64>,
    /// Of any partition, also of one that is owned no more.
    pub last_commit_unix_millis: Option<i64>,
}

impl Shared {
    pub fn new(workers: u16) -> Shared {
        Shared {
            workers: vec![WorkerState::Starting; usize::from(workers)],
            partitions: BTreeMap::new(),
            clients: BTreeMap::new(),
            ready_unix_millis: None,
            last_commit_unix_millis: None,
        }
    }

    pub fn publish(&mut self, worker: u16, status: PartitionStatus, now_millis: i64) {
        self.last_commit_unix_millis = self
            .last_commit_unix_millis
            .max(status.last_commit_unix_millis);
        let before = self.partitions.remove(&status.partition);
        let mut caught_up_millis =
            before.map_or_else(BTreeMap::new, |owned| owned.caught_up_millis);
        for input in &status.inputs {
            let is_caught_up = !input.has_lag() && !input.is_cut_off;
            let known = input.oldest_waiting_millis.filter(|_| input.has_lag());
            if is_caught_up || known.is_some() || !caught_up_millis.contains_key(&input.topic) {
                caught_up_millis.insert(input.topic.clone(), known.unwrap_or(now_millis));
            }
        }
        let owned = Owned {
            worker,
            status,
            caught_up_millis,
        };
        self.partitions.insert(owned.status.partition, owned);
    }

    pub fn process_state(&self) -> ProcessState {
        let any = |is: fn(&WorkerState) -> bool| self.workers.iter().any(is);
        let mut partitions = self.partitions.values().map(|owned| &owned.status.state);
        let is_halted = |state: &PartitionState| matches!(state, PartitionState::Halted { .. });
        if any(|state| matches!(state, WorkerState::Fenced { .. })) {
            ProcessState::Fenced
        } else if any(|state| *state == WorkerState::Draining) {
            ProcessState::Draining
        } else if any(|state| *state == WorkerState::Halted)
            || (!self.partitions.is_empty() && partitions.clone().all(is_halted))
        {
            ProcessState::Halted
        } else if any(|state| matches!(state, WorkerState::WaitingForKafka { .. })) {
            ProcessState::WaitingForKafka
        } else if any(|state| *state == WorkerState::Starting) {
            ProcessState::Starting
        } else if partitions.any(|state| matches!(state, PartitionState::Restoring { .. })) {
            ProcessState::Restoring
        } else {
            ProcessState::Running
        }
    }

    /// Why the process is not ready; empty: it is.
    pub fn not_ready(&self) -> Vec<String> {
        let workers = (0u16..).zip(&self.workers).filter_map(|(worker, state)| {
            let reason: String = match state {
                WorkerState::Joined => return None,
                WorkerState::Starting => "has not joined the group yet".into(),
                WorkerState::WaitingForKafka { reason } => format!("waits for Kafka: {reason}"),
                WorkerState::Draining => "is stopping".into(),
                WorkerState::Fenced { reason } => format!("was fenced: {reason}"),
                WorkerState::Halted => "halted: none of its partitions may go on".into(),
            };
            Some(format!("worker {}: {reason}", worker))
        });
        let partitions = self.partitions.values().filter_map(|owned| {
            let reason = match &owned.status.state {
                PartitionState::Running => return None,
                PartitionState::Restoring { applied, wanted } => {
                    format!("restores its state: {applied} of about {wanted} records")
                }
                PartitionState::Waiting { reason } => format!("waits: {reason}"),
                PartitionState::Halted { halt, text } => {
                    format!("halted {}: {text}; {}", halt.name(), halt.remedy())
                }
            };
            Some(format!("partition {}: {reason}", owned.status.partition))
        });
        workers.chain(partitions).collect()
    }
}
