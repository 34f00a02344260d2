//! What the log has committed as evidence, and its audit, also one that was interrupted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use meterfold::billing::derived_event::DerivedKind;
use meterfold::billing::time::Instant;
use meterfold::kafka::twin::{Entry, TwinCluster};
use meterfold::ports::evidence::{Evidence, EvidenceError, Records, Stretch, Topic};
use meterfold::ports::{Changes, Store};
use meterfold::processor::audit::chain::{self, Chain};
use meterfold::processor::audit::position::Position;
use meterfold::processor::audit::{self, Identity, Scope, Stop, Work};
use meterfold::store::buffered::Buffered;
use meterfold::store::memory::MemoryStore;
use meterfold::wire::dead_letter::DeadLetterRecord;
use meterfold::wire::meta::Witness;
use meterfold::wire::record_bytes::{self, Header, LogRecord};

use crate::support::random::Random;

/// All committed records of one partition, by topic.
struct Committed {
    topics: BTreeMap<Topic, Vec<Vec<u8>>>,
    witness: Witness,
}

struct CommittedRecords {
    records: Vec<Vec<u8>>,
    next: usize,
}

/// What a disk holds.
type Disk = BTreeMap<Vec<u8>, Vec<u8>>;

/// A refold in the order of the journal gives every commit and every published event; also one that
/// ended somewhere and was gone on with.
pub fn prove(
    cluster: &TwinCluster,
    inputs: &[String],
    partition: u16,
    count: u16,
    random: &mut Random,
) -> Result<(), Stop> {
    let evidence = Committed::of(cluster, inputs, partition);
    let expected = Identity {
        group: "test".to_owned(),
        inputs: inputs.to_vec(),
        partition_count: count,
    };
    let open = chain::verify(&evidence, partition, &expected, None)?;
    let month = open.clock.unwrap_or(Instant::EPOCH).month();
    let before = month.previous();
    let closed = chain::verify(&evidence, partition, &expected, Some(before))?;
    // The month at hand takes in the whole journal, the one before it the last invoices.
    for (chain, month) in [(open, month), (closed, before)] {
        let scope = Scope { team: None, month };
        let work = Work::unkept(MemoryStore::default());
        let equal = audit::audit(&evidence, &chain, scope, work, &|_| true)?;
        if !random.once_in(3) {
            continue;
        }
        let (store, position) = opened(&interrupted(&evidence, &chain, scope, random)?);
        let stands = position.as_ref().map(|position| position.sequence);
        let work = Work {
            store,
            position,
            keep: None,
        };
        let gone_on = audit::audit(&evidence, &chain, scope, work, &|_| true)?;
        let (equal, gone_on) = (format!("{equal:?}"), format!("{gone_on:?}"));
        assert_eq!(gone_on, equal, "gone on after commit {stands:?}");
    }
    Ok(())
}

/// What lay at some time on the disk of an audit, which gathers cells in memory and is told to keep
/// them now and then.
fn interrupted(
    evidence: &Committed,
    chain: &Chain,
    scope: Scope,
    random: &mut Random,
) -> Result<Disk, Stop> {
    let below = MemoryStore::default();
    let disk = below.clone();
    let (mut left, mut looks) = (Disk::new(), 1);
    let bytes_max = [0, 2_000, 20_000][random.below(3)];
    let mut look = |random: &mut Random| {
        looks += 1;
        if random.once_in(looks) {
            left = disk.cells();
        }
    };
    let work = Work {
        store: Buffered::new(below, bytes_max),
        position: None,
        keep: Some(Box::new(|store: &mut Buffered<_>, cell: &Changes, _| {
            look(random);
            store.hold(cell);
            if random.once_in(3) {
                store.spill()?;
                look(random);
            }
            Ok(())
        })),
    };
    audit::audit(evidence, chain, scope, work, &|_| true)?;
    Ok(left)
}

/// The store on a disk, and where its audit stands; without a position, an empty one.
fn opened(disk: &Disk) -> (MemoryStore, Option<Position>) {
    let mut cells = Changes::default();
    disk.iter().for_each(|(key, value)| cells.put(key, value));
    let mut store = MemoryStore::default();
    store.apply(&cells).expect("memory");
    match Position::read(&store).expect("a position") {
        Some(position) => (store, Some(position)),
        None => (MemoryStore::default(), None),
    }
}

impl Committed {
    fn of(cluster: &TwinCluster, names: &[String], partition: u16) -> Committed {
        let mut topics: BTreeMap<Topic, Vec<Vec<u8>>> = BTreeMap::new();
        for input in 0..names.len() {
            let records = cluster.input(input, partition).into_iter();
            let records = records.map(|(_, bytes)| bytes).collect();
            topics.insert(Topic::Input(input as u8), records);
        }
        let journal = cluster.committed_journal(partition);
        let key = partition.to_string();
        let journal = journal
            .iter()
            .map(|entry| record(entry, key.as_bytes(), &[]));
        topics.insert(Topic::Journal, journal.collect());
        let published: [Header; 1] = [(b"content-type", Some(b"application/cloudevents+json"))];
        for entry in cluster.committed_derived(partition) {
            let event = String::from_utf8(entry.value.clone().expect("an event")).expect("text");
            let kind = DerivedKind::ALL
                .into_iter()
                .find(|kind| event.contains(&format!("\"type\":\"meterfold.{}.v1\"", kind.name())));
            let topic = topics
                .entry(Topic::Derived(kind.expect("a kind")))
                .or_default();
            topic.push(record(&entry, &entry.key, &published));
        }
        let letters = cluster.committed_dead_letters(partition);
        let letters = letters.iter().map(|entry| letter(entry, names, partition));
        topics.insert(Topic::DeadLetters, letters.collect());
        let (_, metadata) = cluster.offsets(partition).expect("a committed offset");
        Committed {
            topics,
            witness: metadata.parse().expect("a witness"),
        }
    }
}

fn record(entry: &Entry, key: &[u8], headers: &[Header]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let at = Instant::from_millis(entry.appended_at_millis);
    let (headers, value) = (headers.iter().copied(), entry.value.as_deref());
    record_bytes::append(&mut bytes, 0, entry.offset, at, Some(key), headers, value);
    bytes
}

/// A dead letter as it is published: the twin keeps what was staged.
fn letter(entry: &Entry, inputs: &[String], partition: u16) -> Vec<u8> {
    let staged = entry.value.as_deref().expect("a dead letter");
    let letter = DeadLetterRecord::read(staged).expect("a dead letter");
    let original = letter.original;
    let marks: Vec<(&str, Cow<str>)> = letter
        .marks(&inputs[usize::from(original.topic)], partition)
        .collect();
    let marks = marks
        .iter()
        .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
    let headers = original.headers.iter().chain(marks);
    let at = Instant::from_millis(entry.appended_at_millis);
    let mut bytes = Vec::new();
    record_bytes::append(
        &mut bytes,
        0,
        entry.offset,
        at,
        original.key,
        headers,
        original.value,
    );
    bytes
}

impl Evidence for Committed {
    type Records = CommittedRecords;

    fn cluster(&self) -> &str {
        "twin"
    }

    fn name(&self, topic: Topic) -> &str {
        match topic {
            Topic::Input(_) => "an input",
            Topic::Derived(kind) => kind.name(),
            _ => "another topic",
        }
    }

    fn witness(&self, _partition: u16) -> Result<Option<Witness>, EvidenceError> {
        Ok(Some(self.witness))
    }

    fn verify(&self, _partition: u16) -> Result<(), EvidenceError> {
        Ok(())
    }

    fn snapshots(&self, _partition: u16) -> Vec<u64> {
        Vec::new()
    }

    fn open(
        &self,
        topic: Topic,
        _partition: u16,
        stretch: Stretch,
    ) -> Result<CommittedRecords, EvidenceError> {
        let records = self.topics.get(&topic).into_iter().flatten();
        let is_wanted = |bytes: &&Vec<u8>| {
            let record = LogRecord::read(bytes).expect("a record");
            stretch.from.is_none_or(|from| record.offset >= from)
        };
        let records = records.filter(is_wanted).cloned().collect();
        Ok(CommittedRecords { records, next: 0 })
    }
}

impl Records for CommittedRecords {
    fn first(&self) -> i64 {
        0
    }

    fn end(&self) -> i64 {
        i64::MAX
    }

    fn next(&mut self) -> Result<Option<&[u8]>, EvidenceError> {
        self.next += 1;
        Ok(self.records.get(self.next - 1).map(Vec::as_slice))
    }

    fn has_grown(&mut self) -> Result<bool, EvidenceError> {
        Ok(false)
    }
}
