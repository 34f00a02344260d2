//! Events of the last weeks, for topics whose records get the broker's time.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use meterfold::billing::time::{Instant, Month};
use serde_json::{Value, json};

use super::support::kafka::Broker;
use super::support::processor::{Feed, FeedRecord, Setup};
use super::support::workload::example_rates;

/// In append-time mode.
pub fn setup<'b>(broker: &'b Broker, name: &str, partitions: u16, has_accounts: bool) -> Setup<'b> {
    let mut setup = Setup::new(broker, name, partitions, &example_rates());
    setup.is_record_time = false;
    setup.has_accounts = has_accounts;
    setup.extra.push(("", "idle_margin_ms = 20000".into()));
    setup
}

pub fn now() -> Instant {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    Instant::from_millis(now.as_millis() as i64)
}

/// Generated events of last month and this one, those that have happened already.
pub fn events(setup: &Setup, count: usize, seed: u64) -> Vec<Value> {
    let now = now();
    let month = |month: Month| month.start().to_string()[..7].to_owned();
    let months = format!("{}..{}", month(now.month().previous()), month(now.month()));
    let output = Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args([
            "generate",
            "--teams",
            "60",
            "--months",
            &months,
            "--duplicates",
            "5",
        ])
        .args(["--events", &count.to_string(), "--seed", &seed.to_string()])
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let events = lines.map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
    let happened = |event: &Value| {
        let time = event["time"]
            .as_str()
            .and_then(Instant::parse)
            .expect("an instant");
        time <= now
    };
    let events: Vec<Value> = events.filter(happened).collect();
    assert!(
        events.len() > count / 4,
        "{} of {count} events, in {}",
        events.len(),
        setup.name
    );
    events
}

/// An event that happens now.
pub fn event(kind: &str, id: &str, team: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "/test",
        "type": format!("meterfold.{kind}.v1"),
        "subject": team,
        "time": now().to_string(),
        "data": data,
    })
}

/// Produces each event to the topic that it belongs to, in this order: one is there before the next
/// is sent.
pub fn produce(setup: &Setup, events: &[Value]) {
    let mut rest = events;
    while let Some(first) = rest.first() {
        let topic = topic_of(setup, first);
        let count = rest
            .iter()
            .take_while(|event| topic_of(setup, event) == topic)
            .count();
        let (run, later) = rest.split_at(count);
        let records = run.iter().map(|event| FeedRecord {
            key: event["subject"].as_str().map(str::to_owned),
            value: serde_json::to_vec(event).expect("JSON"),
            timestamp: 0,
            is_tick: false,
        });
        let feed = Feed {
            records: records.collect(),
        };
        feed.produce_to(setup, topic);
        rest = later;
    }
}

fn topic_of(setup: &Setup, event: &Value) -> &'static str {
    let kind = event["type"].as_str().expect("a type");
    let is_usage = matches!(
        kind,
        "meterfold.api-call.v1" | "meterfold.usage-corrected.v1"
    );
    if is_usage || !setup.has_accounts {
        "api-calls"
    } else {
        "accounts"
    }
}
