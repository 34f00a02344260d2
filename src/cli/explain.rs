//! `meterfold explain`: how a month of a team came to its amount, from the events on.
//!
//! The inputs are folded again, by the one loop there is, for one team; [`collect`] watches it.
//! Nothing is billed a second time: [`proof`] compares what was watched with the invoice of the
//! same fold, and a difference is a broken invariant.

mod args;
mod chart;
pub mod collect;
mod document;
pub mod explanation;
mod from_log;
mod html;
pub mod json;
mod line;
mod moves;
mod observer;
pub mod one_team;
pub mod proof;
mod sections;
mod text;
mod words;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use crate::billing::account::TeamAccount;
use crate::billing::amount::Overflow;
use crate::billing::context::Broken;
use crate::billing::invoice::{carry_over, invoice};
use crate::billing::rate_book::{MeterNo, RateBook};
use crate::billing::time::{Instant, Month};
use crate::billing::timers::is_invoiced;
use crate::files::merge::{FileSource, total_bytes};
use crate::ports::{Committer, Source, Staged};
use crate::processor::partition::{Partition, PartitionError};
use crate::processor::{Progress, RunError};
use crate::store::memory::MemoryStore;

use super::failure::Failure;
use super::file_state;
use super::replay::{Bar, POLICY, run_failure};
use super::streams;
pub use args::ExplainArgs;
use args::Format;
use collect::Collected;
use explanation::{AtClose, Explanation, Inputs, Outcome, Why, WouldBeInvoiced};
use moves::remaining;
use observer::Collecting;
use one_team::OneTeam;

/// What is to be explained.
#[derive(Clone, Debug)]
pub struct Question {
    pub team: Box<str>,
    pub month: Month,
    pub meter: Option<MeterNo>,
    /// Where the clock is moved after the last record.
    pub until: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error("{0}")]
    Broken(#[from] Broken),
    /// There is nothing to explain.
    #[error("{0}")]
    Unknown(String),
}

pub fn run(args: ExplainArgs) -> Result<(), Failure> {
    let Some(rates) = &args.rates else {
        return from_log::run(&args);
    };
    let book = Arc::new(file_state::read_book_file(rates)?);
    let question = args.question(&book)?;
    let source = FileSource::open(&args.inputs, None, args.allow_clock_jump, 1, args.threads)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let mut progress = Bar::new(total_bytes(&args.inputs), source.bytes_read())?;
    let explained = explain(source, Arc::clone(&book), &question, &mut progress);
    progress.finish();
    let explanation = explained.map_err(|error| match error {
        ExplainError::Run(error) => run_failure(error, &progress),
        error => failure(error, &question),
    })?;
    let inputs = Inputs {
        names: args
            .inputs
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        separator: ':',
    };
    show(args.format, &explanation, &inputs)
}

fn failure(error: ExplainError, question: &Question) -> Failure {
    match error {
        ExplainError::Run(error) => Failure::failed(error.to_string()),
        ExplainError::Unknown(_) => Failure::usage(error.to_string()),
        ExplainError::Partition(error) => Failure::state(error.to_string()),
        ExplainError::Broken(broken) => Failure::new(
            9,
            format!(
                "team {}, {}: {broken}; the explanation is not shown, since it would not be true",
                crate::wire::shown_text::printable(&question.team),
                question.month
            ),
        ),
    }
}

fn show(format: Format, explanation: &Explanation, inputs: &Inputs) -> Result<(), Failure> {
    let shown = match format {
        Format::Text => text::write(&sections::of(explanation, inputs)),
        Format::Html => html::write(explanation, &sections::of(explanation, inputs)),
        Format::Json => json::write(explanation, inputs),
    };
    streams::say(shown.as_bytes())
}

/// Folds what `source` has of the team and explains the month. The source may be anything that
/// hands out records in fold order, each with its clock.
pub fn explain<So: Source>(
    source: So,
    book: Arc<RateBook>,
    question: &Question,
    progress: &mut impl Progress,
) -> Result<Explanation, ExplainError> {
    let (collected, clock) = watch(source, Arc::clone(&book), question, progress)?;
    explained(collected, book, question, clock)
}

/// Folds what `source` has of the team. Returns what was seen, and where the clock ends.
fn watch<So: Source>(
    source: So,
    book: Arc<RateBook>,
    question: &Question,
    progress: &mut impl Progress,
) -> Result<(Collected, Option<Instant>), ExplainError> {
    let collected = Collecting::begin(&book, question);
    let store = MemoryStore::default();
    let mut partition = Partition::open(0, store, book, false, None)?;
    partition.observe(collected.observer());
    let mut partitions = [partition];
    let mut source = OneTeam::new(source, &question.team);
    crate::processor::run(
        &mut source,
        &mut partitions,
        &mut Nowhere,
        &POLICY,
        1,
        question.until,
        progress,
    )?;
    let clock = partitions.iter().find_map(Partition::clock);
    drop(partitions);
    Ok((collected.finish()?, clock))
}

/// From what was watched to an explanation that adds up.
fn explained(
    collected: Collected,
    book: Arc<RateBook>,
    question: &Question,
    clock: Option<Instant>,
) -> Result<Explanation, ExplainError> {
    let month = question.month;
    let clock = known(&collected, question, clock)?;
    let closes_at = collected.closes_at;
    let account = collected.account;
    let outcome = match (collected.invoice, &account) {
        (Some(invoice), _) => Outcome::Invoiced(invoice),
        (None, Some(account)) if clock < closes_at => {
            let so_far = invoice(account, &book, month, clock).map_err(Broken::from)?;
            let would_be = WouldBeInvoiced(is_invoiced(account, month));
            Outcome::Open(Box::new(so_far), would_be)
        }
        (None, None) => Outcome::ClosedWithout(Why::UnknownWhileOpen),
        (None, Some(_)) if book.launch.is_none_or(|launch| month.end() <= launch) => {
            Outcome::ClosedWithout(Why::Legacy)
        }
        (None, Some(_)) => Outcome::ClosedWithout(Why::NothingPostpaid),
    };
    let last_instant = month.end().minus_millis(1).min(clock);
    let tier = account
        .as_ref()
        .map(|account| account.tier_at(&book, last_instant));
    let held = account
        .as_ref()
        .map_or(Ok(BTreeMap::new()), |account| remaining(&account.lots));
    let held = held.map_err(Broken::from)?;
    let mut lots: Vec<_> = collected.lots.into_iter().collect();
    for (lot, used) in &mut lots {
        used.remaining = held.get(lot).copied().unwrap_or_default();
    }
    let mut explanation = Explanation {
        team: question.team.clone(),
        month,
        meter: question.meter,
        clock,
        closes_at,
        at_close: at_close(&outcome, account.as_ref(), &book, closes_at.min(clock)),
        outcome,
        tier,
        country: account.as_ref().and_then(|account| account.country.clone()),
        lines: collected.lines.into_values().collect(),
        free: collected.free.into_iter().collect(),
        days: collected.days.into_iter().collect(),
        lots,
        booked_later: collected.booked_later.into_iter().collect(),
        tallies: collected.tallies.into_iter().collect(),
        happenings: collected.happenings,
        happenings_left_out: collected.happenings_left_out,
        journal: None,
        book,
    };
    proof::check(&explanation, account.as_ref())?;
    explanation.sort_as_invoiced();
    explanation.add_amounts();
    explanation.keep_lots_of_shown_lines()?;
    Ok(explanation)
}

fn at_close(
    outcome: &Outcome,
    account: Option<&TeamAccount>,
    book: &RateBook,
    closed_at: Instant,
) -> AtClose {
    match (outcome, account) {
        (Outcome::Invoiced(invoice) | Outcome::Open(invoice, _), _) => AtClose {
            balance: invoice.balance,
            debt: invoice.debt,
            carry_over: invoice.carry_over.clone(),
        },
        (Outcome::ClosedWithout(_), Some(account)) => AtClose {
            balance: account.lots.balance(),
            debt: account.debt,
            carry_over: carry_over(account, book, closed_at),
        },
        (Outcome::ClosedWithout(_), None) => AtClose::default(),
    }
}

/// The clock, if team and month are ones of which something is known.
fn known(
    collected: &Collected,
    question: &Question,
    clock: Option<Instant>,
) -> Result<Instant, ExplainError> {
    let team = crate::wire::shown_text::printable(&question.team);
    let month = question.month;
    let unknown = |what: String| Err(ExplainError::Unknown(what));
    let Some(clock) = clock else {
        return unknown(format!(
            "team {team}: the inputs hold no event; give those of the replay"
        ));
    };
    let Some(first_month) = collected.first_month else {
        return unknown(format!(
            "team {team}: the inputs hold no event of it that was folded; check its spelling and the inputs"
        ));
    };
    // Usage may be recorded up to the allowed skew before its time.
    if clock < month.start() && collected.is_empty() {
        return unknown(format!(
            "month {month}: has not begun, the inputs end at {clock}; give more inputs, or --until"
        ));
    }
    if month < first_month && collected.is_empty() {
        return unknown(format!(
            "month {month}: team {team} was not known yet, its first event is of {first_month}"
        ));
    }
    Ok(clock)
}

/// The outputs of a fold that is only watched.
struct Nowhere;

impl Committer for Nowhere {
    type Error = Infallible;

    fn commit(&mut self, _: &mut [Staged]) -> Result<(), Infallible> {
        Ok(())
    }
}

impl From<Overflow> for ExplainError {
    fn from(overflow: Overflow) -> ExplainError {
        ExplainError::Broken(overflow.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::amount::Tokens;
    use crate::files::memory::MemoryLog;
    use crate::ports::Batch;

    const LOG: &str = concat!(
        r#"{"specversion":"1.0","id":"1","source":"/t","type":"meterfold.offering-enrolled.v1","subject":"t","time":"2026-01-05T00:00:00Z","data":{"offering":"free"}}"#,
        "\n",
        r#"{"specversion":"1.0","id":"2","source":"/t","type":"meterfold.hub-created.v1","subject":"t","time":"2026-01-05T00:00:00Z","data":{"hub_id":"h"}}"#,
        "\n",
        r#"{"specversion":"1.0","id":"3","source":"/t","type":"meterfold.app-migrated.v1","subject":"t","time":"2026-01-05T00:00:00Z","data":{"app_id":"app"}}"#,
        "\n",
        r#"{"specversion":"1.0","id":"4","source":"/t","type":"meterfold.api-call.v1","subject":"t","time":"2026-01-05T01:00:00Z","data":{"app_id":"app","api":"automation","engine":"autocad","quantity":60}}"#,
        "\n",
        r#"{"specversion":"1.0","id":"5","source":"/t","type":"meterfold.offering-enrolled.v1","subject":"t","time":"2026-01-06T00:00:00Z","data":{"offering":"postpay","country":"US","payment_method":"credit_card","good_standing":true}}"#,
        "\n",
        r#"{"specversion":"1.0","id":"6","source":"/t","type":"meterfold.tokens-purchased.v1","subject":"t","time":"2026-01-06T00:00:00Z","data":{"tokens":100}}"#,
        "\n",
        r#"{"specversion":"1.0","id":"7","source":"/t","type":"meterfold.api-call.v1","subject":"t","time":"2026-01-07T00:00:00Z","data":{"app_id":"app","api":"automation","engine":"autocad","quantity":73000}}"#,
        "\n",
    );

    struct ToTheEnd;

    impl Progress for ToTheEnd {
        fn batch_folded(&mut self, _: &Batch) -> bool {
            true
        }
    }

    /// The explanation of January after `change` to what was watched.
    fn changed(change: impl FnOnce(&mut Collected)) -> Result<Explanation, ExplainError> {
        let text = include_bytes!("../../schemas/rates/aps-example.json");
        let book = Arc::new(crate::wire::rate_book::read(text).expect("the example book"));
        let question = Question {
            team: "t".into(),
            month: Month::parse("2026-01").expect("a month"),
            meter: None,
            until: Instant::parse("2026-02-04T00:00:00Z"),
        };
        let log = MemoryLog::new(LOG.as_bytes(), 1, None);
        let source = log.source(0..log.records(), &[2]);
        let (mut collected, clock) =
            watch(source, Arc::clone(&book), &question, &mut ToTheEnd).expect("it is folded");
        change(&mut collected);
        explained(collected, book, &question, clock)
    }

    #[test]
    fn an_explanation_that_does_not_add_up_is_not_given() {
        let explanation = changed(|_| {}).expect("it adds up");
        let invoice = explanation.invoice().expect("an invoice");
        // 73,000 seconds are 101 units, of which the lot pays 100.
        assert_eq!(invoice.total.to_string(), "3.00");
        let one = Tokens::from_whole(1).expect("a token");
        let line = |collected: &mut Collected, change: fn(&mut explanation::Line)| {
            collected.lines.values_mut().for_each(change);
        };
        type Change<'a> = Box<dyn Fn(&mut Collected) + 'a>;
        let changes: [(&str, Change); 8] = [
            (
                "usage",
                Box::new(|it| line(it, |line| line.booked.usage += 1)),
            ),
            ("no line", Box::new(|it| it.lines.clear())),
            (
                "cumulative",
                Box::new(|it| line(it, |line| line.stretches[0].to += 720)),
            ),
            (
                "lots",
                Box::new(|it| {
                    line(it, |line| {
                        line.drawn
                            .values_mut()
                            .for_each(|part| *part = Tokens::ZERO)
                    })
                }),
            ),
            (
                "free",
                Box::new(|it| it.free.values_mut().for_each(|free| free.used += 1)),
            ),
            (
                "day",
                Box::new(|it| {
                    it.days
                        .values_mut()
                        .for_each(|day| day.booked.postpaid = one)
                }),
            ),
            (
                "invoice line",
                Box::new(|it| {
                    it.invoice
                        .iter_mut()
                        .for_each(|invoice| invoice.lines.clear())
                }),
            ),
            (
                "total",
                Box::new(|it| {
                    it.invoice.iter_mut().for_each(|invoice| {
                        invoice.total = invoice.lines[0].amount.plus(invoice.total).expect("a sum")
                    });
                }),
            ),
        ];
        for (name, change) in changes {
            let error = changed(change).err();
            assert!(
                matches!(error, Some(ExplainError::Broken(Broken::Invariant(_)))),
                "{name}"
            );
        }
    }
}
