//! A place to run in: a directory with a book and inputs, and the events that the tests tell.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::names;
use crate::support::program::Replay;

pub struct Bench {
    dir: TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        Bench {
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// A run of the example book over `inputs`, with a trace, to `out`.
    pub fn replay(&self, inputs: &[&Path]) -> Replay {
        Replay {
            rates: example_book(),
            out: self.path("out"),
            inputs: inputs.iter().map(|path| path.to_path_buf()).collect(),
            flags: vec!["--trace"],
            ..Replay::default()
        }
    }

    /// Everything in the directory, hidden or not.
    pub fn names(&self) -> Vec<String> {
        names(self.dir.path())
    }
}

pub fn example_book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/rates/aps-example.json")
}

pub fn book_json() -> Value {
    serde_json::from_slice(&fs::read(example_book()).expect("the example book")).expect("JSON")
}

/// An event of `team`; `kind` without prefix and version.
pub fn event(team: &str, id: &str, kind: &str, time: &str, data: Value) -> String {
    let kind = format!("meterfold.{kind}.v1");
    let mut event = json!({"specversion": "1.0", "id": id, "source": "/test", "type": kind});
    event["subject"] = json!(team);
    event["time"] = json!(time);
    event["data"] = data;
    format!("{event}\n")
}

/// A call that costs a token every 720 seconds.
pub fn call(team: &str, id: &str, time: &str, quantity: i64) -> String {
    let data =
        json!({"app_id": "app", "api": "automation", "engine": "autocad", "quantity": quantity});
    event(team, id, "api-call", time, data)
}

/// A Paid team with tokens, and a call on each of the first days of February 2026.
pub fn february() -> String {
    let start = "2026-02-01T00:00:00Z";
    let mut text = event(
        "team-1",
        "o",
        "offering-enrolled",
        start,
        json!({"offering": "prepay"}),
    );
    text += &event(
        "team-1",
        "h",
        "hub-created",
        start,
        json!({"hub_id": "hub"}),
    );
    text += &event(
        "team-1",
        "a",
        "app-migrated",
        start,
        json!({"app_id": "app"}),
    );
    text += &event(
        "team-1",
        "t",
        "tokens-purchased",
        start,
        json!({"tokens": 100}),
    );
    for day in 2..=9 {
        text += &call(
            "team-1",
            &format!("c-{day}"),
            &format!("2026-02-0{day}T10:00:00Z"),
            7_200,
        );
    }
    text
}
