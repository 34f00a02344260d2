//! What happened to a team in a month, in words: events, what they changed, and why usage was not
//! charged.

use crate::billing::account::TeamAccount;
use crate::billing::amount::Overflow;
use crate::billing::derived_event::Fact;
use crate::billing::event::{Body, Event, Offering};
use crate::billing::rate_book::RateBook;
use crate::billing::rating::Posting;
use crate::billing::tier::EnrolledTier;
use crate::processor::step::Step;

use super::explanation::Why;
use super::moves::remaining;

/// An accepted account event, and what it changed.
pub fn account_event(step: &Step, event: &Event<&str>) -> Result<String, Overflow> {
    let what = match &event.body {
        Body::OfferingEnrolled(Offering::Free) => "enrolled free".to_string(),
        Body::OfferingEnrolled(Offering::Prepay) => "enrolled prepay".to_string(),
        Body::OfferingEnrolled(Offering::Postpay {
            country,
            payment_method,
            ..
        }) => format!("enrolled postpay ({country}, {payment_method})"),
        Body::PostpayCancelled => "cancelled postpay".to_string(),
        Body::StandingChanged { good: true } => "is in good standing".to_string(),
        Body::StandingChanged { good: false } => "is in bad standing".to_string(),
        Body::DowngradeRequested => "asked for a downgrade".to_string(),
        Body::HubCreated { hub_id } => format!("has hub {hub_id}"),
        Body::AppMigrated { app_id, .. } => format!("app {app_id} is in the hub"),
        Body::TokensPurchased { tokens, .. } => format!("bought {tokens} tokens"),
        Body::TokensAdjusted { delta, reason, .. } => {
            let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
            format!("was adjusted by {delta} tokens{reason}")
        }
        Body::TrialStarted { credits, .. } => format!("started a trial of {credits} credits"),
        Body::CreditsPurchased {
            channel,
            pack,
            packs,
            ..
        } => format!("bought {packs} packs of {pack} credits by {channel}"),
        Body::CreditsTransferred { .. }
        | Body::ApiCall(_)
        | Body::UsageCorrected { .. }
        | Body::ClockTick => String::new(),
    };
    Ok(joined(what, changes(step)?))
}

/// Usage that made an adjustment, or a correction, and what was posted for it.
pub fn posted(event: &Event<&str>, quantity: i64, posting: &Posting) -> String {
    let booked = &posting.booked;
    let what = match &event.body {
        Body::UsageCorrected {
            corrects: Some(id), ..
        } => format!("correction of {id} by {quantity}"),
        Body::UsageCorrected { corrects: None, .. } => format!("correction by {quantity}"),
        _ => format!("usage of {quantity}"),
    };
    format!(
        "{what}: booked usage {}, tokens {} = prepaid {} + postpaid {} + uncharged {}",
        booked.usage, booked.charge, booked.prepaid, booked.postpaid, booked.uncharged
    )
}

/// A correction of free usage.
pub fn free_corrected(event: &Event<&str>, quantity: i64, free: i64, meter: &str) -> String {
    let corrects = match &event.body {
        Body::UsageCorrected {
            corrects: Some(id), ..
        } => format!(" of {id}"),
        _ => String::new(),
    };
    format!("correction{corrects} by {quantity}: free usage of {meter} {free:+}")
}

/// What timers did: lots that expired, a downgrade, a change of funding. A month's close is no
/// happening of its own.
pub fn timer(step: &Step) -> Result<Vec<String>, Overflow> {
    let mut happened = Vec::new();
    let after = remaining(&step.after.lots)?;
    for (lot, held) in remaining(&step.before.lots)? {
        if !after.contains_key(&lot) {
            happened.push(format!(
                "{} lot {} expired with {held} left",
                lot.kind_name(),
                lot.id
            ));
        }
    }
    if step.before.tiers.entries.len() != step.after.tiers.entries.len() {
        happened.push(tier(step.after));
    }
    if step.before.funding != step.after.funding {
        happened.push(format!("funding is {}", step.after.funding.name()));
    }
    Ok(happened)
}

/// A derived event other than an invoice.
pub fn fact(fact: &Fact, book: &RateBook) -> String {
    match fact {
        Fact::CapReached(fact) => format!(
            "cap reached: {} used {} of {}; {} stops until {}",
            book.meter_id(fact.meter),
            fact.used,
            fact.cap,
            book.scope_id(fact.scope),
            fact.month.end()
        ),
        Fact::TokensDepleted(fact) => format!(
            "tokens depleted ({}), episode {}: {} expired, {} uncharged",
            fact.reason.name(),
            fact.episode,
            fact.expired,
            fact.uncharged
        ),
        Fact::SwitchedToPostpay(fact) => {
            let split = fact.split.map_or(String::new(), |split| {
                format!(
                    ": {} charged {} = prepaid {} + postpaid {}",
                    book.meter_id(split.meter),
                    split.charge,
                    split.prepaid,
                    split.postpaid
                )
            });
            format!(
                "switched to postpay ({}), episode {}{split}",
                fact.reason.name(),
                fact.episode
            )
        }
        Fact::MonthlyInvoice(invoice) => format!("invoiced {}", invoice.total),
    }
}

/// Why events of this disposition, or dead letters, were not charged (`fold.md` 4 to 6).
pub fn why(kind: &str, reason: Option<&str>) -> &'static str {
    match (kind, reason) {
        ("zero", _) => "quantity 0",
        ("grace", _) => "not enrolled or app not in the hub, before the enrolment deadline",
        ("denied", _) => "not enrolled or app not in the hub, after the enrolment deadline",
        ("unrated", _) => "no meter of the rate card covers it",
        ("unbillable", _) => "its outcome is not billed",
        ("late_free", _) => "free usage recorded after the month had closed",
        ("over_cap", _) => "the month's cap had been reached",
        ("duplicate", _) => "sent before with the same content",
        ("conflict", _) => "sent before with other content; the first stands",
        ("refused", _) => "a check of account events failed",
        (_, Some("too_old")) => "recorded later than the dedup horizon allows",
        (_, Some("time_in_future")) => "time lies after the recorded time",
        (_, Some("no_rate_card")) => "time lies before the first rate card",
        (_, Some("negative_quantity")) => "a call cannot have a negative quantity",
        (_, Some("quantity_too_large")) => "quantity over 10^15",
        _ => "not a valid event",
    }
}

/// Why a closed month has no invoice (`fold.md` 7 and 8).
pub fn without_invoice(why: Why) -> &'static str {
    match why {
        Why::UnknownWhileOpen => {
            "nothing of the team was folded while the month was open; what came later stands in later months"
        }
        Why::Legacy => "before launch accounts pay from their lots, and nothing is postpaid",
        Why::NothingPostpaid => {
            "postpay was on at no instant of it, and no postpaid tokens are booked to it"
        }
    }
}

/// What differs after a step: tier, postpay, standing, lots, debt, balance.
fn changes(step: &Step) -> Result<Vec<String>, Overflow> {
    let (before, after) = (step.before, step.after);
    let mut changes = Vec::new();
    if before.tiers.entries.len() != after.tiers.entries.len() {
        changes.push(tier(after));
    }
    match (
        before.tiers.pending_downgrade,
        after.tiers.pending_downgrade,
    ) {
        (None, Some(at)) => changes.push(format!("free from {at}")),
        (Some(_), None) => changes.push("the pending downgrade is cancelled".into()),
        _ => {}
    }
    let periods = |account: &TeamAccount| account.postpay.as_slice().last().copied();
    if periods(before) != periods(after)
        && let Some(period) = periods(after)
    {
        changes.push(match period.to {
            None => format!("postpay on from {}", period.from),
            Some(to) => format!("postpay off from {to}"),
        });
    }
    let held = remaining(&before.lots)?;
    for (lot, left) in remaining(&after.lots)? {
        if !held.contains_key(&lot) {
            changes.push(format!(
                "{} lot {} of {}, {left} left, expires {}",
                lot.kind_name(),
                lot.id,
                lot.size,
                lot.expires_at
            ));
        }
    }
    if before.debt != after.debt {
        changes.push(format!("debt {} -> {}", before.debt, after.debt));
    }
    if before.lots.balance() != after.lots.balance() {
        let (from, to) = (before.lots.balance(), after.lots.balance());
        changes.push(format!("balance {from} -> {to}"));
    }
    Ok(changes)
}

/// The last entry of the tier history.
fn tier(account: &TeamAccount) -> String {
    account
        .tiers
        .entries
        .last()
        .map_or(String::new(), |entry| match entry.tier {
            EnrolledTier::Free => format!("tier free from {}", entry.effective_at),
            EnrolledTier::Paid => format!("tier paid from {}", entry.effective_at),
        })
}

fn joined(what: String, changes: Vec<String>) -> String {
    if changes.is_empty() {
        return what;
    }
    format!("{what}; {}", changes.join(", "))
}
