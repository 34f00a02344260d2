//! Floor 3, HTTP: the edge through which others look at the process (`interfaces.md` 6). Health,
//! metrics and status for operators; accounts, invoices and access of teams for gateways and hubs.
//! It changes nothing.
//!
//! It runs on a tokio runtime with threads of its own, and everything that a client may hold is
//! bounded: neither a flood of requests nor two hundred slow readers reach the fold (F73).

mod authentication;
mod connections;
mod html;
mod owners;
pub mod problem;
mod routes;
mod status;
pub mod target;
mod teams;
mod usage_page;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::telemetry::Telemetry;

pub use authentication::Authentication;
pub use connections::Limits;
pub use owners::Owners;
pub use teams::Queries;

/// Threads of the runtime: one that answers while the other renders metrics.
const THREADS: usize = 2;
/// Threads that may wait: for reads of stores, for the group, for the file of the token.
const BLOCKING_THREADS: usize = teams::READS_MAX + 2;
/// How long [`Server::stop`] waits for answers under way.
const STOP_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("http.listen {listen}: {error}; stop what listens there, or choose another address")]
    Listen {
        listen: SocketAddr,
        error: std::io::Error,
    },
    #[error("http: cannot start its threads: {0}")]
    Runtime(std::io::Error),
}

/// A server that answers until it is stopped or dropped.
pub struct Server {
    /// None: stopped.
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    accepting: Option<JoinHandle<()>>,
    address: SocketAddr,
}

/// Listens on `listen` and answers from `telemetry` and `queries`, on threads of its own. Neither
/// this nor [`Server::stop`] may be called on a thread of a tokio runtime.
pub fn serve(
    listen: SocketAddr,
    telemetry: &Telemetry,
    queries: Queries,
    limits: Limits,
) -> Result<Server, HttpError> {
    let refused = |error| HttpError::Listen { listen, error };
    let listener = TcpListener::bind(listen).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("http")
        .enable_all();
    let runtime = builder.build().map_err(HttpError::Runtime)?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(refused)?
    };
    let (stop, stopped) = watch::channel(false);
    let router = routes::router(telemetry, Arc::new(queries));
    let accept = connections::accept(listener, router, telemetry.clone(), limits, stopped);
    let accepting = Some(runtime.spawn(accept));
    tracing::info!(event = "http_listening", address = %address, "serves health, metrics and status");
    Ok(Server {
        runtime: Some(runtime),
        stop,
        accepting,
        address,
    })
}

impl Server {
    /// Where it listens; the port that was chosen if the configured one was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, lets answers under way end within two seconds, ends the threads.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let (Some(runtime), Some(accepting)) = (self.runtime.take(), self.accepting.take()) else {
            return;
        };
        let _ = self.stop.send(true);
        // What is not done by then is cut off with the runtime.
        let _ = runtime.block_on(async { tokio::time::timeout(STOP_MAX, accepting).await });
        runtime.shutdown_background();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECURITY: &str = include_str!("../../SECURITY.md");

    #[test]
    fn the_limits_are_those_of_the_table() {
        let limits = Limits::default();
        let kib = limits.header_bytes_max >> 10;
        let target_bytes = target::TARGET_BYTES_MAX;
        for (what, limit) in [
            (
                "line and header fields of an HTTP request",
                format!("{kib} KiB, {} fields", limits.header_fields_max),
            ),
            (
                "time to send them, or for a connection to lie idle",
                format!("{} s", limits.header_time_max.as_secs()),
            ),
            ("connections", limits.connections_max.to_string()),
            (
                "age of a connection, so also a slow reader",
                format!("{} s", limits.age_max.as_secs()),
            ),
            (
                "path and query of a question about a team",
                format!("{},{:03} bytes", target_bytes / 1000, target_bytes % 1000),
            ),
            (
                "team id in a path",
                format!("{} characters", target::TEAM_CHARS_MAX),
            ),
            (
                "months or invoices in one answer",
                target::PAGE_MAX.to_string(),
            ),
            (
                "past months of one usage page",
                usage_page::PAST_MONTHS_MAX.to_string(),
            ),
            ("answer", format!("{} MiB", teams::ANSWER_BYTES_MAX >> 20)),
            ("reads of state at a time", teams::READS_MAX.to_string()),
            (
                "questions to the group about owners",
                format!("one at a time, one in {} s", owners::BELIEVED.as_secs()),
            ),
        ] {
            let row = format!("| {what} | {limit} |");
            assert!(SECURITY.contains(&row), "SECURITY.md lacks {row}");
        }
    }
}
