//! Whether stored state fits what is configured: version of the rules, topics, settings, rate book.

use std::sync::Arc;

use crate::billing::rate_book::{CardNo, RateBook};
use crate::billing::time::Instant;
use crate::ports::log::{Halt, HaltCode};
use crate::wire::meta::{FOLD_VERSION, Meta};
use crate::wire::rate_book::{self, BookChange};

use super::start::StartSettings;

/// Why a partition cannot be folded as it is configured.
pub enum Unfit {
    /// Only this partition stands still.
    Halt(Halt),
    /// The configuration is wrong: the process ends with 4.
    Invalid(String),
    /// The configured book has a card that takes effect before the partition's clock.
    TooLate(LateBook),
}

/// A card that comes too late for a partition.
#[derive(Debug)]
pub struct LateBook {
    pub partition: u16,
    pub text: String,
}

/// The rate book in force.
pub struct BookInForce {
    pub book: Arc<RateBook>,
    /// The first card that is new, if the book has to be adopted first.
    pub adopted_from: Option<CardNo>,
}

/// What META of `partition` says against what is configured.
pub fn check(partition: u16, meta: &Meta, settings: &StartSettings) -> Result<(), Unfit> {
    if meta.fold_version > FOLD_VERSION {
        return Err(halt(
            HaltCode::VersionNewer,
            format!(
                "state was folded by rules of version {}, this program knows {FOLD_VERSION}: run the \
                 newer program",
                meta.fold_version
            ),
        ));
    }
    if meta.partition_count != settings.log.partition_count {
        let count = settings.log.partition_count;
        return Err(Unfit::Halt(partitions_changed(meta.partition_count, count)));
    }
    if meta.settings_digest != settings.log.settings_digest {
        return Err(Unfit::Invalid(format!(
            "partition {partition}: recorded_time, or the horizon or skew of the rate book, is another \
             than state was made with; set them back"
        )));
    }
    let topics: Vec<&String> = meta.positions.iter().map(|(topic, _)| topic).collect();
    if topics.iter().copied().ne(&settings.log.inputs) {
        return Err(Unfit::Invalid(format!(
            "partition {partition}: state was made from the inputs {topics:?}, the configuration has \
             {:?}; set topics.api_calls and topics.accounts back",
            settings.log.inputs
        )));
    }
    Ok(())
}

pub fn partitions_changed(before: u16, now: u16) -> Halt {
    Halt::new(
        HaltCode::PartitionsChanged,
        format!(
            "state was made with {before} partitions, the inputs have {now}: teams would be split; \
             create new topics and move over, as the guide says"
        ),
    )
}

/// The stored book or the configured one (`engine.md` 5).
pub fn book_in_force(
    partition: u16,
    stored: &[u8],
    meta: &Meta,
    settings: &StartSettings,
) -> Result<BookInForce, Unfit> {
    let invalid = |reason: &dyn std::fmt::Display| {
        Unfit::Invalid(format!(
            "rate book: {reason}; state of partition {partition} was made with another one"
        ))
    };
    let configured = |adopted_from| BookInForce {
        book: Arc::clone(&settings.parsed_book),
        adopted_from,
    };
    let change =
        rate_book::compare(stored, &settings.book.text).map_err(|faults| invalid(&faults))?;
    match change {
        BookChange::Same => Ok(configured(None)),
        BookChange::Older => Ok(BookInForce {
            book: Arc::new(rate_book::read(stored).map_err(|faults| invalid(&faults))?),
            adopted_from: None,
        }),
        BookChange::Appended { first_card } => {
            check_card(partition, meta, first_card, settings).map_err(Unfit::TooLate)?;
            Ok(configured(Some(first_card)))
        }
        BookChange::Different { fault, .. } => Err(invalid(&fault)),
    }
}

/// Whether a partition may still adopt the configured book, whose card `first_card` is the first
/// new one.
pub fn check_card(
    partition: u16,
    meta: &Meta,
    first_card: CardNo,
    settings: &StartSettings,
) -> Result<(), LateBook> {
    let clock = meta.clock.unwrap_or(Instant::EPOCH);
    rate_book::check_adoption(&settings.parsed_book, first_card, clock).map_err(|faults| LateBook {
        partition,
        text: format!(
            "{faults}; the clock of partition {partition} stands at {clock}: give a later \
             effective_from, or: meterfold recover --partition {partition} --accept-book"
        ),
    })
}

fn halt(code: HaltCode, text: String) -> Unfit {
    Unfit::Halt(Halt::new(code, text))
}
