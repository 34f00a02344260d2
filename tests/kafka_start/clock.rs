//! A record whose timestamp is far ahead: believed only where an operator says so.

use crate::support::kafka::{Broker, NewRecord};
use crate::support::processor::Processor;
use crate::support::scene::Scene;

/// It halts before the record is folded; another offset is not accepted; the right one lets the
/// partition go on behind it, with its clock there.
#[test]
fn a_clock_jump_halts_until_it_is_accepted() {
    let scene = Scene::half_folded(Broker::shared(), "clock_jump", 1);
    let input = scene.setup.topic("api-calls");
    let newest = scene.feed.records[scene.produced - 1].timestamp;
    let record = &scene.feed.records[scene.produced];
    let key = record.key.clone().unwrap_or_default();
    let ahead = newest + 500 * 24 * 60 * 60 * 1_000;
    let new = NewRecord::new(0, key, &record.value).created_at(ahead);
    let offset = scene.setup.broker.produce_all(&input, [new])[0];
    let way = format!("{input}:{offset}");
    let words = ["partition 0", &format!("--accept-clock {way}")];
    scene.assert_halts("CLOCK_JUMP", &words);

    scene.wait_until_empty();
    let wrong = format!("{input}:{}", offset - 1);
    let refused = scene.try_recover(0, &["--accept-clock", &wrong]);
    assert_eq!(refused.status.code(), Some(10), "{refused:?}");
    let before = scene.written();
    scene.recover(0, &["--accept-clock", &way]);
    assert_ne!(scene.written(), before, "the decision is journaled");

    let mut processor: Processor = scene.start();
    processor.wait_until_folded(&scene.setup);
    processor.stop();
    let (committed, _) = scene.committed(0).expect("an offset");
    assert!(committed > offset, "{committed}: the record is folded");
}
