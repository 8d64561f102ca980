//! What the node asks for, carried out.

use std::os::fd::OwnedFd;

use crosswire::frame::aside::Aside;
use crosswire::journal::Kind;
use crosswire::limit::HeldBack;
use crosswire::pair::{Inability, Trouble};
use crosswire::quorum::record::{Incident, Record};
use crosswire::quorum::{Effect, Event};
use crosswire::resource::Condition;
use crosswire::time::{Instant, Span};
use log::{log, warn};

use super::Agent;
use super::journal::Noted;
use crate::clock;
use crate::gather::Gather;
use crate::ipc::{Notice, ToGuard};
use crate::logger;
use crate::operator::control::{Answer, LASTS, LostKind};
use crate::operator::testimony::is_seen;
use crate::operator::words::{self, ScriptEnd};

/// How long after a piece of a text the next one is waited for.
const ASIDES_FOR: Span = Span::from_s(2);

impl Agent<'_> {
    pub(super) fn step(&mut self, now: Instant, event: Event<'_>) {
        self.station.step(now, event, &mut self.effects);
        self.carry_out();
    }

    /// Does what the node asked for, in its order.
    pub(super) fn carry_out(&mut self) {
        if self.effects.is_empty() {
            return;
        }
        let Some(spare) = self.spare.take() else { return };
        let mut effects = std::mem::replace(&mut self.effects, spare);
        effects.iter().for_each(|effect| self.carry_out_one(effect));
        effects.clear();
        self.spare = Some(effects);
    }

    fn carry_out_one(&mut self, effect: &Effect) {
        match effect {
            Effect::Send(path, body) => {
                if let Some(port) = self.ports.get_mut(path.index()) {
                    port.send(body);
                }
            }
            Effect::AskWitnesses => self.asker.ask(clock::now()),
            Effect::ShowHolding(is_holding) => {
                for port in &mut self.ports {
                    port.show_holding(*is_holding);
                }
            }
            Effect::Aside(path, Aside::Ask(ask)) => {
                self.asides_until = clock::now() + ASIDES_FOR;
                self.lifeline.owe(*path, *ask);
            }
            Effect::Aside(_, Aside::Tell(tell)) => {
                self.asides_until = clock::now() + ASIDES_FOR;
                if let Some(told) = self.lifeline.hear(clock::now(), tell) {
                    self.take_told(told);
                }
            }
            Effect::AskVote(question) => self.voter.iter_mut().for_each(|voter| voter.ask(question)),
            Effect::AskForPeer => self.guard.tell(&ToGuard::AskForPeer),
            Effect::AskNeighbours(interfaces) => self.ask_neighbours(*interfaces),
            Effect::Order(ticket) => self.guard.order(ticket),
            Effect::Deposit => {
                self.guard.deposit(&self.station.deposit(clock::now()), self.station.is_in_maintenance());
            }
            Effect::Record(record) => self.record(*record),
            Effect::Reply(Ok(())) => self.reply = Some(Answer::Accepted),
            Effect::Reply(Err(denial)) => self.reply = Some(Answer::Denied(*denial)),
            Effect::Exit => {
                self.guard.tell(&ToGuard::Farewell);
                self.is_done = true;
            }
        }
    }

    pub(super) fn record(&mut self, record: Record) {
        if let Some(record) = self.limiter.admit(clock::now(), record.kind(), record.most_said(), record) {
            self.tell(record, 0);
        }
    }

    /// Tells of a flood of records: the newest of them, and a count.
    pub(super) fn tell_floods(&mut self, now: Instant) {
        while let Some(HeldBack { newest, more }) = self.limiter.next_due(now, self.is_done) {
            self.tell(newest, more);
        }
    }

    /// Tells the operator's program, the log and the journal. The record stands for so many more like it.
    fn tell(&mut self, record: Record, more: u32) {
        let end = match record {
            Record::Fault { group, fault } => self.end(group, Some(fault), Condition::Well),
            Record::Scripts { group, condition } => self.end(group, None, condition),
            _ => 0,
        };
        self.notify(&record, end);
        let (level, line) = words::sentence(&record, ScriptEnd(end), &self.names);
        log!(target: logger::RECORD, level, "{line}{}", logger::And(more));
        let now = clock::now();
        self.drops.note(now, LostKind::Records, more);
        self.keep(now, record, more, end);
    }

    /// Keeps an entry, here and on disk. The peer may know more of what has happened.
    pub(super) fn keep(&mut self, now: Instant, record: Record, more: u32, end: u32) {
        self.journal.note(now, record, more, end);
        self.write_down(now, (now, record, more, end));
        self.peer_report.want(now);
    }

    /// Has an entry written to the journal.
    fn write_down(&mut self, now: Instant, (at, record, more, end): Noted) {
        let entry = (at.since(Instant::ORIGIN), record, more, end);
        let is_written = self.journal_end.write(Kind::Entry, &entry);
        self.drops.note(now, LostKind::Entries, u32::from(!is_written));
    }

    /// The guard says where entries are to be written, or that there is trouble with it. What has happened
    /// before that is written now.
    pub(super) fn hear_of_journal(&mut self, now: Instant, trouble: u8, socket: Option<OwnedFd>) {
        self.journal_end.trouble = trouble;
        let Some(socket) = socket else { return };
        self.journal_end.open(socket);
        self.journal_end.begin(self.names_of_run());
        let before: Vec<Noted> = self.journal.last(usize::MAX).copied().gather();
        before.into_iter().for_each(|entry| self.write_down(now, entry));
    }

    /// Has the operator's program told, if there is one.
    fn notify(&mut self, record: &Record, end: u32) {
        if self.settings.notify.is_none() {
            return;
        }
        let notice = match *record {
            Record::Role { group, from, to } => {
                let groups = self.station.status(clock::now()).groups;
                let term = groups.get(group.index()).map_or(0, |group| group.term);
                Notice::Role { group, change: (from, to), term }
            }
            Record::Verdict { from, to } => Notice::Verdict(from, to),
            Record::Path { path, from, to } => Notice::Path(path, from, to),
            Record::Jeopardy(is_on) => Notice::Jeopardy(is_on),
            Record::Incident(Incident { group, is_kept, began, .. }) => {
                Notice::Incident { group, is_kept, lasted: began }
            }
            Record::Fault { group, fault } => Notice::Fault { group, fault, end },
            Record::Fence { group, confirmed } => Notice::Fence(group, confirmed),
            Record::PeerUnable { group, inability } => {
                Notice::Readiness(Some(group), inability == Inability::None)
            }
            Record::PeerTrouble(trouble) => Notice::Readiness(None, trouble == Trouble::None),
            _ => return,
        };
        self.send_notice(notice);
    }

    /// Has the operator's program told of a witness that is seen no longer, or again. What no node has seen
    /// yet is no news.
    pub(super) fn notify_of_witnesses(&mut self, now: Instant) {
        let is_asked = self.settings.notify.is_some() && !self.settings.witnesses.is_empty();
        if !is_asked || now < self.witnesses_due_at {
            return;
        }
        self.witnesses_due_at = now + LASTS;
        let node = self.station.status(now);
        for (index, witness) in (0..).zip(&node.witnesses) {
            let is_seen = is_seen(&node, witness);
            let bit = 1 << index;
            let was_seen = self.seen_witnesses & bit != 0;
            if is_seen != was_seen {
                self.seen_witnesses ^= bit;
                self.send_notice(Notice::Witness(index, is_seen));
            }
        }
    }

    fn send_notice(&mut self, notice: Notice) {
        if !self.guard.send(&ToGuard::Notice(notice)) {
            self.lost_notices += 1;
            self.drops.note(clock::now(), LostKind::Notices, 1);
        }
    }

    /// Says how many notices were lost, since the guard did not read.
    pub(super) fn tell_lost_notices(&mut self) {
        if self.lost_notices > 0 && self.station.is_guard_heard() {
            let lost = words::counted(std::mem::take(&mut self.lost_notices), "notice");
            warn!("notify: the guard did not read, {lost} lost");
        }
    }

    /// Asks the guard to open lost ports again; not a guard that gives no sign of life, since it may not read
    /// the question, and nobody asks twice.
    pub(super) fn reopen(&mut self, now: Instant) {
        for port in self.ports.iter_mut().filter(|_| self.station.is_guard_heard()) {
            if now >= port.retry_at() {
                port.note_retry();
                self.guard.tell(&ToGuard::Reopen(port.id));
            }
        }
    }
}
