//! Which team has something due when: the timer table of the store and what changed since.
//!
//! Each team stands in it once, under the first instant at which anything is due for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::billing::context::Context;
use crate::billing::time::Instant;
use crate::billing::timers;
use crate::ports::{Changes, Store, StoreError};
use crate::wire::keys;

use super::teams::Team;

#[derive(Debug, Default)]
pub struct TimerIndex {
    /// A lower bound of the first instant at which anything is due.
    first: Option<Instant>,
    /// Key from which on the store is read: all before it were taken out since the last commit.
    stored_from: Vec<u8>,
    /// Changes since the last commit: true is added, false is taken out.
    changed: BTreeMap<(Instant, Box<str>), bool>,
    /// The added ones among them.
    added: BTreeSet<(Instant, Box<str>)>,
}

/// Timers read from the store at a time.
const CHUNK_TIMERS: usize = 4_096;

impl TimerIndex {
    pub fn load(store: &impl Store) -> Result<TimerIndex, StoreError> {
        let mut index = TimerIndex::default();
        index.find_first(store)?;
        Ok(index)
    }

    /// Puts `team` under the first instant after the clock at which something is due for it.
    pub fn reschedule(&mut self, team: &mut Team, context: &Context) {
        let due = team
            .account
            .as_ref()
            .and_then(|account| timers::next_due(account, context));
        if due != team.due {
            self.moved(&team.name, team.due, due);
            team.due = due;
        }
    }

    fn moved(&mut self, team: &str, from: Option<Instant>, to: Option<Instant>) {
        if let Some(from) = from {
            let key = (from, Box::from(team));
            self.added.remove(&key);
            self.changed.insert(key, false);
        }
        if let Some(to) = to {
            self.first = Some(self.first.map_or(to, |first| first.min(to)));
            let key = (to, Box::from(team));
            self.added.insert(key.clone());
            self.changed.insert(key, true);
        }
    }

    /// A lower bound of the first instant at which anything is due.
    pub fn first(&self) -> Option<Instant> {
        self.first
    }

    /// The first timers due at or before `clock`, in order of (due, team); a bounded number. Empty:
    /// there are none.
    pub fn due(
        &mut self,
        store: &impl Store,
        clock: Instant,
    ) -> Result<Vec<(Instant, Box<str>)>, StoreError> {
        if self.first.is_none_or(|first| first > clock) {
            return Ok(Vec::new());
        }
        let mut due: Vec<(Instant, Box<str>)> = Vec::new();
        let mut next_stored = None;
        let mut unreadable = None;
        let from = self.stored_from.clone();
        store.scan(&from, &[keys::TIMER + 1], &mut |key, _| {
            let Some((instant, team)) = keys::parse_timer(key) else {
                unreadable = Some(StoreError::Corrupt {
                    key: format!("{key:02x?}"),
                    reason: "not a timer".into(),
                });
                return ControlFlow::Break(());
            };
            let entry = (instant, team.into_boxed_str());
            if self.changed.get(&entry) == Some(&false) {
                return ControlFlow::Continue(());
            }
            if next_stored.is_none() {
                next_stored = Some(instant);
                self.stored_from = key.to_vec();
            }
            if instant > clock || due.len() == CHUNK_TIMERS {
                return ControlFlow::Break(());
            }
            due.push(entry);
            ControlFlow::Continue(())
        })?;
        if let Some(error) = unreadable {
            return Err(error);
        }
        let added = self.added.iter().take_while(|entry| entry.0 <= clock);
        due.extend(added.take(CHUNK_TIMERS).cloned());
        due.sort_unstable();
        due.dedup();
        due.truncate(CHUNK_TIMERS);
        let first_added = self.added.first().map(|(due, _)| *due);
        self.first = [first_added, next_stored].into_iter().flatten().min();
        Ok(due)
    }

    pub fn stage(&mut self, changes: &mut Changes) {
        for ((due, team), is_added) in std::mem::take(&mut self.changed) {
            let key = keys::timer(due, &team);
            if is_added {
                changes.put(&key, &[]);
            } else {
                changes.delete(&key);
            }
        }
        self.added.clear();
    }

    /// After a commit was applied.
    pub fn find_first(&mut self, store: &impl Store) -> Result<(), StoreError> {
        self.first = None;
        self.stored_from = vec![keys::TIMER];
        store.scan(&[keys::TIMER], &[keys::TIMER + 1], &mut |key, _| {
            self.first = keys::parse_timer(key).map(|(due, _)| due);
            ControlFlow::Break(())
        })
    }
}
