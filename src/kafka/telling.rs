//! What a worker on Kafka tells those who watch: refusals, fences, and what is known of its inputs.

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::ports::log::{LogError, Prospect};
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{ErrorClass, FencedBy, Step};

use super::input::Input;
use super::log::KafkaLog;
use super::native;
use super::rebalance::Ownership;

impl KafkaLog {
    /// Counts a refusal, which ends the worker.
    pub(super) fn denied(&self, step: Step, text: String) -> LogError {
        self.telemetry.error(step, ErrorClass::Auth);
        LogError::Denied(text)
    }

    pub(super) fn restoring<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        result.map_err(|error| match error {
            LogError::Denied(text) => self.denied(Step::Restore, text),
            other => other,
        })
    }

    /// Each input of a partition, without asking anybody.
    ///
    /// The client forgets a topic's ends when brokers that stop tell it that the topic has no leader.
    pub(super) fn known_of(&self, partition: u16) -> Vec<Prospect> {
        let ownership = self.consumer.context();
        let inputs = self.owned.get(&partition).map(|owned| &owned.inputs);
        let prospect = |input: &Input| {
            let fetching = ownership.fetching(&input.topic, partition);
            let offsets = native::last_known_ends(&self.consumer, &input.topic, partition);
            Prospect {
                offsets,
                unstable: fetching.unstable,
                waiting_since_millis: oldest_millis(input),
                is_cut_off: offsets.is_none() || fetching.is_cut_off || ownership.is_away(),
            }
        };
        let inputs = inputs.map(|inputs| inputs.inputs.iter().map(prospect).collect());
        inputs.unwrap_or_default()
    }
}

fn oldest_millis(input: &Input) -> Option<i64> {
    Some(input.head()?.decoded.recorded?.millis())
}

/// Why the client can do nothing any more; None: it can.
pub(super) fn fatal(consumer: &BaseConsumer<Ownership>, telemetry: &Telemetry) -> Option<LogError> {
    use rdkafka_sys::rd_kafka_resp_err_t as code;
    let (found, text) = native::fatal_error(consumer.client())?;
    let (class, error) = match found {
        code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID => {
            telemetry.fenced(FencedBy::Member);
            (ErrorClass::Fenced, LogError::Replaced(text))
        }
        code::RD_KAFKA_RESP_ERR_UNRELEASED_INSTANCE_ID => {
            (ErrorClass::Fenced, LogError::Unreleased(text))
        }
        _ => {
            let text = format!("consumer: {text}");
            (ErrorClass::Fatal, LogError::Failed(text))
        }
    };
    telemetry.error(Step::Join, class);
    Some(error)
}
