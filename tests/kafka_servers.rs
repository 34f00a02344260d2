//! The servers that tests stand on: that they do as told, and that none outlives its test.

mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use support::kafka::{Broker, NewRecord, Options, Registry};

/// Set in a process of this binary that is there to be killed.
const VICTIM: &str = "METERFOLD_TEST_VICTIM";

#[test]
fn records_come_back_as_they_were_produced() {
    let broker = Broker::shared();
    broker.create_topic("back", 2, &[("message.timestamp.type", "CreateTime")]);
    let record = NewRecord::new(1, "key", "value")
        .with_header("name", "header")
        .created_at(86_400_000);
    let tombstone = NewRecord {
        value: None,
        ..record.clone()
    };
    let offsets = broker.produce_all("back", [record.clone(), tombstone]);
    assert_eq!(offsets, [0, 1]);
    assert_eq!(broker.produce("back", 0, "a", "b"), 0);

    let records = broker.read_committed("back");
    assert_eq!(records, broker.read_uncommitted("back"));
    let places: Vec<(i32, i64)> = records.iter().map(|r| (r.partition, r.offset)).collect();
    assert_eq!(places, [(0, 0), (1, 0), (1, 1)]);
    assert_eq!(records[1].key, record.key);
    assert_eq!(records[1].value, record.value);
    assert_eq!(records[1].headers, record.headers);
    assert_eq!(records[1].timestamp, 86_400_000);
    assert!(!records[1].is_append_time);
    assert_eq!(records[2].value, None);

    // Retention looks every second and must have left the record of 1970 alone.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(broker.start_offsets("back"), [0, 0]);
    broker.delete_records("back", 1, 1);
    assert_eq!(broker.start_offsets("back"), [0, 1]);
    assert_eq!(broker.end_offsets("back"), [1, 2]);
}

#[test]
fn topics_change_and_go() {
    let broker = Broker::shared();
    broker.create_topic(
        "changing",
        1,
        &[("message.timestamp.type", "LogAppendTime")],
    );
    broker.alter_config("changing", &[("retention.ms", "86400000")]);
    broker.alter_config("changing", &[("max.message.bytes", "2097152")]);
    broker.produce("changing", 0, "key", "value");
    assert!(
        broker.read_committed("changing")[0].is_append_time,
        "the first setting stays"
    );
    broker.add_partitions("changing", 3);
    assert_eq!(broker.partitions("changing"), 3);
    broker.delete_topic("changing");
    broker.create_topic("changing", 2, &[]);
    assert_eq!(broker.end_offsets("changing"), [0, 0]);
}

#[test]
fn groups_are_reset_and_deleted() {
    let broker = Broker::shared();
    broker.create_topic("grouped", 1, &[]);
    assert_eq!(broker.committed("group", "grouped", 0), None);
    broker.reset_offsets("group", "grouped", 0, 5);
    let committed = broker.committed("group", "grouped", 0);
    assert_eq!(committed, Some((5, String::new())));
    broker.delete_group("group");
    assert_eq!(broker.committed("group", "grouped", 0), None);
}

#[test]
fn a_user_comes_in_with_the_password_over_tls_only() {
    let broker = Broker::start_with(&Options {
        users: vec![("alice".to_owned(), "in wonder=land".to_owned())],
        ..Options::default()
    });
    broker.create_topic("guarded", 1, &[]);
    let sees = |config: &ClientConfig| -> Result<usize, KafkaError> {
        let consumer: BaseConsumer = config.create()?;
        let metadata = consumer.fetch_metadata(Some("guarded"), Duration::from_secs(5))?;
        Ok(metadata.topics()[0].partitions().len())
    };
    let mut config = broker.client_of("alice");
    assert_eq!(sees(&config), Ok(1));
    config.set("sasl.mechanism", "SCRAM-SHA-256");
    assert_eq!(sees(&config), Ok(1));
    config.set("sasl.password", "wrong");
    sees(&config).expect_err("a wrong password");
    let mut config = broker.client_of("alice");
    config.set("security.protocol", "SASL_PLAINTEXT");
    sees(&config).expect_err("no TLS");
}

#[test]
fn a_broker_pauses_dies_and_comes_back() {
    let broker = Broker::start();
    broker.create_topic("kept", 1, &[]);
    broker.produce("kept", 0, "key", "value");
    let consumer: BaseConsumer = broker.client().create().expect("a consumer");
    let asks = |patience| consumer.fetch_metadata(Some("kept"), Duration::from_secs(patience));
    asks(10).expect("metadata");
    broker.pause();
    asks(1).expect_err("a paused broker answers nothing");
    broker.resume();
    asks(10).expect("metadata");
    broker.kill9();
    asks(1).expect_err("a killed broker");
    let address = broker.bootstrap().to_owned();
    broker.restart();
    assert_eq!(broker.bootstrap(), address);
    broker.stop();
    broker.restart();
    assert_eq!(broker.read_committed("kept").len(), 1);
    assert!(broker.log().contains("Kafka Server started"));
}

#[test]
fn a_registry_keeps_its_schemas() {
    let registry = Registry::start();
    let text = registry.register("text-value", r#""string""#);
    let count = registry.register("count-value", r#""long""#);
    assert_ne!(text, count);
    registry.stop();
    registry.restart();
    assert_eq!(registry.register("count-value", r#""long""#), count);
    let url = format!("{}/schemas/ids/{text}", registry.url());
    let mut answer = ureq::get(&url).call().expect("a schema");
    let answer = answer.body_mut().read_to_string().expect("a text");
    assert!(answer.contains("string"), "{answer}");
}

#[test]
fn no_server_outlives_a_test_that_is_killed() {
    let mut victim = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary starts");
    let lines = BufReader::new(victim.stdout.take().expect("a pipe")).lines();
    let place = lines
        .map(|line| line.expect("a line"))
        .find_map(|line| Some(line.split_once("server in ")?.1.to_owned()))
        .expect("a place");
    let place = PathBuf::from(place);
    let pid = fs::read_to_string(place.join("pid")).expect("a process");
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists() || !Path::new("/proc/self").exists());

    victim.kill().expect("SIGKILL");
    victim.wait().expect("an end");
    let deadline = Instant::now() + Duration::from_secs(20);
    while process.exists() || place.exists() {
        assert!(Instant::now() < deadline, "{place:?} and its server stay");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Does nothing unless the test above starts it.
#[test]
fn victim() {
    if env::var_os(VICTIM).is_none() {
        return;
    }
    let broker = Broker::shared();
    let place = broker.ca();
    println!("server in {}", place.parent().expect("a place").display());
    thread::sleep(Duration::from_secs(120));
}
