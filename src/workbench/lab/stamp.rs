//! When a datagram came, by the kernel that has it, and not by the thread that reads it.
//!
//! A busy machine runs a thread late. What came meanwhile was not late.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use crosswire::time::Instant;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::time::{ClockId, clock_gettime};

use super::clock::now;

/// A datagram that was read.
pub struct Datagram {
    /// Of what was read into the buffer.
    pub length: usize,
    /// Who sent it.
    pub from: Option<SockaddrStorage>,
    /// When the kernel had it.
    pub came: Instant,
}

/// From now on the kernel stamps what comes.
///
/// # Errors
/// The kernel's.
pub fn stamp(socket: &impl std::os::fd::AsFd) -> nix::Result<()> {
    setsockopt(socket, sockopt::ReceiveTimestampns, &true)
}

/// The next datagram, without waiting for one.
///
/// # Errors
/// `EAGAIN` where there is none; an error that the kernel reports for what was sent before.
pub fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> nix::Result<Datagram> {
    let mut control = nix::cmsg_space!(TimeSpec);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let stamp = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
        _ => None,
    });
    Ok(Datagram { length: message.bytes, from: message.address, came: came(stamp) })
}

/// The kernel stamps by the clock of the day.
fn came(stamp: Option<TimeSpec>) -> Instant {
    let age = stamp.and_then(|stamp| Some(clock_gettime(ClockId::CLOCK_REALTIME).ok()? - stamp));
    let age_us = age.and_then(|age| u64::try_from(age.num_microseconds()).ok()).unwrap_or(0);
    Instant::from_us(now().as_us().saturating_sub(age_us))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_read_late_came_when_it_was_sent() {
        let (one, other) = UnixDatagram::pair().unwrap();
        stamp(&other).unwrap();
        let sent = now();
        one.send(b"word").unwrap();
        let came_by = now();
        thread::sleep(Duration::from_millis(50));
        let mut buffer = [0; 8];
        let read = receive(&other, &mut buffer).unwrap();
        // Two clocks are read, one after the other.
        let slack = crosswire::time::Span::from_ms(10);
        assert_eq!(&buffer[..read.length], b"word");
        assert!(
            read.came + slack >= sent && read.came <= came_by + slack,
            "{:?}",
            (sent, read.came, came_by)
        );
        assert_eq!(receive(&other, &mut buffer).err(), Some(nix::errno::Errno::EAGAIN));
    }
}
