//! `make demo-kafka` as a new user sees it: it works, what the README shows of it is what it prints,
//! and nothing that it started outlives it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn demo(place: &Path) -> Command {
    let mut command = Command::new(root().join(".ci/demo-kafka"));
    command.args([Path::new(env!("CARGO_BIN_EXE_meterfold")), place]);
    command
}

#[test]
fn the_readme_shows_what_the_demo_prints() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("demo");
    let output = demo(&place).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{error}\n{printed}");
    assert_nothing_runs(&place);

    let printed = printed.replace(place.to_str().unwrap(), "target/demo-kafka");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let excerpt: Vec<&str> = excerpt(&readme).collect();
    assert!(excerpt.len() > 10, "an excerpt");
    let mut rest = printed.lines();
    for line in excerpt {
        assert!(
            rest.any(|printed| printed == line),
            "README.md shows this line, the demo does not print it there:\n{line}\n\n{printed}"
        );
    }
}

/// At every moment; here when the processor has just been started.
#[test]
fn an_interrupted_demo_leaves_nothing_running() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("demo");
    let mut demo = demo(&place).stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("meterfold run") {
        line.clear();
        assert!(printed.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    let sent = Command::new("kill")
        .args(["-s", "TERM", &demo.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let began = Instant::now();
    let status = loop {
        if let Some(status) = demo.try_wait().unwrap() {
            break status;
        }
        assert!(began.elapsed() < PATIENCE, "it does not end");
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(143));
    assert_nothing_runs(&place);
    let mut rest = String::new();
    printed.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("inspect"), "it went on: {rest}");
}

/// Of the processes of this machine none has the demo's directory among its arguments.
fn assert_nothing_runs(place: &Path) {
    let place = place.to_str().unwrap();
    for process in fs::read_dir("/proc").unwrap() {
        // Processes come and go meanwhile.
        let Ok(arguments) = fs::read(process.unwrap().path().join("cmdline")) else {
            continue;
        };
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        assert!(!arguments.contains(place), "still runs: {arguments}");
    }
}

/// The lines of the README's block of text about Kafka, which is an excerpt of the demo.
fn excerpt(readme: &str) -> impl Iterator<Item = &str> {
    let lines = readme
        .lines()
        .skip_while(|line| *line != "## See it run on Kafka");
    let lines = lines.skip_while(|line| *line != "```text").skip(1);
    let lines = lines.take_while(|line| *line != "```");
    lines.filter(|line| !line.is_empty())
}
