//! Rate books that are none or another one (exit 4), and state directories that are none (exit 7).

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::bench::{Bench, book_json, call, event, example_book, february};
use crate::support::{copy_tree, tree};

#[test]
fn every_fault_of_a_book_is_listed_and_nothing_is_written() {
    let bench = Bench::new();
    let input = bench.write("input.ndjson", february());
    let mut book = book_json();
    book["cards"][0]["meters"][0]["unit"] = json!(0);
    book["cards"][6]["meters"][1]["free_cap"] = json!(0);
    book["cards"][6]["classify"][0]["meter"] = json!("nobody");
    book["colour"] = json!("red");
    for (text, places) in [
        (
            book.to_string(),
            vec![
                "colour",
                "cards[0].meters[0].unit",
                "cards[6].meters[1].free_cap",
                "cards[6].classify[0].meter",
            ],
        ),
        ("{".into(), vec!["bad.json"]),
        (String::new(), vec!["bad.json"]),
        ("[]".into(), vec!["bad.json"]),
    ] {
        let mut replay = bench.replay(&[&input]);
        replay.rates = bench.write("bad.json", text);
        replay.state = Some(bench.path("state"));
        let said = replay.fail(4);
        assert_eq!(said.lines().count(), places.len(), "{said}");
        for (line, place) in said.lines().zip(places) {
            assert!(
                line.contains("bad.json: ") && line.contains(place),
                "{line}"
            );
        }
        assert_eq!(
            bench.names(),
            ["bad.json", "input.ndjson"],
            "nothing is written"
        );
    }
    let mut replay = bench.replay(&[&input]);
    replay.rates = bench.path("absent.json");
    let said = replay.fail(2);
    assert!(said.contains("absent.json: "), "{said}");
}

#[test]
fn a_directory_that_is_no_state_is_left_alone() {
    let bench = Bench::new();
    let input = bench.write("input.ndjson", february());
    let mut replay = bench.replay(&[&input]);
    let state = bench.path("state");
    replay.state = Some(state.clone());
    fs::create_dir(&state).expect("a directory");
    replay.succeed();
    fs::remove_dir_all(&replay.out).expect("the outputs");

    // No state at all, and a state with a damaged file.
    let foreign = bench.path("foreign");
    fs::create_dir(&foreign).expect("a directory");
    fs::write(foreign.join("thesis.doc"), "years of work").expect("a file");
    let damaged = bench.path("damaged");
    copy_tree(&state, &damaged);
    fs::write(damaged.join("CURRENT"), "MANIFEST-999999\n").expect("a file");
    for (place, words) in [
        (&foreign, "is not a state directory"),
        (&damaged, "damaged: "),
    ] {
        let before = tree(place);
        replay.state = Some(place.clone());
        let said = replay.fail(7);
        assert!(said.contains(words), "{said}");
        let after = tree(place);
        // The store keeps a log of how it was opened.
        let content = |(name, _): &(&String, &Option<Vec<u8>>)| !name.starts_with("LOG");
        assert!(
            before
                .iter()
                .filter(content)
                .eq(after.iter().filter(content))
        );
        assert!(!replay.out.exists(), "nothing is written");
    }
    let file = bench.write("file", "content");
    replay.state = Some(file.clone());
    let output = replay.run();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(fs::read(file).expect("the file"), b"content");
    assert_eq!(
        bench.names(),
        ["damaged", "file", "foreign", "input.ndjson", "state"]
    );
}

/// `engine.md` 5: the stored book is in force; a newer one is adopted, an older one is fine, any
/// other one is refused.
#[test]
fn the_book_of_a_state_may_only_grow() {
    let grown = |from: &str| {
        let mut book = book_json();
        let mut card = book["cards"][6].clone();
        card["id"] = json!("next");
        card["effective_from"] = json!(from);
        card["meters"][0]["unit"] = json!(360);
        book["cards"].as_array_mut().expect("cards").push(card);
        book
    };
    let bench = Bench::new();
    let first = bench.write("first.ndjson", february());
    let march = call("team-1", "march", "2026-03-01T10:00:00Z", 7_200);
    let second = bench.write("second.ndjson", march);
    let newer = bench.write("newer.json", grown("2026-03-01T00:00:00Z").to_string());
    // The clock is 9 February, 10:00; the skew 300 seconds. A card must start later than both.
    let too_early = bench.write("too-early.json", grown("2026-02-09T10:05:00Z").to_string());
    let mut price = book_json();
    price["cards"][6]["price_per_token"]["USD"] = json!("3.01");
    let other_price = bench.write("price.json", price.to_string());

    let mut replay = bench.replay(&[&first]);
    replay.state = Some(bench.path("state"));
    let outputs = replay.succeed();
    replay.inputs = vec![second];
    replay.flags.push("--force");
    for (book, words) in [
        (
            &other_price,
            vec![
                "price.json: ",
                "aps-2025-12",
                "price_per_token",
                "another book",
            ],
        ),
        (&too_early, vec!["too-early.json: ", "next"]),
    ] {
        replay.rates = book.clone();
        let said = replay.fail(4);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        outputs.assert_equal(
            "as it was",
            &crate::support::program::Outputs::read(&replay.out),
        );
    }

    let tokens = |book: &PathBuf, state: &str| -> Value {
        copy_tree(&bench.path("state"), &bench.path(state));
        let mut replay = replay.clone();
        replay.rates = book.clone();
        replay.state = Some(bench.path(state));
        let trace = replay.succeed().trace;
        let line: Value = serde_json::from_slice(&trace).expect("one line");
        json!([line["rate_card"], line["charge"]])
    };
    assert_eq!(
        tokens(&example_book(), "same"),
        json!(["aps-2025-12", "10"])
    );
    assert_eq!(tokens(&newer, "newer"), json!(["next", "20"]));
    // The state that adopted the newer book keeps it when the older one is given.
    let again = call("team-1", "again", "2026-03-01T11:00:00Z", 7_200);
    replay.inputs = vec![bench.write("again.ndjson", again)];
    replay.state = Some(bench.path("newer"));
    replay.rates = example_book();
    let line: Value = serde_json::from_slice(&replay.succeed().trace).expect("one line");
    assert_eq!(
        json!([line["rate_card"], line["charge"]]),
        json!(["next", "20"])
    );
    let members = "does not take part in what a book is";
    let mut commented = book_json();
    commented["notice"] = json!(members);
    replay.state = Some(bench.path("same"));
    replay.rates = bench.write("commented.json", commented.to_string());
    replay.succeed();
}

/// Files given day by day, each with outputs of its own.
#[test]
fn a_file_given_again_is_all_duplicates() {
    let bench = Bench::new();
    let input = bench.write("input.ndjson", february());
    let mut replay = bench.replay(&[&input]);
    replay.state = Some(bench.path("state"));
    replay.succeed();
    replay.out = bench.path("again");
    let again = replay.succeed();
    assert!(again.derived.is_empty() && again.dead_letters.is_empty());
    let trace = String::from_utf8(again.trace).expect("text");
    assert_eq!(trace.lines().count(), 12);
    assert!(
        trace
            .lines()
            .all(|line| line.contains("\"disposition\":\"duplicate\""))
    );
    let tick = event("x", "k", "clock-tick", "2026-02-10T00:00:00Z", json!({}));
    replay.inputs = vec![bench.write("tick.ndjson", tick)];
    replay.out = bench.path("tick");
    assert!(replay.succeed().accounts == again.accounts);
}
