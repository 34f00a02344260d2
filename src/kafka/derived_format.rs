//! How a derived event becomes a message: CloudEvents JSON in structured mode, or Avro in binary
//! mode.

use std::borrow::Cow;

use rdkafka::message::{Header, OwnedHeaders};

use crate::billing::derived_event::DerivedKind;
use crate::config::{Config, OutputFormat};
use crate::ports::StagedDerived;
use crate::wire::avro::derived_schema;
use crate::wire::derived_avro::{DerivedEncoder, Framing};

use super::registry::{self, RegistryError};
use super::schemata;

/// The wire format of derived events.
#[derive(Clone)]
pub enum DerivedFormat {
    Json,
    /// How each kind names its schema.
    Avro(Vec<(DerivedKind, Framing)>),
}

impl DerivedFormat {
    /// The configured format. With a registry, Avro values name the ids that it has for our
    /// schemas; they are registered only where that is asked for. Waits for its answers.
    pub fn of(config: &Config) -> Result<DerivedFormat, RegistryError> {
        if config.output.format == OutputFormat::Json {
            return Ok(DerivedFormat::Json);
        }
        let mut framings = Vec::new();
        for (kind, topic) in DerivedKind::ALL.into_iter().zip(config.topics.derived()) {
            let framing = match &config.registry {
                None => Framing::SingleObject,
                Some(found) => Framing::Registered(registry::schema_id(
                    &schemata::access(found),
                    &format!("{topic}-value"),
                    derived_schema(kind),
                    found.register,
                )?),
            };
            framings.push((kind, framing));
        }
        Ok(DerivedFormat::Avro(framings))
    }
}

/// Makes messages of one worker.
pub struct DerivedWriter {
    format: DerivedFormat,
    encoder: DerivedEncoder,
}

impl DerivedWriter {
    pub fn new(format: DerivedFormat) -> DerivedWriter {
        DerivedWriter {
            format,
            encoder: DerivedEncoder::built_in(),
        }
    }

    /// Value and headers.
    pub fn message<'e>(&self, event: &'e StagedDerived) -> (Cow<'e, [u8]>, OwnedHeaders) {
        let DerivedFormat::Avro(framings) = &self.format else {
            let headers = OwnedHeaders::new().insert(Header {
                key: "content-type",
                value: Some("application/cloudevents+json"),
            });
            return (Cow::Borrowed(&event.json), headers);
        };
        let framing = framings.iter().find(|(kind, _)| *kind == event.kind);
        let Some((kind, framing)) = framing else {
            unreachable!("every kind has a framing")
        };
        let avro = match self.encoder.encode(*kind, *framing, &event.json) {
            Ok(avro) => avro,
            Err(fault) => unreachable!("this process wrote the event: {fault}"),
        };
        let headers = avro
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            });
        (Cow::Owned(avro.value), headers)
    }
}
