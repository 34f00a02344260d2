//! A network that is slow, or that breaks at the very request that ends a transaction (F06, F17,
//! F18, F23). What passes between the process and the broker goes through `support/kafka/proxy.rs`.

use std::str::FromStr;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::PATIENCE;
use super::support::kafka::proxy::{ADD_OFFSETS_TO_TXN, END_TXN, Fate, INIT_PRODUCER_ID};
use super::support::kafka::{Broker, Options};
use super::support::processor::{Processor, Setup};
use super::support::scene::{address, get};
use super::support::watcher::Watcher;
use super::support::workload::{Flow, assert_result, example_rates, workload};

/// F06: the network breaks at a commit, before or after the broker gets it. The process is killed
/// there, or lives and goes on by itself once the network is back.
#[test]
fn the_network_breaks_at_a_commit() {
    let broker = behind_a_proxy();
    let proxy = broker.proxy();
    for fate in [Fate::Lost, Fate::Unanswered] {
        for is_killed in [true, false] {
            let place = format!("{fate:?} commit, killed {is_killed}");
            let setup = slow(&broker, &place, 2);
            let (feed, expected) = workload(&setup, 3_000, 21);
            let mut flow = Flow::new(&setup, &feed, Duration::from_secs(40));
            let watcher = Watcher::start(&setup);
            let mut processor = Processor::start(&setup, 0);
            flow.until("it runs", PATIENCE, || processor.ran(&setup).len() == 2);
            flow.during(Duration::from_secs(1));
            let strikes = proxy.strikes();
            proxy.strike(END_TXN, fate);
            flow.until("a commit is struck", PATIENCE, || proxy.strikes() > strikes);
            if is_killed {
                processor.kill();
                proxy.mend();
                processor = Processor::start(&setup, 0);
            } else {
                // The loop does not stand still for as long as the network is gone (F36).
                let struck = turned(&processor);
                flow.until("its loop turns", PATIENCE, || {
                    turned(&processor) > struck + 8.0
                });
                processor.assert_lives("the network is back");
                proxy.mend();
            }
            assert!(!flow.is_over(), "records are left for the time after it");
            flow.finish();
            processor.wait_until_folded(&setup);
            processor.stop();
            watcher.stop(&setup);
            assert_result(&setup, &place, &expected);
        }
    }
}

/// F17: the answer to a commit comes later than the transaction may last. Whether it was committed
/// stands in the log: the producer is not used again, another one looks, and goes on from there.
#[test]
fn an_answer_to_a_commit_is_too_late() {
    let broker = behind_a_proxy();
    let proxy = broker.proxy();
    let setup = slow(&broker, "late answer", 2);
    let (feed, expected) = workload(&setup, 4_000, 22);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(20));
    let watcher = Watcher::start(&setup);
    let mut processor = Processor::start(&setup, 0);
    flow.until("it runs", PATIENCE, || processor.ran(&setup).len() == 2);
    let address = address(&processor);
    let unknown = || {
        let metrics = get(&address, "/metrics").1;
        value::<usize>(&metrics, "meterfold_commit_unknown_outcomes_total")
    };
    assert_eq!(unknown(), 0);
    for struck in 1..=2 {
        proxy.strike(END_TXN, Fate::Answered(Duration::from_secs(6)));
        flow.until("a commit has no answer in time", PATIENCE, || {
            unknown() == struck
        });
        assert_eq!(proxy.strikes(), struck);
        flow.during(Duration::from_secs(1));
    }
    flow.finish();
    processor.wait_until_folded(&setup);
    processor.stop();
    watcher.stop(&setup);
    assert_result(&setup, "after late answers", &expected);
}

/// F18: every answer is 50 ms late, and strangers join and leave the group all the time, so that
/// transactions are aborted, whose generation is old, while some of what they sent has no answer yet.
/// The strangers read another topic: no partition moves.
#[test]
fn transactions_are_aborted_on_a_slow_network() {
    let broker = behind_a_proxy();
    let setup = slow(&broker, "abort storm", 2);
    let other = setup.topic("other");
    broker.create_topic(&other, 1, &[]);
    let (feed, expected) = workload(&setup, 4_000, 23);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(60));
    let watcher = Watcher::start(&setup);
    broker.proxy().set_delay(Duration::from_millis(50));
    let mut processor = Processor::start(&setup, 0);
    flow.until("it runs", PATIENCE, || processor.ran(&setup).len() == 2);
    let address = address(&processor);
    let aborted = || {
        let metrics = get(&address, "/metrics").1;
        value::<u32>(&metrics, "meterfold_transactions_total{result=\"aborted\"}")
    };
    flow.until("transactions are aborted", PATIENCE, || {
        processor.assert_lives("transactions are aborted");
        let mut stranger = broker.client();
        stranger
            .set("group.id", &setup.name)
            .set("partition.assignment.strategy", "cooperative-sticky");
        let stranger: BaseConsumer = stranger.create().expect("a consumer");
        stranger.subscribe(&[&other]).expect("a subscription");
        let began = Instant::now();
        while stranger.assignment().is_ok_and(|it| it.count() == 0) && began.elapsed() < PATIENCE {
            stranger.poll(Duration::from_millis(20));
        }
        aborted() >= 5
    });
    flow.finish();
    processor.wait_until_folded(&setup);
    assert_eq!(processor.said("abort_failed"), 0, "{}", processor.log());
    broker.proxy().set_delay(Duration::ZERO);
    processor.stop();
    watcher.stop(&setup);
    assert_result(&setup, "after the aborts", &expected);
}

/// F23: the brokers are not done with an earlier transaction, for longer than a transaction may last.
/// A new producer is waited for and offsets are sent again, by a process that lives and says what it
/// waits for. Its loop turns, however many partitions want the producer.
#[test]
fn an_earlier_transaction_is_waited_for() {
    let broker = behind_a_proxy();
    let proxy = broker.proxy();
    // Where the error stands in the answers of the versions that the client speaks.
    let requests = [
        (ADD_OFFSETS_TO_TXN, 12, "transaction_failed"),
        (INIT_PRODUCER_ID, 13, "producer_waits"),
    ];
    let setup = slow(&broker, "concurrent", 16);
    let (feed, expected) = workload(&setup, 4_000, 24);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(60));
    let mut processor = Processor::start(&setup, 0);
    flow.until("it runs", PATIENCE, || processor.ran(&setup).len() == 16);
    for (request, error_at, event) in requests {
        proxy.strike(request, Fate::Concurrent { error_at });
        flow.until("it waits", PATIENCE, || {
            processor.assert_lives("it is waited for");
            processor.said(event) >= 2
        });
    }
    for _ in 0..2 {
        let before = turned(&processor);
        flow.until("its loop turns", Duration::from_secs(30), || {
            turned(&processor) > before
        });
    }
    proxy.mend();
    flow.finish();
    processor.wait_until_folded(&setup);
    processor.stop();
    assert_result(&setup, "after the waits", &expected);
}

fn behind_a_proxy() -> Broker {
    Broker::start_with(&Options {
        has_proxy: true,
        ..Options::default()
    })
}

/// Topics are there; the program reaches the broker through the proxy.
fn slow<'b>(broker: &'b Broker, name: &str, partitions: u16) -> Setup<'b> {
    let mut setup = Setup::new(broker, name, partitions, &example_rates());
    setup.create_topics();
    setup.bootstrap = broker.proxy().bootstrap();
    setup
}

/// When the loop last turned, in seconds.
fn turned(processor: &Processor) -> f64 {
    let metrics = get(&address(processor), "/metrics").1;
    value(&metrics, "meterfold_loop_heartbeat_timestamp_seconds")
}

fn value<T: FromStr>(metrics: &str, series: &str) -> T {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    let value = line.and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{series} is not in {metrics}"))
}
