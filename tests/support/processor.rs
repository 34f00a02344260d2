//! `meterfold run` as a user starts it: topics and configuration of one test, what it is fed, and
//! what it has put out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use meterfold::wire::cloudevents;
use meterfold::wire::partitioner::partition_of;
use meterfold::wire::span::Text;

use super::kafka::{Broker, NewRecord};
use super::{assert_same_lines, in_derived_order};

pub const PATIENCE: Duration = Duration::from_secs(60);

/// The four topics of derived events, without their prefix.
pub const DERIVED: [&str; 4] = [
    "cap-reached",
    "tokens-depleted",
    "switched-to-postpay",
    "monthly-invoice",
];

/// Topics, configuration and state directories of one test; all named after it.
pub struct Setup<'b> {
    pub broker: &'b Broker,
    pub name: String,
    pub partitions: u16,
    pub rates: PathBuf,
    /// More lines of the configuration's sections, by their heads ("" for the top).
    pub extra: Vec<(&'static str, String)>,
    pub has_accounts: bool,
    pub is_record_time: bool,
    /// Where the program reaches the brokers.
    pub bootstrap: String,
    /// The test whose input topics are read, if it is another one.
    pub inputs_of: Option<String>,
    dir: tempfile::TempDir,
}

/// A running process; killed when dropped.
pub struct Processor {
    pub child: Child,
    pub log: PathBuf,
    /// Where its own part of the log begins: one started again goes on in the same file.
    log_from: u64,
}

/// Records in the order in which they are produced; those without a partition go to every one.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    pub records: Vec<FeedRecord>,
}

#[derive(Clone, Debug)]
pub struct FeedRecord {
    pub key: Option<String>,
    pub value: Vec<u8>,
    pub timestamp: i64,
    /// A clock tick: one to each partition.
    pub is_tick: bool,
}

impl<'b> Setup<'b> {
    /// In record-time mode, with one input topic.
    pub fn new(broker: &'b Broker, name: &str, partitions: u16, rates: &Path) -> Setup<'b> {
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        Setup {
            broker,
            name,
            partitions,
            rates: rates.to_owned(),
            extra: Vec::new(),
            has_accounts: false,
            is_record_time: true,
            bootstrap: broker.bootstrap().to_owned(),
            inputs_of: None,
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    /// The program gets these properties of the Kafka client too.
    pub fn give_kafka<T: std::fmt::Display>(&mut self, properties: &[(&str, T)]) {
        for (name, value) in properties {
            let line = format!("\"{name}\" = \"{value}\"");
            self.extra.push(("kafka", line));
        }
    }

    pub fn topic(&self, name: &str) -> String {
        let is_input = matches!(name, "api-calls" | "accounts");
        let of = self
            .inputs_of
            .as_ref()
            .filter(|_| is_input)
            .unwrap_or(&self.name);
        format!("{of}-{name}")
    }

    /// Input topics by their full names.
    pub fn inputs(&self) -> Vec<String> {
        let accounts = self.has_accounts.then(|| self.topic("accounts"));
        std::iter::once(self.topic("api-calls"))
            .chain(accounts)
            .collect()
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn state(&self, instance: u16) -> PathBuf {
        self.dir.path().join(format!("state-{instance}"))
    }

    /// Writes the configuration of an instance.
    pub fn config(&self, instance: u16) -> PathBuf {
        let more = |section: &str| -> String {
            let lines = self.extra.iter().filter(|(head, _)| *head == section);
            lines.map(|(_, line)| format!("{line}\n")).collect()
        };
        let mode = if self.is_record_time {
            "record"
        } else {
            "append"
        };
        let mut text = format!(
            "application = \"{}\"\ninstance = \"i{instance}\"\nrates = \"{}\"\nstate_dir = \"{}\"\n\
             recorded_time = \"{mode}\"\nlinger_ms = 1000\n{}",
            self.name,
            self.rates.display(),
            self.state(instance).display(),
            more("")
        );
        let kafka = more("kafka");
        text += &format!(
            "[kafka]\n\"bootstrap.servers\" = \"{}\"\n{kafka}",
            self.bootstrap
        );
        if !kafka.contains("transaction.timeout.ms") {
            text += "\"transaction.timeout.ms\" = 4000\n";
        }
        // Under the consumer protocol it is the brokers' to set.
        if !kafka.contains("group.protocol") && !kafka.contains("session.timeout.ms") {
            text += "\"session.timeout.ms\" = 6000\n";
        }
        text += &format!(
            "[topics]\npartitions = {}\nreplication_factor = 1\nmin_insync_replicas = 1\n",
            self.partitions
        );
        let mut topics = vec!["api-calls", "dead-letters", "changelog", "journal"];
        topics.extend(DERIVED);
        if self.has_accounts {
            topics.push("accounts");
        } else {
            text += "accounts = \"\"\n";
        }
        for topic in topics {
            text += &format!("{} = \"{}\"\n", topic.replace('-', "_"), self.topic(topic));
        }
        text += &more("topics");
        text += &format!("[http]\nlisten = \"127.0.0.1:0\"\n{}", more("http"));
        let commit = more("commit");
        let commit = if commit.is_empty() {
            "interval_ms = 50\n".into()
        } else {
            commit
        };
        text += &format!("[commit]\n{commit}");
        let path = self.dir.path().join(format!("config-{instance}.toml"));
        fs::write(&path, text).expect("a file");
        path
    }

    pub fn create_topics(&self) {
        let config = self.config(0);
        let output = Command::new(env!("CARGO_BIN_EXE_meterfold"))
            .args(["topics", "create", "--config"])
            .arg(config)
            .output()
            .expect("the program starts");
        assert!(
            output.status.success(),
            "topics create: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        // Records that are too large come to the program, which makes dead letters of them.
        let any_size = [("max.message.bytes", "33554432")];
        self.broker
            .alter_config(&self.topic("api-calls"), &any_size);
    }

    /// Everything that was appended to the inputs is folded and committed.
    pub fn is_folded(&self) -> bool {
        self.inputs().into_iter().all(|topic| {
            let ends = self.broker.stable_offsets(&topic);
            (0..).zip(ends).all(|(partition, end)| {
                let asked = || {
                    self.broker
                        .committed_if_it_answers(&self.name, &topic, partition)
                };
                end == 0 || asked().is_some_and(|offset| offset >= end)
            })
        })
    }

    /// Committed derived events, one a line, in the order of a file run.
    pub fn derived(&self) -> Vec<u8> {
        let mut lines = Vec::new();
        for topic in DERIVED {
            for record in self.broker.read_committed(&self.topic(topic)) {
                lines.extend_from_slice(&record.value.expect("a value"));
                lines.push(b'\n');
            }
        }
        in_derived_order(&lines)
    }

    /// One line a team, as `inspect` shows them. Nothing may run.
    pub fn accounts(&self, instance: u16) -> Vec<u8> {
        let output = Command::new(env!("CARGO_BIN_EXE_meterfold"))
            .args(["inspect", "--state"])
            .arg(self.state(instance))
            .output()
            .expect("the program starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let lines = output.stdout.split_inclusive(|byte| *byte == b'\n');
        let mut lines: Vec<(String, Vec<u8>)> = lines
            .map(|line| {
                let account: serde_json::Value = serde_json::from_slice(line).expect("an account");
                (
                    account["team"].as_str().expect("a team").into(),
                    line.to_vec(),
                )
            })
            .collect();
        lines.sort();
        lines.into_iter().flat_map(|(_, line)| line).collect()
    }

    /// Derived events stand in four topics: those of one team and instant may come in any order of
    /// topics, so they are compared sorted.
    pub fn assert_derived(&self, place: &str, expected: &[u8]) {
        let sorted = |lines: &[u8]| {
            let mut lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
            lines.sort_unstable();
            lines.concat()
        };
        let actual = self.derived();
        assert_same_lines(
            &format!("{place}: derived"),
            &sorted(expected),
            &sorted(&actual),
        );
    }

    pub fn assert_accounts(&self, place: &str, expected: &[u8]) {
        self.assert_accounts_of(place, 0, expected);
    }

    /// Accounts of state that a new instance restores from the changelog alone; nothing else may
    /// run. The digest of what it restored is checked by the program.
    pub fn assert_restored_accounts(&self, place: &str, expected: &[u8]) {
        let instance = 9;
        let mut processor = Processor::start(self, instance);
        processor.wait_until_runs(self);
        processor.stop();
        self.assert_accounts_of(place, instance, expected);
    }

    pub fn assert_accounts_of(&self, place: &str, instance: u16, expected: &[u8]) {
        let actual = self.accounts(instance);
        assert_same_lines(&format!("{place}: accounts"), expected, &actual);
    }
}

impl Processor {
    pub fn start(setup: &Setup, instance: u16) -> Processor {
        Processor::start_with(setup, instance, &[])
    }

    /// With more environment.
    pub fn start_with(setup: &Setup, instance: u16, environment: &[(&str, &str)]) -> Processor {
        let config = setup.config(instance);
        let log = setup.dir().join(format!("run-{instance}.log"));
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a file");
        let log_from = file.metadata().expect("a size").len();
        let child = Command::new(env!("CARGO_BIN_EXE_meterfold"))
            .args(["run", "--config"])
            .arg(config)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Processor {
            child,
            log,
            log_from,
        }
    }

    /// What it said since its start.
    pub fn log(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let own = log.get(self.log_from as usize..).unwrap_or_default();
        String::from_utf8_lossy(own).into_owned()
    }

    /// How often a text stands in its log.
    pub fn said(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Partitions that it was given since its start, whatever became of them.
    pub fn ran(&self, setup: &Setup) -> Vec<u16> {
        let log = self.log();
        let runs =
            |partition: &u16| log.contains(&format!("partition {partition} runs from commit"));
        (0..setup.partitions).filter(runs).collect()
    }

    pub fn wait_until_folded(&mut self, setup: &Setup) {
        self.wait_until("everything is folded", || setup.is_folded());
    }

    /// Waits until this one runs every partition.
    pub fn wait_until_runs(&mut self, setup: &Setup) {
        let began = Instant::now();
        while self.ran(setup).len() < usize::from(setup.partitions) {
            self.assert_lives("all partitions run");
            assert!(
                began.elapsed() < PATIENCE,
                "not in time: all partitions run:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for `condition`; the process must live meanwhile.
    pub fn wait_until(&mut self, what: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            self.assert_lives(what);
            assert!(
                began.elapsed() < PATIENCE,
                "not in time: {what}:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn assert_lives(&mut self, what: &str) {
        if let Some(status) = self.child.try_wait().expect("a child") {
            panic!("ended with {status} before {what}:\n{}", self.log());
        }
    }

    /// Sends a signal by its name: TERM, STOP, CONT.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill starts").success(), "the process is there");
    }

    /// SIGTERM; must end with 0.
    pub fn stop(mut self) {
        let began = Instant::now();
        self.signal("TERM");
        let status = self.ended(Duration::from_secs(15));
        assert_eq!(status.code(), Some(0), "after SIGTERM:\n{}", self.log());
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "stopping took {:?}",
            began.elapsed()
        );
    }

    pub fn kill(mut self) {
        self.child.kill().expect("the process is there");
        self.child.wait().expect("a status");
    }

    /// Waits for the end.
    pub fn ended(&mut self, patience: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(began.elapsed() < patience, "has not ended:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Feed {
    /// The lines of NDJSON inputs in the order of `trace`, which names input and line of each; then
    /// a tick at `until`.
    pub fn of_trace(inputs: &[PathBuf], trace: &[u8], until: Option<&str>) -> Feed {
        let lines: Vec<Vec<Vec<u8>>> = inputs
            .iter()
            .map(|input| {
                let bytes = fs::read(input).expect("an input");
                bytes
                    .split(|byte| *byte == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect()
            })
            .collect();
        let mut feed = Feed::default();
        for traced in trace
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let traced: serde_json::Value = serde_json::from_slice(traced).expect("a trace line");
            let number = |name: &str| traced[name].as_u64().expect("a number") as usize;
            let line = &lines[number("input")][number("line") - 1];
            feed.push(line.strip_suffix(b"\r").unwrap_or(line));
        }
        if let Some(until) = until {
            let tick = format!(
                "{{\"specversion\":\"1.0\",\"id\":\"until\",\"source\":\"/test\",\
                 \"type\":\"meterfold.clock-tick.v1\",\"time\":\"{until}\"}}"
            );
            feed.push(tick.as_bytes());
        }
        feed
    }

    /// A line as a record: created when it says that it was recorded, else with the one before.
    pub fn push(&mut self, line: &[u8]) {
        let mut text = Text::default();
        let before = self.records.last().map_or(0, |record| record.timestamp);
        let mut record = FeedRecord {
            key: None,
            value: line.to_vec(),
            timestamp: before,
            is_tick: false,
        };
        if let Ok(line) = std::str::from_utf8(line) {
            text.input.push_str(line);
            let decoded = cloudevents::decode(&text.input, 0, line.len(), &mut text.side);
            record.timestamp = decoded.recorded.map_or(before, |at| at.millis());
            record.is_tick = decoded.is_tick && decoded.event.is_ok();
            if !decoded.is_tick {
                record.key = decoded.subject.map(|subject| text.get(subject).to_owned());
            }
        }
        self.records.push(record);
    }

    pub fn produce(&self, setup: &Setup) {
        self.produce_to(setup, "api-calls");
    }

    pub fn produce_to(&self, setup: &Setup, topic: &str) {
        let mut records = Vec::new();
        for record in &self.records {
            let partitions = match (&record.key, record.is_tick) {
                (_, true) => 0..setup.partitions,
                (Some(key), false) => {
                    let partition = partition_of(key.as_bytes(), setup.partitions);
                    partition..partition + 1
                }
                (None, false) => 0..1,
            };
            for partition in partitions {
                records.push(NewRecord {
                    partition: i32::from(partition),
                    key: record.key.clone().map(String::into_bytes),
                    value: Some(record.value.clone()),
                    headers: Vec::new(),
                    timestamp: Some(record.timestamp),
                });
            }
        }
        setup.broker.produce_all(&setup.topic(topic), records);
    }
}
