//! Dead letters on a real Apache Kafka: every kind of poison becomes one, with the original's bytes
//! and headers that say why, in the transaction of its batch; `meterfold dead-letters` shows them and
//! sends repaired ones again, which then count once.

mod support;

#[path = "kafka_dead_letters/bombs.rs"]
mod bombs;
#[path = "kafka_dead_letters/commands.rs"]
mod commands;
#[path = "kafka_dead_letters/poison.rs"]
mod poison;
#[path = "kafka_dead_letters/waits.rs"]
mod waits;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meterfold::billing::time::Instant;
use meterfold::wire::partitioner::partition_of;
use serde_json::Value as Json;

use poison::{Poison, poisons};
use support::audit::assert_proven;
use support::kafka::{Broker, Record, Registry};
use support::processor::{Processor, Setup};

const PARTITIONS: u16 = 2;
const MIB: usize = 1 << 20;

#[test]
fn every_poison_becomes_a_dead_letter_in_the_transaction_of_its_batch() {
    let broker = Broker::shared();
    let registry = Registry::start();
    let mut setup = Setup::new(broker, "poison", PARTITIONS, &rates());
    setup.has_accounts = true;
    setup.is_record_time = false;
    setup
        .extra
        .push(("", "on_wrong_partition = \"dead_letter\"".to_owned()));
    setup
        .extra
        .push(("http", format!("[registry]\nurl = \"{}\"", registry.url())));
    setup.create_topics();

    let poisons = poisons(&registry);
    let mut offsets = Vec::new();
    let mut feed = |poison: &Poison| {
        offsets.push(broker.produce_all(&setup.topic(poison.topic), [poison.record.clone()])[0]);
        // What follows is folded.
        let partition = poison.record.partition;
        let team = team_in(u16::try_from(partition).expect("a partition"), "good");
        let event = call(&format!("g-{}", offsets.len()), &team, now_millis(), "1");
        broker.produce(&setup.topic("api-calls"), partition, team, event);
    };

    // Processes that die before a commit: the dead letters of its batch go with it.
    let letters = setup.topic("dead-letters");
    let mut rest = poisons.iter();
    let mut has_seen_aborted = false;
    for _ in 0..2 {
        let environment = [("FAIL_POINT_OF_METERFOLD", "s4:3:kill")];
        let mut dying = Processor::start_with(&setup, 0, &environment);
        dying.wait_until_runs(&setup);
        // One commit after the other, so that it comes to the third.
        while dying.child.try_wait().expect("a child").is_none() {
            if setup.is_folded() {
                match rest.next() {
                    Some(poison) => feed(poison),
                    None => panic!("it has not died:\n{}", dying.log()),
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        fs::remove_file(&dying.log).expect("its log");
        has_seen_aborted |= assert_letters_of_committed(&setup, &letters);
    }
    assert!(
        has_seen_aborted,
        "no process died with dead letters sent and not committed"
    );
    rest.for_each(&mut feed);
    let good = u64::try_from(poisons.len()).expect("a count");

    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_folded(&setup);
    processor.stop();

    let found = broker.read_committed(&letters);
    assert!(
        broker.read_uncommitted(&letters).len() > found.len(),
        "aborted ones lie there too"
    );
    assert_eq!(found.len(), poisons.len());
    for (poison, offset) in poisons.iter().zip(&offsets) {
        let topic = setup.topic(poison.topic);
        let place = format!("{} {} {topic} {offset}", poison.reason, poison.detail);
        let originals = broker.read_committed(&topic);
        let original = originals
            .iter()
            .find(|record| record.partition == poison.record.partition && record.offset == *offset)
            .expect("it was appended");
        let headers = poison.headers(&topic, original);
        let matching: Vec<&Record> = found
            .iter()
            .filter(|letter| letter.headers == headers)
            .collect();
        let [letter] = matching[..] else {
            let near: Vec<_> = found
                .iter()
                .filter(|letter| letter.partition == original.partition)
                .map(|letter| &letter.headers)
                .collect();
            panic!(
                "{place}: {} with headers {headers:?}; there are {near:?}",
                matching.len()
            );
        };
        assert_eq!(letter.partition, original.partition, "{place}");
        assert_eq!(
            letter.key,
            cut(original.key.as_ref(), poison.is_cut(), 4 << 10),
            "{place}"
        );
        assert!(
            letter.value == cut(original.value.as_ref(), poison.is_cut(), MIB),
            "{place}: value"
        );
    }
    // Denied schemas, wrong keys and all: the journal tells enough to fold it again.
    let month = Instant::from_millis(now_millis()).month().to_string();
    assert_proven(&setup, "poison", &[&month]);
    // The good events were folded, each once: accounts say what became of them.
    let accounts = setup.accounts(0);
    let folded: u64 = accounts
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let account: Json = serde_json::from_slice(line).expect("an account");
            let counts = account["dispositions"].as_object().expect("counts");
            counts
                .values()
                .map(|count| count.as_u64().expect("a count"))
                .sum::<u64>()
        })
        .sum();
    assert_eq!(folded, good);
}

/// Committed dead letters are those of records before the committed offsets. Returns whether others
/// lie there too, which nobody will see.
fn assert_letters_of_committed(setup: &Setup, letters: &str) -> bool {
    let broker = setup.broker;
    let of = |record: &Record, name: &str| -> String {
        let name = format!("meterfold.dlq.{name}");
        let found = record.headers.iter().find(|(header, _)| *header == name);
        let value = found.and_then(|(_, value)| value.clone()).expect("a mark");
        String::from_utf8(value).expect("text")
    };
    let is_folded = |letter: &Record| {
        let committed = broker.committed(&setup.name, &of(letter, "topic"), letter.partition);
        let offset: i64 = of(letter, "offset").parse().expect("an offset");
        committed.is_some_and(|(next, _)| offset < next)
    };
    let committed = broker.read_committed(letters);
    let all = broker.read_uncommitted(letters);
    for letter in &all {
        let is_committed = committed
            .iter()
            .any(|found| found.headers == letter.headers);
        assert_eq!(is_committed, is_folded(letter), "{:?}", letter.headers);
    }
    all.iter().any(|letter| !is_folded(letter))
}

fn rates() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas/rates/aps-example.json")
}

fn now_millis() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(now.as_millis()).expect("a time")
}

/// The first team of a partition whose name begins so.
fn team_in(partition: u16, begin: &str) -> String {
    let mut names = (0..).map(|number| format!("{begin}-{number}"));
    names
        .find(|name| partition_of(name.as_bytes(), PARTITIONS) == partition)
        .expect("half of them are")
}

fn event(kind: &str, id: &str, team: &str, millis: i64, data: &str) -> String {
    let time = Instant::from_millis(millis);
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/test\",\"type\":\"meterfold.{kind}.v1\",\
         \"subject\":\"{team}\",\"time\":\"{time}\",\"data\":{data}}}"
    )
}

fn call(id: &str, team: &str, millis: i64, quantity: &str) -> String {
    let data = format!(
        "{{\"app_id\":\"app-1\",\"api\":\"automation\",\"engine\":\"autocad\",\"quantity\":{quantity},\
         \"status\":\"success\"}}"
    );
    event("api-call", id, team, millis, &data)
}

fn cut(bytes: Option<&Vec<u8>>, is_cut: bool, kept: usize) -> Option<Vec<u8>> {
    bytes.map(|bytes| match is_cut {
        true => bytes[..bytes.len().min(kept)].to_vec(),
        false => bytes.clone(),
    })
}
