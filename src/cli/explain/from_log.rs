//! An explanation from the log or an archive of it: the team's partition is folded again as an audit
//! does it, and watched.
//!
//! Order, clocks and rate books are those of the journal, and whatever does not come out as the
//! journal has it ends the command: what is explained is what was published.

use std::sync::Arc;

use crate::config::Config;
use crate::files::archive::reader::ArchiveEvidence;
use crate::ports::evidence::Evidence;
use crate::processor::audit::{Stop, chain, whole};
use crate::wire::partitioner::partition_of;
use crate::wire::rate_book;

use crate::cli::audit::progress::Progress;
use crate::cli::audit::{identity, report};
use crate::cli::failure::Failure;
use crate::cli::scratch::Scratch;

use super::explanation::{Inputs, Journal};
use super::observer::Collecting;
use super::{ExplainArgs, explained, failure, show};

pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    match &args.archive {
        Some(archive) => {
            let evidence = ArchiveEvidence::open(archive, config.topics.partitions)?;
            explain(args, &config, &evidence)
        }
        None => explain(args, &config, &args.timeout.evidence(&config)?),
    }
}

fn explain<E: Evidence>(args: &ExplainArgs, config: &Config, evidence: &E) -> Result<(), Failure> {
    let expected = identity(config);
    let partition = partition_of(args.team.as_bytes(), expected.partition_count);
    let stopped = |stop: Stop| report::failure(partition, &stop);
    let mut chain = chain::verify(evidence, partition, &expected, None).map_err(stopped)?;
    let book = rate_book::read(&chain.book_text)
        .map_err(|faults| Failure::invalid(format!("the journal's rate book: {faults}")))?;
    let book = Arc::new(book);
    let question = args.question(&book)?;
    let start = whole::start_before(evidence, &chain, question.month).map_err(stopped)?;
    let records = chain.records_after(start);
    let start = start.map(|start| start.sequence);
    let collecting = Collecting::begin(&book, &question);
    let scratch = Scratch::new()?;
    let store = scratch.buffered(partition)?;
    let progress = Progress::begin(records)?;
    let watched = whole::watch(
        evidence,
        &chain,
        start,
        &question.team,
        store,
        &|| collecting.observer(),
        &|records| progress.folded(records),
    );
    progress.finish()?;
    let watched = watched.map_err(stopped)?;
    let mut collected = collecting
        .finish()
        .map_err(|broken| failure(broken.into(), &question))?;
    if let Some(account) = watched.account {
        collected.began_with(account);
    }
    let explained = explained(collected, book, &question, watched.clock);
    let mut explanation = explained.map_err(|error| failure(error, &question))?;
    chain.narrow_gaps(&watched.gap_ends);
    explanation.journal = Some(Journal {
        head: chain.head,
        start,
        decisions: chain.decisions,
    });
    let names = expected.inputs.iter();
    let inputs = Inputs {
        names: names.map(|topic| format!("{topic}-{partition}")).collect(),
        separator: '-',
    };
    show(args.format, &explanation, &inputs)
}
