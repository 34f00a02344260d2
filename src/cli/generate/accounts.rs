//! What teams do besides making calls: buy, enrol, leave and come back, adjust.
//!
//! A rough account of each team (16 bytes) makes this plausible: purchases when tokens run low,
//! cancellations by those who have something to cancel. It is no second fold: some of these
//! events are refused, as in life.

use std::collections::VecDeque;

use super::name::Name;
use super::random::Random;
use super::team::{Kind, Team};
use crate::billing::amount::Tokens;
use crate::billing::event::{AccountKind, Body, Offering, Purpose};
use crate::billing::time::{Instant, MILLIS_PER_DAY};

/// 2025-12-08: Free, prepay and postpay begin; before, every team pays with credits.
const LAUNCH: Instant = Instant::from_millis(1_765_152_000_000);
/// 2026-01-01: what is left of credits is void.
const CREDITS_END: Instant = Instant::from_millis(1_767_225_600_000);

/// Every other team buys when this little is left, the others when they are this much in debt:
/// they run dry first.
const LOW_MILLITOKENS: i64 = 10_000;
/// How long a team stays in bad standing, or away from what it left.
const ABSENCE_MILLIS: i64 = 10 * MILLIS_PER_DAY;
const TRIAL_MILLIS: i64 = 90 * MILLIS_PER_DAY;
/// Teams looked at to find one that an event suits; else the last one has it all the same.
const CANDIDATES_MAX: u32 = 64;

/// An occasional event that is no API call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    Correct,
    AdjustTokens,
    AdjustDesktop,
    LoseStanding,
    Downgrade,
    CancelPostpay,
    Upgrade,
    MoveApp,
    BuyTokens,
    BuyCredits,
    TransferCredits,
    StartTrial,
}

/// Happenings take turns in this order, so that all occur in a short stream too.
pub const ROUND: [Happening; 16] = [
    Happening::AdjustTokens,
    Happening::Correct,
    Happening::LoseStanding,
    Happening::Downgrade,
    Happening::Correct,
    Happening::BuyTokens,
    Happening::AdjustDesktop,
    Happening::Correct,
    Happening::CancelPostpay,
    Happening::MoveApp,
    Happening::Correct,
    Happening::BuyCredits,
    Happening::Upgrade,
    Happening::Correct,
    Happening::TransferCredits,
    Happening::StartTrial,
];

pub struct Accounts {
    seed: u64,
    accounts: Vec<Account>,
    /// In order of time, as all absences are of the same length.
    returns: VecDeque<(Instant, Team, Return)>,
}

#[derive(Clone, Copy, Default)]
struct Account {
    millitokens: i64,
    purchases: u8,
    is_paid: bool,
    has_postpay: bool,
    holds_credits: bool,
}

#[derive(Clone, Copy)]
enum Return {
    GoodStanding,
    Enrolment,
}

impl Accounts {
    pub fn new(seed: u64, teams: u32) -> Accounts {
        Accounts {
            seed,
            accounts: vec![Account::default(); teams as usize],
            returns: VecDeque::new(),
        }
    }

    /// Takes note of an event of the team other than usage.
    pub fn note(&mut self, team: Team, at: Instant, body: &Body<Name>) {
        let account = &mut self.accounts[team.number as usize];
        let mut leaves = |what| {
            self.returns
                .push_back((at.plus_millis(ABSENCE_MILLIS), team, what))
        };
        match *body {
            Body::OfferingEnrolled(Offering::Prepay) => account.is_paid = true,
            Body::OfferingEnrolled(Offering::Postpay { .. }) => {
                account.is_paid = true;
                account.has_postpay = true;
            }
            Body::PostpayCancelled => {
                account.has_postpay = false;
                leaves(Return::Enrolment);
            }
            Body::DowngradeRequested => {
                account.is_paid = false;
                account.has_postpay = false;
                leaves(Return::Enrolment);
            }
            Body::StandingChanged { good: false } => leaves(Return::GoodStanding),
            Body::TokensPurchased { tokens, .. } => account.buy(tokens),
            Body::CreditsPurchased {
                pack,
                packs,
                account_kind: AccountKind::Forge,
                ..
            } => {
                account.buy(pack * packs);
                account.holds_credits = true;
            }
            Body::TrialStarted { credits, .. } => {
                account.buy(credits);
                account.holds_credits = true;
            }
            _ => {}
        }
    }

    pub fn spend(&mut self, team: Team, millitokens: i64) {
        self.accounts[team.number as usize].millitokens -= millitokens;
    }

    /// A purchase, if the team is low and gets round to it.
    pub fn purchase_if_low(
        &mut self,
        team: Team,
        at: Instant,
        random: &mut Random,
    ) -> Option<Body<Name>> {
        let account = &mut self.accounts[team.number as usize];
        if account.holds_credits && at >= CREDITS_END {
            account.holds_credits = false;
            account.millitokens = 0;
        }
        let buys_early = team.number.is_multiple_of(2);
        let low_millitokens = if buys_early {
            LOW_MILLITOKENS
        } else {
            -LOW_MILLITOKENS
        };
        if account.millitokens >= low_millitokens {
            return None;
        }
        let buys = match team.kind() {
            _ if is_legacy(at) => random.one_in(4),
            Kind::Prepay => account.is_paid && random.one_in(4),
            Kind::PrepayAndPostpay => account.is_paid && random.one_in(64),
            Kind::Free | Kind::Postpay => false,
        };
        let tokens = account.next_purchase();
        buys.then(|| purchase(team, at, tokens))
    }

    /// The event of a team that comes back by now from what it left or lost.
    pub fn next_return(&mut self, at: Instant) -> Option<(Team, Body<Name>)> {
        let &(due, team, what) = self.returns.front()?;
        if due > at {
            return None;
        }
        self.returns.pop_front();
        let body = match (what, team.kind()) {
            (Return::GoodStanding, _) => Body::StandingChanged { good: true },
            (Return::Enrolment, Kind::Postpay | Kind::PrepayAndPostpay) => postpay_enrolment(team),
            (Return::Enrolment, _) => Body::OfferingEnrolled(Offering::Prepay),
        };
        Some((team, body))
    }

    /// Finds one of the first `joined` teams for the happening. None: it is a correction, which
    /// starts from an earlier call.
    pub fn happen(
        &self,
        happening: Happening,
        at: Instant,
        joined: u32,
        random: &mut Random,
    ) -> Option<(Team, Body<Name>)> {
        let team = self.find(happening, joined, random);
        let body = match happening {
            Happening::Correct => return None,
            Happening::AdjustTokens => adjust_tokens(random),
            Happening::AdjustDesktop => adjust_desktop(random),
            Happening::LoseStanding => Body::StandingChanged { good: false },
            Happening::Downgrade => Body::DowngradeRequested,
            Happening::CancelPostpay => Body::PostpayCancelled,
            Happening::Upgrade => postpay_enrolment(team),
            Happening::MoveApp => {
                let app_id = team.app(team.apps() + 1);
                Body::AppMigrated {
                    app_id,
                    hub_id: Some(team.hub()),
                }
            }
            Happening::BuyTokens => {
                let tokens = self.accounts[team.number as usize].next_purchase();
                with_contract_terms(tokens_purchase(team, tokens), at, random)
            }
            Happening::BuyCredits => credits_purchase(random),
            Happening::TransferCredits => {
                let to = Name::Team(random.below(u64::from(joined)) as u32);
                Body::CreditsTransferred { to, credits: 10 }
            }
            Happening::StartTrial => trial(at),
        };
        Some((team, body))
    }

    fn find(&self, happening: Happening, joined: u32, random: &mut Random) -> Team {
        let mut draw = || Team::of(self.seed, random.below(u64::from(joined)) as u32);
        for _ in 1..CANDIDATES_MAX {
            let team = draw();
            let account = &self.accounts[team.number as usize];
            let suits = match happening {
                Happening::AdjustTokens | Happening::BuyTokens => {
                    account.is_paid && account.purchases > 0
                }
                Happening::AdjustDesktop => team.uses_desktop(),
                Happening::LoseStanding | Happening::CancelPostpay => account.has_postpay,
                Happening::Downgrade => account.is_paid,
                Happening::Upgrade => !account.is_paid,
                _ => true,
            };
            if suits {
                return team;
            }
        }
        draw()
    }
}

impl Account {
    fn buy(&mut self, tokens: u64) {
        self.millitokens += tokens as i64 * 1_000;
        self.purchases = self.purchases.saturating_add(1);
    }

    /// Who comes back often buys more at a time.
    fn next_purchase(&self) -> u64 {
        100 << self.purchases.min(9)
    }
}

/// Whether `at` lies before the launch.
pub fn is_legacy(at: Instant) -> bool {
    at < LAUNCH
}

pub fn postpay_enrolment(team: Team) -> Body<Name> {
    let payment_method = if team.number.is_multiple_of(3) {
        "paypal"
    } else {
        "credit_card"
    };
    Body::OfferingEnrolled(Offering::Postpay {
        country: Name::Fixed(team.country()),
        payment_method: Name::Fixed(payment_method),
        good_standing: true,
        currency: Some(Name::Fixed(team.currency())),
    })
}

pub fn trial(at: Instant) -> Body<Name> {
    Body::TrialStarted {
        credits: 100,
        ends_at: at.plus_millis(TRIAL_MILLIS),
    }
}

/// Credits before the launch, tokens from then on. `tokens` is a multiple of 100.
pub fn purchase(team: Team, at: Instant, tokens: u64) -> Body<Name> {
    if is_legacy(at) {
        forge_credits(tokens)
    } else {
        tokens_purchase(team, tokens)
    }
}

fn forge_credits(credits: u64) -> Body<Name> {
    Body::CreditsPurchased {
        channel: Name::Fixed("forge_team"),
        pack: 100,
        packs: credits / 100,
        account_kind: AccountKind::Forge,
        amount: None,
    }
}

/// The amount is what a producer would send along; nothing is computed from it.
fn tokens_purchase(team: Team, tokens: u64) -> Body<Name> {
    let price = if team.currency() == "JPY" { 480 } else { 3 };
    Body::TokensPurchased {
        tokens,
        amount: Tokens::from_product(tokens, price).ok(),
        currency: Some(Name::Fixed(team.currency())),
        expires_at: None,
    }
}

fn with_contract_terms(purchase: Body<Name>, at: Instant, random: &mut Random) -> Body<Name> {
    match purchase {
        Body::TokensPurchased {
            tokens,
            amount,
            currency,
            ..
        } if random.one_in(2) => {
            let expires_at = Some(at.plus_months(random.pick(&[1, 2, 24])));
            Body::TokensPurchased {
                tokens,
                amount,
                currency,
                expires_at,
            }
        }
        standard => standard,
    }
}

fn credits_purchase(random: &mut Random) -> Body<Name> {
    let (channel, pack, account_kind) = random.pick(&[
        ("account_page", 100, AccountKind::Subscription),
        ("forge_team", 100, AccountKind::Forge),
        ("reseller", 5_000, AccountKind::Maintenance),
        ("direct_sales", 5_000, AccountKind::Enterprise),
        ("store", 100, AccountKind::Forge),
    ]);
    Body::CreditsPurchased {
        channel: Name::Fixed(channel),
        pack,
        packs: 1,
        account_kind,
        amount: None,
    }
}

fn adjust_tokens(random: &mut Random) -> Body<Name> {
    if random.one_in(4) {
        adjustment(random.between(2, 40), "goodwill", None)
    } else {
        adjustment(-random.between(1, 40), "desktop use", Some(Purpose::Api))
    }
}

fn adjust_desktop(random: &mut Random) -> Body<Name> {
    adjustment(
        -random.between(1, 40),
        "desktop use",
        Some(Purpose::Subscription),
    )
}

fn adjustment(half_tokens: i64, reason: &'static str, purpose: Option<Purpose>) -> Body<Name> {
    let delta = Tokens::from_micros(i128::from(half_tokens) * 500_000);
    Body::TokensAdjusted {
        delta: delta.expect("few tokens are an amount"),
        reason: Some(Name::Fixed(reason)),
        purpose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER_LAUNCH: Instant = Instant::from_millis(1_768_000_000_000);

    #[test]
    fn the_vendor_s_dates_are_right() {
        assert_eq!(LAUNCH.to_string(), "2025-12-08T00:00:00Z");
        assert_eq!(CREDITS_END.to_string(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn an_account_takes_few_bytes() {
        assert!(size_of::<Account>() <= 16);
    }

    #[test]
    fn teams_come_back_after_their_absence() {
        let team = (0..)
            .map(|number| Team::of(1, number))
            .find(|team| team.kind() == Kind::Postpay);
        let team = team.expect("many are");
        let mut accounts = Accounts::new(1, 1_000);
        for body in [
            Body::StandingChanged { good: false },
            Body::PostpayCancelled,
        ] {
            accounts.note(team, AFTER_LAUNCH, &body);
        }
        let back_at = AFTER_LAUNCH.plus_millis(ABSENCE_MILLIS);
        assert!(accounts.next_return(back_at.minus_millis(1)).is_none());
        let returns: Vec<Body<Name>> = std::iter::from_fn(|| accounts.next_return(back_at))
            .map(|(_, body)| body)
            .collect();
        assert_eq!(
            returns,
            [
                Body::StandingChanged { good: true },
                postpay_enrolment(team)
            ]
        );
    }

    #[test]
    fn a_low_prepay_team_buys_and_then_has_enough() {
        let team = (0..)
            .map(|number| Team::of(1, number))
            .find(|team| team.kind() == Kind::Prepay);
        let team = team.expect("many are");
        let mut accounts = Accounts::new(1, 1_000);
        let mut random = Random::new(1);
        accounts.note(
            team,
            AFTER_LAUNCH,
            &Body::OfferingEnrolled(Offering::Prepay),
        );
        accounts.spend(team, LOW_MILLITOKENS + 1);
        let bought =
            (0..100).find_map(|_| accounts.purchase_if_low(team, AFTER_LAUNCH, &mut random));
        let bought = bought.expect("one try in four");
        assert!(matches!(bought, Body::TokensPurchased { tokens: 100, .. }));
        accounts.note(team, AFTER_LAUNCH, &bought);
        assert!((0..100).all(|_| {
            accounts
                .purchase_if_low(team, AFTER_LAUNCH, &mut random)
                .is_none()
        }));
    }

    #[test]
    fn what_cannot_be_cancelled_is_cancelled_only_if_there_is_nothing_else() {
        let mut accounts = Accounts::new(1, 10);
        let team = Team::of(1, 7);
        accounts.note(team, AFTER_LAUNCH, &postpay_enrolment(team));
        let mut random = Random::new(1);
        let (found, body) = accounts
            .happen(Happening::CancelPostpay, AFTER_LAUNCH, 10, &mut random)
            .expect("no correction");
        assert_eq!((found.number, body), (7, Body::PostpayCancelled));
        let (found, _) = accounts
            .happen(Happening::CancelPostpay, AFTER_LAUNCH, 7, &mut random)
            .expect("no correction");
        assert!(found.number < 7);
    }
}
