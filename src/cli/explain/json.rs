//! An explanation as one JSON object, for programs.
//!
//! Tokens and money are strings, as in derived events; `invoice` is the data of the
//! `monthly-invoice` event, member by member, and absent where there is none.

use crate::billing::invoice::Invoice;
use crate::billing::month::Booked;
use crate::wire::derived::{write_booked, write_counters, write_invoice};
use crate::wire::object::Object;

use crate::cli::audit::report::write_decisions;

use super::explanation::{
    AtClose, Day, Explanation, FreeUse, Happening, Inputs, Line, LotKey, LotUse, Outcome, Position,
    Stretch, Tally, TallyKey, WouldBeInvoiced,
};
use super::line::exact_amount;
use super::words;

/// One line.
pub fn write(explanation: &Explanation, inputs: &Inputs) -> String {
    let mut out = Vec::new();
    let book = &explanation.book;
    let mut object = Object::begin(&mut out);
    object.string("team", &explanation.team);
    object.quoted("month", explanation.month);
    object.optional_string("only", explanation.meter.map(|meter| book.meter_id(meter)));
    object.string("rate_book", &book.id);
    object.quoted("folded_up_to", explanation.clock);
    object.quoted("closes_at", explanation.closes_at);
    object.literal("closed", explanation.is_closed());
    object.literal(
        "invoiced",
        matches!(
            explanation.outcome,
            Outcome::Invoiced(_) | Outcome::Open(_, WouldBeInvoiced(true))
        ),
    );
    let without = match explanation.outcome {
        Outcome::ClosedWithout(why) => Some(words::without_invoice(why)),
        _ => None,
    };
    object.optional_string("without_invoice_because", without);
    object.optional_string("tier", explanation.tier.map(|tier| tier.name()));
    object.optional_string("country", explanation.country.as_deref());
    object.list("lines", explanation.shown_lines(), |out, line| {
        write_line(explanation, line, inputs, out);
    });
    let days = explanation.days.iter();
    let days = days.filter(|((_, meter), _)| explanation.shows(*meter));
    object.list("days", days, |out, ((day, meter), row)| {
        write_day(explanation, *day, book.meter_id(*meter), row, out);
    });
    let free = explanation.free.iter();
    let free = free.filter(|(meter, _)| explanation.shows(*meter));
    object.list("free", free, |out, (meter, free)| {
        write_free(book.meter_id(*meter), free, inputs, out);
    });
    object.list("lots", &explanation.lots, |out, (lot, used)| {
        write_lot(lot, used, inputs, out);
    });
    let tallies = explanation.tallies.iter();
    let tallies = tallies.filter(|(key, _)| key.meter.is_none_or(|meter| explanation.shows(meter)));
    object.list("not_charged", tallies, |out, (key, tally)| {
        write_tally(explanation, key, tally, inputs, out);
    });
    let later = explanation.booked_later.iter();
    let later = later.filter(|((_, key), _)| explanation.shows(key.meter));
    object.list("booked_later", later, |out, ((booked_to, key), later)| {
        let mut object = Object::begin(out);
        object.quoted("booked_to", booked_to);
        write_booked(&mut object, *key, &later.booked, book);
        object.literal("events", later.events);
        write_range(&mut object, later.first, later.last, inputs);
        object.end();
    });
    object.list("happened", &explanation.happenings, |out, happening| {
        write_happening(happening, inputs, out);
    });
    object.literal("happened_left_out", explanation.happenings_left_out);
    let AtClose {
        balance,
        debt,
        carry_over,
    } = &explanation.at_close;
    object.quoted("balance", balance);
    object.quoted("debt", debt);
    write_counters(&mut object, "carry_over", carry_over, book);
    match explanation.invoice() {
        None => object.null("invoice"),
        Some(invoice) => object.object("invoice", |object| write_invoice(object, invoice, book)),
    }
    if let Some(journal) = &explanation.journal {
        object.quoted("journal_head", journal.head);
        object.optional_literal("from_commit", journal.start);
        write_decisions(&mut object, &journal.decisions);
    }
    object.end();
    out.push(b'\n');
    String::from_utf8_lossy(&out).into_owned()
}

fn write_line(explanation: &Explanation, line: &Line, inputs: &Inputs, out: &mut Vec<u8>) {
    let book = &explanation.book;
    let card = book.card(line.key.card);
    let mut object = Object::begin(out);
    object.quoted("usage_month", line.usage_month);
    object.literal("adjustment", line.is_adjustment(explanation.month));
    write_booked(&mut object, line.key, &line.booked, book);
    object.quoted("rate_card_since", card.effective_from);
    if let Some(meter) = card.meter(line.key.meter) {
        object.string("measure", &meter.measure);
        object.literal("unit", meter.unit);
        object.literal("tokens_per_unit", meter.tokens);
    }
    object.literal("events", line.events);
    object.literal("late", line.late);
    write_range(&mut object, line.first, line.last, inputs);
    object.list("metered", &line.stretches, |out, stretch| {
        write_stretch(explanation, line, stretch, out);
    });
    object.list("drawn", &line.drawn, |out, (lot, part)| {
        let mut object = Object::begin(out);
        object.string("lot", &lot.id);
        object.quoted("tokens", part);
        object.quoted("expires_at", lot.expires_at);
        object.end();
    });
    object.quoted("given_back", line.given_back);
    object.list("causes", &line.causes, |out, cause| {
        write_happening(cause, inputs, out);
    });
    object.literal("causes_left_out", line.causes_left_out);
    write_amount(&mut object, explanation, explanation.invoice(), line);
    object.end();
}

fn write_amount(
    object: &mut Object,
    explanation: &Explanation,
    invoice: Option<&Invoice>,
    line: &Line,
) {
    let row = line.invoiced.as_ref();
    let exact = invoice
        .zip(row)
        .and_then(|(invoice, row)| exact_amount(explanation, invoice, row));
    object.optional_quoted("exact", exact);
    object.optional_quoted("amount", row.map(|row| row.amount));
}

fn write_stretch(explanation: &Explanation, line: &Line, stretch: &Stretch, out: &mut Vec<u8>) {
    let card = explanation.book.card(line.key.card);
    let mut object = Object::begin(out);
    object.literal("era", stretch.era);
    object.literal("from", stretch.from);
    object.literal("to", stretch.to);
    if let Some(meter) = card.meter(line.key.meter) {
        object.literal("carried_in", card.carry(meter, stretch.from));
        object.literal("carried_over", card.carry(meter, stretch.to));
        let charged = |usage| card.charged(meter, usage).unwrap_or_default();
        object.quoted("charged_before", charged(stretch.from));
        object.quoted("charged_after", charged(stretch.to));
    }
    object.literal("from_card_before", stretch.is_carried_in);
    object.end();
}

fn write_day(explanation: &Explanation, day: u8, meter: &str, row: &Day, out: &mut Vec<u8>) {
    let Booked {
        usage,
        charge,
        prepaid,
        postpaid,
        uncharged,
    } = row.booked;
    let mut object = Object::begin(out);
    object.quoted("day", format_args!("{}-{day:02}", explanation.month));
    object.string("meter", meter);
    object.literal("events", row.events);
    object.literal("free", row.free);
    object.literal("over_cap", row.over_cap);
    object.literal("rated", usage);
    object.quoted("tokens", charge);
    object.quoted("prepaid", prepaid);
    object.quoted("postpaid", postpaid);
    object.quoted("uncharged", uncharged);
    object.end();
}

fn write_free(meter: &str, free: &FreeUse, inputs: &Inputs, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.string("meter", meter);
    object.optional_literal("cap", free.cap);
    object.literal("used", free.used);
    object.literal("over_cap", free.over_cap);
    object.literal("late", free.late);
    let reached = free.reached.map(|(position, _)| inputs.show(position));
    object.optional_string("cap_reached", reached.as_deref());
    object.end();
}

fn write_lot(lot: &LotKey, used: &LotUse, inputs: &Inputs, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.string("id", &lot.id);
    object.string("kind", lot.kind_name());
    object.quoted("purchased_at", lot.purchased_at);
    object.quoted("expires_at", lot.expires_at);
    object.quoted("size", lot.size);
    object.quoted("drawn", used.drawn);
    object.quoted("remaining", used.remaining);
    let bought = used.bought.map(|position| inputs.show(position));
    object.optional_string("position", bought.as_deref());
    object.end();
}

fn write_tally(
    explanation: &Explanation,
    key: &TallyKey,
    tally: &Tally,
    inputs: &Inputs,
    out: &mut Vec<u8>,
) {
    let meter = key.meter.map(|meter| explanation.book.meter_id(meter));
    let mut object = Object::begin(out);
    object.string("disposition", key.kind);
    object.optional_string("reason", key.reason);
    object.string("because", words::why(key.kind, key.reason));
    object.optional_string("meter", meter);
    object.literal("events", tally.events);
    object.literal("quantity", tally.quantity);
    write_range(&mut object, tally.first, tally.last, inputs);
    object.end();
}

fn write_happening(happening: &Happening, inputs: &Inputs, out: &mut Vec<u8>) {
    let position = happening
        .event
        .as_ref()
        .map(|(place, _)| inputs.show(*place));
    let id = happening.event.as_ref().map(|(_, id)| id.as_ref());
    let mut object = Object::begin(out);
    object.optional_string("position", position.as_deref());
    object.optional_string("id", id);
    object.quoted("time", happening.time);
    object.quoted("clock", happening.clock);
    object.string("what", &happening.what);
    object.end();
}

fn write_range(object: &mut Object, first: Position, last: Position, inputs: &Inputs) {
    object.string("first", &inputs.show(first));
    object.string("last", &inputs.show(last));
}
