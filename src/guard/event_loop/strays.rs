//! Addresses of ours that somebody else has put there. They are taken away, unless the operator wants nothing
//! touched.
//!
//! If the kernel shows such an address, a look is owed, until it may be taken: nothing that happens at the
//! wrong moment is forgotten. Of an address that is held, only a copy that is not as we put it is a stray: it
//! would outlive us, since it has no lifetime.

use crosswire::custody::HeldGroup;
use crosswire::pair::GroupId;
use crosswire::time::Span;
use log::warn;

use super::state::Guard;
use crate::clock::now;
use crate::settings::{GroupSettings, VirtualAddress, neighbours};

/// How long after a failed removal the next look is taken at the earliest.
const AGAIN_AFTER: Span = Span::from_s(5);

/// Warns of our addresses on other interfaces. They are no business of ours there, but while the peer serves,
/// both boxes answer for them.
fn warn_of_misplaced(groups: &[GroupSettings], loose: &[VirtualAddress]) {
    if loose.is_empty() {
        return;
    }
    for (ip, interface) in neighbours::misplaced(groups, &neighbours::addresses_of_box()) {
        if loose.iter().any(|address| address.ip == ip) {
            warn!(
                "{ip} is on {interface} too, where no group has it: this box answers for it, whoever serves"
            );
        }
    }
}

impl Guard<'_> {
    /// Notes that such an address may stand where it should not, whether its group is held or not.
    pub(super) fn owe_look(&mut self, may_stray: impl Fn(&VirtualAddress, bool) -> bool) {
        let ids = (0u8..).map(GroupId);
        for ((id, own), group) in ids.zip(&mut self.resources).zip(&self.settings.groups) {
            let is_held = self.custody.group(id).is_some_and(HeldGroup::is_held);
            for (bit, address) in (0..u64::BITS).zip(&group.addresses) {
                own.unlooked |= u64::from(may_stray(address, is_held)) << bit;
            }
        }
    }

    /// Takes the looks that are owed and may be taken now. Returns whether no stray is left of what was
    /// looked for.
    pub(super) fn look_for_strays(&mut self) -> bool {
        if self.settings.is_shadow() {
            return true;
        }
        let mut is_all_gone = true;
        for (id, group) in (0u8..).map(GroupId).zip(&self.settings.groups) {
            let (Some(held), Some(own)) = (self.custody.group(id), self.resources.get_mut(id.index())) else {
                continue;
            };
            // If this daemon could not let it go, that is no wish of the operator's.
            let is_left_by_us = held.is_free() && !held.is_clean();
            if own.unlooked == 0 || self.custody.is_hands_off() && !is_left_by_us {
                continue;
            }
            let (held_ones, loose) = own.take_unlooked(&group.addresses, held.is_held());
            warn_of_misplaced(&self.settings.groups, &loose);
            self.addresses.remove_copies(&held_ones);
            if !self.remove_left_over(&loose, "held by nobody") {
                is_all_gone = false;
                self.strays_from = now() + AGAIN_AFTER;
                self.owe_look(|address, is_held| !is_held && loose.contains(address));
            }
        }
        is_all_gone
    }
}
