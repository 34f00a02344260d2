//! CloudEvents in binary mode: the attributes are headers, the payload is `data` alone.
//!
//! The texts are laid side by side as if they were one record, and read by the reader of the
//! structured mode, so that both modes give the same event or the same fault.

use super::{Reader, scan_data};
use crate::wire::attributes::Attributes;
use crate::wire::fields::Field;
use crate::wire::json::{Kind, Malformed, Scanner, Value};
use crate::wire::span::{Decoded, Text};

/// Decodes an event whose `data` is `payload`; an empty payload is absent data. An attribute that is
/// not UTF-8 is malformed as one that is no string. `text` grows by no more than twice the bytes
/// given and a few for each attribute.
pub fn decode_binary(attributes: &Attributes<'_>, payload: &str, text: &mut Text) -> Decoded {
    let start = text.input.len();
    let mut values = [Value::MISSING; Field::COUNT];
    for (field, value) in [
        (Field::SpecVersion, attributes.specversion),
        (Field::Id, attributes.id),
        (Field::Source, attributes.source),
        (Field::Type, attributes.type_name),
        (Field::Subject, attributes.subject),
        (Field::Time, attributes.time),
        (Field::RecordedTime, attributes.recordedtime),
    ] {
        if let Some(value) = value {
            values[field as usize] = push_attribute(value, start, &mut text.input);
        }
    }
    let payload_start = text.input.len() - start;
    text.input.push_str(payload);
    let record = &text.input[start..];
    if scan_payload(record, payload_start, &mut values).is_err() {
        return Decoded::unreadable();
    }
    let mut reader = Reader {
        record,
        start,
        side: &mut text.side,
        values,
    };
    reader.decoded()
}

/// Appends an attribute, quoted as the places of a string are, and tells where it stands.
fn push_attribute(value: &[u8], start: usize, input: &mut String) -> Value {
    let place = input.len() - start;
    let Ok(value) = simdutf8::basic::from_utf8(value) else {
        // Some value that is no string.
        return Value::new(Kind::False, place, place);
    };
    input.push('"');
    input.push_str(value);
    input.push('"');
    Value::new(Kind::Plain, place, input.len() - start)
}

fn scan_payload(
    record: &str,
    start: usize,
    values: &mut [Value; Field::COUNT],
) -> Result<(), Malformed> {
    if start == record.len() {
        return Ok(());
    }
    let mut scanner = Scanner::of_member(record, start);
    values[Field::Data as usize] = scan_data(&mut scanner, values)?;
    if scanner.is_at_end() {
        Ok(())
    } else {
        Err(Malformed)
    }
}
