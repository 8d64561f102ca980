//! The peer as all paths together show it.

use serde::{Deserialize, Serialize};

use crate::config::Policy;
use crate::frame::message::{Beat, GroupReport, PathReport};
use crate::health::ack::SendTimes;
use crate::pair::{GroupId, Mechanisms, Role, Trouble, Word};
use crate::time::{Instant, Span};

/// What came before a beat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Before {
    /// No path heard the peer.
    Silence,
    /// So many beats are missing that the peer may have taken back and repeated what it says now.
    Gap,
    /// Another beat, not long ago.
    Beat,
}

/// What is known of the peer's present incarnation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    beat: Option<Beat>,
    beat_at: Option<Instant>,
    /// Its number: a slower path must not bring back what a faster one has overtaken.
    number: u32,
    /// Send time of our newest beat that it acknowledged.
    acked_at: Option<Instant>,
    /// When it was heard again after every path had stopped hearing it (or for the first time).
    returned_at: Option<Instant>,
    /// What it last announced to be armed, in whichever incarnation: a new one inherits the addresses of the
    /// old.
    mechanisms: Option<Mechanisms>,
    /// It was last heard in maintenance, in whichever incarnation, which lasts until then.
    maintenance_until: Option<Instant>,
    /// It has acknowledged a beat of this run of ours, in whichever incarnation: it knows our times.
    does_know_us: bool,
    /// Since when it has said without a gap that it cannot serve.
    troubled_since: Option<Instant>,
    /// Since when every beat of it has said that our lines dropped there.
    lines_dropped_at: Option<Instant>,
    /// Since when every beat of it has said that it stands by.
    standby_since: Option<Instant>,
}

impl Peer {
    /// A new incarnation was adopted: what the old one said is void. The peer as such was heard.
    pub fn become_adopted(&mut self, now: Instant) {
        let Self { mechanisms, maintenance_until, does_know_us, .. } = *self;
        *self =
            Self { returned_at: Some(now), mechanisms, maintenance_until, does_know_us, ..Self::default() };
    }

    /// We are a successor, and this is the incarnation that our predecessor knew: it has not returned, and
    /// gets no new time to acknowledge a beat.
    pub fn become_known_again(&mut self) {
        let Self { mechanisms, acked_at, maintenance_until, .. } = *self;
        *self = Self { mechanisms, acked_at, maintenance_until, ..Self::default() };
    }

    /// What another run of ours knew of it.
    pub fn succeed(
        &mut self,
        acked_at: Option<Instant>,
        mechanisms: Option<Mechanisms>,
        maintenance_until: Option<Instant>,
    ) {
        *self = Self { acked_at, mechanisms, maintenance_until, ..Self::default() };
    }

    /// A fresh beat arrived. Says whether it is the newest: one that a slower path brings later than a faster
    /// one says nothing new.
    pub fn hear(&mut self, now: Instant, beat: &Beat, number: u32, before: Before, sent: &SendTimes) -> bool {
        if before == Before::Silence {
            self.returned_at = Some(now);
        }
        let acked_at = sent.of(beat.ack);
        self.does_know_us |= acked_at.is_some();
        self.acked_at = self.acked_at.max(acked_at);
        if number <= self.number {
            return false;
        }
        self.number = number;
        self.mechanisms = Some(beat.release);
        // The clocks run within a hundredth of each other.
        self.maintenance_until = beat.standing.maintenance.map(|left| now + left.fraction(101, 100));
        // A silent guard may have worked again during a gap; a lost one cannot have.
        let trouble = beat.standing.trouble;
        let is_same = self.beat.as_ref().is_some_and(|last| last.standing.trouble == trouble);
        let is_unbroken = is_same && (before == Before::Beat || trouble == Trouble::GuardLost);
        let troubled_since = self.troubled_since.filter(|_| is_unbroken);
        self.troubled_since = (trouble != Trouble::None).then(|| troubled_since.unwrap_or(now));
        self.standby_since = beat.standing.standby.then(|| self.standby_since.unwrap_or(now));
        let is_dropped = beat.standing.lines_dropped;
        self.lines_dropped_at = is_dropped.then(|| self.lines_dropped_at.unwrap_or(now));
        self.beat = Some(beat.clone());
        self.beat_at = Some(now);
        true
    }

    /// Its newest beat.
    pub fn beat(&self) -> Option<&Beat> {
        self.beat.as_ref()
    }

    /// When its newest beat arrived.
    pub fn beat_at(&self) -> Option<Instant> {
        self.beat_at
    }

    /// What its newest beat says of a group. Where the configurations agree, groups stand in the same order;
    /// where they differ, a group is known by its tag.
    pub fn group(&self, id: GroupId, policy: &Policy) -> Option<GroupReport> {
        let beat = self.beat.as_ref()?;
        if beat.digest == policy.digest {
            return beat.groups.get(id.index()).copied();
        }
        let tag = policy.groups.get(id.index())?.tag;
        let of_tag = beat.groups.iter().filter(|group| group.tag == tag);
        of_tag.copied().reduce(|one, other| one.or_worse(&other))
    }

    /// What lets go of its addresses if its agent cannot any more; `None` before its first beat.
    pub fn mechanisms(&self) -> Option<Mechanisms> {
        self.mechanisms
    }

    /// Until when its operator wants nothing moved, as it said when it was last heard; never over where it
    /// did not say.
    pub fn maintenance_until(&self) -> Option<Instant> {
        self.maintenance_until
    }

    /// Its operator wanted nothing moved when it was last heard, and that is not over.
    pub fn is_in_maintenance(&self, now: Instant) -> bool {
        self.maintenance_until.is_some_and(|until| now < until)
    }

    /// When it was heard again after every path had stopped hearing it, or in a new incarnation.
    pub fn returned_at(&self) -> Option<Instant> {
        self.returned_at
    }

    /// Since when it has said without a gap that it cannot serve: nothing that it holds is renewed any more.
    pub fn troubled_since(&self) -> Option<Instant> {
        self.troubled_since
    }

    /// Since when its end of some cable has shown that our lines dropped.
    pub fn lines_dropped_at(&self) -> Option<Instant> {
        self.lines_dropped_at
    }

    /// Since when it has said in every beat that its operator wants it to hold nothing.
    pub fn standby_since(&self) -> Option<Instant> {
        self.standby_since
    }

    /// Its shortest interval; zero before its first beat.
    pub fn interval(&self) -> Span {
        self.beat.as_ref().map(|beat| beat.interval).unwrap_or_default()
    }

    /// It released everything and left.
    pub fn has_left(&self) -> bool {
        self.beat.as_ref().is_some_and(|beat| beat.standing.leaving)
    }

    /// Send time of our newest beat that it acknowledged in this incarnation.
    pub fn acked_at(&self) -> Option<Instant> {
        self.acked_at
    }

    /// Send time of our newest beat that it acknowledged, or the instant of its return: from then on it owes
    /// us one.
    pub fn acknowledged(&self) -> Option<Instant> {
        self.acked_at.max(self.returned_at)
    }

    /// It has acknowledged a beat of this run of ours, so it knows our times.
    pub fn does_know_us(&self) -> bool {
        self.does_know_us
    }

    /// By its newest beat, it may not have heard us on any path for that path's limit; `limits` has the order
    /// of the paths. Its report is coarse: the longest age that it may mean counts. A peer in cold start has
    /// not had the time to hear us and counts as hearing.
    pub fn is_deaf(&self, limits: impl Iterator<Item = Span>) -> bool {
        let Some(beat) = &self.beat else { return false };
        let mut ages = beat.paths.iter().map(PathReport::longest_age).zip(limits);
        !beat.standing.cold_start && ages.all(|(age, limit)| age.is_none_or(|age| age >= limit))
    }
}

impl GroupReport {
    /// Two groups have the same tag, and nobody knows which is meant: the report that claims more counts,
    /// with a word that promises nothing.
    fn or_worse(&self, other: &Self) -> Self {
        let claim = |report: &Self| (report.role.is_holding(), report.role == Role::Faulty, report.term);
        let worse = if claim(other) > claim(self) { other } else { self };
        let could_not = [self, other].iter().any(|report| report.word.is_inability());
        let would = [self, other].iter().any(|report| report.word == Word::Wanted);
        let word = match (would, could_not) {
            (true, _) => Word::Wanted,
            (false, true) => Word::Unable,
            (false, false) => Word::None,
        };
        Self { word, ..*worse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Since when the peer has been unable, if it says so at 1 s and, after `before`, at 9 s.
    fn unable_since(trouble: Trouble, before: Before) -> Option<Instant> {
        let mut peer = Peer::default();
        let mut beat = Beat::NONE;
        beat.standing.trouble = trouble;
        for (s, number, before) in [(1, 1, Before::Beat), (9, 2, before)] {
            peer.hear(Instant::ORIGIN + Span::from_s(s), &beat, number, before, &SendTimes::default());
        }
        peer.troubled_since()
    }

    #[test]
    fn a_silent_guard_may_have_gone_on_while_nobody_was_heard_and_a_lost_one_never() {
        let [first, last] = [1, 9].map(|s| Some(Instant::ORIGIN + Span::from_s(s)));
        for before in [Before::Silence, Before::Gap] {
            assert_eq!(unable_since(Trouble::GuardSilent, before), last, "{before:?}");
            assert_eq!(unable_since(Trouble::GuardLost, before), first, "{before:?}");
        }
        assert_eq!(unable_since(Trouble::GuardSilent, Before::Beat), first);
        assert_eq!(unable_since(Trouble::None, Before::Beat), None);
    }
}
