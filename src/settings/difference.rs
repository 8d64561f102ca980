//! The differences between two versions of a configuration, and which of them a running daemon can apply.

use crosswire::config::{Failback, GroupPolicy, PathTiming, Policy};
use crosswire::quorum::timing;
use crosswire::time::Span;

use super::groups::{ON_STOP_FAILURE, SAFETY};
use super::loader::JEOPARDY;
use super::script::NEVER;
use super::{ConfigError, GroupSettings, Monitor, PathSettings, Script, Settings, VirtualAddress, exact};
use crate::gather::Gather;

/// One difference.
#[derive(Debug)]
pub(super) struct Change {
    /// In words.
    pub(super) text: String,
    /// How it is applied.
    pub(super) by: AppliedBy,
}

/// The least that applies a difference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AppliedBy {
    /// `crosswire reload`
    Reload,
    /// `crosswire upgrade`
    Upgrade,
    /// A restart.
    Restart,
}

impl AppliedBy {
    /// The word behind "this needs".
    const fn name(self) -> &'static str {
        match self {
            Self::Reload => "`crosswire reload`",
            Self::Upgrade if cfg!(feature = "upgrade") => "`crosswire upgrade`",
            Self::Upgrade | Self::Restart => "a restart",
        }
    }
}

fn said(errors: &[ConfigError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).gather()
}

/// What has changed, if all of it can be applied so.
///
/// # Errors
/// What needs more than that, or what this box lacks now.
pub fn changes(old: &Settings, new: &Settings, by: AppliedBy) -> Result<Vec<String>, Vec<String>> {
    let changes = differences(old, new);
    let hard = changes.iter().filter(|change| change.by > by);
    let hard: Vec<_> =
        hard.map(|change| format!("{}: this needs {}", change.text, change.by.name())).gather();
    if !hard.is_empty() {
        return Err(hard);
    }
    // What this box lacked before is no reason to stay with the old file.
    let (lacked, lacks) = (said(&old.absent()), said(&new.absent()));
    let lacks: Vec<_> = lacks.into_iter().filter(|lack| !lacked.contains(lack)).gather();
    if lacks.is_empty() { Ok(changes.into_iter().map(|change| change.text).gather()) } else { Err(lacks) }
}

/// Everything that differs; empty if nothing does.
pub(super) fn differences(old: &Settings, new: &Settings) -> Vec<Change> {
    let mut found = Found(Vec::new());
    if cfg!(feature = "shadow") && old.is_shadow != new.is_shadow {
        // Its paths, its port and its name differ too, which is no news.
        found.values("", &["shadow"], &[old.is_shadow.to_string()], &[new.is_shadow.to_string()]);
        found.0.iter_mut().for_each(|change| change.by = AppliedBy::Restart);
        return found.0;
    }
    let device = |(old, new): (&PathSettings, &PathSettings)| old.device != new.device;
    let are_paths_other = old.paths.len() != new.paths.len() || old.paths.iter().zip(&new.paths).any(device);
    // In a beat, a node that has not heard of new or removed groups yet would take one group for another.
    let name = |(old, new): (&GroupSettings, &GroupSettings)| old.name != new.name;
    let are_groups_other =
        old.groups.len() != new.groups.len() || old.groups.iter().zip(&new.groups).any(name);
    // The peer has to hear the new run on a path on which it heard the old one.
    let is_no_path_kept = old.paths.iter().zip(&new.paths).all(device);
    let is_petted_too_seldom =
        new.watchdog.is_some() && timing::is_petted_too_seldom(&old.policy, &new.policy);
    for (is_other, what) in [
        (old.pair != new.pair, "pair"),
        (old.names != new.names, "the nodes"),
        (is_no_path_kept, "every path: change one on both boxes, then the other; all at once"),
        (old.watchdog != new.watchdog, "[watchdog]"),
        (is_petted_too_seldom, "an interval, which is longer than the one that the watchdog was armed for,"),
        (old.is_realtime != new.is_realtime, "realtime"),
        (old.group != new.group, "the group in [system]"),
    ] {
        found.note(is_other, what, AppliedBy::Restart);
    }
    for (is_other, what) in [
        (are_paths_other && !is_no_path_kept, "a path (its device, interface, address, port or baud)"),
        (old.journal != new.journal, "journal"),
        (are_groups_other, "which groups there are"),
    ] {
        found.note(is_other, what, AppliedBy::Upgrade);
    }
    let (before, after, names) = (&old.policy, &new.policy, &new.names);
    for (is_other, what) in [
        (old.key_file != new.key_file, "key"),
        (old.state != new.state, "state"),
        (old.notify != new.notify, "notify"),
        ((&old.witnesses, old.vote) != (&new.witnesses, new.vote), "witness"),
        (old.fences != new.fences, "[[fence]]"),
        (old.reset != new.reset, "reset"),
    ] {
        found.note(is_other, what, AppliedBy::Reload);
    }
    let keys = ["in_jeopardy", "lease", "cold_start", "carrier_delay"];
    found.values("", &keys, &policy_values(before), &policy_values(after));
    for ((path, old), new) in new.paths.iter().zip(&before.paths).zip(&after.paths) {
        let keys = ["interval", "late_after", "dead_after"];
        found.values(&format!("{} ", path.name), &keys, &times(old.timing), &times(new.timing));
    }
    if !are_groups_other {
        for ((old, new), policies) in
            old.groups.iter().zip(&new.groups).zip(before.groups.iter().zip(&after.groups))
        {
            let of = format!("group {}: ", new.name);
            found.group(old, new);
            let (old, new) = (rules(old, policies.0, names), rules(new, policies.1, names));
            let keys = ["prefer", "failback", "safety", "exclusive", "on_stop_failure"];
            found.values(&of, &keys, &old, &new);
        }
    }
    found.0
}

struct Found(Vec<Change>);

impl Found {
    fn add(&mut self, text: String) {
        self.0.push(Change { text, by: AppliedBy::Reload });
    }

    fn note(&mut self, is_other: bool, what: &str, by: AppliedBy) {
        if is_other {
            self.0.push(Change { text: format!("{what} changed"), by });
        }
    }

    /// Compares the values of these keys; either list may lack the last ones.
    fn values(&mut self, of: &str, keys: &[&str], old: &[String], new: &[String]) {
        for (key, (old, new)) in keys.iter().zip(old.iter().zip(new)).filter(|(_, (old, new))| old != new) {
            self.add(format!("{of}{key} was {old}, is {new}"));
        }
    }

    /// What a group consists of.
    fn group(&mut self, old: &GroupSettings, new: &GroupSettings) {
        let before = self.0.len();
        self.lists(&old.name, &contents(old), &contents(new));
        let is_same_list = self.0.len() == before;
        for script in new.programs() {
            let of = format!("group {}: {} ", new.name, script.label());
            if let Some(old) = old.programs().find(|old| old.is_same(script)) {
                self.values(&of, &SCRIPT_KEYS, &script_values(old), &script_values(script));
            } else if old.programs().any(|old| old.label() == script.label()) {
                // Parameters may hold a password.
                self.add(format!("{of}has other parameters"));
            }
        }
        let is_inside =
            old.addresses != new.addresses || old.routes != new.routes || !old.programs().eq(new.programs());
        if is_same_list && is_inside && self.0.len() == before {
            self.add(format!("group {}: what it holds has changed, or its order", new.name));
        }
    }

    fn lists(&mut self, name: &str, old: &[String], new: &[String]) {
        for (list, other, done) in [(old, new, "removed"), (new, old, "added")] {
            for item in list.iter().filter(|item| !other.contains(item)) {
                self.add(format!("group {name}: {item} is {done}"));
            }
        }
    }
}

fn contents(group: &GroupSettings) -> Vec<String> {
    let mut all: Vec<String> = group.addresses.iter().map(address_text).gather();
    for name in &group.tracked {
        all.push(format!("track {name}"));
    }
    for route in &group.routes {
        all.push(route.to_string());
    }
    let (before, scripts) = group.phases();
    for script in before {
        all.push(format!("script {} before any address", script.label()));
    }
    for script in scripts {
        all.push(format!("script {}", script.label()));
    }
    for check in &group.ready {
        all.push(format!("check {}", check.label()));
    }
    all
}

fn address_text(address: &VirtualAddress) -> String {
    let mut text = format!("address {address}");
    if let Some(peer) = address.peer {
        text += &format!(" peer {peer}");
    }
    if let Some(label) = &address.label {
        text += &format!(" label {label}");
    }
    text + if address.needs_carrier { "" } else { " carrier ignore" }
}

/// How one of a few values is written.
fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, one)| *one == value).map_or("?", |(word, _)| word)
}

fn policy_values(policy: &Policy) -> [String; 4] {
    let spans = [policy.lease, policy.cold_start, policy.carrier_delay];
    let [lease, cold_start, carrier_delay] = spans.map(exact);
    [word_of(&JEOPARDY, policy.in_jeopardy).to_string(), lease, cold_start, carrier_delay]
}

fn times(timing: PathTiming) -> [String; 3] {
    [timing.interval, timing.late_after, timing.dead_after].map(exact)
}

/// The rules of a group, as text; `names` are those of the nodes.
fn rules(group: &GroupSettings, policy: &GroupPolicy, names: &[String; 2]) -> [String; 5] {
    let failback = match policy.failback {
        Failback::Manual => "manual".to_string(),
        Failback::After(Span::ZERO) => "immediate".to_string(),
        Failback::After(wait) => exact(wait),
    };
    [
        policy.prefer.map_or("nobody", |side| names[side.index()].as_str()).to_string(),
        failback,
        word_of(&SAFETY, policy.safety).to_string(),
        if policy.is_exclusive { "true" } else { "false" }.to_string(),
        word_of(&ON_STOP_FAILURE, group.on_stop_failure).to_string(),
    ]
}

const SCRIPT_KEYS: [&str; 6] =
    ["start_timeout", "stop_timeout", "monitor", "monitor_timeout", "failures", "restarts"];

/// The values of a script; the last three only if it has a monitor.
fn script_values(script: &Script) -> Vec<String> {
    let mut values = vec![exact(script.start_timeout), exact(script.stop_timeout)];
    match script.monitor {
        None => values.push(NEVER.to_string()),
        Some(Monitor { every, timeout, failures, restarts }) => {
            values.extend([exact(every), exact(timeout), failures.to_string(), restarts.to_string()]);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::loader;
    use crate::settings::nodes::Wanted;

    const TEXT: &str = "pair = 'gateway'\n[node.gw1]\nlan = '10.0.0.1'\n[node.gw2]\nlan = '10.0.0.2'\n\
        [serial]\n\
        device = '/dev/ttyS0'\n[lan]\ninterface = 'eth0'\n[quorum]\nin_jeopardy = 'hold'\n[timing]\nlease = \
        '3s'\n\
        [group.web]\naddresses = ['10.0.0.100/24', '10.0.0.101/24']\nprefer = 'gw1'\nfailback = '10m'\n\
        safety = 'probe'\n\
        exclusive = false\non_stop_failure = 'hold'\nmonitor = '10s'\n\
        scripts = ['ocf:heartbeat:Filesystem device=a', \
        { run = 'ocf:heartbeat:Filesystem device=b', stop_timeout = '9s', \
        failures = 2 }, { run = 'lsb:x', start_timeout = '20s', monitor = 'never' }]\n[system]\nreset = \
        '/proc/sysrq-trigger'\n";

    fn parse(text: &str) -> Settings {
        loader::parse(Path::new("f"), text, &Wanted::Asked("gw1".to_string())).unwrap_or_else(|errors| {
            panic!("{:?}\n{text}", errors.iter().map(ToString::to_string).collect::<Vec<_>>())
        })
    }

    #[test]
    fn what_differs_is_named_with_what_it_was_and_what_it_is() {
        for (from, to, expected) in [
            ("pair = ", "# nothing\npair = ", &[][..]),
            ("'hold'\n[timing]", "'takeover'\n[timing]", &["in_jeopardy was hold, is takeover"]),
            ("lease = '3s'", "lease = '4s'", &["lease was 3 s, is 4 s"]),
            (
                "[timing]",
                "[timing]\ninterval = '300ms'",
                &["serial interval was 250 ms, is 300 ms", "lan interval was 250 ms, is 300 ms"],
            ),
            ("failback = '10m'", "failback = 'immediate'", &["group web: failback was 600 s, is immediate"]),
            ("prefer = 'gw1'", "prefer = 'gw2'", &["group web: prefer was gw1, is gw2"]),
            (
                "prefer = 'gw1'\nfailback = '10m'\n",
                "",
                &["group web: prefer was gw1, is nobody", "group web: failback was 600 s, is manual"],
            ),
            ("safety = 'probe'", "safety = 'lease'", &["group web: safety was probe, is lease"]),
            ("exclusive = false", "exclusive = true", &["group web: exclusive was false, is true"]),
            (
                "'hold'\nmonitor",
                "'self-fence'\nmonitor",
                &["group web: on_stop_failure was hold, is self-fence"],
            ),
            (
                "stop_timeout = '9s'",
                "stop_timeout = '8s'",
                &["group web: ocf:heartbeat:Filesystem stop_timeout was 9 s, is 8 s"],
            ),
            (
                "start_timeout = '20s'",
                "start_timeout = '1m'",
                &["group web: lsb:x start_timeout was 20 s, is 60 s"],
            ),
            ("monitor = 'never'", "monitor = '5s'", &["group web: lsb:x monitor was never, is 5 s"]),
            ("failures = 2", "failures = 3", &["group web: ocf:heartbeat:Filesystem failures was 2, is 3"]),
            ("device=b", "device=c", &["group web: ocf:heartbeat:Filesystem has other parameters"]),
            (
                "'ocf:heartbeat:Filesystem device=a', ",
                "",
                &["group web: what it holds has changed, or its order"],
            ),
            (
                "'10.0.0.100/24', '10.0.0.101/24'",
                "'10.0.0.101/24', '10.0.0.100/24'",
                &["group web: what it holds has changed, or its order"],
            ),
            (", '10.0.0.101/24'", "", &["group web: address 10.0.0.101/24@eth0 is removed"]),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let found = differences(&parse(TEXT), &parse(&TEXT.replacen(from, to, 1)));
            let said: Vec<&str> = found.iter().map(|change| change.text.as_str()).collect();
            assert_eq!(said, expected, "{to}");
        }
    }

    #[test]
    fn a_shadow_becomes_a_pair_that_serves_only_by_a_restart() {
        let found = differences(&parse(&format!("shadow = true\n{TEXT}")), &parse(TEXT));
        let said: Vec<&str> = found.iter().map(|change| change.text.as_str()).collect();
        assert_eq!(said, ["shadow was true, is false"]);
        assert_eq!(found[0].by, AppliedBy::Restart);
    }

    /// The peer has to hear the new run on a path on which it heard the old one.
    #[test]
    fn groups_and_paths_change_by_an_upgrade_as_long_as_a_path_stays() {
        let by = |text: &str| {
            let found = differences(&parse(TEXT), &parse(text));
            found.iter().map(|change| change.by).max().expect("a difference")
        };
        assert_eq!(by(&format!("{TEXT}[group.mail]\naddresses = ['10.0.0.102/24']\n")), AppliedBy::Upgrade);
        assert_eq!(by(&TEXT.replace("ttyS0", "ttyS1")), AppliedBy::Upgrade);
        assert_eq!(by(&TEXT.replace("'eth0'", "'eth1'")), AppliedBy::Upgrade);
        assert_eq!(by(&TEXT.replace("ttyS0", "ttyS1").replace("'eth0'", "'eth1'")), AppliedBy::Restart);
    }

    /// The peer was told when the watchdog was armed how long after its last beat the box is reset.
    #[test]
    fn beside_a_watchdog_only_a_restart_makes_beats_slower() {
        let watched = format!("{TEXT}[watchdog]\ndevice = '/dev/watchdog'\ntimeout = '2s'\n");
        let with = |interval: &str| {
            let timing = format!("[timing]\ninterval = '{interval}'");
            parse(&watched.replace("[timing]", &timing))
        };
        let needs_restart = |old: &str, new: &str| {
            differences(&with(old), &with(new)).iter().any(|change| change.by == AppliedBy::Restart)
        };
        assert!(needs_restart("250ms", "300ms"));
        assert!(!needs_restart("300ms", "250ms"));
    }
}
