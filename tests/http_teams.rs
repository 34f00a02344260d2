//! What the HTTP server tells of teams, over real sockets and from state that the program made:
//! accounts, months, invoices and access, byte for byte; who may ask; what is refused.

#[path = "http/client.rs"]
mod client;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/teams.rs"]
mod served;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{Answer, check_problem, get, send};
use meterfold::billing::time::Month;
use meterfold::http::{Authentication, Owners};
use meterfold::store::views::Views;
use serde_json::Value;
use served::{Served, call, encoded, enrol, event};
use support::sample::Sample;

/// Every account line, month and invoice of the samples is answered with the bytes of the file run.
#[test]
fn answers_are_the_bytes_of_the_file_run() {
    let mut invoices = 0;
    for sample in Sample::all() {
        let served = Served::of(sample.replay.clone());
        let book: Value = serde_json::from_slice(&fs::read(&sample.replay.rates).unwrap()).unwrap();
        let cards = book["cards"].as_array().unwrap().iter();
        let meters = cards.flat_map(|card| card["meters"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let apis = meters
            .map(|meter| (text(&meter["id"]), text(&meter["api"])))
            .collect();
        for line in lines(&sample.expected.accounts) {
            let account: Value = serde_json::from_str(line).unwrap();
            let team = encoded(account["team"].as_str().unwrap());
            let path = format!("/v1/teams/{team}");
            let answer = served.get(&path);
            assert_eq!((answer.status, answer.body.as_str()), (200, line));
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("meterfold-clock"), served.until());
            let months = account["months"].as_array().unwrap();
            let mut paged = Vec::new();
            let mut query = String::from("?limit=1");
            loop {
                let page = served.get(&format!("{path}/months{query}")).json();
                paged.extend(page["months"].as_array().unwrap().clone());
                match page["next"].as_str() {
                    Some(next) => query = format!("?limit=1&after={next}"),
                    None => break,
                }
            }
            assert_eq!(paged.len(), months.len());
            for (month, paged) in months.iter().zip(paged) {
                let name = month["month"].as_str().unwrap();
                let answer = served.get(&format!("{path}/months/{name}"));
                let (text, caps) = answer.body.split_once(",\"caps\":").expect("caps");
                assert!(line.contains(&format!("{text}}}")), "{text} in {line}");
                assert_eq!(answer.json(), paged);
                let caps: Value = serde_json::from_str(&caps[..caps.len() - 1]).unwrap();
                check_caps(month, &caps, &apis);
            }
        }
        for line in lines(&sample.expected.derived) {
            let event: Value = serde_json::from_str(line).unwrap();
            if event["type"] != "meterfold.monthly-invoice.v1" {
                continue;
            }
            let (_, data) = line.split_once(",\"data\":").unwrap();
            let path = format!(
                "/v1/teams/{}/invoices",
                encoded(event["subject"].as_str().unwrap())
            );
            let month = event["data"]["month"].as_str().unwrap();
            let answer = served.get(&format!("{path}/{month}"));
            assert_eq!((answer.status, answer.body + "}"), (200, data.to_owned()));
            let before = Month::parse(month).unwrap().previous();
            let list = served.get(&format!("{path}?limit=1&after={before}")).json();
            assert_eq!(list["invoices"][0], event["data"]);
            invoices += 1;
        }
    }
    assert!(invoices > 20, "{invoices} invoices");
}

/// The caps of a month agree with what the account line says was used and what is capped.
fn check_caps(month: &Value, caps: &Value, apis: &BTreeMap<String, String>) {
    let used = month["free_used"].as_object().unwrap();
    for (meter, cap) in caps.as_object().unwrap() {
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let used = used.get(meter).map_or(0, number);
        assert_eq!(number(&cap["used"]), used);
        assert_eq!(
            number(&cap["remaining"]),
            number(&cap["cap"]).saturating_sub(used)
        );
        let capped = month["capped"].as_array().unwrap();
        let is_stopped = capped
            .iter()
            .any(|scope| *scope == *meter || *scope == apis[meter]);
        let end = Month::parse(month["month"].as_str().unwrap())
            .unwrap()
            .end();
        let resumes_at = is_stopped.then(|| end.to_string());
        assert_eq!(
            cap["resumes_at"],
            serde_json::json!(resumes_at),
            "{meter} {month}"
        );
    }
}

#[test]
fn months_without_an_invoice_say_why() {
    let served = Served::of_events(&[
        enrol("a", "free", "2026-01-05T00:00:00Z"),
        call("a", "c-1", "automation", 60, "2026-01-20T00:00:00Z"),
    ]);
    let detail = |path: &str| {
        let answer = served.get(&format!("/v1/teams/a/{path}"));
        assert_eq!(answer.status, 404, "{}", answer.whole);
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    assert!(detail("invoices/2026-01").contains("open: it closes at 2026-02-04T00:00:00Z"));
    assert!(detail("invoices/2025-12").contains("there is no invoice"));
    assert!(detail("months/2026-02").contains("has not begun"));
    let empty = served.get("/v1/teams/a/months/2025-12").json();
    assert_eq!(empty["free_used"], serde_json::json!({}));
    assert_eq!(
        served.get("/v1/teams/a/invoices").body,
        r#"{"invoices":[],"next":null}"#
    );
    let nobody = served.get("/v1/teams/nobody");
    check_problem(&nobody, 404, "Not Found");
}

/// Each row of the table of access, first match.
#[test]
fn access_is_decided_by_the_first_match() {
    let at = "2026-01-20T00:00:00Z";
    let free = |team: &str| enrol(team, "free", "2026-01-02T00:00:00Z");
    let hub = |team: &str| {
        [
            event(
                team,
                "hub",
                "hub-created",
                r#"{"hub_id":"h"}"#,
                "2026-01-02T00:00:00Z",
            ),
            event(
                team,
                "app",
                "app-migrated",
                r#"{"app_id":"app"}"#,
                "2026-01-02T00:00:00Z",
            ),
        ]
    };
    let mut events = Vec::new();
    for team in ["free", "capped", "suspended", "paid", "unenrolled"] {
        events.extend(hub(team));
    }
    for team in ["free", "capped", "nohub"] {
        events.push(free(team));
    }
    for team in ["suspended", "paid"] {
        events.push(enrol(team, "prepay", "2026-01-02T00:00:00Z"));
    }
    events.push(event(
        "paid",
        "buy",
        "tokens-purchased",
        r#"{"tokens":100}"#,
        "2026-01-03T00:00:00Z",
    ));
    events.push(call(
        "capped",
        "big",
        "automation",
        100_000_000,
        "2026-01-10T00:00:00Z",
    ));
    let served = Served::of_events_until(&events, at);
    let rows = [
        ("free", "app=app&api=automation", "null"),
        ("free", "app=other&api=automation", "app_not_in_hub"),
        ("nohub", "app=app&api=automation", "app_not_in_hub"),
        ("unenrolled", "app=app&api=automation", "not_enrolled"),
        ("nobody", "app=app&api=automation", "not_enrolled"),
        ("nobody", "app=app&api=unrated", "not_enrolled"),
        ("capped", "app=app&api=automation", "cap_reached"),
        ("capped", "app=app&api=AUTOMATION", "cap_reached"),
        (
            "capped",
            "app=app&api=automation&meter=automation.autocad",
            "cap_reached",
        ),
        ("capped", "app=app&api=model_derivative", "null"),
        ("capped", "app=app&api=unrated", "null"),
        ("suspended", "app=app&api=automation", "suspended"),
        ("suspended", "app=app&api=unrated", "null"),
        ("paid", "app=app&api=automation", "null"),
    ];
    for (team, query, reason) in rows {
        let answer = served.get(&format!("/v1/teams/{team}/access?{query}"));
        let resumes_at = match reason {
            "cap_reached" => "\"2026-02-01T00:00:00Z\"",
            _ => "null",
        };
        let expected = match reason {
            "null" => r#"{"allowed":true,"reason":null,"resumes_at":null}"#.to_owned(),
            reason => {
                format!(r#"{{"allowed":false,"reason":"{reason}","resumes_at":{resumes_at}}}"#)
            }
        };
        assert_eq!(
            (answer.status, answer.body),
            (200, expected),
            "{team} {query}"
        );
    }
    let unknown = served.get("/v1/teams/paid/access?app=app&api=automation&meter=x");
    check_problem(&unknown, 400, "Bad Request");

    // Before the deadline anybody may call, in the hub or not; before launch there is neither.
    let grace = Served::of_events_until(&events, "2026-01-12T00:00:00Z");
    for (team, query) in [
        ("nobody", "app=x&api=automation"),
        ("nohub", "app=x&api=automation"),
    ] {
        let answer = grace.get(&format!("/v1/teams/{team}/access?{query}"));
        assert_eq!(answer.json()["allowed"], true, "{team}");
    }
    let in_hub = grace.get("/v1/teams/capped/access?app=app&api=automation");
    assert_eq!(in_hub.json()["reason"], "cap_reached");
    let legacy = Served::of_events_until(
        &[call("l", "c", "automation", 1, "2025-11-02T00:00:00Z")],
        "2025-11-03T00:00:00Z",
    );
    let answer = legacy.get("/v1/teams/nobody/access?app=x&api=automation");
    assert_eq!(answer.json()["allowed"], true);
    let answer = legacy.get("/v1/teams/l/access?app=x&api=automation");
    assert_eq!(answer.json()["reason"], "suspended");
}

/// Under `cap_suspends = meter` a cap stops its meter; an API is refused once all of it is stopped.
#[test]
fn access_looks_at_the_meter_where_caps_suspend_meters() {
    let mut book: Value = serde_json::from_str(served::EXAMPLE_BOOK).unwrap();
    for card in book["cards"].as_array_mut().unwrap() {
        if card["regime"] == "tiers" {
            card["cap_suspends"] = "meter".into();
        }
    }
    let events = [
        enrol("a", "free", "2026-01-02T00:00:00Z"),
        event(
            "a",
            "hub",
            "hub-created",
            r#"{"hub_id":"h"}"#,
            "2026-01-02T00:00:00Z",
        ),
        event(
            "a",
            "app",
            "app-migrated",
            r#"{"app_id":"app"}"#,
            "2026-01-02T00:00:00Z",
        ),
        call(
            "a",
            "big",
            "automation",
            100_000_000,
            "2026-01-10T00:00:00Z",
        ),
    ];
    let served = Served::of_events_under(&book.to_string(), &events, "2026-01-20T00:00:00Z");
    let reason = |query: &str| {
        let answer = served.get(&format!("/v1/teams/a/access?app=app&api=automation{query}"));
        answer.json()["reason"].clone()
    };
    assert_eq!(reason("&meter=automation.autocad"), "cap_reached");
    assert_eq!(reason("&meter=automation.revit"), Value::Null);
    assert_eq!(reason(""), Value::Null);
}

#[test]
fn a_team_may_be_called_anything() {
    let teams = [
        "<script>alert(1)</script>",
        "\"'`&;",
        "../../etc/passwd",
        "a/b",
        "%2f",
        "\u{202e}gnirts",
        "שלום",
        "a b+c",
        "?x=1#y",
        &"é".repeat(128),
    ];
    let events: Vec<String> = teams
        .iter()
        .map(|team| enrol(team, "free", "2026-01-05T00:00:00Z"))
        .collect();
    let served = Served::of_events(&events);
    for team in teams {
        let answer = served.get(&format!("/v1/teams/{}", encoded(team)));
        assert_eq!(answer.status, 200, "{team}: {}", answer.whole);
        assert_eq!(answer.json()["team"], team);
    }
    for path in ["..%2f..%2fetc%2fshadow", "%00", "a%00", "%c3%a9"] {
        assert_eq!(
            served.get(&format!("/v1/teams/{path}")).status,
            404,
            "{path}"
        );
    }
    for path in ["%ff", "%", "%ed%a0%80", &"%41".repeat(129), ""] {
        let answer = served.get(&format!("/v1/teams/{path}"));
        assert!(
            matches!(answer.status, 400 | 404),
            "{path}: {}",
            answer.whole
        );
    }
    let raw = b"GET /v1/teams/\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    assert_eq!(send(served.address(), raw).status, 400);
    let raw = b"GET /v1/teams/\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    assert_eq!(send(served.address(), raw).status, 400);
    let long = "a".repeat(5_000);
    check_problem(
        &served.get(&format!("/v1/teams/{long}")),
        414,
        "URI Too Long",
    );
    check_problem(
        &served.get(&format!("/v1/teams/a?{long}")),
        414,
        "URI Too Long",
    );
}

#[test]
fn bad_requests_get_a_reason_that_repeats_nothing() {
    let served = Served::of_events(&[enrol("a", "free", "2026-01-05T00:00:00Z")]);
    for (path, status, title) in [
        ("/v1/teams/a?canary=1", 400, "Bad Request"),
        ("/v1/teams/a/access", 400, "Bad Request"),
        ("/v1/teams/a/access?app=canary", 400, "Bad Request"),
        (
            "/v1/teams/a/access?app=x&api=y&canary=1",
            400,
            "Bad Request",
        ),
        ("/v1/teams/a/months/canary", 400, "Bad Request"),
        ("/v1/teams/a/months?limit=canary", 400, "Bad Request"),
        ("/v1/teams/a/invoices/2026-00", 400, "Bad Request"),
        ("/v1/teams/a/canary", 404, "Not Found"),
        ("/v1/teams/canary", 404, "Not Found"),
        ("/v1/canary", 404, "Not Found"),
        ("/teams/a/canary", 404, "Not Found"),
        ("/teams/a?canary=1", 400, "Bad Request"),
    ] {
        let answer = served.get(path);
        check_problem(&answer, status, title);
        assert!(!answer.whole.contains("canary"), "{path}: {}", answer.whole);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let refused = served.send(method, "/v1/teams/a", "");
        check_problem(&refused, 405, "Method Not Allowed");
        assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    }
    let head = served.send("HEAD", "/v1/teams/a", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let length = served.get("/v1/teams/a").body.len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
}

#[test]
fn a_token_is_asked_for_and_may_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    fs::write(&path, "first-token-of-it\n").unwrap();
    let authentication =
        Authentication::new("0.0.0.0:0".parse().unwrap(), Some(path.clone())).unwrap();
    let served = Served::with(
        &[enrol("a", "free", "2026-01-05T00:00:00Z")],
        authentication,
        Owners::new(None, || Ok(BTreeMap::new())),
    );
    let status = |field: &str| served.send("GET", "/v1/teams/a", field).status;
    for field in [
        "",
        "Authorization: first-token-of-it\r\n",
        "Authorization: Basic first-token-of-it\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer wrong\r\n",
        "Authorization: Bearer first-token-of-i\r\n",
        "Authorization: Bearer first-token-of-it \u{1}\r\n",
        "Authorization: Bearer  first-token-of-it\r\n",
    ] {
        let refused = served.send("GET", "/v1/teams/a", field);
        assert!(
            matches!(refused.status, 400 | 401),
            "{field:?}: {}",
            refused.whole
        );
        if refused.status == 401 {
            check_problem(&refused, 401, "Unauthorized");
            assert_eq!(
                refused.header("www-authenticate"),
                Some("Bearer realm=\"meterfold\"")
            );
        }
    }
    let twice =
        "Authorization: Bearer first-token-of-it\r\nAuthorization: Bearer first-token-of-it\r\n";
    assert_eq!(status(twice), 400);
    assert_eq!(status("Authorization: Bearer first-token-of-it\r\n"), 200);
    assert_eq!(status("authorization: bearer first-token-of-it\r\n"), 200);
    // Also the page, and what is not there.
    assert_eq!(served.send("GET", "/teams/a", "").status, 401);
    assert_eq!(served.send("GET", "/v1/teams/nobody", "").status, 401);
    // What tells nothing of a team stays open.
    assert_eq!(served.send("GET", "/livez", "").status, 200);

    let wait_until = |expected: u16| {
        let begun = Instant::now();
        while status("Authorization: Bearer second-token-of-it\r\n") != expected {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "never {expected}"
            );
            thread::sleep(Duration::from_millis(50));
        }
    };
    fs::write(&path, "second-token-of-it").unwrap();
    wait_until(200);
    assert_eq!(status("Authorization: Bearer first-token-of-it\r\n"), 401);
    // A token that can never match is as good as none.
    fs::write(&path, "second-token-of-it \n").unwrap();
    wait_until(503);
    fs::write(&path, "second-token-of-it").unwrap();
    wait_until(200);
    fs::remove_file(&path).unwrap();
    wait_until(503);
    let Err(error) = Authentication::new("127.0.0.1:0".parse().unwrap(), Some(path)) else {
        panic!("no token, and it starts");
    };
    assert!(error.contains("token"), "{error}");
}

#[test]
fn without_a_token_only_this_machine_is_told() {
    let events = [enrol("a", "free", "2026-01-05T00:00:00Z")];
    let owners = || Owners::new(None, || Ok(BTreeMap::new()));
    let open = Authentication::new("0.0.0.0:0".parse().unwrap(), None).unwrap();
    let served = Served::with(&events, open, owners());
    let refused = served.get("/v1/teams/a");
    check_problem(&refused, 403, "Forbidden");
    assert!(
        refused.body.contains("http.bearer_token_file"),
        "{}",
        refused.body
    );

    // A name that was made to mean this machine is not this machine.
    let served = Served::of_events(&events);
    for (host, status) in [
        ("127.0.0.1", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:80", 200),
        ("LocalHost:1", 200),
        ("localhost.attacker.example", 403),
        ("attacker.example:80", 403),
        ("\u{e9}ttacker.example", 403),
        ("2130706433", 403),
        ("", 403),
        (":80", 403),
    ] {
        let request =
            format!("GET /v1/teams/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(
            send(served.address(), request.as_bytes()).status,
            status,
            "{host}"
        );
    }
    // The authority of a target stands for Host.
    for (authority, status) in [("127.0.0.1:80", 200), ("attacker.example", 403)] {
        let request = format!(
            "GET http://{authority}/v1/teams/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        let answer = send(served.address(), request.as_bytes());
        assert_eq!(answer.status, status, "{authority}");
    }
}

#[test]
fn a_team_of_another_instance_is_told_where() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let others: BTreeMap<u16, String> = (0..8)
        .map(|partition| (partition, "m-1.m:8080".to_owned()))
        .chain((8..12).map(|partition| (partition, "own:8080".to_owned())))
        .collect();
    let owners = Owners::new(Some("own:8080".into()), move || {
        counted.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(100));
        Ok(others.clone())
    });
    let served = Served::with(&[], loopback(), owners);
    served.hide_all();
    let begun = Instant::now();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let ask =
            |number: usize| served.get(&format!("/v1/teams/team-{number}/access?app=a&api=b"));
        let asking: Vec<_> = (0..40)
            .map(|number| scope.spawn(move || ask(number)))
            .collect();
        asking
            .into_iter()
            .map(|asking| asking.join().unwrap())
            .collect()
    });
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    for (number, answer) in answers.iter().enumerate() {
        let partition = served::partition(&format!("team-{number}"));
        if partition < 8 {
            check_problem(answer, 421, "Misdirected Request");
            assert_eq!(answer.json()["owner"], "http://m-1.m:8080");
            assert_eq!(answer.header("meterfold-owner"), Some("http://m-1.m:8080"));
        } else {
            check_problem(answer, 503, "Service Unavailable");
            assert_eq!(answer.header("retry-after"), Some("1"));
            assert_eq!(answer.header("meterfold-owner"), None);
        }
    }
    let elsewhere = |number: &usize| served::partition(&format!("team-{number}")) < 8;
    let number = (0..40).find(elsewhere).unwrap();
    let page = served.send(
        "GET",
        &format!("/teams/team-{number}"),
        "Accept: text/html\r\n",
    );
    assert_eq!(page.status, 421);
    assert_eq!(page.header("meterfold-owner"), Some("http://m-1.m:8080"));
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "the group is asked once for all"
    );

    // A group that does not answer holds up nobody but those who want to know.
    let owners = Owners::new(None, || {
        thread::sleep(Duration::from_secs(8));
        Err("no broker answers".into())
    });
    let served = Served::with(&[], loopback(), owners);
    served.hide_all();
    let begun = Instant::now();
    check_problem(&served.get("/v1/teams/a"), 503, "Service Unavailable");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(get(served.address(), "/livez").status, 200);
}

/// Nothing of a partition is read once it is hidden, and no reader makes a worker wait for long.
#[test]
fn a_partition_that_goes_is_not_read_any_more() {
    let served = Served::of_events(&[enrol("a", "free", "2026-01-05T00:00:00Z")]);
    assert_eq!(served.get("/v1/teams/a").status, 200);
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let status = served.get("/v1/teams/a").status;
                        assert!(matches!(status, 200 | 503), "{status}");
                    }
                })
            })
            .collect();
        for _ in 0..50 {
            let begun = Instant::now();
            served.hide_all();
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "{:?}",
                begun.elapsed()
            );
            served.show_all();
        }
        stop.store(true, Ordering::Relaxed);
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
    served.hide_all();
    assert_eq!(served.get("/v1/teams/a").status, 503);
    let partition = served::partition("a");
    assert!(Views::default().read(partition, |_, _| ()).is_none());
}

/// F73: slow clients do not keep an answer from those who ask for it.
#[test]
fn two_hundred_slow_clients_delay_no_decision() {
    let served = Served::of_events(&[enrol("a", "free", "2026-01-05T00:00:00Z")]);
    let path = "/v1/teams/a/access?app=x&api=automation";
    let slowest = || {
        let times = (0..100).map(|_| {
            let begun = Instant::now();
            assert_eq!(served.get(path).status, 200);
            begun.elapsed()
        });
        let mut times: Vec<Duration> = times.collect();
        times.sort();
        times[98]
    };
    let alone = slowest();
    let slow: Vec<_> = (0..200)
        .map(|_| {
            use std::io::Write;
            let mut stream = client::connect(served.address());
            stream.write_all(b"GET /v1/teams/a HTTP/1.1\r\nHo").unwrap();
            stream
        })
        .collect();
    let beside = slowest();
    assert!(
        beside < alone * 10 + Duration::from_millis(100),
        "p99 {alone:?} alone, {beside:?} beside slow clients"
    );
    drop(slow);
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    std::str::from_utf8(bytes).unwrap().lines()
}

fn loopback() -> Authentication {
    Authentication::new("127.0.0.1:0".parse().unwrap(), None).unwrap()
}
