//! Reading the configuration anew, at a SIGHUP. All of it is checked before any of it counts, and only what
//! has changed is touched: an address that stays is not even looked at, and the agent is replaced by one that
//! goes on with what is held.
//!
//! What came of it is said in the log and in a file beside the pid file, for the command that asked.

use std::path::{Path, PathBuf};

use crosswire::config::MAX_INTERFACES;
use crosswire::custody::{Custody, Event, HeldGroup};
use crosswire::frame::Key;
use crosswire::pair::GroupId;
use crosswire::quorum::succession::Differences;
use log::{error, info};

use super::group_resources::GroupResources;
use super::hear::MAX_LAST_WORDS;
use super::state::{Guard, plan, script_plans};
use crate::gather::Gather;
use crate::guard::kernel::links::Links;
use crate::operator::words;
use crate::private;
use crate::settings::{
    self, AppliedBy, ConfigError, GroupSettings, KeyFile, PathSettings, Settings, VirtualAddress,
};

/// Where the guard says what became of a reload, or of an upgrade: none is taken for the other.
pub fn answer_file(run_dir: &Path, what: &str) -> PathBuf {
    run_dir.join(what)
}

/// The first line of that file is one of these.
pub const DONE: &str = "done";
pub const REFUSED: &str = "refused";

impl Guard<'_> {
    /// Reads the configuration anew. Otherwise says why not, and leaves everything as it is.
    pub(super) fn reload(&mut self) {
        let outcome = self.try_reload();
        self.answer("reload", outcome);
    }

    /// Tells the log, and the command that asked, what became of it.
    pub(super) fn answer(&self, what: &str, outcome: Result<Vec<String>, Vec<String>>) {
        let (word, lines) = match outcome {
            Ok(lines) => (DONE, lines),
            Err(lines) => (REFUSED, lines),
        };
        for line in &lines {
            match word {
                DONE => info!("{what}: {line}"),
                _ => error!("{what} refused: {line}"),
            }
        }
        let file = answer_file(self.run_dir, what);
        let text = format!("{word}\n{}\n", lines.join("\n"));
        if let Err(cause) = private::replace(&file, text.as_bytes(), 0o644) {
            error!("{}: {cause}", file.display());
        }
    }

    fn try_reload(&mut self) -> Result<Vec<String>, Vec<String>> {
        let new = Settings::load(&self.settings.file, Some(self.settings.my_name())).map_err(|e| said(&e))?;
        let keys = KeyFile::load(&new.key_file).map_err(|error| said(&[error]))?;
        let mut changes = settings::changes(self.settings, &new, AppliedBy::Reload)?;
        if keys != self.agent.keys() {
            changes.push("the keys have changed".to_owned());
        }
        if changes.is_empty() {
            return Ok(vec!["nothing has changed".to_owned()]);
        }
        // This agent is not heard any more after that.
        self.hear_agent(MAX_LAST_WORDS);
        self.may_change(&new).map_err(|why| vec![why])?;
        self.change(new, keys)
            .map_err(|errno| vec![format!("no socket for the interfaces: {}", errno.desc())])?;
        Ok(changes)
    }

    /// Whether now is the time for it.
    fn may_change(&self, new: &Settings) -> Result<(), String> {
        if !self.custody.may_reload() {
            return Err("the daemon begins, ends or replaces its agent: try again in a moment".to_owned());
        }
        for ((id, own), group) in (0u8..).map(GroupId).zip(&self.resources).zip(&new.groups) {
            let is_at_rest = self.custody.group(id).is_some_and(HeldGroup::is_at_rest);
            let was_before =
                self.settings.groups.get(id.index()).is_some_and(|old| old.before != group.before);
            if (own.scripts != group.scripts || was_before) && !is_at_rest {
                return Err(format!(
                    "scripts of group {} start, stop or are stuck: try again later",
                    group.name
                ));
            }
        }
        Ok(())
    }

    /// Everything is in order: from here on the new settings count.
    pub(super) fn change(&mut self, new: Settings, keys: Vec<Key>) -> nix::Result<()> {
        if new.interfaces != self.settings.interfaces {
            // This is as at a start: an agent is told how the interfaces are, and what was known by another
            // index is forgotten.
            let mut links = Links::open(&new.interfaces)?;
            links.refresh()?;
            links.note_gap();
            self.links = links;
        }
        // All parts refer to the settings for as long as the daemon lives. The price is a few kilobytes for
        // each change.
        let (old, new): (_, &'static Settings) = (self.settings, Box::leak(Box::new(new)));
        self.settings = new;
        self.addresses.set_lease(new.policy.lease);
        for (id, group) in (0u8..).map(GroupId).zip(&new.groups) {
            self.change_addresses(id, old);
            self.change_checks(id, group, old);
            let was_before = old.groups.get(id.index()).is_some_and(|old| old.before != group.before);
            let is_other = |own: &&mut GroupResources| own.scripts != group.scripts || was_before;
            let own = self.resources.get_mut(id.index()).filter(is_other);
            if let Some(kept) = own.map(|own| own.want_scripts(&group.scripts)) {
                self.hand_in(Event::NewScripts(id, kept, (group.before, &script_plans(&group.scripts))));
            }
        }
        self.remove_vmacs(&old.groups, &new.groups);
        // The macvlans of those that were added are made before any address is.
        self.tell_what_is_refused();
        self.agent.change(keys, differences_for_deposit(old, new));
        self.hand_in(Event::Reloaded(&plan(new)));
        Ok(())
    }

    /// What is checked now begins anew.
    fn change_checks(&mut self, id: GroupId, group: &GroupSettings, old: &Settings) {
        let before = old.groups.get(id.index());
        let is_same = before
            .is_some_and(|before| before.ready == group.ready && before.scripts.len() == group.scripts.len());
        if let Some(own) = self.resources.get_mut(id.index()).filter(|_| !is_same) {
            own.readiness = group.readiness();
            own.drop_check();
        }
    }

    /// Takes away addresses that a held group no longer has. New ones come when nobody answers for them, or
    /// at once if this node had them already, in another group.
    fn change_addresses(&mut self, id: GroupId, old: &Settings) {
        let index = id.index();
        let (Some(own), Some(before)) = (self.resources.get_mut(index), old.groups.get(index)) else {
            return;
        };
        let Some(after) = self.settings.groups.get(index) else { return };
        let added: Vec<_> = not_in(&after.addresses, &before.addresses);
        let removed: Vec<_> = not_in(&before.addresses, &after.addresses);
        let is_held = self.custody.group(id).is_some_and(HeldGroup::is_held);
        if self.settings.is_shadow() {
            return;
        }
        let new_routes = not_in(&after.routes, &before.routes);
        self.addresses.remove_routes(&not_in(&before.routes, &after.routes));
        if !is_held {
            if own.has_backup_routes {
                self.addresses.keep_backup_routes(&new_routes, false);
            }
            return;
        }
        let ours = held_of(&self.custody, &old.groups);
        own.newcomers = not_in(&added, &ours);
        own.known = not_in(&after.addresses, &own.newcomers);
        let has_newcomers = !own.newcomers.is_empty();
        own.has_news = !added.is_empty() || !new_routes.is_empty();
        own.new_routes = new_routes;
        // An address that only moved to another group which this node holds is that group's affair.
        let others = held_of(&self.custody, &self.settings.groups);
        if let Err(fault) = self.addresses.remove(&not_in(&removed, &others)) {
            error!(
                "group {}: an address that was removed is still there: {}",
                after.name,
                words::fault(fault, "", words::ScriptEnd::UNKNOWN)
            );
        }
        if has_newcomers {
            self.hand_in(Event::NewAddresses(id));
        }
    }
}

fn said(errors: &[ConfigError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).gather()
}

/// What the agent that is started by the new file has to know of the old one, whose deposit it reads.
fn differences_for_deposit(old: &Settings, new: &Settings) -> Differences {
    let is_other = |(old, new): (&PathSettings, &PathSettings)| old.device != new.device;
    // Only an upgrade brings other ones.
    let count = if cfg!(feature = "upgrade") { u8::BITS } else { 0 };
    let others = (0..count).zip(old.paths.iter().zip(&new.paths)).filter(|(_, pair)| is_other(*pair));
    let place = |name: &String| {
        let place = old.interfaces.iter().position(|known| known == name);
        place.and_then(|place| u8::try_from(place).ok())
    };
    Differences {
        groups: None,
        has_other_witnesses: old.witnesses != new.witnesses,
        has_other_vote: old.vote != new.vote,
        other_paths: others.fold(0, |bits, (bit, _)| bits | 1 << bit),
        places: Some(new.interfaces.iter().take(MAX_INTERFACES).map(place).collect()),
    }
}

/// The addresses of those groups that this node holds.
fn held_of(custody: &Custody, groups: &[GroupSettings]) -> Vec<VirtualAddress> {
    let is_held = |id: GroupId| custody.group(id).is_some_and(HeldGroup::is_held);
    let held = (0u8..).map(GroupId).zip(groups).filter(|(id, _)| is_held(*id));
    held.flat_map(|(_, group)| group.addresses.iter().cloned()).gather()
}

fn not_in<T: Clone + PartialEq>(all: &[T], others: &[T]) -> Vec<T> {
    all.iter().filter(|one| !others.contains(one)).cloned().gather()
}
