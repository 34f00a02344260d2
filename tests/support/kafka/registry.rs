//! One real schema registry: `.ci/registry/server` under a guard.

use std::sync::{Mutex, MutexGuard};

use serde_json::{Value, json};

use super::guard::Guard;

pub struct Registry {
    url: String,
    guard: Mutex<Guard>,
}

impl Registry {
    pub fn start() -> Registry {
        let mut guard = Guard::new(".ci/registry/server", &[]);
        guard.order("start");
        Registry {
            url: guard.line("url"),
            guard: Mutex::new(guard),
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

    /// In good order; its schemas stay.
    pub fn stop(&self) {
        self.guard().order("stop");
    }

    pub fn kill9(&self) {
        self.guard().order("kill");
    }

    /// Whether it runs or not, it comes back at the same address with its schemas.
    pub fn restart(&self) {
        self.stop();
        self.guard().order("start");
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.guard().order("pause");
    }

    pub fn resume(&self) {
        self.guard().order("resume");
    }

    fn guard(&self) -> MutexGuard<'_, Guard> {
        self.guard.lock().expect("an earlier order failed")
    }
}
