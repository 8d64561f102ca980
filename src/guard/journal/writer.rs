//! The life of the process that writes the journal. It opens the files as root, gives up everything else, and
//! writes what comes until nobody is left who could send anything. It ends at the first thing that goes
//! wrong: the guard says what that was, and starts another one a little later.

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
/// For each byte, so much time: 690 KB a day. A stormy hour may bring more at first.
const US_PER_BYTE: u64 = 125_000;
const BURST_BYTES: i64 = 256 * 1024;

/// Where a journal is, and who may read it.
pub struct JournalPlace<'a> {
    /// The path of both files, without their numbers.
    pub base: &'a Path,
    /// Whose members may read them.
    pub group: Option<u32>,
    /// The daemon's run directory.
    pub run_dir: &'a Path,
}

/// The whole life; returns its exit code: 0, or the error's number.
pub fn live(place: &JournalPlace<'_>, socket: &OwnedFd) -> i32 {
    ignore(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGXFSZ]);
    let _ = SigSet::empty().thread_set_mask();
    become_ordinary();
    match write_until_the_end(place, socket) {
        Ok(()) => 0,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Errno::EPERM as i32,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Errno::EAGAIN as i32,
        Err(error) => error.raw_os_error().unwrap_or(Errno::EIO as i32),
    }
}

fn write_until_the_end(place: &JournalPlace<'_>, socket: &OwnedFd) -> io::Result<()> {
    let mut files = Files::open(place.base, place.group)?;
    let [first, second] = files.descriptors();
    close_all_but(&mut [socket.as_raw_fd(), first, second]);
    privileges::drop_all(place.run_dir, MAX_FILE_BYTES).map_err(io::Error::other)?;
    let mut ration = Ration { left_bytes: BURST_BYTES, at: now() };
    let mut has_begun = false;
    loop {
        if has_begun {
            pause(socket, ration.wait());
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
fn write_what_has_come(socket: &OwnedFd, files: &mut Files) -> io::Result<i64> {
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
                    written += files.append(Kind::from_number(*kind), payload)? as i64;
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
    /// Below zero after a write that took more than was left.
    left_bytes: i64,
    at: Instant,
}

impl Ration {
    fn spend(&mut self, now: Instant, bytes: i64) {
        let earned = now.since(self.at).as_us() / US_PER_BYTE;
        self.at = self.at + Span::from_us(earned * US_PER_BYTE);
        let left = self.left_bytes.saturating_add(i64::try_from(earned).unwrap_or(BURST_BYTES));
        self.left_bytes = left.min(BURST_BYTES) - bytes;
    }

    /// How long to wait before the next write.
    fn wait(&self) -> Span {
        let owed = u64::try_from(-self.left_bytes).unwrap_or(0);
        Span::from_us(owed * US_PER_BYTE).max(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Span = Span::from_s(86_400);

    #[test]
    fn a_storm_writes_what_is_spared_for_it_and_then_less_than_a_megabyte_a_day() {
        let begun = Instant::from_us(1);
        for bytes in [80, 2_000, 60_000] {
            let (mut now, mut total) = (begun, 0);
            let mut ration = Ration { left_bytes: BURST_BYTES, at: now };
            while now.since(begun) < DAY {
                now = now + ration.wait();
                ration.spend(now, bytes);
                total += bytes;
            }
            let least = BURST_BYTES;
            assert!((least..BURST_BYTES + 800_000).contains(&total), "{bytes}: {total}");
        }
    }

    #[test]
    fn a_quiet_box_writes_each_entry_at_once() {
        let mut now = Instant::from_us(1);
        let mut ration = Ration { left_bytes: BURST_BYTES, at: now };
        for _ in 0..10_000 {
            now = now + Span::from_s(60);
            ration.spend(now, 80);
            assert_eq!(ration.wait(), PAUSE);
        }
    }
}
