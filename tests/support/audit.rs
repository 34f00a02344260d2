//! `meterfold audit` as an auditor starts it.

use std::process::Command;

use serde_json::Value;

use super::processor::Setup;

/// What it came to.
pub struct Audited {
    pub code: Option<i32>,
    pub report: Value,
    /// The last line of standard error.
    pub error: String,
}

/// With the configuration of instance 7, so that it is nobody who runs.
pub fn audit(setup: &Setup, arguments: &[&str]) -> Audited {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
    command.args(["audit", "--json", "--config"]);
    command.arg(setup.config(7)).args(arguments);
    Audited::of(&mut command)
}

impl Audited {
    /// What an `audit --json` comes to.
    pub fn of(command: &mut Command) -> Audited {
        let output = command.output().expect("the program starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Audited {
            code: output.status.code(),
            report,
            error: error.lines().last().unwrap_or_default().to_owned(),
        }
    }

    #[track_caller]
    pub fn assert(&self, place: &str, code: i32, words: &[&str]) {
        let Audited { report, error, .. } = self;
        assert_eq!(self.code, Some(code), "{place}: {error}\n{report:#}");
        let said = format!("{error}\n{report}");
        for word in words {
            assert!(said.contains(word), "{place}: {word:?} is not in:\n{said}");
        }
    }
}

/// Every month of what was folded is proven, for all teams.
#[track_caller]
pub fn assert_proven(setup: &Setup, place: &str, months: &[&str]) {
    for month in months {
        let audited = audit(setup, &["--all", "--month", month]);
        audited.assert(&format!("{place}: audit of {month}"), 0, &["\"equal\""]);
    }
}
