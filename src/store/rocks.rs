//! RocksDB behind the store seam.
//!
//! One column family and no write-ahead log: a killed process reopens at a consistent prefix of
//! its batches. A database holds one or more partitions side by side; a [`RocksStore`] is the view
//! of one of them.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, Direction, ErrorKind, FlushOptions,
    IteratorMode, Options, ReadOptions, Snapshot, WriteBatch, WriteBufferManager, WriteOptions,
};

use crate::ports::log::StoreFigures;
use crate::ports::{CellVisitor, Cells, Changes, Store, StoreError};

/// Of RocksDB, which does not say it to those who link it.
pub const VERSION: &str = "11.8.1";

/// Memory of the block cache, of a whole database.
const BLOCK_CACHE_BYTES: usize = 32 << 20;
const MEMTABLE_BYTES: usize = 32 << 20;
const MEMTABLES_MAX: i32 = 2;
const SCAN_READAHEAD_BYTES: usize = 1 << 20;
/// The same for all databases of a process on a log.
pub const SHARED_CACHE_BYTES: usize = 64 << 20;
pub const SHARED_MEMTABLES_BYTES: usize = 64 << 20;

/// An open database directory.
#[derive(Clone)]
pub struct Rocks {
    db: Arc<DB>,
}

/// The cells of one partition in a [`Rocks`].
pub struct RocksStore {
    db: Arc<DB>,
    partition: [u8; 2],
    write_options: WriteOptions,
}

/// Lets other threads read the cells of a partition. The database stays open while it lives.
pub struct RocksReader {
    db: Arc<DB>,
    partition: [u8; 2],
}

/// The cells of a partition as they were at one moment: what is applied later does not show.
pub struct RocksView<'a> {
    snapshot: Snapshot<'a>,
    partition: [u8; 2],
}

/// Memory that several databases share: one block cache, one sum of write buffers.
#[derive(Clone)]
pub struct Budget {
    cache: Cache,
    write_buffers: WriteBufferManager,
}

impl Budget {
    pub fn new() -> Budget {
        Budget {
            cache: Cache::new_lru_cache(SHARED_CACHE_BYTES),
            write_buffers: WriteBufferManager::new_write_buffer_manager(
                SHARED_MEMTABLES_BYTES,
                false,
            ),
        }
    }
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new()
    }
}

impl Rocks {
    /// Opens the database at `path`, creating it if it is not there.
    pub fn open(path: &Path) -> Result<Rocks, StoreError> {
        Rocks::open_with(path, true, &Cache::new_lru_cache(BLOCK_CACHE_BYTES), None)
    }

    /// The same, within a budget of memory. What holds files but no database is damaged: no empty
    /// one takes its place.
    pub fn open_within(path: &Path, budget: &Budget) -> Result<Rocks, StoreError> {
        let is_new = match fs::read_dir(path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(refused(format!("{}: {error}", path.display()))),
        };
        Rocks::open_with(path, is_new, &budget.cache, Some(&budget.write_buffers))
    }

    fn open_with(
        path: &Path,
        is_new: bool,
        cache: &Cache,
        write_buffers: Option<&WriteBufferManager>,
    ) -> Result<Rocks, StoreError> {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_bloom_filter(10.0, false);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_block_size(8 << 10);
        table.set_format_version(6);
        let mut options = Options::default();
        options.create_if_missing(is_new);
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(MEMTABLE_BYTES);
        options.set_max_write_buffer_number(MEMTABLES_MAX);
        options.set_keep_log_file_num(1);
        options.set_max_open_files(512);
        if let Some(write_buffers) = write_buffers {
            options.set_write_buffer_manager(write_buffers);
        }
        let db = DB::open(&options, path).map_err(failed)?;
        Ok(Rocks { db: Arc::new(db) })
    }

    pub fn partition(&self, partition: u16) -> RocksStore {
        let mut write_options = WriteOptions::default();
        write_options.disable_wal(true);
        RocksStore {
            db: Arc::clone(&self.db),
            partition: partition.to_be_bytes(),
            write_options,
        }
    }

    /// Partitions of the first and the last cell; None: there are no cells.
    pub fn partitions(&self) -> Result<Option<(u16, u16)>, StoreError> {
        let mut found = Vec::new();
        for end in [IteratorMode::Start, IteratorMode::End] {
            let cell = self.db.iterator(end).next().transpose().map_err(failed)?;
            let partition = cell.and_then(|(key, _)| key.first_chunk().copied());
            found.extend(partition.map(u16::from_be_bytes));
        }
        Ok(found.first().copied().zip(found.last().copied()))
    }

    /// Makes everything applied so far durable.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed)
    }

    /// A consistent copy of the database at `path`, which must not exist; files are linked.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(path))
            .map_err(failed)
    }
}

impl RocksStore {
    /// Makes what was applied durable; waits for it only if `is_last`.
    pub fn flush(&self, is_last: bool) -> Result<(), StoreError> {
        let mut options = FlushOptions::default();
        options.set_wait(is_last);
        self.db.flush_opt(&options).map_err(failed)
    }

    pub fn reader(&self) -> RocksReader {
        RocksReader {
            db: Arc::clone(&self.db),
            partition: self.partition,
        }
    }

    /// A figure that the database does not tell is 0.
    pub fn figures(&self) -> StoreFigures {
        let of = |name: &str| {
            let value = self.db.property_int_value(name);
            value.ok().flatten().unwrap_or_default()
        };
        StoreFigures {
            keys_estimate: of("rocksdb.estimate-num-keys"),
            live_bytes: of("rocksdb.estimate-live-data-size"),
            total_bytes: of("rocksdb.total-sst-files-size"),
            memtable_bytes: of("rocksdb.cur-size-all-mem-tables"),
            table_reader_bytes: of("rocksdb.estimate-table-readers-mem"),
            compaction_pending_bytes: of("rocksdb.estimate-pending-compaction-bytes"),
            compactions_running: of("rocksdb.num-running-compactions"),
            flushes_running: of("rocksdb.num-running-flushes"),
            immutable_memtables: of("rocksdb.num-immutable-mem-table"),
            l0_files: of("rocksdb.num-files-at-level0"),
            block_cache_bytes: of("rocksdb.block-cache-usage"),
            is_write_stalled: of("rocksdb.is-write-stopped") > 0
                || of("rocksdb.actual-delayed-write-rate") > 0,
            background_errors: of("rocksdb.background-errors"),
        }
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.partition, key].concat()
    }
}

impl RocksReader {
    pub fn view(&self) -> RocksView<'_> {
        RocksView {
            snapshot: self.db.snapshot(),
            partition: self.partition,
        }
    }
}

impl RocksView<'_> {
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.partition, key].concat()
    }
}

/// Reading is the same through a database and through a snapshot of it, which share no trait.
macro_rules! read_through {
    ($type:ty, $source:ident, $readahead_bytes:expr) => {
        impl Cells for $type {
            fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
                self.$source.get(self.key(key)).map_err(failed)
            }

            fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
                let answers = self.$source.multi_get(keys.iter().map(|key| self.key(key)));
                answers
                    .into_iter()
                    .map(|answer| answer.map_err(failed))
                    .collect()
            }

            fn scan(
                &self,
                from: &[u8],
                to: &[u8],
                visit: &mut CellVisitor,
            ) -> Result<(), StoreError> {
                let start = self.key(from);
                let mut options = ReadOptions::default();
                options.set_iterate_upper_bound(self.key(to));
                options.set_readahead_size($readahead_bytes);
                let from = IteratorMode::From(&start, Direction::Forward);
                for cell in self.$source.iterator_opt(from, options) {
                    let (key, value) = cell.map_err(failed)?;
                    if visit(&key[self.partition.len()..], &value).is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    };
}

read_through!(RocksStore, db, SCAN_READAHEAD_BYTES);
// What is asked about a team is short.
read_through!(RocksView<'_>, snapshot, 0);

impl Store for RocksStore {
    fn apply(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (key, value) in changes.iter() {
            match value {
                Some(value) => batch.put(self.key(key), value),
                None => batch.delete(self.key(key)),
            }
        }
        self.db
            .write_opt(batch, &self.write_options)
            .map_err(failed)
    }
}

/// What an error of RocksDB means for the store.
fn failed(error: rocksdb::Error) -> StoreError {
    let kind = error.kind();
    let text = error.into_string();
    match kind {
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotSupported => {
            StoreError::Damaged(text)
        }
        _ => refused(text),
    }
}

/// The same for an error of the operating system, which says in words alone what it is.
fn refused(text: String) -> StoreError {
    let says = |words: &[&str]| words.iter().any(|it| text.contains(it));
    if says(&[
        "No such file or directory",
        "Not a directory",
        "Is a directory",
    ]) {
        return StoreError::Damaged(text);
    }
    if says(&["lock file", "lock hold by current process"]) {
        return StoreError::Unusable(format!(
            "{text}: another process holds this directory; stop it, or give each its own state_dir"
        ));
    }
    if says(&[
        "Read-only file system",
        "Permission denied",
        "Operation not permitted",
    ]) {
        return StoreError::Unusable(format!("{text}: make state_dir writable for this process"));
    }
    if text.contains("Input/output error") {
        return StoreError::Unusable(format!(
            "{text}: the disk fails; replace it, state is restored from the changelog"
        ));
    }
    StoreError::Failed(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_library() {
        let directory = tempfile::tempdir().unwrap();
        drop(Rocks::open(directory.path()).unwrap());
        let files = fs::read_dir(directory.path()).unwrap();
        let options = files
            .map(|file| file.unwrap().path())
            .find(|path| path.to_string_lossy().contains("OPTIONS-"));
        let options = fs::read_to_string(options.expect("RocksDB writes its options")).unwrap();
        let version = format!("rocksdb_version={VERSION}");
        assert!(
            options.lines().any(|line| line.trim() == version),
            "{options}"
        );
    }
}
