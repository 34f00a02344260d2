//! Everything that reads bytes which somebody else may have written, each as one function from any
//! bytes to whether they were accepted. Beyond not to panic, not to run away and not to overflow,
//! each has to keep what its comment says.

use std::fs;
use std::sync::{Arc, LazyLock};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::IntoResponse;
use meterfold::config::Config;
use meterfold::files::archive::{Location, Manifest};
use meterfold::files::avro_container::{Block, ContainerReader, Records};
use meterfold::http::Authentication;
use meterfold::http::problem::Problem;
use meterfold::http::target::{Question, TARGET_BYTES_MAX, TEAM_CHARS_MAX, Target as HttpTarget};
use meterfold::wire::avro::{self, Plan, Schemas, TEXT_GROWTH_MAX};
use meterfold::wire::cells;
use meterfold::wire::dead_letter::DeadLetterRecord;
use meterfold::wire::journal::{JournalRecord, Part};
use meterfold::wire::kafka_record::{Outcome, RecordDecoder, RecordRules, SchemaAnswer};
use meterfold::wire::meta::{Local, Meta, Witness};
use meterfold::wire::rate_book;
use meterfold::wire::record_bytes::LogRecord;
use meterfold::wire::span::{Decoded, Text};
use meterfold::wire::{cloudevents, event_json, keys};

use super::seeds;

pub struct Target {
    pub name: &'static str,
    pub read: fn(&[u8]) -> bool,
    /// Valid inputs to begin with: every one of them is accepted.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

const fn target(
    name: &'static str,
    read: fn(&[u8]) -> bool,
    seeds: fn() -> Vec<Vec<u8>>,
) -> Target {
    Target { name, read, seeds }
}

pub const TARGETS: [Target; 13] = [
    target("event_json", event_json, seeds::event_json),
    target("kafka_record", kafka_record, seeds::kafka_record),
    target("avro_datum", avro_datum, seeds::avro_datum),
    target("avro_schema", avro_schema, seeds::avro_schema),
    target("avro_container", avro_container, seeds::avro_container),
    target("rate_book", book, seeds::rate_book),
    target("journal", journal, seeds::journal),
    target("meta", meta, seeds::meta),
    target("cells", state_cells, seeds::cells),
    target("dead_letter", dead_letter, seeds::dead_letter),
    target(
        "archive_manifest",
        archive_manifest,
        seeds::archive_manifest,
    ),
    target("config", config, seeds::config),
    target("http_head", http_head, seeds::http_head),
];

/// Spans lie within the texts; an event that was read is the same once written and read again.
fn event_json(bytes: &[u8]) -> bool {
    let Ok(input) = str::from_utf8(bytes) else {
        return false;
    };
    let mut side = String::new();
    let decoded = cloudevents::decode(input, 0, input.len(), &mut side);
    assert!(side.len() <= input.len());
    let text = Text {
        input: input.to_owned(),
        side,
    };
    let Some(written) = written_again(&decoded, &text) else {
        return false;
    };
    let mut side = String::new();
    let again = cloudevents::decode(&written, 0, written.len(), &mut side);
    let again_text = Text {
        input: written.clone(),
        side,
    };
    assert_eq!(
        written_again(&again, &again_text).as_deref(),
        Some(written.as_str())
    );
    true
}

/// None: it is no event.
fn written_again(decoded: &Decoded, text: &Text) -> Option<String> {
    for span in [decoded.source, decoded.id, decoded.subject]
        .into_iter()
        .flatten()
    {
        assert_eq!(text.get(span).len(), span.len());
    }
    let event = decoded.event.as_ref().ok()?;
    let mut written = Vec::new();
    event_json::write(
        &event.map(|span| text.get(span)),
        decoded.recorded,
        &mut written,
    );
    Some(String::from_utf8(written).expect("JSON is text"))
}

/// A record of an input topic, in the canonical bytes of its key, headers and value. A wanted schema
/// is taught once and then known.
fn kafka_record(bytes: &[u8]) -> bool {
    static SCHEMAS: LazyLock<Arc<Schemas>> = LazyLock::new(|| Arc::new(Schemas::built_in()));
    let Ok(record) = LogRecord::read(bytes) else {
        return false;
    };
    let rules = RecordRules {
        partition: 0,
        partitions: 1,
        has_accounts: bytes.len().is_multiple_of(2),
        takes_ticks: true,
        halts_on_wrong_partition: false,
    };
    let mut decoder = RecordDecoder::new(rules, Arc::clone(&SCHEMAS));
    let mut text = Text::default();
    let mut outcome = decoder.decode(&record, &mut text);
    if let Outcome::SchemaWanted(id) = outcome {
        let schemas: Vec<&str> = avro::input_schemas().collect();
        let answer = match schemas.get(id as usize) {
            Some(schema) => SchemaAnswer::Schema((*schema).to_owned()),
            None => SchemaAnswer::Denied,
        };
        let _ = decoder.learn(id, answer);
        outcome = decoder.decode(&record, &mut text);
    }
    assert!(text.side.len() <= TEXT_GROWTH_MAX * bytes.len());
    match outcome {
        Outcome::Decoded(decoded) => written_again(&decoded, &text).is_some(),
        Outcome::SchemaWanted(id) => panic!("schema {id} is wanted again"),
        Outcome::WrongPartition { .. } => panic!("such records are dead letters here"),
    }
}

/// A writer schema, a zero byte, a datum. Text grows within its limit.
fn avro_datum(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else {
        return false;
    };
    let (schema, datum) = (&bytes[..end], &bytes[end + 1..]);
    let Some(plan) = str::from_utf8(schema)
        .ok()
        .and_then(|schema| Plan::of_schema(schema).ok())
    else {
        return false;
    };
    let mut text = Text::default();
    let decoded = plan.decode(datum, &mut text.side);
    assert!(text.side.len() <= TEXT_GROWTH_MAX * datum.len());
    written_again(&decoded, &text).is_some()
}

/// A schema is read or refused; its fingerprint does not depend on white space.
fn avro_schema(bytes: &[u8]) -> bool {
    let Ok(schema) = str::from_utf8(bytes) else {
        return false;
    };
    let fingerprint = avro::fingerprint(schema);
    assert_eq!(avro::fingerprint(&format!(" {schema}\n")), fingerprint);
    Plan::of_schema(schema).is_ok()
}

/// A container file to its end. Every block is read or is damage, and the file does end.
fn avro_container(bytes: &[u8]) -> bool {
    let Ok(mut reader) = ContainerReader::open(bytes) else {
        return false;
    };
    let (mut block, mut side) = (Vec::new(), String::new());
    let mut is_whole = true;
    // A block takes a sync marker at least.
    for _ in 0..=bytes.len() {
        match reader.next_block(&mut block).expect("bytes in memory") {
            None => return is_whole,
            Some(Block::Damaged { .. }) => is_whole = false,
            Some(Block::Records { count }) => {
                side.clear();
                let mut records = Records::new(reader.plan(), &block, count);
                while let Some((decoded, datum)) = records.next_record(&mut side) {
                    is_whole &= decoded.event.is_ok() && !datum.is_empty();
                }
                assert!(side.len() <= TEXT_GROWTH_MAX * block.len());
            }
        }
    }
    panic!("the file does not end");
}

/// A book that was read has a digest, and differs in nothing from itself.
fn book(bytes: &[u8]) -> bool {
    let digest = rate_book::canonical_digest(bytes);
    if rate_book::read(bytes).is_err() {
        return false;
    }
    assert!(digest.is_ok());
    rate_book::compare(bytes, bytes).expect("two valid books");
    true
}

/// A record that was read is the same once encoded and read again.
fn journal(bytes: &[u8]) -> bool {
    let part = Part::decode(bytes).is_ok();
    let Ok(record) = JournalRecord::decode(bytes) else {
        return part;
    };
    let encoded = record.encode();
    assert_eq!(JournalRecord::decode(&encoded).as_ref(), Ok(&record));
    let parts = JournalRecord::parts(&encoded, record.sequence);
    let joined: Vec<u8> = parts
        .flat_map(|part| Part::decode(&part).expect("a part").bytes.to_vec())
        .collect();
    assert_eq!(joined, encoded);
    true
}

/// META, what a store knows of its log, and the witness beside a committed offset: the same once
/// encoded and read again.
fn meta(bytes: &[u8]) -> bool {
    let mut is_any = false;
    if let Ok(meta) = Meta::decode(bytes) {
        let _ = meta.total_digest();
        assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
        is_any = true;
    }
    if let Ok(local) = Local::decode(bytes) {
        assert_eq!(Local::decode(&local.encode()), Ok(local));
        is_any = true;
    }
    let witness = str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse::<Witness>().ok());
    if let Some(witness) = witness {
        assert_eq!(witness.to_string().parse(), Ok(witness));
        is_any = true;
    }
    is_any
}

/// Cells of the changelog, the first byte tells which: those that were read are the same once
/// encoded and read again.
fn state_cells(bytes: &[u8]) -> bool {
    let Some((kind, cell)) = bytes.split_first() else {
        return false;
    };
    match kind % 4 {
        0 => {
            let mut pieces = Vec::new();
            let Ok(team) = cells::decode_team(cell, |piece| pieces.push(piece.to_vec())) else {
                let _ = cells::visit_digest_parts(cell, |_| {});
                return false;
            };
            let mut again = Vec::new();
            let encoded =
                cells::encode_team(team.due, team.settled_months, &team.account, |piece| {
                    again.push(piece.to_vec());
                });
            assert_eq!(cells::decode_team(&encoded, |_| {}).as_ref(), Ok(&team));
            assert_eq!(again.len(), pieces.len());
            true
        }
        1 => {
            let Ok(month) = cells::decode_month(cell) else {
                return false;
            };
            let encoded = cells::encode_month(&month, |_| {});
            assert_eq!(cells::decode_month(&encoded).as_ref(), Ok(&month));
            true
        }
        2 => {
            let _ = cells::first_part(cell);
            // Every value has its version byte.
            let parts: Vec<Vec<u8>> = cells::parts(cell).collect();
            let Some(first) = parts.first() else {
                return false;
            };
            let (count, _) = cells::first_part(first).expect("a part that was just made");
            assert_eq!(usize::from(count), parts.len());
            true
        }
        _ => {
            let timer = keys::parse_timer(cell);
            if let Some((due, team)) = &timer {
                assert_eq!(keys::timer(*due, team), cell);
            }
            let ids = keys::parse_ids(cell);
            if let Some((bucket, run, part)) = ids {
                assert_eq!(keys::ids(bucket, run, part), cell);
            }
            let team = keys::parse_team_key(cell);
            timer.is_some() || ids.is_some() || team.is_some()
        }
    }
}

/// Its marks can be told whatever it holds.
fn dead_letter(bytes: &[u8]) -> bool {
    let Ok(letter) = DeadLetterRecord::read(bytes) else {
        return false;
    };
    assert!(letter.marks("api-calls", 3).count() >= 6);
    true
}

/// The object of a manifest under a seal that fits it: what a forger can make.
fn archive_manifest(bytes: &[u8]) -> bool {
    let thread = std::thread::current().id();
    let name = format!("meterfold-manifest-{}-{thread:?}", std::process::id());
    let archive = std::env::temp_dir().join(name);
    fs::create_dir_all(archive.join("partition-0")).expect("a directory");
    let mut text: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| *byte != b'\n')
        .collect();
    text.push(b'\n');
    let seal = format!("{{\"blake3\":\"{}\"}}\n", blake3::hash(&text).to_hex());
    text.extend_from_slice(seal.as_bytes());
    fs::write(archive.join("partition-0/manifest.ndjson"), text).expect("a file");
    let read = Manifest::read(&Location::Directory(archive.clone()), 0);
    fs::remove_dir_all(&archive).expect("an empty place");
    read.is_ok_and(|manifest| manifest.is_some())
}

/// Any document gives a configuration or its faults. Files that a document names are not opened.
fn config(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else {
        return false;
    };
    if text.contains(".file") {
        return false;
    }
    Config::parse("document", text).is_ok()
}

/// The head of a request, parsed as hyper does: what it asks about a team is the same once written
/// and read again, and who may ask is told strictly. What is refused is a fault of the client.
fn http_head(bytes: &[u8]) -> bool {
    let Some((uri, headers)) = parsed_head(bytes) else {
        return false;
    };
    check_who_may_ask(&uri, &headers);
    let is_page = uri.path().starts_with("/teams/");
    let target = match HttpTarget::read(&uri, is_page) {
        Ok(target) => target,
        Err(problem) => {
            assert_refused(problem, &[400, 404, 414]);
            return false;
        }
    };
    assert!((1..=TEAM_CHARS_MAX).contains(&target.team.chars().count()));
    assert_ne!(HttpTarget::template(uri.path()), "other");
    let written = written_target(&target);
    // What was sent without escapes is longer with them.
    if written.len() <= TARGET_BYTES_MAX {
        let uri = written.parse().expect("a target");
        let again = HttpTarget::read(&uri, is_page).expect("it was read before");
        assert_eq!(again, target, "{written}");
    }
    true
}

fn parsed_head(bytes: &[u8]) -> Option<(Uri, HeaderMap)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    if !request.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let mut headers = HeaderMap::new();
    for field in &*request.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some((Uri::try_from(request.path?).ok()?, headers))
}

/// A path and query that ask for the same.
fn written_target(target: &HttpTarget) -> String {
    let team = escaped(&target.team);
    let path = format!("/v1/teams/{team}");
    let page = |name: &str, page: &meterfold::http::target::Page| {
        let after = page.after.map(|month| format!("&after={month}"));
        let limit = page.limit;
        format!("{path}/{name}?limit={limit}{}", after.unwrap_or_default())
    };
    match &target.question {
        Question::Account => path,
        Question::Month(month) => format!("{path}/months/{month}"),
        Question::Months(of) => page("months", of),
        Question::Invoice(month) => format!("{path}/invoices/{month}"),
        Question::Invoices(of) => page("invoices", of),
        Question::Access { app, api, meter } => {
            let meter = meter
                .as_ref()
                .map(|meter| format!("&meter={}", escaped(meter)));
            let (app, api) = (escaped(app), escaped(api));
            format!(
                "{path}/access?app={app}&api={api}{}",
                meter.unwrap_or_default()
            )
        }
        Question::UsagePage { before } => {
            let before = before.map(|month| format!("?before={month}"));
            format!("/teams/{team}{}", before.unwrap_or_default())
        }
    }
}

fn escaped(text: &str) -> String {
    let bytes = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02x}"),
    });
    bytes.collect()
}

/// The token in one header of its exact form; or, on this machine, a host that is no name.
fn check_who_may_ask(uri: &Uri, headers: &HeaderMap) {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime")
    });
    let values = |name| -> Vec<&[u8]> {
        let values = headers.get_all(name).iter();
        values.map(HeaderValue::as_bytes).collect()
    };
    let any_port = "127.0.0.1:0".parse().expect("an address");

    let hosts = values(header::HOST);
    let of_loopback = Authentication::new(any_port, None).expect("no file");
    match RUNTIME.block_on(of_loopback.check(uri, headers)) {
        Ok(()) => {
            assert!(hosts.is_empty() || (hosts.len() == 1 && is_no_name(hosts[0])));
            let authority = uri.authority().map(|it| it.as_str().as_bytes());
            assert!(authority.is_none_or(is_no_name));
        }
        Err(problem) => assert_refused(problem, &[400, 403]),
    }

    let given = values(header::AUTHORIZATION);
    if given.is_empty() {
        return;
    }
    let thread = std::thread::current().id();
    let name = format!("meterfold-token-{}-{thread:?}", std::process::id());
    let file = std::env::temp_dir().join(name);
    fs::write(&file, seeds::TOKEN).expect("a file");
    let of_token = Authentication::new(any_port, Some(file.clone())).expect("a token");
    let checked = RUNTIME.block_on(of_token.check(uri, headers));
    fs::remove_file(&file).expect("the file");
    let is_right = given.len() == 1 && {
        let (scheme, token) = given[0].split_at(given[0].len().min(7));
        scheme.eq_ignore_ascii_case(b"Bearer ") && token == seeds::TOKEN.as_bytes()
    };
    match checked {
        Ok(()) => assert!(is_right),
        Err(problem) => {
            assert!(!is_right);
            assert_refused(problem, &[400, 401]);
        }
    }
}

/// Nothing that a name server would be asked for; a browser sends any such name as it is.
fn is_no_name(host: &[u8]) -> bool {
    let is_of_address = |byte: &u8| byte.is_ascii_hexdigit() || b".:[]".contains(byte);
    let localhost = host
        .get(..9)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"localhost"));
    let rest = if localhost { &host[9..] } else { host };
    !host.is_empty()
        && rest.iter().all(is_of_address)
        && (!localhost || rest.is_empty() || rest[0] == b':')
}

fn assert_refused(problem: Problem, statuses: &[u16]) {
    assert!(!problem.detail.is_empty());
    let response = problem.into_response();
    assert!(
        statuses.contains(&response.status().as_u16()),
        "{response:?}"
    );
    let content_type = &response.headers()[header::CONTENT_TYPE];
    assert_eq!(content_type, "application/problem+json");
}
