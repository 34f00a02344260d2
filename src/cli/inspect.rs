//! `meterfold inspect`: reads what a file run left, offline: its state, or its invoices.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::billing::time::Month;
use crate::files::outputs::DERIVED;
use crate::processor::accounts::{self, AccountsError};
use crate::processor::partition::Partition;
use crate::store::rocks::RocksStore;

use super::failure::Failure;
use super::file_state::{self, FILE_PARTITIONS};
use super::invoice_table::Invoice;
use super::streams;

/// Show what a file run left: accounts from its state directory, or an invoice from its outputs.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    meterfold inspect --state state --team team-0000007\n  \
    meterfold inspect --out january --team team-0000007 --month 2026-01")]
pub struct InspectArgs {
    #[command(flatten)]
    place: Place,
    /// Only this team.
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// Only this month (2026-01).
    #[arg(long, value_name = "MONTH", conflicts_with = "state", value_parser = parse_month)]
    month: Option<Month>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// State directory of a file run: prints one line a team, as in accounts.ndjson.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Outputs of a file run: prints the invoice with the most lines as a table.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn run(args: InspectArgs) -> Result<(), Failure> {
    let team = args.team.as_deref();
    match (&args.place.state, &args.place.out) {
        (Some(state), _) => show_accounts(state, team),
        (None, Some(out)) => show_invoice(out, team, args.month),
        (None, None) => Err(Failure::usage("give --state or --out")),
    }
}

fn show_accounts(state: &Path, team: Option<&str>) -> Result<(), Failure> {
    let place = state.display();
    let unusable = |error: &dyn std::fmt::Display| Failure::state(format!("{place}: {error}"));
    let stores = stores(state)?;
    let first = stores
        .first()
        .ok_or_else(|| unusable(&"holds no partition"))?;
    let text = file_state::stored_book(&first.1)?.ok_or_else(|| unusable(&"holds no rate book"))?;
    let book = Arc::new(file_state::read_book(state, &text)?);
    let partitions: Vec<Partition<RocksStore>> = stores
        .into_iter()
        .map(|(number, store)| Partition::open(number, store, Arc::clone(&book), false, None))
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(&error))?;
    if let Some(team) = team {
        let mut line = Vec::new();
        for partition in &partitions {
            if accounts::write_one(partition, team, &mut line).map_err(|error| unusable(&error))? {
                break;
            }
        }
        if line.is_empty() {
            return Err(Failure::usage(format!(
                "{place}: team {team} was never heard of; check its spelling"
            )));
        }
        return streams::say(&line);
    }
    let mut out = std::io::stdout().lock();
    match accounts::write_all(&partitions, 1, &mut out) {
        Err(AccountsError::Write(error)) => streams::written(Err(error)),
        result => result.map(drop).map_err(|error| unusable(&error)),
    }
}

/// The partitions of a state directory: those of a file run lie in one database, those of a worker
/// on Kafka in one each.
fn stores(state: &Path) -> Result<Vec<(u16, RocksStore)>, Failure> {
    let place = state.display();
    let of_kafka = (0..=u16::MAX)
        .map(|number| (number, state.join(format!("partition-{number}"))))
        .filter(|(_, path)| path.is_dir());
    let mut found = Vec::new();
    for (number, path) in of_kafka {
        if let Some(rocks) = file_state::hold(&path)? {
            found.push((number, rocks.partition(number)));
        }
    }
    if found.is_empty() {
        let rocks = file_state::hold(state)?
            .ok_or_else(|| Failure::usage(format!("{place}: no state is there")))?;
        found.extend((0..FILE_PARTITIONS).map(|number| (number, rocks.partition(number))));
    }
    Ok(found)
}

/// Of the invoices that are asked for the one with the most lines, of equal ones the first.
fn show_invoice(out: &Path, team: Option<&str>, month: Option<Month>) -> Result<(), Failure> {
    let path = out.join(DERIVED);
    let place = path.display();
    let file = File::open(&path)
        .map_err(|error| Failure::usage(format!("{place}: {error}; give the --out of a replay")))?;
    let month = month.map(|month| month.to_string());
    let mut found = 0_u64;
    let mut shown: Option<Invoice> = None;
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line = line.map_err(|error| Failure::failed(format!("{place}: {error}")))?;
        let invoice = Invoice::read(&line).map_err(|error| {
            Failure::failed(format!(
                "{place} line {number}: not a derived event: {error}"
            ))
        })?;
        let Some(invoice) = invoice else { continue };
        if team.is_some_and(|team| team != invoice.team)
            || month
                .as_deref()
                .is_some_and(|month| month != invoice.month())
        {
            continue;
        }
        found += 1;
        if shown
            .as_ref()
            .is_none_or(|shown| invoice.line_count() > shown.line_count())
        {
            shown = Some(invoice);
        }
    }
    let invoice = shown.ok_or_else(|| {
        let team = team.map_or("any team".into(), |team| format!("team {team}"));
        let month = month.as_deref().unwrap_or("any month");
        Failure::usage(format!("{place}: holds no invoice of {team} for {month}"))
    })?;
    let more = match found {
        1 => String::new(),
        found => format!("\nOne of {found} invoices; --team and --month choose another.\n"),
    };
    streams::say(format!("{invoice}{more}").as_bytes())
}

fn parse_month(text: &str) -> Result<Month, String> {
    Month::parse(text).ok_or_else(|| "not a month such as 2026-01".into())
}
