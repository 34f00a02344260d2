//! `meterfold explain` and `replay --what-if` over a real Apache Kafka and over an archive of it: what
//! they say is what they say of the same events in a file, and what was published.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use support::kafka::Broker;
use support::processor::Setup;
use support::scene::Scene;

const UNTIL: &str = "2026-04-01T00:00:00Z";
const PROGRAM: &str = env!("CARGO_BIN_EXE_meterfold");

/// Everything folded in four commits or more, the first of which closes no month.
fn folded(name: &str) -> Scene<'static> {
    let mut scene = Scene::new(Broker::shared(), name, 2);
    for share in [60, 4, 2, 1] {
        scene.fold_share(share);
    }
    scene.setup.assert_derived(name, &scene.expected.derived);
    scene
}

fn archive(setup: &Setup) -> String {
    let to = setup.dir().join("archive");
    let mut command = Command::new(PROGRAM);
    command.args(["archive", "--config"]).arg(setup.config(7));
    succeed(command.arg("--to").arg(&to));
    to.to_str().expect("text").to_owned()
}

/// The same of the file that was produced.
fn explain_file(setup: &Setup, team: &str, month: &str) -> String {
    let mut command = Command::new(PROGRAM);
    command.args(["explain", "--format", "json", "--until", UNTIL]);
    command.args(["--team", team, "--month", month, "--rates"]);
    command.arg(&setup.rates);
    succeed(command.arg(setup.dir().join("input.ndjson")))
}

#[track_caller]
fn refuse(command: &mut Command, code: i32, word: &str) {
    let Output { status, stderr, .. } = command.output().expect("the program starts");
    let error = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "{word}: {error}");
    assert!(error.contains(word), "{word}: {error}");
}

#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout).expect("text")
}

/// `explain` of the log, with the configuration of instance 7.
fn explain(setup: &Setup, team: &str, month: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["explain", "--team", team, "--month", month]);
    command.arg("--config").arg(setup.config(7)).args(arguments);
    command
}

/// An explanation without the places of records, which differ, and what only a log has.
fn without_places(text: &str) -> Value {
    fn clear(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for place in ["first", "last", "position", "cap_reached"] {
                    if let Some(place) = members.get_mut(place) {
                        *place = Value::Null;
                    }
                }
                members.values_mut().for_each(clear);
            }
            Value::Array(items) => items.iter_mut().for_each(clear),
            _ => {}
        }
    }
    let mut value: Value = serde_json::from_str(text).expect("one object");
    let members = value.as_object_mut().expect("an object");
    members.shift_remove("journal_head");
    members.shift_remove("from_commit");
    members.shift_remove("decisions");
    clear(&mut value);
    value
}

fn invoices(derived: &[u8]) -> Vec<Value> {
    let lines = derived
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let events = lines.map(|line| serde_json::from_slice::<Value>(line).expect("JSON"));
    events
        .filter(|event| event["type"] == "meterfold.monthly-invoice.v1")
        .collect()
}

#[test]
fn an_invoice_is_explained_from_the_log_and_from_an_archive_as_from_a_file() {
    let mut scene = folded("explain_log");
    let setup = &mut scene.setup;
    let archive = archive(setup);
    let invoices = invoices(&scene.expected.derived);
    assert!(invoices.len() > 20, "{}", invoices.len());
    for (index, invoice) in invoices.iter().enumerate().step_by(9) {
        let team = invoice["subject"].as_str().expect("a team");
        let month = invoice["data"]["month"].as_str().expect("a month");
        let place = format!("{team} {month}");
        let json = ["--format", "json", "--archive", &archive];
        let of_archive = succeed(&mut explain(setup, team, month, &json));
        let told: Value = serde_json::from_str(&of_archive).expect("one object");
        let mut published = invoice["data"].clone();
        let members = published.as_object_mut().expect("data");
        members.shift_remove("cause");
        assert_eq!(told["invoice"], published, "{place}");
        assert_eq!(told["decisions"], serde_json::json!([]), "{place}");
        assert!(of_archive.contains(&setup.topic("api-calls")), "{place}");
        let of_file = explain_file(setup, team, month);
        let (found, wanted) = (without_places(&of_archive), without_places(&of_file));
        assert_eq!(format!("{found:#}"), format!("{wanted:#}"), "{place}");
        if index == 0 {
            let of_log = succeed(&mut explain(setup, team, month, &json[..2]));
            assert_eq!(of_log, of_archive, "{place}");
            let text = succeed(&mut explain(setup, team, month, &json[2..]));
            assert!(text.contains("journal head"), "{text}");
        }
    }
    refuses(setup, &invoices[0], &archive);
}

/// What cannot be explained, and why.
fn refuses(setup: &mut Setup, invoice: &Value, archive: &str) {
    let team = invoice["subject"].as_str().expect("a team");
    let month = invoice["data"]["month"].as_str().expect("a month");
    let of_archive = ["--archive", archive];
    let mut unknown = explain(setup, "nobody", month, &of_archive);
    refuse(&mut unknown, 2, "nobody");
    let mut later = explain(setup, team, "2027-01", &of_archive);
    refuse(&mut later, 2, "has not begun");
    let mut meter = explain(
        setup,
        team,
        month,
        &["--archive", archive, "--line", "none"],
    );
    refuse(&mut meter, 2, "no such meter");
    let mut both = explain(setup, team, month, &["events.ndjson"]);
    refuse(&mut both, 2, "cannot be used with");
    setup.bootstrap = "127.0.0.1:1".to_owned();
    let mut unreachable = explain(setup, team, month, &["--timeout", "1"]);
    refuse(&mut unreachable, 5, "127.0.0.1:1");
    // A byte of any input file of the team's partition.
    for partition in 0..2 {
        let folder = Path::new(archive).join(format!("partition-{partition}"));
        for file in fs::read_dir(folder).expect("a folder").flatten() {
            if file.file_name().to_string_lossy().starts_with("input-0") {
                let mut bytes = fs::read(file.path()).expect("a file");
                bytes[20] ^= 1;
                fs::write(file.path(), bytes).expect("a file");
            }
        }
    }
    refuse(&mut explain(setup, team, month, &of_archive), 3, "input-0");
}

/// What was folded before an archive was begun is known by its sums.
#[test]
fn an_archive_that_begins_late_explains_the_months_after_it() {
    let mut scene = Scene::new(Broker::shared(), "explain_late", 2);
    scene.fold_share(4);
    let (broker, input) = (scene.setup.broker, scene.setup.topic("api-calls"));
    for (partition, end) in (0..).zip(broker.end_offsets(&input)) {
        broker.delete_records(&input, partition, end);
    }
    archive(&scene.setup);
    scene.produce_rest();
    scene.fold_share(1);
    let setup = &mut scene.setup;
    let archive = archive(setup);
    setup.bootstrap = "127.0.0.1:1".to_owned();
    let invoices = invoices(&scene.expected.derived);
    let of_month = |month: &str| {
        let invoices = invoices.iter().filter(|it| it["data"]["month"] == month);
        let teams = invoices.map(|it| it["subject"].as_str().expect("a team"));
        teams.collect::<Vec<_>>()
    };
    let after = of_month("2026-02");
    assert!(after.len() > 8, "{after:?}");
    let mut bought_before = 0;
    for team in after.into_iter().step_by(4) {
        let json = ["--format", "json", "--archive", &archive];
        let of_archive = succeed(&mut explain(setup, team, "2026-02", &json));
        let told: Value = serde_json::from_str(&of_archive).expect("one object");
        assert!(told["from_commit"].as_u64() > Some(0), "{team}: {told:#}");
        let lots = told["lots"].as_array().expect("lots").iter();
        bought_before += lots.filter(|lot| lot["position"].is_null()).count();
        let of_file = explain_file(setup, team, "2026-02");
        let [mut found, mut wanted] = [&of_archive, &of_file].map(|text| without_places(text));
        for value in [&mut found, &mut wanted] {
            let happened = value["happened"].as_array_mut().expect("a list");
            happened.retain(|it| it["time"].as_str() >= Some("2026-02"));
        }
        assert_eq!(format!("{found:#}"), format!("{wanted:#}"), "{team}");
        let text = succeed(&mut explain(setup, team, "2026-02", &json[2..]));
        assert!(text.contains("the state kept after commit"), "{text}");
    }
    assert!(bought_before > 0, "lots from before, without a position");
    let before = of_month("2026-01");
    let of_archive = ["--archive", archive.as_str()];
    let mut earlier = explain(setup, before[0], "2026-01", &of_archive);
    refuse(&mut earlier, 10, "give a later month");
    let mut what_if = Command::new(PROGRAM);
    what_if.args(["replay", "--archive", &archive, "--config"]);
    what_if
        .arg(setup.config(7))
        .arg("--what-if")
        .arg(&setup.rates);
    what_if.arg("--out").arg(setup.dir().join("out"));
    refuse(&mut what_if, 10, "no kept state stands in for them");
}

#[test]
fn another_book_makes_of_the_log_and_of_an_archive_what_it_makes_of_a_file() {
    let scene = folded("what_if_log");
    let setup = &scene.setup;
    let archive = archive(setup);
    let text = fs::read_to_string(&setup.rates).expect("the book");
    let dearer = setup.dir().join("dearer.json");
    assert!(text.contains("\"3.00\""), "{text}");
    fs::write(&dearer, text.replace("\"3.00\"", "\"3.07\"")).expect("a file");
    let what_if = |name: &str| {
        let mut command = Command::new(PROGRAM);
        let out = setup.dir().join(name);
        command
            .args(["replay", "--threads", "2", "--out"])
            .arg(&out);
        command.arg("--what-if").arg(&dearer);
        (command, out)
    };
    let (mut of_file, file_out) = what_if("of-file");
    of_file
        .args(["--until", UNTIL, "--rates"])
        .arg(&setup.rates);
    of_file.arg(setup.dir().join("input.ndjson"));
    let table = succeed(&mut of_file);
    let compared = |table: &str| {
        let at = table.find("Under the other rate book").expect("a verdict");
        table[at..].to_owned()
    };
    let (mut of_archive, archive_out) = what_if("of-archive");
    let of_archive = of_archive.arg("--config").arg(setup.config(7));
    let said = succeed(of_archive.args(["--archive", &archive]));
    let (mut of_log, log_out) = what_if("of-log");
    let said_of_log = succeed(of_log.arg("--config").arg(setup.config(7)));
    assert_eq!(compared(&said), compared(&table));
    assert_eq!(compared(&said_of_log), compared(&table));
    for file in ["what-if.ndjson", "derived.ndjson", "accounts.ndjson"] {
        let read = |out: &Path| fs::read_to_string(out.join(file)).expect("an output");
        let wanted = read(&file_out);
        assert!(wanted.lines().count() > 5, "{file}: {wanted}");
        assert!(read(&archive_out) == wanted, "{file} of the archive");
        assert!(read(&log_out) == wanted, "{file} of the log");
    }
    assert!(!archive_out.join("dead-letters.ndjson").exists());
    let (mut without, _) = what_if("without");
    let missing = without.output().expect("the program starts");
    assert_eq!(missing.status.code(), Some(2), "neither files nor a log");
}
