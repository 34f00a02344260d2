//! Partitions that move: rebalances, scaling, restarts, long restores (F26, F28 to F30).

use std::fs;
use std::time::{Duration, Instant};

use super::support::kafka::Broker;
use super::support::processor::{Processor, Setup};
use super::support::watcher::Watcher;
use super::support::workload::{Flow, assert_result, example_rates, workload};
use super::{PATIENCE, count};

/// F26: a third process joins and leaves every two to three seconds, by turns in good order and by a
/// kill.
#[test]
fn rebalances_in_mid_batch() {
    let broker = Broker::shared();
    let setup = Setup::new(broker, "rebalance", 4, &example_rates());
    setup.create_topics();
    let seconds = count("KAFKA_REBALANCE_SECONDS", 30);
    let (feed, expected) = workload(&setup, 12_000, 9);
    let watcher = Watcher::start(&setup);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(seconds));
    let mut steady = [Processor::start(&setup, 0), Processor::start(&setup, 1)];
    let began = Instant::now();
    let mut turns = 0;
    let mut moved = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        let flapping = Processor::start(&setup, 2);
        flow.during(Duration::from_millis(2_500));
        moved += flapping.ran(&setup).len();
        match turns % 3 {
            2 => flapping.kill(),
            _ => flapping.stop(),
        }
        flow.during(Duration::from_millis(500));
        turns += 1;
    }
    assert!(moved > 0, "no partition ever moved");
    flow.finish();
    for processor in &mut steady {
        processor.wait_until_folded(&setup);
    }
    steady.into_iter().for_each(Processor::stop);
    watcher.stop(&setup);
    assert_result(&setup, "after the rebalances", &expected);
}

/// F30: one process, then three, then one again.
#[test]
fn scaled_out_and_in() {
    let broker = Broker::shared();
    let setup = Setup::new(broker, "scale", 4, &example_rates());
    setup.create_topics();
    let (feed, expected) = workload(&setup, 6_000, 10);
    let watcher = Watcher::start(&setup);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(25));
    let mut first = Processor::start(&setup, 0);
    flow.until("the first runs", PATIENCE, || first.ran(&setup).len() == 4);
    let others = [Processor::start(&setup, 1), Processor::start(&setup, 2)];
    flow.until("the others have partitions", PATIENCE, || {
        others.iter().all(|it| !it.ran(&setup).is_empty())
    });
    flow.during(Duration::from_secs(2));
    others.into_iter().for_each(Processor::stop);
    flow.during(Duration::from_secs(2));
    flow.finish();
    first.wait_until_folded(&setup);
    first.stop();
    watcher.stop(&setup);
    assert_result(&setup, "after scaling in", &expected);
}

/// F28: each of three static members is restarted in turn within its session. No partition moves and
/// the generation stays.
#[test]
fn a_rolling_restart_moves_nothing() {
    let broker = Broker::start();
    let setup = Setup::new(&broker, "rolling", 3, &example_rates());
    setup.create_topics();
    let (feed, expected) = workload(&setup, 6_000, 11);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(30));
    let mut running: Vec<Processor> = (0..3).map(|it| Processor::start(&setup, it)).collect();
    let owned = |it: &Processor| last_assigned(&it.log());
    flow.until("each has one partition", PATIENCE, || {
        let mut all: Vec<u16> = running.iter().flat_map(owned).collect();
        all.sort_unstable();
        all == [0, 1, 2] && running.iter().all(|it| owned(it).len() == 1)
    });
    flow.during(Duration::from_secs(1));
    let before = generations(&broker);
    assert!(
        !before.is_empty(),
        "the broker tells of generations: {}",
        broker.log()
    );
    for instance in 0..3 {
        // The one at the front is the oldest.
        let stopped = running.remove(0);
        let had = owned(&stopped);
        stopped.stop();
        let again = Processor::start(&setup, instance);
        flow.until("it runs again", PATIENCE, || !again.ran(&setup).is_empty());
        assert_eq!(again.ran(&setup), had, "it has what it had");
        running.push(again);
        flow.during(Duration::from_secs(1));
    }
    assert_eq!(before, generations(&broker), "{}", broker.log());
    flow.finish();
    running[0].wait_until_folded(&setup);
    running.into_iter().for_each(Processor::stop);
    assert_result(&setup, "after the restarts", &expected);
}

/// F29: a restore that takes longer than the interval of polls loses nothing.
#[test]
fn a_restore_longer_than_the_poll_interval() {
    let broker = Broker::shared();
    let mut setup = Setup::new(broker, "restore", 1, &example_rates());
    setup.create_topics();
    let (feed, expected) = workload(&setup, 6_000, 12);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(5));
    let mut processor = Processor::start(&setup, 0);
    while !flow.is_over() {
        flow.step();
    }
    processor.wait_until_folded(&setup);
    processor.stop();
    // Small fetches with a pause between them. How many there are is the machine's affair: a busy one
    // makes few commits, a fast one reads its queue empty before the client looks at it.
    let mut took = Duration::ZERO;
    for pause_millis in [700, 1_400, 2_800, 5_600] {
        setup.extra.clear();
        for line in [
            "\"max.poll.interval.ms\" = 6000".to_owned(),
            "\"queued.min.messages\" = 1".to_owned(),
            format!("\"fetch.queue.backoff.ms\" = {pause_millis}"),
            "\"max.partition.fetch.bytes\" = 20000".to_owned(),
        ] {
            setup.extra.push(("kafka", line + "\n"));
        }
        fs::remove_dir_all(setup.state(0)).expect("its state is gone");
        let began = Instant::now();
        let mut processor = Processor::start(&setup, 0);
        processor.wait_until_runs(&setup);
        took = began.elapsed();
        for sign in ["are lost", "revoked partitions", "max.poll.interval"] {
            assert_eq!(processor.said(sign), 0, "{}", processor.log());
        }
        processor.stop();
        if took > Duration::from_secs(8) {
            break;
        }
    }
    assert!(took > Duration::from_secs(8), "a long restore: {took:?}");
    setup.extra.clear();
    assert_result(&setup, "after the long restore", &expected);
}

/// Partitions of the last line that tells of an assignment, which is all that is owned as long as
/// nothing is added.
fn last_assigned(log: &str) -> Vec<u16> {
    let mut owned: Vec<u16> = Vec::new();
    for line in log.lines() {
        let numbers = |after: &str| -> Option<Vec<u16>> {
            let (_, list) = line.split_once(after)?;
            let (list, _) = list.split_once(']')?;
            let numbers = list
                .split(',')
                .map(str::trim)
                .filter(|number| !number.is_empty());
            Some(
                numbers
                    .map(|number| number.parse().expect("a partition"))
                    .collect(),
            )
        };
        if let Some(added) = numbers("assigned partitions [") {
            owned.extend(added);
        }
        if let Some(taken) = numbers("revoked partitions [") {
            owned.retain(|it| !taken.contains(it));
        }
    }
    owned
}

/// The generations that the broker has told of.
fn generations(broker: &Broker) -> Vec<String> {
    let log = broker.log();
    let lines = log.lines().filter(|line| line.contains("Stabilized group"));
    lines.map(str::to_owned).collect()
}
