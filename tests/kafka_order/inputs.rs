//! One input topic and two: the order of folding, and who is waited for.

use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer};
use serde_json::json;

use super::PATIENCE;
use super::recent::{self, event, produce};
use super::refold::{assert_refold, folded};
use super::support::kafka::Broker;
use super::support::processor::{Processor, Setup};

/// Produces `count` events in shares, while processes are killed at these steps. In the end
/// everything is folded and nothing runs.
fn churn(setup: &Setup, count: usize, seed: u64, plans: &[&str]) {
    let events = recent::events(setup, count, seed);
    let mut shares = events.chunks(events.len() / 100 + 1);
    for plan in plans {
        let fail_point = format!("{plan}:kill");
        let environment = [("FAIL_POINT_OF_METERFOLD", fail_point.as_str())];
        let mut processor = Processor::start_with(setup, 0, &environment);
        let began = Instant::now();
        while processor.child.try_wait().expect("a child").is_none() {
            assert!(
                began.elapsed() < PATIENCE,
                "{plan}: not killed:\n{}",
                processor.log()
            );
            if processor.said("runs from commit") > 0
                && let Some(share) = shares.next()
            {
                produce(setup, share);
            }
            std::thread::sleep(Duration::from_millis(70));
        }
        assert_eq!(
            processor.said("fail point"),
            1,
            "{plan}: {}",
            processor.log()
        );
    }
    let mut processor = Processor::start(setup, 0);
    for share in shares {
        produce(setup, share);
    }
    processor.wait_until_folded(setup);
    processor.stop();
}

/// One topic: the order is the log's, and the append times are the recorded times.
#[test]
fn one_input_is_folded_in_its_order() {
    let setup = recent::setup(Broker::shared(), "one input", 1, false);
    setup.create_topics();
    churn(&setup, 3_000, 1, &["s4:3", "s5:2"]);
    assert_refold(&setup);
    let offsets: Vec<i64> = folded(&setup, 0)
        .records
        .iter()
        .map(|(_, record)| record.offset)
        .collect();
    assert!(offsets.is_sorted(), "the order of the log");
}

/// Two topics: the record that was appended first comes first, whichever topic it lies in, also
/// where a process that was killed comes back to a backlog.
#[test]
fn two_inputs_are_folded_in_the_order_of_their_append_times() {
    let setup = recent::setup(Broker::shared(), "two inputs", 2, true);
    setup.create_topics();
    churn(&setup, 3_000, 2, &["s3:3", "s5:2", "s6:2"]);
    assert_refold(&setup);
    for partition in 0..setup.partitions {
        let records = folded(&setup, partition).records;
        let topics: std::collections::BTreeSet<&str> = records
            .iter()
            .map(|(_, record)| record.topic.as_str())
            .collect();
        assert_eq!(topics.len(), 2, "records of both inputs");
        for pair in records.windows(2) {
            let [(_, before), (_, after)] = pair else {
                unreachable!()
            };
            assert!(
                before.timestamp <= after.timestamp,
                "{} {} was folded before {} {}",
                before.topic,
                before.offset,
                after.topic,
                after.offset
            );
        }
    }
}

/// Usage does not wait for a topic of accounts in which nothing happens: it is proven empty.
#[test]
fn silent_accounts_hold_nothing_up() {
    let broker = Broker::shared();
    let setup = recent::setup(broker, "silent", 1, true);
    setup.create_topics();
    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_runs(&setup);
    let call = json!({"app_id": "app", "api": "automation", "engine": "autocad", "quantity": 10});
    let topic = setup.topic("api-calls");
    let mut latencies: Vec<Duration> = (0..15)
        .map(|number| {
            produce(
                &setup,
                &[event(
                    "api-call",
                    &format!("call-{number}"),
                    "team",
                    call.clone(),
                )],
            );
            let began = Instant::now();
            processor.wait_until("the call is folded", || {
                let committed = broker.committed(&setup.name, &topic, 0);
                committed.is_some_and(|(offset, _)| offset > number)
            });
            began.elapsed()
        })
        .collect();
    latencies.sort();
    let median = latencies[latencies.len() / 2];
    assert!(median < Duration::from_secs(1), "{latencies:?}");
    processor.stop();
    assert_refold(&setup);
}

/// F20 with two inputs: while somebody's transaction hides the end of accounts, usage waits, and the
/// process says for what.
#[test]
fn usage_waits_for_an_open_transaction_on_accounts() {
    let broker = Broker::shared();
    let setup = recent::setup(broker, "hidden accounts", 1, true);
    setup.create_topics();
    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_runs(&setup);
    let purchase = event(
        "tokens-purchased",
        "purchase",
        "team",
        json!({"tokens": 100}),
    );
    produce(&setup, &[purchase]);
    processor.wait_until_folded(&setup);
    let producer = broker.open_transaction(&format!("{}-foreign", setup.name));
    let enrolled = event(
        "offering-enrolled",
        "enrolment",
        "team",
        json!({"offering": "prepay"}),
    );
    let value = serde_json::to_vec(&enrolled).expect("JSON");
    let accounts = setup.topic("accounts");
    let record = BaseRecord::to(&accounts)
        .partition(0)
        .key("team")
        .payload(&value);
    producer.send(record).expect("it is sent");
    producer.flush(PATIENCE).expect("it is delivered");
    let call = json!({"app_id": "app", "api": "automation", "engine": "autocad", "quantity": 10});
    produce(&setup, &[event("api-call", "call", "team", call)]);
    let (log, reason) = (
        processor.log.clone(),
        format!("{accounts} is not proven empty"),
    );
    processor.wait_until("it says what it waits for", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let mut lines = log.lines();
        lines.any(|line| line.contains("partition_waiting") && line.contains(&reason))
    });
    let topic = setup.topic("api-calls");
    let offset = broker
        .committed(&setup.name, &topic, 0)
        .map_or(0, |(offset, _)| offset);
    assert_eq!(
        offset, 0,
        "usage was folded before it was certain what lies before it"
    );
    producer.commit_transaction(PATIENCE).expect("committed");
    processor.wait_until_folded(&setup);
    processor.stop();
    let order: Vec<String> = folded(&setup, 0)
        .records
        .into_iter()
        .map(|(_, record)| record.topic)
        .collect();
    assert_eq!(
        order,
        [accounts.clone(), accounts, topic],
        "the enrolment came before the call"
    );
    assert_refold(&setup);
}
