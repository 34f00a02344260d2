//! Local state of the processor on a real Apache Kafka: damaged, foreign, held by another process,
//! on a full disk; and processes that end in the middle of things. State is a cache of what was
//! committed: it is checked, or made anew, and never trusted in doubt.

mod support;

#[path = "kafka_state/damage.rs"]
mod damage;
#[path = "kafka_state/directories.rs"]
mod directories;
#[path = "kafka_state/disk_full.rs"]
mod disk_full;
#[path = "kafka_state/ends.rs"]
mod ends;
