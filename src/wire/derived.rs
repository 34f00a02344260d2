//! Derived events as CloudEvents JSON (`interfaces.md` 2). This text is canonical: digests and
//! audits compare it whatever the wire format.

use crate::billing::amount::print_price;
use crate::billing::derived_event::{DerivedEvent, DerivedKind, Fact};
use crate::billing::invoice::{Invoice, InvoiceLine};
use crate::billing::month::{Booked, LineKey};
use crate::billing::rate_book::{MeterNo, RateBook};
use crate::billing::time::Month;

use super::object::Object;

/// The id of a derived event of `team`; it depends on the cause only.
pub fn id(event: &DerivedEvent, team: &str, book: &RateBook) -> String {
    let kind = event.kind().name();
    match &event.fact {
        Fact::CapReached(fact) => {
            format!("{kind}/{team}/{}/{}", fact.month, book.scope_id(fact.scope))
        }
        Fact::TokensDepleted(fact) => format!("{kind}/{team}/{}", fact.episode),
        Fact::SwitchedToPostpay(fact) => format!("{kind}/{team}/{}", fact.episode),
        Fact::MonthlyInvoice(invoice) => format!("{kind}/{team}/{}", invoice.month),
    }
}

/// Appends the event, without line feed.
pub fn write(event: &DerivedEvent, team: &str, book: &RateBook, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.string("specversion", "1.0");
    object.string("id", &id(event, team, book));
    object.string("source", "meterfold");
    object.string("type", type_name(event.kind()));
    object.string("subject", team);
    object.quoted("time", event.time);
    object.string("datacontenttype", "application/json");
    object.object("data", |data| write_data(data, event, book));
    object.end();
}

pub const fn type_name(kind: DerivedKind) -> &'static str {
    match kind {
        DerivedKind::CapReached => "meterfold.cap-reached.v1",
        DerivedKind::TokensDepleted => "meterfold.tokens-depleted.v1",
        DerivedKind::SwitchedToPostpay => "meterfold.switched-to-postpay.v1",
        DerivedKind::MonthlyInvoice => "meterfold.monthly-invoice.v1",
    }
}

fn write_data(data: &mut Object, event: &DerivedEvent, book: &RateBook) {
    match &event.cause {
        None => data.null("cause"),
        Some(cause) => data.object("cause", |object| {
            object.string("source", &cause.source);
            object.string("id", &cause.id);
        }),
    }
    match &event.fact {
        Fact::CapReached(fact) => {
            data.quoted("month", fact.month);
            data.string("api", book.api_id(fact.api));
            data.string("meter", book.meter_id(fact.meter));
            data.literal("cap", fact.cap);
            data.literal("used", fact.used);
            data.literal("overshoot", fact.used - fact.cap);
            data.quoted("resumes_at", fact.month.end());
        }
        Fact::TokensDepleted(fact) => {
            data.literal("episode", fact.episode);
            data.string("reason", fact.reason.name());
            data.quoted("expired_tokens", fact.expired);
            data.quoted("uncharged_tokens", fact.uncharged);
            data.literal("postpay_usable", fact.postpay_usable);
        }
        Fact::SwitchedToPostpay(fact) => {
            data.literal("episode", fact.episode);
            data.string("reason", fact.reason.name());
            match &fact.split {
                None => data.null("split"),
                Some(split) => data.object("split", |object| {
                    object.string("meter", book.meter_id(split.meter));
                    object.quoted("charge", split.charge);
                    object.quoted("prepaid", split.prepaid);
                    object.quoted("postpaid", split.postpaid);
                }),
            }
        }
        Fact::MonthlyInvoice(invoice) => write_invoice(data, invoice, book),
    }
}

/// The members of an invoice after `cause`.
pub fn write_invoice(data: &mut Object, invoice: &Invoice, book: &RateBook) {
    let minor_digits = book.minor_digits(&invoice.currency).unwrap_or(2);
    let line = |object: &mut Object, line: &InvoiceLine| {
        write_booked(object, line.key, &line.booked, book);
        object.optional_quoted(
            "unit_price",
            line.unit_price
                .map(|price| print_price(price, minor_digits)),
        );
        object.quoted("amount", line.amount);
    };
    data.quoted("month", invoice.month);
    data.string("currency", &invoice.currency);
    data.list("lines", &invoice.lines, |out, entry| {
        let mut object = Object::begin(out);
        line(&mut object, entry);
        object.end();
    });
    data.list(
        "adjustments",
        &invoice.adjustments,
        |out, (usage_month, entry)| {
            let mut object = Object::begin(out);
            object.quoted("usage_month", usage_month);
            line(&mut object, entry);
            object.end();
        },
    );
    data.quoted("subtotal", invoice.subtotal);
    if let Some((rate, amount)) = &invoice.tax {
        data.object("tax", |object| {
            object.quoted("rate", rate);
            object.quoted("amount", amount);
        });
    }
    data.quoted("total", invoice.total);
    write_counters(data, "free_usage", &invoice.free_usage, book);
    data.quoted("balance", invoice.balance);
    data.quoted("debt", invoice.debt);
    write_counters(data, "carry_over", &invoice.carry_over, book);
}

/// The members that invoice lines and account lines share.
pub fn write_booked(object: &mut Object, key: LineKey, booked: &Booked, book: &RateBook) {
    object.string("meter", book.meter_id(key.meter));
    object.string("rate_card", &book.card(key.card).id);
    object.literal("usage", booked.usage);
    object.quoted("tokens", booked.charge);
    object.quoted("prepaid", booked.prepaid);
    object.quoted("postpaid", booked.postpaid);
    object.quoted("uncharged", booked.uncharged);
}

/// `{meter: usage}`; the counters are sorted by meter id already.
pub fn write_counters(
    object: &mut Object,
    name: &str,
    counters: &[(MeterNo, u64)],
    book: &RateBook,
) {
    object.object(name, |object| {
        for (meter, usage) in counters {
            object.literal(book.meter_id(*meter), usage);
        }
    });
}

/// A month's lines and adjustments as account lines show them.
pub fn write_lines(
    object: &mut Object,
    lines: Vec<(LineKey, Booked)>,
    adjustments: Vec<(Month, (LineKey, Booked))>,
    book: &RateBook,
) {
    object.list("lines", lines, |out, (key, booked)| {
        let mut object = Object::begin(out);
        write_booked(&mut object, key, &booked, book);
        object.end();
    });
    object.list(
        "adjustments",
        adjustments,
        |out, (usage_month, (key, booked))| {
            let mut object = Object::begin(out);
            object.quoted("usage_month", usage_month);
            write_booked(&mut object, key, &booked, book);
            object.end();
        },
    );
}
