//! The program as a citizen of a shell: completions, manual pages, pipes whose reader goes away,
//! and colour.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::program::Replay;

const PROGRAM: &str = env!("CARGO_BIN_EXE_meterfold");
/// For the end of a process that was killed.
const PATIENCE: Duration = Duration::from_secs(10);
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

fn meterfold(arguments: &[&str]) -> Output {
    let output = Command::new(PROGRAM).args(arguments).output();
    output.expect("the program starts")
}

#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = meterfold(arguments);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Names of commands, each with those of its parents, as `--help` lists them.
fn commands() -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![Vec::new()];
    while let Some(words) = open.pop() {
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = said(&arguments);
        let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
        for line in listed.lines().take_while(|line| !line.is_empty()) {
            let is_name = line.starts_with("  ") && !line.starts_with("   ");
            let word = line.split_whitespace().next().filter(|_| is_name);
            if let Some(word) = word.filter(|word| *word != "help") {
                open.push([words.clone(), vec![word.to_owned()]].concat());
            }
        }
        found.insert(words);
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

#[test]
fn every_shell_is_told_every_command() {
    for shell in SHELLS {
        let script = said(&["completions", shell]);
        for word in commands().iter().flatten() {
            assert!(script.contains(word.as_str()), "{shell}: {word}");
        }
    }
    let unknown = meterfold(&["completions", "tcsh"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}

/// What a real bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let script = "source <(\"$PROGRAM\" completions bash)
        COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))
        _meterfold meterfold \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\" || true
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-euc", script, "bash"])
        .args(words)
        .env("PROGRAM", PROGRAM)
        .output()
        .expect("bash starts");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_real_bash_completes() {
    assert_eq!(offered(&["meterfold", "inv"]), [""]);
    assert_eq!(offered(&["meterfold", "ins"]), ["inspect"]);
    assert_eq!(
        offered(&["meterfold", "dead-letters", "li"]),
        ["list"],
        "a command of a command"
    );
    assert_eq!(
        offered(&["meterfold", "validate", "--against"]),
        ["--against-cluster"]
    );
    assert_eq!(
        offered(&["meterfold", "run", "--log-format", "j"]),
        ["json"],
        "a value of an option"
    );
}

/// Requests that a page may use; anything else would not be shown as meant.
const REQUESTS: [&str; 14] = [
    ".TH", ".IP", ".SH", ".PP", ".TP", ".RS", ".RE", ".nf", ".fi", ".ie", ".el", ".ds", ".br",
    ".TQ",
];

#[test]
fn each_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man1");
    said(&["man", "--out", pages.to_str().unwrap()]);
    assert_eq!(fs::read_dir(&pages).unwrap().count(), commands().len());
    for words in commands() {
        let name = [vec!["meterfold".to_owned()], words.clone()]
            .concat()
            .join("-");
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        for line in page.lines().filter(|line| line.starts_with('.')) {
            let request = line.split(' ').next().unwrap();
            assert!(REQUESTS.contains(&request), "{name}: {line}");
        }
        let plain = page.replace('\\', "");
        let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = said(&arguments);
        let options = help.split_whitespace().filter(|word| {
            let name = word.strip_prefix("--").unwrap_or_default();
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        });
        for option in options {
            assert!(
                plain.contains(option),
                "{name}: {option} is not in its page"
            );
        }
        assert_eq!(
            help.contains("\nExample"),
            page.contains("\n.SH EXAMPLES\n.nf\n"),
            "{name}"
        );
        assert_eq!(
            help.contains("Exit codes:"),
            page.contains("\n.SH \"EXIT STATUS\"\n"),
            "{name}"
        );
        rendered(&name, &page);
    }
    let first = fs::read_to_string(pages.join("meterfold.1")).unwrap();
    assert_eq!(said(&["man"]), first);
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = meterfold(&["man", "--out", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

/// Where groff is installed it must show the page without a warning.
fn rendered(name: &str, page: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    fs::write(&file, page).unwrap();
    let groff = Command::new("groff")
        .args(["-man", "-Tascii", "-ww", "-rLL=200n"])
        .arg(&file)
        .output();
    let Ok(output) = groff else {
        eprintln!("there is no groff: {name} was checked by its requests only");
        return;
    };
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && warnings.is_empty(), "{warnings}");
    assert!(output.stdout.len() > 200);
}

fn project(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    path.to_str().unwrap().to_owned()
}

/// A run of a few teams, with outputs and state to look at.
struct Folded {
    directory: tempfile::TempDir,
}

impl Folded {
    fn new() -> Folded {
        let folded = Folded {
            directory: tempfile::tempdir().unwrap(),
        };
        let events = folded.path("events.ndjson");
        let words = "generate --teams 5 --events 2000 --months 2026-01..2026-01 --seed 1 --out";
        let mut arguments: Vec<&str> = words.split(' ').collect();
        arguments.push(&events);
        said(&arguments);
        folded.replay().succeed();
        folded
    }

    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn replay(&self) -> Replay {
        Replay {
            rates: PathBuf::from(project("schemas/rates/aps-example.json")),
            out: PathBuf::from(self.path("out")),
            inputs: vec![PathBuf::from(self.path("events.ndjson"))],
            until: Some("2026-02-04T00:00:00Z".into()),
            state: Some(PathBuf::from(self.path("state"))),
            ..Replay::default()
        }
    }
}

/// A pipe that nobody reads from.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Every command that writes to standard output without a broker; those with one write through the
/// same function, and a lint keeps it so.
#[test]
fn a_reader_that_went_away_is_no_failure() {
    let folded = Folded::new();
    let book = project("schemas/rates/aps-example.json");
    let [out, state, events] = ["out", "state", "events.ndjson"].map(|name| folded.path(name));
    let set = format!("rates={book}");
    let brokers = "kafka.bootstrap.servers=127.0.0.1:1";
    let until = "2026-02-04T00:00:00Z";
    let replayed = folded.path("again");
    let cases: &[&[&str]] = &[
        &["--help"],
        &["--version"],
        &["man"],
        &["completions", "zsh"],
        &["validate", "--print-default-config"],
        &["validate", "--set", &set, "--set", brokers],
        &["run", "--print-default-config"],
        &["rates", "check", &book],
        &["rates", "quote", &book, "--tokens", "500"],
        &["inspect", "--state", &state],
        &["inspect", "--state", &state, "--team", "team-0000001"],
        &["inspect", "--out", &out],
        &[
            "explain",
            "--team",
            "team-0000001",
            "--month",
            "2026-01",
            "--rates",
            &book,
            "--until",
            until,
            &events,
        ],
        &["replay", "--rates", &book, "--out", &replayed, &events],
        &[
            "generate",
            "--teams",
            "5",
            "--events",
            "200000",
            "--months",
            "2026-01..2026-01",
            "--seed",
            "1",
        ],
    ];
    for arguments in cases {
        let mut command = Command::new(PROGRAM);
        let output = command.args(*arguments).stdout(closed()).output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{arguments:?}: {output:?}"
        );
    }
    assert!(Path::new(&replayed).join("summary.json").exists());
}

/// The verdict does not depend on who listens.
#[test]
fn a_failure_keeps_its_code_without_readers() {
    let book = project("schemas/rates/aps-example.json");
    let absent = ["topics", "check", "--timeout", "1", "--set"];
    let rates = format!("rates={book}");
    let absent = [
        &absent[..],
        &[&rates, "--set", "kafka.bootstrap.servers=127.0.0.1:1"],
    ]
    .concat();
    for (arguments, code) in [
        (&["rates", "check", "none.json"][..], 2),
        (&["inspect", "--state", "none"], 2),
        (&["validate", "--config", "none.toml"], 4),
        (&absent, 5),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).stdout(closed()).stderr(closed());
        assert_eq!(
            command.status().unwrap().code(),
            Some(code),
            "{arguments:?}"
        );
    }
}

#[test]
fn no_command_dumps_its_memory() {
    let words = "generate --teams 5 --events 200000 --months 2026-01..2026-01 --seed 1";
    let mut command = Command::new(PROGRAM);
    command.args(words.split(' ')).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It has begun, and stands at a full pipe.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "{limits}");
}

#[test]
fn a_full_disk_is_a_failure() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = Command::new(PROGRAM);
    let output = command.arg("man").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("standard output: "), "{said}");
}

/// What a terminal is sent by a command that ends, or is ended after the first `until`. The end of
/// its terminal would not do: where hangups are ignored, as under nohup, it would run for ever.
fn on_a_terminal(command: &str, no_color: Option<&str>, until: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let number = directory.path().join("number");
    let command = format!("echo $$ >{}; exec {command}", number.display());
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]);
    script.env("TERM", "xterm").env_remove("NO_COLOR");
    if let Some(value) = no_color {
        script.env("NO_COLOR", value);
    }
    script.stdin(Stdio::null());
    script.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = script.spawn().expect("script (of bsdutils) starts");
    let mut sent = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    let mut is_told_to_end = false;
    while let Ok(count @ 1..) = sent.read(&mut piece) {
        seen.extend_from_slice(&piece[..count]);
        if !is_told_to_end && String::from_utf8_lossy(&seen).contains(until) {
            // It ends what it started first, by force after two seconds.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            is_told_to_end = true;
        }
    }
    child.wait().unwrap();
    let number = fs::read_to_string(number).unwrap();
    // Of a process that ended, and that nobody asked how, it is empty.
    let words = format!("/proc/{}/cmdline", number.trim());
    let begun = Instant::now();
    while fs::read(&words).is_ok_and(|words| !words.is_empty()) {
        assert!(begun.elapsed() < PATIENCE, "still runs: {command}");
        thread::sleep(Duration::from_millis(20));
    }
    String::from_utf8(seen).unwrap()
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let book = project("schemas/rates/aps-example.json");
    let help = format!("{PROGRAM} --help");
    let wrong = format!("{PROGRAM} --wrong");
    let run = format!(
        "{PROGRAM} run --set rates={book} --set kafka.bootstrap.servers=127.0.0.1:1 --set \
         http.listen=127.0.0.1:0"
    );
    for (command, until) in [
        (&help, "--version"),
        (&wrong, "--help"),
        (&run, "check kafka."),
    ] {
        let is_colored = |value| on_a_terminal(command, value, until).contains("\x1b[");
        assert!(is_colored(None), "{command}");
        assert!(is_colored(Some("")), "{command}: empty means unset");
        assert!(!is_colored(Some("1")), "{command}");
    }
    for arguments in [&["--help"][..], &["--wrong"]] {
        let output = meterfold(arguments);
        let all = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8(all).unwrap().contains('\x1b'));
    }
}
