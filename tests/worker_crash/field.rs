//! A cluster, its machines and the processes on them, and what disturbs them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use meterfold::fail_point::Life;
use meterfold::kafka::twin::{Odds, TwinCluster};
use meterfold::ports::{Cells, Changes, Store};
use meterfold::processor::start::StartSettings;
use meterfold::processor::watch::{PartitionState, Watch};
use meterfold::processor::worker::{Worker, WorkerPolicy};
use meterfold::store::cells::read_meta;
use meterfold::store::memory::MemoryStore;
use meterfold::store::twin::{StoreFaults, TwinDisks, TwinStores};
use meterfold::wire::avro::Schemas;
use meterfold::wire::keys;

use crate::bugs::{self, Bug, TestLog};
use crate::checks::{Check, Fault};
use crate::feed::Feed;
use crate::support::random::Random;
use crate::world::World;

/// What happened, and how often.
pub type Met = BTreeMap<&'static str, u64>;

/// A cluster, its machines, and the processes on them.
pub struct Field<'a> {
    settings: &'a StartSettings,
    bug: Bug,
    partitions: u16,
    pub cluster: TwinCluster,
    pub feed: Feed,
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
    pub fn new(
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

    /// What the run was disturbed by, and what came of it.
    pub fn met(&self) -> Met {
        let mut met = self.met.clone();
        met.extend(self.cluster.met());
        met.extend(self.watched.borrow().met.clone());
        met
    }

    fn count(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    /// Something happens, and a process has its turn.
    pub fn disturb(&mut self, random: &mut Random) -> Result<(), Fault> {
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
    pub fn calm(&mut self, random: &mut Random) -> Result<(), Fault> {
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
    pub fn settle(&mut self, random: &mut Random) -> Result<(), Fault> {
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
    pub fn last_disk(&self, partition: u16) -> Option<MemoryStore> {
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

fn schemas() -> Arc<Schemas> {
    static SCHEMAS: OnceLock<Arc<Schemas>> = OnceLock::new();
    Arc::clone(SCHEMAS.get_or_init(|| Arc::new(Schemas::built_in())))
}
