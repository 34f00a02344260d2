//! The published derived events of a partition beside the refolded ones: key, headers and value of
//! each must be the bytes that the refold gives.
//!
//! In each of the four topics the events of the scope stand in fold order. One in Avro is compared
//! in Avro: equal facts have equal bytes in either form, so what stands there is proven.

use crate::billing::derived_event::DerivedKind;
use crate::ports::StagedDerived;
use crate::ports::evidence::{Evidence, Records, Topic};
use crate::wire::avro::{CONFLUENT_MARK, split_single_object};
use crate::wire::derived_avro::{CONTENT_TYPE as AVRO, DerivedEncoder, Framing};
use crate::wire::record_bytes::{self, LogRecord};

use super::chain::Sealed;
use super::position::KindPositions;
use super::publication::{Publication, Refolded, Sort, shown};
use super::{Scope, Stop};

/// What a structured event in JSON says that it is.
const JSON: &[u8] = b"application/cloudevents+json";

const EVENTS: Sort = Sort {
    what: "published event",
    none: "no event",
    missing: "every event that the fold emits is published (fold.md 9)",
    changed: "a published event is what the fold emits, byte for byte (fold.md 9)",
    extra: "nothing is published but what the fold emits (fold.md 9)",
    shown,
};

pub struct Published<'a, R> {
    scope: Scope<'a>,
    topics: Vec<(DerivedKind, Publication<R>)>,
    encoder: DerivedEncoder,
}

impl<'a, R: Records> Published<'a, R> {
    /// Goes on at the positions of each kind.
    pub fn open<E: Evidence<Records = R>>(
        evidence: &E,
        partition: u16,
        scope: Scope<'a>,
        positions: KindPositions,
    ) -> Result<Published<'a, R>, Stop> {
        let mut topics = Vec::new();
        for (kind, position) in DerivedKind::ALL.into_iter().zip(positions) {
            let topic = Topic::Derived(kind);
            let topic = Publication::open(evidence, topic, partition, &EVENTS, position)?;
            topics.push((kind, topic));
        }
        Ok(Published {
            scope,
            topics,
            encoder: DerivedEncoder::built_in(),
        })
    }

    /// A refolded event against the next one that was published of its kind.
    pub fn compare(&mut self, event: &StagedDerived, sealed: &Sealed) -> Result<(), Stop> {
        let (scope, encoder) = (&self.scope, &self.encoder);
        let text = Text::of_json(&event.json);
        if !scope.holds(event.kind, &event.team, text.as_ref()) {
            return Ok(());
        }
        let id = |text: Option<Text>| text.map(|text| text.id);
        let wanted = id(text);
        let refolded = Refolded {
            is_same: &|record| is_same(encoder, record, event),
            is_of: &|record| id(Text::of(record)) == wanted,
            shown: &|| String::from_utf8_lossy(&event.json).into_owned(),
        };
        let mut topics = self.topics.iter_mut();
        let Some((kind, topic)) = topics.find(|(kind, _)| *kind == event.kind) else {
            unreachable!("every kind has a topic")
        };
        topic.compare(&refolded, sealed, &|record| scope.counts(*kind, record))
    }

    /// Nothing of the scope may be left.
    pub fn finish(&mut self) -> Result<(), Stop> {
        let scope = &self.scope;
        let mut topics = self.topics.iter_mut();
        topics.try_for_each(|(kind, topic)| topic.finish(&|record| scope.counts(*kind, record)))
    }

    /// How far each kind was compared.
    pub fn positions(&self) -> KindPositions {
        let mut positions = KindPositions::default();
        for (position, (_, topic)) in positions.iter_mut().zip(&self.topics) {
            *position = topic.position;
        }
        positions
    }
}

impl Scope<'_> {
    fn counts(&self, kind: DerivedKind, record: &LogRecord<'_>) -> bool {
        let team = String::from_utf8_lossy(record.key.unwrap_or_default());
        self.holds(kind, &team, Text::of(record).as_ref())
    }

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
