//! Floor 2, Kafka: clients, topics, records in and transactions out.

mod alone;
pub mod client;
pub mod cluster;
mod deliveries;
pub mod derived_format;
pub mod describe;
mod error_class;
pub mod evidence;
mod fetch;
mod hidden;
pub mod input;
pub mod kept;
pub mod letters;
pub mod log;
mod membership;
mod native;
mod owners;
pub mod rebalance;
pub mod registry;
pub mod schemata;
pub mod sender;
mod statistics;
mod telling;
pub mod topics;
pub mod transaction;
pub mod twin;
mod unowned;
