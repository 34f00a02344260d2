//! How many lines of which sort a stream has, and when it begins and ends.

use super::joining::{Joining, Slots};
use crate::billing::time::{Instant, MILLIS_PER_DAY, Month};

const TICK_EVERY_MILLIS: i64 = 7 * MILLIS_PER_DAY;

/// Parts of 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u64);

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub seed: u64,
    pub teams: u32,
    pub events: u64,
    pub first_month: Month,
    pub last_month: Month,
    /// Duplicates and malformed lines together are at most [`Share::HALF`].
    pub duplicates: Share,
    pub malformed: Share,
    pub late: Share,
}

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub teams: u32,
    pub start: Instant,
    pub end: Instant,
    pub slots: Slots,
    /// Lines that are neither on-boarding nor a tick, nor one of the two below.
    pub traffic: u64,
    pub duplicates: u64,
    pub malformed: u64,
    pub late: Share,
}

/// The lines asked for do not even hold the on-boarding of all teams and the ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFewEvents {
    pub needed: u64,
}

impl Plan {
    pub fn new(request: &Request) -> Result<Plan, TooFewEvents> {
        let &Request {
            seed,
            teams,
            events,
            ..
        } = request;
        let start = request.first_month.start();
        let end = request.last_month.end();
        let slots = Slots::new(start, teams);
        let on_boarding = Joining::new(seed, slots).count() as u64;
        let ticks = ticks(start, end).len() as u64;
        let fixed = on_boarding + ticks;
        let needed = fixed_to_all(fixed, request.duplicates.0 + request.malformed.0);
        if events < needed {
            return Err(TooFewEvents { needed });
        }
        let duplicates = request.duplicates.of(events);
        let malformed = request.malformed.of(events);
        Ok(Plan {
            seed,
            teams,
            start,
            end,
            slots,
            traffic: events - fixed - duplicates - malformed,
            duplicates,
            malformed,
            late: request.late,
        })
    }

    /// Lines that are neither on-boarding nor a tick.
    pub fn paced(&self) -> u64 {
        self.traffic + self.duplicates + self.malformed
    }

    pub fn ticks(&self) -> Vec<Instant> {
        ticks(self.start, self.end)
    }
}

/// Midnights, one a week.
fn ticks(start: Instant, end: Instant) -> Vec<Instant> {
    (1..)
        .map(|week| start.plus_millis(week * TICK_EVERY_MILLIS))
        .take_while(|&at| at < end)
        .collect()
}

/// Fewest lines of which `fixed` are left when `parts` of 10,000 are taken.
fn fixed_to_all(fixed: u64, parts: u64) -> u64 {
    (fixed * Share::WHOLE.0).div_ceil(Share::WHOLE.0 - parts)
}

impl Share {
    pub const NONE: Share = Share(0);
    pub const HALF: Share = Share(5_000);
    pub const WHOLE: Share = Share(10_000);

    /// Reads a percentage of at most two decimals: `0`, `2.5`, `100`.
    pub fn parse(text: &str) -> Option<Share> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str, digits| {
            (1..=digits).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(whole, 3) || !is_number(fraction, 2) {
            return None;
        }
        let parts: u64 = format!("{whole}{fraction:0<2}").parse().ok()?;
        (parts <= Share::WHOLE.0).then_some(Share(parts))
    }

    /// Parts of 10,000.
    pub const fn parts(self) -> u64 {
        self.0
    }

    fn of(self, count: u64) -> u64 {
        count * self.0 / Share::WHOLE.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        let month = |text| Month::parse(text).expect("a month");
        Request {
            seed: 1,
            teams: 100,
            events: 10_000,
            first_month: month("2026-01"),
            last_month: month("2026-03"),
            duplicates: Share::NONE,
            malformed: Share::NONE,
            late: Share::NONE,
        }
    }

    #[test]
    fn reads_percentages() {
        for (text, parts) in [
            ("0", Some(0)),
            ("0.5", Some(50)),
            ("2.25", Some(225)),
            ("100", Some(10_000)),
            ("007", Some(700)),
            ("100.01", None),
            ("1.234", None),
            ("", None),
            (".5", None),
            ("5.", None),
            ("-1", None),
            ("+1", None),
            ("1e1", None),
            ("5%", None),
        ] {
            assert_eq!(Share::parse(text), parts.map(Share), "{text}");
        }
    }

    #[test]
    fn all_lines_are_accounted_for() {
        let request = Request {
            duplicates: Share(123),
            malformed: Share(77),
            ..request()
        };
        let plan = Plan::new(&request).expect("enough");
        let on_boarding = Joining::new(1, plan.slots).count() as u64;
        assert_eq!(
            plan.paced() + on_boarding + plan.ticks().len() as u64,
            10_000
        );
        assert_eq!((plan.duplicates, plan.malformed), (123, 77));
    }

    #[test]
    fn the_number_needed_is_enough_and_less_is_not() {
        for parts in [0, 1, 333, 5_000] {
            let too_few = Request {
                duplicates: Share(parts),
                events: 1,
                ..request()
            };
            let TooFewEvents { needed } = Plan::new(&too_few).expect_err("too few");
            assert!(
                Plan::new(&Request {
                    events: needed,
                    ..too_few
                })
                .is_ok()
            );
            let less = Plan::new(&Request {
                events: needed - 1,
                ..too_few
            });
            assert_eq!(less.err(), Some(TooFewEvents { needed }));
        }
    }
}
