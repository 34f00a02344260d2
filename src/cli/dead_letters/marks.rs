//! What the headers of a dead letter say of the record that it was.

use crate::kafka::letters::Letter;
use crate::wire::dead_letter::{find_mark, mark};

/// Members are None where a header is missing or cannot be read: the record is not ours.
#[derive(Clone, Copy, Debug)]
pub struct Marks<'a> {
    /// The input topic, partition and offset of the record.
    pub topic: Option<&'a str>,
    pub partition: Option<u16>,
    pub offset: Option<i64>,
    pub timestamp_millis: Option<i64>,
    pub reason: Option<&'a str>,
    pub detail: Option<&'a str>,
    pub stage: Option<&'a str>,
    pub schema_id: Option<u32>,
    /// Not all of the record was kept.
    pub is_truncated: bool,
}

impl<'a> Marks<'a> {
    pub fn of(letter: &Letter<'a>) -> Marks<'a> {
        let find = |name| find_mark(letter.headers.iter().copied(), name);
        Marks {
            topic: find(mark::TOPIC),
            partition: find(mark::PARTITION).and_then(|text| text.parse().ok()),
            offset: find(mark::OFFSET).and_then(|text| text.parse().ok()),
            timestamp_millis: find(mark::TIMESTAMP).and_then(|text| text.parse().ok()),
            reason: find(mark::REASON),
            detail: find(mark::DETAIL),
            stage: find(mark::STAGE),
            schema_id: find(mark::SCHEMA_ID).and_then(|text| text.parse().ok()),
            is_truncated: find(mark::TRUNCATED) == Some("true"),
        }
    }

    pub fn is_of(&self, reason: Option<&str>) -> bool {
        reason.is_none() || reason == self.reason
    }
}
