//! The invariants of `fold.md` 10 as sums over what a run wrote, one function each. They read the
//! library's outputs and state, not the model's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use meterfold::ports::Cells;
use meterfold::wire::{cells, keys};
use serde_json::Value;

use super::library::Folded;
use super::world::World;
use crate::support::program::Outputs;

/// The outputs of a run, read.
pub struct Read {
    pub trace: Vec<Value>,
    pub derived: Vec<Value>,
    pub accounts: Vec<Value>,
}

impl Read {
    pub fn of(outputs: &Outputs) -> Read {
        let read = |lines: &[u8]| {
            let lines = lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty());
            lines
                .map(|line| serde_json::from_slice(line).expect("JSON"))
                .collect()
        };
        Read {
            trace: read(&outputs.trace),
            derived: read(&outputs.derived),
            accounts: read(&outputs.accounts),
        }
    }

    /// Every row of lines and adjustments: of months, and of invoices.
    fn rows(&self) -> impl Iterator<Item = &Value> {
        let months = self
            .accounts
            .iter()
            .flat_map(|account| list(&account["months"]));
        let invoices = self.derived.iter().map(|event| &event["data"]);
        months.chain(invoices).flat_map(|holder| {
            list(&holder["lines"])
                .iter()
                .chain(list(&holder["adjustments"]))
        })
    }
}

/// 10.1, by event and by line: what is charged is paid by someone; nothing is negative that may not
/// be.
pub fn charges_are_split(world: &World, read: &Read) {
    for line in read.trace.iter().filter(|line| !line["charge"].is_null()) {
        assert_eq!(micros(&line["charge"]), parts(line), "10.1: {line}");
    }
    for row in read.rows() {
        assert_eq!(micros(&row["tokens"]), parts(row), "10.1: {row}");
    }
    let funds = read
        .trace
        .iter()
        .chain(&read.accounts)
        .filter(|line| !line["debt"].is_null());
    for line in funds {
        assert!(
            micros(&line["debt"]) >= 0 && micros(&line["balance"]) >= 0,
            "10.1: {line}"
        );
    }
    // The same id from elsewhere may be a purchase: then nothing is known of the lot.
    let mut askers: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
    for (line, told) in world.lines.iter().zip(&read.trace) {
        if let Some(id) = told["id"].as_str() {
            askers.entry(id).or_default().push(line.trial.is_some());
        }
    }
    for account in &read.accounts {
        let mut of_trials = 0;
        for lot in list(&account["lots"]) {
            let (remaining, size) = (micros(&lot["remaining"]), micros(&lot["size"]));
            assert!(0 <= remaining && remaining <= size, "10.1: {account}");
            let asked = &askers[lot["id"].as_str().expect("an id")];
            if lot["purpose"] == "api" && asked.contains(&true) {
                of_trials += remaining;
            }
        }
        if micros(&account["debt"]) > 0 {
            assert!(micros(&account["balance"]) <= of_trials, "10.1: {account}");
        }
    }
}

/// 10.2: the balance is what the drawable lots hold.
pub fn lots_are_the_balance(read: &Read) {
    for account in &read.accounts {
        let lots = list(&account["lots"])
            .iter()
            .filter(|lot| lot["purpose"] == "api");
        let held: i128 = lots.map(|lot| micros(&lot["remaining"])).sum();
        assert_eq!(micros(&account["balance"]), held, "10.2: {account}");
    }
}

/// 10.3, over all eras: the charges of a meter under a card are what its cumulatives came to.
pub fn charges_follow_the_cumulatives(world: &World, read: &Read, folded: &Folded) {
    let book = &world.book.rates;
    let mut charged: BTreeMap<(String, String, String), i128> = BTreeMap::new();
    for line in read.trace.iter().filter(|line| !line["charge"].is_null()) {
        let text = |member: &str| line[member].as_str().expect("text").to_string();
        let key = (text("team"), text("meter"), text("rate_card"));
        *charged.entry(key).or_default() += micros(&line["charge"]);
    }
    let mut came_to = BTreeMap::new();
    for store in &folded.stores {
        let mut visit = |key: &[u8], value: &[u8]| {
            let (team, _) = keys::parse_team_key(key).expect("a team");
            let (parts, whole) = cells::first_part(value).expect("a part");
            assert_eq!(parts, 1, "small teams have one part");
            let cell = cells::decode_team(whole, |_| {}).expect("a team");
            for entry in cell.account.cumulatives.as_slice() {
                let card = book.card(entry.key.card);
                let meter = card.meter(entry.key.meter).expect("a meter");
                let at = |usage| card.charged(meter, usage).expect("tokens").micros();
                let key = (
                    team.clone(),
                    book.meter_id(entry.key.meter).to_string(),
                    card.id.to_string(),
                );
                *came_to.entry(key).or_default() += at(entry.cum) - at(entry.base);
            }
            ControlFlow::Continue(())
        };
        store
            .scan(&[keys::TEAM], &[keys::TEAM + 1], &mut visit)
            .expect("cells");
    }
    charged.retain(|_, micros| *micros != 0);
    came_to.retain(|_, micros: &mut i128| *micros != 0);
    assert_eq!(charged, came_to, "10.3");
}

/// 10.4: what is not rated costs nothing.
pub fn unrated_usage_costs_nothing(read: &Read) {
    for line in &read.trace {
        let is_rated = matches!(line["disposition"].as_str(), Some("charged" | "corrected"));
        for member in ["charge", "prepaid", "postpaid", "uncharged", "booked_to"] {
            assert!(is_rated || line[member].is_null(), "10.4: {line}");
        }
    }
    // And months hold nothing but what was charged.
    let mut booked: BTreeMap<&str, i128> = BTreeMap::new();
    for line in read.trace.iter().filter(|line| !line["charge"].is_null()) {
        *booked
            .entry(line["team"].as_str().expect("a team"))
            .or_default() += micros(&line["charge"]);
    }
    for account in &read.accounts {
        let rows = list(&account["months"]).iter().flat_map(|month| {
            list(&month["lines"])
                .iter()
                .chain(list(&month["adjustments"]))
        });
        let held: i128 = rows.map(|row| micros(&row["tokens"])).sum();
        let team = account["team"].as_str().expect("a team");
        assert_eq!(
            booked.get(team).copied().unwrap_or(0),
            held,
            "10.4: {account}"
        );
    }
}

/// 10.5: an id names what a derived event may happen once for.
pub fn derived_events_happen_once(read: &Read) {
    let mut ids = BTreeSet::new();
    for event in &read.derived {
        let id = event["id"].as_str().expect("an id");
        assert!(ids.insert(id), "10.5: {id} is there twice");
        let (team, data) = (event["subject"].as_str().expect("a team"), &event["data"]);
        let text = |member: &str| data[member].as_str().expect("text").to_string();
        let scoped =
            |member: &str| format!("cap-reached/{team}/{}/{}", text("month"), text(member));
        let of_episode = |kind: &str| format!("{kind}/{team}/{}", data["episode"]);
        match event["type"].as_str().expect("a type") {
            "meterfold.cap-reached.v1" => {
                assert!(
                    [scoped("api"), scoped("meter")].contains(&id.to_string()),
                    "10.5: {event}"
                );
            }
            "meterfold.monthly-invoice.v1" => {
                assert_eq!(
                    id,
                    format!("monthly-invoice/{team}/{}", text("month")),
                    "10.5"
                );
            }
            "meterfold.tokens-depleted.v1" => assert_eq!(id, of_episode("tokens-depleted"), "10.5"),
            "meterfold.switched-to-postpay.v1" => {
                assert_eq!(id, of_episode("switched-to-postpay"), "10.5");
                let depletion = of_episode("tokens-depleted");
                assert!(
                    ids.contains(depletion.as_str()),
                    "10.5: {id} without {depletion}"
                );
            }
            other => panic!("10.5: {other}"),
        }
    }
}

/// 10.6: every line has one disposition, and the counts say so.
pub fn every_event_has_one_disposition(world: &World, read: &Read, folded: &Folded) {
    let lines: Vec<u64> = read
        .trace
        .iter()
        .filter_map(|line| line["line"].as_u64())
        .collect();
    let all: Vec<u64> = (1..=world.lines.len() as u64).collect();
    assert_eq!(lines, all, "10.6: each line once, in the order of folding");
    let mut dispositions: BTreeMap<&str, u64> = BTreeMap::new();
    for line in &read.trace {
        *dispositions
            .entry(line["disposition"].as_str().expect("a disposition"))
            .or_default() += 1;
    }
    let counts = &folded.counts;
    assert!(
        counts.is_conserved() && counts.events == all.len() as u64,
        "10.6: {counts:?}"
    );
    let dead: u64 = counts.dead_letters.values().sum();
    let counted = counts
        .by_disposition
        .iter()
        .map(|(kind, count)| (kind.name(), *count));
    let counted: BTreeMap<&str, u64> = counted
        .chain((dead > 0).then_some(("dead_letter", dead)))
        .collect();
    assert_eq!(counted, dispositions, "10.6");
    // A team counts its own, dead letters aside.
    for account in &read.accounts {
        let of_team = read
            .trace
            .iter()
            .filter(|line| line["team"] == account["team"]);
        let counted = list_of_counts(&account["dispositions"])
            .values()
            .sum::<u64>();
        let told = of_team
            .filter(|line| line["disposition"] != "dead_letter")
            .count();
        assert_eq!(counted, told as u64, "10.6: {account}");
    }
}

/// The derived events and the account of one team.
pub fn of_team(outputs: &Outputs, team: &str) -> Vec<String> {
    let of_team = |lines: &[u8], member: &str| -> Vec<String> {
        let text = std::str::from_utf8(lines).expect("text");
        let lines = text.lines().filter(|line| {
            let read: Value = serde_json::from_str(line).expect("JSON");
            read[member] == team
        });
        lines.map(str::to_string).collect()
    };
    let mut lines = of_team(&outputs.derived, "subject");
    lines.extend(of_team(&outputs.accounts, "team"));
    lines.extend(of_team(&outputs.trace, "team"));
    lines
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn list_of_counts(value: &Value) -> BTreeMap<&str, u64> {
    let members = value.as_object().expect("counts").iter();
    members
        .map(|(name, count)| (name.as_str(), count.as_u64().expect("a number")))
        .collect()
}

fn parts(row: &Value) -> i128 {
    ["prepaid", "postpaid", "uncharged"]
        .iter()
        .map(|part| micros(&row[*part]))
        .sum()
}

/// Of a printed decimal, which may be larger than one that is read.
fn micros(value: &Value) -> i128 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value}"));
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let micros: i128 = format!("{whole}{fraction:0<6}").parse().expect("a decimal");
    sign * micros
}
