//! The program and its rate book: the only place that starts `meterfold`. Called by the checks; it judges nothing.

use crate::table::{Table, instant};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a run left behind.
pub struct Outputs {
    pub code: i32,
    pub stderr: String,
    pub trace: Vec<Value>,
    pub derived: Vec<Value>,
    pub accounts: Vec<Value>,
    pub dead_letters: Vec<Value>,
}

/// One run that must succeed.
pub fn folded(book: &str, input: &str, until: Option<&str>, state: Option<&Path>) -> Outputs {
    let outputs = replay(book, input, until, state);
    assert_eq!(
        outputs.code, 0,
        "replay to {until:?} of\n{input}\n{}",
        outputs.stderr
    );
    outputs
}

/// One run of `meterfold replay` over one file, whatever its exit code.
pub fn replay(book: &str, input: &str, until: Option<&str>, state: Option<&Path>) -> Outputs {
    let dir = tempfile::tempdir().expect("a directory");
    let (rates, events, out) = (
        dir.path().join("book.json"),
        dir.path().join("input.ndjson"),
        dir.path().join("out"),
    );
    fs::write(&rates, book).expect("the book");
    fs::write(&events, input).expect("the input");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
    command
        .args(["replay", "--trace", "--allow-clock-jump", "--rates"])
        .arg(&rates)
        .arg("--out")
        .arg(&out);
    if let Some(until) = until {
        command.args(["--until", until]);
    }
    if let Some(state) = state {
        command.arg("--state").arg(state);
    }
    let done = command.arg(&events).output().expect("meterfold replay");
    let read = |file: &str| -> Vec<Value> {
        let text = fs::read_to_string(out.join(file)).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    };
    Outputs {
        code: done.status.code().unwrap_or(-1),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        trace: read("trace.ndjson"),
        derived: read("derived.ndjson"),
        accounts: read("accounts.ndjson"),
        dead_letters: read("dead-letters.ndjson"),
    }
}

/// One `meterfold rates quote`; none when it exits with 2.
pub fn quote(book: &str, options: &[(String, String)]) -> Option<Value> {
    let dir = tempfile::tempdir().expect("a directory");
    let rates = dir.path().join("book.json");
    fs::write(&rates, book).expect("the book");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
    command.args(["rates", "quote"]).arg(&rates);
    for (key, value) in options {
        let value = if key == "at" {
            instant(value)
        } else {
            value.clone()
        };
        command.arg(format!("--{key}")).arg(value);
    }
    let done = command.output().expect("meterfold rates quote");
    match done.status.code() {
        Some(0) => Some(serde_json::from_slice(&done.stdout).expect("a quote as JSON")),
        Some(2) => None,
        other => panic!(
            "rates quote {options:?}: exit {other:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        ),
    }
}

/// The example book with the variant's changes.
pub fn book_of(table: &Table, variant: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/rates/aps-example.json");
    let text = fs::read_to_string(&path).expect("the example book");
    if variant.is_empty() {
        return text;
    }
    let mut book: Value = serde_json::from_str(&text).expect("the example book as JSON");
    let changes = table
        .variants
        .get(variant)
        .unwrap_or_else(|| panic!("{}: no variant {variant}", table.name));
    for change in changes {
        let (path, rest) = change.text.split_once(' ').expect("a path and a value");
        let place = format!("{}:{}", table.name, change.line);
        if path == "card" {
            let words: Vec<&str> = rest.split(' ').collect();
            assert!(
                words.len() == 5 && words[1] == "like" && words[3] == "from",
                "{place}: card ID like CARD from TIME"
            );
            let mut card = member(&mut book, words[2])
                .unwrap_or_else(|| panic!("{place}: no card {}", words[2]))
                .clone();
            card["id"] = json!(words[0]);
            card["effective_from"] = json!(instant(words[4]));
            book["cards"].as_array_mut().expect("cards").push(card);
            continue;
        }
        let new: Value =
            serde_json::from_str(rest).unwrap_or_else(|error| panic!("{place}: {error}"));
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = member(&mut book, parent).unwrap_or_else(|| panic!("{place}: no {parent}"));
        match parent {
            Value::Array(items) if last == "+" => items.push(new),
            Value::Array(_) => {
                *member(parent, last).unwrap_or_else(|| panic!("{place}: no {last}")) = new
            }
            _ => parent[last] = new,
        }
    }
    book.to_string()
}

/// Enters a book by a path; its first segment may be a card: `launch` or its id.
fn member<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    let mut at = value;
    for (depth, segment) in path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .enumerate()
    {
        let segment = if depth == 0 && segment == "launch" {
            "aps-2025-12"
        } else {
            segment
        };
        if depth == 0 && at.get("cards").is_some() && at.get(segment).is_none() {
            at = &mut at["cards"];
        }
        at = match at {
            Value::Array(items) => match segment.parse::<usize>() {
                Ok(index) => items.get_mut(index)?,
                Err(_) => items.iter_mut().find(|item| item["id"] == segment)?,
            },
            other => other.get_mut(segment)?,
        };
    }
    Some(at)
}
