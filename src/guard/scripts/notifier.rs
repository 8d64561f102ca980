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
use crate::operator::words;
use crate::settings::{Script, Settings, Standard};

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
            Err(errno) => error!("notify {word}: no process for it: {}", errno.desc()),
        }
    }

    /// The program has ended, or is given up.
    pub fn ended(&mut self, settings: &Settings, how: Option<(Pid, Ended)>) {
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
