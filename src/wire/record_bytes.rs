//! A record of the log in canonical bytes: what the journal hashes and a dead letter is made of.
//!
//! Layout of version 1, integers big-endian: version (1 byte), index of the input topic (1 byte),
//! offset (8), timestamp in milliseconds (8), key, number of headers (4), name and value of each
//! header, value. Bytes are their length (4) and themselves; the length 0xFFFFFFFF says that they are
//! absent, which is not the same as empty. Equal records have equal bytes, and no two records share
//! theirs.
//!
//! The reader copies nothing and is total. It is the way from a client's borrowed record to
//! [`kafka_record`](super::kafka_record), and knows no event.

use std::ops::Range;

use super::bytes::Corrupt;
use crate::billing::time::Instant;

const VERSION: u8 = 1;

/// Length of bytes that are absent.
const ABSENT: u32 = u32::MAX;

/// Bytes in front of the key.
const HEAD_BYTES: usize = 18;

/// Bytes of the two lengths of a header.
const HEADER_LENGTHS_BYTES: usize = 8;

/// A record as it lies in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRecord<'a> {
    /// Index of the input topic: [`API_CALLS`](super::kafka_record::API_CALLS) is the first.
    pub topic: u8,
    pub offset: i64,
    /// The record's timestamp, whichever kind it is: its recorded time.
    pub recorded: Instant,
    pub key: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    pub value: Option<&'a [u8]>,
}

/// Headers of a record, in their order; a name may stand more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    count: u32,
    /// Name and value of each, checked when they were read.
    bytes: &'a [u8],
}

/// A header: its name and, unless it is null, its value.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// Appends a record to `out` and tells where it lies there.
pub fn append<'h>(
    out: &mut Vec<u8>,
    topic: u8,
    offset: i64,
    recorded: Instant,
    key: Option<&[u8]>,
    headers: impl IntoIterator<Item = Header<'h>>,
    value: Option<&[u8]>,
) -> Range<usize> {
    let start = out.len();
    out.extend_from_slice(&[VERSION, topic]);
    out.extend_from_slice(&offset.to_be_bytes());
    out.extend_from_slice(&recorded.millis().to_be_bytes());
    put_optional(key, out);
    let count_at = out.len();
    put_count(0, out);
    let mut count = 0_u32;
    for (name, value) in headers {
        put_optional(Some(name), out);
        put_optional(value, out);
        count += 1;
    }
    out[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
    put_optional(value, out);
    start..out.len()
}

/// The offset of a record, without a look at the rest.
pub fn offset(bytes: &[u8]) -> Option<i64> {
    let offset = bytes.get(2..10)?.first_chunk()?;
    Some(i64::from_be_bytes(*offset))
}

impl<'a> LogRecord<'a> {
    /// Reads what [`append`] wrote.
    pub fn read(bytes: &'a [u8]) -> Result<LogRecord<'a>, Corrupt> {
        let (head, mut rest) = bytes
            .split_first_chunk::<HEAD_BYTES>()
            .ok_or(Corrupt("ends early"))?;
        let [VERSION, topic, places @ ..] = head else {
            return Err(Corrupt("a record of another version"));
        };
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&places[at..at + 8]);
            i64::from_be_bytes(number)
        };
        let key = take_optional(&mut rest)?;
        let count = take_count(&mut rest)?;
        let first = rest;
        for _ in 0..count {
            take_header(&mut rest)?;
        }
        let headers = &first[..first.len() - rest.len()];
        let value = take_optional(&mut rest)?;
        if !rest.is_empty() {
            return Err(Corrupt("bytes left over"));
        }
        Ok(LogRecord {
            topic: *topic,
            offset: number(0),
            recorded: Instant::from_millis(number(8)),
            key,
            headers: Headers {
                count,
                bytes: headers,
            },
            value,
        })
    }

    /// Bytes of key, value and headers together.
    pub fn content_bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len)
            + self.value.map_or(0, <[u8]>::len)
            + self.headers.content_bytes()
    }
}

impl<'a> Headers<'a> {
    pub const NONE: Headers<'static> = Headers {
        count: 0,
        bytes: &[],
    };

    pub const fn len(self) -> usize {
        self.count as usize
    }

    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Header<'a>> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || take_header(&mut rest).ok())
    }

    /// Bytes of all names and values.
    fn content_bytes(self) -> usize {
        self.bytes.len() - self.len() * HEADER_LENGTHS_BYTES
    }
}

fn put_optional(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(bytes) = bytes else {
        return put_count(ABSENT, out);
    };
    let len = u32::try_from(bytes.len()).ok().filter(|len| *len < ABSENT);
    put_count(len.expect("a record of the log is far below 4 GiB"), out);
    out.extend_from_slice(bytes);
}

fn put_count(count: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&count.to_be_bytes());
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Result<Header<'a>, Corrupt> {
    let name = take_optional(rest)?.ok_or(Corrupt("a header without a name"))?;
    Ok((name, take_optional(rest)?))
}

fn take_optional<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Corrupt> {
    let len = take_count(rest)?;
    if len == ABSENT {
        return Ok(None);
    }
    let (bytes, after) = rest
        .split_at_checked(len as usize)
        .ok_or(Corrupt("ends early"))?;
    *rest = after;
    Ok(Some(bytes))
}

fn take_count(rest: &mut &[u8]) -> Result<u32, Corrupt> {
    let (count, after) = rest.split_first_chunk().ok_or(Corrupt("ends early"))?;
    *rest = after;
    Ok(u32::from_be_bytes(*count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn optional() -> impl Strategy<Value = Option<Vec<u8>>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20))
    }

    type Parts = (
        u8,
        i64,
        i64,
        Option<Vec<u8>>,
        Vec<(Vec<u8>, Option<Vec<u8>>)>,
        Option<Vec<u8>>,
    );

    fn parts() -> impl Strategy<Value = Parts> {
        let name = proptest::collection::vec(any::<u8>(), 0..9);
        let headers = proptest::collection::vec((name, optional()), 0..5);
        let millis = -(1_i64 << 50)..1 << 50;
        (
            any::<u8>(),
            any::<i64>(),
            millis,
            optional(),
            headers,
            optional(),
        )
    }

    fn written((topic, offset, millis, key, headers, value): &Parts) -> Vec<u8> {
        let mut out = b"before".to_vec();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_deref()));
        let recorded = Instant::from_millis(*millis);
        let range = append(
            &mut out,
            *topic,
            *offset,
            recorded,
            key.as_deref(),
            headers,
            value.as_deref(),
        );
        assert_eq!((range.start, range.end), (6, out.len()));
        out.split_off(6)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(parts in parts()) {
            let bytes = written(&parts);
            let record = LogRecord::read(&bytes).expect("written here");
            let (topic, offset, millis, key, headers, value) = &parts;
            prop_assert_eq!(record.topic, *topic);
            prop_assert_eq!(record.offset, *offset);
            prop_assert_eq!(record.recorded.millis(), *millis);
            prop_assert_eq!(record.key, key.as_deref());
            prop_assert_eq!(record.value, value.as_deref());
            prop_assert_eq!(record.headers.len(), headers.len());
            let read: Vec<_> = record
                .headers
                .iter()
                .map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec)))
                .collect();
            prop_assert_eq!(&read, headers);
            let lens = headers.iter().map(|(name, value)| {
                name.len() + value.as_ref().map_or(0, Vec::len)
            });
            let len_of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
            prop_assert_eq!(
                record.content_bytes(),
                lens.sum::<usize>() + len_of(key) + len_of(value)
            );
        }

        #[test]
        fn records_share_no_bytes(one in parts(), other in parts()) {
            prop_assert_eq!(one == other, written(&one) == written(&other));
        }

        #[test]
        fn a_cut_record_is_corrupt(parts in parts(), cut in any::<prop::sample::Index>()) {
            let bytes = written(&parts);
            prop_assert!(LogRecord::read(&bytes[..cut.index(bytes.len())]).is_err());
            prop_assert!(LogRecord::read(&[&bytes[..], b"x"].concat()).is_err());
        }

        #[test]
        fn any_bytes_are_a_record_or_corrupt(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = LogRecord::read(&bytes).map(|record| record.headers.iter().count());
            if let Some(version) = bytes.first_mut() {
                *version = VERSION;
            }
            let _ = LogRecord::read(&bytes).map(|record| record.headers.iter().count());
        }
    }

    #[test]
    fn absent_is_not_empty() {
        let none: Parts = (0, 1, 2, None, vec![(b"h".to_vec(), None)], None);
        let empty = Some(Vec::new());
        for other in [
            (0, 1, 2, empty.clone(), none.4.clone(), None),
            (0, 1, 2, None, none.4.clone(), empty.clone()),
            (0, 1, 2, None, vec![(b"h".to_vec(), empty)], None),
            (0, 1, 2, None, vec![], None),
        ] {
            assert_ne!(written(&none), written(&other));
        }
    }

    /// Journals hold digests of these bytes for ever.
    #[test]
    fn the_layout_stays() {
        let headers = [(&b"h"[..], Some(&b"x"[..])), (b"n", None)];
        let mut out = Vec::new();
        let recorded = Instant::from_millis(3);
        append(&mut out, 1, 2, recorded, Some(b"k"), headers, None);
        let expected = b"\x01\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\
            \0\0\0\x01k\0\0\0\x02\0\0\0\x01h\0\0\0\x01x\0\0\0\x01n\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(out, expected);
    }
}
