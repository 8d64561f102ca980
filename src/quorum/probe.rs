//! What the wire says of a group's addresses before a takeover.

use serde::{Deserialize, Serialize};

use super::expiry::{Expiry, SOON};
use crate::pair::PathId;
use crate::resource::{Fault, Token};
use crate::time::{Instant, Span};

/// How long an answer may take at most: an idle Pentium answers an ARP request within a millisecond, a busy
/// one within ten.
const LONGEST_WAIT: Span = Span::from_ms(100);
/// The least time between two queries, however short the wait.
const SHORTEST_GAP: Span = Span::from_ms(5);

/// What the probe has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Finding {
    /// No probe has run long enough.
    Unknown,
    /// The queries cannot leave, or no answer can come in: silence proves nothing.
    Impossible,
    /// Somebody answers for a VIP of the group.
    VipAnswers,
    /// The VIPs of the group answered and have stopped, while the peer's own address answers beside each: its
    /// kernel lives and has let all of them go ([`Expiry`]).
    VipLetGo,
    /// No VIP answers. But the peer's own address does, or an address of the group or the peer has answered
    /// since the peer fell silent: its box lived on, and a cut LAN may be why nothing answers now.
    PeerAnswers,
    /// Nobody has answered two queries, each waited for, since the peer fell silent.
    Clear,
}

/// The probe of one group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Probe {
    pending: Option<Token>,
    /// A query was due again before the guard had said what became of the last.
    is_guard_late: bool,
    asked_at: Option<Instant>,
    /// The last query could not be put.
    is_impossible: bool,
    last_sent_at: Option<Instant>,
    /// When the last query was ordered that has left, or that was ordered before asking ended. What was heard
    /// since may answer it.
    last_asked_at: Option<Instant>,
    /// Sent time of the first query after the last answer for a VIP.
    quiet_since: Option<Instant>,
    /// Sent time of the second one. A single query or its answer may be lost, or meet a busy kernel.
    quiet_again_at: Option<Instant>,
    vip_answered_at: Option<Instant>,
    peer_answered_at: Option<Instant>,
    /// Whether the peer's kernel has let the VIPs go.
    expiry: Expiry,
    /// While the lines read as a power loss.
    aging: Option<Aging>,
}

/// An answer right after the lines of a cable have dropped shows no more than a beat would have: that the box
/// had power then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Aging {
    /// Answers before this instant age.
    pub early: Instant,
    /// They count for so long.
    pub lasts: Span,
}

/// How long a stranger at a VIP may be too busy to answer. The peer would have said that it holds the VIP. A
/// stranger must not be fought because it was slow once.
pub const STRANGERS_PATIENCE: Span = Span::from_s(1);

/// How long to wait for answers, so that the result is at hand when dead_after passes.
pub fn wait(late_after: Span, dead_after: Span) -> Span {
    LONGEST_WAIT.min(dead_after.saturating_sub(late_after).fraction(1, 2))
}

/// How long a query stays valid, with queries every `interval` and `wait` for their answers.
pub fn freshness(interval: Span, wait: Span) -> Span {
    interval + interval + wait
}

impl Probe {
    /// Whether queries were ordered since the last reset.
    pub fn is_running(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Whether it is time for another query.
    pub fn is_due(&self, now: Instant, interval: Span, wait: Span) -> bool {
        now >= self.due_at(interval, wait)
    }

    /// Whether the guard has said nothing of a query by the time that the next one was due.
    pub fn is_guard_late(&self) -> bool {
        self.is_guard_late
    }

    /// When the next query is due: every interval. But if nobody answers, the second one is due as soon as
    /// the first has been waited for, so that both are done when dead_after passes. Where the VIPs seem to be
    /// gone, the peer's own answer says that the last query has been waited for.
    pub fn due_at(&self, interval: Span, wait: Span) -> Instant {
        if let Some(at) = self.asked_at.filter(|_| self.expiry.is_near() && self.pending.is_none()) {
            return at + SOON.min(interval);
        }
        let is_second = self.quiet_since.is_some() && self.quiet_again_at.is_none();
        let gap = if is_second { interval.min(wait).max(SHORTEST_GAP) } else { interval };
        self.asked_at.map_or(Instant::ORIGIN, |at| at + gap)
    }

    /// A query was ordered.
    pub fn ask(&mut self, now: Instant, token: Token) {
        self.is_guard_late |= self.pending.is_some();
        self.pending = Some(token);
        self.asked_at = Some(now);
        self.expiry.ask();
    }

    /// Watches whether the peer's kernel lets the `count` addresses of the group go, none of which is put
    /// back from `since` on.
    pub fn watch(&mut self, since: Option<Instant>, count: u8) {
        self.expiry.watch(since, count);
    }

    /// The peer's kernel has let all of them go.
    pub fn is_expired(&self) -> bool {
        self.expiry.is_certain() && !self.is_impossible
    }

    /// Whether `token` is the probe's newest order.
    pub fn is_waiting_for(&self, token: Token) -> bool {
        self.pending == Some(token)
    }

    /// The queries have left, the last of them at `at`. An answer may be heard before that instant: before
    /// the other queries have left, before the guard looks at the clock. Whatever was heard since the queries
    /// were ordered counts for them.
    ///
    /// Somebody who was not asked for longer than `freshness` may have come and gone meanwhile. That nobody
    /// answered before that is void.
    pub fn sent(&mut self, at: Instant, freshness: Span) {
        (self.pending, self.is_guard_late) = (None, false);
        self.is_impossible = false;
        if self.last_sent_at.is_some_and(|before| at.since(before) > freshness) {
            self.end_quiet();
        }
        let asked_at = self.asked_at.unwrap_or(at);
        (self.last_sent_at, self.last_asked_at) = (Some(at), Some(asked_at));
        if self.vip_answered_at.is_none_or(|answered| answered < asked_at) {
            match self.quiet_since {
                None => self.quiet_since = Some(at),
                Some(_) => self.quiet_again_at = self.quiet_again_at.or(Some(at)),
            }
        }
    }

    fn end_quiet(&mut self) {
        (self.quiet_since, self.quiet_again_at) = (None, None);
    }

    /// The queries could not leave: nothing is known. True if that is news.
    pub fn fail(&mut self, fault: Fault) -> bool {
        (self.pending, self.is_guard_late) = (None, false);
        self.end_quiet();
        self.expiry.doubt();
        // An order that came too late says nothing of the wire.
        let is_impossible = fault != Fault::TooLate;
        !core::mem::replace(&mut self.is_impossible, is_impossible) && is_impossible
    }

    /// Whether what is heard now may answer a query; else it is only somebody who talks.
    pub fn is_expecting(&self, now: Instant, wait: Span) -> bool {
        self.is_running() || self.last_asked_at.is_some_and(|at| now.since(at) <= wait)
    }

    /// Somebody answered for a VIP: the peer's kernel, for this one of the group's list, on the interface of
    /// that path, if `shown`.
    pub fn vip_answered(&mut self, now: Instant, shown: Option<(u8, PathId)>) {
        self.vip_answered_at = Some(now);
        self.end_quiet();
        self.expiry.doubt();
        if let Some((address, path)) = shown {
            self.expiry.see(address, path, self.asked_at);
        }
    }

    /// The peer's own address answered, on the interface of that path if there is one.
    pub fn peer_answered(&mut self, now: Instant, path: Option<PathId>) {
        self.peer_answered_at = Some(now);
        path.into_iter().for_each(|path| self.expiry.peer_answered(path));
    }

    /// What nobody answered so far may have reached nobody: the LAN was cut. It is asked again.
    pub fn doubt(&mut self) {
        (self.pending, self.asked_at) = (None, None);
        self.end_quiet();
        self.expiry.doubt();
    }

    /// From now on early answers age, or none does. Nothing is forgotten: lines that come back have not
    /// dropped with the power, and what had answered then counts again.
    pub fn age(&mut self, aging: Option<Aging>) {
        self.aging = aging;
    }

    /// An answer, if it counts still.
    fn counting(&self, now: Instant, answered_at: Option<Instant>) -> Option<Instant> {
        let is_aged =
            |at: Instant| self.aging.is_some_and(|aging| at < aging.early && now >= at + aging.lasts);
        answered_at.filter(|at| !is_aged(*at))
    }

    /// When somebody answered last.
    pub fn answered_at(&self) -> Option<Instant> {
        self.vip_answered_at.max(self.peer_answered_at)
    }

    /// Asking ends. An answer after the peer's newest frame, at `heard_at`, is remembered: if that frame was
    /// its last, its kernel has outlived it. An answer to an earlier question is not: it may have come before
    /// the frame left.
    pub fn stop(&mut self, heard_at: Option<Instant>) {
        let last_asked_at = self.asked_at.or(self.last_asked_at);
        let is_newer =
            |at: &Instant| heard_at.is_none_or(|heard_at| *at > heard_at && last_asked_at > Some(heard_at));
        *self = Self {
            last_asked_at,
            vip_answered_at: self.vip_answered_at.filter(is_newer),
            peer_answered_at: self.peer_answered_at.filter(is_newer),
            ..Self::default()
        };
    }

    /// Nothing that was found counts any more: because of a stall of our own, or since we hold the group.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// What is known at `now`, with queries every `interval` and `wait` for answers to them. A VIP that has
    /// answered counts as answering for `patience` after the first query that it did not answer.
    pub fn finding(&self, now: Instant, interval: Span, wait: Span, patience: Span) -> Finding {
        let freshness = freshness(interval, wait);
        let is_recent = |at: Instant| now.since(at) <= freshness;
        if self.is_expired() && self.last_sent_at.is_some_and(is_recent) {
            return Finding::VipLetGo;
        }
        let is_lingering = |at: Instant| now.since(at) <= freshness + patience;
        let has_gone = self.quiet_since.is_some_and(|at| now >= at + wait.max(patience));
        let [vip_answered_at, peer_answered_at] =
            [self.vip_answered_at, self.peer_answered_at].map(|at| self.counting(now, at));
        if vip_answered_at.is_some_and(is_lingering) && !has_gone {
            return Finding::VipAnswers;
        }
        if self.is_impossible {
            return Finding::Impossible;
        }
        let has_waited = self.quiet_since.is_some_and(|at| now >= at + wait);
        if !has_waited || !self.last_sent_at.is_some_and(is_recent) {
            return Finding::Unknown;
        }
        let has_waited_twice = self.quiet_again_at.is_some_and(|at| now >= at + wait);
        match (vip_answered_at, peer_answered_at) {
            _ if !has_waited_twice => Finding::Unknown,
            (None, None) => Finding::Clear,
            (Some(_), _) | (None, Some(_)) => Finding::PeerAnswers,
        }
    }

    /// When the finding may change by itself.
    pub fn clear_at(&self, wait: Span) -> Instant {
        let marks = [self.quiet_since, self.quiet_again_at];
        marks.into_iter().flatten().map(|at| at + wait).max().unwrap_or(Instant::NEVER)
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
