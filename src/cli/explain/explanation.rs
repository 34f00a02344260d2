//! What an explanation holds: how one month of one team came about, in the fold's own numbers.
//!
//! Nothing here is calculated from prices or rules a second time: every number is one that the
//! fold posted, or the difference between two states of it. [`super::proof`] sees to it that the
//! sums are those of the invoice.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::billing::amount::{Overflow, Tokens};
use crate::billing::event::Purpose;
use crate::billing::invoice::{Invoice, InvoiceLine};
use crate::billing::lot::{Lot, LotKind};
use crate::billing::month::{Booked, LineKey};
use crate::billing::rate_book::{MeterNo, RateBook};
use crate::billing::tier::Tier;
use crate::billing::time::{Instant, Month};
use crate::processor::audit::chain::OperatorDecision;
use crate::wire::meta::Witness;

use super::proof::invoice_lines;

pub struct Explanation {
    pub book: Arc<RateBook>,
    pub team: Box<str>,
    pub month: Month,
    /// Only this meter is shown.
    pub meter: Option<MeterNo>,
    /// Up to where the log was folded.
    pub clock: Instant,
    pub closes_at: Instant,
    pub outcome: Outcome,
    pub at_close: AtClose,
    /// At the month's last instant, or at the clock if that is earlier; None: nothing was known of
    /// the team while the month was open.
    pub tier: Option<Tier>,
    /// Where the team pays taxes, if it is known.
    pub country: Option<Box<str>>,
    /// Sorted as on an invoice: lines, then adjustments by month of usage.
    pub lines: Vec<Line>,
    /// By meter id.
    pub free: Vec<(MeterNo, FreeUse)>,
    /// By day of the month (from 1), then meter id.
    pub days: Vec<((u8, MeterNo), Day)>,
    /// Lots that lines and adjustments drew, in draw order.
    pub lots: Vec<(LotKey, LotUse)>,
    /// Usage of this month that other months booked, since this one was closed.
    pub booked_later: Vec<((Month, LineKey), Later)>,
    /// What was not charged, by kind, reason and meter.
    pub tallies: Vec<(TallyKey, Tally)>,
    pub happenings: Vec<Happening>,
    /// Happenings beyond [`HAPPENINGS_MAX`].
    pub happenings_left_out: u64,
    /// Of a log: what its journal was folded up to.
    pub journal: Option<Journal>,
}

/// A partition's journal, which the fold of an explanation has come out equal to.
pub struct Journal {
    /// The newest commit and the digest of the chain up to it.
    pub head: Witness,
    /// The commit whose kept state was the start; None: the genesis.
    pub start: Option<u64>,
    pub decisions: Vec<OperatorDecision>,
}

/// What the month comes to.
pub enum Outcome {
    /// As its monthly-invoice event says.
    Invoiced(Box<Invoice>),
    /// It closed without an invoice.
    ClosedWithout(Why),
    /// It is open: what the invoice would say if it closed at the clock, and whether there would
    /// be one.
    Open(Box<Invoice>, WouldBeInvoiced),
}

/// Why a closed month has no invoice (`fold.md` 7 and 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing of the team was folded while the month was open.
    UnknownWhileOpen,
    /// It lies before launch, and postpay with it.
    Legacy,
    /// Postpay was on at no instant of it, and nothing postpaid is booked to it.
    NothingPostpaid,
}

/// What the team held when the month closed, or at the clock.
#[derive(Clone, Debug, Default)]
pub struct AtClose {
    pub balance: Tokens,
    pub debt: Tokens,
    /// Sorted by meter id.
    pub carry_over: Vec<(MeterNo, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldBeInvoiced(pub bool);

/// A line of the month, or an adjustment in it.
#[derive(Clone, Debug)]
pub struct Line {
    /// The month itself, but for adjustments.
    pub usage_month: Month,
    pub key: LineKey,
    pub booked: Booked,
    pub events: u64,
    /// Recorded after the month of usage had ended.
    pub late: u64,
    pub first: Position,
    pub last: Position,
    /// Ascending by the order of folding.
    pub stretches: Vec<Stretch>,
    pub drawn: BTreeMap<LotKey, Tokens>,
    /// What corrections gave back as lots.
    pub given_back: Tokens,
    /// Corrections, and for an adjustment every event.
    pub causes: Vec<Happening>,
    pub causes_left_out: u64,
    /// As the invoice has it, if there is one.
    pub invoiced: Option<InvoiceLine>,
}

/// A stretch of cumulative usage that events of a line moved without a gap (`fold.md` 2).
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    pub era: u32,
    pub from: u64,
    pub to: u64,
    /// It began at what another card had carried over.
    pub is_carried_in: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct FreeUse {
    /// Of the card that was met last.
    pub cap: Option<u64>,
    pub used: i128,
    pub over_cap: i128,
    /// Events of either that were recorded after the month had ended.
    pub late: u64,
    /// Where the cap was reached, and the usage there.
    pub reached: Option<(Position, u64)>,
}

/// A meter's usage of one day.
#[derive(Clone, Copy, Debug, Default)]
pub struct Day {
    pub events: u64,
    pub free: i128,
    pub over_cap: i128,
    /// Usage, charge and who pays, as booked to the month.
    pub booked: Booked,
}

/// What tells lots apart. Lots that agree in all of it are drawn as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LotKey {
    pub purpose: Purpose,
    pub kind: LotKind,
    pub expires_at: Instant,
    pub size: Tokens,
    pub id: Box<str>,
    pub purchased_at: Instant,
}

#[derive(Clone, Debug, Default)]
pub struct LotUse {
    /// Drawn by lines and adjustments of the month.
    pub drawn: Tokens,
    /// Left when the month closed, or at the clock.
    pub remaining: Tokens,
    /// The event that brought it.
    pub bought: Option<Position>,
}

#[derive(Clone, Debug)]
pub struct Later {
    pub booked: Booked,
    pub events: u64,
    pub first: Position,
    pub last: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TallyKey {
    /// A disposition, or `dead_letter`.
    pub kind: &'static str,
    /// Of a refusal or a dead letter.
    pub reason: Option<&'static str>,
    pub meter: Option<MeterNo>,
}

#[derive(Clone, Copy, Debug)]
pub struct Tally {
    pub events: u64,
    /// Sum of the quantities of usage.
    pub quantity: i128,
    pub first: Position,
    pub last: Position,
}

/// Something that matters for the month.
#[derive(Clone, Debug)]
pub struct Happening {
    /// None: a timer.
    pub event: Option<(Position, Box<str>)>,
    /// When it happened or took effect.
    pub time: Instant,
    /// The clock that it met.
    pub clock: Instant,
    pub what: String,
}

/// Where a record lies: its input, and its line or offset there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub input: u32,
    pub line: u64,
}

/// How positions are shown: `events.ndjson:12`, or `api-calls-3-1200`.
pub struct Inputs {
    pub names: Vec<String>,
    pub separator: char,
}

/// Happenings that are kept: the latest would be left out.
pub const HAPPENINGS_MAX: usize = 500;
/// The same for the causes of one line.
pub const CAUSES_MAX: usize = 100;

impl Inputs {
    pub fn show(&self, position: Position) -> String {
        let name = usize::try_from(position.input)
            .ok()
            .and_then(|index| self.names.get(index));
        let name = name.map_or_else(|| position.input.to_string(), Clone::clone);
        format!("{name}{}{}", self.separator, position.line)
    }
}

impl LotKey {
    pub fn of(lot: &Lot) -> LotKey {
        LotKey {
            purpose: lot.purpose,
            kind: lot.kind,
            expires_at: lot.expires_at,
            size: lot.size,
            id: lot.id.clone(),
            purchased_at: lot.purchased_at,
        }
    }

    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            LotKind::Credit => "credit",
            LotKind::Token => "token",
        }
    }
}

impl Explanation {
    /// Puts all lists into the order in which they are shown: by ids, as an invoice does.
    pub fn sort_as_invoiced(&mut self) {
        let book = &self.book;
        let month = self.month;
        let meter_id = |meter: MeterNo| book.meter_id(meter);
        let ids = |key: LineKey| (meter_id(key.meter), book.card(key.card).id.as_ref());
        self.lines.sort_by_key(|line| {
            let adjusted = line.is_adjustment(month).then_some(line.usage_month);
            (adjusted, ids(line.key))
        });
        self.free.sort_by_key(|(meter, _)| meter_id(*meter));
        self.days
            .sort_by_key(|((day, meter), _)| (*day, meter_id(*meter)));
        self.booked_later
            .sort_by_key(|((booked_to, key), _)| (*booked_to, ids(*key)));
        self.tallies
            .sort_by_key(|(key, _)| (key.kind, key.reason, key.meter.map(meter_id)));
    }

    /// Where one meter is asked for, keeps the lots that its lines drew, and what they drew.
    pub fn keep_lots_of_shown_lines(&mut self) -> Result<(), Overflow> {
        let mut drawn: BTreeMap<LotKey, Tokens> = BTreeMap::new();
        for line in self.shown_lines() {
            for (lot, part) in &line.drawn {
                let sum = drawn.entry(lot.clone()).or_default();
                *sum = sum.plus(*part)?;
            }
        }
        self.lots.retain_mut(|(lot, used)| {
            used.drawn = drawn.remove(lot).unwrap_or_default();
            !used.drawn.is_zero()
        });
        Ok(())
    }

    /// Gives each line the row of the invoice that it explains.
    pub fn add_amounts(&mut self) {
        let rows: Vec<(Month, InvoiceLine)> = self
            .invoice()
            .map(|invoice| invoice_lines(invoice).map(|(month, row)| (month, row.clone())))
            .into_iter()
            .flatten()
            .collect();
        for line in &mut self.lines {
            let of_line = |(month, row): &&(Month, InvoiceLine)| {
                (*month, row.key) == (line.usage_month, line.key)
            };
            line.invoiced = rows.iter().find(of_line).map(|(_, row)| row.clone());
        }
    }

    /// The invoice, or what it would be.
    pub fn invoice(&self) -> Option<&Invoice> {
        match &self.outcome {
            Outcome::Invoiced(invoice) | Outcome::Open(invoice, _) => Some(invoice),
            Outcome::ClosedWithout(_) => None,
        }
    }

    pub fn is_closed(&self) -> bool {
        !matches!(self.outcome, Outcome::Open(..))
    }

    /// Whether `meter` is to be shown.
    pub fn shows(&self, meter: MeterNo) -> bool {
        self.meter.is_none_or(|only| only == meter)
    }

    /// Lines that are to be shown.
    pub fn shown_lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| self.shows(line.key.meter))
    }

    /// Tokens charged on each day of the month, with who pays.
    pub fn charges_by_day(&self) -> BTreeMap<u8, Booked> {
        let mut by_day: BTreeMap<u8, Booked> = BTreeMap::new();
        for ((day, meter), row) in &self.days {
            if self.shows(*meter) {
                // The sum over the month was found to fit, so that of a day does.
                let _ = by_day.entry(*day).or_default().add(&row.booked);
            }
        }
        by_day
    }
}

impl Line {
    pub fn is_adjustment(&self, month: Month) -> bool {
        self.usage_month != month
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_name_lines_of_files_and_offsets_of_partitions() {
        let position = Position { input: 1, line: 12 };
        let show = |names: [&str; 2], separator| {
            let names = names.map(String::from).to_vec();
            Inputs { names, separator }.show(position)
        };
        assert_eq!(show(["a.ndjson", "b.ndjson"], ':'), "b.ndjson:12");
        assert_eq!(show(["api-calls-3", "accounts-3"], '-'), "accounts-3-12");
    }
}
