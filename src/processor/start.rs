//! The start of a partition: from a store that may be old, new or foreign to one that holds exactly
//! what was committed (`engine.md` 5).
//!
//! Store and log are compared by witness. On any doubt the partition halts with both positions and
//! the way out; nothing is guessed. The work goes in slices, so that the worker can do its other
//! work between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Monotonic};

use crate::billing::rate_book::RateBook;
use crate::fail_point;
use crate::ports::log::{Committed, Halt, HaltCode, Kept, Log, LogError, Offsets, Stores};
use crate::ports::{Changes, Store, StoreError};
use crate::store::cells::read_meta;
use crate::wire::meta::{Fingerprint, Witness};

use super::adoption::Adoption;
use super::fit::{self, BookInForce, LateBook, Unfit};
use super::journaling::LogSettings;
use super::partition::{BookText, Partition, PartitionError};
use super::restore::{Origin, RESTORE_BATCH_BYTES, Restore};
use super::stored::{ahead, is_empty, place, read_book, read_local, replaced_topic};

/// A partition that does not start says so this often.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// What every partition of a process is started with.
pub struct StartSettings {
    pub log: LogSettings,
    pub book: BookText,
    pub parsed_book: Arc<RateBook>,
    /// (topic, topic id) of inputs, changelog and journal, as they are now.
    pub topic_ids: Vec<(String, String)>,
    /// How long the changelog keeps deletions.
    pub delete_retention: Duration,
    /// How long a missing offset is asked for again before it is believed.
    pub offsets_patience: Duration,
    /// Timers that run before what they cause may be committed.
    pub timers_per_stretch: usize,
    /// No partition is past the first card that is new: the book may be adopted.
    pub is_book_allowed: AtomicBool,
    /// Milliseconds since 1970 by the wall clock.
    pub wall_millis: fn() -> i64,
}

/// A partition on its way.
pub struct Start<S> {
    pub partition: u16,
    pub progress: Progress,
    pub began: Monotonic,
    pub origin: Origin,
    /// What the last comparison with META's digest found, until it is told.
    pub digest_check: Option<bool>,
    pub(super) store: Option<S>,
    pub(super) phase: Phase,
    pub(super) asked_since: Option<Monotonic>,
    /// When a line of the log last said that it waits, or it began.
    told_at: Monotonic,
    /// A store was found wanting after a tail; only one more restore is tried.
    pub(super) is_second_try: bool,
}

/// How far a restore is, in changelog records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub applied: u64,
    pub position: i64,
    pub end: i64,
}

pub(super) enum Phase {
    Open,
    /// Nothing that an earlier owner wrote may be open still: a marker that comes later would end it
    /// with a transaction that is not its own.
    Settle,
    Compare,
    Restore(Box<Restore>),
    /// No offset was ever committed: nothing may be there.
    ProveEmpty {
        topic: Kept,
        end: Option<i64>,
    },
    /// The configured book is new to the partition: is any partition past it?
    Adopt(Adoption),
    Begin,
}

/// What came of a slice of work.
pub enum Step<S> {
    /// Nothing to report; call again.
    Going,
    /// Waiting for something that is not ours to mend.
    Waiting(String),
    Ready(Box<Partition<S>>),
    /// Ready once what is staged is committed: a genesis, or another rate book. Then it starts
    /// again.
    Commit(Box<Partition<S>>),
    Halted(Halt),
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// The directory belongs to something else.
    #[error("{0}")]
    Foreign(String),
    /// The configuration does not fit the state.
    #[error("{0}")]
    Invalid(String),
}

impl<S: Store> Start<S> {
    pub fn new(partition: u16) -> Start<S> {
        Start {
            partition,
            progress: Progress::default(),
            began: Monotonic::now(),
            origin: Origin::Store,
            digest_check: None,
            store: None,
            phase: Phase::Open,
            asked_since: None,
            told_at: Monotonic::now(),
            is_second_try: false,
        }
    }

    /// From a store that is open already: after an abort.
    pub fn again(partition: u16, store: S) -> Start<S> {
        Start {
            store: Some(store),
            phase: Phase::Settle,
            ..Start::new(partition)
        }
    }

    /// One slice of work.
    pub fn step<L: Log, O: Stores<Store = S>>(
        &mut self,
        log: &mut L,
        stores: &mut O,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Open => self.open(stores, settings),
            Phase::Settle => self.settle(log),
            Phase::Compare => self.compare(log, stores, settings),
            Phase::Restore(restore) => self.restore(restore, log, stores, settings),
            Phase::ProveEmpty { topic, end } => self.prove_empty(topic, end, log, settings),
            Phase::Adopt(adoption) => self.adopt(adoption, log, settings),
            Phase::Begin => self.begin(log, settings),
        }
    }

    /// A line of the log where it has waited for long.
    pub fn tell_waiting(&mut self, reason: &str) {
        if self.told_at.elapsed() < TELL_INTERVAL {
            return;
        }
        self.told_at = Monotonic::now();
        let Progress {
            applied,
            position,
            end,
        } = self.progress;
        tracing::warn!(
            event = "partition_waiting",
            partition = self.partition,
            applied,
            position,
            end,
            "partition {} is not running yet: {reason}",
            self.partition
        );
    }

    /// The store, if the partition is given up before it is ready.
    pub fn into_store(self) -> Option<S> {
        self.store
    }

    pub(super) fn go_on(&mut self, phase: Phase) -> Step<S> {
        self.phase = phase;
        Step::Going
    }

    pub(super) fn wait(&mut self, phase: Phase, reason: impl Into<String>) -> Step<S> {
        self.phase = phase;
        Step::Waiting(reason.into())
    }

    pub(super) fn open_again(&mut self) -> Step<S> {
        self.wait(Phase::Open, "another worker has the store open")
    }

    pub(super) fn store(&self) -> &S {
        match &self.store {
            Some(store) => store,
            None => unreachable!("the store is opened first"),
        }
    }

    fn open<O: Stores<Store = S>>(
        &mut self,
        stores: &mut O,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        match stores.open(self.partition)? {
            Some(store) => self.store = Some(store),
            None => return Ok(self.open_again()),
        }
        if let Some(local) = read_local(self.store())? {
            let wanted = self.fingerprint(settings);
            if local.fingerprint != wanted {
                let found = local.fingerprint;
                return Err(StartError::Foreign(format!(
                    "the state directory of partition {} belongs to cluster {} group {} partition {}, \
                     not to cluster {} group {}; nothing was changed in it: set state_dir to the right \
                     one, or move it away and let it be restored",
                    self.partition,
                    found.cluster,
                    found.group,
                    found.partition,
                    wanted.cluster,
                    wanted.group,
                )));
            }
            if let Some(halt) = replaced_topic(&local, &settings.topic_ids) {
                return Ok(Step::Halted(halt));
            }
        }
        Ok(self.go_on(Phase::Settle))
    }

    pub(super) fn fingerprint(&self, settings: &StartSettings) -> Fingerprint {
        Fingerprint {
            cluster: settings.log.cluster.clone(),
            group: settings.log.group.clone(),
            partition: self.partition,
        }
    }

    /// The table of `engine.md` 5, the rows marked *any* apart from those on input positions.
    fn compare<L: Log, O: Stores<Store = S>>(
        &mut self,
        log: &mut L,
        stores: &mut O,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        let meta = read_meta(self.store())?;
        let local = read_local(self.store())?;
        let Some(committed) = log.committed(self.partition)? else {
            return Ok(self.wait(
                Phase::Compare,
                "the committed offset is not known yet, or belongs to a transaction that is open",
            ));
        };
        let (offset, metadata) = match committed {
            Committed::Missing => {
                let is_stored = meta.is_some();
                return Ok(self.offset_missing(is_stored, settings));
            }
            Committed::At { offset, metadata } => (offset, metadata),
        };
        self.asked_since = None;
        let Ok(witness) = metadata.parse::<Witness>() else {
            return Ok(self.halt(
                HaltCode::OffsetsForeign,
                format!(
                    "the committed offset {offset} carries no witness ({metadata:?}): it was set by \
                     something else; state stands at {}; after finding out who set it: meterfold \
                     recover --partition {} --offsets-from-meta",
                    place(meta.as_ref()),
                    self.partition
                ),
            ));
        };
        let Some(changelog) = log.open_kept(Kept::Changelog, self.partition, None)? else {
            return Ok(self.wait(Phase::Compare, "the changelog does not answer"));
        };
        let stale = local.as_ref().is_some_and(|local| {
            let age = (settings.wall_millis)() - local.meta_appended_at_millis;
            age > settings.delete_retention.as_millis() as i64 / 2
                || local.changelog_position < changelog.first
        });
        let full = |fingerprint: Fingerprint| {
            Restore::new(witness, None, fingerprint, &settings.topic_ids)
        };
        match (meta, local) {
            (Some(meta), Some(local)) if meta.witness() == witness => {
                log.close_kept(self.partition);
                if changelog.next < local.changelog_position {
                    return Ok(self.halt(
                        HaltCode::ChangelogMissing,
                        format!(
                            "the changelog ends at {}, before position {} that state was written \
                             with; restore the topic, or ask for help before anything is changed",
                            changelog.next, local.changelog_position
                        ),
                    ));
                }
                Ok(self.go_on(Phase::Begin))
            }
            (Some(meta), _) if meta.sequence > witness.sequence => {
                log.close_kept(self.partition);
                Ok(self.halt(HaltCode::StateAhead, ahead(meta.witness(), witness)))
            }
            (Some(meta), _) if meta.sequence == witness.sequence => {
                log.close_kept(self.partition);
                Ok(self.halt(
                    HaltCode::OffsetsForeign,
                    format!(
                        "state and committed offset both stand at commit {}, with different journal \
                         digests ({} and {}); one of them belongs to another history: move the state \
                         directory away to have it restored, or find out who wrote the offset",
                        meta.sequence,
                        meta.witness(),
                        witness
                    ),
                ))
            }
            (Some(_), Some(local)) if !stale => {
                let from = local.changelog_position;
                let restore = Restore {
                    from: Some(from),
                    is_full: false,
                    local,
                    ..full(self.fingerprint(settings))
                };
                self.origin = Origin::Tail;
                log.close_kept(self.partition);
                Ok(self.go_on(Phase::Restore(Box::new(restore))))
            }
            (stored, _) => {
                log.close_kept(self.partition);
                let is_renewed = stored.is_some() || !is_empty(self.store())?;
                if is_renewed && !self.renew_store(stores, false)? {
                    return Ok(self.open_again());
                }
                self.origin = Origin::Changelog;
                let restore = full(self.fingerprint(settings));
                Ok(self.go_on(Phase::Restore(Box::new(restore))))
            }
        }
    }

    fn restore<L: Log, O: Stores<Store = S>>(
        &mut self,
        mut restore: Box<Restore>,
        log: &mut L,
        stores: &mut O,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        let end = match restore.end {
            Some(end) => end,
            None => match log.open_kept(Kept::Changelog, self.partition, restore.from)? {
                Some(Offsets { next, .. }) => *restore.end.insert(next),
                None => {
                    let phase = Phase::Restore(restore);
                    return Ok(self.wait(phase, "the changelog does not answer"));
                }
            },
        };
        let mut applied = 0;
        let mut fault = None;
        let position = log.read_kept(self.partition, &mut |record| {
            applied += 1;
            fault = fault.take().or(restore.take(record).err());
        })?;
        if let Some(text) = fault {
            log.close_kept(self.partition);
            return Ok(self.halt(HaltCode::StateDigest, text));
        }
        if applied > 0 {
            fail_point::hit(fail_point::Step::Restore);
        }
        self.progress.applied += applied;
        self.progress.position = position;
        self.progress.end = end;
        // What lies after the wanted META belongs to no commit that C knows: it is only looked at.
        let is_reached = restore.reached.is_some();
        let is_full = restore.pending.bytes_len() > RESTORE_BATCH_BYTES;
        if is_full || is_reached && !restore.pending.is_empty() {
            self.apply(&mut restore.pending)?;
        }
        if position < end {
            let reason = match is_reached {
                true => "reading the changelog's end",
                false => "restoring from the changelog",
            };
            return Ok(self.wait(Phase::Restore(restore), reason));
        }
        log.close_kept(self.partition);
        if let Some(later) = restore.later {
            return Ok(self.halt(HaltCode::StateAhead, ahead(later, restore.witness)));
        }
        let Some(meta) = restore.reached.take() else {
            return Ok(self.halt(
                HaltCode::ChangelogMissing,
                format!(
                    "the committed offset stands at {}, whose META is not in the changelog below {end}; \
                     the topic was truncated, replaced or compacted by something else",
                    restore.witness
                ),
            ));
        };
        self.check_digest(*restore, &meta, stores, settings)
    }

    pub(super) fn apply(&mut self, changes: &mut Changes) -> Result<(), StoreError> {
        match &mut self.store {
            Some(store) => store.apply(changes)?,
            None => unreachable!("the store is opened first"),
        }
        changes.clear();
        Ok(())
    }

    /// Store and log agree: are the inputs still there, and is the book the right one?
    fn begin<L: Log>(
        &mut self,
        log: &mut L,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        let Some(meta) = read_meta(self.store())? else {
            unreachable!("a partition without META has a genesis")
        };
        if let Err(unfit) = fit::check(self.partition, &meta, settings) {
            return Self::unfit(unfit);
        }
        let Some(offsets) = log.input_offsets(self.partition)? else {
            return Ok(self.wait(Phase::Begin, "the inputs do not answer"));
        };
        for ((topic, next), offsets) in meta.positions.iter().zip(&offsets) {
            if *next < offsets.first {
                return Ok(self.halt(
                    HaltCode::RetentionPassedUs,
                    format!(
                        "{topic}: records {next} to {} are gone, and were never folded: put them back, \
                         or: meterfold recover --partition {} --accept-gap {topic}:{next}..{}",
                        offsets.first - 1,
                        self.partition,
                        offsets.first
                    ),
                ));
            }
            if *next > offsets.next {
                return Ok(self.halt(
                    HaltCode::LogTruncated,
                    format!(
                        "{topic}: the log ends at {}, before position {next} that is folded already: \
                         records were lost by the brokers (unclean election?)",
                        offsets.next
                    ),
                ));
            }
        }
        let stored = read_book(self.store())?;
        let BookInForce { book, adopted_from } =
            match fit::book_in_force(self.partition, &stored, &meta, settings) {
                Ok(found) => found,
                Err(Unfit::TooLate(late)) => {
                    return Ok(self.go_on(Phase::Adopt(Adoption::too_late(late))));
                }
                Err(unfit) => return Self::unfit(unfit),
            };
        if let Some(first_card) = adopted_from {
            if !settings.is_book_allowed.load(Ordering::Acquire) {
                return Ok(self.go_on(Phase::Adopt(Adoption::from_card(first_card))));
            }
            let partition = self.partition_of(settings, book)?;
            return self.staged(partition, |it| it.stage_adoption(&settings.book));
        }
        let partition = self.partition_of(settings, book)?;
        let positions: Vec<i64> = meta.positions.iter().map(|(_, next)| *next).collect();
        log.begin(self.partition, &positions, meta.clock)?;
        Ok(Step::Ready(Box::new(partition)))
    }

    fn unfit(unfit: Unfit) -> Result<Step<S>, StartError> {
        match unfit {
            Unfit::Halt(halt) => Ok(Step::Halted(halt)),
            Unfit::Invalid(text) | Unfit::TooLate(LateBook { text, .. }) => {
                Err(StartError::Invalid(text))
            }
        }
    }

    pub(super) fn halt(&mut self, code: HaltCode, text: String) -> Step<S> {
        Step::Halted(Halt::new(code, text))
    }
}
