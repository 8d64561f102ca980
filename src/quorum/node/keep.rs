//! What a holder does beside serving: it renews its lease, and settles with a rival who is to serve.

use super::{Node, emit};
use crate::pair::{GroupId, Role, Word};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::facts::{Claim, Situation, Tie};
use crate::quorum::group::{DEFEND_EVERY, Renewal, Tied};
use crate::quorum::record::Record;
use crate::quorum::timers::Timer;
use crate::quorum::timing;
use crate::reasons::Verdict;
use crate::resource::Order;
use crate::time::Instant;

impl Node {
    /// A holder announces itself again once a rival has let go.
    pub(super) fn keep(&mut self, now: Instant, id: GroupId, situation: &Situation, effects: &mut Effects) {
        // What a peer said before it lost its power is no claim of now.
        let is_claimed = situation.peer.tie == Tie::WeWin && situation.peer.verdict == Verdict::Present;
        // The peer's kernel may answer before our own has confirmed: from then on both have the address.
        let is_still_held = self.is_still_held(now, id, effects);
        if is_claimed || self.has_just_yielded(id, situation.peer.claim) || is_still_held {
            self.note_tie(now, id);
        }
        self.shout_tie(now, id, effects);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_rival_gone =
            !is_still_held && !matches!(situation.peer.claim, Claim::Serves | Claim::Releases);
        if let Some(tied) = group.tied.take_if(|_| is_rival_gone) {
            let is_active = group.role == Role::Active;
            // The rival's claim is settled; the announcement answers it.
            (group.said_mac, group.defend_from) = (None, now + DEFEND_EVERY);
            emit(effects, Effect::Record(Record::Incident(tied.incident(now, id, true))));
            if is_active {
                self.order(now + DEFEND_EVERY, Order::Announce { group: id }, effects);
            }
        }
    }

    /// Whether the peer lets go of what we serve, or says for the first time that it has. After a split it
    /// may hear us first, and then its first beat that arrives is no claim any more.
    fn has_just_yielded(&mut self, id: GroupId, claim: Claim) -> bool {
        let Some(report) = self.peer.group(id, &self.policy) else { return false };
        let yields = claim == Claim::Releases || report.word == Word::Yielded;
        let Some(group) = self.groups.get_mut(id.index()).filter(|group| group.role == Role::Active) else {
            return false;
        };
        !core::mem::replace(&mut group.has_peer_yielded, yields) && yields
    }

    /// Whether the peer's kernel has answered for what the peer has let go. It is asked again until it
    /// answers no more.
    fn is_still_held(&mut self, now: Instant, id: GroupId, effects: &mut Effects) -> bool {
        let interval = self.times.interval;
        let is_held = self.groups.get(id.index()).is_some_and(|group| group.is_still_held(now));
        if is_held && self.is_beat_due(now) {
            self.order(now + interval, Order::Probe { group: id }, effects);
        }
        is_held
    }

    /// Tells the operator that both serve. Two that serve settle it within two beats; if they have not,
    /// somebody has to be told while it lasts.
    fn shout_tie(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let (patience, longest) = (self.two_beats(), self.slowest_dead_after());
        let acked_at = self.peer.acked_at();
        let tied = self.groups.get_mut(id.index()).and_then(|group| group.tied.as_mut());
        // A peer on slow paths that has not heard of it yet could not let go.
        let is_known = |tied: &Tied| acked_at >= Some(tied.seen_at) || now >= tied.seen_at + longest;
        if let Some(tied) =
            tied.filter(|tied| !tied.is_said && now >= tied.seen_at + patience && is_known(tied))
        {
            tied.is_said = true;
            emit(effects, Effect::Record(Record::BothServe(id)));
        }
    }

    /// Notes the beginning of an incident in which both serve, if it is not known already.
    pub(super) fn note_tie(&mut self, now: Instant, id: GroupId) {
        // A silence that ended long ago is no cause.
        let silence = self.silence.filter(|(_, to)| now.since(*to) < self.second_waits());
        let Some(group) = self.groups.get_mut(id.index()).filter(|group| group.tied.is_none()) else {
            return;
        };
        let began_at = silence.map_or(now, |(from, _)| group.active_since.unwrap_or(now).max(from));
        let unheard = silence.map(|(from, to)| to.since(from));
        group.tied = Some(Tied { seen_at: now, began_at, unheard, is_said: false });
    }

    /// Whether an address that is missing may be put back until then: the peer cannot have taken its absence
    /// for proof. It has acknowledged us lately, and since our guard works, if that had failed.
    fn may_put_back(&self, until: Instant) -> bool {
        let is_before_deadline = |at: Instant| until <= at + timing::release_start(self.holds_by());
        self.peer.acked_at().is_some_and(|at| at >= self.fit_since && is_before_deadline(at))
    }

    /// Has the guard give the addresses another lease.
    pub(super) fn renew(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let interval = self.times.interval;
        let every = self.times.renewal_every;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        group.timers.set(Timer::Renewal, now + every);
        let valid_until = self.within_grant(now, id, now + interval);
        let puts_back = self.may_put_back(now + interval);
        let token = self.order(valid_until, Order::Renew { group: id, puts_back }, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.renewal = Some(Renewal { token, sent_at: now });
        }
    }
}
