//! Avro values as JSON, to be compared.

use apache_avro::types::Value;
use meterfold::billing::time::Instant;
use serde_json::Value as Json;

pub fn without_nulls(json: Json) -> Json {
    match json {
        Json::Object(members) => members
            .into_iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name, without_nulls(member)))
            .collect(),
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// A generic value as JSON, nulls left out.
pub fn json_of(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Long(long) => (*long).into(),
        Value::String(text) => text.as_str().into(),
        Value::TimestampMillis(millis) => Instant::from_millis(*millis).to_string().into(),
        Value::Union(_, value) => json_of(value),
        Value::Array(items) => items.iter().map(json_of).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(name, value)| (name.clone(), json_of(value)))
            .collect(),
        Value::Record(fields) => without_nulls(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), json_of(value)))
                .collect(),
        ),
        other => panic!("our schemas have no {other:?}"),
    }
}
