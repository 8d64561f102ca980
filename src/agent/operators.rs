//! What operators ask: ours over the control socket, the peer's over the lifeline.

use std::os::fd::OwnedFd;

use crosswire::frame::aside::{Aside, Subject};
use crosswire::journal::Kind;
use crosswire::pair::{GroupId, PathId, PathKind};
use crosswire::quorum::Event;
use crosswire::reasons::Denial;
use crosswire::status::{GroupStatus, NodeStatus};
use crosswire::time::{Instant, Span};
use log::info;

use super::control::Asked;
use super::lifeline::Told;
use super::ports::Port;
use super::{Agent, control};
use crate::clock;
use crate::gather::Gather;
use crate::operator::control::{Answer, History, LostKind, Question, Report, Unheard, typed};
use crate::operator::restraint::MAX_REASON;
use crate::operator::{assessment, status_text, why_text};
use crate::plain;
use crate::settings::{GroupSettings, PathDevice, PathSettings, VirtualAddress, neighbours};

impl Agent<'_> {
    pub(super) fn hear_operators(&mut self) {
        for _ in 0..MAX_QUESTIONS {
            let Some(Asked { client, question, is_root }) = self.control.next_question(clock::now()) else {
                return;
            };
            match question {
                Question::Peer(subject, is_by_cable) => {
                    self.ask_peer((client, is_root), subject, is_by_cable)
                }
                question => control::reply(&client, &self.answer(&question)),
            }
        }
    }

    fn answer(&mut self, question: &Question) -> Answer {
        let now = clock::now();
        match question {
            Question::Status => Answer::Status(Box::new(self.report(now))),
            Question::Why(count) => Answer::History(Box::new(self.history(now, usize::from(*count)))),
            Question::Recording { number, from } => self.recording_from(*number, *from),
            Question::Peer(..) => Answer::PeerSays(Err(Unheard::Busy)),
            Question::Demand { what, reason } => {
                let reason = reason.as_ref().map(|why| plain::line(why, MAX_REASON));
                let Some(demand) = what.clone().with(|name| self.group_called(&name)) else {
                    return Answer::Denied(Denial::NoSuchGroup);
                };
                let because = reason.as_ref().map(|why| format!(", since \"{why}\"")).unwrap_or_default();
                info!("an operator asks: {}{because}", typed(what));
                self.step(now, Event::Operator(demand));
                if demand.is_ban() && self.reply == Some(Answer::Accepted) {
                    self.reason = reason;
                }
                self.reply.take().unwrap_or(Answer::Denied(Denial::Unable))
            }
        }
    }

    fn group_called(&self, name: &str) -> Option<GroupId> {
        let mut groups = self.settings.policy.group_ids().zip(&self.settings.groups);
        groups.find(|(_, group)| group.name == name).map(|(id, _)| id)
    }

    /// Our operator asks the peer: one at a time, root before a member of the group, and only while the peer
    /// is heard.
    fn ask_peer(&mut self, (client, is_root): (OwnedFd, bool), subject: Subject, is_by_cable: bool) {
        let now = clock::now();
        // A command that was ended a moment ago is in nobody's way, and what we ask for ourselves can wait.
        if self.lifeline.make_way() {
            self.peer_report.want(now);
        }
        let _ = self.lifeline.give_up(now, is_root).map(|told| self.take_told(told));
        let refused = match self.path_to_peer(now, is_by_cable) {
            None => Some(Unheard::Nowhere),
            Some(_) if self.lifeline.is_asking() => Some(Unheard::Busy),
            Some(_) => None,
        };
        match refused {
            Some(why) => control::reply(&client, &Answer::PeerSays(Err(why))),
            None => self.lifeline.begin(now, (Some(client), is_root), subject, is_by_cable),
        }
    }

    /// Asks the peer for its newest decisions, if that is due and nobody else asks: over a cable, where
    /// nobody else can read along, unless it is heard on a LAN alone.
    fn ask_for_report(&mut self, now: Instant) {
        let is_time = self.peer_report.is_due(now) && !self.lifeline.is_asking();
        if is_time && self.path_to_peer(now, false).is_some() {
            self.peer_report.asked(now);
            let is_by_cable = self.path_to_peer(now, true).is_some();
            self.lifeline.begin(now, (None, true), Subject::Log, is_by_cable);
        }
    }

    /// Passes an answer of the peer on, or keeps it.
    pub(super) fn take_told(&mut self, told: Told) {
        match (told.client, told.text) {
            (Some(client), text) => {
                control::reply(&client, &Answer::PeerSays(text.ok_or(Unheard::TooSlow)));
            }
            (None, Some(text)) => {
                for (at, said) in self.peer_report.hear(told.at, &text) {
                    let line = (at.since(Instant::ORIGIN), said.as_str());
                    let is_written = self.journal_end.write(Kind::Peer, &line);
                    self.drops.note(told.at, LostKind::Entries, u32::from(!is_written));
                }
            }
            (None, None) => {}
        }
    }

    /// The path for a question. A LAN on which the peer is heard is faster than a cable, but others can read
    /// along there.
    fn path_to_peer(&self, now: Instant, is_by_cable: bool) -> Option<PathId> {
        let status = self.station.status(now);
        let heard = self.settings.policy.path_ids().zip(&self.settings.policy.paths).zip(&status.paths);
        let heard =
            heard.filter(|(_, path)| path.state.is_heard()).map(|((id, policy), _)| (policy.kind, id));
        let allowed = heard.filter(|(kind, _)| *kind == PathKind::Serial || !is_by_cable);
        allowed.max_by_key(|(kind, _)| *kind == PathKind::Lan).map(|(_, id)| id)
    }

    /// Serves the lifeline, in the time that the beats of this turn have left.
    pub(super) fn talk(&mut self, now: Instant) {
        if let Some(told) = self.lifeline.give_up(now, false) {
            self.take_told(told);
        }
        self.ask_for_report(now);
        if let Some((path, ask, is_new)) = self.lifeline.owed() {
            let room = self.aside_room(now, path);
            if room > 0 {
                if is_new {
                    let text = self.text(now, ask.subject);
                    self.lifeline.prepare(ask, text);
                }
                if let Some(tell) = self.lifeline.tell(room) {
                    self.send_aside(path, Aside::Tell(tell));
                }
            }
        }
        let Some((ask, is_by_cable)) = self.lifeline.question(now) else { return };
        let Some(path) = self.path_to_peer(now, is_by_cable).filter(|path| self.aside_room(now, *path) > 0)
        else {
            return;
        };
        let interval = self.settings.policy.interval();
        self.lifeline.asked(now, interval.fraction(3, 1));
        self.send_aside(path, Aside::Ask(ask));
    }

    /// Most bytes of text that an aside may carry now.
    pub(super) fn aside_room(&self, now: Instant, path: PathId) -> usize {
        let interval =
            self.settings.policy.paths.get(path.index()).map_or(Span::ZERO, |path| path.timing.interval);
        let next_beat_at = self.station.next_beat_at(path);
        self.ports.get(path.index()).map_or(0, |port| port.aside_room(now, next_beat_at, interval))
    }

    fn send_aside(&mut self, path: PathId, aside: Aside) {
        if let (Some(body), Some(port)) =
            (self.station.seal_aside(path, aside), self.ports.get_mut(path.index()))
        {
            port.send_aside(&body);
        }
    }

    /// What our own commands would show.
    fn text(&self, now: Instant, subject: Subject) -> String {
        match subject {
            Subject::Status => status_text::text(&self.report(now), false, true),
            Subject::Why => why_text::text(&self.history(now, TOLD_DECISIONS), true),
            Subject::Log => why_text::text(&self.history(now, TOLD_LINES), false),
            Subject::Progress => why_text::steps(&self.history(now, TOLD_STEPS)),
            Subject::Settings => self.settings.agreed(),
            Subject::Unknown => String::new(),
        }
    }

    /// What its records are told with, and no record.
    pub(super) fn names_of_run(&self) -> History {
        History {
            node: self.settings.my_name().to_string(),
            peer: self.names.peer.clone(),
            paths: self.names.paths.clone(),
            groups: self.names.groups.clone(),
            interfaces: self.names.interfaces.clone(),
            scripts: self.names.scripts.clone(),
            key_file: self.names.key_file.clone(),
            up: Span::ZERO,
            state: None,
            is_shadow: self.settings.is_shadow(),
            count: self.journal.count(),
            entries: Vec::new(),
            theirs: Vec::new(),
        }
    }

    fn history(&self, now: Instant, count: usize) -> History {
        let age = |at: &Instant| now.since(*at);
        History {
            up: now.since(Instant::ORIGIN),
            state: assessment::state(&self.report(now)),
            entries: self
                .journal
                .last(count)
                .map(|(at, record, more, end)| (age(at), *record, *more, *end))
                .gather(),
            theirs: self.peer_report.lines().iter().map(|(at, said)| (age(at), said.clone())).gather(),
            ..self.names_of_run()
        }
    }

    fn deaf_interfaces(&self, node: &NodeStatus) -> Vec<String> {
        let deaf = self.settings.paths.iter().zip(&node.paths).filter(|(_, status)| status.is_deaf);
        let interface = |(path, _): (&PathSettings, _)| match &path.device {
            PathDevice::Lan { interface, .. } => Some(interface.clone()),
            PathDevice::Serial { .. } => None,
        };
        deaf.filter_map(interface).gather()
    }

    fn report(&self, now: Instant) -> Report {
        let contents = |group: &GroupSettings| {
            let addresses = group.addresses.iter().map(VirtualAddress::to_string);
            addresses
                .chain(group.routes.iter().map(ToString::to_string))
                .chain(group.scripts.iter().map(|script| script.label().to_owned()))
                .gather()
        };
        let groups = self.settings.groups.iter().map(|group| (group.name.clone(), contents(group)));
        let node = self.station.status(now);
        let end = |(id, group): (GroupId, &GroupStatus)| self.end(id, group.fault, group.condition);
        let misplaced = neighbours::misplaced(&self.settings.groups, &neighbours::addresses_of_box());
        Report {
            pair: self.settings.pair.clone(),
            is_shadow: self.settings.is_shadow(),
            nodes: self.settings.names.clone(),
            paths: self.names.paths.clone(),
            skipped: self.ports.iter().map(Port::skipped).gather(),
            away: self.ports.iter().map(|port| port.away(now)).gather(),
            ports: self.ports.iter().map(|port| port.report(now)).gather(),
            groups: groups.gather(),
            scripts: self.names.scripts.clone(),
            ends: self.settings.policy.group_ids().zip(&node.groups).map(end).gather(),
            witnesses: self.settings.witnesses.iter().map(ToString::to_string).gather(),
            vote: self.settings.vote.map(|to| to.to_string()),
            longest_move: self
                .settings
                .groups
                .iter()
                .map(GroupSettings::longest_move)
                .max()
                .unwrap_or_default(),
            bounds: self.settings.bounds(),
            file: self.settings.file.display().to_string(),
            key_file: self.settings.key_file.display().to_string(),
            said_because: self.reason.clone(),
            watchdog: self.watchdog,
            interfaces: self.settings.interfaces.clone(),
            misplaced: misplaced.iter().map(|(ip, interface)| format!("{ip}@{interface}")).gather(),
            deaf: self.deaf_interfaces(&node),
            is_replaced: self.is_replaced,
            forecasts: self.station.forecasts(now).into_iter().gather(),
            drops: self.drops.report(now),
            journal: self
                .settings
                .journal_base()
                .map(|base| (base.display().to_string(), self.journal_end.trouble)),
            node,
        }
    }
}

/// The most questions that are answered in a turn; further ones wait for the next.
const MAX_QUESTIONS: usize = 8;
/// How many entries of its journal a node tells its peer's operator, with their evidence: what 8 KB hold.
const TOLD_DECISIONS: usize = 20;
/// The same, without the evidence.
const TOLD_LINES: usize = 60;
/// The same for a move that is under way: taking, two or three scripts, serving. They are few, for a slow
/// line.
const TOLD_STEPS: usize = 6;
