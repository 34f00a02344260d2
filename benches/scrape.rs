//! A scrape of a `meterfold run` that holds a million teams: how long it takes while events are
//! folded and after, and whether teams make series.
//!
//! `cargo bench --bench scrape`; some two minutes. It wants the broker's jars (`.ci/setup kafka`).
//! `SCRAPE_TEAMS=50000` takes fewer teams. Target: p99 100 ms; fails where the series of ten teams
//! and of all are not the same.

#[allow(unused_imports, reason = "tests use more of it")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use meterfold::wire::partitioner::partition_of;
use support::kafka::{Broker, NewRecord};
use support::processor::{Processor, Setup};
use support::scene::{address, get, rates};

const PARTITIONS: u16 = 4;
const FEW: usize = 10;
const MANY: usize = 1_000_000;
const SCRAPES: usize = 500;
/// 2026-01-10.
const AT_MILLIS: i64 = 1_768_003_200_000;

/// What was seen of one process.
struct Seen {
    series: BTreeSet<String>,
    bytes: usize,
    while_folding: Vec<Duration>,
    after: Vec<Duration>,
}

fn main() {
    let many = std::env::var("SCRAPE_TEAMS").map_or(MANY, |teams| teams.parse().expect("a number"));
    let broker = Broker::start();
    println!("| teams | series | bytes | p50, p99 while folding | p50, p99 after |");
    println!("| --- | --- | --- | --- | --- |");
    let [few, many] = [FEW, many].map(|teams| {
        let mut seen = see(&broker, teams);
        let while_folding = percentiles(&mut seen.while_folding);
        let after = percentiles(&mut seen.after);
        let (series, bytes) = (seen.series.len(), seen.bytes);
        println!("| {teams} | {series} | {bytes} | {while_folding} | {after} |");
        seen.series
    });
    let difference: Vec<_> = few.symmetric_difference(&many).collect();
    assert!(difference.is_empty(), "teams make series: {difference:?}");
}

/// An event a team, folded and then at rest.
fn see(broker: &Broker, teams: usize) -> Seen {
    let setup = Setup::new(broker, &format!("scrape-{teams}"), PARTITIONS, &rates());
    setup.create_topics();
    broker.produce_all(&setup.topic("api-calls"), (0..teams).map(call));
    let processor = Processor::start(&setup, 0);
    let address = address(&processor);
    let mut while_folding = Vec::new();
    while !setup.is_folded() {
        while_folding.push(scrape(&address).0);
        thread::sleep(Duration::from_millis(20));
    }
    // The clients tell of themselves every few seconds, and then there are series of brokers.
    while !scrape(&address)
        .1
        .contains("\nmeterfold_kafka_broker_state{")
    {
        thread::sleep(Duration::from_millis(100));
    }
    let scrapes: Vec<(Duration, String)> = (0..SCRAPES).map(|_| scrape(&address)).collect();
    let (_, text) = scrapes.last().expect("some");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let series = samples.filter_map(|line| Some(line.rsplit_once(' ')?.0));
    // The two runs differ in what is named after them, and so in the digest of their configuration.
    let own = |series: &str| match series.split_once("{hash=") {
        Some((name, _)) => name.to_owned(),
        None => series.replace(&setup.name, "scrape"),
    };
    let seen = Seen {
        series: series.map(own).collect(),
        bytes: text.len(),
        while_folding,
        after: scrapes.iter().map(|(time, _)| *time).collect(),
    };
    processor.stop();
    seen
}

fn call(number: usize) -> NewRecord {
    let team = format!("team-{number:07}");
    let partition = partition_of(team.as_bytes(), PARTITIONS);
    let event = format!(
        r#"{{"specversion":"1.0","id":"c-{number}","source":"/gateway/eu-1","type":"meterfold.api-call.v1","subject":"{team}","time":"2026-01-10T00:00:00Z","data":{{"app_id":"app-{number}","api":"automation","method":"POST","path":"/da/us-east/v3/workitems","engine":"autocad","quantity":217,"status":"success"}}}}"#
    );
    NewRecord::new(i32::from(partition), &team, &event).created_at(AT_MILLIS)
}

fn scrape(address: &str) -> (Duration, String) {
    let begun = Instant::now();
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, 200);
    (begun.elapsed(), text)
}

/// None where it was over too soon.
fn percentiles(times: &mut [Duration]) -> String {
    times.sort();
    let at = |share: f64| times.get(((times.len() as f64 - 1.0) * share).round() as usize);
    match (at(0.5), at(0.99)) {
        (Some(p50), Some(p99)) => format!(
            "{:.1} ms, {:.1} ms",
            p50.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3
        ),
        _ => "none".to_owned(),
    }
}
