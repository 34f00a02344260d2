//! Trace lines and dead letters of a file run (`interfaces.md` 3).

use crate::billing::amount::Tokens;
use crate::billing::event::Fault;
use crate::billing::fold::Folded;
use crate::billing::rate_book::RateBook;

use super::json_text::write_string;
use super::object::Object;

/// Where an input record stands and what could be read of whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    pub input: u32,
    /// From 1.
    pub line: u64,
    pub source: Option<&'a str>,
    pub id: Option<&'a str>,
    pub team: Option<&'a str>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug)]
pub enum Traced<'a> {
    DeadLetter(Fault),
    /// Duplicate or conflict, by name; balance and debt of the team, if it is one.
    SeenBefore {
        disposition: &'static str,
        funds: Option<Funds>,
    },
    Folded {
        folded: &'a Folded,
        funds: Funds,
        episode: u64,
    },
    /// An accepted clock tick.
    Tick,
}

/// A team's balance and debt after the event.
#[derive(Clone, Copy, Debug)]
pub struct Funds {
    pub balance: Tokens,
    pub debt: Tokens,
}

/// Appends a trace line, without line feed. `derived` are the ids of the events it caused.
pub fn write(
    origin: Origin,
    traced: Traced,
    derived: &[String],
    book: &RateBook,
    out: &mut Vec<u8>,
) {
    let mut line = Object::begin(out);
    line.literal("input", origin.input);
    line.literal("line", origin.line);
    line.optional_string("source", origin.source);
    line.optional_string("id", origin.id);
    line.optional_string("team", origin.team);
    let (disposition, reason) = match traced {
        Traced::DeadLetter(fault) => ("dead_letter", Some(fault.reason.name())),
        Traced::SeenBefore { disposition, .. } => (disposition, None),
        Traced::Folded { folded, .. } => (
            folded.disposition.name(),
            folded.refusal.map(|refusal| refusal.name()),
        ),
        Traced::Tick => ("accepted", None),
    };
    line.string("disposition", disposition);
    line.optional_string("reason", reason);
    let usage = match traced {
        Traced::Folded { folded, .. } => folded.usage,
        _ => None,
    };
    line.optional_string(
        "meter",
        usage
            .and_then(|usage| usage.meter)
            .map(|meter| book.meter_id(meter)),
    );
    line.optional_string(
        "rate_card",
        usage.map(|usage| book.card(usage.card).id.as_ref()),
    );
    line.optional_literal("quantity", usage.map(|usage| usage.quantity));
    line.optional_quoted("month", usage.map(|usage| usage.month));
    let posting = usage.and_then(|usage| usage.posting);
    let booked = posting.map(|posting| posting.booked);
    line.optional_quoted("booked_to", posting.map(|posting| posting.booked_to));
    line.optional_quoted("charge", booked.map(|booked| booked.charge));
    line.optional_quoted("prepaid", booked.map(|booked| booked.prepaid));
    line.optional_quoted("postpaid", booked.map(|booked| booked.postpaid));
    line.optional_quoted("uncharged", booked.map(|booked| booked.uncharged));
    line.optional_literal("free", usage.and_then(|usage| usage.free));
    line.literal(
        "while_suspended",
        usage.is_some_and(|usage| usage.while_suspended),
    );
    let (funds, episode) = match traced {
        Traced::DeadLetter(_) | Traced::Tick => (None, None),
        Traced::SeenBefore { funds, .. } => (funds, None),
        Traced::Folded { funds, episode, .. } => (Some(funds), Some(episode)),
    };
    line.optional_quoted("balance", funds.map(|funds| funds.balance));
    line.optional_quoted("debt", funds.map(|funds| funds.debt));
    line.optional_literal("episode", episode);
    line.list("derived", derived, |out, id| write_string(id, out));
    line.end();
}

/// The record of a dead letter as it came.
pub enum DeadRecord<'a> {
    Text(&'a str),
    /// Not UTF-8, or no text at all.
    Bytes(&'a [u8]),
    /// The first bytes of a record over the limit.
    Truncated(&'a [u8]),
}

/// Appends a dead letter, without line feed.
pub fn write_dead_letter(origin: Origin, fault: Fault, record: DeadRecord, out: &mut Vec<u8>) {
    let mut line = Object::begin(out);
    line.literal("input", origin.input);
    line.literal("line", origin.line);
    line.string("reason", fault.reason.name());
    line.string("detail", fault.detail);
    let truncated = matches!(record, DeadRecord::Truncated(_));
    match record {
        DeadRecord::Text(text) => line.string("record", text),
        DeadRecord::Bytes(bytes) | DeadRecord::Truncated(bytes) => match std::str::from_utf8(bytes)
        {
            Ok(text) if truncated => line.string("record", text),
            _ => line.quoted("record_base64", base64(bytes)),
        },
    }
    if truncated {
        line.literal("truncated", true);
    }
    line.end();
}

/// RFC 4648, padded.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| chunk.get(index).copied().map_or(0, u32::from);
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let sextet = (group >> (18 - 6 * position)) & 0x3f;
            text.push(if position <= chunk.len() {
                char::from(ALPHABET[sextet as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
