//! The bill of materials (`.ci/sbom`): every locked package, and every C and C++ library with the
//! version that is really linked.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn bill(program: Option<&str>) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/sbom");
    let output = Command::new(script)
        .args(program)
        .output()
        .expect("python3 starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output.stdout
}

fn components(bill: &[u8]) -> Vec<Value> {
    let mut bill: Value = serde_json::from_slice(bill).expect("JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["specVersion"], "1.5");
    assert_eq!(bill["metadata"]["component"]["name"], "meterfold");
    match bill["components"].take() {
        Value::Array(components) => components,
        other => panic!("{other}"),
    }
}

fn version<'a>(components: &'a [Value], reference: &str) -> &'a str {
    let is_it = |component: &&Value| {
        component["bom-ref"]
            .as_str()
            .is_some_and(|found| found.starts_with(reference))
    };
    let found: Vec<&Value> = components.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{reference}: {found:?}");
    assert_eq!(found[0]["scope"], "required", "{reference}");
    found[0]["version"].as_str().expect("a version")
}

/// Name, version and checksum of each package of Cargo.lock.
fn locked() -> Vec<(String, String, Option<String>)> {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = std::fs::read_to_string(lock).expect("Cargo.lock");
    let value = |package: &str, key: &str| {
        let line = package
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{key} = \"")));
        line.map(|line| line.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]").skip(1);
    packages
        .map(|package| {
            let [name, version] = ["name", "version"].map(|key| value(package, key).expect(key));
            (name, version, value(package, "checksum"))
        })
        .collect()
}

#[test]
fn every_locked_package_is_in_it() {
    let bill = bill(None);
    assert_eq!(bill, self::bill(None), "the same tree, the same bytes");
    let components = components(&bill);
    let locked = locked();
    assert!(locked.len() > 200);
    for (name, version, checksum) in locked.iter().filter(|(name, ..)| name != "meterfold") {
        let reference = format!("pkg:cargo/{name}@{version}");
        let found = components
            .iter()
            .find(|found| found["bom-ref"] == reference.as_str());
        let found = found.unwrap_or_else(|| panic!("{reference} is missing"));
        if let Some(checksum) = checksum {
            assert_eq!(
                found["hashes"][0]["content"],
                checksum.as_str(),
                "{reference}"
            );
        }
    }
    let excluded = |name: &str| {
        let found = components.iter().find(|found| found["name"] == name);
        found.expect(name)["scope"] == "excluded"
    };
    assert!(excluded("proptest") && excluded("libfuzzer-sys") && excluded("bindgen"));
    assert!(!excluded("rdkafka") && !excluded("rust_decimal"));
}

#[test]
fn libraries_of_c_have_the_versions_that_are_linked() {
    let components = components(&bill(Some(env!("CARGO_BIN_EXE_meterfold"))));
    let version = |reference: &str| version(&components, reference);
    // What the linked libraries say of themselves.
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    assert_eq!(version("pkg:generic/librdkafka@"), librdkafka);
    assert_eq!(
        version("pkg:generic/zstd@"),
        zstd::zstd_safe::version_string()
    );
    // What the packages say that they bring.
    let brought = |name: &str| {
        let locked = locked();
        let package = locked.iter().find(|(found, ..)| found == name).expect(name);
        let (_, brought) = package.1.split_once('+').expect("what it brings");
        brought.trim_start_matches("lz4-").to_owned()
    };
    assert_eq!(version("pkg:generic/rocksdb@"), brought("librocksdb-sys"));
    assert_eq!(version("pkg:generic/lz4@1.10"), brought("lz4-sys"));
    for reference in [
        "mimalloc",
        "cjson",
        "nanopb",
        "libcrypto",
        "libz",
        "libc.so",
        "libstdc++",
    ] {
        let found = version(&format!("pkg:generic/{reference}"));
        assert!(found.contains('.'), "{reference}: {found}");
    }
}
