//! What outlives an agent: how its successor goes on in its place.
//!
//! An agent that dies or hangs is started again by its guard, as a new incarnation. The peer must not notice
//! more than that, and nothing may be believed that was only true of the dead one. So two things are handed
//! over, and no more:
//!
//! * the [`Deposit`], which the agent leaves with its guard at every beat: what it alone knows, and what
//!   binds a holder. It may be a beat old; in all of it, older means more careful.
//! * for each group the [`Holding`], which is what the guard itself has in hand: that is the truth about what
//!   is held.
//!
//! The right to take is *not* handed over: before this run has heard the peer, the peer's silence means
//! nothing to a backup, as after any start.

use crate::encode::to_slice;
use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::config::{MAX_DEAD_AFTER, MAX_GROUPS, MAX_INTERFACES, MAX_PATHS, MAX_WITNESSES};
use crate::frame::message::{Incarnation, MAX_TERM, decode_all};
use crate::health::neighbours::NeighboursDeposit;
use crate::health::path::PathDeposit;
use crate::pair::Mechanisms;
use crate::quorum::facts::Standby;
use crate::resource::{ReleaseOrder, Token};
use crate::time::{Instant, Span};
use crate::vote::agreement::Agreement;
use crate::vote::wire::Shown;

/// What an agent leaves with its guard for its successor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deposit {
    /// The peer's run that it had adopted. Another one is a peer that has returned.
    pub peer: Option<Incarnation>,
    /// From when the ack deadline is reckoned: the send time of its newest acknowledged beat.
    pub acknowledged_at: Option<Instant>,
    /// What the peer announced to be armed.
    pub mechanisms: Option<Mechanisms>,
    /// The peer was last heard in maintenance, which lasts until then.
    pub peer_maintenance_until: Option<Instant>,
    /// What its operator had told it not to do.
    pub restraint: Restraint,
    /// Its paths, in their order.
    pub paths: Vec<PathDeposit, MAX_PATHS>,
    /// Its groups, in their order.
    pub groups: Vec<GroupDeposit, MAX_GROUPS>,
    /// When the newest request left that each witness answered.
    pub witnesses: Vec<Option<Instant>, MAX_WITNESSES>,
    /// Which witnesses count, as bits.
    pub witnesses_that_count: u8,
    /// What it knew of the neighbours on each interface.
    pub neighbours: Vec<NeighboursDeposit, MAX_INTERFACES>,
    /// What it was granted by the voting witness.
    pub vote: Option<VoteDeposit>,
    /// The times by which the peer believes that we go.
    pub promise: Promise,
}

/// What is deposited of the voting witness. A grant that stands is bound by no time here: it takes a reply of
/// the witness to end it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VoteDeposit {
    /// What both nodes had said of it.
    pub agreement: Agreement,
    /// By group, until when the node may serve it alone; [`Instant::NEVER`] for a grant that stands.
    pub granted_until: Vec<Instant, MAX_GROUPS>,
    /// The newest grant under its seal, without which a witness that was restarted goes on with nothing. Only
    /// what is granted above is shown of it.
    pub sealed: Shown,
    /// It is not the witness of the file that is read now, and binds the node until it hears the peer.
    pub is_former: bool,
}

/// What the file that is read now says otherwise than the one by which an agent left its deposit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Differences {
    /// Other witnesses are pinged.
    pub has_other_witnesses: bool,
    /// Another witness votes, or none.
    pub has_other_vote: bool,
    /// As bits, the paths of now that are opened otherwise: nothing is known of them.
    pub other_paths: u8,
    /// By group of now, its place in the deposit, if it has one; `None`: each has its place.
    pub groups: Option<Vec<Option<u8>, MAX_GROUPS>>,
    /// By interface of now, its place in the deposit, if it has one; `None`: each has its place.
    pub places: Option<Vec<Option<u8>, MAX_INTERFACES>>,
}

impl Differences {
    /// Another file is read before any agent has left anything by this one.
    pub fn add(&mut self, later: Self) {
        self.has_other_witnesses |= later.has_other_witnesses;
        self.has_other_vote |= later.has_other_vote;
        self.other_paths |= later.other_paths;
        self.groups = later.groups.or(self.groups.take());
        self.places = match (self.places.take(), later.places) {
            (Some(first), Some(then)) => {
                let place = |at: Option<u8>| first.get(usize::from(at?)).copied().flatten();
                Some(then.into_iter().map(place).collect())
            }
            (first, then) => then.or(first),
        };
    }
}

/// The dead_after by which an agent went. Its successor may have read another file. Until the peer has
/// acknowledged a beat of the successor, the peer relies on what it heard before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Promise {
    /// The dead_after by which what is held is let go, reckoned from the newest acknowledged beat.
    pub hold: Span,
    /// The dead_after before which nothing is taken, reckoned from the peer's newest beat.
    pub take: Span,
}

impl Deposit {
    /// Which witnesses answered says nothing of those of another file, nor a path of one that is opened
    /// otherwise, and an interface may have another place there. What the voting witness of the old file has
    /// granted binds until the peer is heard.
    pub fn adapt(&mut self, differences: &Differences) {
        for (bit, path) in (0..u8::BITS).zip(&mut self.paths) {
            if cfg!(feature = "upgrade") && differences.other_paths >> bit & 1 == 1 {
                *path = PathDeposit::default();
            }
        }
        if differences.has_other_witnesses {
            (self.witnesses, self.witnesses_that_count) = (heapless::Vec::new(), 0);
        }
        if let Some(vote) = self.vote.as_mut().filter(|_| differences.has_other_vote) {
            vote.is_former = true;
        }
        if let Some(places) = &differences.places {
            self.neighbours = in_places(&self.neighbours, places);
        }
        if cfg!(feature = "upgrade")
            && let Some(places) = &differences.groups
        {
            self.groups = in_places(&self.groups, places);
        }
    }

    /// The same within the limits of what a sound agent could have left at `now`: nothing that has been lies
    /// in the future, no wait is longer than any of ours, and no maintenance is longer than an operator may
    /// ask for. An agent that was taken over binds its successor no longer than that.
    pub fn bounded(mut self, now: Instant) -> Self {
        let past = |at: &mut Option<Instant>| *at = at.map(|at| at.min(now));
        let within = |at: &mut Option<Instant>, span: Span| *at = at.map(|at| at.min(now + span));
        past(&mut self.acknowledged_at);
        self.witnesses.iter_mut().for_each(past);
        for path in &mut self.paths {
            past(&mut path.open_since);
            past(&mut path.heard_at);
            path.peers_dead_after = path.peers_dead_after.min(MAX_DEAD_AFTER);
        }
        self.promise.take = self.promise.take.min(MAX_DEAD_AFTER);
        for until in self.vote.iter_mut().flat_map(|vote| &mut vote.granted_until) {
            let is_standing = *until == Instant::NEVER;
            *until = if is_standing { *until } else { (*until).min(now + MAX_DEAD_AFTER) };
        }
        within(&mut self.peer_maintenance_until, LONGEST_MAINTENANCE);
        within(&mut self.restraint.maintenance_until, LONGEST_MAINTENANCE);
        for group in &mut self.groups {
            within(&mut group.offered_until, LONGEST_WAIT);
            within(&mut group.retry_at, LONGEST_WAIT);
            // No pair comes near it, and no term is above the last one. The peer's beats bring back the true
            // term.
            group.term = if group.term > MAX_TERM / 2 { 0 } else { group.term };
        }
        self
    }
}

/// What was known of each, in the order of now; nothing of those that were not there.
fn in_places<T: Copy + Default, const N: usize>(known: &[T], places: &[Option<u8>]) -> Vec<T, N> {
    let find = |at: &Option<u8>| known.get(usize::from((*at)?)).copied();
    places.iter().map(|at| find(at).unwrap_or_default()).collect()
}

/// Maintenance that is never ended would be found out on the day of the failure.
pub const LONGEST_MAINTENANCE: Span = Span::from_s(7 * 24 * 3_600);
/// Longer than any node leaves a group to its peer, or waits before it tries again.
const LONGEST_WAIT: Span = Span::from_s(60);

/// What the operator told a node not to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Restraint {
    /// Hold nothing.
    pub standby: Standby,
    /// Move nothing until then.
    pub maintenance_until: Option<Instant>,
}

impl Restraint {
    /// The part of it that `kept` says too.
    #[must_use]
    pub fn at_most(self, kept: Self) -> Self {
        Self {
            standby: self.standby.min(kept.standby),
            // None is less than any instant.
            maintenance_until: self.maintenance_until.min(kept.maintenance_until),
        }
    }
}

/// What is deposited of one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GroupDeposit {
    /// Newest term that it knew of.
    pub term: u32,
    /// It had let the group go for the peer, and would not take it back until then.
    pub offered_until: Option<Instant>,
    /// It was faulty, until then.
    pub retry_at: Option<Instant>,
    /// A release on its way is for the peer.
    pub is_offering: bool,
    /// A release on its way ends in a fault.
    pub is_failing: bool,
    /// An operator has moved it to the peer.
    pub is_given_away: bool,
}

/// Room for any deposit in its encoded form.
pub const MAX_DEPOSIT_BYTES: usize = 1_100;

/// What the guard has in hand of one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding {
    /// The term under which it was acquired.
    pub term: u32,
    /// Until when the kernel keeps the addresses at least.
    pub lease_until: Instant,
    /// How far it is.
    pub stage: Stage,
}

/// How far the guard is with a group that it has in hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Addresses held, scripts starting; the order to acquire has still to be answered.
    Starting(Token),
    /// The scripts that come before the addresses start for this order, or run and wait for another one.
    Preparing(Option<Token>),
    /// Addresses held, scripts run.
    Serving,
    /// It is being let go; the order to do so, if there was one, has still to be answered.
    Releasing(ReleaseOrder, Option<Token>),
}

/// Everything that is handed over.
#[derive(Clone, Debug)]
pub struct Succession {
    /// What the dead agent left; none if it had not come to that, or if too many have died.
    pub deposit: Option<Deposit>,
    /// By group, what the guard has in hand; none if it is free.
    pub holdings: Vec<Option<Holding>, MAX_GROUPS>,
    /// The newest token that an agent of this guard has used.
    pub last_token: Token,
}

/// Puts a deposit into its compact form; `None` if `room` is too small, which one of [`MAX_DEPOSIT_BYTES`] is
/// not within the bounds of [`crate::config`].
pub fn encode<'a>(deposit: &Deposit, room: &'a mut [u8]) -> Option<&'a mut [u8]> {
    to_slice(deposit, room)
}

/// Reads a whole deposit; bytes behind it are an error. The agent that wrote it may have been broken or taken
/// over.
pub fn decode(bytes: &[u8]) -> Option<Deposit> {
    decode_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_was_taken_over_binds_its_successor_no_longer_than_an_operator_could() {
        let now = Instant::from_us(50_000_000);
        let bounded = largest().bounded(now);
        assert_eq!(bounded.acknowledged_at, Some(now), "or its successor would never have to let go");
        assert!(bounded.witnesses.iter().all(|at| *at == Some(now)));
        assert!(bounded.paths.iter().all(|path| path.heard_at == Some(now) && path.open_since == Some(now)));
        assert_eq!(bounded.restraint.maintenance_until, Some(now + LONGEST_MAINTENANCE));
        let wait = Some(now + LONGEST_WAIT);
        let is_bound =
            |group: &GroupDeposit| (group.term, group.offered_until, group.retry_at) == (0, wait, wait);
        assert!(bounded.groups.iter().all(is_bound));
        assert_eq!(bounded.clone().bounded(now), bounded, "what is within bounds stays");
    }

    #[test]
    fn what_was_known_of_an_interface_goes_by_its_name() {
        let known = |is_cut_off| NeighboursDeposit { is_cut_off, is_peer_dark: false };
        let mut deposit = largest();
        deposit.neighbours = [known(false), known(true)].into_iter().collect();
        let places = |places: &[Option<u8>]| Differences {
            places: Some(places.iter().copied().collect()),
            ..Differences::default()
        };
        // Another one was put first, by a second file the two changed places.
        let mut differences = places(&[None, Some(0), Some(1)]);
        differences.add(Differences::default());
        differences.add(places(&[Some(2), Some(1), Some(9)]));
        deposit.adapt(&differences);
        assert_eq!(deposit.neighbours, [known(true), known(false), NeighboursDeposit::default()]);
        assert_eq!(deposit.witnesses, largest().witnesses, "nothing else is touched");
    }

    #[test]
    #[cfg(feature = "upgrade")]
    fn what_was_known_of_a_group_goes_with_it_and_nothing_is_known_of_a_new_one() {
        let mut deposit = largest();
        deposit.groups[1].term = 7;
        let places = [Some(1), None, Some(0)].into_iter().collect();
        deposit.adapt(&Differences { groups: Some(places), ..Differences::default() });
        let [first, ..] = largest().groups[..] else { panic!("a group") };
        let second = GroupDeposit { term: 7, ..first };
        assert_eq!(deposit.groups, [second, GroupDeposit::default(), first]);
    }

    #[test]
    #[cfg(feature = "upgrade")]
    fn nothing_is_known_of_a_path_that_is_opened_otherwise() {
        let mut deposit = largest();
        let mut differences = Differences { other_paths: 0b10, ..Differences::default() };
        differences.add(Differences::default());
        deposit.adapt(&differences);
        let known = largest().paths;
        assert_eq!((deposit.paths[0], deposit.paths[1]), (known[0], PathDeposit::default()));
        assert_eq!(deposit.paths[2..], known[2..]);
    }

    #[test]
    fn nobody_was_told_more_than_an_operator_has_had_kept() {
        let now = Instant::from_us(50_000_000);
        let restraint = |standby, maintenance_until| Restraint { standby, maintenance_until };
        let forged = restraint(Standby::Forced, Some(Instant::NEVER));
        for kept in [
            restraint(Standby::No, None),
            restraint(Standby::Asked, None),
            restraint(Standby::No, Some(now)),
            restraint(Standby::Forced, Some(now)),
        ] {
            assert_eq!(forged.at_most(kept), kept);
            assert_eq!(Restraint::default().at_most(kept), Restraint::default(), "an end counts at once");
        }
    }

    #[test]
    fn the_largest_deposit_fits_and_comes_back_as_it_was() {
        let deposit = largest();
        let mut room = [0; MAX_DEPOSIT_BYTES];
        let bytes = encode(&deposit, &mut room).expect("there is room").to_vec();
        assert_eq!(decode(&bytes), Some(deposit));
        assert_eq!(decode(&[bytes.as_slice(), &[0]].concat()), None, "something behind it");
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
    }

    /// Everything in it is as large as it can be.
    fn largest() -> Deposit {
        let path = PathDeposit {
            is_heard: true,
            open_since: Some(Instant::NEVER),
            heard_at: Some(Instant::NEVER),
            unanswered: u8::MAX,
            peers_dead_after: MAX_DEAD_AFTER,
        };
        let neighbours = NeighboursDeposit { is_cut_off: true, is_peer_dark: true };
        let group = GroupDeposit {
            term: u32::MAX,
            offered_until: Some(Instant::NEVER),
            retry_at: Some(Instant::NEVER),
            is_offering: true,
            is_failing: true,
            is_given_away: true,
        };
        Deposit {
            peer: Some(Incarnation([0xff; 8])),
            acknowledged_at: Some(Instant::NEVER),
            mechanisms: Some(Mechanisms { lease_s: u8::MAX, watchdog_s: u8::MAX, stop_s: u16::MAX }),
            peer_maintenance_until: Some(Instant::NEVER),
            restraint: Restraint { standby: Standby::Forced, maintenance_until: Some(Instant::NEVER) },
            paths: core::iter::repeat_n(path, MAX_PATHS).collect(),
            groups: core::iter::repeat_n(group, MAX_GROUPS).collect(),
            witnesses: core::iter::repeat_n(Some(Instant::NEVER), MAX_WITNESSES).collect(),
            witnesses_that_count: u8::MAX,
            neighbours: core::iter::repeat_n(neighbours, MAX_INTERFACES).collect(),
            vote: Some(VoteDeposit {
                agreement: Agreement::new(Instant::NEVER),
                granted_until: core::iter::repeat_n(Instant::NEVER, MAX_GROUPS).collect(),
                sealed: Shown {
                    groups: u8::MAX,
                    granted: u8::MAX,
                    by: [0xff; 8],
                    stamp: u64::MAX,
                    seal: [0xff; 8],
                },
                is_former: true,
            }),
            promise: Promise { hold: MAX_DEAD_AFTER, take: MAX_DEAD_AFTER },
        }
    }
}
