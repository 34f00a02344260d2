//! The configuration, written out: as a TOML document of all defaults, and as tables for the guide.

use std::fmt::Write as _;

use super::client_properties::{RULES, Rule, SECRETS};
use super::keys::{Default, KEYS, Key, SECTIONS};

const WIDTH: usize = 96;

pub fn default_document() -> String {
    let mut text = String::from(
        "# Configuration of meterfold: every key with its default. A key that is commented out has\n\
         # no default, or one that follows from something else.\n",
    );
    for (section, about) in SECTIONS {
        if !section.is_empty() {
            let _ = write!(text, "\n# {about}\n[{section}]\n");
        }
        if *section == "kafka" {
            text.push_str(
                "\n# Brokers to begin with, as HOST:PORT,HOST:PORT. Required.\n\
                 # \"bootstrap.servers\" = \"127.0.0.1:9092\"\n",
            );
        }
        for key in KEYS.iter().filter(|key| key.section() == *section) {
            text.push('\n');
            wrap(&mut text, &comment(key));
            let name = key.last();
            let _ = match key.default {
                Default::Is(value) => writeln!(text, "{name} = {}", key.toml(value)),
                Default::Follows(_) | Default::Required => {
                    writeln!(text, "# {name} = {}", key.toml(example(key)))
                }
            };
        }
    }
    text
}

pub fn markdown() -> String {
    let mut text = String::new();
    for (section, about) in SECTIONS {
        if *section == "kafka" {
            continue;
        }
        let _ = match *section {
            "" => write!(text, "### At the top\n\n"),
            section => write!(text, "### `[{section}]`\n\n{about}\n\n"),
        };
        text.push_str("| key | default | may be | meaning |\n| --- | --- | --- | --- |\n");
        for key in KEYS.iter().filter(|key| key.section() == *section) {
            let default = match key.default {
                Default::Is(value) => format!("`{}`", key.toml(value)),
                Default::Follows(rule) => rule.to_owned(),
                Default::Required => "required".to_owned(),
            };
            let _ = writeln!(
                text,
                "| `{}`<br>`{}` | {default} | {} | {} |",
                key.last(),
                key.variable(),
                key.kind.wanted(),
                key.meaning
            );
        }
        text.push('\n');
    }
    text.push_str(
        "### Properties that `[kafka]` refuses\n\n| property | may be | because |\n| --- | --- | --- |\n",
    );
    for (name, rule, why) in RULES {
        let values = match rule {
            Rule::Ours => "set by the program".to_owned(),
            Rule::Only(values) => format!("`{}`", values.join("` or `")),
            Rule::Without(words) => format!("anything but `{}`", words.join("`, `")),
            Rule::Within(from, to) => format!("{from} to {to}"),
        };
        let _ = writeln!(text, "| `{name}` | {values} | {why} |");
    }
    let secrets: Vec<String> = SECRETS.iter().map(|name| format!("`{name}`")).collect();
    let _ = write!(
        text,
        "\nSecrets, which only `NAME.file` may give: {}.\n",
        secrets.join(", ")
    );
    text
}

fn comment(key: &Key) -> String {
    let default = match key.default {
        Default::Is(_) => String::new(),
        Default::Follows(rule) => format!(" By default: {rule}."),
        Default::Required => " Required.".to_owned(),
    };
    format!("{} Give {}.{default}", key.meaning, key.kind.wanted())
}

fn example(key: &Key) -> &'static str {
    match key.name {
        "instance" => "meterfold-0",
        "rates" => "rates.json",
        "topics.dead_letters" => "meterfold-dead-letters",
        "topics.changelog" => "meterfold-changelog",
        "topics.journal" => "meterfold-journal",
        _ => "",
    }
}

/// Words as comment lines.
fn wrap(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
