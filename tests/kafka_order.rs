//! Append-time mode on a real Apache Kafka: which record is folded next, what the journal says of
//! it, and what moves the clock (`engine.md` 4 and 7).
//!
//! The judge is a file run of the same events in the order of the journal, each recorded when the
//! broker appended it: derived events and accounts must be its bytes.

mod support;

#[path = "kafka_order/clock.rs"]
mod clock;
#[path = "kafka_order/inputs.rs"]
mod inputs;
#[path = "kafka_order/recent.rs"]
mod recent;
#[path = "kafka_order/refold.rs"]
mod refold;

use std::time::Duration;

/// For a condition that needs a session to end or the idle clock to move.
const PATIENCE: Duration = Duration::from_secs(90);
