//! What a store says of itself beside META: whose it is, which rate book it holds.

use crate::ports::log::{Halt, HaltCode};
use crate::ports::{Store, StoreError};
use crate::store::cells::corrupt;
use crate::wire::cells;
use crate::wire::keys;
use crate::wire::meta::{Local, Meta, Witness};

pub fn read_local(store: &impl Store) -> Result<Option<Local>, StoreError> {
    let Some(bytes) = store.get(&[keys::LOCAL])? else {
        return Ok(None);
    };
    if bytes
        .first()
        .is_some_and(|version| *version > cells::VERSION)
    {
        return Err(StoreError::Unusable(
            "its format is newer than this program: run the newer program, or move it away and let \
             it be restored"
                .into(),
        ));
    }
    Local::decode(&bytes)
        .map(Some)
        .map_err(|fault| corrupt(&[keys::LOCAL], fault))
}

/// The text of the rate book that a store holds.
pub fn read_book(store: &impl Store) -> Result<Vec<u8>, StoreError> {
    let missing = |part: u16| StoreError::Corrupt {
        key: format!("rate book part {part}"),
        reason: "missing".into(),
    };
    let first = store.get(&keys::book(0))?.ok_or_else(|| missing(0))?;
    let (count, head) =
        cells::first_part(&first).map_err(|fault| corrupt(&keys::book(0), fault))?;
    let mut text = head.to_vec();
    for part in 1..count {
        text.extend(store.get(&keys::book(part))?.ok_or_else(|| missing(part))?);
    }
    Ok(text)
}

pub fn is_empty(store: &impl Store) -> Result<bool, StoreError> {
    let mut is_empty = true;
    store.scan(&[], &[0xff], &mut |_, _| {
        is_empty = false;
        std::ops::ControlFlow::Break(())
    })?;
    Ok(is_empty)
}

/// A topic was made anew since the store was written: offsets mean something else now.
pub fn replaced_topic(local: &Local, topic_ids: &[(String, String)]) -> Option<Halt> {
    let now = |topic: &str| topic_ids.iter().find(|(name, _)| name == topic);
    let replaced = local
        .topic_ids
        .iter()
        .find(|(topic, id)| now(topic).is_some_and(|(_, now)| now != id))?;
    let (topic, id) = replaced;
    Some(Halt::new(
        HaltCode::TopicReplaced,
        format!(
            "{topic}: the topic was deleted and made anew (its id was {id}, now {}): offsets mean \
             something else now; bring the old topic back, or begin anew under another application",
            now(topic).map_or("unknown", |(_, id)| id)
        ),
    ))
}

/// Where state stands, for a person.
pub fn place(meta: Option<&Meta>) -> String {
    meta.map_or("nothing".into(), |meta| meta.witness().to_string())
}

pub fn ahead(state: Witness, committed: Witness) -> String {
    format!(
        "state stands at {state}, the committed offset at {committed}: the group was reset or an older \
         offset restored; meterfold recover --offsets-from-meta if state is right, else move the state \
         directory away"
    )
}
