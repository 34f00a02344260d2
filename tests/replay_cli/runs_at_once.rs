//! Two runs that share a state or an output directory, and what a run finds of one that was killed
//! in its last moments.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::bench::{Bench, call, february};
use crate::support::copy_tree;
use crate::support::program::{Outputs, Replay};

#[test]
fn a_second_run_on_a_state_is_refused_and_the_first_is_not_disturbed() {
    for has_state in [true, false] {
        let bench = Bench::new();
        let first_day = bench.write("first.ndjson", february());
        let second_day = bench.write(
            "second.ndjson",
            call("team-1", "2", "2026-02-10T10:00:00Z", 7_200),
        );
        let state = bench.path("state");
        let mut replay = bench.replay(&[&first_day]);
        replay.state = Some(state.clone());
        if has_state {
            replay.succeed();
            copy_tree(&state, &bench.path("copy"));
        }
        let expected = {
            let mut alone = replay.clone();
            alone.inputs = vec![second_day.clone()];
            alone.out = bench.path("alone");
            alone.state = Some(bench.path("copy"));
            alone.succeed()
        };

        let held = Held::start(&bench, &second_day, |pipe| Replay {
            inputs: vec![pipe],
            out: bench.path("held"),
            ..replay.clone()
        });
        replay.out = bench.path("refused");
        for _ in 0..2 {
            let said = replay.fail(7);
            assert!(said.contains("state: "), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(!replay.out.exists(), "nothing is written");
        }
        held.finish();
        expected.assert_equal("the first run", &Outputs::read(&bench.path("held")));
        let debris = bench
            .names()
            .into_iter()
            .filter(|name| name.starts_with('.'));
        assert_eq!(debris.count(), 0);
    }
}

#[test]
fn a_second_run_to_the_same_outputs_is_refused_and_the_first_is_not_disturbed() {
    let bench = Bench::new();
    let input = bench.write("input.ndjson", february());
    let mut alone = bench.replay(&[&input]);
    alone.out = bench.path("alone");
    let expected = alone.succeed();

    let held = Held::start(&bench, &input, |pipe| bench.replay(&[&pipe]));
    for state in [None, Some(bench.path("state"))] {
        let mut replay = bench.replay(&[&input]);
        replay.state = state;
        let said = replay.fail(2);
        assert!(said.contains("out: "), "{said}");
    }
    held.finish();
    expected.assert_equal("the first run", &Outputs::read(&bench.path("out")));
    assert_eq!(
        bench.names(),
        ["alone", "input.ndjson", "out", "pipe.ndjson"]
    );
}

/// A run that is killed while it removes the state that it has replaced leaves that state beside
/// the new one. It must not be taken for a newer one.
#[test]
fn a_state_that_was_replaced_is_never_put_back() {
    let bench = Bench::new();
    let state = bench.path("state");
    let mut outputs = Vec::new();
    let mut old_state: Option<PathBuf> = None;
    for day in 1..=3 {
        let events = format!(
            "{}{}",
            if day == 1 { february() } else { String::new() },
            call(
                "team-1",
                &format!("day-{day}"),
                &format!("2026-02-1{day}T10:00:00Z"),
                7_200
            )
        );
        let mut replay = bench.replay(&[&bench.write(&format!("{day}.ndjson"), events)]);
        replay.out = bench.path(&format!("out-{day}"));
        replay.state = Some(state.clone());
        if let Some(old_state) = &old_state {
            copy_tree(old_state, &bench.path(".state.meterfold-state"));
        }
        let copy = bench.path(&format!("copy-{day}"));
        if state.exists() {
            copy_tree(&state, &copy);
            old_state = Some(copy);
        }
        outputs.push(String::from_utf8(replay.succeed().accounts).expect("text"));
    }
    // Each day's call costs ten tokens.
    for (accounts, debt) in outputs.iter().zip(["0", "0", "10"]) {
        assert!(
            accounts.contains(&format!("\"debt\":\"{debt}\"")),
            "{accounts}"
        );
    }
    assert!(outputs[2].contains("\"charged\":11"), "{}", outputs[2]);
}

/// A run whose input is held open: it has begun and cannot end.
struct Held {
    child: Child,
    pipe: fs::File,
    bytes: Vec<u8>,
}

impl Held {
    fn start(bench: &Bench, input: &Path, replay: impl FnOnce(PathBuf) -> Replay) -> Held {
        let path = bench.path("pipe.ndjson");
        mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).expect("a pipe");
        let child = replay(path.clone())
            .command()
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        // Opening waits until the run opens the other end.
        let pipe = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("the pipe");
        Held {
            child,
            pipe,
            bytes: fs::read(input).expect("the input"),
        }
    }

    fn finish(mut self) {
        self.pipe.write_all(&self.bytes).expect("the run reads");
        drop(self.pipe);
        let status = self.child.wait().expect("an end");
        assert!(status.success(), "the first run: {status}");
    }
}
