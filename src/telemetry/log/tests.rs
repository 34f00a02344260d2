//! Log lines as they come out, with a writer that a test holds in its hand.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use serde_json::Value;

use super::line::VALUE_BYTES_MAX;
use super::queue::QUEUE_LINES_MAX;
use super::*;
use crate::telemetry::{Format, Settings};

#[test]
fn a_line_of_text_tells_when_how_bad_what_and_where() {
    let text = logged(LogSettings::default(), || {
        tracing::warn!(
            event = "partition_waiting",
            partition = 3,
            topic = "api-calls",
            is_new = true,
            "the clock jumped"
        );
        tracing::debug!(event = "unseen", "below the level");
        tracing::info!("without a code");
    });
    let lines: Vec<&str> = text.lines().collect();
    let [first, second] = lines[..] else {
        panic!("{text}");
    };
    let (time, rest) = first.split_once(' ').unwrap();
    assert!(
        crate::billing::time::Instant::parse(time).is_some(),
        "{time}"
    );
    assert_eq!(
        rest,
        "WARN partition_waiting: the clock jumped partition=3 topic=\"api-calls\" is_new=true"
    );
    assert!(second.ends_with(" INFO log: without a code"), "{second}");
}

#[test]
fn a_line_of_json_is_one_object() {
    let settings = LogSettings {
        format: LogFormat::Json,
        ..LogSettings::default()
    };
    let text = logged(settings, || {
        let error = io::Error::other("no \"room\"\nleft");
        tracing::error!(event = "commit_failed", offset = 7u64, ratio = 0.5, none = f64::NAN, %error, "refused");
    });
    let line: Value = serde_json::from_str(&text).expect(&text);
    assert_eq!(line["level"], "error");
    assert_eq!(line["event"], "commit_failed");
    assert_eq!(line["msg"], "refused");
    assert_eq!(line["offset"], 7);
    assert_eq!(line["ratio"], 0.5);
    assert_eq!(line["none"], Value::Null);
    assert_eq!(line["error"], "no \"room\"\nleft");
    assert!(line["ts"].is_string());
}

/// Whatever a value holds, it stays in its line and moves no terminal.
#[test]
fn no_value_ends_a_line_or_moves_a_terminal() {
    let evil =
        "a\r\n2026-01-01T00:00:00.000Z ERROR forged\x1b[2J\u{9b}2J\u{202e}\u{2028}\0\x7f\t\"\\";
    for format in [LogFormat::Text, LogFormat::Json] {
        let settings = LogSettings {
            format,
            ..LogSettings::default()
        };
        let text = logged(settings, || {
            tracing::info!(event = evil, value = evil, debug = ?evil, display = %evil, "{evil}");
        });
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line = text.trim_end_matches('\n');
        let is_plain =
            |letter: char| !letter.is_control() && !matches!(letter, '\u{202e}' | '\u{2028}');
        assert!(line.chars().all(is_plain), "{line:?}");
        if format == LogFormat::Json {
            let read: Value = serde_json::from_str(line).expect(line);
            for name in ["event", "msg", "value", "display"] {
                assert_eq!(read[name], evil, "{name}");
            }
        }
    }
}

#[test]
fn a_long_value_is_cut() {
    let text = logged(LogSettings::default(), || {
        tracing::info!(event = "long", value = "ä".repeat(VALUE_BYTES_MAX), "cut");
    });
    assert!(text.len() < VALUE_BYTES_MAX + 100, "{}", text.len());
    assert!(text.ends_with("ä...\"\n"), "{text}");
}

#[test]
fn other_crates_may_only_warn() {
    let settings = LogSettings {
        level: LogLevel::Debug,
        ..LogSettings::default()
    };
    let text = logged(settings, || {
        tracing::debug!(event = "ours", "seen");
        tracing::info!(target: "hyper", "unseen");
        tracing::warn!(target: "hyper", "seen");
    });
    assert_eq!(text.matches("seen").count(), 2, "{text}");
    assert!(!text.contains("unseen"), "{text}");
}

/// A client's errors are retried, so they are warnings; its news are for those who look for a fault.
#[test]
fn what_the_kafka_client_says_is_taken_down_a_notch() {
    let says = || {
        let client = DefaultClientContext;
        client.log(RDKafkaLogLevel::Error, "FAIL", "broker down\nx");
        client.log(RDKafkaLogLevel::Notice, "NOTICE", "rebalanced");
    };
    let text = logged(LogSettings::default(), says);
    let (_, line) = text.split_once(' ').unwrap();
    assert_eq!(
        line,
        "WARN kafka_client: librdkafka: FAIL broker down\\nx\n"
    );
    let settings = LogSettings {
        level: LogLevel::Debug,
        ..LogSettings::default()
    };
    let text = logged(settings, says);
    assert!(
        text.contains(" DEBUG kafka_client: librdkafka: NOTICE rebalanced\n"),
        "{text}"
    );
}

#[test]
fn warnings_of_one_code_are_limited_and_counted() {
    let telemetry = telemetry();
    let count = WARNINGS_MAX + 15;
    let text = logged_on(&telemetry, LogSettings::default(), || {
        for _ in 0..count {
            tracing::warn!(event = "storm", "again");
            tracing::info!(event = "calm", "not limited");
        }
        tracing::warn!(event = "other", "has its own limit");
    });
    assert_eq!(text.matches(" WARN storm").count(), WARNINGS_MAX as usize);
    assert_eq!(text.matches(" INFO calm").count(), count as usize);
    assert_eq!(text.matches(" WARN other").count(), 1);
    let metrics = telemetry.render(Format::Classic);
    let expected = "meterfold_log_lines_dropped_total{level=\"warn\",reason=\"rate_limited\"} 15\n";
    assert!(metrics.contains(expected), "{metrics}");
    let expected = format!(
        "meterfold_log_lines_total{{level=\"warn\"}} {}\n",
        count + 1
    );
    assert!(metrics.contains(&expected), "{metrics}");
}

#[test]
fn a_new_window_tells_how_many_were_suppressed() {
    let (lines, _guard) = lines(&telemetry(), LogSettings::default(), Box::new(io::sink()));
    let begun = Instant::now();
    for _ in 0..WARNINGS_MAX {
        assert_eq!(lines.admit("storm", begun), Some(0));
    }
    assert_eq!(lines.admit("storm", begun), None);
    assert_eq!(lines.admit("storm", begun + WINDOW / 2), None);
    assert_eq!(lines.admit("storm", begun + WINDOW), Some(2));
    assert_eq!(lines.admit("storm", begun + WINDOW), Some(0));
}

/// The codes of a fault that makes up codes do not fill the memory.
#[test]
fn codes_are_remembered_up_to_a_limit() {
    let (lines, _guard) = lines(&telemetry(), LogSettings::default(), Box::new(io::sink()));
    let now = Instant::now();
    for code in 0..10 * CODES_MAX {
        let _ = lines.admit(&code.to_string(), now);
    }
    assert!(lock(&lines.windows).len() <= CODES_MAX + 1);
    assert_eq!(lines.admit("one more", now), None);
}

/// F72: a reader that stands still costs lines, never time.
#[test]
fn a_reader_that_stands_still_holds_up_nobody() {
    const LINES: usize = 20_000;
    let telemetry = telemetry();
    let (release, released) = mpsc::channel();
    let written = Arc::new(Mutex::new(Vec::new()));
    let to = Stuck {
        released,
        written: Arc::clone(&written),
    };
    let (lines, guard) = lines(&telemetry, LogSettings::default(), Box::new(to));
    let begun = Instant::now();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
        for _ in 0..LINES {
            tracing::info!(event = "flood", "a line");
        }
    });
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let metrics = telemetry.render(Format::Classic);
    let name = "meterfold_log_lines_dropped_total{level=\"info\",reason=\"queue_full\"} ";
    let dropped = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    let dropped: usize = dropped.parse().unwrap();
    // One more than the queue holds is in the writer's hand.
    assert!(
        (LINES - QUEUE_LINES_MAX - 1..=LINES - QUEUE_LINES_MAX).contains(&dropped),
        "{dropped}"
    );
    // The end of the process waits a moment for it, no more.
    let begun = Instant::now();
    drop(guard);
    assert!(
        begun.elapsed() < queue::FLUSH_MAX + Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(lock(&written).len(), 0);
    drop(release);
}

/// Set in the process that logs.
const LOGS: &str = "METERFOLD_TEST_LOG";

/// Runs this very test once more, as a process of its own: who logs is settled once a process.
#[test]
fn a_process_logs_to_standard_error_until_its_end() {
    if std::env::var_os(LOGS).is_some() {
        let guard = start(LogSettings::default(), &telemetry()).expect("it is the first");
        let again = start(LogSettings::default(), &telemetry());
        assert!(matches!(again, Err(LogError::Started)));
        DefaultClientContext.log(RDKafkaLogLevel::Error, "FAIL", "from the client");
        tracing::info!(event = "last", "the end");
        drop(guard);
        return;
    }
    let test = "telemetry::log::tests::a_process_logs_to_standard_error_until_its_end";
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(LOGS, "1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains(" WARN kafka_client: librdkafka: FAIL from the client\n"),
        "{text}"
    );
    assert!(text.ends_with(" INFO last: the end\n"), "{text}");
    assert!(!text.contains('\x1b'), "colour into a pipe: {text}");
}

/// A writer that stands still until it is released.
struct Stuck {
    released: Receiver<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.released.recv();
        lock(&self.written).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer whose bytes can be looked at.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn telemetry() -> Telemetry {
    Telemetry::new(Settings::default())
}

fn lines(
    telemetry: &Telemetry,
    settings: LogSettings,
    to: Box<dyn Write + Send>,
) -> (Lines, LogGuard) {
    Lines::new(settings, false, telemetry, to).expect("a thread")
}

/// All that `say` logs.
fn logged(settings: LogSettings, say: impl FnOnce()) -> String {
    logged_on(&telemetry(), settings, say)
}

fn logged_on(telemetry: &Telemetry, settings: LogSettings, say: impl FnOnce()) -> String {
    let memory = Memory::default();
    let (lines, guard) = lines(telemetry, settings, Box::new(memory.clone()));
    let subscriber = tracing_subscriber::registry().with(lines);
    let current = subscriber.set_default();
    say();
    drop(current);
    drop(guard);
    String::from_utf8(lock(&memory.0).clone()).expect("lines are text")
}
