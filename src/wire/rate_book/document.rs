//! The JSON document of a rate book, strictly read: a tree that keeps what `serde_json::Value`
//! forgets (repeated member names, integers as written) and knows which members are comments.
//!
//! It refuses text that is not JSON, a member name that stands twice and a number with a fraction
//! or an exponent; what the members mean is the business of its callers, `rate_book.rs` (reading)
//! and `compare.rs` (old book against new).

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{BOOK_BYTES_MAX, BookFaults, Fault};

/// Members that say something to people only, wherever they stand (`fold.md` 2).
const COMMENTS: [&str; 2] = ["notice", "source"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Integer(i128),
    /// A number with a fraction or an exponent. Only comments may hold one, so its value is not kept.
    Fraction,
    Text(String),
    List(Vec<Json>),
    /// In the order of the text.
    Object(Vec<(String, Json)>),
}

/// Where a value stands: a path such as `cards[3].meters[2].unit`, and the ids of the things on
/// the way there that have one.
#[derive(Clone, Debug, Default)]
pub struct Place {
    path: String,
    /// `card aps-2025-12`, `meter rc` and the like, outermost first.
    names: Vec<String>,
    /// Name of the member that was entered last.
    member: String,
}

/// The document of a book, sound in its form; else every fault of form.
pub fn read(text: &[u8]) -> Result<Json, BookFaults> {
    let refuse = |place: &str, problem: String| {
        BookFaults(vec![Fault {
            place: place.to_owned(),
            problem,
        }])
    };
    if text.len() > BOOK_BYTES_MAX {
        let problem = format!("{} bytes; a book has at most {BOOK_BYTES_MAX}", text.len());
        return Err(refuse("book", problem));
    }
    let document: Json = serde_json::from_slice(text)
        .map_err(|error| refuse("book", format!("not JSON: {error}; repair the text there")))?;
    let mut faults = Vec::new();
    find_faults_of_form(&document, &Place::default(), false, &mut faults);
    if faults.is_empty() {
        Ok(document)
    } else {
        Err(BookFaults(faults))
    }
}

pub fn is_comment(member: &str) -> bool {
    COMMENTS.contains(&member)
}

impl Json {
    /// What it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Integer(_) => "an integer",
            Json::Fraction => "a number with a fraction or an exponent",
            Json::Text(_) => "a string",
            Json::List(_) => "a list",
            Json::Object(_) => "an object",
        }
    }

    /// The member of that name, if this is an object that has it.
    pub fn member(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members
                .iter()
                .find(|(member, _)| member == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The same without comments and with members sorted by name: what a book says, however it is
    /// laid out.
    pub fn canonical(self) -> Json {
        match self {
            Json::List(items) => Json::List(items.into_iter().map(Json::canonical).collect()),
            Json::Object(members) => {
                let mut members: Vec<_> = members
                    .into_iter()
                    .filter(|(name, _)| !is_comment(name))
                    .map(|(name, value)| (name, value.canonical()))
                    .collect();
                members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
                Json::Object(members)
            }
            value => value,
        }
    }
}

impl Place {
    pub fn member(&self, name: &str) -> Place {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let path = match self.path.as_str() {
            path if name.is_empty() || !name.bytes().all(plain) => format!("{path}[{name:?}]"),
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        Place {
            path,
            names: self.names.clone(),
            member: name.to_owned(),
        }
    }

    /// An item of the list that stands here, with the id that it carries.
    pub fn item(&self, index: usize, item: &Json) -> Place {
        let mut names = self.names.clone();
        let (kind, id) = match self.member.as_str() {
            "cards" => ("card", item.member("id")),
            "meters" => ("meter", item.member("id")),
            "credit_channels" => ("channel", item.member("channel")),
            _ => ("", None),
        };
        if let Some(Json::Text(id)) = id {
            names.push(format!("{kind} {}", id.escape_debug()));
        }
        Place {
            path: format!("{}[{index}]", self.path),
            names,
            member: String::new(),
        }
    }

    pub fn fault(&self, problem: impl Into<String>) -> Fault {
        Fault {
            place: self.to_string(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.path.is_empty() {
            "book"
        } else {
            &self.path
        })?;
        if !self.names.is_empty() {
            write!(f, " ({})", self.names.join(", "))?;
        }
        Ok(())
    }
}

/// Compact JSON.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Integer(value) => write!(f, "{value}"),
            // Reached in a comment only; no number reads like this, so none is confused with it.
            Json::Fraction => f.write_str("fraction"),
            Json::Text(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
            Json::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Json::Object(members) => {
                f.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(
                        f,
                        "{comma}{}:{value}",
                        serde_json::Value::from(name.as_str())
                    )?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Fraction)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

/// Names that stand twice in an object, and numbers that are no integers outside comments.
fn find_faults_of_form(json: &Json, place: &Place, in_comment: bool, faults: &mut Vec<Fault>) {
    match json {
        Json::Fraction if !in_comment => faults.push(place.fault(
            "a number with a fraction, an exponent or over 64 bits; \
             write integers plainly and decimals as strings",
        )),
        Json::List(items) => {
            for (index, item) in items.iter().enumerate() {
                find_faults_of_form(item, &place.item(index, item), in_comment, faults);
            }
        }
        Json::Object(members) => {
            let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            let mut repeated: Vec<&str> = names
                .windows(2)
                .filter(|pair| pair[0] == pair[1])
                .map(|pair| pair[0])
                .collect();
            repeated.dedup();
            for name in repeated {
                faults.push(
                    place
                        .member(name)
                        .fault("this name stands twice; keep one of them"),
                );
            }
            for (name, value) in members {
                let in_comment = in_comment || is_comment(name);
                find_faults_of_form(value, &place.member(name), in_comment, faults);
            }
        }
        _ => {}
    }
}
