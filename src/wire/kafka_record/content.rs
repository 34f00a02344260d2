//! What a record's value is: by `content-type`, then by its first bytes.

use crate::wire::attributes::{Attributes, Repeated};
use crate::wire::avro::{CONFLUENT_MARK, SINGLE_OBJECT_MARK, split_single_object};
use crate::wire::cloudevents;
use crate::wire::record_bytes::LogRecord;
use crate::wire::span::{Decoded, Text};

/// Name of the header that tells the format.
const CONTENT_TYPE: &[u8] = b"content-type";

pub(super) enum Content<'a> {
    Structured(&'a [u8]),
    Binary(&'a [u8], Attributes<'a>),
    /// The attributes beside it, if there are any.
    Avro(Framed<'a>, Option<Attributes<'a>>),
    Unreadable,
}

/// A datum and what tells its writer schema.
pub(super) enum Framed<'a> {
    Registered { id: u32, datum: &'a [u8] },
    SingleObject { fingerprint: u64, datum: &'a [u8] },
}

/// What a `content-type` says.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Structured,
    Json,
    Avro,
    /// One of CloudEvents' own that is not read here.
    Foreign,
    Unsaid,
}

impl<'a> Content<'a> {
    pub fn of(record: &LogRecord<'a>) -> Content<'a> {
        let Some(value) = record.value else {
            return Content::Unreadable;
        };
        let mut attributes = Attributes::default();
        let mut repeated = Ok(());
        let mut format = Format::Unsaid;
        for (name, value) in record.headers.iter() {
            if name.eq_ignore_ascii_case(CONTENT_TYPE) {
                format = value.map_or(Format::Unsaid, Format::of);
            } else {
                repeated = repeated.and(attributes.take(name, value));
            }
        }
        if format == Format::Unsaid {
            format = Format::of_value(value);
        }
        match (format, repeated) {
            (Format::Structured, _) => Content::Structured(value),
            (Format::Foreign, _) | (_, Err(Repeated)) => Content::Unreadable,
            (Format::Avro, Ok(())) => match Framed::of(value) {
                Some(framed) => {
                    Content::Avro(framed, (!attributes.is_empty()).then_some(attributes))
                }
                None => Content::Unreadable,
            },
            (Format::Json | Format::Unsaid, Ok(())) if attributes.is_empty() => {
                Content::Structured(value)
            }
            (Format::Json | Format::Unsaid, Ok(())) => Content::Binary(value, attributes),
        }
    }
}

impl Format {
    fn of(content_type: &[u8]) -> Format {
        let mut parts = content_type.split(|byte| *byte == b';');
        let media_type = parts.next().unwrap_or_default().trim_ascii();
        let media_type = media_type.to_ascii_lowercase();
        match media_type.strip_prefix(b"application/cloudevents") {
            Some(b"+json") => Format::Structured,
            Some(_) => Format::Foreign,
            None if media_type.ends_with(b"/json") || media_type.ends_with(b"+json") => {
                Format::Json
            }
            None if media_type.windows(4).any(|word| word == b"avro") => Format::Avro,
            None => Format::Unsaid,
        }
    }

    fn of_value(value: &[u8]) -> Format {
        if value.first() == Some(&CONFLUENT_MARK) || value.starts_with(&SINGLE_OBJECT_MARK) {
            Format::Avro
        } else {
            Format::Json
        }
    }
}

impl<'a> Framed<'a> {
    /// None: neither mark, or cut within the frame.
    fn of(value: &'a [u8]) -> Option<Framed<'a>> {
        if let Some(rest) = value.strip_prefix(&[CONFLUENT_MARK]) {
            let (id, datum) = rest.split_first_chunk()?;
            let id = u32::from_be_bytes(*id);
            return Some(Framed::Registered { id, datum });
        }
        let (fingerprint, datum) = split_single_object(value)?;
        Some(Framed::SingleObject { fingerprint, datum })
    }
}

pub(super) fn decode_structured(value: &[u8], text: &mut Text) -> Decoded {
    let Ok(value) = simdutf8::basic::from_utf8(value) else {
        return Decoded::unreadable();
    };
    let start = text.input.len();
    text.input.push_str(value);
    cloudevents::decode(&text.input, start, text.input.len(), &mut text.side)
}

pub(super) fn decode_binary(value: &[u8], attributes: &Attributes<'_>, text: &mut Text) -> Decoded {
    match simdutf8::basic::from_utf8(value) {
        Ok(payload) => cloudevents::decode_binary(attributes, payload, text),
        Err(_) => Decoded::unreadable(),
    }
}
