//! Temporary stores of a refold, under TMPDIR; they go with the command. What a killed one left is
//! removed by the next.

use std::io::ErrorKind;

use crate::files::workspace::{Hold, Staged};
use crate::ports::log::Stores;
use crate::store::buffered::Buffered;
use crate::store::directory::Directory;
use crate::store::rocks::RocksStore;

use super::failure::Failure;

/// Changes that a store keeps in memory before they go to the disk.
pub const BUFFER_BYTES_MAX: usize = 64 << 20;
/// Commands at once, of all users of the machine.
const COMMANDS_MAX: u32 = 1_000;

pub struct Scratch {
    stores: Directory,
    /// Removed when it is dropped, after the stores; then nobody is kept away any more.
    _directory: Staged,
    _hold: Hold,
}

impl Scratch {
    pub fn new() -> Result<Scratch, Failure> {
        for number in 0..COMMANDS_MAX {
            let target = std::env::temp_dir().join(format!("meterfold-refold-{number}"));
            let hold = match Hold::take(&target) {
                Ok(Some(hold)) => hold,
                Ok(None) => continue,
                // Another user's.
                Err(error) if error.source.kind() == ErrorKind::PermissionDenied => continue,
                Err(error) => return Err(failed(error)),
            };
            let directory = Staged::beside(&target, "scratch").map_err(failed)?;
            return Ok(Scratch {
                stores: Directory::new(directory.path()).map_err(failed)?,
                _directory: directory,
                _hold: hold,
            });
        }
        Err(failed("too many commands run at once"))
    }

    /// An empty store for a partition, which is asked for once.
    pub fn store(&self, partition: u16) -> Result<RocksStore, Failure> {
        let store = self.stores.clone().open(partition).map_err(failed)?;
        store.ok_or_else(|| failed(format!("partition {partition} has its store already")))
    }

    /// The same, for a partition that nobody asks for anything once it is folded.
    pub fn buffered(&self, partition: u16) -> Result<Buffered<RocksStore>, Failure> {
        let store = self.store(partition)?;
        Ok(Buffered::new(store, BUFFER_BYTES_MAX))
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("the temporary store (under TMPDIR): {error}"))
}
