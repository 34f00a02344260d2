//! From an event line's shorthand to the input event. It knows the input's JSON and nothing of what an event does.
//!
//! Accounts: `enrol free|prepay|postpay`, `cancel`, `standing good|bad`, `downgrade`, `hub ID`, `migrate APP`,
//! `buy N [expires=TIME]`, `adjust DELTA`, `trial N ends=TIME`, `credits CHANNEL PACK PACKS KIND`, `transfer N to=TEAM`,
//! `tick`. Usage: `METER N`, `job FORMAT N`, `METHOD PATH N`, `data N` (an unrated call), `correct USAGE`; N may be left
//! out.

use crate::table::{Node, Phrase, instant};
use serde_json::{Map, Value, json};

/// One input line with where it stands in the log.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The clock that it meets: its recorded time, or a later one of the same case before it.
    pub clock: String,
    pub json: String,
    /// The table's line; 0 for set-up.
    pub line: usize,
}

/// The log of one case, in order.
#[derive(Debug, Default)]
pub struct Log {
    pub entries: Vec<Entry>,
    case_id: String,
}

impl Log {
    pub fn of(case_id: &str, steps: &[Node]) -> Log {
        let mut log = Log {
            entries: Vec::new(),
            case_id: case_id.to_string(),
        };
        for step in steps {
            match step.told.word(0) {
                "team" => log.enrol_team(&step.told),
                word if word.starts_with(|c: char| c.is_ascii_digit()) => log.push_event(step),
                _ => {}
            }
        }
        log
    }

    /// The set-up shorthand: offerings, hub and apps, then tokens, all at one instant.
    fn enrol_team(&mut self, phrase: &Phrase) {
        let mut phrase = phrase.clone();
        let on = instant(phrase.take("on").as_deref().unwrap_or("01-05"));
        let who = phrase.take("who");
        let apps = phrase.take("apps").unwrap_or_else(|| "app-1".to_string());
        let mut lines: Vec<String> = Vec::new();
        for word in phrase.words.iter().skip(1).filter(|word| !is_integer(word)) {
            let terms: Vec<String> = phrase
                .fields
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            lines.push(format!("enrol {word} id={word} {}", terms.join(" ")));
        }
        lines.push("hub hub-1 id=hub".to_string());
        lines.extend(apps.split(',').map(|app| format!("migrate {app} id={app}")));
        lines.extend(
            phrase
                .words
                .iter()
                .filter(|word| is_integer(word))
                .map(|size| format!("buy {size} id=tokens")),
        );
        for text in lines {
            let mut line = Phrase::parse(&text);
            if let Some(who) = &who {
                line.fields.push(("who".to_string(), who.clone()));
            }
            self.push(line, &on, &on, 0);
        }
    }

    fn push_event(&mut self, step: &Node) {
        let mut phrase = step.told.clone();
        let time = instant(&phrase.words.remove(0));
        let recorded = match phrase.word(0).strip_prefix('@').map(instant) {
            Some(recorded) => {
                phrase.words.remove(0);
                recorded
            }
            None => time.clone(),
        };
        self.push(phrase, &time, &recorded, step.line);
    }

    fn push(&mut self, mut phrase: Phrase, time: &str, recorded: &str, line: usize) {
        let team = team_of(&self.case_id, phrase.take("who").as_deref());
        let id = phrase.take("id").unwrap_or_else(|| format!("line-{line}"));
        let source = phrase
            .take("source")
            .unwrap_or_else(|| "/scenarios".to_string());
        let type_given = phrase.take("type");
        let (kind, data) = content(&mut phrase);
        let kind = type_given.unwrap_or_else(|| format!("meterfold.{kind}.v1"));
        let mut event = json!({"specversion": "1.0", "id": id, "source": source, "type": kind});
        if kind == "meterfold.clock-tick.v1" {
            // Ticks have no subject: their ids are told apart by the case.
            event["id"] = json!(format!("{team}/{id}"));
        } else {
            event["subject"] = json!(team);
        }
        event["time"] = json!(time);
        if recorded != time {
            event["recordedtime"] = json!(recorded);
        }
        event["data"] = Value::Object(data);
        let clock = match self.entries.last() {
            Some(before) if before.clock.as_str() > recorded => before.clock.clone(),
            _ => recorded.to_string(),
        };
        self.entries.push(Entry {
            clock,
            json: event.to_string(),
            line,
        });
    }
}

/// The team's name: of the case, and of `who` in it.
pub fn team_of(case_id: &str, who: Option<&str>) -> String {
    match who {
        Some(who) => format!("case-{case_id}-{who}"),
        None => format!("case-{case_id}"),
    }
}

/// Type and data of the event that the verb stands for; fields left over override members of the data.
fn content(phrase: &mut Phrase) -> (&'static str, Map<String, Value>) {
    let words = phrase.words.clone();
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let number = |index: usize| value("", word(index));
    let (kind, mut data) = match word(0) {
        "enrol" if word(1) == "postpay" => (
            "offering-enrolled",
            json!({"offering": "postpay", "country": "US", "payment_method": "credit_card", "good_standing": true}),
        ),
        "enrol" => ("offering-enrolled", json!({"offering": word(1)})),
        "cancel" => ("postpay-cancelled", json!({})),
        "standing" => ("standing-changed", json!({"good": word(1) == "good"})),
        "downgrade" => ("downgrade-requested", json!({})),
        "hub" => ("hub-created", json!({"hub_id": word(1)})),
        "migrate" => ("app-migrated", json!({"app_id": word(1)})),
        "buy" => ("tokens-purchased", json!({"tokens": number(1)})),
        "adjust" => ("tokens-adjusted", json!({"delta": word(1)})),
        "trial" => ("trial-started", json!({"credits": number(1)})),
        "credits" => (
            "credits-purchased",
            json!({"channel": word(1), "pack": number(2), "packs": number(3), "account_kind": word(4)}),
        ),
        "transfer" => ("credits-transferred", json!({"credits": number(1)})),
        "tick" => ("clock-tick", json!({})),
        "correct" => ("usage-corrected", usage(&words[1..])),
        _ => ("api-call", usage(&words)),
    };
    let data = data.as_object_mut().expect("an object");
    if let Some(ends_at) = phrase.take("ends") {
        data.insert("ends_at".to_string(), json!(instant(&ends_at)));
    }
    if let Some(expires_at) = phrase.take("expires") {
        data.insert("expires_at".to_string(), json!(instant(&expires_at)));
    }
    for (key, text) in phrase.fields.drain(..) {
        match text.as_str() {
            "-" => drop(data.remove(&key)),
            _ => drop(data.insert(key.clone(), value(&key, &text))),
        }
    }
    (kind, std::mem::take(data))
}

/// The call that reaches a meter under the launch card, or one given by `job FORMAT` or `METHOD PATH`.
fn usage(words: &[String]) -> Value {
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let job = |format: &str| json!({"method": "POST", "path": "/modelderivative/v2/designdata/job", "source_format": format});
    let (mut data, quantity) = match word(0) {
        "md.complex" => (job("rvt"), word(1)),
        "md.simple" => (job("dwg"), word(1)),
        "md.basic" => (
            json!({"method": "GET", "path": "/modelderivative/v2/designdata/urn-1/manifest", "http_status": 200}),
            word(1),
        ),
        "fge" => (
            json!({"api": "flow_graph_engine", "method": "POST", "path": "/flowgraph/v1/jobs"}),
            word(1),
        ),
        "rc" => (json!({"api": "reality_capture"}), word(1)),
        "data" => (
            json!({"method": "GET", "path": "/data/v1/projects/p-1/folders"}),
            word(1),
        ),
        "job" => (job(word(1)), word(2)),
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" => {
            (json!({"method": word(0), "path": word(1)}), word(2))
        }
        other => match other.strip_prefix("automation.") {
            Some(engine) => (json!({"api": "automation", "engine": engine}), word(1)),
            None => panic!("`{other}` is no event"),
        },
    };
    data["app_id"] = json!("app-1");
    if !quantity.is_empty() {
        data["quantity"] = value("quantity", quantity);
    }
    data
}

/// Numbers and booleans as such, anything else and the decimals of the interface as strings.
fn value(key: &str, text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::Null))
            if !matches!(key, "delta" | "amount") =>
        {
            value
        }
        _ => json!(text),
    }
}

fn is_integer(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}
