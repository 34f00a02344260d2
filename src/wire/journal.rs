//! The journal: one record a partition and commit that tells what was folded, in which order and
//! with what result (`engine.md` 4). With the input log it fixes everything that the fold depends
//! on; each record names the digest of the one before it.
//!
//! A record longer than a message may be is cut into parts. The key of a message is the partition's
//! number in decimal, its value a version byte, (sequence, part, parts), then the bytes.

use crate::billing::disposition::Disposition;
use crate::billing::time::Instant;

use super::bytes::{Corrupt, Reader, Writer};
use super::cells::{read_instant, versioned, write_instant};
use super::meta::{Meta, TimerCursor, read_digest, read_i64};

/// Most bytes of a record in one message.
pub const PART_BYTES_MAX: usize = 512 * 1024;

const VERSION: u8 = 1;

/// Why a record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first of a partition: (cluster, group) that it belongs to.
    Genesis { cluster: String, group: String },
    /// Records, timers or the clock.
    Commit,
    /// Another rate book came into force.
    Adoption,
    /// An operator's decision: what was decided, and why.
    Operator { decision: String, reason: String },
}

/// Consecutive records of one input. Offsets between them may be missing; `count` counts records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub input: u32,
    pub first_offset: i64,
    pub count: u64,
}

/// Number and BLAKE3 of what a commit put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Output {
    pub count: u64,
    pub digest: [u8; 32],
}

impl Output {
    pub fn nothing() -> Output {
        Output {
            count: 0,
            digest: digest(&[]),
        }
    }
}

/// A writer schema that a partition met for the first time, or an id that the registry denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterSchema {
    pub id: u32,
    /// None: the registry answered that it does not exist.
    pub text: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRecord {
    pub kind: Kind,
    pub partition: u16,
    pub partition_count: u16,
    pub sequence: u64,
    pub previous_digest: [u8; 32],
    pub fold_version: u32,
    pub clock: Option<Instant>,
    pub timer_cursor: Option<TimerCursor>,
    pub book_sequence: u32,
    pub book_digest: [u8; 32],
    /// The book's text where it changed.
    pub book_text: Option<Vec<u8>>,
    pub settings_digest: [u8; 32],
    pub state_digest: u128,
    /// (topic, next offset) of each input after this commit.
    pub positions: Vec<(String, i64)>,
    /// In fold order.
    pub runs: Vec<Run>,
    /// BLAKE3 over the canonical bytes of the records folded, in fold order.
    pub input_digest: [u8; 32],
    pub dispositions: Vec<(Disposition, u64)>,
    /// By name.
    pub dead_letter_reasons: Vec<(String, u64)>,
    /// Over the canonical JSON of each event, length first.
    pub derived: Output,
    pub dead_letters: Output,
    pub schemas: Vec<WriterSchema>,
}

impl JournalRecord {
    /// The record of a commit of `meta` in which nothing was folded and nothing put out. `meta` holds
    /// the digest of the record before.
    pub fn of(kind: Kind, partition: u16, meta: &Meta) -> JournalRecord {
        JournalRecord {
            kind,
            partition,
            partition_count: meta.partition_count,
            sequence: meta.sequence,
            previous_digest: meta.journal_digest,
            fold_version: meta.fold_version,
            clock: meta.clock,
            timer_cursor: meta.timer_cursor.clone(),
            book_sequence: meta.book_sequence,
            book_digest: meta.book_digest,
            book_text: None,
            settings_digest: meta.settings_digest,
            state_digest: meta.total_digest(),
            positions: meta.positions.clone(),
            runs: Vec::new(),
            input_digest: digest(&[]),
            dispositions: Vec::new(),
            dead_letter_reasons: Vec::new(),
            derived: Output::nothing(),
            dead_letters: Output::nothing(),
            schemas: Vec::new(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.byte(VERSION);
        match &self.kind {
            Kind::Genesis { cluster, group } => {
                out.byte(0);
                out.text(cluster);
                out.text(group);
            }
            Kind::Commit => out.byte(1),
            Kind::Adoption => out.byte(2),
            Kind::Operator { decision, reason } => {
                out.byte(3);
                out.text(decision);
                out.text(reason);
            }
        }
        out.unsigned(u64::from(self.partition));
        out.unsigned(u64::from(self.partition_count));
        out.unsigned(self.sequence);
        out.bytes.extend_from_slice(&self.previous_digest);
        out.unsigned(u64::from(self.fold_version));
        out.option(self.clock, write_instant);
        out.option(self.timer_cursor.as_ref(), TimerCursor::write);
        out.unsigned(u64::from(self.book_sequence));
        out.bytes.extend_from_slice(&self.book_digest);
        out.option(self.book_text.as_deref(), Writer::block);
        out.bytes.extend_from_slice(&self.settings_digest);
        out.unsigned_wide(self.state_digest);
        out.count(self.positions.len());
        for (topic, next) in &self.positions {
            out.text(topic);
            out.signed(i128::from(*next));
        }
        out.count(self.runs.len());
        for run in &self.runs {
            out.unsigned(u64::from(run.input));
            out.signed(i128::from(run.first_offset));
            out.unsigned(run.count);
        }
        out.bytes.extend_from_slice(&self.input_digest);
        out.count(self.dispositions.len());
        for (disposition, count) in &self.dispositions {
            out.text(disposition.name());
            out.unsigned(*count);
        }
        out.count(self.dead_letter_reasons.len());
        for (reason, count) in &self.dead_letter_reasons {
            out.text(reason);
            out.unsigned(*count);
        }
        for output in [&self.derived, &self.dead_letters] {
            out.unsigned(output.count);
            out.bytes.extend_from_slice(&output.digest);
        }
        out.count(self.schemas.len());
        for schema in &self.schemas {
            out.unsigned(u64::from(schema.id));
            out.option(schema.text.as_deref(), Writer::text);
        }
        out.bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<JournalRecord, Corrupt> {
        let mut reader = versioned(bytes)?;
        let record = JournalRecord {
            kind: read_kind(&mut reader)?,
            partition: reader.narrow()?,
            partition_count: reader.narrow()?,
            sequence: reader.unsigned()?,
            previous_digest: read_digest(&mut reader)?,
            fold_version: reader.narrow()?,
            clock: reader.option(read_instant)?,
            timer_cursor: reader.option(TimerCursor::read)?,
            book_sequence: reader.narrow()?,
            book_digest: read_digest(&mut reader)?,
            book_text: reader.option(|reader| Ok(reader.block()?.to_vec()))?,
            settings_digest: read_digest(&mut reader)?,
            state_digest: reader.unsigned_wide()?,
            positions: reader.list(|reader| Ok((reader.text()?.into(), read_i64(reader)?)))?,
            runs: reader.list(|reader| {
                Ok(Run {
                    input: reader.narrow()?,
                    first_offset: read_i64(reader)?,
                    count: reader.unsigned()?,
                })
            })?,
            input_digest: read_digest(&mut reader)?,
            dispositions: reader.list(|reader| {
                let name = reader.text()?;
                let found = Disposition::ALL.into_iter().find(|it| it.name() == name);
                Ok((found.ok_or(Corrupt("disposition"))?, reader.unsigned()?))
            })?,
            dead_letter_reasons: reader
                .list(|reader| Ok((reader.text()?.into(), reader.unsigned()?)))?,
            derived: read_output(&mut reader)?,
            dead_letters: read_output(&mut reader)?,
            schemas: reader.list(|reader| {
                Ok(WriterSchema {
                    id: reader.narrow()?,
                    text: reader.option(|reader| Ok(reader.text()?.into()))?,
                })
            })?,
        };
        reader.finish()?;
        Ok(record)
    }

    /// The messages that carry `encoded`, which is the record of `sequence`.
    pub fn parts(encoded: &[u8], sequence: u64) -> impl Iterator<Item = Vec<u8>> + '_ {
        let count = encoded.len().div_ceil(PART_BYTES_MAX).max(1);
        let chunks = encoded.chunks(PART_BYTES_MAX).enumerate();
        chunks.map(move |(part, chunk)| {
            let mut out = Writer::default();
            out.byte(VERSION);
            out.unsigned(sequence);
            out.count(part);
            out.count(count);
            out.bytes.extend_from_slice(chunk);
            out.bytes
        })
    }
}

/// One message of the journal: a record, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub sequence: u64,
    pub part: u32,
    pub parts: u32,
    pub bytes: &'a [u8],
}

impl Part<'_> {
    pub fn decode(message: &[u8]) -> Result<Part<'_>, Corrupt> {
        let mut reader = versioned(message)?;
        Ok(Part {
            sequence: reader.unsigned()?,
            part: reader.narrow()?,
            parts: reader.narrow()?,
            bytes: reader.rest(),
        })
    }
}

/// What a record adds to the chain.
pub fn digest(encoded: &[u8]) -> [u8; 32] {
    *blake3::hash(encoded).as_bytes()
}

fn read_kind(reader: &mut Reader) -> Result<Kind, Corrupt> {
    Ok(match reader.byte()? {
        0 => Kind::Genesis {
            cluster: reader.text()?.into(),
            group: reader.text()?.into(),
        },
        1 => Kind::Commit,
        2 => Kind::Adoption,
        3 => Kind::Operator {
            decision: reader.text()?.into(),
            reason: reader.text()?.into(),
        },
        _ => return Err(Corrupt("kind of journal record")),
    })
}

fn read_output(reader: &mut Reader) -> Result<Output, Corrupt> {
    Ok(Output {
        count: reader.unsigned()?,
        digest: read_digest(reader)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> JournalRecord {
        JournalRecord {
            kind: Kind::Operator {
                decision: "accept-gap".into(),
                reason: "disk lost".into(),
            },
            partition: 3,
            partition_count: 4,
            sequence: 9,
            previous_digest: [1; 32],
            fold_version: 1,
            clock: Some(Instant::from_millis(5)),
            timer_cursor: Some(TimerCursor {
                due: Instant::from_millis(4),
                team: "t".into(),
            }),
            book_sequence: 1,
            book_digest: [2; 32],
            book_text: Some(vec![b'x'; PART_BYTES_MAX + 1]),
            settings_digest: [3; 32],
            state_digest: 77,
            positions: vec![("api-calls".into(), 10)],
            runs: vec![Run {
                input: 0,
                first_offset: 8,
                count: 2,
            }],
            input_digest: [4; 32],
            dispositions: vec![(Disposition::Charged, 1)],
            dead_letter_reasons: vec![("too_old".into(), 1)],
            derived: Output {
                count: 1,
                digest: [5; 32],
            },
            dead_letters: Output::default(),
            schemas: vec![WriterSchema { id: 7, text: None }],
        }
    }

    #[test]
    fn a_record_is_read_back_from_its_parts() {
        let record = record();
        let encoded = record.encode();
        let messages: Vec<_> = JournalRecord::parts(&encoded, record.sequence).collect();
        assert_eq!(messages.len(), 2);
        let mut joined = Vec::new();
        for (number, message) in (0..).zip(&messages) {
            let part = Part::decode(message).unwrap();
            assert_eq!((part.sequence, part.part, part.parts), (9, number, 2));
            joined.extend_from_slice(part.bytes);
        }
        assert_eq!(JournalRecord::decode(&joined), Ok(record));
    }

    #[test]
    fn any_cut_is_refused() {
        let mut record = record();
        record.book_text = None;
        let encoded = record.encode();
        for end in 0..encoded.len() {
            assert!(JournalRecord::decode(&encoded[..end]).is_err(), "{end}");
        }
    }
}
