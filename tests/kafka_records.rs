//! Every event of the samples as records of the log, in each content kind: the same event or the same
//! fault as from a file. And derived events in both forms.

mod support;

use std::sync::Arc;

use meterfold::billing::derived_event::DerivedKind;
use meterfold::billing::event::{DeadLetterReason, Event, Fault};
use meterfold::billing::time::Instant;
use meterfold::wire::avro::{self, Schemas};
use meterfold::wire::cloudevents;
use meterfold::wire::derived_avro::{DerivedEncoder, Framing};
use meterfold::wire::kafka_record::{LogRecord, Outcome, RecordDecoder, RecordRules, SchemaAnswer};
use meterfold::wire::record_bytes;
use meterfold::wire::span::{Decoded, Text};
use serde_json::{Map, Value as Json};
use support::avro_json::{json_of, without_nulls};
use support::sample::Sample;

/// One partition, to which every team belongs; ticks are taken, as from files.
const RULES: RecordRules = RecordRules {
    partition: 0,
    partitions: 1,
    has_accounts: false,
    takes_ticks: true,
    halts_on_wrong_partition: false,
};

const RECORDED: Instant = Instant::from_millis(1_768_039_200_000);

const ATTRIBUTES: [&str; 7] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "recordedtime",
];

/// What decoding came to, with its text.
struct Read {
    text: Text,
    decoded: Decoded,
}

impl Read {
    fn event(&self) -> Result<Event<&str>, Fault> {
        let event = self.decoded.event.as_ref().map_err(|fault| *fault)?;
        Ok(event.map(|span| self.text.get(span)))
    }

    fn subject(&self) -> Option<&str> {
        self.decoded.subject.map(|span| self.text.get(span))
    }
}

/// As from a file.
fn of_line(line: &str) -> Read {
    let mut text = Text {
        input: line.to_owned(),
        side: String::new(),
    };
    let decoded = cloudevents::decode(&text.input, 0, line.len(), &mut text.side);
    Read { text, decoded }
}

type Headers = Vec<(String, String)>;

/// As from the log.
fn of_record(
    decoder: &mut RecordDecoder,
    key: Option<&str>,
    headers: &Headers,
    value: &[u8],
) -> Read {
    let mut bytes = Vec::new();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
    let key = key.map(str::as_bytes);
    record_bytes::append(&mut bytes, 0, 1, RECORDED, key, headers, Some(value));
    let record = LogRecord::read(&bytes).expect("written here");
    let mut text = Text::default();
    match decoder.decode(&record, &mut text) {
        Outcome::Decoded(decoded) => {
            assert_eq!(decoded.recorded, Some(RECORDED));
            Read { text, decoded }
        }
        Outcome::SchemaWanted(id) => panic!("schema {id} was learned"),
        Outcome::WrongPartition { detail, .. } => panic!("{detail}"),
    }
}

/// The same but for the recorded time, which is the record's own.
#[track_caller]
fn assert_same(kind: &str, line: &str, expected: &Read, found: &Read) {
    assert_eq!(found.event(), expected.event(), "{kind}: {line}");
    let told = |read: &Read| {
        let Decoded {
            source,
            id,
            subject,
            ..
        } = &read.decoded;
        [*source, *id, *subject].map(|span| span.map(|span| read.text.get(span).to_owned()))
    };
    assert_eq!(told(found), told(expected), "{kind}: {line}");
    let flags = |read: &Read| (read.decoded.is_tick, read.decoded.is_usage);
    assert_eq!(flags(found), flags(expected), "{kind}: {line}");
}

/// Attributes and payload of an event, where headers can say what it says.
fn in_binary_mode(line: &str) -> Option<(Headers, Vec<u8>)> {
    let event: Map<String, Json> = serde_json::from_str(line).ok()?;
    let mut headers = Vec::new();
    for name in ATTRIBUTES {
        match event.get(name) {
            None | Some(Json::Null) => {}
            Some(Json::String(text)) => headers.push((format!("ce_{name}"), text.clone())),
            Some(_) => return None,
        }
    }
    let data = event.get("data").map(Json::to_string);
    (!headers.is_empty()).then(|| (headers, data.unwrap_or_default().into_bytes()))
}

/// Ids of the registry: the number of the schema among our own.
fn id_of_type(type_name: &str) -> u32 {
    let schema = avro::input_schema(type_name);
    let position = avro::input_schemas().position(|other| Some(other) == schema);
    position.expect("an input type") as u32
}

fn decoder(schemas: &Arc<Schemas>) -> RecordDecoder {
    let mut decoder = RecordDecoder::new(RULES, Arc::clone(schemas));
    for (id, schema) in (0..).zip(avro::input_schemas()) {
        let learned = decoder.learn(id, SchemaAnswer::Schema(schema.to_owned()));
        learned.expect("a schema of ours");
    }
    decoder
}

#[test]
fn every_sample_event_is_the_same_in_each_kind() {
    let schemas = Arc::new(Schemas::built_in());
    let mut decoder = decoder(&schemas);
    let (mut structured, mut binary, mut avros) = (0, 0, 0);
    for line in Sample::all().flat_map(|sample| sample.lines()).flatten() {
        let Ok(line) = str::from_utf8(line.strip_suffix(b"\n").unwrap_or(&line)) else {
            let read = of_record(&mut decoder, None, &Vec::new(), &line);
            assert_eq!(read.event(), Err(Fault::malformed("record")));
            continue;
        };
        let line = line.strip_suffix('\r').unwrap_or(line);
        let expected = of_line(line);
        let key = expected.subject();
        let as_structured = of_record(&mut decoder, key, &Vec::new(), line.as_bytes());
        if line.len() + key.map_or(0, str::len) > cloudevents::RECORD_BYTES_MAX {
            let too_large = Fault {
                reason: DeadLetterReason::TooLarge,
                detail: "record",
            };
            assert_eq!(as_structured.event(), Err(too_large));
            continue;
        }
        assert_same("structured", line, &expected, &as_structured);
        structured += 1;
        if expected.event() != Err(Fault::malformed("record"))
            && let Some((headers, data)) = in_binary_mode(line)
        {
            let found = of_record(&mut decoder, key, &headers, &data);
            assert_same("binary", line, &expected, &found);
            binary += 1;
        }
        if let Ok(event) = expected.event() {
            let recorded = expected.decoded.recorded;
            let mut value = Vec::new();
            schemas.encode_single_object(&event, recorded, &mut value);
            let found = of_record(&mut decoder, key, &Vec::new(), &value);
            assert_same("single object", line, &expected, &found);
            let id = id_of_type(event.body.type_name());
            let framed = [&[0], &id.to_be_bytes()[..], &value[10..]].concat();
            let (beside, _) = in_binary_mode(line).expect("an event has text attributes");
            let found = of_record(&mut decoder, key, &beside, &framed);
            assert_eq!(decoder.schema_used(), Some(id));
            assert_same("registered, beside attributes", line, &expected, &found);
            avros += 1;
        }
    }
    // The samples hold thousands of events of all kinds.
    assert!(
        structured > 5_000 && binary > 5_000 && avros > 5_000,
        "{structured} {binary} {avros}"
    );
}

/// The independent reader finds in the Avro form what the canonical JSON says.
#[test]
fn every_derived_event_of_the_samples_is_the_same_in_avro() {
    let encoder = DerivedEncoder::built_in();
    let schemas = DerivedKind::ALL.map(|kind| {
        let schema = apache_avro::Schema::parse_str(avro::derived_schema(kind));
        (kind, schema.expect("a schema of ours"))
    });
    let mut counts = [0; 4];
    let lines_of = |sample: &Sample| {
        let lines = sample.expected.derived.split(|byte| *byte == b'\n');
        lines.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    for line in Sample::all().flat_map(|sample| lines_of(&sample)) {
        if line.is_empty() {
            continue;
        }
        let json: Json = serde_json::from_slice(&line).expect("canonical JSON");
        let (index, (kind, schema)) = schemas
            .iter()
            .enumerate()
            .find(|(_, (kind, _))| json["type"] == format!("meterfold.{}.v1", kind.name()))
            .expect("a derived event");
        let encoded = encoder
            .encode(*kind, Framing::Registered(9), &line)
            .unwrap_or_else(|error| panic!("{error}: {json}"));
        for (name, value) in &encoded.headers {
            if let Some(attribute) = name.strip_prefix("ce_") {
                assert_eq!(json[attribute], value.as_str());
            }
        }
        let (frame, mut datum) = encoded.value.split_at(5);
        assert_eq!(frame, [0, 0, 0, 0, 9]);
        let value = apache_avro::from_avro_datum(schema, &mut datum, None)
            .unwrap_or_else(|error| panic!("{error}: {json}"));
        assert!(datum.is_empty(), "{json}");
        assert_eq!(json_of(&value), without_nulls(flat(&json)));
        counts[index] += 1;
    }
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}

/// An event in JSON as its Avro record has it: envelope and data in one.
fn flat(event: &Json) -> Json {
    let envelope = ["id", "source", "subject", "time"];
    let mut flat = Map::from_iter(envelope.map(|name| (name.to_owned(), event[name].clone())));
    flat.extend(event["data"].as_object().cloned().unwrap_or_default());
    Json::Object(flat)
}
