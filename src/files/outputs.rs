//! Where a file run's commit goes: `derived.ndjson`, `dead-letters.ndjson` and `trace.ndjson` in
//! the directory where the run's outputs are staged.
//!
//! Derived events are ordered by (time, team, fold order) over the whole run: sorted runs are
//! spilled to a file and merged at the end, so that memory is bounded.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::billing::time::Instant;
use crate::ports::{Committer, Lines, Staged, StagedDerived};

pub const DERIVED: &str = "derived.ndjson";
pub const ACCOUNTS: &str = "accounts.ndjson";
pub const DEAD_LETTERS: &str = "dead-letters.ndjson";
pub const TRACE: &str = "trace.ndjson";
pub const SUMMARY: &str = "summary.json";

/// Bytes of derived events in memory before they are spilled.
const SPILL_BYTES: usize = 32 << 20;
const SPILL: &str = "derived.spill";

#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct OutputError {
    pub path: PathBuf,
    pub source: io::Error,
}

pub struct LocalCommit {
    directory: PathBuf,
    dead_letters: Option<OutputFile>,
    trace: Option<OutputFile>,
    /// In memory: derived events of the sorted run under way.
    derived: Vec<StagedDerived>,
    derived_bytes: usize,
    spill: Option<OutputFile>,
    /// Where each spilled run ends.
    spill_ends: Vec<u64>,
}

struct OutputFile {
    path: PathBuf,
    writer: BufWriter<File>,
    written: u64,
}

impl LocalCommit {
    /// Creates the files in `directory`, which exists and is empty.
    pub fn create(directory: &Path, is_traced: bool) -> Result<LocalCommit, OutputError> {
        Ok(LocalCommit {
            dead_letters: Some(OutputFile::create(directory.join(DEAD_LETTERS))?),
            trace: is_traced
                .then(|| OutputFile::create(directory.join(TRACE)))
                .transpose()?,
            ..LocalCommit::of_log(directory)
        })
    }

    /// Takes derived events alone: dead letters of a log have a topic of their own.
    pub fn of_log(directory: &Path) -> LocalCommit {
        LocalCommit {
            directory: directory.to_path_buf(),
            dead_letters: None,
            trace: None,
            derived: Vec::new(),
            derived_bytes: 0,
            spill: None,
            spill_ends: Vec::new(),
        }
    }

    pub fn add(&mut self, events: impl Iterator<Item = StagedDerived>) -> Result<(), OutputError> {
        for event in events {
            self.derived_bytes += size_of::<StagedDerived>() + event.team.len() + event.json.len();
            self.derived.push(event);
            if self.derived_bytes >= SPILL_BYTES {
                self.spill()?;
            }
        }
        Ok(())
    }

    /// Writes the derived events in their order and makes every file durable.
    pub fn finish(mut self) -> Result<(), OutputError> {
        let mut out = OutputFile::create(self.directory.join(DERIVED))?;
        self.sort();
        if let Some(spill) = self.spill.take() {
            let path = spill.path.clone();
            spill.finish()?;
            self.merge(&path, &mut out)?;
            std::fs::remove_file(&path).map_err(|source| OutputError { path, source })?;
        } else {
            for event in &self.derived {
                out.write_line(&event.json)?;
            }
        }
        out.finish()?;
        let mut others = [self.dead_letters, self.trace].into_iter().flatten();
        others.try_for_each(OutputFile::finish)
    }

    fn sort(&mut self) {
        // Stable: within a team the fold order stays.
        self.derived
            .sort_by(|a, b| (a.time, &a.team).cmp(&(b.time, &b.team)));
    }

    fn spill(&mut self) -> Result<(), OutputError> {
        self.sort();
        if self.spill.is_none() {
            self.spill = Some(OutputFile::create(self.directory.join(SPILL))?);
        }
        if let Some(spill) = &mut self.spill {
            for event in self.derived.drain(..) {
                spill.write(&event.time.millis().to_le_bytes())?;
                for text in [event.team.as_bytes(), &event.json] {
                    spill.write(&(text.len() as u64).to_le_bytes())?;
                    spill.write(text)?;
                }
            }
            self.spill_ends.push(spill.written);
        }
        self.derived_bytes = 0;
        Ok(())
    }

    /// Merges the spilled runs and what is in memory, which is the last run.
    fn merge(&self, spill: &Path, out: &mut OutputFile) -> Result<(), OutputError> {
        let failed = |source| OutputError {
            path: spill.to_path_buf(),
            source,
        };
        let starts = std::iter::once(0).chain(self.spill_ends.iter().copied());
        let mut runs = Vec::new();
        for (start, end) in starts.zip(&self.spill_ends) {
            let mut file = File::open(spill).map_err(failed)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(start)).map_err(failed)?;
            runs.push(BufReader::new(file.take(end - start)));
        }
        let in_memory = runs.len();
        let mut last_run = self
            .derived
            .iter()
            .map(|event| (event.time, event.team.clone(), event.json.clone()));
        let mut next = |run: usize| match run {
            run if run == in_memory => Ok(last_run.next()),
            run => read_spilled(&mut runs[run]).map_err(failed),
        };
        let mut heads = BinaryHeap::new();
        for run in 0..=in_memory {
            if let Some((time, team, json)) = next(run)? {
                heads.push(Reverse((time, team, run, json)));
            }
        }
        // Equal (time, team): the earlier run was folded earlier.
        while let Some(Reverse((_, _, run, json))) = heads.pop() {
            out.write_line(&json)?;
            if let Some((time, team, json)) = next(run)? {
                heads.push(Reverse((time, team, run, json)));
            }
        }
        Ok(())
    }
}

impl Committer for LocalCommit {
    type Error = OutputError;

    fn commit(&mut self, staged: &mut [Staged]) -> Result<(), OutputError> {
        let lines = |select: fn(&Staged) -> &Lines| staged.iter().map(select).collect::<Vec<_>>();
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.write_in_fold_order(&lines(|staged| &staged.dead_letters))?;
        }
        if let Some(trace) = &mut self.trace {
            trace.write_in_fold_order(&lines(|staged| &staged.trace))?;
        }
        let partitions = staged.iter_mut();
        self.add(partitions.flat_map(|staged| staged.derived.drain(..)))
    }
}

impl OutputFile {
    fn create(path: PathBuf) -> Result<OutputFile, OutputError> {
        match File::create(&path) {
            Ok(file) => Ok(OutputFile {
                path,
                writer: BufWriter::with_capacity(1 << 18, file),
                written: 0,
            }),
            Err(source) => Err(OutputError { path, source }),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.written += bytes.len() as u64;
        self.writer.write_all(bytes).map_err(|source| OutputError {
            path: self.path.clone(),
            source,
        })
    }

    fn write_line(&mut self, line: &[u8]) -> Result<(), OutputError> {
        self.write(line)?;
        self.write(b"\n")
    }

    /// Interleaves the lines of all partitions by the number of their record.
    fn write_in_fold_order(&mut self, partitions: &[&Lines]) -> Result<(), OutputError> {
        let mut heads: BinaryHeap<_> = partitions
            .iter()
            .enumerate()
            .filter_map(|(partition, lines)| {
                lines
                    .ends
                    .first()
                    .map(|(number, _)| Reverse((*number, partition, 0_usize)))
            })
            .collect();
        while let Some(Reverse((_, partition, index))) = heads.pop() {
            let lines = partitions[partition];
            let start = if index == 0 {
                0
            } else {
                lines.ends[index - 1].1
            };
            self.write(&lines.bytes[start..lines.ends[index].1])?;
            heads.extend(
                lines
                    .ends
                    .get(index + 1)
                    .map(|(number, _)| Reverse((*number, partition, index + 1))),
            );
        }
        Ok(())
    }

    fn finish(self) -> Result<(), OutputError> {
        let OutputFile { path, writer, .. } = self;
        let synced = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all());
        synced.map_err(|source| OutputError { path, source })
    }
}

type SpilledEvent = (Instant, Box<str>, Vec<u8>);

fn read_spilled(run: &mut impl Read) -> io::Result<Option<SpilledEvent>> {
    let mut word = [0; 8];
    match run.read_exact(&mut word) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let time = Instant::from_millis(i64::from_le_bytes(word));
    let mut block = || -> io::Result<Vec<u8>> {
        run.read_exact(&mut word)?;
        let mut bytes = vec![0; u64::from_le_bytes(word) as usize];
        run.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let team = String::from_utf8(block()?).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Some((time, team.into_boxed_str(), block()?)))
}
