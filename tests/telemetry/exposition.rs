//! A strict reader of both text formats of metrics: it refuses what a scraper might forgive.

use std::collections::{BTreeMap, BTreeSet};

/// Every sample by its name and labels, `name{label="value",...}` with labels in order.
#[derive(Debug)]
pub struct Samples(BTreeMap<String, f64>);

#[allow(dead_code, reason = "each test file uses a part")]
impl Samples {
    pub fn value(&self, name: &str, labels: &str) -> f64 {
        let series = format!("{name}{labels}");
        *self
            .0
            .get(&series)
            .unwrap_or_else(|| panic!("there is no {series}"))
    }

    #[track_caller]
    pub fn check(&self, name: &str, labels: &str, value: f64) {
        assert_eq!(self.value(name, labels), value, "{name}{labels}");
    }

    /// The series of one name.
    pub fn series(&self, name: &str) -> impl Iterator<Item = (&String, &f64)> {
        self.0
            .iter()
            .filter(move |(series, _)| series.split('{').next() == Some(name))
    }

    pub fn names(&self) -> BTreeSet<&String> {
        self.0.keys().collect()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many series have this label, `name="value"`.
    pub fn with_label(&self, label: &str) -> usize {
        let series = self.0.keys();
        series
            .filter(|series| {
                series.contains(&format!("{{{label}")) || series.contains(&format!(",{label}"))
            })
            .count()
    }
}

/// Reads `text/plain; version=0.0.4`.
#[track_caller]
pub fn classic(text: &str) -> Samples {
    read(text, false)
}

/// Reads OpenMetrics 1.0. Names of buckets are given back as the classic format writes them.
#[track_caller]
#[allow(dead_code, reason = "each test file uses a part")]
pub fn open_metrics(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    read(body, true)
}

#[track_caller]
fn read(text: &str, is_open: bool) -> Samples {
    assert!(text.ends_with('\n'));
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<&str> = comment.splitn(3, ' ').collect();
            let [keyword, name, rest] = words[..] else {
                panic!("{line}");
            };
            match keyword {
                "TYPE" => {
                    assert!(families.insert(name.to_owned()), "{name} twice");
                    (family, kind) = (name.to_owned(), rest.to_owned());
                }
                "UNIT" => assert!(is_open && name.ends_with(&format!("_{rest}")), "{line}"),
                "HELP" => assert!(!rest.is_empty(), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        let value: f64 = value.parse().expect(line);
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect(line)),
            None => (series, ""),
        };
        check_name(&family, &kind, name, is_open);
        let labels = labels_of(labels);
        let series = if labels.is_empty() {
            name.to_owned()
        } else {
            format!("{name}{{{}}}", labels.join(","))
        };
        assert!(kind != "counter" || value >= 0.0, "{line}");
        assert!(samples.insert(series, value).is_none(), "twice: {line}");
    }
    assert!(families.len() > 50);
    check_buckets(&samples);
    Samples(samples)
}

/// A sample belongs to the family above it.
#[track_caller]
fn check_name(family: &str, kind: &str, name: &str, is_open: bool) {
    let ending = name
        .strip_prefix(family)
        .unwrap_or_else(|| panic!("{name} under {family}"));
    let endings: &[&str] = match kind {
        "counter" if is_open => &["_total"],
        "counter" | "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => panic!("{family} is a {kind}"),
    };
    assert!(endings.contains(&ending), "{name} under {family}");
}

/// The labels `name="value"` in order, each value as it was written; bounds as plain numbers.
#[track_caller]
fn labels_of(text: &str) -> Vec<String> {
    let mut labels = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, quoted) = rest.split_once("=\"").expect(text);
        assert!(
            name.chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_'),
            "{text}"
        );
        let mut was_escape = false;
        let end = quoted.find(|letter| {
            let is_end = letter == '"' && !was_escape;
            was_escape = letter == '\\' && !was_escape;
            is_end
        });
        let (value, behind) = quoted.split_at(end.expect(text));
        let value = match value.strip_suffix(".0") {
            Some(whole) if name == "le" => whole,
            _ => value,
        };
        labels.push(format!("{name}=\"{value}\""));
        rest = &behind[1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels.sort();
    labels
}

/// Buckets never fall, and the last one is the count.
fn check_buckets(samples: &BTreeMap<String, f64>) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, value) in samples {
        let Some((name, labels)) = series.split_once("_bucket{") else {
            continue;
        };
        let labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
        let bound = labels
            .iter()
            .find_map(|label| label.strip_prefix("le="))
            .expect(series);
        let bound: f64 = bound.trim_matches('"').parse().expect(series);
        let others: Vec<&str> = labels
            .iter()
            .copied()
            .filter(|label| !label.starts_with("le="))
            .collect();
        let of = match &others[..] {
            [] => format!("{name}_count"),
            others => format!("{name}_count{{{}}}", others.join(",")),
        };
        buckets.entry(of).or_default().push((bound, *value));
    }
    assert!(!buckets.is_empty());
    for (count, mut bounds) in buckets {
        bounds.sort_by(|one, next| one.0.total_cmp(&next.0));
        assert!(bounds.is_sorted_by(|one, next| one.1 <= next.1), "{count}");
        let last = bounds.last().expect("not empty");
        assert_eq!(last, &(f64::INFINITY, samples[&count]), "{count}");
    }
}
