//! Instants and calendar months, UTC (`fold.md` 1).
//!
//! Pure calendar arithmetic on integers: no clock is read and no time-zone database is used.
//! Everything that reads or prints an instant, on any floor, does it here.
#![allow(
    clippy::arithmetic_side_effects,
    reason = "civil calendar: every input is bounded by the instant range, see the tests"
)]

use std::fmt;

pub const MILLIS_PER_SECOND: i64 = 1_000;
pub const MILLIS_PER_HOUR: i64 = 3_600_000;
pub const MILLIS_PER_DAY: i64 = 86_400_000;

/// A UTC instant in milliseconds since 1970-01-01. What is read lies before 2200-01-01; a
/// calculated instant may lie beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

/// A UTC calendar month `[start, next start)`, counted from 1970-01 = 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(i32);

impl Instant {
    pub const EPOCH: Instant = Instant(0);
    /// First instant that cannot be read: 2200-01-01T00:00:00Z.
    pub const END: Instant = Instant(7_258_118_400_000);

    pub const fn from_millis(millis: i64) -> Instant {
        Instant(millis)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    pub const fn plus_millis(self, millis: i64) -> Instant {
        Instant(self.0.saturating_add(millis))
    }

    pub const fn minus_millis(self, millis: i64) -> Instant {
        Instant(self.0.saturating_sub(millis))
    }

    pub fn month(self) -> Month {
        let (year, month, _) = civil_from_days(self.0.div_euclid(MILLIS_PER_DAY));
        Month((year - 1970) * 12 + month - 1)
    }

    /// The first UTC midnight after this instant.
    pub const fn next_midnight(self) -> Instant {
        Instant((self.0.div_euclid(MILLIS_PER_DAY) + 1) * MILLIS_PER_DAY)
    }

    /// The same time of day `months` later, clamped to the last day of that month.
    pub fn plus_months(self, months: u16) -> Instant {
        let days = self.0.div_euclid(MILLIS_PER_DAY);
        let (_, _, day) = civil_from_days(days);
        let target = Month(self.month().0 + i32::from(months));
        let length = (target.next().start().0 - target.start().0) / MILLIS_PER_DAY;
        let day = i64::from(day).min(length);
        Instant(target.start().0 + (day - 1) * MILLIS_PER_DAY + self.0.rem_euclid(MILLIS_PER_DAY))
    }

    /// Reads `YYYY-MM-DDTHH:MM:SS[.digits](Z|±HH:MM)` as `interfaces.md` 1 has it. Digits finer
    /// than a millisecond are cut off. None: not of this form, not a real date, or out of range.
    pub fn parse(text: &str) -> Option<Instant> {
        let bytes = text.as_bytes();
        if bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        if !matches!(bytes[10], b'T' | b't') || bytes[13] != b':' || bytes[16] != b':' {
            return None;
        }
        let year = i32::try_from(digits(&bytes[0..4])?).ok()?;
        let month = i32::try_from(digits(&bytes[5..7])?).ok()?;
        let day = i32::try_from(digits(&bytes[8..10])?).ok()?;
        let (hour, minute) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?);
        let second = digits(&bytes[17..19])?;
        if !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        if day < 1 || day > days_in_month(year, month) {
            return None;
        }
        let mut rest = &bytes[19..];
        let mut millis = 0;
        if rest[0] == b'.' {
            let count = rest[1..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if count == 0 {
                return None;
            }
            let mut weight = 100;
            for digit in &rest[1..=count.min(3)] {
                millis += i64::from(digit - b'0') * weight;
                weight /= 10;
            }
            rest = &rest[1 + count..];
        }
        let offset_minutes = match rest {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let minutes = hours * 60 + minutes;
                if *sign == b'+' { minutes } else { -minutes }
            }
            _ => return None,
        };
        let seconds = hour * 3600 + minute * 60 + second - offset_minutes * 60;
        let instant = Instant(
            days_from_civil(year, month, day) * MILLIS_PER_DAY
                + seconds * MILLIS_PER_SECOND
                + millis,
        );
        (Instant::EPOCH <= instant && instant < Instant::END).then_some(instant)
    }
}

impl Month {
    pub const fn from_index(index: i32) -> Month {
        Month(index)
    }

    /// Months since 1970-01.
    pub const fn index(self) -> i32 {
        self.0
    }

    pub fn start(self) -> Instant {
        let (year, month) = (1970 + self.0.div_euclid(12), self.0.rem_euclid(12) + 1);
        Instant(days_from_civil(year, month, 1) * MILLIS_PER_DAY)
    }

    /// First instant after the month.
    pub fn end(self) -> Instant {
        self.next().start()
    }

    pub const fn next(self) -> Month {
        Month(self.0 + 1)
    }

    pub const fn previous(self) -> Month {
        Month(self.0 - 1)
    }

    /// Reads `YYYY-MM`.
    pub fn parse(text: &str) -> Option<Month> {
        let instant = Instant::parse(&format!("{text}-01T00:00:00Z"))?;
        Some(instant.month())
    }
}

impl fmt::Display for Instant {
    /// RFC 3339 with `Z`; milliseconds, three digits, only when not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0.div_euclid(MILLIS_PER_DAY));
        let of_day = self.0.rem_euclid(MILLIS_PER_DAY);
        let (seconds, millis) = (of_day / MILLIS_PER_SECOND, of_day % MILLIS_PER_SECOND);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        // Digit by digit, since instants are most of what an account line prints.
        let mut text = *b"0000-00-00T00:00:00.000";
        put_digits(&mut text[0..4], i64::from(year));
        put_digits(&mut text[5..7], i64::from(month));
        put_digits(&mut text[8..10], i64::from(day));
        put_digits(&mut text[11..13], hour);
        put_digits(&mut text[14..16], minute);
        put_digits(&mut text[17..19], second);
        put_digits(&mut text[20..23], millis);
        let shown = if millis == 0 {
            &text[..19]
        } else {
            &text[..23]
        };
        f.write_str(std::str::from_utf8(shown).map_err(|_| fmt::Error)?)?;
        f.write_str("Z")
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}",
            1970 + self.0.div_euclid(12),
            self.0.rem_euclid(12) + 1
        )
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

/// The last decimal digits of `value`, as many as fit.
fn put_digits(text: &mut [u8], mut value: i64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

fn days_in_month(year: i32, month: i32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date.
fn days_from_civil(year: i32, month: i32, day: i32) -> i64 {
    // Years run from March, so that the leap day is the last day of its year.
    let year = i64::from(if month <= 2 { year - 1 } else { year });
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// (year, month, day) of a day since 1970-01-01.
fn civil_from_days(days: i64) -> (i32, i32, i32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let narrow = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
    (narrow(year), narrow(month), narrow(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::parse(text).unwrap_or_else(|| panic!("{text} is an instant"))
    }

    #[test]
    fn every_day_of_the_range_survives_printing_and_reading() {
        let mut day = Instant::EPOCH;
        let mut month = Month::from_index(-1);
        while day < Instant::END {
            assert_eq!(at(&day.to_string()), day);
            if day.month() != month {
                assert_eq!(day.month(), month.next());
                month = day.month();
                assert_eq!(month.start(), day);
                assert_eq!(Month::parse(&month.to_string()), Some(month));
            }
            assert_eq!(
                day.minus_millis(1).month(),
                day.minus_millis(1).next_midnight().minus_millis(1).month()
            );
            day = day.next_midnight();
        }
        assert_eq!(month.to_string(), "2199-12");
    }

    #[test]
    fn months_later_clamps_to_the_last_day() {
        for (from, months, to) in [
            ("2028-02-29T12:00:00Z", 12, "2029-02-28T12:00:00Z"),
            ("2026-01-31T23:59:59.999Z", 1, "2026-02-28T23:59:59.999Z"),
            ("2027-11-30T00:00:00Z", 3, "2028-02-29T00:00:00Z"),
            ("2026-01-05T09:00:00Z", 12, "2027-01-05T09:00:00Z"),
        ] {
            assert_eq!(at(from).plus_months(months), at(to));
        }
    }

    #[test]
    fn reads_offsets_fractions_and_lower_case() {
        assert_eq!(
            at("2026-01-10t10:00:00.1239z").to_string(),
            "2026-01-10T10:00:00.123Z"
        );
        assert_eq!(
            at("2026-01-10T01:00:00+23:59").to_string(),
            "2026-01-09T01:01:00Z"
        );
        assert_eq!(at("1969-12-31T23:00:00-01:00"), Instant::EPOCH);
        assert_eq!(
            at("2200-01-01T00:00:00.5+00:01").to_string(),
            "2199-12-31T23:59:00.500Z"
        );
    }

    #[test]
    fn refuses_what_is_not_an_instant() {
        for text in [
            "",
            "2026-01-10",
            "2026-01-10T10:00:00",
            "2026-01-10 10:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-10T24:00:00Z",
            "2026-01-10T10:00:60Z",
            "2026-01-10T10:00:00.Z",
            "2026-01-10T10:00:00+24:00",
            "2026-01-10T10:00:00+1:00",
            "2026-01-10T10:00:00+01:60",
            "2026-01-10T10:00:00ZZ",
            "+026-01-10T10:00:00Z",
            "1969-12-31T23:59:59Z",
            "2200-01-01T00:00:00Z",
            "2026-01-10T10:00:00\u{e9}Z",
            "2026-01-10T1\u{e9}:00:00Z",
            "2026-01-10T10:00:0 Z",
        ] {
            assert_eq!(Instant::parse(text), None, "{text}");
        }
    }
}
