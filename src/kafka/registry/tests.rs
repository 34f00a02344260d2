//! The client against a small server that answers as it is told; a real registry is met in
//! `tests/kafka_registry.rs`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::*;

/// What a request was, by its lines up to the empty one, and its body.
type Requests = Arc<Mutex<Vec<(Vec<String>, String)>>>;

struct Server {
    address: SocketAddr,
    requests: Requests,
}

/// Status and body of each answer in turn; the last one is given again and again.
fn server(answers: Vec<(u16, String)>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    serve(listener, answers)
}

fn serve(listener: TcpListener, mut answers: Vec<(u16, String)>) -> Server {
    let address = listener.local_addr().expect("an address");
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            seen.lock().expect("unharmed").push(request(&stream));
            let (status, body) = match answers.len() {
                1 => answers[0].clone(),
                _ => answers.remove(0),
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\nlocation: /schemas/ids/2\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            // Who asked may have hung up over a long answer.
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body.as_bytes());
        }
    });
    Server { address, requests }
}

fn request(stream: &TcpStream) -> (Vec<String>, String) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_ascii_lowercase());
    }
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
    reader.read_exact(&mut body).expect("a body");
    (lines, String::from_utf8(body).expect("text"))
}

impl Server {
    fn access(&self) -> RegistryAccess {
        RegistryAccess {
            url: format!("http://{}/api/", self.address),
            username: None,
            password_file: None,
        }
    }

    fn client(&self) -> RegistryClient {
        RegistryClient::start(self.access(), Telemetry::unwatched()).expect("a thread")
    }

    fn requests(&self) -> usize {
        self.requests.lock().expect("unharmed").len()
    }
}

/// Waits for what `found` finds.
fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "nothing came");
        thread::sleep(Duration::from_millis(5));
    }
}

fn answer(client: &mut RegistryClient) -> (u32, SchemaAnswer) {
    wait_for(|| client.answers().next())
}

fn waiting(client: &RegistryClient, failures_min: u64) -> String {
    wait_for(|| match client.state() {
        RegistryState::Waiting { failures, reason } if failures >= failures_min => Some(reason),
        _ => None,
    })
}

fn schema(text: &str) -> String {
    json!({ "schema": text }).to_string()
}

fn refusal(code: u64) -> String {
    json!({ "error_code": code, "message": "not\nfound" }).to_string()
}

#[test]
fn a_schema_is_asked_for_once() {
    let server = server(vec![(200, schema("\"string\""))]);
    let mut client = server.client();
    assert_eq!(client.state(), RegistryState::Idle);
    client.ask(7);
    client.ask(7);
    let expected = SchemaAnswer::Schema("\"string\"".into());
    assert_eq!(answer(&mut client), (7, expected));
    assert_eq!(client.state(), RegistryState::Idle);
    assert_eq!(client.answers().next(), None);
    let requests = server.requests.lock().expect("unharmed").clone();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].0[0], "get /api/schemas/ids/7 http/1.1");
    // Once answered, it may be asked for again.
    client.ask(7);
    answer(&mut client);
}

#[test]
fn only_the_registry_s_own_words_deny_an_id() {
    for code in [40_401, 40_403] {
        let server = server(vec![(404, refusal(code))]);
        let mut client = server.client();
        client.ask(1);
        assert_eq!(answer(&mut client), (1, SchemaAnswer::Denied));
    }
    for (status, body, reason) in [
        (404, "<html>not here</html>".to_owned(), "HTTP 404"),
        (404, "{}".into(), "HTTP 404"),
        (404, refusal(404), "not found (HTTP 404, code 404)"),
        (429, String::new(), "HTTP 429"),
        (500, refusal(40_403), "HTTP 500"),
        (503, String::new(), "HTTP 503"),
        (301, String::new(), "HTTP 301"),
        (200, String::new(), "not as a schema registry does"),
        (200, "<html>".into(), "not as a schema registry does"),
        (200, "{}".into(), "has no schema"),
        (401, refusal(40_101), "check registry.password_file"),
        (403, String::new(), "check registry.password_file"),
    ] {
        let server = server(vec![(status, body), (200, schema("\"int\""))]);
        let mut client = server.client();
        client.ask(1);
        let waits_for = waiting(&client, 1);
        assert!(waits_for.contains(reason), "{waits_for}");
        assert!(!waits_for.contains('\n'));
        assert_eq!(
            answer(&mut client),
            (1, SchemaAnswer::Schema("\"int\"".into()))
        );
        assert_eq!(client.state(), RegistryState::Idle);
        assert_eq!(server.requests(), 2, "a redirection is not followed");
    }
}

#[test]
fn it_is_asked_until_it_is_there_and_others_have_their_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let access = RegistryAccess {
        url: format!("http://{address}"),
        username: None,
        password_file: None,
    };
    let mut client = RegistryClient::start(access, Telemetry::unwatched()).expect("a thread");
    client.ask(1);
    let reason = waiting(&client, 2);
    assert!(reason.contains("is it up"), "{reason}");
    client.ask(2);
    let listener = TcpListener::bind(address).expect("the same port");
    serve(
        listener,
        vec![(500, String::new()), (200, schema("\"int\""))],
    );
    let mut ids = [answer(&mut client).0, answer(&mut client).0];
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn an_answer_too_long_is_a_schema_that_cannot_be_read_by() {
    for length in [SCHEMA_BYTES_MAX + 1, ANSWER_BYTES_MAX] {
        let server = server(vec![(200, schema(&"x".repeat(length)))]);
        let mut client = server.client();
        client.ask(1);
        let (_, SchemaAnswer::Schema(text)) = answer(&mut client) else {
            panic!("it was not denied");
        };
        assert!(text.starts_with("a schema of "), "{}", text.len());
        assert!(crate::wire::avro::Plan::of_schema(&text).is_err());
    }
}

#[test]
fn the_password_is_read_at_each_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("password");
    let server = server(vec![(200, schema("\"int\""))]);
    let access = RegistryAccess {
        username: Some("me".into()),
        password_file: Some(path.clone()),
        ..server.access()
    };
    let mut client = RegistryClient::start(access, Telemetry::unwatched()).expect("a thread");
    client.ask(1);
    let reason = waiting(&client, 1);
    assert!(reason.contains("password: No such file"), "{reason}");
    assert_eq!(server.requests(), 0);
    std::fs::write(&path, "hush\r\n").expect("a file");
    answer(&mut client);
    let requests = server.requests.lock().expect("unharmed").clone();
    let credentials = format!("authorization: basic {}", base64(b"me:hush"));
    assert!(requests[0].0.contains(&credentials.to_ascii_lowercase()));
}

#[test]
fn waits_grow_and_stay_bounded() {
    let millis = [1, 2, 3, 7, 8, 100, u64::MAX].map(|failures| wait_after(failures).as_millis());
    assert_eq!(millis, [100, 200, 400, 6_400, 10_000, 10_000, 10_000]);
}

#[test]
fn the_thread_ends_with_its_client() {
    let server = server(vec![(500, String::new())]);
    let mut client = server.client();
    client.ask(1);
    waiting(&client, 2);
    let state = Arc::downgrade(&client.state);
    drop(client);
    wait_for(|| (state.strong_count() == 0).then_some(()));
}

#[test]
fn an_output_schema_is_looked_up_or_registered() {
    let found = server(vec![(200, json!({ "id": 5, "version": 1 }).to_string())]);
    for (may_register, line) in [
        (false, "post /api/subjects/cap-reached-value http/1.1"),
        (
            true,
            "post /api/subjects/cap-reached-value/versions http/1.1",
        ),
    ] {
        let id = schema_id(
            &found.access(),
            "cap-reached-value",
            "\"int\"",
            may_register,
        );
        assert_eq!(id, Ok(5));
        let requests = found.requests.lock().expect("unharmed");
        let (lines, body) = requests.last().expect("a request");
        assert_eq!((lines[0].as_str(), body), (line, &schema("\"int\"")));
    }
    let absent = server(vec![(404, refusal(40_403))]);
    let refused = schema_id(&absent.access(), "a/b c", "\"int\"", false);
    assert!(matches!(
        refused,
        Err(RegistryError::Refused { code: 40_403, .. })
    ));
    let requests = absent.requests.lock().expect("unharmed").clone();
    assert_eq!(requests[0].0[0], "post /api/subjects/a%2fb%20c http/1.1");
    let no_id = server(vec![(200, "{}".into())]);
    let refused = schema_id(&no_id.access(), "s", "\"int\"", true);
    assert!(matches!(refused, Err(RegistryError::Unreachable { .. })));
}
