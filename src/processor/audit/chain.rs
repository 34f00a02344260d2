//! The journal by itself: its parts joined, its chain of digests verified, and what it says of the
//! months that it covers (`engine.md` 4).

use std::collections::BTreeMap;

use crate::billing::rate_book::RateBook;
use crate::billing::time::{Instant, Month};
use crate::ports::evidence::{Evidence, Records, Stretch, Topic};
use crate::wire::journal::{self, JournalRecord, Kind, Part};
use crate::wire::meta::{FOLD_VERSION, Witness};
use crate::wire::rate_book;
use crate::wire::record_bytes::LogRecord;

use super::{Difference, Identity, Stop};

/// A record of the journal as it stands there.
pub struct Sealed {
    pub record: JournalRecord,
    pub encoded: Vec<u8>,
    /// Where its first part lies in the journal.
    pub offset: i64,
}

/// Reads a partition's journal from its genesis on. Whatever it hands out is a link of the chain.
pub struct JournalReader<R> {
    records: R,
    partition: u16,
    /// Sequence number of the next record, and the digest that it must name.
    next: u64,
    digest: [u8; 32],
    genesis: Option<Genesis>,
}

/// What every record of a journal has of its genesis.
struct Genesis {
    partition_count: u16,
    settings_digest: [u8; 32],
    positions: Vec<(String, i64)>,
}

/// What the journal of a partition comes to.
#[derive(Clone, Debug)]
pub struct Chain {
    pub partition: u16,
    /// The newest commit and the digest of the chain up to it.
    pub head: Witness,
    /// The clock at the head.
    pub clock: Option<Instant>,
    /// The next offset of each input, at the head.
    pub positions: Vec<(String, i64)>,
    /// The newest rate book.
    pub book_text: Vec<u8>,
    /// Commits whose state was kept, ascending: a refold may begin after each.
    pub starts: Vec<Start>,
    /// Sequence number of the commit at which the month is closed; None: it is still open, or none
    /// was asked for.
    pub closed_by: Option<u64>,
    /// Records folded up to there, or to the head.
    pub records: u64,
    /// What operators decided.
    pub decisions: Vec<OperatorDecision>,
}

/// A commit whose state was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub sequence: u64,
    /// No record before it is of a later time.
    reach: Instant,
    /// The next offset of each input.
    pub positions: Vec<(String, i64)>,
    /// Records folded before.
    pub records: u64,
}

/// A decision that `recover` has journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorDecision {
    pub sequence: u64,
    pub decision: String,
    pub reason: String,
    /// Of an accepted gap: the first and last month that its records may have belonged to.
    pub unproven: Option<(Month, Month)>,
}

impl<R: Records> JournalReader<R> {
    pub fn new(records: R, partition: u16) -> JournalReader<R> {
        JournalReader {
            records,
            partition,
            next: 0,
            digest: [0; 32],
            genesis: None,
        }
    }

    /// The next record; None: the end.
    pub fn take(&mut self) -> Result<Option<Sealed>, Stop> {
        let (mut joined, mut first_offset, mut parts) = (Vec::new(), 0, (0, 0));
        let partition = self.partition;
        while let Some(bytes) = self.records.next()? {
            let message = LogRecord::read(bytes)
                .map_err(|fault| broken(partition, None, "a record in canonical bytes", fault))?;
            let at = Some(message.offset);
            let key = partition.to_string();
            if message.key != Some(key.as_bytes()) {
                let found = String::from_utf8_lossy(message.key.unwrap_or_default());
                return Err(broken(
                    partition,
                    at,
                    format!("key {key}"),
                    format!("key {found}"),
                ));
            }
            let value = message.value.unwrap_or_default();
            let part =
                Part::decode(value).map_err(|fault| broken(partition, at, "a part", fault))?;
            if self.next == 0 && part.sequence > 0 && self.genesis.is_none() {
                return Err(Stop::Unproven(format!(
                    "the journal of partition {partition} begins with commit {} at offset {}: what \
                     stood before it is gone, and no month can be proven",
                    part.sequence, message.offset
                )));
            }
            let wanted = (self.next, parts.0);
            let is_next = (part.sequence, part.part) == wanted
                && part.part < part.parts
                && (parts.0 == 0 || part.parts == parts.1);
            if !is_next {
                return Err(broken(
                    partition,
                    at,
                    format!("commit {} part {}", wanted.0, wanted.1),
                    format!(
                        "commit {} part {} of {}",
                        part.sequence, part.part, part.parts
                    ),
                ));
            }
            if part.part == 0 {
                first_offset = message.offset;
            }
            parts = (part.part + 1, part.parts);
            joined.extend_from_slice(part.bytes);
            if parts.0 == parts.1 {
                return self.seal(joined, first_offset).map(Some);
            }
        }
        match parts.0 {
            0 => Ok(None),
            found => Err(broken(
                partition,
                Some(first_offset),
                format!("commit {} in {} parts", self.next, parts.1),
                format!("{found} of them"),
            )),
        }
    }

    fn seal(&mut self, encoded: Vec<u8>, offset: i64) -> Result<Sealed, Stop> {
        let partition = self.partition;
        let broken = |kept: String, found: String| broken(partition, Some(offset), kept, found);
        let record = JournalRecord::decode(&encoded)
            .map_err(|fault| broken("a record of the journal".into(), fault.to_string()))?;
        if record.encode() != encoded {
            return Err(broken(
                "canonical bytes".into(),
                "others of the same meaning".into(),
            ));
        }
        if (record.sequence, record.partition) != (self.next, partition) {
            return Err(broken(
                format!("commit {} of partition {partition}", self.next),
                format!(
                    "commit {} of partition {}",
                    record.sequence, record.partition
                ),
            ));
        }
        if record.previous_digest != self.digest {
            return Err(broken(
                format!("the digest {} of the commit before it", hex(&self.digest)),
                hex(&record.previous_digest),
            ));
        }
        if matches!(record.kind, Kind::Genesis { .. }) != self.genesis.is_none() {
            let kept = "a genesis as the first record and no other".into();
            return Err(broken(kept, format!("{:?}", record.kind)));
        }
        let genesis = self.genesis.get_or_insert_with(|| Genesis {
            partition_count: record.partition_count,
            settings_digest: record.settings_digest,
            positions: record.positions.clone(),
        });
        let topics = |positions: &[(String, i64)]| -> Vec<String> {
            positions.iter().map(|(topic, _)| topic.clone()).collect()
        };
        let (before, now) = (topics(&genesis.positions), topics(&record.positions));
        if before != now
            || (genesis.partition_count, genesis.settings_digest)
                != (record.partition_count, record.settings_digest)
        {
            let kept = "inputs, partition count and settings of the genesis".into();
            return Err(broken(kept, format!("others: {now:?}")));
        }
        for ((topic, before), (_, now)) in genesis.positions.iter().zip(&record.positions) {
            if now < before {
                return Err(broken(
                    format!("{topic} at {before} or later"),
                    format!("{topic} at {now}"),
                ));
            }
        }
        genesis.positions.clone_from(&record.positions);
        if let Some(text) = &record.book_text {
            let digest = rate_book::canonical_digest(text);
            if digest.as_ref() != Ok(&record.book_digest) {
                let kept = format!("a rate book of digest {}", hex(&record.book_digest));
                return Err(broken(kept, "another text".into()));
            }
        }
        self.digest = journal::digest(&encoded);
        self.next += 1;
        Ok(Sealed {
            record,
            encoded,
            offset,
        })
    }

    fn head(&self) -> Option<Witness> {
        Some(Witness {
            sequence: self.next.checked_sub(1)?,
            journal_digest: self.digest,
        })
    }

    pub fn has_grown(&mut self) -> Result<bool, Stop> {
        Ok(self.records.has_grown()?)
    }
}

/// Verifies the whole journal of a partition; finds where `month` was closed.
pub fn verify<E: Evidence>(
    evidence: &E,
    partition: u16,
    expected: &Identity,
    month: Option<Month>,
) -> Result<Chain, Stop> {
    evidence.verify(partition)?;
    let witness = evidence.witness(partition)?;
    let records = evidence.open(Topic::Journal, partition, Stretch::ALL)?;
    let mut reader = JournalReader::new(records, partition);
    let mut survey = Survey {
        snapshots: evidence.snapshots(partition),
        ..Survey::default()
    };
    let mut is_witnessed = witness.is_none();
    while let Some(sealed) = reader.take()? {
        expected.check(&sealed.record, evidence.cluster())?;
        survey.add(&sealed, month)?;
        if let Some(witness) =
            witness.filter(|witness| reader.head().map(|it| it.sequence) == Some(witness.sequence))
        {
            if reader.digest != witness.journal_digest {
                return Err(broken(
                    partition,
                    Some(sealed.offset),
                    format!(
                        "digest {} for commit {}",
                        hex(&witness.journal_digest),
                        witness.sequence
                    ),
                    hex(&reader.digest),
                ));
            }
            is_witnessed = true;
        }
    }
    let Some(head) = reader.head() else {
        return Err(Stop::Unknown(format!(
            "partition {partition} has no journal: nothing was ever folded there"
        )));
    };
    if let Some(witness) = witness.filter(|_| !is_witnessed) {
        return Err(broken(
            partition,
            None,
            format!(
                "commit {}, which the group's offset is of",
                witness.sequence
            ),
            format!("an end after commit {}", head.sequence),
        ));
    }
    Ok(survey.chain(partition, head))
}

/// What is noted while a journal goes by.
#[derive(Default)]
struct Survey {
    snapshots: Vec<u64>,
    starts: Vec<Start>,
    positions: Vec<(String, i64)>,
    book: Option<RateBook>,
    book_text: Vec<u8>,
    clock: Option<Instant>,
    closed_by: Option<u64>,
    /// The newest commit that folded records.
    folded_by: u64,
    records: u64,
    decisions: Vec<OperatorDecision>,
}

impl Survey {
    fn add(&mut self, sealed: &Sealed, month: Option<Month>) -> Result<(), Stop> {
        let record = &sealed.record;
        if record.fold_version != FOLD_VERSION {
            return Err(Stop::Unproven(format!(
                "commit {} of partition {} was folded by rules of version {}, this program has version \
                 {FOLD_VERSION}: audit it with a program of that version",
                record.sequence, record.partition, record.fold_version
            )));
        }
        if let Some(text) = &record.book_text {
            self.book = Some(read_book(text, sealed)?);
            self.book_text.clone_from(text);
        }
        let clock = record.clock.or(self.clock).unwrap_or(Instant::EPOCH);
        if !record.runs.is_empty() {
            // What a gap held may be of any month that was open until the next record.
            let since = self.folded_by;
            let gaps = self.decisions.iter_mut().filter(|it| it.sequence > since);
            for (_, last) in gaps.filter_map(|gap| gap.unproven.as_mut()) {
                *last = clock.month();
            }
            self.folded_by = record.sequence;
        }
        if let Kind::Operator { decision, reason } = &record.kind {
            let unproven = decision.starts_with("--accept-gap").then(|| {
                let open = |book: &RateBook| book.earliest_open_month(clock);
                (
                    self.book.as_ref().map_or(clock.month(), open),
                    clock.month(),
                )
            });
            self.decisions.push(OperatorDecision {
                sequence: record.sequence,
                decision: decision.clone(),
                reason: reason.clone(),
                unproven,
            });
        }
        self.clock = record.clock;
        self.positions.clone_from(&record.positions);
        if self.closed_by.is_none() {
            self.records += record.runs.iter().map(|run| run.count).sum::<u64>();
            let closes_at = month
                .zip(self.book.as_ref())
                .map(|(month, book)| book.closes_at(month));
            let is_closed = closes_at
                .zip(record.clock)
                .is_some_and(|(closes_at, clock)| clock >= closes_at);
            if is_closed && record.timer_cursor.is_none() {
                self.closed_by = Some(record.sequence);
            }
        }
        if self.snapshots.contains(&record.sequence)
            && let (Some(clock), Some(book)) = (record.clock, &self.book)
        {
            self.starts.push(Start {
                sequence: record.sequence,
                reach: clock.plus_millis(book.future_skew_millis),
                positions: record.positions.clone(),
                records: self.records,
            });
        }
        Ok(())
    }

    fn chain(self, partition: u16, head: Witness) -> Chain {
        Chain {
            partition,
            head,
            clock: self.clock,
            positions: self.positions,
            starts: self.starts,
            book_text: self.book_text,
            closed_by: self.closed_by,
            records: self.records,
            decisions: self.decisions,
        }
    }
}

impl Chain {
    /// The last commit that is to be refolded.
    pub fn last(&self) -> u64 {
        self.closed_by.unwrap_or(self.head.sequence)
    }

    /// Where a refold may begin and still see all of `month`, ascending.
    pub fn starts_before(&self, month: Month) -> impl DoubleEndedIterator<Item = &Start> {
        let starts = self.starts.iter();
        starts.filter(move |start| start.reach < month.start())
    }

    /// Records from there on.
    pub fn records_after(&self, start: Option<&Start>) -> u64 {
        let before = start.map_or(0, |start| start.records);
        self.records.saturating_sub(before)
    }

    /// A refold knows better where gaps end than the clocks of commits tell.
    pub fn narrow_gaps(&mut self, gap_ends: &BTreeMap<u64, Month>) {
        for decision in &mut self.decisions {
            if let Some((first, last)) = &mut decision.unproven
                && let Some(end) = gap_ends.get(&decision.sequence)
            {
                *last = (*end).max(*first);
            }
        }
    }

    /// Why `month` cannot be proven although its refold may be equal.
    pub fn gap_in(&self, month: Month) -> Option<&OperatorDecision> {
        self.decisions.iter().find(|decision| {
            decision
                .unproven
                .is_some_and(|(first, last)| (first..=last).contains(&month))
        })
    }
}

pub fn read_book(text: &[u8], sealed: &Sealed) -> Result<RateBook, Stop> {
    rate_book::read(text).map_err(|faults| {
        broken(
            sealed.record.partition,
            Some(sealed.offset),
            "a rate book",
            faults,
        )
    })
}

/// The journal is not one that this program wrote, or was changed.
fn broken(partition: u16, offset: Option<i64>, kept: impl ToString, found: impl ToString) -> Stop {
    let at = offset.map_or("its end".to_owned(), |offset| format!("offset {offset}"));
    Stop::Different(Box::new(Difference {
        what: "journal chain",
        place: format!("journal partition {partition} {at}"),
        inputs: Vec::new(),
        expected: kept.to_string(),
        found: found.to_string(),
        rule: "each record names the digest of the one before it, from the genesis on (engine.md 4)",
    }))
}

pub fn hex(digest: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}
