//! Audits that are interrupted: the same command goes on where it was, to the same end.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use meterfold::ports::log::Stores;
use meterfold::ports::{Cells, Changes, Store};
use meterfold::store::directory::Directory;
use meterfold::wire::keys;

use super::support::processor::Setup;
use super::{assert_archives, folded};

const SIGKILL: i32 = 9;

/// With one thread, so that a record's number is the same each time.
fn audit_in(setup: &Setup, archive: &Path, month: &str, work_dir: Option<&Path>) -> Command {
    let mut command = audit_of_log(setup, month, work_dir);
    command.arg("--archive").arg(archive);
    command
}

pub fn audit_of_log(setup: &Setup, month: &str, work_dir: Option<&Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
    command.args(["audit", "--all", "--threads", "1", "--month", month]);
    command.arg("--config").arg(setup.config(7));
    if let Some(work_dir) = work_dir {
        command.arg("--work-dir").arg(work_dir);
        // Nothing is written elsewhere.
        command.env("TMPDIR", "/dev/null");
    }
    command
}

pub fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, error)
}

/// Stops it in the commit that folds its `record`th record; what it has folded then is kept.
pub fn stop_at(record: u32, command: &mut Command) {
    let plan = format!("record:{record}:sleep=1000");
    command.env("FAIL_POINT_OF_METERFOLD", plan);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let fires = lines.any(|line| line.expect("text").contains("fires"));
    assert!(fires, "it sleeps within a commit");
    let sent = Command::new("kill")
        .args(["-s", "TERM", &child.id().to_string()])
        .status();
    assert!(sent.expect("kill starts").success(), "it is there");
    assert_eq!(child.wait().expect("a status").code(), Some(143));
}

/// The commit after which a partition was gone on with.
pub fn gone_on_after(error: &str, partition: u16) -> Option<u64> {
    let told = format!("partition {partition}: goes on after commit ");
    let rest = error.lines().find_map(|line| line.strip_prefix(&told))?;
    Some(rest.split_once(';')?.0.parse().expect("a number"))
}

#[test]
fn an_audit_that_is_killed_goes_on_where_it_was() {
    let mut scene = folded("archive_audit_killed");
    scene.fold_share(1);
    let setup = &scene.setup;
    let to = setup.dir().join("archive");
    assert_archives(setup, &to);
    let work_dir = setup.dir().join("work");
    // The second month begins with a state that the archive keeps.
    for (month, kills) in [
        ("2026-01", vec![100, 250, 400, 150]),
        ("2026-02", vec![425]),
    ] {
        let (whole, error) = run(&mut audit_in(setup, &to, month, None));
        assert_eq!(whole.status.code(), Some(0), "{error}");
        let mut stood_after = None;
        for (round, record) in kills.into_iter().enumerate() {
            let plan = format!("record:{record}:kill");
            let mut command = audit_in(setup, &to, month, Some(&work_dir));
            let (killed, error) = run(command.env("FAIL_POINT_OF_METERFOLD", plan));
            assert_eq!(killed.status.signal(), Some(SIGKILL), "{month}: {error}");
            let stands_after = gone_on_after(&error, 0);
            assert_eq!(stands_after.is_some(), round > 0, "{month}: {error}");
            assert!(stands_after >= stood_after, "{month}: {error}");
            stood_after = stands_after;
        }
        let (ended, error) = run(&mut audit_in(setup, &to, month, Some(&work_dir)));
        assert_eq!(ended.status.code(), Some(0), "{error}");
        let stands_after = gone_on_after(&error, 0);
        assert!(stands_after >= stood_after.max(Some(1)), "{month}: {error}");
        let [ended, whole] = [ended, whole].map(|it| String::from_utf8(it.stdout).expect("text"));
        assert_eq!(ended, whole, "{month}");
        assert!(!work_dir.exists(), "{month}: nothing is left");
    }
}

#[test]
fn an_audit_that_is_stopped_keeps_all_that_it_has_folded() {
    let mut scene = folded("archive_audit_stopped");
    scene.fold_share(1);
    let setup = &scene.setup;
    let to = setup.dir().join("archive");
    assert_archives(setup, &to);
    let work_dir = setup.dir().join("work");
    let stop = || stop_at(100, &mut audit_in(setup, &to, "2026-01", Some(&work_dir)));
    stop();
    // Another audit does not go on there.
    let (other, error) = run(&mut audit_in(setup, &to, "2026-02", Some(&work_dir)));
    assert_eq!(other.status.code(), Some(2), "{error}");
    assert!(error.contains("\"month\":\"2026-01\""), "{error}");
    // A state that the journal has not, or none at all.
    let change = |change: &dyn Fn(&[u8], &mut Changes)| {
        let mut stores = Directory::new(&work_dir).expect("a directory");
        let mut store = stores.open(0).expect("a store").expect("nobody has it");
        let mut changes = Changes::default();
        store
            .scan(&[keys::TEAM], &[keys::TEAM + 1], &mut |key, _| {
                change(key, &mut changes);
                std::ops::ControlFlow::Break(())
            })
            .expect("cells");
        store.apply(&changes).expect("a change");
        store.flush(true).expect("a disk");
        stores.close(0, store);
    };
    change(&|key, changes| changes.delete(key));
    let (tampered, error) = run(&mut audit_in(setup, &to, "2026-01", Some(&work_dir)));
    assert_eq!(tampered.status.code(), Some(7), "{error}");
    assert!(error.contains("digest of the kept state"), "{error}");
    assert!(error.contains("audit anew"), "{error}");
    // A job's command is of another month by now, which ends here: there is no such month.
    let (job, error) = run(&mut audit_in(setup, &to, "last", Some(&work_dir)));
    assert_eq!(job.status.code(), Some(2), "{error}");
    assert!(error.contains("begins anew"), "{error}");
    assert!(error.contains("has not begun"), "{error}");
    assert!(!work_dir.exists(), "{error}");
    stop();
    change(&|_, changes| changes.put(&[keys::AUDIT], b"?"));
    let (unreadable, error) = run(&mut audit_in(setup, &to, "2026-01", Some(&work_dir)));
    assert_eq!(unreadable.status.code(), Some(7), "{error}");
    // What is no audit's is not touched.
    let (other, error) = run(&mut audit_in(setup, &to, "2026-01", Some(&to)));
    assert_eq!(other.status.code(), Some(2), "{error}");
    assert!(error.contains("holds something else"), "{error}");
}
