//! Settings of the Kafka clients (`engine.md` 11): the consumer and the producer of a worker, the
//! reader of changelog and journal, and a plain client for questions.
//!
//! Each is made of three layers: what is better than librdkafka's default, what the user says, and
//! what the guarantees need. `config.rs` has refused what the first and the last would contradict.

use std::fs;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::config::{
    Client, Config, MAX_POLL_INTERVAL_MILLIS, SESSION_TIMEOUT_MILLIS, TRANSACTION_TIMEOUT_MILLIS,
};

/// Prefetched records of all partitions of a worker together, if it owns them all.
pub const PREFETCH_KBYTES: u32 = 64 << 10;
/// Of one partition: at least two records of the largest size, at most what a fetch is good for.
pub const PREFETCH_KBYTES_OF_PARTITION: (u32, u32) = (4 << 10, 16 << 10);
/// Fetched in one go from one partition.
const FETCH_BYTES_OF_PARTITION: u32 = 4 << 20;
/// How often the clients of a worker tell of themselves.
const STATISTICS_INTERVAL_MILLIS: &str = "5000";
/// 2 MiB: the largest dead letter with its headers.
const MESSAGE_BYTES_MAX: u32 = 2 << 20;

/// What librdkafka refuses, a line a property.
#[derive(Debug, Error)]
#[error("{}", .0.join("\n"))]
pub struct PropertyFaults(pub Vec<String>);

/// Asks librdkafka about every property by itself, without any network.
///
/// # Errors
///
/// All the properties that it refuses.
pub fn check(config: &Config) -> Result<(), PropertyFaults> {
    let both = [Client::Consumer, Client::Producer];
    let mut faults: Vec<String> = both
        .into_iter()
        .flat_map(|client| config.kafka.of(client))
        .filter_map(|(name, value)| refusal(name, value, config.kafka.is_secret(name)))
        .collect();
    faults.sort();
    faults.dedup();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(PropertyFaults(faults))
    }
}

/// Files that the client reads when it is made or asks for a token; also directories of authorities.
const FILES: [&str; 9] = [
    "https.ca.location",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

fn refusal(name: &str, value: &str, is_secret: bool) -> Option<String> {
    let is_file = FILES.contains(&name) && value != "probe" && !is_secret;
    let unreadable = fs::metadata(value).err().filter(|_| is_file);
    let asked = ClientConfig::new().set(name, value).create_native_config();
    let problem = match (unreadable, asked.err()) {
        (Some(error), _) => format!("{value}: {error}; give a file that is there"),
        (None, None) => return None,
        // The value would stand in the message.
        (None, Some(_)) if is_secret => "is refused by the client; check its file".to_owned(),
        (None, Some(KafkaError::ClientConfig(_, problem, ..))) => {
            format!("{problem}; change or remove it")
        }
        (None, Some(other)) => other.to_string(),
    };
    Some(format!("configuration: kafka.\"{name}\": {problem}"))
}

/// `<application>-<instance>-<worker>`: the transactional id and the static member of the group
/// (`engine.md` 6). It reads one way only: the application has no dash, the worker is a number.
pub fn identity(config: &Config, worker: u16) -> String {
    format!("{}-{}-{worker}", config.application, config.instance)
}

/// The client id of a worker: its identity, and behind `@` where its process is reached.
pub fn client_id(config: &Config, worker: u16) -> String {
    let identity = identity(config, worker);
    match &config.http.advertised {
        Some(address) => format!("{identity}@{address}"),
        None => identity,
    }
}

/// Where the process of a group member is reached; None: it does not say.
pub fn advertised(client_id: &str) -> Option<&str> {
    client_id.rsplit_once('@').map(|(_, address)| address)
}

/// The consumer of a worker: a static member of the group that subscribes to the inputs.
pub fn worker_consumer(config: &Config, worker: u16) -> ClientConfig {
    let kafka = &config.kafka;
    let mut client = fetching(config);
    if !kafka.is_consumer_protocol() {
        // Under the consumer protocol both are the broker's to set.
        let session = kafka.millis("session.timeout.ms", SESSION_TIMEOUT_MILLIS);
        client
            .set("session.timeout.ms", session.to_string())
            .set("partition.assignment.strategy", "cooperative-sticky");
    }
    let poll = kafka.millis("max.poll.interval.ms", MAX_POLL_INTERVAL_MILLIS);
    client
        .set("max.poll.interval.ms", poll.to_string())
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MILLIS)
        .set("group.instance.id", identity(config, worker))
        .set("client.id", client_id(config, worker));
    client
}

/// The transactional producer of a worker.
pub fn worker_producer(config: &Config, worker: u16) -> ClientConfig {
    let kafka = &config.kafka;
    let transaction = kafka.millis("transaction.timeout.ms", TRANSACTION_TIMEOUT_MILLIS);
    let mut client = ClientConfig::new();
    client
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set("retry.backoff.ms", "1")
        .set("retry.backoff.max.ms", "5")
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    extend(&mut client, config, Client::Producer);
    client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("transactional.id", identity(config, worker))
        .set("transaction.timeout.ms", transaction.to_string())
        .set(
            "message.timeout.ms",
            message_timeout(transaction).to_string(),
        )
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MILLIS)
        .set("client.id", client_id(config, worker));
    client
}

/// A reader of committed records that is no member of the group: of the changelog, of the journal.
///
/// librdkafka assigns partitions to no consumer without a group, so it has the group's name (which
/// its rights cover), but it never subscribes and never commits. `purpose` ends its client id.
pub fn reader(config: &Config, purpose: &str) -> ClientConfig {
    let mut client = fetching(config);
    client.set("client.id", own_client_id(config, purpose));
    client
}

/// A producer of records that are not a worker's: idempotent, without transactions. What is not
/// taken within `timeout` is given up. `purpose` ends its client id.
pub fn sender(config: &Config, purpose: &str, timeout: Duration) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
    extend(&mut client, config, Client::Producer);
    // Without transactions it has no meaning.
    client.remove("transaction.timeout.ms");
    client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", timeout.as_millis().to_string())
        .set("client.id", own_client_id(config, purpose));
    client
}

/// A client that asks about the cluster and makes topics.
pub fn admin(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    extend(&mut client, config, Client::Both);
    client.set("client.id", own_client_id(config, "admin"));
    client
}

/// What all consumers have.
fn fetching(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "10")
        .set(
            "queued.max.messages.kbytes",
            prefetch_kbytes(config).to_string(),
        )
        .set(
            "max.partition.fetch.bytes",
            FETCH_BYTES_OF_PARTITION.to_string(),
        );
    extend(&mut client, config, Client::Consumer);
    client
        .set("group.id", &config.application)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .set("check.crcs", "true");
    client
}

/// The user's properties for one kind of client.
fn extend(client: &mut ClientConfig, config: &Config, kind: Client) {
    for (name, value) in config.kafka.of(kind) {
        client.set(name, value);
    }
    if config.kafka.is_oauth() {
        // By default tokens would be asked of us.
        client.set("sasl.oauthbearer.method", "oidc");
    }
}

/// Once queues are split the limit counts for each of them (`engine.md` 12).
fn prefetch_kbytes(config: &Config) -> u32 {
    let inputs = u32::try_from(config.topics.inputs().len()).unwrap_or(1);
    let queues = u32::from(config.topics.partitions) * inputs;
    let (least, most) = PREFETCH_KBYTES_OF_PARTITION;
    (PREFETCH_KBYTES / queues.max(1)).clamp(least, most)
}

/// Records give up before their transaction does.
fn message_timeout(transaction_millis: u64) -> u64 {
    (transaction_millis * 9 / 10).max(transaction_millis.saturating_sub(1_000))
}

fn own_client_id(config: &Config, purpose: &str) -> String {
    format!("{}-{}-{purpose}", config.application, config.instance)
}

#[cfg(test)]
#[path = "client/tests.rs"]
mod tests;
