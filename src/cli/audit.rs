//! `meterfold audit`: folds again what the journal says was folded, and compares what was published.

pub mod progress;
pub mod report;
mod work_dir;

use std::path::PathBuf;

use clap::Args;

use crate::billing::derived_event::DerivedKind;
use crate::billing::time::{Instant, Month};
use crate::config::Config;
use crate::files::archive::reader::ArchiveEvidence;
use crate::ports::evidence::{Evidence, Topic};
use crate::processor::audit::chain::{self, Chain};
use crate::processor::audit::{self, Equal, Identity, Scope, Stop, Work, in_parallel};
use crate::wire::object::Object;
use crate::wire::partitioner::partition_of;
use crate::wire::rate_book::{self, BookChange};

use super::config_args::{ConfigArgs, TimeoutArgs};
use super::failure::Failure;
use super::rates;
use super::scratch::Scratch;
use progress::Progress;
use report::{Audited, Verdict};
use work_dir::WorkDir;

/// Prove a month: fold the log again in the order of its journal, and compare what was published
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  meterfold audit --config meterfold.toml --all --month 2026-01
  meterfold audit --config meterfold.toml --team team-7 --month 2026-01 --json
  meterfold audit --config meterfold.toml --all --month 2026-01 --archive /archive
  meterfold audit --config meterfold.toml --all --month 2026-01 --work-dir january
  meterfold audit --config meterfold.toml --chain-only

Reads journal, inputs and published events with an identity of its own: no group, no commits, no
effect on production, and no schema registry. Everything up to the close of the month is folded
again in a temporary store (TMPDIR), from an archive that holds the state of an earlier close only
what came after it; each commit must come out as the journal has it, and each published event of the
month byte for byte. The result does not depend on --threads. Interrupted, it begins anew, with
--work-dir where it was; the result is the same. With --month last a --work-dir of another audit is
begun anew, not refused.

Exit codes: 0 equal, 1 failure while running, 2 unknown team or month, or a --work-dir of another audit,
3 different (the first difference is shown), 4 configuration, rate book or journal do not belong together,
5 brokers unreachable, 6 access refused, 7 --work-dir unusable, 10 cannot be proven (evidence is gone, or a
gap was accepted), 130/143 interrupted.")]
pub struct AuditArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    timeout: TimeoutArgs,
    #[command(flatten)]
    what: What,
    /// The month whose published events are compared (2026-01); last: the one before this month.
    #[arg(
        long,
        value_name = "MONTH",
        required_unless_present = "chain_only",
        conflicts_with = "chain_only",
        value_parser = parse_month
    )]
    month: Option<Asked>,
    /// Read what `meterfold archive` copied there instead of Kafka.
    #[arg(long, value_name = "DIR|URL", conflicts_with = "timeout")]
    archive: Option<PathBuf>,
    /// Partitions that are worked on at once [default: one a processor].
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
    /// Keep what is folded here every ten seconds, so that the same command goes on after it was
    /// interrupted.
    #[arg(long, value_name = "DIR", conflicts_with = "chain_only")]
    work_dir: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    month: Month,
    /// By a command that says the same each month.
    is_last: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct What {
    /// The events of one team; only its partition is folded.
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// The events of all teams.
    #[arg(long)]
    all: bool,
    /// Only verify the chain of the journal, and tell its heads and the decisions of operators.
    #[arg(long)]
    chain_only: bool,
}

pub fn run(args: AuditArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    if let Some(archive) = &args.archive {
        let evidence = ArchiveEvidence::open(archive, config.topics.partitions)?;
        return audit(&args, &config, &evidence, &evidence.digest());
    }
    let evidence = args.timeout.evidence(&config)?;
    audit(&args, &config, &evidence, "the log")
}

/// `source` tells evidence of the same journal apart.
fn audit<E: Evidence>(
    args: &AuditArgs,
    config: &Config,
    evidence: &E,
    source: &str,
) -> Result<(), Failure> {
    let expected = identity(config);
    let partitions: Vec<u16> = match &args.what.team {
        Some(team) => vec![partition_of(team.as_bytes(), expected.partition_count)],
        None => (0..expected.partition_count).collect(),
    };
    let threads = args.threads.unwrap_or_else(default_threads);
    let month = args.month.map(|asked| asked.month);
    let chains = in_parallel(&partitions, threads, |partition| {
        chain::verify(evidence, *partition, &expected, month)
    });
    let Some(Asked { month, is_last }) = args.month else {
        return finish(args, report::of_chains(&partitions, chains));
    };
    check_book(config, chains.iter().flatten())?;
    let stores = match &args.work_dir {
        Some(path) => {
            let audit = described(args, &expected, evidence, source, month);
            Stores::Kept(WorkDir::open(path, &audit, is_last)?)
        }
        None => Stores::Temporary(Scratch::new()?),
    };
    let folded = fold(args, evidence, month, threads, &chains, &stores)?;
    let is_verdict = |one: &Result<Equal, Stop>| one.as_ref().err().is_none_or(Stop::is_verdict);
    let is_over = folded.iter().all(is_verdict);
    let audited = partitions
        .iter()
        .zip(chains)
        .zip(folded)
        .map(|((partition, chain), folded)| judge(*partition, chain, folded, month));
    let audited = known(audited.collect(), args.what.team.as_deref(), month);
    let told = finish(args, audited);
    match stores {
        // What could not be printed is told by the next run.
        Stores::Kept(work_dir) if is_over && told.as_ref().err().is_none_or(|it| it.code != 1) => {
            told.and(work_dir.remove(expected.partition_count))
        }
        _ => told,
    }
}

/// Of the refold.
enum Stores {
    Temporary(Scratch),
    Kept(WorkDir),
}

/// Whose journal the configuration names.
pub fn identity(config: &Config) -> Identity {
    Identity {
        group: config.application.clone(),
        inputs: std::iter::once(config.topics.api_calls.clone())
            .chain(config.topics.accounts.clone())
            .collect(),
        partition_count: config.topics.partitions,
    }
}

/// Refolds every partition whose journal is whole.
fn fold<E: Evidence>(
    args: &AuditArgs,
    evidence: &E,
    month: Month,
    threads: usize,
    chains: &[Result<Chain, Stop>],
    stores: &Stores,
) -> Result<Vec<Result<Equal, Stop>>, Failure> {
    let scope = Scope {
        team: args.what.team.as_deref(),
        month,
    };
    let left = |chain: &Chain| chain.records_after(chain.starts_before(month).last());
    let progress = Progress::begin(chains.iter().flatten().map(left).sum())?;
    let folded = in_parallel(chains, threads, |chain| {
        let chain = chain.as_ref().map_err(Stop::clone)?;
        let work = match stores {
            Stores::Kept(work_dir) => work_dir.work(chain.partition, &progress)?,
            Stores::Temporary(scratch) => {
                let store = scratch.buffered(chain.partition);
                Work::unkept(store.map_err(|failure| Stop::Store(failure.message))?)
            }
        };
        audit::audit(evidence, chain, scope, work, &|records| {
            progress.folded(records)
        })
    });
    progress.finish()?;
    Ok(folded)
}

/// What tells an audit from others, as a line.
fn described<E: Evidence>(
    args: &AuditArgs,
    identity: &Identity,
    evidence: &E,
    source: &str,
    month: Month,
) -> String {
    let published = DerivedKind::ALL.map(Topic::Derived);
    let own = [Topic::Journal, Topic::DeadLetters];
    let own = own.into_iter().chain(published);
    let own: Vec<&str> = own.map(|topic| evidence.name(topic)).collect();
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    object.string("program", env!("CARGO_PKG_VERSION"));
    object.string("application", &identity.group);
    object.string("cluster", evidence.cluster());
    object.string("source", source);
    object.string("inputs", &identity.inputs.join(", "));
    object.string("topics", &own.join(", "));
    object.literal("partitions", identity.partition_count);
    object.optional_string("team", args.what.team.as_deref());
    object.quoted("month", month);
    object.end();
    out.push(b'\n');
    String::from_utf8_lossy(&out).into_owned()
}

/// The configured rate book is that of the journal, or an older or newer state of it.
fn check_book<'a>(config: &Config, chains: impl Iterator<Item = &'a Chain>) -> Result<(), Failure> {
    let path = config.rates.display();
    let invalid = |fault: &dyn std::fmt::Display| Failure::invalid(format!("{path}: {fault}"));
    let text = std::fs::read(&config.rates).map_err(|error| invalid(&error))?;
    for chain in chains {
        let change =
            rate_book::compare(&chain.book_text, &text).map_err(|faults| invalid(&faults))?;
        if let BookChange::Different { fault, .. } = change {
            return Err(invalid(&format!(
                "{fault}; the journal of partition {} was made with another book: name its own",
                chain.partition
            )));
        }
    }
    Ok(())
}

/// What an equal refold proves, where the journal allows it.
fn judge(
    partition: u16,
    mut chain: Result<Chain, Stop>,
    folded: Result<Equal, Stop>,
    month: Month,
) -> Audited {
    if let (Ok(chain), Ok(equal)) = (&mut chain, &folded) {
        chain.narrow_gaps(&equal.gap_ends);
    }
    let verdict = match (&chain, folded) {
        (Ok(chain), Ok(equal)) => match (chain.gap_in(month), equal.events_gone) {
            (Some(gap), _) => Verdict::Stopped(Stop::Unproven(format!(
                "commit {} of partition {partition} accepted a gap ({}; {}) in which records of {month} \
                 may have been",
                gap.sequence, gap.decision, gap.reason
            ))),
            (None, 0) => Verdict::Equal(equal),
            (None, gone) => Verdict::Stopped(Stop::Unproven(format!(
                "{gone} published events of {month} in partition {partition} are no longer kept in their \
                 topics; the others are equal"
            ))),
        },
        (_, Err(stop)) => Verdict::Stopped(stop),
        (Err(stop), Ok(_)) => Verdict::Stopped(stop.clone()),
    };
    Audited {
        partition,
        chain: chain.ok(),
        verdict,
    }
}

/// A team or month that nobody has is not equal to anything.
fn known(mut audited: Vec<Audited>, team: Option<&str>, month: Month) -> Vec<Audited> {
    let equal = |audited: &Audited| match &audited.verdict {
        Verdict::Equal(equal) => Some(equal.clone()),
        _ => None,
    };
    let all: Option<Vec<Equal>> = audited.iter().map(equal).collect();
    let Some(all) = all else {
        return audited;
    };
    let clock = audited
        .iter()
        .filter_map(|it| it.chain.as_ref()?.clock)
        .max();
    let has_come = clock.is_some_and(|clock| clock >= month.start());
    let unknown = if !has_come {
        let clock = clock.map_or("nowhere".into(), |clock| format!("at {clock}"));
        Some(format!(
            "{month} has not begun: the clock stands {clock}; give an earlier month"
        ))
    } else if !all.iter().any(|equal| equal.has_month) {
        Some(format!(
            "{month} was closed before the first record; give a later month"
        ))
    } else {
        team.filter(|_| !all.iter().any(|equal| equal.has_team))
            .map(|team| format!("{team}: there is no such team by the close of {month}"))
    };
    if let Some(unknown) = unknown {
        for one in &mut audited {
            one.verdict = Verdict::Stopped(Stop::Unknown(unknown.clone()));
        }
    }
    audited
}

fn finish(args: &AuditArgs, audited: Vec<Audited>) -> Result<(), Failure> {
    let month = args.month.map(|asked| asked.month);
    report::print(&audited, args.what.team.as_deref(), month, args.json)?;
    let stops = audited
        .into_iter()
        .filter_map(|audited| match audited.verdict {
            Verdict::Stopped(stop) => Some(report::failure(audited.partition, &stop)),
            _ => None,
        });
    // What is certainly wrong counts more than what could not be read, that more than what is gone.
    let weight = |failure: &Failure| match failure.code {
        3 => 0,
        10 => 2,
        _ => 1,
    };
    stops.min_by_key(weight).map_or(Ok(()), Err)
}

pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=256) => Ok(threads),
        _ => Err("give a number from 1 to 256".to_owned()),
    }
}

fn parse_month(text: &str) -> Result<Asked, String> {
    named_month(text, rates::now())
}

/// `last` is for a job that proves each month once it is over.
fn named_month(text: &str, now: Instant) -> Result<Asked, String> {
    let is_last = text == "last";
    let month = match is_last {
        true => now.month().previous(),
        false => Month::parse(text).ok_or("write it like 2026-01, or last")?,
    };
    Ok(Asked { month, is_last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_month_is_the_one_before_this() {
        let named = |text, now: &str| named_month(text, Instant::parse(now).unwrap());
        let named = |text, now| named(text, now).map(|asked| asked.month.to_string());
        assert_eq!(named("last", "2026-01-01T00:00:00Z").unwrap(), "2025-12");
        assert_eq!(named("last", "2026-03-31T23:59:59Z").unwrap(), "2026-02");
        assert_eq!(named("2026-01", "2027-01-01T00:00:00Z").unwrap(), "2026-01");
        assert!(named("next", "2026-01-01T00:00:00Z").is_err());
    }
}
