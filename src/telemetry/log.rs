//! Log lines: one a fact, on standard error, as text or JSON, each with a stable code in its field
//! `event` that runbooks and alerts refer to.
//!
//! ```text
//! tracing::warn!(event = "partition_waiting", partition = 3, "the clock jumped");
//! ```
//!
//! A line never holds up who says it: it goes into a bounded queue and a thread of its own writes
//! it; where the queue is full the line is dropped and counted (F72). Warnings of one code are
//! limited by time. No payload, key or team belongs into a line.

mod line;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, filter::LevelFilter};

use super::labels::LineLost;
use super::table::Metric;
use super::{Telemetry, lock};
use line::Line;
pub use queue::LogGuard;
use queue::Queue;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct LogSettings {
    pub format: LogFormat,
    pub level: LogLevel,
}

/// Warnings of one code in [`WINDOW`]; what comes beyond is counted, and the next one that is
/// written tells how many there were.
pub const WARNINGS_MAX: u32 = 10;
pub const WINDOW: Duration = Duration::from_secs(10);
/// Codes that are limited each for itself; any beyond share one limit.
const CODES_MAX: usize = 256;

/// The code of what the Kafka client says.
pub const KAFKA_CLIENT: &str = "kafka_client";
/// The code of the last line of a process that failed.
pub const FAILED: &str = "failed";
/// The code of what other libraries say through the crate `log`.
pub const LIBRARY: &str = "library";

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log: cannot start its thread: {0}")]
    Thread(std::io::Error),
    #[error("log: was started before, once a process is enough")]
    Started,
}

/// From here on what the process logs goes to standard error. The guard writes what is left when
/// it is dropped; keep it until the end.
pub fn start(settings: LogSettings, telemetry: &Telemetry) -> Result<LogGuard, LogError> {
    let stderr = std::io::stderr();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_colored = stderr.is_terminal() && !no_color && settings.format == LogFormat::Text;
    let (lines, guard) = Lines::new(settings, is_colored, telemetry, Box::new(stderr))?;
    let queue = lines.queue.clone();
    let subscriber = tracing_subscriber::registry().with(lines);
    subscriber.try_init().map_err(|_| LogError::Started)?;
    let _ = QUEUE.set(queue);
    Ok(guard)
}

/// Writes what is left, for those who end the process at once.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush();
    }
}

/// Of the process's log.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// What turns events into lines.
struct Lines {
    settings: LogSettings,
    is_colored: bool,
    queue: Queue,
    telemetry: Telemetry,
    windows: Mutex<HashMap<String, Window>>,
}

/// Warnings of one code since `begun`.
struct Window {
    begun: Instant,
    written: u32,
    suppressed: u32,
}

impl Lines {
    fn new(
        settings: LogSettings,
        is_colored: bool,
        telemetry: &Telemetry,
        to: Box<dyn Write + Send>,
    ) -> Result<(Lines, LogGuard), LogError> {
        let (queue, guard) = queue::start(to).map_err(LogError::Thread)?;
        let lines = Lines {
            settings,
            is_colored,
            queue,
            telemetry: telemetry.clone(),
            windows: Mutex::new(HashMap::new()),
        };
        Ok((lines, guard))
    }

    /// Counts a warning; None: it is one too many, else how many were suppressed before it.
    fn admit(&self, code: &str, now: Instant) -> Option<u32> {
        let mut windows = lock(&self.windows);
        let is_known = windows.contains_key(code) || windows.len() < CODES_MAX;
        let code = if is_known { code } else { "" };
        let window = windows.entry(code.to_owned()).or_insert(Window {
            begun: now,
            written: 0,
            suppressed: 0,
        });
        if now.duration_since(window.begun) >= WINDOW {
            (window.begun, window.written) = (now, 0);
        }
        if window.written == WARNINGS_MAX {
            window.suppressed += 1;
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.suppressed))
    }

    fn lost(&self, level: LogLevel, why: LineLost) {
        let labels = [level.name(), why.name()];
        self.telemetry
            .0
            .families
            .add(Metric::LogLinesLost, &labels, 1.0);
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    /// Of other crates, only what they hold for worth a warning.
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let target = metadata.target();
        // What came through `log` is looked at when it is read.
        let level = if target.starts_with("meterfold") || target == "log" || is_kafka_client(target)
        {
            self.settings.level.filter()
        } else {
            self.settings.level.filter().min(LevelFilter::WARN)
        };
        level >= *metadata.level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.settings.level.filter())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::read(event);
        let mut level = LogLevel::from(*event.metadata().level());
        let mut level_max = self.settings.level;
        if let Some(library) = &line.library {
            let is_client = is_kafka_client(library);
            level = level_of_library(level);
            line.code = Some(if is_client { KAFKA_CLIENT } else { LIBRARY }.to_owned());
            level_max = level_max.min(if is_client {
                LogLevel::Trace
            } else {
                LogLevel::Warn
            });
        }
        if level > level_max {
            return;
        }
        self.telemetry
            .0
            .families
            .add(Metric::LogLines, &[level.name()], 1.0);
        if level == LogLevel::Warn {
            match self.admit(line.code(), Instant::now()) {
                None => return self.lost(level, LineLost::RateLimited),
                Some(0) => {}
                Some(suppressed) => line.push("suppressed", suppressed.to_string()),
            }
        }
        let text = match self.settings.format {
            LogFormat::Text => line.text(level, self.is_colored),
            LogFormat::Json => line.json(level),
        };
        if !self.queue.offer(text) {
            self.lost(level, LineLost::QueueFull);
        }
    }
}

/// Whether this is librdkafka or what wraps it; both speak through the crate `log`.
fn is_kafka_client(target: &str) -> bool {
    target.starts_with("librdkafka") || target.starts_with("rdkafka")
}

/// What a library holds for an error, such as a broker that is away, its caller retries; what it
/// tells of its own doings is for those who look for a fault.
fn level_of_library(level: LogLevel) -> LogLevel {
    match level {
        LogLevel::Error | LogLevel::Warn => LogLevel::Warn,
        LogLevel::Info | LogLevel::Debug => LogLevel::Debug,
        LogLevel::Trace => LogLevel::Trace,
    }
}

impl LogLevel {
    pub const fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }

    const fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> LogLevel {
        match level {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            Level::DEBUG => LogLevel::Debug,
            Level::TRACE => LogLevel::Trace,
        }
    }
}
