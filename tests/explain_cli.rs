//! `meterfold explain` as a user starts it: worked cases as golden files, what it refuses, and that
//! its page is safe.
//!
//! A golden file is what the program prints of a case of `scenarios/`, over that case's own log:
//! `explain/CASE.txt` and `.json` (indented; the program prints one line), one `.html` too. Their
//! arithmetic is that of the specification's worked cases. `UPDATE_EXPLAIN=1 cargo test --test
//! explain_cli` rewrites them; read the diff.

#[path = "scenarios/events.rs"]
#[allow(dead_code, reason = "shared with the scenarios")]
mod events;
#[path = "scenarios/program.rs"]
#[allow(dead_code, reason = "shared with the scenarios")]
mod program;
mod support;
#[path = "scenarios/table.rs"]
#[allow(dead_code, reason = "shared with the scenarios")]
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use events::{Log, team_of};
use serde_json::{Value, json};
use support::sample::Sample;
use table::Table;
use tempfile::TempDir;

/// (table, case, month that is explained)
const WORKED: [(&str, &str, &str); 17] = [
    ("free_tier", "3", "2026-01"),
    ("free_tier", "12", "2026-01"),
    ("prepay", "21", "2026-01"),
    ("prepay", "26", "2026-01"),
    ("postpay", "33", "2026-01"),
    ("postpay", "36", "2026-01"),
    ("postpay", "39", "2026-01"),
    ("postpay", "44", "2026-01"),
    ("migration", "49", "2026-01"),
    ("legacy", "52", "2018-01"),
    ("legacy", "55", "2026-01"),
    ("book_variants", "V5", "2026-01"),
    ("book_variants", "V7", "2026-01"),
    ("late_and_adjustments", "J1", "2026-02"),
    ("late_and_adjustments", "J8", "2026-01"),
    ("corrections", "K7", "2026-02"),
    ("corrections", "K10", "2026-01"),
];

/// The case whose page is a golden file.
const PAGE: &str = "33";

#[test]
fn worked_cases_are_explained() {
    let mut faults = Vec::new();
    for (table, case, month) in WORKED {
        let scene = Scene::of(table, case);
        let text = scene.succeed(&["--month", month]);
        faults.extend(compare(&format!("{case}.txt"), &text));
        let json = scene.succeed(&["--month", month, "--format", "json"]);
        let value: Value = serde_json::from_str(&json).expect("one object");
        assert_eq!(json, format!("{value}\n"), "compact JSON");
        let indented = serde_json::to_string_pretty(&value).expect("JSON") + "\n";
        faults.extend(compare(&format!("{case}.json"), &indented));
        if case == PAGE {
            let page = scene.succeed(&["--month", month, "--format", "html"]);
            faults.extend(compare(&format!("{case}.html"), &page));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Every invoice that a sample must give is the one that its explanation tells, and its lines are
/// explained.
#[test]
fn every_invoice_of_the_samples_is_explained() {
    for sample in Sample::all() {
        let lines = sample.expected.derived.split(|byte| *byte == b'\n');
        let events = lines
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
        let invoices: Vec<Value> = events
            .filter(|event| event["type"] == "meterfold.monthly-invoice.v1")
            .collect();
        // The adversarial ones have many: every fifth will do.
        let step = if invoices.len() > 50 { 5 } else { 1 };
        assert!(!invoices.is_empty(), "{}", sample.name);
        for invoice in invoices.iter().step_by(step) {
            let team = invoice["subject"].as_str().expect("a team");
            let month = invoice["data"]["month"].as_str().expect("a month");
            let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
            command.args([
                "explain", "--format", "json", "--team", team, "--month", month,
            ]);
            command.arg("--rates").arg(&sample.replay.rates);
            if let Some(until) = &sample.replay.until {
                command.args(["--until", until]);
            }
            command.args(
                sample
                    .replay
                    .flags
                    .iter()
                    .filter(|flag| **flag != "--trace"),
            );
            let output = command.args(&sample.replay.inputs).output();
            let output = output.expect("the program starts");
            let place = format!("{}: {team} {month}", sample.name);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{place}: {error}");
            let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let mut data = invoice["data"].clone();
            data.as_object_mut().expect("data").shift_remove("cause");
            assert_eq!(told["invoice"].to_string(), data.to_string(), "{place}");
        }
    }
}

/// The page needs nothing from elsewhere, and no name in it can become markup.
#[test]
fn a_page_is_self_contained_and_safe() {
    let hostile = "</title><script>alert(1)</script>\"'&\u{202e}";
    let team = "<img src=x onerror=alert(2)>";
    let events = [
        event(
            "a",
            team,
            "offering-enrolled",
            json!({"offering": "prepay"}),
        ),
        event("b", team, "hub-created", json!({"hub_id": hostile})),
        event("c", team, "app-migrated", json!({"app_id": "app"})),
        event(hostile, team, "tokens-purchased", json!({"tokens": 100})),
        event(
            "d",
            team,
            "api-call",
            json!({"app_id": "app", "api": "automation", "engine": "autocad", "quantity": 1440}),
        ),
    ];
    let scene = Scene::of_events(&events, team);
    let page = scene.succeed(&["--month", "2026-01", "--format", "html"]);
    for forbidden in [
        "<script",
        "<img",
        "onerror=alert(2)>",
        "http:",
        "https:",
        "src=\"",
        "url(",
        "\u{202e}",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    for wanted in [
        "&lt;img src=x onerror=alert(2)&gt;",
        "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\\u{202e}",
        "prefers-color-scheme:dark",
        "name=\"viewport\"",
        "day 10: prepaid 2",
    ] {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }
    // Every element that is opened is closed.
    for element in [
        "svg", "figure", "table", "tr", "td", "dl", "h2", "div", "style", "rect", "text",
    ] {
        let opened = page.matches(&format!("<{element}>")).count()
            + page.matches(&format!("<{element} ")).count();
        assert_eq!(
            opened,
            page.matches(&format!("</{element}>")).count(),
            "{element}"
        );
    }
    let text = scene.succeed(&["--month", "2026-01"]);
    assert!(text.contains("\\u{202e}") && !text.contains('\u{202e}'));
}

#[test]
fn an_open_month_is_explained_as_open() {
    let mut scene = Scene::of("postpay", "35");
    scene.until = "2026-02-03T23:59:59Z".into();
    let text = scene.succeed(&["--month", "2026-01"]);
    assert!(
        text.starts_with("2026-01 of case-35: 18.00 USD so far\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "open until 2026-02-04T00:00:00Z; as of 2026-02-03T23:59:59Z, amounts may change"
        ),
        "{text}"
    );
    let february = scene.succeed(&["--month", "2026-02"]);
    assert!(
        february.starts_with("2026-02 of case-35: 0.00 USD so far\n"),
        "{february}"
    );
    scene.until = "2026-02-04T00:00:00Z".into();
    let closed = scene.succeed(&["--month", "2026-01"]);
    assert!(
        closed.starts_with("2026-01 of case-35: 18.00 USD\n"),
        "{closed}"
    );
    assert!(
        closed.contains("closed 2026-02-04T00:00:00Z, invoiced"),
        "{closed}"
    );
}

#[test]
fn one_line_is_explained_alone() {
    let scene = Scene::of("postpay", "36");
    let text = scene.succeed(&["--month", "2026-01", "--line", "md.complex"]);
    assert!(
        text.contains("0 -> 7 jobs: 3 units x 3 tokens; carried in 0, carried over 1"),
        "{text}"
    );
    assert!(
        !text.contains("md.basic") && !text.contains("automation.autocad"),
        "{text}"
    );
    assert!(text.contains("total of all meters, USD"), "{text}");
    let json = scene.succeed(&[
        "--month",
        "2026-01",
        "--line",
        "md.complex",
        "--format",
        "json",
    ]);
    let told: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(told["only"], "md.complex");
    assert_eq!(told["lines"].as_array().map(Vec::len), Some(1));
    assert_eq!(told["invoice"]["total"], "48.00");
}

#[test]
fn what_was_refused_is_counted_with_why() {
    let call = |id: &str, quantity: i64| {
        event(
            id,
            "t",
            "api-call",
            json!({"app_id": "app", "api": "automation", "engine": "autocad", "quantity": quantity}),
        )
    };
    let mut late = serde_json::from_str::<Value>(&call("late", 5)).expect("JSON");
    late["recordedtime"] = json!("2026-03-20T00:00:00Z");
    let events = [
        event("a", "t", "offering-enrolled", json!({"offering": "free"})),
        event("b", "t", "offering-enrolled", json!({"offering": "free"})),
        event("c", "t", "hub-created", json!({"hub_id": "h"})),
        event("d", "t", "app-migrated", json!({"app_id": "app"})),
        call("e", 60),
        call("e", 60),
        call("e", 61),
        call("f", -1),
        event("g", "t", "tokens-purchased", json!({"tokens": 0})),
        late.to_string(),
    ];
    let scene = Scene::of_events(&events, "t");
    let json = scene.succeed(&["--month", "2026-01", "--format", "json"]);
    let told: Value = serde_json::from_str(&json).expect("JSON");
    let counted: Vec<String> = told["not_charged"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|tally| {
            let text = |name: &str| tally[name].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {} {} {}",
                text("disposition"),
                text("reason"),
                tally["events"],
                tally["quantity"],
                text("first")
            )
        })
        .collect();
    assert_eq!(
        counted,
        [
            "conflict - 1 61 log.ndjson:7",
            "dead_letter malformed 1 0 log.ndjson:9",
            "dead_letter negative_quantity 1 -1 log.ndjson:8",
            "dead_letter too_old 1 5 log.ndjson:10",
            "duplicate - 1 60 log.ndjson:6",
            "refused already_enrolled 1 0 log.ndjson:2",
        ]
    );
}

#[test]
fn what_cannot_be_explained_is_named() {
    let scene = Scene::of("postpay", "33");
    for (arguments, code, words) in [
        (
            &["--month", "2026-13"][..],
            2,
            "not a month such as 2026-01",
        ),
        (
            &["--month", "2026-03"],
            2,
            "month 2026-03: has not begun, the inputs end at 2026-02-04T00:00:00Z",
        ),
        (
            &["--month", "2025-12"],
            2,
            "month 2025-12: team case-33 was not known yet, its first event is of 2026-01",
        ),
        (
            &["--month", "2026-01", "--line", "md.none"],
            2,
            "--line md.none: the rate book has no such meter; it has automation.",
        ),
        (&["--month", "2026-01", "none.ndjson"], 2, "none.ndjson"),
    ] {
        refuses(&scene.explain(arguments), code, words);
    }
    let mut unknown = Scene::of("postpay", "33");
    unknown.team = "case-34".into();
    refuses(
        &unknown.explain(&["--month", "2026-01"]),
        2,
        "team case-34: the inputs hold no event of it that was folded",
    );
    let bad_book = Scene::new("{}", &[], "t", "2026-02-04T00:00:00Z");
    refuses(&bad_book.explain(&["--month", "2026-01"]), 4, "book.json: ");
    let far = event("a", "t", "hub-created", json!({"hub_id": "h"}));
    let farther = far
        .replace("2026-01-10", "2028-01-10")
        .replace("\"a\"", "\"b\"");
    let leap = Scene::of_events(&[far, farther], "t");
    let mut command = leap.command();
    command.args(["--month", "2026-01", "log.ndjson"]);
    let output = command.output().expect("the program starts");
    refuses(
        &output,
        10,
        "log.ndjson line 2: recorded at 2028-01-10T10:00:00Z, more than 400 days",
    );
    let empty = Scene::new(EXAMPLE_BOOK, &[], "t", "2026-02-04T00:00:00Z");
    refuses(
        &empty.explain(&["--month", "2026-01"]),
        2,
        "team t: the inputs hold no event",
    );
}

#[track_caller]
fn refuses(output: &Output, code: i32, words: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(words), "{error}");
    assert!(output.stdout.is_empty());
}

const EXAMPLE_BOOK: &str = include_str!("../schemas/rates/aps-example.json");

/// An event of 10 January.
fn event(id: &str, team: &str, kind: &str, data: Value) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": "/test", "subject": team,
        "type": format!("meterfold.{kind}.v1"), "time": "2026-01-10T10:00:00Z", "data": data,
    })
    .to_string()
}

/// A line, or where it differs, if the file does.
fn compare(name: &str, got: &str) -> Option<String> {
    let path = tests_dir().join("explain").join(name);
    if std::env::var_os("UPDATE_EXPLAIN").is_some() {
        fs::write(&path, got).expect("the golden file");
        return None;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected == got {
        return None;
    }
    let lines = expected.lines().zip(got.lines());
    let same = lines.take_while(|(expected, got)| expected == got).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(end)").to_owned();
    Some(format!(
        "tests/explain/{name}:{}: expected\n  {}\ngot\n  {}",
        same + 1,
        line(&expected),
        line(got)
    ))
}

/// A log and its book in a directory; the program runs in it, so that positions are short.
struct Scene {
    dir: TempDir,
    team: String,
    until: String,
}

impl Scene {
    fn of(table: &str, case: &str) -> Scene {
        let table = Table::read(&tests_dir().join("scenarios").join(format!("{table}.scn")));
        let case = table.cases.iter().find(|other| other.id == case);
        let case = case.expect("the case");
        let log = Log::of(&case.id, &case.steps);
        let lines: Vec<&str> = log
            .entries
            .iter()
            .map(|entry| entry.json.as_str())
            .collect();
        let book = program::book_of(&table, &case.book);
        Scene::new(&book, &lines, &team_of(&case.id, None), &case.until)
    }

    fn of_events(events: &[String], team: &str) -> Scene {
        let lines: Vec<&str> = events.iter().map(String::as_str).collect();
        Scene::new(EXAMPLE_BOOK, &lines, team, "2026-02-04T00:00:00Z")
    }

    fn new(book: &str, lines: &[&str], team: &str, until: &str) -> Scene {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("book.json"), book).expect("the book");
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(dir.path().join("log.ndjson"), text).expect("the log");
        Scene {
            dir,
            team: team.into(),
            until: until.into(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
        command
            .current_dir(self.dir.path())
            .args(["explain", "--rates", "book.json"])
            .args(["--team", &self.team, "--until", &self.until]);
        command
    }

    fn explain(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command
            .arg("--allow-clock-jump")
            .args(arguments)
            .arg("log.ndjson");
        command.output().expect("the program starts")
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.explain(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }
}

fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}
