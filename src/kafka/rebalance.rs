//! News of ownership: the callback only keeps them, the worker acts on them after the poll that
//! brought them (`engine.md` 6).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka_sys::rd_kafka_resp_err_t as code;

use crate::telemetry::Telemetry;
use crate::telemetry::labels::Step;

use super::client_errors::{self, ClientErrors};
use super::statistics::{self, Fetching};

/// What the group decided, in the order of its decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Assign(Vec<u16>),
    Revoke(Vec<u16>),
}

pub struct Ownership {
    telemetry: Telemetry,
    /// Of the client, in what it tells of itself.
    name: String,
    errors: ClientErrors,
    fetching: Mutex<BTreeMap<(String, u16), Fetching>>,
    news: Mutex<VecDeque<News>>,
    /// The consumer is being closed: nobody will act on news any more.
    is_closing: AtomicBool,
    /// No broker was connected when the client last looked.
    is_away: AtomicBool,
    /// The last error was that no new token is to be had.
    is_token_missing: AtomicBool,
}

impl Ownership {
    pub fn new(telemetry: Telemetry, name: String) -> Ownership {
        Ownership {
            errors: ClientErrors::new(telemetry.clone(), Step::Join),
            telemetry,
            name,
            fetching: Mutex::default(),
            news: Mutex::default(),
            is_closing: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            is_token_missing: AtomicBool::new(false),
        }
    }

    pub fn next(&self) -> Option<News> {
        self.lock().pop_front()
    }

    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    pub fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    /// Whether the error that the last poll gave back was that no new token is to be had: the old one
    /// goes on until it ends, and the client asks again every ten seconds. The code alone does not tell
    /// it from a refusal by the brokers.
    pub fn is_token_missing(&self) -> bool {
        self.is_token_missing.load(Ordering::Relaxed)
    }

    /// How a partition was fetched when the client last told of itself.
    pub fn fetching(&self, topic: &str, partition: u16) -> Fetching {
        let fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        let found = fetching.get(&(topic.to_owned(), partition));
        found.copied().unwrap_or_default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Ownership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        client_errors::log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(unsaid) = self.errors.hear(&error, reason) {
            tracing::warn!(event = "consumer_error", unsaid, "{error}: {reason}");
        }
        let is_token_missing = reason.starts_with("Failed to acquire SASL OAUTHBEARER token");
        self.is_token_missing
            .store(is_token_missing, Ordering::Relaxed);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.set_away(true);
        }
    }

    fn stats(&self, statistics: Statistics) {
        let figures = statistics::figures(&statistics);
        self.telemetry.client_told(&self.name, figures);
        if statistics::is_alone(&statistics) {
            self.set_away(true);
        }
        let fetching = statistics::fetching(&statistics);
        *self.fetching.lock().unwrap_or_else(PoisonError::into_inner) = fetching;
    }
}

impl ConsumerContext for Ownership {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, found: code, list: &mut TopicPartitionList) {
        if self.is_closing.load(Ordering::Acquire) {
            let answered = match found {
                code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => consumer.incremental_assign(list),
                _ => consumer.incremental_unassign(list),
            };
            if let Err(error) = answered {
                tracing::debug!(event = "rebalance_at_close", "{error}");
            }
            return;
        }
        let elements = list.elements();
        let partitions = elements
            .iter()
            .filter_map(|it| u16::try_from(it.partition()).ok());
        let partitions = partitions.collect();
        self.lock().push_back(match found {
            code::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => News::Assign(partitions),
            _ => News::Revoke(partitions),
        });
    }
}
