//! The file source: all inputs merged by recorded time under one clock (`fold.md` 4).
//!
//! Ties go in argument order, each input stays in its own order, and a record without a readable
//! recorded time follows the record before it in its input. The merge gives each record its clock
//! and guards it against leaps (`interfaces.md` 3).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::billing::event::Body;
use crate::billing::time::{Instant, MILLIS_PER_DAY};
use crate::ports::{Batch, Piece, Slot, Source, Taken};
use crate::wire::partitioner::partition_of;

use super::input::{Chunk, Input, InputError};

/// A recorded time may lie at most so far after the clock, unless that is allowed.
pub const CLOCK_JUMP_DAYS_MAX: i64 = 400;

/// Chunks read ahead for each decoding thread.
const CHUNKS_PER_THREAD: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum FileSourceError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(
        "{path} line {line}: recorded at {recorded}, more than {CLOCK_JUMP_DAYS_MAX} days after the clock {clock}; \
         mend the record, or pass --allow-clock-jump if the gap is real"
    )]
    ClockJump {
        path: PathBuf,
        line: u64,
        recorded: Instant,
        clock: Instant,
    },
}

pub struct FileSource {
    inputs: Vec<Queue>,
    clock: Option<Instant>,
    allow_clock_jump: bool,
    partitions: u16,
    threads: usize,
    /// Number of the next record over the whole run.
    next_number: u64,
    bytes_read: Arc<AtomicU64>,
    /// Memory of pieces that were folded.
    spare: Vec<Piece>,
}

/// An input and its decoded records that are not yet handed out.
struct Queue {
    path: PathBuf,
    input: Input,
    pieces: VecDeque<Arc<Piece>>,
    /// What is left of the last chunk.
    rest: Option<Chunk>,
    /// Next record of the first piece.
    next: usize,
    /// Recorded time of the last record that had one.
    recorded: Option<Instant>,
    is_at_end: bool,
}

impl FileSource {
    /// Opens all inputs. `clock` is where the state stands.
    pub fn open(
        paths: &[PathBuf],
        clock: Option<Instant>,
        allow_clock_jump: bool,
        partitions: u16,
        threads: usize,
    ) -> Result<FileSource, InputError> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let inputs = (0..)
            .zip(paths)
            .map(|(number, path)| Queue::open(path, number, Arc::clone(&bytes_read)));
        Ok(FileSource {
            inputs: inputs.collect::<Result<_, _>>()?,
            clock,
            allow_clock_jump,
            partitions,
            threads,
            next_number: 0,
            bytes_read,
            spare: Vec::new(),
        })
    }

    /// Bytes read from the files so far, packed ones as they lie there.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes_read)
    }

    /// Sees to it that every input that has not ended has a record at hand.
    fn refill(&mut self) -> Result<(), InputError> {
        let empty = self
            .inputs
            .iter()
            .filter(|queue| queue.is_empty() && !queue.is_at_end)
            .count();
        if empty == 0 {
            return Ok(());
        }
        let each = (self.threads * CHUNKS_PER_THREAD).div_ceil(empty).max(1);
        let mut chunks: Vec<(usize, Chunk)> = Vec::new();
        for (index, queue) in self
            .inputs
            .iter_mut()
            .enumerate()
            .filter(|(_, queue)| queue.is_empty())
        {
            // What is left of a chunk comes before anything that is read after it.
            if let Some(rest) = queue.rest.take() {
                chunks.push((index, rest));
                continue;
            }
            for _ in 0..each {
                match queue.input.read(self.spare.pop().unwrap_or_default())? {
                    Some(chunk) => {
                        let is_last = chunk.may_leave_rest();
                        chunks.push((index, chunk));
                        if is_last {
                            break;
                        }
                    }
                    None => {
                        queue.is_at_end = true;
                        break;
                    }
                }
            }
        }
        for (index, (mut piece, rest)) in self.decode(chunks) {
            let queue = &mut self.inputs[index];
            queue.rest = rest;
            queue.input.number_records(&mut piece);
            if !piece.records.is_empty() {
                queue.pieces.push_back(Arc::new(piece));
            }
        }
        Ok(())
    }

    fn decode(&self, chunks: Vec<(usize, Chunk)>) -> Vec<(usize, (Piece, Option<Chunk>))> {
        let decode =
            |(index, chunk): (usize, Chunk)| (index, self.inputs[index].input.decode(chunk));
        if self.threads <= 1 || chunks.len() <= 1 {
            return chunks.into_iter().map(decode).collect();
        }
        let mut shares: Vec<Vec<(usize, Chunk)>> = Vec::new();
        let share = chunks.len().div_ceil(self.threads);
        let mut chunks = chunks.into_iter().peekable();
        while chunks.peek().is_some() {
            shares.push(chunks.by_ref().take(share).collect());
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = shares
                .into_iter()
                .map(|share| scope.spawn(move || share.into_iter().map(decode).collect::<Vec<_>>()))
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| {
                    worker
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        })
    }

    /// The input whose record is next: the smallest recorded time, of equal ones the first.
    fn next_input(&self) -> Option<usize> {
        let heads = self
            .inputs
            .iter()
            .enumerate()
            .filter(|(_, queue)| !queue.is_empty());
        heads
            .min_by_key(|(index, queue)| (queue.head_recorded(), *index))
            .map(|(index, _)| index)
    }

    /// The clock after a record of `recorded` time, if the guard rail lets it pass.
    fn clock_after(
        &self,
        queue: &Queue,
        recorded: Option<Instant>,
    ) -> Result<Option<Instant>, FileSourceError> {
        let record = queue.head();
        if let (Some(recorded), Some(clock)) = (recorded, self.clock)
            && recorded > clock.plus_millis(CLOCK_JUMP_DAYS_MAX * MILLIS_PER_DAY)
            && !record.decoded.is_tick
            && !self.allow_clock_jump
        {
            return Err(FileSourceError::ClockJump {
                path: queue.path.clone(),
                line: record.line,
                recorded,
                clock,
            });
        }
        Ok(self.clock.max(recorded))
    }
}

impl Source for FileSource {
    type Error = FileSourceError;

    fn take(&mut self) -> Result<Taken, FileSourceError> {
        let mut batch = Batch::new(self.partitions, self.clock, self.next_number);
        // Pieces with an empty input (blank lines only) leave nothing to fold: read on.
        while batch.slots.is_empty() {
            self.refill()?;
            if self
                .inputs
                .iter()
                .all(|queue| queue.is_empty() && queue.is_at_end)
            {
                return Ok(Taken::End(self.clock));
            }
            // The piece of each input that the batch holds last.
            let mut held: Vec<Option<u32>> = vec![None; self.inputs.len()];
            // Until one runs dry, every record that could be next is at hand.
            while self
                .inputs
                .iter()
                .all(|queue| !queue.is_empty() || queue.is_at_end)
                && let Some(index) = self.next_input()
            {
                let queue = &self.inputs[index];
                let record = queue.head();
                let clock = self.clock_after(queue, record.decoded.recorded)?;
                let partition = match &record.decoded.event {
                    Ok(event) if event.body != Body::ClockTick => partition_of(
                        queue.pieces[0].text.get(event.team).as_bytes(),
                        self.partitions,
                    ),
                    _ => 0,
                };
                let piece = *held[index].get_or_insert_with(|| {
                    batch.pieces.push(Arc::clone(&queue.pieces[0]));
                    (batch.pieces.len() - 1) as u32
                });
                let slot = Slot {
                    piece,
                    record: queue.next as u32,
                    clock,
                };
                batch.push(slot, partition);
                self.clock = clock;
                if self.inputs[index].advance() {
                    held[index] = None;
                }
            }
        }
        batch.clock = self.clock;
        self.next_number += batch.slots.len() as u64;
        Ok(Taken::Batch(batch))
    }

    fn recycle(&mut self, batch: Batch) {
        for mut piece in batch.pieces.into_iter().filter_map(Arc::into_inner) {
            piece.clear();
            self.spare.push(piece);
        }
    }
}

impl Queue {
    fn open(path: &Path, number: u32, bytes_read: Arc<AtomicU64>) -> Result<Queue, InputError> {
        Ok(Queue {
            path: path.to_path_buf(),
            input: Input::open(path, number, bytes_read)?,
            pieces: VecDeque::new(),
            rest: None,
            next: 0,
            recorded: None,
            is_at_end: false,
        })
    }

    fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn head(&self) -> &crate::ports::Record {
        &self.pieces[0].records[self.next]
    }

    /// What the merge compares: the head's recorded time, else that of the record before it.
    fn head_recorded(&self) -> Option<Instant> {
        self.head().decoded.recorded.or(self.recorded)
    }

    /// Steps over the head. Returns whether its piece is done.
    fn advance(&mut self) -> bool {
        self.recorded = self.head_recorded();
        self.next += 1;
        let is_done = self.next == self.pieces[0].records.len();
        if is_done {
            self.pieces.pop_front();
            self.next = 0;
        }
        is_done
    }
}

/// Sum of the sizes of `paths`, for a progress bar.
pub fn total_bytes(paths: &[PathBuf]) -> u64 {
    paths
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// What was read so far of a source's files.
pub fn bytes_so_far(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
