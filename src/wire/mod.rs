//! Floor 1, bytes to types and back: input events, derived events, the rate book, state cells.

pub mod account_line;
pub mod avro;
pub mod bytes;
pub mod cells;
pub mod cloudevents;
pub mod derived;
pub mod event_json;
pub mod identity;
pub mod json;
pub mod json_text;
pub mod journal;
pub mod keys;
pub mod meta;
pub mod object;
pub mod partitioner;
pub mod rate_book;
pub mod span;
pub mod trace;
