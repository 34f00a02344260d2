//! What a worker does when a store fails: it may pass, it may be damaged, or somebody must act.

use std::time::{Duration, Instant as Monotonic};

use crate::ports::StoreError;
use crate::ports::log::{Halt, HaltCode, Log, Stores};

use super::partition::PartitionError;
use super::start::Start;
use super::watch::Watch;
use super::worker::{Worker, WorkerError};

/// A store that is damaged again so soon after it was made anew was made from damaged records.
const QUARANTINE_INTERVAL: Duration = Duration::from_secs(60 * 60);

impl<L: Log, O: Stores, W: Watch> Worker<'_, L, O, W> {
    /// A partition whose fold or store failed: nothing of its overlay is kept.
    pub(super) fn broken(&mut self, number: u16, error: PartitionError) -> Result<(), WorkerError> {
        let Some(store) = self.take_running(number) else {
            return Ok(());
        };
        self.log.stop(number);
        self.stores.close(number, store);
        match error {
            PartitionError::Broken { place, broken } => {
                let text = format!(
                    "{place}: {broken}; nothing of it was committed: report it, with the record"
                );
                self.halt(number, Halt::new(HaltCode::InvariantBroken, text));
                Ok(())
            }
            PartitionError::Store(error) => self.store_failed(number, error),
        }
    }

    /// A store that failed, and is closed: opened again after a rest. One that is damaged is put
    /// away before, so that it is restored from the log; nothing damaged is ever folded on.
    pub(super) fn store_failed(
        &mut self,
        number: u16,
        error: StoreError,
    ) -> Result<(), WorkerError> {
        tracing::error!(event = "store_failed", partition = number, "{error}");
        self.watch.store_failed(number, &error);
        if let StoreError::Unusable(_) = error {
            return Err(WorkerError::Unusable(format!(
                "partition {number}: {error}"
            )));
        }
        if error.is_damage() {
            let last = self.quarantined.insert(number, Monotonic::now());
            if last.is_some_and(|at| at.elapsed() < QUARANTINE_INTERVAL) {
                let text = format!(
                    "state restored from the changelog is damaged again: {error}; the changelog holds \
                     records that are not ours, or the disk fails: look at both before anything is \
                     changed"
                );
                self.halt(number, Halt::new(HaltCode::StateDigest, text));
                return Ok(());
            }
            match self.stores.discard(number, true) {
                Ok(()) => tracing::warn!(
                    event = "store_quarantined",
                    partition = number,
                    "the state of partition {number} is damaged: put away, restored from the changelog"
                ),
                Err(error) => {
                    tracing::error!(event = "store_failed", partition = number, "{error}")
                }
            }
            self.watch.quarantined(number);
        }
        self.resting
            .insert(number, Monotonic::now() + self.policy.store_rest);
        self.starting.push(Start::new(number));
        Ok(())
    }
}
