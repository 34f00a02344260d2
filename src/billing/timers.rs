//! What happens to a team because time passes (`fold.md` 8): lots expire, months close, downgrades
//! and effects come.
//!
//! A team's timers follow from its state: nothing but the next instant is kept elsewhere. After
//! all timers up to some instant have run, those still to come are the ones after it.

use super::account::TeamAccount;
use super::context::{Broken, Context};
use super::derived_event::{DepletionReason, DerivedEvent, Fact, SwitchReason};
use super::funding::{self, Trigger};
use super::invoice::invoice;
use super::rate_book::RateBook;
use super::tier::EnrolledTier;
use super::time::{Instant, Month};

/// The first instant after `clock` at which something is due for `account`.
pub fn next_due(account: &TeamAccount, context: &Context) -> Option<Instant> {
    let close = next_close(account, context).map(|month| context.book.closes_at(month));
    let instants = [
        account.lots.next_expiry(),
        close,
        account.tiers.pending_downgrade,
        account.effects.first().copied(),
    ];
    instants.into_iter().flatten().min()
}

/// Runs everything that is due for `account` exactly at `context.clock`, in the order of
/// `fold.md` 8: lot expiry, month close, downgrade, effect. Each is followed by the evaluation of
/// funding.
pub fn run(
    context: &Context,
    account: &mut TeamAccount,
    out: &mut Vec<DerivedEvent>,
) -> Result<(), Broken> {
    let at = context.clock;
    if account
        .lots
        .next_expiry()
        .is_some_and(|expiry| expiry <= at)
    {
        let expired = account.lots.expire(at)?;
        evaluate(
            context,
            account,
            Trigger {
                depletion: DepletionReason::Expired,
                expired,
                ..Trigger::default()
            },
            out,
        );
    }
    // Close instants ascend strictly with the month, so at most one month closes here.
    let just_closed = context.earliest_open_month.previous();
    if context.book.closes_at(just_closed) == at {
        if is_invoiced(account, just_closed) {
            let invoice = invoice(account, context.book, just_closed, at)?;
            emit(context, Fact::MonthlyInvoice(Box::new(invoice)), out);
        }
        evaluate(context, account, Trigger::default(), out);
    }
    if account
        .tiers
        .pending_downgrade
        .is_some_and(|downgrade| downgrade <= at)
    {
        account.tiers.pending_downgrade = None;
        downgrade(account, context.book, at, at);
        evaluate(context, account, Trigger::default(), out);
    }
    if account.effects.first().is_some_and(|effect| *effect <= at) {
        account.effects.retain(|effect| *effect > at);
        evaluate(context, account, Trigger::default(), out);
    }
    Ok(())
}

/// Tier Free from `at`, and postpay ends there. Shared by the timer and a downgrade at once.
pub fn downgrade(account: &mut TeamAccount, book: &RateBook, at: Instant, clock: Instant) {
    let effective_at = account.tiers.enter(EnrolledTier::Free, at, book.launch);
    account.expect_effect(effective_at, clock);
    if let Some(bound) = account.postpay.close(at) {
        account.expect_effect(bound, clock);
    }
}

fn evaluate(
    context: &Context,
    account: &mut TeamAccount,
    trigger: Trigger,
    out: &mut Vec<DerivedEvent>,
) {
    let restored = account.bad_standing.has_bound_at(context.clock);
    let switch = if restored {
        SwitchReason::StandingRestored
    } else {
        SwitchReason::Enrolled
    };
    let trigger = Trigger { switch, ..trigger };
    funding::evaluate(account, context.book, context.clock, &trigger, |fact| {
        emit(context, fact, out)
    });
}

fn emit(context: &Context, fact: Fact, out: &mut Vec<DerivedEvent>) {
    out.push(DerivedEvent {
        time: context.clock,
        cause: None,
        fact,
    });
}

/// The next month whose close has something to do: one with an invoice to come. Closing any other
/// month changes nothing, since whether a month is closed follows from the clock alone.
fn next_close(account: &TeamAccount, context: &Context) -> Option<Month> {
    let open = context.earliest_open_month;
    let postpay = account.postpay.first_month_from(open);
    let booked = account
        .months
        .iter()
        .find(|month| month.month >= open && month.has_postpaid());
    [postpay, booked.map(|month| month.month)]
        .into_iter()
        .flatten()
        .min()
}

/// Postpay was on at some instant of the month, or postpaid tokens are booked to it (Q22).
pub fn is_invoiced(account: &TeamAccount, month: Month) -> bool {
    account.postpay.first_month_from(month) == Some(month)
        || account
            .month(month)
            .is_some_and(|entry| entry.has_postpaid())
}
