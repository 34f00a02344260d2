//! Writer schemas by id: asked of the registry once for a worker, then told to the decoders of all
//! its partitions, those that come later too.

use std::collections::BTreeMap;

use crate::config::Registry;
use crate::ports::log::LogError;
use crate::telemetry::Telemetry;
use crate::wire::kafka_record::{RecordDecoder, SchemaAnswer};

use super::registry::{RegistryAccess, RegistryClient, RegistryState};

pub struct Schemata {
    /// None: no registry is configured.
    client: Option<RegistryClient>,
    known: BTreeMap<u32, SchemaAnswer>,
    telemetry: Telemetry,
}

impl Schemata {
    pub fn new(registry: Option<&Registry>, telemetry: &Telemetry) -> Result<Schemata, LogError> {
        let start = |registry| RegistryClient::start(access(registry), telemetry.clone());
        let client = registry.map(start);
        let failed = |error| LogError::Failed(format!("thread of the schema registry: {error}"));
        Ok(Schemata {
            client: client.transpose().map_err(failed)?,
            known: BTreeMap::new(),
            telemetry: telemetry.clone(),
        })
    }

    /// Asks for a schema. Returns why its records wait meanwhile.
    pub fn ask(&mut self, id: u32) -> String {
        let Some(client) = &mut self.client else {
            return format!(
                "a record names writer schema {id}, and registry.url is not set: set it"
            );
        };
        client.ask(id);
        match client.state() {
            RegistryState::Waiting { reason, .. } => {
                format!("writer schema {id} is not known, and the registry fails: {reason}")
            }
            _ => format!("writer schema {id} was asked of the registry"),
        }
    }

    /// Tells what the registry answered since the last call to `decoders`.
    pub fn answers<'a>(&mut self, decoders: impl Iterator<Item = &'a mut RecordDecoder>) {
        let Some(client) = &mut self.client else {
            return;
        };
        let answers: Vec<(u32, SchemaAnswer)> = client.answers().collect();
        if answers.is_empty() {
            return;
        }
        for decoder in decoders {
            answers
                .iter()
                .for_each(|(id, answer)| teach(decoder, *id, answer));
        }
        self.telemetry.schemas_cached(answers.len() as i64);
        self.known.extend(answers);
    }

    /// Tells a new decoder all that is known.
    pub fn teach(&self, decoder: &mut RecordDecoder) {
        self.known
            .iter()
            .for_each(|(id, answer)| teach(decoder, *id, answer));
    }
}

impl Drop for Schemata {
    fn drop(&mut self) {
        self.telemetry.schemas_cached(-(self.known.len() as i64));
    }
}

pub fn access(registry: &Registry) -> RegistryAccess {
    RegistryAccess {
        url: registry.url.clone(),
        username: registry.username.clone(),
        password_file: registry.password_file.clone(),
    }
}

fn teach(decoder: &mut RecordDecoder, id: u32, answer: &SchemaAnswer) {
    if let Err(error) = decoder.learn(id, answer.clone()) {
        tracing::warn!(
            event = "schema_unusable",
            id,
            "writer schema {id} cannot be read by: {error}; its records are dead letters"
        );
    }
}
