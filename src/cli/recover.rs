//! `meterfold recover`: the way out of a halt, journaled.

use std::fs;
use std::thread;
use std::time::{Duration, Instant as Monotonic};

use clap::Args;

use crate::billing::time::Instant;
use crate::config::Config;
use crate::kafka::log::KafkaLog;
use crate::ports::log::{Log, Outcome};
use crate::processor::partition::BookText;
use crate::processor::recover::{self, Decision, RecoverError};
use crate::wire::rate_book;

use super::config_args::ConfigArgs;
use super::failure::Failure;
use super::streams;

/// Lead a partition out of a halt by a decision that is journaled
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meterfold recover --config meterfold.toml --partition 3 --offsets-from-meta \\
    --reason 'group was deleted by mistake, ticket 4711'
  meterfold recover --config meterfold.toml --partition 3 --accept-gap api-calls:1200..1350 \\
    --reason 'records lost with the old cluster'

Stop every instance first: it waits until the group is empty (static members leave it only when
their session times out). A month with an accepted gap can never be proven.

Exit codes: 0 decided, 2 bad usage, 4 configuration wrong, 5 brokers unreachable or the group not
empty in time, 6 access refused, 10 the decision does not fit what the partition says.")]
pub struct RecoverArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The partition that is halted.
    #[arg(long, value_name = "P")]
    partition: u16,
    #[command(flatten)]
    way: Way,
    /// Why: goes into the journal.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// How long to wait for the brokers and until the group is empty.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Way {
    /// Set the group's offsets to what the newest commit of the changelog says.
    #[arg(long)]
    offsets_from_meta: bool,
    /// Give up records that are gone: from the next record to fold, up to but without TO.
    #[arg(long, value_name = "TOPIC:FROM..TO", value_parser = parse_gap)]
    accept_gap: Option<(String, i64, i64)>,
    /// Let the clock jump to the recorded time of a record.
    #[arg(long, value_name = "TOPIC:OFFSET", value_parser = parse_place)]
    accept_clock: Option<(String, i64)>,
    /// Adopt the configured rate book although the clock is past its first new card.
    #[arg(long)]
    accept_book: bool,
}

pub fn run(args: RecoverArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    if args.partition >= config.topics.partitions {
        return Err(Failure::usage(format!(
            "--partition {}: there are {} partitions, from 0 on",
            args.partition, config.topics.partitions
        )));
    }
    let deadline = Monotonic::now() + Duration::from_secs(args.timeout);
    let mut log = KafkaLog::alone(&config, args.partition)?;
    wait_until_empty(&log, &config, deadline)?;
    let decision = decision(&args, &config, &mut log)?;
    let meta = recover::newest_meta(&mut log, args.partition).map_err(failure)?;
    let meta = meta.ok_or_else(|| {
        Failure::guard_rail(format!(
            "partition {}: the changelog holds no commit: there is nothing to recover",
            args.partition
        ))
    })?;
    let before = meta.witness();
    let staged = recover::stage(args.partition, meta, &decision, &args.reason).map_err(failure)?;
    let after = staged.log.as_ref().map(|log| log.witness);
    match log.commit(&[staged])? {
        Outcome::Committed(_) => {
            let (partition, decision) = (args.partition, decision.text());
            let mut said = format!("partition {partition}: {decision} after {before}\n");
            if let Some(after) = after {
                said += &format!("now at {after}\n");
            }
            streams::say(said.as_bytes())
        }
        Outcome::Unsure { reason, .. } => Err(Failure::failed(format!(
            "the outcome is not known: {reason}; try again, what was decided already is refused"
        ))),
    }
}

fn decision(args: &RecoverArgs, config: &Config, log: &mut KafkaLog) -> Result<Decision, Failure> {
    let way = &args.way;
    if let Some((topic, from, to)) = way.accept_gap.clone() {
        return Ok(Decision::AcceptGap { topic, from, to });
    }
    if let Some((topic, offset)) = way.accept_clock.clone() {
        let found = log.timestamp_at(&topic, args.partition, offset)?;
        let millis = found.ok_or_else(|| {
            Failure::guard_rail(format!(
                "{topic} partition {}: no record has offset {offset}",
                args.partition
            ))
        })?;
        let recorded = Instant::from_millis(millis);
        if !(Instant::EPOCH..Instant::END).contains(&recorded) {
            return Err(Failure::guard_rail(format!(
                "{topic}:{offset} has the timestamp {millis} ms, which no bill can hold; give the record \
                 up with --accept-gap {topic}:{offset}..{}",
                offset + 1
            )));
        }
        return Ok(Decision::AcceptClock {
            topic,
            offset,
            recorded,
        });
    }
    if way.accept_book {
        let path = config.rates.display();
        let invalid = |error: &dyn std::fmt::Display| Failure::invalid(format!("{path}: {error}"));
        let text = fs::read(&config.rates).map_err(|error| invalid(&error))?;
        let digest = rate_book::canonical_digest(&text).map_err(|faults| invalid(&faults))?;
        rate_book::read(&text).map_err(|faults| invalid(&faults))?;
        return Ok(Decision::AcceptBook(BookText { text, digest }));
    }
    Ok(Decision::OffsetsFromMeta)
}

fn wait_until_empty(log: &KafkaLog, config: &Config, deadline: Monotonic) -> Result<(), Failure> {
    loop {
        let members = log.group_members();
        if members == Some(0) {
            return Ok(());
        }
        if Monotonic::now() >= deadline {
            let group = &config.application;
            return Err(Failure::new(
                5,
                match members {
                    Some(count) => format!(
                        "group {group} has {count} members: stop every instance, and wait for the \
                         session timeout of static ones"
                    ),
                    None => format!("group {group}: no broker answers"),
                },
            ));
        }
        thread::sleep(Duration::from_millis(250));
    }
}

fn failure(error: RecoverError) -> Failure {
    match error {
        RecoverError::Log(error) => error.into(),
        RecoverError::Refused(text) => Failure::guard_rail(text),
    }
}

fn parse_gap(text: &str) -> Result<(String, i64, i64), String> {
    let (topic, range) = text
        .rsplit_once(':')
        .ok_or("write it like api-calls:1200..1350")?;
    let (from, to) = range
        .split_once("..")
        .ok_or("write it like api-calls:1200..1350")?;
    let number = |text: &str| {
        text.parse::<i64>()
            .map_err(|error| format!("{text}: {error}"))
    };
    Ok((topic.to_owned(), number(from)?, number(to)?))
}

fn parse_place(text: &str) -> Result<(String, i64), String> {
    let (topic, offset) = text
        .rsplit_once(':')
        .ok_or("write it like api-calls:1200")?;
    let offset = offset
        .parse::<i64>()
        .map_err(|error| format!("{offset}: {error}"))?;
    Ok((topic.to_owned(), offset))
}
