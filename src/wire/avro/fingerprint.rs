//! CRC-64-AVRO of a schema's canonical form, the schema id of single-object encoding.
//!
//! Only schemas of this crate are fingerprinted, so a text that is no schema is an error without
//! further detail. The `apache-avro` crate leaves `{"type":"long"}` where a logical type was and the
//! specification says `"long"`; producers that use it send the fingerprint of that form, so both
//! are calculated.

use serde_json::Value;

/// Attributes that the canonical form keeps, in its order.
const CANONICAL_ATTRIBUTES: [&str; 7] = [
    "name", "type", "fields", "symbols", "items", "values", "size",
];

const EMPTY: u64 = 0xC15D_213A_A4D7_A795;

/// Both fingerprints under which one schema is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of the canonical form as Avro's specification has it.
    pub standard: u64,
    /// Of the form that `apache-avro` for Rust calculates.
    pub apache_avro_rust: u64,
}

/// Fingerprints a valid schema. None: the text is not JSON.
pub fn fingerprint(schema: &str) -> Option<Fingerprint> {
    let schema: Value = serde_json::from_str(schema).ok()?;
    let of_form = |logical_types| {
        let mut form = String::new();
        canonical_form(&schema, "", logical_types, &mut form);
        crc_64_avro(form.as_bytes())
    };
    Some(Fingerprint {
        standard: of_form(LogicalTypes::Dropped),
        apache_avro_rust: of_form(LogicalTypes::LeaveAnObject),
    })
}

#[derive(Clone, Copy, PartialEq)]
enum LogicalTypes {
    Dropped,
    LeaveAnObject,
}

fn canonical_form(schema: &Value, namespace: &str, logical_types: LogicalTypes, out: &mut String) {
    match schema {
        Value::Array(branches) => {
            list(branches, out, |branch, out| {
                canonical_form(branch, namespace, logical_types, out);
            });
        }
        Value::Object(object) => {
            let own = object.get("namespace").and_then(Value::as_str);
            let namespace = own.unwrap_or(namespace);
            let primitive = object
                .get("type")
                .filter(|of| of.is_string() && !has_parts(schema));
            let left_an_object =
                logical_types == LogicalTypes::LeaveAnObject && object.contains_key("logicalType");
            match primitive {
                Some(name) if !left_an_object => {
                    canonical_form(name, namespace, logical_types, out)
                }
                _ => {
                    let attributes: Vec<(&str, &Value)> = CANONICAL_ATTRIBUTES
                        .into_iter()
                        .filter_map(|name| Some((name, object.get(name)?)))
                        .collect();
                    object_form(&attributes, namespace, logical_types, out);
                }
            }
        }
        Value::String(name) if is_builtin(name) || name.contains('.') || namespace.is_empty() => {
            out.push_str(&format!("\"{name}\""));
        }
        Value::String(name) => out.push_str(&format!("\"{namespace}.{name}\"")),
        other => out.push_str(&other.to_string()),
    }
}

fn object_form(
    attributes: &[(&str, &Value)],
    namespace: &str,
    logical_types: LogicalTypes,
    out: &mut String,
) {
    out.push('{');
    for (index, (name, value)) in attributes.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&format!("\"{name}\":"));
        match (*name, value) {
            ("fields", Value::Array(fields)) => list(fields, out, |field, out| {
                let (name, of) = (&field["name"], &field["type"]);
                out.push_str(&format!("{{\"name\":{name},\"type\":"));
                canonical_form(of, namespace, logical_types, out);
                out.push('}');
            }),
            ("symbols" | "size", _) => out.push_str(&value.to_string()),
            _ => canonical_form(value, namespace, logical_types, out),
        }
    }
    out.push('}');
}

fn list(items: &[Value], out: &mut String, item: impl Fn(&Value, &mut String)) {
    out.push('[');
    for (index, value) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item(value, out);
    }
    out.push(']');
}

/// A complex type rather than a primitive one with attributes.
fn has_parts(schema: &Value) -> bool {
    ["fields", "symbols", "items", "values", "size"]
        .iter()
        .any(|part| schema.get(part).is_some())
}

fn is_builtin(name: &str) -> bool {
    matches!(
        name,
        "null"
            | "boolean"
            | "int"
            | "long"
            | "float"
            | "double"
            | "bytes"
            | "string"
            | "record"
            | "enum"
            | "array"
            | "map"
            | "fixed"
    )
}

fn crc_64_avro(bytes: &[u8]) -> u64 {
    bytes.iter().fold(EMPTY, |crc, byte| {
        let low = (crc ^ u64::from(*byte)) & 0xFF;
        let table_entry = (0..8).fold(low, |entry, _| {
            (entry >> 1) ^ (EMPTY & (entry & 1).wrapping_neg())
        });
        (crc >> 8) ^ table_entry
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_specification() {
        assert_eq!(crc_64_avro(b""), EMPTY);
        assert_eq!(crc_64_avro(b"\"null\""), 0x63DD_24E7_CC25_8F8A);
    }

    #[test]
    fn names_are_qualified_and_the_rest_is_stripped() {
        let schema: Value = serde_json::from_str(
            r#"{"type":"record","doc":"d","namespace":"n","name":"R","fields":[
                {"name":"a","default":null,"type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
                {"name":"b","type":{"type":"enum","name":"E","symbols":["X"]}},
                {"name":"c","type":{"type":"array","items":"E"}}]}"#,
        )
        .unwrap_or_default();
        let mut form = String::new();
        canonical_form(&schema, "", LogicalTypes::Dropped, &mut form);
        assert_eq!(
            form,
            r#"{"name":"n.R","type":"record","fields":[{"name":"a","type":["null","long"]},{"name":"b","type":{"name":"n.E","type":"enum","symbols":["X"]}},{"name":"c","type":{"type":"array","items":"n.E"}}]}"#
        );
    }
}
