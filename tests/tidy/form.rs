//! The form of files: a comment on top of every module, a size that can be read in one go, and in
//! `Cargo.toml` the job of each dependency beside it.

use super::source::Source;

const LINES_MAX: usize = 500;

/// Longer ones, and why each is one piece. Unit tests at the end do not count.
const LONG_FOR_A_REASON: [(&str, &str); 5] = [
    (
        "src/files/avro_container.rs",
        "reader and writer of one format, beside each other",
    ),
    (
        "src/processor/partition.rs",
        "one struct: everything that a partition does between take and apply",
    ),
    (
        "src/wire/cells.rs",
        "the layouts of all cells, which are for ever, side by side",
    ),
    (
        "src/wire/cloudevents.rs",
        "one pass over a record, its checks in the order of the specification",
    ),
    (
        "src/wire/rate_book.rs",
        "the members of a book from top to bottom; checks and values lie in files of their own",
    ),
];

/// A module says in its first line what it is.
pub fn module_comment(source: &Source) -> Vec<String> {
    if !source.path.ends_with(".rs") || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{}: begins without a //! comment", source.path)]
}

pub fn size(source: &Source) -> Vec<String> {
    let is_tests = source.path.ends_with("/tests.rs");
    let has_reason = LONG_FOR_A_REASON
        .iter()
        .any(|(path, _)| *path == source.path);
    if !source.is_rust_in("src/") || is_tests || has_reason {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let unit_tests = lines.windows(2).position(|pair| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    });
    let count = unit_tests.unwrap_or(lines.len());
    if count <= LINES_MAX {
        return Vec::new();
    }
    vec![format!(
        "{}: {count} lines; split it, or say in tests/tidy/form.rs why it is one piece",
        source.path
    )]
}

/// Direct dependencies of a manifest and the line each stands in.
pub fn dependencies(manifest: &Source) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for (number, line) in (1..).zip(manifest.text.lines()) {
        if line.starts_with('[') {
            is_inside = line.ends_with("dependencies]");
        } else if is_inside && !line.trim().is_empty() && !line.starts_with('#') {
            found.push((number, line));
        }
    }
    found
}

/// Each dependency has its job beside it.
pub fn dependency_comments(manifest: &Source) -> Vec<String> {
    dependencies(manifest)
        .into_iter()
        .filter(|(_, line)| {
            let job = line.split_once(" # ").map_or("", |(_, job)| job);
            job.trim().is_empty()
        })
        .map(|(number, line)| format!("{}:{number}: what for? {line}", manifest.path))
        .collect()
}
