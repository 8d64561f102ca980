//! The cable, the LAN and its witnesses: what gets through, how long it takes, and in what state it arrives.

use std::sync::LazyLock;

use crosswire::config::MAX_GROUPS;
use crosswire::frame::Key;
use crosswire::pair::{PathId, Side};
use crosswire::time::{Instant, Span};
use crosswire::vote::grants::{Grants, Office};
use crosswire::vote::keys::{WitnessKey, secret_of};
use crosswire::vote::wire::{QUESTION_BYTES, REPLY_BYTES};

use super::chance::Chance;
use super::fault::LineFault;
use super::setup::Place;

/// Loss up to which a direction is called good, in permille.
const GOOD_LOSS_PERMILLE: u64 = 50;
/// Wrong bits up to which a direction is called good, per million: 1 % of the frames.
const GOOD_BIT_ERRORS: u64 = 20;

/// Since when something has been good without a break.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    is_bad: bool,
    bad_until: Instant,
    good_until: Instant,
}

impl Mark {
    /// Bad until now.
    pub fn new(now: Instant) -> Self {
        Self { is_bad: true, bad_until: now, good_until: now }
    }

    /// Notes how it is now.
    pub fn set(&mut self, now: Instant, is_good: bool) {
        if self.is_bad {
            self.bad_until = now;
        } else {
            self.good_until = now;
        }
        self.is_bad = !is_good;
    }

    /// Good now.
    pub fn is_good(&self) -> bool {
        !self.is_bad
    }

    /// Good for all of the last `span`.
    pub fn is_good_for(&self, now: Instant, span: Span) -> bool {
        !self.is_bad && now.since(self.bad_until) >= span
    }

    /// For how long it has been bad without a break.
    pub fn bad_for(&self, now: Instant) -> Span {
        if self.is_bad { now.since(self.good_until) } else { Span::ZERO }
    }

    /// The last instant at which it was bad, as far as noted.
    pub fn bad_until(&self, now: Instant) -> Instant {
        if self.is_bad { now } else { self.bad_until }
    }
}

/// One direction of a path.
#[derive(Clone, Debug)]
pub struct Direction {
    /// Nothing gets through.
    pub is_cut: bool,
    /// Frames lost.
    pub loss_permille: u64,
    /// Most that is added to a frame's way.
    pub delay: Span,
    /// Frames that come twice.
    pub duplicate_permille: u64,
    /// Wrong bits per million.
    pub bit_errors: u64,
    /// When the last byte of what was given to a serial port has left.
    pub busy_until: Instant,
    /// Whether enough gets through to be heard.
    pub mark: Mark,
    /// Whether everything does, so that one question or one report is enough.
    pub sure: Mark,
}

/// What is wrong with the lines that one side sees.
#[derive(Clone, Copy, Debug)]
pub struct LineEnd {
    /// The lasting fault.
    pub fault: LineFault,
    /// They come and go until then.
    pub flaps_until: Instant,
}

impl LineEnd {
    /// Nothing.
    pub const GOOD: Self = Self { fault: LineFault::Good, flaps_until: Instant::ORIGIN };
}

/// One witness.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Where it is reached.
    pub place: Place,
    /// It answers.
    pub is_up: bool,
    /// By side: nothing between them is cut.
    pub is_in_sight: [bool; 2],
    /// Questions that stay unanswered.
    pub loss_permille: u64,
    /// Most that is added to an answer's way.
    pub delay: Span,
}

impl Witness {
    /// A witness that everybody sees.
    pub fn new(place: Place) -> Self {
        Self { place, is_up: true, is_in_sight: [true; 2], loss_permille: 0, delay: Span::ZERO }
    }
}

/// The voting witness: its run, and who holds what. What befalls a witness befalls it too, behind those that
/// are only asked whether they are there.
#[derive(Clone, Debug)]
pub struct VotingWitness {
    run: u8,
    grants: Grants,
}

impl VotingWitness {
    /// One that has known the pair for long.
    pub fn settled() -> Self {
        Self { run: 1, grants: Grants::known_since(Instant::ORIGIN) }
    }

    /// It is started again, and knows nothing.
    pub fn restart(&mut self) {
        *self = Self { run: self.run.wrapping_add(1), grants: Grants::new() };
    }

    /// Its reply to a question that comes now.
    pub fn answer(&mut self, now: Instant, question: &[u8; QUESTION_BYTES]) -> Option<[u8; REPLY_BYTES]> {
        let office = Office { run: [self.run; 8], secret: [self.run; 16] };
        let reply = self.grants.hear(&office, &VOTE_KEY, now + RAN_BEFORE, question).ok()?;
        Some(reply.seal(&VOTE_KEY))
    }
}

/// How long it had run when the world began.
const RAN_BEFORE: Span = Span::from_s(100);

/// With what both nodes and the witness authenticate.
pub static VOTE_KEY: LazyLock<WitnessKey> =
    LazyLock::new(|| WitnessKey::new(&secret_of("simulated", &Key { id: 0, bytes: (0..32).collect() })));

/// One path.
#[derive(Clone, Debug)]
pub struct Link {
    /// By the side that sends.
    pub directions: [Direction; 2],
    /// By side: its link light, or its serial port.
    pub is_up: [bool; 2],
    /// By side: what it sends comes back to it.
    pub is_looped: [bool; 2],
    /// The switch has no power.
    pub is_switch_off: bool,
    /// By side: its switch port carries nothing, its link light is on (LAN).
    pub is_isolated: [bool; 2],
    /// By side: a filter swallows ARP and neighbour discovery, and nothing else (LAN).
    pub is_filtered: [bool; 2],
    /// By side: since when no filter has been there.
    pub is_unfiltered: [Mark; 2],
    /// By side: what is wrong with the modem lines that it sees.
    pub line_ends: [LineEnd; 2],
}

impl Link {
    /// As good as new.
    pub fn new(now: Instant) -> Self {
        let direction = || Direction {
            is_cut: false,
            loss_permille: 0,
            delay: Span::ZERO,
            duplicate_permille: 0,
            bit_errors: 0,
            busy_until: now,
            mark: Mark::new(now),
            sure: Mark::new(now),
        };
        Self {
            directions: [direction(), direction()],
            is_up: [true; 2],
            is_looped: [false; 2],
            is_switch_off: false,
            is_isolated: [false; 2],
            is_filtered: [false; 2],
            is_unfiltered: [Mark::new(now), Mark::new(now)],
            line_ends: [LineEnd::GOOD; 2],
        }
    }

    /// Everything that was wrong with the wire is right again; ports and link lights stay as they are.
    pub fn mend(&mut self) {
        for direction in &mut self.directions {
            direction.is_cut = false;
            (direction.loss_permille, direction.duplicate_permille, direction.bit_errors) = (0, 0, 0);
            direction.delay = Span::ZERO;
        }
        self.is_looped = [false; 2];
        self.line_ends = [LineEnd::GOOD; 2];
        (self.is_filtered, self.is_isolated) = ([false; 2], [false; 2]);
        self.is_switch_off = false;
    }

    /// Whether this side has carrier.
    pub fn has_carrier(&self, side: Side) -> bool {
        self.is_up[side.index()] && !self.is_switch_off
    }

    /// Whether anything can get from a side to its peer.
    pub fn carries(&self, from: Side) -> bool {
        let is_plugged = self.is_up == [true; 2] && !self.is_switch_off && self.is_looped == [false; 2];
        let is_plugged = is_plugged && self.is_isolated == [false; 2];
        is_plugged && !self.directions[from.index()].is_cut
    }

    /// Brings the marks up to date.
    pub fn note(&mut self, now: Instant) {
        for side in [Side::A, Side::B] {
            let carries = self.carries(side);
            let direction = &mut self.directions[side.index()];
            let is_sound =
                direction.loss_permille <= GOOD_LOSS_PERMILLE && direction.bit_errors <= GOOD_BIT_ERRORS;
            let is_perfect = direction.loss_permille == 0 && direction.bit_errors == 0;
            direction.mark.set(now, carries && is_sound);
            direction.sure.set(now, carries && is_perfect);
            self.is_unfiltered[side.index()].set(now, !self.is_filtered[side.index()]);
        }
    }

    /// Whether this side reaches third parties on its own half of the LAN, or on the other one's.
    pub fn reaches_half(&self, side: Side, half: Side) -> bool {
        let is_near =
            self.has_carrier(side) && !self.is_isolated[side.index()] && !self.is_filtered[side.index()];
        let is_joined = self.directions.iter().all(|direction| !direction.is_cut);
        is_near && (side == half || is_joined)
    }

    /// Whether a request of this side reaches a third party on the switch and the answer comes back, by
    /// chance.
    pub fn reaches_switch(&self, side: Side, chance: &mut Chance) -> bool {
        self.has_carrier(side) && !self.directions[side.index()].is_cut && self.is_spared(side, chance)
    }

    /// Whether one frame gets through, by chance.
    pub fn lets_through(&self, from: Side, chance: &mut Chance) -> bool {
        self.carries(from) && self.is_spared(from, chance)
    }

    /// Whether one frame is not among those that are lost.
    fn is_spared(&self, from: Side, chance: &mut Chance) -> bool {
        let loss = self.directions[from.index()].loss_permille;
        loss == 0 || chance.below(1_000) >= loss
    }
}

/// What the world knows of a frame that its receiver cannot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The checksum of the file with which its sender was started.
    pub digest: u8,
    /// Which run of the sender's agent made it, and for which run of the receiver's.
    pub runs: [u32; 2],
    /// The number of the frame in the world.
    pub number: u64,
    /// The number that its sender gave it: a beat has the same on every path.
    pub count: u32,
    /// It gives a session value and echoes one.
    pub is_session: bool,
    /// It is a beat.
    pub is_beat: bool,
    /// The terms under which the sender held its groups; 0: not at all.
    pub terms: [u32; MAX_GROUPS],
    /// When it was made (true time).
    pub sent_at: Instant,
    /// When the newest beat that its sender had read from its receiver was made.
    pub acked: Option<Instant>,
    /// The same, if no frame of the handshake can have hidden it.
    pub surely_acked: Option<Instant>,
    /// Which witnesses its sender saw, bit by bit.
    pub witnesses: u8,
    /// Since when its sender's guard had not acted (true time).
    pub troubled_since: Option<Instant>,
    /// It says goodbye.
    pub is_leaving: bool,
    /// The interfaces that have no carrier at its sender: that of the LAN, then by group its own.
    pub dark: [bool; 1 + MAX_GROUPS],
}

/// Bytes on their way.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where they come in.
    pub path: PathId,
    /// The bytes as they arrive.
    pub bytes: Vec<u8>,
    /// Who made them; `None` for noise, for what was damaged, and for what was recorded and sent again.
    pub stamp: Option<Stamp>,
}

/// Damages a frame by chance; says whether it did.
pub fn damage(bytes: &mut [u8], bit_errors: u64, chance: &mut Chance) -> bool {
    let bits = bytes.len() as u64 * 8;
    if !chance.hits(bits * bit_errors) {
        return false;
    }
    // A run of bits, so that no two errors undo each other.
    let first = chance.below(bits);
    for bit in first..=first + chance.below(3) {
        if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|index| bytes.get_mut(index)) {
            *byte ^= 1 << (bit % 8);
        }
    }
    true
}

/// That of a stranger's.
pub const STRANGER: [u8; 6] = [2, 0, 0, 0, 0, 0x5];

/// The address of a side's network card.
pub const fn mac(side: Side) -> [u8; 6] {
    match side {
        Side::A => [2, 0, 0, 0, 0, 0xa],
        Side::B => [2, 0, 0, 0, 0, 0xb],
    }
}
