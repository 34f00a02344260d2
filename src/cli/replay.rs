//! `meterfold replay`: folds files with the same loop and store as everything else, and no service.

use std::fs;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant as WallInstant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::billing::rate_book::RateBook;
use crate::billing::time::Instant;
use crate::files::merge::{FileSource, FileSourceError, bytes_so_far, total_bytes};
use crate::files::outputs::{ACCOUNTS, DEAD_LETTERS, DERIVED, LocalCommit, SUMMARY, TRACE};
use crate::files::workspace::{Hold, Staged};
use crate::ports::Batch;
use crate::processor::counts::Counts;
use crate::processor::partition::Partition;
use crate::processor::{CommitPolicy, Progress, RunError, accounts};
use crate::store::rocks::{Rocks, RocksStore};

use super::config_args::{ConfigArgs, OF_LOG, ONLY_OF_LOG, TimeoutArgs};
use super::failure::Failure;
use super::file_state::{self, FILE_PARTITIONS};
use super::streams;
use super::summary::Summary;
use super::what_if::{self, Pair, WHAT_IF, from_log};

/// Fold files of events into derived events and accounts.
#[derive(Args)]
#[command(after_help = "\
Examples:
  meterfold replay --rates aps.json --out january --until 2026-02-04T00:00:00Z events.ndjson.gz
  meterfold replay --rates aps.json --what-if dearer.json --out compared \\
    --until 2026-02-04T00:00:00Z events.ndjson.gz
  meterfold replay --config meterfold.toml --archive /archive --what-if dearer.json --out compared

With --config or --archive the records of Kafka or an archive are folded, in the order and with the
clocks of their journal: once under its own rate books, compared with it as an audit does, and once
under that of --what-if.

Exit codes: 0 done, 1 failed while running, 2 bad usage or unreadable input, 3 journal and records
differ, 4 rate book or configuration invalid, 5 brokers unreachable, 6 access refused, 7 state
unusable, 9 an invariant broke, 10 stopped by a guard rail or evidence is gone, 130/143 interrupted.")]
pub struct ReplayArgs {
    /// Rate book (JSON).
    #[arg(long, value_name = "BOOK.json", required_unless_present_any = OF_LOG, conflicts_with_all = ONLY_OF_LOG)]
    rates: Option<PathBuf>,
    /// Directory for the outputs; must be empty or absent.
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Move the clock to this instant after the last event.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant, conflicts_with_all = OF_LOG)]
    until: Option<Instant>,
    /// Write trace.ndjson: what became of each event.
    #[arg(long, conflicts_with_all = OF_LOG)]
    trace: bool,
    /// Keep the state here, so that files can be fed one after another.
    #[arg(long, value_name = "DIR", conflicts_with_all = OF_LOG)]
    state: Option<PathBuf>,
    /// Threads to decode and fold with; no output byte depends on it.
    #[arg(long, value_name = "N", default_value_t = default_threads(), value_parser = parse_threads)]
    pub(super) threads: usize,
    /// Replace the outputs of an earlier run.
    #[arg(long)]
    pub(super) force: bool,
    /// Accept a recorded time more than 400 days after the clock.
    #[arg(long, conflicts_with_all = OF_LOG)]
    allow_clock_jump: bool,
    /// Fold the same inputs under this rate book too, and compare: a table, and what-if.ndjson.
    #[arg(long, value_name = "BOOK.json", conflicts_with = "state")]
    pub(super) what_if: Option<PathBuf>,
    /// Fold what `meterfold archive` copied there, with --what-if.
    #[arg(
        long,
        value_name = "DIR|URL",
        requires = "what_if",
        conflicts_with = "timeout"
    )]
    pub(super) archive: Option<PathBuf>,
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    #[command(flatten)]
    pub(super) timeout: TimeoutArgs,
    /// Inputs: .ndjson or .jsonl (also .gz, .zst), or .avro; merged by recorded time.
    #[arg(value_name = "INPUT", required_unless_present_any = OF_LOG, conflicts_with_all = OF_LOG)]
    inputs: Vec<PathBuf>,
}

/// The files that a run's directory holds.
const OUTPUT_FILES: [&str; 6] = [DERIVED, ACCOUNTS, DEAD_LETTERS, TRACE, SUMMARY, WHAT_IF];

/// Where the fold under another book works.
pub(super) const WHAT_IF_WORK: &str = "meterfold-what-if";

/// Nothing of a file run counts before its end, so only memory asks for a commit.
pub(super) const POLICY: CommitPolicy = CommitPolicy {
    dirty_teams_max: usize::MAX,
    ids_max: 1 << 20,
    output_bytes_max: 64 << 20,
    decoded_bytes_max: 192 << 20,
    encoded_bytes_max: 352 << 20,
    is_private: true,
};

pub fn run(args: ReplayArgs) -> Result<(), Failure> {
    match args.rates.clone() {
        Some(rates) => fold_files(&args, &rates),
        None => from_log::run(&args),
    }
}

fn fold_files(args: &ReplayArgs, rates: &Path) -> Result<(), Failure> {
    let book_text =
        fs::read(rates).map_err(|error| Failure::usage(format!("{}: {error}", rates.display())))?;
    let started = WallInstant::now();
    let (staged_out, _out_hold) = stage_out(args)?;
    let _state_hold = match &args.state {
        Some(state) => Some(take_hold(state, Failure::state)?),
        None => None,
    };
    if let Some(state) = &args.state
        && file_state::finish_earlier_run(state, &command_digest(args, &book_text))?
    {
        streams::note(format_args!(
            "{}: these outputs were complete; the state of that run is now in place too",
            args.out.display()
        ));
        return Ok(());
    }
    check_out_is_free(&args.out, args.force)?;
    let given_book = file_state::read_book(rates, &book_text)?;
    let other_book = args.what_if.as_deref().map(file_state::read_book_file);
    let other_book = other_book.transpose()?.map(Arc::new);

    let staged_state = match &args.state {
        Some(state) => Staged::beside(state, "meterfold-state").map_err(failed)?,
        None => Staged::beside(&args.out, "meterfold-store").map_err(failed)?,
    };
    let held = args
        .state
        .as_deref()
        .map(file_state::hold)
        .transpose()?
        .flatten();
    if let Some(held) = &held {
        held.checkpoint(staged_state.path())
            .map_err(|error| Failure::state(error.to_string()))?;
    }
    let rocks =
        Rocks::open(staged_state.path()).map_err(|error| Failure::state(error.to_string()))?;
    let book = file_state::adopt_book(&rocks, rates, &book_text, given_book)?;
    staged_out.create().map_err(failed)?;

    let summary = fold(args, &rocks, book, staged_out.path(), args.trace, started)?;
    let compared = other_book.map(|other| what_if(args, other, staged_out.path(), &summary));
    let compared = compared.transpose()?.unwrap_or_default();
    let summary_text = summary.to_json();
    write_synced(&staged_out.path().join(SUMMARY), summary_text.as_bytes())?;
    if let Some(state) = &args.state {
        rocks
            .flush()
            .map_err(|error| Failure::failed(error.to_string()))?;
        drop(rocks);
        file_state::mark_finished(
            staged_state.path(),
            &args.out,
            &summary_text,
            &command_digest(args, &book_text),
        )?;
        staged_out.publish().map_err(failed)?;
        drop(held);
        staged_state.publish().map_err(failed)?;
        file_state::acknowledge(state)?;
    } else {
        drop(rocks);
        staged_out.publish().map_err(failed)?;
    }
    // The outputs are in place, whatever becomes of the table.
    let _ = streams::say((summary.to_table(&args.out) + &compared).as_bytes());
    Ok(())
}

/// Where the outputs are made, and what keeps other runs away from them.
pub(super) fn stage_out(args: &ReplayArgs) -> Result<(Staged, Hold), Failure> {
    check_out(&args.out, args.force)?;
    let hold = take_hold(&args.out, Failure::usage)?;
    // Before anything else, since it removes what a dead run left.
    let staged = Staged::beside(&args.out, "meterfold-out").map_err(failed)?;
    drop(Staged::left_beside(&args.out, WHAT_IF_WORK).map_err(failed)?);
    Ok((staged, hold))
}

/// Folds the inputs under `book` too, beside the outputs in `out`, and compares. Returns a table;
/// what the second fold wrote is gone afterwards.
fn what_if(
    args: &ReplayArgs,
    book: Arc<RateBook>,
    out: &Path,
    summary: &Summary,
) -> Result<String, Failure> {
    let other = Staged::beside(&args.out, WHAT_IF_WORK).map_err(failed)?;
    other.create().map_err(failed)?;
    let (store, outputs) = (other.path().join("store"), other.path().join("out"));
    fs::create_dir(&outputs).map_err(failed)?;
    let rocks = Rocks::open(&store).map_err(|error| Failure::state(error.to_string()))?;
    let other_summary = fold(args, &rocks, book, &outputs, false, WallInstant::now())?;
    drop(rocks);
    let comparison = what_if::compare(out, &outputs, &out.join(WHAT_IF))?;
    comparison.into_table(Pair {
        book: &summary.counts,
        what_if: &other_summary.counts,
    })
}

/// Runs the loop over the inputs and writes all outputs but the summary to `out`.
fn fold(
    args: &ReplayArgs,
    rocks: &Rocks,
    book: Arc<RateBook>,
    out: &Path,
    is_traced: bool,
    started: WallInstant,
) -> Result<Summary, Failure> {
    let mut partitions = (0..FILE_PARTITIONS)
        .map(|number| {
            Partition::open(
                number,
                rocks.partition(number),
                Arc::clone(&book),
                is_traced,
                None,
            )
        })
        .collect::<Result<Vec<Partition<RocksStore>>, _>>()
        .map_err(|error| Failure::state(error.to_string()))?;
    let clock = partitions.iter().filter_map(Partition::clock).max();
    let mut source = FileSource::open(
        &args.inputs,
        clock,
        args.allow_clock_jump,
        FILE_PARTITIONS,
        args.threads,
    )
    .map_err(|error| Failure::usage(error.to_string()))?;
    let mut commit = LocalCommit::create(out, is_traced).map_err(failed)?;
    let mut progress = Bar::new(total_bytes(&args.inputs), source.bytes_read())?;
    crate::processor::run(
        &mut source,
        &mut partitions,
        &mut commit,
        &POLICY,
        args.threads,
        args.until,
        &mut progress,
    )
    .map_err(|error| run_failure(error, &progress))?;
    progress.finish();
    commit.finish().map_err(failed)?;

    let mut counts = Counts::default();
    partitions
        .iter()
        .for_each(|partition| counts.add(partition.counts()));
    summed_up(&partitions, counts, args.threads, out, started)
}

/// Writes the accounts to `out` and sums up what was folded.
pub(super) fn summed_up(
    partitions: &[Partition<RocksStore>],
    counts: Counts,
    threads: usize,
    out: &Path,
    started: WallInstant,
) -> Result<Summary, Failure> {
    let accounts_path = out.join(ACCOUNTS);
    let write_error =
        |error: std::io::Error| Failure::failed(format!("{}: {error}", accounts_path.display()));
    let mut accounts_file = std::io::BufWriter::with_capacity(
        1 << 18,
        fs::File::create(&accounts_path).map_err(write_error)?,
    );
    let teams = accounts::write_all(partitions, threads, &mut accounts_file).map_err(failed)?;
    let file = accounts_file
        .into_inner()
        .map_err(|error| write_error(error.into_error()))?;
    file.sync_all().map_err(write_error)?;

    if !counts.is_conserved() {
        return Err(Failure::new(
            9,
            "an invariant broke: events and dispositions do not add up; nothing was written",
        ));
    }
    let state_digest = partitions.iter().fold(0_u128, |sum, partition| {
        sum.wrapping_add(partition.state_digest())
    });
    Ok(Summary {
        counts,
        teams,
        clock: partitions.iter().filter_map(Partition::clock).max(),
        rate_book: partitions
            .first()
            .map(|partition| partition.book().id.clone())
            .unwrap_or_default(),
        state_digest,
        elapsed: started.elapsed(),
    })
}

/// Keeps other runs away from `directory`, or fails with `refusal`.
fn take_hold(directory: &Path, refusal: fn(String) -> Failure) -> Result<Hold, Failure> {
    Hold::take(directory).map_err(failed)?.ok_or_else(|| {
        refusal(format!(
            "{}: another run is using it; wait until that has ended",
            directory.display()
        ))
    })
}

/// Refuses a directory that holds anything but outputs of a run.
fn check_out(out: &Path, force: bool) -> Result<(), Failure> {
    let entries = match fs::read_dir(out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Failure::usage(format!(
                "{}: {error}; give a directory",
                out.display()
            )));
        }
        Ok(entries) => entries,
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        if force && !OUTPUT_FILES.iter().any(|file| name == *file) {
            let name = name.to_string_lossy();
            return Err(Failure::usage(format!(
                "{}: holds {name}, which no run wrote; give another directory",
                out.display()
            )));
        }
    }
    Ok(())
}

pub(super) fn check_out_is_free(out: &Path, force: bool) -> Result<(), Failure> {
    let is_free = force || fs::read_dir(out).map_or(true, |mut entries| entries.next().is_none());
    match is_free {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{}: is not empty; give another directory, or --force to replace an earlier run's outputs",
            out.display()
        ))),
    }
}

/// What tells two runs apart: all that their outputs follow from.
fn command_digest(args: &ReplayArgs, book_text: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(blake3::hash(book_text).as_bytes());
    for input in &args.inputs {
        let size = fs::metadata(input).map_or(0, |metadata| metadata.len());
        hasher.update(format!("{}\0{size}\0", input.display()).as_bytes());
    }
    hasher.update(format!("{:?}\0{}\0{}", args.until, args.trace, args.out.display()).as_bytes());
    hasher.finalize().to_hex().to_string()
}

pub(super) fn run_failure(error: RunError, progress: &Bar) -> Failure {
    match error {
        RunError::Interrupted => Failure::new(
            progress.interrupted_code(),
            "interrupted; outputs and state are as they were",
        ),
        RunError::Source(error) => match error.downcast_ref::<FileSourceError>() {
            Some(FileSourceError::ClockJump { .. }) => Failure::guard_rail(error.to_string()),
            Some(FileSourceError::Input(_)) => Failure::usage(error.to_string()),
            None => Failure::failed(error.to_string()),
        },
        RunError::Partition(crate::processor::partition::PartitionError::Broken { .. }) => {
            Failure::new(
                9,
                format!("{error}; halted to protect money, nothing was written"),
            )
        }
        RunError::Partition(_) | RunError::Commit(_) => {
            Failure::failed(format!("{error}; outputs and state are as they were"))
        }
    }
}

pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

pub(super) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}

/// Progress on a terminal, and the ear for signals.
pub(super) struct Bar {
    bar: ProgressBar,
    bytes_read: Arc<AtomicU64>,
    events: u64,
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
}

impl Bar {
    pub(super) fn new(bytes: u64, bytes_read: Arc<AtomicU64>) -> Result<Bar, Failure> {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(bytes)
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template(
            "{bar:30} {percent}% {bytes}/{total_bytes}, {msg}, {eta} left",
        );
        bar.set_style(style.map_err(failed)?);
        let flags = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        for (signal, flag) in [
            (signal_hook::consts::SIGINT, &flags.0),
            (signal_hook::consts::SIGTERM, &flags.1),
        ] {
            // A second signal ends the process at once.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(flag),
            )
            .map_err(failed)?;
            signal_hook::flag::register(signal, Arc::clone(flag)).map_err(failed)?;
        }
        Ok(Bar {
            bar,
            bytes_read,
            events: 0,
            interrupt: flags.0,
            terminate: flags.1,
        })
    }

    fn interrupted_code(&self) -> u8 {
        if self.interrupt.load(Ordering::Relaxed) {
            130
        } else {
            143
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn batch_folded(&mut self, batch: &Batch) -> bool {
        self.events += batch.slots.len() as u64;
        self.bar.set_position(bytes_so_far(&self.bytes_read));
        let seconds = self.bar.elapsed().max(Duration::from_millis(1)).as_millis() as u64;
        self.bar
            .set_message(format!("{} events/s", self.events * 1_000 / seconds));
        !self.interrupt.load(Ordering::Relaxed) && !self.terminate.load(Ordering::Relaxed)
    }
}

pub(super) fn default_threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(usize::from(FILE_PARTITIONS))
}

pub(super) fn parse_threads(text: &str) -> Result<usize, String> {
    let threads: usize = text.parse().map_err(|_| "not a whole number".to_string())?;
    let most = usize::from(FILE_PARTITIONS);
    if (1..=most).contains(&threads) {
        Ok(threads)
    } else {
        Err(format!("must be 1 to {most}"))
    }
}

pub(super) fn parse_instant(text: &str) -> Result<Instant, String> {
    Instant::parse(text).ok_or_else(|| {
        "not an instant such as 2026-02-04T00:00:00Z, from 1970 to before 2200".into()
    })
}
