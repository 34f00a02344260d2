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
    /// The bytes lie in the piece's `raw`.
    Block {
        block: Block,
        piece: Piece,
    },
}

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
                block.map(|block| block.map(|block| Chunk::Block { block, piece }))
            }
        };
        chunk.map_err(|source| InputError::Read {
            path: self.path.clone(),
            source,
        })
    }

    /// Decodes a chunk of this input. Records of containers are numbered from 1 within it, until
    /// [`Input::number_records`].
    pub fn decode(&self, chunk: Chunk) -> Piece {
        match (chunk, &self.reader) {
            (Chunk::Lines(lines), _) => lines.decode(self.number),
            (Chunk::Block { block, piece }, Reader::Container(container)) => {
                decode_block(self.number, container, piece, &block)
            }
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

fn decode_block<R: Read>(
    number: u32,
    container: &ContainerReader<R>,
    mut piece: Piece,
    block: &Block,
) -> Piece {
    piece.input = number;
    let bytes = std::mem::take(&mut piece.raw);
    match block {
        Block::Damaged { truncated, .. } => {
            let range = 0..bytes.len();
            let original = if *truncated {
                Original::Truncated(range)
            } else {
                Original::Bytes(range)
            };
            piece.records.push(Record {
                line: 1,
                decoded: Decoded::unreadable(),
                original,
            });
        }
        Block::Records { count } => {
            let mut records = Records::new(container.plan(), &bytes, *count);
            let mut start = 0;
            while let Some((decoded, datum)) = records.next_record(&mut piece.text.side) {
                let end = start + datum.len();
                let original = match datum.len() {
                    0..=RECORD_BYTES_MAX => Original::Bytes(start..end),
                    _ => Original::Truncated(start..start + RECORD_BYTES_MAX),
                };
                piece.records.push(Record {
                    line: piece.records.len() as u64 + 1,
                    decoded,
                    original,
                });
                start = end;
            }
        }
    }
    piece.raw = bytes;
    piece
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
