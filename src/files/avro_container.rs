//! Avro object container files: a reader that goes on after damage, and a writer.
//!
//! A file whose header cannot be read is refused. After the header every byte becomes part of some
//! record: where a datum is malformed, the rest of its block is one malformed record, since the next
//! datum cannot be found; where a block is malformed, everything up to the next sync marker is one.
//! Memory is bounded by the limits below whatever a file claims. File runs read through here, the
//! generator writes through here.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};

use crate::wire::avro::{
    Plan, RECORD_BYTES_MAX, SCHEMA_BYTES_MAX, SchemaError, TEXT_GROWTH_MAX, put_bytes, put_long,
    split_long,
};
use crate::wire::span::{Decoded, TEXT_BYTES_MAX};

/// Most bytes of a block, packed or unpacked.
pub const BLOCK_BYTES_MAX: usize = 64 << 20;

/// The text of a whole block fits into one batch.
const _: () = assert!(BLOCK_BYTES_MAX * TEXT_GROWTH_MAX <= TEXT_BYTES_MAX);

/// Most bytes of a header, which holds the schema's text.
const HEADER_BYTES_MAX: usize = 2 * SCHEMA_BYTES_MAX;

/// Block size at which the writer starts the next one.
const BLOCK_BYTES_WRITTEN: usize = 64 << 10;

/// Bytes searched at a time for a sync marker.
const SEARCH_BYTES: usize = 256 << 10;

/// Largest window that a zstandard frame may ask for, as a power of two.
const ZSTANDARD_WINDOW_LOG_MAX: u32 = 26;

const ZSTANDARD_LEVEL: i32 = 3;

const MAGIC: &[u8] = b"Obj\x01";

/// Two longs of at most ten bytes stand before a block's data.
const BLOCK_HEAD_BYTES_MAX: usize = 20;

type SyncMarker = [u8; 16];

/// A file that is not read at all.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    #[error("it does not start as an Avro container file does")]
    NotAContainer,
    #[error("its header is malformed, cut off or longer than {HEADER_BYTES_MAX} bytes")]
    Header,
    #[error("its header has no schema")]
    NoSchema,
    #[error("its schema cannot be read")]
    Schema(#[from] SchemaError),
    #[error("its codec {0:?} is not known (known: null, deflate, zstandard, snappy)")]
    Codec(String),
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// How blocks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Null,
    Deflate,
    Zstandard,
    Snappy,
}

/// One block of a file; its bytes are in the caller's buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    /// The buffer holds this many datums, unpacked.
    Records { count: u64 },
    /// The buffer holds what stands in the block's place, at most [`RECORD_BYTES_MAX`] of it.
    Damaged { damage: Damage, truncated: bool },
}

/// Why a block cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {block} {fault}")]
pub struct Damage {
    /// From 1.
    pub block: u64,
    fault: &'static str,
}

/// Reads a container file block by block.
pub struct ContainerReader<R> {
    input: Window<R>,
    plan: Plan,
    codec: Codec,
    sync: SyncMarker,
    blocks: u64,
}

impl<R: Read> ContainerReader<R> {
    /// Reads the header.
    pub fn open(input: R) -> Result<ContainerReader<R>, ContainerError> {
        let mut input = Window::new(input);
        let head = input.want(HEADER_BYTES_MAX)?;
        let rest = head
            .strip_prefix(MAGIC)
            .ok_or(ContainerError::NotAContainer)?;
        let (metadata, rest) = read_metadata(rest).ok_or(ContainerError::Header)?;
        let (sync, rest) = rest.split_first_chunk().ok_or(ContainerError::Header)?;
        let (sync, len) = (*sync, head.len() - rest.len());
        let codec = Codec::of_name(metadata.codec.unwrap_or(b"null"))?;
        let schema = metadata.schema.ok_or(ContainerError::NoSchema)?;
        let schema = str::from_utf8(schema).map_err(|_| ContainerError::Header)?;
        let plan = Plan::of_schema(schema)?;
        input.consume(len);
        Ok(ContainerReader {
            input,
            plan,
            codec,
            sync,
            blocks: 0,
        })
    }

    /// How to decode the records.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Reads the next block into `buffer`. None: the file ended where a block may end. Errors are
    /// those of the input only; a malformed block is [`Block::Damaged`].
    pub fn next_block(&mut self, buffer: &mut Vec<u8>) -> io::Result<Option<Block>> {
        buffer.clear();
        if self.input.want(1)?.is_empty() {
            return Ok(None);
        }
        self.blocks += 1;
        let (fault, truncated) = match self.frame()? {
            Ok(frame) => {
                let packed = &self.input.held()[frame.data.clone()];
                let unpacked = self.codec.unpack(packed, buffer);
                let truncated = packed.len() > RECORD_BYTES_MAX;
                if unpacked.is_err() {
                    buffer.clear();
                    keep(packed, buffer);
                }
                self.input.consume(frame.data.end + self.sync.len());
                match unpacked {
                    Ok(()) => return Ok(Some(Block::Records { count: frame.count })),
                    Err(fault) => (fault, truncated),
                }
            }
            Err(fault) => (fault, self.pass_marker(buffer)?),
        };
        let damage = Damage {
            block: self.blocks,
            fault,
        };
        Ok(Some(Block::Damaged { damage, truncated }))
    }

    /// Finds the bounds of the block at hand; Err: what is wrong with them.
    fn frame(&mut self) -> io::Result<Result<Frame, &'static str>> {
        let head = self.input.want(BLOCK_HEAD_BYTES_MAX)?;
        let Some((count, size, rest)) = read_block_head(head) else {
            return Ok(Err("has no readable count and size"));
        };
        let start = head.len() - rest.len();
        let data = start..start + size;
        let whole = self.input.want(data.end + self.sync.len())?;
        Ok(match whole.get(data.end..data.end + self.sync.len()) {
            None => Err("is cut off"),
            Some(marker) if marker != self.sync => Err("does not end with the sync marker"),
            Some(_) => Ok(Frame { count, data }),
        })
    }

    /// Moves behind the next sync marker, or to the end, and keeps what stands before it. Tells
    /// whether more stands there than is kept.
    fn pass_marker(&mut self, kept: &mut Vec<u8>) -> io::Result<bool> {
        let mut passed = 0;
        loop {
            let bytes = self.input.want(SEARCH_BYTES)?;
            let found = memchr::memmem::find(bytes, &self.sync);
            let ended = bytes.len() < SEARCH_BYTES;
            let before_marker = match found {
                Some(at) => at,
                None if ended => bytes.len(),
                // A marker may begin in the last bytes.
                None => bytes.len() - (self.sync.len() - 1),
            };
            keep(&bytes[..before_marker], kept);
            passed += before_marker;
            let marker = found.map_or(0, |_| self.sync.len());
            self.input.consume(before_marker + marker);
            if found.is_some() || ended {
                return Ok(passed > RECORD_BYTES_MAX);
            }
        }
    }
}

/// Where the block at hand stands in the window.
struct Frame {
    count: u64,
    data: std::ops::Range<usize>,
}

/// The records of one block that was read whole.
pub struct Records<'a> {
    plan: &'a Plan,
    rest: &'a [u8],
    left: u64,
}

impl<'a> Records<'a> {
    pub const fn new(plan: &'a Plan, block: &'a [u8], count: u64) -> Records<'a> {
        Records {
            plan,
            rest: block,
            left: count,
        }
    }

    /// How many records are still to come; None: this block is done.
    pub const fn left(&self) -> Option<u64> {
        if self.left == 0 && self.rest.is_empty() {
            None
        } else {
            Some(self.left)
        }
    }

    /// The next record and its bytes. From a malformed datum on, or behind the last one, the rest
    /// of the block is one unreadable record; it may be longer than [`RECORD_BYTES_MAX`], and empty
    /// where the block has fewer datums than it says.
    pub fn next_record(&mut self, side: &mut String) -> Option<(Decoded, &'a [u8])> {
        if self.left == 0 && self.rest.is_empty() {
            return None;
        }
        let datum = match self.left {
            0 => None,
            _ => self.plan.decode_next(self.rest, side),
        };
        let (decoded, len) = match datum {
            Some(datum) => {
                self.left -= 1;
                datum
            }
            None => {
                self.left = 0;
                (Decoded::unreadable(), self.rest.len())
            }
        };
        let (bytes, rest) = self.rest.split_at(len);
        self.rest = rest;
        Some((decoded, bytes))
    }
}

/// Writes a container file of datums of one schema.
pub struct ContainerWriter<W: Write> {
    output: W,
    codec: Codec,
    sync: SyncMarker,
    block: Vec<u8>,
    count: i64,
}

impl<W: Write> ContainerWriter<W> {
    /// Writes the header. `sync` should occur nowhere else; 16 random bytes do not.
    pub fn create(
        mut output: W,
        schema: &str,
        codec: Codec,
        sync: SyncMarker,
    ) -> io::Result<ContainerWriter<W>> {
        let mut header = MAGIC.to_vec();
        put_long(2, &mut header);
        put_bytes(b"avro.codec", &mut header);
        put_bytes(codec.name().as_bytes(), &mut header);
        put_bytes(b"avro.schema", &mut header);
        put_bytes(schema.as_bytes(), &mut header);
        put_long(0, &mut header);
        header.extend_from_slice(&sync);
        output.write_all(&header)?;
        Ok(ContainerWriter {
            output,
            codec,
            sync,
            block: Vec::new(),
            count: 0,
        })
    }

    pub fn append(&mut self, datum: &[u8]) -> io::Result<()> {
        self.block.extend_from_slice(datum);
        self.count += 1;
        if self.block.len() < BLOCK_BYTES_WRITTEN {
            return Ok(());
        }
        self.end_block()
    }

    /// Writes what is pending and hands the output back.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_block()?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let packed = self.codec.pack(&self.block)?;
        let mut framed = Vec::with_capacity(packed.len() + BLOCK_HEAD_BYTES_MAX + self.sync.len());
        put_long(self.count, &mut framed);
        put_bytes(&packed, &mut framed);
        framed.extend_from_slice(&self.sync);
        self.output.write_all(&framed)?;
        self.block.clear();
        self.count = 0;
        Ok(())
    }
}

impl Codec {
    pub const ALL: [Codec; 4] = [Codec::Null, Codec::Deflate, Codec::Zstandard, Codec::Snappy];

    pub const fn name(self) -> &'static str {
        match self {
            Codec::Null => "null",
            Codec::Deflate => "deflate",
            Codec::Zstandard => "zstandard",
            Codec::Snappy => "snappy",
        }
    }

    fn of_name(name: &[u8]) -> Result<Codec, ContainerError> {
        let known = Codec::ALL
            .into_iter()
            .find(|codec| codec.name().as_bytes() == name);
        known.ok_or_else(|| {
            let shown = &name[..name.len().min(80)];
            ContainerError::Codec(String::from_utf8_lossy(shown).into_owned())
        })
    }

    fn unpack(self, packed: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Codec::Null => {
                out.extend_from_slice(packed);
                Ok(())
            }
            // Bytes behind the deflate stream are ignored: some writers leave a zlib checksum there.
            Codec::Deflate => read_bounded(DeflateDecoder::new(packed), out),
            Codec::Zstandard => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(packed).map_err(|_| UNPACK_FAULT)?;
                decoder
                    .window_log_max(ZSTANDARD_WINDOW_LOG_MAX)
                    .map_err(|_| UNPACK_FAULT)?;
                read_bounded(decoder, out)
            }
            Codec::Snappy => unpack_snappy(packed, out),
        }
    }

    fn pack(self, block: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Codec::Null => Ok(block.to_vec()),
            Codec::Deflate => {
                let mut packed = Vec::new();
                DeflateEncoder::new(block, Compression::default()).read_to_end(&mut packed)?;
                Ok(packed)
            }
            Codec::Zstandard => zstd::stream::encode_all(block, ZSTANDARD_LEVEL),
            Codec::Snappy => {
                let packed = snap::raw::Encoder::new().compress_vec(block);
                let mut packed = packed.map_err(io::Error::other)?;
                packed.extend_from_slice(&crc_32(block).to_be_bytes());
                Ok(packed)
            }
        }
    }
}

const UNPACK_FAULT: &str = "cannot be unpacked";
const SIZE_FAULT: &str = "unpacks to more than 64 MiB";

fn read_bounded(unpacked: impl Read, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let limit = BLOCK_BYTES_MAX as u64 + 1;
    match unpacked.take(limit).read_to_end(out) {
        Ok(len) if len <= BLOCK_BYTES_MAX => Ok(()),
        Ok(_) => Err(SIZE_FAULT),
        Err(_) => Err(UNPACK_FAULT),
    }
}

/// A raw snappy block, then CRC-32 of the unpacked bytes, big-endian.
fn unpack_snappy(packed: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (packed, checksum) = packed.split_last_chunk().ok_or(UNPACK_FAULT)?;
    let len = snap::raw::decompress_len(packed).map_err(|_| UNPACK_FAULT)?;
    if len > BLOCK_BYTES_MAX {
        return Err(SIZE_FAULT);
    }
    out.resize(len, 0);
    let unpacked = snap::raw::Decoder::new().decompress(packed, out);
    match unpacked {
        Ok(_) if crc_32(out) == u32::from_be_bytes(*checksum) => Ok(()),
        _ => Err(UNPACK_FAULT),
    }
}

fn crc_32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Appends as much of `bytes` as a dead letter keeps.
fn keep(bytes: &[u8], kept: &mut Vec<u8>) {
    let room = RECORD_BYTES_MAX.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

#[derive(Default)]
struct Metadata<'a> {
    schema: Option<&'a [u8]>,
    codec: Option<&'a [u8]>,
}

/// The header's map, and what stands behind it.
fn read_metadata(mut rest: &[u8]) -> Option<(Metadata<'_>, &[u8])> {
    let mut metadata = Metadata::default();
    loop {
        let (count, after) = split_long(rest)?;
        rest = after;
        if count == 0 {
            return Some((metadata, rest));
        }
        if count < 0 {
            // A negative count is followed by the block's length in bytes.
            rest = split_long(rest)?.1;
        }
        for _ in 0..count.unsigned_abs() {
            let (key, after) = split_sized(rest)?;
            let (value, after) = split_sized(after)?;
            match key {
                b"avro.schema" => metadata.schema = Some(value),
                b"avro.codec" => metadata.codec = Some(value),
                _ => {}
            }
            rest = after;
        }
    }
}

fn split_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = split_long(bytes)?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

/// Count and size of a block, and what stands behind them.
fn read_block_head(head: &[u8]) -> Option<(u64, usize, &[u8])> {
    let (count, rest) = split_long(head)?;
    let (size, rest) = split_long(rest)?;
    let size = usize::try_from(size).ok()?;
    (size <= BLOCK_BYTES_MAX).then_some((u64::try_from(count).ok()?, size, rest))
}

/// Input that is looked at before it is consumed.
struct Window<R> {
    input: R,
    bytes: Vec<u8>,
    start: usize,
}

impl<R: Read> Window<R> {
    const fn new(input: R) -> Window<R> {
        Window {
            input,
            bytes: Vec::new(),
            start: 0,
        }
    }

    /// The next bytes: at least `len`, or all that there are.
    fn want(&mut self, len: usize) -> io::Result<&[u8]> {
        let held = self.bytes.len() - self.start;
        if held < len {
            // Only as much is moved as was consumed before, so that many small steps stay cheap.
            if held <= self.start {
                self.bytes.drain(..self.start);
                self.start = 0;
            }
            // Read ahead by a search's length; memory grows with what comes, not with `len`.
            let missing = (len - held).max(SEARCH_BYTES) as u64;
            self.input
                .by_ref()
                .take(missing)
                .read_to_end(&mut self.bytes)?;
        }
        Ok(self.held())
    }

    /// The bytes that the last [`want`](Window::want) gave.
    fn held(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    const fn consume(&mut self, len: usize) {
        self.start += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::event::Fault;

    const SYNC: SyncMarker = *b"\xF0sync-marker-15\xFE";
    const SCHEMA: &str = r#"{"type":"record","name":"meterfold.ClockTickV1","fields":[
        {"name":"id","type":"string"},{"name":"source","type":"string"},{"name":"time","type":"string"}]}"#;

    /// What reading a file came to: ids of ticks, `!` and the length of unreadable records, the detail
    /// of other faults, damage of blocks and the bytes kept.
    type Read = Vec<String>;

    fn datum(id: &str) -> Vec<u8> {
        let mut datum = Vec::new();
        for text in [id, "/clock", "2026-01-10T10:00:00Z"] {
            put_bytes(text.as_bytes(), &mut datum);
        }
        datum
    }

    fn file(codec: Codec, blocks: &[&[&str]]) -> Vec<u8> {
        let mut writer = ContainerWriter::create(Vec::new(), SCHEMA, codec, SYNC).expect("a file");
        for ids in blocks {
            for id in *ids {
                writer.append(&datum(id)).expect("a datum");
            }
            writer.end_block().expect("a block");
        }
        writer.finish().expect("a file")
    }

    fn header_len() -> usize {
        file(Codec::Null, &[]).len()
    }

    fn read(file: &[u8]) -> Read {
        let mut reader = ContainerReader::open(file).expect("a header");
        let (mut buffer, mut found) = (Vec::new(), Vec::new());
        while let Some(block) = reader.next_block(&mut buffer).expect("bytes in memory") {
            match block {
                Block::Records { count } => {
                    let mut records = Records::new(reader.plan(), &buffer, count);
                    let mut text = crate::wire::span::Text::default();
                    let mut accounted_for = 0;
                    while let Some((decoded, bytes)) = records.next_record(&mut text.side) {
                        accounted_for += bytes.len();
                        found.push(match decoded.event {
                            Ok(event) => text.get(event.id).to_owned(),
                            Err(fault) if fault == Fault::malformed("record") => {
                                format!("!{}", bytes.len())
                            }
                            Err(fault) => fault.detail.to_owned(),
                        });
                    }
                    assert_eq!(accounted_for, buffer.len());
                }
                Block::Damaged { damage, truncated } => {
                    assert!(buffer.len() <= RECORD_BYTES_MAX);
                    let cut = if truncated { " cut" } else { "" };
                    found.push(format!("{damage}: {}{cut}", buffer.len()));
                }
            }
        }
        found
    }

    fn block(count: i64, data: &[u8]) -> Vec<u8> {
        let mut block = Vec::new();
        put_long(count, &mut block);
        put_bytes(data, &mut block);
        block.extend_from_slice(&SYNC);
        block
    }

    fn with_blocks(codec: Codec, blocks: &[Vec<u8>]) -> Vec<u8> {
        [file(codec, &[]), blocks.concat()].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        for codec in Codec::ALL {
            assert_eq!(read(&file(codec, &[&["a", "b"], &["c"]])), ["a", "b", "c"]);
            let ids: Vec<String> = (0..10_000).map(|id| id.to_string()).collect();
            let texts: Vec<&str> = ids.iter().map(String::as_str).collect();
            assert_eq!(read(&file(codec, &[&texts])), ids);
            assert_eq!(read(&file(codec, &[])), Read::new());
        }
    }

    #[test]
    fn the_generic_reader_and_writer_agree() {
        for (codec, generic) in [
            (Codec::Null, apache_avro::Codec::Null),
            (
                Codec::Deflate,
                apache_avro::Codec::Deflate(apache_avro::DeflateSettings::default()),
            ),
        ] {
            let ours = file(codec, &[&["a", "b"], &["c"]]);
            let reader = apache_avro::Reader::new(&ours[..]).expect("a header");
            let values: Vec<_> = reader.map(|value| value.expect("a value")).collect();
            assert_eq!(values.len(), 3);
            let schema = apache_avro::Schema::parse_str(SCHEMA).expect("a schema");
            let mut writer = apache_avro::Writer::with_codec(&schema, Vec::new(), generic);
            for value in values {
                writer.append(value).expect("a value");
            }
            assert_eq!(read(&writer.into_inner().expect("a file")), ["a", "b", "c"]);
        }
    }

    #[test]
    fn a_malformed_datum_costs_the_rest_of_its_block_only() {
        let good = datum("a");
        let after = block(1, &datum("z"));
        for (count, data, expected) in [
            (
                3,
                [&good[..], &[0xFF; 12], &good].concat(),
                vec!["a".to_owned(), format!("!{}", 12 + good.len()), "z".into()],
            ),
            (2, good.clone(), vec!["a".into(), "!0".into(), "z".into()]),
            (
                1,
                [good.clone(), good.clone()].concat(),
                vec!["a".into(), format!("!{}", good.len()), "z".into()],
            ),
            (i64::MAX, vec![], vec!["!0".into(), "z".into()]),
            (0, vec![], vec!["z".into()]),
            (0, vec![1], vec!["!1".into(), "z".into()]),
        ] {
            assert_eq!(
                read(&with_blocks(
                    Codec::Null,
                    &[block(count, &data), after.clone()]
                )),
                expected
            );
        }
    }

    #[test]
    fn a_long_datum_is_one_unreadable_record() {
        let long = datum(&"x".repeat(RECORD_BYTES_MAX));
        let data = [long.clone(), datum("b")].concat();
        let found = read(&with_blocks(Codec::Null, &[block(2, &data)]));
        assert_eq!(found, [format!("!{}", long.len()), "b".into()]);
    }

    #[test]
    fn a_malformed_block_ends_at_the_next_sync_marker() {
        let good = block(1, &datum("z"));
        let mut no_marker = block(1, &datum("a"));
        let len = no_marker.len();
        no_marker[len - 1] ^= 1;
        for (bad, expected) in [
            (block(-1, b""), "block 1 has no readable count and size: 2"),
            (
                [vec![0xFF; 30], SYNC.to_vec()].concat(),
                "block 1 has no readable count and size: 30",
            ),
            (SYNC.to_vec(), "block 1 has no readable count and size: 0"),
        ] {
            assert_eq!(
                read(&with_blocks(Codec::Null, &[bad, good.clone()])),
                [expected, "z"]
            );
        }
        // The marker found next is that of the block behind, which is lost with it.
        let lost = len + good.len() - SYNC.len();
        let found = read(&with_blocks(
            Codec::Null,
            &[no_marker, good.clone(), good.clone()],
        ));
        assert_eq!(
            found,
            [
                format!("block 1 does not end with the sync marker: {lost}"),
                "z".into()
            ]
        );
        let mut long = vec![0xFF; 3 * RECORD_BYTES_MAX];
        long.extend_from_slice(&SYNC);
        let found = read(&with_blocks(Codec::Null, &[long, good]));
        assert_eq!(
            found,
            [
                format!("block 1 has no readable count and size: {RECORD_BYTES_MAX} cut"),
                "z".into()
            ]
        );
    }

    #[test]
    fn a_file_cut_anywhere_keeps_what_stands_behind_its_last_whole_block() {
        for codec in Codec::ALL {
            let whole = file(codec, &[&["a", "b"], &["c"]]);
            let header = file(codec, &[]).len();
            let first_block = file(codec, &[&["a", "b"]]).len();
            for end in header..whole.len() {
                let mut found = read(&whole[..end]);
                let (boundary, records) = match end {
                    _ if end < first_block => (header, 0),
                    _ => (first_block, 2),
                };
                if end != boundary {
                    let damage = found.pop().unwrap_or_default();
                    assert!(damage.starts_with("block "), "{damage}");
                    assert!(
                        damage.ends_with(&format!(": {}", end - boundary)),
                        "{damage}"
                    );
                }
                assert_eq!(found, ["a", "b"][..records], "{codec:?} {end}");
            }
        }
    }

    #[test]
    fn no_changed_byte_stops_the_reading() {
        for codec in Codec::ALL {
            let whole = file(codec, &[&["a", "b"], &["c"]]);
            for at in file(codec, &[]).len()..whole.len() {
                for change in [0x01, 0x80, 0xFF] {
                    let mut changed = whole.clone();
                    changed[at] ^= change;
                    assert!(!read(&changed).is_empty(), "{codec:?} {at}");
                }
            }
        }
    }

    #[test]
    fn bombs_end_in_a_damaged_block_that_is_named() {
        let bomb = vec![0; BLOCK_BYTES_MAX + 1];
        for codec in [Codec::Deflate, Codec::Zstandard, Codec::Snappy] {
            let packed = codec.pack(&bomb).expect("packed");
            let good = codec.pack(&datum("z")).expect("packed");
            let found = read(&with_blocks(codec, &[block(1, &packed), block(1, &good)]));
            let kept = packed.len().min(RECORD_BYTES_MAX);
            let cut = if packed.len() > RECORD_BYTES_MAX {
                " cut"
            } else {
                ""
            };
            assert_eq!(
                found,
                [
                    format!("block 1 unpacks to more than 64 MiB: {kept}{cut}"),
                    "z".into()
                ]
            );
        }
    }

    #[test]
    fn sizes_claimed_but_not_there_allocate_nothing() {
        let mut head = Vec::new();
        put_long(1, &mut head);
        put_long(BLOCK_BYTES_MAX as i64, &mut head);
        let bytes = with_blocks(Codec::Null, &[head]);
        let mut reader = ContainerReader::open(&bytes[..]).expect("a header");
        let found = reader.next_block(&mut Vec::new()).expect("bytes in memory");
        assert!(matches!(found, Some(Block::Damaged { .. })));
        assert!(reader.input.bytes.capacity() < 2 * SEARCH_BYTES);
    }

    #[test]
    fn headers_that_cannot_be_read_are_refused() {
        let whole = file(Codec::Null, &[]);
        assert!(matches!(
            ContainerReader::open(&b"PAR1"[..]),
            Err(ContainerError::NotAContainer)
        ));
        for end in MAGIC.len()..header_len() {
            assert!(
                matches!(
                    ContainerReader::open(&whole[..end]),
                    Err(ContainerError::Header)
                ),
                "{end}"
            );
        }
        let open = |entries: &[(&str, &str)]| {
            let mut header = MAGIC.to_vec();
            put_long(entries.len() as i64, &mut header);
            for (key, value) in entries {
                put_bytes(key.as_bytes(), &mut header);
                put_bytes(value.as_bytes(), &mut header);
            }
            if !entries.is_empty() {
                put_long(0, &mut header);
            }
            header.extend_from_slice(&SYNC);
            ContainerReader::open(&header[..]).map(drop)
        };
        assert!(open(&[("avro.schema", SCHEMA)]).is_ok());
        assert!(matches!(open(&[]), Err(ContainerError::NoSchema)));
        assert!(matches!(
            open(&[("avro.schema", "{")]),
            Err(ContainerError::Schema(_))
        ));
        let lzma = open(&[("avro.schema", SCHEMA), ("avro.codec", "xz")]);
        assert!(matches!(lzma, Err(ContainerError::Codec(name)) if name == "xz"));
    }
}
