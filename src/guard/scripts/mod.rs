//! Running scripts: `spawn.rs` makes the process, `run.rs` follows it from its start to its end and ends what
//! does not end by itself, `output.rs` takes what it writes to the log.

pub mod output;
pub mod run;
pub mod spawn;
