//! Lists that stand in a document and in the program: neither may have what the other lacks.

use std::collections::BTreeSet;

use super::source::Source;

/// First cells of the table that follows `heading`, without back ticks; a cell may hold several,
/// parted by commas.
pub fn first_column(document: &Source, heading: &str) -> BTreeSet<String> {
    let (_, rest) = document
        .text
        .split_once(heading)
        .unwrap_or_else(|| panic!("{}: {heading} is missing", document.path));
    let rows = rest
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2);
    rows.filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split(','))
        .map(|word| word.trim().trim_matches('`').to_owned())
        .collect()
}

/// `code level` of every line of the log in the sources.
pub fn log_codes(project: &[Source]) -> BTreeSet<String> {
    let written =
        |source: &&Source| source.is_rust_in("src/") && !source.path.ends_with("tests.rs");
    let lines = project.iter().filter(written);
    let lines = lines.flat_map(|source| source.text.split("tracing::").skip(1));
    let code = |line: &str| {
        let (level, rest) = line.split_once("!(")?;
        let (code, _) = rest
            .trim_start()
            .strip_prefix("event = \"")?
            .split_once('"')?;
        Some(format!("{code} {level}"))
    };
    lines.filter_map(code).collect()
}

/// The same of the table of `docs/logs.md`; those of any level are left out.
pub fn documented_log_codes(document: &Source) -> BTreeSet<String> {
    let rows = document.text.lines().filter(|line| line.starts_with("| `"));
    let mut codes = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let code = cells[1].trim_matches('`');
        let levels = cells[2].split(", ").filter(|level| *level != "any");
        codes.extend(levels.map(|level| format!("{code} {level}")));
    }
    codes
}

/// What only one of the two has.
pub fn differences(
    document: &Source,
    written: &BTreeSet<String>,
    real: &BTreeSet<String>,
) -> Vec<String> {
    let path = &document.path;
    let missing = real.difference(written);
    let missing = missing.map(|word| format!("{path}: says nothing of {word}"));
    let unreal = written.difference(real);
    missing
        .chain(unreal.map(|word| format!("{path}: {word} is not in the program")))
        .collect()
}

/// Tests that a document names as `file.rs: name`, in back ticks, and that there are not.
pub fn absent_tests(document: &Source, project: &[Source]) -> Vec<String> {
    let quoted = document.text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|text| text.split_once(".rs: "))
        .filter(|(file, test)| {
            let of_file = |source: &&Source| source.path.ends_with(&format!("{file}.rs"));
            let head = format!("fn {test}(");
            !project
                .iter()
                .filter(of_file)
                .any(|source| source.text.contains(&head))
        })
        .map(|(file, test)| format!("{}: there is no test {file}.rs: {test}", document.path))
        .collect()
}
