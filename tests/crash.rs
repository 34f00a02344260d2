//! Crashes at every step of the loop, on the in-memory twins of log and store: whatever is lost,
//! the run goes on from what was committed and ends with the bytes and the state of a run that was
//! never disturbed.
//!
//! The log keeps what each commit carried: derived events, dead letters, trace, the changed cells
//! and the record that follows. A store is a cache of committed state: a process that starts brings
//! each store up to the last commit from the changes of the commits that it lacks (`engine.md` 5),
//! then folds on from the record after it. A store past the last commit is refused.
//!
//! The checks are only trusted since they catch deliberately wrong protocols (`operations.md`
//! 2.10): see [`Bug`].

mod model;
mod support;

#[path = "properties/books.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod books;
#[path = "properties/library.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod library;
#[path = "properties/world.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod world;

use std::collections::{BTreeMap, HashMap};

use library::{Folded, Layout, StopAfter, open, state_digest};
use meterfold::billing::time::Instant;
use meterfold::files::memory::{CommitFailure, MemoryCommit, MemoryLog, MemoryLogError};
use meterfold::ports::{Cells, Changes, Committer, Staged, Store};
use meterfold::processor::partition::Partition;
use meterfold::processor::{RunError, accounts, run};
use meterfold::store::memory::MemoryStore;
use meterfold::wire::keys;
use meterfold::wire::meta::Meta;
use serde_json::Value;
use support::first_difference;
use support::random::Random;
use world::{Recipe, World};

/// Where a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Crash {
    /// While batch number so and so is folded.
    Folding(usize),
    /// The commit after so many more fails in this way.
    Committing(u64, Failure),
    /// This partition's apply after so many more fails; those before it were applied.
    Applying(usize, u64),
}

/// [`CommitFailure`], to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    Refused,
    Unsynced,
    Unanswered,
}

/// A deliberately wrong protocol, with its number in `operations.md` 2.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// 1: the store is written before the commit.
    WriteBeforeCommit,
    /// 5: what was folded is kept after an aborted commit.
    OverlayKeptAfterAbort,
    /// 8: the memory of ids is not restored.
    IdsNotRestored,
    /// 12: invoice lines in the order of a hash map.
    HashMapOrderInInvoices,
}

#[test]
fn a_crash_at_any_step_changes_nothing() {
    let mut random = Random::new(1);
    for _ in 0..12 {
        let world = World::make(&Recipe::random(&mut random));
        let layout = Layout {
            partitions: 3,
            batches: vec![1, 3, 2],
            ids_max: 4,
            ..Layout::PLAIN
        };
        let expected = undisturbed(&world);
        let commits = world.lines.len() as u64 / 3 + 2;
        let failures = [Failure::Refused, Failure::Unsynced, Failure::Unanswered];
        let committing = failures
            .iter()
            .flat_map(|failure| (0..commits).map(|count| Crash::Committing(count, *failure)));
        let applying = (0..3)
            .flat_map(|partition| (0..commits).map(move |count| Crash::Applying(partition, count)));
        let folding = (1..world.lines.len()).map(Crash::Folding);
        for crash in folding.chain(committing).chain(applying) {
            for is_lost in [false, true] {
                let mut process = Process::new(&world, &layout, Bug::None);
                let result = process
                    .run_until(Some(crash), is_lost)
                    .and_then(|_| process.run_until(None, false))
                    .and_then(|_| process.compare(&expected));
                result.unwrap_or_else(|fault| panic!("{crash:?}, lost {is_lost}: {fault}"));
            }
        }
    }
}

#[test]
fn crashes_in_any_order_change_nothing() {
    let mut crashes: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..seeds() {
        let seen = crashed_often(seed, Bug::None).unwrap_or_else(|(check, fault)| {
            panic!("seed {seed}: {check:?}: {fault}");
        });
        for crash in seen {
            let kind = match crash {
                Crash::Committing(_, failure) => format!("{failure:?}"),
                Crash::Folding(_) => "Folding".into(),
                Crash::Applying(..) => "Applying".into(),
            };
            *crashes.entry(kind).or_default() += 1;
        }
    }
    // Every kind of crash was met often.
    let kinds = ["Folding", "Refused", "Unsynced", "Unanswered", "Applying"];
    let often = seeds() as usize / 10;
    assert!(
        kinds.iter().all(|kind| crashes.get(*kind) > Some(&often)),
        "{crashes:?}"
    );
}

/// Each wrong protocol is caught within so many seeds, by a look at outputs and digests; a store
/// that is ahead of the log is refused where it is met.
#[test]
fn planted_bugs_are_caught() {
    for (bug, seeds_max) in [
        (Bug::WriteBeforeCommit, 20),
        (Bug::OverlayKeptAfterAbort, 20),
        (Bug::IdsNotRestored, 20),
        (Bug::HashMapOrderInInvoices, 400),
    ] {
        let caught = (0..seeds_max).find_map(|seed| crashed_often(seed, bug).err());
        let (check, fault) =
            caught.unwrap_or_else(|| panic!("{bug:?}: not caught in {seeds_max} seeds"));
        let expected: &[Check] = match bug {
            Bug::WriteBeforeCommit => &[Check::Ahead],
            Bug::OverlayKeptAfterAbort => &[Check::Loop, Check::Outputs, Check::Digest],
            _ => &[Check::Outputs, Check::Digest],
        };
        assert!(expected.contains(&check), "{bug:?}: {check:?}: {fault}");
    }
}

/// What found a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Outputs,
    Digest,
    /// A store is past the last commit.
    Ahead,
    /// A store is not what the changes of all commits make.
    Changelog,
    /// The loop failed by itself.
    Loop,
}

struct Fault(Check, String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.0, self.1)
    }
}

/// A random world, disturbed up to six times. Returns the crashes that were met.
fn crashed_often(seed: u64, bug: Bug) -> Result<Vec<Crash>, (Check, String)> {
    let mut random = Random::new(seed);
    let world = World::make(&Recipe::random(&mut random));
    let layout = Layout {
        partitions: 1 + random.below(4) as u16,
        threads: 1 + usize::from(random.once_in(8)),
        batches: (0..random.below(4)).map(|_| 1 + random.below(6)).collect(),
        ids_max: 1 + random.below(8),
        decoded_bytes_max: *random.one_of(&[0, 5_000, usize::MAX]),
        encoded_bytes_max: *random.one_of(&[0, 1_000, usize::MAX]),
        is_private: false,
    };
    let mut process = Process::new(&world, &layout, bug);
    let mut met = Vec::new();
    let mut result = Ok(());
    for _ in 0..random.below(7) {
        let count = random.below(6);
        let crash = match random.below(5) {
            0 => Crash::Folding(count + 1),
            1 => Crash::Committing(count as u64, Failure::Refused),
            2 => Crash::Committing(count as u64, Failure::Unsynced),
            3 => Crash::Committing(count as u64, Failure::Unanswered),
            _ => Crash::Applying(random.below(usize::from(layout.partitions)), count as u64),
        };
        match process.run_until(Some(crash), random.once_in(2)) {
            Ok(true) => met.push(crash),
            // The log ended before.
            Ok(false) => break,
            Err(fault) => {
                result = Err(fault);
                break;
            }
        }
    }
    result
        .and_then(|()| process.run_until(None, false))
        .and_then(|_| process.compare(&undisturbed(&world)))
        .map(|()| met)
        .map_err(|Fault(check, fault)| (check, fault))
}

fn undisturbed(world: &World) -> Folded {
    library::fold(
        &world.book.rates,
        &world.log(),
        world.until,
        &Layout::PLAIN,
        None,
    )
}

/// A log and its stores, and processes that come and go.
struct Process<'a> {
    world: &'a World,
    layout: &'a Layout,
    bug: Bug,
    log: MemoryLog,
    stores: Vec<MemoryStore>,
    /// Of the process that runs; gone when it ends.
    partitions: Vec<Partition<MemoryStore>>,
}

impl<'a> Process<'a> {
    fn new(world: &'a World, layout: &'a Layout, bug: Bug) -> Process<'a> {
        Process {
            world,
            layout,
            bug,
            log: MemoryLog::new(&world.log(), layout.partitions, None),
            stores: (0..layout.partitions)
                .map(|_| MemoryStore::default())
                .collect(),
            partitions: Vec::new(),
        }
    }

    /// Starts, recovers and folds to the end, or until the crash: then what the stores have not
    /// made durable may be lost. Returns whether it crashed.
    fn run_until(&mut self, crash: Option<Crash>, is_lost: bool) -> Result<bool, Fault> {
        let is_overlay_kept = self.bug == Bug::OverlayKeptAfterAbort && !self.partitions.is_empty();
        if !is_overlay_kept {
            self.recover()?;
            self.partitions = open(&self.world.book.rates, &self.stores);
        }
        // What was asked for before and never came must not come now.
        self.log.fail_after(u64::MAX, CommitFailure::Refused);
        self.stores
            .iter()
            .for_each(|store| store.fail_after(u64::MAX));
        let mut batches = usize::MAX;
        match crash {
            Some(Crash::Folding(batch)) => batches = batch,
            Some(Crash::Committing(count, failure)) => self.log.fail_after(count, failure.into()),
            Some(Crash::Applying(partition, count)) => self.stores[partition].fail_after(count),
            None => {}
        }
        let next = self.log.commits().last().map_or(0, |commit| commit.next);
        let mut committer = TestCommit {
            inner: self.log.committer(),
            bug: self.bug,
            stores: self.stores.clone(),
        };
        let result = run(
            &mut self
                .log
                .source(next..self.log.records(), &self.layout.batches),
            &mut self.partitions,
            &mut committer,
            &self.layout.policy(),
            self.layout.threads,
            self.world.until.map(Instant::from_millis),
            &mut StopAfter { batches },
        );
        let is_abort = match (&result, crash) {
            (Ok(()), _) => false,
            (Err(RunError::Interrupted), Some(Crash::Folding(_))) => false,
            (Err(RunError::Commit(_)), Some(Crash::Committing(_, failure))) => {
                failure != Failure::Unanswered
            }
            (Err(RunError::Partition(_)), Some(Crash::Applying(..))) => false,
            (Err(error), _) => return Err(Fault(Check::Loop, error.to_string())),
        };
        if is_abort && self.bug == Bug::OverlayKeptAfterAbort {
            self.log.crash();
            return Ok(true);
        }
        if result.is_err() {
            self.partitions.clear();
            self.log.crash();
            for store in &self.stores {
                if !is_lost {
                    store.flush();
                }
                store.crash();
            }
        }
        Ok(result.is_err())
    }

    /// Brings each store up to the last commit.
    fn recover(&mut self) -> Result<(), Fault> {
        let commits = self.log.commits();
        for (number, store) in self.stores.iter_mut().enumerate() {
            let applied = sequence(store);
            if applied > commits.len() {
                let fault = format!("partition {number} is at {applied} of {}", commits.len());
                return Err(Fault(Check::Ahead, fault));
            }
            for commit in &commits[applied..] {
                let mut changes = Changes::default();
                for (key, value) in &commit.parts[number].changes {
                    match value {
                        Some(value) => changes.put(key, value),
                        None => changes.delete(key),
                    }
                }
                store.apply(&changes).expect("a store in memory");
            }
            assert_eq!(sequence(store), commits.len());
            if self.bug == Bug::IdsNotRestored {
                let mut forgotten = Changes::default();
                for key in store.cells().keys().filter(|key| key[0] == keys::IDS) {
                    forgotten.delete(key);
                }
                store.apply(&forgotten).expect("a store in memory");
            }
        }
        Ok(())
    }

    /// Every derived event once, all else the same, and the stores what the log says.
    fn compare(&self, expected: &Folded) -> Result<(), Fault> {
        let output = self.log.output();
        let mut account_lines = Vec::new();
        accounts::write_all(&self.partitions, 1, &mut account_lines).expect("accounts");
        for (name, expected, actual) in [
            ("trace", &expected.outputs.trace, &output.trace),
            (
                "dead letters",
                &expected.outputs.dead_letters,
                &output.dead_letters,
            ),
            ("derived", &expected.outputs.derived, &output.derived),
            ("accounts", &expected.outputs.accounts, &account_lines),
        ] {
            if let Some(difference) = first_difference(expected, actual) {
                return Err(Fault(Check::Outputs, format!("{name} {difference}")));
            }
        }
        if state_digest(&self.partitions) != expected.state_digest {
            return Err(Fault(Check::Digest, "another state digest".into()));
        }
        for (number, store) in self.stores.iter().enumerate() {
            let mut cells = BTreeMap::new();
            for commit in self.log.commits() {
                for (key, value) in commit.parts[number].changes.clone() {
                    match value {
                        Some(value) => cells.insert(key, value),
                        None => cells.remove(&key),
                    };
                }
            }
            if cells != store.cells() {
                let fault = format!("partition {number} is not what its changes make");
                return Err(Fault(Check::Changelog, fault));
            }
        }
        Ok(())
    }
}

/// The commits that a store has applied.
fn sequence(store: &MemoryStore) -> usize {
    let meta = store.get(&[keys::META]).expect("a store in memory");
    meta.map_or(0, |meta| {
        Meta::decode(&meta).expect("a META cell").sequence as usize
    })
}

/// The log's committer, with the bugs that lie in committing.
struct TestCommit {
    inner: MemoryCommit,
    bug: Bug,
    stores: Vec<MemoryStore>,
}

impl Committer for TestCommit {
    type Error = MemoryLogError;

    fn commit(&mut self, staged: &mut [Staged]) -> Result<(), MemoryLogError> {
        if self.bug == Bug::WriteBeforeCommit {
            for (store, staged) in self.stores.iter_mut().zip(&*staged) {
                // A failure shows when the loop applies.
                let _ = store.apply(&staged.changes);
            }
        }
        if self.bug == Bug::HashMapOrderInInvoices {
            let derived = staged.iter_mut().flat_map(|staged| &mut staged.derived);
            derived.for_each(|event| event.json = in_hash_map_order(&event.json));
        }
        self.inner.commit(staged)
    }
}

/// The lines of an invoice as a hash map hands them out.
fn in_hash_map_order(json: &[u8]) -> Vec<u8> {
    let mut event: Value = serde_json::from_slice(json).expect("a derived event");
    let Some(lines) = event["data"]["lines"].as_array_mut() else {
        return json.to_vec();
    };
    let by_key: HashMap<String, Value> = lines
        .drain(..)
        .map(|line| (format!("{} {}", line["meter"], line["rate_card"]), line))
        .collect();
    lines.extend(by_key.into_values());
    event.to_string().into_bytes()
}

impl From<Failure> for CommitFailure {
    fn from(failure: Failure) -> CommitFailure {
        match failure {
            Failure::Refused => CommitFailure::Refused,
            Failure::Unsynced => CommitFailure::Unsynced,
            Failure::Unanswered => CommitFailure::Unanswered,
        }
    }
}

/// `CRASH_SEEDS`, 1,000 by default.
fn seeds() -> u64 {
    match std::env::var("CRASH_SEEDS") {
        Ok(seeds) => seeds.parse().expect("CRASH_SEEDS is a number"),
        Err(_) => 1_000,
    }
}
