//! The log as an operator's decision needs it: from outside the group (`engine.md` 5).

use crate::config::Config;
use crate::ports::log::LogError;
use crate::telemetry::Telemetry;
use rdkafka::consumer::Consumer;

use super::client;
use super::derived_format::DerivedFormat;
use super::kept::KeptReader;
use super::log::{ASK_TIMEOUT, KafkaLog};

impl KafkaLog {
    /// Stays outside the group, which must be empty, to commit an operator's decision.
    pub fn alone(config: &Config, partition: u16) -> Result<KafkaLog, LogError> {
        let mut producer = client::worker_producer(config, 0);
        let identity = format!("{}-recover-{partition}", config.application);
        producer.set("transactional.id", identity);
        let mut log = KafkaLog::new(
            config,
            0,
            DerivedFormat::Json,
            producer,
            Telemetry::unwatched(),
        )?;
        log.group = Some(config.application.clone());
        Ok(log)
    }

    /// Members of the group; None: no answer.
    pub fn group_members(&self) -> Option<usize> {
        let group = self.group.as_deref()?;
        let list = self.asker.fetch_group_list(Some(group), ASK_TIMEOUT).ok()?;
        Some(
            list.groups()
                .first()
                .map_or(0, |group| group.members().len()),
        )
    }

    /// Timestamp of the record at `offset`; None: there is no such record.
    pub fn timestamp_at(
        &self,
        topic: &str,
        partition: u16,
        offset: i64,
    ) -> Result<Option<i64>, LogError> {
        let (mut reader, end) = loop {
            let opened =
                KeptReader::open(&self.reader, &self.asker, topic, partition, Some(offset))?;
            if let Some((reader, offsets)) = opened {
                break (reader, offsets.next);
            }
        };
        let mut found = None;
        while found.is_none()
            && reader.read(&mut |record| {
                if record.offset == offset {
                    found = Some(record.appended_at_millis);
                }
            })? <= offset.min(end - 1)
        {}
        Ok(found)
    }
}
