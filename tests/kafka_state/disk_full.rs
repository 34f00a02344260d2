//! A full disk (F63): no input is taken, the process stays live and not ready, and goes on by
//! itself once there is room. The disk is a small tmpfs, which only root may mount.

use std::fs;

use crate::support::disk::Disk;
use crate::support::kafka::Broker;
use crate::support::scene::{Scene, address, get, log_lines};

#[test]
fn a_full_disk_is_waited_for() {
    let mut scene = Scene::half_folded(Broker::shared(), "disk_full", 1);
    let Some(disk) = Disk::mount(scene.setup.dir().join("disk")) else {
        return;
    };
    let state = disk.path.join("state");
    crate::support::copy_tree(&scene.setup.state(0), &state);
    let filler = disk.fill(0);
    let written = scene.written();
    let environment = [("METERFOLD_STATE_DIR", state.to_str().expect("a path"))];
    let mut processor = scene.start_with(&environment);
    let log = processor.log.clone();
    processor.wait_until("it says what is wrong, again and again", || {
        let lines = log_lines(&log, "store_failed");
        lines
            .iter()
            .filter(|line| line.contains("No space left on device"))
            .count()
            >= 2
    });
    let address = address(&processor);
    assert_eq!(get(&address, "/livez").0, 200);
    assert_eq!(get(&address, "/readyz").0, 503);
    assert_eq!(scene.written(), written, "something was written");
    fs::remove_file(filler).expect("the filler");
    processor.wait_until_runs(&scene.setup);
    assert_eq!(get(&address, "/readyz").0, 200);

    // Full again while it runs: what is in memory must go to disk every minute.
    let filler = disk.fill(0);
    scene.produce_share(4);
    let failed = log_lines(&log, "store_failed").len();
    let patience = std::time::Instant::now();
    processor.wait_until("the first quarter is folded", || scene.setup.is_folded());
    while log_lines(&log, "store_failed").len() == failed && patience.elapsed().as_secs() < 100 {
        disk.top_up(&filler);
        // A failed flush shows in the next commit: there must be one until then, of a few records.
        assert!(!scene.is_all_produced(), "nothing is left to commit");
        scene.produce_share(1_000);
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(get(&address, "/livez").0, 200);
    }
    let lines = log_lines(&log, "store_failed");
    assert!(
        lines.len() > failed,
        "the disk is full:\n{}",
        processor.log()
    );
    assert!(
        lines
            .last()
            .is_some_and(|line| line.contains("No space left")),
        "{lines:?}"
    );
    scene.produce_rest();
    fs::remove_file(filler).expect("the filler");
    processor.wait_until("everything is folded", || scene.setup.is_folded());
    processor.wait_until("it is ready", || get(&address, "/readyz").0 == 200);
    assert!(
        log_lines(&log, "store_quarantined").is_empty(),
        "a full disk damages nothing"
    );
    processor.stop();
    let _ = fs::remove_dir_all(scene.setup.state(0));
    crate::support::copy_tree(&state, &scene.setup.state(0));
    scene.assert_complete("with room again");
}
