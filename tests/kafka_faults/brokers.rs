//! A broker that dies, or stands still (F35 and F36, as far as one broker shows them).

use std::thread;
use std::time::Duration;

use super::PATIENCE;
use super::support::kafka::Broker;
use super::support::processor::{Processor, Setup};
use super::support::watcher::Watcher;
use super::support::workload::{Flow, assert_result, example_rates, workload};

/// It is killed twice in mid-run. The process lives on and goes on by itself.
///
/// A broker that comes back can take the outputs of a transaction whose time is over for deleted, and
/// never end it there ("Couldn't find leader endpoint … can be skipped" in its log, seen with one
/// broker of version 4.3.1 in every third kill): so no transaction may time out while it is away.
#[test]
fn a_broker_is_killed_twice() {
    let broker = Broker::start();
    let mut setup = Setup::new(&broker, "killed", 2, &example_rates());
    setup.extra.push((
        "kafka",
        "\"transaction.timeout.ms\" = 20000\n\"session.timeout.ms\" = 25000\n".into(),
    ));
    setup.create_topics();
    let (feed, expected) = workload(&setup, 6_000, 8);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(15));
    let mut processor = Processor::start(&setup, 0);
    flow.until("it runs", PATIENCE, || processor.ran(&setup).len() == 2);
    for _ in 0..2 {
        flow.during(Duration::from_secs(2));
        broker.kill9();
        thread::sleep(Duration::from_secs(3));
        processor.assert_lives("the broker is back");
        broker.restart();
        processor.wait_until_folded(&setup);
    }
    assert!(
        !flow.is_over(),
        "records are left for the time after the faults"
    );
    flow.finish();
    processor.wait_until_folded(&setup);
    processor.stop();
    assert_result(&setup, "after the kills", &expected);
}

/// It is paused for longer than transactions and sessions last.
#[test]
fn a_broker_is_paused() {
    let broker = Broker::start();
    let setup = Setup::new(&broker, "paused", 2, &example_rates());
    setup.create_topics();
    let (feed, expected) = workload(&setup, 3_000, 8);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(8));
    let mut processor = Processor::start(&setup, 0);
    flow.until("it runs", PATIENCE, || processor.ran(&setup).len() == 2);
    let watcher = Watcher::start(&setup);
    flow.during(Duration::from_secs(2));
    broker.pause();
    thread::sleep(Duration::from_secs(9));
    processor.assert_lives("the broker goes on");
    broker.resume();
    processor.wait_until_folded(&setup);
    assert!(
        !flow.is_over(),
        "records are left for the time after the pause"
    );
    flow.finish();
    processor.wait_until_folded(&setup);
    processor.stop();
    watcher.stop(&setup);
    assert_result(&setup, "after the pause", &expected);
}
