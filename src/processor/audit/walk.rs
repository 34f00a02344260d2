//! A partition on its way through its journal.

use crate::ports::Store;
use crate::ports::evidence::{Evidence, Stretch, Topic};

use super::chain::{Chain, JournalReader, Sealed};
use super::input::{self, Input, Known};
use super::position::{InputPosition, KindPositions, Position, TopicPosition};
use super::purpose::Purpose;
use super::refold::{Outputs, Refold};
use super::{Difference, Stop};

pub struct Walk<'a, E: Evidence, S> {
    journal: JournalReader<E::Records>,
    inputs: Vec<Input<E::Records>>,
    pub refold: Refold<'a, S>,
    /// Where each input was begun.
    pub starts: Vec<(String, i64)>,
    /// The newest commit that was refolded, and the last one that will be.
    sequence: u64,
    last: u64,
    /// How many were refolded, and their records.
    pub commits: u64,
    pub records: u64,
    folded: &'a (dyn Fn(u64) -> bool + Sync),
    /// Nobody has interrupted it.
    goes_on: bool,
}

impl<'a, E: Evidence, S: Store> Walk<'a, E, S> {
    /// After the genesis, or with the state that was kept after commit `start`.
    pub fn begin(
        evidence: &E,
        chain: &Chain,
        start: Option<u64>,
        mut store: S,
        purpose: Purpose<'a>,
        folded: &'a (dyn Fn(u64) -> bool + Sync),
    ) -> Result<Walk<'a, E, S>, Stop> {
        let (journal, sealed, known) = read_up_to(evidence, chain, start.unwrap_or(0))?;
        let refold = match start {
            None => Refold::begin(&sealed, known, store, purpose)?,
            Some(sequence) => {
                let snapshot = Topic::Snapshot(sequence);
                let mut cells = evidence.open(snapshot, chain.partition, Stretch::ALL)?;
                input::load(&mut cells, &mut store)?;
                Refold::resume(&sealed, known, store, purpose)?
            }
        };
        Walk::after(evidence, chain, &sealed, (journal, refold), folded)
    }

    /// Where an interrupted audit stood, whose state `store` holds.
    pub fn go_on(
        evidence: &E,
        chain: &Chain,
        position: &Position,
        store: S,
        purpose: Purpose<'a>,
        folded: &'a (dyn Fn(u64) -> bool + Sync),
    ) -> Result<Walk<'a, E, S>, Stop> {
        let Position {
            sequence,
            commits,
            records,
            starts,
            first_clock,
            gap_ends,
            inputs,
            ..
        } = position;
        let unusable = |reason: String| {
            let partition = chain.partition;
            Stop::Kept(format!(
                "partition {partition}, kept after commit {sequence}: {reason}"
            ))
        };
        let last = chain.last();
        if *sequence > last {
            return Err(unusable(format!("the journal is at commit {last}")));
        }
        let (journal, sealed, known) = read_up_to(evidence, chain, *sequence)?;
        let refold = Refold::resume(&sealed, known, store, purpose);
        let mut refold = refold.map_err(|stop| match stop {
            Stop::Different(it) => {
                let Difference {
                    what,
                    expected,
                    found,
                    ..
                } = *it;
                unusable(format!(
                    "{what}: the journal has {expected}, it has {found}"
                ))
            }
            Stop::Store(text) => unusable(text),
            stop => stop,
        })?;
        refold.first_clock = *first_clock;
        refold.gap_ends.clone_from(gap_ends);
        let mut walk = Walk::after(evidence, chain, &sealed, (journal, refold), folded)?;
        for (input, position) in walk.inputs.iter_mut().zip(inputs) {
            input.skip_below = position.skip_below;
            input.gaps.clone_from(&position.gaps);
        }
        walk.starts.clone_from(starts);
        (walk.commits, walk.records) = (*commits, *records);
        Ok(walk)
    }

    /// After the commit of `sealed`.
    fn after(
        evidence: &E,
        chain: &Chain,
        sealed: &Sealed,
        (journal, refold): (JournalReader<E::Records>, Refold<'a, S>),
        folded: &'a (dyn Fn(u64) -> bool + Sync),
    ) -> Result<Walk<'a, E, S>, Stop> {
        let mut inputs = Vec::new();
        for (index, (topic, next)) in (0..).zip(&sealed.record.positions) {
            let stretch = Stretch::from(*next);
            let records = evidence.open(Topic::Input(index), chain.partition, stretch)?;
            inputs.push(Input::new(topic, records));
        }
        Ok(Walk {
            journal,
            inputs,
            refold,
            starts: sealed.record.positions.clone(),
            sequence: sealed.record.sequence,
            last: chain.last(),
            commits: 1,
            records: 0,
            folded,
            goes_on: true,
        })
    }

    pub fn position(&self, published: KindPositions, letters: Option<TopicPosition>) -> Position {
        let inputs = self.inputs.iter().map(|input| InputPosition {
            skip_below: input.skip_below,
            gaps: input.gaps.clone(),
        });
        Position {
            sequence: self.sequence,
            commits: self.commits,
            records: self.records,
            starts: self.starts.clone(),
            first_clock: self.refold.first_clock,
            gap_ends: self.refold.gap_ends.clone(),
            inputs: inputs.collect(),
            published,
            letters,
        }
    }

    /// No commit will be refolded any more.
    pub fn is_over(&self) -> bool {
        !self.goes_on || self.sequence >= self.last
    }

    /// Refolds the next commit; None: the last one is refolded.
    pub fn step(&mut self) -> Result<Option<(Sealed, Outputs)>, Stop> {
        if self.sequence >= self.last {
            return Ok(None);
        }
        if !self.goes_on {
            return Err(Stop::Interrupted);
        }
        let Some(sealed) = self.journal.take()? else {
            return Err(Stop::Unproven(format!(
                "the journal ends after commit {}, it had {} before",
                self.sequence, self.last
            )));
        };
        let outputs = self.refold.follow(&sealed, &mut self.inputs)?;
        self.sequence = sealed.record.sequence;
        let records = sealed.record.runs.iter().map(|run| run.count).sum();
        self.commits += 1;
        self.records += records;
        self.goes_on = (self.folded)(records);
        Ok(Some((sealed, outputs)))
    }

    /// Nothing follows in the journal, now as when it was opened.
    pub fn is_at_end(&mut self) -> Result<bool, Stop> {
        Ok(self.journal.take()?.is_none() && !self.journal.has_grown()?)
    }
}

/// The commit `sequence`, what the journal told up to it, and the journal after it.
fn read_up_to<E: Evidence>(
    evidence: &E,
    chain: &Chain,
    sequence: u64,
) -> Result<(JournalReader<E::Records>, Sealed, Known), Stop> {
    let partition = chain.partition;
    let journal = evidence.open(Topic::Journal, partition, Stretch::ALL)?;
    let mut journal = JournalReader::new(journal, partition);
    let mut known = Known::default();
    while let Some(sealed) = journal.take()? {
        known.add(&sealed.record);
        if sealed.record.sequence == sequence {
            return Ok((journal, sealed, known));
        }
    }
    Err(Stop::Unproven(format!(
        "the journal of partition {partition} is gone"
    )))
}
