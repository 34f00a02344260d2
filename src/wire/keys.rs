//! Keys of state cells (the tables are listed in [`super::cells`]).

use crate::billing::time::{Instant, Month};

/// Table bytes; once assigned, never changed or reused.
pub const META: u8 = 0x01;
pub const BOOK: u8 = 0x02;
pub const LOCAL: u8 = 0x03;
pub const AUDIT: u8 = 0x04;
pub const TEAM: u8 = 0x10;
pub const MONTH: u8 = 0x11;
pub const INVOICE: u8 = 0x12;
pub const TIMER: u8 = 0x20;
pub const IDS: u8 = 0x30;

/// Ends a team in a key: a zero byte inside is written as `00 ff`, so that keys sort as teams do.
const TEAM_END: [u8; 2] = [0x00, 0x01];

pub fn book(part: u16) -> Vec<u8> {
    let [high, low] = part.to_be_bytes();
    vec![BOOK, high, low]
}

pub fn team(team: &str, part: u16) -> Vec<u8> {
    let mut key = team_prefix(TEAM, team);
    key.extend_from_slice(&part.to_be_bytes());
    key
}

pub fn month(team: &str, month: Month, part: u16) -> Vec<u8> {
    let mut key = team_prefix(MONTH, team);
    key.extend_from_slice(&ordered_i32(month.index()));
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// How a team stood when an invoice of it was made.
pub fn invoice(team: &str, month: Month) -> Vec<u8> {
    let mut key = team_prefix(INVOICE, team);
    key.extend_from_slice(&ordered_i32(month.index()));
    key
}

/// The month of an invoice key.
pub fn parse_invoice(key: &[u8]) -> Option<Month> {
    let (_, month) = parse_team_key(key)?;
    let index = i32::from_be_bytes(month.try_into().ok()?) ^ i32::MIN;
    Some(Month::from_index(index))
}

/// Beginning of every key of `table` that belongs to `team`.
pub fn team_prefix(table: u8, team: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(team.len() + 12);
    key.push(table);
    push_team(&mut key, team);
    key
}

pub fn timer(due: Instant, team: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(team.len() + 12);
    key.push(TIMER);
    key.extend_from_slice(&ordered_i64(due.millis()));
    push_team(&mut key, team);
    key
}

/// (due, team) of a timer key.
pub fn parse_timer(key: &[u8]) -> Option<(Instant, String)> {
    let (due, team) = key.strip_prefix(&[TIMER])?.split_first_chunk::<8>()?;
    let (team, rest) = parse_team(team)?;
    rest.is_empty().then(|| {
        (
            Instant::from_millis(i64::from_be_bytes(*due) ^ i64::MIN),
            team,
        )
    })
}

/// (team, what follows it) of a key of the TEAM or MONTH table.
pub fn parse_team_key(key: &[u8]) -> Option<(String, &[u8])> {
    parse_team(key.get(1..)?)
}

pub fn ids(bucket: i32, run: u64, part: u32) -> Vec<u8> {
    let mut key = vec![IDS];
    key.extend_from_slice(&ordered_i32(bucket));
    key.extend_from_slice(&run.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// (bucket, run, part) of an ids key.
pub fn parse_ids(key: &[u8]) -> Option<(i32, u64, u32)> {
    let (bucket, rest) = key.strip_prefix(&[IDS])?.split_first_chunk::<4>()?;
    let (run, part) = rest.split_first_chunk::<8>()?;
    let part: [u8; 4] = part.try_into().ok()?;
    Some((
        i32::from_be_bytes(*bucket) ^ i32::MIN,
        u64::from_be_bytes(*run),
        u32::from_be_bytes(part),
    ))
}

fn push_team(key: &mut Vec<u8>, team: &str) {
    for byte in team.bytes() {
        key.push(byte);
        if byte == 0 {
            key.push(0xff);
        }
    }
    key.extend_from_slice(&TEAM_END);
}

fn parse_team(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut team = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [0x00, 0x01, tail @ ..] => return Some((String::from_utf8(team).ok()?, tail)),
            [0x00, 0xff, tail @ ..] => {
                team.push(0);
                rest = tail;
            }
            [0x00, ..] | [] => return None,
            [byte, tail @ ..] => {
                team.push(*byte);
                rest = tail;
            }
        }
    }
}

fn ordered_i32(value: i32) -> [u8; 4] {
    (value ^ i32::MIN).to_be_bytes()
}

fn ordered_i64(value: i64) -> [u8; 8] {
    (value ^ i64::MIN).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn team_keys_sort_as_teams_do_and_read_back() {
        let mut teams = ["a", "a\0", "a\0b", "aa", "ab", "\0", "b", "", "a\u{1}", "é"];
        let mut keys = teams.map(|name| team(name, 3)).to_vec();
        teams.sort_unstable();
        keys.sort_unstable();
        for (name, key) in teams.iter().zip(&keys) {
            assert_eq!(
                parse_team_key(key),
                Some((name.to_string(), [0, 3].as_slice()))
            );
        }
    }

    #[test]
    fn timer_and_ids_keys_sort_by_value_and_read_back() {
        let instants = [i64::MIN, -1, 0, 1, i64::MAX].map(Instant::from_millis);
        let keys = instants.map(|due| timer(due, "t"));
        assert!(keys.is_sorted());
        assert_eq!(
            keys.map(|key| parse_timer(&key).map(|(due, _)| due)),
            instants.map(Some)
        );
        let buckets = [i32::MIN, -1, 0, 1, i32::MAX];
        let keys = buckets.map(|bucket| ids(bucket, 7, 9));
        assert!(keys.is_sorted());
        assert_eq!(
            keys.map(|key| parse_ids(&key)),
            buckets.map(|bucket| Some((bucket, 7, 9)))
        );
    }
}
