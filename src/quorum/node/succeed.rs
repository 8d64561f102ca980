//! Going on where another run of the agent ended.

use heapless::Vec;

use super::Node;
use super::vote::Vote;
use crate::health::Neighbours;
use crate::pair::Role;
use crate::quorum::group::{Group, REPEAT_AFTER, RETRY_AFTER};
use crate::quorum::succession::{Deposit, GroupDeposit, Holding, Promise, Stage, Succession};
use crate::quorum::timers::Timer;
use crate::quorum::verdict::{is_jeopardy, verdict};
use crate::resource::ReleaseOrder;
use crate::time::{Instant, Span};

impl Node {
    /// What this node leaves to a successor, should it die before its next beat.
    pub fn deposit(&self, now: Instant) -> Deposit {
        let (witnesses, witnesses_that_count) = self.witnesses.deposit();
        let mut deposit = Deposit {
            peer: self.peers_run.or(self.predecessors_peer),
            acknowledged_at: self.peer.acknowledged(),
            mechanisms: self.peer.mechanisms(),
            peer_maintenance_until: self.peer.maintenance_until(),
            restraint: self.restraint,
            paths: Vec::new(),
            groups: Vec::new(),
            witnesses,
            witnesses_that_count,
            neighbours: Vec::new(),
            vote: self.vote.as_ref().map(Vote::deposit),
            promise: Promise { hold: self.holds_by(), take: self.takes_by() },
        };
        // A deposit has room for as many as a node has.
        for path in &self.paths {
            let _ = deposit.paths.push(path.detector.deposit(now));
        }
        for group in &self.groups {
            let _ = deposit.groups.push(group.deposit());
        }
        for neighbours in &self.neighbours {
            let _ = deposit.neighbours.push(neighbours.deposit());
        }
        deposit
    }

    /// This fresh node goes on in the place of one that died: it holds what the guard has in hand, under the
    /// same terms, and is bound by the same ack deadline.
    ///
    /// It renews nothing before it has heard the peer, which may have taken over meanwhile, or has heard
    /// nobody for late_after. Then it serves on alone, as its predecessor would have. It takes nothing from a
    /// silent peer that it has not heard itself. If there was no deposit, it is faulty for a while.
    pub fn succeed(&mut self, now: Instant, succession: &Succession) {
        let wait = self.times.interval + self.times.interval;
        (self.stalled_at, self.judge_from) = (now, now + wait.max(self.times.shortest_late_after));
        self.last_token = succession.last_token.0;
        let deposit = succession.deposit.clone().map(|deposit| deposit.bounded(now));
        if let Some(deposit) = &deposit {
            self.predecessors_peer = deposit.peer;
            self.peer.succeed(deposit.acknowledged_at, deposit.mechanisms, deposit.peer_maintenance_until);
            self.restraint = deposit.restraint;
            self.promise = Some(deposit.promise);
            self.witnesses.succeed(&deposit.witnesses, deposit.witnesses_that_count);
            self.neighbours = deposit.neighbours.iter().map(|left| Neighbours::succeed(now, *left)).collect();
            self.succeed_vote(now, deposit.vote.as_ref());
            for (path, left) in self.paths.iter_mut().zip(&deposit.paths) {
                path.detector.succeed(now, left);
            }
        }
        for (index, group) in self.groups.iter_mut().enumerate() {
            let left = deposit.as_ref().and_then(|deposit| deposit.groups.get(index));
            let before = self.policy.groups.get(index).map_or(Span::ZERO, |group| group.before);
            group.succeed(now, left, succession.holdings.get(index).copied().flatten(), before);
        }
        self.is_showing_holding = self.groups.iter().any(|group| group.role.is_holding());
        self.note_silently(now);
    }

    /// This fresh node of a fresh daemon takes over what a killed predecessor has started and nobody has
    /// stopped: that is being let go, and the node says so until it is.
    pub fn resume(&mut self, now: Instant, holdings: &[Option<Holding>]) {
        for (group, holding) in self.groups.iter_mut().zip(holdings).filter(|(_, holding)| holding.is_some())
        {
            group.succeed(now, None, *holding, Span::ZERO);
        }
        self.is_showing_holding = self.groups.iter().any(|group| group.role.is_holding());
    }

    /// Notes what is so from the start, without a record: it is no news.
    fn note_silently(&mut self, now: Instant) {
        let paths = self.testimonies(now);
        for (path, testimony) in self.paths.iter_mut().zip(&paths) {
            path.state = testimony.state;
        }
        self.verdict = verdict(&paths, false);
        self.jeopardy_since = is_jeopardy(&paths, |_| false).then_some(now);
        self.has_said_jeopardy = self.jeopardy_since.is_some();
    }
}

impl Group {
    fn deposit(&self) -> GroupDeposit {
        GroupDeposit {
            term: self.term,
            offered_until: self.timers.get(Timer::Offer),
            retry_at: self.timers.get(Timer::Retry).filter(|_| self.role == Role::Faulty),
            is_offering: self.is_offering,
            is_failing: self.is_failing,
            is_given_away: self.is_given_away,
        }
    }

    /// Goes on with one group. What the guard has in hand decides the role; the rest is what the dead agent
    /// knew.
    fn succeed(&mut self, now: Instant, left: Option<&GroupDeposit>, holding: Option<Holding>, before: Span) {
        if let Some(left) = left {
            self.term = left.term;
            self.timers.set_to(Timer::Offer, left.offered_until);
            self.timers.set_to(Timer::Retry, left.retry_at);
            (self.is_offering, self.is_failing) = (left.is_offering, left.is_failing);
            self.is_given_away = left.is_given_away;
        }
        let Some(Holding { term, lease_until, stage }) = holding else {
            if left.is_none() {
                // Too many agents have failed here: the peer should have it first.
                self.timers.set(Timer::Retry, now + RETRY_AFTER);
            }
            self.role = if self.timers.is_set(Timer::Retry) { Role::Faulty } else { Role::Backup };
            return;
        };
        // Without a deposit nobody knows until when it may be held, so it is held no longer.
        let lease_until = if left.is_some() { lease_until } else { now };
        self.timers.stop(Timer::Retry);
        (self.term, self.held_term) = (self.term.max(term), term);
        self.lease_until = lease_until;
        self.timers.set(Timer::Renewal, now);
        // The guard says at once if there is no carrier. Until then nothing must be let go for that.
        (self.is_lit, self.has_carrier) = (true, true);
        match stage {
            Stage::Starting(token) => (self.role, self.pending) = (Role::Acquiring, Some(token)),
            Stage::Preparing(token) => {
                (self.role, self.pending) = (Role::Acquiring, token);
                self.lease_until = Instant::NEVER;
                self.is_prepared = token.is_none();
                self.timers.stop(Timer::Renewal);
                // Without a deposit nobody knows for what it was begun.
                let until = if left.is_some() { now + before + RETRY_AFTER } else { now };
                self.timers.set(Timer::Prepare, until);
            }
            Stage::Serving => {
                (self.role, self.active_since) = (Role::Active, Some(now));
                // It is news that a peer lets go only if it begins to do so from now on.
                self.has_peer_yielded = true;
            }
            Stage::Releasing(first, token) => {
                (self.role, self.pending, self.letting_go) = (Role::Releasing, token, first);
                self.timers.set_to(Timer::Repeat, token.map(|_| now + REPEAT_AFTER));
                self.timers.set_to(Timer::ReleaseAgain, token.is_none().then_some(now));
                if first == ReleaseOrder::AddressesFirst {
                    self.drop_lease();
                }
            }
        }
    }
}
