//! The observers through which [`Collected`] watches the fold of one team.

use std::sync::{Arc, Mutex, PoisonError};

use crate::billing::context::Broken;
use crate::billing::event::Event;
use crate::billing::fold::Folded;
use crate::billing::rate_book::RateBook;
use crate::billing::time::Instant;
use crate::processor::step::{PassedOver, Step, StepObserver};
use crate::wire::trace::Origin;

use super::Question;
use super::collect::Collected;
use super::explanation::Position;

/// What is collected while observers of it watch a fold.
pub struct Collecting {
    team: Box<str>,
    collected: Arc<Mutex<Collected>>,
}

/// The handle that a partition holds.
struct Collector {
    team: Box<str>,
    collected: Arc<Mutex<Collected>>,
}

impl Collecting {
    pub fn begin(book: &RateBook, question: &Question) -> Collecting {
        let closes_at = book.closes_at(question.month);
        Collecting {
            team: question.team.clone(),
            collected: Arc::new(Mutex::new(Collected::new(question.month, closes_at))),
        }
    }

    /// One that a partition holds; there may be another after it.
    pub fn observer(&self) -> Box<dyn StepObserver> {
        Box::new(Collector {
            team: self.team.clone(),
            collected: Arc::clone(&self.collected),
        })
    }

    /// After all observers have gone.
    pub fn finish(self) -> Result<Collected, Broken> {
        let collected = Arc::into_inner(self.collected).ok_or(Broken::Invariant(
            "the partition is gone, and its observer with it",
        ))?;
        Ok(collected
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

impl StepObserver for Collector {
    fn watches(&self, team: &str) -> bool {
        *self.team == *team
    }

    fn folded(
        &mut self,
        step: &Step,
        origin: Origin,
        event: &Event<&str>,
        folded: &Folded,
    ) -> Result<(), Broken> {
        self.with(|collected| collected.folded(step, position_of(origin), event, folded))
    }

    fn timers_ran(&mut self, step: &Step, _: &str) -> Result<(), Broken> {
        self.with(|collected| collected.timers_ran(step))
    }

    fn passed_over(
        &mut self,
        clock: Instant,
        origin: Origin,
        event: Option<&Event<&str>>,
        why: PassedOver,
    ) -> Result<(), Broken> {
        self.with(|collected| collected.passed_over(clock, position_of(origin), event, why));
        Ok(())
    }
}

impl Collector {
    fn with<T>(&self, change: impl FnOnce(&mut Collected) -> T) -> T {
        change(
            &mut self
                .collected
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

fn position_of(origin: Origin) -> Position {
    Position {
        input: origin.input,
        line: origin.line,
    }
}
