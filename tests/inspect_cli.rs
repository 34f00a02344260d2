//! `meterfold inspect` from outside: which invoice of a run it shows, and what it refuses. What the
//! table looks like is the matter of `cli::invoice_table`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

#[test]
fn the_invoice_with_the_most_lines_is_shown_unless_another_is_asked_for() {
    let run = run_with(&[
        invoice("birch", "2026-01", 1),
        invoice("cedar", "2026-01", 2),
        invoice("cedar", "2026-02", 2),
    ]);
    for (arguments, title, others) in [
        (&[][..], "Invoice 2026-01 of cedar", "One of 3 invoices"),
        (&["--team", "birch"], "Invoice 2026-01 of birch", ""),
        (&["--month", "2026-02"], "Invoice 2026-02 of cedar", ""),
        (
            &["--team", "cedar"],
            "Invoice 2026-01 of cedar",
            "One of 2 invoices",
        ),
    ] {
        let output = inspect(run.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.starts_with(title), "{arguments:?}: {shown}");
        assert_eq!(shown.contains("One of"), !others.is_empty());
        assert!(shown.contains(others), "{arguments:?}: {shown}");
    }
}

#[test]
fn an_invoice_that_is_not_there_is_named() {
    let run = run_with(&[invoice("birch", "2026-01", 1)]);
    let arguments = ["--team", "birch", "--month", "2026-02"];
    refuses(
        &inspect(run.path(), &arguments),
        2,
        "no invoice of team birch for 2026-02",
    );
    let empty = tempfile::tempdir().unwrap();
    refuses(&inspect(empty.path(), &[]), 2, "derived.ndjson");
}

#[test]
fn a_line_that_is_no_event_is_named() {
    let run = run_with(&[invoice("birch", "2026-01", 1), "{".into()]);
    refuses(&inspect(run.path(), &[]), 1, "derived.ndjson line 2");
}

#[test]
fn one_place_is_needed() {
    let run = run_with(&[]);
    refuses(
        &inspect(run.path(), &["--state", "state"]),
        2,
        "cannot be used with",
    );
    refuses(&meterfold(&["inspect"]), 2, "--state");
    refuses(
        &meterfold(&["inspect", "--state", "state", "--month", "2026-01"]),
        2,
        "--month",
    );
}

/// An output directory with these derived events.
fn run_with(lines: &[String]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(dir.path().join("derived.ndjson"), text).unwrap();
    dir
}

fn invoice(team: &str, month: &str, lines: usize) -> String {
    let line = r#"{"meter":"rc","rate_card":"c","usage":50,"tokens":"1","prepaid":"0","postpaid":"1","uncharged":"0","unit_price":"3.00","amount":"3.00"}"#;
    let lines = vec![line; lines].join(",");
    format!(
        r#"{{"type":"meterfold.monthly-invoice.v1","subject":"{team}","time":"2026-03-04T00:00:00Z","data":{{"cause":null,"month":"{month}","currency":"USD","lines":[{lines}],"adjustments":[],"subtotal":"3.00","total":"3.00","free_usage":{{}},"balance":"0","debt":"0","carry_over":{{}}}}}}"#
    )
}

fn inspect(out: &Path, arguments: &[&str]) -> Output {
    let out = out.to_str().unwrap();
    meterfold(&[&["inspect", "--out", out], arguments].concat())
}

fn meterfold(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(arguments)
        .output()
        .unwrap()
}

#[track_caller]
fn refuses(output: &Output, code: i32, words: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(words), "{error}");
    assert!(output.stdout.is_empty());
}
