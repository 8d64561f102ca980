//! What becomes of each effect on a node that only shows what it would do, beside another cluster that
//! serves.
//!
//! Everything that would touch the box or be heard by others is answered as done, or left undone. What is
//! left is asked and told: questions to the wire, and words to the agent. A new effect has to be put in its
//! place here before it compiles.

use super::event::{Effect, End, Event};

/// What becomes of an effect.
#[derive(Clone, Copy, Debug)]
pub enum InShadow {
    /// It is carried out: nothing but a question, or a word between our own processes.
    CarriedOut,
    /// It is not carried out. Custody hears this, as if it had been.
    Pretended(Event<'static>),
    /// It is not carried out, and nobody waits for it.
    Omitted,
}

impl Effect {
    /// What becomes of it in shadow.
    pub const fn in_shadow(self) -> InShadow {
        use InShadow::{CarriedOut, Omitted, Pretended};
        match self {
            Self::Add(group, _) => Pretended(Event::Added(group, Ok(()))),
            Self::Route(group, _) => Pretended(Event::Routed(group, Ok(()))),
            Self::Renew(group, token, ..) => Pretended(Event::Renewed(group, token, Ok(()))),
            Self::Remove(group) => Pretended(Event::Removed(group, Ok(()))),
            Self::Run(group, ..) => Pretended(Event::ScriptEnded(group, End::Done)),
            Self::Fence(_) => Pretended(Event::FenceEnded(Ok(()))),
            // No script runs that could be written down or cut short, and the watchdog was never armed.
            Self::Mark(..)
            | Self::Interrupt(_)
            | Self::Announce(_)
            | Self::StopFailed(_)
            | Self::Pet
            // The operator's program is a script like others, and may act.
            | Self::Notify => Omitted,
            Self::UseNewScripts(_)
            | Self::AskForNew(_)
            | Self::Admit(_)
            | Self::Probe(_)
            | Self::GiveUpFence
            | Self::Reopen(_)
            | Self::AskForPeer
            | Self::Answer(..)
            | Self::Condition(..)
            | Self::TellAlive
            | Self::TellStop
            | Self::DismissAgent
            | Self::StartAgent { .. }
            | Self::Note(_) => CarriedOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec::Vec;

    use super::super::rig::{GROUP, at, plan};
    use super::super::{Custody, Effects, Word};
    use super::*;
    use crate::resource::{Order, Outcome, ReleaseOrder, Ticket, Token};

    /// Hands in an event as a guard in shadow does; returns what it carries out.
    fn hand_in(custody: &mut Custody, event: Event<'_>) -> Vec<Effect> {
        let (mut effects, mut carried_out) = (Effects::new(), Vec::new());
        custody.step(at(0), event, &mut effects);
        let mut waiting: VecDeque<Effect> = effects.into_iter().collect();
        while let Some(effect) = waiting.pop_front() {
            let mut effects = Effects::new();
            match effect.in_shadow() {
                InShadow::CarriedOut => carried_out.push(effect),
                InShadow::Pretended(event) => custody.step(at(0), event, &mut effects),
                InShadow::Omitted => {}
            }
            waiting.extend(effects);
        }
        carried_out
    }

    /// A reign from its beginning to its end: an agent is told what it would be told by a guard that acts.
    #[test]
    fn a_group_is_held_and_let_go_without_a_touch() {
        let mut custody = Custody::new(plan(2), at(0));
        hand_in(&mut custody, Event::AgentStarted);
        hand_in(&mut custody, Event::Said(Word::Deposit));
        let mut told = Vec::new();
        let orders = [
            Order::Fence { group: GROUP },
            Order::Acquire { group: GROUP, term: 1 },
            Order::Renew { group: GROUP, puts_back: true },
            Order::Announce { group: GROUP },
            Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst },
        ];
        for (token, one) in (1..).zip(orders) {
            let ticket = Ticket { token: Token(token), order: one, valid_until: at(1_000) };
            for event in [Event::Said(Word::Order(ticket)), Event::AllSaid] {
                for effect in hand_in(&mut custody, event) {
                    match effect {
                        Effect::Answer(Token(number), outcome) => told.push((number, outcome)),
                        Effect::Note(_) | Effect::Condition(..) | Effect::TellAlive => {}
                        touching => panic!("{touching:?} is carried out"),
                    }
                }
            }
        }
        let expected =
            [(1, Outcome::Fenced), (2, Outcome::Serving), (3, Outcome::Renewed), (5, Outcome::Released)];
        assert_eq!(told, expected);
        assert!(custody.is_everything_free());
    }
}
