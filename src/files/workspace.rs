//! All or nothing for directories: a run works beside them and swaps them in at its end.
//!
//! What a run makes grows in a sibling of the directory that it is for, so that one rename puts it
//! in place. A run that dies leaves such siblings; the next one removes them, so a run first takes
//! the [`Hold`] of the directory.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

#[derive(Debug, thiserror::Error)]
#[error("{action} {path}: {source}", path = path.display())]
pub struct WorkspaceError {
    pub action: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

/// A directory under construction, beside the one that it is to replace. Dropped before
/// [`Staged::publish`], it is removed.
#[derive(Debug)]
pub struct Staged {
    target: PathBuf,
    path: PathBuf,
    is_published: bool,
}

/// Keeps other runs away from a directory, by a locked file beside it.
#[derive(Debug)]
pub struct Hold {
    /// Locked until it is closed.
    _file: File,
    path: PathBuf,
}

impl Hold {
    /// None: another run has it.
    pub fn take(target: &Path) -> Result<Option<Hold>, WorkspaceError> {
        let (target, path) = sibling(target, "meterfold-lock")?;
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(failed("creating", parent))?;
        }
        loop {
            let mut options = File::options();
            let file = options.write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(failed("creating", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed("locking", &path)(error)),
            }
            let locked = file.metadata().map_err(failed("locking", &path))?;
            // The run before may have removed the file in between.
            if fs::metadata(&path).is_ok_and(|found| found.ino() == locked.ino()) {
                return Ok(Some(Hold { _file: file, path }));
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Nothing to do about a failure: a file that nobody has locked keeps nobody away.
        let _ = fs::remove_file(&self.path);
    }
}

impl Staged {
    /// Where the directory for `target` is made. What a dead run left there is removed.
    pub fn beside(target: &Path, purpose: &str) -> Result<Staged, WorkspaceError> {
        let staged = Staged::name(target, purpose)?;
        remove(&staged.path)?;
        if let Some(parent) = staged.target.parent() {
            fs::create_dir_all(parent).map_err(failed("creating", parent))?;
        }
        Ok(staged)
    }

    /// What a dead run left there, if anything.
    pub fn left_beside(target: &Path, purpose: &str) -> Result<Option<Staged>, WorkspaceError> {
        let staged = Staged::name(target, purpose)?;
        Ok(staged.path.is_dir().then_some(staged))
    }

    fn name(target: &Path, purpose: &str) -> Result<Staged, WorkspaceError> {
        let (target, path) = sibling(target, purpose)?;
        Ok(Staged {
            target,
            path,
            is_published: false,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn create(&self) -> Result<(), WorkspaceError> {
        fs::create_dir(&self.path).map_err(failed("creating", &self.path))
    }

    /// Puts the directory in the place of its target, by one rename. What was there is removed.
    pub fn publish(mut self) -> Result<(), WorkspaceError> {
        sync_directory(&self.path)?;
        match fs::symlink_metadata(&self.target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::rename(&self.path, &self.target).map_err(failed("creating", &self.target))?;
                self.is_published = true;
            }
            _ => {
                renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::EXCHANGE)
                    .map_err(|error| failed("replacing", &self.target)(error.into()))?;
                self.is_published = true;
                remove(&self.path)?;
            }
        }
        self.target.parent().map_or(Ok(()), sync_directory)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_published {
            // Nothing to do about a failure: the next run tries again.
            let _ = remove(&self.path);
        }
    }
}

/// `target` as a whole path, and the path of its hidden sibling for `purpose`.
fn sibling(target: &Path, purpose: &str) -> Result<(PathBuf, PathBuf), WorkspaceError> {
    let target = std::path::absolute(target).map_err(failed("finding", target))?;
    // A path such as `out/` or `out/.` names the same directory.
    let target: PathBuf = target.components().collect();
    let name = target
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput.into())
        .map_err(failed("naming", &target))?;
    let path = target.with_file_name(format!(".{}.{purpose}", name.to_string_lossy()));
    Ok((target, path))
}

fn remove(path: &Path) -> Result<(), WorkspaceError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("removing", path)(error))
        }
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), WorkspaceError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("syncing", path))
}

fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> WorkspaceError + 'a {
    move |source| WorkspaceError {
        action,
        path: path.to_path_buf(),
        source,
    }
}
