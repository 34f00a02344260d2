//! Floor 2, Kafka: clients, topics, records in and transactions out.

pub mod client;
pub mod cluster;
pub mod derived_format;
pub mod describe;
pub mod input;
pub mod kept;
pub mod letters;
pub mod log;
mod native;
pub mod rebalance;
pub mod registry;
pub mod schemata;
pub mod sender;
pub mod topics;
pub mod transaction;
