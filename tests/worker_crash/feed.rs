//! A world as the records of input topics: each team's events in the partition of its key, ticks in
//! every partition.

use meterfold::billing::time::Instant;
use meterfold::kafka::twin::TwinCluster;
use meterfold::wire::partitioner::partition_of;
use meterfold::wire::record_bytes;
use serde_json::{Value, json};

use crate::model::calendar::format_instant;
use crate::support::random::Random;
use crate::world::World;

const DAY: i64 = 86_400_000;
const API_CALLS: usize = 0;

pub struct Feed {
    /// What is not appended yet, last first.
    records: Vec<Record>,
    /// By partition, by input: the line of each record.
    pub lines: Vec<Vec<Vec<String>>>,
}

struct Record {
    input: usize,
    partition: u16,
    recorded: i64,
    key: Option<String>,
    line: String,
}

impl Feed {
    pub fn new(world: &World, partitions: u16, inputs: usize) -> Feed {
        let mut maker = Maker {
            records: Vec::new(),
            clocks: vec![None; usize::from(partitions)],
            first: world
                .lines
                .iter()
                .find_map(|line| line.recorded)
                .unwrap_or(0)
                - DAY,
            inputs,
        };
        for (number, line) in world.lines.iter().enumerate() {
            let event: Value = serde_json::from_str(&line.text).unwrap_or_default();
            let subject = event["subject"].as_str();
            let is_tick = event["type"] == "meterfold.clock-tick.v1";
            match (subject, line.recorded) {
                (Some(subject), recorded) => {
                    let partition = partition_of(subject.as_bytes(), partitions);
                    maker.push(partition, &event, recorded, Some(subject), &line.text);
                }
                (None, recorded) if is_tick => {
                    for partition in 0..partitions {
                        maker.push(partition, &event, recorded, None, &line.text);
                    }
                }
                // Whose time cannot be read has no place between two topics.
                (None, None) if inputs > 1 => {}
                (None, recorded) => {
                    let partition = number as u16 % partitions;
                    maker.push(partition, &event, recorded, None, &line.text);
                }
            }
        }
        if let Some(until) = world.until {
            for partition in 0..partitions {
                maker.tick(partition, until, "until");
            }
        }
        maker.records.reverse();
        Feed {
            records: maker.records,
            lines: vec![vec![Vec::new(); inputs]; usize::from(partitions)],
        }
    }

    /// Appends the next `count` records, with gaps of aborted ones and control records.
    pub fn append(&mut self, cluster: &TwinCluster, count: usize, random: &mut Random) {
        for _ in 0..count {
            let Some(record) = self.records.pop() else {
                return;
            };
            let Record {
                input,
                partition,
                recorded,
                key,
                line,
            } = record;
            let mut bytes = Vec::new();
            record_bytes::append(
                &mut bytes,
                input as u8,
                cluster.input_end(input, partition),
                Instant::from_millis(recorded),
                key.as_deref().map(str::as_bytes),
                [],
                Some(line.trim_end().as_bytes()),
            );
            let gap = if random.once_in(4) {
                1 + random.below(3) as i64
            } else {
                0
            };
            cluster.append(input, partition, bytes, gap);
            self.lines[usize::from(partition)][input].push(line);
        }
    }
}

struct Maker {
    records: Vec<Record>,
    clocks: Vec<Option<i64>>,
    /// Recorded time of what comes before any clock.
    first: i64,
    inputs: usize,
}

impl Maker {
    fn push(
        &mut self,
        partition: u16,
        event: &Value,
        recorded: Option<i64>,
        key: Option<&str>,
        line: &str,
    ) {
        let clock = self.clocks[usize::from(partition)];
        let recorded = recorded.unwrap_or(clock.unwrap_or(self.first));
        // A jump would halt the partition; a tick says that it is meant.
        if clock.is_some_and(|clock| recorded - clock > 399 * DAY) {
            self.tick(partition, recorded, "jump");
        }
        let is_usage = matches!(
            event["type"].as_str(),
            Some("meterfold.api-call.v1" | "meterfold.usage-corrected.v1")
        );
        let input = if is_usage { API_CALLS } else { self.inputs - 1 };
        let clock = &mut self.clocks[usize::from(partition)];
        *clock = (*clock).max(Some(recorded));
        self.records.push(Record {
            input,
            partition,
            recorded,
            key: key.map(str::to_owned),
            line: line.to_owned(),
        });
    }

    fn tick(&mut self, partition: u16, recorded: i64, name: &str) {
        let tick = json!({
            "specversion": "1.0", "type": "meterfold.clock-tick.v1", "source": "/feed",
            "id": format!("{name}-{}", self.records.len()), "time": format_instant(recorded),
        });
        let line = format!("{tick}\n");
        let clock = &mut self.clocks[usize::from(partition)];
        *clock = (*clock).max(Some(recorded));
        self.records.push(Record {
            input: self.inputs - 1,
            partition,
            recorded,
            key: None,
            line,
        });
    }
}
