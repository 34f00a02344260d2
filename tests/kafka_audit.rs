//! `meterfold audit` on a real Apache Kafka: what is right is proven, what was changed is found and
//! named, what is gone is said to be gone; and production does not notice.

mod support;

use std::fs;
use std::process::Command;

use meterfold::billing::time::Instant;
use serde_json::Value;

use support::audit::{assert_proven, audit};
use support::kafka::{Broker, NewRecord, Record, Registry};
use support::scene::Scene;

/// Two partitions, everything folded.
fn folded(name: &str) -> Scene<'static> {
    let mut scene = Scene::new(Broker::shared(), name, 2);
    scene.fold_share(1);
    scene
}

/// The first invoice of January, as it lies in its topic.
fn invoice(scene: &Scene) -> Record {
    let topic = scene.setup.topic("monthly-invoice");
    let mut events = scene.setup.broker.read_committed(&topic).into_iter();
    let invoice = events.find(|event| event.value_text().contains("\"month\":\"2026-01\""));
    invoice.expect("an invoice")
}

fn written_again(record: &Record, value: String) -> NewRecord {
    NewRecord {
        partition: record.partition,
        key: record.key.clone(),
        value: Some(value.into_bytes()),
        headers: record.headers.clone(),
        timestamp: None,
    }
}

#[test]
fn what_was_published_is_proven_and_production_does_not_notice() {
    let mut scene = Scene::half_folded(Broker::shared(), "audit_equal", 2);
    let mut processor = scene.start();
    processor.wait_until_runs(&scene.setup);
    let before = scene.written();
    let open = audit(&scene.setup, &["--all", "--month", "2026-01"]);
    open.assert("while it runs", 0, &["\"closed\":false"]);
    assert_eq!(scene.written(), before, "nothing was written");
    scene.produce_rest();
    processor.wait_until_folded(&scene.setup);
    processor.stop();

    let before = scene.written();
    assert_proven(&scene.setup, "all", &["2026-01", "2026-02"]);
    let team = String::from_utf8(invoice(&scene).key.expect("a key")).expect("text");
    let one = audit(&scene.setup, &["--team", &team, "--month", "2026-01"]);
    one.assert("one team", 0, &["\"closed\":true"]);
    let events = one.report["partitions"][0]["events"].as_u64();
    assert!(events > Some(0), "{:#}", one.report);
    let chain = audit(&scene.setup, &["--chain-only"]);
    chain.assert("the chain", 0, &["\"whole\"", "\"head\":\"1;"]);
    let [one, two] = ["1", "2"].map(|threads| {
        audit(
            &scene.setup,
            &["--all", "--month", "2026-01", "--threads", threads],
        )
        .report
    });
    assert_eq!(one, two, "threads do not show");

    for (team, month, words) in [
        ("nobody", "2026-01", "no such team"),
        (team.as_str(), "2031-05", "has not begun"),
        (team.as_str(), "2019-05", "before the first record"),
    ] {
        let unknown = audit(&scene.setup, &["--team", team, "--month", month]);
        unknown.assert(team, 2, &[words]);
    }
    assert_eq!(scene.written(), before, "nothing was written");
}

/// What the guide shows is what an audit says, numbers and digests aside.
#[test]
fn the_guide_shows_what_an_audit_says() {
    let guide = include_str!("../docs/audit.md");
    let samples: Vec<&str> = guide
        .split("```text\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let mut scene = Scene::new(Broker::shared(), "audit_guide", 1);
    for share in [4, 1] {
        scene.fold_share(share);
    }
    let assert_says = |sample: &str, scene: &Scene| {
        let output = Command::new(env!("CARGO_BIN_EXE_meterfold"))
            .args(["audit", "--all", "--month", "2026-01", "--config"])
            .arg(scene.setup.config(7))
            .output()
            .expect("the program starts");
        let said = String::from_utf8(output.stdout).expect("text");
        let said = said.replace(&format!("{}-", scene.setup.name), "");
        assert_eq!(without_numbers(&said), without_numbers(sample), "{said}");
    };
    let [proven, different, gone] = samples[..] else {
        panic!("three samples: {samples:?}")
    };
    assert_says(proven, &scene);
    let topic = scene.setup.topic("monthly-invoice");
    let value = r#"{"id":"monthly-invoice/team-7/2026-01","time":"2026-02-04T00:00:00Z"}"#;
    scene.setup.broker.produce(&topic, 0, "team-7", value);
    assert_says(different, &scene);
    let input = scene.setup.topic("api-calls");
    scene.setup.broker.delete_records(&input, 0, 400);
    assert_says(gone, &scene);
}

/// Every number is 0, every digest #.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let is_hex = |c: char| c.is_ascii_hexdigit() && !c.is_ascii_uppercase();
    for word in text.split_inclusive(|c: char| !is_hex(c)) {
        let end = word.trim_end_matches(|c: char| !is_hex(c));
        match end.len() {
            64 => out.push('#'),
            1.. if end.chars().all(|c| c.is_ascii_digit()) => out.push('0'),
            _ => out.push_str(end),
        }
        out.push_str(&word[end.len()..]);
    }
    out
}

/// The refold gives the bytes of the published Avro, whichever way they name their schema.
#[test]
fn events_in_avro_are_proven_in_avro() {
    let registry = Registry::start();
    let mut scene = Scene::new(Broker::shared(), "audit_avro", 2);
    let sections = format!(
        "[registry]\nurl = \"{}\"\nregister = true\n[output]\nformat = \"avro\"",
        registry.url()
    );
    scene.setup.extra.push(("http", sections));
    scene.fold_share(1);
    let topic = scene.setup.topic("monthly-invoice");
    let events = scene.setup.broker.read_committed(&topic);
    let mut event = events.first().expect("an invoice").clone();
    // What was folded needs no registry any more.
    registry.kill9();
    assert_proven(&scene.setup, "avro", &["2026-01", "2026-02"]);
    let value = event.value.as_mut().expect("a value");
    *value.last_mut().expect("a byte") ^= 1;
    let changed = NewRecord {
        value: event.value.clone(),
        ..written_again(&event, String::new())
    };
    scene.setup.broker.produce_all(&topic, [changed]);
    let id = event.headers.iter().find(|(name, _)| name == "ce_id");
    let id = id.and_then(|(_, value)| value.clone()).expect("an id");
    let month = String::from_utf8(id).expect("text");
    let month = month.rsplit_once('/').expect("a month").1;
    let found = audit(&scene.setup, &["--all", "--month", month]);
    found.assert("a changed byte", 3, &["published event", &topic]);
}

#[test]
fn a_foreign_event_is_found_where_it_lies() {
    let scene = folded("audit_foreign");
    let invoice = invoice(&scene);
    let topic = scene.setup.topic("monthly-invoice");
    let dearer = invoice
        .value_text()
        .replace("\"total\":\"", "\"total\":\"1");
    assert_ne!(dearer, invoice.value_text());
    let record = written_again(&invoice, dearer);
    let offset = scene.setup.broker.produce_all(&topic, [record])[0];
    let place = format!(
        "monthly-invoice partition {} offset {offset}",
        invoice.partition
    );
    let found = audit(&scene.setup, &["--all", "--month", "2026-01"]);
    found.assert("an event too many", 3, &["published event", &place]);
    // Other months and other teams are as they were.
    assert_proven(&scene.setup, "another month", &["2026-02"]);
}

/// The first event of a topic whose records were deleted and written again with another total.
#[test]
fn a_changed_event_is_shown_beside_the_refolded_one() {
    let scene = folded("audit_changed");
    let (broker, topic) = (scene.setup.broker, scene.setup.topic("monthly-invoice"));
    let events = broker.read_committed(&topic);
    let ends = broker.end_offsets(&topic);
    for (partition, end) in (0..).zip(ends) {
        broker.delete_records(&topic, partition, end);
    }
    let gone = audit(&scene.setup, &["--all", "--month", "2026-01"]);
    gone.assert("events are gone", 10, &["no longer kept", "2026-01"]);
    let changed = |(number, event): (usize, &Record)| {
        let text = event.value_text();
        let text = match number {
            0 => text.replace("\"total\":\"", "\"total\":\"1"),
            _ => text,
        };
        written_again(event, text)
    };
    let offsets = broker.produce_all(&topic, events.iter().enumerate().map(changed));
    let month: Value = serde_json::from_str(&events[0].value_text()).expect("JSON");
    let month = month["data"]["month"].as_str().expect("a month").to_owned();
    let place = format!("offset {}", offsets[0]);
    let found = audit(&scene.setup, &["--all", "--month", &month]);
    found.assert(
        "a total",
        3,
        &["published event", &place, "\"refolded\"", "\"inputs\""],
    );
}

#[test]
fn a_journal_that_somebody_wrote_to_is_broken_where_he_did() {
    let scene = folded("audit_journal");
    let topic = scene.setup.topic("journal");
    let (broker, last) = (
        scene.setup.broker,
        scene.setup.broker.read_committed(&topic),
    );
    let last = last.last().expect("a record").clone();
    let record = written_again(&last, String::new());
    let record = NewRecord {
        value: last.value.clone(),
        ..record
    };
    let offset = broker.produce_all(&topic, [record])[0];
    let place = format!("journal partition {} offset {offset}", last.partition);
    for arguments in [&["--chain-only"][..], &["--all", "--month", "2026-01"]] {
        let found = audit(&scene.setup, arguments);
        found.assert("a second record", 3, &["journal chain", &place]);
    }
    // Of a journal without its start nothing follows.
    broker.delete_records(&topic, last.partition, last.offset);
    let found = audit(&scene.setup, &["--chain-only"]);
    found.assert("no start", 10, &["what stood before it is gone"]);
}

#[test]
fn inputs_that_are_gone_prove_nothing() {
    let scene = folded("audit_trimmed");
    let (broker, topic) = (scene.setup.broker, scene.setup.topic("api-calls"));
    broker.delete_records(&topic, 1, 10);
    let found = audit(&scene.setup, &["--all", "--month", "2026-01"]);
    let place = format!("{topic} partition 1 begins at offset 10");
    found.assert("a trimmed input", 10, &[&place, "\"unproven\""]);
    assert_eq!(found.report["partitions"][0]["result"], "equal");
}

/// What an operator gave up is left out of the refold too; the months that it may have belonged to
/// are never proven.
#[test]
fn a_month_with_an_accepted_gap_is_never_equal() {
    let mut scene = Scene::new(Broker::shared(), "audit_gap", 1);
    scene.fold_share(4);
    let (next, _) = scene.committed(0).expect("a committed offset");
    scene.wait_until_empty();
    let gap = format!("{}:{next}..{}", scene.setup.topic("api-calls"), next + 5);
    scene.recover(0, &["--accept-gap", &gap]);
    scene.produce_rest();
    let mut processor = scene.start();
    processor.wait_until_folded(&scene.setup);
    processor.stop();
    let touched = audit(&scene.setup, &["--all", "--month", "2026-01"]);
    touched.assert("the gap's month", 10, &["accepted a gap", &gap]);
    let after = audit(&scene.setup, &["--all", "--month", "2026-02"]);
    after.assert("a later month", 0, &[&gap, "\"unproven_to\":\"2026-01\""]);
}

/// The step of the clock that an operator accepted is a commit of its own, made by him.
#[test]
fn a_clock_that_an_operator_accepted_is_followed() {
    let mut scene = Scene::new(Broker::shared(), "audit_clock", 1);
    scene.fold_share(4);
    let topic = scene.setup.topic("api-calls");
    let later = Instant::parse("2027-09-01T00:00:00Z").expect("an instant");
    let record = NewRecord::new(0, "k", "{}").created_at(later.millis());
    let offset = scene.setup.broker.produce_all(&topic, [record])[0];
    scene.assert_halts("CLOCK_JUMP", &["--accept-clock"]);
    scene.wait_until_empty();
    scene.recover(0, &["--accept-clock", &format!("{topic}:{offset}")]);
    let mut processor = scene.start();
    processor.wait_until_folded(&scene.setup);
    processor.stop();
    assert_proven(&scene.setup, "the clock", &["2026-01", "2027-06"]);
    let open = audit(&scene.setup, &["--all", "--month", "2027-09"]);
    open.assert("the last month", 0, &["--accept-clock", "\"closed\":false"]);
}

#[test]
fn evidence_of_something_else_is_refused() {
    let mut scene = folded("audit_else");
    let text = fs::read_to_string(&scene.setup.rates).expect("a book");
    let mut book: Value = serde_json::from_str(&text).expect("JSON");
    book["cards"][0]["id"] = "another".into();
    let rates = scene.setup.rates.clone();
    scene.setup.rates = scene.setup.dir().join("book.json");
    fs::write(&scene.setup.rates, book.to_string()).expect("a file");
    let found = audit(&scene.setup, &["--all", "--month", "2026-01"]);
    found.assert("another book", 4, &["another", "name its own"]);
    scene.setup.rates = rates;
    let group = ["--set", "application=somebody", "--chain-only"];
    let topics = ["journal", "changelog", "dead_letters"].map(|name| {
        let topic = scene.setup.topic(&name.replace('_', "-"));
        format!("topics.{name}={topic}")
    });
    let mut arguments: Vec<&str> = group.to_vec();
    topics
        .iter()
        .for_each(|topic| arguments.extend(["--set", topic.as_str()]));
    let found = audit(&scene.setup, &arguments);
    found.assert("another application", 4, &["application", "somebody"]);
}
