//! Standard output and standard error: the one place that writes to either.
//!
//! A reader may go away at any time (`meterfold … | head -1`). Then there is nobody left to tell:
//! what a command is about goes on, printing ends, and no code of failure comes of it. Nothing here
//! panics, as `println!` and `eprintln!` would.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write as _};

use super::failure::Failure;

/// Writes to standard output, all of it or, where its reader has gone, none.
pub fn say(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// The result of writing to standard output.
pub fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => {
            result.map_err(|error| Failure::failed(format!("standard output: {error}; run again")))
        }
    }
}

/// A line to standard error. There is no place to report that it could not be written.
pub fn note(line: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
