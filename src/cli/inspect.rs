//! `meterfold inspect`: reads a state directory, offline.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::processor::accounts;
use crate::processor::partition::Partition;
use crate::store::rocks::RocksStore;
use crate::wire::partitioner::partition_of;

use super::failure::Failure;
use super::file_state::{self, FILE_PARTITIONS};

/// Show what a state directory holds: one line a team, as in accounts.ndjson.
#[derive(Args)]
#[command(after_help = "Example:\n  meterfold inspect --state state --team team-0000007")]
pub struct InspectArgs {
    /// State directory of a file run.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Only this team.
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
}

pub fn run(args: InspectArgs) -> Result<(), Failure> {
    let place = args.state.display();
    let unusable = |error: &dyn std::fmt::Display| Failure::state(format!("{place}: {error}"));
    let rocks = file_state::hold(&args.state)?
        .ok_or_else(|| Failure::usage(format!("{place}: no state is there")))?;
    let text = file_state::stored_book(&rocks.partition(0))?
        .ok_or_else(|| unusable(&"holds no rate book"))?;
    let book = Arc::new(file_state::read_book(&args.state, &text)?);
    let open = |number| Partition::open(number, rocks.partition(number), Arc::clone(&book), false);
    let mut out = std::io::stdout().lock();
    if let Some(team) = &args.team {
        let partition = open(partition_of(team.as_bytes(), FILE_PARTITIONS))
            .map_err(|error| unusable(&error))?;
        let mut line = Vec::new();
        if !accounts::write_one(&partition, team, &mut line).map_err(|error| unusable(&error))? {
            return Err(Failure::usage(format!(
                "{place}: team {team} was never heard of; check its spelling"
            )));
        }
        return out
            .write_all(&line)
            .map_err(|error| Failure::failed(error.to_string()));
    }
    let partitions: Vec<Partition<RocksStore>> = (0..FILE_PARTITIONS)
        .map(open)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(&error))?;
    accounts::write_all(&partitions, 1, &mut out)
        .map_err(|error| Failure::failed(error.to_string()))?;
    Ok(())
}
