//! Questions to a cluster: its id, topics, settings, watermarks; and the making of topics.
//!
//! What fails is told apart by what helps: a broker that cannot be reached may come back, a user
//! who is refused stays refused.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use thiserror::Error;

use crate::config::Config;

use super::client;
use super::describe::{Described, GroupDescription, describe_group, describe_topics};

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClusterError {
    /// Exit code 5 of a command; `run` waits.
    #[error(
        "{brokers}: no broker answers within {seconds} s{reason}; check kafka.\"bootstrap.servers\" and the network"
    )]
    Unreachable {
        brokers: String,
        seconds: u64,
        /// Empty, or in brackets what the client saw last.
        reason: String,
    },
    /// Exit code 6.
    #[error(
        "{brokers}: access is refused: {reason}; check the credentials of [kafka] and the rights of their user"
    )]
    Refused { brokers: String, reason: String },
    /// Exit code 4: the client cannot be made of these settings.
    #[error("configuration: [kafka]: {0}; change the property that it names")]
    Settings(String),
    /// Exit code 4: the brokers refuse to make a topic like this.
    #[error(
        "topic {topic}: cannot be made: {reason}; change topics.replication_factor (no more than there are brokers) or topics.partitions, or the policy of the brokers"
    )]
    Unmakeable { topic: String, reason: String },
    /// Anything else: exit code 1.
    #[error("{brokers}: {question}: {reason}")]
    Failed {
        brokers: String,
        question: &'static str,
        reason: String,
    },
}

impl ClusterError {
    /// By what helps, of an error that a client gave for `question`.
    pub fn of(
        brokers: String,
        timeout: Duration,
        question: &'static str,
        code: Option<RDKafkaErrorCode>,
        reason: String,
    ) -> ClusterError {
        match code {
            Some(code) if is_refusal(code) => ClusterError::Refused {
                brokers,
                reason: format!("{question}: {reason}"),
            },
            Some(code) if is_absence(code) => unreachable(&brokers, timeout, Some(reason)),
            _ => ClusterError::Failed {
                brokers,
                question,
                reason,
            },
        }
    }
}

/// Settings of a topic by name, as in force.
pub type TopicSettings = BTreeMap<String, String>;

/// A cluster that has answered.
pub struct Cluster {
    /// Says why nothing is answered, which the admin client keeps to itself.
    probe: BaseProducer<Listener>,
    admin: AdminClient<DefaultClientContext>,
    brokers: String,
    timeout: Duration,
    id: String,
}

impl Cluster {
    /// Waits until a broker answers. Each later question has `timeout` too.
    pub fn connect(config: &Config, timeout: Duration) -> Result<Cluster, ClusterError> {
        let settings = client::admin(config);
        let unmade = |error: KafkaError| ClusterError::Settings(error.to_string());
        let probe: BaseProducer<Listener> = settings
            .create_with_context(Listener::default())
            .map_err(unmade)?;
        let brokers = config
            .kafka
            .get("bootstrap.servers")
            .unwrap_or_default()
            .to_owned();
        let id = wait_for_id(&probe, &brokers, timeout)?;
        let admin = settings.create().map_err(unmade)?;
        Ok(Cluster {
            probe,
            admin,
            brokers,
            timeout,
            id,
        })
    }

    /// What `META` keeps as a part of its fingerprint (`engine.md` 5).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// For command lines that mend something.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Ids, partitions and rights, in the order of `topics`.
    pub fn describe(&self, topics: &[&str]) -> Result<Vec<Described>, ClusterError> {
        hear(&self.probe);
        describe_topics(self.probe.client(), topics, self.timeout)
            .map_err(|code| self.error("describing topics", code, code.to_string()))
    }

    /// Members, state and rights of a group; None: there is none of the name. Waits for a
    /// coordinator that is only about to be one.
    pub fn group(&self, name: &str) -> Result<Option<GroupDescription>, ClusterError> {
        use RDKafkaErrorCode as Code;
        const PAUSE: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + self.timeout;
        loop {
            hear(&self.probe);
            let code = match describe_group(self.probe.client(), name, self.timeout) {
                Ok(group) => return Ok(group),
                Err(code) => code,
            };
            let is_coming = matches!(
                code,
                Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
            );
            let reason = format!("group {name}: {code}");
            if !is_coming {
                return Err(self.error("describing the group", code, reason));
            }
            if Instant::now() >= deadline {
                return Err(unreachable(&self.brokers, self.timeout, Some(reason)));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Has a producer of this application made ready for transactions, as a worker's is: shows the
    /// right to them, their coordinator, and whether the broker allows our time-out. Its identity is
    /// nobody else's, so nobody is fenced, and no transaction begins.
    pub fn check_transactions(&self, config: &Config) -> Result<(), ClusterError> {
        let unmade = |error: KafkaError| ClusterError::Settings(error.to_string());
        let mut settings = client::worker_producer(config, 0);
        settings.set(
            "transactional.id",
            format!("{}-validate", config.application),
        );
        let producer: BaseProducer<Listener> = settings
            .create_with_context(Listener::default())
            .map_err(unmade)?;
        let Err(error) = producer.init_transactions(self.timeout) else {
            return Ok(());
        };
        let brokers = self.brokers.clone();
        let code = match &error {
            KafkaError::Transaction(error) => Some(error.code()),
            error => error.rdkafka_error_code(),
        };
        let reason = match code {
            Some(RDKafkaErrorCode::InvalidTransactionTimeout) => {
                return Err(ClusterError::Settings(format!(
                    "transaction.timeout.ms is above what {brokers} allow (transaction.max.timeout.ms)"
                )));
            }
            Some(code) => format!("{}-: {code}", config.application),
            None => error.to_string(),
        };
        let question = "initialising transactions of transactional id";
        Err(ClusterError::of(
            brokers,
            self.timeout,
            question,
            code,
            reason,
        ))
    }

    /// The ids of topics that there are (`engine.md` 5, `TOPIC_REPLACED`).
    pub fn topic_ids(&self, topics: &[&str]) -> Result<BTreeMap<String, [u8; 16]>, ClusterError> {
        let described = self.describe(topics)?;
        let found = topics.iter().zip(described);
        Ok(found
            .filter_map(|(name, described)| Some(((*name).to_owned(), described.ok()?.id)))
            .collect())
    }

    /// How many partitions the topics have that there are (`PARTITIONS_CHANGED`).
    pub fn partition_counts(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, usize>, ClusterError> {
        let described = self.describe(topics)?;
        let found = topics.iter().zip(described);
        Ok(found
            .filter_map(|(name, described)| {
                Some(((*name).to_owned(), described.ok()?.partitions.len()))
            })
            .collect())
    }

    /// Log start and high watermark of a partition.
    pub fn watermarks(&self, topic: &str, partition: u16) -> Result<(i64, i64), ClusterError> {
        hear(&self.probe);
        self.probe
            .client()
            .fetch_watermarks(topic, i32::from(partition), self.timeout)
            .map_err(|error| self.kafka_error("asking for offsets", &error))
    }

    /// Settings in force, by topic.
    pub fn settings(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, TopicSettings>, ClusterError> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let question = "reading settings of topics";
        let specifiers: Vec<ResourceSpecifier<'_>> = topics
            .iter()
            .map(|topic| ResourceSpecifier::Topic(topic))
            .collect();
        let asked = self.admin.describe_configs(&specifiers, &self.options());
        let answers = wait(asked).map_err(|error| self.kafka_error(question, &error))?;
        let mut settings = BTreeMap::new();
        for answer in answers {
            let answer = answer.map_err(|code| self.error(question, code, code.to_string()))?;
            if let OwnedResourceSpecifier::Topic(topic) = answer.specifier {
                let entries = answer.entries.into_iter();
                let entries = entries.filter_map(|entry| Some((entry.name, entry.value?)));
                settings.insert(topic, entries.collect());
            }
        }
        Ok(settings)
    }

    /// Makes topics. Returns whether each was made; false: it was there by now.
    pub fn create(&self, topics: &[NewTopic<'_>]) -> Result<Vec<bool>, ClusterError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let made = self.admin.create_topics(topics, &self.options());
        let question = "making topics";
        let answers = wait(made).map_err(|error| self.kafka_error(question, &error))?;
        answers
            .into_iter()
            .map(|answer| match answer {
                Ok(_) => Ok(true),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(false),
                Err((topic, code)) if is_unmakeable(code) => {
                    let reason = code.to_string();
                    Err(ClusterError::Unmakeable { topic, reason })
                }
                Err((topic, code)) => Err(self.error(question, code, format!("{topic}: {code}"))),
            })
            .collect()
    }

    /// Until every partition of these topics has a leader: brokers hear of a new topic one after
    /// another.
    pub fn wait_for(&self, topics: &[&str]) -> Result<(), ClusterError> {
        const PAUSE: Duration = Duration::from_millis(50);
        let deadline = Instant::now() + self.timeout;
        loop {
            let described = self.describe(topics)?;
            let is_led = |found: &Described| {
                let partitions = found.as_ref().map(|found| &found.partitions);
                partitions.is_ok_and(|all| all.iter().all(|partition| partition.has_leader))
            };
            if described.iter().all(is_led) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(ClusterError::Failed {
                    brokers: self.brokers.clone(),
                    question: "waiting for new topics",
                    reason: "not all have leaders; ask again with topics check".to_owned(),
                });
            }
            thread::sleep(PAUSE);
        }
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout))
    }

    fn kafka_error(&self, question: &'static str, error: &KafkaError) -> ClusterError {
        match error.rdkafka_error_code() {
            Some(code) => self.error(question, code, code.to_string()),
            None => ClusterError::Failed {
                brokers: self.brokers.clone(),
                question,
                reason: error.to_string(),
            },
        }
    }

    fn error(
        &self,
        question: &'static str,
        code: RDKafkaErrorCode,
        reason: String,
    ) -> ClusterError {
        let brokers = self.brokers.clone();
        hear(&self.probe);
        if let Some(reason) = self.probe.context().refusal() {
            return ClusterError::Refused { brokers, reason };
        }
        ClusterError::of(brokers, self.timeout, question, Some(code), reason)
    }
}

/// Asks in slices, so that a refusal ends the wait.
fn wait_for_id(
    probe: &BaseProducer<Listener>,
    brokers: &str,
    timeout: Duration,
) -> Result<String, ClusterError> {
    const SLICE: Duration = Duration::from_millis(200);
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(id) = probe.client().fetch_cluster_id(SLICE.min(left)) {
            return Ok(id);
        }
        hear(probe);
        if let Some(reason) = probe.context().refusal() {
            let brokers = brokers.to_owned();
            return Err(ClusterError::Refused { brokers, reason });
        }
        if left.is_zero() {
            return Err(unreachable(brokers, timeout, probe.context().last()));
        }
    }
}

/// Takes in what the client has to say; with `debug` contexts that is much.
fn hear(probe: &BaseProducer<Listener>) {
    const EVENTS_MAX: usize = 1_024;
    for _ in 0..EVENTS_MAX {
        probe.poll(Duration::ZERO);
    }
}

fn unreachable(brokers: &str, timeout: Duration, reason: Option<String>) -> ClusterError {
    ClusterError::Unreachable {
        brokers: brokers.to_owned(),
        seconds: timeout.as_secs(),
        reason: reason.map_or_else(String::new, |reason| format!(" ({reason})")),
    }
}

/// Whether a wrong or missing right is the cause: of no use to try again.
pub fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SSL
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

/// Whether brokers are away, or have been too slow.
pub fn is_absence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::BrokerNotAvailable
            | Code::NetworkException
    )
}

fn is_unmakeable(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::InvalidReplicationFactor
            | Code::InvalidPartitions
            | Code::InvalidConfig
            | Code::InvalidTopic
            | Code::PolicyViolation
    )
}

/// Remembers what the client saw.
#[derive(Default)]
struct Listener {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    refusal: Option<String>,
    last: Option<String>,
}

impl Listener {
    fn refusal(&self) -> Option<String> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .refusal
            .clone()
    }

    fn last(&self) -> Option<String> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last
            .clone()
    }
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = reason.replace('\n', " ");
        match error.rdkafka_error_code() {
            Some(code) if is_refusal(code) => seen.refusal = Some(reason),
            // That all are down says less than why the last one was.
            Some(RDKafkaErrorCode::AllBrokersDown) => {}
            _ => seen.last = Some(reason),
        }
    }
}

impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Runs one of rdkafka's futures, which its own thread wakes, on this thread.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
