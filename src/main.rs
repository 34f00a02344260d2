//! The `meterfold` program: reads its arguments and runs one command.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use meterfold::cli::{
    archive, audit, completions, core_dumps, dead_letters, explain, generate, inspect, man, panic,
    rates, recover, replay, run, streams, topics, validate,
};
use meterfold::telemetry::log::LogFormat;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Usage metering on a log: folds API-call and account events, exactly once, into per-team monthly
/// aggregates, and emits what follows.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::RunArgs),
    Recover(recover::RecoverArgs),
    Replay(replay::ReplayArgs),
    Explain(explain::ExplainArgs),
    Audit(audit::AuditArgs),
    Archive(archive::ArchiveArgs),
    Rates(rates::RatesArgs),
    Generate(generate::GenerateArgs),
    Inspect(inspect::InspectArgs),
    Topics(topics::TopicsArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Validate(validate::ValidateArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

fn main() -> ExitCode {
    panic::end_process_on_panic();
    if let Err(error) = core_dumps::disable() {
        streams::note(format_args!(
            "core dumps cannot be disabled: {error}; see that none is kept"
        ));
    }
    let command = Arguments::parse().command;
    let format = match &command {
        Command::Run(args) => args.log_format,
        _ => LogFormat::Text,
    };
    let result = match command {
        Command::Run(args) => run::run(args),
        Command::Recover(args) => recover::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Archive(args) => archive::run(args),
        Command::Rates(args) => rates::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Topics(args) => topics::run(args),
        Command::DeadLetters(args) => dead_letters::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Completions(args) => completions::run(&args, Arguments::command()),
        Command::Man(args) => man::run(&args, Arguments::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            streams::note(format_args!("{}", failure.shown(format)));
            ExitCode::from(failure.code)
        }
    }
}
