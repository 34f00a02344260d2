//! Which record a thread folds, for the line that a panic leaves behind (`operations.md` F12).

use std::cell::Cell;
use std::fmt;

/// A record on its way through the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folding {
    pub partition: u16,
    /// In the order of the inputs: 0 are the API calls on Kafka, 1 the accounts; else the files.
    pub input: u32,
    /// Its offset, or its line.
    pub line: u64,
}

thread_local! {
    static FOLDING: Cell<Option<Folding>> = const { Cell::new(None) };
}

pub(super) fn set(folding: Option<Folding>) {
    FOLDING.set(folding);
}

/// What this thread folds just now.
pub fn current() -> Option<Folding> {
    FOLDING.get()
}

impl fmt::Display for Folding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Folding {
            partition,
            input,
            line,
        } = self;
        write!(
            f,
            "partition {partition}, input {input}, offset or line {line}"
        )
    }
}
