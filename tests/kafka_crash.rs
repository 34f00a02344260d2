//! Exactly once, whatever dies when: processes are killed at every step of the commit protocol and
//! at random moments, on a real Apache Kafka with real RocksDB.
//!
//! A reader of committed records watches meanwhile. Afterwards nothing is lost, doubled or out of
//! order for a team, and state restored from the changelog alone equals that of a file run. A kill
//! that did not happen fails the test.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::kafka::Broker;
use support::processor::{DERIVED, Feed, Processor, Setup};
use support::program::{Outputs, Replay};
use support::random::Random;

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
    let rates = rates();
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
    let seen = reader.stop();
    check(&setup, &expected, "after the kills");
    for (topic, values) in seen {
        let all = setup.broker.read_committed(&topic);
        let all: Vec<_> = all
            .into_iter()
            .map(|record| (record.partition, record.offset))
            .collect();
        assert!(
            values.len() <= all.len(),
            "{topic}: a record that was read is gone"
        );
        for place in values {
            assert!(
                all.contains(&place),
                "{topic}: {place:?} was read, and is not committed"
            );
        }
    }
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
            began.elapsed() < Duration::from_secs(900),
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

/// Derived events, their order for each team, and state restored from the changelog.
fn check(setup: &Setup, expected: &Outputs, place: &str) {
    setup.assert_derived(place, &expected.derived);
    for topic in DERIVED {
        let mut last: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for record in setup.broker.read_committed(&setup.topic(topic)) {
            let team = record.key.clone().expect("a team");
            let event: serde_json::Value =
                serde_json::from_str(&record.value_text()).expect("JSON");
            let time = event["time"].as_str().expect("a time").to_owned();
            if let Some(before) = last.insert(team, time.clone()) {
                assert!(
                    before <= time,
                    "{place}: {topic}: {before} came before {time}"
                );
            }
        }
    }
    setup.assert_restored_accounts(place, &expected.accounts);
}

fn rates() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas/rates/aps-example.json")
}

/// Two months of events with duplicates, late and malformed ones, and what a file run makes of them.
fn workload(setup: &Setup, events: usize, seed: u64) -> (Feed, Outputs) {
    let input = setup.dir().join("input.ndjson");
    let generated = Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(["generate", "--teams", "150", "--months", "2026-01..2026-02"])
        .args(["--events", &events.to_string(), "--seed", &seed.to_string()])
        .args([
            "--duplicates",
            "5",
            "--late",
            "2",
            "--malformed",
            "1",
            "--out",
        ])
        .arg(&input)
        .output()
        .expect("the program starts");
    assert!(
        generated.status.success(),
        "{}",
        String::from_utf8_lossy(&generated.stderr)
    );
    let until = "2026-04-01T00:00:00Z";
    let replay = Replay {
        rates: setup.rates.clone(),
        out: setup.dir().join("expected"),
        inputs: vec![input.clone()],
        until: Some(until.to_owned()),
        flags: vec!["--trace"],
        ..Replay::default()
    };
    let expected = replay.succeed();
    let feed = Feed::of_trace(&[input], &expected.trace, Some(until));
    (feed, expected)
}

/// Reads derived topics at read_committed all the time, as a subscriber does.
struct Watcher {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<BTreeMap<String, Vec<(i32, i64)>>>,
}

impl Watcher {
    fn start(setup: &Setup) -> Watcher {
        use rdkafka::Message;
        use rdkafka::consumer::{BaseConsumer, Consumer};
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = setup.broker.client();
        client
            .set("group.id", format!("{}-watcher", setup.name))
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = client.create().expect("a consumer");
        let topics = DERIVED.map(|topic| setup.topic(topic));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).expect("a subscription");
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen: BTreeMap<String, Vec<(i32, i64)>> = BTreeMap::new();
            while !told.load(Ordering::Relaxed) {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    let place = (message.partition(), message.offset());
                    seen.entry(message.topic().to_owned())
                        .or_default()
                        .push(place);
                }
            }
            seen
        });
        Watcher { stop, thread }
    }

    fn stop(self) -> BTreeMap<String, Vec<(i32, i64)>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("a reader")
    }
}
