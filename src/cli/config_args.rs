//! The arguments by which a command is told its configuration, shared by all that need one.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::Config;
use crate::kafka::client;
use crate::kafka::cluster::{Cluster, ClusterError};
use crate::kafka::evidence::KafkaEvidence;
use crate::kafka::topics;

use super::failure::Failure;

/// Of commands that fold files or a log: the arguments that say that it is a log ..
pub const OF_LOG: [&str; 2] = ["config", "archive"];
/// .. and all that do nothing for files.
pub const ONLY_OF_LOG: [&str; 4] = ["config", "archive", "set", "timeout"];

#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Configuration (TOML); without it, environment and defaults alone.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A key and its value, over environment and file: topics.partitions=4.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub set: Vec<(String, String)>,
}

impl ConfigArgs {
    /// The configuration of file, environment and flags; properties of the Kafka clients are
    /// checked too, and nothing of the network.
    pub fn load(&self) -> Result<Config, Failure> {
        let environment = std::env::vars_os().map(|(name, value)| {
            let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
            (text(name), text(value))
        });
        let config = Config::load(self.config.as_deref(), environment, &self.set)
            .map_err(|error| Failure::invalid(error.to_string()))?;
        client::check(&config).map_err(|error| Failure::invalid(error.to_string()))?;
        Ok(config)
    }
}

#[derive(Args, Debug)]
pub struct TimeoutArgs {
    /// How long to wait for the brokers.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    pub timeout: u64,
}

impl TimeoutArgs {
    pub fn connect(&self, config: &Config) -> Result<Cluster, Failure> {
        Cluster::connect(config, Duration::from_secs(self.timeout)).map_err(Failure::from)
    }

    /// What the log holds of the configured application.
    pub fn evidence(&self, config: &Config) -> Result<KafkaEvidence, Failure> {
        let cluster = self.connect(config)?;
        topics::check_readable(&cluster, &config.topics.evidence())?;
        let timeout = Duration::from_secs(self.timeout);
        Ok(KafkaEvidence::new(config, cluster.id(), timeout)?)
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Failure {
        let code = match &error {
            ClusterError::Unreachable { .. } => 5,
            ClusterError::Refused { .. } => 6,
            ClusterError::Settings(_) | ClusterError::Unmakeable { .. } => 4,
            ClusterError::Failed { .. } => 1,
        };
        Failure::new(code, error.to_string())
    }
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("write it like topics.partitions=4")?;
    Ok((key.to_owned(), value.to_owned()))
}
