//! Crashes, rebalances and doubtful commits of the worker on a log, on the in-memory twins of
//! cluster and stores: whatever happens, each partition ends with the bytes and the state of a file
//! run that was never disturbed, and with a journal that proves it: an audit finds no difference.
//!
//! One seed is one run: a world of events, one to four partitions, one to three instances whose
//! processes come and go, and dice that decide whatever a cluster leaves to chance.
//!
//! The checks are only trusted since they catch deliberately wrong protocols (`operations.md`
//! 2.10): see [`Bug`].

mod model;
mod support;

#[path = "worker_crash/audits.rs"]
mod audits;
#[path = "worker_crash/bugs.rs"]
mod bugs;
#[path = "worker_crash/checks.rs"]
mod checks;
#[path = "worker_crash/feed.rs"]
mod feed;
#[path = "worker_crash/field.rs"]
mod field;

#[path = "properties/books.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod books;
#[path = "properties/library.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod library;
#[path = "properties/world.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bugs::Bug;
use checks::{Check, Fault};
use field::{Field, Met};
use meterfold::processor::journaling::{LogSettings, settings_digest};
use meterfold::processor::partition::BookText;
use meterfold::processor::start::StartSettings;
use meterfold::wire::rate_book;
use support::random::Random;
use world::{Recipe, World};

#[test]
fn crashes_and_moves_in_any_order_change_nothing() {
    let mut met: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in first_seed()..first_seed() + seeds() {
        let seen = disturbed(seed, Bug::None).unwrap_or_else(|Fault(check, fault)| {
            panic!("seed {seed}: {check:?}: {fault}");
        });
        for (what, count) in seen {
            *met.entry(what).or_default() += count;
        }
    }
    // Everything that can go wrong went wrong often.
    let often = seeds() / 10;
    let rare: Vec<&str> = MET
        .into_iter()
        .filter(|what| met.get(what).is_none_or(|count| *count < often))
        .collect();
    assert!(rare.is_empty(), "seldom met: {rare:?} of {met:?}");
}

/// What a run is disturbed by, and what comes of it.
const MET: [&str; 20] = [
    "refused",
    "timed out, aborted",
    "timed out, committed",
    "timed out, hanging",
    "death in a commit",
    "pending offset",
    "silence",
    "eviction",
    "stale generation",
    "lost",
    "compaction",
    "killed",
    "stopped",
    "rebalance",
    "session expired",
    "disk lost",
    "not durable",
    "store failed",
    "clock step paused",
    "restored",
];

/// Each wrong protocol is caught within so many seeds.
#[test]
fn planted_bugs_are_caught() {
    for (bug, seeds_max) in [
        (Bug::WriteBeforeCommit, 20),
        (Bug::OffsetsApart, 20),
        (Bug::MetadataOmitted, 20),
        (Bug::NoSeekBack, 20),
        (Bug::OverlayKeptAfterAbort, 20),
        (Bug::CommitAgain, 20),
        (Bug::OutputInRecovery, 60),
        (Bug::IdsNotRestored, 20),
        (Bug::CommitOnLost, 60),
        (Bug::CursorNotKept, 60),
        (Bug::DeadLetterOutside, 60),
    ] {
        let caught = (0..seeds_max).find_map(|seed| {
            let fault = disturbed(seed, bug).err()?;
            Some((seed, fault))
        });
        let Some((seed, Fault(check, fault))) = caught else {
            panic!("{bug:?}: not caught in {seeds_max} seeds");
        };
        println!("{bug:?}: seed {seed}: {check:?}: {fault:.200}");
        let expected: &[Check] = match bug {
            // A genesis that only the store has waits for an offset for ever.
            Bug::WriteBeforeCommit => &[Check::Halt, Check::Live],
            Bug::OffsetsApart | Bug::IdsNotRestored => &[Check::Halt],
            Bug::MetadataOmitted | Bug::CommitOnLost => &[Check::Misuse],
            _ => &[
                Check::Journal,
                Check::Outputs,
                Check::Digest,
                Check::Stores,
                Check::Halt,
                Check::Audit,
            ],
        };
        assert!(expected.contains(&check), "{bug:?}: {check:?}: {fault}");
    }
}

/// A world that is folded with every disturbance at hand, then left in peace until all is folded.
fn disturbed(seed: u64, bug: Bug) -> Result<Met, Fault> {
    let mut random = Random::new(seed);
    let world = World::make(&Recipe::random(&mut random));
    let partitions = 1 + random.below(4) as u16;
    let inputs: Vec<String> = match random.once_in(3) {
        true => vec!["api-calls".into(), "accounts".into()],
        false => vec!["events".into()],
    };
    let settings = settings(&world, partitions, &inputs, &mut random);
    let mut field = Field::new(&world, &settings, partitions, inputs.len(), seed, bug);
    for _ in 0..random.below(300) {
        field.disturb(&mut random)?;
    }
    field.calm(&mut random)?;
    field.settle(&mut random)?;
    for partition in 0..partitions {
        let disk = field.last_disk(partition);
        checks::partition(
            &world,
            &field.feed,
            &field.cluster,
            partition,
            disk.as_ref(),
        )?;
        let cluster = &field.cluster;
        audits::prove(cluster, &inputs, partition, partitions, &mut random).map_err(|stop| {
            Fault(
                Check::Audit,
                format!("partition {partition}: audit: {stop:?}"),
            )
        })?;
    }
    Ok(field.met())
}

fn settings(
    world: &World,
    partitions: u16,
    inputs: &[String],
    random: &mut Random,
) -> StartSettings {
    let rates = &world.book.rates;
    // Every second world takes a store that is behind for too old to be brought up.
    let retention = if random.once_in(2) { 0 } else { 1 << 50 };
    StartSettings {
        log: LogSettings {
            cluster: "twin".into(),
            group: "test".into(),
            inputs: inputs.to_vec(),
            partition_count: partitions,
            settings_digest: settings_digest(
                true,
                rates.dedup_horizon_millis,
                rates.future_skew_millis,
            ),
        },
        book: BookText {
            text: world.book.text.as_bytes().to_vec(),
            digest: rate_book::canonical_digest(world.book.text.as_bytes()).expect("a book"),
        },
        parsed_book: Arc::clone(rates),
        topic_ids: inputs.iter().map(|it| (it.clone(), "id".into())).collect(),
        delete_retention: Duration::from_millis(retention),
        // A test does not wait: an offset that is missing is asked for until it is there.
        offsets_patience: Duration::from_secs(1 << 30),
        timers_per_stretch: 1 + random.below(4),
        is_book_allowed: AtomicBool::new(false),
        wall_millis: || 1 << 40,
    }
}

/// `WORKER_CRASH_SEEDS`, 1,000 by default.
fn seeds() -> u64 {
    number_of("WORKER_CRASH_SEEDS", 1_000)
}

/// `WORKER_CRASH_FIRST`: to run one seed again.
fn first_seed() -> u64 {
    number_of("WORKER_CRASH_FIRST", 0)
}

fn number_of(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => number
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is a number")),
        Err(_) => default,
    }
}
