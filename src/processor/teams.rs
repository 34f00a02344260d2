//! The working set of a partition: the teams that are being folded, decoded and in memory.
//!
//! A team is loaded when a record needs it, changed here by the fold and written by the next
//! commit. Where memory is wanted, those used least give way and are kept encoded
//! ([`super::cold_teams`]), changed or not.

use compact_str::CompactString;
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

use crate::billing::account::TeamAccount;
use crate::billing::time::Instant;

use super::cold_teams::{ColdTeam, ColdTeams};

/// Handle of a team in the working set; valid until the next [`Teams::make_room`].
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
    /// How often it was used, halved whenever memory was wanted.
    uses: u8,
}

#[derive(Debug, Default)]
pub struct Teams {
    teams: Vec<Team>,
    by_name: HashTable<u32>,
    dirty: Vec<u32>,
    cold: ColdTeams,
}

/// Reads a word of each piece of `account` that usage needs. A batch does this for all its teams
/// before the first is folded: the memory accesses then overlap instead of waiting for one another.
pub fn touch(account: &TeamAccount) -> usize {
    let months = account.months.iter().map(|month| {
        let booked = month
            .lines
            .first()
            .is_some_and(|(_, booked)| booked.usage == 0);
        month.free_used.len() + usize::from(booked)
    });
    let is_odd = |at: Option<Instant>| usize::from(at.is_some_and(|at| at.millis() == 1));
    months.sum::<usize>()
        + is_odd(
            account
                .tiers
                .entries
                .first()
                .map(|entry| entry.effective_at),
        )
        + is_odd(account.apps.first().map(|app| app.migrated_at))
        + is_odd(
            account
                .lots
                .in_draw_order()
                .first()
                .map(|lot| lot.expires_at),
        )
        + is_odd(account.postpay.as_slice().first().map(|period| period.from))
        + account
            .cumulatives
            .as_slice()
            .first()
            .map_or(0, |cumulative| usize::from(cumulative.base == 1))
        + account.dispositions.counts().take(1).count()
}

/// A team of ordinary size in memory: its two blocks, a list or two, the tables' share.
const TEAM_BYTES: usize = size_of::<Team>() + size_of::<TeamAccount>() + 128;

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
            uses: 0,
        }
    }
}

impl Teams {
    /// The handle of `name` if it is decoded here.
    pub fn find(&mut self, name: &str) -> Option<TeamHandle> {
        let index = *self.by_name.find(hash(name.as_bytes()), |index| {
            self.teams[*index as usize].name == name
        })?;
        let team = &mut self.teams[index as usize];
        team.uses = team.uses.saturating_add(1);
        Some(TeamHandle(index))
    }

    /// Takes `name` out of those that are kept encoded.
    pub fn thaw(&mut self, name: &str) -> Option<ColdTeam> {
        self.cold.take(hash(name.as_bytes()), name)
    }

    /// Adds a team that is not here.
    pub fn insert(&mut self, team: Team) -> TeamHandle {
        let index = self.teams.len() as u32;
        if team.is_dirty {
            self.dirty.push(index);
        }
        self.teams.push(team);
        self.index(index);
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
        self.dirty.len() + self.cold.dirty_len()
    }

    pub fn decoded_bytes(&self) -> usize {
        self.teams.len() * TEAM_BYTES
    }

    pub fn encoded_bytes(&self) -> usize {
        self.cold.bytes()
    }

    /// Hands out every team that changed since the last commit, decoded ones in the order in which
    /// they were first changed; all are clean afterwards.
    pub fn clean<C>(
        &mut self,
        context: &mut C,
        write: impl Fn(&mut C, &mut Team),
        write_cold: impl Fn(&mut C, &mut ColdTeam),
    ) {
        for index in std::mem::take(&mut self.dirty) {
            let team = &mut self.teams[index as usize];
            team.is_dirty = false;
            write(context, team);
        }
        self.cold.clean(|team| write_cold(context, team));
    }

    /// Where more than `decoded_bytes_max` are decoded, keeps the most used half of that and has
    /// the others encoded by `encode`. Handles end here.
    pub fn make_room(&mut self, decoded_bytes_max: usize, encode: impl Fn(&Team) -> Vec<u8>) {
        if self.decoded_bytes() <= decoded_bytes_max {
            return;
        }
        let kept_max = decoded_bytes_max / TEAM_BYTES / 2;
        let uses_min = self.uses_min(kept_max);
        let mut kept = Vec::with_capacity(kept_max);
        for mut team in std::mem::take(&mut self.teams) {
            if team.uses >= uses_min && kept.len() < kept_max {
                team.uses /= 2;
                kept.push(team);
            } else if team.account.is_some() {
                let value = encode(&team);
                let cold = ColdTeam::new(
                    &team.name,
                    &value,
                    team.stored_digest,
                    team.stored_parts,
                    team.is_dirty,
                );
                self.cold.insert(hash(team.name.as_bytes()), cold, hash);
            }
        }
        self.teams = kept;
        self.by_name.clear();
        (0..self.teams.len() as u32).for_each(|index| self.index(index));
        self.dirty = (0..)
            .zip(&self.teams)
            .filter(|(_, team)| team.is_dirty)
            .map(|(index, _)| index)
            .collect();
    }

    /// After a commit: lets go of what is kept encoded, if that is more than `bytes_max`.
    pub fn evict(&mut self, encoded_bytes_max: usize) {
        self.cold.evict(encoded_bytes_max);
    }

    /// How often a team must have been used to be among the `count` most used, about.
    fn uses_min(&self, count: usize) -> u8 {
        let mut teams_by_uses = [0_usize; 256];
        self.teams
            .iter()
            .for_each(|team| teams_by_uses[usize::from(team.uses)] += 1);
        let mut sum = 0;
        let too_many = (0..=255_u8).rev().find(|uses| {
            sum += teams_by_uses[usize::from(*uses)];
            sum > count
        });
        too_many.unwrap_or(0)
    }

    fn index(&mut self, index: u32) {
        let name = self.teams[index as usize].name.as_bytes();
        self.by_name.insert_unique(hash(name), index, |index| {
            hash(self.teams[*index as usize].name.as_bytes())
        });
    }
}

fn hash(name: &[u8]) -> u64 {
    FxBuildHasher.hash_one(name)
}
