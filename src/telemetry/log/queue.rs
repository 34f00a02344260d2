//! The queue between those who log and the thread that writes: bounded, and never waited for.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that may wait to be written.
pub const QUEUE_LINES_MAX: usize = 1_024;
/// How long the end of the process waits for them.
pub const FLUSH_MAX: Duration = Duration::from_secs(1);

enum Message {
    Line(String),
    /// All lines before it were written once this is answered.
    Flush(SyncSender<()>),
}

#[derive(Clone)]
pub struct Queue {
    sender: SyncSender<Message>,
    /// Lines that found the queue full and that no line told of yet.
    dropped: Arc<AtomicU64>,
}

/// Writes what is left when it is dropped, for [`FLUSH_MAX`] at most.
pub struct LogGuard {
    queue: Queue,
}

pub fn start(to: Box<dyn Write + Send>) -> io::Result<(Queue, LogGuard)> {
    let (sender, receiver) = mpsc::sync_channel(QUEUE_LINES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let queue = Queue { sender, dropped };
    let counter = Arc::clone(&queue.dropped);
    let thread = thread::Builder::new().name("log".into());
    thread.spawn(move || write_lines(&receiver, to, &counter))?;
    let guard = LogGuard {
        queue: queue.clone(),
    };
    Ok((queue, guard))
}

impl Queue {
    /// Takes a line unless the queue is full; false: it was dropped.
    pub fn offer(&self, line: String) -> bool {
        let taken = self.sender.try_send(Message::Line(line)).is_ok();
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Waits until everything offered so far was written, or the time is over.
    pub fn flush(&self) {
        let deadline = Instant::now() + FLUSH_MAX;
        let (answer, answered) = mpsc::sync_channel(1);
        let mut message = Message::Flush(answer);
        loop {
            match self.sender.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(again)) if Instant::now() < deadline => message = again,
                Err(_) => return,
            }
            thread::sleep(Duration::from_millis(10));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // Without an answer the reader of our lines stands still; they are lost with it.
        let _ = answered.recv_timeout(left);
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.flush();
    }
}

/// A line that cannot be written is lost: there is nowhere left to say so.
fn write_lines(receiver: &Receiver<Message>, mut to: Box<dyn Write + Send>, dropped: &AtomicU64) {
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Line(line) => {
                let _ = to.write_all(line.as_bytes());
            }
            Message::Flush(answer) => {
                let _ = to.flush();
                let _ = answer.send(());
            }
        }
        let count = dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            tracing::warn!(
                event = "log_lines_dropped",
                count,
                "lines were dropped, the log's reader was too slow"
            );
        }
    }
}
