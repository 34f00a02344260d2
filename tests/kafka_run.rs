//! `meterfold run` on a real Apache Kafka: what it puts out and what it keeps.

mod support;

use support::kafka::Broker;
use support::processor::{Feed, Processor, Setup};
use support::sample::Sample;
use support::scene;

/// One input topic, record-time mode, ticks to every partition: a Kafka run equals a file run.
#[test]
fn every_sample_gives_the_bytes_of_its_file_run() {
    let broker = Broker::shared();
    for sample in Sample::all() {
        let setup = Setup::new(
            broker,
            &format!("sample_{}", sample.name),
            1,
            &sample.replay.rates,
        );
        setup.create_topics();
        let until = sample.replay.until.as_deref();
        Feed::of_trace(&sample.replay.inputs, &sample.expected.trace, until).produce(&setup);
        let mut processor = Processor::start(&setup, 0);
        processor.wait_until_folded(&setup);
        let address = scene::address(&processor);
        processor.wait_until(
            "the lag is told, and is none; so are sizes of state",
            || {
                let (_, metrics) = scene::get(&address, "/metrics");
                let value = |name: &str| -> Option<u64> {
                    let line = metrics.lines().find(|line| line.starts_with(name))?;
                    line.rsplit(' ').next()?.parse().ok()
                };
                value("meterfold_input_lag_records{") == Some(0)
                    && value("meterfold_store_memtable_bytes ").is_some_and(|bytes| bytes > 0)
                    && value("meterfold_dedup_entries ").is_some_and(|ids| ids > 0)
            },
        );
        processor.stop();
        setup.assert_derived(sample.name, &sample.expected.derived);
        setup.assert_accounts(sample.name, &sample.expected.accounts);
    }
}

/// Where recorded times never go back, partitions and processes cannot be seen in the result.
#[test]
fn samples_in_order_give_the_same_bytes_on_more_partitions_and_processes() {
    let broker = Broker::shared();
    let mut tried = 0;
    for sample in Sample::all() {
        let until = sample.replay.until.as_deref();
        let feed = Feed::of_trace(&sample.replay.inputs, &sample.expected.trace, until);
        if !feed.records.is_sorted_by_key(|record| record.timestamp) {
            continue;
        }
        tried += 1;
        for (partitions, processes) in [(2, 1), (4, 2), (4, 3)] {
            let place = format!(
                "{} {partitions} partitions {processes} processes",
                sample.name
            );
            let setup = Setup::new(broker, &place, partitions, &sample.replay.rates);
            setup.create_topics();
            let mut running: Vec<Processor> = (0..processes)
                .map(|instance| Processor::start(&setup, instance))
                .collect();
            feed.produce(&setup);
            running[0].wait_until_folded(&setup);
            running.into_iter().for_each(Processor::stop);
            setup.assert_derived(&place, &sample.expected.derived);
            setup.assert_restored_accounts(&place, &sample.expected.accounts);
        }
    }
    assert!(tried > 0, "a sample in order of recorded time");
}
