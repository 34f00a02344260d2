//! Whether a newer rate book may be adopted (`engine.md` 5).
//!
//! All partitions bill by the same cards, so before the first of them adopts, META of every one is
//! read from the changelog: one that is past the first new card means that none adopts. Where some
//! have adopted already, one found past it halts alone.

use std::sync::atomic::Ordering;

use crate::billing::rate_book::CardNo;
use crate::ports::Store;
use crate::ports::log::{HaltCode, Kept, Log, Newest};
use crate::wire::keys;
use crate::wire::meta::Meta;

use super::fit::{self, LateBook};
use super::start::{Phase, Start, StartError, StartSettings, Step};

/// How far the question has come: a partition a slice.
#[derive(Default)]
pub(super) struct Adoption {
    next: u16,
    /// The first card that is new to the partition that asks.
    first_card: Option<CardNo>,
    /// The partition that asks is past it itself.
    own: Option<LateBook>,
    /// The first other one that is.
    other: Option<LateBook>,
    has_adopter: bool,
}

impl Adoption {
    pub fn from_card(first_card: CardNo) -> Adoption {
        Adoption {
            first_card: Some(first_card),
            ..Adoption::default()
        }
    }

    pub fn too_late(own: LateBook) -> Adoption {
        Adoption {
            own: Some(own),
            ..Adoption::default()
        }
    }

    fn look(&mut self, partition: u16, meta: &Meta, settings: &StartSettings) {
        if meta.book_digest == settings.book.digest {
            self.has_adopter = true;
        } else if let Some(first_card) = self.first_card
            && let Err(late) = fit::check_card(partition, meta, first_card, settings)
        {
            self.other.get_or_insert(late);
        }
    }
}

impl<S: Store> Start<S> {
    /// Looks at one partition; after the last one, decides.
    pub(super) fn adopt<L: Log>(
        &mut self,
        mut adoption: Adoption,
        log: &mut L,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        let partition = adoption.next;
        if partition < settings.log.partition_count {
            if partition != self.partition {
                match log.newest_kept(Kept::Changelog, partition, &[keys::META])? {
                    None => {
                        let phase = Phase::Adopt(adoption);
                        return Ok(self.wait(phase, "the changelog does not answer"));
                    }
                    // It has not begun yet, or is damaged: its own start says so.
                    Some(Newest::Nothing) => {}
                    Some(Newest::Value(value)) => {
                        if let Ok(meta) = Meta::decode(&value) {
                            adoption.look(partition, &meta, settings);
                        }
                    }
                }
            }
            adoption.next += 1;
            return Ok(self.go_on(Phase::Adopt(adoption)));
        }
        match (adoption.own, adoption.other) {
            (Some(own), _) if adoption.has_adopter => {
                Ok(self.halt(HaltCode::BookTooLate, own.text))
            }
            (None, Some(_)) if adoption.has_adopter => Ok(self.allow(settings)),
            (Some(late), _) | (None, Some(late)) => Err(StartError::Invalid(format!(
                "rate book: partition {} is past a new card, so no partition adopts it: {}",
                late.partition, late.text
            ))),
            (None, None) => Ok(self.allow(settings)),
        }
    }

    fn allow(&mut self, settings: &StartSettings) -> Step<S> {
        settings.is_book_allowed.store(true, Ordering::Release);
        self.go_on(Phase::Begin)
    }
}
