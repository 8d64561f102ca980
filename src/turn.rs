//! One turn of the agent: in which order it reads what has arrived, and when silence is judged.
//!
//! The agent's loop and the simulator both do what [`Turn::next`] says, so the order that is simulated is the
//! order that ships. The order, and why:
//!
//! 1. **Confirmations and the guard.** What the guard has done is true already: a lease that it renewed has
//!    not lapsed. The guard also says which ports there are, before they are read.
//! 2. **Modem lines, before frames.** A drop shortens the time for which a holder may serve, so it is read
//!    before a buffered frame that could lengthen it, just as a lapsed lease is noticed first. A frame that
//!    was read just after a drop may have been sent before it, and the core allows for that; a frame that was
//!    read *before* its lines were seen to rise again would look like a beat through a dead wire, and such
//!    lines are never believed again.
//! 3. **Paths, packets that show who holds an address, witnesses, operators.** Frames come before the answers
//!    to probes: a peer that is heard needs no probe. Operators come last, so that their answers hold all
//!    that is known.
//! 4. **Everything again**, lines too, if the kernel's answer to the poll is old: a frame that came while
//!    this process did not run must be read before the tick, which judges silence. Before the deadline,
//!    silence has been judged already, and only what was handed in can change anything: the answer then
//!    counts from the end of the wait. From the deadline on it counts only if the kernel had nothing until
//!    then, since a process that was stopped does not know when it woke.
//! 5. **The tick**, as of the instant at which the kernel had nothing left, not a later one. A turn before
//!    the deadline ends without a tick if everything that it read only puts the deadline off.
//! 6. **What the beats leave time for**: answers to operators here and at the peer, and opening ports again.

use crate::config::Policy;
use crate::pair::{PathId, PathKind};
use crate::time::{Instant, Span};

/// Where something can arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The socket on which the guard confirms renewals. It wakes nobody, and is read whenever something else
    /// does.
    Confirmations,
    /// Everything else that the guard says.
    Guard,
    /// The modem lines of all cables. They wake nobody either.
    Lines,
    /// Frames.
    Path(PathId),
    /// Packets on the interfaces that show who holds an address.
    Wire,
    /// Answers of witnesses.
    Witnesses,
    /// Questions of operators.
    Operators,
}

impl Source {
    /// The source that is read after this one, if the node has this many paths; `None` after the last.
    fn following(self, paths: u8) -> Option<Self> {
        let path = |number: u8| if number < paths { Self::Path(PathId(number)) } else { Self::Wire };
        match self {
            Self::Confirmations => Some(Self::Guard),
            Self::Guard => Some(Self::Lines),
            Self::Lines => Some(path(0)),
            Self::Path(id) => Some(path(id.0.saturating_add(1))),
            Self::Wire => Some(Self::Witnesses),
            Self::Witnesses => Some(Self::Operators),
            Self::Operators => None,
        }
    }
}

/// A set of sources: where something has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Ready(u16);

impl Ready {
    /// Something may have arrived anywhere.
    pub const ALL: Self = Self(u16::MAX);

    /// Adds a source.
    pub fn note(&mut self, source: Source) {
        self.0 |= Self::of(source).0;
    }

    /// Whether nothing has arrived.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether it is one of the set.
    pub fn has(self, source: Source) -> bool {
        self.has_any(Self::of(source))
    }

    fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// The bit of a source; the two sources that wake nobody have none.
    fn of(source: Source) -> Self {
        Self(match source {
            Source::Confirmations | Source::Lines => 0,
            Source::Guard => 1,
            Source::Wire => 2,
            Source::Witnesses => 4,
            Source::Operators => 8,
            Source::Path(path) => 16_u16.checked_shl(u32::from(path.0)).unwrap_or(0),
        })
    }
}

/// Why a wait is over.
#[derive(Clone, Copy, Debug)]
pub struct Waking {
    /// Where something has arrived, as the kernel says.
    pub ready: Ready,
    /// Until when there was nothing to judge.
    pub deadline: Instant,
    /// When the wait was over, as far as this process can tell: it may have been stopped since the kernel's
    /// answer.
    pub woke_at: Instant,
}

/// What the agent does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Read all that has arrived there, and hand it in.
    Read(Source),
    /// Hand in the tick, as of this instant.
    Tick(Instant),
    /// Do what can wait for the beats; at this instant everything was judged, or nothing had to be.
    Rest(Instant),
    /// Wait until something arrives or is due, then [`Turn::begin`] again.
    Wait,
}

/// How far a turn is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Reading(Source),
    Judging,
    Resting(Instant),
    Over,
}

/// The order of turns. Total and deterministic: the same wakings at the same instants give the same steps.
#[derive(Clone, Debug)]
pub struct Turn {
    paths: u8,
    cables: Ready,
    stage: Stage,
    ready: Ready,
    deadline: Instant,
    woke_at: Instant,
    /// When the kernel last said for certain what had arrived.
    asked_at: Instant,
    rereadings: u8,
    /// When the lines are read again, if nothing arrives on a cable.
    lines_at: Instant,
}

/// How long the kernel's answer counts: an agent that is held up for longer between reading and judging reads
/// again.
pub const PROMPT: Span = Span::from_ms(2);
/// How often everything is read again at most. A flood may take longer to read than [`PROMPT`].
const MAX_REREADINGS: u8 = 3;
/// How often the lines are read while wakings flood in.
const LINES_EVERY: Span = Span::from_ms(5);

impl Turn {
    /// Before the first turn.
    pub fn new(policy: &Policy) -> Self {
        let mut cables = Ready::default();
        let serial = policy.path_ids().zip(&policy.paths).filter(|(_, path)| path.kind == PathKind::Serial);
        serial.for_each(|(id, _)| cables.note(Source::Path(id)));
        Self {
            paths: u8::try_from(policy.paths.len()).unwrap_or(u8::MAX),
            cables,
            stage: Stage::Over,
            ready: Ready::default(),
            deadline: Instant::ORIGIN,
            woke_at: Instant::ORIGIN,
            asked_at: Instant::ORIGIN,
            rereadings: 0,
            lines_at: Instant::ORIGIN,
        }
    }

    /// A wait is over. If nothing is ready, the kernel has said so as of the deadline; what is ready may have
    /// been waiting for long.
    pub fn begin(&mut self, waking: Waking) {
        self.asked_at = if waking.ready.is_empty() { waking.deadline } else { Instant::ORIGIN };
        (self.ready, self.deadline, self.woke_at) = (waking.ready, waking.deadline, waking.woke_at);
        self.rereadings = 0;
        self.stage = Stage::Reading(Source::Confirmations);
    }

    /// Has this turn read sources that wake nobody now ([`crate::quorum::Node::waits_until`]).
    pub fn read_too(&mut self, sources: Ready) {
        self.ready.0 |= sources.0;
    }

    /// Whether a turn has begun and is not over.
    pub fn is_under_way(&self) -> bool {
        self.stage != Stage::Over
    }

    /// What to do next. It reads the clock only where that matters. `is_stirred` says whether what was read
    /// asks for a tick before the deadline ([`crate::quorum::Node::is_stirred`]).
    pub fn next(&mut self, clock: impl Fn() -> Instant, is_stirred: bool) -> Step {
        loop {
            match self.stage {
                Stage::Reading(source) => {
                    self.stage = source.following(self.paths).map_or(Stage::Judging, Stage::Reading);
                    if self.is_read(source) {
                        return Step::Read(source);
                    }
                }
                Stage::Judging => {
                    let now = clock();
                    if now < self.deadline && !is_stirred {
                        self.stage = Stage::Over;
                        return Step::Rest(now);
                    }
                    if self.is_everything_read(now) {
                        self.stage = Stage::Resting(now);
                        return Step::Tick(now);
                    }
                    self.rereadings = self.rereadings.saturating_add(1);
                    (self.asked_at, self.woke_at, self.ready) = (now, now, Ready::ALL);
                    self.stage = Stage::Reading(Source::Confirmations);
                }
                Stage::Resting(ticked_at) => {
                    self.stage = Stage::Over;
                    return Step::Rest(ticked_at);
                }
                Stage::Over => return Step::Wait,
            }
        }
    }

    fn is_read(&mut self, source: Source) -> bool {
        match source {
            Source::Confirmations => true,
            Source::Lines => {
                let is_due = self.woke_at >= self.lines_at || self.ready.has_any(self.cables);
                if is_due {
                    self.lines_at = self.woke_at + LINES_EVERY;
                }
                is_due
            }
            Source::Guard | Source::Path(_) | Source::Wire | Source::Witnesses | Source::Operators => {
                self.ready.has_any(Ready::of(source))
            }
        }
    }

    /// Whether all that had arrived was read. Before the deadline it is enough that nothing has held this
    /// process up since it woke.
    fn is_everything_read(&self, now: Instant) -> bool {
        let asked_at = if now < self.deadline { self.asked_at.max(self.woke_at) } else { self.asked_at };
        now.since(asked_at) <= PROMPT || self.rereadings >= MAX_REREADINGS
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::config::{CARRIER_DELAY, InJeopardy, PathPolicy, Speed};

    fn turn() -> Turn {
        let path = |kind| PathPolicy::new(kind, Speed::Normal.timing());
        Turn::new(&Policy {
            paths: [PathKind::Serial, PathKind::Lan].map(path).into_iter().collect(),
            groups: Default::default(),
            lease: Span::from_s(3),
            cold_start: Span::from_s(60),
            carrier_delay: CARRIER_DELAY,
            in_jeopardy: InJeopardy::Hold,
            witnesses: 0,
            has_vote: false,
            digest: [0; 4],
        })
    }

    fn at(us: u64) -> Instant {
        Instant::from_us(1_000_000 + us)
    }

    fn ready(sources: &[Source]) -> Ready {
        let mut ready = Ready::default();
        sources.iter().for_each(|source| ready.note(*source));
        ready
    }

    /// The steps of a turn whose clock shows these instants, one after the other, and then the last one.
    fn steps(turn: &mut Turn, sources: &[Source], deadline: Instant, clock: &[u64]) -> Vec<Step> {
        let shown = core::cell::Cell::new(0);
        let clock = || {
            let index = shown.replace(shown.get() + 1);
            at(clock[index.min(clock.len() - 1)])
        };
        turn.begin(Waking { ready: ready(sources), deadline, woke_at: clock() });
        let mut steps = Vec::new();
        loop {
            let step = turn.next(clock, true);
            if step == Step::Wait {
                return steps;
            }
            steps.push(step);
        }
    }

    const SERIAL: Source = Source::Path(PathId(0));
    const LAN: Source = Source::Path(PathId(1));
    /// Each source in its place. The lines were read a moment ago, and are read again since a cable may have
    /// something to say.
    const EVERYTHING: [Source; 8] = [
        Source::Confirmations,
        Source::Guard,
        Source::Lines,
        SERIAL,
        LAN,
        Source::Wire,
        Source::Witnesses,
        Source::Operators,
    ];

    #[test]
    fn a_deadline_on_time_reads_nothing_but_what_wakes_nobody() {
        let shown = steps(&mut turn(), &[], at(0), &[100]);
        let read = [Step::Read(Source::Confirmations), Step::Read(Source::Lines)];
        assert_eq!(shown, [read[0], read[1], Step::Tick(at(100)), Step::Rest(at(100))]);
    }

    #[test]
    fn before_the_deadline_a_turn_that_stirred_nobody_has_no_tick() {
        let steps = |deadline, now| {
            let mut turn = turn();
            turn.begin(Waking { ready: ready(&[LAN]), deadline: at(deadline), woke_at: at(now) });
            let mut next = || turn.next(|| at(now), false);
            [next(), next(), next(), next(), next()]
        };
        let read = [Source::Confirmations, Source::Lines, LAN].map(Step::Read);
        assert_eq!(steps(9_000, 8_999)[..3], read);
        assert_eq!(steps(9_000, 8_999)[3..], [Step::Rest(at(8_999)), Step::Wait]);
        assert_eq!(steps(9_000, 9_000)[..3], read);
        assert!(!steps(9_000, 9_000).contains(&Step::Rest(at(9_000))), "from the deadline on there is one");
    }

    #[test]
    fn what_is_ready_is_read_in_one_order_however_it_came() {
        let shown = steps(&mut turn(), &[Source::Operators, LAN, Source::Guard, SERIAL], at(9_000), &[100]);
        let expected = [Source::Confirmations, Source::Guard, Source::Lines, SERIAL, LAN, Source::Operators];
        assert_eq!(shown[..6], expected.map(Step::Read));
        assert_eq!(shown[6..], [Step::Tick(at(100)), Step::Rest(at(100))]);
    }

    #[test]
    fn from_the_deadline_on_everything_is_read_before_the_tick() {
        for (sources, deadline, why) in
            [(&[LAN][..], 50, "others may have come meanwhile"), (&[], 0, "held up")]
        {
            let shown = steps(&mut turn(), sources, at(deadline), &[3_000]);
            let tick = shown.iter().position(|step| matches!(step, Step::Tick(_))).expect("a tick");
            assert!(shown[..tick].ends_with(&EVERYTHING.map(Step::Read)), "{why}: {shown:?}");
        }
    }

    #[test]
    fn who_is_held_up_after_waking_reads_again_before_the_deadline_too() {
        let shown = steps(&mut turn(), &[Source::Witnesses], at(90_000), &[100, 2_100]);
        assert!(!shown.contains(&Step::Read(LAN)));
        let shown = steps(&mut turn(), &[Source::Witnesses], at(90_000), &[100, 2_101]);
        assert!(shown.contains(&Step::Read(LAN)));
    }

    #[test]
    fn reading_that_takes_long_is_not_repeated_for_ever() {
        let clock: Vec<u64> = (0..40).map(|number| number * 10_000).collect();
        let shown = steps(&mut turn(), &[LAN], at(0), &clock);
        let read = shown.iter().filter(|step| **step == Step::Read(LAN)).count();
        assert_eq!(read, 1 + usize::from(MAX_REREADINGS));
        assert!(matches!(shown[shown.len() - 2..], [Step::Tick(_), Step::Rest(_)]));
    }

    #[test]
    fn a_flood_looks_at_the_lines_now_and_then_and_a_frame_on_a_cable_at_once() {
        let mut turn = turn();
        let mut looks = |sources: &[Source], us| {
            steps(&mut turn, sources, at(1_000_000), &[us]).contains(&Step::Read(Source::Lines))
        };
        assert!(looks(&[LAN], 0));
        assert!(!looks(&[LAN], 4_999));
        assert!(looks(&[SERIAL], 4_999), "they may have risen with it");
        assert!(looks(&[LAN], 9_999));
    }
}
