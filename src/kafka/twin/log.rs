//! One worker's process on the twin: the seam that [`KafkaLog`](crate::kafka::log::KafkaLog) is on
//! a real cluster.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::billing::time::Instant;
use crate::fail_point::Life;
use crate::ports::log::{
    Committed, Happening, Hidden, Kept, KeptRecord, Log, LogError, Newest, Offsets, Outcome,
};
use crate::ports::{Batch, Piece, Staged};
use crate::wire::kafka_record::{RecordDecoder, RecordRules};

use super::super::input::{Inputs, Trouble};
use super::group::News;
use super::topic::State;
use super::{Shared, TwinCluster};

pub struct TwinLog {
    shared: Rc<RefCell<Shared>>,
    life: Life,
    instance: u16,
    epoch: u64,
    /// Who this is in the group.
    member: u64,
    owned: BTreeMap<u16, Owned>,
    readers: BTreeMap<u16, (Kept, i64)>,
    /// s0: generation and member, taken before the first record of a commit is handed out.
    captured: Option<(u32, u64)>,
    is_revoking: bool,
    unreleased: Vec<u16>,
    lost: BTreeSet<u16>,
    recycled: Vec<Piece>,
    first_number: u64,
}

struct Owned {
    inputs: Inputs,
    is_begun: bool,
    is_held: bool,
}

impl TwinLog {
    pub(super) fn join(cluster: &TwinCluster, instance: u16, life: Life) -> TwinLog {
        let shared = Rc::clone(&cluster.shared);
        let (epoch, member) = shared.borrow_mut().group.start(instance);
        TwinLog {
            shared,
            life,
            instance,
            epoch,
            member,
            owned: BTreeMap::new(),
            readers: BTreeMap::new(),
            captured: None,
            is_revoking: false,
            unreleased: Vec::new(),
            lost: BTreeSet::new(),
            recycled: Vec::new(),
            first_number: 0,
        }
    }

    fn pass(&self) -> Result<(), LogError> {
        match self.life.pass() {
            true => Ok(()),
            false => Err(LogError::Failed("the process has ended".into())),
        }
    }

    /// What the group has decided.
    fn news(&mut self) -> Option<Happening> {
        let mut shared = self.shared.borrow_mut();
        if !shared.group.is_member(self.instance, self.member) {
            if self.owned.is_empty() {
                self.member = shared.group.enter(self.instance);
                self.captured = None;
                return None;
            }
            self.unreleased = self.owned.keys().copied().collect();
            self.lost.extend(&self.unreleased);
            self.is_revoking = true;
            *shared.met.entry("lost").or_default() += 1;
            return Some(Happening::Lost(self.unreleased.clone()));
        }
        let news = shared.group.next_news(self.instance)?;
        drop(shared);
        match news {
            News::Assign(partitions) => {
                partitions.iter().for_each(|partition| self.own(*partition));
                Some(Happening::Assigned(partitions))
            }
            News::Revoke(partitions) => {
                self.unreleased.clone_from(&partitions);
                self.is_revoking = true;
                Some(Happening::Revoked(partitions))
            }
        }
    }

    fn own(&mut self, partition: u16) {
        let shared = self.shared.borrow();
        let rules = RecordRules {
            partition,
            partitions: shared.partitions,
            has_accounts: shared.topics.len() > 1,
            takes_ticks: true,
            halts_on_wrong_partition: true,
        };
        let decoder = RecordDecoder::new(rules, Arc::clone(&shared.schemas));
        let owned = Owned {
            inputs: Inputs::new(partition, &shared.topics, decoder, true),
            is_begun: false,
            is_held: false,
        };
        self.owned.insert(partition, owned);
        self.lost.remove(&partition);
    }

    fn capture(&mut self) {
        let shared = self.shared.borrow();
        if self.captured.is_none() && shared.group.is_member(self.instance, self.member) {
            self.captured = Some((shared.group.generation, self.member));
        }
    }

    /// What to commit as. After a revocation the generation has moved: it is taken again.
    fn metadata(&mut self) -> Option<(u32, u64)> {
        self.capture();
        let (generation, member) = self.captured.take()?;
        if !self.is_revoking {
            return Some((generation, member));
        }
        let group = &self.shared.borrow().group;
        group
            .is_member(self.instance, member)
            .then_some((group.generation, member))
    }

    fn fetch(&mut self) -> Result<Option<Happening>, LogError> {
        let mut shared = self.shared.borrow_mut();
        let mut batch = Batch::new(shared.partitions, None, self.first_number);
        let mut has_any = false;
        for (number, owned) in &mut self.owned {
            if !owned.is_begun || owned.is_held {
                continue;
            }
            shared.arrive(*number, &mut owned.inputs);
            match owned.inputs.fetch(&mut self.recycled) {
                None => {}
                // What others have handed out is handed out once; a halt comes again.
                Some(Trouble::Halt(_)) if has_any => continue,
                Some(Trouble::Halt(halt)) => return Ok(Some(Happening::Halted(*number, halt))),
                Some(_) => return Err(LogError::Failed("the twin has no registry".into())),
            }
            if owned.inputs.wants_proof() {
                shared.prove(*number, &mut owned.inputs);
            }
            match owned.inputs.hand_out(&mut batch, 0) {
                Ok(has_records) => has_any |= has_records,
                Err(_) if has_any => {}
                Err(halt) => return Ok(Some(Happening::Halted(*number, halt))),
            }
        }
        if !has_any {
            return Ok(None);
        }
        self.first_number += batch.slots.len() as u64;
        Ok(Some(Happening::Batch(batch)))
    }
}

fn unsure(reason: &str, is_timeout: bool) -> Outcome {
    Outcome::Unsure {
        reason: reason.into(),
        is_timeout,
    }
}

impl Log for TwinLog {
    fn take(&mut self, _wait: Duration) -> Result<Happening, LogError> {
        self.pass()?;
        let is_newest = self
            .shared
            .borrow()
            .group
            .is_newest(self.instance, self.epoch);
        if !is_newest {
            return Err(LogError::Fenced("a newer process of this instance".into()));
        }
        if self.unreleased.is_empty()
            && let Some(happening) = self.news()
        {
            return Ok(happening);
        }
        if !self.is_revoking {
            self.capture();
            if let Some(happening) = self.fetch()? {
                return Ok(happening);
            }
        }
        Ok(Happening::Idle)
    }

    fn recycle(&mut self, batch: Batch) {
        let pieces = batch.pieces.into_iter().filter_map(Arc::into_inner);
        self.recycled.extend(pieces);
    }

    fn commit(&mut self, staged: &[Staged]) -> Result<Outcome, LogError> {
        self.pass()?;
        let shared = Rc::clone(&self.shared);
        {
            let shared = &mut *shared.borrow_mut();
            if !shared.group.is_newest(self.instance, self.epoch) {
                return Err(LogError::Fenced("a newer process of this instance".into()));
            }
            for staged in staged.iter().filter(|it| self.lost.contains(&it.partition)) {
                let fault = format!("F27: partition {} is lost, and committed", staged.partition);
                shared.faults.push(fault);
            }
            let once_in = shared.odds.eviction;
            if shared.happens(once_in, "eviction") {
                shared.group.evict(self.instance);
                shared.group.rebalance(&mut shared.dice);
            }
        }
        let Some((generation, member)) = self.metadata() else {
            return Ok(unsure("the assignment is lost", false));
        };
        let shared = &mut *shared.borrow_mut();
        let instance = self.instance;
        shared.end_open(|it| it.instance == instance);
        let number = shared.begin(instance, generation);
        let once_in = shared.odds.death;
        if shared.happens(once_in, "death in a commit") {
            self.life.end();
            let steps = shared.below(4);
            if steps > 0 {
                shared.write(number, staged);
            }
            shared.transactions[number].is_ending = steps > 1;
            if steps == 3 && self.is_current(shared, generation, member) {
                shared.end(number, State::Committed);
            } else if !self.is_current(shared, generation, member) {
                shared.end(number, State::Aborted);
            }
            return Err(LogError::Failed("the process has ended".into()));
        }
        let receipts = shared.write(number, staged);
        if !self.is_current(shared, generation, member) {
            *shared.met.entry("stale generation").or_default() += 1;
            shared.end(number, State::Aborted);
            return Ok(unsure("send_offsets: illegal generation", false));
        }
        for staged in staged {
            if !shared.group.owns(instance, staged.partition) {
                let fault = format!("partition {} is another's, and committed", staged.partition);
                shared.faults.push(fault);
            }
        }
        let once_in = shared.odds.commit;
        if !shared.happens(once_in, "failed commit") {
            shared.end(number, State::Committed);
            for staged in staged {
                let once_in = shared.odds.compaction;
                if shared.happens(once_in, "compaction") {
                    shared.compact(staged.partition);
                }
            }
            return Ok(Outcome::Committed(receipts));
        }
        let (what, state) = match shared.below(4) {
            0 => ("refused", Some(State::Aborted)),
            1 => ("timed out, aborted", Some(State::Aborted)),
            2 => ("timed out, committed", Some(State::Committed)),
            _ => ("timed out, hanging", None),
        };
        *shared.met.entry(what).or_default() += 1;
        match state {
            Some(state) => shared.end(number, state),
            None => shared.transactions[number].is_ending = true,
        }
        Ok(unsure(what, what != "refused"))
    }

    fn committed(&mut self, partition: u16) -> Result<Option<Committed>, LogError> {
        self.pass()?;
        let shared = &mut *self.shared.borrow_mut();
        let once_in = shared.odds.silence;
        if shared.is_pending(partition) {
            *shared.met.entry("pending offset").or_default() += 1;
            shared.end_hanging();
            return Ok(None);
        }
        if shared.happens(once_in, "silence") {
            // Coordinators have said so in error.
            let is_wrong = shared.below(4) == 0;
            return Ok(is_wrong.then_some(Committed::Missing));
        }
        Ok(Some(match &shared.offsets[usize::from(partition)] {
            None => Committed::Missing,
            Some((positions, metadata)) => Committed::At {
                offset: positions[0],
                metadata: metadata.clone(),
            },
        }))
    }

    /// Offsets of a commit that hangs are pending for as long as its records: `committed` says so.
    fn hidden_outputs(&mut self, _partition: u16) -> Result<Option<Vec<Hidden>>, LogError> {
        self.pass()?;
        Ok(Some(Vec::new()))
    }

    fn input_offsets(&mut self, partition: u16) -> Result<Option<Vec<Offsets>>, LogError> {
        self.pass()?;
        let shared = &mut *self.shared.borrow_mut();
        let once_in = shared.odds.silence;
        if shared.happens(once_in, "silence") {
            return Ok(None);
        }
        let ends = shared.ends.iter().map(|ends| ends[usize::from(partition)]);
        Ok(Some(ends.map(|next| Offsets { first: 0, next }).collect()))
    }

    fn open_kept(
        &mut self,
        topic: Kept,
        partition: u16,
        from: Option<i64>,
    ) -> Result<Option<Offsets>, LogError> {
        self.pass()?;
        let shared = &mut *self.shared.borrow_mut();
        let once_in = shared.odds.silence;
        if shared.happens(once_in, "silence") {
            return Ok(None);
        }
        self.readers.insert(partition, (topic, from.unwrap_or(0)));
        let next = shared.kept(topic, partition).next;
        Ok(Some(Offsets { first: 0, next }))
    }

    fn read_kept(
        &mut self,
        partition: u16,
        visit: &mut dyn FnMut(KeptRecord),
    ) -> Result<i64, LogError> {
        self.pass()?;
        let Some((topic, position)) = self.readers.get_mut(&partition) else {
            return Err(LogError::Failed(format!(
                "partition {partition}: nothing is being read"
            )));
        };
        let shared = &mut *self.shared.borrow_mut();
        let mut slice = shared.below(40);
        let kept = shared.kept(*topic, partition);
        let stable = kept.stable_end(&shared.transactions);
        for entry in &kept.entries {
            if entry.offset < *position || entry.offset >= stable {
                continue;
            }
            if slice == 0 {
                return Ok(*position);
            }
            *position = entry.offset + 1;
            if shared.transactions[entry.transaction].state == State::Committed {
                slice -= 1;
                visit(KeptRecord {
                    offset: entry.offset,
                    appended_at_millis: entry.appended_at_millis,
                    key: &entry.key,
                    value: entry.value.as_deref(),
                });
            }
        }
        *position = (*position).max(stable);
        let position = *position;
        if stable < kept.next {
            shared.end_hanging();
        }
        Ok(position)
    }

    fn newest_kept(
        &mut self,
        topic: Kept,
        partition: u16,
        key: &[u8],
    ) -> Result<Option<Newest>, LogError> {
        self.pass()?;
        let shared = &mut *self.shared.borrow_mut();
        let kept = shared.kept(topic, partition);
        let stable = kept.stable_end(&shared.transactions);
        let newest = kept.entries.iter().rev().find(|entry| {
            let state = &shared.transactions[entry.transaction].state;
            entry.offset < stable && entry.key == key && *state == State::Committed
        });
        let value = newest.and_then(|entry| entry.value.clone());
        Ok(Some(value.map_or(Newest::Nothing, Newest::Value)))
    }

    fn is_away(&mut self) -> bool {
        false
    }

    fn close_kept(&mut self, partition: u16) {
        self.readers.remove(&partition);
    }

    fn begin(
        &mut self,
        partition: u16,
        positions: &[i64],
        clock: Option<Instant>,
    ) -> Result<(), LogError> {
        self.pass()?;
        if let Some(owned) = self.owned.get_mut(&partition) {
            for (input, next) in owned.inputs.inputs.iter_mut().zip(positions) {
                input.reset(*next);
            }
            owned.inputs.clock = clock;
            owned.is_begun = true;
            owned.is_held = false;
        }
        Ok(())
    }

    fn hold(&mut self, partition: u16, is_held: bool) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.is_held = is_held;
        }
    }

    fn wake_at(&mut self, _partition: u16, _due: Option<Instant>) {}

    fn stop(&mut self, partition: u16) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.is_begun = false;
        }
    }

    fn release(&mut self, partition: u16) -> Result<(), LogError> {
        self.pass()?;
        self.readers.remove(&partition);
        self.owned.remove(&partition);
        self.lost.remove(&partition);
        self.unreleased.retain(|it| *it != partition);
        let mut shared = self.shared.borrow_mut();
        if shared.group.is_member(self.instance, self.member) {
            shared.group.given_up(partition, self.instance);
        }
        if self.unreleased.is_empty() {
            self.is_revoking = false;
            self.captured = None;
        }
        Ok(())
    }

    fn close(&mut self) {
        self.readers.clear();
        self.owned.clear();
    }
}

impl TwinLog {
    fn is_current(&self, shared: &Shared, generation: u32, member: u64) -> bool {
        let group = &shared.group;
        !shared.is_fencing
            || (group.generation == generation && group.is_member(self.instance, member))
    }
}
