//! What a guard hands to the program that is executed in its place: what it holds, the descriptors that stay
//! open, what the agent has left, and the text of the file by which all of that was done.
//!
//! It goes through a pipe, and into the rehearsal in the same way. The first byte says which layout it has: a
//! build that does not know it refuses to go on, in the rehearsal.

use std::fs::File;
use std::io::Read;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use crosswire::config::{GroupPolicy, MAX_GROUPS};
use crosswire::custody::legacy::{GroupLegacy, Legacy};
use crosswire::decode;
use crosswire::encode::to_slice;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, write};
use serde::{Deserialize, Serialize};

use crate::gather::Gather;
use crate::guard::fencing::watchdog::Armed;
use crate::guard::kernel::addresses::Put;
use crate::ipc::OpaqueDeposit;
use crate::settings::{ConfigError, GroupSettings, Settings};
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
    /// By group of the file of now, its place in the deposit.
    #[serde(skip)]
    pub places: heapless::Vec<Option<u8>, MAX_GROUPS>,
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

    /// Puts the groups into the order of `new`, in which one that was not there is free, and returns the
    /// settings by which it is held, with the same groups.
    ///
    /// # Errors
    /// Why this build cannot go on by `new`.
    pub fn fit(&mut self, new: &Settings) -> Result<Settings, String> {
        let mut old = self.settings_of_then(&new.file, Some(new.my_name()))?;
        let place = |group: &GroupSettings| old.groups.iter().position(|known| known.name == group.name);
        let places: Vec<_> = new.groups.iter().map(place).gather();
        let is_known = |(at, _): &(usize, &GroupLegacy)| places.contains(&Some(*at));
        let mut others = self.custody.groups.iter().enumerate().filter(|one| !is_known(one));
        if let Some((at, _)) = others.find(|(_, left)| left.held_until.is_some()) {
            let name = old.groups.get(at).map_or("?", |group| group.name.as_str());
            return Err(format!("group {name} is served here, and not in the file: hand it over first"));
        }
        // What a voting witness has granted goes by their places, on both nodes.
        let is_in_place = |(at, place): (usize, &Option<usize>)| place.is_none_or(|place| place == at);
        if (old.vote.is_some() || new.vote.is_some()) && !places.iter().enumerate().all(is_in_place) {
            return Err(
                "beside a voting witness new groups need a name behind the others, or a restart".into()
            );
        }
        let find = |at: &Option<usize>| self.custody.groups.get((*at)?).copied();
        self.custody.groups = places.iter().map(|at| find(at).unwrap_or_default()).collect();
        let settings = |(at, new): (&Option<usize>, &GroupSettings)| {
            at.and_then(|at| old.groups.get(at)).unwrap_or(new).clone()
        };
        let policy = |(at, new): (&Option<usize>, &GroupPolicy)| {
            at.and_then(|at| old.policy.groups.get(at)).copied().unwrap_or(*new)
        };
        let groups = places.iter().zip(&new.groups).map(settings).gather();
        let policies = places.iter().zip(&new.policy.groups).map(policy).collect();
        self.places = places.iter().map(|at| at.and_then(|at| u8::try_from(at).ok())).collect();
        (old.groups, old.policy.groups) = (groups, policies);
        Ok(old)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::IntoRawFd;

    use crosswire::custody::{Custody, Plan};
    use crosswire::frame::VERSION;

    use super::*;
    use crate::clock::now;
    use crate::guard::testing::settings;

    fn carried() -> Carried {
        let policy = settings("near", &[]).policy;
        Carried {
            version: VERSION,
            custody: Custody::new(Plan::new(&policy, []), now()).legacy(),
            deposit: OpaqueDeposit::new(&[7; 900]).expect("short enough"),
            put: vec![("near".to_owned(), 2, [0xfe; 16], 64, 1, true)],
            is_lifetime_ignored: true,
            watchdog: Some((9, Armed { timeout_s: 10, bound_s: 11, boot_status: 1 })),
            own: [4, 5],
            control: vec![6, 7],
            outputs: vec![(Some("service start".to_owned()), 8), (None, 10)],
            journal: 77,
            text: "pair = \"ä\"\n".to_owned(),
            places: heapless::Vec::new(),
        }
    }

    /// What comes out where these bytes go in.
    fn read(bytes: &[u8]) -> Result<Carried, &'static str> {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(bytes).expect("there is room");
        drop(writer);
        Carried::read(OwnedFd::from(reader).into_raw_fd())
    }

    #[test]
    fn what_is_handed_over_arrives_as_it_was() {
        let told = carried();
        let pipe = told.pipe().expect("a pipe").into_raw_fd();
        let heard = Carried::read(pipe).expect("it can be read");
        assert_eq!((&heard.custody, &heard.deposit, &heard.put), (&told.custody, &told.deposit, &told.put));
        assert_eq!((&heard.watchdog, heard.own, &heard.control), (&told.watchdog, told.own, &told.control));
        assert_eq!((&heard.outputs, heard.journal, &heard.text), (&told.outputs, told.journal, &told.text));
        assert_eq!(heard.descriptors(), [4, 5, 6, 7, 8, 10, 9]);
    }

    #[test]
    fn what_this_build_does_not_know_is_refused() {
        let mut room = vec![0; HEAD_BYTES];
        let known = [&[LAYOUT], &*to_slice(&carried(), &mut room).expect("there is room")].concat();
        assert!(read(&known).is_ok());
        assert!(read(&known[..known.len() - 1]).is_err(), "cut short");
        let mut later = known;
        later[0] = LAYOUT + 1;
        assert_eq!(read(&later).err(), Some("this version cannot read the state of the running daemon"));
        assert_eq!(read(&[]).err(), Some("the state of the running daemon does not arrive"));
    }

    #[test]
    fn more_than_a_pipe_takes_is_not_handed_over() {
        let long = Carried { text: "x".repeat(70_000), ..carried() };
        assert_eq!(long.pipe().err(), Some(Errno::ENOBUFS));
    }
}
