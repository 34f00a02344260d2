//! Which access level a team holds, and since when (`fold.md` 3; B10, B29, Q24).

use smallvec::SmallVec;

use super::time::Instant;

/// A level as the tier history records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EnrolledTier {
    Free,
    Paid,
}

/// A level at some instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Before launch: every account pays from lots.
    Legacy,
    Unenrolled,
    Free,
    Paid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierEntry {
    pub effective_at: Instant,
    pub tier: EnrolledTier,
}

/// Entries ascending by `effective_at`, and a downgrade that has not come yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TierHistory {
    pub entries: SmallVec<[TierEntry; 2]>,
    pub pending_downgrade: Option<Instant>,
}

impl Tier {
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Legacy => "legacy",
            Tier::Unenrolled => "unenrolled",
            Tier::Free => "free",
            Tier::Paid => "paid",
        }
    }
}

impl TierHistory {
    /// The level at `at`. From the instant of a pending downgrade on it is Free already.
    pub fn tier_at(&self, at: Instant, launch: Option<Instant>) -> Tier {
        if launch.is_none_or(|launch| at < launch) {
            return Tier::Legacy;
        }
        if self
            .pending_downgrade
            .is_some_and(|downgrade| at >= downgrade)
        {
            return Tier::Free;
        }
        match self
            .entries
            .iter()
            .rev()
            .find(|entry| entry.effective_at <= at)
            .map(|entry| entry.tier)
        {
            None => Tier::Unenrolled,
            Some(EnrolledTier::Free) => Tier::Free,
            Some(EnrolledTier::Paid) => Tier::Paid,
        }
    }

    /// The last entry: what "now" means in the checks of account events.
    pub fn last(&self) -> Option<EnrolledTier> {
        self.entries.last().map(|entry| entry.tier)
    }

    /// Number of entries into Paid effective at or before `at`; 0 under the legacy regime.
    pub fn era_at(&self, at: Instant, launch: Option<Instant>) -> u32 {
        if launch.is_none_or(|launch| at < launch) {
            return 0;
        }
        let entered =
            |entry: &&TierEntry| entry.tier == EnrolledTier::Paid && entry.effective_at <= at;
        u32::try_from(self.entries.iter().filter(entered).count()).unwrap_or(u32::MAX)
    }

    /// Appends an entry, not before launch and not before the last entry. Returns its instant.
    pub fn enter(
        &mut self,
        tier: EnrolledTier,
        given: Instant,
        launch: Option<Instant>,
    ) -> Instant {
        let last = self
            .entries
            .last()
            .map_or(given, |entry| entry.effective_at);
        let effective_at = given.max(launch.unwrap_or(given)).max(last);
        self.entries.push(TierEntry { effective_at, tier });
        effective_at
    }
}
