//! The usage page: what a developer hub shows its team (B41). How far each API is towards its cap,
//! tokens and their lots, what is owed, what postpay comes to, and the invoices of past months.
//!
//! One answer holds all of it. It shows one commit, whose clock it names; every text of a user is
//! escaped.

use std::fmt::Write;

use crate::billing::account::TeamAccount;
use crate::billing::amount::{Tokens, print_price};
use crate::billing::event::Purpose;
use crate::billing::free_cap::{MeterCap, caps};
use crate::billing::funding::Funding;
use crate::billing::invoice::{
    Closing, Invoice, InvoiceLine, by_meter_id, carry_over, invoice_at, shown_adjustments,
    shown_lines,
};
use crate::billing::lot::{Lot, LotKind};
use crate::billing::month::{Booked, LineKey, TeamMonth};
use crate::billing::rate_book::{MeterNo, RateBook};
use crate::billing::tier::Tier;
use crate::billing::time::Month;
use crate::wire::account_line::is_shown;
use crate::wire::shown_text::escaped;

use super::html::{date, date_time, document, grouped, month_name, time, write_facts, write_table};
use super::problem::Problem;
use super::teams::Team;

/// Past months of one page; older ones are linked.
pub const PAST_MONTHS_MAX: usize = 24;
/// Lots of one page. More of them are summed up.
const LOTS_MAX: usize = 100;

/// The page of a team, with past months before `before`, or the last ones.
pub fn write(team: &Team, before: Option<Month>) -> Result<String, Problem> {
    let mut parts = String::new();
    write_notices(team, &mut parts);
    write_open_months(team, &mut parts)?;
    write_tokens(team, &mut parts);
    write_past(team, before, &mut parts)?;
    Ok(document(&format!("API usage of {}", team.name), |page| {
        write_header(team, page);
        let _ = write!(
            page,
            "<main>\n{parts}</main>\n<footer><p>All times are UTC. What was used in the last moments \
             may not be counted yet.</p></footer>\n"
        );
    }))
}

fn write_header(team: &Team, page: &mut String) {
    let (account, clock) = (&team.account, team.context.clock);
    let tier = match account.tier_at(team.context.book, clock) {
        Tier::Legacy => "Credits",
        Tier::Unenrolled => "Not enrolled",
        Tier::Free => "Free",
        Tier::Paid => "Paid",
    };
    let funding = match account.funding {
        Funding::None => "",
        Funding::Prepaid => "<li>Calls are paid from tokens</li>",
        Funding::Postpay => "<li>Calls are billed monthly</li>",
        Funding::Suspended => "<li>Suspended</li>",
    };
    let _ = write!(
        page,
        "<header><p class=\"kicker\">API usage</p>\n<h1><bdi>{}</bdi></h1>\n\
         <ul class=\"facts\"><li>Access: <strong>{tier}</strong></li>{funding}<li>As of {}</li></ul>\
         </header>\n",
        escaped(team.name),
        time(clock)
    );
}

/// What stops or will change something.
fn write_notices(team: &Team, page: &mut String) {
    let (account, context) = (&team.account, &team.context);
    let mut notice = |text: String| {
        let _ = writeln!(page, "<p class=\"notice\" role=\"status\">{text}</p>");
    };
    if account.funding == Funding::Suspended {
        notice("Calls of rated APIs are suspended: there are no tokens left and postpay is not in use. \
                Buy tokens to go on."
            .into());
    }
    let is_free = account.tier_at(context.book, context.clock) == Tier::Free;
    if is_free
        && account
            .month(context.clock.month())
            .is_some_and(|month| !month.capped.is_empty())
    {
        notice("A monthly cap was reached: what it covers stops until the month is over.".into());
    }
    if let Some(at) = account.tiers.pending_downgrade {
        notice(format!(
            "Access changes to Free at {}. Tokens are kept.",
            time(at)
        ));
    }
}

/// The month of the clock, and those before it that are not closed yet; the newest first.
fn write_open_months(team: &Team, page: &mut String) -> Result<(), Problem> {
    let context = &team.context;
    let now = context.clock.month();
    let empty = TeamMonth::new(now);
    let current = team.month(now).unwrap_or(&empty);
    let is_open = |month: &&TeamMonth| !context.is_closed(month.month) && is_shown(month);
    let later = team
        .months()
        .rev()
        .filter(is_open)
        .filter(|month| month.month > now);
    let earlier = team
        .months()
        .rev()
        .filter(is_open)
        .filter(|month| month.month < now);
    for month in later.chain([current]).chain(earlier) {
        let name = month_name(month.month);
        let _ = writeln!(
            page,
            "<section aria-labelledby=\"m{0}\"><h2 id=\"m{0}\">{name}</h2>",
            month.month
        );
        let closes_at = time(context.book.closes_at(month.month));
        let note = match month.month < now {
            true => format!("Over; late usage still counts here until {closes_at}."),
            false => "So far.".to_owned(),
        };
        let _ = writeln!(page, "<p class=\"note\">{note}</p>");
        if !is_shown(month) {
            page.push_str("<p>Nothing was used.</p>\n");
        }
        write_caps(team, month, page);
        write_booked(team, month, page);
        write_postpay(team, month, page)?;
        page.push_str("</section>\n");
    }
    Ok(())
}

/// How far each meter is towards its cap, those that were used first.
fn write_caps(team: &Team, month: &TeamMonth, page: &mut String) {
    let (book, clock) = (team.context.book, team.context.clock);
    let is_free = team.account.tier_at(book, clock) == Tier::Free;
    let of_month = caps(month, book, clock);
    let is_touched = |cap: &&MeterCap| cap.used > 0 || cap.resumes_at.is_some();
    let items = |caps: Vec<&MeterCap>| -> String {
        let items = caps.into_iter().map(|cap| cap_item(cap, month, book));
        format!("<ul class=\"meters\">{}</ul>\n", items.collect::<String>())
    };
    let (touched, others): (Vec<_>, Vec<_>) = of_month.iter().partition(is_touched);
    if !touched.is_empty() {
        let _ = write!(page, "<h3>Free use</h3>\n{}", items(touched));
    }
    if is_free && !others.is_empty() {
        let summary = format!("Free use that is left whole: {} meters", others.len());
        let _ = writeln!(
            page,
            "<details><summary><span>{summary}</span></summary>{}</details>",
            items(others)
        );
    }
}

fn cap_item(cap: &MeterCap, month: &TeamMonth, book: &RateBook) -> String {
    let name = escaped(book.meter_id(cap.meter));
    let of = escaped(&measured(cap.cap, cap.meter, month.month, book));
    let used = grouped(cap.used);
    let state = match cap.resumes_at {
        Some(at) => format!(
            "<p class=\"note reached\">Cap reached: stops until {}</p>",
            time(at)
        ),
        None => format!("<p class=\"note\">{} left</p>", grouped(cap.remaining())),
    };
    let over = month.over_cap.iter().find(|(meter, _)| *meter == cap.meter);
    let over = over
        .filter(|(_, usage)| *usage > 0)
        .map_or(String::new(), |(_, usage)| {
            format!(
                "<p class=\"note\">{} past the cap, not charged</p>",
                grouped(usage)
            )
        });
    format!(
        "<li><div><span>{name}</span><span>{used} of {of}</span></div>\
         <progress max=\"{}\" value=\"{}\" aria-label=\"{name}\">{used} of {of}</progress>{state}{over}</li>\n",
        cap.cap,
        cap.used.min(cap.cap)
    )
}

/// What was rated in a month, and who paid.
fn write_booked(team: &Team, month: &TeamMonth, page: &mut String) {
    let book = team.context.book;
    let lines = shown_lines(month, book);
    let adjustments = shown_adjustments(month, book);
    let row = |first: Option<Month>, key: LineKey, booked: &Booked| {
        let mut cells: Vec<String> = first.iter().map(Month::to_string).collect();
        cells.extend(booked_cells(key, booked, book));
        cells
    };
    let rows = lines.iter().map(|(key, booked)| row(None, *key, booked));
    write_table("Rated usage", &COLUMNS[1..7], rows.collect(), page);
    let rows = adjustments
        .iter()
        .map(|(of, (key, booked))| row(Some(*of), *key, booked));
    write_table(ADJUSTMENTS, &COLUMNS[..7], rows.collect(), page);
}

const ADJUSTMENTS: &str = "For usage of earlier months that came too late or was corrected";
const COLUMNS: [&str; 9] = [
    "Month",
    "Meter",
    "Used",
    "Tokens",
    "From tokens",
    "Postpaid",
    "Not covered",
    "Price",
    "Amount",
];

fn booked_cells(key: LineKey, booked: &Booked, book: &RateBook) -> [String; 6] {
    [
        book.meter_id(key.meter).to_owned(),
        grouped(booked.usage),
        grouped(booked.charge),
        grouped(booked.prepaid),
        grouped(booked.postpaid),
        grouped(booked.uncharged),
    ]
}

/// What an open month's postpay would come to now.
fn write_postpay(team: &Team, month: &TeamMonth, page: &mut String) -> Result<(), Problem> {
    let (context, account) = (&team.context, &team.account);
    let is_on = account.postpay.contains(context.clock) && month.month == context.clock.month();
    if !is_on && !month.has_postpaid() {
        return Ok(());
    }
    let closing = Closing::of(account, context.book, month.month, context.clock);
    let so_far = invoice_at(month, closing, context.book).map_err(|_| Problem::failed())?;
    page.push_str("<h3>Postpay so far</h3>\n");
    write_totals(&so_far, page);
    let closes_at = time(context.book.closes_at(month.month));
    let _ = writeln!(
        page,
        "<p class=\"note\">Final when the month closes at {closes_at}.</p>"
    );
    Ok(())
}

fn write_totals(invoice: &Invoice, page: &mut String) {
    let currency = escaped(&invoice.currency);
    let mut facts = vec![("Net", format!("{currency} {}", grouped(invoice.subtotal)))];
    if let Some((rate, amount)) = &invoice.tax {
        let percent = rate.checked_mul(100.into()).unwrap_or_default().normalize();
        facts.push((
            "Tax",
            format!("{currency} {} ({percent} %)", grouped(amount)),
        ));
    }
    facts.push((
        "Total",
        format!("<strong>{currency} {}</strong>", grouped(invoice.total)),
    ));
    write_facts(&facts, page);
}

/// Balance, debt, lots in the order in which they are drawn, and what is carried over.
fn write_tokens(team: &Team, page: &mut String) {
    let (account, context) = (&team.account, &team.context);
    let _ = write!(
        page,
        "<section aria-labelledby=\"tokens\"><h2 id=\"tokens\">Tokens</h2>\n\
         <p><span class=\"big\">{}</span> available</p>\n",
        grouped(account.lots.balance())
    );
    if account.debt.is_positive() {
        let _ = writeln!(
            page,
            "<p class=\"reached\">{} owed</p><p class=\"note\">For usage that neither tokens nor \
             postpay covered. The next purchase settles it first: what is settled counts as used in \
             its lot.</p>",
            grouped(account.debt)
        );
    }
    write_lots(account, page);
    let carried = carry_over(account, context.book, context.clock);
    let month = context.clock.month();
    let rows = carried.iter().map(|(meter, usage)| {
        vec![
            context.book.meter_id(*meter).to_owned(),
            measured(*usage, *meter, month, context.book),
        ]
    });
    let caption = "Usage short of a whole unit, carried over to the next call";
    write_table(caption, &["Meter", "Carried over"], rows.collect(), page);
    page.push_str("</section>\n");
}

fn write_lots(account: &TeamAccount, page: &mut String) {
    let lots = account.lots.in_draw_order();
    let of = |purpose| lots.iter().filter(move |lot: &&Lot| lot.purpose == purpose);
    let drawn = of(Purpose::Api);
    let row = |lot: &Lot| {
        let used = lot.size.minus(lot.remaining).unwrap_or_default();
        vec![
            lot.id.to_string(),
            match lot.kind {
                LotKind::Credit => "credits".to_owned(),
                LotKind::Token => "tokens".to_owned(),
            },
            grouped(lot.remaining),
            grouped(used),
            date(lot.purchased_at),
            date_time(lot.expires_at),
        ]
    };
    const LOT_COLUMNS: [&str; 6] = ["Lot", "Kind", "Left", "Used", "Bought", "Expires"];
    let count = drawn.clone().count();
    let rows = drawn.take(LOTS_MAX).map(row);
    write_table(
        "Lots, in the order in which they are drawn",
        &LOT_COLUMNS,
        rows.collect(),
        page,
    );
    if count > LOTS_MAX {
        let _ = writeln!(
            page,
            "<p class=\"note\">And {} more lots.</p>",
            count - LOTS_MAX
        );
    }
    let rows = of(Purpose::Subscription).take(LOTS_MAX).map(row);
    let caption = "Lots of a subscription, not drawn by calls";
    write_table(caption, &LOT_COLUMNS, rows.collect(), page);
}

/// Closed months, the newest first, each with its invoice if one was published.
fn write_past(team: &Team, before: Option<Month>, page: &mut String) -> Result<(), Problem> {
    let context = &team.context;
    let is_past =
        |month: &Month| context.is_closed(*month) && before.is_none_or(|before| *month < before);
    let shown = team
        .months()
        .filter(|month| is_shown(month))
        .map(|month| month.month);
    let invoiced = team.closings.iter().map(|(month, _)| *month);
    let mut past: Vec<Month> = shown.chain(invoiced).filter(is_past).collect();
    past.sort_unstable();
    past.dedup();
    past.reverse();
    page.push_str("<section aria-labelledby=\"past\"><h2 id=\"past\">Past months</h2>\n");
    if past.is_empty() {
        page.push_str("<p>None yet.</p>\n");
    }
    for month in past.iter().take(PAST_MONTHS_MAX) {
        write_past_month(team, *month, page)?;
    }
    if let Some(last) = past
        .get(PAST_MONTHS_MAX - 1)
        .filter(|_| past.len() > PAST_MONTHS_MAX)
    {
        let _ = writeln!(page, "<p><a href=\"?before={last}\">Earlier months</a></p>");
    }
    page.push_str("</section>\n");
    Ok(())
}

fn write_past_month(team: &Team, month: Month, page: &mut String) -> Result<(), Problem> {
    let empty = TeamMonth::new(month);
    let entries = team.month(month).unwrap_or(&empty);
    let invoice = team.invoice(month)?;
    let what = match &invoice {
        Some(invoice) => {
            format!("{} {}", escaped(&invoice.currency), grouped(invoice.total))
        }
        None => "no invoice".to_owned(),
    };
    let _ = writeln!(
        page,
        "<details><summary><span>{}</span><span>{what}</span></summary>",
        month_name(month)
    );
    match &invoice {
        Some(invoice) => write_invoice(team, invoice, page),
        None => write_booked(team, entries, page),
    }
    let book = team.context.book;
    let counted = |counters: &[(MeterNo, u64)]| -> Vec<Vec<String>> {
        let shown = by_meter_id(book, counters.iter().copied());
        let row = |(meter, usage): &(MeterNo, u64)| {
            vec![
                book.meter_id(*meter).to_owned(),
                measured(*usage, *meter, month, book),
            ]
        };
        shown.iter().map(row).collect()
    };
    write_table(
        "Free use",
        &["Meter", "Used"],
        counted(&entries.free_used),
        page,
    );
    let caption = "Past a cap, not charged";
    write_table(
        caption,
        &["Meter", "Used"],
        counted(&entries.over_cap),
        page,
    );
    page.push_str("</details>\n");
    Ok(())
}

fn write_invoice(team: &Team, invoice: &Invoice, page: &mut String) {
    let book = team.context.book;
    let minor_digits = book.minor_digits(&invoice.currency).unwrap_or(2);
    let row = |first: Option<Month>, line: &InvoiceLine| {
        let mut cells: Vec<String> = first.iter().map(Month::to_string).collect();
        cells.extend(booked_cells(line.key, &line.booked, book));
        let price = line
            .unit_price
            .map(|price| print_price(price, minor_digits));
        cells.extend([
            price.unwrap_or_else(|| "none".to_owned()),
            grouped(line.amount),
        ]);
        cells
    };
    let caption = format!("Invoice in {}", invoice.currency);
    let rows = invoice.lines.iter().map(|line| row(None, line)).collect();
    write_table(&caption, &COLUMNS[1..], rows, page);
    let adjustments = invoice.adjustments.iter();
    let rows = adjustments.map(|(of, line)| row(Some(*of), line)).collect();
    write_table(ADJUSTMENTS, &COLUMNS, rows, page);
    write_totals(invoice, page);
    let mut facts = vec![("Tokens then", grouped(invoice.balance))];
    if invoice.debt != Tokens::ZERO {
        facts.push(("Owed then", grouped(invoice.debt)));
    }
    write_facts(&facts, page);
}

/// Usage with the meter's measure, as the card of the month's end has it.
fn measured(usage: u64, meter: MeterNo, month: Month, book: &RateBook) -> String {
    let card = book.card_at(month.end().minus_millis(1));
    let row = card.and_then(|card| book.card(card).meter(meter));
    match row {
        Some(row) if usage == 1 => format!("1 {}", row.measure),
        Some(row) => format!("{} {}s", grouped(usage), row.measure),
        None => grouped(usage),
    }
}
