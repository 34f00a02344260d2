//! Topics that are not what they were: records gone, deleted and made anew, with more partitions,
//! not there at all.

use std::thread;
use std::time::Duration;

use meterfold::wire::partitioner::partition_of;

use crate::support::kafka::{Broker, NewRecord, Record};
use crate::support::processor::DERIVED;
use crate::support::scene::{Scene, address, get, log_lines};

#[test]
fn records_gone_before_they_were_folded_halt_retention_passed_us() {
    let mut scene = Scene::half_folded(Broker::shared(), "topics_retention", 1);
    let input = scene.setup.topic("api-calls");
    let (next, _) = scene.committed(0).expect("a committed offset");
    scene.produce_rest();
    scene.setup.broker.delete_records(&input, 0, next + 5);
    let gap = format!("{input}:{next}..{}", next + 5);
    let words = [
        "partition 0",
        &format!("{next} to {}", next + 4),
        &format!("--accept-gap {gap}"),
    ];
    scene.assert_halts("RETENTION_PASSED_US", &words);
    let wrong = format!("{input}:{}..{}", next + 1, next + 5);
    scene.wait_until_empty();
    let refused = scene.try_recover(0, &["--accept-gap", &wrong]);
    assert_eq!(refused.status.code(), Some(10), "{refused:?}");
    scene.recover(0, &["--accept-gap", &gap]);
    let mut processor = scene.start();
    processor.wait_until_folded(&scene.setup);
    processor.stop();
}

/// While the process runs: its position is passed by the log's start.
#[test]
fn records_gone_under_a_running_process_halt_it() {
    let mut scene = Scene::half_folded(Broker::shared(), "topics_passed", 1);
    let input = scene.setup.topic("api-calls");
    let mut processor = scene.start();
    processor.wait_until_runs(&scene.setup);
    processor.signal("STOP");
    // The fetch that the broker was asked for before ends with nothing.
    thread::sleep(Duration::from_millis(500));
    scene.produce_rest();
    let end = scene.setup.broker.end_offsets(&input)[0];
    scene.setup.broker.delete_records(&input, 0, end);
    processor.signal("CONT");
    let status = processor.ended(Duration::from_secs(60));
    let said = processor.log();
    assert_eq!(status.code(), Some(9), "{said}");
    assert!(said.contains("RETENTION_PASSED_US"), "{said}");
}

/// As after an unclean election: the log ends before what was folded of it.
#[test]
fn a_log_shorter_than_what_was_folded_halts_log_truncated() {
    let scene = Scene::half_folded(Broker::shared(), "topics_short", 1);
    let input = scene.setup.topic("api-calls");
    let (next, witness) = scene.committed(0).expect("a committed offset");
    scene.wait_until_empty();
    scene.setup.broker.delete_topic(&input);
    scene.setup.create_topics();
    // Without the store nobody knows that the topic is another one.
    scene.lose_state();
    scene.set_committed(0, next, &witness);
    scene.assert_halts(
        "LOG_TRUNCATED",
        &["partition 0", &input, "ends at 0", &next.to_string()],
    );
}

#[test]
fn a_topic_made_anew_halts_topic_replaced() {
    for topic in ["api-calls", "changelog", "journal"] {
        let scene = Scene::half_folded(Broker::shared(), &format!("topics_new_{topic}"), 1);
        let name = scene.setup.topic(topic);
        scene.wait_until_empty();
        scene.setup.broker.delete_topic(&name);
        scene.setup.create_topics();
        scene.assert_halts("TOPIC_REPLACED", &["partition 0", &name, "id was"]);
    }
}

/// The configuration says otherwise: exit 4. It says the same: the state says otherwise.
#[test]
fn more_partitions_at_a_start_are_refused() {
    let mut scene = Scene::half_folded(Broker::shared(), "topics_wider", 2);
    let input = scene.setup.topic("api-calls");
    scene.setup.broker.add_partitions(&input, 3);
    scene.assert_refuses(&[], 4, &[&input, "partitions"]);
    let mut others = vec!["changelog", "journal"];
    others.extend(DERIVED);
    others.push("dead-letters");
    for topic in others {
        scene
            .setup
            .broker
            .add_partitions(&scene.setup.topic(topic), 3);
    }
    scene.setup.partitions = 3;
    // Within its session a static member gets its old partitions back, without a rebalance.
    scene.wait_until_empty();
    // The new one too: it must not begin with the teams of the others.
    scene.assert_halts("PARTITIONS_CHANGED", &["2 partitions", "have 3"]);
}

/// None of the teams that moved is folded before the partitions stand still.
#[test]
fn more_partitions_under_a_running_process_halt_it() {
    let mut scene = Scene::new(Broker::shared(), "topics_grow", 2);
    let line = "\"topic.metadata.refresh.interval.ms\" = 1000\n".to_owned();
    scene.setup.extra.push(("kafka", line));
    scene.produce_share(2);
    let mut processor = scene.start_with(&[("METERFOLD_LINGER_MS", "500")]);
    processor.wait_until_folded(&scene.setup);
    let before = scene.written();
    let input = scene.setup.topic("api-calls");
    scene.setup.broker.add_partitions(&input, 3);
    let status = processor.ended(Duration::from_secs(60));
    let said = processor.log();
    assert_eq!(status.code(), Some(9), "{said}");
    assert!(said.contains("PARTITIONS_CHANGED"), "{said}");
    assert_eq!(scene.written(), before);
}

#[test]
fn an_input_that_is_not_there_is_waited_for() {
    let mut scene = Scene::new(Broker::shared(), "topics_absent", 1);
    let input = scene.setup.topic("api-calls");
    scene.setup.broker.delete_topic(&input);
    let mut processor = scene.start();
    let log = processor.log.clone();
    processor.wait_until("it says what it waits for", || {
        log_lines(&log, "waiting")
            .iter()
            .any(|line| line.contains(&input))
    });
    let address = address(&processor);
    for _ in 0..20 {
        assert_eq!(get(&address, "/livez").0, 200);
        assert_eq!(get(&address, "/readyz").0, 503);
        thread::sleep(Duration::from_millis(50));
    }
    scene.setup.create_topics();
    scene.assert_goes_on_with(&mut processor, "once it is there");
    assert_eq!(get(&address, "/readyz").0, 200);
    processor.stop();
    scene.assert_complete("once it is there");
}

/// A producer that partitions otherwise: its records are not folded, and pass as dead letters only
/// where that is configured.
#[test]
fn a_team_on_a_wrong_partition_halts_wrong_partition() {
    let mut scene = Scene::half_folded(Broker::shared(), "topics_misplaced", 2);
    let input = scene.setup.topic("api-calls");
    let mut places = Vec::new();
    for partition in 0..2 {
        let is_misplaced = |key: &String| i32::from(partition_of(key.as_bytes(), 2)) != partition;
        let records = scene.feed.records.iter();
        let mut misplaced = records.filter(|record| record.key.as_ref().is_some_and(is_misplaced));
        let record = misplaced.next().expect("a team of the other partition");
        let key = record.key.clone().expect("a team");
        let new = NewRecord::new(partition, key, &record.value).created_at(record.timestamp);
        places.extend(scene.setup.broker.produce_all(&input, [new]));
    }
    let place = places[1].to_string();
    scene.assert_halts("WRONG_PARTITION", &["partition 1", &input, &place]);
    let setting = "on_wrong_partition = \"dead_letter\"".to_owned();
    scene.setup.extra.push(("", setting));
    scene.assert_goes_on("with dead letters");
    let letters = scene
        .setup
        .broker
        .read_committed(&scene.setup.topic("dead-letters"));
    let is_misplaced = |record: &Record| {
        let reason = (
            "meterfold.dlq.reason".to_owned(),
            Some(b"wrong_partition".to_vec()),
        );
        record.headers.contains(&reason)
    };
    assert_eq!(
        letters.iter().filter(|record| is_misplaced(record)).count(),
        2
    );
}

/// A halt comes while another partition has a backlog: nothing that was fetched beside it is passed
/// over.
#[test]
fn a_halt_beside_a_backlog_passes_over_nothing() {
    let mut scene = Scene::half_folded(Broker::shared(), "topics_beside", 2);
    let input = scene.setup.topic("api-calls");
    let records = scene.feed.records.iter();
    let mut misplaced = records.filter(|record| {
        let key = record.key.as_ref();
        key.is_some_and(|key| partition_of(key.as_bytes(), 2) != 1)
    });
    let record = misplaced.next().expect("a team of the other partition");
    let key = record.key.clone().expect("a team");
    let new = NewRecord::new(1, key, &record.value).created_at(record.timestamp);
    scene.setup.broker.produce_all(&input, [new]);
    scene.produce_rest();
    let end = scene.setup.broker.stable_offsets(&input)[0];
    let mut processor = scene.start();
    let log = processor.log.clone();
    processor.wait_until("one halts and the other is folded", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("WRONG_PARTITION")
            && scene.committed(0).is_some_and(|(offset, _)| offset >= end)
    });
    processor.stop();
    let setting = "on_wrong_partition = \"dead_letter\"".to_owned();
    scene.setup.extra.push(("", setting));
    scene.assert_goes_on("after the halt");
}
