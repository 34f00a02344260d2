//! What a worker on Kafka folds next: fetching, proofs of emptiness, and the clock of idle
//! partitions (`engine.md` 7).

use std::time::{Duration, Instant as Monotonic};

use rdkafka::consumer::BaseConsumer;

use crate::billing::time::Instant;
use crate::ports::Batch;
use crate::ports::log::{Halt, HaltCode, Happening, LogError};
use crate::telemetry::labels::Step;

use super::client_errors::Asking;
use super::input::{Inputs, Trouble};
use super::kept::watermarks;
use super::log::{KafkaLog, wall_millis};

/// An idle partition's inputs are asked for their ends this often at most.
const IDLE_ASK_INTERVAL: Duration = Duration::from_secs(1);
/// The clock of an idle partition moves at least so often.
const IDLE_CLOCK_MILLIS: i64 = 60 * 60 * 1_000;

impl KafkaLog {
    /// Fetches, proves and hands out what may be folded now.
    pub(super) fn fetch(&mut self) -> Result<Option<Happening>, LogError> {
        // What others handed out beside it is folded by now: it is handed out only once.
        if let Some((number, halt)) = self.halts.pop_first() {
            return Ok(Some(Happening::Halted(number, halt)));
        }
        let decoders = self
            .owned
            .values_mut()
            .map(|owned| &mut owned.inputs.decoder);
        self.schemata.answers(decoders);
        let began = Monotonic::now();
        let wall_millis = wall_millis();
        let numbers: Vec<u16> = self.owned.keys().copied().collect();
        let mut batch = Batch::new(self.rules.partitions, None, self.first_number);
        let mut has_any = false;
        for number in numbers {
            let Some(owned) = self.owned.get_mut(&number) else {
                continue;
            };
            if !owned.is_begun || owned.is_held {
                continue;
            }
            match owned.inputs.fetch(&mut self.recycled) {
                None => {}
                Some(Trouble::Halt(halt)) => {
                    self.halts.insert(number, halt);
                    continue;
                }
                Some(Trouble::SchemaWanted(id)) => {
                    owned.inputs.wait_reason = Some(self.schemata.ask(id));
                }
                Some(Trouble::OutOfRange(text)) => {
                    if let Some(halt) = self.out_of_range(number, &text)? {
                        self.halts.insert(number, halt);
                    }
                    continue;
                }
                Some(Trouble::Denied(text)) => return Err(self.denied(Step::Decode, text)),
            }
            if owned.inputs.wants_proof() {
                ask_ends(&self.asker, &mut owned.inputs)?;
            }
            match owned.inputs.hand_out(&mut batch, wall_millis) {
                Ok(has_records) => has_any |= has_records,
                Err(halt) => drop(self.halts.insert(number, halt)),
            }
        }
        if !has_any {
            return Ok(None);
        }
        self.telemetry.step(Step::Decode, began.elapsed());
        self.first_number += batch.slots.len() as u64;
        Ok(Some(Happening::Batch(batch)))
    }

    /// The clock of an idle partition, where it may and should move.
    pub(super) fn idle_clock(&mut self) -> Result<Option<Happening>, LogError> {
        if self.is_record_time
            || self
                .wall_rests_until
                .is_some_and(|until| until > Monotonic::now())
        {
            return Ok(None);
        }
        for (number, owned) in &mut self.owned {
            let wall_millis = wall_millis();
            let clock = Instant::from_millis(wall_millis - self.idle_margin_millis);
            let is_due = owned.wake_at.is_some_and(|due| due <= clock)
                || wall_millis - owned.clock_moved_millis >= IDLE_CLOCK_MILLIS;
            let is_asked = owned
                .idle_asked_at
                .is_some_and(|at| at.elapsed() < IDLE_ASK_INTERVAL);
            let is_new = owned.inputs.clock.is_none_or(|now| clock > now);
            if !owned.is_begun
                || owned.is_held
                || !is_due
                || is_asked
                || !is_new
                || !owned.inputs.is_at_end()
            {
                continue;
            }
            owned.idle_asked_at = Some(Monotonic::now());
            owned.inputs.forget_proofs();
            ask_ends(&self.asker, &mut owned.inputs)?;
            if owned.inputs.is_proven_empty() {
                owned.clock_moved_millis = wall_millis;
                owned.inputs.clock = Some(clock);
                return Ok(Some(Happening::Clock {
                    partition: *number,
                    clock,
                    wall_millis,
                }));
            }
        }
        Ok(None)
    }

    /// The broker does not have what was to be fetched. Believed only where the log's ends say so
    /// too; else it is fetched again from the same position.
    pub(super) fn out_of_range(
        &mut self,
        partition: u16,
        text: &str,
    ) -> Result<Option<Halt>, LogError> {
        let Some(owned) = self.owned.get(&partition) else {
            return Ok(None);
        };
        for input in &owned.inputs.inputs {
            let (topic, next) = (&input.topic, input.next_offset);
            let Some(offsets) = watermarks(&self.asker, topic, partition)? else {
                continue;
            };
            if next < offsets.first {
                return Ok(Some(Halt::new(
                    HaltCode::RetentionPassedUs,
                    format!(
                        "{topic}: records {next} to {} are gone before they were folded: meterfold \
                         recover --partition {partition} --accept-gap {topic}:{next}..{}",
                        offsets.first - 1,
                        offsets.first
                    ),
                )));
            }
            if next > offsets.next {
                return Ok(Some(Halt::new(
                    HaltCode::LogTruncated,
                    format!(
                        "{topic}: the log ends at {}, before position {next} that was read already: \
                         records were lost by the brokers (unclean election?)",
                        offsets.next
                    ),
                )));
            }
            let (first, end) = (offsets.first, offsets.next);
            tracing::info!(
                event = "fetch_again",
                partition,
                "{topic}: {text}; the log holds {first} to {end}, fetching again from {next}"
            );
        }
        self.seek(partition)?;
        Ok(None)
    }
}

/// Asks for the high watermark of every input.
fn ask_ends(asker: &BaseConsumer<Asking>, inputs: &mut Inputs) -> Result<(), LogError> {
    let partition = inputs.partition;
    for input in &mut inputs.inputs {
        if input.is_empty()
            && let Some(offsets) = watermarks(asker, &input.topic, partition)?
        {
            input.prove(offsets.next);
        }
    }
    Ok(())
}
