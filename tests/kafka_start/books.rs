//! Another rate book at a restart: a newer one is adopted, journaled, or comes too late; an older
//! one changes nothing; any other is refused.

use std::fs;

use meterfold::wire::journal::{JournalRecord, Kind, Part};
use serde_json::{Value, json};

use crate::support::kafka::Broker;
use crate::support::scene::{Scene, log_lines, rates};

/// The book of the tests with its last card once more, from `from` on.
fn appended(from: &str) -> Value {
    let mut book = original();
    let cards = book["cards"].as_array_mut().expect("cards");
    let mut card = cards.last().expect("a card").clone();
    card["id"] = json!("appended");
    card["effective_from"] = json!(from);
    cards.push(card);
    book
}

fn original() -> Value {
    let text = fs::read(rates()).expect("a book");
    serde_json::from_slice(&text).expect("JSON")
}

fn use_book(scene: &mut Scene, book: &Value) {
    let path = scene.setup.dir().join("book.json");
    fs::write(&path, book.to_string()).expect("a file");
    scene.setup.rates = path;
}

fn newest_journal_record(scene: &Scene, partition: i32) -> JournalRecord {
    let journal = scene
        .setup
        .broker
        .read_committed(&scene.setup.topic("journal"));
    let message = journal
        .iter()
        .rfind(|message| message.partition == partition)
        .expect("a record")
        .value
        .as_deref()
        .expect("a value");
    let part = Part::decode(message).expect("a part");
    assert_eq!(part.parts, 1, "a small record");
    JournalRecord::decode(part.bytes).expect("a journal record")
}

#[test]
fn a_newer_book_is_adopted_and_an_older_one_changes_nothing() {
    let mut scene = Scene::half_folded(Broker::shared(), "books_newer", 1);
    let before = newest_journal_record(&scene, 0);
    use_book(&mut scene, &appended("2026-06-01T00:00:00Z"));
    let mut processor = scene.start();
    processor.wait_until_runs(&scene.setup);
    processor.stop();
    let adoption = newest_journal_record(&scene, 0);
    assert!(
        matches!(adoption.kind, Kind::Adoption),
        "{:?}",
        adoption.kind
    );
    assert_eq!(adoption.sequence, before.sequence + 1);
    assert_eq!(adoption.book_sequence, before.book_sequence + 1);
    let text = adoption.book_text.expect("the book");
    assert!(String::from_utf8_lossy(&text).contains("\"appended\""));

    let written = scene.written();
    scene.setup.rates = rates();
    let mut processor = scene.start();
    processor.wait_until_runs(&scene.setup);
    assert_eq!(scene.written(), written, "an older book");
    processor.stop();
    scene.assert_goes_on("with the older book");
    assert_eq!(
        newest_journal_record(&scene, 0).book_digest,
        adoption.book_digest
    );
}

#[test]
fn another_book_is_refused() {
    let mut scene = Scene::half_folded(Broker::shared(), "books_other", 1);
    let mut book = original();
    let cards = book["cards"].as_array_mut().expect("cards");
    let card = cards.last_mut().expect("a card");
    let id = card["id"].as_str().expect("an id").to_owned();
    card["close_grace_hours"] = json!(96);
    use_book(&mut scene, &book);
    scene.assert_refuses(&[], 4, &[&id, "close_grace_hours", "partition 0"]);
    scene.setup.rates = rates();
    scene.assert_goes_on("with the right book");
}

/// No partition adopts as long as one is past the new card and none has adopted; once one was told
/// to, the other halts alone.
#[test]
fn a_card_in_the_past_comes_too_late_until_it_is_accepted() {
    let mut scene = Scene::half_folded(Broker::shared(), "books_late", 2);
    scene.fold_share(1);
    use_book(&mut scene, &appended("2026-03-01T00:00:00Z"));
    let written = scene.written();
    let words = [
        "is past a new card",
        "appended",
        "2026-04-01",
        "--accept-book",
    ];
    scene.assert_refuses(&[], 4, &words);
    assert_eq!(scene.written(), written, "nobody has adopted");
    scene.wait_until_empty();
    scene.recover(0, &["--accept-book"]);
    let operator = newest_journal_record(&scene, 0);
    assert!(
        matches!(operator.kind, Kind::Operator { .. }),
        "{:?}",
        operator.kind
    );
    let mut processor = scene.start();
    let log = processor.log.clone();
    processor.wait_until("partition 1 halts beside partition 0", || {
        let halts = log_lines(&log, "partition_halted");
        halts.iter().any(|line| {
            ["BOOK_TOO_LATE", "partition=1", "appended", "2026-04-01"]
                .iter()
                .all(|word| line.contains(word))
        })
    });
    processor.wait_until("partition 0 runs", || {
        log_lines(&log, "partition_running")
            .iter()
            .any(|line| line.contains("partition=0"))
    });
    processor.stop();
    scene.wait_until_empty();
    scene.recover(1, &["--accept-book"]);
    scene.assert_goes_on("with the book accepted");
}
