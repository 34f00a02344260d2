//! An explanation that does not add up to the invoice is a broken invariant, never an output.
//!
//! Two sums of the same fold are compared: what was posted event by event, and what its months,
//! lots and monthly-invoice event say.

use crate::billing::account::TeamAccount;
use crate::billing::amount::{Money, Tokens};
use crate::billing::context::Broken;
use crate::billing::invoice::{Invoice, InvoiceLine};
use crate::billing::month::{Booked, LineKey, TeamMonth};
use crate::billing::rate_book::RateBook;
use crate::billing::time::Month;

use super::explanation::{Explanation, Line};

/// Compares `explanation` with the month as the fold left it, and with its invoice.
pub fn check(explanation: &Explanation, account: Option<&TeamAccount>) -> Result<(), Broken> {
    let empty = TeamMonth::new(explanation.month);
    let month = account
        .and_then(|account| account.month(explanation.month))
        .unwrap_or(&empty);
    lines_are_booked(explanation, month)?;
    free_usage_is_counted(explanation, month)?;
    for line in &explanation.lines {
        is_covered(line, &explanation.book)?;
    }
    days_add_up(explanation)?;
    explanation
        .invoice()
        .map_or(Ok(()), |invoice| invoice_adds_up(explanation, invoice))
}

fn lines_are_booked(explanation: &Explanation, month: &TeamMonth) -> Result<(), Broken> {
    let told = |line: &Line| ((line.usage_month, line.key), line.booked);
    let mut told: Vec<_> = explanation.lines.iter().map(told).collect();
    let lines = month.lines.iter();
    let lines = lines.map(|(key, booked)| ((month.month, *key), *booked));
    let mut booked: Vec<_> = lines.chain(month.adjustments.iter().copied()).collect();
    told.sort_unstable_by_key(|(key, _)| *key);
    booked.sort_unstable_by_key(|(key, _)| *key);
    holds(
        told == booked,
        "explain: the sums of postings are the month's lines and adjustments",
    )
}

fn free_usage_is_counted(explanation: &Explanation, month: &TeamMonth) -> Result<(), Broken> {
    let counted = |(meter, usage): &(_, u64)| (*meter, i128::from(*usage));
    let is_equal = |told: Vec<(_, i128)>, counters: &[(_, u64)]| {
        let mut told = told;
        let mut counters: Vec<_> = counters.iter().map(counted).collect();
        told.retain(|(_, usage)| *usage != 0);
        counters.retain(|(_, usage)| *usage != 0);
        told.sort_unstable();
        counters.sort_unstable();
        told == counters
    };
    let free = explanation.free.iter();
    let used = free.clone().map(|(meter, free)| (*meter, free.used));
    let over_cap = free.map(|(meter, free)| (*meter, free.over_cap));
    holds(
        is_equal(used.collect(), &month.free_used) && is_equal(over_cap.collect(), &month.over_cap),
        "explain: the sums of free usage are the month's counters",
    )
}

/// Its stretches make its charge, and its lots what was prepaid.
fn is_covered(line: &Line, book: &RateBook) -> Result<(), Broken> {
    let card = book.card(line.key.card);
    let meter = card
        .meter(line.key.meter)
        .ok_or(Broken::Invariant("a charged meter is one of its card"))?;
    let mut charge = Tokens::ZERO;
    for stretch in &line.stretches {
        let to = card.charged(meter, stretch.to)?;
        charge = charge.plus(to.minus(card.charged(meter, stretch.from)?)?)?;
    }
    let mut prepaid = line.given_back.negated();
    for part in line.drawn.values() {
        prepaid = prepaid.plus(*part)?;
    }
    holds(
        charge == line.booked.charge && prepaid == line.booked.prepaid,
        "explain: units make a line's charge, lots what of it was prepaid",
    )
}

fn days_add_up(explanation: &Explanation) -> Result<(), Broken> {
    let (mut of_days, mut of_lines) = (Booked::default(), Booked::default());
    for (_, day) in &explanation.days {
        of_days.add(&day.booked)?;
    }
    let own = explanation.lines.iter();
    for line in own.filter(|line| !line.is_adjustment(explanation.month)) {
        of_lines.add(&line.booked)?;
    }
    holds(
        of_days == of_lines,
        "explain: the sums of the days are those of the lines",
    )
}

fn invoice_adds_up(explanation: &Explanation, invoice: &Invoice) -> Result<(), Broken> {
    let book = &explanation.book;
    let minor_digits = book.minor_digits(&invoice.currency).unwrap_or(2);
    let mut subtotal = Money::zero(minor_digits);
    let told = explanation
        .lines
        .iter()
        .filter(|line| !line.booked.is_zero());
    let mut told: Vec<(Month, LineKey, Booked)> = told
        .map(|line| (line.usage_month, line.key, line.booked))
        .collect();
    for (usage_month, line) in invoice_lines(invoice) {
        let key = (usage_month, line.key, line.booked);
        let index = told.iter().position(|told| *told == key);
        let index = index.ok_or(Broken::Invariant(
            "explain: every line of the invoice is explained",
        ))?;
        told.swap_remove(index);
        let price = line.unit_price.unwrap_or_default();
        let amount = line.booked.postpaid.amount(price, minor_digits)?;
        holds(
            amount == line.amount,
            "explain: an amount is postpaid times unit price, rounded once",
        )?;
        subtotal = subtotal.plus(amount)?;
    }
    let tax = invoice.tax.map(|(_, amount)| amount);
    let total = tax.map_or(Ok(subtotal), |tax| subtotal.plus(tax))?;
    holds(
        told.is_empty() && subtotal == invoice.subtotal && total == invoice.total,
        "explain: the lines make the invoice's subtotal and total",
    )
}

/// Lines and adjustments, each with the month of its usage.
pub fn invoice_lines(invoice: &Invoice) -> impl Iterator<Item = (Month, &InvoiceLine)> {
    let lines = invoice.lines.iter().map(|line| (invoice.month, line));
    let adjustments = invoice.adjustments.iter();
    lines.chain(adjustments.map(|(month, line)| (*month, line)))
}

fn holds(condition: bool, invariant: &'static str) -> Result<(), Broken> {
    match condition {
        true => Ok(()),
        false => Err(Broken::Invariant(invariant)),
    }
}
