//! `meterfold archive`: copies what audits need out of Kafka, into files that stay.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::billing::derived_event::DerivedKind;
use crate::files::archive::reader::ArchiveEvidence;
use crate::files::archive::writer::ArchiveWriter;
use crate::files::archive::{ArchiveError, Location, Owner};
use crate::files::workspace::Hold;
use crate::kafka::evidence::KafkaEvidence;
use crate::ports::Store;
use crate::ports::evidence::{Evidence, EvidenceError, Topic};
use crate::processor::audit::{Identity, Stop, chain, in_parallel, whole};

use super::audit::progress::Progress;
use super::audit::{default_threads, identity, parse_threads, report};
use super::config_args::{ConfigArgs, TimeoutArgs};
use super::failure::Failure;
use super::scratch::Scratch;
use super::streams;

/// Copy what audits need beyond Kafka's retention into a directory or a bucket
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  meterfold archive --config meterfold.toml --to /archive
  meterfold archive --config meterfold.toml --to s3://bucket/archive

Copies the journal and, up to its newest commit, inputs, published events and dead letters of each
partition, compressed, with a manifest that names the digest of every file. What was copied is then
folded again, and where a commit closed a month the state is kept too; where inputs had expired
before the first copy, that of the changelog. Run it as often as you like: it goes on where it
ended, also after it was killed, and changes no file that it has written. A bucket is one that
speaks S3; AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the
environment say where it is and who asks (docs/audit.md).

Exit codes: 0 copied, 1 failure while running, 2 bad usage, 3 the copy does not prove itself,
4 configuration wrong, an archive of something else or no such bucket, 5 brokers or S3 unreachable,
6 access refused, 10 what follows in the archive is gone from Kafka.")]
pub struct ArchiveArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    timeout: TimeoutArgs,
    /// Where the archive lies, or begins: a directory, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "DIR|URL")]
    to: PathBuf,
    /// Partitions that are worked on at once [default: one a processor].
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
}

/// What was added to the archive of a partition.
struct Added {
    partition: u16,
    records: u64,
    snapshots: Vec<u64>,
    head: String,
}

pub fn run(args: ArchiveArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    let to = Location::at(&args.to)?;
    let evidence = args.timeout.evidence(&config)?;
    let _hold = match &to {
        Location::Directory(directory) => Some(hold(directory)?),
        // Of two that write there one finds its manifest replaced.
        Location::Bucket(_) => None,
    };
    let expected = identity(&config);
    let scratch = Scratch::new()?;
    let progress = Progress::begin(0)?;
    let partitions: Vec<u16> = (0..expected.partition_count).collect();
    let threads = args.threads.unwrap_or_else(default_threads);
    let archived = in_parallel(&partitions, threads, |partition| {
        archive(&evidence, *partition, &expected, &to, &scratch, &progress)
    });
    progress.finish()?;
    for added in archived {
        let Added {
            partition,
            records,
            snapshots,
            head,
        } = added?;
        let snapshots: Vec<String> = snapshots.iter().map(u64::to_string).collect();
        let kept = match snapshots.is_empty() {
            true => String::new(),
            false => format!(", the state after commit {}", snapshots.join(", ")),
        };
        let line = format!("partition {partition}: {records} records{kept}; now at {head}\n");
        streams::say(line.as_bytes())?;
    }
    Ok(())
}

/// Keeps other archive commands away from a directory.
fn hold(directory: &Path) -> Result<Hold, Failure> {
    let hold = Hold::take(directory).map_err(|error| Failure::failed(error.to_string()))?;
    hold.ok_or_else(|| {
        let directory = directory.display();
        Failure::failed(format!(
            "{directory}: another archive command writes there; wait for its end"
        ))
    })
}

fn archive(
    evidence: &KafkaEvidence,
    partition: u16,
    expected: &Identity,
    to: &Location,
    scratch: &Scratch,
    progress: &Progress,
) -> Result<Added, Failure> {
    let owner = Owner {
        cluster: evidence.cluster().to_owned(),
        group: expected.group.clone(),
        partition_count: expected.partition_count,
    };
    let failed = |stop: Stop| report::failure(partition, &stop);
    let mut writer = ArchiveWriter::open(to, &owner, partition)?;
    let mut snapshots = Vec::new();
    if writer.manifest().topics.is_empty() {
        let begun = begin_late(evidence, &mut writer, partition).map_err(failed)?;
        snapshots.extend(begun);
    }
    let mut records = copy(evidence, &mut writer, partition, Topic::Journal, None)?;
    // The inputs end where the journal does.
    let copied = ArchiveEvidence::of(to, writer.manifest().clone());
    let chain = chain::verify(&copied, partition, expected, None).map_err(failed)?;
    for (index, (_, next)) in (0..).zip(&chain.positions) {
        let input = Topic::Input(index);
        records += copy(evidence, &mut writer, partition, input, Some(*next))?;
    }
    let derived = DerivedKind::ALL.map(Topic::Derived);
    for topic in derived.into_iter().chain([Topic::DeadLetters]) {
        records += copy(evidence, &mut writer, partition, topic, None)?;
    }
    writer.set_head(chain.head.to_string())?;
    let copied = ArchiveEvidence::of(to, writer.manifest().clone());
    let start = copied.snapshots(partition).last().copied();
    let store = scratch.buffered(partition)?;
    whole::keep_closes(
        &copied,
        &chain,
        start,
        store,
        &|records| progress.folded(records),
        |sequence, store| {
            keep(&mut writer, sequence, store)?;
            snapshots.push(sequence);
            Ok(())
        },
    )
    .map_err(failed)?;
    Ok(Added {
        partition,
        records,
        snapshots,
        head: chain.head.to_string(),
    })
}

/// Where inputs had expired before the first copy, keeps the state that the changelog has now; the
/// journal is copied after it, so it holds that commit. Returns it.
fn begin_late(
    evidence: &KafkaEvidence,
    writer: &mut ArchiveWriter,
    partition: u16,
) -> Result<Option<u64>, Stop> {
    if !whole::lacks_its_start(evidence, partition)? {
        return Ok(None);
    }
    let scratch = Scratch::new().map_err(|failure| Stop::Store(failure.message))?;
    let store = scratch.store(partition);
    let mut store = store.map_err(|failure| Stop::Store(failure.message))?;
    let newest = whole::load_newest(evidence, partition, &mut store)?;
    if let Some(sequence) = newest {
        keep(writer, sequence, &store)?;
    }
    Ok(newest)
}

/// What follows of a topic.
fn copy(
    evidence: &KafkaEvidence,
    writer: &mut ArchiveWriter,
    partition: u16,
    topic: Topic,
    to: Option<i64>,
) -> Result<u64, Failure> {
    let stretch = writer.stretch(topic, to);
    let mut records = evidence.open(topic, partition, stretch)?;
    Ok(writer.append(topic, evidence.name(topic), &mut records)?)
}

/// Keeps all cells of a store as the state after commit `sequence`.
fn keep(writer: &mut ArchiveWriter, sequence: u64, store: &impl Store) -> Result<(), Stop> {
    let mut snapshot = writer.begin_snapshot(sequence);
    let mut kept: Result<(), ArchiveError> = Ok(());
    store.scan(&[], &[0xff], &mut |key, value| {
        kept = snapshot.put(key, value);
        match kept {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    kept.and_then(|()| snapshot.finish())
        .map_err(|error| Stop::Evidence(EvidenceError::from(error)))
}
