//! Temporary stores of a refold, under TMPDIR; they go with the command.

use crate::files::workspace::Staged;
use crate::ports::log::Stores;
use crate::store::directory::Directory;
use crate::store::rocks::RocksStore;

use super::failure::Failure;

pub struct Scratch {
    stores: Directory,
    /// Removed when it is dropped, after the stores.
    _directory: Staged,
}

impl Scratch {
    pub fn new() -> Result<Scratch, Failure> {
        let name = format!("meterfold-refold-{}", std::process::id());
        let directory =
            Staged::beside(&std::env::temp_dir().join(name), "scratch").map_err(failed)?;
        Ok(Scratch {
            stores: Directory::new(directory.path()).map_err(failed)?,
            _directory: directory,
        })
    }

    /// An empty store for a partition, which is asked for once.
    pub fn store(&self, partition: u16) -> Result<RocksStore, Failure> {
        let store = self.stores.clone().open(partition).map_err(failed)?;
        store.ok_or_else(|| failed(format!("partition {partition} has its store already")))
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("the temporary store (under TMPDIR): {error}"))
}
