//! Floor 2, where state lives: RocksDB and its in-memory twin behind the store seam, the exact
//! memory of ids on top of either, and what other threads may read of it.

pub mod buffered;
pub mod cells;
pub mod dedup;
pub mod directory;
pub mod filter;
pub mod memory;
mod recent_ids;
pub mod rocks;
pub mod twin;
pub mod views;
