//! Floor 1, bytes to types and back: input events, derived events, the rate book, state cells, and
//! records of the log.

pub mod account_line;
pub mod attributes;
pub mod avro;
pub mod bytes;
pub mod cells;
pub mod cloudevents;
pub mod dead_letter;
pub mod derived;
pub mod derived_avro;
pub mod event_json;
mod fields;
pub mod identity;
pub mod journal;
pub mod json;
pub mod json_text;
pub mod kafka_record;
pub mod keys;
pub mod meta;
pub mod object;
pub mod partitioner;
pub mod rate_book;
pub mod record_bytes;
pub mod shown_text;
pub mod span;
pub mod team_json;
pub mod trace;
