//! The directory in which an audit is kept, so that the same command goes on where it was
//! interrupted.
//!
//! `audit.json` says of which audit it is; beside it lies a store for each partition, which holds
//! its state after a commit and, in the same batch, how far that was compared. All of it is removed
//! once every partition has its verdict.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cli::failure::Failure;
use crate::cli::scratch::BUFFER_BYTES_MAX;
use crate::cli::streams;
use crate::files::workspace::Hold;
use crate::ports::log::Stores;
use crate::ports::{Changes, StoreError};
use crate::processor::audit::position::Position;
use crate::processor::audit::{Stop, Work};
use crate::store::buffered::Buffered;
use crate::store::directory::Directory;
use crate::store::rocks::RocksStore;

use super::progress::Progress;

const FILE: &str = "audit.json";
/// How each begins that an audit wrote.
const HEAD: &str = "{\"program\":";
/// How much may have to be refolded. The first commit is kept at once.
const KEEP_INTERVAL: Duration = Duration::from_secs(10);

pub struct WorkDir {
    path: PathBuf,
    stores: Directory,
    _hold: Hold,
}

impl WorkDir {
    /// Goes on with `audit`, or begins it where nothing is yet. What another audit left there is
    /// removed if it `is_replaced`, else refused.
    pub fn open(path: &Path, audit: &str, is_replaced: bool) -> Result<WorkDir, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::state(format!("--work-dir {}: {error}", path.display()))
        };
        let refused = |reason: &str| {
            Failure::usage(format!(
                "--work-dir {}: {reason}; give another directory, or remove this one",
                path.display()
            ))
        };
        let hold = Hold::take(path).map_err(|error| failed(&error))?;
        let hold = hold.ok_or_else(|| refused("another audit works there"))?;
        let file = path.join(FILE);
        let write = || fs::write(&file, audit).map_err(|error| failed(&error));
        match fs::read_to_string(&file) {
            Ok(found) if found == audit => {}
            // Killed while it was written: there is nothing else yet.
            Ok(found) if audit.starts_with(&found) => write()?,
            Ok(found) if is_replaced && found.starts_with(HEAD) => {
                streams::note(format_args!(
                    "--work-dir {}: begins anew: what was interrupted there is not this audit: {}",
                    path.display(),
                    found.trim_end()
                ));
                remove_stores(path).map_err(|error| failed(&error))?;
                write()?;
            }
            Ok(found) => {
                return Err(refused(&format!(
                    "an audit was interrupted there that is not this one: {} is not {}",
                    found.trim_end(),
                    audit.trim_end()
                )));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(|error| failed(&error))?;
                let mut entries = fs::read_dir(path).map_err(|error| failed(&error))?;
                if entries.next().is_some() {
                    return Err(refused("it holds something else"));
                }
                write()?;
            }
            Err(error) => return Err(failed(&error)),
        }
        Ok(WorkDir {
            path: path.to_owned(),
            stores: Directory::new(path).map_err(|error| failed(&error))?,
            _hold: hold,
        })
    }

    /// Where a partition is audited: where it was interrupted, or from its start.
    pub fn work(
        &self,
        partition: u16,
        progress: &Progress,
    ) -> Result<Work<'static, Buffered<RocksStore>>, Stop> {
        let failed = |error: StoreError| Stop::Kept(format!("partition {partition}: {error}"));
        let mut store = self.store(partition).map_err(|error| match error {
            StoreError::Damaged(_) => failed(error),
            error => Stop::Store(error.to_string()),
        })?;
        let position = Position::read(&store).map_err(failed)?;
        match &position {
            Some(Position {
                sequence, records, ..
            }) => {
                progress.pass_over(*records);
                streams::note(format_args!(
                    "partition {partition}: goes on after commit {sequence}; {records} records were folded before"
                ));
            }
            // What was loaded before the first position was kept.
            None => {
                drop(store);
                let mut stores = self.stores.clone();
                stores.discard(partition, false).map_err(failed)?;
                store = self.store(partition).map_err(failed)?;
            }
        }
        let mut kept: Option<Instant> = None;
        Ok(Work {
            store: Buffered::new(store, BUFFER_BYTES_MAX),
            position,
            keep: Some(Box::new(move |store, position: &Changes, is_over| {
                store.hold(position);
                if is_over || kept.is_none_or(|at| at.elapsed() >= KEEP_INTERVAL) {
                    store.spill()?.flush(true)?;
                    kept = Some(Instant::now());
                }
                Ok(())
            })),
        })
    }

    /// The audit has come to its end.
    pub fn remove(self, partitions: u16) -> Result<(), Failure> {
        let mut stores = self.stores.clone();
        for partition in 0..partitions {
            let removed = stores.discard(partition, false);
            removed.map_err(|error| Failure::failed(error.to_string()))?;
        }
        let removed = fs::remove_file(self.path.join(FILE));
        // One that something else lies in by now, or that a volume is mounted at, stays.
        let _ = fs::remove_dir(&self.path);
        removed.map_err(|error| Failure::failed(format!("{}: {error}", self.path.display())))
    }

    fn store(&self, partition: u16) -> Result<RocksStore, StoreError> {
        let store = self.stores.clone().open(partition)?;
        store.ok_or_else(|| StoreError::Failed(format!("partition {partition} is asked for twice")))
    }
}

/// Of however many partitions.
fn remove_stores(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|it| it.starts_with("partition-")) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_same_command_each_month_replaces_another_audit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("work");
        let open = |month: &str, is_replaced| {
            let audit = format!("{HEAD}\"0.1.0\",\"month\":\"{month}\"}}\n");
            WorkDir::open(&path, &audit, is_replaced).err()
        };
        assert!(open("2026-01", false).is_none());
        let (left, other) = (path.join("partition-7"), path.join("other"));
        fs::create_dir(&left).unwrap();
        fs::write(&other, "x").unwrap();
        let refused = open("2026-02", false).expect("it is January's");
        assert_eq!(refused.code, 2, "{}", refused.message);
        assert!(left.exists());
        assert!(open("2026-01", true).is_none());
        assert!(left.exists(), "it goes on");
        assert!(open("2026-02", true).is_none());
        assert!(!left.exists() && other.exists());
        assert!(open("2026-02", false).is_none(), "it is February's");
        // Not an audit's.
        fs::write(path.join(FILE), "{\"partitions\":[]}").unwrap();
        let refused = open("2026-02", true).expect("it is somebody's");
        assert_eq!(refused.code, 2, "{}", refused.message);
    }
}
