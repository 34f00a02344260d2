//! Who pays for the next charge, and the two derived events of its changes (`fold.md` 6.3; B17,
//! B18, B46, B52).

use super::account::TeamAccount;
use super::amount::Tokens;
use super::derived_event::{
    DepletionReason, Fact, Split, SwitchReason, SwitchedToPostpay, TokensDepleted,
};
use super::rate_book::RateBook;
use super::tier::Tier;
use super::time::Instant;

/// Defined while the team is Paid or Legacy at the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Funding {
    #[default]
    None,
    Prepaid,
    Postpay,
    Suspended,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastFunded {
    #[default]
    None,
    Prepaid,
    Postpay,
}

/// What brought the evaluation about, as far as the derived events tell it.
#[derive(Clone, Copy, Debug)]
pub struct Trigger {
    pub depletion: DepletionReason,
    /// Reason of a switch that comes without a depletion of the same evaluation.
    pub switch: SwitchReason,
    pub expired: Tokens,
    pub uncharged: Tokens,
    pub split: Option<Split>,
}

impl Funding {
    pub const fn name(self) -> &'static str {
        match self {
            Funding::None => "none",
            Funding::Prepaid => "prepaid",
            Funding::Postpay => "postpay",
            Funding::Suspended => "suspended",
        }
    }
}

impl Default for Trigger {
    fn default() -> Trigger {
        Trigger {
            depletion: DepletionReason::Consumed,
            switch: SwitchReason::Enrolled,
            expired: Tokens::ZERO,
            uncharged: Tokens::ZERO,
            split: None,
        }
    }
}

/// Brings `account.funding` up to date at `clock` and hands the facts that follow to `emit`: a
/// depletion first, then a switch.
pub fn evaluate(
    account: &mut TeamAccount,
    book: &RateBook,
    clock: Instant,
    trigger: &Trigger,
    mut emit: impl FnMut(Fact),
) {
    let before = account.funding;
    let now = funding_at(account, book, clock);
    account.funding = now;
    if now == before {
        return;
    }
    if now == Funding::Prepaid {
        account.episode = account.episode.saturating_add(1);
        account.last_funded = LastFunded::Prepaid;
    }
    // Leaving Paid (funding None) is no depletion, whatever the balance.
    let depleted = before == Funding::Prepaid && now != Funding::None;
    if depleted {
        emit(Fact::TokensDepleted(TokensDepleted {
            episode: account.episode,
            reason: trigger.depletion,
            expired: trigger.expired,
            uncharged: trigger.uncharged,
            postpay_usable: now == Funding::Postpay,
        }));
    }
    if now == Funding::Postpay {
        if account.last_funded == LastFunded::Prepaid {
            emit(Fact::SwitchedToPostpay(SwitchedToPostpay {
                episode: account.episode,
                reason: if depleted {
                    SwitchReason::Depleted
                } else {
                    trigger.switch
                },
                split: trigger.split,
            }));
        }
        account.last_funded = LastFunded::Postpay;
    }
}

fn funding_at(account: &TeamAccount, book: &RateBook, clock: Instant) -> Funding {
    match account.tier_at(book, clock) {
        Tier::Free | Tier::Unenrolled => Funding::None,
        Tier::Paid | Tier::Legacy if account.lots.balance().is_positive() => Funding::Prepaid,
        Tier::Paid | Tier::Legacy if account.postpay_usable_at(clock) => Funding::Postpay,
        Tier::Paid | Tier::Legacy => Funding::Suspended,
    }
}
