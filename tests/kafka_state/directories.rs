//! Directories of something else: of another partition, group or version, or held by another
//! process. Exit 7, or a halt; the bytes are kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use meterfold::ports::{Cells, Changes, Store};
use meterfold::processor::stored::read_local;
use meterfold::store::cells::read_meta;
use meterfold::store::rocks::{Rocks, RocksStore};
use meterfold::wire::keys;
use meterfold::wire::meta::FOLD_VERSION;

use crate::support::disk::Disk;
use crate::support::kafka::Broker;
use crate::support::processor::Processor;
use crate::support::scene::{Scene, log_lines};

/// All cells of a store.
pub fn cells(directory: &Path, partition: u16) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let rocks = Rocks::open(directory).expect("a store");
    let mut cells = BTreeMap::new();
    rocks
        .partition(partition)
        .scan(&[], &[0xff], &mut |key, value| {
            cells.insert(key.to_vec(), value.to_vec());
            std::ops::ControlFlow::Continue(())
        })
        .expect("it can be read");
    cells
}

fn change(directory: &Path, partition: u16, change: impl FnOnce(&RocksStore, &mut Changes)) {
    let rocks = Rocks::open(directory).expect("a store");
    let mut store = rocks.partition(partition);
    let mut changes = Changes::default();
    change(&store, &mut changes);
    store.apply(&changes).expect("a write");
    rocks.flush().expect("a flush");
}

/// Two volumes that were swapped.
#[test]
fn directories_that_were_swapped_are_refused() {
    let mut scene = Scene::half_folded(Broker::shared(), "state_swapped", 2);
    let [first, second] = [scene.partition_dir(0), scene.partition_dir(1)];
    let before = [cells(&first, 0), cells(&second, 1)];
    let swap = || {
        let aside = scene.setup.dir().join("aside");
        fs::rename(&first, &aside).expect("a directory");
        fs::rename(&second, &first).expect("a directory");
        fs::rename(&aside, &second).expect("a directory");
    };
    swap();
    scene.assert_refuses(
        &[],
        7,
        &["belongs to", "partition 0", "partition 1", "move"],
    );
    swap();
    assert!(
        [cells(&first, 0), cells(&second, 1)] == before,
        "the cells are kept"
    );
    scene.assert_goes_on("swapped back");
}

#[test]
fn a_directory_of_another_group_is_refused() {
    let broker = Broker::shared();
    let other = Scene::half_folded(broker, "state_other", 1);
    let mut scene = Scene::half_folded(broker, "state_mine", 1);
    let before = cells(&other.partition_dir(0), 0);
    let state = other.setup.state(0).display().to_string();
    let words = [
        "state_other",
        "state_mine",
        "belongs to",
        "nothing was changed",
    ];
    scene.assert_refuses(&[("METERFOLD_STATE_DIR", &state)], 7, &words);
    assert!(
        cells(&other.partition_dir(0), 0) == before,
        "the cells are kept"
    );
    scene.assert_goes_on("with its own");
}

#[test]
fn state_of_a_newer_program_is_left_alone() {
    let mut scene = Scene::half_folded(Broker::shared(), "state_newer", 1);
    let directory = scene.partition_dir(0);
    let kept = scene.keep_state("kept");
    change(&directory, 0, |store, changes| {
        let mut meta = read_meta(store).expect("it can be read").expect("META");
        meta.fold_version = FOLD_VERSION + 1;
        changes.put(&[keys::META], &meta.encode());
    });
    let newer = cells(&directory, 0);
    let words = [
        format!("version {}", FOLD_VERSION + 1),
        format!("knows {FOLD_VERSION}"),
    ];
    scene.assert_halts("VERSION_NEWER", &["partition 0", &words[0], &words[1]]);
    assert!(cells(&directory, 0) == newer, "the cells are kept");

    scene.put_state(&kept);
    change(&directory, 0, |store, changes| {
        let local = read_local(store).expect("it can be read").expect("a cell");
        let mut bytes = local.encode();
        bytes[0] += 1;
        changes.put(&[keys::LOCAL], &bytes);
    });
    let newer = cells(&directory, 0);
    scene.assert_refuses(&[], 7, &["partition 0", "newer"]);
    assert!(cells(&directory, 0) == newer, "the cells are kept");
    scene.put_state(&kept);
    scene.assert_goes_on("with the right state");
}

/// Two processes with one directory, of which only one may have it: here of two groups, since within
/// a group nobody opens a partition before it was given up.
#[test]
fn a_directory_that_another_process_holds_is_refused() {
    let broker = Broker::shared();
    let mut first = Scene::half_folded(broker, "state_held", 1);
    let second = Scene::half_folded(broker, "state_holds_not", 1);
    let mut holder = first.start();
    holder.wait_until_runs(&first.setup);
    let state = first.setup.state(0).display().to_string();
    let words = ["partition 0", "another process holds", &state, "state_dir"];
    second.assert_refuses(&[("METERFOLD_STATE_DIR", &state)], 7, &words);
    first.assert_goes_on_with(&mut holder, "the holder");
    holder.stop();
    first.assert_complete("the holder");
}

/// A read-only volume. Root may write anywhere, so only a mount tells.
#[test]
fn a_directory_that_may_not_be_written_is_refused() {
    let scene = Scene::half_folded(Broker::shared(), "state_read_only", 1);
    let Some(disk) = Disk::mount(scene.setup.dir().join("disk")) else {
        return;
    };
    crate::support::copy_tree(&scene.setup.state(0), &disk.path.join("state"));
    disk.remount_read_only();
    let state = disk.path.join("state").display().to_string();
    let words = ["partition 0", "Read-only file system", "writable"];
    scene.assert_refuses(&[("METERFOLD_STATE_DIR", &state)], 7, &words);
}

/// It is restored, and a process that dies while it does so leaves nothing that passes for state.
#[test]
fn a_restore_that_was_killed_is_begun_again() {
    let mut scene = Scene::half_folded(Broker::shared(), "state_killed", 2);
    scene.lose_state();
    for _ in 0..3 {
        let mut processor = scene.start_with(&[("FAIL_POINT_OF_METERFOLD", "restore:1:kill")]);
        let status = processor.ended(crate::support::processor::PATIENCE);
        assert_eq!(
            status.code(),
            None,
            "killed by a signal:\n{}",
            processor.log()
        );
        assert!(
            processor.log().contains("fail point Restore fires"),
            "{}",
            processor.log()
        );
    }
    let mut processor: Processor = scene.start();
    processor.wait_until_runs(&scene.setup);
    assert!(log_lines(&processor.log, "store_quarantined").is_empty());
    scene.assert_goes_on_with(&mut processor, "after three kills");
    processor.stop();
    scene.assert_complete("after three kills");
}
