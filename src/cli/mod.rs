//! Floor 4, the commands: one file a command; the only place that sees everything.

pub mod archive;
pub mod audit;
mod config_args;
pub mod dead_letters;
pub mod explain;
pub mod failure;
mod file_state;
pub mod generate;
pub mod inspect;
mod invoice_table;
mod observer;
pub mod panic;
pub mod rates;
pub mod recover;
pub mod replay;
pub mod run;
mod scratch;
mod summary;
mod table;
pub mod topics;
pub mod validate;
mod what_if;
mod writable_topic;
