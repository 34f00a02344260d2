//! A sound book, changed in one place at a time: every refusal with its place; the classification,
//! numbering and comparison of what was read.

use serde_json::{Value, json};

use super::{BookChange, BookFaults, canonical_digest, check_adoption, compare, read};
use crate::billing::classify::classify;
use crate::billing::event::{Status, Usage};
use crate::billing::rate_book::{CardNo, RateBook, Segment};
use crate::billing::time::Instant;

const EXAMPLE: &str = include_str!("../../../schemas/rates/aps-example.json");
/// Index of the launch card, and of a card appended to the example.
const LAUNCH: usize = 6;
const NEXT: usize = 7;

fn example() -> Value {
    serde_json::from_str(EXAMPLE).unwrap()
}

/// The example with a value set, or taken out where `value` is None.
fn with(mut book: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = book
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("{pointer} exists"));
    match (parent, value) {
        (Value::Object(members), Some(value)) => drop(members.insert(name.to_owned(), value)),
        (Value::Object(members), None) => drop(members.shift_remove(name)),
        (Value::Array(items), Some(value)) if name == "-" => items.push(value),
        (Value::Array(items), Some(value)) => items[name.parse::<usize>().unwrap()] = value,
        (Value::Array(items), None) => drop(items.remove(name.parse().unwrap())),
        _ => panic!("{pointer} lies in a scalar"),
    }
    book
}

/// The example with a copy of its launch card appended, changed by `edits`.
fn appended(edits: &[(&str, Value)]) -> Value {
    let book = example();
    let mut card = book["cards"][LAUNCH].clone();
    card["id"] = json!("next");
    card["effective_from"] = json!("2027-01-01T00:00:00Z");
    for (name, value) in edits {
        card[name] = value.clone();
    }
    with(book, "/cards/-", Some(card))
}

fn faults(text: &str) -> Vec<String> {
    match read(text.as_bytes()) {
        Ok(_) => Vec::new(),
        Err(BookFaults(faults)) => faults.iter().map(ToString::to_string).collect(),
    }
}

/// Each expectation must be the beginning of its fault, and there must be no other fault.
fn expect(what: &str, text: &str, expected: &[&str]) {
    let found = faults(text);
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.starts_with(expected));
    assert!(
        same,
        "{what}:\n  found {found:#?}\n  expected {expected:#?}"
    );
    assert!(
        found.iter().all(|line| !line.contains('\n')),
        "one line each: {found:?}"
    );
}

fn book() -> RateBook {
    read(EXAMPLE.as_bytes()).unwrap()
}

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

#[test]
fn reads_the_example() {
    let book = book();
    assert_eq!(book.cards.len(), 7);
    assert_eq!(book.launch, Some(at("2025-12-08T00:00:00Z")));
    assert_eq!(book.dedup_horizon_millis, 35 * 86_400_000);
    assert_eq!(book.future_skew_millis, 300_000);
    assert_eq!(book.minor_digits("JPY"), Some(0));
    let card = &book.cards[LAUNCH];
    assert_eq!(card.price_per_token("USD").unwrap().to_string(), "3");
    assert_eq!(card.volume_prices[0].1[1].price.to_string(), "2.4");
    assert_eq!(card.close_grace_millis, 72 * 3_600_000);
    assert_eq!(card.meters[7].billable.http_status_below, Some(500));
    assert_eq!(
        card.meters[9].billable.statuses,
        [Status::Success, Status::CancelledAfterStart]
    );
    assert_eq!(book.credit_channels[5].available_from, None);
    assert_eq!(card.apis[0].roots[0][1], Segment::Any);
    assert_eq!(book.cards[0].postpay.countries.len(), 0);
}

#[test]
fn every_fault_is_refused_with_its_place() {
    let table: &[(&str, Option<Value>, &str)] = &[
        // Book-wide settings.
        ("/id", None, "id: is missing"),
        ("/id", Some(json!("")), "id: 0 characters"),
        ("/id", Some(json!("x".repeat(129))), "id: 129 characters"),
        (
            "/currency",
            Some(json!({})),
            "currency: unknown member; known are id, currencies",
        ),
        (
            "/currencies/USD",
            Some(json!(5)),
            "currencies.USD: 5 is out of range; give 0 to 4",
        ),
        (
            "/currencies/USD",
            Some(json!("2")),
            "currencies.USD: is a string; give an integer",
        ),
        (
            "/enrolment_deadline",
            Some(json!("2026-01-17")),
            "enrolment_deadline: \"2026-01-17\" is no",
        ),
        (
            "/enrolment_deadline",
            Some(json!(7)),
            "enrolment_deadline: is an integer",
        ),
        (
            "/credits_end",
            Some(json!("2026-02-30T00:00:00Z")),
            "credits_end: \"2026-02-30T00",
        ),
        (
            "/dedup_horizon_days",
            Some(json!(0)),
            "dedup_horizon_days: 0 is out of range; give 1",
        ),
        (
            "/future_skew_seconds",
            Some(json!(-1)),
            "future_skew_seconds: -1 is out of range",
        ),
        (
            "/credit_validity_months",
            Some(json!(1201)),
            "credit_validity_months: 1201 is out",
        ),
        ("/cards", Some(json!([])), "cards: is empty"),
        (
            "/cards",
            Some(json!({})),
            "cards: is an object; give a list",
        ),
        ("/cards", None, "cards: is missing"),
        // Channels.
        (
            "/credit_channels/0/packs/0",
            Some(json!(0)),
            "credit_channels[0].packs[0] (channel account_page): 0 is",
        ),
        (
            "/credit_channels/1/account_kinds/0",
            Some(json!("Forge")),
            "credit_channels[1].account_kinds[0] (channel account_page): \"Forge\" is unknown; use one of forge, sub",
        ),
        (
            "/credit_channels/1/purpose",
            Some(json!("gift")),
            "credit_channels[1].purpose (channel account_page): \"gift\" is unknown",
        ),
        (
            "/credit_channels/2/currency",
            Some(json!("EUR")),
            "credit_channels[2].currency (channel reseller): the book's currencies lack \"EUR\"",
        ),
        (
            "/credit_channels/0/price_per_credit/100",
            Some(json!(160)),
            "credit_channels[0].price_per_credit.100 (channel account_page): is an integer; give a decimal",
        ),
        (
            "/credit_channels/0/price_per_credit/0100",
            Some(json!("1")),
            "credit_channels[0].price_per_credit.0100 (channel account_page): \"0100\" is no pack",
        ),
        (
            "/credit_channels/0/tax_rate",
            Some(json!("8")),
            "credit_channels[0].tax_rate (channel account_page): \"8\" is out of range; a rate",
        ),
        (
            "/credit_channels/0/tax_rate",
            None,
            "credit_channels[0].tax_rate (channel account_page): is missing",
        ),
        (
            "/credit_channels/5/available_from",
            None,
            "credit_channels[5].available_from (channel store): is missing",
        ),
        (
            "/credit_channels/5/available_to",
            Some(json!("soon")),
            "credit_channels[5].available_to (channel store): \"soon\" is no",
        ),
        // Cards.
        (
            "/cards/3",
            Some(json!(null)),
            "cards[3]: is null; give an object",
        ),
        (
            "/cards/1/id",
            Some(json!("forge-2018-01")),
            "cards[1].id (card forge-2018-01): \"forge-2018-01\" is the id of an earlier card",
        ),
        (
            "/cards/1/effective_from",
            Some(json!("2018-01-01T00:00:00Z")),
            "cards[1].effective_from (card forge-2019-10): 2018-01-01T00:00:00Z is not after",
        ),
        (
            "/cards/1/effective_from",
            Some(json!("2022-09-07T00:00:00Z")),
            "cards[2].effective_from (card forge-2022-03): 2022-03-29T00:00:00Z is not after",
        ),
        (
            "/cards/6/regime",
            Some(json!("tier")),
            "cards[6].regime (card aps-2025-12): \"tier\" is unknown; use one of legacy, tiers",
        ),
        (
            "/cards/6/charge_mode",
            Some(json!("whole")),
            "cards[6].charge_mode (card aps-2025-12): \"whole\" is",
        ),
        (
            "/cards/6/cap_suspends",
            Some(json!(null)),
            "cards[6].cap_suspends (card aps-2025-12): is null; give a word",
        ),
        (
            "/cards/6/shortfall_policy",
            Some(json!("x")),
            "cards[6].shortfall_policy (card aps-2025-12): \"x\"",
        ),
        (
            "/cards/6/free_allowance_when_paid",
            Some(json!("all")),
            "cards[6].free_allowance_when_paid (card aps-2025-12): \"all\"",
        ),
        (
            "/cards/6/close_grace_hours",
            Some(json!(100_001)),
            "cards[6].close_grace_hours (card aps-2025-12): 100001 is out",
        ),
        (
            "/cards/6/token_validity_months",
            Some(json!(0)),
            "cards[6].token_validity_months (card aps-2025-12): 0 is",
        ),
        (
            "/cards/6/price_per_token/USD",
            Some(json!("3.0000001")),
            "cards[6].price_per_token.USD (card aps-2025-12): \"3.0000001\" is no decimal of at most 6",
        ),
        (
            "/cards/6/price_per_token/JPY",
            Some(json!("1000000000")),
            "cards[6].price_per_token.JPY (card aps-2025-12): \"1000000000\" is out of range; a price",
        ),
        (
            "/cards/6/price_per_token/JPY",
            Some(json!("-1")),
            "cards[6].price_per_token.JPY (card aps-2025-12): \"-1\" is out",
        ),
        (
            "/cards/6/price_per_token/EUR",
            Some(json!("2.85")),
            "cards[6].price_per_token.EUR (card aps-2025-12): the book's currencies lack \"EUR\"",
        ),
        (
            "/cards/6/tax_rates/JP",
            Some(json!("0,1")),
            "cards[6].tax_rates.JP (card aps-2025-12): \"0,1\" is no decimal",
        ),
        (
            "/cards/6/postpay",
            None,
            "cards[6].postpay (card aps-2025-12): is missing",
        ),
        (
            "/cards/6/postpay/countries/0",
            Some(json!(1)),
            "cards[6].postpay.countries[0] (card aps-2025-12): is an integer; give a string",
        ),
        (
            "/cards/6/free_cap",
            Some(json!(3)),
            "cards[6].free_cap (card aps-2025-12): unknown member",
        ),
        // Roots, rules and meters.
        (
            "/cards/6/apis/rc",
            Some(json!({})),
            "cards[6].apis.rc.roots (card aps-2025-12): is missing",
        ),
        (
            "/cards/6/apis/automation/roots/0",
            Some(json!("/da/{region/v3")),
            "cards[6].apis.automation.roots[0] (card aps-2025-12): segment \"{region\" holds a brace",
        ),
        (
            "/cards/6/classify/5/path",
            Some(json!("/job?x=1")),
            "cards[6].classify[5].path (card aps-2025-12): segment \"job?x=1\" holds",
        ),
        (
            "/cards/6/classify/5/path",
            Some(json!("/{}")),
            "cards[6].classify[5].path (card aps-2025-12): segment \"{}\" holds",
        ),
        (
            "/cards/6/classify/0/meter",
            Some(json!("automation.acad")),
            "cards[6].classify[0].meter (card aps-2025-12): \"automation.acad\" is no meter of this card",
        ),
        (
            "/cards/6/classify/0/meter",
            None,
            "cards[6].classify[0].meter (card aps-2025-12): is missing; name a meter",
        ),
        (
            "/cards/6/classify/0/format",
            Some(json!("x")),
            "cards[6].classify[0].format (card aps-2025-12): unknown",
        ),
        (
            "/cards/6/classify/5/source_format",
            Some(json!("rvt")),
            "cards[6].classify[5].source_format (card aps-2025-12): is a string; give a list",
        ),
        (
            "/cards/6/meters/2/unit",
            Some(json!(0)),
            "cards[6].meters[2].unit (card aps-2025-12, meter automation.inventor): 0 is out of range; give 1 to 1000000000000000",
        ),
        (
            "/cards/6/meters/2/unit",
            Some(json!(1_000_000_000_000_001_u64)),
            "cards[6].meters[2].unit (card aps-2025-12, meter automation.inventor): 1000000000000001 is",
        ),
        (
            "/cards/6/meters/2/tokens",
            Some(json!(-1)),
            "cards[6].meters[2].tokens (card aps-2025-12, meter automation.inventor): -1 is out",
        ),
        (
            "/cards/6/meters/2/free_cap",
            Some(json!(0)),
            "cards[6].meters[2].free_cap (card aps-2025-12, meter automation.inventor): 0 is out",
        ),
        (
            "/cards/6/meters/2/free_cap",
            None,
            "cards[6].meters[2].free_cap (card aps-2025-12, meter automation.inventor): is missing",
        ),
        (
            "/cards/6/meters/2/api",
            None,
            "cards[6].meters[2].api (card aps-2025-12, meter automation.inventor): is missing",
        ),
        (
            "/cards/6/meters/2/api",
            Some(json!(null)),
            "cards[6].meters[2].api (card aps-2025-12, meter automation.inventor): is null",
        ),
        (
            "/cards/6/meters/2/billable",
            Some(json!({})),
            "cards[6].meters[2].billable (card aps-2025-12, meter automation.inventor): bills nothing",
        ),
        (
            "/cards/6/meters/2/billable",
            Some(json!({"statuses": ["ok"]})),
            "cards[6].meters[2].billable.statuses[0] (card aps-2025-12, meter automation.inventor): \"ok\" is unknown; use one of success, failed",
        ),
        (
            "/cards/6/meters/7/billable/http_status_below",
            Some(json!(99)),
            "cards[6].meters[7].billable.http_status_below (card aps-2025-12, meter md.basic): 99 is",
        ),
        (
            "/cards/6/meters/2/cap",
            Some(json!(1)),
            "cards[6].meters[2].cap (card aps-2025-12, meter automation.inventor): unknown member",
        ),
        // Volume prices (B45).
        (
            "/cards/6/volume_prices/JPY",
            Some(json!([{"from": 0, "price": "1"}])),
            "cards[6].volume_prices.JPY[0].from (card aps-2025-12): 0 is out of range; give 1",
        ),
        (
            "/cards/6/volume_prices/EUR",
            Some(json!([])),
            "cards[6].volume_prices.EUR (card aps-2025-12): price_per_token has no EUR",
        ),
        (
            "/cards/6/volume_prices/USD/1/from",
            Some(json!(5000)),
            "cards[6].volume_prices.USD[1].from (card aps-2025-12): 5000 is not above 5000",
        ),
        (
            "/cards/6/volume_prices/USD/0/price",
            Some(json!("3.01")),
            "cards[6].volume_prices.USD[0].price (card aps-2025-12): 3.01 is above 3",
        ),
        (
            "/cards/6/volume_prices/USD/1/price",
            Some(json!("2.86")),
            "cards[6].volume_prices.USD[1].price (card aps-2025-12): 2.86 is above 2.85",
        ),
        (
            "/cards/6/volume_prices/USD/1/price",
            Some(json!("2.1234567")),
            "cards[6].volume_prices.USD[1].price (card aps-2025-12): \"2.1234567\" is no decimal",
        ),
    ];
    for (pointer, value, expected) in table {
        let text = with(example(), pointer, value.clone()).to_string();
        expect(&format!("{pointer} = {value:?}"), &text, &[expected]);
    }
    // A meter's id stands in the rules too, so a repeated one leaves a rule without its meter.
    let repeated = with(
        example(),
        "/cards/6/meters/1/id",
        Some(json!("automation.autocad")),
    );
    expect(
        "repeated meter id",
        &repeated.to_string(),
        &[
            "cards[6].meters[1].id (card aps-2025-12, meter automation.autocad): \"automation.autocad\" is the id of an earlier meter",
            "cards[6].classify[1].meter (card aps-2025-12): \"automation.revit\" is no meter",
        ],
    );
    let first = with(
        example(),
        "/cards/6/free_allowance_when_paid",
        Some(json!("first")),
    );
    let first = with(first, "/cards/6/meters/9/free_cap", Some(json!(null)));
    let place = "cards[6].meters[9].free_cap (card aps-2025-12, meter rc): is null, but";
    expect("first with a null cap", &first.to_string(), &[place]);
    let no_jpy = appended(&[("price_per_token", json!({"USD": "3.00"}))]);
    let place = "cards[7].price_per_token (card next): lacks \"JPY\", which card \"aps-2025-12\"";
    expect("currency dropped", &no_jpy.to_string(), &[place]);
    let odd_name = with(example(), "/cards/6/id", Some(json!("a\nb")));
    let odd_name = with(odd_name, "/cards/6/meters/9/unit", Some(json!(0)));
    let place = "cards[6].meters[9].unit (card a\\nb, meter rc): 0 is";
    expect("line feed in an id", &odd_name.to_string(), &[place]);
}

/// Pointers and places of everything in a value but comments.
fn walk(value: &Value, pointer: String, path: String, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members
                .iter()
                .filter(|(name, _)| !super::document::is_comment(name))
            {
                let plain = !name.contains('.');
                let path = match path.as_str() {
                    "" => name.clone(),
                    _ if plain => format!("{path}.{name}"),
                    _ => format!("{path}[{name:?}]"),
                };
                found.push((format!("{pointer}/{name}"), path.clone()));
                walk(value, format!("{pointer}/{name}"), path, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let (pointer, path) = (format!("{pointer}/{index}"), format!("{path}[{index}]"));
                found.push((pointer.clone(), path.clone()));
                walk(item, pointer, path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn a_boolean_fits_nowhere() {
    let mut book = example();
    // The launch card has all there is to a card.
    let launch = book["cards"][LAUNCH].clone();
    book["cards"] = json!([launch]);
    let mut values = Vec::new();
    walk(&book, String::new(), String::new(), &mut values);
    assert!(values.len() > 300);
    for (pointer, path) in values {
        let found = faults(&with(book.clone(), &pointer, Some(json!(true))).to_string());
        let named = found.iter().any(|fault| {
            fault
                .strip_prefix(&path)
                .is_some_and(|rest| rest.starts_with([':', ' ']))
        });
        assert!(named, "{pointer}: {found:#?}");
    }
}

#[test]
fn only_members_with_a_default_may_be_absent() {
    let mut book = example();
    let launch = book["cards"][LAUNCH].clone();
    book["cards"] = json!([launch]);
    let defaults = [
        "tax_rates",
        "cap_suspends",
        "free_allowance_when_paid",
        "shortfall_policy",
        "volume_prices",
    ];
    let objects = [
        ("", &book),
        ("/cards/0", &book["cards"][0]),
        ("/cards/0/postpay", &book["cards"][0]["postpay"]),
        ("/cards/0/meters/3", &book["cards"][0]["meters"][3]),
        ("/credit_channels/0", &book["credit_channels"][0]),
    ];
    for (pointer, object) in objects {
        for name in object.as_object().unwrap().keys() {
            if name == "notice" || name == "source" {
                continue;
            }
            let text = with(book.clone(), &format!("{pointer}/{name}"), None).to_string();
            let missing = faults(&text)
                .iter()
                .any(|fault| fault.contains(": is missing; "));
            assert_eq!(
                missing,
                !defaults.contains(&name.as_str()),
                "{pointer}/{name}"
            );
            assert_eq!(missing, read(text.as_bytes()).is_err(), "{pointer}/{name}");
        }
    }
}

#[test]
fn close_instants_must_ascend_with_the_month() {
    let place =
        "cards[7].close_grace_hours (card next): 2026-02 would close at 2026-03-04T00:00:00Z";
    for (grace, expected) in [(72 + 28 * 24, vec![place]), (71 + 28 * 24, vec![])] {
        let book = appended(&[("effective_from", json!("2026-02-10T00:00:00Z"))]);
        let book = with(book, "/cards/6/close_grace_hours", Some(json!(grace)));
        expect("grace", &book.to_string(), &expected);
    }
    // The card lies between two month ends, so no month ends under it.
    let book = with(
        example(),
        "/cards/4/effective_from",
        Some(json!("2025-11-06T00:00:00Z")),
    );
    expect(
        "grace",
        &with(book, "/cards/4/close_grace_hours", Some(json!(0))).to_string(),
        &[],
    );
}

#[test]
fn all_faults_are_reported_at_once() {
    let book = with(example(), "/cards/0/meters/0/unit", Some(json!(0)));
    let book = with(book, "/cards/6/meters/9/api", None);
    let book = with(book, "/enrolment_deadline", Some(json!("never")));
    let book = with(book, "/cards/2/effective_from", Some(json!("x")));
    expect(
        "four faults",
        &book.to_string(),
        &[
            "enrolment_deadline: \"never\"",
            "cards[0].meters[0].unit (card forge-2018-01, meter automation.autocad): 0",
            "cards[2].effective_from (card forge-2022-03): \"x\"",
            "cards[6].meters[9].api (card aps-2025-12, meter rc): is missing",
        ],
    );
}

#[test]
fn the_form_of_the_text_is_strict() {
    let table: &[(&str, &str, &str)] = &[
        (
            "\"JPY\": 0",
            "\"JPY\": 0, \"JPY\": 0",
            "currencies.JPY: this name stands twice",
        ),
        (
            "\"unit\": 2000",
            "\"unit\": 2000.0",
            "cards[0].meters[3].unit (card forge-2018-01, meter rc): a number with",
        ),
        (
            "\"unit\": 2000",
            "\"unit\": 2e3",
            "cards[0].meters[3].unit (card forge-2018-01, meter rc): a number with",
        ),
        (
            "\"future_skew_seconds\": 300",
            "\"future_skew_seconds\": -0",
            "future_skew_seconds: a number with",
        ),
        (
            "\"future_skew_seconds\": 300",
            "\"future_skew_seconds\": 18446744073709551616",
            "future_skew_seconds: a number with",
        ),
        (
            "\"id\": \"aps-example\",",
            "\"id\": \"aps-example\"",
            "book: not JSON: ",
        ),
        (
            "\"id\": \"aps-example\"",
            "\"id\": \"\\ud800\"",
            "book: not JSON: ",
        ),
        (
            "\"id\": \"aps-example\"",
            "\"a b\": 1, \"id\": \"x\"",
            "[\"a b\"]: unknown member",
        ),
    ];
    for (old, new, expected) in table {
        let text = EXAMPLE.replacen(old, new, 1);
        let found = faults(&text);
        assert!(
            found
                .first()
                .is_some_and(|first| first.starts_with(expected)),
            "{new}: {found:#?}"
        );
    }
    assert!(faults("[]")[0].starts_with("book: is a list; give an object"));
    assert!(faults(&format!("{EXAMPLE} x"))[0].contains("trailing characters"));
    assert!(read(b"\xff").is_err());
}

#[test]
fn comments_may_stand_anywhere_and_say_nothing() {
    let digest = |text: &str| canonical_digest(text.as_bytes()).unwrap();
    let mut book = example();
    for pointer in [
        "",
        "/currencies",
        "/cards/6",
        "/cards/6/apis",
        "/cards/6/price_per_token",
        "/cards/6/classify/0",
    ] {
        book = with(
            book,
            &format!("{pointer}/source"),
            Some(json!({"factor": 1.5, "by": ["hand"]})),
        );
        book = with(book, &format!("{pointer}/notice"), Some(json!("new")));
    }
    expect("comments", &book.to_string(), &[]);
    assert_eq!(digest(&book.to_string()), digest(EXAMPLE));
    assert_eq!(
        compare(EXAMPLE.as_bytes(), book.to_string().as_bytes()),
        Ok(BookChange::Same)
    );
    let other = with(example(), "/cards/6/meters/9/unit", Some(json!(51)));
    assert_ne!(digest(&other.to_string()), digest(EXAMPLE));
    let mut reversed = serde_json::Map::new();
    for (name, value) in example().as_object().unwrap().iter().rev() {
        reversed.insert(name.clone(), value.clone());
    }
    assert_eq!(
        digest(&Value::Object(reversed).to_string()),
        digest(EXAMPLE)
    );
    // A repeated name is a fault even within a comment.
    let twice = EXAMPLE.replacen(
        "\"notice\": \"EXAMPLE",
        "\"notice\": {\"a\":1,\"a\":1}, \"id\": \"x\", \"was\": \"",
        1,
    );
    assert!(faults(&twice)[0].starts_with("id: this name stands twice"));
    assert!(faults(&twice)[1].starts_with("notice.a: this name stands twice"));
}

#[test]
fn appending_a_card_renumbers_nothing() {
    let old = book();
    let meter = json!({"id": "a.new", "api": "a", "measure": "call", "unit": 1, "tokens": 1, "free_cap": null, "billable": {"statuses": []}});
    let new = appended(&[("cap_suspends", json!("meter"))]);
    let new = with(new, "/cards/7/meters/-", Some(meter));
    let new = with(new, "/cards/7/apis/aa", Some(json!({"roots": []})));
    let new = read(new.to_string().as_bytes()).unwrap();
    let strs = |ids: &[Box<str>]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    for (old, new) in [
        (&old.meters, &new.meters),
        (&old.apis, &new.apis),
        (&old.scopes, &new.scopes),
    ] {
        assert!(strs(new).starts_with(&strs(old)) && new.len() > old.len());
    }
    assert_eq!(
        strs(&old.apis),
        [
            "automation",
            "flow_graph_engine",
            "model_derivative",
            "reality_capture"
        ]
    );
    assert_eq!(
        strs(&old.scopes),
        [
            "automation",
            "model_derivative",
            "reality_capture",
            "flow_graph_engine"
        ]
    );
    assert_eq!(strs(&new.apis[4..]), ["aa", "a"]);
    let basic = &new.cards[NEXT].meters[7];
    assert_eq!(
        (new.scope_id(basic.scope), new.api_id(basic.api)),
        ("md.basic", "model_derivative")
    );
    assert_eq!(
        new.scope_id(new.cards[LAUNCH].meters[7].scope),
        "model_derivative"
    );
}

#[test]
fn a_book_is_newer_older_or_different() {
    let next = appended(&[]);
    let with_currency = with(next.clone(), "/currencies/EUR", Some(json!(2)));
    let first_card = CardNo(7);
    for newer in [&next, &with_currency] {
        let text = newer.to_string();
        let change = compare(EXAMPLE.as_bytes(), text.as_bytes());
        assert_eq!(change, Ok(BookChange::Appended { first_card }));
        assert_eq!(
            compare(text.as_bytes(), EXAMPLE.as_bytes()),
            Ok(BookChange::Older)
        );
    }
    let table: &[(&str, Option<Value>, Option<u16>, &str)] = &[
        (
            "/id",
            Some(json!("x")),
            None,
            "id: was \"aps-example\", is now \"x\"",
        ),
        (
            "/dedup_horizon_days",
            Some(json!(36)),
            None,
            "dedup_horizon_days: was 35, is now 36",
        ),
        (
            "/credit_channels/0/tax_rate",
            Some(json!("0.10")),
            None,
            "credit_channels[0].tax_rate (channel account_page): was",
        ),
        (
            "/credit_channels/5",
            None,
            None,
            "credit_channels[5] (channel store): is missing",
        ),
        ("/currencies/JPY", None, None, "currencies.JPY: is missing"),
        (
            "/currencies/JPY",
            Some(json!(2)),
            None,
            "currencies.JPY: was 0, is now 2",
        ),
        (
            "/cards/2/meters/3/unit",
            Some(json!(3601)),
            Some(2),
            "cards[2].meters[3].unit (card forge-2022-03, meter automation.3dsmax): was 3600, is now 3601",
        ),
        (
            "/cards/2/id",
            Some(json!("y")),
            Some(2),
            "cards[2].id (card forge-2022-03): was",
        ),
        (
            "/cards/6/price_per_token/USD",
            Some(json!("3.0")),
            Some(6),
            "cards[6].price_per_token.USD (card aps-2025-12): was \"3.00\", is now \"3.0\"",
        ),
        (
            "/cards/5/tax_rates",
            Some(json!({})),
            Some(5),
            "cards[5].tax_rates (card aps-2025-11): is new",
        ),
        ("/cards/3", None, Some(3), "cards[3].classify[4]"),
    ];
    for (pointer, value, card, expected) in table {
        // A change is a change whether or not cards are appended as well.
        for base in [example(), appended(&[])] {
            let changed = with(base, pointer, value.clone()).to_string();
            let change = compare(EXAMPLE.as_bytes(), changed.as_bytes()).unwrap();
            let BookChange::Different { card: found, fault } = &change else {
                panic!("{pointer}: {change:?}");
            };
            assert!(
                fault.to_string().starts_with(expected),
                "{pointer}: {fault}"
            );
            assert_eq!(*found, card.map(CardNo), "{pointer}: {fault}");
        }
    }
    let currency_alone = with(example(), "/currencies/EUR", Some(json!(2))).to_string();
    let change = compare(EXAMPLE.as_bytes(), currency_alone.as_bytes()).unwrap();
    assert!(
        matches!(change, BookChange::Different { card: None, fault } if fault.place == "currencies.EUR")
    );
    // More cards, fewer currencies: neither newer nor older.
    let mixed = compare(currency_alone.as_bytes(), next.to_string().as_bytes()).unwrap();
    assert!(matches!(mixed, BookChange::Different { card: None, .. }));
}

#[test]
fn a_newer_book_is_adopted_only_ahead_of_the_clock() {
    let first_line = |edits: &[(&str, Value)], clock: &str| {
        let book = read(appended(edits).to_string().as_bytes()).unwrap();
        match check_adoption(&book, CardNo(7), at(clock)) {
            Ok(()) => String::new(),
            Err(faults) => faults.to_string(),
        }
    };
    assert_eq!(first_line(&[], "2026-12-31T23:54:59.999Z"), "");
    let late = first_line(&[], "2026-12-31T23:55:00Z");
    assert!(
        late.starts_with("cards[7].effective_from (card next): 2027-01-01T00:00:00Z would"),
        "{late}"
    );
    let grace = ("close_grace_hours", json!(71));
    let mid_month = ("effective_from", json!("2027-01-02T00:00:00Z"));
    assert_eq!(
        first_line(std::slice::from_ref(&grace), "2026-12-01T00:00:00Z"),
        ""
    );
    assert_eq!(
        first_line(std::slice::from_ref(&mid_month), "2026-12-01T00:00:00Z"),
        ""
    );
    let refused = first_line(&[grace, mid_month], "2026-12-01T00:00:00Z");
    assert!(
        refused.starts_with("cards[7].close_grace_hours (card next): differs"),
        "{refused}"
    );
    let launch = check_adoption(&book(), CardNo(6), at("2025-11-20T00:00:00Z"));
    assert!(
        launch
            .unwrap_err()
            .to_string()
            .starts_with("cards[6].regime (card aps-2025-12): an appended")
    );
}

/// `api method path engine source_format`, `-` for absent.
fn usage(call: &str) -> Usage<&str> {
    let mut words = call
        .split_whitespace()
        .map(|word| (word != "-").then_some(word));
    let mut next = || words.next().flatten();
    Usage {
        app_id: "app",
        api: next(),
        method: next(),
        path: next(),
        engine: next(),
        source_format: next(),
        quantity: 1,
        status: Status::Success,
        http_status: None,
    }
}

fn expect_meters(book: &RateBook, card: usize, table: &[(&str, &str)]) {
    for (call, expected) in table {
        let meter = classify(&book.cards[card], &usage(call));
        let meter = meter.map_or("unrated", |meter| book.meter_id(meter.meter));
        assert_eq!(meter, *expected, "{call}");
    }
}

#[test]
fn classifies_by_api_path_engine_and_format() {
    expect_meters(
        &book(),
        LAUNCH,
        &[
            // B55: the nine Basic calls, relative, and below either root with the API left out.
            ("model_derivative GET /formats", "md.basic"),
            ("model_derivative GET /dXJu/manifest", "md.basic"),
            ("model_derivative DELETE /dXJu/manifest", "md.basic"),
            (
                "model_derivative GET /dXJu/manifest/der/signedcookies",
                "md.basic",
            ),
            ("model_derivative HEAD /dXJu/manifest/der", "md.basic"),
            (
                "- GET /modelderivative/v2/designdata/dXJu/thumbnail",
                "md.basic",
            ),
            (
                "- GET /modelderivative/v2/designdata/dXJu/metadata",
                "md.basic",
            ),
            (
                "- GET /modelderivative/v2/regions/eu/designdata/dXJu/metadata/guid",
                "md.basic",
            ),
            (
                "- GET /modelderivative/v2/designdata/dXJu/metadata/guid/properties",
                "md.basic",
            ),
            // B53, B54: every other Model Derivative call but POST job is Basic too.
            ("model_derivative POST /dXJu/references", "md.basic"),
            ("model_derivative GET /job", "md.basic"),
            ("model_derivative", "md.basic"),
            ("model_derivative POST", "md.basic"),
            ("model_derivative - /job", "md.basic"),
            // POST job by source format, ASCII case ignored save in paths.
            ("model_derivative POST /job - RVT", "md.complex"),
            ("model_derivative POST /job - nwd", "md.complex"),
            ("MODEL_DERIVATIVE post /job - IFC", "md.complex"),
            ("model_derivative POST /job - DWG", "md.simple"),
            ("model_derivative POST /job", "md.simple"),
            ("model_derivative POST /Job - RVT", "md.basic"),
            // Roots: the regions one, `?` cut, empty segments, already relative, not a whole segment.
            (
                "- POST /modelderivative/v2/designdata/job - rvt",
                "md.complex",
            ),
            (
                "- POST /modelderivative/v2/regions/eu/designdata/job - rvt",
                "md.complex",
            ),
            (
                "model_derivative POST /modelderivative/v2/regions/eu/designdata/job - rvt",
                "md.complex",
            ),
            (
                "- POST //modelderivative//v2/designdata/job/?region=EU/x - rvt",
                "md.complex",
            ),
            ("model_derivative POST job?x - rvt", "md.complex"),
            (
                "- POST /modelderivative/v2/designdatax/job - rvt",
                "unrated",
            ),
            ("- POST /ModelDerivative/v2/designdata/job - rvt", "unrated"),
            ("- POST /job - rvt", "unrated"),
            ("model_derivative POST /job/x - rvt", "md.basic"),
            // Only the event's own API's roots are cut off.
            (
                "automation POST /modelderivative/v2/designdata/job autocad",
                "automation.autocad",
            ),
            ("reality_capture POST /photo-to-3d/v1/photoscene", "rc"),
            ("- GET /photo-to-3d/v1/photoscene", "unrated"),
            ("- head /photo-to-3d/v1", "unrated"),
            ("flow_graph_engine", "fge"),
            ("- GET /flowgraph/v1/jobs", "unrated"),
            // Engines.
            ("automation - - AutoCAD", "automation.autocad"),
            ("- - /da/us-east/v3/workitems 3dsMax", "automation.3dsmax"),
            ("- - /da/v3/workitems 3dsMax", "unrated"),
            ("automation", "unrated"),
            ("automation - - maya", "unrated"),
            // B25: the rest is unrated.
            ("data_management GET /data/v1/projects", "unrated"),
            ("-", "unrated"),
            ("- - - autocad", "unrated"),
        ],
    );
    // Earlier cards: IFC was simple until 2022-03-29, Basic calls were free, any engine ran.
    expect_meters(
        &book(),
        0,
        &[
            ("model_derivative POST /job - ifc", "md.simple"),
            ("model_derivative GET /formats", "unrated"),
        ],
    );
    expect_meters(
        &book(),
        2,
        &[
            ("model_derivative POST /job - ifc", "md.complex"),
            ("automation", "automation.other"),
        ],
    );
}

#[test]
fn the_longest_root_wins_then_the_smaller_api() {
    let apis = json!({
        "b": {"roots": ["/x/{any}", "/same/root"]},
        "a": {"roots": ["/x", "/same/{any}"]},
        "c": {"roots": ["/x/y/z", "/"]},
    });
    let meter = |id: &str| json!({"id": id, "api": id, "measure": "call", "unit": 1, "tokens": 1, "free_cap": null, "billable": {"statuses": ["success"]}});
    let rules = json!([
        {"api": "a", "path": "/end", "meter": "a"},
        {"api": "b", "path": "/{one}", "meter": "b"},
        {"path": "/other", "meter": "c"},
        {"api": "a", "meter": null},
        {"meter": "a"},
    ]);
    let book = appended(&[
        ("apis", apis),
        ("meters", json!([meter("a"), meter("b"), meter("c")])),
        ("classify", rules),
    ]);
    let book = read(book.to_string().as_bytes()).unwrap();
    expect_meters(
        &book,
        NEXT,
        &[
            ("- - /x", "unrated"),
            ("- - /x/end/end", "b"),
            ("- - /x/y/z/other", "c"),
            ("- - /x/y/z/end", "a"),
            ("a - /x/end", "a"),
            ("A - /x/end", "a"),
            ("- - /same/root/end", "a"),
            ("b - /same/root/end", "b"),
            ("- - /other", "c"),
            ("d - /other", "c"),
            ("d - /x/other", "a"),
            ("- - ", "a"),
        ],
    );
}
