//! From an explanation to the sections that a person reads, in the order of the questions: what is
//! the amount, how did each line come about, what was used, what was free, what was not charged,
//! what happened.

use crate::billing::amount::print_price;
use crate::billing::invoice::Invoice;

use crate::cli::audit::report::told;

use super::document::{Document, Section, Table};
use super::explanation::{Explanation, Happening, Inputs, Line, Outcome, WouldBeInvoiced};
use super::line::{digits, exact_amount, how_it_came_about, money, tokens};
use super::words;

pub fn of(explanation: &Explanation, inputs: &Inputs) -> Document {
    let mut sections = vec![month(explanation), amounts(explanation)];
    let lines = explanation.shown_lines();
    sections.extend(lines.map(|line| how_it_came_about(explanation, line, inputs)));
    sections.push(days(explanation));
    sections.push(free(explanation, inputs));
    sections.push(lots(explanation, inputs));
    sections.push(not_charged(explanation, inputs));
    sections.push(booked_later(explanation, inputs));
    sections.push(happened(explanation, inputs));
    sections.push(at_the_close(explanation));
    sections.retain(|section| !section.is_empty());
    let amount = match (&explanation.outcome, explanation.invoice()) {
        (Outcome::Invoiced(_), Some(invoice)) => money(invoice, invoice.total),
        (Outcome::Open(_, WouldBeInvoiced(true)), Some(invoice)) => {
            format!("{} so far", money(invoice, invoice.total))
        }
        _ => "no invoice".into(),
    };
    Document {
        title: format!("{} of {}: {amount}", explanation.month, explanation.team),
        sections,
    }
}

fn month(explanation: &Explanation) -> Section {
    let mut section = Section::new("");
    let closes_at = explanation.closes_at;
    section.fact(
        "state",
        match &explanation.outcome {
            Outcome::Invoiced(_) => format!("closed {closes_at}, invoiced"),
            Outcome::ClosedWithout(why) => format!(
                "closed {closes_at}, without an invoice: {}",
                words::without_invoice(*why)
            ),
            Outcome::Open(_, WouldBeInvoiced(would_be)) => format!(
                "open until {closes_at}; as of {}{}",
                explanation.clock,
                match would_be {
                    true => ", amounts may change",
                    false => ", and no invoice would come",
                }
            ),
        },
    );
    if let Some(tier) = explanation.tier {
        section.fact("tier", tier.name());
    }
    if let Some(country) = &explanation.country {
        section.fact("country", country.as_ref());
    }
    section.fact("rate book", explanation.book.id.as_ref());
    section.fact("folded up to", explanation.clock.to_string());
    if let Some(journal) = &explanation.journal {
        section.fact("journal head", journal.head.to_string());
        if let Some(start) = journal.start {
            let told = "what came before is gone and shows in sums only";
            section.fact(
                "folded from",
                format!("the state kept after commit {start}; {told}"),
            );
        }
        for decision in &journal.decisions {
            let commit = decision.sequence;
            section.fact(
                "by an operator",
                format!("commit {commit}: {}", told(decision)),
            );
        }
    }
    if let Some(meter) = explanation.meter {
        section.fact("only", explanation.book.meter_id(meter));
    }
    section
}

fn amounts(explanation: &Explanation) -> Section {
    let mut section = Section::new("Amounts");
    if explanation.shown_lines().next().is_none() {
        section.fact("lines", "none: nothing was charged in this month");
    }
    let book = &explanation.book;
    let invoice = explanation.invoice();
    let mut columns = vec![
        "meter",
        "rate card",
        "month of usage",
        "usage",
        "tokens",
        "prepaid",
        "postpaid",
        "uncharged",
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in explanation.shown_lines() {
        let booked = &line.booked;
        let mut row = vec![
            book.meter_id(line.key.meter).into(),
            book.card(line.key.card).id.to_string(),
            line.usage_month.to_string(),
            booked.usage.to_string(),
            booked.charge.to_string(),
            booked.prepaid.to_string(),
            booked.postpaid.to_string(),
            booked.uncharged.to_string(),
        ];
        if let Some(invoice) = invoice {
            row.extend(priced(explanation, invoice, line));
        }
        rows.push(row);
    }
    if let Some(invoice) = invoice {
        columns.extend(["unit price", "exact", "amount"]);
        rows.extend(sums(explanation, invoice).map(|sum| {
            let mut row = vec![String::new(); columns.len()];
            let at = row.len() - sum.len();
            row[at..].clone_from_slice(&sum);
            row
        }));
    }
    if let (Some(country), Some((rate, _))) = (
        &explanation.country,
        invoice.and_then(|invoice| invoice.tax),
    ) {
        let card = book.card_at(explanation.month.end().minus_millis(1));
        let card = card.map_or("", |card| book.card(card).id.as_ref());
        section.fact(
            "tax",
            format!("{rate} on the subtotal in {country}, by the month's last rate card, {card}"),
        );
    }
    section.table(Table {
        columns,
        name_columns: 3,
        rows,
    });
    section
}

/// Unit price, exact amount and amount of a line; a line of zeros is not on the invoice.
fn priced(explanation: &Explanation, invoice: &Invoice, line: &Line) -> [String; 3] {
    let none = || "-".to_string();
    let Some(row) = &line.invoiced else {
        return [none(), none(), none()];
    };
    let minor_digits = digits(&explanation.book, invoice);
    [
        row.unit_price
            .map_or_else(none, |price| print_price(price, minor_digits)),
        exact_amount(explanation, invoice, row).unwrap_or_else(none),
        row.amount.to_string(),
    ]
}

/// Subtotal, tax and total: (name, exact, amount).
fn sums(explanation: &Explanation, invoice: &Invoice) -> impl Iterator<Item = [String; 3]> {
    let of_all = match explanation.meter {
        Some(_) => " of all meters",
        None => "",
    };
    let subtotal = [
        format!("subtotal{of_all}"),
        String::new(),
        invoice.subtotal.to_string(),
    ];
    let tax = invoice.tax.map(|(rate, amount)| {
        let exact = invoice.subtotal.exact_tax(rate);
        [
            format!("tax {rate}"),
            exact.map_or("-".into(), |exact| exact.to_string()),
            amount.to_string(),
        ]
    });
    let total = [
        format!("total{of_all}, {}", invoice.currency),
        String::new(),
        invoice.total.to_string(),
    ];
    [Some(subtotal), tax, Some(total)].into_iter().flatten()
}

fn days(explanation: &Explanation) -> Section {
    let mut section = Section::new("Usage by day");
    let book = &explanation.book;
    let shown = explanation.days.iter();
    let rows = shown
        .filter(|((_, meter), _)| explanation.shows(*meter))
        .map(|((day, meter), row)| {
            vec![
                format!("{}-{day:02}", explanation.month),
                book.meter_id(*meter).into(),
                row.events.to_string(),
                row.free.to_string(),
                row.over_cap.to_string(),
                row.booked.usage.to_string(),
                row.booked.charge.to_string(),
                row.booked.prepaid.to_string(),
                row.booked.postpaid.to_string(),
                row.booked.uncharged.to_string(),
            ]
        });
    section.table(Table {
        columns: vec![
            "day",
            "meter",
            "events",
            "free",
            "over cap",
            "rated",
            "tokens",
            "prepaid",
            "postpaid",
            "uncharged",
        ],
        name_columns: 2,
        rows: rows.collect(),
    });
    section
}

fn free(explanation: &Explanation, inputs: &Inputs) -> Section {
    let mut section = Section::new("Free allowance");
    let shown = explanation.free.iter();
    let rows = shown
        .filter(|(meter, _)| explanation.shows(*meter))
        .map(|(meter, free)| {
            let none = || "-".to_string();
            vec![
                explanation.book.meter_id(*meter).into(),
                free.reached
                    .map_or_else(none, |(position, _)| inputs.show(position)),
                free.cap.map_or_else(none, |cap| cap.to_string()),
                free.used.to_string(),
                free.cap
                    .map_or_else(none, |cap| (i128::from(cap) - free.used).max(0).to_string()),
                free.over_cap.to_string(),
                free.late.to_string(),
            ]
        });
    section.table(Table {
        columns: vec![
            "meter",
            "cap reached",
            "cap",
            "used free",
            "left",
            "over cap",
            "late events",
        ],
        name_columns: 2,
        rows: rows.collect(),
    });
    section
}

fn lots(explanation: &Explanation, inputs: &Inputs) -> Section {
    let mut section = Section::new("Lots drawn in this month");
    let rows = explanation.lots.iter().map(|(lot, used)| {
        vec![
            lot.id.to_string(),
            lot.kind_name().into(),
            used.bought
                .map_or("-".into(), |position| inputs.show(position)),
            lot.purchased_at.to_string(),
            lot.expires_at.to_string(),
            lot.size.to_string(),
            used.drawn.to_string(),
            used.remaining.to_string(),
        ]
    });
    section.table(Table {
        columns: vec![
            "lot", "kind", "event", "bought", "expires", "size", "drawn", "left",
        ],
        name_columns: 5,
        rows: rows.collect(),
    });
    section
}

fn not_charged(explanation: &Explanation, inputs: &Inputs) -> Section {
    let mut section = Section::new("Not charged");
    let rows = explanation
        .tallies
        .iter()
        .filter(|(key, _)| key.meter.is_none_or(|meter| explanation.shows(meter)))
        .map(|(key, tally)| {
            let meter = key
                .meter
                .map_or("-", |meter| explanation.book.meter_id(meter));
            vec![
                key.kind.to_string(),
                key.reason.unwrap_or("-").into(),
                words::why(key.kind, key.reason).into(),
                meter.into(),
                inputs.show(tally.first),
                inputs.show(tally.last),
                tally.events.to_string(),
                tally.quantity.to_string(),
            ]
        });
    section.table(Table {
        columns: vec![
            "what", "reason", "because", "meter", "first", "last", "events", "usage",
        ],
        name_columns: 6,
        rows: rows.collect(),
    });
    section
}

fn booked_later(explanation: &Explanation, inputs: &Inputs) -> Section {
    let mut section = Section::new("Usage of this month that later months adjust");
    let book = &explanation.book;
    let shown = explanation.booked_later.iter();
    let rows = shown
        .filter(|((_, key), _)| explanation.shows(key.meter))
        .map(|((booked_to, key), later)| {
            vec![
                booked_to.to_string(),
                book.meter_id(key.meter).into(),
                book.card(key.card).id.to_string(),
                inputs.show(later.first),
                inputs.show(later.last),
                later.events.to_string(),
                later.booked.usage.to_string(),
                later.booked.charge.to_string(),
            ]
        });
    section.table(Table {
        columns: vec![
            "booked to",
            "meter",
            "rate card",
            "first",
            "last",
            "events",
            "usage",
            "tokens",
        ],
        name_columns: 5,
        rows: rows.collect(),
    });
    section
}

fn happened(explanation: &Explanation, inputs: &Inputs) -> Section {
    let mut section = Section::new("What happened");
    section.table(happenings(&explanation.happenings, inputs));
    if explanation.happenings_left_out > 0 {
        section.fact(
            "left out",
            format!("{} more, later than these", explanation.happenings_left_out),
        );
    }
    section
}

pub fn happenings(happenings: &[Happening], inputs: &Inputs) -> Table {
    let rows = happenings.iter().map(|happening| {
        let (position, id) = match &happening.event {
            Some((position, id)) => (inputs.show(*position), id.to_string()),
            None => ("-".into(), "-".into()),
        };
        vec![
            position,
            id,
            happening.time.to_string(),
            happening.clock.to_string(),
            happening.what.clone(),
        ]
    });
    Table {
        columns: vec!["position", "event", "time", "clock", "what"],
        name_columns: 5,
        rows: rows.collect(),
    }
}

fn at_the_close(explanation: &Explanation) -> Section {
    let mut section = Section::new(match explanation.is_closed() {
        true => "At the close",
        false => "Now",
    });
    let at_close = &explanation.at_close;
    section.fact("balance", tokens(&at_close.balance));
    section.fact("debt", tokens(&at_close.debt));
    let carried = at_close.carry_over.iter();
    for (meter, usage) in carried.filter(|(meter, _)| explanation.shows(*meter)) {
        let name = explanation.book.meter_id(*meter);
        section.fact("carry-over", format!("{name} {usage}"));
    }
    section
}
