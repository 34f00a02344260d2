//! `meterfold validate` and the configuration from outside, without a broker: exit codes, all faults
//! at once, no secret on any stream, and that the documents say what the program does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use meterfold::config::Config;
use tempfile::TempDir;

const KAFKA: &str = "[kafka]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A directory with `meterfold.toml`, its book in place of BOOK.
fn written(text: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let book = project("schemas/rates/aps-example.json");
    let text = text.replace("BOOK", book.to_str().unwrap());
    std::fs::write(directory.path().join("meterfold.toml"), text).unwrap();
    directory
}

fn meterfold(directory: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .current_dir(directory.path())
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn validate(directory: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let all = [&["validate", "--config", "meterfold.toml"], arguments].concat();
    meterfold(directory, &all, variables)
}

#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty());
    error
}

#[test]
fn files_of_tls_must_be_there() {
    let ca = "\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"ca.pem\"\n";
    let directory = written(&format!("rates = \"BOOK\"\n{KAFKA}{ca}"));
    let said = refused(&validate(&directory, &[], &[]), 4);
    assert!(
        said.contains("kafka.\"ssl.ca.location\": ca.pem: No such file"),
        "{said}"
    );
    std::fs::write(directory.path().join("ca.pem"), "").unwrap();
    assert!(validate(&directory, &[], &[]).status.success());
}

#[test]
fn a_valid_configuration() {
    let directory = written(&format!("rates = \"BOOK\"\n{KAFKA}"));
    let output = validate(&directory, &[], &[]);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "configuration and rate book aps-example are valid\n"
    );
    // Nothing but variables does too.
    let book = project("schemas/rates/aps-example.json");
    let output = meterfold(
        &directory,
        &["validate"],
        &[
            ("METERFOLD_RATES", book.to_str().unwrap()),
            ("METERFOLD_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ],
    );
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn every_fault_of_every_layer_is_a_line() {
    let directory = written("workers = 65\n[topics]\npartition = 4\n");
    let variables = [("METERFOLD_LINGER_MS", "soon")];
    let error = refused(
        &validate(&directory, &["--set", "commit.cells=1"], &variables),
        4,
    );
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "meterfold.toml:3: there is no key \"topics.partition\"; did you mean topics.partitions?",
            "--set: there is no key \"commit.cells\"; did you mean commit.cells_max?",
            "meterfold.toml:1: workers: \"65\" is refused; give a number from 1 to 64",
            "configuration: rates: is missing; give a path",
            "environment variable METERFOLD_LINGER_MS: linger_ms: \"soon\" is refused; give a number \
             from 0 to 600000",
            "configuration: kafka.\"bootstrap.servers\": is missing; give the brokers, as \
             HOST:PORT,HOST:PORT",
        ]
    );
}

#[test]
fn what_stands_behind_the_keys_is_checked() {
    for (text, words) in [
        (
            format!("rates = \"none.json\"\n{KAFKA}"),
            "none.json: No such file",
        ),
        (
            format!("rates = \"meterfold.toml\"\n{KAFKA}"),
            "meterfold.toml: ",
        ),
        (
            format!("rates = \"BOOK\"\n{KAFKA}linger.ms = \"soon\"\n"),
            "kafka.\"linger.ms\": Invalid value",
        ),
    ] {
        let error = refused(&validate(&written(&text), &[], &[]), 4);
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = refused(
        &meterfold(&written(""), &["validate", "--config", "none.toml"], &[]),
        4,
    );
    assert!(error.contains("none.toml: cannot be read"), "{error}");
    let error = refused(&validate(&written(""), &["--set", "workers"], &[]), 2);
    assert!(
        error.contains("write it like topics.partitions=4"),
        "{error}"
    );
}

#[test]
fn plain_text_is_refused_unless_it_is_allowed() {
    let text = "rates = \"BOOK\"\n[kafka]\n\"bootstrap.servers\" = \"kafka:9092\"\n\
                [registry]\nurl = \"http://registry:8081\"\n";
    let directory = written(text);
    // Of every command that reads a configuration, before it does anything.
    for command in [
        "validate",
        "run",
        "topics create",
        "audit --all --month last",
    ] {
        let command: Vec<&str> = command.split_whitespace().collect();
        let all = [&command[..], &["--config", "meterfold.toml"]].concat();
        let error = refused(&meterfold(&directory, &all, &[]), 4);
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{command:?}: {error}");
        for (line, words) in lines.iter().zip([
            "configuration: kafka.\"security.protocol\": plain text to kafka:9092 is refused: ",
            "meterfold.toml:5: registry.url: \"http://registry:8081\" is refused: ",
        ]) {
            assert!(line.contains(words), "{command:?}: {error}");
            assert!(line.ends_with(", or set insecure = true"), "{error}");
        }
    }
    let output = validate(&directory, &[], &[("METERFOLD_INSECURE", "true")]);
    assert!(output.status.success(), "{output:?}");
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        warnings.lines().collect::<Vec<_>>(),
        ["kafka:9092", "http://registry:8081"].map(|peer| format!(
            "warning: {peer} is reached in plain text; use TLS and remove insecure"
        ))
    );
}

/// For machines: a failure of `run` is one line of JSON, whatever it is about.
#[test]
fn a_run_says_in_json_why_it_failed() {
    let directory = written("workers = 65\n");
    let run = |more: &[&str]| {
        let arguments = [
            &["run", "--config", "meterfold.toml", "--log-format", "json"],
            more,
        ];
        meterfold(&directory, &arguments.concat(), &[])
    };
    let error = refused(&run(&[]), 4);
    assert_eq!(error.lines().count(), 1, "{error}");
    let line: serde_json::Value = serde_json::from_str(&error).expect("JSON");
    assert_eq!(line["event"], "failed");
    assert_eq!(line["level"], "error");
    assert_eq!(line["exit_code"], 4);
    let message = line["msg"].as_str().expect("words");
    assert!(
        message.lines().count() > 1 && message.contains("workers"),
        "{message}"
    );
    let time = line["ts"]
        .as_str()
        .and_then(meterfold::billing::time::Instant::parse);
    assert!(time.is_some(), "{error}");

    // What comes later has lines of the log before it, of the same form.
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap();
    let text =
        "rates = \"BOOK\"\ninsecure = true\n[kafka]\n\"bootstrap.servers\" = \"kafka:9092\"\n";
    let directory = written(&format!("{text}[http]\nlisten = \"{address}\"\n"));
    let arguments = ["run", "--config", "meterfold.toml", "--log-format", "json"];
    let error = refused(&meterfold(&directory, &arguments, &[]), 1);
    let lines: Vec<serde_json::Value> = error
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let events: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["event"].as_str())
        .collect();
    assert_eq!(events, ["plain_text", "failed"], "{error}");
}

#[test]
fn secrets_are_on_no_stream() {
    let directory = written(&format!(
        "rates = \"BOOK\"\n{KAFKA}\"sasl.password\" = \"canary-1\"\n\"ssl.key.password\" = \"canary-2\"\n\
         \"socket.timeout.ms.file\" = \"secret\"\n"
    ));
    std::fs::write(directory.path().join("secret"), "canary-3").unwrap();
    let variables = [("METERFOLD_KAFKA__SSL_KEYSTORE_PASSWORD", "canary-4")];
    let error = refused(&validate(&directory, &[], &variables), 4);
    assert!(error.contains("sasl.password.file") && error.contains("ssl.key.password.file"));
    assert!(!error.contains("canary"), "{error}");
    let directory = written(&format!(
        "rates = \"BOOK\"\n{KAFKA}\"socket.timeout.ms.file\" = \"secret\"\n"
    ));
    std::fs::write(directory.path().join("secret"), "canary-3").unwrap();
    let error = refused(&validate(&directory, &[], &[]), 4);
    assert!(
        error.contains("socket.timeout.ms") && !error.contains("canary"),
        "{error}"
    );
}

#[test]
fn the_printed_default_configuration_is_one() {
    let directory = written("");
    let output = meterfold(&directory, &["validate", "--print-default-config"], &[]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, Config::default_document());
    std::fs::write(directory.path().join("meterfold.toml"), text).unwrap();
    let error = refused(&validate(&directory, &[], &[]), 4);
    assert_eq!(
        error.lines().count(),
        2,
        "only what is required is missing: {error}"
    );
}

/// `docs/configuration.md` holds what the program writes of its keys.
#[test]
fn the_guide_says_what_the_program_does() {
    let path = project("docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("<!-- begin -->\n").expect("begin");
    let (written, tail) = rest.split_once("<!-- end -->").expect("end");
    let wanted = format!("\n{}\n", Config::reference());
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        let text = format!("{head}<!-- begin -->\n{wanted}<!-- end -->{tail}");
        std::fs::write(&path, text).unwrap();
        return;
    }
    assert_eq!(written, wanted, "run this test with UPDATE_DOCUMENTS=1");
}

/// What would do nothing beside the others is refused.
#[test]
fn an_option_that_would_be_ignored_is_refused() {
    let directory = written(&format!("rates = \"BOOK\"\n{KAFKA}"));
    let book = project("schemas/rates/aps-example.json");
    let of_files = |command: &str| {
        let rest = "--rates BOOK events.ndjson".replace("BOOK", book.to_str().unwrap());
        format!("{command} {rest}")
    };
    let explain = of_files("explain --team t --month 2026-01");
    let replay = of_files("replay --out out");
    let month = "--month 2026-01 --archive archive";
    let generate = "generate --teams 1 --events 50 --months 2026-01..2026-01";
    for (command, option) in [
        (explain.as_str(), "--set a=b"),
        (&explain, "--timeout 3"),
        (&replay, "--set a=b"),
        (&replay, "--timeout 3"),
        (&format!("explain --team t {month}"), "--timeout 3"),
        (&format!("explain --team t {month}"), "--threads 2"),
        (&format!("audit --all {month}"), "--timeout 3"),
        ("audit --chain-only", "--work-dir dir"),
        (
            "replay --what-if b.json --out out --archive a",
            "--timeout 3",
        ),
        ("validate", "--timeout 3"),
        ("validate --print-default-config", "--set a=b"),
        ("validate --print-default-config", "--against-cluster"),
        (generate, "--timeout 3"),
        (generate, "--insecure"),
    ] {
        let all = format!("{command} {option}");
        let all: Vec<&str> = all.split_whitespace().collect();
        let error = refused(&meterfold(&directory, &all, &[]), 2);
        let name = option.split_whitespace().next().unwrap();
        assert!(
            error.contains(name) || error.contains("--against-cluster"),
            "{all:?}: {error}"
        );
    }
    assert!(!directory.path().join("out").exists());
}
