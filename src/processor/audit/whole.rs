//! A whole journal folded again for other ends than an audit's: to keep the state at each close, to
//! show every step to somebody, to fold under another rate book.

use std::collections::BTreeMap;

use crate::billing::account::TeamAccount;
use crate::billing::time::{Instant, Month};
use crate::ports::evidence::{Evidence, Records, Stretch, Topic};
use crate::ports::{StagedDerived, Store};
use crate::processor::counts::Counts;
use crate::processor::partition::Partition;
use crate::processor::step::StepObserver;
use crate::store::cells::{read_meta, read_team};

use super::Stop;
use super::chain::{Chain, JournalReader, Start};
use super::input;
pub use super::purpose::OtherBook;
use super::purpose::Purpose;
use super::walk::Walk;

/// A partition that was watched up to the end of its journal.
pub struct Watched {
    /// The account of the team where the refold began.
    pub account: Option<TeamAccount>,
    pub clock: Option<Instant>,
    /// Of accepted gaps, by their commit: the month of the first record after it.
    pub gap_ends: BTreeMap<u64, Month>,
}

/// A partition at the end of its journal, and what was folded.
pub struct Refolded<S> {
    pub partition: Partition<S>,
    pub counts: Counts,
}

/// Refolds one partition from the state after commit `start` (None: from its genesis) to the end of
/// its journal. Where months were closed by a commit, `keep` is given its number and the store.
pub fn keep_closes<E: Evidence, S: Store>(
    evidence: &E,
    chain: &Chain,
    start: Option<u64>,
    store: S,
    folded: &(dyn Fn(u64) -> bool + Sync),
    mut keep: impl FnMut(u64, &S) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let purpose = Purpose::default();
    let mut walk = Walk::<E, S>::begin(evidence, &whole(chain), start, store, purpose, folded)?;
    let mut open = walk.refold.earliest_open_month();
    while let Some((sealed, _)) = walk.step()? {
        let now = walk.refold.earliest_open_month();
        if open.is_some_and(|open| now > Some(open)) && sealed.record.timer_cursor.is_none() {
            keep(sealed.record.sequence, walk.refold.store())?;
        }
        if sealed.record.timer_cursor.is_none() {
            open = now;
        }
    }
    Ok(())
}

/// Refolds one partition, from the state after commit `start` (None: from its genesis) to the end of
/// its journal, and compares it as an audit does; an observer of `observer` sees each step of `team`.
pub fn watch<E: Evidence, S: Store>(
    evidence: &E,
    chain: &Chain,
    start: Option<u64>,
    team: &str,
    store: S,
    observer: &(dyn Fn() -> Box<dyn StepObserver> + Sync),
    folded: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Watched, Stop> {
    let purpose = Purpose {
        observer: Some(observer),
        book: None,
    };
    let mut walk = Walk::<E, S>::begin(evidence, &whole(chain), start, store, purpose, folded)?;
    let account = read_team(walk.refold.store(), team)?.map(|cell| cell.account);
    while walk.step()?.is_some() {}
    Ok(Watched {
        account,
        clock: walk.refold.clock(),
        gap_ends: walk.refold.gap_ends,
    })
}

/// Folds one partition in the order and with the clocks of its journal: under the journal's books,
/// compared as an audit does, or under `book`. `derived` is given the events of each commit.
pub fn fold_under<E: Evidence, S: Store>(
    evidence: &E,
    chain: &Chain,
    store: S,
    book: Option<&OtherBook>,
    folded: &(dyn Fn(u64) -> bool + Sync),
    mut derived: impl FnMut(Vec<StagedDerived>) -> Result<(), Stop>,
) -> Result<Refolded<S>, Stop> {
    let purpose = Purpose {
        observer: None,
        book,
    };
    let mut walk = Walk::<E, S>::begin(evidence, &whole(chain), None, store, purpose, folded)?;
    while let Some((_, outputs)) = walk.step()? {
        derived(outputs.derived)?;
    }
    let (partition, counts) = walk.refold.finish()?;
    Ok(Refolded { partition, counts })
}

/// Whether inputs of a partition no longer reach back to where its journal begins.
pub fn lacks_its_start<E: Evidence>(evidence: &E, partition: u16) -> Result<bool, Stop> {
    let journal = evidence.open(Topic::Journal, partition, Stretch::ALL)?;
    let Some(genesis) = JournalReader::new(journal, partition).take()? else {
        return Ok(false);
    };
    Ok(!reaches_back(
        evidence,
        partition,
        &genesis.record.positions,
    )?)
}

/// The earliest place from which a partition can be watched, its genesis (None) if that is still
/// kept, and all of `month` be seen.
pub fn start_before<'a, E: Evidence>(
    evidence: &E,
    chain: &'a Chain,
    month: Month,
) -> Result<Option<&'a Start>, Stop> {
    let partition = chain.partition;
    if !lacks_its_start(evidence, partition)? {
        return Ok(None);
    }
    for start in chain.starts_before(month) {
        if reaches_back(evidence, partition, &start.positions)? {
            return Ok(Some(start));
        }
    }
    Err(Stop::Unproven(format!(
        "the oldest records of partition {partition} are gone, and no state was kept after them that is \
         older than {month}: how its amounts came about is not known; give a later month, or an archive \
         that holds them"
    )))
}

/// Whether inputs are kept from `positions` on.
fn reaches_back<E: Evidence>(
    evidence: &E,
    partition: u16,
    positions: &[(String, i64)],
) -> Result<bool, Stop> {
    for (index, (_, next)) in (0..).zip(positions) {
        let input = evidence.open(Topic::Input(index), partition, Stretch::from(*next))?;
        if input.first() > *next {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts the newest state that the changelog holds into an empty store. Returns the commit that made
/// it; None: there is none.
pub fn load_newest<E: Evidence>(
    evidence: &E,
    partition: u16,
    store: &mut impl Store,
) -> Result<Option<u64>, Stop> {
    let mut cells = evidence.open(Topic::Changelog, partition, Stretch::ALL)?;
    input::load(&mut cells, store)?;
    Ok(read_meta(store)?.map(|meta| meta.sequence))
}

/// Up to the end of the journal, whichever month is closed before.
fn whole(chain: &Chain) -> Chain {
    Chain {
        closed_by: None,
        ..chain.clone()
    }
}
