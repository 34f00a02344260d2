//! How much is measured: environment variables, each with its default.

use std::env;
use std::fmt::Display;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    Avro,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Throughput,
    Latency,
    Restart,
}

pub struct Sizes {
    /// API calls of the backlog: `PIPELINE_RECORDS`.
    pub records: u64,
    /// `PIPELINE_TEAMS`.
    pub teams: u64,
    /// Of the input topic, and the processors' topics with it: `PIPELINE_PARTITIONS`.
    pub partitions: u16,
    /// Of every processor: `PIPELINE_WORKERS`.
    pub workers: u16,
    /// `PIPELINE_FORMATS`, of avro and json.
    pub formats: Vec<Format>,
    /// `PIPELINE_PARTS`, of throughput, latency and restart.
    pub parts: Vec<Part>,
    /// Milliseconds between commits where throughput is measured: `PIPELINE_COMMIT_MS`.
    pub commit_millis: Vec<u64>,
    /// The same for latency: `PIPELINE_LATENCY_COMMIT_MS`.
    pub latency_commit_millis: Vec<u64>,
    /// How long latency is measured: `PIPELINE_LATENCY_SECONDS`.
    pub latency_seconds: u64,
    /// Records/s beside the probes; None, half of what was carried: `PIPELINE_LATENCY_RATE`.
    pub latency_rate: Option<u64>,
    /// `PIPELINE_RESTART_TEAMS`.
    pub restart_teams: u64,
}

impl Sizes {
    pub fn from_environment() -> Sizes {
        let sizes = Sizes {
            records: one("PIPELINE_RECORDS", 5_000_000),
            teams: one("PIPELINE_TEAMS", 50_000),
            partitions: one("PIPELINE_PARTITIONS", 4),
            workers: one("PIPELINE_WORKERS", 2),
            formats: list("PIPELINE_FORMATS", "avro,json"),
            parts: list("PIPELINE_PARTS", "throughput,latency,restart"),
            commit_millis: list("PIPELINE_COMMIT_MS", "500,100"),
            latency_commit_millis: list("PIPELINE_LATENCY_COMMIT_MS", "20,100,500"),
            latency_seconds: one("PIPELINE_LATENCY_SECONDS", 20),
            latency_rate: env::var("PIPELINE_LATENCY_RATE")
                .ok()
                .map(|text| parse("PIPELINE_LATENCY_RATE", &text)),
            restart_teams: one("PIPELINE_RESTART_TEAMS", 1_000_000),
        };
        let has_rate = sizes.latency_rate.is_some() || sizes.has(Part::Throughput);
        assert!(
            has_rate || !sizes.has(Part::Latency),
            "latency without throughput wants PIPELINE_LATENCY_RATE"
        );
        sizes
    }

    pub fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

impl Format {
    pub const fn name(self) -> &'static str {
        match self {
            Format::Avro => "avro",
            Format::Json => "json",
        }
    }
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Format, &'static str> {
        match text {
            "avro" => Ok(Format::Avro),
            "json" => Ok(Format::Json),
            _ => Err("avro or json"),
        }
    }
}

impl FromStr for Part {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Part, &'static str> {
        match text {
            "throughput" => Ok(Part::Throughput),
            "latency" => Ok(Part::Latency),
            "restart" => Ok(Part::Restart),
            _ => Err("throughput, latency or restart"),
        }
    }
}

fn one<T: FromStr<Err: Display>>(name: &str, default: T) -> T {
    env::var(name).map_or(default, |text| parse(name, &text))
}

fn list<T: FromStr<Err: Display>>(name: &str, default: &str) -> Vec<T> {
    let text = env::var(name).unwrap_or_else(|_| default.to_owned());
    text.split(',').map(|word| parse(name, word)).collect()
}

fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> T {
    text.trim()
        .parse()
        .unwrap_or_else(|error| panic!("{name}={text}: {error}"))
}
