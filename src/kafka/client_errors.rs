//! What the clients of a worker tell of their own errors: the same one of a client is logged once a
//! minute at most.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::telemetry::Telemetry;
use crate::telemetry::labels::Step;

use super::error_class;

/// Between two lines about the same error.
const INTERVAL: Duration = Duration::from_secs(60);
/// Errors that are told apart; any beyond are one.
const KINDS_MAX: usize = 64;

/// The errors of one client, each of which is counted.
pub struct ClientErrors {
    telemetry: Telemetry,
    step: Step,
    said: Said,
}

/// What was logged, by what the error is and what it is about.
#[derive(Default)]
struct Said(Mutex<BTreeMap<String, Last>>);

struct Last {
    at: Monotonic,
    /// Times that it came since, and was not logged.
    unsaid: u64,
}

impl ClientErrors {
    /// `step` is what the client is for, in the metric.
    pub fn new(telemetry: Telemetry, step: Step) -> ClientErrors {
        ClientErrors {
            telemetry,
            step,
            said: Said::default(),
        }
    }

    /// Counts an error. Some: it is to be logged, and came so many times since it last was.
    pub fn hear(&self, error: &KafkaError, reason: &str) -> Option<u64> {
        let class = error_class::of_client(error.rdkafka_error_code());
        self.telemetry.error(self.step, class);
        self.said.admit(error, reason, Monotonic::now())
    }
}

impl Said {
    /// Some: it is to be logged, and came so many times since it last was.
    fn admit(&self, error: &KafkaError, reason: &str, now: Monotonic) -> Option<u64> {
        // It begins with the broker, if there is one.
        let about = reason.split(": ").next().unwrap_or_default();
        let mut kind = format!("{error} {about}");
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= KINDS_MAX && !said.contains_key(&kind) {
            kind.clear();
        }
        let Some(before) = said.get_mut(&kind) else {
            said.insert(kind, Last { at: now, unsaid: 0 });
            return Some(0);
        };
        if now.duration_since(before.at) < INTERVAL {
            before.unsaid += 1;
            return None;
        }
        before.at = now;
        Some(std::mem::take(&mut before.unsaid))
    }
}

/// Of the client that only asks. Its errors are not counted: what it meets the worker's other clients mostly
/// meet too.
#[derive(Default)]
pub struct Asking {
    said: Said,
}

impl ClientContext for Asking {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(unsaid) = self.said.admit(&error, reason, Monotonic::now()) {
            tracing::warn!(event = "asker_error", unsaid, "{error}: {reason}");
        }
    }
}

impl ConsumerContext for Asking {}

/// Log lines of a client whose errors are heard: a connection that failed comes as one too.
pub fn log(level: RDKafkaLogLevel, facility: &str, text: &str) {
    let is_error = level as i32 <= RDKafkaLogLevel::Error as i32;
    if facility != "FAIL" || !is_error {
        DefaultClientContext.log(level, facility, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Format;
    use rdkafka::error::RDKafkaErrorCode;
    use std::sync::Arc;

    const DOWN: KafkaError = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
    const ALL_DOWN: KafkaError = KafkaError::Global(RDKafkaErrorCode::AllBrokersDown);

    #[test]
    fn each_error_is_counted_and_said_once_a_minute() {
        let telemetry = Telemetry::unwatched();
        let errors = ClientErrors::new(telemetry.clone(), Step::Produce);
        let refused = "kafka-1:9092/1: Connect to 10.0.0.1 failed: refused (after 3ms)";
        let again = "kafka-1:9092/1: Connect to 10.0.0.1 failed: refused (after 7ms)";
        assert_eq!(errors.hear(&DOWN, refused), Some(0));
        assert_eq!(errors.hear(&DOWN, again), None);
        assert_eq!(errors.hear(&DOWN, "kafka-2:9092/2: refused"), Some(0));
        assert_eq!(errors.hear(&ALL_DOWN, "2/2 brokers are down"), Some(0));
        let metrics = telemetry.render(Format::Classic);
        let count = r#"meterfold_errors_total{class="retriable",step="produce"} 4"#;
        assert!(metrics.lines().any(|line| line == count), "{metrics}");

        let after = |seconds| Monotonic::now() + Duration::from_secs(seconds);
        assert_eq!(errors.said.admit(&DOWN, again, after(59)), None);
        assert_eq!(errors.said.admit(&DOWN, again, after(61)), Some(2));
        assert_eq!(errors.said.admit(&DOWN, again, after(62)), None);
    }

    #[test]
    fn errors_of_who_only_asks_are_said_once_a_minute() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(Arc::new(file.reopen().unwrap()))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let asking = Asking::default();
            asking.error(DOWN, "kafka-1:9092/1: refused (after 3ms)");
            asking.error(DOWN, "kafka-1:9092/1: refused (after 7ms)");
            asking.error(ALL_DOWN, "2/2 brokers are down");
        });
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines.iter().all(|line| line.contains("asker_error")));
        assert!(lines[0].contains("kafka-1:9092/1: refused (after 3ms)"));
        assert!(lines[1].contains("2/2 brokers are down"));
    }

    #[test]
    fn memory_is_bounded() {
        let errors = ClientErrors::new(Telemetry::unwatched(), Step::Join);
        let said = (0..1_000).filter(|broker| {
            let reason = format!("{broker}: refused");
            errors.hear(&DOWN, &reason).is_some()
        });
        assert_eq!(said.count(), KINDS_MAX + 1);
        assert_eq!(errors.said.0.lock().unwrap().len(), KINDS_MAX + 1);
    }
}
