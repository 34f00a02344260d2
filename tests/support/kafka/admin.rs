//! Topics and groups of a broker, as an operator makes and breaks them.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic,
    ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::broker::Broker;

/// How long a broker may take for anything that is asked of it.
pub const PATIENCE: Duration = Duration::from_secs(30);

impl Broker {
    /// With one replica; comes back when each partition has a leader.
    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let made = wait(self.admin().create_topics([&topic], &options())).expect("an answer");
        made[0]
            .as_ref()
            .unwrap_or_else(|(name, code)| panic!("create {name}: {code}"));
        self.until(&format!("{name} has leaders"), || {
            self.leaders(name) == Some(partitions)
        });
    }

    /// Comes back when nobody can find it any more.
    pub fn delete_topic(&self, name: &str) {
        let gone = wait(self.admin().delete_topics(&[name], &options())).expect("an answer");
        gone[0]
            .as_ref()
            .unwrap_or_else(|(name, code)| panic!("delete {name}: {code}"));
        self.until(&format!("{name} is gone"), || self.leaders(name).is_none());
    }

    /// More partitions than before.
    pub fn add_partitions(&self, name: &str, partitions: i32) {
        let count = usize::try_from(partitions).expect("a count");
        let more = NewPartitions::new(name, count);
        let made = wait(self.admin().create_partitions([&more], &options())).expect("an answer");
        made[0]
            .as_ref()
            .unwrap_or_else(|(name, code)| panic!("partitions of {name}: {code}"));
        self.until(&format!("{name} has leaders"), || {
            self.leaders(name) == Some(partitions)
        });
    }

    /// Settings of a topic; those set before stay.
    pub fn alter_config(&self, topic: &str, config: &[(&str, &str)]) {
        let admin = self.admin();
        let topic = ResourceSpecifier::Topic(topic);
        let described = wait(admin.describe_configs([&topic], &options())).expect("an answer");
        let described = described[0].as_ref().expect("settings");
        // The request replaces all settings, so what was set is sent again.
        let mut alter = AlterConfig::new(topic);
        for entry in &described.entries {
            let is_set = matches!(entry.source, ConfigSource::DynamicTopic);
            let is_new = config.iter().any(|(key, _)| *key == entry.name);
            if let Some(value) = entry.value.as_deref().filter(|_| is_set && !is_new) {
                alter = alter.set(&entry.name, value);
            }
        }
        for (key, value) in config {
            alter = alter.set(key, value);
        }
        let altered = wait(admin.alter_configs([&alter], &options())).expect("an answer");
        altered[0]
            .as_ref()
            .unwrap_or_else(|(_, code)| panic!("alter {config:?}: {code}"));
        let deadline = Instant::now() + PATIENCE;
        let is_in_force = || {
            let described = wait(admin.describe_configs([&topic], &options())).expect("an answer");
            let described = described[0].as_ref().expect("settings");
            config.iter().all(|(key, value)| {
                let mut entries = described.entries.iter();
                entries.any(|entry| entry.name == *key && entry.value.as_deref() == Some(*value))
            })
        };
        while !is_in_force() {
            assert!(
                Instant::now() < deadline,
                "{config:?} do not come into force"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Deletes the records of a partition before `offset`, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .expect("an offset");
        let deleted = wait(self.admin().delete_records(&list, &options())).expect("an answer");
        for element in deleted.elements() {
            element.error().expect("records are deleted");
        }
    }

    /// How many partitions a topic has.
    pub fn partitions(&self, topic: &str) -> i32 {
        self.leaders(topic)
            .unwrap_or_else(|| panic!("there is no topic {topic}"))
    }

    /// What a group committed for a partition: the next offset and the metadata beside it. Waits
    /// for transactions that hold an offset back.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<(i64, String)> {
        let member = self.member(group);
        let began = Instant::now();
        // A broker that has just started may not have read its groups yet.
        let is_early = |error: &KafkaError| {
            let code = error.rdkafka_error_code();
            code == Some(RDKafkaErrorCode::NotCoordinator) && began.elapsed() < PATIENCE
        };
        let committed = loop {
            match member.committed_offsets(one(topic, partition), PATIENCE) {
                Err(error) if is_early(&error) => thread::sleep(Duration::from_millis(50)),
                answer => break answer.expect("committed offsets"),
            }
        };
        let element = committed.elements().remove(0);
        element.error().expect("a committed offset");
        match element.offset() {
            Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
            _ => None,
        }
    }

    /// As [`Broker::committed`], but gives up soon: a broker that has just come back may be busy.
    pub fn committed_if_it_answers(&self, group: &str, topic: &str, partition: i32) -> Option<i64> {
        let asked = one(topic, partition);
        let answer = self
            .member(group)
            .committed_offsets(asked, Duration::from_secs(2))
            .ok()?;
        let element = answer.elements().remove(0);
        element.error().ok()?;
        element.offset().to_raw().filter(|offset| *offset >= 0)
    }

    /// Sets an offset of a group without members; no metadata stands beside it.
    pub fn reset_offsets(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .expect("an offset");
        self.member(group)
            .commit(&list, CommitMode::Sync)
            .unwrap_or_else(|error| panic!("reset {group}: {error}"));
    }

    /// The group must have no members.
    pub fn delete_group(&self, group: &str) {
        let gone = wait(self.admin().delete_groups(&[group], &options())).expect("an answer");
        gone[0]
            .as_ref()
            .unwrap_or_else(|(name, code)| panic!("delete {name}: {code}"));
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// A consumer that reads and writes offsets of a group, but does not join it.
    fn member(&self, group: &str) -> BaseConsumer {
        self.client()
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer")
    }

    /// As [`leaders`], by a consumer of its own.
    fn leaders(&self, topic: &str) -> Option<i32> {
        leaders(&self.client().create().expect("a consumer"), topic)
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// How many partitions a topic has, each with a leader; None: no such topic, or not yet all.
pub(super) fn leaders(consumer: &BaseConsumer, topic: &str) -> Option<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).ok()?;
    let topic = metadata.topics().first()?;
    let all_lead = topic
        .partitions()
        .iter()
        .all(|partition| partition.leader() >= 0 && partition.error().is_none());
    let known = topic.error().is_none() && all_lead;
    known.then(|| i32::try_from(topic.partitions().len()).expect("a count"))
}

fn one(topic: &str, partition: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    list
}

/// An answer of librdkafka, whose own thread brings it.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(answer)
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE))
}
