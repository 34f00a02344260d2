//! The reference model against the samples: their inputs must give their bytes, and the invariants
//! must hold on the way.
//!
//! The samples lie beside the project, in `../shared/samples`; `args.txt` names the book, the inputs
//! and the last instant.

mod model;

use std::fs;
use std::path::{Path, PathBuf};

use model::{Input, Options, World};

#[test]
fn january() {
    check("january");
}

#[test]
fn adversarial_plain() {
    check("adversarial/plain");
}

#[test]
fn adversarial_variant() {
    check("adversarial/variant");
}

#[test]
fn adversarial_merge() {
    check("adversarial/merge");
}

/// Invariants hold after every line, not only at the end.
#[test]
fn invariants_hold_after_every_line() {
    let sample = Sample::read("january");
    let mut world = World::new(&sample.book, false).expect("the book is valid");
    for (index, line) in sample.inputs[0].split(|byte| *byte == b'\n').enumerate() {
        if !line.is_empty() {
            world
                .feed(0, index as u64 + 1, line)
                .expect("no clock jump");
            world
                .check_invariants()
                .unwrap_or_else(|fault| panic!("line {}: {fault}", index + 1));
        }
    }
}

fn check(name: &str) {
    let sample = Sample::read(name);
    let inputs: Vec<Input<'_>> = sample.inputs.iter().map(|bytes| Input { bytes }).collect();
    let options = Options {
        until_ms: sample.until_ms,
        allow_clock_jump: false,
    };

    let outputs = model::run(&sample.book, &inputs, &options).expect("the run ends");
    // The trace comes first: its first differing line names the event at which two folds part.
    sample.compare("trace.ndjson", &outputs.trace);
    sample.compare("dead-letters.ndjson", &outputs.dead_letters);
    sample.compare("derived.ndjson", &outputs.derived);
    sample.compare("accounts.ndjson", &outputs.accounts);

    let world = World::after_run(&sample.book, &inputs, &options).expect("the run ends");
    world
        .check_invariants()
        .unwrap_or_else(|fault| panic!("{name}: {fault}"));
}

struct Sample {
    folder: PathBuf,
    book: Vec<u8>,
    inputs: Vec<Vec<u8>>,
    until_ms: Option<i64>,
}

impl Sample {
    fn read(name: &str) -> Sample {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../shared/samples")
            .join(name);
        let read = |file: &str| {
            let path = folder.join(file);
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let args = String::from_utf8(read("args.txt")).expect("args.txt is text");
        let mut args = args.split_whitespace();
        let (mut book, mut inputs, mut until_ms) = (None, Vec::new(), None);
        while let Some(arg) = args.next() {
            match arg {
                "--rates" => book = args.next().map(read),
                "--until" => until_ms = args.next().and_then(model::calendar::parse_instant),
                "--trace" => {}
                input => inputs.push(read(input)),
            }
        }
        Sample {
            book: book.expect("args.txt names a book"),
            inputs,
            until_ms,
            folder,
        }
    }

    /// Byte equality with an expected file; a difference is shown by its first line.
    fn compare(&self, file: &str, actual: &[u8]) {
        let path = self.folder.join("expected").join(file);
        let expected =
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if expected == actual {
            return;
        }
        let mut expected_lines = expected.split(|byte| *byte == b'\n');
        let mut actual_lines = actual.split(|byte| *byte == b'\n');
        for number in 1.. {
            let (expected, actual) = (expected_lines.next(), actual_lines.next());
            if expected != actual {
                let text = |line: Option<&[u8]>| {
                    line.map_or("(no line)".to_string(), |line| {
                        String::from_utf8_lossy(line).into_owned()
                    })
                };
                panic!(
                    "{} differs first in line {number}\nexpected: {}\n  actual: {}",
                    path.display(),
                    text(expected),
                    text(actual)
                );
            }
        }
    }
}
