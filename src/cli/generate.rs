//! `meterfold generate`: realistic input for trials, tests and benchmarks.
//!
//! The same arguments give the same bytes on every machine: numbers are drawn by the generator
//! itself, and from integers only. It reads no rate book and promises no dispositions; some of
//! what it writes is refused, denied or late, as in life. Only lines that `--malformed` asks for
//! become dead letters.

mod accounts;
mod damage;
mod joining;
mod kafka;
mod name;
mod output;
mod pace;
mod plan;
mod random;
mod skew;
mod stream;
mod team;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use self::output::{Format, Target};
use self::plan::{Plan, Request, Share, TooFewEvents};
use self::stream::Stream;
use super::config_args::{ConfigArgs, TimeoutArgs};
use super::failure::Failure;
use crate::billing::time::Month;
use crate::config::Config;

const TEAMS_MAX: i64 = 10_000_000;
const EVENTS_MAX: u64 = 100_000_000_000;
const RATE_MAX: u64 = 1_000_000_000;

/// Write realistic events: teams that join, call, buy, leave and come back
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meterfold generate --teams 1000 --events 100000 --months 2026-01..2026-03 --seed 1 \\
    --out input.ndjson
  meterfold generate --teams 50 --events 5000 --months 2025-11..2026-01 --seed 7 \\
    --duplicates 2 --late 1.5 --malformed 0.1 | less
  meterfold generate --teams 1000 --events 100000 --months 2026-01..2026-02 \\
    --config meterfold.toml --rate 5000

To Kafka an event goes under its team, in the partition that the team's name hashes to. Its recorded
time is the record's time of creation, which a processor heeds with recorded_time = \"record\"; by the
time of the append, events of past months are late. The clock ticks of a file are left out.

Exit codes: 0 done, 1 failed while running, 2 bad usage, 4 configuration or a topic is wrong,
5 brokers unreachable, 6 access refused or a right is missing.")]
#[command(mut_arg("timeout", |timeout| timeout.requires("kafka")))]
pub struct GenerateArgs {
    /// How many teams there are; few are busy, most are not
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=TEAMS_MAX))]
    teams: u32,
    /// How many lines to write, all kinds together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=EVENTS_MAX))]
    events: u64,
    /// First and last month; the teams join in the first days of the first
    #[arg(long, value_name = "FROM..TO", value_parser = parse_months)]
    months: Months,
    /// Another seed gives other teams and events
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// A .ndjson or .jsonl file (also with .gz or .zst behind) or an .avro file; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    /// Send to Kafka instead, to brokers and input topics of this configuration (TOML)
    #[arg(long, value_name = "FILE", group = "kafka", conflicts_with_all = ["out", "force"])]
    config: Option<PathBuf>,
    /// Send to Kafka instead, to these brokers
    #[arg(long, value_name = "HOST:PORT,..", group = "kafka", conflicts_with_all = ["out", "force"])]
    brokers: Option<String>,
    /// With --brokers: the topic of usage events, and of all others without --accounts-topic
    #[arg(
        long,
        value_name = "TOPIC",
        requires = "brokers",
        default_value = "api-calls"
    )]
    topic: String,
    /// With --brokers: the topic of all events but usage
    #[arg(long, value_name = "TOPIC", requires = "brokers")]
    accounts_topic: Option<String>,
    /// With --brokers: a property of the client, such as security.protocol=ssl
    #[arg(long, value_name = "NAME=VALUE", requires = "brokers", value_parser = parse_property)]
    kafka_property: Vec<(String, String)>,
    /// With --brokers: plain text is allowed to brokers on other machines
    #[arg(long, requires = "brokers")]
    insecure: bool,
    /// To Kafka: at most so many events a second
    #[arg(
        long,
        value_name = "EVENTS_PER_SECOND",
        requires = "kafka",
        value_parser = clap::value_parser!(u64).range(1..=RATE_MAX)
    )]
    rate: Option<u64>,
    #[command(flatten)]
    timeout: TimeoutArgs,
    /// Share of lines sent again, a tenth of them with other content
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = parse_share)]
    duplicates: Share,
    /// Share of calls recorded hours to five days after they happened
    #[arg(long, value_name = "PERCENT", default_value = "0.5", value_parser = parse_share)]
    late: Share,
    /// Share of lines that are dead letters, of many kinds
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = parse_share)]
    malformed: Share,
}

#[derive(Clone, Copy, Debug)]
struct Months {
    first: Month,
    last: Month,
}

pub fn run(args: GenerateArgs) -> Result<(), Failure> {
    let (target, format) = output_of(&args)?;
    if args.duplicates.parts() + args.malformed.parts() > Share::HALF.parts() {
        return Err(Failure::usage(
            "--duplicates, --malformed: together more than half of the lines; ask for at most 50 percent",
        ));
    }
    if format == Format::Avro && args.malformed != Share::NONE {
        return Err(Failure::usage(
            "--malformed: an Avro file holds no malformed lines; name an .ndjson file or leave it out",
        ));
    }
    let plan = Plan::new(&Request {
        seed: args.seed,
        teams: args.teams,
        events: args.events,
        first_month: args.months.first,
        last_month: args.months.last,
        duplicates: args.duplicates,
        malformed: args.malformed,
        late: args.late,
    });
    let plan = plan.map_err(|TooFewEvents { needed }| {
        Failure::usage(format!(
            "--events {}: too few for {} teams to join; ask for at least {needed}, or for fewer teams",
            args.events, args.teams
        ))
    })?;
    let lines = Stream::new(&plan);
    let Some(config) = kafka_config(&args)? else {
        return output::write(lines, &target, format, args.seed);
    };
    let cluster = args.timeout.connect(&config)?;
    let timeout = Duration::from_secs(args.timeout.timeout);
    kafka::send(lines, args.events, &cluster, &config, args.rate, timeout)
}

/// None: to a file.
fn kafka_config(args: &GenerateArgs) -> Result<Option<Config>, Failure> {
    if let Some(brokers) = &args.brokers {
        let accounts_topic = args.accounts_topic.as_deref();
        let properties = &args.kafka_property;
        let config = kafka::config_of_flags(
            brokers,
            &args.topic,
            accounts_topic,
            properties,
            args.insecure,
        );
        return config.map(Some);
    }
    let Some(path) = &args.config else {
        return Ok(None);
    };
    let config = ConfigArgs {
        config: Some(path.clone()),
        set: Vec::new(),
    };
    config.load().map(Some)
}

fn output_of(args: &GenerateArgs) -> Result<(Target, Format), Failure> {
    if args.out.as_os_str() == "-" {
        return Ok((Target::Stdout, Format::Ndjson));
    }
    let format = Format::of_file(&args.out).ok_or_else(|| {
        let path = args.out.display();
        Failure::usage(format!(
            "--out {path}: not a kind of input; name it .ndjson, .jsonl (these also with .gz or .zst behind) or .avro"
        ))
    })?;
    let target = Target::File {
        path: args.out.clone(),
        replace: args.force,
    };
    Ok((target, format))
}

fn parse_months(text: &str) -> Result<Months, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let parsed = Month::parse(first).zip(Month::parse(last));
    match parsed {
        Some((first, last)) if first <= last => Ok(Months { first, last }),
        Some(_) => {
            Err("the last month is before the first; write the earlier one first".to_owned())
        }
        None => Err("write it like 2026-01..2026-03, or 2026-01".to_owned()),
    }
}

fn parse_property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like linger.ms=20")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_share(text: &str) -> Result<Share, String> {
    Share::parse(text).ok_or_else(|| {
        "write a percentage from 0 to 100 with at most two decimals, like 2.5".to_owned()
    })
}
