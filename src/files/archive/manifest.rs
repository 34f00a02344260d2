//! The manifest of a partition's archive: two lines, an object and the digest of its bytes.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{ArchiveError, damaged, folder, io_error};

const FILE: &str = "manifest.ndjson";
const VERSION: u32 = 1;

/// Whose records an archive holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    pub cluster: String,
    pub group: String,
    pub partition_count: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    pub owner: Owner,
    pub partition: u16,
    /// The newest commit that is archived whole, as a committed offset has it; empty: none is.
    pub head: String,
    pub topics: Vec<Archived>,
}

/// What is kept of a topic, or of the state after a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archived {
    pub role: String,
    pub name: String,
    /// The offsets `first..next` are covered; those that no file holds had no committed record.
    pub first: i64,
    pub next: i64,
    pub files: Vec<ArchivedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchivedFile {
    pub file: String,
    /// Offsets of its first and its last record.
    pub first: i64,
    pub last: i64,
    pub records: u64,
    /// Before and after compression.
    pub record_bytes: u64,
    pub file_bytes: u64,
    pub blake3: String,
}

impl Manifest {
    pub fn new(owner: Owner, partition: u16) -> Manifest {
        Manifest {
            version: VERSION,
            owner,
            partition,
            head: String::new(),
            topics: Vec::new(),
        }
    }

    /// None: nothing is archived of the partition.
    pub fn read(archive: &Path, partition: u16) -> Result<Option<Manifest>, ArchiveError> {
        let path = path(archive, partition);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(io_error(&path))?,
        };
        let end = text.iter().position(|byte| *byte == b'\n');
        let (object, rest) = text.split_at(end.map_or(text.len(), |end| end + 1));
        if rest != seal(object).as_bytes() {
            let reason = "its last line is not the digest of its first";
            return Err(damaged(&path, reason));
        }
        let manifest: Manifest =
            serde_json::from_slice(object).map_err(|error| damaged(&path, error.to_string()))?;
        if (manifest.version, manifest.partition) != (VERSION, partition) {
            let reason = "it is of another version or partition";
            return Err(damaged(&path, reason));
        }
        Ok(Some(manifest))
    }

    /// Puts it in the place of the one before.
    pub fn write(&self, archive: &Path) -> Result<(), ArchiveError> {
        let path = path(archive, self.partition);
        let mut text =
            serde_json::to_vec(self).map_err(|error| damaged(&path, error.to_string()))?;
        text.push(b'\n');
        let digest = seal(&text);
        text.extend_from_slice(digest.as_bytes());
        write_whole(&path, &text)
    }

    pub fn find(&self, role: &str) -> Option<&Archived> {
        self.topics.iter().find(|topic| topic.role == role)
    }
}

/// Writes a file under a name that it has only once it is whole and on disk.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    let unfinished = path.with_extension("unfinished");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().map_err(io_error(path))
}

fn path(archive: &Path, partition: u16) -> PathBuf {
    folder(archive, partition).join(FILE)
}

fn seal(object: &[u8]) -> String {
    format!("{{\"blake3\":\"{}\"}}\n", blake3::hash(object).to_hex())
}
