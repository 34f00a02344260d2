//! Tables of lines: usage by meter and rate card, who paid, and on an invoice what it costs.

use crate::billing::month::{Booked, LineKey};
use crate::billing::rate_book::{CardNo, MeterNo, RateBook, Regime};
use crate::billing::tier::Tier;
use crate::billing::time::Month;

use super::super::html::{grouped, write_table};

pub struct Row {
    /// The month of the usage, where it is another than that of the table.
    pub of: Option<Month>,
    pub key: LineKey,
    pub booked: Booked,
    /// Price and amount of an invoice.
    pub priced: Option<[String; 2]>,
}

/// What charges are counted in: credits before launch, tokens since.
#[derive(Clone, Copy)]
pub struct Unit {
    pub plural: &'static str,
    /// Names of columns.
    pub charge: &'static str,
    prepaid: &'static str,
    price: &'static str,
}

impl Unit {
    const CREDITS: Unit = Unit {
        plural: "credits",
        charge: "Credits",
        prepaid: "From credits",
        price: "Price per credit",
    };
    const TOKENS: Unit = Unit {
        plural: "tokens",
        charge: "Tokens",
        prepaid: "From tokens",
        price: "Price per token",
    };

    pub const fn of_tier(tier: Tier) -> Unit {
        match tier {
            Tier::Legacy => Unit::CREDITS,
            Tier::Unenrolled | Tier::Free | Tier::Paid => Unit::TOKENS,
        }
    }

    /// Of the lines of a table: those of one month have cards of one regime, or of both in the month of launch.
    fn of_lines(mut keys: impl Iterator<Item = LineKey>, book: &RateBook) -> Unit {
        match keys.all(|key| book.card(key.card).regime == Regime::Legacy) {
            true => Unit::CREDITS,
            false => Unit::TOKENS,
        }
    }
}

/// Rows of one kind: all of other months or none, all priced or none.
pub fn write_lines(caption: &str, rows: Vec<Row>, book: &RateBook, page: &mut String) {
    let Some(first) = rows.first() else {
        return;
    };
    let unit = Unit::of_lines(rows.iter().map(|row| row.key), book);
    let mut columns = Vec::new();
    if first.of.is_some() {
        columns.push("Month");
    }
    let covered = ["Postpaid", "Not covered"];
    columns.extend(
        ["Meter", "Used", unit.charge, unit.prepaid]
            .into_iter()
            .chain(covered),
    );
    if first.priced.is_some() {
        columns.extend([unit.price, "Amount"]);
    }
    let cells = rows.iter().map(|row| {
        let is_alike = |other: &&Row| (other.of, other.key.meter) == (row.of, row.key.meter);
        let is_twice = rows.iter().filter(is_alike).count() > 1;
        let of = row.of.map(|month| month.to_string());
        let booked = booked_cells(row, is_twice, book);
        let priced = row.priced.iter().flatten().cloned();
        of.into_iter().chain(booked).chain(priced).collect()
    });
    write_table(caption, &columns, cells.collect(), page);
}

/// A meter that has lines under several cards is named with each.
fn booked_cells(row: &Row, is_twice: bool, book: &RateBook) -> [String; 6] {
    let LineKey { meter, card } = row.key;
    let name = book.meter_id(meter);
    let booked = &row.booked;
    [
        match is_twice {
            true => format!("{name} ({})", book.card(card).id),
            false => name.to_owned(),
        },
        measured_under(card, booked.usage, meter, book),
        grouped(booked.charge),
        grouped(booked.prepaid),
        grouped(booked.postpaid),
        grouped(booked.uncharged),
    ]
}

/// Usage with the measure that a card gives the meter.
pub fn measured_under(card: CardNo, usage: i128, meter: MeterNo, book: &RateBook) -> String {
    match book.card(card).meter(meter) {
        Some(row) if usage == 1 => format!("1 {}", row.measure),
        Some(row) => format!("{} {}s", grouped(usage), row.measure),
        None => grouped(usage),
    }
}
