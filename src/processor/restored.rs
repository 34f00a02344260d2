//! The end of a restore: all cells are counted anew, and only then is META written. State that
//! differs after a tail is put away and restored whole; after that the partition halts.

use crate::ports::log::{HaltCode, Stores};
use crate::ports::{Store, StoreError};
use crate::wire::keys;
use crate::wire::meta::Meta;

use super::recount::{self, Recount};
use super::restore::{Origin, Restore};
use super::start::{Phase, Start, StartError, StartSettings, Step};

impl<S: Store> Start<S> {
    /// META is written only now: a store that has it was checked.
    pub(super) fn check_digest<O: Stores<Store = S>>(
        &mut self,
        mut restore: Restore,
        meta: &Meta,
        stores: &mut O,
        settings: &StartSettings,
    ) -> Result<Step<S>, StartError> {
        let found = match recount::recount(self.store(), meta) {
            Ok(Recount { total, .. }) if total == meta.total_digest() => {
                self.digest_check = Some(true);
                restore.pending.put(&[keys::META], &meta.encode());
                restore.pending.put(&[keys::LOCAL], &restore.local.encode());
                self.apply(&mut restore.pending)?;
                return Ok(self.go_on(Phase::Begin));
            }
            Ok(Recount { total, .. }) => format!("has digest {total:032x}"),
            Err(error) if error.is_damage() => format!("cannot be read ({error})"),
            Err(error) => return Err(error.into()),
        };
        self.digest_check = Some(false);
        if restore.is_full || self.is_second_try {
            return Ok(self.halt(
                HaltCode::StateDigest,
                format!(
                    "restored state {found}, META of commit {} says {:032x}: the changelog holds \
                     records that are not ours, or lacks some; compare it with the journal before \
                     anything is changed",
                    meta.sequence,
                    meta.total_digest()
                ),
            ));
        }
        self.is_second_try = true;
        self.origin = Origin::Changelog;
        if !self.renew_store(stores, true)? {
            return Ok(self.open_again());
        }
        let witness = meta.witness();
        let restore = Restore::new(
            witness,
            None,
            self.fingerprint(settings),
            &settings.topic_ids,
        );
        Ok(self.go_on(Phase::Restore(Box::new(restore))))
    }

    /// An empty store in the place of this one. False: another worker of this process, which has the
    /// partition by now, was quicker to open it.
    pub(super) fn renew_store<O: Stores<Store = S>>(
        &mut self,
        stores: &mut O,
        is_kept: bool,
    ) -> Result<bool, StoreError> {
        if let Some(store) = self.store.take() {
            stores.close(self.partition, store);
        }
        if is_kept {
            tracing::warn!(
                event = "store_quarantined",
                partition = self.partition,
                "the state of partition {} is damaged: put away, restored from the changelog",
                self.partition
            );
        }
        stores.discard(self.partition, is_kept)?;
        self.store = stores.open(self.partition)?;
        Ok(self.store.is_some())
    }
}
