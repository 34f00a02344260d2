//! The way out of a halt: an operator's decision as one commit of a partition, journaled
//! (`engine.md` 5).
//!
//! Works on META alone, as the changelog's newest commit has it: positions, clock or book move, no
//! team does. What the next start finds is a commit like any other.

use crate::billing::time::Instant;
use crate::ports::log::{Kept, Log, LogError};
use crate::ports::{Staged, StagedLog};
use crate::wire::cells;
use crate::wire::journal::{self, JournalRecord, Kind};
use crate::wire::keys;
use crate::wire::meta::{Meta, TimerCursor};

use super::partition::BookText;

/// What an operator decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The group's offsets are set to what META says.
    OffsetsFromMeta,
    /// Records `from..to` of an input are given up.
    AcceptGap { topic: String, from: i64, to: i64 },
    /// The clock may jump to the recorded time of a record.
    AcceptClock {
        topic: String,
        offset: i64,
        recorded: Instant,
    },
    /// The configured rate book comes into force at once.
    AcceptBook(BookText),
}

#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("{0}")]
    Refused(String),
}

/// The newest committed META of the changelog; None: there is none.
pub fn newest_meta(log: &mut impl Log, partition: u16) -> Result<Option<Meta>, RecoverError> {
    let end = loop {
        if let Some(offsets) = log.open_kept(Kept::Changelog, partition, None)? {
            break offsets.next;
        }
    };
    let mut newest = None;
    while log.read_kept(partition, &mut |record| {
        if record.key == [keys::META] {
            newest = record.value.map(<[u8]>::to_vec);
        }
    })? < end
    {}
    log.close_kept(partition);
    let meta = newest.map(|bytes| Meta::decode(&bytes));
    meta.transpose().map_err(|fault| {
        RecoverError::Refused(format!(
            "META in the changelog of partition {partition}: {fault}"
        ))
    })
}

/// The commit that `decision` makes on top of `meta`.
pub fn stage(
    partition: u16,
    mut meta: Meta,
    decision: &Decision,
    reason: &str,
) -> Result<Staged, RecoverError> {
    let mut staged = Staged {
        partition,
        ..Staged::default()
    };
    meta.sequence += 1;
    let mut book_text = None;
    match decision {
        Decision::OffsetsFromMeta => {}
        Decision::AcceptGap { topic, from, to } => {
            let position = meta.positions.iter_mut().find(|(name, _)| name == topic);
            let Some((_, next)) = position else {
                return Err(RecoverError::Refused(format!(
                    "{topic} is no input of this partition"
                )));
            };
            if next != from || to <= from {
                return Err(RecoverError::Refused(format!(
                    "{topic}: the next record to fold is {next}: a gap begins there and ends after it, \
                     so give {topic}:{next}..TO"
                )));
            }
            *next = *to;
        }
        Decision::AcceptClock { recorded, .. } => {
            if meta.clock >= Some(*recorded) {
                return Err(RecoverError::Refused(format!(
                    "the clock stands at {}, not before {recorded}: there is nothing to accept",
                    meta.clock.unwrap_or(Instant::EPOCH)
                )));
            }
            // A clock step that the next start goes on with: all timers up to there run.
            meta.timer_cursor.get_or_insert(TimerCursor {
                due: meta.clock.unwrap_or(Instant::EPOCH),
                team: String::new(),
            });
            meta.clock = Some(*recorded);
        }
        Decision::AcceptBook(book) => {
            meta.book_sequence += 1;
            meta.book_digest = book.digest;
            book_text = Some(book.text.clone());
            for (part, bytes) in (0..).zip(cells::parts(&book.text)) {
                staged.changes.put(&keys::book(part), &bytes);
            }
        }
    }
    let kind = Kind::Operator {
        decision: decision.text(),
        reason: reason.to_owned(),
    };
    let journal = JournalRecord {
        book_text,
        ..JournalRecord::of(kind, partition, &meta)
    }
    .encode();
    meta.journal_digest = journal::digest(&journal);
    staged.changes.put(&[keys::META], &meta.encode());
    staged.log = Some(StagedLog {
        journal,
        witness: meta.witness(),
        positions: meta.positions.iter().map(|(_, next)| *next).collect(),
        wall_millis: None,
    });
    Ok(staged)
}

impl Decision {
    /// As the command line has it.
    pub fn text(&self) -> String {
        match self {
            Decision::OffsetsFromMeta => "--offsets-from-meta".into(),
            Decision::AcceptGap { topic, from, to } => format!("--accept-gap {topic}:{from}..{to}"),
            Decision::AcceptClock { topic, offset, .. } => {
                format!("--accept-clock {topic}:{offset}")
            }
            Decision::AcceptBook(_) => "--accept-book".into(),
        }
    }

    /// What `record` of the journal says was decided by `text`; None: nothing that
    /// [`Decision::text`] writes.
    pub fn of_journal(text: &str, record: &JournalRecord) -> Option<Decision> {
        let decision = match text.split_once(' ').unwrap_or((text, "")) {
            ("--offsets-from-meta", _) => Decision::OffsetsFromMeta,
            ("--accept-gap", place) => {
                let (topic, range) = place.rsplit_once(':')?;
                let (from, to) = range.split_once("..")?;
                Decision::AcceptGap {
                    topic: topic.to_owned(),
                    from: from.parse().ok()?,
                    to: to.parse().ok()?,
                }
            }
            ("--accept-clock", place) => {
                let (topic, offset) = place.rsplit_once(':')?;
                Decision::AcceptClock {
                    topic: topic.to_owned(),
                    offset: offset.parse().ok()?,
                    recorded: record.clock?,
                }
            }
            ("--accept-book", _) => Decision::AcceptBook(BookText {
                text: record.book_text.clone()?,
                digest: record.book_digest,
            }),
            _ => return None,
        };
        (decision.text() == text).then_some(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            sequence: 4,
            positions: vec![("calls".into(), 10)],
            clock: Some(Instant::from_millis(1_000)),
            ..Meta::default()
        }
    }

    fn meta_of(staged: &Staged) -> Meta {
        let (key, value) = staged.changes.iter().last().unwrap();
        assert_eq!(key, [keys::META]);
        Meta::decode(value.unwrap()).unwrap()
    }

    #[test]
    fn a_gap_begins_at_the_next_record() {
        let gap = |from, to| Decision::AcceptGap {
            topic: "calls".into(),
            from,
            to,
        };
        for (from, to) in [(9, 12), (11, 12), (10, 10), (10, 9)] {
            assert!(
                stage(0, meta(), &gap(from, to), "why").is_err(),
                "{from}..{to}"
            );
        }
        let staged = stage(0, meta(), &gap(10, 12), "why").unwrap();
        let log = staged.log.as_ref().unwrap();
        assert_eq!(log.positions, [12]);
        let record = JournalRecord::decode(&log.journal).unwrap();
        assert_eq!((record.sequence, record.previous_digest), (5, [0; 32]));
        assert_eq!(meta_of(&staged).witness(), log.witness);
        assert_eq!(log.witness.journal_digest, journal::digest(&log.journal));
    }

    #[test]
    fn a_clock_that_is_accepted_is_a_step_to_be_finished() {
        let accept = |millis| Decision::AcceptClock {
            topic: "calls".into(),
            offset: 10,
            recorded: Instant::from_millis(millis),
        };
        assert!(stage(0, meta(), &accept(1_000), "why").is_err());
        let meta = meta_of(&stage(0, meta(), &accept(5_000), "why").unwrap());
        assert_eq!(meta.clock, Some(Instant::from_millis(5_000)));
        assert_eq!(
            meta.timer_cursor.map(|it| it.due),
            Some(Instant::from_millis(1_000))
        );
    }
}
