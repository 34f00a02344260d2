//! A restore: applies the changelog until the META that the committed offset's witness names.
//!
//! Not "until the end": an open transaction hides the tail, and what lies behind the wanted META
//! belongs to no commit that the group knows (`engine.md` 5).

use crate::ports::log::KeptRecord;
use crate::ports::{Changes, StoreError};
use crate::wire::keys;
use crate::wire::meta::{Fingerprint, Local, Meta, Witness};

/// Cells that a restore holds before they are written.
pub const RESTORE_BATCH_BYTES: usize = 4 << 20;

/// The changelog's cells on their way into a store.
pub struct Restore {
    pub witness: Witness,
    pub end: Option<i64>,
    pub from: Option<i64>,
    pub is_full: bool,
    pub pending: Changes,
    /// Witness of the newest META seen, and whether the wanted one was applied.
    pub is_reached: bool,
    pub later: Option<Witness>,
    pub local: Local,
}

impl Restore {
    pub fn new(
        witness: Witness,
        from: Option<i64>,
        fingerprint: Fingerprint,
        topic_ids: &[(String, String)],
    ) -> Restore {
        Restore {
            witness,
            end: None,
            from,
            is_full: true,
            pending: Changes::default(),
            is_reached: false,
            later: None,
            local: Local {
                fingerprint,
                topic_ids: topic_ids.to_vec(),
                ..Local::default()
            },
        }
    }

    /// Takes in one cell of the changelog.
    pub fn take(&mut self, record: KeptRecord) -> Result<(), StoreError> {
        let is_meta = record.key == [keys::META];
        if self.is_reached {
            // Only whether a later commit is there counts.
            if is_meta {
                self.later = record
                    .value
                    .and_then(|value| Meta::decode(value).ok())
                    .map(|meta| meta.witness());
            }
            return Ok(());
        }
        match record.value {
            Some(value) => self.pending.put(record.key, value),
            None => self.pending.delete(record.key),
        }
        if is_meta {
            let meta = record.value.map(Meta::decode);
            let Some(Ok(meta)) = meta else {
                return Err(StoreError::Corrupt {
                    key: "META in the changelog".into(),
                    reason: "not written by this program".into(),
                });
            };
            self.local.changelog_position = record.offset + 1;
            self.local.meta_appended_at_millis = record.appended_at_millis;
            self.pending.put(&[keys::LOCAL], &self.local.encode());
            self.is_reached = meta.witness() == self.witness;
        }
        Ok(())
    }
}
