//! No picture of this process is taken: its memory holds secrets and what producers sent.

use rustix::io;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Nothing is dumped when the process fails, neither to a file nor to a handler of the machine, and
/// other processes of the same user may not look into its memory.
///
/// # Errors
///
/// The kernel refuses.
pub fn disable() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    // A handler is given a dump whatever the limit of its size is.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

#[cfg(test)]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn the_process_is_not_dumpable() {
        super::disable().unwrap();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }
}
