//! A restore: applies the changelog until the META that the committed offset's witness names.
//!
//! Not "until the end": an open transaction hides the tail, and what lies behind the wanted META
//! belongs to no commit that the group knows (`engine.md` 5).

use crate::ports::Changes;
use crate::ports::log::KeptRecord;
use crate::wire::keys;
use crate::wire::meta::{Fingerprint, Local, Meta, Witness};

/// Cells that a restore holds before they are written.
pub const RESTORE_BATCH_BYTES: usize = 4 << 20;

/// Where the state of a partition comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its own store, which held what was committed.
    Store,
    /// Its own store and the tail of the changelog.
    Tail,
    /// The changelog alone.
    Changelog,
}

/// The changelog's cells on their way into a store.
pub struct Restore {
    pub witness: Witness,
    pub end: Option<i64>,
    pub from: Option<i64>,
    pub is_full: bool,
    pub pending: Changes,
    /// The wanted META, once it was read. It is written last of all, after the digest was found
    /// right: a store that has it was checked.
    pub reached: Option<Meta>,
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
            reached: None,
            later: None,
            local: Local {
                fingerprint,
                topic_ids: topic_ids.to_vec(),
                ..Local::default()
            },
        }
    }

    /// Takes in one cell of the changelog. Fails where it cannot be ours.
    pub fn take(&mut self, record: KeptRecord) -> Result<(), String> {
        let is_meta = record.key == [keys::META];
        if self.reached.is_some() {
            // Only whether a later commit is there counts.
            if is_meta {
                self.later = record
                    .value
                    .and_then(|value| Meta::decode(value).ok())
                    .map(|meta| meta.witness());
            }
            return Ok(());
        }
        if is_meta {
            let meta = record.value.map(Meta::decode);
            let Some(Ok(meta)) = meta else {
                return Err(format!(
                    "META at offset {} of the changelog was not written by this version of the \
                     program: find out who did, before anything is changed",
                    record.offset
                ));
            };
            self.local.changelog_position = record.offset + 1;
            self.local.meta_appended_at_millis = record.appended_at_millis;
            if meta.witness() == self.witness {
                self.reached = Some(meta);
                return Ok(());
            }
            self.pending.put(&[keys::LOCAL], &self.local.encode());
        }
        match record.value {
            Some(value) => self.pending.put(record.key, value),
            None => self.pending.delete(record.key),
        }
        Ok(())
    }
}
