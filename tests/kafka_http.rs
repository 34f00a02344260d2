//! The queries of `meterfold run` on a real Kafka: what any instance answers is what a file run says,
//! whoever serves the team, and slow clients do not hold up the fold.

#[path = "http/client.rs"]
mod client;
mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{Answer, get};
use serde_json::Value;
use support::kafka::Broker;
use support::processor::{PATIENCE, Processor, Setup};
use support::workload::{example_rates, workload};

#[test]
fn any_instance_leads_to_the_bytes_of_a_file_run() {
    follow_owners("http-classic", None);
}

#[test]
fn owners_are_found_under_the_consumer_protocol_too() {
    follow_owners("http-consumer", Some("\"group.protocol\" = \"consumer\""));
}

fn follow_owners(name: &str, protocol: Option<&str>) {
    let mut setup = Setup::new(Broker::shared(), name, 4, &example_rates());
    setup
        .extra
        .extend(protocol.map(|line| ("kafka", line.to_owned())));
    setup.create_topics();
    let (feed, expected) = workload(&setup, 2_000, 5);
    let addresses = [free_address(), free_address()];
    let mut instances: Vec<Processor> = (0..)
        .zip(addresses)
        .map(|(instance, address)| start(&setup, instance, address))
        .collect();
    wait_for("both serve partitions", || {
        addresses.iter().all(|address| owned(*address) > 0)
            && addresses
                .iter()
                .map(|address| owned(*address))
                .sum::<usize>()
                == 4
    });
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Who asks while everything moves is told the truth or to come again.
        scope.spawn(|| {
            let mut seen = BTreeSet::new();
            let mut is_last = false;
            while !is_last {
                is_last = is_over.load(Ordering::Relaxed);
                for team in teams(&expected.accounts).into_iter().take(10) {
                    let answer = get(addresses[0], &format!("/v1/teams/{team}"));
                    assert!(
                        matches!(answer.status, 200 | 404 | 421 | 503),
                        "{}",
                        answer.whole
                    );
                    seen.insert(answer.status);
                    let access = format!("/v1/teams/{team}/access?app=a&api=automation");
                    let answer = get(addresses[1], &access);
                    assert!(matches!(answer.status, 200 | 421 | 503), "{}", answer.whole);
                }
            }
            assert!(seen.contains(&200) && seen.contains(&421), "{seen:?}");
        });
        feed.produce(&setup);
        instances[0].wait_until_folded(&setup);
        is_over.store(true, Ordering::Relaxed);
    });
    let elsewhere = check_everything(&addresses, &expected.accounts, &expected.derived);
    assert!(elsewhere > 0, "some teams are served by the other instance");

    // The one that is left restores what the other had, invoices too, from the changelog alone.
    instances.pop().expect("the second").kill();
    wait_for("the first serves all", || owned(addresses[0]) == 4);
    let elsewhere = check_everything(&addresses[..1], &expected.accounts, &expected.derived);
    assert_eq!(elsewhere, 0);
    instances.pop().expect("the first").stop();
}

/// Asks the first of `addresses` for each account and invoice, follows 421, and compares. Returns
/// how often it was sent elsewhere.
fn check_everything(addresses: &[SocketAddr], accounts: &[u8], derived: &[u8]) -> usize {
    let mut elsewhere = 0;
    let mut ask = |path: &str| {
        let answer = get(addresses[0], path);
        if answer.status != 421 {
            return answer;
        }
        elsewhere += 1;
        let owner = answer.json()["owner"]
            .as_str()
            .expect("an owner")
            .to_owned();
        let owner = owner.strip_prefix("http://").expect("a URL");
        let owner: SocketAddr = owner.parse().expect("an address");
        assert_eq!(Some(&owner), addresses.get(1), "{}", answer.whole);
        get(owner, path)
    };
    for (team, line) in teams(accounts).iter().zip(lines(accounts)) {
        let answer = ask(&format!("/v1/teams/{team}"));
        assert_eq!((answer.status, answer.body.as_str()), (200, line));
    }
    let mut invoices = 0;
    for line in lines(derived) {
        let event: Value = serde_json::from_str(line).expect("an event");
        if event["type"] == "meterfold.monthly-invoice.v1" {
            let (_, data) = line.split_once(",\"data\":").expect("data");
            let (team, month) = (&event["subject"], &event["data"]["month"]);
            let words = |value: &Value| value.as_str().expect("a text").to_owned();
            let path = format!("/v1/teams/{}/invoices/{}", words(team), words(month));
            let answer = ask(&path);
            assert_eq!((answer.status, answer.body + "}"), (200, data.to_owned()));
            invoices += 1;
        }
    }
    assert!(invoices > 5, "{invoices} invoices");
    elsewhere
}

/// F73: the fold goes on, and those who ask properly are answered.
#[test]
fn slow_and_greedy_clients_do_not_hold_up_the_fold() {
    let setup = Setup::new(Broker::shared(), "http-slow", 2, &example_rates());
    setup.create_topics();
    let (feed, expected) = workload(&setup, 4_000, 6);
    let address = free_address();
    let mut processor = start(&setup, 0, address);
    processor.wait_until_runs(&setup);
    let slow: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = client::connect(address);
            stream
                .write_all(b"GET /v1/teams/a HTTP/1.1\r\nHo")
                .expect("it listens");
            stream
        })
        .collect();
    let team = teams(&expected.accounts).remove(0);
    let is_over = AtomicBool::new(false);
    let mut times = thread::scope(|scope| {
        let asking: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = Vec::new();
                    while !is_over.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        let path = format!("/v1/teams/{team}/access?app=a&api=automation");
                        let answer: Answer = get(address, &path);
                        assert!(matches!(answer.status, 200 | 503), "{}", answer.whole);
                        times.push(begun.elapsed());
                    }
                    times
                })
            })
            .collect();
        feed.produce(&setup);
        processor.wait_until_folded(&setup);
        is_over.store(true, Ordering::Relaxed);
        let times = asking
            .into_iter()
            .flat_map(|it| it.join().expect("its answers"));
        times.collect::<Vec<Duration>>()
    });
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    assert!(
        p99 < Duration::from_secs(1),
        "p99 of {} answers: {p99:?}",
        times.len()
    );
    drop(slow);
    processor.stop();
    setup.assert_accounts("slow clients", &expected.accounts);
}

#[test]
fn a_token_file_that_cannot_be_read_is_refused() {
    let setup = Setup::new(Broker::shared(), "http-token", 1, &example_rates());
    let path = setup.dir().join("no-such-token").display().to_string();
    let environment = [("METERFOLD_HTTP__BEARER_TOKEN_FILE", path.as_str())];
    let mut processor = Processor::start_with(&setup, 0, &environment);
    assert_eq!(processor.ended(PATIENCE).code(), Some(4));
    let said = processor.log();
    assert!(
        said.contains("http.bearer_token_file") && said.contains("no-such-token"),
        "{said}"
    );
}

fn start(setup: &Setup, instance: u16, address: SocketAddr) -> Processor {
    let address = address.to_string();
    let environment = [
        ("METERFOLD_HTTP__LISTEN", address.as_str()),
        ("METERFOLD_HTTP__ADVERTISED", address.as_str()),
    ];
    Processor::start_with(setup, instance, &environment)
}

/// A port that nobody listens at.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// Partitions that run there.
fn owned(address: SocketAddr) -> usize {
    if std::net::TcpStream::connect(address).is_err() {
        return 0;
    }
    let status = get(address, "/status").json();
    let partitions = status["partitions"].as_array().expect("a list");
    let runs = |partition: &&Value| partition["state"] == "running";
    partitions.iter().filter(runs).count()
}

#[track_caller]
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < 2 * PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    std::str::from_utf8(bytes).expect("text").lines()
}

/// Generated names need no escape.
fn teams(accounts: &[u8]) -> Vec<String> {
    let name = |line| {
        let account: Value = serde_json::from_str(line).expect("an account");
        account["team"].as_str().expect("a team").to_owned()
    };
    lines(accounts).map(name).collect()
}
