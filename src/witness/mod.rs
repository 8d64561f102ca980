//! `crosswire witness`: the daemon of the voting witness, on a third box.
//!
//! It is two processes, as `crosswire run` is. The **keeper** stays root: it reads the key files, once at the
//! start and again at a SIGHUP, and starts another worker where one has died. It hears nothing from outside.
//! The **worker** gives up root and everything that it can see, before it reads its first datagram. It is
//! handed the sockets and the keys, and answers questions by the rules of
//! [`Grants`](crosswire::vote::grants::Grants), until the keeper's end of the socket pair is closed.
//!
//! * [`key_files`] reads the directory of keys, and says what is wrong with it.
//! * [`orders`] is what the keeper says to the worker.
//! * [`registry`] is what the worker keeps: a place for each key and for each pair, and nothing else.
//! * [`tally`] counts what was answered and refused, and logs a flood as one line and a count.
//! * [`socket`] opens the sockets; [`worker`] and [`keeper`] are the two loops.

pub mod keeper;
pub mod key_files;
pub mod orders;
pub mod registry;
pub mod socket;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod worker;

use std::fs;
use std::path::Path;

use crate::guard::run_dir::lock::{PID_FILE, read_pid};

/// The process of the witness that runs with this run directory, if one does.
pub fn running_in(run_dir: &Path) -> Option<u32> {
    let pid = read_pid(&run_dir.join(PID_FILE))?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    (command.split(|byte| *byte == 0).nth(1) == Some(b"witness")).then_some(pid)
}
