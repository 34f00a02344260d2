//! What the Kafka clients of a process tell of themselves every few seconds, and the gauges that it
//! comes to.

use std::collections::BTreeMap;

use super::Telemetry;
use super::seconds;
use super::status::Shared;
use super::table::Metric;

/// What one client told last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientFigures {
    pub told_unix_millis: i64,
    /// By node id; those that the client was only configured with are not among them.
    pub brokers: BTreeMap<String, BrokerFigures>,
    pub fetch_queue_records: u64,
    pub fetch_queue_bytes: u64,
    pub produce_queue_records: u64,
    pub produce_queue_bytes: u64,
}

/// A broker as one client sees it. Counters begin with the client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerFigures {
    pub is_connected: bool,
    /// The client wants a connection and has none.
    pub is_missed: bool,
    pub rtt_seconds: f64,
    pub throttle_seconds: f64,
    pub request_errors: u64,
    pub request_timeouts: u64,
    pub disconnects: u64,
    pub decompress_grow: u64,
}

impl BrokerFigures {
    pub(super) fn counters(&self) -> [(Metric, u64); 4] {
        [
            (Metric::KafkaRequestErrors, self.request_errors),
            (Metric::KafkaRequestTimeouts, self.request_timeouts),
            (Metric::KafkaDisconnects, self.disconnects),
            (Metric::KafkaDecompressGrow, self.decompress_grow),
        ]
    }

    pub(super) fn counter(&self, metric: Metric) -> u64 {
        let mut counters = self.counters().into_iter();
        let found = counters.find(|(it, _)| *it == metric);
        found.map_or(0, |(_, count)| count)
    }
}

impl Telemetry {
    pub(super) fn refresh_clients(&self, shared: &Shared) {
        let families = &self.0.families;
        let clients = || shared.clients.values();
        let mut brokers: BTreeMap<&str, BrokerFigures> = BTreeMap::new();
        for (broker, figures) in clients().flat_map(|client| &client.brokers) {
            let worst = brokers.entry(broker).or_default();
            worst.is_connected |= figures.is_connected;
            worst.is_missed |= figures.is_missed;
            worst.rtt_seconds = worst.rtt_seconds.max(figures.rtt_seconds);
            worst.throttle_seconds = worst.throttle_seconds.max(figures.throttle_seconds);
        }
        // No client wants a broker once all have given up; one that is not wanted is reached only where
        // another is.
        let is_any_connected = brokers.values().any(|broker| broker.is_connected);
        for (broker, worst) in brokers {
            let is_reached = is_any_connected && !worst.is_missed;
            families.set(Metric::KafkaBrokerState, &[broker], f64::from(is_reached));
            families.set(Metric::KafkaBrokerRtt, &[broker], worst.rtt_seconds);
            families.set(Metric::KafkaThrottle, &[broker], worst.throttle_seconds);
        }
        let sum = |metric, of: fn(&ClientFigures) -> u64| {
            let sum: u64 = clients().map(of).sum();
            families.set(metric, &[], sum as f64);
        };
        sum(Metric::KafkaFetchQueueRecords, |it| it.fetch_queue_records);
        sum(Metric::KafkaFetchQueueBytes, |it| it.fetch_queue_bytes);
        sum(Metric::KafkaProduceQueueRecords, |it| {
            it.produce_queue_records
        });
        sum(Metric::KafkaProduceQueueBytes, |it| it.produce_queue_bytes);
        let told = clients().map(|client| client.told_unix_millis).min();
        families.set(Metric::KafkaStatsTimestamp, &[], told.map_or(0.0, seconds));
    }
}
