//! Tests of the configuration as a whole: layers, defaults, faults.

use std::path::PathBuf;

use super::keys::{Default, KEYS, Kind};
use super::{Config, ConfigError, Place, RecordedTime};

/// What no default can know.
const REQUIRED: &str = "rates = \"r.json\"\n[kafka]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n";

fn load(
    text: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.toml");
    std::fs::write(&path, text).unwrap();
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    Config::load(Some(&path), own(variables), &own(flags))
}

/// The faults of a text, without the name of its file.
#[track_caller]
fn faults(text: &str) -> Vec<String> {
    let error = Config::parse("m.toml", text).unwrap_err();
    error.to_string().lines().map(str::to_owned).collect()
}

#[track_caller]
fn fault(text: &str) -> String {
    let mut faults = faults(text);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.remove(0)
}

/// The required keys, and `lines` of `[section]`.
fn with(section: &str, lines: &str) -> String {
    match section {
        "" => format!("{lines}\n{REQUIRED}"),
        "kafka" => format!("{REQUIRED}{lines}\n"),
        section => format!("{REQUIRED}[{section}]\n{lines}\n"),
    }
}

#[test]
fn defaults() {
    let config = Config::parse("m.toml", REQUIRED).unwrap();
    assert_eq!(config.application, "meterfold");
    assert_eq!(config.workers, 1);
    assert_eq!(config.rates, PathBuf::from("r.json"));
    assert_eq!(config.recorded_time, RecordedTime::Append);
    assert_eq!(config.idle_margin_millis, 60_000);
    assert_eq!(config.linger_millis, 30_000);
    assert_eq!(config.topics.accounts.as_deref(), Some("accounts"));
    assert_eq!(config.topics.changelog, "meterfold-changelog");
    assert_eq!(config.topics.inputs(), ["accounts", "api-calls"]);
    assert_eq!(config.commit.interval_millis, 500);
    assert_eq!(config.commit.cells_max, 50_000);
    assert_eq!(config.commit.output_bytes_max, 16 << 20);
    assert_eq!(config.registry, None);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert!(!config.instance.is_empty());
    // Two applications on a cluster share neither state nor journal.
    let other = Config::parse("m.toml", &with("", "application = \"tryout\"")).unwrap();
    assert_eq!(other.topics.changelog, "tryout-changelog");
    assert_eq!(other.topics.journal, "tryout-journal");
    assert_eq!(other.topics.dead_letters, "tryout-dead-letters");
}

#[test]
fn the_default_document_gives_the_defaults() {
    let document = Config::default_document();
    let flags = [
        ("rates", "r.json"),
        ("kafka.bootstrap.servers", "127.0.0.1:1"),
    ];
    let read = load(&document, &[], &flags).unwrap();
    assert_eq!(read, Config::parse("m.toml", REQUIRED).unwrap());
    // What is commented out is right too, once the sign is gone.
    let whole: String = document
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.contains(" = ") && !rest.contains(". ") => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let read = Config::parse("m.toml", &whole).unwrap();
    assert_eq!(read.instance, "meterfold-0");
}

#[test]
fn every_key_is_in_the_documents_and_can_be_set_by_each_layer() {
    let document = Config::default_document();
    let reference = Config::reference();
    for key in KEYS {
        assert!(
            document.contains(&format!("{} = ", key.last())),
            "{}",
            key.name
        );
        assert!(
            reference.contains(&format!("`{}`", key.variable())),
            "{}",
            key.name
        );
        assert!(reference.contains(key.meaning), "{}", key.name);
        let value = another_value(key.kind);
        let default = Config::parse("m.toml", REQUIRED).unwrap();
        // What one needs beside it.
        let beside = [
            ("METERFOLD_REGISTRY__URL", "https://r"),
            ("METERFOLD_REGISTRY__USERNAME", "u"),
            ("METERFOLD_REGISTRY__PASSWORD_FILE", "p"),
        ];
        let mut variables = beside.to_vec();
        let variable = key.variable();
        variables.retain(|(name, _)| *name != variable);
        variables.push((&variable, value));
        let by_variable = load(REQUIRED, &variables, &[]).unwrap();
        assert_ne!(by_variable, default, "{}", key.name);
        let by_flag = load(REQUIRED, &beside, &[(key.name, value)]).unwrap();
        assert_eq!(by_flag, by_variable, "{}", key.name);
        let line = format!("{} = {}", key.last(), key.toml(value));
        let text = match key.name {
            "rates" => REQUIRED.replace("rates = \"r.json\"", &line),
            _ => with(key.section(), &line),
        };
        variables.retain(|(name, _)| *name != variable);
        assert_eq!(
            load(&text, &variables, &[]).unwrap(),
            by_variable,
            "{}",
            key.name
        );
    }
}

fn another_value(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer(20_000, _) => "20001",
        Kind::Integer(..) => "2",
        Kind::Boolean => "true",
        Kind::Choice(words) => words[1],
        Kind::Listen => "[::1]:9",
        Kind::OptionalHostPort => "m-0.m:8080",
        Kind::OptionalUrl => "https://registry:8081/api",
        Kind::Identity(_)
        | Kind::Topic
        | Kind::OptionalTopic
        | Kind::Path
        | Kind::OptionalPath
        | Kind::OptionalText => "other",
    }
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let file = with("", "workers = 2");
    let variable = [("METERFOLD_WORKERS", "3")];
    let flag = [("workers", "4")];
    let workers = |config: Result<Config, ConfigError>| config.unwrap().workers;
    assert_eq!(workers(load(REQUIRED, &[], &[])), 1);
    assert_eq!(workers(load(&file, &[], &[])), 2);
    assert_eq!(workers(load(&file, &variable, &[])), 3);
    assert_eq!(workers(load(&file, &variable, &flag)), 4);
}

#[test]
fn limits() {
    for key in KEYS {
        let Kind::Integer(from, to) = key.kind else {
            continue;
        };
        let try_value = |value: String| {
            let line = format!("{} = {value}", key.last());
            Config::parse("m.toml", &with(key.section(), &line))
        };
        let refused = |value: String| {
            let error = try_value(value.clone()).unwrap_err();
            assert_eq!(error.0[0].key, key.name, "{error}");
            let range = format!("give a number from {from} to {to}");
            assert!(error.0[0].problem.ends_with(&range), "{error}");
            assert!(error.0[0].problem.contains(&value), "{error}");
        };
        // The two of the replicas bind each other; nothing else does.
        if key.name != "topics.replication_factor" {
            assert!(try_value(from.to_string()).is_ok(), "{}", key.name);
        }
        if key.name != "topics.min_insync_replicas" {
            assert!(try_value(to.to_string()).is_ok(), "{}", key.name);
        }
        refused((to + 1).to_string());
        if from > 0 {
            refused((from - 1).to_string());
        }
        refused("-1".to_owned());
    }
}

#[test]
fn values_of_each_kind() {
    for (section, line, words) in [
        (
            "",
            "application = \"my-app\"",
            "application: \"my-app\" is refused; give 1 to 100 letters",
        ),
        ("", "application = \"\"", "application: \"\" is refused"),
        ("", "instance = \"a b\"", "instance: \"a b\" is refused"),
        (
            "",
            "workers = \"2\"",
            "workers: is a text in quotes; give a number from 1 to 64",
        ),
        ("", "workers = 2.5", "workers: is a number with a point"),
        ("", "state_dir = 3", "state_dir: is a number; give a path"),
        (
            "",
            "state_dir = \"\"",
            "state_dir: \"\" is refused; give a path",
        ),
        (
            "",
            "recorded_time = \"Append\"",
            "give \"append\" or \"record\"",
        ),
        (
            "",
            "on_wrong_partition = \"skip\"",
            "give \"halt\" or \"dead_letter\"",
        ),
        (
            "topics",
            "journal = \"a/b\"",
            "topics.journal: \"a/b\" is refused",
        ),
        (
            "topics",
            "journal = \"..\"",
            "topics.journal: \"..\" is refused",
        ),
        (
            "topics",
            "api_calls = \"\"",
            "topics.api_calls: \"\" is refused",
        ),
        (
            "topics",
            "journal = \"accounts\"",
            "topics.journal: \"accounts\" is topics.accounts already",
        ),
        (
            "topics",
            "min_insync_replicas = 4",
            "4 is more than topics.replication_factor, 3",
        ),
        ("output", "format = \"xml\"", "give \"json\" or \"avro\""),
        (
            "output",
            "format = \"avro\"",
            "\"avro\" needs a schema registry; give registry.url",
        ),
        (
            "registry",
            "url = \"registry:8081\"",
            "give a URL of http or https",
        ),
        (
            "registry",
            "url = \"http://u:p@r\"",
            "without user and password",
        ),
        (
            "registry",
            "username = \"u\"",
            "registry.password_file: is missing beside registry.username",
        ),
        (
            "registry",
            "password_file = \"u\"",
            "registry.username: is missing beside registry.password_file",
        ),
        (
            "registry",
            "register = 1",
            "registry.register: is a number; give true or false",
        ),
        (
            "http",
            "listen = \"localhost:80\"",
            "give an address and a port",
        ),
        ("http", "advertised = \"m-0\"", "give a host and a port"),
        (
            "http",
            "advertised = \"http://m:1\"",
            "give a host and a port",
        ),
        ("http", "bearer_token_file = [1]", "is a list; give a path"),
    ] {
        let fault = fault(&with(section, line));
        assert!(fault.contains(words), "{line}: {fault}");
    }
}

#[test]
fn all_faults_are_told_with_their_places() {
    let text = "wokers = 2\nlinger_ms = -1\n[commit]\ninterval_ms = 0\n[comit]\ncells_max = 1\n\
                [topics]\ncells_max = 1\n[kafka]\nacks = 1\n";
    assert_eq!(
        faults(text),
        [
            "m.toml:1: there is no key \"wokers\"; did you mean workers?",
            "m.toml:5: there is no key \"comit\"; did you mean commit?",
            "m.toml:8: there is no key \"topics.cells_max\"; did you mean commit.cells_max?",
            "configuration: rates: is missing; give a path",
            "m.toml:2: linger_ms: \"-1\" is refused; give a number from 0 to 600000",
            "m.toml:4: commit.interval_ms: \"0\" is refused; give a number from 1 to 5000",
            "m.toml:10: kafka.\"acks\": \"1\" is refused; only all or -1 is safe (fewer \
             acknowledgements lose committed records); change or remove it",
            "configuration: kafka.\"bootstrap.servers\": is missing; give the brokers, as \
             HOST:PORT,HOST:PORT",
        ]
    );
}

#[test]
fn a_text_that_is_no_toml_is_told_by_line() {
    let first = faults("workers = 1\nrates = \n").remove(0);
    assert!(first.starts_with("m.toml:2: is not TOML: "), "{first}");
    let twice = faults(&with("", "workers = 1\nworkers = 2")).remove(0);
    assert!(
        twice.starts_with("m.toml:2: is not TOML: duplicate key"),
        "{twice}"
    );
    let no_table = faults("kafka = 1").remove(0);
    assert!(no_table.contains("kafka is a section"), "{no_table}");
}

#[test]
fn a_file_that_is_not_there() {
    let error = Config::load(Some("nowhere.toml".as_ref()), [], &[]).unwrap_err();
    let first = error.0[0].to_string();
    assert!(
        first.starts_with("configuration: nowhere.toml: cannot be read: No such file"),
        "{first}"
    );
}

#[test]
fn variables_that_are_slips_are_refused_and_those_of_others_are_not() {
    let refused = |variable: &str| {
        load(REQUIRED, &[(variable, "1")], &[])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("METERFOLD_COMMIT__INTERVAL"),
        "environment variable METERFOLD_COMMIT__INTERVAL: there is no key \"commit.interval\"; \
         did you mean METERFOLD_COMMIT__INTERVAL_MS?"
    );
    assert!(
        refused("METERFOLD_KAFKA__BOOTSTRAP_SERVER").contains("did you mean bootstrap.servers?")
    );
    assert!(refused("METERFOLD_COLOUR").contains("remove it"));
    for variable in [
        "PATH",
        "METERFOLD_PORT",
        "METERFOLD_PORT_8080_TCP_ADDR",
        "METERFOLD_SERVICE_HOST",
        "METERFOLD_LOG_FORMAT",
        "METERFOLD_TEST_X",
    ] {
        assert!(
            load(REQUIRED, &[(variable, "1")], &[]).is_ok(),
            "{variable}"
        );
    }
}

#[test]
fn kafka_properties_are_passed_through_under_their_main_names() {
    let text = with(
        "kafka",
        "linger.ms = 7\n\"compression.codec\" = \"zstd\"\nsocket.keepalive.enable = true",
    );
    let config = load(&text, &[("METERFOLD_KAFKA__LINGER_MS", "8")], &[]).unwrap();
    assert_eq!(config.kafka.get("linger.ms"), Some("8"));
    assert_eq!(config.kafka.get("compression.type"), Some("zstd"));
    assert_eq!(config.kafka.get("socket.keepalive.enable"), Some("true"));
    let twice = fault(&with(
        "kafka",
        "\"compression.codec\" = \"lz4\"\n\"compression.type\" = \"lz4\"",
    ));
    assert!(twice.contains("stands there twice"), "{twice}");
}

#[test]
fn properties_that_break_a_guarantee_are_refused() {
    for (line, words) in [
        (
            "\"isolation.level\" = \"read_uncommitted\"",
            "only read_committed is safe (aborted records would be billed)",
        ),
        ("\"enable.auto.commit\" = true", "only false is safe"),
        ("\"enable.auto.offset.store\" = true", "only false is safe"),
        ("\"auto.offset.reset\" = \"earliest\"", "only error is safe"),
        ("\"enable.partition.eof\" = false", "only true is safe"),
        ("\"transactional.id\" = \"x\"", "is set by the program"),
        ("\"group.id\" = \"x\"", "set application"),
        ("\"group.instance.id\" = \"x\"", "set instance"),
        ("\"client.id\" = \"x\"", "set http.advertised"),
        ("\"enable.idempotence\" = false", "a retry appends twice"),
        ("\"acks\" = 1", "only all or -1 is safe"),
        ("\"request.required.acks\" = 0", "only all or -1 is safe"),
        (
            "\"message.timeout.ms\" = 1",
            "it follows transaction.timeout.ms",
        ),
        (
            "\"delivery.timeout.ms\" = 1",
            "it follows transaction.timeout.ms",
        ),
        (
            "\"partition.assignment.strategy\" = \"range\"",
            "only cooperative-sticky is safe",
        ),
        (
            "\"check.crcs\" = false",
            "a damaged record must not be billed",
        ),
        (
            "\"enable.ssl.certificate.verification\" = false",
            "anyone could pose as the broker",
        ),
        (
            "\"ssl.endpoint.identification.algorithm\" = \"none\"",
            "only https is safe",
        ),
        (
            "\"enable.sasl.oauthbearer.unsecure.jwt\" = true",
            "only false is safe",
        ),
        ("\"allow.auto.create.topics\" = true", "only false is safe"),
        (
            "\"delivery.report.only.error\" = true",
            "only false is safe",
        ),
        ("\"message.max.bytes\" = 1000", "give a number from 2097152"),
        (
            "\"transaction.timeout.ms\" = 10",
            "give a number from 1000 to 900000",
        ),
        (
            "\"transaction.timeout.ms\" = 45000",
            "45000 is not below session.timeout.ms, 45000",
        ),
        (
            "\"max.poll.interval.ms\" = 30000",
            "30000 is below session.timeout.ms, 45000",
        ),
        (
            "\"bootstrap.servers.list\" = \"x\"",
            "did you mean bootstrap.servers?",
        ),
        (
            "\"ssl.truststore.location\" = \"x\"",
            "is a property of Java clients; use ssl.ca.location",
        ),
        (
            "\"colour\" = \"x\"",
            "is no property of the Kafka client; remove it",
        ),
        ("\"debug\" = [\"cgrp\"]", "is a list; give a text"),
        (
            "debug = \"cgrp, security\"",
            "\"security\" is refused (the log would show",
        ),
        (
            "\"group.protocol\" = \"consumer\"\n\"session.timeout.ms\" = 45000",
            "is the broker's to set",
        ),
    ] {
        let fault = fault(&with("kafka", line));
        assert!(
            fault.starts_with("m.toml:") && fault.contains(words),
            "{line}: {fault}"
        );
    }
    // What is so anyway may be said.
    for line in [
        "\"acks\" = \"all\"",
        "\"isolation.level\" = \"read_committed\"",
        "\"transaction.timeout.ms\" = 2000\n\"session.timeout.ms\" = 6000",
        "\"group.protocol\" = \"consumer\"",
    ] {
        Config::parse("m.toml", &with("kafka", line)).unwrap();
    }
}

#[test]
fn secrets_come_from_files_and_are_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "canary-1234\n").unwrap();
    let line = format!(
        "\"sasl.password.file\" = {:?}\nsasl.username.file = {:?}",
        path, path
    );
    let config = Config::parse("m.toml", &with("kafka", &line)).unwrap();
    assert_eq!(config.kafka.get("sasl.password"), Some("canary-1234"));
    assert_eq!(config.kafka.get("sasl.username"), Some("canary-1234"));
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("canary") && shown.contains("(secret)"),
        "{shown}"
    );

    let inline = fault(&with("kafka", "\"sasl.password\" = \"canary-1234\""));
    assert!(
        inline.contains("give \"sasl.password.file\" = \"PATH\""),
        "{inline}"
    );
    assert!(!inline.contains("canary"), "{inline}");
    let variable = [("METERFOLD_KAFKA__SASL_PASSWORD", "canary-1234")];
    let by_variable = load(REQUIRED, &variable, &[]).unwrap_err().to_string();
    assert!(!by_variable.contains("canary"), "{by_variable}");
    let missing = fault(&with("kafka", "\"sasl.password.file\" = \"nowhere\""));
    assert!(missing.contains("nowhere: No such file"), "{missing}");
    let path = path.to_str().unwrap();
    let by_file = [("METERFOLD_KAFKA__SASL_PASSWORD_FILE", path)];
    let config = load(REQUIRED, &by_file, &[]).unwrap();
    assert_eq!(config.kafka.get("sasl.password"), Some("canary-1234"));
}

/// A configuration whose `[kafka]` has these lines.
fn of_brokers(top: &str, lines: &str) -> Result<Config, ConfigError> {
    Config::parse(
        "m.toml",
        &format!("rates = \"r.json\"\n{top}\n[kafka]\n{lines}\n"),
    )
}

#[test]
fn a_password_in_plain_text_needs_tls() {
    let read = |protocol: &str| {
        let lines = "bootstrap.servers = \"k:1\"\nsasl.mechanism = \"PLAIN\"\nsecurity.protocol";
        of_brokers("insecure = true", &format!("{lines} = \"{protocol}\""))
    };
    read("sasl_ssl").unwrap();
    let error = read("sasl_plaintext").unwrap_err();
    assert_eq!(error.0.len(), 1, "{error}");
    assert!(error.to_string().contains("it needs TLS"), "{error}");
}

#[test]
fn brokers_in_plain_text_are_refused_beyond_this_machine() {
    let refused = |lines: &str| {
        let error = of_brokers("", lines).unwrap_err();
        assert_eq!(error.0.len(), 1, "{error}");
        error.to_string()
    };
    let servers = |list: &str| format!("bootstrap.servers = \"{list}\"");
    assert_eq!(
        refused(&servers(
            "localhost:1, kafka-1:9092,[::1]:3,[2001:db8::1]:9092"
        )),
        "configuration: kafka.\"security.protocol\": plain text to kafka-1:9092, [2001:db8::1]:9092 is \
         refused: whoever is on the way could read and alter what is sent; give ssl or sasl_ssl, or \
         set insecure = true"
    );
    let scram = "sasl.mechanism = \"SCRAM-SHA-256\"";
    for protocol in ["plaintext", "PLAINTEXT", "sasl_plaintext", "SASL_PLAINTEXT"] {
        let lines = format!(
            "{}\nsecurity.protocol = \"{protocol}\"\n{scram}",
            servers("k:1")
        );
        let fault = refused(&lines);
        let start = "m.toml:5: kafka.\"security.protocol\": plain text to k:1 is refused";
        assert!(fault.starts_with(start), "{fault}");
        let config = of_brokers("insecure = true", &lines).unwrap();
        assert_eq!(config.plaintext_peers(), ["k:1"], "{protocol}");
        let here = lines.replace("k:1", "localhost:1,127.9.9.9:2,[::1]:3");
        let config = of_brokers("", &here).unwrap();
        assert!(config.plaintext_peers().is_empty(), "{protocol}");
    }
    for protocol in ["ssl", "SASL_SSL"] {
        let lines = format!(
            "{}\nsecurity.protocol = \"{protocol}\"\n{scram}",
            servers("k:1")
        );
        let config = of_brokers("", &lines).unwrap();
        assert!(config.plaintext_peers().is_empty(), "{protocol}");
    }
}

#[test]
fn a_registry_in_plain_text_is_refused_beyond_this_machine() {
    let parse = |top: &str, url: &str| {
        let registry = with("registry", &format!("url = \"{url}\""));
        Config::parse("m.toml", &format!("{top}\n{registry}"))
    };
    let fault = fault(&with("registry", "url = \"http://r:8081\""));
    assert_eq!(
        fault,
        "m.toml:5: registry.url: \"http://r:8081\" is refused: whoever is on the way could read the \
         password and alter schemas; give https, or set insecure = true"
    );
    let config = parse("insecure = true", "http://r:8081").unwrap();
    assert_eq!(config.plaintext_peers(), ["http://r:8081"]);
    for url in [
        "https://r:8081",
        "http://localhost:8081",
        "http://[::1]/apis/ccompat/v7",
    ] {
        let config = parse("", url).unwrap();
        assert!(config.plaintext_peers().is_empty(), "{url}");
    }
}

#[test]
fn required_keys_are_those_without_a_default() {
    let required: Vec<&str> = KEYS
        .iter()
        .filter(|key| matches!(key.default, Default::Required))
        .map(|key| key.name)
        .collect();
    assert_eq!(required, ["rates"]);
    let error = Config::load(None, [], &[]).unwrap_err();
    assert!(error.0.iter().all(|fault| fault.place == Place::Nowhere));
    assert_eq!(error.0.len(), 2, "{error}");
}
