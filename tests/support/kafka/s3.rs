//! One real S3 server: `.ci/s3/server` under a guard.

use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::guard::Guard;

/// What the server knows of a key.
pub const SECRET: &str = "test-secret";

pub struct S3 {
    url: String,
    guard: Guard,
}

impl S3 {
    pub fn start() -> S3 {
        let guard = Guard::new(".ci/s3/server", &[]);
        guard.start();
        S3 {
            url: guard.line("url"),
            guard,
        }
    }

    /// The one of all tests of a binary. It ends with the process.
    pub fn shared() -> &'static S3 {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(S3::start)
    }

    /// Makes a bucket. Each of its objects is a file below the directory, under its key.
    pub fn make_bucket(&self, name: &str) -> PathBuf {
        let directory = self.directory().join("buckets").join(name);
        fs::create_dir(&directory).expect("a new bucket");
        directory
    }

    /// Tells a program where this is and who asks, and nothing else that it might find.
    pub fn tell(&self, command: &mut Command) {
        let others = std::env::vars_os().map(|(name, _)| name);
        for name in others.filter(|name| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        command.env("AWS_ENDPOINT_URL", &self.url);
        command.env("AWS_ACCESS_KEY_ID", "test-key");
        command.env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.env("SSL_CERT_FILE", self.certificate());
        command.env("NO_PROXY", "127.0.0.1");
    }

    /// Of the authority that it stands under.
    pub fn certificate(&self) -> PathBuf {
        self.directory().join("ca.pem")
    }
}

impl Deref for S3 {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}
