//! What happens seldom enough to be counted where it happens: a method an event. Nothing of this is
//! called for each record.

use std::time::Duration;

use super::Telemetry;
use super::labels::{
    Backpressure, DigestCheck, ErrorClass, FencedBy, Rebalance, RestoreResult, SchemaFetch, Step,
    TransactionResult,
};
use super::table::Metric;

impl Telemetry {
    pub fn error(&self, step: Step, class: ErrorClass) {
        self.count(Metric::Errors, &[step.name(), class.name()]);
    }

    /// No input was taken for so long.
    pub fn backpressure(&self, reason: Backpressure, time: Duration) {
        let families = &self.0.families;
        families.add(
            Metric::BackpressureSeconds,
            &[reason.name()],
            time.as_secs_f64(),
        );
    }

    /// A transaction ended; `time` from its begin.
    pub fn transaction(&self, result: TransactionResult, time: Duration) {
        self.count(Metric::Transactions, &[result.name()]);
        self.time(Metric::TransactionSeconds, &[], time);
    }

    pub fn producer_rebuilt(&self) {
        self.count(Metric::ProducerRebuilds, &[]);
    }

    pub fn commit_outcome_unknown(&self) {
        self.count(Metric::CommitUnknownOutcomes, &[]);
    }

    pub fn fenced(&self, by: FencedBy) {
        self.count(Metric::Fenced, &[by.name()]);
    }

    /// A rebalance was handled; `time` since it was seen.
    pub fn rebalance(&self, what: Rebalance, time: Duration) {
        self.count(Metric::Rebalances, &[what.name()]);
        self.time(Metric::RebalanceSeconds, &[], time);
    }

    /// A slice of a restore applied so many changelog records.
    pub fn restored_records(&self, records: u64) {
        let families = &self.0.families;
        families.add(Metric::RestoreRecords, &[], records as f64);
    }

    /// A partition's start ended; `time` since its assignment.
    pub fn restore(&self, result: RestoreResult, time: Duration) {
        self.count(Metric::Restores, &[result.name()]);
        self.time(Metric::RestoreSeconds, &[], time);
    }

    pub fn state_digest_check(&self, result: DigestCheck) {
        self.count(Metric::StateDigestChecks, &[result.name()]);
    }

    /// A flush or compaction failed.
    pub fn store_background_error(&self) {
        self.count(Metric::StoreBackgroundErrors, &[]);
    }

    /// A store was put into quarantine.
    pub fn store_corrupted(&self) {
        self.count(Metric::StoreCorruptions, &[]);
    }

    /// Memory of the block cache that all stores of the process share.
    pub fn set_block_cache_bytes(&self, bytes: u64) {
        let families = &self.0.families;
        families.set(Metric::StoreBlockCacheBytes, &[], bytes as f64);
    }

    /// The registry was asked for a schema.
    pub fn schema_fetch(&self, result: SchemaFetch, time: Duration) {
        self.count(Metric::SchemaFetches, &[result.name()]);
        self.time(Metric::SchemaFetchSeconds, &[], time);
    }

    pub fn set_schema_cache_entries(&self, entries: usize) {
        let families = &self.0.families;
        families.set(Metric::SchemaCacheEntries, &[], entries as f64);
    }

    /// A request was answered; `path` is one of [`super::labels::HTTP_PATHS`], `code` one of
    /// [`super::labels::HTTP_CODES`].
    pub fn http_request(&self, path: &str, code: &str, time: Duration) {
        self.count(Metric::HttpRequests, &[path, code]);
        self.time(Metric::HttpRequestSeconds, &[path], time);
    }

    pub fn http_connection_opened(&self) {
        let connections = self.0.families.gauge(Metric::HttpConnections);
        connections.with_label_values::<&str>(&[]).inc();
    }

    pub fn http_connection_closed(&self) {
        let connections = self.0.families.gauge(Metric::HttpConnections);
        connections.with_label_values::<&str>(&[]).dec();
    }

    /// A connection was closed because it was slow, or the oldest of too many.
    pub fn http_connection_dropped(&self) {
        self.count(Metric::HttpConnectionsDropped, &[]);
    }

    fn count(&self, metric: Metric, labels: &[&str]) {
        self.0.families.add(metric, labels, 1.0);
    }

    fn time(&self, metric: Metric, labels: &[&str], time: Duration) {
        self.0.families.observe(metric, labels, time.as_secs_f64());
    }
}
