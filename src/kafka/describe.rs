//! What brokers say of topics, their ids above all: librdkafka has this call, rdkafka 0.39 does not.
//!
//! The only unsafe code of this folder's questions. Each native object lives in one function and
//! goes at its end; what is returned is copied.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;

use native::rd_kafka_AclOperation_t as Operation;

/// A topic as its brokers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Another topic of the same name has another id (`engine.md` 5, `TOPIC_REPLACED`). All zero:
    /// the broker is older than Kafka 2.8.
    pub id: [u8; 16],
    /// By number.
    pub partitions: Vec<PartitionDescription>,
    pub can_read: bool,
    pub can_write: bool,
    pub can_describe_configs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    pub has_leader: bool,
    pub replicas: usize,
    pub replicas_in_sync: usize,
}

/// A topic, or why nothing is said of it: `UnknownTopicOrPartition` where there is none.
pub type Described = Result<TopicDescription, RDKafkaErrorCode>;

/// Describes topics, in the order of `names`, which differ from each other.
///
/// # Errors
///
/// The whole request failed: brokers unreachable, or not within `timeout`.
pub fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<Vec<Described>, RDKafkaErrorCode> {
    let names: Vec<CString> = names
        .iter()
        .map(|name| CString::new(*name))
        .collect::<Result<_, _>>()
        .map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let timeout_millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);

    // SAFETY: the client outlives this function. Every object made here is destroyed here, after
    // its last use: the request copies names and options; the event owns the descriptions, which
    // are copied before it goes. A queue may be destroyed while its request is under way.
    unsafe {
        let handle = client.native_ptr();
        let collection =
            native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options = native::rd_kafka_AdminOptions_new(
            handle,
            native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        native::rd_kafka_AdminOptions_set_request_timeout(
            options,
            timeout_millis,
            ptr::null_mut(),
            0,
        );
        let refusal = native::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refusal.is_null() {
            native::rd_kafka_error_destroy(refusal);
        }
        let queue = native::rd_kafka_queue_new(handle);
        native::rd_kafka_DescribeTopics(handle, collection, options, queue);
        // The request answers within its own timeout; this one is for a client that is stuck.
        let event = native::rd_kafka_queue_poll(queue, timeout_millis.saturating_add(1_000));
        let described = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else {
            let described = read_event(event);
            native::rd_kafka_event_destroy(event);
            described
        };
        native::rd_kafka_queue_destroy(queue);
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_TopicCollection_destroy(collection);
        described.map(|described| in_order_of(&names, &described))
    }
}

/// Descriptions by name, in the order asked for; one that is missing is unknown.
fn in_order_of(names: &[CString], described: &[(CString, Described)]) -> Vec<Described> {
    let find = |name: &CString| {
        let found = described.iter().find(|(of, _)| of == name);
        found.map_or(
            Err(RDKafkaErrorCode::UnknownTopicOrPartition),
            |(_, described)| described.clone(),
        )
    };
    names.iter().map(find).collect()
}

/// # Safety
///
/// `event` is the answer to a describe-topics request.
unsafe fn read_event(
    event: *mut native::rd_kafka_event_t,
) -> Result<Vec<(CString, Described)>, RDKafkaErrorCode> {
    // SAFETY: by the caller; the result and all below it belong to the event.
    unsafe {
        let error = RDKafkaErrorCode::from(native::rd_kafka_event_error(event));
        if error != RDKafkaErrorCode::NoError {
            return Err(error);
        }
        let result = native::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::BadMessage);
        }
        let mut count = 0;
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut described = Vec::with_capacity(count);
        for index in 0..count {
            let topic = *topics.add(index);
            let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic)).to_owned();
            described.push((name, read_topic(topic)));
        }
        Ok(described)
    }
}

/// # Safety
///
/// `topic` belongs to an event that lives.
unsafe fn read_topic(topic: *const native::rd_kafka_TopicDescription_t) -> Described {
    // SAFETY: by the caller; every pointer asked for here belongs to the same event.
    unsafe {
        let error = native::rd_kafka_TopicDescription_error(topic);
        let code = RDKafkaErrorCode::from(native::rd_kafka_error_code(error));
        if code != RDKafkaErrorCode::NoError {
            return Err(code);
        }
        let id = native::rd_kafka_TopicDescription_topic_id(topic);
        let high = native::rd_kafka_Uuid_most_significant_bits(id);
        let low = native::rd_kafka_Uuid_least_significant_bits(id);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());

        let mut count = 0;
        let infos = native::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        let mut partitions = Vec::with_capacity(count);
        for index in 0..count {
            let info = *infos.add(index);
            let (mut replicas, mut replicas_in_sync) = (0, 0);
            native::rd_kafka_TopicPartitionInfo_replicas(info, &raw mut replicas);
            native::rd_kafka_TopicPartitionInfo_isr(info, &raw mut replicas_in_sync);
            let number = native::rd_kafka_TopicPartitionInfo_partition(info);
            let partition = PartitionDescription {
                has_leader: !native::rd_kafka_TopicPartitionInfo_leader(info).is_null(),
                replicas,
                replicas_in_sync,
            };
            partitions.push((number, partition));
        }
        partitions.sort_by_key(|(number, _)| *number);

        let mut count = 0;
        let operations =
            native::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
        let may = |wanted: Operation| (0..count).any(|index| *operations.add(index) == wanted);
        Ok(TopicDescription {
            id,
            partitions: partitions
                .into_iter()
                .map(|(_, partition)| partition)
                .collect(),
            can_read: may(Operation::RD_KAFKA_ACL_OPERATION_READ),
            can_write: may(Operation::RD_KAFKA_ACL_OPERATION_WRITE),
            can_describe_configs: may(Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS),
        })
    }
}
