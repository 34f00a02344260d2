//! `meterfold validate`: whether `run` would start with a configuration, and against a cluster.

use clap::Args;

use crate::config::Config;

use super::config_args::{ConfigArgs, TimeoutArgs};
use super::failure::Failure;
use super::file_state;
use super::streams;
use super::topics;

/// Check a configuration and its rate book, and against a cluster the topics and rights
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meterfold validate --config meterfold.toml
  meterfold validate --config meterfold.toml --against-cluster
  meterfold validate --print-default-config

Exit codes: 0 valid, 4 configuration, rate book or a topic is wrong, 5 brokers unreachable, 6 access
refused.")]
pub struct ValidateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check the topics of the cluster too, and what may be done with them.
    #[arg(long)]
    against_cluster: bool,
    #[command(flatten)]
    timeout: TimeoutArgs,
    /// Print a configuration of all defaults, with what each key means, and do nothing else.
    #[arg(long)]
    print_default_config: bool,
}

pub fn run(args: ValidateArgs) -> Result<(), Failure> {
    if args.print_default_config {
        return streams::say(Config::default_document().as_bytes());
    }
    let config = args.config.load()?;
    let book = check_book(&config)?;
    for broker in config.kafka.plaintext_brokers() {
        streams::note(format_args!(
            "warning: {broker} is reached in plain text; set kafka.\"security.protocol\" to ssl or \
             sasl_ssl"
        ));
    }
    let mut said = format!("configuration and rate book {book} are valid\n");
    if args.against_cluster {
        let cluster = args.timeout.connect(&config)?;
        let count = topics::check(&cluster, &config)?;
        said += &format!(
            "{count} topics of cluster {} are as they must be\n",
            cluster.id()
        );
    }
    streams::say(said.as_bytes())
}

/// The book's name.
fn check_book(config: &Config) -> Result<String, Failure> {
    let place = config.rates.display();
    let text = std::fs::read(&config.rates).map_err(|error| {
        Failure::invalid(format!("{place}: {error}; give a rate book in rates"))
    })?;
    let book = file_state::read_book(&config.rates, &text)?;
    Ok(book.id.to_string())
}
