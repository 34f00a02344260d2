//! Tells telemetry what a worker does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::billing::disposition::Dispositions;
use crate::billing::event::Body;
use crate::config::{Config, RecordedTime};
use crate::kafka::log::wall_millis;
use crate::ports::log::{Halt, Offsets, Prospect, StoreFigures};
use crate::ports::{Batch, StoreError};
use crate::processor::counts::Counts;
use crate::processor::watch::{Commit, Origin, PartitionState, Watch};
use crate::store::dedup::DedupFigures;
use crate::telemetry::halt::Halt as HaltName;
use crate::telemetry::labels::{BatchResult, DigestCheck, ErrorClass, RestoreResult, Step};
use crate::telemetry::{
    InputStatus, PartitionState as Told, PartitionStatus, StoreStatus, Telemetry, WorkerReport,
    WorkerState,
};
use crate::wire::meta::Meta;

/// What the partitions of all workers come to.
pub struct Outlook {
    workers: Mutex<Vec<BTreeMap<u16, Option<String>>>>,
}

impl Outlook {
    pub fn new(workers: u16) -> Outlook {
        Outlook {
            workers: Mutex::new(vec![BTreeMap::new(); usize::from(workers)]),
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<BTreeMap<u16, Option<String>>>) -> T) -> T {
        look(&mut self.workers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// There are partitions, and none of them may go on.
    pub fn is_halted(&self) -> bool {
        self.with(|workers| {
            let mut partitions = workers.iter().flat_map(BTreeMap::values).peekable();
            partitions.peek().is_some() && partitions.all(Option::is_some)
        })
    }

    /// Why, a line each.
    pub fn halts(&self) -> String {
        self.with(|workers| {
            let partitions = workers.iter().flatten();
            let lines = partitions.filter_map(|(partition, halt)| {
                let halt = halt.as_ref()?;
                Some(format!("partition {partition}: {halt}"))
            });
            lines.collect::<Vec<_>>().join("\n")
        })
    }
}

pub struct Observer {
    telemetry: Telemetry,
    worker: u16,
    report: WorkerReport,
    inputs: Vec<String>,
    /// `retention.ms` of each input.
    retention: Vec<Option<i64>>,
    /// Recorded times are those of the producers, which tell no age.
    is_record_time: bool,
    /// Recorded time of the oldest record of each batch and partition that waits for its commit.
    oldest: Vec<i64>,
    /// Flushes and compactions of a partition's store that had failed at the last look.
    background_errors: BTreeMap<u16, u64>,
    /// What was told of each partition since it runs.
    told: BTreeMap<u16, Counts>,
    /// The status that was published last of each running partition.
    running: BTreeMap<u16, PartitionStatus>,
    /// Partitions that waited at the last look.
    waiting: BTreeSet<u16>,
    has_joined: bool,
    outlook: Arc<Outlook>,
    batch_records: u64,
    batch_bytes: u64,
}

impl Observer {
    pub fn new(
        telemetry: &Telemetry,
        worker: u16,
        config: &Config,
        retention: Vec<Option<i64>>,
        outlook: Arc<Outlook>,
    ) -> Observer {
        let inputs = std::iter::once(config.topics.api_calls.clone());
        Observer {
            telemetry: telemetry.clone(),
            worker,
            report: telemetry.report(),
            inputs: inputs.chain(config.topics.accounts.clone()).collect(),
            retention,
            is_record_time: config.recorded_time == RecordedTime::Record,
            oldest: Vec::new(),
            background_errors: BTreeMap::new(),
            told: BTreeMap::new(),
            running: BTreeMap::new(),
            waiting: BTreeSet::new(),
            has_joined: false,
            outlook,
            batch_records: 0,
            batch_bytes: 0,
        }
    }

    /// The worker joins anew: what it had is no longer its own.
    pub fn evicted(&mut self) {
        let worker = usize::from(self.worker);
        let owned = self
            .outlook
            .with(|workers| std::mem::take(&mut workers[worker]));
        for partition in owned.into_keys() {
            self.withdrawn(partition);
        }
        self.has_joined = false;
        self.telemetry
            .set_worker_state(self.worker, WorkerState::Starting);
    }

    fn joined(&mut self) {
        if !self.has_joined {
            self.has_joined = true;
            self.telemetry
                .set_worker_state(self.worker, WorkerState::Joined);
        }
    }

    fn count(&mut self, partition: u16, counts: &Counts) {
        let told = self.told.entry(partition).or_default();
        if counts.events < told.events {
            *told = Counts::default();
        }
        for (disposition, records) in counts.dispositions_since(told) {
            self.report.disposed(disposition, records);
        }
        for (reason, records) in &counts.dead_letters {
            let before = told.dead_letters.get(reason).copied().unwrap_or_default();
            if *records > before {
                self.report.dead_letter(reason.name(), records - before);
            }
        }
        for (kind, events) in &counts.derived {
            let before = told.derived.get(kind).copied().unwrap_or_default();
            if *events > before {
                self.report.derived(*kind, events - before);
            }
        }
        told.clone_from(counts);
    }

    fn status(&self, partition: u16, meta: &Meta, counts: &Counts) -> PartitionStatus {
        let positions = meta.positions.iter().zip(&self.retention);
        let inputs = positions.map(|((topic, position), retention)| InputStatus {
            topic: topic.clone(),
            position: *position,
            retention_millis: *retention,
            ..InputStatus::default()
        });
        PartitionStatus {
            state: Told::Running,
            sequence: meta.sequence,
            committed_sequence: Some(meta.sequence),
            clock_millis: meta.reached().map(|clock| clock.millis()),
            inputs: inputs.collect(),
            state_digest: format!("{:032x}", meta.total_digest()),
            journal_digest: blake3::Hash::from_bytes(meta.journal_digest).to_string(),
            dispositions: Dispositions::from_counts(
                counts
                    .by_disposition
                    .iter()
                    .map(|(name, count)| (*name, *count))
                    .collect(),
            ),
            dead_letters: counts.dead_letters.values().sum(),
            conservation_residual: i64::from(!counts.is_conserved()),
            ..PartitionStatus::restoring(partition)
        }
    }

    /// One record stands for a partition's share of a batch: the first is the oldest.
    fn look_at_ages(&mut self, batch: &Batch, slots: &[u32]) {
        let mut records = slots.iter().map(|slot| {
            let slot = &batch.slots[*slot as usize];
            let piece = &batch.pieces[slot.piece as usize];
            (slot.clock, &piece.records[slot.record as usize].decoded)
        });
        if !self.is_record_time
            && let Some((_, first)) = records.clone().next()
        {
            self.oldest.extend(first.recorded.map(|at| at.millis()));
        }
        let usage = records.find_map(|(clock, decoded)| match &decoded.event {
            Ok(event) if matches!(event.body, Body::ApiCall(_)) => Some((clock?, event.time)),
            _ => None,
        });
        if let Some((clock, time)) = usage {
            let millis = clock.millis().saturating_sub(time.millis()).max(0);
            self.report.lateness(millis as f64 / 1_000.0);
        }
    }

    fn set_outlook(&self, partition: u16, halt: Option<&Halt>) {
        let text = halt.map(|halt| format!("{}: {}", halt.code.name(), halt.text));
        let worker = usize::from(self.worker);
        self.outlook
            .with(|workers| workers[worker].insert(partition, text));
    }
}

impl Watch for Observer {
    fn turned(&mut self) {
        self.telemetry.heartbeat(self.worker);
    }

    fn batch_folded(&mut self, batch: &Batch) {
        let mut by_input = vec![(0, 0); self.inputs.len()];
        for piece in &batch.pieces {
            let sum: &mut (u64, u64) = &mut by_input[piece.input as usize];
            sum.1 += piece.raw.len() as u64;
        }
        for (partition, slots) in (0..).zip(&batch.by_partition) {
            if slots.is_empty() {
                continue;
            }
            let mut records = vec![0; self.inputs.len()];
            for slot in slots {
                let piece = batch.slots[*slot as usize].piece;
                records[batch.pieces[piece as usize].input as usize] += 1;
            }
            for (topic, records) in self.inputs.iter().zip(records) {
                self.report.consumed(topic, partition, records, 0);
            }
            self.batch_records += slots.len() as u64;
            self.look_at_ages(batch, slots);
        }
        for (topic, (_, bytes)) in self.inputs.iter().zip(by_input) {
            self.report.consumed(topic, 0, 0, bytes);
            self.batch_bytes += bytes;
        }
    }

    fn committed(&mut self, commit: &Commit) {
        let time = commit.fold + commit.transaction + commit.apply;
        let seconds = Duration::as_secs_f64;
        self.report.step(Step::Fold, seconds(&commit.fold));
        self.report.step(Step::Apply, seconds(&commit.apply));
        let (records, bytes) = (self.batch_records, self.batch_bytes);
        self.report
            .batch(BatchResult::Committed, records, bytes, seconds(&time));
        (self.batch_records, self.batch_bytes) = (0, 0);
        self.report
            .dead_letter_bytes(commit.dead_letter_bytes as u64);
        let now_millis = wall_millis();
        for recorded in self.oldest.drain(..) {
            let age = Duration::from_millis(now_millis.saturating_sub(recorded).max(0) as u64);
            self.report.end_to_end(seconds(&age));
        }
        self.telemetry.publish(self.worker, &mut self.report);
    }

    fn aborted(&mut self, _reason: &str) {
        self.report.abort();
        self.told.clear();
        (self.batch_records, self.batch_bytes) = (0, 0);
        self.oldest.clear();
        self.telemetry.publish(self.worker, &mut self.report);
    }

    fn away(&mut self, is_away: bool) {
        let reason = "no broker answers".to_owned();
        let state = match is_away {
            true => WorkerState::WaitingForKafka { reason },
            false if self.has_joined => WorkerState::Joined,
            false => WorkerState::Starting,
        };
        self.telemetry.set_worker_state(self.worker, state);
    }

    fn quarantined(&mut self, _number: u16) {
        self.telemetry.store_corrupted();
    }

    fn restored(&mut self, records: u64) {
        self.telemetry.restored_records(records);
    }

    fn digest_checked(&mut self, is_equal: bool) {
        let result = match is_equal {
            true => DigestCheck::Equal,
            false => DigestCheck::Different,
        };
        self.telemetry.state_digest_check(result);
    }

    fn started(&mut self, origin: Option<Origin>, time: Duration) {
        let result = match origin {
            Some(Origin::Store) => RestoreResult::Warm,
            Some(Origin::Tail) => RestoreResult::Tail,
            Some(Origin::Changelog) => RestoreResult::Full,
            None => RestoreResult::Failed,
        };
        self.telemetry.restore(result, time);
    }

    fn partition(&mut self, number: u16, state: &PartitionState) {
        self.joined();
        let mut told = PartitionStatus::restoring(number);
        match state {
            PartitionState::Starting { reason, progress } => {
                self.told.remove(&number);
                self.set_outlook(number, None);
                told.state = match progress.end {
                    0 => Told::Waiting {
                        reason: (*reason).to_owned(),
                    },
                    end => Told::Restoring {
                        applied: progress.applied,
                        wanted: end.unsigned_abs(),
                    },
                };
            }
            PartitionState::Running { meta, counts } => {
                self.set_outlook(number, None);
                self.count(number, counts);
                told = self.status(number, meta, counts);
            }
            PartitionState::Halted(halt) => {
                self.set_outlook(number, Some(halt));
                let name = halt.code.name();
                let found = HaltName::ALL.iter().find(|it| it.name() == name);
                told.state = match found {
                    Some(found) => Told::Halted {
                        halt: *found,
                        text: halt.text.clone(),
                    },
                    None => Told::Waiting {
                        reason: format!("{name}: {}", halt.text),
                    },
                };
            }
        }
        match told.state {
            Told::Running => {
                keep_told(self.running.get(&number), &mut told);
                self.running.insert(number, told.clone());
            }
            _ => drop(self.running.remove(&number)),
        }
        self.telemetry.publish_partition(self.worker, told);
    }

    fn sizes(&mut self, number: u16, store: &StoreFigures, dedup: &DedupFigures) {
        let now = store.background_errors;
        let before = self.background_errors.insert(number, now).unwrap_or(0);
        // A store that was opened again begins anew.
        let added = now.checked_sub(before).unwrap_or(now);
        self.telemetry.store_background_errors(added);
        if let Some(status) = self.running.get_mut(&number) {
            status.store = StoreStatus {
                figures: *store,
                is_read_only: false,
                dedup_ids: dedup.ids,
                dedup_filter_bytes: dedup.filter_bytes,
                dedup_floor_millis: dedup.floor.map(|floor| floor.millis()),
            };
        }
    }

    fn store_failed(&mut self, number: u16, error: &StoreError) {
        self.running.remove(&number);
        let class = match error {
            StoreError::Failed(_) => ErrorClass::Retriable,
            StoreError::Corrupt { .. } | StoreError::Damaged(_) => ErrorClass::Data,
            StoreError::Unusable(_) => ErrorClass::Fatal,
        };
        self.telemetry.error(Step::Apply, class);
        let mut told = PartitionStatus::restoring(number);
        told.store.is_read_only = !error.is_damage();
        told.state = Told::Waiting {
            reason: format!("the store failed, and is opened again: {error}"),
        };
        self.telemetry.publish_partition(self.worker, told);
    }

    /// A wait is told at the second look: of a moment it is none.
    fn waits(&mut self, number: u16, reason: Option<&str>) {
        let Some(reason) = reason else {
            if self.waiting.remove(&number)
                && let Some(status) = self.running.get_mut(&number)
            {
                status.state = Told::Running;
            }
            return;
        };
        let is_second = !self.waiting.insert(number);
        let Some(status) = self.running.get_mut(&number).filter(|_| is_second) else {
            return;
        };
        if status.state == Told::Running {
            tracing::warn!(
                event = "partition_waiting",
                partition = number,
                "partition {number} waits: {reason}"
            );
        }
        let reason = reason.to_owned();
        status.state = Told::Waiting { reason };
    }

    fn prospects(&mut self, number: u16, prospects: &[Prospect]) {
        let Some(status) = self.running.get_mut(&number) else {
            return;
        };
        for (input, prospect) in status.inputs.iter_mut().zip(prospects) {
            // Ends that are no longer known still stand.
            if let Some(Offsets { first, next }) = prospect.offsets {
                input.log_start = Some(first);
                input.log_end = Some(next);
                input.last_stable = Some(next - prospect.unstable);
            }
            let waiting = prospect.waiting_since_millis;
            input.oldest_waiting_millis = waiting.filter(|_| !self.is_record_time);
            input.is_cut_off = prospect.is_cut_off;
        }
        let status = status.clone();
        self.telemetry.publish_partition(self.worker, status);
    }

    fn withdrawn(&mut self, number: u16) {
        self.told.remove(&number);
        self.running.remove(&number);
        self.waiting.remove(&number);
        self.background_errors.remove(&number);
        let worker = usize::from(self.worker);
        self.outlook.with(|workers| workers[worker].remove(&number));
        self.telemetry.withdraw_partition(self.worker, number);
    }
}

/// The ends of the log and the sizes that were told before still stand. A partition that has just begun
/// has committed nothing yet, whatever lies in its store.
fn keep_told(before: Option<&PartitionStatus>, now: &mut PartitionStatus) {
    if let Some(before) = before {
        now.store = before.store.clone();
        now.last_commit_unix_millis = match now.sequence > before.sequence {
            true => Some(wall_millis()),
            false => before.last_commit_unix_millis,
        };
    }
    let before = before.into_iter().flat_map(|status| &status.inputs);
    for (input, before) in now.inputs.iter_mut().zip(before) {
        input.log_start = before.log_start;
        input.log_end = before.log_end;
        input.last_stable = before.last_stable;
        input.oldest_waiting_millis = before.oldest_waiting_millis;
        input.is_cut_off = before.is_cut_off;
    }
}
