//! Bad usage: exit 2, one line that names the thing, and nothing written.

use std::fs;
use std::path::PathBuf;

use crate::bench::{Bench, february};
use crate::support::{names, tree};

#[test]
fn an_input_that_cannot_be_read_is_named() {
    let bench = Bench::new();
    let good = bench.write("good.ndjson", february());
    let packed = zstd::encode_all(february().as_bytes(), 1).expect("bytes in memory");
    fs::create_dir(bench.path("folder.ndjson")).expect("a directory");
    bench.write("noise.gz", "x");
    bench.write("notes.txt", february());
    bench.write("noise.ndjson.gz", february());
    bench.write("noise.ndjson.zst", february());
    bench.write("noise.avro", february());
    bench.write("empty.avro", "");
    bench.write("cut.ndjson.gz", cut(&gzip(february().as_bytes())));
    bench.write("cut.ndjson.zst", cut(&packed));
    bench.write("cut.avro", b"Obj\x01\x04");

    for (name, words) in [
        ("absent.ndjson", "cannot be read: No such file"),
        ("folder.ndjson", "cannot be read: is a directory"),
        ("notes.txt", "not a kind of input; name it .ndjson"),
        ("noise.gz", "not a kind of input; name it .ndjson"),
        ("noise.ndjson.gz", "cannot be read: "),
        ("noise.ndjson.zst", "cannot be read: "),
        ("cut.ndjson.gz", "cannot be read: "),
        ("cut.ndjson.zst", "cannot be read: "),
        (
            "noise.avro",
            "does not start as an Avro container file does",
        ),
        (
            "empty.avro",
            "does not start as an Avro container file does",
        ),
        ("cut.avro", "header is malformed, cut off"),
    ] {
        // Also behind an input that is fine.
        for inputs in [vec![bench.path(name)], vec![good.clone(), bench.path(name)]] {
            let before = bench.names();
            let mut replay = bench.replay(&[]);
            replay.inputs = inputs;
            replay.state = Some(bench.path("state"));
            let said = replay.fail(2);
            assert!(said.contains(&format!("{name}: ")), "{said}");
            assert!(said.contains(words), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert_eq!(bench.names(), before, "{name}: debris");
        }
    }
}

#[test]
fn arguments_that_are_none_are_refused() {
    let bench = Bench::new();
    let input = bench.write("input.ndjson", february());
    let before = bench.names();
    let until = |text: &str| {
        let mut replay = bench.replay(&[&input]);
        replay.until = Some(text.into());
        replay
    };
    for text in [
        "",
        "yesterday",
        "2026-02-03",
        "2026-02-30T00:00:00Z",
        "2026-02-03T24:00:00Z",
        "2026-02-03T10:00:60Z",
        "2026-02-03T10:00:00",
        "1969-12-31T23:59:59.999Z",
        "2200-01-01T00:00:00Z",
    ] {
        let said = until(text).fail(2);
        assert!(said.contains("--until"), "{said}");
        assert!(said.contains("not an instant such as"), "{said}");
    }
    for threads in ["0", "17", "-1", "two", ""] {
        let output = bench
            .replay(&[&input])
            .command()
            .arg("--threads")
            .arg(threads)
            .output();
        let output = output.expect("the program starts");
        assert_eq!(output.status.code(), Some(2), "--threads {threads}");
    }
    // Nothing to read, nowhere to write, no book, an option that does not exist.
    for arguments in [
        vec!["--rates", "b.json", "--out", "out"],
        vec!["--rates", "b.json", "i.ndjson"],
        vec!["--out", "out", "i.ndjson"],
        vec!["--rates", "b.json", "--out", "out", "--colour", "i.ndjson"],
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_meterfold"));
        let output = command
            .arg("replay")
            .args(&arguments)
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(bench.names(), before);
}

#[test]
fn until_before_the_clock_does_nothing() {
    let bench = Bench::new();
    let input = bench.write("input.ndjson", february());
    let without = bench.replay(&[&input]).succeed();
    for until in [
        "1970-01-01T00:00:00Z",
        "2026-02-09T09:59:59.999Z",
        "2026-02-09T10:00:00Z",
    ] {
        let mut replay = bench.replay(&[&input]);
        replay.out = bench.path("again");
        replay.flags.push("--force");
        replay.until = Some(until.into());
        without.assert_equal(until, &replay.succeed());
    }
    let mut later = bench.replay(&[&input]);
    later.out = bench.path("later");
    later.until = Some("2026-03-04T00:00:00Z".into());
    assert_ne!(later.succeed().accounts, without.accounts);
}

#[test]
fn outputs_are_replaced_by_force_only_and_foreign_files_never() {
    let bench = Bench::new();
    let input = bench.write("input.ndjson", february());
    let replay = bench.replay(&[&input]);
    let expected = replay.succeed();
    let before = tree(&replay.out);

    let said = replay.fail(2);
    assert!(
        said.contains("is not empty") && said.contains("--force"),
        "{said}"
    );
    assert!(tree(&replay.out) == before);

    let mut forced = replay.clone();
    forced.flags.push("--force");
    expected.assert_equal("forced", &forced.succeed());
    // A forced run without a trace leaves no trace of the one before it.
    forced.flags = vec!["--force"];
    forced.succeed();
    assert_eq!(
        names(&replay.out),
        [
            "accounts.ndjson",
            "dead-letters.ndjson",
            "derived.ndjson",
            "summary.json"
        ]
    );

    fs::write(replay.out.join("thesis.doc"), "years of work").expect("a file");
    let before = tree(&replay.out);
    let said = forced.fail(2);
    assert!(
        said.contains("holds thesis.doc, which no run wrote"),
        "{said}"
    );
    assert!(tree(&replay.out) == before);
    let said = replay.fail(2);
    assert!(said.contains("is not empty"), "{said}");
    assert!(tree(&replay.out) == before);

    let mut into_a_file = replay.clone();
    into_a_file.out = bench.write("a-file", "content");
    for flags in [vec![], vec!["--force"]] {
        into_a_file.flags = flags;
        let said = into_a_file.fail(2);
        assert!(
            said.contains("a-file: ") && said.contains("give a directory"),
            "{said}"
        );
    }
    assert_eq!(
        fs::read(bench.path("a-file")).expect("the file"),
        b"content"
    );
    assert_eq!(bench.names(), ["a-file", "input.ndjson", "out"]);
}

#[test]
fn an_empty_directory_and_missing_parents_are_fine() {
    let bench = Bench::new();
    let input = bench.write("input.ndjson", february());
    let mut replay = bench.replay(&[&input]);
    let expected = replay.succeed();
    fs::create_dir(bench.path("empty")).expect("a directory");
    for out in ["empty", "a/b/c", "slash/", "dot/."] {
        replay.out = PathBuf::from(format!("{}/{out}", bench.path("").display()));
        expected.assert_equal(out, &replay.succeed());
    }
    assert_eq!(
        bench.names(),
        ["a", "dot", "empty", "input.ndjson", "out", "slash"]
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).expect("bytes in memory");
    encoder.finish().expect("bytes in memory")
}

fn cut(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() - 9]
}
