//! `meterfold validate`: whether `run` would start with a configuration, and against a cluster.

use clap::Args;

use crate::config::Config;
use crate::kafka::cluster::Cluster;
use crate::kafka::derived_format::DerivedFormat;
use crate::kafka::registry::RegistryError;
use crate::kafka::topics::RightsOf;

use super::config_args::{ConfigArgs, TimeoutArgs};
use super::failure::Failure;
use super::file_state;
use super::streams;
use super::topics;

/// Check a configuration and its rate book, and against a cluster what a run needs of it
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meterfold validate --config meterfold.toml
  meterfold validate --config meterfold.toml --against-cluster
  meterfold validate --print-default-config

Against a cluster, what a run needs is asked for, and nothing is changed: topics with their settings
and rights; the group, who is in it, and the right to join; transactions with their right and the
time-out that the brokers allow, by a producer of its own that begins none; and where derived events
are Avro, the schemas that the registry has for them.

Exit codes: 0 valid, 4 configuration, rate book, a schema or a topic is wrong, 5 brokers or registry
unreachable, 6 access refused or a right is missing.")]
#[command(mut_arg("timeout", |timeout| timeout.requires("against_cluster")))]
pub struct ValidateArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check topics, rights, group, transactions and schemas too, where they are.
    #[arg(long)]
    against_cluster: bool,
    #[command(flatten)]
    timeout: TimeoutArgs,
    /// Print a configuration of all defaults, with what each key means, and do nothing else.
    #[arg(long, conflicts_with_all = ["config", "set", "against_cluster", "timeout"])]
    print_default_config: bool,
}

pub fn run(args: ValidateArgs) -> Result<(), Failure> {
    if args.print_default_config {
        return streams::say(Config::default_document().as_bytes());
    }
    let config = args.config.load()?;
    let book = check_book(&config)?;
    for peer in config.plaintext_peers() {
        streams::note(format_args!(
            "warning: {peer} is reached in plain text; use TLS and remove insecure"
        ));
    }
    let mut said = format!("configuration and rate book {book} are valid\n");
    if args.against_cluster {
        let cluster = args.timeout.connect(&config)?;
        let count = topics::check(&cluster, &config, RightsOf::Run)?;
        said += &format!(
            "{count} topics of cluster {} are as they must be\n",
            cluster.id()
        );
        said += &check_group(&cluster, &config)?;
        cluster.check_transactions(&config)?;
        said += "transactions are initialised within the limits of the brokers\n";
        said += &check_schemas(&config)?;
    }
    streams::say(said.as_bytes())
}

/// Who is in the group. Of one that nobody has joined yet the coordinator tells no rights.
fn check_group(cluster: &Cluster, config: &Config) -> Result<String, Failure> {
    let name = &config.application;
    let Some(group) = cluster.group(name)? else {
        // librdkafka asks by the classic protocol, to which the other's groups are unknown.
        let seen = match config.kafka.is_consumer_protocol() {
            true => "cannot be seen under group.protocol=consumer",
            false => "was not joined yet",
        };
        return Ok(format!("group {name} {seen}\n"));
    };
    if !group.can_read {
        let user = config.kafka.shown_user().unwrap_or("NAME");
        return Err(Failure::new(
            6,
            format!(
                "group {name}: access is without Read, wanted is Read: the user of [kafka] lacks a \
                 right; mend it with: kafka-acls.sh --bootstrap-server {} --add --allow-principal \
                 User:{user} --operation Read --group {name}",
                cluster.brokers()
            ),
        ));
    }
    let (state, members) = (group.state, group.members.len());
    Ok(format!("group {name} is {state} with {members} members\n"))
}

/// Asks the registry as a run does; what a run would register itself may be missing.
fn check_schemas(config: &Config) -> Result<String, Failure> {
    let Some(registry) = &config.registry else {
        return Ok(String::new());
    };
    let is_registered = registry.register;
    let mut asking = config.clone();
    if let Some(registry) = &mut asking.registry {
        registry.register = false;
    }
    match DerivedFormat::of(&asking) {
        Ok(DerivedFormat::Json) => Ok(String::new()),
        Ok(DerivedFormat::Avro(_)) => Ok("the registry has the schemas of derived events\n".into()),
        Err(RegistryError::Refused { .. }) if is_registered => {
            Ok("a run will register schemas of derived events\n".into())
        }
        Err(error) => Err(error.into()),
    }
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
