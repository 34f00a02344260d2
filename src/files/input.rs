//! One input file: opened by the ending of its name, read in chunks, decoded into pieces.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::ports::{Original, Piece, Record};
use crate::wire::cloudevents::RECORD_BYTES_MAX;
use crate::wire::span::Decoded;

use super::avro_container::{Block, ContainerError, ContainerReader, Records};
use super::ndjson::{LineReader, Lines};

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{path}: cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Container {
        path: PathBuf,
        source: ContainerError,
    },
    #[error(
        "{0}: not a kind of input; name it .ndjson, .jsonl (these also with .gz or .zst behind) or .avro"
    )]
    UnknownKind(PathBuf),
}

pub struct Input {
    path: PathBuf,
    number: u32,
    reader: Reader,
    /// Records handed out so far; numbers those of containers.
    records: u64,
}

enum Reader {
    Lines(LineReader),
    Container(Box<ContainerReader<Box<dyn Read + Send + Sync>>>),
}

/// What was read together and is not yet decoded.
pub enum Chunk {
    Lines(Lines),
    /// The bytes lie in the piece's `raw`; those before `start` are decoded already.
    Block {
        block: Block,
        piece: Piece,
        start: usize,
    },
}

/// Records of a piece. A block of 64 MiB may claim millions of records of a few bytes, and a decoded
/// one takes a hundred times as much: larger blocks are decoded piece by piece.
pub const PIECE_RECORDS_MAX: usize = 1 << 16;

impl Input {
    /// Opens `path` as input `number`. Bytes read from the file are added to `bytes_read`.
    pub fn open(path: &Path, number: u32, bytes_read: Arc<AtomicU64>) -> Result<Input, InputError> {
        let read_error = |source| InputError::Read {
            path: path.to_path_buf(),
            source,
        };
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (stem, packing) = match name.rsplit_once('.') {
            Some((stem, packing @ ("gz" | "zst"))) => (stem, packing),
            _ => (name.as_str(), ""),
        };
        let is_lines = stem.ends_with(".ndjson") || stem.ends_with(".jsonl");
        let is_container = packing.is_empty() && stem.ends_with(".avro");
        if !is_lines && !is_container {
            return Err(InputError::UnknownKind(path.to_path_buf()));
        }
        let file = File::open(path).map_err(read_error)?;
        if file.metadata().map_err(read_error)?.is_dir() {
            return Err(read_error(io::ErrorKind::IsADirectory.into()));
        }
        let counted = Counted { file, bytes_read };
        let read: Box<dyn Read + Send + Sync> = match packing {
            "gz" => Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(
                1 << 18,
                counted,
            ))),
            "zst" => Box::new(zstd::Decoder::new(counted).map_err(read_error)?),
            _ => Box::new(counted),
        };
        let reader = if is_lines {
            Reader::Lines(LineReader::new(read))
        } else {
            let open = ContainerReader::open(read);
            Reader::Container(Box::new(open.map_err(|source| InputError::Container {
                path: path.to_path_buf(),
                source,
            })?))
        };
        Ok(Input {
            path: path.to_path_buf(),
            number,
            reader,
            records: 0,
        })
    }

    /// The next chunk, read into the memory of `piece`, which is empty; None at the end.
    pub fn read(&mut self, piece: Piece) -> Result<Option<Chunk>, InputError> {
        let chunk = match &mut self.reader {
            Reader::Lines(lines) => lines.next_lines(piece).map(|lines| lines.map(Chunk::Lines)),
            Reader::Container(container) => {
                let mut piece = piece;
                let block = container.next_block(&mut piece.raw);
                block.map(|block| {
                    block.map(|block| Chunk::Block {
                        block,
                        piece,
                        start: 0,
                    })
                })
            }
        };
        chunk.map_err(|source| InputError::Read {
            path: self.path.clone(),
            source,
        })
    }

    /// Decodes a chunk of this input, and hands back what is left of it
    /// ([`Chunk::may_leave_rest`]). Records of containers are numbered from 1 within the piece,
    /// until [`Input::number_records`].
    pub fn decode(&self, chunk: Chunk) -> (Piece, Option<Chunk>) {
        match (chunk, &self.reader) {
            (Chunk::Lines(lines), _) => (lines.decode(self.number), None),
            (
                Chunk::Block {
                    block,
                    piece,
                    start,
                },
                Reader::Container(container),
            ) => decode_block(self.number, container, piece, &block, start),
            (Chunk::Block { .. }, Reader::Lines(_)) => unreachable!("blocks come from containers"),
        }
    }

    /// Gives the records of a decoded piece their numbers in the file.
    pub fn number_records(&mut self, piece: &mut Piece) {
        if matches!(self.reader, Reader::Container(_)) {
            for record in &mut piece.records {
                record.line += self.records;
            }
        }
        self.records += piece.records.len() as u64;
    }
}

impl Chunk {
    /// Whether decoding it may leave a rest, which comes before any chunk read after it.
    pub fn may_leave_rest(&self) -> bool {
        match self {
            Chunk::Block {
                block: Block::Records { count },
                ..
            } => *count >= PIECE_RECORDS_MAX as u64,
            _ => false,
        }
    }
}

fn decode_block<R: Read>(
    number: u32,
    container: &ContainerReader<R>,
    mut piece: Piece,
    block: &Block,
    start: usize,
) -> (Piece, Option<Chunk>) {
    piece.input = number;
    let bytes = std::mem::take(&mut piece.raw);
    let count = match block {
        Block::Records { count } => *count,
        Block::Damaged { truncated, .. } => {
            let range = 0..bytes.len();
            let original = match truncated {
                true => Original::Truncated(range),
                false => Original::Bytes(range),
            };
            let decoded = Decoded::unreadable();
            piece.records.push(Record {
                line: 1,
                decoded,
                original,
            });
            piece.raw = bytes;
            return (piece, None);
        }
    };
    let mut records = Records::new(container.plan(), &bytes[start..], count);
    let mut end = 0;
    while piece.records.len() < PIECE_RECORDS_MAX
        && let Some((decoded, datum)) = records.next_record(&mut piece.text.side)
    {
        let datum_start = end;
        end += datum.len();
        let original = match datum.len() {
            0..=RECORD_BYTES_MAX => Original::Bytes(datum_start..end),
            _ => Original::Truncated(datum_start..datum_start + RECORD_BYTES_MAX),
        };
        piece.records.push(Record {
            line: piece.records.len() as u64 + 1,
            decoded,
            original,
        });
    }
    let left = records.left();
    let is_whole = start == 0 && left.is_none();
    if is_whole {
        piece.raw = bytes;
        return (piece, None);
    }
    piece.raw.extend_from_slice(&bytes[start..start + end]);
    let rest = left.map(|count| Chunk::Block {
        block: Block::Records { count },
        piece: Piece {
            raw: bytes,
            ..Piece::default()
        },
        start: start + end,
    });
    (piece, rest)
}

/// Counts what is read from a file, for the progress bar.
struct Counted {
    file: File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::avro_container::{Codec, ContainerWriter};
    use crate::wire::avro::{input_schema, put_long};

    /// A container with one block of `count` datums, none of which is an event, and `surplus` bytes
    /// behind them.
    fn container(count: usize, surplus: usize) -> Vec<u8> {
        let schema = input_schema("meterfold.clock-tick.v1").expect("a known type");
        let sync = *b"0123456789abcdef";
        let writer = ContainerWriter::create(Vec::new(), schema, Codec::Null, sync);
        let mut bytes = writer.and_then(ContainerWriter::finish).expect("a header");
        // Empty id and source, no subject, time 0, no recorded time: five bytes.
        let datum = [0; 5];
        put_long(count as i64, &mut bytes);
        let size = count * datum.len() + surplus;
        put_long(size as i64, &mut bytes);
        bytes.extend(datum.iter().cycle().take(size));
        bytes.extend_from_slice(&sync);
        bytes
    }

    #[test]
    fn a_block_of_very_many_records_comes_piece_by_piece() {
        let count = 2 * PIECE_RECORDS_MAX + 7;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("many.avro");
        std::fs::write(&path, container(count, 0)).expect("a file");
        let mut input = Input::open(&path, 0, Arc::default()).expect("a container");
        let mut lines = Vec::new();
        let mut chunk = input.read(Piece::default()).expect("readable");
        while let Some(next) = chunk {
            let (mut piece, rest) = input.decode(next);
            assert!(piece.records.len() <= PIECE_RECORDS_MAX);
            input.number_records(&mut piece);
            for record in &piece.records {
                lines.push(record.line);
                let Original::Bytes(range) = &record.original else {
                    panic!("a short record is kept as it is");
                };
                assert_eq!(piece.raw[range.clone()], [0; 5]);
            }
            chunk = match rest {
                Some(rest) => Some(rest),
                None => input.read(Piece::default()).expect("readable"),
            };
        }
        assert!(lines.iter().copied().eq(1..=count as u64));
    }

    #[test]
    fn bytes_behind_a_full_piece_are_a_rest_that_was_announced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("full.avro");
        std::fs::write(&path, container(PIECE_RECORDS_MAX, 3)).expect("a file");
        let mut input = Input::open(&path, 0, Arc::default()).expect("a container");
        let chunk = input.read(Piece::default()).expect("readable");
        let chunk = chunk.expect("a block");
        assert!(chunk.may_leave_rest());
        let (_, rest) = input.decode(chunk);
        let (piece, rest) = input.decode(rest.expect("three bytes"));
        assert_eq!((piece.records.len(), piece.raw.len()), (1, 3));
        assert!(rest.is_none());
    }
}
