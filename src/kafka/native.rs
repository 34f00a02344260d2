//! The one unsafe module: what the client library offers in C and its Rust view does not.
//!
//! Batches of records out of a partition's own queue, and a group's metadata with its generation
//! and member, which a commit must look at before it sends it.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::ControlFlow;
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka_sys as sys;

use crate::ports::log::Offsets;

/// The queue of one assigned partition, split from the consumer's main queue. It must be dropped
/// before its consumer.
pub struct PartitionQueue {
    queue: *mut sys::rd_kafka_queue_t,
    /// Taken out of the queue; those before `shown` are destroyed.
    messages: Vec<*mut sys::rd_kafka_message_t>,
    shown: usize,
}

/// What comes out of a partition's queue.
pub enum Fetched<'a> {
    Record(Message<'a>),
    /// The end was reached; the next record will have this offset or a later one.
    End {
        next_offset: i64,
    },
    Error {
        code: sys::rd_kafka_resp_err_t,
        text: String,
    },
}

pub struct Message<'a> {
    pub offset: i64,
    pub timestamp_millis: i64,
    pub is_append_time: bool,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    native: &'a sys::rd_kafka_message_t,
}

// SAFETY: a queue handle may be used from any thread; it is used by one at a time.
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    pub fn split<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
        topic: &str,
        partition: u16,
        messages_max: usize,
    ) -> Option<PartitionQueue> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client lives, the topic is a C string; a queue that is returned is ours.
        let queue = unsafe {
            sys::rd_kafka_queue_get_partition(
                consumer.client().native_ptr(),
                topic.as_ptr(),
                i32::from(partition),
            )
        };
        if queue.is_null() {
            return None;
        }
        // SAFETY: the queue is ours; no destination means that it is no longer forwarded.
        unsafe { sys::rd_kafka_queue_forward(queue, ptr::null_mut()) };
        Some(PartitionQueue {
            queue,
            messages: Vec::with_capacity(messages_max),
            shown: 0,
        })
    }

    /// Shows what lies in the queue, without waiting, at most as many as it was made for, until
    /// `visit` wants no more: the rest is shown at the next call. Returns how many were shown.
    pub fn drain(&mut self, mut visit: impl FnMut(Fetched) -> ControlFlow<()>) -> usize {
        if self.shown == self.messages.len() {
            self.take();
        }
        let first = self.shown;
        while let Some(native) = self.messages.get(self.shown).copied() {
            // SAFETY: the message is ours until it is destroyed below.
            let flow = visit(fetched(unsafe { &*native }));
            self.shown += 1;
            // SAFETY: nothing that was shown outlives the visit, and it is shown once.
            unsafe { sys::rd_kafka_message_destroy(native) };
            if flow.is_break() {
                break;
            }
        }
        self.shown - first
    }

    fn take(&mut self) {
        self.shown = 0;
        self.messages.clear();
        let capacity = self.messages.capacity();
        // SAFETY: the vector has room for so many pointers.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue, 0, self.messages.as_mut_ptr(), capacity)
        };
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: so many pointers were written.
        unsafe { self.messages.set_len(count) };
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        for native in &self.messages[self.shown..] {
            // SAFETY: ours, and never shown.
            unsafe { sys::rd_kafka_message_destroy(*native) };
        }
        // SAFETY: the queue is ours and not used afterwards.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) };
    }
}

fn fetched(message: &sys::rd_kafka_message_t) -> Fetched<'_> {
    use sys::rd_kafka_resp_err_t as code;
    match message.err {
        code::RD_KAFKA_RESP_ERR_NO_ERROR => Fetched::Record(record(message)),
        code::RD_KAFKA_RESP_ERR__PARTITION_EOF => Fetched::End {
            next_offset: message.offset,
        },
        code => {
            // SAFETY: both calls return static or message-owned C strings, or null.
            let text = unsafe {
                let text = sys::rd_kafka_message_errstr(message);
                let text = if text.is_null() {
                    sys::rd_kafka_err2str(code)
                } else {
                    text
                };
                CStr::from_ptr(text).to_string_lossy().into_owned()
            };
            Fetched::Error { code, text }
        }
    }
}

fn record(message: &sys::rd_kafka_message_t) -> Message<'_> {
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message lives; the library writes the kind.
    let timestamp_millis = unsafe { sys::rd_kafka_message_timestamp(message, &mut kind) };
    Message {
        offset: message.offset,
        timestamp_millis,
        is_append_time: kind == sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME,
        key: bytes(message.key, message.key_len),
        value: bytes(message.payload, message.len),
        native: message,
    }
}

fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the library gives null for absent, else so many bytes that live with the message.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), len) })
}

impl<'a> Message<'a> {
    /// Shows each header in order: name, value.
    pub fn headers(&self, mut visit: impl FnMut(&'a [u8], Option<&'a [u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives; headers, if any, live with it.
        let code = unsafe { sys::rd_kafka_message_headers(self.native, &mut headers) };
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return;
        }
        for index in 0.. {
            let mut name: *const c_char = ptr::null();
            let mut value: *const c_void = ptr::null();
            let mut len = 0;
            // SAFETY: out parameters of the right types; an index past the end is an error code.
            let code = unsafe {
                sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut len)
            };
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: a name is a C string that lives with the message.
            let name = unsafe { CStr::from_ptr(name) }.to_bytes();
            visit(name, bytes(value, len));
        }
    }
}

/// Whose commit a transaction's offsets are: fences a consumer that lost its place in the group.
pub struct GroupMetadata {
    native: *mut sys::rd_kafka_consumer_group_metadata_t,
}

// SAFETY: the object is immutable; it is freed once.
unsafe impl Send for GroupMetadata {}

impl GroupMetadata {
    pub fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<GroupMetadata> {
        // SAFETY: the client lives; what is returned is ours.
        let native =
            unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        (!native.is_null()).then_some(GroupMetadata { native })
    }

    /// For a commit to a group that has no members.
    pub fn of_nobody(group: &str) -> Option<GroupMetadata> {
        let group = CString::new(group).ok()?;
        // SAFETY: a C string; what is returned is ours.
        let native = unsafe { sys::rd_kafka_consumer_group_metadata_new(group.as_ptr()) };
        (!native.is_null()).then_some(GroupMetadata { native })
    }

    pub fn generation(&self) -> i32 {
        // SAFETY: the object lives.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.native) }
    }

    pub fn member(&self) -> String {
        // SAFETY: the object lives, and its C string with it.
        unsafe {
            let member = sys::rd_kafka_consumer_group_metadata_member_id(self.native);
            CStr::from_ptr(member).to_string_lossy().into_owned()
        }
    }

    /// Metadata read before the first join or after an eviction is accepted by brokers without any
    /// fencing; it must never be sent.
    pub fn is_fencing(&self) -> bool {
        self.generation() >= 0 && !self.member().is_empty()
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: ours, and not used afterwards.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.native) };
    }
}

/// An error of a transactional call.
#[derive(Clone, Debug)]
pub struct TransactionError {
    pub code: sys::rd_kafka_resp_err_t,
    pub text: String,
    pub is_fatal: bool,
    pub is_retriable: bool,
    pub must_abort: bool,
}

impl TransactionError {
    /// The same call may be made again: it goes on where it was.
    pub fn may_be_tried_again(&self) -> bool {
        self.is_retriable
            && !self.must_abort
            && !self.is_fatal
            && self.code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT
    }
}

pub fn send_offsets<C: ProducerContext>(
    producer: &BaseProducer<C>,
    offsets: &TopicPartitionList,
    metadata: &GroupMetadata,
) -> Result<(), TransactionError> {
    // SAFETY: all three live through the call; the error that is returned is ours.
    result(unsafe {
        sys::rd_kafka_send_offsets_to_transaction(
            producer.client().native_ptr(),
            offsets.ptr(),
            metadata.native,
            -1,
        )
    })
}

pub fn init<C: ProducerContext>(
    producer: &BaseProducer<C>,
    timeout_millis: i32,
) -> Result<(), TransactionError> {
    // SAFETY: the client lives; the error that is returned is ours.
    result(unsafe {
        sys::rd_kafka_init_transactions(producer.client().native_ptr(), timeout_millis)
    })
}

pub fn begin<C: ProducerContext>(producer: &BaseProducer<C>) -> Result<(), TransactionError> {
    // SAFETY: as above.
    result(unsafe { sys::rd_kafka_begin_transaction(producer.client().native_ptr()) })
}

/// Nothing may be in flight: what waits for a delivery report would block it. Other than that of
/// [`send_offsets`], its time is not bounded by the transaction's: without a limit it waits until
/// the brokers are back.
pub fn commit<C: ProducerContext>(
    producer: &BaseProducer<C>,
    timeout: Duration,
) -> Result<(), TransactionError> {
    // SAFETY: as above.
    result(unsafe {
        sys::rd_kafka_commit_transaction(producer.client().native_ptr(), millis(timeout))
    })
}

/// As [`commit`].
pub fn abort<C: ProducerContext>(
    producer: &BaseProducer<C>,
    timeout: Duration,
) -> Result<(), TransactionError> {
    // SAFETY: as above.
    result(unsafe {
        sys::rd_kafka_abort_transaction(producer.client().native_ptr(), millis(timeout))
    })
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

fn result(error: *mut sys::rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is ours until destroyed; its string lives with it.
    let found = unsafe {
        let found = TransactionError {
            code: sys::rd_kafka_error_code(error),
            text: CStr::from_ptr(sys::rd_kafka_error_string(error))
                .to_string_lossy()
                .into_owned(),
            is_fatal: sys::rd_kafka_error_is_fatal(error) != 0,
            is_retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            must_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        sys::rd_kafka_error_destroy(error);
        found
    };
    Err(found)
}

/// First offset and high watermark of a partition, as the newest fetch told them; None: there was
/// none yet.
pub fn last_known_ends<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: u16,
) -> Option<Offsets> {
    let topic = CString::new(topic).ok()?;
    let (mut first, mut next) = (-1, -1);
    // SAFETY: the client lives, the topic is a C string, the library writes both numbers.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            i32::from(partition),
            &mut first,
            &mut next,
        )
    };
    let is_known = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && next >= 0;
    is_known.then_some(Offsets { first, next })
}

/// The fatal error of a client, if it has one: (code, text).
pub fn fatal_error<C: ClientContext>(
    client: &rdkafka::client::Client<C>,
) -> Option<(sys::rd_kafka_resp_err_t, String)> {
    let mut text = [0; 512];
    // SAFETY: the buffer has the length that is told.
    let code =
        unsafe { sys::rd_kafka_fatal_error(client.native_ptr(), text.as_mut_ptr(), text.len()) };
    (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| {
        // SAFETY: the library ends what it writes.
        let text = unsafe { CStr::from_ptr(text.as_ptr()) };
        (code, text.to_string_lossy().into_owned())
    })
}
