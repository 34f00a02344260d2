//! The world of the reference model: the clock, admission, timers, and what is collected for the
//! outputs (`fold.md` 4 and 8).
//!
//! What a usage event does stands in `usage`, what the other events do in `accounts`, funding and
//! the derived events in `funding`; this module only decides which of them is asked, when, and at
//! which clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::accounts::fold_account_event;
use super::amount::MAGNITUDE_MAX;
use super::book::Book;
use super::calendar::{DAY, next_midnight};
use super::event::{self, Body, Content, Event, RECORD_BYTES_MAX, Reading};
use super::funding::{Derived, Trigger, evaluate, monthly_invoice};
use super::json::{Value, number, object, string};
use super::output::{AfterEvent, UsageTrace, base64, trace_line};
use super::team::{Team, Tier};
use super::usage::fold_usage;
use super::{Outputs, RunError};

/// The guard rail of a file run (`interfaces.md` 3).
const CLOCK_JUMP_MAX: i64 = 400 * DAY;

pub struct World {
    pub book: Arc<Book>,
    /// The maximum of all recorded times and ticks; None before the first.
    pub clock: Option<i64>,
    pub teams: BTreeMap<String, Team>,
    /// In the order in which they arose.
    pub derived: Vec<Derived>,
    /// The number of input events.
    pub consumed: u64,
    /// What became of them, dead letters included.
    pub dispositions: BTreeMap<String, u64>,
    allow_clock_jump: bool,
    /// By (subject, source, id); clock-ticks have no subject.
    seen: BTreeMap<(Option<String>, String, String), Seen>,
    dead_letters: Vec<Value>,
    trace: Vec<Value>,
}

struct Seen {
    content: Content,
    /// From this clock on a usage id is new again; other ids are kept for ever.
    forgotten_at: Option<i64>,
}

/// What the fold of one event by its type came to.
pub struct Folded {
    pub disposition: &'static str,
    pub reason: Option<&'static str>,
    pub trigger: Trigger,
    pub usage: Option<UsageTrace>,
    pub derived: Vec<Derived>,
}

/// What an event is folded with besides the team's state.
pub struct Scene<'a> {
    pub book: &'a Book,
    pub clock: i64,
    pub team_id: &'a str,
    pub event: &'a Event,
}

impl Scene<'_> {
    /// `{"source","id"}` of the causing event.
    pub fn cause(&self) -> Value {
        object([
            ("source", string(&self.event.source)),
            ("id", string(&self.event.id)),
        ])
    }
}

impl World {
    pub fn new(book_json: &[u8], allow_clock_jump: bool) -> Result<World, RunError> {
        let book = Book::parse(book_json).map_err(RunError::Book)?;
        Ok(World::of_book(Arc::new(book), allow_clock_jump))
    }

    pub fn of_book(book: Arc<Book>, allow_clock_jump: bool) -> World {
        World {
            book,
            clock: None,
            teams: BTreeMap::new(),
            derived: Vec::new(),
            consumed: 0,
            dispositions: BTreeMap::new(),
            allow_clock_jump,
            seen: BTreeMap::new(),
            dead_letters: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// Folds one record that stands in a line of an input.
    pub fn feed(&mut self, input: usize, line: u64, record: &[u8]) -> Result<(), RunError> {
        let reading = event::read(record);
        if let (Some(recorded), Some(clock)) = (reading.recorded, self.clock)
            && recorded > clock + CLOCK_JUMP_MAX
            && !reading.is_tick
            && !self.allow_clock_jump
        {
            return Err(RunError::ClockJump { input, line });
        }
        self.consumed += 1;
        if let Some(recorded) = reading.recorded {
            self.tick(recorded);
        }
        let after = self.fold(&reading, input, line, record);
        *self
            .dispositions
            .entry(after.disposition.to_string())
            .or_default() += 1;
        self.trace.push(trace_line(input, line, &reading, &after));
        Ok(())
    }

    /// Moves the clock, not backwards, and runs the timers that are due (`fold.md` 8).
    pub fn tick(&mut self, instant: i64) {
        let before = self.clock.unwrap_or(i64::MIN);
        if instant <= before {
            return;
        }
        for (team_id, team) in &mut self.teams {
            let mut clock = before;
            while let Some(due) = team
                .next_timer(&self.book, clock)
                .filter(|due| *due <= instant)
            {
                clock = due;
                run_timers(&self.book, team_id, team, clock, &mut self.derived);
            }
        }
        self.clock = Some(instant);
    }

    pub fn outputs(&self) -> Outputs {
        // Stable: per team the derived events stay in fold order (`fold.md` 9).
        let mut derived: Vec<&Derived> = self.derived.iter().collect();
        derived.sort_by_key(|derived| (derived.time, derived.team.clone()));
        let clock = self.clock.unwrap_or(0);
        Outputs {
            derived: lines(derived.into_iter().map(Derived::event)),
            accounts: lines(
                self.teams
                    .iter()
                    .map(|(id, team)| super::output::account_line(&self.book, clock, id, team)),
            ),
            dead_letters: lines(self.dead_letters.iter().cloned()),
            trace: lines(self.trace.iter().cloned()),
        }
    }

    /// Steps 3 to 6 of `fold.md` 4; steps 1 and 2 are done.
    fn fold(&mut self, reading: &Reading, input: usize, line: u64, record: &[u8]) -> AfterEvent {
        let event = match &reading.event {
            Ok(event) => event,
            Err(fault) => {
                return self.dead_letter(input, line, record, fault.reason, &fault.detail);
            }
        };
        let clock = self
            .clock
            .expect("an event that can be read has moved the clock");

        let key = (event.team.clone(), event.source.clone(), event.id.clone());
        let seen = self.seen.get(&key).filter(|seen| {
            seen.forgotten_at
                .is_none_or(|forgotten_at| clock < forgotten_at)
        });
        if let Some(seen) = seen {
            let disposition = if seen.content == event.content {
                "duplicate"
            } else {
                "conflict"
            };
            return self.after(event, disposition);
        }
        if let Some((reason, detail)) = self.not_admitted(event, clock) {
            return self.dead_letter(input, line, record, reason, detail);
        }
        let is_usage = event.content.body.usage().is_some();
        let forgotten_at = is_usage
            .then(|| next_midnight(clock) + self.book.dedup_horizon_ms + self.book.future_skew_ms);
        self.seen.insert(
            key,
            Seen {
                content: event.content.clone(),
                forgotten_at,
            },
        );

        let Some(team_id) = &event.team else {
            return self.after(event, "accepted");
        };
        let team = self.teams.entry(team_id.clone()).or_insert_with(Team::new);
        let scene = Scene {
            book: &self.book,
            clock,
            team_id,
            event,
        };
        let mut folded = match event.content.body.usage() {
            Some(usage) => fold_usage(&scene, team, usage),
            None => fold_account_event(&scene, team),
        };
        folded.derived.extend(evaluate(
            &self.book,
            team_id,
            team,
            clock,
            &folded.trigger,
            &scene.cause(),
        ));
        let ids = folded
            .derived
            .iter()
            .map(|derived| derived.id.clone())
            .collect();
        self.derived.append(&mut folded.derived);

        let mut after = self.after(event, folded.disposition);
        after.reason = folded.reason;
        after.episode = Some(self.teams[team_id].episode);
        after.usage = folded.usage;
        after.derived = ids;
        after
    }

    /// Step 4: why an event that can be read is not admitted, with the field.
    fn not_admitted(&self, event: &Event, clock: i64) -> Option<(&'static str, &'static str)> {
        let Content { time, body } = &event.content;
        if *time > event.recorded + self.book.future_skew_ms {
            return Some(("time_in_future", "time"));
        }
        if *body != Body::ClockTick && self.book.card_index_at(*time).is_none() {
            return Some(("no_rate_card", "time"));
        }
        let usage = body.usage()?;
        if *time < clock - self.book.dedup_horizon_ms {
            return Some(("too_old", "time"));
        }
        if usage.quantity < 0 && matches!(body, Body::ApiCall(_)) {
            return Some(("negative_quantity", "data.quantity"));
        }
        if i128::from(usage.quantity).abs() > MAGNITUDE_MAX {
            return Some(("quantity_too_large", "data.quantity"));
        }
        None
    }

    /// Counts the disposition and reads what every trace line shows; a clock-tick has no team to
    /// count it for.
    fn after(&mut self, event: &Event, disposition: &'static str) -> AfterEvent {
        let mut after = AfterEvent::of(disposition);
        if let (Some(team_id), Some(clock)) = (&event.team, self.clock) {
            let team = self
                .teams
                .get_mut(team_id)
                .expect("only an event that was admitted is counted");
            *team
                .dispositions
                .entry(disposition.to_string())
                .or_default() += 1;
            after.balance = Some(team.balance(clock));
            after.debt = Some(team.debt);
        }
        after
    }

    fn dead_letter(
        &mut self,
        input: usize,
        line: u64,
        record: &[u8],
        reason: &'static str,
        detail: &str,
    ) -> AfterEvent {
        let kept = &record[..record.len().min(RECORD_BYTES_MAX)];
        let (name, text) = match std::str::from_utf8(kept) {
            Ok(text) => ("record", text.to_string()),
            Err(_) => ("record_base64", base64(kept)),
        };
        let mut members = vec![
            ("input".to_string(), number(input)),
            ("line".to_string(), number(line)),
            ("reason".to_string(), string(reason)),
            ("detail".to_string(), string(detail)),
            (name.to_string(), string(text)),
        ];
        if kept.len() < record.len() {
            members.push(("truncated".to_string(), Value::Bool(true)));
        }
        self.dead_letters.push(Value::Object(members));
        let mut after = AfterEvent::of("dead_letter");
        after.reason = Some(reason);
        after
    }
}

/// Runs a team's timers of one instant: lot expiry, month close, downgrade, effect, and funding
/// after each (`fold.md` 8).
fn run_timers(
    book: &Book,
    team_id: &str,
    team: &mut Team,
    instant: i64,
    derived: &mut Vec<Derived>,
) {
    if team.lots.iter().any(|lot| lot.expires_at == instant) {
        let mut expired = 0;
        for lot in team.lots.iter_mut().filter(|lot| lot.expires_at == instant) {
            if !lot.subscription {
                expired += lot.remaining;
            }
            lot.expired += lot.remaining;
            lot.remaining = 0;
        }
        derived.extend(evaluate(
            book,
            team_id,
            team,
            instant,
            &Trigger::Expiry { expired },
            &Value::Null,
        ));
    }

    let closing = book.earliest_open_month(instant).previous();
    if book.close_instant(closing) == instant && team.is_invoiced(closing) {
        derived.push(monthly_invoice(book, team_id, team, closing));
    }

    if team.pending_downgrade == Some(instant) {
        team.pending_downgrade = None;
        team.enter_tier(book, instant, instant, Tier::Free);
        team.close_postpay(instant, instant);
    }
    // A close changes no funding, and an effect evaluates what a downgrade of the same instant
    // left: once is enough.
    derived.extend(evaluate(
        book,
        team_id,
        team,
        instant,
        &Trigger::Timer,
        &Value::Null,
    ));
}

/// One compact JSON text a line.
fn lines(values: impl Iterator<Item = Value>) -> Vec<u8> {
    let mut text = String::new();
    for value in values {
        text.push_str(&value.text());
        text.push('\n');
    }
    text.into_bytes()
}
