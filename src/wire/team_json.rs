//! What the query API says of one team besides its account line (`interfaces.md` 6).

use crate::billing::access::Access;
use crate::billing::context::Context;
use crate::billing::free_cap;
use crate::billing::invoice::Invoice;
use crate::billing::month::TeamMonth;
use crate::billing::rate_book::RateBook;
use crate::billing::time::Month;

use super::account_line::write_month_members;
use super::derived::write_invoice;
use super::object::Object;

/// A month as in an account line, and how far it has come towards each cap:
/// `{...,"caps":{meter:{"cap","used","remaining","resumes_at"}}}`.
pub fn write_month(month: &TeamMonth, context: &Context, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    write_month_members(&mut object, month, context);
    object.object("caps", |caps| {
        for cap in free_cap::caps(month, context.book, context.clock) {
            caps.object(context.book.meter_id(cap.meter), |object| {
                object.literal("cap", cap.cap);
                object.literal("used", cap.used);
                object.literal("remaining", cap.remaining());
                object.optional_quoted("resumes_at", cap.resumes_at);
            });
        }
    });
    object.end();
}

/// The `data` of the monthly-invoice event, as it was published.
pub fn write_invoice_data(invoice: &Invoice, book: &RateBook, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.null("cause");
    write_invoice(&mut object, invoice, book);
    object.end();
}

/// `{"allowed","reason","resumes_at"}`.
pub fn write_access(access: Access, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    object.literal("allowed", access.reason().is_none());
    object.optional_string("reason", access.reason());
    object.optional_quoted("resumes_at", access.resumes_at());
    object.end();
}

/// A page of a list, `{name:[...],"next"}`: `next` is what to ask for `after`; null: that was all.
pub fn write_page<T>(
    name: &str,
    entries: impl IntoIterator<Item = T>,
    entry: impl FnMut(&mut Vec<u8>, T),
    next: Option<Month>,
    out: &mut Vec<u8>,
) {
    let mut object = Object::begin(out);
    object.list(name, entries, entry);
    object.optional_quoted("next", next);
    object.end();
}
