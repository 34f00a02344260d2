//! Derived events in Avro binary mode: attributes in `ce_` headers, envelope and data in one datum of
//! `schemas/derived` (`interfaces.md` 2).
//!
//! What is encoded is the canonical JSON of [`derived`](super::derived), led by the schema: the two
//! forms cannot tell different facts, and equal JSON gives equal bytes. The committer of the log
//! calls this for what goes out; digests and audits stay with the JSON.

use serde_json::{Map, Value};

use super::avro::{
    CONFLUENT_MARK, SINGLE_OBJECT_MARK, derived_schema, fingerprint, put_bytes, put_long,
};
use crate::billing::derived_event::DerivedKind;
use crate::billing::time::Instant;

/// Value of the header `content-type`.
pub const CONTENT_TYPE: &str = "application/avro";

/// How a value names its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By the id that a registry gave: Confluent's header.
    Registered(u32),
    /// By its fingerprint: Avro's single-object encoding.
    SingleObject,
}

/// A derived event as a record of its topic; the key is the team as ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedAvro {
    pub headers: Vec<(&'static str, String)>,
    pub value: Vec<u8>,
}

/// The bytes are not an event of the kind in canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a derived event without a usable {0:?}")]
pub struct NotCanonical(String);

/// Encodes derived events by the schemas of this crate.
pub struct DerivedEncoder {
    schemas: Vec<(DerivedKind, Schema)>,
}

struct Schema {
    fingerprint: u64,
    shape: Shape,
}

/// The types that our schemas are made of.
enum Shape {
    Text,
    Long,
    Boolean,
    Instant,
    /// A union of null and this.
    Optional(Box<Shape>),
    List(Box<Shape>),
    Map(Box<Shape>),
    Record(Vec<(String, Shape)>),
}

/// Attributes that are fields of the datum and headers as well.
const ENVELOPE: [(&str, &str); 4] = [
    ("ce_id", "id"),
    ("ce_source", "source"),
    ("ce_subject", "subject"),
    ("ce_time", "time"),
];

impl DerivedEncoder {
    pub fn built_in() -> DerivedEncoder {
        let schema_of = |kind| {
            let text = derived_schema(kind);
            let shape = Shape::of(&serde_json::from_str(text).ok()?)?;
            let fingerprint = fingerprint(text)?.standard;
            Some((kind, Schema { fingerprint, shape }))
        };
        let schemas = DerivedKind::ALL
            .into_iter()
            .map(|kind| schema_of(kind).expect("a schema of this crate is valid"));
        DerivedEncoder {
            schemas: schemas.collect(),
        }
    }

    /// Encodes an event given in canonical JSON.
    pub fn encode(
        &self,
        kind: DerivedKind,
        framing: Framing,
        json: &[u8],
    ) -> Result<DerivedAvro, NotCanonical> {
        let missing = |name: &str| NotCanonical(name.to_owned());
        let mut event: Map<String, Value> =
            serde_json::from_slice(json).map_err(|_| missing("object"))?;
        let text = |event: &Map<String, Value>, name: &str| match event.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            _ => Err(missing(name)),
        };
        let mut headers = vec![("content-type", CONTENT_TYPE.to_owned())];
        for (header, name) in [("ce_specversion", "specversion"), ("ce_type", "type")] {
            headers.push((header, text(&event, name)?));
        }
        for (header, name) in ENVELOPE {
            headers.push((header, text(&event, name)?));
        }
        // As in the datum: envelope and data in one.
        let Some(Value::Object(mut fields)) = event.remove("data") else {
            return Err(missing("data"));
        };
        for (_, name) in ENVELOPE {
            fields.insert(name.to_owned(), event.remove(name).unwrap_or_default());
        }
        let (_, schema) = self
            .schemas
            .iter()
            .find(|(of, _)| *of == kind)
            .ok_or_else(|| missing("kind"))?;
        let mut value = framing.head(schema.fingerprint);
        schema
            .shape
            .put(&Value::Object(fields), "object", &mut value)?;
        Ok(DerivedAvro { headers, value })
    }
}

impl Framing {
    fn head(self, fingerprint: u64) -> Vec<u8> {
        match self {
            Framing::Registered(id) => [&[CONFLUENT_MARK][..], &id.to_be_bytes()].concat(),
            Framing::SingleObject => [&SINGLE_OBJECT_MARK[..], &fingerprint.to_le_bytes()].concat(),
        }
    }
}

impl Shape {
    /// None: a schema that none of ours is.
    fn of(schema: &Value) -> Option<Shape> {
        let inner = |name: &str| Some(Box::new(Shape::of(schema.get(name)?)?));
        let type_name = match schema {
            Value::String(name) => name,
            Value::Array(branches) => {
                let [null, other] = branches.as_slice() else {
                    return None;
                };
                let is_optional = null == "null";
                return is_optional.then_some(Shape::Optional(Box::new(Shape::of(other)?)));
            }
            _ => schema.get("type")?.as_str()?,
        };
        Some(match type_name {
            "string" => Shape::Text,
            "boolean" => Shape::Boolean,
            "long" if schema.get("logicalType").is_some() => Shape::Instant,
            "long" => Shape::Long,
            "array" => Shape::List(inner("items")?),
            "map" => Shape::Map(inner("values")?),
            "record" => {
                let fields = schema.get("fields")?.as_array()?;
                let field = |field: &Value| {
                    let name = field.get("name")?.as_str()?.to_owned();
                    Some((name, Shape::of(field.get("type")?)?))
                };
                Shape::Record(fields.iter().map(field).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    fn put(&self, value: &Value, name: &str, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
        let unusable = || NotCanonical(name.to_owned());
        match (self, value) {
            (Shape::Text, Value::String(text)) => put_bytes(text.as_bytes(), out),
            (Shape::Boolean, Value::Bool(boolean)) => out.push(u8::from(*boolean)),
            (Shape::Long, Value::Number(number)) => {
                // No meter counts that far: Avro's long ends where half of ours is.
                let beyond = number.is_u64().then_some(i64::MAX);
                let long = number.as_i64().or(beyond).ok_or_else(unusable)?;
                put_long(long, out);
            }
            (Shape::Instant, Value::String(text)) => {
                put_long(instant(text).ok_or_else(unusable)?.millis(), out);
            }
            (Shape::Optional(_), Value::Null) => put_long(0, out),
            (Shape::Optional(shape), value) => {
                put_long(1, out);
                shape.put(value, name, out)?;
            }
            (Shape::List(shape), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    put_block_before(index, items.len(), out);
                    shape.put(item, name, out)?;
                }
                put_long(0, out);
            }
            (Shape::Map(shape), Value::Object(entries)) => {
                for (index, (key, value)) in entries.iter().enumerate() {
                    put_block_before(index, entries.len(), out);
                    put_bytes(key.as_bytes(), out);
                    shape.put(value, name, out)?;
                }
                put_long(0, out);
            }
            (Shape::Record(fields), Value::Object(members)) => {
                for (name, shape) in fields {
                    let value = members.get(name).unwrap_or(&Value::Null);
                    shape.put(value, name, out)?;
                }
            }
            _ => return Err(unusable()),
        }
        Ok(())
    }
}

/// A printed instant. The end of the last month that can be read is the one that cannot be read.
fn instant(text: &str) -> Option<Instant> {
    let end = || (text == Instant::END.to_string()).then_some(Instant::END);
    Instant::parse(text).or_else(end)
}

/// Items of a list or map stand in one block, if there are any; 0 ends the blocks.
fn put_block_before(index: usize, items: usize, out: &mut Vec<u8>) {
    if index == 0 {
        put_long(items as i64, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP_REACHED: &str = include_str!("../../schemas/examples/cap-reached.v1.json");

    fn encode(json: &str) -> Result<DerivedAvro, NotCanonical> {
        let encoder = DerivedEncoder::built_in();
        encoder.encode(
            DerivedKind::CapReached,
            Framing::SingleObject,
            json.as_bytes(),
        )
    }

    #[test]
    fn attributes_are_headers_and_the_value_is_the_stored_example() {
        let encoded = encode(CAP_REACHED).expect("an example");
        let stored = include_bytes!("../../schemas/examples/cap-reached.v1.avro");
        assert_eq!(encoded.value, stored);
        let event: Value = serde_json::from_str(CAP_REACHED).expect("JSON");
        assert_eq!(encoded.headers.len(), 7);
        for (name, value) in &encoded.headers {
            match name.strip_prefix("ce_") {
                Some(attribute) => assert_eq!(event[attribute], value.as_str()),
                None => assert_eq!((*name, value.as_str()), ("content-type", CONTENT_TYPE)),
            }
        }
    }

    #[test]
    fn the_frame_names_the_schema() {
        let encoder = DerivedEncoder::built_in();
        let json = CAP_REACHED.as_bytes();
        let framed = encoder.encode(DerivedKind::CapReached, Framing::Registered(258), json);
        let framed = framed.expect("an example").value;
        assert_eq!(framed[..5], [0, 0, 0, 1, 2]);
        let single = encode(CAP_REACHED).expect("an example").value;
        assert_eq!(framed[5..], single[10..]);
    }

    #[test]
    fn the_last_month_resumes_at_the_end_of_what_can_be_read() {
        let last = "2200-01-01T00:00:00Z";
        assert_eq!(instant(last), Some(Instant::END));
        assert_eq!(instant("2200-01-01T00:00:01Z"), None);
        let event: Value = serde_json::from_str(CAP_REACHED).expect("JSON");
        let resumes_at = event["data"]["resumes_at"].as_str().expect("an instant");
        encode(&CAP_REACHED.replace(resumes_at, last)).expect("an event");
    }

    #[test]
    fn a_count_beyond_a_long_is_the_largest_long() {
        let counted = |cap: &str| {
            let mut event: Value = serde_json::from_str(CAP_REACHED).expect("JSON");
            event["data"]["cap"] = serde_json::from_str(cap).expect("a number");
            encode(&event.to_string()).map(|encoded| encoded.value)
        };
        assert_eq!(
            counted("18446744073709551615"),
            counted("9223372036854775807")
        );
        assert_eq!(counted("1.5"), Err(NotCanonical("cap".into())));
    }

    #[test]
    fn other_text_is_no_event() {
        for (json, name) in [
            ("", "object"),
            ("[]", "object"),
            ("{}", "specversion"),
            (&CAP_REACHED.replace("\"data\"", "\"date\""), "data"),
            (&CAP_REACHED.replace("\"meter\"", "\"metre\""), "meter"),
            (&CAP_REACHED.replace("\"subject\"", "\"object\""), "subject"),
        ] {
            assert_eq!(encode(json), Err(NotCanonical(name.into())), "{json}");
        }
    }
}
