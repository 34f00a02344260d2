//! Records in and out of a broker.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders, Timestamp};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::{PATIENCE, leaders};
use super::broker::Broker;

/// A record as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds.
    pub timestamp: i64,
    /// The broker's time of appending; else the producer's time of creation.
    pub is_append_time: bool,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record to produce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    pub partition: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds; None: now.
    pub timestamp: Option<i64>,
}

impl NewRecord {
    /// With key and value, to be written to a partition now.
    pub fn new(partition: i32, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> NewRecord {
        NewRecord {
            partition,
            key: Some(key.as_ref().to_vec()),
            value: Some(value.as_ref().to_vec()),
            ..NewRecord::default()
        }
    }

    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> NewRecord {
        let value = Some(value.as_ref().to_vec());
        self.headers.push((name.to_owned(), value));
        self
    }

    /// Created at this time, in milliseconds.
    pub fn created_at(mut self, timestamp: i64) -> NewRecord {
        self.timestamp = Some(timestamp);
        self
    }
}

impl Broker {
    /// One record; returns its offset.
    pub fn produce(
        &self,
        topic: &str,
        partition: i32,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> i64 {
        self.produce_all(topic, [NewRecord::new(partition, key, value)])[0]
    }

    /// Records in this order, in batches; comes back with their offsets when all replicas have them.
    pub fn produce_all(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = NewRecord>,
    ) -> Vec<i64> {
        let sender = self.sender.get_or_init(|| Sender::new(self));
        sender.send(topic, records)
    }

    /// A producer of somebody else in a transaction that stays open for minutes, if nobody ends it.
    pub fn open_transaction(&self, id: &str) -> BaseProducer {
        let producer: BaseProducer = self
            .client()
            .set("transactional.id", id)
            .set("transaction.timeout.ms", "300000")
            .create()
            .expect("a producer");
        producer
            .init_transactions(PATIENCE)
            .expect("a transactional producer");
        producer.begin_transaction().expect("a transaction");
        producer
    }

    /// What a reader at read_committed sees, by partition and offset: up to the first open
    /// transaction of each partition, or its end. A transaction that was just committed is waited
    /// for, since the broker answers before it has marked all partitions; so with an open
    /// transaction this takes a second.
    pub fn read_committed(&self, topic: &str) -> Vec<Record> {
        let reader = self.reader("read_committed");
        let deadline = Instant::now() + Duration::from_secs(1);
        let ends = self.end_offsets(topic);
        while ends_of(&reader, topic).1 < ends && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        read(&reader, topic)
    }

    /// All records, those of aborted and open transactions too.
    pub fn read_uncommitted(&self, topic: &str) -> Vec<Record> {
        read(&self.reader("read_uncommitted"), topic)
    }

    /// The offset after the last record of each partition: its high watermark.
    pub fn end_offsets(&self, topic: &str) -> Vec<i64> {
        ends_of(&self.reader("read_uncommitted"), topic).1
    }

    /// The end that a reader at read_committed sees: the last stable offset of each partition.
    pub fn stable_offsets(&self, topic: &str) -> Vec<i64> {
        ends_of(&self.reader("read_committed"), topic).1
    }

    /// The first offset that is kept of each partition.
    pub fn start_offsets(&self, topic: &str) -> Vec<i64> {
        ends_of(&self.reader("read_uncommitted"), topic).0
    }

    /// Joins no group, but without the name of one nothing can be assigned.
    fn reader(&self, isolation: &str) -> BaseConsumer {
        self.client()
            .set("group.id", "reader-of-tests")
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "10")
            .create()
            .expect("a consumer")
    }
}

/// The first offset of each partition and its end, as this reader may see it.
fn ends_of(reader: &BaseConsumer, topic: &str) -> (Vec<i64>, Vec<i64>) {
    let partitions = 0..partitions_of(reader, topic);
    let deadline = Instant::now() + PATIENCE;
    let watermarks = |partition| loop {
        match reader.fetch_watermarks(topic, partition, PATIENCE) {
            Ok(watermarks) => return watermarks,
            // A broker that has just come back leads nothing yet.
            Err(_) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("{topic} {partition}: watermarks: {error}"),
        }
    };
    partitions.map(watermarks).unzip()
}

fn partitions_of(reader: &BaseConsumer, topic: &str) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match leaders(reader, topic) {
            Some(partitions) => return partitions,
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            None => panic!("there is no topic {topic}, or it has no leader"),
        }
    }
}

/// Everything from the beginning. A reader that does not know the topic yet would wait half a second
/// before its first fetch, so it is asked first.
fn read(reader: &BaseConsumer, topic: &str) -> Vec<Record> {
    let mut open: BTreeSet<i32> = (0..partitions_of(reader, topic)).collect();
    let mut list = TopicPartitionList::new();
    for partition in &open {
        list.add_partition_offset(topic, *partition, Offset::Beginning)
            .expect("an offset");
    }
    reader.assign(&list).expect("an assignment");
    let mut records = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() {
        assert!(Instant::now() < deadline, "{topic} could not be read");
        match reader.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => records.push(Record::of(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // The client connects again by itself.
            Some(Err(error)) if is_connection(&error) => {}
            Some(Err(error)) => panic!("{topic}: {error}"),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

impl Record {
    pub fn of(message: &impl Message) -> Record {
        let headers = message.headers().into_iter().flat_map(|headers| {
            headers.iter().map(|header| {
                let value = header.value.map(<[u8]>::to_vec);
                (header.key.to_owned(), value)
            })
        });
        let timestamp = message.timestamp();
        Record {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: timestamp.to_millis().unwrap_or(-1),
            is_append_time: matches!(timestamp, Timestamp::LogAppendTime(_)),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }

    pub fn value_text(&self) -> String {
        let value = self.value.as_deref().unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    }
}

/// The producer behind [`Broker::produce_all`], one call at a time.
pub(super) struct Sender(Mutex<BaseProducer<Deliveries>>);

impl Sender {
    fn new(broker: &Broker) -> Sender {
        let producer: BaseProducer<Deliveries> = broker
            .client()
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "33554432")
            .create_with_context(Deliveries::default())
            .expect("a producer");
        // Else its first record waits for a second.
        let asked = producer.client().fetch_metadata(None, PATIENCE);
        asked.expect("metadata");
        Sender(Mutex::new(producer))
    }

    fn send(&self, topic: &str, records: impl IntoIterator<Item = NewRecord>) -> Vec<i64> {
        let producer = self.0.lock().expect("an earlier call failed");
        let mut sent = 0;
        for record in records {
            let mut new = record.for_topic(topic, sent);
            while let Err((error, back)) = producer.send(new) {
                let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
                assert_eq!(error, full, "produce to {topic}");
                new = back;
                producer.poll(Duration::from_millis(10));
            }
            sent += 1;
        }
        let deadline = Instant::now() + 2 * PATIENCE;
        while producer.in_flight_count() > 0 {
            assert!(Instant::now() < deadline, "{topic} takes no records");
            producer.poll(Duration::from_millis(10));
        }
        let deliveries = &producer.context().0;
        let mut answers = std::mem::take(&mut *deliveries.lock().expect("answers"));
        answers.sort_by_key(|(number, _)| *number);
        assert_eq!(answers.len(), sent, "an answer a record");
        answers
            .into_iter()
            .map(|(_, offset)| offset.unwrap_or_else(|error| panic!("produce to {topic}: {error}")))
            .collect()
    }
}

impl NewRecord {
    fn for_topic<'a>(&'a self, topic: &'a str, number: usize) -> BaseRecord<'a, [u8], [u8], usize> {
        let mut new = BaseRecord::with_opaque_to(topic, number).partition(self.partition);
        if let Some(key) = &self.key {
            new = new.key(key.as_slice());
        }
        if let Some(value) = &self.value {
            new = new.payload(value.as_slice());
        }
        if let Some(timestamp) = self.timestamp {
            new = new.timestamp(timestamp);
        }
        if !self.headers.is_empty() {
            let headers = self
                .headers
                .iter()
                .fold(OwnedHeaders::new(), |headers, (key, value)| {
                    headers.insert(Header {
                        key,
                        value: value.as_ref(),
                    })
                });
            new = new.headers(headers);
        }
        new
    }
}

/// Offsets of what was delivered, by the number of the record in its call.
#[derive(Default)]
struct Deliveries(Mutex<Vec<(usize, Result<i64, KafkaError>)>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let offset = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().expect("answers").push((number, offset));
    }
}

fn is_connection(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    matches!(
        error.rdkafka_error_code(),
        Some(BrokerTransportFailure | AllBrokersDown | OperationTimedOut)
    )
}
