//! `/status`: what the process and its partitions are doing, as JSON for people and scripts. No
//! team, app or event shows in it.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::billing::time::Instant;
use crate::telemetry::labels::DEAD_LETTER;
use crate::telemetry::{
    InputStatus, PartitionState, PartitionStatus, StoreStatus, Telemetry, WorkerState, WorkerStatus,
};

pub fn json(telemetry: &Telemetry) -> String {
    let settings = telemetry.settings();
    let build = &settings.build;
    let status = telemetry.status();
    let workers = status.workers.iter().zip(0u16..);
    let partitions = status.partitions.iter();
    let now_millis = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_millis = now_millis.map_or(0, |since| since.as_millis() as i64);
    let document = json!({
        "application": settings.application,
        "instance": settings.instance,
        "version": build.version,
        "commit": build.commit,
        "fold_version": build.fold_version,
        "librdkafka": build.librdkafka,
        "rocksdb": build.rocksdb,
        "config_hash": settings.config_hash,
        "state": status.state.name(),
        "ready": status.not_ready.is_empty(),
        "reasons": status.not_ready,
        "now": instant(Some(now_millis)),
        "started_at": instant(Some(status.started_unix_millis)),
        "ready_at": instant(status.ready_unix_millis),
        "inputs": settings.topics,
        "partitions_in_all": settings.partitions,
        "workers": workers.map(|(status, worker)| worker_json(worker, status)).collect::<Value>(),
        "partitions": partitions
            .map(|(worker, status)| partition_json(*worker, status))
            .collect::<Value>(),
    });
    format!("{document:#}\n")
}

/// A line a worker and partition, for probes that are asked to say more.
pub fn summary(telemetry: &Telemetry) -> String {
    let status = telemetry.status();
    let mut text = String::new();
    for (worker, number) in status.workers.iter().zip(0u16..) {
        let (name, _) = worker_state(&worker.state);
        let _ = writeln!(text, "worker {number}: {name}");
    }
    for (_, status) in &status.partitions {
        let name = partition_state(&status.state);
        let _ = writeln!(text, "partition {}: {name}", status.partition);
    }
    text
}

fn worker_json(worker: u16, status: &WorkerStatus) -> Value {
    let (state, reason) = worker_state(&status.state);
    json!({
        "worker": worker,
        "state": state,
        "reason": reason,
        "heartbeat_age_ms": status.heartbeat_age.map(|age| age.as_millis() as u64),
    })
}

fn worker_state(state: &WorkerState) -> (&'static str, Option<&str>) {
    match state {
        WorkerState::Starting => ("starting", None),
        WorkerState::WaitingForKafka { reason } => ("waiting_for_kafka", Some(reason)),
        WorkerState::Joined => ("joined", None),
        WorkerState::Draining => ("draining", None),
        WorkerState::Fenced { reason } => ("fenced", Some(reason)),
        WorkerState::Halted => ("halted", None),
    }
}

fn partition_state(state: &PartitionState) -> &'static str {
    match state {
        PartitionState::Restoring { .. } => "restoring",
        PartitionState::Running => "running",
        PartitionState::Waiting { .. } => "waiting",
        PartitionState::Halted { .. } => "halted",
    }
}

fn partition_json(worker: u16, status: &PartitionStatus) -> Value {
    let mut document = json!({
        "partition": status.partition,
        "worker": worker,
        "state": partition_state(&status.state),
    });
    match &status.state {
        PartitionState::Running => {}
        PartitionState::Restoring { applied, wanted } => {
            document["restore"] = json!({ "applied": applied, "wanted": wanted });
        }
        PartitionState::Waiting { reason } => document["reason"] = json!(reason),
        PartitionState::Halted { halt, text } => {
            let (code, remedy) = (halt.name(), halt.remedy());
            document["halt"] = json!({ "code": code, "text": text, "remedy": remedy });
        }
    }
    document["sequence"] = json!(status.sequence);
    document["committed_sequence"] = json!(status.committed_sequence);
    document["clock"] = instant(status.clock_millis);
    document["last_commit_at"] = instant(status.last_commit_unix_millis);
    document["state_digest"] = json!(status.state_digest);
    document["journal_digest"] = json!(status.journal_digest);
    document["inputs"] = status.inputs.iter().map(input_json).collect();
    document["dispositions"] = dispositions(status);
    document["conservation_residual"] = json!(status.conservation_residual);
    document["store"] = store_json(&status.store);
    document
}

fn input_json(input: &InputStatus) -> Value {
    json!({
        "topic": input.topic,
        "position": input.position,
        "log_start": input.log_start,
        "log_end": input.log_end,
        "last_stable": input.last_stable,
        "lag_records": input.lag_records(),
        "oldest_waiting_at": instant(input.oldest_waiting_millis),
    })
}

fn dispositions(status: &PartitionStatus) -> Value {
    let counts = status.dispositions.counts();
    let mut counts: Map<String, Value> = counts
        .map(|(disposition, count)| (disposition.name().to_owned(), json!(count)))
        .collect();
    if status.dead_letters > 0 {
        counts.insert(DEAD_LETTER.to_owned(), json!(status.dead_letters));
    }
    Value::Object(counts)
}

fn store_json(store: &StoreStatus) -> Value {
    json!({
        "keys_estimate": store.figures.keys_estimate,
        "live_bytes": store.figures.live_bytes,
        "total_bytes": store.figures.total_bytes,
        "read_only": store.is_read_only,
        "dedup_ids": store.dedup_ids,
        "dedup_floor": instant(store.dedup_floor_millis),
    })
}

fn instant(millis: Option<i64>) -> Value {
    json!(millis.map(|millis| Instant::from_millis(millis).to_string()))
}
