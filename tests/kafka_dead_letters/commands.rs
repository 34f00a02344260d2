//! `meterfold dead-letters` on what a processor left: it shows it, and sends repaired records again.

use std::fs;
use std::process::{Command, Output};

use meterfold::billing::time::Instant;
use serde_json::Value as Json;

use super::support::kafka::{Broker, NewRecord, Record};
use super::support::processor::{Processor, Setup};
use super::support::program::stderr;
use super::{MIB, PARTITIONS, call, rates, team_in};

/// Repairs the quantity of the first record.
const EDIT: [&str; 2] = ["--edit", "sed 's/\"7\"/7/'"];

/// Three records that can be repaired, one that was cut, one under a wrong key; all are folded.
struct World<'b> {
    setup: Setup<'b>,
    input: String,
    /// A team of partition 0, another of partition 1.
    home: String,
    away: String,
    at: i64,
    processor: Processor,
}

/// Runs `dead-letters` with these words, and `more` that may hold spaces.
fn run(setup: &Setup<'_>, words: &str, more: &[&str]) -> Output {
    let mut words = words.split_whitespace();
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
    command
        .arg("dead-letters")
        .args(words.next())
        .arg("--config");
    command.arg(setup.dir().join("config-0.toml"));
    command.args(words).args(more);
    command.output().expect("the program starts")
}

/// What it prints.
#[track_caller]
fn succeed(setup: &Setup<'_>, words: &str, more: &[&str]) -> String {
    let output = run(setup, words, more);
    assert!(output.status.success(), "{words}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// What it prints, and the error.
#[track_caller]
fn fail(setup: &Setup<'_>, code: i32, words: &str, more: &[&str]) -> (String, String) {
    let output = run(setup, words, more);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{words}: {error}");
    (String::from_utf8(output.stdout).expect("text"), error)
}

#[test]
fn letters_are_shown_and_repaired_ones_count_once() {
    let mut world = World::start();
    let places = world.places();
    world.shows_a_table(&places);
    world.sends_nothing_unasked();
    world.sends_what_a_command_repaired(&places[0]);
    world.sends_to_the_right_partition(&places[3]);
    world.stops_where_it_must(&places[3]);
    world.counts_once();
}

impl World<'_> {
    fn start() -> World<'static> {
        let mut setup = Setup::new(Broker::shared(), "repair", PARTITIONS, &rates());
        let passes_over = "on_wrong_partition = \"dead_letter\"".to_owned();
        setup.extra.push(("", passes_over));
        setup.create_topics();
        let input = setup.topic("api-calls");
        let at = Instant::parse("2026-01-10T10:00:00Z").expect("a time");
        let (home, away, at) = (team_in(0, "home"), team_in(1, "away"), at.millis());
        let records = [
            NewRecord::new(0, &home, call("c-1", &home, at, "\"7\"")).with_header("trace", "00-1"),
            NewRecord::new(0, &away, call("c-2", &away, at, "1")),
            NewRecord::new(0, &home, "x".repeat(2 * MIB)),
            NewRecord::new(0, "stranger", call("c-3", &home, at, "1")),
            NewRecord::new(1, &away, "{"),
        ];
        for (minute, record) in (1..).zip(records) {
            let record = record.created_at(at + minute * 60_000);
            setup.broker.produce_all(&input, [record]);
        }
        let mut processor = Processor::start(&setup, 0);
        processor.wait_until_folded(&setup);
        World {
            setup,
            input,
            home,
            away,
            at,
            processor,
        }
    }

    /// Options that name each dead letter, taken from the list as a user does.
    fn places(&self) -> Vec<String> {
        let listed = succeed(&self.setup, "list --json --values", &[]);
        let mut reasons = Vec::new();
        let mut places = Vec::new();
        for line in listed.lines() {
            let shown: Json = serde_json::from_str(line).expect("JSON");
            assert_eq!(shown["record"]["topic"], *self.input);
            assert_eq!(shown["value_bytes"] == MIB, shown["truncated"] == true);
            let value = shown["value"].as_str().expect("text");
            assert_eq!(shown["value_bytes"], value.len());
            reasons.push(shown["reason"].as_str().expect("text").to_owned());
            let (partition, offset) = (&shown["partition"], &shown["offset"]);
            places.push(format!("--partition {partition} --offset {offset}"));
        }
        let expected = "malformed wrong_partition too_large wrong_key malformed";
        assert_eq!(reasons.join(" "), expected);
        places
    }

    fn shows_a_table(&self, places: &[String]) {
        let setup = &self.setup;
        let table = succeed(setup, "list", &[]);
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0].join(" "), "at reason detail record key bytes");
        let place = places[2]
            .replace("--partition ", "")
            .replace(" --offset ", "@");
        let (input, home) = (&self.input, &self.home);
        let expected = format!("{place} too_large record {input} 0@2 {home} {MIB}+");
        assert_eq!(lines[3].join(" "), expected);
        for (filter, letters) in [
            ("--reason too_large", 1),
            ("--partition 1", 1),
            ("--limit 2", 2),
        ] {
            let shown = succeed(setup, &format!("list {filter}"), &[]);
            assert_eq!(shown.lines().count(), letters + 1, "{filter}: {shown}");
        }
        let error = stderr(&run(setup, "list --limit 2", &[]));
        assert!(error.contains("more than 2; raise --limit"), "{error}");
        let none = run(setup, "list --reason too_old", &[]);
        assert!(none.stdout.is_empty() && stderr(&none).contains("there are none"));
    }

    /// Without --execute; what could not be sent is named.
    fn sends_nothing_unasked(&self) {
        let ends = self.setup.broker.end_offsets(&self.input);
        let (said, error) = fail(&self.setup, 10, "replay --all", &[]);
        let would = "3 would be sent; send them with --execute\n";
        assert!(said.ends_with(would), "{said}");
        for words in [
            "only the beginning of it was kept; its producer has to send repair-api-calls 0@2 again",
            "its key is not its subject",
            "2 dead letters cannot be sent",
        ] {
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(self.setup.broker.end_offsets(&self.input), ends);
    }

    /// It goes as it was, but for the value and our marks.
    fn sends_what_a_command_repaired(&mut self, place: &str) {
        let said = succeed(&self.setup, "replay --reason malformed --execute", &EDIT);
        assert!(said.ends_with("2 sent\n"), "{said}");
        self.processor.wait_until_folded(&self.setup);
        let sent = self.setup.broker.read_committed(&self.input);
        let sent: Vec<&Record> = sent.iter().filter(|record| record.partition == 0).collect();
        let repaired = sent.last().expect("the repaired one");
        assert_eq!(repaired.value_text(), call("c-1", &self.home, self.at, "7"));
        assert_eq!(repaired.key.as_deref(), Some(self.home.as_bytes()));
        let headers = [("trace".to_owned(), Some(b"00-1".to_vec()))];
        assert_eq!(repaired.headers, headers);
        assert_eq!(repaired.timestamp, self.at + 60_000);
        // Once more: it is a duplicate. The other one was not repaired by that, so it is back.
        succeed(&self.setup, &format!("replay {place} --execute"), &EDIT);
        let back = succeed(&self.setup, "list --partition 1", &[]);
        assert_eq!(back.lines().count(), 3, "{back}");
    }

    /// One of a wrong partition, and one of a wrong key whose subject a file makes the key.
    fn sends_to_the_right_partition(&mut self, wrong_key: &str) {
        let said = succeed(
            &self.setup,
            "replay --reason wrong_partition --execute",
            &[],
        );
        let expected = format!("sent to {} partition 1", self.input);
        assert!(said.contains(&expected), "{said}");
        let file = self.setup.dir().join("repaired.json");
        fs::write(&file, call("c-3", "stranger", self.at, "1")).expect("a file");
        let value = ["--value", file.to_str().expect("a path")];
        succeed(
            &self.setup,
            &format!("replay {wrong_key} --execute"),
            &value,
        );
        self.processor.wait_until_folded(&self.setup);
    }

    fn stops_where_it_must(&self, place: &str) {
        let setup = &self.setup;
        let broken = ["--edit", "exit 3"];
        let (_, error) = fail(setup, 1, "replay --reason malformed", &broken);
        assert!(
            error.contains("--edit") && error.contains("exit status: 3"),
            "{error}"
        );
        let large = setup.dir().join("large.json");
        fs::write(&large, vec![b'x'; MIB + 1]).expect("a file");
        let value = ["--value", large.to_str().expect("a path")];
        let (_, error) = fail(setup, 10, &format!("replay {place}"), &value);
        assert!(error.contains("more than 1048576"), "{error}");
        let (_, error) = fail(
            setup,
            2,
            &format!("replay {place}"),
            &["--value", "/nowhere"],
        );
        assert!(
            error.contains("--value /nowhere: cannot be read"),
            "{error}"
        );
        for missing in ["--partition 0 --offset 4711", "--partition 7 --offset 0"] {
            let (_, error) = fail(setup, 2, &format!("replay {missing}"), &[]);
            assert!(
                error.contains("there is no dead letter; take a place"),
                "{error}"
            );
        }
    }

    fn counts_once(self) {
        self.processor.stop();
        let accounts = String::from_utf8(self.setup.accounts(0)).expect("text");
        let accounts = accounts
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        let accounts: Vec<Json> = accounts.collect();
        let counts = |team: &str| -> (u64, u64) {
            let account = accounts.iter().find(|account| account["team"] == team);
            let counts = account.expect("the team")["dispositions"]
                .as_object()
                .expect("counts");
            let all = counts.values().filter_map(Json::as_u64).sum();
            let duplicates = counts.get("duplicate").and_then(Json::as_u64);
            (all, duplicates.unwrap_or(0))
        };
        assert_eq!(counts(&self.home), (2, 1));
        assert_eq!(counts(&self.away), (1, 0));
        assert_eq!(counts("stranger"), (1, 0));
    }
}

/// What is not ours is shown, never sent: a header must not say where to write.
#[test]
fn foreign_records_are_shown_and_not_sent() {
    let broker = Broker::shared();
    let setup = Setup::new(broker, "foreign", PARTITIONS, &rates());
    setup.create_topics();
    let letters = setup.topic("dead-letters");
    let forged = NewRecord::new(0, "k", "v")
        .with_header("meterfold.dlq.topic", "elsewhere")
        .with_header("meterfold.dlq.partition", "0")
        .with_header("meterfold.dlq.offset", "1")
        .with_header("meterfold.dlq.timestamp", "1")
        .with_header("meterfold.dlq.reason", "malformed");
    broker.produce(&letters, 0, "k", "v");
    broker.produce_all(&letters, [forged]);
    let table = succeed(&setup, "list", &[]);
    assert_eq!(table.lines().count(), 3, "{table}");
    let (said, error) = fail(&setup, 10, "replay --all --execute", &[]);
    assert_eq!(said, "0 sent\n");
    for words in [
        "0@0: is not sent: it does not say where it came from",
        "0@1: is not sent: it came from elsewhere, which is no input",
    ] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn bad_usage_and_absent_brokers_have_their_codes() {
    let run = |words: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
        command.arg("dead-letters").args(words.split_whitespace());
        command.output().expect("the program starts")
    };
    for (words, named) in [
        ("replay", "--all"),
        ("replay --all --reason malformed", "--reason"),
        ("replay --partition 1", "--offset"),
        ("replay --all --value a", "--value"),
        ("replay --all --execute --dry-run", "--dry-run"),
        ("list --reason bad", "wrong_partition"),
        ("list --values", "--json"),
    ] {
        let output = run(words);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {error}");
        assert!(error.contains(named), "{words}: {error}");
    }
    let away = "--set rates=- --set kafka.bootstrap.servers=127.0.0.1:1 --timeout 1";
    for words in ["list", "replay --all"] {
        let output = run(&format!("{words} {away}"));
        assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    }
    for command in ["list", "replay"] {
        let help = run(&format!("{command} --help")).stdout;
        assert!(String::from_utf8_lossy(&help).contains("Examples:"));
    }
}
