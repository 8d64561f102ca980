//! Addresses that a reload has added to a group which is held: the peer may have them in another group, or
//! anybody else. They come to the group only when nobody answers for them.

use super::event::{Effect, Effects, Note};
use super::{Custody, emit};
use crate::pair::GroupId;
use crate::time::{Instant, Span};

/// How many questions in a row have to stay unanswered: one of them, or its answer, may be lost.
const QUESTIONS: u8 = 3;
/// How long each question waits for its answer.
const WAIT: Span = Span::from_ms(500);
/// How long after an answer it is asked again.
const RETRY_AFTER: Span = Span::from_s(2);

/// How far the asking is, for one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Newcomers {
    unanswered: u8,
    next_at: Instant,
    /// The operator knows that somebody answers.
    is_said: bool,
}

impl Newcomers {
    /// When there is something to do.
    pub(super) fn due_at(&self) -> Instant {
        self.next_at
    }
}

impl Custody {
    /// A reload has added addresses to a held group.
    pub(super) fn note_newcomers(&mut self, now: Instant, id: GroupId) {
        if let Some(group) = self.groups.get_mut(id.index()).filter(|group| group.held.is_held()) {
            group.newcomers = Some(Newcomers { unanswered: 0, next_at: now, is_said: false });
        }
    }

    /// Asks for the addresses, or lets them come. Only an agent hears an answer.
    pub(super) fn ask_if_due(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let can_hear = self.is_listening && self.agent_heard <= now;
        let Some(group) = self.groups.get_mut(id.index()) else { return };
        let Some(newcomers) = group.newcomers.as_mut().filter(|newcomers| now >= newcomers.next_at) else {
            return;
        };
        newcomers.next_at = now + WAIT;
        if !group.held.is_serving() {
            group.newcomers = None;
        } else if !can_hear {
            newcomers.unanswered = 0;
        } else if newcomers.unanswered < QUESTIONS {
            emit(effects, Effect::AskForNew(id));
        } else {
            group.newcomers = None;
            emit(effects, Effect::Admit(id));
        }
    }

    /// The question has left, or not. A question that did not leave is not an unanswered one.
    pub(super) fn asked(&mut self, id: GroupId, has_left: bool) {
        let group = self.groups.get_mut(id.index());
        if let Some(newcomers) = group.and_then(|group| group.newcomers.as_mut()) {
            newcomers.unanswered = if has_left { newcomers.unanswered.saturating_add(1) } else { 0 };
        }
    }

    /// Somebody answers for an address of the group.
    pub(super) fn answered(&mut self, now: Instant, id: GroupId, effects: &mut Effects) {
        let group = self.groups.get_mut(id.index());
        let Some(newcomers) = group.and_then(|group| group.newcomers.as_mut()) else { return };
        (newcomers.unanswered, newcomers.next_at) = (0, now + RETRY_AFTER);
        if !core::mem::replace(&mut newcomers.is_said, true) {
            emit(effects, Effect::Note(Note::NewcomersAnswered(id)));
        }
    }
}
