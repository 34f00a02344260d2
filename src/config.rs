//! The configuration of `run` (`interfaces.md` 4.1): a TOML file, environment variables, flags.
//!
//! Every fault is reported, with its place and a remedy; nothing is guessed and no unknown key is
//! passed over. Nothing here changes a bill, but for `recorded_time`, which `META` holds against a
//! later change. The clients themselves are made in `kafka/client.rs`.

mod client_properties;
mod kafka_properties;
mod keys;
mod layers;
mod loopback;
mod oauth;
mod reference;
mod secret;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use client_properties::{Client, PROPERTIES};
pub use kafka_properties::{
    KafkaProperties, MAX_POLL_INTERVAL_MILLIS, SESSION_TIMEOUT_MILLIS, TRANSACTION_TIMEOUT_MILLIS,
};
pub use secret::Secret;
pub use values::{ConfigError, Fault, Place};

use keys::{Default, KEYS, Key};
use layers::Layers;
use loopback::is_plaintext_url;
use values::{Form, Raw, shown};

/// A checked configuration. Empty texts of optional keys are None.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub application: String,
    pub instance: String,
    pub workers: u16,
    pub rates: PathBuf,
    pub state_dir: PathBuf,
    pub recorded_time: RecordedTime,
    pub idle_margin_millis: u64,
    pub on_wrong_partition: OnWrongPartition,
    pub linger_millis: u64,
    /// Plain text is allowed beyond this machine.
    pub insecure: bool,
    pub kafka: KafkaProperties,
    pub topics: Topics,
    pub commit: Commit,
    pub output: Output,
    /// None: there is no registry.
    pub registry: Option<Registry>,
    pub http: Http,
}

/// Where the recorded time of an event comes from (`engine.md` 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedTime {
    /// The broker's clock at the append.
    Append,
    /// The time that the producer gave: back-fills and tests.
    Record,
}

/// What becomes of a record under a wrong key or in a wrong partition (`interfaces.md` 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnWrongPartition {
    Halt,
    DeadLetter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    pub api_calls: String,
    /// None: `api_calls` is the one input.
    pub accounts: Option<String>,
    pub cap_reached: String,
    pub tokens_depleted: String,
    pub switched_to_postpay: String,
    pub monthly_invoice: String,
    pub dead_letters: String,
    pub changelog: String,
    pub journal: String,
    pub partitions: u16,
    pub replication_factor: u16,
    pub min_insync_replicas: u16,
}

impl Topics {
    /// All that a worker writes, partition by partition of the inputs' numbers.
    pub fn outputs(&self) -> [&str; 7] {
        [
            &self.cap_reached,
            &self.tokens_depleted,
            &self.switched_to_postpay,
            &self.monthly_invoice,
            &self.dead_letters,
            &self.changelog,
            &self.journal,
        ]
    }

    /// All that an audit reads (`SECURITY.md`).
    pub fn evidence(&self) -> Vec<&str> {
        let outputs = self.outputs().into_iter();
        let outputs = outputs.filter(|topic| *topic != self.changelog);
        self.inputs().into_iter().chain(outputs).collect()
    }

    /// The inputs, in the order in which ties are broken (`engine.md` 7): accounts first.
    pub fn inputs(&self) -> Vec<&str> {
        let accounts = self.accounts.as_deref();
        accounts
            .into_iter()
            .chain([self.api_calls.as_str()])
            .collect()
    }

    /// The topics of the four derived events.
    pub fn derived(&self) -> [&str; 4] {
        [
            &self.cap_reached,
            &self.tokens_depleted,
            &self.switched_to_postpay,
            &self.monthly_invoice,
        ]
    }
}

/// When a commit is made: whichever comes first (`engine.md` 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    pub interval_millis: u64,
    pub cells_max: usize,
    pub output_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    pub format: OutputFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    Json,
    Avro,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    pub url: String,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    pub register: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub listen: SocketAddr,
    /// `HOST:PORT` under which others reach this process.
    pub advertised: Option<String>,
    pub bearer_token_file: Option<PathBuf>,
}

impl Config {
    /// Reads the layers: `overrides` (from `--set`) over `environment` over the file at `path` over
    /// the defaults. Only variables that begin with `METERFOLD_` are looked at.
    ///
    /// # Errors
    ///
    /// Every fault of every layer, not only the first.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Result<Config, ConfigError> {
        let mut layers = Layers::default();
        if let Some(path) = path {
            layers.add_file(path);
        }
        layers.add_variables(environment);
        layers.add_flags(overrides);
        check(layers)
    }

    /// The configuration that a TOML text gives, which `place` names in messages.
    pub fn parse(place: &str, text: &str) -> Result<Config, ConfigError> {
        let mut layers = Layers::default();
        layers.add_document(place, text);
        check(layers)
    }

    /// Brokers and the registry, where they are reached in plain text beyond this machine.
    pub fn plaintext_peers(&self) -> Vec<&str> {
        let mut peers = self.kafka.plaintext_brokers();
        peers.extend(oauth::plaintext_endpoint(&self.kafka));
        let registry = self.registry.as_ref().map(|registry| registry.url.as_str());
        peers.extend(registry.filter(|url| is_plaintext_url(url)));
        peers
    }

    /// A TOML document of every key with its default, its limits and its meaning.
    pub fn default_document() -> String {
        reference::default_document()
    }

    /// The tables of `docs/configuration.md`.
    pub fn reference() -> String {
        reference::markdown()
    }
}

/// Faults of a layer come first, then those of values, in the order of the keys.
fn check(layers: Layers) -> Result<Config, ConfigError> {
    let Layers {
        keys,
        kafka,
        mut faults,
    } = layers;
    let mut values = Values(BTreeMap::new());
    for key in KEYS {
        let raw = keys.get(key.name);
        let found = match raw {
            Some(raw) => Some(raw.clone()),
            None => values.default_of(key).map(|text| Raw {
                text,
                form: Form::Any,
                place: Place::Nowhere,
            }),
        };
        let place = raw.map_or(Place::Nowhere, |raw| raw.place.clone());
        let problem = match &found {
            None => Some(format!("is missing; give {}", key.kind.wanted())),
            Some(raw) => key.kind.fault(raw),
        };
        if let Some(problem) = problem {
            let key = key.name.to_owned();
            faults.push(Fault {
                place,
                key,
                problem,
            });
        } else if let Some(raw) = found {
            values.0.insert(key.name, raw);
        }
    }
    let kafka = kafka.check(values.is_insecure(), &mut faults);
    faults.extend(values.contradictions());
    if faults.is_empty() {
        Ok(values.config(kafka))
    } else {
        Err(ConfigError(faults))
    }
}

/// Values that are right, each by itself.
struct Values(BTreeMap<&'static str, Raw>);

impl Values {
    fn default_of(&self, key: &Key) -> Option<String> {
        if let Default::Is(text) = key.default {
            return Some(text.to_owned());
        }
        // Where the application is refused, that is the fault.
        let application = self
            .0
            .get("application")
            .map_or("meterfold", |raw| &raw.text);
        match key.name {
            "instance" => host_name(),
            "topics.dead_letters" => Some(format!("{application}-dead-letters")),
            "topics.changelog" => Some(format!("{application}-changelog")),
            "topics.journal" => Some(format!("{application}-journal")),
            _ => None,
        }
    }

    fn is_insecure(&self) -> bool {
        self.0.get("insecure").is_some_and(|raw| raw.text == "true")
    }

    /// Values that are right alone and wrong together.
    fn contradictions(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let text = |name: &str| self.0.get(name).map_or("", |raw| raw.text.as_str());
        let number = |name: &str| text(name).parse::<u64>().unwrap_or_default();
        let mut fault = |name: &str, problem: String| {
            let place = self
                .0
                .get(name)
                .map_or(Place::Nowhere, |raw| raw.place.clone());
            faults.push(Fault {
                place,
                key: name.to_owned(),
                problem,
            });
        };
        let (copies, needed) = (
            number("topics.replication_factor"),
            number("topics.min_insync_replicas"),
        );
        if copies > 0 && needed > copies {
            fault(
                "topics.min_insync_replicas",
                format!("{needed} is more than topics.replication_factor, {copies}; make it less"),
            );
        }
        if text("output.format") == "avro" && text("registry.url").is_empty() {
            fault(
                "output.format",
                "\"avro\" needs a schema registry; give registry.url".to_owned(),
            );
        }
        let url = text("registry.url");
        if is_plaintext_url(url) && !self.is_insecure() {
            fault(
                "registry.url",
                format!(
                    "{} is refused: whoever is on the way could read the password and alter \
                     schemas; give https, or set insecure = true",
                    shown(url)
                ),
            );
        }
        let (user, password) = ("registry.username", "registry.password_file");
        if text(user).is_empty() != text(password).is_empty() {
            let (missing, given) = if text(user).is_empty() {
                (user, password)
            } else {
                (password, user)
            };
            fault(
                missing,
                format!("is missing beside {given}; give both or none"),
            );
        }
        let topics = KEYS
            .iter()
            .filter(|key| matches!(key.kind, keys::Kind::Topic | keys::Kind::OptionalTopic));
        let mut names: BTreeMap<&str, &str> = BTreeMap::new();
        for key in topics {
            let name = text(key.name);
            if name.is_empty() {
                continue;
            }
            if let Some(other) = names.insert(name, key.name) {
                fault(
                    key.name,
                    format!("\"{name}\" is {other} already; give each its own topic"),
                );
            }
        }
        faults
    }

    /// All values are there and right: the table says of which kind each is.
    fn config(&self, kafka: KafkaProperties) -> Config {
        let text = |name: &str| self.0[name].text.clone();
        let optional = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
        let number = |name: &str| -> u64 { text(name).parse().unwrap_or_default() };
        let short = |name: &str| u16::try_from(number(name)).unwrap_or(u16::MAX);
        let size = |name: &str| usize::try_from(number(name)).unwrap_or(usize::MAX);
        Config {
            application: text("application"),
            instance: text("instance"),
            workers: short("workers"),
            rates: text("rates").into(),
            state_dir: text("state_dir").into(),
            recorded_time: match text("recorded_time").as_str() {
                "record" => RecordedTime::Record,
                _ => RecordedTime::Append,
            },
            idle_margin_millis: number("idle_margin_ms"),
            on_wrong_partition: match text("on_wrong_partition").as_str() {
                "dead_letter" => OnWrongPartition::DeadLetter,
                _ => OnWrongPartition::Halt,
            },
            linger_millis: number("linger_ms"),
            insecure: self.is_insecure(),
            kafka,
            topics: Topics {
                api_calls: text("topics.api_calls"),
                accounts: optional("topics.accounts"),
                cap_reached: text("topics.cap_reached"),
                tokens_depleted: text("topics.tokens_depleted"),
                switched_to_postpay: text("topics.switched_to_postpay"),
                monthly_invoice: text("topics.monthly_invoice"),
                dead_letters: text("topics.dead_letters"),
                changelog: text("topics.changelog"),
                journal: text("topics.journal"),
                partitions: short("topics.partitions"),
                replication_factor: short("topics.replication_factor"),
                min_insync_replicas: short("topics.min_insync_replicas"),
            },
            commit: Commit {
                interval_millis: number("commit.interval_ms"),
                cells_max: size("commit.cells_max"),
                output_bytes_max: size("commit.output_bytes_max"),
            },
            output: Output {
                format: match text("output.format").as_str() {
                    "avro" => OutputFormat::Avro,
                    _ => OutputFormat::Json,
                },
            },
            registry: optional("registry.url").map(|url| Registry {
                url,
                username: optional("registry.username"),
                password_file: optional("registry.password_file").map(PathBuf::from),
                register: text("registry.register") == "true",
            }),
            http: Http {
                listen: text("http.listen")
                    .parse()
                    .unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 8080))),
                advertised: optional("http.advertised"),
                bearer_token_file: optional("http.bearer_token_file").map(PathBuf::from),
            },
        }
    }
}

fn host_name() -> Option<String> {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().ok()?;
    Some(name.to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
