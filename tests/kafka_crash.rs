//! Exactly once, whatever dies when: processes are killed at every step of the commit protocol and
//! at random moments, on a real Apache Kafka with real RocksDB.
//!
//! A reader of committed records watches meanwhile. Afterwards nothing is lost, doubled or out of
//! order for a team, and state restored from the changelog alone equals that of a file run. A kill
//! that did not happen fails the test.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use support::kafka::Broker;
use support::processor::{Feed, Processor, Setup};
use support::random::Random;
use support::watcher::Watcher;
use support::workload::{assert_result, example_rates, workload};

/// Where a process kills itself; the last one only happens while a partition is restored.
const STEPS: [&str; 10] = [
    "s0",
    "s1",
    "s2",
    "s3-partial",
    "s3",
    "s4",
    "s5",
    "s6",
    "s7",
    "restore",
];
const INSTANCES: u16 = 3;
const PARTITIONS: u16 = 4;

/// Kills in all: `KAFKA_CRASH_KILLS`, or what CI has time for.
fn kills() -> usize {
    let kills = std::env::var("KAFKA_CRASH_KILLS").ok();
    kills.map_or(36, |kills| kills.parse().expect("a number"))
}

#[test]
fn killed_at_every_step_nothing_is_lost_or_doubled() {
    let broker = Broker::shared();
    let rates = example_rates();
    let setup = Setup::new(broker, "crash", PARTITIONS, &rates);
    setup.create_topics();
    let (feed, expected) = workload(&setup, 12_000, 17);
    let reader = Watcher::start(&setup);
    let killed = churn(&setup, &feed, kills());
    assert!(
        killed.values().sum::<usize>() >= kills(),
        "kills that happened: {killed:?}"
    );
    for step in STEPS {
        assert!(
            killed.contains_key(step),
            "no process died at {step}: {killed:?}"
        );
    }
    reader.stop(&setup);
    assert_result(&setup, "after the kills", &expected);
}

/// Runs instances that die, one after another at each step and at random moments, until enough have
/// died; then lets all of them finish. Returns how many died where.
fn churn(setup: &Setup, feed: &Feed, kills: usize) -> BTreeMap<String, usize> {
    let mut random = Random::new(7);
    let mut killed = BTreeMap::new();
    let mut plans = 0;
    let mut running: Vec<Option<(Processor, Option<String>)>> =
        (0..INSTANCES).map(|_| None).collect();
    let mut produced = 0;
    let mut last_produced = Instant::now();
    let began = Instant::now();
    loop {
        assert!(
            began.elapsed() < Duration::from_secs(300 + 20 * kills as u64),
            "no end of it: {killed:?}"
        );
        let dead: usize = killed.values().sum();
        let is_over = dead >= kills && STEPS.iter().all(|step| killed.contains_key(*step));
        for instance in 0..INSTANCES {
            let slot = &mut running[usize::from(instance)];
            if let Some((processor, plan)) = slot {
                match processor.child.try_wait().expect("a child") {
                    None => {
                        if plan.as_deref() == Some("random") && random.below(12) == 0 {
                            processor.child.kill().expect("the process is there");
                            processor.child.wait().expect("a status");
                            *killed.entry("random".to_owned()).or_default() += 1;
                            *slot = None;
                        }
                    }
                    Some(status) => {
                        use std::os::unix::process::ExitStatusExt;
                        assert_eq!(status.signal(), Some(9), "{status}:\n{}", processor.log());
                        let step = plan.take().expect("only a fail point ends it");
                        *killed.entry(step).or_default() += 1;
                        *slot = None;
                    }
                }
            }
            if slot.is_none() {
                let (plan, environment) = if is_over {
                    (None, String::new())
                } else {
                    let step = match plans % (STEPS.len() + 2) {
                        number if number < STEPS.len() => STEPS[number],
                        _ => "random",
                    };
                    plans += 1;
                    if step == "restore" {
                        // With its state gone it restores at once.
                        let _ = fs::remove_dir_all(setup.state(instance));
                    }
                    let at = if step == "restore" {
                        1
                    } else {
                        1 + random.below(6)
                    };
                    (Some(step.to_owned()), format!("{step}:{at}:kill"))
                };
                let fail_point = ("FAIL_POINT_OF_METERFOLD", environment.as_str());
                let is_step = plan.as_deref().is_some_and(|plan| plan != "random");
                let environment: &[(&str, &str)] = if is_step { &[fail_point] } else { &[] };
                *slot = Some((Processor::start_with(setup, instance, environment), plan));
            }
        }
        // The stream goes on as long as processes are to die.
        if produced < feed.records.len() && last_produced.elapsed() > Duration::from_millis(100) {
            let share = if is_over {
                feed.records.len()
            } else {
                feed.records.len() / (kills * 6) + 1
            };
            let end = (produced + share).min(feed.records.len());
            Feed {
                records: feed.records[produced..end].to_vec(),
            }
            .produce(setup);
            produced = end;
            last_produced = Instant::now();
        }
        if is_over && produced == feed.records.len() && setup.is_folded() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    for (processor, _) in running.into_iter().flatten() {
        processor.stop();
    }
    killed
}
