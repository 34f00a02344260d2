//! Audits of the log that go on after its retention did: what was compared before may be gone, what was
//! not is gone or cannot be proven, and is never a difference.

use std::path::Path;

use meterfold::billing::derived_event::DerivedKind;
use meterfold::ports::log::Stores;
use meterfold::processor::audit::position::Position;
use meterfold::store::directory::Directory;

use super::interrupted::{audit_of_log, gone_on_after, run, stop_at};
use super::support::copy_tree;
use super::support::journal::journal;
use super::support::kafka::Broker;
use super::support::scene::Scene;

const MONTH: &str = "2026-01";

fn position_in(work_dir: &Path) -> Position {
    let mut stores = Directory::new(work_dir).expect("a directory");
    let store = stores.open(0).expect("a store").expect("nobody has it");
    let position = Position::read(&store).expect("a position");
    position.expect("it was kept")
}

#[test]
fn an_audit_goes_on_where_retention_has_gone_on_too() {
    let mut scene = Scene::with_events(Broker::shared(), "archive_audit_cut", 1, 6_000);
    // In each of the first commits some team reaches a cap in January.
    for share in [6, 6, 6, 1] {
        scene.fold_share(share);
    }
    let (setup, broker) = (&scene.setup, scene.setup.broker);
    let work_dir = setup.dir().join("work");
    let (whole, error) = run(&mut audit_of_log(setup, MONTH, None));
    assert_eq!(whole.status.code(), Some(0), "{error}");
    let whole = String::from_utf8(whole.stdout).expect("text");
    stop_at(1_500, &mut audit_of_log(setup, MONTH, Some(&work_dir)));
    let kept = setup.dir().join("kept");
    copy_tree(&work_dir, &kept);
    let position = position_in(&work_dir);
    let go_on = |place: &str, code: i32, words: &[&str]| {
        if !work_dir.exists() {
            copy_tree(&kept, &work_dir);
        }
        let (output, error) = run(&mut audit_of_log(setup, MONTH, Some(&work_dir)));
        let said = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(code), "{place}: {said}{error}");
        let stood_after = gone_on_after(&error, 0);
        assert_eq!(stood_after, Some(position.sequence), "{place}: {error}");
        for word in words {
            assert!(said.contains(word), "{place}: {word} is not in:\n{said}");
        }
        assert!(!work_dir.exists(), "{place}: nothing is left");
        said
    };
    // Behind the first committed record from `next` on.
    let beyond = |topic: &str, next: i64| {
        let records = broker.read_committed(topic);
        let record = records.iter().find(|it| it.offset >= next);
        record.expect("it was not compared").offset + 1
    };

    let commit = journal(setup, 0).remove(position.sequence as usize);
    let (input, next) = commit.positions[0].clone();
    assert!(next > 0 && commit.sequence > 1, "{commit:?}");
    broker.delete_records(&input, 0, next);
    let mut compared = Vec::new();
    for (kind, published) in DerivedKind::ALL.iter().zip(&position.published) {
        if let Some(next) = published.next.filter(|_| published.equal > 0) {
            let topic = setup.topic(kind.name());
            broker.delete_records(&topic, 0, next);
            compared.push((topic, next));
        }
    }
    let letters = position.letters.expect("they are compared");
    let (letters, next_letter) = (setup.topic("dead-letters"), letters.next.expect("some"));
    broker.delete_records(&letters, 0, next_letter);
    let (anew, error) = run(&mut audit_of_log(setup, MONTH, None));
    assert_eq!(anew.status.code(), Some(10), "{error}");
    assert_eq!(go_on("what was compared is gone", 0, &[]), whole);

    broker.delete_records(&letters, 0, beyond(&letters, next_letter));
    let one_letter = ["equal: ", ", 1 no longer kept in their topic"];
    go_on("a letter that was not is gone", 0, &one_letter);

    let (topic, next_event) = compared.first().expect("a topic of events");
    broker.delete_records(topic, 0, beyond(topic, *next_event));
    let one_event = [
        "cannot be proven: 1 published events of 2026-01",
        "no longer kept",
    ];
    go_on("an event that was not is gone", 10, &one_event);

    broker.delete_records(&input, 0, beyond(&input, next));
    let begins = format!("{input} partition 0 begins at offset");
    go_on("an input that was not is gone", 10, &[&begins]);
}
