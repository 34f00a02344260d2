//! The broker and its client, before anything is built on them: what `engine.md` 3 and 6 need of
//! transactions and groups, on a real Apache Kafka, and the traps that they step around.
//!
//! A failure here says that exactly once cannot be had from this broker or this client, whatever the
//! program does. Stand-ins for a broker fail it.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use support::kafka::{Broker, Record};

const PATIENCE: Duration = Duration::from_secs(30);
const PROTOCOLS: [&str; 2] = ["classic", "consumer"];
const WITNESS: &str = "1;41;6a1f0c8e5b7d2934a1f0c8e5b7d29346a1f0c8e5b7d2934a1f0c8e5b7d29346";

#[test]
fn committed_records_are_seen_and_aborted_and_open_ones_are_not() {
    let broker = Broker::shared();
    let topic = topic(broker, "visible", 1);
    let producer = producer(broker, "visible", 60_000);
    begin_with(&producer, &topic, "aborted");
    abort(&producer);
    begin_with(&producer, &topic, "committed");
    commit(&producer).expect("a commit");
    begin_with(&producer, &topic, "open");
    drain(&producer);

    assert_eq!(values(&broker.read_committed(&topic)), ["committed"]);
    let all = broker.read_uncommitted(&topic);
    assert_eq!(values(&all), ["aborted", "committed", "open"]);
    let open = all.last().expect("the open one").offset;
    assert_eq!(broker.stable_offsets(&topic), [open]);
    assert_eq!(broker.end_offsets(&topic), [open + 1]);

    abort(&producer);
    assert_eq!(values(&broker.read_committed(&topic)), ["committed"]);
}

/// `engine.md` 5: the next input is the position at the end, which is not the last record + 1.
#[test]
fn the_end_of_a_transaction_takes_an_offset() {
    let broker = Broker::shared();
    let topic = topic(broker, "gaps", 1);
    let producer = producer(broker, "gaps", 60_000);
    begin_with(&producer, &topic, "a");
    send(&producer, &topic, 0, "b");
    commit(&producer).expect("a commit");
    begin_with(&producer, &topic, "c");
    abort(&producer);
    begin_with(&producer, &topic, "d");
    commit(&producer).expect("a commit");

    let records = broker.read_committed(&topic);
    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
    assert_eq!(
        offsets,
        [0, 1, 5],
        "2, 4 and 6 end transactions; 3 was aborted"
    );
    assert_eq!(broker.end_offsets(&topic), [7]);

    let reader = member(broker, "gaps-reader", "classic");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Beginning)
        .expect("an offset");
    reader.assign(&list).expect("an assignment");
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no end was met");
        if let Some(Err(KafkaError::PartitionEOF(0))) = reader.poll(Duration::from_millis(100)) {
            break;
        }
    }
    let position = reader.position().expect("a position");
    assert_eq!(position.elements()[0].offset(), Offset::Offset(7));
}

/// `engine.md` 6: a restart fences its predecessor.
#[test]
fn a_zombie_commits_neither_records_nor_offsets() {
    let broker = Broker::shared();
    let topic = topic(broker, "zombie", 1);
    let (member, metadata) = joined(broker, "zombie", &topic, "classic");
    let zombie = producer(broker, "zombie", 60_000);
    begin_with(&zombie, &topic, "before");
    drain(&zombie);
    let successor = producer(broker, "zombie", 60_000);

    // Neither call says that the record was refused.
    send(&zombie, &topic, 0, "after");
    zombie.flush(PATIENCE).expect("a flush");
    let refusals = [
        error(send_offset(&zombie, &topic, 7, WITNESS, &metadata)),
        error(commit(&zombie)),
        error(zombie.begin_transaction()),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), Code::Fenced, "{refusal}");
        assert!(refusal.is_fatal(), "{refusal}");
    }
    begin_with(&successor, &topic, "successor");
    send_offset(&successor, &topic, 1, "successor", &metadata).expect("offsets");
    commit(&successor).expect("a commit");
    assert_eq!(values(&broker.read_committed(&topic)), ["successor"]);
    assert_eq!(
        values(&broker.read_uncommitted(&topic)),
        ["before", "successor"]
    );
    let committed = broker.committed("zombie", &topic, 0);
    assert_eq!(committed, Some((1, "successor".to_owned())));
    drop(member);
}

/// The fence at the commit itself, when the successor comes after everything was sent.
#[test]
fn a_zombie_that_has_sent_everything_is_refused_at_its_commit() {
    let broker = Broker::shared();
    let topic = topic(broker, "late-zombie", 1);
    let (member, metadata) = joined(broker, "late-zombie", &topic, "classic");
    let zombie = producer(broker, "late-zombie", 60_000);
    begin_with(&zombie, &topic, "zombie");
    send_offset(&zombie, &topic, 1, WITNESS, &metadata).expect("offsets");
    drain(&zombie);
    let _successor = producer(broker, "late-zombie", 60_000);

    let refusal = error(commit(&zombie));
    assert_eq!(refusal.code(), Code::Fenced, "{refusal}");
    assert!(refusal.is_fatal(), "{refusal}");
    assert_eq!(broker.read_committed(&topic), []);
    assert_eq!(broker.committed("late-zombie", &topic, 0), None);
    drop(member);
}

/// Trap, `engine.md` 12: so every transaction carries offsets.
#[test]
fn an_empty_transaction_of_a_zombie_commits_without_an_error() {
    let broker = Broker::shared();
    let zombie = producer(broker, "empty-zombie", 60_000);
    let _successor = producer(broker, "empty-zombie", 60_000);
    zombie.begin_transaction().expect("a transaction");
    commit(&zombie).expect("nothing is asked of the broker");
}

#[test]
fn a_successor_frees_the_readers_at_once() {
    let broker = Broker::shared();
    let topic = topic(broker, "successor", 1);
    let predecessor = producer(broker, "successor", 60_000);
    begin_with(&predecessor, &topic, "open");
    drain(&predecessor);
    assert_ne!(broker.stable_offsets(&topic), broker.end_offsets(&topic));
    let started = Instant::now();
    let _successor = producer(broker, "successor", 60_000);
    while broker.stable_offsets(&topic) != broker.end_offsets(&topic) {
        assert!(started.elapsed() < Duration::from_secs(15), "readers wait");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(broker.read_committed(&topic), []);
}

/// Without a rival: a transaction that lasted too long is aborted by the broker, and its producer
/// gets the error that a zombie gets.
#[test]
fn a_transaction_open_for_too_long_is_fenced() {
    let broker = Broker::shared();
    let topic = topic(broker, "too-long", 1);
    let slow = producer(broker, "too-long", 1_000);
    begin_with(&slow, &topic, "too long");
    drain(&slow);
    let deadline = Instant::now() + PATIENCE;
    while broker.stable_offsets(&topic) != broker.end_offsets(&topic) {
        assert!(Instant::now() < deadline, "the broker never gave it up");
        thread::sleep(Duration::from_millis(100));
    }
    let refusal = error(commit(&slow));
    assert_eq!(refusal.code(), Code::Fenced, "{refusal}");
    assert!(refusal.is_fatal(), "{refusal}");
    assert_eq!(broker.read_committed(&topic), []);
}

/// `engine.md` 3, s4 and 5.2: offsets and the witness beside them come with the commit, and a reader
/// that asks at read_committed waits for one that is under way.
#[test]
fn offsets_of_a_transaction_come_with_its_commit_and_are_waited_for() {
    let broker = Broker::shared();
    for protocol in PROTOCOLS {
        let group = format!("offsets-{protocol}");
        let topic = topic(broker, &group, 1);
        let (member, metadata) = joined(broker, &group, &topic, protocol);
        let producer = producer(broker, &group, 60_000);

        producer.begin_transaction().expect("a transaction");
        send_offset(&producer, &topic, 3, "first", &metadata).expect("offsets");
        abort(&producer);
        assert_eq!(broker.committed(&group, &topic, 0), None, "{protocol}");

        producer.begin_transaction().expect("a transaction");
        send_offset(&producer, &topic, 5, "second", &metadata).expect("offsets");
        commit(&producer).expect("a commit");
        let second = Some((5, "second".to_owned()));
        assert_eq!(broker.committed(&group, &topic, 0), second, "{protocol}");

        producer.begin_transaction().expect("a transaction");
        send_offset(&producer, &topic, 9, WITNESS, &metadata).expect("offsets");
        let pending = committed_within(broker, &group, &topic, Duration::from_secs(1));
        assert!(
            pending.is_err(),
            "{protocol}: a pending offset was passed over"
        );
        let delay = Duration::from_millis(500);
        let third = thread::scope(|scope| {
            let reader = scope.spawn(|| broker.committed(&group, &topic, 0));
            thread::sleep(delay);
            assert!(!reader.is_finished(), "{protocol}: it did not wait");
            commit(&producer).expect("a commit");
            reader.join().expect("a reader")
        });
        assert_eq!(third, Some((9, WITNESS.to_owned())), "{protocol}");
        drop(member);
    }
}

/// The witness is kept beside an offset however that was committed.
#[test]
fn an_ordinary_commit_keeps_the_metadata_too() {
    let broker = Broker::shared();
    for protocol in PROTOCOLS {
        let group = format!("ordinary-{protocol}");
        let topic = topic(broker, &group, 1);
        let (member, _) = joined(broker, &group, &topic, protocol);
        let list = offset(&topic, 2, WITNESS);
        member.commit(&list, CommitMode::Sync).expect("a commit");
        let committed = broker.committed(&group, &topic, 0);
        assert_eq!(committed, Some((2, WITNESS.to_owned())), "{protocol}");
        drop(member);
        broker.reset_offsets(&group, &topic, 0, 1);
        let committed = broker.committed(&group, &topic, 0);
        assert_eq!(
            committed,
            Some((1, String::new())),
            "{protocol}: no witness"
        );
    }
}

/// `engine.md` 3, s0: metadata from before a rebalance that took the partition away is refused.
#[test]
fn a_stale_generation_is_refused() {
    let broker = Broker::shared();
    for protocol in PROTOCOLS {
        let group = format!("stale-{protocol}");
        let topic = topic(broker, &group, 2);
        let (first, metadata) = joined(broker, &group, &topic, protocol);
        let producer = producer(broker, &group, 60_000);

        let second = member(broker, &group, protocol);
        second.subscribe(&[&topic]).expect("a subscription");
        poll_until(&[&first, &second], || {
            assigned(&first) == 1 && assigned(&second) == 1
        });
        let moved = second.assignment().expect("an assignment").elements()[0].partition();
        begin_with(&producer, &topic, "stale");
        let offsets = offset_of(&topic, moved, 1, WITNESS);
        let refusal = error(producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE));
        assert_eq!(
            refusal.code(),
            Code::IllegalGeneration,
            "{protocol}: {refusal}"
        );
        assert!(refusal.txn_requires_abort(), "{protocol}: {refusal}");
        abort(&producer);
        assert_eq!(broker.committed(&group, &topic, moved), None, "{protocol}");
        assert_eq!(broker.read_committed(&topic), [], "{protocol}");

        // With its present metadata it may.
        let present = first.group_metadata().expect("metadata");
        let kept = 1 - moved;
        begin_with(&producer, &topic, "present");
        let offsets = offset_of(&topic, kept, 1, WITNESS);
        producer
            .send_offsets_to_transaction(&offsets, &present, PATIENCE)
            .unwrap_or_else(|error| panic!("{protocol}: {error}"));
        commit(&producer).expect("a commit");
        let committed = broker.committed(&group, &topic, kept);
        assert_eq!(committed, Some((1, WITNESS.to_owned())), "{protocol}");
    }
}

#[test]
fn a_member_that_left_is_refused() {
    let broker = Broker::shared();
    for protocol in PROTOCOLS {
        let group = format!("left-{protocol}");
        let topic = topic(broker, &group, 1);
        let (member, metadata) = joined(broker, &group, &topic, protocol);
        let producer = producer(broker, &group, 60_000);
        member.unsubscribe();
        poll_until(&[&member], || assigned(&member) == 0);
        drop(member);

        begin_with(&producer, &topic, "left");
        let refusal = error(send_offset(&producer, &topic, 1, WITNESS, &metadata));
        // The coordinator may still be at the member's leave, and know its name.
        let is_old = matches!(
            refusal.code(),
            Code::UnknownMemberId | Code::IllegalGeneration
        );
        assert!(is_old, "{protocol}: {refusal}");
        assert!(refusal.txn_requires_abort(), "{protocol}: {refusal}");
        abort(&producer);
        assert_eq!(broker.read_committed(&topic), [], "{protocol}");
        assert_eq!(broker.committed(&group, &topic, 0), None, "{protocol}");
    }
}

/// Trap, `engine.md` 6: metadata from before the first join fences nobody, so s0 requires a
/// generation and a member id.
#[test]
fn metadata_from_before_the_first_join_is_accepted() {
    let broker = Broker::shared();
    let topic = topic(broker, "unjoined", 1);
    let outsider = member(broker, "unjoined", "classic");
    let metadata = outsider.group_metadata().expect("metadata");
    let (member, _) = joined(broker, "unjoined", &topic, "classic");
    let producer = producer(broker, "unjoined", 60_000);
    producer.begin_transaction().expect("a transaction");
    send_offset(&producer, &topic, 1, "outsider", &metadata).expect("accepted");
    commit(&producer).expect("a commit");
    let committed = broker.committed("unjoined", &topic, 0);
    assert_eq!(committed, Some((1, "outsider".to_owned())));
    drop(member);
}

/// Committed means kept: also when the broker is killed after its answer, and for open
/// transactions, which wait for their producer.
#[test]
fn a_killed_broker_keeps_what_it_committed() {
    let broker = Broker::start();
    let topic = topic(&broker, "killed", 1);
    let (member, metadata) = joined(&broker, "killed", &topic, "classic");
    let producer = producer(&broker, "killed", 60_000);
    begin_with(&producer, &topic, "committed");
    send_offset(&producer, &topic, 1, WITNESS, &metadata).expect("offsets");
    commit(&producer).expect("a commit");
    begin_with(&producer, &topic, "open");
    drain(&producer);
    broker.kill9();
    broker.restart();
    assert_eq!(values(&broker.read_committed(&topic)), ["committed"]);
    let committed = broker.committed("killed", &topic, 0);
    assert_eq!(committed, Some((1, WITNESS.to_owned())));
    commit(&producer).expect("the transaction goes on");
    assert_eq!(
        values(&broker.read_committed(&topic)),
        ["committed", "open"]
    );
    drop(member);
}

fn topic(broker: &Broker, name: &str, partitions: i32) -> String {
    let name = format!("{name}.records");
    broker.create_topic(&name, partitions, &[]);
    name
}

/// With the settings of `engine.md` 11, its transactions initialised.
fn producer(broker: &Broker, transactional_id: &str, timeout_millis: u32) -> BaseProducer {
    let timeout = timeout_millis.to_string();
    let producer: BaseProducer = broker
        .client()
        .set("transactional.id", transactional_id)
        .set("transaction.timeout.ms", &timeout)
        .set("message.timeout.ms", &timeout)
        .set("linger.ms", "5")
        .set("retry.backoff.ms", "1")
        .set("retry.backoff.max.ms", "5")
        .create()
        .expect("a producer");
    producer.init_transactions(PATIENCE).expect("an identity");
    producer
}

fn begin_with(producer: &BaseProducer, topic: &str, value: &str) {
    producer.begin_transaction().expect("a transaction");
    send(producer, topic, 0, value);
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &str) {
    let record = BaseRecord::<[u8], str>::to(topic).partition(partition);
    let sent = producer.send(record.payload(value));
    sent.map_err(|(error, _)| error).expect("a record is taken");
}

/// Until all delivery reports are served: a commit or an abort waits for them in vain.
fn drain(producer: &BaseProducer) {
    let deadline = Instant::now() + PATIENCE;
    while producer.in_flight_count() > 0 {
        assert!(Instant::now() < deadline, "records stay in flight");
        producer.poll(Duration::from_millis(5));
    }
}

fn commit(producer: &BaseProducer) -> KafkaResult<()> {
    drain(producer);
    producer.commit_transaction(PATIENCE)
}

fn abort(producer: &BaseProducer) {
    drain(producer);
    producer.abort_transaction(PATIENCE).expect("an abort");
}

fn send_offset(
    producer: &BaseProducer,
    topic: &str,
    next: i64,
    witness: &str,
    metadata: &ConsumerGroupMetadata,
) -> KafkaResult<()> {
    producer.send_offsets_to_transaction(&offset(topic, next, witness), metadata, PATIENCE)
}

fn offset(topic: &str, next: i64, witness: &str) -> TopicPartitionList {
    offset_of(topic, 0, next, witness)
}

fn offset_of(topic: &str, partition: i32, next: i64, witness: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic, partition);
    element.set_offset(Offset::Offset(next)).expect("an offset");
    element.set_metadata(witness);
    list
}

/// A member of a group, subscribed to nothing yet.
fn member(broker: &Broker, group: &str, protocol: &str) -> BaseConsumer {
    let mut config = broker.client();
    config
        .set("group.id", group)
        .set("group.protocol", protocol)
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true");
    if protocol == "classic" {
        config.set("partition.assignment.strategy", "cooperative-sticky");
    }
    config.create().expect("a consumer")
}

/// A member that has all partitions of a topic, and its metadata then.
fn joined(
    broker: &Broker,
    group: &str,
    topic: &str,
    protocol: &str,
) -> (BaseConsumer, ConsumerGroupMetadata) {
    let member = member(broker, group, protocol);
    member.subscribe(&[topic]).expect("a subscription");
    let all = usize::try_from(broker.partitions(topic)).expect("a count");
    poll_until(&[&member], || assigned(&member) == all);
    let metadata = member.group_metadata().expect("metadata");
    (member, metadata)
}

fn assigned(member: &BaseConsumer) -> usize {
    member.assignment().expect("an assignment").count()
}

#[track_caller]
fn poll_until(members: &[&BaseConsumer], is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "the group did not settle");
        for member in members {
            let _ = member.poll(Duration::from_millis(20));
        }
    }
}

fn committed_within(
    broker: &Broker,
    group: &str,
    topic: &str,
    patience: Duration,
) -> KafkaResult<TopicPartitionList> {
    let reader = member(broker, group, "classic");
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let committed = reader.committed_offsets(list, patience)?;
    committed.elements()[0].error()?;
    Ok(committed)
}

#[track_caller]
fn error(result: KafkaResult<()>) -> RDKafkaError {
    match result {
        Err(KafkaError::Transaction(error)) => error,
        other => panic!("an error of a transaction was expected, not {other:?}"),
    }
}

fn values(records: &[Record]) -> Vec<String> {
    records.iter().map(Record::value_text).collect()
}
