//! At most one holder per address.
//!
//! Two kernels may hold an address at the same time only where nothing that either node could have learned
//! would have told it otherwise. That is stricter than 'both paths were cut': each way of knowing is looked
//! at for as long as it takes to be used, and one that worked is enough to make the overlap a violation.
//!
//! * The taker could have *heard*: some path carried what the holder's agent sent. On a cable also a holder
//!   with another key is heard, since whoever is not understood inhibits a takeover. Two nodes that are not
//!   acquainted yet can hear each other only if both directions of one path work: a frame that echoes no
//!   session value may be a recording.
//! * The taker could have *asked*: the groups' LAN carried both ways, and the holder's kernel answered,
//!   whatever its processes did.
//! * The taker had been *answered* before it took: since it last heard the holder somebody answered for the
//!   addresses, and nothing since says that the holder's kernel let them go.
//! * The holder could have been *told*: some path carried what the taker's agent sent, namely that it hears
//!   nobody, and the holder's agent and guard were there to let go by the ack deadline. Only a peer that it
//!   has met can tell it anything.
//!
//! A question and a report are one frame each, so a direction that loses any counts as not carrying them.
//!
//! Where a voting witness counts for both nodes, or has granted the group to the taker, and the processes of
//! both have worked, no overlap is excused.
//!
//! A group that asks for a fence is never excused if it was taken on silence: a fence proves what silence
//! cannot.
//!
//! Where the holder's agent or guard did not work, only its kernel is left to let go, a lease later: the rule
//! `probe` does not wait for that and is excused, the rule `lease` does and is not. What begins when a frozen
//! box thaws follows the same reasoning. An excused overlap must end within two intervals of the first
//! exchange.

use crosswire::config::SafetyRule;
use crosswire::health::RAILS_APART;
use crosswire::pair::{GroupId, PathId, PathKind, Side};
use crosswire::quorum::timing;
use crosswire::reasons::TakeReason;
use crosswire::time::{Instant, Span};
use crosswire::vote::agreement::Counting;

use super::super::world::{SIDES, World};
use super::silence::is_by_silence;

/// An overlap that goes on.
#[derive(Clone, Copy, Debug)]
pub struct Overlap {
    /// Since when.
    pub since: Instant,
}

/// By side: when it took a group last.
pub type Reigns = [Option<Instant>; 2];

impl World {
    pub(in super::super) fn watch_overlaps(&mut self) {
        for group in self.setup.policy.group_ids() {
            self.watch_overlap(group);
        }
    }

    /// Looks at one group after anything has changed.
    pub(in super::super) fn watch_overlap(&mut self, group: GroupId) {
        self.note_service();
        let is_overlap = SIDES.into_iter().all(|side| self.holds(side, group));
        match (self.watch.overlaps[group.index()], is_overlap) {
            (None, false) => {}
            (None, true) => {
                self.watch.overlaps[group.index()] = Some(Overlap { since: self.now });
                if self.is_excused(group) {
                    self.watch.excused[group.index()] = Some(self.reigns(group));
                } else if !self.watch.is_off {
                    let text = format!("both kernels hold {group:?}, and one of the nodes could have known");
                    self.complain("one-holder", text);
                }
            }
            (Some(overlap), true) => self.check_split_ends(group, overlap),
            (Some(overlap), false) => {
                self.watch.overlaps[group.index()] = None;
                self.watch.past_overlaps.push((overlap.since, self.now));
            }
        }
    }

    /// An overlap has just begun: could nobody have known? Whichever of the two came second is the taker.
    fn is_excused(&self, group: GroupId) -> bool {
        // A box that was frozen in the middle of an excused overlap goes on with it when it thaws.
        if self.watch.excused[group.index()] == Some(self.reigns(group)) {
            return true;
        }
        if self.is_by_vote(group) {
            return false;
        }
        let taken = |side: Side| self.watch.taken[side.index()][group.index()].map(|taken| (side, taken));
        let newest = SIDES.into_iter().filter_map(taken).max_by_key(|(_, (at, _))| *at);
        if newest.is_some_and(|(side, (_, reason))| is_by_silence(reason) && self.needs_proof(side, group)) {
            return false;
        }
        SIDES.into_iter().any(|taker| self.could_nobody_know(group, taker))
    }

    /// The voting witness tells the two apart, whatever is cut: it counts for both, or has granted the group
    /// to the one that came second.
    fn is_by_vote(&self, group: GroupId) -> bool {
        let counts = |side: Side| self.node(side).and_then(|node| node.counting()) == Some(Counting::Yes);
        let is_granted = |side: Side| {
            self.watch.taken[side.index()][group.index()]
                .is_some_and(|(_, reason)| reason == TakeReason::Granted)
        };
        let has_heard = |side: Side| self.watch.hearing[side.index()].heard_at.is_some();
        // Who is killed or held up has its kernel, or its own older order, to let go for it.
        let window = self.known_dead_afters(Side::A).1 + self.exchange_time();
        let works = |side: Side| self.boxes[side.index()].works.is_good_for(self.now, window);
        let guards = |side: Side| self.boxes[side.index()].guards.is_good_for(self.now, window);
        let have_run = SIDES.into_iter().all(|side| works(side) && guards(side));
        let have_agreed = SIDES.into_iter().all(|side| has_heard(side) && counts(side));
        have_run && (have_agreed || SIDES.into_iter().any(|side| is_granted(side) && counts(side)))
    }

    /// When each side took the group last.
    fn reigns(&self, group: GroupId) -> Reigns {
        self.watch.taken.map(|taken| taken[group.index()].map(|(at, _)| at))
    }

    fn could_nobody_know(&self, group: GroupId, taker: Side) -> bool {
        let holder = taker.peer();
        let kernel_alone = {
            let gateway = &self.boxes[holder.index()];
            !gateway.does_agent_work() || !gateway.does_guard_work()
        };
        // A taker that had heard that the holder cannot serve waits for its kernel, whatever the rule.
        let was_told = self.watch.hearing[taker.index()].troubled_since.is_some();
        let waits_for_kernel = was_told || self.group_policy(taker, group).safety != SafetyRule::Probe;
        // Guards that hung on both boxes and go on together carry out old orders before either node could
        // hear of the other's.
        let window = self.exchange_time();
        let both_hung =
            SIDES.into_iter().all(|side| !self.boxes[side.index()].guards.is_good_for(self.now, window));
        let by_listening = !both_hung && (self.could_hear(taker) || self.could_ask(taker));
        let could_know = by_listening || self.was_answered(taker, group) || self.could_be_told(holder);
        !(could_know || (kernel_alone && waits_for_kernel && !self.is_renewed_in_silence(group, taker)))
    }

    /// The holder has renewed so lately that it lived behind the cut for longer than the taker, which heard
    /// nothing, had to assume. So the later fate of its processes is not why both hold the group.
    fn is_renewed_in_silence(&self, group: GroupId, taker: Side) -> bool {
        let holder = taker.peer();
        let hearing = &self.watch.hearing[taker.index()];
        let silent_since = hearing.heard_at.unwrap_or(hearing.started_at);
        let bound = timing::lifetime_bound(self.dead_afters().1, self.file(holder).lease);
        self.boxes[holder.index()].kernel.until[group.index()]
            .is_some_and(|until| until > silent_since + bound)
    }

    fn slower_interval(&self) -> Span {
        SIDES.into_iter().map(|side| self.file(side).interval()).max().unwrap_or_default()
    }

    /// How long a frame or a handshake takes to be sent, carried and read.
    pub(super) fn exchange_time(&self) -> Span {
        let interval = self.slower_interval();
        let slowest = self.setup.bauds.iter().copied().filter(|baud| *baud > 0).min().unwrap_or(115_200);
        let frame = timing::line_time(70, slowest);
        interval.fraction(3, 1)
            + frame.fraction(5, 1)
            + self.setup.wakes_late.fraction(3, 1)
            + Span::from_ms(20)
    }

    /// Nobody takes a group if the wire has long said that somebody else has it. A node that was offered a
    /// group, or left alone with it, does not ask.
    pub(super) fn check_strangers(&mut self, side: Side, group: GroupId, reason: TakeReason) {
        // A probe that left before the stranger came may be this old.
        let (now, window) = (self.now, self.exchange_time() + Span::from_ms(200));
        let is_asked = !matches!(reason, TakeReason::Offered | TakeReason::Departed);
        let is_there = self.strangers[group.index()].is_some_and(|since| now.since(since) >= window);
        let is_asking = self.boxes[side.index()].works.is_good_for(now, window);
        let is_seen = self
            .home()
            .map(|home| &self.links[home.index()])
            .filter(|home| home.is_unfiltered[side.index()].is_good_for(now, window))
            .is_some_and(|home| home.directions[side.index()].sure.is_good_for(now, window));
        if is_asked && is_there && is_asking && is_seen {
            self.complain(
                "stranger",
                format!("{side:?} takes {group:?} ({reason:?}) although a stranger has it"),
            );
        }
    }

    fn are_strangers(&self) -> bool {
        let [a, b] = [0, 1].map(|index: usize| self.boxes[index].started_with);
        (a.0, a.1) != (b.0, b.1)
    }

    /// Each has adopted the other's present run.
    pub(super) fn are_acquainted(&self) -> bool {
        let [a, b] =
            [0, 1].map(|index: usize| (self.boxes[index].agent_run, self.watch.hearing[index].adopted));
        a.1 == b.0 && b.1 == a.0
    }

    fn could_hear(&self, taker: Side) -> bool {
        let (now, holder) = (self.now, taker.peer());
        let window = self.exchange_time();
        let has_speaker = self.boxes[holder.index()].works.is_good_for(now, window);
        let has_listener = self.boxes[taker.index()].runs.is_good_for(now, window);
        let strangers = self.are_strangers();
        // Two nodes that do not know each other yet need both directions of one path to get acquainted.
        let are_acquainted = self.are_acquainted();
        has_speaker
            && has_listener
            && self.policy().path_ids().any(|path| {
                let good = |from: Side| {
                    self.links[path.index()].directions[from.index()].mark.is_good_for(now, window)
                };
                let is_understood = !strangers && (are_acquainted || good(taker));
                good(holder) && (is_understood || (strangers && self.kind(path) == PathKind::Serial))
            })
    }

    fn could_ask(&self, taker: Side) -> bool {
        let (now, holder) = (self.now, taker.peer());
        let window = self.exchange_time();
        let is_answering = self.boxes[holder.index()].answers.is_good_for(now, window);
        let is_asking = self.boxes[taker.index()].works.is_good_for(now, window);
        let home = self.home().map(|home| &self.links[home.index()]);
        is_answering
            && is_asking
            && home.is_some_and(|home| {
                home.is_unfiltered[taker.index()].is_good_for(now, window)
                    && home.directions.iter().all(|direction| direction.sure.is_good_for(now, window))
            })
    }

    /// Since the holder was last heard somebody answered for the addresses, and its kernel may not have let
    /// go yet: the taker remembers that, if it has not been stopped or started since.
    fn was_answered(&self, taker: Side, group: GroupId) -> bool {
        let bound = timing::lifetime_bound(self.dead_afters().1, self.file(taker.peer()).lease);
        let heard = self.watch.hearing[taker.index()].heard_at;
        let answered = self.watch.answered[taker.index()][group.index()];
        let remembers = |at: Instant| self.boxes[taker.index()].works.bad_until(self.now) < at;
        let (Some(heard), Some((answered, asked))) = (heard, answered) else { return false };
        // If the peer's own address answers, and an answer for the addresses is lost, the kernel seems to
        // have let them go.
        let loses = |home: PathId| {
            self.links[home.index()].directions.iter().any(|direction| direction.loss_permille > 0)
        };
        // The same happens if the peer answers on a second LAN, on which the addresses do not live.
        let lans = self.policy().paths.iter().filter(|path| path.kind == PathKind::Lan).count();
        if lans > 1 || self.home().is_some_and(loses) {
            return false;
        }
        // An answer that came after the decision came too late.
        let taken = self.watch.taken[taker.index()][group.index()];
        let is_in_time = taken.is_none_or(|(at, _)| answered <= at);
        // If a box seems to have lost its power, an answer soon after the drop says no more than a late beat.
        let late_after = self.longest_late_after(taker);
        let clock = self.boxes[taker.index()].clock;
        let outlived_until = self.lines_dropped_at(taker).map(|at| at + RAILS_APART);
        let is_early = outlived_until.is_some_and(|until| clock.local(answered) < until)
            && self.now.since(answered) >= late_after.fraction(98, 100);
        if is_early && self.is_power_loss_shown(taker) {
            return false;
        }
        // A little less than the bound, for clocks that run fast.
        // What was asked before that frame came may have been answered before it left.
        is_in_time
            && asked > heard
            && answered > heard
            && remembers(heard)
            && self.now.since(heard) < bound.fraction(98, 100)
    }

    fn could_be_told(&self, holder: Side) -> bool {
        let (now, taker) = (self.now, holder.peer());
        let dead_after = self.dead_afters().1;
        let window = dead_after + dead_after.fraction(1, 50) + self.exchange_time();
        let has_speaker = self.boxes[taker.index()].works.is_good_for(now, window);
        let is_able = now.since(self.hung_until(holder)) >= window;
        let acquainted_at = SIDES.map(|side| self.watch.hearing[side.index()].adopted_at).into_iter().max();
        self.are_acquainted()
            && acquainted_at.is_some_and(|at| now.since(at) >= window)
            && has_speaker
            && is_able
            && self
                .policy()
                .path_ids()
                .any(|path| self.links[path.index()].directions[taker.index()].sure.is_good_for(now, window))
    }

    /// Two intervals after both have read a beat of the other, with both able to act, one must have let go.
    fn check_split_ends(&mut self, group: GroupId, overlap: Overlap) {
        let told = |side: Side| self.watch.hearing[side.index()].told_at.filter(|at| *at > overlap.since);
        let (Some(a), Some(b)) = (told(Side::A), told(Side::B)) else { return };
        let is_able = |side: Side| {
            let gateway = &self.boxes[side.index()];
            gateway.does_agent_work() && gateway.does_guard_work()
        };
        if self.watch.is_off || !SIDES.into_iter().all(is_able) {
            return;
        }
        let begun = a.max(b).max(self.hung_until(Side::A)).max(self.hung_until(Side::B));
        let interval = self.slower_interval();
        let limit = interval + interval + self.setup.wakes_late.fraction(4, 1) + Span::from_ms(5);
        if self.now.since(begun) > limit {
            self.complain(
                "split-ends",
                format!("both still hold {group:?} two intervals after they heard each other"),
            );
        }
    }
}
