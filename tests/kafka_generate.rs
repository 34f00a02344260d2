//! `meterfold generate` to a real Apache Kafka: the events of a file, each under its team, in its
//! partition, with its recorded time; and what becomes of topics that may not be written.

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use meterfold::wire::partitioner::partition_of;
use serde_json::Value;

use support::kafka::{Broker, Options, Record};
use support::processor::Setup;
use support::program::stderr;

const SMALL: [&str; 8] = [
    "--teams",
    "40",
    "--events",
    "3000",
    "--months",
    "2025-12..2026-01",
    "--malformed",
    "1",
];

fn generate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .arg("generate")
        .args(SMALL)
        .args(arguments)
        .output()
        .expect("the program starts")
}

fn succeed(arguments: &[&str]) -> String {
    let output = generate(arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// Lines of a file as (team, line without its recorded time, recorded time), without ticks.
fn lines_of_file() -> Vec<String> {
    let lines = generate(&[]).stdout;
    let lines = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let lines = lines.map(|line| String::from_utf8_lossy(line).into_owned());
    lines.filter(|line| !line.contains("clock-tick")).collect()
}

/// A file says the recorded time in the event, a record beside it.
fn without_recorded_time(line: &str) -> String {
    match line.split_once("\"recordedtime\":\"") {
        None => line.to_owned(),
        Some((before, rest)) => match rest.split_once("\",") {
            None => before.to_owned(),
            Some((_, after)) => format!("{before}{after}"),
        },
    }
}

fn by_team(lines: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut teams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (team, line) in lines {
        teams.entry(team).or_default().push(line);
    }
    teams
}

fn key(record: &Record) -> String {
    String::from_utf8(record.key.clone().expect("a key")).expect("a team")
}

fn team(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("\"subject\":\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// Events that the generator left whole, so that team and time can be read from them.
fn is_whole(line: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok() && team(line).is_some()
}

#[test]
fn a_topic_gets_the_events_of_a_file_by_team() {
    let broker = Broker::shared();
    broker.create_topic("one", 5, &[]);
    let report = succeed(&["--brokers", broker.bootstrap(), "--topic", "one"]);
    let records = broker.read_committed("one");
    let expected = lines_of_file();
    assert_eq!(records.len(), expected.len());
    assert_eq!(
        report,
        format!(
            "one: {} events, over 5 partitions by team\n",
            expected.len()
        )
    );
    for record in &records {
        let team = record.key.as_deref().expect("a key");
        assert_eq!(record.partition, i32::from(partition_of(team, 5)));
        assert!(!record.is_append_time && record.headers.is_empty());
    }
    assert!((0..5).all(|partition| records.iter().any(|record| record.partition == partition)));
    // The order of a team's events is that of the file.
    let sent = records
        .iter()
        .map(|record| (key(record), record.value_text()));
    let sent = by_team(sent.filter(|(_, line)| is_whole(line)));
    let whole = expected.iter().filter(|line| is_whole(line));
    let of_file = by_team(whole.map(|line| {
        let team = team(line).expect("a team");
        (team, without_recorded_time(line))
    }));
    assert_eq!(sent, of_file);
    for record in records {
        let event = record.value_text();
        let Ok(event) = serde_json::from_str::<Value>(&event) else {
            continue;
        };
        assert_eq!(event.get("recordedtime"), None);
    }
}

#[test]
fn the_recorded_time_is_that_of_creation() {
    let broker = Broker::shared();
    broker.create_topic("times", 1, &[]);
    succeed(&[
        "--brokers",
        broker.bootstrap(),
        "--topic",
        "times",
        "--late",
        "20",
    ]);
    let records = broker.read_committed("times");
    assert!(records.is_sorted_by_key(|record| record.timestamp));
    let late = records.iter().filter(|record| {
        let event: Value = serde_json::from_str(&record.value_text()).unwrap_or_default();
        let time = event["time"]
            .as_str()
            .and_then(meterfold::billing::time::Instant::parse);
        time.is_some_and(|time| record.timestamp - time.millis() > 3_600_000)
    });
    assert!(late.count() > 300, "recorded later than they happened");
}

#[test]
fn a_configuration_names_brokers_and_both_topics() {
    let broker = Broker::shared();
    let book =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/rates/aps-example.json");
    let mut setup = Setup::new(broker, "configured", 3, &book);
    setup.has_accounts = true;
    setup.create_topics();
    let config = setup.config(0);
    let report = succeed(&["--config", config.to_str().expect("a path")]);
    let api_calls = broker.read_committed(&setup.topic("api-calls"));
    let accounts = broker.read_committed(&setup.topic("accounts"));
    assert_eq!(api_calls.len() + accounts.len(), lines_of_file().len());
    let count = |records: &[Record]| records.len();
    assert_eq!(
        report,
        format!(
            "configured-api-calls: {} events, over 3 partitions by team\n\
             configured-accounts: {} events, over 3 partitions by team\n",
            count(&api_calls),
            count(&accounts)
        )
    );
    for record in &api_calls {
        let event: Value = serde_json::from_str(&record.value_text()).unwrap_or_default();
        let of_usage = ["meterfold.api-call.v1", "meterfold.usage-corrected.v1"];
        // A damaged event is a call whose type may be damaged too.
        let is_usage = event["type"]
            .as_str()
            .is_none_or(|name| of_usage.contains(&name) || name == "meterfold.api-called.v1");
        assert!(is_usage, "{event}");
    }
    assert!(
        accounts
            .iter()
            .all(|record| !record.value_text().contains("api-call"))
    );
}

#[test]
fn a_rate_is_kept() {
    let broker = Broker::shared();
    broker.create_topic("slow", 1, &[]);
    let began = Instant::now();
    succeed(&[
        "--brokers",
        broker.bootstrap(),
        "--topic",
        "slow",
        "--rate",
        "2000",
    ]);
    assert!(
        began.elapsed() > Duration::from_millis(1_200),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_topic_that_cannot_be_written_ends_the_run() {
    let broker = Broker::shared();
    let output = generate(&[
        "--brokers",
        broker.bootstrap(),
        "--topic",
        "missing",
        "--timeout",
        "5",
    ]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("topic missing: is not there; make it"),
        "{}",
        stderr(&output)
    );

    // Times of creation so far from the broker's are refused.
    broker.create_topic("strict", 1, &[("message.timestamp.before.max.ms", "1000")]);
    let output = generate(&[
        "--brokers",
        broker.bootstrap(),
        "--topic",
        "strict",
        "--timeout",
        "10",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let error = stderr(&output);
    assert!(
        error.contains("topic strict") && error.contains("message.timestamp.before.max.ms"),
        "{error}"
    );
    assert!(
        output.stdout.is_empty() && error.trim_end().lines().count() == 1,
        "{error}"
    );
}

#[test]
fn who_may_not_write_is_refused() {
    let user = ("writer".to_owned(), "secret-of-writer".to_owned());
    let settings = [
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("super.users", "User:ANONYMOUS"),
    ];
    let broker = Broker::start_with(&Options {
        users: vec![user.clone()],
        settings: settings
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
        ..Options::default()
    });
    broker.create_topic("closed", 1, &[]);
    let dir = tempfile::tempdir().expect("a directory");
    let run = |password: &str| {
        let path = dir.path().join("password");
        std::fs::write(&path, password).expect("a file");
        let properties = [
            "security.protocol=SASL_SSL".to_owned(),
            "sasl.mechanism=SCRAM-SHA-512".to_owned(),
            "sasl.username=writer".to_owned(),
            format!("ssl.ca.location={}", broker.ca().display()),
            format!("sasl.password.file={}", path.display()),
        ];
        let bootstrap = broker.bootstrap_tls();
        let mut arguments = vec![
            "--brokers",
            &bootstrap,
            "--topic",
            "closed",
            "--timeout",
            "20",
        ];
        for property in &properties {
            arguments.extend(["--kafka-property", property]);
        }
        let output = generate(&arguments);
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(!stderr(&output).contains("secret-of-writer"));
        stderr(&output)
    };
    let error = run("secret-of-writer");
    assert!(
        error.contains("topic closed") && error.contains("right Describe"),
        "{error}"
    );
    let error = run("wrong");
    assert!(error.contains("access is refused"), "{error}");
    assert_eq!(broker.end_offsets("closed"), [0]);
}
