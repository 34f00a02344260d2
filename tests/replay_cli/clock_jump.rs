//! The guard rail: a recorded time more than 400 days after the clock stops the run (exit 10).

use serde_json::json;

use crate::bench::{Bench, call, event, february};

const JUST_ALLOWED: &str = "2027-03-16T10:00:00Z";
const ONE_MILLISECOND_MORE: &str = "2027-03-16T10:00:00.001Z";

/// The clock stands at 9 February 2026, 10:00, after twelve lines.
fn after_february(line: &str) -> String {
    format!(
        "{}\n{line}{}",
        february(),
        call("team-1", "later", ONE_MILLISECOND_MORE, 1)
    )
}

#[test]
fn a_jump_is_refused_names_the_line_and_writes_nothing() {
    let bench = Bench::new();
    let malformed = "{\"recordedtime\":\"2027-03-16T10:00:00.001Z\"}\n".to_string();
    let unknown_type = event(
        "team-1",
        "u",
        "of-another-kind",
        ONE_MILLISECOND_MORE,
        json!({}),
    );
    for jump in [
        call("team-1", "j", ONE_MILLISECOND_MORE, 1),
        malformed,
        unknown_type,
    ] {
        let input = bench.write("input.ndjson", after_february(&jump));
        let mut replay = bench.replay(&[&input]);
        replay.state = Some(bench.path("state"));
        let said = replay.fail(10);
        for words in [
            "input.ndjson line 14: recorded at 2027-03-16T10:00:00.001Z, more than 400 days after the clock 2026-02-09T10:00:00Z",
            "--allow-clock-jump",
        ] {
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(bench.names(), ["input.ndjson"], "nothing is written");

        replay.flags.push("--allow-clock-jump");
        let events = replay.succeed().trace.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(events, 14);
        std::fs::remove_dir_all(bench.path("out")).expect("the outputs");
        std::fs::remove_dir_all(bench.path("state")).expect("the state");
    }
}

#[test]
fn four_hundred_days_ticks_until_and_first_lines_are_no_jump() {
    let bench = Bench::new();
    let tick = |time: &str| event("x", "k", "clock-tick", time, json!({}));
    let unreadable_tick = format!(
        "{{\"type\":\"meterfold.clock-tick.v1\",\"recordedtime\":\"{ONE_MILLISECOND_MORE}\"}}\n"
    );
    let first_lines = call("team-2", "first", "2199-12-31T23:59:59.999Z", 1);
    for (name, text) in [
        (
            "allowed",
            after_february(&call("team-1", "j", JUST_ALLOWED, 1)),
        ),
        ("tick", after_february(&tick(ONE_MILLISECOND_MORE))),
        ("malformed tick", after_february(&unreadable_tick)),
        ("first line", first_lines),
        (
            "no clock yet",
            format!("no event\n{}", call("t", "f", "2199-01-01T00:00:00Z", 1)),
        ),
    ] {
        let input = bench.write(&format!("{name}.ndjson"), text);
        let mut replay = bench.replay(&[&input]);
        replay.out = bench.path(name);
        replay.succeed();
    }
    let input = bench.write("february.ndjson", february());
    let mut replay = bench.replay(&[&input]);
    replay.until = Some("2199-12-31T00:00:00Z".into());
    replay.succeed();
}

/// The clock of kept state counts, and that of all inputs together.
#[test]
fn the_clock_is_the_one_of_state_and_all_inputs() {
    let bench = Bench::new();
    let first = bench.write("first.ndjson", february());
    let second = bench.write(
        "second.ndjson",
        call("team-1", "j", ONE_MILLISECOND_MORE, 1),
    );
    let said = bench.replay(&[&second, &first]).fail(10);
    assert!(said.contains("second.ndjson line 1: "), "{said}");

    let mut replay = bench.replay(&[&first]);
    replay.state = Some(bench.path("state"));
    let expected = replay.succeed();
    replay.inputs = vec![second];
    replay.flags.push("--force");
    let said = replay.fail(10);
    assert!(said.contains("second.ndjson line 1: "), "{said}");
    expected.assert_equal(
        "as it was",
        &crate::support::program::Outputs::read(&replay.out),
    );
    assert_eq!(
        bench.names(),
        ["first.ndjson", "out", "second.ndjson", "state"]
    );
}
