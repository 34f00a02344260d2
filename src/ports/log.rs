//! The seam to a distributed log: one worker's share of it.
//!
//! A worker takes records and news of ownership, commits transactions, and reads what it needs to
//! start a partition. Kafka stands behind it; a simulator may.

use std::sync::Arc;
use std::time::Duration;

use crate::billing::rate_book::RateBook;
use crate::billing::time::Instant;

use super::{Batch, Staged, Store, StoreError};

pub trait Log {
    /// What is there now; waits at most `wait` for something. Records of held partitions stay
    /// where they are.
    fn take(&mut self, wait: Duration) -> Result<Happening, LogError>;

    /// A batch that was folded comes back, so that its memory can be used again.
    fn recycle(&mut self, batch: Batch);

    /// s2 to s5 of `engine.md` 3: one transaction of everything staged, with the positions of all
    /// inputs. The receipts stand in the order of `staged`.
    fn commit(&mut self, staged: &[Staged]) -> Result<Outcome, LogError>;

    /// The committed offset of the usage topic; None: the log did not answer in time, ask again.
    fn committed(&mut self, partition: u16) -> Result<Option<Committed>, LogError>;

    /// Outputs of `partition` whose newest records an open transaction still hides. What a
    /// predecessor of this worker left open is ended first. None: ask again.
    fn hidden_outputs(&mut self, partition: u16) -> Result<Option<Vec<Hidden>>, LogError>;

    /// First and next offset of each input; None: ask again.
    fn input_offsets(&mut self, partition: u16) -> Result<Option<Vec<Offsets>>, LogError>;

    /// Begins to read the committed records of a kept topic, from `from` or its start. One topic is
    /// read at a time for each partition. None: ask again.
    fn open_kept(
        &mut self,
        topic: Kept,
        partition: u16,
        from: Option<i64>,
    ) -> Result<Option<Offsets>, LogError>;

    /// Shows what follows, for at most a slice of time. Returns the next offset to read: at or past
    /// the high watermark once everything below it is read.
    fn read_kept(
        &mut self,
        partition: u16,
        visit: &mut dyn FnMut(KeptRecord),
    ) -> Result<i64, LogError>;

    fn close_kept(&mut self, partition: u16);

    /// The newest committed value of `key` in a kept topic of any partition, found from its end.
    /// None: ask again.
    fn newest_kept(
        &mut self,
        topic: Kept,
        partition: u16,
        key: &[u8],
    ) -> Result<Option<Newest>, LogError>;

    /// Why nothing of a partition that has begun is handed out, though it will go on by itself; None:
    /// it does not wait. For those who watch.
    fn wait_reason(&self, _partition: u16) -> Option<&str> {
        None
    }

    /// Each input as it was last heard of, for those who watch: nobody is asked, and nothing is
    /// decided by it.
    fn prospects(&self, _partition: u16) -> Vec<Prospect> {
        Vec::new()
    }

    /// From now on hands out records of `partition`, from these positions of its inputs.
    fn begin(
        &mut self,
        partition: u16,
        positions: &[i64],
        clock: Option<Instant>,
    ) -> Result<(), LogError>;

    /// Keeps the records of a partition back, or no longer.
    fn hold(&mut self, partition: u16, is_held: bool);

    /// The first instant at which `partition` wants its clock moved without a record.
    fn wake_at(&mut self, partition: u16, due: Option<Instant>);

    /// No more of `partition` until it begins again; what was read ahead is dropped.
    fn stop(&mut self, partition: u16);

    /// The partition is given up: the log may hand it to somebody else.
    fn release(&mut self, partition: u16) -> Result<(), LogError>;

    /// Nobody answers, and the log goes on by itself once somebody does.
    fn is_away(&mut self) -> bool;

    /// Leaves the group and closes.
    fn close(&mut self);
}

pub enum Happening {
    Batch(Batch),
    /// The wall clock, which stands at `wall_millis`, allows the partition's clock to move on: all
    /// its inputs are proven empty.
    Clock {
        partition: u16,
        clock: Instant,
        wall_millis: i64,
    },
    Assigned(Vec<u16>),
    /// To be given up, after a last commit.
    Revoked(Vec<u16>),
    /// Given up already: nothing may be committed.
    Lost(Vec<u16>),
    Halted(u16, Halt),
    Idle,
}

/// Kept topics that a partition is started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Changelog,
    Journal,
}

pub struct KeptRecord<'a> {
    pub offset: i64,
    pub appended_at_millis: i64,
    pub key: &'a [u8],
    /// None: deleted.
    pub value: Option<&'a [u8]>,
}

/// What [`Log::newest_kept`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    Nothing,
    Value(Vec<u8>),
}

/// An output that readers of committed records cannot see the end of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    pub topic: String,
    /// The last stable offset: the open transaction begins here.
    pub from: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    pub first: i64,
    /// The high watermark: the offset after the last record, committed or not.
    pub next: i64,
}

/// An input of a partition, as far as it is known without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prospect {
    /// None: not heard of, or no longer.
    pub offsets: Option<Offsets>,
    /// Records at the end that an open transaction holds back.
    pub unstable: i64,
    /// Recorded time of the oldest record that was fetched and not handed out; None: there is none.
    pub waiting_since_millis: Option<i64>,
    /// No broker tells of it: the log may be longer by now.
    pub is_cut_off: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Nothing was ever committed, or it is gone.
    Missing,
    At {
        offset: i64,
        /// What stands beside it: a witness if it is ours.
        metadata: String,
    },
}

pub enum Outcome {
    Committed(Vec<Receipt>),
    /// Nothing of it is visible, or it is not known: what is true stands in the log.
    Unsure {
        reason: String,
        is_timeout: bool,
    },
}

/// Where a partition's META came to lie in the changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The offset after it.
    pub changelog_position: i64,
    pub appended_at_millis: i64,
}

/// Failures that end the worker. What can be waited for is not among them.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(
        "fenced: {0}; another process has this identity, or took over: give each its own instance"
    )]
    Fenced(String),
    /// The identity is still held by a predecessor whose session has not ended.
    #[error("identity in use: {0}; end the other process, or wait until its session has timed out")]
    Unreleased(String),
    /// The group takes another member for this one: a rival, or itself before a connection broke.
    #[error(
        "fenced: {0}; another process has this identity, or took over: give each its own instance"
    )]
    Replaced(String),
    #[error("not authorised: {0}")]
    Denied(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Failed(String),
}

/// Why a partition stands still until somebody decides (`engine.md` 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    pub code: HaltCode,
    /// Both positions and the remedy.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HaltCode {
    StateAhead,
    OffsetsForeign,
    OffsetsMissing,
    ChangelogMissing,
    StateDigest,
    RetentionPassedUs,
    LogTruncated,
    TopicReplaced,
    PartitionsChanged,
    VersionNewer,
    TimestampType,
    WrongPartition,
    ClockJump,
    BookTooLate,
    InvariantBroken,
}

/// Sizes of a store, as it knows them without searching: for those who watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    pub keys_estimate: u64,
    pub live_bytes: u64,
    pub total_bytes: u64,
    pub memtable_bytes: u64,
    pub table_reader_bytes: u64,
    pub compaction_pending_bytes: u64,
    pub compactions_running: u64,
    pub flushes_running: u64,
    pub immutable_memtables: u64,
    pub l0_files: u64,
    /// Of the cache that all stores of a process share.
    pub block_cache_bytes: u64,
    /// Writes are delayed or stopped until compaction catches up.
    pub is_write_stalled: bool,
    /// Flushes and compactions that failed since it was opened.
    pub background_errors: u64,
}

/// Where the stores of partitions lie.
pub trait Stores {
    type Store: Store;

    /// None: another worker of this process has not closed it yet.
    fn open(&mut self, partition: u16) -> Result<Option<Self::Store>, StoreError>;

    /// Makes what was applied durable, if that is due or `is_last`.
    fn flush(&mut self, store: &Self::Store, is_last: bool) -> Result<(), StoreError>;

    fn figures(&self, _store: &Self::Store) -> StoreFigures {
        StoreFigures::default()
    }

    /// The partition runs on `store`, under `book`: others may read it, until it is hidden or closed.
    fn show(&mut self, _partition: u16, _store: &Self::Store, _book: &Arc<RateBook>) {}

    /// Nobody reads the partition any more once this returns.
    fn hide(&mut self, _partition: u16) {}

    /// Gives the partition back to this process. The store is closed, and hidden before.
    fn close(&mut self, partition: u16, store: Self::Store);

    /// Puts a closed store away: out of use (bytes kept) or for good.
    fn discard(&mut self, partition: u16, is_kept: bool) -> Result<(), StoreError>;
}

impl Halt {
    pub fn new(code: HaltCode, text: impl Into<String>) -> Halt {
        Halt {
            code,
            text: text.into(),
        }
    }
}

impl HaltCode {
    pub const ALL: [HaltCode; 15] = [
        HaltCode::StateAhead,
        HaltCode::OffsetsForeign,
        HaltCode::OffsetsMissing,
        HaltCode::ChangelogMissing,
        HaltCode::StateDigest,
        HaltCode::RetentionPassedUs,
        HaltCode::LogTruncated,
        HaltCode::TopicReplaced,
        HaltCode::PartitionsChanged,
        HaltCode::VersionNewer,
        HaltCode::TimestampType,
        HaltCode::WrongPartition,
        HaltCode::ClockJump,
        HaltCode::BookTooLate,
        HaltCode::InvariantBroken,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            HaltCode::StateAhead => "STATE_AHEAD",
            HaltCode::OffsetsForeign => "OFFSETS_FOREIGN",
            HaltCode::OffsetsMissing => "OFFSETS_MISSING",
            HaltCode::ChangelogMissing => "CHANGELOG_MISSING",
            HaltCode::StateDigest => "STATE_DIGEST",
            HaltCode::RetentionPassedUs => "RETENTION_PASSED_US",
            HaltCode::LogTruncated => "LOG_TRUNCATED",
            HaltCode::TopicReplaced => "TOPIC_REPLACED",
            HaltCode::PartitionsChanged => "PARTITIONS_CHANGED",
            HaltCode::VersionNewer => "VERSION_NEWER",
            HaltCode::TimestampType => "TIMESTAMP_TYPE",
            HaltCode::WrongPartition => "WRONG_PARTITION",
            HaltCode::ClockJump => "CLOCK_JUMP",
            HaltCode::BookTooLate => "BOOK_TOO_LATE",
            HaltCode::InvariantBroken => "INVARIANT_BROKEN",
        }
    }
}
