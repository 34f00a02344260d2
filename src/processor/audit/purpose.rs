//! What a refold is for, beside being compared with its journal.

use std::sync::Arc;

use crate::billing::rate_book::RateBook;
use crate::processor::partition::BookText;
use crate::processor::step::StepObserver;

#[derive(Clone, Copy, Default)]
pub struct Purpose<'a> {
    /// Makes who watches, each time that the partition is opened.
    pub observer: Option<&'a (dyn Fn() -> Box<dyn StepObserver> + Sync)>,
    /// Folds under this book whatever the journal says; then nothing is compared.
    pub book: Option<&'a OtherBook>,
}

/// A book that is not the journal's.
pub struct OtherBook {
    pub text: BookText,
    pub book: Arc<RateBook>,
}
