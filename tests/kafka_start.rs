//! The start of a partition on a real Apache Kafka: every row of the table of `engine.md` 5, each
//! halt with its code, words and exit code, and the way out of it.

mod support;

#[path = "kafka_start/books.rs"]
mod books;
#[path = "kafka_start/brokers.rs"]
mod brokers;
#[path = "kafka_start/clock.rs"]
mod clock;
#[path = "kafka_start/offsets.rs"]
mod offsets;
#[path = "kafka_start/stores.rs"]
mod stores;
#[path = "kafka_start/topics.rs"]
mod topics;
