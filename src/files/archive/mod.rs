//! An archive: what an audit needs of each partition, in files that outlive the log's retention, in a
//! directory or a bucket ([`Location`]).
//!
//! A folder `partition-0` and so on holds for each topic files of consecutive records (canonical
//! bytes, each behind its length in 4 bytes, compressed with zstd) and `manifest.ndjson`, which
//! names every file with its records and its BLAKE3 digest. Files are never changed; the manifest is
//! replaced as a whole after each new one, so what it names is whole whenever a copy is cut short.

mod bucket;
mod location;
mod manifest;
pub mod reader;
pub mod writer;

use std::path::{Path, PathBuf};

use crate::ports::evidence::Topic;

pub use location::Location;
pub use manifest::{Manifest, Owner};

/// Bytes of records in a file, before they are compressed, unless one record is larger.
const FILE_BYTES_MAX: usize = 16 << 20;

/// Of any file, as it lies there and unpacked. What is larger is nothing that was written here.
const READ_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{path}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// Bytes that are not those that were written.
    #[error("{path}: {reason}", path = path.display())]
    Damaged { path: PathBuf, reason: String },
    /// Of another cluster, application or shape, or in no bucket that there is.
    #[error("{0}")]
    Foreign(String),
    /// Neither a directory nor the name of a bucket.
    #[error("{0}")]
    Location(String),
    /// The log no longer holds what follows in the archive.
    #[error("{0}")]
    Late(String),
    #[error(transparent)]
    Evidence(#[from] crate::ports::evidence::EvidenceError),
}

/// The folder of a partition.
fn folder(partition: u16) -> String {
    format!("partition-{partition}")
}

/// How a topic is called in manifests and file names, whatever it is called in the log.
fn role(topic: Topic) -> String {
    match topic {
        Topic::Input(index) => format!("input-{index}"),
        Topic::Journal => "journal".to_owned(),
        Topic::Derived(kind) => kind.name().to_owned(),
        Topic::DeadLetters => "dead-letters".to_owned(),
        Topic::Changelog => "changelog".to_owned(),
        Topic::Snapshot(sequence) => format!("snapshot-{sequence}"),
    }
}

fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> ArchiveError + '_ {
    move |source| ArchiveError::Io {
        path: path.to_owned(),
        source,
    }
}

fn damaged(path: &Path, reason: impl Into<String>) -> ArchiveError {
    ArchiveError::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

fn too_large(path: &Path) -> ArchiveError {
    damaged(path, "larger than any file of an archive")
}
