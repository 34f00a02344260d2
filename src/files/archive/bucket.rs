//! A bucket of an object store that speaks S3, below a prefix. Endpoint, region and credentials come
//! from the environment alone (`AWS_*`, docs/audit.md), and no error shows a credential.
//!
//! Each object is put whole or not at all. A request is repeated for a while, then it fails.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion,
};
use tokio::runtime::{Builder, Runtime};

use crate::ports::evidence::EvidenceError;
use crate::wire::shown_text::printable;

use super::{ArchiveError, READ_BYTES_MAX, too_large};

/// How long a request is repeated that is not answered, or with an error of the server's: longer than
/// one may take (`AWS_TIMEOUT`), so one that hangs is repeated too.
const RETRY_MAX: Duration = Duration::from_secs(35);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(3);
const RETRIES_MAX: usize = 100;

/// Most characters of a store's own words in an error.
const WORDS_SHOWN_MAX: usize = 400;

#[derive(Clone)]
pub struct Bucket {
    /// `s3://BUCKET/PREFIX`.
    url: String,
    prefix: Path,
    store: Arc<AmazonS3>,
    /// Where its connections live.
    runtime: Arc<Runtime>,
}

/// One of the contents that an object has had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(UpdateVersion);

impl Bucket {
    /// `name` is `BUCKET/PREFIX`. Nothing is asked of the store yet.
    pub fn open(name: &str) -> Result<Bucket, ArchiveError> {
        let (bucket, prefix) = name.split_once('/').unwrap_or((name, ""));
        let is_bucket = |it: char| it.is_ascii_alphanumeric() || "-._".contains(it);
        let is_named = !bucket.is_empty() && bucket.chars().all(is_bucket);
        let prefix = Path::parse(prefix.strip_suffix('/').unwrap_or(prefix)).ok();
        let prefix = prefix.filter(|_| is_named && !name.contains(['?', '#']));
        // What else it holds may be a password or a signature, and is not shown.
        let Some(prefix) = prefix else {
            let reason = "an archive in a bucket is named s3://BUCKET/PREFIX, without credentials or \
                          endpoint: these come from the environment (docs/audit.md)";
            return Err(ArchiveError::Location(reason.to_owned()));
        };
        let url = format!("s3://{bucket}/{prefix}");
        let retry = RetryConfig {
            backoff: BackoffConfig {
                max_backoff: RETRY_WAIT_MAX,
                ..BackoffConfig::default()
            },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_MAX,
        };
        let wrong = |reason: &str| {
            ArchiveError::Foreign(format!("{url}: {reason}; check AWS_* in the environment"))
        };
        let builder = AmazonS3Builder::from_env();
        let endpoints = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
        let mut endpoints = endpoints
            .iter()
            .filter_map(|it| builder.get_config_value(it));
        if endpoints.any(|endpoint| endpoint.contains('@')) {
            return Err(wrong("the endpoint holds a name or a password"));
        }
        let builder = builder.with_bucket_name(bucket).with_retry(retry);
        let store = builder.build().map_err(|error| wrong(&words(&error)))?;
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("bucket").enable_all();
        let runtime = builder.build().map_err(|error| {
            ArchiveError::from(EvidenceError::Failed(format!("{url}: {error}")))
        })?;
        Ok(Bucket {
            url,
            prefix,
            store: Arc::new(store),
            runtime: Arc::new(runtime),
        })
    }

    /// None: there is no such object.
    pub fn read(&self, file: &str) -> Result<Option<(Vec<u8>, Revision)>, ArchiveError> {
        let read = self.runtime.block_on(async {
            let found = self.store.get(&self.location(file)).await?;
            let revision = Revision(UpdateVersion {
                e_tag: found.meta.e_tag.clone(),
                version: found.meta.version.clone(),
            });
            if found.meta.size > READ_BYTES_MAX {
                return Ok(None);
            }
            Ok(Some((Vec::from(found.bytes().await?), revision)))
        });
        match read {
            Ok(Some(read)) => Ok(Some(read)),
            Ok(None) => Err(too_large(self.shown(file).as_ref())),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(self.failed(file, &error)),
        }
    }

    /// Puts an object whose name no other bytes have.
    pub fn write(&self, file: &str, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        self.put(file, bytes, PutMode::Overwrite)
            .map(|_| ())
            .map_err(|error| self.failed(file, &error))
    }

    /// Puts an object where `before` stands, or nothing. A store that cannot do so is told by
    /// `AWS_CONDITIONAL_PUT=disabled`, and has what was put last.
    pub fn replace(
        &self,
        file: &str,
        bytes: Vec<u8>,
        before: Option<Revision>,
    ) -> Result<Revision, ArchiveError> {
        let mode = before.map_or(PutMode::Create, |before| PutMode::Update(before.0));
        let put = |mode| self.put(file, bytes.clone(), mode);
        let put = match put(mode.clone()) {
            Err(object_store::Error::NotImplemented { .. }) => put(PutMode::Overwrite),
            // Obeyed or not: if it was, the second is refused, and what is there is compared.
            Err(error) if is_unanswered(&error) => put(mode),
            put => put,
        };
        match put {
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => match self.read(file)? {
                // A request was repeated that had been obeyed.
                Some((found, revision)) if found == bytes => Ok(revision),
                _ => Err(EvidenceError::Failed(format!(
                    "{}: another archive command writes there; wait for its end",
                    self.shown(file)
                ))
                .into()),
            },
            put => put.map_err(|error| self.failed(file, &error)),
        }
    }

    fn put(
        &self,
        file: &str,
        bytes: Vec<u8>,
        mode: PutMode,
    ) -> Result<Revision, object_store::Error> {
        let (location, options) = (self.location(file), PutOptions::from(mode));
        let put = self.store.put_opts(&location, bytes.into(), options);
        Ok(Revision(self.runtime.block_on(put)?.into()))
    }

    pub fn shown(&self, file: &str) -> String {
        format!("{}/{file}", self.url.trim_end_matches('/'))
    }

    fn location(&self, file: &str) -> Path {
        let parts = file.split('/').map(Into::into);
        self.prefix.parts().chain(parts).collect()
    }

    fn failed(&self, file: &str, error: &object_store::Error) -> ArchiveError {
        let (place, words) = (self.shown(file), words(error));
        if has_no_bucket(error) {
            let url = &self.url;
            let reason = format!("{url}: there is no such bucket; create it, or name another");
            return ArchiveError::Foreign(reason);
        }
        let denied =
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or its rights (docs/audit.md)";
        let away = "is it up, are AWS_ENDPOINT_URL (AWS_ALLOW_HTTP=true for http) and AWS_REGION right, are \
                    there credentials (docs/audit.md)?";
        let failed = match error {
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => {
                EvidenceError::Denied(format!("{place}: refused: {words}; {denied}"))
            }
            _ if chain(error).any(|cause| cause.is::<HttpError>()) => {
                EvidenceError::Unreachable(format!("{place}: not reached: {words}; {away}"))
            }
            _ => EvidenceError::Failed(format!("{place}: {words}")),
        };
        failed.into()
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// That the object is not there. There are other reasons to answer 404.
fn is_not_found(error: &object_store::Error) -> bool {
    element(&error.to_string(), "Code") == Some("NoSuchKey")
}

fn has_no_bucket(error: &object_store::Error) -> bool {
    element(&error.to_string(), "Code") == Some("NoSuchBucket")
}

/// The request was sent, and nobody knows what became of it.
fn is_unanswered(error: &object_store::Error) -> bool {
    let mut causes = chain(error).filter_map(|cause| cause.downcast_ref::<HttpError>());
    causes.any(|it| !matches!(it.kind(), HttpErrorKind::Connect | HttpErrorKind::Request))
}

/// The error and what caused it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// One line of what a store said. The rest of its answer may repeat the request, ids of keys and
/// signatures included.
fn words(error: &object_store::Error) -> String {
    let whole = error.to_string();
    let words = match (element(&whole, "Code"), element(&whole, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => {
            let said = whole.split(['<', '\n']).next().unwrap_or_default();
            let cause = chain(error).last().map(ToString::to_string);
            match cause.filter(|cause| !whole.contains(cause.as_str())) {
                Some(cause) => format!("{said}: {cause}"),
                None => said.trim_end_matches([' ', ':']).to_owned(),
            }
        }
    };
    printable(&words).chars().take(WORDS_SHOWN_MAX).collect()
}

/// The text of the first XML element of a name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What S3 answers to a wrong signature repeats the id of the key and more.
    #[test]
    fn an_error_shows_what_the_store_said_and_nothing_of_the_request() {
        let answer = "403 Forbidden: <?xml version=\"1.0\"?>\n<Error>\
                      <Code>SignatureDoesNotMatch</Code><Message>Check your\nkey.</Message>\
                      <AWSAccessKeyId>AKIA7</AWSAccessKeyId><StringToSign>S7</StringToSign></Error>";
        let error = object_store::Error::Generic {
            store: "S3",
            source: answer.into(),
        };
        assert_eq!(words(&error), "SignatureDoesNotMatch: Check your\\nkey.");
        let error = object_store::Error::Generic {
            store: "S3",
            source: "502 Bad Gateway: <html>x".into(),
        };
        assert_eq!(words(&error), "Generic S3 error: 502 Bad Gateway");
    }

    #[test]
    fn the_name_of_a_bucket_holds_no_secret() {
        for place in [
            "",
            "/a",
            "key:secret@bucket/a",
            "bucket/a?X-Sig=1",
            "bucket/../a",
            "bucket/a//b",
        ] {
            let refused = Bucket::open(place).err();
            let Some(ArchiveError::Location(reason)) = refused else {
                panic!("{place}: {refused:?}");
            };
            assert!(
                !reason.contains("secret") && !reason.contains("Sig"),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_bucket_is_shown_as_it_was_named() {
        for (place, url, shown) in [
            ("bucket", "s3://bucket/", "s3://bucket/f"),
            ("bucket/", "s3://bucket/", "s3://bucket/f"),
            ("bucket/a/b/", "s3://bucket/a/b", "s3://bucket/a/b/f"),
        ] {
            let bucket = Bucket::open(place).expect("a bucket");
            assert_eq!(
                (bucket.to_string().as_str(), bucket.shown("f").as_str()),
                (url, shown)
            );
        }
    }
}
