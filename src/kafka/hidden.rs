//! Outputs of a partition whose ends an open transaction hides.
//!
//! A transaction that its coordinator has given up, but whose end never came to a partition, stays
//! open there: brokers lose such ends when they start again. The next end of the same producer would
//! end it too, and show readers what was never committed. So no partition begins before everything
//! that was written to its outputs is settled.

use crate::ports::log::{Hidden, LogError};

use super::kept::watermarks;
use super::log::KafkaLog;

impl KafkaLog {
    /// Asks for the ends of the outputs once, then until the last stable offset has come to each:
    /// what others append meanwhile is theirs.
    pub(super) fn look_for_hidden(
        &mut self,
        partition: u16,
    ) -> Result<Option<Vec<Hidden>>, LogError> {
        let Some(owned) = self.owned.get_mut(&partition) else {
            return Ok(None);
        };
        let unsettled = match owned.unsettled.take() {
            Some(unsettled) => unsettled,
            None => {
                let mut ends = Vec::with_capacity(self.outputs.len());
                for topic in &self.outputs {
                    let Some(offsets) = watermarks(&self.asker, topic, partition)? else {
                        return Ok(None);
                    };
                    ends.push((topic.clone(), offsets.next));
                }
                ends
            }
        };
        let mut hidden = Vec::new();
        let mut still = Vec::new();
        for (topic, end) in unsettled {
            // The worker's own consumer reads committed records: its end is the last stable offset.
            let stable = watermarks(&self.consumer, &topic, partition)?.map(|it| it.next);
            if stable.is_some_and(|stable| stable >= end) {
                continue;
            }
            if let Some(from) = stable {
                hidden.push(Hidden {
                    topic: topic.clone(),
                    from,
                });
            }
            still.push((topic, end));
        }
        let is_answered = hidden.len() == still.len();
        owned.unsettled = Some(still);
        Ok(is_answered.then_some(hidden))
    }
}
