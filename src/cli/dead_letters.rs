//! `meterfold dead-letters`: looks at the records that were refused, and sends repaired ones again.

mod list;
mod marks;
mod replay;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::billing::event::DeadLetterReason;

use super::config_args::{ConfigArgs, TimeoutArgs};
use super::failure::Failure;
use super::streams;

/// Look at dead letters, and send the repaired ones again
#[derive(Args, Debug)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Subcommand, Debug)]
enum DeadLettersCommand {
    List(ListArgs),
    Replay(ReplayArgs),
}

/// Show dead letters: where each lies and came from, why, and how large it is
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meterfold dead-letters list --config meterfold.toml --reason malformed
  meterfold dead-letters list --config meterfold.toml --json --values --limit 1000000

A place reads PARTITION@OFFSET: `at` in the dead-letters topic, which replay takes, and `record` in
the input topic. Only what is committed is shown, partition by partition, oldest first.

Exit codes: 0 done, 4 configuration wrong, 5 brokers unreachable, 6 access refused.")]
struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    timeout: TimeoutArgs,
    /// Only those of this reason
    #[arg(long, value_name = "REASON", value_parser = reasons())]
    reason: Option<String>,
    /// Only those of this partition
    #[arg(long, value_name = "P")]
    partition: Option<u16>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// An object a line instead of a table
    #[arg(long)]
    json: bool,
    /// With --json: the values too, which hold what producers sent
    #[arg(long, requires = "json")]
    values: bool,
}

/// Send dead letters to the topic and partition from which they came; without --execute only say so
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meterfold dead-letters replay --config meterfold.toml --reason no_rate_card --execute
  meterfold dead-letters replay --config meterfold.toml --partition 3 --offset 17 \\
    --value repaired.json --execute
  meterfold dead-letters replay --config meterfold.toml --reason malformed \\
    --edit 'jq -c \".data.quantity |= tonumber\"' --execute

A record goes with its own key, headers and time, and with the value that --edit or --value gives.
Unrepaired it becomes the same dead letter again, unless the cause has gone. One of the reason
wrong_partition goes to the partition of its key. The dead letter itself stays where it is; to send
it once more does no harm once it was folded: the same id is a duplicate and counts once.

What cannot be sent is named, and the others are sent: cut records (their producer has them), those
of wrong_key without a repair, and those that name no input of the configuration.

Exit codes: 0 done, 1 --edit failed, 2 bad usage, 4 configuration or a topic wrong, 5 brokers
unreachable, 6 access refused, 10 some cannot be sent.")]
struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    timeout: TimeoutArgs,
    /// The one in this partition of the dead-letters topic ..
    #[arg(long, value_name = "P", requires = "offset", group = "which")]
    partition: Option<u16>,
    /// .. at this offset
    #[arg(long, value_name = "O", requires = "partition")]
    offset: Option<i64>,
    /// All of this reason
    #[arg(long, value_name = "REASON", value_parser = reasons(), group = "which")]
    reason: Option<String>,
    /// All
    #[arg(long, group = "which", required_unless_present_any = ["partition", "reason"])]
    all: bool,
    /// A shell command that reads each value and writes the repaired one
    #[arg(long, value_name = "CMD", conflicts_with = "value")]
    edit: Option<String>,
    /// A file with the repaired value of the one
    #[arg(long, value_name = "FILE", requires = "partition")]
    value: Option<PathBuf>,
    /// Send them
    #[arg(long)]
    execute: bool,
    /// Only say what would be sent, as without --execute
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
}

pub fn run(args: DeadLettersArgs) -> Result<(), Failure> {
    match args.command {
        DeadLettersCommand::List(args) => list::run(&args),
        DeadLettersCommand::Replay(args) => replay::run(&args),
    }
}

fn reasons() -> PossibleValuesParser {
    PossibleValuesParser::new(DeadLetterReason::ALL.map(DeadLetterReason::name))
}

fn say(line: &[u8]) -> Result<(), Failure> {
    streams::say(&[line, b"\n"].concat())
}
