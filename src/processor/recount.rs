//! The state digest, counted anew over everything that a store holds.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::ports::{Store, StoreError};
use crate::store::cells::corrupt;
use crate::store::dedup;
use crate::wire::cells;
use crate::wire::keys;
use crate::wire::meta::Meta;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recount {
    pub total: u128,
    pub teams: u64,
    pub ids: u64,
}

/// Counts teams, months, and those remembered ids whose bucket `meta` knows.
pub fn recount(store: &impl Store, meta: &Meta) -> Result<Recount, StoreError> {
    let mut count = Recount {
        total: 0,
        teams: 0,
        ids: 0,
    };
    let mut parts = Parts::default();
    visit(store, keys::TEAM, |key, value| {
        let Some((team, part)) = keys::parse_team_key(key) else {
            return Err(unreadable(key));
        };
        if let Some((team, whole)) = parts.add(team, part == [0, 0], value)? {
            count.teams += 1;
            add_team(&mut count.total, &team, &whole)?;
        }
        Ok(())
    })?;
    parts.finish()?;
    let mut parts = Parts::default();
    visit(store, keys::MONTH, |key, value| {
        let Some((team, [month @ .., high, low])) = keys::parse_team_key(key) else {
            return Err(unreadable(key));
        };
        let name = (team, month.to_vec());
        if let Some(((team, _), whole)) = parts.add(name, [*high, *low] == [0, 0], value)? {
            let element = cells::digest_element(&team, whole.get(1..).unwrap_or_default());
            count.total = count.total.wrapping_add(element);
        }
        Ok(())
    })?;
    parts.finish()?;
    let known: BTreeMap<i32, u128> = meta.id_digests.iter().copied().collect();
    visit(store, keys::IDS, |key, value| {
        let bucket = keys::parse_ids(key).ok_or_else(|| unreadable(key))?.0;
        if known.contains_key(&bucket) {
            let (ids, sum) = dedup::part_digest(bucket, value).ok_or_else(|| unreadable(key))?;
            count.ids += ids;
            count.total = count.total.wrapping_add(sum);
        }
        Ok(())
    })?;
    Ok(count)
}

/// Joins the parts of a value as they come by, in key order.
struct Parts<N> {
    name: Option<N>,
    wanted: u16,
    seen: u16,
    value: Vec<u8>,
}

impl<N> Default for Parts<N> {
    fn default() -> Parts<N> {
        Parts {
            name: None,
            wanted: 0,
            seen: 0,
            value: Vec::new(),
        }
    }
}

impl<N: PartialEq> Parts<N> {
    /// No value may lack its last parts.
    fn finish(&self) -> Result<(), StoreError> {
        match self.name {
            None => Ok(()),
            Some(_) => Err(StoreError::Corrupt {
                key: format!("part {} of {}", self.seen, self.wanted),
                reason: "missing".into(),
            }),
        }
    }

    /// The whole value once its last part is there.
    fn add(
        &mut self,
        name: N,
        is_first: bool,
        part: &[u8],
    ) -> Result<Option<(N, Vec<u8>)>, StoreError> {
        if is_first {
            self.finish()?;
            let (wanted, head) = cells::first_part(part).map_err(|fault| corrupt(part, fault))?;
            (self.wanted, self.seen) = (wanted, 1);
            self.value = head.to_vec();
            self.name = Some(name);
        } else if self.name.as_ref() == Some(&name) {
            self.seen += 1;
            self.value.extend_from_slice(part);
        } else {
            return Err(unreadable(part));
        }
        if self.seen < self.wanted {
            return Ok(None);
        }
        let value = std::mem::take(&mut self.value);
        Ok(self.name.take().map(|name| (name, value)))
    }
}

fn add_team(total: &mut u128, team: &str, value: &[u8]) -> Result<(), StoreError> {
    let mut sum = *total;
    cells::visit_digest_parts(value, |piece| {
        sum = sum.wrapping_add(cells::digest_element(team, piece));
    })
    .map_err(|fault| corrupt(&keys::team(team, 0), fault))?;
    *total = sum;
    Ok(())
}

fn visit(
    store: &impl Store,
    table: u8,
    mut cell: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut fault = None;
    store.scan(
        &[table],
        &[table + 1],
        &mut |key, value| match cell(key, value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                fault = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    fault.map_or(Ok(()), Err)
}

fn unreadable(key: &[u8]) -> StoreError {
    StoreError::Corrupt {
        key: format!("{key:02x?}"),
        reason: "not a cell of its table".into(),
    }
}
