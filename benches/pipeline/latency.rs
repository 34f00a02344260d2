//! From append to visible: how long after a call was sent its derived event can be read.
//!
//! Probes are calls of teams that sent none before, each using up a cap at once, so each makes one
//! cap event, whose key names the team. They are sent one by one beside a load of ordinary calls.
//! Sender and reader (read_committed) are threads of one process and share its clock; the time
//! spans producer, broker, processor, commit, and the reader's fetch.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant as WallInstant};

use rdkafka::Message as _;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;

use crate::backlog::{Call, Writer, team_number};
use crate::broker::Broker;
use crate::processors::{Processor, Setup};
use crate::sizes::{Format, Sizes};
use crate::table::Table;
use crate::throughput::Carried;

/// Between two probes; prime to the intervals of commits, so that no phase of them is preferred.
const PROBE_INTERVAL: Duration = Duration::from_millis(17);

/// Load without probes first: caches fill, code is compiled.
const WARM_UP: Duration = Duration::from_secs(5);

/// How long the last probes may take, and how long the enrolments.
const PATIENCE: Duration = Duration::from_secs(60);

/// The load is sent in slices.
const SLICE: Duration = Duration::from_millis(5);

pub fn measure(
    broker: &Broker,
    directory: &Path,
    sizes: &Sizes,
    format: Format,
    processors: &[Processor],
    carried: &Carried,
) {
    println!(
        "## Latency, {}: call sent to cap event read; half load\n",
        format.name()
    );
    let table = Table::of(&[
        "what",
        "commit ms",
        "records/s",
        "behind at the end",
        "probes",
        "p50 ms",
        "p99 ms",
        "max ms",
    ]);
    for &processor in processors {
        let rate = carried.half_load(processor, sizes);
        for &commit_millis in &sizes.latency_commit_millis {
            let name = format!("latency.{}.{commit_millis}", format.name());
            let input = format!("{name}.{processor:?}");
            broker.create_input(&input, sizes.partitions);
            let setup = Setup::new(
                processor,
                broker,
                directory,
                &name,
                (&input, format, sizes.partitions),
                commit_millis,
                sizes.workers,
                0,
            );
            let seen = probe(broker, sizes, &setup, format, rate);
            table.row(&[
                processor.name().to_owned(),
                commit_millis.to_string(),
                format!("{:.0}", seen.rate),
                seen.behind.to_string(),
                seen.millis.len().to_string(),
                format!("{:.1}", seen.percentile(50)),
                format!("{:.1}", seen.percentile(99)),
                format!("{:.1}", seen.percentile(100)),
            ]);
            setup.remove(broker);
            broker.delete_topics(&[&input]);
        }
    }
    println!();
}

struct Seen {
    /// Sorted.
    millis: Vec<f64>,
    /// Of the load, as it was reached.
    rate: f64,
    /// Records not committed when the last probe was sent.
    behind: u64,
}

impl Seen {
    fn percentile(&self, percent: usize) -> f64 {
        let last = self.millis.len() - 1;
        self.millis[(last * percent).div_ceil(100)]
    }
}

fn probe(broker: &Broker, sizes: &Sizes, setup: &Setup, format: Format, rate: u64) -> Seen {
    let writer = || Writer::to(broker, &setup.input, format, sizes.partitions);
    let probes = Duration::from_secs(sizes.latency_seconds).as_nanos() / PROBE_INTERVAL.as_nanos();
    let probes = probes as u64;
    let mut enrolling = writer();
    // The teams of probes come after those of the load.
    for team in 0..sizes.teams + probes {
        enrolling.enrol(team);
    }
    enrolling.flush();
    let progress = broker.progress(&setup.group, &setup.input, setup.partitions);
    let running = setup.start();
    wait_for("the enrolments", || {
        progress.committed() == enrolling.records
    });

    let (load, probing) = (writer(), writer());
    let over = AtomicBool::new(false);
    let reader = broker.reader(&setup.output, setup.partitions);
    let (rate, sent, read, behind) = scope(|threads| {
        let load = threads.spawn(|| keep_up(load, rate, sizes.teams, &over));
        let read = threads.spawn(|| read(&reader, sizes.teams, probes, &over));
        sleep(WARM_UP);
        let sent = send(probing, sizes.teams, probes);
        let written = broker.records_of(&setup.input, setup.partitions);
        let behind = written.saturating_sub(progress.committed());
        over.store(true, Ordering::Relaxed);
        let rate = load.join().expect("the load is sent");
        (
            rate,
            sent,
            read.join().expect("the probes are read"),
            behind,
        )
    });
    running.stop();
    let mut millis: Vec<f64> = sent
        .iter()
        .zip(&read)
        .map(|(sent, read)| (*read - *sent).as_secs_f64() * 1e3)
        .collect();
    millis.sort_by(f64::total_cmp);
    Seen {
        millis,
        rate,
        behind,
    }
}

/// Sends `rate` calls a second until it is over; the rate that it reached.
fn keep_up(mut writer: Writer, rate: u64, teams: u64, over: &AtomicBool) -> f64 {
    let begun = WallInstant::now();
    let mut number = 0;
    while !over.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        while number < due {
            writer.call(&Call::of(number, teams));
            number += 1;
        }
        writer.poll();
        sleep(SLICE);
    }
    let reached = number as f64 / begun.elapsed().as_secs_f64();
    writer.flush();
    reached
}

/// Sends the probes one by one; when each was sent.
fn send(mut writer: Writer, teams: u64, probes: u64) -> Vec<WallInstant> {
    let begun = WallInstant::now();
    let mut sent = Vec::new();
    for probe in 0..probes {
        let due = begun + PROBE_INTERVAL * probe as u32;
        sleep(due.saturating_duration_since(WallInstant::now()));
        writer.call(&Call::probe(teams + probe));
        sent.push(WallInstant::now());
    }
    writer.flush();
    sent
}

/// Reads the cap events of all probes; when each was read.
fn read(reader: &BaseConsumer, teams: u64, probes: u64, over: &AtomicBool) -> Vec<WallInstant> {
    let mut read = vec![None; probes as usize];
    let mut missing = probes;
    let mut waited_from = WallInstant::now();
    while missing > 0 {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let now = WallInstant::now();
                let team = message.key().and_then(team_number).expect("a team as key");
                // The load reaches caps too.
                if let Some(probe) = team.checked_sub(teams) {
                    let before = read[probe as usize].replace(now);
                    assert_eq!(before, None, "two cap events of team {team}");
                    missing -= 1;
                }
            }
            None | Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => panic!("reading cap events: {error}"),
        }
        if !over.load(Ordering::Relaxed) {
            waited_from = WallInstant::now();
        }
        let waited = waited_from.elapsed();
        assert!(
            waited < PATIENCE,
            "{missing} of {probes} probes made no cap event"
        );
    }
    read.into_iter().flatten().collect()
}

pub fn wait_for(what: &str, is_done: impl Fn() -> bool) {
    let begun = WallInstant::now();
    while !is_done() {
        assert!(begun.elapsed() < PATIENCE * 10, "{what}: never done");
        sleep(Duration::from_millis(5));
    }
}
