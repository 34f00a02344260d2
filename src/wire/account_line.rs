//! A team's account as one JSON line (`interfaces.md` 3): what `accounts.ndjson`, `inspect` and
//! the query API show.

use crate::billing::account::TeamAccount;
use crate::billing::context::Context;
use crate::billing::event::Purpose;
use crate::billing::invoice::{by_meter_id, carry_over, shown_adjustments, shown_lines};
use crate::billing::lot::LotKind;
use crate::billing::month::TeamMonth;
use crate::billing::rate_book::RateBook;

use super::derived::{write_counters, write_lines};
use super::json_text::write_string;
use super::object::Object;

/// Appends the line, without line feed. `settled` are the team's months that no longer lie in its
/// account, ascending.
pub fn write(
    team: &str,
    account: &TeamAccount,
    settled: &[TeamMonth],
    context: &Context,
    out: &mut Vec<u8>,
) {
    let book = context.book;
    let clock = context.clock;
    let mut line = Object::begin(out);
    line.string("team", team);
    line.string("tier", account.tier_at(book, clock).name());
    line.string("funding", account.funding.name());
    line.quoted("balance", account.lots.balance());
    line.quoted("debt", account.debt);
    line.literal("episode", account.episode);
    line.optional_string("currency", account.currency.as_deref());
    line.optional_string("country", account.country.as_deref());
    line.optional_string("hub", account.hub.as_deref());
    line.object("apps", |apps| {
        for app in &account.apps {
            apps.quoted(&app.id, app.migrated_at);
        }
    });
    write_lots(&mut line, account);
    line.object("postpay", |postpay| {
        postpay.literal("on", account.postpay.contains(clock));
        postpay.literal("usable", account.postpay_usable_at(clock));
    });
    line.optional_quoted("pending_downgrade", account.tiers.pending_downgrade);
    write_counters(
        &mut line,
        "carry_over",
        &carry_over(account, book, clock),
        book,
    );
    let months = settled
        .iter()
        .chain(&account.months)
        .filter(|month| is_shown(month));
    line.list("months", months, |out, month| {
        write_month(out, month, context)
    });
    line.object("dispositions", |counts| {
        let mut by_name: Vec<_> = account
            .dispositions
            .counts()
            .map(|(kind, count)| (kind.name(), count))
            .collect();
        by_name.sort_unstable();
        for (name, count) in by_name {
            counts.literal(name, count);
        }
    });
    line.end();
}

/// Lots in draw order, those of subscription purpose last.
fn write_lots(line: &mut Object, account: &TeamAccount) {
    let of = |purpose| {
        account
            .lots
            .in_draw_order()
            .iter()
            .filter(move |lot| lot.purpose == purpose)
    };
    line.list(
        "lots",
        of(Purpose::Api).chain(of(Purpose::Subscription)),
        |out, lot| {
            let mut object = Object::begin(out);
            object.string("id", &lot.id);
            object.string(
                "kind",
                match lot.kind {
                    LotKind::Credit => "credit",
                    LotKind::Token => "token",
                },
            );
            object.string("purpose", lot.purpose.name());
            object.quoted("purchased_at", lot.purchased_at);
            object.quoted("expires_at", lot.expires_at);
            object.quoted("size", lot.size);
            object.quoted("remaining", lot.remaining);
            object.end();
        },
    );
}

/// Months with a counter, a capped scope, or a line or adjustment that is shown.
pub fn is_shown(month: &TeamMonth) -> bool {
    let counted = month
        .free_used
        .iter()
        .chain(&month.over_cap)
        .any(|(_, usage)| *usage > 0);
    let mut booked = month
        .lines
        .iter()
        .map(|(_, booked)| booked)
        .chain(month.adjustments.iter().map(|(_, booked)| booked));
    counted || !month.capped.is_empty() || booked.any(|booked| !booked.is_zero())
}

fn write_month(out: &mut Vec<u8>, month: &TeamMonth, context: &Context) {
    let mut object = Object::begin(out);
    write_month_members(&mut object, month, context);
    object.end();
}

/// The members of a month.
pub fn write_month_members(object: &mut Object, month: &TeamMonth, context: &Context) {
    let book: &RateBook = context.book;
    object.quoted("month", month.month);
    object.literal("closed", context.is_closed(month.month));
    write_counters(
        object,
        "free_used",
        &by_meter_id(book, month.free_used.iter().copied()),
        book,
    );
    write_counters(
        object,
        "over_cap",
        &by_meter_id(book, month.over_cap.iter().copied()),
        book,
    );
    let mut capped: Vec<&str> = month
        .capped
        .iter()
        .map(|scope| book.scope_id(*scope))
        .collect();
    capped.sort_unstable();
    object.list("capped", capped, |out, scope| write_string(scope, out));
    write_lines(
        object,
        shown_lines(month, book),
        shown_adjustments(month, book),
        book,
    );
}
