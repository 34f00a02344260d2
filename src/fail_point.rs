//! Places where a test ends or delays the process: the steps of the commit protocol (`engine.md` 3).
//!
//! Compiled in always, off unless the environment names one when the process starts:
//! `FAIL_POINT_OF_METERFOLD=STEP:COUNT:ACTION`, for example `s5:3:kill` — at the third time that step
//! s5 is passed, the process kills itself with SIGKILL. Actions: `kill`, `abort`, `panic`,
//! `sleep=MILLISECONDS`. Steps: `s0` (before the first record is folded) to `s7`, `record` (before each record), `s3-partial` (some
//! of the output is produced), `restore`.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub const VARIABLE: &str = "FAIL_POINT_OF_METERFOLD";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    S0,
    Record,
    S1,
    S2,
    S3Partial,
    S3,
    S4,
    S5,
    S6,
    S7,
    Restore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Kill,
    Abort,
    Panic,
    Sleep(Duration),
}

#[derive(Debug)]
struct FailPoint {
    step: Step,
    at: u64,
    action: Action,
    passed: AtomicU64,
}

static FAIL_POINT: OnceLock<Option<FailPoint>> = OnceLock::new();

/// Passes a step.
pub fn hit(step: Step) {
    let fail_point = FAIL_POINT.get_or_init(|| {
        let text = std::env::var(VARIABLE).ok()?;
        match text.parse() {
            Ok(fail_point) => Some(fail_point),
            Err(()) => panic!("{VARIABLE}={text}: not STEP:COUNT:ACTION"),
        }
    });
    if let Some(fail_point) = fail_point
        && fail_point.step == step
        && fail_point.passed.fetch_add(1, Ordering::Relaxed) + 1 == fail_point.at
    {
        fail_point.fire();
    }
}

/// How many more calls of its seams a process makes that a test runs on the in-memory twins. Clones
/// share.
#[derive(Clone, Debug)]
pub struct Life {
    calls_left: Arc<AtomicU64>,
}

impl Life {
    pub fn of(calls: u64) -> Life {
        Life {
            calls_left: Arc::new(AtomicU64::new(calls)),
        }
    }

    /// One call. False: the process has ended, and nothing of it reaches the world.
    pub fn pass(&self) -> bool {
        let left = self.calls_left.load(Ordering::Relaxed);
        self.calls_left
            .store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }

    pub fn end(&self) {
        self.calls_left.store(0, Ordering::Relaxed);
    }
}

impl FailPoint {
    fn fire(&self) {
        eprintln!("fail point {:?} fires: {:?}", self.step, self.action);
        match self.action {
            Action::Kill => {
                let _ = signal_hook::low_level::raise(9);
                std::process::abort()
            }
            Action::Abort => std::process::abort(),
            Action::Panic => panic!("fail point {:?}", self.step),
            Action::Sleep(duration) => std::thread::sleep(duration),
        }
    }
}

impl FromStr for FailPoint {
    type Err = ();

    fn from_str(text: &str) -> Result<FailPoint, ()> {
        let mut fields = text.splitn(3, ':');
        let mut field = || fields.next().ok_or(());
        let step = match field()? {
            "s0" => Step::S0,
            "record" => Step::Record,
            "s1" => Step::S1,
            "s2" => Step::S2,
            "s3-partial" => Step::S3Partial,
            "s3" => Step::S3,
            "s4" => Step::S4,
            "s5" => Step::S5,
            "s6" => Step::S6,
            "s7" => Step::S7,
            "restore" => Step::Restore,
            _ => return Err(()),
        };
        let at = field()?.parse().map_err(drop)?;
        let action = match field()? {
            "kill" => Action::Kill,
            "abort" => Action::Abort,
            "panic" => Action::Panic,
            sleep => {
                let millis = sleep.strip_prefix("sleep=").ok_or(())?;
                Action::Sleep(Duration::from_millis(millis.parse().map_err(drop)?))
            }
        };
        Ok(FailPoint {
            step,
            at,
            action,
            passed: AtomicU64::new(0),
        })
    }
}
