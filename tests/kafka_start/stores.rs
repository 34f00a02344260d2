//! Stores that are equal to what was committed, older, gone or too old: they run, without a word
//! to any topic.

use meterfold::ports::{Cells, Changes, Store};
use meterfold::processor::stored::read_local;
use meterfold::store::rocks::Rocks;
use meterfold::wire::keys;

use crate::support::kafka::Broker;
use crate::support::scene::Scene;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// The next process runs every partition and stops; nothing was written.
fn assert_runs_in_silence(scene: &Scene, place: &str) {
    let before = scene.written();
    let mut processor = scene.start();
    processor.wait_until_runs(&scene.setup);
    processor.stop();
    assert_eq!(scene.written(), before, "{place}: something was written");
    assert!(
        scene.quarantined().is_empty(),
        "{place}: {:?}",
        scene.quarantined()
    );
}

#[test]
fn a_store_equal_older_or_gone_runs_without_output() {
    let mut scene = Scene::new(Broker::shared(), "start_stores", 2);
    scene.fold_share(3);
    let older = scene.keep_state("older");
    scene.fold_share(1);
    scene.assert_complete("first");
    assert_runs_in_silence(&scene, "equal");
    scene.assert_complete("equal");
    scene.put_state(&older);
    assert_runs_in_silence(&scene, "older");
    scene.assert_complete("older");
    scene.lose_state();
    assert_runs_in_silence(&scene, "gone");
    scene.assert_complete("gone");
}

/// Deletions may be missing from the changelog by then, so its tail is not enough: cells that only
/// the store has must go.
#[test]
fn a_store_older_than_half_the_retention_of_deletions_is_restored_whole() {
    let mut scene = Scene::half_folded(Broker::shared(), "start_old", 1);
    let older = scene.keep_state("older");
    scene.fold_share(1);
    for (days, is_whole) in [(1, false), (4, true), (400, true)] {
        scene.put_state(&older);
        let ghost = keys::team("ghost", 0);
        {
            let rocks = Rocks::open(&scene.partition_dir(0)).expect("a store");
            let mut store = rocks.partition(0);
            let mut local = read_local(&store)
                .expect("it can be read")
                .expect("a store's own cell");
            local.meta_appended_at_millis -= days * DAY_MILLIS;
            let mut changes = Changes::default();
            changes.put(&[keys::LOCAL], &local.encode());
            if is_whole {
                let first = team_cell(&store);
                changes.put(&ghost, &first);
            }
            store.apply(&changes).expect("a write");
            rocks.flush().expect("a flush");
        }
        assert_runs_in_silence(&scene, &format!("{days} days"));
        scene.assert_complete(&format!("{days} days"));
        let rocks = Rocks::open(&scene.partition_dir(0)).expect("a store");
        let found = rocks.partition(0).get(&ghost).expect("it can be read");
        assert_eq!(
            found, None,
            "{days} days: a cell that was not in the changelog"
        );
    }
}

/// The value of some team.
fn team_cell(store: &impl Store) -> Vec<u8> {
    let mut found = None;
    store
        .scan(&[keys::TEAM], &[keys::TEAM + 1], &mut |_, value| {
            found = Some(value.to_vec());
            std::ops::ControlFlow::Break(())
        })
        .expect("it can be read");
    found.expect("a team")
}

#[test]
fn a_store_before_the_start_of_the_changelog_is_restored_whole_or_halts() {
    let mut scene = Scene::half_folded(Broker::shared(), "start_behind", 1);
    let older = scene.keep_state("older");
    scene.fold_share(1);
    let changelog = scene.setup.topic("changelog");
    let end = scene.setup.broker.end_offsets(&changelog)[0];
    // An equal store needs none of it.
    scene.cut_changelog(0, end);
    assert_runs_in_silence(&scene, "equal");
    scene.put_state(&older);
    scene.assert_halts("CHANGELOG_MISSING", &["partition 0", "META", "1;"]);
    scene.lose_state();
    scene.assert_halts("CHANGELOG_MISSING", &["partition 0", "META", "1;"]);
}

/// Cells that lie in the changelog, but were not written by the group, are found out when state is
/// restored from it, however they look.
#[test]
fn a_foreign_record_on_the_changelog_is_found_by_a_restore() {
    for (name, key, value) in [
        (
            "a_team_cell",
            keys::team("ghost", 0),
            b"no cell at all".to_vec(),
        ),
        ("a_copy", keys::team("ghost", 0), Vec::new()),
        ("a_meta", vec![keys::META], b"no META".to_vec()),
    ] {
        let mut scene = Scene::half_folded(Broker::shared(), &format!("start_{name}"), 1);
        let value = match value.is_empty() {
            true => {
                let rocks = Rocks::open(&scene.partition_dir(0)).expect("a store");
                team_cell(&rocks.partition(0))
            }
            false => value,
        };
        let changelog = scene.setup.topic("changelog");
        scene.setup.broker.produce(&changelog, 0, &key, &value);
        scene.fold_share(1);
        scene.assert_complete("nothing is restored");
        scene.lose_state();
        scene.assert_halts("STATE_DIGEST", &["partition 0", "changelog"]);
    }
}
