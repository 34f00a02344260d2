//! `meterfold replay` end to end, against two limits in the same run: reading and decoding the
//! same file alone, and DuckDB counting it by team, month and API.
//!
//! `cargo bench --bench replay -- [EVENTS TEAMS]`, by default 10 million events of 1 million teams
//! (4 GB of disk below the system's temporary directory). DuckDB is run by the Python that
//! `DUCKDB_PYTHON` names; `make bench` sees to that. Targets: DuckDB's rate with as many threads;
//! memory below 1 GiB, and flat from 1 to 10 million events of the same teams.

mod generated;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant as WallInstant};

use meterfold::files::input::Input;

use generated::{BOOK, PROGRAM, directory, events_and_teams};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/duckdb_count.py");

/// What a run took.
struct Took {
    seconds: Duration,
    /// None: not measured.
    peak_bytes: Option<u64>,
}

fn main() {
    let (events, teams) = events_and_teams((10_000_000, 1_000_000));
    let directory = directory();
    let lines = generate(&directory, "events.ndjson", events, teams);
    println!(
        "{events} events of {teams} teams, {} MB of NDJSON",
        size(&lines) / 1_000_000
    );
    println!(
        "{:<42}{:>8}{:>14}{:>12}",
        "", "threads", "events/s", "peak MB"
    );
    for threads in [1, 2] {
        row(
            "replay, NDJSON",
            threads,
            events,
            replay(&directory, &lines, threads),
        );
        row(
            "  reading and decoding alone",
            threads,
            events,
            decode(&lines, threads),
        );
        for query in ["plain", "distinct"] {
            match duckdb(&lines, threads, query) {
                Some(took) => row(
                    &format!("  DuckDB, GROUP BY, {query}"),
                    threads,
                    events,
                    took,
                ),
                None => println!("  DuckDB: not run, DUCKDB_PYTHON names no Python that has it"),
            }
        }
    }
    fs::remove_file(&lines).expect("to remove");
    let container = generate(&directory, "events.avro", events, teams);
    for threads in [1, 2] {
        row(
            "replay, Avro",
            threads,
            events,
            replay(&directory, &container, threads),
        );
        row(
            "  reading and decoding alone",
            threads,
            events,
            decode(&container, threads),
        );
    }
    fs::remove_file(&container).expect("to remove");
    for events in [events / 10, events] {
        let lines = generate(&directory, "flat.ndjson", events, teams / 10);
        let name = format!("replay, {events} events of {} teams", teams / 10);
        row(&name, 2, events, replay(&directory, &lines, 2));
        fs::remove_file(&lines).expect("to remove");
    }
    fs::remove_dir_all(&directory).expect("to remove");
}

fn row(name: &str, threads: usize, events: u64, took: Took) {
    let rate = u128::from(events) * 1_000 / took.seconds.as_millis().max(1);
    let peak = took
        .peak_bytes
        .map_or("-".into(), |bytes| (bytes / 1_000_000).to_string());
    println!("{name:<42}{threads:>8}{rate:>14}{peak:>12}");
}

fn generate(directory: &Path, name: &str, events: u64, teams: u64) -> PathBuf {
    let path = directory.join(name);
    let arguments = ["--months", "2026-01..2026-02", "--seed", "7"];
    let arguments = [&arguments[..], &["--duplicates", "1"]].concat();
    generated::generate(&path, (events, teams), &arguments);
    path
}

fn replay(directory: &Path, input: &Path, threads: usize) -> Took {
    let mut command = Command::new(PROGRAM);
    command.args([
        "replay",
        "--force",
        "--rates",
        BOOK,
        "--threads",
        &threads.to_string(),
        "--out",
    ]);
    command
        .arg(directory.join("out"))
        .arg(input)
        .stdout(Stdio::null());
    let begun = WallInstant::now();
    let mut child = command.spawn().expect("the program runs");
    let mut peak_bytes = None;
    let status = loop {
        // The kernel keeps the peak, so looking now and then misses little of it.
        peak_bytes = peak_of(child.id()).max(peak_bytes);
        match child.try_wait().expect("a child") {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(status.success(), "replay failed");
    Took {
        seconds: begun.elapsed(),
        peak_bytes,
    }
}

/// Peak resident memory of a process.
fn peak_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1_024)
}

/// Reads and decodes on one thread each the even and the odd chunks, if there are two.
fn decode(path: &Path, threads: usize) -> Took {
    let begun = WallInstant::now();
    let mut input = Input::open(path, 0, Arc::new(AtomicU64::new(0))).expect("an input");
    loop {
        let mut chunks = Vec::new();
        while chunks.len() < threads
            && let Some(chunk) = input.read(Default::default()).expect("readable")
        {
            chunks.push(chunk);
        }
        if chunks.is_empty() {
            break;
        }
        std::thread::scope(|scope| {
            for chunk in chunks {
                let input = &input;
                scope.spawn(move || std::hint::black_box(input.decode(chunk).0.records.len()));
            }
        });
    }
    Took {
        seconds: begun.elapsed(),
        peak_bytes: None,
    }
}

fn duckdb(path: &Path, threads: usize, query: &str) -> Option<Took> {
    let python = std::env::var_os("DUCKDB_PYTHON")?;
    let output = Command::new(python)
        .arg(PEER)
        .arg(path)
        .arg(threads.to_string())
        .arg(query)
        .output()
        .ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    let seconds: f64 = printed.split_whitespace().nth(1)?.parse().ok()?;
    Some(Took {
        seconds: Duration::from_secs_f64(seconds),
        peak_bytes: None,
    })
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}
