//! The fuzzer of one target, which FUZZ_TARGET names; `list` prints the names of all. Where FUZZ_SEEDS names a directory, the seeds
//! are written there before the fuzzer reads it.

#![no_main]

mod seeds;
mod targets;

use std::env;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::{TARGETS, Target};

static CHOSEN: OnceLock<&Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = env::var("FUZZ_TARGET").unwrap_or_default();
        if name == "list" {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            std::process::exit(0);
        }
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.unwrap_or_else(|| panic!("FUZZ_TARGET: there is no target {name:?}"));
        if let Some(directory) = env::var_os("FUZZ_SEEDS") {
            for (number, seed) in (target.seeds)().into_iter().enumerate() {
                let file = Path::new(&directory).join(format!("seed-{number}"));
                fs::write(file, seed).expect("a seed is written");
            }
        }
        CHOSEN.get_or_init(|| target);
    },
    |bytes: &[u8]| {
        if let Some(target) = CHOSEN.get() {
            (target.read)(bytes);
        }
    }
);
