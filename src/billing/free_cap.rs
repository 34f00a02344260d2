//! How far a team has come towards the caps of free use in a month (B12, B14, B36).

use super::month::TeamMonth;
use super::rate_book::{MeterNo, RateBook};
use super::time::Instant;

/// A meter whose free use ends for the month at `cap`, while the team is Free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterCap {
    pub meter: MeterNo,
    pub cap: u64,
    /// Taken free; the event that crosses the cap is free as a whole, so this may be more.
    pub used: u64,
    /// The end of the month, once what the cap suspends is suspended.
    pub resumes_at: Option<Instant>,
}

impl MeterCap {
    pub fn remaining(&self) -> u64 {
        self.cap.saturating_sub(self.used)
    }
}

/// The caps of a month under the card in force at `clock`, or at the end of a month that was over
/// before; sorted by meter id. Meters without a cap are left out.
pub fn caps(month: &TeamMonth, book: &RateBook, clock: Instant) -> Vec<MeterCap> {
    let last = month.month.end().minus_millis(1);
    let at = clock.max(month.month.start()).min(last);
    let Some(card) = book.card_at(at) else {
        return Vec::new();
    };
    let rows = book.card(card).meters.iter();
    let mut caps: Vec<MeterCap> = rows
        .filter_map(|row| {
            Some(MeterCap {
                meter: row.meter,
                cap: row.free_cap?,
                used: month.free_used(row.meter),
                resumes_at: month.is_capped(row.scope).then(|| month.month.end()),
            })
        })
        .collect();
    caps.sort_unstable_by_key(|cap| book.meter_id(cap.meter));
    caps
}
