//! Explanations of a world against what its fold wrote: every month of every team, from the log
//! alone, through the library.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meterfold::billing::time::{Instant, Month};
use meterfold::cli::explain::explanation::Inputs;
use meterfold::cli::explain::{Question, explain, json};
use meterfold::files::memory::MemoryLog;
use serde_json::Value;

use super::checks::Read;
use super::library::StopAfter;
use super::world::World;

/// What lines of months, invoices and explanations have in common.
const BOOKED: [&str; 7] = [
    "meter",
    "rate_card",
    "usage",
    "tokens",
    "prepaid",
    "postpaid",
    "uncharged",
];

/// Dispositions that an explanation counts by the month of the usage.
const COUNTED: [&str; 7] = [
    "zero",
    "grace",
    "denied",
    "unrated",
    "unbillable",
    "late_free",
    "over_cap",
];

/// The sums of every explanation are the lines of its month and of its invoice.
pub fn explanations_add_up(world: &World, read: &Read) {
    let log = MemoryLog::new(&world.log(), 1, None);
    for account in &read.accounts {
        let team = account["team"].as_str().expect("a team");
        for month in months(read, account, team) {
            let place = format!("{team} {month}");
            let told = explanation(world, &log, team, &month);
            let entry = list(&account["months"])
                .iter()
                .find(|entry| entry["month"] == month.as_str());
            for (kind, is_adjustment) in [("lines", false), ("adjustments", true)] {
                let expected = entry.map_or(&[][..], |entry| list(&entry[kind]));
                let told = list(&told["lines"]).iter();
                let told =
                    told.filter(|line| line["adjustment"] == is_adjustment && !is_zero(line));
                let told: Vec<_> = told.map(booked).collect();
                let expected: Vec<_> = expected.iter().map(booked).collect();
                assert_eq!(told, expected, "{place}: {kind}");
            }
            let id = format!("monthly-invoice/{team}/{month}");
            let invoice = read.derived.iter().find(|event| event["id"] == id.as_str());
            let is_invoiced = told["closed"] == true && told["invoiced"] == true;
            assert_eq!(is_invoiced, invoice.is_some(), "{place}");
            if let Some(invoice) = invoice {
                let mut data = invoice["data"].clone();
                data.as_object_mut().expect("data").shift_remove("cause");
                assert_eq!(told["invoice"].to_string(), data.to_string(), "{place}");
            }
            assert_eq!(counts_told(&told), counts(read, team, &month), "{place}");
        }
    }
}

fn explanation(world: &World, log: &MemoryLog, team: &str, month: &str) -> Value {
    let question = Question {
        team: team.into(),
        month: Month::parse(month).expect("a month"),
        meter: None,
        until: world.until.map(Instant::from_millis),
    };
    let mut to_the_end = StopAfter {
        batches: usize::MAX,
    };
    let explanation = explain(
        log.source(0..log.records(), &[]),
        Arc::clone(&world.book.rates),
        &question,
        &mut to_the_end,
    )
    .unwrap_or_else(|error| panic!("{team} {month}: {error}"));
    let inputs = Inputs {
        names: vec!["log".into()],
        separator: ':',
    };
    serde_json::from_str(&json::write(&explanation, &inputs)).expect("JSON")
}

/// Months that the fold says something of.
fn months(read: &Read, account: &Value, team: &str) -> BTreeSet<String> {
    let shown = list(&account["months"]).iter().map(|entry| &entry["month"]);
    let invoiced = read.derived.iter().filter(|event| event["subject"] == team);
    let traced = read.trace.iter().filter(|line| line["team"] == team);
    let told = invoiced.map(|event| &event["data"]["month"]);
    let all = shown.chain(told).chain(traced.map(|line| &line["month"]));
    all.filter_map(|month| month.as_str().map(str::to_owned))
        .collect()
}

fn counts(read: &Read, team: &str, month: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let own = read.trace.iter();
    for line in own.filter(|line| line["team"] == team && line["month"] == month) {
        let disposition = line["disposition"].as_str().expect("a disposition");
        if COUNTED.contains(&disposition) {
            *counts.entry(disposition.to_owned()).or_default() += 1;
        }
    }
    counts
}

fn counts_told(told: &Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for tally in list(&told["not_charged"]) {
        let disposition = tally["disposition"].as_str().expect("a disposition");
        if COUNTED.contains(&disposition) {
            *counts.entry(disposition.to_owned()).or_default() +=
                tally["events"].as_u64().expect("a count");
        }
    }
    counts
}

fn booked(row: &Value) -> Vec<String> {
    BOOKED.iter().map(|name| row[*name].to_string()).collect()
}

fn is_zero(row: &Value) -> bool {
    let tokens = ["tokens", "prepaid", "postpaid", "uncharged"];
    row["usage"] == 0 && tokens.iter().all(|name| row[*name] == "0")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}
