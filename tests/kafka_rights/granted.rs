//! The table of rights in SECURITY.md, read and granted by Kafka's own tool.

use std::path::Path;
use std::process::Command;

use crate::support::kafka::Broker;
use crate::support::processor::{DERIVED, Setup};

/// An operation on things of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Right {
    /// `--topic`, `--group` or `--transactional-id`.
    kind: &'static str,
    names: Vec<String>,
    is_prefix: bool,
    pub operation: String,
}

impl Right {
    pub fn leave_out(&mut self, name: &str) {
        self.names.retain(|it| it != name);
    }

    /// Whether it is what "group" or "transactions" take beyond looking.
    pub fn is_needed_for(&self, what: &str) -> bool {
        let of_kind = match what {
            "group" => self.kind == "--group",
            "transactions" => self.kind == "--transactional-id",
            _ => false,
        };
        of_kind && self.operation != "Describe"
    }

    /// Whether a message says what is missing: the thing, or for topics any of them.
    pub fn is_named_by(&self, message: &str) -> bool {
        match self.kind {
            "--topic" => self.names.iter().any(|name| message.contains(name)),
            "--group" => message.to_lowercase().contains("group"),
            _ => message.to_lowercase().contains("transactional"),
        }
    }
}

/// What SECURITY.md gives an identity, of the topics and the group of a setup.
pub fn rights(identity: &str, setup: &Setup) -> Vec<Right> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text
        .split_once("| identity | resource |")
        .expect("the table");
    let mut current = "";
    let mut rights = Vec::new();
    for line in table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if !cells[1].is_empty() {
            current = cells[1];
        }
        if current == identity {
            let operations = cells[3].split(", ");
            rights.extend(operations.map(|operation| right(cells[2], operation, setup)));
        }
    }
    assert!(!rights.is_empty(), "SECURITY.md gives {identity} nothing");
    rights
}

fn right(resource: &str, operation: &str, setup: &Setup) -> Right {
    let kinds = [
        ("topic", "--topic"),
        ("group", "--group"),
        ("transactional id", "--transactional-id"),
    ];
    let kind = kinds.iter().find(|(word, _)| resource.starts_with(word));
    let mut names: Vec<String> = resource
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|name| name.replace("APPLICATION", &setup.name))
        .collect();
    let is_all = resource.contains("all of the above");
    if resource.contains("inputs") || is_all {
        names.extend(setup.inputs());
    }
    if resource.contains("derived") || is_all {
        names.extend(DERIVED.map(|topic| setup.topic(topic)));
    }
    if is_all {
        names.extend(["dead-letters", "changelog", "journal"].map(|topic| setup.topic(topic)));
    }
    assert!(!names.is_empty(), "SECURITY.md: {resource}");
    Right {
        kind: kind.unwrap_or_else(|| panic!("SECURITY.md: {resource}")).1,
        names,
        is_prefix: resource.contains("prefix"),
        operation: operation.to_owned(),
    }
}

/// Gives users a right, by the listener that may do everything.
pub fn grant<U: AsRef<str>>(broker: &Broker, users: &[U], right: &Right) {
    let cache = std::env::var("XDG_CACHE_HOME")
        .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap()));
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/kafka/pom.xml");
    let pom = std::fs::read_to_string(pom).unwrap();
    let version = pom
        .split(['<', '>'])
        .skip_while(|word| *word != "version")
        .nth(1)
        .unwrap();
    let jars = format!("{cache}/meterfold/kafka-{version}");
    let mut tool = Command::new("java");
    tool.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
        .arg(format!("-XX:SharedArchiveFile={jars}/classes.jsa"))
        .args([
            "-cp",
            &format!("{jars}/*"),
            "org.apache.kafka.tools.AclCommand",
        ])
        .args(["--bootstrap-server", broker.bootstrap(), "--add", "--force"])
        .args(["--operation", &right.operation]);
    for user in users {
        tool.args(["--allow-principal", &format!("User:{}", user.as_ref())]);
    }
    for name in &right.names {
        tool.args([right.kind, name]);
    }
    if right.is_prefix {
        tool.args(["--resource-pattern-type", "prefixed"]);
    }
    let output = tool.output().expect("java starts");
    assert!(output.status.success(), "{right:?}: {output:?}");
}
