//! The seam to what an audit reads: the journal of a partition, its inputs, and what was published
//! of it. The log stands behind it, or an archive of it.
//!
//! Everything is a run of records in their canonical bytes ([`crate::wire::record_bytes`]), so that
//! one kind of reader and one kind of file serves all topics. Reading takes no part in any group
//! and writes nothing.

use crate::billing::derived_event::DerivedKind;
use crate::wire::meta::Witness;

/// Which records of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// By its place among the inputs.
    Input(u8),
    Journal,
    Derived(DerivedKind),
    DeadLetters,
    /// Each state cell by its newest value; only a log has it.
    Changelog,
    /// Key and value of each state cell after this commit.
    Snapshot(u64),
}

/// A stretch of offsets: from the first that is wanted up to one that is not. None: whatever is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// What was kept of all partitions.
pub trait Evidence: Sync {
    type Records: Records;

    /// Id of the cluster that it was kept in.
    fn cluster(&self) -> &str;

    /// What a topic is called.
    fn name(&self, topic: Topic) -> &str;

    /// A commit that the partition is known to have come to, whatever its journal says; None:
    /// nothing is known. Asked before the journal is opened, it must be in its chain.
    fn witness(&self, partition: u16) -> Result<Option<Witness>, EvidenceError>;

    /// Whether everything that is kept of a partition is what was kept, also what no audit reads.
    fn verify(&self, partition: u16) -> Result<(), EvidenceError>;

    /// Commits after which the state of the partition was kept, ascending.
    fn snapshots(&self, partition: u16) -> Vec<u64>;

    /// The committed records of a stretch, in order; its end is at most what is the end now.
    fn open(
        &self,
        topic: Topic,
        partition: u16,
        stretch: Stretch,
    ) -> Result<Self::Records, EvidenceError>;
}

/// Records of one topic and partition, in the order of their offsets.
pub trait Records {
    /// Where the records begin that are still kept: of lower offsets nothing is known.
    fn first(&self) -> i64;

    /// The offset before which all that is kept is shown.
    fn end(&self) -> i64;

    /// The next record in its canonical bytes; None: the end.
    fn next(&mut self) -> Result<Option<&[u8]>, EvidenceError>;

    /// Whether more was appended since this was opened, be it committed or not.
    fn has_grown(&mut self) -> Result<bool, EvidenceError>;
}

/// Why records cannot be read. That they are gone is no error: see [`Records::first`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The bytes are not those that were kept.
    #[error("{0}")]
    Damaged(String),
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    Failed(String),
}

impl Stretch {
    pub const ALL: Stretch = Stretch {
        from: None,
        to: None,
    };

    pub const fn from(offset: i64) -> Stretch {
        Stretch {
            from: Some(offset),
            to: None,
        }
    }
}
