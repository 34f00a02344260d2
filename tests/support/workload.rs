//! Generated input for tests of faults, what a file run makes of it, and the comparison of both with
//! what came out of Kafka: the checker of `operations.md` 2.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::audit::assert_proven;
use super::journal::{folded_count, journal};
use super::processor::{DERIVED, Feed, Setup};
use super::program::{Outputs, Replay};

/// The clock of every workload in the end: all its months are closed.
pub const UNTIL: &str = "2026-04-01T00:00:00Z";

pub fn example_rates() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas/rates/aps-example.json")
}

/// Two months of events with duplicates, late and malformed ones, and what a file run makes of them.
pub fn workload(setup: &Setup, events: usize, seed: u64) -> (Feed, Outputs) {
    let input = generated(setup, 150, events, seed);
    let expected = file_run(setup, input.clone(), UNTIL);
    let feed = Feed::of_trace(&[input], &expected.trace, Some(UNTIL));
    (feed, expected)
}

/// Two months of events with duplicates, late and malformed ones: a file.
pub fn generated(setup: &Setup, teams: u32, events: usize, seed: u64) -> PathBuf {
    let input = setup.dir().join("input.ndjson");
    let generated = Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(["generate", "--months", "2026-01..2026-02"])
        .args(["--teams", &teams.to_string(), "--seed", &seed.to_string()])
        .args(["--events", &events.to_string(), "--duplicates", "5"])
        .args(["--late", "2", "--malformed", "1", "--out"])
        .arg(&input)
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&generated.stderr);
    assert!(generated.status.success(), "{said}");
    input
}

/// What a file run makes of an input.
pub fn file_run(setup: &Setup, input: PathBuf, until: &str) -> Outputs {
    let replay = Replay {
        rates: setup.rates.clone(),
        out: input.with_extension("expected"),
        inputs: vec![input],
        until: Some(until.to_owned()),
        flags: vec!["--trace", "--force"],
        ..Replay::default()
    };
    replay.succeed()
}

/// Nothing is lost, doubled or out of order for a team; every record is in the journal, whose chain
/// is whole; an audit proves all months; state restored from the changelog alone is that of the file run. Nothing may run.
pub fn assert_result(setup: &Setup, place: &str, expected: &Outputs) {
    setup.assert_derived(place, &expected.derived);
    assert_order(setup, place, &expected.derived);
    let mut folded = 0;
    for partition in 0..setup.partitions {
        let records = journal(setup, partition);
        folded += records.iter().map(folded_count).sum::<u64>();
        for pair in records.windows(2) {
            for ((topic, before), (_, after)) in pair[0].positions.iter().zip(&pair[1].positions) {
                assert!(
                    before <= after,
                    "{place}: {topic} {partition} went back to {after}"
                );
            }
        }
    }
    let inputs = setup.inputs();
    let appended: usize = inputs
        .iter()
        .map(|input| setup.broker.read_committed(input).len())
        .sum();
    assert_eq!(folded, appended as u64, "{place}: a disposition a record");
    assert_proven(setup, place, &["2026-01", "2026-02"]);
    setup.assert_restored_accounts(place, &expected.accounts);
}

/// In each topic the events of a team stand in the order of the file run.
fn assert_order(setup: &Setup, place: &str, expected: &[u8]) {
    let mut wanted: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for line in expected
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let (team, id) = team_and_id(line);
        let kind = id.split('/').next().expect("a kind").to_owned();
        wanted.entry((kind, team)).or_default().push(id);
    }
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for topic in DERIVED {
        for record in setup.broker.read_committed(&setup.topic(topic)) {
            let (team, id) = team_and_id(&record.value.expect("a value"));
            assert_eq!(
                record.key,
                Some(team.clone().into_bytes()),
                "{place}: the key of {id}"
            );
            found.entry((topic.to_owned(), team)).or_default().push(id);
        }
    }
    assert_eq!(wanted, found, "{place}: the order of each team");
}

fn team_and_id(event: &[u8]) -> (String, String) {
    let event: serde_json::Value = serde_json::from_slice(event).expect("JSON");
    let text = |name: &str| event[name].as_str().expect("a text").to_owned();
    (text("subject"), text("id"))
}

/// A feed that is produced little by little while a test does other things.
pub struct Flow<'a, 'b> {
    setup: &'a Setup<'b>,
    feed: &'a Feed,
    produced: usize,
    share: usize,
    last: Option<Instant>,
}

impl<'a, 'b> Flow<'a, 'b> {
    const INTERVAL: Duration = Duration::from_millis(100);

    /// Lasts for about `duration`, if it is given the time.
    pub fn new(setup: &'a Setup<'b>, feed: &'a Feed, duration: Duration) -> Flow<'a, 'b> {
        let shares = (duration.as_millis() / Self::INTERVAL.as_millis()).max(1) as usize;
        Flow {
            setup,
            feed,
            produced: 0,
            share: feed.records.len() / shares + 1,
            last: None,
        }
    }

    /// Produces a share, if it is time.
    pub fn step(&mut self) {
        if self
            .last
            .is_none_or(|last| last.elapsed() >= Self::INTERVAL)
        {
            self.produce(self.share);
            self.last = Some(Instant::now());
        }
    }

    pub fn finish(&mut self) {
        self.produce(self.feed.records.len());
    }

    pub fn is_over(&self) -> bool {
        self.produced == self.feed.records.len()
    }

    fn produce(&mut self, share: usize) {
        let end = (self.produced + share).min(self.feed.records.len());
        let records = self.feed.records[self.produced..end].to_vec();
        Feed { records }.produce(self.setup);
        self.produced = end;
    }

    /// Steps until `condition`.
    #[track_caller]
    pub fn until(&mut self, what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < patience, "not in time: {what}");
            self.step();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn during(&mut self, duration: Duration) {
        let began = Instant::now();
        self.until("a while", duration * 2 + Duration::from_secs(60), || {
            began.elapsed() >= duration
        });
    }
}
