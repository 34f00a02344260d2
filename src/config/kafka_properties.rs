//! `[kafka]`: properties that go to the Kafka clients as they are, except those that break a
//! guarantee (`engine.md` 11), and secrets, which come from files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::client_properties::{ALIASES, Client, JAVA_NAMES, PROPERTIES, RULES, Rule, SECRETS};
use super::loopback::is_loopback;
use super::oauth;
use super::secret::Secret;
use super::values::{Fault, Form, Place, Raw, nearest, shown};

/// Checked properties, by librdkafka's names, an alias under its main one. `Debug` hides what came
/// from files.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaProperties(BTreeMap<&'static str, Value>);

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Plain(String),
    Secret(Secret),
}

/// Of the two time-outs, where the user says nothing (`engine.md` 11).
pub const SESSION_TIMEOUT_MILLIS: u64 = 45_000;
pub const TRANSACTION_TIMEOUT_MILLIS: u64 = 10_000;
pub const MAX_POLL_INTERVAL_MILLIS: u64 = 120_000;

impl KafkaProperties {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Value::reveal)
    }

    /// The properties for a producer or a consumer, in the order of their names.
    pub fn of(&self, client: Client) -> impl Iterator<Item = (&'static str, &str)> {
        let is_for = move |name: &str| {
            let found = PROPERTIES.iter().find(|(known, _)| *known == name);
            found.is_some_and(|(_, of)| *of == client || *of == Client::Both)
        };
        self.0
            .iter()
            .filter(move |(name, _)| is_for(name))
            .map(|(name, value)| (*name, value.reveal()))
    }

    /// Whether its value came from a file and is not to be shown.
    pub fn is_secret(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(Value::Secret(_)))
    }

    /// The user's name, unless it came from a file and is not to be shown.
    pub fn shown_user(&self) -> Option<&str> {
        let is_shown = !self.is_secret("sasl.username");
        self.get("sasl.username").filter(|_| is_shown)
    }

    /// Milliseconds of a property, or what they are by default.
    pub fn millis(&self, name: &str, default: u64) -> u64 {
        let given = self.get(name).and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    }

    pub fn is_consumer_protocol(&self) -> bool {
        self.get("group.protocol") == Some("consumer")
    }

    /// Whether brokers are shown tokens of OAuth, which librdkafka fetches.
    pub fn is_oauth(&self) -> bool {
        self.get("sasl.mechanism") == Some(oauth::MECHANISM)
    }

    /// Brokers that are reached without TLS and not on loopback: what is sent can be read.
    pub(super) fn plaintext_brokers(&self) -> Vec<&str> {
        if matches!(self.protocol().as_str(), "ssl" | "sasl_ssl") {
            return Vec::new();
        }
        let brokers = self.get("bootstrap.servers").unwrap_or_default().split(',');
        brokers
            .map(str::trim)
            .filter(|broker| !broker.is_empty() && !is_loopback(broker))
            .collect()
    }

    /// How brokers are reached, in small letters.
    fn protocol(&self) -> String {
        let protocol = self.get("security.protocol").unwrap_or("plaintext");
        protocol.to_ascii_lowercase()
    }
}

impl Value {
    fn reveal(&self) -> &str {
        match self {
            Value::Plain(text) => text,
            Value::Secret(secret) => secret.reveal(),
        }
    }
}

impl fmt::Debug for KafkaProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.iter().map(|(name, value)| match value {
            Value::Plain(text) => (name, text.as_str()),
            Value::Secret(_) => (name, "(secret)"),
        });
        f.debug_map().entries(entries).finish()
    }
}

/// Properties as they were given, not yet checked.
#[derive(Default)]
pub struct GivenProperties(BTreeMap<&'static str, Given>);

struct Given {
    raw: Raw,
    /// Given as `NAME.file`.
    is_file: bool,
}

impl GivenProperties {
    /// Takes a property of one more layer; None: all is well so far.
    pub fn add(&mut self, given_name: &str, raw: Raw) -> Option<Fault> {
        let place = raw.place.clone();
        let fault = |problem| Some(fault_of(given_name, &place, problem));
        let (name, is_file) = match known(given_name) {
            Some(name) => (name, false),
            None => match given_name.strip_suffix(".file").and_then(known) {
                Some(name) => (name, true),
                None => return fault(unknown(given_name)),
            },
        };
        if matches!(raw.form, Form::Date | Form::List) {
            return fault(format!("is {}; give a text", raw.form.name()));
        }
        let earlier = self.0.insert(name, Given { raw, is_file });
        let is_twice = earlier.is_some_and(|earlier| {
            std::mem::discriminant(&earlier.raw.place) == std::mem::discriminant(&place)
                && place != Place::Flag
        });
        if is_twice {
            return fault(format!(
                "stands there twice, under two names of {name}; remove one"
            ));
        }
        None
    }

    /// Reads files and checks each value, then the values against each other. `is_insecure`: plain
    /// text is allowed.
    pub fn check(self, is_insecure: bool, faults: &mut Vec<Fault>) -> KafkaProperties {
        let mut checked = BTreeMap::new();
        for (name, given) in &self.0 {
            match given.check(name) {
                Ok(value) => {
                    checked.insert(*name, value);
                }
                Err(problem) => faults.push(fault_of(name, &given.raw.place, problem)),
            }
        }
        let properties = KafkaProperties(checked);
        let place_of = |name: &str| {
            let given = self.0.get(name);
            given.map_or(Place::Nowhere, |given| given.raw.place.clone())
        };
        if !self.0.contains_key("bootstrap.servers") {
            faults.push(fault_of(
                "bootstrap.servers",
                &Place::Nowhere,
                "is missing; give the brokers, as HOST:PORT,HOST:PORT".to_owned(),
            ));
        }
        for (name, problem) in contradictions(&properties, is_insecure) {
            faults.push(fault_of(name, &place_of(name), problem));
        }
        properties
    }
}

impl Given {
    fn check(&self, name: &str) -> Result<Value, String> {
        let is_secret = SECRETS.contains(&name);
        if self.is_file {
            return match Secret::read(Path::new(&self.raw.text)) {
                Err(problem) => Err(problem),
                Ok(secret) if is_secret => Ok(Value::Secret(secret)),
                Ok(content) => {
                    let problem = refusal(name, content.reveal());
                    problem.map_or(Ok(Value::Secret(content)), Err)
                }
            };
        }
        if is_secret {
            return Err(format!(
                "holds a secret, which must not stand here; write it into a file and give \
                 \"{name}.file\" = \"PATH\""
            ));
        }
        let text = self.raw.text.as_str();
        if text.contains('\0') {
            return Err("has a zero byte; give a text".to_owned());
        }
        refusal(name, text).map_or_else(|| Ok(Value::Plain(text.to_owned())), Err)
    }
}

/// Why a value would break a guarantee.
fn refusal(name: &str, text: &str) -> Option<String> {
    if name == "bootstrap.servers" && text.trim().is_empty() {
        return Some("is empty; give the brokers, as HOST:PORT,HOST:PORT".to_owned());
    }
    let (_, rule, why) = RULES.iter().find(|(of, ..)| *of == name)?;
    let problem = match rule {
        Rule::Ours => "is set by the program".to_owned(),
        Rule::Only(values) if values.contains(&text) => return None,
        Rule::Only(values) => {
            format!(
                "{} is refused; only {} is safe",
                shown(text),
                values.join(" or ")
            )
        }
        Rule::Without(words) => {
            let found = text.split(',').map(str::trim);
            let found = found.into_iter().find(|word| words.contains(word))?;
            format!("{} is refused", shown(found))
        }
        Rule::Within(from, to) => {
            let number = text.parse::<u64>();
            if number.is_ok_and(|number| (*from..=*to).contains(&number)) {
                return None;
            }
            format!(
                "{} is refused; give a number from {from} to {to}",
                shown(text)
            )
        }
    };
    Some(format!("{problem} ({why}); change or remove it"))
}

/// Values that are right alone and wrong together.
fn contradictions(properties: &KafkaProperties, is_insecure: bool) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    let session = properties.millis("session.timeout.ms", SESSION_TIMEOUT_MILLIS);
    let transaction = properties.millis("transaction.timeout.ms", TRANSACTION_TIMEOUT_MILLIS);
    let poll = properties.millis("max.poll.interval.ms", MAX_POLL_INTERVAL_MILLIS);
    if transaction >= session {
        faults.push((
            "transaction.timeout.ms",
            format!(
                "{transaction} is not below session.timeout.ms, {session}: a partition would \
                 change hands while its last transaction is open; make it shorter"
            ),
        ));
    }
    if poll < session {
        faults.push((
            "max.poll.interval.ms",
            format!("{poll} is below session.timeout.ms, {session}; make it longer"),
        ));
    }
    let brokers = properties.plaintext_brokers();
    if !is_insecure && !brokers.is_empty() {
        let problem = format!(
            "plain text to {} is refused: whoever is on the way could read and alter what is sent; \
             give ssl or sasl_ssl, or set insecure = true",
            brokers.join(", ")
        );
        faults.push(("security.protocol", problem));
    }
    let mechanism = properties.get("sasl.mechanism");
    let sent = match mechanism {
        Some("PLAIN") => Some("PLAIN sends the password"),
        Some(oauth::MECHANISM) => Some("OAUTHBEARER sends a token"),
        _ => None,
    };
    if let Some(sent) = sent.filter(|_| !brokers.is_empty()) {
        let problem = format!(
            "{sent} as it is, so it needs TLS; set kafka.\"security.protocol\" to sasl_ssl"
        );
        faults.push(("sasl.mechanism", problem));
    }
    let protocol = properties.protocol();
    if protocol.starts_with("sasl_") && mechanism.is_none() {
        let problem = format!(
            "is missing beside kafka.\"security.protocol\", {protocol}; give SCRAM-SHA-512, \
             SCRAM-SHA-256, OAUTHBEARER or PLAIN"
        );
        faults.push(("sasl.mechanism", problem));
    }
    faults.extend(oauth::faults(properties, is_insecure));
    if properties.is_consumer_protocol() {
        for name in [
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "partition.assignment.strategy",
            "group.protocol.type",
        ] {
            if properties.get(name).is_some() {
                let problem = "is the broker's to set under group.protocol=consumer; remove it";
                faults.push((name, problem.to_owned()));
            }
        }
    }
    faults
}

fn known(name: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name, |(_, main)| main);
    let found = PROPERTIES.iter().find(|(known, _)| *known == name);
    found.map(|(known, _)| *known)
}

fn unknown(name: &str) -> String {
    if let Some((_, instead)) = JAVA_NAMES.iter().find(|(java, _)| *java == name) {
        return format!("is a property of Java clients; use {instead}");
    }
    let names = PROPERTIES.iter().map(|(known, _)| *known);
    match nearest(name, names) {
        Some(near) => format!("is no property of the Kafka client; did you mean {near}?"),
        None => "is no property of the Kafka client; remove it".to_owned(),
    }
}

fn fault_of(name: &str, place: &Place, problem: String) -> Fault {
    Fault {
        place: place.clone(),
        key: format!("kafka.\"{}\"", name.escape_debug()),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_properties::{ALIASES, PROPERTIES, RULES, SECRETS};

    #[test]
    fn the_tables_speak_of_properties_that_there_are() {
        let is_known = |name: &str| PROPERTIES.iter().any(|(known, _)| *known == name);
        for (name, ..) in RULES {
            assert!(is_known(name), "{name}");
        }
        for name in SECRETS {
            assert!(is_known(name), "{name}");
        }
        for (alias, name) in ALIASES {
            assert!(!is_known(alias) && is_known(name), "{alias} {name}");
        }
        assert!(PROPERTIES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
