//! What the tests of custody have in common: a shell that does what it is told.

use std::collections::VecDeque;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::resource::{Fault, Order};

pub(super) const GROUP: GroupId = GroupId(0);

pub(super) fn at(ms: u64) -> Instant {
    Instant::from_us(1_000_000) + Span::from_ms(ms)
}

pub(super) fn plan(scripts: usize) -> Plan {
    plan_with(scripts, 0)
}

/// So many of the scripts come before the addresses.
pub(super) fn plan_with(scripts: usize, before: u8) -> Plan {
    let scripts = std::iter::repeat_n(None, scripts).collect();
    let group = GroupPlan { scripts, before, is_exclusive: false, may_fence: true, must_end_with_box: false };
    Plan {
        groups: [group].into_iter().collect(),
        lease: Span::from_s(1),
        hang_after: Span::from_ms(300),
        scripts_stop_within: Span::from_s(10),
        paths: 2,
        interval: Span::from_ms(100),
    }
}

/// Custody with an agent that has left something; its shell does what it is told, and every script does what
/// it should.
pub(super) struct Rig {
    pub(super) custody: Custody,
    pub(super) now: Instant,
    story: Vec<String>,
    /// Scripts go on until they are told to end.
    pub(super) is_slow: bool,
    /// What becomes of its routes.
    pub(super) routes: Result<(), Fault>,
    token: u32,
}

impl Rig {
    pub(super) fn new(scripts: usize) -> Self {
        Self::with(plan(scripts))
    }

    pub(super) fn with(plan: Plan) -> Self {
        let custody = Custody::new(plan, at(0));
        let mut rig =
            Self { custody, now: at(0), story: Vec::new(), is_slow: false, routes: Ok(()), token: 0 };
        rig.hand_in(Event::AgentStarted);
        rig.hand_in(Event::Said(Word::Deposit));
        rig
    }

    pub(super) fn hand_in(&mut self, event: Event<'_>) {
        let mut effects = Effects::new();
        self.custody.step(self.now, event, &mut effects);
        let mut waiting: VecDeque<Effect> = effects.into_iter().collect();
        while let Some(effect) = waiting.pop_front() {
            self.story.extend(said(effect));
            let answer = match effect {
                Effect::Add(id, _) => Some(Event::Added(id, Ok(()))),
                Effect::Route(id, _) => Some(Event::Routed(id, self.routes)),
                Effect::Remove(id) => Some(Event::Removed(id, Ok(()))),
                Effect::Renew(id, token, ..) => Some(Event::Renewed(id, token, Ok(()))),
                Effect::Run(id, ..) if !self.is_slow => Some(Event::ScriptEnded(id, End::Done)),
                Effect::Interrupt(id) => Some(Event::ScriptEnded(id, End::Unknown)),
                Effect::AskForNew(id) => Some(Event::Asked(id, true)),
                Effect::StartAgent { .. } => Some(Event::AgentStarted),
                _ => None,
            };
            let mut effects = Effects::new();
            answer.into_iter().for_each(|event| self.custody.step(self.now, event, &mut effects));
            waiting.extend(effects);
        }
    }

    pub(super) fn order(&mut self, order: Order) -> Token {
        self.token += 1;
        let token = Token(self.token);
        let valid_until = self.now + Span::from_ms(300);
        self.hand_in(Event::Said(Word::Order(Ticket { token, valid_until, order })));
        token
    }

    pub(super) fn acquire(&mut self) -> String {
        self.order(Order::Acquire { group: GROUP, term: 7 });
        self.told()
    }

    /// What happened since the last time.
    pub(super) fn told(&mut self) -> String {
        std::mem::take(&mut self.story).join(", ")
    }

    pub(super) fn pass(&mut self, ms: u64) -> String {
        self.now = self.now + Span::from_ms(ms);
        self.hand_in(Event::Tick);
        self.told()
    }
}

/// What is worth a word of a story.
fn said(effect: Effect) -> Option<String> {
    Some(match effect {
        Effect::Add(..) => "add".to_string(),
        Effect::Renew(..) => "renew".to_string(),
        Effect::Remove(_) => "remove".to_string(),
        Effect::Run(_, script, action, reason) => format!("{action:?} {script} ({reason:?})"),
        Effect::Answer(token, outcome) => format!("{}: {outcome:?}", token.0),
        Effect::StartAgent { is_in_place, .. } => format!("start agent, in place: {is_in_place}"),
        Effect::DismissAgent => "dismiss agent".to_string(),
        Effect::Interrupt(_) => "interrupt".to_string(),
        Effect::TellStop => "tell stop".to_string(),
        Effect::AskForNew(_) => "ask".to_string(),
        Effect::Admit(_) => "admit".to_string(),
        Effect::Pet => "pet".to_string(),
        Effect::Note(Note::WatchdogFires) => "watchdog fires".to_string(),
        Effect::Route(..)
        | Effect::Announce(_)
        | Effect::UseNewScripts(_)
        | Effect::Probe(_)
        | Effect::Fence(_)
        | Effect::Reopen(_)
        | Effect::AskForPeer
        | Effect::Notify
        | Effect::GiveUpFence
        | Effect::Condition(..)
        | Effect::StopFailed(_)
        | Effect::TellAlive
        | Effect::Mark(..)
        | Effect::Note(_) => return None,
    })
}
