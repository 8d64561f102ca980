//! The rules of a grant, clause by clause, in virtual time.

use proptest::prelude::*;

use super::claimant::{Claimant, Need};
use super::grants::{GREETING_GAP, Grants, Office, Unanswered};
use super::keys::{WitnessKey, secret_of};
use super::wire::{Question, REPLY_BYTES, Reply, Shown, name_in_question};
use super::{GroupBits, IDLE_GAP, LONGEST, QUIET, WAIT};
use crate::frame::Key;
use crate::pair::Side;
use crate::time::{Instant, Span};

pub const LENGTH: Span = Span::from_ms(1_500);
pub const LEASE: Span = Span::from_s(3);
const STEP: Span = Span::from_ms(125);
const WIRE: Span = Span::from_ms(1);

/// The key of the pair's witness.
pub fn key() -> WitnessKey {
    WitnessKey::new(&secret_of("gateway", &Key { id: 0, bytes: (0..32).collect() }))
}

/// A witness and the two nodes of a pair.
pub struct Room {
    pub now: Instant,
    pub office: Office,
    pub grants: Grants,
    pub nodes: [Claimant; 2],
}

impl Room {
    fn new() -> Self {
        let node = |side, run| Claimant::new(side, [run; 8], LENGTH, LEASE);
        Self {
            now: Instant::from_us(1_000_000),
            office: Office { run: [9; 8], secret: [9; 16] },
            grants: Grants::new(),
            nodes: [node(Side::A, 1), node(Side::B, 2)],
        }
    }

    /// A pair that has asked for so long that grants are given.
    pub fn settled() -> Self {
        let mut room = Self::new();
        while room.now.since(Instant::from_us(1_000_000)) < WAIT + Span::from_s(1) {
            room.ask(Side::A, 0);
            room.ask(Side::B, 0);
            room.pass(Span::from_s(1));
        }
        room
    }

    pub fn pass(&mut self, span: Span) {
        self.now = self.now + span;
    }

    pub fn node(&mut self, side: Side) -> &mut Claimant {
        &mut self.nodes[side.index()]
    }

    /// The question arrives, and the answer too if `is_answered`.
    fn ask_over(&mut self, side: Side, claims: GroupBits, is_answered: bool) -> Option<Reply> {
        let now = self.now;
        let question = self.node(side).ask(now, claims).seal(&key());
        self.pass(WIRE);
        let reply = self.grants.hear(&self.office, &key(), self.now, &question).ok()?;
        if is_answered {
            let now = self.now;
            assert!(self.node(side).hear(now, &reply));
        }
        Some(reply)
    }

    fn ask(&mut self, side: Side, claims: GroupBits) -> GroupBits {
        self.ask_over(side, claims, true);
        let now = self.now;
        self.node(side).granted(now)
    }

    /// The witness is another process from now on.
    pub fn restart(&mut self) {
        self.office = Office { run: [self.office.run[0] + 1; 8], secret: [7; 16] };
        self.grants = Grants::new();
    }
}

#[test]
fn nothing_is_granted_before_twice_the_longest_grant_after_the_first_question() {
    let mut room = Room::new();
    room.ask(Side::A, 0);
    let first_at = room.now;
    room.pass(Span::from_ms(100));
    room.ask(Side::A, 0);
    let counted_at = room.now;
    while room.now.since(counted_at) + WIRE < WAIT {
        assert_eq!(room.ask(Side::A, 1), 0, "{} after the first question", room.now.since(first_at));
        assert!(room.node(Side::A).hearsay().unwrap().is_waiting);
        room.pass(STEP);
    }
    assert_eq!(room.ask(Side::A, 1), 1);
}

#[test]
fn one_node_at_a_time_for_its_length_from_when_it_asked() {
    let mut room = Room::settled();
    let asked_at = room.now;
    assert_eq!(room.ask(Side::A, 1), 1);
    assert_eq!(room.node(Side::A).granted_until(0), asked_at + LENGTH);
    assert_eq!(room.ask(Side::B, 1), 0, "the other has it");
    let said = room.node(Side::B).hearsay().unwrap();
    assert_eq!((said.holds, said.claims), (1, 1));
    assert!(said.renewed_at.unwrap() > asked_at);
    room.now = asked_at + LENGTH;
    let now = room.now;
    assert_eq!(room.node(Side::A).granted(now), 0, "it was not renewed");
    assert_eq!(room.ask(Side::B, 1), 0, "a hundredth of it is for the drift of the clocks");
    room.pass(LENGTH.fraction(1, 100) + WIRE);
    assert_eq!(room.ask(Side::B, 1), 1);
}

#[test]
fn what_is_renewed_stays() {
    let mut room = Room::settled();
    for _ in 0..200 {
        assert_eq!(room.ask(Side::A, 1), 1);
        assert_eq!(room.ask(Side::B, 1), 0);
        room.pass(STEP);
    }
}

#[test]
fn each_group_is_granted_alone() {
    let mut room = Room::settled();
    assert_eq!(room.ask(Side::A, 0b01), 0b01);
    assert_eq!(room.ask(Side::B, 0b10), 0b10);
    assert_eq!(room.ask(Side::A, 0b11), 0b01);
    assert_eq!(room.ask(Side::B, 0b11), 0b10);
    room.pass(LENGTH + LENGTH);
    assert_eq!(room.ask(Side::A, 0b11), 0b11, "the other has not renewed its own");
}

#[test]
fn answers_that_are_lost_end_the_grant_and_keep_nobody_out_for_long() {
    let mut room = Room::settled();
    room.ask(Side::A, 1);
    let lost_at = room.now;
    while room.now.since(lost_at) < LENGTH {
        room.ask_over(Side::A, 1, false);
        room.pass(STEP);
    }
    let now = room.now;
    assert_eq!(room.node(Side::A).granted(now), 0);
    let mut is_taken = false;
    while room.now.since(lost_at) < LONGEST + LENGTH + LENGTH {
        room.ask_over(Side::A, 1, false);
        is_taken |= room.ask(Side::B, 1) == 1;
        room.pass(STEP);
    }
    assert!(is_taken, "who hears nothing keeps nothing");
    assert_eq!(room.ask(Side::B, 1), 1);
}

#[test]
fn questions_that_are_lost_end_the_grant_too() {
    let mut room = Room::settled();
    room.ask(Side::A, 1);
    let now = room.now;
    room.node(Side::A).ask(now, 1);
    room.pass(LENGTH + LENGTH);
    let now = room.now;
    assert_eq!(room.node(Side::A).granted(now), 0);
    assert_eq!(room.ask(Side::B, 1), 1);
}

#[test]
fn a_return_is_repeated_until_it_is_confirmed_and_frees_the_group_at_once() {
    let mut room = Room::settled();
    room.ask(Side::A, 0b11);
    room.node(Side::A).give_back(0b01);
    assert_eq!(room.node(Side::A).returning(), 0b01);
    room.ask_over(Side::A, 0b10, false);
    assert_eq!(room.node(Side::A).returning(), 0b01, "the answer is lost");
    assert_eq!(room.ask(Side::B, 0b01), 0b01, "the question was not");
    assert_eq!(room.ask(Side::A, 0b10), 0b10);
    assert_eq!(room.node(Side::A).returning(), 0);
}

#[test]
fn an_answer_to_a_claim_that_was_given_up_is_worth_nothing() {
    let mut room = Room::settled();
    let now = room.now;
    let early = room.node(Side::A).ask(now, 1).seal(&key());
    let reply = room.grants.hear(&room.office, &key(), now, &early).unwrap();
    assert_eq!(reply.granted, 1);
    room.node(Side::A).give_back(1);
    room.ask_over(Side::A, 0, false);
    assert_eq!(room.ask(Side::B, 1), 1);
    let now = room.now;
    room.node(Side::A).ask(now, 1);
    assert!(room.node(Side::A).hear(now, &reply), "late, and to an open question");
    assert_eq!(room.node(Side::A).granted(now), 0, "the other has been granted it since");
}

#[test]
fn a_grant_stands_where_the_other_was_quiet_and_the_other_is_refused_meanwhile() {
    let mut room = Room::settled();
    room.pass(QUIET + Span::from_s(1));
    room.ask(Side::A, 0);
    assert_eq!(room.ask(Side::A, 1), 1);
    assert_eq!(room.node(Side::A).granted_until(0), Instant::NEVER);
    room.pass(Span::from_s(3_600));
    let now = room.now;
    assert_eq!(room.node(Side::A).granted(now), 1, "it serves on without the witness");
    room.ask(Side::B, 0);
    for _ in 0..100 {
        assert_eq!(room.ask(Side::B, 1), 0);
        room.pass(Span::from_s(1));
    }
    // It asks again; until it has heard that its grant stands no longer, the other is refused.
    room.ask_over(Side::A, 1, false);
    room.pass(LENGTH + LENGTH);
    assert_eq!(room.ask(Side::B, 1), 0);
    room.ask(Side::A, 1);
    room.ask(Side::A, 1);
    room.ask(Side::A, 1);
    assert!(room.node(Side::A).granted_until(0) < Instant::NEVER);
    assert_eq!(room.ask(Side::B, 1), 0);
    room.pass(LENGTH + LENGTH);
    let now = room.now;
    assert_eq!(room.node(Side::A).granted(now), 0);
    assert_eq!(room.ask(Side::B, 1), 1);
}

/// The other one renews another group all the while: that says nothing of this one.
#[test]
fn what_the_other_is_granted_of_another_group_moves_nothing_and_a_gap_in_our_grants_does() {
    let mut room = Room::settled();
    room.ask(Side::A, 0b11);
    let held_at = room.now;
    room.node(Side::A).give_back(0b01);
    let reckoned = |room: &mut Room| {
        room.ask(Side::A, 0b10);
        assert_eq!(room.ask(Side::B, 0b01), 0b01);
        room.node(Side::B).other_granted_at(0).unwrap()
    };
    let first = reckoned(&mut room);
    assert!(first >= held_at);
    for _ in 0..100 {
        room.pass(STEP);
        assert_eq!(reckoned(&mut room), first);
        assert!(room.node(Side::B).other_granted_at(1) > Some(first), "the group that it renews");
    }
    // Nobody knows what was granted while no grant of ours ran.
    room.pass(LENGTH + LENGTH);
    let second = reckoned(&mut room);
    assert!(second > first);
    // A witness that was restarted has forgotten it, and we have not.
    room.restart();
    room.ask(Side::B, 0b01);
    assert_eq!(room.ask(Side::B, 0b01), 0b01);
    assert_eq!(room.node(Side::B).other_granted_at(0), Some(second));
    // An agent in the place of another knows nothing of the time before its first answer.
    let now = room.now;
    let left = (room.node(Side::B).granted_until(0), room.node(Side::B).sealed());
    *room.node(Side::B) = Claimant::new(Side::B, [3; 8], LENGTH, LEASE);
    room.node(Side::B).succeed(&[left.0], left.1);
    assert_eq!(room.node(Side::B).granted(now), 0b01);
    room.ask(Side::B, 0b01);
    room.ask(Side::A, 0b10);
    let third = reckoned(&mut room);
    assert!(third > now);
}

/// It served on without the witness until it asked again.
#[test]
fn what_stood_is_reckoned_from_when_its_holder_asked_again() {
    let mut room = Room::settled();
    room.pass(QUIET + Span::from_s(1));
    room.ask(Side::A, 0);
    room.ask(Side::A, 1);
    room.pass(Span::from_s(3_600));
    let held_until = room.now;
    room.ask(Side::A, 0);
    room.ask(Side::A, 0);
    room.ask(Side::B, 0);
    assert_eq!(room.ask(Side::B, 1), 1);
    assert!(room.node(Side::B).other_granted_at(0) > Some(held_until));
}

/// The answer that the grant stands no longer is lost with the agent that asked, and so is the first one to
/// the agent in its place.
#[test]
fn an_agent_that_inherits_a_standing_grant_is_told_of_its_end_itself() {
    let mut room = Room::settled();
    room.pass(QUIET + Span::from_s(1));
    room.ask(Side::A, 0);
    room.ask(Side::A, 1);
    room.ask(Side::B, 1);
    room.ask_over(Side::A, 1, false);
    let sealed = room.node(Side::A).sealed();
    *room.node(Side::A) = Claimant::new(Side::A, [3; 8], LENGTH, LEASE);
    room.node(Side::A).succeed(&[Instant::NEVER], sealed);
    room.ask(Side::A, 1);
    room.ask_over(Side::A, 1, false);
    room.pass(LENGTH + LENGTH);
    let now = room.now;
    assert_eq!(room.node(Side::A).granted(now), 1);
    assert_eq!(room.ask(Side::B, 1), 0, "it serves on, and nothing has told it otherwise");
    for _ in 0..3 {
        room.ask(Side::A, 1);
    }
    room.pass(LENGTH + LENGTH);
    let now = room.now;
    assert_eq!((room.node(Side::A).granted(now), room.ask(Side::B, 1)), (0, 1));
}

#[test]
fn a_standing_grant_that_is_returned_is_free() {
    let mut room = Room::settled();
    room.pass(QUIET + Span::from_s(1));
    room.ask(Side::A, 0);
    room.ask(Side::A, 1);
    room.ask(Side::B, 0);
    assert_eq!(room.ask(Side::B, 1), 0);
    room.node(Side::A).give_back(1);
    room.ask(Side::A, 0);
    assert_eq!(room.ask(Side::B, 1), 1);
}

#[test]
fn a_node_that_asks_when_all_is_well_is_not_quiet() {
    assert!(Claimant::gap(Need::Idle, STEP) < QUIET);
    let mut room = Room::settled();
    for _ in 0..10 {
        room.ask(Side::B, 0);
        room.ask(Side::A, 1);
        assert!(room.node(Side::A).granted_until(0) < Instant::NEVER);
        room.pass(IDLE_GAP);
    }
}

#[test]
fn a_restart_of_the_witness_costs_its_holder_nothing_and_gives_nobody_else_anything() {
    let mut room = Room::settled();
    room.ask(Side::A, 1);
    room.restart();
    for _ in 0..100 {
        room.pass(Span::from_ms(20));
        room.ask(Side::B, 1);
        room.pass(Span::from_ms(80));
        assert_eq!(room.ask(Side::A, 1), 1);
        let now = room.now;
        assert_eq!(room.node(Side::B).granted(now), 0);
    }
    let renewed = room.node(Side::A).granted_until(0);
    assert!(renewed > room.now, "by the witness that runs now");
}

#[test]
fn a_grant_that_was_altered_or_is_of_another_node_is_not_renewed() {
    for alter in [
        (|shown: &mut Shown| shown.granted |= 2) as fn(&mut Shown),
        |shown| shown.seal[0] ^= 1,
        |shown| shown.stamp += 1,
        |shown| shown.by[7] ^= 1,
    ] {
        let mut room = Room::settled();
        room.ask(Side::A, 1);
        room.restart();
        room.ask(Side::A, 1);
        let now = room.now;
        let mut question = room.node(Side::A).ask(now, 1);
        assert_eq!(question.shown.groups, 1);
        alter(&mut question.shown);
        let reply = room.grants.hear(&room.office, &key(), now, &question.seal(&key())).unwrap();
        assert_eq!((reply.is_counted, reply.granted), (true, 0));
    }
}

#[test]
fn what_was_recorded_is_worth_nothing() {
    let mut room = Room::settled();
    let now = room.now;
    let recorded = room.node(Side::A).ask(now, 1).seal(&key());
    assert!(room.grants.hear(&room.office, &key(), now, &recorded).is_ok());
    let again = room.grants.hear(&room.office, &key(), now, &recorded);
    assert_eq!(again.unwrap_err(), Unanswered::Number);
    // The node's agent is another one; what the earlier one said changes nothing any more.
    *room.node(Side::A) = Claimant::new(Side::A, [3; 8], LENGTH, LEASE);
    room.ask(Side::A, 0);
    room.ask(Side::A, 0);
    let stale = room.grants.hear(&room.office, &key(), room.now, &recorded).unwrap();
    assert_eq!((stale.is_counted, stale.held), (false, 0));
    let too_often = room.grants.hear(&room.office, &key(), room.now, &recorded);
    assert_eq!(too_often.unwrap_err(), Unanswered::TooOften);
    room.pass(GREETING_GAP);
    assert!(room.ask_over(Side::A, 0, true).unwrap().is_counted, "the new one still counts");
}

#[test]
fn an_answer_counts_once_for_its_own_question_and_run() {
    let mut room = Room::settled();
    let now = room.now;
    let question = room.node(Side::A).ask(now, 1).seal(&key());
    let reply = room.grants.hear(&room.office, &key(), now, &question).unwrap();
    assert!(!room.node(Side::B).hear(now, &reply), "for the other");
    let mut of_a_later_run = Claimant::new(Side::A, [3; 8], LENGTH, LEASE);
    (0..200).for_each(|_| {
        of_a_later_run.ask(now, 1);
    });
    assert!(!of_a_later_run.hear(now, &reply));
    assert!(room.node(Side::A).hear(now, &reply));
    assert!(!room.node(Side::A).hear(now, &reply), "a copy");
}

#[test]
fn the_secret_is_of_the_pair_and_of_its_key() {
    let of = |pair: &str, fill: u8, len: usize| {
        let key = Key { id: 0, bytes: std::iter::repeat_n(fill, len).collect() };
        WitnessKey::new(&secret_of(pair, &key)).name()
    };
    assert_ne!(of("p", 7, 32), of("q", 7, 32));
    assert_ne!(of("p", 7, 32), of("p", 8, 32));
    assert_ne!(of("p", 7, 32), of("p", 7, 31));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_none_that_were_altered_are_authentic(
        bytes in proptest::collection::vec(any::<u8>(), 0..160), at in 0..77_usize, flip in 1..=255_u8,
    ) {
        let mut room = Room::settled();
        let now = room.now;
        prop_assert!(room.grants.hear(&room.office, &key(), now, &bytes).is_err());
        prop_assert_eq!(Reply::open(&bytes, &key()), None);
        let _ = name_in_question(&bytes);
        let mut question = room.node(Side::A).ask(now, 1).seal(&key());
        let reply = room.grants.hear(&room.office, &key(), now, &question).unwrap();
        question[at] ^= flip;
        // All but seven bits of the byte that says who asks are looked at before or by the authenticator.
        prop_assert_eq!(Question::open(&question, &key()), None);
        let mut reply = reply.seal(&key());
        reply[at % REPLY_BYTES] ^= flip;
        prop_assert_eq!(Reply::open(&reply, &key()), None);
    }
}
