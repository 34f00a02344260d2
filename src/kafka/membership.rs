//! A worker's place in the group: what it is given, what is taken from it, and what it may commit
//! as (`engine.md` 6).
//!
//! The inputs beside the usage topic follow it: the group subscribes to that alone, and the worker
//! adds their partitions of the same number.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::ports::log::{Happening, LogError};
use crate::telemetry::labels::Rebalance;
use crate::wire::kafka_record::{RecordDecoder, RecordRules};

use super::input::{FETCH_RECORDS_MAX, Input, Inputs};
use super::log::{ASK_TIMEOUT, KafkaLog, Owned, SEEK_TIMEOUT};
use super::native::{GroupMetadata, PartitionQueue};
use super::rebalance::Ownership;
use super::telling::fatal;

/// Between two tries to seek in a partition whose fetching has not started yet.
const SEEK_AGAIN: Duration = Duration::from_millis(10);

/// Brokers that were all away are asked this often at most.
const AWAY_ASK_INTERVAL: Duration = Duration::from_secs(1);

impl KafkaLog {
    pub(super) fn assign(&mut self, partitions: Vec<u16>) -> Result<Happening, LogError> {
        let began = Monotonic::now();
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
                split(&self.consumer, input, *partition)?;
            }
            self.owned.insert(
                *partition,
                Owned {
                    inputs,
                    is_begun: false,
                    is_held: false,
                    wake_at: None,
                    idle_asked_at: None,
                    unsettled: None,
                    clock_moved_millis: 0,
                },
            );
        }
        tracing::info!(event = "assigned", "assigned partitions {partitions:?}");
        self.seek_begun()?;
        if !partitions.is_empty() {
            self.telemetry.rebalance(Rebalance::Join, began.elapsed());
        }
        Ok(Happening::Assigned(partitions))
    }

    /// While the group decides, the client pauses every partition; then it goes on from what it takes
    /// for the application's position. That is one too far after an end of partition, and where it
    /// was before a seek backwards: records would be passed over. So each is told where to go on.
    pub(super) fn seek_begun(&mut self) -> Result<(), LogError> {
        let begun = self.owned.iter().filter(|(_, owned)| owned.is_begun);
        let begun: Vec<u16> = begun.map(|(partition, _)| *partition).collect();
        begun
            .into_iter()
            .try_for_each(|partition| self.seek(partition))
    }

    /// Lets the client fetch the inputs of a partition from where they are to be read next. One whose
    /// fetching ended in an error cannot be sought in: it is assigned anew.
    pub(super) fn seek(&mut self, partition: u16) -> Result<(), LogError> {
        let Some(owned) = self.owned.get_mut(&partition) else {
            return Ok(());
        };
        for input in &mut owned.inputs.inputs {
            let topic = input.topic.clone();
            let failed = |what: &str, error: KafkaError| {
                LogError::Failed(format!("{what} in {topic} {partition}: {error}"))
            };
            let place = |offset: Offset| {
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&topic, i32::from(partition), offset)
                    .map(|()| list)
                    .map_err(|error| failed("seek", error))
            };
            let next = place(Offset::Offset(input.next_offset))?;
            let sought = |list: TopicPartitionList| {
                let list = self.consumer.seek_partitions(list, SEEK_TIMEOUT)?;
                list.elements()
                    .iter()
                    .try_for_each(|element| element.error())
            };
            let Err(error) = sought(next.clone()) else {
                continue;
            };
            if let Some(fatal) = fatal(&self.consumer, &self.telemetry) {
                return Err(fatal);
            }
            tracing::info!(
                event = "fetch_again",
                partition,
                "{topic}: {error}; assigned anew"
            );
            let list = place(Offset::Beginning)?;
            self.consumer
                .incremental_unassign(&list)
                .and_then(|()| self.consumer.incremental_assign(&list))
                .and_then(|()| self.consumer.pause(&list))
                .map_err(|error| failed("assign", error))?;
            // It is paused. Fetching starts when the old one has stopped, and only then can be sought;
            // till then the client may forward its queue to the main one again.
            let since = Monotonic::now();
            while let Err(error) = sought(next.clone()) {
                if let Some(fatal) = fatal(&self.consumer, &self.telemetry) {
                    return Err(fatal);
                }
                if since.elapsed() > SEEK_TIMEOUT {
                    return Err(failed("seek", error));
                }
                thread::sleep(SEEK_AGAIN);
            }
            split(&self.consumer, input, partition)?;
            if owned.is_begun {
                self.consumer
                    .resume(&list)
                    .map_err(|error| failed("resume", error))?;
            }
        }
        Ok(())
    }

    pub(super) fn revoke(&mut self, partitions: Vec<u16>) -> Result<Happening, LogError> {
        if partitions.is_empty() {
            let list = TopicPartitionList::new();
            self.unassign(&list)?;
            self.seek_begun()?;
            return Ok(Happening::Idle);
        }
        self.unreleased.clone_from(&partitions);
        self.is_revoking = true;
        let is_lost = self.consumer.assignment_lost();
        let change = if is_lost {
            Rebalance::Lost
        } else {
            Rebalance::Revoked
        };
        self.changing = Some((change, Monotonic::now()));
        Ok(match is_lost {
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

    /// Leaves the group and joins it again where it has left partitions to nobody.
    pub(super) fn look_for_unowned(&mut self) -> Result<(), LogError> {
        let Some(unowned) = self.unowned.as_mut().filter(|it| it.is_due()) else {
            return Ok(());
        };
        let metadata = GroupMetadata::of(&self.consumer).filter(GroupMetadata::is_fencing);
        let Some(metadata) = metadata else {
            return Ok(());
        };
        let topic = self.topics[0].as_str();
        let found = unowned.look(
            &self.asker,
            &self.application,
            topic,
            self.rules.partitions,
            &metadata.member(),
        );
        if found.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            event = "unowned",
            "partitions {found:?} have no member though the group is at rest; joining again"
        );
        self.telemetry.rebalance(Rebalance::Leave, Duration::ZERO);
        self.consumer.unsubscribe();
        self.consumer
            .subscribe(&[topic])
            .map_err(|error| LogError::Failed(format!("subscribe: {error}")))
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
        self.telemetry.set_group_generation(captured.generation());
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

/// Takes an input's records out of the main queue, into one of its own.
fn split(
    consumer: &BaseConsumer<Ownership>,
    input: &mut Input,
    partition: u16,
) -> Result<(), LogError> {
    match PartitionQueue::split(consumer, &input.topic, partition, FETCH_RECORDS_MAX) {
        Some(queue) => input.attach(queue),
        None => {
            let topic = &input.topic;
            let text = format!("{topic}: the queue of partition {partition} is not there");
            return Err(LogError::Failed(text));
        }
    }
    Ok(())
}
