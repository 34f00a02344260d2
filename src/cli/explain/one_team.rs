//! One team's records of any source, as a source of one partition.
//!
//! Each record keeps the clock that it met among all the others, and a batch ends at the clock of
//! the whole: teams are independent for the same clock at each event (`fold.md` 10.8), so what is
//! folded here is what was folded there. Behind it may stand files, a log or an archive.

use crate::billing::event::Body;
use crate::ports::{Batch, Piece, Record, Source, Taken};

pub struct OneTeam<So> {
    source: So,
    team: Box<str>,
    /// Number of the next record of the team.
    next_number: u64,
}

impl<So: Source> OneTeam<So> {
    pub fn new(source: So, team: &str) -> OneTeam<So> {
        OneTeam {
            source,
            team: team.into(),
            next_number: 0,
        }
    }
}

impl<So: Source> Source for OneTeam<So> {
    type Error = So::Error;

    fn take(&mut self) -> Result<Taken, So::Error> {
        let all = match self.source.take()? {
            Taken::Batch(batch) => batch,
            end => return Ok(end),
        };
        let mut own = Batch::new(1, all.clock, self.next_number);
        for slot in &all.slots {
            let piece = &all.pieces[slot.piece as usize];
            if is_about(piece, &piece.records[slot.record as usize], &self.team) {
                own.push(*slot, 0);
            }
        }
        own.pieces = all.pieces;
        self.next_number += own.slots.len() as u64;
        Ok(Taken::Batch(own))
    }

    fn recycle(&mut self, batch: Batch) {
        self.source.recycle(batch);
    }
}

/// A tick is about no team, whatever its subject reads.
fn is_about(piece: &Piece, record: &Record, team: &str) -> bool {
    let decoded = &record.decoded;
    let subject = match &decoded.event {
        Ok(event) if event.body == Body::ClockTick => None,
        Ok(event) => Some(event.team),
        Err(_) if decoded.is_tick => None,
        Err(_) => decoded.subject,
    };
    subject.is_some_and(|subject| piece.text.get(subject) == team)
}
