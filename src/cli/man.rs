//! `meterfold man`: manual pages, made of what `--help` says.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::failure::Failure;
use super::streams;

/// Print the manual page, or write those of all commands
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meterfold man | man -l -
  meterfold man --out /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Write a page for each command, such as meterfold-replay.1, into a directory, which is made
    /// where it is missing; pages that are there are replaced.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// `program` is the whole command line.
pub fn run(args: &ManArgs, program: Command) -> Result<(), Failure> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let unmade = |error: io::Error| Failure::failed(format!("the page: {error}"));
    let Some(directory) = &args.out else {
        return streams::say(&page(&program).map_err(unmade)?);
    };
    let unwritable = |error: io::Error| {
        let place = directory.display();
        Failure::failed(format!(
            "--out {place}: {error}; name a directory that you can write to"
        ))
    };
    fs::create_dir_all(directory).map_err(unwritable)?;
    let mut commands = vec![&program];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        let file = directory.join(Man::new(command.clone()).get_filename());
        fs::write(file, page(command).map_err(unmade)?).map_err(unwritable)?;
    }
    Ok(())
}

/// The page of one command, which knows its full name by now.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).source(concat!("meterfold ", env!("CARGO_PKG_VERSION")));
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_help() {
        closing(&text.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// What stands below the options in `--help`: examples line by line, notes and exit codes as
/// paragraphs.
fn closing(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut has_notes = false;
    for paragraph in text.split("\n\n").map(str::trim) {
        if let Some(codes) = paragraph.strip_prefix("Exit codes:") {
            roff.control("SH", ["EXIT STATUS"]);
            roff.text([roman(codes.trim())]);
        } else if paragraph.starts_with("Example") {
            roff.control("SH", ["EXAMPLES"]).control("nf", []);
            for line in paragraph.lines().skip(1) {
                roff.text([roman(line)]);
            }
            roff.control("fi", []);
        } else {
            match has_notes {
                true => roff.control("PP", []),
                false => roff.control("SH", ["NOTES"]),
            };
            has_notes = true;
            roff.text([roman(paragraph)]);
        }
    }
    roff
}
