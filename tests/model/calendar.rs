//! Instants, months and the RFC 3339 spelling of both, for the reference model (`fold.md` 1).
//!
//! An instant is a number of milliseconds since 1970-01-01T00:00:00Z. Everything is proleptic
//! Gregorian and UTC.

pub const SECOND: i64 = 1_000;
pub const HOUR: i64 = 3_600 * SECOND;
pub const DAY: i64 = 24 * HOUR;

/// A UTC calendar month, counted from year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(pub i64);

impl Month {
    /// A month beyond every instant that an input can name.
    pub const MAX: Month = Month(9_999 * 12);

    pub fn of(instant: i64) -> Month {
        let (year, month, _) = date_of(instant.div_euclid(DAY));
        Month(year * 12 + month - 1)
    }

    pub fn next(self) -> Month {
        Month(self.0 + 1)
    }

    pub fn previous(self) -> Month {
        Month(self.0 - 1)
    }

    /// The first instant of the month.
    pub fn start(self) -> i64 {
        day_number(self.0.div_euclid(12), self.0.rem_euclid(12) + 1, 1) * DAY
    }

    /// The first instant after the month.
    pub fn end(self) -> i64 {
        self.next().start()
    }

    pub fn text(self) -> String {
        format!(
            "{:04}-{:02}",
            self.0.div_euclid(12),
            self.0.rem_euclid(12) + 1
        )
    }
}

/// Days since 1970-01-01 of a date.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    // Counting years from March puts the leap day last, so that a year's days before a month need
    // no exception.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + (day - 1) - 719_468
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a number of days since 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    while day_number(year, 1, 1) > days {
        year -= 1;
    }
    while day_number(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && day_number(year, month + 1, 1) <= days {
        month += 1;
    }
    (year, month, days - day_number(year, month, 1) + 1)
}

/// The same time of day `months` calendar months later, clamped to the month's last day (`fold.md`
/// 1).
pub fn add_months(instant: i64, months: i64) -> i64 {
    let (year, month, day) = date_of(instant.div_euclid(DAY));
    let target = year * 12 + month - 1 + months;
    let (year, month) = (target.div_euclid(12), target.rem_euclid(12) + 1);
    day_number(year, month, day.min(days_in_month(year, month))) * DAY + instant.rem_euclid(DAY)
}

/// The first UTC midnight after an instant, never the instant itself.
pub fn next_midnight(instant: i64) -> i64 {
    (instant.div_euclid(DAY) + 1) * DAY
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.digits](Z|±HH:MM)`; finer than a millisecond is cut off
/// (`interfaces.md` 1).
pub fn parse_instant(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape_holds = bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't')
        && bytes[13] == b':'
        && bytes[16] == b':';
    if !shape_holds {
        return None;
    }
    let (year, month, day) = (
        digits(&bytes[0..4])?,
        digits(&bytes[5..7])?,
        digits(&bytes[8..10])?,
    );
    let (hour, minute, second) = (
        digits(&bytes[11..13])?,
        digits(&bytes[14..16])?,
        digits(&bytes[17..19])?,
    );
    let date_is_real = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !date_is_real || hour > 23 || minute > 59 || second > 59 {
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
        for place in 0..3 {
            let digit = if place < count {
                i64::from(rest[1 + place] - b'0')
            } else {
                0
            };
            millis = millis * 10 + digit;
        }
        rest = &rest[1 + count..];
    }

    let offset = match rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60 * SECOND;
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let local =
        day_number(year, month, day) * DAY + ((hour * 60 + minute) * 60 + second) * SECOND + millis;
    let instant = local - offset;
    (0..day_number(2200, 1, 1) * DAY)
        .contains(&instant)
        .then_some(instant)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let mut value = 0;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(value)
}

/// RFC 3339 with `Z`, milliseconds only when they are not zero.
pub fn format_instant(instant: i64) -> String {
    let (year, month, day) = date_of(instant.div_euclid(DAY));
    let within = instant.rem_euclid(DAY);
    let (seconds, millis) = (within / SECOND, within % SECOND);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if millis == 0 {
        String::new()
    } else {
        format!(".{millis:03}")
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}
