//! `make demo` as a new user sees it: it works, and what the README shows of it is what it prints.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_readme_shows_what_the_demo_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("demo");
    let output = Command::new(root.join(".ci/demo"))
        .args([Path::new(env!("CARGO_BIN_EXE_meterfold")), &place])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");

    let printed = String::from_utf8(output.stdout).unwrap();
    let printed = printed.replace(place.to_str().unwrap(), "target/demo");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut rest = printed.lines();
    for line in excerpt(&readme) {
        assert!(
            rest.any(|printed| printed == line),
            "README.md shows this line, the demo does not print it there:\n{line}\n\n{printed}"
        );
    }
}

/// The lines of the README's first block of text, which is an excerpt of the demo.
fn excerpt(readme: &str) -> impl Iterator<Item = &str> {
    let lines = readme.lines().skip_while(|line| *line != "```text").skip(1);
    let lines = lines.take_while(|line| *line != "```");
    lines.filter(|line| !line.is_empty())
}
