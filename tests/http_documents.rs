//! `docs/openapi.json` and `docs/asyncapi.json` against the program: nothing is described that is not
//! there, nothing is there that is not described, and what is answered is as described.

#[path = "http/client.rs"]
mod client;
#[path = "http_documents/schema.rs"]
mod schema;
#[path = "http/teams.rs"]
mod served;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use client::Answer;
use meterfold::billing::derived_event::DerivedKind;
use meterfold::config::Config;
use meterfold::http::{Authentication, Owners};
use meterfold::telemetry::labels::{DEAD_LETTER_REASONS, HTTP_PATHS};
use meterfold::wire::dead_letter::mark;
use meterfold::wire::derived;
use schema::{faults, resolved};
use serde_json::{Value, json};
use served::{Served, encoded, enrol};
use support::sample::Sample;

fn document(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    serde_json::from_slice(&fs::read(path).expect("a document")).expect("JSON")
}

/// Headers that only some answers have; others go out with all.
const HEADERS: [&str; 4] = [
    "Meterfold-Clock",
    "Meterfold-Owner",
    "Retry-After",
    "WWW-Authenticate",
];

/// The documented answer of a path, checked: status, content type, which it returns, headers and
/// schema.
#[track_caller]
fn check(document: &Value, template: &str, answer: &Answer) -> String {
    let status = answer.status;
    let response = &document["paths"][template]["get"]["responses"][status.to_string()];
    assert!(
        response.is_object(),
        "{template}: {status} is not documented"
    );
    let found = answer.header("content-type").expect("a content type");
    let found = found.split(';').next().unwrap_or(found);
    let media = &response["content"][found];
    assert!(
        media.is_object(),
        "{template}: {status} as {found} is not documented"
    );
    for name in HEADERS {
        let header = &response["headers"][name];
        let value = answer.header(&name.to_lowercase());
        assert_eq!(
            header.is_object(),
            value.is_some(),
            "{template}: {name} of {status}"
        );
        if let Some(value) = value {
            let faults = faults(document, &header["schema"], &json!(value));
            assert_eq!(faults, [""; 0], "{template}: {name}");
        }
    }
    if found.ends_with("json") {
        let faults = faults(document, &media["schema"], &answer.json());
        assert_eq!(faults, [""; 0], "{template}: {}", answer.body);
    }
    found.to_owned()
}

#[test]
fn every_answer_is_as_openapi_says() {
    let document = document("openapi.json");
    let mut answered = BTreeSet::new();
    for sample in Sample::all() {
        let served = Served::of(sample.replay.clone());
        let mut ask = |template: &str, path: &str| {
            let answer = served.get(path);
            check(&document, template, &answer);
            answered.insert((template.to_owned(), answer.status));
            answer
        };
        for line in std::str::from_utf8(&sample.expected.accounts)
            .unwrap()
            .lines()
        {
            let account: Value = serde_json::from_str(line).unwrap();
            let team = encoded(account["team"].as_str().unwrap());
            let path = format!("/v1/teams/{team}");
            ask("/v1/teams/{team}", &path);
            ask("/v1/teams/{team}/months", &format!("{path}/months"));
            for month in account["months"].as_array().unwrap() {
                let month = month["month"].as_str().unwrap();
                ask(
                    "/v1/teams/{team}/months/{month}",
                    &format!("{path}/months/{month}"),
                );
                ask(
                    "/v1/teams/{team}/invoices/{month}",
                    &format!("{path}/invoices/{month}"),
                );
            }
            ask("/v1/teams/{team}/invoices", &format!("{path}/invoices"));
            let access = format!("{path}/access?app=app-1&api=automation");
            ask("/v1/teams/{team}/access", &access);
            ask("/teams/{team}", &format!("/teams/{team}"));
        }
        for template in [
            "/v1/teams/{team}",
            "/v1/teams/{team}/months",
            "/v1/teams/{team}/invoices",
            "/teams/{team}",
        ] {
            assert_eq!(
                ask(template, &template.replace("{team}", "no%20such%20team")).status,
                404
            );
            assert_eq!(
                ask(template, &template.replace("{team}", "%ff")).status,
                400
            );
            let long = "a".repeat(5_000);
            assert_eq!(
                ask(template, &template.replace("{team}", &long)).status,
                414
            );
        }
        for path in [
            "/livez",
            "/readyz",
            "/startupz",
            "/metrics",
            "/status",
            "/openapi.json",
        ] {
            ask(path, path);
        }
        ask("/livez", "/livez?verbose");
        let accept = "Accept: application/openmetrics-text;version=1.0.0\r\n";
        let metrics = served.send("GET", "/metrics", accept);
        assert_eq!(
            check(&document, "/metrics", &metrics),
            "application/openmetrics-text"
        );
        served.hide_all();
        for template in [
            "/v1/teams/{team}",
            "/v1/teams/{team}/access",
            "/teams/{team}",
        ] {
            let path = template
                .replace("{team}", "a")
                .replace("access", "access?app=a&api=b");
            assert_eq!(ask(template, &path).status, 503);
        }
    }
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(
            answered
                .iter()
                .any(|(template, status)| template == path && matches!(status, 200 | 503)),
            "{path} is described, and not there"
        );
    }
    for template in ["/v1/teams/{team}/invoices/{month}", "/teams/{team}"] {
        assert!(answered.contains(&(template.to_owned(), 200)), "{template}");
    }
}

/// Each refusal of a question about a team that is described is given, in each of its types, and
/// the other way round; but for those that take much to provoke.
#[test]
fn every_refusal_is_as_openapi_says() {
    let document = document("openapi.json");
    let nobody = || Owners::new(None, || Ok(BTreeMap::new()));
    let authentication = |listen: &str, token| {
        let listen = listen.parse().unwrap();
        Authentication::new(listen, token).unwrap()
    };
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "0123456789abcdef").unwrap();
    let loopback = "127.0.0.1:0";
    let here = Served::with(&[], authentication(loopback, None), nobody());
    let hidden = Served::with(&[], authentication(loopback, None), nobody());
    hidden.hide_all();
    let others = (0..16).map(|partition| (partition, "m-1.m:8080".to_owned()));
    let others: BTreeMap<u16, String> = others.collect();
    let elsewhere = Owners::new(None, move || Ok(others.clone()));
    let elsewhere = Served::with(&[], authentication(loopback, None), elsewhere);
    elsewhere.hide_all();
    let locked = Served::with(&[], authentication(loopback, Some(token)), nobody());
    let closed = Served::with(&[], authentication("0.0.0.0:0", None), nobody());
    let long = "a".repeat(5_000);

    let paths = document["paths"].as_object().unwrap();
    for (template, item) in paths {
        let described = item["get"]["responses"].as_object().unwrap();
        let path = |team: &str| {
            let path = template
                .replace("{team}", team)
                .replace("{month}", "2026-01");
            path.replace("access", "access?app=a&api=b")
        };
        let mut seen = BTreeSet::new();
        for accept in ["", "Accept: text/html\r\n"] {
            for (served, team) in [
                (&here, "nobody"),
                (&here, "%ff"),
                (&here, &long),
                (&hidden, "nobody"),
                (&elsewhere, "nobody"),
                (&locked, "nobody"),
                (&closed, "nobody"),
            ] {
                let answer = served.send("GET", &path(team), accept);
                let content_type = check(&document, template, &answer);
                seen.insert((answer.status.to_string(), content_type));
            }
        }
        let described = described.iter().flat_map(|(status, response)| {
            let types = response["content"].as_object().into_iter().flatten();
            types.map(move |(name, _)| (status.clone(), name.clone()))
        });
        let is_simple =
            |(status, _): &(String, String)| !matches!(status.as_str(), "200" | "422" | "500");
        if template.contains("{team}") {
            let described: BTreeSet<_> = described.filter(is_simple).collect();
            seen.retain(is_simple);
            assert_eq!(seen, described, "{template}");
        }

        let get = here.get(&path("nobody"));
        let head = here.send("HEAD", &path("nobody"), "");
        assert_eq!((head.status, head.body.as_str()), (get.status, ""));
        assert_eq!(head.header("content-type"), get.header("content-type"));
        assert_eq!(here.send("POST", &path("nobody"), "").status, 405);
        let nameless = format!(
            "GET {} HTTP/1.1\r\nConnection: close\r\n\r\n",
            path("nobody")
        );
        let nameless = client::send(here.address(), nameless.as_bytes());
        check(&document, template, &nameless);
        assert_eq!(nameless.status, 400);
        let fields = "A: b\r\n".repeat(64);
        let refused = here.send("GET", &path("nobody"), &fields);
        assert_eq!((refused.status, refused.body.as_str()), (431, ""));
        let response = &item["get"]["responses"]["431"];
        assert!(response.is_object() && response["content"].is_null());
    }
}

/// The table of errors in `docs/http.md` has the statuses of the document, and 405, which is no
/// answer to GET.
#[test]
fn the_guide_has_the_errors_of_openapi() {
    let document = document("openapi.json");
    let items = document["paths"].as_object().unwrap().values();
    let statuses = items.flat_map(|item| item["get"]["responses"].as_object().unwrap().keys());
    let mut described: BTreeSet<&str> = statuses.map(String::as_str).collect();
    described.remove("200");
    described.insert("405");
    let (_, errors) = include_str!("../docs/http.md")
        .split_once("\n## Errors\n")
        .expect("a section");
    let rows = errors.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" |").next());
    let told = cells.flat_map(|cell| cell.split(", "));
    let told = told.filter(|status| status.parse::<u16>().is_ok());
    assert_eq!(told.collect::<BTreeSet<_>>(), described);
}

/// A path that metrics name is described, and the other way round.
#[test]
fn openapi_has_the_paths_of_the_program() {
    let document = document("openapi.json");
    let described: BTreeSet<&str> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|path| path.strip_suffix("/{month}").unwrap_or(path))
        .collect();
    let counted: BTreeSet<&str> = HTTP_PATHS
        .iter()
        .copied()
        .filter(|path| *path != "other")
        .collect();
    assert_eq!(described, counted);
    let served = Served::of_events(&[enrol("a", "free", "2026-01-05T00:00:00Z")]);
    assert_eq!(served.get("/openapi.json").json(), document);
    let bearer = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!(
        (&bearer["type"], &bearer["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value, seen: &mut usize) {
        if let Some(reference) = value.get("$ref") {
            assert!(!resolved(document, reference).is_null());
            *seen += 1;
        }
        match value {
            Value::Object(members) => members.values().for_each(|it| walk(document, it, seen)),
            Value::Array(items) => items.iter().for_each(|it| walk(document, it, seen)),
            _ => {}
        }
    }
    for name in ["openapi.json", "asyncapi.json"] {
        let document = document(name);
        let mut seen = 0;
        walk(&document, &document, &mut seen);
        assert!(seen > 20, "{name}: {seen} references");
    }
}

/// The message of each type, with its payload's schema.
fn messages(document: &Value) -> BTreeMap<String, &Value> {
    let messages = document["components"]["messages"]
        .as_object()
        .unwrap()
        .values();
    messages
        .map(|message| (message["name"].as_str().unwrap().to_owned(), message))
        .collect()
}

#[test]
fn asyncapi_has_the_types_and_topics_of_the_program() {
    let document = document("asyncapi.json");
    let mut types: BTreeSet<String> = schemas("input")
        .into_iter()
        .map(|name| format!("meterfold.{name}"))
        .collect();
    types.extend(
        DerivedKind::ALL
            .iter()
            .map(|kind| derived::type_name(*kind).to_owned()),
    );
    types.insert("dead-letter".into());
    assert_eq!(
        messages(&document).into_keys().collect::<BTreeSet<_>>(),
        types
    );

    let config = Config::parse(
        "test",
        "rates = \"r.json\"\n[kafka]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n",
    )
    .unwrap();
    let topics = &config.topics;
    let mut expected: BTreeSet<&str> = topics.inputs().into_iter().collect();
    expected.extend(topics.derived());
    expected.insert(&topics.dead_letters);
    let channels = document["channels"].as_object().unwrap();
    // A single input topic takes what the accounts take beside usage.
    assert_eq!(
        channels["accounts"]["messages"],
        channels["apiCalls"]["messages"]
    );
    let addresses = channels
        .values()
        .map(|channel| channel["address"].as_str().unwrap());
    assert_eq!(addresses.collect::<BTreeSet<_>>(), expected);

    let headers = &document["components"]["schemas"]["dead-letter-headers"]["properties"];
    let marks = [
        mark::TOPIC,
        mark::PARTITION,
        mark::OFFSET,
        mark::TIMESTAMP,
        mark::REASON,
        mark::DETAIL,
        mark::STAGE,
        mark::SCHEMA_ID,
        mark::TRUNCATED,
    ];
    assert_eq!(
        headers.as_object().unwrap().keys().collect::<BTreeSet<_>>(),
        BTreeSet::from(marks.map(String::from).each_ref())
    );
    assert_eq!(headers[mark::REASON]["enum"], json!(DEAD_LETTER_REASONS));
}

/// Stored examples and the samples' derived events are as described; what is not is refused.
#[test]
fn events_are_as_asyncapi_says() {
    let document = document("asyncapi.json");
    let messages = messages(&document);
    let check = |event: &Value| {
        let name = event["type"].as_str().unwrap();
        faults(&document, &messages[name]["payload"], event)
    };
    let mut seen = BTreeSet::new();
    let mut see = |event: Value| {
        assert_eq!(check(&event), [""; 0], "{event}");
        seen.insert(event["type"].as_str().unwrap().to_owned());
        let mut broken = event.clone();
        broken["time"] = json!("yesterday");
        assert_ne!(check(&broken), [""; 0], "{broken}");
    };
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/examples");
    for file in fs::read_dir(examples).unwrap() {
        let path = file.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            see(serde_json::from_slice(&fs::read(path).unwrap()).unwrap());
        }
    }
    for sample in Sample::all() {
        for line in std::str::from_utf8(&sample.expected.derived)
            .unwrap()
            .lines()
        {
            see(serde_json::from_str(line).unwrap());
        }
    }
    assert_eq!(
        seen.len(),
        messages.len() - 1,
        "all types but the dead letter: {seen:?}"
    );
}

/// `api-call.v1` and so on.
fn schemas(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(folder);
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}
