//! The container image, built by buildah from `Containerfile` around the program of these tests, and run.
//! `.ci/setup image` fetches the tool.

use std::path::Path;
use std::process::Command;

#[test]
fn the_image_is_small_and_runs_without_rights() {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/image"))
        .arg(env!("CARGO_BIN_EXE_meterfold"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{error}");
    print!("{said}");
}
