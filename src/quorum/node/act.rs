//! From decisions to orders, and from outcomes to roles.

use super::{GuardState, Leaving, Node, emit};
use crate::config::MAX_PATHS;
use crate::health::PathState;
use crate::pair::{GroupId, Role, Word};
use crate::quorum::decide::{Claim, Decision, Fence, Release, Situation, Standby, Tie, decide, judge_again};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::group::{
    DEFEND_EVERY, Group, PREPARED_FOR, REPEAT_AFTER, Renewal, STEADY_AFTER, STILL_HELD_WITHIN, Tied,
    WISH_LASTS,
};
use crate::quorum::probe::Finding;
use crate::quorum::record::{Evidence, Record};
use crate::quorum::roles::RoleEvent;
use crate::quorum::timers::Timer;
use crate::quorum::timing;
use crate::reasons::{Block, ReleaseReason, TakeReason, Verdict};
use crate::resource::{Condition, Order, ReleaseOrder, Ticket};
use crate::time::{Instant, Span};

impl Node {
    /// Lets go of what may not be held any longer. Runs before any event is looked at.
    pub(super) fn release_what_is_due(&mut self, now: Instant, effects: &mut Effects) {
        for id in self.policy.group_ids() {
            let Some(group) = self.groups.get(id.index()) else { continue };
            if !matches!(group.role, Role::Acquiring | Role::Active) || !self.may_be_due(now, id, group) {
                continue;
            }
            let situation = self.situation(now, id, group);
            match decide(group.role, &situation) {
                Decision::Release(release) if release.first == ReleaseOrder::AddressesFirst => {
                    let evidence = self.evidence(situation);
                    self.release(now, id, (release, evidence), effects);
                }
                Decision::Release(_)
                | Decision::Wait(_)
                | Decision::Take(_)
                | Decision::Fence
                | Decision::Keep => {}
            }
        }
    }

    /// Nothing of what makes a holder let go at once can be so unless this is. It is asked at every step, and
    /// costs a tenth of the whole situation.
    fn may_be_due(&self, now: Instant, id: GroupId, group: &Group) -> bool {
        let is_claimed_too = self.peer.group(id, &self.policy).is_some_and(|report| report.role.is_holding());
        is_claimed_too
            || now >= group.lease_until
            || matches!(group.condition, Condition::Stuck(_))
            || now >= self.forced_release_at()
    }

    /// Decides and acts on every group.
    pub(super) fn act(&mut self, now: Instant, effects: &mut Effects) {
        for id in self.policy.group_ids() {
            self.keep_time(now, id, effects);
            self.note_hindrance(now, id);
            self.note_lapse(now, id);
            let Some(group) = self.groups.get(id.index()) else { continue };
            let situation = self.situation(now, id, group);
            self.note_claim(now, id, &situation);
            self.note_service(now, id, &situation);
            self.probe_if_needed(now, id, &situation, effects);
            let evidence = self.evidence(situation);
            match decide(group_role(&self.groups, id), &situation) {
                Decision::Wait(block) => self.note_block(id, block, evidence, effects),
                Decision::Take(reason) => self.take(now, id, (reason, evidence), effects),
                Decision::Fence => self.fence(now, id, effects),
                Decision::Keep if self.is_preparing(id) => self.go_on_taking(now, id, effects),
                Decision::Keep => self.keep(now, id, &situation, effects),
                Decision::Release(release) => self.release(now, id, (release, evidence), effects),
            }
        }
    }

    fn evidence(&self, situation: Situation) -> Evidence {
        let mut paths = [PathState::Blind; MAX_PATHS];
        for (state, path) in paths.iter_mut().zip(&self.paths) {
            *state = path.state;
        }
        Evidence { paths, situation }
    }

    /// What only the clock does to a group.
    fn keep_time(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let is_heard = self.is_heard(now);
        let theirs = self.peer.group(id, &self.policy).filter(|_| is_heard).map(|report| report.role);
        self.ask_for_failback(now, id);
        let is_present = self.verdict == Verdict::Present;
        let is_on_time = self.is_on_time(now);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if is_on_time && group.timers.is_due(Timer::Offer, now) {
            group.note_unused_offer(now);
        }
        group.timers.forget_lapsed(now);
        if is_present {
            // A fence of an earlier silence proves nothing about the next.
            (group.fence, group.fence_token) = (Fence::Untried, None);
            group.timers.stop(Timer::FenceAgain);
        }
        if group.timers.is_due(Timer::FenceAgain, now) {
            group.fence = Fence::Untried;
            group.timers.stop(Timer::FenceAgain);
        }
        if group.active_since.is_some_and(|since| now >= since + STEADY_AFTER) {
            group.flaps = 0;
        }
        if theirs.is_some_and(Role::is_holding) {
            // The peer has taken what we offered, or has what we asked for no longer to itself.
            group.timers.stop(Timer::Offer);
            group.timers.stop(Timer::NextOffer);
            group.unused_offers = 0;
        }
        if theirs == Some(Role::Faulty) {
            // It could not take it: nobody is waited for.
            group.timers.stop(Timer::Offer);
        }
        let is_vacant = group.role == Role::Backup && theirs.is_some_and(|role| !role.is_holding());
        group.vacant_since = is_vacant.then(|| group.vacant_since.unwrap_or(now));
        if group.timers.is_due(Timer::Retry, now) {
            group.timers.stop(Timer::Retry);
            group.fault = group.fault.filter(|_| group.role.is_holding());
            self.change_role(now, id, RoleEvent::Retry, effects);
        }
        self.note_peer_ability(now, id, effects);
        self.let_go_of_leftovers(now, id);
        self.release_again(now, id, effects);
    }

    /// The peer serves a group that we do not hold, and finds that our kernel answers for it: the guard
    /// removes what is there.
    fn let_go_of_leftovers(&mut self, now: Instant, id: GroupId) {
        let does_hear = self.is_on_time(now) && self.peer.beat().is_some_and(|beat| beat.standing.still_held);
        let does_serve = self.peer.group(id, &self.policy).is_some_and(|report| report.role == Role::Active);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_idle = group.role == Role::Backup && !group.timers.is_set(Timer::ReleaseAgain);
        if does_hear && does_serve && is_idle {
            group.timers.set(Timer::ReleaseAgain, now + STILL_HELD_WITHIN);
            self.is_urgent = true;
        }
    }

    /// What a stranger has neither node may take, and a guard may go on at any time. So each says when it
    /// could not take a group, and when it can again.
    fn note_hindrance(&mut self, now: Instant, id: GroupId) {
        let Some(group) = self.groups.get(id.index()) else { return };
        let is_asking = group.role == Role::Backup && group.probe.is_running();
        // Of what the peer serves its own kernel answers.
        let is_served = matches!(self.claim(now, id), Claim::Serves | Claim::Releases);
        let is_answered = || !is_served && self.finding(now, id, group) == Finding::VipAnswers;
        let is_hindered = is_asking && (group.probe.is_guard_late() || is_answered());
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if core::mem::replace(&mut group.is_hindered, is_hindered) != is_hindered {
            self.is_urgent = true;
        }
    }

    /// Who would take what nobody holds says so first, and takes it once the peer has heard that.
    fn note_claim(&mut self, now: Instant, id: GroupId, situation: &Situation) {
        // Who could not hold it leaves it to a peer that could.
        let is_left = situation.is_address_refused && self.is_peer_able(id);
        let is_claiming = self.would_take_vacant(now, id, situation) && !situation.is_stalled && !is_left;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_claiming = is_claiming && !group.is_hindered;
        self.is_urgent |= group.claims_since.is_some() != is_claiming;
        group.claims_since = is_claiming.then(|| group.claims_since.unwrap_or(now));
    }

    fn ask_for_failback(&mut self, now: Instant, id: GroupId) {
        let is_due = self.groups.get(id.index()).is_some_and(|group| self.is_failback_due(now, id, group));
        if let Some(group) =
            self.groups.get_mut(id.index()).filter(|group| is_due && !group.timers.is_set(Timer::Wanted))
        {
            group.timers.set(Timer::Wanted, now + WISH_LASTS);
            self.is_urgent = true;
        }
    }

    /// A release that failed is ordered again until the kernel confirms it: nothing is ever left half
    /// released.
    fn release_again(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let is_due = |group: &Group| group.timers.is_due(Timer::ReleaseAgain, now);
        if self.groups.get(id.index()).is_some_and(is_due) {
            self.order_release(now, id, ReleaseOrder::AddressesFirst, effects);
        }
        self.repeat(now, id, effects);
    }

    fn order_release(&mut self, now: Instant, id: GroupId, first: ReleaseOrder, effects: &mut Effects) {
        let token = self.order(Instant::NEVER, Order::Release { group: id, first }, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            (group.pending, group.letting_go) = (Some(token), first);
            group.timers.stop(Timer::ReleaseAgain);
            group.timers.set(Timer::Repeat, now + REPEAT_AFTER);
        }
    }

    /// No order on which something waits is ever lost: a guard that hung may not have got it. Under the same
    /// token it is the same order, and no second one.
    fn repeat(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if !group.timers.is_due(Timer::Repeat, now) {
            return;
        }
        group.timers.set(Timer::Repeat, now + REPEAT_AFTER);
        let (first, until) = (group.letting_go, now + FENCE_STARTS_WITHIN);
        let order = match (group.role, group.pending, group.fence_token) {
            (Role::Releasing, Some(token), _) => {
                Some((token, Instant::NEVER, Order::Release { group: id, first }))
            }
            (Role::Backup, _, Some(token)) => Some((token, until, Order::Fence { group: id })),
            (Role::Backup | Role::Acquiring | Role::Active | Role::Releasing | Role::Faulty, _, _) => None,
        };
        match order {
            Some((token, valid_until, order)) => {
                emit(effects, Effect::Order(Ticket { token, valid_until, order }))
            }
            None => group.timers.stop(Timer::Repeat),
        }
    }

    fn take(
        &mut self,
        now: Instant,
        id: GroupId,
        (reason, evidence): (TakeReason, Evidence),
        effects: &mut Effects,
    ) {
        let before = self.policy.groups.get(id.index()).map_or(Span::ZERO, |group| group.before);
        let lease = self.policy.lease;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_last = group.note_term(group.term.saturating_add(1));
        let term = group.term;
        group.held_term = term;
        for ended in [Timer::Offer, Timer::Wanted, Timer::ReleaseAgain, Timer::Retry] {
            group.timers.stop(ended);
        }
        group.is_given_away = false;
        group.claims_since = None;
        group.fault = None;
        let is_on_word = matches!(reason, TakeReason::Offered | TakeReason::Departed);
        group.taken_from = is_on_word.then_some((group.said_mac, now));
        // What the operator said counts until the addresses come, unless the peer is heard.
        let is_off = group.timers.is_set(Timer::PeerOff);
        if is_last {
            emit(effects, Effect::Record(Record::TermsUsedUp(id)));
        }
        emit(effects, Effect::Record(Record::Taking { group: id, term, reason, evidence }));
        self.order_acquire(now, id, term, effects);
        if let Some(group) = self.groups.get_mut(id.index()).filter(|_| before > Span::ZERO) {
            let until = now + before + lease;
            group.lease_until = Instant::NEVER;
            group.timers.stop(Timer::Renewal);
            group.timers.set(Timer::Prepare, until);
            group.timers.set_to(Timer::PeerOff, is_off.then_some(until + PREPARED_FOR));
        }
        if is_on_word {
            // The peer's word costs no time; whether its kernel knows of it is asked meanwhile, and whose
            // kernel that is.
            self.ask_who_the_peer_is(effects);
            self.order(now + self.policy.interval(), Order::Probe { group: id }, effects);
        }
        self.change_role(now, id, RoleEvent::Take, effects);
    }

    fn is_preparing(&self, id: GroupId) -> bool {
        self.groups.get(id.index()).is_some_and(Group::is_preparing)
    }

    /// Before its addresses come everything is judged again, as by a backup: the scripts that come first may
    /// have taken long.
    fn go_on_taking(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let Some(group) = self.groups.get(id.index()) else { return };
        let (term, is_ready) = (group.held_term, group.pending.is_none());
        let is_overdue = group.timers.is_due(Timer::Prepare, now);
        let situation = self.situation(now, id, &Group { role: Role::Backup, ..group.clone() });
        let evidence = self.evidence(situation);
        match judge_again(&situation, is_ready, is_overdue) {
            Decision::Take(reason) => {
                emit(effects, Effect::Record(Record::Taking { group: id, term, reason, evidence }));
                self.order_acquire(now, id, term, effects);
            }
            Decision::Release(release) => self.release(now, id, (release, evidence), effects),
            Decision::Wait(block) => self.note_block(id, block, evidence, effects),
            Decision::Keep | Decision::Fence => {}
        }
    }

    /// From now on the lease counts.
    fn order_acquire(&mut self, now: Instant, id: GroupId, term: u32, effects: &mut Effects) {
        let lease = self.policy.lease;
        let every = timing::renewal_every(self.policy.interval(), lease);
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.lease_until = now + lease;
            group.timers.set(Timer::Renewal, now + every);
            (group.renewal, group.said) = (None, None);
            group.timers.stop(Timer::Prepare);
            group.timers.stop(Timer::PeerOff);
            group.probe.reset();
        }
        let valid_until = now + self.policy.shortest_late_after();
        let token = self.order(valid_until, Order::Acquire { group: id, term }, effects);
        self.set_pending(id, Some(token));
    }

    fn fence(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        emit(effects, Effect::Record(Record::Fence { group: id, confirmed: None }));
        let token = self.order(now + FENCE_STARTS_WITHIN, Order::Fence { group: id }, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            (group.fence, group.fence_token) = (Fence::Pending, Some(token));
            group.timers.set(Timer::Repeat, now + REPEAT_AFTER);
        }
    }

    fn release(
        &mut self,
        now: Instant,
        id: GroupId,
        (release, evidence): (Release, Evidence),
        effects: &mut Effects,
    ) {
        let Release { first, reason, offer } = release;
        emit(effects, Effect::Record(Record::Releasing { group: id, reason, evidence }));
        if reason == ReleaseReason::LostTie {
            self.note_tie(now, id);
        }
        self.order_release(now, id, first, effects);
        let dead_after = self.slowest_dead_after();
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.is_offering = offer;
            // Who could not keep its lease or its scripts is not fit to take the group again at once.
            group.is_failing = matches!(reason, ReleaseReason::LeaseLapsed | ReleaseReason::ScriptFailed);
            // Who asks for what was hardly served moves it to and fro too.
            let is_short = group.active_since.is_none_or(|since| now.since(since) < dead_after);
            let is_peers_doing = matches!(reason, ReleaseReason::LostTie | ReleaseReason::UnheardByPeer)
                || (is_short && matches!(reason, ReleaseReason::PeerWants | ReleaseReason::WorseOff));
            if is_peers_doing || reason.is_unplanned() {
                group.note_loss(now, is_peers_doing, dead_after);
            }
            group.timers.stop(Timer::Handover);
            // A peer that is not the preferred one asks only when its operator does.
            group.is_given_away = matches!(reason, ReleaseReason::Handover | ReleaseReason::PeerWants);
            // A planned release may take as long as the scripts take; until then the addresses stay, and are
            // renewed.
            match first {
                ReleaseOrder::ScriptsFirst => {}
                ReleaseOrder::AddressesFirst => {
                    group.drop_lease();
                }
            }
        }
        self.change_role(now, id, RoleEvent::LetGo, effects);
    }

    /// A holder renews its lease in time, and announces itself again once a rival has let go.
    fn keep(&mut self, now: Instant, id: GroupId, situation: &Situation, effects: &mut Effects) {
        // What a peer said before it lost power is no claim of today.
        let is_claimed = situation.tie == Tie::WeWin && situation.verdict == Verdict::Present;
        // An answer may come before our own kernel has confirmed: from then on both have it.
        let is_still_held = self.is_still_held(now, id, effects);
        if is_claimed || self.has_just_yielded(id, situation.claim) || is_still_held {
            self.note_tie(now, id);
        }
        self.shout_tie(now, id, effects);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let is_planned = group.role == Role::Releasing && group.timers.is_set(Timer::Renewal);
        let must_hurry = is_planned && (now >= group.lease_until || situation.claim == Claim::Serves);
        let is_rival_gone = !is_still_held && !matches!(situation.claim, Claim::Serves | Claim::Releases);
        if let Some(tied) = group.tied.take_if(|_| is_rival_gone) {
            let is_active = group.role == Role::Active;
            // What the rival claimed is settled; the announcement answers it.
            (group.said_mac, group.defend_from) = (None, now + DEFEND_EVERY);
            emit(effects, Effect::Record(Record::Incident(tied.incident(now, id, true))));
            if is_active {
                self.order(now + DEFEND_EVERY, Order::Announce { group: id }, effects);
            }
        }
        if must_hurry {
            return self.hurry_release(now, id, effects);
        }
        self.renew_if_due(now, id, effects);
    }

    /// The peer lets go, or says for the first time that it did, of what we serve: after a split it may hear
    /// us first, and its first beat that arrives is no claim any more.
    fn has_just_yielded(&mut self, id: GroupId, claim: Claim) -> bool {
        let Some(report) = self.peer.group(id, &self.policy) else { return false };
        let yields = claim == Claim::Releases || report.word == Word::Yielded;
        let Some(group) = self.groups.get_mut(id.index()).filter(|group| group.role == Role::Active) else {
            return false;
        };
        !core::mem::replace(&mut group.has_peer_yielded, yields) && yields
    }

    /// The peer's kernel has answered for what the peer has let go. It is asked again until it answers no
    /// more.
    fn is_still_held(&mut self, now: Instant, id: GroupId, effects: &mut Effects) -> bool {
        let interval = self.policy.interval();
        let is_held = self.groups.get(id.index()).is_some_and(|group| group.is_still_held(now));
        if is_held && self.is_beat_due(now) {
            self.order(now + interval, Order::Probe { group: id }, effects);
        }
        is_held
    }

    /// Two that serve are settled within two beats. If they are not, somebody has to be told while it lasts.
    fn shout_tie(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let (patience, longest) = (self.pace() + self.pace(), self.slowest_dead_after());
        let acked_at = self.peer.acked_at();
        let tied = self.groups.get_mut(id.index()).and_then(|group| group.tied.as_mut());
        // A peer that has not heard of it yet, on paths that lag, could not let go.
        let is_known = |tied: &Tied| acked_at >= Some(tied.seen_at) || now >= tied.seen_at + longest;
        if let Some(tied) =
            tied.filter(|tied| !tied.is_said && now >= tied.seen_at + patience && is_known(tied))
        {
            tied.is_said = true;
            emit(effects, Effect::Record(Record::BothServe(id)));
        }
    }

    /// Both serve: the beginning of an incident, if it is not known already.
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

    /// A planned release keeps its addresses while scripts stop. Not once the lease has lapsed or the peer
    /// serves: what the kernel has dropped by then must not come back.
    fn hurry_release(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        self.order_release(now, id, ReleaseOrder::AddressesFirst, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.drop_lease();
        }
    }

    fn renew_if_due(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        // After a stall the peer may have taken over: what it says is heard first. And who has told it that
        // this node cannot serve has nothing renewed.
        let is_sure = now >= self.judge_from || self.peer.beat_at().is_some_and(|at| self.is_since_stall(at));
        let interval = self.policy.interval();
        let every = timing::renewal_every(interval, self.policy.lease);
        // One waking for both: what would be due before the next beat goes with this one.
        let early = if self.is_beat_due(now) { interval.fraction(1, 2) } else { Span::ZERO };
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if !group.role.is_holding()
            || !group.timers.is_due(Timer::Renewal, now + early)
            || !is_sure
            || self.guard != GuardState::Fine
        {
            return;
        }
        group.timers.set(Timer::Renewal, now + every);
        let token = self.order(now + interval, Order::Renew { group: id }, effects);
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.renewal = Some(Renewal { token, sent_at: now });
        }
    }

    fn is_since_stall(&self, at: Instant) -> bool {
        at >= self.stalled_at
    }

    /// Asks the wire as soon as a takeover may come, so that the answer costs no time.
    fn probe_if_needed(&mut self, now: Instant, id: GroupId, situation: &Situation, effects: &mut Effects) {
        let (interval, wait, heard_at) = (self.policy.interval(), self.probe_wait(), self.newest_frame_at());
        let is_needed = self.is_probe_needed(now, id, situation);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if !is_needed {
            if group.role != Role::Backup {
                group.probe.reset();
            } else if self.verdict == Verdict::Present {
                group.probe.stop(heard_at);
            }
            return;
        }
        if group.probe.is_due(now, interval, wait) {
            let token = self.order(now + interval, Order::Probe { group: id }, effects);
            if let Some(group) = self.groups.get_mut(id.index()) {
                group.probe.ask(now, token);
            }
        }
    }

    fn is_probe_needed(&self, now: Instant, id: GroupId, s: &Situation) -> bool {
        if self.is_preparing(id) {
            return s.has_carrier && s.is_able;
        }
        if !self.can_take_at_all(id, s) {
            return false;
        }
        let lead = self.probe_wait() + self.probe_wait().max(self.policy.interval());
        let is_cold_start_over = now + lead >= self.cold_start_ends(id);
        let is_unheard =
            s.is_refused || self.was_ever_heard && (!self.is_on_time(now) || self.is_cut_short());
        if is_restrained(s) {
            // Nothing is taken, but whoever asks for the status wants to know whether a peer that nobody
            // hears serves.
            return is_unheard || !self.was_ever_heard;
        }
        self.would_take_vacant(now, id, s)
            || is_unheard
            || s.is_peer_off
            || (!self.was_ever_heard && is_cold_start_over)
    }

    fn can_take_at_all(&self, id: GroupId, s: &Situation) -> bool {
        group_role(&self.groups, id) == Role::Backup && s.has_carrier && !s.is_stopping && s.is_able
    }

    /// Nobody holds the group, and nobody goes before us.
    fn would_take_vacant(&self, now: Instant, id: GroupId, s: &Situation) -> bool {
        let is_next = || self.groups.get(id.index()).is_some_and(|group| self.is_next(now, id, group));
        let is_free = s.claim == Claim::Free && !s.has_offered && !s.is_unsteady;
        is_free && self.can_take_at_all(id, s) && !is_restrained(s) && is_next()
    }

    fn note_block(&mut self, id: GroupId, block: Block, evidence: Evidence, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if group.said != Some(block) {
            group.said = Some(block);
            emit(effects, Effect::Record(Record::Blocked { group: id, block, evidence }));
            if let Some(mac) = group.said_mac.filter(|_| block == Block::VipAnswers) {
                emit(effects, Effect::Record(Record::VipAnswered { group: id, mac }));
            }
        }
    }

    /// Everything is released: say goodbye a few times, then go; at once where nobody is known, or no path is
    /// open to say it on.
    pub(super) fn leave(&mut self, effects: &mut Effects) {
        let is_holding = self.groups.iter().any(|group| group.role.is_holding());
        if self.leaving == Leaving::Stopping && !is_holding {
            self.leaving = Leaving::Goodbyes(GOODBYES);
            self.is_urgent = true;
            emit(effects, Effect::Record(Record::Leaving));
        }
        let can_be_told =
            self.session.peer().is_some() && self.paths.iter().any(|path| path.detector.is_open());
        if matches!(self.leaving, Leaving::Goodbyes(_)) && !can_be_told {
            self.leaving = Leaving::Left;
            emit(effects, Effect::Exit);
        }
    }
}

/// A fence that was not begun within this time is ordered anew.
const FENCE_STARTS_WITHIN: Span = Span::from_s(5);
/// A goodbye is said this often, an interval apart, before the agent exits: any one of them is enough.
const GOODBYES: u8 = 3;

/// Our operator wants nothing held here, or nothing moved.
fn is_restrained(s: &Situation) -> bool {
    s.standby != Standby::No || s.is_in_maintenance
}

pub(super) fn group_role(groups: &[Group], id: GroupId) -> Role {
    groups.get(id.index()).map_or(Role::Faulty, |group| group.role)
}
