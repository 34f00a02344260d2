//! Floor 4, the commands: one file a command; the only place that sees everything.

// A reader may go away: streams.rs writes, for all of them.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod archive;
pub mod audit;
pub mod completions;
mod config_args;
pub mod core_dumps;
pub mod dead_letters;
pub mod explain;
pub mod failure;
mod file_state;
pub mod generate;
pub mod inspect;
mod invoice_table;
pub mod man;
mod observer;
pub mod panic;
pub mod rates;
pub mod recover;
pub mod replay;
pub mod run;
mod scratch;
pub mod streams;
mod summary;
mod table;
pub mod topics;
pub mod validate;
mod what_if;
mod writable_topic;
