//! Floor 2, Kafka: clients, topics, records in and transactions out.

pub mod client;
pub mod cluster;
pub mod describe;
pub mod topics;
