//! Which hardware addresses are the peer's, by what is said on our LANs: whoever has them is no third party.
//!
//! Frames there are not signed, and any host can name any hardware address as the peer's. Two errors are
//! possible. If the peer counted as a third party, a node that is cut off together with it would take itself
//! for connected. If a third party counted as the peer, a node that reaches it would take itself for cut off,
//! and would let a group go or not take it. So what is said counts at once, and lapses: the peer says it
//! again, since its own address is asked for every minute and it announces every minute what it serves, and
//! a lie is not said again.

use crosswire::time::Instant;

use crate::guard::kernel::packets::Mac;

/// Most that are remembered.
const MAX_CLAIMS: usize = 32;
/// How long a claim counts that is not repeated: two questions for the peer's address may be lost in a row.
const LASTS_S: u32 = 150;
/// Frames that are no further apart may be one, sent several times.
const ONE_WORD_S: u32 = 1;

/// Somebody has said that the peer lives at this hardware address.
#[derive(Clone, Copy)]
struct Claim {
    interface: u8,
    mac: Mac,
    /// In seconds of our clock.
    since_s: u32,
    /// When it was said last.
    at_s: u32,
    /// Whoever has that hardware address was known as a third party, and the peer at another one.
    is_doubted: bool,
}

impl Claim {
    /// For how long it has been said, as far as that matters.
    fn standing_s(&self) -> u32 {
        (self.at_s - self.since_s).min(LASTS_S)
    }

    /// Which claim is to be believed longest: the one that has stood for longest, then the newest one.
    fn rank(&self) -> (u32, u32) {
        (self.standing_s(), self.at_s)
    }

    fn is_repeated(&self) -> bool {
        self.standing_s() > ONE_WORD_S
    }
}

/// Where the peer lives, by interface.
pub struct Claims(Vec<Claim>);

impl Claims {
    /// Nobody has said anything.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The peer is said to live there. `is_third_party`: whoever has that hardware address is known under an
    /// address of its own.
    pub fn note(&mut self, now: Instant, interface: u8, mac: Mac, is_third_party: bool) {
        let here = |claim: &&mut Claim| (claim.interface, claim.mac) == (interface, mac);
        if let Some(claim) = self.0.iter_mut().find(here) {
            claim.at_s = seconds(now);
            return;
        }
        // What was said once makes room first: no flood of lies drives the peer out.
        if self.0.len() == MAX_CLAIMS {
            let least = self.0.iter().position(|claim| !claim.is_repeated());
            self.0.remove(least.unwrap_or(0));
        }
        let now_s = seconds(now);
        // A box with two cards in one LAN answers from both at once.
        let is_met = self.0.iter().any(|one| one.interface == interface && now_s > one.since_s + ONE_WORD_S);
        self.0.push(Claim {
            interface,
            mac,
            since_s: now_s,
            at_s: now_s,
            is_doubted: is_third_party && is_met,
        });
    }

    /// Forgets what has not been said again. On each interface the best claim stays if it was ever repeated:
    /// a peer that was silent for long is no third party when it is back. Where the peer was never heard, a
    /// lie that was repeated stays as well, until the peer is.
    pub fn lapse(&mut self, now: Instant) {
        let is_over = |claim: &Claim| {
            let is_better = |other: &Claim| other.interface == claim.interface && other.rank() > claim.rank();
            seconds(now) >= claim.at_s + LASTS_S && (!claim.is_repeated() || self.0.iter().any(is_better))
        };
        // One at a time, which is often enough: this is looked at once an interval.
        if let Some(index) = self.0.iter().position(is_over) {
            self.0.remove(index);
        }
    }

    /// The peer lives at this hardware address, as far as we know.
    pub fn is_peer(&self, interface: u8, mac: Mac) -> bool {
        self.0.iter().any(|claim| (claim.interface, claim.mac) == (interface, mac) && self.counts(claim))
    }

    /// A third party that is said to be the peer is the peer only when that was said for as long as a claim
    /// lasts, or again while nothing else was. Until then a peer that got another network card, and was first
    /// heard from it under another address, counts as a third party; so does one that was first heard, under
    /// another address, after a lie. Otherwise a single frame would take the router away.
    fn counts(&self, claim: &Claim) -> bool {
        let contradicts =
            |other: &Claim| other.interface == claim.interface && !other.is_doubted && other.is_repeated();
        !claim.is_doubted
            || claim.standing_s() == LASTS_S
            || claim.is_repeated() && !self.0.iter().any(contradicts)
    }
}

fn seconds(at: Instant) -> u32 {
    u32::try_from(at.since(Instant::ORIGIN).as_us() / 1_000_000).unwrap_or(u32::MAX - LASTS_S)
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
