//! Words: those that the glossary keeps for other ideas, left-over reminders, and places and hosts
//! that exist on one machine only.

use super::source::Source;

/// Words with one meaning, which the glossary says in another word: team, hub, carry-over and so on.
const NOT_OF_FLOOR_0: [&str; 16] = [
    "customer",
    "tenant",
    "workspace",
    "overage",
    "payg",
    "watermark",
    "quota",
    "rollover",
    "overdraft",
    "burn",
    "poison",
    "garbage",
    "pricing",
    "finalize",
    "checkpoint",
    "backup",
];

const REMINDERS: [&str; 2] = ["TODO", "FIXME"];
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];
const NAMES_WITHOUT_MEANING: [&str; 6] = ["util", "utils", "common", "helpers", "manager", "misc"];

const PLACES: [&str; 5] = ["/work/", "/root/", "/home/", "/tmp/", "/Users/"];
const HOSTS: [&str; 9] = [
    "crates.io",
    "pypi.org",
    "pythonhosted.org",
    "registry.npmjs.org",
    "maven.apache.org",
    "maven.org",
    "proxy.golang.org",
    "deb.debian.org",
    "artifactory",
];
/// The name of the registry in a lock file, whichever mirror a machine uses.
const LOCKED_FROM: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// Words that the glossary keeps out of floor 0, in names and comments.
pub fn glossary(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/billing/") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (line, text) in lines(source) {
        for word in words(text) {
            if NOT_OF_FLOOR_0.contains(&word.trim_end_matches('s')) {
                let path = &source.path;
                faults.push(format!(
                    "{path}:{line}: {word}: the glossary has another word"
                ));
            }
        }
    }
    faults
}

/// Work that was left for later.
pub fn unfinished(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (line, text) in lines(source) {
        let mut names = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        if let Some(name) = names.find(|name| REMINDERS.contains(name)) {
            faults.push(format!("{}:{line}: {name} is left over", source.path));
        }
    }
    if source.path.ends_with(".rs") {
        for pair in source.code().windows(2) {
            if UNFINISHED.contains(&pair[0].text.as_str()) && pair[1].text == "!" {
                let (path, line) = (&source.path, pair[0].line);
                faults.push(format!("{path}:{line}: {}! is left over", pair[0].text));
            }
        }
    }
    let name = source.path.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    if NAMES_WITHOUT_MEANING.contains(&stem) {
        faults.push(format!(
            "{}: {stem} says nothing; name what it holds",
            source.path
        ));
    }
    faults
}

/// Directories of one machine and addresses of package registries.
pub fn places(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (line, text) in lines(source) {
        let text = if source.path == "Cargo.lock" && text == LOCKED_FROM {
            ""
        } else {
            text
        };
        let place = PLACES.iter().find(|place| {
            text.match_indices(**place).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                !before.is_some_and(|letter| letter.is_alphanumeric() || "}_-.~*".contains(letter))
            })
        });
        let host = HOSTS.iter().find(|host| text.contains(**host));
        if let Some(found) = place.or(host) {
            faults.push(format!("{}:{line}: names {found}", source.path));
        }
    }
    faults
}

fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(source.text.lines())
}

/// The words of a line in lower case: `TeamId`, `team_id` and `team id` are the same two.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in text.chars() {
        let begins = letter.is_uppercase() && was_lower;
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words
                .last_mut()
                .expect("never empty")
                .extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}
