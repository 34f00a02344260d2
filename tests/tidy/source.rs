//! The files of the project as the checks see them: paths, text, and for Rust its tokens.

use std::fs;
use std::path::Path;

/// What is not read: results of builds, git's own, and files that are no text.
const PASSED_OVER: [&str; 3] = ["target", ".git", "proptest-regressions"];

pub struct Source {
    /// From the project's root, with `/`.
    pub path: String,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub line: usize,
    pub text: String,
    pub is_comment: bool,
}

/// All text files of the project, sorted by path.
pub fn project() -> Vec<Source> {
    let mut sources = Vec::new();
    gather(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        String::new(),
        &mut sources,
    );
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn gather(dir: &Path, prefix: String, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).expect("a directory of the project") {
        let entry = entry.expect("an entry of a directory");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if PASSED_OVER.contains(&path.as_str()) {
            continue;
        }
        if entry.path().is_dir() {
            gather(&entry.path(), format!("{path}/"), sources);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            sources.push(Source { path, text });
        }
    }
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.into(),
        }
    }

    pub fn is_rust_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder) && self.path.ends_with(".rs")
    }

    /// Names, signs (`::` is one) and comments of Rust code; what stands in quotes is left out.
    pub fn tokens(&self) -> Vec<Token> {
        let mut rest = Rest {
            text: &self.text,
            line: 1,
        };
        let mut tokens = Vec::new();
        while let Some(first) = rest.text.chars().next() {
            let line = rest.line;
            let taken = rest.take(token_len(rest.text, first));
            let is_comment = taken.starts_with("//") || taken.starts_with("/*");
            let is_quoted = !is_comment && taken.ends_with(['"', '#', '\'']) && taken.len() > 1;
            if !first.is_whitespace() && !is_quoted {
                tokens.push(Token {
                    line,
                    text: taken.into(),
                    is_comment,
                });
            }
        }
        tokens
    }

    /// The tokens without comments.
    pub fn code(&self) -> Vec<Token> {
        let mut tokens = self.tokens();
        tokens.retain(|token| !token.is_comment);
        tokens
    }
}

/// What of a file is not read yet.
struct Rest<'a> {
    text: &'a str,
    line: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.text.split_at(len);
        self.text = rest;
        self.line += taken.matches('\n').count();
        taken
    }
}

/// Length of the token at the start of `text`, which begins with `first`.
fn token_len(text: &str, first: char) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_len(text);
    }
    if let Some(len) = quoted_len(text) {
        return len;
    }
    if text.starts_with("::") {
        return 2;
    }
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    if is_name(first) {
        return text.find(|letter| !is_name(letter)).unwrap_or(text.len());
    }
    first.len_utf8()
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let step = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Length of a string or character literal at the start of `text`; None: there is none.
fn quoted_len(text: &str) -> Option<usize> {
    let body = text.strip_prefix(['b', 'c']).unwrap_or(text);
    let prefix = text.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let inner = &raw[hashes + 1..];
            let len = inner.find(&end)? + end.len();
            return Some(prefix + 1 + hashes + 1 + len);
        }
    }
    if let Some(inner) = body.strip_prefix('"') {
        return Some(prefix + 1 + closing(inner, '"')?);
    }
    let inner = body.strip_prefix('\'')?;
    let mut letters = inner.char_indices();
    let (_, first) = letters.next()?;
    let is_literal = first == '\\' || letters.next().is_some_and(|(_, second)| second == '\'');
    // Else it is a lifetime.
    is_literal.then_some(prefix + 1 + closing(inner, '\'')?)
}

/// Where the literal ends whose inner text begins here.
fn closing(inner: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, letter) in inner.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if letter == '\\' {
            is_escaped = true;
        } else if letter == quote {
            return Some(at + 1);
        }
    }
    None
}
