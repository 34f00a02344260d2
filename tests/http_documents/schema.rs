//! A validator of JSON Schema for the keywords that the documents use. One that it does not know is
//! a fault, so that none is passed over.

use serde_json::{Map, Value};

/// Notes for readers.
const NOTES: [&str; 3] = ["description", "examples", "default"];

/// Where `value` is not as `schema` says; `document` is what `$ref` points into.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(document, schema, value, "$", &mut faults);
    faults
}

fn check(document: &Value, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    let rules = schema
        .as_object()
        .unwrap_or_else(|| panic!("{place}: no schema: {schema}"));
    for (keyword, rule) in rules {
        let is_kept = match keyword.as_str() {
            "$ref" => {
                let target = resolved(document, rule);
                check(document, target, value, place, faults);
                true
            }
            "type" => types(rule).any(|name| has_type(value, name)),
            "const" => value == rule,
            "enum" => rule.as_array().expect("values").contains(value),
            "oneOf" => {
                let matches = |it: &&Value| self::faults(document, it, value).is_empty();
                rule.as_array()
                    .expect("schemas")
                    .iter()
                    .filter(matches)
                    .count()
                    == 1
            }
            "pattern" => value
                .as_str()
                .is_none_or(|text| fits(rule.as_str().expect("a pattern"), text)),
            "format" => {
                assert_eq!(rule, "date-time", "{place}: an unknown format");
                let instant = |text| meterfold::billing::time::Instant::parse(text);
                value.as_str().is_none_or(|text| instant(text).is_some())
            }
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 >= number(rule)),
            "maxLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 <= number(rule)),
            "minimum" => value
                .as_i64()
                .is_none_or(|it| it >= rule.as_i64().expect("a number")),
            "maximum" => value
                .as_i64()
                .is_none_or(|it| it <= rule.as_i64().expect("a number")),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, rule, item, &format!("{place}[{index}]"), faults);
                }
                true
            }
            "required" => value.as_object().is_none_or(|object| {
                let names = rule.as_array().expect("names").iter();
                names
                    .map(|name| name.as_str().expect("a name"))
                    .all(|name| object.contains_key(name))
            }),
            "properties" => {
                for (name, rule) in rule.as_object().expect("schemas") {
                    if let Some(member) = value.get(name) {
                        check(document, rule, member, &format!("{place}.{name}"), faults);
                    }
                }
                true
            }
            "additionalProperties" => additional(document, rules, rule, value, place, faults),
            note if NOTES.contains(&note) => true,
            _ => panic!("{place}: {keyword} is not known here"),
        };
        if !is_kept {
            faults.push(format!("{place}: {keyword} {rule} is not kept by {value}"));
        }
    }
}

/// Members that `properties` does not name: refused, or each of a schema.
fn additional(
    document: &Value,
    rules: &Map<String, Value>,
    rule: &Value,
    value: &Value,
    place: &str,
    faults: &mut Vec<String>,
) -> bool {
    let named = |name: &str| {
        rules
            .get("properties")
            .is_some_and(|it| it.get(name).is_some())
    };
    let members = value.as_object().into_iter().flatten();
    let mut others = members.filter(|(name, _)| !named(name)).peekable();
    if *rule == Value::Bool(false) {
        return others.peek().is_none();
    }
    for (name, member) in others {
        check(document, rule, member, &format!("{place}.{name}"), faults);
    }
    true
}

pub fn resolved<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let path = reference
        .as_str()
        .and_then(|it| it.strip_prefix('#'))
        .expect("a local reference");
    document
        .pointer(path)
        .unwrap_or_else(|| panic!("there is no {path}"))
}

fn types(rule: &Value) -> impl Iterator<Item = &str> {
    let names = match rule {
        Value::Array(names) => names.iter().collect(),
        name => vec![name],
    };
    names.into_iter().map(|name| name.as_str().expect("a type"))
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{name} is no type that is known here"),
    }
}

fn number(rule: &Value) -> u64 {
    rule.as_u64().expect("a number")
}

/// The few patterns that the documents have, each by what it means.
fn fits(pattern: &str, text: &str) -> bool {
    use meterfold::billing::time::{Instant, Month};
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_decimal = |fraction_max: usize| {
        let positive = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match positive.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (positive, None),
        };
        digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(|it| digits(it) && it.len() <= fraction_max)
    };
    match pattern {
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{3})?Z$" => {
            Instant::parse(text).is_some_and(|instant| instant.to_string() == text)
        }
        "^[0-9]{4}-(0[1-9]|1[0-2])$" | "^(19[7-9]|2[01][0-9])[0-9]-(0[1-9]|1[0-2])$" => {
            Month::parse(text).is_some()
        }
        "^-?(0|[1-9][0-9]*)(\\.[0-9]{1,6})?$" => is_decimal(6),
        "^-?(0|[1-9][0-9]*)(\\.[0-9]+)?$" => is_decimal(usize::MAX),
        _ => panic!("{pattern} is not known here"),
    }
}
