//! Requests that nobody sends who means well: two in one, and targets that are no path of ours.

use meterfold::http::Limits;

use super::serve;
use crate::client::{check_problem, get, send};

/// What a proxy and this server might divide into requests differently is refused or ends the
/// connection; what is plainly a body is not taken for a request.
#[test]
fn no_request_hides_in_another() {
    let (server, _telemetry) = serve(Limits::default());
    let hidden = "GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let length = hidden.len();
    let answers = |head: &str, body: &str| {
        let request = format!("{head}\r\n\r\n{body}");
        let whole = send(server.address(), request.as_bytes()).whole;
        let codes = whole
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|rest| rest[..3].to_owned());
        codes.collect::<Vec<_>>()
    };
    let get = "GET /livez HTTP/1.1\r\nHost: a\r\n";
    for fields in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Content-Length: 0, 0",
        "Content-Length: +0",
        "Content-Length: 0x0",
        "Content-Length: 99999999999999999999",
        "Content-Length: 0\r\nContent-Length: 1",
        "A: b\r\n Content-Length: 1",
        "A: b\rContent-Length: 1",
        "A: b\0",
    ] {
        assert_eq!(
            answers(&format!("{get}{fields}"), hidden),
            ["400"],
            "{fields}"
        );
    }
    let old = "GET /livez HTTP/1.0\r\nTransfer-Encoding: chunked";
    assert_eq!(answers(old, hidden), ["400"]);
    let both = format!("{get}Content-Length: {length}\r\nTransfer-Encoding: chunked");
    assert_eq!(answers(&both, &format!("0\r\n\r\n{hidden}")), ["200"]);
    let close = "Connection: close\r\n";
    let as_body = format!("{get}{close}Content-Length: {length}");
    assert_eq!(answers(&as_body, hidden), ["200"]);
    let chunked = format!("{get}{close}Transfer-Encoding: chunked");
    let chunk = format!("{length:x}\r\n{hidden}\r\n0\r\n\r\n");
    assert_eq!(answers(&chunked, &chunk), ["200"]);
}

/// Paths are compared as they are: nothing is decoded, shortened or made a path of another server.
#[test]
fn odd_targets_are_not_found() {
    let (server, _telemetry) = serve(Limits::default());
    let of = |line: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        send(server.address(), request.as_bytes())
    };
    for line in [
        "GET /livez/",
        "GET //livez",
        "GET /./livez",
        "GET /%6civez",
        "GET /v1/teams/../../livez",
        "GET /v1/teams/%2e%2e/%2e%2e/livez",
        "GET /v1/teams",
        "GET /teams/",
        "GET *",
        "OPTIONS *",
        "GET attacker.example:443",
        "CONNECT attacker.example:443",
    ] {
        let answer = of(line);
        check_problem(&answer, 404, "Not Found");
        assert!(!answer.whole.contains("attacker"), "{line}");
    }
    for line in [
        "TRACE /livez",
        "CONNECT /livez",
        "FETCH /livez",
        "get /livez",
    ] {
        check_problem(&of(line), 405, "Method Not Allowed");
    }
    for line in ["GET livez", "GET \\livez", "GET /livez x", "PRI *"] {
        let status = of(line).status;
        assert!(matches!(status, 400 | 404 | 405), "{line}: {status}");
    }
    assert_eq!(get(server.address(), "/livez").status, 200);
}
