//! Floor 2, files: NDJSON and Avro inputs behind the source seam, output files behind the commit
//! seam, and the exchange of whole directories that makes a run happen as a whole or not at all.

pub mod archive;
pub mod avro_container;
pub mod input;
pub mod memory;
pub mod merge;
pub mod ndjson;
pub mod outputs;
pub mod workspace;
