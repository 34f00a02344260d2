//! Records that nobody can take, one of every kind.

use super::support::kafka::{NewRecord, Record, Registry};
use super::{MIB, call, event, now_millis, team_in};

const HOUR_MILLIS: i64 = 3_600_000;

/// A record that nobody can take, and what is said of it.
pub struct Poison {
    pub topic: &'static str,
    pub record: NewRecord,
    pub reason: &'static str,
    pub detail: &'static str,
    pub stage: &'static str,
    pub schema_id: Option<u32>,
}

/// One of every kind, each beside good events of the same partition.
pub fn poisons(registry: &Registry) -> Vec<Poison> {
    let now = now_millis();
    let (home, away) = (team_in(0, "home"), team_in(1, "away"));
    let schema = include_str!("../../schemas/input/api-call.v1.avsc");
    let known = registry.register("api-calls-value", schema);
    let strange = registry.register(
        "others-value",
        r#"{"type":"record","name":"Other","fields":[]}"#,
    );
    let unknown = 2_000_000_000;
    let framed = |id: u32, datum: &[u8]| [&[0][..], &id.to_be_bytes(), datum].concat();
    let to = |partition: i32, key: &str, value: &[u8]| NewRecord::new(partition, key, value);
    let home_call = |id: &str, millis: i64, quantity: &str| {
        to(0, &home, call(id, &home, millis, quantity).as_bytes())
    };
    let poison = |topic, record, reason, detail| Poison {
        topic,
        record,
        reason,
        detail,
        stage: "decode",
        schema_id: None,
    };
    let of_schema = |id: u32, datum: &[u8], detail| Poison {
        schema_id: Some(id),
        ..poison(
            "api-calls",
            to(0, &home, &framed(id, datum)),
            "malformed",
            detail,
        )
    };
    let of_rules = |record, reason, detail| Poison {
        stage: "admit",
        ..poison("api-calls", record, reason, detail)
    };
    let tokens = event("tokens-purchased", "p-1", &home, now, "{\"tokens\":100}");
    let mut no_value = to(0, &home, b"");
    no_value.value = None;
    let mut no_key = home_call("c-nokey", now, "1");
    no_key.key = None;
    let with_headers = home_call("c-text", now, "\"1\"")
        .with_header("trace", "00-1")
        .with_header("trace", [0xff, 0x00])
        .with_header("empty", "");
    let mut with_null_header = to(0, &home, b"{}");
    with_null_header.headers.push(("null".to_owned(), None));
    let tick = event("clock-tick", "t-1", "", now, "{}").replace("\"subject\":\"\",", "");
    let mut tick = to(1, "", tick.as_bytes());
    tick.key = None;
    let large_key = "k".repeat(5_000);
    vec![
        poison(
            "api-calls",
            to(0, &home, b"not JSON"),
            "malformed",
            "record",
        ),
        poison(
            "api-calls",
            to(1, &away, b"{\"specversion\":\"1.0\""),
            "malformed",
            "record",
        ),
        poison(
            "api-calls",
            to(0, &home, b"\xff\xfe\x00"),
            "malformed",
            "record",
        ),
        poison(
            "api-calls",
            to(0, &home, b"\xc3\x01\0\0\0\0\0\0\0\0xyz"),
            "malformed",
            "record",
        ),
        poison("api-calls", no_value, "malformed", "record"),
        of_schema(known, b"\x08c-av", "record"),
        of_schema(known, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "record"),
        of_schema(strange, b"", "record"),
        of_schema(unknown, b"\x02", "schema_id"),
        poison("api-calls", with_headers, "malformed", "data.quantity"),
        poison("accounts", with_null_header, "malformed", "specversion"),
        poison(
            "api-calls",
            to(0, &home, &vec![b'x'; MIB]),
            "too_large",
            "record",
        ),
        poison(
            "api-calls",
            to(1, &large_key, &vec![b'y'; 3 * MIB]).with_header("a", "b"),
            "too_large",
            "record",
        ),
        poison(
            "api-calls",
            to(0, "stranger", call("c-1", &home, now, "1").as_bytes()),
            "wrong_key",
            "key",
        ),
        poison("api-calls", no_key, "wrong_key", "key"),
        poison(
            "api-calls",
            to(0, &away, call("c-2", &away, now, "1").as_bytes()),
            "wrong_partition",
            "partition",
        ),
        poison(
            "api-calls",
            to(0, &home, tokens.as_bytes()),
            "wrong_topic",
            "type",
        ),
        poison(
            "accounts",
            to(
                0,
                &home,
                event("surprise", "s-1", &home, now, "{}").as_bytes(),
            ),
            "unknown_type",
            "type",
        ),
        poison("accounts", tick, "tick_not_allowed", "type"),
        of_rules(
            home_call("c-3", now, "-1"),
            "negative_quantity",
            "data.quantity",
        ),
        of_rules(
            home_call("c-4", now, "1000000000000001"),
            "quantity_too_large",
            "data.quantity",
        ),
        of_rules(
            home_call("c-5", now + 24 * HOUR_MILLIS, "1"),
            "time_in_future",
            "time",
        ),
        of_rules(
            home_call("c-6", now - 90 * 24 * HOUR_MILLIS, "1"),
            "too_old",
            "time",
        ),
    ]
}

impl Poison {
    /// Headers of its dead letter.
    pub fn headers(&self, topic: &str, original: &Record) -> Vec<(String, Option<Vec<u8>>)> {
        let mut headers = match self.is_cut() {
            true => Vec::new(),
            false => original.headers.clone(),
        };
        let mut mark = |name: &str, value: String| {
            headers.push((format!("meterfold.dlq.{name}"), Some(value.into_bytes())));
        };
        mark("topic", topic.to_owned());
        mark("partition", original.partition.to_string());
        mark("offset", original.offset.to_string());
        mark("timestamp", original.timestamp.to_string());
        mark("reason", self.reason.to_owned());
        mark("detail", self.detail.to_owned());
        mark("stage", self.stage.to_owned());
        if let Some(id) = self.schema_id {
            mark("schema_id", id.to_string());
        }
        if self.is_cut() {
            mark("truncated", "true".to_owned());
        }
        headers
    }

    pub fn is_cut(&self) -> bool {
        self.reason == "too_large"
    }
}
