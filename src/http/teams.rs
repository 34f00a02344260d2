//! What the process tells of a team (`interfaces.md` 6): its account, months and invoices, whether
//! a call may be made, and the usage page.
//!
//! All of an answer is of one commit: META, which has the clock, and the team's cells are read in
//! one view. Nothing is told of what is folded and not committed yet. Reads happen on threads of
//! their own, a few at a time; whoever has to wait too long is told to come again.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::billing::access::{Call, UnknownMeter, access};
use crate::billing::account::TeamAccount;
use crate::billing::context::Context;
use crate::billing::invoice::{Closing, Invoice, invoice_at};
use crate::billing::month::TeamMonth;
use crate::billing::rate_book::RateBook;
use crate::billing::time::{Instant, Month};
use crate::ports::StoreError;
use crate::store::cells;
use crate::store::rocks::RocksView;
use crate::store::views::Views;
use crate::wire::partitioner::partition_of;
use crate::wire::{account_line, team_json};

use super::authentication::Authentication;
use super::html;
use super::owners::Owners;
use super::problem::Problem;
use super::target::{Page, Question, Target};
use super::usage_page;

/// Reads of stores at a time. More would only wait for the same disk and processors.
pub const READS_MAX: usize = 8;
/// How long a request waits for its turn to read.
const TURN_PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of one answer; what grows with time (months, invoices) is also told in pages.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The clock of the partition at the commit that an answer tells of.
pub const CLOCK: HeaderName = HeaderName::from_static("meterfold-clock");

/// Everything that questions about teams are answered from.
pub struct Queries {
    views: Views,
    /// Of each input topic.
    partitions: u16,
    authentication: Authentication,
    owners: Owners,
    turns: Arc<Semaphore>,
}

impl Queries {
    pub fn new(
        views: Views,
        partitions: u16,
        authentication: Authentication,
        owners: Owners,
    ) -> Queries {
        Queries {
            views,
            partitions,
            authentication,
            owners,
            turns: Arc::new(Semaphore::new(READS_MAX)),
        }
    }
}

pub fn router(queries: Arc<Queries>) -> Router {
    Router::new()
        .route("/v1/teams/{*rest}", get(json))
        .route("/teams/{*rest}", get(page))
        .with_state(queries)
}

async fn json(State(queries): State<Arc<Queries>>, uri: Uri, headers: HeaderMap) -> Response {
    match answer(&queries, &uri, &headers, false).await {
        Ok(answer) => (
            [(header::CONTENT_TYPE, "application/json")],
            [(CLOCK, clock_header(answer.clock))],
            answer.body,
        )
            .into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn page(State(queries): State<Arc<Queries>>, uri: Uri, headers: HeaderMap) -> Response {
    match answer(&queries, &uri, &headers, true).await {
        Ok(answer) => html::response(StatusCode::OK, answer.body, HeaderMap::new()),
        Err(problem) if accepts_html(&headers) => html::problem(&problem),
        Err(problem) => problem.into_response(),
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept.is_some_and(|accept| accept.to_str().is_ok_and(|it| it.contains("text/html")))
}

fn clock_header(clock: Instant) -> HeaderValue {
    HeaderValue::from_str(&clock.to_string()).unwrap_or(HeaderValue::from_static(""))
}

struct Answer {
    body: Vec<u8>,
    clock: Instant,
}

/// Who may ask, what is asked, where it is, what it is: in this order.
async fn answer(
    queries: &Arc<Queries>,
    uri: &Uri,
    headers: &HeaderMap,
    is_page: bool,
) -> Result<Answer, Problem> {
    queries.authentication.check(uri, headers).await?;
    let target = Target::read(uri, is_page)?;
    let partition = partition_of(target.team.as_bytes(), queries.partitions);
    let turn = timeout(TURN_PATIENCE, Arc::clone(&queries.turns).acquire_owned());
    let Ok(Ok(turn)) = turn.await else {
        return Err(Problem::unavailable("too many questions at once"));
    };
    let views = queries.views.clone();
    let read = spawn_blocking(move || {
        let _turn = turn;
        views.read(partition, |view, book| tell(view, book, &target))
    });
    match read.await {
        Ok(Some(answer)) => answer,
        Ok(None) => Err(elsewhere(queries, partition).await),
        Err(error) => {
            tracing::error!(event = "query_failed", "{error}");
            Err(Problem::failed())
        }
    }
}

async fn elsewhere(queries: &Queries, partition: u16) -> Problem {
    match queries.owners.of(partition).await {
        None => Problem::unavailable(
            "the partition of this team is not served here now, and who serves it is not known",
        ),
        Some(owner) => Problem {
            owner: Some(format!("http://{owner}")),
            ..Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "another instance serves this team: ask its owner",
            )
        },
    }
}

fn unknown_team(question: &Question) -> Problem {
    Problem::not_found(match question {
        Question::UsagePage { .. } => {
            "nothing is known of this team yet: what it uses will be shown here"
        }
        _ => "no event of such a team was folded",
    })
}

/// A team in one view of its partition.
pub struct Team<'a> {
    pub name: &'a str,
    pub account: TeamAccount,
    /// Months that no longer lie in the account, ascending.
    pub settled: Vec<TeamMonth>,
    /// How it stood at the close of each month that was invoiced, ascending.
    pub closings: Vec<(Month, Closing)>,
    pub context: Context<'a>,
}

impl<'a> Team<'a> {
    fn read(
        view: &RocksView<'_>,
        context: Context<'a>,
        name: &'a str,
    ) -> Result<Option<Team<'a>>, StoreError> {
        let Some(cell) = cells::read_team(view, name)? else {
            return Ok(None);
        };
        Ok(Some(Team {
            name,
            settled: cells::settled_months(view, name, &cell)?,
            closings: cells::read_closings(view, name)?,
            account: cell.account,
            context,
        }))
    }

    /// Ascending.
    pub fn months(&self) -> impl DoubleEndedIterator<Item = &TeamMonth> {
        self.settled.iter().chain(&self.account.months)
    }

    pub fn month(&self, month: Month) -> Option<&TeamMonth> {
        self.months().find(|entry| entry.month == month)
    }

    /// The invoice that was published of `month`; None: none was.
    pub fn invoice(&self, month: Month) -> Result<Option<Invoice>, Problem> {
        let found = self.closings.iter().find(|(closed, _)| *closed == month);
        let Some((_, closing)) = found else {
            return Ok(None);
        };
        let empty = TeamMonth::new(month);
        let entries = self.month(month).unwrap_or(&empty);
        // It could be made when the month closed, so it can be made now.
        invoice_at(entries, closing.clone(), self.context.book)
            .map(Some)
            .map_err(|_| Problem::failed())
    }
}

/// Reads the answer out of `view`.
fn tell(view: &RocksView<'_>, book: &RateBook, target: &Target) -> Result<Answer, Problem> {
    let clock = clock_of(view)?;
    let clock = match (&target.question, clock) {
        (_, Some(clock)) => clock,
        (Question::Access { .. }, None) => {
            return Err(Problem::unavailable(
                "the partition of this team has no clock yet: no record has reached it",
            ));
        }
        (question, None) => return Err(unknown_team(question)),
    };
    let context = Context::new(book, clock);
    let mut body = Vec::new();
    match &target.question {
        Question::Access { app, api, meter } => {
            let meter = meter.as_deref();
            let cell = cells::read_team(view, &target.team).map_err(unreadable)?;
            let account = cell.as_ref().map(|cell| &cell.account);
            let found = access(account, book, clock, &Call { app, api, meter });
            let found = found.map_err(|UnknownMeter| {
                Problem::bad_request("the rate card in force has no such meter of this API")
            })?;
            team_json::write_access(found, &mut body);
        }
        question => {
            let team = Team::read(view, context, &target.team).map_err(unreadable)?;
            let team = team.ok_or_else(|| unknown_team(question))?;
            write(&team, question, &mut body)?;
        }
    }
    if body.len() > ANSWER_BYTES_MAX {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the answer is larger than 16 MiB: ask for months and invoices in pages",
        ));
    }
    Ok(Answer { body, clock })
}

fn clock_of(view: &RocksView<'_>) -> Result<Option<Instant>, Problem> {
    let meta = cells::read_meta(view).map_err(unreadable)?;
    Ok(meta.and_then(|meta| meta.reached()))
}

fn unreadable(error: StoreError) -> Problem {
    tracing::error!(event = "query_failed", "{error}");
    Problem::failed()
}

fn write(team: &Team, question: &Question, body: &mut Vec<u8>) -> Result<(), Problem> {
    let context = &team.context;
    match question {
        Question::Account => {
            account_line::write(team.name, &team.account, &team.settled, context, body);
        }
        Question::Month(month) => match team.month(*month) {
            Some(entries) => team_json::write_month(entries, context, body),
            None if *month <= context.clock.month() => {
                team_json::write_month(&TeamMonth::new(*month), context, body);
            }
            None => return Err(Problem::not_found("that month has not begun")),
        },
        Question::Months(page) => {
            let months = team.months().filter(|month| account_line::is_shown(month));
            let (months, next) = paged(months, *page, |month| month.month);
            let entry = |out: &mut Vec<u8>, month| team_json::write_month(month, context, out);
            team_json::write_page("months", months, entry, next, body);
        }
        Question::Invoice(month) => {
            let Some(invoice) = team.invoice(*month)? else {
                return Err(no_invoice(*month, context));
            };
            team_json::write_invoice_data(&invoice, context.book, body);
        }
        Question::Invoices(page) => {
            let months = team.closings.iter().map(|(month, _)| *month);
            let (months, next) = paged(months, *page, |month| *month);
            let mut invoices = Vec::new();
            for month in months {
                invoices.extend(team.invoice(month)?);
            }
            let entry = |out: &mut Vec<u8>, invoice: Invoice| {
                team_json::write_invoice_data(&invoice, context.book, out);
            };
            team_json::write_page("invoices", invoices, entry, next, body);
        }
        Question::UsagePage { before } => {
            body.extend(usage_page::write(team, *before)?.into_bytes());
        }
        Question::Access { .. } => unreachable!("answered without the months"),
    }
    Ok(())
}

fn no_invoice(month: Month, context: &Context) -> Problem {
    if context.is_closed(month) {
        return Problem::not_found(
            "there is no invoice of that month: postpay was never on in it, and nothing of it is \
             to be paid afterwards",
        );
    }
    let closes_at = context.book.closes_at(month);
    Problem::not_found(format!("that month is open: it closes at {closes_at}"))
}

/// The entries of a page, and the month after which the next one begins.
fn paged<T>(
    entries: impl Iterator<Item = T>,
    page: Page,
    month_of: impl Fn(&T) -> Month,
) -> (Vec<T>, Option<Month>) {
    let is_later = |entry: &T| page.after.is_none_or(|after| month_of(entry) > after);
    let mut entries = entries.filter(is_later).peekable();
    let taken: Vec<T> = entries.by_ref().take(page.limit).collect();
    let next = entries.peek().and_then(|_| taken.last()).map(&month_of);
    (taken, next)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn reads_beyond_the_limit_are_told_to_come_again() {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(1).enable_time().build();
        runtime.unwrap().block_on(async {
            let listen = "127.0.0.1:0".parse().unwrap();
            let authentication = Authentication::new(listen, None).unwrap();
            let owners = Owners::new(None, || Ok(BTreeMap::new()));
            let queries = Queries::new(Views::default(), 8, authentication, owners);
            let queries = Arc::new(queries);
            let ask = || {
                let queries = Arc::clone(&queries);
                let uri = Uri::from_static("/v1/teams/a");
                async move {
                    let refused = answer(&queries, &uri, &HeaderMap::new(), false).await;
                    refused.err().expect("no partition is served")
                }
            };
            // The one thread that reads is held up, so that reads begin and do not end.
            let (gate, held_up) = mpsc::channel::<()>();
            spawn_blocking(move || held_up.recv());
            let reading: Vec<_> = (0..READS_MAX).map(|_| tokio::spawn(ask())).collect();
            while queries.turns.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            let refused = ask().await;
            assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(refused.detail, "too many questions at once");

            drop(gate);
            for read in reading {
                let detail = read.await.unwrap().detail;
                assert!(detail.contains("not served here now"), "{detail}");
            }
            assert_eq!(queries.turns.available_permits(), READS_MAX);
        });
    }
}
