//! Exactly once under the faults of `operations.md` 2.2 to 2.4, on a real Apache Kafka with the real
//! program: zombies, rivals, rebalances, slow batches, brokers that die or stand still.
//!
//! After each of them the checker of `support/workload.rs` compares everything with a file run of
//! the same events. A fault that did not happen fails its test.

mod support;

#[path = "kafka_faults/brokers.rs"]
mod brokers;
#[path = "kafka_faults/clients.rs"]
mod clients;
#[path = "kafka_faults/groups.rs"]
mod groups;
#[path = "kafka_faults/load.rs"]
mod load;
#[path = "kafka_faults/network.rs"]
mod network;
#[path = "kafka_faults/oauth.rs"]
mod oauth;
#[path = "kafka_faults/transactions.rs"]
mod transactions;
#[path = "kafka_faults/zombies.rs"]
mod zombies;

use std::time::Duration;

/// For a condition that needs a session to end, partitions to move and records to be folded.
const PATIENCE: Duration = Duration::from_secs(90);

/// A number that the environment may raise for a long run.
fn count(variable: &str, in_ci: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(in_ci, |given| given.parse().expect("a number"))
}
