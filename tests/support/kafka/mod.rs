//! A real Apache Kafka and a real schema registry for tests, from `.ci/setup kafka registry`.
//!
//! [`Broker`] is one broker on 127.0.0.1 with a directory of its own; [`Broker::shared`] is one for
//! all tests of a binary. Its methods make topics, produce, read and ask what a group committed, and
//! panic with the broker's answer when that fails. [`Registry`] speaks Confluent's protocol.
//! Whatever becomes of the test, no Java process outlives it: see [`guard`].

#![allow(unused_imports, reason = "each test binary uses its own part")]

pub mod admin;
pub mod broker;
pub mod guard;
pub mod proxy;
pub mod records;
pub mod registry;

pub use broker::{Broker, Options};
pub use records::{NewRecord, Record};
pub use registry::Registry;
