//! The life of the process that writes the journal. It opens the files as root, gives up everything else, and
//! writes what comes until nobody is left who could send anything. It ends at the first thing that goes wrong:
//! the guard says what that was, and starts another one a little later.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use crosswire::journal::{Kind, MAX_PAYLOAD_BYTES};
use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{MsgFlags, recv};

use super::files::Files;
use crate::clock::now;
use crate::guard::agent_process::privileges;
use crate::guard::scheduling::become_ordinary;
use crate::operator::recall::MAX_FILE_BYTES;
use crate::sys::process::{close_all_but, ignore};

/// Longest packet: the kind of a line, and its payload.
const MAX_PACKET_BYTES: usize = 1 + MAX_PAYLOAD_BYTES;
/// Between two writes: what comes meanwhile is written together, which wears a flash less.
const PAUSE: Span = Span::from_ms(250);
/// How much a day may bring for ever, and a stormy hour on top of it.
const BYTES_PER_DAY: u64 = 700_000;
const BURST_BYTES: u64 = 256 * 1024;
const US_PER_DAY: u64 = 86_400_000_000;

/// Where a journal is, and who may read it.
pub struct Place<'a> {
    /// The path of both files, without their numbers.
    pub base: &'a Path,
    /// Whose members may read them.
    pub group: Option<u32>,
    /// The daemon's run directory.
    pub run_dir: &'a Path,
}

/// The whole life; returns its exit code: 0, or the error's number.
pub fn live(place: &Place<'_>, socket: &OwnedFd) -> i32 {
    ignore(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGXFSZ]);
    let _ = SigSet::empty().thread_set_mask();
    become_ordinary();
    match write_until_the_end(place, socket) {
        Ok(()) => 0,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Errno::EPERM as i32,
        Err(error) => error.raw_os_error().unwrap_or(Errno::EIO as i32),
    }
}

fn write_until_the_end(place: &Place<'_>, socket: &OwnedFd) -> io::Result<()> {
    let mut files = Files::open(place.base, place.group)?;
    let [first, second] = files.descriptors();
    close_all_but(&mut [socket.as_raw_fd(), first, second]);
    privileges::drop_all(place.run_dir, MAX_FILE_BYTES).map_err(io::Error::other)?;
    let mut ration = Ration { left_bytes: BURST_BYTES, at: now() };
    let mut has_begun = false;
    loop {
        if has_begun {
            pause(socket, ration.wait(now()));
        }
        let written = write_what_has_come(socket, &mut files)?;
        if written == 0 && has_begun {
            return Ok(());
        }
        has_begun = true;
        files.sync()?;
        ration.spend(now(), written);
    }
}

/// Waits for something, and writes all that is there; returns how many bytes that made. A packet leaves the
/// socket only after it was written: where that fails, another writer finds it there.
fn write_what_has_come(socket: &OwnedFd, files: &mut Files) -> io::Result<u64> {
    let mut room = [0; MAX_PACKET_BYTES];
    let (mut written, mut how) = (0, MsgFlags::empty());
    loop {
        match recv(socket.as_raw_fd(), &mut room, MsgFlags::MSG_PEEK | how) {
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) | Ok(0) => return Ok(written),
            Err(errno) => return Err(errno.into()),
            Ok(length) => {
                let packet = room.get(..length).unwrap_or_default();
                if let Some((kind, payload)) = packet.split_first() {
                    written += files.append(Kind::from_number(*kind), payload)? as u64;
                }
                let _ = recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT);
            }
        }
        how = MsgFlags::MSG_DONTWAIT;
    }
}

/// Waits that long, or until nobody is left who could send anything.
fn pause(socket: &OwnedFd, lasts: Span) {
    let timeout = PollTimeout::try_from(lasts.as_ms()).unwrap_or(PollTimeout::MAX);
    let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::empty())], timeout);
}

/// How much may be written, so that no storm wears the disk out.
struct Ration {
    left_bytes: u64,
    at: Instant,
}

impl Ration {
    fn spend(&mut self, now: Instant, bytes: u64) {
        let earned = now.since(self.at).as_us().saturating_mul(BYTES_PER_DAY) / US_PER_DAY;
        if earned > 0 {
            self.at = now;
        }
        self.left_bytes = self.left_bytes.saturating_add(earned).min(BURST_BYTES).saturating_sub(bytes);
    }

    /// How long to wait before the next write.
    fn wait(&self, now: Instant) -> Span {
        if self.left_bytes > 0 {
            return PAUSE;
        }
        // A write of a moment's entries takes a few kilobytes.
        Span::from_us(US_PER_DAY / BYTES_PER_DAY * 4_096).saturating_sub(now.since(self.at)).max(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_writes_what_is_spared_for_it_and_then_less_than_a_megabyte_a_day() {
        let begun = Instant::from_us(1);
        let (mut now, mut total) = (begun, 0);
        let mut ration = Ration { left_bytes: BURST_BYTES, at: now };
        while now.since(begun) < Span::from_us(US_PER_DAY) {
            now = now + ration.wait(now);
            ration.spend(now, 2_000);
            total += 2_000;
        }
        assert!((BURST_BYTES..1_000_000).contains(&total), "{total}");
    }

    #[test]
    fn a_quiet_box_writes_each_entry_at_once() {
        let mut now = Instant::from_us(1);
        let mut ration = Ration { left_bytes: BURST_BYTES, at: now };
        for _ in 0..10_000 {
            now = now + Span::from_s(60);
            ration.spend(now, 80);
            assert_eq!(ration.wait(now), PAUSE);
        }
    }
}
