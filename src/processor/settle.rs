//! What an earlier owner of a partition may have left open.
//!
//! Everything that was written to its outputs must be settled before it begins: a transaction whose
//! end was lost stays open there, and the next end of the same producer would show readers what was
//! never committed.

use crate::ports::Store;
use crate::ports::log::{Hidden, Log};

use super::start::{Phase, Start, StartError, Step};

impl<S: Store> Start<S> {
    pub(super) fn settle<L: Log>(&mut self, log: &mut L) -> Result<Step<S>, StartError> {
        let partition = self.partition;
        let Some(hidden) = log.hidden_outputs(partition)? else {
            return Ok(self.wait(Phase::Settle, "transactions or outputs do not answer yet"));
        };
        let Some(Hidden { topic, from }) = hidden.first() else {
            return Ok(self.go_on(Phase::Compare));
        };
        let reason = format!(
            "an open transaction hides {topic} from offset {from} on; the brokers end it when its time \
             is over; if it stays, its end was lost: kafka-transactions.sh --bootstrap-server \
             HOST:PORT abort --topic {topic} --partition {partition} --start-offset {from}"
        );
        Ok(self.wait(Phase::Settle, reason))
    }
}
