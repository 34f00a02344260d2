//! `meterfold topics` and `validate --against-cluster` on a real broker: topics are made once and
//! never altered; every wrong setting is refused with a command that mends it, and that command is
//! run; what cannot be reached is told from what is refused (F55, F24, `interfaces.md` 4).

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use meterfold::config::Config;
use meterfold::kafka::cluster::Cluster;
use support::kafka::{Broker, Options};
use tempfile::TempDir;

const PARTITIONS: u16 = 3;

/// An application with topics of its own, and its configuration file.
struct Application {
    name: &'static str,
    directory: TempDir,
}

impl Application {
    fn new(name: &'static str, kafka: &str) -> Application {
        let directory = tempfile::tempdir().unwrap();
        let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/rates/aps-example.json");
        let text = format!(
            "application = \"{name}\"\nrates = {book:?}\n[kafka]\n{kafka}\n[topics]\n\
             api_calls = \"{name}-api-calls\"\naccounts = \"{name}-accounts\"\n\
             cap_reached = \"{name}-cap-reached\"\ntokens_depleted = \"{name}-tokens-depleted\"\n\
             switched_to_postpay = \"{name}-switched-to-postpay\"\n\
             monthly_invoice = \"{name}-monthly-invoice\"\npartitions = {PARTITIONS}\n\
             replication_factor = 1\nmin_insync_replicas = 1\n"
        );
        std::fs::write(directory.path().join("meterfold.toml"), text).unwrap();
        Application { name, directory }
    }

    /// With all topics as `topics create` makes them.
    fn with_topics(name: &'static str, broker: &Broker) -> Application {
        let application = Application::on(name, broker);
        accepted(&application.run(&["topics", "create"]));
        application
    }

    fn on(name: &'static str, broker: &Broker) -> Application {
        let kafka = format!("\"bootstrap.servers\" = \"{}\"", broker.bootstrap());
        Application::new(name, &kafka)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_meterfold"))
            .args(arguments)
            .arg("--config")
            .arg(self.directory.path().join("meterfold.toml"))
            .output()
            .unwrap()
    }

    fn check(&self) -> Output {
        self.run(&["topics", "check"])
    }

    /// The first answer that `is_so`, since a broker takes a moment to follow its controller, or
    /// else the last.
    fn check_until(&self, is_so: impl Fn(&Output) -> bool) -> Output {
        self.run_until(&["topics", "check"], is_so)
    }

    fn run_until(&self, arguments: &[&str], is_so: impl Fn(&Output) -> bool) -> Output {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let output = self.run(arguments);
            if is_so(&output) || Instant::now() > deadline {
                return output;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn refused(&self) -> Vec<String> {
        refused(&self.check_until(|output| !output.status.success()), 4)
    }

    fn accepted(&self) -> String {
        accepted(&self.check_until(|output| output.status.success()))
    }

    fn topic(&self, last: &str) -> String {
        format!("{}-{last}", self.name)
    }

    fn config(&self) -> Config {
        Config::load(Some(&self.directory.path().join("meterfold.toml")), [], &[]).unwrap()
    }
}

#[track_caller]
fn accepted(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The lines of a refusal.
#[track_caller]
fn refused(output: &Output, code: i32) -> Vec<String> {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    error.lines().map(str::to_owned).collect()
}

/// Runs the command that a fault names, with Kafka's own tools.
#[track_caller]
fn mend(fault: &str) {
    let (_, remedy) = fault.split_once("; mend it with: ").expect(fault);
    // Before it may stand when it may be run, behind it what else to do.
    let command = &remedy[remedy.find("kafka-").expect(fault)..];
    let command = command.split(", then").next().unwrap();
    let mut words = command.split(' ');
    let class = match words.next().unwrap() {
        "kafka-configs.sh" => "kafka.admin.ConfigCommand",
        "kafka-topics.sh" => "org.apache.kafka.tools.TopicCommand",
        "kafka-acls.sh" => "org.apache.kafka.tools.AclCommand",
        other => panic!("{other} in {fault}"),
    };
    let cache = std::env::var("XDG_CACHE_HOME")
        .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap()));
    let pom =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/kafka/pom.xml"))
            .unwrap();
    let version = pom
        .split("<version>")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let jars = format!("{cache}/meterfold/kafka-{version}");
    let output = Command::new("java")
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
        .arg(format!("-XX:SharedArchiveFile={jars}/classes.jsa"))
        .args(["-cp", &format!("{jars}/*")])
        .arg(class)
        .args(words)
        .output()
        .expect("java starts");
    assert!(
        output.status.success(),
        "{command}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn topics_are_made_once_and_left_as_they_are() {
    let broker = Broker::shared();
    let application = Application::on("once", broker);
    let missing = application.refused();
    assert_eq!(missing.len(), 9, "{missing:#?}");
    assert!(
        missing
            .iter()
            .all(|line| line.contains("existence is missing"))
    );

    let made = accepted(&application.run(&["topics", "create"]));
    assert_eq!(made.matches(": made\n").count(), 9, "{made}");
    assert!(made.ends_with("9 topics are as they must be\n"), "{made}");
    assert_eq!(application.accepted(), "9 topics are as they must be\n");
    let valid = accepted(&application.run(&["validate", "--against-cluster"]));
    let lines: Vec<&str> = valid.lines().skip(1).collect();
    assert!(lines[0].starts_with("9 topics of cluster "), "{valid}");
    assert_eq!(
        lines[1..],
        [
            "group once was not joined yet",
            "transactions are initialised within the limits of the brokers"
        ]
    );
    assert_eq!(
        broker.read_uncommitted(&application.topic("journal")),
        [],
        "nothing was written"
    );

    // A wrong one is told, and not touched.
    let journal = application.topic("journal");
    broker.alter_config(&journal, &[("retention.ms", "1000000")]);
    application.refused();
    for _ in 0..2 {
        let output = application.run(&["topics", "create"]);
        let faults = refused(&output, 4);
        assert_eq!(faults.len(), 1, "{faults:#?}");
        assert!(
            faults[0].contains("retention.ms is 1000000, wanted is -1"),
            "{faults:#?}"
        );
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(out.matches(": was there\n").count(), 9, "{out}");
    }
    let output = application.run(&["validate", "--against-cluster"]);
    let faults = refused(&output, 4);
    assert!(faults[0].contains("retention.ms is 1000000"), "{faults:#?}");
}

/// (topic, setting, value that is wrong)
const WRONG: &[(&str, &str, &str)] = &[
    ("api-calls", "cleanup.policy", "compact"),
    ("accounts", "cleanup.policy", "compact,delete"),
    ("api-calls", "message.timestamp.type", "CreateTime"),
    ("accounts", "unclean.leader.election.enable", "true"),
    ("cap-reached", "cleanup.policy", "compact"),
    ("monthly-invoice", "max.message.bytes", "100000"),
    ("dead-letters", "max.message.bytes", "1048588"),
    ("changelog", "cleanup.policy", "delete"),
    ("changelog", "message.timestamp.type", "CreateTime"),
    ("changelog", "delete.retention.ms", "86400000"),
    ("changelog", "segment.ms", "604800000"),
    ("journal", "cleanup.policy", "compact"),
    ("journal", "retention.ms", "604800000"),
    ("journal", "retention.bytes", "1000000"),
];

/// F55.
#[test]
fn each_wrong_setting_is_refused_with_the_command_that_mends_it() {
    let broker = Broker::shared();
    let application = Application::with_topics("wrong", broker);
    for (topic, setting, value) in WRONG {
        broker.alter_config(&application.topic(topic), &[(setting, value)]);
        let faults = application.refused();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        let found = format!("topic {}: {setting} is {value}, ", application.topic(topic));
        assert!(faults[0].starts_with(&found), "{faults:#?}");
        mend(&faults[0]);
        application.accepted();
    }
}

/// F55: a topic that is missing, and one that is too narrow.
#[test]
fn missing_topics_and_partitions_are_refused_with_the_command_that_mends_them() {
    let broker = Broker::shared();
    let application = Application::with_topics("shape", broker);
    broker.delete_topic(&application.topic("journal"));
    let faults = application.refused();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    mend(&faults[0]);
    application.accepted();

    broker.delete_topic(&application.topic("accounts"));
    broker.create_topic(&application.topic("accounts"), 2, &[("retention.ms", "-1")]);
    let faults = application.refused();
    let of_type = faults.iter().find(|fault| fault.contains("timestamp.type"));
    mend(of_type.expect("the broker's default is CreateTime"));
    let of_count = faults
        .iter()
        .find(|fault| fault.contains("partitions is 2, wanted is 3"));
    mend(of_count.expect("a fault of partitions"));
    application.accepted();

    broker.add_partitions(&application.topic("accounts"), 4);
    let faults = application.refused();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(
        faults[0].contains("partitions is 4, wanted is 3"),
        "{faults:#?}"
    );
    mend(&faults[0]);
    let made = |output: &Output| output.status.success();
    accepted(&application.run_until(&["topics", "create"], made));
}

/// F55: replication and min ISR, as far as one broker can show them.
#[test]
fn copies_are_counted() {
    let broker = Broker::shared();
    let application = Application::with_topics("copies", broker);
    let wants_two = [
        "topics",
        "check",
        "--set",
        "topics.replication_factor=2",
        "--set",
        "topics.min_insync_replicas=2",
    ];
    let faults = refused(&application.run(&wants_two), 4);
    let of = |setting: &str| {
        faults
            .iter()
            .filter(|fault| fault.contains(setting))
            .count()
    };
    assert_eq!(of("replication factor is 1, wanted is 2"), 9, "{faults:#?}");
    assert_eq!(
        of("min.insync.replicas is 1, wanted is 2 or more"),
        9,
        "{faults:#?}"
    );
    assert!(
        faults[0].ends_with("topics.replication_factor = 1"),
        "{faults:#?}"
    );
    mend(&faults[1]);
    let of_isr = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stderr);
        text.matches("min.insync.replicas is 1").count()
    };
    let output = application.run_until(&wants_two, |output| of_isr(output) == 8);
    assert_eq!(of_isr(&output), 8, "{output:?}");

    let narrow = Application::on("narrow", broker);
    let output = narrow.run(&["topics", "create", "--set", "topics.replication_factor=2"]);
    let faults = refused(&output, 4);
    assert!(
        faults[0].contains("topics.replication_factor"),
        "{faults:#?}"
    );
}

#[test]
fn a_finite_retention_of_inputs_is_a_warning() {
    let broker = Broker::shared();
    let application = Application::with_topics("warned", broker);
    broker.alter_config(
        &application.topic("api-calls"),
        &[("retention.ms", "604800000")],
    );
    let output = application.check_until(|output| !output.stderr.is_empty());
    assert_eq!(accepted(&output), "9 topics are as they must be\n");
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(
        warnings.starts_with("warning: topic warned-api-calls: retention.ms is 604800000"),
        "{warnings}"
    );
    mend(warnings.trim_end());
    let output = application.check_until(|output| output.stderr.is_empty());
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// What the engine asks: `TOPIC_REPLACED`, `PARTITIONS_CHANGED`, `LOG_TRUNCATED`.
#[test]
fn a_topic_that_was_made_again_has_another_id() {
    let broker = Broker::shared();
    let application = Application::with_topics("asked", broker);
    let cluster = Cluster::connect(&application.config(), Duration::from_secs(30)).unwrap();
    assert!(!cluster.id().is_empty());
    let name = application.topic("api-calls");
    let topics = [name.as_str(), "nothing-of-this-name"];
    let before = cluster.topic_ids(&topics).unwrap();
    assert_eq!(before.len(), 1);
    assert_ne!(before[&name], [0; 16]);
    assert_eq!(cluster.topic_ids(&topics).unwrap(), before);
    assert_eq!(
        cluster.partition_counts(&topics).unwrap()[&name],
        usize::from(PARTITIONS)
    );
    assert_eq!(cluster.watermarks(&name, 0).unwrap(), (0, 0));
    broker.delete_topic(&name);
    broker.create_topic(&name, 3, &[]);
    assert_ne!(cluster.topic_ids(&topics).unwrap()[&name], before[&name]);
}

#[test]
fn brokers_that_do_not_answer_are_exit_5_after_the_time_given() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let kafka = format!("\"bootstrap.servers\" = \"127.0.0.1:{port}\"");
    let application = Application::new("absent", &kafka);
    let started = Instant::now();
    for words in [&["topics", "check"][..], &["validate", "--against-cluster"]] {
        let arguments = [words, &["--timeout", "1"]].concat();
        let lines = refused(&application.run(&arguments), 5);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(
            lines[0].starts_with(&format!("127.0.0.1:{port}: no broker answers within 1 s")),
            "{lines:#?}"
        );
        assert!(lines[0].contains("refused"), "{lines:#?}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn refused_credentials_and_missing_rights_are_exit_6() {
    let broker = Broker::start_with(&Options {
        users: vec![("meter".to_owned(), "right-canary".to_owned())],
        settings: vec![
            (
                "authorizer.class.name".to_owned(),
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
            ),
            // The listener without security, with which the topics are made.
            ("super.users".to_owned(), "User:ANONYMOUS".to_owned()),
            // Less than a transaction of ours may take.
            ("transaction.max.timeout.ms".to_owned(), "9000".to_owned()),
        ],
        ..Options::default()
    });
    let secrets = tempfile::tempdir().unwrap();
    let secured = |password: &str, ca: &Path| {
        let file = secrets.path().join(password);
        std::fs::write(&file, password).unwrap();
        let kafka = format!(
            "\"bootstrap.servers\" = \"{}\"\n\"security.protocol\" = \"sasl_ssl\"\n\
             \"ssl.ca.location\" = {ca:?}\n\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\
             \"sasl.username\" = \"meter\"\n\"sasl.password.file\" = {file:?}\n",
            broker.bootstrap_tls()
        );
        Application::new("rights", &kafka)
    };
    let super_user = Application::with_topics("rights", &broker);
    // A busy machine may take longer to make the topic of groups than the question may last.
    let validate = ["validate", "--against-cluster"];
    let output = super_user.run_until(&validate, |output| output.status.code() != Some(5));
    let lines = refused(&output, 4);
    assert!(
        lines[0].contains("transaction.max.timeout.ms"),
        "{lines:#?}"
    );
    let shorter = [
        "validate",
        "--against-cluster",
        "--set",
        "kafka.transaction.timeout.ms=9000",
    ];
    accepted(&super_user.run(&shorter));

    let lines = refused(&secured("wrong-canary", &broker.ca()).check(), 6);
    assert!(lines[0].contains("access is refused"), "{lines:#?}");
    assert!(!lines.concat().contains("canary"), "{lines:#?}");
    // A broker that cannot prove who it is gets no password.
    let other = another_authority(secrets.path());
    let lines = refused(&secured("right-canary", &other).check(), 6);
    assert!(lines[0].contains("access is refused"), "{lines:#?}");

    // Without rights, then with those that the faults name, one after another.
    let application = secured("right-canary", &broker.ca());
    let on_plain = |line: &str| line.replace(&broker.bootstrap_tls(), broker.bootstrap());
    let mut seen = Vec::new();
    for _ in 0..4 {
        let output = application.check();
        if output.status.success() {
            break;
        }
        let faults = refused(&output, 6);
        for operation in ["Describe", "Read", "Write", "DescribeConfigs"] {
            let word = format!("--operation {operation} --topic ");
            let named: Vec<&String> = faults.iter().filter(|line| line.contains(&word)).collect();
            let Some((first, more)) = named.split_first() else {
                continue;
            };
            seen.push((operation, named.len()));
            // One command for all topics, since each start of the tool takes its time.
            let topics = more
                .iter()
                .map(|line| line.rsplit_once(" --topic ").unwrap().1);
            let all: String = topics.map(|topic| format!(" --topic {topic}")).collect();
            mend(&on_plain(&format!("{first}{all} --force")));
        }
    }
    assert_eq!(
        seen,
        [
            ("Describe", 9),
            ("Read", 4),
            ("Write", 7),
            ("DescribeConfigs", 9)
        ]
    );
    assert_eq!(application.accepted(), "9 topics are as they must be\n");
}

/// A certificate authority that signed nothing.
fn another_authority(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("other-ca.pem");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-subj", "/CN=other", "-days", "1", "-keyout"])
        .arg(directory.join("other-key.pem"))
        .arg("-out")
        .arg(&path)
        .output()
        .expect("openssl starts");
    assert!(made.status.success(), "{made:?}");
    path
}
