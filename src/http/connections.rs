//! Connections and their limits: how many, how long, how much of a head.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::telemetry::Telemetry;

/// What a client may hold. The default is what runs; tests are less patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at a time. One more takes the place of the oldest, so that clients that
    /// only hold connections cannot keep a probe out.
    pub connections_max: usize,
    /// A request's line and header fields.
    pub header_bytes_max: usize,
    pub header_fields_max: usize,
    /// How long a client may take to send them, and how long a connection may lie idle.
    pub header_time_max: Duration,
    /// How old a connection may grow, whatever happens on it.
    pub age_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 512,
            header_bytes_max: 16 << 10,
            header_fields_max: 64,
            header_time_max: Duration::from_secs(10),
            age_max: Duration::from_secs(60),
        }
    }
}

/// How long the answer under way may take when a connection has to end.
const LAST_ANSWER_MAX: Duration = Duration::from_secs(1);
/// The wait after a connection could not be accepted, such as for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Accepts connections until `stopped` says so, then waits for those that are open.
pub async fn accept(
    listener: TcpListener,
    router: Router,
    telemetry: Telemetry,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    // Oldest first.
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|is_stopped| *is_stopped) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(event = "http_accept_failed", %error, "cannot take a connection");
                sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        if open.len() >= limits.connections_max {
            open.retain(|connection| !connection.is_finished());
        }
        if open.len() >= limits.connections_max
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
            telemetry.http_connection_dropped();
        }
        let connection = Connection::new(&telemetry, limits);
        let answer = connection.answer(stream, router.clone(), stopped.clone());
        open.push_back(tokio::spawn(answer));
    }
    drop(listener);
    for connection in open {
        // The only error is that it was aborted.
        let _ = connection.await;
    }
}

/// An open connection, counted for as long as it lives.
struct Connection {
    telemetry: Telemetry,
    limits: Limits,
}

impl Connection {
    fn new(telemetry: &Telemetry, limits: Limits) -> Connection {
        telemetry.http_connection_opened();
        Connection {
            telemetry: telemetry.clone(),
            limits,
        }
    }

    /// Answers requests until the client leaves, is too slow, or the time is over.
    async fn answer(self, stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
        // Answers are small and whole; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let limits = self.limits;
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time_max)
            .max_headers(limits.header_fields_max)
            .max_header_size(limits.header_bytes_max)
            .max_buf_size(2 * limits.header_bytes_max);
        let service = TowerToHyperService::new(router);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => {
                return self.count(ended);
            }
            () = sleep(limits.age_max) => {}
            _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
        }
        connection.as_mut().graceful_shutdown();
        match timeout(LAST_ANSWER_MAX, connection).await {
            Ok(ended) => self.count(ended),
            Err(_) => self.telemetry.http_connection_dropped(),
        }
    }

    /// What the library refused by itself: the router, which counts requests, saw nothing of it.
    fn count(&self, ended: Result<(), hyper::Error>) {
        let Err(error) = ended else { return };
        if error.is_timeout() || error.is_parse_version_h2() {
            self.telemetry.http_connection_dropped();
        } else if error.is_parse_too_large() {
            self.telemetry.http_head_refused("other");
        } else if error.is_parse() {
            self.telemetry.http_head_refused("400");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.telemetry.http_connection_closed();
    }
}
