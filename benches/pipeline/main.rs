//! The whole way through Kafka: records/s, latency and restart of `meterfold run`, against a bare
//! consumer of the same backlog and against the same job as a tuned Kafka Streams program.
//!
//! `cargo bench --bench pipeline`, by default 5 million calls (Avro 166 bytes, JSON 211) from 50,000
//! teams on 4 partitions of one real broker; some 20 minutes, 10 GB of disk. It wants the broker's
//! jars (`.ci/setup kafka`) and the peer (`.ci/bench-peers`); `make bench` sees to both. Smaller or
//! in part by the variables of [`sizes`]:
//!
//! ```text
//! PIPELINE_RECORDS=100000 PIPELINE_PARTS=throughput cargo bench --bench pipeline
//! ```
//!
//! Targets: ten times Kafka Streams, Avro, 500 ms between commits. All rows of one table come from
//! one run on one broker; rates of another machine or hour are not comparable, ratios are.

mod backlog;
mod bare_consumer;
mod broker;
#[allow(dead_code, reason = "tests use more of it")]
#[path = "../../tests/support/kafka/guard.rs"]
mod guard;
mod latency;
mod measured;
mod processors;
mod restart;
mod sizes;
mod table;
mod throughput;

use std::time::Instant as WallInstant;

use backlog::Backlog;
use processors::Processor;
use sizes::{Part, Sizes};
use throughput::Carried;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let sizes = Sizes::from_environment();
    let begun = WallInstant::now();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let broker = broker::start();
    table::head(&sizes);
    let processors: Vec<Processor> = Processor::ALL
        .into_iter()
        .filter(|processor| match processor.missing() {
            None => true,
            Some(reason) => {
                println!("{}: not measured, {reason}\n", processor.name());
                false
            }
        })
        .collect();

    for &format in &sizes.formats {
        let mut carried = Carried::default();
        if sizes.has(Part::Throughput) {
            let backlog = Backlog::of_calls(&broker, format, &sizes);
            carried = throughput::measure(&broker, directory.path(), &sizes, &backlog, &processors);
            broker.delete_topics(&[&backlog.topic]);
        }
        if sizes.has(Part::Latency) {
            latency::measure(
                &broker,
                directory.path(),
                &sizes,
                format,
                &processors,
                &carried,
            );
        }
    }
    if sizes.has(Part::Restart) {
        restart::measure(&broker, directory.path(), &sizes, &processors);
    }
    println!("Measured in {} s.", begun.elapsed().as_secs());
}
