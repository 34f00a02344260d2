//! Records/s of a backlog that is there before the processor starts.
//!
//! The rate is taken from outside, by the group's committed offsets, from the first commit seen to
//! the last: neither the start of a virtual machine nor a record that was read and not committed
//! counts. What a processor emitted is counted, and must be what the load makes right.

use std::path::Path;
use std::time::Duration;

use crate::backlog::Backlog;
use crate::bare_consumer;
use crate::broker::Broker;
use crate::measured::{Measured, Sample};
use crate::processors::{Processor, Setup};
use crate::sizes::Sizes;
use crate::table::{Table, or_dash};

/// Between two looks at the committed offsets.
const LOOK: Duration = Duration::from_millis(20);

/// The longest time without progress, while the process runs and once it has ended.
const STANDSTILL_MAX: Duration = Duration::from_secs(120);
const PATIENCE_AFTER_END: Duration = Duration::from_secs(5);

/// Rates of one format, in records/s, for what is measured later.
#[derive(Default)]
pub struct Carried {
    loaded: f64,
    processed: Vec<(Processor, f64)>,
}

impl Carried {
    /// Half of what this machine carries when it must load the records at the same time: the load
    /// and the processing of a record one after the other, twice. `PIPELINE_LATENCY_RATE` is stronger.
    pub fn half_load(&self, processor: Processor, sizes: &Sizes) -> u64 {
        sizes.latency_rate.unwrap_or_else(|| {
            let processed = self
                .processed_at(processor)
                .expect("throughput was measured");
            (0.5 / (1.0 / self.loaded + 1.0 / processed)) as u64
        })
    }

    fn processed_at(&self, processor: Processor) -> Option<f64> {
        let found = self.processed.iter().find(|(of, _)| *of == processor);
        found.map(|(_, rate)| *rate)
    }
}

pub fn measure(
    broker: &Broker,
    directory: &Path,
    sizes: &Sizes,
    backlog: &Backlog,
    processors: &[Processor],
) -> Carried {
    println!(
        "## Throughput, {}: {} records of {} bytes, {} teams, {} partitions; loaded at {:.0}/s\n",
        backlog.format.name(),
        backlog.records,
        backlog.value_bytes / backlog.records.max(1),
        sizes.teams,
        backlog.partitions,
        backlog.loaded_per_second,
    );
    let table = Table::of(&[
        "what",
        "commit ms",
        "records/s",
        "times Kafka Streams",
        "by CPU",
        "client µs/record",
        "broker µs/record",
        "peak MB",
        "cap events",
    ]);
    let mut carried = Carried {
        loaded: backlog.loaded_per_second,
        processed: Vec::new(),
    };
    let mut commands = Vec::new();
    let bare = bare_consumer::read(&broker.brokers, broker.process, backlog);
    table.row(&cells("bare consumer, 1 thread", None, &bare, None, None));
    for &commit_millis in &sizes.commit_millis {
        let mut peer = None;
        for &processor in processors {
            let label = format!("{}.{commit_millis}", backlog.format.name());
            let input = (backlog.topic.as_str(), backlog.format, backlog.partitions);
            let setup = Setup::new(
                processor,
                broker,
                directory,
                &label,
                input,
                commit_millis,
                sizes.workers,
                backlog.records,
            );
            let measured = drain(broker, &setup, backlog);
            let emitted = broker.read_to_end(&setup.output, backlog.partitions, |_| {});
            let rate = measured.per_second();
            if processor == Processor::KafkaStreams {
                peer = Some(measured);
            }
            if carried.processed_at(processor).is_none() {
                carried.processed.push((processor, rate));
            }
            let name = format!("{}, {} threads", processor.name(), sizes.workers);
            let ratios = peer.map(|peer| measured.ratios_to(&peer));
            table.row(&cells(
                &name,
                Some(commit_millis),
                &measured,
                ratios,
                Some(emitted),
            ));
            assert_eq!(emitted, backlog.caps_reached, "events of {}", setup.output);
            commands.push(setup.command());
            commands.extend(setup.figures().map(|figures| format!("# {figures}")));
            setup.remove(broker);
        }
    }
    println!("\n```\n{}\n```\n", commands.join("\n"));
    carried
}

/// Runs until the whole backlog is committed.
fn drain(broker: &Broker, setup: &Setup, backlog: &Backlog) -> Measured {
    let progress = broker.progress(&setup.group, &setup.input, setup.partitions);
    let mut running = setup.start();
    let start = Sample::of(running.process(), broker.process);
    let mut first = None;
    let mut last = (0, start);
    let mut peak_bytes = None;
    while last.0 < backlog.records {
        std::thread::sleep(LOOK);
        // The kernel keeps the peak, so the last look before the end misses little of it.
        peak_bytes = running.peak_bytes().max(peak_bytes);
        let committed = progress.committed();
        if committed > last.0 {
            last = (committed, last.1.next(running.process(), broker.process));
            first.get_or_insert(last);
        }
        let patience = if running.has_ended() {
            PATIENCE_AFTER_END
        } else {
            STANDSTILL_MAX
        };
        let waited = last.1.at.elapsed();
        assert!(
            waited < patience,
            "{} of {} records were committed, then none",
            last.0,
            backlog.records
        );
    }
    running.stop();
    let first = first.filter(|first| first.0 < backlog.records);
    // All in one commit: then from the start of the process.
    let (before, from) = first.unwrap_or((0, start));
    Measured::between(&from, &last.1, backlog.records - before, peak_bytes)
}

fn cells(
    name: &str,
    commit_millis: Option<u64>,
    measured: &Measured,
    ratios: Option<(f64, f64)>,
    emitted: Option<u64>,
) -> Vec<String> {
    vec![
        name.to_owned(),
        or_dash(commit_millis),
        format!("{:.0}", measured.per_second()),
        or_dash(ratios.map(|(rate, _)| format!("{rate:.2}"))),
        or_dash(ratios.map(|(_, cpu)| format!("{cpu:.2}"))),
        format!("{:.2}", measured.client_micros_a_record()),
        format!("{:.2}", measured.broker_micros_a_record()),
        or_dash(measured.peak_bytes.map(|bytes| bytes / 1_000_000)),
        or_dash(emitted),
    ]
}
