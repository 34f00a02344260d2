//! What every rule may know besides the state and the event: the rate book and the clock. And how a
//! rule ends that must not go on.

use super::amount::Overflow;
use super::rate_book::RateBook;
use super::time::{Instant, Month};

/// What the fold may know besides state and event: the book, and the partition's clock.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub book: &'a RateBook,
    pub clock: Instant,
    /// The earliest month that is not closed at `clock`.
    pub earliest_open_month: Month,
}

/// A rule of conservation failed or an amount left its range. The partition halts; nothing of the
/// event may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Overflow(#[from] Overflow),
    #[error("invariant broken: {0}")]
    Invariant(&'static str),
}

impl<'a> Context<'a> {
    pub fn new(book: &'a RateBook, clock: Instant) -> Context<'a> {
        Context {
            book,
            clock,
            earliest_open_month: book.earliest_open_month(clock),
        }
    }

    /// The same at a later clock.
    pub fn at(&self, clock: Instant) -> Context<'a> {
        if clock == self.clock {
            return *self;
        }
        let mut month = self.earliest_open_month;
        while self.book.closes_at(month) <= clock {
            month = month.next();
        }
        Context {
            book: self.book,
            clock,
            earliest_open_month: month,
        }
    }

    pub fn is_closed(&self, month: Month) -> bool {
        month < self.earliest_open_month
    }
}
