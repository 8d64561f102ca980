//! What a node keeps of its voting witness: what it has asked, and what it may serve alone until when.

use serde::{Deserialize, Serialize};

use super::wire::{Question, Reply, Run, Shown};
use super::{GroupBits, IDLE_GAP, LONGEST, group_bit};
use crate::config::MAX_GROUPS;
use crate::pair::Side;
use crate::time::{Instant, Span};

/// Questions that are still open at a time: an answer to an older one is too late.
const OPEN: usize = 16;

/// Why a node asks, which says how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// All is well: both nodes only want to know that the witness is there.
    Idle,
    /// One more fault, and the peer's silence proves nothing.
    Jeopardy,
    /// The right to serve something alone is needed now.
    Claim,
}

/// What the right to serve one group alone is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Worth {
    until: Instant,
    is_standing: bool,
    /// Answers to questions before this one are about a claim that was given up since.
    since: u32,
    /// The other node was granted the group no later than this, since our grants have followed each other
    /// without a gap from then on; [`Instant::NEVER`]: they have not.
    rivalled_until: Instant,
}

impl Worth {
    const NONE: Self =
        Self { until: Instant::ORIGIN, is_standing: false, since: 0, rivalled_until: Instant::NEVER };

    fn end(self) -> Instant {
        if self.is_standing { Instant::NEVER } else { self.until }
    }

    /// The claim is given up: only answers from this question on are about the next one.
    const fn given_up(since: u32) -> Self {
        Self { since, ..Self::NONE }
    }
}

/// What the witness said last of the other node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hearsay {
    /// When the question left that was answered so.
    pub asked_at: Instant,
    /// The groups that are kept for the other node.
    pub holds: GroupBits,
    /// Those that it claims.
    pub claims: GroupBits,
    /// Whether it has asked nothing for its lease.
    pub is_quiet: bool,
    /// No grant of the other node was renewed later than this; `None`: none was, by any run of the witness
    /// that has said so.
    pub renewed_at: Option<Instant>,
    /// Whether the witness grants nothing new yet.
    pub is_waiting: bool,
}

/// What a node keeps of its voting witness.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claimant {
    me: Side,
    run: Run,
    lease: Span,
    length: Span,
    number: u32,
    /// By the low bits of its number: when a question left.
    open: [Option<(u32, Instant)>; OPEN],
    /// The number of the newest question that was answered.
    answered: u32,
    /// Since when questions have been open, and none of them was answered.
    silent_since: Option<Instant>,
    /// A question of this run was counted; or it goes on for one of which that is so.
    is_known: bool,
    /// The run of the witness that answers, and what it wants echoed.
    witness: Option<(Run, u64)>,
    confirmed: u64,
    worth: [Worth; MAX_GROUPS],
    returning: GroupBits,
    /// The number of the first question that carried all that is being returned.
    returned_in: u32,
    sealed: Shown,
    /// What the witness keeps for this node, as it said last.
    held: GroupBits,
    hearsay: Option<Hearsay>,
}

impl Claimant {
    /// Knows nothing yet. `length` is for how long groups are claimed: the smallest dead_after.
    pub fn new(me: Side, run: Run, length: Span, lease: Span) -> Self {
        Self {
            me,
            run,
            lease,
            length: length.min(LONGEST),
            number: 0,
            open: [None; OPEN],
            answered: 0,
            silent_since: None,
            is_known: false,
            witness: None,
            confirmed: 0,
            worth: [Worth::NONE; MAX_GROUPS],
            returning: 0,
            returned_in: 0,
            sealed: Shown::default(),
            held: 0,
            hearsay: None,
        }
    }

    /// From now on it asks as this run of the node.
    pub fn run_as(&mut self, run: Run) {
        self.run = run;
    }

    /// As which run it asks.
    pub fn run(&self) -> Run {
        self.run
    }

    /// Goes on with what an earlier run was granted, by group and until when, before it has asked anything.
    /// What it could show of that, which is no more, is worth as much as before.
    pub fn succeed(&mut self, granted_until: &[Instant], sealed: Shown) {
        (self.is_known, self.sealed) = (true, sealed);
        for (worth, until) in self.worth.iter_mut().zip(granted_until) {
            let is_standing = *until == Instant::NEVER;
            let until = if is_standing { Instant::ORIGIN } else { *until };
            *worth = Worth { until, is_standing, ..Worth::NONE };
        }
    }

    /// How long after a question the next one leaves.
    pub fn gap(need: Need, interval: Span) -> Span {
        match need {
            Need::Idle => IDLE_GAP,
            Need::Jeopardy => interval.min(IDLE_GAP),
            Need::Claim => interval.fraction(1, 2).min(IDLE_GAP),
        }
    }

    /// The next question. What is not claimed is worth nothing from now on; what is claimed is not being
    /// returned any more.
    pub fn ask(&mut self, now: Instant, claims: GroupBits) -> Question {
        if self.number == u32::MAX {
            self.begin_another_run();
        }
        self.number = self.number.saturating_add(1);
        self.silent_since = self.silent_since.or(Some(now));
        self.returning &= !claims;
        self.give_up(!claims, self.number);
        let slot = self.slot_of(self.number);
        if let Some(slot) = self.open.get_mut(slot) {
            *slot = Some((self.number, now));
        }
        Question {
            sender: self.me,
            run: self.run,
            echo: self.witness.map_or(0, |(_, value)| value),
            number: self.number,
            confirmed: self.confirmed,
            length: self.length,
            lease: self.lease,
            claims,
            returns: self.returning,
            shown: self.shown(now),
        }
    }

    /// The numbers are used up: at 20 questions a second after 6.8 years.
    fn begin_another_run(&mut self) {
        self.run = u64::from_le_bytes(self.run).wrapping_add(1).to_le_bytes();
        (self.number, self.answered, self.witness) = (0, 0, None);
        (self.open, self.worth) = ([None; OPEN], [Worth::NONE; MAX_GROUPS]);
        self.returned_in = 1;
    }

    fn give_up(&mut self, groups: GroupBits, since: u32) {
        for (index, worth) in self.worth.iter_mut().enumerate() {
            if groups & group_bit(index) != 0 {
                *worth = Worth::given_up(since);
            }
        }
    }

    fn slot_of(&self, number: u32) -> usize {
        usize::try_from(number).unwrap_or(0) % self.open.len().max(1)
    }

    /// What is still worth something of the newest grant, for a witness of another run.
    fn shown(&self, now: Instant) -> Shown {
        let groups = self.sealed.groups & self.granted(now);
        let is_other_run = self.witness.is_some_and(|(run, _)| run != self.sealed.by);
        if groups != 0 && is_other_run { Shown { groups, ..self.sealed } } else { Shown::default() }
    }

    /// The newest grant, under its seal.
    pub fn sealed(&self) -> Shown {
        self.sealed
    }

    /// These groups are let go of, and the kernel has confirmed it: every question says so until the witness
    /// has heard it.
    pub fn give_back(&mut self, groups: GroupBits) {
        let next = self.number.saturating_add(1);
        self.give_up(groups, next);
        if groups & !self.returning != 0 {
            self.returned_in = next;
        }
        self.returning |= groups;
    }

    /// What is being returned, and not confirmed yet.
    pub fn returning(&self) -> GroupBits {
        self.returning
    }

    /// Takes in an authentic reply. Returns whether it answered an open question.
    pub fn hear(&mut self, now: Instant, reply: &Reply) -> bool {
        let is_for_us = reply.receiver == self.me && reply.receiver_run == self.run;
        if !is_for_us || reply.number <= self.answered {
            return false;
        }
        let open = self.open.get(self.slot_of(reply.number)).copied().flatten();
        let Some((_, asked_at)) = open.filter(|(number, _)| *number == reply.number) else { return false };
        self.answered = reply.number;
        self.silent_since = (self.answered != self.number).then_some(now);
        self.witness = Some((reply.run, reply.value));
        self.confirmed = reply.stamp;
        if reply.is_counted {
            self.take(now, asked_at, reply);
        }
        true
    }

    fn take(&mut self, now: Instant, asked_at: Instant, reply: &Reply) {
        // A witness that was restarted has forgotten what it granted before.
        let known = self.hearsay.and_then(|said| said.renewed_at);
        // A witness whose clock runs faster says that it was longer ago.
        let renewed_at = reply.other_renewed_ago.map(|ago| now - ago.fraction(99, 100)).or(known);
        let does_witness_remember = self.sealed.by == reply.run;
        for (index, worth) in self.worth.iter_mut().enumerate() {
            let is_in = |groups: GroupBits| groups & group_bit(index) != 0;
            if reply.number < worth.since {
                continue;
            }
            if !is_in(reply.held) {
                *worth = Worth { since: worth.since, ..Worth::NONE };
                continue;
            }
            let is_kept = now < worth.until || (worth.is_standing && does_witness_remember);
            if !is_kept {
                worth.rivalled_until = Instant::NEVER;
            }
            if is_in(reply.granted) {
                worth.until = asked_at + self.length;
                if worth.rivalled_until == Instant::NEVER {
                    worth.rivalled_until = renewed_at.unwrap_or(Instant::ORIGIN);
                }
            }
            worth.is_standing = is_in(reply.standing) && (is_in(reply.granted) || worth.is_standing);
        }
        if reply.granted != 0 {
            let groups = reply.granted;
            self.sealed =
                Shown { groups, granted: groups, by: reply.run, stamp: reply.stamp, seal: reply.seal };
        }
        if reply.number >= self.returned_in {
            self.returning &= reply.held;
        }
        (self.held, self.is_known) = (reply.held, true);
        self.hearsay = Some(Hearsay {
            asked_at,
            holds: reply.other_holds,
            claims: reply.other_claims,
            is_quiet: reply.is_other_quiet,
            renewed_at,
            is_waiting: reply.is_waiting,
        });
    }

    /// Until when a group may be served alone; [`Instant::NEVER`] for a grant that stands.
    pub fn granted_until(&self, group: usize) -> Instant {
        self.worth.get(group).map_or(Instant::ORIGIN, |worth| worth.end())
    }

    /// The groups that may be served alone now.
    pub fn granted(&self, now: Instant) -> GroupBits {
        let running = self.worth.iter().enumerate().filter(|(_, worth)| now < worth.end());
        running.fold(0, |bits, (index, _)| bits | group_bit(index))
    }

    /// Whether nothing has to be said to the witness soon: it answers, and keeps for this node no more than
    /// is claimed.
    pub fn is_settled(&self, now: Instant, patience: Span, claims: GroupBits) -> bool {
        self.is_answering(now, patience) && self.held & !claims == 0 && self.returning == 0
    }

    /// Whether all these groups stand.
    pub fn is_standing(&self, groups: GroupBits) -> bool {
        let stands = |(index, worth): (usize, &Worth)| worth.is_standing || groups & group_bit(index) == 0;
        self.worth.iter().enumerate().all(stands)
    }

    /// Whether the witness answers: no question has been open for longer than this while none was answered.
    pub fn is_answering(&self, now: Instant, patience: Span) -> bool {
        self.is_known && self.silent_since.is_none_or(|since| now.since(since) <= patience)
    }

    /// No question is open.
    pub fn is_answered(&self) -> bool {
        self.silent_since.is_none()
    }

    /// The other node was granted the group no later than this, as far as the witness has said so; `None`: it
    /// never was. Without a grant of our own that may be whenever the other was granted anything.
    pub fn other_granted_at(&self, group: usize) -> Option<Instant> {
        let renewed_at = self.hearsay?.renewed_at?;
        let at = self.worth.get(group).map_or(renewed_at, |worth| worth.rivalled_until.min(renewed_at));
        (at != Instant::ORIGIN).then_some(at)
    }

    /// What the witness said last of the other node.
    pub fn hearsay(&self) -> Option<Hearsay> {
        self.hearsay
    }
}
