//! The error table of `engine.md` 3: what becomes of a transaction that failed, and of its producer.

use std::time::Instant as Monotonic;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka_sys::rd_kafka_resp_err_t as code;

use crate::ports::log::{LogError, Outcome};
use crate::telemetry::labels::{ErrorClass, FencedBy, Step, TransactionResult};

use super::super::deliveries::drain;
use super::super::error_class::{is_denied, is_fenced, is_old_member, is_unknown_producer};
use super::super::native::{self, TransactionError};
use super::{ABORTS_IN_A_ROW_MAX, End, Transactions, unsure};

impl Transactions {
    /// The error table: the first row that matches.
    pub(super) fn failed(&mut self, step: Step, error: TransactionError) -> Result<End, LogError> {
        let reason = format!("{}: {}", step.name(), error.text);
        tracing::warn!(event = "transaction_failed", step = step.name(), code = ?error.code, "{reason}");
        let is_late = error.code == code::RD_KAFKA_RESP_ERR__TIMED_OUT;
        if is_late || error.may_be_tried_again() {
            if let Step::Commit = step {
                self.telemetry.commit_outcome_unknown();
            }
            self.telemetry.error(step, ErrorClass::Retriable);
            self.ended(TransactionResult::TimedOut);
            self.give_up();
            return Ok(timed_out(reason));
        }
        if error.code == code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID {
            self.telemetry.error(step, ErrorClass::Fenced);
            self.telemetry.fenced(FencedBy::Member);
            self.ended(TransactionResult::Fenced);
            self.give_up();
            return Err(LogError::Replaced(reason));
        }
        if is_fenced(error.code) {
            return Ok(self.fenced(step, reason));
        }
        self.ended(TransactionResult::Aborted);
        if is_unknown_producer(error.code) {
            self.telemetry.error(step, ErrorClass::Fatal);
            self.give_up();
            return Ok(unsure(reason));
        }
        if is_denied(error.code) {
            return Err(self.denied(step, error.text));
        }
        if error.must_abort {
            if is_old_member(error.code) {
                self.telemetry.fenced(FencedBy::Generation);
            }
            self.telemetry.error(step, ErrorClass::Abortable);
            self.abort()?;
            return Ok(unsure(reason));
        }
        if error.is_fatal {
            self.telemetry.error(step, ErrorClass::Fatal);
            self.give_up();
            return Ok(unsure(reason));
        }
        panic!(
            "transactions: {reason} ({:?}): neither to be tried again nor aborted",
            error.code
        );
    }

    /// A record could not be produced, or was not delivered.
    pub(super) fn refused(&mut self, error: KafkaError) -> Result<End, LogError> {
        let producer = self.made();
        if let Some((fatal, text)) = native::fatal_error(producer.client()) {
            if is_fenced(fatal) {
                return Ok(self.fenced(Step::Produce, text));
            }
            self.telemetry.error(Step::Produce, ErrorClass::Fatal);
            self.ended(TransactionResult::Aborted);
            self.give_up();
            return Ok(unsure(text));
        }
        self.ended(TransactionResult::Aborted);
        let reason = format!("produce: {error}");
        let found = error.rdkafka_error_code();
        self.abort()?;
        match found {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Err(LogError::Failed(format!(
                "{reason}: an output is larger than its topic takes; raise max.message.bytes of that \
                 topic to 2 MiB (meterfold topics check)"
            ))),
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed,
            ) => Err(self.denied(Step::Produce, reason)),
            Some(RDKafkaErrorCode::PolicyViolation | RDKafkaErrorCode::InvalidRecord) => Err(
                LogError::Failed(format!("{reason}: an output topic refuses its records")),
            ),
            _ => {
                self.telemetry.error(Step::Produce, ErrorClass::Abortable);
                Ok(unsure(reason))
            }
        }
    }

    fn fenced(&mut self, step: Step, reason: String) -> End {
        self.telemetry.error(step, ErrorClass::Fenced);
        self.telemetry.fenced(FencedBy::Producer);
        self.ended(TransactionResult::Fenced);
        self.give_up();
        let is_second = self
            .fenced_at
            .replace(Monotonic::now())
            .is_some_and(|at| at.elapsed() < self.timeouts.session);
        if is_second {
            return End::Fenced(reason);
        }
        // A transaction that was open for too long is fenced as well, with no rival.
        timed_out(reason)
    }

    pub(super) fn abort(&mut self) -> Result<(), LogError> {
        self.aborts_in_a_row += 1;
        if self.aborts_in_a_row >= ABORTS_IN_A_ROW_MAX {
            self.aborts_in_a_row = 0;
            self.give_up();
            return Ok(());
        }
        if let Some(producer) = &self.producer {
            producer.purge(rdkafka::producer::PurgeConfig::default().queue());
            drain(producer, self.time_left());
        }
        match self.end_by(native::abort) {
            Ok(()) => {}
            Err(error) if is_denied(error.code) => {
                return Err(self.denied(Step::Commit, error.text));
            }
            Err(error) => {
                tracing::warn!(event = "abort_failed", code = ?error.code, "abort: {}", error.text);
                self.telemetry.error(Step::Commit, ErrorClass::Fatal);
                self.give_up();
            }
        }
        Ok(())
    }

    /// The next commit makes a new producer.
    fn give_up(&mut self) {
        self.producer = None;
        self.telemetry.producer_rebuilt();
    }

    pub(super) fn ended(&self, result: TransactionResult) {
        self.telemetry.transaction(result, self.began.elapsed());
    }

    pub(super) fn denied(&self, step: Step, text: String) -> LogError {
        self.telemetry.error(step, ErrorClass::Auth);
        LogError::Denied(text)
    }
}

fn timed_out(reason: String) -> End {
    End::Done(Outcome::Unsure {
        reason,
        is_timeout: true,
    })
}
