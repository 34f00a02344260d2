//! Dead letters on a real Apache Kafka: every kind of poison becomes one, with the original's bytes
//! and headers that say why, in the transaction of its batch; `meterfold dead-letters` shows them and
//! sends repaired ones again, which then count once.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meterfold::billing::time::Instant;
use meterfold::wire::partitioner::partition_of;
use serde_json::Value as Json;

use support::kafka::{Broker, NewRecord, Record, Registry};
use support::processor::{Processor, Setup};
use support::program::stderr;

const PARTITIONS: u16 = 2;
const MIB: usize = 1 << 20;
const HOUR_MILLIS: i64 = 3_600_000;

/// A record that nobody can take, and what is said of it.
struct Poison {
    topic: &'static str,
    record: NewRecord,
    reason: &'static str,
    detail: &'static str,
    stage: &'static str,
    schema_id: Option<u32>,
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

/// One of every kind, each beside good events of the same partition.
fn poisons(registry: &Registry) -> Vec<Poison> {
    let now = now_millis();
    let (home, away) = (team_in(0, "home"), team_in(1, "away"));
    let schema = include_str!("../schemas/input/api-call.v1.avsc");
    let known = registry.register("api-calls-value", schema);
    let strange = registry.register(
        "others-value",
        r#"{"type":"record","name":"Other","fields":[]}"#,
    );
    let unknown = 2_000_000_000;
    let framed = |id: u32, datum: &[u8]| [&[0][..], &id.to_be_bytes(), datum].concat();
    let to = |partition: i32, key: &str, value: &[u8]| NewRecord::new(partition, key, value);
    let home_call = |id: &str, millis: i64, quantity: &str| {
        to(0, &home, call(id, &home, millis, quantity).as_bytes())
    };
    let poison = |topic, record, reason, detail| Poison {
        topic,
        record,
        reason,
        detail,
        stage: "decode",
        schema_id: None,
    };
    let of_schema = |id: u32, datum: &[u8], detail| Poison {
        schema_id: Some(id),
        ..poison(
            "api-calls",
            to(0, &home, &framed(id, datum)),
            "malformed",
            detail,
        )
    };
    let of_rules = |record, reason, detail| Poison {
        stage: "admit",
        ..poison("api-calls", record, reason, detail)
    };
    let tokens = event("tokens-purchased", "p-1", &home, now, "{\"tokens\":100}");
    let mut no_value = to(0, &home, b"");
    no_value.value = None;
    let mut no_key = home_call("c-nokey", now, "1");
    no_key.key = None;
    let with_headers = home_call("c-text", now, "\"1\"")
        .with_header("trace", "00-1")
        .with_header("trace", [0xff, 0x00])
        .with_header("empty", "");
    let mut with_null_header = to(0, &home, b"{}");
    with_null_header.headers.push(("null".to_owned(), None));
    let tick = event("clock-tick", "t-1", "", now, "{}").replace("\"subject\":\"\",", "");
    let mut tick = to(1, "", tick.as_bytes());
    tick.key = None;
    let large_key = "k".repeat(5_000);
    vec![
        poison(
            "api-calls",
            to(0, &home, b"not JSON"),
            "malformed",
            "record",
        ),
        poison(
            "api-calls",
            to(1, &away, b"{\"specversion\":\"1.0\""),
            "malformed",
            "record",
        ),
        poison(
            "api-calls",
            to(0, &home, b"\xff\xfe\x00"),
            "malformed",
            "record",
        ),
        poison(
            "api-calls",
            to(0, &home, b"\xc3\x01\0\0\0\0\0\0\0\0xyz"),
            "malformed",
            "record",
        ),
        poison("api-calls", no_value, "malformed", "record"),
        of_schema(known, b"\x08c-av", "record"),
        of_schema(known, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "record"),
        of_schema(strange, b"", "record"),
        of_schema(unknown, b"\x02", "schema_id"),
        poison("api-calls", with_headers, "malformed", "data.quantity"),
        poison("accounts", with_null_header, "malformed", "specversion"),
        poison(
            "api-calls",
            to(0, &home, &vec![b'x'; MIB]),
            "too_large",
            "record",
        ),
        poison(
            "api-calls",
            to(1, &large_key, &vec![b'y'; 3 * MIB]).with_header("a", "b"),
            "too_large",
            "record",
        ),
        poison(
            "api-calls",
            to(0, "stranger", call("c-1", &home, now, "1").as_bytes()),
            "wrong_key",
            "key",
        ),
        poison("api-calls", no_key, "wrong_key", "key"),
        poison(
            "api-calls",
            to(0, &away, call("c-2", &away, now, "1").as_bytes()),
            "wrong_partition",
            "partition",
        ),
        poison(
            "api-calls",
            to(0, &home, tokens.as_bytes()),
            "wrong_topic",
            "type",
        ),
        poison(
            "accounts",
            to(
                0,
                &home,
                event("surprise", "s-1", &home, now, "{}").as_bytes(),
            ),
            "unknown_type",
            "type",
        ),
        poison("accounts", tick, "tick_not_allowed", "type"),
        of_rules(
            home_call("c-3", now, "-1"),
            "negative_quantity",
            "data.quantity",
        ),
        of_rules(
            home_call("c-4", now, "1000000000000001"),
            "quantity_too_large",
            "data.quantity",
        ),
        of_rules(
            home_call("c-5", now + 24 * HOUR_MILLIS, "1"),
            "time_in_future",
            "time",
        ),
        of_rules(
            home_call("c-6", now - 90 * 24 * HOUR_MILLIS, "1"),
            "too_old",
            "time",
        ),
    ]
}

impl Poison {
    /// Headers of its dead letter.
    fn headers(&self, topic: &str, original: &Record) -> Vec<(String, Option<Vec<u8>>)> {
        let mut headers = match self.is_cut() {
            true => Vec::new(),
            false => original.headers.clone(),
        };
        let mut mark = |name: &str, value: String| {
            headers.push((format!("meterfold.dlq.{name}"), Some(value.into_bytes())));
        };
        mark("topic", topic.to_owned());
        mark("partition", original.partition.to_string());
        mark("offset", original.offset.to_string());
        mark("timestamp", original.timestamp.to_string());
        mark("reason", self.reason.to_owned());
        mark("detail", self.detail.to_owned());
        mark("stage", self.stage.to_owned());
        if let Some(id) = self.schema_id {
            mark("schema_id", id.to_string());
        }
        if self.is_cut() {
            mark("truncated", "true".to_owned());
        }
        headers
    }

    fn is_cut(&self) -> bool {
        self.reason == "too_large"
    }
}

fn cut(bytes: Option<&Vec<u8>>, is_cut: bool, kept: usize) -> Option<Vec<u8>> {
    bytes.map(|bytes| match is_cut {
        true => bytes[..bytes.len().min(kept)].to_vec(),
        false => bytes.clone(),
    })
}

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
        while dying.child.try_wait().expect("a child").is_none() {
            match rest.next() {
                Some(poison) => feed(poison),
                None => panic!("it has not died:\n{}", dying.log()),
            }
            std::thread::sleep(Duration::from_millis(200));
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

fn dead_letters(setup: &Setup, arguments: &[&str]) -> Output {
    let (command, rest) = arguments.split_first().expect("a command");
    Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(["dead-letters", command, "--config"])
        .arg(setup.dir().join("config-0.toml"))
        .args(rest)
        .output()
        .expect("the program starts")
}

#[track_caller]
fn succeed(setup: &Setup, arguments: &[&str]) -> String {
    let output = dead_letters(setup, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn fail(setup: &Setup, code: i32, arguments: &[&str]) -> (String, String) {
    let output = dead_letters(setup, arguments);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    (String::from_utf8(output.stdout).expect("text"), error)
}

#[test]
fn letters_are_shown_and_repaired_ones_count_once() {
    let broker = Broker::shared();
    let mut setup = Setup::new(broker, "repair", PARTITIONS, &rates());
    setup
        .extra
        .push(("", "on_wrong_partition = \"dead_letter\"".to_owned()));
    setup.create_topics();
    let input = setup.topic("api-calls");
    let at = Instant::parse("2026-01-10T10:00:00Z")
        .expect("a time")
        .millis();
    let (home, away) = (team_in(0, "home"), team_in(1, "away"));
    let created = |record: NewRecord, minute: i64| record.created_at(at + minute * 60_000);
    let records = [
        created(
            NewRecord::new(0, &home, call("c-1", &home, at, "\"7\"")).with_header("trace", "00-1"),
            1,
        ),
        created(NewRecord::new(0, &away, call("c-2", &away, at, "1")), 2),
        created(NewRecord::new(0, &home, "x".repeat(2 * MIB)), 3),
        created(
            NewRecord::new(0, "stranger", call("c-3", &home, at, "1")),
            4,
        ),
        created(NewRecord::new(1, &away, "{"), 5),
    ];
    for record in records.clone() {
        broker.produce_all(&input, [record]);
    }
    let mut processor = Processor::start(&setup, 0);
    processor.wait_until_folded(&setup);

    // The place of a dead letter is taken from the list, as a user does.
    let places: Vec<(String, String, String)> = succeed(&setup, &["list", "--json", "--values"])
        .lines()
        .map(|line| {
            let shown: Json = serde_json::from_str(line).expect("JSON");
            let text = |name: &str| shown[name].as_str().expect("text").to_owned();
            let is_cut = shown["truncated"] == true;
            assert_eq!(shown["value_bytes"] == MIB, is_cut);
            assert_eq!(shown["record"]["topic"], *input);
            (
                text("reason"),
                shown["partition"].to_string(),
                shown["offset"].to_string(),
            )
        })
        .collect();
    let reasons: Vec<&str> = places.iter().map(|(reason, ..)| reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "malformed",
            "wrong_partition",
            "too_large",
            "wrong_key",
            "malformed"
        ]
    );

    let table = succeed(&setup, &["list"]);
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["at", "reason", "detail", "record", "key", "bytes"]
    );
    let (_, partition, offset) = &places[2];
    let cut = format!("{MIB}+");
    assert_eq!(
        lines[3],
        [
            &format!("{partition}@{offset}"),
            "too_large",
            "record",
            &input,
            "0@2",
            &home,
            &cut
        ]
    );
    assert_eq!(
        succeed(&setup, &["list", "--reason", "too_large"])
            .lines()
            .count(),
        2
    );
    assert_eq!(
        succeed(&setup, &["list", "--partition", "1"])
            .lines()
            .count(),
        2
    );
    let output = dead_letters(&setup, &["list", "--limit", "2"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    assert!(
        stderr(&output).contains("more than 2; raise --limit"),
        "{}",
        stderr(&output)
    );
    let output = dead_letters(&setup, &["list", "--reason", "too_old"]);
    assert!(output.stdout.is_empty() && stderr(&output).contains("there are none"));

    // Without --execute nothing is sent; what could not be is named.
    let ends = broker.end_offsets(&input);
    let (said, error) = fail(&setup, 10, &["replay", "--all"]);
    assert!(
        said.ends_with("3 would be sent; send them with --execute\n"),
        "{said}"
    );
    assert!(
        error.contains("only the beginning of it was kept") && error.contains("0@2"),
        "{error}"
    );
    assert!(error.contains("its key is not its subject"), "{error}");
    assert!(error.contains("2 dead letters cannot be sent"), "{error}");
    assert_eq!(broker.end_offsets(&input), ends);

    // Repaired by a command: it goes as it was, but for the value and our marks.
    let edit = ["--edit", "sed 's/\"7\"/7/'"];
    let reason = ["replay", "--reason", "malformed", "--execute"];
    let said = succeed(&setup, &[&reason[..], &edit].concat());
    assert!(said.ends_with("2 sent\n"), "{said}");
    processor.wait_until_folded(&setup);
    let sent = broker.read_committed(&input);
    let sent: Vec<&Record> = sent.iter().filter(|record| record.partition == 0).collect();
    let repaired = sent.last().expect("the repaired one");
    assert_eq!(repaired.value_text(), call("c-1", &home, at, "7"));
    assert_eq!(repaired.key.as_deref(), Some(home.as_bytes()));
    assert_eq!(
        repaired.headers,
        [("trace".to_owned(), Some(b"00-1".to_vec()))]
    );
    assert_eq!(repaired.timestamp, at + 60_000);

    // Sent once more it is a duplicate. The other one was not repaired by that: it is back.
    let (_, partition, offset) = &places[0];
    let one = [
        "replay",
        "--partition",
        partition,
        "--offset",
        offset,
        "--execute",
    ];
    succeed(&setup, &[&one[..], &edit].concat());
    assert_eq!(
        succeed(&setup, &["list", "--partition", "1"])
            .lines()
            .count(),
        3
    );

    // One of a wrong partition goes to its team's.
    let said = succeed(
        &setup,
        &["replay", "--reason", "wrong_partition", "--execute"],
    );
    assert!(
        said.contains(&format!("sent to {input} partition 1")),
        "{said}"
    );
    // A file repairs one of a wrong key: the subject becomes the key.
    let (_, partition, offset) = &places[3];
    let file = setup.dir().join("repaired.json");
    fs::write(&file, call("c-3", "stranger", at, "1")).expect("a file");
    let value = ["--value", file.to_str().expect("a path"), "--execute"];
    succeed(
        &setup,
        &[
            &["replay", "--partition", partition, "--offset", offset][..],
            &value,
        ]
        .concat(),
    );
    processor.wait_until_folded(&setup);

    // What stops a replay.
    let (_, error) = fail(
        &setup,
        1,
        &["replay", "--reason", "malformed", "--edit", "exit 3"],
    );
    assert!(
        error.contains("--edit") && error.contains("exit status: 3"),
        "{error}"
    );
    let big = setup.dir().join("big.json");
    fs::write(&big, vec![b'x'; MIB + 1]).expect("a file");
    let value = ["--value", big.to_str().expect("a path")];
    let (_, error) = fail(
        &setup,
        10,
        &[
            &["replay", "--partition", partition, "--offset", offset][..],
            &value,
        ]
        .concat(),
    );
    assert!(error.contains("more than 1048576"), "{error}");
    let (_, error) = fail(
        &setup,
        2,
        &["replay", "--partition", "0", "--offset", "4711"],
    );
    assert!(
        error.contains("there is no dead letter; take a place"),
        "{error}"
    );
    let (_, error) = fail(&setup, 2, &["replay", "--partition", "7", "--offset", "0"]);
    assert!(error.contains("there is no dead letter"), "{error}");

    processor.stop();
    let accounts = String::from_utf8(setup.accounts(0)).expect("text");
    let dispositions = |team: &str| -> (u64, u64) {
        let lines = accounts
            .lines()
            .map(|line| serde_json::from_str::<Json>(line).expect("an account"));
        let counts = lines
            .into_iter()
            .find(|account| account["team"] == team)
            .expect("the team");
        let counts = counts["dispositions"].as_object().expect("counts").clone();
        let all = counts
            .values()
            .map(|count| count.as_u64().expect("a count"))
            .sum::<u64>();
        (
            all,
            counts.get("duplicate").and_then(Json::as_u64).unwrap_or(0),
        )
    };
    assert_eq!(dispositions(&home), (2, 1));
    assert_eq!(dispositions(&away), (1, 0));
    assert_eq!(dispositions("stranger"), (1, 0));
}

/// What is not ours is shown, never sent: a header must not say where to write.
#[test]
fn foreign_records_are_shown_and_not_sent() {
    let broker = Broker::shared();
    let setup = Setup::new(broker, "foreign", PARTITIONS, &rates());
    setup.create_topics();
    let letters = setup.topic("dead-letters");
    let forged = |topic: &str| {
        NewRecord::new(0, "k", "v")
            .with_header("meterfold.dlq.topic", topic)
            .with_header("meterfold.dlq.partition", "0")
            .with_header("meterfold.dlq.offset", "1")
            .with_header("meterfold.dlq.timestamp", "1")
            .with_header("meterfold.dlq.reason", "malformed")
    };
    broker.produce(&letters, 0, "k", "v");
    broker.produce_all(&letters, [forged("elsewhere")]);
    let table = succeed(&setup, &["list"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    let (said, error) = fail(&setup, 10, &["replay", "--all", "--execute"]);
    assert_eq!(said, "0 sent\n");
    assert!(
        error.contains("0@0: is not sent: it does not say where it came from"),
        "{error}"
    );
    assert!(
        error.contains("0@1: is not sent: it came from elsewhere, which is no input"),
        "{error}"
    );
}

#[test]
fn bad_usage_and_absent_brokers_have_their_codes() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
        command.arg("dead-letters").args(arguments);
        command.output().expect("the program starts")
    };
    for (arguments, word) in [
        (&["replay"][..], "--all"),
        (&["replay", "--all", "--reason", "malformed"], "--reason"),
        (&["replay", "--partition", "1"], "--offset"),
        (&["replay", "--all", "--value", "a"], "--value"),
        (&["replay", "--all", "--execute", "--dry-run"], "--dry-run"),
        (&["list", "--reason", "bad"], "wrong_partition"),
        (&["list", "--values"], "--json"),
    ] {
        let output = run(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(word),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
    let away = [
        "--set",
        "rates=-",
        "--set",
        "kafka.bootstrap.servers=127.0.0.1:1",
        "--timeout",
        "1",
    ];
    for command in [&["list"][..], &["replay", "--all"]] {
        let output = run(&[command, &away].concat());
        assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    }
    for command in ["list", "replay"] {
        let help = run(&[command, "--help"]).stdout;
        assert!(String::from_utf8_lossy(&help).contains("Examples:"));
    }
}
