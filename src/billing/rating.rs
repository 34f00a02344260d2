//! From usage to a charge, and from a charge to who pays it (`fold.md` 5.1 and 5.2; Q9 to Q12, Q19).

use super::account::TeamAccount;
use super::amount::{Overflow, Tokens};
use super::context::{Broken, Context};
use super::cumulative::CumulativeKey;
use super::event::Purpose;
use super::lot::{Lot, LotKind};
use super::month::{Booked, LineKey};
use super::rate_book::{CardNo, Meter, ShortfallPolicy};
use super::tier::Tier;
use super::time::{Instant, Month};

/// Usage that is to be charged or refunded, and where it belongs.
#[derive(Clone, Copy)]
pub struct Rated<'a> {
    /// When the usage happened.
    pub at: Instant,
    pub month: Month,
    /// Paid or Legacy.
    pub tier: Tier,
    pub card: CardNo,
    pub meter: &'a Meter,
}

/// What was booked, and to which month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    pub booked: Booked,
    pub booked_to: Month,
}

/// Charges `quantity`: lots first, then postpay, the rest is debt (B17, B46, B52).
pub fn charge(
    context: &Context,
    account: &mut TeamAccount,
    rated: Rated,
    quantity: u64,
) -> Result<Posting, Broken> {
    let card = context.book.card(rated.card);
    let key = cumulative_key(context, account, rated);
    let cumulative = account.cumulatives.start(context.book, key)?;
    let before = card.charged(rated.meter, cumulative.cum)?;
    cumulative.cum = cumulative.cum.checked_add(quantity).ok_or(Overflow)?;
    let charge = card.charged(rated.meter, cumulative.cum)?.minus(before)?;
    let mut booked = Booked {
        usage: i128::from(quantity),
        charge,
        ..Booked::default()
    };
    if !charge.is_zero() {
        booked.prepaid = account.lots.draw(Purpose::Api, charge)?;
        let rest = charge.minus(booked.prepaid)?;
        if rated.tier == Tier::Paid && account.postpay_usable_at(rated.at) {
            booked.postpaid = rest;
        } else {
            booked.uncharged = rest;
            if card.shortfall_policy == ShortfallPolicy::Carry {
                account.debt = account.debt.plus(rest)?;
            }
        }
    }
    post(context, account, rated, booked)
}

/// Takes back `quantity` of usage. The refund goes to debt, then to what was postpaid, then to
/// what was written off, and the rest becomes a lot named `lot_id`.
pub fn refund(
    context: &Context,
    account: &mut TeamAccount,
    rated: Rated,
    quantity: u64,
    lot_id: &str,
) -> Result<Posting, Broken> {
    let card = context.book.card(rated.card);
    let key = cumulative_key(context, account, rated);
    let cumulative = account.cumulatives.start(context.book, key)?;
    let before = cumulative.cum;
    cumulative.cum = before.saturating_sub(quantity).max(cumulative.base);
    let after = cumulative.cum;
    let refund = card
        .charged(rated.meter, before)?
        .minus(card.charged(rated.meter, after)?)?;

    let there = booked_there(context, account, rated)?;
    let to_debt = refund.min(account.debt);
    let mut rest = refund.minus(to_debt)?;
    let to_postpaid = rest.min(there.postpaid.max(Tokens::ZERO));
    rest = rest.minus(to_postpaid)?;
    let mut to_written_off = Tokens::ZERO;
    if card.shortfall_policy == ShortfallPolicy::WriteOff {
        to_written_off = rest.min(there.uncharged.minus(to_debt)?.max(Tokens::ZERO));
        rest = rest.minus(to_written_off)?;
    }
    account.debt = account.debt.minus(to_debt)?;
    if rest.is_positive() {
        let legacy = rated.tier == Tier::Legacy && context.clock < context.book.credits_end;
        let lot = Lot {
            id: lot_id.into(),
            kind: if legacy {
                LotKind::Credit
            } else {
                LotKind::Token
            },
            purpose: Purpose::Api,
            purchased_at: context.clock,
            expires_at: match legacy {
                true => context
                    .clock
                    .plus_months(context.book.credit_validity_months)
                    .min(context.book.credits_end),
                false => context.clock.plus_months(card.token_validity_months),
            },
            size: rest,
            remaining: rest,
        };
        settle_and_add(account, context.clock, lot)?;
    }
    let booked = Booked {
        usage: i128::from(after)
            .checked_sub(i128::from(before))
            .ok_or(Overflow)?,
        charge: refund.negated(),
        prepaid: rest.negated(),
        postpaid: to_postpaid.negated(),
        uncharged: to_debt.plus(to_written_off)?.negated(),
    };
    post(context, account, rated, booked)
}

/// Adds a lot that is not a trial: debt is settled first; what has expired by `clock` is gone
/// (`fold.md` 6.1).
pub fn settle_and_add(
    account: &mut TeamAccount,
    clock: Instant,
    mut lot: Lot,
) -> Result<(), Broken> {
    if lot.purpose == Purpose::Api {
        let settled = account.debt.min(lot.remaining);
        account.debt = account.debt.minus(settled)?;
        lot.remaining = lot.remaining.minus(settled)?;
    }
    add_live(account, clock, lot)
}

/// Keeps a lot of which something is left and that has not expired.
pub fn add_live(account: &mut TeamAccount, clock: Instant, lot: Lot) -> Result<(), Broken> {
    if lot.remaining.is_positive() && lot.expires_at > clock {
        account.lots.add(lot)?;
    }
    Ok(())
}

fn cumulative_key(context: &Context, account: &TeamAccount, rated: Rated) -> CumulativeKey {
    let era = account.era_at(context.book, rated.at);
    CumulativeKey {
        meter: rated.meter.meter,
        era,
        card: rated.card,
    }
}

/// What is booked so far for the usage's month, meter and card: its line, and once the month is
/// closed the adjustments of it in all months.
fn booked_there(context: &Context, account: &TeamAccount, rated: Rated) -> Result<Booked, Broken> {
    let key = LineKey {
        meter: rated.meter.meter,
        card: rated.card,
    };
    let mut there = account
        .month(rated.month)
        .map(|month| month.line(key))
        .unwrap_or_default();
    if context.is_closed(rated.month) {
        for month in &account.months {
            there.add(&month.adjustment(rated.month, key))?;
        }
    }
    Ok(there)
}

/// Books to the month of the usage while it is open, else as an adjustment in the earliest open
/// month.
fn post(
    context: &Context,
    account: &mut TeamAccount,
    rated: Rated,
    booked: Booked,
) -> Result<Posting, Broken> {
    if !booked.is_conserved()? || account.debt.is_negative() {
        return Err(Broken::Invariant(
            "fold.md 10.1: charge = prepaid + postpaid + uncharged; debt >= 0",
        ));
    }
    let key = LineKey {
        meter: rated.meter.meter,
        card: rated.card,
    };
    let (booked_to, entry) = if context.is_closed(rated.month) {
        (
            context.earliest_open_month,
            account
                .month_mut(context.earliest_open_month)
                .adjustment_mut(rated.month, key),
        )
    } else {
        (rated.month, account.month_mut(rated.month).line_mut(key))
    };
    entry.add(&booked)?;
    Ok(Posting { booked, booked_to })
}
