//! The one table of metrics: name, type, labels, help. `docs/metrics.md` is printed from it; a name
//! in it is an interface, and renaming one breaks dashboards.

use std::fmt::Write as _;

use super::halt::Halt;
use super::labels::{
    BatchResult, DEAD_LETTER, DEAD_LETTER_REASONS, DigestCheck, ErrorClass, FencedBy, HTTP_CODES,
    HTTP_PATHS, LEVELS, LineLost, ProcessState, Rebalance, RestoreResult, SchemaFetch, Step,
    TIMED_STEPS, TransactionResult,
};
use super::not_exported::NOT_EXPORTED;
use crate::billing::derived_event::DerivedKind;
use crate::billing::disposition::Disposition;

/// A metric's type; of a histogram with the upper bounds of its buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

/// A label's name and what it may say.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    pub name: &'static str,
    pub values: Values,
}

#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// Each is exported as 0 from the start.
    Known(fn() -> Vec<&'static str>),
    /// The configured inputs.
    Topics,
    /// The partitions that this process owns, as long as it owns them.
    OwnedPartitions,
    /// The brokers that its clients have heard of.
    Brokers,
    /// One value a process, in metrics that say who it is.
    Identity,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub metric: Metric,
    pub group: &'static str,
    pub name: &'static str,
    pub shape: Shape,
    pub labels: &'static [Label],
    pub help: &'static str,
}

macro_rules! table {
    ($($group:literal { $($metric:ident $shape:expr, $name:literal, [$($label:expr),*], $help:literal;)* })*) => {
        /// Every metric that the process exports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $($($metric,)*)* }

        pub const TABLE: &[Row] = &[$($(Row {
            metric: Metric::$metric,
            group: $group,
            name: $name,
            shape: $shape,
            labels: &[$($label),*],
            help: $help,
        },)*)*];
    };
}

const fn known(name: &'static str, values: fn() -> Vec<&'static str>) -> Label {
    Label {
        name,
        values: Values::Known(values),
    }
}

const fn identity(name: &'static str) -> Label {
    Label {
        name,
        values: Values::Identity,
    }
}

const TOPIC: Label = Label {
    name: "topic",
    values: Values::Topics,
};
const PARTITION: Label = Label {
    name: "partition",
    values: Values::OwnedPartitions,
};
const DISPOSITION: Label = known("disposition", || {
    let folded = Disposition::ALL
        .iter()
        .map(|disposition| disposition.name());
    folded.chain([DEAD_LETTER]).collect()
});
const KIND: Label = known("kind", || {
    DerivedKind::ALL.iter().map(|kind| kind.name()).collect()
});
const DEAD_LETTER_REASON: Label = known("reason", || DEAD_LETTER_REASONS.to_vec());
const HALT: Label = known("reason", || Halt::NAMES.to_vec());
const STATE: Label = known("state", || ProcessState::NAMES.to_vec());
const BROKER: Label = Label {
    name: "broker",
    values: Values::Brokers,
};
const STEP: Label = known("step", || Step::NAMES.to_vec());
const TIMED_STEP: Label = known("step", || TIMED_STEPS.to_vec());
const CLASS: Label = known("class", || ErrorClass::NAMES.to_vec());
const BATCH_RESULT: Label = known("result", || BatchResult::NAMES.to_vec());
const TRANSACTION_RESULT: Label = known("result", || TransactionResult::NAMES.to_vec());
const FENCED_BY: Label = known("reason", || FencedBy::NAMES.to_vec());
const REBALANCE: Label = known("reason", || Rebalance::NAMES.to_vec());
const RESTORE_RESULT: Label = known("result", || RestoreResult::NAMES.to_vec());
const DIGEST_CHECK: Label = known("result", || DigestCheck::NAMES.to_vec());
const SCHEMA_FETCH: Label = known("result", || SchemaFetch::NAMES.to_vec());
const LEVEL: Label = known("level", || LEVELS.to_vec());
const LINE_LOST: Label = known("reason", || LineLost::NAMES.to_vec());
const HTTP_PATH: Label = known("path", || HTTP_PATHS.to_vec());
const HTTP_CODE: Label = known("code", || HTTP_CODES.to_vec());

/// Buckets of what takes milliseconds: steps, transactions, requests.
const SHORT_SECONDS: Shape = Shape::Histogram(&[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
]);
/// Buckets of ages and of work that may take long.
const LONG_SECONDS: Shape = Shape::Histogram(&[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 86_400.0,
]);
const RECORDS: Shape = Shape::Histogram(&[
    1.0,
    10.0,
    100.0,
    1_000.0,
    5_000.0,
    10_000.0,
    50_000.0,
    100_000.0,
    500_000.0,
    1_000_000.0,
]);
const BYTES: Shape = Shape::Histogram(&[1e3, 1e4, 1e5, 1e6, 4e6, 16e6, 64e6, 256e6]);
const COUNTER: Shape = Shape::Counter;
const GAUGE: Shape = Shape::Gauge;

table! {
    "Process" {
        BuildInfo GAUGE, "meterfold_build_info", [identity("version"), identity("commit"), identity("fold_version"), identity("librdkafka"), identity("rocksdb")], "1; which program this is.";
        ConfigInfo GAUGE, "meterfold_config_info", [identity("hash")], "1; digest of the configuration, secrets aside.";
        Insecure GAUGE, "meterfold_insecure", [], "1 where `insecure` lets brokers, the registry or what hands out tokens be reached in plain text beyond this machine, else 0.";
        InstanceState GAUGE, "meterfold_instance_state", [STATE], "1 for the state that the process is in, else 0.";
        StartTimestamp GAUGE, "meterfold_start_timestamp_seconds", [], "When the process started.";
        ReadyTimestamp GAUGE, "meterfold_ready_timestamp_seconds", [], "When it became ready for the first time; 0: not yet.";
        LoopHeartbeat GAUGE, "meterfold_loop_heartbeat_timestamp_seconds", [], "When the slowest worker's loop last turned; liveness goes by it.";
        ProcessCpuSeconds COUNTER, "process_cpu_seconds_total", [], "User and system time of the process.";
        ProcessResidentBytes GAUGE, "process_resident_memory_bytes", [], "Memory of the process.";
        ProcessOpenFds GAUGE, "process_open_fds", [], "File descriptors open.";
        ProcessMaxFds GAUGE, "process_max_fds", [], "File descriptors that may be open.";
        ProcessStartTime GAUGE, "process_start_time_seconds", [], "When the process started, as the kernel has it.";
        LogLines COUNTER, "meterfold_log_lines_total", [LEVEL], "Log lines, those that were not written included.";
        LogLinesLost COUNTER, "meterfold_log_lines_dropped_total", [LEVEL, LINE_LOST], "Log lines that were not written.";
    }
    "Pipeline" {
        RecordsConsumed COUNTER, "meterfold_records_consumed_total", [TOPIC, PARTITION], "Input records folded and committed.";
        ConsumedBytes COUNTER, "meterfold_consumed_bytes_total", [TOPIC], "Bytes of those records: key and value.";
        RecordsDisposed COUNTER, "meterfold_records_disposed_total", [DISPOSITION], "What became of them; the sum equals the records consumed.";
        ConservationResidual GAUGE, "meterfold_conservation_residual_records", [PARTITION], "Records consumed less records disposed of at the last commit; anything but 0 is a fault.";
        DerivedEvents COUNTER, "meterfold_derived_events_total", [KIND], "Derived events committed.";
        DerivedEventsProduced COUNTER, "meterfold_derived_events_produced_total", [KIND], "Derived events sent, those of aborted transactions included.";
        DeadLetters COUNTER, "meterfold_dead_letters_total", [DEAD_LETTER_REASON], "Records that are no event, by reason.";
        DeadLetterBytes COUNTER, "meterfold_dead_letter_bytes_total", [], "Bytes of dead letters.";
        Batches COUNTER, "meterfold_batches_total", [BATCH_RESULT], "Batches, by how they ended.";
        BatchRecords RECORDS, "meterfold_batch_records", [], "Input records of a batch.";
        BatchBytes BYTES, "meterfold_batch_bytes", [], "Bytes of a batch's input.";
        BatchSeconds SHORT_SECONDS, "meterfold_batch_seconds", [], "A batch from its first record to its publication.";
        StepSeconds SHORT_SECONDS, "meterfold_step_seconds", [TIMED_STEP], "Time of each step of a commit; decode: of a batch, fetching included.";
        Errors COUNTER, "meterfold_errors_total", [STEP, CLASS], "Errors, by step and by what they ask for; halts and dead letters are counted apart.";
        AuthFailedTimestamp GAUGE, "meterfold_auth_failed_timestamp_seconds", [], "When Kafka or the registry last refused this process; 0: not yet.";
    }
    "Freshness and positions" {
        InputLagRecords GAUGE, "meterfold_input_lag_records", [TOPIC, PARTITION], "Last stable offset less the committed one.";
        InputLagSeconds GAUGE, "meterfold_input_lag_seconds", [TOPIC, PARTITION], "Age of the oldest uncommitted record that is known of. Where its age is not known, how long ago it was last known that there is none: so it grows while brokers are away. 0: none.";
        RecordEndToEndSeconds LONG_SECONDS, "meterfold_record_end_to_end_seconds", [], "From append to commit, of the oldest record of each batch and partition.";
        EventLatenessSeconds LONG_SECONDS, "meterfold_event_lateness_seconds", [], "Clock less time of the event, of the first usage event of each batch and partition.";
        CommittedOffset GAUGE, "meterfold_committed_offset", [TOPIC, PARTITION], "Offset of the next record to fold.";
        LogEndOffset GAUGE, "meterfold_log_end_offset", [TOPIC, PARTITION], "High watermark of the input.";
        LogStartOffset GAUGE, "meterfold_log_start_offset", [TOPIC, PARTITION], "First offset that the input still holds.";
        UnstableRecords GAUGE, "meterfold_unstable_records", [TOPIC, PARTITION], "High watermark less last stable offset: what open transactions hold back.";
        RetentionHeadroom GAUGE, "meterfold_retention_headroom_ratio", [TOPIC, PARTITION], "Age of the oldest uncommitted record by the topic's retention; at 1 records are lost.";
        PartitionOwned GAUGE, "meterfold_partition_owned", [TOPIC, PARTITION], "1 while this process owns the partition.";
        PartitionRunning GAUGE, "meterfold_partition_running", [TOPIC, PARTITION], "1 while the partition folds; 0 while it restores, waits or is halted.";
        InputPartitions GAUGE, "meterfold_input_partitions", [TOPIC], "Partitions that the input is configured to have.";
        LastCommitTimestamp GAUGE, "meterfold_last_commit_timestamp_seconds", [], "When this process last committed; 0: not yet.";
        ClockTimestamp GAUGE, "meterfold_clock_timestamp_seconds", [PARTITION], "Logical clock of the partition.";
        ClockLagSeconds GAUGE, "meterfold_clock_lag_seconds", [], "Now less the slowest clock of the partitions owned.";
    }
    "Halts" {
        HaltInfo GAUGE, "meterfold_halt_info", [PARTITION, HALT], "1 for the halt that the partition is in, else 0.";
        PartitionsWaiting GAUGE, "meterfold_partitions_waiting", [], "Partitions that stand still and will go on by themselves.";
    }
    "Transactions and group" {
        Transactions COUNTER, "meterfold_transactions_total", [TRANSACTION_RESULT], "Transactions, by how they ended.";
        TransactionSeconds SHORT_SECONDS, "meterfold_transaction_seconds", [], "A transaction from begin to its end.";
        TransactionTimeout GAUGE, "meterfold_transaction_timeout_seconds", [], "The configured transaction.timeout.ms.";
        ProducerRebuilds COUNTER, "meterfold_producer_rebuilds_total", [], "Producers given up after a time-out, a fence or a run of aborts; the next commit has a new one.";
        CommitUnknownOutcomes COUNTER, "meterfold_commit_unknown_outcomes_total", [], "Commits whose answer did not come: the outcome was read from the log.";
        Fenced COUNTER, "meterfold_fenced_total", [FENCED_BY], "Times a broker refused this instance as an older one of itself, by what it went by.";
        Rebalances COUNTER, "meterfold_rebalances_total", [REBALANCE], "Rebalances, as this process saw them.";
        RebalanceSeconds LONG_SECONDS, "meterfold_rebalance_seconds", [], "From the news of a change of assignment until it is carried out, the last commit included.";
        AssignedPartitions GAUGE, "meterfold_assigned_partitions", [], "Partitions that this process owns.";
        WorkersJoined GAUGE, "meterfold_workers_joined", [], "Workers that are members of the group.";
        GroupGeneration GAUGE, "meterfold_group_generation", [], "Generation of the group at the last commit; under the consumer protocol the member's epoch.";
    }
    "State store" {
        StoreKeys GAUGE, "meterfold_store_keys", [], "Keys in the store, estimated.";
        StoreLiveBytes GAUGE, "meterfold_store_live_bytes", [], "Live data in the store, estimated.";
        StoreTotalBytes GAUGE, "meterfold_store_total_bytes", [], "Bytes of its files.";
        StoreMemtableBytes GAUGE, "meterfold_store_memtable_bytes", [], "Memory of memtables.";
        StoreTableReaderBytes GAUGE, "meterfold_store_table_reader_bytes", [], "Memory of table readers.";
        StoreBlockCacheBytes GAUGE, "meterfold_store_block_cache_bytes", [], "Memory of the block cache that all stores share.";
        StoreCompactionPendingBytes GAUGE, "meterfold_store_compaction_pending_bytes", [], "Bytes that wait for compaction.";
        StoreCompactionsRunning GAUGE, "meterfold_store_compactions_running", [], "Compactions running.";
        StoreFlushesRunning GAUGE, "meterfold_store_flushes_running", [], "Flushes running.";
        StoreImmutableMemtables GAUGE, "meterfold_store_immutable_memtables", [], "Memtables that wait for a flush.";
        StoreL0Files GAUGE, "meterfold_store_l0_files", [], "Files on level 0.";
        StoreWriteStalled GAUGE, "meterfold_store_write_stalled", [], "Stores that delay or stop writes until compaction catches up.";
        StoreReadOnly GAUGE, "meterfold_store_read_only", [], "Stores that refuse writes, such as on a full disk.";
        StoreBackgroundErrors COUNTER, "meterfold_store_background_errors_total", [], "Errors of flushes and compactions.";
        StoreCorruptions COUNTER, "meterfold_store_corruptions_total", [], "Stores put into quarantine.";
        DedupEntries GAUGE, "meterfold_dedup_entries", [], "Event ids remembered.";
        DedupFilterBytes GAUGE, "meterfold_dedup_filter_bytes", [], "Memory of the filters before them.";
        DedupWindowStart GAUGE, "meterfold_dedup_window_start_timestamp_seconds", [], "Start of the oldest day whose ids are remembered; 0: none.";
        VolumeAvailableBytes GAUGE, "meterfold_volume_available_bytes", [], "Free space where the state lies.";
        VolumeSizeBytes GAUGE, "meterfold_volume_size_bytes", [], "Size of that volume.";
        VolumeInodesAvailable GAUGE, "meterfold_volume_inodes_available", [], "Free inodes of that volume.";
    }
    "Recovery" {
        RestoreRecords COUNTER, "meterfold_restore_records_total", [], "Changelog records applied by restores.";
        RestoreRemaining GAUGE, "meterfold_restore_remaining_records", [], "Changelog records that restores still want, estimated.";
        RestoreSeconds LONG_SECONDS, "meterfold_restore_seconds", [], "A partition from its assignment until it folds.";
        Restores COUNTER, "meterfold_restores_total", [RESTORE_RESULT], "Starts of partitions, those after an abort included: from a store that was equal, with a tail of the changelog, with all of it, or failed.";
        StateDigestChecks COUNTER, "meterfold_state_digest_checks_total", [DIGEST_CHECK], "State digests compared with META after a restore.";
    }
    "Schema registry" {
        SchemaCacheEntries GAUGE, "meterfold_schema_cache_entries", [], "Writer schemas in memory.";
        SchemaFetches COUNTER, "meterfold_schema_fetches_total", [SCHEMA_FETCH], "Questions to the registry, by answer.";
        SchemaFetchSeconds SHORT_SECONDS, "meterfold_schema_fetch_seconds", [], "Time of such a question.";
    }
    "Kafka clients" {
        KafkaBrokerState GAUGE, "meterfold_kafka_broker_state", [BROKER], "0 while a client tries to reach the broker in vain, else 1.";
        KafkaBrokerRtt GAUGE, "meterfold_kafka_broker_rtt_seconds", [BROKER], "Time of a request, p99 of the slowest client.";
        KafkaThrottle GAUGE, "meterfold_kafka_throttle_seconds", [BROKER], "Mean time for which the broker delayed answers to keep a quota, of the client that waited longest.";
        KafkaRequestErrors COUNTER, "meterfold_kafka_request_errors_total", [BROKER], "Requests that could not be sent and answers that could not be read.";
        KafkaRequestTimeouts COUNTER, "meterfold_kafka_request_timeouts_total", [BROKER], "Requests that were not answered in time.";
        KafkaDisconnects COUNTER, "meterfold_kafka_disconnects_total", [BROKER], "Connections that ended.";
        KafkaDecompressGrow COUNTER, "meterfold_kafka_decompress_grow_total", [BROKER], "Batches that unpacked to more than the client made room for.";
        KafkaFetchQueueRecords GAUGE, "meterfold_kafka_fetch_queue_records", [], "Records fetched and not yet taken.";
        KafkaFetchQueueBytes GAUGE, "meterfold_kafka_fetch_queue_bytes", [], "Their bytes.";
        KafkaProduceQueueRecords GAUGE, "meterfold_kafka_produce_queue_records", [], "Records sent and not yet acknowledged.";
        KafkaProduceQueueBytes GAUGE, "meterfold_kafka_produce_queue_bytes", [], "Their bytes.";
        KafkaStatsTimestamp GAUGE, "meterfold_kafka_stats_timestamp_seconds", [], "When the client that has been silent longest last told these figures; 0: none yet.";
    }
    "HTTP" {
        HttpRequests COUNTER, "meterfold_http_requests_total", [HTTP_PATH, HTTP_CODE], "Requests answered; what was refused before it had a path is of `path` other, and a head too long of `code` other too.";
        HttpRequestSeconds SHORT_SECONDS, "meterfold_http_request_duration_seconds", [HTTP_PATH], "Time to answer one.";
        HttpConnections GAUGE, "meterfold_http_connections", [], "Connections open.";
        HttpConnectionsDropped COUNTER, "meterfold_http_connections_dropped_total", [], "Connections closed because they were slow, idle for too long, the oldest of too many, or spoke HTTP/2.";
    }
}

/// `docs/metrics.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         What `GET /metrics` exports: the classic text format, or OpenMetrics when asked for. The\n\
         list is printed from `src/telemetry/table.rs` and compared by a test; a rename is a breaking\n\
         change. Every known value of a label is exported as 0 from the start; series with a\n\
         `partition` exist for owned partitions only, those with a `broker` once a client has told of\n\
         it. No label ever names a team, an app or an event.\n",
    );
    let mut group = "";
    for row in TABLE {
        if row.group != group {
            group = row.group;
            let _ = write!(
                text,
                "\n## {group}\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"
            );
        }
        let labels: Vec<String> = row.labels.iter().map(label_text).collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            row.name,
            row.shape.name(),
            labels.join("; "),
            row.help
        );
    }
    text.push_str("\n## Buckets\n\nUpper bounds of histograms; the last bucket is `+Inf`.\n\n");
    for row in TABLE {
        if let Shape::Histogram(bounds) = row.shape {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            let _ = writeln!(text, "- `{}`: {}", row.name, bounds.join(", "));
        }
    }
    text.push_str("\n## Not exported\n\nWhat is looked for elsewhere:\n\n");
    for (what, why) in NOT_EXPORTED {
        let _ = writeln!(text, "- {what}: {why}.");
    }
    text
}

fn label_text(label: &Label) -> String {
    let name = label.name;
    match label.values {
        Values::Known(values) => format!("`{name}`: {}", values().join(", ")),
        Values::Topics | Values::OwnedPartitions | Values::Brokers | Values::Identity => {
            format!("`{name}`")
        }
    }
}

impl Shape {
    pub const fn name(self) -> &'static str {
        match self {
            Shape::Counter => "counter",
            Shape::Gauge => "gauge",
            Shape::Histogram(_) => "histogram",
        }
    }
}

impl Row {
    /// Whether its series come and go, with ownership or with brokers.
    pub fn is_fleeting(&self) -> bool {
        let mut labels = self.labels.iter();
        labels.any(|label| matches!(label.values, Values::OwnedPartitions | Values::Brokers))
    }
}
