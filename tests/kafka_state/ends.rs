//! How processes end: told to, told twice, killed while they stop, by a panic, again and again on
//! one record.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::kafka::Broker;
use crate::support::processor::{DERIVED, PATIENCE};
use crate::support::random::Random;
use crate::support::scene::Scene;

/// SIGTERMs followed by SIGKILL: `KAFKA_STATE_KILLS`, or what CI has time for.
fn kills() -> usize {
    let kills = std::env::var("KAFKA_STATE_KILLS").ok();
    kills.map_or(6, |kills| kills.parse().expect("a number"))
}

/// F86: within ten seconds, with nothing left open that a reader would wait for.
#[test]
fn a_stop_in_the_middle_of_a_transaction_leaves_none_open() {
    for point in ["s3:2:sleep=1500", "s4:2:sleep=1500", "s1:1:sleep=1500"] {
        let step = point.split(':').next().expect("a step");
        let mut scene = Scene::new(Broker::shared(), &format!("ends_open_{step}"), 1);
        scene.produce_share(2);
        let processor = scene.start_with(&[("FAIL_POINT_OF_METERFOLD", point)]);
        let log = processor.log.clone();
        let fires = || {
            std::fs::read_to_string(&log)
                .unwrap_or_default()
                .contains("fires")
        };
        let began = Instant::now();
        while !fires() {
            assert!(
                began.elapsed() < PATIENCE,
                "{point} did not fire:\n{}",
                processor.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
        // Ends with 0 within ten seconds, or this fails.
        processor.stop();
        for topic in ["changelog", "journal"].iter().chain(&DERIVED) {
            let topic = scene.setup.topic(topic);
            let ends = scene.setup.broker.end_offsets(&topic);
            let began = Instant::now();
            // The coordinator writes the last markers after it has answered.
            while scene.setup.broker.stable_offsets(&topic) != ends {
                let waited = began.elapsed();
                assert!(
                    waited < Duration::from_secs(2),
                    "{topic}: a transaction is open after {point}"
                );
                thread::sleep(Duration::from_millis(20));
            }
        }
        scene.assert_goes_on(point);
    }
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let name = format!("ends_twice_{signal}");
        let mut scene = Scene::new(Broker::shared(), &name, 1);
        scene.produce_share(2);
        let mut processor = scene.start_with(&[("FAIL_POINT_OF_METERFOLD", "s4:2:sleep=20000")]);
        let log = processor.log.clone();
        processor.wait_until("it is in the middle of a commit", || {
            std::fs::read_to_string(&log)
                .unwrap_or_default()
                .contains("fires")
        });
        processor.signal(signal);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(
            processor.child.try_wait().expect("a child"),
            None,
            "the first one waits"
        );
        let began = Instant::now();
        processor.signal(signal);
        let status = processor.ended(PATIENCE);
        assert_eq!(status.code(), Some(code), "{}", processor.log());
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "at once: {:?}",
            began.elapsed()
        );
        scene.assert_goes_on(&name);
    }
}

/// F10: whatever was half done when it was killed is found out at the next start.
#[test]
fn killed_while_it_stops_nothing_is_lost_or_doubled() {
    let mut scene = Scene::new(Broker::shared(), "ends_killed", 2);
    let mut random = Random::new(23);
    let mut killed = 0;
    let kills = kills();
    for round in 0..kills {
        scene.produce_share(kills + 2);
        let mut processor = scene.start();
        let mut runs = Duration::from_millis(random.below(2_500) as u64);
        if round % 2 == 0 {
            processor.wait_until_runs(&scene.setup);
            runs /= 10;
        }
        thread::sleep(runs);
        processor.signal("TERM");
        // Mostly before it has ended in good order, which takes a fraction of a second.
        let grace = match random.below(3) {
            0 => random.below(3_000),
            _ => random.below(60),
        };
        thread::sleep(Duration::from_millis(grace as u64));
        match processor.child.try_wait().expect("a child") {
            Some(status) => assert_eq!(status.code(), Some(0), "{}", processor.log()),
            None => {
                processor.child.kill().expect("the process is there");
                let status = processor.ended(PATIENCE);
                killed += usize::from(status.signal() == Some(9));
            }
        }
    }
    eprintln!("{killed} of {kills} were killed while they stopped");
    assert!(killed > 0, "none was killed while it stopped");
    scene.assert_goes_on("after the kills");
    assert!(scene.quarantined().is_empty(), "{:?}", scene.quarantined());
    scene
        .setup
        .assert_restored_accounts("after the kills", &scene.expected.accounts);
}

/// F13, F12: a panic ends the process; a record that strikes each time is never passed over.
#[test]
fn a_panic_on_one_record_ends_the_process_each_time() {
    let mut scene = Scene::half_folded(Broker::shared(), "ends_panic", 1);
    let (offset, witness) = scene.committed(0).expect("a committed offset");
    scene.produce_rest();
    // Long enough that no commit comes before the tenth record.
    let interval = "interval_ms = 5000".to_owned();
    scene.setup.extra.push(("commit", interval));
    let place = format!("partition 0, input 0, offset or line {}", offset + 9);
    for _ in 0..3 {
        let mut processor = scene.start_with(&[("FAIL_POINT_OF_METERFOLD", "record:10:panic")]);
        let began = Instant::now();
        let status = processor.ended(PATIENCE);
        assert_eq!(status.code(), Some(101), "{}", processor.log());
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(processor.log().contains("panicked"), "{}", processor.log());
        assert_eq!(processor.said(&place), 1, "{place}: {}", processor.log());
        assert_eq!(
            scene.committed(0),
            Some((offset, witness.clone())),
            "nothing is passed over"
        );
    }
    scene.assert_goes_on("when it strikes no more");
}
