//! Generated input, in a directory below the system's temporary one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_meterfold");
pub const BOOK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/schemas/rates/aps-example.json"
);

/// Events and teams: those that the command line names, or the given ones.
pub fn events_and_teams(default: (u64, u64)) -> (u64, u64) {
    let arguments = std::env::args().skip(1);
    let numbers: Vec<u64> = arguments.filter_map(|it| it.parse().ok()).collect();
    match numbers[..] {
        [events, teams] => (events, teams),
        _ => default,
    }
}

/// An empty directory, which whoever asks for it removes.
pub fn directory() -> PathBuf {
    let directory = std::env::temp_dir().join(format!("meterfold-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a temporary directory");
    directory
}

/// Writes `path`; `arguments` are months, seed and shares of `meterfold generate`.
pub fn generate(path: &Path, (events, teams): (u64, u64), arguments: &[&str]) {
    let status = Command::new(PROGRAM)
        .args(["generate", "--events", &events.to_string()])
        .args(["--teams", &teams.to_string()])
        .args(arguments)
        .arg("--out")
        .arg(path)
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("the program starts").success(), "generate");
}
