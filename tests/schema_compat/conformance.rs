//! Decoder and encoder against the `apache-avro` crate's generic ones, and against hostile bytes.

use meterfold::billing::amount::Tokens;
use meterfold::billing::event::{
    AccountKind, Body, Event, Fault, Offering, Purpose, Status, Usage,
};
use meterfold::billing::time::Instant;
use meterfold::wire::avro::{self, Plan, RECORD_BYTES_MAX, Schemas};
use meterfold::wire::event_json;
use meterfold::wire::span::Text;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::support::avro_json::{json_of, without_nulls};
use crate::{event_of, flat, parse, schemas_of};

/// Bounds what the generic reader allocates for a mutated length.
const GENERIC_ALLOCATION_MAX: usize = 1 << 20;

/// What a random event is made of.
#[derive(Clone, Debug)]
struct Parts {
    kind: usize,
    texts: Vec<String>,
    options: Vec<bool>,
    counts: [u64; 2],
    quantity: i64,
    http_status: u16,
    millis: [i64; 3],
    micros: i64,
    choice: usize,
}

fn parts() -> impl Strategy<Value = Parts> {
    let instant = Instant::EPOCH.millis()..Instant::END.millis();
    (
        (0..14_usize, vec("\\PC{1,20}", 8), vec(any::<bool>(), 8)),
        [1..=1_000_000_000_000_000_u64, 1..=1_000_000_000_000_000],
        (
            prop_oneof![
                -3..0_i64,
                1..1000_i64,
                any::<i64>().prop_filter("a change", |q| *q != 0)
            ],
            100..=999_u16,
        ),
        [instant.clone(), instant.clone(), instant],
        (-1_000_000_000_000_i64..=1_000_000_000_000, 0..4_usize),
    )
        .prop_map(
            |(
                (kind, texts, options),
                counts,
                (quantity, http_status),
                millis,
                (micros, choice),
            )| Parts {
                kind,
                texts,
                options,
                counts,
                quantity,
                http_status,
                millis,
                micros,
                choice,
            },
        )
}

impl Parts {
    fn event(&self) -> Event<&str> {
        let team = if self.kind == 13 { "" } else { self.text(2) };
        Event {
            source: self.text(1),
            id: self.text(0),
            team,
            time: self.instant(0),
            body: self.body(),
        }
    }

    fn recorded(&self) -> Option<Instant> {
        self.options[0].then(|| self.instant(1))
    }

    fn body(&self) -> Body<&str> {
        let usage = Usage {
            app_id: self.text(3),
            api: self.option(1, self.text(4)),
            method: self.option(2, self.text(5)),
            path: self.option(3, self.text(6)),
            engine: self.option(4, self.text(7)),
            source_format: self.option(5, self.text(4)),
            quantity: self.quantity,
            status: Status::ALL[self.choice],
            http_status: self.option(6, self.http_status),
        };
        let amount = Tokens::from_micros(self.micros.into()).expect("an amount in range");
        match self.kind {
            0 => Body::ApiCall(usage),
            1 => Body::UsageCorrected {
                usage,
                corrects: self.option(7, self.text(5)),
            },
            2 => Body::OfferingEnrolled(match self.choice {
                0 => Offering::Free,
                1 => Offering::Prepay,
                _ => Offering::Postpay {
                    country: self.text(3),
                    payment_method: self.text(4),
                    good_standing: self.options[1],
                    currency: self.option(2, self.text(5)),
                },
            }),
            3 => Body::PostpayCancelled,
            4 => Body::StandingChanged {
                good: self.options[1],
            },
            5 => Body::DowngradeRequested,
            6 => Body::HubCreated {
                hub_id: self.text(3),
            },
            7 => Body::AppMigrated {
                app_id: self.text(3),
                hub_id: self.option(1, self.text(4)),
            },
            8 => Body::TokensPurchased {
                tokens: self.counts[0],
                amount: self.option(1, amount),
                currency: self.option(2, self.text(3)),
                expires_at: self.option(3, self.instant(2)),
            },
            9 => Body::TokensAdjusted {
                delta: amount,
                reason: self.option(1, self.text(3)),
                purpose: self.option(2, Purpose::ALL[self.choice % 2]),
            },
            10 => Body::TrialStarted {
                credits: self.counts[0],
                ends_at: self.instant(2),
            },
            11 => Body::CreditsPurchased {
                channel: self.text(3),
                pack: self.counts[0],
                packs: self.counts[1],
                account_kind: AccountKind::ALL[self.choice],
                amount: self.option(1, amount),
            },
            12 => Body::CreditsTransferred {
                to: self.text(3),
                credits: self.counts[0],
            },
            _ => Body::ClockTick,
        }
    }

    fn text(&self, index: usize) -> &str {
        &self.texts[index]
    }

    fn instant(&self, index: usize) -> Instant {
        Instant::from_millis(self.millis[index])
    }

    fn option<T>(&self, index: usize, value: T) -> Option<T> {
        self.options[index].then_some(value)
    }
}

fn schema_of(event: &Event<&str>) -> &'static str {
    avro::input_schema(event.body.type_name()).expect("each type has a schema")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(parts in parts()) {
        let (event, schemas) = (parts.event(), Schemas::built_in());
        let mut payload = Vec::new();
        schemas.encode_single_object(&event, parts.recorded(), &mut payload);
        let mut text = Text::default();
        let decoded = schemas.decode_single_object(&payload, &mut text.side);
        prop_assert_eq!(decoded.recorded, Some(parts.recorded().unwrap_or(event.time)));
        prop_assert!(text.side.len() <= payload.len());
        let same = event_of(&decoded, &text, |found| found == event);
        prop_assert_eq!(same, Ok(true));
    }

    #[test]
    fn the_generic_reader_and_writer_agree(parts in parts()) {
        let event = parts.event();
        let schema = parse(schema_of(&event));
        let mut datum = Vec::new();
        avro::encode(&event, parts.recorded(), &mut datum);

        let mut rest = &datum[..];
        let value = apache_avro::from_avro_datum(&schema, &mut rest, None).expect("a datum");
        prop_assert!(rest.is_empty());
        prop_assert_eq!(apache_avro::to_avro_datum(&schema, value.clone()).expect("a value"), datum);

        let mut line = Vec::new();
        event_json::write(&event, parts.recorded(), &mut line);
        let json: Json = serde_json::from_slice(&line).expect("JSON");
        let mut expected = without_nulls(flat(&json));
        if let Some(recorded) = parts.recorded() {
            expected["recordedtime"] = recorded.to_string().into();
        }
        prop_assert_eq!(json_of(&value), expected);
    }

    #[test]
    fn both_readers_judge_mutations_alike(parts in parts(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        apache_avro::util::max_allocation_bytes(GENERIC_ALLOCATION_MAX);
        let event = parts.event();
        let mut datum = Vec::new();
        avro::encode(&event, parts.recorded(), &mut datum);
        let at = at.index(datum.len());
        match cut {
            true => datum.truncate(at),
            false => datum[at] = byte,
        }
        let plan = Plan::of_schema(schema_of(&event)).expect("a plan");
        let mut side = String::new();
        let ours = plan.decode(&datum, &mut side);
        let readable = ours.event != Err(Fault::malformed("record"));
        let (schema, mut rest) = (parse(schema_of(&event)), &datum[..]);
        let generic = apache_avro::from_avro_datum(&schema, &mut rest, None);
        // The generic reader takes a string that is cut off for null, and drops bits of long longs.
        let exact = generic.as_ref().is_ok_and(|value| {
            apache_avro::to_avro_datum(&schema, value.clone()).is_ok_and(|again| again == datum)
        });
        prop_assert!(readable || !exact);
        prop_assert!(!readable || (generic.is_ok() && rest.is_empty()), "{:?}", generic);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..300), schema in 0..18_usize) {
        let schemas: Vec<&str> = avro::input_schemas().chain(avro::derived_schemas()).collect();
        let plan = Plan::of_schema(schemas[schema]).expect("a plan");
        let mut side = String::new();
        plan.decode(&bytes, &mut side);
        prop_assert!(side.len() <= bytes.len());
    }

    #[test]
    fn any_schema_text_is_read_or_refused(at in any::<prop::sample::Index>(), garbage in "[\\[\\]{}\",:a-z0]{0,6}") {
        for (_, schema) in schemas_of("derived") {
            let at = at.index(schema.len());
            if let (Some(head), Some(tail)) = (schema.get(..at), schema.get(at..)) {
                let skipped = tail.char_indices().nth(3).map_or("", |(index, _)| &tail[index..]);
                if let Ok(plan) = Plan::of_schema(&format!("{head}{garbage}{skipped}")) {
                    plan.decode(&[2; 64], &mut String::new());
                }
            }
        }
    }
}

/// A writer schema of one hostile field in front of the envelope.
fn hostile(of: &str) -> Plan {
    let schema = format!(
        r#"{{"type":"record","name":"meterfold.DowngradeRequestedV1","fields":[{{"name":"x","type":{of}}}]}}"#
    );
    Plan::of_schema(&schema).unwrap_or_else(|error| panic!("{error}: {schema}"))
}

fn long(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    avro::put_long(value, &mut out);
    out
}

#[test]
fn hostile_datums_end_quickly_and_allocate_nothing() {
    let longs = r#"{"type":"array","items":"long"}"#;
    let nulls = r#"{"type":"array","items":"null"}"#;
    let nothing = r#"{"type":"array","items":{"type":"record","name":"E","fields":[{"name":"f","type":{"type":"fixed","name":"Z","size":0}}]}}"#;
    let endless = r#"{"type":"record","name":"R","fields":[{"name":"again","type":"R"}]}"#;
    let deep = r#"{"type":"record","name":"R","fields":[{"name":"again","type":["null","R"]}]}"#;
    let fixed = r#"{"type":"fixed","name":"F","size":9223372036854775807}"#;
    for (of, datum) in [
        (longs, long(i64::MAX)),
        (longs, [long(i64::MIN), long(i64::MAX)].concat()),
        (longs, [long(-1), long(-1)].concat()),
        (nulls, [long(i64::MAX), long(i64::MAX)].concat()),
        (nothing, [long(i64::MAX), long(i64::MAX)].concat()),
        (r#""string""#, long(i64::MAX)),
        (r#""bytes""#, long(-1)),
        (fixed, vec![0; 9]),
        (endless, vec![0; 9]),
        (deep, [vec![2; 100], vec![0]].concat()),
        (r#"["null","long"]"#, long(2)),
        (r#"["null","long"]"#, long(-1)),
        ("[]", long(0)),
        (r#"{"type":"enum","name":"E","symbols":[]}"#, long(0)),
        (r#""boolean""#, vec![2]),
        (r#""int""#, long(i64::from(i32::MAX) + 1)),
        (r#""long""#, vec![0xFF; 11]),
        (r#""long""#, [vec![0xFF; 9], vec![2]].concat()),
    ] {
        let decoded = hostile(of).decode(&datum, &mut String::new());
        assert_eq!(decoded.event, Err(Fault::malformed("record")), "{of}");
        assert_eq!(decoded.recorded, None);
    }
}

#[test]
fn enumerations_cannot_blow_up_the_text() {
    for (len, event_is_ok) in [
        (avro::TEXT_GROWTH_MAX, true),
        (avro::TEXT_GROWTH_MAX + 1, false),
    ] {
        let symbol = "x".repeat(len);
        let fields = ["id", "source", "subject"].map(|name| {
            format!(r#"{{"name":"{name}","type":{{"type":"enum","name":"E_{name}","symbols":["{symbol}"]}}}}"#)
        });
        let time = r#"{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}}"#;
        let schema = format!(
            r#"{{"type":"record","name":"meterfold.DowngradeRequestedV1","fields":[{},{time}]}}"#,
            fields.join(",")
        );
        let datum = [0; 4];
        let mut side = String::new();
        let decoded = Plan::of_schema(&schema)
            .expect("a plan")
            .decode(&datum, &mut side);
        assert_eq!(decoded.event.is_ok(), event_is_ok, "{len}");
        assert!(side.len() <= avro::TEXT_GROWTH_MAX * datum.len());
    }
}

#[test]
fn deep_datums_are_read_to_the_limit() {
    let deep = r#"{"type":"record","name":"R","fields":[{"name":"again","type":["null","R"]}]}"#;
    for (levels, detail) in [(62, "id"), (63, "record")] {
        // The event's record is the first level, the outermost R the second.
        let datum = [vec![2; levels], vec![0]].concat();
        let decoded = hostile(deep).decode(&datum, &mut String::new());
        assert_eq!(decoded.event, Err(Fault::malformed(detail)), "{levels}");
    }
}

#[test]
fn records_beyond_a_mebibyte_are_not_read() {
    for (len, detail) in [(RECORD_BYTES_MAX, "id"), (RECORD_BYTES_MAX + 1, "record")] {
        let head = long(i64::try_from(len - 3).expect("a length"));
        let datum = [head, vec![b'x'; len - 3]].concat();
        assert_eq!(datum.len(), len);
        let decoded = hostile(r#""string""#).decode(&datum, &mut String::new());
        assert_eq!(decoded.event, Err(Fault::malformed(detail)), "{len}");
    }
}

#[test]
fn wide_records_of_nothing_cost_nothing() {
    let mut of = String::from(r#"{"type":"record","name":"R0","fields":[]}"#);
    for level in 1..8 {
        let below =
            (1..500).map(|field| format!(r#",{{"name":"f{field}","type":"R{}"}}"#, level - 1));
        of = format!(
            r#"{{"type":"record","name":"R{level}","fields":[{{"name":"f0","type":{of}}}{}]}}"#,
            below.collect::<String>()
        );
    }
    let datum = [long(i64::MAX), long(0)].concat();
    let decoded =
        hostile(&format!(r#"{{"type":"array","items":{of}}}"#)).decode(&datum, &mut String::new());
    assert_eq!(decoded.event, Err(Fault::malformed("id")));
}

#[test]
fn schemas_beyond_the_limits_are_refused() {
    let nested = format!(
        "{}\"long\"{}",
        r#"{"type":"array","items":"#.repeat(70),
        "}".repeat(70)
    );
    let wide = format!("[{}]", vec!["\"long\""; 20_000].join(","));
    let long_text = format!("\"{}\"", "x".repeat(avro::SCHEMA_BYTES_MAX));
    let namespace = format!(
        r#"{{"type":"fixed","name":"F","namespace":"{}","size":1}}"#,
        "n".repeat(2_000)
    );
    let broken = [
        &namespace,
        "",
        "{}",
        "7",
        "\"other\"",
        r#"{"type":"record","name":"R"}"#,
        r#"{"type":"record","fields":[]}"#,
        r#"{"type":"fixed","name":"F","size":-1}"#,
        r#"{"type":"enum","name":"E","symbols":[1]}"#,
        r#"[["null"]]"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"R","size":1}}]}"#,
        r#"{"type":"array"}"#,
        r#"{"type":"map"}"#,
        &nested,
        &wide,
        &long_text,
    ];
    for schema in broken {
        assert!(
            Plan::of_schema(schema).is_err(),
            "{}",
            &schema[..schema.len().min(100)]
        );
    }
    // Names that Avro forbids do no harm here.
    assert!(Plan::of_schema(r#"{"type":"record","name":"..é \u0000","fields":[]}"#).is_ok());
}

#[test]
fn a_union_of_all_types_is_read() {
    let plan = Plan::of_schema(&avro::input_union_schema()).expect("a plan");
    for (kind, schema) in avro::input_schemas().enumerate() {
        let parts = Parts {
            kind,
            texts: vec!["t".into(); 8],
            options: vec![true; 8],
            counts: [1, 2],
            quantity: 3,
            http_status: 200,
            millis: [1, 2, 3],
            micros: -1,
            choice: 3,
        };
        assert_eq!(schema_of(&parts.event()), schema);
        let mut datum = Vec::new();
        avro::encode_branch(&parts.event(), None, &mut datum);
        let mut text = Text::default();
        let decoded = plan.decode(&datum, &mut text.side);
        let same = event_of(&decoded, &text, |found| assert_eq!(found, parts.event()));
        assert_eq!(same, Ok(()));
    }
    let not_a_record = Plan::of_schema("\"string\"").expect("a plan");
    let decoded = not_a_record.decode(&[2, b'x'], &mut String::new());
    assert_eq!(decoded.event, Err(Fault::malformed("record")));
}
