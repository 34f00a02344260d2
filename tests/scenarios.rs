//! The worked cases: every table of `scenarios/` is folded by `meterfold replay` and each stated outcome is compared.
//!
//! A table is a list of cases. A case is one team's story; a line is an event, what it must do stands beside it:
//!
//! ```text
//! until 02-04                                     # runs of this file end here; a case may say its own
//! variant proportional                            # the example book, changed
//!   launch/charge_mode "proportional"             #   path and new value; arrays are entered by `id` or index
//!   card march like launch from 2026-03-01        #   a copy of a card, put last
//! case 21 "Debt is paid by the next purchase" B18 Q10
//!   book proportional                             # only if not the example book
//!   team prepay 100                               # set-up: offerings, hub and app, one lot of tokens
//!   01-10T10:00 automation.autocad 75600 -> charged charge=105 prepaid=100 uncharged=5
//!     emits tokens-depleted reason=consumed uncharged_tokens=5
//!   01-11T10:00 buy 100                  -> accepted balance=95 debt=0
//!   at 02-04 funding=prepaid                      # the account as it stands at that instant
//!     lot line-9 size=100 remaining=95
//! ```
//!
//! *Time* is `01-10T10:00` (2026) or `2018-01-05T09:00:00.5`, UTC, short forms filled with zeros; `@TIME` after it is
//! the recorded time. *Event*: the verbs of `scenarios/events.rs`; `key=value` replaces a member of its data, `key=-`
//! takes it out. Besides these `id=`, `source=` and `type=` are the envelope's, and `who=x` makes it another team of the
//! case. Without `id=` an event is `line-N`, N its line in the table; set-up events are called by their word (`free`,
//! `prepay`, `postpay`, `hub`, `app-1`, `tokens`). `team` takes `on=TIME` (else 5 January 2026), `apps=x,y`, `who=x` and
//! the terms of a postpay enrolment. The app of a call is `app-1`, its quantity the number after the meter.
//!
//! *Beside an event*, after `->`: the disposition, after `refused` its reason, after `dead_letter` its reason and
//! detail, then members of its trace line. No arrow means `accepted`. Values are compared as text, without quotes and
//! spaces: `{automation.autocad:80}`, `[a,b]`. Below it `emits TYPE key=value…`: the derived events that it caused, all
//! of them, in order, each with this event as its cause; none stated means none. Below an invoice `line METER …` and
//! `adjustment MONTH METER …` are all that it has, in order.
//!
//! *`at TIME key=value…`* checks the account line of a run that ends there, `lot ID …` all its lots in order, `month M …`
//! one of its months (if `line` or `adjustment` is stated, all of them). `emits` below it are events of timers due at
//! that instant. A derived event of the case's teams that no `emits` claims is a failure: silence is always checked.
//!
//! *Other steps*: `quote key=value… -> key=value…` asks `rates quote` (`-> none`: it has none); `refuses VARIANT` means
//! that a book is invalid; `refold TABLE CASE` folds that case's log again after a stop between any two of its events.
//!
//! Teams are independent, so the cases of a file that end together share one run, merged by recorded time.
//! `UPDATE_SCENARIOS=1 cargo test --test scenarios` rewrites the `key=value` expectations that differ; read the diff.

#[path = "scenarios/check.rs"]
mod check;
#[path = "scenarios/events.rs"]
mod events;
#[path = "scenarios/program.rs"]
mod program;
#[path = "scenarios/table.rs"]
mod table;

use check::{Check, Fault};
use events::Log;
use program::{book_of, folded};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use table::Table;

macro_rules! tables {
    ($($name:ident)*) => {
        const TABLES: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { check_table(stringify!($name)); })*
    };
}

tables! {
    free_tier prepay postpay migration legacy system
    channels lots corrections standing_and_downgrade late_and_adjustments book_variants quotes gaps
}

#[test]
fn every_table_is_run() {
    let mut found: Vec<String> = fs::read_dir(tests_dir().join("scenarios"))
        .expect("the tables")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "scn"))
        .map(|path| {
            path.file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    found.sort();
    let mut run: Vec<&str> = TABLES.to_vec();
    run.sort();
    assert_eq!(found, run);
}

/// `rules.md` has each rule once, and each case that it names exists and names the rule on its own line.
#[test]
fn every_rule_is_shown() {
    let text = fs::read_to_string(tests_dir().join("rules.md")).expect("tests/rules.md");
    let mut cases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in TABLES {
        for case in read_table(name).cases {
            let other = cases.insert(case.id.clone(), case.rules);
            assert!(other.is_none(), "two tables have a case {}", case.id);
        }
    }
    let mut faults = Vec::new();
    let mut rules = Vec::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| ")) {
        let columns: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let [rule, _, shown_by] = columns[..] else {
            continue;
        };
        if !rule.ends_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        rules.push(rule.to_string());
        if shown_by.starts_with("context: ") {
            continue;
        }
        let named = shown_by
            .strip_prefix("cases ")
            .or(shown_by.strip_prefix("case "));
        for id in named
            .unwrap_or(shown_by)
            .split(';')
            .next()
            .unwrap_or("")
            .split(", ")
        {
            match cases.get(id) {
                None => faults.push(format!("{rule}: there is no case `{id}`")),
                Some(shows) if shows.iter().all(|other| other != rule) => {
                    faults.push(format!("{rule}: case {id} does not name it"));
                }
                Some(_) => {}
            }
        }
    }
    let wanted: Vec<String> = (1..=23)
        .map(|n| format!("A{n}"))
        .chain((1..=55).map(|n| format!("B{n}")))
        .collect();
    assert_eq!(
        rules, wanted,
        "rules.md lists A1–A23 and B1–B55, once each and in order"
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Runs that end at the same instant under the same book: its cases, by index.
type Runs = BTreeMap<(String, String), BTreeSet<usize>>;

fn check_table(name: &str) {
    let table = read_table(name);
    let mut checks: Vec<Check> = table
        .cases
        .iter()
        .map(|case| Check {
            table: &table,
            case,
            log: Log::of(&case.id, &case.steps),
            faults: Vec::new(),
        })
        .collect();
    let mut runs = Runs::new();
    for (index, check) in checks.iter().enumerate() {
        for end in check.ends() {
            runs.entry((check.case.book.clone(), end))
                .or_default()
                .insert(index);
        }
    }
    for ((book, end), members) in &runs {
        check_run(&mut checks, members, &book_of(&table, book), end);
    }
    for check in &mut checks {
        check.other_steps();
    }
    let faults: Vec<Fault> = checks.into_iter().flat_map(|check| check.faults).collect();
    if std::env::var_os("UPDATE_SCENARIOS").is_some() {
        rewrite(name, &faults);
    }
    let report: Vec<String> = faults
        .iter()
        .map(|fault| {
            let Fault {
                line,
                case,
                what,
                expected,
                got,
                ..
            } = fault;
            format!("{name}.scn:{line}: case {case}: {what}: expected {expected}, got {got}")
        })
        .collect();
    assert!(
        report.is_empty(),
        "{} expectations differ\n{}",
        report.len(),
        report.join("\n")
    );
}

/// Folds the merged logs up to `end` and lets each case look at its own part of the outputs.
fn check_run(checks: &mut [Check], members: &BTreeSet<usize>, book: &str, end: &str) {
    let mut entries: Vec<(&str, usize, usize)> = Vec::new();
    for &index in members {
        let log = &checks[index].log;
        entries.extend(
            log.entries
                .iter()
                .enumerate()
                .filter(|(_, e)| e.clock.as_str() <= end)
                .map(|(n, e)| (e.clock.as_str(), index, n)),
        );
    }
    entries.sort();
    let input: String = entries
        .iter()
        .map(|&(_, index, n)| format!("{}\n", checks[index].log.entries[n].json))
        .collect();
    let outputs = folded(book, &input, Some(end), None);
    assert_eq!(
        outputs.trace.len(),
        entries.len(),
        "one trace line an event"
    );
    let mut traced: BTreeMap<usize, Vec<Value>> = BTreeMap::new();
    // Within a case the entries, and so its trace lines, are in the order of its log.
    for line in outputs.trace.iter() {
        let place = line["line"].as_u64().expect("a line number") as usize;
        let mut line = line.clone();
        if let Some(dead) = outputs
            .dead_letters
            .iter()
            .find(|dead| dead["line"] == line["line"])
        {
            line["detail"] = dead["detail"].clone();
        }
        traced.entry(entries[place - 1].1).or_default().push(line);
    }
    for &index in members {
        checks[index].run(end, traced.get(&index).map_or(&[], Vec::as_slice), &outputs);
    }
}

fn read_table(name: &str) -> Table {
    Table::read(&tests_dir().join("scenarios").join(format!("{name}.scn")))
}

fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Puts what was got in place of what was expected, for the faults that are a `key=value`.
fn rewrite(name: &str, faults: &[Fault]) {
    let path = tests_dir().join("scenarios").join(format!("{name}.scn"));
    let text = fs::read_to_string(&path).expect("the table");
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    for fault in faults.iter().filter(|fault| fault.field && fault.line > 0) {
        let Fault {
            line,
            what,
            expected,
            got,
            ..
        } = fault;
        let words: Vec<String> = lines[line - 1]
            .split(' ')
            .map(|word| {
                if word == format!("{what}={expected}") {
                    format!("{what}={got}")
                } else {
                    word.to_string()
                }
            })
            .collect();
        lines[line - 1] = words.join(" ");
    }
    fs::write(&path, lines.join("\n") + "\n").expect("the table rewritten");
}
