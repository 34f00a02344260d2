//! Floor 3, the order of work: take, decode, fold, commit, apply.
//!
//! One loop serves files, Kafka, audit and simulation; they differ in what stands behind the three
//! seams of [`crate::ports`]. [`run`] names the five hops.

pub mod accounts;
mod adoption;
pub mod audit;
mod cold_teams;
mod commit;
pub mod counts;
pub mod fit;
pub mod folding;
mod genesis;
pub mod journaling;
pub mod partition;
mod quarantine;
pub mod recount;
pub mod recover;
mod restore;
mod restored;
mod settle;
pub mod start;
pub mod step;
pub mod stored;
pub mod teams;
mod timer_index;
pub mod watch;
pub mod worker;

use std::error::Error;

use crate::billing::time::Instant;
use crate::ports::{Batch, Committer, Source, Staged, Store, Taken};

use partition::{Partition, PartitionError};

/// When a commit is due, and what may stay in memory, over all partitions. None of these can
/// change a bill.
#[derive(Clone, Copy, Debug)]
pub struct CommitPolicy {
    /// Teams that changed since the last commit.
    pub dirty_teams_max: usize,
    /// Ids that were folded since the last commit.
    pub ids_max: usize,
    /// Bytes of derived events, dead letters and trace lines.
    pub output_bytes_max: usize,
    /// Memory of decoded teams.
    pub decoded_bytes_max: usize,
    /// Memory of teams that gave way to others and are kept encoded.
    pub encoded_bytes_max: usize,
    /// Nobody sees store or outputs before the run ends: ids and output may leave memory without
    /// a commit.
    pub is_private: bool,
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
        match source
            .take()
            .map_err(|error| RunError::Source(Box::new(error)))?
        {
            Taken::Batch(batch) => {
                // Hop 3: each partition folds its records in their order.
                work_off(partitions, committer, policy, threads, |partition| {
                    partition.fold(&batch)
                })?;
                if !progress.batch_folded(&batch) {
                    return Err(RunError::Interrupted);
                }
                source.recycle(batch);
            }
            Taken::End(clock) => {
                let clock = clock.max(until);
                work_off(partitions, committer, policy, threads, |partition| {
                    partition.advance_to(clock)
                })?;
                return commit_and_apply(partitions, committer, policy, threads);
            }
        }
    }
}

/// Does `work` until no partition is paused, and after each stretch puts away what is due.
fn work_off<St: Store, C: Committer>(
    partitions: &mut [Partition<St>],
    committer: &mut C,
    policy: &CommitPolicy,
    threads: usize,
    work: impl Fn(&mut Partition<St>) -> Result<(), PartitionError> + Sync,
) -> Result<(), RunError> {
    let room = policy.decoded_bytes_max / partitions.len().max(1);
    let mut is_first = true;
    while is_first || partitions.iter().any(Partition::is_paused) {
        each(partitions, threads, |partition| {
            if is_first || partition.is_paused() {
                work(partition)?;
            }
            partition.make_room(room);
            Ok(())
        })?;
        is_first = false;
        if is_commit_due(partitions, policy) {
            commit_and_apply(partitions, committer, policy, threads)?;
        } else if is_spill_due(partitions, policy) {
            each(partitions, threads, Partition::stage_ids)?;
            commit_staged(partitions, committer, threads)?;
        }
    }
    Ok(())
}

/// Hops 4 and 5: everything staged becomes visible at once; only then is state written.
fn commit_and_apply<St: Store, C: Committer>(
    partitions: &mut [Partition<St>],
    committer: &mut C,
    policy: &CommitPolicy,
    threads: usize,
) -> Result<(), RunError> {
    // What nobody sees before the end need not be one piece; a slice at a time takes less memory.
    let slice = if policy.is_private {
        threads
    } else {
        partitions.len()
    };
    if policy.is_private {
        commit_staged(partitions, committer, threads)?;
    }
    let room = policy.encoded_bytes_max / partitions.len().max(1);
    for slice in partitions.chunks_mut(slice.max(1)) {
        each(slice, threads, Partition::stage)?;
        commit_staged(slice, committer, threads)?;
        each(slice, threads, |partition| partition.settle(room))?;
    }
    Ok(())
}

fn commit_staged<St: Store, C: Committer>(
    partitions: &mut [Partition<St>],
    committer: &mut C,
    threads: usize,
) -> Result<(), RunError> {
    let mut staged: Vec<Staged> = partitions.iter_mut().map(Partition::take_staged).collect();
    committer
        .commit(&mut staged)
        .map_err(|error| RunError::Commit(Box::new(error)))?;
    for (partition, staged) in partitions.iter_mut().zip(staged) {
        partition.put_back(staged);
    }
    Ok(each(partitions, threads, Partition::apply)?)
}

fn is_commit_due<St: Store>(partitions: &[Partition<St>], policy: &CommitPolicy) -> bool {
    sum(partitions, Partition::dirty_teams) >= policy.dirty_teams_max
        || sum(partitions, Partition::encoded_bytes) >= policy.encoded_bytes_max
        || (!policy.is_private && is_output_due(partitions, policy))
}

fn is_spill_due<St: Store>(partitions: &[Partition<St>], policy: &CommitPolicy) -> bool {
    policy.is_private && is_output_due(partitions, policy)
}

fn is_output_due<St: Store>(partitions: &[Partition<St>], policy: &CommitPolicy) -> bool {
    sum(partitions, Partition::pending_ids) >= policy.ids_max
        || sum(partitions, Partition::output_bytes) >= policy.output_bytes_max
}

fn sum<St: Store>(partitions: &[Partition<St>], measure: fn(&Partition<St>) -> usize) -> usize {
    partitions.iter().map(measure).sum()
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
