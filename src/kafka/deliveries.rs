//! What became of each record of a transaction, as its delivery reports tell.
//!
//! `send` and `flush` of a fenced producer say that all is well; only these reports do not.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use rdkafka::statistics::Statistics;

use crate::telemetry::Telemetry;
use crate::telemetry::labels::Step;

use super::client_errors::{self, ClientErrors};
use super::statistics;

/// What delivery reports tell; they are served on the worker's own thread.
pub struct Deliveries {
    telemetry: Telemetry,
    /// Of the client, in what it tells of itself.
    name: String,
    errors: ClientErrors,
    /// An error that is about to be told a second time.
    told_once: Mutex<Option<(KafkaError, String)>>,
    state: Mutex<Delivered>,
}

#[derive(Default)]
struct Delivered {
    failure: Option<(KafkaError, String)>,
    /// (number of the staged partition, offset, append time) of each META.
    metas: Vec<(usize, i64, i64)>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        client_errors::log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.is_echo(&error, reason) {
            return;
        }
        if let Some(unsaid) = self.errors.hear(&error, reason) {
            tracing::warn!(event = "producer_error", unsaid, "{error}: {reason}");
        }
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
            errors: ClientErrors::new(telemetry.clone(), Step::Produce),
            told_once: Mutex::default(),
            telemetry,
            name,
            state: Mutex::default(),
        }
    }

    /// rdkafka tells an error of a producer twice in a row: when it takes it from the client, and
    /// when the producer looks at what was taken.
    fn is_echo(&self, error: &KafkaError, reason: &str) -> bool {
        let mut told_once = self
            .told_once
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let told = (error.clone(), reason.to_owned());
        if told_once.as_ref() == Some(&told) {
            *told_once = None;
            return true;
        }
        *told_once = Some(told);
        false
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Format;
    use rdkafka::ClientConfig;
    use std::net::TcpListener;

    /// What rdkafka tells, in order.
    #[derive(Default)]
    struct Told(Mutex<Vec<(KafkaError, String)>>);

    impl ClientContext for Told {
        fn error(&self, error: KafkaError, reason: &str) {
            self.0.lock().unwrap().push((error, reason.to_owned()));
        }
    }

    impl ProducerContext for Told {
        type DeliveryOpaque = ();
        fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
    }

    /// Once rdkafka tells each error once, nothing is an echo any more.
    #[test]
    fn an_error_of_a_producer_counts_once() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap().to_string();
        drop(nobody);
        let producer: BaseProducer<Told> = ClientConfig::new()
            .set("bootstrap.servers", address)
            .create_with_context(Told::default())
            .unwrap();
        let told = || producer.context().0.lock().unwrap().clone();
        let began = Monotonic::now();
        while told().len() < 4 {
            producer.poll(Duration::from_millis(100));
            assert!(began.elapsed() < Duration::from_secs(30), "{:?}", told());
        }
        let told = told();
        let (pairs, rest) = told.as_chunks::<2>();
        assert!(rest.is_empty(), "{told:?}");
        assert!(
            pairs.iter().all(|[first, second]| first == second),
            "{told:?}"
        );

        let telemetry = Telemetry::unwatched();
        let deliveries = Deliveries::new(telemetry.clone(), String::new());
        for (error, reason) in &told {
            deliveries.error(error.clone(), reason);
        }
        let count = format!(
            r#"meterfold_errors_total{{class="retriable",step="produce"}} {}"#,
            pairs.len()
        );
        let metrics = telemetry.render(Format::Classic);
        assert!(
            metrics.lines().any(|line| line == count),
            "{count}\n{metrics}"
        );
    }
}
