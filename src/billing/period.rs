//! Half-open periods by effective time: postpay on, standing bad (`fold.md` 3).

use smallvec::SmallVec;

use super::time::{Instant, Month};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Instant,
    /// None: open.
    pub to: Option<Instant>,
}

/// Periods in order; each new bound is at or after the one before it, so that they never overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Periods(SmallVec<[Period; 1]>);

impl Periods {
    pub fn from_stored(periods: SmallVec<[Period; 1]>) -> Periods {
        Periods(periods)
    }

    pub fn as_slice(&self) -> &[Period] {
        &self.0
    }

    pub fn is_open(&self) -> bool {
        self.0.last().is_some_and(|period| period.to.is_none())
    }

    pub fn contains(&self, at: Instant) -> bool {
        let begun = self.0.partition_point(|period| period.from <= at);
        let last_begun = begun.checked_sub(1).and_then(|index| self.0.get(index));
        last_begun.is_some_and(|period| period.to.is_none_or(|to| at < to))
    }

    /// Whether `at` is a bound of any period.
    pub fn has_bound_at(&self, at: Instant) -> bool {
        self.0
            .iter()
            .rev()
            .any(|period| period.from == at || period.to == Some(at))
    }

    /// Opens a period unless one is open. Returns its bound.
    pub fn open(&mut self, given: Instant) -> Option<Instant> {
        if self.is_open() {
            return None;
        }
        let from = self
            .0
            .last()
            .and_then(|period| period.to)
            .map_or(given, |previous| given.max(previous));
        self.0.push(Period { from, to: None });
        Some(from)
    }

    /// Closes the open period, if any. Returns its bound.
    pub fn close(&mut self, given: Instant) -> Option<Instant> {
        let period = self.0.last_mut().filter(|period| period.to.is_none())?;
        let to = given.max(period.from);
        period.to = Some(to);
        Some(to)
    }

    /// The first month at or after `month` that holds an instant of a period.
    pub fn first_month_from(&self, month: Month) -> Option<Month> {
        let start = month.start();
        let reaches = |period: &&Period| period.to.is_none_or(|to| to > start && to > period.from);
        let period = self.0.iter().find(reaches)?;
        Some(period.from.month().max(month))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn bounds_never_go_back() {
        let mut periods = Periods::default();
        assert_eq!(periods.open(at(10)), Some(at(10)));
        assert_eq!(periods.open(at(11)), None);
        assert_eq!(periods.close(at(5)), Some(at(10)));
        assert_eq!(periods.close(at(12)), None);
        assert_eq!(periods.open(at(7)), Some(at(10)));
        assert_eq!(periods.close(at(20)), Some(at(20)));
        let held: Vec<bool> = [9, 10, 19, 20].map(|t| periods.contains(at(t))).to_vec();
        assert_eq!(held, [false, true, true, false]);
        assert!(periods.has_bound_at(at(20)) && !periods.has_bound_at(at(19)));
    }

    #[test]
    fn an_empty_period_holds_no_instant_of_any_month() {
        let january = Month::from_index(0);
        let empty = Periods::from_stored(smallvec::smallvec![Period {
            from: at(10),
            to: Some(at(10)),
        }]);
        assert_eq!(empty.first_month_from(january), None);
        let to_month_end = Periods::from_stored(smallvec::smallvec![Period {
            from: at(10),
            to: Some(january.end()),
        }]);
        assert_eq!(to_month_end.first_month_from(january), Some(january));
        assert_eq!(to_month_end.first_month_from(january.next()), None);
        let open = Periods::from_stored(smallvec::smallvec![Period {
            from: at(10),
            to: None,
        }]);
        assert_eq!(open.first_month_from(january.next()), Some(january.next()));
    }
}
