//! Records of the dead-letters topic: the original as it came, and headers that say why
//! (`interfaces.md` 5).
//!
//! Key, value and headers are the original's; behind its headers stand ours ([`mark`]). Of a record
//! that is too large the first [`VALUE_BYTES_KEPT`] of the value and [`KEY_BYTES_KEPT`] of the key are
//! kept, and none of its headers; topic, partition and offset name the whole.
//!
//! Only facts of the log are written, never a program version, an attempt or a time of processing: a
//! refold gives the same bytes, and the journal keeps their digest. Staged, a dead letter is, behind
//! one byte of version: reason, detail (each one byte of length and text), 1 if the record was cut
//! else 0, and the record in its [canonical bytes](super::record_bytes).

use std::borrow::Cow;

use super::bytes::Corrupt;
use super::kafka_record::{Header, LogRecord, schema_id};
use super::record_bytes;
use crate::billing::event::{DeadLetterReason, Fault};

/// What the names of our headers begin with.
pub const MARK_PREFIX: &str = "meterfold.dlq.";

/// Bytes of the value that stay of a record that is too large.
pub const VALUE_BYTES_KEPT: usize = 1 << 20;

/// Bytes of the key that stay of a record that is too large.
pub const KEY_BYTES_KEPT: usize = 4 << 10;

const VERSION: u8 = 1;

/// Names of our headers, in the order in which they stand. All values are ASCII text.
pub mod mark {
    /// Name of the input topic.
    pub const TOPIC: &str = "meterfold.dlq.topic";
    pub const PARTITION: &str = "meterfold.dlq.partition";
    pub const OFFSET: &str = "meterfold.dlq.offset";
    /// Milliseconds since 1970, as the record has it.
    pub const TIMESTAMP: &str = "meterfold.dlq.timestamp";
    /// Name of the reason, such as `malformed`.
    pub const REASON: &str = "meterfold.dlq.reason";
    /// Bare name of the field; never any of the payload.
    pub const DETAIL: &str = "meterfold.dlq.detail";
    /// `decode` or `admit`: whether reading it failed, or the rules refused what was read.
    pub const STAGE: &str = "meterfold.dlq.stage";
    /// Id of the writer schema, where the value names one to a registry.
    pub const SCHEMA_ID: &str = "meterfold.dlq.schema_id";
    /// `true` where not all of the record was kept.
    pub const TRUNCATED: &str = "meterfold.dlq.truncated";
}

/// A staged dead letter. Key and value go as they are to the partition of the record's own number;
/// the headers are the original's, then [`DeadLetterRecord::marks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterRecord<'a> {
    pub reason: &'a str,
    pub detail: &'a str,
    pub is_truncated: bool,
    /// Cut already, if it is.
    pub original: LogRecord<'a>,
}

/// Appends the staged dead letter of a record, given in its canonical bytes.
pub fn write(original: &[u8], fault: Fault, out: &mut Vec<u8>) {
    let is_truncated = fault.reason == DeadLetterReason::TooLarge;
    out.push(VERSION);
    for text in [fault.reason.name(), fault.detail] {
        let len = u8::try_from(text.len());
        out.push(len.expect("reasons and fields have short names"));
        out.extend_from_slice(text.as_bytes());
    }
    out.push(u8::from(is_truncated));
    if !is_truncated {
        out.extend_from_slice(original);
        return;
    }
    let original = LogRecord::read(original).expect("canonical bytes that this process wrote");
    record_bytes::append(
        out,
        original.topic,
        original.offset,
        original.recorded,
        original.key.map(|key| cut(key, KEY_BYTES_KEPT)),
        [],
        original.value.map(|value| cut(value, VALUE_BYTES_KEPT)),
    );
}

impl<'a> DeadLetterRecord<'a> {
    /// Reads what [`write`] wrote.
    pub fn read(bytes: &'a [u8]) -> Result<DeadLetterRecord<'a>, Corrupt> {
        let mut rest = bytes
            .strip_prefix(&[VERSION])
            .ok_or(Corrupt("a dead letter of another version"))?;
        let reason = take_text(&mut rest)?;
        let detail = take_text(&mut rest)?;
        let (is_truncated, original) = match rest {
            [0, original @ ..] => (false, original),
            [1, original @ ..] => (true, original),
            _ => return Err(Corrupt("neither cut nor whole")),
        };
        Ok(DeadLetterRecord {
            reason,
            detail,
            is_truncated,
            original: LogRecord::read(original)?,
        })
    }

    /// Names and values of our headers. `topic` is the name of the input topic that the record's
    /// index means.
    pub fn marks<'t>(
        &self,
        topic: &'t str,
        partition: u16,
    ) -> impl Iterator<Item = (&'static str, Cow<'t, str>)>
    where
        'a: 't,
    {
        let schema_id = if self.is_truncated {
            None
        } else {
            schema_id(&self.original)
        };
        let number = |number: i64| Cow::Owned(number.to_string());
        let marks: [(&str, Option<Cow<'t, str>>); 9] = [
            (mark::TOPIC, Some(topic.into())),
            (mark::PARTITION, Some(number(partition.into()))),
            (mark::OFFSET, Some(number(self.original.offset))),
            (
                mark::TIMESTAMP,
                Some(number(self.original.recorded.millis())),
            ),
            (mark::REASON, Some(self.reason.into())),
            (mark::DETAIL, Some(self.detail.into())),
            (mark::STAGE, Some(stage(self.reason).into())),
            (mark::SCHEMA_ID, schema_id.map(|id| number(id.into()))),
            (mark::TRUNCATED, self.is_truncated.then(|| "true".into())),
        ];
        marks
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Whether a header is one of ours; all others go with a repaired record.
pub fn is_mark(name: &[u8]) -> bool {
    name.starts_with(MARK_PREFIX.as_bytes())
}

/// What one of our headers says. The last of its name counts, since the original may be a dead letter
/// that was sent again.
pub fn find_mark<'a>(headers: impl Iterator<Item = Header<'a>>, name: &str) -> Option<&'a str> {
    let ours = headers.filter(|(found, _)| *found == name.as_bytes());
    str::from_utf8(ours.last()?.1?).ok()
}

/// What the rules refuse was read well; everything else was not.
fn stage(reason: &str) -> &'static str {
    let admitted = [
        DeadLetterReason::TimeInFuture,
        DeadLetterReason::NoRateCard,
        DeadLetterReason::TooOld,
        DeadLetterReason::NegativeQuantity,
        DeadLetterReason::QuantityTooLarge,
    ];
    match admitted.iter().any(|of_rules| of_rules.name() == reason) {
        true => "admit",
        false => "decode",
    }
}

fn cut(bytes: &[u8], kept: usize) -> &[u8] {
    &bytes[..bytes.len().min(kept)]
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Corrupt> {
    let (&len, after) = rest.split_first().ok_or(Corrupt("ends early"))?;
    let (text, after) = after
        .split_at_checked(usize::from(len))
        .ok_or(Corrupt("ends early"))?;
    *rest = after;
    str::from_utf8(text).map_err(|_| Corrupt("text is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::time::Instant;

    const TOO_LARGE: Fault = Fault {
        reason: DeadLetterReason::TooLarge,
        detail: "record",
    };

    fn record(key: Option<&[u8]>, headers: &[Header<'_>], value: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        let recorded = Instant::from_millis(1_768_039_200_000);
        let headers = headers.iter().copied();
        record_bytes::append(&mut out, 1, 42, recorded, key, headers, value);
        out
    }

    fn staged(original: &[u8], fault: Fault) -> Vec<u8> {
        let mut out = b"before".to_vec();
        write(original, fault, &mut out);
        out.split_off(6)
    }

    /// Our headers, without the prefix of their names.
    fn marks(letter: &DeadLetterRecord<'_>) -> Vec<(String, String)> {
        letter
            .marks("accounts", 3)
            .map(|(name, value)| {
                let name = name.strip_prefix(MARK_PREFIX).expect("one of ours");
                (name.to_owned(), value.into_owned())
            })
            .collect()
    }

    #[test]
    fn the_original_is_kept_and_ours_say_why() {
        let headers = [(&b"a"[..], None), (b"a", Some(&b""[..]))];
        let original = record(Some(b""), &headers, None);
        let bytes = staged(&original, Fault::malformed("data.quantity"));
        let letter = DeadLetterRecord::read(&bytes).expect("a dead letter");
        assert_eq!(Ok(letter.original), LogRecord::read(&original));
        let expected = [
            ("topic", "accounts"),
            ("partition", "3"),
            ("offset", "42"),
            ("timestamp", "1768039200000"),
            ("reason", "malformed"),
            ("detail", "data.quantity"),
            ("stage", "decode"),
        ];
        assert_eq!(
            marks(&letter),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn every_reason_has_its_stage() {
        for reason in DeadLetterReason::ALL {
            let fault = Fault {
                reason,
                detail: "time",
            };
            let bytes = staged(&record(None, &[], None), fault);
            let letter = DeadLetterRecord::read(&bytes).expect("a dead letter");
            let is_of_rules = DeadLetterReason::TimeInFuture <= reason
                && reason <= DeadLetterReason::QuantityTooLarge;
            let stage = if is_of_rules { "admit" } else { "decode" };
            assert_eq!(marks(&letter)[6], ("stage".to_owned(), stage.to_owned()));
            assert_eq!(letter.reason, reason.name());
        }
    }

    #[test]
    fn the_schema_id_is_named() {
        let original = record(None, &[], Some(b"\0\0\0\x01\x02datum"));
        let bytes = staged(&original, Fault::malformed("schema_id"));
        let letter = DeadLetterRecord::read(&bytes).expect("a dead letter");
        assert_eq!(marks(&letter)[7], ("schema_id".into(), "258".into()));
    }

    #[test]
    fn of_a_record_too_large_the_beginning_is_kept() {
        let (key, value) = (vec![b'k'; 5_000], vec![b'v'; (1 << 20) + 1]);
        let original = record(Some(&key), &[(b"a", Some(b"b"))], Some(&value));
        let bytes = staged(&original, TOO_LARGE);
        let letter = DeadLetterRecord::read(&bytes).expect("a dead letter");
        assert_eq!(letter.original.key.map(<[u8]>::len), Some(4_096));
        assert_eq!(letter.original.value.map(<[u8]>::len), Some(1 << 20));
        assert!(letter.original.headers.is_empty());
        assert_eq!((letter.original.topic, letter.original.offset), (1, 42));
        assert_eq!(marks(&letter)[7], ("truncated".into(), "true".into()));
        // Well within the topic's 2 MiB, whatever the original was.
        assert!(bytes.len() < VALUE_BYTES_KEPT + KEY_BYTES_KEPT + 1_024);

        let headers_only = record(None, &[(b"a", Some(&value))], None);
        let bytes = staged(&headers_only, TOO_LARGE);
        let letter = DeadLetterRecord::read(&bytes).expect("a dead letter");
        assert_eq!((letter.original.key, letter.original.value), (None, None));
    }

    #[test]
    fn of_a_dead_letter_sent_again_the_last_headers_count() {
        let headers: [Header<'_>; 4] = [
            (b"meterfold.dlq.reason", Some(b"malformed")),
            (b"a", Some(b"b")),
            (b"meterfold.dlq.reason", Some(b"too_old")),
            (b"meterfold.dlq.detail", None),
        ];
        let found = |name| find_mark(headers.into_iter(), name);
        assert_eq!(found(mark::REASON), Some("too_old"));
        assert_eq!(found(mark::DETAIL), None);
        let others = headers.iter().filter(|(name, _)| !is_mark(name));
        assert_eq!(others.count(), 1);
    }

    #[test]
    fn other_bytes_are_corrupt() {
        let bytes = staged(&record(None, &[], None), TOO_LARGE);
        for end in 0..bytes.len() {
            assert!(DeadLetterRecord::read(&bytes[..end]).is_err());
        }
        let other_version = [&[2], &bytes[1..]].concat();
        assert!(DeadLetterRecord::read(&other_version).is_err());
        let longer = [&bytes[..], b"x"].concat();
        assert!(DeadLetterRecord::read(&longer).is_err());
    }

    /// Journals hold digests of these bytes for ever.
    #[test]
    fn the_layout_stays() {
        let original = record(None, &[], None);
        let bytes = staged(&original, Fault::malformed("id"));
        assert_eq!(
            bytes,
            [b"\x01\x09malformed\x02id\0", &original[..]].concat()
        );
    }
}
