//! Marked secrets and marked payloads in real runs, well and ill: then everything that the program
//! wrote is searched. A secret may be nowhere, a payload only where records are kept or shown.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use meterfold::wire::trace::base64;
use support::kafka::{Broker, NewRecord, Options, Record};
use support::processor::{DERIVED, PATIENCE, Setup};
use support::scene::{get, rates};
use support::tree;

/// Every secret begins so, and every part of a payload.
const SECRET: &str = "CANARY-secret";
const PAYLOAD: &str = "CANARY-payload";

const PASSWORD: &str = "CANARY-secret-sasl";
const PASSPHRASE: &str = "CANARY-secret-key";
const REGISTRY_PASSWORD: &str = "CANARY-secret-registry";
const TOKEN: &str = "CANARY-secret-token";

/// All contexts of the client library that may be switched on.
const DEBUG: &str = "generic,broker,topic,metadata,feature,queue,msg,protocol,cgrp,fetch,\
                     interceptor,plugin,consumer,admin,eos,mock,assignor,conf";

/// Schema ids that records of the test name.
const REFUSED_ID: u32 = 76;
const DENIED_ID: u32 = 77;

/// What was written where.
#[derive(Default)]
struct Written(Vec<(String, Vec<u8>)>);

impl Written {
    fn add(&mut self, place: &str, bytes: impl AsRef<[u8]>) {
        self.0.push((place.to_owned(), bytes.as_ref().to_vec()));
    }

    fn add_output(&mut self, place: &str, output: &Output) {
        self.add(&format!("{place}: stdout"), &output.stdout);
        self.add(&format!("{place}: stderr"), &output.stderr);
    }

    fn append(&mut self, other: Written) {
        self.0.extend(other.0);
    }

    #[track_caller]
    fn is_free_of(&self, marks: &[String]) {
        let mut found = Vec::new();
        for (place, bytes) in &self.0 {
            for mark in marks {
                if let Some(at) = position(bytes, mark.as_bytes()) {
                    let from = at.saturating_sub(120);
                    let to = (at + 80).min(bytes.len());
                    let text = String::from_utf8_lossy(&bytes[from..to]).into_owned();
                    found.push(format!("{place}: {mark}: …{text}…"));
                }
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

fn position(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// As they are, and as they go into a header of basic authentication.
fn secrets() -> Vec<String> {
    let credentials = base64(format!("registrar:{REGISTRY_PASSWORD}").as_bytes());
    // The end depends on the padding.
    vec![SECRET.to_owned(), credentials[..24].to_owned()]
}

fn secret_file(setup: &Setup<'_>, name: &str, content: &str) -> PathBuf {
    let file = setup.dir().join(name);
    fs::write(&file, content).expect("a file");
    file
}

/// A key under a passphrase and its certificate.
fn client_certificate(directory: &Path) -> (PathBuf, PathBuf) {
    let (key, certificate) = (directory.join("client.key"), directory.join("client.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-days", "1"])
        .args(["-subj", "/CN=client", "-passout"])
        .arg(format!("pass:{PASSPHRASE}"))
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl starts");
    assert!(made.status.success(), "{made:?}");
    (key, certificate)
}

/// A registry that knows no schema and has trouble with one; says which requests had credentials.
fn registry() -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let credentials = base64(format!("registrar:{REGISTRY_PASSWORD}").as_bytes());
    let answers = thread::spawn(move || {
        // Ends with the test.
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while position(&request, b"\r\n\r\n").is_none() {
                match stream.read(&mut piece) {
                    Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            if request.is_empty() {
                continue;
            }
            assert!(
                request.contains(&credentials),
                "without credentials: {request}"
            );
            let body = r#"{"error_code":40403,"message":"Schema not found"}"#;
            let status = match request.contains(&format!("/{REFUSED_ID}")) {
                true => "401 Unauthorized",
                false => "404 Not Found",
            };
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            );
        }
    });
    (url, answers)
}

/// A process with everything that it may say.
struct Run {
    child: Child,
    log: PathBuf,
}

impl Run {
    fn start(setup: &Setup<'_>, name: &str) -> Run {
        let log = setup.dir().join(format!("{name}.log"));
        let file = fs::File::create(&log).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_meterfold"))
            .args([
                "run",
                "--log-format",
                "json",
                "--log-level",
                "trace",
                "--config",
            ])
            .arg(setup.config(0))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Run { child, log }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).expect("a log")).into_owned()
    }

    fn wait_until(&mut self, what: &str, condition: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !condition(&self.said()) {
            let ended = self.child.try_wait().expect("a child");
            let is_late = began.elapsed() > PATIENCE;
            assert!(
                ended.is_none() && !is_late,
                "{what}: {ended:?}: {}",
                tail(&self.said())
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn ended(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(began.elapsed() < PATIENCE, "{}", tail(&self.said()));
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.expect("kill starts").success());
        assert_eq!(self.ended(), Some(0), "{}", tail(&self.said()));
    }

    fn address(&self) -> String {
        let said = self.said();
        let line = said.lines().find(|line| line.contains("http_listening"));
        let (_, rest) = line
            .expect("it listens")
            .split_once("127.0.0.1:")
            .expect("a port");
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        format!("127.0.0.1:{port}")
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(text: &str) -> String {
    let from = text.len().saturating_sub(4_000);
    text[text.ceil_char_boundary(from)..].to_owned()
}

fn command(setup: &Setup<'_>, words: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(words)
        .arg("--config")
        .arg(setup.config(0))
        .envs(variables.iter().copied())
        .output();
    output.expect("the program starts")
}

/// Good, late, malformed and misplaced, each marked wherever it can be.
fn records() -> Vec<NewRecord> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("a time");
    let time = meterfold::billing::time::Instant::from_millis(now.as_millis() as i64);
    let event = |subject: &str, id: &str, type_name: &str, data: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{PAYLOAD}-{id}","source":"/{PAYLOAD}-source","type":"{type_name}","subject":"{subject}","time":"{time}","data":{data}}}"#
        )
    };
    let call = "meterfold.api-call.v1";
    let data = format!(r#"{{"app_id":"{PAYLOAD}-app","api":"automation","engine":"autocad"}}"#);
    let team = format!("{PAYLOAD}-team");
    let framed = |id: u32| [&[0][..], &id.to_be_bytes(), PAYLOAD.as_bytes()].concat();
    let new = |value: &[u8]| NewRecord::new(0, &team, value);
    let free = event(
        &team,
        "enrol",
        "meterfold.offering-enrolled.v1",
        r#"{"offering":"free"}"#,
    );
    let bad_data = data.replace("\"api\"", &format!("\"quantity\":\"{PAYLOAD}\",\"api\""));
    let mut records = vec![
        new(free.as_bytes()),
        new(event(&team, "1", call, &data).as_bytes()),
        new(event(&team, "1", call, &data).as_bytes()),
        new(event(&team, "1", call, &data.replace("autocad", "3dsmax")).as_bytes()),
        new(event(&team, "2", call, &bad_data).as_bytes()),
        new(event(&team, "3", &format!("{PAYLOAD}.type"), &data).as_bytes()),
        new(event(&format!("{PAYLOAD}-other-team"), "4", call, &data).as_bytes()),
        new(format!("{{\"id\":\"{PAYLOAD}-cut").as_bytes()),
        new(PAYLOAD.as_bytes()),
        new(&[b"\xff\xfe", PAYLOAD.as_bytes()].concat()),
        new(&[b"\xc3\x01", PAYLOAD.as_bytes()].concat()),
        new(&framed(DENIED_ID)),
        new(data.as_bytes())
            .with_header("content-type", format!("application/{PAYLOAD}+json"))
            .with_header("ce_id", format!("{PAYLOAD}-header")),
        new(PAYLOAD.repeat(100_000).as_bytes()),
    ];
    records.push(NewRecord {
        key: None,
        ..new(event(&team, "5", call, &data).as_bytes())
    });
    records
}

fn parts(records: &[Record]) -> Vec<u8> {
    let mut all = Vec::new();
    for record in records {
        let headers = record
            .headers
            .iter()
            .flat_map(|(name, value)| [Some(name.as_bytes()), value.as_deref()]);
        let parts = [record.key.as_deref(), record.value.as_deref()];
        for part in parts.into_iter().chain(headers).flatten() {
            all.extend_from_slice(part);
            all.push(0);
        }
    }
    all
}

#[test]
fn marked_secrets_and_payloads_are_nowhere_they_should_not_be() {
    let broker = Broker::start_with(&Options {
        users: vec![("meterfold".into(), PASSWORD.into())],
        ..Options::default()
    });
    let mut setup = Setup::new(&broker, "canary", 1, &rates());
    setup.is_record_time = false;
    setup.create_topics();

    let password = secret_file(&setup, "password", PASSWORD);
    let passphrase = secret_file(&setup, "passphrase", PASSPHRASE);
    let registry_password = secret_file(&setup, "registry-password", REGISTRY_PASSWORD);
    let token = secret_file(&setup, "token", TOKEN);
    let (key, certificate) = client_certificate(setup.dir());
    let (registry, _answers) = registry();
    setup.bootstrap = broker.bootstrap_tls();
    setup.give_kafka(&[
        ("security.protocol", "sasl_ssl".to_owned()),
        ("ssl.ca.location", broker.ca().display().to_string()),
        ("ssl.key.location", key.display().to_string()),
        (
            "ssl.certificate.location",
            certificate.display().to_string(),
        ),
        ("ssl.key.password.file", passphrase.display().to_string()),
        ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
        ("sasl.username", "meterfold".to_owned()),
        ("sasl.password.file", password.display().to_string()),
        ("debug", DEBUG.to_owned()),
    ]);
    setup
        .extra
        .push(("", "on_wrong_partition = \"dead_letter\"".to_owned()));
    let token_line = format!("bearer_token_file = \"{}\"", token.display());
    setup.extra.push(("http", token_line));
    let registry_section = format!(
        "[registry]\nurl = \"{registry}\"\nusername = \"registrar\"\npassword_file = \"{}\"",
        registry_password.display()
    );
    setup.extra.push(("http", registry_section));

    // What may hold no secret and no payload, and what may hold payloads.
    let (mut bare, mut data) = (Written::default(), Written::default());

    let mut run = Run::start(&setup, "well");
    run.wait_until("it runs", |said| said.contains("partition_running"));
    broker.produce_all(&setup.topic("api-calls"), records());
    run.wait_until("all is folded", |_| setup.is_folded());
    let address = run.address();
    for path in [
        "/metrics",
        "/status",
        "/livez",
        "/readyz?verbose",
        "/startupz",
        "/none",
    ] {
        let (_, body) = get(&address, path);
        assert!(
            !body.is_empty() && !body.contains("CANARY"),
            "{path}: {body}"
        );
        bare.add(path, body);
    }
    for path in [
        format!("/v1/teams/{PAYLOAD}-team"),
        format!("/teams/{PAYLOAD}-team?token={TOKEN}x"),
    ] {
        data.add(&path, get(&address, &path).1.replace(TOKEN, ""));
    }

    // Trouble: brokers away, a registry that refuses, wrong credentials.
    broker.pause();
    run.wait_until("the brokers are missed", |said| {
        said.contains("kafka_client")
    });
    broker.resume();
    let refused = [&[0][..], &REFUSED_ID.to_be_bytes(), PAYLOAD.as_bytes()].concat();
    let record = NewRecord::new(0, format!("{PAYLOAD}-team"), refused);
    broker.produce_all(&setup.topic("api-calls"), [record]);
    run.wait_until("the registry refuses", |said| said.contains("HTTP 401"));
    run.stop();
    bare.add("log", run.said());
    assert!(run.said().len() > 100_000, "the client tells what it does");

    for words in [&["validate", "--against-cluster"][..], &["topics", "check"]] {
        let output = command(&setup, words, &[]);
        assert!(output.status.success(), "{output:?}");
        bare.add_output(&words.join(" "), &output);
    }
    for words in [
        &["dead-letters", "list"][..],
        &["dead-letters", "list", "--json", "--values"],
        &["dead-letters", "replay", "--reason", "malformed"],
    ] {
        data.add_output(&words.join(" "), &command(&setup, words, &[]));
    }

    for (place, file, right) in [
        ("a wrong password", &password, PASSWORD),
        ("a wrong passphrase", &passphrase, PASSPHRASE),
    ] {
        fs::write(file, format!("{SECRET}-wrong")).expect("a file");
        let mut run = Run::start(&setup, "ill");
        let code = run.ended();
        assert!(
            matches!(code, Some(4 | 6)),
            "{place}: {code:?}: {}",
            tail(&run.said())
        );
        bare.add(place, run.said());
        for words in [&["validate", "--against-cluster"][..], &["topics", "check"]] {
            let output = command(&setup, words, &[]);
            assert_eq!(output.status.code(), code, "{place}: {output:?}");
            bare.add_output(&format!("{place}: {}", words.join(" ")), &output);
        }
        fs::write(file, right).expect("a file");
    }
    // A secret where none may stand.
    let inline = format!("{SECRET}-inline");
    let flag = format!("kafka.sasl.password={inline}");
    for (words, variables) in [
        (
            &["validate"][..],
            &[("METERFOLD_KAFKA__SASL_PASSWORD", inline.as_str())][..],
        ),
        (&["validate", "--set", &flag], &[]),
    ] {
        let output = command(&setup, words, variables);
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        bare.add_output("inline", &output);
    }
    let printed = command(&setup, &["run", "--print-default-config"], &[]);
    bare.add_output("print-default-config", &printed);

    let mut topics = ["dead-letters", "changelog", "journal"].to_vec();
    topics.extend(DERIVED);
    for topic in topics {
        let records = broker.read_uncommitted(&setup.topic(topic));
        data.add(topic, parts(&records));
    }
    for (name, content) in tree(&setup.state(0)) {
        data.add(&format!("state: {name}"), content.unwrap_or_default());
    }

    // The search finds what is there: letters keep what was sent, and a file its secret.
    let letters = data.0.iter().find(|(place, _)| place == "dead-letters");
    assert!(position(&letters.expect("letters").1, PAYLOAD.as_bytes()).is_some());
    assert!(position(&fs::read(&password).expect("a file"), SECRET.as_bytes()).is_some());

    bare.is_free_of(&[PAYLOAD.to_owned()]);
    bare.append(data);
    bare.is_free_of(&secrets());
}
