//! A subscriber of derived events: it reads at read_committed all the time that a test runs, and
//! must have seen nothing that is not committed in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::processor::{DERIVED, Setup};

pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<BTreeMap<String, Vec<(i32, i64)>>>,
}

impl Watcher {
    pub fn start(setup: &Setup) -> Watcher {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = setup.broker.client();
        client
            .set("group.id", format!("{}-watcher", setup.name))
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false");
        let consumer: BaseConsumer = client.create().expect("a consumer");
        let topics = DERIVED.map(|topic| setup.topic(topic));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).expect("a subscription");
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen: BTreeMap<String, Vec<(i32, i64)>> = BTreeMap::new();
            while !told.load(Ordering::Relaxed) {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    let place = (message.partition(), message.offset());
                    seen.entry(message.topic().to_owned())
                        .or_default()
                        .push(place);
                }
            }
            seen
        });
        Watcher { stop, thread }
    }

    /// Ends; everything that was read must be there still.
    pub fn stop(self, setup: &Setup) {
        self.stop.store(true, Ordering::Relaxed);
        for (topic, places) in self.thread.join().expect("a reader") {
            let all = setup.broker.read_committed(&topic);
            let all: Vec<_> = all
                .into_iter()
                .map(|record| (record.partition, record.offset))
                .collect();
            assert!(
                places.len() <= all.len(),
                "{topic}: a record that was read is gone"
            );
            for place in places {
                assert!(
                    all.contains(&place),
                    "{topic}: {place:?} was read, and is not committed"
                );
            }
        }
    }
}
