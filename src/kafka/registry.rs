//! Client of a schema registry that speaks Confluent's protocol (`interfaces.md` 1).
//!
//! Schemas are asked for by id on a thread of their own, since a registry may be slow or away: the
//! worker asks, goes on with what it can, and looks for answers between polls. Only an answer that
//! the registry itself gave counts. An id is [denied](SchemaAnswer::Denied) when it says so in its
//! own words; whatever else comes back, or does not, is asked again for ever, and [`RegistryState`]
//! says why it is waited for. No address found in data is ever followed.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use crate::config::Secret;
use crate::telemetry::Telemetry;
use crate::telemetry::labels::{ErrorClass, SchemaFetch, Step};
use crate::wire::avro::SCHEMA_BYTES_MAX;
use crate::wire::kafka_record::SchemaAnswer;
use crate::wire::trace::base64;

/// Most bytes of an answer: a schema of the largest size with every character escaped, and room.
const ANSWER_BYTES_MAX: usize = 8 * SCHEMA_BYTES_MAX;

/// Most characters of a registry's own words in an error.
const MESSAGE_SHOWN_MAX: usize = 200;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The first wait before an id is asked for again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Error codes of the protocol.
const SUBJECT_NOT_FOUND: u64 = 40_401;
const SCHEMA_NOT_FOUND: u64 = 40_403;

/// Where the registry is and who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAccess {
    pub url: String,
    pub username: Option<String>,
    /// Read at each request, so that a new password is taken up.
    pub password_file: Option<PathBuf>,
}

/// Asks for schemas by id without waiting. Its thread ends when this is dropped.
pub struct RegistryClient {
    asks: Sender<u32>,
    answers: Receiver<(u32, SchemaAnswer)>,
    /// Asked for and not yet answered.
    asked: BTreeSet<u32>,
    state: Arc<Mutex<RegistryState>>,
}

/// What the client is about, for metrics and status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryState {
    /// Nothing is wanted.
    Idle,
    /// A first request is under way.
    Asking,
    /// Requests fail; they are repeated until they do not.
    Waiting { failures: u64, reason: String },
}

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error("schema registry {url}: {reason}; is it up, and is registry.url right?")]
    Unreachable { url: String, reason: String },
    #[error(
        "schema registry {url}: HTTP {status} to registry.username; check registry.password_file"
    )]
    NotAuthorised { url: String, status: u16 },
    #[error("schema registry: {0}")]
    Password(String),
    /// The registry answered, and said no.
    #[error("schema registry {url}: {message} (HTTP {status}, code {code})")]
    Refused {
        url: String,
        status: u16,
        code: u64,
        message: String,
    },
}

impl RegistryClient {
    pub fn start(access: RegistryAccess, telemetry: Telemetry) -> io::Result<RegistryClient> {
        let (asks, asks_received) = mpsc::channel();
        let (answers_sent, answers) = mpsc::channel();
        let state = Arc::new(Mutex::new(RegistryState::Idle));
        let asker = Asker {
            registry: Registry::new(access),
            asks: asks_received,
            answers: answers_sent,
            state: Arc::clone(&state),
            wanted: VecDeque::new(),
            telemetry,
        };
        thread::Builder::new()
            .name("schema-registry".into())
            .spawn(|| asker.run())?;
        Ok(RegistryClient {
            asks,
            answers,
            asked: BTreeSet::new(),
            state,
        })
    }

    /// Wants the schema of `id`; one that is asked for already is not asked for twice.
    pub fn ask(&mut self, id: u32) {
        if self.asked.insert(id) {
            // The thread ends only after this sender did, or in a panic that ends the process.
            let _ = self.asks.send(id);
        }
    }

    /// What came back since the last call.
    pub fn answers(&mut self) -> impl Iterator<Item = (u32, SchemaAnswer)> {
        let asked = &mut self.asked;
        self.answers.try_iter().inspect(|(id, _)| {
            asked.remove(id);
        })
    }

    pub fn state(&self) -> RegistryState {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }
}

/// Id of `schema` under `subject`. With `may_register` it is registered if it is not there, else that
/// is refused. Waits, at most for one request.
pub fn schema_id(
    access: &RegistryAccess,
    subject: &str,
    schema: &str,
    may_register: bool,
) -> Result<u32, RegistryError> {
    let registry = Registry::new(access.clone());
    let versions = if may_register { "/versions" } else { "" };
    let path = format!("/subjects/{}{versions}", escaped(subject));
    let answer = registry.post(&path, &json!({ "schema": schema }).to_string())?;
    let json = registry.accepted(&answer)?;
    let id = json["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| registry.unreachable("its answer has no id"))
}

/// The thread's side.
struct Asker {
    registry: Registry,
    asks: Receiver<u32>,
    answers: Sender<(u32, SchemaAnswer)>,
    state: Arc<Mutex<RegistryState>>,
    wanted: VecDeque<u32>,
    telemetry: Telemetry,
}

/// Whoever asked is gone.
struct Gone;

impl Asker {
    fn run(mut self) {
        let mut failures = 0;
        loop {
            let Ok(id) = self.next_wanted() else {
                return;
            };
            if failures == 0 {
                self.set_state(RegistryState::Asking);
            }
            let began = Instant::now();
            let result = self.registry.schema(id);
            self.count(&result, began.elapsed());
            match result {
                Ok(answer) => {
                    failures = 0;
                    // The state first: who has the answer does not read that it is waited for.
                    self.set_state(RegistryState::Idle);
                    if self.answers.send((id, answer)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    failures += 1;
                    // Others have their turn: one id may fail where others do not.
                    self.wanted.push_back(id);
                    self.set_state(RegistryState::Waiting {
                        failures,
                        reason: error.to_string(),
                    });
                    if self.wait(failures).is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes in what was asked; waits only where nothing is wanted.
    fn next_wanted(&mut self) -> Result<u32, Gone> {
        loop {
            match self.asks.try_recv() {
                Ok(id) => self.wanted.push_back(id),
                Err(TryRecvError::Disconnected) => return Err(Gone),
                Err(TryRecvError::Empty) => match self.wanted.pop_front() {
                    Some(id) => return Ok(id),
                    None => self.wanted.push_back(self.asks.recv().map_err(|_| Gone)?),
                },
            }
        }
    }

    fn wait(&mut self, failures: u64) -> Result<(), Gone> {
        let end = Instant::now() + wait_after(failures);
        loop {
            match self.asks.recv_timeout(end - Instant::now().min(end)) {
                Ok(id) => self.wanted.push_back(id),
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(Gone),
            }
        }
    }

    fn count(&self, result: &Result<SchemaAnswer, RegistryError>, time: Duration) {
        let fetch = match result {
            Ok(SchemaAnswer::Schema(_)) => SchemaFetch::Found,
            Ok(SchemaAnswer::Denied) => SchemaFetch::Unknown,
            Err(_) => SchemaFetch::Failed,
        };
        self.telemetry.schema_fetch(fetch, time);
        if let Err(RegistryError::NotAuthorised { .. }) = result {
            self.telemetry.error(Step::Decode, ErrorClass::Auth);
        }
    }

    fn set_state(&self, state: RegistryState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

fn wait_after(failures: u64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).map_or(16, |count| count.min(16));
    (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT)
}

/// One registry and the connections to it.
struct Registry {
    access: RegistryAccess,
    agent: Agent,
}

/// Status and body of an answer, whatever the status.
struct Answer {
    status: u16,
    /// None: longer than what is read.
    body: Option<Vec<u8>>,
}

impl Registry {
    fn new(access: RegistryAccess) -> Registry {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Registry {
            access,
            agent: config.into(),
        }
    }

    /// What the registry says of an id. An error says nothing of it.
    fn schema(&self, id: u32) -> Result<SchemaAnswer, RegistryError> {
        let answer = self.get(&format!("/schemas/ids/{id}"))?;
        let json = match self.accepted(&answer) {
            Ok(json) => json,
            Err(RegistryError::Refused { code, .. })
                if (SUBJECT_NOT_FOUND..=SCHEMA_NOT_FOUND).contains(&code) =>
            {
                return Ok(SchemaAnswer::Denied);
            }
            // A text that is no schema: it cannot be read by, and the journal says why.
            Err(_) if answer.status == 200 && answer.body.is_none() => {
                let text = format!("a schema of more than {ANSWER_BYTES_MAX} bytes");
                return Ok(SchemaAnswer::Schema(text));
            }
            Err(error) => return Err(error),
        };
        match json["schema"].as_str() {
            Some(text) if text.len() > SCHEMA_BYTES_MAX => {
                let text = format!("a schema of {} bytes", text.len());
                Ok(SchemaAnswer::Schema(text))
            }
            Some(text) => Ok(SchemaAnswer::Schema(text.to_owned())),
            None => Err(self.unreachable("its answer has no schema")),
        }
    }

    fn get(&self, path: &str) -> Result<Answer, RegistryError> {
        let mut request = self
            .agent
            .get(self.address(path))
            .header("accept", MEDIA_TYPE);
        if let Some(credentials) = self.credentials()? {
            request = request.header("authorization", credentials);
        }
        self.read(request.call())
    }

    fn post(&self, path: &str, body: &str) -> Result<Answer, RegistryError> {
        let request = self
            .agent
            .post(self.address(path))
            .header("accept", MEDIA_TYPE);
        let mut request = request.header("content-type", MEDIA_TYPE);
        if let Some(credentials) = self.credentials()? {
            request = request.header("authorization", credentials);
        }
        self.read(request.send(body))
    }

    fn read(
        &self,
        response: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, RegistryError> {
        let mut response = response.map_err(|error| self.unreachable(error))?;
        let limit = ANSWER_BYTES_MAX as u64;
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        let body = match body {
            Ok(body) => Some(body),
            Err(ureq::Error::BodyExceedsLimit(_)) => None,
            Err(error) => return Err(self.unreachable(error)),
        };
        Ok(Answer {
            status: response.status().as_u16(),
            body,
        })
    }

    /// The JSON of an answer that grants what was asked for.
    fn accepted(&self, answer: &Answer) -> Result<Value, RegistryError> {
        let status = answer.status;
        let json = serde_json::from_slice(answer.body.as_deref().unwrap_or_default());
        let json: Value = json.unwrap_or_default();
        match status {
            200 if !json.is_null() => Ok(json),
            401 | 403 => Err(RegistryError::NotAuthorised {
                url: self.access.url.clone(),
                status,
            }),
            // Words of the registry itself; a page of something else in front of it has no code.
            400..500 if json["error_code"].is_u64() => Err(RegistryError::Refused {
                url: self.access.url.clone(),
                status,
                code: json["error_code"].as_u64().unwrap_or_default(),
                message: shown(json["message"].as_str().unwrap_or("no message")),
            }),
            200 => Err(self.unreachable("it answers, but not as a schema registry does")),
            _ => Err(self.unreachable(format!("HTTP {status}"))),
        }
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.access.url.trim_end_matches('/'))
    }

    fn credentials(&self) -> Result<Option<String>, RegistryError> {
        let Some(username) = &self.access.username else {
            return Ok(None);
        };
        let file = self.access.password_file.as_deref();
        let password = file.map(Secret::read).transpose();
        let password = password.map_err(RegistryError::Password)?;
        let password = password.as_ref().map_or("", Secret::reveal);
        let credentials = base64(format!("{username}:{password}").as_bytes());
        Ok(Some(format!("Basic {credentials}")))
    }

    fn unreachable(&self, reason: impl ToString) -> RegistryError {
        RegistryError::Unreachable {
            url: self.access.url.clone(),
            reason: shown(&reason.to_string()),
        }
    }
}

/// A name as one segment of a path.
fn escaped(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    name.bytes().map(escape).collect()
}

/// Words of somebody else, on one line and cut.
fn shown(text: &str) -> String {
    let on_a_line = text.chars().map(|letter| match letter.is_control() {
        true => ' ',
        false => letter,
    });
    on_a_line.take(MESSAGE_SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests;
