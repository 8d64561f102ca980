//! Freshness without a clock: which frames count, and the handshake that makes them count.
//!
//! A frame counts only when it echoes the session value that we gave to its sender's incarnation, and carries
//! a number above the last one of that incarnation on that path. The handshake between a fresh node Y and a
//! running node X:
//!
//! ```text
//! Y -> X   hello                                 proves nothing, changes nothing
//! X -> Y   session  for Y: s                     a value that only this Y was ever given
//! Y -> X   session  echo s, for X: t             X adopts Y
//! X -> Y   session  echo t, for Y: s             Y adopts X
//! ```
//!
//! Both sides are symmetric and keep nothing for a candidate: its value is a keyed hash of its incarnation
//! under a secret of this run and a generation that changes with every adoption and with time. So a recorded
//! hello costs one answer and nothing else, recorded frames of an earlier incarnation echo a value that is
//! gone, and a flood of hellos cannot push a real candidate out.
//!
//! Hellos try the versions in turn, an answer is in the version of its question, and all the rest is in the
//! highest version in which an authentic frame of the peer's present run has come ([`super::version`]).

use super::adopted::Adopted;
use super::aside::Aside;
use super::candidate::Candidates;
use super::message::{Beat, Build, Give, Incarnation, Message, SessionValue, low_16};
use super::ration::{Rationed, Rations};
use super::seal::{Header, Kind, Opened, open, pair_id, seal, seal_beat};
use super::version::Version;
use super::{Body, Keyring, Refusal, payload};
use crate::config::MAX_PATHS;
use crate::pair::{PathId, PathKind, Side};
use crate::time::{Instant, Span};

/// A peer that was adopted in an older version is asked whether it speaks the newest: at once, then after
/// this time, then after twice the time before, up to [`LONGEST_ASKING_GAP`].
const ASKING_GAP: Span = Span::from_s(10);
const LONGEST_ASKING_GAP: Span = Span::from_s(3_600);

/// Randomness for one run of the agent, drawn by whoever has a source of it.
#[derive(Clone, Copy)]
pub struct Entropy {
    /// The id of this run.
    pub incarnation: [u8; 8],
    /// Session values are derived from it; it never leaves the node.
    pub secret: [u8; 16],
}

/// An answer that the handshake asks for, to be sent on the path on which the question came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The version of the question.
    version: Version,
    echo: SessionValue,
    give: Give,
}

impl Answer {
    /// The run of the peer that it is for.
    pub fn to(&self) -> Incarnation {
        self.give.to
    }
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
    incarnation: Incarnation,
    number: u32,
    aside_number: u32,
    candidates: Candidates,
    peer: Option<Adopted>,
    /// What the adopted incarnation says that it is.
    peers_build: Build,
    /// The version of the last hello that went out while nobody was heard.
    greeted_in: Version,
    /// When the next hello asks a peer that speaks an older version for the newest, and how long after that
    /// the next one.
    ask_at: Instant,
    asking_gap: Span,
    /// What is let in without an echo.
    rations: Rations,
}

impl Session {
    /// A fresh run: knows nobody. `unechoed_gap` is the least time between two frames without an echo on a
    /// path.
    pub fn new(
        pair: &str,
        me: Side,
        keys: Keyring,
        entropy: Entropy,
        unechoed_gap: Span,
        now: Instant,
    ) -> Self {
        Self {
            me,
            pair: pair_id(pair),
            keys,
            incarnation: Incarnation(entropy.incarnation),
            number: 0,
            aside_number: 0,
            candidates: Candidates::new(entropy.secret, now),
            peer: None,
            peers_build: Build::new(),
            greeted_in: Version::One,
            ask_at: now,
            asking_gap: ASKING_GAP,
            rations: Rations::new(unechoed_gap),
        }
    }

    /// The incarnation of this run.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The version in which we speak to the peer; `None` before there is one.
    pub fn version(&self) -> Option<Version> {
        self.peer.map(|peer| peer.version)
    }

    /// What the peer says that it is; empty while it has not, and in protocol 1.
    pub fn peers_build(&self) -> &Build {
        &self.peers_build
    }

    /// The peer incarnation whose frames count.
    pub fn peer(&self) -> Option<Incarnation> {
        self.peer.map(|peer| peer.incarnation)
    }

    /// Newest number heard from the peer on any path. Zero: none.
    pub fn newest(&self) -> u32 {
        self.peer.and_then(|peer| peer.newest.iter().copied().max()).unwrap_or(0)
    }

    /// The number for the next frame. None of them ends in 16 bits of zero, which acknowledge nothing. When
    /// the numbers are used up (at 20 beats a second after 6.8 years) this run becomes a new incarnation,
    /// which the peer has to adopt.
    pub fn next_number(&mut self) -> u32 {
        if self.number == u32::MAX {
            self.incarnation = self.candidates.next_run(self.incarnation);
            (self.number, self.aside_number) = (0, 0);
            self.peer = None;
        }
        self.number = self.number.saturating_add(1);
        if low_16(self.number) == 0 {
            self.number = self.number.saturating_add(1);
        }
        self.number
    }

    /// A beat for `path`, or nothing before there is a peer that could understand it.
    pub fn seal_beat(&self, path: PathId, number: u32, beat: &Beat) -> Option<Body> {
        let peer = self.peer.as_ref()?;
        Some(seal_beat(&self.header(peer.version, path, peer.gives, number), beat, &self.keys))
    }

    /// The version of the hello that has to go out with the beats of this interval, if one has to: each in
    /// turn while nobody is heard, and now and then the newest for a peer that seems to speak an older one.
    pub fn next_hello(&mut self, now: Instant, is_heard: bool) -> Option<Version> {
        match &self.peer {
            Some(peer) if is_heard => {
                let asks = peer.version < Version::NEWEST && now >= self.ask_at;
                if asks {
                    self.ask_at = now + self.asking_gap;
                    self.asking_gap = (self.asking_gap + self.asking_gap).min(LONGEST_ASKING_GAP);
                }
                asks.then_some(Version::NEWEST)
            }
            Some(_) | None => {
                self.greeted_in = self.greeted_in.after();
                Some(self.greeted_in)
            }
        }
    }

    /// A hello for `path`.
    pub fn seal_hello(&mut self, version: Version, path: PathId) -> Body {
        let number = self.next_number();
        seal(&self.header(version, path, SessionValue::NONE, number), &Message::Hello, &self.keys)
    }

    /// The answer to a frame that came in on `path`.
    pub fn seal_answer(&mut self, path: PathId, answer: Answer) -> Body {
        let number = self.next_number();
        let header = self.header(answer.version, path, answer.echo, number);
        seal(&header, &Message::Session(answer.give), &self.keys)
    }

    /// An aside for `path`, or nothing while there is no peer that could understand it. A run has numbers for
    /// four thousand million of them.
    pub fn seal_aside(&mut self, path: PathId, aside: Aside) -> Option<Body> {
        let peer = self.peer?;
        self.aside_number = self.aside_number.checked_add(1)?;
        let header = self.header(peer.version, path, peer.gives, self.aside_number);
        Some(seal(&header, &Message::Aside(aside), &self.keys))
    }

    fn header(&self, version: Version, path: PathId, echo: SessionValue, number: u32) -> Header {
        Header {
            version,
            pair: self.pair,
            sender: self.me,
            path,
            incarnation: self.incarnation,
            echo,
            number,
        }
    }

    /// Takes in one body.
    ///
    /// On the LAN, where anybody can send, a frame with a wrong session value is dropped before its
    /// authenticator is computed. A frame without any, which begins a handshake, is authenticated before it
    /// spends a ration: a flood from somebody without the key would otherwise use the ration up. On a serial
    /// cable all is checked to the end, so that a wrong key is named even before the first handshake.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn receive(
        &mut self,
        now: Instant,
        path: PathId,
        kind: PathKind,
        body: &[u8],
    ) -> Result<Accepted, Refusal> {
        self.candidates.turn_generation(now);
        let opened = open(body)?;
        self.check_sender(path, &opened.header)?;
        let fresh = self.check_session_value(&opened);
        if kind == PathKind::Lan {
            fresh?;
        }
        opened.verify(&self.keys)?;
        fresh?;
        self.check_number(path, &opened)?;
        self.check_ration(now, path, &opened)?;
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

    fn check_session_value(&self, opened: &Opened<'_>) -> Result<(), Refusal> {
        let header = &opened.header;
        let is_adopted = self.peer.is_some_and(|peer| peer.is_echoed_by(header));
        match (opened.kind, header.echo) {
            (Kind::Hello | Kind::Session, SessionValue::NONE) => Ok(()),
            (Kind::Session | Kind::Beat | Kind::Ask | Kind::Tell, _) if is_adopted => Ok(()),
            (Kind::Session, echo) if self.candidates.is_value(header.incarnation, echo) => Ok(()),
            (Kind::Hello | Kind::Session | Kind::Beat | Kind::Ask | Kind::Tell, _) => Err(Refusal::Session),
        }
    }

    fn check_ration(&mut self, now: Instant, path: PathId, opened: &Opened<'_>) -> Result<(), Refusal> {
        let kind = match (opened.kind, opened.header.echo) {
            (Kind::Hello, _) => Rationed::Hello,
            (Kind::Session, SessionValue::NONE) => Rationed::UnechoedSession,
            (Kind::Session | Kind::Beat | Kind::Ask | Kind::Tell, _) => return Ok(()),
        };
        self.ration(now, path, opened.header.incarnation, kind)
    }

    fn ration(&mut self, now: Instant, path: PathId, of: Incarnation, kind: Rationed) -> Result<(), Refusal> {
        let SessionValue([sender, ..]) = self.candidates.value(of);
        self.rations.spend(now, path, kind, sender)
    }

    /// Frames of the adopted incarnation that echo must count up; anything else has no number to compare
    /// with.
    fn check_number(&self, path: PathId, opened: &Opened<'_>) -> Result<(), Refusal> {
        let (header, Some(peer)) = (&opened.header, &self.peer) else { return Ok(()) };
        if !peer.is_echoed_by(header) {
            return Ok(());
        }
        if header.number > peer.newest(path, opened.kind) { Ok(()) } else { Err(Refusal::Number) }
    }

    fn accept(
        &mut self,
        now: Instant,
        path: PathId,
        header: &Header,
        message: Message,
    ) -> Result<Accepted, Refusal> {
        self.note_version(header);
        match message {
            Message::Hello => Ok(Accepted::Asked(self.answer(header, SessionValue::NONE))),
            Message::Beat(beat) => {
                self.note_number(path, header.number);
                if let Some(peer) = &mut self.peer {
                    peer.is_mutual = true;
                }
                Ok(Accepted::Beat(beat, header.number))
            }
            Message::Aside(aside) => {
                if let Some(newest) =
                    self.peer.as_mut().and_then(|peer| peer.newest_aside.get_mut(path.index()))
                {
                    *newest = header.number;
                }
                Ok(Accepted::Aside(aside))
            }
            Message::Session(give) if give.to != self.incarnation => Err(Refusal::Session),
            Message::Session(give) if header.echo == SessionValue::NONE => {
                Ok(Accepted::Asked(self.answer(header, give.value)))
            }
            Message::Session(give) => Ok(self.accept_session(now, path, header, give)),
        }
    }

    /// A run that has sent an authentic frame in a version speaks this version to its end. A recorded hello
    /// proves no less: it is of the same run.
    fn note_version(&mut self, header: &Header) {
        if let Some(peer) = self.peer.as_mut().filter(|peer| peer.incarnation == header.incarnation) {
            peer.version = peer.version.max(header.version);
        }
    }

    /// A session message that echoes our value: adopt its sender, or learn what it wants echoed now.
    fn accept_session(&mut self, now: Instant, path: PathId, header: &Header, give: Give) -> Accepted {
        let Give { value, build, .. } = give;
        // Our last answer may have been lost as long as no beat has come: it is given again, but only once in
        // a while.
        let is_unsure = self.peer.is_some_and(|peer| !peer.is_mutual);
        let repeats =
            |session: &mut Self| session.ration(now, path, header.incarnation, Rationed::RepeatedAnswer);
        let is_repeated = is_unsure && repeats(self).is_ok();
        if header.version > Version::One {
            self.peers_build = build;
        }
        match &mut self.peer {
            Some(peer) if peer.is_echoed_by(header) => {
                let is_newest = header.number > peer.given_by;
                let is_owed = is_newest && (peer.gives != value || is_repeated);
                if is_newest {
                    (peer.gives, peer.given_by) = (value, header.number);
                }
                self.note_number(path, header.number);
                if is_owed { Accepted::Asked(self.answer(header, value)) } else { Accepted::Nothing }
            }
            Some(_) | None => {
                self.adopt(now, header, value);
                Accepted::Adopted(self.answer(header, value))
            }
        }
    }

    /// From now on the sender of this frame is the peer.
    fn adopt(&mut self, now: Instant, header: &Header, gives: SessionValue) {
        if header.version == Version::One {
            self.peers_build.clear();
        }
        self.peer = Some(Adopted {
            incarnation: header.incarnation,
            version: header.version,
            expects: header.echo,
            expects_too: self.candidates.value(header.incarnation),
            gives,
            given_by: header.number,
            is_mutual: false,
            // Numbers are common to all paths: what this incarnation sent before is old on every one of them.
            newest: [header.number; MAX_PATHS],
            newest_aside: [0; MAX_PATHS],
        });
        (self.ask_at, self.asking_gap) = (now, ASKING_GAP);
        // Values given to other candidates so far die with this adoption.
        self.candidates.forget();
    }

    fn note_number(&mut self, path: PathId, number: u32) {
        if let Some(newest) = self.peer.as_mut().and_then(|peer| peer.newest.get_mut(path.index())) {
            *newest = number;
        }
    }

    fn answer(&self, question: &Header, echo: SessionValue) -> Answer {
        let to = question.incarnation;
        let adopted = self.peer.filter(|peer| peer.incarnation == to);
        let value = adopted.map_or_else(|| self.candidates.value(to), |peer| peer.expects);
        Answer { version: question.version, echo, give: Give { to, value, build: payload::our_build() } }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
