//! What two versions of a configuration differ in, and which of that a running daemon can change.

use crosswire::time::Span;

use super::{GroupSettings, PathSettings, Settings, exact};

/// One difference.
#[derive(Debug)]
pub struct Change {
    /// In words.
    pub text: String,
    /// Only a restart can bring it about.
    pub needs_restart: bool,
}

/// Everything that differs; empty if nothing does.
pub fn differences(old: &Settings, new: &Settings) -> Vec<Change> {
    let mut found = Found(Vec::new());
    let device = |(old, new): (&PathSettings, &PathSettings)| old.device != new.device;
    let are_paths_other = old.paths.len() != new.paths.len() || old.paths.iter().zip(&new.paths).any(device);
    // Groups that come or go would be somebody else's in the beats of a node that has not heard of it yet.
    let name = |(old, new): (&GroupSettings, &GroupSettings)| old.name != new.name;
    let are_groups_other = old.groups.len() != new.groups.len() || old.groups.iter().zip(&new.groups).any(name);
    for (is_other, what) in [
        (old.pair != new.pair, "pair"),
        (old.names != new.names, "the nodes"),
        (are_paths_other, "a path (its device, interface, address, port or baud)"),
        (old.watchdog != new.watchdog, "[watchdog]"),
        (old.is_realtime != new.is_realtime, "realtime"),
        (are_groups_other, "which groups there are"),
    ] {
        found.note(is_other, what, true);
    }
    let (before, after) = (&old.policy, &new.policy);
    for (is_other, what) in [
        (old.key_file != new.key_file, "key"),
        (old.state != new.state, "state"),
        (old.notify != new.notify, "notify"),
        (old.witnesses != new.witnesses, "witness"),
        (before.in_jeopardy != after.in_jeopardy, "in_jeopardy"),
        (old.fences != new.fences, "[[fence]]"),
        (old.reset != new.reset, "reset"),
    ] {
        found.note(is_other, what, false);
    }
    found.span("", "lease", before.lease, after.lease);
    found.span("", "cold_start", before.cold_start, after.cold_start);
    for ((path, old), new) in new.paths.iter().zip(&before.paths).zip(&after.paths) {
        let (old, new) = (old.timing, new.timing);
        found.span(&path.name, "interval", old.interval, new.interval);
        found.span(&path.name, "late_after", old.late_after, new.late_after);
        found.span(&path.name, "dead_after", old.dead_after, new.dead_after);
    }
    if !are_groups_other {
        for ((old, new), policies) in old.groups.iter().zip(&new.groups).zip(before.groups.iter().zip(&after.groups)) {
            found.group(old, new, policies.0 != policies.1);
        }
    }
    found.0
}

struct Found(Vec<Change>);

impl Found {
    fn add(&mut self, text: String, needs_restart: bool) {
        self.0.push(Change { text, needs_restart });
    }

    fn note(&mut self, is_other: bool, what: &str, needs_restart: bool) {
        if is_other {
            self.add(format!("{what} has changed"), needs_restart);
        }
    }

    fn span(&mut self, of: &str, what: &str, old: Span, new: Span) {
        if old != new {
            self.add(format!("{of} {what} was {}, is {}", exact(old), exact(new)), false);
        }
    }

    fn group(&mut self, old: &GroupSettings, new: &GroupSettings, is_policy_other: bool) {
        let before = self.0.len();
        self.lists(&old.name, &contents(old), &contents(new));
        // What has the same name may have other times, parameters, or another place.
        let is_inside = old.addresses != new.addresses || old.routes != new.routes || old.scripts != new.scripts;
        if is_policy_other || old.on_stop_failure != new.on_stop_failure || (is_inside && self.0.len() == before) {
            self.add(
                format!("group {}: its rules, or the times or order of its scripts have changed", old.name),
                false,
            );
        }
    }

    fn lists(&mut self, name: &str, old: &[String], new: &[String]) {
        for (list, other, done) in [(old, new, "removed"), (new, old, "added")] {
            for item in list.iter().filter(|item| !other.contains(item)) {
                self.add(format!("group {name}: {item} is {done}"), false);
            }
        }
    }
}

fn contents(group: &GroupSettings) -> Vec<String> {
    let addresses = group.addresses.iter().map(|a| format!("address {}/{}@{}", a.ip, a.prefix, a.interface));
    let routes = group.routes.iter().map(|route| format!("route {route}"));
    addresses.chain(routes).chain(group.scripts.iter().map(|script| format!("script {}", script.label()))).collect()
}
