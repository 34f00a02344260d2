//! Records of the input topics: their checks in order, and the content kinds (`interfaces.md` 1, 5).
//!
//! What a record holds is told by its `content-type` header first (case does not matter, parameters
//! are ignored), and where that names no format, by the first bytes of the value:
//!
//! | `content-type` | value begins with | is read as |
//! | --- | --- | --- |
//! | `application/cloudevents+json` | any | JSON, structured mode |
//! | another `application/cloudevents…` | any | malformed `record` |
//! | `…/json`, `…+json` | any | JSON, binary mode if there is a known `ce_` header, else structured |
//! | `…avro…` | any | Avro, framed by one of the two marks below |
//! | absent or another | 00 | Avro with Confluent's header |
//! | absent or another | C3 01 | Avro in single-object encoding |
//! | absent or another | any other | as `…/json` |
//!
//! In structured mode `ce_` headers are ignored; a known one that stands twice makes the record
//! malformed in the other modes. In binary mode an empty value is absent data; a null value is always
//! malformed. `recordedtime` is checked as in files, and then the record's own timestamp counts.
//!
//! Nothing is asked here: a writer schema that is not known makes [`Outcome::SchemaWanted`], its
//! answer comes by [`RecordDecoder::learn`], and the record is then decoded again.

mod content;
mod schemas;

use std::sync::Arc;

use super::avro::{SchemaError, Schemas};
use super::partitioner::partition_of;
use super::span::{Decoded, Text};
use crate::billing::event::{DeadLetterReason, Fault};

pub use super::record_bytes::{Header, Headers, LogRecord};
use content::{Content, Framed};
use schemas::{Known, RegisteredSchemas};

/// Index of the first input topic; where there are two, it takes usage only.
pub const API_CALLS: u8 = 0;

/// Index of the second input topic.
pub const ACCOUNTS: u8 = 1;

/// Most bytes of key, value and headers together; beyond it nothing of the record is read.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Most bytes that a record adds to either string of a [`Text`]: an Avro record of nothing but
/// symbols of enumerations. A piece of a batch ends while there is room for one more.
pub const TEXT_BYTES_PER_RECORD_MAX: usize = super::avro::TEXT_GROWTH_MAX * RECORD_BYTES_MAX;

/// Most characters of a key that an error shows.
const KEY_SHOWN_MAX: usize = 128;

/// What a partition takes, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct RecordRules {
    pub partition: u16,
    /// Partitions of each input topic.
    pub partitions: u16,
    /// There is a second input topic, so the first takes usage only.
    pub has_accounts: bool,
    /// Record-time mode: clock ticks are accepted.
    pub takes_ticks: bool,
    /// A record of another partition stops this one; else it is a dead letter.
    pub halts_on_wrong_partition: bool,
}

/// Decodes the records of one partition. Knows the writer schemas that it has met.
pub struct RecordDecoder {
    rules: RecordRules,
    built_in: Arc<Schemas>,
    registered: RegisteredSchemas,
    schema_used: Option<u32>,
}

pub enum Outcome {
    /// An event or the fault that makes a dead letter of it. `recorded` is the record's timestamp.
    Decoded(Decoded),
    /// The registry has to be asked for this id. Nothing was kept.
    SchemaWanted(u32),
    /// The partition halts before this record. Nothing was kept.
    WrongPartition {
        key: Option<Box<[u8]>>,
        /// What is wrong, on one line.
        detail: String,
    },
}

/// What a registry says of a schema id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaAnswer {
    Schema(String),
    /// There is none of that id.
    Denied,
}

/// What reading a record's content comes to.
enum Read {
    Decoded(Decoded),
    Wanted(u32),
}

impl RecordDecoder {
    pub fn new(rules: RecordRules, built_in: Arc<Schemas>) -> RecordDecoder {
        RecordDecoder {
            rules,
            built_in,
            registered: RegisteredSchemas::default(),
            schema_used: None,
        }
    }

    /// Decodes a record. Its text goes to `text`, at most [`TEXT_BYTES_PER_RECORD_MAX`] of it.
    pub fn decode(&mut self, record: &LogRecord<'_>, text: &mut Text) -> Outcome {
        self.schema_used = None;
        let lens = (text.input.len(), text.side.len());
        let mut decoded = match self.read(record, text) {
            Read::Decoded(decoded) => decoded,
            Read::Wanted(id) => return Outcome::SchemaWanted(id),
        };
        decoded.recorded = Some(record.recorded);
        if is_unread(&decoded) {
            text.input.truncate(lens.0);
            text.side.truncate(lens.1);
            return Outcome::Decoded(decoded);
        }
        if let Some(fault) = self.misplaced(record, &decoded, text) {
            if self.rules.halts_on_wrong_partition {
                let outcome = self.wrong_partition(record, &decoded, text, fault);
                text.input.truncate(lens.0);
                text.side.truncate(lens.1);
                return outcome;
            }
            decoded.event = Err(fault);
        } else if let Some(fault) = self.not_taken(record, &decoded) {
            decoded.event = Err(fault);
        }
        Outcome::Decoded(decoded)
    }

    /// Takes in what the registry, or the journal of a refold, says of a schema id. An error is a
    /// schema that is known from now on but cannot be read by: its records are malformed.
    pub fn learn(&mut self, id: u32, answer: SchemaAnswer) -> Result<(), SchemaError> {
        self.registered.learn(id, answer)
    }

    /// The schema id that the last record's outcome follows from: when it is first used, or its
    /// answer changed, it belongs into the journal with its text (None: it was denied).
    pub const fn schema_used(&self) -> Option<u32> {
        self.schema_used
    }

    /// Text of a schema that was learned.
    pub fn schema_text(&self, id: u32) -> Option<&str> {
        self.registered.text(id)
    }

    /// Checks 1 and 2: size, and whether anything can be read.
    fn read(&mut self, record: &LogRecord<'_>, text: &mut Text) -> Read {
        if record.content_bytes() > RECORD_BYTES_MAX {
            return Read::Decoded(unread(Fault {
                reason: DeadLetterReason::TooLarge,
                detail: "record",
            }));
        }
        let decoded = match Content::of(record) {
            Content::Structured(value) => content::decode_structured(value, text),
            Content::Binary(value, attributes) => content::decode_binary(value, &attributes, text),
            Content::Avro(Framed::SingleObject { fingerprint, datum }, attributes) => {
                match self.built_in.plan(fingerprint) {
                    Some(plan) => plan.decode_beside(datum, attributes.as_ref(), &mut text.side),
                    None => Decoded::unreadable(),
                }
            }
            Content::Avro(Framed::Registered { id, datum }, attributes) => {
                let Some(known) = self.registered.get(id) else {
                    return Read::Wanted(id);
                };
                self.schema_used = Some(id);
                match known {
                    Known::Plan { plan, .. } => {
                        plan.decode_beside(datum, attributes.as_ref(), &mut text.side)
                    }
                    Known::Unreadable { .. } => Decoded::unreadable(),
                    Known::Denied => unread(Fault::malformed("schema_id")),
                }
            }
            Content::Unreadable => Decoded::unreadable(),
        };
        Read::Decoded(decoded)
    }

    /// Check 3: key and partition follow from the subject. A tick has no subject here.
    fn misplaced(&self, record: &LogRecord<'_>, decoded: &Decoded, text: &Text) -> Option<Fault> {
        let subject = text.get(decoded.subject?).as_bytes();
        let fault = |reason, detail| Some(Fault { reason, detail });
        if record.key != Some(subject) {
            fault(DeadLetterReason::WrongKey, "key")
        } else if partition_of(subject, self.rules.partitions) != self.rules.partition {
            fault(DeadLetterReason::WrongPartition, "partition")
        } else {
            None
        }
    }

    /// Check 4: what this topic, and this mode, does not take. Where only usage is taken, a type that
    /// cannot be read is none of usage either.
    fn not_taken(&self, record: &LogRecord<'_>, decoded: &Decoded) -> Option<Fault> {
        let fault = |reason, detail| Some(Fault { reason, detail });
        if self.rules.has_accounts && record.topic == API_CALLS && !decoded.is_usage {
            return fault(DeadLetterReason::WrongTopic, "type");
        }
        if !decoded.is_tick {
            return None;
        }
        match (self.rules.takes_ticks, record.key) {
            (false, _) => fault(DeadLetterReason::TickNotAllowed, "type"),
            (true, Some(_)) => fault(DeadLetterReason::TickNotAllowed, "key"),
            (true, None) => None,
        }
    }

    fn wrong_partition(
        &self,
        record: &LogRecord<'_>,
        decoded: &Decoded,
        text: &Text,
        fault: Fault,
    ) -> Outcome {
        let subject = decoded.subject.map_or("", |subject| text.get(subject));
        let RecordRules {
            partition,
            partitions,
            ..
        } = self.rules;
        let detail = match fault.reason {
            DeadLetterReason::WrongKey => format!(
                "key {} is not the subject {}",
                record.key.map_or("(none)".to_owned(), shown),
                shown(subject.as_bytes()),
            ),
            _ => format!(
                "team {} belongs to partition {} of {partitions}, not {partition}",
                shown(subject.as_bytes()),
                partition_of(subject.as_bytes(), partitions),
            ),
        };
        let key = record.key.map(Box::from);
        Outcome::WrongPartition { key, detail }
    }
}

/// Id of the writer schema that the value names to a registry.
pub fn schema_id(record: &LogRecord<'_>) -> Option<u32> {
    match Content::of(record) {
        Content::Avro(Framed::Registered { id, .. }, _) => Some(id),
        _ => None,
    }
}

/// Nothing of the record is known but why.
fn unread(fault: Fault) -> Decoded {
    Decoded {
        event: Err(fault),
        ..Decoded::unreadable()
    }
}

/// Checks 1 and 2 found a fault, so the others do not run.
fn is_unread(decoded: &Decoded) -> bool {
    let Err(fault) = decoded.event else {
        return false;
    };
    fault.reason == DeadLetterReason::TooLarge || matches!(fault.detail, "record" | "schema_id")
}

/// Bytes of a key in an error: quoted, on one line, cut.
fn shown(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let cut: String = text.chars().take(KEY_SHOWN_MAX).collect();
    format!("{cut:?}")
}

#[cfg(test)]
mod tests;
