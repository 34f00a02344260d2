//! One case compared with what the program did: events, derived events, accounts, and the steps of other commands.
//! Differences are collected, not raised; `scenarios.rs` reports them.

use crate::events::{Log, team_of};
use crate::program::{Outputs, book_of, folded, quote, replay};
use crate::read_table;
use crate::table::{Case, Node, Phrase, Table, instant, shown};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What differs, with where it is stated.
pub struct Fault {
    pub line: usize,
    pub case: String,
    pub what: String,
    pub expected: String,
    pub got: String,
    /// It is a `key=value`, which can be rewritten.
    pub field: bool,
}

/// One case of a table being checked.
pub struct Check<'a> {
    pub table: &'a Table,
    pub case: &'a Case,
    pub log: Log,
    pub faults: Vec<Fault>,
}

impl Check<'_> {
    /// Every instant at which this case looks at something.
    pub fn ends(&self) -> BTreeSet<String> {
        let states = |step: &&Node| {
            step.told.word(0) == "at"
                && (!step.told.fields.is_empty()
                    || step.below.iter().any(|node| node.told.word(0) != "emits"))
        };
        let mut ends: BTreeSet<String> = self
            .case
            .steps
            .iter()
            .filter(states)
            .map(|step| instant(step.told.word(1)))
            .collect();
        if !self.log.entries.is_empty() {
            ends.insert(self.case.until.clone());
        }
        let last = self.log.entries.last().map(|entry| entry.clock.clone());
        assert!(
            ends.iter().chain(&last).all(|end| *end <= self.case.until),
            "{}: case {} goes on after its end, {}",
            self.table.name,
            self.case.id,
            self.case.until
        );
        ends
    }

    /// Looks at a run that ended at `end`; `traced` are the trace lines of this case's events, in their order.
    pub fn run(&mut self, end: &str, traced: &[Value], outputs: &Outputs) {
        if end == self.case.until {
            let teams: BTreeSet<&str> = traced
                .iter()
                .filter_map(|line| line["team"].as_str())
                .collect();
            let own = |event: &&Value| {
                event["subject"]
                    .as_str()
                    .is_some_and(|team| teams.contains(team))
            };
            let mut unclaimed: Vec<&Value> = outputs.derived.iter().filter(own).collect();
            self.events(traced, &mut unclaimed);
            self.timers(&mut unclaimed);
            for event in unclaimed {
                self.fault(
                    self.case.steps[0].line,
                    "derived",
                    "nothing more",
                    event.to_string(),
                );
            }
        }
        self.accounts(end, &outputs.accounts);
    }

    fn fault(
        &mut self,
        line: usize,
        what: &str,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) {
        let case = self.case.id.clone();
        self.faults.push(Fault {
            line,
            case,
            what: what.to_string(),
            expected: expected.into(),
            got: got.into(),
            field: false,
        });
    }

    fn fields(&mut self, line: usize, fields: &[(String, String)], actual: &Value) {
        for (key, expected) in fields {
            let got = shown(actual.get(key));
            if got != *expected {
                self.fault(line, key, expected, got);
                self.faults.last_mut().expect("the fault").field = true;
            }
        }
    }

    fn events(&mut self, traced: &[Value], unclaimed: &mut Vec<&Value>) {
        let accepted = Phrase::parse("accepted");
        for (entry, line) in traced.iter().enumerate() {
            let at = self.log.entries[entry].line;
            let step = self.case.steps.iter().find(|step| step.line == at);
            let expected = step
                .and_then(|step| step.expected.as_ref())
                .unwrap_or(&accepted);
            let outcome: Vec<&str> = ["disposition", "reason", "detail"]
                .iter()
                .filter_map(|key| line[*key].as_str())
                .collect();
            if outcome != expected.words {
                self.fault(
                    at,
                    "disposition",
                    expected.words.join(" "),
                    outcome.join(" "),
                );
            }
            self.fields(at, &expected.fields, line);
            self.emitted(at, line, step.map_or(&[], |step| &step.below), unclaimed);
        }
    }

    /// The derived events that one event caused: those stated, in order.
    fn emitted(&mut self, at: usize, line: &Value, stated: &[Node], unclaimed: &mut Vec<&Value>) {
        let ids: Vec<&str> = line["derived"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let kinds: Vec<&str> = ids.iter().map(|id| kind_of(id)).collect();
        let kinds_stated: Vec<&str> = stated.iter().map(|node| node.told.word(1)).collect();
        if kinds != kinds_stated {
            self.fault(at, "emits", kinds_stated.join(", "), kinds.join(", "));
        }
        let cause = json!({"source": line["source"], "id": line["id"]});
        for (id, node) in ids.iter().zip(stated) {
            let caused = |event: &&Value| event["id"] == **id && event["data"]["cause"] == cause;
            match unclaimed.iter().position(caused) {
                Some(place) => self.derived(node, unclaimed.remove(place)),
                None => self.fault(
                    node.line,
                    "emits",
                    *id,
                    "no such derived event of this cause",
                ),
            }
        }
    }

    fn timers(&mut self, unclaimed: &mut Vec<&Value>) {
        for step in self
            .case
            .steps
            .iter()
            .filter(|step| step.told.word(0) == "at")
        {
            let time = instant(step.told.word(1));
            let team = team_of(&self.case.id, step.told.field("who"));
            for node in step
                .below
                .iter()
                .filter(|node| node.told.word(0) == "emits")
            {
                let of_timer = |event: &&Value| {
                    event["subject"] == *team
                        && event["data"]["cause"].is_null()
                        && instant(event["time"].as_str().unwrap_or("")) == time
                        && event["id"].as_str().map(kind_of) == Some(node.told.word(1))
                };
                match unclaimed.iter().position(of_timer) {
                    Some(place) => self.derived(node, unclaimed.remove(place)),
                    None => self.fault(
                        node.line,
                        "emits",
                        node.told.word(1),
                        "no such event of a timer",
                    ),
                }
            }
        }
    }

    fn derived(&mut self, node: &Node, event: &Value) {
        let mut members = event["data"].clone();
        for key in ["id", "time", "subject"] {
            members[key] = event[key].clone();
        }
        self.fields(node.line, &node.told.fields, &members);
        if node.told.word(1) == "monthly-invoice" {
            self.rows(node, &members, true);
        }
    }

    /// Lines and adjustments of an invoice or a month: all of them, in order.
    fn rows(&mut self, node: &Node, actual: &Value, strict: bool) {
        for (word, list, keys) in [
            ("line", "lines", &["meter"][..]),
            ("adjustment", "adjustments", &["usage_month", "meter"][..]),
        ] {
            let stated: Vec<&Node> = node
                .below
                .iter()
                .filter(|row| row.told.word(0) == word)
                .collect();
            if stated.is_empty() && !strict {
                continue;
            }
            let named: Vec<String> = stated
                .iter()
                .map(|row| row.told.words[1..].join(" "))
                .collect();
            let rows = actual[list].as_array().cloned().unwrap_or_default();
            let got: Vec<String> = rows
                .iter()
                .map(|row| {
                    keys.iter()
                        .map(|key| shown(row.get(key)))
                        .collect::<Vec<_>>()
                        .join(" ")
                })
                .collect();
            if named != got {
                self.fault(node.line, list, named.join(", "), got.join(", "));
            }
            for (row, actual) in stated.iter().zip(&rows) {
                self.fields(row.line, &row.told.fields, actual);
            }
        }
    }

    fn accounts(&mut self, end: &str, accounts: &[Value]) {
        for step in self
            .case
            .steps
            .iter()
            .filter(|step| step.told.word(0) == "at" && instant(step.told.word(1)) == end)
        {
            let mut stated = step.told.clone();
            let team = team_of(&self.case.id, stated.take("who").as_deref());
            let unheard = json!({});
            let account = accounts
                .iter()
                .find(|account| account["team"] == *team)
                .unwrap_or(&unheard);
            self.fields(step.line, &stated.fields, account);
            self.lots(step, account);
            for node in step
                .below
                .iter()
                .filter(|node| node.told.word(0) == "month")
            {
                let mut months = account["months"].as_array().into_iter().flatten();
                match months.find(|month| month["month"] == *node.told.word(1)) {
                    Some(month) => {
                        self.fields(node.line, &node.told.fields, month);
                        self.rows(node, month, false);
                    }
                    None => self.fault(node.line, "month", node.told.word(1), "no such month"),
                }
            }
        }
    }

    /// All lots that an account shows, in order, when any is stated.
    fn lots(&mut self, step: &Node, account: &Value) {
        let stated: Vec<&Node> = step
            .below
            .iter()
            .filter(|node| node.told.word(0) == "lot")
            .collect();
        if stated.is_empty() {
            return;
        }
        let named: Vec<&str> = stated.iter().map(|node| node.told.word(1)).collect();
        let held = account["lots"].as_array().cloned().unwrap_or_default();
        let ids: Vec<String> = held.iter().map(|lot| shown(lot.get("id"))).collect();
        if named != ids {
            self.fault(step.line, "lots", named.join(", "), ids.join(", "));
        }
        for (node, lot) in stated.iter().zip(&held) {
            self.fields(node.line, &node.told.fields, lot);
        }
    }

    /// The steps that are not about this case's own log.
    pub fn other_steps(&mut self) {
        for step in &self.case.steps {
            match step.told.word(0) {
                "quote" => self.quote(step),
                "refuses" => {
                    let code = replay(&book_of(self.table, step.told.word(1)), "", None, None).code;
                    if code != 4 {
                        self.fault(
                            step.line,
                            step.told.word(1),
                            "exit 4",
                            format!("exit {code}"),
                        );
                    }
                }
                "refold" => self.refold(step),
                "at" | "team" => {}
                word if word.starts_with(|c: char| c.is_ascii_digit()) => {}
                word => panic!("{}:{}: `{word}` is no step", self.table.name, step.line),
            }
        }
    }

    fn quote(&mut self, step: &Node) {
        let expected = step.expected.clone().unwrap_or_default();
        let quoted = quote(&book_of(self.table, &self.case.book), &step.told.fields);
        match quoted {
            Some(quoted) if expected.words.is_empty() => {
                self.fields(step.line, &expected.fields, &quoted)
            }
            None if expected.word(0) == "none" => {}
            other => self.fault(
                step.line,
                "quote",
                expected.words.join(" "),
                format!("{other:?}"),
            ),
        }
    }

    /// Stops after each event, then gives the whole log again to the state that was kept: what both runs emit must be
    /// what one run emits, and the account the same but for the duplicates it has counted.
    fn refold(&mut self, step: &Node) {
        let other = read_table(step.told.word(1));
        let case = other
            .cases
            .iter()
            .find(|case| case.id == step.told.word(2))
            .expect("the case to refold");
        let log = Log::of(&case.id, &case.steps);
        let book = book_of(&other, &case.book);
        let lines: Vec<String> = log
            .entries
            .iter()
            .map(|entry| format!("{}\n", entry.json))
            .collect();
        let uncounted = |mut accounts: Vec<Value>| {
            accounts
                .iter_mut()
                .for_each(|account| account["dispositions"] = Value::Null);
            accounts
        };
        let once = folded(&book, &lines.concat(), Some(&case.until), None);
        let again = folded(&book, &lines.concat(), Some(&case.until), None);
        let ids = |derived: &[Value]| {
            shown(Some(
                &derived.iter().map(|event| event["id"].clone()).collect(),
            ))
        };
        if once.derived.is_empty() || again.derived != once.derived {
            self.fault(
                step.line,
                "folded twice",
                ids(&once.derived),
                ids(&again.derived),
            );
        }
        let accounts = uncounted(once.accounts);
        for stop in 1..=lines.len() {
            let dir = tempfile::tempdir().expect("a directory");
            let state = dir.path().join("state");
            let before = folded(&book, &lines[..stop].concat(), None, Some(&state));
            let after = folded(&book, &lines.concat(), Some(&case.until), Some(&state));
            let derived = [before.derived, after.derived].concat();
            if derived != once.derived {
                self.fault(
                    step.line,
                    &format!("stopped after event {stop}"),
                    ids(&once.derived),
                    ids(&derived),
                );
            }
            if uncounted(after.accounts) != accounts {
                self.fault(
                    step.line,
                    &format!("stopped after event {stop}"),
                    "the same accounts",
                    "others",
                );
            }
        }
    }
}

/// `cap-reached` of `cap-reached/team/2026-01/automation`.
fn kind_of(id: &str) -> &str {
    id.split('/').next().unwrap_or("")
}
