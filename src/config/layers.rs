//! The layers of a configuration: a TOML file, environment variables, flags; the later wins.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::kafka_properties::GivenProperties;
use super::keys::{KEYS, SECTIONS};
use super::values::{Fault, Form, Place, Raw, nearest, shown};

const PREFIX: &str = "METERFOLD_";

/// Variables of these prefixes are others' business: those of tests, of the log, and the addresses
/// that Kubernetes tells every container of a namespace with a service called `meterfold`.
const OTHERS: &[&str] = &[
    "METERFOLD_TEST_",
    "METERFOLD_LOG",
    "METERFOLD_PORT",
    "METERFOLD_SERVICE_",
];

/// What was given, by key; later layers have overwritten earlier ones.
#[derive(Default)]
pub struct Layers {
    /// Keys of ours.
    pub keys: BTreeMap<String, Raw>,
    pub kafka: GivenProperties,
    pub faults: Vec<Fault>,
}

impl Layers {
    pub fn add_file(&mut self, path: &Path) {
        let place = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => self.add_document(&place, &text),
            Err(error) => self.faults.push(Fault {
                place: Place::Nowhere,
                key: String::new(),
                problem: format!("{place}: cannot be read: {error}; give --config FILE"),
            }),
        }
    }

    /// `place` is the file's name in messages.
    pub fn add_document(&mut self, place: &str, text: &str) {
        let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = error.span().map_or(1, |span| line_of(span.start));
            self.faults.push(Fault {
                place: Place::File(place.to_owned(), line),
                key: String::new(),
                problem: format!("is not TOML: {}", error.message().replace('\n', " ")),
            });
        }
        // What could not be parsed would give faults that are none.
        if errors.is_empty() {
            let at = |offset| Place::File(place.to_owned(), line_of(offset));
            let earlier = self.faults.len();
            self.add_table("", document.get_ref(), &at);
            self.faults[earlier..].sort_by_key(|fault| match fault.place {
                Place::File(_, line) => line,
                _ => 0,
            });
        }
    }

    fn add_table(&mut self, section: &str, table: &DeTable<'_>, at: &dyn Fn(usize) -> Place) {
        for (key, value) in table {
            let place = at(key.span().start);
            let name = match section {
                "" => key.get_ref().to_string(),
                section => format!("{section}.{}", key.get_ref()),
            };
            let (form, text) = match value.get_ref() {
                DeValue::Table(inner) => {
                    if section.is_empty() && !SECTIONS.iter().any(|(known, _)| *known == name) {
                        self.unknown(place, &name);
                    } else {
                        self.add_table(&name, inner, at);
                    }
                    continue;
                }
                DeValue::String(text) => (Form::Text, text.to_string()),
                DeValue::Integer(number) => {
                    let text = i64::from_str_radix(number.as_str(), number.radix());
                    let text =
                        text.map_or_else(|_| number.to_string(), |number| number.to_string());
                    (Form::Integer, text)
                }
                DeValue::Float(number) => (Form::Float, number.as_str().to_owned()),
                DeValue::Boolean(value) => (Form::Boolean, value.to_string()),
                DeValue::Datetime(date) => (Form::Date, date.to_string()),
                DeValue::Array(_) => (Form::List, String::new()),
            };
            self.add(&name, Raw { text, form, place });
        }
    }

    pub fn add_variables(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            let rest = rest.to_lowercase();
            let name = match rest.split_once("__") {
                Some(("kafka", property)) => format!("kafka.{}", property.replace('_', ".")),
                Some((section, key)) => format!("{section}.{key}"),
                None if OTHERS.iter().any(|prefix| variable.starts_with(prefix)) => continue,
                None => rest,
            };
            let place = Place::Variable(variable);
            self.add(
                &name,
                Raw {
                    text,
                    form: Form::Any,
                    place,
                },
            );
        }
    }

    /// `KEY` and `VALUE` of `--set KEY=VALUE`.
    pub fn add_flags(&mut self, flags: &[(String, String)]) {
        for (name, text) in flags {
            let raw = Raw {
                text: text.clone(),
                form: Form::Any,
                place: Place::Flag,
            };
            self.add(name, raw);
        }
    }

    fn add(&mut self, name: &str, raw: Raw) {
        if let Some(property) = name.strip_prefix("kafka.") {
            self.faults.extend(self.kafka.add(property, raw));
        } else if KEYS.iter().any(|key| key.name == name) {
            self.keys.insert(name.to_owned(), raw);
        } else {
            self.unknown(raw.place, name);
        }
    }

    fn unknown(&mut self, place: Place, name: &str) {
        if SECTIONS.iter().any(|(section, _)| *section == name) {
            let problem = format!("{name} is a section; write [{name}] and its keys below");
            let key = String::new();
            self.faults.push(Fault {
                place,
                key,
                problem,
            });
            return;
        }
        let sections = SECTIONS.iter().map(|(section, _)| *section);
        let names = KEYS.iter().map(|key| key.name).chain(sections);
        // A key under a wrong section, or without one, is a slip too.
        let last = name.rsplit('.').next().unwrap_or(name);
        let elsewhere = KEYS.iter().find(|key| key.last() == last);
        let suggested = match (nearest(name, names), elsewhere) {
            (Some(near), _) => Some(near),
            (None, elsewhere) => elsewhere.map(|key| key.name),
        };
        let remedy = match (suggested, &place) {
            (Some(near), Place::Variable(_)) => {
                let near = near.replace('.', "__").to_uppercase();
                format!("did you mean {PREFIX}{near}?")
            }
            (Some(near), _) => format!("did you mean {near}?"),
            (None, _) => "remove it".to_owned(),
        };
        self.faults.push(Fault {
            place,
            key: String::new(),
            problem: format!("there is no key {}; {remedy}", shown(name)),
        });
    }
}
