//! The log as evidence: committed records of any of our topics, read without a group and with an
//! identity of its own, so that production does not notice.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::billing::derived_event::DerivedKind;
use crate::config::{Config, Topics};
use crate::ports::evidence::{Evidence, EvidenceError, Records, Stretch, Topic};
use crate::wire::meta::Witness;

use super::client;
use super::cluster::{is_absence, is_refusal};
use super::input;
use super::letters::split;
use super::native::{Fetched, PartitionQueue};

/// Records that are fetched at a time, and how many bytes may wait for that.
const FETCH_RECORDS_MAX: usize = 2_048;
const PREFETCH_KBYTES: &str = "8192";
const PAUSE: Duration = Duration::from_millis(1);

pub struct KafkaEvidence {
    cluster: String,
    settings: ClientConfig,
    /// Reads uncommitted, so it is told high watermarks.
    asker: Arc<BaseConsumer>,
    topics: Topics,
    timeout: Duration,
}

/// Records of one topic and partition.
pub struct KafkaRecords {
    /// Its queue goes before the consumer. None: there is nothing to read.
    source: Option<Source>,
    topic: String,
    partition: u16,
    /// What stands for the topic in canonical bytes.
    index: u8,
    first: i64,
    /// The next offset to read, and where the stretch ends: at most the high watermark when this was
    /// opened.
    next: i64,
    end: i64,
    /// Canonical bytes of what was fetched, where each record ends, and how many are handed out.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    handed_out: usize,
    asker: Arc<BaseConsumer>,
    timeout: Duration,
}

struct Source {
    queue: PartitionQueue,
    consumer: BaseConsumer,
}

impl KafkaEvidence {
    /// Of the cluster with this id. Brokers that are silent for `timeout` are unreachable.
    pub fn new(
        config: &Config,
        cluster: &str,
        timeout: Duration,
    ) -> Result<KafkaEvidence, EvidenceError> {
        let mut settings = client::reader(config, "audit");
        settings.set("queued.max.messages.kbytes", PREFETCH_KBYTES);
        let mut uncommitted = settings.clone();
        uncommitted.set("isolation.level", "read_uncommitted");
        let asker = uncommitted
            .create()
            .map_err(|error| failed("client", &error))?;
        Ok(KafkaEvidence {
            cluster: cluster.to_owned(),
            settings,
            asker: Arc::new(asker),
            topics: config.topics.clone(),
            timeout,
        })
    }
}

impl Evidence for KafkaEvidence {
    type Records = KafkaRecords;

    fn cluster(&self) -> &str {
        &self.cluster
    }

    fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Input(0) => &self.topics.api_calls,
            Topic::Input(_) => self.topics.accounts.as_deref().unwrap_or_default(),
            Topic::Journal => &self.topics.journal,
            Topic::Derived(DerivedKind::CapReached) => &self.topics.cap_reached,
            Topic::Derived(DerivedKind::TokensDepleted) => &self.topics.tokens_depleted,
            Topic::Derived(DerivedKind::SwitchedToPostpay) => &self.topics.switched_to_postpay,
            Topic::Derived(DerivedKind::MonthlyInvoice) => &self.topics.monthly_invoice,
            Topic::DeadLetters => &self.topics.dead_letters,
            Topic::Changelog | Topic::Snapshot(_) => &self.topics.changelog,
        }
    }

    /// What stands beside the committed offset of the group.
    fn witness(&self, partition: u16) -> Result<Option<Witness>, EvidenceError> {
        let topic = self.name(Topic::Input(0));
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, i32::from(partition));
        let list = self
            .asker
            .committed_offsets(list, self.timeout)
            .map_err(|error| failed("the group's offsets", &error))?;
        let elements = list.elements();
        Ok(elements
            .first()
            .and_then(|element| element.metadata().parse().ok()))
    }

    /// The brokers check what they store.
    fn verify(&self, _partition: u16) -> Result<(), EvidenceError> {
        Ok(())
    }

    /// The changelog holds only the newest cells.
    fn snapshots(&self, _partition: u16) -> Vec<u64> {
        Vec::new()
    }

    fn open(
        &self,
        topic: Topic,
        partition: u16,
        stretch: Stretch,
    ) -> Result<KafkaRecords, EvidenceError> {
        let name = self.name(topic).to_owned();
        let (first, end) = self
            .asker
            .fetch_watermarks(&name, i32::from(partition), self.timeout)
            .map_err(|error| failed(&name, &error))?;
        let end = stretch.to.map_or(end, |to| to.min(end));
        let next = stretch.from.unwrap_or(first).clamp(first, end.max(first));
        let source = match next < end {
            true => Some(Source::open(
                &self.settings,
                &name,
                partition,
                next,
                self.timeout,
            )?),
            false => None,
        };
        let index = match topic {
            Topic::Input(index) => index,
            _ => 0,
        };
        Ok(KafkaRecords {
            source,
            topic: name,
            partition,
            index,
            first,
            next,
            end,
            bytes: Vec::new(),
            ends: Vec::new(),
            handed_out: 0,
            asker: Arc::clone(&self.asker),
            timeout: self.timeout,
        })
    }
}

impl Source {
    fn open(
        settings: &ClientConfig,
        topic: &str,
        partition: u16,
        from: i64,
        timeout: Duration,
    ) -> Result<Source, EvidenceError> {
        let consumer: BaseConsumer = settings.create().map_err(|error| failed(topic, &error))?;
        let queue = split(
            &consumer,
            topic,
            partition,
            from,
            FETCH_RECORDS_MAX,
            timeout,
        )
        .map_err(|error| failed(topic, &error))?;
        Ok(Source { queue, consumer })
    }
}

impl Records for KafkaRecords {
    fn first(&self) -> i64 {
        self.first
    }

    fn end(&self) -> i64 {
        self.end
    }

    fn next(&mut self) -> Result<Option<&[u8]>, EvidenceError> {
        if self.handed_out == self.ends.len() {
            self.fetch()?;
        }
        let Some(end) = self.ends.get(self.handed_out) else {
            return Ok(None);
        };
        let start = match self.handed_out.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0,
        };
        self.handed_out += 1;
        Ok(Some(&self.bytes[start..*end]))
    }

    fn has_grown(&mut self) -> Result<bool, EvidenceError> {
        let (_, end) = self
            .asker
            .fetch_watermarks(&self.topic, i32::from(self.partition), self.timeout)
            .map_err(|error| failed(&self.topic, &error))?;
        Ok(end > self.end)
    }
}

impl KafkaRecords {
    /// Waits for more records, or for the end.
    fn fetch(&mut self) -> Result<(), EvidenceError> {
        self.bytes.clear();
        self.ends.clear();
        self.handed_out = 0;
        let KafkaRecords {
            source,
            topic,
            index,
            next,
            end,
            bytes,
            ends,
            timeout,
            ..
        } = self;
        let Some(source) = source else {
            return Ok(());
        };
        let silent_since = Monotonic::now();
        while ends.is_empty() && *next < *end {
            let mut failure = None;
            source.queue.drain(|fetched| {
                match fetched {
                    // What came after this was opened is nobody's question.
                    Fetched::Record(message)
                        if message.offset < *next || message.offset >= *end =>
                    {
                        *next = (*next).max(message.offset);
                    }
                    Fetched::Record(message) => {
                        *next = message.offset + 1;
                        ends.push(input::append(bytes, *index, &message).end);
                    }
                    Fetched::End { next_offset } => *next = (*next).max(next_offset),
                    Fetched::Error { code, text } => failure = Some((code.into(), text)),
                }
                input::enough(bytes)
            });
            if let Some(Err(error)) = source.consumer.poll(Duration::ZERO) {
                let code = error.rdkafka_error_code();
                failure = failure.or(code.map(|code| (code, error.to_string())));
            }
            // Absent brokers may come back in time.
            if let Some((code, text)) = failure.filter(|(code, _)| !is_absence(*code)) {
                let text = format!("{topic}: {text}");
                return Err(match is_refusal(code) {
                    true => EvidenceError::Denied(text),
                    false => EvidenceError::Failed(text),
                });
            }
            if silent_since.elapsed() > *timeout {
                return Err(EvidenceError::Unreachable(format!(
                    "{topic}: no records come at offset {next} of {end} for {} s: brokers are away, or \
                     a transaction that is open hides the end; try again, or give a longer --timeout",
                    timeout.as_secs()
                )));
            }
            if ends.is_empty() && *next < *end {
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }
}

fn failed(what: &str, error: &KafkaError) -> EvidenceError {
    let text = format!("{what}: {error}");
    match error.rdkafka_error_code() {
        Some(code) if is_refusal(code) => EvidenceError::Denied(text),
        Some(code) if is_absence(code) => EvidenceError::Unreachable(text),
        _ => EvidenceError::Failed(text),
    }
}
