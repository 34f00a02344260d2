//! Attributes that stand beside a datum: each that is there says what the record says, or the record
//! is malformed with the attribute's name.
//!
//! Each is compared where the record's own is checked, so that the first fault of either is named.

use super::reader::{Field, Reader};
use crate::billing::event::Fault;
use crate::billing::time::Instant;
use crate::wire::attributes::Attributes;

/// How to find one attribute.
type Attribute = for<'a> fn(&Attributes<'a>) -> Option<&'a [u8]>;

impl Reader<'_, '_> {
    #[inline]
    pub fn agrees(
        &self,
        attribute: Attribute,
        detail: &'static str,
        is_same: impl FnOnce(&[u8]) -> bool,
    ) -> Result<(), Fault> {
        match self.beside.and_then(attribute) {
            Some(beside) if !is_same(beside) => Err(Fault::malformed(detail)),
            _ => Ok(()),
        }
    }

    pub fn text_agrees(&self, attribute: Attribute, field: Field) -> Result<(), Fault> {
        let text = self.text(self.field(field)).map(str::as_bytes);
        self.agrees(attribute, field.detail(), |beside| text == Some(beside))
    }

    pub fn instant_agrees(
        &self,
        attribute: Attribute,
        field: Field,
        instant: Instant,
    ) -> Result<(), Fault> {
        self.agrees(attribute, field.detail(), |beside| {
            let text = str::from_utf8(beside).ok();
            text.and_then(Instant::parse) == Some(instant)
        })
    }
}
