//! The state of one team (`fold.md` 3): what the fold reads and changes, nothing else.

use compact_str::CompactString;
use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::amount::Tokens;
use super::cumulative::Cumulatives;
use super::disposition::Dispositions;
use super::funding::{Funding, LastFunded};
use super::lot::Lots;
use super::month::TeamMonth;
use super::period::Periods;
use super::rate_book::RateBook;
use super::tier::{Tier, TierHistory};
use super::time::{Instant, Month};

/// Everything that is remembered of a team, save the months that no event can reach any more.
///
/// Usage comes for any team and finds its account cold, so what most events need lies in one block
/// of memory: hence the lists with room for the usual few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamAccount {
    pub tiers: TierHistory,
    pub hub: Option<Box<str>>,
    /// Sorted by id.
    pub apps: SmallVec<[App; 1]>,
    pub lots: Lots,
    /// Charges that nobody could pay; at least zero.
    pub debt: Tokens,
    /// Unknown until the first accepted postpay enrolment.
    pub currency: Option<Box<str>>,
    pub country: Option<Box<str>>,
    pub postpay: Periods,
    pub bad_standing: Periods,
    pub funding: Funding,
    pub last_funded: LastFunded,
    /// Number of times that funding became Prepaid; never reset.
    pub episode: u64,
    pub trial_used: bool,
    pub cumulatives: Cumulatives,
    /// Ascending. Every open month with state, and the closed ones that usage or a correction
    /// within the dedup horizon can still name.
    pub months: SmallVec<[TeamMonth; 2]>,
    pub dispositions: Dispositions,
    /// Instants, ascending, at which something already folded takes effect (`fold.md` 8).
    pub effects: ThinVec<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub id: CompactString,
    /// In the hub from this instant on.
    pub migrated_at: Instant,
}

impl TeamAccount {
    /// A team that is first heard of at `clock`. Launch is an effect for whoever exists before it.
    pub fn new(book: &RateBook, clock: Instant) -> TeamAccount {
        let mut account = TeamAccount::default();
        if let Some(launch) = book.launch {
            account.expect_effect(launch, clock);
        }
        account
    }

    pub fn tier_at(&self, book: &RateBook, at: Instant) -> Tier {
        self.tiers.tier_at(at, book.launch)
    }

    pub fn era_at(&self, book: &RateBook, at: Instant) -> u32 {
        self.tiers.era_at(at, book.launch)
    }

    pub fn is_in_hub(&self, app: &str, at: Instant) -> bool {
        let index = self
            .apps
            .binary_search_by(|entry| entry.id.as_str().cmp(app));
        index
            .ok()
            .and_then(|index| self.apps.get(index))
            .is_some_and(|entry| entry.migrated_at <= at)
    }

    /// Postpay on and standing good at `at`.
    pub fn postpay_usable_at(&self, at: Instant) -> bool {
        self.postpay.contains(at) && !self.bad_standing.contains(at)
    }

    pub fn month(&self, month: Month) -> Option<&TeamMonth> {
        self.months.iter().rev().find(|entry| entry.month == month)
    }

    pub fn month_mut(&mut self, month: Month) -> &mut TeamMonth {
        let index = self.months.partition_point(|entry| entry.month < month);
        if self
            .months
            .get(index)
            .is_none_or(|entry| entry.month != month)
        {
            self.months.insert(index, TeamMonth::new(month));
        }
        &mut self.months[index]
    }

    /// Something folded at `clock` takes effect at `at`: a timer, if that is still to come.
    pub fn expect_effect(&mut self, at: Instant, clock: Instant) {
        if at > clock
            && let Err(index) = self.effects.binary_search(&at)
        {
            self.effects.insert(index, at);
        }
    }

    /// Takes out the leading months that are final and that no event can name any more: closed,
    /// and over for longer than the dedup horizon.
    pub fn take_settled_months(&mut self, book: &RateBook, clock: Instant) -> Vec<TeamMonth> {
        let settled = |entry: &TeamMonth| {
            let forgotten = entry.month.end().plus_millis(book.dedup_horizon_millis);
            clock >= book.closes_at(entry.month).max(forgotten)
        };
        let count = self
            .months
            .iter()
            .take_while(|entry| settled(entry))
            .count();
        self.months.drain(..count).collect()
    }
}
