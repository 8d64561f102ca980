//! What the wire says of a group's addresses before a takeover.

use serde::{Deserialize, Serialize};

use crate::resource::{Fault, Token};
use crate::time::{Instant, Span};

/// How long an answer may take at most: an idle Pentium answers an ARP request within a millisecond, a busy
/// one within ten.
const LONGEST_WAIT: Span = Span::from_ms(100);
/// Between two queries at least, however short the wait.
const SHORTEST_GAP: Span = Span::from_ms(5);

/// What the probe has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Finding {
    /// No probe has run long enough.
    Unknown,
    /// The queries cannot leave, or their answers not come in: silence proves nothing.
    Impossible,
    /// Somebody answers for a VIP of the group.
    VipAnswers,
    /// A VIP of the group answered and has stopped, while the peer's own address still answers: its kernel
    /// lives and let the VIP go.
    VipLetGo,
    /// No VIP answers, but the peer's own address does, or something of the group or the peer did since the
    /// peer fell silent: its box lived on, and that nothing answers now may be a cut LAN.
    PeerAnswers,
    /// Nobody has answered two queries, each waited for, since the peer fell silent.
    Clear,
}

/// The probe of one group.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    pending: Option<Token>,
    /// A query was due again before the guard had said what became of the last.
    is_guard_late: bool,
    asked_at: Option<Instant>,
    /// The last query could not be put.
    is_impossible: bool,
    last_sent_at: Option<Instant>,
    /// When the last query that has left, or was ordered before nobody asked any more, was ordered: what was
    /// heard since may answer it.
    last_asked_at: Option<Instant>,
    /// Sent time of the first query after the last answer for a VIP.
    quiet_since: Option<Instant>,
    /// Sent time of the second one. A single query, or its answer, may be lost, or meet a kernel that is
    /// busy.
    quiet_again_at: Option<Instant>,
    vip_answered_at: Option<Instant>,
    peer_answered_at: Option<Instant>,
    /// Since when the peer's own address has answered every query, and no VIP any.
    peer_alone_since: Option<Instant>,
}

/// How long a stranger at a VIP may be too busy to answer. The peer would have said that it holds it, and
/// whoever is neither must not be fought because it was slow once.
pub const STRANGERS_PATIENCE: Span = Span::from_s(1);

/// How long to wait for answers, so that the result is at hand when dead_after passes.
pub fn wait(late_after: Span, dead_after: Span) -> Span {
    LONGEST_WAIT.min(dead_after.saturating_sub(late_after).fraction(1, 2))
}

/// How long a query shows what is so, with queries every `interval` and `wait` for answers to them.
pub fn freshness(interval: Span, wait: Span) -> Span {
    interval + interval + wait
}

impl Probe {
    /// Whether queries were ordered since the last reset.
    pub fn is_running(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Whether it is time for another query.
    pub fn is_due(&self, now: Instant, interval: Span, wait: Span) -> bool {
        now >= self.due_at(interval, wait)
    }

    /// Whether the guard has said nothing of a query for so long that the next one was due.
    pub fn is_guard_late(&self) -> bool {
        self.is_guard_late
    }

    /// When the next query is due: every interval, but the second one that nobody answers when the first has
    /// been waited for, so that both are done when dead_after passes.
    pub fn due_at(&self, interval: Span, wait: Span) -> Instant {
        let is_second = self.quiet_since.is_some() && self.quiet_again_at.is_none();
        let gap = if is_second { interval.min(wait).max(SHORTEST_GAP) } else { interval };
        self.asked_at.map_or(Instant::ORIGIN, |at| at + gap)
    }

    /// A query was ordered.
    pub fn ask(&mut self, now: Instant, token: Token) {
        self.is_guard_late |= self.pending.is_some();
        self.pending = Some(token);
        self.asked_at = Some(now);
    }

    /// Whether `token` is the probe's newest order.
    pub fn is_waiting_for(&self, token: Token) -> bool {
        self.pending == Some(token)
    }

    /// The queries have left, the last of them at `at`. An answer may be heard before that instant: before
    /// the other queries have left, before the guard looks at the clock. Whatever was heard since the queries
    /// were ordered counts for them.
    ///
    /// Who was not asked for longer than `freshness` may have come and gone meanwhile: what nobody answered
    /// before that is void.
    pub fn sent(&mut self, at: Instant, freshness: Span) {
        (self.pending, self.is_guard_late) = (None, false);
        self.is_impossible = false;
        if self.last_sent_at.is_some_and(|before| at.since(before) > freshness) {
            self.end_quiet();
        }
        if self.peer_answered_at < self.last_asked_at {
            // The last query was answered by nobody: what the peer said before that belongs to another time.
            self.peer_alone_since = None;
        }
        let asked_at = self.asked_at.unwrap_or(at);
        (self.last_sent_at, self.last_asked_at) = (Some(at), Some(asked_at));
        if self.vip_answered_at.is_none_or(|answered| answered < asked_at) {
            match self.quiet_since {
                None => self.quiet_since = Some(at),
                Some(_) => self.quiet_again_at = self.quiet_again_at.or(Some(at)),
            }
        }
    }

    fn end_quiet(&mut self) {
        (self.quiet_since, self.quiet_again_at) = (None, None);
    }

    /// The queries could not leave: nothing is known. True if that is news.
    pub fn fail(&mut self, fault: Fault) -> bool {
        (self.pending, self.is_guard_late) = (None, false);
        self.end_quiet();
        // An order that came too late says nothing of the wire.
        let is_impossible = fault != Fault::TooLate;
        !core::mem::replace(&mut self.is_impossible, is_impossible) && is_impossible
    }

    /// Whether what is heard now may answer a query; else it is only somebody who talks.
    pub fn is_expecting(&self, now: Instant, wait: Span) -> bool {
        self.is_running() || self.last_asked_at.is_some_and(|at| now.since(at) <= wait)
    }

    /// Somebody answered for a VIP.
    pub fn vip_answered(&mut self, now: Instant) {
        self.vip_answered_at = Some(now);
        self.end_quiet();
        self.peer_alone_since = None;
    }

    /// The peer's own address answered.
    pub fn peer_answered(&mut self, now: Instant) {
        self.peer_answered_at = Some(now);
        if self.quiet_since.is_some() {
            self.peer_alone_since.get_or_insert(now);
        }
    }

    /// What nobody answered so far may not have reached anybody: the LAN was cut. It is asked again.
    pub fn doubt(&mut self) {
        (self.pending, self.asked_at) = (None, None);
        self.end_quiet();
        self.peer_alone_since = None;
    }

    /// What answered before `early` counts until `late_after` has passed since, and no longer: it says no
    /// more than a beat would have, that the box had power then.
    pub fn age(&mut self, now: Instant, early: Instant, late_after: Span) {
        for answered_at in [&mut self.vip_answered_at, &mut self.peer_answered_at] {
            if answered_at.is_some_and(|at| at < early && now >= at + late_after) {
                *answered_at = None;
            }
        }
    }

    /// When somebody answered last.
    pub fn answered_at(&self) -> Option<Instant> {
        self.vip_answered_at.max(self.peer_answered_at)
    }

    /// Nobody asks any more. What has answered after the peer's newest frame, at `heard_at`, is remembered:
    /// if that was its last, its kernel has outlived it. Not what was asked before that: it may have been
    /// answered before the frame left.
    pub fn stop(&mut self, heard_at: Option<Instant>) {
        let last_asked_at = self.asked_at.or(self.last_asked_at);
        let is_newer =
            |at: &Instant| heard_at.is_none_or(|heard_at| *at > heard_at && last_asked_at > Some(heard_at));
        *self = Self {
            last_asked_at,
            vip_answered_at: self.vip_answered_at.filter(is_newer),
            peer_answered_at: self.peer_answered_at.filter(is_newer),
            ..Self::default()
        };
    }

    /// Nothing that was found counts any more: because of a stall of our own, or since we hold the group.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// What is known at `now`, with queries every `interval` and `wait` for answers to them. A VIP that has
    /// answered counts as answering for `patience` after the first query that it did not answer.
    pub fn finding(&self, now: Instant, interval: Span, wait: Span, patience: Span) -> Finding {
        let freshness = freshness(interval, wait);
        let is_recent = |at: Instant| now.since(at) <= freshness;
        let is_lingering = |at: Instant| now.since(at) <= freshness + patience;
        let has_gone = self.quiet_since.is_some_and(|at| now >= at + wait.max(patience));
        if self.vip_answered_at.is_some_and(is_lingering) && !has_gone {
            return Finding::VipAnswers;
        }
        if self.is_impossible {
            return Finding::Impossible;
        }
        let has_waited = self.quiet_since.is_some_and(|at| now >= at + wait);
        if !has_waited || !self.last_sent_at.is_some_and(is_recent) {
            return Finding::Unknown;
        }
        // After a LAN that was cut the peer's own answer comes first: the VIP's gets the same time as ever.
        let has_answered_alone = self.peer_alone_since.is_some_and(|at| now >= at + wait);
        let has_waited_twice = self.quiet_again_at.is_some_and(|at| now >= at + wait);
        match (self.vip_answered_at, self.peer_answered_at) {
            (Some(vip), Some(peer)) if peer > vip && is_recent(peer) && has_answered_alone => {
                Finding::VipLetGo
            }
            _ if !has_waited_twice => Finding::Unknown,
            (None, None) => Finding::Clear,
            (Some(_), _) | (None, Some(_)) => Finding::PeerAnswers,
        }
    }

    /// When the finding may change by itself.
    pub fn clear_at(&self, wait: Span) -> Instant {
        let marks = [self.quiet_since, self.quiet_again_at, self.peer_alone_since];
        marks.into_iter().flatten().map(|at| at + wait).max().unwrap_or(Instant::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Span = Span::from_ms(100);
    const WAIT: Span = Span::from_ms(100);

    fn at(ms: u64) -> Instant {
        Instant::from_us(1_000_000) + Span::from_ms(ms)
    }

    fn finding(probe: &Probe, ms: u64) -> Finding {
        probe.finding(at(ms), INTERVAL, WAIT, Span::ZERO)
    }

    fn sent(probe: &mut Probe, ms: u64) {
        probe.sent(at(ms), freshness(INTERVAL, WAIT));
    }

    #[test]
    fn nobody_answers_only_after_two_queries_and_their_waits() {
        let mut probe = Probe::default();
        assert_eq!(finding(&probe, 0), Finding::Unknown);
        sent(&mut probe, 0);
        assert_eq!(finding(&probe, 150), Finding::Unknown, "one may be lost");
        sent(&mut probe, 180);
        assert_eq!(finding(&probe, 279), Finding::Unknown, "the second left late, and has its own time");
        assert_eq!(finding(&probe, 280), Finding::Clear);
        assert_eq!(finding(&probe, 481), Finding::Unknown, "an old probe proves nothing");
    }

    #[test]
    fn the_second_query_leaves_when_the_first_was_waited_for() {
        let (mut probe, wait) = (Probe::default(), Span::from_ms(40));
        probe.ask(at(0), Token(1));
        assert_eq!(probe.due_at(INTERVAL, wait), at(100), "whether it has left at all is not known");
        sent(&mut probe, 1);
        assert_eq!(probe.due_at(INTERVAL, wait), at(40));
        probe.ask(at(40), Token(2));
        sent(&mut probe, 41);
        assert_eq!(probe.due_at(INTERVAL, wait), at(140));
        assert_eq!(probe.finding(at(81), INTERVAL, wait, Span::ZERO), Finding::Clear);
    }

    #[test]
    fn an_answer_that_is_heard_while_the_queries_still_leave_counts_for_them() {
        let mut probe = Probe::default();
        for query in [0, 100, 200, 300] {
            probe.ask(at(query), Token(1));
            probe.vip_answered(at(query + 1));
            sent(&mut probe, query + 2);
            assert_eq!(finding(&probe, query + 110), Finding::VipAnswers, "the next query is late");
        }
        for query in [400, 500] {
            probe.ask(at(query), Token(1));
            probe.peer_answered(at(query + 1));
            sent(&mut probe, query + 2);
        }
        assert_eq!(finding(&probe, 510), Finding::Unknown);
        probe.peer_answered(at(520));
        assert_eq!(
            finding(&probe, 602),
            Finding::VipLetGo,
            "the peer has answered each query, and no VIP has"
        );
    }

    #[test]
    fn an_answer_spoils_every_query_before_it() {
        let mut probe = Probe::default();
        sent(&mut probe, 0);
        probe.vip_answered(at(50));
        assert_eq!(finding(&probe, 120), Finding::VipAnswers);
        sent(&mut probe, 130);
        assert_eq!(finding(&probe, 229), Finding::VipAnswers);
        assert_eq!(finding(&probe, 230), Finding::Unknown, "one query without an answer");
        sent(&mut probe, 230);
        assert_eq!(finding(&probe, 330), Finding::PeerAnswers, "silence after an answer may be a cut LAN");
    }

    #[test]
    fn a_stranger_may_be_slow_to_answer_for_a_while() {
        let mut probe = Probe::default();
        let finding = |probe: &Probe, ms| probe.finding(at(ms), INTERVAL, WAIT, STRANGERS_PATIENCE);
        probe.vip_answered(at(50));
        for ms in (100..1_100).step_by(100) {
            sent(&mut probe, ms);
            assert_eq!(finding(&probe, ms + 99), Finding::VipAnswers, "{ms}");
        }
        sent(&mut probe, 1_100);
        assert_eq!(
            finding(&probe, 1_100),
            Finding::PeerAnswers,
            "a second after the first query that it let pass"
        );
        let mut untouched = Probe::default();
        sent(&mut untouched, 0);
        sent(&mut untouched, 100);
        assert_eq!(finding(&untouched, 200), Finding::Clear, "whom nobody answered waits no longer");
    }

    #[test]
    fn a_vip_that_was_seen_to_go_is_told_from_one_that_was_never_seen() {
        let mut probe = Probe::default();
        sent(&mut probe, 0);
        probe.peer_answered(at(1));
        sent(&mut probe, 100);
        assert_eq!(finding(&probe, 200), Finding::PeerAnswers);
        probe.vip_answered(at(201));
        sent(&mut probe, 300);
        probe.peer_answered(at(301));
        assert_eq!(finding(&probe, 400), Finding::Unknown, "the VIP's answer may be a moment behind");
        assert_eq!(finding(&probe, 401), Finding::VipLetGo);
    }

    #[test]
    fn what_the_peer_answered_before_an_outage_does_not_count_after_it() {
        let mut probe = Probe::default();
        sent(&mut probe, 0);
        probe.vip_answered(at(1));
        sent(&mut probe, 100);
        probe.peer_answered(at(101));
        for query in (200..=900).step_by(100) {
            sent(&mut probe, query);
        }
        probe.peer_answered(at(901));
        assert_eq!(finding(&probe, 950), Finding::PeerAnswers, "the VIP's answer may be a moment behind");
        sent(&mut probe, 1_000);
        assert_eq!(finding(&probe, 1_001), Finding::VipLetGo);
    }

    #[test]
    fn what_nobody_answered_before_a_time_in_which_nobody_was_asked_proves_nothing() {
        let mut probe = Probe::default();
        sent(&mut probe, 0);
        sent(&mut probe, 100);
        assert_eq!(finding(&probe, 200), Finding::Clear);
        sent(&mut probe, 2_000);
        assert_eq!(finding(&probe, 2_001), Finding::Unknown);
        assert_eq!(finding(&probe, 2_199), Finding::Unknown, "and one may be lost");
        sent(&mut probe, 2_100);
        assert_eq!(finding(&probe, 2_200), Finding::Clear);
    }

    #[test]
    fn an_answer_that_overtakes_the_word_that_its_question_left_still_counts() {
        let mut probe = Probe::default();
        probe.peer_answered(at(1));
        probe.vip_answered(at(2));
        sent(&mut probe, 0);
        probe.peer_answered(at(100));
        assert_eq!(
            finding(&probe, 105),
            Finding::VipAnswers,
            "not let go: the VIP's answer may be on its way"
        );
        sent(&mut probe, 100);
        assert_eq!(finding(&probe, 199), Finding::VipAnswers);
    }

    #[test]
    fn an_answer_to_what_was_asked_before_the_last_frame_says_no_more_than_the_frame() {
        for (heard, expected) in [(5, Finding::Clear), (0, Finding::PeerAnswers)] {
            let mut probe = Probe::default();
            probe.ask(at(3), Token(1));
            sent(&mut probe, 4);
            probe.vip_answered(at(6));
            probe.stop(Some(at(heard)));
            sent(&mut probe, 300);
            sent(&mut probe, 400);
            assert_eq!(finding(&probe, 500), expected, "last heard at {heard}");
        }
    }

    #[test]
    fn a_probe_that_could_not_leave_is_no_clear_probe() {
        let mut probe = Probe::default();
        sent(&mut probe, 0);
        assert!(probe.fail(Fault::Kernel(105)), "news");
        assert!(!probe.fail(Fault::Kernel(105)), "the same again");
        assert_eq!(finding(&probe, 150), Finding::Impossible);
        sent(&mut probe, 200);
        assert_eq!(finding(&probe, 250), Finding::Unknown);
        probe.fail(Fault::TooLate);
        assert_eq!(finding(&probe, 350), Finding::Unknown, "our own delay");
    }
}
