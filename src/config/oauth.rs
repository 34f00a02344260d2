//! SASL by tokens of OAuth: librdkafka fetches them (OIDC) from the token endpoint of an identity
//! provider and renews them before they end. What it would only tell of a missing property when a client
//! is made is told here.

use super::kafka_properties::KafkaProperties;
use super::loopback::{is_plaintext_url, scheme_of};

/// The mechanism that sends tokens.
pub const MECHANISM: &str = "OAUTHBEARER";

const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The token endpoint, where what it is asked with can be read on the way.
pub fn plaintext_endpoint(properties: &KafkaProperties) -> Option<&str> {
    properties.get(ENDPOINT).filter(|url| is_plaintext_url(url))
}

/// Properties that are wrong or missing, each with its problem.
pub fn faults(properties: &KafkaProperties, is_insecure: bool) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    if let Some(endpoint) = properties.get(ENDPOINT) {
        if !matches!(scheme_of(endpoint).as_str(), "https" | "http") {
            faults.push((ENDPOINT, "is no URL; give https://HOST/PATH".to_owned()));
        } else if !is_insecure && plaintext_endpoint(properties).is_some() {
            let problem = "plain text to it is refused: whoever is on the way could read the secret and \
                           the token; give https, or set insecure = true";
            faults.push((ENDPOINT, problem.to_owned()));
        }
    }
    if properties.is_oauth() {
        faults.extend(missing(properties));
    }
    faults
}

/// By the way in which the identity provider is told who asks.
fn missing(properties: &KafkaProperties) -> Vec<(&'static str, String)> {
    let metadata = properties.get("sasl.oauthbearer.metadata.authentication.type");
    if metadata.is_some_and(|by| by.eq_ignore_ascii_case("azure_imds")) {
        // The machine vouches for itself.
        return Vec::new();
    }
    let grant = properties.get("sasl.oauthbearer.grant.type");
    let is_assertion = grant.is_some_and(|grant| grant.eq_ignore_ascii_case(JWT_BEARER));
    let is_missing = |name: &str| properties.get(name).is_none();
    let mut needed = vec![(ENDPOINT, "https://HOST/PATH")];
    if is_assertion {
        let ways = [
            "sasl.oauthbearer.assertion.file",
            "sasl.oauthbearer.assertion.private.key.file",
            "sasl.oauthbearer.assertion.private.key.pem",
        ];
        if ways.into_iter().all(is_missing) {
            let advice = "the file of an assertion, or sasl.oauthbearer.assertion.private.key.file to sign one";
            needed.push(("sasl.oauthbearer.assertion.file", advice));
        }
    } else {
        needed.push(("sasl.oauthbearer.client.id", "the name of this client"));
        let advice = "its file as sasl.oauthbearer.client.secret.file";
        needed.push(("sasl.oauthbearer.client.secret", advice));
    }
    let missing = needed.into_iter().filter(|(name, _)| is_missing(name));
    missing
        .map(|(name, advice)| {
            let problem = format!("is missing, and {MECHANISM} needs it; give {advice}");
            (name, problem)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError};

    const SECRET: &str = "sasl.oauthbearer.client.secret.file = \"Cargo.toml\"";

    fn parse(top: &str, lines: &[&str]) -> Result<Config, ConfigError> {
        let lines = lines.join("\n");
        let text = format!(
            "rates = \"r.json\"\n{top}\n[kafka]\nbootstrap.servers = \"k:1\"\n\
             security.protocol = \"sasl_ssl\"\nsasl.mechanism = \"OAUTHBEARER\"\n{lines}\n"
        );
        Config::parse("m.toml", &text)
    }

    fn endpoint(url: &str) -> String {
        format!("sasl.oauthbearer.token.endpoint.url = \"{url}\"")
    }

    #[test]
    fn what_tokens_need_is_told() {
        let faults = parse("", &[]).unwrap_err().to_string();
        let lines: Vec<&str> = faults.lines().collect();
        assert_eq!(
            lines,
            [
                "configuration: kafka.\"sasl.oauthbearer.token.endpoint.url\": is missing, and OAUTHBEARER \
                 needs it; give https://HOST/PATH",
                "configuration: kafka.\"sasl.oauthbearer.client.id\": is missing, and OAUTHBEARER needs \
                 it; give the name of this client",
                "configuration: kafka.\"sasl.oauthbearer.client.secret\": is missing, and OAUTHBEARER \
                 needs it; give its file as sasl.oauthbearer.client.secret.file",
            ]
        );
        let idp = endpoint("https://idp/token");
        let id = "sasl.oauthbearer.client.id = \"m\"";
        parse("", &[&idp, id, SECRET]).unwrap();
        let by_assertion =
            "sasl.oauthbearer.grant.type = \"urn:ietf:params:oauth:grant-type:jwt-bearer\"";
        let fault = parse("", &[&idp, by_assertion]).unwrap_err();
        assert_eq!(fault.0.len(), 1, "{fault}");
        let fault = fault.to_string();
        assert!(fault.contains("sasl.oauthbearer.assertion.file"), "{fault}");
        for given in ["file", "private.key.file"] {
            let line = format!("sasl.oauthbearer.assertion.{given} = \"Cargo.toml\"");
            parse("", &[&idp, by_assertion, &line]).unwrap();
        }
        let by_machine = "sasl.oauthbearer.metadata.authentication.type = \"azure_imds\"";
        parse("", &[by_machine]).unwrap();
    }

    #[test]
    fn tokens_in_plain_text_are_refused_beyond_this_machine() {
        let id = "sasl.oauthbearer.client.id = \"m\"";
        let of = |top: &str, url: &str| parse(top, &[&endpoint(url), id, SECRET]);
        for url in [
            "http://idp/token",
            "HTTP://idp/token",
            "http://localhost:@idp/",
        ] {
            let fault = of("", url).unwrap_err().to_string();
            let problem = "m.toml:7: kafka.\"sasl.oauthbearer.token.endpoint.url\": plain text to it is refused";
            assert!(fault.starts_with(problem), "{fault}");
            let config = of("insecure = true", url).unwrap();
            assert_eq!(config.plaintext_peers(), [url]);
        }
        for url in ["idp/token", "ftp://idp", "file:///etc/passwd"] {
            let fault = of("insecure = true", url).unwrap_err().to_string();
            assert!(
                fault.contains("is no URL; give https://HOST/PATH"),
                "{fault}"
            );
        }
        let config = of("", "http://127.0.0.1:8080/token").unwrap();
        assert!(config.plaintext_peers().is_empty());
        // The token opens doors as a password does.
        let plain = "rates = \"r.json\"\ninsecure = true\n[kafka]\nbootstrap.servers = \"k:1\"\n\
                     security.protocol = \"sasl_plaintext\"\nsasl.mechanism = \"OAUTHBEARER\"\n";
        let idp = endpoint("https://idp/token");
        let fault = Config::parse("m.toml", &format!("{plain}{idp}\n{id}\n{SECRET}\n"));
        let fault = fault.unwrap_err().to_string();
        let problem = "m.toml:6: kafka.\"sasl.mechanism\": OAUTHBEARER sends a token as it is, so it needs TLS";
        assert!(fault.starts_with(problem), "{fault}");
    }

    #[test]
    fn mechanisms_that_the_client_is_built_without_are_refused() {
        let parse = |mechanism: &str| {
            let text = format!(
                "rates = \"r.json\"\n[kafka]\nbootstrap.servers = \"k:1\"\n\
                 security.protocol = \"sasl_ssl\"\n{mechanism}\n"
            );
            Config::parse("m.toml", &text).map_err(|error| error.to_string())
        };
        for name in ["GSSAPI", "plain", "SCRAM-SHA-1"] {
            let fault = parse(&format!("sasl.mechanisms = \"{name}\"")).unwrap_err();
            assert!(fault.contains("is built with no other"), "{fault}");
        }
        let fault = parse("").unwrap_err();
        assert_eq!(
            fault,
            "configuration: kafka.\"sasl.mechanism\": is missing beside kafka.\"security.protocol\", \
             sasl_ssl; give SCRAM-SHA-512, SCRAM-SHA-256, OAUTHBEARER or PLAIN"
        );
        let fault =
            parse("sasl.mechanism = \"OAUTHBEARER\"\nsasl.oauthbearer.method = \"default\"");
        let fault = fault.unwrap_err();
        assert!(
            fault.contains("there is no other way to a token"),
            "{fault}"
        );
    }
}
