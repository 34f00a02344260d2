//! Decoding one api-call event, against the generic readers of the same text and datum, and as a
//! record of the log: canonical bytes, checks of key and partition, content.
//!
//! `cargo bench --bench decode`. Targets: 3 times `serde_json::Value`, 8 times Avro's generic
//! value.

use std::hint::black_box;
use std::time::Instant as WallInstant;

use std::sync::Arc;

use apache_avro::{Schema, from_avro_datum};
use meterfold::billing::time::Instant;
use meterfold::wire::kafka_record::{LogRecord, Outcome, RecordDecoder, RecordRules, SchemaAnswer};
use meterfold::wire::span::Text;
use meterfold::wire::{avro, cloudevents, record_bytes};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: u32 = 200_000;
const ROUNDS: usize = 9;

const EVENT: &str = r#"{"specversion":"1.0","id":"c-00000001234","source":"/gateway/eu-1","type":"meterfold.api-call.v1","subject":"team-0001234","time":"2026-01-10T10:00:00.250Z","data":{"app_id":"app-0001234-1","api":"automation","method":"POST","path":"/da/us-east/v3/workitems","engine":"autocad","quantity":217,"status":"success"}}"#;

fn main() {
    let mut text = Text {
        input: EVENT.to_owned(),
        side: String::new(),
    };
    let decoded = cloudevents::decode(&text.input, 0, EVENT.len(), &mut text.side);
    let event = decoded
        .event
        .expect("the event is well formed")
        .map(|span| text.get(span));
    let mut datum = Vec::new();
    avro::encode(&event, decoded.recorded, &mut datum);
    let schema_text = avro::input_schema("meterfold.api-call.v1").expect("a known type");
    let schema = Schema::parse_str(schema_text).expect("a schema");
    let plan = avro::Plan::of_schema(schema_text).expect("a plan");
    let mut side = String::new();

    let framed = [&[0, 0, 0, 0, 1][..], &datum].concat();
    let mut json_decoder = decoder(schema_text);
    let mut avro_decoder = decoder(schema_text);
    let mut json_log = Log::default();
    let mut avro_log = Log::default();

    let [json, value, avro, generic, json_record, avro_record] = best([
        &mut || {
            black_box(cloudevents::decode(
                black_box(EVENT),
                0,
                EVENT.len(),
                &mut String::new(),
            ));
        },
        &mut || {
            drop(black_box(serde_json::from_str::<serde_json::Value>(
                black_box(EVENT),
            )))
        },
        &mut || {
            side.clear();
            black_box(plan.decode(black_box(&datum), &mut side));
        },
        &mut || {
            drop(black_box(from_avro_datum(
                &schema,
                &mut black_box(datum.as_slice()),
                None,
            )))
        },
        &mut || json_log.decode(&mut json_decoder, black_box(EVENT.as_bytes())),
        &mut || avro_log.decode(&mut avro_decoder, black_box(&framed)),
    ]);
    println!("{:<44}{:>10}{:>8}", "one api-call event", "ns", "ratio");
    println!("{:<44}{json:>10}", format!("JSON, {} bytes", EVENT.len()));
    println!(
        "{:<44}{value:>10}{:>7}x",
        "  serde_json::Value",
        tenths(value, json)
    );
    println!("{:<44}{avro:>10}", format!("Avro, {} bytes", datum.len()));
    println!(
        "{:<44}{generic:>10}{:>7}x",
        "  apache_avro generic value",
        tenths(generic, avro)
    );
    println!("{:<44}{json_record:>10}", "JSON as a record of the log");
    println!("{:<44}{avro_record:>10}", "Avro as a record of the log");
}

fn decoder(schema: &str) -> RecordDecoder {
    let rules = RecordRules {
        partition: 0,
        partitions: 1,
        has_accounts: true,
        takes_ticks: false,
        halts_on_wrong_partition: true,
    };
    let mut decoder = RecordDecoder::new(rules, Arc::new(avro::Schemas::built_in()));
    let learned = decoder.learn(1, SchemaAnswer::Schema(schema.to_owned()));
    learned.expect("a schema of ours");
    decoder
}

/// Memory of a batch, of which one record is enough here.
#[derive(Default)]
struct Log {
    raw: Vec<u8>,
    text: Text,
}

impl Log {
    fn decode(&mut self, decoder: &mut RecordDecoder, value: &[u8]) {
        self.raw.clear();
        self.text.input.clear();
        self.text.side.clear();
        let recorded = Instant::from_millis(1_768_039_200_000);
        let key = Some(&b"team-0001234"[..]);
        let lies = record_bytes::append(&mut self.raw, 0, 7, recorded, key, [], Some(value));
        let record = LogRecord::read(&self.raw[lies]).expect("written here");
        let Outcome::Decoded(decoded) = decoder.decode(&record, &mut self.text) else {
            panic!("the record is as it should be");
        };
        assert!(black_box(decoded).event.is_ok());
    }
}

/// Nanoseconds an event of each piece of work, the best of several interleaved rounds.
fn best<const N: usize>(mut work: [&mut dyn FnMut(); N]) -> [u128; N] {
    let mut best = [u128::MAX; N];
    for _ in 0..ROUNDS {
        for (best, work) in best.iter_mut().zip(&mut work) {
            let begun = WallInstant::now();
            (0..EVENTS).for_each(|_| work());
            *best = (*best).min(begun.elapsed().as_nanos() / u128::from(EVENTS));
        }
    }
    best
}

fn tenths(slower: u128, faster: u128) -> String {
    let ratio = slower * 10 / faster.max(1);
    format!("{}.{}", ratio / 10, ratio % 10)
}
