//! Where an archive lies: a directory, or below a prefix of a bucket that speaks S3. Either holds
//! the same files, so that a copy of one is the other.

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::bucket::{Bucket, Revision};
use super::{ArchiveError, READ_BYTES_MAX, io_error, too_large};

#[derive(Clone)]
pub enum Location {
    Directory(PathBuf),
    Bucket(Bucket),
}

impl Location {
    /// `s3://BUCKET/PREFIX`, or a directory, which need not be there.
    pub fn at(name: &Path) -> Result<Location, ArchiveError> {
        match name.to_str().and_then(|name| name.split_once("://")) {
            Some(("s3", rest)) => Ok(Location::Bucket(Bucket::open(rest)?)),
            Some((scheme, _)) if scheme.chars().all(|it| it.is_ascii_alphanumeric()) => {
                Err(ArchiveError::Location(format!(
                    "{scheme}:// is not known: an archive lies in a directory or at s3://BUCKET/PREFIX"
                )))
            }
            _ => Ok(Location::Directory(name.to_owned())),
        }
    }

    /// The whole content of a file; None: it is not there.
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>, ArchiveError> {
        Ok(self.read_revision(file)?.map(|(bytes, _)| bytes))
    }

    /// With what tells this content from others that the file may come to have.
    pub fn read_revision(
        &self,
        file: &str,
    ) -> Result<Option<(Vec<u8>, Option<Revision>)>, ArchiveError> {
        match self {
            Location::Directory(_) => {
                let path = self.path(file);
                match read_bounded(&path) {
                    Ok(Some(bytes)) => Ok(Some((bytes, None))),
                    Ok(None) => Err(too_large(&path)),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(io_error(&path)(error)),
                }
            }
            Location::Bucket(bucket) => {
                let read = bucket.read(file)?;
                Ok(read.map(|(bytes, revision)| (bytes, Some(revision))))
            }
        }
    }

    /// Writes a file that is never changed.
    pub fn write(&self, file: &str, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        match self {
            Location::Directory(_) => write_whole(&self.path(file), &bytes),
            Location::Bucket(bucket) => bucket.write(file, bytes),
        }
    }

    /// Writes a file in the place of what was read or written before (None: of nothing). Fails in a
    /// bucket if something else stands there now; a directory has its one writer.
    pub fn replace(
        &self,
        file: &str,
        bytes: Vec<u8>,
        before: Option<Revision>,
    ) -> Result<Option<Revision>, ArchiveError> {
        match self {
            Location::Directory(_) => write_whole(&self.path(file), &bytes).map(|()| None),
            Location::Bucket(bucket) => bucket.replace(file, bytes, before).map(Some),
        }
    }

    /// What a file of records is called that begins with the offset `first`. In a bucket nobody holds
    /// others off, so there bytes that differ never have one name.
    pub fn file_name(&self, role: &str, first: i64, digest: &str) -> String {
        match self {
            Location::Directory(_) => format!("{role}.{first:020}.zst"),
            Location::Bucket(_) => format!("{role}.{first:020}.{digest}.zst"),
        }
    }

    /// As people are told of a file.
    pub fn path(&self, file: &str) -> PathBuf {
        match self {
            Location::Directory(directory) => directory.join(file),
            Location::Bucket(bucket) => bucket.shown(file).into(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Directory(directory) => directory.display().fmt(f),
            Location::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

/// None: it is larger than any file of an archive.
fn read_bounded(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > READ_BYTES_MAX {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(length).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Writes a file under a name that it has only once it is whole and on disk.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ArchiveError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let unfinished = path.with_extension("unfinished");
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(io_error(path))
}
