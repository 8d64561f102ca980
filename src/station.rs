//! One end of the pair's conversation: what hears, and what decides.
//!
//! A [`Station`] owns the [`Receiver`] and the [`Node`], so that no caller can hand bytes to one of them and
//! forget the other. The node hears messages as events, and seals its own with the receiver's session; its
//! calling contract ([`crate::quorum::node`]) is that of the station.

#[cfg(test)]
mod tests;

use core::ops::Deref;

use crate::config::Policy;
use crate::frame::aside::Aside;
use crate::frame::receiver::Received;
use crate::frame::session::{Accepted, Entropy, Session};
use crate::frame::{Beat, Body, Keyring, Receiver, Version};
use crate::pair::{PathId, Side};
use crate::quorum::event::{Effect, Effects, Event, Said};
use crate::quorum::node::emit;
use crate::quorum::succession::{Holding, Restraint, Succession};
use crate::quorum::{Node, Voice};
use crate::recorder::Tape;
use crate::status::NodeStatus;
use crate::time::Instant;

/// The receiver and the node; it answers whatever the node answers.
#[derive(Clone)]
pub struct Station<T = ()> {
    receiver: Receiver,
    node: Node,
    tape: T,
}

impl Station {
    /// A station that starts now and knows nobody. Paths and carriers are reported by events.
    pub fn new(pair: &str, policy: Policy, me: Side, keys: Keyring, entropy: Entropy, now: Instant) -> Self {
        let unechoed_gap = policy.interval().fraction(1, 2);
        let session = Session::new(pair, me, keys, entropy, unechoed_gap, now);
        let receiver = Receiver::new(&policy, session);
        let mut node = Node::new(policy, me, now);
        node.ask_votes_as(receiver.session().incarnation().0);
        Self { receiver, node, tape: () }
    }

    /// The same station; from now on every step of its node is recorded on `tape`.
    pub fn recorded_by<T: Tape>(self, tape: T) -> Station<T> {
        Station { receiver: self.receiver, node: self.node, tape }
    }
}

impl<T: Tape> Station<T> {
    /// What its steps are recorded on.
    pub fn tape(&self) -> &T {
        &self.tape
    }

    /// Takes in what a path has brought: bytes in any pieces, or one datagram. Before the node hears of any
    /// of these frames, it lets go of what may not be held any longer.
    pub fn hear(&mut self, now: Instant, path: PathId, bytes: &[u8], effects: &mut Effects) {
        match self.receiver.is_stream(path) {
            Some(true) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let received = self.receiver.bytes(now, path, &mut rest);
                    received.into_iter().for_each(|received| self.tell(now, path, received, effects));
                }
            }
            Some(false) => {
                let received = self.receiver.datagram(now, path, bytes);
                received.into_iter().for_each(|received| self.tell(now, path, received, effects));
            }
            None => {}
        }
    }

    /// Takes in one event. What a path brings comes by [`Self::hear`].
    pub fn step(&mut self, now: Instant, event: Event<'_>, effects: &mut Effects) {
        if let Event::PathOpened(path) = event {
            self.receiver.path_opened(path);
        }
        if let Event::Lines(path, lines) = event
            && self.node.knows_lines(now, path, lines)
        {
            return;
        }
        self.tape.before(now, &self.node);
        let first = effects.len();
        let mut voice = Numbered { session: self.receiver.session_mut(), number: 0 };
        self.node.step(now, event, &mut voice, effects);
        self.tape.after(now, &event, voice.number, effects.get(first..).unwrap_or_default());
    }

    /// Tells the node what was heard. The answer of the handshake follows the effects of the node.
    fn tell(&mut self, now: Instant, path: PathId, received: Received, effects: &mut Effects) {
        let newest = || self.receiver.session().newest();
        let said = match &received {
            Ok(Accepted::Beat(beat, number)) => Said::Beat(beat, *number),
            Ok(Accepted::Adopted(answer)) => Said::Adopted { run: answer.to(), newest: newest() },
            Ok(Accepted::Asked(_) | Accepted::Nothing | Accepted::Aside(_)) => {
                Said::Other { newest: newest() }
            }
            Err(refusal) => Said::Refused(*refusal),
        };
        self.step(now, Event::Heard(path, said), effects);
        match received {
            Ok(Accepted::Asked(answer) | Accepted::Adopted(answer)) => {
                let body = self.receiver.session_mut().seal_answer(path, answer);
                emit(effects, Effect::Send(path, body));
            }
            Ok(Accepted::Aside(aside)) => emit(effects, Effect::Aside(path, aside)),
            Ok(Accepted::Beat(..) | Accepted::Nothing) | Err(_) => {}
        }
    }

    /// Seals an aside for `path`; `None` while no peer would understand it. The caller sends it if it delays
    /// no beat.
    pub fn seal_aside(&mut self, path: PathId, aside: Aside) -> Option<Body> {
        self.receiver.session_mut().seal_aside(path, aside)
    }

    /// The state of the node at `now`, what was heard of its peer, and what was refused on each path.
    pub fn status(&self, now: Instant) -> NodeStatus {
        let session = self.receiver.session();
        let mut status = self.node.status(now);
        status.incarnation = session.incarnation().0;
        for (path, number) in status.paths.iter_mut().zip(0..) {
            path.refusals = self.receiver.refused(PathId(number));
        }
        if let Some(peer) = &mut status.peer {
            peer.protocol = session.version().map_or(0, Version::number);
            peer.build = session.peers_build().clone();
        }
        status
    }

    /// As [`Node::succeed`].
    pub fn succeed(&mut self, now: Instant, succession: &Succession) {
        self.node.succeed(now, succession);
    }

    /// As [`Node::resume`].
    pub fn resume(&mut self, now: Instant, holdings: &[Option<Holding>]) {
        self.node.resume(now, holdings);
    }

    /// As [`Node::stir`].
    pub fn stir(&mut self) {
        self.node.stir();
    }

    /// As [`Node::restrain`].
    pub fn restrain(&mut self, restraint: Restraint) {
        self.node.restrain(restraint);
    }
}

impl<T> Deref for Station<T> {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

#[cfg(test)]
impl<T> core::ops::DerefMut for Station<T> {
    fn deref_mut(&mut self) -> &mut Node {
        &mut self.node
    }
}

/// The session as the node's voice, and the number that it took in this step; 0 if none.
struct Numbered<'a> {
    session: &'a mut Session,
    number: u32,
}

impl Voice for Numbered<'_> {
    fn next_number(&mut self) -> u32 {
        debug_assert_eq!(self.number, 0, "a step takes one number");
        self.number = self.session.next_number();
        self.number
    }

    fn next_hello(&mut self, now: Instant, is_heard: bool) -> Option<Version> {
        self.session.next_hello(now, is_heard)
    }

    fn seal_beat(&self, path: PathId, number: u32, beat: &Beat) -> Option<Body> {
        self.session.seal_beat(path, number, beat)
    }

    fn seal_hello(&mut self, version: Version, path: PathId) -> Body {
        self.session.seal_hello(version, path)
    }
}
