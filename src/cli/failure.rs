//! How a command fails: its exit code and what standard error says (`interfaces.md` 4).
//!
//! Commands return a [`Failure`]; `main` prints it and exits with its code. A message names the
//! thing, the place and the remedy in one line; only an invalid book or configuration has several
//! lines, one a fault.

use std::fmt;

use crate::billing::time::Instant;
use crate::files::archive::ArchiveError;
use crate::kafka::log::wall_millis;
use crate::kafka::registry::RegistryError;
use crate::ports::evidence::EvidenceError;
use crate::ports::log::LogError;
use crate::telemetry::log::{FAILED, LogFormat};
use crate::wire::object::Object;

/// Every exit code but 0. The documents say the same of each (`tests/tidy.rs`).
pub const CODES: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130, 143];

#[derive(Debug)]
pub struct Failure {
    /// Exit code of the process.
    pub code: u8,
    pub message: String,
}

impl Failure {
    /// 1: something failed while running.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::new(1, message)
    }

    /// 2: bad usage, or an input that cannot be read.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(2, message)
    }

    /// 3: compared and found different.
    pub fn different(message: impl Into<String>) -> Failure {
        Failure::new(3, message)
    }

    /// 4: configuration, schema or rate book invalid.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(4, message)
    }

    /// 7: local state unusable.
    pub fn state(message: impl Into<String>) -> Failure {
        Failure::new(7, message)
    }

    /// 10: refused by a guard rail.
    pub fn guard_rail(message: impl Into<String>) -> Failure {
        Failure::new(10, message)
    }

    /// Any other code of `interfaces.md` 4.
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        debug_assert!(CODES.contains(&code), "{code} is in no document");
        Failure {
            code,
            message: message.into(),
        }
    }

    /// What standard error is told: the message, or a line as the log has them.
    pub fn shown(&self, format: LogFormat) -> String {
        if format == LogFormat::Text {
            return self.message.clone();
        }
        let mut line = Vec::new();
        let mut object = Object::begin(&mut line);
        object.quoted("ts", Instant::from_millis(wall_millis()));
        object.string("level", "error");
        object.string("event", FAILED);
        object.string("msg", &self.message);
        object.literal("exit_code", self.code);
        object.end();
        String::from_utf8_lossy(&line).into_owned()
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Failure {
        let code = match &error {
            LogError::Fenced(_) | LogError::Replaced(_) | LogError::Unreleased(_) => 8,
            LogError::Denied(_) => 6,
            LogError::Invalid(_) => 4,
            LogError::Failed(_) => 1,
        };
        Failure::new(code, error.to_string())
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Failure {
        let code = match &error {
            ArchiveError::Damaged { .. } => 3,
            ArchiveError::Location(_) => 2,
            ArchiveError::Foreign(_) => 4,
            ArchiveError::Late(_) => 10,
            ArchiveError::Io { .. } => 1,
            ArchiveError::Evidence(error) => return error.clone().into(),
        };
        Failure::new(code, error.to_string())
    }
}

impl From<EvidenceError> for Failure {
    fn from(error: EvidenceError) -> Failure {
        let code = match &error {
            EvidenceError::Damaged(_) => 3,
            EvidenceError::Unreachable(_) => 5,
            EvidenceError::Denied(_) => 6,
            EvidenceError::Failed(_) => 1,
        };
        Failure::new(code, error.to_string())
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        let code = match &error {
            RegistryError::Unreachable { .. } => 5,
            RegistryError::NotAuthorised { .. } => 6,
            RegistryError::Password(_) | RegistryError::Refused { .. } => 4,
        };
        Failure::new(code, error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
