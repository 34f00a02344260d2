//! How long a restart takes: with its state on disk, and with nothing but the changelog.
//!
//! Measured from the start of the process until a record of every partition that was written
//! while it was down is committed. The cells are counted by reading the changelog; a cell of
//! meterfold is all of a team, or a commit's ids, one of Kafka Streams a count or an id.

use std::collections::HashSet;
use std::path::Path;

use rdkafka::Message as _;
use xxhash_rust::xxh3::xxh3_64;

use crate::backlog::{Call, Writer};
use crate::broker::{Broker, Progress};
use crate::latency::wait_for;
use crate::processors::{Processor, Setup};
use crate::sizes::{Format, Sizes};
use crate::table::Table;

/// Short, since it is part of the time.
const COMMIT_MILLIS: u64 = 100;

pub fn measure(broker: &Broker, directory: &Path, sizes: &Sizes, processors: &[Processor]) {
    let teams = sizes.restart_teams;
    println!("## Restart with {teams} teams, {COMMIT_MILLIS} ms between commits\n");
    let table = Table::of(&[
        "what",
        "with state, s",
        "empty directory, s",
        "cells",
        "changelog records",
        "cells/s",
        "changelog records/s",
    ]);
    let input = "restart";
    broker.create_input(input, sizes.partitions);
    let mut writer = Writer::to(broker, input, Format::Avro, sizes.partitions);
    for team in 0..teams {
        writer.enrol(team);
    }
    for number in 0..teams {
        writer.call(&Call::of(number, teams));
    }
    for &processor in processors {
        writer.flush();
        let setup = Setup::new(
            processor,
            broker,
            directory,
            "restart",
            (input, Format::Avro, sizes.partitions),
            COMMIT_MILLIS,
            sizes.workers,
            0,
        );
        let progress = broker.progress(&setup.group, input, setup.partitions);
        seconds_to_commit(&setup, &progress, writer.records);
        let warm = again(&setup, &progress, &mut writer, teams);
        setup.remove_state();
        let (cells, records) = cells_of(broker, &setup);
        let cold = again(&setup, &progress, &mut writer, teams);
        table.row(&[
            processor.name().to_owned(),
            format!("{warm:.2}"),
            format!("{cold:.2}"),
            cells.to_string(),
            records.to_string(),
            format!("{:.0}", cells as f64 / cold),
            format!("{:.0}", records as f64 / cold),
        ]);
        setup.remove(broker);
    }
    broker.delete_topics(&[input]);
    println!();
}

/// Writes some calls, enough for every partition, and starts the processor.
fn again(setup: &Setup, progress: &Progress, writer: &mut Writer, teams: u64) -> f64 {
    for _ in 0..100 * u64::from(setup.partitions) {
        writer.call(&Call::of(writer.records, teams));
    }
    writer.flush();
    seconds_to_commit(setup, progress, writer.records)
}

/// Starts it, waits until `records` are committed, and stops it.
fn seconds_to_commit(setup: &Setup, progress: &Progress, records: u64) -> f64 {
    let running = setup.start();
    wait_for("the restart", || progress.committed() == records);
    let seconds = running.begun.elapsed().as_secs_f64();
    running.stop();
    seconds
}

/// Cells that live, and committed records, of the changelogs of a processor.
fn cells_of(broker: &Broker, setup: &Setup) -> (u64, u64) {
    let mut cells = 0;
    let mut records = 0;
    for topic in setup.changelogs(broker) {
        let mut live = HashSet::new();
        records += broker.read_to_end(&topic, setup.partitions, |message| {
            let key = xxh3_64(message.key().unwrap_or_default()) ^ message.partition() as u64;
            match message.payload() {
                Some(_) => live.insert(key),
                None => live.remove(&key),
            };
        });
        cells += live.len() as u64;
    }
    (cells, records)
}
