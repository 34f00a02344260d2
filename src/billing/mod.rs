//! Floor 0, the rules: facts in, facts out (`fold.md`).
//!
//! `fold(state, event, clock)` is a pure function. What is absent on this floor is the point of
//! it: no I/O, no wall clock, no random number, no environment, no hash-map order, no binary
//! float, no time-zone database, no async. The lints below and `tests/tidy.rs` keep it so.
#![deny(
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod access;
pub mod account;
pub mod amount;
pub mod classify;
pub mod context;
pub mod cumulative;
pub mod derived_event;
pub mod disposition;
pub mod enrolment;
pub mod event;
pub mod fold;
pub mod free_cap;
pub mod funding;
pub mod invoice;
pub mod lot;
pub mod month;
pub mod period;
pub mod quote;
pub mod rate_book;
pub mod rating;
pub mod tier;
pub mod time;
pub mod timers;
