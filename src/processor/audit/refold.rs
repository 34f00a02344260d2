//! Folds again what the journal tells of, commit by commit, and compares what comes out.
//!
//! Within a commit the order is fixed by its record: first a clock step that was under way is
//! finished, then the records are folded in the order of the runs, each at the clock that it met,
//! then the clock moves to where the journal says, or up to the last timer that had run.

mod decide;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::billing::rate_book::RateBook;
use crate::billing::time::{Instant, Month};
use crate::ports::evidence::Records;
use crate::ports::{Batch, InputEnd, Lines, Original, Piece, Record, Slot, StagedDerived, Store};
use crate::store::cells::read_meta;
use crate::wire::avro::Schemas;
use crate::wire::journal::{self, Kind};
use crate::wire::kafka_record::{Outcome, RecordDecoder, RecordRules, SchemaAnswer};
use crate::wire::meta::Witness;
use crate::wire::rate_book;
use crate::wire::record_bytes::{self, LogRecord};

use crate::processor::counts::Counts;
use crate::processor::journaling::{LogSettings, settings_digest};
use crate::processor::partition::{BookText, Partition};
use crate::processor::recount::recount;
use crate::processor::stored;

use super::Stop;
use super::chain::{Sealed, hex, read_book};
use super::difference::{different, journal_differs, place};
use super::input::{Input, Known};
use super::purpose::Purpose;

/// Memory of decoded and of encoded teams, as a worker has it.
const DECODED_BYTES_MAX: usize = 64 << 20;
const ENCODED_BYTES_MAX: usize = 64 << 20;
/// Records that are decoded before they are folded, by number and by bytes.
const BATCH_RECORDS_MAX: usize = 2_048;
const BATCH_BYTES_MAX: usize = 16 << 20;
const SPARE_PIECES_MAX: usize = 16;

/// What a commit published, in fold order.
#[derive(Default)]
pub struct Outputs {
    pub derived: Vec<StagedDerived>,
    pub dead_letters: Lines,
}

pub struct Refold<'a, S> {
    purpose: Purpose<'a>,
    /// None: only while it is opened anew.
    partition: Option<Partition<S>>,
    settings: LogSettings,
    decoder: RecordDecoder,
    /// What the journal said of schema ids so far.
    schemas: BTreeMap<u32, Option<String>>,
    /// Records of one input that are decoded and not in a batch yet.
    piece: Piece,
    spare: Vec<Piece>,
    /// Bytes of the records that wait to be folded.
    batch_bytes: usize,
    /// Where the clock step ends that is under way.
    step: Option<Instant>,
    /// The clock at the first record.
    pub first_clock: Option<Instant>,
    /// Of accepted gaps, by their commit: the month of the first record after it.
    pub gap_ends: BTreeMap<u64, Month>,
    /// What was folded before the partition was last opened.
    counts: Counts,
}

impl<'a, S: Store> Refold<'a, S> {
    /// Stands after the genesis.
    pub fn begin(
        genesis: &Sealed,
        known: Known,
        store: S,
        purpose: Purpose<'a>,
    ) -> Result<Refold<'a, S>, Stop> {
        let record = &genesis.record;
        let Some(text) = record.book_text.clone() else {
            return Err(different(genesis, "genesis", "a rate book", "none"));
        };
        let book = Arc::new(read_book(&text, genesis)?);
        let mut refold = Refold::new(genesis, known, &book, purpose)?;
        let digest = record.book_digest;
        let (text, book) = match purpose.book {
            Some(other) => (other.text.clone(), Arc::clone(&other.book)),
            None => (BookText { text, digest }, book),
        };
        refold.open(record.partition, store, Arc::clone(&book))?;
        let starts: Vec<i64> = record.positions.iter().map(|(_, start)| *start).collect();
        refold.partition_mut().stage_genesis(&starts, &text)?;
        refold.seal(genesis)?;
        refold.reopen(book)?;
        Ok(refold)
    }

    /// Stands after the commit of `sealed`, whose state `store` holds.
    pub fn resume(
        sealed: &Sealed,
        known: Known,
        store: S,
        purpose: Purpose<'a>,
    ) -> Result<Refold<'a, S>, Stop> {
        let record = &sealed.record;
        let meta = read_meta(&store)?.unwrap_or_default();
        let total = recount(&store, &meta)?.total;
        let wanted = Witness {
            sequence: record.sequence,
            journal_digest: journal::digest(&sealed.encoded),
        };
        if meta.witness() != wanted {
            let (kept, found) = (wanted.to_string(), meta.witness().to_string());
            return Err(different(sealed, "kept state", &kept, &found));
        }
        if [total, meta.total_digest()] != [record.state_digest; 2] {
            let (kept, found) = (record.state_digest, total);
            let (kept, found) = (format!("{kept:032x}"), format!("{found:032x}"));
            return Err(different(sealed, "digest of the kept state", &kept, &found));
        }
        let text = stored::read_book(&store)?;
        let digest = rate_book::canonical_digest(&text).unwrap_or_default();
        if digest != record.book_digest {
            let (kept, found) = (hex(&record.book_digest), hex(&digest));
            return Err(different(sealed, "kept rate book", &kept, &found));
        }
        let book = Arc::new(read_book(&text, sealed)?);
        let mut refold = Refold::new(sealed, known, &book, purpose)?;
        refold.step = record.timer_cursor.as_ref().and(record.clock);
        refold.first_clock = record.clock;
        refold.open(record.partition, store, book)?;
        Ok(refold)
    }

    /// Without its partition.
    fn new(
        sealed: &Sealed,
        known: Known,
        book: &RateBook,
        purpose: Purpose<'a>,
    ) -> Result<Refold<'a, S>, Stop> {
        let record = &sealed.record;
        let digest_of = |is_record_time| {
            settings_digest(
                is_record_time,
                book.dedup_horizon_millis,
                book.future_skew_millis,
            )
        };
        let mode = [true, false]
            .into_iter()
            .find(|mode| digest_of(*mode) == record.settings_digest);
        let Some(is_record_time) = mode else {
            let (kept, found) = (hex(&record.settings_digest), hex(&digest_of(false)));
            return Err(different(sealed, "settings digest", &kept, &found));
        };
        let settings = LogSettings {
            cluster: known.cluster,
            group: known.group,
            inputs: record
                .positions
                .iter()
                .map(|(topic, _)| topic.clone())
                .collect(),
            partition_count: record.partition_count,
            settings_digest: record.settings_digest,
        };
        let rules = RecordRules {
            partition: record.partition,
            partitions: record.partition_count,
            has_accounts: settings.inputs.len() > 1,
            takes_ticks: is_record_time,
            // Had such a record halted the partition, no run would hold it.
            halts_on_wrong_partition: false,
        };
        Ok(Refold {
            purpose,
            partition: None,
            settings,
            decoder: RecordDecoder::new(rules, Arc::new(Schemas::built_in())),
            schemas: known.schemas,
            piece: Piece::default(),
            spare: Vec::new(),
            batch_bytes: 0,
            step: None,
            first_clock: None,
            gap_ends: BTreeMap::new(),
            counts: Counts::default(),
        })
    }

    /// The partition as the last commit left it, without what it keeps in memory to be fast, and
    /// what it has folded.
    pub fn finish(mut self) -> Result<(Partition<S>, Counts), Stop> {
        let mut partition = self.close();
        partition.make_room(0);
        partition.settle(0)?;
        Ok((partition, self.counts))
    }

    pub fn store(&self) -> &S {
        match &self.partition {
            Some(partition) => partition.store(),
            None => unreachable!("it is opened anew at once"),
        }
    }

    pub fn store_mut(&mut self) -> &mut S {
        self.partition_mut().store_mut()
    }

    pub fn clock(&self) -> Option<Instant> {
        self.partition.as_ref()?.clock()
    }

    /// The earliest month that is not closed; None: no clock has moved yet.
    pub fn earliest_open_month(&self) -> Option<Month> {
        let partition = self.partition.as_ref()?;
        Some(partition.book().earliest_open_month(partition.clock()?))
    }

    /// The first record was folded while `month` was open.
    pub fn began_before(&self, month: Month) -> bool {
        let closes_at = self.partition.as_ref().map(|it| it.book().closes_at(month));
        self.first_clock
            .zip(closes_at)
            .is_some_and(|(clock, closes_at)| clock < closes_at)
    }

    /// Does what `sealed` tells of, and compares. Returns what it published.
    pub fn follow<R: Records>(
        &mut self,
        sealed: &Sealed,
        inputs: &mut [Input<R>],
    ) -> Result<Outputs, Stop> {
        let record = &sealed.record;
        match &record.kind {
            Kind::Genesis { .. } => unreachable!("the reader hands out one, as the first"),
            Kind::Commit => {
                self.learn(sealed)?;
                self.commit(sealed, inputs)?;
                self.partition_mut().stage()?;
                let outputs = self.seal(sealed)?;
                self.step = record.timer_cursor.as_ref().and(record.clock);
                Ok(outputs)
            }
            Kind::Adoption if self.purpose.book.is_some() => Ok(Outputs::default()),
            Kind::Adoption => {
                let Some(text) = record.book_text.clone() else {
                    return Err(different(sealed, "adoption", "a rate book", "none"));
                };
                let book = Arc::new(read_book(&text, sealed)?);
                let digest = record.book_digest;
                self.partition_mut()
                    .stage_adoption(&BookText { text, digest })?;
                let outputs = self.seal(sealed)?;
                self.reopen(book)?;
                Ok(outputs)
            }
            Kind::Operator { decision, .. } => {
                self.decide(sealed, decision, inputs)?;
                Ok(Outputs::default())
            }
        }
    }

    /// Takes the partition out, to be opened anew or never again.
    fn close(&mut self) -> Partition<S> {
        let Some(partition) = self.partition.take() else {
            unreachable!("it is opened anew at once")
        };
        self.counts.add(partition.counts());
        partition
    }

    fn partition_mut(&mut self) -> &mut Partition<S> {
        match &mut self.partition {
            Some(partition) => partition,
            None => unreachable!("it is opened anew at once"),
        }
    }

    /// What the journal says of schema ids that this commit was the first to meet.
    fn learn(&mut self, sealed: &Sealed) -> Result<(), Stop> {
        let mut told: BTreeMap<u32, &Option<String>> = BTreeMap::new();
        for schema in &sealed.record.schemas {
            if told
                .insert(schema.id, &schema.text)
                .is_some_and(|before| *before != schema.text)
            {
                return Err(Stop::Unproven(format!(
                    "{}: the registry changed its answer for schema {} within the commit, and which \
                     records met which is not known",
                    place(sealed),
                    schema.id
                )));
            }
            if self.schemas.get(&schema.id) != Some(&schema.text) {
                self.schemas.insert(schema.id, schema.text.clone());
                // One that cannot be read by makes dead letters, as it did then.
                let _ = self.decoder.learn(schema.id, answer(schema.text.clone()));
            }
        }
        Ok(())
    }

    fn commit<R: Records>(&mut self, sealed: &Sealed, inputs: &mut [Input<R>]) -> Result<(), Stop> {
        let record = &sealed.record;
        let goes_on =
            record.runs.is_empty() && record.timer_cursor.is_some() && record.clock == self.step;
        if self.step.is_some() && !goes_on {
            self.partition_mut().finish_step()?;
        }
        self.fold_runs(sealed, inputs)?;
        match (&record.timer_cursor, record.clock) {
            (Some(cursor), Some(clock)) => self.partition_mut().advance_until(clock, cursor)?,
            (_, clock) => self.partition_mut().advance_to(clock)?,
        }
        Ok(())
    }

    /// Folds the records of all runs, and moves the positions to those of the journal.
    fn fold_runs<R: Records>(
        &mut self,
        sealed: &Sealed,
        inputs: &mut [Input<R>],
    ) -> Result<(), Stop> {
        let record = &sealed.record;
        let mut clock = self.partition_mut().clock();
        let mut batch = self.batch();
        // Where they were met within the commit is not told, nor does it matter.
        let mut schemas = record.schemas.clone();
        for run in &record.runs {
            let Some(input) = inputs.get_mut(run.input as usize) else {
                let found = format!("input {}", run.input);
                return Err(different(sealed, "runs", "an input", &found));
            };
            self.piece.input = run.input;
            for nth in 0..run.count {
                let wanted = (nth == 0).then_some(run.first_offset);
                self.take(sealed, input, wanted, &mut clock, &mut batch)?;
                let schemas = schemas.drain(..).map(|schema| (0, schema));
                self.piece.schemas.extend(schemas);
                if batch.slots.len() >= BATCH_RECORDS_MAX || self.batch_bytes >= BATCH_BYTES_MAX {
                    self.fold(&mut batch)?;
                    self.piece.input = run.input;
                }
            }
            self.close_piece(&mut batch);
        }
        for (input, (_, next_offset)) in (0..).zip(&record.positions) {
            batch.ends.push(InputEnd {
                partition: record.partition,
                input,
                next_offset: *next_offset,
            });
        }
        self.fold(&mut batch)
    }

    fn batch(&self) -> Batch {
        Batch::new(self.settings.partition_count, None, 0)
    }

    /// Decodes the next record of an input to the piece at hand.
    fn take<R: Records>(
        &mut self,
        sealed: &Sealed,
        input: &mut Input<R>,
        wanted: Option<i64>,
        clock: &mut Option<Instant>,
        batch: &mut Batch,
    ) -> Result<(), Stop> {
        let partition = sealed.record.partition;
        let taken = input.take(&mut self.piece.raw)?;
        let found = match &taken {
            Some(range) => record_bytes::offset(&self.piece.raw[range.clone()]),
            None => None,
        };
        if let Some(wanted) = wanted.filter(|wanted| Some(*wanted) != found) {
            return Err(input.lacks(sealed, wanted, found));
        }
        let Some(range) = taken else {
            return Err(input.differs(sealed, "one more record", "the end of the log"));
        };
        let record = LogRecord::read(&self.piece.raw[range.clone()])
            .map_err(|fault| input.differs(sealed, "a record", &fault.to_string()))?;
        let text_bytes = self.piece.text.side.len();
        let decoded = loop {
            match self.decoder.decode(&record, &mut self.piece.text) {
                Outcome::Decoded(decoded) => break decoded,
                Outcome::SchemaWanted(id) => {
                    // Forgotten to save memory, or never told.
                    let Some(text) = self.schemas.get(&id) else {
                        let (kept, needed) = (
                            format!("nothing of schema {id}"),
                            format!("{} offset {} needs it", input.topic, record.offset),
                        );
                        return Err(different(sealed, "writer schemas", &kept, &needed));
                    };
                    let _ = self.decoder.learn(id, answer(text.clone()));
                }
                Outcome::WrongPartition { .. } => {
                    unreachable!("the rules make a dead letter of it")
                }
            }
        };
        *clock = (*clock).max(decoded.recorded);
        self.first_clock = self.first_clock.or(*clock);
        if let Some(clock) = *clock {
            let ended = input.gaps.drain(..).map(|gap| (gap, clock.month()));
            self.gap_ends.extend(ended);
        }
        let slot = Slot {
            piece: batch.pieces.len() as u32,
            record: self.piece.records.len() as u32,
            clock: *clock,
        };
        batch.push(slot, partition);
        self.batch_bytes += range.len() + self.piece.text.side.len() - text_bytes;
        self.piece.records.push(Record {
            line: record.offset as u64,
            decoded,
            original: Original::Bytes(range),
        });
        Ok(())
    }

    /// Puts the piece at hand into the batch; the next record begins another.
    fn close_piece(&mut self, batch: &mut Batch) {
        if !self.piece.records.is_empty() {
            let next = self.spare.pop().unwrap_or_default();
            let piece = std::mem::replace(&mut self.piece, next);
            batch.pieces.push(Arc::new(piece));
        }
    }

    /// Folds the batch at hand and begins another. The memory of its pieces is used again.
    fn fold(&mut self, batch: &mut Batch) -> Result<(), Stop> {
        self.close_piece(batch);
        self.partition_mut().fold(batch)?;
        self.batch_bytes = 0;
        let folded = std::mem::replace(batch, self.batch());
        for mut piece in folded.pieces.into_iter().filter_map(Arc::into_inner) {
            if self.spare.len() < SPARE_PIECES_MAX {
                piece.clear();
                self.spare.push(piece);
            }
        }
        Ok(())
    }

    /// The journal record that was staged must be the one that stands there. Then it is applied.
    fn seal(&mut self, sealed: &Sealed) -> Result<Outputs, Stop> {
        let is_compared = self.purpose.book.is_none();
        let partition = self.partition_mut();
        let mut staged = partition.take_staged();
        let journal = staged.log.take().map(|log| log.journal).unwrap_or_default();
        if is_compared && journal != sealed.encoded {
            return Err(journal_differs(sealed, &journal));
        }
        let outputs = Outputs {
            derived: std::mem::take(&mut staged.derived),
            dead_letters: std::mem::take(&mut staged.dead_letters),
        };
        partition.put_back(staged);
        partition.apply()?;
        partition.settle(ENCODED_BYTES_MAX)?;
        partition.make_room(DECODED_BYTES_MAX);
        Ok(outputs)
    }

    /// Opens the partition anew, as a start does after a commit that is no ordinary one. `book` is
    /// in force from now on.
    fn reopen(&mut self, book: Arc<RateBook>) -> Result<(), Stop> {
        let partition = self.close();
        let number = partition.number();
        self.open(number, partition.into_store(), book)
    }

    fn open(&mut self, number: u16, store: S, book: Arc<RateBook>) -> Result<(), Stop> {
        let log = Some(self.settings.clone());
        let mut partition = Partition::open(number, store, book, false, log)?;
        // A pause is for those who wait beside it.
        partition.timers_per_stretch = usize::MAX;
        if let Some(observer) = self.purpose.observer {
            partition.observe(observer());
        }
        self.partition = Some(partition);
        Ok(())
    }
}

fn answer(text: Option<String>) -> SchemaAnswer {
    text.map_or(SchemaAnswer::Denied, SchemaAnswer::Schema)
}
