//! `meterfold archive` on a real Apache Kafka, and audits of what it copied: without the log, from
//! kept state, and with bytes changed.

mod support;

#[path = "kafka_archive/interrupted.rs"]
mod interrupted;
#[path = "kafka_archive/retention.rs"]
mod retention;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use meterfold::billing::time::Month;
use meterfold::files::archive::reader::ArchiveEvidence;
use meterfold::files::archive::{Location, Manifest};
use meterfold::processor::audit::{self, Identity, Scope, Stop, Work, chain};
use meterfold::store::memory::MemoryStore;

use support::audit::audit;
use support::kafka::Broker;
use support::processor::Setup;
use support::random::Random;
use support::scene::Scene;

const MONTHS: [&str; 3] = ["2026-01", "2026-02", "2026-03"];
const PARTITIONS: u16 = 2;

/// Folded in several commits, of which the second ends in the middle of January.
fn folded(name: &str) -> Scene<'static> {
    let mut scene = Scene::new(Broker::shared(), name, PARTITIONS);
    for share in [60, 4, 2] {
        scene.fold_share(share);
    }
    scene
}

fn archive(setup: &Setup, to: &Path) -> Output {
    archive_command(setup, to)
        .output()
        .expect("the program starts")
}

fn archive_command(setup: &Setup, to: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterfold"));
    command.args(["archive", "--config"]).arg(setup.config(7));
    command.arg("--to").arg(to);
    command
}

#[track_caller]
fn assert_archives(setup: &Setup, to: &Path) -> String {
    let output = archive(setup, to);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn files(archive: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in fs::read_dir(archive).expect("an archive").flatten() {
        for file in fs::read_dir(folder.path()).expect("a folder").flatten() {
            files.insert(file.path(), fs::read(file.path()).expect("a file"));
        }
    }
    files
}

#[test]
fn an_archive_proves_what_the_log_no_longer_holds() {
    let mut scene = folded("archive_proves");
    let to = scene.setup.dir().join("archive");
    let archive_path = to.to_str().expect("text").to_owned();
    let said = assert_archives(&scene.setup, &to);
    assert!(said.contains("the state after commit"), "{said}");
    let first = files(&to);
    scene.produce_rest();
    scene.fold_share(1);
    assert_archives(&scene.setup, &to);
    let second = files(&to);
    for (path, bytes) in first
        .iter()
        .filter(|(path, _)| !path.ends_with("manifest.ndjson"))
    {
        assert!(
            second.get(path) == Some(bytes),
            "{} was changed",
            path.display()
        );
    }
    let said = assert_archives(&scene.setup, &to);
    assert!(said.contains("partition 0: 0 records; now at"), "{said}");
    assert!(files(&to) == second, "once more changes nothing");

    let from_log = audit(&scene.setup, &["--all", "--month", "2026-02"]);
    from_log.assert("from the log", 0, &["\"from_commit\":null"]);
    let (broker, input) = (scene.setup.broker, scene.setup.topic("api-calls"));
    for (partition, end) in (0..).zip(broker.end_offsets(&input)) {
        broker.delete_records(&input, partition, end);
    }
    let trimmed = audit(&scene.setup, &["--all", "--month", "2026-02"]);
    trimmed.assert("the log is trimmed", 10, &["cannot be proven"]);
    // No broker is needed.
    scene.setup.bootstrap = "127.0.0.1:1".to_owned();
    for (month, words) in [
        ("2026-01", "\"from_commit\":null"),
        ("2026-02", "\"from_commit\":2"),
    ] {
        let proven = audit(
            &scene.setup,
            &["--all", "--month", month, "--archive", &archive_path],
        );
        proven.assert(month, 0, &[words, "\"closed\":true"]);
        let events = |report: &serde_json::Value, partition: usize| {
            report["partitions"][partition]["events"]
                .as_u64()
                .expect("a number")
        };
        for partition in 0..usize::from(PARTITIONS) {
            assert!(events(&proven.report, partition) > 0, "{:#}", proven.report);
            if month == "2026-02" {
                let expected = events(&from_log.report, partition);
                assert_eq!(events(&proven.report, partition), expected);
            }
        }
    }
    let chain = audit(&scene.setup, &["--chain-only", "--archive", &archive_path]);
    chain.assert("the chain", 0, &["\"whole\""]);
    let nothing = scene.setup.dir().join("nothing");
    let nothing = nothing.to_str().expect("text");
    let none = audit(&scene.setup, &["--chain-only", "--archive", nothing]);
    none.assert("no archive", 4, &["nothing is archived"]);
    refuses_others(&scene.setup, &to);
}

/// A file that is missing, and the journal of another cluster.
fn refuses_others(setup: &Setup, to: &Path) {
    let archive = to.to_str().expect("text");
    let location = Location::Directory(to.to_owned());
    let arguments = ["--all", "--month", "2026-01", "--archive", archive];
    let manifest = |partition| {
        let manifest = Manifest::read(&location, partition).expect("a manifest");
        manifest.expect("it is there")
    };
    let inputs = manifest(1).find("input-0").cloned();
    let file = inputs.expect("an input").files[0].file.clone();
    let (path, aside) = (to.join("partition-1").join(&file), to.join("aside"));
    fs::rename(&path, &aside).expect("a file");
    let missing = audit(setup, &arguments);
    missing.assert("a missing file", 3, &[&file, "not there"]);
    fs::rename(&aside, &path).expect("a file");
    audit(setup, &arguments).assert("whole again", 0, &["\"equal\""]);
    for partition in 0..PARTITIONS {
        let mut manifest = manifest(partition);
        manifest.owner.cluster = "elsewhere".to_owned();
        manifest.write(&location).expect("a manifest");
    }
    let foreign = audit(setup, &arguments);
    foreign.assert("another cluster", 4, &["belongs to cluster", "elsewhere"]);
}

/// Who begins to archive when inputs have expired proves what comes from then on.
#[test]
fn an_archive_that_begins_late_proves_the_months_after_it() {
    let mut scene = Scene::new(Broker::shared(), "archive_late", PARTITIONS);
    scene.fold_share(4);
    let (broker, input) = (scene.setup.broker, scene.setup.topic("api-calls"));
    for (partition, end) in (0..).zip(broker.end_offsets(&input)) {
        broker.delete_records(&input, partition, end);
    }
    let to = scene.setup.dir().join("archive");
    let said = assert_archives(&scene.setup, &to);
    assert_eq!(said.matches("the state after commit").count(), 2, "{said}");
    scene.produce_rest();
    scene.fold_share(1);
    assert_archives(&scene.setup, &to);
    scene.setup.bootstrap = "127.0.0.1:1".to_owned();
    let archive = to.to_str().expect("text");
    let of = |month| ["--all", "--month", month, "--archive", archive];
    let after = audit(&scene.setup, &of("2026-02"));
    after.assert("after it", 0, &["\"closed\":true"]);
    assert!(after.report["partitions"][0]["from_commit"].as_u64() > Some(0));
    let before = audit(&scene.setup, &of("2026-01"));
    before.assert("before it", 10, &["cannot be proven", "is gone"]);
}

#[test]
fn a_copy_that_is_killed_goes_on_where_it_was() {
    let scene = folded("archive_killed");
    let to = scene.setup.dir().join("archive");
    for millis in [20, 60, 120, 200, 300, 450] {
        let mut command = archive_command(&scene.setup, &to);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("the program starts");
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().expect("it is there");
        child.wait().expect("a status");
    }
    assert_archives(&scene.setup, &to);
    let whole = scene.setup.dir().join("whole");
    assert_archives(&scene.setup, &whole);
    let contents = |archive: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files(archive).into_iter();
        let inner = |path: &Path| path.strip_prefix(archive).expect("inside").to_owned();
        files.map(|(path, bytes)| (inner(&path), bytes)).collect()
    };
    assert!(contents(&to) == contents(&whole), "the same files");
    // What follows is gone before it was copied.
    let (broker, topic) = (scene.setup.broker, scene.setup.topic("dead-letters"));
    let end = broker.end_offsets(&topic)[0];
    broker.produce(&topic, 0, "k", "v");
    broker.produce(&topic, 0, "k", "v");
    broker.delete_records(&topic, 0, end + 1);
    let late = archive(&scene.setup, &to);
    let error = String::from_utf8_lossy(&late.stderr);
    assert_eq!(late.status.code(), Some(10), "{error}");
    assert!(error.contains("is gone"), "{error}");
}

/// 1,000 bytes changed anywhere in the archive, and 300 more under a manifest that was mended after:
/// none is silent.
#[test]
fn no_changed_byte_is_silent() {
    let mut scene = folded("archive_bytes");
    scene.fold_share(1);
    let to = scene.setup.dir().join("archive");
    assert_archives(&scene.setup, &to);
    let expected = Identity {
        group: scene.setup.name.clone(),
        inputs: scene.setup.inputs(),
        partition_count: PARTITIONS,
    };
    prove(&to, &expected).expect("equal as it is");
    let mut random = Random::new(5);
    let all = files(&to);
    let mut hit: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..1_000 {
        let (path, bytes) = all.iter().nth(random.below(all.len())).expect("a file");
        let mut changed = bytes.clone();
        let at = random.below(changed.len());
        changed[at] ^= 1 + random.below(255) as u8;
        fs::write(path, &changed).expect("a file");
        let found = prove(&to, &expected);
        let file = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        match found {
            Err(Stop::Evidence(error)) => {
                assert!(error.to_string().contains(file), "{file} {at}: {error}");
            }
            other => panic!("{file} byte {at}: {other:?}"),
        }
        fs::write(path, bytes).expect("a file");
        let role = file.split_once('.').expect("a role").0;
        *hit.entry(role.to_owned()).or_default() += 1;
    }
    for role in ["input-0", "journal", "monthly-invoice", "manifest"] {
        assert!(hit.get(role) > Some(&20), "{role}: {hit:?}");
    }
    let location = Location::Directory(to.clone());
    let mut without_effect = 0;
    for round in 0..300 {
        let partition = (round % usize::from(PARTITIONS)) as u16;
        let read = || {
            Manifest::read(&location, partition)
                .expect("a manifest")
                .expect("it is there")
        };
        let (mut untouched, mut mended) = (read(), read());
        let folded_again = |role: &str| !role.starts_with("snapshot");
        let mut topics: Vec<_> = mended
            .topics
            .iter_mut()
            .filter(|topic| folded_again(&topic.role) && !topic.files.is_empty())
            .collect();
        let index = random.below(topics.len());
        let topic = &mut topics[index];
        let index = random.below(topic.files.len());
        let file = &mut topic.files[index];
        let path = to.join(format!("partition-{partition}")).join(&file.file);
        let before = fs::read(&path).expect("a file");
        let length = usize::try_from(file.record_bytes).expect("a length");
        let mut records = zstd::bulk::decompress(&before, length).expect("records");
        let at = random.below(records.len());
        let is_in_head = is_offset_or_time(&records, at);
        records[at] ^= 1 + random.below(255) as u8;
        let changed = zstd::bulk::compress(&records, 3).expect("bytes");
        file.blake3 = blake3::hash(&changed).to_hex().to_string();
        fs::write(&path, &changed).expect("a file");
        let place = format!("{} byte {at}", file.file);
        let is_input = topic.role.starts_with("input");
        *hit.entry(format!("{} mended", topic.role)).or_default() += 1;
        mended.write(&location).expect("a manifest");
        if prove(&to, &expected).is_ok() {
            // Where and when an event or a journal record was appended is no part of it.
            assert!(is_in_head && !is_input, "{place} is silent");
            without_effect += 1;
        }
        fs::write(&path, &before).expect("a file");
        untouched.write(&location).expect("a manifest");
    }
    assert!(without_effect < 100, "{without_effect}");
    for role in ["input-0 mended", "journal mended", "monthly-invoice mended"] {
        assert!(hit.get(role) > Some(&10), "{role}: {hit:?}");
    }
    prove(&to, &expected).expect("equal again");
}

/// Every month, from the log's start and from kept state alike.
fn prove(archive: &Path, expected: &Identity) -> Result<(), Stop> {
    let evidence =
        ArchiveEvidence::open(archive, PARTITIONS).map_err(|error| Stop::Evidence(error.into()))?;
    for month in MONTHS {
        let month = Month::parse(month).expect("a month");
        for partition in 0..PARTITIONS {
            let mut chain = chain::verify(&evidence, partition, expected, Some(month))?;
            chain.starts.clear();
            let scope = Scope { team: None, month };
            let work = Work::unkept(MemoryStore::default());
            audit::audit(&evidence, &chain, scope, work, &|_| true)?;
        }
    }
    Ok(())
}

/// Whether a byte belongs to the offset or the time of a record, which lies behind its length.
fn is_offset_or_time(records: &[u8], at: usize) -> bool {
    let mut start = 0;
    loop {
        let length = records[start..start + 4].try_into().expect("four bytes");
        let end = start + 4 + u32::from_be_bytes(length) as usize;
        if at < end {
            // Version, topic, offset, time.
            return (start + 6..start + 22).contains(&at);
        }
        start = end;
    }
}
