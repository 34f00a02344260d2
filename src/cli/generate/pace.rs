//! When lines are recorded: instants in order, by the hour of the day and the day of the week.
//!
//! Each hour gets its share of the total by weight; within an hour the instants are spread evenly
//! with some jitter. So the stream comes out in order without a sort, whatever its length.

use super::random::Random;
use crate::billing::time::{Instant, MILLIS_PER_DAY, MILLIS_PER_HOUR};

/// Weight of each hour (UTC) of a working day: Europe's morning to America's afternoon is busiest.
const HOUR_WEIGHTS: [u64; 24] = [
    12, 13, 14, 14, 15, 18, 26, 38, 48, 52, 50, 48, 50, 56, 60, 58, 52, 44, 36, 30, 24, 18, 14, 12,
];
const WEEKEND_DIVISOR: u64 = 3;

pub struct Pace {
    random: Random,
    start: Instant,
    hours: u64,
    ramp_hours: u64,
    total: u64,
    weight_sum: u128,
    /// Of the hours before the next one.
    weight_before: u128,
    /// The hour after the current one.
    next_hour: u64,
    place_in_hour: u64,
    count_in_hour: u64,
}

impl Pace {
    /// `total` instants of `[start, end)`, whole hours. The weights rise over the first `ramp_hours`
    /// hours; the first hour has none.
    pub fn new(start: Instant, end: Instant, ramp_hours: u64, total: u64, random: Random) -> Pace {
        let hours = (end.millis() - start.millis()) / MILLIS_PER_HOUR;
        let mut pace = Pace {
            random,
            start,
            hours: hours as u64,
            ramp_hours,
            total,
            weight_sum: 0,
            weight_before: 0,
            next_hour: 0,
            place_in_hour: 0,
            count_in_hour: 0,
        };
        pace.weight_sum = (0..pace.hours).map(|hour| pace.weight(hour)).sum();
        pace
    }

    fn weight(&self, hour: u64) -> u128 {
        let at = self.hour_start(hour).millis();
        let of_hour = HOUR_WEIGHTS[(at.rem_euclid(MILLIS_PER_DAY) / MILLIS_PER_HOUR) as usize];
        // 1970-01-01 was a Thursday.
        let is_weekend = matches!(at.div_euclid(MILLIS_PER_DAY).rem_euclid(7), 2 | 3);
        let of_day = if is_weekend {
            of_hour / WEEKEND_DIVISOR
        } else {
            of_hour
        };
        u128::from(of_day * hour.min(self.ramp_hours))
    }

    fn hour_start(&self, hour: u64) -> Instant {
        self.start.plus_millis(hour as i64 * MILLIS_PER_HOUR)
    }

    /// How many instants lie before the hour whose preceding weights are `weight_before`.
    fn count_before(&self, weight_before: u128) -> u64 {
        (u128::from(self.total) * weight_before / self.weight_sum) as u64
    }
}

impl Iterator for Pace {
    type Item = Instant;

    fn next(&mut self) -> Option<Instant> {
        while self.place_in_hour == self.count_in_hour {
            if self.next_hour == self.hours {
                return None;
            }
            let weight_after = self.weight_before + self.weight(self.next_hour);
            self.count_in_hour =
                self.count_before(weight_after) - self.count_before(self.weight_before);
            self.weight_before = weight_after;
            self.place_in_hour = 0;
            self.next_hour += 1;
        }
        let hour_millis = MILLIS_PER_HOUR as u64;
        let jitter = self.random.below(hour_millis);
        let into_hour = (self.place_in_hour * hour_millis + jitter) / self.count_in_hour;
        self.place_in_hour += 1;
        Some(
            self.hour_start(self.next_hour - 1)
                .plus_millis(into_hour as i64),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::time::Month;

    fn instants(total: u64) -> Vec<Instant> {
        let month = Month::parse("2026-02").expect("a month");
        Pace::new(month.start(), month.end(), 48, total, Random::new(1)).collect()
    }

    #[test]
    fn gives_the_number_asked_for_in_order_and_within_the_period() {
        for total in [0, 1, 2, 1000, 123_457] {
            let instants = instants(total);
            assert_eq!(instants.len() as u64, total);
            assert!(instants.is_sorted());
            let month = Month::parse("2026-02").expect("a month");
            assert!(
                instants.iter().all(
                    |at| (month.start().plus_millis(MILLIS_PER_HOUR)..month.end()).contains(at)
                )
            );
        }
    }

    #[test]
    fn days_are_busier_than_nights_and_weekends() {
        let instants = instants(100_000);
        let on = |from: &str, to: &str| {
            let (from, to) = (Instant::parse(from), Instant::parse(to));
            instants
                .iter()
                .filter(|&&at| from <= Some(at) && Some(at) < to)
                .count()
        };
        let afternoon = on("2026-02-11T14:00:00Z", "2026-02-11T15:00:00Z");
        let night = on("2026-02-11T00:00:00Z", "2026-02-11T01:00:00Z");
        assert!(afternoon > 4 * night, "{afternoon}, {night}");
        let wednesday = on("2026-02-11T00:00:00Z", "2026-02-12T00:00:00Z");
        let sunday = on("2026-02-15T00:00:00Z", "2026-02-16T00:00:00Z");
        assert!(wednesday > 2 * sunday, "{wednesday}, {sunday}");
        let first_monday = on("2026-02-02T00:00:00Z", "2026-02-03T00:00:00Z");
        assert!(first_monday < wednesday, "{first_monday}, {wednesday}");
    }
}
