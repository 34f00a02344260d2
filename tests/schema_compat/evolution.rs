//! What changes of a writer schema do: compatible ones are read, others are dead letters that name
//! the field (F50). The writer side is the `apache-avro` crate.

use apache_avro::types::Value;
use meterfold::billing::event::{Body, DeadLetterReason, Fault, Status};
use meterfold::billing::time::Instant;
use meterfold::wire::avro::Plan;
use meterfold::wire::span::{Decoded, Text};

use crate::{event_of, parse};

const TIME: i64 = 1_768_039_200_000;

/// A writer's field: schema of its type, and what it holds.
type Field = (&'static str, &'static str, Value);

fn envelope() -> Vec<Field> {
    vec![
        ("id", r#""string""#, text("c-1")),
        ("source", r#""string""#, text("/gw")),
        ("subject", r#""string""#, text("team-7")),
        ("time", TIMESTAMP, Value::TimestampMillis(TIME)),
        ("app_id", r#""string""#, text("app-1")),
    ]
}

const TIMESTAMP: &str = r#"{"type":"long","logicalType":"timestamp-millis"}"#;

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn some(branch: u32, value: Value) -> Value {
    Value::Union(branch, Box::new(value))
}

fn decode(record_name: &str, fields: Vec<Field>) -> (Text, Decoded) {
    let types: Vec<String> = fields
        .iter()
        .map(|(name, of, _)| format!(r#"{{"name":"{name}","type":{of}}}"#))
        .collect();
    let schema = format!(
        r#"{{"type":"record","name":"{record_name}","fields":[{}]}}"#,
        types.join(",")
    );
    let record = fields
        .into_iter()
        .map(|(name, _, value)| (name.to_owned(), value))
        .collect();
    let datum = apache_avro::to_avro_datum(&parse(&schema), Value::Record(record))
        .unwrap_or_else(|error| panic!("{error}: {schema}"));
    let plan = Plan::of_schema(&schema).unwrap_or_else(|error| panic!("{error}: {schema}"));
    let mut text = Text::default();
    let decoded = plan.decode(&datum, &mut text.side);
    (text, decoded)
}

fn decode_api_call(change: impl Fn(&mut Vec<Field>)) -> (Text, Decoded) {
    let mut fields = envelope();
    change(&mut fields);
    decode("meterfold.ApiCallV1", fields)
}

fn replaced(name: &'static str, of: &'static str, value: Value) -> (Text, Decoded) {
    decode_api_call(|fields| {
        fields.retain(|field| field.0 != name);
        fields.push((name, of, value.clone()));
    })
}

fn assert_plain(what: &str, (text, decoded): (Text, Decoded)) {
    let checked = event_of(&decoded, &text, |event| {
        assert_eq!(
            (event.id, event.source, event.team),
            ("c-1", "/gw", "team-7"),
            "{what}"
        );
        assert_eq!(event.time, Instant::from_millis(TIME), "{what}");
        let Body::ApiCall(usage) = event.body else {
            panic!("{what}: {:?}", event.body)
        };
        assert_eq!(
            (usage.app_id, usage.quantity, usage.status),
            ("app-1", 1, Status::Success),
            "{what}"
        );
    });
    assert_eq!(checked, Ok(()), "{what}");
    assert_eq!(decoded.recorded, Some(Instant::from_millis(TIME)), "{what}");
}

#[test]
fn compatible_writers_give_the_same_event() {
    assert_plain("optional fields removed", decode_api_call(|_| {}));
    assert_plain(
        "fields reordered",
        decode_api_call(|fields| fields.reverse()),
    );
    let unions = |fields: &mut Vec<Field>| {
        fields[0] = ("id", r#"["string","null"]"#, some(0, text("c-1")));
        fields[4] = (
            "app_id",
            r#"["null","long","string"]"#,
            some(2, text("app-1")),
        );
        fields.push(("quantity", r#"["null","int"]"#, some(0, Value::Null)));
        fields.push(("status", r#""null""#, Value::Null));
    };
    assert_plain("optional fields as unions", decode_api_call(unions));
    assert_plain(
        "bytes promoted to text",
        replaced("app_id", r#""bytes""#, Value::Bytes(b"app-1".to_vec())),
    );
    assert_plain(
        "int promoted",
        replaced("quantity", r#""int""#, Value::Int(1)),
    );
    assert_plain(
        "instant as text",
        replaced("time", r#""string""#, text("2026-01-10T11:00:00+01:00")),
    );
    let micros = r#"{"type":"long","logicalType":"timestamp-micros"}"#;
    assert_plain(
        "microseconds",
        replaced("time", micros, Value::TimestampMicros(TIME * 1_000 + 999)),
    );
    let symbols = r#"{"type":"enum","name":"Status","symbols":["failed","success"]}"#;
    assert_plain(
        "enumeration",
        replaced("status", symbols, Value::Enum(1, "success".into())),
    );
}

#[test]
fn added_fields_of_any_type_are_skipped() {
    let nested = r#"{"type":"record","name":"N","fields":[{"name":"again","type":["null","N"]},{"name":"f","type":"float"}]}"#;
    let inner = Value::Record(vec![
        ("again".into(), some(0, Value::Null)),
        ("f".into(), Value::Float(1.0)),
    ]);
    let outer = Value::Record(vec![
        ("again".into(), some(1, inner)),
        ("f".into(), Value::Float(0.5)),
    ]);
    let added: Vec<Field> = vec![
        ("a1", r#""null""#, Value::Null),
        ("a2", r#""boolean""#, Value::Boolean(true)),
        ("a3", r#""double""#, Value::Double(0.1)),
        (
            "a4",
            r#"{"type":"fixed","name":"F","size":3}"#,
            Value::Fixed(3, vec![1, 2, 3]),
        ),
        ("a5", nested, outer),
        (
            "a6",
            r#"{"type":"array","items":"long"}"#,
            Value::Array(vec![Value::Long(-9_000_000_000); 3]),
        ),
        (
            "a7",
            r#"{"type":"map","values":"F"}"#,
            Value::Map([("k".into(), Value::Fixed(3, vec![0; 3]))].into()),
        ),
        (
            "a8",
            r#"{"type":"array","items":"null"}"#,
            Value::Array(vec![Value::Null; 100]),
        ),
        (
            "a9",
            r#"["null","N",{"type":"enum","name":"E","symbols":["X"]}]"#,
            some(2, Value::Enum(0, "X".into())),
        ),
    ];
    for position in [0, 3, 5] {
        let (text, decoded) = decode_api_call(|fields| {
            fields.splice(position..position, added.clone());
        });
        assert_plain("added fields", (text, decoded));
    }
}

#[test]
fn incompatible_writers_are_dead_letters_that_name_the_field() {
    let double = r#""double""#;
    let long = r#""long""#;
    let record = r#"{"type":"record","name":"R","fields":[]}"#;
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#;
    let fixed = r#"{"type":"fixed","name":"F","size":2}"#;
    for (name, of, value, detail) in [
        ("quantity", double, Value::Double(1.0), "data.quantity"),
        ("quantity", r#""string""#, text("1"), "data.quantity"),
        (
            "quantity",
            r#"["null","double"]"#,
            some(1, Value::Double(2.0)),
            "data.quantity",
        ),
        ("id", long, Value::Long(7), "id"),
        ("source", r#""null""#, Value::Null, "source"),
        ("subject", record, Value::Record(vec![]), "subject"),
        ("time", long, Value::Long(TIME), "time"),
        ("time", TIMESTAMP, Value::TimestampMillis(-1), "time"),
        (
            "time",
            TIMESTAMP,
            Value::TimestampMillis(Instant::END.millis()),
            "time",
        ),
        ("recordedtime", double, Value::Double(1.0), "recordedtime"),
        (
            "app_id",
            fixed,
            Value::Fixed(2, b"ab".to_vec()),
            "data.app_id",
        ),
        (
            "app_id",
            r#""bytes""#,
            Value::Bytes(vec![0xFF]),
            "data.app_id",
        ),
        ("app_id", r#""string""#, text(""), "data.app_id"),
        ("http_status", long, Value::Long(1000), "data.http_status"),
        (
            "http_status",
            r#""boolean""#,
            Value::Boolean(true),
            "data.http_status",
        ),
        (
            "status",
            r#"{"type":"enum","name":"S","symbols":["SUCCESS"]}"#,
            Value::Enum(0, "SUCCESS".into()),
            "data.status",
        ),
    ] {
        let (_, decoded) = replaced(name, of, value);
        assert_eq!(decoded.event, Err(Fault::malformed(detail)), "{name}: {of}");
    }
    let (_, decoded) = decode_api_call(|fields| fields.retain(|field| field.0 != "app_id"));
    assert_eq!(
        decoded.event,
        Err(Fault::malformed("data.app_id")),
        "required field removed"
    );

    let mut purchase = envelope();
    purchase.push(("tokens", r#""int""#, Value::Int(100)));
    purchase.push(("amount", decimal, Value::Decimal(vec![0x31].into())));
    let (_, decoded) = decode("meterfold.TokensPurchasedV1", purchase);
    assert_eq!(
        decoded.event,
        Err(Fault::malformed("data.amount")),
        "bytes of a decimal are no text"
    );
}

#[test]
fn the_first_fault_is_reported_and_the_rest_is_still_read() {
    let (text, decoded) = decode_api_call(|fields| {
        fields[2].2 = self::text("");
        fields[4].2 = self::text("");
    });
    assert_eq!(decoded.event, Err(Fault::malformed("subject")));
    assert_eq!(decoded.recorded, Some(Instant::from_millis(TIME)));
    assert_eq!(decoded.id.map(|id| text.get(id)), Some("c-1"));
    assert_eq!(decoded.source.map(|source| text.get(source)), Some("/gw"));
    assert_eq!(decoded.subject.map(|subject| text.get(subject)), Some(""));
}

#[test]
fn subjects_are_counted_in_characters() {
    for (subject, event_is_ok) in [("é".repeat(128), true), ("é".repeat(129), false)] {
        let (_, decoded) = replaced("subject", r#""string""#, Value::String(subject));
        assert_eq!(decoded.event.is_ok(), event_is_ok);
    }
}

#[test]
fn other_record_names_are_of_unknown_type() {
    for name in [
        "meterfold.ApiCallV2",
        "ApiCallV1",
        "other.ApiCallV1",
        "meterfold.MonthlyInvoiceV1",
    ] {
        let (text, decoded) = decode(name, envelope());
        let unknown_type = Fault {
            reason: DeadLetterReason::UnknownType,
            detail: "type",
        };
        assert_eq!(decoded.event, Err(unknown_type), "{name}");
        assert_eq!(
            decoded.subject.map(|subject| text.get(subject)),
            Some("team-7")
        );
        assert_eq!(decoded.recorded, Some(Instant::from_millis(TIME)));
    }
}

#[test]
fn the_subject_of_a_tick_is_ignored() {
    for (of, value) in [
        (r#""long""#, Value::Long(1)),
        (r#""null""#, Value::Null),
        (r#""string""#, text("t")),
    ] {
        let mut fields = envelope();
        fields[2] = ("subject", of, value);
        let (_, decoded) = decode("meterfold.ClockTickV1", fields);
        assert!(decoded.is_tick && decoded.subject.is_none());
        assert!(decoded.event.is_ok(), "{:?}", decoded.event);
    }
}
