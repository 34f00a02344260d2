//! The topics: what each must be (`engine.md` 11, `interfaces.md` 5), making those that are missing,
//! and finding what is wrong with those that are there.
//!
//! A topic that exists is never altered: each fault comes with the command that mends it.

mod fault;
mod table;

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use crate::config::Config;

use super::cluster::{Cluster, ClusterError, TopicSettings, is_refusal};
use super::describe::{Described, TopicDescription};

use fault::Mender;
pub use fault::{Severity, TopicFault};
pub use table::{MayBe, SettingRule, TopicRules, rules};

/// What `create` did with a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    pub topic: String,
    /// False: it was there, and stays as it is.
    pub is_new: bool,
}

/// Whose rights on the topics are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsOf {
    /// Who folds: reads inputs, writes the rest.
    Run,
    /// Who makes the topics, and only looks at them.
    Topics,
}

/// Makes the topics that are missing, inputs too, in the order of [`rules`].
pub fn create(cluster: &Cluster, config: &Config) -> Result<Vec<Creation>, ClusterError> {
    let rules = rules(config);
    let described = cluster.describe(&names(rules.iter()))?;
    let is_missing =
        |found: &Described| matches!(found, Err(RDKafkaErrorCode::UnknownTopicOrPartition));
    let missing: Vec<&TopicRules> = rules
        .iter()
        .zip(&described)
        .filter(|(_, found)| is_missing(found))
        .map(|(rules, _)| rules)
        .collect();
    let new: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|rules| new_topic(rules, config))
        .collect();
    let made = cluster.create(&new)?;
    cluster.wait_for(&names(missing.iter().copied()))?;
    let is_new = |rules: &TopicRules| {
        let mut pairs = missing.iter().zip(&made);
        pairs.any(|(missing, is_new)| missing.name == rules.name && *is_new)
    };
    Ok(rules
        .iter()
        .map(|rules| Creation {
            topic: rules.name.clone(),
            is_new: is_new(rules),
        })
        .collect())
}

fn new_topic<'a>(rules: &'a TopicRules, config: &Config) -> NewTopic<'a> {
    let copies = i32::from(config.topics.replication_factor);
    let mut topic = NewTopic::new(
        &rules.name,
        i32::from(config.topics.partitions),
        TopicReplication::Fixed(copies),
    );
    for setting in &rules.settings {
        topic = topic.set(setting.name, &setting.made);
    }
    topic
}

/// What is wrong with the topics, errors and warnings, in the order of [`rules`].
///
/// # Errors
///
/// The cluster could not be asked; wrong topics are no error of this function.
pub fn check(
    cluster: &Cluster,
    config: &Config,
    rights: RightsOf,
) -> Result<Vec<TopicFault>, ClusterError> {
    let rules = rules(config);
    let described = cluster.describe(&names(rules.iter()))?;
    let there: Vec<&str> = rules
        .iter()
        .zip(&described)
        .filter(|(_, described)| {
            let described = described.as_ref();
            described.is_ok_and(|found| found.can_describe_configs)
        })
        .map(|(rules, _)| rules.name.as_str())
        .collect();
    let settings = cluster.settings(&there)?;
    let user = config.kafka.shown_user();
    let mut faults = Vec::new();
    for (rules, described) in rules.iter().zip(&described) {
        let mender = Mender {
            brokers: cluster.brokers(),
            topic: &rules.name,
            user,
        };
        match described {
            Ok(found) => {
                faults.extend(faults_of_shape(rules, found, config, rights, &mender));
                if let Some(settings) = settings.get(&rules.name) {
                    faults.extend(faults_of_settings(rules, settings, &mender));
                }
            }
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                faults.push(mender.missing(rules, config));
            }
            Err(code) => faults.push(mender.unreadable(*code)),
        }
    }
    Ok(faults)
}

/// Refused unless each of the topics that there are may be read: whoever may not even describe one is told
/// later on that there is none.
pub fn check_readable(cluster: &Cluster, topics: &[&str]) -> Result<(), ClusterError> {
    for (topic, described) in topics.iter().zip(cluster.describe(topics)?) {
        let right = match described {
            Err(code) if is_refusal(code) => "Read and Describe",
            Ok(found) if !found.can_read => "Read",
            _ => continue,
        };
        return Err(ClusterError::Refused {
            brokers: cluster.brokers().to_owned(),
            reason: format!("topic {topic} needs {right}"),
        });
    }
    Ok(())
}

/// `retention.ms` of each input, the usage topic first; None: for ever.
pub fn retention(cluster: &Cluster, config: &Config) -> Result<Vec<Option<i64>>, ClusterError> {
    let inputs = std::iter::once(config.topics.api_calls.as_str());
    let inputs: Vec<&str> = inputs.chain(config.topics.accounts.as_deref()).collect();
    let settings = cluster.settings(&inputs)?;
    let of = |topic: &&str| {
        let millis = settings.get(*topic)?.get("retention.ms")?;
        millis.parse().ok().filter(|millis| *millis > 0)
    };
    Ok(inputs.iter().map(of).collect())
}

fn names<'a>(rules: impl Iterator<Item = &'a TopicRules>) -> Vec<&'a str> {
    rules.map(|rules| rules.name.as_str()).collect()
}

fn faults_of_shape(
    rules: &TopicRules,
    found: &TopicDescription,
    config: &Config,
    rights: RightsOf,
    mender: &Mender<'_>,
) -> Vec<TopicFault> {
    let mut faults = Vec::new();
    let wanted = usize::from(config.topics.partitions);
    if found.partitions.len() != wanted {
        faults.push(mender.partitions(found.partitions.len(), wanted));
    }
    let copies = found
        .partitions
        .iter()
        .map(|partition| partition.replicas)
        .min();
    let wanted = usize::from(config.topics.replication_factor);
    if let Some(copies) = copies.filter(|copies| *copies < wanted) {
        faults.push(mender.replicas(copies, wanted));
    }
    let folds = rights == RightsOf::Run;
    let needs_read = folds && (rules.is_input || rules.is_read);
    let needs_write = folds && !rules.is_input;
    for (is_needed, is_given, right) in [
        (needs_read, found.can_read, "Read"),
        (needs_write, found.can_write, "Write"),
        (true, found.can_describe_configs, "DescribeConfigs"),
    ] {
        if is_needed && !is_given {
            faults.push(mender.right(right));
        }
    }
    if found.id == [0; 16] {
        faults.push(mender.no_id());
    }
    faults
}

fn faults_of_settings(
    rules: &TopicRules,
    found: &TopicSettings,
    mender: &Mender<'_>,
) -> Vec<TopicFault> {
    let mut faults = Vec::new();
    for rule in &rules.settings {
        // A broker that does not know a setting does not break it.
        let Some(value) = found.get(rule.name) else {
            continue;
        };
        if !rule.may_be.allows(value) {
            faults.push(mender.setting(rule, value));
        }
    }
    faults
}

#[cfg(test)]
#[path = "topics/tests.rs"]
mod tests;
