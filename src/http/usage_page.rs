//! The usage page: what a developer hub shows its team (B41). How far each API is towards its cap,
//! tokens and their lots, what is owed, what postpay comes to, and the invoices of past months.
//!
//! One answer holds all of it. It shows one commit, whose clock it names; every text of a user is
//! escaped.

mod lines;
mod notices;

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
use crate::billing::month::TeamMonth;
use crate::billing::rate_book::{MeterNo, RateBook};
use crate::billing::tier::Tier;
use crate::billing::time::Month;
use crate::wire::account_line::is_shown;
use crate::wire::shown_text::escaped;

use super::html::{date, date_time, document, grouped, month_name, time, write_facts, write_table};
use super::problem::Problem;
use super::teams::Team;
use lines::{Row, Unit, measured_under, write_lines};

/// Past months of one page; older ones are linked.
pub const PAST_MONTHS_MAX: usize = 24;
/// Lots of one page. More of them are summed up.
const LOTS_MAX: usize = 100;

/// The page of a team, with past months before `before`, or the last ones.
pub fn write(team: &Team, before: Option<Month>) -> Result<String, Problem> {
    let mut parts = String::new();
    notices::write_notices(team, &mut parts);
    write_open_months(team, &mut parts)?;
    write_tokens(team, &mut parts)?;
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
    let tier = account.tier_at(team.context.book, clock);
    let unit = Unit::of_tier(tier).plural;
    let access = match tier {
        Tier::Legacy => "Credits",
        Tier::Unenrolled => "Not enrolled",
        Tier::Free => "Free",
        Tier::Paid => "Paid",
    };
    let funding = match account.funding {
        Funding::None => String::new(),
        Funding::Prepaid => format!("<li>Calls are paid from {unit}</li>"),
        Funding::Postpay => "<li>Calls are billed monthly</li>".to_owned(),
        Funding::Suspended => "<li>Suspended</li>".to_owned(),
    };
    let _ = write!(
        page,
        "<header><p class=\"kicker\">API usage</p>\n<h1><bdi>{}</bdi></h1>\n\
         <ul class=\"facts\"><li>Access: <strong>{access}</strong></li>{funding}<li>As of {}</li></ul>\
         </header>\n",
        escaped(team.name),
        time(clock)
    );
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
            page.push_str("<p>Nothing was counted in this month.</p>\n");
        }
        write_caps(team, month, page);
        write_booked(team, month, page);
        write_postpay(team, month, page)?;
        page.push_str("</section>\n");
    }
    Ok(())
}

/// How far each meter is towards its cap, those that were used first. Caps hold while the team is Free,
/// and for the month that it is in.
fn write_caps(team: &Team, month: &TeamMonth, page: &mut String) {
    let (book, clock) = (team.context.book, team.context.clock);
    let is_free = team.account.tier_at(book, clock) == Tier::Free;
    let holds = is_free && month.month == clock.month();
    let of_month = caps(month, book, clock);
    let is_touched = |cap: &&MeterCap| cap.used > 0 || (holds && cap.resumes_at.is_some());
    let items = |caps: Vec<&MeterCap>| -> String {
        let items = caps
            .into_iter()
            .map(|cap| cap_item(cap, holds, month, book));
        format!("<ul class=\"meters\">{}</ul>\n", items.collect::<String>())
    };
    let (touched, others): (Vec<_>, Vec<_>) = of_month.iter().partition(is_touched);
    if !touched.is_empty() {
        let _ = write!(page, "<h3>Free use</h3>\n{}", items(touched));
    }
    if holds && !others.is_empty() {
        let summary = format!("Free use that is left whole: {} meters", others.len());
        let _ = writeln!(
            page,
            "<details><summary><span>{summary}</span></summary>{}</details>",
            items(others)
        );
    }
}

fn cap_item(cap: &MeterCap, holds: bool, month: &TeamMonth, book: &RateBook) -> String {
    let name = escaped(book.meter_id(cap.meter));
    let of = escaped(&measured(cap.cap, cap.meter, month.month, book));
    let used = grouped(cap.used);
    let is_reached = cap.used >= cap.cap;
    let state = match cap.resumes_at.filter(|_| holds).map(time) {
        Some(at) if is_reached => {
            format!("<p class=\"note reached\">Cap reached: stops until {at}</p>")
        }
        Some(at) => format!("<p class=\"note reached\">Stops with its API until {at}</p>"),
        None if holds => format!("<p class=\"note\">{} left</p>", grouped(cap.remaining())),
        None if is_reached => "<p class=\"note\">Cap was reached</p>".to_owned(),
        None => String::new(),
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
    let row = |of, (key, booked)| Row {
        of,
        key,
        booked,
        priced: None,
    };
    let lines = shown_lines(month, book).into_iter();
    let lines = lines.map(|line| row(None, line)).collect();
    write_lines("Rated usage", lines, book, page);
    let adjustments = shown_adjustments(month, book).into_iter();
    let adjustments = adjustments.map(|(of, line)| row(Some(of), line)).collect();
    write_lines(ADJUSTMENTS, adjustments, book, page);
}

const ADJUSTMENTS: &str = "For usage of earlier months that came too late or was corrected";

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
fn write_tokens(team: &Team, page: &mut String) -> Result<(), Problem> {
    let (account, context) = (&team.account, &team.context);
    let tier = account.tier_at(context.book, context.clock);
    let heading = Unit::of_tier(tier).charge;
    let _ = write!(
        page,
        "<section aria-labelledby=\"tokens\"><h2 id=\"tokens\">{heading}</h2>\n\
         <p><span class=\"big\">{}</span> available</p>\n",
        grouped(account.lots.balance())
    );
    write_debt(team, page)?;
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
    Ok(())
}

/// What is owed, and what was. Lots do not tell how much of them settled a debt, so what was not covered
/// is put beside what is still owed.
fn write_debt(team: &Team, page: &mut String) -> Result<(), Problem> {
    let debt = team.account.debt;
    let lines = team.months().flat_map(|month| &month.lines);
    let adjustments = team.months().flat_map(|month| &month.adjustments);
    let uncovered = lines
        .map(|(_, booked)| booked.uncharged)
        .chain(adjustments.map(|(_, booked)| booked.uncharged))
        .try_fold(Tokens::ZERO, Tokens::plus)
        .map_err(|_| Problem::failed())?;
    if debt.is_positive() {
        let _ = writeln!(page, "<p class=\"reached\">{} owed</p>", grouped(debt));
    } else if !uncovered.is_positive() {
        return Ok(());
    }
    let past = match (uncovered.is_positive(), debt.is_positive()) {
        (true, true) => format!("{} were not covered when used. ", grouped(uncovered)),
        (true, false) => format!(
            "{} were not covered when used; nothing of it is owed any more. ",
            grouped(uncovered)
        ),
        (false, _) => String::new(),
    };
    let _ = writeln!(
        page,
        "<p class=\"note\">{past}A purchase settles what is owed first: what is settled counts as \
         used in its lot, and a lot that is used up is not listed.</p>"
    );
    Ok(())
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
    let row = |of, line: &InvoiceLine| {
        let price = line
            .unit_price
            .map(|price| print_price(price, minor_digits));
        Row {
            of,
            key: line.key,
            booked: line.booked,
            priced: Some([
                price.unwrap_or_else(|| "none".to_owned()),
                grouped(line.amount),
            ]),
        }
    };
    let caption = format!("Invoice in {}", invoice.currency);
    let lines = invoice.lines.iter().map(|line| row(None, line)).collect();
    write_lines(&caption, lines, book, page);
    let adjustments = invoice.adjustments.iter();
    let adjustments = adjustments.map(|(of, line)| row(Some(*of), line)).collect();
    write_lines(ADJUSTMENTS, adjustments, book, page);
    write_totals(invoice, page);
    let mut facts = vec![("Tokens then", grouped(invoice.balance))];
    if invoice.debt != Tokens::ZERO {
        facts.push(("Owed then", grouped(invoice.debt)));
    }
    write_facts(&facts, page);
}

/// Usage with the meter's measure, as the card of the month's end has it.
fn measured(usage: u64, meter: MeterNo, month: Month, book: &RateBook) -> String {
    match book.card_at(month.end().minus_millis(1)) {
        Some(card) => measured_under(card, usage.into(), meter, book),
        None => grouped(usage),
    }
}
