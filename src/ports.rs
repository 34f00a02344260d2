//! The three seams between the processor and the outside world: where records come from, where
//! state lives, where a commit goes. Each has two real implementers; none knows the others.

pub mod evidence;
pub mod log;

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::billing::derived_event::DerivedKind;
use crate::billing::time::Instant;
use crate::wire::journal::WriterSchema;
use crate::wire::meta::Witness;
use crate::wire::span::{Decoded, Span, Text};

/// Where records come from. Hands them out in fold order, each decoded and with its clock.
pub trait Source {
    type Error: std::error::Error + Send + Sync + 'static;

    /// What is there now. Blocks until there is something, or the end is reached.
    fn take(&mut self) -> Result<Taken, Self::Error>;

    /// A batch that was folded comes back, so that its memory can be used again.
    fn recycle(&mut self, _batch: Batch) {}
}

pub enum Taken {
    Batch(Batch),
    /// No record will ever follow; the clock stands at this instant if it ever moved.
    End(Option<Instant>),
}

/// Records in fold order. They lie in pieces, as they were read.
pub struct Batch {
    pub pieces: Vec<Arc<Piece>>,
    /// In fold order.
    pub slots: Vec<Slot>,
    /// The numbers of each partition's slots, ascending.
    pub by_partition: Vec<Vec<u32>>,
    /// The partition clock after the last record.
    pub clock: Option<Instant>,
    /// Number of the first slot over the whole run.
    pub first_number: u64,
    /// On a log: where inputs stand after the batch, beyond its last record.
    pub ends: Vec<InputEnd>,
}

/// The next offset to read of an input of one partition: control records and aborted ones may lie
/// between the last record and it (`engine.md` 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputEnd {
    pub partition: u16,
    pub input: u32,
    pub next_offset: i64,
}

/// Where a record of a batch lies, and the clock that it meets.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub piece: u32,
    pub record: u32,
    /// None: the clock has not moved yet.
    pub clock: Option<Instant>,
}

/// Consecutive records of one input and the text that they point into.
#[derive(Default)]
pub struct Piece {
    /// Index of the input.
    pub input: u32,
    pub text: Text,
    pub records: Vec<Record>,
    /// Bytes of records that are not text.
    pub raw: Vec<u8>,
    /// On a log: (index of the record, writer schema that is met there for the first time).
    pub schemas: Vec<(u32, WriterSchema)>,
}

pub struct Record {
    /// Line or record number in its input, from 1; on a log the offset.
    pub line: u64,
    pub decoded: Decoded,
    pub original: Original,
}

/// The record as it came, for a dead letter.
#[derive(Clone, Debug)]
pub enum Original {
    Text(Span),
    /// A range of the piece's `raw`.
    Bytes(Range<usize>),
    /// Cut at the record limit; a range of the piece's `raw`.
    Truncated(Range<usize>),
}

/// The cells of one partition, in key order, as they may be read.
pub trait Cells {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// One answer a key, in the order asked.
    fn get_many(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Visits the cells of `from..to` in key order until told to stop.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut CellVisitor) -> Result<(), StoreError>;
}

/// Where state lives: cells that one thread changes.
pub trait Store: Cells + Send {
    /// Applies all changes or none.
    fn apply(&mut self, changes: &Changes) -> Result<(), StoreError>;
}

/// Sees one cell: key, value.
pub type CellVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// May pass, such as a full disk: the store is opened again.
    #[error("state store: {0}")]
    Failed(String),
    #[error("state store: cell {key}: {reason}")]
    Corrupt { key: String, reason: String },
    /// Files that are not what was written.
    #[error("state store: {0}")]
    Damaged(String),
    /// Somebody must act: another process holds it, or the disk may not be written.
    #[error("state store: {0}")]
    Unusable(String),
}

impl StoreError {
    /// The store is to be put away and made anew.
    pub fn is_damage(&self) -> bool {
        matches!(self, StoreError::Corrupt { .. } | StoreError::Damaged(_))
    }
}

/// Cells to write (`Some`) or delete (`None`), in order.
#[derive(Debug, Default)]
pub struct Changes {
    bytes: Vec<u8>,
    cells: Vec<(Range<usize>, Option<Range<usize>>)>,
}

/// Memory that cleared [`Changes`] keep.
const CHANGES_BYTES_KEPT: usize = 1 << 20;

/// Where a commit goes. Whatever a commit holds becomes visible as a whole or not at all.
pub trait Committer {
    type Error: std::error::Error + Send + Sync + 'static;

    fn commit(&mut self, staged: &mut [Staged]) -> Result<(), Self::Error>;
}

/// What one partition hands to a commit.
#[derive(Debug, Default)]
pub struct Staged {
    pub partition: u16,
    /// In fold order.
    pub derived: Vec<StagedDerived>,
    pub dead_letters: Lines,
    pub trace: Lines,
    /// State cells, META last.
    pub changes: Changes,
    /// On a log only.
    pub log: Option<StagedLog>,
}

/// What a commit tells the log beside its outputs.
#[derive(Debug)]
pub struct StagedLog {
    pub journal: Vec<u8>,
    pub witness: Witness,
    /// Next offset of each input, in the order of the inputs.
    pub positions: Vec<i64>,
    /// The clock was moved by the wall clock, which stood here: the commit must not go through if
    /// the log's own clock differs.
    pub wall_millis: Option<i64>,
}

/// A derived event in its canonical JSON.
#[derive(Debug)]
pub struct StagedDerived {
    pub time: Instant,
    pub team: Box<str>,
    pub kind: DerivedKind,
    pub json: Vec<u8>,
}

/// Output lines, each with the number of its record in fold order over all partitions.
#[derive(Debug, Default)]
pub struct Lines {
    pub bytes: Vec<u8>,
    /// (number of the record, end in `bytes`), ascending.
    pub ends: Vec<(u64, usize)>,
}

/// Memory of a piece's raw records that outlives them.
const RAW_BYTES_KEPT: usize = 16 << 20;

impl Piece {
    /// Empty, but with its memory, unless a huge record made it large.
    pub fn clear(&mut self) {
        self.text.input.clear();
        self.text.side.clear();
        self.records.clear();
        self.raw.clear();
        self.raw.shrink_to(RAW_BYTES_KEPT);
        self.schemas.clear();
    }
}

impl Batch {
    /// An empty batch for `partitions` partitions.
    pub fn new(partitions: u16, clock: Option<Instant>, first_number: u64) -> Batch {
        let by_partition = vec![Vec::new(); usize::from(partitions)];
        Batch {
            pieces: Vec::new(),
            slots: Vec::new(),
            by_partition,
            clock,
            first_number,
            ends: Vec::new(),
        }
    }

    pub fn push(&mut self, slot: Slot, partition: u16) {
        self.by_partition[usize::from(partition)].push(self.slots.len() as u32);
        self.slots.push(slot);
    }

    /// Numbers and slots of `partition`, in fold order.
    pub fn of_partition(&self, partition: u16) -> impl Iterator<Item = (u64, &Slot)> + Clone {
        let numbers = self.by_partition[usize::from(partition)].iter();
        numbers.map(|number| {
            (
                self.first_number + u64::from(*number),
                &self.slots[*number as usize],
            )
        })
    }
}

impl Changes {
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        let key = self.push(key);
        let value = self.push(value);
        self.cells.push((key, Some(value)));
    }

    pub fn delete(&mut self, key: &[u8]) {
        let key = self.push(key);
        self.cells.push((key, None));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.cells.iter().map(|(key, value)| {
            (
                &self.bytes[key.clone()],
                value.clone().map(|value| &self.bytes[value]),
            )
        })
    }

    pub fn len(&self) -> usize {
        self.cells.len()
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Keeps the memory of an ordinary commit, not that of a huge one.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(CHANGES_BYTES_KEPT);
        self.cells.clear();
        self.cells
            .shrink_to(CHANGES_BYTES_KEPT / size_of::<(Range<usize>, Option<Range<usize>>)>());
    }

    fn push(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

impl Lines {
    /// Ends the line that was written to `bytes` since the last call.
    pub fn end_line(&mut self, number: u64) {
        self.bytes.push(b'\n');
        self.end(number);
    }

    /// The same for what is not text: nothing is added.
    pub fn end(&mut self, number: u64) {
        self.ends.push((number, self.bytes.len()));
    }

    /// Each line with its end, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |(_, end)| {
            let line = &self.bytes[start..*end];
            start = *end;
            line
        })
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl Staged {
    pub fn clear(&mut self) {
        self.derived.clear();
        self.dead_letters.clear();
        self.trace.clear();
        self.changes.clear();
        self.log = None;
    }

    pub fn output_bytes(&self) -> usize {
        let derived: usize = self.derived.iter().map(|event| event.json.len()).sum();
        derived + self.dead_letters.bytes.len() + self.trace.bytes.len()
    }
}
