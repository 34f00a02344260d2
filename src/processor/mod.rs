//! Floor 3, the order of work: take, decode, fold, commit, apply.
//!
//! One loop serves files, Kafka, audit and simulation; they differ in what stands behind the three
//! seams of [`crate::ports`]. [`run`] names the five hops.

pub mod accounts;
pub mod counts;
pub mod partition;
pub mod teams;
mod timer_index;

use std::error::Error;

use crate::billing::time::Instant;
use crate::ports::{Batch, Committer, Source, Staged, Store, Taken};

use partition::{Partition, PartitionError};

/// When a commit is due. None of these can change a bill.
#[derive(Clone, Copy, Debug)]
pub struct CommitPolicy {
    /// Teams that changed, over all partitions.
    pub dirty_teams_max: usize,
    /// Ids that were folded.
    pub ids_max: usize,
    /// Bytes of derived events, dead letters and trace lines.
    pub output_bytes_max: usize,
    /// Memory of decoded teams, over all partitions.
    pub team_bytes_max: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The source failed, or a guard rail stopped it.
    #[error(transparent)]
    Source(Box<dyn Error + Send + Sync>),
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error(transparent)]
    Commit(Box<dyn Error + Send + Sync>),
    #[error("interrupted")]
    Interrupted,
}

/// What an observer of the loop may want to know after each batch.
pub trait Progress {
    /// Returns whether to go on.
    fn batch_folded(&mut self, batch: &Batch) -> bool;
}

/// Folds everything that `source` has, on `threads` threads, then moves all clocks to `until`.
pub fn run<So: Source, St: Store, C: Committer>(
    source: &mut So,
    partitions: &mut [Partition<St>],
    committer: &mut C,
    policy: &CommitPolicy,
    threads: usize,
    until: Option<Instant>,
    progress: &mut impl Progress,
) -> Result<(), RunError> {
    loop {
        // Hops 1 and 2: what is there, decoded, each record with its clock.
        let batch = match source
            .take()
            .map_err(|error| RunError::Source(Box::new(error)))?
        {
            Taken::Batch(batch) => batch,
            Taken::End(clock) => {
                let clock = clock.max(until);
                each(partitions, threads, |partition| partition.advance_to(clock))?;
                return commit_and_apply(partitions, committer, policy, threads);
            }
        };
        // Hop 3: each partition folds its records in their order.
        each(partitions, threads, |partition| partition.fold(&batch))?;
        if !progress.batch_folded(&batch) {
            return Err(RunError::Interrupted);
        }
        source.recycle(batch);
        if is_commit_due(partitions, policy) {
            commit_and_apply(partitions, committer, policy, threads)?;
        }
    }
}

/// Hops 4 and 5: everything staged becomes visible at once; only then is state written.
fn commit_and_apply<St: Store, C: Committer>(
    partitions: &mut [Partition<St>],
    committer: &mut C,
    policy: &CommitPolicy,
    threads: usize,
) -> Result<(), RunError> {
    each(partitions, threads, Partition::stage)?;
    let mut staged: Vec<Staged> = partitions.iter_mut().map(Partition::take_staged).collect();
    committer
        .commit(&mut staged)
        .map_err(|error| RunError::Commit(Box::new(error)))?;
    for (partition, staged) in partitions.iter_mut().zip(staged) {
        partition.put_back(staged);
    }
    let team_bytes_max = policy.team_bytes_max / partitions.len().max(1);
    each(partitions, threads, |partition| {
        partition.apply(team_bytes_max)
    })?;
    Ok(())
}

fn is_commit_due<St: Store>(partitions: &[Partition<St>], policy: &CommitPolicy) -> bool {
    let sum = |measure: fn(&Partition<St>) -> usize| partitions.iter().map(measure).sum::<usize>();
    sum(Partition::dirty_teams) >= policy.dirty_teams_max
        || sum(Partition::pending_ids) >= policy.ids_max
        || sum(Partition::output_bytes) >= policy.output_bytes_max
        || sum(Partition::team_bytes) >= policy.team_bytes_max
}

/// Does `work` for every partition, spread over `threads` threads. Partitions share nothing, so the
/// spread cannot be seen in the result.
fn each<St: Store>(
    partitions: &mut [Partition<St>],
    threads: usize,
    work: impl Fn(&mut Partition<St>) -> Result<(), PartitionError> + Sync,
) -> Result<(), PartitionError> {
    let share = partitions.len().div_ceil(threads.max(1)).max(1);
    if share >= partitions.len() {
        return partitions.iter_mut().try_for_each(work);
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = partitions
            .chunks_mut(share)
            .map(|share| scope.spawn(|| share.iter_mut().try_for_each(&work)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })
}
