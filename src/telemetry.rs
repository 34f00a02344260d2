//! What the running engine lets others see of itself: metrics, the state of each partition, whether
//! it is alive and ready, log lines.
//!
//! Workers tell, once a commit: [`Telemetry::publish`] takes what a worker counted on its own,
//! [`Telemetry::publish_partition`] where a partition stands, [`Telemetry::heartbeat`] that the loop
//! turns. The HTTP server asks. Nothing here decides anything, waits for anything or knows a team.

mod clients;
mod exposition;
mod families;
pub mod halt;
pub mod labels;
pub mod log;
mod not_exported;
mod observed;
mod process;
mod refresh;
mod report;
mod status;
pub mod table;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use clients::{BrokerFigures, ClientFigures};
pub use exposition::Format;
pub use halt::Halt;
pub use report::WorkerReport;
pub use status::{InputStatus, PartitionState, PartitionStatus, StoreStatus, WorkerState};

use families::Families;
use labels::ProcessState;
use status::Shared;
use table::Metric;

/// A worker whose loop has not turned for so long is taken for dead. Longer than any call to Kafka
/// may take (`engine.md` 3).
pub const HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(60);

/// Who this process is; told once.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub application: String,
    pub instance: String,
    pub workers: u16,
    /// The input topics.
    pub topics: Vec<String>,
    /// Partitions that each of them has.
    pub partitions: u16,
    /// Whose volume to watch; None: none.
    pub state_dir: Option<PathBuf>,
    /// Digest of the configuration, secrets aside.
    pub config_hash: String,
    /// Something is reached in plain text beyond this machine.
    pub is_insecure: bool,
    pub transaction_timeout_millis: u64,
    pub build: Build,
}

/// The program and what it stands on.
#[derive(Clone, Debug, Default)]
pub struct Build {
    pub version: String,
    pub commit: String,
    pub fold_version: String,
    pub librdkafka: String,
    pub rocksdb: String,
}

/// A handle to all of it; clones share.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    settings: Settings,
    started: Instant,
    started_unix_millis: i64,
    families: Families,
    /// Held while computed gauges are set and read, so that scrapes do not meet.
    scrape: Mutex<()>,
    shared: Mutex<Shared>,
    /// For each worker, milliseconds from the start to its last heartbeat, plus 1; 0: none yet.
    heartbeats: Vec<AtomicU64>,
}

/// Everything that `/status` shows.
pub struct Status {
    pub state: ProcessState,
    /// Empty: ready.
    pub not_ready: Vec<String>,
    pub started_unix_millis: i64,
    pub ready_unix_millis: Option<i64>,
    pub workers: Vec<WorkerStatus>,
    /// Ascending; (owning worker, what it said).
    pub partitions: Vec<(u16, PartitionStatus)>,
}

pub struct WorkerStatus {
    pub state: WorkerState,
    /// None: its loop has not begun.
    pub heartbeat_age: Option<Duration>,
}

impl Telemetry {
    pub fn new(settings: Settings) -> Telemetry {
        let families = Families::new(&settings.topics);
        let workers = settings.workers;
        let telemetry = Telemetry(Arc::new(Inner {
            families,
            started: Instant::now(),
            started_unix_millis: unix_millis(),
            scrape: Mutex::new(()),
            shared: Mutex::new(Shared::new(workers)),
            heartbeats: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            settings,
        }));
        telemetry.introduce();
        telemetry
    }

    /// For work that nobody watches.
    pub fn unwatched() -> Telemetry {
        Telemetry::new(Settings::default())
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// A worker's loop has turned. To be said in every turn and in every slice of a restore; who
    /// makes a worker wait before its loop begins, such as for Kafka, says it in its stead.
    pub fn heartbeat(&self, worker: u16) {
        let millis = self.0.started.elapsed().as_millis() as u64;
        self.0.heartbeats[usize::from(worker)].store(millis + 1, Ordering::Relaxed);
    }

    pub fn set_worker_state(&self, worker: u16, state: WorkerState) {
        let mut shared = self.shared();
        shared.workers[usize::from(worker)] = state;
        self.note_ready(&mut shared);
    }

    /// An empty report for a worker to fill; one lasts for the worker's life.
    pub fn report(&self) -> WorkerReport {
        WorkerReport::new(&self.0.families)
    }

    /// After a commit: hands over what `worker` counted and empties the report.
    pub fn publish(&self, worker: u16, report: &mut WorkerReport) {
        let shared = self.shared();
        let is_owned = |partition: u16| {
            let owned = shared.partitions.get(&partition);
            owned.is_some_and(|owned| owned.worker == worker)
        };
        report.flush(&self.0.families, is_owned);
    }

    /// Where a partition that `worker` owns stands: when it was assigned, after each commit and
    /// slice of a restore, and whenever its state changes.
    pub fn publish_partition(&self, worker: u16, status: PartitionStatus) {
        let mut shared = self.shared();
        for input in &status.inputs {
            // The series exist from the first word on, at 0.
            let labels = [input.topic.as_str(), &status.partition.to_string()];
            self.0.families.add(Metric::RecordsConsumed, &labels, 0.0);
        }
        shared.publish(worker, status, unix_millis());
        self.note_ready(&mut shared);
    }

    /// `worker` lost a partition or gave it back. Nothing happens if another one has it by now.
    pub fn withdraw_partition(&self, worker: u16, partition: u16) {
        let mut shared = self.shared();
        let owned = shared.partitions.get(&partition);
        if owned.is_none_or(|owned| owned.worker != worker) {
            return;
        }
        shared.partitions.remove(&partition);
        for topic in &self.0.settings.topics {
            let labels = [topic.as_str(), &partition.to_string()];
            self.0
                .families
                .remove_counter(Metric::RecordsConsumed, &labels);
        }
        self.note_ready(&mut shared);
    }

    /// Why the process is not ready to be sent work or to be rolled past; empty: it is ready. It is
    /// when every worker has joined the group and every owned partition runs.
    pub fn not_ready(&self) -> Vec<String> {
        self.shared().not_ready()
    }

    /// Why the process ought to be killed; empty: it is alive. Brokers that are away are no reason
    /// (F36).
    pub fn not_alive(&self) -> Vec<String> {
        self.stuck_workers(self.0.started.elapsed())
    }

    /// Why the process has not started yet; empty: each worker's loop has begun. Neither Kafka nor
    /// a restore is waited for.
    pub fn not_started(&self) -> Vec<String> {
        let ages = self.heartbeat_ages().into_iter().zip(0u16..);
        ages.filter(|(age, _)| age.is_none())
            .map(|(_, worker)| format!("worker {worker}: its loop has not begun"))
            .collect()
    }

    pub fn status(&self) -> Status {
        let ages = self.heartbeat_ages();
        let shared = self.shared();
        let workers = shared.workers.iter().zip(ages);
        let partitions = shared.partitions.values();
        Status {
            state: shared.process_state(),
            not_ready: shared.not_ready(),
            started_unix_millis: self.0.started_unix_millis,
            ready_unix_millis: shared.ready_unix_millis,
            workers: workers
                .map(|(state, heartbeat_age)| WorkerStatus {
                    state: state.clone(),
                    heartbeat_age,
                })
                .collect(),
            partitions: partitions
                .map(|owned| (owned.worker, owned.status.clone()))
                .collect(),
        }
    }

    /// The metrics as they are now.
    pub fn render(&self, format: Format) -> String {
        let families = {
            let _alone = lock(&self.0.scrape);
            self.refresh();
            self.0.families.gather()
        };
        exposition::render(&families, format)
    }

    /// What stays as it is for as long as the process lives.
    fn introduce(&self) {
        let (families, settings) = (&self.0.families, &self.0.settings);
        let build = &settings.build;
        let labels = [
            &build.version,
            &build.commit,
            &build.fold_version,
            &build.librdkafka,
            &build.rocksdb,
        ];
        families.set(Metric::BuildInfo, &labels.map(String::as_str), 1.0);
        families.set(Metric::ConfigInfo, &[&settings.config_hash], 1.0);
        let insecure = f64::from(u8::from(settings.is_insecure));
        families.set(Metric::Insecure, &[], insecure);
        let started = seconds(self.0.started_unix_millis);
        families.set(Metric::StartTimestamp, &[], started);
        let timeout = settings.transaction_timeout_millis as f64 / 1_000.0;
        families.set(Metric::TransactionTimeout, &[], timeout);
        for topic in &settings.topics {
            let partitions = f64::from(settings.partitions);
            families.set(Metric::InputPartitions, &[topic], partitions);
        }
    }

    fn note_ready(&self, shared: &mut Shared) {
        if shared.ready_unix_millis.is_none() && shared.not_ready().is_empty() {
            shared.ready_unix_millis = Some(unix_millis());
        }
    }

    /// Workers whose loops did not turn for too long; `now` since the start. One that never began
    /// is given as long as one that stopped; one that ended for good has nothing left to do.
    fn stuck_workers(&self, now: Duration) -> Vec<String> {
        let shared = self.shared();
        let workers = shared.workers.iter().zip(self.heartbeats());
        let stuck = workers.zip(0u16..).filter(|((state, beat), _)| {
            let age = now.saturating_sub(beat.unwrap_or_default());
            let is_ended = matches!(state, WorkerState::Fenced { .. } | WorkerState::Halted);
            !is_ended && age > HEARTBEAT_AGE_MAX
        });
        stuck
            .map(|((_, beat), worker)| match beat {
                Some(beat) => {
                    let age = now.saturating_sub(beat).as_secs();
                    format!("worker {worker}: its loop stopped {age} s ago")
                }
                None => format!("worker {worker}: its loop never began"),
            })
            .collect()
    }

    /// For each worker, how long ago its loop turned; None: it has not begun.
    fn heartbeat_ages(&self) -> Vec<Option<Duration>> {
        let now = self.0.started.elapsed();
        let beats = self.heartbeats();
        beats
            .map(|beat| beat.map(|beat| now.saturating_sub(beat)))
            .collect()
    }

    /// For each worker, when its loop last turned, since the start.
    fn heartbeats(&self) -> impl Iterator<Item = Option<Duration>> + '_ {
        self.0.heartbeats.iter().map(|beat| {
            let millis = beat.load(Ordering::Relaxed).checked_sub(1)?;
            Some(Duration::from_millis(millis))
        })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.0.shared)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a panic ends the process")
}

fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

fn seconds(millis: i64) -> f64 {
    millis as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_stuck_when_its_loop_is_and_it_has_not_ended() {
        let telemetry = Telemetry::new(Settings {
            workers: 2,
            ..Settings::default()
        });
        telemetry.heartbeat(0);
        let second = Duration::from_secs(1);
        let stuck = |now| telemetry.stuck_workers(now);
        assert_eq!(stuck(HEARTBEAT_AGE_MAX), Vec::<String>::new());
        let both = stuck(HEARTBEAT_AGE_MAX + second);
        assert_eq!(both.len(), 2);
        assert!(
            both[0].starts_with("worker 0: its loop stopped 6"),
            "{both:?}"
        );
        assert_eq!(both[1], "worker 1: its loop never began");
        telemetry.set_worker_state(0, WorkerState::Halted);
        let reason = String::from("another producer");
        telemetry.set_worker_state(1, WorkerState::Fenced { reason });
        assert_eq!(stuck(HEARTBEAT_AGE_MAX + second), Vec::<String>::new());
    }
}
