//! What is compared: each as a process of its own that reads one topic and writes another, started
//! from one description.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant as WallInstant};

use crate::backlog::{APIS, call_fingerprint};
use crate::broker::Broker;
use crate::measured::peak_of;
use crate::sizes::Format;

const PROGRAM: &str = env!("CARGO_BIN_EXE_meterfold");
const BOOK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/schemas/rates/aps-example.json"
);

/// The directory of the built peer, in the environment.
const PEER: &str = "PIPELINE_PEER";

/// How long a process may take to end in good order.
const STOP_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processor {
    KafkaStreams,
    Meterfold,
}

/// One processor, set up for one input topic. Its group, its state and its topics are of its own.
pub struct Setup {
    pub processor: Processor,
    pub input: String,
    pub partitions: u16,
    pub commit_millis: u64,
    pub group: String,
    /// Topic of the events for reached caps.
    pub output: String,
    state: PathBuf,
    log: PathBuf,
    words: Vec<String>,
    ends_by_itself: bool,
}

pub struct Running {
    child: Child,
    /// The peer ends when it has taken what it was asked to take, and then prints its figures.
    ends_by_itself: bool,
    name: &'static str,
    log: PathBuf,
    pub begun: WallInstant,
}

impl Processor {
    pub const ALL: [Processor; 2] = [Processor::KafkaStreams, Processor::Meterfold];

    pub const fn name(self) -> &'static str {
        match self {
            Processor::KafkaStreams => "Kafka Streams",
            Processor::Meterfold => "meterfold run",
        }
    }

    /// Why it cannot be measured here; None: it can.
    pub fn missing(self) -> Option<String> {
        match self {
            Processor::KafkaStreams => {
                let built = peer().is_some_and(|peer| peer.join("kafka-streams-peer.jar").exists());
                (!built).then(|| format!("{PEER} names no directory that .ci/bench-peers built"))
            }
            Processor::Meterfold => {
                let help = Command::new(PROGRAM).args(["run", "--help"]).output();
                let known = help.expect("the program starts").status.success();
                (!known).then(|| "this build has no such command".to_owned())
            }
        }
    }
}

impl Setup {
    /// Makes the topics and files that `processor` needs to take `input`. `label` tells this set-up
    /// from others of the run; `records` is how many there are to take, 0 where that is open.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one thing that is varied"
    )]
    pub fn new(
        processor: Processor,
        broker: &Broker,
        directory: &Path,
        label: &str,
        (input, format, partitions): (&str, Format, u16),
        commit_millis: u64,
        workers: u16,
        records: u64,
    ) -> Setup {
        let kind = match processor {
            Processor::KafkaStreams => "streams",
            Processor::Meterfold => "meterfold",
        };
        let group = format!("{kind}.{label}");
        let files = directory.join(&group);
        fs::create_dir_all(&files).expect("a directory");
        let mut setup = Setup {
            processor,
            input: input.to_owned(),
            partitions,
            commit_millis,
            output: format!("{group}.cap-reached"),
            state: files.join("state"),
            log: files.join("log"),
            group,
            words: Vec::new(),
            ends_by_itself: processor == Processor::KafkaStreams && records > 0,
        };
        match processor {
            Processor::KafkaStreams => {
                broker.create_topic(&setup.output, partitions, &[]);
                setup.words = streams_words(&setup, broker, format, workers, records);
            }
            Processor::Meterfold => {
                let config = files.join("meterfold.toml");
                fs::write(&config, configuration(&setup, broker, workers)).expect("a file");
                let words = |command: &[&str]| {
                    let mut words: Vec<String> = vec![PROGRAM.into()];
                    words.extend(command.iter().map(|&word| word.to_owned()));
                    words.extend(["--config".into(), config.display().to_string()]);
                    words
                };
                run(&words(&["topics", "create"]));
                setup.words = words(&["run"]);
            }
        }
        setup
    }

    pub fn start(&self) -> Running {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.expect("a file");
        // It is sent a signal when the bench dies; it stays the same process all the way.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(&self.words)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Running {
            child,
            ends_by_itself: self.ends_by_itself,
            name: self.processor.name(),
            log: self.log.clone(),
            begun: WallInstant::now(),
        }
    }

    /// The command line, as one would type it.
    pub fn command(&self) -> String {
        self.words.join(" ")
    }

    /// The figures that it printed itself.
    pub fn figures(&self) -> Option<String> {
        let said = fs::read_to_string(&self.log).ok()?;
        let line = said.lines().find(|line| line.starts_with("records "))?;
        Some(line.to_owned())
    }

    /// Forgets the state on disk; the next start has only the changelog.
    pub fn remove_state(&self) {
        fs::remove_dir_all(&self.state).expect("a state directory");
    }

    /// Topics of state by absolute value.
    pub fn changelogs(&self, broker: &Broker) -> Vec<String> {
        let mut topics = broker.topics_of(&self.group);
        topics.retain(|name| name.ends_with("changelog"));
        topics
    }

    /// Removes its topics and files; a backlog is read by several set-ups.
    pub fn remove(self, broker: &Broker) {
        let topics = broker.topics_of(&self.group);
        broker.delete_topics(&topics.iter().map(String::as_str).collect::<Vec<_>>());
        let files = self.log.parent().expect("a directory of its own");
        fs::remove_dir_all(files).expect("files of its own");
    }
}

impl Running {
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn peak_bytes(&self) -> Option<u64> {
        peak_of(self.child.id())
    }

    /// Whether it has ended; a bad end ends the bench.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.try_wait().expect("a child");
        ended.is_some_and(|status| {
            self.check(status);
            true
        })
    }

    /// Asks it to end in good order, unless it will, and waits for that.
    pub fn stop(mut self) {
        if !self.ends_by_itself && !self.has_ended() {
            run(&["kill".into(), "-TERM".into(), self.child.id().to_string()]);
        }
        let asked = WallInstant::now();
        while !self.has_ended() {
            assert!(asked.elapsed() < STOP_MAX, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn check(&self, status: ExitStatus) {
        // 143: Java's way of ending by the signal that it was sent.
        let is_good = status.success() || status.code() == Some(143);
        let said = last_lines(&self.log, 20);
        assert!(
            is_good,
            "{} ended with {status}; its last lines:\n{said}",
            self.name
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only where the bench fails: `stop` has waited for it otherwise.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn streams_words(
    setup: &Setup,
    broker: &Broker,
    format: Format,
    workers: u16,
    records: u64,
) -> Vec<String> {
    let peer = peer().expect("asked before");
    let caps: Vec<String> = APIS
        .iter()
        .map(|api| format!("{}:{}", api.id, api.cap))
        .collect();
    let class_path = format!("{0}/kafka-streams-peer.jar:{0}/jars/*", peer.display());
    let mut words: Vec<String> = ["java", "-XX:+UseParallelGC", "-Xms1g", "-Xmx1g"]
        .map(String::from)
        .into();
    words.extend([
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into(),
        "-cp".into(),
        class_path,
        "meterfold.peer.Peer".into(),
        format!("brokers={}", broker.brokers),
        format!("application={}", setup.group),
        format!("input={}", setup.input),
        format!("output={}", setup.output),
        format!("state={}", setup.state.display()),
        format!("threads={workers}"),
        format!("commit_ms={}", setup.commit_millis),
        format!("caps={}", caps.join(",")),
        format!("records={records}"),
    ]);
    if format == Format::Avro {
        words.push(format!("avro={:016x}", call_fingerprint()));
    }
    words
}

/// `interfaces.md` 4.1.
fn configuration(setup: &Setup, broker: &Broker, workers: u16) -> String {
    let Setup {
        group,
        input,
        partitions,
        commit_millis,
        output,
        ..
    } = setup;
    let (state, brokers) = (setup.state.display(), &broker.brokers);
    format!(
        r#"application = "{group}"
instance = "bench"
workers = {workers}
rates = "{BOOK}"
state_dir = "{state}"

[kafka]
"bootstrap.servers" = "{brokers}"

[topics]
api_calls = "{input}"
accounts = ""
cap_reached = "{output}"
tokens_depleted = "{group}.tokens-depleted"
switched_to_postpay = "{group}.switched-to-postpay"
monthly_invoice = "{group}.monthly-invoice"
dead_letters = "{group}.dead-letters"
changelog = "{group}.changelog"
journal = "{group}.journal"
partitions = {partitions}
replication_factor = 1
min_insync_replicas = 1

[commit]
interval_ms = {commit_millis}

[http]
listen = "127.0.0.1:0"
"#
    )
}

fn peer() -> Option<PathBuf> {
    std::env::var_os(PEER).map(PathBuf::from)
}

fn run(words: &[String]) {
    let output = Command::new(&words[0]).args(&words[1..]).output();
    let output = output.expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", words.join(" "));
}

fn last_lines(path: &Path, count: usize) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
