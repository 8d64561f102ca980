//! Freshness without a clock: which frames count, and the handshake that makes them count.
//!
//! A frame counts only when it echoes the session value that we gave to its sender's incarnation, and carries a number
//! above the last one of that incarnation on that path. The handshake between a fresh node Y and a running node X:
//!
//! ```text
//! Y -> X   hello                                 proves nothing, changes nothing
//! X -> Y   session  for Y: s                     a value that only this Y was ever given
//! Y -> X   session  echo s, for X: t             X adopts Y
//! X -> Y   session  echo t, for Y: s             Y adopts X
//! ```
//!
//! Both sides are symmetric and keep nothing for a candidate: its value is a keyed hash of its incarnation under a secret
//! of this run and a generation that changes with every adoption and every [`GENERATION`]. So a recorded hello costs one
//! answer and nothing else, recorded frames of an earlier incarnation echo a value that is gone, and a flood of hellos
//! cannot push a real candidate out.

use siphasher::sip::SipHasher24;

use super::aside::Aside;
use super::message::{Beat, Give, Incarnation, Message, SessionValue};
use super::seal::{Header, Kind, Opened, open, pair_id, seal};
use super::{Body, Keyring, Refusal};
use crate::config::{MAX_PATHS, PathId, PathKind, Side};
use crate::time::{Instant, Span};

/// How long a value that was given to a candidate stays good at least, and twice this at most.
pub const GENERATION: Span = Span::from_s(10);

/// Randomness for one run of the agent, drawn by whoever has a source of it.
#[derive(Clone, Copy)]
pub struct Entropy {
    /// The id of this run.
    pub incarnation: [u8; 8],
    /// From which session values are derived; never leaves the node.
    pub secret: [u8; 16],
}

/// The peer incarnation whose frames count.
#[derive(Clone, Copy, Debug)]
struct Adopted {
    incarnation: Incarnation,
    /// What its frames must echo.
    expects: SessionValue,
    /// What our frames to it echo.
    gives: SessionValue,
    /// A beat of it has come: it has adopted us too, and the handshake is over.
    is_mutual: bool,
    /// Newest number heard, per path.
    newest: [u32; MAX_PATHS],
    /// Newest number of an aside, per path. Asides count apart: what acknowledges them would else hide the beats.
    newest_aside: [u32; MAX_PATHS],
}

/// What costs us work or an answer before its sender has proved to be there: let in once in a while.
#[derive(Clone, Copy)]
enum Rationed {
    Hello,
    UnechoedSession,
    RepeatedAnswer,
}

impl Rationed {
    const fn index(self) -> usize {
        match self {
            Self::Hello => 0,
            Self::UnechoedSession => 1,
            Self::RepeatedAnswer => 2,
        }
    }
}

/// An answer that the handshake asks for, to be sent on the path on which the question came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    echo: SessionValue,
    give: Give,
}

/// A frame that counts, or one that asks for an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// A fresh beat and its number.
    Beat(Beat, u32),
    /// The handshake goes on; nothing has changed.
    Asked(Answer),
    /// From now on this incarnation of the peer counts, and no other.
    Adopted(Answer),
    /// A fresh session message that brought nothing new.
    Nothing,
    /// Something for operators, which proves nothing.
    Aside(Aside),
}

/// One node's half of the conversation.
#[derive(Clone)]
pub struct Session {
    me: Side,
    pair: u16,
    keys: Keyring,
    secret: [u8; 16],
    incarnation: Incarnation,
    number: u32,
    aside_number: u32,
    generation: u32,
    generation_since: Instant,
    /// The generation before this one is still accepted.
    is_previous_good: bool,
    peer: Option<Adopted>,
    /// When the last frame of each [`Rationed`] kind was let in, per path.
    let_in_at: [[Option<Instant>; 3]; MAX_PATHS],
    /// Least time between two of a kind.
    unechoed_gap: Span,
}

impl Session {
    /// A fresh run: knows nobody. `unechoed_gap` is the least time between two frames without an echo on a path.
    pub fn new(pair: &str, me: Side, keys: Keyring, entropy: Entropy, unechoed_gap: Span, now: Instant) -> Self {
        Self {
            me,
            pair: pair_id(pair),
            keys,
            secret: entropy.secret,
            incarnation: Incarnation(entropy.incarnation),
            number: 0,
            aside_number: 0,
            generation: 0,
            generation_since: now,
            is_previous_good: false,
            peer: None,
            let_in_at: [[None; 3]; MAX_PATHS],
            unechoed_gap,
        }
    }

    /// The incarnation of this run.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The peer incarnation whose frames count.
    pub fn peer(&self) -> Option<Incarnation> {
        self.peer.map(|peer| peer.incarnation)
    }

    /// Newest number heard from the peer on any path. Zero: none.
    pub fn newest(&self) -> u32 {
        self.peer.and_then(|peer| peer.newest.iter().copied().max()).unwrap_or(0)
    }

    /// The number for the next frame. When the numbers are used up (at 20 beats a second after 6.8 years) this run
    /// becomes a new incarnation, which the peer has to adopt.
    pub fn next_number(&mut self) -> u32 {
        if self.number == u32::MAX {
            let hash = SipHasher24::new_with_key(&self.secret).hash(&self.incarnation.0);
            self.incarnation = Incarnation(hash.to_le_bytes());
            (self.number, self.aside_number) = (0, 0);
            self.peer = None;
        }
        self.number = self.number.saturating_add(1);
        self.number
    }

    /// A beat for `path`, or nothing before there is a peer that could understand it.
    pub fn seal_beat(&self, path: PathId, number: u32, beat: &Beat) -> Option<Body> {
        let echo = self.peer.as_ref()?.gives;
        Some(seal(&self.header(path, echo, number), &Message::Beat(beat.clone()), &self.keys))
    }

    /// A hello for `path`.
    pub fn seal_hello(&mut self, path: PathId) -> Body {
        let number = self.next_number();
        seal(&self.header(path, SessionValue::NONE, number), &Message::Hello, &self.keys)
    }

    /// The answer to a frame that came in on `path`.
    pub fn seal_answer(&mut self, path: PathId, answer: Answer) -> Body {
        let number = self.next_number();
        seal(&self.header(path, answer.echo, number), &Message::Session(answer.give), &self.keys)
    }

    /// An aside for `path`, or nothing while there is no peer that could understand it. A run has numbers for four thousand
    /// million of them.
    pub fn seal_aside(&mut self, path: PathId, aside: Aside) -> Option<Body> {
        let echo = self.peer.as_ref()?.gives;
        self.aside_number = self.aside_number.checked_add(1)?;
        Some(seal(&self.header(path, echo, self.aside_number), &Message::Aside(aside), &self.keys))
    }

    fn header(&self, path: PathId, echo: SessionValue, number: u32) -> Header {
        Header { pair: self.pair, sender: self.me, path, incarnation: self.incarnation, echo, number }
    }

    /// Takes in one body.
    ///
    /// On the LAN, where anybody can send, a frame without the right session value is dropped before its authenticator is
    /// reckoned. On a serial cable it is checked to the end, so that a wrong key is named even before the first handshake.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn receive(&mut self, now: Instant, path: PathId, kind: PathKind, body: &[u8]) -> Result<Accepted, Refusal> {
        self.turn_generation(now);
        let opened = open(body)?;
        self.check_sender(path, &opened.header)?;
        let fresh = self.check_session_value(now, path, &opened);
        if kind == PathKind::Lan {
            fresh?;
        }
        opened.verify(&self.keys)?;
        fresh?;
        self.check_number(path, &opened)?;
        let message = opened.decode()?;
        self.accept(now, path, &opened.header, message)
    }

    fn check_sender(&self, path: PathId, header: &Header) -> Result<(), Refusal> {
        if header.pair != self.pair {
            Err(Refusal::Pair)
        } else if header.sender == self.me && header.incarnation == self.incarnation {
            Err(Refusal::Looped)
        } else if header.sender == self.me {
            Err(Refusal::SameNode)
        } else if header.path != path {
            Err(Refusal::Path)
        } else {
            Ok(())
        }
    }

    fn check_session_value(&mut self, now: Instant, path: PathId, opened: &Opened<'_>) -> Result<(), Refusal> {
        let header = &opened.header;
        let is_adopted = self.peer.is_some_and(|p| p.incarnation == header.incarnation && p.expects == header.echo);
        match (opened.kind, header.echo) {
            (Kind::Hello, SessionValue::NONE) => self.ration(now, path, Rationed::Hello),
            (Kind::Session, SessionValue::NONE) => self.ration(now, path, Rationed::UnechoedSession),
            (Kind::Session | Kind::Beat | Kind::Ask | Kind::Tell, _) if is_adopted => Ok(()),
            (Kind::Session, echo) if self.is_candidate_value(header.incarnation, echo) => Ok(()),
            (Kind::Hello | Kind::Session | Kind::Beat | Kind::Ask | Kind::Tell, _) => Err(Refusal::Session),
        }
    }

    fn ration(&mut self, now: Instant, path: PathId, kind: Rationed) -> Result<(), Refusal> {
        let gap = self.unechoed_gap;
        let slots = self.let_in_at.get_mut(path.index()).ok_or(Refusal::Path)?;
        let slot = slots.get_mut(kind.index()).ok_or(Refusal::Path)?;
        if slot.is_some_and(|at| now.since(at) < gap) {
            return Err(Refusal::TooOften);
        }
        *slot = Some(now);
        Ok(())
    }

    /// Frames of the adopted incarnation that echo must count up; anything else has no number to compare with.
    fn check_number(&self, path: PathId, opened: &Opened<'_>) -> Result<(), Refusal> {
        let (header, Some(peer)) = (&opened.header, &self.peer) else { return Ok(()) };
        if peer.incarnation != header.incarnation || header.echo != peer.expects {
            return Ok(());
        }
        let newest = match opened.kind {
            Kind::Hello | Kind::Session | Kind::Beat => &peer.newest,
            Kind::Ask | Kind::Tell => &peer.newest_aside,
        };
        let newest = newest.get(path.index()).copied().unwrap_or(u32::MAX);
        if header.number > newest { Ok(()) } else { Err(Refusal::Number) }
    }

    fn accept(&mut self, now: Instant, path: PathId, header: &Header, message: Message) -> Result<Accepted, Refusal> {
        match message {
            Message::Hello => Ok(Accepted::Asked(self.answer(header.incarnation, SessionValue::NONE))),
            Message::Beat(beat) => {
                self.note_number(path, header.number);
                if let Some(peer) = &mut self.peer {
                    peer.is_mutual = true;
                }
                Ok(Accepted::Beat(beat, header.number))
            }
            Message::Aside(aside) => {
                if let Some(newest) = self.peer.as_mut().and_then(|peer| peer.newest_aside.get_mut(path.index())) {
                    *newest = header.number;
                }
                Ok(Accepted::Aside(aside))
            }
            Message::Session(give) if give.to != self.incarnation => Err(Refusal::Session),
            Message::Session(give) if header.echo == SessionValue::NONE => {
                Ok(Accepted::Asked(self.answer(header.incarnation, give.value)))
            }
            Message::Session(give) => Ok(self.accept_session(now, path, header, give.value)),
        }
    }

    /// A session message that echoes our value: adopt its sender, or learn what it wants echoed now.
    fn accept_session(&mut self, now: Instant, path: PathId, header: &Header, value: SessionValue) -> Accepted {
        // As long as no beat has come our last answer may have been lost: it is given again, but not again and again.
        let is_unsure = self.peer.is_some_and(|peer| !peer.is_mutual);
        let is_repeated = is_unsure && self.ration(now, path, Rationed::RepeatedAnswer).is_ok();
        match &mut self.peer {
            Some(peer) if peer.incarnation == header.incarnation && peer.expects == header.echo => {
                let is_owed = peer.gives != value || is_repeated;
                peer.gives = value;
                self.note_number(path, header.number);
                if is_owed { Accepted::Asked(self.answer(header.incarnation, value)) } else { Accepted::Nothing }
            }
            Some(_) | None => {
                // Numbers are common to all paths: what this incarnation sent before is old on every one of them.
                let newest = [header.number; MAX_PATHS];
                let (incarnation, expects) = (header.incarnation, header.echo);
                self.peer = Some(Adopted {
                    incarnation,
                    expects,
                    gives: value,
                    is_mutual: false,
                    newest,
                    newest_aside: [0; MAX_PATHS],
                });
                // Values given to other candidates so far die with this adoption.
                self.generation = self.generation.wrapping_add(2);
                self.is_previous_good = false;
                Accepted::Adopted(self.answer(incarnation, value))
            }
        }
    }

    fn note_number(&mut self, path: PathId, number: u32) {
        if let Some(newest) = self.peer.as_mut().and_then(|peer| peer.newest.get_mut(path.index())) {
            *newest = number;
        }
    }

    fn answer(&self, to: Incarnation, echo: SessionValue) -> Answer {
        let adopted = self.peer.filter(|peer| peer.incarnation == to);
        let value = adopted.map_or_else(|| self.candidate_value(to, self.generation), |peer| peer.expects);
        Answer { echo, give: Give { to, value } }
    }

    fn turn_generation(&mut self, now: Instant) {
        let age = now.since(self.generation_since);
        if age >= GENERATION {
            self.generation = self.generation.wrapping_add(1);
            self.generation_since = now;
            self.is_previous_good = age < GENERATION + GENERATION;
        }
    }

    fn is_candidate_value(&self, incarnation: Incarnation, echo: SessionValue) -> bool {
        let previous = self.generation.wrapping_sub(1);
        echo == self.candidate_value(incarnation, self.generation)
            || (self.is_previous_good && echo == self.candidate_value(incarnation, previous))
    }

    fn candidate_value(&self, incarnation: Incarnation, generation: u32) -> SessionValue {
        let [i0, i1, i2, i3, i4, i5, i6, i7] = incarnation.0;
        let [g0, g1, g2, g3] = generation.to_le_bytes();
        let input = [i0, i1, i2, i3, i4, i5, i6, i7, g0, g1, g2, g3];
        let [a, b, c, d, ..] = SipHasher24::new_with_key(&self.secret).hash(&input).to_le_bytes();
        // Zero means 'none'.
        if [a, b, c, d] == [0; 4] { SessionValue([1, 0, 0, 0]) } else { SessionValue([a, b, c, d]) }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
