//! Adds to the archive of a partition: what follows of a topic, and the state after a commit.

use crate::billing::time::Instant;
use crate::ports::evidence::{Records, Stretch, Topic};
use crate::wire::record_bytes::{self, LogRecord};

use super::manifest::{Archived, ArchivedFile, Manifest, Owner};
use super::{ArchiveError, FILE_BYTES_MAX, Location, damaged, folder, io_error, role};

const COMPRESSION_LEVEL: i32 = 3;

/// The archive of one partition, under the hands of its only writer.
pub struct ArchiveWriter {
    archive: Location,
    manifest: Manifest,
}

/// State that is being kept.
pub struct SnapshotWriter<'a> {
    writer: &'a mut ArchiveWriter,
    role: String,
    files: Vec<ArchivedFile>,
    filling: Filling,
    count: i64,
    record: Vec<u8>,
}

/// A file that is being filled.
struct Filling {
    bytes: Vec<u8>,
    records: u64,
    /// Offsets of the first and the last record.
    offsets: Option<(i64, i64)>,
}

impl ArchiveWriter {
    /// Goes on where an earlier copy ended, or begins.
    pub fn open(
        archive: &Location,
        owner: &Owner,
        partition: u16,
    ) -> Result<ArchiveWriter, ArchiveError> {
        let manifest = match Manifest::read(archive, partition)? {
            Some(manifest) if manifest.owner != *owner => {
                return Err(ArchiveError::Foreign(format!(
                    "{} holds the archive of {:?}, not of {owner:?}; give another place",
                    archive.path(&folder(partition)).display(),
                    manifest.owner
                )));
            }
            Some(manifest) => manifest,
            None => Manifest::new(owner.clone(), partition),
        };
        Ok(ArchiveWriter {
            archive: archive.clone(),
            manifest,
        })
    }

    /// What of a topic is to be copied next.
    pub fn stretch(&self, topic: Topic, to: Option<i64>) -> Stretch {
        let archived = self.manifest.find(&role(topic));
        Stretch {
            from: archived.map(|archived| archived.next),
            to,
        }
    }

    /// Copies all of `records`, which go on where the archive of `topic` ends. Returns their number.
    pub fn append<R: Records>(
        &mut self,
        topic: Topic,
        name: &str,
        records: &mut R,
    ) -> Result<u64, ArchiveError> {
        let role = role(topic);
        let index = match self.manifest.topics.iter().position(|it| it.role == role) {
            Some(index) => index,
            None => {
                self.manifest.topics.push(Archived {
                    role: role.clone(),
                    name: name.to_owned(),
                    first: records.first(),
                    next: records.first(),
                    files: Vec::new(),
                });
                self.manifest.topics.len() - 1
            }
        };
        let next = self.manifest.topics[index].next;
        if records.first() > next {
            return Err(ArchiveError::Late(format!(
                "{name} partition {}: the archive ends at offset {next}, the log begins at {}: what lies \
                 between is gone; begin a new archive, and copy more often than the topic's retention",
                self.manifest.partition,
                records.first()
            )));
        }
        let mut count = 0;
        let mut filling = Filling::default();
        while let Some(bytes) = records.next()? {
            filling.push(bytes, &self.archive)?;
            count += 1;
            if filling.bytes.len() >= FILE_BYTES_MAX {
                let file = self.finish(&role, &mut filling)?;
                self.add(index, file)?;
            }
        }
        if filling.records > 0 {
            let file = self.finish(&role, &mut filling)?;
            self.add(index, file)?;
        }
        let archived = &mut self.manifest.topics[index];
        if records.end() > archived.next {
            archived.next = records.end();
            self.manifest.write(&self.archive)?;
        }
        Ok(count)
    }

    /// Begins to keep the cells of the state after commit `sequence`.
    pub fn begin_snapshot(&mut self, sequence: u64) -> SnapshotWriter<'_> {
        SnapshotWriter {
            writer: self,
            role: role(Topic::Snapshot(sequence)),
            files: Vec::new(),
            filling: Filling::default(),
            count: 0,
            record: Vec::new(),
        }
    }

    /// Everything up to this commit is archived.
    pub fn set_head(&mut self, head: String) -> Result<(), ArchiveError> {
        if self.manifest.head != head {
            self.manifest.head = head;
            self.manifest.write(&self.archive)?;
        }
        Ok(())
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn add(&mut self, index: usize, file: ArchivedFile) -> Result<(), ArchiveError> {
        let archived = &mut self.manifest.topics[index];
        archived.next = file.last + 1;
        archived.files.push(file);
        self.manifest.write(&self.archive)
    }

    /// Writes the file; the manifest does not name it yet.
    fn finish(&self, role: &str, filling: &mut Filling) -> Result<ArchivedFile, ArchiveError> {
        let Filling {
            bytes,
            records,
            offsets,
        } = std::mem::take(filling);
        let (first, last) = offsets.unwrap_or_default();
        let folder = folder(self.manifest.partition);
        let compressed = zstd::bulk::compress(&bytes, COMPRESSION_LEVEL)
            .map_err(io_error(&self.archive.path(&folder)))?;
        let digest = blake3::hash(&compressed).to_hex().to_string();
        let file = self.archive.file_name(role, first, &digest);
        let file_bytes = compressed.len() as u64;
        self.archive
            .write(&format!("{folder}/{file}"), compressed)?;
        Ok(ArchivedFile {
            file,
            first,
            last,
            records,
            record_bytes: bytes.len() as u64,
            file_bytes,
            blake3: digest,
        })
    }
}

impl SnapshotWriter<'_> {
    /// The next cell, in the order of the keys.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        self.record.clear();
        let (number, at) = (self.count, Instant::EPOCH);
        record_bytes::append(&mut self.record, 0, number, at, Some(key), [], Some(value));
        self.filling.push(&self.record, &self.writer.archive)?;
        self.count += 1;
        if self.filling.bytes.len() >= FILE_BYTES_MAX {
            self.finish_file()?;
        }
        Ok(())
    }

    /// Only now the manifest names it.
    pub fn finish(mut self) -> Result<(), ArchiveError> {
        if self.filling.records > 0 {
            self.finish_file()?;
        }
        let ArchiveWriter { archive, manifest } = self.writer;
        manifest.topics.push(Archived {
            role: self.role,
            name: "state".to_owned(),
            first: 0,
            next: self.count,
            files: self.files,
        });
        manifest.write(archive)
    }

    fn finish_file(&mut self) -> Result<(), ArchiveError> {
        let file = self.writer.finish(&self.role, &mut self.filling)?;
        self.files.push(file);
        Ok(())
    }
}

impl Default for Filling {
    fn default() -> Filling {
        Filling {
            bytes: Vec::with_capacity(FILE_BYTES_MAX / 16),
            records: 0,
            offsets: None,
        }
    }
}

impl Filling {
    fn push(&mut self, record: &[u8], archive: &Location) -> Result<(), ArchiveError> {
        let offset = LogRecord::read(record)
            .map_err(|fault| {
                damaged(
                    &archive.path(""),
                    format!("a record to be archived: {fault}"),
                )
            })?
            .offset;
        let length = u32::try_from(record.len())
            .map_err(|_| damaged(&archive.path(""), "a record of 4 GiB or more"))?;
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(record);
        self.records += 1;
        self.offsets = Some((self.offsets.map_or(offset, |(first, _)| first), offset));
        Ok(())
    }
}
