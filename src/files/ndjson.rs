//! NDJSON inputs, plain or compressed, cut into pieces of whole lines (`interfaces.md` 1).

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr, memchr_iter, memrchr};

use crate::ports::{Original, Piece, Record};
use crate::wire::cloudevents::{self, RECORD_BYTES_MAX};
use crate::wire::span::{Decoded, Span};

/// Bytes of a piece, if its lines are not longer than that.
const PIECE_BYTES: usize = 1 << 19;

/// The lines of one input, piece by piece.
pub struct LineReader {
    read: Box<dyn Read + Send + Sync>,
    /// Read, but not yet handed out: the beginning of a line.
    pending: Vec<u8>,
    /// Number of the next line, from 1.
    next_line: u64,
    is_at_end: bool,
    /// The last line handed out had no end yet, since it is over the limit: its rest is passed over.
    is_skipping: bool,
}

/// Whole lines that were read together, not yet decoded.
pub struct Lines {
    bytes: Vec<u8>,
    first_line: u64,
    /// What they will be decoded into; empty but for its memory.
    piece: Piece,
}

impl LineReader {
    pub fn new(read: Box<dyn Read + Send + Sync>) -> LineReader {
        LineReader {
            read,
            pending: Vec::new(),
            next_line: 1,
            is_at_end: false,
            is_skipping: false,
        }
    }

    /// The next lines; None at the end. They are read into the memory of `piece`, which is empty.
    pub fn next_lines(&mut self, mut piece: Piece) -> io::Result<Option<Lines>> {
        let mut bytes = std::mem::take(&mut piece.text.input).into_bytes();
        loop {
            bytes.append(&mut self.pending);
            if !self.is_at_end {
                self.fill(&mut bytes)?;
            }
            if self.is_skipping {
                self.skip(&mut bytes);
            } else if let Some(end) = self.end_of_lines(&bytes) {
                self.pending.extend_from_slice(&bytes[end..]);
                bytes.truncate(end);
                let first_line = self.next_line;
                self.is_skipping = !bytes.ends_with(b"\n");
                self.next_line += memchr_iter(b'\n', &bytes).count() as u64;
                self.next_line += u64::from(self.is_skipping);
                return Ok(Some(Lines {
                    bytes,
                    first_line,
                    piece,
                }));
            }
            if self.is_at_end && bytes.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Appends what comes next, a piece's worth of it.
    fn fill(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.reserve(PIECE_BYTES);
        let count = (&mut self.read)
            .take(PIECE_BYTES as u64)
            .read_to_end(bytes)?;
        self.is_at_end = count < PIECE_BYTES;
        Ok(())
    }

    /// Where the whole lines end; a line over the limit ends where it was read to.
    fn end_of_lines(&self, bytes: &[u8]) -> Option<usize> {
        // One byte over the limit may be a carriage return, which is no part of the line.
        let is_cut = self.is_at_end || bytes.len() > RECORD_BYTES_MAX + 1;
        let last = memrchr(b'\n', bytes).map(|last| last + 1);
        last.or((is_cut && !bytes.is_empty()).then_some(bytes.len()))
    }

    /// Passes over the rest of a line that was cut.
    fn skip(&mut self, bytes: &mut Vec<u8>) {
        match memchr(b'\n', bytes) {
            Some(end) => {
                bytes.drain(..=end);
                self.is_skipping = false;
            }
            None => bytes.clear(),
        }
        self.pending.append(bytes);
    }
}

impl Lines {
    /// Decodes every line that is not blank.
    pub fn decode(self, input: u32) -> Piece {
        let bounds = self.bounds();
        let mut piece = self.piece;
        piece.input = input;
        match String::from_utf8(self.bytes) {
            Ok(text) => {
                piece.text.input = text;
                for (line, bound) in (self.first_line..).zip(&bounds) {
                    decode_line(&mut piece, line, bound.clone());
                }
            }
            // Somewhere a line is not UTF-8: the others are copied, that one is kept as it is.
            Err(error) => {
                let bytes = error.into_bytes();
                for (line, bound) in (self.first_line..).zip(&bounds) {
                    match std::str::from_utf8(&bytes[bound.clone()]) {
                        Ok(text) => {
                            let start = piece.text.input.len();
                            piece.text.input.push_str(text);
                            decode_line(&mut piece, line, start..start + text.len());
                        }
                        Err(_) => push_raw(&mut piece, line, &bytes[bound.clone()]),
                    }
                }
            }
        }
        piece
    }

    /// Each line without its line feed and one trailing carriage return.
    fn bounds(&self) -> Vec<Range<usize>> {
        let mut bounds = Vec::with_capacity(self.bytes.len() / 128);
        let mut start = 0;
        while start < self.bytes.len() {
            let end = memchr(b'\n', &self.bytes[start..])
                .map_or(self.bytes.len(), |length| start + length);
            let has_return = end > start && self.bytes[end - 1] == b'\r';
            bounds.push(start..end - usize::from(has_return));
            start = end + 1;
        }
        bounds
    }
}

fn decode_line(piece: &mut Piece, line: u64, bound: Range<usize>) {
    let text = &piece.text.input[bound.clone()];
    if text.len() > RECORD_BYTES_MAX {
        let start = piece.raw.len();
        piece
            .raw
            .extend_from_slice(&text.as_bytes()[..RECORD_BYTES_MAX]);
        let original = Original::Truncated(start..piece.raw.len());
        piece.records.push(Record {
            line,
            decoded: Decoded::unreadable(),
            original,
        });
    } else if !text.bytes().all(|byte| matches!(byte, b' ' | b'\t')) {
        let decoded = cloudevents::decode(
            &piece.text.input,
            bound.start,
            bound.end,
            &mut piece.text.side,
        );
        let original = Original::Text(Span::of_input(bound.start, bound.len()));
        piece.records.push(Record {
            line,
            decoded,
            original,
        });
    }
}

/// A line that is not UTF-8.
fn push_raw(piece: &mut Piece, line: u64, bytes: &[u8]) {
    let kept = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
    let start = piece.raw.len();
    piece.raw.extend_from_slice(kept);
    let range = start..piece.raw.len();
    let original = if kept.len() < bytes.len() {
        Original::Truncated(range)
    } else {
        Original::Bytes(range)
    };
    piece.records.push(Record {
        line,
        decoded: Decoded::unreadable(),
        original,
    });
}
