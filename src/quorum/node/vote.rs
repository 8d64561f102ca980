//! The voting witness: when it is asked, what is claimed of it, and what its grants are worth.
//!
//! At rest each node asks every second, without claim, so that both know whether the witness counts. A
//! question that is not answered within an interval is followed by another one each interval. A holder that
//! is not acknowledged claims what it serves, and a backup that does not hear the peer what it would take.
//! Whether a grant is needed is for both nodes to agree ([`crate::vote::agreement`]).

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::{GuardState, Node, emit};
use crate::config::Policy;
use crate::pair::{GroupId, Role, Side};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::facts::Situation;
use crate::quorum::record::Record;
use crate::quorum::succession::VoteDeposit;
use crate::quorum::takeover::claims_grant;
use crate::quorum::timing;
use crate::reasons::Verdict;
use crate::status::VoteStatus;
use crate::time::{Instant, Span};
use crate::vote::agreement::{Agreement, Counting};
use crate::vote::claimant::{Claimant, Hearsay, Need};
use crate::vote::wire::{Reply, Run};
use crate::vote::{GroupBits, VoteView, group_bit};

/// What a node keeps of its voting witness.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Vote {
    claimant: Claimant,
    agreement: Agreement,
    /// When it was asked last; `None`: it has to be asked at once.
    asked_at: Option<Instant>,
    /// What was claimed then.
    claimed: GroupBits,
    /// What this node, which does not hold it, would take if it were granted.
    wanted: GroupBits,
    /// How long after a question the next one leaves.
    gap: Span,
    /// Whether it was last recorded to count, and since when.
    has_said_counts: bool,
    said_at: Instant,
    /// It is that of a file that was read before, while the peer was not heard: what both nodes had agreed
    /// and what was granted binds until the peer is heard. It is asked for nothing.
    is_former: bool,
}

impl Vote {
    /// Nothing is known of it. It is asked as another run of the node once [`Node::ask_votes_as`] says so.
    pub(super) fn new(policy: &Policy, me: Side, now: Instant) -> Self {
        let shortest = policy.paths.iter().map(|path| path.timing.dead_after).min().unwrap_or_default();
        Self {
            claimant: Claimant::new(me, [0; 8], shortest, policy.lease),
            agreement: Agreement::new(now),
            asked_at: None,
            claimed: 0,
            wanted: 0,
            gap: Span::ZERO,
            has_said_counts: false,
            said_at: now,
            is_former: false,
        }
    }

    pub(super) fn deposit(&self) -> VoteDeposit {
        let groups = 0..crate::config::MAX_GROUPS;
        let granted_until: Vec<_, _> = groups.map(|group| self.claimant.granted_until(group)).collect();
        let (sealed, is_former) = (self.claimant.sealed(), self.is_former);
        VoteDeposit { agreement: self.agreement, granted_until, sealed, is_former }
    }

    pub(super) fn succeed(&mut self, now: Instant, left: &VoteDeposit) {
        self.agreement = left.agreement;
        self.agreement.go_on(now);
        (self.has_said_counts, self.said_at) = (self.agreement.is_agreed(), now);
        self.claimant.succeed(&left.granted_until, left.sealed);
    }

    /// No question is open, nothing is claimed, and what both nodes say of it is settled and said.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_said = self.agreement.counting() != Counting::Disputed
            && self.has_said_counts == self.agreement.is_agreed();
        is_said && self.claimed == 0 && self.claimant.is_answered()
    }

    /// The kernel has confirmed that the group is let go of.
    pub(super) fn give_back(&mut self, id: GroupId) {
        self.claimant.give_back(group_bit(id.index()));
        self.asked_at = None;
    }
}

impl Node {
    /// Goes on with what an earlier agent has left. One that went by no witness that votes, or by one that
    /// did not count, goes on without until it hears the peer: a new one in the file ends no service.
    pub(super) fn succeed_vote(&mut self, now: Instant, left: Option<&VoteDeposit>) {
        match left {
            Some(left) if left.is_former && left.agreement.counting() != Counting::No => {
                let mut former = Vote { is_former: true, ..Vote::new(&self.policy, self.me, now) };
                former.claimant.run_as(self.vote.as_ref().map_or([0; 8], |vote| vote.claimant.run()));
                former.succeed(now, left);
                self.vote = Some(former);
            }
            Some(left) if !left.is_former => self.vote.iter_mut().for_each(|vote| vote.succeed(now, left)),
            Some(_) | None => {
                self.vote.iter_mut().for_each(|vote| vote.agreement = Agreement::of_neither(now));
            }
        }
    }

    /// The peer is heard: from now on both go by the witness of the file that is read now.
    pub(super) fn leave_former_vote(&mut self, now: Instant) {
        let Some(former) = self.vote.take_if(|vote| vote.is_former) else { return };
        self.vote = self.policy.has_vote.then(|| Vote::new(&self.policy, self.me, now));
        self.ask_votes_as(former.claimant.run());
    }

    /// The witness of the file that is read now, which is asked.
    fn asked_vote(&self) -> Option<&Vote> {
        self.vote.as_ref().filter(|vote| !vote.is_former)
    }

    /// The voting witness is asked as this run of the node.
    pub fn ask_votes_as(&mut self, run: Run) {
        self.vote.iter_mut().for_each(|vote| vote.claimant.run_as(run));
    }

    pub(super) fn vote_answered(&mut self, now: Instant, reply: &Reply) {
        let Some(vote) = &mut self.vote else { return };
        // A reply that gives a session value asks for the next question at once.
        if vote.claimant.hear(now, reply) && !reply.is_counted {
            vote.asked_at = None;
        }
    }

    /// The operator has said that the peer is off. The word counts against a witness that is silent, until
    /// the peer is heard.
    pub(super) fn overrule_vote(&mut self) {
        self.vote.iter_mut().for_each(|vote| vote.agreement.overrule());
    }

    /// Another run of the peer has forgotten what we said of the witness.
    pub(super) fn tell_vote_anew(&mut self, now: Instant) {
        self.vote.iter_mut().for_each(|vote| vote.agreement.tell_anew(now));
    }

    pub(super) fn note_peers_vote(&mut self, now: Instant, does_count: bool) {
        let Some(vote) = &mut self.vote else { return };
        // Nobody could agree with this node before.
        if vote.agreement.is_peer_unheard() {
            vote.said_at = now;
        }
        vote.agreement.hear(does_count);
    }

    /// What our beats say of the witness.
    pub(super) fn does_vote_count(&self) -> bool {
        self.asked_vote().is_some_and(|vote| vote.agreement.does_count())
    }

    /// Brings our word of the witness up to date. Nobody would hear another word while the peer is silent:
    /// then what both have said last goes on to count.
    pub(super) fn keep_vote(&mut self, now: Instant, effects: &mut Effects) {
        let (is_on_time, acked_at) = (self.is_on_time(now), self.peer.acked_at());
        let (patience, is_same_file) = (self.slowest_dead_after(), !self.is_digest_different);
        let Some(vote) = self.vote.as_mut().filter(|vote| !vote.is_former) else { return };
        vote.agreement.note_acknowledged(acked_at);
        let does_grant = vote.claimant.is_answering(now, patience)
            && !vote.claimant.hearsay().is_some_and(|said| said.is_waiting);
        if is_on_time || vote.agreement.is_peer_unheard() {
            self.is_urgent |= vote.agreement.say(now, does_grant && is_same_file);
        }
        let does_count = vote.agreement.is_agreed() && does_grant;
        let is_news = vote.agreement.counting() != Counting::Disputed && vote.has_said_counts != does_count;
        if is_news {
            (vote.has_said_counts, vote.said_at) = (does_count, now);
            emit(effects, Effect::Record(Record::Vote { does_count }));
        }
    }

    /// Notes whether this node would take a group if it were granted.
    pub(super) fn note_vote_wanted(&mut self, id: GroupId, role: Role, situation: &Situation) {
        let Some(vote) = &mut self.vote else { return };
        let bit = group_bit(id.index());
        let is_wanted = claims_grant(role, situation);
        vote.wanted = if is_wanted { vote.wanted | bit } else { vote.wanted & !bit };
    }

    /// From when on a holder that is not acknowledged claims what it serves: half of late_after, and longer
    /// than an acknowledgement takes where all is well.
    pub(super) fn claims_votes_from(&self) -> Instant {
        if self.vote.is_none() {
            return Instant::NEVER;
        }
        if self.is_in_haste() {
            return Instant::ORIGIN;
        }
        let usual = self.two_beats() + self.pace().fraction(1, 4);
        let wait = self.times.shortest_late_after.fraction(1, 2).max(usual);
        self.peer.acknowledged().map_or(Instant::ORIGIN, |at| at + wait)
    }

    /// What is claimed now: what is served and not acknowledged, and what would be taken. A node that cannot
    /// serve claims nothing.
    pub(super) fn vote_claims(&self, now: Instant) -> GroupBits {
        let Some(vote) = self.asked_vote() else { return 0 };
        if self.guard != GuardState::Fine {
            return 0;
        }
        let is_unacknowledged = now >= self.claims_votes_from();
        let served =
            self.policy.group_ids().zip(&self.groups).filter(|(_, group)| {
                is_unacknowledged && matches!(group.role, Role::Acquiring | Role::Active)
            });
        let wanted = self
            .policy
            .group_ids()
            .zip(&self.groups)
            .filter(|(id, group)| group.role == Role::Backup && vote.wanted & group_bit(id.index()) != 0);
        served.chain(wanted).fold(0, |bits, (id, _)| bits | group_bit(id.index()))
    }

    /// When the next question leaves if nothing new is claimed.
    pub(super) fn vote_due_at(&self) -> Instant {
        let Some(vote) = self.asked_vote() else { return Instant::NEVER };
        vote.asked_at.map_or(Instant::ORIGIN, |at| at + vote.gap)
    }

    /// A question leaves in this turn.
    pub(super) fn is_vote_due(&self, now: Instant, claims: GroupBits) -> bool {
        self.vote.as_ref().is_some_and(|vote| claims & !vote.claimed != 0) || now >= self.vote_due_at()
    }

    /// Asks the witness, if it is time.
    pub(super) fn ask_vote(
        &mut self,
        now: Instant,
        (claims, is_due): (GroupBits, bool),
        effects: &mut Effects,
    ) {
        let (interval, is_jeopardy) = (self.times.interval, self.jeopardy_since.is_some());
        let Some(vote) = &mut self.vote else { return };
        if is_due {
            vote.claimed = claims;
            vote.asked_at = Some(now);
            emit(effects, Effect::AskVote(vote.claimant.ask(now, claims)));
        }
        let need = match (claims == 0 || vote.claimant.is_standing(claims), is_jeopardy) {
            (false, _) => Need::Claim,
            (true, true) => Need::Jeopardy,
            (true, false) if is_due || vote.claimant.is_settled(now, interval, claims) => Need::Idle,
            (true, false) => Need::Jeopardy,
        };
        vote.gap = Claimant::gap(need, interval);
    }

    /// Until when a group may be served by a grant, less what a release takes.
    pub(super) fn grant_ends_at(&self, id: GroupId) -> Instant {
        let lead = timing::release_lead(self.holds_by());
        let until = self.vote.as_ref().map(|vote| vote.claimant.granted_until(id.index()));
        until.map_or(Instant::NEVER, |until| if until == Instant::NEVER { until } else { until - lead })
    }

    /// Until when an order is worth something that makes this node serve: not beyond the end of a grant,
    /// where one is needed by then.
    pub(super) fn within_grant(&self, now: Instant, id: GroupId, valid_until: Instant) -> Instant {
        let Some(vote) = &self.vote else { return valid_until };
        let until = vote.claimant.granted_until(id.index());
        let is_bound = vote.agreement.counting() != Counting::No && self.grant_needed_at() < valid_until;
        if is_bound && now < until { valid_until.min(until) } else { valid_until }
    }

    /// What the witness grants of a group, and whether that matters.
    pub(super) fn vote_view(&self, now: Instant, id: GroupId) -> VoteView {
        let Some(vote) = &self.vote else { return VoteView::NotNeeded };
        let is_granted = now < self.grant_ends_at(id);
        match (vote.agreement.counting(), is_granted) {
            (Counting::No, _) | (Counting::Disputed, true) => VoteView::NotNeeded,
            (Counting::Yes, true) => VoteView::Granted,
            (Counting::Yes | Counting::Disputed, false) if self.kept_for_peer(now, id).is_some() => {
                VoteView::Elsewhere
            }
            (Counting::Yes | Counting::Disputed, false) => VoteView::Missing,
        }
    }

    /// The peer has asked the witness lately, and the witness keeps the group for it: it serves, as far as
    /// can be known. One that asks no more may be off, and its grant stand all the same.
    pub(super) fn is_granted_there(&self, now: Instant, id: GroupId) -> bool {
        self.kept_for_peer(now, id).is_some_and(|said| !said.is_quiet)
    }

    /// What the witness said last, if it answers and keeps the group for the peer.
    fn kept_for_peer(&self, now: Instant, id: GroupId) -> Option<Hearsay> {
        let claimant = &self.vote.as_ref()?.claimant;
        let said = claimant.hearsay().filter(|said| said.holds & group_bit(id.index()) != 0)?;
        claimant.is_answering(now, self.slowest_dead_after()).then_some(said)
    }

    /// From when on a holder needs a grant: from its ack deadline. Behind a goodbye from two dead_after on,
    /// when the peer may be back.
    pub(super) fn grant_needed_at(&self) -> Instant {
        let is_departed = self.verdict == Verdict::Departed;
        let left_at = self.peer.beat_at().filter(|_| is_departed);
        let after_goodbye = left_at.map(|at| at + self.slowest_dead_after().fraction(2, 1));
        let deadline = self.forced_release_at();
        match self.peer.acknowledged() {
            _ if self.vote.is_none() => Instant::NEVER,
            Some(_) => after_goodbye.map_or(deadline, |at| at.max(deadline)),
            None if self.verdict.is_somebody() => Instant::NEVER,
            None => after_goodbye.unwrap_or(Instant::ORIGIN),
        }
    }

    /// When the witness last granted the peer the group, at the latest, as far as it has said so.
    pub(super) fn peer_granted_at(&self, id: GroupId) -> Option<Instant> {
        self.vote.as_ref()?.claimant.other_granted_at(id.index())
    }

    /// Whether the witness counts; `None` where none is configured.
    pub fn counting(&self) -> Option<Counting> {
        self.vote.as_ref().map(|vote| vote.agreement.counting())
    }

    /// Grants of the witness are needed, as far as is known now.
    pub(super) fn is_vote_counted(&self) -> bool {
        self.vote.as_ref().is_some_and(|vote| vote.agreement.counting() != Counting::No)
    }

    /// The witness leaves a question unanswered: by the next fault it may grant nothing. It does not count
    /// any more once dead_after has passed and both nodes know.
    pub(super) fn is_vote_in_doubt(&self, now: Instant) -> bool {
        let patience = self.times.shortest_late_after;
        self.asked_vote().is_some_and(|vote| !vote.claimant.is_answering(now, patience))
    }

    /// The group may be served without the witness.
    pub(super) fn is_grant_standing(&self, id: GroupId) -> bool {
        self.vote.as_ref().is_some_and(|vote| vote.claimant.granted_until(id.index()) == Instant::NEVER)
    }

    /// The voting witness, as `status` tells it.
    pub(super) fn vote_status(&self, now: Instant) -> Option<VoteStatus> {
        let vote = self.asked_vote()?;
        let said = vote.claimant.hearsay();
        Some(VoteStatus {
            answered: said.map(|said| now.since(said.asked_at)),
            does_count: vote.has_said_counts,
            is_needed: self.is_vote_counted(),
            is_agreed: vote.agreement.is_agreed(),
            lasts: now.since(vote.said_at),
            is_waiting: said.is_some_and(|said| said.is_waiting),
            granted: vote.claimant.granted(now),
            granted_to_peer: said.map_or(0, |said| said.holds),
            is_peer_quiet: said.is_some_and(|said| said.is_quiet),
        })
    }
}
