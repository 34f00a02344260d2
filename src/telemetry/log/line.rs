//! One log line: what an event says, and how that is written so that no value can pass for another
//! line or move a terminal.

use std::fmt::{self, Write as _};

use tracing::Event;
use tracing::field::{Field, Visit};

use super::LogLevel;
use crate::billing::time::Instant;
use crate::telemetry::unix_millis;

/// Longer values are cut.
pub const VALUE_BYTES_MAX: usize = 2_048;

/// What a line says when its event has no code.
const NO_CODE: &str = "log";

#[derive(Debug, Default)]
pub struct Line {
    pub code: Option<String>,
    /// Who said it, of what came through the crate `log`.
    pub library: Option<String>,
    message: String,
    /// In order; numbers and truth values are written bare in JSON.
    fields: Vec<(&'static str, Value)>,
}

#[derive(Debug)]
enum Value {
    Bare(String),
    Text(String),
}

impl Line {
    pub fn read(event: &Event<'_>) -> Line {
        let mut line = Line::default();
        event.record(&mut line);
        line
    }

    /// Adds a number.
    pub fn push(&mut self, name: &'static str, number: String) {
        self.push_value(name, Value::Bare(number));
    }

    /// Where in its code a library said it is of no use to an operator.
    fn push_value(&mut self, name: &'static str, value: Value) {
        if !name.starts_with("log.") {
            self.fields.push((name, value));
        }
    }

    /// `2026-11-22T13:00:00.000Z WARN partition_waiting: the clock jumped partition=3`
    pub fn text(&self, level: LogLevel, is_colored: bool) -> String {
        let mut text = now();
        let (begin, end) = match level {
            LogLevel::Error if is_colored => ("\x1b[31m", "\x1b[0m"),
            LogLevel::Warn if is_colored => ("\x1b[33m", "\x1b[0m"),
            _ => ("", ""),
        };
        let level = level.name().to_ascii_uppercase();
        let _ = write!(text, " {begin}{level}{end} ");
        push_escaped(&mut text, self.code());
        if !self.message.is_empty() {
            text.push_str(": ");
            push_escaped(&mut text, &self.message);
        }
        for (name, value) in &self.fields {
            let _ = write!(text, " {name}=");
            match value {
                Value::Bare(value) => text.push_str(value),
                Value::Text(value) => push_quoted(&mut text, value),
            }
        }
        text.push('\n');
        text
    }

    pub fn json(&self, level: LogLevel) -> String {
        let mut text = format!("{{\"ts\":\"{}\",\"level\":\"{}\"", now(), level.name());
        for (name, value) in [("event", self.code()), ("msg", &self.message)] {
            let _ = write!(text, ",\"{name}\":");
            push_quoted(&mut text, value);
        }
        for (name, value) in &self.fields {
            let _ = write!(text, ",\"{name}\":");
            match value {
                Value::Bare(value) => text.push_str(value),
                Value::Text(value) => push_quoted(&mut text, value),
            }
        }
        text.push_str("}\n");
        text
    }

    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or(NO_CODE)
    }
}

impl Visit for Line {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field.name(), value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field.name(), value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON knows no infinity.
        let number = if value.is_finite() {
            value.to_string()
        } else {
            "null".into()
        };
        self.push(field.name(), number);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field.name(), value.to_string());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let cut = cut(value);
        match field.name() {
            "event" => self.code = Some(cut),
            "message" => self.message = cut,
            "log.target" => self.library = Some(cut),
            name => self.push_value(name, Value::Text(cut)),
        }
    }

    /// Messages come this way, and values of any other type.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

fn now() -> String {
    Instant::from_millis(unix_millis()).to_string()
}

fn cut(value: &str) -> String {
    if value.len() <= VALUE_BYTES_MAX {
        return value.to_owned();
    }
    format!(
        "{}...",
        &value[..value.floor_char_boundary(VALUE_BYTES_MAX)]
    )
}

/// A JSON string, which reads well in a line of text too.
fn push_quoted(to: &mut String, text: &str) {
    to.push('"');
    for letter in text.chars() {
        if matches!(letter, '"' | '\\') {
            to.push('\\');
        }
        push_letter(to, letter);
    }
    to.push('"');
}

fn push_escaped(to: &mut String, text: &str) {
    text.chars().for_each(|letter| push_letter(to, letter));
}

/// Controls and what turns the direction of writing are spelled out as in JSON.
fn push_letter(to: &mut String, letter: char) {
    let turns = matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    match letter {
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        _ if turns || letter.is_control() => {
            // None of them lies beyond the first plane.
            let _ = write!(to, "\\u{:04x}", u32::from(letter));
        }
        _ => to.push(letter),
    }
}
