//! The inputs of one partition: what was fetched, decoded and not folded yet, and the order in
//! which it is folded (`engine.md` 7).
//!
//! The record with the smallest recorded time comes next; ties: accounts first. An input with
//! nothing at hand is passed over only where it is proven empty.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::billing::time::Instant;
use crate::ports::log::{Halt, HaltCode};
use crate::ports::{Batch, InputEnd, Original, Piece, Record, Slot};
use crate::wire::journal::WriterSchema;
use crate::wire::kafka_record::{Outcome, RecordDecoder, TEXT_BYTES_PER_RECORD_MAX};
use crate::wire::record_bytes::{self, LogRecord};
use crate::wire::span::TEXT_BYTES_MAX;

use super::native::{Fetched, Message, PartitionQueue};

/// Records fetched from an input at a time.
pub const FETCH_RECORDS_MAX: usize = 2_048;
/// No more is taken out of the queue once so many bytes wait to be decoded.
pub const UNDECODED_BYTES_MAX: usize = 8 << 20;
/// A recorded time so far after the wall clock is waited for.
const AHEAD_MILLIS_MAX: i64 = 10 * 60 * 1_000;
/// In record-time mode: a jump of the clock that halts.
const JUMP_MILLIS_MAX: i64 = 400 * 24 * 60 * 60 * 1_000;

/// One input of one partition.
pub struct Input {
    pub topic: String,
    index: u32,
    queue: Option<PartitionQueue>,
    /// Decoded records, oldest piece first; the first of them is folded up to `folded`.
    pieces: VecDeque<Arc<Piece>>,
    folded: usize,
    /// Canonical bytes of records that wait for a schema, and where each lies.
    undecoded: Vec<u8>,
    undecoded_at: VecDeque<Range<usize>>,
    /// The next offset to fetch.
    pub next_offset: i64,
    /// Everything before `next_offset` was handed out, and nothing followed when it was looked at.
    is_at_end: bool,
    /// A high watermark that was asked for after everything at hand had been received.
    proof: Option<i64>,
    has_append_time: bool,
    /// Why nothing more can be fetched, if the newest try failed.
    fetch_fault: Option<String>,
    /// Writer schemas that the journal knows from here: id to whether it was denied.
    journaled: BTreeMap<u32, bool>,
}

/// What fetching found that is no record.
pub enum Trouble {
    Halt(Halt),
    /// The registry is to be asked.
    SchemaWanted(u32),
    /// The fetch position is gone, before or beyond the log.
    OutOfRange(String),
    Denied(String),
}

/// All inputs of one partition, and the clock that its records have come to.
pub struct Inputs {
    pub partition: u16,
    pub inputs: Vec<Input>,
    pub decoder: RecordDecoder,
    pub clock: Option<Instant>,
    pub is_record_time: bool,
    pub wait_reason: Option<String>,
}

impl Input {
    pub fn new(topic: &str, index: u32) -> Input {
        Input {
            topic: topic.to_owned(),
            index,
            queue: None,
            pieces: VecDeque::new(),
            folded: 0,
            undecoded: Vec::new(),
            undecoded_at: VecDeque::new(),
            next_offset: 0,
            is_at_end: false,
            proof: None,
            has_append_time: false,
            fetch_fault: None,
            journaled: BTreeMap::new(),
        }
    }

    pub fn attach(&mut self, queue: PartitionQueue) {
        self.queue = Some(queue);
    }

    /// Begins anew at `next_offset`: what was read ahead is dropped.
    pub fn reset(&mut self, next_offset: i64) {
        if let Some(queue) = &mut self.queue {
            while queue.drain(|_| ControlFlow::Continue(())) > 0 {}
        }
        self.pieces.clear();
        self.folded = 0;
        self.undecoded.clear();
        self.undecoded_at.clear();
        self.next_offset = next_offset;
        self.is_at_end = false;
        self.proof = None;
        self.journaled.clear();
    }

    /// Takes in a record that comes from no queue, in canonical bytes.
    pub fn push(&mut self, offset: i64, bytes: &[u8]) {
        if self.undecoded_at.is_empty() {
            self.undecoded.clear();
        }
        let start = self.undecoded.len();
        self.undecoded.extend_from_slice(bytes);
        self.undecoded_at.push_back(start..self.undecoded.len());
        self.next_offset = offset + 1;
        self.is_at_end = false;
    }

    /// The end was reached; the next record will have `next_offset` or a later one.
    pub fn reach_end(&mut self, next_offset: i64) {
        self.next_offset = self.next_offset.max(next_offset);
        self.is_at_end = true;
    }

    /// The record that is handed out next, if one is at hand.
    pub fn head(&self) -> Option<&Record> {
        self.pieces.front().map(|piece| &piece.records[self.folded])
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.undecoded_at.is_empty()
    }

    /// Everything up to the end was handed out.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end && self.is_empty()
    }

    /// Nothing lies before the high watermark that was asked for.
    fn is_proven_empty(&self) -> bool {
        self.is_empty() && self.proof.is_some_and(|high| self.next_offset >= high)
    }

    pub fn prove(&mut self, high: i64) {
        self.proof = Some(high);
    }

    /// Fetches and decodes what is there, unless enough is at hand.
    fn fetch(&mut self, decoder: &mut RecordDecoder, recycled: &mut Vec<Piece>) -> Option<Trouble> {
        if !self.pieces.is_empty() {
            return None;
        }
        if self.undecoded_at.is_empty() {
            self.undecoded.clear();
            self.undecoded.shrink_to(UNDECODED_BYTES_MAX);
            if let Some(trouble) = self.receive() {
                return Some(trouble);
            }
        }
        self.decode(decoder, recycled)
    }

    /// Takes what lies in the queue, in canonical bytes.
    fn receive(&mut self) -> Option<Trouble> {
        let Some(queue) = &mut self.queue else {
            return None;
        };
        let (mut trouble, index) = (None, self.index as u8);
        let Input {
            undecoded,
            undecoded_at,
            next_offset,
            is_at_end,
            has_append_time,
            fetch_fault,
            topic,
            ..
        } = self;
        queue.drain(|fetched| {
            match fetched {
                // A seek may leave records of before it in the queue.
                Fetched::Record(message) if message.offset < *next_offset || trouble.is_some() => {}
                Fetched::Record(message) if *has_append_time && !message.is_append_time => {
                    trouble = Some(Trouble::Halt(timestamp_type(topic, message.offset)));
                }
                Fetched::Record(message) => {
                    *has_append_time = message.is_append_time;
                    *next_offset = message.offset + 1;
                    *is_at_end = false;
                    *fetch_fault = None;
                    undecoded_at.push_back(append(undecoded, index, &message));
                }
                Fetched::End { next_offset: end } => {
                    *next_offset = (*next_offset).max(end);
                    *is_at_end = true;
                    *fetch_fault = None;
                }
                Fetched::Error { code, text } => {
                    let found = error(topic, code, text, fetch_fault);
                    trouble = trouble.take().or(found);
                }
            }
            enough(undecoded)
        });
        trouble
    }

    fn decode(
        &mut self,
        decoder: &mut RecordDecoder,
        recycled: &mut Vec<Piece>,
    ) -> Option<Trouble> {
        let mut trouble = None;
        let mut piece = recycled.pop().unwrap_or_default();
        piece.clear();
        piece.input = self.index;
        while let Some(range) = self.undecoded_at.front().cloned() {
            let room = TEXT_BYTES_MAX - TEXT_BYTES_PER_RECORD_MAX;
            if piece.text.input.len().max(piece.text.side.len()) > room {
                break;
            }
            let bytes = &self.undecoded[range];
            let record = match LogRecord::read(bytes) {
                Ok(record) => record,
                Err(fault) => unreachable!("this process wrote it: {fault}"),
            };
            let decoded = match decoder.decode(&record, &mut piece.text) {
                Outcome::Decoded(decoded) => decoded,
                Outcome::SchemaWanted(id) => {
                    trouble = Some(Trouble::SchemaWanted(id));
                    break;
                }
                Outcome::WrongPartition { detail, .. } => {
                    trouble = Some(Trouble::Halt(Halt::new(
                        HaltCode::WrongPartition,
                        format!(
                            "{} offset {}: {detail}: a producer uses another partitioner; mend it, then \
                             set on_wrong_partition = \"dead_letter\" to pass over what it left",
                            self.topic, record.offset
                        ),
                    )));
                    break;
                }
            };
            if let Some(id) = decoder.schema_used() {
                let text = decoder.schema_text(id);
                let is_denied = text.is_none();
                if self.journaled.insert(id, is_denied) != Some(is_denied) {
                    let text = text.map(str::to_owned);
                    let schema = WriterSchema { id, text };
                    piece.schemas.push((piece.records.len() as u32, schema));
                }
            }
            let start = piece.raw.len();
            piece.raw.extend_from_slice(bytes);
            piece.records.push(Record {
                line: record.offset as u64,
                decoded,
                original: Original::Bytes(start..piece.raw.len()),
            });
            self.undecoded_at.pop_front();
        }
        if !piece.records.is_empty() {
            self.pieces.push_back(Arc::new(piece));
            self.folded = 0;
            return None;
        }
        recycled.push(piece);
        trouble
    }
}

impl Inputs {
    pub fn new(
        partition: u16,
        topics: &[String],
        decoder: RecordDecoder,
        is_record_time: bool,
    ) -> Inputs {
        let inputs = (0..)
            .zip(topics)
            .map(|(index, topic)| Input::new(topic, index));
        Inputs {
            partition,
            inputs: inputs.collect(),
            decoder,
            clock: None,
            is_record_time,
            wait_reason: None,
        }
    }

    pub fn fetch(&mut self, recycled: &mut Vec<Piece>) -> Option<Trouble> {
        let Inputs {
            inputs,
            decoder,
            wait_reason,
            ..
        } = self;
        let ends: Vec<i64> = inputs.iter().map(|input| input.next_offset).collect();
        let trouble = inputs
            .iter_mut()
            .find_map(|input| input.fetch(decoder, recycled));
        *wait_reason = inputs.iter().find_map(|input| input.fetch_fault.clone());
        let has_received = inputs.iter().map(|input| input.next_offset).ne(ends);
        if has_received {
            self.forget_proofs();
        }
        trouble
    }

    /// An input has nothing at hand while another has: it must be proven empty first.
    pub fn wants_proof(&self) -> bool {
        let has_record = self.inputs.iter().any(|input| input.head().is_some());
        let is_unproven = |input: &Input| input.is_empty() && !input.is_proven_empty();
        has_record && self.inputs.iter().any(is_unproven)
    }

    /// All inputs have handed out everything up to a high watermark asked for after that.
    pub fn is_proven_empty(&self) -> bool {
        self.inputs.iter().all(Input::is_proven_empty)
    }

    pub fn is_at_end(&self) -> bool {
        self.inputs.iter().all(Input::is_at_end)
    }

    /// A proof holds for what was at hand when it was asked for.
    pub fn forget_proofs(&mut self) {
        self.inputs.iter_mut().for_each(|input| input.proof = None);
    }

    /// Adds to `batch` what may be folded now, in order. Returns whether there was anything.
    pub fn hand_out(&mut self, batch: &mut Batch, wall_millis: i64) -> Result<bool, Halt> {
        let mut numbers: Vec<Option<u32>> = vec![None; self.inputs.len()];
        let mut has_any = false;
        while let Some(index) = self.next_input() {
            let input = &self.inputs[index];
            let Some(record) = input.head() else { break };
            let recorded = record.decoded.recorded;
            if let Some(recorded) = recorded {
                if !(Instant::EPOCH..Instant::END).contains(&recorded) {
                    if has_any {
                        break;
                    }
                    return Err(self.clock_jump(index, recorded));
                }
                if !self.is_record_time && recorded.millis() - wall_millis > AHEAD_MILLIS_MAX {
                    self.wait_reason = Some(format!(
                        "CLOCK_JUMP: {} offset {} was recorded at {recorded}, more than 10 minutes after \
                         this machine's clock; goes on when that time has come",
                        input.topic, record.line
                    ));
                    break;
                }
                if self.is_record_time && !record.decoded.is_tick && self.is_jump(recorded) {
                    if has_any {
                        break;
                    }
                    return Err(self.clock_jump(index, recorded));
                }
            }
            self.clock = self.clock.max(recorded);
            let piece = *numbers[index].get_or_insert_with(|| {
                batch.pieces.push(Arc::clone(&self.inputs[index].pieces[0]));
                batch.pieces.len() as u32 - 1
            });
            let input = &mut self.inputs[index];
            let slot = Slot {
                piece,
                record: input.folded as u32,
                clock: self.clock,
            };
            batch.push(slot, self.partition);
            has_any = true;
            input.folded += 1;
            if input.folded == input.pieces[0].records.len() {
                input.pieces.pop_front();
                input.folded = 0;
                numbers[index] = None;
            }
        }
        for input in &self.inputs {
            if input.is_at_end() {
                batch.ends.push(InputEnd {
                    partition: self.partition,
                    input: input.index,
                    next_offset: input.next_offset,
                });
            }
        }
        Ok(has_any)
    }

    /// The input whose record comes next; None: there is none, or it is not certain yet.
    fn next_input(&mut self) -> Option<usize> {
        // Later inputs win ties: accounts stand after the usage topic.
        let heads = (0..).zip(&self.inputs).filter_map(|(index, input)| {
            let record = input.head()?;
            Some((record.decoded.recorded, std::cmp::Reverse(index)))
        });
        let (_, std::cmp::Reverse(index)) = heads.min()?;
        let others = (0..).zip(&self.inputs).filter(|(other, _)| *other != index);
        for (_, other) in others {
            if other.head().is_none() && !other.is_proven_empty() {
                self.wait_reason = Some(format!("{} is not proven empty yet", other.topic));
                return None;
            }
        }
        Some(index)
    }

    fn is_jump(&self, recorded: Instant) -> bool {
        self.clock
            .is_some_and(|clock| recorded.millis() - clock.millis() > JUMP_MILLIS_MAX)
    }

    fn clock_jump(&self, index: usize, recorded: Instant) -> Halt {
        let input = &self.inputs[index];
        let offset = input.head().map_or(0, |record| record.line);
        let (topic, millis) = (&input.topic, recorded.millis());
        Halt::new(
            HaltCode::ClockJump,
            format!(
                "{topic} offset {offset} has the timestamp {millis} ms, more than 400 days after the \
                 clock or out of the range of years; if that is right: meterfold recover --partition {} \
                 --accept-clock {topic}:{offset}",
                self.partition
            ),
        )
    }
}

/// Appends a message in its canonical bytes.
pub(super) fn append(out: &mut Vec<u8>, input: u8, message: &Message) -> Range<usize> {
    let mut headers = Vec::new();
    message.headers(|name, value| headers.push((name, value)));
    let recorded = Instant::from_millis(message.timestamp_millis);
    record_bytes::append(
        out,
        input,
        message.offset,
        recorded,
        message.key,
        headers,
        message.value,
    )
}

/// Whether to take more out of a queue.
pub(super) fn enough(taken: &[u8]) -> ControlFlow<()> {
    match taken.len() < UNDECODED_BYTES_MAX {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    }
}

fn timestamp_type(topic: &str, offset: i64) -> Halt {
    Halt::new(
        HaltCode::TimestampType,
        format!(
            "{topic} offset {offset} has its producer's timestamp, after records with the log's: set \
             message.timestamp.type=LogAppendTime on the topic again"
        ),
    )
}

fn error(
    topic: &str,
    code: rdkafka_sys::rd_kafka_resp_err_t,
    text: String,
    fetch_fault: &mut Option<String>,
) -> Option<Trouble> {
    use rdkafka_sys::rd_kafka_resp_err_t as codes;
    Some(match code {
        codes::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE
        | codes::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => {
            Trouble::OutOfRange(format!("{topic}: {text}"))
        }
        code if super::error_class::is_denied(code) => Trouble::Denied(format!("{topic}: {text}")),
        _ => {
            // The client tries again by itself, and passes over nothing.
            tracing::warn!(event = "fetch_error", topic, "{text}");
            let remedy = match code {
                codes::RD_KAFKA_RESP_ERR__BAD_COMPRESSION => {
                    ": it may unpack to more than receive.message.max.bytes: raise that in [kafka]"
                }
                _ => "",
            };
            *fetch_fault = Some(format!("{topic}: {text}{remedy}"));
            return None;
        }
    })
}
