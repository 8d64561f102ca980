//! What an agent is made of, and what it goes on with.

use std::ffi::CString;
use std::os::fd::{OwnedFd, RawFd};

use crosswire::frame::Key;
use crosswire::quorum::succession::{Differences, Holding};
use crosswire::resource::Token;

use crate::ipc::OpaqueDeposit;
use crate::settings::Settings;

/// What an agent needs to go on in the place of another.
#[derive(Clone, Debug)]
pub struct Inheritance {
    /// What the dead one has left; nothing for an agent that begins anew.
    pub deposit: OpaqueDeposit,
    /// What the file of the deposit says otherwise than that of now.
    pub differences: Differences,
    /// By group, what is in hand.
    pub holdings: Vec<Option<Holding>>,
    /// The newest token that was used.
    pub last_token: Token,
    /// The agent is there because the settings have changed.
    pub is_reload: bool,
    /// It is there because the daemon was executed anew: which version was there before.
    pub upgraded_from: Option<[u8; 3]>,
    /// It is the first agent of this run of the daemon: what is in hand is what an earlier run has left.
    pub is_first: bool,
}

/// How a child of the guard becomes an agent: with the settings and keys of now, its end of the socket pair,
/// and what it goes on with. Returns its exit code.
pub type BecomeAgent<'a> = &'a dyn Fn(&Settings, &[Key], OwnedFd, Option<Inheritance>) -> u8;

/// How agents are made.
pub struct Recipe<'a> {
    /// What the child does.
    pub become_agent: BecomeAgent<'a>,
    /// What it authenticates with. Those that a reload replaces are wiped.
    pub keys: Vec<Key>,
    /// The descriptors that it needs beside its end of the socket pair, and standard input, output and error.
    pub keeps: &'a [RawFd],
    /// The command line of this daemon.
    pub command: &'a [CString],
}
