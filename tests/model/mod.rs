//! An independent, deliberately naive model of the billing fold, to compare the real one with.
//!
//! It is written from `fold.md` and `interfaces.md` alone and shares no code with the crate under
//! test. All state is in memory, nothing is forgotten, and due timers are found by looking at every
//! team. `World` folds line by line and shows its state, so that a test can sum up the invariants;
//! `run` is a whole file run.

#![allow(dead_code, reason = "each test binary uses its own part of the model")]

mod accounts;
mod amount;
pub mod book;
mod book_file;
pub mod calendar;
mod event;
mod fold;
mod funding;
mod invariants;
mod json;
mod output;
pub mod team;
mod usage;

pub use fold::World;

/// The four files of a file run (`interfaces.md` 3).
pub struct Outputs {
    pub derived: Vec<u8>,
    pub accounts: Vec<u8>,
    pub dead_letters: Vec<u8>,
    pub trace: Vec<u8>,
}

/// One NDJSON file, uncompressed.
pub struct Input<'a> {
    pub bytes: &'a [u8],
}

pub struct Options {
    pub until_ms: Option<i64>,
    pub allow_clock_jump: bool,
}

/// Why a run stops without outputs.
#[derive(Debug, PartialEq, Eq)]
pub enum RunError {
    /// A recorded time lies more than 400 days after the clock.
    ClockJump { input: usize, line: u64 },
    /// The book is refused; the first fault found.
    Book(String),
}

/// Folds the inputs, merged by recorded time, and then moves the clock to `until_ms`.
pub fn run(book_json: &[u8], inputs: &[Input<'_>], options: &Options) -> Result<Outputs, RunError> {
    World::after_run(book_json, inputs, options).map(|world| world.outputs())
}

impl World {
    /// The world as a file run leaves it.
    pub fn after_run(
        book_json: &[u8],
        inputs: &[Input<'_>],
        options: &Options,
    ) -> Result<World, RunError> {
        let mut world = World::new(book_json, options.allow_clock_jump)?;
        for (input, line, record) in merged(inputs) {
            world.feed(input, line, record)?;
        }
        if let Some(until) = options.until_ms {
            world.tick(until);
        }
        Ok(world)
    }
}

/// The records of all inputs in the order of folding: (input, line, record) (`fold.md` 4).
///
/// Each file keeps its own order, so a record is ordered by the latest recorded time that its file
/// has shown so far; a record without a readable one follows the record before it, or comes first
/// if there is none.
fn merged<'a>(inputs: &[Input<'a>]) -> Vec<(usize, u64, &'a [u8])> {
    let mut records = Vec::new();
    for (input, file) in inputs.iter().enumerate() {
        let mut latest = i64::MIN;
        for (index, line) in file.bytes.split(|byte| *byte == b'\n').enumerate() {
            let record = line.strip_suffix(b"\r").unwrap_or(line);
            if record.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
                continue;
            }
            latest = latest.max(event::read(record).recorded.unwrap_or(latest));
            records.push((latest, input, index as u64 + 1, record));
        }
    }
    // The sort is stable: records of one instant stay in argument order, and each file in its own.
    records.sort_by_key(|(latest, input, _, _)| (*latest, *input));
    records
        .into_iter()
        .map(|(_, input, line, record)| (input, line, record))
        .collect()
}
