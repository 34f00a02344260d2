//! A producer of records that are not the processor's output: generated events, dead letters that
//! are sent again. Idempotent, in the order given; no transactions.
//!
//! What a broker refuses is told by the first call after it has answered, at the latest by
//! [`Sender::flush`]; what is told then is the first failure.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as NamedHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::config::Config;
use crate::wire::record_bytes::Header;

use super::client;
use super::cluster::ClusterError;

/// Records between two looks at what the brokers have answered.
const LOOK_EVERY: u64 = 256;

pub struct Sender {
    producer: BaseProducer<Answers>,
    brokers: String,
    timeout: Duration,
    sent: u64,
}

/// A record to send.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    pub topic: &'a str,
    pub partition: u16,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
    /// Counts where the topic keeps the time of creation.
    pub timestamp_millis: i64,
}

impl Sender {
    /// `purpose` ends its client id. A record that is not taken within `timeout` is a failure.
    pub fn new(config: &Config, purpose: &str, timeout: Duration) -> Result<Sender, ClusterError> {
        let producer = client::sender(config, purpose, timeout)
            .create_with_context(Answers::default())
            .map_err(|error| ClusterError::Settings(error.to_string()))?;
        let brokers = config.kafka.get("bootstrap.servers").unwrap_or_default();
        Ok(Sender {
            producer,
            brokers: brokers.to_owned(),
            timeout,
            sent: 0,
        })
    }

    /// Hands a record to the client; waits where its queue is full.
    pub fn send(&mut self, record: NewRecord<'_>) -> Result<(), ClusterError> {
        let mut new = BaseRecord::<[u8], [u8]>::to(record.topic)
            .partition(i32::from(record.partition))
            .timestamp(record.timestamp_millis);
        new.key = record.key;
        new.payload = record.value;
        if !record.headers.is_empty() {
            let headers =
                record
                    .headers
                    .iter()
                    .fold(OwnedHeaders::new(), |headers, (name, value)| {
                        let key = &String::from_utf8_lossy(name);
                        headers.insert(NamedHeader { key, value: *value })
                    });
            new = new.headers(headers);
        }
        self.sent += 1;
        if self.sent.is_multiple_of(LOOK_EVERY) {
            self.producer.poll(Duration::ZERO);
        }
        loop {
            self.told()?;
            match self.producer.send(new) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(10));
                    new = back;
                }
                Err((error, _)) => return Err(self.failure(record.topic, &error)),
            }
        }
    }

    /// Waits until all replicas have every record. The client gives a record up by itself.
    pub fn flush(&self) -> Result<(), ClusterError> {
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(20));
            self.told()?;
        }
        self.told()
    }

    fn told(&self) -> Result<(), ClusterError> {
        let first = &self.producer.context().first_failure;
        let first = first.lock().unwrap_or_else(PoisonError::into_inner);
        match &*first {
            None => Ok(()),
            Some((error, topic)) => Err(self.failure(topic, error)),
        }
    }

    fn failure(&self, topic: &str, error: &KafkaError) -> ClusterError {
        let code = error.rdkafka_error_code();
        let text = code.map_or_else(|| error.to_string(), |code| code.to_string());
        let remedy = code.map_or("", remedy);
        ClusterError::of(
            self.brokers.clone(),
            self.timeout,
            "sending records",
            code,
            format!("topic {topic}: {text}{remedy}"),
        )
    }
}

/// Ends the sentence about a record that a topic does not take.
fn remedy(code: RDKafkaErrorCode) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code {
        Code::InvalidRecord | Code::InvalidTimestamp => {
            "; look at its message.timestamp.before.max.ms and message.timestamp.after.max.ms"
        }
        Code::MessageSizeTooLarge => "; raise its max.message.bytes",
        _ => "",
    }
}

#[derive(Default)]
struct Answers {
    first_failure: Mutex<Option<(KafkaError, String)>>,
}

impl ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let first = self.first_failure.lock();
            let mut first = first.unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| (error.clone(), message.topic().to_owned()));
        }
    }
}
