//! The samples beside the project: inputs with the bytes that an independent implementation of the
//! specification made of them.

use std::fs;
use std::path::{Path, PathBuf};

use super::program::{Outputs, Replay};

/// Folders of `../shared/samples`.
pub const SAMPLES: [&str; 4] = [
    "january",
    "adversarial/plain",
    "adversarial/variant",
    "adversarial/merge",
];

pub struct Sample {
    pub name: &'static str,
    /// The command of its `args.txt`; paths are complete, `out` is empty.
    pub replay: Replay,
    pub expected: Outputs,
}

impl Sample {
    pub fn read(name: &'static str) -> Sample {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples");
        assert!(
            samples.is_dir(),
            "the samples are not there: this test compares with {}, which is not part of a clone; \
             put the folder beside the project and run it again",
            samples.display()
        );
        let folder = samples.join(name);
        let args = fs::read_to_string(folder.join("args.txt"))
            .unwrap_or_else(|error| panic!("{}/args.txt: {error}", folder.display()));
        let mut replay = Replay::default();
        let mut args = args.split_whitespace();
        while let Some(arg) = args.next() {
            match arg {
                "--rates" => replay.rates = folder.join(args.next().expect("a book")),
                "--until" => replay.until = args.next().map(str::to_string),
                "--trace" => replay.flags.push("--trace"),
                input => replay.inputs.push(folder.join(input)),
            }
        }
        assert!(!replay.inputs.is_empty(), "{name}: args.txt names an input");
        Sample {
            name,
            replay,
            expected: Outputs::read(&folder.join("expected")),
        }
    }

    pub fn all() -> impl Iterator<Item = Sample> {
        SAMPLES.into_iter().map(Sample::read)
    }

    /// The lines of each input, with their ends.
    pub fn lines(&self) -> Vec<Vec<Vec<u8>>> {
        let lines_of = |path: &PathBuf| {
            let bytes = fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            bytes
                .split_inclusive(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect()
        };
        self.replay.inputs.iter().map(lines_of).collect()
    }

    /// (input, line from 1) of every event, in the order of folding.
    pub fn fold_order(&self) -> Vec<(usize, usize)> {
        let place = |line: &[u8]| {
            let traced: serde_json::Value = serde_json::from_slice(line).expect("a trace line");
            let number = |member: &str| traced[member].as_u64().expect("a number") as usize;
            (number("input"), number("line"))
        };
        let lines = self.expected.trace.split(|byte| *byte == b'\n');
        lines.filter(|line| !line.is_empty()).map(place).collect()
    }
}
