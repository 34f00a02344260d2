//! Offsets of the group that are not those that the state was committed with: reset, restored,
//! deleted. Nothing is guessed; `recover` sets them as META says.

use crate::support::kafka::Broker;
use crate::support::scene::Scene;

const FROM_META: &[&str] = &["--offsets-from-meta"];

#[test]
fn older_offsets_put_back_halt_state_ahead() {
    let mut scene = Scene::new(Broker::shared(), "offsets_ahead", 1);
    scene.fold_share(3);
    let (offset, witness) = scene.committed(0).expect("a committed offset");
    scene.fold_share(3);
    let (_, newer) = scene.committed(0).expect("a committed offset");
    assert_ne!(witness, newer);
    scene.wait_until_empty();
    scene.set_committed(0, offset, &witness);
    let words = ["partition 0", &witness, &newer, "recover"];
    scene.assert_halts("STATE_AHEAD", &words);
    let kept = scene.keep_state("kept");
    scene.lose_state();
    // The changelog alone tells it too.
    scene.assert_halts("STATE_AHEAD", &words);
    scene.put_state(&kept);
    scene.recover(0, FROM_META);
    scene.assert_goes_on("after recover");
}

#[test]
fn offsets_that_were_reset_halt_offsets_foreign() {
    let mut scene = Scene::half_folded(Broker::shared(), "offsets_reset", 1);
    let (_, witness) = scene.committed(0).expect("a committed offset");
    let input = scene.setup.topic("api-calls");
    scene.wait_until_empty();
    scene
        .setup
        .broker
        .reset_offsets(&scene.setup.name, &input, 0, 0);
    let words = ["partition 0", &witness, "recover", "offset 0"];
    scene.assert_halts("OFFSETS_FOREIGN", &words);
    scene.lose_state();
    scene.assert_halts("OFFSETS_FOREIGN", &["partition 0", "recover"]);
    scene.recover(0, FROM_META);
    scene.assert_goes_on("after recover");
}

#[test]
fn a_witness_of_another_history_halts_offsets_foreign() {
    let mut scene = Scene::half_folded(Broker::shared(), "offsets_other", 1);
    let (offset, witness) = scene.committed(0).expect("a committed offset");
    let (head, digest) = witness.rsplit_once(';').expect("a witness");
    let other = format!("{head};{}", digest.chars().rev().collect::<String>());
    scene.wait_until_empty();
    scene.set_committed(0, offset, &other);
    scene.assert_halts("OFFSETS_FOREIGN", &["partition 0", &witness, &other]);
    scene.set_committed(0, offset, &witness);
    scene.assert_goes_on("with the right offset again");
}

/// With the state at hand, and without it: the changelog and the journal are proof enough.
#[test]
fn a_deleted_group_halts_offsets_missing() {
    let mut scene = Scene::half_folded(Broker::shared(), "offsets_gone", 1);
    scene.wait_until_empty();
    scene.setup.broker.delete_group(&scene.setup.name);
    scene.assert_halts(
        "OFFSETS_MISSING",
        &["partition 0", "state", "recover", "never started at 0"],
    );
    scene.lose_state();
    scene.assert_halts("OFFSETS_MISSING", &["partition 0", "recover"]);
    scene.recover(0, FROM_META);
    scene.assert_goes_on("after recover");
}

/// One partition stands still, the other goes on; the process stays.
#[test]
fn a_halt_concerns_its_partition_alone() {
    let mut scene = Scene::half_folded(Broker::shared(), "offsets_alone", 2);
    let input = scene.setup.topic("api-calls");
    scene.wait_until_empty();
    scene
        .setup
        .broker
        .reset_offsets(&scene.setup.name, &input, 1, 0);
    let mut processor = scene.start_with(&[("METERFOLD_LINGER_MS", "500")]);
    let log = processor.log.clone();
    processor.wait_until("one halts and one runs", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("OFFSETS_FOREIGN") && log.contains("partition 0 runs from commit")
    });
    scene.produce_rest();
    let end = scene.setup.broker.stable_offsets(&input)[0];
    processor.wait_until("partition 0 goes on", || {
        scene.committed(0).is_some_and(|(offset, _)| offset >= end)
    });
    assert_eq!(scene.committed(1), Some((0, String::new())));
    processor.stop();
    scene.wait_until_empty();
    scene.recover(1, FROM_META);
    scene.assert_goes_on("after recover");
}
