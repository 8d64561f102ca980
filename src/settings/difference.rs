//! What two versions of a configuration differ in, and which of that a running daemon can change.

use std::fmt::Debug;

use crosswire::config::GroupPolicy;

use super::{GroupSettings, Settings, exact};

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// In words.
    pub text: String,
    /// Only a restart can bring it about.
    pub needs_restart: bool,
}

/// Everything that differs, in the order of the file; empty if nothing does.
pub fn differences(old: &Settings, new: &Settings) -> Vec<Change> {
    let mut found = Found(Vec::new());
    found.hard("pair", &old.pair, &new.pair);
    found.hard("the nodes", &old.names, &new.names);
    let device = |settings: &Settings| settings.paths.iter().map(|path| path.device.clone()).collect::<Vec<_>>();
    found.hard("a path (its device, interface, address, port or baud)", &device(old), &device(new));
    found.hard("[watchdog]", &old.watchdog, &new.watchdog);
    found.hard("realtime", &old.is_realtime, &new.is_realtime);
    found.soft("key", &old.key_file, &new.key_file);
    found.soft("state", &old.state, &new.state);
    found.soft("notify", &old.notify, &new.notify);
    found.soft("witness", &old.witnesses, &new.witnesses);
    found.soft("in_jeopardy", &old.policy.in_jeopardy, &new.policy.in_jeopardy);
    found.soft("[[fence]]", &old.fences, &new.fences);
    found.soft("reset", &old.reset, &new.reset);
    found.span("lease", [old.policy.lease, new.policy.lease]);
    found.span("cold_start", [old.policy.cold_start, new.policy.cold_start]);
    for ((path, old), new) in new.paths.iter().zip(&old.policy.paths).zip(&new.policy.paths) {
        found.span(&format!("{}: interval", path.name), [old.timing.interval, new.timing.interval]);
        found.span(&format!("{}: late_after", path.name), [old.timing.late_after, new.timing.late_after]);
        found.span(&format!("{}: dead_after", path.name), [old.timing.dead_after, new.timing.dead_after]);
    }
    found.groups(old, new);
    found.0
}

struct Found(Vec<Change>);

impl Found {
    fn add(&mut self, text: String, needs_restart: bool) {
        self.0.push(Change { text, needs_restart });
    }

    fn hard<T: PartialEq>(&mut self, what: &str, old: &T, new: &T) {
        if old != new {
            self.add(format!("{what} has changed"), true);
        }
    }

    fn soft<T: PartialEq + Debug>(&mut self, what: &str, old: &T, new: &T) {
        if old != new {
            self.add(format!("{what} has changed"), false);
        }
    }

    fn span(&mut self, what: &str, [old, new]: [crosswire::time::Span; 2]) {
        if old != new {
            self.add(format!("{what} was {}, is {}", exact(old), exact(new)), false);
        }
    }

    /// Groups that come or go would be somebody else's in the beats of a node that has not heard of it yet.
    fn groups(&mut self, old: &Settings, new: &Settings) {
        for group in old.groups.iter().filter(|group| new.groups.iter().all(|other| other.name != group.name)) {
            self.add(format!("group {} is removed", group.name), true);
        }
        let policies = |settings: &Settings, name: &str| -> Option<(GroupSettings, GroupPolicy)> {
            let mut all = settings.groups.iter().zip(&settings.policy.groups);
            all.find(|(group, _)| group.name == name).map(|(group, policy)| (group.clone(), *policy))
        };
        for group in &new.groups {
            match (policies(old, &group.name), policies(new, &group.name)) {
                (Some(old), Some(new)) => self.group(&group.name, &old, &new),
                _ => self.add(format!("group {} is added", group.name), true),
            }
        }
    }

    fn group(&mut self, name: &str, old: &(GroupSettings, GroupPolicy), new: &(GroupSettings, GroupPolicy)) {
        let address =
            |address: &super::VirtualAddress| format!("{}/{}@{}", address.ip, address.prefix, address.interface);
        self.list(name, "address", &old.0.addresses, &new.0.addresses, address);
        self.list(name, "script", &old.0.scripts, &new.0.scripts, |script| script.label().to_owned());
        let rules = |(group, policy): &(GroupSettings, GroupPolicy)| {
            (policy.prefer, policy.failback, policy.safety, policy.is_exclusive, group.on_stop_failure)
        };
        let what = format!("group {name}: prefer, failback, safety, exclusive or on_stop_failure");
        self.soft(&what, &rules(old), &rules(new));
    }

    fn list<T: PartialEq>(&mut self, name: &str, what: &str, old: &[T], new: &[T], said: impl Fn(&T) -> String) {
        let before = self.0.len();
        for (list, other, done) in [(old, new, "removed"), (new, old, "added")] {
            for item in list.iter().filter(|item| !other.contains(item)) {
                self.add(format!("group {name}: {what} {} is {done}", said(item)), false);
            }
        }
        if old != new && self.0.len() == before {
            self.add(format!("group {name}: its list of {what} entries has another order"), false);
        }
    }
}
