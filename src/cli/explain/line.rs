//! The way from the events of one line to its amount, in the words of the rule book: rate card,
//! units and carry-over, who pays, and the one rounding.

use crate::billing::amount::print_price;
use crate::billing::invoice::{Invoice, InvoiceLine};
use crate::billing::rate_book::{ChargeMode, Meter, RateBook, RateCard, ShortfallPolicy};

use super::document::Section;
use super::explanation::{Explanation, Inputs, Line, LotKey, Stretch};
use super::sections::happenings;

/// Stretches of cumulative usage that are shown of a line.
const STRETCHES_MAX: usize = 12;

/// The way from the events of a line to its amount.
pub fn how_it_came_about(explanation: &Explanation, line: &Line, inputs: &Inputs) -> Section {
    let book = &explanation.book;
    let card = book.card(line.key.card);
    let heading = match line.is_adjustment(explanation.month) {
        false => format!("{} under {}", book.meter_id(line.key.meter), card.id),
        true => format!(
            "Adjustment for {}: {} under {}",
            line.usage_month,
            book.meter_id(line.key.meter),
            card.id
        ),
    };
    let mut section = Section::new(heading);
    if line.is_adjustment(explanation.month) {
        let closed = book.closes_at(line.usage_month);
        section.fact(
            "adjustment",
            format!(
                "{} was closed at {closed}; the earliest open month books it",
                line.usage_month
            ),
        );
    }
    if let Some(meter) = card.meter(line.key.meter) {
        section.fact("rate card", price_of(card, meter));
        let (first, last) = (inputs.show(line.first), inputs.show(line.last));
        let positions = match line.events {
            1 => first,
            _ => format!("{first} to {last}"),
        };
        let late = match line.late {
            late if late > 0 && !line.is_adjustment(explanation.month) => {
                format!("; {late} recorded after {} had ended", line.usage_month)
            }
            _ => String::new(),
        };
        section.fact("events", format!("{}, {positions}{late}", line.events));
        for stretch in line.stretches.iter().take(STRETCHES_MAX) {
            section.fact("metered", metered(card, meter, stretch));
        }
        let left_out = line.stretches.len().saturating_sub(STRETCHES_MAX);
        if left_out > 0 {
            section.fact("metered", format!("and {left_out} more stretches"));
        }
    }
    section.fact("charge", tokens(&line.booked.charge));
    for (lot, part) in &line.drawn {
        section.fact("drawn", format!("{part} from {}", lot_words(lot)));
    }
    if !line.given_back.is_zero() {
        section.fact(
            "given back",
            format!("{} as lots, by corrections", line.given_back),
        );
    }
    section.fact("prepaid", line.booked.prepaid.to_string());
    section.fact("postpaid", line.booked.postpaid.to_string());
    let uncharged = match card.shortfall_policy {
        _ if line.booked.uncharged.is_zero() => "",
        _ if line.booked.uncharged.is_negative() => ": corrections paid debt back",
        ShortfallPolicy::Carry => {
            ": no lot had anything left and postpay was not usable; debt until a purchase settles it"
        }
        ShortfallPolicy::WriteOff => {
            ": no lot had anything left and postpay was not usable; written off"
        }
    };
    section.fact("uncharged", format!("{}{uncharged}", line.booked.uncharged));
    if let (Some(invoice), Some(row)) = (explanation.invoice(), &line.invoiced) {
        section.fact("amount", amount(explanation, invoice, row));
    }
    section.table(happenings(&line.causes, inputs));
    if line.causes_left_out > 0 {
        section.fact(
            "causes",
            format!("{} more than are listed", line.causes_left_out),
        );
    }
    section
}

fn price_of(card: &RateCard, meter: &Meter) -> String {
    let mode = match card.charge_mode {
        ChargeMode::WholeUnit => "whole units",
        ChargeMode::Proportional => "in proportion, cut off at the micro-token",
    };
    format!(
        "{}, in force since {}: {} {} cost {}, {mode}",
        card.id,
        card.effective_from,
        meter.unit,
        plural(&meter.measure, meter.unit),
        tokens(&meter.tokens)
    )
}

/// How cumulative usage moved, and what that comes to (`fold.md` 2).
fn metered(card: &RateCard, meter: &Meter, stretch: &Stretch) -> String {
    let Stretch { from, to, .. } = *stretch;
    let measure = plural(&meter.measure, to);
    let moved = match stretch.era {
        0 | 1 => format!("{from} -> {to} {measure}"),
        era => format!("{from} -> {to} {measure} (entry {era} into Paid)"),
    };
    let came_from = match stretch.is_carried_in {
        true => ", begun at what the card before carried over",
        false => "",
    };
    match card.charge_mode {
        ChargeMode::WholeUnit => {
            let units = i128::from(to / meter.unit) - i128::from(from / meter.unit);
            let units = match units {
                1 => "1 unit".into(),
                units => format!("{units} units"),
            };
            format!(
                "{moved}: {units} x {}; carried in {}{came_from}, carried over {}",
                tokens(&meter.tokens),
                card.carry(meter, from),
                card.carry(meter, to)
            )
        }
        ChargeMode::Proportional => {
            let charged = |usage| card.charged(meter, usage).unwrap_or_default();
            format!(
                "{moved}{came_from}: {} -> {}",
                charged(from),
                tokens(&charged(to))
            )
        }
    }
}

/// Postpaid tokens times the unit price, and the one rounding.
fn amount(explanation: &Explanation, invoice: &Invoice, row: &InvoiceLine) -> String {
    let Some(price) = row.unit_price else {
        return format!(
            "{}: the rate card has no price in {}",
            row.amount, invoice.currency
        );
    };
    let minor_digits = digits(&explanation.book, invoice);
    let price = print_price(price, minor_digits);
    let product = format!("{} x {price}", row.booked.postpaid);
    match exact_amount(explanation, invoice, row) {
        Some(exact) if exact != row.amount.to_string() => format!(
            "{product} = {exact}, rounded half up to {}",
            money(invoice, row.amount)
        ),
        _ => format!("{product} = {}", money(invoice, row.amount)),
    }
}

/// Before rounding, at least to the minor unit; None where there is no price, or no room for all
/// its digits.
pub fn exact_amount(
    explanation: &Explanation,
    invoice: &Invoice,
    row: &InvoiceLine,
) -> Option<String> {
    let price = row.unit_price?;
    let exact = row.booked.postpaid.exact_amount(price)?;
    Some(print_price(exact, digits(&explanation.book, invoice)))
}

fn lot_words(lot: &LotKey) -> String {
    format!(
        "{} lot {} of {}, bought {}, expires {}",
        lot.kind_name(),
        lot.id,
        lot.size,
        lot.purchased_at,
        lot.expires_at
    )
}

pub fn digits(book: &RateBook, invoice: &Invoice) -> u32 {
    book.minor_digits(&invoice.currency).unwrap_or(2)
}

pub fn money(invoice: &Invoice, amount: impl std::fmt::Display) -> String {
    format!("{amount} {}", invoice.currency)
}

pub fn tokens(tokens: &impl std::fmt::Display) -> String {
    match tokens.to_string().as_str() {
        "1" => "1 token".into(),
        other => format!("{other} tokens"),
    }
}

/// Measures are plain English words.
fn plural(measure: &str, count: u64) -> String {
    match count {
        1 => measure.into(),
        _ => format!("{measure}s"),
    }
}
