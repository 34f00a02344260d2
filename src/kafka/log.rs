//! Kafka behind the seam of [`crate::ports::log`]: one worker's consumer, its transactions, and
//! what it asks of the brokers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant as Monotonic, SystemTime, UNIX_EPOCH};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::billing::time::Instant;
use crate::config::{
    Config, OnWrongPartition, RecordedTime, SESSION_TIMEOUT_MILLIS, TRANSACTION_TIMEOUT_MILLIS,
};
use crate::ports::log::{
    Committed, Halt, Happening, Hidden, Kept, KeptRecord, Log, LogError, Newest, Offsets, Outcome,
    Prospect,
};
use crate::ports::{Batch, Piece, Staged};
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{FencedBy, Rebalance, Step};
use crate::wire::avro::Schemas;
use crate::wire::kafka_record::RecordRules;

use super::client;
use super::client_errors::Asking;
use super::derived_format::DerivedFormat;
use super::input::Inputs;
use super::kept::{self, KeptReader, watermarks};
use super::native::GroupMetadata;
use super::rebalance::{News, Ownership};
use super::schemata::Schemata;
use super::telling::fatal;
use super::transaction::{End, Timeouts, Transactions};
use super::unowned::Unowned;

/// Time for a question to the group's coordinator.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(1);
pub(super) const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// After the wall clock was found wrong it moves no partition for so long.
const WALL_REST: Duration = Duration::from_secs(60);
const RECYCLED_PIECES_MAX: usize = 16;

pub struct KafkaLog {
    pub(super) telemetry: Telemetry,
    /// Commits for this group without being in it; None: as a member.
    pub(super) group: Option<String>,
    /// Queues of partitions go before the consumer that they belong to.
    pub(super) owned: BTreeMap<u16, Owned>,
    pub(super) application: String,
    kept: BTreeMap<u16, KeptReader>,
    pub(super) consumer: BaseConsumer<Ownership>,
    /// Reads uncommitted and belongs to no group: it sees high watermarks.
    pub(super) asker: BaseConsumer<Asking>,
    pub(super) transactions: Transactions,
    pub(super) schemata: Schemata,
    pub(super) schemas: Arc<Schemas>,
    pub(super) topics: Vec<String>,
    kept_topics: [String; 2],
    pub(super) outputs: Vec<String>,
    pub(super) reader: ClientConfig,
    pub(super) rules: RecordRules,
    pub(super) is_record_time: bool,
    pub(super) idle_margin_millis: i64,
    /// s0: taken before the first record of a commit is handed out.
    pub(super) captured: Option<GroupMetadata>,
    /// The group has taken partitions away that are not given up yet.
    pub(super) is_revoking: bool,
    /// News of a change that is not carried out yet.
    pub(super) changing: Option<(Rebalance, Monotonic)>,
    pub(super) unreleased: Vec<u16>,
    released: Vec<u16>,
    /// None: the brokers assign, and leave nothing over.
    pub(super) unowned: Option<Unowned>,
    /// Partitions that are to halt once what is handed out beside them is folded.
    pub(super) halts: BTreeMap<u16, Halt>,
    pub(super) wall_rests_until: Option<Monotonic>,
    pub(super) away_asked_at: Option<Monotonic>,
    pub(super) recycled: Vec<Piece>,
    pub(super) first_number: u64,
    is_closed: bool,
}

pub(super) struct Owned {
    pub(super) inputs: Inputs,
    pub(super) is_begun: bool,
    pub(super) is_held: bool,
    pub(super) wake_at: Option<Instant>,
    pub(super) idle_asked_at: Option<Monotonic>,
    /// Outputs that had records beyond the last stable offset when the start asked, and their ends
    /// then.
    pub(super) unsettled: Option<Vec<(String, i64)>>,
    /// Wall time at which the clock was last moved without a record.
    pub(super) clock_moved_millis: i64,
}

impl KafkaLog {
    /// Joins the group as `worker`.
    pub fn join(
        config: &Config,
        worker: u16,
        format: DerivedFormat,
        telemetry: &Telemetry,
    ) -> Result<KafkaLog, LogError> {
        let producer = client::worker_producer(config, worker);
        let log = KafkaLog::new(config, worker, format, producer, telemetry.clone())?;
        let subscribed = log.consumer.subscribe(&[&log.topics[0]]);
        subscribed.map_err(|error| LogError::Invalid(format!("kafka: {error}")))?;
        Ok(log)
    }

    pub(super) fn new(
        config: &Config,
        worker: u16,
        format: DerivedFormat,
        producer: ClientConfig,
        telemetry: Telemetry,
    ) -> Result<KafkaLog, LogError> {
        let invalid = |error: KafkaError| LogError::Invalid(format!("kafka: {error}"));
        let topics: Vec<String> = std::iter::once(config.topics.api_calls.clone())
            .chain(config.topics.accounts.clone())
            .collect();
        let settings = client::worker_consumer(config, worker);
        let ownership = Ownership::new(telemetry.clone(), format!("consumer-{worker}"));
        let consumer: BaseConsumer<Ownership> =
            BaseConsumer::from_config_and_context(&settings, ownership).map_err(invalid)?;
        let reader = client::reader(config, &format!("reader-{worker}"));
        let mut asker = reader.clone();
        asker.set("isolation.level", "read_uncommitted");
        let time = |name, default| Duration::from_millis(config.kafka.millis(name, default));
        let timeouts = Timeouts {
            transaction: time("transaction.timeout.ms", TRANSACTION_TIMEOUT_MILLIS),
            session: time("session.timeout.ms", SESSION_TIMEOUT_MILLIS),
        };
        Ok(KafkaLog {
            group: None,
            owned: BTreeMap::new(),
            application: config.application.clone(),
            kept: BTreeMap::new(),
            asker: BaseConsumer::from_config_and_context(&asker, Asking::default())
                .map_err(invalid)?,
            transactions: Transactions::new(
                producer,
                config.topics.clone(),
                topics.clone(),
                format,
                timeouts,
                (telemetry.clone(), format!("producer-{worker}")),
            ),
            schemata: Schemata::new(config.registry.as_ref(), &telemetry)?,
            schemas: Arc::new(Schemas::built_in()),
            kept_topics: [
                config.topics.changelog.clone(),
                config.topics.journal.clone(),
            ],
            outputs: config.topics.outputs().map(str::to_owned).to_vec(),
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
            changing: None,
            unreleased: Vec::new(),
            released: Vec::new(),
            unowned: (!config.kafka.is_consumer_protocol()).then(|| Unowned::new(timeouts.session)),
            halts: BTreeMap::new(),
            wall_rests_until: None,
            away_asked_at: None,
            recycled: Vec::new(),
            first_number: 0,
            is_closed: false,
            consumer,
            telemetry,
        })
    }

    /// What the main queue brings: news of ownership, errors, never a record.
    fn poll(&mut self, wait: Duration) -> Result<(), LogError> {
        match self.consumer.poll(wait) {
            None => {}
            Some(Ok(_)) => {
                panic!("a record came out of the main queue: its partition was not split")
            }
            Some(Err(error)) => self.consumer_error(error)?,
        }
        self.transactions.poll();
        // Nothing comes but what it has to say, which it would keep.
        while self.asker.poll(Duration::ZERO).is_some() {}
        Ok(())
    }

    fn consumer_error(&mut self, error: KafkaError) -> Result<(), LogError> {
        if let Some(fatal) = fatal(&self.consumer, &self.telemetry) {
            return Err(fatal);
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication)
                if self.consumer.context().is_token_missing() =>
            {
                Ok(())
            }
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::Authentication,
            ) => Err(LogError::Denied(format!("consumer: {error}"))),
            // The context has heard it too.
            _ => Ok(()),
        }
    }
}

impl Log for KafkaLog {
    fn take(&mut self, wait: Duration) -> Result<Happening, LogError> {
        self.poll(Duration::ZERO)?;
        if self.unreleased.is_empty()
            && let Some(news) = self.consumer.context().next()
        {
            return match news {
                News::Assign(partitions) => self.assign(partitions),
                News::Revoke(partitions) => self.revoke(partitions),
            };
        }
        if !self.is_revoking {
            self.look_for_unowned()?;
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
            if self.recycled.len() < RECYCLED_PIECES_MAX
                && let Some(piece) = Arc::into_inner(piece)
            {
                self.recycled.push(piece);
            }
        }
    }

    fn commit(&mut self, staged: &[Staged]) -> Result<Outcome, LogError> {
        let Some(metadata) = self.metadata() else {
            self.telemetry.fenced(FencedBy::Generation);
            return Ok(Outcome::Unsure {
                reason: "the assignment is lost, or another member has it".into(),
                is_timeout: false,
            });
        };
        let has_wall = staged
            .iter()
            .any(|it| it.log.as_ref().is_some_and(|log| log.wall_millis.is_some()));
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
                        Err(self.denied(Step::Join, format!("offsets of the group: {error}")))
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

    fn hidden_outputs(&mut self, partition: u16) -> Result<Option<Vec<Hidden>>, LogError> {
        match self.transactions.ready()? {
            true => self.look_for_hidden(partition),
            false => Ok(None),
        }
    }

    fn input_offsets(&mut self, partition: u16) -> Result<Option<Vec<Offsets>>, LogError> {
        let offsets = self
            .topics
            .iter()
            .map(|topic| watermarks(&self.asker, topic, partition));
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
        let opened = KeptReader::open(&self.reader, &self.asker, topic, partition, from);
        Ok(self.restoring(opened)?.map(|(reader, offsets)| {
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
            Some(reader) => {
                let read = reader.read(visit);
                self.restoring(read)
            }
            None => Err(LogError::Failed(format!(
                "partition {partition}: nothing is being read"
            ))),
        }
    }

    fn newest_kept(
        &mut self,
        topic: Kept,
        partition: u16,
        key: &[u8],
    ) -> Result<Option<Newest>, LogError> {
        let topic = match topic {
            Kept::Changelog => &self.kept_topics[0],
            Kept::Journal => &self.kept_topics[1],
        };
        let newest = kept::newest(&self.reader, &self.asker, topic, partition, key);
        self.restoring(newest)
    }

    fn close_kept(&mut self, partition: u16) {
        self.kept.remove(&partition);
    }

    fn wait_reason(&self, partition: u16) -> Option<&str> {
        self.owned.get(&partition)?.inputs.wait_reason.as_deref()
    }

    fn prospects(&self, partition: u16) -> Vec<Prospect> {
        self.known_of(partition)
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
        self.halts.remove(&partition);
        let list = self.list(&[partition], Offset::Invalid);
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.is_begun = false;
            owned.unsettled = None;
            if let Ok(list) = list
                && let Err(error) = self.consumer.pause(&list)
            {
                tracing::debug!(event = "pause_failed", partition, "{error}");
            }
        }
    }

    fn release(&mut self, partition: u16) -> Result<(), LogError> {
        self.kept.remove(&partition);
        self.owned.remove(&partition);
        self.unreleased.retain(|it| *it != partition);
        self.released.push(partition);
        if self.unreleased.is_empty() {
            // The group waits for all that it took away at once.
            let released = std::mem::take(&mut self.released);
            let list = self.list(&released, Offset::Invalid)?;
            self.unassign(&list)?;
            if let Some((change, since)) = self.changing.take() {
                self.telemetry.rebalance(change, since.elapsed());
            }
            self.is_revoking = false;
            self.captured = None;
            self.seek_begun()?;
        }
        Ok(())
    }

    fn is_away(&mut self) -> bool {
        self.look_whether_away()
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

pub fn wall_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}
