//! Archives in a bucket of a real S3 server, of a real Apache Kafka: what is copied there is what a
//! directory holds, serves audits as that does, and is whole after kills, beside a second copy and
//! with a server that is away; what was changed there is found.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use support::audit::Audited;
use support::kafka::s3::SECRET;
use support::kafka::{Broker, S3};
use support::processor::Setup;
use support::scene::Scene;
use support::{copy_tree, names, tree};

const PROGRAM: &str = env!("CARGO_BIN_EXE_meterfold");
const PARTITIONS: u16 = 2;
/// For several commands that wait for a server in vain.
const PATIENCE: Duration = Duration::from_secs(300);
/// More than any file of an archive has.
const HUGE_BYTES: u64 = 1 << 40;
const MONTH: [&str; 2] = ["--month", "2026-01"];

/// Folded in several commits, of which the second ends in the middle of January.
fn folded(name: &str) -> Scene<'static> {
    let mut scene = Scene::new(Broker::shared(), name, PARTITIONS);
    for share in [60, 4, 2] {
        scene.fold_share(share);
    }
    scene
}

/// A command with the configuration of instance 7, which is told of the S3 server.
fn command(setup: &Setup, s3: &S3, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg(name).arg("--config").arg(setup.config(7));
    command.args(arguments).stdin(Stdio::null());
    s3.tell(&mut command);
    command
}

fn archive(setup: &Setup, s3: &S3, to: &str) -> Command {
    command(setup, s3, "archive", &["--to", to])
}

fn audit(setup: &Setup, s3: &S3, archive: &str) -> Audited {
    let mut command = command(setup, s3, "audit", &["--json", "--all"]);
    Audited::of(command.args(MONTH).args(["--archive", archive]))
}

fn start(mut command: Command) -> Child {
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    child.expect("the program starts")
}

#[track_caller]
fn succeed(mut command: Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    let error = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}: {error}");
    String::from_utf8(stdout).expect("text")
}

/// Fails with this code and says this, and no secret, in one line.
#[track_caller]
fn refuse(mut command: Command, code: i32, word: &str) {
    let Output { status, stderr, .. } = command.output().expect("the program starts");
    let error = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(code), "{word}: {error}");
    let last = error.lines().last().expect("an error");
    assert!(last.contains(word), "{word}: {error}");
    assert!(!error.contains(SECRET), "{error}");
}

/// The digest of each file by partition, topic and first offset, as the manifests name them.
fn named(archive: &Path) -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let folder = archive.join(format!("partition-{partition}"));
        let manifest = fs::read_to_string(folder.join("manifest.ndjson")).expect("a manifest");
        let line = manifest.lines().next().expect("an object");
        let manifest: Value = serde_json::from_str(line).expect("JSON");
        for topic in manifest["topics"].as_array().expect("topics") {
            for file in topic["files"].as_array().expect("files") {
                let path = folder.join(file["file"].as_str().expect("a name"));
                let bytes = fs::read(&path).expect("what a manifest names is there");
                let digest = file["blake3"].as_str().expect("a digest");
                assert_eq!(blake3::hash(&bytes).to_hex().as_str(), digest, "{path:?}");
                let place = format!("{partition} {} {}", topic["role"], file["first"]);
                named.insert(place, digest.to_owned());
            }
        }
    }
    named
}

#[test]
fn a_bucket_serves_as_a_directory_does() {
    let mut scene = folded("s3_serves");
    let s3 = S3::shared();
    let objects = s3.make_bucket("serves").join("kept/here");
    let bucket = "s3://serves/kept/here";
    let directory = scene.setup.dir().join("archive");
    let directory = directory.to_str().expect("text");
    succeed(archive(&scene.setup, s3, bucket));
    let first = tree(&objects);
    scene.produce_rest();
    scene.fold_share(1);
    // An address with a slash at its end is the same one.
    succeed(archive(&scene.setup, s3, &format!("{bucket}/")));
    let second = tree(&objects);
    for (name, content) in &first {
        assert!(
            name.ends_with("manifest.ndjson") || second.get(name) == Some(content),
            "{name}"
        );
    }
    let said = succeed(archive(&scene.setup, s3, bucket));
    assert!(said.contains("partition 0: 0 records; now at"), "{said}");
    assert!(tree(&objects) == second, "once more changes nothing");

    // A directory that is filled at once has other files, and the same records.
    succeed(archive(&scene.setup, s3, directory));
    scene.setup.bootstrap = "127.0.0.1:1".to_owned();
    let from_bucket = audit(&scene.setup, s3, bucket);
    from_bucket.assert("from the bucket", 0, &["\"closed\":true"]);
    let from_directory = audit(&scene.setup, s3, directory);
    assert_eq!(from_bucket.report, from_directory.report);
    let copy = scene.setup.dir().join("copy");
    copy_tree(&objects, &copy);
    let from_copy = audit(&scene.setup, s3, copy.to_str().expect("text"));
    assert_eq!(
        from_bucket.report, from_copy.report,
        "a copy of one is the other"
    );
    explains_and_compares(&scene, s3, [bucket, directory]);
    let back = s3.make_bucket("back");
    copy_tree(Path::new(directory), &back);
    let from_back = audit(&scene.setup, s3, "s3://back");
    assert_eq!(
        from_bucket.report, from_back.report,
        "at the root of a bucket"
    );
}

/// `explain` and `replay --what-if` say of both the same.
fn explains_and_compares(scene: &Scene, s3: &S3, archives: [&str; 2]) {
    let setup = &scene.setup;
    let derived = String::from_utf8_lossy(&scene.expected.derived);
    let mut lines = derived.lines();
    let invoice = lines.find(|it| it.contains("monthly-invoice") && it.contains("\"2026-01\""));
    let invoice: Value = serde_json::from_str(invoice.expect("an invoice")).expect("JSON");
    let team = invoice["subject"].as_str().expect("a team");
    let explained = archives.map(|archive| {
        let arguments = ["--team", team, "--archive", archive, "--month", "2026-01"];
        succeed(command(setup, s3, "explain", &arguments))
    });
    assert_eq!(explained[0], explained[1]);
    let book = fs::read_to_string(&setup.rates).expect("the book");
    let dearer = setup.dir().join("dearer.json");
    fs::write(&dearer, book.replace("\"3.00\"", "\"3.07\"")).expect("a file");
    let compared = [0, 1].map(|index| {
        let out = setup.dir().join(format!("what-if-{index}"));
        let mut command = command(setup, s3, "replay", &["--archive", archives[index]]);
        command.arg("--what-if").arg(&dearer).arg("--out").arg(&out);
        succeed(command);
        fs::read_to_string(out.join("what-if.ndjson")).expect("an output")
    });
    assert!(!compared[0].is_empty() && compared[0] == compared[1]);
}

/// Killed at various moments, some with an upload under way that ends after the kill.
#[test]
fn a_copy_that_is_cut_short_goes_on() {
    let scene = folded("s3_killed");
    let s3 = S3::start();
    let bucket = s3.make_bucket("killed");
    let mut cut_short = 0;
    for (round, millis) in [100, 250, 400, 150, 300, 500].into_iter().enumerate() {
        let mut child = start(archive(&scene.setup, &s3, "s3://killed/cut"));
        thread::sleep(Duration::from_millis(millis));
        match round % 3 {
            0 => s3.pause(),
            1 => {
                s3.kill9();
                s3.start();
            }
            _ => {}
        }
        let ended = child.try_wait().expect("a status");
        cut_short += usize::from(ended.is_none());
        child.kill().expect("it is there");
        child.wait().expect("a status");
        if round % 3 == 0 {
            s3.resume();
        }
    }
    assert!(cut_short > 0, "each copy was done before its end came");
    succeed(archive(&scene.setup, &s3, "s3://killed/cut"));
    succeed(archive(&scene.setup, &s3, "s3://killed/whole"));
    assert_eq!(named(&bucket.join("cut")), named(&bucket.join("whole")));
    audit(&scene.setup, &s3, "s3://killed/cut").assert("after kills", 0, &["\"equal\""]);
}

/// The server hangs for longer than a request may take, once some files were put: what comes next is
/// often a manifest, and nobody knows whether it was put.
#[test]
fn a_request_that_hangs_is_repeated() {
    let scene = folded("s3_hangs");
    let s3 = S3::start();
    let bucket = s3.make_bucket("hangs");
    let hangs_after = |files: usize, name: &str, timeout: Option<&str>, pause: Duration| {
        let mut copy = archive(&scene.setup, &s3, &format!("s3://hangs/{name}"));
        copy.args(["--threads", "1"]);
        copy.envs(timeout.map(|it| ("AWS_TIMEOUT", it)));
        let folder = bucket.join(name).join("partition-0");
        let mut copy = start(copy);
        let are_put = || folder.exists() && zst_files(&folder) >= files;
        while !are_put() && copy.try_wait().expect("a status").is_none() {
            thread::sleep(Duration::from_micros(200));
        }
        s3.pause();
        thread::sleep(pause);
        s3.resume();
        let Output { status, stderr, .. } = copy.wait_with_output().expect("an end");
        let error = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{name}: {error}");
        named(&bucket.join(name));
    };
    for files in 1..=6 {
        let pause = Duration::from_millis(1_500);
        hangs_after(files, &files.to_string(), Some("1s"), pause);
    }
    // For as long as a request takes that is not told when to end.
    hangs_after(1, "long", None, Duration::from_secs(31));
}

fn zst_files(folder: &Path) -> usize {
    let names = names(folder).into_iter();
    names.filter(|name| name.ends_with(".zst")).count()
}

/// Two copies into one place at once: each ends well or says so, and the archive is whole.
#[test]
fn of_two_copies_at_once_none_spoils_the_other() {
    const ROUNDS_MAX: usize = 40;
    let scene = folded("s3_two");
    let s3 = S3::shared();
    let bucket = s3.make_bucket("two");
    let met = (0..ROUNDS_MAX).find(|round| {
        let to = format!("s3://two/{round}");
        let both = [(); 2].map(|()| start(archive(&scene.setup, s3, &to)));
        let mut met = false;
        for child in both {
            let Output { status, stderr, .. } = child.wait_with_output().expect("an end");
            let error = String::from_utf8_lossy(&stderr);
            if !status.success() {
                assert_eq!(status.code(), Some(1), "{error}");
                assert!(
                    error.contains("another archive command writes there"),
                    "{error}"
                );
                met = true;
            }
        }
        succeed(archive(&scene.setup, s3, &to));
        named(&bucket.join(round.to_string()));
        audit(&scene.setup, s3, &to).assert("both", 0, &["\"equal\""]);
        met
    });
    assert!(met.is_some(), "in {ROUNDS_MAX} rounds they never met");
}

#[test]
fn what_was_changed_in_a_bucket_is_found() {
    let scene = folded("s3_changed");
    let s3 = S3::shared();
    let bucket = s3.make_bucket("changed");
    succeed(archive(&scene.setup, s3, "s3://changed/a"));
    let folder = bucket.join("a");
    let files = tree(&folder).into_iter();
    for (name, content) in files.filter(|(name, _)| name.starts_with("partition-1")) {
        let Some(bytes) = content else { continue };
        let path = folder.join(&name);
        let place = format!("s3://changed/a/{name}");
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        for damaged in [&changed[..], &bytes[..bytes.len() - 1]] {
            fs::write(&path, damaged).expect("a file");
            audit(&scene.setup, s3, "s3://changed/a").assert(&name, 3, &[&place]);
        }
        let huge = fs::File::create(&path).expect("a file");
        huge.set_len(HUGE_BYTES).expect("a hole");
        // Nor is it read as a directory.
        for place in ["s3://changed/a", folder.to_str().expect("text")] {
            audit(&scene.setup, s3, place).assert(&name, 3, &["larger than any file"]);
        }
        fs::remove_file(&path).expect("a file");
        let code = if name.ends_with("manifest.ndjson") {
            4
        } else {
            3
        };
        audit(&scene.setup, s3, "s3://changed/a").assert(&name, code, &["s3://changed/a"]);
        fs::write(&path, &bytes).expect("a file");
    }
    audit(&scene.setup, s3, "s3://changed/a").assert("mended", 0, &["\"equal\""]);
}

#[test]
fn what_is_wrong_with_a_bucket_is_said() {
    let scene = folded("s3_wrong");
    let (s3, setup) = (S3::start(), &scene.setup);
    s3.make_bucket("there");
    let both = |to: &str| {
        let mut audit = command(setup, &s3, "audit", &["--all", "--archive", to]);
        audit.args(MONTH);
        [archive(setup, &s3, to), audit]
    };
    let refuse_both = |to: &str, change: &dyn Fn(&mut Command), code, word| {
        for mut command in both(to) {
            change(&mut command);
            refuse(command, code, word);
        }
    };
    let as_it_is = |_: &mut Command| {};
    refuse_both("s3://nowhere/a", &as_it_is, 4, "there is no such bucket");
    refuse_both("gs://there/a", &as_it_is, 2, "gs:// is not known");
    refuse_both(
        "s3://test-secret@there/a",
        &as_it_is,
        2,
        "s3://BUCKET/PREFIX",
    );
    let [_, nothing_there] = both("s3://there/nothing");
    refuse(nothing_there, 4, "s3://there/nothing: nothing is archived");
    let there = "s3://there/a";
    let of_another = |command: &mut Command| {
        command.env("AWS_ACCESS_KEY_ID", "nobody");
    };
    // This server answers 404 to it, which is not that nothing is there.
    refuse_both(there, &of_another, 1, "No user exists");
    let wrong = |command: &mut Command| {
        command.env("AWS_SECRET_ACCESS_KEY", "another-test-secret");
    };
    refuse_both(there, &wrong, 6, "SignatureDoesNotMatch");
    let half = |command: &mut Command| {
        command.env_remove("AWS_SECRET_ACCESS_KEY");
    };
    refuse_both(there, &half, 4, "Missing SecretAccessKey");
    let naming = |command: &mut Command| {
        command.env("AWS_ENDPOINT_URL", "https://user:test-secret@127.0.0.1:1");
    };
    refuse_both(there, &naming, 4, "the endpoint holds a name or a password");
    let open = |command: &mut Command| {
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    };
    refuse_both(there, &open, 5, "scheme is not allowed");
    s3_away(&s3, setup, there);
}

/// Requests are repeated, but not for ever: the server is not trusted, gone, back, or silent.
fn s3_away(s3: &S3, setup: &Setup, to: &str) {
    let began = Instant::now();
    let mut distrusts = archive(setup, s3, to);
    distrusts.env_remove("SSL_CERT_FILE");
    refuse(distrusts, 5, "certificate");
    s3.kill9();
    refuse(archive(setup, s3, to), 5, "Connection refused");
    let waits = start(archive(setup, s3, to));
    s3.start();
    let Output { status, stderr, .. } = waits.wait_with_output().expect("an end");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    s3.pause();
    let mut silent = archive(setup, s3, to);
    silent.env("AWS_TIMEOUT", "2s");
    refuse(silent, 5, "timed out");
    s3.resume();
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}
