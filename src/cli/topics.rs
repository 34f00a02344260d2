//! `meterfold topics`: makes the topics of a configuration, or says what is wrong with them.

use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::kafka::cluster::Cluster;
use crate::kafka::topics::{self, RightsOf, Severity, TopicFault};

use super::config_args::{ConfigArgs, TimeoutArgs};
use super::failure::Failure;
use super::streams;

/// Make the topics with the right settings, or check them
#[derive(Args, Debug)]
pub struct TopicsArgs {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Subcommand, Debug)]
enum TopicsCommand {
    /// Make the topics that are missing, inputs too; never alter one that is there
    #[command(after_help = "\
Example:
  meterfold topics create --config meterfold.toml

It needs Create, Describe and DescribeConfigs on the topics; the rights of *run* are looked for by
*topics check* and *validate*.

Exit codes: 0 all are there and right, 4 configuration or a topic is wrong, 5 brokers unreachable,
6 access refused or a right is missing.")]
    Create(TopicsOptions),
    /// Say what is wrong with each topic, and the command that mends it
    #[command(after_help = "\
Example:
  meterfold topics check --config meterfold.toml --timeout 10

Run it as the user that *run* has: its rights are looked for too.

Exit codes: 0 all are right (warnings apart), 4 configuration or a topic is wrong, 5 brokers
unreachable, 6 access refused or a right is missing.")]
    Check(TopicsOptions),
}

#[derive(Args, Debug)]
struct TopicsOptions {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    timeout: TimeoutArgs,
}

pub fn run(args: TopicsArgs) -> Result<(), Failure> {
    let (TopicsCommand::Create(options) | TopicsCommand::Check(options)) = &args.command;
    let config = options.config.load()?;
    let cluster = options.timeout.connect(&config)?;
    let rights = match args.command {
        TopicsCommand::Create(_) => {
            for creation in topics::create(&cluster, &config)? {
                let what = if creation.is_new { "made" } else { "was there" };
                say(&format!("{}: {what}", creation.topic))?;
            }
            wait_until_there(&cluster, &config, options.timeout.timeout)?;
            RightsOf::Topics
        }
        TopicsCommand::Check(_) => RightsOf::Run,
    };
    let count = check(&cluster, &config, rights)?;
    say(&format!("{count} topics are as they must be"))
}

/// A broker answers that a topic is made before every broker knows it.
fn wait_until_there(cluster: &Cluster, config: &Config, seconds: u64) -> Result<(), Failure> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        let faults = topics::check(cluster, config, RightsOf::Topics)?;
        if faults.iter().all(|fault| fault.setting != "existence") {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Prints warnings; fails where a topic is wrong. Returns the number of topics.
pub fn check(cluster: &Cluster, config: &Config, rights: RightsOf) -> Result<usize, Failure> {
    let faults = topics::check(cluster, config, rights)?;
    let (warnings, errors): (Vec<_>, Vec<_>) = faults
        .into_iter()
        .partition(|fault| fault.severity == Severity::Warning);
    for warning in warnings {
        streams::note(format_args!("{warning}"));
    }
    if !errors.is_empty() {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let is_refused = errors.iter().any(TopicFault::is_refusal);
        let code = if is_refused { 6 } else { 4 };
        return Err(Failure::new(code, lines.join("\n")));
    }
    Ok(topics::rules(config).len())
}

fn say(line: &str) -> Result<(), Failure> {
    streams::say(format!("{line}\n").as_bytes())
}
