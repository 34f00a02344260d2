//! What each target begins with: valid inputs of every kind, from the examples that come with the
//! program and from its own encoders.

use meterfold::billing::account::TeamAccount;
use meterfold::billing::event::Fault;
use meterfold::billing::time::{Instant, Month};
use meterfold::config::Config;
use meterfold::files::archive::{Manifest, Owner};
use meterfold::files::avro_container::{Codec, ContainerWriter};
use meterfold::wire::journal::{JournalRecord, Kind, Run, WriterSchema};
use meterfold::wire::meta::{Fingerprint, Local, Meta, TimerCursor};
use meterfold::wire::record_bytes::{self, Header};
use meterfold::wire::{avro, cells, dead_letter, keys, rate_book};

const BOOK: &[u8] = include_bytes!("../../../schemas/rates/aps-example.json");

macro_rules! examples {
    ($($name:literal)*) => {
        [$((
            concat!("meterfold.", $name),
            include_str!(concat!("../../../schemas/examples/", $name, ".json")),
            include_bytes!(concat!("../../../schemas/examples/", $name, ".avro")) as &[u8],
        ),)*]
    };
}

/// Type, JSON and Avro (in single-object encoding) of one event a type.
const EXAMPLES: [(&str, &str, &[u8]); 12] = examples! {
    "api-call.v1" "usage-corrected.v1" "offering-enrolled.v1" "postpay-cancelled.v1"
    "standing-changed.v1" "downgrade-requested.v1" "hub-created.v1" "app-migrated.v1"
    "tokens-purchased.v1" "tokens-adjusted.v1" "trial-started.v1" "credits-purchased.v1"
};

/// Mark and fingerprint of single-object encoding.
const FRAME_BYTES: usize = 10;

fn time() -> Instant {
    Instant::from_millis(1_768_039_200_000)
}

pub fn event_json() -> Vec<Vec<u8>> {
    let examples = EXAMPLES.iter().map(|(_, json, _)| json.as_bytes().to_vec());
    examples.collect()
}

pub fn kafka_record() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut add = |key: &str, headers: &[Header<'_>], value: &[u8]| {
        let mut record = Vec::new();
        let key = Some(key.as_bytes());
        let headers = headers.iter().copied();
        record_bytes::append(&mut record, 1, 7, time(), key, headers, Some(value));
        records.push(record);
    };
    let json = (
        &b"content-type"[..],
        Some(&b"application/cloudevents+json"[..]),
    );
    for (schema_id, (type_name, text, framed)) in (0_u32..).zip(&EXAMPLES) {
        let event: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let team = event["subject"].as_str().expect("a team");
        add(team, &[], text.as_bytes());
        add(team, &[json], text.as_bytes());
        add(team, &[], framed);
        let known = avro::input_schemas().position(|schema| {
            let same = avro::input_schema(type_name);
            same == Some(schema)
        });
        let id = known
            .and_then(|known| u32::try_from(known).ok())
            .unwrap_or(schema_id);
        add(
            team,
            &[],
            &[&[0], &id.to_be_bytes()[..], &framed[FRAME_BYTES..]].concat(),
        );
    }
    let binary: [Header<'_>; 6] = [
        (b"content-type", Some(b"application/json")),
        (b"ce_specversion", Some(b"1.0")),
        (b"ce_id", Some(b"c-1")),
        (b"ce_source", Some(b"/gw")),
        (b"ce_subject", Some(b"team-7")),
        (b"ce_time", Some(b"2026-01-10T10:00:00Z")),
    ];
    let call = (&b"ce_type"[..], Some(&b"meterfold.api-call.v1"[..]));
    add(
        "team-7",
        &[&binary[..], &[call]].concat(),
        br#"{"app_id":"app-1"}"#,
    );
    records
}

pub fn avro_datum() -> Vec<Vec<u8>> {
    let data = EXAMPLES.iter().map(|(type_name, _, framed)| {
        let schema = avro::input_schema(type_name).expect("a schema of each type");
        [schema.as_bytes(), &[0], &framed[FRAME_BYTES..]].concat()
    });
    data.collect()
}

pub fn avro_schema() -> Vec<Vec<u8>> {
    let all = avro::input_schemas().chain(avro::derived_schemas());
    let mut schemas: Vec<Vec<u8>> = all.map(|schema| schema.as_bytes().to_vec()).collect();
    schemas.push(avro::input_union_schema().into_bytes());
    schemas
}

pub fn avro_container() -> Vec<Vec<u8>> {
    let (type_name, _, framed) = EXAMPLES[0];
    let schema = avro::input_schema(type_name).expect("a schema of each type");
    let codecs = [Codec::Null, Codec::Deflate, Codec::Zstandard, Codec::Snappy];
    let files = codecs.map(|codec| {
        let file = ContainerWriter::create(Vec::new(), schema, codec, *b"0123456789abcdef");
        let mut file = file.expect("bytes in memory");
        for _ in 0..3 {
            file.append(&framed[FRAME_BYTES..])
                .expect("bytes in memory");
        }
        file.finish().expect("bytes in memory")
    });
    files.to_vec()
}

pub fn rate_book() -> Vec<Vec<u8>> {
    let others = [
        &include_bytes!("../../books/variant.json")[..],
        include_bytes!("../../books/merge.json"),
    ];
    let mut books = vec![BOOK.to_vec()];
    books.extend(others.map(<[u8]>::to_vec));
    books
}

fn some_meta() -> Meta {
    Meta {
        sequence: 7,
        positions: vec![("api-calls".into(), 44), ("accounts".into(), i64::MAX)],
        partition_count: 16,
        clock: Some(time()),
        timer_cursor: Some(TimerCursor {
            due: time(),
            team: "team-7".into(),
        }),
        book_sequence: 1,
        state_digest: u128::MAX,
        id_digests: vec![(-1, 4), (i32::MAX, u128::MAX)],
        next_run: 3,
        ..Meta::default()
    }
}

pub fn meta() -> Vec<Vec<u8>> {
    let local = Local {
        fingerprint: Fingerprint {
            cluster: "cluster".into(),
            group: "meterfold".into(),
            partition: 9,
        },
        topic_ids: vec![("api-calls".into(), "0a".into())],
        changelog_position: 44,
        meta_appended_at_millis: 1,
    };
    let witness = some_meta().witness().to_string();
    vec![some_meta().encode(), local.encode(), witness.into_bytes()]
}

pub fn journal() -> Vec<Vec<u8>> {
    let meta = some_meta();
    let genesis = Kind::Genesis {
        cluster: "cluster".into(),
        group: "meterfold".into(),
    };
    let operator = Kind::Operator {
        decision: "accept-book".into(),
        reason: "ticket 4711".into(),
    };
    let mut commit = JournalRecord::of(Kind::Commit, 3, &meta);
    commit.runs = vec![Run {
        input: 0,
        first_offset: 40,
        count: 4,
    }];
    commit.dead_letter_reasons = vec![("malformed".into(), 1)];
    commit.schemas = vec![WriterSchema {
        id: 5,
        text: Some("\"long\"".into()),
    }];
    let mut adoption = JournalRecord::of(Kind::Adoption, 3, &meta);
    adoption.book_text = Some(b"{}".to_vec());
    let records = [
        JournalRecord::of(genesis, 3, &meta),
        commit,
        adoption,
        JournalRecord::of(operator, 3, &meta),
    ];
    let mut encoded: Vec<Vec<u8>> = records.iter().map(JournalRecord::encode).collect();
    encoded.extend(JournalRecord::parts(&encoded[1].clone(), 7));
    encoded
}

pub fn cells() -> Vec<Vec<u8>> {
    let book = rate_book::read(BOOK).expect("the example is valid");
    let mut account = TeamAccount::new(&book, time());
    let month = Month::parse("2026-01").expect("a month");
    let one_month = account.month_mut(month).clone();
    let of = |kind: u8, cell: Vec<u8>| [vec![kind], cell].concat();
    vec![
        of(0, cells::encode_team(Some(time()), 2, &account, |_| {})),
        of(1, cells::encode_month(&one_month, |_| {})),
        of(2, b"a value".to_vec()),
        of(3, keys::timer(time(), "team-7")),
        of(3, keys::team("team-7", 0)),
        of(3, keys::month("team-7", month, 1)),
        of(3, keys::ids(-3, 7, 1)),
    ]
}

pub fn dead_letter() -> Vec<Vec<u8>> {
    let letters = kafka_record().into_iter().take(6).map(|original| {
        let mut letter = Vec::new();
        dead_letter::write(&original, Fault::malformed("data.quantity"), &mut letter);
        letter
    });
    letters.collect()
}

pub fn archive_manifest() -> Vec<Vec<u8>> {
    let owner = Owner {
        cluster: "cluster".into(),
        group: "meterfold".into(),
        partition_count: 4,
    };
    let manifest = serde_json::to_string(&Manifest::new(owner, 0)).expect("JSON");
    let topic = r#"[{"role":"journal","name":"j","first":0,"next":9,"files":[{"file":"journal-0.zst",
        "first":0,"last":8,"records":9,"record_bytes":1,"file_bytes":1,"blake3":"00"}]}]"#;
    let topic: String = topic.split_whitespace().collect();
    let with_topic = manifest.replace("[]", &topic);
    assert_ne!(with_topic, manifest);
    vec![manifest.into_bytes(), with_topic.into_bytes()]
}

pub fn config() -> Vec<Vec<u8>> {
    let required = "rates = \"book.json\"\n[kafka]\n\"bootstrap.servers\" = \"kafka:9093\"\n\
                    \"security.protocol\" = \"ssl\"\n";
    let more = "application = \"m\"\nworkers = 2\nrates = \"b\"\nrecorded_time = \"record\"\n\
                insecure = true\n[kafka]\n\
                \"bootstrap.servers\" = \"a:1,b:2\"\n\"session.timeout.ms\" = 6000\n\
                \"transaction.timeout.ms\" = 4000\n[topics]\naccounts = \"\"\npartitions = 4\n\
                [commit]\ninterval_ms = 50\n[output]\nformat = \"json\"\n";
    let whole = Config::default_document().replace("\n#rates = ", "\nrates = ");
    let mut documents = vec![required.as_bytes().to_vec(), more.as_bytes().to_vec()];
    if Config::parse("document", &whole).is_ok() {
        documents.push(whole.into_bytes());
    }
    documents
}

/// What a gateway knows.
pub const TOKEN: &str = "3f8a66d1b04c97e2";

pub fn http_head() -> Vec<Vec<u8>> {
    let targets = [
        "/v1/teams/team-7",
        "/v1/teams/a%2Fb/months/2026-01",
        "/v1/teams/%C3%A9/months?after=2026-01&limit=24",
        "/v1/teams/%00/invoices/2025-12",
        "/v1/teams/a+b/invoices?limit=1",
        "/v1/teams/team-7/access?app=a%26b&api=model+derivative&meter=md.complex",
        "/teams/%3Cscript%3E?before=2026-01",
    ];
    let fields = [
        "Host: 127.0.0.1:8080\r\n".to_owned(),
        format!("Host: meterfold.example\r\nAuthorization: Bearer {TOKEN}\r\n"),
        "Host: [::1]\r\nHost: localhost\r\nauthorization: basic YTpi\r\n".to_owned(),
        String::new(),
    ];
    let heads = targets.iter().zip(fields.iter().cycle());
    let heads = heads.map(|(target, fields)| format!("GET {target} HTTP/1.1\r\n{fields}\r\n"));
    heads.map(String::into_bytes).collect()
}
