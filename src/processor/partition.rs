//! One partition: one key space of teams, one clock, one fold, one memory of ids.
//!
//! Records are folded into the working set and what they cause is staged; nothing is written to
//! the store before the commit succeeded ([`Partition::apply`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::billing::account::TeamAccount;
use crate::billing::context::{Broken, Context};
use crate::billing::derived_event::{DerivedEvent, Fact};
use crate::billing::disposition::Disposition;
use crate::billing::event::{Body, Event, Fault};
use crate::billing::fold;
use crate::billing::rate_book::RateBook;
use crate::billing::time::{Instant, Month};
use crate::billing::timers;
use crate::fail_point;
use crate::ports::{
    Batch, Changes, Original, Piece, Record, Staged, StagedDerived, StagedLog, Store, StoreError,
};
use crate::store::cells::{corrupt, join_parts, read_meta};
use crate::store::dedup::{Dedup, DedupFigures, FOREVER, Seen};
use crate::wire::cells;
use crate::wire::dead_letter;
use crate::wire::identity::Identity;
use crate::wire::journal::{self, Kind};
use crate::wire::meta::{FOLD_VERSION, Local, Meta, TimerCursor};
use crate::wire::trace::{self, DeadRecord, Funds, Origin, Traced};
use crate::wire::{derived, keys};

use super::cold_teams::ColdTeam;
use super::counts::Counts;
use super::folding::{self, Folding};
use super::journaling::{Journaling, LogSettings};
use super::step::{PassedOver, Step, StepObserver};
use super::teams::{self, Team, TeamHandle, Teams};
use super::timer_index::TimerIndex;

#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing of the record was kept.
    #[error("{place}: {broken}")]
    Broken { place: String, broken: Broken },
}

/// A rate book as it was written, and its digest (comments aside).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookText {
    pub text: Vec<u8>,
    pub digest: [u8; 32],
}

pub struct Partition<S> {
    number: u16,
    store: S,
    book: Arc<RateBook>,
    meta: Meta,
    calendar: Calendar,
    teams: Teams,
    timers: TimerIndex,
    dedup: Dedup,
    identity: Identity,
    is_traced: bool,
    staged: Staged,
    counts: Counts,
    /// Records of the batch at hand that are folded.
    next_record: usize,
    is_paused: bool,
    /// Where the clock step ends that is under way, and the last timer that it ran.
    step: Option<Instant>,
    timer_cursor: Option<TimerCursor>,
    pub(super) timers_per_stretch: usize,
    /// Something was folded, or the clock or a position moved, since the last commit.
    is_changed: bool,
    /// The clock was moved by the wall clock, which stood here (milliseconds since 1970).
    wall_millis: Option<i64>,
    /// On a log only.
    journaling: Option<Journaling>,
    /// Derived events of the record or timer at hand.
    derived: Vec<DerivedEvent>,
    observer: Option<Box<dyn StepObserver>>,
}

/// The clock, and the month that follows from it.
#[derive(Clone, Copy, Debug)]
struct Calendar {
    clock: Option<Instant>,
    earliest_open_month: Month,
    closes_at: Instant,
}

/// How many timers run before the partition pauses, or which is the last of them.
struct Stretch {
    timers_left: usize,
    last: Option<TimerCursor>,
}

/// Timers that run before teams and outputs may be put away.
pub const TIMERS_PER_STRETCH: usize = 2_048;

/// Before any clock nothing is closed, and what is compared with the clock is later.
const BEFORE_ANY_CLOCK: Instant = Instant::EPOCH;

impl<S: Store> Partition<S> {
    /// Opens the partition that `store` holds. `book` is the rate book in force.
    pub fn open(
        number: u16,
        store: S,
        book: Arc<RateBook>,
        is_traced: bool,
        log: Option<LogSettings>,
    ) -> Result<Partition<S>, PartitionError> {
        let opened = Partition::open_or_give_back(number, store, book, is_traced, log);
        opened.map_err(|(error, _)| error.into())
    }

    /// The same; a store that cannot be read comes back.
    pub(super) fn open_or_give_back(
        number: u16,
        store: S,
        book: Arc<RateBook>,
        is_traced: bool,
        log: Option<LogSettings>,
    ) -> Result<Partition<S>, (StoreError, S)> {
        let retention_millis = book.dedup_horizon_millis + book.future_skew_millis;
        let read = || -> Result<(Meta, TimerIndex, Dedup), StoreError> {
            let meta = read_meta(&store)?.unwrap_or_default();
            let (next_run, digests) = (meta.next_run, &meta.id_digests);
            let dedup = Dedup::load(&store, retention_millis, next_run, digests)?;
            Ok((meta, TimerIndex::load(&store)?, dedup))
        };
        let (mut meta, timers, dedup) = match read() {
            Ok(read) => read,
            Err(error) => return Err((error, store)),
        };
        meta.fold_version = FOLD_VERSION;
        // A step that was under way is gone on with before any record: its clock is not reached.
        let step = meta.timer_cursor.as_ref().and(meta.clock);
        let clock = meta.reached();
        Ok(Partition {
            number,
            calendar: Calendar::new(&book, clock),
            teams: Teams::default(),
            timers,
            dedup,
            identity: Identity::default(),
            is_traced,
            staged: Staged {
                partition: number,
                ..Staged::default()
            },
            counts: Counts::default(),
            next_record: 0,
            is_paused: step.is_some(),
            step,
            timer_cursor: meta.timer_cursor.clone(),
            timers_per_stretch: TIMERS_PER_STRETCH,
            is_changed: false,
            wall_millis: None,
            journaling: log.map(Journaling::new),
            derived: Vec::new(),
            observer: None,
            store,
            book,
            meta,
        })
    }

    /// Shows every step from here on to `observer`.
    pub fn observe(&mut self, observer: Box<dyn StepObserver>) {
        self.observer = Some(observer);
    }

    /// Folds this partition's records of `batch` in their order, then moves the clock to the
    /// batch's end. Where very many timers are due it pauses ([`Partition::is_paused`]): called
    /// again with the same batch, it goes on where it stopped.
    pub fn fold(&mut self, batch: &Batch) -> Result<(), PartitionError> {
        let handles = self.load_teams(batch)?;
        let book = Arc::clone(&self.book);
        let mut stretch = self.stretch();
        let records = batch.of_partition(self.number).skip(self.next_record);
        for ((number, slot), handle) in records.zip(handles) {
            self.is_paused = !self.run_timers_to(slot.clock, &mut stretch)?;
            if self.is_paused {
                return Ok(());
            }
            let piece = &batch.pieces[slot.piece as usize];
            let record = &piece.records[slot.record as usize];
            folding::set(Some(Folding {
                partition: self.number,
                input: piece.input,
                line: record.line,
            }));
            fail_point::hit(fail_point::Step::Record);
            self.fold_record(&book, number, piece, record, handle)?;
            folding::set(None);
            self.next_record += 1;
            self.record_folded(piece, slot.record);
        }
        self.is_paused = !self.run_timers_to(batch.clock, &mut stretch)?;
        if !self.is_paused {
            self.next_record = 0;
            self.move_positions(batch);
        }
        Ok(())
    }

    fn record_folded(&mut self, piece: &Piece, index: u32) {
        self.is_changed = true;
        let Some(journaling) = &mut self.journaling else {
            return;
        };
        let record = &piece.records[index as usize];
        let Original::Bytes(range) = &record.original else {
            unreachable!("a log's record is kept as bytes")
        };
        let offset = record.line as i64;
        journaling.record(piece.input, offset, &piece.raw[range.clone()]);
        let met = piece.schemas.iter().filter(|(at, _)| *at == index);
        met.for_each(|(_, schema)| journaling.schema(schema.clone()));
        self.meta.positions[piece.input as usize].1 = offset + 1;
    }

    /// Beyond the last record: what lay there were no records.
    fn move_positions(&mut self, batch: &Batch) {
        if self.journaling.is_some() {
            for end in batch.ends.iter().filter(|end| end.partition == self.number) {
                let position = &mut self.meta.positions[end.input as usize].1;
                self.is_changed |= *position != end.next_offset;
                *position = (*position).max(end.next_offset);
            }
        }
    }

    /// Moves the clock forward and runs the timers that become due; may pause as `fold` does.
    pub fn advance_to(&mut self, clock: Option<Instant>) -> Result<(), PartitionError> {
        let mut stretch = self.stretch();
        self.is_paused = !self.run_timers_to(clock, &mut stretch)?;
        Ok(())
    }

    /// The part of a step to `clock` that ends with the timer of `cursor`, as a journal tells of it.
    pub fn advance_until(
        &mut self,
        clock: Instant,
        cursor: &TimerCursor,
    ) -> Result<(), PartitionError> {
        let mut stretch = Stretch {
            last: Some(cursor.clone()),
            ..self.stretch()
        };
        self.is_paused = !self.run_timers_to(Some(clock), &mut stretch)?;
        Ok(())
    }

    fn stretch(&self) -> Stretch {
        Stretch {
            timers_left: self.timers_per_stretch,
            last: None,
        }
    }

    /// Goes on with a clock step that an earlier owner of the partition began.
    pub fn finish_step(&mut self) -> Result<(), PartitionError> {
        self.advance_to(self.step)
    }

    /// Moves the clock to `clock` because the wall clock, which stood at `wall_millis`, says so.
    pub fn advance_by_wall(
        &mut self,
        clock: Instant,
        wall_millis: i64,
    ) -> Result<(), PartitionError> {
        self.wall_millis = Some(wall_millis);
        self.advance_to(Some(clock))
    }

    pub fn dedup_figures(&self) -> DedupFigures {
        self.dedup.figures()
    }

    /// The wall clock has moved the clock since the last commit, and no timers are left over.
    pub fn is_moved_by_wall(&self) -> bool {
        self.wall_millis.is_some() && !self.is_paused
    }

    /// The first instant at which a timer or a bucket of ids is due, as far as is known.
    pub fn next_due(&self) -> Option<Instant> {
        let due = [self.timers.first(), self.dedup.next_end()];
        due.into_iter().flatten().min()
    }

    /// There is something for a commit to tell.
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    pub fn number(&self) -> u16 {
        self.number
    }

    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub fn into_store(self) -> S {
        self.store
    }

    /// More is to be done before the next batch; what is staged and held may be put away first.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Runs those of the timers due at `clock` that `stretch` has room for. True: all have run and
    /// the clock stands there.
    fn run_timers_to(
        &mut self,
        clock: Option<Instant>,
        stretch: &mut Stretch,
    ) -> Result<bool, PartitionError> {
        // A step that an earlier owner began may end where its last timer ran: more may be due there.
        let is_ahead = |clock: &Instant| {
            self.step == Some(*clock) || self.calendar.clock.is_none_or(|now| *clock > now)
        };
        let Some(clock) = clock.filter(is_ahead) else {
            return Ok(true);
        };
        let book = Arc::clone(&self.book);
        loop {
            let mut due: BTreeSet<_> = self.timers.due(&self.store, clock)?.into_iter().collect();
            let Some((last, _)) = due.last().cloned() else {
                break;
            };
            // A team whose next timer falls into the same stretch of time takes its place in it.
            while let Some((instant, team)) = due.pop_first() {
                if stretch.timers_left == 0 {
                    // A step of which no timer has run has not begun: without a cursor nobody
                    // could go on with it.
                    self.step = self.timer_cursor.as_ref().map(|_| clock);
                    return Ok(false);
                }
                stretch.timers_left -= 1;
                let next = self.run_timer(&book, instant, &team)?;
                self.is_changed = true;
                self.timer_cursor = Some(TimerCursor {
                    due: instant,
                    team: team.to_string(),
                });
                if stretch.last.is_some() && stretch.last == self.timer_cursor {
                    stretch.timers_left = 0;
                }
                due.extend(next.filter(|next| *next <= last).map(|next| (next, team)));
            }
        }
        self.calendar.advance(&book, clock);
        self.step = None;
        self.timer_cursor = None;
        self.is_changed = true;
        Ok(true)
    }

    pub fn dirty_teams(&self) -> usize {
        self.teams.dirty_len()
    }

    pub fn pending_ids(&self) -> usize {
        self.dedup.pending_len()
    }

    pub fn output_bytes(&self) -> usize {
        self.staged.output_bytes()
    }

    /// Memory of the teams that are kept encoded.
    pub fn encoded_bytes(&self) -> usize {
        self.teams.encoded_bytes()
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn clock(&self) -> Option<Instant> {
        self.calendar.clock
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    /// Only for cells that are none of the partition's.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    pub fn book(&self) -> &RateBook {
        &self.book
    }

    pub fn shared_book(&self) -> Arc<RateBook> {
        Arc::clone(&self.book)
    }

    /// Sum over team and month cells and remembered ids, as of the last commit.
    pub fn state_digest(&self) -> u128 {
        self.meta.total_digest()
    }

    /// Stages every changed cell, META last; on a log the journal record too.
    pub fn stage(&mut self) -> Result<(), PartitionError> {
        self.meta.sequence += 1;
        self.stage_as(Kind::Commit, None)
    }

    /// Stages the first commit of a partition on a log: where its inputs begin, and the rate book.
    pub fn stage_genesis(&mut self, starts: &[i64], book: &BookText) -> Result<(), PartitionError> {
        let settings = self.log_settings().clone();
        self.meta.positions = settings
            .inputs
            .into_iter()
            .zip(starts.iter().copied())
            .collect();
        self.meta.partition_count = settings.partition_count;
        self.meta.settings_digest = settings.settings_digest;
        self.stage_book(book);
        let (cluster, group) = (settings.cluster, settings.group);
        self.stage_as(Kind::Genesis { cluster, group }, Some(&book.text))
    }

    /// Stages the adoption of another rate book; the partition must be opened anew with it.
    pub fn stage_adoption(&mut self, book: &BookText) -> Result<(), PartitionError> {
        self.meta.sequence += 1;
        self.stage_book(book);
        self.stage_as(Kind::Adoption, Some(&book.text))
    }

    fn stage_book(&mut self, book: &BookText) {
        self.meta.book_sequence += 1;
        self.meta.book_digest = book.digest;
        for (part, bytes) in (0..).zip(cells::parts(&book.text)) {
            self.staged.changes.put(&keys::book(part), &bytes);
        }
    }

    fn log_settings(&self) -> &LogSettings {
        match &self.journaling {
            Some(journaling) => &journaling.settings,
            None => unreachable!("only a partition on a log has a genesis"),
        }
    }

    fn stage_as(&mut self, kind: Kind, book_text: Option<&[u8]>) -> Result<(), PartitionError> {
        let Partition {
            teams,
            meta,
            staged,
            book,
            calendar,
            store,
            timers,
            dedup,
            number,
            counts,
            journaling,
            step,
            timer_cursor,
            is_changed,
            wall_millis,
            ..
        } = self;
        // Within a step the last timer tells how far it has come, also to who opens the store there.
        let reached = match timer_cursor {
            Some(cursor) => Some(cursor.due),
            None => calendar.clock,
        };
        let clock = reached.unwrap_or(BEFORE_ANY_CLOCK);
        let changes = &mut staged.changes;
        teams.clean(
            &mut StagedTeams {
                state_digest: &mut meta.state_digest,
                changes,
            },
            |staged, team| staged.team(team, book, clock),
            StagedTeams::cold_team,
        );
        timers.stage(changes);
        dedup.stage(store, reached, changes)?;
        meta.clock = (*step).or(calendar.clock);
        meta.timer_cursor = step.and(timer_cursor.clone());
        meta.next_run = dedup.next_run();
        meta.id_digests = dedup.digests();
        if let Some(journaling) = journaling {
            let text = book_text.map(<[u8]>::to_vec);
            let journal = journaling.finish(kind, *number, meta, staged, counts, text);
            meta.journal_digest = journal::digest(&journal);
            staged.log = Some(StagedLog {
                journal,
                witness: meta.witness(),
                positions: meta.positions.iter().map(|(_, next)| *next).collect(),
                wall_millis: wall_millis.take(),
            });
        }
        staged.changes.put(&[keys::META], &meta.encode());
        *is_changed = false;
        Ok(())
    }

    /// Stages the ids alone, to get them out of memory. Only where the store is private until the
    /// run ends: META does not tell of them.
    pub fn stage_ids(&mut self) -> Result<(), PartitionError> {
        Ok(self
            .dedup
            .stage(&self.store, self.calendar.clock, &mut self.staged.changes)?)
    }

    pub fn take_staged(&mut self) -> Staged {
        std::mem::take(&mut self.staged)
    }

    pub fn put_back(&mut self, staged: Staged) {
        self.staged = staged;
    }

    /// After the commit: writes the staged cells.
    pub fn apply(&mut self) -> Result<(), PartitionError> {
        self.store.apply(&self.staged.changes)?;
        self.staged.clear();
        Ok(())
    }

    /// The same on a log: `local` goes into the store with them.
    pub fn apply_with(&mut self, local: &Local) -> Result<(), PartitionError> {
        self.staged.changes.put(&[keys::LOCAL], &local.encode());
        self.apply()
    }

    /// After a full commit was applied: lets go of encoded teams beyond `encoded_bytes_max`.
    pub fn settle(&mut self, encoded_bytes_max: usize) -> Result<(), PartitionError> {
        self.timers.find_first(&self.store)?;
        self.teams.evict(encoded_bytes_max);
        Ok(())
    }

    /// Between batches: keeps the decoded teams within `decoded_bytes_max`.
    pub fn make_room(&mut self, decoded_bytes_max: usize) {
        self.teams
            .make_room(decoded_bytes_max, |team| match &team.account {
                Some(account) => cells::encode_team(team.due, team.settled_months, account, |_| {}),
                None => Vec::new(),
            });
    }

    /// The teams that the records need, in memory; one answer a record.
    fn load_teams(&mut self, batch: &Batch) -> Result<Vec<Option<TeamHandle>>, PartitionError> {
        let mut handles = Vec::new();
        let mut missing: Vec<(usize, &str)> = Vec::new();
        let mut touched = 0;
        let records = batch.of_partition(self.number).skip(self.next_record);
        for (index, (_, slot)) in records.enumerate() {
            let piece = &batch.pieces[slot.piece as usize];
            let decoded = &piece.records[slot.record as usize].decoded;
            let team = match &decoded.event {
                Ok(event) if event.body != Body::ClockTick => Some(piece.text.get(event.team)),
                _ => None,
            };
            let handle = team.and_then(|team| self.teams.find(team));
            handles.push(handle);
            match (handle, team) {
                (Some(handle), _) => {
                    touched += self
                        .teams
                        .get(handle)
                        .account
                        .as_deref()
                        .map_or(0, teams::touch);
                }
                (None, Some(team)) => match self.thaw(team)? {
                    Some(handle) => handles[index] = Some(handle),
                    None => missing.push((index, team)),
                },
                (None, None) => {}
            }
        }
        std::hint::black_box(touched);
        let cell_keys: Vec<Vec<u8>> = missing
            .iter()
            .map(|(_, team)| keys::team(team, 0))
            .collect();
        let cells = self.store.get_many(&cell_keys)?;
        for ((index, team), cell) in missing.into_iter().zip(cells) {
            // An earlier record of the batch may have brought it in.
            let handle = match self.teams.find(team) {
                Some(handle) => handle,
                None => self.insert_stored(team, cell)?,
            };
            handles[index] = Some(handle);
        }
        Ok(handles)
    }

    fn load_team(&mut self, name: &str) -> Result<TeamHandle, PartitionError> {
        if let Some(handle) = self.teams.find(name) {
            return Ok(handle);
        }
        match self.thaw(name)? {
            Some(handle) => Ok(handle),
            None => {
                let cell = self.store.get(&keys::team(name, 0))?;
                self.insert_stored(name, cell)
            }
        }
    }

    /// Decodes a team that is kept encoded.
    fn thaw(&mut self, name: &str) -> Result<Option<TeamHandle>, PartitionError> {
        let Some(cold) = self.teams.thaw(name) else {
            return Ok(None);
        };
        let mut team = decode_team(name, cold.value(), |_| {})?;
        team.stored_digest = cold.stored_digest();
        team.stored_parts = cold.stored_parts;
        team.is_dirty = cold.is_dirty;
        Ok(Some(self.teams.insert(team)))
    }

    /// Takes in a team as the store has it; None: the store does not have it.
    fn insert_stored(
        &mut self,
        name: &str,
        first_part: Option<Vec<u8>>,
    ) -> Result<TeamHandle, PartitionError> {
        let Some(first_part) = first_part else {
            return Ok(self.teams.insert(Team::unknown(name)));
        };
        let (value, parts) = join_parts(&self.store, name, &first_part)?;
        let mut digest = 0_u128;
        let mut team = decode_team(name, &value, |piece| {
            digest = digest.wrapping_add(cells::digest_element(name, piece))
        })?;
        team.stored_digest = digest;
        team.stored_parts = parts;
        Ok(self.teams.insert(team))
    }

    /// Steps 1 and 3 to 6 of `fold.md` 4; the clock stands where the record meets it.
    fn fold_record(
        &mut self,
        book: &RateBook,
        number: u64,
        piece: &Piece,
        record: &Record,
        handle: Option<TeamHandle>,
    ) -> Result<(), PartitionError> {
        let decoded = &record.decoded;
        let origin = Origin {
            input: piece.input,
            line: record.line,
            source: decoded.source.map(|span| piece.text.get(span)),
            id: decoded.id.map(|span| piece.text.get(span)),
            team: decoded.subject.map(|span| piece.text.get(span)),
        };
        let event = match &decoded.event {
            Ok(event) => event.map(|span| piece.text.get(span)),
            Err(fault) => {
                return self.dead_letter(book, number, origin, None, *fault, piece, record);
            }
        };
        let id = self.identity.id_hash(&event);
        if let Some(seen) = self.dedup.seen(&self.store, id, self.calendar.clock)? {
            return self.seen_before(book, number, origin, &event, seen, handle);
        }
        let context = self.calendar.context(book);
        let recorded = decoded.recorded.unwrap_or(context.clock);
        if let Err(fault) = fold::admit(&context, &event, recorded) {
            let event = Some(&event);
            return self.dead_letter(book, number, origin, event, fault, piece, record);
        }
        let bucket = if event.body.usage().is_some() {
            Dedup::bucket_at(context.clock)
        } else {
            FOREVER
        };
        self.dedup
            .remember(id, self.identity.content_digest(&event), bucket);
        let Some(handle) = handle else {
            self.counts.disposed(Disposition::Accepted);
            self.trace(book, number, origin, Traced::Tick, &[]);
            return Ok(());
        };
        let team = self.teams.get_mut(handle);
        let account = team
            .account
            .get_or_insert_with(|| Box::new(TeamAccount::new(book, context.clock)));
        let observer = self.observer.as_ref();
        let before = observer.filter(|it| it.watches(event.team));
        let before = before.map(|_| account.clone());
        let folded = fold::fold(&context, account, &event, &mut self.derived)
            .map_err(|broken| broken_at(origin, broken))?;
        if let (Some(observer), Some(before)) = (&mut self.observer, &before) {
            let step = Step {
                context: &context,
                before,
                after: account,
                derived: &self.derived,
            };
            observer
                .folded(&step, origin, &event, &folded)
                .map_err(|broken| broken_at(origin, broken))?;
        }
        let traced = Traced::Folded {
            folded: &folded,
            funds: funds(account),
            episode: account.episode,
        };
        self.timers.reschedule(team, &context);
        self.teams.mark_dirty(handle);
        self.counts.disposed(folded.disposition);
        let derived_ids = self.stage_derived(book, event.team);
        self.trace(book, number, origin, traced, &derived_ids);
        Ok(())
    }

    /// Runs what is due for `name` at `instant`. Returns when something is due for it next.
    fn run_timer(
        &mut self,
        book: &RateBook,
        instant: Instant,
        name: &str,
    ) -> Result<Option<Instant>, PartitionError> {
        let handle = self.load_team(name)?;
        let team = self.teams.get_mut(handle);
        let Some(account) = team.account.as_mut().filter(|_| team.due == Some(instant)) else {
            let reason = "the timer table names a team that has nothing due then".into();
            return Err(StoreError::Corrupt {
                key: format!("timer {instant} {name}"),
                reason,
            }
            .into());
        };
        let context = Context::new(book, instant);
        let broken_timer = |broken| PartitionError::Broken {
            place: format!("timer of team {name} at {instant}"),
            broken,
        };
        let before = self.observer.as_ref().filter(|it| it.watches(name));
        let before = before.map(|_| account.clone());
        timers::run(&context, account, &mut self.derived).map_err(broken_timer)?;
        if let (Some(observer), Some(before)) = (&mut self.observer, &before) {
            let step = Step {
                context: &context,
                before,
                after: account,
                derived: &self.derived,
            };
            observer.timers_ran(&step, name).map_err(broken_timer)?;
        }
        self.timers.reschedule(team, &context);
        let next = team.due;
        self.teams.mark_dirty(handle);
        self.stage_derived(book, name);
        Ok(next)
    }

    /// A resend or a conflict: counted, without other effect.
    fn seen_before(
        &mut self,
        book: &RateBook,
        number: u64,
        origin: Origin,
        event: &Event<&str>,
        seen: Seen,
        handle: Option<TeamHandle>,
    ) -> Result<(), PartitionError> {
        let is_resend = seen.content == self.identity.content_digest(event);
        let disposition = if is_resend {
            Disposition::Duplicate
        } else {
            Disposition::Conflict
        };
        let mut team_funds = None;
        if let Some(handle) = handle
            && let Some(account) = &mut self.teams.get_mut(handle).account
        {
            account.dispositions.add(disposition);
            team_funds = Some(funds(account));
            self.teams.mark_dirty(handle);
        }
        self.counts.disposed(disposition);
        let traced = Traced::SeenBefore {
            disposition: disposition.name(),
            funds: team_funds,
        };
        self.trace(book, number, origin, traced, &[]);
        let why = if is_resend {
            PassedOver::Duplicate
        } else {
            PassedOver::Conflict
        };
        self.show_passed_over(origin, Some(event), why)
    }

    /// `event` is the record's, if it is one.
    #[expect(clippy::too_many_arguments, reason = "a record and its place")]
    fn dead_letter(
        &mut self,
        book: &RateBook,
        number: u64,
        origin: Origin,
        event: Option<&Event<&str>>,
        fault: Fault,
        piece: &Piece,
        record: &Record,
    ) -> Result<(), PartitionError> {
        let lines = &mut self.staged.dead_letters;
        match &record.original {
            Original::Bytes(range) if self.journaling.is_some() => {
                dead_letter::write(&piece.raw[range.clone()], fault, &mut lines.bytes);
                lines.end(number);
            }
            original => {
                let original = match original {
                    Original::Text(span) => DeadRecord::Text(piece.text.get(*span)),
                    Original::Bytes(range) => DeadRecord::Bytes(&piece.raw[range.clone()]),
                    Original::Truncated(range) => DeadRecord::Truncated(&piece.raw[range.clone()]),
                };
                trace::write_dead_letter(origin, fault, original, &mut lines.bytes);
                lines.end_line(number);
            }
        }
        self.counts.dead_letter(fault.reason);
        self.trace(book, number, origin, Traced::DeadLetter(fault), &[]);
        self.show_passed_over(origin, event, PassedOver::DeadLetter(fault))
    }

    fn show_passed_over(
        &mut self,
        origin: Origin,
        event: Option<&Event<&str>>,
        why: PassedOver,
    ) -> Result<(), PartitionError> {
        let clock = self.calendar.clock.unwrap_or(BEFORE_ANY_CLOCK);
        let watches = |observer: &dyn StepObserver| {
            let team = event.map(|event| event.team).or(origin.team);
            team.is_some_and(|team| observer.watches(team))
        };
        match &mut self.observer {
            None => Ok(()),
            Some(observer) if !watches(&**observer) => Ok(()),
            Some(observer) => observer
                .passed_over(clock, origin, event, why)
                .map_err(|broken| broken_at(origin, broken)),
        }
    }

    fn trace(
        &mut self,
        book: &RateBook,
        number: u64,
        origin: Origin,
        traced: Traced,
        derived_ids: &[String],
    ) {
        if self.is_traced {
            let lines = &mut self.staged.trace;
            trace::write(origin, traced, derived_ids, book, &mut lines.bytes);
            lines.end_line(number);
        }
    }

    /// Stages the derived events at hand, and of an invoice what it can be told again from. Returns
    /// their ids if a trace wants them.
    fn stage_derived(&mut self, book: &RateBook, team: &str) -> Vec<String> {
        let mut ids = Vec::new();
        for event in self.derived.drain(..) {
            let mut json = Vec::new();
            derived::write(&event, team, book, &mut json);
            if self.is_traced {
                ids.push(derived::id(&event, team, book));
            }
            self.counts.derived(event.kind());
            if let Fact::MonthlyInvoice(invoice) = &event.fact {
                let value = cells::encode_closing(&invoice.closing());
                let key = keys::invoice(team, invoice.month);
                self.staged.changes.put(&key, &value);
            }
            self.staged.derived.push(StagedDerived {
                time: event.time,
                team: team.into(),
                kind: event.kind(),
                json,
            });
        }
        ids
    }
}

impl Calendar {
    fn new(book: &RateBook, clock: Option<Instant>) -> Calendar {
        let month = book.earliest_open_month(clock.unwrap_or(BEFORE_ANY_CLOCK));
        Calendar {
            clock,
            earliest_open_month: month,
            closes_at: book.closes_at(month),
        }
    }

    fn advance(&mut self, book: &RateBook, clock: Instant) {
        self.clock = Some(clock);
        while self.closes_at <= clock {
            self.earliest_open_month = self.earliest_open_month.next();
            self.closes_at = book.closes_at(self.earliest_open_month);
        }
    }

    fn context<'a>(&self, book: &'a RateBook) -> Context<'a> {
        let clock = self.clock.unwrap_or(BEFORE_ANY_CLOCK);
        Context {
            book,
            clock,
            earliest_open_month: self.earliest_open_month,
        }
    }
}

fn broken_at(origin: Origin, broken: Broken) -> PartitionError {
    PartitionError::Broken {
        place: format!("input {} line {}", origin.input, origin.line),
        broken,
    }
}

fn funds(account: &TeamAccount) -> Funds {
    Funds {
        balance: account.lots.balance(),
        debt: account.debt,
    }
}

fn decode_team(
    name: &str,
    value: &[u8],
    digest_part: impl FnMut(&[u8]),
) -> Result<Team, StoreError> {
    let cell = cells::decode_team(value, digest_part)
        .map_err(|fault| corrupt(&keys::team(name, 0), fault))?;
    let mut team = Team::unknown(name);
    team.due = cell.due;
    team.settled_months = cell.settled_months;
    team.account = Some(Box::new(cell.account));
    Ok(team)
}

/// Where the teams of a commit are written to.
struct StagedTeams<'a> {
    state_digest: &'a mut u128,
    changes: &'a mut Changes,
}

impl StagedTeams<'_> {
    /// Writes a team's cell and the cells of months that settled.
    fn team(&mut self, team: &mut Team, book: &RateBook, clock: Instant) {
        let Some(account) = &mut team.account else {
            return;
        };
        for month in account.take_settled_months(book, clock) {
            let value = cells::encode_month(&month, |piece| {
                *self.state_digest = self
                    .state_digest
                    .wrapping_add(cells::digest_element(&team.name, piece));
            });
            for (part, bytes) in (0..).zip(cells::parts(&value)) {
                self.changes
                    .put(&keys::month(&team.name, month.month, part), &bytes);
            }
            team.settled_months += 1;
        }
        let mut digest = 0_u128;
        let value = cells::encode_team(team.due, team.settled_months, account, |piece| {
            digest = digest.wrapping_add(cells::digest_element(&team.name, piece));
        });
        self.value(
            &team.name,
            &value,
            digest,
            &mut team.stored_digest,
            &mut team.stored_parts,
        );
    }

    /// The same for a team that is encoded already; its months settle when it is next used.
    fn cold_team(&mut self, team: &mut ColdTeam) {
        let name = String::from_utf8_lossy(team.name()).into_owned();
        let mut digest = 0_u128;
        let parts = cells::visit_digest_parts(team.value(), |piece| {
            digest = digest.wrapping_add(cells::digest_element(&name, piece));
        });
        assert!(parts.is_ok(), "team {name} was encoded by this process");
        let (mut stored_digest, mut stored_parts) = (team.stored_digest(), team.stored_parts);
        self.value(
            &name,
            team.value(),
            digest,
            &mut stored_digest,
            &mut stored_parts,
        );
        team.set_stored_digest(stored_digest);
        team.stored_parts = stored_parts;
    }

    fn value(
        &mut self,
        name: &str,
        value: &[u8],
        digest: u128,
        stored_digest: &mut u128,
        stored_parts: &mut u16,
    ) {
        *self.state_digest = self
            .state_digest
            .wrapping_sub(*stored_digest)
            .wrapping_add(digest);
        *stored_digest = digest;
        let mut count = 0;
        for bytes in cells::parts(value) {
            self.changes.put(&keys::team(name, count), &bytes);
            count += 1;
        }
        for part in count..*stored_parts {
            self.changes.delete(&keys::team(name, part));
        }
        *stored_parts = count;
    }
}
