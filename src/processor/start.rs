//! The start of a partition: from a store that may be old, new or foreign to one that holds exactly
//! what was committed (`engine.md` 5).
//!
//! Store and log are compared by witness. On any doubt the partition halts with both positions and
//! the way out; nothing is guessed. The work goes in slices, so that the worker can do its other
//! work between them.

use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic};

use crate::billing::rate_book::RateBook;
use crate::fail_point;
use crate::ports::log::{
    Committed, Halt, HaltCode, Kept, KeptRecord, Log, LogError, Offsets, Stores,
};
use crate::ports::{Changes, Store, StoreError};
use crate::wire::cells;
use crate::wire::keys;
use crate::wire::meta::{FOLD_VERSION, Fingerprint, Local, Meta, Witness};
use crate::wire::rate_book::{self, BookChange};

use super::journaling::LogSettings;
use super::partition::{BookText, Partition, PartitionError, read_meta};
use super::recount::{self, Recount};

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
    /// Milliseconds since 1970 by the wall clock.
    pub wall_millis: fn() -> i64,
}

/// A partition on its way.
pub struct Start<S> {
    pub partition: u16,
    pub progress: Progress,
    store: Option<S>,
    phase: Phase,
    asked_since: Option<Monotonic>,
    /// A store was found wanting after a tail; only one more restore is tried.
    is_second_try: bool,
}

/// How far a restore is, in changelog records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub applied: u64,
    pub position: i64,
    pub end: i64,
}

enum Phase {
    Open,
    Compare,
    Restore(Restore),
    /// No offset was ever committed: nothing may be there.
    ProveEmpty {
        topic: Kept,
        end: Option<i64>,
    },
    Begin,
}

struct Restore {
    witness: Witness,
    end: Option<i64>,
    from: Option<i64>,
    is_full: bool,
    pending: Changes,
    /// The wanted META, once it was read. It is written last of all, after the digest was found
    /// right: a store that has it was checked.
    reached: Option<Meta>,
    later: Option<Witness>,
    local: Local,
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

/// Cells that a restore holds before they are written.
const RESTORE_BATCH_BYTES: usize = 4 << 20;

impl<S: Store> Start<S> {
    pub fn new(partition: u16) -> Start<S> {
        Start {
            partition,
            progress: Progress::default(),
            store: None,
            phase: Phase::Open,
            asked_since: None,
            is_second_try: false,
        }
    }

    /// From a store that is open already: after an abort.
    pub fn again(partition: u16, store: S) -> Start<S> {
        Start {
            store: Some(store),
            phase: Phase::Compare,
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
            Phase::Compare => self.compare(log, stores, settings),
            Phase::Restore(restore) => self.restore(restore, log, stores, settings),
            Phase::ProveEmpty { topic, end } => self.prove_empty(topic, end, log, settings),
            Phase::Begin => self.begin(log, settings),
        }
    }

    /// The store, if the partition is given up before it is ready.
    pub fn into_store(self) -> Option<S> {
        self.store
    }

    fn go_on(&mut self, phase: Phase) -> Step<S> {
        self.phase = phase;
        Step::Going
    }

    fn wait(&mut self, phase: Phase, reason: impl Into<String>) -> Step<S> {
        self.phase = phase;
        Step::Waiting(reason.into())
    }

    fn store(&self) -> &S {
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
            None => return Ok(self.wait(Phase::Open, "another worker is closing the store")),
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
            if let Some(halt) = replaced_topic(&local, settings) {
                return Ok(Step::Halted(halt));
            }
        }
        Ok(self.go_on(Phase::Compare))
    }

    fn fingerprint(&self, settings: &StartSettings) -> Fingerprint {
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
            return Ok(self.wait(Phase::Compare, "the committed offset is not known yet"));
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
        let full = |fingerprint: Fingerprint| Restore::new(witness, None, fingerprint, settings);
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
                log.close_kept(self.partition);
                Ok(self.go_on(Phase::Restore(restore)))
            }
            (stored, _) => {
                log.close_kept(self.partition);
                if stored.is_some() || !is_empty(self.store())? {
                    self.renew_store(stores, false)?;
                }
                let restore = full(self.fingerprint(settings));
                Ok(self.go_on(Phase::Restore(restore)))
            }
        }
    }

    /// A missing offset is believed only after a while: coordinators have answered so in error.
    fn offset_missing(&mut self, is_stored: bool, settings: &StartSettings) -> Step<S> {
        let since = *self.asked_since.get_or_insert_with(Monotonic::now);
        if !is_stored {
            return self.go_on(Phase::ProveEmpty {
                topic: Kept::Changelog,
                end: None,
            });
        }
        if since.elapsed() < settings.offsets_patience {
            return self.wait(
                Phase::Compare,
                "the group has no committed offset; asking again",
            );
        }
        self.offsets_are_missing("state is there")
    }

    fn offsets_are_missing(&mut self, found: &str) -> Step<S> {
        let partition = self.partition;
        self.halt(
            HaltCode::OffsetsMissing,
            format!(
                "group has no committed offset for partition {partition}, but {found}: the group was \
                 deleted, or its offsets expired; never started at 0: meterfold recover --partition \
                 {partition} --offsets-from-meta"
            ),
        )
    }

    fn prove_empty<L: Log>(
        &mut self,
        topic: Kept,
        end: Option<i64>,
        log: &mut L,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        let end = match end {
            Some(end) => end,
            None => match log.open_kept(topic, self.partition, None)? {
                Some(offsets) => offsets.next,
                None => {
                    let phase = Phase::ProveEmpty { topic, end: None };
                    return Ok(self.wait(phase, "changelog or journal does not answer"));
                }
            },
        };
        let mut has_record = false;
        let position = log.read_kept(self.partition, &mut |_| has_record = true)?;
        if has_record {
            log.close_kept(self.partition);
            let since = *self.asked_since.get_or_insert_with(Monotonic::now);
            if since.elapsed() < settings.offsets_patience {
                let reason = "the group has no committed offset; asking again";
                return Ok(self.wait(Phase::Compare, reason));
            }
            return Ok(self.offsets_are_missing("changelog or journal hold records"));
        }
        if position < end {
            let reason = "a transaction that is open hides the end of changelog or journal";
            return Ok(self.wait(
                Phase::ProveEmpty {
                    topic,
                    end: Some(end),
                },
                reason,
            ));
        }
        log.close_kept(self.partition);
        if topic == Kept::Changelog {
            return Ok(self.go_on(Phase::ProveEmpty {
                topic: Kept::Journal,
                end: None,
            }));
        }
        self.genesis(log, settings)
    }

    fn genesis<L: Log>(
        &mut self,
        log: &mut L,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        let Some(offsets) = log.input_offsets(self.partition)? else {
            return Ok(self.wait(Phase::Compare, "the inputs do not answer"));
        };
        let starts: Vec<i64> = offsets.iter().map(|offsets| offsets.first).collect();
        let mut partition = self.partition_of(settings, Arc::clone(&settings.parsed_book))?;
        partition.stage_genesis(&starts, &settings.book)?;
        Ok(Step::Commit(Box::new(partition)))
    }

    fn partition_of(
        &mut self,
        settings: &StartSettings,
        book: Arc<RateBook>,
    ) -> Result<Partition<S>, PartitionError> {
        let Some(store) = self.store.take() else {
            unreachable!("the store is opened first")
        };
        Partition::open(
            self.partition,
            store,
            book,
            false,
            Some(settings.log.clone()),
        )
    }

    fn restore<L: Log, O: Stores<Store = S>>(
        &mut self,
        mut restore: Restore,
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
        self.check_digest(restore, &meta, stores, settings)
    }

    fn check_digest<O: Stores<Store = S>>(
        &mut self,
        mut restore: Restore,
        meta: &Meta,
        stores: &mut O,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        let found = match recount::recount(self.store(), meta) {
            Ok(Recount { total, .. }) if total == meta.total_digest() => {
                restore.pending.put(&[keys::META], &meta.encode());
                restore.pending.put(&[keys::LOCAL], &restore.local.encode());
                self.apply(&mut restore.pending)?;
                return Ok(self.go_on(Phase::Begin));
            }
            Ok(Recount { total, .. }) => format!("has digest {total:032x}"),
            Err(error) if error.is_damage() => format!("cannot be read ({error})"),
            Err(error) => return Err(error.into()),
        };
        if restore.is_full || self.is_second_try {
            return Ok(self.halt(
                HaltCode::StateDigest,
                format!(
                    "restored state {found}, META of commit {} says {:032x}: the changelog holds \
                     records that are not ours, or lacks some; compare it with the journal before \
                     anything is changed",
                    meta.sequence,
                    meta.total_digest()
                ),
            ));
        }
        self.is_second_try = true;
        self.renew_store(stores, true)?;
        let witness = meta.witness();
        let restore = Restore::new(witness, None, self.fingerprint(settings), settings);
        Ok(self.go_on(Phase::Restore(restore)))
    }

    fn apply(&mut self, changes: &mut Changes) -> Result<(), StoreError> {
        match &mut self.store {
            Some(store) => store.apply(changes)?,
            None => unreachable!("the store is opened first"),
        }
        changes.clear();
        Ok(())
    }

    fn renew_store<O: Stores<Store = S>>(
        &mut self,
        stores: &mut O,
        is_kept: bool,
    ) -> Result<(), StoreError> {
        if let Some(store) = self.store.take() {
            stores.close(self.partition, store);
        }
        if is_kept {
            tracing::warn!(
                event = "store_quarantined",
                partition = self.partition,
                "the state of partition {} is damaged: put away, restored from the changelog",
                self.partition
            );
        }
        stores.discard(self.partition, is_kept)?;
        self.store = stores.open(self.partition)?;
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
        if let Some(step) = self.unfit(&meta, settings)? {
            return Ok(step);
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
        let (book, is_new) = match self.book_in_force(&meta, settings)? {
            Ok(found) => found,
            Err(halt) => return Ok(Step::Halted(halt)),
        };
        let mut partition = self.partition_of(settings, book)?;
        if is_new {
            partition.stage_adoption(&settings.book)?;
            return Ok(Step::Commit(Box::new(partition)));
        }
        let positions: Vec<i64> = meta.positions.iter().map(|(_, next)| *next).collect();
        log.begin(self.partition, &positions, meta.clock)?;
        Ok(Step::Ready(Box::new(partition)))
    }

    /// What META says against what is configured.
    fn unfit(
        &mut self,
        meta: &Meta,
        settings: &StartSettings,
    ) -> Result<Option<Step<S>>, StartError> {
        if meta.fold_version > FOLD_VERSION {
            return Ok(Some(self.halt(
                HaltCode::VersionNewer,
                format!(
                    "state was folded by rules of version {}, this program knows {FOLD_VERSION}: run \
                     the newer program",
                    meta.fold_version
                ),
            )));
        }
        if meta.partition_count != settings.log.partition_count {
            return Ok(Some(self.halt(
                HaltCode::PartitionsChanged,
                format!(
                    "state was made with {} partitions, the inputs have {}: teams would be split; \
                     create new topics and move over, as the guide says",
                    meta.partition_count, settings.log.partition_count
                ),
            )));
        }
        if meta.settings_digest != settings.log.settings_digest {
            return Err(StartError::Invalid(format!(
                "partition {}: recorded_time, or the horizon or skew of the rate book, is another than \
                 state was made with; set them back",
                self.partition
            )));
        }
        let topics: Vec<&String> = meta.positions.iter().map(|(topic, _)| topic).collect();
        if topics.iter().copied().ne(&settings.log.inputs) {
            return Err(StartError::Invalid(format!(
                "partition {}: state was made from the inputs {topics:?}, the configuration has {:?}; \
                 set topics.api_calls and topics.accounts back",
                self.partition, settings.log.inputs
            )));
        }
        Ok(None)
    }

    /// The stored book or the configured one, and whether that is new.
    fn book_in_force(
        &mut self,
        meta: &Meta,
        settings: &StartSettings,
    ) -> Result<Result<(Arc<RateBook>, bool), Halt>, StartError> {
        let stored = read_book(self.store())?;
        let given = &settings.book.text;
        let invalid = |reason: String| {
            StartError::Invalid(format!(
                "rate book: {reason}; state of partition {} was made with another one",
                self.partition
            ))
        };
        let change =
            rate_book::compare(&stored, given).map_err(|error| invalid(error.to_string()))?;
        match change {
            BookChange::Same => Ok(Ok((Arc::clone(&settings.parsed_book), false))),
            BookChange::Older => {
                let book = rate_book::read(&stored).map_err(|error| invalid(error.to_string()))?;
                Ok(Ok((Arc::new(book), false)))
            }
            BookChange::Appended { first_card } => {
                let clock = meta.clock.unwrap_or(crate::billing::time::Instant::EPOCH);
                match rate_book::check_adoption(&settings.parsed_book, first_card, clock) {
                    Ok(()) => Ok(Ok((Arc::clone(&settings.parsed_book), true))),
                    Err(faults) => Ok(Err(Halt::new(
                        HaltCode::BookTooLate,
                        format!(
                            "{faults}; the clock stands at {clock}: give a later effective_from, or: \
                             meterfold recover --partition {} --accept-book",
                            self.partition
                        ),
                    ))),
                }
            }
            BookChange::Different { fault, .. } => Err(invalid(fault.to_string())),
        }
    }

    fn halt(&mut self, code: HaltCode, text: String) -> Step<S> {
        Step::Halted(Halt::new(code, text))
    }
}

impl Restore {
    fn new(
        witness: Witness,
        from: Option<i64>,
        fingerprint: Fingerprint,
        settings: &StartSettings,
    ) -> Restore {
        Restore {
            witness,
            end: None,
            from,
            is_full: true,
            pending: Changes::default(),
            reached: None,
            later: None,
            local: Local {
                fingerprint,
                topic_ids: settings.topic_ids.clone(),
                ..Local::default()
            },
        }
    }

    /// Takes in one cell of the changelog. Fails where it cannot be ours.
    fn take(&mut self, record: KeptRecord) -> Result<(), String> {
        let is_meta = record.key == [keys::META];
        if self.reached.is_some() {
            // Only whether a later commit is there counts.
            if is_meta {
                self.later = record
                    .value
                    .and_then(|value| Meta::decode(value).ok())
                    .map(|meta| meta.witness());
            }
            return Ok(());
        }
        if is_meta {
            let meta = record.value.map(Meta::decode);
            let Some(Ok(meta)) = meta else {
                return Err(format!(
                    "META at offset {} of the changelog was not written by this version of the \
                     program: find out who did, before anything is changed",
                    record.offset
                ));
            };
            self.local.changelog_position = record.offset + 1;
            self.local.meta_appended_at_millis = record.appended_at_millis;
            if meta.witness() == self.witness {
                self.reached = Some(meta);
                return Ok(());
            }
            self.pending.put(&[keys::LOCAL], &self.local.encode());
        }
        match record.value {
            Some(value) => self.pending.put(record.key, value),
            None => self.pending.delete(record.key),
        }
        Ok(())
    }
}

pub fn read_local(store: &impl Store) -> Result<Option<Local>, StoreError> {
    let Some(bytes) = store.get(&[keys::LOCAL])? else {
        return Ok(None);
    };
    if bytes
        .first()
        .is_some_and(|version| *version > cells::VERSION)
    {
        return Err(StoreError::Unusable(
            "its format is newer than this program: run the newer program, or move it away and let \
             it be restored"
                .into(),
        ));
    }
    Local::decode(&bytes)
        .map(Some)
        .map_err(|fault| super::partition::corrupt(&[keys::LOCAL], fault))
}

/// The text of the rate book that a store holds.
pub fn read_book(store: &impl Store) -> Result<Vec<u8>, StoreError> {
    let missing = |part: u16| StoreError::Corrupt {
        key: format!("rate book part {part}"),
        reason: "missing".into(),
    };
    let first = store.get(&keys::book(0))?.ok_or_else(|| missing(0))?;
    let (count, head) = crate::wire::cells::first_part(&first)
        .map_err(|fault| super::partition::corrupt(&keys::book(0), fault))?;
    let mut text = head.to_vec();
    for part in 1..count {
        text.extend(store.get(&keys::book(part))?.ok_or_else(|| missing(part))?);
    }
    Ok(text)
}

fn replaced_topic(local: &Local, settings: &StartSettings) -> Option<Halt> {
    let now = |topic: &str| settings.topic_ids.iter().find(|(name, _)| name == topic);
    let replaced = local
        .topic_ids
        .iter()
        .find(|(topic, id)| now(topic).is_some_and(|(_, now)| now != id))?;
    let (topic, id) = replaced;
    Some(Halt::new(
        HaltCode::TopicReplaced,
        format!(
            "{topic}: the topic was deleted and made anew (its id was {id}, now {}): offsets mean \
             something else now; bring the old topic back, or begin anew under another application",
            now(topic).map_or("unknown", |(_, id)| id)
        ),
    ))
}

fn is_empty(store: &impl Store) -> Result<bool, StoreError> {
    let mut is_empty = true;
    store.scan(&[], &[0xff], &mut |_, _| {
        is_empty = false;
        std::ops::ControlFlow::Break(())
    })?;
    Ok(is_empty)
}

fn place(meta: Option<&Meta>) -> String {
    meta.map_or("nothing".into(), |meta| meta.witness().to_string())
}

fn ahead(state: Witness, committed: Witness) -> String {
    format!(
        "state stands at {state}, the committed offset at {committed}: the group was reset or an older \
         offset restored; meterfold recover --offsets-from-meta if state is right, else move the state \
         directory away"
    )
}
