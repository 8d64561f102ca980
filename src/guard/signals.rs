//! The signals that the guard reads from a descriptor.

use nix::sys::signal::{SigSet, Signal};

/// The wish to be executed anew. A daemon that does not know it ignores it, and only root may send it.
pub const UPGRADE: Signal = Signal::SIGURG;

/// What the guard reads from a descriptor: the end of children, and the wishes for a reload or an upgrade.
pub fn signals_of_guard() -> SigSet {
    let known = if cfg!(feature = "upgrade") { UPGRADE } else { Signal::SIGHUP };
    [Signal::SIGCHLD, Signal::SIGHUP, known].into_iter().collect()
}

/// Blocks these signals in this thread and in those that it starts. The parent calls it before
/// anything starts a thread (ctrlc does), since a thread that does not block them swallows them, and the
/// guard reads them from a descriptor.
pub fn block_child_signal() -> nix::Result<()> {
    signals_of_guard().thread_block()
}
