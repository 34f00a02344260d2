//! What the twin's cluster answers a worker: records that arrive, ends of inputs, kept topics,
//! transactions that hang.

use crate::ports::log::Kept;

use super::super::input::Inputs;
use super::Shared;
use super::topic::{State, Topic};

/// Records of an input that arrive at a time, at most.
const ARRIVING_MAX: usize = 12;

impl Shared {
    /// Some of the records that lie behind the position of each input.
    pub(super) fn arrive(&mut self, partition: u16, inputs: &mut Inputs) {
        let at = usize::from(partition);
        let mut has_received = false;
        for index in 0..inputs.inputs.len() {
            if !inputs.inputs[index].is_empty() {
                continue;
            }
            let count = self.below(ARRIVING_MAX);
            let input = &mut inputs.inputs[index];
            let records = &self.inputs[index][at];
            let from = records.partition_point(|(offset, _)| *offset < input.next_offset);
            for (offset, bytes) in records[from..].iter().take(count) {
                input.push(*offset, bytes);
                has_received = true;
            }
            if records.len() - from <= count {
                input.reach_end(self.ends[index][at]);
            }
        }
        if has_received {
            inputs.forget_proofs();
        }
    }

    /// High watermarks of the inputs that have nothing at hand.
    pub(super) fn prove(&mut self, partition: u16, inputs: &mut Inputs) {
        for index in 0..inputs.inputs.len() {
            let once_in = self.odds.silence;
            if inputs.inputs[index].is_empty() && !self.happens(once_in, "silence") {
                inputs.inputs[index].prove(self.ends[index][usize::from(partition)]);
            }
        }
    }

    pub(super) fn kept(&self, topic: Kept, partition: u16) -> &Topic {
        match topic {
            Kept::Changelog => &self.changelog[usize::from(partition)],
            Kept::Journal => &self.journal[usize::from(partition)],
        }
    }

    /// A transaction that hangs is ended by its time-out some time.
    pub(super) fn end_hanging(&mut self) {
        if self.below(3) == 0 {
            self.end_open(|_| true);
        }
    }

    pub(super) fn is_pending(&self, partition: u16) -> bool {
        self.transactions.iter().any(|it| {
            it.state == State::Open && it.offsets.iter().any(|(number, ..)| *number == partition)
        })
    }
}
