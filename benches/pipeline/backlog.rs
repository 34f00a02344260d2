//! The input: enrolments of teams, then their API calls, written to a topic as a gateway would.
//!
//! A call is a function of its number, so no list of them is kept. All teams are equally busy: the
//! worst case for caches and for the number of cells that a commit writes. Every hundredth call is
//! sent a second time. Both formats have roughly 180 bytes a call; Avro holds more in them (path,
//! method, longer ids).

use std::io::Write as _;
use std::time::{Duration, Instant as WallInstant, SystemTime, UNIX_EPOCH};

use meterfold::billing::event::{Body, Event, Offering, Status, Usage};
use meterfold::billing::time::Instant;
use meterfold::wire::partitioner::partition_of;
use meterfold::wire::{avro, event_json};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::broker::Broker;
use crate::sizes::{Format, Sizes};

/// APIs with what a Free team may use of them in a month (`schemas/rates/aps-example.json`) and the
/// most that one call uses.
pub const APIS: [Api; 4] = [
    Api {
        id: "automation",
        path: "/da/us-east/v3/workitems",
        method: "POST",
        engine: Some("autocad"),
        cap: 18_000,
        quantity_max: 300,
    },
    Api {
        id: "reality_capture",
        path: "/photo-to-3d/v1/photoscene",
        method: "POST",
        engine: None,
        cap: 500,
        quantity_max: 40,
    },
    Api {
        id: "flow_graph_engine",
        path: "/flowgraph/v1/jobs",
        method: "POST",
        engine: None,
        cap: 18_000,
        quantity_max: 300,
    },
    Api {
        id: "model_derivative",
        path: "/modelderivative/v2/designdata/u/metadata",
        method: "GET",
        engine: None,
        cap: 300_000,
        quantity_max: 1,
    },
];

/// The API of probes: one call can use it up.
const PROBED: usize = 1;

const HOUR_MILLIS: i64 = 3_600_000;

pub struct Api {
    pub id: &'static str,
    path: &'static str,
    method: &'static str,
    engine: Option<&'static str>,
    pub cap: u64,
    quantity_max: u64,
}

/// A topic that is filled.
pub struct Backlog {
    pub topic: String,
    pub format: Format,
    pub partitions: u16,
    pub records: u64,
    pub value_bytes: u64,
    /// Teams and APIs whose usage reaches the cap: how many derived events are right.
    pub caps_reached: u64,
    pub loaded_per_second: f64,
}

/// Writes events to one topic.
pub struct Writer {
    producer: BaseProducer,
    topic: String,
    format: Format,
    partitions: u16,
    /// The bench's beginning; events lie before it.
    now: Instant,
    heads: Heads,
    pub records: u64,
    pub value_bytes: u64,
    value: Vec<u8>,
}

/// How single-object encoding begins, by type.
struct Heads {
    call: Vec<u8>,
    enrolled: Vec<u8>,
    hub: Vec<u8>,
    app: Vec<u8>,
}

impl Backlog {
    /// Every team enrolled as Free, then `sizes.records` calls.
    pub fn of_calls(broker: &Broker, format: Format, sizes: &Sizes) -> Backlog {
        let topic = format!("calls-{}", format.name());
        broker.create_input(&topic, sizes.partitions);
        let begun = WallInstant::now();
        let mut writer = Writer::to(broker, &topic, format, sizes.partitions);
        let mut used = vec![[0_u64; APIS.len()]; sizes.teams as usize];
        for team in 0..sizes.teams {
            writer.enrol(team);
        }
        for number in 0..sizes.records {
            let call = Call::of(number, sizes.teams);
            if call.number == number {
                used[call.team as usize][call.api] += call.quantity;
            }
            writer.call(&call);
        }
        let backlog = writer.finish(broker);
        let caps_reached = used.iter().flat_map(|used| used.iter().zip(&APIS));
        Backlog {
            caps_reached: caps_reached.filter(|(used, api)| **used >= api.cap).count() as u64,
            loaded_per_second: backlog.records as f64 / begun.elapsed().as_secs_f64(),
            ..backlog
        }
    }
}

/// One API call of the load.
pub struct Call {
    /// Of the call that it is or repeats.
    number: u64,
    team: u64,
    api: usize,
    quantity: u64,
    seed: u64,
}

impl Call {
    pub fn of(number: u64, teams: u64) -> Call {
        let is_repeated = number % 100 == 99;
        let number = if is_repeated { number - 50 } else { number };
        let seed = mixed(number);
        let api = (seed >> 8) as usize % APIS.len();
        Call {
            number,
            team: (seed >> 16) % teams,
            api,
            quantity: 1 + mixed(seed) % APIS[api].quantity_max,
            seed,
        }
    }

    /// The call that uses up what `team` may use, in one.
    pub fn probe(team: u64) -> Call {
        Call {
            number: u64::MAX - team,
            team,
            api: PROBED,
            quantity: APIS[PROBED].cap,
            seed: mixed(u64::MAX - team),
        }
    }

    /// Only what must be there, to have about the bytes of the Avro form.
    fn write_json(&self, team: &str, time: Instant, out: &mut Vec<u8>) {
        let time = Instant::from_millis(time.millis() / 1_000 * 1_000);
        let api = &APIS[self.api];
        let (id, app) = (self.seed, app_name(self.team));
        write!(
            out,
            concat!(
                r#"{{"specversion":"1.0","id":"{:016x}","source":"/g","type":"meterfold.api-call.v1","#,
                r#""subject":"{}","time":"{}","data":{{"app_id":"{}","api":"{}","quantity":{}"#
            ),
            id, team, time, app, api.id, self.quantity,
        )
        .expect("memory");
        if let Some(engine) = api.engine {
            write!(out, r#","engine":"{engine}""#).expect("memory");
        }
        out.extend_from_slice(b"}}");
    }

    fn encode_avro(&self, team: &str, time: Instant, out: &mut Vec<u8>) {
        let api = &APIS[self.api];
        let app = app_name(self.team);
        let usage = Usage {
            app_id: app.as_str(),
            api: Some(api.id),
            method: Some(api.method),
            path: Some(api.path),
            engine: api.engine,
            source_format: None,
            quantity: self.quantity as i64,
            status: Status::Success,
            http_status: Some(200),
        };
        let id = format!("{:016x}-{:016x}", self.seed, mixed(!self.seed));
        let event = Event {
            source: "/gateway/eu-central-1/pod-17",
            id: id.as_str(),
            team,
            time,
            body: Body::ApiCall(usage),
        };
        avro::encode(&event, None, out);
    }
}

impl Writer {
    pub fn to(broker: &Broker, topic: &str, format: Format, partitions: u16) -> Writer {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &broker.brokers)
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144")
            .create()
            .expect("a producer");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock");
        Writer {
            producer,
            topic: topic.to_owned(),
            format,
            partitions,
            now: Instant::from_millis(now.as_millis() as i64),
            heads: Heads {
                call: head("meterfold.api-call.v1"),
                enrolled: head("meterfold.offering-enrolled.v1"),
                hub: head("meterfold.hub-created.v1"),
                app: head("meterfold.app-migrated.v1"),
            },
            records: 0,
            value_bytes: 0,
            value: Vec::with_capacity(1_024),
        }
    }

    /// Makes `team` a Free team with a hub and one app, from two hours ago.
    pub fn enrol(&mut self, team: u64) {
        let name = team_name(team);
        let app = app_name(team);
        let bodies = [
            Body::OfferingEnrolled(Offering::Free),
            Body::HubCreated { hub_id: "hub-1" },
            Body::AppMigrated {
                app_id: app.as_str(),
                hub_id: None,
            },
        ];
        for (number, body) in bodies.into_iter().enumerate() {
            let event = Event {
                source: "/hub",
                id: &format!("{name}-{number}"),
                team: &name,
                time: self.now.minus_millis(2 * HOUR_MILLIS),
                body,
            };
            self.value.clear();
            match self.format {
                Format::Json => event_json::write(&event, None, &mut self.value),
                Format::Avro => {
                    let head = match event.body {
                        Body::OfferingEnrolled(_) => &self.heads.enrolled,
                        Body::HubCreated { .. } => &self.heads.hub,
                        _ => &self.heads.app,
                    };
                    self.value.extend_from_slice(head);
                    avro::encode(&event, None, &mut self.value);
                }
            }
            self.send(&name);
        }
    }

    pub fn call(&mut self, call: &Call) {
        let ago = (call.seed % HOUR_MILLIS as u64) as i64;
        let time = self.now.minus_millis(ago).max(self.now.month().start());
        let team = team_name(call.team);
        self.value.clear();
        match self.format {
            Format::Json => call.write_json(&team, time, &mut self.value),
            Format::Avro => {
                self.value.extend_from_slice(&self.heads.call);
                call.encode_avro(&team, time, &mut self.value);
            }
        }
        self.send(&team);
    }

    /// Hands over to the broker what waits, and takes delivery reports.
    pub fn poll(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits until everything was acknowledged.
    pub fn flush(&self) {
        self.producer
            .flush(Duration::from_secs(60))
            .expect("the broker takes it");
    }

    /// The topic as it stands; checked to hold what was sent.
    pub fn finish(self, broker: &Broker) -> Backlog {
        self.flush();
        let stored = broker.records_of(&self.topic, self.partitions);
        assert_eq!(stored, self.records, "records of {}", self.topic);
        Backlog {
            topic: self.topic,
            format: self.format,
            partitions: self.partitions,
            records: self.records,
            value_bytes: self.value_bytes,
            caps_reached: 0,
            loaded_per_second: 0.0,
        }
    }

    fn send(&mut self, key: &str) {
        let partition = partition_of(key.as_bytes(), self.partitions);
        let mut record = BaseRecord::to(&self.topic)
            .key(key)
            .payload(&self.value)
            .partition(partition.into());
        while let Err((error, refused)) = self.producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert_eq!(error, full, "to {}", self.topic);
            self.producer.poll(Duration::from_millis(10));
            record = refused;
        }
        self.records += 1;
        self.value_bytes += self.value.len() as u64;
        if self.records.is_multiple_of(1_000) {
            self.poll();
        }
    }
}

/// Under which a datum of the calls' schema stands in single-object encoding.
pub fn call_fingerprint() -> u64 {
    fingerprint("meterfold.api-call.v1")
}

pub fn team_name(team: u64) -> String {
    format!("team-{team:07}")
}

/// The number in a team's name.
pub fn team_number(name: &[u8]) -> Option<u64> {
    std::str::from_utf8(name.strip_prefix(b"team-")?)
        .ok()?
        .parse()
        .ok()
}

fn app_name(team: u64) -> String {
    format!("a{team}")
}

fn fingerprint(type_name: &str) -> u64 {
    let schema = avro::input_schema(type_name).expect("a known type");
    avro::fingerprint(schema).expect("a schema").standard
}

fn head(type_name: &str) -> Vec<u8> {
    let mut head = vec![0xC3, 0x01];
    head.extend_from_slice(&fingerprint(type_name).to_le_bytes());
    head
}

/// A number that looks random (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
