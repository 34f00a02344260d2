//! What a partition on a log writes about each commit: its journal record, its positions.
//!
//! A file run has none of this. The records folded are hashed in fold order as they are folded; the
//! rest is taken from META and from what is staged.

use crate::ports::{Staged, StagedDerived};
use crate::wire::journal::{self, JournalRecord, Kind, Output, Run, WriterSchema};
use crate::wire::meta::Meta;

use super::counts::Counts;

/// What a partition knows of the log that it belongs to.
#[derive(Clone, Debug)]
pub struct LogSettings {
    pub cluster: String,
    pub group: String,
    /// Topics; a record's input is an index into them.
    pub inputs: Vec<String>,
    pub partition_count: u16,
    /// BLAKE3 of the settings that affect bills.
    pub settings_digest: [u8; 32],
}

#[derive(Debug)]
pub struct Journaling {
    pub settings: LogSettings,
    runs: Vec<Run>,
    hasher: blake3::Hasher,
    /// Bytes not hashed yet: hashing many at once is several times faster.
    unhashed: Vec<u8>,
    schemas: Vec<WriterSchema>,
    counts_committed: Counts,
}

const UNHASHED_BYTES_MAX: usize = 64 << 10;

impl Journaling {
    pub fn new(settings: LogSettings) -> Journaling {
        Journaling {
            settings,
            runs: Vec::new(),
            hasher: blake3::Hasher::new(),
            unhashed: Vec::with_capacity(UNHASHED_BYTES_MAX),
            schemas: Vec::new(),
            counts_committed: Counts::default(),
        }
    }

    /// A record is folded; `bytes` is its canonical form.
    pub fn record(&mut self, input: u32, offset: i64, bytes: &[u8]) {
        match self.runs.last_mut() {
            Some(run) if run.input == input => run.count += 1,
            _ => self.runs.push(Run {
                input,
                first_offset: offset,
                count: 1,
            }),
        }
        if self.unhashed.len() + bytes.len() > UNHASHED_BYTES_MAX {
            self.hasher.update(&self.unhashed);
            self.unhashed.clear();
        }
        if bytes.len() > UNHASHED_BYTES_MAX {
            self.hasher.update(bytes);
        } else {
            self.unhashed.extend_from_slice(bytes);
        }
    }

    /// A writer schema was needed for the first time.
    pub fn schema(&mut self, schema: WriterSchema) {
        self.schemas.push(schema);
    }

    /// The journal record of the commit that `meta` and `staged` describe; nothing is left over for
    /// the next. `meta` holds the digest of the record before.
    pub fn finish(
        &mut self,
        kind: Kind,
        partition: u16,
        meta: &Meta,
        staged: &Staged,
        counts: &Counts,
        book_text: Option<Vec<u8>>,
    ) -> Vec<u8> {
        self.hasher.update(&self.unhashed);
        self.unhashed.clear();
        let input_digest = *self.hasher.finalize().as_bytes();
        self.hasher.reset();
        let before = std::mem::replace(&mut self.counts_committed, counts.clone());
        JournalRecord {
            book_text,
            runs: std::mem::take(&mut self.runs),
            input_digest,
            dispositions: counts.dispositions_since(&before),
            dead_letter_reasons: counts.dead_letters_since(&before),
            derived: derived_output(&staged.derived),
            dead_letters: dead_letter_output(staged),
            schemas: std::mem::take(&mut self.schemas),
            ..JournalRecord::of(kind, partition, meta)
        }
        .encode()
    }
}

/// The settings that affect bills, as META and journal name them.
pub fn settings_digest(is_record_time: bool, horizon_millis: i64, skew_millis: i64) -> [u8; 32] {
    let mode = if is_record_time { "record" } else { "append" };
    let text =
        format!("recorded_time={mode};horizon_millis={horizon_millis};skew_millis={skew_millis}");
    journal::digest(text.as_bytes())
}

fn derived_output(events: &[StagedDerived]) -> Output {
    let mut hasher = blake3::Hasher::new();
    for event in events {
        hasher.update(&(event.json.len() as u64).to_le_bytes());
        hasher.update(&event.json);
    }
    output(events.len(), &hasher)
}

fn dead_letter_output(staged: &Staged) -> Output {
    let mut hasher = blake3::Hasher::new();
    for letter in staged.dead_letters.iter() {
        hasher.update(&(letter.len() as u64).to_le_bytes());
        hasher.update(letter);
    }
    output(staged.dead_letters.ends.len(), &hasher)
}

fn output(count: usize, hasher: &blake3::Hasher) -> Output {
    Output {
        count: count as u64,
        digest: *hasher.finalize().as_bytes(),
    }
}
