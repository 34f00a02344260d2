//! Brokers that are away: at the start, and while the process runs (F36). It stays: live, not
//! ready; and goes on by itself.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::kafka::Broker;
use crate::support::scene::{Scene, address, get, log_lines};

/// Longer than session and transaction time-outs of the tests.
const AWAY: Duration = Duration::from_secs(10);

#[test]
fn brokers_may_be_away_at_the_start_and_for_a_while() {
    let broker = Broker::start();
    let mut scene = Scene::half_folded(&broker, "away", 2);
    scene.wait_until_empty();
    broker.stop();
    let mut processor = scene.start();
    let log = processor.log.clone();
    processor.wait_until("it says that it waits", || {
        !log_lines(&log, "waiting").is_empty()
    });
    let address = address(&processor);
    assert_lives_for(&address, Duration::from_secs(2));
    broker.restart();
    processor.wait_until_runs(&scene.setup);
    processor.wait_until("it is ready", || get(&address, "/readyz").0 == 200);

    scene.produce_share(4);
    processor.wait_until("the next quarter is folded", || scene.setup.is_folded());
    // Nothing is left to do: the process notices all the same.
    broker.kill9();
    let since = Instant::now();
    let mut was_ready = true;
    while since.elapsed() < AWAY {
        assert_eq!(get(&address, "/livez").0, 200);
        was_ready = get(&address, "/readyz").0 == 200;
        assert_eq!(
            processor.child.try_wait().expect("a child"),
            None,
            "{}",
            processor.log()
        );
        thread::sleep(Duration::from_millis(200));
    }
    assert!(
        !was_ready,
        "ready after {AWAY:?} without brokers:\n{}",
        processor.log()
    );
    broker.restart();
    let what = "everything is folded after the brokers came back";
    scene.produce_rest();
    processor.wait_until(what, || scene.setup.is_folded());
    processor.wait_until("it is ready again", || get(&address, "/readyz").0 == 200);
    processor.stop();
    scene.assert_complete("after the brokers were away");
}

fn assert_lives_for(address: &str, time: Duration) {
    let since = Instant::now();
    while since.elapsed() < time {
        assert_eq!(get(address, "/livez").0, 200);
        assert_eq!(get(address, "/readyz").0, 503);
        thread::sleep(Duration::from_millis(100));
    }
}
