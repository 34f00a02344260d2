//! `meterfold replay --what-if` over the log or an archive of it.
//!
//! Every partition is folded twice in the order and with the clocks of its journal: under the books
//! that the journal adopted, which must come out as the journal has it, and under the other one.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant as WallInstant;

use crate::cli::audit::progress::Progress;
use crate::cli::audit::{identity, report};
use crate::cli::failure::Failure;
use crate::cli::file_state;
use crate::cli::replay::{
    ReplayArgs, WHAT_IF_WORK, check_out_is_free, failed, stage_out, summed_up, write_synced,
};
use crate::cli::scratch::Scratch;
use crate::cli::summary::Summary;
use crate::config::Config;
use crate::files::archive::reader::ArchiveEvidence;
use crate::files::outputs::{LocalCommit, SUMMARY};
use crate::files::workspace::Staged;
use crate::ports::evidence::Evidence;
use crate::processor::audit::chain::{self, Chain};
use crate::processor::audit::whole::{self, OtherBook, Refolded};
use crate::processor::audit::{Stop, in_parallel};
use crate::processor::counts::Counts;
use crate::processor::partition::BookText;
use crate::store::rocks::RocksStore;
use crate::wire::rate_book;

use super::{Pair, WHAT_IF, compare};

pub fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let Some(what_if) = &args.what_if else {
        return Err(Failure::usage(
            "--config goes with --what-if BOOK.json here; to fold the log and keep on, meterfold run; to \
             compare what it published, meterfold audit",
        ));
    };
    let (staged_out, _hold) = stage_out(args)?;
    check_out_is_free(&args.out, args.force)?;
    let other = read_other(what_if)?;
    let config = args.config.load()?;
    let table = match &args.archive {
        Some(archive) => {
            let evidence = ArchiveEvidence::open(archive, config.topics.partitions)?;
            fold_both(args, &config, &evidence, &other, &staged_out)?
        }
        None => {
            let evidence = args.timeout.evidence(&config)?;
            fold_both(args, &config, &evidence, &other, &staged_out)?
        }
    };
    staged_out.publish().map_err(failed)?;
    // The outputs are in place: a reader that went away is no failure.
    let _ = std::io::stdout().lock().write_all(table.as_bytes());
    Ok(())
}

fn read_other(path: &Path) -> Result<OtherBook, Failure> {
    let text =
        fs::read(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let book = Arc::new(file_state::read_book(path, &text)?);
    let digest = rate_book::canonical_digest(&text).unwrap_or_default();
    let text = BookText { text, digest };
    Ok(OtherBook { text, book })
}

/// Writes all outputs to `staged_out`. Returns what a person is told.
fn fold_both<E: Evidence>(
    args: &ReplayArgs,
    config: &Config,
    evidence: &E,
    other: &OtherBook,
    staged_out: &Staged,
) -> Result<String, Failure> {
    let started = WallInstant::now();
    let expected = identity(config);
    let partitions: Vec<u16> = (0..expected.partition_count).collect();
    let verified = in_parallel(&partitions, args.threads, |partition| {
        let chain = chain::verify(evidence, *partition, &expected, None);
        chain.map_err(|stop| report::failure(*partition, &stop))
    });
    let chains: Vec<Chain> = verified.into_iter().collect::<Result<_, _>>()?;
    for partition in &partitions {
        let lacks_its_start = whole::lacks_its_start(evidence, *partition);
        if lacks_its_start.map_err(|stop| report::failure(*partition, &stop))? {
            return Err(Failure::guard_rail(format!(
                "the oldest records of partition {partition} are gone: under another book everything may \
                 have come differently from the first record on, so no kept state stands in for them; give \
                 an archive that holds them"
            )));
        }
    }
    let work = Staged::beside(&args.out, WHAT_IF_WORK).map_err(failed)?;
    work.create().map_err(failed)?;
    staged_out.create().map_err(failed)?;
    let sides = Pair {
        book: Side::begin(None, staged_out.path())?,
        what_if: Side::begin(Some(other), work.path())?,
    };
    let progress = Progress::begin(2 * chains.iter().map(|chain| chain.records).sum::<u64>())?;
    let of_both = |chain| [(chain, &sides.book), (chain, &sides.what_if)];
    let folds: Vec<(&Chain, &Side<'_>)> = chains.iter().flat_map(of_both).collect();
    let folded = in_parallel(&folds, args.threads, |(chain, side)| {
        let folded = side.fold(evidence, chain, &|records| progress.folded(records));
        folded.map_err(|stop| report::failure(chain.partition, &stop))
    });
    progress.finish()?;
    let (mut of_book, mut of_what_if) = (Vec::new(), Vec::new());
    for (number, folded) in folded.into_iter().enumerate() {
        match number % 2 {
            0 => of_book.push(folded?),
            _ => of_what_if.push(folded?),
        }
    }
    let book = sides.book.finish(of_book, args.threads, started)?;
    let what_if = sides.what_if.finish(of_what_if, args.threads, started)?;
    let out = staged_out.path();
    let comparison = compare(out, work.path(), &out.join(WHAT_IF))?;
    write_synced(&out.join(SUMMARY), book.to_json().as_bytes())?;
    let compared = comparison.into_table(Pair {
        book: &book.counts,
        what_if: &what_if.counts,
    })?;
    Ok(book.to_table(&args.out) + &compared)
}

/// The folds of all partitions under the same book.
struct Side<'a> {
    /// None: those of the journals.
    book: Option<&'a OtherBook>,
    out: &'a Path,
    outputs: Mutex<LocalCommit>,
    scratch: Scratch,
}

impl<'a> Side<'a> {
    fn begin(book: Option<&'a OtherBook>, out: &'a Path) -> Result<Side<'a>, Failure> {
        Ok(Side {
            book,
            out,
            outputs: Mutex::new(LocalCommit::of_log(out)),
            scratch: Scratch::new()?,
        })
    }

    fn fold<E: Evidence>(
        &self,
        evidence: &E,
        chain: &Chain,
        folded: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Refolded<RocksStore>, Stop> {
        let store = self.scratch.store(chain.partition);
        let store = store.map_err(|failure| Stop::Store(failure.message))?;
        whole::fold_under(evidence, chain, store, self.book, folded, |events| {
            let mut outputs = self.outputs.lock().unwrap_or_else(PoisonError::into_inner);
            let added = outputs.add(events.into_iter());
            added.map_err(|error| Stop::Store(error.to_string()))
        })
    }

    fn finish(
        self,
        folded: Vec<Refolded<RocksStore>>,
        threads: usize,
        started: WallInstant,
    ) -> Result<Summary, Failure> {
        let outputs = self.outputs.into_inner();
        let outputs = outputs.unwrap_or_else(PoisonError::into_inner);
        outputs.finish().map_err(failed)?;
        let mut counts = Counts::default();
        folded.iter().for_each(|one| counts.add(&one.counts));
        let partitions: Vec<_> = folded.into_iter().map(|one| one.partition).collect();
        summed_up(&partitions, counts, threads, self.out, started)
    }
}
