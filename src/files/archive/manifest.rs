//! The manifest of a partition's archive: two lines, an object and the digest of its bytes.

use serde::{Deserialize, Serialize};

use super::bucket::Revision;
use super::{ArchiveError, Location, damaged, folder};

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
    /// What was read or written last.
    #[serde(skip)]
    revision: Option<Revision>,
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
            revision: None,
        }
    }

    /// None: nothing is archived of the partition.
    pub fn read(archive: &Location, partition: u16) -> Result<Option<Manifest>, ArchiveError> {
        let file = file(partition);
        let path = archive.path(&file);
        let Some((text, revision)) = archive.read_revision(&file)? else {
            return Ok(None);
        };
        let end = text.iter().position(|byte| *byte == b'\n');
        let (object, rest) = text.split_at(end.map_or(text.len(), |end| end + 1));
        if rest != seal(object).as_bytes() {
            let reason = "its last line is not the digest of its first";
            return Err(damaged(&path, reason));
        }
        let mut manifest: Manifest =
            serde_json::from_slice(object).map_err(|error| damaged(&path, error.to_string()))?;
        if (manifest.version, manifest.partition) != (VERSION, partition) {
            let reason = "it is of another version or partition";
            return Err(damaged(&path, reason));
        }
        manifest.revision = revision;
        Ok(Some(manifest))
    }

    /// Puts it in the place of the one before; fails if that was replaced meanwhile.
    pub fn write(&mut self, archive: &Location) -> Result<(), ArchiveError> {
        let file = file(self.partition);
        let mut text = serde_json::to_vec(self)
            .map_err(|error| damaged(&archive.path(&file), error.to_string()))?;
        text.push(b'\n');
        let digest = seal(&text);
        text.extend_from_slice(digest.as_bytes());
        self.revision = archive.replace(&file, text, self.revision.take())?;
        Ok(())
    }

    pub fn find(&self, role: &str) -> Option<&Archived> {
        self.topics.iter().find(|topic| topic.role == role)
    }
}

fn file(partition: u16) -> String {
    format!("{}/{FILE}", folder(partition))
}

fn seal(object: &[u8]) -> String {
    format!("{{\"blake3\":\"{}\"}}\n", blake3::hash(object).to_hex())
}
