//! The fields of one datum, as [`fields`](crate::wire::fields) checks them.
//!
//! Avro gives the same values as JSON or the same fault; what Avro's encoding leaves no room for
//! (`specversion`, `data` as a member of its own) has no value here.

use std::borrow::Cow;

use super::cursor::Value;
use crate::billing::event::Fault;
use crate::billing::time::Instant;
use crate::wire::attributes::Attributes;
use crate::wire::fields::{self, Field, Fields, InputType};
use crate::wire::span::{Decoded, Span};

/// The fields of one datum, and where text goes.
pub(super) struct Reader<'a, 'side> {
    values: [Value<'a>; Field::COUNT],
    side: &'side mut String,
    /// Attributes that must be equal.
    beside: Option<&'side Attributes<'side>>,
    /// Of the record; empty for an unknown one, and until it is known.
    pub(super) type_name: &'static str,
}

impl<'a, 'side> Reader<'a, 'side> {
    pub fn new(
        side: &'side mut String,
        beside: Option<&'side Attributes<'side>>,
    ) -> Reader<'a, 'side> {
        Reader {
            values: [Value::Absent; Field::COUNT],
            side,
            beside,
            type_name: "",
        }
    }

    /// Checks the fields that were read, and those beside them. `body` is the record's type; None is
    /// an unknown one.
    pub fn decoded(&mut self, body: Option<(&'static str, InputType)>) -> Decoded {
        let (type_name, input_type) = body.unzip();
        self.type_name = type_name.unwrap_or_default();
        fields::decoded(self, input_type.ok_or(InputType::UNKNOWN))
    }

    pub fn value_mut(&mut self, field: Field) -> &mut Value<'a> {
        &mut self.values[field as usize]
    }

    const fn value(&self, field: Field) -> Value<'a> {
        self.values[field as usize]
    }

    pub fn str(&self, field: Field) -> Option<&'a str> {
        match self.value(field) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'a> Fields<'a> for Reader<'a, '_> {
    #[inline]
    fn is_absent(&self, field: Field) -> bool {
        matches!(self.value(field), Value::Absent)
    }

    fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        self.str(field).map(Cow::Borrowed)
    }

    fn span(&mut self, field: Field) -> Option<Span> {
        Some(Span::push_side(self.side, self.str(field)?))
    }

    fn integer(&self, field: Field) -> Option<i64> {
        match self.value(field) {
            Value::Integer(integer) => Some(integer),
            _ => None,
        }
    }

    fn boolean(&self, field: Field) -> Option<bool> {
        match self.value(field) {
            Value::Boolean(boolean) => Some(boolean),
            _ => None,
        }
    }

    fn instant(&self, field: Field) -> Option<Instant> {
        match self.value(field) {
            Value::Timestamp(millis) => {
                let range = Instant::EPOCH.millis()..Instant::END.millis();
                range
                    .contains(&millis)
                    .then_some(Instant::from_millis(millis))
            }
            Value::Text(text) => Instant::parse(text),
            _ => None,
        }
    }

    #[inline]
    fn check(&self, attribute: Field) -> Result<(), Fault> {
        match self.beside {
            Some(beside) if !self.agrees(beside, attribute) => Err(attribute.malformed()),
            _ => Ok(()),
        }
    }
}
