//! `meterfold replay` as a user starts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::assert_same_lines;

/// What a run leaves that does not change from run to run.
pub const FILES: [&str; 4] = [
    "trace.ndjson",
    "dead-letters.ndjson",
    "derived.ndjson",
    "accounts.ndjson",
];

/// A command line of `replay`.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    pub rates: PathBuf,
    pub out: PathBuf,
    pub inputs: Vec<PathBuf>,
    pub until: Option<String>,
    pub state: Option<PathBuf>,
    pub threads: Option<usize>,
    /// Options without a value.
    pub flags: Vec<&'static str>,
}

/// The files of [`FILES`] in an output directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    pub trace: Vec<u8>,
    pub dead_letters: Vec<u8>,
    pub derived: Vec<u8>,
    pub accounts: Vec<u8>,
}

impl Replay {
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
        command.arg("replay").arg("--rates").arg(&self.rates);
        command.arg("--out").arg(&self.out).args(&self.flags);
        if let Some(until) = &self.until {
            command.args(["--until", until]);
        }
        if let Some(state) = &self.state {
            command.arg("--state").arg(state);
        }
        if let Some(threads) = self.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        command.args(&self.inputs).stdin(Stdio::null());
        command
    }

    /// Runs to the end, whatever that is.
    pub fn run(&self) -> Output {
        self.command().output().expect("the program starts")
    }

    /// Runs and must succeed.
    pub fn succeed(&self) -> Outputs {
        let output = self.run();
        assert!(
            output.status.success(),
            "{self:?}: {}: {}",
            output.status,
            stderr(&output)
        );
        Outputs::read(&self.out)
    }

    /// Runs, must fail with `code`, and returns what it says.
    pub fn fail(&self, code: i32) -> String {
        let output = self.run();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{self:?}: {}",
            stderr(&output)
        );
        assert!(
            output.stdout.is_empty(),
            "a failure prints nothing on standard output"
        );
        stderr(&output)
    }
}

impl Outputs {
    /// A file that is not there is empty.
    pub fn read(folder: &Path) -> Outputs {
        let read = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
        let [trace, dead_letters, derived, accounts] = FILES.map(read);
        Outputs {
            trace,
            dead_letters,
            derived,
            accounts,
        }
    }

    /// The trace comes first: its first differing line names the event at which two folds part.
    pub fn assert_equal(&self, place: &str, actual: &Outputs) {
        for (name, (expected, actual)) in FILES
            .iter()
            .zip(self.files().into_iter().zip(actual.files()))
        {
            assert_same_lines(&format!("{place}: {name}"), expected, actual);
        }
    }

    /// In the order of [`FILES`].
    pub fn files(&self) -> [&[u8]; 4] {
        [
            &self.trace,
            &self.dead_letters,
            &self.derived,
            &self.accounts,
        ]
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
