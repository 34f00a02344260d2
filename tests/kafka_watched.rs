//! A real Prometheus that scrapes a real run: every query of the boards has data, and alerts fire for what is
//! done to the run. Waits (`for`) are left out of the rules, and nothing else is changed in them.

#[path = "kafka_watched/prometheus.rs"]
mod prometheus;
mod support;

use std::fs;

use prometheus::Prometheus;
use support::kafka::{Broker, NewRecord};
use support::processor::Processor;
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
                queries.push((title, query));
            }
        }
    }
    queries
}

#[test]
fn boards_have_data_and_alerts_fire() {
    let broker = Broker::start();
    let mut scene = Scene::new(&broker, "watched", 2);
    let prometheus = Prometheus::start();
    let fires = |alert: &str| prometheus.waits_for(alert, true);
    fires("MeterfoldAbsent");
    fires("MeterfoldDeadMansSwitch");

    // Nobody folds while the brokers are away.
    broker.stop();
    let slow_commit = [("FAIL_POINT_OF_METERFOLD", "s4:2:sleep=7000")];
    let mut processor = scene.start_with(&slow_commit);
    prometheus.scrapes(&address(&processor));
    fires("MeterfoldBrokerUnreachable");
    fires("MeterfoldPartitionUnowned");
    broker.restart();
    processor.wait_until_runs(&scene.setup);
    for alert in [
        "MeterfoldBrokerUnreachable",
        "MeterfoldPartitionUnowned",
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

    // Its group is gone, and with it the offsets.
    processor.stop();
    scene.wait_until_empty();
    broker.delete_group(&scene.setup.name);
    processor = scene.start_with(&[("METERFOLD_LINGER_MS", "20000")]);
    prometheus.scrapes(&address(&processor));
    fires("MeterfoldHalted");
    processor.kill();
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
