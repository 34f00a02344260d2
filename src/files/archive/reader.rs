//! An archive as evidence. Every file that is read is compared with its digest first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::ports::evidence::{Evidence, EvidenceError, Records, Stretch, Topic};
use crate::wire::meta::Witness;
use crate::wire::record_bytes;

use super::manifest::{Archived, ArchivedFile, Manifest, Owner};
use super::{ArchiveError, Location, READ_BYTES_MAX, damaged, folder, role};

pub struct ArchiveEvidence {
    archive: Location,
    owner: Owner,
    manifests: BTreeMap<u16, Manifest>,
}

pub struct ArchiveRecords {
    archive: Location,
    folder: String,
    archived: Archived,
    stretch: Stretch,
    /// Index of the next file.
    file: usize,
    /// Records of the file at hand, and where the next one begins.
    bytes: Vec<u8>,
    at: usize,
}

impl ArchiveEvidence {
    /// Of all partitions, whose manifests must agree.
    pub fn open(archive: &Path, partition_count: u16) -> Result<ArchiveEvidence, ArchiveError> {
        let archive = &Location::at(archive)?;
        let mut found: Option<ArchiveEvidence> = None;
        for partition in 0..partition_count {
            let manifest = Manifest::read(archive, partition)?.ok_or_else(|| {
                ArchiveError::Foreign(format!(
                    "{archive}: nothing is archived of partition {partition}; name the right place, or finish \
                     meterfold archive"
                ))
            })?;
            match &mut found {
                None => found = Some(ArchiveEvidence::of(archive, manifest)),
                Some(evidence) if evidence.owner == manifest.owner => {
                    evidence.manifests.insert(partition, manifest);
                }
                Some(_) => {
                    let path = archive.path(&folder(partition));
                    let reason = "it belongs to another cluster or application than partition 0";
                    return Err(damaged(&path, reason));
                }
            }
        }
        found.ok_or_else(|| ArchiveError::Foreign("an archive has a partition or more".into()))
    }

    /// Of one partition, as `manifest` has it.
    pub fn of(archive: &Location, manifest: Manifest) -> ArchiveEvidence {
        ArchiveEvidence {
            archive: archive.clone(),
            owner: manifest.owner.clone(),
            manifests: BTreeMap::from([(manifest.partition, manifest)]),
        }
    }

    /// Tells it from an archive of other files, an earlier state of it included.
    pub fn digest(&self) -> String {
        let mut digest = blake3::Hasher::new();
        for archived in self.manifests.values().flat_map(|it| &it.topics) {
            digest.update(archived.role.as_bytes());
            for file in &archived.files {
                digest.update(file.blake3.as_bytes());
            }
        }
        digest.finalize().to_hex().to_string()
    }

    fn manifest(&self, partition: u16) -> Result<&Manifest, EvidenceError> {
        self.manifests.get(&partition).ok_or_else(|| {
            let place = self.archive.path(&folder(partition));
            EvidenceError::Failed(format!("{}: was not opened", place.display()))
        })
    }
}

impl Evidence for ArchiveEvidence {
    type Records = ArchiveRecords;

    fn cluster(&self) -> &str {
        &self.owner.cluster
    }

    fn name(&self, topic: Topic) -> &str {
        let role = role(topic);
        let found = self
            .manifests
            .values()
            .find_map(|manifest: &Manifest| manifest.find(&role));
        found.map_or("", |archived| &archived.name)
    }

    fn witness(&self, partition: u16) -> Result<Option<Witness>, EvidenceError> {
        Ok(self.manifest(partition)?.head.parse().ok())
    }

    fn verify(&self, partition: u16) -> Result<(), EvidenceError> {
        let folder = folder(partition);
        let topics = self.manifest(partition)?.topics.iter();
        for (archived, file) in topics.flat_map(|it| it.files.iter().map(move |file| (it, file))) {
            compressed(&self.archive, &folder, archived, file)?;
        }
        Ok(())
    }

    fn snapshots(&self, partition: u16) -> Vec<u64> {
        let topics = self.manifests.get(&partition).into_iter();
        let topics = topics.flat_map(|manifest| &manifest.topics);
        let sequences = topics.filter_map(|it| it.role.strip_prefix("snapshot-")?.parse().ok());
        let mut sequences: Vec<u64> = sequences.collect();
        sequences.sort_unstable();
        sequences
    }

    fn open(
        &self,
        topic: Topic,
        partition: u16,
        stretch: Stretch,
    ) -> Result<ArchiveRecords, EvidenceError> {
        let role = role(topic);
        let archived = self.manifest(partition)?.find(&role).cloned();
        let archived = archived.unwrap_or(Archived {
            role,
            name: String::new(),
            first: 0,
            next: 0,
            files: Vec::new(),
        });
        let from = stretch.from.unwrap_or(archived.first);
        Ok(ArchiveRecords {
            archive: self.archive.clone(),
            folder: folder(partition),
            file: archived.files.partition_point(|file| file.last < from),
            archived,
            stretch,
            bytes: Vec::new(),
            at: 0,
        })
    }
}

impl Records for ArchiveRecords {
    fn first(&self) -> i64 {
        self.archived.first
    }

    fn end(&self) -> i64 {
        let next = self.archived.next;
        self.stretch.to.map_or(next, |to| to.min(next))
    }

    fn next(&mut self) -> Result<Option<&[u8]>, EvidenceError> {
        loop {
            if self.at == self.bytes.len() && !self.read_next_file()? {
                return Ok(None);
            }
            let (at, end) = self.place()?;
            self.at = end;
            let Some(offset) = record_bytes::offset(&self.bytes[at..end]) else {
                return Err(damaged(&self.path(), "a record without an offset").into());
            };
            if self.stretch.from.is_some_and(|from| offset < from) {
                continue;
            }
            if offset >= self.end() {
                self.file = self.archived.files.len();
                self.at = self.bytes.len();
                return Ok(None);
            }
            return Ok(Some(&self.bytes[at..end]));
        }
    }

    /// Nothing is known of what came later.
    fn has_grown(&mut self) -> Result<bool, EvidenceError> {
        Ok(true)
    }
}

impl ArchiveRecords {
    /// False: there is none.
    fn read_next_file(&mut self) -> Result<bool, EvidenceError> {
        let Some(file) = self.archived.files.get(self.file) else {
            return Ok(false);
        };
        let (archive, folder) = (&self.archive, &self.folder);
        read_file(archive, folder, &self.archived, file, &mut self.bytes)?;
        self.at = 0;
        self.file += 1;
        Ok(true)
    }

    /// Where the next record begins and ends.
    fn place(&self) -> Result<(usize, usize), EvidenceError> {
        let rest = &self.bytes[self.at..];
        let place = rest.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = u32::from_be_bytes(*length) as usize;
            (length <= rest.len()).then(|| (self.at + 4, self.at + 4 + length))
        });
        place.ok_or_else(|| damaged(&self.path(), "a record ends beyond its file").into())
    }

    fn path(&self) -> PathBuf {
        let role = &self.archived.role;
        self.archive.path(&format!("{}/{role}", self.folder))
    }
}

/// A file as it lies there, which must be the one that the manifest names.
fn compressed(
    archive: &Location,
    folder: &str,
    archived: &Archived,
    file: &ArchivedFile,
) -> Result<Vec<u8>, EvidenceError> {
    let name = format!("{folder}/{}", file.file);
    let differs = |reason: &str| {
        let place = format!("{} offsets {} to {}", archived.name, file.first, file.last);
        damaged(&archive.path(&name), format!("{place}: {reason}"))
    };
    let compressed = archive.read(&name)?;
    let compressed =
        compressed.ok_or_else(|| differs("the manifest names it, and it is not there"))?;
    if blake3::hash(&compressed).to_hex().as_str() != file.blake3 {
        return Err(differs("its bytes are not those of the manifest").into());
    }
    Ok(compressed)
}

/// Reads the records of a file into `bytes`, whose memory is used again. The file must be the one
/// that the manifest names.
fn read_file(
    archive: &Location,
    folder: &str,
    archived: &Archived,
    file: &ArchivedFile,
    bytes: &mut Vec<u8>,
) -> Result<(), EvidenceError> {
    let compressed = compressed(archive, folder, archived, file)?;
    let path = || archive.path(&format!("{folder}/{}", file.file));
    let unreadable = |error: String| damaged(&path(), error);
    let length = file.record_bytes;
    if length > READ_BYTES_MAX {
        let reason = format!("{length} bytes of records, more than {READ_BYTES_MAX}");
        return Err(unreadable(reason).into());
    }
    bytes.clear();
    bytes
        .try_reserve_exact(length as usize)
        .map_err(|error| unreadable(error.to_string()))?;
    zstd::bulk::Decompressor::new()
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(&compressed, bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(())
}

impl From<ArchiveError> for EvidenceError {
    fn from(error: ArchiveError) -> EvidenceError {
        match error {
            ArchiveError::Evidence(error) => error,
            ArchiveError::Damaged { .. } => EvidenceError::Damaged(error.to_string()),
            ArchiveError::Io { .. }
            | ArchiveError::Foreign(_)
            | ArchiveError::Location(_)
            | ArchiveError::Late(_) => EvidenceError::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    const FILE: &str = "partition-0/f.zst";

    /// The journal of an archive whose one file is said to unpack to so many bytes.
    fn journal(directory: &Path, content: &[u8], record_bytes: u64) -> ArchiveRecords {
        let location = Location::Directory(directory.to_owned());
        location.write(FILE, content.to_vec()).expect("a file");
        let owner = Owner {
            cluster: "cluster".into(),
            group: "group".into(),
            partition_count: 1,
        };
        let mut manifest = Manifest::new(owner, 0);
        manifest.topics.push(Archived {
            role: role(Topic::Journal),
            name: "journal".into(),
            first: 0,
            next: 1,
            files: vec![ArchivedFile {
                file: "f.zst".into(),
                first: 0,
                last: 0,
                records: 1,
                record_bytes,
                file_bytes: content.len() as u64,
                blake3: blake3::hash(content).to_hex().to_string(),
            }],
        });
        let evidence = ArchiveEvidence::of(&location, manifest);
        let records = evidence.open(Topic::Journal, 0, Stretch::ALL);
        records.expect("records")
    }

    #[track_caller]
    fn refused(records: &mut ArchiveRecords, words: &str) {
        match records.next() {
            Err(EvidenceError::Damaged(reason)) => {
                assert!(reason.contains(FILE) && reason.contains(words), "{reason}");
            }
            other => panic!("{words}: {other:?}"),
        }
        let taken = records.bytes.capacity();
        assert!(taken <= 1_000, "{words}: {taken} bytes of memory");
    }

    #[test]
    fn what_is_too_large_or_a_bomb_is_named_and_not_unpacked() {
        let directory = tempfile::tempdir().expect("a directory");
        let zeros = std::io::repeat(0).take(READ_BYTES_MAX + 1);
        let bomb = zstd::encode_all(zeros, 1).expect("a bomb");
        assert!(bomb.len() < 1 << 20);
        let honest = &mut journal(directory.path(), &bomb, READ_BYTES_MAX + 1);
        refused(honest, "more than 268435456");
        let lying = &mut journal(directory.path(), &bomb, 1_000);
        refused(lying, "Destination buffer is too small");
        let huge = &mut journal(directory.path(), &bomb, 1_000);
        let file = File::create(directory.path().join(FILE)).expect("a file");
        file.set_len(1 << 40).expect("a hole");
        refused(huge, "larger than any file of an archive");
    }
}
