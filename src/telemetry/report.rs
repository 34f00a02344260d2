//! What a worker counts between two commits: plain numbers of its own, handed over in one call, so
//! that no event costs an atomic or a lock (`engine.md` 1).

use std::collections::BTreeMap;

use prometheus::local::LocalHistogram;

use super::families::Families;
use super::labels::{BatchResult, DEAD_LETTER, Step, TIMED_STEPS};
use super::table::Metric;
use crate::billing::derived_event::DerivedKind;
use crate::billing::disposition::Disposition;

/// Made by [`super::Telemetry::report`], filled by one worker, emptied by
/// [`super::Telemetry::publish`] and used again. What an aborted batch counted is forgotten with
/// [`WorkerReport::abort`].
pub struct WorkerReport {
    /// (topic, partition) to (records, bytes).
    consumed: BTreeMap<(String, u16), (u64, u64)>,
    dispositions: [u64; Disposition::ALL.len()],
    derived: [u64; DerivedKind::ALL.len()],
    /// By reason.
    dead_letters: BTreeMap<&'static str, u64>,
    dead_letter_bytes: u64,
    end_to_end_seconds: LocalHistogram,
    lateness_seconds: LocalHistogram,
    batches: [u64; BatchResult::ALL.len()],
    batch_records: LocalHistogram,
    batch_bytes: LocalHistogram,
    batch_seconds: LocalHistogram,
    step_seconds: Vec<LocalHistogram>,
}

impl WorkerReport {
    pub(super) fn new(families: &Families) -> WorkerReport {
        let local = |metric, labels: &[&str]| {
            let histogram = families.histogram(metric).with_label_values(labels);
            histogram.local()
        };
        let steps = TIMED_STEPS.iter();
        WorkerReport {
            consumed: BTreeMap::new(),
            dispositions: Default::default(),
            derived: Default::default(),
            dead_letters: BTreeMap::new(),
            dead_letter_bytes: 0,
            end_to_end_seconds: local(Metric::RecordEndToEndSeconds, &[]),
            lateness_seconds: local(Metric::EventLatenessSeconds, &[]),
            batches: Default::default(),
            batch_records: local(Metric::BatchRecords, &[]),
            batch_bytes: local(Metric::BatchBytes, &[]),
            batch_seconds: local(Metric::BatchSeconds, &[]),
            step_seconds: steps
                .map(|step| local(Metric::StepSeconds, &[step]))
                .collect(),
        }
    }

    /// Records taken of one input; called once a batch and input.
    pub fn consumed(&mut self, topic: &str, partition: u16, records: u64, bytes: u64) {
        let key = (topic.to_owned(), partition);
        let sum = self.consumed.entry(key).or_default();
        *sum = (sum.0 + records, sum.1 + bytes);
    }

    pub fn disposed(&mut self, disposition: Disposition, records: u64) {
        self.dispositions[disposition as usize] += records;
    }

    /// `reason` is one of [`super::labels::DEAD_LETTER_REASONS`].
    pub fn dead_letter(&mut self, reason: &'static str, records: u64) {
        *self.dead_letters.entry(reason).or_default() += records;
    }

    pub fn dead_letter_bytes(&mut self, bytes: u64) {
        self.dead_letter_bytes += bytes;
    }

    pub fn derived(&mut self, kind: DerivedKind, events: u64) {
        self.derived[kind as usize] += events;
    }

    /// From a record's append to its commit.
    pub fn end_to_end(&mut self, seconds: f64) {
        self.end_to_end_seconds.observe(seconds);
    }

    /// Clock less time of a usage event.
    pub fn lateness(&mut self, seconds: f64) {
        self.lateness_seconds.observe(seconds);
    }

    pub fn step(&mut self, step: Step, seconds: f64) {
        self.step_seconds[step as usize].observe(seconds);
    }

    /// One batch that was committed or had nothing to commit.
    pub fn batch(&mut self, result: BatchResult, records: u64, bytes: u64, seconds: f64) {
        self.batches[result as usize] += 1;
        self.batch_records.observe(records as f64);
        self.batch_bytes.observe(bytes as f64);
        self.batch_seconds.observe(seconds);
    }

    /// The batch was aborted: what it did to records and events never was, what it cost stays.
    pub fn abort(&mut self) {
        self.batches[BatchResult::Aborted as usize] += 1;
        self.consumed.clear();
        self.dispositions = Default::default();
        self.dead_letters.clear();
        self.dead_letter_bytes = 0;
        self.derived = Default::default();
        self.end_to_end_seconds.clear();
        self.lateness_seconds.clear();
    }

    /// Hands everything over and begins anew. Of partitions, only those that `is_owned` says.
    pub(super) fn flush(&mut self, families: &Families, is_owned: impl Fn(u16) -> bool) {
        for ((topic, partition), (records, bytes)) in std::mem::take(&mut self.consumed) {
            if is_owned(partition) {
                let labels = [topic.as_str(), &partition.to_string()];
                families.add(Metric::RecordsConsumed, &labels, records as f64);
            }
            families.add(Metric::ConsumedBytes, &[&topic], bytes as f64);
        }
        let dispositions = std::mem::take(&mut self.dispositions);
        for (disposition, records) in Disposition::ALL.iter().zip(dispositions) {
            families.add(
                Metric::RecordsDisposed,
                &[disposition.name()],
                records as f64,
            );
        }
        for (reason, records) in std::mem::take(&mut self.dead_letters) {
            families.add(Metric::RecordsDisposed, &[DEAD_LETTER], records as f64);
            families.add(Metric::DeadLetters, &[reason], records as f64);
        }
        let bytes = std::mem::take(&mut self.dead_letter_bytes);
        families.add(Metric::DeadLetterBytes, &[], bytes as f64);
        let derived = std::mem::take(&mut self.derived);
        for (kind, events) in DerivedKind::ALL.iter().zip(derived) {
            families.add(Metric::DerivedEvents, &[kind.name()], events as f64);
        }
        let batches = std::mem::take(&mut self.batches);
        for (result, count) in BatchResult::NAMES.iter().zip(batches) {
            families.add(Metric::Batches, &[result], count as f64);
        }
        let histograms = [
            &self.end_to_end_seconds,
            &self.lateness_seconds,
            &self.batch_records,
            &self.batch_bytes,
            &self.batch_seconds,
        ];
        for histogram in histograms.into_iter().chain(&self.step_seconds) {
            histogram.flush();
        }
    }
}
