//! A topic of what was published, gone through beside what the refold gives for it: record by
//! record, each must be the bytes that the refold gives.

use crate::ports::evidence::{Evidence, EvidenceError, Records, Stretch, Topic};
use crate::wire::record_bytes::LogRecord;

use super::chain::Sealed;
use super::difference::inputs_of;
use super::position::TopicPosition;
use super::{Difference, Stop};

/// Characters of a record that a difference shows.
const SHOWN_MAX: usize = 4_096;

/// What a topic holds, and the rules that stand when it differs.
pub struct Sort {
    /// What a difference is one of.
    pub what: &'static str,
    pub none: &'static str,
    pub missing: &'static str,
    pub changed: &'static str,
    pub extra: &'static str,
    /// A record for a person.
    pub shown: fn(&LogRecord<'_>) -> String,
}

/// What the refold gives for the next record of a topic.
pub struct Refolded<'a> {
    /// The record has its bytes.
    pub is_same: &'a dyn Fn(&LogRecord<'_>) -> bool,
    /// The record, be it changed, stands where this belongs.
    pub is_of: &'a dyn Fn(&LogRecord<'_>) -> bool,
    /// It for a person.
    pub shown: &'a dyn Fn() -> String,
}

pub struct Publication<R> {
    sort: &'static Sort,
    name: String,
    partition: u16,
    records: R,
    /// The next record that counts, once it was looked at.
    looked_at: Option<Vec<u8>>,
    /// Where it goes on, the topic begins by now, and nothing that is kept was met yet.
    is_cut: bool,
    pub position: TopicPosition,
}

impl<R: Records> Publication<R> {
    /// Goes on at `position`.
    pub fn open<E: Evidence<Records = R>>(
        evidence: &E,
        topic: Topic,
        partition: u16,
        sort: &'static Sort,
        position: TopicPosition,
    ) -> Result<Publication<R>, Stop> {
        let stretch = Stretch {
            from: position.next,
            to: None,
        };
        let records = evidence.open(topic, partition, stretch)?;
        Ok(Publication {
            sort,
            name: evidence.name(topic).to_owned(),
            partition,
            looked_at: None,
            is_cut: position.next.is_some_and(|next| next < records.first()),
            records,
            position,
        })
    }

    /// What the refold gives against the next record that `counts`.
    pub fn compare(
        &mut self,
        refolded: &Refolded<'_>,
        sealed: &Sealed,
        counts: &dyn Fn(&LogRecord<'_>) -> bool,
    ) -> Result<(), Stop> {
        let refolded_in = Some((refolded, sealed));
        let Some(kept) = self.take(counts)? else {
            if self.lacks_its_start() {
                self.position.gone += 1;
                return Ok(());
            }
            return Err(self.differs(None, refolded_in, self.sort.missing));
        };
        let record = read(&kept)?;
        if (refolded.is_same)(&record) {
            self.position.equal += 1;
            self.is_cut = false;
            return Ok(());
        }
        // Of a topic whose oldest records are gone, the first that is kept is not the first refolded.
        if self.lacks_its_start() && !(refolded.is_of)(&record) {
            self.position.gone += 1;
            self.position.next = Some(record.offset);
            self.looked_at = Some(kept);
            return Ok(());
        }
        Err(self.differs(Some(&record), refolded_in, self.sort.changed))
    }

    /// Nothing that `counts` may be left.
    pub fn finish(&mut self, counts: &dyn Fn(&LogRecord<'_>) -> bool) -> Result<(), Stop> {
        match self.take(counts)? {
            Some(kept) => Err(self.differs(Some(&read(&kept)?), None, self.sort.extra)),
            None => Ok(()),
        }
    }

    fn take(&mut self, counts: &dyn Fn(&LogRecord<'_>) -> bool) -> Result<Option<Vec<u8>>, Stop> {
        if let Some(kept) = self.looked_at.take() {
            self.position.next = Some(read(&kept)?.offset + 1);
            return Ok(Some(kept));
        }
        while let Some(bytes) = self.records.next()? {
            let record = read(bytes)?;
            self.position.next = Some(record.offset + 1);
            if counts(&record) {
                return Ok(Some(bytes.to_vec()));
            }
        }
        Ok(None)
    }

    /// What was published first is no longer kept, and nothing that is kept was met yet.
    fn lacks_its_start(&self) -> bool {
        self.is_cut || self.records.first() > 0 && self.position.equal == 0
    }

    /// A record where none belongs, none where one does, or another.
    fn differs(
        &self,
        kept: Option<&LogRecord<'_>>,
        refolded_in: Option<(&Refolded<'_>, &Sealed)>,
        rule: &'static str,
    ) -> Stop {
        let (name, partition) = (&self.name, self.partition);
        let none = self.sort.none.to_owned();
        let place = match kept {
            Some(record) => format!("{name} partition {partition} offset {}", record.offset),
            None => format!("{name} partition {partition}, its end"),
        };
        let (found, inputs) = match refolded_in {
            Some((refolded, sealed)) => {
                let (shown, commit) = ((refolded.shown)(), sealed.record.sequence);
                let found = format!("{shown} (commit {commit})");
                (found, inputs_of(&sealed.record))
            }
            None => (none.clone(), Vec::new()),
        };
        Stop::Different(Box::new(Difference {
            what: self.sort.what,
            place,
            inputs,
            expected: kept.map_or(none, self.sort.shown),
            found,
            rule,
        }))
    }
}

pub fn read(bytes: &[u8]) -> Result<LogRecord<'_>, Stop> {
    LogRecord::read(bytes).map_err(|fault| {
        Stop::Evidence(EvidenceError::Damaged(format!(
            "a published record: {fault}"
        )))
    })
}

/// Text of a published record for a person.
pub fn shown(record: &LogRecord<'_>) -> String {
    let key = String::from_utf8_lossy(record.key.unwrap_or_default());
    let value = String::from_utf8_lossy(record.value.unwrap_or_default());
    let value: String = value.chars().take(SHOWN_MAX).collect();
    format!("key {key:?}: {value}")
}
