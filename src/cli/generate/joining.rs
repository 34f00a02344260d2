//! How teams join: one after the other over the first days, each with its on-boarding events.
//!
//! A team has the slot of its number. Its events are spread over the slot's first half; from the
//! slot's end on it makes calls.

use super::accounts::{is_legacy, postpay_enrolment, purchase, trial};
use super::name::Name;
use super::team::{Kind, Team};
use crate::billing::event::{AccountKind, Body, Offering};
use crate::billing::time::{Instant, MILLIS_PER_DAY, MILLIS_PER_HOUR};

/// All teams join within this time, unless the slots are as long as they get before.
const JOINING_MILLIS_MAX: i64 = 5 * MILLIS_PER_DAY;
const SLOT_MILLIS_MAX: i64 = MILLIS_PER_HOUR / 6;
/// No team has more on-boarding events.
const STEPS_MAX: i64 = 10;

/// When each team joins.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    start: Instant,
    millis: i64,
    teams: u32,
}

impl Slots {
    pub fn new(start: Instant, teams: u32) -> Slots {
        let millis = (JOINING_MILLIS_MAX / i64::from(teams)).min(SLOT_MILLIS_MAX);
        Slots {
            start,
            millis,
            teams,
        }
    }

    /// How many teams make calls at `at`; these have the lowest numbers.
    pub fn joined(&self, at: Instant) -> u32 {
        let ended = (at.millis() - self.start.millis()) / self.millis;
        u32::try_from(ended).map_or(self.teams, |ended| ended.min(self.teams))
    }

    /// From when on the team makes calls.
    pub fn joined_at(&self, team: u32) -> Instant {
        self.start.plus_millis((i64::from(team) + 1) * self.millis)
    }

    /// Hours until all have joined, begun ones included.
    pub fn hours(&self) -> u64 {
        let millis = self.millis * i64::from(self.teams);
        (millis as u64).div_ceil(MILLIS_PER_HOUR as u64)
    }

    fn step_at(&self, team: u32, step: usize) -> Instant {
        let slot = self.start.plus_millis(i64::from(team) * self.millis);
        slot.plus_millis(self.millis * step as i64 / (2 * STEPS_MAX))
    }
}

/// The on-boarding events of all teams, in order.
pub struct Joining {
    seed: u64,
    slots: Slots,
    next_team: u32,
    steps: std::vec::IntoIter<Body<Name>>,
    step: usize,
    /// The team that joins at present.
    team: Team,
}

impl Joining {
    pub fn new(seed: u64, slots: Slots) -> Joining {
        Joining {
            seed,
            slots,
            next_team: 0,
            steps: Vec::new().into_iter(),
            step: 0,
            team: Team::of(seed, 0),
        }
    }
}

impl Iterator for Joining {
    type Item = (Instant, Team, Body<Name>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.steps.as_slice().is_empty() {
            if self.next_team == self.slots.teams {
                return None;
            }
            self.team = Team::of(self.seed, self.next_team);
            let slot = self.slots.step_at(self.next_team, 0);
            self.steps = steps(self.team, slot).into_iter();
            self.step = 0;
            self.next_team += 1;
        }
        let at = self.slots.step_at(self.team.number, self.step);
        self.step += 1;
        Some((at, self.team, self.steps.next()?))
    }
}

fn steps(team: Team, at: Instant) -> Vec<Body<Name>> {
    let mut steps = Vec::with_capacity(STEPS_MAX as usize);
    let kind = team.kind();
    let has_prepay = matches!(kind, Kind::Prepay | Kind::PrepayAndPostpay);
    if kind == Kind::Free {
        steps.push(Body::OfferingEnrolled(Offering::Free));
    }
    if has_prepay {
        steps.push(Body::OfferingEnrolled(Offering::Prepay));
    }
    if matches!(kind, Kind::Postpay | Kind::PrepayAndPostpay) {
        steps.push(postpay_enrolment(team));
    }
    steps.push(Body::HubCreated { hub_id: team.hub() });
    for app in 1..=team.apps() {
        let hub_id = (app > 1).then_some(team.hub());
        let app_id = team.app(app);
        steps.push(Body::AppMigrated { app_id, hub_id });
    }
    if has_prepay {
        steps.push(purchase(team, at, 100));
    } else if is_legacy(at) {
        steps.push(trial(at));
    }
    if team.uses_desktop() {
        steps.push(Body::CreditsPurchased {
            channel: Name::Fixed("account_page"),
            pack: 100,
            packs: 2,
            account_kind: AccountKind::Subscription,
            amount: None,
        });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::time::Month;

    fn slots(teams: u32) -> Slots {
        Slots::new(Month::parse("2026-01").expect("a month").start(), teams)
    }

    #[test]
    fn every_team_joins_in_order_before_it_makes_calls() {
        for teams in [1, 10, 5_000] {
            let slots = slots(teams);
            let mut last = slots.start;
            let mut enrolled = 0;
            for (at, team, body) in Joining::new(1, slots) {
                assert!(last <= at && at < slots.joined_at(team.number));
                last = at;
                enrolled += u32::from(matches!(body, Body::HubCreated { .. }));
            }
            assert_eq!(enrolled, teams);
            assert!(slots.hours() <= 120);
        }
    }

    #[test]
    fn the_slots_of_most_teams_allowed_keep_their_events_apart() {
        let slots = slots(10_000_000);
        assert!(slots.step_at(0, 0) < slots.step_at(0, 1));
        assert!((0..10_000).all(|team| steps(Team::of(1, team), slots.start).len() <= 10));
    }

    #[test]
    fn joined_teams_are_those_whose_slot_has_ended() {
        let slots = slots(100);
        assert_eq!(slots.joined(slots.start), 0);
        for team in [0, 1, 50, 99] {
            let at = slots.joined_at(team);
            assert_eq!(slots.joined(at.minus_millis(1)), team);
            assert_eq!(slots.joined(at), team + 1);
        }
        assert_eq!(slots.joined(Instant::END), 100);
    }
}
