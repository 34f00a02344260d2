//! How a derived event becomes a message: CloudEvents JSON in structured mode.

use std::borrow::Cow;

use rdkafka::message::{Header, OwnedHeaders};

use crate::ports::StagedDerived;

/// The wire format of derived events.
pub enum DerivedFormat {
    Json,
}

impl DerivedFormat {
    /// Value and headers.
    pub fn message<'e>(&self, event: &'e StagedDerived) -> (Cow<'e, [u8]>, OwnedHeaders) {
        let headers = OwnedHeaders::new().insert(Header {
            key: "content-type",
            value: Some("application/cloudevents+json"),
        });
        (Cow::Borrowed(&event.json), headers)
    }
}
