//! Telling the operator's program what changes: one at a time, a few waiting, and nobody waits for it.

use std::collections::VecDeque;

use crosswire::custody::Action;
use crosswire::time::Span;
use log::{error, warn};
use nix::sys::wait::WaitPidFlag;
use nix::unistd::Pid;

use super::turn::{Guard, how_ended};
use crate::clock::now;
use crate::guard::scripts::run::{Ended, Run};
use crate::guard::scripts::spawn::{NODE_VARIABLE, environment, spawn};
use crate::ipc::Notice;
use crate::operator::words;
use crate::settings::{Script, Standard};

/// Notices that wait; beyond these the oldest is dropped: what is newest matters most.
const MAX_WAITING: usize = 16;
/// Longest that the program may take.
const TIMEOUT: Span = Span::from_s(30);

/// What the program has yet to be told.
#[derive(Default)]
pub struct Notifier {
    /// The program at work.
    pub run: Option<Run>,
    /// The one that the agent has said just now.
    pub heard: Option<Notice>,
    waiting: VecDeque<Notice>,
    /// Since the last one that was told.
    dropped: u32,
}

impl Notifier {
    /// Everything was told.
    pub fn is_idle(&self) -> bool {
        self.run.is_none() && self.waiting.is_empty()
    }
}

impl Guard<'_> {
    /// Something has changed.
    pub(super) fn hear_notice(&mut self) {
        let notifier = &mut self.notifier;
        let Some(notice) = notifier.heard.take() else { return };
        if notifier.waiting.len() == MAX_WAITING {
            notifier.waiting.pop_front();
            notifier.dropped = notifier.dropped.saturating_add(1);
        }
        notifier.waiting.push_back(notice);
        self.tell_next();
    }

    fn tell_next(&mut self) {
        while self.notifier.run.is_none() {
            let Some(notice) = self.notifier.waiting.pop_front() else { return };
            let dropped = std::mem::take(&mut self.notifier.dropped);
            if dropped > 0 {
                warn!("notify: too slow, {dropped} notices were dropped");
            }
            self.start_notice(notice, dropped);
        }
    }

    fn start_notice(&mut self, notice: Notice, dropped: u32) {
        let Some(program) = &self.settings.notify else { return };
        let script = Script::plain(String::new(), Standard::Exec, program.clone(), TIMEOUT);
        let (word, facts) = self.facts(notice, dropped);
        let facts: Vec<(&str, &str)> = facts.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let facts = environment(&script, Action::Start, "", 0, &facts);
        match spawn(&script, word, &facts) {
            Ok((pid, pipe)) => {
                self.notifier.run = Some(Run::quiet(format!("notify {word}"), pid, pipe, now() + TIMEOUT));
            }
            Err(errno) => error!("notify {word}: no process for it: {}", errno.desc()),
        }
    }

    /// The word for it, and what the program finds in its environment.
    fn facts(&self, notice: Notice, dropped: u32) -> (&'static str, Vec<(&'static str, String)>) {
        let settings = self.settings;
        let mut facts = vec![
            (NODE_VARIABLE, settings.my_name().to_owned()),
            ("CROSSWIRE_PEER", settings.peer_name().to_owned()),
            ("CROSSWIRE_PAIR", settings.pair.clone()),
            ("CROSSWIRE_DROPPED", dropped.to_string()),
        ];
        let (word, was, is) = match notice {
            Notice::Role { group, change: (from, to), term } => {
                let name = settings.groups.get(group.index()).map_or("?", |group| group.name.as_str());
                facts.extend([("CROSSWIRE_GROUP", name.to_owned()), ("CROSSWIRE_TERM", term.to_string())]);
                ("role", words::role(from), words::role(to))
            }
            Notice::Verdict(from, to) => ("verdict", words::verdict(from), words::verdict(to)),
            Notice::Path(path, from, to) => {
                facts.push(("CROSSWIRE_PATH", settings.path_name(path).to_owned()));
                ("path", words::path_state(from), words::path_state(to))
            }
            Notice::Jeopardy(is_on) => {
                ("jeopardy", if is_on { "no" } else { "yes" }, if is_on { "yes" } else { "no" })
            }
        };
        facts.extend([("CROSSWIRE_WAS", was.to_owned()), ("CROSSWIRE_NOW", is.to_owned())]);
        (word, facts)
    }

    /// The program has ended, or is given up.
    pub(super) fn notice_ended(&mut self, how: Option<(Pid, Ended)>) {
        if let (Some(mut run), Some((pid, how))) = (self.notifier.run.take(), how) {
            run.ended(how);
            how_ended(pid, WaitPidFlag::empty());
        }
        self.tell_next();
    }

    /// The daemon ends before everything was told.
    pub(super) fn give_up_notices(&mut self) {
        if !self.notifier.is_idle() {
            warn!("notify: {} notices are given up", self.notifier.waiting.len() + 1);
        }
        self.notifier.run.iter_mut().for_each(|run| run.interrupt(now()));
    }

    /// It has until then to be told the rest.
    pub(super) fn is_telling(&self, until: crosswire::time::Instant) -> bool {
        !self.notifier.is_idle() && now() < until
    }
}
