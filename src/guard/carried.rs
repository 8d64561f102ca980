//! What a guard hands to the program that is executed in its place: what it holds, the descriptors that stay
//! open, what the agent has left, and the text of the file by which all of that was done.
//!
//! It goes through a pipe, and into the rehearsal in the same way. The first byte says which layout it has: a
//! build that does not know it refuses to go on, in the rehearsal.

use std::fs::File;
use std::io::Read;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use crosswire::config::MAX_GROUPS;
use crosswire::custody::legacy::{GroupLegacy, Legacy};
use crosswire::resource::Token;
use crosswire::time::Instant;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, write};

use crate::gather::Gather;
use crate::guard::fencing::watchdog::Armed;
use crate::ipc::OpaqueDeposit;
use crate::settings::{ConfigError, GroupSettings, Settings, StopFailure};
use crate::sys::process::take_over;

/// Grows when an older build cannot read what follows any more.
const LAYOUT: u8 = 1;
/// More than a pipe takes.
const MAX_BYTES: u64 = 1 << 20;
/// What a build says that does not know the layout: every build that can go on in place has this text in it.
pub const UNREADABLE: &str = "this version cannot read the state of the running daemon";
/// Everything is a list of numbers of so many bytes, the lowest first; then come the deposit and the text.
const NUMBER_BYTES: usize = 8;

/// Everything that is handed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carried {
    /// The version of the build that hands over.
    pub version: [u8; 3],
    /// What is held.
    pub custody: Legacy,
    /// The kernel ignores lifetimes.
    pub is_lifetime_ignored: bool,
    /// The process that still writes the journal; 0 if there is none.
    pub journal: i32,
    /// The lock, and the socket on which the kernel tells its changes.
    pub own: [RawFd; 2],
    /// On which commands ask: root's, and members' if there is one.
    pub control: Vec<RawFd>,
    /// What daemons of scripts write to.
    pub outputs: Vec<RawFd>,
    /// The armed watchdog.
    pub watchdog: Option<(RawFd, Armed)>,
    /// What the agent has left.
    pub deposit: OpaqueDeposit,
    /// What the file said.
    pub text: String,
}

/// What was handed over, as it fits the file of now.
pub struct Fitted {
    /// The settings of now.
    pub new: Settings,
    /// By group of now, what is held.
    pub groups: heapless::Vec<GroupLegacy, MAX_GROUPS>,
    /// By group of now, its place in the deposit; none if it was not there.
    pub places: heapless::Vec<Option<u8>, MAX_GROUPS>,
}

/// Numbers that are read one by one; what is not there is zero, and is told at the end.
struct Numbers<'b> {
    rest: &'b [u8],
    is_cut: bool,
}

impl Numbers<'_> {
    fn next(&mut self) -> u64 {
        let Some((number, rest)) = self.rest.split_first_chunk::<NUMBER_BYTES>() else {
            (self.rest, self.is_cut) = (&[], true);
            return 0;
        };
        self.rest = rest;
        u64::from_le_bytes(*number)
    }

    /// A number that is no larger than this.
    #[expect(clippy::cast_possible_truncation, reason = "written from one of this size")]
    fn small(&mut self) -> i32 {
        self.next() as i32
    }

    /// As many as the first one says.
    fn list(&mut self) -> Vec<u64> {
        let count = self.next();
        (0..count).map_while(|_| (!self.is_cut).then(|| self.next())).gather()
    }

    fn descriptors(&mut self) -> Vec<RawFd> {
        self.list().into_iter().filter_map(|number| RawFd::try_from(number).ok()).gather()
    }
}

impl Carried {
    /// Reads what was handed over on this descriptor; an error is what is wrong with it.
    pub fn read(descriptor: RawFd) -> Result<Self, &'static str> {
        let mut bytes = Vec::new();
        let mut pipe = take_over(descriptor).ok().map(File::from);
        let whole = pipe.as_mut().map(|pipe| pipe.by_ref().take(MAX_BYTES).read_to_end(&mut bytes));
        match bytes.split_first().filter(|_| matches!(whole, Some(Ok(_)))) {
            None => Err("the state of the running daemon does not arrive"),
            Some((&LAYOUT, told)) => Self::parse(told).ok_or("the state of the running daemon is damaged"),
            Some(_) => Err(UNREADABLE),
        }
    }

    fn parse(told: &[u8]) -> Option<Self> {
        let mut numbers = Numbers { rest: told, is_cut: false };
        let version = [0; 3].map(|_: u8| numbers.small() as u8);
        let [is_lifetime_ignored, is_hands_off] = [0; 2].map(|_: u8| numbers.next() != 0);
        let last_token = Token(numbers.small().cast_unsigned());
        let [journal, lock, links] = [0; 3].map(|_: u8| numbers.small());
        let [control, outputs] = [0; 2].map(|_: u8| numbers.descriptors());
        let watchdog = match numbers.list()[..] {
            [descriptor, timeout_s, bound_s, boot_status] => {
                let (timeout_s, bound_s) = (timeout_s as u8, bound_s as u8);
                Some((descriptor as RawFd, Armed { timeout_s, bound_s, boot_status: boot_status as u32 }))
            }
            _ => None,
        };
        let group = |left: &[u64]| {
            let [term, until] = *left else { return GroupLegacy::default() };
            GroupLegacy { term: term as u32, held_until: (until > 0).then_some(Instant::from_us(until)) }
        };
        let groups = numbers.list().chunks(2).map(group).take(MAX_GROUPS).collect();
        let deposit_bytes = usize::try_from(numbers.next()).ok()?;
        let (deposit, text) = numbers.rest.split_at_checked(deposit_bytes).filter(|_| !numbers.is_cut)?;
        Some(Self {
            version,
            custody: Legacy { last_token, is_hands_off, groups },
            is_lifetime_ignored,
            journal,
            own: [lock, links],
            control,
            outputs,
            watchdog,
            deposit: OpaqueDeposit::new(deposit)?,
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let small = |number: i32| u64::from(number.cast_unsigned());
        let Legacy { last_token, is_hands_off, groups } = &self.custody;
        let mut numbers: Vec<u64> = self.version.iter().map(|part| u64::from(*part)).gather();
        numbers.extend([self.is_lifetime_ignored, *is_hands_off].map(u64::from));
        numbers.push(u64::from(last_token.0));
        numbers.extend([self.journal, self.own[0], self.own[1]].map(small));
        for list in [&self.control, &self.outputs] {
            numbers.push(list.len() as u64);
            numbers.extend(list.iter().map(|descriptor| small(*descriptor)));
        }
        match self.watchdog {
            None => numbers.push(0),
            Some((descriptor, Armed { timeout_s, bound_s, boot_status })) => {
                numbers.extend([4, small(descriptor), timeout_s.into(), bound_s.into(), boot_status.into()]);
            }
        }
        numbers.push(2 * groups.len() as u64);
        for GroupLegacy { term, held_until } in groups {
            numbers.extend([u64::from(*term), held_until.map_or(0, Instant::as_us)]);
        }
        let deposit = self.deposit.as_bytes();
        numbers.push(deposit.len() as u64);
        let numbers: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).gather();
        [&[LAYOUT], &numbers[..], deposit, self.text.as_bytes()].concat()
    }

    /// The end of a pipe from which it is read.
    ///
    /// # Errors
    /// `ENOBUFS` if that is more than a pipe takes, and what the kernel says.
    pub fn pipe(&self) -> nix::Result<OwnedFd> {
        let bytes = self.to_bytes();
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        if write(&writer, &bytes)? == bytes.len() { Ok(reader) } else { Err(Errno::ENOBUFS) }
    }

    /// The descriptors that stay open, and belong to nobody yet.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let watchdog = self.watchdog.iter().map(|(descriptor, _)| descriptor);
        self.own.iter().chain(&self.control).chain(&self.outputs).chain(watchdog).copied().gather()
    }

    /// The settings by which it is held.
    ///
    /// # Errors
    /// Why this build cannot read them.
    pub fn settings_of_then(&self, file: &Path, node: Option<&str>) -> Result<Settings, String> {
        let said = |errors: Vec<ConfigError>| errors.first().map_or(String::new(), ToString::to_string);
        Settings::parse(file, &self.text, node).map_err(said)
    }

    /// Puts the groups into the order of `new`, in which one that was not there is free. Returns the settings
    /// by which it is held, with the same groups.
    ///
    /// # Errors
    /// Why this build cannot go on by `new`.
    pub fn fit(&self, new: Settings) -> Result<(Settings, Fitted), String> {
        let mut old = self.settings_of_then(&new.file, Some(new.my_name()))?;
        let mut before: Vec<_> = std::mem::take(&mut old.groups).into_iter().map(Some).gather();
        let policies = std::mem::take(&mut old.policy.groups);
        let (mut groups, mut places) = (heapless::Vec::new(), heapless::Vec::new());
        for (group, policy) in new.groups.iter().zip(&new.policy.groups) {
            let is_it =
                |known: &Option<GroupSettings>| known.as_ref().is_some_and(|known| known.name == group.name);
            let at = before.iter().position(is_it);
            let own = at.and_then(|at| before.get_mut(at)).and_then(Option::take);
            let left = at.and_then(|at| self.custody.groups.get(at));
            let _ = old.policy.groups.push(at.and_then(|at| policies.get(at)).copied().unwrap_or(*policy));
            old.groups.push(own.unwrap_or_else(|| nothing_of(group)));
            let _ = groups.push(left.copied().unwrap_or_default());
            let _ = places.push(at.and_then(|at| u8::try_from(at).ok()));
        }
        for (group, left) in before.iter().zip(&self.custody.groups) {
            if let (Some(group), Some(_)) = (group, left.held_until) {
                return Err(format!(
                    "group {} is served here, and not in the file: hand it over first",
                    group.name
                ));
            }
        }
        // What a voting witness has granted goes by their places, on both nodes.
        let is_moved = |(at, place): (u8, &Option<u8>)| place.is_some_and(|place| place != at);
        if (old.vote.is_some() || new.vote.is_some()) && (0..).zip(&places).any(is_moved) {
            return Err(
                "beside a voting witness new groups need a name behind the others, or a restart".into()
            );
        }
        Ok((old, Fitted { new, groups, places }))
    }
}

/// A group of that name that holds nothing.
fn nothing_of(group: &GroupSettings) -> GroupSettings {
    GroupSettings {
        name: group.name.clone(),
        addresses: Vec::new(),
        tracked: Vec::new(),
        routes: Vec::new(),
        scripts: Vec::new(),
        ready: Vec::new(),
        before: 0,
        on_stop_failure: StopFailure::Hold,
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
            is_lifetime_ignored: true,
            watchdog: Some((9, Armed { timeout_s: 10, bound_s: 11, boot_status: 1 })),
            own: [4, 5],
            control: vec![6, 7],
            outputs: vec![8, 10],
            journal: 77,
            text: "pair = \"ä\"\n".to_owned(),
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
        assert_eq!(heard, told);
        assert_eq!(heard.descriptors(), [4, 5, 6, 7, 8, 10, 9]);
    }

    #[test]
    fn what_this_build_does_not_know_is_refused() {
        let known = carried().to_bytes();
        assert!(read(&known).is_ok());
        for length in 1..known.len() - carried().text.len() {
            assert_eq!(read(&known[..length]).err(), Some("the state of the running daemon is damaged"));
        }
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
