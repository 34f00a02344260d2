//! Load that falls on one team (F53).

use std::fmt::Write;
use std::fs;

use super::support::kafka::Broker;
use super::support::processor::{Feed, Processor, Setup};
use super::support::workload::{assert_result, example_rates, file_run};

const TEAMS: usize = 400;
const CALLS: usize = 40_000;
/// Months of the cold teams are closed too.
const CLOSED: &str = "2026-03-05T00:00:00Z";

/// 99 of 100 calls are of one team: everything comes out as in a file run, the months of the other
/// teams are closed, and the process takes no more memory than for the same calls of all teams alike.
#[test]
fn a_hot_team_takes_its_turn() {
    let even = fold("even load", |call| call % TEAMS);
    let hot = fold("hot load", |call| match call % 100 {
        0 => 1 + call / 100 % (TEAMS - 1),
        _ => 0,
    });
    assert!(
        hot < even * 3 / 2,
        "{hot} kB for a hot team, {even} kB evenly"
    );
}

/// Folds calls of which each is of the team that `team_of` says; the peak of the process in kB.
fn fold(name: &str, team_of: impl Fn(usize) -> usize) -> u64 {
    let setup = Setup::new(Broker::shared(), name, 1, &example_rates());
    setup.create_topics();
    let mut lines = String::new();
    for team in 0..TEAMS {
        writeln!(
            lines,
            "{{\"specversion\":\"1.0\",\"id\":\"e-{team}\",\"source\":\"/hub\",\
             \"type\":\"meterfold.offering-enrolled.v1\",\"subject\":\"team-{team}\",\
             \"time\":\"2026-01-20T00:00:00Z\",\"data\":{{\"offering\":\"postpay\",\"country\":\"US\",\
             \"payment_method\":\"credit_card\",\"good_standing\":true}}}}"
        )
        .expect("text");
    }
    for call in 0..CALLS {
        let minute = call * 28 * 24 * 60 / CALLS;
        writeln!(
            lines,
            "{{\"specversion\":\"1.0\",\"id\":\"c-{call}\",\"source\":\"/gateway\",\
             \"type\":\"meterfold.api-call.v1\",\"subject\":\"team-{}\",\
             \"time\":\"2026-02-{:02}T{:02}:{:02}:00Z\",\"data\":{{\"app_id\":\"app\",\
             \"api\":\"automation\",\"method\":\"POST\",\"path\":\"/da/us-east/v3/workitems\",\
             \"engine\":\"autocad\",\"quantity\":{},\"status\":\"success\"}}}}",
            team_of(call),
            1 + minute / (24 * 60),
            minute / 60 % 24,
            minute % 60,
            60 + call % 600,
        )
        .expect("text");
    }
    let input = setup.dir().join("input.ndjson");
    fs::write(&input, lines).expect("a file");
    let expected = file_run(&setup, input.clone(), CLOSED);
    let text = String::from_utf8_lossy(&expected.derived);
    let invoices = text.matches("meterfold.monthly-invoice.v1").count();
    assert!(invoices >= TEAMS, "{name}: {invoices} invoices");
    Feed::of_trace(&[input], &expected.trace, Some(CLOSED)).produce(&setup);
    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_folded(&setup);
    let status = fs::read_to_string(format!("/proc/{}/status", processor.child.id()));
    let status = status.expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|line| line.split_whitespace().next()?.parse().ok());
    processor.stop();
    assert_result(&setup, name, &expected);
    peak.expect("a number of kB")
}
