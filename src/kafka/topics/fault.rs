//! What is wrong with a topic, and the command that mends it.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode;

use crate::config::Config;

use super::super::cluster::is_refusal;
use super::table::{SettingRule, TopicRules};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, and costs something that is said.
    Warning,
    /// `run` refuses it.
    Error,
}

/// Something wrong with a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFault {
    pub severity: Severity,
    pub topic: String,
    /// `cleanup.policy`, or `partitions`, `existence` and such.
    pub setting: &'static str,
    pub found: String,
    pub wanted: String,
    pub because: &'static str,
    /// A command, or what else to do.
    pub remedy: String,
}

impl TopicFault {
    /// Whether a right is missing: exit code 6, not 4.
    pub fn is_refusal(&self) -> bool {
        self.setting == ACCESS
    }
}

impl fmt::Display for TopicFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "",
        };
        write!(
            f,
            "{kind}topic {}: {} is {}, wanted is {}: {}; mend it with: {}",
            self.topic, self.setting, self.found, self.wanted, self.because, self.remedy
        )
    }
}

const ACCESS: &str = "access";

/// Writes faults of one topic with the commands against them.
pub struct Mender<'a> {
    pub brokers: &'a str,
    pub topic: &'a str,
    /// Whom the brokers know us as; None: the configuration does not tell.
    pub user: Option<&'a str>,
}

impl Mender<'_> {
    fn fault(&self, setting: &'static str, found: String, wanted: String) -> TopicFault {
        TopicFault {
            severity: Severity::Error,
            topic: self.topic.to_owned(),
            setting,
            found,
            wanted,
            because: "",
            remedy: String::new(),
        }
    }

    pub fn setting(&self, rule: &SettingRule, found: &str) -> TopicFault {
        TopicFault {
            severity: rule.severity,
            because: rule.because,
            remedy: format!(
                "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics \
                 --entity-name {} --add-config {}={}",
                self.brokers, self.topic, rule.name, rule.made
            ),
            ..self.fault(rule.name, found.to_owned(), rule.may_be.to_string())
        }
    }

    pub fn missing(&self, rules: &TopicRules, config: &Config) -> TopicFault {
        let settings: String = rules
            .settings
            .iter()
            .map(|rule| format!(" --config {}={}", rule.name, rule.made))
            .collect();
        TopicFault {
            because: "nothing can be read or written",
            remedy: format!(
                "kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {} \
                 --replication-factor {}{settings}",
                self.brokers,
                self.topic,
                config.topics.partitions,
                config.topics.replication_factor
            ),
            ..self.fault("existence", "missing".to_owned(), "there".to_owned())
        }
    }

    /// Teams are spread by the number of partitions, so a topic that holds records keeps its own.
    pub fn partitions(&self, found: usize, wanted: usize) -> TopicFault {
        let Mender { brokers, topic, .. } = self;
        let change = match found < wanted {
            true => format!("--alter --topic {topic} --partitions {wanted}"),
            false => format!("--delete --topic {topic}"),
        };
        let again = if found < wanted {
            ""
        } else {
            ", then make it again"
        };
        let remedy = format!(
            "topics.partitions = {found}, if all topics have so many; only if it never held a record: \
             kafka-topics.sh --bootstrap-server {brokers} {change}{again}"
        );
        TopicFault {
            because: "a team lies in the same partition of every topic",
            remedy,
            ..self.fault("partitions", found.to_string(), wanted.to_string())
        }
    }

    pub fn replicas(&self, found: usize, wanted: usize) -> TopicFault {
        TopicFault {
            because: "a record must outlive a broker",
            remedy: format!(
                "kafka-reassign-partitions.sh --bootstrap-server {} with {wanted} replicas for each \
                 partition of {}, or, to accept it, topics.replication_factor = {found}",
                self.brokers, self.topic
            ),
            ..self.fault("replication factor", found.to_string(), wanted.to_string())
        }
    }

    pub fn right(&self, right: &'static str) -> TopicFault {
        TopicFault {
            because: "the user of [kafka] lacks a right",
            remedy: format!(
                "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:{} --operation \
                 {right} --topic {}",
                self.brokers,
                self.user.unwrap_or("NAME"),
                self.topic
            ),
            ..self.fault(ACCESS, format!("without {right}"), right.to_owned())
        }
    }

    pub fn unreadable(&self, code: RDKafkaErrorCode) -> TopicFault {
        if is_refusal(code) {
            return TopicFault {
                found: code.to_string(),
                ..self.right("Describe")
            };
        }
        TopicFault {
            because: "the broker does not describe it",
            remedy: "meterfold topics check, again; then look at the brokers' log".to_owned(),
            ..self.fault("description", code.to_string(), "there".to_owned())
        }
    }

    pub fn no_id(&self) -> TopicFault {
        TopicFault {
            because: "a topic that was replaced can only be told by its id",
            remedy: "an upgrade of the brokers to Kafka 2.8 or newer".to_owned(),
            ..self.fault("topic id", "missing".to_owned(), "there".to_owned())
        }
    }
}
