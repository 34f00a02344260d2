//! What a panic does: it ends the process, whichever thread it struck.
//!
//! A panic is a fault of the program, so nothing that it knows may be trusted to run on: no other
//! thread commits, no destructor puts a directory in place. What was not committed was never there
//! (INV-2); the next run finds outputs and state as they were.

use crate::processor::folding;
use crate::telemetry::log;

use super::streams;

/// The exit code of a panic, as without this hook.
const PANICKED: i32 = 101;

/// From here on a panic of any thread prints its message, names the record that the thread was
/// folding, and ends the process. No setting passes over a record: that would change a bill.
pub fn end_process_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        if let Some(record) = folding::current() {
            streams::note(format_args!(
                "meterfold: this happened in the fold of {record}; nothing of it is committed: report \
                 it together with that record"
            ));
        }
        log::flush();
        signal_hook::low_level::exit(PANICKED);
    }));
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the process that panics.
    const STRUCK: &str = "METERFOLD_TEST_PANIC";

    /// Runs this very test once more, as a process of its own, in which a worker panics while the
    /// main thread waits for ever.
    #[test]
    fn a_panic_of_a_worker_ends_the_process() {
        if std::env::var_os(STRUCK).is_some() {
            end_process_on_panic();
            std::thread::spawn(|| panic!("struck"));
            loop {
                std::thread::park();
            }
        }
        let test = "cli::panic::tests::a_panic_of_a_worker_ends_the_process";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(STRUCK, "1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(PANICKED));
        assert!(String::from_utf8_lossy(&output.stderr).contains("struck"));
    }
}
