//! The five floors of `src/lib.rs`: who may import whom.
//!
//! A file may import its own folder and lower floors. Read are `crate::` paths and `super::` paths
//! that lead out of a folder, in any place of the code, and on floor 0 the paths of other crates.

use super::source::{Source, Token};

const FLOORS: [(&str, u8); 9] = [
    ("billing", 0),
    ("wire", 1),
    ("ports", 1),
    ("store", 2),
    ("files", 2),
    ("kafka", 2),
    ("processor", 3),
    ("http", 3),
    ("cli", 4),
];

/// These stand beside the house: floors 2 to 4 may import them, they import floors 0 and 1.
const BESIDE: [&str; 3] = ["config", "fail_point", "telemetry"];

/// The seams speak of what `wire` read; `wire` knows no seam.
const EXCEPTION: (&str, &str) = ("ports", "wire");

/// All that floor 0 knows of other crates: numbers, error messages, and shapes of small lists and
/// texts.
const CRATES_OF_FLOOR_0: [&str; 5] = [
    "compact_str",
    "rust_decimal",
    "smallvec",
    "thin_vec",
    "thiserror",
];
const STD_OF_FLOOR_0: [&str; 12] = [
    "borrow",
    "cmp",
    "collections",
    "convert",
    "error",
    "fmt",
    "iter",
    "mem",
    "num",
    "ops",
    "slice",
    "str",
];
const NAMES_NOT_OF_FLOOR_0: [&str; 9] = [
    "f32", "f64", "HashMap", "HashSet", "async", "await", "unsafe", "println", "eprintln",
];

/// Faults of one file of `src`; `crates` are the project's direct dependencies.
pub fn faults(source: &Source, crates: &[String]) -> Vec<String> {
    let Some(from) = folder(&source.path) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    if floor(from).is_none() && !BESIDE.contains(&from) {
        faults.push(format!(
            "{}: {from} has no floor; give it one in tests/tidy/floors.rs",
            source.path
        ));
        return faults;
    }
    let code = source.code();
    for (line, to) in paths_from_root(&code, module_depth(&source.path)) {
        if !may_import(from, &to) {
            faults.push(format!(
                "{}:{line}: {from} may not import {to}",
                source.path
            ));
        }
    }
    if from == "billing" {
        faults.extend(faults_of_floor_0(source, &code, crates));
    }
    faults
}

fn faults_of_floor_0(source: &Source, code: &[Token], crates: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, token) in code.iter().enumerate() {
        let name = token.text.as_str();
        let mut fault = |what: &str| {
            let (path, line) = (&source.path, token.line);
            faults.push(format!("{path}:{line}: floor 0 does not know {what}"));
        };
        if NAMES_NOT_OF_FLOOR_0.contains(&name) {
            fault(name);
        }
        let begins_a_path = text(code, at + 1) == "::" && (at == 0 || text(code, at - 1) != "::");
        if !begins_a_path {
            continue;
        }
        if matches!(name, "std" | "core" | "alloc") {
            for (_, module) in heads(code, at + 2) {
                if !STD_OF_FLOOR_0.contains(&module.as_str()) {
                    fault(&format!("{name}::{module}"));
                }
            }
        } else if crates.iter().any(|known| known == name) && !CRATES_OF_FLOOR_0.contains(&name) {
            fault(name);
        }
    }
    faults
}

/// The folder or file right under `src` that a path lies in; None: the map, the program, or no
/// part of `src`.
fn folder(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?;
    let first = inner.split('/').next()?;
    let first = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(first, "lib" | "main")).then_some(first)
}

fn floor(folder: &str) -> Option<u8> {
    let found = FLOORS.iter().find(|(name, _)| *name == folder);
    found.map(|(_, floor)| *floor)
}

fn may_import(from: &str, to: &str) -> bool {
    if from == to || (from, to) == EXCEPTION {
        return true;
    }
    // A name that is no folder is one of lib.rs itself, which has none to import.
    match (floor(from), floor(to)) {
        (Some(from), Some(to)) => to < from,
        (Some(from), None) => from >= 2 && BESIDE.contains(&to),
        (None, Some(to)) => to <= 1,
        (None, None) => false,
    }
}

/// How many modules deep a file is: 1 for `src/billing/mod.rs` and `src/ports.rs`.
fn module_depth(path: &str) -> usize {
    let is_module_of_its_folder = path.ends_with("/mod.rs");
    path.matches('/').count() - usize::from(is_module_of_its_folder)
}

/// Every name right under the crate's root that the code reaches, with its line.
fn paths_from_root(code: &[Token], file_depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // For each open brace, whether it is that of an inline module.
    let mut braces: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < code.len() {
        match text(code, at) {
            "{" => braces.push(at >= 2 && text(code, at - 2) == "mod"),
            "}" => {
                braces.pop();
            }
            "crate" if text(code, at + 1) == "::" => found.extend(heads(code, at + 2)),
            "super" => {
                let start = at;
                while text(code, at + 1) == "::" && text(code, at + 2) == "super" {
                    at += 2;
                }
                let ups = (at - start) / 2 + 1;
                let depth = file_depth + braces.iter().filter(|is_module| **is_module).count();
                if ups >= depth && text(code, at + 1) == "::" {
                    found.extend(heads(code, at + 2));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The names that a path goes on with: one, or those of a group in braces.
fn heads(code: &[Token], at: usize) -> Vec<(usize, String)> {
    let named = |at: usize| (code[at].line, code[at].text.clone());
    if text(code, at) != "{" {
        return (at < code.len()).then(|| named(at)).into_iter().collect();
    }
    let mut found = Vec::new();
    let mut depth = 0;
    for index in at..code.len() {
        match text(code, index) {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ if depth == 1 && matches!(text(code, index - 1), "{" | ",") => {
                found.push(named(index));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn text(code: &[Token], at: usize) -> &str {
    code.get(at).map_or("", |token| token.text.as_str())
}
