//! Any losses, delays, dead agents and restarts of the witness, in virtual time: no two nodes hold one grant,
//! and who is granted a group knows until when the other one may have had it.

use std::vec::Vec;

use proptest::bool::weighted as rarely;
use proptest::prelude::*;

use super::claimant::Claimant;
use super::tests::{LEASE, LENGTH, Room, key};
use super::wire::Reply;
use super::{GroupBits, QUIET, WAIT, group_bit};
use crate::pair::Side;
use crate::time::{Instant, Span};

/// One thing that happens, at most a quarter of a second after the one before.
#[derive(Clone, Debug)]
enum Happening {
    Ask { side: bool, claims: GroupBits, is_lost: bool, answer_is_lost: bool, slow_ms: u64 },
    GiveBack { side: bool, groups: GroupBits },
    AgentDies { side: bool },
    AgentIsReplaced { side: bool },
    WitnessRestarts,
    Quiet,
}

fn asking() -> impl Strategy<Value = Happening> {
    let of = |(side, claims, is_lost, answer_is_lost, slow_ms)| {
        // Most are fast, and some are overtaken by many others.
        let slow_ms = if slow_ms > 600 { slow_ms } else { slow_ms / 50 };
        Happening::Ask { side, claims, is_lost, answer_is_lost, slow_ms }
    };
    (any::<bool>(), 0..4_u8, rarely(0.1), rarely(0.2), 0..900_u64).prop_map(of)
}

fn happening(restarts: u32) -> impl Strategy<Value = Happening> {
    prop_oneof![
        60 => asking(),
        5 => (any::<bool>(), 1..4_u8).prop_map(|(side, groups)| Happening::GiveBack { side, groups }),
        1 => any::<bool>().prop_map(|side| Happening::AgentDies { side }),
        1 => any::<bool>().prop_map(|side| Happening::AgentIsReplaced { side }),
        restarts => Just(Happening::WitnessRestarts),
        1 => Just(Happening::Quiet),
    ]
}

/// What is on its way: when it arrives, to whom, and the bytes.
type Flight = (Instant, Option<Side>, Vec<u8>);

/// What each node was granted.
#[derive(Default)]
struct Held {
    /// By node and group: when it was last worth something to the node, and was not let go of since.
    at: [[Option<Instant>; 2]; 2],
    /// By node: when its agent was started that runs now. It takes nothing before it has listened for so long
    /// that nothing counts that was before.
    started_at: [Option<Instant>; 2],
}

impl Held {
    /// No group is granted to both. Who is granted one reckons the other's last grant of it no earlier than
    /// it was; what a witness has forgotten by a restart is over before it grants anything.
    fn check(&mut self, room: &Room) -> Result<(), TestCaseError> {
        let (now, [a, b]) = (room.now, &room.nodes);
        prop_assert_eq!(a.granted(now) & b.granted(now), 0, "both may serve at {:?}", now);
        for (side, group) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let is_granted = |side: usize| room.nodes[side].granted(now) & group_bit(group) != 0;
            if is_granted(side) {
                self.at[side][group] = Some(now);
            }
            let held_at = self.at[1 - side][group].filter(|at| now.since(*at) < WAIT);
            if let Some(held_at) =
                held_at.filter(|_| is_granted(side) && room.nodes[side].hearsay().is_some())
            {
                let reckoned = room.nodes[side].other_granted_at(group).max(self.started_at[side]);
                prop_assert!(
                    reckoned.is_some_and(|at| at + LENGTH >= held_at),
                    "held until {held_at:?}, reckoned from {reckoned:?}"
                );
            }
        }
        Ok(())
    }
}

/// Runs a schedule, and returns whether anything was granted.
fn play(happenings: &[(u64, Happening)], quiet: Span) -> Result<bool, TestCaseError> {
    let (mut room, mut held) = (Room::settled(), Held::default());
    let (mut flights, mut runs, mut was_granted): (Vec<Flight>, u8, bool) = (Vec::new(), 100, false);
    for (after_ms, happening) in happenings {
        let until = room.now + Span::from_ms(*after_ms);
        while let Some(next) = (0..flights.len()).min_by_key(|at| flights[*at].0) {
            if flights[next].0 > until {
                break;
            }
            let (at, to, bytes) = flights.remove(next);
            room.now = room.now.max(at);
            let now = room.now;
            match to {
                Some(side) => {
                    Reply::open(&bytes, &key()).map(|reply| room.node(side).hear(now, &reply));
                }
                None => {
                    if let Ok(reply) = room.grants.hear(&room.office, &key(), now, &bytes) {
                        let slow = Span::from_us(u64::from(bytes[26]) * 1_000 % 7_000 + 500);
                        flights.push((now + slow, Some(reply.receiver), reply.seal(&key()).to_vec()));
                    }
                }
            }
            held.check(&room)?;
            was_granted |= room.nodes[0].granted(now) != 0;
        }
        room.now = until;
        held.check(&room)?;
        let (now, side_of) = (room.now, |side: &bool| if *side { Side::B } else { Side::A });
        match happening {
            Happening::Ask { side, claims, is_lost, answer_is_lost, slow_ms } => {
                let bytes = room.node(side_of(side)).ask(now, *claims).seal(&key()).to_vec();
                let at = now + Span::from_ms(*slow_ms) + Span::from_us(300);
                if !is_lost && *answer_is_lost {
                    room.now = now;
                    let _ = room.grants.hear(&room.office, &key(), now, &bytes);
                } else if !is_lost {
                    flights.push((at, None, bytes));
                }
            }
            Happening::GiveBack { side, groups } => {
                // The kernel has confirmed it.
                room.node(side_of(side)).give_back(*groups);
                for (group, at) in held.at[side_of(side).index()].iter_mut().enumerate() {
                    *at = at.filter(|_| groups & group_bit(group) == 0);
                }
            }
            Happening::AgentDies { side } => {
                runs += 1;
                held.started_at[side_of(side).index()] = Some(now);
                *room.node(side_of(side)) = Claimant::new(side_of(side), [runs; 8], LENGTH, LEASE);
            }
            Happening::AgentIsReplaced { side } => {
                runs += 1;
                held.started_at[side_of(side).index()] = Some(now);
                let node = room.node(side_of(side));
                let granted_until: Vec<_> = (0..2).map(|group| node.granted_until(group)).collect();
                let mut next = Claimant::new(side_of(side), [runs; 8], LENGTH, LEASE);
                next.succeed(&granted_until, node.sealed());
                *node = next;
            }
            Happening::WitnessRestarts => room.restart(),
            Happening::Quiet => room.pass(quiet),
        }
    }
    Ok(was_granted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn two_nodes_never_hold_one_grant_whatever_is_lost_or_late(
        happenings in proptest::collection::vec((0..250_u64, happening(0)), 1..400),
    ) {
        play(&happenings, QUIET)?;
    }

    /// Without a grant that stands: what a restart makes of those is said in the head of this folder.
    #[test]
    fn two_nodes_never_hold_one_grant_across_restarts_of_the_witness(
        happenings in proptest::collection::vec((0..250_u64, happening(1)), 1..400),
    ) {
        play(&happenings, LENGTH)?;
    }
}
