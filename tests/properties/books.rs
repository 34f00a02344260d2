//! The rate books that the worlds are made for, and what of them is worth aiming at.

use std::sync::{Arc, OnceLock};

use meterfold::billing::rate_book::RateBook;
use meterfold::billing::time::{Instant, Month};
use meterfold::wire::rate_book;
use serde_json::{Map, Value, json};

use crate::model;

pub struct Book {
    #[allow(dead_code, reason = "what a log journals")]
    pub text: &'static str,
    pub rates: Arc<RateBook>,
    /// The same for the reference model.
    pub model: Arc<model::book::Book>,
    /// Instants at which a rule changes, ascending, in milliseconds.
    pub boundaries: Vec<i64>,
    /// How each meter is reached, and its terms under the cards that have it.
    pub calls: Vec<Call>,
}

pub struct Call {
    pub data: Map<String, Value>,
    /// (unit, tokens, cap or 0)
    pub terms: Vec<(i64, i64, i64)>,
}

/// The example book, one with other cards, and one that writes shortfalls off.
pub fn books() -> &'static [Book; 3] {
    static BOOKS: OnceLock<[Book; 3]> = OnceLock::new();
    BOOKS.get_or_init(|| {
        [
            include_str!("../../schemas/rates/aps-example.json"),
            include_str!("../books/variant.json"),
            include_str!("../books/merge.json"),
        ]
        .map(Book::read)
    })
}

impl Book {
    fn read(text: &'static str) -> Book {
        let json: Value = serde_json::from_str(text).expect("JSON");
        let rates = rate_book::read(text.as_bytes()).expect("a rate book");
        Book {
            text,
            model: Arc::new(model::book::Book::parse(text.as_bytes()).expect("a rate book")),
            boundaries: boundaries(&rates),
            calls: calls(&json["cards"]),
            rates: Arc::new(rates),
        }
    }
}

fn boundaries(rates: &RateBook) -> Vec<i64> {
    let first = Instant::parse("2025-09-01T00:00:00Z").expect("an instant");
    let mut month = first.month();
    let mut boundaries: Vec<i64> = rates
        .cards
        .iter()
        .map(|card| card.effective_from.millis())
        .filter(|from| *from >= first.millis())
        .collect();
    boundaries.extend([
        rates.enrolment_deadline.millis(),
        rates.credits_end.millis(),
    ]);
    for _ in 0..30 {
        boundaries.extend([month.start().millis(), rates.closes_at(month).millis()]);
        month = Month::next(month);
    }
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries
}

/// A call for each meter of the newest card, made from the first rule that names it.
fn calls(cards: &Value) -> Vec<Call> {
    let cards = cards.as_array().expect("cards");
    let newest = cards.last().expect("a card");
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let meters = items(&newest["meters"]);
    let call = |meter: &Value| {
        let rules = items(&newest["classify"]);
        let rule = rules.iter().find(|rule| rule["meter"] == meter["id"]);
        let rule = rule.expect("a rule for each meter");
        let api = meter["api"].as_str().expect("an API");
        let root = newest["apis"][api]["roots"][0].as_str().expect("a root");
        let path = rule["path"].as_str().unwrap_or("/anything");
        let path = format!("{root}{path}").replace(['{', '}'], "");
        let mut data = Map::new();
        data.insert("path".into(), json!(path));
        data.insert(
            "method".into(),
            rule["method"].as_str().unwrap_or("PUT").into(),
        );
        if let Some(engine) = rule["engine"].as_str() {
            data.insert("engine".into(), json!(engine));
        }
        if let Some(formats) = rule["source_format"].as_array() {
            data.insert("source_format".into(), formats[0].clone());
        }
        let of_card = |card: &Value| {
            let same = items(&card["meters"])
                .into_iter()
                .find(|other| other["id"] == meter["id"]);
            same.map(|meter| {
                let number = |member: &str| meter[member].as_i64().unwrap_or(0);
                (number("unit"), number("tokens"), number("free_cap"))
            })
        };
        Call {
            data,
            terms: cards.iter().rev().take(4).filter_map(of_card).collect(),
        }
    };
    meters.iter().map(call).collect()
}
