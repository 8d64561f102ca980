//! A node counts groups as its own file does, the world as [`Setup::policy`](super::setup::Setup::policy)
//! does. This translates between them.

use crosswire::config::Policy;
use crosswire::pair::{GroupId, Side};
use crosswire::quorum::record::Record;
use crosswire::quorum::{Effect, Event};
use crosswire::resource::Order;

use super::files::OtherFile;
use super::world::{SIDES, World};

impl World {
    /// What a side decides by.
    pub fn file(&self, side: Side) -> &Policy {
        self.setup.file(self.boxes[side.index()].started_with.2)
    }

    /// The file that the peer of a side ran when its last beat was read, or else the side's own: a greeting
    /// says nothing of the file. The side cannot know of a file with which the peer was started since.
    pub fn known_file_of_peer(&self, side: Side) -> &Policy {
        let heard = self.watch.hearing[side.index()].peer_digest;
        heard.map_or(self.file(side), |digest| self.setup.file(digest))
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
            Event::VipAnswered(group, mac, shown) => Event::VipAnswered(local(group)?, mac, shown),
            Event::AddressMissing(group) => Event::AddressMissing(local(group)?),
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
                | Order::Renew { group, .. }
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
