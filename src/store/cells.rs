//! What a partition's cells hold, read back: META, teams with their months, invoices.
//!
//! Any thread may read, of any view of the cells; what is not what was written is an error that
//! names the cell.

use std::ops::ControlFlow;

use crate::billing::invoice::Closing;
use crate::billing::month::TeamMonth;
use crate::billing::time::Month;
use crate::ports::{Cells, StoreError};
use crate::wire::bytes::Corrupt;
use crate::wire::cells::{self, TeamCell};
use crate::wire::keys;
use crate::wire::meta::Meta;

/// A team as its cell has it, without the months that have cells of their own
/// ([`settled_months`]); None: there is no such team.
pub fn read_team(store: &impl Cells, name: &str) -> Result<Option<TeamCell>, StoreError> {
    let first_part = store.get(&keys::team(name, 0))?;
    first_part
        .map(|first_part| decode_team(store, name, &first_part))
        .transpose()
}

/// The same from the first part of the team's cell.
pub fn decode_team(
    store: &impl Cells,
    name: &str,
    first_part: &[u8],
) -> Result<TeamCell, StoreError> {
    let (value, _) = join_parts(store, name, first_part)?;
    cells::decode_team(&value, |_| {}).map_err(|fault| corrupt(&keys::team(name, 0), fault))
}

/// How a team stood at the close of each month that was invoiced, ascending.
pub fn read_closings(store: &impl Cells, team: &str) -> Result<Vec<(Month, Closing)>, StoreError> {
    let from = keys::team_prefix(keys::INVOICE, team);
    let mut to = from.clone();
    to.push(0xff);
    let mut closings = Vec::new();
    let mut fault = None;
    store.scan(&from, &to, &mut |key, value| {
        let month = keys::parse_invoice(key).ok_or(Corrupt("not an invoice key"));
        match month.and_then(|month| Ok((month, cells::decode_closing(value)?))) {
            Ok(closing) => closings.push(closing),
            Err(unreadable) => fault = Some(corrupt(key, unreadable)),
        }
        ControlFlow::Continue(())
    })?;
    fault.map_or(Ok(closings), Err)
}

/// A team's value from its parts, and how many there are.
pub fn join_parts(
    store: &impl Cells,
    name: &str,
    first_part: &[u8],
) -> Result<(Vec<u8>, u16), StoreError> {
    let (count, head) =
        cells::first_part(first_part).map_err(|fault| corrupt(&keys::team(name, 0), fault))?;
    let mut value = head.to_vec();
    for part in 1..count {
        let key = keys::team(name, part);
        let bytes = store.get(&key)?.ok_or_else(|| StoreError::Corrupt {
            key: hex(&key),
            reason: "missing".into(),
        })?;
        value.extend_from_slice(&bytes);
    }
    Ok((value, count))
}

/// META of the partition that `store` holds; None: it holds none.
pub fn read_meta(store: &impl Cells) -> Result<Option<Meta>, StoreError> {
    let bytes = store.get(&[keys::META])?;
    let decode =
        |bytes: Vec<u8>| Meta::decode(&bytes).map_err(|fault| corrupt(&[keys::META], fault));
    bytes.map(decode).transpose()
}

pub fn corrupt(key: &[u8], fault: Corrupt) -> StoreError {
    StoreError::Corrupt {
        key: hex(key),
        reason: fault.to_string(),
    }
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The months of `team` that have cells of their own, ascending.
pub fn settled_months(
    store: &impl Cells,
    team: &str,
    cell: &TeamCell,
) -> Result<Vec<TeamMonth>, StoreError> {
    if cell.settled_months == 0 {
        return Ok(Vec::new());
    }
    let from = keys::team_prefix(keys::MONTH, team);
    let mut to = from.clone();
    to.push(0xff);
    let mut values: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut fault = None;
    store.scan(&from, &to, &mut |key, part| {
        let is_first = key.ends_with(&[0, 0]);
        match cells::first_part(part) {
            Ok((_, head)) if is_first => values.push((key.to_vec(), head.to_vec())),
            Ok(_) | Err(_) if !is_first => {
                if let Some((_, value)) = values.last_mut() {
                    value.extend_from_slice(part);
                }
            }
            Err(unreadable) => fault = Some(corrupt(key, unreadable)),
            Ok(_) => {}
        }
        ControlFlow::Continue(())
    })?;
    if let Some(fault) = fault {
        return Err(fault);
    }
    values
        .iter()
        .map(|(key, value)| cells::decode_month(value).map_err(|fault| corrupt(key, fault)))
        .collect()
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use crate::billing::amount::Tokens;
    use crate::billing::rate_book::MeterNo;
    use crate::ports::{Changes, Store};
    use crate::store::memory::MemoryStore;

    use super::*;

    fn closing(balance: i128) -> Closing {
        Closing {
            currency: "USD".into(),
            tax_rate: Some(Decimal::new(10, 2)),
            balance: Tokens::from_micros(balance).unwrap(),
            debt: Tokens::ZERO,
            carry_over: vec![(MeterNo(3), 200)],
        }
    }

    /// What a build wrote once every build reads.
    #[test]
    fn the_bytes_of_a_closing_stay() {
        let bytes = cells::encode_closing(&closing(1_500_000));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0103555344011402c08db701000103c801");
        assert_eq!(cells::decode_closing(&bytes).unwrap(), closing(1_500_000));
        for length in 0..bytes.len() {
            assert!(
                cells::decode_closing(&bytes[..length]).is_err(),
                "{length} bytes"
            );
        }
    }

    /// No team's invoices lie among another's.
    #[test]
    fn closings_are_those_of_one_team() {
        let mut store = MemoryStore::default();
        let mut changes = Changes::default();
        let months = [-1, 0, 672, 673].map(Month::from_index);
        for (number, team) in (1..).zip(["a", "a\0", "a\0\u{1}", "ab", "\u{10ffff}"]) {
            for month in months {
                let value = cells::encode_closing(&closing(number));
                changes.put(&keys::invoice(team, month), &value);
            }
        }
        store.apply(&changes).unwrap();
        for (number, team) in (1..).zip(["a", "a\0", "a\0\u{1}", "ab", "\u{10ffff}"]) {
            let expected: Vec<_> = months.map(|month| (month, closing(number))).to_vec();
            assert_eq!(read_closings(&store, team).unwrap(), expected, "{team:?}");
        }
        assert_eq!(read_closings(&store, "b").unwrap(), []);
        let mut changes = Changes::default();
        changes.put(&keys::invoice("a", months[0]), b"\x07");
        store.apply(&changes).unwrap();
        assert!(read_closings(&store, "a").is_err_and(|error| error.is_damage()));
    }
}
