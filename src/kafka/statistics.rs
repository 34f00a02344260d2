//! What librdkafka tells of a client every few seconds, in the words of telemetry and of the worker.

use std::collections::BTreeMap;

use rdkafka::statistics::{Broker, Statistics};

use crate::telemetry::{BrokerFigures, ClientFigures};

use super::log::wall_millis;

/// A partition that a consumer fetches from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetching {
    /// High watermark less last stable offset, of one fetch.
    pub unstable: i64,
    /// The client is not connected to its leader.
    pub is_cut_off: bool,
}

/// The client's view of brokers and queues. librdkafka connects to a broker only for a reason, so one
/// that it has not connected to is missed only while it tries to.
pub fn figures(statistics: &Statistics) -> ClientFigures {
    let brokers = statistics.brokers.values().filter(|it| it.nodeid >= 0);
    // The coordinator of the group is there a second time, under a name of its own.
    let brokers = brokers.filter(|it| it.source == "learned");
    let partitions = || {
        let topics = statistics.topics.values();
        topics.flat_map(|topic| topic.partitions.values())
    };
    ClientFigures {
        told_unix_millis: wall_millis(),
        brokers: brokers
            .map(|it| (it.nodeid.to_string(), broker(it)))
            .collect(),
        fetch_queue_records: partitions().map(|it| it.fetchq_cnt.unsigned_abs()).sum(),
        fetch_queue_bytes: partitions().map(|it| it.fetchq_size).sum(),
        produce_queue_records: statistics.msg_cnt,
        produce_queue_bytes: statistics.msg_size,
    }
}

fn broker(broker: &Broker) -> BrokerFigures {
    let micros = |micros: i64| micros as f64 / 1e6;
    BrokerFigures {
        is_connected: is_up(broker),
        is_missed: is_missed(broker),
        rtt_seconds: broker.rtt.as_ref().map_or(0.0, |rtt| micros(rtt.p99)),
        throttle_seconds: broker
            .throttle
            .as_ref()
            .map_or(0.0, |throttle| throttle.avg as f64 / 1e3),
        request_errors: broker.txerrs + broker.rxerrs,
        request_timeouts: broker.req_timeouts,
        disconnects: broker.disconnects.unwrap_or(0).unsigned_abs(),
        decompress_grow: broker.zbuf_grow,
    }
}

fn is_missed(broker: &Broker) -> bool {
    !is_up(broker) && broker.state != "INIT"
}

fn is_up(broker: &Broker) -> bool {
    matches!(broker.state.as_str(), "UP" | "UPDATE")
}

/// No broker is connected: a member of a group is, to its coordinator at least.
pub fn is_alone(statistics: &Statistics) -> bool {
    !statistics.brokers.values().any(is_up)
}

/// The partitions that a consumer fetches, by topic and number.
pub fn fetching(statistics: &Statistics) -> BTreeMap<(String, u16), Fetching> {
    // Without a leader it is -1, which is also what brokers of the configuration have.
    let is_reached = |id: i32| {
        let mut brokers = statistics.brokers.values();
        brokers.any(|it| id >= 0 && it.nodeid == id && is_up(it))
    };
    let mut found = BTreeMap::new();
    for (name, topic) in &statistics.topics {
        for partition in topic.partitions.values() {
            let Ok(number) = u16::try_from(partition.partition) else {
                continue;
            };
            let is_known = partition.hi_offset >= 0 && partition.ls_offset >= 0;
            let unstable = partition.hi_offset - partition.ls_offset;
            let fetching = Fetching {
                unstable: if is_known { unstable.max(0) } else { 0 },
                is_cut_off: !is_reached(partition.leader),
            };
            found.insert((name.clone(), number), fetching);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::statistics::{Partition, Topic};

    fn seen(nodeid: i32, source: &str, state: &str) -> (String, Broker) {
        let broker = Broker {
            nodeid,
            source: source.to_owned(),
            state: state.to_owned(),
            ..Broker::default()
        };
        (format!("{nodeid}/{source}"), broker)
    }

    #[test]
    fn a_broker_is_missed_while_it_is_tried_in_vain() {
        let statistics = Statistics {
            brokers: [
                seen(1, "learned", "UP"),
                seen(2, "learned", "INIT"),
                seen(3, "learned", "TRY_CONNECT"),
                seen(-1, "configured", "DOWN"),
                seen(3, "logical", "DOWN"),
            ]
            .into(),
            ..Statistics::default()
        };
        let brokers = figures(&statistics).brokers;
        let missed: Vec<(&str, bool)> = brokers
            .iter()
            .map(|(id, broker)| (id.as_str(), broker.is_missed))
            .collect();
        assert_eq!(missed, [("1", false), ("2", false), ("3", true)]);
        assert!(!is_alone(&statistics));
    }

    #[test]
    fn what_open_transactions_hide_is_between_two_ends_of_one_fetch() {
        let of = |number, leader, hi_offset, ls_offset| {
            let partition = Partition {
                partition: number,
                leader,
                hi_offset,
                ls_offset,
                ..Partition::default()
            };
            (number, partition)
        };
        let topic = Topic {
            partitions: [
                of(0, 1, 10, 7),
                of(1, 2, 10, 10),
                of(2, -1, 10, 10),
                of(-1, -1, -1, -1),
            ]
            .into(),
            ..Topic::default()
        };
        let statistics = Statistics {
            brokers: [
                seen(1, "learned", "UP"),
                seen(2, "learned", "INIT"),
                seen(-1, "configured", "UP"),
            ]
            .into(),
            topics: [("a".to_owned(), topic)].into(),
            ..Statistics::default()
        };
        let found = fetching(&statistics);
        let expected = |unstable, is_cut_off| Fetching {
            unstable,
            is_cut_off,
        };
        assert_eq!(found[&("a".to_owned(), 0)], expected(3, false));
        assert_eq!(found[&("a".to_owned(), 1)], expected(0, true));
        assert_eq!(found[&("a".to_owned(), 2)], expected(0, true));
        assert_eq!(found.len(), 3);
    }
}
