//! One worker on a log: takes what is there, folds it, commits it, applies it; starts partitions
//! that it is given and gives up those that are taken.
//!
//! The hops are those of [`super::run`]; what a log adds is ownership that moves, commits that may
//! be refused, and a clock that may stand still. Nothing is written to a store before the commit
//! succeeded; after any doubt every partition is started again from what was committed.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Monotonic};

use crate::billing::time::Instant;
use crate::fail_point::{self, Step as FailStep};
use crate::ports::Batch;
use crate::ports::log::{Halt, Happening, Log, LogError, Stores};

use super::fit;
use super::partition::{Partition, PartitionError};
use super::start::{Start, StartError, StartSettings, Step};
use super::watch::{PartitionState, Watch};

/// When a commit is due, and what may stay in memory. None of these can change a bill.
#[derive(Clone, Copy, Debug)]
pub struct WorkerPolicy {
    pub interval: Duration,
    pub cells_max: usize,
    pub output_bytes_max: usize,
    pub ids_max: usize,
    pub decoded_bytes_max: usize,
    pub encoded_bytes_max: usize,
    /// A store that failed is opened again after so long.
    pub store_rest: Duration,
}

/// Why a worker ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Log(#[from] LogError),
    /// Local state that somebody must see to.
    #[error("{0}")]
    Unusable(String),
    #[error("{0}")]
    Invalid(String),
}

pub struct Worker<'a, L: Log, O: Stores, W> {
    pub(super) log: L,
    pub(super) stores: O,
    pub(super) settings: &'a StartSettings,
    pub(super) policy: WorkerPolicy,
    pub(super) watch: W,
    pub(super) running: Vec<Partition<O::Store>>,
    pub(super) starting: Vec<Start<O::Store>>,
    halted: BTreeMap<u16, Halt>,
    /// Partitions in the middle of a clock step, and the batch that waits for its end.
    pub(super) paused: BTreeMap<u16, Option<Rc<Batch>>>,
    is_away: bool,
    /// Stores that failed: opened again from then on.
    pub(super) resting: BTreeMap<u16, Monotonic>,
    /// When a damaged store was last put away.
    pub(super) quarantined: BTreeMap<u16, Monotonic>,
    /// When the first record since the last commit was folded.
    pub(super) open_since: Option<Monotonic>,
    pub(super) fold_time: Duration,
    /// Halved after a commit that took too long, so that the next one is smaller.
    pub(super) interval: Duration,
    flushed_at: Monotonic,
    told_at: Monotonic,
}

const TAKE_WAIT: Duration = Duration::from_millis(5);
const FLUSH_INTERVAL: Duration = Duration::from_secs(60);
/// How often watchers hear of sizes, waits and the log's ends.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

impl<'a, L: Log, O: Stores, W: Watch> Worker<'a, L, O, W> {
    pub fn new(
        log: L,
        stores: O,
        settings: &'a StartSettings,
        policy: WorkerPolicy,
        watch: W,
    ) -> Worker<'a, L, O, W> {
        Worker {
            log,
            stores,
            settings,
            policy,
            watch,
            running: Vec::new(),
            starting: Vec::new(),
            halted: BTreeMap::new(),
            paused: BTreeMap::new(),
            is_away: false,
            resting: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            open_since: None,
            fold_time: Duration::ZERO,
            interval: policy.interval,
            flushed_at: Monotonic::now(),
            told_at: Monotonic::now(),
        }
    }

    /// Works until told to stop; then commits what is folded and closes everything.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), WorkerError> {
        let result = self.work(stop);
        if result.is_err() {
            // Given back, so that a worker that takes this one's place can open them.
            for partition in std::mem::take(&mut self.running) {
                let number = partition.number();
                self.stores.close(number, partition.into_store());
            }
        }
        self.close();
        result
    }

    /// Who watched, once the work is over.
    pub fn into_watch(self) -> W {
        self.watch
    }

    fn work(&mut self, stop: &AtomicBool) -> Result<(), WorkerError> {
        while !stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        if self.is_changed() {
            self.commit()?;
        }
        Ok(())
    }

    /// Once around: take and decode, fold, commit, apply.
    pub fn turn(&mut self) -> Result<(), WorkerError> {
        self.watch.turned();
        let is_away = self.log.is_away();
        if is_away != self.is_away {
            self.is_away = is_away;
            self.watch.away(is_away);
        }
        let is_busy = !self.paused.is_empty() || !self.starting.is_empty();
        let wait = if is_busy { Duration::ZERO } else { TAKE_WAIT };
        match self.log.take(wait)? {
            Happening::Batch(batch) => self.fold(batch)?,
            Happening::Clock {
                partition,
                clock,
                wall_millis,
            } => self.advance(partition, clock, wall_millis)?,
            Happening::Assigned(numbers) => self.assigned(numbers),
            Happening::Revoked(numbers) => self.revoked(numbers)?,
            Happening::Lost(numbers) => self.lost(numbers)?,
            Happening::Halted(number, halt) => self.halt_at_its_place(number, halt)?,
            Happening::Idle => {}
        }
        self.continue_paused()?;
        self.start_slices()?;
        if self.is_commit_due() {
            self.commit()?;
        }
        if self.told_at.elapsed() >= TELL_INTERVAL {
            self.told_at = Monotonic::now();
            for partition in &self.running {
                let number = partition.number();
                let store = self.stores.figures(partition.store());
                self.watch.sizes(number, &store, &partition.dedup_figures());
                self.watch.waits(number, self.log.wait_reason(number));
                self.watch.prospects(number, &self.log.prospects(number));
            }
        }
        if self.flushed_at.elapsed() >= FLUSH_INTERVAL {
            self.flush();
        }
        Ok(())
    }

    fn assigned(&mut self, numbers: Vec<u16>) {
        let count = self.settings.log.partition_count;
        let now = numbers.iter().max().map_or(0, |number| number + 1);
        for number in numbers {
            self.halted.remove(&number);
            self.starting.push(Start::new(number));
        }
        if now > count {
            let running = self.running.iter().map(Partition::number);
            let starting = self.starting.iter().map(|start| start.partition);
            let owned: Vec<u16> = running.chain(starting).collect();
            for number in owned {
                self.halt(number, fit::partitions_changed(count, now));
            }
        }
    }

    fn fold(&mut self, batch: Batch) -> Result<(), WorkerError> {
        fail_point::hit(FailStep::S0);
        self.open_since.get_or_insert_with(Monotonic::now);
        let began = Monotonic::now();
        let batch = Rc::new(batch);
        for number in 0..batch.by_partition.len() as u16 {
            let is_empty = batch.by_partition[usize::from(number)].is_empty();
            let has_end = batch.ends.iter().any(|end| end.partition == number);
            if !is_empty || has_end {
                self.with_running(number, |partition| partition.fold(&batch), Some(&batch))?;
            }
        }
        fail_point::hit(FailStep::S1);
        self.watch.batch_folded(&batch);
        self.fold_time += began.elapsed();
        if let Ok(batch) = Rc::try_unwrap(batch) {
            self.log.recycle(batch);
        }
        Ok(())
    }

    fn advance(
        &mut self,
        number: u16,
        clock: Instant,
        wall_millis: i64,
    ) -> Result<(), WorkerError> {
        self.open_since.get_or_insert_with(Monotonic::now);
        self.with_running(
            number,
            |partition| partition.advance_by_wall(clock, wall_millis),
            None,
        )
    }

    /// Works on a running partition; one that pauses is kept back with `batch`, one that breaks
    /// halts.
    fn with_running(
        &mut self,
        number: u16,
        work: impl FnOnce(&mut Partition<O::Store>) -> Result<(), PartitionError>,
        batch: Option<&Rc<Batch>>,
    ) -> Result<(), WorkerError> {
        let Some(partition) = self.running.iter_mut().find(|it| it.number() == number) else {
            return Ok(());
        };
        match work(partition) {
            Ok(()) if partition.is_paused() => {
                self.log.hold(number, true);
                self.paused.insert(number, batch.cloned());
            }
            Ok(()) => {}
            Err(error) => self.broken(number, error)?,
        }
        Ok(())
    }

    /// Goes on with clock steps that are under way, a stretch each.
    fn continue_paused(&mut self) -> Result<(), WorkerError> {
        for (number, batch) in std::mem::take(&mut self.paused) {
            self.open_since.get_or_insert_with(Monotonic::now);
            match &batch {
                Some(batch) => {
                    self.with_running(number, |partition| partition.fold(batch), Some(batch))?;
                }
                None => self.with_running(number, Partition::finish_step, None)?,
            }
            if !self.paused.contains_key(&number) {
                self.log.hold(number, false);
            }
        }
        Ok(())
    }

    pub(super) fn take_running(&mut self, number: u16) -> Option<O::Store> {
        self.paused.remove(&number);
        let index = self.running.iter().position(|it| it.number() == number)?;
        Some(self.running.remove(index).into_store())
    }

    /// What was folded before is committed, so that the partition stands where it says.
    fn halt_at_its_place(&mut self, number: u16, halt: Halt) -> Result<(), WorkerError> {
        if self.is_changed() {
            self.commit()?;
        }
        self.halt(number, halt);
        Ok(())
    }

    pub(super) fn halt(&mut self, number: u16, halt: Halt) {
        if let Some(store) = self.take_running(number) {
            self.stores.close(number, store);
        }
        self.drop_start(number);
        self.log.stop(number);
        tracing::error!(
            event = "partition_halted",
            partition = number,
            code = halt.code.name(),
            "{}",
            halt.text
        );
        self.watch.partition(number, &PartitionState::Halted(&halt));
        self.halted.insert(number, halt);
    }

    fn drop_start(&mut self, number: u16) {
        if let Some(index) = self.starting.iter().position(|it| it.partition == number) {
            if let Some(store) = self.starting.remove(index).into_store() {
                self.stores.close(number, store);
            }
            self.log.close_kept(number);
        }
    }

    /// The last commit, then the store is flushed and closed.
    fn revoked(&mut self, numbers: Vec<u16>) -> Result<(), WorkerError> {
        if self.is_changed() {
            self.commit()?;
        }
        self.give_up(numbers, true)
    }

    fn lost(&mut self, numbers: Vec<u16>) -> Result<(), WorkerError> {
        self.give_up(numbers, false)
    }

    fn give_up(&mut self, numbers: Vec<u16>, is_flushed: bool) -> Result<(), WorkerError> {
        for number in numbers {
            self.log.stop(number);
            self.drop_start(number);
            if let Some(store) = self.take_running(number) {
                if is_flushed && let Err(error) = self.stores.flush(&store, true) {
                    tracing::warn!(event = "flush_failed", partition = number, "{error}");
                }
                self.stores.close(number, store);
            }
            self.halted.remove(&number);
            self.resting.remove(&number);
            self.log.release(number)?;
            self.watch.withdrawn(number);
        }
        Ok(())
    }

    /// A slice of work on every partition that is starting.
    fn start_slices(&mut self) -> Result<(), WorkerError> {
        for mut start in std::mem::take(&mut self.starting) {
            let number = start.partition;
            if self
                .resting
                .get(&number)
                .is_some_and(|until| *until > Monotonic::now())
            {
                self.starting.push(start);
                continue;
            }
            self.resting.remove(&number);
            let restored = start.progress.applied;
            let step = start.step(&mut self.log, &mut self.stores, self.settings);
            self.watch.restored(start.progress.applied - restored);
            if let Some(is_equal) = start.digest_check.take() {
                self.watch.digest_checked(is_equal);
            }
            let time = start.began.elapsed();
            match step {
                Ok(Step::Going) => self.starting.push(start),
                Ok(Step::Waiting(reason)) => {
                    let progress = start.progress;
                    let reason = reason.as_str();
                    let state = PartitionState::Starting { reason, progress };
                    self.watch.partition(number, &state);
                    start.tell_waiting(reason);
                    self.starting.push(start);
                }
                Ok(Step::Ready(partition)) => {
                    self.watch.started(Some(start.origin), time);
                    self.ready(*partition);
                }
                Ok(Step::Commit(partition)) => self.commit_start(*partition)?,
                Ok(Step::Halted(halt)) => {
                    self.watch.started(None, time);
                    self.starting.push(start);
                    self.halt(number, halt);
                }
                Err(StartError::Log(error)) => return Err(error.into()),
                Err(StartError::Foreign(text)) => return Err(WorkerError::Unusable(text)),
                Err(StartError::Invalid(text)) => return Err(WorkerError::Invalid(text)),
                Err(
                    StartError::Store(error) | StartError::Partition(PartitionError::Store(error)),
                ) => {
                    self.watch.started(None, time);
                    self.log.close_kept(number);
                    if let Some(store) = start.into_store() {
                        self.stores.close(number, store);
                    }
                    self.store_failed(number, error)?;
                }
                Err(StartError::Partition(error)) => self.broken(number, error)?,
            }
        }
        Ok(())
    }

    fn ready(&mut self, partition: Partition<O::Store>) {
        let number = partition.number();
        let meta = partition.meta();
        tracing::info!(
            event = "partition_running",
            partition = number,
            sequence = meta.sequence,
            "partition {number} runs from commit {}",
            meta.sequence
        );
        let counts = partition.counts();
        self.watch
            .partition(number, &PartitionState::Running { meta, counts });
        self.stores
            .show(number, partition.store(), &partition.shared_book());
        self.log.wake_at(number, partition.next_due());
        if partition.is_paused() {
            self.log.hold(number, true);
            self.paused.insert(number, None);
        }
        self.running.push(partition);
    }

    pub(super) fn is_changed(&self) -> bool {
        self.running.iter().any(Partition::is_changed)
    }

    fn is_commit_due(&self) -> bool {
        let sum = |measure: fn(&Partition<O::Store>) -> usize| -> usize {
            self.running.iter().map(measure).sum()
        };
        let is_full = sum(Partition::dirty_teams) >= self.policy.cells_max
            || sum(Partition::output_bytes) >= self.policy.output_bytes_max
            || sum(Partition::pending_ids) >= self.policy.ids_max;
        let is_late = self
            .open_since
            .is_some_and(|since| since.elapsed() >= self.interval);
        // The journal tells the clock after a commit: what the wall clock moved is the last of it.
        let is_moved = self.running.iter().any(Partition::is_moved_by_wall);
        (is_full || is_late || is_moved) && self.is_changed()
    }

    fn flush(&mut self) {
        self.flushed_at = Monotonic::now();
        for partition in &self.running {
            if let Err(error) = self.stores.flush(partition.store(), false) {
                let number = partition.number();
                tracing::warn!(event = "flush_failed", partition = number, "{error}");
            }
        }
    }

    fn close(&mut self) {
        for partition in std::mem::take(&mut self.running) {
            let number = partition.number();
            let store = partition.into_store();
            if let Err(error) = self.stores.flush(&store, true) {
                tracing::warn!(event = "flush_failed", partition = number, "{error}");
            }
            self.stores.close(number, store);
        }
        for start in std::mem::take(&mut self.starting) {
            let number = start.partition;
            if let Some(store) = start.into_store() {
                self.stores.close(number, store);
            }
        }
        self.log.close();
    }
}
