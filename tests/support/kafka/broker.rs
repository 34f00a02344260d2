//! One real broker: `.ci/kafka/broker` under a guard.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::OnceLock;

use rdkafka::config::ClientConfig;

use super::guard::Guard;
use super::proxy::Proxy;
use super::records::Sender;

pub struct Broker {
    /// Made at the first use; ends before the broker.
    pub(super) sender: OnceLock<Sender>,
    bootstrap: String,
    users: Vec<(String, String)>,
    proxy: Option<Proxy>,
    guard: Guard,
}

/// What [`Broker::start_with`] may add.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names and passwords. With any there is a second listener: TLS and SCRAM.
    pub users: Vec<(String, String)>,
    /// Beside `users`: keys whose tokens of OAuth that listener takes too, a JWK set.
    pub jwks: Option<PathBuf>,
    /// With it there is a listener behind [`Broker::proxy`].
    pub has_proxy: bool,
    /// Settings of the broker, stronger than those of `.ci/kafka/broker`.
    pub settings: Vec<(String, String)>,
}

impl Broker {
    pub fn start() -> Broker {
        Broker::start_with(&Options::default())
    }

    pub fn start_with(options: &Options) -> Broker {
        // Recorded times of tests may lie in the future. A topic's own setting comes into force some
        // time after it was made.
        let any_time = "log.message.timestamp.after.max.ms=9223372036854775807";
        let mut arguments = ["--short-lived", "--heap", "384", "--set", any_time]
            .map(String::from)
            .to_vec();
        for (user, password) in &options.users {
            arguments.extend(["--tls-scram".to_owned(), format!("{user}:{password}")]);
        }
        if let Some(jwks) = &options.jwks {
            arguments.extend(["--jwks".to_owned(), jwks.display().to_string()]);
        }
        let proxy = options.has_proxy.then(Proxy::bind);
        if let Some(proxy) = &proxy {
            arguments.extend(["--behind".to_owned(), proxy.port().to_string()]);
        }
        for (key, value) in &options.settings {
            arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
        let guard = Guard::new(".ci/kafka/broker", &arguments);
        guard.start();
        if let Some(proxy) = &proxy {
            proxy.leads_to(&guard.line("bootstrap-behind"));
        }
        Broker {
            sender: OnceLock::new(),
            bootstrap: guard.line("bootstrap"),
            users: options.users.clone(),
            proxy,
            guard,
        }
    }

    /// One for all tests of this binary, which may neither stop nor pause it.
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Broker::start)
    }

    /// Host and port, without any security.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The network between it and those who reach it there.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("`has_proxy`")
    }

    /// A client of it, without any security.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Host and port of the listener with TLS and SCRAM.
    pub fn bootstrap_tls(&self) -> String {
        self.line("bootstrap-tls")
    }

    /// The certificate authority of the listener with TLS, a file.
    pub fn ca(&self) -> PathBuf {
        self.directory().join("ca.pem")
    }

    /// Client properties of a user, of those given at the start, through TLS and SCRAM-SHA-512.
    pub fn client_of(&self, user: &str) -> ClientConfig {
        let (_, password) = self
            .users
            .iter()
            .find(|(name, _)| name == user)
            .unwrap_or_else(|| panic!("no user {user}"));
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.bootstrap_tls())
            .set("security.protocol", "SASL_SSL")
            .set("ssl.ca.location", self.ca().display().to_string())
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", user)
            .set("sasl.password", password);
        config
    }

    /// What it said since its last start.
    pub fn log(&self) -> String {
        self.line("log")
    }
}

impl Deref for Broker {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}
