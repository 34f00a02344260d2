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
