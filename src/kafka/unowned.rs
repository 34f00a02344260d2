//! Partitions that the group has left to nobody.
//!
//! Under the cooperative protocol a partition that moves is taken from one member in one generation
//! and given to another in the next, for which the first one asks. If that one is killed in between
//! and comes back within its session, the brokers give it its old place without a rebalance: nobody
//! asks any more, and the partition has no member until somebody joins or leaves. So the members look
//! from time to time, and the first of them leaves and joins again (`operations.md` F30).

use std::time::{Duration, Instant as Monotonic};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::groups::GroupInfo;

use crate::wire::bytes::Corrupt;

const ASK_TIMEOUT: Duration = Duration::from_secs(1);

pub struct Unowned {
    /// Between two looks: longer than any rebalance that goes on by itself.
    interval: Duration,
    looked_at: Monotonic,
    /// What nobody had at the last look.
    found: Vec<u16>,
}

impl Unowned {
    pub fn new(interval: Duration) -> Unowned {
        Unowned {
            interval,
            looked_at: Monotonic::now(),
            found: Vec::new(),
        }
    }

    pub fn is_due(&self) -> bool {
        self.looked_at.elapsed() >= self.interval
    }

    /// Partitions of `topic` that nobody had at this look and the one before, if it is for `member`
    /// to do something about it.
    pub fn look(
        &mut self,
        asker: &BaseConsumer<impl rdkafka::consumer::ConsumerContext>,
        group: &str,
        topic: &str,
        partitions: u16,
        member: &str,
    ) -> Vec<u16> {
        self.looked_at = Monotonic::now();
        let before = std::mem::take(&mut self.found);
        let Ok(groups) = asker.fetch_group_list(Some(group), ASK_TIMEOUT) else {
            return Vec::new();
        };
        let Some(group) = groups.groups().first() else {
            return Vec::new();
        };
        self.found = left_over(group, topic, partitions);
        let first = group.members().iter().map(|it| it.id()).min();
        let is_ours = first == Some(member);
        let both = before.into_iter().filter(|it| self.found.contains(it));
        both.filter(|_| is_ours).collect()
    }
}

/// What no member of a group that is at rest has.
fn left_over(group: &GroupInfo, topic: &str, partitions: u16) -> Vec<u16> {
    let mut owned = Vec::new();
    if group.state() != "Stable" {
        return Vec::new();
    }
    for member in group.members() {
        match assigned(member.assignment().unwrap_or_default(), topic) {
            Ok(numbers) => owned.extend(numbers),
            // Another protocol than ours: nothing is known.
            Err(_) => return Vec::new(),
        }
    }
    (0..partitions).filter(|it| !owned.contains(it)).collect()
}

/// Partitions of `topic` in a member's assignment: version (2 bytes), number of topics (4), name and
/// partitions of each.
fn assigned(bytes: &[u8], topic: &str) -> Result<Vec<u16>, Corrupt> {
    let mut rest = bytes;
    let mut owned = Vec::new();
    if rest.is_empty() {
        return Ok(owned);
    }
    take(&mut rest, 2)?;
    for _ in 0..take_number(&mut rest, 4)? {
        let length = take_number(&mut rest, 2)?;
        let name = take(&mut rest, length)?;
        for _ in 0..take_number(&mut rest, 4)? {
            let partition = take_number(&mut rest, 4)?;
            if name == topic.as_bytes() {
                owned.push(u16::try_from(partition).map_err(|_| Corrupt("partition"))?);
            }
        }
    }
    Ok(owned)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Corrupt> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Corrupt("ends early"))?;
    *rest = left;
    Ok(taken)
}

fn take_number(rest: &mut &[u8], length: usize) -> Result<usize, Corrupt> {
    let bytes = take(rest, length)?;
    Ok(bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read() {
        let mut bytes = vec![0, 3, 0, 0, 0, 2];
        for (name, partitions) in [("a", vec![1, 2]), ("bc", vec![700])] {
            bytes.extend((name.len() as u16).to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend((partitions.len() as u32).to_be_bytes());
            partitions
                .iter()
                .for_each(|it: &u32| bytes.extend(it.to_be_bytes()));
        }
        bytes.extend([255; 4]);
        assert_eq!(assigned(&bytes, "a"), Ok(vec![1, 2]));
        assert_eq!(assigned(&bytes, "bc"), Ok(vec![700]));
        assert_eq!(assigned(&bytes, "b"), Ok(vec![]));
        assert_eq!(assigned(&[], "a"), Ok(vec![]));
        for length in 1..bytes.len() - 4 {
            assert!(assigned(&bytes[..length], "a").is_err(), "{length} bytes");
        }
    }
}
