//! The chart and what is watched by: value sets, alerts, dashboards, runbooks, and that they name what the
//! program has. The tools are Helm, kubeconform and promtool, which `.ci/setup chart` fetches.

#[path = "chart/strimzi.rs"]
mod strimzi;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use meterfold::ports::log::HaltCode;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Name and text of each file of a folder, in order.
fn folder(name: &str) -> Vec<(String, String)> {
    let mut names: Vec<String> = fs::read_dir(path(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let text = |file: &String| read(&format!("{name}/{file}"));
    names
        .iter()
        .map(|file| (file.clone(), text(file)))
        .collect()
}

#[track_caller]
fn none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn value_sets_are_right_for_the_program_and_for_kubernetes() {
    let objects = tempfile::tempdir().unwrap();
    let output = Command::new(path(".ci/chart"))
        .args([Path::new(env!("CARGO_BIN_EXE_meterfold")), objects.path()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{error}");
    let set = fs::read_to_string(objects.path().join("strimzi.yaml")).unwrap();
    none(strimzi::faults(&set));
}

#[test]
fn rules_and_boards_name_metrics_that_exist() {
    let documented = read("docs/metrics.md");
    let rules = read("helm/files/rules.yaml");
    let mut texts = folder("helm/dashboards");
    texts.push(("rules.yaml".into(), rules.clone()));
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    let mut faults = BTreeSet::new();
    let mut count = 0;
    for (file, text) in &texts {
        for word in text.split(|letter| !is_name(letter)) {
            let is_known = if word.starts_with("meterfold:") {
                rules.contains(&format!("- record: {word}\n"))
            } else if word.starts_with("meterfold_") || word.starts_with("process_") {
                let parts = ["_bucket", "_sum", "_count", ""];
                let mut names = parts.iter().filter_map(|part| word.strip_suffix(part));
                names.any(|name| documented.contains(&format!("| `{name}` |")))
            } else {
                continue;
            };
            count += 1;
            if !is_known {
                faults.insert(format!("{file}: there is no {word}"));
            }
        }
    }
    assert!(count > 100, "{count} names found");
    none(faults);
}

/// An alert of the rules.
struct Alert<'a> {
    name: &'a str,
    text: &'a str,
}

fn alerts(rules: &str) -> Vec<Alert<'_>> {
    let texts = rules.split("      - alert: ").skip(1);
    texts
        .map(|text| Alert {
            name: text.lines().next().unwrap(),
            text,
        })
        .collect()
}

#[test]
fn every_alert_has_a_page_a_panel_and_a_test() {
    let rules = read("helm/files/rules.yaml");
    let pages = folder("docs/runbooks");
    let boards = folder("helm/dashboards");
    let schema = read("helm/values.schema.json");
    let tests: String = folder("tests/alerts")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let alerts = alerts(&rules);
    assert!(alerts.len() > 20);
    let mut faults = Vec::new();
    for alert in &alerts {
        let name = alert.name;
        let mut fault = |what: &str| faults.push(format!("{name}: {what}"));
        let page = pages.iter().find(|(file, _)| *file == format!("{name}.md"));
        if !page.is_some_and(|(_, text)| text.starts_with(&format!("# {name}\n"))) {
            fault("no page in docs/runbooks");
        }
        if !alert
            .text
            .contains(&format!("runbook_url: docs/runbooks/{name}.md\n"))
        {
            fault("runbook_url is another page");
        }
        if !boards.iter().any(|board| has_panel(board, alert.text)) {
            fault("dashboard_url is no panel");
        }
        if !schema.contains(&format!("\"{name}\"")) {
            fault("values.schema.json does not let it be disabled");
        }
        let test = tests
            .split("  - name: ")
            .find(|test| test.lines().next() == Some(name));
        let test = test.unwrap_or_default();
        let silences = test.matches("exp_alerts: []").count();
        let is_always = name == "MeterfoldDeadMansSwitch";
        if !test.contains("- exp_labels:") || (silences < 2 && !is_always) {
            fault("no test in tests/alerts of silence, firing and silence again");
        }
    }
    let is_alert = |file: &str| {
        alerts
            .iter()
            .any(|alert| format!("{}.md", alert.name) == file)
    };
    let strays = pages.iter().filter(|(file, _)| !is_alert(file));
    faults.extend(strays.map(|(file, _)| format!("docs/runbooks/{file}: there is no such alert")));
    none(faults);
}

/// Whether the alert's `dashboard_url` leads to a panel of this board.
fn has_panel((_, board): &(String, String), alert: &str) -> bool {
    let Some(url) = alert.split("dashboard_url: /d/").nth(1) else {
        return false;
    };
    let url = url.lines().next().unwrap_or_default();
    let Some((uid, panel)) = url.split_once("?viewPanel=") else {
        return false;
    };
    board.contains(&format!("\"uid\": \"{uid}\""))
        && board.contains(&format!("{{\"id\": {panel}, "))
}

#[test]
fn every_halt_has_its_way_out() {
    let page = read("docs/runbooks/MeterfoldHalted.md");
    let codes = HaltCode::ALL.iter().map(|code| code.name());
    let missing = codes.filter(|code| !page.contains(&format!("\n### {code}\n")));
    none(missing.map(|code| format!("MeterfoldHalted.md says nothing of {code}")));
}

#[test]
fn every_value_is_explained() {
    let values = read("helm/values.yaml");
    let lines: Vec<&str> = values.lines().collect();
    let mut faults = Vec::new();
    for (above, line) in lines.iter().zip(&lines[1..]) {
        let is_value = line.contains(": ") && !line.trim_start().starts_with('#');
        let is_inside = line.starts_with("    ");
        if is_value && !is_inside && !above.trim_start().starts_with("# ") {
            faults.push(format!("values.yaml: {line}: no word about it"));
        }
    }
    none(faults);
}
