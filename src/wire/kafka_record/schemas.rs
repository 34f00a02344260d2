//! The writer schemas that a registry answered with, and the ids that it denied.
//!
//! Only what was learned is known: an id that was forgotten is simply wanted again.

use std::collections::BTreeMap;

use super::SchemaAnswer;
use crate::wire::avro::{Plan, SchemaError};

/// Most bytes of schema text that are kept; beyond it all are forgotten but the newest.
const TEXTS_BYTES_MAX: usize = 16 << 20;

/// Most denied ids that are kept; beyond it all are forgotten but the newest.
const DENIED_MAX: usize = 4_096;

#[derive(Default)]
pub(super) struct RegisteredSchemas {
    known: BTreeMap<u32, Known>,
    texts_bytes: usize,
    denied: usize,
}

pub(super) enum Known {
    Plan {
        text: String,
        plan: Box<Plan>,
    },
    /// A text that no event can be read by.
    Unreadable {
        text: String,
    },
    Denied,
}

impl RegisteredSchemas {
    pub fn get(&self, id: u32) -> Option<&Known> {
        self.known.get(&id)
    }

    pub fn text(&self, id: u32) -> Option<&str> {
        self.get(id)?.text()
    }

    pub fn learn(&mut self, id: u32, answer: SchemaAnswer) -> Result<(), SchemaError> {
        if let Some(forgotten) = self.known.remove(&id) {
            self.count(&forgotten, |count, by| count - by);
        }
        let (known, result) = match answer {
            SchemaAnswer::Denied => (Known::Denied, Ok(())),
            SchemaAnswer::Schema(text) => match Plan::of_schema(&text) {
                Ok(plan) => {
                    let plan = Box::new(plan);
                    (Known::Plan { text, plan }, Ok(()))
                }
                Err(error) => (Known::Unreadable { text }, Err(error)),
            },
        };
        self.count(&known, |count, by| count + by);
        if self.texts_bytes > TEXTS_BYTES_MAX || self.denied > DENIED_MAX {
            *self = RegisteredSchemas::default();
            self.count(&known, |count, by| count + by);
        }
        self.known.insert(id, known);
        result
    }

    fn count(&mut self, known: &Known, change: impl Fn(usize, usize) -> usize) {
        match known.text() {
            Some(text) => self.texts_bytes = change(self.texts_bytes, text.len()),
            None => self.denied = change(self.denied, 1),
        }
    }
}

impl Known {
    fn text(&self) -> Option<&str> {
        match self {
            Known::Plan { text, .. } | Known::Unreadable { text } => Some(text),
            Known::Denied => None,
        }
    }
}
