//! The floor under every consumer: librdkafka's batch queue, and nothing done with what it gives.
//!
//! The binding has no safe form of `rd_kafka_consume_batch_queue`, so this file alone is unsafe.

use std::ptr;
use std::time::{Duration, Instant as WallInstant};

use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_message_destroy, rd_kafka_message_t,
    rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_resp_err_t,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::backlog::Backlog;
use crate::measured::{Measured, Sample};

/// Most messages that one call hands out.
const BATCH: usize = 1_000;

/// The longest wait for the next message of a backlog that is there.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Reads `backlog` from end to end on this thread, fetching 4 MiB at a time.
pub fn read(brokers: &str, broker_process: u32, backlog: &Backlog) -> Measured {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bare-consumer")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("fetch.message.max.bytes", "4194304")
        .set("queued.max.messages.kbytes", "262144")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..backlog.partitions {
        assignment
            .add_partition_offset(&backlog.topic, partition.into(), Offset::Beginning)
            .expect("an offset");
    }
    consumer.assign(&assignment).expect("an assignment");

    let own = std::process::id();
    let mut first = None;
    let mut read = 0;
    let mut bytes = 0;
    let mut messages = [ptr::null_mut::<rd_kafka_message_t>(); BATCH];
    // SAFETY: the client outlives the queue: `consumer` is dropped at the end of this function,
    // after the queue was given back.
    let queue = unsafe { rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
    assert!(!queue.is_null(), "the consumer has a queue");
    let mut heard = WallInstant::now();
    while read < backlog.records {
        // SAFETY: `messages` has room for BATCH pointers, and the call writes no more of them
        // than it returns.
        let count =
            unsafe { rd_kafka_consume_batch_queue(queue, 1_000, messages.as_mut_ptr(), BATCH) };
        let count = usize::try_from(count).expect("the queue is open");
        for &message in &messages[..count] {
            // SAFETY: each of the `count` pointers is a message that is ours until it is
            // destroyed, which is done once, here.
            unsafe {
                let error = (*message).err;
                assert_eq!(
                    error,
                    rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
                    "reading the backlog"
                );
                bytes += (*message).len;
                rd_kafka_message_destroy(message);
            }
        }
        if count > 0 {
            heard = WallInstant::now();
            read += count as u64;
            if first.is_none() {
                // What came with the first batch is left out of the rate.
                first = Some((read, Sample::of(own, broker_process)));
            }
        }
        assert!(heard.elapsed() < SILENCE_MAX, "the backlog ended at {read}");
    }
    // SAFETY: got above, given back once, used no more.
    unsafe { rd_kafka_queue_destroy(queue) };
    let last = Sample::of(own, broker_process);
    let (before, first) = first.expect("a backlog is not empty");
    assert_eq!(bytes as u64, backlog.value_bytes, "bytes of the backlog");
    Measured::between(&first, &last, read - before, None)
}
