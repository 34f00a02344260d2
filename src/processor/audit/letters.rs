//! The dead letters of a partition beside the refolded ones: key, headers and value of each must be
//! the bytes that the refold gives.
//!
//! They belong to no month, and their topic forgets them sooner than invoices are forgotten: where
//! they are gone, the journal's digest of them is what proves them.

use crate::ports::Lines;
use crate::ports::evidence::{Evidence, Records, Stretch, Topic};
use crate::wire::dead_letter::{DeadLetterRecord, find_mark, mark};
use crate::wire::record_bytes::{self, LogRecord};

use super::chain::Sealed;
use super::difference::inputs_of;
use super::published::{read, shown};
use super::{Difference, Stop};

pub struct Letters<R> {
    partition: u16,
    name: String,
    records: R,
    /// Names of the inputs; where the refold begins in each, if letters from before lie there too.
    inputs: Vec<(String, Option<i64>)>,
    /// The next letter, once it was looked at.
    next: Option<Vec<u8>>,
    pub equal: u64,
    /// No longer kept.
    pub gone: u64,
}

impl<R: Records> Letters<R> {
    pub fn open<E: Evidence<Records = R>>(
        evidence: &E,
        partition: u16,
        inputs: Vec<(String, Option<i64>)>,
    ) -> Result<Letters<R>, Stop> {
        Ok(Letters {
            partition,
            name: evidence.name(Topic::DeadLetters).to_owned(),
            records: evidence.open(Topic::DeadLetters, partition, Stretch::ALL)?,
            inputs,
            next: None,
            equal: 0,
            gone: 0,
        })
    }

    /// The refolded letters of a commit against those that follow in the topic.
    pub fn compare(&mut self, letters: &Lines, sealed: &Sealed) -> Result<(), Stop> {
        for letter in letters.iter() {
            let Ok(letter) = DeadLetterRecord::read(letter) else {
                unreachable!("this process wrote it")
            };
            self.compare_one(&letter, sealed)?;
        }
        Ok(())
    }

    fn compare_one(&mut self, letter: &DeadLetterRecord, sealed: &Sealed) -> Result<(), Stop> {
        let (topic, _) = &self.inputs[usize::from(letter.original.topic)];
        let topic = topic.clone();
        let wanted = published(letter, &topic, self.partition);
        let wanted = read(&wanted)?;
        let fault = |place: String, expected: String, rule| {
            Stop::Different(Box::new(Difference {
                what: "dead letter",
                place,
                inputs: inputs_of(&sealed.record),
                expected,
                found: format!("{} (commit {})", told(&wanted), sealed.record.sequence),
                rule,
            }))
        };
        let Some(kept) = self.take()? else {
            if self.lacks_its_start() {
                self.gone += 1;
                return Ok(());
            }
            let place = format!("{} partition {}, its end", self.name, self.partition);
            return Err(fault(
                place,
                "no dead letter".into(),
                "every record that cannot be accepted is kept (fold.md 4)",
            ));
        };
        let record = read(&kept)?;
        let is_same = (record.key, record.headers, record.value)
            == (wanted.key, wanted.headers, wanted.value);
        if is_same {
            self.equal += 1;
            return Ok(());
        }
        // Of a topic whose oldest records are gone, the first that is kept is not the first refolded.
        let place = place_of(&record);
        if self.lacks_its_start() && place != Some((topic.as_str(), letter.original.offset)) {
            self.gone += 1;
            self.next = Some(kept);
            return Ok(());
        }
        let place = format!(
            "{} partition {} offset {}",
            self.name, self.partition, record.offset
        );
        Err(fault(
            place,
            told(&record),
            "a dead letter is the record as it came, and why it was refused (interfaces.md 5)",
        ))
    }

    /// Nothing may be left.
    pub fn finish(&mut self) -> Result<(), Stop> {
        let Some(kept) = self.take()? else {
            return Ok(());
        };
        let record = read(&kept)?;
        Err(Stop::Different(Box::new(Difference {
            what: "dead letter",
            place: format!(
                "{} partition {} offset {}",
                self.name, self.partition, record.offset
            ),
            inputs: Vec::new(),
            expected: told(&record),
            found: "no dead letter".into(),
            rule: "nothing is a dead letter but what the fold refuses (fold.md 4)",
        })))
    }

    /// Takes the next letter, passing over those from before the refold.
    fn take(&mut self) -> Result<Option<Vec<u8>>, Stop> {
        if let Some(kept) = self.next.take() {
            return Ok(Some(kept));
        }
        while let Some(bytes) = self.records.next()? {
            let place = place_of(&read(bytes)?).map(|(topic, offset)| (topic.to_owned(), offset));
            let is_earlier = place.is_some_and(|(topic, offset)| {
                let mut inputs = self.inputs.iter();
                inputs.any(|(name, start)| *name == topic && Some(offset) < *start)
            });
            if self.equal > 0 || !is_earlier {
                return Ok(Some(bytes.to_vec()));
            }
        }
        Ok(None)
    }

    /// What was published first is no longer kept, and nothing that is kept was met yet.
    fn lacks_its_start(&self) -> bool {
        self.records.first() > 0 && self.equal == 0
    }
}

/// A letter as it is published.
fn published(letter: &DeadLetterRecord, topic: &str, partition: u16) -> Vec<u8> {
    let original = letter.original.headers.iter();
    let original = original.map(|(name, value)| {
        let name = String::from_utf8_lossy(name).into_owned();
        (name.into_bytes(), value.map(<[u8]>::to_vec))
    });
    let marks = letter.marks(topic, partition);
    let marks = marks.map(|(name, value)| {
        let value = value.into_owned().into_bytes();
        (name.as_bytes().to_vec(), Some(value))
    });
    let headers: Vec<_> = original.chain(marks).collect();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_deref()));
    let LogRecord {
        offset,
        recorded,
        key,
        value,
        ..
    } = letter.original;
    let mut out = Vec::new();
    record_bytes::append(&mut out, 0, offset, recorded, key, headers, value);
    out
}

/// A letter for a person: without its headers nobody sees why it is one.
fn told(letter: &LogRecord<'_>) -> String {
    let headers = letter.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.unwrap_or_default());
        format!("{}={value}", String::from_utf8_lossy(name))
    });
    let headers: Vec<String> = headers.collect();
    format!("{} with {}", shown(letter), headers.join(", "))
}

/// Topic and offset of the record that a letter holds, as its headers say.
fn place_of<'a>(record: &LogRecord<'a>) -> Option<(&'a str, i64)> {
    let headers = record.headers;
    let topic = find_mark(headers.iter(), mark::TOPIC)?;
    let offset = find_mark(headers.iter(), mark::OFFSET)?;
    Some((topic, offset.parse().ok()?))
}
