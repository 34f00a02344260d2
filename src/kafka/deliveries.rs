//! What became of each record of a transaction, as its delivery reports tell.
//!
//! `send` and `flush` of a fenced producer say that all is well; only these reports do not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use rdkafka::statistics::Statistics;

use crate::telemetry::Telemetry;
use crate::telemetry::labels::Step;

use super::{error_class, statistics};

/// What delivery reports tell; they are served on the worker's own thread.
pub struct Deliveries {
    telemetry: Telemetry,
    /// Of the client, in what it tells of itself.
    name: String,
    state: Mutex<Delivered>,
}

#[derive(Default)]
struct Delivered {
    failure: Option<(KafkaError, String)>,
    /// (number of the staged partition, offset, append time) of each META.
    metas: Vec<(usize, i64, i64)>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(event = "producer_error", "{error}: {reason}");
        let class = error_class::of_client(error.rdkafka_error_code());
        self.telemetry.error(Step::Produce, class);
    }

    fn stats(&self, statistics: Statistics) {
        let figures = statistics::figures(&statistics);
        self.telemetry.client_told(&self.name, figures);
    }
}

impl ProducerContext for Deliveries {
    /// 0: nothing to remember; else the number of the staged partition, plus one.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(message) if opaque > 0 => {
                let appended = message.timestamp().to_millis().unwrap_or_default();
                state.metas.push((opaque - 1, message.offset(), appended));
            }
            Ok(_) => {}
            Err((error, message)) => {
                let topic = message.topic().to_owned();
                state.failure.get_or_insert((error.clone(), topic));
            }
        }
    }
}

impl Deliveries {
    pub fn new(telemetry: Telemetry, name: String) -> Deliveries {
        Deliveries {
            telemetry,
            name,
            state: Mutex::default(),
        }
    }

    fn with<T>(&self, use_state: impl FnOnce(&mut Delivered) -> T) -> T {
        use_state(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn reset(&self) {
        self.with(|state| *state = Delivered::default());
    }

    pub fn failure(&self) -> Option<KafkaError> {
        self.with(|state| state.failure.take())
            .map(|(error, topic)| {
                tracing::warn!(event = "delivery_failed", topic, "{error}");
                error
            })
    }

    /// (offset, append time) of each partition's META.
    pub fn metas(&self, partitions: usize) -> Vec<(i64, i64)> {
        let mut metas = vec![(0, 0); partitions];
        self.with(|state| {
            for (number, offset, appended) in &state.metas {
                metas[*number] = (*offset, *appended);
            }
        });
        metas
    }
}

/// Serves delivery reports until nothing is in flight: commit and abort wait for them otherwise.
pub fn drain(producer: &BaseProducer<Deliveries>, patience: Duration) {
    let began = Monotonic::now();
    while producer.in_flight_count() > 0 && began.elapsed() < patience {
        producer.poll(Duration::from_millis(5));
    }
}
