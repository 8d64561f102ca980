//! What a guard hands to the program that is executed in its place: what it holds, the descriptors that stay
//! open, what the agent has left, and the text of the file by which all of that was done.
//!
//! It goes through a pipe, and into the rehearsal in the same way. The first byte says which layout it has: a
//! build that does not know it refuses to go on, in the rehearsal.

use std::fs::File;
use std::io::Read;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use crosswire::custody::legacy::Legacy;
use crosswire::decode;
use crosswire::encode::to_slice;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, write};
use serde::{Deserialize, Serialize};

use crate::guard::fencing::watchdog::Armed;
use crate::guard::kernel::addresses::Put;
use crate::ipc::OpaqueDeposit;
use crate::settings::{ConfigError, Settings};
use crate::sys::process::take_over;

/// Grows when an older build cannot read what follows any more.
const LAYOUT: u8 = 1;
/// Room for all but the file's text: 512 addresses of 40 bytes, the deposit, and some labels.
const HEAD_BYTES: usize = 32 * 1024;

/// Everything that is handed over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Carried {
    /// The version of the build that hands over.
    pub version: [u8; 3],
    /// What is held.
    pub custody: Legacy,
    /// What the agent has left.
    pub deposit: OpaqueDeposit,
    /// What the kernel was seen to have of it.
    pub put: Vec<Put>,
    /// The kernel ignores lifetimes.
    pub is_lifetime_ignored: bool,
    /// The armed watchdog.
    pub watchdog: Option<(RawFd, Armed)>,
    /// The lock, and the socket on which the kernel tells its changes.
    pub own: [RawFd; 2],
    /// On which commands ask: root's, and members' if there is one.
    pub control: Vec<RawFd>,
    /// What daemons of scripts write to, each with its label in the log, if it is logged.
    pub outputs: Vec<(Option<String>, RawFd)>,
    /// The process that still writes the journal; 0 if there is none.
    pub journal: i32,
    /// What the file said.
    #[serde(skip)]
    pub text: String,
}

impl Carried {
    /// Reads what was handed over on this descriptor; an error is what is wrong with it.
    pub fn read(descriptor: RawFd) -> Result<Self, &'static str> {
        let mut bytes = Vec::new();
        let whole = take_over(descriptor).ok().map(|pipe| File::from(pipe).read_to_end(&mut bytes));
        let told = bytes.split_first().filter(|_| matches!(whole, Some(Ok(_))));
        let (layout, told) = told.ok_or("the state of the running daemon does not arrive")?;
        let known = Some(told).filter(|_| *layout == LAYOUT).and_then(decode::take_from_bytes::<Self>);
        let (head, text) = known.ok_or("this version cannot read the state of the running daemon")?;
        Ok(Self { text: String::from_utf8_lossy(text).into_owned(), ..head })
    }

    /// The end of a pipe from which it is read.
    ///
    /// # Errors
    /// `ENOBUFS` if that is more than a pipe takes, and what the kernel says.
    pub fn pipe(&self) -> nix::Result<OwnedFd> {
        let mut room = vec![0; HEAD_BYTES];
        let head = to_slice(self, &mut room).ok_or(Errno::ENOBUFS)?;
        let bytes = [&[LAYOUT], &*head, self.text.as_bytes()].concat();
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        if write(&writer, &bytes)? == bytes.len() { Ok(reader) } else { Err(Errno::ENOBUFS) }
    }

    /// The descriptors that stay open, and belong to nobody yet.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let outputs = self.outputs.iter().map(|(_, descriptor)| *descriptor);
        let watchdog = self.watchdog.iter().map(|(descriptor, _)| *descriptor);
        self.own.into_iter().chain(self.control.iter().copied()).chain(outputs).chain(watchdog).collect()
    }

    /// The settings by which it is held.
    ///
    /// # Errors
    /// Why this build cannot read them.
    pub fn settings_of_then(&self, file: &Path, node: Option<&str>) -> Result<Settings, String> {
        let said =
            |errors: Vec<ConfigError>| errors.iter().map(|error| format!("as it was: {error}; ")).collect();
        Settings::parse(file, &self.text, node).map_err(said)
    }

    /// The settings by which it is held, with the groups of `new`: one that is new is free, and one that is
    /// not there any more has to be.
    ///
    /// # Errors
    /// Why this build cannot go on by `new`.
    pub fn settings(&self, new: &Settings) -> Result<Settings, String> {
        let mut old = self.settings_of_then(&new.file, Some(new.my_name()))?;
        let count = new.groups.len();
        let held = self.custody.groups.iter().zip(&old.groups).skip(count);
        if let Some((_, group)) = held.into_iter().find(|(left, _)| left.held_until.is_some()) {
            let name = &group.name;
            return Err(format!("group {name} is served here, and not in the file: hand it over first"));
        }
        old.groups.truncate(count);
        old.policy.groups.truncate(count);
        old.groups.extend(new.groups.iter().skip(old.groups.len()).cloned());
        let known = old.policy.groups.len();
        old.policy.groups.extend(new.policy.groups.iter().skip(known).copied());
        Ok(old)
    }
}
