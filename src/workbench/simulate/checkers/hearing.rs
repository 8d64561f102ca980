//! What really arrived from the peer: takeovers are judged by it.

use crosswire::config::{MAX_GROUPS, MAX_PATHS};
use crosswire::health::Arrivals;
use crosswire::pair::{PathId, PathKind, Side};
use crosswire::reasons::TakeReason;
use crosswire::time::{Instant, Span};
use crosswire::turn::PROMPT;

use super::super::wire::Stamp;
use super::super::world::World;
use super::deadline::Sight;
use super::silence::LineEvidence;

/// How long a turn may overlook what has arrived, by a clock that is a little slow.
const OVERLOOKED: Span = Span::from_us(PROMPT.as_us() + 100);

/// What a span may lose when it is converted from a box's clock to true time and back. A stall that begins as
/// a path falls silent moves its last beat to exactly that instant.
const ROUNDED: Span = Span::from_us(2);

/// What one side's agent was given by its peer, in its present run.
#[derive(Clone, Debug)]
pub struct Hearing {
    /// Which run of the peer's agent it adopted; 0: none.
    pub adopted: u32,
    /// The checksum of the file with which that one was started, as last heard: a box may come back with
    /// another one.
    pub peer_digest: Option<u8>,
    /// Since when; an agent that replaces another knows whom that one had met.
    pub adopted_at: Instant,
    /// Which one its predecessor had adopted: meeting that one again moves no deadline; 0: none.
    pub known: u32,
    /// When this run began.
    pub started_at: Instant,
    /// By path: the newest frame that arrived, by the world's count.
    newest: [u64; MAX_PATHS],
    /// By path: when the newest fresh beat arrived where the agent could read it, by that path or another.
    arrived_at: [Option<Instant>; MAX_PATHS],
    /// When beats first came to where the agent could read them, and when it first read them.
    firsts: [Arrivals; 2],
    /// By path: when the agent last read a fresh beat.
    pub read_at: [Option<Instant>; MAX_PATHS],
    /// By path: when it was last opened.
    pub opened_at: [Option<Instant>; MAX_PATHS],
    /// When it last read any.
    pub heard_at: Option<Instant>,
    /// When a frame arrived on a cable that cannot be understood but was framed by somebody.
    stranger_at: Option<Instant>,
    /// By path: the newest frame that was read; what it overtook is refused.
    taken_in: [u32; MAX_PATHS],
    /// The newest beat that was read on any path, by the world's count.
    newest_read: u64,
    /// The number of that beat.
    newest_count: u32,
    /// The number of the newest session value that was read. Nobody counts greetings.
    session_count: u32,
    /// By group: the term under which the peer held it by the newest beat read.
    pub told_terms: [u32; MAX_GROUPS],
    /// By group: the highest of them in this run.
    pub highest_terms: [u32; MAX_GROUPS],
    /// When the newest beat that was read was made.
    pub newest_sent_at: Option<Instant>,
    /// When the newest beat was read. Handshakes are heard too, but say nothing of groups.
    pub told_at: Option<Instant>,
    /// When our newest beat that the peer says it has read was made.
    pub acked_at: Option<Instant>,
    /// The same, of those that its beats certainly name.
    pub surely_acked_at: Option<Instant>,
    /// When the peer was heard again after a silence, or adopted.
    pub returned_at: Option<Instant>,
    /// Since when this side knows that the peer cannot serve.
    pub troubled_since: Option<Instant>,
    /// When the peer's trouble began, whatever was heard of it.
    trouble_began_at: Option<Instant>,
    /// The newest beat said goodbye.
    pub has_peer_left: bool,
    /// What it knows of the witnesses.
    pub sight: Sight,
    /// By path: what the modem lines may be believed to say.
    pub lines: [LineEvidence; MAX_PATHS],
}

impl Default for Hearing {
    fn default() -> Self {
        Self::new(Instant::ORIGIN)
    }
}

impl Hearing {
    /// Nothing was heard.
    pub fn new(started_at: Instant) -> Self {
        Self {
            adopted: 0,
            peer_digest: None,
            adopted_at: started_at,
            known: 0,
            started_at,
            newest: [0; MAX_PATHS],
            arrived_at: [None; MAX_PATHS],
            firsts: Default::default(),
            read_at: [None; MAX_PATHS],
            opened_at: [None; MAX_PATHS],
            heard_at: None,
            stranger_at: None,
            taken_in: [0; MAX_PATHS],
            newest_read: 0,
            newest_count: 0,
            session_count: 0,
            told_terms: [0; MAX_GROUPS],
            highest_terms: [0; MAX_GROUPS],
            newest_sent_at: None,
            told_at: None,
            acked_at: None,
            surely_acked_at: None,
            returned_at: None,
            troubled_since: None,
            trouble_began_at: None,
            has_peer_left: false,
            sight: Sight::NONE,
            lines: [LineEvidence::default(); MAX_PATHS],
        }
    }
}

impl Hearing {
    /// The lines of some cable were seen to drop.
    pub fn has_dropped_lines(&self) -> bool {
        self.lines.iter().any(LineEvidence::has_dropped)
    }

    /// When the beat that its beats acknowledge for certain was made. Beats name the newest number: if a
    /// session message came after the newest beat and was accepted, they name that number, which acknowledges
    /// no beat.
    pub fn surely_acknowledges(&self) -> Option<Instant> {
        self.newest_sent_at.filter(|_| self.session_count <= self.newest_count)
    }
}

impl World {
    /// A genuine frame reached the agent's buffers.
    pub(in super::super) fn note_arrival(
        &mut self,
        side: Side,
        path: PathId,
        is_serial: bool,
        stamp: &Stamp,
    ) {
        let my_run = self.boxes[side.index()].agent_run;
        let is_stranger = self.boxes[0].started_with.0 != self.boxes[1].started_with.0
            || self.boxes[0].started_with.1 != self.boxes[1].started_with.1;
        let now = self.now;
        let hearing = &mut self.watch.hearing[side.index()];
        if is_stranger && is_serial {
            hearing.stranger_at = Some(now);
        }
        let newest = &mut hearing.newest[path.index()];
        if stamp.is_beat && stamp.runs == [hearing.adopted, my_run] && stamp.number > *newest {
            *newest = stamp.number;
            let arrived_at = &mut hearing.arrived_at[path.index()];
            *arrived_at = (*arrived_at).max(Some(hearing.firsts[0].note(stamp.count, now)));
        }
    }

    /// The agent has read a genuine frame.
    pub(in super::super) fn note_consumption(&mut self, side: Side, path: PathId, stamp: &Stamp) {
        let my_run = self.boxes[side.index()].agent_run;
        let now = self.now;
        let known = &mut self.watch.hearing[side.index()];
        let is_overtaken = stamp.count <= known.taken_in[path.index()];
        if is_overtaken || stamp.runs != [known.adopted, my_run] {
            return;
        }
        // A hello that overtakes a beat on the LAN does not make the beat old: nothing shows yet that the
        // hello is fresh.
        if stamp.is_beat || stamp.is_session {
            known.taken_in[path.index()] = stamp.count;
        }
        if stamp.is_session {
            known.session_count = known.session_count.max(stamp.count);
        }
        if !stamp.is_beat {
            return;
        }
        let (was_heard, ours) = (self.is_heard(side), self.seen_witnesses(side));
        let do_files_agree = self.boxes[side.index()].started_with.2 == stamp.digest;
        self.note_lines_heard(side, path);
        let hearing = &mut self.watch.hearing[side.index()];
        if !was_heard {
            hearing.returned_at = Some(now);
        }
        hearing.acked_at = hearing.acked_at.max(stamp.acked);
        hearing.surely_acked_at = hearing.surely_acked_at.max(stamp.surely_acked);
        // A frame that came before its sender was adopted has arrived by now, and a copy by another path is
        // no news.
        hearing.firsts[0].note(stamp.count, now);
        let first_read = Some(hearing.firsts[1].note(stamp.count, now));
        let read_at = &mut hearing.read_at[path.index()];
        *read_at = (*read_at).max(first_read);
        (hearing.heard_at, hearing.told_at) =
            (hearing.heard_at.max(first_read), hearing.told_at.max(first_read));
        if stamp.number > hearing.newest_read {
            hearing.newest_read = stamp.number;
            hearing.newest_count = stamp.count;
            self.watch.dark_there[side.index()] = stamp.dark;
            hearing.peer_digest = Some(stamp.digest);
            hearing.told_terms = stamp.terms;
            hearing.newest_sent_at = Some(stamp.sent_at);
            let is_other = hearing.trouble_began_at != stamp.troubled_since;
            hearing.trouble_began_at = stamp.troubled_since;
            hearing.troubled_since =
                stamp.troubled_since.and(hearing.troubled_since.filter(|_| !is_other).or(Some(now)));
            hearing.has_peer_left = stamp.is_leaving;
            hearing.sight.exchange(ours, stamp.witnesses, do_files_agree);
        }
        for (highest, term) in hearing.highest_terms.iter_mut().zip(stamp.terms) {
            *highest = (*highest).max(term);
        }
    }

    /// Some path of a side hears the peer.
    fn is_heard(&self, side: Side) -> bool {
        let clock = self.boxes[side.index()].clock;
        let hearing = &self.watch.hearing[side.index()];
        self.file(side).paths.iter().enumerate().any(|(index, path)| {
            let is_current =
                hearing.read_at[index].is_some() && hearing.read_at[index] >= hearing.opened_at[index];
            let age = hearing.read_at[index].map(|at| clock.local(self.now).since(clock.local(at)));
            let is_open = self.watch.open_paths[side.index()][index];
            is_open && is_current && age.is_some_and(|age| age + ROUNDED < path.timing.dead_after)
        })
    }

    /// How many beats a side's node says that it heard.
    pub(in super::super) fn beats_heard(&self, side: Side) -> u64 {
        let now = self.boxes[side.index()].clock.local(self.now);
        let status = self.node(side).map(|node| node.status(now));
        status.iter().flat_map(|status| &status.paths).map(|path| u64::from(path.beats_heard)).sum()
    }

    /// A stall of a side's own moves everything that it last heard, as the design says; it does not move what
    /// arrived.
    pub(super) fn note_stall(&mut self, side: Side, gap: Span) {
        let gap = self.boxes[side.index()].clock.true_span(gap);
        let hearing = &mut self.watch.hearing[side.index()];
        let marks = hearing.read_at.iter_mut().chain(&mut hearing.opened_at);
        for mark in marks.flatten() {
            *mark = *mark + gap;
        }
    }

    /// A frame that was damaged, recorded or made by nobody proves nothing.
    pub(in super::super) fn check_not_heard(&mut self, side: Side, before: u64) {
        let after = self.beats_heard(side);
        if self.node(side).is_some() && after != before {
            self.complain("stale", format!("{side:?} took bytes for a heartbeat that nobody has just sent"));
        }
    }

    /// A new incarnation was adopted while a frame was read.
    pub(super) fn note_adoption(&mut self, side: Side) {
        match self.watch.reading {
            Some((path, stamp)) => {
                let hearing = &mut self.watch.hearing[side.index()];
                hearing.read_at[path.index()] = Some(self.now);
                hearing.adopted = stamp.runs[0];
                // A greeting says nothing of the file.
                if stamp.is_beat {
                    hearing.peer_digest = Some(stamp.digest);
                }
                if hearing.adopted != hearing.known {
                    hearing.adopted_at = self.now;
                }
                hearing.newest = [stamp.number; MAX_PATHS];
                hearing.firsts = Default::default();
                // What was sent before counts no more; a beat that adopts is itself still to be taken in.
                hearing.taken_in = [stamp.count.saturating_sub(1); MAX_PATHS];
                hearing.heard_at = Some(self.now);
                hearing.told_terms = [0; MAX_GROUPS];
                (hearing.newest_sent_at, hearing.newest_count, hearing.session_count) = (None, 0, 0);
                (hearing.troubled_since, hearing.trouble_began_at) = (None, None);
                hearing.has_peer_left = false;
                if hearing.known != stamp.runs[0] {
                    (hearing.acked_at, hearing.surely_acked_at) = (None, None);
                    hearing.returned_at = Some(self.now);
                }
                self.note_lines_heard(side, path);
            }
            None => self.complain("stale", format!("{side:?} adopted somebody who has just said nothing")),
        }
    }

    /// No takeover while any path hears the peer, while somebody unintelligible is on the cable, or on the
    /// strength of a silence that one path alone testifies to.
    pub(super) fn check_silence(&mut self, side: Side, reason: TakeReason) {
        let is_for_silence = match reason {
            TakeReason::Dead
            | TakeReason::Granted
            | TakeReason::Jeopardy
            | TakeReason::PeerIsOff
            | TakeReason::ColdStart => true,
            TakeReason::Offered | TakeReason::Departed | TakeReason::Vacant => false,
        };
        if !is_for_silence {
            return;
        }
        let clock = self.boxes[side.index()].clock;
        let local = clock.local(self.now);
        // A grant takes no shortcut.
        let is_power_loss = reason == TakeReason::Dead && self.is_power_loss_shown(side);
        let shortest =
            self.file(side).paths.iter().map(|path| path.timing.dead_after).min().unwrap_or_default();
        let window = if is_power_loss { self.shortest_late_after(side) } else { shortest };
        let hearing = &self.watch.hearing[side.index()];
        let is_recent = |at: Option<Instant>| at.is_some_and(|at| local.since(clock.local(at)) < window);
        // A path that was lost since hears nobody; another checker sees that its silence proves nothing.
        let is_open = |path: usize| self.watch.open_paths[side.index()][path];
        // The kernel's word on what has arrived counts for a moment; where nothing is held up, it is the
        // present.
        let is_busy = self.setup.held_up > Span::ZERO;
        let is_overlooked = |at: Option<Instant>| at.is_some_and(|at| self.now.since(at) <= OVERLOOKED);
        let is_news = |at: Option<Instant>| is_recent(at) && !(is_busy && is_overlooked(at));
        let is_heard = (0..MAX_PATHS).any(|path| is_open(path) && is_news(hearing.arrived_at[path]));
        let is_stranger = is_news(hearing.stranger_at);
        if is_heard {
            self.complain(
                "heard",
                format!("{side:?} took over ({reason:?}) although a fresh beat had arrived"),
            );
        }
        if is_stranger && reason != TakeReason::PeerIsOff {
            self.complain(
                "refused",
                format!("{side:?} took over ({reason:?}) although a stranger was on the cable"),
            );
        }
        if reason == TakeReason::Dead && !is_power_loss && !self.is_silence_common(side) {
            self.complain(
                "jeopardy",
                format!("{side:?} took over (Dead) on the silence of one kind of path"),
            );
        }
    }

    /// Whether paths of two kinds, or all of them, fell silent before any of them outlived the others.
    fn is_silence_common(&self, side: Side) -> bool {
        let hearing = &self.watch.hearing[side.index()];
        let clock = self.boxes[side.index()].clock;
        let local = |at: Option<Instant>| clock.local(at.unwrap_or(hearing.started_at));
        let newest = local(hearing.heard_at);
        // That a path was opened again since it was heard mends nothing.
        let testifies =
            |path: PathId| newest.since(local(hearing.read_at[path.index()])) <= self.slower_dead_after(path);
        let all: Vec<(PathKind, bool)> =
            self.policy().path_ids().map(|path| (self.kind(path), testifies(path))).collect();
        let has = |kind| all.contains(&(kind, true));
        (has(PathKind::Serial) && has(PathKind::Lan)) || all.iter().all(|(_, testifies)| *testifies)
    }
}
