//! A strict JSON scanner (RFC 8259, as `interfaces.md` 1 narrows it).
//!
//! It checks a whole record in one pass and tells where the members that its caller knows stand.
//! It builds no tree and copies no text, converts no number and knows no event: what the members
//! mean is the matter of [`cloudevents`](super::cloudevents), its caller. Beyond the grammar it
//! refuses a member name repeated in one object, a lone surrogate and too deep nesting; a byte order
//! mark is refused as any other stray character. Text that is not UTF-8 cannot come here.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::json_text::skip_plain;

/// Most levels of objects and arrays; the record's own object is the first. It also bounds the
/// recursion of the scanner.
pub const DEPTH_MAX: usize = 64;

/// The record is not one JSON object as this scanner wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one strict JSON object")]
pub struct Malformed;

/// Reads one record from front to back.
#[derive(Debug)]
pub struct Scanner<'a> {
    record: &'a str,
    rest: &'a [u8],
    depth: usize,
}

/// A value of a record: its kind and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    pub kind: Kind,
    start: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no such member (or none was met so far).
    Missing,
    Null,
    True,
    False,
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Fractional,
    /// A string that stands in the record as it is meant.
    Plain,
    /// A string with escapes, all of them valid.
    Escaped,
    Object,
    Array,
}

impl<'a> Scanner<'a> {
    pub const fn new(record: &'a str) -> Scanner<'a> {
        Scanner {
            record,
            rest: record.as_bytes(),
            depth: 0,
        }
    }

    /// Reads the part of `record` behind `start`, as the value of a member of the record's own object.
    pub fn of_member(record: &'a str, start: usize) -> Scanner<'a> {
        Scanner {
            record,
            rest: &record.as_bytes()[start..],
            depth: 1,
        }
    }

    /// Nothing but white space is left.
    pub fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Reads the whole record as one object; `known` as for [`Scanner::value_with`].
    pub fn document(
        &mut self,
        known: impl FnMut(&mut Scanner<'a>, &str) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed> {
        let value = self.value_with(known)?;
        if value.kind == Kind::Object && self.is_at_end() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    /// Reads any value and nothing in it.
    #[inline]
    pub fn value(&mut self) -> Result<Value, Malformed> {
        self.value_with(|_, _| Ok(false))
    }

    /// Reads any value. If it is an object, `known` is called before each member's value with the
    /// member's name, unescaped: either it reads that value and returns true, having refused a
    /// repeated name itself, or it reads nothing and returns false; the member is then checked
    /// here and forgotten.
    #[inline]
    pub fn value_with(
        &mut self,
        known: impl FnMut(&mut Scanner<'a>, &str) -> Result<bool, Malformed>,
    ) -> Result<Value, Malformed> {
        let first = self.peek().ok_or(Malformed)?;
        let start = self.place();
        let kind = self.kind_with(first, known)?;
        Ok(Value::new(kind, start, self.place()))
    }

    /// Apart from [`Scanner::value_with`] so that a value's places stay in registers.
    fn kind_with(
        &mut self,
        first: u8,
        known: impl FnMut(&mut Scanner<'a>, &str) -> Result<bool, Malformed>,
    ) -> Result<Kind, Malformed> {
        match first {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.object(known),
            b'[' => self.array(),
            b't' => self.literal("true", Kind::True),
            b'f' => self.literal("false", Kind::False),
            b'n' => self.literal("null", Kind::Null),
            _ => Err(Malformed),
        }
    }

    fn object(
        &mut self,
        mut known: impl FnMut(&mut Scanner<'a>, &str) -> Result<bool, Malformed>,
    ) -> Result<Kind, Malformed> {
        let mut others = Names::default();
        let mut is_open = self.open(b'}')?;
        while is_open {
            let name = self.name()?;
            if !known(self, &name)? {
                others.insert(name)?;
                self.value()?;
            }
            is_open = self.goes_on(b'}')?;
        }
        Ok(Kind::Object)
    }

    fn array(&mut self) -> Result<Kind, Malformed> {
        let mut is_open = self.open(b']')?;
        while is_open {
            self.value()?;
            is_open = self.goes_on(b']')?;
        }
        Ok(Kind::Array)
    }

    /// A member's name with the colon after it. Inlined, as [`Value::text`] is: a `Cow` that passes
    /// through memory costs more than finding the name.
    #[inline(always)]
    fn name(&mut self) -> Result<Cow<'a, str>, Malformed> {
        if self.peek() != Some(b'"') {
            return Err(Malformed);
        }
        let start = self.place() + 1;
        let kind = self.string()?;
        let raw = &self.record[start..self.place() - 1];
        if self.peek() != Some(b':') {
            return Err(Malformed);
        }
        self.skip_separator();
        Ok(if kind == Kind::Plain {
            Cow::Borrowed(raw)
        } else {
            Cow::Owned(unescape(raw))
        })
    }

    /// A string whose opening quote comes next.
    #[inline]
    fn string(&mut self) -> Result<Kind, Malformed> {
        self.skip();
        self.rest = skip_plain(self.rest);
        match self.rest {
            [b'"', after @ ..] => {
                self.rest = after;
                Ok(Kind::Plain)
            }
            [b'\\', ..] => self.escaped_string(),
            _ => Err(Malformed),
        }
    }

    /// The rest of a string from its first escape on.
    #[cold]
    fn escaped_string(&mut self) -> Result<Kind, Malformed> {
        while let [b'\\', ..] = self.rest {
            let (_, len) = escape(self.rest).ok_or(Malformed)?;
            self.rest = skip_plain(&self.rest[len..]);
        }
        if self.skip_if(|byte| byte == b'"') {
            Ok(Kind::Escaped)
        } else {
            Err(Malformed)
        }
    }

    fn number(&mut self) -> Result<Kind, Malformed> {
        let mut kind = Kind::Integer;
        self.skip_if(|byte| byte == b'-');
        if !self.skip_if(|byte| byte == b'0') {
            self.digits()?;
        }
        if self.skip_if(|byte| byte == b'.') {
            kind = Kind::Fractional;
            self.digits()?;
        }
        if self.skip_if(|byte| matches!(byte, b'e' | b'E')) {
            kind = Kind::Fractional;
            self.skip_if(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Ok(kind)
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Malformed> {
        if !self.skip_if(|byte| byte.is_ascii_digit()) {
            return Err(Malformed);
        }
        while self.skip_if(|byte| byte.is_ascii_digit()) {}
        Ok(())
    }

    fn literal(&mut self, word: &str, kind: Kind) -> Result<Kind, Malformed> {
        self.rest = self.rest.strip_prefix(word.as_bytes()).ok_or(Malformed)?;
        Ok(kind)
    }

    /// Enters the object or array that comes next. False: it is empty, and left again.
    fn open(&mut self, bracket: u8) -> Result<bool, Malformed> {
        if self.depth == DEPTH_MAX {
            return Err(Malformed);
        }
        self.skip();
        let is_empty = self.peek() == Some(bracket);
        if is_empty {
            self.skip();
        } else {
            self.depth += 1;
        }
        Ok(!is_empty)
    }

    /// After an item: takes a comma (true), or the closing bracket and leaves (false).
    #[inline]
    fn goes_on(&mut self, bracket: u8) -> Result<bool, Malformed> {
        let next = self.peek().ok_or(Malformed)?;
        self.skip_separator();
        if next == bracket {
            self.depth -= 1;
        } else if next != b',' {
            return Err(Malformed);
        }
        Ok(next == b',')
    }

    /// The next byte that is not white space, left where it is.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        match self.rest.first() {
            Some(&byte) if byte > b' ' => Some(byte),
            _ => self.peek_beyond_space(),
        }
    }

    /// Apart, for most records have at most the one space of [`Scanner::skip_separator`].
    #[inline(never)]
    fn peek_beyond_space(&mut self) -> Option<u8> {
        while self.skip_if(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {}
        self.rest.first().copied()
    }

    /// Takes the very next byte if it is as wanted; inside a number there is no white space.
    #[inline]
    fn skip_if(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let is_next = self.rest.first().is_some_and(|&byte| wanted(byte));
        if is_next {
            self.skip();
        }
        is_next
    }

    /// Takes a colon, comma or bracket, and the one space that many writers put there.
    #[inline]
    fn skip_separator(&mut self) {
        self.rest = match self.rest {
            [_, b' ', after @ ..] | [_, after @ ..] => after,
            [] => &[],
        };
    }

    #[inline]
    fn skip(&mut self) {
        self.rest = &self.rest[1..];
    }

    /// Where the next byte stands in the record.
    #[inline]
    const fn place(&self) -> usize {
        self.record.len() - self.rest.len()
    }
}

impl Value {
    pub const MISSING: Value = Value {
        kind: Kind::Missing,
        start: 0,
        end: 0,
    };

    /// A value that stands at `start..end` of its record, a string with its quotes. A record is far
    /// shorter than 4 GiB, so that no place is cut.
    pub const fn new(kind: Kind, start: usize, end: usize) -> Value {
        Value {
            kind,
            start: start as u32,
            end: end as u32,
        }
    }

    /// Where the value stands in its record; a string without its quotes.
    pub const fn place(self) -> Range<usize> {
        let quote = matches!(self.kind, Kind::Plain | Kind::Escaped) as usize;
        self.start as usize + quote..self.end as usize - quote
    }

    /// The value as it stands in its record; a string without its quotes, not unescaped.
    #[inline]
    pub fn raw(self, record: &str) -> &str {
        &record[self.place()]
    }

    /// What a string says. None: not a string.
    #[inline(always)]
    pub fn text(self, record: &str) -> Option<Cow<'_, str>> {
        match self.kind {
            Kind::Plain => Some(Cow::Borrowed(self.raw(record))),
            Kind::Escaped => Some(Cow::Owned(unescape(self.raw(record)))),
            _ => None,
        }
    }

    /// An integer of 64 bits as `interfaces.md` 1 wants it written: no fraction, exponent or `-0`.
    pub fn integer(self, record: &str) -> Option<i64> {
        let digits = self.raw(record);
        if self.kind != Kind::Integer || digits == "-0" {
            return None;
        }
        digits.parse().ok()
    }
}

/// The names of one object that its reader does not know, to find a repeated one: a short list for
/// the few of an ordinary object, a set for those beyond, so that no record takes quadratic time.
#[derive(Default)]
struct Names<'a> {
    few: [&'a str; FEW],
    few_count: usize,
    more: Option<HashSet<Cow<'a, str>>>,
}

const FEW: usize = 8;

impl<'a> Names<'a> {
    fn insert(&mut self, name: Cow<'a, str>) -> Result<(), Malformed> {
        if self.few[..self.few_count].contains(&&*name) {
            return Err(Malformed);
        }
        match name {
            Cow::Borrowed(name) if self.few_count < FEW && self.more.is_none() => {
                self.few[self.few_count] = name;
                self.few_count += 1;
                Ok(())
            }
            name => {
                let is_new = self.more.get_or_insert_default().insert(name);
                if is_new { Ok(()) } else { Err(Malformed) }
            }
        }
    }
}

/// `raw` with its escapes resolved; they were checked when it was scanned.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let Some((meant, len)) = escape(&rest.as_bytes()[at..]) else {
            break;
        };
        text.push_str(&rest[..at]);
        text.push(meant);
        rest = &rest[at + len..];
    }
    text.push_str(rest);
    text
}

/// The character that the escape at the start of `bytes` means, and the escape's length: two bytes,
/// six, or the twelve of a surrogate pair. None: no valid escape, or a lone surrogate.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let meant = match *bytes.get(1)? {
        byte @ (b'"' | b'\\' | b'/') => char::from(byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(bytes),
        _ => return None,
    };
    Some((meant, 2))
}

fn unicode_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let first = code_unit(bytes)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = code_unit(&bytes[6..])?;
    if !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    let pair = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
    Some((char::from_u32(pair)?, 12))
}

/// The UTF-16 code unit of a `\uXXXX` at the start of `bytes`.
fn code_unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.get(..6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(unit << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

    fn accepts(record: &str) -> bool {
        Scanner::new(record).document(|_, _| Ok(false)).is_ok()
    }

    /// The value of the record's member `x`.
    fn member(record: &str) -> Value {
        let mut found = Value::MISSING;
        let read = Scanner::new(record).document(|scanner, name| {
            if name == "x" {
                found = scanner.value()?;
            }
            Ok(name == "x")
        });
        assert_eq!(read, Ok(()), "{record}");
        found
    }

    #[test]
    fn accepts_strict_objects_only() {
        for record in [
            "{}",
            " \t\r\n{ \"a\" : [ ] , \"b\" : { } , \"c\" : null } \r",
            r#"{"":"","a":[1,-0,0.5,1e400,-1E-7,2e+9,123456789012345678901234567890]}"#,
            r#"{"a":{"a":{"a":[{"a":1},{"a":1}]}},"b":[[],[true,false,null]]}"#,
            r#"{"a":"\"\\\/\b\f\n\r\t\u0000\uFfFf\ud83d\ude80","é":"チーム🚀"}"#,
        ] {
            assert!(accepts(record), "{record}");
        }
        for record in [
            "",
            " ",
            "{",
            "}",
            "[]",
            "1",
            "null",
            "\"a\"",
            "{}{}",
            "{} x",
            "{},",
            "\u{feff}{}",
            "\u{a0}{}",
            "{\u{b}}",
            "{\"a\":\u{b}1}",
            "{\"a\":1,\u{b}\"b\":1}",
            "{\"a\":1\0}",
            "{\"a\":1}\0",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a" 1}"#,
            r#"{a:1}"#,
            r#"{'a':1}"#,
            r#"{1:1}"#,
            r#"{"a":1 "b":1}"#,
            r#"{"a":1;"b":1}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[,1]}"#,
            r#"{"a":[1}"#,
            r#"{"a":{]}"#,
            r#"{"a":[1 2]}"#,
            r#"{"a":tru}"#,
            r#"{"a":True}"#,
            r#"{"a":nulll}"#,
            r#"{"a":NaN}"#,
            r#"{"a":/**/1}"#,
        ] {
            assert!(!accepts(record), "{record}");
        }
    }

    #[test]
    fn numbers_are_written_as_the_grammar_says() {
        for (number, kind) in [
            ("0", Kind::Integer),
            ("-0", Kind::Integer),
            ("10", Kind::Integer),
            ("-9", Kind::Integer),
            ("0.0", Kind::Fractional),
            ("1e3", Kind::Fractional),
            ("1E+03", Kind::Fractional),
            ("-0.5e-9", Kind::Fractional),
        ] {
            let record = format!(r#"{{"x":{number}}}"#);
            assert_eq!(
                (member(&record).kind, member(&record).raw(&record)),
                (kind, number)
            );
        }
        for number in [
            "-", "+1", "01", "-01", "00", "1.", ".5", "-.5", "1e", "1e+", "1.e3", "0x1", "1_0",
            "--1", "1 .5", "1e3.5",
        ] {
            assert!(!accepts(&format!(r#"{{"x":{number}}}"#)), "{number}");
        }
    }

    #[test]
    fn integers_are_those_of_64_bits() {
        for (number, integer) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("-0", None),
            ("1.0", None),
            ("1e3", None),
            ("true", None),
            ("\"1\"", None),
            ("[1]", None),
        ] {
            let record = format!(r#"{{"x":{number}}}"#);
            assert_eq!(member(&record).integer(&record), integer, "{number}");
        }
    }

    #[test]
    fn strings_are_unescaped_by_value() {
        for (string, text) in [
            ("", ""),
            (
                "plain, and longer than a word é",
                "plain, and longer than a word é",
            ),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u0041\u00e9\uFFFF\u0000", "Aé\u{ffff}\0"),
            (r"rocket \ud83d\ude80\uD83D\uDE80 end", "rocket 🚀🚀 end"),
            (r"\ud800\udc00\udbff\udfff", "\u{10000}\u{10ffff}"),
            (r"\\u0041", r"\u0041"),
        ] {
            let record = format!(r#"{{"x":"{string}"}}"#);
            assert_eq!(member(&record).text(&record).as_deref(), Some(text));
        }
        for string in [
            r"\",
            r"\x",
            r"\U0041",
            r"\u",
            r"\u004",
            r"\u004g",
            r"\u+041",
            r"\u 041",
            "\n",
            "\t",
            "\0",
            "\u{1f}",
            "a\"b",
            r"\ud800",
            r"\udc00",
            r"\ud800x",
            r"\ud800\n",
            r"\ud800\u0041",
            r"\ud800\ud800",
            r"\ud800\ue000",
            r"\ud800\udbff",
            r"\udc00\ud800",
            r"\ud83d\ude8",
        ] {
            for record in [
                format!(r#"{{"x":"{string}"}}"#),
                format!(r#"{{"{string}":1}}"#),
                format!(r#"{{"x":"{string}"#),
            ] {
                assert!(!accepts(&record), "{record}");
            }
        }
        assert_eq!(member(r#"{"x":1}"#).text(r#"{"x":1}"#), None);
    }

    #[test]
    fn a_name_may_stand_only_once_in_an_object() {
        for record in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":1}"#,
            r#"{"\u0061":1,"a":1}"#,
            r#"{"\u0061":1,"\u0061":1}"#,
            r#"{"":1,"":1}"#,
            r#"{"o":{"a":1,"a":null}}"#,
            r#"{"o":[[{"p":{"/":1,"\/":1}}]]}"#,
        ] {
            assert!(!accepts(record), "{record}");
        }
        assert!(accepts(
            r#"{"a":{"a":1},"A":[{"a":1},{"a":1}],"á":1,"a\u0301":1}"#
        ));
    }

    #[test]
    fn many_names_are_all_remembered() {
        let names = |last: &str| {
            let list: String = (0..100_000)
                .map(|index| format!(r#""{index}":0,"#))
                .collect();
            format!(r#"{{{list}"{last}":0}}"#)
        };
        assert!(accepts(&names("last")));
        for repeated in ["0", "7", "8", "9", "99999", r"\u0030", r"\u0039"] {
            assert!(!accepts(&names(repeated)), "{repeated}");
        }
    }

    #[test]
    fn depth_counts_objects_and_arrays() {
        let arrays =
            |levels: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        let objects =
            |levels: usize| format!("{}{{}}{}", r#"{"x":"#.repeat(levels), "}".repeat(levels));
        for nested in [arrays, objects] {
            assert!(accepts(&nested(DEPTH_MAX - 1)));
            assert!(!accepts(&nested(DEPTH_MAX)));
        }
        let wide = format!(r#"{{"x":[{}[]]}}"#, r#"[],{},[1],{"x":1},"#.repeat(1000));
        assert!(accepts(&wide));
        for opening in ["[", r#"{"x":"#] {
            assert!(!accepts(&format!(r#"{{"x":{}"#, opening.repeat(200_000))));
        }
    }

    /// Any JSON value of another reader's making, without repeated names.
    struct Strict;

    impl<'de> Deserialize<'de> for Strict {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
            deserializer.deserialize_any(Strict)
        }
    }

    impl<'de> Visitor<'de> for Strict {
        type Value = Strict;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("JSON without repeated names")
        }
        fn visit_unit<E>(self) -> Result<Strict, E> {
            Ok(Strict)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
            Ok(Strict)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
            Ok(Strict)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
            Ok(Strict)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
            Ok(Strict)
        }
        fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
            Ok(Strict)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
            while items.next_element::<Strict>()?.is_some() {}
            Ok(Strict)
        }
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
            let mut names = HashSet::new();
            while let Some((name, Strict)) = members.next_entry::<String, Strict>()? {
                if !names.insert(name) {
                    return Err(A::Error::custom("repeated name"));
                }
            }
            Ok(Strict)
        }
    }

    /// None: the other reader gives no answer, for it refuses numbers too large for a double.
    fn other_reader_accepts(record: &str) -> Option<bool> {
        match serde_json::from_str::<Strict>(record) {
            Ok(Strict) => Some(record.trim_start().starts_with('{')),
            Err(error) if error.to_string().starts_with("number out of range") => None,
            Err(_) => Some(false),
        }
    }

    /// An object of few distinct names, so that some repeat.
    fn objects() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "null|true|false|-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
            "\"([ -!#-\\[\\]-~é🚀]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-fA-F]{2}|\\\\ud83d\\\\ude80|\\\\ud83d){0,9}\"",
        ];
        let space = "[ \t\r\n]{0,1}";
        let name = "\"(a|b|c|d|\\\\u006[1-4]|[e-z]{0,12})\"";
        let value = leaf.prop_recursive(6, 40, 5, move |inner| {
            let item = (space, inner.clone(), space)
                .prop_map(|(before, item, after)| before + &item + &after);
            let member = (space, name, space, item.clone())
                .prop_map(|(a, name, b, item)| a + &name + &b + ":" + &item);
            prop_oneof![
                prop::collection::vec(item, 0..5)
                    .prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(member, 0..5)
                    .prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        });
        prop::collection::vec((name, value), 0..4).prop_map(|members| {
            let members: Vec<String> = members
                .into_iter()
                .map(|(name, value)| name + ":" + &value)
                .collect();
            format!("{{{}}}", members.join(","))
        })
    }

    /// A string with some of its characters taken out or replaced.
    fn damaged(text: &str, damages: &[(prop::sample::Index, Option<char>)]) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        for (place, replacement) in damages {
            let place = place.index(characters.len() + 1);
            let end = characters.len().min(place + 1);
            characters.splice(place..end, *replacement);
        }
        characters.into_iter().collect()
    }

    fn damages() -> impl Strategy<Value = Vec<(prop::sample::Index, Option<char>)>> {
        let character = prop::sample::select(
            r#"{}[]",:\ud8a0019eE+-. tfn"#.chars().chain(['\n', '\0', 'é']).collect::<Vec<_>>(),
        );
        prop::collection::vec(
            (any::<prop::sample::Index>(), prop::option::of(character)),
            0..4,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn accepts_what_another_strict_reader_accepts(record in objects(), damages in damages()) {
            for record in [damaged(&record, &damages), record] {
                if let Some(expected) = other_reader_accepts(&record) {
                    prop_assert_eq!(accepts(&record), expected, "{}", record);
                }
            }
        }

        #[test]
        fn strings_say_what_another_reader_says(string in "\"([ -!#-\\[\\]-~é🚀]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}){0,20}\"") {
            let record = format!(r#"{{"x":{string}}}"#);
            match serde_json::from_str::<String>(&string) {
                Ok(text) => prop_assert_eq!(member(&record).text(&record), Some(text.into())),
                Err(_) => prop_assert!(!accepts(&record)),
            }
        }

        #[test]
        fn no_text_makes_it_panic(record: String) {
            accepts(&record);
            accepts(&format!("{{{record}"));
        }
    }
}
