//! What happens seldom enough to be counted where it happens: a method an event. Nothing of this is
//! called for each record.

use std::time::Duration;

use super::clients::ClientFigures;
use super::labels::{
    DigestCheck, ErrorClass, FencedBy, Rebalance, RestoreResult, SchemaFetch, Step,
    TransactionResult,
};
use super::table::Metric;
use super::{Telemetry, seconds, unix_millis};
use crate::billing::derived_event::DerivedKind;

impl Telemetry {
    pub fn error(&self, step: Step, class: ErrorClass) {
        self.count(Metric::Errors, &[step.name(), class.name()]);
        if class == ErrorClass::Auth {
            let now = seconds(unix_millis());
            self.0.families.set(Metric::AuthFailedTimestamp, &[], now);
        }
    }

    /// A step of a commit that nobody else times.
    pub fn step(&self, step: Step, time: Duration) {
        self.time(Metric::StepSeconds, &[step.name()], time);
    }

    /// Derived events were sent, in a transaction that may still be aborted.
    pub fn derived_produced(&self, kind: DerivedKind, events: u64) {
        let families = &self.0.families;
        families.add(Metric::DerivedEventsProduced, &[kind.name()], events as f64);
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

    /// So many flushes and compactions failed.
    pub fn store_background_errors(&self, errors: u64) {
        let families = &self.0.families;
        families.add(Metric::StoreBackgroundErrors, &[], errors as f64);
    }

    /// A store was put into quarantine.
    pub fn store_corrupted(&self) {
        self.count(Metric::StoreCorruptions, &[]);
    }

    /// The registry was asked for a schema.
    pub fn schema_fetch(&self, result: SchemaFetch, time: Duration) {
        self.count(Metric::SchemaFetches, &[result.name()]);
        self.time(Metric::SchemaFetchSeconds, &[], time);
    }

    /// A worker knows so many more writer schemas, or fewer.
    pub fn schemas_cached(&self, change: i64) {
        let entries = self.0.families.gauge(Metric::SchemaCacheEntries);
        entries.with_label_values::<&str>(&[]).add(change as f64);
    }

    pub fn set_group_generation(&self, generation: i32) {
        let families = &self.0.families;
        families.set(Metric::GroupGeneration, &[], f64::from(generation));
    }

    /// A client told of itself. Its counters begin anew with it.
    pub fn client_told(&self, client: &str, mut figures: ClientFigures) {
        let families = &self.0.families;
        let mut shared = self.shared();
        let before = shared.clients.get(client);
        // One that has lost all brokers forgets them, and begins anew with those of its configuration.
        if figures.brokers.is_empty()
            && let Some(before) = before
        {
            figures.brokers.clone_from(&before.brokers);
            for broker in figures.brokers.values_mut() {
                (broker.is_connected, broker.is_missed) = (false, true);
            }
        }
        for (broker, now) in &figures.brokers {
            let before = before.and_then(|figures| figures.brokers.get(broker));
            for (metric, count) in now.counters() {
                let earlier = before.map_or(0, |before| before.counter(metric));
                let added = count.checked_sub(earlier).unwrap_or(count);
                families.add(metric, &[broker], added as f64);
            }
        }
        shared.clients.insert(client.to_owned(), figures);
    }

    /// A request was answered; `path` is one of [`super::labels::HTTP_PATHS`], `code` one of
    /// [`super::labels::HTTP_CODES`].
    pub fn http_request(&self, path: &str, code: &str, time: Duration) {
        self.count(Metric::HttpRequests, &[path, code]);
        self.time(Metric::HttpRequestSeconds, &[path], time);
    }

    /// A head that was no request was refused: it had no path, and its time says nothing.
    pub fn http_head_refused(&self, code: &str) {
        self.count(Metric::HttpRequests, &["other", code]);
    }

    pub fn http_connection_opened(&self) {
        let connections = self.0.families.gauge(Metric::HttpConnections);
        connections.with_label_values::<&str>(&[]).inc();
    }

    pub fn http_connection_closed(&self) {
        let connections = self.0.families.gauge(Metric::HttpConnections);
        connections.with_label_values::<&str>(&[]).dec();
    }

    /// A connection was closed because it was slow, the oldest of too many, or spoke HTTP/2.
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
