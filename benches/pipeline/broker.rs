//! One real Apache Kafka for the whole run, and the questions that the bench asks of it.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::guard::Guard;

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Broker {
    /// Where it answers.
    pub brokers: String,
    pub process: u32,
    admin: AdminClient<DefaultClientContext>,
    runtime: tokio::runtime::Runtime,
    /// Ends it with the bench, however that ends.
    _guard: Guard,
}

/// A broker with room to work: the tests' own starts faster and is slower.
pub fn start() -> Broker {
    let guard = Guard::new(".ci/kafka/broker", &["--heap".into(), "1024".into()]);
    guard.start();
    let brokers = guard.line("bootstrap");
    Broker {
        process: guard.line("pid").parse().expect("a process id"),
        admin: ClientConfig::new()
            .set("bootstrap.servers", &brokers)
            .create()
            .expect("an admin client"),
        runtime: tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime"),
        brokers,
        _guard: guard,
    }
}

impl Broker {
    /// A topic of input events: the time is the broker's, as `engine.md` 7 wants it.
    pub fn create_input(&self, name: &str, partitions: u16) {
        let settings = [
            ("message.timestamp.type", "LogAppendTime"),
            ("retention.ms", "-1"),
        ];
        self.create_topic(name, partitions, &settings);
    }

    pub fn create_topic(&self, name: &str, partitions: u16, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions.into(), TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let created = self.admin.create_topics([&topic], &AdminOptions::new());
        let results = self.runtime.block_on(created).expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(name, code)| panic!("topic {name}: {code}"));
        }
    }

    pub fn delete_topics(&self, names: &[&str]) {
        let deleted = self.admin.delete_topics(names, &AdminOptions::new());
        let results = self.runtime.block_on(deleted).expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(name, code)| panic!("topic {name}: {code}"));
        }
    }

    /// Names of the topics that begin so.
    pub fn topics_of(&self, prefix: &str) -> Vec<String> {
        let metadata = self.admin.inner().fetch_metadata(None, PATIENCE);
        let metadata = metadata.expect("the broker answers");
        let names = metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned());
        names.filter(|name| name.starts_with(prefix)).collect()
    }

    /// Records and control records of a topic, those of aborted transactions too.
    pub fn records_of(&self, topic: &str, partitions: u16) -> u64 {
        let of_partition = |partition: u16| {
            let range = self
                .admin
                .inner()
                .fetch_watermarks(topic, partition.into(), PATIENCE);
            let (low, high) = range.expect("the broker answers");
            (high - low) as u64
        };
        (0..partitions).map(of_partition).sum()
    }

    pub fn progress(&self, group: &str, topic: &str, partitions: u16) -> Progress {
        // Not a member: it only asks. Of an open transaction it does not wait for the end.
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .set("isolation.level", "read_uncommitted")
            .create()
            .expect("a consumer");
        let mut inputs = TopicPartitionList::new();
        for partition in 0..partitions {
            inputs.add_partition(topic, partition.into());
        }
        Progress { consumer, inputs }
    }

    /// Reads all committed records that a topic has now; how many they are.
    pub fn read_to_end(
        &self,
        topic: &str,
        partitions: u16,
        mut each: impl FnMut(&BorrowedMessage<'_>),
    ) -> u64 {
        let reader = self.reader(topic, partitions);
        let (mut records, mut ends) = (0, 0);
        while ends < partitions {
            match reader.poll(PATIENCE) {
                Some(Ok(message)) => {
                    records += 1;
                    each(&message);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => panic!("{topic}: {error}"),
                None => panic!("{topic}: no end in {PATIENCE:?}"),
            }
        }
        records
    }

    /// A reader of all of a topic's committed records, from its beginning.
    pub fn reader(&self, topic: &str, partitions: u16) -> BaseConsumer {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "bench-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "10")
            .create()
            .expect("a consumer");
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment
                .add_partition_offset(topic, partition.into(), Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&assignment).expect("an assignment");
        consumer
    }
}

/// How far a group has committed, asked from outside: the same measure for every processor.
pub struct Progress {
    consumer: BaseConsumer,
    inputs: TopicPartitionList,
}

impl Progress {
    /// Records behind the committed offsets of all partitions; a partition without one counts 0.
    pub fn committed(&self) -> u64 {
        let asked = self
            .consumer
            .committed_offsets(self.inputs.clone(), PATIENCE);
        // A coordinator that is loading or moving answers with an error for a while.
        let Ok(offsets) = asked else { return 0 };
        let offset = |offset| match offset {
            Offset::Offset(offset) => offset as u64,
            _ => 0,
        };
        let elements = offsets.elements();
        elements
            .iter()
            .map(|element| offset(element.offset()))
            .sum()
    }
}
