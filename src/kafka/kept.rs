//! Reads changelog and journal of one partition: committed records only, without a group.

use std::time::{Duration, Instant as Monotonic};

use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::ports::log::{KeptRecord, LogError, Newest, Offsets};

/// Time of one slice of reading, so that the worker can do its other work.
const SLICE: Duration = Duration::from_millis(100);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Records before the end that are looked at first; the next stretch is ten times as long.
const NEWEST_STRETCH: i64 = 100;
const NEWEST_TIMEOUT: Duration = Duration::from_secs(10);

pub struct KeptReader {
    consumer: BaseConsumer<Quiet>,
    next: i64,
}

/// The end of a partition is news to the reader, not to the log lines.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        if !matches!(error, KafkaError::Global(RDKafkaErrorCode::PartitionEOF)) {
            tracing::warn!(event = "reader_error", "{error}: {reason}");
        }
    }
}

impl ConsumerContext for Quiet {}

impl KeptReader {
    /// None: the broker does not answer in time. `asker` reads uncommitted, so it sees the high
    /// watermark.
    pub fn open(
        settings: &ClientConfig,
        asker: &BaseConsumer<impl ConsumerContext>,
        topic: &str,
        partition: u16,
        from: Option<i64>,
    ) -> Result<Option<(KeptReader, Offsets)>, LogError> {
        let consumer = BaseConsumer::from_config_and_context(settings, Quiet)
            .map_err(|error| LogError::Invalid(format!("reader of {topic}: {error}")))?;
        let Some(offsets) = watermarks(asker, topic, partition)? else {
            return Ok(None);
        };
        let next = from.unwrap_or(offsets.first).max(offsets.first);
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(topic, i32::from(partition), Offset::Offset(next));
        added
            .and_then(|()| consumer.assign(&list))
            .map_err(|error| LogError::Failed(format!("reading {topic}: {error}")))?;
        Ok(Some((KeptReader { consumer, next }, offsets)))
    }

    /// Shows what follows for at most a slice of time. Returns the next offset to read.
    pub fn read(&mut self, visit: &mut dyn FnMut(KeptRecord)) -> Result<i64, LogError> {
        let began = Monotonic::now();
        while began.elapsed() < SLICE {
            match self.consumer.poll(Duration::from_millis(10)) {
                None => {}
                Some(Ok(message)) => {
                    self.next = message.offset() + 1;
                    visit(KeptRecord {
                        offset: message.offset(),
                        appended_at_millis: message.timestamp().to_millis().unwrap_or_default(),
                        key: message.key().unwrap_or_default(),
                        value: message.payload(),
                    });
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    // Beyond the last record: what lies there are no records for this reader.
                    self.next = self.next.max(self.position());
                    break;
                }
                Some(Err(error)) => {
                    let denied = RDKafkaErrorCode::TopicAuthorizationFailed;
                    if error.rdkafka_error_code() == Some(denied) {
                        return Err(LogError::Denied(error.to_string()));
                    }
                    // The context has heard it.
                }
            }
        }
        Ok(self.next)
    }

    fn position(&self) -> i64 {
        let list = self.consumer.position().ok();
        let offset = list.and_then(|list| list.elements().first().map(|it| it.offset()));
        match offset {
            Some(Offset::Offset(next)) => next,
            _ => self.next,
        }
    }
}

/// The newest committed value of `key`, found from the end; None: no answer in time.
pub fn newest(
    settings: &ClientConfig,
    asker: &BaseConsumer<impl ConsumerContext>,
    topic: &str,
    partition: u16,
    key: &[u8],
) -> Result<Option<Newest>, LogError> {
    let Some(Offsets { first, next }) = watermarks(asker, topic, partition)? else {
        return Ok(None);
    };
    let began = Monotonic::now();
    let mut stretch = NEWEST_STRETCH;
    loop {
        let from = first.max(next - stretch);
        let Some((mut reader, _)) =
            KeptReader::open(settings, asker, topic, partition, Some(from))?
        else {
            return Ok(None);
        };
        let mut found = Newest::Nothing;
        while reader.read(&mut |record| {
            if let Some(value) = record.value.filter(|_| record.key == key) {
                found = Newest::Value(value.to_vec());
            }
        })? < next
        {
            if began.elapsed() > NEWEST_TIMEOUT {
                return Ok(None);
            }
        }
        if found != Newest::Nothing || from == first {
            return Ok(Some(found));
        }
        stretch *= 10;
    }
}

/// First and next offset of a partition; None: no answer in time. A reader of uncommitted records
/// hears of the high watermark, any other takes the last stable offset for the end.
pub fn watermarks<C: ConsumerContext>(
    asker: &BaseConsumer<C>,
    topic: &str,
    partition: u16,
) -> Result<Option<Offsets>, LogError> {
    match asker.fetch_watermarks(topic, i32::from(partition), ASK_TIMEOUT) {
        Ok((first, next)) => Ok(Some(Offsets { first, next })),
        Err(error) => match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::Authentication) => {
                Err(LogError::Denied(format!("{topic}: {error}")))
            }
            _ => {
                tracing::debug!(event = "offsets_unknown", topic, "{error}");
                Ok(None)
            }
        },
    }
}
