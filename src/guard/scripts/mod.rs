//! Running scripts: `spawn.rs` makes the process, `run.rs` follows it from its start to its end and ends what
//! does not end by itself, `output.rs` takes what it writes to the log. `notifier.rs` runs the program
//! that the operator wants to be told by.

pub mod notifier;
pub mod output;
pub mod run;
pub mod spawn;
