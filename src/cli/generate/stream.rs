//! The lines of a generated input, one after the other in order of recorded time.
//!
//! Three sorted streams are merged: teams that join, clock ticks, and everything else at the pace
//! of the hours. A late call is drawn when it is recorded and happened before, so nothing waits to
//! be sorted; resends and corrections start from a small sample of what was written lately. Memory
//! is bounded by the teams, whatever the number of lines.

use std::iter::Peekable;

use super::accounts::{Accounts, Happening, ROUND};
use super::damage::Damage;
use super::joining::Joining;
use super::name::Name;
use super::pace::Pace;
use super::plan::{Plan, Share};
use super::random::{Random, hash};
use super::skew::Skew;
use super::team::Team;
use super::usage;
use crate::billing::event::{Body, Event, Usage};
use crate::billing::time::{Instant, MILLIS_PER_DAY, MILLIS_PER_HOUR, MILLIS_PER_SECOND};

/// At most this many lines lie between two events that are no calls.
const HAPPENING_EVERY_MAX: u64 = 200;
const DELAY_MILLIS_MAX: i64 = 30 * MILLIS_PER_SECOND;
const LATE_MILLIS_MAX: i64 = 5 * MILLIS_PER_DAY;
/// One duplicate in so many has another content under the same id.
const CONFLICT_EVERY: u64 = 10;
const SAMPLE_LEN_MAX: usize = 1024;
/// Draws of a team that may not have joined yet, before one of those that have is taken.
const DRAWS_MAX: u32 = 8;

/// One event to write. The text of a damaged one is broken when it is printed; its facts are
/// wrong already.
pub struct Line {
    pub event: Event<Name>,
    pub recorded: Instant,
    pub damage: Option<Damage>,
}

pub struct Stream {
    random: Random,
    plan: Plan,
    skew: Skew,
    accounts: Accounts,
    sample: Sample,
    joining: Peekable<Joining>,
    ticks: Peekable<std::vec::IntoIter<Instant>>,
    pace: Peekable<Pace>,
    last_id: u64,
    duplicates_left: u64,
    malformed_left: u64,
    traffic_left: u64,
    happening_every: u64,
    until_happening: u64,
    happenings: std::iter::Cycle<std::array::IntoIter<Happening, { ROUND.len() }>>,
}

impl Stream {
    pub fn new(plan: &Plan) -> Stream {
        let mut random = Random::new(hash(plan.seed, u64::MAX));
        let skew = Skew::new(plan.teams, &mut random);
        let pace_random = Random::new(random.next());
        let pace = Pace::new(
            plan.start,
            plan.end,
            plan.slots.hours(),
            plan.paced(),
            pace_random,
        );
        // A short stream has fewer calls between the others, so that each happening has its turn.
        let happening_every =
            (plan.traffic / (2 * ROUND.len() as u64)).clamp(2, HAPPENING_EVERY_MAX);
        Stream {
            random,
            skew,
            accounts: Accounts::new(plan.seed, plan.teams),
            sample: Sample::new(plan),
            joining: Joining::new(plan.seed, plan.slots).peekable(),
            ticks: plan.ticks().into_iter().peekable(),
            pace: pace.peekable(),
            last_id: 0,
            duplicates_left: plan.duplicates,
            malformed_left: plan.malformed,
            traffic_left: plan.traffic,
            happening_every,
            until_happening: happening_every,
            happenings: ROUND.into_iter().cycle(),
            plan: *plan,
        }
    }
}

impl Iterator for Stream {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let joins_at = self.joining.peek().map(|&(at, ..)| at);
        let ticks_at = self.ticks.peek().copied();
        let paced_at = self.pace.peek().copied();
        let at = [joins_at, ticks_at, paced_at].into_iter().flatten().min()?;
        if joins_at == Some(at) {
            let (_, team, body) = self.joining.next()?;
            Some(self.account_event(team, at, body))
        } else if ticks_at == Some(at) {
            self.ticks.next();
            Some(self.tick(at))
        } else {
            self.pace.next();
            Some(self.paced(at))
        }
    }
}

impl Stream {
    fn tick(&mut self, at: Instant) -> Line {
        let id = self.next_id('t');
        let (source, team) = (Name::Fixed("/clock"), Name::Fixed(""));
        let event = Event {
            source,
            id,
            team,
            time: at,
            body: Body::ClockTick,
        };
        Line {
            event,
            recorded: at,
            damage: None,
        }
    }

    /// What sort of line it is, so that there are as many of each as planned, evenly mixed.
    fn paced(&mut self, at: Instant) -> Line {
        let left = self.duplicates_left + self.malformed_left + self.traffic_left;
        let drawn = self.random.below(left);
        if drawn < self.traffic_left {
            self.traffic_left -= 1;
            self.traffic(at)
        } else if drawn < self.traffic_left + self.duplicates_left {
            self.duplicates_left -= 1;
            self.duplicate(at)
        } else {
            self.malformed_left -= 1;
            self.malformed(at)
        }
    }

    fn traffic(&mut self, at: Instant) -> Line {
        self.until_happening -= 1;
        if self.until_happening == 0 {
            self.until_happening = self.happening_every;
            if let Some(line) = self.happening(at) {
                return line;
            }
        }
        let team = self.draw_team(at);
        if let Some(body) = self.accounts.purchase_if_low(team, at, &mut self.random) {
            return self.account_event(team, at, body);
        }
        let line = self.call(team, at);
        self.sample.offer(&line.event, &mut self.random);
        line
    }

    /// None: it is the turn of a correction, and no call is at hand that could be corrected.
    fn happening(&mut self, at: Instant) -> Option<Line> {
        if let Some((team, body)) = self.accounts.next_return(at) {
            return Some(self.account_event(team, at, body));
        }
        let happening = self.happenings.next()?;
        let joined = self.plan.slots.joined(at);
        match self
            .accounts
            .happen(happening, at, joined, &mut self.random)
        {
            Some((team, body)) => Some(self.account_event(team, at, body)),
            None => self.correction(at),
        }
    }

    fn account_event(&mut self, team: Team, at: Instant, body: Body<Name>) -> Line {
        self.accounts.note(team, at, &body);
        let source = match body {
            Body::StandingChanged { .. } => "/billing",
            Body::TokensAdjusted { .. } => "/desktop",
            _ => "/console",
        };
        let id = self.next_id('a');
        let event = Event {
            source: Name::Fixed(source),
            id,
            team: team.name(),
            time: at,
            body,
        };
        self.sample.offer(&event, &mut self.random);
        Line {
            event,
            recorded: at,
            damage: None,
        }
    }

    /// Most calls are recorded at once, the others within seconds; late ones hours or days later.
    fn call(&mut self, team: Team, at: Instant) -> Line {
        let usage = usage::draw(team, &mut self.random);
        self.accounts
            .spend(team, usage::estimated_millitokens(&usage));
        let behind = if self.random.below(Share::WHOLE.parts()) < self.plan.late.parts() {
            self.random.between(MILLIS_PER_HOUR, LATE_MILLIS_MAX)
        } else if self.random.one_in(3) {
            self.random.between(1, DELAY_MILLIS_MAX)
        } else {
            0
        };
        let event = Event {
            source: team.gateway(),
            id: self.next_id('c'),
            team: team.name(),
            time: at
                .minus_millis(behind)
                .max(self.plan.slots.joined_at(team.number)),
            body: Body::ApiCall(usage),
        };
        Line {
            event,
            recorded: at,
            damage: None,
        }
    }

    fn correction(&mut self, at: Instant) -> Option<Line> {
        let (call, usage) = self.sample.pick_call(&mut self.random)?;
        let quantity = match self.random.below(4) {
            0 => (usage.quantity / 2).max(1),
            1 => -(usage.quantity / 2).max(1),
            _ => -usage.quantity,
        };
        let usage = Usage { quantity, ..usage };
        let body = Body::UsageCorrected {
            usage,
            corrects: Some(call.id),
        };
        let (source, id) = (Name::Fixed("/support"), self.next_id('a'));
        let event = Event {
            source,
            id,
            body,
            ..call
        };
        Some(Line {
            event,
            recorded: at,
            damage: None,
        })
    }

    fn duplicate(&mut self, at: Instant) -> Line {
        let Some(mut event) = self.sample.pick(&mut self.random) else {
            let team = self.draw_team(at);
            return self.call(team, at);
        };
        if self.duplicates_left.is_multiple_of(CONFLICT_EVERY) {
            match &mut event.body {
                Body::ApiCall(usage) => usage.quantity += 1,
                _ => event.time = event.time.plus_millis(MILLIS_PER_SECOND),
            }
        }
        Line {
            event,
            recorded: at,
            damage: None,
        }
    }

    fn malformed(&mut self, at: Instant) -> Line {
        let team = self.draw_team(at);
        let mut line = self.call(team, at);
        let damage = Damage::draw(&mut self.random);
        damage.distort(&mut line.event, at, &mut self.random);
        Line {
            damage: Some(damage),
            ..line
        }
    }

    /// A team that makes a call now. Some have joined: the first hour has no pace.
    fn draw_team(&mut self, at: Instant) -> Team {
        let joined = self.plan.slots.joined(at);
        let number = (0..DRAWS_MAX)
            .map(|_| self.skew.draw(&mut self.random))
            .find(|&number| number < joined)
            .unwrap_or_else(|| self.random.below(u64::from(joined)) as u32);
        Team::of(self.plan.seed, number)
    }

    fn next_id(&mut self, letter: char) -> Name {
        self.last_id += 1;
        Name::Event(letter, self.last_id)
    }
}

/// Some of the events written lately: once it is full, about a day's worth is represented.
struct Sample {
    events: Vec<Event<Name>>,
    len_max: usize,
    keep_one_in: u64,
}

impl Sample {
    fn new(plan: &Plan) -> Sample {
        let days = (plan.end.millis() - plan.start.millis()) / MILLIS_PER_DAY;
        let a_day = plan.paced() / days as u64;
        let len_max = SAMPLE_LEN_MAX.min(a_day as usize + 1);
        Sample {
            events: Vec::with_capacity(len_max),
            len_max,
            keep_one_in: (a_day / SAMPLE_LEN_MAX as u64).max(1),
        }
    }

    fn offer(&mut self, event: &Event<Name>, random: &mut Random) {
        if self.events.len() < self.len_max {
            self.events.push(event.clone());
        } else if random.one_in(self.keep_one_in) {
            let place = random.below(self.len_max as u64) as usize;
            self.events[place] = event.clone();
        }
    }

    fn pick(&self, random: &mut Random) -> Option<Event<Name>> {
        let len = self.events.len() as u64;
        (len > 0).then(|| self.events[random.below(len) as usize].clone())
    }

    /// A call with a quantity to correct, and its usage.
    fn pick_call(&self, random: &mut Random) -> Option<(Event<Name>, Usage<Name>)> {
        let tries = 64;
        (0..tries).find_map(|_| {
            let event = self.pick(random)?;
            match &event.body {
                Body::ApiCall(usage) if usage.quantity > 0 => Some((event.clone(), usage.clone())),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::time::Month;
    use crate::cli::generate::plan::Request;
    use std::collections::{BTreeMap, BTreeSet};

    fn request(teams: u32, events: u64) -> Request {
        let month = |text| Month::parse(text).expect("a month");
        let share = |text| Share::parse(text).expect("a percentage");
        Request {
            seed: 5,
            teams,
            events,
            first_month: month("2025-12"),
            last_month: month("2026-01"),
            duplicates: share("3"),
            malformed: share("2"),
            late: share("1"),
        }
    }

    fn lines(request: &Request) -> Vec<Line> {
        Stream::new(&Plan::new(request).expect("enough events")).collect()
    }

    #[test]
    fn there_are_as_many_lines_as_asked_for_in_order() {
        for (teams, events) in [(1, 100), (10, 300), (1_000, 20_000)] {
            let lines = lines(&request(teams, events));
            assert_eq!(lines.len() as u64, events);
            assert!(lines.is_sorted_by_key(|line| line.recorded));
            let malformed = lines.iter().filter(|line| line.damage.is_some()).count();
            assert_eq!(malformed as u64, events / 50);
        }
    }

    #[test]
    fn all_types_occur_in_a_short_stream() {
        let types: BTreeSet<&str> = lines(&request(10, 200))
            .iter()
            .map(|line| line.event.body.type_name())
            .collect();
        assert_eq!(types.len(), 14, "{types:?}");
    }

    #[test]
    fn a_duplicate_is_an_earlier_event_again_and_one_in_ten_differs() {
        let mut first_sent: BTreeMap<String, Event<Name>> = BTreeMap::new();
        let (mut resent, mut differing) = (0, 0);
        for line in lines(&request(100, 20_000)) {
            let id = format!("{:?}", line.event.id);
            match first_sent.get(&id) {
                None => {
                    first_sent.insert(id, line.event);
                }
                Some(first) => {
                    resent += 1;
                    differing += u32::from(*first != line.event);
                    assert_eq!(
                        (first.source, first.team),
                        (line.event.source, line.event.team)
                    );
                }
            }
        }
        assert_eq!((resent, differing), (600, 60));
    }

    #[test]
    fn teams_call_after_they_joined_and_events_are_recorded_after_they_happened() {
        let request = Request {
            duplicates: Share::NONE,
            ..request(1_000, 50_000)
        };
        let slots = Plan::new(&request).expect("enough events").slots;
        let mut late = 0;
        for line in lines(&request).iter().filter(|line| line.damage.is_none()) {
            let Name::Team(team) = line.event.team else {
                continue;
            };
            if let Body::ApiCall(_) = line.event.body {
                assert!(line.event.time >= slots.joined_at(team));
                let behind = line.recorded.millis() - line.event.time.millis();
                late += u32::from((MILLIS_PER_HOUR..=LATE_MILLIS_MAX).contains(&behind));
            }
        }
        assert!((300..500).contains(&late), "{late}");
    }

    #[test]
    fn a_correction_names_a_call_of_the_same_team() {
        let mut calls = BTreeMap::new();
        let mut corrections = 0;
        for Line { event, .. } in lines(&request(100, 20_000)) {
            match event.body {
                Body::ApiCall(usage) => {
                    calls.insert(format!("{:?}", event.id), (event.team, usage.app_id));
                }
                Body::UsageCorrected { usage, corrects } => {
                    let corrected = calls[&format!("{:?}", corrects.expect("always given"))];
                    assert_eq!(corrected, (event.team, usage.app_id));
                    assert_ne!(usage.quantity, 0);
                    corrections += 1;
                }
                _ => {}
            }
        }
        assert!(corrections > 10, "{corrections}");
    }
}
