//! Other ways to be a client of Kafka: the consumer protocol, several workers, TLS and SCRAM.

use std::fs;
use std::time::Duration;

use super::PATIENCE;
use super::support::kafka::{Broker, Options};
use super::support::processor::{Feed, Processor, Setup};
use super::support::sample::Sample;
use super::support::watcher::Watcher;
use super::support::workload::{Flow, assert_result, example_rates, workload};

const CONSUMER_PROTOCOL: &str = "\"group.protocol\" = \"consumer\"";

#[test]
fn samples_under_the_consumer_protocol() {
    let broker = Broker::shared();
    for sample in Sample::all() {
        let place = format!("consumer {}", sample.name);
        let mut setup = Setup::new(broker, &place, 1, &sample.replay.rates);
        setup.extra.push(("kafka", CONSUMER_PROTOCOL.into()));
        fold(&setup, &sample);
        setup.assert_accounts(&place, &sample.expected.accounts);
    }
}

/// A process that was killed comes back while its old session lasts.
#[test]
fn kills_under_the_consumer_protocol() {
    let broker = Broker::shared();
    let mut setup = Setup::new(broker, "consumer kills", 2, &example_rates());
    setup.extra.push(("kafka", CONSUMER_PROTOCOL.into()));
    setup.create_topics();
    let (feed, expected) = workload(&setup, 4_000, 15);
    let watcher = Watcher::start(&setup);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(40));
    let mut steady = Processor::start(&setup, 0);
    for step in ["s3", "s5", "s4", "s6"] {
        let fail_point = format!("{step}:2:kill");
        let environment = [("FAIL_POINT_OF_METERFOLD", fail_point.as_str())];
        let mut victim = Processor::start_with(&setup, 1, &environment);
        let mut status = None;
        flow.until("it is killed", PATIENCE, || {
            status = victim.child.try_wait().expect("a child");
            status.is_some()
        });
        use std::os::unix::process::ExitStatusExt;
        let signal = status.and_then(|status| status.signal());
        assert_eq!(signal, Some(9), "{step}: {status:?}\n{}", victim.log());
    }
    flow.finish();
    steady.wait_until_folded(&setup);
    steady.stop();
    watcher.stop(&setup);
    assert_result(&setup, "consumer protocol", &expected);
}

#[test]
fn two_workers_in_one_process() {
    let broker = Broker::shared();
    let mut setup = Setup::new(broker, "workers", 4, &example_rates());
    setup.extra.push(("", "workers = 2".into()));
    setup.create_topics();
    let (feed, expected) = workload(&setup, 6_000, 16);
    let mut flow = Flow::new(&setup, &feed, Duration::from_secs(8));
    let mut processor = Processor::start(&setup, 0);
    flow.during(Duration::from_secs(4));
    processor.kill();
    processor = Processor::start(&setup, 0);
    flow.finish();
    processor.wait_until_folded(&setup);
    assert_eq!(
        processor.said("transactions are initialised"),
        2,
        "{}",
        processor.log()
    );
    processor.stop();
    assert_result(&setup, "two workers", &expected);
}

/// F42 in part: through TLS and SCRAM a sample gives its bytes; a wrong password is exit 6, and
/// nowhere is a password shown.
#[test]
fn tls_and_scram() {
    let password = "canary-5417-right";
    let options = Options {
        users: vec![("meterfold".into(), password.into())],
        ..Options::default()
    };
    let broker = Broker::start_with(&options);
    let sample = Sample::read("january");
    let mut setup = Setup::new(&broker, "secure", 1, &sample.replay.rates);
    let file = setup.dir().join("password");
    fs::write(&file, password).expect("a file");
    setup.bootstrap = broker.bootstrap_tls();
    setup.give_kafka(&[
        ("security.protocol", "SASL_SSL".to_owned()),
        ("ssl.ca.location", broker.ca().display().to_string()),
        ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
        ("sasl.username", "meterfold".to_owned()),
        ("sasl.password.file", file.display().to_string()),
    ]);
    let log = fold(&setup, &sample);
    assert!(!log.contains("canary"), "a password in the log:\n{log}");

    let wrong = "canary-5417-wrong";
    fs::write(&file, wrong).expect("a file");
    let mut refused = Processor::start(&setup, 0);
    let status = refused.ended(PATIENCE);
    let log = refused.log();
    assert_eq!(status.code(), Some(6), "{log}");
    assert!(!log.contains("canary"), "a password in the log:\n{log}");
}

/// Folds a sample on new topics; returns what the process said.
fn fold(setup: &Setup, sample: &Sample) -> String {
    setup.create_topics();
    let until = sample.replay.until.as_deref();
    Feed::of_trace(&sample.replay.inputs, &sample.expected.trace, until).produce(setup);
    let mut processor = Processor::start(setup, 0);
    processor.wait_until_folded(setup);
    let log = processor.log();
    processor.stop();
    setup.assert_derived(&setup.name, &sample.expected.derived);
    log
}
