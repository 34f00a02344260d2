//! Attributes that stand beside a datum: each that is there says what the record says, or the record
//! is malformed with the attribute's name.
//!
//! Each is compared where the record's own is checked, so that the first fault of either is named.

use super::reader::Reader;
use crate::billing::time::Instant;
use crate::wire::attributes::Attributes;
use crate::wire::fields::{Field, Fields};

impl Reader<'_, '_> {
    pub fn agrees(&self, beside: &Attributes<'_>, attribute: Field) -> bool {
        let Attributes {
            specversion,
            id,
            source,
            type_name,
            subject,
            time,
            recordedtime,
        } = *beside;
        let text = |beside: Option<&[u8]>, text: Option<&str>| {
            beside.is_none_or(|beside| text.map(str::as_bytes) == Some(beside))
        };
        let instant = |beside: Option<&[u8]>, instant: Option<Instant>| {
            let parsed = |beside| str::from_utf8(beside).ok().and_then(Instant::parse);
            beside.is_none_or(|beside| parsed(beside).is_some_and(|it| Some(it) == instant))
        };
        match attribute {
            Field::SpecVersion => text(specversion, Some("1.0")),
            Field::Id => text(id, self.str(attribute)),
            Field::Source => text(source, self.str(attribute)),
            Field::Type => text(type_name, Some(self.type_name)),
            Field::Subject => text(subject, self.str(attribute)),
            Field::Time => instant(time, self.instant(attribute)),
            Field::RecordedTime if self.is_absent(attribute) => {
                instant(recordedtime, self.instant(Field::Time))
            }
            Field::RecordedTime => instant(recordedtime, self.instant(attribute)),
            _ => true,
        }
    }
}
