//! The first commit of a partition, and what must be proven before it: that nothing of it is there.
//!
//! A group without an offset is no proof: groups are deleted, offsets expire, coordinators have
//! answered so in error. Changelog and journal must be empty too, read to their high watermarks.

use std::sync::Arc;
use std::time::Instant as Monotonic;

use crate::billing::rate_book::RateBook;
use crate::ports::Store;
use crate::ports::log::{HaltCode, Kept, Log, Newest};
use crate::wire::keys;
use crate::wire::meta::Meta;

use super::fit;
use super::partition::{Partition, PartitionError};
use super::start::{Phase, Start, StartError, StartSettings, Step};

impl<S: Store> Start<S> {
    /// A missing offset is believed only after a while: coordinators have answered so in error.
    pub(super) fn offset_missing(&mut self, is_stored: bool, settings: &StartSettings) -> Step<S> {
        let since = *self.asked_since.get_or_insert_with(Monotonic::now);
        if !is_stored {
            return self.go_on(Phase::ProveEmpty {
                topic: Kept::Changelog,
                end: None,
            });
        }
        if since.elapsed() < settings.offsets_patience {
            return self.wait(
                Phase::Compare,
                "the group has no committed offset; asking again",
            );
        }
        self.offsets_are_missing("state is there")
    }

    pub(super) fn offsets_are_missing(&mut self, found: &str) -> Step<S> {
        let partition = self.partition;
        self.halt(
            HaltCode::OffsetsMissing,
            format!(
                "group has no committed offset for partition {partition}, but {found}: the group was \
                 deleted, or its offsets expired; never started at 0: meterfold recover --partition \
                 {partition} --offsets-from-meta"
            ),
        )
    }

    pub(super) fn prove_empty<L: Log>(
        &mut self,
        topic: Kept,
        end: Option<i64>,
        log: &mut L,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        let end = match end {
            Some(end) => end,
            None => match log.open_kept(topic, self.partition, None)? {
                Some(offsets) => offsets.next,
                None => {
                    let phase = Phase::ProveEmpty { topic, end: None };
                    return Ok(self.wait(phase, "changelog or journal does not answer"));
                }
            },
        };
        let mut has_record = false;
        let position = log.read_kept(self.partition, &mut |_| has_record = true)?;
        if has_record {
            log.close_kept(self.partition);
            let since = *self.asked_since.get_or_insert_with(Monotonic::now);
            if since.elapsed() < settings.offsets_patience {
                let reason = "the group has no committed offset; asking again";
                return Ok(self.wait(Phase::Compare, reason));
            }
            return Ok(self.offsets_are_missing("changelog or journal hold records"));
        }
        if position < end {
            let reason = "a transaction that is open hides the end of changelog or journal";
            return Ok(self.wait(
                Phase::ProveEmpty {
                    topic,
                    end: Some(end),
                },
                reason,
            ));
        }
        log.close_kept(self.partition);
        if topic == Kept::Changelog {
            return Ok(self.go_on(Phase::ProveEmpty {
                topic: Kept::Journal,
                end: None,
            }));
        }
        self.genesis(log, settings)
    }

    pub(super) fn genesis<L: Log>(
        &mut self,
        log: &mut L,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        // Partition 0 is always there: where it has begun with fewer partitions, this one was added.
        if self.partition > 0 {
            let newest = log.newest_kept(Kept::Changelog, 0, &[keys::META])?;
            let meta = match newest {
                None => return Ok(self.wait(Phase::Compare, "the changelog does not answer")),
                Some(Newest::Nothing) => None,
                Some(Newest::Value(value)) => Meta::decode(&value).ok(),
            };
            let count = settings.log.partition_count;
            if let Some(meta) = meta.filter(|meta| meta.partition_count != count) {
                return Ok(Step::Halted(fit::partitions_changed(
                    meta.partition_count,
                    count,
                )));
            }
        }
        let Some(offsets) = log.input_offsets(self.partition)? else {
            return Ok(self.wait(Phase::Compare, "the inputs do not answer"));
        };
        let starts: Vec<i64> = offsets.iter().map(|offsets| offsets.first).collect();
        let partition = self.partition_of(settings, Arc::clone(&settings.parsed_book))?;
        self.staged(partition, |it| it.stage_genesis(&starts, &settings.book))
    }

    /// What is to be committed before the partition runs.
    pub(super) fn staged(
        &mut self,
        mut partition: Partition<S>,
        stage: impl FnOnce(&mut Partition<S>) -> Result<(), PartitionError>,
    ) -> Result<Step<S>, StartError> {
        match stage(&mut partition) {
            Ok(()) => Ok(Step::Commit(Box::new(partition))),
            Err(error) => {
                self.store = Some(partition.into_store());
                Err(error.into())
            }
        }
    }

    /// The partition that the store holds, on its log.
    pub(super) fn partition_of(
        &mut self,
        settings: &StartSettings,
        book: Arc<RateBook>,
    ) -> Result<Partition<S>, PartitionError> {
        let Some(store) = self.store.take() else {
            unreachable!("the store is opened first")
        };
        let log = Some(settings.log.clone());
        match Partition::open_or_give_back(self.partition, store, book, false, log) {
            Ok(mut partition) => {
                partition.timers_per_stretch = settings.timers_per_stretch;
                Ok(partition)
            }
            Err((error, store)) => {
                // Whoever gives this start up closes it.
                self.store = Some(store);
                Err(error.into())
            }
        }
    }
}
