//! Everything that reads bytes which somebody else may have written (`fuzz/src/targets.rs`), without
//! a fuzzer: its seeds, what fuzzers found once, and seeds damaged at random.

#[path = "fuzz/src/seeds.rs"]
mod seeds;
mod support;
#[path = "fuzz/src/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

use support::random::Random;
use targets::TARGETS;

/// Of each target.
const DAMAGED: usize = 1_000;

#[test]
fn every_seed_is_accepted() {
    for target in &TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() > 1, "{}", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            assert!((target.read)(seed), "{}: seed {number}", target.name);
        }
    }
}

/// Each file is named TARGET-WHAT.
#[test]
fn what_was_found_once_is_read_or_refused() {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/found");
    for entry in fs::read_dir(found).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let target = TARGETS.iter().find(|target| name.starts_with(target.name));
        let target = target.unwrap_or_else(|| panic!("{name} names no target"));
        (target.read)(&fs::read(&path).expect("a file"));
    }
}

#[test]
fn damaged_seeds_are_read_or_refused() {
    for target in &TARGETS {
        let seeds = (target.seeds)();
        let mut random = Random::new(7);
        let mut refused = 0;
        for _ in 0..DAMAGED {
            let mut bytes = random.one_of(&seeds).clone();
            for _ in 0..=random.below(4) {
                damage(&mut random, &mut bytes, &seeds);
            }
            refused += usize::from(!(target.read)(&bytes));
        }
        assert!(
            (1..DAMAGED).contains(&refused),
            "{}: {refused}",
            target.name
        );
    }
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = random.below(bytes.len() + 1);
    match random.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, random.below(256) as u8),
        2 => {
            let other = random.one_of(seeds);
            let from = random.below(other.len() + 1);
            let to = (from + random.below(64)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        3 => {
            let end = (at + random.below(16)).min(bytes.len());
            bytes.drain(at..end);
        }
        4 => {
            // Numbers at their limits, where lengths and counts may stand.
            let limit = [[0xff; 9], [0x7f; 9], [0x80; 9]][random.below(3)];
            let end = (at + limit.len()).min(bytes.len());
            bytes.splice(at..end, limit);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}
