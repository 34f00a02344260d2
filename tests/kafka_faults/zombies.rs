//! Processes that are not alone in what they take for theirs (F14, F15, F27).

use std::time::Duration;

use super::support::copy_tree;
use super::support::kafka::Broker;
use super::support::processor::{Processor, Setup};
use super::support::watcher::Watcher;
use super::support::workload::{Flow, assert_result, example_rates, workload};
use super::{PATIENCE, count};

/// Where a process is stopped: with records folded, in an open transaction, before and after its
/// commit.
const STEPS: [&str; 5] = ["s3", "s1", "s4", "s5", "s2"];

/// F14: a process stands still in the middle of a commit until a successor has all its partitions,
/// then it goes on. Nothing of its old work is seen.
#[test]
fn a_zombie_changes_nothing() {
    let broker = Broker::shared();
    let setup = Setup::new(broker, "zombie", 2, &example_rates());
    setup.create_topics();
    let rounds = count("KAFKA_ZOMBIE_ROUNDS", 3);
    // Enough that records are left for the last round.
    let (feed, expected) = workload(&setup, 2_000 * rounds as usize, 5);
    let watcher = Watcher::start(&setup);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(40 * rounds));
    let mut successor = Processor::start(&setup, 1);
    for round in 0..rounds {
        let step = STEPS[round as usize % STEPS.len()];
        let fail_point = format!("{step}:3:sleep=2000");
        let environment = [("FAIL_POINT_OF_METERFOLD", fail_point.as_str())];
        let mut zombie = Processor::start_with(&setup, 0, &environment);
        flow.until("the zombie is at its step", PATIENCE, || {
            zombie.said("fail point") > 0
        });
        zombie.signal("STOP");
        let owned = zombie.ran(&setup);
        assert!(!owned.is_empty(), "round {round}: a partition to lose");
        let taken = |successor: &Processor| {
            owned
                .iter()
                .map(|it| successor.said(&format!("partition {it} runs from")))
                .sum::<usize>()
        };
        let before = taken(&successor);
        flow.until("a successor has taken over", PATIENCE, || {
            taken(&successor) >= before + owned.len()
        });
        flow.during(Duration::from_secs(1));
        successor.wait_until_folded(&setup);
        let log_before = zombie.log().len();
        zombie.signal("CONT");
        // It finds out: its partitions are lost, or its transaction is refused.
        let mut status = None;
        flow.until("the zombie has found out", PATIENCE, || {
            status = zombie.child.try_wait().expect("a child");
            let since = zombie.log().split_off(log_before);
            status.is_some() || since.contains("are lost") || since.contains("commit_unsure")
        });
        flow.during(Duration::from_secs(2));
        match status.or_else(|| zombie.child.try_wait().expect("a child")) {
            Some(status) => assert_eq!(status.code(), Some(8), "{}", zombie.log()),
            None => zombie.stop(),
        }
        successor.assert_lives("the next round");
    }
    flow.finish();
    successor.wait_until_folded(&setup);
    successor.stop();
    watcher.stop(&setup);
    assert_result(&setup, "after the zombies", &expected);
}

/// F15: two processes with one identity and one's state copied to the other. One of them goes on.
#[test]
fn of_two_with_one_identity_one_goes_on() {
    let broker = Broker::shared();
    let setup = Setup::new(broker, "twins", 2, &example_rates());
    setup.create_topics();
    let (feed, expected) = workload(&setup, 4_000, 6);
    let watcher = Watcher::start(&setup);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(40));
    let mut first = Processor::start(&setup, 0);
    flow.during(Duration::from_secs(3));
    first.wait_until_folded(&setup);
    first.stop();
    copy_tree(&setup.state(0), &setup.state(1));
    let mut first = Processor::start(&setup, 0);
    flow.until("the first runs", PATIENCE, || first.ran(&setup).len() == 2);
    let mut second = Processor::start_with(&setup, 1, &[("METERFOLD_INSTANCE", "i0")]);
    let mut ended = None;
    flow.until("one has given up", PATIENCE, || {
        let statuses = [&mut first, &mut second].map(|it| it.child.try_wait().expect("a child"));
        ended = statuses.iter().position(Option::is_some);
        ended.is_some()
    });
    let (mut loser, mut winner) = match ended {
        Some(0) => (first, second),
        _ => (second, first),
    };
    let status = loser.ended(Duration::from_secs(1));
    assert_eq!(status.code(), Some(8), "{}", loser.log());
    assert!(
        loser.log().contains("give each its own instance"),
        "{}",
        loser.log()
    );
    flow.finish();
    winner.wait_until_folded(&setup);
    winner.stop();
    watcher.stop(&setup);
    assert_result(&setup, "after the rivalry", &expected);
}
