//! Rules of the house that no compiler knows, kept by reading the project's files.
//!
//! Each check is a function from a file to its faults. It runs over the whole project, and once over
//! a small file that breaks its rule (`checks_bite`), so that none of them falls silent.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/form.rs"]
mod form;
#[path = "tidy/lists.rs"]
mod lists;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use documents::Command;
use source::{Source, project};

/// The checks themselves name what they refuse.
const CHECKS: &str = "tests/tidy";

#[test]
fn floors_are_kept() {
    let project = project();
    let crates = crates(&project);
    assert!(crates.iter().any(|name| name == "rust_decimal"));
    none(
        project
            .iter()
            .flat_map(|source| floors::faults(source, &crates)),
    );
}

#[test]
fn every_module_begins_with_its_comment() {
    none(project().iter().flat_map(form::module_comment));
}

#[test]
fn long_files_have_a_reason() {
    none(project().iter().flat_map(form::size));
}

#[test]
fn nothing_is_left_for_later() {
    none(others().iter().flat_map(words::unfinished));
}

#[test]
fn floor_0_speaks_the_glossary() {
    none(project().iter().flat_map(words::glossary));
}

#[test]
fn no_file_names_a_machine() {
    none(others().iter().flat_map(words::places));
}

#[test]
fn every_dependency_has_its_job_beside_it() {
    let project = project();
    none(form::dependency_comments(find(&project, "Cargo.toml")));
}

#[test]
fn every_cited_invariant_stands_in_the_map() {
    let project = project();
    let map = &find(&project, "src/lib.rs").text;
    none(
        others()
            .iter()
            .flat_map(|source| unknown_invariants(source, map)),
    );
}

#[test]
fn documents_show_what_the_program_has() {
    let project = project();
    let commands = commands();
    let makefile = &find(&project, "Makefile").text;
    let readme = find(&project, "README.md");
    let is_document =
        |path: &str| matches!(path, "README.md" | "SECURITY.md") || path.starts_with("docs/");
    let documents = project
        .iter()
        .filter(|source| is_document(&source.path) && source.path.ends_with(".md"));
    let faults =
        documents.flat_map(|source| documents::faults(source, &commands, makefile, &project));
    none(faults.chain(documents::silence(readme, &commands)));
}

#[test]
fn every_code_of_a_log_line_is_documented() {
    let project = project();
    let logs = find(&project, "docs/logs.md");
    let mut codes = lists::log_codes(&project);
    assert!(codes.len() > 30, "{codes:?}");
    // They have names, since more than one place speaks of them.
    codes.extend(["failed error", "library warn"].map(str::to_owned));
    none(lists::differences(
        logs,
        &lists::documented_log_codes(logs),
        &codes,
    ));
}

#[test]
fn every_exit_code_is_documented() {
    let project = project();
    // 101 is how any Rust program ends in a panic.
    let codes = meterfold::cli::failure::CODES;
    let codes = codes.iter().chain(&[0, 101]).map(u8::to_string).collect();
    for (path, heading) in [
        ("README.md", "### Exit codes"),
        ("docs/operate.md", "## Exit codes"),
    ] {
        let document = find(&project, path);
        let written = lists::first_column(document, heading);
        none(lists::differences(document, &written, &codes));
    }
}

#[test]
fn tests_that_documents_name_are_there() {
    let project = project();
    let security = find(&project, "SECURITY.md");
    assert!(security.text.matches(".rs: ").count() > 15);
    none(lists::absent_tests(security, &project));
}

#[test]
fn every_command_shows_an_example() {
    let faults = commands().into_iter().filter_map(|command| {
        let is_leaf = !command.help.contains("\nCommands:");
        let has_example = command.help.contains("Example");
        (is_leaf && !has_example)
            .then(|| format!("meterfold {}: no example in its help", command.name))
    });
    none(faults);
}

/// Every check, over a file that breaks its rule.
#[test]
fn checks_bite() {
    let crates = ["rust_decimal".to_owned(), "rocksdb".to_owned()];
    let bad = Source::new;
    let floors = |path: &str, text: &str| floors::faults(&bad(path, text), &crates);
    let one = |faults: Vec<String>| assert_eq!(faults.len(), 1, "{faults:#?}");
    let no = |faults: Vec<String>| assert_eq!(faults, Vec::<String>::new());

    one(floors("src/billing/a.rs", "use crate::wire::b;"));
    one(floors("src/billing/a.rs", "use super::super::wire::b;"));
    one(floors("src/billing/a.rs", "fn f() { rocksdb::f() }"));
    one(floors("src/billing/a.rs", "use std::time::Duration;"));
    one(floors("src/billing/a.rs", "use std::{fmt, env};"));
    one(floors("src/billing/a.rs", "fn f(x: f64) {}"));
    one(floors("src/wire/a.rs", "use crate::ports::B;"));
    one(floors(
        "src/store/a.rs",
        "use crate::{billing::b, files::{c, d}};",
    ));
    one(floors(
        "src/store/a.rs",
        "mod b { mod c { use super::super::super::super::files::d; } }",
    ));
    one(floors("src/processor/mod.rs", "use super::cli::b;"));
    one(floors("src/cellar/a.rs", ""));
    no(floors(
        "src/billing/a.rs",
        "//! [crate::wire]\nuse rust_decimal::D; const A: &str = \"crate::cli::b\";",
    ));
    no(floors(
        "src/billing/a.rs",
        "mod tests { use super::super::wire; } pub(crate) fn f<'a>() {}",
    ));
    no(floors(
        "src/cli/a.rs",
        "use crate::{files::b, store}; use super::super::wire;",
    ));

    one(form::module_comment(&bad("src/a.rs", "use b;\n")));
    one(form::size(&bad("src/a.rs", &"\n".repeat(501))));
    no(form::size(&bad(
        "src/a.rs",
        &format!("#[cfg(test)]\nmod tests {{{}}}", "\n".repeat(501)),
    )));
    one(form::dependency_comments(&bad(
        "Cargo.toml",
        "[dependencies]\na = \"1\"\nb = \"1\" # job\n[x]\nc = 1",
    )));

    one(words::unfinished(&bad("src/a.rs", "fn f() { todo!() }")));
    one(words::unfinished(&bad("src/a.rs", "// FIXME: later")));
    one(words::unfinished(&bad("src/utils.rs", "")));
    one(words::glossary(&bad(
        "src/billing/a.rs",
        "struct TenantIds;",
    )));
    one(words::places(&bad("README.md", "see /home/someone")));
    one(words::places(&bad(
        "Cargo.lock",
        "source = \"registry+https://mirror/crates.io\"",
    )));
    no(words::places(&bad(
        "src/a.rs",
        "/da/us-east/v3/workitems /same/root/end",
    )));

    one(unknown_invariants(
        &bad("src/a.rs", "// INV-77 and INV-1"),
        "//! - INV-1: so",
    ));

    let table = |rows: &str| bad("docs/a.md", &format!("head\n| code |\n| --- |\n{rows}"));
    let real = ["1".to_owned(), "2".to_owned()].into();
    let listed = |rows: &str| {
        let document = table(rows);
        lists::differences(&document, &lists::first_column(&document, "head"), &real)
    };
    no(listed("| 1, `2` | x |\n"));
    one(listed("| 1 | x |\n"));
    one(listed("| 1, 2 | x |\n| 3 | x |\n"));
    let line = bad(
        "src/a.rs",
        "tracing::warn!(\n    event = \"late\",\n    \"so\");",
    );
    let logged = lists::log_codes(&[line]);
    let told = |row: &str| {
        let document = bad("docs/logs.md", row);
        lists::differences(&document, &lists::documented_log_codes(&document), &logged)
    };
    no(told("| `late` | warn | so |"));
    assert_eq!(told("| `late` | info | so |").len(), 2);
    let project = [bad("tests/a.rs", "fn is_so() {}")];
    let absent = |text: &str| lists::absent_tests(&bad("SECURITY.md", text), &project);
    no(absent("`a.rs: is_so`"));
    one(absent("`a.rs: is_not`"));
    one(absent("`b.rs: is_so`"));

    let commands = [
        Command {
            name: String::new(),
            help: "\nCommands:\n  fold".into(),
        },
        Command {
            name: "fold".into(),
            help: "  --out <DIR>".into(),
        },
    ];
    let makefile = "\ntest: x";
    let document =
        |text: &str| documents::faults(&bad("README.md", text), &commands, makefile, &[]);
    one(document("`meterfold unfold`"));
    one(document("```\n$ meterfold fold \\\n  --in x\n```"));
    one(document("`--in`"));
    one(document("`make tea`"));
    one(document("[x](docs/none.md)"));
    let deep = |target: &str| {
        let page = bad("docs/runbooks/a.md", &format!("[x]({target})"));
        documents::faults(&page, &commands, makefile, &[bad("docs/b.md", "")])
    };
    no(deep("../b.md#c"));
    one(deep("b.md"));
    no(document(
        "```\nbin/meterfold fold --out x | less --raw # --in\nmake test\n```\n`--out`",
    ));
    one(documents::silence(&bad("README.md", ""), &commands));
}

/// All files but the checks.
fn others() -> Vec<Source> {
    let mut project = project();
    project.retain(|source| !source.path.starts_with(CHECKS));
    project
}

fn find<'a>(project: &'a [Source], path: &str) -> &'a Source {
    let found = project.iter().find(|source| source.path == path);
    found.unwrap_or_else(|| panic!("there is no {path}"))
}

/// Names of the direct dependencies, as in code.
fn crates(project: &[Source]) -> Vec<String> {
    form::dependencies(find(project, "Cargo.toml"))
        .into_iter()
        .filter_map(|(_, line)| line.split([' ', '=']).next())
        .map(|name| name.replace('-', "_"))
        .collect()
}

fn unknown_invariants(source: &Source, map: &str) -> Vec<String> {
    let cited = source.text.split("INV-").skip(1).filter_map(|rest| {
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        (!digits.is_empty()).then_some(digits)
    });
    cited
        .filter(|number| !map.contains(&format!("- INV-{number}: ")))
        .map(|number| format!("{}: INV-{number} does not stand in src/lib.rs", source.path))
        .collect()
}

/// The program, its commands and theirs, with what `--help` says.
fn commands() -> Vec<Command> {
    let mut commands = Vec::new();
    let mut names = vec![String::new()];
    while let Some(name) = names.pop() {
        let help = help(&name);
        let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        for line in listed.lines().take_while(|line| !line.is_empty()) {
            // Two spaces, a name, and what it does; deeper lines go on with that.
            let is_name = line.starts_with("  ") && !line.starts_with("   ");
            if let Some(word) = line
                .split_whitespace()
                .next()
                .filter(|word| is_name && *word != "help")
            {
                names.push(format!("{name} {word}").trim_start().to_owned());
            }
        }
        commands.push(Command { name, help });
    }
    commands
}

fn help(name: &str) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_meterfold"))
        .args(name.split_whitespace())
        .arg("--help")
        .output()
        .expect("the program starts");
    String::from_utf8(output.stdout).expect("help is text")
}

#[track_caller]
fn none(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
