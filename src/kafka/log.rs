//! Kafka behind the seam of [`crate::ports::log`]: one worker's consumer, its transactions, and
//! what it asks of the brokers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::billing::time::Instant;
use crate::config::{Config, OnWrongPartition, RecordedTime, SESSION_TIMEOUT_MILLIS};
use crate::ports::log::{
    Committed, Halt, HaltCode, Happening, Kept, KeptRecord, Log, LogError, Offsets, Outcome,
};
use crate::ports::{Batch, Piece, Staged};
use crate::wire::avro::Schemas;
use crate::wire::kafka_record::{RecordDecoder, RecordRules};

use super::client;
use super::derived_format::DerivedFormat;
use super::input::{FETCH_RECORDS_MAX, Input, Inputs, Trouble};
use super::kept::{KeptReader, watermarks};
use super::native::{self, GroupMetadata, PartitionQueue};
use super::rebalance::{News, Ownership};
use super::schemata::Schemata;
use super::transaction::{End, Transactions};

/// Time for a question to the group's coordinator.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle partition's inputs are asked for their ends this often at most.
const IDLE_ASK_INTERVAL: Duration = Duration::from_secs(1);
/// After the wall clock was found wrong it moves no partition for so long.
const WALL_REST: Duration = Duration::from_secs(60);
/// The clock of an idle partition moves at least so often.
const IDLE_CLOCK_MILLIS: i64 = 60 * 60 * 1_000;
const RECYCLED_PIECES_MAX: usize = 64;

pub struct KafkaLog {
    /// Queues of partitions go before the consumer that they belong to.
    owned: BTreeMap<u16, Owned>,
    kept: BTreeMap<u16, KeptReader>,
    consumer: BaseConsumer<Ownership>,
    /// Reads uncommitted and belongs to no group: it sees high watermarks.
    asker: BaseConsumer,
    transactions: Transactions,
    schemata: Schemata,
    schemas: Arc<Schemas>,
    topics: Vec<String>,
    kept_topics: [String; 2],
    reader: ClientConfig,
    rules: RecordRules,
    is_record_time: bool,
    idle_margin_millis: i64,
    /// s0: taken before the first record of a commit is handed out.
    captured: Option<GroupMetadata>,
    /// The group has taken partitions away that are not given up yet.
    is_revoking: bool,
    unreleased: Vec<u16>,
    wall_rests_until: Option<Monotonic>,
    recycled: Vec<Piece>,
    first_number: u64,
    is_closed: bool,
}

struct Owned {
    inputs: Inputs,
    is_begun: bool,
    is_held: bool,
    wake_at: Option<Instant>,
    idle_asked_at: Option<Monotonic>,
    /// Wall time at which the clock was last moved without a record.
    clock_moved_millis: i64,
}

impl KafkaLog {
    /// Joins the group as `worker`.
    pub fn join(config: &Config, worker: u16, format: DerivedFormat) -> Result<KafkaLog, LogError> {
        let invalid = |error: KafkaError| LogError::Invalid(format!("kafka: {error}"));
        let topics: Vec<String> = std::iter::once(config.topics.api_calls.clone())
            .chain(config.topics.accounts.clone())
            .collect();
        let settings = client::worker_consumer(config, worker);
        let consumer: BaseConsumer<Ownership> =
            BaseConsumer::from_config_and_context(&settings, Ownership::default())
                .map_err(invalid)?;
        let reader = client::reader(config, &format!("reader-{worker}"));
        let mut asker = reader.clone();
        asker.set("isolation.level", "read_uncommitted");
        let session = config.kafka.millis("session.timeout.ms", SESSION_TIMEOUT_MILLIS);
        let session_timeout = Duration::from_millis(session);
        let producer = client::worker_producer(config, worker);
        let log = KafkaLog {
            owned: BTreeMap::new(),
            kept: BTreeMap::new(),
            asker: BaseConsumer::from_config(&asker).map_err(invalid)?,
            transactions: Transactions::new(
                producer,
                config.topics.clone(),
                topics.clone(),
                format,
                session_timeout,
            ),
            schemata: Schemata::new(config.registry.as_ref())?,
            schemas: Arc::new(Schemas::built_in()),
            kept_topics: [config.topics.changelog.clone(), config.topics.journal.clone()],
            reader,
            rules: RecordRules {
                partition: 0,
                partitions: config.topics.partitions,
                has_accounts: topics.len() > 1,
                takes_ticks: config.recorded_time == RecordedTime::Record,
                halts_on_wrong_partition: config.on_wrong_partition == OnWrongPartition::Halt,
            },
            topics,
            is_record_time: config.recorded_time == RecordedTime::Record,
            idle_margin_millis: config.idle_margin_millis as i64,
            captured: None,
            is_revoking: false,
            unreleased: Vec::new(),
            wall_rests_until: None,
            recycled: Vec::new(),
            first_number: 0,
            is_closed: false,
            consumer,
        };
        log.consumer.subscribe(&[&log.topics[0]]).map_err(invalid)?;
        Ok(log)
    }

    /// Why `partition` waits; None: it does not.
    pub fn wait_reason(&self, partition: u16) -> Option<&str> {
        self.owned.get(&partition)?.inputs.wait_reason.as_deref()
    }

    /// What the main queue brings: news of ownership, errors, never a record.
    fn poll(&mut self, wait: Duration) -> Result<(), LogError> {
        match self.consumer.poll(wait) {
            None => {}
            Some(Ok(_)) => panic!("a record came out of the main queue: its partition was not split"),
            Some(Err(error)) => self.consumer_error(error)?,
        }
        self.transactions.poll();
        Ok(())
    }

    fn consumer_error(&mut self, error: KafkaError) -> Result<(), LogError> {
        if let Some((found, text)) = native::fatal_error(self.consumer.client()) {
            use rdkafka_sys::rd_kafka_resp_err_t as code;
            return Err(match found {
                code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID
                | code::RD_KAFKA_RESP_ERR_UNRELEASED_INSTANCE_ID => LogError::Fenced(text),
                _ => LogError::Failed(format!("consumer: {text}")),
            });
        }
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::Authentication,
            ) => Err(LogError::Denied(format!("consumer: {error}"))),
            _ => {
                tracing::warn!(event = "consumer_error", "{error}");
                Ok(())
            }
        }
    }

    fn assign(&mut self, partitions: Vec<u16>) -> Result<Happening, LogError> {
        let failed = |what: &str, error: KafkaError| LogError::Failed(format!("{what}: {error}"));
        let list = self.list(&partitions, Offset::Beginning)?;
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| failed("assign", error))?;
        if !partitions.is_empty() {
            self.consumer.pause(&list).map_err(|error| failed("pause", error))?;
        }
        for partition in &partitions {
            let rules = RecordRules {
                partition: *partition,
                ..self.rules
            };
            let mut decoder = RecordDecoder::new(rules, Arc::clone(&self.schemas));
            self.schemata.teach(&mut decoder);
            let mut inputs = Inputs::new(*partition, &self.topics, decoder, self.is_record_time);
            for input in &mut inputs.inputs {
                split(&self.consumer, input, *partition)?;
            }
            self.owned.insert(
                *partition,
                Owned {
                    inputs,
                    is_begun: false,
                    is_held: false,
                    wake_at: None,
                    idle_asked_at: None,
                    clock_moved_millis: 0,
                },
            );
        }
        tracing::info!(event = "assigned", "assigned partitions {partitions:?}");
        self.seek_begun()?;
        Ok(Happening::Assigned(partitions))
    }

    /// While the group decides, the client pauses every partition; then it goes on from what it takes
    /// for the application's position. That is one too far after an end of partition, and where it
    /// was before a seek backwards: records would be passed over. So each is told where to go on.
    fn seek_begun(&mut self) -> Result<(), LogError> {
        let begun = self.owned.iter().filter(|(_, owned)| owned.is_begun);
        let begun: Vec<u16> = begun.map(|(partition, _)| *partition).collect();
        begun.into_iter().try_for_each(|partition| self.seek(partition))
    }

    /// Lets the client fetch the inputs of a partition from where they are to be read next. One whose
    /// fetching ended in an error cannot be sought in: it is assigned anew.
    fn seek(&mut self, partition: u16) -> Result<(), LogError> {
        let number = i32::from(partition);
        let Some(owned) = self.owned.get_mut(&partition) else {
            return Ok(());
        };
        for input in &mut owned.inputs.inputs {
            let topic = input.topic.clone();
            let failed = |what: &str, error: KafkaError| {
                LogError::Failed(format!("{what} in {topic} {partition}: {error}"))
            };
            let mut next = TopicPartitionList::new();
            next.add_partition_offset(&topic, number, Offset::Offset(input.next_offset))
                .map_err(|error| failed("seek", error))?;
            let sought = |list: TopicPartitionList| {
                let list = self.consumer.seek_partitions(list, SEEK_TIMEOUT)?;
                list.elements().iter().try_for_each(|element| element.error())
            };
            let Err(error) = sought(next.clone()) else { continue };
            tracing::info!(event = "fetch_again", partition, "{topic}: {error}; assigned anew");
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, number, Offset::Beginning)
                .and_then(|()| self.consumer.incremental_unassign(&list))
                .and_then(|()| self.consumer.incremental_assign(&list))
                .and_then(|()| self.consumer.pause(&list))
                .map_err(|error| failed("assign", error))?;
            split(&self.consumer, input, partition)?;
            sought(next).map_err(|error| failed("seek", error))?;
            if owned.is_begun {
                self.consumer.resume(&list).map_err(|error| failed("resume", error))?;
            }
        }
        Ok(())
    }

    fn revoke(&mut self, partitions: Vec<u16>) -> Result<Happening, LogError> {
        if partitions.is_empty() {
            let list = TopicPartitionList::new();
            self.unassign(&list)?;
            self.seek_begun()?;
            return Ok(Happening::Idle);
        }
        self.unreleased.clone_from(&partitions);
        self.is_revoking = true;
        Ok(match self.consumer.assignment_lost() {
            true => {
                tracing::warn!(event = "lost", "partitions {partitions:?} are lost");
                Happening::Lost(partitions)
            }
            false => {
                tracing::info!(event = "revoked", "revoked partitions {partitions:?}");
                Happening::Revoked(partitions)
            }
        })
    }

    fn unassign(&self, list: &TopicPartitionList) -> Result<(), LogError> {
        self.consumer
            .incremental_unassign(list)
            .map_err(|error| LogError::Failed(format!("unassign: {error}")))
    }

    fn list(&self, partitions: &[u16], offset: Offset) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            for topic in &self.topics {
                list.add_partition_offset(topic, i32::from(*partition), offset)
                    .map_err(|error| LogError::Failed(format!("{topic}: {error}")))?;
            }
        }
        Ok(list)
    }

    /// s0: who this worker is in the group, before it folds anything of a commit.
    fn capture(&mut self) {
        if self.captured.is_none() && !self.consumer.assignment_lost() {
            self.captured = GroupMetadata::of(&self.consumer).filter(GroupMetadata::is_fencing);
            if self.consumer.assignment_lost() {
                self.captured = None;
            }
        }
    }

    /// The metadata to commit with. After a revocation the generation has moved: it is taken again,
    /// and used only if this is still the same member.
    fn metadata(&mut self) -> Option<GroupMetadata> {
        self.capture();
        let captured = self.captured.take()?;
        if !self.is_revoking {
            return Some(captured);
        }
        let now = GroupMetadata::of(&self.consumer).filter(GroupMetadata::is_fencing)?;
        let is_same = now.member() == captured.member()
            && now.generation() >= captured.generation()
            && !self.consumer.assignment_lost();
        is_same.then_some(now)
    }

    /// Fetches, proves and hands out what may be folded now.
    fn fetch(&mut self) -> Result<Option<Happening>, LogError> {
        let decoders = self.owned.values_mut().map(|owned| &mut owned.inputs.decoder);
        self.schemata.answers(decoders);
        let wall_millis = wall_millis();
        let numbers: Vec<u16> = self.owned.keys().copied().collect();
        let mut batch = Batch::new(self.rules.partitions, None, self.first_number);
        let mut has_any = false;
        for number in numbers {
            let Some(owned) = self.owned.get_mut(&number) else { continue };
            if !owned.is_begun || owned.is_held {
                continue;
            }
            match owned.inputs.fetch(&mut self.recycled) {
                None => {}
                Some(Trouble::Halt(halt)) => return Ok(Some(Happening::Halted(number, halt))),
                Some(Trouble::SchemaWanted(id)) => {
                    owned.inputs.wait_reason = Some(self.schemata.ask(id));
                }
                Some(Trouble::OutOfRange(text)) => {
                    if let Some(halt) = self.out_of_range(number, &text)? {
                        return Ok(Some(Happening::Halted(number, halt)));
                    }
                    continue;
                }
                Some(Trouble::Denied(text)) => return Err(LogError::Denied(text)),
            }
            if owned.inputs.wants_proof() {
                ask_ends(&self.asker, &mut owned.inputs)?;
            }
            match owned.inputs.hand_out(&mut batch, wall_millis) {
                Ok(has_records) => has_any |= has_records,
                Err(halt) => return Ok(Some(Happening::Halted(number, halt))),
            }
        }
        if !has_any {
            return Ok(None);
        }
        self.first_number += batch.slots.len() as u64;
        Ok(Some(Happening::Batch(batch)))
    }

    /// The clock of an idle partition, where it may and should move.
    fn idle_clock(&mut self) -> Result<Option<Happening>, LogError> {
        if self.is_record_time || self.wall_rests_until.is_some_and(|until| until > Monotonic::now()) {
            return Ok(None);
        }
        for (number, owned) in &mut self.owned {
            let wall_millis = wall_millis();
            let clock = Instant::from_millis(wall_millis - self.idle_margin_millis);
            let is_due = owned.wake_at.is_some_and(|due| due <= clock)
                || wall_millis - owned.clock_moved_millis >= IDLE_CLOCK_MILLIS;
            let is_asked = owned.idle_asked_at.is_some_and(|at| at.elapsed() < IDLE_ASK_INTERVAL);
            let is_new = owned.inputs.clock.is_none_or(|now| clock > now);
            if !owned.is_begun || owned.is_held || !is_due || is_asked || !is_new
                || !owned.inputs.is_at_end()
            {
                continue;
            }
            owned.idle_asked_at = Some(Monotonic::now());
            owned.inputs.forget_proofs();
            ask_ends(&self.asker, &mut owned.inputs)?;
            if owned.inputs.is_proven_empty() {
                owned.clock_moved_millis = wall_millis;
                owned.inputs.clock = Some(clock);
                return Ok(Some(Happening::Clock {
                    partition: *number,
                    clock,
                    wall_millis,
                }));
            }
        }
        Ok(None)
    }

    /// The broker does not have what was to be fetched. Believed only where the log's ends say so
    /// too; else it is fetched again from the same position.
    fn out_of_range(&mut self, partition: u16, text: &str) -> Result<Option<Halt>, LogError> {
        let Some(owned) = self.owned.get_mut(&partition) else {
            return Ok(None);
        };
        for input in &mut owned.inputs.inputs {
            let (topic, next) = (&input.topic, input.next_offset);
            let Some(offsets) = watermarks(&self.asker, topic, partition)? else {
                continue;
            };
            if next < offsets.first {
                return Ok(Some(Halt::new(
                    HaltCode::RetentionPassedUs,
                    format!(
                        "{topic}: records {next} to {} are gone before they were folded: meterfold \
                         recover --partition {partition} --accept-gap {topic}:{next}..{}",
                        offsets.first - 1,
                        offsets.first
                    ),
                )));
            }
            if next > offsets.next {
                return Ok(Some(Halt::new(
                    HaltCode::LogTruncated,
                    format!(
                        "{topic}: the log ends at {}, before position {next} that was read already: \
                         records were lost by the brokers (unclean election?)",
                        offsets.next
                    ),
                )));
            }
            let (first, end) = (offsets.first, offsets.next);
            tracing::info!(
                event = "fetch_again",
                partition,
                "{topic}: {text}; the log holds {first} to {end}, fetching again from {next}"
            );
        }
        self.seek(partition)?;
        Ok(None)
    }
}

impl Log for KafkaLog {
    fn take(&mut self, wait: Duration) -> Result<Happening, LogError> {
        self.poll(Duration::ZERO)?;
        if self.unreleased.is_empty() && let Some(news) = self.consumer.context().next() {
            return match news {
                News::Assign(partitions) => self.assign(partitions),
                News::Revoke(partitions) => self.revoke(partitions),
            };
        }
        if !self.is_revoking {
            self.capture();
            if let Some(happening) = self.fetch()? {
                return Ok(happening);
            }
            if let Some(happening) = self.idle_clock()? {
                return Ok(happening);
            }
        }
        self.poll(wait)?;
        Ok(Happening::Idle)
    }

    fn recycle(&mut self, batch: Batch) {
        for piece in batch.pieces {
            if self.recycled.len() < RECYCLED_PIECES_MAX && let Some(piece) = Arc::into_inner(piece) {
                self.recycled.push(piece);
            }
        }
    }

    fn commit(&mut self, staged: &[Staged]) -> Result<Outcome, LogError> {
        let Some(metadata) = self.metadata() else {
            return Ok(Outcome::Unsure {
                reason: "the assignment is lost, or another member has it".into(),
                is_timeout: false,
            });
        };
        let has_wall = staged.iter().any(|it| it.log.as_ref().is_some_and(|log| log.wall_millis.is_some()));
        match self.transactions.commit(staged, &metadata)? {
            End::Done(outcome) => {
                if has_wall && matches!(outcome, Outcome::Unsure { .. }) {
                    self.wall_rests_until = Some(Monotonic::now() + WALL_REST);
                }
                Ok(outcome)
            }
            End::Fenced(reason) => Err(LogError::Fenced(reason)),
        }
    }

    fn committed(&mut self, partition: u16) -> Result<Option<Committed>, LogError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topics[0], i32::from(partition));
        let answer = self.consumer.committed_offsets(list, ASK_TIMEOUT);
        let list = match answer {
            Ok(list) => list,
            Err(error) => {
                return match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                        Err(LogError::Denied(format!("offsets of the group: {error}")))
                    }
                    _ => {
                        tracing::debug!(event = "offsets_unknown", partition, "{error}");
                        Ok(None)
                    }
                };
            }
        };
        let elements = list.elements();
        let Some(element) = elements.first().filter(|element| element.error().is_ok()) else {
            return Ok(None);
        };
        Ok(Some(match element.offset() {
            Offset::Offset(offset) => Committed::At {
                offset,
                metadata: element.metadata().to_owned(),
            },
            _ => Committed::Missing,
        }))
    }

    fn input_offsets(&mut self, partition: u16) -> Result<Option<Vec<Offsets>>, LogError> {
        let offsets = self.topics.iter().map(|topic| watermarks(&self.asker, topic, partition));
        offsets.collect()
    }

    fn open_kept(
        &mut self,
        topic: Kept,
        partition: u16,
        from: Option<i64>,
    ) -> Result<Option<Offsets>, LogError> {
        let topic = match topic {
            Kept::Changelog => &self.kept_topics[0],
            Kept::Journal => &self.kept_topics[1],
        };
        let opened = KeptReader::open(&self.reader, &self.asker, topic, partition, from)?;
        Ok(opened.map(|(reader, offsets)| {
            self.kept.insert(partition, reader);
            offsets
        }))
    }

    fn read_kept(
        &mut self,
        partition: u16,
        visit: &mut dyn FnMut(KeptRecord),
    ) -> Result<i64, LogError> {
        match self.kept.get_mut(&partition) {
            Some(reader) => reader.read(visit),
            None => Err(LogError::Failed(format!("partition {partition}: nothing is being read"))),
        }
    }

    fn close_kept(&mut self, partition: u16) {
        self.kept.remove(&partition);
    }

    fn begin(
        &mut self,
        partition: u16,
        positions: &[i64],
        clock: Option<Instant>,
    ) -> Result<(), LogError> {
        let Some(owned) = self.owned.get_mut(&partition) else {
            return Ok(());
        };
        // It is paused: nothing comes between the end of what was read ahead and the seek.
        for (input, next) in owned.inputs.inputs.iter_mut().zip(positions) {
            input.reset(*next);
        }
        owned.inputs.clock = clock;
        owned.is_begun = true;
        owned.is_held = false;
        owned.clock_moved_millis = wall_millis();
        self.seek(partition)?;
        let list = self.list(&[partition], Offset::Invalid)?;
        self.consumer
            .resume(&list)
            .map_err(|error| LogError::Failed(format!("resume of partition {partition}: {error}")))
    }

    fn hold(&mut self, partition: u16, is_held: bool) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.is_held = is_held;
        }
    }

    fn wake_at(&mut self, partition: u16, due: Option<Instant>) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.wake_at = due;
        }
    }

    fn stop(&mut self, partition: u16) {
        let list = self.list(&[partition], Offset::Invalid);
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.is_begun = false;
            if let Ok(list) = list && let Err(error) = self.consumer.pause(&list) {
                tracing::debug!(event = "pause_failed", partition, "{error}");
            }
        }
        // What this worker was when the dropped records were folded says nothing of the next ones.
        self.captured = None;
    }

    fn release(&mut self, partition: u16) -> Result<(), LogError> {
        self.kept.remove(&partition);
        self.owned.remove(&partition);
        self.unreleased.retain(|it| *it != partition);
        let list = self.list(&[partition], Offset::Invalid)?;
        self.unassign(&list)?;
        if self.unreleased.is_empty() {
            self.is_revoking = false;
        }
        self.seek_begun()
    }

    fn close(&mut self) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        self.consumer.context().close();
        self.kept.clear();
        self.owned.clear();
        self.transactions.forget();
        self.consumer.unsubscribe();
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Takes an input's records out of the main queue, into one of its own.
fn split(consumer: &BaseConsumer<Ownership>, input: &mut Input, partition: u16) -> Result<(), LogError> {
    match PartitionQueue::split(consumer, &input.topic, partition, FETCH_RECORDS_MAX) {
        Some(queue) => input.attach(queue),
        None => {
            let topic = &input.topic;
            let text = format!("{topic}: the queue of partition {partition} is not there");
            return Err(LogError::Failed(text));
        }
    }
    Ok(())
}

/// Asks for the high watermark of every input.
fn ask_ends(asker: &BaseConsumer, inputs: &mut Inputs) -> Result<(), LogError> {
    let partition = inputs.partition;
    for input in &mut inputs.inputs {
        if input.is_empty()
            && let Some(offsets) = watermarks(asker, &input.topic, partition)?
        {
            input.prove(offsets.next);
        }
    }
    Ok(())
}

pub fn wall_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}
