//! `meterfold run`: the Kafka processor.
//!
//! Starts the edge first, so that a process that waits for its brokers can be watched; then a
//! thread a worker. What ends it is a signal, a fence, or that no partition may go on.

mod attend;
mod memory;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Monotonic};

use clap::Args;

use crate::config::{Config, RecordedTime};
use crate::http;
use crate::kafka::cluster::{Cluster, ClusterError};
use crate::kafka::derived_format::DerivedFormat;
use crate::kafka::log::{KafkaLog, wall_millis};
use crate::kafka::registry::RegistryError;
use crate::kafka::topics::{self, RightsOf, Severity};
use crate::ports::log::LogError;
use crate::processor::journaling::{LogSettings, settings_digest};
use crate::processor::partition::{BookText, TIMERS_PER_STRETCH};
use crate::processor::start::StartSettings;
use crate::processor::worker::{Worker, WorkerError, WorkerPolicy};
use crate::store::directory::Directory;
use crate::store::rocks;
use crate::store::views::Views;
use crate::telemetry::labels::{ErrorClass, Step};
use crate::telemetry::log::{self, LogFormat, LogLevel};
use crate::telemetry::{Build, Settings, Telemetry, WorkerState};
use crate::wire::meta::FOLD_VERSION;
use crate::wire::rate_book;

use super::config_args::ConfigArgs;
use super::failure::Failure;
use super::observer::{Observer, Outlook};
use super::streams;
use attend::{LOOK_INTERVAL, Stops, attend, rest, session_timeout};
use memory::{DECODED_BYTES, ENCODED_BYTES};

/// Fold events from Kafka, exactly once
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  meterfold run --config meterfold.toml

The first SIGTERM or SIGINT commits what is folded and ends the process in good order (exit 0); a
second one ends it at once. While brokers are away the process stays: live, not ready.

Exit codes: 0 stopped, 1 a worker was stuck or http.listen is in use, 2 bad usage, 4 configuration,
rate book or topics wrong, 6 access refused, 7 state unusable, 8 fenced by another instance,
9 halted to protect money, 130/143 ended at once by a second signal.")]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print every key with its default and meaning, and end.
    #[arg(long)]
    print_default_config: bool,
    /// Lines on standard error for a person, or each as a JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Which lines are written: those of this level and graver ones.
    #[arg(long, value_enum, default_value_t)]
    log_level: LogLevel,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a question who serves a partition.
const OWNERS_TIMEOUT: Duration = Duration::from_secs(2);
/// A missing offset is believed after so long.
const OFFSETS_PATIENCE: Duration = Duration::from_secs(5);
const STORE_REST: Duration = Duration::from_secs(1);
const DEFAULT_DELETE_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// Ids of a commit that are kept in memory before they are written.
const IDS_MAX: usize = 2_000_000;

pub fn run(args: RunArgs) -> Result<(), Failure> {
    if args.print_default_config {
        return streams::say(Config::default_document().as_bytes());
    }
    let config = args.config.load()?;
    let book = read_book(&config)?;
    let telemetry = Telemetry::new(telemetry_settings(&config));
    let log_settings = log::LogSettings {
        format: args.log_format,
        level: args.log_level,
    };
    let _log =
        log::start(log_settings, &telemetry).map_err(|error| Failure::failed(error.to_string()))?;
    for peer in config.plaintext_peers() {
        tracing::warn!(
            event = "plain_text",
            "{peer} is reached in plain text: whoever is on the way can read and alter what is sent; \
             use TLS and remove insecure"
        );
    }
    let stop = stop_flag()?;
    let views = Views::default();
    let queries = queries(&config, &views)?;
    let limits = http::Limits::default();
    let server = http::serve(config.http.listen, &telemetry, queries, limits)
        .map_err(|error| Failure::failed(error.to_string()))?;
    let result = process(&config, book, &telemetry, views, &stop);
    if let Err(failure) = &result
        && failure.code == 6
    {
        // Whoever is refused says so for a while, so that it is seen by those who watch.
        tracing::error!(event = "refused", "{failure}");
        let linger = Duration::from_millis(config.linger_millis);
        rest(linger, &telemetry, &config, Some(&stop));
    }
    server.stop();
    result
}

/// What questions about teams are answered from: what runs here, and who runs the rest.
fn queries(config: &Config, views: &Views) -> Result<http::Queries, Failure> {
    let token_file = config.http.bearer_token_file.clone();
    let authentication = http::Authentication::new(config.http.listen, token_file)
        .map_err(|error| Failure::invalid(format!("http.bearer_token_file: {error}")))?;
    let own = config.http.advertised.clone();
    let asked_by = config.clone();
    // Connected at the first question; a client that failed gives way to a new one.
    let cluster: Mutex<Option<Cluster>> = Mutex::new(None);
    let owners = http::Owners::new(own, move || {
        let mut cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let connected = match cluster.take() {
            Some(connected) => Ok(connected),
            None => Cluster::connect(&asked_by, OWNERS_TIMEOUT),
        };
        let (application, topic) = (&asked_by.application, &asked_by.topics.api_calls);
        let asked = connected.and_then(|connected| {
            let owners = connected.owners(application, topic)?;
            *cluster = Some(connected);
            Ok(owners)
        });
        asked.map_err(|error| error.to_string())
    });
    let partitions = config.topics.partitions;
    Ok(http::Queries::new(
        views.clone(),
        partitions,
        authentication,
        owners,
    ))
}

fn read_book(config: &Config) -> Result<BookText, Failure> {
    let path = &config.rates;
    let text = fs::read(path).map_err(|error| {
        Failure::invalid(format!(
            "rates: {}: {error}; name a rate book",
            path.display()
        ))
    })?;
    let digest = rate_book::canonical_digest(&text)
        .map_err(|faults| Failure::invalid(format!("{}: {faults}", path.display())))?;
    Ok(BookText { text, digest })
}

/// Set by the first signal; the second one ends the process.
fn stop_flag() -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    for (signal, code) in [(SIGTERM, 143), (SIGINT, 130)] {
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| Failure::failed(format!("signals: {error}")))?;
    }
    Ok(stop)
}

fn telemetry_settings(config: &Config) -> Settings {
    Settings {
        application: config.application.clone(),
        instance: config.instance.clone(),
        workers: config.workers,
        topics: std::iter::once(config.topics.api_calls.clone())
            .chain(config.topics.accounts.clone())
            .collect(),
        partitions: config.topics.partitions,
        state_dir: Some(config.state_dir.clone()),
        config_hash: config_hash(config),
        is_insecure: !config.plaintext_peers().is_empty(),
        transaction_timeout_millis: config.kafka.millis(
            "transaction.timeout.ms",
            crate::config::TRANSACTION_TIMEOUT_MILLIS,
        ),
        build: Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: commit(option_env!("COMMIT_OF_METERFOLD")).to_owned(),
            fold_version: FOLD_VERSION.to_string(),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            rocksdb: rocks::VERSION.to_owned(),
        },
    }
}

/// Whoever builds the program may say what from; a source package does not know.
fn commit(said: Option<&'static str>) -> &'static str {
    said.filter(|said| !said.is_empty()).unwrap_or("unknown")
}

/// Digest of the configuration, without what differs between the instances of a release. Secrets do
/// not show in it.
fn config_hash(config: &Config) -> String {
    let mut shared = config.clone();
    shared.instance.clear();
    shared.http.advertised = None;
    let digest = blake3::hash(format!("{shared:?}").as_bytes());
    digest.to_hex()[..16].to_owned()
}

fn process(
    config: &Config,
    book: BookText,
    telemetry: &Telemetry,
    views: Views,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let Some(cluster) = reach(config, telemetry, stop)? else {
        return Ok(());
    };
    let settings = Arc::new(start_settings(config, book, &cluster)?);
    let retention = topics::retention(&cluster, config)?;
    drop(cluster);
    let Some(format) = derived_format(config, telemetry, stop)? else {
        return Ok(());
    };
    let stores = Directory::new(&config.state_dir).map_err(|error| {
        let path: &PathBuf = &config.state_dir;
        Failure::state(format!("state_dir: {}: {error}", path.display()))
    })?;
    let stores = stores.showing(views);
    let outlook = Arc::new(Outlook::new(config.workers));
    let worker_stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<JoinHandle<Result<(), WorkerError>>> = (0..config.workers)
        .map(|worker| {
            let (config, stores) = (config.clone(), stores.clone());
            let settings = Arc::clone(&settings);
            let retention = retention.clone();
            let outlook = Arc::clone(&outlook);
            let observer = Observer::new(telemetry, worker, &config, retention, outlook);
            let telemetry = telemetry.clone();
            let stop = Arc::clone(&worker_stop);
            let format = format.clone();
            thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || {
                    let join = || KafkaLog::join(&config, worker, format.clone(), &telemetry);
                    work(&config, join, stores, &settings, observer, &stop)
                })
        })
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::failed(format!("a worker's thread: {error}")))?;
    let stops = Stops {
        signal: stop,
        workers: &worker_stop,
    };
    attend(config, telemetry, &outlook, stops, workers)
}

fn work(
    config: &Config,
    join: impl Fn() -> Result<KafkaLog, LogError>,
    stores: Directory,
    settings: &StartSettings,
    observer: Observer,
    stop: &AtomicBool,
) -> Result<(), WorkerError> {
    let workers = usize::from(config.workers);
    let policy = WorkerPolicy {
        interval: Duration::from_millis(config.commit.interval_millis),
        cells_max: config.commit.cells_max,
        output_bytes_max: config.commit.output_bytes_max,
        ids_max: IDS_MAX,
        decoded_bytes_max: DECODED_BYTES / workers,
        encoded_bytes_max: ENCODED_BYTES / workers,
        store_rest: STORE_REST,
    };
    let began = Monotonic::now();
    let mut observer = observer;
    let mut replaced_at: Option<Monotonic> = None;
    loop {
        let mut worker = Worker::new(join()?, stores.clone(), settings, policy, observer);
        match worker.run(stop) {
            // Under the consumer protocol a predecessor that was killed holds the identity until
            // its session ends.
            Err(WorkerError::Log(LogError::Unreleased(reason)))
                if began.elapsed() < 2 * session_timeout(config)
                    && !stop.load(Ordering::Relaxed) =>
            {
                tracing::warn!(event = "identity_held", "{reason}; joining again");
                observer = worker.into_watch();
                thread::sleep(Duration::from_secs(1));
            }
            // A member that joins again after an outage may be taken for its own rival. A real one
            // is fenced in turn, joins again too, and so comes back a second time.
            Err(WorkerError::Log(LogError::Replaced(reason)))
                if replaced_at.is_none_or(|at| at.elapsed() > 2 * session_timeout(config))
                    && !stop.load(Ordering::Relaxed) =>
            {
                tracing::warn!(event = "identity_taken", "{reason}; joining again once");
                observer = worker.into_watch();
                observer.evicted();
                replaced_at = Some(Monotonic::now());
            }
            result => return result,
        }
    }
}

/// Waits for brokers and inputs; None: told to stop.
fn reach(
    config: &Config,
    telemetry: &Telemetry,
    stop: &AtomicBool,
) -> Result<Option<Cluster>, Failure> {
    let mut waits = Waits::default();
    while !stop.load(Ordering::Relaxed) {
        let reason = match look(config) {
            Ok(Ok(cluster)) => return Ok(Some(cluster)),
            Ok(Err(reason)) => reason,
            Err(error) => {
                if error.code == 6 {
                    telemetry.error(Step::Join, ErrorClass::Auth);
                }
                return Err(error);
            }
        };
        waits.wait(config, telemetry, stop, &reason);
    }
    Ok(None)
}

/// The format of derived events, once the registry has answered where it must; None: told to stop.
fn derived_format(
    config: &Config,
    telemetry: &Telemetry,
    stop: &AtomicBool,
) -> Result<Option<DerivedFormat>, Failure> {
    let mut waits = Waits::default();
    while !stop.load(Ordering::Relaxed) {
        match DerivedFormat::of(config) {
            Ok(format) => return Ok(Some(format)),
            Err(error @ RegistryError::Unreachable { .. }) => {
                waits.wait(config, telemetry, stop, &error.to_string());
            }
            Err(error) => {
                let failure = Failure::from(error);
                if failure.code == 6 {
                    telemetry.error(Step::Join, ErrorClass::Auth);
                }
                return Err(failure);
            }
        }
    }
    Ok(None)
}

/// The reason that was said last, and when.
#[derive(Default)]
struct Waits(Option<(String, Monotonic)>);

impl Waits {
    /// How often a reason is said that stays the same.
    const SAYING: Duration = Duration::from_secs(60);

    /// Says why the process waits, then waits a second.
    fn wait(&mut self, config: &Config, telemetry: &Telemetry, stop: &AtomicBool, reason: &str) {
        let is_said =
            |(said, at): &(String, Monotonic)| said == reason && at.elapsed() < Self::SAYING;
        if !self.0.as_ref().is_some_and(is_said) {
            tracing::warn!(event = "waiting", "{reason}");
            self.0 = Some((reason.to_owned(), Monotonic::now()));
        }
        for worker in 0..config.workers {
            let reason = reason.to_owned();
            telemetry.set_worker_state(worker, WorkerState::WaitingForKafka { reason });
            telemetry.heartbeat(worker);
        }
        let since = Monotonic::now();
        while since.elapsed() < Duration::from_secs(1) && !stop.load(Ordering::Relaxed) {
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// The cluster if all topics are as they must be; else why to wait, or what is wrong.
fn look(config: &Config) -> Result<Result<Cluster, String>, Failure> {
    let asked = Cluster::connect(config, CONNECT_TIMEOUT).and_then(|cluster| {
        topics::check(&cluster, config, RightsOf::Run).map(|faults| (cluster, faults))
    });
    let (cluster, faults) = match asked {
        Ok(found) => found,
        Err(error @ (ClusterError::Unreachable { .. } | ClusterError::Failed { .. })) => {
            return Ok(Err(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let (warnings, errors): (Vec<_>, Vec<_>) = faults
        .into_iter()
        .partition(|fault| fault.severity == Severity::Warning);
    for warning in &warnings {
        tracing::warn!(event = "topic_setting", "{warning}");
    }
    let (missing, wrong): (Vec<_>, Vec<_>) = errors
        .iter()
        .partition(|fault| fault.setting == "existence");
    if !wrong.is_empty() {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        let is_refused = wrong.iter().any(|fault| fault.is_refusal());
        let code = if is_refused { 6 } else { 4 };
        return Err(Failure::new(code, lines.join("\n")));
    }
    Ok(match missing.first() {
        None => Ok(cluster),
        Some(fault) => Err(fault.to_string()),
    })
}

fn start_settings(
    config: &Config,
    book: BookText,
    cluster: &Cluster,
) -> Result<StartSettings, Failure> {
    let parsed = rate_book::read(&book.text)
        .map_err(|faults| Failure::invalid(format!("{}: {faults}", config.rates.display())))?;
    let inputs: Vec<String> = std::iter::once(config.topics.api_calls.clone())
        .chain(config.topics.accounts.clone())
        .collect();
    let mut kept: Vec<&str> = inputs.iter().map(String::as_str).collect();
    kept.extend([
        config.topics.changelog.as_str(),
        config.topics.journal.as_str(),
    ]);
    let topic_ids = cluster.topic_ids(&kept)?;
    let changelog = cluster.settings(&[&config.topics.changelog])?;
    let delete_retention = changelog
        .get(&config.topics.changelog)
        .and_then(|settings| settings.get("delete.retention.ms"))
        .and_then(|millis| millis.parse().ok());
    let is_record_time = config.recorded_time == RecordedTime::Record;
    Ok(StartSettings {
        log: LogSettings {
            cluster: cluster.id().to_owned(),
            group: config.application.clone(),
            inputs,
            partition_count: config.topics.partitions,
            settings_digest: settings_digest(
                is_record_time,
                parsed.dedup_horizon_millis,
                parsed.future_skew_millis,
            ),
        },
        book,
        parsed_book: Arc::new(parsed),
        topic_ids: topic_ids
            .into_iter()
            .map(|(topic, id)| (topic, id.iter().map(|byte| format!("{byte:02x}")).collect()))
            .collect(),
        delete_retention: delete_retention.map_or(DEFAULT_DELETE_RETENTION, Duration::from_millis),
        offsets_patience: OFFSETS_PATIENCE,
        timers_per_stretch: TIMERS_PER_STRETCH,
        is_book_allowed: AtomicBool::new(false),
        wall_millis,
    })
}

#[cfg(test)]
mod tests {
    use super::commit;

    #[test]
    fn a_commit_that_is_not_said_is_unknown() {
        assert_eq!(commit(Some("3d087c5")), "3d087c5");
        assert_eq!(commit(Some("")), "unknown");
        assert_eq!(commit(None), "unknown");
    }
}
