//! META and what stands beside it: the state of a partition as a whole, byte by byte.
//!
//! META is the last cell of each commit. The committed offset of the usage topic carries the same
//! commit as a [`Witness`]; store and log are compared by it, never by offset (`engine.md` 2).

use std::fmt;
use std::str::FromStr;

use crate::billing::time::Instant;

use super::bytes::{Corrupt, Reader, Writer};
use super::cells::{VERSION, read_i32, read_instant, versioned, write_instant};

/// The state of a partition beside its cells (one cell, written last in each commit). What only a
/// log has is empty in a file run: positions, journal digest, counts of partitions and settings.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Meta {
    /// [`FOLD_VERSION`] of the program that wrote it.
    pub fold_version: u32,
    /// Commits so far; on a log the genesis is number 0.
    pub sequence: u64,
    /// BLAKE3 of the newest journal record: the head of the chain.
    pub journal_digest: [u8; 32],
    /// (topic, offset of the next record to fold), in the order of the inputs.
    pub positions: Vec<(String, i64)>,
    pub partition_count: u16,
    /// None: nothing was recorded yet. While a clock step is under way: its end.
    pub clock: Option<Instant>,
    /// While a clock step is under way: the last timer that ran. Until the step is done no record
    /// is folded.
    pub timer_cursor: Option<TimerCursor>,
    /// How many rate books were in force, the present one included.
    pub book_sequence: u32,
    /// BLAKE3 of the rate book in force, comments aside.
    pub book_digest: [u8; 32],
    /// BLAKE3 of the settings that affect bills (horizon, skew, time mode).
    pub settings_digest: [u8; 32],
    /// Sum over team and month cells; ids are summed by bucket.
    pub state_digest: u128,
    /// (bucket, sum over its remembered ids), ascending.
    pub id_digests: Vec<(i32, u128)>,
    /// Number of the next run of ids.
    pub next_run: u64,
}

/// Place in the order of timers: when it was due, whose it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerCursor {
    pub due: Instant,
    pub team: String,
}

impl TimerCursor {
    pub(super) fn write(out: &mut Writer, cursor: &TimerCursor) {
        write_instant(out, cursor.due);
        out.text(&cursor.team);
    }

    pub(super) fn read(reader: &mut Reader) -> Result<TimerCursor, Corrupt> {
        Ok(TimerCursor {
            due: read_instant(reader)?,
            team: reader.text()?.into(),
        })
    }
}

/// Version of the rules that a partition was folded with. A newer one in META halts the partition
/// (`VERSION_NEWER`).
pub const FOLD_VERSION: u32 = 1;

/// What a store knows of the log that its partition lives in. It never leaves the machine.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Local {
    /// Whose state this is: another cluster, group or partition must not open it.
    pub fingerprint: Fingerprint,
    /// (topic, topic id as text) of inputs, changelog and journal.
    pub topic_ids: Vec<(String, String)>,
    /// Offset in the changelog after the last cell applied.
    pub changelog_position: i64,
    /// Append time of META's changelog record, in milliseconds since 1970.
    pub meta_appended_at_millis: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Fingerprint {
    pub cluster: String,
    pub group: String,
    pub partition: u16,
}

/// Which commit a partition has come to: `1;<commit sequence>;<journal chain digest>`, kept by the
/// log with the committed offset of the usage topic (`engine.md` 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    pub sequence: u64,
    pub journal_digest: [u8; 32],
}

impl Meta {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.byte(VERSION);
        out.unsigned(u64::from(self.fold_version));
        out.unsigned(self.sequence);
        out.bytes.extend_from_slice(&self.journal_digest);
        out.count(self.positions.len());
        for (topic, next) in &self.positions {
            out.text(topic);
            out.signed(i128::from(*next));
        }
        out.unsigned(u64::from(self.partition_count));
        out.option(self.clock, write_instant);
        out.option(self.timer_cursor.as_ref(), TimerCursor::write);
        out.unsigned(u64::from(self.book_sequence));
        out.bytes.extend_from_slice(&self.book_digest);
        out.bytes.extend_from_slice(&self.settings_digest);
        out.unsigned_wide(self.state_digest);
        out.count(self.id_digests.len());
        for (bucket, sum) in &self.id_digests {
            out.signed(i128::from(*bucket));
            out.unsigned_wide(*sum);
        }
        out.unsigned(self.next_run);
        out.bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Meta, Corrupt> {
        let mut reader = versioned(bytes)?;
        let meta = Meta {
            fold_version: reader.narrow()?,
            sequence: reader.unsigned()?,
            journal_digest: read_digest(&mut reader)?,
            positions: reader.list(|reader| Ok((reader.text()?.into(), read_i64(reader)?)))?,
            partition_count: reader.narrow()?,
            clock: reader.option(read_instant)?,
            timer_cursor: reader.option(TimerCursor::read)?,
            book_sequence: reader.narrow()?,
            book_digest: read_digest(&mut reader)?,
            settings_digest: read_digest(&mut reader)?,
            state_digest: reader.unsigned_wide()?,
            id_digests: reader.list(|reader| Ok((read_i32(reader)?, reader.unsigned_wide()?)))?,
            next_run: reader.unsigned()?,
        };
        reader.finish()?;
        Ok(meta)
    }

    /// The digest over all state: teams, months and remembered ids.
    pub fn total_digest(&self) -> u128 {
        let ids = self.id_digests.iter().map(|(_, digest)| *digest);
        ids.fold(self.state_digest, u128::wrapping_add)
    }
}

impl Local {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.byte(VERSION);
        out.text(&self.fingerprint.cluster);
        out.text(&self.fingerprint.group);
        out.unsigned(u64::from(self.fingerprint.partition));
        out.count(self.topic_ids.len());
        for (topic, id) in &self.topic_ids {
            out.text(topic);
            out.text(id);
        }
        out.signed(i128::from(self.changelog_position));
        out.signed(i128::from(self.meta_appended_at_millis));
        out.bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Local, Corrupt> {
        let mut reader = versioned(bytes)?;
        let local = Local {
            fingerprint: Fingerprint {
                cluster: reader.text()?.into(),
                group: reader.text()?.into(),
                partition: reader.narrow()?,
            },
            topic_ids: reader.list(|reader| Ok((reader.text()?.into(), reader.text()?.into())))?,
            changelog_position: read_i64(&mut reader)?,
            meta_appended_at_millis: read_i64(&mut reader)?,
        };
        reader.finish()?;
        Ok(local)
    }
}

impl Meta {
    pub fn witness(&self) -> Witness {
        Witness {
            sequence: self.sequence,
            journal_digest: self.journal_digest,
        }
    }

    /// The instant up to which everything has happened: within a clock step, its last timer.
    pub fn reached(&self) -> Option<Instant> {
        match &self.timer_cursor {
            Some(cursor) => Some(cursor.due),
            None => self.clock,
        }
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = blake3::Hash::from_bytes(self.journal_digest);
        write!(f, "1;{};{}", self.sequence, digest.to_hex())
    }
}

impl FromStr for Witness {
    type Err = Corrupt;

    fn from_str(text: &str) -> Result<Witness, Corrupt> {
        let mut fields = text.split(';');
        let (Some("1"), Some(sequence), Some(digest), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(Corrupt("no witness"));
        };
        let is_canonical = digest.bytes().all(|byte| !byte.is_ascii_uppercase());
        let digest = blake3::Hash::from_hex(digest).map_err(|_| Corrupt("witness digest"))?;
        let witness = Witness {
            sequence: sequence.parse().map_err(|_| Corrupt("witness sequence"))?,
            journal_digest: *digest.as_bytes(),
        };
        match is_canonical && witness.to_string() == text {
            true => Ok(witness),
            false => Err(Corrupt("no canonical witness")),
        }
    }
}

pub(super) fn read_digest(reader: &mut Reader) -> Result<[u8; 32], Corrupt> {
    reader.bytes(32)?.try_into().map_err(|_| Corrupt("digest"))
}

pub(super) fn read_i64(reader: &mut Reader) -> Result<i64, Corrupt> {
    i64::try_from(reader.signed()?).map_err(|_| Corrupt("integer out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_local_and_witness_are_read_back() {
        let meta = Meta {
            fold_version: FOLD_VERSION,
            sequence: 7,
            journal_digest: [3; 32],
            positions: vec![("api-calls".into(), 12), ("accounts".into(), 0)],
            partition_count: 4,
            clock: Some(Instant::from_millis(-5)),
            timer_cursor: Some(TimerCursor {
                due: Instant::from_millis(-6),
                team: "team-1".into(),
            }),
            book_sequence: 1,
            book_digest: [1; 32],
            settings_digest: [2; 32],
            state_digest: u128::MAX,
            id_digests: vec![(-1, 4), (i32::MAX, u128::MAX)],
            next_run: 3,
        };
        assert_eq!(Meta::decode(&meta.encode()), Ok(meta.clone()));
        assert_eq!(meta.total_digest(), 2);
        let local = Local {
            fingerprint: Fingerprint {
                cluster: "c".into(),
                group: "g".into(),
                partition: 9,
            },
            topic_ids: vec![("t".into(), "id".into())],
            changelog_position: 44,
            meta_appended_at_millis: 1,
        };
        assert_eq!(Local::decode(&local.encode()), Ok(local));
        let witness = meta.witness();
        assert_eq!(witness.to_string().parse(), Ok(witness));
        for text in ["", "1;7", "2;7;00", "1;07;00", "1;7;00", "1;x;y"] {
            assert!(text.parse::<Witness>().is_err(), "{text}");
        }
        let upper = witness.to_string().to_uppercase();
        assert_eq!(
            upper.parse::<Witness>().is_err(),
            upper != witness.to_string()
        );
    }
}
