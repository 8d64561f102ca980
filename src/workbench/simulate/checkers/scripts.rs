//! Scripts: a node that says that it holds nothing runs nothing, an exclusive script never runs on two boxes,
//! and nothing is started that runs already.

use crosswire::config::SafetyRule;
use crosswire::pair::{GroupId, Side};
use crosswire::reasons::TakeReason;

use super::super::rival::Rule;
use super::super::world::World;

impl World {
    /// A script begins to start.
    pub(in super::super) fn script_starts(&mut self, side: Side, group: GroupId, script: u8) {
        let is_running = |side: Side| self.boxes[side.index()].services[group.index()].contains(script);
        // No lease ends a script: if it must run nowhere else, only the split that a watchdog leaves excuses
        // that it does. What the holder does at the end of the cut came too late to wait for.
        let policy = self.group_policy(side, group);
        let is_split = self.watch.is_split[side.index()][group.index()];
        let is_for_one = (policy.is_exclusive || policy.safety == SafetyRule::Fence) && !is_split;
        if is_running(side) {
            self.complain(
                "script-twice",
                format!("{side:?} starts script {script} of {group:?}, which runs there already"),
            );
        } else if is_running(side.peer()) && (is_for_one || self.should_wait(side, group)) {
            self.complain(
                "script-on-both",
                format!("{side:?} starts script {script} of {group:?}, which runs on its peer"),
            );
        }
        self.boxes[side.index()].services[group.index()].insert(script);
    }

    /// Addresses come: every script that comes before them runs.
    pub(in super::super) fn check_before(&mut self, side: Side, group: GroupId) {
        let services = &self.boxes[side.index()].services[group.index()];
        let missing = (0..self.setup.before[group.index()]).find(|script| !services.contains(*script));
        if let Some(script) = missing.filter(|_| self.rule == Rule::Crosswire) {
            self.complain("too-early", format!("{side:?} adds {group:?} before its script {script} runs"));
        }
    }

    /// A kernel has a group as a whole: its addresses and its routes.
    pub(in super::super) fn check_routes(&mut self, side: Side) {
        let kernel = &self.boxes[side.index()].kernel;
        let is_without =
            |group: &GroupId| kernel.until[group.index()].is_some() && !kernel.has_routes[group.index()];
        let without = self.setup.policy.group_ids().find(is_without);
        if let Some(group) = without.filter(|_| self.rule == Rule::Crosswire) {
            self.complain("no-routes", format!("{side:?} holds {group:?} without its routes"));
        }
    }

    /// By the rule `lease` a script is not started while it stops elsewhere: the peer had said that it lets
    /// go before it was heard last when the group was taken, its guard has worked ever since, and none of its
    /// scripts has outlived its time.
    fn should_wait(&self, taker: Side, group: GroupId) -> bool {
        let (holder, index) = (taker.peer(), group.index());
        let reason = self.watch.taken[taker.index()][index].map(|(_, reason)| reason);
        // News that came after it took the group came too late to wait for.
        let heard_at = self.watch.heard_before[taker.index()][index];
        let since =
            self.watch.releasing_since[holder.index()][index].filter(|since| heard_at >= Some(*since));
        // What is heard right after it began to let go may have been said before.
        let is_working = since.is_some_and(|since| {
            let lasts = self.now.since(since) + self.exchange_time();
            self.boxes[holder.index()].guards.is_good_for(self.now, lasts)
        });
        let is_peer_off = reason == Some(TakeReason::PeerIsOff);
        let is_by_lease = self.group_policy(taker, group).safety == SafetyRule::Lease;
        is_by_lease && is_working && !self.watch.is_unstopped[holder.index()][index] && !is_peer_off
    }

    /// After a turn: no script of a group that the node does not hold runs on its box.
    pub(in super::super) fn check_scripts(&mut self, side: Side) {
        if self.node(side).is_none() {
            return;
        }
        for group in self.setup.policy.group_ids() {
            let role = self.watch.roles[side.index()][group.index()];
            if !role.is_holding() && !self.boxes[side.index()].services[group.index()].is_empty() {
                self.complain(
                    "script-untold",
                    format!("{side:?} says {role:?} of {group:?}, and its scripts run"),
                );
            }
        }
    }
}
