//! What several tests need: the samples, the program as a user starts it, and files compared by
//! their first differing line. It judges nothing by itself.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod audit;
pub mod avro_json;
pub mod disk;
pub mod journal;
pub mod kafka;
pub mod processor;
pub mod program;
pub mod random;
pub mod sample;
pub mod scene;
pub mod watcher;
pub mod workload;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use meterfold::billing::time::Instant;

/// Byte equality of two texts of lines; a difference is shown by its first line.
pub fn assert_same_lines(place: &str, expected: &[u8], actual: &[u8]) {
    if let Some(difference) = first_difference(expected, actual) {
        panic!("{place} {difference}");
    }
}

/// Where two texts of lines part; None: they are equal.
pub fn first_difference(expected: &[u8], actual: &[u8]) -> Option<String> {
    if expected == actual {
        return None;
    }
    let mut expected_lines = expected.split(|byte| *byte == b'\n');
    let mut actual_lines = actual.split(|byte| *byte == b'\n');
    let text = |line: Option<&[u8]>| {
        line.map_or("(no line)".to_string(), |line| {
            String::from_utf8_lossy(line).into_owned()
        })
    };
    (1..).find_map(|number| {
        let (expected, actual) = (expected_lines.next(), actual_lines.next());
        (expected != actual).then(|| {
            format!(
                "differs first in line {number}\nexpected: {}\n  actual: {}",
                text(expected),
                text(actual)
            )
        })
    })
}

/// Derived events of several runs in the order of one: by time and team, else as they came.
pub fn in_derived_order(derived: &[u8]) -> Vec<u8> {
    let mut lines: Vec<(Instant, String, &[u8])> = derived
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| {
            let event: serde_json::Value = serde_json::from_slice(line).expect("a derived event");
            let time = event["time"].as_str().and_then(Instant::parse);
            let team = event["subject"].as_str().expect("a team").to_string();
            (time.expect("an instant"), team, line)
        })
        .collect();
    lines.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    lines
        .iter()
        .flat_map(|(_, _, line)| line.to_vec())
        .collect()
}

/// Every file below `folder` with its bytes, by its path from there; directories as such.
pub fn tree(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        let entries = fs::read_dir(&next).unwrap_or_else(|error| panic!("{next:?}: {error}"));
        for entry in entries {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(folder).expect("a path below");
            let name = name.to_string_lossy().into_owned();
            if path.is_dir() {
                found.insert(name, None);
                open.push(path);
            } else {
                found.insert(name, Some(fs::read(&path).expect("a file")));
            }
        }
    }
    found
}

/// Names in `folder`, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for (name, content) in tree(from) {
        let path = to.join(name);
        match content {
            None => fs::create_dir_all(path).expect("a directory"),
            Some(bytes) => {
                fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
                fs::write(path, bytes).expect("a file");
            }
        }
    }
}
