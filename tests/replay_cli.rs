//! The command line of `replay`: what it refuses, with which exit code and which words; what it
//! leaves behind when it is stopped or fails; and which bytes it takes.

mod model;
mod support;

#[path = "replay_cli/any_bytes.rs"]
mod any_bytes;
#[path = "replay_cli/avro_inputs.rs"]
mod avro_inputs;
#[path = "replay_cli/bench.rs"]
mod bench;
#[path = "replay_cli/books_and_states.rs"]
mod books_and_states;
#[path = "replay_cli/clock_jump.rs"]
mod clock_jump;
#[path = "replay_cli/disk_full.rs"]
mod disk_full;
#[path = "replay_cli/interrupted.rs"]
mod interrupted;
#[path = "replay_cli/runs_at_once.rs"]
mod runs_at_once;
#[path = "replay_cli/usage.rs"]
mod usage;
