//! Transactions that take too long, are many, or are somebody else's (F16, F20, F25, F76).

use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer};

use super::support::kafka::{Broker, Options};
use super::support::processor::{Feed, FeedRecord, Processor, Setup};
use super::support::workload::{Flow, assert_result, example_rates, file_run, workload};
use super::{PATIENCE, count};

/// F16: a commit stands still for longer than its transaction may be open. There is no rival: the
/// process drops what it folded, takes a new producer and goes on.
#[test]
fn a_slow_batch_is_folded_again() {
    let broker = Broker::shared();
    for step in ["s3", "s4"] {
        let place = format!("slow {step}");
        let setup = Setup::new(broker, &place, 2, &example_rates());
        setup.create_topics();
        let (feed, expected) = workload(&setup, 4_000, 13);
        let mut flow = Flow::new(&setup, &feed, Duration::from_secs(12));
        // The transaction may be open for 4 seconds.
        let fail_point = format!("{step}:4:sleep=7000");
        let environment = [("FAIL_POINT_OF_METERFOLD", fail_point.as_str())];
        let mut processor = Processor::start_with(&setup, 0, &environment);
        flow.until("a commit has failed", PATIENCE, || {
            processor.said("commit_unsure") > 0
        });
        flow.finish();
        processor.wait_until_folded(&setup);
        assert_eq!(processor.said("fail point"), 1, "{}", processor.log());
        assert_eq!(processor.said("worker_failed"), 0, "{}", processor.log());
        processor.stop();
        assert_result(&setup, &place, &expected);
    }
}

/// F25, F76: the month of many teams closes in chunks, and the process is killed in the middle of
/// them. Each team has one invoice.
#[test]
fn a_close_of_many_teams_is_killed() {
    let broker = Broker::shared();
    let mut setup = Setup::new(broker, "close", 2, &example_rates());
    setup.create_topics();
    // Many small transactions.
    setup
        .extra
        .push(("commit", "interval_ms = 50\ncells_max = 1000".into()));
    let teams = count("KAFKA_CLOSE_TEAMS", 20_000);
    let mut lines = String::new();
    for team in 0..teams {
        lines += &format!(
            "{{\"specversion\":\"1.0\",\"id\":\"e\",\"source\":\"/hub\",\
             \"type\":\"meterfold.offering-enrolled.v1\",\"subject\":\"team-{team}\",\
             \"time\":\"2026-01-20T00:00:00Z\",\"data\":{{\"offering\":\"postpay\",\"country\":\"US\",\
             \"payment_method\":\"credit_card\",\"good_standing\":true}}}}\n"
        );
    }
    let input = setup.dir().join("input.ndjson");
    std::fs::write(&input, lines).expect("a file");
    let until = "2026-02-10T00:00:00Z";
    let expected = file_run(&setup, input.clone(), until);
    let invoices = expected
        .derived
        .iter()
        .filter(|byte| **byte == b'\n')
        .count();
    assert_eq!(invoices as u64, teams, "an invoice a team");
    let mut feed = Feed::of_trace(&[input], &expected.trace, Some(until));
    let tick = feed.records.split_off(teams as usize);
    feed.produce(&setup);
    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_folded(&setup);
    processor.stop();
    Feed { records: tick }.produce(&setup);
    let plans = [
        "s3-partial:2",
        "s5:2",
        "s4:1",
        "s6:2",
        "s3:2",
        "s5:1",
        "s4:2",
    ];
    let mut inside = 0;
    for plan in plans {
        let fail_point = format!("{plan}:kill");
        let environment = [("FAIL_POINT_OF_METERFOLD", fail_point.as_str())];
        let mut processor = Processor::start_with(&setup, 0, &environment);
        let mut is_dead = false;
        let began = Instant::now();
        while !is_dead && !setup.is_folded() {
            is_dead = processor.child.try_wait().expect("a child").is_some();
            assert!(began.elapsed() < PATIENCE, "{plan}: {}", processor.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        if !is_dead {
            break;
        }
        let so_far = setup
            .broker
            .read_committed(&setup.topic("monthly-invoice"))
            .len();
        inside += usize::from(so_far > 0 && so_far < invoices);
    }
    assert!(inside >= 3, "{inside} kills in the middle of the close");
    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_folded(&setup);
    processor.stop();
    assert_result(&setup, "after the close", &expected);
}

/// F20: somebody else's transaction on the input stays open. What lies behind it waits, and nothing
/// of it is folded before it ends; aborted it is never folded, committed it is.
#[test]
fn a_hanging_transaction_on_the_input_is_waited_for() {
    let broker = Broker::shared();
    for is_committed in [false, true] {
        let place = format!("hanging {is_committed}");
        let setup = Setup::new(broker, &place, 1, &example_rates());
        setup.create_topics();
        let (feed, mut expected) = workload(&setup, 2_000, 14);
        let (before, after) = feed.records.split_at(1_000);
        let foreign = &after[0];
        let mut processor = Processor::start(&setup, 0);
        produce(&setup, before);
        processor.wait_until_folded(&setup);
        let producer = broker.open_transaction(&format!("{}-foreign", setup.name));
        let topic = setup.topic("api-calls");
        let key = foreign.key.clone().unwrap_or_default();
        let mut record = BaseRecord::to(&topic)
            .partition(0)
            .timestamp(foreign.timestamp);
        record = record.payload(&foreign.value);
        if foreign.key.is_some() {
            record = record.key(&key);
        }
        producer.send(record).expect("it is sent");
        producer.flush(PATIENCE).expect("it is delivered");
        let open_from = 1_000;
        produce(&setup, &after[1..]);
        // Time for many commits; none of them may pass the open transaction.
        std::thread::sleep(Duration::from_secs(2));
        processor.assert_lives("the transaction ends");
        let (offset, _) = broker.committed(&setup.name, &topic, 0).expect("an offset");
        assert_eq!(
            offset, open_from,
            "{place}: folded up to the open transaction"
        );
        if is_committed {
            producer.commit_transaction(PATIENCE).expect("committed");
        } else {
            producer.abort_transaction(PATIENCE).expect("aborted");
            let lines = before
                .iter()
                .chain(&after[1..])
                .filter(|record| !record.is_tick);
            let mut text = Vec::new();
            for record in lines {
                text.extend_from_slice(&record.value);
                text.push(b'\n');
            }
            let input = setup.dir().join("without.ndjson");
            std::fs::write(&input, text).expect("a file");
            expected = file_run(&setup, input, super::support::workload::UNTIL);
        }
        // The last one is the mark of the transaction's end: nobody has to commit a position after it.
        let end = broker.end_offsets(&topic)[0] - 1;
        processor.wait_until("all is folded", || {
            let committed = broker.committed(&setup.name, &topic, 0);
            committed.is_some_and(|(offset, _)| offset >= end)
        });
        processor.stop();
        assert_result(&setup, &place, &expected);
    }
}

/// A transaction stays open on an output of the partition, as one whose end a broker has lost: the
/// partition does not begin before it is ended, whatever the committed offset says, and its log
/// names topic, partition, offset and the command.
#[test]
fn an_open_transaction_on_an_output_is_waited_for() {
    let broker = Broker::shared();
    let setup = Setup::new(broker, "open_output", 1, &example_rates());
    setup.create_topics();
    let (feed, expected) = workload(&setup, 1_000, 15);
    let (before, after) = feed.records.split_at(500);
    let mut processor = Processor::start(&setup, 0);
    produce(&setup, before);
    processor.wait_until_folded(&setup);
    processor.stop();
    let topic = setup.topic("tokens-depleted");
    let open_from = broker.stable_offsets(&topic)[0];
    let producer = broker.open_transaction(&format!("{}-foreign", setup.name));
    let record: BaseRecord<[u8], [u8]> = BaseRecord::to(&topic).partition(0).payload(b"never");
    producer.send(record).expect("it is sent");
    producer.flush(PATIENCE).expect("it is delivered");
    let mut processor = Processor::start(&setup, 0);
    produce(&setup, after);
    let remedy = format!("abort --topic {topic} --partition 0 --start-offset {open_from}");
    let log = processor.log.clone();
    processor.wait_until("it says what it waits for", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains(&remedy))
    });
    assert!(processor.ran(&setup).is_empty(), "{}", processor.log());
    producer.abort_transaction(PATIENCE).expect("aborted");
    processor.wait_until_folded(&setup);
    processor.stop();
    assert_result(&setup, "after the open transaction", &expected);
}

/// F21: after long idleness the brokers have forgotten the transactional id and the producer; the
/// process goes on without an exit and nothing is doubled.
#[test]
fn an_expired_transactional_id_is_taken_anew() {
    let settings = [
        ("transactional.id.expiration.ms", "2000"),
        ("producer.id.expiration.ms", "2000"),
    ];
    let broker = Broker::start_with(&Options {
        settings: settings
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        ..Options::default()
    });
    let setup = Setup::new(&broker, "expired", 1, &example_rates());
    setup.create_topics();
    let (feed, expected) = workload(&setup, 1_000, 16);
    let (before, after) = feed.records.split_at(500);
    let mut processor = Processor::start(&setup, 0);
    produce(&setup, before);
    processor.wait_until_folded(&setup);
    std::thread::sleep(Duration::from_secs(6));
    let unsure = processor.said("commit_unsure");
    produce(&setup, after);
    processor.wait_until_folded(&setup);
    assert!(
        processor.said("commit_unsure") > unsure,
        "nothing had expired:\n{}",
        processor.log()
    );
    processor.stop();
    assert_result(&setup, "after the expiry", &expected);
}

fn produce(setup: &Setup, records: &[FeedRecord]) {
    let records = records.to_vec();
    Feed { records }.produce(setup);
}
