//! How often an agent may ask for something that costs the guard, the wire or the peer something. An honest
//! agent never comes near these limits. An agent that was taken over cannot keep the guard from its work, and
//! cannot reset a healthy peer for ever.

use super::event::{Effect, Effects, Lapse, Note};
use super::{Custody, emit};
use crate::config::{MAX_GROUPS, MAX_PATHS};
use crate::pair::{GroupId, PathId};
use crate::quorum::group::FENCE_AGAIN_AFTER;
use crate::time::{Instant, Span};

/// How often the log is told at most of what was dropped.
const SAY_EVERY: Span = Span::from_s(60);

/// What is rationed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Taking a group.
    Acquire(GroupId),
    /// A fence.
    Fence,
    /// A probe for a group.
    Probe(GroupId),
    /// Another announcement of a group.
    Announce(GroupId),
    /// Opening a path again.
    Reopen(PathId),
    /// Asking for the peer's own address.
    AskForPeer,
    /// Telling the operator's program.
    Notice,
}

/// The ration: so many in a row, and after that one each so often. `interval` is that of the beats. It is
/// twice what an honest agent could ever need, and stands only here.
fn ration(request: Request, interval: Span) -> (u64, Span) {
    match request {
        // For two operators who hand it to and fro.
        Request::Acquire(_) => (16, Span::from_ms(250)),
        // For a peer that was fenced, came back, served, and died again. After that it can boot between two
        // fences.
        Request::Fence => (2, FENCE_AGAIN_AFTER),
        // One an interval, and a second one at once.
        Request::Probe(_) => (32, interval.fraction(1, 2)),
        // One a second against a foreign claim.
        Request::Announce(_) => (4, Span::from_ms(500)),
        Request::Reopen(_) => (4, Span::from_ms(500)),
        // Every LAN that does not answer is asked each two seconds.
        Request::AskForPeer => (16, Span::from_ms(125)),
        // Every role, path and verdict may change a few times at once. Each runs a program.
        Request::Notice => (128, Span::from_ms(250)),
    }
}

/// The instant up to which a ration is used up: all of it, if that is the burst's length ahead (generic cell
/// rate algorithm, ITU-T I.371).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Used(Instant);

impl Used {
    const NOTHING: Self = Self(Instant::ORIGIN);

    fn take(&mut self, now: Instant, (burst, every): (u64, Span)) -> bool {
        let used = self.0.max(now) + every;
        let is_within = used.since(now) <= every.fraction(burst, 1);
        if is_within {
            self.0 = used;
        }
        is_within
    }

    /// When the ration has room for one more.
    fn free_at(self, (burst, every): (u64, Span)) -> Instant {
        Instant::ORIGIN + self.0.since(Instant::ORIGIN + every.fraction(burst.saturating_sub(1), 1))
    }
}

/// What was asked for lately.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Budgets {
    takings: [Used; MAX_GROUPS],
    fences: Used,
    probes: [Used; MAX_GROUPS],
    announcements: [Used; MAX_GROUPS],
    reopenings: [Used; MAX_PATHS],
    /// By path: it is opened as soon as the ration has room. The agent does not ask twice.
    is_awaited: [bool; MAX_PATHS],
    questions: Used,
    notices: Used,
    /// Since the log was told.
    dropped: u32,
    say_from: Instant,
}

impl Budgets {
    pub(super) const fn new() -> Self {
        Self {
            takings: [Used::NOTHING; MAX_GROUPS],
            fences: Used::NOTHING,
            probes: [Used::NOTHING; MAX_GROUPS],
            announcements: [Used::NOTHING; MAX_GROUPS],
            reopenings: [Used::NOTHING; MAX_PATHS],
            is_awaited: [false; MAX_PATHS],
            questions: Used::NOTHING,
            notices: Used::NOTHING,
            dropped: 0,
            say_from: Instant::ORIGIN,
        }
    }

    fn used(&mut self, request: Request) -> Option<&mut Used> {
        match request {
            Request::Acquire(group) => self.takings.get_mut(group.index()),
            Request::Fence => Some(&mut self.fences),
            Request::Probe(group) => self.probes.get_mut(group.index()),
            Request::Announce(group) => self.announcements.get_mut(group.index()),
            Request::Reopen(path) => self.reopenings.get_mut(path.index()),
            Request::AskForPeer => Some(&mut self.questions),
            Request::Notice => Some(&mut self.notices),
        }
    }

    /// Nobody waits for a path any more.
    pub(super) fn forget_paths(&mut self) {
        self.is_awaited = [false; MAX_PATHS];
    }
}

impl Custody {
    /// Whether the agent may have it now. What it may not have is counted.
    pub(super) fn may_have(&mut self, now: Instant, request: Request, effects: &mut Effects) -> bool {
        let ration = ration(request, self.plan.interval);
        let is_within = self.budgets.used(request).is_some_and(|used| used.take(now, ration));
        if !is_within {
            self.budgets.dropped = self.budgets.dropped.saturating_add(1);
            if now >= self.budgets.say_from {
                self.budgets.say_from = now + SAY_EVERY;
                emit(effects, Effect::Note(Note::OverBudget(core::mem::take(&mut self.budgets.dropped))));
            }
        }
        is_within
    }

    /// Opens a path again, now or when the ration has room: an agent asks once and waits.
    pub(super) fn want_path(&mut self, now: Instant, path: PathId, effects: &mut Effects) {
        match self.budgets.is_awaited.get_mut(path.index()).filter(|_| path.0 < self.plan.paths) {
            None => self.lose_agent(now, Lapse::UnknownPath, effects),
            Some(is_awaited) => {
                *is_awaited = true;
                self.open_awaited(now, effects);
            }
        }
    }

    /// Opens what is awaited, as far as the rations have room.
    pub(super) fn open_awaited(&mut self, now: Instant, effects: &mut Effects) {
        for path in (0..self.plan.paths).map(PathId) {
            let ration = ration(Request::Reopen(path), self.plan.interval);
            let index = path.index();
            let (Some(used), Some(is_awaited)) =
                (self.budgets.reopenings.get_mut(index), self.budgets.is_awaited.get_mut(index))
            else {
                continue;
            };
            if *is_awaited && used.take(now, ration) {
                *is_awaited = false;
                emit(effects, Effect::Reopen(path));
            }
        }
    }

    /// When the next path that is awaited may be opened.
    pub(super) fn awaited_at(&self) -> Instant {
        let ration = ration(Request::Reopen(PathId(0)), self.plan.interval);
        let paths = self.budgets.reopenings.iter().zip(&self.budgets.is_awaited);
        let awaited = paths.filter(|(_, is_awaited)| **is_awaited).map(|(used, _)| used.free_at(ration));
        awaited.min().unwrap_or(Instant::NEVER)
    }
}
