//! A real Prometheus that scrapes a real run: every query of the boards has data, and alerts fire for what is
//! done to the run. Three things are changed in the rules: waits (`for`) are left out, partitions count as left
//! after five seconds for two minutes, and the grace of last month, which is a setting, is such that it ended two
//! hours ago.

#[path = "kafka_watched/prometheus.rs"]
mod prometheus;
mod support;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use meterfold::billing::time::Instant;
use prometheus::Prometheus;
use support::disk::Disk;
use support::kafka::{Broker, NewRecord, Options};
use support::processor::{Feed, PATIENCE, Processor};
use support::scene::{Scene, address, get};

/// What the boards ask, with their variables at *all*.
fn board_queries() -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("helm/dashboards");
    let mut queries = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let board = fs::read_to_string(file.unwrap().path()).unwrap();
        let board: serde_json::Value = serde_json::from_str(&board).unwrap();
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().unwrap() {
                let title = format!("{}: {}", board["title"], panel["title"]);
                let query = target["expr"].as_str().unwrap();
                let query = query.replace("$namespace", ".*").replace("$pod", ".*");
                // Kubernetes is not here.
                if !query.contains("kube_") {
                    queries.push((title, query));
                }
            }
        }
    }
    queries
}

#[test]
fn boards_have_data_and_alerts_fire() {
    let broker = Broker::start_with(&Options {
        users: vec![("watched".to_owned(), "right".to_owned())],
        ..Options::default()
    });
    let mut scene = Scene::new(&broker, "watched", 2);
    let disk = Disk::mount(scene.setup.state(0));
    let prometheus = Prometheus::start();
    let fires = |alert: &str| prometheus.waits_for(alert, true);
    fires("MeterfoldAbsent");
    fires("MeterfoldDeadMansSwitch");

    // Nobody folds while the brokers are away, and nobody can know what waits.
    broker.stop();
    let slow_commit = [("FAIL_POINT_OF_METERFOLD", "s4:2:sleep=7000")];
    let mut processor = scene.start_with(&slow_commit);
    prometheus.scrapes(&address(&processor));
    fires("MeterfoldBrokerUnreachable");
    fires("MeterfoldPartitionUnowned");
    fires("MeterfoldPipelineStalled");
    fires("MeterfoldFreshnessBurnFast");
    broker.restart();
    processor.wait_until_runs(&scene.setup);
    for alert in [
        "MeterfoldBrokerUnreachable",
        "MeterfoldPartitionUnowned",
        "MeterfoldPipelineStalled",
        "MeterfoldAbsent",
    ] {
        prometheus.waits_for(alert, false);
    }

    // The events are of the past, some come under an id that was used, and some are no events.
    // One transaction stays open for longer than it may.
    scene.produce_share(2);
    processor.wait_until("a half is folded", || scene.setup.is_folded());
    let at = scene.feed.records[0].timestamp;
    scene.produce_rest();
    let garbled = |number| NewRecord::new(number % 2, "", "no event").created_at(at);
    broker.produce_all(&scene.setup.topic("api-calls"), (0..50).map(garbled));
    processor.wait_until("everything is folded", || scene.setup.is_folded());
    for alert in [
        "MeterfoldTransactionAborts",
        "MeterfoldMonthCloseLate",
        "MeterfoldClockStalled",
        "MeterfoldDeadLetters",
        "MeterfoldDeadLetterBurst",
        "MeterfoldConflictingDuplicates",
    ] {
        fires(alert);
    }
    let (_, metrics) = get(&address(&processor), "/metrics");
    prometheus::check_metrics(&metrics);
    for (panel, query) in board_queries() {
        prometheus.waits(&format!("{panel} has data: {query}"), || {
            !prometheus.samples(&query).is_empty()
        });
    }

    let counts = |series: &str| {
        let query = format!("{series} > 0");
        prometheus.waits(&query, || !prometheus.samples(&query).is_empty());
    };
    for series in [
        r#"meterfold_build_info{commit!="",librdkafka!="",rocksdb!=""}"#,
        r#"meterfold_rebalances_total{reason="join"}"#,
        r#"meterfold_restores_total{result="warm"}"#,
        r#"meterfold_step_seconds_count{step="decode"}"#,
        r#"meterfold_step_seconds_count{step="produce"}"#,
        r#"meterfold_step_seconds_count{step="offsets"}"#,
        r#"meterfold_errors_total{class="fenced"}"#,
        r#"meterfold_fenced_total{reason="producer"}"#,
        r#"meterfold_transactions_total{result="fenced"}"#,
        "meterfold_producer_rebuilds_total",
        "meterfold_group_generation",
        "meterfold_dead_letter_bytes_total",
        "meterfold_event_lateness_seconds_count",
        "meterfold_kafka_stats_timestamp_seconds",
        "meterfold_kafka_broker_rtt_seconds",
    ] {
        counts(series);
    }

    // The clock of every partition comes to the present.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Instant::from_millis(now.as_millis() as i64);
    let mut ticks = Feed::default();
    let tick = format!(
        r#"{{"specversion":"1.0","id":"now","source":"/test","type":"meterfold.clock-tick.v1","time":"{now}"}}"#
    );
    ticks.push(tick.as_bytes());
    ticks.produce(&scene.setup);
    prometheus.waits_for("MeterfoldMonthCloseLate", false);
    prometheus.waits_for("MeterfoldClockStalled", false);

    // The brokers go while it runs: what may wait grows older, though nothing is known to wait, until
    // the session is over and nobody owns anything.
    let holds = |what: &str, query: &str| {
        prometheus.waits(what, || !prometheus.samples(query).is_empty());
    };
    let is_young = "sum(meterfold_partition_owned) == 2 and max(meterfold_input_lag_seconds) == 0";
    holds("nothing waits", is_young);
    broker.stop();
    holds("input grows older", "max(meterfold_input_lag_seconds) > 2");
    fires("MeterfoldBrokerUnreachable");
    fires("MeterfoldPartitionUnowned");
    broker.restart();
    holds("nothing waits again", is_young);

    // Restarts, the last one with damaged tables.
    for _ in 0..2 {
        processor.stop();
        processor = watched(&scene, &prometheus);
        processor.wait_until_runs(&scene.setup);
        prometheus.waits_for_start_of(&address(&processor));
    }
    processor.stop();
    damage(&scene);
    processor = watched(&scene, &prometheus);
    processor.wait_until_runs(&scene.setup);
    fires("MeterfoldStoreCorruption");
    fires("MeterfoldCrashLooping");
    counts(r#"meterfold_restores_total{result="full"}"#);
    counts(r#"meterfold_state_digest_checks_total{result="equal"}"#);

    // Its disk fills, and is full at its next start.
    if let Some(disk) = disk.as_ref() {
        let filler = disk.fill(16 << 20);
        fires("MeterfoldVolumeFillsIn4h");
        processor.stop();
        disk.top_up(&filler);
        processor = watched(&scene, &prometheus);
        fires("MeterfoldStoreReadOnly");
        fs::remove_file(filler).unwrap();
        processor.wait_until_runs(&scene.setup);
    }

    // Its group is gone, and with it the offsets.
    processor.stop();
    scene.wait_until_empty();
    broker.delete_group(&scene.setup.name);
    let lingering = [("METERFOLD_LINGER_MS", "20000")];
    processor = scene.start_with(&lingering);
    prometheus.scrapes(&address(&processor));
    fires("MeterfoldHalted");
    processor.kill();

    // Its password is wrong.
    scene.become_user("watched", "wrong");
    processor = scene.start_with(&lingering);
    prometheus.scrapes(&address(&processor));
    fires("MeterfoldKafkaAuthFailing");
    assert_eq!(processor.ended(PATIENCE).code(), Some(6));
}

/// The next process, scraped.
fn watched(scene: &Scene<'_>, prometheus: &Prometheus) -> Processor {
    let processor = scene.start();
    prometheus.scrapes(&address(&processor));
    processor
}

fn damage(scene: &Scene<'_>) {
    for (name, bytes) in support::tree(&scene.partition_dir(0)) {
        let is_table = name.ends_with(".sst");
        if let Some(bytes) = bytes.filter(|_| is_table) {
            fs::write(scene.partition_dir(0).join(name), &bytes[..bytes.len() / 2]).unwrap();
        }
    }
}
