//! Documents against the program: every command that they show is one that it has.

use super::source::Source;

/// A command of the program and its help.
pub struct Command {
    /// Empty for the program itself, else `replay`, `rates quote` and so on.
    pub name: String,
    pub help: String,
}

/// Commands, options, targets of make and files that a document names and that do not exist.
pub fn faults(
    document: &Source,
    commands: &[Command],
    makefile: &str,
    files: &[Source],
) -> Vec<String> {
    let mut faults = Vec::new();
    for (line, snippet) in snippets(&document.text) {
        let mut fault = |what: String| faults.push(format!("{}:{line}: {what}", document.path));
        let words: Vec<&str> = snippet.split_whitespace().collect();
        for (at, word) in words.iter().enumerate() {
            if *word == "meterfold" || word.ends_with("/meterfold") {
                invocation_faults(&words[at + 1..], commands)
                    .into_iter()
                    .for_each(&mut fault);
            }
        }
        if words.first() == Some(&"make") {
            for target in words.iter().skip(1).take_while(|word| is_name(word)) {
                if !makefile.contains(&format!("\n{target}:")) {
                    fault(format!("the Makefile has no {target}"));
                }
            }
        }
        if words.len() == 1
            && words[0].starts_with("--")
            && !commands.iter().any(|command| has_option(command, words[0]))
        {
            fault(format!("no command has {}", words[0]));
        }
    }
    for (line, target) in links(&document.text) {
        let path = resolved(&document.path, target);
        let path = path.trim_end_matches('/');
        if !files
            .iter()
            .any(|file| file.path == path || file.path.starts_with(&format!("{path}/")))
        {
            faults.push(format!("{}:{line}: there is no {path}", document.path));
        }
    }
    faults
}

/// A link's target from the project's root.
fn resolved(document: &str, target: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Commands that a document does not show at all.
pub fn silence(document: &Source, commands: &[Command]) -> Vec<String> {
    let leaves = commands
        .iter()
        .filter(|command| !command.help.contains("\nCommands:"));
    leaves
        .filter(|command| {
            !document
                .text
                .contains(&format!("meterfold {}", command.name))
        })
        .map(|command| {
            format!(
                "{}: says nothing of `meterfold {}`",
                document.path, command.name
            )
        })
        .collect()
}

fn invocation_faults(words: &[&str], commands: &[Command]) -> Vec<String> {
    let names = words.iter().take_while(|word| is_name(word));
    let mut name = String::new();
    let mut command = &commands[0];
    for word in names {
        let longer = if name.is_empty() {
            (*word).to_owned()
        } else {
            format!("{name} {word}")
        };
        let Some(found) = commands.iter().find(|command| command.name == longer) else {
            break;
        };
        (command, name) = (found, longer);
    }
    if name.is_empty() && words.first().is_some_and(|word| is_name(word)) {
        return vec![format!("there is no command {}", words[0])];
    }
    words
        .iter()
        .take_while(|word| !matches!(**word, "|" | ">" | "&&" | ";"))
        .map(|word| word.trim_matches(|letter| matches!(letter, '[' | ']' | '(' | ')')))
        .filter(|word| word.starts_with("--"))
        .filter(|word| !has_option(command, word))
        .map(|word| format!("meterfold {name} has no {word}"))
        .collect()
}

fn has_option(command: &Command, word: &str) -> bool {
    let option = word.split('=').next().unwrap_or(word);
    command
        .help
        .split(|letter: char| !letter.is_alphanumeric() && letter != '-')
        .any(|known| known == option)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_lowercase())
        && word
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '-')
}

/// Code in a document, in fences and in lines, by line; `\` at the end of a line joins the next.
fn snippets(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_fenced = false;
    let mut is_joined = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced {
            let continues = line.ends_with('\\');
            let line = line.trim_end_matches('\\');
            let line = line.split(" # ").next().unwrap_or(line);
            match found.last_mut() {
                Some((_, command)) if is_joined => command.push_str(line),
                _ => found.push((number, line.trim_start_matches("$ ").into())),
            }
            is_joined = continues;
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.map(|span| (number, span.to_owned())));
        }
    }
    found
}

/// Targets of links that lie in the project.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                found.push((number, target));
            }
        }
    }
    found
}
