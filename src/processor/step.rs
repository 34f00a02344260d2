//! The steps of a team's fold as an observer sees them: the account before and after, and what the
//! fold itself said of it.
//!
//! An observer explains; it cannot change anything. There is no second fold: what it is shown is
//! what was billed. Where nobody observes, a step costs one test of an `Option`.

use crate::billing::account::TeamAccount;
use crate::billing::context::{Broken, Context};
use crate::billing::derived_event::DerivedEvent;
use crate::billing::event::{Event, Fault};
use crate::billing::fold::Folded;
use crate::billing::time::Instant;
use crate::wire::trace::Origin;

/// One step of one team's fold.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// The book, and the clock that the step met.
    pub context: &'a Context<'a>,
    pub before: &'a TeamAccount,
    pub after: &'a TeamAccount,
    /// What the step emitted, in order.
    pub derived: &'a [DerivedEvent],
}

/// Why a record of a team changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOver {
    Duplicate,
    Conflict,
    DeadLetter(Fault),
}

/// Sees every step of a partition, in fold order. An error halts the partition as a broken
/// invariant of the fold does.
pub trait StepObserver: Send + Sync {
    /// Whether steps of `team` are to be shown: others cost nothing.
    fn watches(&self, team: &str) -> bool;

    /// An event was folded.
    fn folded(
        &mut self,
        step: &Step,
        origin: Origin,
        event: &Event<&str>,
        folded: &Folded,
    ) -> Result<(), Broken>;

    /// Everything that was due at the step's clock was done for `team`.
    fn timers_ran(&mut self, step: &Step, team: &str) -> Result<(), Broken>;

    /// A record changed nothing. `event` is None where it could not be read.
    fn passed_over(
        &mut self,
        clock: Instant,
        origin: Origin,
        event: Option<&Event<&str>>,
        why: PassedOver,
    ) -> Result<(), Broken>;
}
