//! Telling the operator's program what changes: one notice at a time, while a few wait. Nobody waits for the
//! program.

use std::collections::VecDeque;

use crosswire::custody::Action;
use crosswire::time::{Instant, Span};
use log::{error, warn};
use nix::sys::wait::WaitPidFlag;
use nix::unistd::Pid;

use crate::clock::now;
use crate::gather::Gather;
use crate::guard::scripts::run::{Ended, Run, how_ended};
use crate::guard::scripts::spawn::{NODE_VARIABLE, environment, spawn};
use crate::ipc::Notice;
use crate::operator::words::{self, ScriptEnd};
use crate::settings::{GroupSettings, Script, Settings, Standard};

/// How many notices wait. Beyond these the oldest is dropped, since the newest matters most.
const MAX_WAITING: usize = 16;
/// The longest that the program may take.
const TIMEOUT: Span = Span::from_s(30);

/// What the program has yet to be told.
#[derive(Default)]
pub struct Notifier {
    /// The program at work.
    pub run: Option<Run>,
    /// The notice that the agent has sent just now.
    pub heard: Option<Notice>,
    waiting: VecDeque<Notice>,
    /// How many were dropped since the last one that was told.
    dropped: u32,
    /// How many were dropped or cut short in all.
    lost: u32,
}

impl Notifier {
    /// Everything was told.
    pub fn is_idle(&self) -> bool {
        self.run.is_none() && self.waiting.is_empty()
    }

    /// Something has changed: it is told as soon as the program is free.
    pub fn take_heard(&mut self, settings: &Settings) {
        let Some(notice) = self.heard.take() else { return };
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
            self.dropped = self.dropped.saturating_add(1);
            self.lost = self.lost.saturating_add(1);
        }
        self.waiting.push_back(notice);
        self.tell_next(settings);
    }

    fn tell_next(&mut self, settings: &Settings) {
        while self.run.is_none() {
            let Some(notice) = self.waiting.pop_front() else { return };
            let dropped = std::mem::take(&mut self.dropped);
            if dropped > 0 {
                warn!("notify: too slow, {dropped} notices were dropped");
            }
            self.start(settings, notice, dropped);
        }
    }

    fn start(&mut self, settings: &Settings, notice: Notice, dropped: u32) {
        let Some(program) = &settings.notify else { return };
        let script = Script::plain(String::new(), Standard::Exec, program.clone(), TIMEOUT);
        let (word, facts) = facts(settings, notice, dropped);
        let facts: Vec<(&str, &str)> = facts.iter().map(|(name, value)| (*name, value.as_str())).gather();
        let facts = environment(&script, Action::Start, "", 0, &facts);
        match spawn(&script, word, &facts) {
            Ok((pid, pipe)) => {
                self.run = Some(Run::quiet(format!("notify {word}"), pid, pipe, now() + TIMEOUT));
            }
            Err(errno) => {
                error!("notify {word}: no process for it: {}", errno.desc());
                self.lost = self.lost.saturating_add(1);
            }
        }
    }

    /// How many notices were dropped, or not told to the end.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// The program has ended, or is given up.
    pub fn ended(&mut self, settings: &Settings, how: Option<(Pid, Ended)>) {
        let was_cut_short = !matches!(how, Some((_, Ended::Exited(_))));
        self.lost = self.lost.saturating_add(u32::from(was_cut_short));
        if let (Some(mut run), Some((pid, how))) = (self.run.take(), how) {
            run.ended(how);
            how_ended(pid, WaitPidFlag::empty());
        }
        self.tell_next(settings);
    }

    /// The daemon ends before everything was told.
    pub fn give_up(&mut self) {
        if !self.is_idle() {
            warn!("notify: {} notices are given up", self.waiting.len() + 1);
        }
        self.run.iter_mut().for_each(|run| run.interrupt(now()));
    }

    /// Something is left to tell, and there is still time until then.
    pub fn is_telling(&self, until: Instant) -> bool {
        !self.is_idle() && now() < until
    }
}

/// The word for a notice, and what the program finds in its environment.
fn facts(settings: &Settings, notice: Notice, dropped: u32) -> (&'static str, Vec<(&'static str, String)>) {
    let mut facts = vec![
        (NODE_VARIABLE, settings.my_name().to_owned()),
        ("CROSSWIRE_PEER", settings.peer_name().to_owned()),
        ("CROSSWIRE_PAIR", settings.pair.clone()),
        ("CROSSWIRE_DROPPED", dropped.to_string()),
    ];
    let group = match notice {
        Notice::Role { group, .. }
        | Notice::Incident { group, .. }
        | Notice::Fault { group, .. }
        | Notice::Fence(group, _)
        | Notice::Readiness(Some(group), _) => settings.groups.get(group.index()),
        Notice::Readiness(None, _)
        | Notice::Verdict(..)
        | Notice::Path(..)
        | Notice::Jeopardy(_)
        | Notice::Witness(..) => None,
    };
    facts.extend(group.map(|group| ("CROSSWIRE_GROUP", group.name.clone())));
    let why;
    let (word, was, is) = match notice {
        Notice::Role { change: (from, to), term, .. } => {
            facts.push(("CROSSWIRE_TERM", term.to_string()));
            ("role", words::role(from), words::role(to))
        }
        Notice::Verdict(from, to) => ("verdict", words::verdict(from), words::verdict(to)),
        Notice::Path(path, from, to) => {
            facts.push(("CROSSWIRE_PATH", settings.path_name(path).to_owned()));
            ("path", words::path_state(from), words::path_state(to))
        }
        Notice::Jeopardy(is_on) => changed("jeopardy", "no", "yes", is_on),
        Notice::Incident { is_kept, lasted, .. } => {
            facts.push(("CROSSWIRE_LASTED_MS", lasted.as_ms().to_string()));
            ("incident", "both serve", if is_kept { "kept" } else { "let go" })
        }
        Notice::Fault { fault, end, .. } => {
            let labels = group.map(GroupSettings::script_labels).unwrap_or_default();
            why = words::fault(fault, &labels, ScriptEnd(end));
            ("fault", "", why.as_str())
        }
        Notice::Fence(_, None) => ("fence", "", "ordered"),
        Notice::Fence(_, Some(is_confirmed)) => {
            ("fence", "ordered", if is_confirmed { "confirmed" } else { "failed" })
        }
        Notice::Readiness(_, is_able) => changed("readiness", "unable", "able", is_able),
        Notice::Witness(index, is_seen) => {
            let witness = settings.witnesses.get(usize::from(index));
            facts.extend(witness.map(|witness| ("CROSSWIRE_WITNESS", witness.to_string())));
            changed("witness", "unseen", "seen", is_seen)
        }
    };
    facts.extend([("CROSSWIRE_WAS", was.to_owned()), ("CROSSWIRE_NOW", is.to_owned())]);
    (word, facts)
}

/// One of two that are each other's opposite.
fn changed(
    word: &'static str,
    no: &'static str,
    yes: &'static str,
    is: bool,
) -> (&'static str, &'static str, &'static str) {
    if is { (word, no, yes) } else { (word, yes, no) }
}

#[cfg(test)]
mod tests {
    use crosswire::health::PathState;
    use crosswire::pair::{GroupId, PathId};
    use crosswire::resource::Fault;

    use super::*;
    use crate::guard::settings_for_tests;

    /// As `WORD was > now, and what else it tells`.
    fn told(notice: Notice) -> String {
        let (word, facts) = facts(&settings_for_tests(), notice, 0);
        let value = |name: &str| {
            let found = facts.iter().find(|(fact, _)| *fact == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let more =
            facts.iter().skip(4).filter(|(name, _)| !["CROSSWIRE_WAS", "CROSSWIRE_NOW"].contains(name));
        let more: Vec<String> = more.map(|(name, value)| format!("{name}={value}")).collect();
        format!("{word} {} > {}, {}", value("CROSSWIRE_WAS"), value("CROSSWIRE_NOW"), more.join(" "))
    }

    #[test]
    fn each_notice_has_its_facts() {
        let group = GroupId(0);
        let name = settings_for_tests().groups[0].name.clone();
        let (is_kept, lasted) = (false, Span::from_ms(1_250));
        let incident = told(Notice::Incident { group, is_kept, lasted });
        let facts = format!("CROSSWIRE_GROUP={name} CROSSWIRE_LASTED_MS=1250");
        assert_eq!(incident, format!("incident both serve > let go, {facts}"));
        let fault = Notice::Fault { group, fault: Fault::NoFence, end: u32::MAX };
        assert_eq!(told(fault), format!("fault  > no fence could be confirmed, CROSSWIRE_GROUP={name}"));
        let fence = |how| told(Notice::Fence(group, how));
        assert_eq!(fence(None), format!("fence  > ordered, CROSSWIRE_GROUP={name}"));
        assert_eq!(fence(Some(true)), format!("fence ordered > confirmed, CROSSWIRE_GROUP={name}"));
        let unable = told(Notice::Readiness(Some(group), false));
        assert_eq!(unable, format!("readiness able > unable, CROSSWIRE_GROUP={name}"));
        // What a captured agent names that is not there is told without its name.
        assert_eq!(told(Notice::Readiness(Some(GroupId(200)), true)), "readiness unable > able, ");
        assert_eq!(told(Notice::Witness(200, false)), "witness seen > unseen, ");
        assert!(
            told(Notice::Path(PathId(0), PathState::OnTime, PathState::Late)).contains("CROSSWIRE_PATH=")
        );
    }
}
