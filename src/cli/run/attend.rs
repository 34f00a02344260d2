//! From the start of the workers to the end of the process.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Monotonic};

use crate::config::{Config, SESSION_TIMEOUT_MILLIS};
use crate::processor::worker::WorkerError;
use crate::telemetry::{Telemetry, WorkerState, log};

use super::super::failure::Failure;
use super::super::observer::Outlook;

pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const REST_MORE_MILLIS_MAX: u64 = 15_000;

/// Who tells whom to stop: the user tells the process, the process its workers.
pub(super) struct Stops<'a> {
    pub(super) signal: &'a AtomicBool,
    pub(super) workers: &'a AtomicBool,
}

/// Watches the workers until they have ended, and ends them where one has failed or none may go on.
pub(super) fn attend(
    config: &Config,
    telemetry: &Telemetry,
    outlook: &Outlook,
    stops: Stops<'_>,
    workers: Vec<JoinHandle<Result<(), WorkerError>>>,
) -> Result<(), Failure> {
    let linger = Duration::from_millis(config.linger_millis);
    let mut halted_since = None;
    while !workers.iter().all(JoinHandle::is_finished) {
        thread::sleep(LOOK_INTERVAL);
        halted_since = match outlook.is_halted() {
            true => halted_since.or_else(|| Some(Monotonic::now())),
            false => None,
        };
        let is_halted = halted_since.is_some_and(|since| since.elapsed() >= linger);
        let has_ended = workers.iter().any(JoinHandle::is_finished);
        if stops.signal.load(Ordering::Relaxed) || is_halted || has_ended {
            stops.workers.store(true, Ordering::Relaxed);
        }
        let stuck = telemetry.not_alive();
        if !stuck.is_empty() {
            tracing::error!(event = "worker_stuck", "{}", stuck.join("; "));
            log::flush();
            signal_hook::low_level::exit(1);
        }
    }
    let mut failure = None;
    for (worker, handle) in (0..).zip(workers) {
        let result = match handle.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        if let Err(error) = result {
            let error = failure_of(error);
            tracing::error!(event = "worker_failed", worker, "{error}");
            if error.code == 8 {
                let reason = error.message.clone();
                telemetry.set_worker_state(worker, WorkerState::Fenced { reason });
            }
            failure = failure.or(Some(error));
        }
    }
    match failure {
        Some(failure) => {
            if failure.code == 8 {
                let random = RandomState::new().hash_one(std::process::id());
                let more = Duration::from_millis(random % REST_MORE_MILLIS_MAX);
                let least = linger.max(session_timeout(config));
                rest(least + more, telemetry, config, None);
            }
            Err(failure)
        }
        None if outlook.is_halted() && !stops.signal.load(Ordering::Relaxed) => {
            Err(Failure::new(9, outlook.halts()))
        }
        None => Ok(()),
    }
}

/// Before a process ends that must not come back at once: one that is fenced, so that it and its
/// rival do not fence each other for ever, or refused. What is served meanwhile says why. Ends early
/// where `stop` says so.
pub(super) fn rest(
    time: Duration,
    telemetry: &Telemetry,
    config: &Config,
    stop: Option<&AtomicBool>,
) {
    let until = Monotonic::now() + time;
    let is_stopped = || stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
    while Monotonic::now() < until && !is_stopped() {
        (0..config.workers).for_each(|worker| telemetry.heartbeat(worker));
        thread::sleep(LOOK_INTERVAL);
    }
}

pub(super) fn session_timeout(config: &Config) -> Duration {
    let millis = config
        .kafka
        .millis("session.timeout.ms", SESSION_TIMEOUT_MILLIS);
    Duration::from_millis(millis)
}

fn failure_of(error: WorkerError) -> Failure {
    match error {
        WorkerError::Log(error) => error.into(),
        WorkerError::Invalid(text) => Failure::invalid(text),
        WorkerError::Unusable(text) => Failure::state(text),
    }
}
