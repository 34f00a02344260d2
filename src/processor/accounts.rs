//! The account lines of all partitions, sorted by team, as of the last commit.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::ControlFlow;

use crate::billing::context::Context;
use crate::billing::time::Instant;
use crate::ports::{Store, StoreError};
use crate::store::cells;
use crate::wire::{account_line, keys};

use super::partition::Partition;

/// Teams read from a partition at a time.
const CHUNK_TEAMS: usize = 500;

#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("writing the accounts: {0}")]
    Write(#[from] io::Error),
}

/// Writes one line a team to `out`. Returns their number.
pub fn write_all<S: Store + Sync>(
    partitions: &[Partition<S>],
    threads: usize,
    out: &mut impl Write,
) -> Result<u64, AccountsError> {
    let mut cursors: Vec<Cursor<S>> = partitions.iter().map(Cursor::new).collect();
    let mut teams = 0;
    loop {
        refill(&mut cursors, threads)?;
        // Until one of them runs dry, the smallest team of all cursors is the next of all teams.
        while cursors
            .iter()
            .all(|cursor| cursor.is_done || !cursor.lines.is_empty())
        {
            let heads = cursors.iter_mut().filter(|cursor| !cursor.lines.is_empty());
            let Some(cursor) = heads.min_by(|a, b| a.lines[0].0.cmp(&b.lines[0].0)) else {
                return Ok(teams);
            };
            if let Some((_, line)) = cursor.lines.pop_front() {
                out.write_all(&line)?;
                teams += 1;
            }
        }
    }
}

/// One team of a store, as `inspect` wants it: appends its line to `out`. False: it is not there.
pub fn write_one<S: Store>(
    partition: &Partition<S>,
    team: &str,
    out: &mut Vec<u8>,
) -> Result<bool, AccountsError> {
    let Some(first_part) = partition.store().get(&keys::team(team, 0))? else {
        return Ok(false);
    };
    write_line(partition, team, &first_part, out)?;
    Ok(true)
}

/// Where the reading of a partition's teams stands.
struct Cursor<'a, S> {
    partition: &'a Partition<S>,
    /// (team, line), ascending.
    lines: VecDeque<(String, Vec<u8>)>,
    next_key: Vec<u8>,
    is_done: bool,
}

impl<'a, S: Store> Cursor<'a, S> {
    fn new(partition: &'a Partition<S>) -> Cursor<'a, S> {
        Cursor {
            partition,
            lines: VecDeque::new(),
            next_key: vec![keys::TEAM],
            is_done: false,
        }
    }

    fn refill(&mut self) -> Result<(), StoreError> {
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        let mut next_key = None;
        self.partition
            .store()
            .scan(&self.next_key, &[keys::TEAM + 1], &mut |key, value| {
                if found.len() == CHUNK_TEAMS {
                    next_key = Some(key.to_vec());
                    return ControlFlow::Break(());
                }
                // Further parts of a team are fetched with its first.
                if let Some((team, [0, 0])) = keys::parse_team_key(key) {
                    found.push((team, value.to_vec()));
                }
                ControlFlow::Continue(())
            })?;
        for (team, first_part) in found {
            let mut line = Vec::new();
            write_line(self.partition, &team, &first_part, &mut line)?;
            self.lines.push_back((team, line));
        }
        match next_key {
            Some(key) => self.next_key = key,
            None => self.is_done = true,
        }
        Ok(())
    }
}

/// Fills the cursors that ran low, spread over `threads` threads.
fn refill<S: Store + Sync>(cursors: &mut [Cursor<S>], threads: usize) -> Result<(), StoreError> {
    let mut low: Vec<&mut Cursor<S>> = cursors
        .iter_mut()
        .filter(|cursor| !cursor.is_done && cursor.lines.len() < CHUNK_TEAMS / 4)
        .collect();
    let share = low.len().div_ceil(threads.max(1)).max(1);
    if share >= low.len() {
        return low.into_iter().try_for_each(Cursor::refill);
    }
    std::thread::scope(|scope| {
        let share_of = |share: &'_ mut [&mut Cursor<S>]| {
            share.iter_mut().try_for_each(|cursor| cursor.refill())
        };
        let workers: Vec<_> = low
            .chunks_mut(share)
            .map(|share| scope.spawn(move || share_of(share)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })
}

fn write_line<S: Store>(
    partition: &Partition<S>,
    team: &str,
    first_part: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let store = partition.store();
    let cell = cells::decode_team(store, team, first_part)?;
    let settled = cells::settled_months(store, team, &cell)?;
    let context = Context::new(
        partition.book(),
        partition.clock().unwrap_or(Instant::EPOCH),
    );
    account_line::write(team, &cell.account, &settled, &context, out);
    out.push(b'\n');
    Ok(())
}
