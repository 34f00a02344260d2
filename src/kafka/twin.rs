//! The in-memory twin of a Kafka cluster behind the seam of [`crate::ports::log`]: input topics,
//! transactions, a changelog that is compacted, a group whose partitions move, and failures on
//! demand.
//!
//! One thread, no clock: whatever is left to chance is asked of the dice that a test hands in, so one
//! seed is one run. What a program may never do is noted in [`TwinCluster::faults`].

mod group;
mod log;
mod topic;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::ports::Staged;
use crate::ports::log::Receipt;
use crate::wire::avro::Schemas;
use crate::wire::journal::JournalRecord;
use crate::wire::meta::Witness;

use group::Group;
pub use log::TwinLog;
use topic::Topic;
pub use topic::{Entry, State};

/// A cluster. Clones are handles to the same one.
#[derive(Clone)]
pub struct TwinCluster {
    shared: Rc<RefCell<Shared>>,
}

/// How often something goes wrong: once in so many times; 0: never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Odds {
    /// A commit is refused, hangs or is not answered.
    pub commit: usize,
    /// The process ends in the middle of a commit.
    pub death: usize,
    /// A question is not answered.
    pub silence: usize,
    /// A member's session expires while it commits.
    pub eviction: usize,
    /// The changelog is compacted after a commit.
    pub compaction: usize,
}

/// A number of `0..count`.
pub type Dice = Box<dyn FnMut(usize) -> usize>;

struct Shared {
    partitions: u16,
    topics: Vec<String>,
    schemas: Arc<Schemas>,
    /// By input, by partition.
    inputs: Vec<Vec<Vec<(i64, Vec<u8>)>>>,
    /// Next offset: after the last record or what follows it.
    ends: Vec<Vec<i64>>,
    changelog: Vec<Topic>,
    journal: Vec<Topic>,
    derived: Vec<Topic>,
    dead_letters: Vec<Topic>,
    /// Committed positions and metadata, by partition.
    offsets: Vec<Option<(Vec<i64>, String)>>,
    transactions: Vec<Transaction>,
    group: Group,
    dice: Dice,
    odds: Odds,
    is_fencing: bool,
    /// Who committed for a partition in a generation.
    committers: BTreeMap<(u32, u16), u16>,
    appended: i64,
    faults: Vec<String>,
    met: BTreeMap<&'static str, u64>,
}

struct Transaction {
    state: State,
    instance: u16,
    generation: u32,
    /// Its end was asked for: it may still become a commit.
    is_ending: bool,
    /// (partition, positions, metadata)
    offsets: Vec<(u16, Vec<i64>, String)>,
}

impl TwinCluster {
    pub fn new(
        partitions: u16,
        topics: &[String],
        schemas: Arc<Schemas>,
        dice: Dice,
    ) -> TwinCluster {
        let count = usize::from(partitions);
        let kept = || vec![Topic::default(); count];
        TwinCluster {
            shared: Rc::new(RefCell::new(Shared {
                partitions,
                topics: topics.to_vec(),
                schemas,
                inputs: vec![vec![Vec::new(); count]; topics.len()],
                ends: vec![vec![0; count]; topics.len()],
                changelog: kept(),
                journal: kept(),
                derived: kept(),
                dead_letters: kept(),
                offsets: vec![None; count],
                transactions: Vec::new(),
                group: Group::new(count),
                dice,
                odds: Odds::default(),
                is_fencing: true,
                committers: BTreeMap::new(),
                appended: 0,
                faults: Vec::new(),
                met: BTreeMap::new(),
            })),
        }
    }

    pub fn set_odds(&self, odds: Odds) {
        self.shared.borrow_mut().odds = odds;
    }

    /// A wrong cluster: commits are taken from anybody.
    pub fn stop_fencing(&self) {
        self.shared.borrow_mut().is_fencing = false;
    }

    /// Where the next record of an input will lie.
    pub fn input_end(&self, input: usize, partition: u16) -> i64 {
        self.shared.borrow().ends[input][usize::from(partition)]
    }

    /// Appends a record, in canonical bytes, and `gap` offsets that hold none.
    pub fn append(&self, input: usize, partition: u16, bytes: Vec<u8>, gap: i64) {
        let mut shared = self.shared.borrow_mut();
        let partition = usize::from(partition);
        let offset = shared.ends[input][partition];
        shared.inputs[input][partition].push((offset, bytes));
        shared.ends[input][partition] = offset + 1 + gap;
    }

    /// All records of an input: offset, canonical bytes.
    pub fn input(&self, input: usize, partition: u16) -> Vec<(i64, Vec<u8>)> {
        self.shared.borrow().inputs[input][usize::from(partition)].clone()
    }

    /// A process of `instance` joins; an earlier one of the same instance is fenced.
    pub fn join(&self, instance: u16, life: crate::fail_point::Life) -> TwinLog {
        TwinLog::join(self, instance, life)
    }

    /// Hands the partitions out anew among the members.
    pub fn rebalance(&self) {
        let shared = &mut *self.shared.borrow_mut();
        shared.group.rebalance(&mut shared.dice);
    }

    /// The session of `instance` expires: what it holds is lost to it.
    pub fn evict(&self, instance: u16) {
        self.shared.borrow_mut().group.evict(instance);
    }

    /// A partition belongs to nobody.
    pub fn has_free(&self) -> bool {
        self.shared.borrow().group.has_free()
    }

    /// Appends a dead letter that no commit carries.
    pub fn append_dead_letter(&self, partition: u16, letter: &[u8]) {
        let shared = &mut *self.shared.borrow_mut();
        let transaction = shared.begin(u16::MAX, 0);
        shared.dead_letters[usize::from(partition)].append(transaction, &[], Some(letter), 0);
        shared.end(transaction, State::Committed);
    }

    /// Committed positions of the inputs, and the metadata beside the first.
    pub fn offsets(&self, partition: u16) -> Option<(Vec<i64>, String)> {
        self.shared.borrow().offsets[usize::from(partition)].clone()
    }

    /// What a reader of committed records sees, with the transaction of each.
    pub fn committed_changelog(&self, partition: u16) -> Vec<Entry> {
        self.committed(|shared| &shared.changelog, partition)
    }

    pub fn committed_journal(&self, partition: u16) -> Vec<Entry> {
        self.committed(|shared| &shared.journal, partition)
    }

    /// Key: the team.
    pub fn committed_derived(&self, partition: u16) -> Vec<Entry> {
        self.committed(|shared| &shared.derived, partition)
    }

    pub fn committed_dead_letters(&self, partition: u16) -> Vec<Entry> {
        self.committed(|shared| &shared.dead_letters, partition)
    }

    /// What nobody may do, and somebody did.
    pub fn faults(&self) -> Vec<String> {
        self.shared.borrow().faults.clone()
    }

    /// What went wrong on demand, and how often.
    pub fn met(&self) -> BTreeMap<&'static str, u64> {
        self.shared.borrow().met.clone()
    }

    fn committed(&self, topics: fn(&Shared) -> &Vec<Topic>, partition: u16) -> Vec<Entry> {
        let shared = self.shared.borrow();
        let entries = topics(&shared)[usize::from(partition)].entries.iter();
        entries
            .filter(|entry| shared.transactions[entry.transaction].state == State::Committed)
            .cloned()
            .collect()
    }
}

impl Shared {
    fn below(&mut self, count: usize) -> usize {
        (self.dice)(count)
    }

    fn happens(&mut self, once_in: usize, what: &'static str) -> bool {
        let does = once_in > 0 && self.below(once_in) == 0;
        if does {
            *self.met.entry(what).or_default() += 1;
        }
        does
    }

    fn begin(&mut self, instance: u16, generation: u32) -> usize {
        self.transactions.push(Transaction {
            state: State::Open,
            instance,
            generation,
            is_ending: false,
            offsets: Vec::new(),
        });
        self.transactions.len() - 1
    }

    /// A new producer of `instance`, or the time-out: what is open ends.
    fn end_open(&mut self, is_meant: impl Fn(&Transaction) -> bool) {
        for number in 0..self.transactions.len() {
            let transaction = &self.transactions[number];
            if transaction.state == State::Open && is_meant(transaction) {
                let may_commit = transaction.is_ending;
                let state = match may_commit && self.below(2) == 0 {
                    true => State::Committed,
                    false => State::Aborted,
                };
                self.end(number, state);
            }
        }
    }

    /// All of a transaction becomes visible, or nothing.
    fn end(&mut self, number: usize, state: State) {
        self.transactions[number].state = state;
        let topics = [
            &mut self.changelog,
            &mut self.journal,
            &mut self.derived,
            &mut self.dead_letters,
        ];
        for topic in topics.into_iter().flatten() {
            topic.end(number);
        }
        if state == State::Aborted {
            return;
        }
        let Transaction {
            instance,
            generation,
            ..
        } = self.transactions[number];
        for (partition, positions, metadata) in self.transactions[number].offsets.clone() {
            let place = (generation, partition);
            if *self.committers.entry(place).or_insert(instance) != instance {
                self.faults.push(format!(
                    "V11: partition {partition}: two instances in generation {generation}"
                ));
            }
            let before =
                self.offsets[usize::from(partition)].replace((positions.clone(), metadata));
            let has_gone_back = before
                .iter()
                .any(|(before, _)| before.iter().zip(&positions).any(|(old, new)| old > new));
            if has_gone_back {
                self.faults.push(format!(
                    "V6: partition {partition}: a committed offset moved back"
                ));
            }
        }
    }

    /// Writes everything that was staged into an open transaction.
    fn write(&mut self, number: usize, staged: &[Staged]) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for staged in staged {
            let partition = usize::from(staged.partition);
            for event in &staged.derived {
                let (team, json) = (event.team.as_bytes(), event.json.as_slice());
                self.derived[partition].append(number, team, Some(json), self.appended);
            }
            for letter in staged.dead_letters.iter() {
                self.dead_letters[partition].append(number, &[], Some(letter), self.appended);
            }
            self.appended += 1;
            for (key, value) in staged.changes.iter() {
                self.changelog[partition].append(number, key, value, self.appended);
            }
            receipts.push(Receipt {
                changelog_position: self.changelog[partition].next,
                appended_at_millis: self.appended,
            });
            let Some(log) = &staged.log else {
                unreachable!("a partition on a log has a journal")
            };
            for part in JournalRecord::parts(&log.journal, log.witness.sequence) {
                self.journal[partition].append(number, &[], Some(&part), self.appended);
            }
            let offsets = (
                staged.partition,
                log.positions.clone(),
                Witness::to_string(&log.witness),
            );
            self.transactions[number].offsets.push(offsets);
        }
        receipts
    }

    /// Keeps the last value of each key below a place of the changelog.
    fn compact(&mut self, partition: u16) {
        let stable = self.changelog[usize::from(partition)].stable_end(&self.transactions);
        let cut = self.below(stable as usize + 1) as i64;
        let transactions = &self.transactions;
        self.changelog[usize::from(partition)].compact(cut, transactions);
    }
}
