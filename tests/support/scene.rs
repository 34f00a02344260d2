//! A group that has folded some of its input and stands still: what is done to it then, and what
//! the next start makes of that.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::audit::assert_proven;
use super::kafka::Broker;
use super::processor::{DERIVED, Feed, PATIENCE, Processor, Setup};
use super::program::{Outputs, Replay};
use super::workload::generated;

/// How long a halted process stays, so that a test can ask it why.
const LINGER: Duration = Duration::from_millis(2_500);
const UNTIL: &str = "2026-04-01T00:00:00Z";

/// Two months of events with duplicates, late and malformed ones; what a file run makes of them;
/// how many are produced.
pub struct Scene<'b> {
    pub setup: Setup<'b>,
    pub feed: Feed,
    pub expected: Outputs,
    pub produced: usize,
}

/// Ends of every topic that the processor writes to, and the offsets of its group.
pub type Written = BTreeMap<String, (Vec<i64>, Vec<Option<(i64, String)>>)>;

impl<'b> Scene<'b> {
    pub fn new(broker: &'b Broker, name: &str, partitions: u16) -> Scene<'b> {
        Scene::with_events(broker, name, partitions, 1_500)
    }

    pub fn with_events(
        broker: &'b Broker,
        name: &str,
        partitions: u16,
        events: usize,
    ) -> Scene<'b> {
        let setup = Setup::new(broker, name, partitions, &rates());
        setup.create_topics();
        let input = generated(&setup, 40, events, 17);
        let replay = Replay {
            rates: setup.rates.clone(),
            out: setup.dir().join("expected"),
            inputs: vec![input.clone()],
            until: Some(UNTIL.to_owned()),
            flags: vec!["--trace"],
            ..Replay::default()
        };
        let expected = replay.succeed();
        let feed = Feed::of_trace(&[input], &expected.trace, Some(UNTIL));
        Scene {
            setup,
            feed,
            expected,
            produced: 0,
        }
    }

    /// With half of the input folded, the process stopped.
    pub fn half_folded(broker: &'b Broker, name: &str, partitions: u16) -> Scene<'b> {
        let mut scene = Scene::new(broker, name, partitions);
        scene.fold_share(2);
        scene
    }

    /// Appends one `share`th of the input, or what is left of it.
    pub fn produce_share(&mut self, share: usize) {
        let records = &self.feed.records;
        let end = (self.produced + records.len() / share).min(records.len());
        let records = records[self.produced..end].to_vec();
        Feed { records }.produce(&self.setup);
        self.produced = end;
    }

    pub fn is_all_produced(&self) -> bool {
        self.produced == self.feed.records.len()
    }

    pub fn produce_rest(&mut self) {
        self.produce_share(1);
    }

    /// Appends a share of the input and has it folded by a process that then stops.
    pub fn fold_share(&mut self, share: usize) {
        self.produce_share(share);
        let mut processor = Processor::start(&self.setup, 0);
        processor.wait_until_folded(&self.setup);
        processor.stop();
    }

    /// The next process runs, folds the rest of the input and stops; nothing is lost or doubled.
    pub fn assert_goes_on(&mut self, place: &str) {
        let mut processor = self.start();
        self.assert_goes_on_with(&mut processor, place);
        processor.stop();
        self.assert_complete(place);
    }

    pub fn assert_goes_on_with(&mut self, processor: &mut Processor, place: &str) {
        processor.wait_until_runs(&self.setup);
        self.produce_rest();
        let what = format!("{place}: everything is folded");
        processor.wait_until(&what, || self.setup.is_folded());
    }

    /// Everything is folded: derived events and state are those of a file run, and an audit proves
    /// them.
    pub fn assert_complete(&self, place: &str) {
        assert_eq!(
            self.produced,
            self.feed.records.len(),
            "{place}: the whole input"
        );
        self.setup.assert_derived(place, &self.expected.derived);
        assert_proven(&self.setup, place, &["2026-02"]);
        self.setup.assert_accounts(place, &self.expected.accounts);
    }

    /// From now on the program is this user, by TLS and SCRAM.
    pub fn become_user(&mut self, user: &str, password: &str) {
        let setup = &mut self.setup;
        let file = setup.dir().join("password");
        std::fs::write(&file, password).expect("a file");
        setup.bootstrap = setup.broker.bootstrap_tls();
        let properties = [
            ("security.protocol", "sasl_ssl".to_owned()),
            ("ssl.ca.location", setup.broker.ca().display().to_string()),
            ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
            ("sasl.username", user.to_owned()),
            ("sasl.password.file", file.display().to_string()),
        ];
        setup.extra.retain(|(section, _)| *section != "kafka");
        setup.give_kafka(&properties);
    }

    /// A process of instance 0 with a log of its own.
    pub fn start(&self) -> Processor {
        self.start_with(&[])
    }

    pub fn start_with(&self, environment: &[(&str, &str)]) -> Processor {
        // The log of an earlier process tells nothing of this one.
        let log = self.setup.dir().join("run-0.log");
        let _ = std::fs::remove_file(log);
        Processor::start_with(&self.setup, 0, environment)
    }

    /// The next process halts every partition under `code`, says `words`, shows it on /status, writes
    /// nothing, stays for a while, and exits with 9.
    #[track_caller]
    pub fn assert_halts(&self, code: &str, words: &[&str]) {
        let before = self.written();
        let linger = LINGER.as_millis().to_string();
        let mut processor = self.start_with(&[("METERFOLD_LINGER_MS", &linger)]);
        let log = processor.log.clone();
        let halts = || log_lines(&log, "partition_halted");
        processor.wait_until(&format!("{code} on every partition"), || {
            halts().len() >= usize::from(self.setup.partitions)
        });
        let halted_at = Instant::now();
        for line in halts() {
            assert!(line.contains(code), "{code}: {line}");
        }
        let address = address(&processor);
        let (status, body) = get(&address, "/status");
        assert_eq!(status, 200);
        assert!(body.contains(code), "/status: {body}");
        assert_eq!(get(&address, "/livez").0, 200, "{body}");
        assert_eq!(get(&address, "/readyz").0, 503, "{body}");
        let status = processor.ended(PATIENCE);
        assert_eq!(status.code(), Some(9), "{code}:\n{}", processor.log());
        let lingered = halted_at.elapsed();
        assert!(lingered > LINGER / 2, "{code}: ended after {lingered:?}");
        let said = processor.log();
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains(code), "the last line: {last}");
        for word in words {
            assert!(last.contains(word), "{code} does not say {word:?}: {last}");
        }
        assert_eq!(self.written(), before, "{code}: something was written");
    }

    /// The next process ends with `code` and says `words` in its last line; nothing is written.
    #[track_caller]
    pub fn assert_refuses(&self, environment: &[(&str, &str)], code: i32, words: &[&str]) {
        let before = self.written();
        let mut processor = self.start_with(environment);
        let status = processor.ended(PATIENCE);
        let said = processor.log();
        assert_eq!(status.code(), Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in:\n{said}");
        }
        assert_eq!(self.written(), before, "something was written");
    }

    pub fn written(&self) -> Written {
        let mut written = Written::new();
        let mut topics = vec!["changelog", "journal", "dead-letters"];
        topics.extend(DERIVED);
        for topic in topics {
            let topic = self.setup.topic(topic);
            let ends = self.setup.broker.end_offsets(&topic);
            written.insert(topic, (ends, Vec::new()));
        }
        let committed = (0..self.setup.partitions).map(|partition| self.committed(partition));
        let input = self.setup.topic("api-calls");
        written.insert(input, (Vec::new(), committed.collect()));
        written
    }

    /// What the group has committed of the input.
    pub fn committed(&self, partition: u16) -> Option<(i64, String)> {
        let input = self.setup.topic("api-calls");
        let broker = self.setup.broker;
        broker.committed(&self.setup.name, &input, i32::from(partition))
    }

    /// Waits until the group has no members: static ones stay until their session times out.
    pub fn wait_until_empty(&self) {
        let client: BaseConsumer = self.setup.broker.client().create().expect("a client");
        let began = Instant::now();
        loop {
            let groups = client.fetch_group_list(Some(&self.setup.name), PATIENCE);
            let members =
                groups.map(|list| list.groups().first().map_or(0, |it| it.members().len()));
            if matches!(members, Ok(0)) {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "the group has members: {members:?}"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Sets a committed offset and what stands beside it, as a tool that restores offsets does.
    pub fn set_committed(&self, partition: u16, offset: i64, metadata: &str) {
        self.wait_until_empty();
        let client: BaseConsumer = self
            .setup
            .broker
            .client()
            .set("group.id", &self.setup.name)
            .set("enable.auto.commit", "false")
            .create()
            .expect("a client");
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(&self.setup.topic("api-calls"), i32::from(partition));
        element
            .set_offset(Offset::Offset(offset))
            .expect("an offset");
        element.set_metadata(metadata);
        client
            .commit(&list, CommitMode::Sync)
            .expect("the group has no members");
    }

    /// Deletes the records of the changelog before `offset`, which its settings do not allow.
    pub fn cut_changelog(&self, partition: i32, offset: i64) {
        let (broker, changelog) = (self.setup.broker, self.setup.topic("changelog"));
        broker.alter_config(&changelog, &[("cleanup.policy", "compact,delete")]);
        broker.delete_records(&changelog, partition, offset);
        broker.alter_config(&changelog, &[("cleanup.policy", "compact")]);
    }

    pub fn partition_dir(&self, partition: u16) -> PathBuf {
        self.setup.state(0).join(format!("partition-{partition}"))
    }

    /// The state directory as it is, elsewhere.
    pub fn keep_state(&self, name: &str) -> PathBuf {
        let kept = self.setup.dir().join(name);
        super::copy_tree(&self.setup.state(0), &kept);
        kept
    }

    /// Puts a state directory in the place of the present one.
    pub fn put_state(&self, kept: &Path) {
        self.lose_state();
        super::copy_tree(kept, &self.setup.state(0));
    }

    pub fn lose_state(&self) {
        std::fs::remove_dir_all(self.setup.state(0)).expect("a state directory");
    }

    /// Damaged stores that were put away.
    pub fn quarantined(&self) -> Vec<String> {
        let names = super::names(&self.setup.state(0));
        names
            .into_iter()
            .filter(|name| name.contains("quarantined"))
            .collect()
    }

    /// `meterfold recover` of a partition; must succeed.
    #[track_caller]
    pub fn recover(&self, partition: u16, way: &[&str]) {
        let output = self.try_recover(partition, way);
        assert!(
            output.status.success(),
            "recover {way:?}: {}",
            text(&output)
        );
    }

    pub fn try_recover(&self, partition: u16, way: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_meterfold"))
            .args(["recover", "--config"])
            .arg(self.setup.config(0))
            .args(["--partition", &partition.to_string()])
            .args(way)
            .args(["--reason", "a test"])
            .output()
            .expect("the program starts")
    }
}

pub fn rates() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas/rates/aps-example.json")
}

/// Lines of a log with an event.
pub fn log_lines(log: &Path, event: &str) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains(event));
    lines.map(str::to_owned).collect()
}

/// Where a process serves its health; waits until it says so.
pub fn address(processor: &Processor) -> String {
    let began = Instant::now();
    loop {
        for line in log_lines(&processor.log, "http_listening") {
            if let Some(at) = line.find("127.0.0.1:") {
                let port = line[at + 10..].chars().take_while(char::is_ascii_digit);
                return format!("127.0.0.1:{}", port.collect::<String>());
            }
        }
        assert!(
            began.elapsed() < PATIENCE,
            "no address:\n{}",
            processor.log()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Status and body of an answer.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the process listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).expect("a status");
    (status.parse().expect("a number"), body.to_owned())
}

fn text(output: &Output) -> String {
    format!(
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}
