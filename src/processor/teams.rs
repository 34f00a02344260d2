//! The working set of a partition: the teams that are being folded, decoded and in memory.
//!
//! A team is loaded when a record needs it, changed here by the fold, written by the next commit
//! and let go when memory is wanted. After an aborted commit what was changed is forgotten.

use compact_str::CompactString;
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

use crate::billing::account::TeamAccount;
use crate::billing::time::Instant;

/// Handle of a team in the working set; valid until the next [`Teams::evict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TeamHandle(u32);

#[derive(Debug)]
pub struct Team {
    pub name: CompactString,
    /// None: nothing of it was folded yet.
    pub account: Option<Box<TeamAccount>>,
    /// The instant under which the timer table has it.
    pub due: Option<Instant>,
    /// How many of its months lie in cells of their own.
    pub settled_months: u32,
    /// What its cell adds to the state digest.
    pub stored_digest: u128,
    /// In how many parts its cell is stored.
    pub stored_parts: u16,
    pub is_dirty: bool,
    /// Used since memory was last wanted.
    is_recent: bool,
    /// Estimate of what it holds.
    bytes: usize,
}

#[derive(Debug, Default)]
pub struct Teams {
    teams: Vec<Team>,
    by_name: HashTable<u32>,
    bytes: usize,
    dirty: Vec<u32>,
}

/// Reads a word of each piece of `account` that usage needs. A batch does this for all its teams
/// before the first is folded: the memory accesses then overlap instead of waiting for one another.
pub fn touch(account: &TeamAccount) -> usize {
    let months = account.months.iter().map(|month| {
        let booked = month.lines.first().is_some_and(|(_, booked)| booked.usage == 0);
        month.free_used.len() + usize::from(booked)
    });
    let is_odd = |at: Option<Instant>| usize::from(at.is_some_and(|at| at.millis() == 1));
    months.sum::<usize>()
        + is_odd(account.tiers.entries.first().map(|entry| entry.effective_at))
        + is_odd(account.apps.first().map(|app| app.migrated_at))
        + is_odd(account.lots.in_draw_order().first().map(|lot| lot.expires_at))
        + is_odd(account.postpay.as_slice().first().map(|period| period.from))
        + account.cumulatives.as_slice().first().map_or(0, |cumulative| usize::from(cumulative.base == 1))
        + account.dispositions.counts().take(1).count()
}

/// A team of ordinary size in memory, beside its name.
const TEAM_BYTES: usize = size_of::<Team>() + size_of::<TeamAccount>() + 192;

impl Team {
    /// A team that the store does not have.
    pub fn unknown(name: &str) -> Team {
        Team {
            name: name.into(),
            account: None,
            due: None,
            settled_months: 0,
            stored_digest: 0,
            stored_parts: 0,
            is_dirty: false,
            is_recent: true,
            bytes: 0,
        }
    }
}

impl Teams {
    /// The handle of `name` if it is here.
    pub fn find(&mut self, name: &str) -> Option<TeamHandle> {
        let index = *self.by_name.find(hash(name), |index| {
            self.teams[*index as usize].name == name
        })?;
        self.teams[index as usize].is_recent = true;
        Some(TeamHandle(index))
    }

    /// Adds a team that is not here. `cell_bytes` is the size of its cell.
    pub fn insert(&mut self, mut team: Team, cell_bytes: usize) -> TeamHandle {
        let index = self.teams.len() as u32;
        team.bytes = TEAM_BYTES + team.name.len() + 3 * cell_bytes;
        self.bytes += team.bytes;
        self.by_name
            .insert_unique(hash(&team.name), index, |index| {
                hash(&self.teams[*index as usize].name)
            });
        self.teams.push(team);
        TeamHandle(index)
    }

    pub fn get(&self, handle: TeamHandle) -> &Team {
        &self.teams[handle.0 as usize]
    }

    pub fn get_mut(&mut self, handle: TeamHandle) -> &mut Team {
        &mut self.teams[handle.0 as usize]
    }

    pub fn mark_dirty(&mut self, handle: TeamHandle) {
        let team = &mut self.teams[handle.0 as usize];
        if !team.is_dirty {
            team.is_dirty = true;
            self.dirty.push(handle.0);
        }
    }

    /// Teams that changed since the last commit.
    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hands out every dirty team once, in the order in which they were first changed; they are
    /// clean afterwards. `write` returns the size of its cell.
    pub fn clean(&mut self, mut write: impl FnMut(&mut Team) -> usize) {
        for index in std::mem::take(&mut self.dirty) {
            let team = &mut self.teams[index as usize];
            team.is_dirty = false;
            let bytes = TEAM_BYTES + team.name.len() + 3 * write(team);
            self.bytes = self.bytes - team.bytes + bytes;
            team.bytes = bytes;
        }
    }

    /// Lets go of teams until at most `bytes_max` are held: those not used since the last call
    /// first, then any. All must be clean.
    pub fn evict(&mut self, bytes_max: usize) {
        assert!(
            self.dirty.is_empty(),
            "only a committed working set is evicted"
        );
        if self.bytes <= bytes_max {
            return;
        }
        self.retain(|team| team.is_recent);
        if self.bytes > bytes_max {
            self.retain(|_| false);
        }
        self.teams
            .iter_mut()
            .for_each(|team| team.is_recent = false);
    }

    fn retain(&mut self, keep: impl Fn(&Team) -> bool) {
        self.teams.retain(keep);
        self.teams.shrink_to_fit();
        self.bytes = self.teams.iter().map(|team| team.bytes).sum();
        self.by_name.clear();
        for (index, team) in self.teams.iter().enumerate() {
            self.by_name
                .insert_unique(hash(&team.name), index as u32, |index| {
                    hash(&self.teams[*index as usize].name)
                });
        }
    }
}

fn hash(name: &str) -> u64 {
    FxBuildHasher.hash_one(name)
}
