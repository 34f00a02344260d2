//! One real schema registry: `.ci/registry/server` under a guard.

use std::ops::Deref;

use serde_json::{Value, json};

use super::guard::Guard;

pub struct Registry {
    url: String,
    guard: Guard,
}

impl Registry {
    pub fn start() -> Registry {
        let guard = Guard::new(".ci/registry/server", &[]);
        guard.start();
        Registry {
            url: guard.line("url"),
            guard,
        }
    }

    /// Under which it speaks Confluent's protocol.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Registers an Avro schema under a subject and returns its id.
    pub fn register(&self, subject: &str, schema: &str) -> u32 {
        let url = format!("{}/subjects/{subject}/versions", self.url);
        let mut answer = ureq::post(&url)
            .header("content-type", "application/vnd.schemaregistry.v1+json")
            .send(json!({ "schema": schema }).to_string())
            .unwrap_or_else(|error| panic!("register {subject}: {error}"));
        let text = answer.body_mut().read_to_string().expect("an answer");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let id = answer["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        id.unwrap_or_else(|| panic!("register {subject}: {text}"))
    }
}

impl Deref for Registry {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}
