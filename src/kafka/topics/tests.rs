//! Tests of the table of topics, without a broker.

use super::table::percent;
use super::*;

fn config(text: &str) -> Config {
    let required = "rates = \"r.json\"\nkafka.\"bootstrap.servers\" = \"127.0.0.1:1\"\n";
    Config::parse("m.toml", &format!("{required}{text}")).unwrap()
}

fn rules_of<'a>(all: &'a [TopicRules], name: &str) -> &'a TopicRules {
    all.iter().find(|rules| rules.name == name).unwrap()
}

/// Settings as a topic has them that `create` made.
fn made(rules: &TopicRules) -> TopicSettings {
    let pairs = rules.settings.iter();
    pairs
        .map(|rule| (rule.name.to_owned(), rule.made.clone()))
        .collect()
}

fn faults(rules: &TopicRules, found: &TopicSettings) -> Vec<TopicFault> {
    let mender = Mender {
        brokers: "k:9092",
        topic: &rules.name,
        user: None,
    };
    faults_of_settings(rules, found, &mender)
}

#[test]
fn what_create_makes_check_accepts() {
    for text in ["", "recorded_time = \"record\"", "topics.accounts = \"\""] {
        for rules in rules(&config(text)) {
            assert_eq!(faults(&rules, &made(&rules)), [], "{}", rules.name);
        }
    }
}

#[test]
fn every_topic_of_the_configuration_is_in_the_table() {
    let all = rules(&config(""));
    let names: Vec<&str> = all.iter().map(|rules| rules.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "api-calls",
            "accounts",
            "cap-reached",
            "tokens-depleted",
            "switched-to-postpay",
            "monthly-invoice",
            "meterfold-dead-letters",
            "meterfold-changelog",
            "meterfold-journal",
        ]
    );
    assert_eq!(rules(&config("topics.accounts = \"\"")).len(), 8);
    for rules in &all {
        for name in [
            "unclean.leader.election.enable",
            "min.insync.replicas",
            "cleanup.policy",
        ] {
            assert!(
                rules.settings.iter().any(|rule| rule.name == name),
                "{} {name}",
                rules.name
            );
        }
    }
}

#[test]
fn a_fault_is_a_sentence_with_the_command_that_mends_it() {
    let all = rules(&config(""));
    let rules = rules_of(&all, "api-calls");
    let mut found = made(rules);
    found.insert("cleanup.policy".into(), "compact".into());
    let faults = faults(rules, &found);
    assert_eq!(
        faults[0].to_string(),
        "topic api-calls: cleanup.policy is compact, wanted is delete: compaction keeps one event \
         of a team and drops its usage; mend it with: kafka-configs.sh --bootstrap-server k:9092 \
         --alter --entity-type topics --entity-name api-calls --add-config cleanup.policy=delete"
    );
    assert_eq!(faults.len(), 1);
}

#[test]
fn each_setting_is_refused_when_it_is_wrong() {
    use Severity::{Error, Warning};
    for (topic, setting, value, severity) in [
        ("api-calls", "cleanup.policy", "compact,delete", Error),
        ("api-calls", "message.timestamp.type", "CreateTime", Error),
        ("api-calls", "retention.ms", "604800000", Warning),
        ("accounts", "retention.bytes", "1000000", Warning),
        ("accounts", "unclean.leader.election.enable", "true", Error),
        ("api-calls", "min.insync.replicas", "1", Error),
        ("cap-reached", "cleanup.policy", "compact", Error),
        ("monthly-invoice", "max.message.bytes", "1000000", Error),
        (
            "meterfold-dead-letters",
            "max.message.bytes",
            "1048588",
            Error,
        ),
        (
            "meterfold-dead-letters",
            "retention.ms",
            "604800000",
            Warning,
        ),
        ("meterfold-changelog", "cleanup.policy", "delete", Error),
        (
            "meterfold-changelog",
            "message.timestamp.type",
            "CreateTime",
            Error,
        ),
        (
            "meterfold-changelog",
            "delete.retention.ms",
            "86400000",
            Error,
        ),
        ("meterfold-changelog", "segment.ms", "604800000", Error),
        (
            "meterfold-changelog",
            "min.cleanable.dirty.ratio",
            "0.51",
            Warning,
        ),
        ("meterfold-journal", "cleanup.policy", "compact", Error),
        ("meterfold-journal", "retention.ms", "7776000000", Error),
        ("meterfold-journal", "retention.bytes", "1", Error),
        ("meterfold-journal", "max.message.bytes", "500000", Error),
    ] {
        let all = rules(&config(""));
        let rules = rules_of(&all, topic);
        let mut found = made(rules);
        found.insert(setting.to_owned(), value.to_owned());
        let faults = faults(rules, &found);
        assert_eq!(faults.len(), 1, "{topic} {setting}");
        assert_eq!(
            (faults[0].setting, faults[0].severity),
            (setting, severity),
            "{topic}"
        );
    }
}

#[test]
fn recorded_time_decides_the_timestamps_of_inputs_alone() {
    let all = rules(&config("recorded_time = \"record\""));
    for (topic, wanted) in [
        ("api-calls", "CreateTime"),
        ("meterfold-changelog", "LogAppendTime"),
        ("meterfold-journal", "LogAppendTime"),
    ] {
        assert_eq!(
            made(rules_of(&all, topic))["message.timestamp.type"],
            wanted
        );
    }
}

#[test]
fn partitions_replicas_and_rights() {
    use super::super::describe::PartitionDescription;
    let config = config("topics.partitions = 2");
    let all = rules(&config);
    let partition = PartitionDescription {
        has_leader: true,
        replicas: 3,
        replicas_in_sync: 3,
    };
    let right = TopicDescription {
        id: [1; 16],
        partitions: vec![partition; 2],
        can_read: true,
        can_write: true,
        can_describe_configs: true,
    };
    let faults = |topic: &str, found: &TopicDescription| -> Vec<String> {
        let rules = rules_of(&all, topic);
        let mender = Mender {
            brokers: "k:9092",
            topic,
            user: Some("meter"),
        };
        let faults = faults_of_shape(rules, found, &config, RightsOf::Run, &mender);
        faults.iter().map(ToString::to_string).collect()
    };
    assert_eq!(faults("api-calls", &right), Vec::<String>::new());
    let fewer = TopicDescription {
        partitions: vec![partition],
        ..right.clone()
    };
    let fault = &faults("api-calls", &fewer)[0];
    assert!(fault.contains("mend it with: topics.partitions = 1, if all topics have so many; only if it never held a record: "));
    assert!(fault.ends_with("--alter --topic api-calls --partitions 2"));
    let more = TopicDescription {
        partitions: vec![partition; 3],
        ..right.clone()
    };
    assert!(faults("api-calls", &more)[0].contains("--delete --topic api-calls"));
    let alone = PartitionDescription {
        replicas: 1,
        ..partition
    };
    let alone = TopicDescription {
        partitions: vec![partition, alone],
        ..right.clone()
    };
    assert!(faults("accounts", &alone)[0].contains("replication factor is 1, wanted is 3"));
    let shut = TopicDescription {
        can_read: false,
        can_write: false,
        ..right.clone()
    };
    assert_eq!(faults("api-calls", &shut).len(), 1);
    assert_eq!(faults("cap-reached", &shut).len(), 1);
    assert_eq!(faults("meterfold-journal", &shut).len(), 2);
    let old = TopicDescription {
        id: [0; 16],
        ..right
    };
    assert!(faults("api-calls", &old)[0].contains("upgrade of the brokers"));
}

#[test]
fn shares() {
    for (share, hundredths) in [
        ("0.3", 30),
        ("0.30", 30),
        ("0.5", 50),
        ("1", 100),
        ("0.05", 5),
        ("0.509", 50),
    ] {
        assert_eq!(percent(share), Some(hundredths), "{share}");
    }
    assert_eq!(percent("often"), None);
}
