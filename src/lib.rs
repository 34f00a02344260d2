//! meterfold: usage metering on a log. Every event is folded exactly once into per-team monthly
//! aggregates; facts come out.
//!
//! # The map
//!
//! Five floors. A file imports its own folder and lower floors; never a sibling of its own floor,
//! never up. `tests/tidy.rs` keeps it so.
//!
//! | floor | folder | what it does |
//! | --- | --- | --- |
//! | 4 | [`cli`] | one file a command; the only place that sees everything |
//! | 3 | [`processor`], [`http`] | the order of work for one partition; what others may see of it |
//! | 2 | [`store`], [`files`], [`kafka`] | the outside world; these never meet |
//! | 1 | [`wire`], [`ports`] | bytes to types and back; the seams |
//! | 0 | [`billing`] | the rules: facts in, facts out |
//!
//! [`config`], [`telemetry`] and [`fail_point`] stand beside the house; floors 2 to 4 may import
//! them.
//!
//! # One API call, five hops
//!
//! ```text
//! record bytes                                                         derived event
//!     |                                                                      ^
//! 1 take (files/, kafka/) -> 2 decode (wire/) -> 3 fold (billing/) -> 4 commit -> 5 apply (store/)
//! ```
//!
//! [`processor::run`] names all five for a file run; [`processor::worker`] for a log, whose
//! partitions come and go. [`processor::audit`] folds a log again and compares.
//!
//! # Invariants
//!
//! - INV-1: a bill follows from the log and the rate books alone: no clock, no configuration, no
//!   thread count, no batch size, no order of a hash map shows in any output byte.
//! - INV-2: nothing is written to the store before the commit that carries it succeeded.
//! - INV-3: charge = prepaid + postpaid + uncharged, checked when booked and when a cell is read.
//! - INV-4: every input record has exactly one disposition.
//! - INV-5: an id is never forgotten while a resend of it could still be charged.
//! - INV-6: bytes on disk and wire are for ever: a version byte first, table bytes never reused.
//! - INV-7: store and log are compared by witness, never by offset; on any doubt a partition halts.

pub mod billing;
pub mod config;
pub mod files;
pub mod ports;
pub mod wire;

// A fuzzer is built of what reads bytes alone, without the C++ libraries below (tests/fuzz); of HTTP
// it takes what reads a request.
#[cfg(fuzzing)]
pub mod http {
    mod authentication;
    pub mod problem;
    pub mod target;

    pub use authentication::Authentication;
}
#[cfg(not(fuzzing))]
pub mod cli;
#[cfg(not(fuzzing))]
pub mod fail_point;
#[cfg(not(fuzzing))]
pub mod http;
#[cfg(not(fuzzing))]
pub mod kafka;
#[cfg(not(fuzzing))]
pub mod processor;
#[cfg(not(fuzzing))]
pub mod store;
#[cfg(not(fuzzing))]
pub mod telemetry;
