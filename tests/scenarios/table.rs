//! Reading the tables: a tree of lines by indentation, then the cases in it. It knows nothing of events or outputs;
//! `scenarios.rs` documents the language and is its only caller.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Words and `key=value` fields of one half of a line.
#[derive(Debug, Default, Clone)]
pub struct Phrase {
    pub words: Vec<String>,
    pub fields: Vec<(String, String)>,
}

impl Phrase {
    pub fn parse(text: &str) -> Phrase {
        let mut phrase = Phrase::default();
        for token in text.split_whitespace() {
            match token.split_once('=') {
                Some((key, value))
                    if !key.is_empty()
                        && key.chars().all(|c| c.is_ascii_lowercase() || c == '_') =>
                {
                    phrase.fields.push((key.to_string(), value.to_string()));
                }
                _ => phrase.words.push(token.to_string()),
            }
        }
        phrase
    }

    pub fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    /// Takes a field out, so that what is left can be handed on whole.
    pub fn take(&mut self, key: &str) -> Option<String> {
        let index = self.fields.iter().position(|(k, _)| k == key)?;
        Some(self.fields.remove(index).1)
    }
}

/// A line of a table with the lines that are indented below it.
#[derive(Debug, Clone)]
pub struct Node {
    pub line: usize,
    pub text: String,
    /// Before the arrow: what is told.
    pub told: Phrase,
    /// After the arrow: what is expected.
    pub expected: Option<Phrase>,
    pub below: Vec<Node>,
}

impl Node {
    fn tree(file: &str, text: &str) -> Vec<Node> {
        // The open nodes, each with its indentation; the first stands for the file.
        let root = Node {
            line: 0,
            text: String::new(),
            told: Phrase::default(),
            expected: None,
            below: Vec::new(),
        };
        let mut open: Vec<(isize, Node)> = vec![(-1, root)];
        let close = |open: &mut Vec<(isize, Node)>, indent: isize| {
            while open.last().expect("the file's node").0 >= indent {
                let (_, node) = open.pop().expect("an open node");
                open.last_mut().expect("a parent").1.below.push(node);
            }
        };
        for (index, raw) in text.lines().enumerate() {
            let trimmed = if raw.starts_with('#') {
                ""
            } else {
                raw.split(" # ").next().unwrap_or("").trim()
            };
            if trimmed.is_empty() {
                continue;
            }
            assert!(!raw.contains('\t'), "{file}:{}: a tab", index + 1);
            let indent = (raw.len() - raw.trim_start().len()) as isize;
            close(&mut open, indent);
            let (told, expected) = match trimmed.split_once("->") {
                Some((told, expected)) => (Phrase::parse(told), Some(Phrase::parse(expected))),
                None => (Phrase::parse(trimmed), None),
            };
            open.push((
                indent,
                Node {
                    line: index + 1,
                    text: trimmed.to_string(),
                    told,
                    expected,
                    below: Vec::new(),
                },
            ));
        }
        close(&mut open, 0);
        open.remove(0).1.below
    }

    /// Below a line stands only what belongs there, so that a slip of the pen checks nothing silently.
    fn check_below(&self, file: &str) {
        let belongs: &[&str] = match self.told.word(0) {
            "at" => &["emits", "lot", "month"],
            "emits" | "month" => &["line", "adjustment"],
            word if word.starts_with(|c: char| c.is_ascii_digit()) => &["emits"],
            _ => &[],
        };
        for node in &self.below {
            let word = node.told.word(0);
            assert!(
                belongs.contains(&word),
                "{file}:{}: `{word}` does not belong below `{}`",
                node.line,
                self.told.word(0)
            );
            node.check_below(file);
        }
    }
}

/// One numbered case: a sentence, the rules that it shows, its steps in order.
#[derive(Debug)]
pub struct Case {
    pub id: String,
    pub rules: Vec<String>,
    /// The variant of the book that it runs under; empty = the example book.
    pub book: String,
    /// Where its run ends.
    pub until: String,
    pub steps: Vec<Node>,
}

/// One file: variants of the book, then cases.
#[derive(Debug)]
pub struct Table {
    pub name: String,
    pub variants: BTreeMap<String, Vec<Node>>,
    pub cases: Vec<Case>,
}

impl Table {
    pub fn read(path: &Path) -> Table {
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a table's name")
            .to_string();
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut table = Table {
            name,
            variants: BTreeMap::new(),
            cases: Vec::new(),
        };
        let mut until = String::new();
        for node in Node::tree(&table.name, &text) {
            match node.told.word(0) {
                "until" => until = instant(node.told.word(1)),
                "variant" => {
                    table
                        .variants
                        .insert(node.told.word(1).to_string(), node.below);
                }
                "case" => {
                    let case = Case::parse(&table.name, node, &until);
                    assert!(
                        table.cases.iter().all(|other| other.id != case.id),
                        "{}: case {} stands twice",
                        table.name,
                        case.id
                    );
                    table.cases.push(case);
                }
                other => panic!(
                    "{}:{}: `{other}` begins neither a case nor a variant",
                    table.name, node.line
                ),
            }
        }
        table
    }
}

impl Case {
    fn parse(file: &str, node: Node, file_until: &str) -> Case {
        let place = format!("{file}:{}", node.line);
        let parts: Vec<&str> = node.text.split('"').collect();
        assert!(
            parts.len() == 3,
            "{place}: a case is a number, a sentence in quotes, its rules"
        );
        let rules: Vec<String> = parts[2].split_whitespace().map(str::to_string).collect();
        for rule in &rules {
            let digits = rule
                .strip_prefix(['A', 'B', 'Q'])
                .or_else(|| rule.strip_prefix("fold:"))
                .unwrap_or("");
            assert!(
                digits.starts_with(|c: char| c.is_ascii_digit()),
                "{place}: `{rule}` is no rule"
            );
        }
        let mut case = Case {
            id: node.told.word(1).to_string(),
            rules,
            book: String::new(),
            until: file_until.to_string(),
            steps: Vec::new(),
        };
        for step in node.below {
            match step.told.word(0) {
                "book" => case.book = step.told.word(1).to_string(),
                "until" => case.until = instant(step.told.word(1)),
                _ => {
                    step.check_below(file);
                    case.steps.push(step);
                }
            }
        }
        case
    }
}

/// `02-04`, `01-10T10:00`, `2018-01-05T09:00:00.5` → `2026-02-04T00:00:00.000Z` and so on; such texts sort by time.
pub fn instant(text: &str) -> String {
    let (date, time) = text
        .trim_end_matches('Z')
        .split_once('T')
        .unwrap_or((text, ""));
    let date = if date.len() == 5 {
        format!("2026-{date}")
    } else {
        date.to_string()
    };
    let (seconds, millis) = time.split_once('.').unwrap_or((time, ""));
    let seconds = format!("{seconds}{}", &"00:00:00"[seconds.len()..]);
    let whole = format!("{date}T{seconds}.{millis:0<3}Z");
    let shape: String = whole
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "`{text}` is no instant");
    whole
}

/// A JSON value as the tables write it: without quotes and spaces, `{key:value,key:value}`, `[value,value]`.
pub fn shown(value: Option<&Value>) -> String {
    match value {
        None => "absent".to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            format!(
                "[{}]",
                items
                    .iter()
                    .map(|item| shown(Some(item)))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        }
        Some(Value::Object(members)) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{key}:{}", shown(Some(value))))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Some(other) => other.to_string(),
    }
}
