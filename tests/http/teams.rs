//! A server over state that `replay` made: as `run` serves what it runs, without a log.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use meterfold::billing::rate_book::RateBook;
use meterfold::http::{self, Authentication, Limits, Owners, Queries, Server};
use meterfold::store::rocks::Rocks;
use meterfold::store::views::Views;
use meterfold::telemetry::{Settings, Telemetry};
use meterfold::wire::partitioner::partition_of;
use meterfold::wire::rate_book;
use tempfile::TempDir;

use crate::client::{self, Answer};
use crate::support::program::Replay;

pub const EXAMPLE_BOOK: &str = include_str!("../../schemas/rates/aps-example.json");

/// Key spaces of a file run.
const PARTITIONS: u16 = 16;

pub struct Served {
    server: Server,
    views: Views,
    rocks: Rocks,
    book: Arc<RateBook>,
    until: Option<String>,
    _dir: TempDir,
}

impl Served {
    /// The state that a run leaves.
    pub fn of(replay: Replay) -> Served {
        let authentication = Authentication::new("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let owners = Owners::new(None, || Ok(BTreeMap::new()));
        Served::run(replay, authentication, owners, tempfile::tempdir().unwrap())
    }

    /// The state after these events, under the example of a rate book.
    pub fn of_events(events: &[String]) -> Served {
        let owners = Owners::new(None, || Ok(BTreeMap::new()));
        let authentication = Authentication::new("127.0.0.1:0".parse().unwrap(), None).unwrap();
        Served::with(events, authentication, owners)
    }

    /// Those of the events that are recorded by then, and the clock moved there.
    pub fn of_events_until(events: &[String], until: &str) -> Served {
        Served::of_events_under(EXAMPLE_BOOK, events, until)
    }

    pub fn of_events_under(book: &str, events: &[String], until: &str) -> Served {
        let dir = tempfile::tempdir().unwrap();
        let (rates, input) = (dir.path().join("rates.json"), dir.path().join("in.ndjson"));
        fs::write(&rates, book).unwrap();
        let mut events = events.to_vec();
        events.retain(|event| recorded(event).as_str() <= until);
        fs::write(&input, events.join("\n")).unwrap();
        let authentication = Authentication::new("127.0.0.1:0".parse().unwrap(), None).unwrap();
        let owners = Owners::new(None, || Ok(BTreeMap::new()));
        let replay = replay(rates, input, Some(until));
        Served::run(replay, authentication, owners, dir)
    }

    pub fn with(events: &[String], authentication: Authentication, owners: Owners) -> Served {
        let dir = tempfile::tempdir().unwrap();
        let (rates, input) = (dir.path().join("rates.json"), dir.path().join("in.ndjson"));
        fs::write(&rates, EXAMPLE_BOOK).unwrap();
        fs::write(&input, events.join("\n")).unwrap();
        let replay = replay(rates, input, None);
        Served::run(replay, authentication, owners, dir)
    }

    fn run(
        mut replay: Replay,
        authentication: Authentication,
        owners: Owners,
        dir: TempDir,
    ) -> Served {
        let state = dir.path().join("state");
        replay.out = dir.path().join("out");
        replay.state = Some(state.clone());
        replay.succeed();
        let book = fs::read(&replay.rates).unwrap();
        let book = Arc::new(rate_book::read(&book).expect("a rate book"));
        let rocks = Rocks::open(&state).expect("a state");
        let views = Views::default();
        let telemetry = Telemetry::new(Settings {
            workers: 1,
            partitions: PARTITIONS,
            ..Settings::default()
        });
        let queries = Queries::new(views.clone(), PARTITIONS, authentication, owners);
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = http::serve(listen, &telemetry, queries, Limits::default()).unwrap();
        let served = Served {
            server,
            views,
            rocks,
            book,
            until: replay.until,
            _dir: dir,
        };
        served.show_all();
        served
    }

    pub fn show_all(&self) {
        for partition in 0..PARTITIONS {
            let store = self.rocks.partition(partition);
            self.views.show(partition, &store, &self.book);
        }
    }

    pub fn hide_all(&self) {
        (0..PARTITIONS).for_each(|partition| self.views.hide(partition));
    }

    pub fn until(&self) -> Option<&str> {
        self.until.as_deref()
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "")
    }

    /// With more header fields.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, fields: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Connection: close\r\n\r\n"
        );
        client::send(self.address(), request.as_bytes())
    }
}

fn replay(rates: PathBuf, input: PathBuf, until: Option<&str>) -> Replay {
    Replay {
        rates,
        inputs: vec![input],
        until: until.map(str::to_owned),
        ..Replay::default()
    }
}

fn recorded(event: &str) -> String {
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    event["time"].as_str().unwrap().to_owned()
}

/// The partition of a team in a file run.
pub fn partition(team: &str) -> u16 {
    partition_of(team.as_bytes(), PARTITIONS)
}

/// Every byte escaped that may be.
pub fn encoded(team: &str) -> String {
    team.bytes()
        .map(|byte| match byte.is_ascii_alphanumeric() || byte == b'-' {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

pub fn event(team: &str, id: &str, kind: &str, data: &str, time: &str) -> String {
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    serde_json::json!({
        "specversion": "1.0",
        "id": id,
        "source": "/test",
        "type": format!("meterfold.{kind}.v1"),
        "subject": team,
        "time": time,
        "data": data,
    })
    .to_string()
}

pub fn enrol(team: &str, offering: &str, time: &str) -> String {
    let data = format!(r#"{{"offering":"{offering}"}}"#);
    event(team, "enrol", "offering-enrolled", &data, time)
}

pub fn call(team: &str, id: &str, api: &str, quantity: u64, time: &str) -> String {
    let data =
        format!(r#"{{"app_id":"app","api":"{api}","engine":"autocad","quantity":{quantity}}}"#);
    event(team, id, "api-call", &data, time)
}
