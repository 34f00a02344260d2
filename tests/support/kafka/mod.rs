//! A real Apache Kafka, a real schema registry and a real S3 server for tests, from `.ci/setup kafka
//! registry s3`.
//!
//! [`Broker`] is one broker on 127.0.0.1 with a directory of its own; [`Broker::shared`] is one for
//! all tests of a binary. Its methods make topics, produce, read and ask what a group committed, and
//! panic with the broker's answer when that fails. [`Registry`] speaks Confluent's protocol, [`S3`]
//! keeps objects, [`Issuer`] hands out tokens. Whatever becomes of the test, no server outlives it: see [`guard`].

#![allow(unused_imports, reason = "each test binary uses its own part")]

pub mod admin;
pub mod broker;
pub mod guard;
pub mod issuer;
pub mod proxy;
pub mod records;
pub mod registry;
pub mod s3;

pub use broker::{Broker, Options};
pub use issuer::Issuer;
pub use records::{NewRecord, Record};
pub use registry::Registry;
pub use s3::S3;
