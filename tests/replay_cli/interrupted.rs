//! SIGINT and SIGTERM: exit 130 and 143, outputs and state as they were, nothing left beside them.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::bench::{Bench, call, february};
use crate::support::program::{Outputs, Replay};

/// So much is written only if the run reads, and it reads only in its loop.
const READ_AHEAD: usize = 8 << 20;

#[test]
fn a_signal_stops_a_run_and_changes_nothing() {
    for (signal, code, threads) in [("INT", 130, 1), ("TERM", 143, 1), ("INT", 130, 2)] {
        let bench = Bench::new();
        let (mut replay, expected) = second_day(&bench);
        replay.threads = Some(threads);
        let (child, mut pipe) = started(&bench, &replay);
        let lines = february().repeat(64);
        let mut written = 0;
        while written < READ_AHEAD {
            pipe.write_all(lines.as_bytes()).expect("the run reads");
            written += lines.len();
        }
        send(signal, &child);
        // More and more to read: only the signal can end the run.
        while pipe.write_all(lines.as_bytes()).is_ok() {}
        drop(pipe);
        let output = child.wait_with_output().expect("an end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "SIG{signal}: {said}");
        assert_eq!(said, "interrupted; outputs and state are as they were\n");
        assert!(output.stdout.is_empty());
        assert_eq!(
            bench.names(),
            [
                "first.ndjson",
                "out",
                "pipe.ndjson",
                "second.ndjson",
                "state"
            ]
        );
        runs_as_if_nothing_was(&bench, replay, &expected);
    }
}

/// While a run waits for input it does not notice the first signal; the second ends it at once.
#[test]
fn a_second_signal_ends_a_run_that_waits() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let bench = Bench::new();
        let (replay, expected) = second_day(&bench);
        let (mut child, mut pipe) = started(&bench, &replay);
        pipe.write_all(february().as_bytes())
            .expect("the run reads");
        let mut status = None;
        // The first ones may come before the run listens for them, which ends it as well.
        for _ in 0..500 {
            send(signal, &child);
            thread::sleep(Duration::from_millis(20));
            status = child.try_wait().expect("a child");
            if status.is_some() {
                break;
            }
        }
        let status = status.expect("an end");
        let code_of_shell = status.code().or(status.signal().map(|signal| 128 + signal));
        assert_eq!(code_of_shell, Some(code), "SIG{signal}");
        drop(pipe);
        runs_as_if_nothing_was(&bench, replay, &expected);
        assert_eq!(
            bench.names(),
            [
                "first.ndjson",
                "out",
                "pipe.ndjson",
                "second.ndjson",
                "state"
            ]
        );
    }
}

/// A state and outputs of a first day, and the command of the second, which reads a pipe; with
/// what the second day gives.
fn second_day(bench: &Bench) -> (Replay, Outputs) {
    let first = bench.write("first.ndjson", february());
    let second = bench.write(
        "second.ndjson",
        call("team-1", "2", "2026-02-10T10:00:00Z", 7_200),
    );
    let mut reference = Bench::new().replay(&[&first]);
    let elsewhere = Bench::new();
    reference.out = elsewhere.path("out");
    reference.state = Some(elsewhere.path("state"));
    reference.flags.push("--force");
    reference.succeed();
    reference.inputs = vec![second];
    let expected = reference.succeed();

    let mut replay = bench.replay(&[&first]);
    replay.state = Some(bench.path("state"));
    replay.flags.push("--force");
    replay.succeed();
    let pipe = bench.path("pipe.ndjson");
    mkfifoat(CWD, &pipe, Mode::from_raw_mode(0o600)).expect("a pipe");
    replay.inputs = vec![pipe];
    (replay, expected)
}

fn runs_as_if_nothing_was(bench: &Bench, mut replay: Replay, expected: &Outputs) {
    let first = Outputs::read(&replay.out);
    assert_eq!(
        first.trace.split(|byte| *byte == b'\n').count() - 1,
        12,
        "outputs changed"
    );
    replay.inputs = vec![bench.path("second.ndjson")];
    expected.assert_equal("after an interrupted run", &replay.succeed());
}

fn started(bench: &Bench, replay: &Replay) -> (Child, fs::File) {
    let child = replay
        .command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Opening waits until the run opens the other end.
    let pipe = fs::OpenOptions::new()
        .write(true)
        .open(bench.path("pipe.ndjson"));
    (child, pipe.expect("the pipe"))
}

fn send(signal: &str, child: &Child) {
    let pid = child.id().to_string();
    // It may have ended already.
    let _ = Command::new("kill")
        .args(["-s", signal, &pid])
        .stderr(Stdio::null())
        .status();
}
