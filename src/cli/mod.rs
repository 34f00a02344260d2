//! Floor 4, the commands: one file a command; the only place that sees everything.

pub mod failure;
mod file_state;
pub mod inspect;
pub mod rates;
pub mod replay;
mod summary;
