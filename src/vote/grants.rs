//! What a witness keeps of one pair: who asked when, and who holds the right to serve which group alone.

use siphasher::sip::SipHasher24;

use super::keys::{WitnessKey, is_same};
use super::wire::{Question, Reply, Run, sealed_bytes};
use super::{GroupBits, LONGEST, QUIET, WAIT, group_bit};
use crate::config::MAX_GROUPS;
use crate::pair::Side;
use crate::time::{Instant, Span};

/// A question that does not count is answered this often, for each node and slot.
pub const GREETING_GAP: Span = Span::from_ms(50);
/// Nobody else can know which slot a run has, and it changes with time: whoever replays the questions of an
/// earlier run hardly ever keeps a later run waiting for long.
const GREETING_SLOTS: usize = 8;
/// How long a run keeps its slot.
const SLOT_S: u64 = 2;

/// One run of a witness.
#[derive(Clone, Copy)]
pub struct Office {
    /// Its id: random.
    pub run: Run,
    /// Session values are derived from it; it never leaves the witness.
    pub secret: [u8; 16],
}

/// Why a question got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// It was not authentic.
    Authenticator,
    /// Its number was not above the last one.
    Number,
    /// It did not count, and one like it was answered just now.
    TooOften,
}

/// Whether the holder serves on without the witness, as far as the witness has told it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Standing {
    #[default]
    No,
    Yes,
    /// It was told with this stamp, and with all later ones, that it no longer does.
    Ending(u64),
}

/// The right to serve one group alone.
#[derive(Clone, Copy, Debug)]
struct Granted {
    holder: Option<Side>,
    end: Instant,
    standing: Standing,
}

impl Granted {
    const NONE: Self = Self { holder: None, end: Instant::ORIGIN, standing: Standing::No };

    fn is_kept_for(&self, side: Side, now: Instant) -> bool {
        self.holder == Some(side) && (self.standing != Standing::No || now < self.end)
    }
}

/// What is known of one node.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The run whose questions count, what they echo, and the number of the newest.
    run: Option<(Run, u64)>,
    number: u32,
    /// Counts the runs, so that the session value of an earlier one is worth nothing.
    generation: u32,
    greeted_at: [Option<Instant>; GREETING_SLOTS],
    asked_at: Option<Instant>,
    lease: Span,
    claims: GroupBits,
    /// Until when its claims are claims.
    claims_until: Instant,
    renewed_at: Option<Instant>,
}

impl Node {
    const NEW: Self = Self {
        run: None,
        number: 0,
        generation: 0,
        greeted_at: [None; GREETING_SLOTS],
        asked_at: None,
        lease: Span::ZERO,
        claims: 0,
        claims_until: Instant::ORIGIN,
        renewed_at: None,
    };
}

/// What a witness keeps of one pair.
#[derive(Clone, Debug)]
pub struct Grants {
    nodes: [Node; 2],
    groups: [Granted; MAX_GROUPS],
    /// When the first question came that counted.
    first_at: Option<Instant>,
    stamp: u64,
}

impl Default for Grants {
    fn default() -> Self {
        Self::new()
    }
}

impl Grants {
    /// Nobody has asked anything.
    pub const fn new() -> Self {
        Self { nodes: [Node::NEW; 2], groups: [Granted::NONE; MAX_GROUPS], first_at: None, stamp: 0 }
    }

    /// The same of a pair that has asked since then.
    pub const fn known_since(first_at: Instant) -> Self {
        let Self { nodes, groups, first_at: _, stamp } = Self::new();
        Self { nodes, groups, first_at: Some(first_at), stamp }
    }

    /// Answers what came, in bytes that were found to name `key`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn hear(
        &mut self,
        office: &Office,
        key: &WitnessKey,
        now: Instant,
        bytes: &[u8],
    ) -> Result<Reply, Unanswered> {
        let question = Question::open(bytes, key).ok_or(Unanswered::Authenticator)?;
        let node = self.node(question.sender);
        let value = value_of(office, key, question.sender, question.run, node.generation);
        if node.run == Some((question.run, question.echo)) {
            if question.number <= node.number {
                return Err(Unanswered::Number);
            }
            self.node_mut(question.sender).number = question.number;
            return Ok(self.count(office, key, now, &question));
        }
        let is_known = node.run.is_some_and(|(run, _)| run == question.run);
        if question.echo == value && !is_known {
            self.adopt(&question);
            return Ok(self.count(office, key, now, &question));
        }
        self.greet(office, now, &question, value)
    }

    fn node(&self, side: Side) -> Node {
        let [a, b] = self.nodes;
        if side == Side::A { a } else { b }
    }

    fn node_mut(&mut self, side: Side) -> &mut Node {
        let [a, b] = &mut self.nodes;
        if side == Side::A { a } else { b }
    }

    /// From now on the questions of this run count, and no others of that node. It may have inherited a grant
    /// that stood, and what the run before was told of its end was told to that run alone.
    fn adopt(&mut self, question: &Question) {
        for group in self.groups.iter_mut().filter(|group| group.holder == Some(question.sender)) {
            if let Standing::Ending(_) = group.standing {
                group.standing = Standing::Yes;
            }
        }
        let node = self.node_mut(question.sender);
        node.run = Some((question.run, question.echo));
        node.number = question.number;
        node.generation = node.generation.wrapping_add(1);
    }

    /// Tells a run what it has to echo. Nothing changes.
    fn greet(
        &mut self,
        office: &Office,
        now: Instant,
        question: &Question,
        value: u64,
    ) -> Result<Reply, Unanswered> {
        let slot = greeting_slot(office, now, value);
        let node = self.node_mut(question.sender);
        let Some(greeted_at) = node.greeted_at.get_mut(slot) else { return Err(Unanswered::TooOften) };
        if greeted_at.is_some_and(|at| now.since(at) < GREETING_GAP) {
            return Err(Unanswered::TooOften);
        }
        *greeted_at = Some(now);
        let adopted = node.run.filter(|(run, _)| *run == question.run);
        let value = adopted.map_or(value, |(_, echo)| echo);
        Ok(self.reply(office, now, question, value))
    }

    /// A reply that says nothing yet.
    fn reply(&mut self, office: &Office, now: Instant, question: &Question, value: u64) -> Reply {
        self.stamp = now.as_us().max(self.stamp.saturating_add(1));
        Reply {
            receiver: question.sender,
            receiver_run: question.run,
            number: question.number,
            run: office.run,
            value,
            stamp: self.stamp,
            is_counted: false,
            is_other_quiet: false,
            is_waiting: false,
            granted: 0,
            standing: 0,
            held: 0,
            other_holds: 0,
            other_claims: 0,
            other_renewed_ago: None,
            seal: [0; 8],
        }
    }

    /// Judges a question that counts.
    fn count(&mut self, office: &Office, key: &WitnessKey, now: Instant, question: &Question) -> Reply {
        let (me, other) = (question.sender, question.sender.peer());
        let length = question.length.min(LONGEST);
        let first_at = *self.first_at.get_or_insert(now);
        let confirmed = self.confirmed_ago(now, question);
        let mut reply = self.reply(office, now, question, question.echo);
        reply.is_counted = true;
        reply.is_waiting = now.since(first_at) < WAIT;
        reply.is_other_quiet = self.is_quiet(now, other, first_at, question.lease);
        let claim = Claim {
            side: me,
            end: now + length + length.fraction(1, 100),
            confirmed: question.confirmed,
            may_begin: length > Span::ZERO && confirmed.is_some_and(|ago| ago <= LONGEST),
            may_extend: length > Span::ZERO && confirmed.is_some_and(|ago| ago <= length),
            is_other_quiet: reply.is_other_quiet,
            stamp: reply.stamp,
        };
        let mut has_held = false;
        let shown = if reply.is_waiting { self.shown_to(office, key, question) } else { GroupBits::MAX };
        for (index, group) in self.groups.iter_mut().enumerate() {
            let bit = group_bit(index);
            let is_claimed = question.claims & !question.returns & bit != 0;
            let is_returned = question.returns & bit != 0;
            let may_begin = claim.may_begin && shown & bit != 0;
            has_held |= !is_returned && group.is_kept_for(me, now) && group.standing != Standing::No;
            if group.judge(now, Claim { may_begin, ..claim }, is_claimed, is_returned) {
                reply.granted |= bit;
            }
            if group.is_kept_for(me, now) {
                reply.held |= bit;
                reply.standing |= if group.standing == Standing::Yes { bit } else { 0 };
            }
            reply.other_holds |= if group.is_kept_for(other, now) { bit } else { 0 };
        }
        self.note(now, question, length, has_held || reply.granted != 0);
        let other = self.node(other);
        reply.other_claims = if now < other.claims_until { other.claims } else { 0 };
        reply.other_renewed_ago = other.renewed_at.map(|at| now.since(at));
        reply.seal = key.of_seal(&sealed_bytes(me, reply.granted, office.run, reply.stamp));
        reply
    }

    /// `has_held`: it was granted something, or may have served until now by a grant that stood.
    fn note(&mut self, now: Instant, question: &Question, length: Span, has_held: bool) {
        let node = self.node_mut(question.sender);
        node.asked_at = Some(now);
        node.lease = question.lease;
        node.claims = question.claims & !question.returns;
        node.claims_until = now + length;
        if has_held {
            node.renewed_at = Some(now);
        }
    }

    /// How long ago the sender was last told something that has reached it; `None`: nothing has.
    fn confirmed_ago(&self, now: Instant, question: &Question) -> Option<Span> {
        let is_ours = question.confirmed != 0 && question.confirmed <= self.stamp;
        is_ours.then(|| now.since(Instant::from_us(question.confirmed)))
    }

    /// `lease` is that of the one who asks: that of the other may never have been said.
    fn is_quiet(&self, now: Instant, side: Side, first_at: Instant, lease: Span) -> bool {
        let node = self.node(side);
        now.since(node.asked_at.unwrap_or(first_at)) >= node.lease.max(lease).max(QUIET)
    }

    /// The groups that an earlier run of this witness granted to the sender, by its own seal.
    fn shown_to(&self, office: &Office, key: &WitnessKey, question: &Question) -> GroupBits {
        let shown = question.shown;
        let sealed = key.of_seal(&sealed_bytes(question.sender, shown.granted, shown.by, shown.stamp));
        let is_earlier = shown.by != office.run && is_same(&shown.seal, &sealed);
        if is_earlier { shown.groups & shown.granted } else { 0 }
    }
}

/// What one question says of a group.
#[derive(Clone, Copy)]
struct Claim {
    side: Side,
    end: Instant,
    confirmed: u64,
    may_begin: bool,
    may_extend: bool,
    is_other_quiet: bool,
    stamp: u64,
}

impl Granted {
    /// Returns whether the group is granted for the length of the question.
    fn judge(&mut self, now: Instant, claim: Claim, is_claimed: bool, is_returned: bool) -> bool {
        let is_own = self.holder == Some(claim.side);
        if is_own && is_returned {
            *self = Self::NONE;
            return false;
        }
        if let (true, Standing::Ending(told)) = (is_own, self.standing)
            && claim.confirmed >= told
        {
            self.standing = Standing::No;
        }
        let is_mine = self.is_kept_for(claim.side, now);
        if self.is_kept_for(claim.side.peer(), now) {
            return false;
        }
        if !is_claimed {
            self.stand_no_longer(claim.stamp);
            return false;
        }
        if !(if is_mine { claim.may_extend } else { claim.may_begin }) {
            return false;
        }
        if !is_mine {
            self.standing = Standing::No;
        }
        // An earlier grant may have been longer, and the reply that cuts it short may be lost.
        let end = if is_mine { self.end.max(claim.end) } else { claim.end };
        (self.holder, self.end) = (Some(claim.side), end);
        if claim.is_other_quiet {
            self.standing = Standing::Yes;
        } else {
            self.stand_no_longer(claim.stamp);
        }
        true
    }

    /// The reply with this stamp says so, and it may be lost.
    fn stand_no_longer(&mut self, stamp: u64) {
        if self.standing == Standing::Yes {
            self.standing = Standing::Ending(stamp);
        }
    }
}

/// In which slot a run is greeted now; `value` is what it has to echo.
fn greeting_slot(office: &Office, now: Instant, value: u64) -> usize {
    let mut input = [0; 16];
    let (first, second) = input.split_at_mut(8);
    first.copy_from_slice(&value.to_le_bytes());
    second.copy_from_slice(&(now.as_us() / Span::from_s(SLOT_S).as_us()).to_le_bytes());
    let [slot, ..] = SipHasher24::new_with_key(&office.secret).hash(&input).to_le_bytes();
    usize::from(slot) % GREETING_SLOTS
}

/// What a run has to echo; never zero, which echoes nothing.
fn value_of(office: &Office, key: &WitnessKey, side: Side, run: Run, generation: u32) -> u64 {
    let [n0, n1, n2, n3, n4, n5, n6, n7] = key.name();
    let [r0, r1, r2, r3, r4, r5, r6, r7] = run;
    let [g0, g1, g2, g3] = generation.to_le_bytes();
    let side = u8::from(side == Side::B);
    let input = [n0, n1, n2, n3, n4, n5, n6, n7, r0, r1, r2, r3, r4, r5, r6, r7, g0, g1, g2, g3, side];
    SipHasher24::new_with_key(&office.secret).hash(&input).max(1)
}
