//! What brokers say of topics, their ids above all, and of a group under either protocol: librdkafka
//! has these calls, rdkafka 0.39 does not.
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

/// A group of consumers as its coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// `Stable`, `Empty`, `PreparingRebalance` and such.
    pub state: String,
    pub members: Vec<MemberDescription>,
    pub can_read: bool,
}

/// A member of a group: how its client calls itself, and what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    pub client_id: String,
    /// (topic, partition).
    pub assigned: Vec<(String, i32)>,
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

    // SAFETY: the collection copies the names, the request copies the collection, which goes at the
    // end; `read_event` reads what the answer to this request is.
    let described = unsafe {
        let collection =
            native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let described = answered(
            client,
            native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            timeout,
            |handle, options, queue| {
                native::rd_kafka_DescribeTopics(handle, collection, options, queue);
            },
            |event| read_event(event),
        );
        native::rd_kafka_TopicCollection_destroy(collection);
        described
    };
    described.map(|described| in_order_of(&names, &described))
}

/// Describes a group. None: there is none of the name, or it was never joined.
///
/// # Errors
///
/// The coordinator refuses, cannot be reached, or does not answer within `timeout`.
pub fn describe_group<C: ClientContext>(
    client: &Client<C>,
    name: &str,
    timeout: Duration,
) -> Result<Option<GroupDescription>, RDKafkaErrorCode> {
    let name = CString::new(name).map_err(|_| RDKafkaErrorCode::InvalidGroupId)?;
    let mut names = [name.as_ptr()];
    // SAFETY: the request copies the name; `read_group` reads what the answer to this request is.
    unsafe {
        answered(
            client,
            native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
            timeout,
            |handle, options, queue| {
                native::rd_kafka_DescribeConsumerGroups(
                    handle,
                    names.as_mut_ptr(),
                    names.len(),
                    options,
                    queue,
                );
            },
            |event| read_group(event),
        )
    }
}

/// Asks for a description with the rights that belong to it, and reads the answer.
///
/// # Safety
///
/// `ask` enqueues one request of kind `operation`, and `read` reads an answer of that kind.
unsafe fn answered<C: ClientContext, T>(
    client: &Client<C>,
    operation: native::rd_kafka_admin_op_t,
    timeout: Duration,
    ask: impl FnOnce(
        *mut native::rd_kafka_t,
        *const native::rd_kafka_AdminOptions_t,
        *mut native::rd_kafka_queue_t,
    ),
    read: impl FnOnce(*mut native::rd_kafka_event_t) -> Result<T, RDKafkaErrorCode>,
) -> Result<T, RDKafkaErrorCode> {
    let timeout_millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client outlives this function. Every object made here is destroyed here, after
    // its last use: the request copies the options; the event owns what is described, which is
    // copied before it goes. A queue may be destroyed while its request is under way.
    unsafe {
        let handle = client.native_ptr();
        let options = native::rd_kafka_AdminOptions_new(handle, operation);
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
        ask(handle, options, queue);
        // The request answers within its own timeout; this one is for a client that is stuck.
        let event = native::rd_kafka_queue_poll(queue, timeout_millis.saturating_add(1_000));
        let found = if event.is_null() {
            Err(RDKafkaErrorCode::OperationTimedOut)
        } else {
            let error = RDKafkaErrorCode::from(native::rd_kafka_event_error(event));
            let found = match error {
                RDKafkaErrorCode::NoError => read(event),
                error => Err(error),
            };
            native::rd_kafka_event_destroy(event);
            found
        };
        native::rd_kafka_queue_destroy(queue);
        native::rd_kafka_AdminOptions_destroy(options);
        found
    }
}

/// # Safety
///
/// `event` is the answer to a request that describes one group.
unsafe fn read_group(
    event: *mut native::rd_kafka_event_t,
) -> Result<Option<GroupDescription>, RDKafkaErrorCode> {
    // SAFETY: by the caller; the result and all below it belong to the event.
    unsafe {
        let result = native::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::BadMessage);
        }
        let mut count = 0;
        let groups = native::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        if count != 1 {
            return Err(RDKafkaErrorCode::BadMessage);
        }
        let group = *groups;
        let error = native::rd_kafka_ConsumerGroupDescription_error(group);
        match RDKafkaErrorCode::from(native::rd_kafka_error_code(error)) {
            RDKafkaErrorCode::NoError => {}
            RDKafkaErrorCode::GroupIdNotFound => return Ok(None),
            code => return Err(code),
        }
        let state = native::rd_kafka_ConsumerGroupDescription_state(group);
        if state == native::rd_kafka_consumer_group_state_t::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD {
            return Ok(None);
        }
        let name = CStr::from_ptr(native::rd_kafka_consumer_group_state_name(state));
        let mut count = 0;
        let operations =
            native::rd_kafka_ConsumerGroupDescription_authorized_operations(group, &raw mut count);
        let read = Operation::RD_KAFKA_ACL_OPERATION_READ;
        let members = native::rd_kafka_ConsumerGroupDescription_member_count(group);
        let members = (0..members).map(|index| {
            read_member(native::rd_kafka_ConsumerGroupDescription_member(
                group, index,
            ))
        });
        Ok(Some(GroupDescription {
            state: name.to_string_lossy().into_owned(),
            members: members.collect(),
            can_read: (0..count).any(|index| *operations.add(index) == read),
        }))
    }
}

/// # Safety
///
/// `member` belongs to an event that lives.
unsafe fn read_member(member: *const native::rd_kafka_MemberDescription_t) -> MemberDescription {
    // SAFETY: by the caller; every pointer asked for here belongs to the same event.
    unsafe {
        let text = |text: *const c_char| match text.is_null() {
            true => String::new(),
            false => CStr::from_ptr(text).to_string_lossy().into_owned(),
        };
        let mut assigned = Vec::new();
        let assignment = native::rd_kafka_MemberDescription_assignment(member);
        if !assignment.is_null() {
            let list = native::rd_kafka_MemberAssignment_partitions(assignment);
            if !list.is_null() {
                for index in 0..usize::try_from((*list).cnt).unwrap_or_default() {
                    let element = &*(*list).elems.add(index);
                    assigned.push((text(element.topic), element.partition));
                }
            }
        }
        MemberDescription {
            client_id: text(native::rd_kafka_MemberDescription_client_id(member)),
            assigned,
        }
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
