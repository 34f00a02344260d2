//! `meterfold generate` from outside: the same bytes for the same arguments, the same events in
//! every format, lines that the reader accepts, and exit codes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use meterfold::billing::event::Event;
use meterfold::billing::time::Instant;
use meterfold::files::avro_container::{Block, ContainerReader, Records};
use meterfold::wire::cloudevents;
use meterfold::wire::span::{Decoded, Text};
use tempfile::TempDir;

const SMALL: &[&str] = &[
    "--teams",
    "50",
    "--events",
    "3000",
    "--months",
    "2025-12..2026-02",
];

/// An event that owns its text, and its recorded time.
type Recorded = (Event<String>, Instant);

fn generate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
    command.arg("generate").args(arguments);
    command
}

fn output(arguments: &[&[&str]]) -> Output {
    generate(&arguments.concat()).output().unwrap()
}

fn written(arguments: &[&[&str]]) -> Vec<u8> {
    let output = output(arguments);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    output.stdout
}

/// Standard error of a run that ended with `code` and wrote no lines.
fn refused(code: i32, arguments: &[&[&str]]) -> String {
    let output = output(arguments);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// Of a line without its end. None: a dead letter for its form.
fn decode_line(line: &[u8]) -> Option<Recorded> {
    let mut text = Text {
        input: String::from_utf8(line.to_vec()).ok()?,
        side: String::new(),
    };
    let decoded = cloudevents::decode(&text.input, 0, line.len(), &mut text.side);
    owned(&decoded, &text)
}

fn owned(decoded: &Decoded, text: &Text) -> Option<Recorded> {
    let event = decoded.event.as_ref().ok()?;
    Some((
        event.map(|span| text.get(span).to_owned()),
        decoded.recorded?,
    ))
}

fn lines(ndjson: &[u8]) -> Vec<&[u8]> {
    let whole = ndjson
        .strip_suffix(b"\n")
        .expect("the last line has its end");
    whole.split(|&byte| byte == b'\n').collect()
}

fn events(ndjson: &[u8]) -> Vec<Recorded> {
    let decode = |line| decode_line(line).expect("not malformed");
    lines(ndjson).into_iter().map(decode).collect()
}

fn events_of_container(path: &Path) -> Vec<Recorded> {
    let mut reader = ContainerReader::open(File::open(path).unwrap()).unwrap();
    let mut events = Vec::new();
    let mut block = Vec::new();
    while let Some(Block::Records { count }) = reader.next_block(&mut block).unwrap() {
        let mut records = Records::new(reader.plan(), &block, count);
        let mut text = Text::default();
        while let Some((decoded, _)) = records.next_record(&mut text.side) {
            events.push(owned(&decoded, &text).expect("not malformed"));
        }
    }
    events
}

#[test]
fn the_same_arguments_give_the_same_bytes_and_another_seed_others() {
    let shares = &["--duplicates", "2", "--late", "3", "--malformed", "1"];
    let first = written(&[SMALL, shares, &["--seed", "7"]]);
    assert_eq!(first, written(&[SMALL, shares, &["--seed", "7"]]));
    assert_ne!(first, written(&[SMALL, shares, &["--seed", "8"]]));
}

/// Changes of the generator change benchmarks and what users compare by: not by accident.
#[test]
fn the_bytes_stay_as_they_are() {
    let shares = &["--duplicates", "2", "--late", "3", "--malformed", "1"];
    let bytes = written(&[SMALL, shares, &["--seed", "7"]]);
    let digest = bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |digest: u64, &byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
    assert_eq!(
        (bytes.len(), format!("{digest:016x}")),
        (876958, "d4a1e182eb21d06e".to_owned())
    );
}

#[test]
fn there_are_as_many_lines_as_asked_for_and_the_reader_accepts_them() {
    let events = events(&written(&[SMALL]));
    assert_eq!(events.len(), 3000);
    assert!(events.is_sorted_by_key(|(_, recorded)| *recorded));
    let mut types = BTreeMap::new();
    for (event, _) in &events {
        *types.entry(event.body.type_name()).or_insert(0) += 1;
    }
    assert_eq!(types.len(), 14, "{types:?}");
    let period = Instant::parse("2025-12-01T00:00:00Z").unwrap()
        ..Instant::parse("2026-03-01T00:00:00Z").unwrap();
    assert!(
        events
            .iter()
            .all(|(event, recorded)| period.contains(&event.time) && period.contains(recorded))
    );
}

#[test]
fn an_api_call_has_the_size_of_a_real_one() {
    let ndjson = written(&[SMALL]);
    let calls: Vec<usize> = lines(&ndjson)
        .into_iter()
        .filter(|line| memchr::memmem::find(line, b".api-call.").is_some())
        .map(<[u8]>::len)
        .collect();
    let mean = calls.iter().sum::<usize>() / calls.len();
    assert!((230..310).contains(&mean), "{mean}");
}

#[test]
fn few_teams_make_most_calls_and_nearly_all_have_some() {
    let ndjson = written(&[
        &["--teams", "1000", "--events", "10000"],
        &["--months", "2026-01..2026-03"],
    ]);
    let mut by_team = BTreeMap::new();
    for (event, _) in events(&ndjson) {
        if event.body.type_name() != "meterfold.clock-tick.v1" {
            *by_team.entry(event.team).or_insert(0) += 1;
        }
    }
    assert_eq!(by_team.len(), 1000);
    let mut counts: Vec<i32> = by_team.into_values().collect();
    counts.sort_unstable();
    assert!(counts[100] >= 4, "nine teams in ten: {}", counts[100]);
    let busiest: i32 = counts[900..].iter().sum();
    assert!(busiest > 3_500, "one team in ten: {busiest}");
}

#[test]
fn shares_are_met_exactly() {
    let ndjson = written(&[SMALL, &["--duplicates", "5", "--malformed", "10"]]);
    let lines = lines(&ndjson);
    assert_eq!(lines.len(), 3000);
    let readable: Vec<Recorded> = lines.iter().filter_map(|line| decode_line(line)).collect();
    // The other malformed lines are refused for what they say, not for their form.
    let unreadable = lines.len() - readable.len();
    assert!((150..300).contains(&unreadable), "{unreadable}");
    let mut sent = BTreeMap::new();
    for (event, _) in readable {
        *sent.entry((event.source, event.id)).or_insert(0) += 1;
    }
    let resent: i32 = sent.values().map(|times| times - 1).sum();
    assert_eq!(resent, 150);
}

#[test]
fn every_format_holds_the_same_events() {
    let dir = TempDir::new().unwrap();
    let shares: &[&str] = &["--duplicates", "2", "--late", "3"];
    let plain = written(&[SMALL, shares]);
    let file = |name: &str| {
        let path = dir.path().join(name);
        let out = ["--out", path.to_str().unwrap()];
        assert!(written(&[SMALL, shares, &out]).is_empty());
        path
    };
    for name in ["a.ndjson", "a.jsonl"] {
        assert_eq!(std::fs::read(file(name)).unwrap(), plain);
    }
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(File::open(file("a.ndjson.gz")).unwrap())
        .read_to_end(&mut unpacked)
        .unwrap();
    assert!(unpacked == plain, "gzip");
    let unpacked = zstd::decode_all(File::open(file("a.jsonl.zst")).unwrap()).unwrap();
    assert!(unpacked == plain, "zstd");
    assert!(
        events_of_container(&file("a.avro")) == events(&plain),
        "Avro"
    );
    assert_eq!(written(&[SMALL, shares, &["--out", "-"]]), plain);
}

#[test]
fn a_file_is_replaced_only_when_asked() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.ndjson");
    let out = ["--out", path.to_str().unwrap()];
    std::fs::write(&path, "mine").unwrap();
    let error = refused(2, &[SMALL, &out]);
    assert!(
        error.contains("a.ndjson: exists already") && error.contains("--force"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    written(&[SMALL, &out, &["--force"]]);
    assert_eq!(lines(&std::fs::read(&path).unwrap()).len(), 3000);
}

#[test]
fn bad_usage_names_the_argument_and_the_remedy() {
    let months = ["--months", "2026-01"];
    let some: &[&str] = &["--teams", "10", "--events", "1000"];
    for (arguments, words) in [
        (
            [some, &["--months", "2026-03..2026-01"]],
            &["--months", "earlier one first"][..],
        ),
        (
            [some, &["--months", "January"]],
            &["--months", "2026-01..2026-03"],
        ),
        (
            [&["--teams", "0", "--events", "9"], &months],
            &["--teams", "0"],
        ),
        (
            [&["--teams", "10", "--events", "1e6"], &months],
            &["--events", "1e6"],
        ),
    ] {
        let error = refused(2, &arguments);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    for (arguments, words) in [
        (&["--late", "0.001"][..], &["--late", "two decimals"][..]),
        (&["--duplicates", "101"], &["--duplicates", "0 to 100"]),
        (
            &["--duplicates", "30", "--malformed", "21"],
            &["--malformed", "at most 50"],
        ),
        (&["--out", "a.csv"], &["--out a.csv", ".ndjson"]),
        (
            &["--out", "a.avro", "--malformed", "1"],
            &["--malformed", "Avro", "leave it out"],
        ),
        (
            &["--out", "/nowhere/a.ndjson"],
            &["--out /nowhere/a.ndjson", "directory"],
        ),
    ] {
        let error = refused(2, &[some, &months, arguments]);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
}

/// Nothing of the network is needed to know better.
#[test]
fn bad_usage_of_kafka_names_the_argument() {
    let brokers: &[&str] = &["--brokers", "127.0.0.1:1"];
    for (code, arguments, words) in [
        (2, &["--out", "a.ndjson"][..], &["--out", "--brokers"][..]),
        (2, &["--force"], &["--force", "--brokers"]),
        (2, &["--config", "a.toml"], &["--config", "--brokers"]),
        (2, &["--rate", "0"], &["--rate", "0"]),
        (
            2,
            &["--kafka-property", "acks"],
            &["--kafka-property", "linger.ms=20"],
        ),
        (
            4,
            &["--kafka-property", "lingr.ms=5"],
            &["lingr.ms", "linger.ms"],
        ),
        (
            4,
            &["--kafka-property", "linger.ms=soon"],
            &["kafka.\"linger.ms\"", "Invalid value"],
        ),
        (
            4,
            &["--topic", "a", "--accounts-topic", "a"],
            &["\"a\"", "own topic"],
        ),
    ] {
        let error = refused(code, &[SMALL, brokers, arguments]);
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    for arguments in [["--rate", "5"], ["--topic", "a"], ["--accounts-topic", "a"]] {
        let error = refused(2, &[SMALL, &arguments]);
        assert!(error.contains("--brokers"), "{error}");
    }
    let error = refused(4, &[SMALL, &["--config", "/nowhere/meterfold.toml"]]);
    assert!(error.contains("/nowhere/meterfold.toml"), "{error}");
}

#[test]
fn a_broker_that_is_away_ends_the_run() {
    let arguments = ["--brokers", "127.0.0.1:1", "--timeout", "1"];
    let error = refused(5, &[SMALL, &arguments]);
    assert!(
        error.contains("127.0.0.1:1: no broker answers within 1 s"),
        "{error}"
    );
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
}

#[test]
fn too_few_events_are_refused_with_the_number_needed() {
    let arguments = |events: &str| {
        let all = [
            "--teams",
            "100",
            "--months",
            "2026-01",
            "--malformed",
            "10",
            "--events",
            events,
        ];
        all.map(str::to_owned)
    };
    let run = |events: &str| {
        let arguments = arguments(events);
        output(&[&arguments.each_ref().map(String::as_str)])
    };
    let error = String::from_utf8(run("100").stderr).unwrap();
    let (_, rest) = error.split_once("at least ").expect("the number needed");
    let needed: u32 = rest.split(',').next().unwrap().parse().unwrap();
    assert!(error.contains("--events 100"), "{error}");
    assert_eq!(run(&(needed - 1).to_string()).status.code(), Some(2));
    let enough = run(&needed.to_string());
    assert!(enough.status.success());
    assert_eq!(lines(&enough.stdout).len(), needed as usize);
}

#[test]
fn a_reader_that_leaves_ends_the_run_quietly() {
    let many = [
        "--teams", "10", "--events", "1000000", "--months", "2026-01",
    ];
    let mut child = generate(&many)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_a_failure_that_says_so() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let output = generate(SMALL).stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("standard output") && error.contains("No space"),
        "{error}"
    );

    let dir = TempDir::new().unwrap();
    for name in ["a.ndjson", "a.ndjson.gz", "a.ndjson.zst", "a.avro"] {
        let path = dir.path().join(name);
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let error = refused(1, &[SMALL, &["--force", "--out", path.to_str().unwrap()]]);
        assert!(
            error.contains(name) && error.contains("No space"),
            "{error}"
        );
    }
}

#[test]
fn help_has_an_example() {
    let help = String::from_utf8(written(&[&["--help"]])).unwrap();
    assert!(help.contains("Examples:") && help.contains("--months 2026-01..2026-03"));
}
