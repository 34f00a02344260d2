//! What the engine exports: the table of metrics and its document, how counts and partitions come
//! and go, and how many series there can be.

#[path = "telemetry/exposition.rs"]
mod exposition;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use exposition::{Samples, classic, open_metrics};
use meterfold::billing::derived_event::DerivedKind;
use meterfold::billing::disposition::Disposition;
use meterfold::billing::event::DeadLetterReason;
use meterfold::telemetry::labels::{
    BatchResult, DEAD_LETTER_REASONS, ErrorClass, HTTP_CODES, Rebalance, RestoreResult,
    SchemaFetch, Step, TransactionResult,
};
use meterfold::telemetry::table::{self, Shape, TABLE, Values};
use meterfold::telemetry::{
    BrokerFigures, ClientFigures, Format, Halt, InputStatus, PartitionState, PartitionStatus,
    Settings, Telemetry, WorkerState,
};

const TOPICS: [&str; 2] = ["api-calls", "accounts"];
/// `operations.md` 3.1: at 32 partitions.
const SERIES_MAX: usize = 2_000;
const HTTP_CODES_MAX: usize = 8;
const EXPOSITION_BYTES_MAX: usize = 1 << 20;
const SCRAPE_MAX: Duration = Duration::from_millis(100);

#[test]
fn the_document_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let printed = table::markdown();
    if std::env::var_os("UPDATE_METRICS").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    let written = std::fs::read_to_string(path).expect("there is docs/metrics.md");
    assert!(
        written == printed,
        "docs/metrics.md is not what the table says; UPDATE_METRICS=1 writes it"
    );
}

#[test]
fn names_keep_the_conventions() {
    let mut names = BTreeSet::new();
    for row in TABLE {
        let name = row.name;
        assert!(names.insert(name), "{name} twice");
        assert!(
            name.starts_with("meterfold_") || name.starts_with("process_"),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            row.shape == Shape::Counter,
            "{name}"
        );
        assert!(row.help.ends_with('.'), "{name}: {}", row.help);
        if let Shape::Histogram(bounds) = row.shape {
            assert!(bounds.is_sorted_by(|one, next| one < next), "{name}");
        }
        for label in row.labels {
            // What a label says is closed, but for who the process is.
            if let Values::Identity = label.values {
                assert!(name.ends_with("_info"), "{name}: {}", label.name);
            }
        }
    }
}

#[test]
fn a_failure_over_http_can_be_alerted_on() {
    assert!(HTTP_CODES.len() <= HTTP_CODES_MAX);
    assert!(["500", "503"].iter().all(|code| HTTP_CODES.contains(code)));
}

#[test]
fn every_reason_of_the_fold_is_listed() {
    let of_the_fold = [
        DeadLetterReason::Malformed,
        DeadLetterReason::UnknownType,
        DeadLetterReason::TimeInFuture,
        DeadLetterReason::NoRateCard,
        DeadLetterReason::TooOld,
        DeadLetterReason::NegativeQuantity,
        DeadLetterReason::QuantityTooLarge,
    ];
    for reason in of_the_fold {
        assert!(
            DEAD_LETTER_REASONS.contains(&reason.name()),
            "{}",
            reason.name()
        );
    }
}

#[test]
fn all_that_is_known_is_exported_as_0_from_the_start() {
    let samples = classic(&telemetry(2).render(Format::Classic));
    for row in TABLE {
        let values = row.labels.iter().map(|label| match label.values {
            Values::Known(values) => values().len(),
            Values::Topics => TOPICS.len(),
            Values::Identity => 1,
            Values::OwnedPartitions | Values::Brokers => 0,
        });
        let expected: usize = values.product();
        let name = match row.shape {
            Shape::Histogram(_) => format!("{}_count", row.name),
            _ => row.name.to_owned(),
        };
        let found: Vec<_> = samples.series(&name).collect();
        assert_eq!(found.len(), expected, "{name}");
        if row.shape == Shape::Counter && !name.starts_with("process_") {
            assert!(found.iter().all(|(_, value)| **value == 0.0), "{name}");
        }
    }
}

#[test]
fn plain_text_shows() {
    for is_insecure in [false, true] {
        let telemetry = Telemetry::new(Settings {
            is_insecure,
            ..Settings::default()
        });
        let metrics = telemetry.render(Format::Classic);
        let line = format!("meterfold_insecure {}", u8::from(is_insecure));
        assert!(metrics.lines().any(|it| it == line), "{metrics}");
    }
}

#[test]
fn a_report_is_counted_once_and_begins_anew() {
    let telemetry = telemetry(1);
    telemetry.publish_partition(0, running(3));
    let mut report = telemetry.report();
    report.consumed("api-calls", 3, 5, 900);
    report.disposed(Disposition::Charged, 4);
    report.dead_letter("malformed", 1);
    report.dead_letter_bytes(120);
    report.derived(DerivedKind::CapReached, 2);
    telemetry.derived_produced(DerivedKind::CapReached, 2);
    report.step(Step::Commit, 0.02);
    report.end_to_end(0.3);
    report.batch(BatchResult::Committed, 5, 900, 0.04);
    telemetry.publish(0, &mut report);
    telemetry.publish(0, &mut report);

    let samples = classic(&telemetry.render(Format::Classic));
    let of_p3 = r#"{partition="3",topic="api-calls"}"#;
    samples.check("meterfold_records_consumed_total", of_p3, 5.0);
    samples.check(
        "meterfold_consumed_bytes_total",
        r#"{topic="api-calls"}"#,
        900.0,
    );
    samples.check(
        "meterfold_records_disposed_total",
        r#"{disposition="charged"}"#,
        4.0,
    );
    samples.check(
        "meterfold_records_disposed_total",
        r#"{disposition="dead_letter"}"#,
        1.0,
    );
    samples.check(
        "meterfold_dead_letters_total",
        r#"{reason="malformed"}"#,
        1.0,
    );
    samples.check("meterfold_dead_letter_bytes_total", "", 120.0);
    samples.check(
        "meterfold_derived_events_total",
        r#"{kind="cap-reached"}"#,
        2.0,
    );
    samples.check(
        "meterfold_derived_events_produced_total",
        r#"{kind="cap-reached"}"#,
        2.0,
    );
    samples.check("meterfold_batches_total", r#"{result="committed"}"#, 1.0);
    samples.check("meterfold_batch_records_sum", "", 5.0);
    samples.check("meterfold_step_seconds_count", r#"{step="commit"}"#, 1.0);
    samples.check(
        "meterfold_record_end_to_end_seconds_bucket",
        r#"{le="0.5"}"#,
        1.0,
    );
    samples.check(
        "meterfold_record_end_to_end_seconds_bucket",
        r#"{le="0.25"}"#,
        0.0,
    );
    samples.check("meterfold_record_end_to_end_seconds_count", "", 1.0);
}

#[test]
fn an_aborted_batch_folded_nothing_and_its_events_were_sent_for_nothing() {
    let telemetry = telemetry(1);
    telemetry.publish_partition(0, running(3));
    let mut report = telemetry.report();
    report.consumed("api-calls", 3, 5, 900);
    report.disposed(Disposition::Charged, 4);
    report.dead_letter("malformed", 1);
    report.dead_letter_bytes(120);
    report.derived(DerivedKind::CapReached, 2);
    telemetry.derived_produced(DerivedKind::CapReached, 2);
    report.end_to_end(0.3);
    report.abort();
    telemetry.publish(0, &mut report);

    let samples = classic(&telemetry.render(Format::Classic));
    let of_p3 = r#"{partition="3",topic="api-calls"}"#;
    samples.check("meterfold_records_consumed_total", of_p3, 0.0);
    samples.check(
        "meterfold_records_disposed_total",
        r#"{disposition="charged"}"#,
        0.0,
    );
    samples.check(
        "meterfold_dead_letters_total",
        r#"{reason="malformed"}"#,
        0.0,
    );
    samples.check(
        "meterfold_derived_events_total",
        r#"{kind="cap-reached"}"#,
        0.0,
    );
    samples.check(
        "meterfold_derived_events_produced_total",
        r#"{kind="cap-reached"}"#,
        2.0,
    );
    samples.check("meterfold_batches_total", r#"{result="aborted"}"#, 1.0);
    samples.check("meterfold_record_end_to_end_seconds_count", "", 0.0);
}

#[test]
fn what_is_said_of_a_partition_shows_as_gauges() {
    let telemetry = telemetry(1);
    let mut status = running(7);
    status.sequence = 40;
    status.committed_sequence = Some(42);
    status.clock_millis = Some(1_767_225_600_000);
    status.last_commit_unix_millis = Some(1_767_225_700_500);
    status.conservation_residual = -1;
    status.store.figures.live_bytes = 5_000;
    status.inputs = vec![InputStatus {
        topic: "api-calls".into(),
        position: 100,
        log_start: Some(20),
        log_end: Some(150),
        last_stable: Some(130),
        oldest_waiting_millis: Some(0),
        is_cut_off: false,
        retention_millis: Some(86_400_000),
    }];
    telemetry.publish_partition(0, status.clone());
    status.partition = 8;
    telemetry.publish_partition(0, status.clone());

    let samples = classic(&telemetry.render(Format::Classic));
    let of_p7 = r#"{partition="7",topic="api-calls"}"#;
    samples.check("meterfold_input_lag_records", of_p7, 30.0);
    samples.check("meterfold_committed_offset", of_p7, 100.0);
    samples.check("meterfold_log_start_offset", of_p7, 20.0);
    samples.check("meterfold_log_end_offset", of_p7, 150.0);
    samples.check("meterfold_unstable_records", of_p7, 20.0);
    samples.check("meterfold_partition_owned", of_p7, 1.0);
    samples.check("meterfold_partition_running", of_p7, 1.0);
    samples.check(
        "meterfold_conservation_residual_records",
        r#"{partition="7"}"#,
        -1.0,
    );
    samples.check(
        "meterfold_clock_timestamp_seconds",
        r#"{partition="7"}"#,
        1_767_225_600.0,
    );
    samples.check(
        "meterfold_last_commit_timestamp_seconds",
        "",
        1_767_225_700.5,
    );
    samples.check("meterfold_assigned_partitions", "", 2.0);
    samples.check("meterfold_store_live_bytes", "", 10_000.0);
    samples.check("meterfold_input_partitions", r#"{topic="accounts"}"#, 32.0);
    // It is owned all the same.
    telemetry.publish_partition(0, PartitionStatus::restoring(7));
    let restoring = classic(&telemetry.render(Format::Classic));
    restoring.check("meterfold_partition_owned", of_p7, 1.0);
    restoring.check("meterfold_partition_running", of_p7, 0.0);
    // The record at hand is as old as 1970, so its retention is long over.
    assert!(samples.value("meterfold_input_lag_seconds", of_p7) > 1.7e9);
    assert!(samples.value("meterfold_retention_headroom_ratio", of_p7) > 1.0);
}

#[test]
fn lag_without_a_record_at_hand_grows_old_too() {
    let telemetry = telemetry(1);
    let lag_of = |position, log_end| {
        let mut status = running(0);
        status.inputs[0].position = position;
        status.inputs[0].last_stable = Some(log_end);
        telemetry.publish_partition(0, status);
        std::thread::sleep(Duration::from_millis(30));
        let samples = classic(&telemetry.render(Format::Classic));
        samples.value(
            "meterfold_input_lag_seconds",
            r#"{partition="0",topic="api-calls"}"#,
        )
    };
    assert_eq!(lag_of(10, 10), 0.0);
    let first = lag_of(10, 11);
    assert!(first >= 0.03, "{first}");
    let second = lag_of(10, 12);
    assert!(second > first, "{second}");
    assert_eq!(lag_of(12, 12), 0.0);
}

/// What cannot be seen may wait: brokers that are away are no reason to say that nothing does.
#[test]
fn lag_grows_while_brokers_are_away() {
    let telemetry = telemetry(1);
    let lag_of = |is_cut_off| {
        let mut status = running(0);
        status.inputs[0].is_cut_off = is_cut_off;
        telemetry.publish_partition(0, status);
        std::thread::sleep(Duration::from_millis(30));
        let samples = classic(&telemetry.render(Format::Classic));
        let of_p0 = r#"{partition="0",topic="api-calls"}"#;
        samples.check("meterfold_input_lag_records", of_p0, 0.0);
        samples.value("meterfold_input_lag_seconds", of_p0)
    };
    assert_eq!(lag_of(false), 0.0);
    let first = lag_of(true);
    assert!(first >= 0.03, "{first}");
    let second = lag_of(true);
    assert!(second >= first + 0.03, "{second}");
    assert_eq!(lag_of(false), 0.0);
}

/// A process that starts behind is as late as the record that it comes to first.
#[test]
fn lag_is_the_age_of_the_record_at_hand() {
    let telemetry = telemetry(1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let hour_ago = now.unwrap().as_millis() as i64 - 3_600_000;
    let lag_of = |oldest_waiting_millis| {
        let mut status = running(0);
        status.inputs[0].last_stable = Some(11);
        status.inputs[0].oldest_waiting_millis = oldest_waiting_millis;
        telemetry.publish_partition(0, status);
        let samples = classic(&telemetry.render(Format::Classic));
        samples.value(
            "meterfold_input_lag_seconds",
            r#"{partition="0",topic="api-calls"}"#,
        )
    };
    assert!(lag_of(None) < 60.0);
    assert!(lag_of(Some(hour_ago)) >= 3_600.0);
    // It was taken, and the next one is not at hand yet.
    assert!(lag_of(None) >= 3_600.0);
}

/// Gauges are of the client that is worst off; counters go on when a client is made anew.
#[test]
fn brokers_are_as_the_clients_see_them() {
    let telemetry = telemetry(1);
    let tells = |client, broker: BrokerFigures| {
        let figures = ClientFigures {
            told_unix_millis: 1_767_225_600_000,
            brokers: [("1".to_owned(), broker)].into(),
            produce_queue_records: 3,
            ..ClientFigures::default()
        };
        telemetry.client_told(client, figures);
    };
    let disconnected = |disconnects| BrokerFigures {
        is_connected: true,
        disconnects,
        ..BrokerFigures::default()
    };
    tells("consumer-0", disconnected(4));
    tells("consumer-0", disconnected(6));
    // Made anew.
    tells("consumer-0", disconnected(1));
    tells(
        "producer-0",
        BrokerFigures {
            is_missed: true,
            rtt_seconds: 0.25,
            ..disconnected(1)
        },
    );
    let samples = classic(&telemetry.render(Format::Classic));
    let of_1 = r#"{broker="1"}"#;
    samples.check("meterfold_kafka_disconnects_total", of_1, 8.0);
    samples.check("meterfold_kafka_broker_state", of_1, 0.0);
    samples.check("meterfold_kafka_broker_rtt_seconds", of_1, 0.25);
    samples.check("meterfold_kafka_produce_queue_records", "", 6.0);
    samples.check(
        "meterfold_kafka_stats_timestamp_seconds",
        "",
        1_767_225_600.0,
    );
    tells("producer-0", disconnected(1));
    let samples = classic(&telemetry.render(Format::Classic));
    samples.check("meterfold_kafka_broker_state", of_1, 1.0);
    telemetry.client_told("producer-0", ClientFigures::default());
    let samples = classic(&telemetry.render(Format::Classic));
    samples.check("meterfold_kafka_broker_state", of_1, 0.0);
    // None wants it any more, and none has it.
    let given_up = || BrokerFigures {
        is_connected: false,
        ..disconnected(1)
    };
    tells("consumer-0", given_up());
    tells("producer-0", given_up());
    let samples = classic(&telemetry.render(Format::Classic));
    samples.check("meterfold_kafka_broker_state", of_1, 0.0);
    samples.check("meterfold_kafka_disconnects_total", of_1, 8.0);
}

#[test]
fn series_of_a_partition_leave_with_it_and_only_its_owner_takes_them() {
    let telemetry = telemetry(2);
    let of_p5 = |telemetry: &Telemetry| {
        let samples = classic(&telemetry.render(Format::Classic));
        samples.with_label(r#"partition="5""#)
    };
    let mut report = telemetry.report();
    assert_eq!(of_p5(&telemetry), 0);
    telemetry.publish_partition(0, running(5));
    let owned = of_p5(&telemetry);
    assert!(owned > 20, "{owned}");
    // Worker 1 took it over before worker 0 heard of it.
    telemetry.publish_partition(1, running(5));
    telemetry.withdraw_partition(0, 5);
    assert_eq!(of_p5(&telemetry), owned);
    telemetry.withdraw_partition(1, 5);
    assert_eq!(of_p5(&telemetry), 0);
    // What was folded of it before is told late and makes no series.
    report.consumed("api-calls", 5, 1, 1);
    telemetry.publish(1, &mut report);
    assert_eq!(of_p5(&telemetry), 0);
}

#[test]
fn a_halt_is_told_by_its_code() {
    let telemetry = telemetry(1);
    let mut status = running(2);
    status.state = PartitionState::Halted {
        halt: Halt::StateAhead,
        text: "META 9, witness 7".into(),
    };
    telemetry.publish_partition(0, status);
    let samples = classic(&telemetry.render(Format::Classic));
    let of = |halt| format!(r#"{{partition="2",reason="{halt}"}}"#);
    samples.check("meterfold_halt_info", &of("STATE_AHEAD"), 1.0);
    samples.check("meterfold_halt_info", &of("STATE_DIGEST"), 0.0);
    samples.check("meterfold_instance_state", r#"{state="halted"}"#, 1.0);
    samples.check("meterfold_instance_state", r#"{state="running"}"#, 0.0);
}

/// V14: neither teams nor records nor what clients ask for make a series, only owned partitions.
#[test]
fn series_depend_on_owned_partitions_alone() {
    let telemetry = telemetry(1);
    telemetry.set_worker_state(0, WorkerState::Joined);
    for partition in 0..32 {
        telemetry.publish_partition(0, running(partition));
    }
    let before = classic(&telemetry.render(Format::Classic));

    let mut report = telemetry.report();
    for team in 0..1_000_000u64 {
        report.disposed(Disposition::ALL[team as usize % Disposition::ALL.len()], 1);
        report.derived(DerivedKind::ALL[team as usize % DerivedKind::ALL.len()], 1);
        report.end_to_end(team as f64 / 1_000.0);
        report.lateness(team as f64);
    }
    for reason in DEAD_LETTER_REASONS {
        report.dead_letter(reason, 1);
    }
    for partition in 0..32 {
        report.consumed("api-calls", partition, 31_250, 1 << 20);
    }
    telemetry.publish(0, &mut report);
    for step in Step::ALL {
        for class in ErrorClass::ALL {
            telemetry.error(*step, *class);
        }
    }
    let time = Duration::from_millis(7);
    telemetry.transaction(TransactionResult::TimedOut, time);
    telemetry.rebalance(Rebalance::Lost, time);
    telemetry.restore(RestoreResult::Full, time);
    telemetry.schema_fetch(SchemaFetch::Failed, time);
    let begun = Instant::now();
    let text = telemetry.render(Format::Classic);
    let scrape = begun.elapsed();
    let after = classic(&text);
    println!("{} series, {} bytes, {scrape:?}", after.len(), text.len());

    assert!(scrape < SCRAPE_MAX, "{scrape:?}");
    assert_eq!(before.names(), after.names());
    assert!(after.len() <= SERIES_MAX, "{} series", after.len());
    let open = telemetry.render(Format::OpenMetrics);
    assert_eq!(open_metrics(&open).len(), after.len());
    let bytes = text.len().max(open.len());
    assert!(bytes <= EXPOSITION_BYTES_MAX, "{bytes} bytes");
}

#[test]
fn both_formats_say_the_same() {
    let telemetry = telemetry(1);
    telemetry.publish_partition(0, running(1));
    let classic: Samples = classic(&telemetry.render(Format::Classic));
    let open = open_metrics(&telemetry.render(Format::OpenMetrics));
    assert_eq!(classic.names(), open.names());
}

fn telemetry(workers: u16) -> Telemetry {
    Telemetry::new(Settings {
        application: "meterfold".into(),
        instance: "a".into(),
        workers,
        topics: TOPICS.map(str::to_owned).to_vec(),
        partitions: 32,
        state_dir: Some(std::env::temp_dir()),
        ..Settings::default()
    })
}

fn running(partition: u16) -> PartitionStatus {
    let inputs = TOPICS.map(|topic| InputStatus {
        topic: topic.into(),
        position: 10,
        log_start: Some(0),
        log_end: Some(10),
        last_stable: Some(10),
        ..InputStatus::default()
    });
    PartitionStatus {
        state: PartitionState::Running,
        clock_millis: Some(1_767_225_600_000),
        inputs: inputs.to_vec(),
        ..PartitionStatus::restoring(partition)
    }
}
