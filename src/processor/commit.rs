//! Hops 4 and 5 of a worker on a log: one transaction of all partitions that changed, then their
//! stores; and what is done when the outcome is not certain.

use std::time::{Duration, Instant as Monotonic};

use crate::fail_point::{self, Step as FailStep};
use crate::ports::Staged;
use crate::ports::log::{Log, Outcome, Receipt, Stores};
use crate::wire::meta::{Fingerprint, Local};

use super::partition::Partition;
use super::start::Start;
use super::watch::{Commit, PartitionState, Watch};
use super::worker::{Worker, WorkerError};

impl<L: Log, O: Stores, W: Watch> Worker<'_, L, O, W> {
    /// Hops 4 and 5: one transaction of all partitions that changed; only then their stores.
    pub(super) fn commit(&mut self) -> Result<(), WorkerError> {
        let mut committing = Vec::new();
        let mut staged = Vec::new();
        for index in (0..self.running.len()).rev() {
            let partition = &mut self.running[index];
            if !partition.is_changed() {
                continue;
            }
            match partition.stage() {
                Ok(()) => {
                    staged.push(partition.take_staged());
                    committing.push(partition.number());
                }
                Err(error) => {
                    let number = partition.number();
                    self.broken(number, error)?;
                }
            }
        }
        self.open_since = None;
        let fold = std::mem::take(&mut self.fold_time);
        if staged.is_empty() {
            return Ok(());
        }
        let began = Monotonic::now();
        match self.log.commit(&staged)? {
            Outcome::Committed(receipts) => {
                fail_point::hit(FailStep::S5);
                let transaction = began.elapsed();
                let sum = |measure: fn(&Staged) -> usize| staged.iter().map(measure).sum();
                let mut commit = Commit {
                    partitions: staged.len(),
                    cells: sum(|staged| staged.changes.len()),
                    derived: sum(|staged| staged.derived.len()),
                    dead_letters: sum(|staged| staged.dead_letters.ends.len()),
                    dead_letter_bytes: sum(|staged| staged.dead_letters.bytes.len()),
                    fold,
                    transaction,
                    apply: Duration::ZERO,
                };
                let began = Monotonic::now();
                for ((number, staged), receipt) in committing.into_iter().zip(staged).zip(receipts)
                {
                    self.apply(number, staged, receipt)?;
                }
                commit.apply = began.elapsed();
                fail_point::hit(FailStep::S7);
                self.watch.committed(&commit);
                self.interval = (self.interval * 2).min(self.policy.interval);
            }
            Outcome::Unsure { reason, is_timeout } => {
                if is_timeout {
                    self.interval = (self.interval / 2).max(Duration::from_millis(1));
                }
                self.doubt(&reason);
            }
        }
        Ok(())
    }

    fn apply(&mut self, number: u16, staged: Staged, receipt: Receipt) -> Result<(), WorkerError> {
        let local = self.local(number, receipt);
        let room = self.policy.encoded_bytes_max / self.running.len().max(1);
        let decoded = self.policy.decoded_bytes_max / self.running.len().max(1);
        let Some(partition) = self.running.iter_mut().find(|it| it.number() == number) else {
            return Ok(());
        };
        partition.put_back(staged);
        let applied = partition.apply_with(&local).and_then(|()| {
            fail_point::hit(FailStep::S6);
            partition.settle(room)
        });
        if let Err(error) = applied {
            return self.broken(number, error);
        }
        // Handles of a batch that waits stay valid: it looks its teams up again.
        partition.make_room(decoded);
        self.log.wake_at(number, partition.next_due());
        let (meta, counts) = (partition.meta(), partition.counts());
        self.watch
            .partition(number, &PartitionState::Running { meta, counts });
        Ok(())
    }

    /// After an abort, or a commit whose outcome is unknown: what is true stands in the log.
    fn doubt(&mut self, reason: &str) {
        tracing::warn!(
            event = "commit_unsure",
            "{reason}; every partition is checked again"
        );
        self.watch.aborted(reason);
        self.open_since = None;
        self.paused.clear();
        for partition in std::mem::take(&mut self.running) {
            let number = partition.number();
            self.log.stop(number);
            self.stores.hide(number);
            self.starting
                .push(Start::again(number, partition.into_store()));
        }
    }

    /// Commits a genesis or an adoption, then starts the partition again.
    pub(super) fn commit_start(
        &mut self,
        mut partition: Partition<O::Store>,
    ) -> Result<(), WorkerError> {
        let number = partition.number();
        // What others have folded is committed with who this worker was then.
        if self.is_changed() {
            self.commit()?;
        }
        let staged = [partition.take_staged()];
        match self.log.commit(&staged)? {
            Outcome::Committed(receipts) => {
                let [staged] = staged;
                partition.put_back(staged);
                let local = self.local(number, receipts[0]);
                if let Err(error) = partition.apply_with(&local) {
                    tracing::error!(event = "store_failed", partition = number, "{error}");
                }
            }
            Outcome::Unsure { reason, .. } => self.doubt(&reason),
        }
        self.starting
            .push(Start::again(number, partition.into_store()));
        Ok(())
    }

    fn local(&self, partition: u16, receipt: Receipt) -> Local {
        Local {
            fingerprint: Fingerprint {
                cluster: self.settings.log.cluster.clone(),
                group: self.settings.log.group.clone(),
                partition,
            },
            topic_ids: self.settings.topic_ids.clone(),
            changelog_position: receipt.changelog_position,
            meta_appended_at_millis: receipt.appended_at_millis,
        }
    }
}
