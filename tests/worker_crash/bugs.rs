//! Deliberately wrong protocols, planted between the worker and its log.

use std::collections::BTreeMap;
use std::time::Duration;

use meterfold::billing::time::Instant;
use meterfold::kafka::twin::{TwinCluster, TwinLog};
use meterfold::ports::log::{
    Committed, Happening, Hidden, Kept, KeptRecord, Log, LogError, Newest, Offsets, Outcome,
};
use meterfold::ports::{Batch, Changes, Lines, Staged, StagedDerived, StagedLog, Store};
use meterfold::store::twin::TwinDisks;
use meterfold::wire::keys;
use meterfold::wire::meta::Meta;

/// With its number in `operations.md` 2.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    None,
    /// 1: the store is written before the commit.
    WriteBeforeCommit,
    /// 2: offsets and cells in two transactions.
    OffsetsApart,
    /// 3: offsets are sent without the group's metadata.
    MetadataOmitted,
    /// 4: after an abort reading goes on where it was.
    NoSeekBack,
    /// 5: what was folded is kept after an aborted commit.
    OverlayKeptAfterAbort,
    /// 6: after an unknown outcome the commit is made again.
    CommitAgain,
    /// 7: what a commit of unknown outcome put out is put out again in the recovery.
    OutputInRecovery,
    /// 8: the memory of ids is not restored.
    IdsNotRestored,
    /// 9: what is lost is committed as if it were revoked.
    CommitOnLost,
    /// 10: the timer cursor is not kept.
    CursorNotKept,
    /// 15: dead letters outside the transaction.
    DeadLetterOutside,
}

/// The twin's log, with the bugs that lie in using it.
pub struct TestLog {
    pub inner: TwinLog,
    pub bug: Bug,
    pub cluster: TwinCluster,
    pub disks: TwinDisks,
    /// Derived events of commits whose outcome is unknown.
    pub unsure: Vec<Staged>,
    /// (partition, input): behind the last record handed out.
    pub read: BTreeMap<(u16, usize), i64>,
}

impl TestLog {
    fn commit_as(&mut self, staged: &[Staged]) -> Result<Outcome, LogError> {
        match self.bug {
            Bug::WriteBeforeCommit => {
                for staged in staged {
                    let mut disk = self.disks.disk(staged.partition);
                    disk.apply(&staged.changes).expect("a store in memory");
                }
                self.inner.commit(staged)
            }
            Bug::OffsetsApart => {
                let only = |wanted: fn(&[u8]) -> bool, is_first: bool| -> Vec<Staged> {
                    let one = |staged: &Staged| {
                        let mut part = altered(staged, |key, value| {
                            wanted(key).then(|| value.map(Vec::from))
                        });
                        if !is_first {
                            part.derived.clear();
                            part.dead_letters.clear();
                            part.log.iter_mut().for_each(|log| log.journal.clear());
                        }
                        part
                    };
                    staged.iter().map(one).collect()
                };
                let first = self.inner.commit(&only(|key| key == [keys::META], true))?;
                let Outcome::Committed(receipts) = first else {
                    return Ok(first);
                };
                Ok(
                    match self.inner.commit(&only(|key| key != [keys::META], false))? {
                        Outcome::Committed(_) => Outcome::Committed(receipts),
                        unsure => unsure,
                    },
                )
            }
            Bug::OverlayKeptAfterAbort => {
                let outcome = self.inner.commit(staged)?;
                if let Outcome::Unsure { .. } = outcome {
                    for staged in staged {
                        let teams = altered(staged, |key, value| {
                            (key[0] == keys::TEAM).then(|| value.map(Vec::from))
                        });
                        let mut disk = self.disks.disk(staged.partition);
                        disk.apply(&teams.changes).expect("a store in memory");
                    }
                }
                Ok(outcome)
            }
            Bug::CommitAgain => match self.inner.commit(staged)? {
                Outcome::Unsure { .. } => self.inner.commit(staged),
                committed => Ok(committed),
            },
            Bug::OutputInRecovery => {
                let unsure = std::mem::take(&mut self.unsure);
                let with_unsure = |staged: &Staged| {
                    let mut copy = altered(staged, |_, value| Some(value.map(Vec::from)));
                    let same = unsure.iter().filter(|it| it.partition == staged.partition);
                    copy.derived.extend(same.flat_map(derived));
                    copy
                };
                let copies: Vec<Staged> = staged.iter().map(with_unsure).collect();
                let outcome = self.inner.commit(&copies)?;
                if let Outcome::Unsure { .. } = outcome {
                    self.unsure = copies;
                }
                Ok(outcome)
            }
            Bug::CursorNotKept => {
                let without = |staged: &Staged| {
                    altered(staged, |key, value| {
                        let value = value.map(|value| match key == [keys::META] {
                            true => without_cursor(value),
                            false => value.to_vec(),
                        });
                        Some(value)
                    })
                };
                let copies: Vec<Staged> = staged.iter().map(without).collect();
                self.inner.commit(&copies)
            }
            Bug::DeadLetterOutside => {
                let mut copies = Vec::new();
                for staged in staged {
                    for letter in staged.dead_letters.iter() {
                        self.cluster.append_dead_letter(staged.partition, letter);
                    }
                    let mut copy = altered(staged, |_, value| Some(value.map(Vec::from)));
                    copy.dead_letters = Lines::default();
                    copies.push(copy);
                }
                self.inner.commit(&copies)
            }
            _ => self.inner.commit(staged),
        }
    }
}

/// The bytes of META without its cursor, as if the step were done or had never begun.
pub fn without_cursor(meta: &[u8]) -> Vec<u8> {
    let mut meta = Meta::decode(meta).expect("a META cell");
    meta.timer_cursor = None;
    meta.encode()
}

fn derived(staged: &Staged) -> impl Iterator<Item = StagedDerived> {
    staged.derived.iter().map(|event| StagedDerived {
        time: event.time,
        team: event.team.clone(),
        kind: event.kind,
        json: event.json.clone(),
    })
}

/// A copy with other cells: None leaves one out.
fn altered(
    staged: &Staged,
    cell: impl Fn(&[u8], Option<&[u8]>) -> Option<Option<Vec<u8>>>,
) -> Staged {
    let mut changes = Changes::default();
    for (key, value) in staged.changes.iter() {
        match cell(key, value) {
            Some(Some(value)) => changes.put(key, &value),
            Some(None) => changes.delete(key),
            None => {}
        }
    }
    Staged {
        partition: staged.partition,
        derived: derived(staged).collect(),
        dead_letters: Lines {
            bytes: staged.dead_letters.bytes.clone(),
            ends: staged.dead_letters.ends.clone(),
        },
        trace: Lines::default(),
        changes,
        log: staged.log.as_ref().map(|log| StagedLog {
            journal: log.journal.clone(),
            witness: log.witness,
            positions: log.positions.clone(),
            wall_millis: log.wall_millis,
        }),
    }
}

impl Log for TestLog {
    fn take(&mut self, wait: Duration) -> Result<Happening, LogError> {
        let happening = self.inner.take(wait)?;
        if let Happening::Batch(batch) = &happening {
            for partition in 0..batch.by_partition.len() as u16 {
                for (_, slot) in batch.of_partition(partition) {
                    let piece = &batch.pieces[slot.piece as usize];
                    let next = piece.records[slot.record as usize].line as i64 + 1;
                    self.read.insert((partition, piece.input as usize), next);
                }
            }
        }
        Ok(match (self.bug, happening) {
            (Bug::CommitOnLost, Happening::Lost(partitions)) => Happening::Revoked(partitions),
            (_, happening) => happening,
        })
    }

    fn recycle(&mut self, batch: Batch) {
        self.inner.recycle(batch);
    }

    fn commit(&mut self, staged: &[Staged]) -> Result<Outcome, LogError> {
        self.commit_as(staged)
    }

    fn committed(&mut self, partition: u16) -> Result<Option<Committed>, LogError> {
        self.inner.committed(partition)
    }

    fn hidden_outputs(&mut self, partition: u16) -> Result<Option<Vec<Hidden>>, LogError> {
        self.inner.hidden_outputs(partition)
    }

    fn input_offsets(&mut self, partition: u16) -> Result<Option<Vec<Offsets>>, LogError> {
        self.inner.input_offsets(partition)
    }

    fn open_kept(
        &mut self,
        topic: Kept,
        partition: u16,
        from: Option<i64>,
    ) -> Result<Option<Offsets>, LogError> {
        self.inner.open_kept(topic, partition, from)
    }

    fn read_kept(
        &mut self,
        partition: u16,
        visit: &mut dyn FnMut(KeptRecord),
    ) -> Result<i64, LogError> {
        let is_forgetting = self.bug == Bug::IdsNotRestored;
        self.inner.read_kept(partition, &mut |record| {
            if !(is_forgetting && record.key.first() == Some(&keys::IDS)) {
                visit(record);
            }
        })
    }

    fn newest_kept(
        &mut self,
        topic: Kept,
        partition: u16,
        key: &[u8],
    ) -> Result<Option<Newest>, LogError> {
        self.inner.newest_kept(topic, partition, key)
    }

    fn is_away(&mut self) -> bool {
        self.inner.is_away()
    }

    fn close_kept(&mut self, partition: u16) {
        self.inner.close_kept(partition);
    }

    fn begin(
        &mut self,
        partition: u16,
        positions: &[i64],
        clock: Option<Instant>,
    ) -> Result<(), LogError> {
        let mut positions = positions.to_vec();
        if self.bug == Bug::NoSeekBack {
            for (input, position) in positions.iter_mut().enumerate() {
                let read = self.read.get(&(partition, input));
                *position = read.map_or(*position, |read| *read.max(position));
            }
        }
        self.inner.begin(partition, &positions, clock)
    }

    fn hold(&mut self, partition: u16, is_held: bool) {
        self.inner.hold(partition, is_held);
    }

    fn wake_at(&mut self, partition: u16, due: Option<Instant>) {
        self.inner.wake_at(partition, due);
    }

    fn stop(&mut self, partition: u16) {
        self.inner.stop(partition);
    }

    fn release(&mut self, partition: u16) -> Result<(), LogError> {
        self.inner.release(partition)
    }

    fn close(&mut self) {
        self.inner.close();
    }
}
