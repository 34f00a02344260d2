//! `meterfold replay --what-if` as a user starts it: two rate books over the same inputs, and the
//! differences to the last digit.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};
use support::program::{Outputs, Replay, stderr};
use support::sample::Sample;
use tempfile::TempDir;

const EXAMPLE_BOOK: &str = include_str!("../schemas/rates/aps-example.json");

#[test]
fn the_same_book_makes_no_difference() {
    for sample in Sample::all() {
        let run = Run::new(sample.replay.clone());
        let book = fs::read_to_string(&sample.replay.rates).expect("the book");
        let table = run.succeed(&book);
        sample
            .expected
            .assert_equal(sample.name, &Outputs::read(&run.replay.out));
        let teams = sample
            .expected
            .accounts
            .split(|byte| *byte == b'\n')
            .count()
            - 1;
        let words =
            format!("Under the other rate book: 0 of {teams} teams differ, {teams} do not\n");
        assert!(table.ends_with(&words), "{}: {table}", sample.name);
        assert_eq!(run.lines(), Vec::<Value>::new(), "{}", sample.name);
    }
}

/// 3.00 becomes 3.07 a token: every invoice line in dollars is calculated anew from what the sample
/// says that it must hold, and nothing else may differ.
#[test]
fn another_price_makes_the_difference_that_follows_from_the_lines() {
    let sample = Sample::read("january");
    let run = Run::new(sample.replay.clone());
    let mut book: Value = serde_json::from_str(EXAMPLE_BOOK).expect("JSON");
    let prices = &mut launch_card(&mut book)["price_per_token"];
    assert_eq!(prices["USD"], "3.00");
    prices["USD"] = json!("3.07");
    let table = run.succeed(&book.to_string());

    let mut expected: BTreeMap<(String, String), [Decimal; 3]> = BTreeMap::new();
    let mut sum = [Decimal::ZERO; 3];
    for event in events(&sample.expected.derived) {
        let data = &event["data"];
        if event["type"] != "meterfold.monthly-invoice.v1" || data["currency"] != "USD" {
            continue;
        }
        let rows = ["lines", "adjustments"].map(|rows| data[rows].as_array().expect("rows"));
        let amounts = rows.into_iter().flatten().map(|row| {
            let exact = decimal(&row["postpaid"]) * Decimal::new(307, 2);
            exact.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)
        });
        assert!(data.get("tax").is_none());
        let (before, after) = (decimal(&data["total"]), amounts.sum::<Decimal>());
        if before != after {
            let amounts = [before, after, after - before];
            sum.iter_mut()
                .zip(amounts)
                .for_each(|(sum, amount)| *sum += amount);
            expected.insert((text(&event["subject"]), text(&data["month"])), amounts);
        }
    }
    assert!(expected.len() > 3, "the sample has invoices in dollars");
    let mut told = BTreeMap::new();
    for line in run.lines() {
        for tokens in ["tokens", "prepaid", "postpaid", "uncharged"] {
            assert_eq!(line[tokens]["difference"], "0", "{line}");
        }
        let money = line["money"].as_object().expect("money");
        assert_eq!(money.keys().collect::<Vec<_>>(), ["USD"]);
        let amounts = ["book", "what_if", "difference"].map(|name| decimal(&money["USD"][name]));
        told.insert((text(&line["team"]), text(&line["month"])), amounts);
    }
    assert_eq!(told, expected);
    let total = table
        .lines()
        .find(|line| line.starts_with("(all)") && line.contains(" all ") && line.contains("USD"));
    let total: Vec<&str> = total
        .expect("the sum in dollars")
        .split_whitespace()
        .collect();
    let sum = sum.map(|amount| format!("{amount:.2}"));
    assert_eq!(total[3..], [&sum[0], &sum[1], &sum[2]]);
}

/// Case 36 of the worked cases with 4 tokens for two jobs: 7 jobs are 3 units, so 12 tokens instead
/// of 9, and 36.00 instead of 27.00.
#[test]
fn another_charge_of_one_meter_is_seen_in_tokens_and_money() {
    let events = [
        enrolled("a", "postpay"),
        hub("a"),
        app("a"),
        runs("a", 3_600),
        complex_jobs("a", 7),
        enrolled("b", "prepay"),
        hub("b"),
        app("b"),
        event("buy", "b", "tokens-purchased", json!({"tokens": 100})),
        complex_jobs("b", 2),
        enrolled("c", "free"),
    ];
    let run = Run::of_events(&events);
    let mut book: Value = serde_json::from_str(EXAMPLE_BOOK).expect("JSON");
    let meters = launch_card(&mut book)["meters"]
        .as_array_mut()
        .expect("meters");
    let complex = meters.iter_mut().find(|meter| meter["id"] == "md.complex");
    complex.expect("the meter")["tokens"] = json!(4);
    let table = run.succeed(&book.to_string());
    let pair = |book: &str, what_if: &str, difference: &str| json!({"book": book, "what_if": what_if, "difference": difference});
    let nothing = pair("0", "0", "0");
    assert_eq!(
        run.lines(),
        [
            json!({
                "team": "a", "month": "2026-01",
                "money": {"USD": pair("42.00", "51.00", "9.00")},
                "tokens": pair("14", "17", "3"), "prepaid": nothing,
                "postpaid": pair("14", "17", "3"), "uncharged": nothing,
            }),
            json!({
                "team": "b", "month": "2026-01", "money": {},
                "tokens": pair("3", "4", "1"), "prepaid": pair("3", "4", "1"),
                "postpaid": nothing, "uncharged": nothing,
            }),
        ]
    );
    assert!(
        table.ends_with(
            "\
Under the other rate book: 2 of 3 teams differ, 1 do not

teams that differ  month    sum of      book  what if  difference
(all)              2026-01  USD        42.00    51.00        9.00
(all)              2026-01  tokens        17       21           4
(all)              2026-01  prepaid        3        4           1
(all)              2026-01  postpaid      14       17           3
(all)              2026-01  uncharged      0        0           0
(all)              all      USD        42.00    51.00        9.00
(all)              all      tokens        17       21           4
(all)              all      prepaid        3        4           1
(all)              all      postpaid      14       17           3
(all)              all      uncharged      0        0           0

team  month    currency   book  what if  difference
a     2026-01  USD       42.00    51.00        9.00

2 teams and months differ, 1 of them in tokens alone; what-if.ndjson has them all.
"
        ),
        "{table}"
    );
}

/// Who may not enrol postpay under the other book gets no invoice under it: his charges are debt.
#[test]
fn a_refusal_under_the_other_book_is_told() {
    let events = [
        enrolled("a", "postpay"),
        enrolled("a", "prepay"),
        hub("a"),
        app("a"),
        runs("a", 720),
    ];
    let run = Run::of_events(&events);
    let mut book: Value = serde_json::from_str(EXAMPLE_BOOK).expect("JSON");
    launch_card(&mut book)["postpay"]["countries"] = json!(["JP"]);
    let table = run.succeed(&book.to_string());
    let lines = run.lines();
    assert_eq!(
        lines[0]["money"]["USD"],
        json!({"book": "3.00", "what_if": "0.00", "difference": "-3.00"})
    );
    assert_eq!(
        lines[0]["uncharged"],
        json!({"book": "0", "what_if": "1", "difference": "1"})
    );
    assert!(
        table.ends_with(
            "events    book  what if\naccepted     4        3\nrefused      0        1\n"
        ),
        "{table}"
    );
}

#[test]
fn a_bad_book_is_refused_as_rates_check_does() {
    let run = Run::of_events(&[]);
    let mut book: Value = serde_json::from_str(EXAMPLE_BOOK).expect("JSON");
    launch_card(&mut book)["meters"][0]["unit"] = json!(0);
    launch_card(&mut book)["price_per_token"]["USD"] = json!("3.0000001");
    let other = run.write("other.json", &book.to_string());
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(["rates", "check"])
        .arg(&other)
        .output()
        .expect("the program starts");
    let output = run.with_book(&other);
    assert_eq!(
        (check.status.code(), output.status.code()),
        (Some(4), Some(4))
    );
    assert_eq!(stderr(&output), stderr(&check));
    assert!(stderr(&output).lines().count() >= 2, "{}", stderr(&output));
    let absent = run.with_book(&run.dir.path().join("absent.json"));
    assert_eq!(absent.status.code(), Some(2));
    assert!(stderr(&absent).contains("absent.json: "));
    assert!(!run.replay.out.exists());
}

#[test]
fn a_kept_state_is_not_compared() {
    let mut run = Run::of_events(&[]);
    run.replay.state = Some(run.dir.path().join("state"));
    let other = run.write("other.json", EXAMPLE_BOOK);
    let output = run.with_book(&other);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--state"), "{}", stderr(&output));
}

/// A command line whose outputs go to a directory of its own.
struct Run {
    dir: TempDir,
    replay: Replay,
}

impl Run {
    fn new(mut replay: Replay) -> Run {
        let dir = tempfile::tempdir().expect("a directory");
        replay.out = dir.path().join("out");
        Run { dir, replay }
    }

    fn of_events(events: &[String]) -> Run {
        let mut run = Run::new(Replay::default());
        run.replay.rates = run.write("book.json", EXAMPLE_BOOK);
        let text: String = events.iter().map(|event| format!("{event}\n")).collect();
        run.replay.inputs = vec![run.write("log.ndjson", &text)];
        run.replay.until = Some("2026-02-04T00:00:00Z".into());
        run
    }

    fn write(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    fn with_book(&self, other: &Path) -> std::process::Output {
        let mut command = self.replay.command();
        command.arg("--what-if").arg(other);
        command.output().expect("the program starts")
    }

    /// What it prints. Nothing but the outputs is left.
    fn succeed(&self, other: &str) -> String {
        let other = self.write("other.json", other);
        let before = support::names(self.dir.path());
        let output = self.with_book(&other);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let mut expected = before;
        expected.push("out".into());
        expected.sort();
        assert_eq!(support::names(self.dir.path()), expected);
        String::from_utf8(output.stdout).expect("text")
    }

    fn lines(&self) -> Vec<Value> {
        events(&fs::read(self.replay.out.join("what-if.ndjson")).expect("the differences"))
    }
}

fn launch_card(book: &mut Value) -> &mut Value {
    let cards = book["cards"].as_array_mut().expect("cards");
    let launch = cards.iter_mut().find(|card| card["regime"] == "tiers");
    launch.expect("the launch card")
}

/// What postpay asks for is told for every offering; the others ignore it.
fn enrolled(team: &str, offering: &str) -> String {
    let data = json!({"offering": offering, "country": "US", "payment_method": "credit_card", "good_standing": true});
    event(offering, team, "offering-enrolled", data)
}

fn hub(team: &str) -> String {
    event("hub", team, "hub-created", json!({"hub_id": "h"}))
}

fn app(team: &str) -> String {
    event("app", team, "app-migrated", json!({"app_id": "app"}))
}

fn runs(team: &str, seconds: u64) -> String {
    let data =
        json!({"app_id": "app", "api": "automation", "engine": "autocad", "quantity": seconds});
    event("runs", team, "api-call", data)
}

fn complex_jobs(team: &str, jobs: u64) -> String {
    let data = json!({"app_id": "app", "api": "model_derivative", "method": "POST", "path": "/modelderivative/v2/designdata/job", "source_format": "rvt", "quantity": jobs});
    event("jobs", team, "api-call", data)
}

/// An event of 10 January.
fn event(id: &str, team: &str, kind: &str, data: Value) -> String {
    json!({
        "specversion": "1.0", "id": id, "source": "/test", "subject": team,
        "type": format!("meterfold.{kind}.v1"), "time": "2026-01-10T10:00:00Z", "data": data,
    })
    .to_string()
}

fn events(lines: &[u8]) -> Vec<Value> {
    let lines = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect()
}

fn decimal(value: &Value) -> Decimal {
    text(value).parse().expect("a decimal")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").into()
}
