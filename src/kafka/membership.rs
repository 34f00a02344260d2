//! A worker's place in the group: what it is given, what is taken from it, and what it may commit
//! as (`engine.md` 6).
//!
//! The inputs beside the usage topic follow it: the group subscribes to that alone, and the worker
//! adds their partitions of the same number.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::ports::log::{Happening, LogError};
use crate::wire::kafka_record::{RecordDecoder, RecordRules};

use super::input::{FETCH_RECORDS_MAX, Inputs};
use super::log::{ASK_TIMEOUT, KafkaLog, Owned};
use super::native::{GroupMetadata, PartitionQueue};

/// Brokers that were all away are asked this often at most.
const AWAY_ASK_INTERVAL: Duration = Duration::from_secs(1);

impl KafkaLog {
    pub(super) fn assign(&mut self, partitions: Vec<u16>) -> Result<Happening, LogError> {
        let failed = |what: &str, error: KafkaError| LogError::Failed(format!("{what}: {error}"));
        let list = self.list(&partitions, Offset::Beginning)?;
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| failed("assign", error))?;
        if !partitions.is_empty() {
            self.consumer
                .pause(&list)
                .map_err(|error| failed("pause", error))?;
        }
        for partition in &partitions {
            let rules = RecordRules {
                partition: *partition,
                ..self.rules
            };
            let mut decoder = RecordDecoder::new(rules, Arc::clone(&self.schemas));
            self.schemata.teach(&mut decoder);
            let mut inputs = Inputs::new(*partition, &self.topics, decoder, self.is_record_time);
            for input in &mut inputs.inputs {
                let queue = PartitionQueue::split(
                    &self.consumer,
                    &input.topic,
                    *partition,
                    FETCH_RECORDS_MAX,
                );
                match queue {
                    Some(queue) => input.attach(queue),
                    None => {
                        let topic = &input.topic;
                        let text =
                            format!("{topic}: the queue of partition {partition} is not there");
                        return Err(LogError::Failed(text));
                    }
                }
            }
            self.owned.insert(
                *partition,
                Owned {
                    inputs,
                    is_begun: false,
                    is_held: false,
                    wake_at: None,
                    idle_asked_at: None,
                    clock_moved_millis: 0,
                },
            );
        }
        tracing::info!(event = "assigned", "assigned partitions {partitions:?}");
        Ok(Happening::Assigned(partitions))
    }

    pub(super) fn revoke(&mut self, partitions: Vec<u16>) -> Result<Happening, LogError> {
        if partitions.is_empty() {
            let list = TopicPartitionList::new();
            self.unassign(&list)?;
            return Ok(Happening::Idle);
        }
        self.unreleased.clone_from(&partitions);
        self.is_revoking = true;
        Ok(match self.consumer.assignment_lost() {
            true => {
                tracing::warn!(event = "lost", "partitions {partitions:?} are lost");
                Happening::Lost(partitions)
            }
            false => {
                tracing::info!(event = "revoked", "revoked partitions {partitions:?}");
                Happening::Revoked(partitions)
            }
        })
    }

    /// Whether all brokers are away: the client says so when it loses the last one, and whether one
    /// is back is asked once a second.
    pub(super) fn look_whether_away(&mut self) -> bool {
        let ownership = self.consumer.context();
        if !ownership.is_away() {
            return false;
        }
        let is_recent = |at: Monotonic| at.elapsed() < AWAY_ASK_INTERVAL;
        if !self.away_asked_at.is_some_and(is_recent) {
            let answer = self
                .asker
                .fetch_metadata(Some(&self.topics[0]), ASK_TIMEOUT);
            ownership.set_away(answer.is_err());
            self.away_asked_at = Some(Monotonic::now());
        }
        ownership.is_away()
    }

    /// The group knows this worker's identity under another member. After brokers were away for a
    /// session this may be the worker itself: it joined anew while a request of its old
    /// membership was still on its way. So soon after it is no proof of a rival.
    pub(super) fn fenced(&self, text: String) -> LogError {
        let is_recent = |at: Monotonic| at.elapsed() < 2 * self.session_timeout;
        match self.consumer.context().is_away() || self.away_asked_at.is_some_and(is_recent) {
            true => LogError::Evicted(text),
            false => LogError::Fenced(text),
        }
    }

    pub(super) fn unassign(&self, list: &TopicPartitionList) -> Result<(), LogError> {
        self.consumer
            .incremental_unassign(list)
            .map_err(|error| LogError::Failed(format!("unassign: {error}")))
    }

    pub(super) fn list(
        &self,
        partitions: &[u16],
        offset: Offset,
    ) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            for topic in &self.topics {
                list.add_partition_offset(topic, i32::from(*partition), offset)
                    .map_err(|error| LogError::Failed(format!("{topic}: {error}")))?;
            }
        }
        Ok(list)
    }

    /// s0: who this worker is in the group, before it folds anything of a commit.
    pub(super) fn capture(&mut self) {
        if self.captured.is_none() && !self.consumer.assignment_lost() {
            self.captured = GroupMetadata::of(&self.consumer).filter(GroupMetadata::is_fencing);
            if self.consumer.assignment_lost() {
                self.captured = None;
            }
        }
    }

    /// The metadata to commit with. After a revocation the generation has moved: it is taken again,
    /// and used only if this is still the same member.
    pub(super) fn metadata(&mut self) -> Option<GroupMetadata> {
        if let Some(group) = &self.group {
            return GroupMetadata::of_nobody(group);
        }
        self.capture();
        let captured = self.captured.take()?;
        if !self.is_revoking {
            return Some(captured);
        }
        let now = GroupMetadata::of(&self.consumer).filter(GroupMetadata::is_fencing)?;
        let is_same = now.member() == captured.member()
            && now.generation() >= captured.generation()
            && !self.consumer.assignment_lost();
        is_same.then_some(now)
    }
}
