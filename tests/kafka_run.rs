//! `meterfold run` on a real Apache Kafka: what it puts out and what it keeps.

mod support;

use support::kafka::Broker;
use support::processor::{Feed, Processor, Setup};
use support::sample::Sample;

/// One input topic, record-time mode, ticks to every partition: a Kafka run equals a file run.
#[test]
fn every_sample_gives_the_bytes_of_its_file_run() {
    let broker = Broker::shared();
    for sample in Sample::all() {
        let setup = Setup::new(broker, &format!("sample_{}", sample.name), 1, &sample.replay.rates);
        setup.create_topics();
        let until = sample.replay.until.as_deref();
        Feed::of_trace(&sample.replay.inputs, &sample.expected.trace, until).produce(&setup);
        let mut processor = Processor::start(&setup, 0);
        processor.wait_until_folded(&setup);
        processor.stop();
        setup.assert_derived(sample.name, &sample.expected.derived);
        setup.assert_accounts(sample.name, &sample.expected.accounts);
    }
}
