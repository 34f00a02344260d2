//! The dead letters of a partition beside the refolded ones: key, headers and value of each must be
//! the bytes that the refold gives.
//!
//! They belong to no month, and their topic forgets them sooner than invoices are forgotten: where
//! they are gone, the journal's digest of them is what proves them.

use crate::ports::Lines;
use crate::ports::evidence::{Evidence, Records, Topic};
use crate::wire::dead_letter::{DeadLetterRecord, find_mark, mark};
use crate::wire::record_bytes::{self, LogRecord};

use super::Stop;
use super::chain::Sealed;
use super::position::TopicPosition;
use super::publication::{Publication, Refolded, Sort, read, shown};

const LETTERS: Sort = Sort {
    what: "dead letter",
    none: "no dead letter",
    missing: "every record that cannot be accepted is kept (fold.md 4)",
    changed: "a dead letter is the record as it came, and why it was refused (interfaces.md 5)",
    extra: "nothing is a dead letter but what the fold refuses (fold.md 4)",
    shown: told,
};

pub struct Letters<R> {
    partition: u16,
    inputs: Inputs,
    topic: Publication<R>,
}

/// Names of the inputs; where the refold begins in each, if letters from before lie there too.
pub type Inputs = Vec<(String, Option<i64>)>;

impl<R: Records> Letters<R> {
    /// Goes on at `position`.
    pub fn open<E: Evidence<Records = R>>(
        evidence: &E,
        partition: u16,
        inputs: Inputs,
        position: TopicPosition,
    ) -> Result<Letters<R>, Stop> {
        let topic = Topic::DeadLetters;
        Ok(Letters {
            partition,
            inputs,
            topic: Publication::open(evidence, topic, partition, &LETTERS, position)?,
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
        let (name, _) = &self.inputs[usize::from(letter.original.topic)];
        let wanted = published(letter, name, self.partition);
        let wanted = read(&wanted)?;
        let refolded = Refolded {
            is_same: &|record| {
                (record.key, record.headers, record.value)
                    == (wanted.key, wanted.headers, wanted.value)
            },
            is_of: &|record| place_of(record) == Some((name, letter.original.offset)),
            shown: &|| told(&wanted),
        };
        let counts = counts(&self.inputs, self.topic.position);
        self.topic.compare(&refolded, sealed, &counts)
    }

    /// Nothing may be left.
    pub fn finish(&mut self) -> Result<(), Stop> {
        let counts = counts(&self.inputs, self.topic.position);
        self.topic.finish(&counts)
    }

    /// How far they were compared.
    pub fn position(&self) -> TopicPosition {
        self.topic.position
    }
}

/// Letters from before the refold are passed over, which stand before all others.
fn counts(inputs: &Inputs, position: TopicPosition) -> impl Fn(&LogRecord<'_>) -> bool {
    move |record| {
        let is_earlier = place_of(record).is_some_and(|(topic, offset)| {
            let mut inputs = inputs.iter();
            inputs.any(|(name, start)| name == topic && Some(offset) < *start)
        });
        position.equal > 0 || !is_earlier
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
