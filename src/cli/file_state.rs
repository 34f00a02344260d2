//! The state directory of file runs: its rate book, and how a run that ended between its two
//! renames is finished.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::billing::rate_book::RateBook;
use crate::files::outputs::SUMMARY;
use crate::files::workspace::Staged;
use crate::ports::{Cells, Changes, Store};
use crate::store::rocks::{Rocks, RocksStore};
use crate::wire::cells;
use crate::wire::keys;
use crate::wire::meta::Meta;
use crate::wire::rate_book::{self, BookChange};

use super::failure::Failure;

/// Key spaces of a file run. Fixed, so that the state does not depend on the number of threads.
pub const FILE_PARTITIONS: u16 = 16;

/// Names the run that made a state directory: (digest of its command, digest of its summary, its
/// output directory), a line each.
const FINISHED: &str = "meterfold-run";

/// Opens the state at `path` and so keeps other runs away from it; None: there is none yet.
pub fn hold(path: &Path) -> Result<Option<Rocks>, Failure> {
    let is_there = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Failure::state(format!("{}: {error}", path.display()))),
    };
    if !is_there {
        return Ok(None);
    }
    if !path.join("CURRENT").exists() {
        return Err(Failure::state(format!(
            "{}: is not a state directory; give another one, or an empty one",
            path.display()
        )));
    }
    Rocks::open(path)
        .map(Some)
        .map_err(|error| Failure::state(format!("{}: {error}", path.display())))
}

/// Reads and checks the rate book at `path`.
pub fn read_book_file(path: &Path) -> Result<RateBook, Failure> {
    let text =
        fs::read(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    read_book(path, &text)
}

pub fn read_book(path: &Path, text: &[u8]) -> Result<RateBook, Failure> {
    rate_book::read(text).map_err(|faults| invalid(path, &faults))
}

/// The book in force: the given one, or the stored one where that is newer (`engine.md` 5). A
/// given book that is newer is stored.
pub fn adopt_book(
    rocks: &Rocks,
    path: &Path,
    text: &[u8],
    given: RateBook,
) -> Result<Arc<RateBook>, Failure> {
    let mut store = rocks.partition(0);
    let stored = stored_book(&store)?;
    if let Some(stored) = &stored {
        match rate_book::compare(stored, text).map_err(|faults| invalid(path, &faults))? {
            BookChange::Same => {}
            BookChange::Older => return Ok(Arc::new(read_book(path, stored)?)),
            BookChange::Appended { first_card } => {
                if let Some(clock) = meta(&store)?.clock {
                    rate_book::check_adoption(&given, first_card, clock)
                        .map_err(|faults| invalid(path, &faults))?;
                }
            }
            BookChange::Different { fault, .. } => {
                return Err(Failure::invalid(format!(
                    "{}: {fault}; the state was made with another book",
                    path.display()
                )));
            }
        }
    }
    let mut changes = Changes::default();
    for (part, bytes) in (0..).zip(cells::parts(text)) {
        changes.put(&keys::book(part), &bytes);
    }
    store
        .apply(&changes)
        .map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Arc::new(given))
}

/// The text of the book that a store holds.
pub fn stored_book(store: &RocksStore) -> Result<Option<Vec<u8>>, Failure> {
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::state(format!("the stored rate book: {error}"));
    let Some(first) = store
        .get(&keys::book(0))
        .map_err(|error| unreadable(&error))?
    else {
        return Ok(None);
    };
    let (count, head) = cells::first_part(&first).map_err(|error| unreadable(&error))?;
    let mut text = head.to_vec();
    for part in 1..count {
        let bytes = store
            .get(&keys::book(part))
            .map_err(|error| unreadable(&error))?;
        text.extend(bytes.ok_or_else(|| unreadable(&"a part is missing"))?);
    }
    Ok(Some(text))
}

/// Before the two renames: a state directory that was never put in place tells whose it is.
pub fn mark_finished(
    staged: &Path,
    out: &Path,
    summary: &str,
    command: &str,
) -> Result<(), Failure> {
    let out = std::path::absolute(out).map_err(|error| Failure::failed(error.to_string()))?;
    let text = format!(
        "{command}\n{}\n{}\n",
        blake3::hash(summary.as_bytes()).to_hex(),
        out.display()
    );
    let path = staged.join(FINISHED);
    let write = || fs::write(&path, &text).and_then(|()| fs::File::open(&path)?.sync_all());
    write().map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// After the two renames: the run has nothing left to finish.
pub fn acknowledge(state: &Path) -> Result<(), Failure> {
    match fs::remove_file(state.join(FINISHED)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::failed(
            format!("{}: {error}", state.join(FINISHED).display()),
        )),
        _ => Ok(()),
    }
}

/// Where an earlier run ended after its outputs were put in place and before its state was, puts
/// the state in place. Returns whether that run, or one whose last steps were cut short, was the
/// one of `command`.
pub fn finish_earlier_run(state: &Path, command: &str) -> Result<bool, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    let left = Staged::left_beside(state, "meterfold-state").map_err(|error| failed(&error))?;
    // A state in place that still has its mark was put there by both renames: what lies beside it
    // is the state that it replaced, and goes.
    if let Some(run) = FinishedRun::read(state) {
        drop(left);
        acknowledge(state)?;
        return Ok(run.is_published() && run.command == command);
    }
    let Some(staged) = left else {
        return Ok(false);
    };
    match FinishedRun::read(staged.path()) {
        Some(run) if run.is_published() => {
            staged.publish().map_err(|error| failed(&error))?;
            acknowledge(state)?;
            Ok(run.command == command)
        }
        _ => Ok(false),
    }
}

/// What [`mark_finished`] wrote.
struct FinishedRun {
    command: String,
    summary_digest: String,
    out: String,
}

impl FinishedRun {
    fn read(directory: &Path) -> Option<FinishedRun> {
        let text = fs::read_to_string(directory.join(FINISHED)).ok()?;
        let mut lines = text.lines().map(str::to_string);
        Some(FinishedRun {
            command: lines.next()?,
            summary_digest: lines.next()?,
            out: lines.next()?,
        })
    }

    /// Its outputs are in place.
    fn is_published(&self) -> bool {
        fs::read(Path::new(&self.out).join(SUMMARY))
            .is_ok_and(|summary| blake3::hash(&summary).to_hex().as_str() == self.summary_digest)
    }
}

fn meta(store: &RocksStore) -> Result<Meta, Failure> {
    let bytes = store
        .get(&[keys::META])
        .map_err(|error| Failure::state(error.to_string()))?;
    bytes.map_or(Ok(Meta::default()), |bytes| {
        Meta::decode(&bytes).map_err(|error| Failure::state(error.to_string()))
    })
}

fn invalid(path: &Path, faults: &rate_book::BookFaults) -> Failure {
    let lines: Vec<String> = faults
        .0
        .iter()
        .map(|fault| format!("{}: {fault}", path.display()))
        .collect();
    Failure::invalid(lines.join("\n"))
}
