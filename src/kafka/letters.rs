//! Reads a partition of the dead-letters topic: committed records only, without a group.

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::config::Config;
use crate::wire::record_bytes::Header;

use super::client;
use super::cluster::{Cluster, ClusterError, is_absence};
use super::native::{Fetched, PartitionQueue};

const FETCH_RECORDS_MAX: usize = 256;
const PAUSE: Duration = Duration::from_millis(5);

pub struct LetterReader<'a> {
    cluster: &'a Cluster,
    consumer: BaseConsumer,
    topic: String,
    timeout: Duration,
}

/// A record of the topic as it lies there.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    pub partition: u16,
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
}

impl<'a> LetterReader<'a> {
    /// Nothing that answers for `timeout` is a failure.
    pub fn new(
        cluster: &'a Cluster,
        config: &Config,
        timeout: Duration,
    ) -> Result<LetterReader<'a>, ClusterError> {
        let consumer = client::reader(config, "dead-letters")
            .create()
            .map_err(|error| ClusterError::Settings(error.to_string()))?;
        Ok(LetterReader {
            cluster,
            consumer,
            topic: config.topics.dead_letters.clone(),
            timeout,
        })
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> Result<u16, ClusterError> {
        let counts = self.cluster.partition_counts(&[&self.topic])?;
        let count = counts.get(&self.topic).copied();
        let count = count.and_then(|count| u16::try_from(count).ok());
        count.ok_or_else(|| {
            let reason = "is not there; make it with meterfold topics create".to_owned();
            self.failure(None, reason)
        })
    }

    /// Shows the records of a partition from an offset on (None: from the first) until what is its
    /// end now, or until `visit` breaks off. What comes meanwhile is not shown: a record that is sent
    /// again may be refused again.
    pub fn read<B>(
        &self,
        partition: u16,
        from: Option<i64>,
        mut visit: impl FnMut(Letter<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, ClusterError> {
        let (first, next) = self.cluster.watermarks(&self.topic, partition)?;
        let from = from.unwrap_or(first);
        if !(first..next).contains(&from) {
            return Ok(ControlFlow::Continue(()));
        }
        let mut queue = split(
            &self.consumer,
            &self.topic,
            partition,
            from,
            FETCH_RECORDS_MAX,
            self.timeout,
        )
        .map_err(|error| self.failed(&error))?;
        let mut silent_since = Monotonic::now();
        loop {
            let (mut is_at_end, mut flow, mut failure) = (false, ControlFlow::Continue(()), None);
            let count = queue.drain(|fetched| {
                match fetched {
                    Fetched::Record(message) => {
                        is_at_end |= message.offset >= next;
                        if !is_at_end && message.offset >= from {
                            let mut headers = Vec::new();
                            message.headers(|name, value| headers.push((name, value)));
                            flow = visit(Letter {
                                partition,
                                offset: message.offset,
                                key: message.key,
                                value: message.value,
                                headers: &headers,
                            });
                        }
                    }
                    Fetched::End { .. } => is_at_end = true,
                    Fetched::Error { code, text } => failure = Some((code.into(), text)),
                }
                match flow.is_break() || is_at_end {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                let code = error.rdkafka_error_code();
                failure = failure.or(code.map(|code| (code, error.to_string())));
            }
            if flow.is_break() || is_at_end {
                self.consumer
                    .unassign()
                    .map_err(|error| self.failed(&error))?;
                return Ok(flow);
            }
            // Absent brokers may come back in time.
            if let Some((code, text)) = failure.filter(|(code, _)| !is_absence(*code)) {
                return Err(self.failure(Some(code), text));
            }
            if count > 0 {
                silent_since = Monotonic::now();
            } else if silent_since.elapsed() > self.timeout {
                let code = RDKafkaErrorCode::OperationTimedOut;
                return Err(self.failure(Some(code), "no records come".to_owned()));
            } else {
                thread::sleep(PAUSE);
            }
        }
    }

    fn failed(&self, error: &KafkaError) -> ClusterError {
        self.failure(error.rdkafka_error_code(), error.to_string())
    }

    fn failure(&self, code: Option<RDKafkaErrorCode>, reason: String) -> ClusterError {
        let brokers = self.cluster.brokers().to_owned();
        let reason = format!("topic {}: {reason}", self.topic);
        ClusterError::of(brokers, self.timeout, "reading dead letters", code, reason)
    }
}

/// The queue of a partition, from an offset on. What was fetched before it was split is passed over
/// by the seek.
pub(super) fn split<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: u16,
    from: i64,
    records_max: usize,
    timeout: Duration,
) -> Result<PartitionQueue, KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, i32::from(partition), Offset::Offset(from))?;
    consumer.assign(&list)?;
    consumer.pause(&list)?;
    let queue = PartitionQueue::split(consumer, topic, partition, records_max);
    let queue = queue.ok_or(KafkaError::Seek("there is no queue".to_owned()))?;
    consumer.seek_partitions(list.clone(), timeout)?;
    consumer.resume(&list)?;
    Ok(queue)
}
