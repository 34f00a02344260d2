//! An identity provider on 127.0.0.1: by HTTPS it gives signed tokens (RS256) to who knows the secret or
//! brings the assertion, as RFC 6749 4.4 and RFC 7523 2.1 say.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use openssl::asn1::Asn1Time;
use openssl::base64::{decode_block, encode_block};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Name};

/// The client that it knows.
pub const CLIENT: &str = "meterfold-client";
/// Who its tokens are of.
pub const SUBJECT: &str = "meterfold-service";

pub struct Issuer {
    address: SocketAddr,
    directory: tempfile::TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    key: PKey<Private>,
    secret: String,
    assertion: Mutex<String>,
    token_life: Duration,
    is_closed: AtomicBool,
    given: AtomicUsize,
}

impl Issuer {
    /// Ends with the process of the test.
    pub fn start(secret: &str, assertion: &str, token_life: Duration) -> Issuer {
        let directory = tempfile::tempdir().expect("a directory");
        let key = PKey::from_rsa(Rsa::generate(2_048).expect("a key")).expect("a key");
        let certificate = certificate(&key);
        let pem = certificate.to_pem().expect("a certificate");
        fs::write(directory.path().join("ca.pem"), pem).expect("a file");
        fs::write(directory.path().join("jwks.json"), jwks(&key)).expect("a file");
        let mut acceptor =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("an acceptor");
        acceptor.set_private_key(&key).expect("a key");
        acceptor
            .set_certificate(&certificate)
            .expect("a certificate");
        let acceptor = acceptor.build();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            key,
            secret: secret.to_owned(),
            assertion: Mutex::new(assertion.to_owned()),
            token_life,
            is_closed: AtomicBool::new(false),
            given: AtomicUsize::new(0),
        });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let patience = Some(Duration::from_secs(5));
                stream.set_read_timeout(patience).expect("a time-out");
                // Who does not trust the certificate hangs up.
                if let Ok(mut stream) = acceptor.accept(stream) {
                    let answer = served.answer(&request(&mut stream));
                    let _ = stream.write_all(answer.as_bytes());
                    let _ = stream.shutdown();
                }
            }
        });
        Issuer {
            address,
            directory,
            shared,
        }
    }

    /// Its token endpoint.
    pub fn url(&self) -> String {
        format!("https://{}/token", self.address)
    }

    /// The authority of its certificate, a file.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// What verifies its tokens, a file.
    pub fn jwks(&self) -> PathBuf {
        self.directory.path().join("jwks.json")
    }

    /// From now on it answers 403, which nobody asks again at once, or again with tokens.
    pub fn set_closed(&self, is_closed: bool) {
        self.shared.is_closed.store(is_closed, Ordering::SeqCst);
    }

    /// The only assertion that it takes from now on.
    pub fn set_assertion(&self, assertion: &str) {
        assertion.clone_into(&mut self.shared.assertion.lock().expect("a lock"));
    }

    /// Tokens that it gave.
    pub fn given(&self) -> usize {
        self.shared.given.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn answer(&self, (head, body): &(String, String)) -> String {
        if self.is_closed.load(Ordering::SeqCst) {
            return response("403 Forbidden", r#"{"error":"closed"}"#);
        }
        let basic = head
            .lines()
            .find_map(|line| line.strip_prefix("Authorization: Basic "));
        let is_secret = basic.is_some_and(|basic| {
            let given = decode_block(basic.trim()).expect("base64");
            given == format!("{CLIENT}:{}", self.secret).as_bytes()
        });
        let assertion = self.assertion.lock().expect("a lock");
        let is_known = match body.split_once("&assertion=") {
            Some((_, given)) => given.split('&').next() == Some(assertion.as_str()),
            None => is_secret && body.contains("grant_type=client_credentials"),
        };
        if !is_known {
            return response("401 Unauthorized", r#"{"error":"invalid_client"}"#);
        }
        self.given.fetch_add(1, Ordering::SeqCst);
        let (token, seconds) = (self.token(), self.token_life.as_secs());
        let answer =
            format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#);
        response("200 OK", &answer)
    }

    fn token(&self) -> String {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since.expect("a time").as_secs();
        let until = now + self.token_life.as_secs();
        let head = base64url(br#"{"alg":"RS256","typ":"JWT","kid":"1"}"#);
        let claims = format!(r#"{{"sub":"{SUBJECT}","iat":{now},"exp":{until},"scope":"kafka"}}"#);
        let signed = format!("{head}.{}", base64url(claims.as_bytes()));
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).expect("a signer");
        let signature = signer
            .sign_oneshot_to_vec(signed.as_bytes())
            .expect("a signature");
        format!("{signed}.{}", base64url(&signature))
    }
}

/// Head and body.
fn request(stream: &mut impl Read) -> (String, String) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
            if body.len() >= length {
                return (head.to_owned(), body.to_owned());
            }
        }
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => return (text, String::new()),
        }
    }
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

/// Of 127.0.0.1, signed by itself.
fn certificate(key: &PKey<Private>) -> X509 {
    let mut name = X509Name::builder().expect("a name");
    name.append_entry_by_text("CN", "issuer").expect("a name");
    let name = name.build();
    let mut builder = X509::builder().expect("a certificate");
    let from = Asn1Time::days_from_now(0).expect("a time");
    let until = Asn1Time::days_from_now(1).expect("a time");
    builder.set_version(2).expect("a version");
    builder.set_subject_name(&name).expect("a name");
    builder.set_issuer_name(&name).expect("a name");
    builder.set_pubkey(key).expect("a key");
    builder.set_not_before(&from).expect("a time");
    builder.set_not_after(&until).expect("a time");
    let context = builder.x509v3_context(None, None);
    let host = SubjectAlternativeName::new()
        .ip("127.0.0.1")
        .build(&context);
    builder
        .append_extension(host.expect("a host"))
        .expect("a host");
    builder
        .sign(key, MessageDigest::sha256())
        .expect("a signature");
    builder.build()
}

fn jwks(key: &PKey<Private>) -> String {
    let rsa = key.rsa().expect("an RSA key");
    let (n, e) = (base64url(&rsa.n().to_vec()), base64url(&rsa.e().to_vec()));
    format!(
        r#"{{"keys":[{{"kty":"RSA","kid":"1","use":"sig","alg":"RS256","n":"{n}","e":"{e}"}}]}}"#
    )
}

fn base64url(bytes: &[u8]) -> String {
    let text = encode_block(bytes);
    text.trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_")
}
