//! The journal of a partition as an auditor reads it: parts joined, the chain of digests checked.

use meterfold::wire::journal::{self, JournalRecord, Kind, Part};

use super::processor::Setup;

/// The records of a partition's journal, in their order, from its genesis on. Sequence numbers must
/// have no gap, and each record must name the digest of the one before it.
pub fn journal(setup: &Setup, partition: u16) -> Vec<JournalRecord> {
    let mut records: Vec<JournalRecord> = Vec::new();
    let mut digest = [0; 32];
    let mut joined: Vec<u8> = Vec::new();
    for message in setup.broker.read_committed(&setup.topic("journal")) {
        if message.partition != i32::from(partition) {
            continue;
        }
        let place = format!(
            "{} journal {partition} offset {}",
            setup.name, message.offset
        );
        assert_eq!(
            message.key.as_deref(),
            Some(partition.to_string().as_bytes()),
            "{place}"
        );
        let value = message.value.expect("a part");
        let part = Part::decode(&value).unwrap_or_else(|fault| panic!("{place}: {fault}"));
        assert_eq!(
            part.sequence,
            records.len() as u64,
            "{place}: a gap or a second record"
        );
        joined.extend_from_slice(part.bytes);
        if part.part + 1 < part.parts {
            continue;
        }
        let record =
            JournalRecord::decode(&joined).unwrap_or_else(|fault| panic!("{place}: {fault}"));
        assert_eq!(record.sequence, part.sequence, "{place}");
        assert_eq!(record.partition, partition, "{place}");
        assert_eq!(record.partition_count, setup.partitions, "{place}");
        assert_eq!(
            record.previous_digest, digest,
            "{place}: the chain is broken"
        );
        let is_genesis = matches!(record.kind, Kind::Genesis { .. });
        assert_eq!(is_genesis, records.is_empty(), "{place}: {:?}", record.kind);
        digest = journal::digest(&joined);
        joined.clear();
        records.push(record);
    }
    assert!(
        joined.is_empty(),
        "{} journal {partition}: the last record is not whole",
        setup.name
    );
    assert!(
        !records.is_empty(),
        "{} journal {partition}: no genesis",
        setup.name
    );
    records
}

/// How many records a commit folded: each has a disposition, or is a dead letter.
pub fn folded_count(commit: &JournalRecord) -> u64 {
    let dispositions: u64 = commit.dispositions.iter().map(|(_, count)| count).sum();
    let dead_letters: u64 = commit
        .dead_letter_reasons
        .iter()
        .map(|(_, count)| count)
        .sum();
    dispositions + dead_letters
}
