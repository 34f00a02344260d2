//! The HTTP server over real sockets: probes in every state of the process, both formats of metrics,
//! errors, and that no client can hold more than its limits.

#[path = "http/client.rs"]
mod client;
#[path = "telemetry/exposition.rs"]
mod exposition;
#[path = "http/requests.rs"]
mod requests;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use client::{check_problem, get, send};
use meterfold::http::{self, Authentication, Limits, Owners, Queries, Server};
use meterfold::store::views::Views;
use meterfold::telemetry::{
    Halt, PartitionState, PartitionStatus, Settings, Telemetry, WorkerState,
};
use serde_json::Value;

const ANY_PORT: &str = "127.0.0.1:0";

#[test]
fn probes_follow_the_process() {
    let (server, telemetry) = serve(Limits::default());
    let probe = |path| get(server.address(), path);
    let not_ready = |reason: &str| {
        assert_eq!(probe("/livez").status, 200);
        let answer = probe("/readyz");
        assert_eq!(answer.status, 503);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        let reasons = &answer.json()["reasons"];
        assert_eq!(reasons, &serde_json::json!([reason]), "{}", answer.body);
    };
    let set_partition = |state| {
        let status = PartitionStatus {
            state,
            ..PartitionStatus::restoring(4)
        };
        telemetry.publish_partition(0, status);
    };

    // Nothing has begun.
    assert_eq!(probe("/livez").status, 200);
    let starting = probe("/startupz");
    assert_eq!(starting.status, 503);
    assert!(
        starting.body.contains("worker 0: its loop has not begun"),
        "{}",
        starting.body
    );
    not_ready("worker 0: has not joined the group yet");
    assert_eq!(state(&server), "starting");

    // The loop turns, the brokers are away: live, started, not ready (F36).
    telemetry.heartbeat(0);
    let reason = String::from("no broker answers");
    telemetry.set_worker_state(0, WorkerState::WaitingForKafka { reason });
    assert_eq!(probe("/startupz").status, 200);
    not_ready("worker 0: waits for Kafka: no broker answers");
    assert_eq!(state(&server), "waiting_for_kafka");

    telemetry.set_worker_state(0, WorkerState::Joined);
    assert_eq!(probe("/readyz").status, 200);
    assert_eq!(state(&server), "running");

    set_partition(PartitionState::Restoring {
        applied: 7,
        wanted: 90,
    });
    not_ready("partition 4: restores its state: 7 of about 90 records");
    assert_eq!(state(&server), "restoring");

    set_partition(PartitionState::Running);
    assert_eq!(probe("/readyz").status, 200);
    assert_eq!(probe("/readyz").body, "ok\n");
    let verbose = probe("/readyz?verbose");
    assert_eq!(verbose.body, "ok\nworker 0: joined\npartition 4: running\n");

    let reason = String::from("CLOCK_JUMP: a record is 11 minutes ahead");
    set_partition(PartitionState::Waiting { reason });
    not_ready("partition 4: waits: CLOCK_JUMP: a record is 11 minutes ahead");

    set_partition(PartitionState::Halted {
        halt: Halt::LogTruncated,
        text: "api-calls ends at 90, META stands at 100".into(),
    });
    let remedy = Halt::LogTruncated.remedy();
    not_ready(&format!(
        "partition 4: halted LOG_TRUNCATED: api-calls ends at 90, META stands at 100; {remedy}"
    ));
    assert_eq!(state(&server), "halted");

    telemetry.withdraw_partition(0, 4);
    assert_eq!(probe("/readyz").status, 200);

    telemetry.set_worker_state(0, WorkerState::Draining);
    not_ready("worker 0: is stopping");
    assert_eq!(state(&server), "draining");

    let reason = String::from("a producer of the same identity");
    telemetry.set_worker_state(0, WorkerState::Fenced { reason });
    not_ready("worker 0: was fenced: a producer of the same identity");
    assert_eq!(state(&server), "fenced");
}

#[test]
fn metrics_come_in_the_format_that_was_asked_for() {
    let (server, _telemetry) = serve(Limits::default());
    let classic = get(server.address(), "/metrics");
    assert_eq!(classic.status, 200);
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(classic.header("content-type"), Some(content_type));
    let samples = exposition::classic(&classic.body);
    samples.check("meterfold_http_connections", "", 1.0);

    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let request = format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{accept}Connection: close\r\n\r\n");
    let open = send(server.address(), request.as_bytes());
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(content_type));
    let samples = exposition::open_metrics(&open.body);
    let of_metrics = r#"{code="200",path="/metrics"}"#;
    samples.check("meterfold_http_requests_total", of_metrics, 1.0);
    samples.check(
        "meterfold_http_request_duration_seconds_count",
        r#"{path="/metrics"}"#,
        1.0,
    );
}

/// Partitions come and go while many scrape: each scrape is whole.
#[test]
fn scrapes_at_once_do_not_meet() {
    let (server, telemetry) = serve(Limits::default());
    let publish = |partition| {
        let status = PartitionStatus::restoring(partition);
        telemetry.publish_partition(0, status);
    };
    publish(1);
    let address = server.address();
    let scrapers: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..10 {
                    let samples = exposition::classic(&get(address, "/metrics").body);
                    samples.check(
                        "meterfold_conservation_residual_records",
                        r#"{partition="1"}"#,
                        0.0,
                    );
                    let owned = samples.value("meterfold_assigned_partitions", "");
                    let gaps = samples
                        .series("meterfold_conservation_residual_records")
                        .count();
                    assert_eq!(gaps as f64, owned);
                }
            })
        })
        .collect();
    while !scrapers.iter().all(std::thread::JoinHandle::is_finished) {
        publish(2);
        std::thread::sleep(Duration::from_millis(1));
        telemetry.withdraw_partition(0, 2);
        std::thread::sleep(Duration::from_millis(1));
    }
    for scraper in scrapers {
        scraper.join().expect("every scrape was whole");
    }
}

#[test]
fn the_status_names_halts_and_their_remedies() {
    let (server, telemetry) = serve(Limits::default());
    let status = PartitionStatus {
        state: PartitionState::Halted {
            halt: Halt::StateAhead,
            text: "META 9, witness 7".into(),
        },
        sequence: 9,
        committed_sequence: Some(7),
        clock_millis: Some(1_767_225_600_000),
        state_digest: "00ff".into(),
        ..PartitionStatus::restoring(4)
    };
    telemetry.publish_partition(0, status);
    let answer = get(server.address(), "/status");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    assert_eq!(document["application"], "meterfold");
    assert_eq!(document["version"], "1.2.3");
    assert_eq!(document["state"], "halted");
    assert_eq!(document["ready"], false);
    assert_eq!(document["workers"][0]["state"], "starting");
    let partition = &document["partitions"][0];
    assert_eq!(partition["partition"], 4);
    assert_eq!(partition["halt"]["code"], "STATE_AHEAD");
    assert_eq!(partition["halt"]["text"], "META 9, witness 7");
    assert_eq!(partition["halt"]["remedy"], Halt::StateAhead.remedy());
    assert_eq!(partition["sequence"], 9);
    assert_eq!(partition["committed_sequence"], 7);
    assert_eq!(partition["clock"], "2026-01-01T00:00:00Z");
    assert_eq!(partition["state_digest"], "00ff");
}

#[test]
fn errors_are_problems_that_repeat_nothing() {
    let (server, _telemetry) = serve(Limits::default());
    let lost = get(server.address(), "/canary-5417?canary-5417");
    assert_eq!(lost.status, 404);
    check_problem(&lost, 404, "Not Found");
    assert!(!lost.whole.contains("canary-5417"));

    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = format!(
            "{method} /status HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let refused = send(server.address(), request.as_bytes());
        check_problem(&refused, 405, "Method Not Allowed");
        assert_eq!(refused.header("allow"), Some("GET, HEAD"), "{method}");
    }
    let head = send(
        server.address(),
        b"HEAD /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert_eq!((head.status, head.body.as_str()), (503, ""));
    let samples = exposition::classic(&get(server.address(), "/metrics").body);
    let count = |labels| samples.value("meterfold_http_requests_total", labels);
    assert_eq!(count(r#"{code="404",path="other"}"#), 1.0);
    // 405 is none of the codes that are told apart.
    assert_eq!(count(r#"{code="other",path="/status"}"#), 5.0);
    assert_eq!(count(r#"{code="503",path="/readyz"}"#), 1.0);
}

#[test]
fn what_is_no_request_is_refused_and_harms_nobody() {
    let (server, _telemetry) = serve(Limits::default());
    let of = |request: &[u8]| send(server.address(), request).status;
    assert_eq!(
        of(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        400
    );
    assert_eq!(of(b"GET /livez HTTP/9.9\r\n\r\n"), 400);
    assert_eq!(
        of(b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
        400
    );
    let smuggled =
        b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(of(smuggled), 400);
    wait_until("all are counted", || refused(&server, "400") == 4.0);
    let mut stream = connect(server.address());
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    check_closed(&mut stream, Duration::from_secs(2));
    wait_until("the connection is dropped", || dropped(&server) == 1.0);
    assert_eq!(get(server.address(), "/livez").status, 200);
}

/// RFC 9112 3.2: one Host, which is how older clients differ.
#[test]
fn a_request_without_one_host_is_refused() {
    let (server, _telemetry) = serve(Limits::default());
    let of = |version: &str, hosts: &str| {
        let request = format!("GET /livez HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        send(server.address(), request.as_bytes())
    };
    check_problem(&of("1.1", ""), 400, "Bad Request");
    check_problem(&of("1.1", "Host: a\r\nHost: a\r\n"), 400, "Bad Request");
    assert_eq!(of("1.1", "Host:\r\n").status, 200);
    assert_eq!(of("1.0", "").status, 200);
}

#[test]
fn a_long_head_is_refused() {
    let (server, _telemetry) = serve(Limits::default());
    let limits = Limits::default();
    let request = |fields: &str| {
        format!("GET /livez HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n")
    };
    let of = |fields: &str| send(server.address(), request(fields).as_bytes()).status;
    let long = "a".repeat(limits.header_bytes_max);
    assert_eq!(of(&format!("Cookie: {long}\r\n")), 431);
    assert_eq!(of(&"A: b\r\n".repeat(limits.header_fields_max - 1)), 431);
    assert_eq!(of(&"A: b\r\n".repeat(limits.header_fields_max - 2)), 200);
    wait_until("both are counted", || refused(&server, "other") == 2.0);
    assert_eq!(
        of(&format!("Cookie: {}\r\n", &long[..long.len() - 100])),
        200
    );
}

#[test]
fn a_body_is_not_read() {
    let (server, _telemetry) = serve(Limits::default());
    let mut stream = connect(server.address());
    let head = "GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let begun = Instant::now();
    // Writes until the server has enough of it.
    let piece = [b'x'; 1 << 16];
    let mut written = 0;
    while begun.elapsed() < Duration::from_secs(5) && stream.write_all(&piece).is_ok() {
        written += piece.len();
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{written} bytes were taken"
    );
    assert!(written < 64 << 20, "{written} bytes were taken");

    // One that came with its head is passed over, and the next request is read behind it.
    for (field, body) in [
        ("Content-Length: 5", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let next = "GET /canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let both = format!("GET /livez HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n{body}{next}");
        let whole = send(server.address(), both.as_bytes()).whole;
        let codes: Vec<&str> = whole
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|it| &it[..3])
            .collect();
        assert_eq!(codes, ["200", "404"], "{field}");
    }
}

#[test]
fn a_client_that_is_slow_to_ask_is_dropped() {
    let limits = Limits {
        header_time_max: Duration::from_millis(300),
        ..Limits::default()
    };
    let (server, _telemetry) = serve(limits);
    let mut stream = connect(server.address());
    let begun = Instant::now();
    // A letter now and then is not enough.
    let mut letters = b"GET /livez HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter();
    while begun.elapsed() < Duration::from_secs(5) {
        let Some(letter) = letters.next() else { break };
        if stream.write_all(&[*letter]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    check_closed(&mut stream, Duration::from_secs(1));
    assert_eq!(dropped(&server), 1.0);
}

#[test]
fn a_connection_that_lies_idle_is_closed() {
    let limits = Limits {
        header_time_max: Duration::from_millis(300),
        ..Limits::default()
    };
    let (server, _telemetry) = serve(limits);
    let mut stream = connect(server.address());
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    check_closed(&mut stream, Duration::from_secs(2));
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    let limits = Limits {
        age_max: Duration::from_millis(500),
        ..Limits::default()
    };
    let (server, _telemetry) = serve(limits);
    let mut stream = connect(server.address());
    // Asks and asks and takes no answer, until nothing fits into the socket any more.
    let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) && stream.write_all(&request).is_ok() {}
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(get(server.address(), "/livez").status, 200);
    wait_until("the connection is dropped", || dropped(&server) == 1.0);
}

/// F73.
#[test]
fn two_hundred_slow_clients_keep_no_probe_out() {
    let (server, _telemetry) = serve(Limits::default());
    let slow: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = connect(server.address());
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    for _ in 0..50 {
        assert_eq!(get(server.address(), "/livez").status, 200);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let samples = exposition::classic(&get(server.address(), "/metrics").body);
    assert!(samples.value("meterfold_http_connections", "") >= 200.0);
    assert_eq!(dropped(&server), 0.0);
    drop(slow);
    wait_until("only the one that asks is open", || {
        let samples = exposition::classic(&get(server.address(), "/metrics").body);
        samples.value("meterfold_http_connections", "") == 1.0
    });
}

#[test]
fn one_connection_too_many_takes_the_place_of_the_oldest() {
    let limits = Limits {
        connections_max: 8,
        ..Limits::default()
    };
    let (server, _telemetry) = serve(limits);
    let mut held: Vec<TcpStream> = (0..8).map(|_| connect(server.address())).collect();
    assert_eq!(get(server.address(), "/livez").status, 200);
    check_closed(&mut held[0], Duration::from_secs(2));
    // The others were left alone.
    for stream in &mut held[1..] {
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

#[test]
fn a_port_that_is_taken_is_named_with_the_remedy() {
    let (server, telemetry) = serve(Limits::default());
    let Err(error) = http::serve(server.address(), &telemetry, no_teams(), Limits::default())
    else {
        panic!("two servers on one port");
    };
    let text = error.to_string();
    assert!(text.contains(&server.address().to_string()), "{text}");
    assert!(
        text.starts_with("http.listen") && text.contains("choose another address"),
        "{text}"
    );
}

#[test]
fn a_stopped_server_ends_its_answers_and_leaves_its_port() {
    let (server, telemetry) = serve(Limits::default());
    let address = server.address();
    let mut idle = connect(address);
    let mut half = connect(address);
    half.write_all(b"GET /livez HTTP/1.1\r\nHost:").unwrap();
    assert_eq!(get(address, "/livez").status, 200);
    let begun = Instant::now();
    server.stop();
    // Well before the two seconds after which everything is cut off.
    let stopped = begun.elapsed();
    assert!(stopped < Duration::from_millis(1_800), "{stopped:?}");
    check_closed(&mut idle, Duration::from_secs(1));
    check_closed(&mut half, Duration::from_secs(1));
    assert!(TcpStream::connect(address).is_err());
    let again =
        http::serve(address, &telemetry, no_teams(), Limits::default()).expect("the port is free");
    assert_eq!(get(again.address(), "/livez").status, 200);
}

fn serve(limits: Limits) -> (Server, Telemetry) {
    let mut settings = Settings {
        application: "meterfold".into(),
        instance: "a".into(),
        workers: 1,
        topics: vec!["api-calls".into()],
        partitions: 8,
        ..Settings::default()
    };
    settings.build.version = "1.2.3".into();
    let telemetry = Telemetry::new(settings);
    let server = http::serve(ANY_PORT.parse().unwrap(), &telemetry, no_teams(), limits).unwrap();
    (server, telemetry)
}

/// No partition runs here; `http_teams.rs` is about those that do.
fn no_teams() -> Queries {
    let authentication = Authentication::new(ANY_PORT.parse().unwrap(), None).unwrap();
    let owners = Owners::new(None, || Ok(BTreeMap::new()));
    Queries::new(Views::default(), 8, authentication, owners)
}

fn connect(address: SocketAddr) -> TcpStream {
    client::connect(address)
}

fn state(server: &Server) -> String {
    let document: Value = get(server.address(), "/status").json();
    document["state"].as_str().expect("a word").to_owned()
}

fn dropped(server: &Server) -> f64 {
    let samples = exposition::classic(&get(server.address(), "/metrics").body);
    samples.value("meterfold_http_connections_dropped_total", "")
}

/// Heads that were no request.
fn refused(server: &Server, code: &str) -> f64 {
    let labels = format!(r#"{{code="{code}",path="other"}}"#);
    let samples = exposition::classic(&get(server.address(), "/metrics").body);
    samples.value("meterfold_http_requests_total", &labels)
}

/// The server closes the connection within this time.
#[track_caller]
fn check_closed(stream: &mut TcpStream, within: Duration) {
    stream.set_read_timeout(Some(within)).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("still open: {error}"),
    }
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
