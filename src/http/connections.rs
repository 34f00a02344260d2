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

/// Connections open at a time. One more takes the place of the oldest, so that clients that only
/// hold connections cannot keep a probe out.
pub const CONNECTIONS_MAX: usize = 512;
/// A request's line and header fields.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
const HEADER_FIELDS_MAX: usize = 64;
/// How long a client may take to send them, and how long a connection may lie idle.
pub const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// How old a connection may grow, whatever happens on it.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);
/// How long the answer under way may take when a connection has to end.
const LAST_ANSWER_MAX: Duration = Duration::from_secs(1);
/// The wait after a connection could not be accepted, such as for want of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Accepts connections until `stopped` says so, then waits for those that are open.
pub async fn accept(
    listener: TcpListener,
    router: Router,
    telemetry: Telemetry,
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
        if open.len() >= CONNECTIONS_MAX {
            open.retain(|connection| !connection.is_finished());
        }
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
            telemetry.http_connection_dropped();
        }
        let connection = Connection::new(&telemetry);
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
}

impl Connection {
    fn new(telemetry: &Telemetry) -> Connection {
        telemetry.http_connection_opened();
        Connection {
            telemetry: telemetry.clone(),
        }
    }

    /// Answers requests until the client leaves, is too slow, or the time is over.
    async fn answer(self, stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
        // Answers are small and whole; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME_MAX)
            .max_headers(HEADER_FIELDS_MAX)
            .max_header_size(HEADER_BYTES_MAX)
            .max_buf_size(2 * HEADER_BYTES_MAX);
        let service = TowerToHyperService::new(router);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => {
                if ended.is_err_and(|error| error.is_timeout()) {
                    self.telemetry.http_connection_dropped();
                }
                return;
            }
            () = sleep(CONNECTION_AGE_MAX) => {}
            _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
        }
        connection.as_mut().graceful_shutdown();
        if timeout(LAST_ANSWER_MAX, connection).await.is_err() {
            self.telemetry.http_connection_dropped();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.telemetry.http_connection_closed();
    }
}
