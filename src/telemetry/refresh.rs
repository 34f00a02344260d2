//! Gauges that follow from what was said last and from the time: set when they are asked for.

use super::halt::Halt;
use super::labels::ProcessState;
use super::status::{InputStatus, Owned, PartitionState, Shared, StoreStatus, WorkerState};
use super::table::Metric;
use super::{Telemetry, process, seconds, unix_millis};

impl Telemetry {
    /// Sets every computed gauge. The caller holds the lock of scrapes.
    pub(super) fn refresh(&self) {
        let now_millis = unix_millis();
        let slowest = self.heartbeat_ages().into_iter().flatten().max();
        let heartbeat = slowest.map_or(0.0, |age| seconds(now_millis) - age.as_secs_f64());
        self.gauge(Metric::LoopHeartbeat, heartbeat);
        self.refresh_volume();
        self.refresh_resources();

        self.0.families.reset_fleeting_gauges();
        // A copy, so that no worker waits for a scrape.
        let shared = self.shared().clone();
        self.refresh_process(&shared, now_millis);
        self.refresh_stores(&shared);
        self.refresh_clients(&shared);
        for owned in shared.partitions.values() {
            self.refresh_partition(owned, now_millis);
        }
    }

    fn refresh_process(&self, shared: &Shared, now_millis: i64) {
        let state = shared.process_state();
        for known in ProcessState::ALL {
            let is_it = f64::from(*known == state);
            self.0
                .families
                .set(Metric::InstanceState, &[known.name()], is_it);
        }
        let ready = shared.ready_unix_millis.map_or(0.0, seconds);
        self.gauge(Metric::ReadyTimestamp, ready);
        let joined = shared.workers.iter();
        let joined = joined
            .filter(|state| **state == WorkerState::Joined)
            .count();
        self.gauge(Metric::WorkersJoined, joined as f64);

        let statuses = || shared.partitions.values().map(|owned| &owned.status);
        self.gauge(Metric::AssignedPartitions, statuses().count() as f64);
        let is_waiting = |state: &PartitionState| matches!(state, PartitionState::Waiting { .. });
        let waiting = statuses()
            .filter(|status| is_waiting(&status.state))
            .count();
        self.gauge(Metric::PartitionsWaiting, waiting as f64);
        let remaining = statuses().map(|status| match status.state {
            PartitionState::Restoring { applied, wanted } => wanted.saturating_sub(applied) as f64,
            _ => 0.0,
        });
        self.gauge(Metric::RestoreRemaining, remaining.sum());
        let slowest_clock = statuses().filter_map(|status| status.clock_millis).min();
        let clock_lag = slowest_clock.map_or(0.0, |clock| seconds(now_millis - clock));
        self.gauge(Metric::ClockLagSeconds, clock_lag.max(0.0));
        let last_commit = shared.last_commit_unix_millis.map_or(0.0, seconds);
        self.gauge(Metric::LastCommitTimestamp, last_commit);
    }

    fn refresh_stores(&self, shared: &Shared) {
        let stores = || shared.partitions.values().map(|owned| &owned.status.store);
        let sum = |metric, of: fn(&StoreStatus) -> u64| {
            let sum: u64 = stores().map(of).sum();
            self.gauge(metric, sum as f64);
        };
        sum(Metric::StoreKeys, |store| store.figures.keys_estimate);
        sum(Metric::StoreLiveBytes, |store| store.figures.live_bytes);
        sum(Metric::StoreTotalBytes, |store| store.figures.total_bytes);
        sum(Metric::StoreMemtableBytes, |store| {
            store.figures.memtable_bytes
        });
        sum(Metric::StoreTableReaderBytes, |store| {
            store.figures.table_reader_bytes
        });
        sum(Metric::StoreCompactionPendingBytes, |store| {
            store.figures.compaction_pending_bytes
        });
        sum(Metric::StoreCompactionsRunning, |store| {
            store.figures.compactions_running
        });
        sum(Metric::StoreFlushesRunning, |store| {
            store.figures.flushes_running
        });
        sum(Metric::StoreImmutableMemtables, |store| {
            store.figures.immutable_memtables
        });
        sum(Metric::StoreL0Files, |store| store.figures.l0_files);
        sum(Metric::StoreWriteStalled, |store| {
            u64::from(store.figures.is_write_stalled)
        });
        let block_cache = stores().map(|store| store.figures.block_cache_bytes).max();
        self.gauge(
            Metric::StoreBlockCacheBytes,
            block_cache.unwrap_or(0) as f64,
        );
        sum(Metric::StoreReadOnly, |store| u64::from(store.is_read_only));
        sum(Metric::DedupEntries, |store| store.dedup_ids);
        sum(Metric::DedupFilterBytes, |store| store.dedup_filter_bytes);
        let window_start = stores().filter_map(|store| store.dedup_floor_millis).min();
        self.gauge(Metric::DedupWindowStart, window_start.map_or(0.0, seconds));
    }

    fn refresh_partition(&self, owned: &Owned, now_millis: i64) {
        let families = &self.0.families;
        let status = &owned.status;
        let partition = status.partition.to_string();
        let set = |metric, value| families.set(metric, &[&partition], value);
        set(
            Metric::ConservationResidual,
            status.conservation_residual as f64,
        );
        if let Some(clock_millis) = status.clock_millis {
            set(Metric::ClockTimestamp, seconds(clock_millis));
        }
        for known in Halt::ALL {
            let is_it =
                matches!(&status.state, PartitionState::Halted { halt, .. } if halt == known);
            families.set(
                Metric::HaltInfo,
                &[&partition, known.name()],
                f64::from(is_it),
            );
        }
        let is_running = f64::from(status.state == PartitionState::Running);
        for topic in &self.0.settings.topics {
            families.set(Metric::PartitionOwned, &[topic, &partition], 1.0);
            families.set(Metric::PartitionRunning, &[topic, &partition], is_running);
        }
        for input in &status.inputs {
            let caught_up_millis = owned.caught_up_millis.get(&input.topic);
            let lag_seconds = lag_seconds(input, caught_up_millis.copied(), now_millis);
            self.refresh_input(input, &partition, lag_seconds);
        }
    }

    fn refresh_input(&self, input: &InputStatus, partition: &str, lag_seconds: f64) {
        let set = |metric, value| {
            let labels = [input.topic.as_str(), partition];
            self.0.families.set(metric, &labels, value);
        };
        set(Metric::CommittedOffset, input.position as f64);
        set(Metric::InputLagSeconds, lag_seconds);
        let retention = input.retention_millis.filter(|millis| *millis > 0);
        let headroom = retention.map_or(0.0, |millis| lag_seconds / seconds(millis));
        set(Metric::RetentionHeadroom, headroom);
        if let Some(lag_records) = input.lag_records() {
            set(Metric::InputLagRecords, lag_records as f64);
        }
        if let Some(log_start) = input.log_start {
            set(Metric::LogStartOffset, log_start as f64);
        }
        if let Some(log_end) = input.log_end {
            set(Metric::LogEndOffset, log_end as f64);
            let last_stable = input.last_stable.unwrap_or(log_end);
            set(
                Metric::UnstableRecords,
                (log_end - last_stable).max(0) as f64,
            );
        }
    }

    fn refresh_volume(&self) {
        let Some(state_dir) = &self.0.settings.state_dir else {
            return;
        };
        // A directory that cannot be asked about shows as a volume without space.
        let (size, available, inodes) =
            rustix::fs::statvfs(state_dir.as_path()).map_or((0, 0, 0), |volume| {
                let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
                (
                    bytes(volume.f_blocks),
                    bytes(volume.f_bavail),
                    volume.f_favail,
                )
            });
        self.gauge(Metric::VolumeSizeBytes, size as f64);
        self.gauge(Metric::VolumeAvailableBytes, available as f64);
        self.gauge(Metric::VolumeInodesAvailable, inodes as f64);
    }

    fn refresh_resources(&self) {
        let Some(resources) = process::read() else {
            return;
        };
        let cpu_seconds = self.0.families.counter(Metric::ProcessCpuSeconds);
        let cpu_seconds = cpu_seconds.with_label_values::<&str>(&[]);
        cpu_seconds.inc_by((resources.cpu_seconds - cpu_seconds.get()).max(0.0));
        self.gauge(
            Metric::ProcessResidentBytes,
            resources.resident_bytes as f64,
        );
        self.gauge(Metric::ProcessOpenFds, resources.open_fds as f64);
        self.gauge(Metric::ProcessMaxFds, resources.max_fds as f64);
        self.gauge(Metric::ProcessStartTime, resources.start_unix_seconds);
    }

    fn gauge(&self, metric: Metric, value: f64) {
        self.0.families.set(metric, &[], value);
    }
}

/// How old the oldest record that waits may be; what cannot be seen may wait too. So a consumer that
/// silently stopped shows, and brokers that are away do.
fn lag_seconds(input: &InputStatus, caught_up_millis: Option<i64>, now_millis: i64) -> f64 {
    let since = caught_up_millis.filter(|_| input.has_lag() || input.is_cut_off);
    since.map_or(0.0, |since| seconds(now_millis - since).max(0.0))
}
