//! What those who watch a worker hear of: metrics, status, log lines. Nothing is decided by it.

use std::time::Duration;

use crate::ports::log::{Halt, Prospect, StoreFigures};
use crate::ports::{Batch, StoreError};
use crate::store::dedup::DedupFigures;
use crate::wire::meta::Meta;

use super::counts::Counts;
pub use super::restore::Origin;
use super::start::Progress;

/// Who watches a worker. All calls come from its thread, none for a single record.
pub trait Watch {
    /// The loop has turned.
    fn turned(&mut self) {}
    fn batch_folded(&mut self, _batch: &Batch) {}
    fn committed(&mut self, _commit: &Commit) {}
    fn aborted(&mut self, _reason: &str) {}
    /// Nobody answers, or somebody does again.
    fn away(&mut self, _is_away: bool) {}
    /// A damaged store was put away.
    fn quarantined(&mut self, _number: u16) {}
    /// A slice of a restore applied so many records.
    fn restored(&mut self, _records: u64) {}
    /// The state digest was compared with META after a restore.
    fn digest_checked(&mut self, _is_equal: bool) {}
    /// A start ended, `time` after it began: where its state came from; None: it failed.
    fn started(&mut self, _origin: Option<Origin>, _time: Duration) {}
    fn partition(&mut self, _number: u16, _state: &PartitionState) {}
    /// Sizes of a running partition's state; told once a second.
    fn sizes(&mut self, _number: u16, _store: &StoreFigures, _dedup: &DedupFigures) {}
    /// Its store refuses to be written; it is opened again after a rest.
    fn store_failed(&mut self, _number: u16, _error: &StoreError) {}
    /// Why a partition stands still that will go on by itself, if it does; told once a second.
    fn waits(&mut self, _number: u16, _reason: Option<&str>) {}
    /// What is known of each input of a running partition; told once a second.
    fn prospects(&mut self, _number: u16, _prospects: &[Prospect]) {}
    fn withdrawn(&mut self, _number: u16) {}
}

impl Watch for () {}

/// A commit that succeeded.
pub struct Commit {
    pub partitions: usize,
    pub cells: usize,
    pub derived: usize,
    pub dead_letters: usize,
    pub dead_letter_bytes: usize,
    pub fold: Duration,
    pub transaction: Duration,
    pub apply: Duration,
}

/// What a partition does, as its watchers see it.
pub enum PartitionState<'a> {
    Starting { reason: &'a str, progress: Progress },
    Running { meta: &'a Meta, counts: &'a Counts },
    Halted(&'a Halt),
}
