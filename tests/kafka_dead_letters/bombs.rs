//! Records that grow when they are unpacked (F51).

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::support::kafka::Broker;
use super::support::processor::{Processor, Setup};
use super::{MIB, call, now_millis, rates, team_in};

/// What one record holds unpacked; packed it has some thousandths of it.
const BOMB_BYTES: usize = 64 * MIB;

/// Peak memory of the process that meets them all.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// One of each codec becomes a dead letter, cut, and what follows is folded; memory stays within
/// bounds.
#[test]
fn bombs_become_dead_letters_within_memory() {
    let broker = Broker::shared();
    let mut setup = Setup::new(broker, "bombs", 1, &rates());
    setup.is_record_time = false;
    setup.create_topics();
    let input = setup.topic("api-calls");
    let codecs = ["gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        let producer: BaseProducer = broker
            .client()
            .set("compression.type", codec)
            .set("message.max.bytes", (2 * BOMB_BYTES).to_string())
            .create()
            .expect("a producer");
        let bomb = vec![b' '; BOMB_BYTES];
        let record = BaseRecord::to(&input)
            .partition(0)
            .key(codec)
            .payload(&bomb);
        producer.send(record).expect("it is sent");
        producer
            .flush(Duration::from_secs(60))
            .expect("it is taken");
        let team = team_in(0, codec);
        broker.produce(&input, 0, &team, call(codec, &team, now_millis(), "1"));
    }
    assert_eq!(broker.end_offsets(&input), [8], "all were appended");

    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_folded(&setup);
    let peak = peak_memory_bytes(processor.child.id());
    processor.stop();
    assert!(peak < MEMORY_BYTES_MAX, "{} MiB at the peak", peak >> 20);
    let letters = broker.read_committed(&setup.topic("dead-letters"));
    assert_eq!(letters.len(), codecs.len());
    for (letter, codec) in letters.iter().zip(codecs) {
        assert_eq!(letter.key.as_deref(), Some(codec.as_bytes()));
        let value = letter.value.as_deref().expect("what is left of it");
        assert!(
            value.len() <= MIB && value.iter().all(|byte| *byte == b' '),
            "{codec}"
        );
    }
    assert_eq!(
        setup
            .accounts(0)
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .count(),
        codecs.len()
    );
}

fn peak_memory_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("a peak");
    let kibibytes: u64 = peak
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number");
    println!("peak {} MiB", kibibytes >> 10);
    kibibytes << 10
}
