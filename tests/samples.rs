//! The samples through the program: their bytes must come out whatever the threads, in one run or
//! fed in pieces, packed or plain, and after a run that was killed at any moment.

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use support::program::{Outputs, Replay, stderr};
use support::random::Random;
use support::sample::{SAMPLES, Sample};
use support::{copy_tree, in_derived_order, names};

#[test]
fn every_sample_gives_its_bytes_with_any_number_of_threads() {
    let dir = tempfile::tempdir().expect("a directory");
    for sample in Sample::all() {
        for threads in [1, 2, 4] {
            let mut replay = sample.replay.clone();
            replay.out = dir.path().join("out");
            replay.threads = Some(threads);
            replay.flags.push("--force");
            let place = format!("{} with {threads} threads", sample.name);
            sample.expected.assert_equal(&place, &replay.succeed());
        }
    }
}

#[test]
fn kept_state_changes_no_byte_of_a_run() {
    let dir = tempfile::tempdir().expect("a directory");
    for sample in Sample::all() {
        let mut replay = in_folder(&sample, &dir.path().join(sample.name));
        replay.state = Some(dir.path().join(sample.name).join("state"));
        sample.expected.assert_equal(sample.name, &replay.succeed());
    }
}

#[test]
fn packed_inputs_give_the_bytes_of_plain_ones() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, pack) in PACKINGS {
        for sample in Sample::all() {
            let folder = dir.path().join(name.replace('.', "-")).join(sample.name);
            let mut replay = in_folder(&sample, &folder);
            replay.inputs = (0..)
                .zip(&sample.replay.inputs)
                .map(|(number, input)| {
                    let path = folder.join(format!("input-{number}.{name}"));
                    fs::write(&path, pack(&fs::read(input).expect("an input"))).expect("a file");
                    path
                })
                .collect();
            let place = format!("{} as {name}", sample.name);
            sample.expected.assert_equal(&place, &replay.succeed());
        }
    }
}

#[test]
fn pieces_joined_equal_one_run() {
    let mut random = Random::new(1);
    for sample in Sample::all() {
        let events = sample.fold_order().len();
        let mut cuts: Vec<usize> = (0..6).map(|_| random.below(events + 1)).collect();
        // Also pieces without any event: the first and the last.
        cuts.extend([0, events]);
        fed_in_pieces(&sample, cuts);
    }
}

#[test]
fn one_event_a_piece_equals_one_run() {
    for (sample, start) in Sample::all().zip([60, 700, 1_500, 2_300]) {
        fed_in_pieces(&sample, (start..start + 40).collect());
    }
}

/// `--state` kept: killed at random moments of a run over a piece, then run again.
#[test]
fn a_killed_run_leaves_everything_as_it_was_and_runs_again_to_the_same_bytes() {
    const KILLS: usize = 20;
    let dir = tempfile::tempdir().expect("a directory");
    let log = LargeLog::write(dir.path());
    let before = dir.path().join("before");
    fs::create_dir(&before).expect("a directory");
    let first_outputs = log.first_piece(&before).succeed();

    let reference = dir.path().join("reference");
    copy_tree(&before, &reference);
    let started = Instant::now();
    let expected = log.second_piece(&reference).succeed();
    let run_time = started.elapsed();
    let accounts_before = inspected(&before);
    assert_ne!(first_outputs, expected);

    let mut random = Random::new(2);
    let mut run_time = run_time;
    let mut killed = 0;
    for _ in 0..5 * KILLS {
        if killed == KILLS {
            return;
        }
        let folder = dir.path().join("killed");
        copy_tree(&before, &folder);
        let replay = log.second_piece(&folder);
        let mut child = replay
            .command()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        // One moment in each twentieth of the run.
        let slice = run_time / KILLS as u32;
        let moment = slice * killed as u32 + slice * random.below(1_000) as u32 / 1_000;
        thread::sleep(moment);
        child.kill().expect("a signal");
        if child.wait().expect("an end").success() {
            // This run was faster than the one that was measured: no kill.
            run_time = run_time * 9 / 10;
        } else {
            killed += 1;
            let outputs = Outputs::read(&folder.join("out"));
            if has_ended(&folder, &expected) {
                fs::remove_dir_all(&folder).expect("removed");
                continue;
            }
            // Outputs are put in place before the state: a run killed between the two is done.
            if outputs != expected {
                first_outputs.assert_equal(&format!("killed after {moment:?}"), &outputs);
            }
            assert!(
                inspected(&folder) == accounts_before || outputs == expected,
                "killed after {moment:?}: the state changed"
            );
            let again = replay.run();
            assert!(again.status.success(), "{}", stderr(&again));
            let place = format!("killed after {moment:?} and run again");
            expected.assert_equal(&place, &Outputs::read(&folder.join("out")));
            assert!(
                inspected(&folder) == expected.accounts,
                "{place}: the state is another"
            );
            assert_eq!(names(&folder), ["out", "state"], "{place}: debris");
        }
        fs::remove_dir_all(&folder).expect("removed");
    }
    panic!("only {killed} of {KILLS} kills met a run of {run_time:?}");
}

/// Feeds a sample with `--state`, cut before each of `cuts` in the order of folding, and compares
/// with what one run gives.
fn fed_in_pieces(sample: &Sample, mut cuts: Vec<usize>) {
    let dir = tempfile::tempdir().expect("a directory");
    let fold_order = sample.fold_order();
    let lines = sample.lines();
    cuts.sort_unstable();
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([fold_order.len()]);

    let mut joined = Outputs::default();
    for (number, (start, end)) in starts.zip(ends).enumerate() {
        let folder = dir.path().join(number.to_string());
        let mut replay = in_folder(sample, &folder);
        replay.state = Some(dir.path().join("state"));
        if end < fold_order.len() || number < cuts.len() {
            replay.until = None;
        }
        // Each input's part of the piece, and the line that each of its lines had.
        let mut parts: Vec<(Vec<u8>, Vec<usize>)> = vec![Default::default(); lines.len()];
        for (input, line) in &fold_order[start..end] {
            let (text, places) = &mut parts[*input];
            text.extend_from_slice(&lines[*input][line - 1]);
            if !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            places.push(*line);
        }
        replay.inputs = (0..)
            .zip(&parts)
            .map(|(input, (text, _))| {
                let path = folder.join(format!("input-{input}.ndjson"));
                fs::write(&path, text).expect("a piece");
                path
            })
            .collect();
        let outputs = replay.succeed();
        joined.derived.extend(outputs.derived);
        joined.accounts = outputs.accounts;
        joined.trace.extend(at_old_places(&outputs.trace, &parts));
        joined
            .dead_letters
            .extend(at_old_places(&outputs.dead_letters, &parts));
    }
    joined.derived = in_derived_order(&joined.derived);
    let place = format!("{} in {} pieces", sample.name, cuts.len() + 1);
    sample.expected.assert_equal(&place, &joined);
}

/// Trace lines or dead letters of a piece, with the places that their records have in the whole.
fn at_old_places(lines: &[u8], parts: &[(Vec<u8>, Vec<usize>)]) -> Vec<u8> {
    let mut moved = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let text = std::str::from_utf8(line).expect("text");
        let rest = text.strip_prefix("{\"input\":").expect("an input first");
        let (input, rest) = rest.split_once(",\"line\":").expect("then a line");
        let (line, rest) = rest.split_once(',').expect("then more");
        let input: usize = input.parse().expect("a number");
        let line: usize = line.parse().expect("a number");
        let place = parts[input].1[line - 1];
        moved.extend(format!("{{\"input\":{input},\"line\":{place},{rest}").into_bytes());
    }
    moved
}

/// The sample's command with its outputs in `folder`, which is made.
fn in_folder(sample: &Sample, folder: &Path) -> Replay {
    fs::create_dir_all(folder).expect("a directory");
    Replay {
        out: folder.join("out"),
        ..sample.replay.clone()
    }
}

/// A sample many times over, each time with teams of other names, in two pieces.
struct LargeLog {
    replay: Replay,
    first: Vec<PathBuf>,
    second: Vec<PathBuf>,
}

impl LargeLog {
    const COPIES: usize = 24;

    fn write(folder: &Path) -> LargeLog {
        let sample = Sample::read(SAMPLES[1]);
        let lines = &sample.lines()[0];
        let mut pieces = [Vec::new(), Vec::new()];
        for copy in 0..LargeLog::COPIES {
            let halves = lines.chunks(lines.len().div_ceil(2));
            for ((half, piece), name) in halves.zip(&mut pieces).zip(["first", "second"]) {
                let text = String::from_utf8_lossy(&half.concat())
                    .replace("\"subject\":\"", &format!("\"subject\":\"{copy}-"))
                    .replace("\"subject\": \"", &format!("\"subject\": \"{copy}-"));
                let path = folder.join(format!("{name}-{copy}.ndjson"));
                fs::write(&path, text).expect("an input");
                piece.push(path);
            }
        }
        let [first, second] = pieces;
        LargeLog {
            replay: sample.replay,
            first,
            second,
        }
    }

    fn first_piece(&self, folder: &Path) -> Replay {
        Replay {
            inputs: self.first.clone(),
            until: None,
            ..self.second_piece(folder)
        }
    }

    fn second_piece(&self, folder: &Path) -> Replay {
        Replay {
            inputs: self.second.clone(),
            out: folder.join("out"),
            state: Some(folder.join("state")),
            flags: vec!["--trace", "--force"],
            ..self.replay.clone()
        }
    }
}

/// The last steps of a run were done: there was nothing left to kill.
fn has_ended(folder: &Path, expected: &Outputs) -> bool {
    let is_acknowledged = !folder.join("state/meterfold-run").exists();
    is_acknowledged
        && Outputs::read(&folder.join("out")) == *expected
        && inspected(folder) == expected.accounts
}

/// The accounts that the state below `folder` holds.
fn inspected(folder: &Path) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(["inspect", "--state"])
        .arg(folder.join("state"))
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

type Pack = fn(&[u8]) -> Vec<u8>;

/// How an input may be packed; the last two in several members or frames.
const PACKINGS: [(&str, Pack); 5] = [
    ("jsonl", <[u8]>::to_vec),
    ("ndjson.gz", gzip),
    ("ndjson.zst", zstandard),
    ("jsonl.gz", |bytes| in_parts(bytes, gzip)),
    ("jsonl.zst", |bytes| in_parts(bytes, zstandard)),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("bytes in memory");
    encoder.finish().expect("bytes in memory")
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("bytes in memory")
}

fn in_parts(bytes: &[u8], pack: Pack) -> Vec<u8> {
    bytes.chunks(100_000).flat_map(pack).collect()
}
