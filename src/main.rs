//! The half of crosswire that touches the box: every system call, every word that a person reads.
//!
//! `crosswire run` splits into two processes, the privileged [`guard`] and the unprivileged [`agent`], which
//! runs the decision of the library. `crosswire witness` is the daemon of a third box. Every other command is
//! one file in [`cli`]; those that need the running daemon ask it over the control socket. What people and
//! programs are told is in [`operator`].

mod agent;
mod cli;
mod clock;
mod gather;
mod guard;
mod ipc;
mod logger;
mod operator;
mod plain;
mod private;
mod settings;
mod sys;
mod tty;
#[cfg(feature = "witness")]
mod witness;
#[cfg(feature = "workbench")]
pub mod workbench;

fn main() -> std::process::ExitCode {
    cli::main()
}
