//! `fold(state, event, clock) -> (state, disposition, derived events)`, in the order of the rule
//! book: admit, classify, rate, fund, post, derive (`fold.md` 4 and 5).
//!
//! The caller advances the clock, runs the timers that became due ([`super::timers`]) and looks up
//! whether the event was seen before; this module does the rest.

use super::account::TeamAccount;
use super::amount::Overflow;
use super::classify::classify;
use super::context::{Broken, Context};
use super::derived_event::{
    CapReached, Cause, DepletionReason, DerivedEvent, Fact, Split, SwitchReason,
};
use super::disposition::{Disposition, Refusal};
use super::enrolment;
use super::event::{Body, DeadLetterReason, Event, Fault, Usage};
use super::funding::{self, Funding, Trigger};
use super::month::Booked;
use super::rate_book::{CardNo, FreeAllowanceWhenPaid, Meter, MeterNo};
use super::rating::{self, Posting, Rated};
use super::tier::Tier;
use super::time::{Instant, Month};

/// Usage of one event is at most this, of either sign.
pub const QUANTITY_MAX: i64 = 1_000_000_000_000_000;

/// What became of an event; enough to write its trace line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    pub disposition: Disposition,
    pub refusal: Option<Refusal>,
    pub usage: Option<UsageFolded>,
}

/// The usage part of [`Folded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageFolded {
    pub card: CardNo,
    pub meter: Option<MeterNo>,
    pub quantity: i64,
    pub month: Month,
    /// Usage taken free (at most 0 for a negative correction); None where nothing was rated.
    pub free: Option<i64>,
    /// What was booked, if charging or refunding ran.
    pub posting: Option<Posting>,
    pub while_suspended: bool,
}

/// The checks of `fold.md` 4, step 4: whether an event that was not seen before may be folded.
pub fn admit(context: &Context, event: &Event<&str>, recorded: Instant) -> Result<(), Fault> {
    let fault = |reason, detail| Err(Fault { reason, detail });
    if event.time > recorded.plus_millis(context.book.future_skew_millis) {
        return fault(DeadLetterReason::TimeInFuture, "time");
    }
    if event.body != Body::ClockTick && context.book.card_at(event.time).is_none() {
        return fault(DeadLetterReason::NoRateCard, "time");
    }
    if let Some(usage) = event.body.usage() {
        if event.time
            < context
                .clock
                .minus_millis(context.book.dedup_horizon_millis)
        {
            return fault(DeadLetterReason::TooOld, "time");
        }
        if usage.quantity < 0 && matches!(event.body, Body::ApiCall(_)) {
            return fault(DeadLetterReason::NegativeQuantity, "data.quantity");
        }
        if usage.quantity.unsigned_abs() > QUANTITY_MAX.unsigned_abs() {
            return fault(DeadLetterReason::QuantityTooLarge, "data.quantity");
        }
    }
    Ok(())
}

/// Folds an admitted event of a team, then evaluates funding. Derived events go to `out`.
pub fn fold(
    context: &Context,
    account: &mut TeamAccount,
    event: &Event<&str>,
    out: &mut Vec<DerivedEvent>,
) -> Result<Folded, Broken> {
    let mut trigger = Trigger::default();
    let folded = match &event.body {
        Body::ApiCall(usage) | Body::UsageCorrected { usage, .. } => {
            let folded = fold_usage(context, account, event, usage, out)?;
            if let Some(UsageFolded {
                meter: Some(meter),
                posting: Some(posting),
                ..
            }) = folded.usage
            {
                let Booked {
                    charge,
                    prepaid,
                    postpaid,
                    uncharged,
                    ..
                } = posting.booked;
                trigger.uncharged = uncharged;
                trigger.split = Some(Split {
                    meter,
                    charge,
                    prepaid,
                    postpaid,
                });
            }
            folded
        }
        body => {
            let answer = enrolment::apply(context, account, event)?;
            trigger.depletion = DepletionReason::Adjusted;
            if matches!(body, Body::StandingChanged { .. }) {
                trigger.switch = SwitchReason::StandingRestored;
            }
            match answer {
                Ok(effect) => {
                    trigger.uncharged = effect.uncharged;
                    Folded {
                        disposition: Disposition::Accepted,
                        refusal: None,
                        usage: None,
                    }
                }
                Err(refusal) => Folded {
                    disposition: Disposition::Refused,
                    refusal: Some(refusal),
                    usage: None,
                },
            }
        }
    };
    account.dispositions.add(folded.disposition);
    funding::evaluate(account, context.book, context.clock, &trigger, |fact| {
        emit(context, event, fact, out)
    });
    Ok(folded)
}

/// The table of `fold.md` 5: the first row that matches decides.
fn fold_usage(
    context: &Context,
    account: &mut TeamAccount,
    event: &Event<&str>,
    usage: &Usage<&str>,
    out: &mut Vec<DerivedEvent>,
) -> Result<Folded, Broken> {
    let book = context.book;
    let at = event.time;
    let card_no = book
        .card_at(at)
        .ok_or(Broken::Invariant("an admitted event has a rate card"))?;
    let card = book.card(card_no);
    let meter = classify(card, usage);
    let mut folded = UsageFolded {
        card: card_no,
        meter: meter.map(|meter| meter.meter),
        quantity: usage.quantity,
        month: at.month(),
        free: None,
        posting: None,
        while_suspended: false,
    };
    let done = |disposition, folded| {
        Ok(Folded {
            disposition,
            refusal: None,
            usage: Some(folded),
        })
    };

    if usage.quantity == 0 {
        return done(Disposition::Zero, folded);
    }
    let tier = account.tier_at(book, at);
    if tier != Tier::Legacy && (tier == Tier::Unenrolled || !account.is_in_hub(usage.app_id, at)) {
        let in_grace = at < book.enrolment_deadline;
        return done(
            if in_grace {
                Disposition::Grace
            } else {
                Disposition::Denied
            },
            folded,
        );
    }
    let Some(meter) = meter else {
        return done(Disposition::Unrated, folded);
    };
    if !meter.billable.covers(usage.status, usage.http_status) {
        return done(Disposition::Unbillable, folded);
    }
    let is_correction = !matches!(event.body, Body::ApiCall(_));
    if tier == Tier::Free {
        let disposition = use_free(context, account, meter, &mut folded, event, out)?;
        let taken = disposition == Disposition::Free;
        return done(
            if taken && is_correction {
                Disposition::Corrected
            } else {
                disposition
            },
            folded,
        );
    }

    folded.free = Some(0);
    let rated = Rated {
        at,
        month: folded.month,
        tier,
        card: card_no,
        meter,
    };
    if usage.quantity < 0 {
        folded.while_suspended = account.funding == Funding::Suspended;
        folded.posting = Some(rating::refund(
            context,
            account,
            rated,
            usage.quantity.unsigned_abs(),
            event.id,
        )?);
        return done(Disposition::Corrected, folded);
    }
    let mut quantity = usage.quantity.unsigned_abs();
    let allowance_first = card.free_allowance_when_paid == FreeAllowanceWhenPaid::First;
    if tier == Tier::Paid && allowance_first && !context.is_closed(folded.month) {
        let free = take_allowance(account, meter, folded.month, quantity)?;
        quantity = quantity.checked_sub(free).ok_or(Overflow)?;
        folded.free = Some(i64::try_from(free).map_err(|_| Overflow)?);
        if quantity == 0 {
            return done(
                if is_correction {
                    Disposition::Corrected
                } else {
                    Disposition::Free
                },
                folded,
            );
        }
    }
    folded.while_suspended = account.funding == Funding::Suspended;
    folded.posting = Some(rating::charge(context, account, rated, quantity)?);
    done(
        if is_correction {
            Disposition::Corrected
        } else {
            Disposition::Charged
        },
        folded,
    )
}

/// Rows 5 to 7, and the Free part of a correction (B13, B38, Q1 to Q3).
fn use_free(
    context: &Context,
    account: &mut TeamAccount,
    meter: &Meter,
    folded: &mut UsageFolded,
    event: &Event<&str>,
    out: &mut Vec<DerivedEvent>,
) -> Result<Disposition, Broken> {
    if context.is_closed(folded.month) {
        return Ok(Disposition::LateFree);
    }
    let month = account.month_mut(folded.month);
    let quantity = folded.quantity.unsigned_abs();
    if folded.quantity < 0 {
        let used = month.free_used_mut(meter.meter);
        let given_back = quantity.min(*used);
        *used = used.checked_sub(given_back).ok_or(Overflow)?;
        folded.free = Some(
            i64::try_from(given_back)
                .ok()
                .and_then(i64::checked_neg)
                .ok_or(Overflow)?,
        );
        return Ok(Disposition::Free);
    }
    if month.is_capped(meter.scope) {
        let over = month.over_cap_mut(meter.meter);
        *over = over.checked_add(quantity).ok_or(Overflow)?;
        return Ok(Disposition::OverCap);
    }
    let used = month.free_used_mut(meter.meter);
    *used = used.checked_add(quantity).ok_or(Overflow)?;
    let used = *used;
    folded.free = Some(folded.quantity);
    if let Some(cap) = meter.free_cap.filter(|cap| used >= *cap) {
        month.mark_capped(meter.scope);
        let reached = CapReached {
            month: folded.month,
            scope: meter.scope,
            api: meter.api,
            meter: meter.meter,
            cap,
            used,
        };
        emit(context, event, Fact::CapReached(reached), out);
    }
    Ok(Disposition::Free)
}

/// The part of a Paid team's usage that `free_allowance_when_paid: first` gives free (Q7).
fn take_allowance(
    account: &mut TeamAccount,
    meter: &Meter,
    month: Month,
    quantity: u64,
) -> Result<u64, Overflow> {
    let cap = meter.free_cap.unwrap_or(0);
    let used = account
        .month(month)
        .map_or(0, |month| month.free_used(meter.meter));
    let free = quantity.min(cap.saturating_sub(used));
    if free > 0 {
        let counter = account.month_mut(month).free_used_mut(meter.meter);
        *counter = counter.checked_add(free).ok_or(Overflow)?;
    }
    Ok(free)
}

fn emit(context: &Context, event: &Event<&str>, fact: Fact, out: &mut Vec<DerivedEvent>) {
    let cause = Cause {
        source: event.source.into(),
        id: event.id.into(),
    };
    out.push(DerivedEvent {
        time: context.clock,
        cause: Some(cause),
        fact,
    });
}
