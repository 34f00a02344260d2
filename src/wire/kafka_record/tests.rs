//! Every check and every content kind of a record of the log, by tables.

use proptest::prelude::*;

use super::*;
use crate::billing::event::{Body, Event};
use crate::billing::time::Instant;
use crate::wire::record_bytes;

const PARTITIONS: u16 = 6;
const PARTITION: u16 = 4;

const RULES: RecordRules = RecordRules {
    partition: PARTITION,
    partitions: PARTITIONS,
    has_accounts: false,
    takes_ticks: false,
    halts_on_wrong_partition: false,
};

/// A team of the partition; `team-1` is of another.
const TEAM: &str = "team-3";

const CALL: &str = r#"{"specversion":"1.0","id":"c-1","source":"/gw","type":"meterfold.api-call.v1","subject":"team-3","time":"2026-01-10T10:00:00Z","data":{"app_id":"app-1","quantity":7}}"#;
const HUB: &str = r#"{"specversion":"1.0","id":"c-1","source":"/gw","type":"meterfold.hub-created.v1","subject":"team-3","time":"2026-01-10T10:00:00Z","data":{"hub_id":"h"}}"#;
const TICK: &str = r#"{"specversion":"1.0","id":"c-1","source":"/gw","type":"meterfold.clock-tick.v1","time":"2026-01-10T10:00:00Z"}"#;
const CANCELLED: &str = r#"{"specversion":"1.0","id":"c-1","source":"/gw","type":"meterfold.postpay-cancelled.v1","subject":"team-3","time":"2026-01-10T10:00:00Z"}"#;

const RECORDED: Instant = Instant::from_millis(1_768_039_201_234);

#[derive(Clone, Default)]
struct Sent {
    topic: u8,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    value: Option<Vec<u8>>,
}

impl Sent {
    fn json(value: &str) -> Sent {
        Sent {
            key: Some(TEAM.into()),
            value: Some(value.into()),
            ..Sent::default()
        }
    }

    /// The example call, its attributes in headers.
    fn binary() -> Sent {
        Sent::json(r#"{"app_id":"app-1","quantity":7}"#)
            .header("ce_specversion", "1.0")
            .header("ce_id", "c-1")
            .header("ce_source", "/gw")
            .header("ce_type", "meterfold.api-call.v1")
            .header("ce_subject", TEAM)
            .header("ce_time", "2026-01-10T10:00:00Z")
    }

    /// `json` as an Avro record behind Confluent's header.
    fn registered(id: u32, json: &str) -> Sent {
        let single_object = single_object(json);
        let mut value = vec![0];
        value.extend_from_slice(&id.to_be_bytes());
        value.extend_from_slice(&single_object[10..]);
        Sent {
            value: Some(value),
            ..Sent::json("")
        }
    }

    fn single_object(json: &str) -> Sent {
        Sent {
            value: Some(single_object(json)),
            ..Sent::json("")
        }
    }

    fn header(mut self, name: &str, value: &str) -> Sent {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    fn without_header(mut self, name: &str) -> Sent {
        self.headers.retain(|(found, _)| found != name);
        self
    }

    fn key(mut self, key: Option<&str>) -> Sent {
        self.key = key.map(Into::into);
        self
    }

    fn topic(mut self, topic: u8) -> Sent {
        self.topic = topic;
        self
    }

    fn value(mut self, value: Option<&[u8]>) -> Sent {
        self.value = value.map(Into::into);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_deref()));
        let (key, value) = (self.key.as_deref(), self.value.as_deref());
        record_bytes::append(&mut out, self.topic, 42, RECORDED, key, headers, value);
        out
    }
}

fn single_object(json: &str) -> Vec<u8> {
    let mut text = Text {
        input: json.to_owned(),
        side: String::new(),
    };
    let decoded = super::super::cloudevents::decode(json, 0, json.len(), &mut text.side);
    let event = decoded.event.expect("an event");
    let mut out = Vec::new();
    Schemas::built_in().encode_single_object(&event.map(|span| text.get(span)), None, &mut out);
    out
}

fn decoder(rules: RecordRules) -> RecordDecoder {
    RecordDecoder::new(rules, Arc::new(Schemas::built_in()))
}

/// What decoding came to, in a line: the event's type and id, or reason and detail.
fn told(outcome: &Outcome, text: &Text) -> String {
    match outcome {
        Outcome::Decoded(decoded) => {
            assert_eq!(decoded.recorded, Some(RECORDED));
            match &decoded.event {
                Ok(event) => format!("{} {}", event.body.type_name(), text.get(event.id)),
                Err(fault) => format!("{} {}", fault.reason.name(), fault.detail),
            }
        }
        Outcome::SchemaWanted(id) => format!("wanted {id}"),
        Outcome::WrongPartition { key, detail } => {
            let key = key.as_deref().map(String::from_utf8_lossy);
            format!("halt {key:?} {detail}")
        }
    }
}

fn decode_with(decoder: &mut RecordDecoder, sent: &Sent) -> String {
    let bytes = sent.bytes();
    let record = LogRecord::read(&bytes).expect("a record");
    // Records stand behind others.
    let mut text = Text {
        input: "é input".to_owned(),
        side: "é side".to_owned(),
    };
    let outcome = decoder.decode(&record, &mut text);
    let is_kept = matches!(&outcome, Outcome::Decoded(decoded) if !is_unread(decoded));
    if !is_kept {
        assert_eq!(
            (text.input.as_str(), text.side.as_str()),
            ("é input", "é side")
        );
    }
    told(&outcome, &text)
}

fn decode(rules: RecordRules, sent: &Sent) -> String {
    decode_with(&mut decoder(rules), sent)
}

const A_CALL: &str = "meterfold.api-call.v1 c-1";

#[track_caller]
fn assert_told(rules: RecordRules, sent: &Sent, expected: &str) {
    assert_eq!(decode(rules, sent), expected);
}

#[test]
fn the_team_is_of_the_partition() {
    assert_eq!(partition_of(TEAM.as_bytes(), PARTITIONS), PARTITION);
    assert_eq!(partition_of(b"team-1", PARTITIONS), 3);
}

#[test]
fn content_type_tells_the_kind_and_else_the_first_byte() {
    for structured in [
        "application/cloudevents+json",
        "Application/CloudEvents+JSON; charset=UTF-8",
        "application/json",
        "application/vnd.x+json",
        "text/plain",
        "",
    ] {
        let sent = Sent::json(CALL).header("content-type", structured);
        assert_told(RULES, &sent, A_CALL);
    }
    for avro in [
        "application/avro",
        "avro/binary",
        "application/vnd.apache.avro",
    ] {
        let sent = Sent::single_object(CALL).header("Content-Type", avro);
        assert_told(RULES, &sent, A_CALL);
        let json = Sent::json(CALL).header("content-type", avro);
        assert_told(RULES, &json, "malformed record");
    }
    for foreign in [
        "application/cloudevents+avro",
        "application/cloudevents-batch+json",
        "application/cloudevents",
    ] {
        let sent = Sent::json(CALL).header("content-type", foreign);
        assert_told(RULES, &sent, "malformed record");
    }
    let no_type = |sent: Sent| assert_told(RULES, &sent, A_CALL);
    no_type(Sent::json(CALL));
    no_type(Sent::json(&format!(" \r\n{CALL}\n")));
    no_type(Sent::single_object(CALL));
    no_type(Sent::binary());
    no_type(
        Sent::json(CALL)
            .header("ce_partitionkey", "x")
            .header("trace", "y"),
    );
    no_type(Sent::binary().header("content-type", "application/json"));
    // The header says JSON: a mark is not looked at.
    let marked = Sent::single_object(CALL).header("content-type", "application/json");
    assert_told(RULES, &marked, "malformed record");
    // Structured mode holds its own envelope.
    let both = Sent::json(CALL)
        .header("content-type", "application/cloudevents+json")
        .header("ce_id", "another")
        .header("ce_id", "a third");
    assert_told(RULES, &both, A_CALL);
}

#[test]
fn what_is_unreadable_is_malformed_record() {
    let cut = &single_object(CALL)[..30];
    let long = [&single_object(CALL)[..], b"x"].concat();
    let unknown = [&[0xC3, 0x01], &[7; 8][..], b"datum"].concat();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
    for value in [
        None,
        Some(&b""[..]),
        Some(b" "),
        Some(b"{"),
        Some(b"[]"),
        Some(b"\xff"),
        Some(b"\xef\xbb\xbf{}"),
        Some(b"{\"id\":\"\xff\"}"),
        Some(b"{\"id\":\"1\",\"id\":\"1\"}"),
        Some(b"{\"a\":1,\"a\":1}"),
        Some(&b"\0"[..]),
        Some(b"\0\0\0\x01"),
        Some(b"\xc3"),
        Some(b"\xc3\x01"),
        Some(b"\xc3\x01\0\0\0\0\0\0\0"),
        Some(cut),
        Some(&long),
        Some(&unknown),
        Some(deep.as_bytes()),
    ] {
        assert_told(RULES, &Sent::json("").value(value), "malformed record");
    }
    // A null value is no absent data, and headers do not help.
    assert_told(RULES, &Sent::binary().value(None), "malformed record");
}

#[test]
fn too_large_counts_key_value_and_headers_together() {
    let padded = |bytes: usize| {
        let pad = bytes - CALL.len();
        format!("{CALL}{}", " ".repeat(pad))
    };
    let room = RECORD_BYTES_MAX - TEAM.len();
    assert_told(RULES, &Sent::json(&padded(room)), A_CALL);
    assert_told(RULES, &Sent::json(&padded(room + 1)), "too_large record");
    let header = |bytes| Sent::json(&padded(bytes)).header("name", "value");
    assert_told(RULES, &header(room - 9), A_CALL);
    assert_told(RULES, &header(room - 8), "too_large record");
    // The size is checked before anything else.
    let key = "k".repeat(RECORD_BYTES_MAX + 1);
    let sent = Sent::json(CALL)
        .key(Some(&key))
        .topic(API_CALLS)
        .value(None);
    assert_told(RULES, &sent, "too_large record");
}

#[test]
fn key_and_partition_follow_from_the_subject() {
    let other_team = CALL.replace(TEAM, "team-1");
    let no_subject = CALL.replace(r#""subject":"team-3","#, "");
    let number = CALL.replace(r#""team-3""#, "3");
    let empty = CALL.replace(TEAM, "");
    for (sent, expected) in [
        (Sent::json(CALL).key(None), "wrong_key key"),
        (Sent::json(CALL).key(Some("")), "wrong_key key"),
        (Sent::json(CALL).key(Some("team-30")), "wrong_key key"),
        (
            Sent::json(&other_team).key(Some("team-1")),
            "wrong_partition partition",
        ),
        (Sent::json(&other_team), "wrong_key key"),
        (Sent::json(&empty), "wrong_key key"),
        (
            Sent::json(&empty).key(Some("")),
            "wrong_partition partition",
        ),
        // Unreadable subjects are the matter of the checks behind.
        (Sent::json(&no_subject).key(None), "malformed subject"),
        (Sent::json(&number), "malformed subject"),
        // The key is checked before the fields are.
        (
            Sent::json(&CALL.replace("1.0", "2.0")).key(None),
            "wrong_key key",
        ),
        (
            Sent::json(&CALL.replace("1.0", "2.0")),
            "malformed specversion",
        ),
        (Sent::binary().key(None), "wrong_key key"),
        (Sent::single_object(CALL).key(None), "wrong_key key"),
    ] {
        assert_told(RULES, &sent, expected);
    }
    let escaped = CALL.replace(TEAM, r"team\u002d3");
    assert_told(RULES, &Sent::json(&escaped), A_CALL);
    let one_partition = RecordRules {
        partition: 0,
        partitions: 1,
        ..RULES
    };
    let empty_key = Sent::json(&empty).key(Some(""));
    assert_told(one_partition, &empty_key, "malformed subject");
}

#[test]
fn a_wrong_partition_halts_by_setting() {
    let rules = RecordRules {
        halts_on_wrong_partition: true,
        ..RULES
    };
    let other_team = CALL.replace(TEAM, "team-1");
    for (sent, expected) in [
        (
            Sent::json(CALL).key(None),
            r#"halt None key (none) is not the subject "team-3""#,
        ),
        (
            Sent::json(CALL).key(Some("a\nb")),
            r#"halt Some("a\nb") key "a\nb" is not the subject "team-3""#,
        ),
        (
            Sent::json(&other_team).key(Some("team-1")),
            r#"halt Some("team-1") team "team-1" belongs to partition 3 of 6, not 4"#,
        ),
        // Any other fault is a dead letter all the same.
        (Sent::json("{"), "malformed record"),
        (Sent::json(TICK), "tick_not_allowed type"),
    ] {
        assert_told(rules, &sent, expected);
    }
}

#[test]
fn the_first_of_two_topics_takes_usage_only() {
    let two = RecordRules {
        has_accounts: true,
        ..RULES
    };
    let correction = CALL.replace("api-call", "usage-corrected");
    let unknown = CALL.replace("api-call", "nothing");
    let no_type = CALL.replace(r#""type":"meterfold.api-call.v1","#, "");
    let broken_call = CALL.replace("c-1", "");
    for (value, on_api_calls, on_accounts) in [
        (CALL, A_CALL, A_CALL),
        (
            &correction,
            "meterfold.usage-corrected.v1 c-1",
            "meterfold.usage-corrected.v1 c-1",
        ),
        (HUB, "wrong_topic type", "meterfold.hub-created.v1 c-1"),
        (&unknown, "wrong_topic type", "unknown_type type"),
        (&no_type, "wrong_topic type", "malformed type"),
        (&broken_call, "malformed id", "malformed id"),
        (TICK, "wrong_topic type", "tick_not_allowed type"),
        ("{", "malformed record", "malformed record"),
    ] {
        let sent = Sent::json(value);
        assert_told(two, &sent.clone().topic(API_CALLS), on_api_calls);
        assert_told(two, &sent.clone().topic(ACCOUNTS), on_accounts);
        assert_told(RULES, &sent.topic(API_CALLS), on_accounts);
    }
    assert_told(two, &Sent::single_object(HUB), "wrong_topic type");
    assert_told(two, &Sent::single_object(CALL), A_CALL);
    assert_told(two, &Sent::json(HUB).key(None), "wrong_key key");
}

#[test]
fn ticks_are_taken_in_record_time_mode_and_have_no_key() {
    let record_time = RecordRules {
        takes_ticks: true,
        ..RULES
    };
    let two = RecordRules {
        has_accounts: true,
        ..record_time
    };
    let a_tick = "meterfold.clock-tick.v1 c-1";
    let tick = Sent::json(TICK).key(None);
    assert_told(record_time, &tick, a_tick);
    assert_told(two, &tick.clone().topic(ACCOUNTS), a_tick);
    assert_told(two, &tick.clone().topic(API_CALLS), "wrong_topic type");
    assert_told(RULES, &tick, "tick_not_allowed type");
    assert_told(record_time, &Sent::json(TICK), "tick_not_allowed key");
    assert_told(record_time, &tick.key(Some("")), "tick_not_allowed key");
    // Its subject is ignored, so it goes to every partition.
    let with_subject = TICK.replace(r#""id""#, r#""subject":"team-1","id""#);
    assert_told(record_time, &Sent::json(&with_subject).key(None), a_tick);
    assert_told(record_time, &Sent::single_object(TICK).key(None), a_tick);
    let broken = TICK.replace("c-1", "");
    assert_told(
        RULES,
        &Sent::json(&broken).key(None),
        "tick_not_allowed type",
    );
    assert_told(record_time, &Sent::json(&broken).key(None), "malformed id");
}

#[test]
fn binary_mode_gives_the_faults_of_structured_mode() {
    let empty = |json: &str| {
        let is_empty = json.is_empty().then_some(&b""[..]);
        Sent::binary().value(is_empty.or(Some(json.as_bytes())))
    };
    let cancelled = |value: &str| {
        empty(value)
            .without_header("ce_type")
            .header("ce_type", "meterfold.postpay-cancelled.v1")
    };
    let is_cancelled = "meterfold.postpay-cancelled.v1 c-1";
    for (sent, expected) in [
        (
            Sent::binary().without_header("ce_specversion"),
            "malformed specversion",
        ),
        (Sent::binary().without_header("ce_id"), "malformed id"),
        (
            Sent::binary().without_header("ce_id").header("ce_id", ""),
            "malformed id",
        ),
        (
            Sent::binary().without_header("ce_source"),
            "malformed source",
        ),
        (Sent::binary().without_header("ce_type"), "malformed type"),
        (
            Sent::binary().without_header("ce_subject"),
            "malformed subject",
        ),
        (Sent::binary().without_header("ce_time"), "malformed time"),
        (
            Sent::binary().header("ce_recordedtime", "x"),
            "malformed recordedtime",
        ),
        (Sent::binary().header("ce_id", "c-1"), "malformed record"),
        (Sent::binary().header("ce_data", "x"), A_CALL),
        (
            Sent::binary()
                .header("ce_", "x")
                .header("ce_x", "y")
                .header("ce_x", "y"),
            A_CALL,
        ),
        (Sent::binary().header("CE_ID", "x"), A_CALL),
        (empty(""), "malformed data"),
        (empty("null"), "malformed data"),
        (empty("[1]"), "malformed data"),
        (empty("{}"), "malformed data.app_id"),
        (empty(" "), "malformed record"),
        (empty("{"), "malformed record"),
        (empty("{}{}"), "malformed record"),
        (empty(r#"{},"id":"x""#), "malformed record"),
        (empty(r#"{"a":1,"a":1}"#), "malformed record"),
        (empty(r#"{"app_id":"a","app_id":"a"}"#), "malformed record"),
        (empty(" {\"app_id\":\"app-1\"}\n"), A_CALL),
        (cancelled(""), is_cancelled),
        (cancelled("null"), is_cancelled),
        (cancelled("{}"), is_cancelled),
        (cancelled("1"), "malformed data"),
    ] {
        assert_told(RULES, &sent, expected);
    }
    let mut null_id = Sent::binary();
    null_id.headers.push(("ce_id".into(), None));
    assert_told(RULES, &null_id, A_CALL);
    let mut not_text = Sent::binary().without_header("ce_source");
    not_text
        .headers
        .push(("ce_source".into(), Some(vec![0xff])));
    assert_told(RULES, &not_text, "malformed source");
    // The record's own object is the first of 64 levels, although it is not written.
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        empty(&format!(r#"{{"app_id":"app-1","x":{open}{close}}}"#))
    };
    assert_told(RULES, &nested(62), A_CALL);
    assert_told(RULES, &nested(63), "malformed record");
}

#[test]
fn attributes_that_would_need_escapes_are_read_as_they_are() {
    let id = "a\"b\\u0041\n\u{1f600}";
    let sent = Sent::binary().without_header("ce_id").header("ce_id", id);
    assert_told(RULES, &sent, &format!("meterfold.api-call.v1 {id}"));
}

#[test]
fn attributes_beside_an_avro_record_agree_with_it() {
    let beside = |name: &str, value: &str| {
        let sent = Sent::binary().without_header(name).header(name, value);
        Sent {
            value: Some(single_object(CALL)),
            ..sent
        }
    };
    for (sent, expected) in [
        (beside("ce_id", "c-1"), A_CALL),
        (beside("ce_specversion", "1.1"), "malformed specversion"),
        (beside("ce_id", "c-2"), "malformed id"),
        (beside("ce_source", "/gw2"), "malformed source"),
        (
            beside("ce_type", "meterfold.hub-created.v1"),
            "malformed type",
        ),
        (beside("ce_subject", "team-1"), "malformed subject"),
        (beside("ce_time", "2026-01-10T10:00:01Z"), "malformed time"),
        (beside("ce_time", "yesterday"), "malformed time"),
        (beside("ce_time", "2026-01-10T12:00:00.0009+02:00"), A_CALL),
        (beside("ce_recordedtime", "2026-01-10T10:00:00Z"), A_CALL),
        (
            beside("ce_recordedtime", "2026-01-10T10:00:01Z"),
            "malformed recordedtime",
        ),
        (beside("ce_other", "x"), A_CALL),
        (
            beside("ce_id", "c-2").header("ce_id", "c-1"),
            "malformed record",
        ),
    ] {
        assert_told(RULES, &sent, expected);
    }
    let only = Sent::single_object(CALL).header("ce_time", "2026-01-10T10:00:01Z");
    assert_told(RULES, &only, "malformed time");
    // The first fault counts, whichever side it is on.
    let no_app = CALL.replace("app-1", "");
    let datum = single_object(CALL);
    let datum = String::from_utf8_lossy(&datum[10..])
        .contains("app-1")
        .then_some(datum);
    let mut datum = datum.expect("the app stands in the datum");
    let at = datum
        .windows(5)
        .position(|word| word == b"app-1")
        .expect("there");
    datum.splice(at - 1..at + 5, [0]);
    let broken = |sent: Sent| sent.value(Some(&datum));
    assert!(no_app.len() < CALL.len());
    assert_told(RULES, &broken(Sent::json("")), "malformed data.app_id");
    assert_told(RULES, &broken(only), "malformed time");
    // A tick's subject is ignored on both sides.
    let record_time = RecordRules {
        takes_ticks: true,
        ..RULES
    };
    let tick = Sent::single_object(TICK)
        .key(None)
        .header("ce_subject", "team-1");
    assert_told(record_time, &tick, "meterfold.clock-tick.v1 c-1");
}

const CALL_SCHEMA: &str = include_str!("../../../schemas/input/api-call.v1.avsc");

fn schema(text: &str) -> SchemaAnswer {
    SchemaAnswer::Schema(text.to_owned())
}

#[test]
fn a_registered_schema_is_wanted_once() {
    let mut decoder = decoder(RULES);
    let sent = Sent::registered(258, CALL);
    assert_eq!(decode_with(&mut decoder, &sent), "wanted 258");
    assert_eq!(decoder.schema_used(), None);
    decoder.learn(258, schema(CALL_SCHEMA)).expect("a schema");
    for _ in 0..2 {
        assert_eq!(decode_with(&mut decoder, &sent), A_CALL);
        assert_eq!(decoder.schema_used(), Some(258));
    }
    assert_eq!(decoder.schema_text(258), Some(CALL_SCHEMA));
    assert_eq!(decode_with(&mut decoder, &Sent::json(CALL)), A_CALL);
    assert_eq!(decoder.schema_used(), None);
    // An older or newer writer: fields in another order, further ones, some missing.
    let other = r#"{"type":"record","name":"meterfold.ApiCallV1","fields":[
        {"name":"x","type":"int"},{"name":"subject","type":"string"},{"name":"source","type":"string"},
        {"name":"time","type":"string"},{"name":"id","type":"string"},{"name":"app_id","type":"string"}]}"#;
    decoder.learn(7, schema(other)).expect("a schema");
    let mut value = vec![0, 0, 0, 0, 7, 2];
    for text in [TEAM, "/gw", "2026-01-10T10:00:00Z", "c-1", "app-1"] {
        crate::wire::avro::put_bytes(text.as_bytes(), &mut value);
    }
    let sent = Sent::json("").value(Some(&value));
    assert_eq!(decode_with(&mut decoder, &sent), A_CALL);
}

#[test]
fn a_denied_schema_and_one_that_cannot_be_read_are_told_apart() {
    let mut decoder = decoder(RULES);
    let sent = Sent::registered(1, CALL);
    decoder
        .learn(1, SchemaAnswer::Denied)
        .expect("no schema to read");
    assert_eq!(decode_with(&mut decoder, &sent), "malformed schema_id");
    assert_eq!(
        (decoder.schema_used(), decoder.schema_text(1)),
        (Some(1), None)
    );
    // It was registered since, and asked for again.
    for unreadable in ["", "{", "{\"type\":\"object\"}", "syntax = \"proto3\";"] {
        decoder.learn(1, schema(unreadable)).expect_err(unreadable);
        assert_eq!(decode_with(&mut decoder, &sent), "malformed record");
        assert_eq!(decoder.schema_used(), Some(1));
        assert_eq!(decoder.schema_text(1), Some(unreadable));
    }
    decoder
        .learn(1, schema(&" ".repeat(2 << 20)))
        .expect_err("too long");
    assert_eq!(decode_with(&mut decoder, &sent), "malformed record");
    let not_ours = CALL_SCHEMA.replace("ApiCallV1", "CallOfAnother");
    decoder.learn(1, schema(&not_ours)).expect("a schema");
    assert_eq!(decode_with(&mut decoder, &sent), "unknown_type type");
    decoder.learn(1, schema("\"string\"")).expect("a schema");
    assert_eq!(decode_with(&mut decoder, &sent), "malformed record");
    let bytes = sent.bytes();
    let record = LogRecord::read(&bytes).expect("a record");
    assert_eq!(schema_id(&record), Some(1));
}

#[test]
fn what_was_learned_is_bounded_and_asked_for_again() {
    let mut decoder = decoder(RULES);
    let wants = |decoder: &mut RecordDecoder, id| {
        decode_with(decoder, &Sent::registered(id, CALL)) == format!("wanted {id}")
    };
    for id in 0..5_000 {
        decoder
            .learn(id, SchemaAnswer::Denied)
            .expect("no schema to read");
    }
    assert!(wants(&mut decoder, 0) && !wants(&mut decoder, 4_999));
    let doc = "d".repeat(1 << 19);
    let long = CALL_SCHEMA.replacen("\"doc\": \"", &format!("\"doc\": \"{doc}"), 1);
    for id in 0..40 {
        decoder.learn(id, schema(&long)).expect("a schema");
        // Learned again, it counts once.
        decoder.learn(id, schema(&long)).expect("a schema");
        assert!(!wants(&mut decoder, id));
    }
    assert!(wants(&mut decoder, 0));
    let kept: usize = (0..40)
        .filter_map(|id| decoder.schema_text(id))
        .map(str::len)
        .sum();
    assert!((1..=16 << 20).contains(&kept), "{kept}");
}

/// What decoding says of a record apart from where its text lies.
fn event_of(sent: &Sent) -> Result<Event<String>, Fault> {
    let bytes = sent.bytes();
    let record = LogRecord::read(&bytes).expect("a record");
    let mut text = Text::default();
    match decoder(RULES).decode(&record, &mut text) {
        Outcome::Decoded(decoded) => decoded.event.map(|event| {
            let body = format!("{:?}", event.map(|span| text.get(span)));
            Event {
                source: body,
                id: text.get(event.id).to_owned(),
                team: text.get(event.team).to_owned(),
                time: event.time,
                body: Body::ClockTick,
            }
        }),
        _ => panic!("neither wanted nor wrong"),
    }
}

#[test]
fn the_three_kinds_are_the_same_event() {
    let structured = event_of(&Sent::json(CALL)).expect("an event");
    assert_eq!(event_of(&Sent::binary()).as_ref(), Ok(&structured));
    assert_eq!(
        event_of(&Sent::single_object(CALL)).as_ref(),
        Ok(&structured)
    );
    let cancelled = event_of(&Sent::json(CANCELLED)).expect("an event");
    assert_eq!(event_of(&Sent::single_object(CANCELLED)), Ok(cancelled));
}

proptest! {
    /// Any bytes in any place: no panic, and no more text than is promised.
    #[test]
    fn any_record_comes_to_something(
        mark in prop_oneof![
            Just(vec![]), Just(vec![0]), Just(vec![0, 0, 0, 0, 1]), Just(vec![0xC3, 1]),
            Just(single_object(CALL)), Just(CALL.as_bytes().to_vec()),
        ],
        rest in proptest::collection::vec(any::<u8>(), 0..60),
        cut in 0_usize..200,
        key in proptest::option::of(prop_oneof![Just(TEAM.as_bytes().to_vec()), proptest::collection::vec(any::<u8>(), 0..9)]),
        headers in proptest::collection::vec((
            "ce_(id|source|type|subject|time|specversion|recordedtime)|content-type|x",
            proptest::option::of(prop_oneof![
                Just(b"application/json".to_vec()), Just(b"application/avro".to_vec()),
                Just(b"1.0".to_vec()), Just(TEAM.as_bytes().to_vec()),
                proptest::collection::vec(any::<u8>(), 0..9),
            ]),
        ), 0..5),
        halts in any::<bool>(),
        has_accounts in any::<bool>(),
    ) {
        let mut value = mark;
        value.truncate(cut);
        value.extend(rest);
        let sent = Sent { topic: API_CALLS, key, headers, value: Some(value) };
        let rules = RecordRules { halts_on_wrong_partition: halts, has_accounts, ..RULES };
        let mut decoder = decoder(rules);
        decoder.learn(1, schema(CALL_SCHEMA)).expect("a schema");
        let bytes = sent.bytes();
        let record = LogRecord::read(&bytes).expect("a record");
        let mut text = Text::default();
        let outcome = decoder.decode(&record, &mut text);
        let bound = record.content_bytes() + 7 * 2;
        prop_assert!(text.input.len() <= bound && text.side.len() <= bound);
        told(&outcome, &text);
    }
}
