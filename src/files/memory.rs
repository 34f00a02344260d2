//! The in-memory twin of a log: records to read, and commits that become visible as a whole or not
//! at all.
//!
//! It keeps what a commit wrote apart from what is *durable*, remembers which record each commit
//! had come to, and fails on demand, so that a test can end a process anywhere in the loop and go
//! on from what a broker would have kept.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::billing::event::Body;
use crate::billing::time::Instant;
use crate::ports::{Batch, Committer, Piece, Slot, Source, Staged, StagedDerived, Taken};
use crate::wire::partitioner::partition_of;

use super::ndjson::LineReader;

/// A log. Clones are handles to the same one.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    pieces: Vec<Arc<Piece>>,
    records: Vec<Place>,
    partitions: u16,
    /// Next record of the source that reads, and where it stops.
    unread: Range<usize>,
    commits: Vec<Commit>,
    /// So many of the commits survive a crash.
    durable: usize,
    failure: Option<(u64, CommitFailure)>,
}

/// A record, where it belongs and the clock that it meets.
#[derive(Clone, Copy)]
struct Place {
    slot: Slot,
    partition: u16,
}

/// What a commit left in the log.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The record that follows the last one folded.
    pub next: usize,
    /// By partition.
    pub parts: Vec<CommittedPart>,
}

/// (number of the record, line)
pub type NumberedLine = (u64, Vec<u8>);

#[derive(Clone, Debug, Default)]
pub struct CommittedPart {
    /// (time, team, canonical JSON), in fold order.
    pub derived: Vec<(Instant, String, Vec<u8>)>,
    /// In fold order.
    pub dead_letters: Vec<NumberedLine>,
    pub trace: Vec<NumberedLine>,
    /// (key, value or deleted), META last: the changelog.
    pub changes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The output files of all durable commits, as a file run writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommittedOutput {
    pub derived: Vec<u8>,
    pub dead_letters: Vec<u8>,
    pub trace: Vec<u8>,
}

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFailure {
    /// Nothing of it came to the log.
    Refused,
    /// It was written, but not durable when the process ended.
    Unsynced,
    /// It succeeded, but its caller never heard of it.
    Unanswered,
}

#[derive(Debug, thiserror::Error)]
#[error("commit: {0:?} (on demand)")]
pub struct MemoryLogError(pub CommitFailure);

/// Reads some records of a [`MemoryLog`]. There is one at a time.
pub struct MemorySource {
    log: MemoryLog,
    /// Records of each batch; when they are used up, from the first again.
    batches: Vec<usize>,
    batch: usize,
}

/// Appends to a [`MemoryLog`].
pub struct MemoryCommit {
    log: MemoryLog,
}

impl MemoryLog {
    /// The lines of `text`, for `partitions` partitions whose clock stands at `clock`.
    pub fn new(text: &[u8], partitions: u16, clock: Option<Instant>) -> MemoryLog {
        let mut reader = LineReader::new(Box::new(std::io::Cursor::new(text.to_vec())));
        let mut pieces = Vec::new();
        // Memory does not fail to be read.
        while let Ok(Some(lines)) = reader.next_lines(Piece::default()) {
            pieces.push(Arc::new(lines.decode(0)));
        }
        MemoryLog {
            shared: Arc::new(Mutex::new(Shared {
                records: places(&pieces, partitions, clock),
                pieces,
                partitions,
                unread: 0..0,
                commits: Vec::new(),
                durable: 0,
                failure: None,
            })),
        }
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.with(|shared| shared.records.len())
    }

    /// Reads `records`, in batches of the given sizes (none: all at once).
    pub fn source(&self, records: Range<usize>, batches: &[usize]) -> MemorySource {
        self.with(|shared| shared.unread = records);
        MemorySource {
            log: self.clone(),
            batches: batches.to_vec(),
            batch: 0,
        }
    }

    pub fn committer(&self) -> MemoryCommit {
        MemoryCommit { log: self.clone() }
    }

    /// The commit after `count` more fails.
    pub fn fail_after(&self, count: u64, failure: CommitFailure) {
        self.with(|shared| shared.failure = Some((count, failure)));
    }

    /// The process ends: what was not durable is gone.
    pub fn crash(&self) {
        self.with(|shared| {
            shared.commits.truncate(shared.durable);
            shared.failure = None;
        });
    }

    /// The durable commits, in order; that of sequence `n` is the `n`th.
    pub fn commits(&self) -> Vec<Commit> {
        self.with(|shared| shared.commits[..shared.durable].to_vec())
    }

    pub fn output(&self) -> CommittedOutput {
        let commits = self.commits();
        let parts = || commits.iter().flat_map(|commit| &commit.parts);
        let mut derived: Vec<_> = parts().flat_map(|part| &part.derived).collect();
        // Stable: within a team the fold order stays.
        derived.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let in_fold_order = |select: fn(&CommittedPart) -> &Vec<NumberedLine>| {
            let mut lines: Vec<&NumberedLine> = parts().flat_map(select).collect();
            lines.sort_by_key(|(number, _)| *number);
            lines.iter().flat_map(|(_, line)| line.clone()).collect()
        };
        let line = |json: &[u8]| [json, b"\n"].concat();
        CommittedOutput {
            derived: derived.iter().flat_map(|(_, _, json)| line(json)).collect(),
            dead_letters: in_fold_order(|part| &part.dead_letters),
            trace: in_fold_order(|part| &part.trace),
        }
    }

    fn with<T>(&self, use_log: impl FnOnce(&mut Shared) -> T) -> T {
        use_log(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Source for MemorySource {
    type Error = std::convert::Infallible;

    fn take(&mut self) -> Result<Taken, Self::Error> {
        let records = match self.batches.get(self.batch) {
            Some(records) => (*records).max(1),
            None => usize::MAX,
        };
        self.batch = (self.batch + 1) % self.batches.len().max(1);
        let taken = self.log.with(|shared| {
            let clock_before = |next: usize| {
                let before = next
                    .checked_sub(1)
                    .and_then(|last| shared.records.get(last));
                before.and_then(|place| place.slot.clock)
            };
            let start = shared.unread.start;
            let end = start.saturating_add(records).min(shared.unread.end);
            if start >= end {
                return Taken::End(clock_before(start));
            }
            let mut batch = Batch::new(shared.partitions, clock_before(end), start as u64);
            batch.pieces.clone_from(&shared.pieces);
            for place in &shared.records[start..end] {
                batch.push(place.slot, place.partition);
            }
            shared.unread.start = end;
            Taken::Batch(batch)
        });
        Ok(taken)
    }
}

impl Committer for MemoryCommit {
    type Error = MemoryLogError;

    fn commit(&mut self, staged: &mut [Staged]) -> Result<(), MemoryLogError> {
        let parts = staged.iter().map(CommittedPart::of).collect();
        self.log.with(|shared| {
            let failure = match &mut shared.failure {
                Some((0, failure)) => Some(*failure),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            };
            if failure == Some(CommitFailure::Refused) {
                return Err(MemoryLogError(CommitFailure::Refused));
            }
            let next = shared.unread.start;
            shared.commits.push(Commit { next, parts });
            if failure != Some(CommitFailure::Unsynced) {
                shared.durable = shared.commits.len();
            }
            failure.map_or(Ok(()), |failure| Err(MemoryLogError(failure)))
        })
    }
}

impl CommittedPart {
    fn of(staged: &Staged) -> CommittedPart {
        let derived =
            |event: &StagedDerived| (event.time, event.team.to_string(), event.json.clone());
        let change = |(key, value): (&[u8], Option<&[u8]>)| (key.to_vec(), value.map(Vec::from));
        CommittedPart {
            derived: staged.derived.iter().map(derived).collect(),
            dead_letters: numbered_lines(&staged.dead_letters),
            trace: numbered_lines(&staged.trace),
            changes: staged.changes.iter().map(change).collect(),
        }
    }
}

fn numbered_lines(lines: &crate::ports::Lines) -> Vec<NumberedLine> {
    let mut start = 0;
    let line = |(number, end): &(u64, usize)| {
        let line = lines.bytes[start..*end].to_vec();
        start = *end;
        (*number, line)
    };
    lines.ends.iter().map(line).collect()
}

fn places(pieces: &[Arc<Piece>], partitions: u16, clock: Option<Instant>) -> Vec<Place> {
    let mut places = Vec::new();
    let mut clock = clock;
    for (piece_number, piece) in (0..).zip(pieces) {
        for (number, record) in (0..).zip(&piece.records) {
            clock = clock.max(record.decoded.recorded);
            let partition = match &record.decoded.event {
                Ok(event) if event.body != Body::ClockTick => {
                    partition_of(piece.text.get(event.team).as_bytes(), partitions)
                }
                _ => 0,
            };
            let slot = Slot {
                piece: piece_number,
                record: number,
                clock,
            };
            places.push(Place { slot, partition });
        }
    }
    places
}
