//! Which properties librdkafka 2.12 has, for which client, and which of them a user may not touch.
//!
//! Only properties that a text can set are listed (no callbacks, no handles). The clients are made
//! in `kafka/client.rs`; a test there asks librdkafka about every name of this list.

use Client::{Both, Consumer, Producer};
use Rule::{Only, Ours, Within, Without};

/// Which client a property is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Both,
    Consumer,
    Producer,
}

/// What a property of the exactly-once protocol may be.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Set by the program, whatever the user says.
    Ours,
    /// Only these values keep the guarantees.
    Only(&'static [&'static str]),
    /// A list, separated by commas, without any of these.
    Without(&'static [&'static str]),
    /// Numbers from .. to.
    Within(u64, u64),
}

/// Properties that break a guarantee of `engine.md` when they are set otherwise, and why.
pub const RULES: &[(&str, Rule, &str)] = &[
    (
        "acks",
        Only(&["all", "-1"]),
        "fewer acknowledgements lose committed records",
    ),
    (
        "allow.auto.create.topics",
        Only(&["false"]),
        "a topic made by accident has the wrong settings",
    ),
    (
        "auto.commit.enable",
        Only(&["false"]),
        "offsets are committed by the transaction alone",
    ),
    (
        "auto.commit.interval.ms",
        Ours,
        "offsets are committed by the transaction alone",
    ),
    (
        "auto.offset.reset",
        Only(&["error"]),
        "a position out of range must halt the partition, not skip or repeat usage",
    ),
    (
        "check.crcs",
        Only(&["true"]),
        "a damaged record must not be billed",
    ),
    (
        "client.id",
        Ours,
        "it says which instance owns a partition; set http.advertised",
    ),
    (
        "debug",
        Without(&["all", "security"]),
        "the log would show what proves who we are",
    ),
    (
        "delivery.report.only.error",
        Only(&["false"]),
        "the time of an append is read from its delivery report",
    ),
    (
        "enable.auto.commit",
        Only(&["false"]),
        "offsets are committed by the transaction alone",
    ),
    (
        "enable.auto.offset.store",
        Only(&["false"]),
        "offsets are committed by the transaction alone",
    ),
    (
        "enable.idempotence",
        Only(&["true"]),
        "without it a retry appends twice",
    ),
    (
        "enable.partition.eof",
        Only(&["true"]),
        "the clock of a partition moves only past a proven end",
    ),
    (
        "enable.sasl.oauthbearer.unsecure.jwt",
        Only(&["false"]),
        "an unsigned token proves nothing",
    ),
    (
        "enable.ssl.certificate.verification",
        Only(&["true"]),
        "anyone could pose as the broker; give the authority in ssl.ca.location",
    ),
    (
        "group.id",
        Ours,
        "the group is the application; set application",
    ),
    (
        "group.instance.id",
        Ours,
        "it follows from application, instance and worker; set instance",
    ),
    (
        "group.protocol",
        Only(&["classic", "consumer"]),
        "there is no other",
    ),
    (
        "group.protocol.type",
        Only(&["consumer"]),
        "there is no other",
    ),
    (
        "isolation.level",
        Only(&["read_committed"]),
        "aborted records would be billed",
    ),
    (
        "max.poll.interval.ms",
        Within(1_000, 86_400_000),
        "a worker that is stuck must lose its partitions",
    ),
    (
        "message.max.bytes",
        Within(MESSAGE_BYTES_MIN, 1_000_000_000),
        "a dead letter and its headers must fit",
    ),
    (
        "message.timeout.ms",
        Ours,
        "it follows transaction.timeout.ms, which must be longer",
    ),
    (
        "offset.store.method",
        Only(&["broker"]),
        "positions lie in the transaction",
    ),
    (
        "partition.assignment.strategy",
        Only(&["cooperative-sticky"]),
        "an eager rebalance stops every partition",
    ),
    (
        "partitioner",
        Ours,
        "partitions are computed, as those of the inputs are",
    ),
    (
        "sasl.mechanism",
        Only(&["SCRAM-SHA-512", "SCRAM-SHA-256", "OAUTHBEARER", "PLAIN"]),
        "the client is built with no other",
    ),
    (
        "sasl.oauthbearer.method",
        Only(&["oidc"]),
        "there is no other way to a token",
    ),
    (
        "session.timeout.ms",
        Within(1_000, 1_800_000),
        "a dead instance is to be noticed, a restarted one not",
    ),
    (
        "ssl.endpoint.identification.algorithm",
        Only(&["https"]),
        "anyone with a certificate could pose as the broker",
    ),
    (
        "topic.blacklist",
        Ours,
        "a topic that is not seen is usage that is not billed",
    ),
    (
        "transaction.timeout.ms",
        Within(1_000, 900_000),
        "brokers allow 15 minutes; the shorter, the sooner readers go on after a crash",
    ),
    (
        "transactional.id",
        Ours,
        "it follows from application, instance and worker; set instance",
    ),
];

/// 2 MiB of `engine.md` 11: 1 MiB of value, 4 KiB of key, and headers.
pub const MESSAGE_BYTES_MIN: u64 = 2 << 20;

/// Properties that hold a secret: their value comes from a file, as `NAME.file`.
pub const SECRETS: &[&str] = &[
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];

/// Other names of properties, and the name that is used here.
pub const ALIASES: &[(&str, &str)] = &[
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.send.max.retries", "retries"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    (
        "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.client.id",
    ),
    (
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.client.secret",
    ),
    ("sasl.mechanisms", "sasl.mechanism"),
];

/// Properties of Java clients that people bring along, and what does their work here.
pub const JAVA_NAMES: &[(&str, &str)] = &[
    ("default.api.timeout.ms", "socket.timeout.ms"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("sasl.jaas.config", "sasl.username and sasl.password.file"),
    (
        "sasl.login.callback.handler.class",
        "sasl.oauthbearer.method",
    ),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    (
        "ssl.keystore.type",
        "ssl.keystore.location, a PKCS#12 file, or ssl.key.location and ssl.certificate.location",
    ),
    ("ssl.truststore.location", "ssl.ca.location, a PEM file"),
    ("ssl.truststore.password", "ssl.ca.location, a PEM file"),
    ("ssl.truststore.type", "ssl.ca.location, a PEM file"),
];

/// The properties and their clients.
#[rustfmt::skip]
pub const PROPERTIES: &[(&str, Client)] = &[
    ("acks", Producer),
    ("allow.auto.create.topics", Both),
    ("api.version.fallback.ms", Both),
    ("api.version.request", Both),
    ("api.version.request.timeout.ms", Both),
    ("auto.commit.enable", Consumer),
    ("auto.commit.interval.ms", Consumer),
    ("auto.offset.reset", Consumer),
    ("batch.num.messages", Producer),
    ("batch.size", Producer),
    ("bootstrap.servers", Both),
    ("broker.address.family", Both),
    ("broker.address.ttl", Both),
    ("broker.version.fallback", Both),
    ("check.crcs", Consumer),
    ("client.dns.lookup", Both),
    ("client.id", Both),
    ("client.rack", Both),
    ("compression.level", Producer),
    ("compression.type", Producer),
    ("connections.max.idle.ms", Both),
    ("consume.callback.max.messages", Consumer),
    ("coordinator.query.interval.ms", Consumer),
    ("debug", Both),
    ("delivery.report.only.error", Producer),
    ("enable.auto.commit", Consumer),
    ("enable.auto.offset.store", Consumer),
    ("enable.gapless.guarantee", Producer),
    ("enable.idempotence", Producer),
    ("enable.metrics.push", Both),
    ("enable.partition.eof", Consumer),
    ("enable.random.seed", Both),
    ("enable.sasl.oauthbearer.unsecure.jwt", Both),
    ("enable.ssl.certificate.verification", Both),
    ("fetch.error.backoff.ms", Consumer),
    ("fetch.max.bytes", Consumer),
    ("fetch.min.bytes", Consumer),
    ("fetch.queue.backoff.ms", Consumer),
    ("fetch.wait.max.ms", Consumer),
    ("group.id", Consumer),
    ("group.instance.id", Consumer),
    ("group.protocol", Consumer),
    ("group.protocol.type", Consumer),
    ("group.remote.assignor", Consumer),
    ("heartbeat.interval.ms", Consumer),
    ("https.ca.location", Both),
    ("https.ca.pem", Both),
    ("internal.termination.signal", Both),
    ("isolation.level", Consumer),
    ("linger.ms", Producer),
    ("log.connection.close", Both),
    ("log.thread.name", Both),
    ("max.in.flight.requests.per.connection", Both),
    ("max.partition.fetch.bytes", Consumer),
    ("max.poll.interval.ms", Consumer),
    ("message.copy.max.bytes", Both),
    ("message.max.bytes", Both),
    ("message.timeout.ms", Producer),
    ("metadata.max.age.ms", Both),
    ("metadata.recovery.rebootstrap.trigger.ms", Both),
    ("metadata.recovery.strategy", Both),
    ("offset.store.method", Consumer),
    ("partition.assignment.strategy", Consumer),
    ("partitioner", Producer),
    ("plugin.library.paths", Both),
    ("produce.offset.report", Producer),
    ("queue.buffering.backpressure.threshold", Producer),
    ("queue.buffering.max.kbytes", Producer),
    ("queue.buffering.max.messages", Producer),
    ("queued.max.messages.kbytes", Consumer),
    ("queued.min.messages", Consumer),
    ("queuing.strategy", Producer),
    ("receive.message.max.bytes", Both),
    ("reconnect.backoff.jitter.ms", Both),
    ("reconnect.backoff.max.ms", Both),
    ("reconnect.backoff.ms", Both),
    ("request.timeout.ms", Producer),
    ("retries", Producer),
    ("retry.backoff.max.ms", Both),
    ("retry.backoff.ms", Both),
    ("sasl.kerberos.keytab", Both),
    ("sasl.kerberos.kinit.cmd", Both),
    ("sasl.kerberos.min.time.before.relogin", Both),
    ("sasl.kerberos.principal", Both),
    ("sasl.kerberos.service.name", Both),
    ("sasl.mechanism", Both),
    ("sasl.oauthbearer.assertion.algorithm", Both),
    ("sasl.oauthbearer.assertion.claim.aud", Both),
    ("sasl.oauthbearer.assertion.claim.exp.seconds", Both),
    ("sasl.oauthbearer.assertion.claim.iss", Both),
    ("sasl.oauthbearer.assertion.claim.jti.include", Both),
    ("sasl.oauthbearer.assertion.claim.nbf.seconds", Both),
    ("sasl.oauthbearer.assertion.claim.sub", Both),
    ("sasl.oauthbearer.assertion.file", Both),
    ("sasl.oauthbearer.assertion.jwt.template.file", Both),
    ("sasl.oauthbearer.assertion.private.key.file", Both),
    ("sasl.oauthbearer.assertion.private.key.passphrase", Both),
    ("sasl.oauthbearer.assertion.private.key.pem", Both),
    ("sasl.oauthbearer.client.id", Both),
    ("sasl.oauthbearer.client.secret", Both),
    ("sasl.oauthbearer.config", Both),
    ("sasl.oauthbearer.extensions", Both),
    ("sasl.oauthbearer.grant.type", Both),
    ("sasl.oauthbearer.metadata.authentication.type", Both),
    ("sasl.oauthbearer.method", Both),
    ("sasl.oauthbearer.scope", Both),
    ("sasl.oauthbearer.token.endpoint.url", Both),
    ("sasl.password", Both),
    ("sasl.username", Both),
    ("security.protocol", Both),
    ("session.timeout.ms", Consumer),
    ("socket.connection.setup.timeout.ms", Both),
    ("socket.keepalive.enable", Both),
    ("socket.max.fails", Both),
    ("socket.nagle.disable", Both),
    ("socket.receive.buffer.bytes", Both),
    ("socket.send.buffer.bytes", Both),
    ("socket.timeout.ms", Both),
    ("ssl.ca.certificate.stores", Both),
    ("ssl.ca.location", Both),
    ("ssl.ca.pem", Both),
    ("ssl.certificate.location", Both),
    ("ssl.certificate.pem", Both),
    ("ssl.cipher.suites", Both),
    ("ssl.crl.location", Both),
    ("ssl.curves.list", Both),
    ("ssl.endpoint.identification.algorithm", Both),
    ("ssl.engine.id", Both),
    ("ssl.engine.location", Both),
    ("ssl.key.location", Both),
    ("ssl.key.password", Both),
    ("ssl.key.pem", Both),
    ("ssl.keystore.location", Both),
    ("ssl.keystore.password", Both),
    ("ssl.providers", Both),
    ("ssl.sigalgs.list", Both),
    ("statistics.interval.ms", Both),
    ("sticky.partitioning.linger.ms", Producer),
    ("topic.blacklist", Both),
    ("topic.metadata.propagation.max.ms", Both),
    ("topic.metadata.refresh.fast.interval.ms", Both),
    ("topic.metadata.refresh.interval.ms", Both),
    ("topic.metadata.refresh.sparse", Both),
    ("transaction.timeout.ms", Producer),
    ("transactional.id", Producer),
];
