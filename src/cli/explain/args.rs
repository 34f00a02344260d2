//! The arguments of `meterfold explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::billing::rate_book::{MeterNo, RateBook};
use crate::billing::time::{Instant, Month};
use crate::cli::config_args::{ConfigArgs, OF_LOG, ONLY_OF_LOG, TimeoutArgs};
use crate::cli::failure::Failure;
use crate::cli::replay::{default_threads, parse_instant, parse_threads};
use crate::wire::shown_text::printable;

use super::Question;

/// Explain a month of a team: from its events to the amounts of its invoice.
#[derive(Args)]
#[command(after_help = "\
Examples:
  meterfold explain --team team-7 --month 2026-01 --rates aps.json \\
    --until 2026-02-04T00:00:00Z events.ndjson.gz
  meterfold explain --team team-7 --month 2026-01 --line md.complex --rates aps.json \\
    --format html events.ndjson > january.html
  meterfold explain --team team-7 --month 2026-01 --config meterfold.toml --archive /archive

With --config or --archive the team's partition is folded again as an audit does it, from Kafka or
an archive, in the order and with the clocks and rate books of its journal: what is shown is proven.

Exit codes: 0 done, 1 failed while running, 2 bad usage, unreadable input, unknown team, month or
meter, 3 journal and records differ, 4 rate book or configuration invalid, 5 brokers unreachable,
6 access refused, 9 an invariant broke, 10 stopped by a guard rail or cannot be proven,
130/143 interrupted.")]
pub struct ExplainArgs {
    /// Team to explain.
    #[arg(long, value_name = "TEAM")]
    pub team: String,
    /// Month to explain (2026-01).
    #[arg(long, value_name = "MONTH", value_parser = parse_month)]
    pub month: Month,
    /// Only the lines of this meter.
    #[arg(long, value_name = "METER")]
    pub line: Option<String>,
    /// How to show it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Rate book (JSON).
    #[arg(long, value_name = "BOOK.json", required_unless_present_any = OF_LOG, conflicts_with_all = ONLY_OF_LOG)]
    pub rates: Option<PathBuf>,
    /// Move the clock to this instant after the last event.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant, conflicts_with_all = OF_LOG)]
    pub until: Option<Instant>,
    /// Threads to decode with; no output byte depends on it.
    #[arg(long, value_name = "N", default_value_t = default_threads(), value_parser = parse_threads, conflicts_with_all = OF_LOG)]
    pub threads: usize,
    /// Accept a recorded time more than 400 days after the clock.
    #[arg(long, conflicts_with_all = OF_LOG)]
    pub allow_clock_jump: bool,
    /// Explain what `meterfold archive` copied there.
    #[arg(long, value_name = "DIR|URL", conflicts_with = "timeout")]
    pub archive: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub timeout: TimeoutArgs,
    /// Inputs of the replay to explain: .ndjson or .jsonl (also .gz, .zst), or .avro.
    #[arg(value_name = "INPUT", required_unless_present_any = OF_LOG, conflicts_with_all = OF_LOG)]
    pub inputs: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal.
    Text,
    /// One object, for programs.
    Json,
    /// One self-contained page with a chart.
    Html,
}

impl ExplainArgs {
    pub fn question(&self, book: &RateBook) -> Result<Question, Failure> {
        let meter = self.line.as_deref().map(|line| meter_named(book, line));
        Ok(Question {
            team: self.team.as_str().into(),
            month: self.month,
            meter: meter.transpose()?,
            until: self.until,
        })
    }
}

fn meter_named(book: &RateBook, name: &str) -> Result<MeterNo, Failure> {
    let index = book.meters.iter().position(|meter| meter.as_ref() == name);
    let number = index.and_then(|index| u16::try_from(index).ok());
    number.map(MeterNo).ok_or_else(|| {
        let all: Vec<&str> = book.meters.iter().map(AsRef::as_ref).collect();
        Failure::usage(format!(
            "--line {}: the rate book has no such meter; it has {}",
            printable(name),
            all.join(", ")
        ))
    })
}

fn parse_month(text: &str) -> Result<Month, String> {
    Month::parse(text).ok_or_else(|| "not a month such as 2026-01".into())
}
