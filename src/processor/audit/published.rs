//! The published derived events of a partition beside the refolded ones: key, headers and value of
//! each must be the bytes that the refold gives.
//!
//! In each of the four topics the events of the scope stand in fold order. One in Avro is compared
//! in Avro: equal facts have equal bytes in either form, so what stands there is proven.

use crate::billing::derived_event::DerivedKind;
use crate::ports::StagedDerived;
use crate::ports::evidence::{Evidence, Records, Stretch, Topic};
use crate::wire::avro::{CONFLUENT_MARK, split_single_object};
use crate::wire::derived_avro::{CONTENT_TYPE as AVRO, DerivedEncoder, Framing};
use crate::wire::record_bytes::{self, LogRecord};

use super::chain::Sealed;
use super::difference::inputs_of;
use super::{Difference, Scope, Stop};

/// What a structured event in JSON says that it is.
const JSON: &[u8] = b"application/cloudevents+json";
/// Characters of an event that a difference shows.
const SHOWN_MAX: usize = 4_096;

pub struct Published<'a, R> {
    partition: u16,
    scope: Scope<'a>,
    topics: Vec<PublishedTopic<R>>,
    encoder: DerivedEncoder,
    pub equal: u64,
    pub gone: u64,
}

struct PublishedTopic<R> {
    kind: DerivedKind,
    name: String,
    records: R,
    /// The next event of the scope, once it was looked for.
    next: Option<Vec<u8>>,
    has_matched: bool,
}

impl<'a, R: Records> Published<'a, R> {
    pub fn open<E: Evidence<Records = R>>(
        evidence: &E,
        partition: u16,
        scope: Scope<'a>,
    ) -> Result<Published<'a, R>, Stop> {
        let mut topics = Vec::new();
        for kind in DerivedKind::ALL {
            topics.push(PublishedTopic {
                kind,
                name: evidence.name(Topic::Derived(kind)).to_owned(),
                records: evidence.open(Topic::Derived(kind), partition, Stretch::ALL)?,
                next: None,
                has_matched: false,
            });
        }
        Ok(Published {
            partition,
            scope,
            topics,
            encoder: DerivedEncoder::built_in(),
            equal: 0,
            gone: 0,
        })
    }

    /// A refolded event against the next one that was published of its kind.
    pub fn compare(&mut self, event: &StagedDerived, sealed: &Sealed) -> Result<(), Stop> {
        let Published {
            partition,
            scope,
            topics,
            encoder,
            equal,
            gone,
        } = self;
        let text = Text::of_json(&event.json);
        if !scope.holds(event.kind, &event.team, text.as_ref()) {
            return Ok(());
        }
        let Some(topic) = topics.iter_mut().find(|topic| topic.kind == event.kind) else {
            unreachable!("every kind has a topic")
        };
        let refolded = String::from_utf8_lossy(&event.json).into_owned();
        let fault = |place: String, expected: String, rule| {
            Stop::Different(Box::new(Difference {
                what: "published event",
                place,
                inputs: inputs_of(&sealed.record),
                expected,
                found: format!("{refolded} (commit {})", sealed.record.sequence),
                rule,
            }))
        };
        let kept = topic.peek(scope)?;
        let Some(kept) = kept else {
            if topic.lacks_its_start() {
                *gone += 1;
                return Ok(());
            }
            let place = format!("{} partition {partition}, its end", topic.name);
            return Err(fault(
                place,
                "no event".into(),
                "every event that the fold emits is published (fold.md 9)",
            ));
        };
        let record = read(&kept)?;
        if is_same(encoder, &record, event) {
            *equal += 1;
            topic.has_matched = true;
            return Ok(());
        }
        // Of a topic whose oldest records are gone, the first that is kept is not the first refolded.
        let id = |text: Option<&Text>| text.map(|text| text.id.clone());
        if topic.lacks_its_start() && id(Text::of(&record).as_ref()) != id(text.as_ref()) {
            *gone += 1;
            topic.next = Some(kept);
            return Ok(());
        }
        let place = format!(
            "{} partition {partition} offset {}",
            topic.name, record.offset
        );
        Err(fault(
            place,
            shown(&record),
            "a published event is what the fold emits, byte for byte (fold.md 9)",
        ))
    }

    /// Nothing of the scope may be left.
    pub fn finish(&mut self) -> Result<(), Stop> {
        for topic in &mut self.topics {
            let Some(kept) = topic.peek(&self.scope)? else {
                continue;
            };
            let record = read(&kept)?;
            return Err(Stop::Different(Box::new(Difference {
                what: "published event",
                place: format!(
                    "{} partition {} offset {}",
                    topic.name, self.partition, record.offset
                ),
                inputs: Vec::new(),
                expected: shown(&record),
                found: "no event".into(),
                rule: "nothing is published but what the fold emits (fold.md 9)",
            })));
        }
        Ok(())
    }
}

impl<R: Records> PublishedTopic<R> {
    /// Takes the next event of the scope; None: there is none.
    fn peek(&mut self, scope: &Scope<'_>) -> Result<Option<Vec<u8>>, Stop> {
        if let Some(kept) = self.next.take() {
            return Ok(Some(kept));
        }
        while let Some(bytes) = self.records.next()? {
            let record = read(bytes)?;
            let team = record.key.map(String::from_utf8_lossy);
            let team = team.unwrap_or_default();
            if scope.holds(self.kind, &team, Text::of(&record).as_ref()) {
                return Ok(Some(bytes.to_vec()));
            }
        }
        Ok(None)
    }

    /// What was published first is no longer kept, and nothing that is kept was met yet.
    fn lacks_its_start(&self) -> bool {
        self.records.first() > 0 && !self.has_matched
    }
}

impl Scope<'_> {
    /// Whether an event belongs to what is audited. One that says nothing of itself does.
    fn holds(&self, kind: DerivedKind, team: &str, text: Option<&Text>) -> bool {
        if self.team.is_some_and(|wanted| wanted != team) {
            return false;
        }
        let Some(text) = text else {
            return true;
        };
        let month = match kind {
            DerivedKind::CapReached | DerivedKind::MonthlyInvoice => {
                let rest = text.id.strip_prefix(kind.name());
                rest.and_then(|rest| rest.strip_prefix('/'))
                    .and_then(|rest| rest.strip_prefix(team))
                    .and_then(|rest| rest.strip_prefix('/'))
                    .and_then(|rest| rest.get(..7))
            }
            DerivedKind::TokensDepleted | DerivedKind::SwitchedToPostpay => text.time.get(..7),
        };
        month.is_none_or(|month| month == self.month.to_string())
    }
}

/// What an event says of itself.
struct Text {
    id: String,
    time: String,
}

impl Text {
    fn of(record: &LogRecord<'_>) -> Option<Text> {
        if !is_avro(record) {
            return Text::of_json(record.value?);
        }
        let header = |name: &[u8]| {
            let found = record.headers.iter().find(|(found, _)| *found == name)?.1?;
            String::from_utf8(found.to_vec()).ok()
        };
        Some(Text {
            id: header(b"ce_id")?,
            time: header(b"ce_time")?,
        })
    }

    fn of_json(json: &[u8]) -> Option<Text> {
        #[derive(serde::Deserialize)]
        struct Envelope {
            id: String,
            time: String,
        }
        let Envelope { id, time } = serde_json::from_slice(json).ok()?;
        Some(Text { id, time })
    }
}

fn is_avro(record: &LogRecord<'_>) -> bool {
    let mut headers = record.headers.iter();
    headers.any(|(name, value)| name == b"content-type" && value == Some(AVRO.as_bytes()))
}

/// Key, headers and value are those of `event`, in the form in which it was published.
fn is_same(encoder: &DerivedEncoder, record: &LogRecord<'_>, event: &StagedDerived) -> bool {
    let mut wanted = Vec::new();
    let mut write = |headers: &[(&str, String)], value: &[u8]| {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        let key = Some(event.team.as_bytes());
        let (topic, offset, recorded) = (record.topic, record.offset, record.recorded);
        record_bytes::append(
            &mut wanted,
            topic,
            offset,
            recorded,
            key,
            headers,
            Some(value),
        );
    };
    if is_avro(record) {
        let Some(framing) = record.value.and_then(framing) else {
            return false;
        };
        let Ok(avro) = encoder.encode(event.kind, framing, &event.json) else {
            return false;
        };
        write(&avro.headers, &avro.value);
    } else {
        let content_type = String::from_utf8_lossy(JSON).into_owned();
        write(&[("content-type", content_type)], &event.json);
    }
    LogRecord::read(&wanted).as_ref() == Ok(record)
}

/// How a published value names its schema; the schema itself is this program's.
fn framing(value: &[u8]) -> Option<Framing> {
    if let Some((head, _)) = value.split_first_chunk::<5>()
        && head[0] == CONFLUENT_MARK
    {
        return Some(Framing::Registered(u32::from_be_bytes([
            head[1], head[2], head[3], head[4],
        ])));
    }
    split_single_object(value).map(|_| Framing::SingleObject)
}

pub fn read(bytes: &[u8]) -> Result<LogRecord<'_>, Stop> {
    LogRecord::read(bytes).map_err(|fault| {
        Stop::Evidence(crate::ports::evidence::EvidenceError::Damaged(format!(
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
