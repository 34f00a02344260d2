//! `meterfold audit` from an archive, against reading and decompressing the same files alone.
//!
//! `cargo bench --bench audit -- [EVENTS TEAMS]`, by default 4 million events of 100,000 teams in two
//! partitions, a commit every 50,000 events, in the system's temporary directory. The archive is
//! made here without a log: the partitions of the processor fold the events and write their journal.
//! Target: a million events a second on one core.

mod generated;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant as WallInstant};

use meterfold::billing::derived_event::DerivedKind;
use meterfold::billing::rate_book::RateBook;
use meterfold::billing::time::Instant;
use meterfold::files::archive::reader::ArchiveEvidence;
use meterfold::files::archive::writer::ArchiveWriter;
use meterfold::files::archive::{Location, Owner};
use meterfold::ports::evidence::{Evidence, EvidenceError, Records, Stretch, Topic};
use meterfold::ports::{Batch, Original, Piece, Record, Slot};
use meterfold::processor::audit::in_parallel;
use meterfold::processor::journaling::{LogSettings, settings_digest};
use meterfold::processor::partition::{BookText, Partition};
use meterfold::store::memory::MemoryStore;
use meterfold::wire::avro::Schemas;
use meterfold::wire::cloudevents;
use meterfold::wire::journal::JournalRecord;
use meterfold::wire::kafka_record::{Outcome, RecordDecoder, RecordRules};
use meterfold::wire::partitioner::partition_of;
use meterfold::wire::rate_book;
use meterfold::wire::record_bytes::{self, Header, LogRecord};
use meterfold::wire::span::Text;

use generated::{BOOK, PROGRAM, directory, events_and_teams, generate};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: u16 = 2;
const COMMIT_EVENTS: usize = 50_000;
const ROUNDS: usize = 2;
const JSON: &[u8] = b"application/cloudevents+json";

fn main() {
    let (events, teams) = events_and_teams((4_000_000, 100_000));
    let directory = directory();
    let lines = directory.join("events.ndjson");
    let arguments = ["--months", "2026-01..2026-01", "--seed", "1"];
    generate(&lines, (events, teams), &arguments);
    let archive = directory.join("archive");
    let folded = make_archive(&lines, &archive);
    fs::remove_file(&lines).expect("to remove");
    let config = config(&directory);
    println!(
        "{folded} events of {teams} teams, {} MB of archive",
        size(&archive) / 1_000_000
    );
    println!(
        "{:<36}{:>8}{:>14}{:>14}",
        "", "threads", "events/s", "CPU ns/event"
    );
    for threads in [1, 2] {
        row(
            "audit",
            threads,
            folded,
            best(|| audit(&config, &archive, threads)),
        );
        let reading = best(|| read(&archive, threads));
        row(
            "  reading and decompressing alone",
            threads,
            folded,
            reading,
        );
    }
    fs::remove_dir_all(&directory).expect("to remove");
}

fn row(name: &str, threads: usize, events: u64, (took, cpu): (Duration, Duration)) {
    let rate = u128::from(events) * 1_000 / took.as_millis().max(1);
    let cpu = cpu.as_nanos() / u128::from(events);
    println!("{name:<36}{threads:>8}{rate:>14}{cpu:>14}");
}

/// Time by the clock and of all processors, of the round that took the least.
fn best(mut run: impl FnMut()) -> (Duration, Duration) {
    let times = (0..ROUNDS).map(|_| {
        let (began, before) = (WallInstant::now(), cpu());
        run();
        (began.elapsed(), cpu() - before)
    });
    times.min().expect("rounds")
}

/// Processor time of this process and of its children that have ended.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    // Behind the name, which is in brackets: fields 14 to 17 of proc(5), in hundredths of a second.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields = fields.split_whitespace().skip(11).take(4);
    let ticks = fields.map(|field| field.parse::<u64>().expect("a number"));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn config(directory: &Path) -> PathBuf {
    let path = directory.join("meterfold.toml");
    let text = format!(
        "application = \"bench\"\nrates = \"{BOOK}\"\nrecorded_time = \"record\"\n\
         [kafka]\n\"bootstrap.servers\" = \"127.0.0.1:1\"\n\
         [topics]\naccounts = \"\"\npartitions = {PARTITIONS}\n"
    );
    fs::write(&path, text).expect("a file");
    path
}

fn audit(config: &Path, archive: &Path, threads: usize) {
    let output = Command::new(PROGRAM)
        .args(["audit", "--all", "--month", "2026-01", "--config"])
        .arg(config)
        .arg("--archive")
        .arg(archive)
        .args(["--threads", &threads.to_string()])
        .output()
        .expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}

fn read(archive: &Path, threads: usize) {
    let evidence = ArchiveEvidence::open(archive, PARTITIONS).expect("an archive");
    let partitions: Vec<u16> = (0..PARTITIONS).collect();
    in_parallel(&partitions, threads, |partition| {
        for topic in [Topic::Input(0), Topic::Journal] {
            let records = evidence.open(topic, *partition, Stretch::ALL);
            let mut records = records.expect("records");
            while records.next().expect("a record").is_some() {}
        }
    });
}

fn size(archive: &Path) -> u64 {
    let folders = fs::read_dir(archive).expect("folders").flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).expect("files").flatten());
    files
        .map(|file| file.metadata().expect("a size").len())
        .sum()
}

/// A partition that folds and journals without a log.
struct Producing {
    number: u16,
    partition: Partition<MemoryStore>,
    decoder: RecordDecoder,
    writer: ArchiveWriter,
    waiting: Kept,
    clock: Option<Instant>,
    journal: Kept,
    derived: Vec<(DerivedKind, Kept)>,
}

/// Records of one topic, with offsets from 0 on; those that were written are gone.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    first: i64,
    at: usize,
}

/// Folds every line in its order. Returns how many there were.
fn make_archive(lines: &Path, archive: &Path) -> u64 {
    let text = fs::read(BOOK).expect("the example book");
    let digest = rate_book::canonical_digest(&text).expect("a book");
    let parsed = Arc::new(rate_book::read(&text).expect("a book"));
    let book = BookText { text, digest };
    let mut partitions: Vec<Producing> = (0..PARTITIONS)
        .map(|number| Producing::begin(archive, number, &book, &parsed))
        .collect();
    let mut count = 0;
    let (mut side, lines) = (
        String::new(),
        BufReader::new(File::open(lines).expect("a file")),
    );
    for line in lines.lines() {
        let line = line.expect("a line");
        side.clear();
        let decoded = cloudevents::decode(&line, 0, line.len(), &mut side);
        let text = Text {
            input: line,
            side: std::mem::take(&mut side),
        };
        let (Some(subject), Some(recorded)) = (decoded.subject, decoded.recorded) else {
            continue;
        };
        let team = text.get(subject).to_owned();
        let number = partition_of(team.as_bytes(), PARTITIONS);
        let partition = &mut partitions[usize::from(number)];
        let value = text.input.as_bytes();
        partition
            .waiting
            .push(team.as_bytes(), &[], value, recorded);
        count += 1;
        if partition.waiting.ends.len() == COMMIT_EVENTS {
            partition.commit();
        }
    }
    partitions.into_iter().for_each(Producing::finish);
    count
}

impl Producing {
    fn begin(archive: &Path, number: u16, book: &BookText, parsed: &Arc<RateBook>) -> Producing {
        let owner = Owner {
            cluster: "bench".to_owned(),
            group: "bench".to_owned(),
            partition_count: PARTITIONS,
        };
        let horizon = parsed.dedup_horizon_millis;
        let settings = LogSettings {
            cluster: owner.cluster.clone(),
            group: owner.group.clone(),
            inputs: vec!["api-calls".to_owned()],
            partition_count: PARTITIONS,
            settings_digest: settings_digest(true, horizon, parsed.future_skew_millis),
        };
        let rules = RecordRules {
            partition: number,
            partitions: PARTITIONS,
            has_accounts: false,
            takes_ticks: true,
            halts_on_wrong_partition: false,
        };
        let (store, parsed) = (MemoryStore::default(), Arc::clone(parsed));
        let opened = Partition::open(number, store, parsed, false, Some(settings));
        let mut producing = Producing {
            number,
            partition: opened.expect("an empty store"),
            decoder: RecordDecoder::new(rules, Arc::new(Schemas::built_in())),
            writer: ArchiveWriter::open(&Location::Directory(archive.to_owned()), &owner, number)
                .expect("a directory"),
            waiting: Kept::default(),
            clock: None,
            journal: Kept::default(),
            derived: DerivedKind::ALL.map(|kind| (kind, Kept::default())).into(),
        };
        let staged = producing.partition.stage_genesis(&[0], book);
        staged.expect("a genesis");
        producing.apply();
        producing
    }

    fn commit(&mut self) {
        let mut piece = Piece::default();
        let mut batch = Batch::new(PARTITIONS, None, 0);
        while let Some(bytes) = self.waiting.next().expect("memory") {
            let record = LogRecord::read(bytes).expect("canonical bytes");
            let Outcome::Decoded(decoded) = self.decoder.decode(&record, &mut piece.text) else {
                panic!("JSON needs no schema")
            };
            self.clock = self.clock.max(decoded.recorded);
            let slot = Slot {
                piece: 0,
                record: piece.records.len() as u32,
                clock: self.clock,
            };
            batch.push(slot, self.number);
            let start = piece.raw.len();
            piece.raw.extend_from_slice(bytes);
            piece.records.push(Record {
                line: record.offset as u64,
                decoded,
                original: Original::Bytes(start..piece.raw.len()),
            });
        }
        batch.pieces.push(Arc::new(piece));
        self.partition.fold(&batch).expect("a fold");
        while self.partition.is_paused() {
            self.partition.fold(&batch).expect("a fold");
        }
        self.partition.stage().expect("a commit");
        self.apply();
        self.waiting.at = 0;
        let written = self
            .writer
            .append(Topic::Input(0), "api-calls", &mut self.waiting);
        written.expect("a file");
        self.waiting.clear();
    }

    fn apply(&mut self) {
        let mut staged = self.partition.take_staged();
        let log = staged.log.take().expect("a journal");
        let key = self.number.to_string();
        for part in JournalRecord::parts(&log.journal, log.witness.sequence) {
            self.journal
                .push(key.as_bytes(), &[], &part, Instant::EPOCH);
        }
        for event in &staged.derived {
            let kept = self
                .derived
                .iter_mut()
                .find(|(kind, _)| *kind == event.kind);
            let headers: [Header; 1] = [(b"content-type", Some(JSON))];
            let (_, kept) = kept.expect("every kind");
            kept.push(event.team.as_bytes(), &headers, &event.json, event.time);
        }
        self.partition.put_back(staged);
        self.partition.apply().expect("memory");
        self.partition.settle(usize::MAX).expect("memory");
    }

    fn finish(mut self) {
        if !self.waiting.ends.is_empty() {
            self.commit();
        }
        let mut append = |topic, name, kept: &mut Kept| {
            self.writer.append(topic, name, kept).expect("a file");
        };
        append(Topic::Journal, "journal", &mut self.journal);
        for (kind, kept) in &mut self.derived {
            append(Topic::Derived(*kind), kind.name(), kept);
        }
        let head = self.partition.meta().witness().to_string();
        self.writer.set_head(head).expect("a manifest");
    }
}

impl Kept {
    fn push(&mut self, key: &[u8], headers: &[Header], value: &[u8], recorded: Instant) {
        let (headers, offset) = (headers.iter().copied(), self.end());
        record_bytes::append(
            &mut self.bytes,
            0,
            offset,
            recorded,
            Some(key),
            headers,
            Some(value),
        );
        self.ends.push(self.bytes.len());
    }

    fn clear(&mut self) {
        self.first = self.end();
        self.bytes.clear();
        self.ends.clear();
        self.at = 0;
    }
}

impl Records for Kept {
    fn first(&self) -> i64 {
        self.first
    }

    fn end(&self) -> i64 {
        self.first + self.ends.len() as i64
    }

    fn next(&mut self) -> Result<Option<&[u8]>, EvidenceError> {
        let Some(end) = self.ends.get(self.at) else {
            return Ok(None);
        };
        let start = self.at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.at += 1;
        Ok(Some(&self.bytes[start..*end]))
    }

    fn has_grown(&mut self) -> Result<bool, EvidenceError> {
        Ok(false)
    }
}
