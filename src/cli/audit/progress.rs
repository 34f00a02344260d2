//! How far an audit has come: a bar on a terminal, else a line every ten seconds; and the ear for
//! signals.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::failure::Failure;
use crate::cli::streams;

const TELL_INTERVAL: Duration = Duration::from_secs(10);

pub struct Progress {
    total: AtomicU64,
    folded: AtomicU64,
    began: Instant,
    /// When the last line was written.
    told: Mutex<Instant>,
    bar: Option<ProgressBar>,
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
}

impl Progress {
    /// Of `total` records; 0: nobody knows how many.
    pub fn begin(total: u64) -> Result<Progress, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
        let (interrupt, terminate) = (Arc::default(), Arc::default());
        for (signal, flag) in [(SIGINT, &interrupt), (SIGTERM, &terminate)] {
            // A second signal ends the process at once.
            let flag = || Arc::clone(flag);
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, flag())
                .and_then(|_| signal_hook::flag::register(signal, flag()))
                .map_err(|error| failed(&error))?;
        }
        let template = match total {
            0 => "{human_pos} records, {per_sec}",
            _ => "{bar:30} {percent}% {human_pos}/{human_len} records, {per_sec}, {eta} left",
        };
        let style = ProgressStyle::with_template(template).map_err(|error| failed(&error))?;
        let is_shown = std::io::stderr().is_terminal();
        let bar = is_shown.then(|| ProgressBar::new(total).with_style(style));
        let began = Instant::now();
        Ok(Progress {
            total: AtomicU64::new(total),
            folded: AtomicU64::new(0),
            began,
            told: Mutex::new(began),
            bar,
            interrupt,
            terminate,
        })
    }

    /// So many of the records need not be folded.
    pub fn pass_over(&self, records: u64) {
        self.total.fetch_sub(records, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.dec_length(records);
        }
    }

    /// So many more records are folded. Returns whether to go on.
    pub fn folded(&self, records: u64) -> bool {
        let folded = self.folded.fetch_add(records, Ordering::Relaxed) + records;
        match &self.bar {
            Some(bar) => bar.set_position(folded),
            None => self.tell(folded),
        }
        self.signal().is_none()
    }

    pub fn finish(&self) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        match self.signal() {
            Some(code) => Err(Failure::new(
                code,
                "interrupted; nothing was found until then",
            )),
            None => Ok(()),
        }
    }

    fn signal(&self) -> Option<u8> {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let interrupt = is_set(&self.interrupt).then_some(130);
        interrupt.or(is_set(&self.terminate).then_some(143))
    }

    fn tell(&self, folded: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() < TELL_INTERVAL {
            return;
        }
        *told = Instant::now();
        let millis = self.began.elapsed().as_millis().max(1) as u64;
        let rate = (folded * 1_000 / millis).max(1);
        match self.total.load(Ordering::Relaxed) {
            0 => streams::note(format_args!("{folded} records, {rate} records/s")),
            total => {
                let left = total.saturating_sub(folded) / rate;
                streams::note(format_args!(
                    "{folded} of {total} records, {rate} records/s, {left} s left"
                ));
            }
        }
    }
}
