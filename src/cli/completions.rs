//! `meterfold completions`: what a shell needs to complete commands, options and their values.

use clap::{Args, Command};
use clap_complete::Shell;

use super::failure::Failure;
use super::streams;

/// Print the completions of a shell
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  source <(meterfold completions bash)
  meterfold completions zsh >\"${fpath[1]}/_meterfold\"
  meterfold completions fish >~/.config/fish/completions/meterfold.fish")]
pub struct CompletionsArgs {
    /// Which shell reads them.
    shell: Shell,
}

/// `program` is the whole command line.
pub fn run(args: &CompletionsArgs, mut program: Command) -> Result<(), Failure> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, name, &mut script);
    streams::say(&script)
}
