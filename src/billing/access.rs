//! Whether a gateway may let a call through (`interfaces.md` 6; B7, B10, B29, B51).
//!
//! It decides nothing about a bill: what is called all the same is folded as the fold says.

use super::account::TeamAccount;
use super::funding::Funding;
use super::rate_book::{CapSuspends, Meter, RateBook};
use super::tier::Tier;
use super::time::Instant;

/// A call that somebody is about to make.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub app: &'a str,
    /// Compared without ASCII case.
    pub api: &'a str,
    /// Row of the rate card, where a cap suspends meters by themselves. Without it a capped API is
    /// refused only once all its meters are.
    pub meter: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Allowed,
    NotEnrolled,
    AppNotInHub,
    /// Until this instant, the end of the month of the clock.
    CapReached(Instant),
    Suspended,
}

/// The card in force has the API, but no such meter of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMeter;

impl Access {
    /// Why not, as it is written; None: allowed.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Access::Allowed => None,
            Access::NotEnrolled => Some("not_enrolled"),
            Access::AppNotInHub => Some("app_not_in_hub"),
            Access::CapReached(_) => Some("cap_reached"),
            Access::Suspended => Some("suspended"),
        }
    }

    pub const fn resumes_at(self) -> Option<Instant> {
        match self {
            Access::CapReached(at) => Some(at),
            _ => None,
        }
    }
}

/// What `call` of a team meets at `clock`, by the first match of the table of `interfaces.md` 6.
/// `account` is None for a team that was never heard of.
pub fn access(
    account: Option<&TeamAccount>,
    book: &RateBook,
    clock: Instant,
    call: &Call,
) -> Result<Access, UnknownMeter> {
    let tier = match account {
        Some(account) => account.tier_at(book, clock),
        None => TeamAccount::default().tier_at(book, clock),
    };
    let in_hub = account.is_some_and(|account| account.is_in_hub(call.app, clock));
    if book.launch.is_some_and(|launch| clock >= launch) && (tier == Tier::Unenrolled || !in_hub) {
        return Ok(match tier {
            _ if clock < book.enrolment_deadline => Access::Allowed,
            Tier::Unenrolled => Access::NotEnrolled,
            _ => Access::AppNotInHub,
        });
    }
    let Some((account, card)) = account.zip(book.card_at(clock)) else {
        return Ok(Access::Allowed);
    };
    let card = book.card(card);
    let meters = card.meters.iter();
    let of_api = meters.filter(|meter| book.api_id(meter.api).eq_ignore_ascii_case(call.api));
    if of_api.clone().next().is_none() {
        return Ok(Access::Allowed);
    }
    if let Some(id) = call.meter {
        let named = of_api
            .clone()
            .find(|meter| book.meter_id(meter.meter) == id);
        named.ok_or(UnknownMeter)?;
    }
    let month = clock.month();
    let is_capped = |meter: &Meter| {
        let month = account.month(month);
        month.is_some_and(|month| month.is_capped(meter.scope))
    };
    let is_asked = |meter: &&Meter| match (card.cap_suspends, call.meter) {
        (CapSuspends::Meter, Some(id)) => book.meter_id(meter.meter) == id,
        _ => true,
    };
    if tier == Tier::Free && of_api.clone().filter(is_asked).all(is_capped) {
        return Ok(Access::CapReached(month.end()));
    }
    Ok(match account.funding {
        Funding::Suspended => Access::Suspended,
        _ => Access::Allowed,
    })
}
