//! What operators, the wire and the box tell a node.

use super::act::group_role;
use super::{GuardState, Leaving, Node, emit};
use crate::pair::{GroupId, PathId, Role};
use crate::quorum::event::{Demand, Effect, Effects};
use crate::quorum::facts::Standby;
use crate::quorum::group::{DEFEND_EVERY, Group, STILL_HELD_WITHIN, WISH_LASTS};
use crate::quorum::record::Record;
use crate::quorum::timers::Timer;
use crate::reasons::Denial;
use crate::resource::{Condition, Fault, Order};
use crate::time::Instant;

/// EAFNOSUPPORT: what a kernel says of a family of addresses that it does not have at all.
const NO_SUCH_FAMILY: i32 = 97;

impl Node {
    /// Answers a request at once; what comes of it shows in the roles.
    pub(super) fn operate(&mut self, now: Instant, request: Demand, effects: &mut Effects) {
        let answer = match request {
            Demand::Handover(id) => self.ask_handover(now, id),
            Demand::Takeover(id) => self.ask_takeover(now, id),
            Demand::TakeoverPeerIsOff(id) => self.ask_takeover_peer_is_off(now, id),
            Demand::Standby { force } => self.ask_standby(now, force, effects),
            Demand::Online => self.ask_online(effects),
            Demand::Maintenance(lasts) => self.ask_maintenance(now, lasts, effects),
        };
        emit(effects, Effect::Reply(answer));
    }

    fn ask_handover(&mut self, now: Instant, id: GroupId) -> Result<(), Denial> {
        self.known(id)?;
        if group_role(&self.groups, id) != Role::Active {
            return Err(Denial::NotActive);
        }
        self.no_maintenance()?;
        self.peer_could(now, id)?;
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.timers.set(Timer::Handover, now + WISH_LASTS);
        }
        Ok(())
    }

    fn ask_takeover(&mut self, now: Instant, id: GroupId) -> Result<(), Denial> {
        self.may_take(id)?;
        if !self.is_on_time(now) {
            return Err(Denial::PeerNotHeard);
        }
        if self.peer.is_in_maintenance(now) {
            return Err(Denial::PeerMaintenance);
        }
        if self.is_digest_different {
            return Err(Denial::ConfigurationsDiffer);
        }
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.timers.set(Timer::Wanted, now + WISH_LASTS);
            self.is_urgent = true;
        }
        Ok(())
    }

    fn ask_takeover_peer_is_off(&mut self, now: Instant, id: GroupId) -> Result<(), Denial> {
        self.may_take(id)?;
        if self.is_heard(now) {
            return Err(Denial::PeerIsHeard);
        }
        if let Some(group) = self.groups.get_mut(id.index()) {
            group.timers.set(Timer::PeerOff, now + WISH_LASTS);
        }
        self.forget_neighbours();
        Ok(())
    }

    fn known(&self, id: GroupId) -> Result<(), Denial> {
        self.groups.get(id.index()).map(|_| ()).ok_or(Denial::NoSuchGroup)
    }

    fn may_take(&self, id: GroupId) -> Result<(), Denial> {
        self.known(id)?;
        self.no_maintenance()?;
        if self.restraint.standby != Standby::No {
            return Err(Denial::Standby);
        }
        let has_carrier = self.groups.get(id.index()).is_some_and(|group| group.has_carrier);
        match group_role(&self.groups, id) {
            Role::Active | Role::Acquiring => Err(Denial::AlreadyActive),
            Role::Backup if has_carrier && self.guard == GuardState::Fine && self.leaving == Leaving::No => {
                Ok(())
            }
            Role::Backup | Role::Releasing | Role::Faulty => Err(Denial::Unable),
        }
    }

    pub(super) fn peer_could(&self, now: Instant, id: GroupId) -> Result<(), Denial> {
        let group = self.groups.get(id.index()).ok_or(Denial::NoSuchGroup)?;
        if !self.is_on_time(now) {
            Err(Denial::PeerNotHeard)
        } else if self.is_digest_different {
            Err(Denial::ConfigurationsDiffer)
        } else if !self.situation(now, id, group).could_peer_take() {
            Err(Denial::PeerUnable)
        } else {
            Ok(())
        }
    }

    pub(super) fn stop(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Stopping;
        }
    }

    /// Notes the answer of a witness. If no witness was in sight before, this node may have been cut off
    /// until now, and its probes with it: that nobody answered then is no proof, now that a witness is seen.
    /// An answer that comes too late to count as sight changes nothing.
    pub(super) fn witness_answered(&mut self, now: Instant, index: usize, asked_at: Instant) {
        let window = self.sight_window();
        let was_blind = self.witnesses.seen_bits(now, window) == 0;
        self.witnesses.answer(index, asked_at);
        if was_blind && self.witnesses.seen_bits(now, window) != 0 {
            self.groups.iter_mut().for_each(|group| group.probe.doubt());
        }
    }

    pub(super) fn carrier(&mut self, id: GroupId, is_up: bool) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        group.is_lit = is_up;
        self.note_carriers();
    }

    /// Notes that our kernel would refuse an address: a node that could not take a group says so before it
    /// has to. One that has failed for such an address tries again when the kernel takes it.
    pub(super) fn address_refused(&mut self, now: Instant, id: GroupId, address: Option<u8>) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if group.role == Role::Faulty && group.is_refused() && address.is_none() {
            group.timers.set(Timer::Retry, now);
        }
        if group.role != Role::Backup {
            return;
        }
        let fault = address.map(|index| Fault::Refused(index, NO_SUCH_FAMILY));
        self.is_urgent |= core::mem::replace(&mut group.fault, fault).is_some() != fault.is_some();
    }

    /// An address is missing. It is renewed at once, but no more than once an interval, however often
    /// somebody takes it away.
    pub(super) fn address_missing(&mut self, now: Instant, id: GroupId) {
        let interval = self.times.interval;
        let every = self.times.renewal_every;
        let Some(group) = self.groups.get_mut(id.index()).filter(|group| group.role == Role::Active) else {
            return;
        };
        let due_at = group.timers.at(Timer::Renewal);
        group.timers.set(Timer::Renewal, now.max(due_at - every + interval).min(due_at));
    }

    /// Notes how scripts are, of a group that is served; or whether this node is ready for one that it does
    /// not hold. What the guard says of a group on its way out, or in, is no news.
    pub(super) fn scripts(&mut self, id: GroupId, condition: Condition, effects: &mut Effects) {
        let is_check = matches!(condition, Condition::Well | Condition::Unready(_));
        let is_meant = |group: &&mut Group| match group.role {
            Role::Active => !matches!(condition, Condition::Unready(_)),
            Role::Backup | Role::Faulty => is_check,
            Role::Acquiring | Role::Releasing => false,
        };
        let group = self.groups.get_mut(id.index()).filter(is_meant);
        if let Some(group) = group.filter(|group| group.condition != condition) {
            self.is_urgent |= group.role != Role::Active;
            group.condition = condition;
            emit(effects, Effect::Record(Record::Scripts { group: id, condition }));
        }
    }

    pub(super) fn vip_answered(
        &mut self,
        now: Instant,
        id: GroupId,
        (mac, shown): ([u8; 6], Option<(u8, PathId)>),
        effects: &mut Effects,
    ) {
        let wait = self.probe_wait();
        // Whether it is the peer's kernel.
        let is_theirs = |(_, path): &(u8, PathId)| {
            self.paths.get(path.index()).is_some_and(|path| path.peer_mac == Some(mac))
        };
        let is_strangers = |(_, path): &(u8, PathId)| {
            self.paths.get(path.index()).and_then(|path| path.peer_mac).is_some_and(|known| known != mac)
        };
        let is_stranger = shown.as_ref().is_some_and(is_strangers);
        let shown = shown.filter(is_theirs);
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if is_stranger {
            group.stranger = Some((mac, now));
        }
        if group.role.is_holding() && !group.is_preparing() {
            self.note_still_held(now, id, mac);
            return self.defend(now, id, mac, effects);
        }
        if group.probe.is_expecting(now, wait) {
            group.probe.vip_answered(now, shown);
        }
        if group.said_mac != Some(mac) {
            group.said_mac = Some(mac);
            emit(effects, Effect::Record(Record::VipAnswered { group: id, mac }));
        }
    }

    /// Notes that both nodes have the addresses: the node that had them before us said that they are gone,
    /// but its kernel still answers for them.
    fn note_still_held(&mut self, now: Instant, id: GroupId, mac: [u8; 6]) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let Some((said_mac, taken_at)) = group.taken_from else { return };
        let is_theirs = said_mac == Some(mac) || self.paths.iter().any(|path| path.peer_mac == Some(mac));
        let is_known = group.is_still_held(now);
        if is_theirs && (is_known || now.since(taken_at) < STILL_HELD_WITHIN) {
            group.still_held_at = Some(now);
            self.is_urgent |= !is_known;
        }
    }

    /// Somebody else claims what we serve. The neighbours are told again where it is, and the operator who it
    /// was. Two active nodes settle it by their beats; only an operator can stop a stranger.
    fn defend(&mut self, now: Instant, id: GroupId, mac: [u8; 6], effects: &mut Effects) {
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        if group.role != Role::Active || now < group.defend_from {
            return;
        }
        group.defend_from = now + DEFEND_EVERY;
        if group.said_mac != Some(mac) {
            group.said_mac = Some(mac);
            emit(effects, Effect::Record(Record::VipContested { group: id, mac }));
        }
        self.order(now + DEFEND_EVERY, Order::Announce { group: id }, effects);
    }
}
