//! The names that generated events hold, as small values until they are printed.
//!
//! An event is built, kept for a later resend and corrected without any text; only the line that
//! is written needs it.

use std::cell::RefCell;

use super::random::hash;
use crate::billing::event::Event;
use crate::wire::span::{Span, Text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Fixed(&'static str),
    /// Unique: a letter for the kind of event, and its number.
    Event(char, u64),
    /// `team-0000007`, as are hubs and apps: by the team's number.
    Team(u32),
    Hub(u32),
    App(u32, u8),
    /// A path in the middle of which an item of the caller's stands.
    Path(&'static [&'static str; 2], u64),
}

/// Prints events' names; keeps its memory from one event to the next.
#[derive(Default)]
pub struct Printer {
    text: Text,
}

impl Printer {
    /// Calls `write` with the event, its names printed.
    pub fn print<T>(&mut self, event: &Event<Name>, write: impl FnOnce(&Event<&str>) -> T) -> T {
        self.text.side.clear();
        let side = RefCell::new(&mut self.text.side);
        let spans = event.map(|name| {
            let mut side = side.borrow_mut();
            let start = side.len();
            name.print(&mut side);
            Span::of_side(start, side.len() - start)
        });
        write(&spans.map(|span| self.text.get(span)))
    }
}

impl Name {
    fn print(self, out: &mut String) {
        match self {
            Name::Fixed(text) => out.push_str(text),
            Name::Event(letter, number) => {
                out.push(letter);
                out.push('-');
                push_padded(number, 11, out);
            }
            Name::Team(team) => push_of_team("team-", team, out),
            Name::Hub(team) => push_of_team("hub-", team, out),
            Name::App(team, app) => {
                push_of_team("app-", team, out);
                out.push('-');
                push_padded(u64::from(app), 1, out);
            }
            Name::Path([before, after], item) => {
                out.push_str(before);
                push_item(item, out);
                out.push_str(after);
            }
        }
    }
}

fn push_of_team(prefix: &str, team: u32, out: &mut String) {
    out.push_str(prefix);
    push_padded(u64::from(team), 7, out);
}

/// Decimal digits, zeros in front up to `width`.
fn push_padded(number: u64, width: usize, out: &mut String) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    let mut rest = number;
    while rest != 0 {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let first = first.min(digits.len() - width);
    out.extend(digits[first..].iter().map(|&digit| char::from(digit)));
}

/// Ten letters and digits that look like the identifier of a file.
fn push_item(item: u64, out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = hash(0, item);
    for _ in 0..10 {
        out.push(char::from(ALPHABET[(bits % 64) as usize]));
        bits /= 64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(name: Name) -> String {
        let mut text = String::new();
        name.print(&mut text);
        text
    }

    #[test]
    fn prints_names() {
        for (name, text) in [
            (Name::Fixed("US"), "US"),
            (Name::Event('c', 1), "c-00000000001"),
            (Name::Event('c', 123_456_789_012), "c-123456789012"),
            (Name::Team(123), "team-0000123"),
            (Name::Hub(10_000_000), "hub-10000000"),
            (Name::App(0, 0), "app-0000000-0"),
        ] {
            assert_eq!(printed(name), text);
        }
        let path = printed(Name::Path(&["/files/", "/parts"], 7));
        assert_eq!(path.len(), "/files/".len() + 10 + "/parts".len());
        assert_eq!(path, printed(Name::Path(&["/files/", "/parts"], 7)));
        assert_ne!(path, printed(Name::Path(&["/files/", "/parts"], 8)));
    }
}
