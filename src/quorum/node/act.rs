//! The decision about each group, and what is done with it.

use super::{Leaving, Node, emit};
use crate::config::MAX_PATHS;
use crate::health::PathState;
use crate::pair::{GroupId, Role};
use crate::quorum::decide::decide;
use crate::quorum::event::{Effect, Effects, MOST_FOR_A_GROUP};
use crate::quorum::facts::{Decision, Fence, Situation, Wait};
use crate::quorum::group::{Group, STEADY_AFTER};
use crate::quorum::record::{Evidence, Record};
use crate::quorum::roles::RoleEvent;
use crate::quorum::takeover::take_prepared;
use crate::quorum::timers::Timer;
use crate::reasons::Block;
use crate::resource::{Condition, ReleaseOrder};
use crate::time::Instant;

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
                    self.release(now, id, (release, &situation), effects);
                }
                Decision::Release(_)
                | Decision::Wait(_)
                | Decision::Take(_)
                | Decision::Fence
                | Decision::Keep
                | Decision::Renew
                | Decision::Hurry => {}
            }
        }
    }

    /// Whether anything that makes a holder let go at once may be so: nothing of that can be where this is
    /// false. It is asked at every step, and costs a tenth of the whole situation.
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
            let before = effects.len();
            let role_before = group_role(&self.groups, id);
            self.keep_time(now, id, effects);
            self.note_hindrance(now, id);
            self.note_lapse(now, id);
            let Some(group) = self.groups.get(id.index()) else { continue };
            let situation = self.situation(now, id, group);
            self.ask_for_failback(now, id, role_before, &situation);
            self.note_claim(now, id, &situation);
            self.note_vote_wanted(id, role_before, &situation);
            self.note_service(now, id, &situation);
            self.probe_if_needed(now, id, &situation, effects);
            self.carry_out(now, id, &situation, effects);
            let asked_for = effects.len().saturating_sub(before);
            debug_assert!(asked_for <= MOST_FOR_A_GROUP, "{asked_for} effects for one group");
        }
    }

    fn carry_out(&mut self, now: Instant, id: GroupId, s: &Situation, effects: &mut Effects) {
        match decide(group_role(&self.groups, id), s) {
            Decision::Wait(wait) => self.note_wait(id, wait, s, effects),
            Decision::Take(reason) => self.take(now, id, (reason, s), effects),
            Decision::Fence => self.fence(now, id, effects),
            Decision::Keep if self.is_preparing(id) => self.go_on_taking(now, id, effects),
            Decision::Keep => self.keep(now, id, s, effects),
            Decision::Renew => {
                self.keep(now, id, s, effects);
                self.renew(now, id, effects);
            }
            Decision::Hurry => {
                self.keep(now, id, s, effects);
                self.hurry_release(now, id, effects);
            }
            Decision::Release(release) => self.release(now, id, (release, s), effects),
        }
    }

    /// What is told of a situation.
    pub(super) fn evidence(&self, s: &Situation) -> Evidence {
        let mut paths = [PathState::Blind; MAX_PATHS];
        for (state, path) in paths.iter_mut().zip(&self.paths) {
            *state = path.state;
        }
        Evidence::of(paths, s)
    }

    /// What only the clock does to a group.
    fn keep_time(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let is_heard = self.is_heard(now);
        let theirs = self.peer.group(id, &self.policy).filter(|_| is_heard).map(|report| report.role);
        let is_somebody = self.verdict.is_somebody();
        let is_on_time = self.is_on_time(now);
        let is_peer_able = is_on_time && self.is_peer_able(id);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        self.is_urgent |= group.note_carrier(now, is_peer_able, self.policy.carrier_delay);
        if is_on_time && group.timers.is_due(Timer::Offer, now) {
            group.note_unused_offer(now);
        }
        group.timers.forget_lapsed(now);
        if is_somebody {
            // A fence of an earlier silence proves nothing about the next.
            (group.fence, group.fence_token) = (Fence::Untried, None);
            group.timers.stop(Timer::FenceAgain);
        }
        if group.timers.is_due(Timer::FenceAgain, now) {
            group.fence = Fence::Untried;
            group.timers.stop(Timer::FenceAgain);
        }
        if group.active_since.is_some_and(|since| now >= since + STEADY_AFTER) {
            (group.flaps, group.hasty_wishes) = (0, 0);
        }
        if theirs.is_some_and(Role::is_holding) {
            // The peer holds it: what we offered is taken, and the next offer does not have to wait.
            group.timers.stop(Timer::Offer);
            group.note_taken_offer();
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

    fn is_preparing(&self, id: GroupId) -> bool {
        self.groups.get(id.index()).is_some_and(Group::is_preparing)
    }

    /// Before the addresses of a group come, everything is judged again, as by a backup: the scripts that
    /// come first may have taken long.
    fn go_on_taking(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let Some(group) = self.groups.get(id.index()) else { return };
        let (term, is_ready) = (group.held_term, group.pending.is_none());
        let is_overdue = group.timers.is_due(Timer::Prepare, now);
        // The peer has served under a higher term meanwhile: scripts would be told an older one than its.
        let is_outdated = group.term > term;
        let situation = self.situation(now, id, &Group { role: Role::Backup, ..group.clone() });
        match take_prepared(&situation, is_ready && !is_outdated, is_overdue || is_outdated) {
            Decision::Take(reason) => {
                let evidence = self.evidence(&situation);
                emit(effects, Effect::Record(Record::Taking { group: id, term, reason, evidence }));
                self.order_acquire(now, id, term, effects);
            }
            Decision::Release(release) => self.release(now, id, (release, &situation), effects),
            Decision::Wait(wait) => self.note_wait(id, wait, &situation, effects),
            Decision::Keep | Decision::Renew | Decision::Hurry | Decision::Fence => {}
        }
    }

    /// Notes why a group is not taken, and until when. Each reason is told once.
    fn note_wait(&mut self, id: GroupId, wait: Wait, s: &Situation, effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let before = group.said.replace(wait);
        if before.is_some_and(|before| before.block == wait.block) {
            return;
        }
        let (block, said_mac) = (wait.block, group.said_mac);
        let lasts = (wait.until < Instant::NEVER).then(|| wait.until.since(s.clock.now));
        let evidence = self.evidence(s);
        emit(effects, Effect::Record(Record::Blocked { group: id, block, wait: lasts, evidence }));
        if let Some(mac) = said_mac.filter(|_| block == Block::VipAnswers) {
            emit(effects, Effect::Record(Record::VipAnswered { group: id, mac }));
        }
    }

    /// Once everything is released, says goodbye a few times, then goes. Goes at once where nobody is known,
    /// or no path is open to say it on.
    pub(super) fn leave(&mut self, effects: &mut Effects) {
        let is_holding = self.groups.iter().any(|group| group.role.is_holding());
        if self.leaving == Leaving::Stopping && !is_holding {
            self.leaving = Leaving::Goodbyes(GOODBYES);
            self.is_urgent = true;
            emit(effects, Effect::Record(Record::Leaving));
        }
        let can_be_told = self.peers_run.is_some() && self.paths.iter().any(|path| path.detector.is_open());
        if matches!(self.leaving, Leaving::Goodbyes(_)) && !can_be_told {
            self.leaving = Leaving::Left;
            emit(effects, Effect::Exit);
        }
    }
}

/// A goodbye is said this often, an interval apart, before the agent exits: any one of them is enough.
const GOODBYES: u8 = 3;

pub(super) fn group_role(groups: &[Group], id: GroupId) -> Role {
    groups.get(id.index()).map_or(Role::Faulty, |group| group.role)
}
