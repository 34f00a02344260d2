//! The idle clock (F75, F78), and that lag does not change a bill.

use std::time::{Duration, Instant as Monotonic};

use meterfold::billing::time::Instant;
use serde_json::{Value, json};

use super::PATIENCE;
use super::recent::{self, event, now, produce};
use super::refold::assert_refold;
use super::support::assert_same_lines;
use super::support::kafka::Broker;
use super::support::processor::{Processor, Setup};

/// `idle_margin_ms` of these tests.
const MARGIN: i64 = 20_000;

/// The time of a team's tokens-depleted event, and when it was appended; None: there is none.
fn depleted(setup: &Setup, team: &str) -> Option<(Instant, i64)> {
    let records = setup.broker.read_committed(&setup.topic("tokens-depleted"));
    let record = records
        .into_iter()
        .find(|it| it.key.as_deref() == Some(team.as_bytes()))?;
    let event: Value = serde_json::from_slice(&record.value?).ok()?;
    let time = event["time"].as_str().and_then(Instant::parse)?;
    Some((time, record.timestamp))
}

/// Tokens expire while nothing happens: wall time alone moves the clock there. A second process that
/// reads the same log after an outage comes to the same events.
#[test]
fn the_idle_clock_expires_tokens_and_lag_changes_nothing() {
    let broker = Broker::shared();
    let live = recent::setup(broker, "live", 2, true);
    live.create_topics();
    let mut processor = Processor::start(&live, 0);
    processor.wait_until_runs(&live);
    let expires = Instant::from_millis(now().millis() + 5_000);
    let teams = ["team-a", "team-b", "team-c"];
    for team in teams {
        let enrolment = json!({"offering": "prepay"});
        let purchase = json!({"tokens": 100, "expires_at": expires.to_string()});
        let call =
            json!({"app_id": "app", "api": "automation", "engine": "autocad", "quantity": 3600});
        let migration = json!({"app_id": "app"});
        let hub = json!({"hub_id": "hub"});
        let events = [
            event("offering-enrolled", "enrolled", team, enrolment),
            event("hub-created", "hub", team, hub),
            event("app-migrated", "migrated", team, migration),
            event("tokens-purchased", "bought", team, purchase),
            event("api-call", "call", team, call),
        ];
        produce(&live, &events);
    }
    processor.wait_until_folded(&live);
    for team in teams {
        assert_eq!(
            depleted(&live, team),
            None,
            "{team} has tokens until {expires}"
        );
    }
    let began = Monotonic::now();
    while teams.iter().any(|team| depleted(&live, team).is_none()) {
        processor.assert_lives("the tokens have expired");
        assert!(
            began.elapsed() < PATIENCE,
            "no expiry:\n{}",
            processor.log()
        );
        std::thread::sleep(Duration::from_millis(500));
    }
    for team in teams {
        let (time, appended) = depleted(&live, team).expect("an event");
        assert_eq!(time, expires, "the instant of the timer, not of the clock");
        let after = appended - expires.millis();
        assert!(
            (MARGIN..MARGIN + 15_000).contains(&after),
            "{after} ms after the expiry"
        );
    }
    // The stream goes on: nothing of it depends on when the clock was moved.
    for team in teams {
        let events = [
            event("tokens-purchased", "again", team, json!({"tokens": 200})),
            event(
                "api-call",
                "later",
                team,
                json!({
                    "app_id": "app", "api": "automation", "engine": "autocad", "quantity": 7200
                }),
            ),
        ];
        produce(&live, &events);
    }
    processor.wait_until_folded(&live);
    processor.stop();
    assert_refold(&live);

    let mut late = recent::setup(broker, "late", 2, true);
    late.inputs_of = Some(live.name.clone());
    late.create_topics();
    let mut processor = Processor::start(&late, 0);
    processor.wait_until_folded(&late);
    processor.stop();
    assert_refold(&late);
    assert_same_lines("after an outage: derived", &live.derived(), &late.derived());
    assert_same_lines(
        "after an outage: accounts",
        &live.accounts(9),
        &late.accounts(9),
    );
}

/// A topic that is switched to its producers' timestamps while it is read: nothing that was recorded
/// so is folded, and no process starts before it is switched back.
#[test]
fn timestamps_of_producers_halt_timestamp_type() {
    let broker = Broker::shared();
    let setup = recent::setup(broker, "timestamps", 1, false);
    setup.create_topics();
    let input = setup.topic("api-calls");
    let call = |id: &str| event("api-call", id, "team-a", json!({"app_id": "app"}));
    let mut processor = Processor::start(&setup, 0);
    produce(&setup, &[call("first")]);
    processor.wait_until_folded(&setup);
    let folded = setup.broker.committed(&setup.name, &input, 0);
    setup
        .broker
        .alter_config(&input, &[("message.timestamp.type", "CreateTime")]);
    produce(&setup, &[call("second")]);
    let log = processor.log.clone();
    processor.wait_until("it halts", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("TIMESTAMP_TYPE") && log.contains(&format!("{input} offset 1 "))
    });
    assert_eq!(setup.broker.committed(&setup.name, &input, 0), folded);
    processor.signal("KILL");
    processor.ended(PATIENCE);
    let mut processor = Processor::start(&setup, 0);
    assert_eq!(
        processor.ended(PATIENCE).code(),
        Some(4),
        "{}",
        processor.log()
    );
    assert!(
        processor.said("wanted is LogAppendTime") > 0,
        "{}",
        processor.log()
    );
}
