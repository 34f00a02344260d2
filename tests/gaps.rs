//! Records at the edge of what can be read, which no sample holds: what they do to the clock, and
//! where reading ends. The model must say the same.

mod model;
mod support;

#[path = "properties/books.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod books;
#[path = "properties/library.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod library;

use library::Layout;
use serde_json::{Value, json};
use support::program::Outputs;

/// A team with a lot that ends on 15 January; the last call is recorded before that.
fn story(between: &str) -> String {
    let start = "2026-01-05T00:00:00Z";
    let event = |id: &str, kind: &str, time: &str, data: Value| {
        let kind = format!("meterfold.{kind}.v1");
        let event = json!({"specversion": "1.0", "id": id, "source": "/test", "type": kind, "subject": "team-1", "time": time, "data": data});
        format!("{event}\n")
    };
    let lot = json!({"tokens": 100, "expires_at": "2026-01-15T00:00:00Z"});
    let call = json!({"app_id": "app", "api": "automation", "engine": "autocad", "quantity": 720});
    [
        event(
            "o",
            "offering-enrolled",
            start,
            json!({"offering": "prepay"}),
        ),
        event("h", "hub-created", start, json!({"hub_id": "hub"})),
        event("a", "app-migrated", start, json!({"app_id": "app"})),
        event("t", "tokens-purchased", start, lot),
        format!("{between}\n"),
        event("c", "api-call", "2026-01-10T00:00:00Z", call),
    ]
    .concat()
}

/// A record of 20 January with something wrong moves the clock past the lot's end, if its recorded
/// time can be read (`fold.md` 4, step 1).
#[test]
fn a_dead_letter_moves_the_clock_if_its_recorded_time_can_be_read() {
    let member = |text: &str| format!("{{\"recordedtime\":\"2026-01-20T00:00:00Z\"{text}}}");
    let whole = "\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"/test\",\"subject\":\"team-1\",\"time\":\"2026-01-20T00:00:00Z\"";
    let call = "\"type\":\"meterfold.api-call.v1\"";
    for (record, detail, moves) in [
        (member(""), "specversion", true),
        (format!("{{{whole},{call}}}"), "data", true),
        (
            format!("{{{whole},{call},\"data\":{{\"app_id\":7}}}}"),
            "data.app_id",
            true,
        ),
        (
            format!("{{{whole},\"type\":\"meterfold.no.v1\"}}"),
            "type",
            true,
        ),
        (
            format!("{{{whole},{call},\"recordedtime\":\"soon\"}}"),
            "recordedtime",
            false,
        ),
        (
            format!("{{{whole},{call},\"recordedtime\":null,\"data\":1}}"),
            "data",
            true,
        ),
        // The record itself cannot be read: nothing of it is.
        (member(",\"a\":1,\"a\":1"), "record", false),
        (
            member(",\"data\":{\"app_id\":\"a\",\"app_id\":\"a\"}"),
            "record",
            false,
        ),
        (
            member(",\"unknown\":[{\"deep\":{\"a\":1,\"b\":2,\"a\":3}}]"),
            "record",
            false,
        ),
        (member(",\"unknown\":\"\\ud800\""), "record", false),
        (format!("\u{feff}{}", member("")), "record", false),
        (format!("{} 1", member("")), "record", false),
        ("[]".into(), "record", false),
    ] {
        let outputs = folded(&story(&record));
        assert_eq!(dead_letter(&outputs)["detail"], detail, "{record}");
        let last = traced(&outputs, 6);
        let (prepaid, uncharged) = if moves { ("0", "1") } else { ("1", "0") };
        assert_eq!(
            [&last["prepaid"], &last["uncharged"]],
            [prepaid, uncharged],
            "{record}"
        );
        let derived = String::from_utf8(outputs.derived).expect("text");
        assert_eq!(
            derived.contains("\"reason\":\"expired\""),
            moves,
            "{record}"
        );
    }
}

/// A record nests at most 64 deep; its own object is the first level.
#[test]
fn records_nest_at_most_64_deep() {
    let nested = |levels: usize, open: &str, close: &str| {
        let start = "{\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"/test\",\"subject\":\"team-1\",\"type\":\"meterfold.postpay-cancelled.v1\",\"time\":\"2026-01-20T00:00:00Z\",\"unknown\":";
        let inner = levels - 1;
        format!("{start}{}0{}}}", open.repeat(inner), close.repeat(inner))
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[ ", "\t]")] {
        let fits = folded(&story(&nested(64, open, close)));
        assert_eq!(traced(&fits, 5)["reason"], "postpay_not_on");
        assert!(fits.dead_letters.is_empty());
        assert_eq!(traced(&fits, 6)["uncharged"], "1", "it moved the clock");

        for levels in [65, 66, 1_000, 100_000] {
            let outputs = folded(&story(&nested(levels, open, close)));
            let dead = dead_letter(&outputs);
            assert_eq!([&dead["reason"], &dead["detail"]], ["malformed", "record"]);
            assert_eq!(
                traced(&outputs, 6)["uncharged"],
                "0",
                "nothing of it was read"
            );
        }
    }
}

/// Through the library, like the model.
fn folded(log: &str) -> Outputs {
    let book = &books::books()[0];
    let folded = library::fold(&book.rates, log.as_bytes(), None, &Layout::PLAIN, None);
    let mut world = model::World::of_book(std::sync::Arc::clone(&book.model), false);
    for (line, record) in (1..).zip(log.lines()) {
        world
            .feed(0, line, record.as_bytes())
            .expect("no clock jump");
    }
    let expected = world.outputs();
    let expected = Outputs {
        trace: expected.trace,
        dead_letters: expected.dead_letters,
        derived: expected.derived,
        accounts: expected.accounts,
    };
    expected.assert_equal("the model's", &folded.outputs);
    folded.outputs
}

fn dead_letter(outputs: &Outputs) -> Value {
    serde_json::from_slice(&outputs.dead_letters).expect("one dead letter")
}

fn traced(outputs: &Outputs, line: usize) -> Value {
    let text = std::str::from_utf8(&outputs.trace).expect("text");
    let line = text.lines().nth(line - 1).expect("a trace line");
    serde_json::from_str(line).expect("JSON")
}
