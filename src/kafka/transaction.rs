//! The transactional producer of a worker: steps s2 to s5 of the commit protocol and its error
//! table (`engine.md` 3).
//!
//! One transaction carries derived events, dead letters, state changelog, journal and input
//! positions of all partitions that commit. What becomes of it stands in the log; where that is not
//! known here, the caller is told so and asks the log.

mod failures;

use std::thread;
use std::time::{Duration, Instant as Monotonic};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka_sys::rd_kafka_resp_err_t as code;

use crate::billing::derived_event::DerivedKind;
use crate::config::Topics;
use crate::fail_point::{self, Step};
use crate::ports::log::{LogError, Outcome, Receipt};
use crate::ports::{Staged, StagedDerived};
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{Step as Place, TransactionResult};
use crate::wire::dead_letter::DeadLetterRecord;
use crate::wire::journal::JournalRecord;

use super::deliveries::{Deliveries, drain};
use super::derived_format::{DerivedFormat, DerivedWriter};
use super::error_class::is_denied;
use super::native::{self, GroupMetadata, TransactionError};

/// Delivery reports are waited for no longer than this where no transaction sets the time.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Calls of a transaction that together took longer are given up, whatever the brokers allow: the
/// loop must turn (`HEARTBEAT_AGE_MAX`).
const CALLS_MAX: Duration = Duration::from_secs(30);
/// The least time for a call.
const CALL_MIN: Duration = Duration::from_secs(1);
/// The worker does its other work after trying for so long to get a producer.
const READY_MAX: Duration = Duration::from_secs(2);
/// Between two producers of which the first could not be initialised.
const READY_AGAIN: Duration = Duration::from_millis(50);
/// After such a try the next one waits: every partition of a worker asks.
const READY_REST: Duration = Duration::from_secs(1);
/// Time for one try of a call that is tried again.
const CALL_SLICE_MILLIS: i32 = 5_000;
const ABORTS_IN_A_ROW_MAX: u32 = 3;
/// How far the wall clock that moved a partition's clock may be from the brokers'.
const WALL_SKEW_MILLIS_MAX: i64 = 2_000;

pub struct Transactions {
    settings: ClientConfig,
    topics: Topics,
    inputs: Vec<String>,
    derived: DerivedWriter,
    producer: Option<BaseProducer<Deliveries>>,
    /// No producer is made before.
    rests_until: Option<Monotonic>,
    aborts_in_a_row: u32,
    telemetry: Telemetry,
    /// Of the client, in what it tells of itself.
    name: String,
    began: Monotonic,
    /// When a transaction was last found fenced; a second time within the session is a rival.
    fenced_at: Option<Monotonic>,
    timeouts: Timeouts,
}

/// How long the brokers let things last.
#[derive(Clone, Copy)]
pub struct Timeouts {
    pub transaction: Duration,
    pub session: Duration,
}

/// How a commit ended, as far as its producer can tell.
pub enum End {
    Done(Outcome),
    /// The producer is fenced: with a rival, or by its own slowness.
    Fenced(String),
}

impl Transactions {
    pub fn new(
        settings: ClientConfig,
        topics: Topics,
        inputs: Vec<String>,
        format: DerivedFormat,
        timeouts: Timeouts,
        (telemetry, name): (Telemetry, String),
    ) -> Transactions {
        Transactions {
            settings,
            topics,
            inputs,
            derived: DerivedWriter::new(format),
            producer: None,
            rests_until: None,
            aborts_in_a_row: 0,
            telemetry,
            name,
            began: Monotonic::now(),
            fenced_at: None,
            timeouts,
        }
    }

    /// Serves delivery reports and errors.
    pub fn poll(&self) {
        if let Some(producer) = &self.producer {
            producer.poll(Duration::ZERO);
        }
    }

    /// Lets go of the producer; the next commit makes a new one.
    pub fn forget(&mut self) {
        self.producer = None;
    }

    /// One transaction of everything in `staged`.
    pub fn commit(&mut self, staged: &[Staged], metadata: &GroupMetadata) -> Result<End, LogError> {
        if !self.ready()? {
            return Ok(unsure("transactions cannot be initialised yet"));
        }
        self.began = Monotonic::now();
        let producer = self.made();
        producer.context().reset();
        if let Err(error) = native::begin(producer) {
            return self.failed(Place::Produce, error);
        }
        fail_point::hit(Step::S2);
        if let Err(error) = self.produce(staged) {
            return self.refused(error);
        }
        fail_point::hit(Step::S3);
        self.telemetry.step(Place::Produce, self.began.elapsed());
        let offsets_began = Monotonic::now();
        let offsets = self.offsets(staged)?;
        let sent = self.again(|producer| native::send_offsets(producer, &offsets, metadata));
        if let Err(error) = sent {
            return self.failed(Place::Offsets, error);
        }
        let producer = self.made();
        drain(producer, self.time_left());
        self.telemetry.step(Place::Offsets, offsets_began.elapsed());
        if let Some(error) = producer.context().failure() {
            return self.refused(error);
        }
        let metas = producer.context().metas(staged.len());
        if let Some(reason) = wall_skew(staged, &metas) {
            self.ended(TransactionResult::Aborted);
            self.abort()?;
            return Ok(End::Done(Outcome::Unsure {
                reason,
                is_timeout: false,
            }));
        }
        fail_point::hit(Step::S4);
        let commit_began = Monotonic::now();
        let result = self.end_by(native::commit);
        self.telemetry.step(Place::Commit, commit_began.elapsed());
        match result {
            Ok(()) => {
                self.ended(TransactionResult::Committed);
                self.aborts_in_a_row = 0;
                let receipts = metas.iter().map(|(offset, appended_at_millis)| Receipt {
                    changelog_position: offset + 1,
                    appended_at_millis: *appended_at_millis,
                });
                tracing::debug!(
                    event = "committed",
                    millis = self.began.elapsed().as_millis() as u64
                );
                Ok(End::Done(Outcome::Committed(receipts.collect())))
            }
            Err(error) => self.failed(Place::Commit, error),
        }
    }

    /// Whether there is a producer that is initialised: it has fenced its predecessors and ended their
    /// transactions.
    pub fn ready(&mut self) -> Result<bool, LogError> {
        if self.producer.is_some() {
            return Ok(true);
        }
        if self
            .rests_until
            .is_some_and(|until| Monotonic::now() < until)
        {
            return Ok(false);
        }
        let began = Monotonic::now();
        loop {
            let producer: BaseProducer<Deliveries> =
                BaseProducer::from_config_and_context(&self.settings, self.deliveries())
                    .map_err(|error| LogError::Invalid(format!("producer: {error}")))?;
            loop {
                match native::init(&producer, CALL_SLICE_MILLIS) {
                    Ok(()) => {
                        tracing::info!(
                            event = "producer_ready",
                            millis = began.elapsed().as_millis() as u64,
                            "transactions are initialised"
                        );
                        self.producer = Some(producer);
                        return Ok(true);
                    }
                    Err(error) if is_denied(error.code) => {
                        return Err(self.denied(Place::Join, error.text));
                    }
                    Err(error) if error.code == code::RD_KAFKA_RESP_ERR__TIMED_OUT => break,
                    Err(error) if error.is_retriable && began.elapsed() <= READY_MAX => {}
                    Err(error) if error.is_retriable || error.is_fatal => break,
                    Err(error) => {
                        return Err(LogError::Failed(format!(
                            "init_transactions: {}",
                            error.text
                        )));
                    }
                }
                producer.poll(Duration::ZERO);
            }
            // A time-out leaves the outcome unknown: the producer is not used again. Nor is one whose
            // predecessor's transaction the brokers are still ending: the worker looks after other things.
            drop(producer);
            thread::sleep(READY_AGAIN);
            if began.elapsed() > READY_MAX {
                tracing::warn!(
                    event = "producer_waits",
                    "transactions cannot be initialised yet"
                );
                self.rests_until = Some(Monotonic::now() + READY_REST);
                return Ok(false);
            }
        }
    }

    fn deliveries(&self) -> Deliveries {
        Deliveries::new(self.telemetry.clone(), self.name.clone())
    }

    fn made(&self) -> &BaseProducer<Deliveries> {
        match &self.producer {
            Some(producer) => producer,
            None => unreachable!("a commit begins with a producer"),
        }
    }

    fn produce(&self, staged: &[Staged]) -> Result<(), KafkaError> {
        for (number, staged) in staged.iter().enumerate() {
            self.produce_outputs(staged)?;
            fail_point::hit(Step::S3Partial);
            let partition = i32::from(staged.partition);
            let mut cells = staged.changes.iter().peekable();
            while let Some((key, value)) = cells.next() {
                let is_meta = cells.peek().is_none();
                let record = BaseRecord::with_opaque_to(
                    &self.topics.changelog,
                    if is_meta { number + 1 } else { 0 },
                )
                .partition(partition)
                .key(key);
                self.send(match value {
                    Some(value) => record.payload(value),
                    None => record,
                })?;
            }
            let Some(log) = &staged.log else {
                unreachable!("a partition on a log has a journal")
            };
            let key = staged.partition.to_string();
            for part in JournalRecord::parts(&log.journal, log.witness.sequence) {
                self.send(
                    BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topics.journal, 0)
                        .partition(partition)
                        .key(key.as_bytes())
                        .payload(&part),
                )?;
            }
        }
        Ok(())
    }

    fn produce_outputs(&self, staged: &Staged) -> Result<(), KafkaError> {
        let partition = i32::from(staged.partition);
        let mut sent = [0; DerivedKind::ALL.len()];
        for event in &staged.derived {
            let (payload, headers) = self.derived.message(event);
            self.send(
                BaseRecord::with_opaque_to(self.topic_of(event), 0)
                    .partition(partition)
                    .key(event.team.as_bytes())
                    .payload(payload.as_ref())
                    .headers(headers),
            )?;
            sent[event.kind as usize] += 1;
        }
        for (kind, events) in DerivedKind::ALL.iter().zip(sent) {
            self.telemetry.derived_produced(*kind, events);
        }
        for letter in staged.dead_letters.iter() {
            let letter = match DeadLetterRecord::read(letter) {
                Ok(letter) => letter,
                Err(fault) => unreachable!("this process wrote it: {fault}"),
            };
            self.send_dead_letter(&letter, staged.partition)?;
        }
        Ok(())
    }

    fn send_dead_letter(
        &self,
        letter: &DeadLetterRecord,
        partition: u16,
    ) -> Result<(), KafkaError> {
        let topic = &self.inputs[usize::from(letter.original.topic)];
        let mut headers = OwnedHeaders::new();
        for (key, value) in letter.original.headers.iter() {
            let key = &String::from_utf8_lossy(key);
            headers = headers.insert(Header { key, value });
        }
        for (key, value) in letter.marks(topic, partition) {
            let value = Some(value.as_ref());
            headers = headers.insert(Header { key, value });
        }
        let mut record =
            BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topics.dead_letters, 0)
                .partition(i32::from(partition))
                .headers(headers);
        record.key = letter.original.key;
        record.payload = letter.original.value;
        self.send(record)
    }

    /// Sends; where the client's queue is full, waits for room.
    fn send(&self, record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), KafkaError> {
        let producer = self.made();
        let mut record = record;
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    producer.poll(Duration::from_millis(1));
                    record = back;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    fn topic_of(&self, event: &StagedDerived) -> &str {
        match event.kind {
            DerivedKind::CapReached => &self.topics.cap_reached,
            DerivedKind::TokensDepleted => &self.topics.tokens_depleted,
            DerivedKind::SwitchedToPostpay => &self.topics.switched_to_postpay,
            DerivedKind::MonthlyInvoice => &self.topics.monthly_invoice,
        }
    }

    /// Every input of every partition that commits; the usage topic's carries the witness.
    fn offsets(&self, staged: &[Staged]) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for staged in staged {
            let Some(log) = &staged.log else {
                unreachable!("a partition on a log has positions")
            };
            for (index, (topic, next)) in self.inputs.iter().zip(&log.positions).enumerate() {
                let mut element = list.add_partition(topic, i32::from(staged.partition));
                element
                    .set_offset(Offset::Offset(*next))
                    .map_err(|error| LogError::Failed(format!("offset of {topic}: {error}")))?;
                if index == 0 {
                    element.set_metadata(log.witness.to_string());
                }
            }
        }
        Ok(list)
    }

    /// The same call again as long as that is what the client asks for, until the transaction's time is
    /// over.
    fn again(
        &self,
        call: impl Fn(&BaseProducer<Deliveries>) -> Result<(), TransactionError>,
    ) -> Result<(), TransactionError> {
        let producer = self.made();
        loop {
            match call(producer) {
                Err(error) if error.may_be_tried_again() && Monotonic::now() < self.deadline() => {
                    producer.poll(Duration::from_millis(10));
                }
                result => return result,
            }
        }
    }

    /// Ends the transaction by `end`, [`native::commit`] or [`native::abort`]. One that takes longer than
    /// a transaction may last has no known outcome.
    fn end_by(
        &self,
        end: impl Fn(&BaseProducer<Deliveries>, Duration) -> Result<(), TransactionError>,
    ) -> Result<(), TransactionError> {
        self.again(|producer| end(producer, self.time_left()))
    }

    /// When the time of the transaction is over.
    fn deadline(&self) -> Monotonic {
        self.began + self.timeouts.transaction.min(CALLS_MAX)
    }

    /// For a call of the transaction.
    fn time_left(&self) -> Duration {
        let left = self.deadline().saturating_duration_since(Monotonic::now());
        left.max(CALL_MIN)
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        // An open transaction would hide records from readers until it times out.
        if let Some(producer) = &self.producer {
            drain(producer, DRAIN_MAX);
        }
    }
}

/// The wall clock moved a partition's clock: the log's own time must be near it.
fn wall_skew(staged: &[Staged], metas: &[(i64, i64)]) -> Option<String> {
    staged.iter().zip(metas).find_map(|(staged, (_, appended))| {
        let wall = staged.log.as_ref()?.wall_millis?;
        let skew = appended - wall;
        (skew.abs() > WALL_SKEW_MILLIS_MAX).then(|| {
            format!(
                "the wall clock is {skew} ms from the brokers': the clock of partition {} is not moved \
                 by it; mend the clock of this machine or theirs",
                staged.partition
            )
        })
    })
}

fn unsure(reason: impl Into<String>) -> End {
    End::Done(Outcome::Unsure {
        reason: reason.into(),
        is_timeout: false,
    })
}
