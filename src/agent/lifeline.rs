//! The lifeline's two ends: what our operators ask of the peer, and what the peer's ask of us.
//!
//! Beats come first and are never late because of it: an aside leaves only if the line will have carried it
//! before the next beat is due, and takes at most half an interval of the line, so that even an unexpected
//! beat waits no longer.

use std::os::fd::{AsRawFd, OwnedFd};

use crosswire::frame::aside::{Ask, MAX_CHUNK_BYTES, MAX_TEXT_BYTES, Subject, Tell};
use crosswire::pair::PathId;
use crosswire::time::{Instant, Span};
use nix::sys::socket::{MsgFlags, recv};

use crate::plain;

/// How long our operator waits for the whole text: 8 KB at 9600 baud and 250 ms beats take 30 s.
pub const PATIENCE: Span = Span::from_s(60);

/// What our operator has asked of the peer, or we for ourselves.
struct Asking {
    /// None if nobody waits for it: then whoever asks goes first.
    client: Option<OwnedFd>,
    /// Root asks; else a member of the group.
    is_root: bool,
    subject: Subject,
    is_by_cable: bool,
    reading: u8,
    text: Vec<u8>,
    /// When the first piece was asked for last, and between that and when it came: when the text was made.
    asked_at: Instant,
    made_at: Option<Instant>,
    /// When the next piece is asked for, again or for the first time.
    ask_at: Instant,
    give_up_at: Instant,
}

/// What the peer's operator has asked of us.
struct Telling {
    reading: u8,
    subject: Subject,
    text: Vec<u8>,
}

/// Both ends.
#[derive(Default)]
pub struct Lifeline {
    asking: Option<Asking>,
    last_reading: u8,
    telling: Option<Telling>,
    /// A question that waits until the line has time for its answer.
    owed: Option<(PathId, Ask)>,
}

/// An answer for our operator, or for ourselves.
pub struct Told {
    pub client: Option<OwnedFd>,
    /// When the peer wrote it, as well as that is known.
    pub at: Instant,
    /// `None`: the peer did not tell all of it in time.
    pub text: Option<String>,
}

impl Lifeline {
    /// Whether an operator of ours is being served. Only one is at a time.
    pub fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Our operator asks; without one, we ask for ourselves.
    pub fn begin(
        &mut self,
        now: Instant,
        (client, is_root): (Option<OwnedFd>, bool),
        subject: Subject,
        is_by_cable: bool,
    ) {
        self.last_reading = self.last_reading.wrapping_add(1);
        self.asking = Some(Asking {
            client,
            is_root,
            subject,
            is_by_cable,
            reading: self.last_reading,
            text: Vec::new(),
            asked_at: now,
            made_at: None,
            ask_at: now,
            give_up_at: now + PATIENCE,
        });
    }

    /// What to ask of the peer now, and whether over a cable alone.
    pub fn question(&self, now: Instant) -> Option<(Ask, bool)> {
        let asking = self.asking.as_ref().filter(|asking| now >= asking.ask_at)?;
        let offset = u16::try_from(asking.text.len()).ok()?;
        Some((Ask { subject: asking.subject, reading: asking.reading, offset }, asking.is_by_cable))
    }

    /// The question was asked; without an answer it is asked again after `patience`.
    pub fn asked(&mut self, now: Instant, patience: Span) {
        if let Some(asking) = &mut self.asking {
            asking.ask_at = now + patience;
            if asking.made_at.is_none() {
                asking.asked_at = now;
            }
        }
    }

    /// A piece came. The whole text, if it was the last one.
    pub fn hear(&mut self, now: Instant, tell: &Tell) -> Option<Told> {
        let asking = self.asking.as_mut()?;
        let is_next = tell.reading == asking.reading && usize::from(tell.offset) == asking.text.len();
        if !is_next || usize::from(tell.total) > MAX_TEXT_BYTES {
            return None;
        }
        asking.text.extend_from_slice(&tell.bytes);
        asking.ask_at = now;
        let half = now.since(asking.asked_at).fraction(1, 2);
        let at = *asking.made_at.get_or_insert(asking.asked_at + half);
        if asking.text.len() < usize::from(tell.total) {
            return None;
        }
        let Asking { client, text, .. } = self.asking.take()?;
        // The peer, or anybody else with the key, may write to our operator, but not control his terminal.
        Some(Told { client, at, text: Some(plain::lines(&String::from_utf8_lossy(&text))) })
    }

    /// Gives up a question that has waited too long, or whose command has ended: it has no use for the
    /// answer, and the next one has. A member of the group makes way for root, so that none can shut root
    /// out.
    pub fn give_up(&mut self, now: Instant, for_root: bool) -> Option<Told> {
        let is_over = |asking: &&Asking| {
            now >= asking.give_up_at
                || asking.client.as_ref().is_some_and(is_gone)
                || (for_root && !asking.is_root)
        };
        self.asking.as_ref().filter(is_over)?;
        self.asking.take().map(|asking| Told { client: asking.client, at: now, text: None })
    }

    /// An operator asks: what we ask for ourselves can wait. Returns whether it was that.
    pub fn make_way(&mut self) -> bool {
        self.asking.take_if(|asking| asking.client.is_none()).is_some()
    }

    /// The peer asks. The newest question counts.
    pub fn owe(&mut self, path: PathId, ask: Ask) {
        self.owed = Some((path, ask));
    }

    /// The question that waits for its answer, and whether a text has to be made for it first.
    pub fn owed(&self) -> Option<(PathId, Ask, bool)> {
        let (path, ask) = self.owed?;
        let has_text =
            self.telling.as_ref().is_some_and(|t| (t.reading, t.subject) == (ask.reading, ask.subject));
        Some((path, ask, !has_text || ask.offset == 0))
    }

    /// Takes the text that will be told. Of a long one its end, where the newest stands; of settings, whose
    /// lines are told in an order, the beginning.
    pub fn prepare(&mut self, ask: Ask, text: String) {
        let mut text = text.into_bytes();
        let surplus = text.len().saturating_sub(MAX_TEXT_BYTES);
        if ask.subject == Subject::Settings {
            text.truncate(MAX_TEXT_BYTES);
        } else {
            text.drain(..surplus);
        }
        self.telling = Some(Telling { reading: ask.reading, subject: ask.subject, text });
    }

    /// The answer, `room` bytes of text at most. The question is settled.
    pub fn tell(&mut self, room: usize) -> Option<Tell> {
        let (_, ask) = self.owed.take()?;
        let text = &self.telling.as_ref()?.text;
        let left = text.get(usize::from(ask.offset)..).unwrap_or_default();
        let piece = left.get(..room.min(MAX_CHUNK_BYTES).min(left.len()))?;
        let total = u16::try_from(text.len()).ok()?;
        Some(Tell { reading: ask.reading, offset: ask.offset, total, bytes: piece.iter().copied().collect() })
    }
}

/// Whether the command has closed its end.
fn is_gone(client: &OwnedFd) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(client.as_raw_fd(), &mut [0], flags) == Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    fn client() -> OwnedFd {
        std::fs::File::open("/dev/null").expect("/dev/null").into()
    }

    /// Carries a whole text from one end to the other, `room` bytes a piece; says how many rounds it took.
    fn carry(text: &str, room: usize) -> (String, usize) {
        let (mut ours, mut theirs) = (Lifeline::default(), Lifeline::default());
        let mut now = Instant::from_us(1);
        ours.begin(now, (Some(client()), true), Subject::Why, false);
        for round in 1..10_000 {
            if let Some((ask, _)) = ours.question(now) {
                ours.asked(now, Span::from_ms(500));
                theirs.owe(PathId(0), ask);
            }
            if let Some((_, ask, is_new)) = theirs.owed() {
                if is_new {
                    theirs.prepare(ask, text.to_owned());
                }
                let tell = theirs.tell(room).expect("a piece");
                assert!(tell.bytes.len() <= room);
                if let Some(told) = ours.hear(now, &tell) {
                    return (told.text.expect("all of it"), round);
                }
            }
            now = now + Span::from_ms(250);
        }
        panic!("the text never came");
    }

    #[test]
    fn a_text_comes_whole_in_pieces() {
        let text = "gw2 serves\n".repeat(100);
        assert_eq!(carry(&text, 77), (text.clone(), text.len().div_ceil(77)));
        assert_eq!(carry("", 77), (String::new(), 1));
        let long = "x".repeat(MAX_TEXT_BYTES + 5);
        assert_eq!(carry(&long, 200).0.len(), MAX_TEXT_BYTES);
    }

    #[test]
    fn lost_questions_are_asked_again_and_pieces_out_of_turn_are_dropped() {
        let mut ours = Lifeline::default();
        let now = Instant::from_us(1);
        ours.begin(now, (Some(client()), true), Subject::Log, false);
        let (ask, _) = ours.question(now).expect("a question");
        ours.asked(now, Span::from_ms(500));
        assert_eq!(ours.question(now), None);
        assert_eq!(ours.question(now + Span::from_ms(500)), Some((ask, false)));
        let tell = |reading, offset, bytes: &[u8]| Tell {
            reading,
            offset,
            total: 4,
            bytes: bytes.iter().copied().collect(),
        };
        assert!(ours.hear(now, &tell(ask.reading.wrapping_add(1), 0, b"ab")).is_none(), "another reading");
        assert!(ours.hear(now, &tell(ask.reading, 2, b"cd")).is_none(), "a piece too far on");
        assert!(ours.hear(now, &tell(ask.reading, 0, b"ab")).is_none());
        assert!(ours.hear(now, &tell(ask.reading, 0, b"ab")).is_none(), "the same again");
        let told = ours.hear(now, &tell(ask.reading, 2, b"cd")).expect("all of it");
        assert_eq!(told.text.as_deref(), Some("abcd"));
        assert!(!ours.is_asking());
    }

    #[test]
    fn who_was_ended_is_no_longer_waited_for() {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("a pair");
        let (mut lifeline, now) = (Lifeline::default(), Instant::from_us(1));
        lifeline.begin(now, (Some(ours), true), Subject::Status, false);
        assert!(lifeline.give_up(now, false).is_none() && lifeline.is_asking());
        drop(theirs);
        assert!(lifeline.give_up(now, false).is_some() && !lifeline.is_asking());
    }

    #[test]
    fn a_member_of_the_group_makes_way_for_root_and_for_nobody_else() {
        let (mut lifeline, now) = (Lifeline::default(), Instant::from_us(1));
        for (is_root, makes_way) in [(false, true), (true, false)] {
            lifeline.begin(now, (Some(client()), is_root), Subject::Status, false);
            assert!(lifeline.give_up(now, false).is_none());
            assert_eq!(lifeline.give_up(now, true).is_some(), makes_way);
        }
    }

    #[test]
    fn what_nobody_waits_for_makes_way_for_every_operator() {
        let (mut lifeline, now) = (Lifeline::default(), Instant::from_us(1));
        lifeline.begin(now, (None, true), Subject::Log, false);
        assert!(lifeline.give_up(now, true).is_none(), "it waits as long as any question");
        assert!(lifeline.make_way() && !lifeline.is_asking());
        lifeline.begin(now, (Some(client()), false), Subject::Log, false);
        assert!(!lifeline.make_way() && lifeline.is_asking());
    }

    #[test]
    fn patience_ends() {
        let mut ours = Lifeline::default();
        let now = Instant::from_us(1);
        ours.begin(now, (Some(client()), true), Subject::Status, false);
        assert!(ours.give_up(now + Span::from_s(59), false).is_none());
        assert!(ours.give_up(now + PATIENCE, false).is_some_and(|told| told.text.is_none()));
    }
}
