//! What is no bad record is waited for: a registry that is away, a batch that this process is not
//! allowed to unpack.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::Duration;

use super::support::kafka::{Broker, NewRecord, Registry};
use super::support::processor::{Processor, Setup};
use super::support::scene::{address, get};
use super::{MIB, call, now_millis, rates};

/// F49: nothing is folded and nothing becomes a dead letter while the registry is away, /status says
/// why, and what was sent is folded when it is back.
#[test]
fn a_registry_that_is_away_is_waited_for() {
    let broker = Broker::shared();
    let registry = Registry::start();
    let mut setup = Setup::new(broker, "registry_away", 1, &rates());
    setup.is_record_time = false;
    let section = format!("[registry]\nurl = \"{}\"", registry.url());
    setup.extra.push(("http", section));
    setup.create_topics();
    let schema = include_str!("../../schemas/input/api-call.v1.avsc");
    let id = registry.register("api-calls-value", schema);
    registry.stop();

    let mut processor = Processor::start(&setup, 0);
    let input = setup.topic("api-calls");
    // Not what the schema says, which only the registry can tell.
    let value = [&[0][..], &id.to_be_bytes(), b"x"].concat();
    broker.produce_all(&input, [NewRecord::new(0, "team", value)]);
    broker.produce(&input, 0, "team", call("after", "team", now_millis(), "1"));
    assert_waits(&mut processor, &format!("writer schema {id}"));
    let (offset, _) = broker.committed(&setup.name, &input, 0).expect("genesis");
    assert_eq!(offset, 0, "nothing is folded");
    assert_eq!(broker.end_offsets(&setup.topic("dead-letters")), [0]);

    registry.restart();
    processor.wait_until_folded(&setup);
    processor.stop();
    assert_eq!(broker.read_committed(&setup.topic("dead-letters")).len(), 1);
}

/// F51: nothing is passed over; with a larger limit it becomes a dead letter like any record that is
/// too large.
#[test]
fn a_batch_beyond_the_limit_of_unpacking_is_waited_for() {
    let broker = Broker::shared();
    let mut setup = Setup::new(broker, "unpacking", 1, &rates());
    setup.is_record_time = false;
    setup.create_topics();
    let input = setup.topic("api-calls");
    let producer: BaseProducer = broker
        .client()
        .set("compression.type", "zstd")
        .set("message.max.bytes", (400 * MIB).to_string())
        .create()
        .expect("a producer");
    let bomb = vec![b' '; 120 * MIB];
    let record = BaseRecord::to(&input)
        .partition(0)
        .key("team")
        .payload(&bomb);
    producer.send(record).expect("it is sent");
    producer
        .flush(Duration::from_secs(60))
        .expect("it is taken");
    broker.produce(&input, 0, "team", call("after", "team", now_millis(), "1"));

    let mut processor = Processor::start(&setup, 0);
    assert_waits(&mut processor, "receive.message.max.bytes");
    processor.stop();
    let (offset, _) = broker.committed(&setup.name, &input, 0).expect("genesis");
    assert_eq!(offset, 0, "nothing is passed over");

    let limit = format!("\"receive.message.max.bytes\" = {}\n", 300 * MIB);
    setup.extra.push(("kafka", limit));
    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_folded(&setup);
    processor.stop();
    assert_eq!(broker.read_committed(&setup.topic("dead-letters")).len(), 1);
}

/// Its log and /status say what partition 0 waits for.
fn assert_waits(processor: &mut Processor, reason: &str) {
    let log = processor.log.clone();
    processor.wait_until("it says what it waits for", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let mut lines = log.lines();
        lines.any(|line| line.contains("partition_waiting") && line.contains(reason))
    });
    let (status, body) = get(&address(processor), "/status");
    assert_eq!(status, 200);
    assert!(body.contains(reason), "{reason} is not in {body}");
}
