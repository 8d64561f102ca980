//! The ack deadline, and what a witness is worth: a node that nobody acknowledges serves on only with carrier
//! and with a witness in sight; a node that takes over from a silent peer has seen a witness since it last
//! heard that peer.

use crosswire::config::{InJeopardy, MAX_WITNESSES, PathTiming, Policy};
use crosswire::pair::{GroupId, PathId, Role, Side};
use crosswire::quorum::timing;
use crosswire::reasons::TakeReason;
use crosswire::time::{Instant, Span};

use super::super::fault::WitnessId;
use super::super::world::World;

/// What one side knows of the witnesses.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// By witness: when the newest request that was answered left, by the box's own clock.
    answered: [Option<Instant>; MAX_WITNESSES],
    /// By witness: one of the nodes saw it when they last exchanged results.
    counts: [bool; MAX_WITNESSES],
}

impl Sight {
    /// Nothing was asked yet, and every witness counts.
    pub const NONE: Self = Self { answered: [None; MAX_WITNESSES], counts: [true; MAX_WITNESSES] };

    /// An agent in the place of another knows no more than was deposited.
    pub fn forget_but(&mut self, answered: &[Option<Instant>], counting: u8) {
        for (index, (here, left)) in self.answered.iter_mut().zip(answered).enumerate() {
            *here = *left;
            self.counts[index] = counting & (1 << index) != 0;
        }
    }

    /// The peer's newest beat says what it sees. If the files differ, nobody knows which witnesses are meant,
    /// and what this side has seen itself counts.
    pub fn exchange(&mut self, ours: u8, theirs: u8, do_files_agree: bool) {
        for (index, counts) in self.counts.iter_mut().enumerate() {
            let is_seen = (ours | theirs) & (1 << index) != 0;
            *counts = if do_files_agree { is_seen } else { self.answered[index].is_some() };
        }
    }
}

impl World {
    /// The agent reads an answer.
    pub(in super::super) fn note_sighting(&mut self, side: Side, witness: WitnessId, asked_at: Instant) {
        let newest = &mut self.watch.hearing[side.index()].sight.answered[witness.index()];
        *newest = (*newest).max(Some(asked_at));
    }

    /// Which witnesses answered a question of the last dead_after, as bits.
    pub(in super::super) fn seen_witnesses(&self, side: Side) -> u8 {
        let local = self.boxes[side.index()].clock.local(self.now);
        let window = self.known_dead_afters(side).1;
        let answered = self.watch.hearing[side.index()].sight.answered;
        let is_seen = |at: &Option<Instant>| at.is_some_and(|at| local.since(at) <= window);
        (0..).zip(&answered).filter(|(_, at)| is_seen(at)).fold(0, |bits, (index, _)| bits | (1 << index))
    }

    /// The shortest and the longest of all paths, each by the slower of the pair's files.
    pub(super) fn dead_afters(&self) -> (Span, Span) {
        let all = || self.policy().path_ids().map(|path| self.slower_dead_after(path));
        (all().min().unwrap_or_default(), all().max().unwrap_or_default())
    }

    /// The longest dead_after of a path: beats decide which of the pair's files counts, and no wait is longer
    /// than by the slower one.
    pub(super) fn slower_dead_after(&self, path: PathId) -> Span {
        let all = self.setup.policies().map(|policy| policy.paths[path.index()].timing.dead_after);
        all.max().unwrap_or_default()
    }

    /// The shortest dead_after: no wait is shorter than by the faster of the pair's files.
    pub(super) fn fastest_dead_after(&self) -> Span {
        let all = self.setup.policies().flat_map(|policy| &policy.paths).map(|path| path.timing.dead_after);
        all.min().unwrap_or_default()
    }

    /// The shortest and the longest by the slower of a side's file and the one of its peer that it knows of.
    pub(super) fn known_dead_afters(&self, side: Side) -> (Span, Span) {
        let files = [self.file(side), self.known_file_of_peer(side)];
        let of = |path: PathId| files.map(|file| file.paths[path.index()].timing.dead_after);
        let all = || self.policy().path_ids().map(|path| of(path).into_iter().max().unwrap_or_default());
        (all().min().unwrap_or_default(), all().max().unwrap_or_default())
    }

    pub(super) fn shortest_late_after(&self, side: Side) -> Span {
        self.file(side).shortest_late_after()
    }

    pub(super) fn longest_late_after(&self, side: Side) -> Span {
        self.file(side).longest_late_after()
    }

    /// The longest late_after of any path, as a node reckons it that goes by its own file and knows the other
    /// one's dead_after.
    pub(super) fn slowest_late_after(&self) -> Span {
        let of = |policy: &Policy, path: PathId| {
            let PathTiming { late_after, dead_after, .. } = policy.paths[path.index()].timing;
            late_after.fraction(self.slower_dead_after(path).as_us(), dead_after.as_us())
        };
        let all =
            self.setup.policies().flat_map(|policy| policy.path_ids().map(move |path| of(policy, path)));
        all.max().unwrap_or_default()
    }

    /// When the newest request that a counting witness answered left; `None` if none counts.
    fn newest_sight(&self, side: Side) -> Option<Instant> {
        let sight = &self.watch.hearing[side.index()].sight;
        let all = sight.answered.iter().zip(sight.counts).take(usize::from(self.file(side).witnesses));
        all.filter(|(_, counts)| *counts).map(|(at, _)| at.unwrap_or(Instant::ORIGIN)).max()
    }

    /// Checks a takeover for which a witness has to be seen.
    pub(super) fn check_sight(&mut self, side: Side, reason: TakeReason) {
        let may_do_without = match reason {
            TakeReason::Dead | TakeReason::Granted | TakeReason::ColdStart => true,
            TakeReason::Jeopardy if self.file(side).in_jeopardy == InJeopardy::Witness => false,
            TakeReason::Jeopardy
            | TakeReason::Offered
            | TakeReason::Departed
            | TakeReason::Vacant
            | TakeReason::PeerIsOff => return,
        };
        let clock = self.boxes[side.index()].clock;
        let local = clock.local(self.now);
        let heard = self.watch.hearing[side.index()]
            .heard_at
            .map(|at| clock.local(at) + self.shortest_late_after(side));
        let is_fresh = |asked_at: Instant| {
            heard.is_none_or(|heard| asked_at > heard) && local.since(asked_at) <= self.dead_afters().1
        };
        let is_good = self.newest_sight(side).map_or(may_do_without, is_fresh);
        if !is_good {
            self.complain("witness", format!("{side:?} took over ({reason:?}) without a witness in sight"));
        }
    }

    /// Whether a group has carrier on all its interfaces, or on one of two while the other is dark on both
    /// nodes, by what this one was told.
    fn has_carrier_enough(&self, side: Side, group: GroupId) -> bool {
        let (dark, there) = (&self.watch.dark[side.index()], &self.watch.dark_there[side.index()]);
        let own = if self.setup.own_links[group.index()] { 1 + group.index() } else { 0 };
        match (dark[0], dark[own]) {
            (false, false) => true,
            (true, true) => false,
            (true, false) => there[0],
            (false, true) => there[own],
        }
    }

    /// Nobody lets go for want of carrier who was told that all interfaces of the group have it.
    pub(super) fn check_darkness(&mut self, side: Side, group: GroupId) {
        let dark = &self.watch.dark[side.index()];
        let is_own_dark = self.setup.own_links[group.index()] && dark[1 + group.index()];
        if !dark[0] && !is_own_dark {
            self.complain("carrier", format!("{side:?} lets {group:?} go for want of carrier, and has it"));
        }
    }

    /// After a turn: nobody serves on past its ack deadline whom the rules tell to let go.
    pub(in super::super) fn check_deadlines(&mut self, side: Side) {
        if self.node(side).is_none() {
            return;
        }
        let clock = self.boxes[side.index()].clock;
        let local = clock.local(self.now);
        let hearing = &self.watch.hearing[side.index()];
        let Some(acked) = hearing.acked_at.max(hearing.returned_at).map(|at| clock.local(at)) else { return };
        let deadline = acked + self.dead_afters().0;
        if local <= deadline + TOLERANCE {
            return;
        }
        // The node may know of the older one only.
        let readings = [hearing.acked_at, hearing.surely_acked_at].map(|at| at.max(hearing.returned_at));
        let is_blind = readings
            .into_iter()
            .all(|acked| acked.is_some_and(|acked| self.is_without_witness(side, clock.local(acked), local)));
        for group in self.setup.policy.group_ids() {
            let is_serving =
                matches!(self.watch.roles[side.index()][group.index()], Role::Acquiring | Role::Active);
            if is_serving && !self.has_carrier_enough(side, group) {
                self.complain(
                    "ack-deadline",
                    format!(
                        "{side:?} serves {group:?} on, unheard and without \
                    carrier"
                    ),
                );
            }
            if is_serving && self.must_know_that_it_is_cut_off(side, local) {
                self.complain(
                    "ack-deadline",
                    format!("{side:?} serves {group:?} on, unheard and without a neighbour"),
                );
            }
            if is_serving && is_blind {
                self.complain(
                    "ack-deadline",
                    format!(
                        "{side:?} serves {group:?} on, unheard and without a \
                    witness"
                    ),
                );
            }
        }
    }

    /// Where the files differ, a node that lets go for want of an acknowledgement has waited as long as the
    /// peer waits before a takeover: the peer has heard of all that it has acknowledged.
    pub(super) fn check_promise(&mut self, side: Side) {
        let clock = self.boxes[side.index()].clock;
        let hearings = &self.watch.hearing;
        let hearing = &hearings[side.index()];
        let Some(acked) = hearing.surely_acked_at else { return };
        let met_at = hearings[0]
            .adopted_at
            .max(hearings[1].adopted_at)
            .max(hearing.returned_at.unwrap_or(Instant::ORIGIN));
        let has_promised = self.are_acquainted() && acked >= met_at + self.exchange_time();
        let has_dropped = hearings.iter().any(|hearing| hearing.has_dropped_lines());
        let promised = clock.local(acked) + timing::release_start(self.known_dead_afters(side).0);
        if !self.do_files_agree()
            && has_promised
            && !has_dropped
            && clock.local(self.now) + TOLERANCE < promised
        {
            self.complain("promise", format!("{side:?} lets go although the peer's patience is not over"));
        }
    }

    /// No witness that counts has been seen since before a full lease without an acknowledgement was over.
    pub(super) fn is_without_witness(&self, side: Side, acked: Instant, local: Instant) -> bool {
        let (shortest, longest) = self.dead_afters();
        let Some(newest) =
            self.newest_sight(side).filter(|_| !self.watch.hearing[side.index()].has_peer_left)
        else {
            return false;
        };
        let deadline = acked + shortest;
        // The node may know of an older acknowledgement only: frames of the handshake take numbers too.
        let is_late_sight = newest > acked;
        let unseen_from = if is_late_sight { deadline.max(newest + longest) } else { deadline };
        // The node may not know for how long it has been alone: by two beats, if its agent was replaced. It
        // may go by the faster file.
        let interval = self.file(side).interval();
        let alone_from = acked + timing::release_start(self.fastest_dead_after()) + self.file(side).lease;
        local > unseen_from + TOLERANCE && local + interval + interval < alone_from
    }
}

/// Allowance for rounding of the clocks.
pub(super) const TOLERANCE: Span = Span::from_ms(1);
