//! A file run of what the journal says was folded, in its order.

use std::collections::BTreeMap;
use std::fs;

use meterfold::billing::time::Instant;
use meterfold::wire::journal::{self, JournalRecord};
use meterfold::wire::record_bytes;

use super::support::audit::assert_proven;
use super::support::journal::{folded_count, journal};
use super::support::kafka::Record;
use super::support::processor::{DERIVED, Processor, Setup};
use super::support::workload::file_run;
use super::support::{assert_same_lines, in_derived_order};

/// The records of one partition in the order in which they were folded.
pub struct Folded {
    pub journal: Vec<JournalRecord>,
    /// Each with the number of its commit.
    pub records: Vec<(usize, Record)>,
}

/// Reads journal and inputs: every record is folded once, and its bytes are those that the journal
/// has hashed.
pub fn folded(setup: &Setup, partition: u16) -> Folded {
    let journal = journal(setup, partition);
    let mut waiting: Vec<BTreeMap<i64, Record>> = Vec::new();
    for topic in setup.inputs() {
        let records = setup.broker.read_committed(&topic);
        let own = records
            .into_iter()
            .filter(|record| record.partition == i32::from(partition));
        waiting.push(own.map(|record| (record.offset, record)).collect());
    }
    let mut records = Vec::new();
    for (number, commit) in journal.iter().enumerate() {
        let place = format!("{} journal {partition} commit {number}", setup.name);
        let mut bytes = Vec::new();
        let mut count = 0;
        for run in &commit.runs {
            let input = &mut waiting[run.input as usize];
            for nth in 0..run.count {
                let (offset, record) = input.pop_first().expect("a record of the run");
                assert!(
                    nth > 0 || offset == run.first_offset,
                    "{place}: {offset}, not {run:?}"
                );
                append(&mut bytes, run.input as u8, &record);
                count += 1;
                records.push((number, record));
            }
        }
        assert_eq!(
            commit.input_digest,
            journal::digest(&bytes),
            "{place}: input digest"
        );
        assert_eq!(
            folded_count(commit),
            count,
            "{place}: a disposition a record"
        );
    }
    for (topic, input) in setup.inputs().iter().zip(&waiting) {
        assert!(
            input.is_empty(),
            "{topic} {partition}: {} records are not folded",
            input.len()
        );
    }
    Folded { journal, records }
}

fn append(bytes: &mut Vec<u8>, input: u8, record: &Record) {
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_deref()));
    let recorded = Instant::from_millis(record.timestamp);
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    record_bytes::append(bytes, input, record.offset, recorded, key, headers, value);
}

/// Everything that was put out and kept is what file runs in the order of the journal make of it,
/// and the journal's digests are theirs. Nothing may run.
pub fn assert_refold(setup: &Setup) {
    // A process that restores state may move the clock: the journal is read after it.
    let mut processor = Processor::start(setup, 9);
    processor.wait_until_runs(setup);
    processor.stop();
    let (mut derived, mut accounts) = (Vec::new(), Vec::new());
    let mut newest = Instant::EPOCH;
    for partition in 0..setup.partitions {
        let folded = folded(setup, partition);
        let clock = folded
            .journal
            .last()
            .and_then(|commit| commit.clock)
            .expect("a clock");
        newest = newest.max(clock);
        let mut lines = Vec::new();
        let mut recorded = i64::MIN;
        for (number, record) in &folded.records {
            assert!(record.is_append_time, "{}: the broker's time", record.topic);
            recorded = recorded.max(record.timestamp);
            let after = folded.journal[*number]
                .clock
                .map_or(i64::MIN, |clock| clock.millis());
            assert!(
                after >= recorded,
                "the clock of commit {number} is {after}, not {recorded}"
            );
            let value = record.value.as_deref().expect("a value");
            let mut event: serde_json::Value = serde_json::from_slice(value).expect("JSON");
            event["recordedtime"] = Instant::from_millis(recorded).to_string().into();
            serde_json::to_writer(&mut lines, &event).expect("JSON");
            lines.push(b'\n');
        }
        let input = setup.dir().join(format!("refold-{partition}.ndjson"));
        fs::write(&input, lines).expect("a file");
        let outputs = file_run(setup, input, &clock.to_string());
        assert_derived_digests(setup, partition, &folded, &outputs.trace);
        derived.extend(outputs.derived);
        accounts.push(outputs.accounts);
    }
    let place = format!("{}: refold", setup.name);
    assert_proven(setup, &place, &[&newest.month().to_string()]);
    setup.assert_derived(&place, &in_derived_order(&derived));
    let accounts = accounts.concat();
    let mut accounts: Vec<&[u8]> = accounts.split_inclusive(|byte| *byte == b'\n').collect();
    accounts.sort_by_key(|line| {
        let account: serde_json::Value = serde_json::from_slice(line).expect("an account");
        account["team"].as_str().expect("a team").to_owned()
    });
    assert_same_lines(
        &format!("{place}: accounts"),
        &accounts.concat(),
        &setup.accounts(9),
    );
}

/// Number and digest of each commit's derived events. Where timers caused some, their order within
/// the commit is not known here, and only the number is looked at.
fn assert_derived_digests(setup: &Setup, partition: u16, folded: &Folded, trace: &[u8]) {
    let mut published: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for topic in DERIVED {
        for record in setup.broker.read_committed(&setup.topic(topic)) {
            if record.partition != i32::from(partition) {
                continue;
            }
            let value = record.value.expect("a value");
            let event: serde_json::Value = serde_json::from_slice(&value).expect("JSON");
            let id = event["id"].as_str().expect("an id").to_owned();
            assert!(
                published.insert(id.clone(), value).is_none(),
                "{id} stands there twice"
            );
        }
    }
    let total: u64 = folded
        .journal
        .iter()
        .map(|commit| commit.derived.count)
        .sum();
    assert_eq!(
        total,
        published.len() as u64,
        "derived events of the journal"
    );
    let mut caused: Vec<Vec<u8>> = vec![Vec::new(); folded.journal.len()];
    let mut counts = vec![0; folded.journal.len()];
    let traced = trace
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    for ((number, _), line) in folded.records.iter().zip(traced) {
        let line: serde_json::Value = serde_json::from_slice(line).expect("a trace line");
        for id in line["derived"].as_array().expect("ids") {
            let event = &published[id.as_str().expect("an id")];
            caused[*number].extend((event.len() as u64).to_le_bytes());
            caused[*number].extend(event);
            counts[*number] += 1;
        }
    }
    let total_caused: u64 = counts.iter().sum();
    let mut compared = 0;
    for ((commit, bytes), count) in folded.journal.iter().zip(&caused).zip(counts) {
        if commit.derived.count != count {
            continue;
        }
        let place = format!(
            "{} journal {partition} commit {}",
            setup.name, commit.sequence
        );
        assert_eq!(
            commit.derived.digest,
            journal::digest(bytes),
            "{place}: derived digest"
        );
        compared += count;
    }
    let has_timed = total_caused < total;
    assert!(
        has_timed || compared == total,
        "{}: {compared} of {total} compared",
        setup.name
    );
}
