//! Crashes, rebalances and doubtful commits of the worker on a log, on the in-memory twins of
//! cluster and stores: whatever happens, each partition ends with the bytes and the state of a file
//! run that was never disturbed, and with a journal that proves it.
//!
//! One seed is one run: a world of events, one to four partitions, one to three instances whose
//! processes come and go, and dice that decide whatever a cluster leaves to chance.
//!
//! The checks are only trusted since they catch deliberately wrong protocols (`operations.md`
//! 2.10): see [`Bug`].

mod model;
mod support;

#[path = "worker_crash/bugs.rs"]
mod bugs;
#[path = "worker_crash/checks.rs"]
mod checks;
#[path = "worker_crash/feed.rs"]
mod feed;

#[path = "properties/books.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod books;
#[path = "properties/library.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod library;
#[path = "properties/world.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bugs::{Bug, TestLog};
use checks::{Check, Fault};
use feed::Feed;
use meterfold::fail_point::Life;
use meterfold::kafka::twin::{Odds, TwinCluster};
use meterfold::ports::{Changes, Store};
use meterfold::processor::journaling::{LogSettings, settings_digest};
use meterfold::processor::partition::{BookText, read_meta};
use meterfold::processor::start::StartSettings;
use meterfold::processor::worker::{PartitionState, Watch, Worker, WorkerPolicy};
use meterfold::store::memory::MemoryStore;
use meterfold::store::twin::{StoreFaults, TwinDisks, TwinStores};
use meterfold::wire::avro::Schemas;
use meterfold::wire::keys;
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
        (Bug::OutputInRecovery, 20),
        (Bug::IdsNotRestored, 20),
        (Bug::CommitOnLost, 20),
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
            ],
        };
        assert!(expected.contains(&check), "{bug:?}: {check:?}: {fault}");
    }
}

type Met = BTreeMap<&'static str, u64>;

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
    }
    let mut met = field.met;
    met.extend(field.cluster.met());
    met.extend(field.watched.borrow().met.clone());
    Ok(met)
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
            digest: [7; 32],
        },
        parsed_book: Arc::clone(rates),
        topic_ids: inputs.iter().map(|it| (it.clone(), "id".into())).collect(),
        delete_retention: Duration::from_millis(retention),
        // A test does not wait: an offset that is missing is asked for until it is there.
        offsets_patience: Duration::from_secs(1 << 30),
        timers_per_stretch: 1 + random.below(4),
        wall_millis: || 1 << 40,
    }
}

fn schemas() -> Arc<Schemas> {
    static SCHEMAS: OnceLock<Arc<Schemas>> = OnceLock::new();
    Arc::clone(SCHEMAS.get_or_init(|| Arc::new(Schemas::built_in())))
}

/// A cluster, its machines, and the processes on them.
struct Field<'a> {
    settings: &'a StartSettings,
    bug: Bug,
    partitions: u16,
    cluster: TwinCluster,
    feed: Feed,
    machines: Vec<Machine<'a>>,
    watched: Rc<RefCell<Watched>>,
    is_calm: bool,
    met: Met,
}

#[derive(Default)]
struct Machine<'a> {
    disks: TwinDisks,
    process: Option<Worker<'a, TestLog, TwinStores, Watcher>>,
}

/// What all processes reported.
#[derive(Default)]
struct Watched {
    halts: Vec<String>,
    met: Met,
    /// Which instance committed last for a partition.
    last: BTreeMap<u16, usize>,
}

struct Watcher {
    instance: usize,
    watched: Rc<RefCell<Watched>>,
}

impl Watch for Watcher {
    fn partition(&mut self, number: u16, state: &PartitionState) {
        let watched = &mut *self.watched.borrow_mut();
        match state {
            PartitionState::Halted(halt) => {
                let (code, text) = (halt.code.name(), &halt.text);
                watched
                    .halts
                    .push(format!("partition {number}: {code}: {text}"));
            }
            PartitionState::Running { meta, .. } => {
                watched.last.insert(number, self.instance);
                if meta.timer_cursor.is_some() {
                    *watched.met.entry("clock step paused").or_default() += 1;
                }
            }
            PartitionState::Starting { progress, .. } if progress.applied > 0 => {
                *watched.met.entry("restored").or_default() += 1;
            }
            PartitionState::Starting { .. } => {}
        }
    }
}

impl<'a> Field<'a> {
    fn new(
        world: &World,
        settings: &'a StartSettings,
        partitions: u16,
        inputs: usize,
        seed: u64,
        bug: Bug,
    ) -> Field<'a> {
        let mut dice = Random::new(!seed);
        let topics = &settings.log.inputs;
        let cluster = TwinCluster::new(
            partitions,
            topics,
            schemas(),
            Box::new(move |count| dice.below(count)),
        );
        if bug == Bug::MetadataOmitted {
            cluster.stop_fencing();
        }
        let mut random = Random::new(seed.wrapping_add(1 << 32));
        let mut once_in = || *random.one_of(&[0, 3, 6, 12]);
        cluster.set_odds(Odds {
            commit: once_in(),
            death: 2 * once_in(),
            silence: once_in(),
            eviction: 2 * once_in(),
            compaction: once_in(),
        });
        let instances = 1 + random.below(3);
        Field {
            settings,
            bug,
            partitions,
            feed: Feed::new(world, partitions, inputs),
            cluster,
            machines: (0..instances).map(|_| Machine::default()).collect(),
            watched: Rc::default(),
            is_calm: false,
            met: Met::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    /// Something happens, and a process has its turn.
    fn disturb(&mut self, random: &mut Random) -> Result<(), Fault> {
        if random.once_in(3) {
            let count = random.below(8);
            self.feed.append(&self.cluster, count, random);
        }
        let instance = random.below(self.machines.len());
        let is_running = self.machines[instance].process.is_some();
        match random.below(60) {
            0 if is_running => {
                self.count("killed");
                self.end(instance, random);
            }
            1 | 2 => {
                self.count("rebalance");
                self.cluster.rebalance();
            }
            3 => {
                self.count("session expired");
                self.cluster.evict(instance as u16);
                self.cluster.rebalance();
            }
            4 if is_running => self.stop(instance, random),
            5 if !is_running => {
                self.count("disk lost");
                let partition = random.below(usize::from(self.partitions)) as u16;
                self.machines[instance].disks.lose(partition);
            }
            _ => {}
        }
        if self.cluster.has_free() && random.once_in(3) {
            self.cluster.rebalance();
        }
        if self.machines[instance].process.is_none() && random.once_in(3) {
            self.start(instance, random);
        }
        self.turn(instance, random)
    }

    fn start(&mut self, instance: usize, random: &mut Random) {
        let life = match self.is_calm || random.once_in(3) {
            true => Life::of(u64::MAX),
            false => Life::of(random.below(250) as u64),
        };
        let faults = match self.is_calm || random.once_in(2) {
            true => StoreFaults {
                durable_every: 1 + random.below(6) as u64,
                ..StoreFaults::NONE
            },
            false => {
                self.count("store failed");
                StoreFaults {
                    durable_every: 1 + random.below(6) as u64,
                    read_fails_after: random.below(60) as u64,
                    apply_fails_after: random.below(12) as u64,
                }
            }
        };
        let machine = &mut self.machines[instance];
        if self.bug == Bug::CursorNotKept {
            for partition in 0..self.partitions {
                let mut disk = machine.disks.disk(partition);
                if let Some(meta) = disk.get(&[keys::META]).expect("a store in memory") {
                    let mut changes = Changes::default();
                    changes.put(&[keys::META], &bugs::without_cursor(&meta));
                    disk.apply(&changes).expect("a store in memory");
                }
            }
        }
        let log = TestLog {
            inner: self.cluster.join(instance as u16, life.clone()),
            bug: self.bug,
            cluster: self.cluster.clone(),
            disks: machine.disks.clone(),
            unsure: Vec::new(),
            read: BTreeMap::new(),
        };
        let stores = TwinStores::new(machine.disks.clone(), life, faults);
        let watcher = Watcher {
            instance,
            watched: Rc::clone(&self.watched),
        };
        let policy = policy(self.is_calm, random);
        machine.process = Some(Worker::new(log, stores, self.settings, policy, watcher));
    }

    /// One turn of a process; an error is its end.
    fn turn(&mut self, instance: usize, random: &mut Random) -> Result<(), Fault> {
        let Some(process) = &mut self.machines[instance].process else {
            return Ok(());
        };
        if process.turn().is_err() {
            self.end(instance, random);
        }
        self.look()
    }

    /// The process is gone; what was not durable may be lost with it.
    fn end(&mut self, instance: usize, random: &mut Random) {
        self.machines[instance].process = None;
        if random.once_in(2) {
            self.count("not durable");
            self.machines[instance].disks.crash();
        }
    }

    /// A process ends in good order.
    fn stop(&mut self, instance: usize, random: &mut Random) {
        if let Some(mut process) = self.machines[instance].process.take() {
            self.count("stopped");
            if process.run(&AtomicBool::new(true)).is_err() {
                drop(process);
                self.end(instance, random);
            }
        }
    }

    /// Nobody halted, nobody did what nobody may do.
    fn look(&self) -> Result<(), Fault> {
        if let Some(fault) = self.cluster.faults().first() {
            return Err(Fault(Check::Misuse, fault.clone()));
        }
        match self.watched.borrow().halts.first() {
            Some(halt) => Err(Fault(Check::Halt, halt.clone())),
            None => Ok(()),
        }
    }

    /// Every process is replaced by one that nothing happens to; all records are there.
    fn calm(&mut self, random: &mut Random) -> Result<(), Fault> {
        for instance in 0..self.machines.len() {
            self.stop(instance, random);
            self.look()?;
        }
        self.is_calm = true;
        self.cluster.set_odds(Odds::default());
        self.feed.append(&self.cluster, usize::MAX, random);
        (0..self.machines.len()).for_each(|instance| self.start(instance, random));
        Ok(())
    }

    /// Turns until every record is committed and no clock step is under way (V12).
    fn settle(&mut self, random: &mut Random) -> Result<(), Fault> {
        for round in 0..5_000 {
            if round % 50 == 0 && self.cluster.has_free() {
                self.cluster.rebalance();
            }
            for instance in 0..self.machines.len() {
                self.turn(instance, random)?;
            }
            if (0..self.partitions).all(|partition| self.is_done(partition)) {
                for instance in 0..self.machines.len() {
                    self.stop(instance, random);
                }
                return self.look();
            }
        }
        let what = "V12: not all is folded and committed";
        Err(Fault(Check::Live, what.into()))
    }

    fn is_done(&self, partition: u16) -> bool {
        let Some((positions, _)) = self.cluster.offsets(partition) else {
            return false;
        };
        let inputs = (0..).zip(&positions);
        let is_folded = inputs.map(|(input, position)| {
            let records = self.cluster.input(input, partition);
            records.last().is_none_or(|(last, _)| last < position)
        });
        is_folded.into_iter().all(|it| it) && self.is_applied(partition)
    }

    /// The last commit stands in the store of who made it, and no clock step is under way.
    fn is_applied(&self, partition: u16) -> bool {
        let Some(disk) = self.last_disk(partition) else {
            return false;
        };
        let meta = read_meta(&disk).expect("a META cell");
        let (meta, offsets) = (meta.as_ref(), self.cluster.offsets(partition));
        meta.is_some_and(|meta| {
            let witness = meta.witness().to_string();
            meta.timer_cursor.is_none() && offsets.is_some_and(|(_, found)| found == witness)
        })
    }

    /// Of the machine that had the partition last.
    fn last_disk(&self, partition: u16) -> Option<MemoryStore> {
        let instance = *self.watched.borrow().last.get(&partition)?;
        Some(self.machines[instance].disks.disk(partition))
    }
}

/// When to commit, and what stays in memory: by amounts, never by time.
fn policy(is_calm: bool, random: &mut Random) -> WorkerPolicy {
    WorkerPolicy {
        interval: Duration::from_secs(1 << 30),
        cells_max: if is_calm { 0 } else { random.below(5) },
        output_bytes_max: *random.one_of(&[1_000, usize::MAX]),
        ids_max: 1 + random.below(20),
        decoded_bytes_max: *random.one_of(&[0, 5_000, usize::MAX]),
        encoded_bytes_max: *random.one_of(&[0, 1_000, usize::MAX]),
        store_rest: Duration::ZERO,
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
