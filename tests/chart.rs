//! The chart and what is watched by: value sets, alerts, dashboards, runbooks, and that they name what the
//! program has. The tools are Helm, kubeconform and promtool, which `.ci/setup chart` fetches.

#[path = "chart/objects.rs"]
mod objects;
#[path = "chart/shown.rs"]
mod shown;
#[path = "chart/strimzi.rs"]
mod strimzi;
#[path = "chart/values.rs"]
mod values;

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

/// The text of a document between its marks is `wanted`; `UPDATE_DOCUMENTS` makes it so.
#[track_caller]
fn holds(name: &str, wanted: &str) {
    let text = read(name);
    let (head, rest) = text.split_once("<!-- begin -->\n").expect("begin");
    let (written, tail) = rest.split_once("<!-- end -->").expect("end");
    let wanted = format!("\n{wanted}\n");
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        let text = format!("{head}<!-- begin -->\n{wanted}<!-- end -->{tail}");
        fs::write(path(name), text).unwrap();
        return;
    }
    assert_eq!(
        written, wanted,
        "{name}: run this test with UPDATE_DOCUMENTS=1"
    );
}

#[test]
fn value_sets_are_right_for_the_program_and_for_kubernetes() {
    let rendered = tempfile::tempdir().unwrap();
    let output = Command::new(path(".ci/chart"))
        .args([Path::new(env!("CARGO_BIN_EXE_meterfold")), rendered.path()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{error}");
    let set = |name: &str| fs::read_to_string(rendered.path().join(name)).unwrap();
    none(strimzi::faults(&set("strimzi.yaml")));
    none(objects::archive_faults(&set("archive.yaml")));
    none(shown::faults(set));
    none(shown::stray_pods(&set("checked.yaml")));
    for name in ["checked", "names", "service-monitor", "strimzi"] {
        none(shown::bare_objects(&set(&format!("{name}.yaml"))));
    }

    let mut pods = 0;
    for (name, _) in folder("helm/ci") {
        let Some(name) = name.strip_suffix(".yaml") else {
            continue;
        };
        let (count, faults) = objects::pods(&set(&format!("{name}.yaml")));
        none(faults.iter().map(|fault| format!("{name}: {fault}")));
        none(shown::long_names(&set(&format!("{name}.yaml"))));
        pods += count;
    }
    assert!(pods > 28, "{pods} pods found");

    // Kubernetes refuses an upgrade that changes any of it.
    for name in ["minimal", "names", "no-volume", "scaled"] {
        assert_eq!(
            objects::immutable(&set(&format!("{name}.yaml"))),
            read(&format!("tests/chart/immutable/{name}.yaml")),
            "{name}: whoever has installed the last release cannot upgrade to this"
        );
    }
}

#[test]
fn the_readme_has_every_value() {
    holds("helm/README.md", &values::table(&read("helm/values.yaml")));
}

#[test]
fn the_chart_is_of_the_program_s_version_and_licence() {
    let chart = read("helm/Chart.yaml");
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nappVersion: {version}\n")));
    assert!(chart.contains("\n  artifacthub.io/license: Apache-2.0\n"));
    assert_eq!(read("helm/LICENSE"), read("LICENSE"));
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
