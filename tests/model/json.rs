//! A strict JSON reader and a compact writer for the reference model (`interfaces.md` 1 and 3).
//!
//! The reader refuses what the reading rules call malformed `record`: bytes that are not UTF-8, a
//! byte order mark, a member name repeated at any depth, a lone surrogate, nesting deeper than 64,
//! anything outside RFC 8259. Numbers keep their spelling, so that nothing is lost in a binary
//! float.

use std::collections::BTreeSet;

/// Containers may nest this deep; the record's own object is the first level.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// A number as it is spelled.
    Number(String),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The member of an object; a null member is absent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Value::Object(members) = self else {
            return None;
        };
        let (_, value) = members.iter().find(|(member, _)| member == name)?;
        if *value == Value::Null {
            None
        } else {
            Some(value)
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// An integer spelled without fraction, exponent or `-0`, within 64 bits.
    pub fn as_integer(&self) -> Option<i64> {
        let Value::Number(text) = self else {
            return None;
        };
        if text == "-0" {
            None
        } else {
            text.parse().ok()
        }
    }

    /// Compact JSON text that escapes only what must be escaped.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number(text) => out.push_str(text),
            Value::String(text) => write_string(text, out),
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// A string value.
pub fn string(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

/// A number value.
pub fn number(value: impl ToString) -> Value {
    Value::Number(value.to_string())
}

/// What there is, or null.
pub fn or_null(value: Option<Value>) -> Value {
    value.unwrap_or(Value::Null)
}

/// An object with its members in the order given.
pub fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(
        members
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .collect(),
    )
}

/// Reads one JSON text that fills the bytes; None if it is not one.
pub fn parse(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut reader = Reader { rest: text };
    let value = reader.value(1)?;
    reader.skip_whitespace();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn skip_whitespace(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.rest = &self.rest[character.len_utf8()..];
        Some(character)
    }

    /// Takes the text if it comes next.
    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A value, where a container would stand on level `depth`.
    fn value(&mut self, depth: usize) -> Option<Value> {
        self.skip_whitespace();
        match self.peek()? {
            '{' | '[' if depth > DEPTH_MAX => None,
            '{' => self.object(depth),
            '[' => self.array(depth),
            '"' => self.string().map(Value::String),
            't' => self.take("true").then_some(Value::Bool(true)),
            'f' => self.take("false").then_some(Value::Bool(false)),
            'n' => self.take("null").then_some(Value::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.next();
        let mut members = Vec::new();
        let mut names = BTreeSet::new();
        self.skip_whitespace();
        if self.take("}") {
            return Some(Value::Object(members));
        }
        loop {
            self.skip_whitespace();
            let name = self.string()?;
            if !names.insert(name.clone()) {
                return None;
            }
            self.skip_whitespace();
            if !self.take(":") {
                return None;
            }
            members.push((name, self.value(depth + 1)?));
            self.skip_whitespace();
            match self.next()? {
                ',' => {}
                '}' => return Some(Value::Object(members)),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.next();
        let mut items = Vec::new();
        self.skip_whitespace();
        if self.take("]") {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_whitespace();
            match self.next()? {
                ',' => {}
                ']' => return Some(Value::Array(items)),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        if !self.take("\"") {
            return None;
        }
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                control if control < ' ' => return None,
                other => text.push(other),
            }
        }
    }

    /// What follows a backslash. Surrogates must come in pairs, high before low.
    fn escape(&mut self) -> Option<char> {
        match self.next()? {
            '"' => Some('"'),
            '\\' => Some('\\'),
            '/' => Some('/'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => {
                let unit = self.four_hex_digits()?;
                if (0xd800..0xdc00).contains(&unit) {
                    if !self.take("\\u") {
                        return None;
                    }
                    let low = self.four_hex_digits()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return None;
                    }
                    return char::from_u32(0x10000 + (unit - 0xd800) * 0x400 + (low - 0xdc00));
                }
                char::from_u32(unit)
            }
            _ => None,
        }
    }

    fn four_hex_digits(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + self.next()?.to_digit(16)?;
        }
        Some(unit)
    }

    fn digits(&mut self, out: &mut String) -> Option<()> {
        let before = out.len();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            out.push(digit);
            self.next();
        }
        (out.len() > before).then_some(())
    }

    fn number(&mut self) -> Option<Value> {
        let mut text = String::new();
        if self.take("-") {
            text.push('-');
        }
        if self.take("0") {
            text.push('0');
        } else {
            self.digits(&mut text)?;
        }
        if self.take(".") {
            text.push('.');
            self.digits(&mut text)?;
        }
        if let Some(letter) = self
            .peek()
            .filter(|character| matches!(character, 'e' | 'E'))
        {
            self.next();
            text.push(letter);
            if let Some(sign) = self
                .peek()
                .filter(|character| matches!(character, '+' | '-'))
            {
                self.next();
                text.push(sign);
            }
            self.digits(&mut text)?;
        }
        Some(Value::Number(text))
    }
}
