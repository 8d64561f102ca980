//! What one run of the guard hands to the next, which is executed in its place: what is held, and the numbers
//! that go on.
//!
//! It is handed over at rest alone: no script starts, stops or is looked at, no order waits for its answer,
//! and an agent has left something with which another one can go on.

use heapless::Vec;

use super::{Custody, Phase};
use crate::config::MAX_GROUPS;
use crate::resource::{Condition, Token};
use crate::time::Instant;

/// What custody hands over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Legacy {
    /// The newest token that any agent has used.
    pub last_token: Token,
    /// The operator wants nothing changed.
    pub is_hands_off: bool,
    /// The groups, in their order.
    pub groups: Vec<GroupLegacy, MAX_GROUPS>,
}

/// One group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupLegacy {
    /// The reign for which it was acquired last.
    pub term: u32,
    /// Until when the kernel keeps its addresses at least, if it is held.
    pub held_until: Option<Instant>,
}

impl Custody {
    /// Nothing is on its way, so that another run of the guard can go on with what is held.
    pub fn is_at_rest(&self, now: Instant) -> bool {
        let is_agent_sound = self.may_reload() && self.agent_heard <= now;
        let may_hand_over = is_agent_sound && !self.is_fencing && self.renewals.iter().all(Option::is_none);
        may_hand_over
            && self.groups.iter().all(|group| {
                group.held.is_at_rest()
                    && group.adding.is_none()
                    && group.newcomers.is_none()
                    && !group.is_on_trial
                    && group.monitors.condition() == Condition::Well
            })
    }

    /// The shortest time for which the kernel keeps what is held; [`Instant::NEVER`] if nothing is.
    pub fn all_held_until(&self) -> Instant {
        let held = self.groups.iter().filter(|group| group.held.is_held());
        held.map(|group| group.held_until).min().unwrap_or(Instant::NEVER)
    }

    /// What is handed over.
    pub fn legacy(&self) -> Legacy {
        let group = |group: &super::GroupCustody| GroupLegacy {
            term: group.term,
            held_until: group.held.is_held().then_some(group.held_until),
        };
        Legacy {
            last_token: self.last_token,
            is_hands_off: self.is_hands_off,
            groups: self.groups.iter().map(group).collect(),
        }
    }

    /// Goes on with what another run has handed over, with `groups` in their present order. The plan is
    /// still the one of then; an agent is started
    /// by [`Event::Reloaded`](super::Event::Reloaded).
    pub fn take_over(&mut self, now: Instant, legacy: &Legacy, groups: &[GroupLegacy]) {
        debug_assert!(self.phase == Phase::Running && !self.is_agent_there, "a fresh one");
        (self.last_token, self.is_hands_off) = (legacy.last_token, legacy.is_hands_off);
        self.restarts.note_word();
        self.restarts.note_deposit();
        for (group, left) in self.groups.iter_mut().zip(groups) {
            group.term = left.term;
            if let Some(until) = left.held_until {
                group.held_until = until;
                group.take_over(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::custody::Event;
    use crate::custody::rig::{GROUP, Rig, at, plan};
    use crate::resource::{Order, ReleaseOrder};

    /// A rig whose group serves, and what it hands over.
    fn serving() -> (Rig, Legacy) {
        let mut rig = Rig::new(2);
        rig.acquire();
        rig.order(Order::Renew { group: GROUP, puts_back: true });
        rig.hand_in(Event::AllSaid);
        rig.told();
        let legacy = rig.custody.legacy();
        (rig, legacy)
    }

    #[test]
    fn another_run_of_the_guard_holds_the_same_and_starts_another_agent_and_no_script() {
        let (before, legacy) = serving();
        assert!(before.custody.is_at_rest(at(0)));
        let mut after = Rig::with(plan(2));
        after.custody = Custody::new(plan(2), at(0));
        after.custody.take_over(at(0), &legacy, &legacy.groups);
        assert_eq!(after.custody.holdings(), before.custody.holdings());
        assert_eq!(after.custody.last_token(), before.custody.last_token(), "tokens go on counting");
        assert_eq!(after.custody.all_held_until(), before.custody.all_held_until());
        after.hand_in(Event::Reloaded(&plan(2)));
        assert_eq!(after.pass(1), "dismiss agent, start agent, in place: true");
        assert!(!after.custody.is_at_rest(at(1)), "the new agent has still to renew it");
        after.hand_in(Event::Said(crate::custody::Word::Deposit));
        after.order(Order::Renew { group: GROUP, puts_back: true });
        after.hand_in(Event::AllSaid);
        assert_eq!(after.told(), "renew, 1: Renewed");
        after.order(Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst });
        assert_eq!(after.told(), "Stop 1 (Release), Stop 0 (Release), remove, 2: Released");
    }

    #[test]
    fn what_the_new_agent_does_not_renew_is_let_go_with_its_scripts() {
        let (_, legacy) = serving();
        let mut after = Rig::with(plan(2));
        after.custody = Custody::new(plan(2), at(0));
        after.custody.take_over(at(0), &legacy, &legacy.groups);
        after.hand_in(Event::Reloaded(&plan(2)));
        after.pass(1);
        let said = after.pass(1_000).to_string();
        assert!(said.contains("remove, Stop 1 (ForcedRelease), Stop 0 (ForcedRelease)"), "{said}");
    }

    #[test]
    fn nothing_is_handed_over_while_anything_is_pending() {
        let (mut rig, _) = serving();
        rig.is_slow = true;
        rig.order(Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst });
        assert!(!rig.custody.is_at_rest(rig.now), "a script stops");
        let mut rig = Rig::new(1);
        assert!(rig.custody.is_at_rest(rig.now + crate::time::Span::from_s(2)), "nothing is held");
        rig.is_slow = true;
        rig.acquire();
        assert!(!rig.custody.is_at_rest(rig.now + crate::time::Span::from_s(2)), "a script starts");
        let mut rig = Rig::new(0);
        rig.acquire();
        rig.order(Order::Fence { group: GROUP });
        rig.order(Order::Renew { group: GROUP, puts_back: true });
        assert!(!rig.custody.is_at_rest(rig.now), "a renewal waits for its batch");
        rig.hand_in(Event::AllSaid);
        rig.hand_in(Event::Stop);
        assert!(!rig.custody.is_at_rest(rig.now), "the daemon ends");
    }
}
