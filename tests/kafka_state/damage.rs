//! Bytes of a closed store that are not what was written: flipped, cut off, gone. Nothing wrong is
//! ever folded on: the store is whole all the same, or it is put away and restored.

use std::fs;
use std::path::{Path, PathBuf};

use meterfold::ports::StoreError;
use meterfold::ports::log::Stores;
use meterfold::processor::recount::recount;
use meterfold::store::cells::read_meta;
use meterfold::store::directory::Directory;
use meterfold::store::rocks::RocksStore;

use crate::directories::cells;
use crate::support::kafka::Broker;
use crate::support::random::Random;
use crate::support::scene::{Scene, log_lines};
use crate::support::{copy_tree, tree};

/// Flips in all: `KAFKA_STATE_FLIPS`, or what CI has time for.
fn flips() -> usize {
    let flips = std::env::var("KAFKA_STATE_FLIPS").ok();
    flips.map_or(200, |flips| flips.parse().expect("a number"))
}

/// Opens a state directory as a worker does and counts everything in it.
fn look(state: &Path) -> Result<(RocksStore, Directory), StoreError> {
    let mut directory = Directory::new(state).expect("a directory");
    let store = directory.open(0)?.expect("nobody else has it");
    let meta = read_meta(&store)?.ok_or_else(|| StoreError::Damaged("no META".into()))?;
    let found = recount(&store, &meta)?;
    assert_eq!(
        found.total,
        meta.total_digest(),
        "a wrong answer that nobody noticed"
    );
    Ok((store, directory))
}

#[test]
fn a_flipped_bit_is_found_or_harmless() {
    let scene = Scene::half_folded(Broker::shared(), "damage_flips", 1);
    let whole = cells(&scene.partition_dir(0), 0);
    let base = scene.keep_state("base");
    let mut files: Vec<PathBuf> = tree(&base)
        .into_iter()
        .filter(|(_, bytes)| bytes.as_ref().is_some_and(|bytes| !bytes.is_empty()))
        .map(|(name, _)| PathBuf::from(name))
        .collect();
    // The log of RocksDB is for people; a lock has no content.
    files.retain(|name| !name.ends_with("LOG"));
    assert!(
        files
            .iter()
            .any(|name| name.extension().is_some_and(|it| it == "sst")),
        "{files:?}"
    );
    let mut random = Random::new(11);
    let (mut found, mut harmless) = (0, 0);
    for flip in 0..flips() {
        let state = scene.setup.dir().join("flipped");
        let _ = fs::remove_dir_all(&state);
        copy_tree(&base, &state);
        // Every kind of file has its turn.
        let name = &files[flip % files.len()];
        let path = state.join(name);
        let mut bytes = fs::read(&path).expect("a file");
        let (at, bit) = (random.below(bytes.len()), random.below(8));
        bytes[at] ^= 1 << bit;
        fs::write(&path, bytes).expect("a file");
        let place = format!("{} byte {at} bit {bit}", name.display());
        match look(&state) {
            Ok((store, mut directory)) => {
                harmless += 1;
                directory.close(0, store);
                let all = cells(&state.join("partition-0"), 0);
                assert!(all == whole, "{place}: cells differ, and nobody noticed");
            }
            Err(error) if error.is_damage() => found += 1,
            Err(error) => panic!("{place}: not seen as damage: {error}"),
        }
    }
    eprintln!("{} flips: {found} found, {harmless} harmless", flips());
    assert!(found > 0, "no flip was found");
}

/// What is cut or gone, by its kind of file; None: the whole directory is emptied.
const CUTS: [(Option<&str>, Cut); 8] = [
    (Some("sst"), Cut::Half),
    (Some("sst"), Cut::Gone),
    (Some("MANIFEST"), Cut::Half),
    (Some("MANIFEST"), Cut::Gone),
    (Some("CURRENT"), Cut::Empty),
    (Some("CURRENT"), Cut::Gone),
    (Some("OPTIONS"), Cut::Gone),
    (None, Cut::Gone),
];

#[derive(Clone, Copy, Debug)]
enum Cut {
    Half,
    Empty,
    Gone,
}

/// The whole program: it puts the store away, restores it, and goes on.
#[test]
fn files_cut_off_or_gone_are_restored() {
    let mut scene = Scene::new(Broker::shared(), "damage_cuts", 1);
    for (kind, cut) in CUTS {
        scene.fold_share(10);
        let written = scene.written();
        let whole = cells(&scene.partition_dir(0), 0);
        let directory = scene.partition_dir(0);
        for (name, bytes) in tree(&directory) {
            let bytes = bytes.expect("a file");
            let path = directory.join(&name);
            match (kind, cut) {
                (Some(kind), _) if !name.contains(kind) => {}
                (_, Cut::Gone) => fs::remove_file(path).expect("a file"),
                (_, Cut::Empty) => fs::write(path, b"").expect("a file"),
                (_, Cut::Half) => fs::write(path, &bytes[..bytes.len() / 2]).expect("a file"),
            }
        }
        let mut processor = scene.start();
        processor.wait_until_runs(&scene.setup);
        processor.stop();
        let place = format!("{kind:?} {cut:?}");
        assert_eq!(scene.written(), written, "{place}: something was written");
        // Positions and times of this store alone may differ.
        let mut now = cells(&scene.partition_dir(0), 0);
        let mut whole = whole;
        for cells in [&mut now, &mut whole] {
            cells.remove(&vec![meterfold::wire::keys::LOCAL]);
        }
        assert!(now == whole, "{place}: the cells are others");
    }
    assert!(!scene.quarantined().is_empty(), "damaged stores are kept");
    assert!(scene.quarantined().len() <= 3, "not all of them");
    scene.assert_goes_on("after all cuts");
}

/// Found only when it is read: the process notices while it folds.
#[test]
fn damage_that_shows_only_while_folding_is_restored_too() {
    let mut scene = Scene::half_folded(Broker::shared(), "damage_late", 1);
    let directory = scene.partition_dir(0);
    let mut hit = 0;
    for (name, bytes) in tree(&directory) {
        let mut bytes = bytes.expect("a file");
        if !name.ends_with("sst") || bytes.len() < 4_096 {
            continue;
        }
        // Into the data blocks, not into what is read at the opening.
        let half = bytes.len() / 2;
        for at in (64..half).step_by(512) {
            bytes[at] ^= 0x10;
        }
        fs::write(directory.join(name), bytes).expect("a file");
        hit += 1;
    }
    assert!(hit > 0, "a table of some size");
    let mut processor = scene.start();
    scene.produce_rest();
    processor.wait_until("everything is folded", || scene.setup.is_folded());
    assert_eq!(
        log_lines(&processor.log, "store_quarantined").len(),
        1,
        "{}",
        processor.log()
    );
    processor.stop();
    scene.assert_complete("after damage");
    assert_eq!(scene.quarantined().len(), 1);
}
