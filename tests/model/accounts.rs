//! The events that change an account: offerings, standing, hub, apps, tokens, credits (`fold.md`
//! 6).

use super::amount::{MICRO, format_tokens};
use super::book::{Book, Channel};
use super::calendar::{Month, add_months};
use super::event::{Body, Offering};
use super::fold::{Folded, Scene};
use super::funding::Trigger;
use super::team::{Funding, Lot, LotKind, Team, Tier};

/// Folds an event that is neither usage nor a clock-tick. A refusal changes nothing.
pub fn fold_account_event(scene: &Scene<'_>, team: &mut Team) -> Folded {
    let (disposition, reason, trigger) = match effect(scene, team) {
        Ok(trigger) => ("accepted", None, trigger),
        Err(reason) => ("refused", Some(reason), Trigger::Event),
    };
    Folded {
        disposition,
        reason,
        trigger,
        usage: None,
        derived: Vec::new(),
    }
}

/// The checks in their order, then the effect.
fn effect(scene: &Scene<'_>, team: &mut Team) -> Result<Trigger, &'static str> {
    let Scene {
        book, clock, event, ..
    } = scene;
    let (clock, time) = (*clock, event.content.time);
    match &event.content.body {
        Body::Enrolled(offering) => enrol(scene, team, offering)?,
        Body::PostpayCancelled => {
            refuse_if(!team.postpay_is_open(), "postpay_not_on")?;
            team.close_postpay(clock, time);
        }
        Body::StandingChanged { good } => {
            team.set_standing(clock, time, *good);
            return Ok(Trigger::StandingChanged);
        }
        Body::DowngradeRequested => {
            refuse_if(team.last_tier() != Tier::Paid, "not_paid")?;
            refuse_if(team.pending_downgrade.is_some(), "already_pending")?;
            request_downgrade(book, team, clock, Month::of(time).end());
        }
        Body::HubCreated { hub_id } => {
            refuse_if(
                team.hub.as_ref().is_some_and(|hub| hub != hub_id),
                "hub_exists",
            )?;
            team.hub = Some(hub_id.clone());
        }
        Body::AppMigrated { app_id, hub_id } => {
            refuse_if(team.hub.is_none(), "no_hub")?;
            refuse_if(hub_id.is_some() && *hub_id != team.hub, "other_hub")?;
            let migrated_at = team.apps.entry(app_id.clone()).or_insert(time);
            *migrated_at = time.min(*migrated_at);
        }
        Body::TokensPurchased {
            tokens, expires_at, ..
        } => {
            let card = book.card_at(time);
            refuse_if(*tokens < card.min_purchase_tokens, "below_minimum")?;
            let expires_at = expires_at.unwrap_or(add_months(time, card.token_validity_months));
            let size = i128::from(*tokens) * MICRO;
            team.add_lot(
                clock,
                Lot::bought(event.id.clone(), LotKind::Token, time, expires_at, size),
            );
        }
        Body::TokensAdjusted { delta, purpose, .. } => {
            return adjust(scene, team, *delta, purpose.as_deref());
        }
        Body::TrialStarted { credits, ends_at } => {
            refuse_if(time >= book.launch, "trial_ended")?;
            refuse_if(team.lots.iter().any(|lot| lot.trial), "trial_used")?;
            refuse_if(*ends_at <= time, "bad_period")?;
            let expires_at = (*ends_at).min(book.credits_end);
            let size = i128::from(*credits) * MICRO;
            let lot = Lot::bought(event.id.clone(), LotKind::Credit, time, expires_at, size);
            team.add_lot(clock, Lot { trial: true, ..lot });
        }
        Body::CreditsPurchased {
            channel,
            pack,
            packs,
            account_kind,
            amount,
        } => {
            let entry = credit_channel(book, time, channel, *pack, account_kind)?;
            let is_api = entry.purpose == "api";
            refuse_if(is_api && time >= book.credits_end, "credits_ended")?;
            let list_price = entry.list_price(*pack, *packs);
            let differs =
                |amount: &i128| list_price.is_some_and(|list_price| list_price != *amount);
            refuse_if(amount.as_ref().is_some_and(differs), "amount_mismatch")?;
            let valid_until = add_months(time, book.credit_validity_months);
            let expires_at = if is_api {
                valid_until.min(book.credits_end)
            } else {
                valid_until
            };
            let size = i128::from(*pack) * i128::from(*packs) * MICRO;
            let lot = Lot::bought(event.id.clone(), LotKind::Credit, time, expires_at, size);
            team.add_lot(
                clock,
                Lot {
                    subscription: !is_api,
                    ..lot
                },
            );
        }
        Body::CreditsTransferred { .. } => return Err("transfer_not_allowed"),
        Body::ApiCall(_) | Body::UsageCorrected { .. } | Body::ClockTick => {
            panic!("{} is no account event", event.id)
        }
    }
    Ok(Trigger::Event)
}

fn refuse_if(condition: bool, reason: &'static str) -> Result<(), &'static str> {
    if condition { Err(reason) } else { Ok(()) }
}

fn enrol(scene: &Scene<'_>, team: &mut Team, offering: &Offering) -> Result<(), &'static str> {
    let Scene {
        book, clock, event, ..
    } = scene;
    let (clock, time) = (*clock, event.content.time);
    // A team can enrol before launch, so the card is the one in force from then on.
    let card = book.card_at(time.max(book.launch));
    match offering {
        Offering::Free => {
            refuse_if(
                matches!(team.last_tier(), Tier::Free | Tier::Paid),
                "already_enrolled",
            )?;
            team.enter_tier(book, clock, time, Tier::Free);
        }
        Offering::Prepay => enter_paid(book, team, clock, time),
        Offering::Postpay {
            country,
            payment_method,
            good_standing,
            currency,
        } => {
            refuse_if(!card.countries.contains(country), "country_not_eligible")?;
            refuse_if(
                !card.payment_methods.contains(payment_method),
                "payment_method_not_eligible",
            )?;
            refuse_if(
                !good_standing || team.standing_is_bad(),
                "not_in_good_standing",
            )?;
            let currency = currency
                .clone()
                .or(team.currency.clone())
                .unwrap_or("USD".to_string());
            refuse_if(
                !card.price_per_token.contains_key(&currency),
                "currency_not_priced",
            )?;
            refuse_if(
                team.currency
                    .as_ref()
                    .is_some_and(|before| *before != currency),
                "currency_change",
            )?;
            enter_paid(book, team, clock, time);
            team.open_postpay(clock, time.max(book.launch));
            team.country = Some(country.clone());
            team.currency = Some(currency);
        }
    }
    Ok(())
}

/// Tier Paid if the team is not Paid already; a pending downgrade is cancelled. Entering Paid
/// starts a new era, and funding afresh, when the event is folded, even if the entry takes effect
/// later (`fold.md` 6).
fn enter_paid(book: &Book, team: &mut Team, clock: i64, time: i64) {
    team.pending_downgrade = None;
    if team.last_tier() != Tier::Paid {
        team.enter_tier(book, clock, time, Tier::Paid);
        team.last_funded = Funding::None;
        team.funding = Funding::None;
    }
}

/// Pending until an instant, or at once if that is not after the clock.
fn request_downgrade(book: &Book, team: &mut Team, clock: i64, instant: i64) {
    if instant > clock {
        team.pending_downgrade = Some(instant);
    } else {
        team.enter_tier(book, clock, instant, Tier::Free);
        team.close_postpay(clock, instant);
    }
}

fn adjust(
    scene: &Scene<'_>,
    team: &mut Team,
    delta: i128,
    purpose: Option<&str>,
) -> Result<Trigger, &'static str> {
    let Scene {
        book, clock, event, ..
    } = scene;
    let (clock, time) = (*clock, event.content.time);
    refuse_if(delta == 0, "zero_delta")?;
    if purpose == Some("subscription") {
        refuse_if(delta > 0, "not_adjustable")?;
        let held: i128 = team
            .live_lots(clock, true)
            .iter()
            .map(|index| team.lots[*index].remaining)
            .sum();
        refuse_if(-delta > held, "insufficient")?;
        let drawn = team.draw(clock, true, -delta);
        assert!(
            drawn == -delta,
            "{}: drew {}",
            event.id,
            format_tokens(drawn)
        );
        return Ok(Trigger::Event);
    }
    if delta > 0 {
        let expires_at = add_months(time, book.card_at(time).token_validity_months);
        team.add_lot(
            clock,
            Lot::bought(event.id.clone(), LotKind::Token, time, expires_at, delta),
        );
        return Ok(Trigger::Event);
    }
    let uncharged = -delta - team.draw(clock, false, -delta);
    team.debt += uncharged;
    Ok(Trigger::Adjusted { uncharged })
}

/// The entry of the channel that sells the credits, or why there is none (`fold.md` 6.2).
fn credit_channel<'a>(
    book: &'a Book,
    time: i64,
    channel: &str,
    pack: i64,
    account_kind: &str,
) -> Result<&'a Channel, &'static str> {
    let mut entries: Vec<&Channel> = book
        .channels
        .iter()
        .filter(|entry| entry.channel == channel)
        .collect();
    refuse_if(entries.is_empty(), "unknown_channel")?;
    entries.retain(|entry| entry.is_available(time));
    refuse_if(entries.is_empty(), "channel_not_available")?;
    entries.retain(|entry| entry.account_kinds.iter().any(|kind| kind == account_kind));
    let entry = *entries.first().ok_or("not_applicable_to_account")?;
    refuse_if(!entry.packs.contains(&pack), "pack_not_sold")?;
    Ok(entry)
}
