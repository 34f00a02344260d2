//! What operators decided, done again as `recover` did it.

use std::sync::Arc;

use crate::ports::Store;
use crate::ports::evidence::Records;
use crate::processor::recover::{self, Decision, RecoverError};
use crate::store::cells::read_meta;
use crate::wire::journal::Kind;

use super::Refold;
use crate::processor::audit::Stop;
use crate::processor::audit::chain::{Sealed, read_book};
use crate::processor::audit::difference::{different, journal_differs};
use crate::processor::audit::input::Input;

impl<S: Store> Refold<'_, S> {
    /// The commit that a decision made.
    pub(super) fn decide<R: Records>(
        &mut self,
        sealed: &Sealed,
        text: &str,
        inputs: &mut [Input<R>],
    ) -> Result<(), Stop> {
        let Kind::Operator { reason, .. } = &sealed.record.kind else {
            unreachable!("the caller has looked")
        };
        let Some(decision) = Decision::of_journal(text, &sealed.record) else {
            return Err(different(sealed, "decision", text, "none that there is"));
        };
        let is_compared = self.purpose.book.is_none();
        let partition = self.close();
        let (number, mut book) = (partition.number(), partition.shared_book());
        let mut store = partition.into_store();
        let meta = read_meta(&store)?.unwrap_or_default();
        let staged =
            recover::stage(number, meta, &decision, reason).map_err(|error| match error {
                RecoverError::Refused(text) => {
                    different(sealed, "decision", &decision.text(), &text)
                }
                RecoverError::Log(error) => Stop::Store(error.to_string()),
            })?;
        let journal = staged
            .log
            .as_ref()
            .map(|log| log.journal.as_slice())
            .unwrap_or_default();
        if is_compared && journal != sealed.encoded {
            return Err(journal_differs(sealed, journal));
        }
        store.apply(&staged.changes)?;
        if let Decision::AcceptGap { topic, to, .. } = &decision {
            let gap = inputs.iter_mut().filter(|input| input.topic == *topic);
            gap.for_each(|input| {
                input.skip_below = *to;
                input.gaps.push(sealed.record.sequence);
            });
        }
        if let Some(text) = sealed.record.book_text.as_ref().filter(|_| is_compared) {
            book = Arc::new(read_book(text, sealed)?);
        }
        self.open(number, store, book)?;
        self.step = sealed.record.timer_cursor.as_ref().and(sealed.record.clock);
        Ok(())
    }
}
