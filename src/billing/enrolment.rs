//! Account events: offerings, postpay, standing, hub and apps, purchases (`fold.md` 6).
//!
//! Each either changes the account or is refused for the first failing check, in the order given
//! there; a refusal changes nothing.

use super::account::{App, TeamAccount};
use super::amount::Tokens;
use super::context::{Broken, Context};
use super::disposition::Refusal;
use super::event::{AccountKind, Body, Event, Offering, Purpose};
use super::funding::{Funding, LastFunded};
use super::invoice::DEFAULT_CURRENCY;
use super::lot::{Lot, LotKind};
use super::rate_book::RateCard;
use super::rating::{add_live, settle_and_add};
use super::tier::EnrolledTier;
use super::time::Instant;
use super::timers;

/// What an accepted account event did that the funding evaluation wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The part of a negative adjustment that no lot covered.
    pub uncharged: Tokens,
}

type Accepted = Result<Result<Effect, Refusal>, Broken>;

/// Applies any event but usage and clock ticks. The inner result is the business answer.
pub fn apply(context: &Context, account: &mut TeamAccount, event: &Event<&str>) -> Accepted {
    let time = event.time;
    match &event.body {
        Body::OfferingEnrolled(offering) => offering_enrolled(context, account, time, offering),
        Body::PostpayCancelled => postpay_cancelled(context, account, time),
        Body::StandingChanged { good } => standing_changed(context, account, time, *good),
        Body::DowngradeRequested => downgrade_requested(context, account, time),
        Body::HubCreated { hub_id } => hub_created(account, hub_id),
        Body::AppMigrated { app_id, hub_id } => app_migrated(account, time, app_id, *hub_id),
        Body::TokensPurchased {
            tokens, expires_at, ..
        } => tokens_purchased(context, account, event, *tokens, *expires_at),
        Body::TokensAdjusted { delta, purpose, .. } => tokens_adjusted(
            context,
            account,
            event,
            *delta,
            purpose.unwrap_or(Purpose::Api),
        ),
        Body::TrialStarted { credits, ends_at } => {
            trial_started(context, account, event, *credits, *ends_at)
        }
        Body::CreditsPurchased {
            channel,
            pack,
            packs,
            account_kind,
            amount,
        } => {
            let purchase = CreditsPurchase {
                channel,
                pack: *pack,
                packs: *packs,
                account_kind: *account_kind,
                amount: *amount,
            };
            credits_purchased(context, account, event, &purchase)
        }
        Body::CreditsTransferred { .. } => Ok(Err(Refusal::TransferNotAllowed)),
        Body::ApiCall(_) | Body::UsageCorrected { .. } | Body::ClockTick => Err(Broken::Invariant(
            "usage and clock ticks are not account events",
        )),
    }
}

fn accepted() -> Accepted {
    Ok(Ok(Effect::default()))
}

fn offering_enrolled(
    context: &Context,
    account: &mut TeamAccount,
    time: Instant,
    offering: &Offering<&str>,
) -> Accepted {
    let launch = context.book.launch;
    match offering {
        Offering::Free => {
            if account.tiers.last().is_some() {
                return Ok(Err(Refusal::AlreadyEnrolled));
            }
            let effective_at = account.tiers.enter(EnrolledTier::Free, time, launch);
            account.expect_effect(effective_at, context.clock);
        }
        Offering::Prepay => enter_paid(context, account, time),
        Offering::Postpay {
            country,
            payment_method,
            good_standing,
            currency,
        } => {
            let card = card_at(context, launch.map_or(time, |launch| time.max(launch)))?;
            let currency = currency
                .or(account.currency.as_deref())
                .unwrap_or(DEFAULT_CURRENCY);
            let listed =
                |list: &[Box<str>], wanted: &str| list.iter().any(|entry| entry.as_ref() == wanted);
            let refusal = if !listed(&card.postpay.countries, country) {
                Some(Refusal::CountryNotEligible)
            } else if !listed(&card.postpay.payment_methods, payment_method) {
                Some(Refusal::PaymentMethodNotEligible)
            } else if !good_standing || account.bad_standing.is_open() {
                Some(Refusal::NotInGoodStanding)
            } else if card.price_per_token(currency).is_none() {
                Some(Refusal::CurrencyNotPriced)
            } else if account
                .currency
                .as_deref()
                .is_some_and(|held| held != currency)
            {
                Some(Refusal::CurrencyChange)
            } else {
                None
            };
            if let Some(refusal) = refusal {
                return Ok(Err(refusal));
            }
            account.currency = Some(currency.into());
            account.country = Some((*country).into());
            enter_paid(context, account, time);
            if let Some(bound) = account
                .postpay
                .open(launch.map_or(time, |launch| time.max(launch)))
            {
                account.expect_effect(bound, context.clock);
            }
        }
    }
    accepted()
}

/// Tier Paid unless it is already: a new era, and funding is found afresh. A pending downgrade is
/// off either way.
fn enter_paid(context: &Context, account: &mut TeamAccount, time: Instant) {
    account.tiers.pending_downgrade = None;
    if account.tiers.last() != Some(EnrolledTier::Paid) {
        let effective_at = account
            .tiers
            .enter(EnrolledTier::Paid, time, context.book.launch);
        account.expect_effect(effective_at, context.clock);
        account.last_funded = LastFunded::None;
        account.funding = Funding::None;
    }
}

fn postpay_cancelled(context: &Context, account: &mut TeamAccount, time: Instant) -> Accepted {
    match account.postpay.close(time) {
        None => Ok(Err(Refusal::PostpayNotOn)),
        Some(bound) => {
            account.expect_effect(bound, context.clock);
            accepted()
        }
    }
}

fn standing_changed(
    context: &Context,
    account: &mut TeamAccount,
    time: Instant,
    good: bool,
) -> Accepted {
    let bound = if good {
        account.bad_standing.close(time)
    } else {
        account.bad_standing.open(time)
    };
    if let Some(bound) = bound {
        account.expect_effect(bound, context.clock);
    }
    accepted()
}

fn downgrade_requested(context: &Context, account: &mut TeamAccount, time: Instant) -> Accepted {
    if account.tiers.last() != Some(EnrolledTier::Paid) {
        return Ok(Err(Refusal::NotPaid));
    }
    if account.tiers.pending_downgrade.is_some() {
        return Ok(Err(Refusal::AlreadyPending));
    }
    let at = time.month().end();
    if at > context.clock {
        account.tiers.pending_downgrade = Some(at);
    } else {
        timers::downgrade(account, context.book, at, context.clock);
    }
    accepted()
}

fn hub_created(account: &mut TeamAccount, hub_id: &str) -> Accepted {
    match account.hub.as_deref() {
        Some(hub) if hub != hub_id => return Ok(Err(Refusal::HubExists)),
        Some(_) => {}
        None => account.hub = Some(hub_id.into()),
    }
    accepted()
}

fn app_migrated(
    account: &mut TeamAccount,
    time: Instant,
    app_id: &str,
    hub_id: Option<&str>,
) -> Accepted {
    let Some(hub) = account.hub.as_deref() else {
        return Ok(Err(Refusal::NoHub));
    };
    if hub_id.is_some_and(|given| given != hub) {
        return Ok(Err(Refusal::OtherHub));
    }
    match account
        .apps
        .binary_search_by(|app| app.id.as_str().cmp(app_id))
    {
        Ok(index) => {
            let app = &mut account.apps[index];
            app.migrated_at = app.migrated_at.min(time);
        }
        Err(index) => account.apps.insert(
            index,
            App {
                id: app_id.into(),
                migrated_at: time,
            },
        ),
    }
    accepted()
}

fn tokens_purchased(
    context: &Context,
    account: &mut TeamAccount,
    event: &Event<&str>,
    tokens: u64,
    expires_at: Option<Instant>,
) -> Accepted {
    let card = card_at(context, event.time)?;
    if tokens < card.min_purchase_tokens {
        return Ok(Err(Refusal::BelowMinimum));
    }
    let expires_at =
        expires_at.unwrap_or_else(|| event.time.plus_months(card.token_validity_months));
    let lot = lot(
        event,
        LotKind::Token,
        Purpose::Api,
        Tokens::from_whole(tokens)?,
        expires_at,
    );
    settle_and_add(account, context.clock, lot)?;
    accepted()
}

fn tokens_adjusted(
    context: &Context,
    account: &mut TeamAccount,
    event: &Event<&str>,
    delta: Tokens,
    purpose: Purpose,
) -> Accepted {
    if delta.is_zero() {
        return Ok(Err(Refusal::ZeroDelta));
    }
    let taken = delta.negated();
    match purpose {
        Purpose::Subscription if delta.is_positive() => return Ok(Err(Refusal::NotAdjustable)),
        Purpose::Subscription if taken > account.lots.remaining_of(purpose)? => {
            return Ok(Err(Refusal::Insufficient));
        }
        Purpose::Api if delta.is_positive() => {
            let expires_at = event
                .time
                .plus_months(card_at(context, event.time)?.token_validity_months);
            settle_and_add(
                account,
                context.clock,
                lot(event, LotKind::Token, purpose, delta, expires_at),
            )?;
            return accepted();
        }
        Purpose::Api | Purpose::Subscription => {}
    }
    let uncharged = taken.minus(account.lots.draw(purpose, taken)?)?;
    account.debt = account.debt.plus(uncharged)?;
    Ok(Ok(Effect { uncharged }))
}

fn trial_started(
    context: &Context,
    account: &mut TeamAccount,
    event: &Event<&str>,
    credits: u64,
    ends_at: Instant,
) -> Accepted {
    if context
        .book
        .launch
        .is_some_and(|launch| event.time >= launch)
    {
        return Ok(Err(Refusal::TrialEnded));
    }
    if account.trial_used {
        return Ok(Err(Refusal::TrialUsed));
    }
    if ends_at <= event.time {
        return Ok(Err(Refusal::BadPeriod));
    }
    account.trial_used = true;
    let expires_at = ends_at.min(context.book.credits_end);
    let lot = lot(
        event,
        LotKind::Credit,
        Purpose::Api,
        Tokens::from_whole(credits)?,
        expires_at,
    );
    add_live(account, context.clock, lot)?;
    accepted()
}

struct CreditsPurchase<'a> {
    channel: &'a str,
    pack: u64,
    packs: u64,
    account_kind: AccountKind,
    amount: Option<Tokens>,
}

/// `fold.md` 6.2 (A6 to A18).
fn credits_purchased(
    context: &Context,
    account: &mut TeamAccount,
    event: &Event<&str>,
    purchase: &CreditsPurchase,
) -> Accepted {
    let book = context.book;
    let mut of_channel = book
        .credit_channels
        .iter()
        .filter(|entry| entry.channel.as_ref() == purchase.channel)
        .peekable();
    if of_channel.peek().is_none() {
        return Ok(Err(Refusal::UnknownChannel));
    }
    let mut available = of_channel
        .filter(|entry| entry.is_available_at(event.time))
        .peekable();
    if available.peek().is_none() {
        return Ok(Err(Refusal::ChannelNotAvailable));
    }
    let Some(entry) = available.find(|entry| entry.account_kinds.contains(&purchase.account_kind))
    else {
        return Ok(Err(Refusal::NotApplicableToAccount));
    };
    if !entry.packs.contains(&purchase.pack) {
        return Ok(Err(Refusal::PackNotSold));
    }
    if entry.purpose == Purpose::Api && event.time >= book.credits_end {
        return Ok(Err(Refusal::CreditsEnded));
    }
    if let Some(amount) = purchase.amount
        && let Some(price) = entry.list_price(purchase.pack, purchase.packs)
        && !amount.equals(price?)
    {
        return Ok(Err(Refusal::AmountMismatch));
    }
    let mut expires_at = event.time.plus_months(book.credit_validity_months);
    if entry.purpose == Purpose::Api {
        expires_at = expires_at.min(book.credits_end);
    }
    let size = Tokens::from_product(purchase.pack, purchase.packs)?;
    settle_and_add(
        account,
        context.clock,
        lot(event, LotKind::Credit, entry.purpose, size, expires_at),
    )?;
    accepted()
}

fn lot(
    event: &Event<&str>,
    kind: LotKind,
    purpose: Purpose,
    size: Tokens,
    expires_at: Instant,
) -> Lot {
    Lot {
        id: event.id.into(),
        kind,
        purpose,
        purchased_at: event.time,
        expires_at,
        size,
        remaining: size,
    }
}

/// Admission has seen to it that a card is in force.
fn card_at<'a>(context: &Context<'a>, at: Instant) -> Result<&'a RateCard, Broken> {
    let card = context
        .book
        .card_at(at)
        .ok_or(Broken::Invariant("an admitted event has a rate card"))?;
    Ok(context.book.card(card))
}
