//! When and how a held address is announced, so that the neighbours send to the new holder at once.

use crosswire::time::{Instant, Span};
use log::warn;
use nix::errno::Errno;

use crate::guard::kernel::ethernet::Sender;
use crate::guard::kernel::packets::announcement;
use crate::settings::VirtualAddress;

/// When the first announcements leave. They begin with a burst of three, since a switch port that has just
/// moved may swallow the first; two more are for neighbours that were away for a moment. (RFC 5227 asks for
/// two, 2 s apart.)
const FIRST_MS: [u64; 5] = [0, 200, 400, 2_000, 10_000];
/// How often they leave from then on, for caches that somebody's mistake has filled.
const EVERY: Span = Span::from_s(60);

/// When the addresses of one held group are announced next. Missed announcements are not made up for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Schedule {
    started: Instant,
    next: Instant,
}

impl Schedule {
    /// Begins at once.
    pub fn starting(now: Instant) -> Self {
        Self { started: now, next: now }
    }

    /// When something is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Whether an announcement is due; each is due once.
    pub fn take_due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        let mut first = FIRST_MS.iter().map(|ms| self.started + Span::from_ms(*ms));
        self.next = first.find(|at| *at > now).unwrap_or(now + EVERY);
        true
    }
}

/// Announces every address from what it is on, so that a switch learns where that is. Links without hardware
/// addresses have nobody to tell.
pub fn announce(sender: &Sender, addresses: &[VirtualAddress]) {
    for address in addresses {
        match announce_one(sender, address) {
            Ok(()) | Err(Errno::EAFNOSUPPORT) => {}
            Err(errno) => warn!("cannot announce {} on {}: {}", address.ip, address.interface, errno.desc()),
        }
    }
}

fn announce_one(sender: &Sender, address: &VirtualAddress) -> nix::Result<()> {
    let outlet = sender.outlet(address.device())?;
    let is_router = address.ip.is_ipv6() && is_forwarding(address.device());
    announcement(address.ip, outlet.mac, is_router).iter().try_for_each(|frame| sender.send(&outlet, frame))
}

/// Whether the kernel routes IPv6 for others there (Documentation/networking/ip-sysctl.rst).
fn is_forwarding(interface: &str) -> bool {
    let said = std::fs::read(format!("/proc/sys/net/ipv6/conf/{interface}/forwarding"));
    said.is_ok_and(|said| !said.starts_with(b"0"))
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    use super::*;
    use crate::guard::kernel::ethernet::{Hears, Listener};
    use crate::guard::testing::{Veth, in_namespace};

    fn at_ms(ms: u64) -> Instant {
        Instant::from_us(7_000_000) + Span::from_ms(ms)
    }

    #[test]
    fn a_burst_then_ever_more_rarely_and_every_minute_while_held() {
        let mut schedule = Schedule::starting(at_ms(0));
        let mut sent_ms = Vec::new();
        for ms in 0..200_000 {
            if schedule.take_due(at_ms(ms)) {
                sent_ms.push(ms);
            }
        }
        assert_eq!(sent_ms, [0, 200, 400, 2_000, 10_000, 70_000, 130_000, 190_000]);
    }

    #[test]
    fn the_advertisement_says_what_the_kernel_is_there() {
        in_namespace(|| {
            let _veth = Veth::up("near", "far");
            let address = VirtualAddress::plain("fd00::100".parse().expect("an address"), 64, "near".into());
            let far = Listener::open("far", Hears::NeighbourDiscovery, &[address.ip]).expect("a listener");
            for (forwarding, flags) in [("0", 0x20), ("1", 0xa0)] {
                std::fs::write("/proc/sys/net/ipv6/conf/near/forwarding", forwarding).expect("set");
                announce(&Sender::open().expect("a sender"), std::slice::from_ref(&address));
                let mut frame = [0; 128];
                poll(
                    &mut [PollFd::new(far.socket.as_fd(), PollFlags::POLLIN)],
                    PollTimeout::from(30_000_u16),
                )
                .expect("it came");
                nix::unistd::read(&far.socket, &mut frame).expect("a frame");
                assert_eq!(frame[14 + 40 + 4], flags, "forwarding = {forwarding}");
            }
        });
    }

    #[test]
    fn it_says_when_it_is_due_next() {
        let mut schedule = Schedule::starting(at_ms(0));
        assert_eq!(schedule.next(), at_ms(0));
        assert!(schedule.take_due(at_ms(1)));
        assert_eq!(schedule.next(), at_ms(200));
    }

    #[test]
    fn what_was_missed_in_a_stall_is_sent_once() {
        let mut schedule = Schedule::starting(at_ms(0));
        assert!(schedule.take_due(at_ms(5_000)));
        assert!(!schedule.take_due(at_ms(5_000)));
        assert_eq!(schedule.next(), at_ms(10_000));
        assert!(schedule.take_due(at_ms(300_000)));
        assert_eq!(schedule.next(), at_ms(360_000));
    }
}
