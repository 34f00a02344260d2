//! Schemas and stored examples: what was published stays readable, in both forms.
//!
//! Everything is found by looking into `schemas/`, so a file that is added there is covered without
//! a change here. `schemas/examples` holds one payload per type and version; a stored payload is
//! never edited, every build decodes it.

#[path = "schema_compat/conformance.rs"]
mod conformance;
#[path = "schema_compat/evolution.rs"]
mod evolution;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::schema_compatibility::SchemaCompatibility;
use apache_avro::types::Value;
use meterfold::billing::event::{DeadLetterReason, Event, Fault};
use meterfold::billing::time::Instant;
use meterfold::wire::avro::{self, Schemas};
use meterfold::wire::cloudevents;
use meterfold::wire::span::{Decoded, Text};
use serde_json::{Map, Value as Json};
use support::avro_json::{json_of, without_nulls};

/// Name of a type and its version, as in the file name: `api-call`, 1.
type TypeVersion = (String, u32);

fn schemas_of(folder: &str) -> BTreeMap<TypeVersion, String> {
    let files = files_of(folder, "avsc").into_iter();
    files.map(|(name, path)| (name, read(&path))).collect()
}

fn files_of(folder: &str, extension: &str) -> BTreeMap<TypeVersion, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| (type_version(&path), path))
        .collect()
}

fn type_version(path: &Path) -> TypeVersion {
    let name = path.file_stem().and_then(|name| name.to_str());
    let parts = name.and_then(|name| name.rsplit_once(".v"));
    let (kebab, version) = parts.unwrap_or_else(|| panic!("{path:?} is not named <type>.v<n>"));
    (
        kebab.to_owned(),
        version.parse().expect("a version is a number"),
    )
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn parse(schema: &str) -> Schema {
    Schema::parse_str(schema).unwrap_or_else(|error| panic!("{error}: {schema}"))
}

fn record_name((kebab, version): &TypeVersion) -> String {
    let pascal: String = kebab
        .split('-')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect();
    format!("meterfold.{pascal}V{version}")
}

/// Decodes a datum and resolves its text.
pub fn event_of<T>(
    decoded: &Decoded,
    text: &Text,
    check: impl Fn(Event<&str>) -> T,
) -> Result<T, Fault> {
    let event = decoded.event.as_ref().map_err(|fault| *fault)?;
    Ok(check(event.map(|span| text.get(span))))
}

#[test]
fn record_names_follow_file_names() {
    for folder in ["input", "derived"] {
        for (name, schema) in schemas_of(folder) {
            let parsed = parse(&schema);
            let found = parsed.name().map(|name| name.fullname(None));
            assert_eq!(found, Some(record_name(&name)));
        }
    }
}

#[test]
fn every_schema_is_built_in_under_both_fingerprints() {
    let built_in = Schemas::built_in();
    let mut compiled: BTreeSet<&str> = avro::input_schemas().collect();
    compiled.extend(avro::derived_schemas());
    for folder in ["input", "derived"] {
        for ((kebab, version), schema) in schemas_of(folder) {
            assert!(compiled.remove(schema.as_str()), "{kebab} is not built in");
            let fingerprint = avro::fingerprint(&schema).expect("a schema has a fingerprint");
            let rust = u64::from_le_bytes(
                parse(&schema).fingerprint::<Rabin>().bytes[..]
                    .try_into()
                    .expect("eight bytes"),
            );
            assert_eq!(fingerprint.apache_avro_rust, rust, "{kebab}");
            let type_name = format!("meterfold.{kebab}.v{version}");
            let expected = (folder == "input").then_some(type_name.as_str());
            for id in [fingerprint.standard, rust] {
                let plan = built_in.plan(id).expect("a plan by fingerprint");
                assert_eq!(plan.type_name(), expected);
            }
        }
    }
    assert!(
        compiled.is_empty(),
        "built in but not in schemas/: {compiled:?}"
    );
}

#[test]
fn each_version_reads_every_other_of_its_type() {
    for folder in ["input", "derived"] {
        let schemas = schemas_of(folder);
        for ((kebab, version), schema) in &schemas {
            let from_here_on = schemas.range((kebab.clone(), *version)..);
            for ((_, other), later) in from_here_on.take_while(|((name, _), _)| name == kebab) {
                // The version is part of the record's name, which readers compare.
                let later = later.replace(
                    &format!("\"{}V{other}\"", unversioned(kebab)),
                    &format!("\"{}V{version}\"", unversioned(kebab)),
                );
                SchemaCompatibility::mutual_read(&parse(schema), &parse(&later))
                    .unwrap_or_else(|error| panic!("{kebab} v{version} and v{other}: {error}"));
            }
        }
    }
}

fn unversioned(kebab: &str) -> String {
    let name = record_name(&(kebab.to_owned(), 1));
    name["meterfold.".len()..name.len() - "V1".len()].to_owned()
}

#[test]
fn every_type_has_its_examples() {
    let mut expected: Vec<TypeVersion> = schemas_of("input").into_keys().collect();
    expected.extend(schemas_of("derived").into_keys());
    expected.sort();
    for extension in ["json", "avro"] {
        let found: Vec<TypeVersion> = files_of("examples", extension).into_keys().collect();
        assert_eq!(found, expected, "{extension}");
    }
}

#[test]
fn input_examples_decode_to_the_same_event_in_both_forms() {
    let schemas = Schemas::built_in();
    let json = files_of("examples", "json");
    let avro = files_of("examples", "avro");
    for name in schemas_of("input").keys() {
        let (json_text, json_decoded) = decode_json(&read(&json[name]));
        let mut avro_text = Text::default();
        let payload = fs::read(&avro[name]).expect("a stored payload");
        let avro_decoded = schemas.decode_single_object(&payload, &mut avro_text.side);
        assert_eq!(json_decoded.recorded, avro_decoded.recorded, "{name:?}");
        assert_eq!(json_decoded.is_tick, avro_decoded.is_tick, "{name:?}");
        let same = event_of(&json_decoded, &json_text, |expected| {
            event_of(&avro_decoded, &avro_text, |found| {
                assert_eq!(found, expected)
            })
        });
        assert_eq!(same, Ok(Ok(())), "{name:?}");
        let encoded = event_of(&json_decoded, &json_text, |event| {
            let mut out = Vec::new();
            schemas.encode_single_object(&event, json_decoded.recorded, &mut out);
            out
        });
        assert_eq!(encoded.as_deref(), Ok(&payload[..]), "{name:?}");
    }
}

fn decode_json(line: &str) -> (Text, Decoded) {
    let mut text = Text {
        input: line.trim_end().to_owned(),
        side: String::new(),
    };
    let decoded = cloudevents::decode(&text.input, 0, text.input.len(), &mut text.side);
    (text, decoded)
}

#[test]
fn derived_examples_hold_the_same_in_both_forms() {
    let json = files_of("examples", "json");
    let avro = files_of("examples", "avro");
    for (name, schema) in schemas_of("derived") {
        let payload = fs::read(&avro[&name]).expect("a stored payload");
        let (fingerprint, mut datum) = avro::split_single_object(&payload).expect("the mark");
        let known = avro::fingerprint(&schema).map(|known| known.standard);
        assert_eq!(Some(fingerprint), known, "{name:?}");
        let value = apache_avro::from_avro_datum(&parse(&schema), &mut datum, None)
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert!(datum.is_empty());
        let stored: Json = serde_json::from_str(&read(&json[&name])).expect("JSON");
        assert_eq!(json_of(&value), without_nulls(flat(&stored)), "{name:?}");

        let mut side = String::new();
        let as_input = Schemas::built_in().decode_single_object(&payload, &mut side);
        let unknown_type = Fault {
            reason: DeadLetterReason::UnknownType,
            detail: "type",
        };
        assert_eq!(as_input.event, Err(unknown_type));
    }
}

/// An event in JSON as its Avro record has it: envelope and data in one.
fn flat(event: &Json) -> Json {
    let envelope =
        ["id", "source", "subject", "time"].map(|name| (name.to_owned(), event[name].clone()));
    let mut flat = Map::from_iter(envelope);
    flat.extend(event["data"].as_object().cloned().unwrap_or_default());
    Json::Object(flat)
}

/// Writes the Avro form of each JSON example that has none yet; run it once after adding a version:
/// `cargo test --test schema_compat -- --ignored`.
#[test]
#[ignore = "writes schemas/examples"]
fn write_missing_examples() {
    let schemas = Schemas::built_in();
    let json = files_of("examples", "json");
    for name in schemas_of("input").keys() {
        let (text, decoded) = decode_json(&read(&json[name]));
        let payload = event_of(&decoded, &text, |event| {
            let mut payload = Vec::new();
            schemas.encode_single_object(&event, decoded.recorded, &mut payload);
            payload
        });
        write_once(&json[name], &payload.expect("an example is an event"));
    }
    for (name, schema) in schemas_of("derived") {
        let stored: Json = serde_json::from_str(&read(&json[&name])).expect("JSON");
        let mut fields = flat(&stored);
        for instant in ["time", "resumes_at"] {
            if let Some(text) = fields[instant].as_str() {
                let instant_read = Instant::parse(text).expect("an instant");
                fields[instant] = instant_read.millis().into();
            }
        }
        let parsed = parse(&schema);
        let value = Value::from(fields)
            .resolve(&parsed)
            .expect("an example fits its schema");
        let fingerprint = avro::fingerprint(&schema).expect("a fingerprint").standard;
        let mut payload = vec![0xC3, 0x01];
        payload.extend(fingerprint.to_le_bytes());
        payload.extend(apache_avro::to_avro_datum(&parsed, value).expect("a datum"));
        write_once(&json[&name], &payload);
    }
}

fn write_once(json: &Path, payload: &[u8]) {
    let path = json.with_extension("avro");
    if !path.exists() {
        fs::write(&path, payload).expect("schemas/examples can be written");
    }
}
