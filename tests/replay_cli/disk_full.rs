//! A full disk: exit 1 with the reason, everything as it was, and the same command works once there
//! is room. The disk is a small tmpfs, which only root may mount.

use std::fs;

use crate::bench::{Bench, call, february};
use crate::support::disk::Disk;
use crate::support::names;
use crate::support::program::{Outputs, stderr};

#[test]
fn a_full_disk_fails_the_run_and_changes_nothing() {
    // How much room is left for the run: none, not enough for the outputs, not enough for the end.
    for left in [0, 64 << 10, 1 << 20, 2 << 20, 5 << 20] {
        let bench = Bench::new();
        let Some(disk) = Disk::mount(bench.path("disk")) else {
            return;
        };
        let first = bench.write("first.ndjson", february());
        let calls = (0..20_000).map(|number| {
            let team = format!("team-{}", number % 500);
            call(&team, &format!("c-{number}"), "2026-02-10T10:00:00Z", 7_200)
        });
        let second = bench.write("second.ndjson", calls.collect::<String>());

        let mut replay = bench.replay(&[&first]);
        replay.flags.push("--force");
        replay.out = bench.path("out");
        replay.state = Some(bench.path("state"));
        replay.succeed();
        replay.inputs = vec![second.clone()];
        let expected = replay.succeed();

        replay.inputs = vec![first];
        replay.out = disk.path.join("out");
        replay.state = Some(disk.path.join("state"));
        let before = replay.succeed();
        let filler = disk.fill(left);
        replay.inputs = vec![second];
        let output = replay.run();
        let said = stderr(&output);
        // 7 where it is the state that cannot be opened or copied.
        let code = output.status.code();
        assert!(
            code == Some(1) || code == Some(7) && left < 1 << 20,
            "{left} left: {output:?}"
        );
        assert!(
            said.contains("No space left on device"),
            "{left} left: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        before.assert_equal("after a full disk", &Outputs::read(&replay.out));
        assert_eq!(names(&disk.path), ["filler", "out", "state"], "debris");

        fs::remove_file(filler).expect("the filler");
        expected.assert_equal("with room again", &replay.succeed());
        assert_eq!(names(&disk.path), ["out", "state"]);
    }
}
