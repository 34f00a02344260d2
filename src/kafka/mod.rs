//! Floor 2, Kafka: clients, topics, records in and transactions out.

pub mod registry;
