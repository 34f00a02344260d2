//! Tests of the client settings, without a broker.

use rdkafka::config::ClientConfig;

use super::*;
use crate::config::PROPERTIES;

fn config(kafka: &str) -> Config {
    let text = format!(
        "rates = \"r.json\"\ninstance = \"m-0\"\n[http]\nadvertised = \"m-0.m:8080\"\n\
         [kafka]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n{kafka}"
    );
    Config::parse("m.toml", &text).unwrap()
}

/// All four, as librdkafka checks them before any network.
#[track_caller]
fn native(config: &Config) {
    for client in [
        worker_consumer(config, 0),
        worker_producer(config, 0),
        reader(config, "restore"),
        admin(config),
    ] {
        client.create_native_config().unwrap();
    }
}

#[track_caller]
fn has(client: &ClientConfig, settings: &[(&str, &str)]) {
    for (name, value) in settings {
        assert_eq!(client.get(name), Some(*value), "{name}");
    }
}

#[test]
fn the_consumer_of_a_worker() {
    let config = config("");
    native(&config);
    let client = worker_consumer(&config, 3);
    has(
        &client,
        &[
            ("bootstrap.servers", "127.0.0.1:1"),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("group.id", "meterfold"),
            ("group.instance.id", "meterfold-m-0-3"),
            ("session.timeout.ms", "45000"),
            ("max.poll.interval.ms", "120000"),
            ("fetch.wait.max.ms", "50"),
            ("fetch.queue.backoff.ms", "10"),
            ("check.crcs", "true"),
            ("client.id", "meterfold-m-0-3@m-0.m:8080"),
            ("queued.max.messages.kbytes", "4096"),
        ],
    );
    assert_eq!(
        advertised(client.get("client.id").unwrap()),
        Some("m-0.m:8080")
    );
    assert_eq!(advertised("meterfold-m-0-3"), None);
}

#[test]
fn the_producer_of_a_worker() {
    let client = worker_producer(&config(""), 3);
    has(
        &client,
        &[
            ("transactional.id", "meterfold-m-0-3"),
            ("transaction.timeout.ms", "10000"),
            ("message.timeout.ms", "9000"),
            ("linger.ms", "5"),
            ("compression.type", "lz4"),
            ("retry.backoff.ms", "1"),
            ("retry.backoff.max.ms", "5"),
            ("message.max.bytes", "2097152"),
            ("enable.idempotence", "true"),
            ("acks", "all"),
        ],
    );
    for (transaction, message) in [
        (1_000, 900),
        (2_000, 1_800),
        (10_000, 9_000),
        (60_000, 59_000),
    ] {
        assert_eq!(message_timeout(transaction), message);
    }
}

#[test]
fn readers_and_questions_take_no_part_in_the_group() {
    let reader = reader(&config(""), "restore");
    has(
        &reader,
        &[
            ("isolation.level", "read_committed"),
            ("client.id", "meterfold-m-0-restore"),
        ],
    );
    let admin = admin(&config(""));
    for client in [&reader, &admin] {
        assert_eq!(client.get("group.instance.id"), None);
        assert_eq!(client.get("transactional.id"), None);
    }
    assert_eq!(admin.get("group.id"), None);
}

#[test]
fn what_the_user_says_goes_to_the_clients_that_it_is_for() {
    let config = config(
        "linger.ms = 20\nfetch.wait.max.ms = 70\nsocket.keepalive.enable = true\n\
         session.timeout.ms = 6000\ntransaction.timeout.ms = 2000\nmax.poll.interval.ms = 9000\n\
         max.partition.fetch.bytes = 100000\nenable.auto.commit = false\n",
    );
    native(&config);
    let consumer = worker_consumer(&config, 0);
    let producer = worker_producer(&config, 0);
    has(
        &consumer,
        &[
            ("fetch.wait.max.ms", "70"),
            ("socket.keepalive.enable", "true"),
            ("session.timeout.ms", "6000"),
            ("max.poll.interval.ms", "9000"),
            ("max.partition.fetch.bytes", "100000"),
        ],
    );
    has(
        &producer,
        &[
            ("linger.ms", "20"),
            ("socket.keepalive.enable", "true"),
            ("transaction.timeout.ms", "2000"),
            ("message.timeout.ms", "1800"),
        ],
    );
    assert_eq!(consumer.get("linger.ms"), None);
    assert_eq!(producer.get("fetch.wait.max.ms"), None);
    assert_eq!(admin(&config).get("session.timeout.ms"), None);
}

#[test]
fn under_the_consumer_protocol_the_broker_sets_the_session() {
    let config = config("group.protocol = \"consumer\"");
    native(&config);
    let consumer = worker_consumer(&config, 0);
    has(
        &consumer,
        &[
            ("group.protocol", "consumer"),
            ("group.instance.id", "meterfold-m-0-0"),
        ],
    );
    assert_eq!(consumer.get("session.timeout.ms"), None);
    assert_eq!(consumer.get("partition.assignment.strategy"), None);
}

#[test]
fn tokens_of_oauth_are_fetched_by_the_client() {
    let config = config(
        "security.protocol = \"sasl_ssl\"\nsasl.mechanism = \"OAUTHBEARER\"\n\
         sasl.oauthbearer.client.id = \"m\"\nsasl.oauthbearer.client.secret.file = \"Cargo.toml\"\n\
         sasl.oauthbearer.token.endpoint.url = \"https://idp/token\"\n",
    );
    check(&config).unwrap();
    native(&config);
    for client in [
        worker_consumer(&config, 0),
        sender(&config, "x", Duration::from_secs(1)),
    ] {
        has(&client, &[("sasl.oauthbearer.method", "oidc")]);
    }
}

#[test]
fn what_librdkafka_refuses_is_named_and_secrets_are_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, "canary").unwrap();
    let config = config(&format!(
        "linger.ms = \"soon\"\nsecurity.protocol = \"canary\"\nsocket.timeout.ms.file = {path:?}"
    ));
    let faults = check(&config).unwrap_err().0;
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(
        faults[0].starts_with("configuration: kafka.\"linger.ms\": "),
        "{faults:#?}"
    );
    assert!(faults[1].contains("security.protocol") && faults[1].contains("canary"));
    assert!(faults[2].contains("socket.timeout.ms") && !faults[2].contains("canary"));
}

/// The list of properties is that of the librdkafka that is linked.
#[test]
fn every_listed_property_is_one() {
    for (name, _) in PROPERTIES {
        let error = ClientConfig::new()
            .set(*name, "\u{1}")
            .create_native_config()
            .err();
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(!text.contains("No such configuration"), "{name}: {text}");
    }
}

/// What librdkafka checks only when a client is made, and what it then warns of.
#[test]
fn clients_are_made_without_a_warning() {
    use rdkafka::client::ClientContext;
    use rdkafka::config::RDKafkaLogLevel;
    use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
    use rdkafka::message::DeliveryResult;
    use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
    use std::sync::Mutex;
    use std::time::Duration;

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);
    impl ClientContext for Warnings {
        fn log(&self, _: RDKafkaLogLevel, facility: &str, line: &str) {
            if facility == "CONFWARN" {
                self.0.lock().unwrap().push(line.to_owned());
            }
        }
    }
    impl ConsumerContext for Warnings {}
    impl ProducerContext for Warnings {
        type DeliveryOpaque = ();
        fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
    }

    for kafka in [
        "",
        "linger.ms = 20\nfetch.wait.max.ms = 70\ncompression.type = \"zstd\"",
        "session.timeout.ms = 6000\ntransaction.timeout.ms = 2000\nmax.poll.interval.ms = 9000",
        "transaction.timeout.ms = 1000",
        "group.protocol = \"consumer\"",
        "message.max.bytes = 20000000",
    ] {
        let config = config(kafka);
        for mut settings in [worker_consumer(&config, 0), reader(&config, "restore")] {
            settings.set_log_level(RDKafkaLogLevel::Warning);
            let client: BaseConsumer<Warnings> =
                settings.create_with_context(Warnings::default()).unwrap();
            let _ = client.poll(Duration::from_millis(20));
            let warnings = client.context().0.lock().unwrap().clone();
            assert_eq!(warnings, Vec::<String>::new(), "{kafka}");
        }
        for mut settings in [worker_producer(&config, 0), admin(&config)] {
            settings.set_log_level(RDKafkaLogLevel::Warning);
            let client: BaseProducer<Warnings> =
                settings.create_with_context(Warnings::default()).unwrap();
            client.poll(Duration::from_millis(20));
            let warnings = client.context().0.lock().unwrap().clone();
            assert_eq!(warnings, Vec::<String>::new(), "{kafka}");
        }
    }
}
