//! Values as they were given, with their places, and faults of them.

use std::fmt;

/// A value before it is checked.
#[derive(Clone)]
pub struct Raw {
    pub text: String,
    pub form: Form,
    pub place: Place,
}

/// What a value was written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Variables and flags are only texts.
    Any,
    Text,
    Integer,
    Float,
    Boolean,
    Date,
    List,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Form::Any => "anything",
            Form::Text => "a text in quotes",
            Form::Integer => "a number",
            Form::Float => "a number with a point",
            Form::Boolean => "true or false",
            Form::Date => "a date",
            Form::List => "a list",
        }
    }
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// File and line.
    File(String, usize),
    /// Environment variable.
    Variable(String),
    /// `--set`.
    Flag,
    /// Nowhere: it is missing, or a default.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, line) => write!(f, "{path}:{line}"),
            Place::Variable(name) => write!(f, "environment variable {name}"),
            Place::Flag => f.write_str("--set"),
            Place::Nowhere => f.write_str("configuration"),
        }
    }
}

/// One thing wrong: `meterfold.toml:3: workers: 65 is refused; give a number from 1 to 64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    /// Empty: the file as a whole.
    pub key: String,
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

/// Everything wrong with a configuration, one fault a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Fault>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            let end = if number == 0 { "" } else { "\n" };
            write!(f, "{end}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Longer values are cut in messages.
const SHOWN_LENGTH_MAX: usize = 60;

/// A value as a message shows it: one line, in quotes.
pub fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN_LENGTH_MAX {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(SHOWN_LENGTH_MAX).collect();
    format!("{start:?}..")
}

/// The candidate that differs least from `word`, where that is little enough to be a slip.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let slips_max = word.chars().count() / 3;
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .min()
        .filter(|(slips, _)| *slips <= slips_max)
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, leave out or replace to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *wanted);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest, shown};

    #[test]
    fn distances() {
        for (one, other, slips) in [
            ("", "", 0),
            ("workers", "workers", 0),
            ("worker", "workers", 1),
            ("wrokers", "workers", 2),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), slips, "{one} {other}");
            assert_eq!(distance(other, one), slips, "{other} {one}");
        }
    }

    #[test]
    fn only_slips_are_suggested() {
        let keys = ["workers", "rates", "state_dir"];
        assert_eq!(nearest("wokers", keys.into_iter()), Some("workers"));
        assert_eq!(nearest("state-dir", keys.into_iter()), Some("state_dir"));
        assert_eq!(nearest("colour", keys.into_iter()), None);
    }

    #[test]
    fn a_shown_value_is_one_short_line() {
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert!(shown(&"x".repeat(1000)).len() < 70);
    }
}
