//! Every key of the configuration: what it may be, what it is by default, and what it means.
//!
//! One table. The checks, the names of environment variables, `--print-default-config` and
//! `docs/configuration.md` follow from it; the properties of `[kafka]` are not keys of ours and lie
//! in `client_properties.rs`.

use super::values::{Form, Raw, shown};

pub struct Key {
    /// With its section: `commit.interval_ms`.
    pub name: &'static str,
    pub kind: Kind,
    pub default: Default,
    /// A sentence or two.
    pub meaning: &'static str,
}

/// What a value may be.
#[derive(Clone, Copy)]
pub enum Kind {
    /// From .. to, both included.
    Integer(u64, u64),
    Boolean,
    Choice(&'static [&'static str]),
    /// 1 to 100 letters, digits and these signs: a part of an identity (`engine.md` 6).
    Identity(&'static str),
    /// The name of a topic.
    Topic,
    /// The name of a topic, or nothing.
    OptionalTopic,
    /// A file or directory.
    Path,
    /// A file, or nothing.
    OptionalPath,
    /// `ADDRESS:PORT`, numbers only: where to listen.
    Listen,
    /// `HOST:PORT`, or nothing: where others find this process.
    OptionalHostPort,
    /// `http://` or `https://`, or nothing.
    OptionalUrl,
    /// Anything, or nothing.
    OptionalText,
}

pub enum Default {
    Is(&'static str),
    /// Follows from something else, as these words say.
    Follows(&'static str),
    Required,
}

use Default::{Follows, Is, Required};

pub const RECORDED_TIMES: &[&str] = &["append", "record"];
pub const ON_WRONG_PARTITION: &[&str] = &["halt", "dead_letter"];
pub const OUTPUT_FORMATS: &[&str] = &["json", "avro"];

/// Names of Kafka's topics are no longer.
const TOPIC_LENGTH_MAX: usize = 249;
const IDENTITY_LENGTH_MAX: usize = 100;

#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    Key { name: "application", kind: Kind::Identity("_."), default: Is("meterfold"),
        meaning: "Name of the application: its consumer group, and the first part of every identity. All instances of one application share it; two applications on one cluster never do." },
    Key { name: "instance", kind: Kind::Identity("_.-"), default: Follows("the host's name"),
        meaning: "Name of this instance. It must stay the same over restarts, so that a restart fences its predecessor, and differ between instances." },
    Key { name: "workers", kind: Kind::Integer(1, 64), default: Is("1"),
        meaning: "Threads that fold, each with a consumer and a producer of its own. Identities follow the number: change it only when the instance is stopped." },
    Key { name: "rates", kind: Kind::Path, default: Required,
        meaning: "The rate book, a JSON file." },
    Key { name: "state_dir", kind: Kind::Path, default: Is("meterfold-state"),
        meaning: "Directory of the local state, a cache of what Kafka holds. No other instance may use it." },
    Key { name: "recorded_time", kind: Kind::Choice(RECORDED_TIMES), default: Is("append"),
        meaning: "Where the recorded time of an event comes from: the broker's clock when it was appended, or (for back-fills and tests) the time that its producer gave. Fixed for an application." },
    Key { name: "idle_margin_ms", kind: Kind::Integer(20_000, 86_400_000), default: Is("60000"),
        meaning: "How far the clock of a partition without events stays behind the wall clock: at least twice the brokers' replica.lag.time.max.ms." },
    Key { name: "on_wrong_partition", kind: Kind::Choice(ON_WRONG_PARTITION), default: Is("halt"),
        meaning: "What becomes of an event under a wrong key or in a wrong partition: its partition halts, or it becomes a dead letter." },
    Key { name: "linger_ms", kind: Kind::Integer(0, 600_000), default: Is("30000"),
        meaning: "How long a halted, fenced or refused process still answers /metrics and /status before it exits." },
    Key { name: "insecure", kind: Kind::Boolean, default: Is("false"),
        meaning: "Whether brokers, the registry and what hands out tokens may be reached in plain text beyond this machine, where whoever is on the way can read and alter what is sent; meterfold_insecure tells where they are." },

    Key { name: "topics.api_calls", kind: Kind::Topic, default: Is("api-calls"),
        meaning: "Input: usage events. With no accounts topic, all events." },
    Key { name: "topics.accounts", kind: Kind::OptionalTopic, default: Is("accounts"),
        meaning: "Input: all other events. Empty: there is one input topic." },
    Key { name: "topics.cap_reached", kind: Kind::Topic, default: Is("cap-reached"),
        meaning: "Output: a team used up a monthly cap." },
    Key { name: "topics.tokens_depleted", kind: Kind::Topic, default: Is("tokens-depleted"),
        meaning: "Output: a team's tokens ran out." },
    Key { name: "topics.switched_to_postpay", kind: Kind::Topic, default: Is("switched-to-postpay"),
        meaning: "Output: a team pays in arrears from here on." },
    Key { name: "topics.monthly_invoice", kind: Kind::Topic, default: Is("monthly-invoice"),
        meaning: "Output: a closed month of a team." },
    Key { name: "topics.dead_letters", kind: Kind::Topic, default: Follows("APPLICATION-dead-letters"),
        meaning: "Output: records that cannot be accepted, as they came, with the reason." },
    Key { name: "topics.changelog", kind: Kind::Topic, default: Follows("APPLICATION-changelog"),
        meaning: "The state, compacted, from which the local one is rebuilt. No other application may use it." },
    Key { name: "topics.journal", kind: Kind::Topic, default: Follows("APPLICATION-journal"),
        meaning: "What was folded in which order, for audits. No other application may use it." },
    Key { name: "topics.partitions", kind: Kind::Integer(1, 10_000), default: Is("16"),
        meaning: "Partitions of every topic above. Fixed for an application: teams are spread by it." },
    Key { name: "topics.replication_factor", kind: Kind::Integer(1, 15), default: Is("3"),
        meaning: "Copies of each partition. 1 loses data with a broker and is for tests." },
    Key { name: "topics.min_insync_replicas", kind: Kind::Integer(1, 15), default: Is("2"),
        meaning: "Copies that must be written before a record counts." },

    Key { name: "commit.interval_ms", kind: Kind::Integer(1, 5_000), default: Is("500"),
        meaning: "A commit is made when this much time has passed since the last," },
    Key { name: "commit.cells_max", kind: Kind::Integer(1, 1_000_000), default: Is("50000"),
        meaning: "or when this many cells of the state have changed," },
    Key { name: "commit.output_bytes_max", kind: Kind::Integer(1, 1 << 30), default: Is("16777216"),
        meaning: "or when this many bytes of output wait. None of the three changes a bill." },

    Key { name: "output.format", kind: Kind::Choice(OUTPUT_FORMATS), default: Is("json"),
        meaning: "How derived events are written: CloudEvents in JSON, or Avro with a schema registry." },

    Key { name: "registry.url", kind: Kind::OptionalUrl, default: Is(""),
        meaning: "Schema registry, where inputs or outputs are Avro. Empty: there is none." },
    Key { name: "registry.username", kind: Kind::OptionalText, default: Is(""),
        meaning: "User at the registry. Empty: nobody in particular." },
    Key { name: "registry.password_file", kind: Kind::OptionalPath, default: Is(""),
        meaning: "File with that user's password." },
    Key { name: "registry.register", kind: Kind::Boolean, default: Is("false"),
        meaning: "Whether to register schemas of outputs that the registry lacks; else they must be there." },

    Key { name: "http.listen", kind: Kind::Listen, default: Is("127.0.0.1:8080"),
        meaning: "Where to serve health, metrics and queries." },
    Key { name: "http.advertised", kind: Kind::OptionalHostPort, default: Is(""),
        meaning: "Where other instances and users reach this one; it stands in client.id, so that the owner of a team can be found. Empty: nowhere." },
    Key { name: "http.bearer_token_file", kind: Kind::OptionalPath, default: Is(""),
        meaning: "File with the token that queries about teams must bring; read again when it changes. Empty: they are answered on a loopback address only." },
];

/// Sections in their order, with a line about each; `kafka` has no keys of ours.
pub const SECTIONS: &[(&str, &str)] = &[
    ("", ""),
    (
        "kafka",
        "Properties of the Kafka clients (librdkafka), by their names.",
    ),
    ("topics", "Topics, made and checked by `meterfold topics`."),
    ("commit", "When a commit is made."),
    ("output", "What is written."),
    ("registry", "The schema registry."),
    ("http", "The HTTP server."),
];

impl Key {
    /// `commit` of `commit.interval_ms`; nothing of a key at the top.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// `interval_ms` of `commit.interval_ms`.
    pub fn last(&self) -> &'static str {
        self.name
            .split_once('.')
            .map_or(self.name, |(_, last)| last)
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("METERFOLD_{}", self.name.replace('.', "__").to_uppercase())
    }

    /// How its value is written in TOML.
    pub fn toml(&self, value: &str) -> String {
        match self.kind {
            Kind::Integer(..) | Kind::Boolean => value.to_owned(),
            _ => format!("\"{value}\""),
        }
    }
}

impl Kind {
    /// What may be given, as in `give ..`.
    pub fn wanted(self) -> String {
        match self {
            Kind::Integer(from, to) => format!("a number from {from} to {to}"),
            Kind::Boolean => "true or false".to_owned(),
            Kind::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                quoted.join(" or ")
            }
            Kind::Identity(signs) => {
                let signs: Vec<String> = signs.chars().map(|sign| format!("'{sign}'")).collect();
                format!(
                    "1 to {IDENTITY_LENGTH_MAX} letters, digits, {}",
                    signs.join(", ")
                )
            }
            Kind::Topic => "the name of a topic: letters, digits, '_', '.', '-'".to_owned(),
            Kind::OptionalTopic => {
                "the name of a topic (letters, digits, '_', '.', '-'), or \"\"".to_owned()
            }
            Kind::Path => "a path".to_owned(),
            Kind::OptionalPath => "a path, or \"\"".to_owned(),
            Kind::Listen => "an address and a port, such as 127.0.0.1:8080".to_owned(),
            Kind::OptionalHostPort => "a host and a port, or \"\"".to_owned(),
            Kind::OptionalUrl => {
                "a URL of http or https without user and password, or \"\"".to_owned()
            }
            Kind::OptionalText => "a text, or \"\"".to_owned(),
        }
    }

    /// What is wrong with a value, and the remedy.
    pub fn fault(self, raw: &Raw) -> Option<String> {
        let form = match self {
            Kind::Integer(..) => Form::Integer,
            Kind::Boolean => Form::Boolean,
            _ => Form::Text,
        };
        if raw.form != Form::Any && raw.form != form {
            return Some(format!("is {}; give {}", raw.form.name(), self.wanted()));
        }
        let is_right = self.allows(&raw.text);
        (!is_right).then(|| format!("{} is refused; give {}", shown(&raw.text), self.wanted()))
    }

    fn allows(self, text: &str) -> bool {
        match self {
            Kind::Integer(from, to) => {
                let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                is_plain
                    && text
                        .parse::<u64>()
                        .is_ok_and(|number| (from..=to).contains(&number))
            }
            Kind::Boolean => matches!(text, "true" | "false"),
            Kind::Choice(words) => words.contains(&text),
            Kind::Identity(signs) => {
                (1..=IDENTITY_LENGTH_MAX).contains(&text.len()) && consists_of(text, signs)
            }
            Kind::Topic => {
                (1..=TOPIC_LENGTH_MAX).contains(&text.len())
                    && consists_of(text, "_.-")
                    && !matches!(text, "." | "..")
            }
            Kind::OptionalTopic => text.is_empty() || Kind::Topic.allows(text),
            Kind::Path => !text.is_empty() && !text.contains('\0'),
            Kind::OptionalPath => !text.contains('\0'),
            Kind::Listen => text.parse::<std::net::SocketAddr>().is_ok(),
            Kind::OptionalHostPort => text.is_empty() || is_host_port(text),
            Kind::OptionalUrl => text.is_empty() || is_url(text),
            Kind::OptionalText => !text.chars().any(char::is_control),
        }
    }
}

fn consists_of(text: &str, signs: &str) -> bool {
    text.chars()
        .all(|sign| sign.is_ascii_alphanumeric() || signs.contains(sign))
}

fn is_host_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    let is_host = is_ipv6 || (!host.is_empty() && host.len() <= 253 && consists_of(host, "-._"));
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        let is_plain = !rest.contains(|sign: char| sign.is_whitespace() || sign.is_control());
        !host.is_empty()
            && is_plain
            && !host.contains(['@', '?', '#'])
            && !rest.contains(['?', '#'])
    })
}
