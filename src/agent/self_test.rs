//! Whether probes can be believed: while the peer is heard on a LAN, its own address has to answer there.
//!
//! A probe that nobody answers says 'clear' only where answers could come in. Filters and switched-off ARP swallow them
//! without a word, on either box; so each LAN is tried every minute, long before it matters.

use std::net::IpAddr;

use crosswire::config::PathId;
use crosswire::time::{Instant, Span};
use log::{info, warn};

use crate::settings::{PathDevice, Settings};

/// How often a LAN is tried that answers.
const EVERY: Span = Span::from_s(60);
/// How long an answer may take; and how often a LAN is tried that did not answer.
const PATIENCE: Span = Span::from_s(2);
/// So many questions in a row without an answer are no accident: on a LAN that loses 40 % of all frames both ways, one
/// round in a hundred.
const MAX_UNANSWERED: u8 = 10;

/// The LAN paths, as probes know them.
pub struct SelfTest {
    lans: Vec<Lan>,
}

struct Lan {
    path: PathId,
    interface: String,
    peer: IpAddr,
    due: Instant,
    is_waiting: bool,
    unanswered: u8,
}

impl SelfTest {
    /// Everything is believed until the first test, some seconds after the start.
    pub fn new(settings: &Settings, now: Instant) -> Self {
        let lan = |(path, settings): (_, &crate::settings::PathSettings)| match &settings.device {
            PathDevice::Lan { interface, peer, .. } => Some(Lan {
                path,
                interface: interface.clone(),
                peer: *peer,
                due: now + PATIENCE,
                is_waiting: false,
                unanswered: 0,
            }),
            PathDevice::Serial { .. } => None,
        };
        Self { lans: settings.policy.path_ids().zip(&settings.paths).filter_map(lan).collect() }
    }

    /// When a LAN wants to be looked at next.
    pub fn deadline(&self) -> Instant {
        self.lans.iter().map(|lan| lan.due).min().unwrap_or(Instant::NEVER)
    }

    /// Whether the peer has to be asked for now. `is_well`: it is heard on that path, and says that it hears us; on any
    /// other LAN its silence would prove nothing.
    pub fn pass(&mut self, now: Instant, is_well: impl Fn(PathId) -> bool) -> bool {
        let mut must_ask = false;
        for lan in self.lans.iter_mut().filter(|lan| now >= lan.due) {
            lan.due = now + PATIENCE;
            if !is_well(lan.path) {
                lan.is_waiting = false;
                continue;
            }
            if lan.is_waiting && lan.unanswered < MAX_UNANSWERED {
                lan.unanswered += 1;
                if lan.is_deaf() {
                    warn!(
                        "{}: probe impossible: {} is heard here but answers no ARP or neighbour discovery; look for a filter, arp_ignore or NOARP on both boxes",
                        lan.interface, lan.peer
                    );
                }
            }
            lan.is_waiting = true;
            must_ask = true;
        }
        must_ask
    }

    /// That address has shown itself on that interface.
    pub fn note_answer(&mut self, now: Instant, interface: &str, ip: IpAddr) {
        for lan in self.lans.iter_mut().filter(|lan| lan.is_waiting && lan.interface == interface && lan.peer == ip) {
            if lan.is_deaf() {
                info!("{}: {} answers again: probes are believed", lan.interface, lan.peer);
            }
            (lan.is_waiting, lan.unanswered, lan.due) = (false, 0, now + EVERY);
        }
    }

    /// The interfaces on which a probe's silence proves nothing.
    pub fn deaf(&self) -> impl Iterator<Item = &str> {
        self.lans.iter().filter(|lan| lan.is_deaf()).map(|lan| lan.interface.as_str())
    }
}

impl Lan {
    fn is_deaf(&self) -> bool {
        self.unanswered >= MAX_UNANSWERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::testing::settings;

    fn at(s: u64) -> Instant {
        Instant::from_us(5_000_000) + Span::from_s(s)
    }

    fn peer() -> IpAddr {
        IpAddr::from([10, 9, 0, 2])
    }

    #[test]
    fn a_peer_that_answers_is_asked_every_minute() {
        let mut test = SelfTest::new(&settings("near", &[]), at(0));
        let mut asked_at = Vec::new();
        for s in 0..200 {
            if test.pass(at(s), |_| true) {
                asked_at.push(s);
                test.note_answer(at(s), "near", peer());
            }
        }
        assert_eq!(asked_at, [2, 62, 122, 182]);
        assert_eq!(test.deaf().count(), 0);
    }

    #[test]
    fn ten_questions_without_an_answer_are_deafness_and_one_answer_ends_it() {
        let mut test = SelfTest::new(&settings("near", &[]), at(0));
        for s in (2..22).step_by(2) {
            assert!(test.pass(at(s), |_| true));
            assert_eq!(test.deaf().count(), 0, "{s}");
            test.note_answer(at(s), "near", IpAddr::from([10, 9, 0, 3]));
            test.note_answer(at(s), "other", peer());
        }
        assert!(test.pass(at(22), |_| true));
        assert_eq!(test.deaf().collect::<Vec<_>>(), ["near"]);
        test.note_answer(at(23), "near", peer());
        assert_eq!(test.deaf().count(), 0);
        assert_eq!(test.deadline(), at(83));
    }

    #[test]
    fn a_lan_on_which_the_peer_is_not_heard_both_ways_proves_nothing() {
        let mut test = SelfTest::new(&settings("near", &[]), at(0));
        for s in 0..100 {
            assert!(!test.pass(at(s), |_| false));
        }
        assert_eq!(test.deaf().count(), 0);
        for s in 100..130 {
            test.pass(at(s), |_| true);
        }
        for s in 130..200 {
            test.pass(at(s), |_| false);
        }
        assert_eq!(test.deaf().count(), 1, "what was found stands until the peer is heard again");
    }
}
