//! Text of a batch, held as positions instead of references.
//!
//! A batch owns its bytes for as long as its records wait to be folded, so decoded events point
//! into it by position. Text that stands in the input as it is meant is not copied; text that had
//! to be unescaped, or came out of a binary record, lies in the batch's `side` string.

use crate::billing::event::{Event, Fault};
use crate::billing::time::Instant;

/// A piece of text of one [`Text`]: 31 bits of start, one bit that tells which of its two strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    len: u32,
}

/// The text that the spans of a batch point into. Neither string may pass [`TEXT_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Text {
    /// Input as it was read.
    pub input: String,
    /// Text that does not stand in the input in its final form.
    pub side: String,
}

/// Most bytes of either string of a [`Text`].
pub const TEXT_BYTES_MAX: usize = (1 << 31) - 1;

const IN_SIDE: u32 = 1 << 31;

/// What decoding makes of one record.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Recorded time as far as it could be read: the attribute, or `time` where it is absent.
    pub recorded: Option<Instant>,
    /// The type reads `meterfold.clock-tick.v1`, whatever else is wrong with the record.
    pub is_tick: bool,
    /// The type reads as one of the two types of usage, whatever else is wrong.
    pub is_usage: bool,
    /// `source`, `id` and `subject` as far as they are readable strings; for the trace.
    pub source: Option<Span>,
    pub id: Option<Span>,
    pub subject: Option<Span>,
    pub event: Result<Event<Span>, Fault>,
}

impl Span {
    /// `input[start..start + len]`.
    pub fn of_input(start: usize, len: usize) -> Span {
        Span {
            start: narrow(start),
            len: narrow(len),
        }
    }

    /// `side[start..start + len]`.
    pub fn of_side(start: usize, len: usize) -> Span {
        Span {
            start: narrow(start) | IN_SIDE,
            len: narrow(len),
        }
    }

    /// Appends `text` to the side string and points at it.
    pub fn push_side(side: &mut String, text: &str) -> Span {
        let span = Span::of_side(side.len(), text.len());
        side.push_str(text);
        span
    }

    pub const fn len(self) -> usize {
        self.len as usize
    }

    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl Text {
    pub fn get(&self, span: Span) -> &str {
        let (string, start) = match span.start & IN_SIDE {
            0 => (&self.input, span.start as usize),
            _ => (&self.side, (span.start & !IN_SIDE) as usize),
        };
        &string[start..start + span.len()]
    }
}

impl Decoded {
    /// A record of which nothing could be read.
    pub const fn unreadable() -> Decoded {
        Decoded {
            recorded: None,
            is_tick: false,
            is_usage: false,
            source: None,
            id: None,
            subject: None,
            event: Err(Fault::malformed("record")),
        }
    }
}

fn narrow(position: usize) -> u32 {
    assert!(
        position <= TEXT_BYTES_MAX,
        "a batch's text is bounded by its reader"
    );
    position as u32
}
