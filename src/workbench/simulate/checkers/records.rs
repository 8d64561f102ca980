//! What a node says that it did, against what is true: released means confirmed, terms only rise, the loser
//! of two actives is the one with the lower term.

use crosswire::custody::HeldGroup;
use crosswire::health::PathState;
use crosswire::pair::{GroupId, Role, Side};
use crosswire::quorum::record::Record;
use crosswire::reasons::{ReleaseReason, TakeReason};

use super::super::world::World;
use super::silence::is_by_silence;

impl World {
    /// A record leaves a node.
    pub(in super::super) fn judge_record(&mut self, side: Side, record: &Record) {
        match *record {
            Record::PeerStarted => self.note_adoption(side),
            Record::Stall(gap) => self.note_stall(side, gap),
            Record::Taking { group, term, reason, .. } => self.judge_taking(side, group, term, reason),
            Record::Releasing { group, reason: ReleaseReason::LostTie, .. } => {
                self.judge_lost_tie(side, group)
            }
            Record::Releasing { reason: ReleaseReason::WitnessUnseen, .. }
            | Record::Releasing { reason: ReleaseReason::UnheardByPeer, .. }
            | Record::Releasing { reason: ReleaseReason::NotGranted, .. } => self.check_promise(side),
            Record::Releasing { reason: ReleaseReason::CutOff, evidence, .. } => {
                // To a peer that is heard it is handed over, and no deadline has to be over.
                if !evidence.paths.contains(&PathState::OnTime) {
                    self.check_promise(side);
                }
            }
            Record::Releasing { group, reason: ReleaseReason::NoCarrier, .. } => {
                self.check_promise(side);
                self.check_darkness(side, group);
            }
            Record::CutOff { is_cut_off: true, .. } => self.check_cut_off(side),
            Record::CutOff { is_cut_off: false, .. } => self.watch.is_left_cut_off[side.index()] = false,
            Record::Role { group, from, to } => {
                self.watch.note_role(side, group.index(), to, self.now);
                self.judge_role(side, group, from, to);
            }
            Record::Leaving => {
                self.watch.is_leaving[side.index()] = true;
                for group in self.setup.policy.group_ids() {
                    self.judge_nothing_held(side, group, "said goodbye");
                }
            }
            Record::Path { .. }
            | Record::Refused { .. }
            | Record::Verdict { .. }
            | Record::Jeopardy(_)
            | Record::DigestDiffers(_)
            | Record::TermsUsedUp(_)
            | Record::Releasing { .. }
            | Record::Blocked { .. }
            | Record::Fault { .. }
            | Record::Fence { .. }
            | Record::Lines { .. }
            | Record::VipAnswered { .. }
            | Record::VipContested { .. }
            | Record::Script { .. }
            | Record::Standby(_)
            | Record::StandbyYielded
            | Record::Maintenance(_)
            | Record::BothServe(_)
            | Record::Incident(_)
            | Record::Scripts { .. }
            | Record::PeerTrouble(_)
            | Record::PeerUnable { .. }
            | Record::Vote { .. }
            | Record::Reloaded
            | Record::Upgraded(..)
            | Record::Succeeded => {}
            Record::Deaf { path, is_deaf } => self.note_deafness(side, path, is_deaf),
            Record::GuardLost => self.watch.troubled_since[side.index()] = Some(self.now),
            Record::GuardSilent(is_silent) => {
                self.watch.troubled_since[side.index()] = is_silent.then_some(self.now);
            }
        }
    }

    fn judge_taking(&mut self, side: Side, group: GroupId, term: u32, reason: TakeReason) {
        self.check_silence(side, reason);
        self.check_sight(side, reason);
        self.check_neighbours(side, reason);
        self.check_waits(side, group, reason);
        self.check_strangers(side, group, reason);
        self.check_deafness(side, group, reason);
        self.watch.taken[side.index()][group.index()] = Some((self.now, reason));
        self.watch.heard_before[side.index()][group.index()] = self.watch.hearing[side.index()].heard_at;
        // A takeover that began under this term is judged again before its addresses come.
        let is_going_on = term == self.watch.terms[side.index()][group.index()]
            && self.watch.roles[side.index()][group.index()] == Role::Acquiring;
        let is_split = is_by_silence(reason) && !self.needs_proof(side, group);
        let was_split = &mut self.watch.is_split[side.index()][group.index()];
        *was_split = is_split || is_going_on && *was_split;
        let known = self.watch.terms[side.index()][group.index()]
            .max(self.watch.hearing[side.index()].highest_terms[group.index()]);
        if term < known || term == known && !is_going_on {
            self.complain(
                "term",
                format!("{side:?} takes {group:?} as term {term} and knew of term {known}"),
            );
        }
        self.watch.terms[side.index()][group.index()] = term;
    }

    fn judge_lost_tie(&mut self, side: Side, group: GroupId) {
        let ours = self.watch.terms[side.index()][group.index()];
        // A report of a group with the same tag may be meant for this one.
        let tag = |group: GroupId| self.setup.policy.groups[group.index()].tag;
        let alike = self.setup.policy.group_ids().filter(|other| tag(*other) == tag(group));
        let told = self.watch.hearing[side.index()].told_terms;
        let theirs = alike.map(|group| told[group.index()]).max().unwrap_or_default();
        // A preference on which the files may differ breaks no tie.
        let preferred = self.group_policy(side, group).prefer.filter(|_| self.do_files_agree());
        let prefers_us = preferred.unwrap_or(Side::A) == side;
        if theirs < ours || (theirs == ours && prefers_us) {
            self.complain("tie", format!("{side:?} yields {group:?} of term {ours} to term {theirs}"));
        }
    }

    fn judge_role(&mut self, side: Side, group: GroupId, from: Role, to: Role) {
        if from.is_holding() && !to.is_holding() {
            self.judge_nothing_held(side, group, "calls it released");
        }
        let is_serving_scripts = |group: &HeldGroup| !group.is_free();
        let guard = self.boxes[side.index()].guard.as_ref();
        let is_busy = guard.and_then(|guard| guard.custody.group(group)).is_some_and(is_serving_scripts);
        if from == Role::Releasing && to == Role::Backup && is_busy {
            self.complain("released", format!("{side:?} calls {group:?} released while its scripts run"));
        }
    }

    fn judge_nothing_held(&mut self, side: Side, group: GroupId, what: &str) {
        if self.holds(side, group) {
            self.complain("released", format!("{side:?} {what} while its kernel holds {group:?}"));
        }
    }
}
