//! CloudEvents attributes that stand in the headers of a Kafka record, `ce_id` and so on
//! (`interfaces.md` 1).
//!
//! Under binary mode they are the envelope ([`cloudevents`](super::cloudevents)); beside an Avro
//! record, which holds its own, they must agree with it ([`avro`](super::avro)).

/// The known attributes as they came; None: no such header, or a null one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    pub specversion: Option<&'a [u8]>,
    pub id: Option<&'a [u8]>,
    pub source: Option<&'a [u8]>,
    pub type_name: Option<&'a [u8]>,
    pub subject: Option<&'a [u8]>,
    pub time: Option<&'a [u8]>,
    pub recordedtime: Option<&'a [u8]>,
}

/// What the names of headers begin with.
const PREFIX: &[u8] = b"ce_";

/// An attribute stands in more than one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

impl<'a> Attributes<'a> {
    /// Takes a header in if it is a known attribute; others are ignored.
    pub fn take(&mut self, name: &[u8], value: Option<&'a [u8]>) -> Result<(), Repeated> {
        let Some(name) = name.strip_prefix(PREFIX) else {
            return Ok(());
        };
        let attribute = match name {
            b"specversion" => &mut self.specversion,
            b"id" => &mut self.id,
            b"source" => &mut self.source,
            b"type" => &mut self.type_name,
            b"subject" => &mut self.subject,
            b"time" => &mut self.time,
            b"recordedtime" => &mut self.recordedtime,
            _ => return Ok(()),
        };
        match (&attribute, value) {
            (_, None) => Ok(()),
            (Some(_), Some(_)) => Err(Repeated),
            (None, value) => {
                *attribute = value;
                Ok(())
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Attributes::default()
    }
}
