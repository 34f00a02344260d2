//! Tokens of OAuth (OIDC), through TLS: they are fetched and renewed, and an identity provider that is away
//! for a while stops nobody who has a token. F42 in part.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::PATIENCE;
use super::support::kafka::issuer::{CLIENT, Issuer};
use super::support::kafka::{Broker, Options};
use super::support::processor::{Processor, Setup};
use super::support::workload::{Flow, assert_result, example_rates, workload};

const SECRET: &str = "canary-6021-secret";
/// It is renewed at four fifths of it, and where that fails ten seconds later.
const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// Its listener with TLS takes the issuer's tokens, and ends connections whose token has ended.
fn broker(issuer: &Issuer) -> Broker {
    Broker::start_with(&Options {
        users: vec![("nobody".into(), "nothing".into())],
        jwks: Some(issuer.jwks()),
        settings: vec![("connections.max.reauth.ms".into(), "3600000".into())],
        ..Options::default()
    })
}

/// The program has a token, by `credentials`.
fn reached<'b>(
    broker: &'b Broker,
    issuer: &Issuer,
    name: &str,
    credentials: &[(&str, &str)],
) -> Setup<'b> {
    let mut setup = Setup::new(broker, name, 2, &example_rates());
    setup.bootstrap = broker.bootstrap_tls();
    let (broker_ca, ca) = (
        broker.ca().display().to_string(),
        issuer.ca().display().to_string(),
    );
    let url = issuer.url();
    let common = [
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", &broker_ca),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.token.endpoint.url", &url),
        ("https.ca.location", &ca),
    ];
    setup.give_kafka(&common);
    setup.give_kafka(credentials);
    setup
}

#[test]
fn tokens_are_renewed_and_their_issuer_may_be_away() {
    let issuer = Issuer::start(SECRET, "none", TOKEN_LIFE);
    let broker = broker(&issuer);
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("secret");
    fs::write(&file, SECRET).expect("a file");
    let file = file.display().to_string();
    let credentials = [
        ("sasl.oauthbearer.client.id", CLIENT),
        ("sasl.oauthbearer.client.secret.file", &file),
    ];
    let setup = reached(&broker, &issuer, "oauth", &credentials);
    setup.create_topics();
    assert_eq!(validated(&setup).0, Some(0));

    let (feed, expected) = workload(&setup, 4_000, 42);
    let mut flow = Flow::new(&setup, &feed, TOKEN_LIFE * 2);
    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_runs(&setup);
    issuer.set_closed(true);
    let told = "Failed to acquire SASL OAUTHBEARER token";
    flow.until("no token is given", PATIENCE, || processor.said(told) > 0);
    issuer.set_closed(false);
    let given = issuer.given();
    flow.until("tokens are given again", PATIENCE, || {
        issuer.given() > given
    });
    flow.during(TOKEN_LIFE / 4);
    flow.finish();
    processor.wait_until_folded(&setup);
    let log = processor.log();
    assert_eq!(processor.said("transactions are initialised"), 1, "{log}");
    assert!(
        !log.contains("canary") && !log.contains("eyJ"),
        "a secret in the log:\n{log}"
    );
    processor.stop();
    assert_result(&setup, "oauth", &expected);

    fs::write(place.path().join("secret"), "canary-6021-wrong").expect("a file");
    let mut refused = Processor::start(&setup, 0);
    let status = refused.ended(PATIENCE);
    let log = refused.log();
    assert_eq!(status.code(), Some(6), "{log}");
    assert!(
        log.contains("invalid_client") || log.contains("401"),
        "{log}"
    );
    assert!(!log.contains("canary"), "a secret in the log:\n{log}");
}

/// RFC 7523: Kubernetes projects such a token into a pod and writes a new one before it ends.
#[test]
fn an_assertion_is_read_from_its_file() {
    let issuer = Issuer::start(SECRET, "a.b.first", TOKEN_LIFE);
    let broker = broker(&issuer);
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("assertion");
    fs::write(&file, "a.b.first").expect("a file");
    let shown = file.display().to_string();
    let credentials = [
        (
            "sasl.oauthbearer.grant.type",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ),
        ("sasl.oauthbearer.assertion.file", &shown),
    ];
    let mut setup = reached(&broker, &issuer, "assertion", &credentials);
    setup.create_topics();
    assert_eq!(validated(&setup).0, Some(0));
    issuer.set_assertion("a.b.second");
    let (code, said) = validated(&setup);
    assert_eq!(code, Some(6), "{said}");
    assert!(
        said.contains("Failed to acquire SASL OAUTHBEARER token"),
        "{said}"
    );
    fs::write(&file, "a.b.second").expect("a file");
    assert_eq!(validated(&setup).0, Some(0));

    // Whose certificate is not trusted gets neither a secret nor an assertion.
    let untrusted = |(_, line): &mut (&str, String)| {
        if line.starts_with("\"https.ca.location\"") {
            *line = format!("\"https.ca.location\" = \"{}\"", broker.ca().display());
        }
    };
    setup.extra.iter_mut().for_each(untrusted);
    let (code, said) = validated(&setup);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("certificate"), "{said}");
}

/// Exit code and messages of `validate --against-cluster`.
fn validated(setup: &Setup) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(["validate", "--against-cluster", "--config"])
        .arg(setup.config(0))
        .output()
        .expect("the program starts");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
