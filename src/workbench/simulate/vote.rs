//! The voting witness: the shipped rules of grants, and the way of a question and of its reply.
//!
//! It is one more witness behind those that are only asked whether they are there: what befalls a witness
//! befalls it too. One that goes down has forgotten everything when it comes up again.

use crosswire::pair::Side;
use crosswire::quorum::Event;
use crosswire::time::Span;
use crosswire::vote::group_bit;
use crosswire::vote::wire::{QUESTION_BYTES, Question, REPLY_BYTES, Reply};

use super::fault::WitnessId;
use super::gateway::SOCKET_DATAGRAMS;
use super::wire::VOTE_KEY;
use super::world::{ANY_RUN, LAN_TAKES, What, World};

impl World {
    /// Its place among the witnesses.
    fn vote_id(&self) -> WitnessId {
        WitnessId(u8::try_from(self.setup.witnesses.len()).unwrap_or(u8::MAX))
    }

    /// The agent asks it.
    pub(super) fn ask_vote(&mut self, side: Side, question: &Question) {
        if self.setup.vote.is_none() {
            return;
        }
        let sealed = question.seal(&VOTE_KEY);
        if self.does_see(side, self.vote_id().index()) && !self.is_vote_lost() {
            let takes = self.vote_takes();
            self.schedule(takes, side, ANY_RUN, What::Question(Box::new(sealed)));
        }
    }

    fn is_vote_lost(&mut self) -> bool {
        self.is_answer_lost(self.vote_id().index())
    }

    fn vote_takes(&mut self) -> Span {
        let delay = self.witnesses[self.vote_id().index()].delay;
        LAN_TAKES + Span::from_us(self.chance.below(delay.as_us() + 1))
    }

    /// A question has come, and is answered.
    pub(super) fn answer_vote(&mut self, side: Side, question: &[u8; QUESTION_BYTES]) {
        if !self.does_see(side, self.vote_id().index()) {
            return;
        }
        let Some(reply) = self.voting.answer(self.now, question) else { return };
        self.note_grants(side, &reply);
        if !self.is_vote_lost() {
            let (takes, run) = (self.vote_takes(), self.boxes[side.index()].run);
            self.schedule(takes, side, run, What::Reply(Box::new(reply)));
        }
    }

    /// The checkers learn what was granted, whether the answer arrives or not.
    fn note_grants(&mut self, side: Side, reply: &[u8; REPLY_BYTES]) {
        let granted = Reply::open(reply, &VOTE_KEY).map_or(0, |reply| reply.granted);
        for (group, at) in self.watch.granted_at[side.index()].iter_mut().enumerate() {
            if granted & group_bit(group) != 0 {
                *at = Some(self.now);
            }
        }
    }

    /// A reply reaches the agent's socket, if it got through to the end.
    pub(super) fn receive_vote(&mut self, side: Side, reply: &[u8; REPLY_BYTES]) {
        let is_seen = self.does_see(side, self.vote_id().index());
        let gateway = &mut self.boxes[side.index()];
        if is_seen && gateway.agent.is_some() && gateway.inbox.votes.len() < SOCKET_DATAGRAMS {
            gateway.inbox.votes.push_back(*reply);
            self.rouse(side);
        }
    }

    /// The agent reads a reply.
    pub(super) fn hear_vote(&mut self, side: Side, reply: &[u8; REPLY_BYTES]) {
        if let Some(reply) = Reply::open(reply, &VOTE_KEY) {
            self.step(side, Event::VoteAnswered(reply));
        }
    }
}
