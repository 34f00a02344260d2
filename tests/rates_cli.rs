//! `meterfold rates` from outside: exit codes, what goes to which stream, and that a book is
//! refused with all its faults.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// (arguments after the book, net, tax, gross, currency)
type QuoteRow = (
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/rates/aps-example.json")
}

/// The example book after `edit`, as a file of its own.
fn edited(dir: &TempDir, name: &str, edit: impl Fn(&mut Value)) -> PathBuf {
    let text = std::fs::read_to_string(example()).unwrap();
    let mut book = serde_json::from_str(&text).unwrap();
    edit(&mut book);
    let path = dir.path().join(name);
    std::fs::write(&path, book.to_string()).unwrap();
    path
}

/// A card like the launch card, in force from `from`.
fn append(book: &mut Value, from: &str) {
    let mut card = book["cards"][6].clone();
    card["id"] = json!("next");
    card["effective_from"] = json!(from);
    book["cards"].as_array_mut().unwrap().push(card);
}

fn rates(command: &str, book: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(["rates", command])
        .arg(book)
        .args(arguments)
        .output()
        .unwrap()
}

fn check_against(book: &Path, old: &Path) -> Output {
    rates("check", book, &["--against", old.to_str().unwrap()])
}

/// Exit code and standard error; a failure prints nothing else.
fn refused(output: &Output) -> (i32, String) {
    assert!(output.stdout.is_empty(), "{output:?}");
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr.clone()).unwrap(),
    )
}

fn accepted(output: &Output) -> String {
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn check_prints_a_summary() {
    let summary = accepted(&rates("check", &example(), &[]));
    assert!(
        summary.starts_with("aps-example: 7 cards, 11 meters, 4 APIs"),
        "{summary}"
    );
    let launch = summary
        .lines()
        .find(|line| line.contains("aps-2025-12"))
        .unwrap();
    for part in [
        "from 2025-12-08T00:00:00Z",
        "tiers",
        "whole_unit",
        "10 meters",
        "JPY 480, USD 3.00",
    ] {
        assert!(launch.contains(part), "{launch}");
    }
}

#[test]
fn check_names_every_fault_in_a_line_of_its_own() {
    let dir = TempDir::new().unwrap();
    let book = edited(&dir, "bad.json", |book| {
        book["cards"][3]["meters"][2]["unit"] = json!(0);
        book["cards"][6]["classify"][0]["meter"] = json!("nobody");
        book["colour"] = json!("red");
    });
    let (code, errors) = refused(&rates("check", &book, &[]));
    assert_eq!(code, 4);
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 3, "{errors}");
    for (line, part) in lines.iter().zip([
        "colour: unknown member",
        "cards[3].meters[2].unit (card forge-2022-09, meter automation.inventor): 0 is out of range",
        "cards[6].classify[0].meter (card aps-2025-12): \"nobody\" is no meter of this card",
    ]) {
        assert!(line.contains("bad.json: ") && line.contains(part), "{line}");
    }
    let (code, errors) = refused(&rates("quote", &book, &["--tokens", "100"]));
    assert_eq!((code, errors.lines().count()), (4, 3));
}

#[test]
fn a_book_that_cannot_be_read_is_bad_usage() {
    let (code, errors) = refused(&rates("check", Path::new("no/such.json"), &[]));
    assert_eq!(code, 2);
    assert!(errors.contains("no/such.json: cannot be read"), "{errors}");
    let (code, _) = refused(&check_against(&example(), Path::new("no/such.json")));
    assert_eq!(code, 2);
}

#[test]
fn check_against_accepts_what_leaves_the_cards_in_force_alone() {
    let dir = TempDir::new().unwrap();
    let planned = edited(&dir, "planned.json", |book| {
        append(book, "2199-01-01T00:00:00Z")
    });
    let replanned = edited(&dir, "replanned.json", |book| {
        append(book, "2199-02-01T00:00:00Z")
    });
    let commented = edited(&dir, "commented.json", |book| {
        book["cards"][0]["notice"] = json!("x")
    });
    for (new, old, verdict) in [
        (&commented, &example(), "says the same"),
        (
            &planned,
            &example(),
            "1 card(s) appended, from 2199-01-01T00:00:00Z",
        ),
        (
            &example(),
            &planned,
            "older; cards not yet in force are gone",
        ),
        (&replanned, &planned, "changes a card not yet in force"),
    ] {
        let summary = accepted(&check_against(new, old));
        assert!(
            summary
                .lines()
                .last()
                .is_some_and(|line| line.contains(verdict)),
            "{summary}"
        );
    }
}

#[test]
fn check_against_refuses_to_change_what_is_in_force() {
    let dir = TempDir::new().unwrap();
    let dearer = edited(&dir, "dearer.json", |book| {
        book["cards"][6]["price_per_token"]["USD"] = json!("3.10")
    });
    let shorter = edited(&dir, "shorter.json", |book| {
        drop(book["cards"].as_array_mut().unwrap().pop())
    });
    let skewed = edited(&dir, "skewed.json", |book| {
        book["future_skew_seconds"] = json!(301)
    });
    let late = edited(&dir, "late.json", |book| {
        append(book, "2026-02-01T00:00:00Z")
    });
    let pulled_in = edited(&dir, "pulled_in.json", |book| {
        append(book, "2026-02-02T00:00:00Z")
    });
    let planned = edited(&dir, "planned.json", |book| {
        append(book, "2199-01-01T00:00:00Z")
    });
    for (new, old, part) in [
        (
            &dearer,
            &example(),
            "cards[6].price_per_token.USD (card aps-2025-12): was \"3.00\", is now \"3.10\"",
        ),
        (
            &shorter,
            &example(),
            "cards[6] (card aps-2025-12): is missing",
        ),
        (
            &skewed,
            &example(),
            "future_skew_seconds: was 300, is now 301",
        ),
        (
            &late,
            &example(),
            "cards[7].effective_from (card next): 2026-02-01T00:00:00Z would price anew",
        ),
        (
            &pulled_in,
            &planned,
            "cards[7].effective_from (card next): was \"2199-01-01",
        ),
    ] {
        let (code, errors) = refused(&check_against(new, old));
        assert_eq!(code, 4, "{errors}");
        assert!(
            errors.lines().count() == 1 && errors.contains(part),
            "{errors}"
        );
    }
}

#[test]
fn quote_prints_one_line_of_json() {
    let dir = TempDir::new().unwrap();
    let taxed = edited(&dir, "taxed.json", |book| {
        book["cards"][6]["tax_rates"] = json!({"JP": "0.10"})
    });
    let table: &[QuoteRow] = &[
        (&["--tokens", "100"], "300.00", "0.00", "300.00", "USD"),
        (&["--tokens", "5000"], "14250.00", "0.00", "14250.00", "USD"),
        (
            &["--tokens", "50000", "--country", "US"],
            "120000.00",
            "0.00",
            "120000.00",
            "USD",
        ),
        (
            &["--tokens", "101", "--country", "JP", "--currency", "JPY"],
            "48480",
            "4848",
            "53328",
            "JPY",
        ),
        (
            &[
                "--channel",
                "account_page",
                "--pack",
                "100",
                "--packs",
                "1",
                "--at",
                "2018-06-01T00:00:00Z",
            ],
            "16000",
            "1280",
            "17280",
            "JPY",
        ),
    ];
    for (arguments, net, tax, gross, currency) in table {
        let line = accepted(&rates("quote", &taxed, arguments));
        let expected =
            format!(r#"{{"net":"{net}","tax":"{tax}","gross":"{gross}","currency":"{currency}"}}"#);
        assert_eq!(line, expected + "\n", "{arguments:?}");
    }
}

#[test]
fn what_has_no_quote_is_bad_usage() {
    let table: &[(&[&str], &str)] = &[
        (
            &["--tokens", "99"],
            "99 tokens are below the minimum of 100",
        ),
        (
            &["--tokens", "100", "--currency", "EUR"],
            "card aps-2025-12 has no price per token in EUR",
        ),
        (
            &["--tokens", "100", "--at", "2017-01-01T00:00:00Z"],
            "no rate card is in force at 2017",
        ),
        (
            &[
                "--channel",
                "reseller",
                "--pack",
                "5000",
                "--packs",
                "2",
                "--at",
                "2018-06-01T00:00:00Z",
            ],
            "pack 5000 of channel reseller has no list price",
        ),
        (
            &["--channel", "shop", "--pack", "100", "--packs", "1"],
            "no credit channel shop",
        ),
        (
            &["--channel", "store", "--pack", "100", "--packs", "1"],
            "channel store is not available",
        ),
        (
            &["--channel", "account_page", "--pack", "7", "--packs", "1"],
            "sells no pack of 7",
        ),
        (&["--tokens", "100", "--at", "noon"], "--at"),
        (&["--tokens", "1.5"], "--tokens"),
        (&["--tokens", "100", "--channel", "store"], "--channel"),
        (&["--channel", "store", "--pack", "100"], "--packs"),
        (
            &[
                "--channel",
                "store",
                "--pack",
                "100",
                "--packs",
                "1",
                "--country",
                "JP",
            ],
            "--country",
        ),
        (&["--tokens", "100", "--pack", "100"], "--pack"),
        (&[], "--tokens"),
    ];
    for (arguments, part) in table {
        let (code, errors) = refused(&rates("quote", &example(), arguments));
        assert_eq!(code, 2, "{arguments:?}: {errors}");
        assert!(errors.contains(part), "{arguments:?}: {errors}");
    }
}

#[test]
fn help_has_examples() {
    for arguments in [
        &["rates", "--help"][..],
        &["rates", "check", "--help"],
        &["rates", "quote", "--help"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_meterfold"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            accepted(&output).contains("meterfold rates "),
            "{arguments:?}"
        );
    }
}
