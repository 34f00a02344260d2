//! Topics and rights that the chart asks of Strimzi, against those that the program makes and needs.

use meterfold::config::Config;
use meterfold::kafka::topics::{TopicRules, rules};

/// As in `helm/ci/strimzi.yaml`.
const CONFIG: &str = r#"
application = "metering"
rates = "rates.json"
[kafka]
"bootstrap.servers" = "127.0.0.1:1"
[topics]
api_calls = "usage.api_calls"
partitions = 24
replication_factor = 5
min_insync_replicas = 3
"#;

/// What differs, of the objects of that value set.
pub fn faults(objects: &str) -> Vec<String> {
    let config = Config::parse("strimzi", CONFIG).unwrap();
    let rules = rules(&config);
    let topics: Vec<&str> = objects
        .split("\n---\n")
        .filter(|object| object.contains("\nkind: KafkaTopic\n"))
        .collect();
    let mut faults = Vec::new();
    if topics.len() != rules.len() {
        faults.push(format!("{} topics, not {}", topics.len(), rules.len()));
    }
    for rule in &rules {
        let name = &rule.name;
        let head = format!("topicName: {name}\n  partitions: 24\n  replicas: 5\n  config:\n");
        let found = topics.iter().find_map(|topic| topic.split_once(&head));
        match found {
            Some((_, settings)) => faults.extend(settings_faults(rule, settings)),
            None => faults.push(format!("{name}: no such topic, or of another size")),
        }
        let rights = format!(
            "name: {name}, patternType: literal }}\n        operations: [{}]\n",
            operations(rule)
        );
        if !objects.contains(&rights) {
            faults.push(format!("{name}: the user has not {}", operations(rule)));
        }
    }
    faults.extend(auditor_faults(objects, &rules));
    faults
}

/// An auditor reads what it compares, dead letters too, and nothing else (SECURITY.md).
fn auditor_faults(objects: &str, rules: &[TopicRules]) -> Vec<String> {
    let (_, auditor) = objects
        .split_once("kind: KafkaUser\nmetadata:\n  name: meterfold-audit\n")
        .expect("a user for audits");
    let auditor = auditor.split("\n---\n").next().unwrap_or_default();
    let read: Vec<&str> = rules
        .iter()
        .map(|rule| rule.name.as_str())
        .filter(|name| !name.ends_with("-changelog"))
        .collect();
    let rights = read.iter().map(|name| {
        format!("name: {name}, patternType: literal }}\n        operations: [Read, Describe]\n")
    });
    let missing = rights.filter(|right| !auditor.contains(right));
    let mut faults: Vec<String> = missing
        .map(|right| format!("the auditor has not: {right}"))
        .collect();
    if auditor.matches("type: topic,").count() != read.len() {
        faults.push("the auditor has rights to other topics".to_owned());
    }
    faults
}

fn settings_faults(rule: &TopicRules, found: &str) -> Vec<String> {
    let mut found: Vec<&str> = found
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    found.retain(|line| !line.starts_with('#') && *line != "---");
    found.sort_unstable();
    let settings = rule.settings.iter();
    let mut wanted: Vec<String> = settings
        .map(|setting| format!("{}: {:?}", setting.name, setting.made))
        .collect();
    wanted.sort_unstable();
    if found == wanted {
        return Vec::new();
    }
    vec![format!("{}: {found:?}, not {wanted:?}", rule.name)]
}

fn operations(rule: &TopicRules) -> &'static str {
    match (rule.is_input, rule.is_read) {
        (true, _) => "Read, Describe, DescribeConfigs",
        (false, true) => "Read, Write, Describe, DescribeConfigs",
        (false, false) => "Write, Describe, DescribeConfigs",
    }
}
