//! Small adversarial worlds: a few teams and a log of events that aims at the boundaries of a book.
//!
//! A world is made from bytes. Each decision takes the next byte of its event, so that any bytes
//! are a world, fewer events a smaller one, and zeros the plainest.

use std::ops::RangeInclusive;

use meterfold::billing::time::Instant;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::books::{Book, books};
use crate::model::calendar::{add_months, format_instant, next_midnight};
use crate::support::random::Random;

/// What a world is made from.
#[derive(Clone)]
pub struct Recipe {
    pub head: [u8; HEAD_BYTES],
    pub steps: Vec<[u8; STEP_BYTES]>,
}

#[derive(Clone)]
pub struct World {
    pub book: &'static Book,
    pub teams: Vec<&'static str>,
    pub lines: Vec<Line>,
    /// Where the clock is moved in the end.
    pub until: Option<i64>,
}

/// A line of the log.
#[derive(Clone)]
pub struct Line {
    pub text: String,
    /// Index of the team that it is about.
    pub team: Option<usize>,
    /// None: it cannot be read from the line.
    pub recorded: Option<i64>,
    /// A trial with this id was asked for.
    pub trial: Option<String>,
}

pub const HEAD_BYTES: usize = 20;
pub const STEP_BYTES: usize = 14;
pub const EVENTS: RangeInclusive<usize> = 5..=40;

const TEAMS: [&str; 4] = ["team-1", "b", "\u{e9}quipe/3", "Team \"4\""];
const APPS: [&str; 2] = ["app", "other"];
const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
const SKEW: i64 = 300_000;
const HORIZON: i64 = 35 * DAY;

pub fn recipes() -> impl Strategy<Value = Recipe> {
    let steps = proptest::collection::vec(any::<[u8; STEP_BYTES]>(), EVENTS);
    (any::<[u8; HEAD_BYTES]>(), steps).prop_map(|(head, steps)| Recipe { head, steps })
}

impl Recipe {
    pub fn random(random: &mut Random) -> Recipe {
        let count = EVENTS.start() + random.below(EVENTS.end() - EVENTS.start() + 1);
        let mut byte = || random.next() as u8;
        Recipe {
            head: std::array::from_fn(|_| byte()),
            steps: (0..count)
                .map(|_| std::array::from_fn(|_| byte()))
                .collect(),
        }
    }
}

/// A failing world is shown as its book and its log.
impl std::fmt::Debug for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let world = World::make(self);
        let number = books()
            .iter()
            .position(|book| std::ptr::eq(book, world.book));
        let until = world.until.map(format_instant);
        let log = String::from_utf8_lossy(&world.log()).into_owned();
        write!(f, "book {number:?} until {until:?}\n{log}")
    }
}

impl World {
    pub fn make(recipe: &Recipe) -> World {
        let mut dice = Dice::new(&recipe.head);
        let book = dice.one_of(&[&books()[0], &books()[1], &books()[2]]);
        let launch = book.rates.launch.expect("a launch").millis();
        let teams = TEAMS[..dice.below(4) + 1].to_vec();
        let newest = book.rates.cards.last().expect("a card").effective_from;
        let start = dice.one_of(&[
            launch + 30 * DAY,
            launch - 20 * DAY,
            launch - HOUR,
            launch + 55 * DAY - HOUR,
            launch + 69 * DAY,
            newest.millis() - HOUR,
            launch - 70 * DAY,
        ]);
        let until = dice.one_of(&[None, Some(0), Some(DAY), Some(40 * DAY), Some(400 * DAY)]);
        let mut maker = Maker {
            book,
            teams: &teams,
            lines: Vec::new(),
            told: Vec::new(),
            now: start,
            clock: start,
        };
        for team in 0..teams.len() {
            maker.set_up(team, &mut dice);
        }
        for step in &recipe.steps {
            maker.step(&mut Dice::new(step));
        }
        World {
            book,
            until: until.map(|later| maker.clock + later),
            lines: maker.lines,
            teams,
        }
    }

    pub fn log(&self) -> Vec<u8> {
        self.lines
            .iter()
            .flat_map(|line| line.text.bytes())
            .collect()
    }

    /// The log of one team: every other line only moves the clock as it did.
    pub fn log_of(&self, team: usize) -> Vec<u8> {
        let mut log = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            match line.recorded {
                Some(recorded) if line.team != Some(team) => {
                    let time = format_instant(recorded);
                    let tick = json!({
                        "specversion": "1.0", "type": "meterfold.clock-tick.v1",
                        "source": "/alone", "id": number.to_string(), "time": time,
                    });
                    log += &format!("{tick}\n");
                }
                _ => log += &line.text,
            }
        }
        log.into_bytes()
    }
}

/// Decisions from bytes.
struct Dice<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl<'a> Dice<'a> {
    fn new(bytes: &'a [u8]) -> Dice<'a> {
        Dice { bytes, next: 0 }
    }

    fn below(&mut self, count: usize) -> usize {
        let byte = self.bytes[self.next % self.bytes.len()];
        // A second turn over the bytes tells something new.
        let turn = self.next / self.bytes.len();
        self.next += 1;
        (usize::from(byte) / (1 + 7 * turn)) % count
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// What an event says beside its envelope's times.
#[derive(Clone)]
struct Told {
    team: usize,
    source: &'static str,
    id: String,
    kind: &'static str,
    time: i64,
    data: Value,
    clock: i64,
}

struct Maker<'a> {
    book: &'static Book,
    teams: &'a [&'static str],
    lines: Vec<Line>,
    told: Vec<Told>,
    /// Recorded time of the last line.
    now: i64,
    clock: i64,
}

impl Maker<'_> {
    /// What most stories begin with, so that few events are enough to come far.
    fn set_up(&mut self, team: usize, dice: &mut Dice) {
        let events: &[(&'static str, Value)] = &[
            ("hub-created", json!({"hub_id": "hub"})),
            ("app-migrated", json!({"app_id": "app"})),
            ("offering-enrolled", json!({"offering": "prepay"})),
            ("offering-enrolled", json!({"offering": "free"})),
            ("offering-enrolled", postpay("US", None)),
            ("offering-enrolled", postpay("JP", Some("JPY"))),
            ("tokens-purchased", json!({"tokens": 100})),
            ("tokens-adjusted", json!({"delta": "3"})),
            (
                "credits-purchased",
                json!({"channel": "forge_team", "pack": 100, "packs": 1, "account_kind": "forge"}),
            ),
        ];
        let chosen: &[usize] = dice.one_of(&[
            &[0, 1, 2, 6][..],
            &[0, 1, 4],
            &[0, 1, 3],
            &[0, 1, 4, 7],
            &[0, 1, 5, 6],
            &[8],
            &[0, 1, 2, 7],
            &[],
        ]);
        for index in chosen {
            let (kind, data) = events[*index].clone();
            let id = format!("s{}", self.lines.len());
            self.tell(Told {
                team,
                source: "/a",
                id,
                kind,
                time: self.now,
                data,
                clock: self.clock,
            });
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        let recorded = self.recorded(dice);
        self.clock = self.clock.max(recorded);
        self.now = recorded;
        let team = dice.below(self.teams.len());
        let time = self.time(recorded, dice);
        let (kind, data) = self.content(dice);
        let mut told = Told {
            team,
            source: "/a",
            id: format!("e{}", self.lines.len()),
            kind,
            time,
            data,
            clock: self.clock,
        };
        let earlier = match self.told.len() {
            0 => None,
            count => Some(self.told[dice.below(count)].clone()),
        };
        match (dice.below(12), earlier) {
            // The same again, as it was and with other content.
            (8, Some(earlier)) => told = earlier,
            (9, Some(earlier)) => {
                told = Told {
                    time: earlier.time,
                    ..earlier
                };
                told.data = other_content(&told.data);
            }
            // The same id elsewhere.
            (10, Some(earlier)) => {
                told.id = earlier.id;
                told.source = "/b";
            }
            (11, Some(earlier)) => told.id = earlier.id,
            _ => {}
        }
        if dice.below(24) == 23 {
            self.tell_garbage(dice);
        } else {
            self.tell(told);
        }
    }

    fn recorded(&self, dice: &mut Dice) -> i64 {
        let next_boundary = self
            .book
            .boundaries
            .iter()
            .find(|boundary| **boundary > self.clock);
        match dice.below(18) {
            0..=3 => self.clock,
            4 => self.clock + 1,
            5 => self.clock + HOUR,
            6 => self.clock + dice.one_of(&[DAY, 9 * DAY, 20 * DAY]),
            7 => self.clock + HORIZON + dice.one_of(&[0, DAY]),
            8..=13 => {
                let offset = dice.one_of(&[0, -1, 1, -SKEW]);
                next_boundary
                    .map_or(self.clock, |next| next + offset)
                    .max(self.clock)
            }
            14 => self.clock - dice.one_of(&[1, HOUR, 3 * DAY]),
            // Where an id is forgotten.
            15 | 16 => {
                let folded_at = self.told.first().map_or(self.clock, |told| told.clock);
                let forgotten = next_midnight(folded_at) + HORIZON + SKEW;
                (forgotten + dice.one_of(&[0, -1, 1])).max(self.clock)
            }
            // A year of validity and the end of a lot.
            _ => {
                let bought = self.told.last().map_or(self.clock, |told| told.time);
                (add_months(bought, 12) + dice.one_of(&[0, -1])).max(self.clock)
            }
        }
    }

    fn time(&self, recorded: i64, dice: &mut Dice) -> i64 {
        let nudge = dice.one_of(&[0, -1, 1]);
        let boundaries = &self.book.boundaries;
        let last_boundary = boundaries
            .iter()
            .rev()
            .find(|boundary| **boundary <= recorded);
        // Late, under the card before: what it carried may have moved on.
        let card = self.book.rates.card_at(Instant::from_millis(recorded));
        let card = card.map(|card| self.book.rates.card(card).effective_from.millis());
        match dice.below(18) {
            16 | 17 => card.map_or(recorded, |from| from + nudge.min(0)),
            0..=8 => recorded,
            9 => recorded + SKEW,
            10 => recorded + SKEW + 1,
            11 | 12 => last_boundary.map_or(recorded, |last| last + nudge),
            13 => self.clock - HORIZON + nudge,
            14 => match dice.below(4) {
                // Before the first card.
                3 => self.book.rates.cards[0].effective_from.millis() - 1,
                _ => recorded - 4 * DAY,
            },
            _ => recorded - dice.one_of(&[1, HOUR, 20 * DAY]),
        }
    }

    fn content(&self, dice: &mut Dice) -> (&'static str, Value) {
        let soon = |dice: &mut Dice, clock: i64| {
            let later = dice.one_of(&[0, 1, HOUR, DAY, 30 * DAY, -1]);
            let boundary = self
                .book
                .boundaries
                .iter()
                .find(|boundary| **boundary > clock);
            let instant =
                boundary.map_or(clock, |next| if later == 0 { *next } else { clock + later });
            json!(format_instant(instant))
        };
        match dice.below(40) {
            0..=15 => ("api-call", self.usage(dice, 1)),
            16..=18 => ("usage-corrected", self.usage(dice, -1)),
            19 => ("usage-corrected", self.usage(dice, 1)),
            20 | 21 => {
                let tokens = dice.one_of(&[100, 99, 101, 250, 1]);
                let mut data = json!({"tokens": tokens});
                if dice.below(2) == 1 {
                    data["expires_at"] = soon(dice, self.clock);
                }
                ("tokens-purchased", data)
            }
            22..=24 => {
                let delta = dice.one_of(&[
                    "1", "-1", "3", "-3", "0.5", "-100", "0", "7.000001", "-0.25",
                ]);
                let mut data = json!({"delta": delta});
                if dice.below(8) == 7 {
                    data["purpose"] = json!("subscription");
                }
                ("tokens-adjusted", data)
            }
            25..=27 => {
                let data = match dice.below(8) {
                    0 => postpay("US", None),
                    1 => postpay("JP", Some("JPY")),
                    2 => postpay("DE", Some("EUR")),
                    3 => postpay(
                        dice.one_of(&["XX", "GB", "CH"]),
                        Some(dice.one_of(&["USD", "XXX"])),
                    ),
                    4 | 5 => json!({"offering": "prepay"}),
                    _ => json!({"offering": "free"}),
                };
                ("offering-enrolled", data)
            }
            28 => ("postpay-cancelled", json!({})),
            29 | 30 => ("standing-changed", json!({"good": dice.below(2) == 1})),
            31 | 32 => ("downgrade-requested", json!({})),
            33 => (
                "hub-created",
                json!({"hub_id": dice.one_of(&["hub", "hub-2"])}),
            ),
            34 => {
                let mut data = json!({"app_id": dice.one_of(&APPS)});
                if dice.below(2) == 1 {
                    data["hub_id"] = json!(dice.one_of(&["hub", "hub-2"]));
                }
                ("app-migrated", data)
            }
            35 => {
                let credits = dice.one_of(&[1, 25]);
                (
                    "trial-started",
                    json!({"credits": credits, "ends_at": soon(dice, self.clock)}),
                )
            }
            36 | 37 => {
                let channel = dice.one_of(&[
                    "forge_team",
                    "direct_sales",
                    "deals",
                    "store",
                    "account_page",
                    "nobody",
                ]);
                let kind = dice.one_of(&["forge", "enterprise", "subscription", "maintenance"]);
                let pack = dice.one_of(&[100, 7, 5_000]);
                let mut data =
                    json!({"channel": channel, "pack": pack, "packs": 1, "account_kind": kind});
                if dice.below(4) == 3 {
                    data["amount"] = json!(dice.one_of(&["160", "16000", "17000.00", "1088.5"]));
                }
                ("credits-purchased", data)
            }
            38 => ("credits-transferred", json!({"to": "b", "credits": 5})),
            _ => ("clock-tick", json!({})),
        }
    }

    fn usage(&self, dice: &mut Dice, sign: i64) -> Value {
        // Few meters, so that usage adds up.
        let calls = &self.book.calls;
        let call = &calls[dice.one_of(&[0, 0, 0, 5, 5, 0, 6, 7, 8, 9, 1]) % calls.len()];
        let (unit, tokens, cap) = call.terms[dice.one_of(&[0, 0, 1, 2, 3]) % call.terms.len()];
        let quantity = match dice.below(16) {
            0 | 1 => unit,
            2 => 1,
            3 => unit - 1,
            4 => unit + 1,
            // Exactly what 100, 3 and 1 tokens pay for.
            5 | 6 => unit * 100 / tokens,
            7 => unit * 3 / tokens,
            8 => unit * 101 / tokens,
            9 | 10 => cap,
            11 => cap - 1,
            12 => cap + 1,
            13 => 0,
            14 => dice.one_of(&[1_000_000_000_000_000, 1_000_000_000_000_001, -1]),
            _ => unit / 2,
        };
        let mut data: Map<String, Value> = call.data.clone();
        data.insert(
            "app_id".into(),
            json!(APPS[usize::from(dice.below(10) == 9)]),
        );
        data.insert("quantity".into(), json!(sign * quantity));
        match dice.below(12) {
            9 => drop(data.insert("status".into(), json!("failed"))),
            10 => drop(data.insert("http_status".into(), json!(500))),
            11 => drop(data.remove("path")),
            _ => {}
        }
        Value::Object(data)
    }

    fn tell(&mut self, told: Told) {
        let mut event = json!({
            "specversion": "1.0", "id": told.id, "source": told.source,
            "type": format!("meterfold.{}.v1", told.kind),
            "time": format_instant(told.time), "data": told.data,
        });
        let is_tick = told.kind == "clock-tick";
        if !is_tick {
            event["subject"] = json!(self.teams[told.team]);
        }
        if told.time != self.now {
            event["recordedtime"] = json!(format_instant(self.now));
        }
        self.lines.push(Line {
            text: format!("{event}\n"),
            team: (!is_tick).then_some(told.team),
            recorded: Some(self.now),
            trial: (told.kind == "trial-started").then(|| told.id.clone()),
        });
        self.told.push(told);
    }

    /// A line that is no event; some of them tell when they were recorded.
    fn tell_garbage(&mut self, dice: &mut Dice) {
        let mut team = None;
        let now = format_instant(self.now);
        let id = self.lines.len();
        let (text, is_recorded) = match dice.below(6) {
            0 => (
                format!("{{\"specversion\":\"1.0\",\"id\":\"e{id}\",\"recordedtime\":\"{now}\"}}"),
                true,
            ),
            1 => {
                let event = json!({
                    "specversion": "1.0", "id": format!("e{id}"), "source": "/a", "time": now,
                    "type": "meterfold.nothing.v1", "subject": TEAMS[0],
                });
                team = Some(0);
                (event.to_string(), true)
            }
            2 => ("{".to_string(), false),
            3 => (
                format!("{{\"recordedtime\":\"{now}\",\"a\":1,\"a\":2}}"),
                false,
            ),
            4 => (format!("[\"{now}\"]"), false),
            _ => ("null".to_string(), false),
        };
        self.lines.push(Line {
            text: text + "\n",
            team,
            recorded: is_recorded.then_some(self.now),
            trial: None,
        });
    }
}

fn postpay(country: &str, currency: Option<&str>) -> Value {
    let mut data = json!({
        "offering": "postpay", "country": country, "payment_method": "credit_card", "good_standing": true,
    });
    if let Some(currency) = currency {
        data["currency"] = json!(currency);
    }
    data
}

/// Data that differs in one member that counts, if there is one.
fn other_content(data: &Value) -> Value {
    let mut other = data.clone();
    match data["quantity"].as_i64() {
        Some(quantity) => other["quantity"] = json!(if quantity == 1 { 2 } else { 1 }),
        None if data["tokens"].is_number() => other["tokens"] = json!(1_000),
        None => other["reason"] = json!("another"),
    }
    other
}
