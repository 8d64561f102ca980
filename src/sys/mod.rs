//! System calls that the libraries have no safe function for, and the names of users and groups. All `unsafe`
//! of the daemon is here: one operation in a block, each with its argument, behind safe functions. Two ask
//! something of their caller, and say what: `limit_thread_stacks` and `close_all_but`.
//!
//! `process.rs` forks, ends and prepares processes, `capabilities.rs`, `calls.rs` and `scheduling.rs` set
//! what they may do and when they run. `tty.rs`, `interface.rs` and `watchdog.rs` are the ioctls of their
//! devices, `sockets.rs` is what sockets can do beyond bytes, `datagrams.rs` receives and answers many at a
//! time, `thread_name.rs` is what musl would make larger, `names.rs` reads /etc/passwd and /etc/group,
//! `directory.rs` lists a directory.

pub mod calls;
pub mod capabilities;
#[cfg(feature = "witness")]
pub mod datagrams;
pub mod directory;
pub mod interface;
pub mod names;
pub mod process;
pub mod scheduling;
pub mod sockets;
#[cfg(target_env = "musl")]
mod thread_name;
pub mod tty;
pub mod watchdog;
