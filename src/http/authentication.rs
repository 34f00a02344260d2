//! Who may ask about teams: whoever has the token, or, without one, whoever is on this machine.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use tokio::task::spawn_blocking;

use crate::config::Secret;

use super::problem::Problem;

/// A token file is read again after so long, so that a new token works without a restart.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);

/// A wrong token may be tried without end, so that a shorter one could be found.
const TOKEN_CHARS_MIN: usize = 16;

pub enum Authentication {
    /// The bearer token of a file.
    Token(Arc<TokenFile>),
    /// No token, and only this machine can connect.
    Loopback,
    /// No token, and others can connect: nothing of a team is told.
    Closed,
}

pub struct TokenFile {
    path: PathBuf,
    read: Mutex<Read>,
}

/// The hash of the token, so that comparing takes the same time wherever it differs.
struct Read {
    token: Option<blake3::Hash>,
    at: Instant,
}

impl Authentication {
    /// As `http.listen` and `http.bearer_token_file` ask for it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no token; names it and what helps.
    pub fn new(listen: SocketAddr, token_file: Option<PathBuf>) -> Result<Authentication, String> {
        match token_file {
            Some(path) => {
                let token = Some(read_token(&path)?);
                let at = Instant::now();
                let read = Mutex::new(Read { token, at });
                Ok(Authentication::Token(Arc::new(TokenFile { path, read })))
            }
            None if listen.ip().is_loopback() => Ok(Authentication::Loopback),
            None => Ok(Authentication::Closed),
        }
    }

    /// Whether a request for `uri` with these headers may ask about teams.
    pub async fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        match self {
            Authentication::Token(file) => file.check(headers).await,
            Authentication::Loopback => check_host(uri, headers),
            Authentication::Closed => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "teams are not told of without a token: set http.bearer_token_file, or listen on \
                 a loopback address",
            )),
        }
    }
}

impl TokenFile {
    async fn check(self: &Arc<TokenFile>, headers: &HeaderMap) -> Result<(), Problem> {
        let refused = |detail: &'static str| Problem::new(StatusCode::UNAUTHORIZED, detail);
        let given = single(headers, header::AUTHORIZATION)
            .map_err(|()| Problem::bad_request("Authorization is given twice"))?
            .ok_or_else(|| refused("give the token as Authorization: Bearer TOKEN"))?;
        let given = bearer(given)
            .ok_or_else(|| refused("give the token as Authorization: Bearer TOKEN"))?;
        if self.with(|read| read.at.elapsed() >= REREAD_INTERVAL) {
            // The answer of a slow disk is not waited for on a thread that serves others.
            let file = Arc::clone(self);
            let _ = spawn_blocking(move || file.reread()).await;
        }
        match self.with(|read| read.token) {
            None => Err(Problem::unavailable(
                "the file of the token cannot be read, or holds no token",
            )),
            Some(token) if token == hash(given) => Ok(()),
            Some(_) => Err(refused("the token is not the right one")),
        }
    }

    fn reread(&self) {
        let read = read_token(&self.path);
        self.with(|known| {
            if let (Err(error), Some(_)) = (&read, known.token) {
                tracing::error!(
                    event = "token_unreadable",
                    "http.bearer_token_file: {error}"
                );
            }
            known.token = read.ok();
            known.at = Instant::now();
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut Read) -> T) -> T {
        look(&mut self.read.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The token of a file. The error says what is wrong with it, without the content.
fn read_token(path: &Path) -> Result<blake3::Hash, String> {
    let secret = Secret::read(path)?;
    let (token, place) = (secret.reveal().as_bytes(), path.display());
    if !is_b64token(token) {
        return Err(format!(
            "{place}: no client can send this as a bearer token, which is one line of letters, digits \
             and -._~+/, with = only at its end; make one with openssl rand -hex 32"
        ));
    }
    if token.len() < TOKEN_CHARS_MIN {
        return Err(format!(
            "{place}: a token of less than {TOKEN_CHARS_MIN} characters can be guessed; make one with \
             openssl rand -hex 32"
        ));
    }
    Ok(hash(token))
}

/// What may stand behind `Bearer` (RFC 6750 2.1).
fn is_b64token(token: &[u8]) -> bool {
    let end = token.iter().rposition(|byte| *byte != b'=');
    let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    end.is_some_and(|end| token[..=end].iter().all(is_sign))
}

fn hash(token: &[u8]) -> blake3::Hash {
    blake3::hash(token)
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// A web page that a person on this machine looks at may have had its name made to mean this
/// machine; a browser then still sends that name. A target with an authority stands for Host.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host =
        single(headers, header::HOST).map_err(|()| Problem::bad_request("Host is given twice"))?;
    let is_here = host.is_none_or(|host| host.to_str().is_ok_and(is_no_name))
        && uri.authority().is_none_or(|it| is_no_name(it.as_str()));
    match is_here {
        true => Ok(()),
        false => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "without a token Host must be an address or localhost: set http.bearer_token_file to \
             serve under a name",
        )),
    }
}

/// Whether a host, with or without its port, is an address or `localhost`.
fn is_no_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

/// The one value of a header, if it is there.
fn single(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<&HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::read_token;

    #[test]
    fn only_a_token_that_can_be_sent_and_not_guessed_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let read = |content: &str| {
            std::fs::write(&path, content).unwrap();
            read_token(&path)
        };
        for token in ["0123456789abcdef", "AZ-._~+/az09AZaz==", "a.b.c.d.e.f.g.h."] {
            let of_a_line = read(&format!("{token}\r\n")).unwrap();
            assert_eq!(of_a_line, read(token).unwrap());
        }
        for content in [
            "canary-0123456789 \n",
            " canary-0123456789\n",
            "canary-0123456789\ncanary-0123456789\n",
            "canary-0123456789\n\n",
            "canary=0123456789",
            "canary-0123456789\u{e9}",
            "canary-\"0123456789\"",
            "   \n",
            "================",
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains("no client can send"), "{content:?}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
        for content in ["x", "0123456789abcde\n"] {
            let error = read(content).unwrap_err();
            assert!(error.contains("less than 16 characters"), "{error}");
        }
    }
}
