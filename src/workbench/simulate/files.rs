//! Two boxes, two files: what the nodes decide by where their configurations differ, and which group of one
//! is which group of the other. The world and the checkers count groups as [`Setup::policy`] does; a node
//! counts them as its own file does.

use crosswire::config::{PathTiming, Policy};
use crosswire::custody::{Plan, ScriptPlans};
use crosswire::pair::{GroupId, Side};
use crosswire::quorum::record::Record;
use crosswire::quorum::{Effect, Event};
use crosswire::resource::Order;
use crosswire::time::Span;

use super::chance::Chance;
use super::setup::Setup;
use super::world::{SIDES, World};

/// The second byte of chance: a configuration that is not the pair's has this checksum.
pub const OTHER_DIGEST: u8 = 2;

/// What another file says, by which a box decides that was started with it.
#[derive(Clone, PartialEq, Debug)]
pub struct OtherFile {
    /// What it says. It has the paths of the pair, with times of its own.
    pub policy: Policy,
    /// By its own order of groups: which of the pair's each one is.
    pub groups: Vec<GroupId>,
}

impl OtherFile {
    /// The file of the pair, as it is.
    pub fn same(policy: &Policy) -> Self {
        let mut policy = policy.clone();
        let groups = policy.group_ids().collect();
        policy.digest[0] = OTHER_DIGEST;
        Self { policy, groups }
    }

    /// A file that differs in some of the things in which two files can.
    pub fn random(setup: &Setup, timings: &[(PathTiming, u64)], chance: &mut Chance) -> Self {
        let mut file = Self::same(&setup.policy);
        let (timing, lease_s) = chance.pick(timings);
        if chance.below(2) == 0 {
            file.policy.paths.iter_mut().for_each(|path| path.timing = timing);
        }
        if chance.below(3) == 0 {
            file.policy.lease = Span::from_s(lease_s);
        }
        for group in &mut file.policy.groups {
            if chance.below(2) == 0 {
                group.prefer = chance.pick(&[Some(Side::A), Some(Side::B), None]);
            }
        }
        if chance.below(2) == 0 {
            file.policy.groups.reverse();
            file.groups.reverse();
        }
        if file.groups.len() > 1 && chance.below(3) == 0 {
            file.policy.groups.remove(0);
            file.groups.remove(0);
        }
        if chance.below(2) == 0 {
            file.policy.witnesses = u8::from(file.policy.witnesses == 0 && !setup.witnesses.is_empty());
        }
        file
    }

    fn local(&self, group: GroupId) -> Option<GroupId> {
        (0u8..).zip(&self.groups).find(|(_, theirs)| **theirs == group).map(|(index, _)| GroupId(index))
    }

    fn of_pair(&self, local: GroupId) -> GroupId {
        self.groups.get(local.index()).copied().unwrap_or(local)
    }
}

impl Setup {
    /// What a box decides by that was started with a file of this checksum.
    pub fn file(&self, digest: u8) -> &Policy {
        self.other_file(digest).map_or(&self.policy, |other| &other.policy)
    }

    /// The file of this checksum has that group.
    pub fn has_group(&self, digest: u8, group: GroupId) -> bool {
        self.other_file(digest).is_none_or(|other| other.groups.contains(&group))
    }

    /// Both files have the same groups, in the same order: a daemon goes from one to the other without a
    /// restart.
    pub fn have_same_groups(&self, one: u8, other: u8) -> bool {
        one == other
            || self.other.as_ref().is_none_or(|file| file.groups.iter().copied().eq(self.policy.group_ids()))
    }

    fn other_file(&self, digest: u8) -> Option<&OtherFile> {
        self.other.as_ref().filter(|_| digest == OTHER_DIGEST)
    }

    /// The checksum of the file that a box has while nothing is wrong.
    pub fn usual_digest(&self, side: Side) -> u8 {
        if self.differs == Some(side) { OTHER_DIGEST } else { self.policy.digest[0] }
    }

    /// What custody goes by on a box that was started with a file of this checksum. It counts groups as the
    /// world does.
    pub fn custody_plan(&self, digest: u8) -> Plan {
        let mut policy = self.file(digest).clone();
        policy.groups = self.policy.groups.clone();
        if let Some(other) = self.other_file(digest) {
            for (group, rules) in other.groups.iter().zip(&other.policy.groups) {
                policy.groups[group.index()] = *rules;
            }
        }
        let unwatched = |count: &usize| -> ScriptPlans { std::iter::repeat_n(None, *count).collect() };
        Plan::new(&policy, self.before.iter().copied().zip(self.scripts.iter().map(unwatched)))
    }

    /// Both files of the pair, or the one.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        [Some(&self.policy), self.other.as_ref().map(|other| &other.policy)].into_iter().flatten()
    }
}

impl World {
    /// What a side decides by.
    pub fn file(&self, side: Side) -> &Policy {
        self.setup.file(self.boxes[side.index()].started_with.2)
    }

    /// What the peer of a side ran when it was last heard: of a file that it was started with since, the side
    /// cannot know.
    pub fn known_file_of_peer(&self, side: Side) -> &Policy {
        let heard = self.watch.hearing[side.index()].peer_digest;
        heard.map_or(self.file(side.peer()), |digest| self.setup.file(digest))
    }

    fn others(&self, side: Side) -> Option<&OtherFile> {
        self.setup.other_file(self.boxes[side.index()].started_with.2)
    }

    /// What a side's file calls a group; `None` if it does not have it.
    pub fn local_group(&self, side: Side, group: GroupId) -> Option<GroupId> {
        self.others(side).map_or(Some(group), |other| other.local(group))
    }

    /// Which group a side's file means.
    pub fn group_of(&self, side: Side, local: GroupId) -> GroupId {
        self.others(side).map_or(local, |other| other.of_pair(local))
    }

    /// The rules of a group in a side's file; where it has none, the pair's.
    pub fn group_policy(&self, side: Side, group: GroupId) -> &crosswire::config::GroupPolicy {
        let local = self.local_group(side, group);
        let own = local.and_then(|local| self.file(side).groups.get(local.index()));
        own.unwrap_or(&self.setup.policy.groups[group.index()])
    }

    /// Both files have the group.
    pub fn is_common(&self, group: GroupId) -> bool {
        SIDES.into_iter().all(|side| self.local_group(side, group).is_some())
    }

    /// The two run with the same file.
    pub fn do_files_agree(&self) -> bool {
        self.boxes[0].started_with.2 == self.boxes[1].started_with.2
    }

    /// An event with groups as the node counts them; `None` where its file does not have the group.
    pub(super) fn localize<'a>(&self, side: Side, event: Event<'a>) -> Option<Event<'a>> {
        if self.others(side).is_none() {
            return Some(event);
        }
        let local = |group| self.local_group(side, group);
        Some(match event {
            Event::Carrier(group, up) => Event::Carrier(local(group)?, up),
            Event::Scripts(group, condition) => Event::Scripts(local(group)?, condition),
            Event::VipAnswered(group, mac) => Event::VipAnswered(local(group)?, mac),
            Event::Operator(demand) => Event::Operator(demand.with(local)?),
            other => other,
        })
    }

    /// An effect with groups as the world counts them.
    pub(super) fn globalize(&self, side: Side, effect: &mut Effect) {
        if self.others(side).is_none() {
            return;
        }
        match effect {
            Effect::Order(ticket) => {
                let (Order::Acquire { group, .. }
                | Order::Renew { group }
                | Order::Release { group, .. }
                | Order::Announce { group }
                | Order::Fence { group }
                | Order::Probe { group }) = &mut ticket.order;
                *group = self.group_of(side, *group);
            }
            Effect::Record(record) => {
                if let Some(group) = group_in(record) {
                    *group = self.group_of(side, *group);
                }
            }
            _ => {}
        }
    }
}

fn group_in(record: &mut Record) -> Option<&mut GroupId> {
    match record {
        Record::Taking { group, .. }
        | Record::Releasing { group, .. }
        | Record::Role { group, .. }
        | Record::Blocked { group, .. }
        | Record::Fault { group, .. }
        | Record::Scripts { group, .. }
        | Record::Fence { group, .. }
        | Record::VipAnswered { group, .. }
        | Record::VipContested { group, .. }
        | Record::Script { group, .. }
        | Record::BothServe(group) => Some(group),
        Record::Incident(incident) => Some(&mut incident.group),
        _ => None,
    }
}
