//! A server under the eyes of `.ci/guard`, a process that obeys this one through a pipe. When the
//! pipe ends, since this process dropped its end or died in whatever way, the guard kills the server
//! and removes its directory.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Each kind of server is one of these, and some.
pub struct Guard {
    process: Mutex<Process>,
    directory: PathBuf,
}

struct Process {
    guard: Child,
    answers: BufReader<ChildStdout>,
}

impl Guard {
    /// `script` is a path in the project; it gets a new directory, and `options` at its start.
    pub fn new(script: &str, options: &[String]) -> Guard {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let directory = tempfile::Builder::new()
            .prefix("meterfold-server-")
            .tempdir()
            .expect("a directory")
            .keep();
        let mut guard = Command::new(project.join(".ci/guard"))
            .arg(project.join(script))
            .arg(&directory)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect(".ci/guard starts");
        let answers = BufReader::new(guard.stdout.take().expect("a pipe"));
        Guard {
            process: Mutex::new(Process { guard, answers }),
            directory,
        }
    }

    /// For the first time, or at the same address with what it holds.
    pub fn start(&self) {
        self.order("start");
    }

    /// In good order; what it holds stays.
    pub fn stop(&self) {
        self.order("stop");
    }

    /// Whether it runs or not, it comes back at the same address with what it holds.
    pub fn restart(&self) {
        self.stop();
        self.start();
    }

    /// As a crash of its machine's process: SIGKILL.
    pub fn kill9(&self) {
        self.order("kill");
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.order("pause");
    }

    pub fn resume(&self) {
        self.order("resume");
    }

    /// Comes back when it is done.
    fn order(&self, order: &str) {
        let mut process = self.process.lock().expect("an earlier order failed");
        let orders = process.guard.stdin.as_mut().expect("a pipe");
        let sent = orders.write_all(format!("{order}\n").as_bytes());
        let mut answer = String::new();
        let received = process.answers.read_line(&mut answer);
        assert!(
            sent.is_ok() && received.is_ok() && answer == "done\n",
            "{order}: the server's guard gave up; it says why on standard error"
        );
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A line that the server's script left in a file of the directory.
    pub fn line(&self, name: &str) -> String {
        let path = self.directory.join(name);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim_end().to_owned()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Closes the pipe first, which is the order to end. After an order that failed too.
        let process = self
            .process
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let _ = process.guard.wait();
    }
}
