//! What must hold when everything was folded (`operations.md` 1), read from what the log has
//! committed, and compared with a file run and with the reference model.

use std::collections::BTreeSet;
use std::sync::Arc;

use meterfold::files::memory::MemoryLog;
use meterfold::kafka::twin::{Entry, TwinCluster};
use meterfold::ports::{Changes, Store};
use meterfold::processor::partition::Partition;
use meterfold::processor::recount::recount;
use meterfold::processor::{accounts, run};
use meterfold::store::cells::read_meta;
use meterfold::store::memory::MemoryStore;
use meterfold::wire::dead_letter::DeadLetterRecord;
use meterfold::wire::journal::{self, JournalRecord, Kind, Output, Part};
use meterfold::wire::keys;
use meterfold::wire::meta::Witness;
use serde_json::Value;

use crate::feed::Feed;
use crate::library::{Layout, StopAfter};
use crate::model;
use crate::support::{first_difference, in_derived_order};
use crate::world::World;

/// What found a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// A partition halted.
    Halt,
    /// The log saw what nobody may do.
    Misuse,
    /// Not all was folded in time.
    Live,
    Journal,
    Outputs,
    Digest,
    Stores,
    /// A refold is not what was committed.
    Audit,
}

#[derive(Debug)]
pub struct Fault(pub Check, pub String);

macro_rules! ensure {
    ($holds:expr, $check:expr, $($text:tt)*) => {
        if !$holds {
            return Err(Fault($check, format!($($text)*)));
        }
    };
}

/// All checks of one partition; `disk` is that of the process that had it last.
pub fn partition(
    world: &World,
    feed: &Feed,
    cluster: &TwinCluster,
    partition: u16,
    disk: Option<&MemoryStore>,
) -> Result<(), Fault> {
    let records = journal(cluster, partition)?;
    let order = chain(&records, feed, cluster, partition)?;
    let lines: Vec<&str> = order
        .iter()
        .map(|(input, _, line)| feed.lines[usize::from(partition)][*input][*line].as_str())
        .collect();
    let expected = file_run(world, &lines);
    outputs(&expected, world, &lines, &order, cluster, partition)
        .map_err(|Fault(check, fault)| Fault(check, format!("{fault}\n{}", told(&records))))?;
    let (_, last) = records.last().expect("a genesis");
    ensure!(
        last.state_digest == expected.state_digest,
        Check::Digest,
        "partition {partition}: V7: the journal's state digest is not the file run's"
    );
    let restored = restored(cluster, partition);
    same_state(world, &restored, &expected).map_err(|text| {
        Fault(
            Check::Stores,
            format!("partition {partition}, changelog: {text}"),
        )
    })?;
    if let Some(disk) = disk {
        same_state(world, disk, &expected).map_err(|text| {
            Fault(
                Check::Stores,
                format!("partition {partition}, disk: {text}"),
            )
        })?;
        ensure!(
            cells(disk) == cells(&restored),
            Check::Stores,
            "partition {partition}: the disk is not what the changelog makes"
        );
    }
    Ok(())
}

/// The committed journal, with the transaction of each record; the witness names its last.
fn journal(cluster: &TwinCluster, partition: u16) -> Result<Vec<(usize, JournalRecord)>, Fault> {
    let mut records = Vec::new();
    let (mut previous, mut encoded) = ([0; 32], Vec::new());
    for entry in cluster.committed_journal(partition) {
        let value = entry.value.expect("no deletion in a journal");
        let part = Part::decode(&value).expect("a part of a record");
        encoded.extend_from_slice(part.bytes);
        if part.part + 1 < part.parts {
            continue;
        }
        let record = JournalRecord::decode(&encoded).expect("a journal record");
        let number = records.len() as u64;
        ensure!(
            record.sequence == number && record.previous_digest == previous,
            Check::Journal,
            "partition {partition}: the chain breaks at record {number}: sequence {}",
            record.sequence
        );
        ensure!(
            matches!(record.kind, Kind::Genesis { .. }) == (number == 0),
            Check::Journal,
            "partition {partition}: {:?} at {number}",
            record.kind
        );
        previous = journal::digest(&encoded);
        encoded.clear();
        records.push((entry.transaction, record));
    }
    let (positions, metadata) = cluster.offsets(partition).expect("a committed offset");
    let witness = Witness {
        sequence: records.len() as u64 - 1,
        journal_digest: previous,
    };
    ensure!(
        metadata == witness.to_string(),
        Check::Journal,
        "partition {partition}: the committed offset names {metadata}, the journal ends at {witness}"
    );
    let journaled = records.last().map(|(_, last)| last.positions.iter());
    ensure!(
        journaled.is_some_and(|it| it.map(|(_, next)| *next).eq(positions)),
        Check::Journal,
        "partition {partition}: committed offsets are not the journal's positions"
    );
    Ok(records)
}

/// The journal for whoever looks for a fault.
fn told(records: &[(usize, JournalRecord)]) -> String {
    let line = |(_, record): &(usize, JournalRecord)| {
        let clock = record.clock.map(|clock| clock.to_string());
        let cursor = record.timer_cursor.as_ref();
        let cursor = cursor.map(|cursor| format!("{} {}", cursor.due, cursor.team));
        let (sequence, derived) = (record.sequence, record.derived.count);
        let folded: u64 = record.runs.iter().map(|run| run.count).sum();
        format!(
            "{sequence}: {folded} folded, {derived} derived, clock {clock:?}, cursor {cursor:?}\n"
        )
    };
    records.iter().map(line).collect()
}

/// The order of folding: (input, offset, number of the record in its input). Every record once and
/// in its order, and each journal record tells what its transaction holds (V1, V2).
fn chain(
    records: &[(usize, JournalRecord)],
    feed: &Feed,
    cluster: &TwinCluster,
    partition: u16,
) -> Result<Vec<(usize, i64, usize)>, Fault> {
    let inputs: Vec<Vec<(i64, Vec<u8>)>> = (0..feed.lines[0].len())
        .map(|input| cluster.input(input, partition))
        .collect();
    let derived = cluster.committed_derived(partition);
    let letters = cluster.committed_dead_letters(partition);
    let mut next = vec![0; inputs.len()];
    let mut positions = vec![0; inputs.len()];
    let mut order = Vec::new();
    for (transaction, record) in records {
        let place = format!("partition {partition}, journal record {}", record.sequence);
        let mut hasher = blake3::Hasher::new();
        let mut folded = 0;
        for run in &record.runs {
            let input = run.input as usize;
            for index in 0..run.count {
                let found = inputs[input].get(next[input]);
                ensure!(
                    found.is_some_and(|(offset, _)| index > 0 || *offset == run.first_offset),
                    Check::Journal,
                    "{place}: V1: {run:?}, but record {} of input {input} is next",
                    next[input]
                );
                let Some((offset, bytes)) = found else {
                    continue;
                };
                hasher.update(bytes);
                order.push((input, *offset, next[input]));
                next[input] += 1;
            }
            folded += run.count;
        }
        ensure!(
            *hasher.finalize().as_bytes() == record.input_digest,
            Check::Journal,
            "{place}: another input digest"
        );
        let disposed: u64 = record.dispositions.iter().map(|(_, count)| count).sum();
        let refused: u64 = record
            .dead_letter_reasons
            .iter()
            .map(|(_, count)| count)
            .sum();
        ensure!(
            disposed + refused == folded,
            Check::Journal,
            "{place}: V1: {folded} folded, {disposed} disposed, {refused} dead letters"
        );
        for (what, entries, told) in [
            ("derived events", &derived, record.derived),
            ("dead letters", &letters, record.dead_letters),
        ] {
            ensure!(
                output_of(entries, *transaction) == told,
                Check::Journal,
                "{place}: {what} of its transaction are not those it tells of"
            );
        }
        for (input, (_, position)) in record.positions.iter().enumerate() {
            let is_behind = next[input]
                .checked_sub(1)
                .is_none_or(|last| inputs[input][last].0 < *position);
            let is_before = inputs[input]
                .get(next[input])
                .is_none_or(|(offset, _)| position <= offset);
            ensure!(
                *position >= positions[input] && is_behind && is_before,
                Check::Journal,
                "{place}: position {position} of input {input} after {}",
                positions[input]
            );
            positions[input] = *position;
        }
    }
    for (input, records) in inputs.iter().enumerate() {
        ensure!(
            next[input] == records.len(),
            Check::Journal,
            "partition {partition}: V1: {} of {} records of input {input} are folded",
            next[input],
            records.len()
        );
    }
    Ok(order)
}

fn output_of(entries: &[Entry], transaction: usize) -> Output {
    let mut hasher = blake3::Hasher::new();
    let mut count = 0;
    for entry in entries.iter().filter(|it| it.transaction == transaction) {
        let value = entry.value.as_deref().expect("no deletion among outputs");
        hasher.update(&(value.len() as u64).to_le_bytes());
        hasher.update(value);
        count += 1;
    }
    Output {
        count,
        digest: *hasher.finalize().as_bytes(),
    }
}

/// The same records as a file run folds them.
struct FileRun {
    /// In fold order.
    derived: Vec<Vec<u8>>,
    /// (line, reason, detail)
    dead_letters: Vec<(u64, String, String)>,
    accounts: Vec<u8>,
    state_digest: u128,
}

fn file_run(world: &World, lines: &[&str]) -> FileRun {
    let log = MemoryLog::new(lines.concat().as_bytes(), 1, None);
    let mut partitions = crate::library::open(&world.book.rates, &[MemoryStore::default()]);
    run(
        &mut log.source(0..log.records(), &[]),
        &mut partitions,
        &mut log.committer(),
        &Layout::PLAIN.policy(),
        1,
        None,
        &mut StopAfter {
            batches: usize::MAX,
        },
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let mut account_lines = Vec::new();
    accounts::write_all(&partitions, 1, &mut account_lines).expect("accounts");
    let commits = log.commits();
    let derived = commits.iter().flat_map(|commit| &commit.parts[0].derived);
    let dead_letters = log.output().dead_letters;
    let letters = dead_letters.split(|byte| *byte == b'\n');
    let letter = |line: &[u8]| {
        let letter: Value = serde_json::from_slice(line).expect("a dead letter");
        let text = |member: &str| letter[member].as_str().expect("a text").to_owned();
        let line = letter["line"].as_u64().expect("a line number");
        (line, text("reason"), text("detail"))
    };
    FileRun {
        derived: derived.map(|(_, _, json)| json.clone()).collect(),
        dead_letters: letters.filter(|it| !it.is_empty()).map(letter).collect(),
        accounts: account_lines,
        state_digest: partitions[0].state_digest(),
    }
}

/// V2, V3, V5, V8 to V10: the bytes of a file run in its order, and of the model.
fn outputs(
    expected: &FileRun,
    world: &World,
    lines: &[&str],
    order: &[(usize, i64, usize)],
    cluster: &TwinCluster,
    partition: u16,
) -> Result<(), Fault> {
    let entries = cluster.committed_derived(partition);
    let derived: Vec<Vec<u8>> = entries.into_iter().filter_map(|it| it.value).collect();
    let mut ids = BTreeSet::new();
    for json in &derived {
        let event: Value = serde_json::from_slice(json).expect("a derived event");
        let id = event["id"].as_str().expect("an id").to_owned();
        ensure!(
            ids.insert(id.clone()),
            Check::Outputs,
            "partition {partition}: V2: {id} appears twice"
        );
    }
    let text = |events: &[Vec<u8>]| {
        let line = |json: &Vec<u8>| [json.as_slice(), b"\n"].concat();
        events.iter().flat_map(line).collect::<Vec<u8>>()
    };
    if let Some(difference) = first_difference(&text(&expected.derived), &text(&derived)) {
        let fault = format!("partition {partition}: V3, V5: derived {difference}");
        return Err(Fault(Check::Outputs, fault));
    }
    let mut model = model::World::of_book(Arc::clone(&world.book.model), true);
    for (number, line) in (1..).zip(lines) {
        let record = line.trim_end().as_bytes();
        model.feed(0, number, record).expect("no clock jump");
    }
    let by_model = model.outputs();
    for (what, expected, actual) in [
        (
            "derived",
            &by_model.derived,
            &in_derived_order(&text(&derived)),
        ),
        ("accounts", &by_model.accounts, &expected.accounts),
    ] {
        if let Some(difference) = first_difference(expected, actual) {
            let fault = format!("partition {partition}: V8: the model's {what} {difference}");
            return Err(Fault(Check::Outputs, fault));
        }
    }
    let mut letters = Vec::new();
    for entry in cluster.committed_dead_letters(partition) {
        let value = entry.value.expect("a dead letter");
        let letter = DeadLetterRecord::read(&value).expect("a dead letter");
        let (input, offset) = (usize::from(letter.original.topic), letter.original.offset);
        let at = order.iter().position(|it| (it.0, it.1) == (input, offset));
        let line = at.map_or(0, |at| at as u64 + 1);
        letters.push((line, letter.reason.to_owned(), letter.detail.to_owned()));
    }
    ensure!(
        letters == expected.dead_letters,
        Check::Outputs,
        "partition {partition}: dead letters {letters:?}, expected {:?}",
        expected.dead_letters
    );
    Ok(())
}

/// What the changelog alone makes.
fn restored(cluster: &TwinCluster, partition: u16) -> MemoryStore {
    let mut changes = Changes::default();
    for entry in cluster.committed_changelog(partition) {
        match entry.value {
            Some(value) => changes.put(&entry.key, &value),
            None => changes.delete(&entry.key),
        }
    }
    let mut store = MemoryStore::default();
    store.apply(&changes).expect("a store in memory");
    store
}

/// V7: what the cells add up to, and what they say of each team.
fn same_state(world: &World, store: &MemoryStore, expected: &FileRun) -> Result<(), String> {
    let meta = read_meta(store).map_err(|error| error.to_string())?;
    let meta = meta.ok_or("no META")?;
    let counted = recount(store, &meta).map_err(|error| error.to_string())?;
    if counted.total != expected.state_digest {
        return Err(format!(
            "V7: cells of commit {} do not add up to the file run's digest (META's: {})",
            meta.sequence,
            meta.total_digest() == expected.state_digest
        ));
    }
    let rates = Arc::clone(&world.book.rates);
    let partition = Partition::open(0, store.clone(), rates, false, None);
    let partition = partition.map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    accounts::write_all(&[partition], 1, &mut lines).map_err(|error| error.to_string())?;
    match first_difference(&expected.accounts, &lines) {
        Some(difference) => Err(format!("V8: accounts {difference}")),
        None => Ok(()),
    }
}

/// The cells of a store that the changelog has too.
fn cells(store: &MemoryStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let cells = store.cells().into_iter();
    cells.filter(|(key, _)| key[0] != keys::LOCAL).collect()
}
