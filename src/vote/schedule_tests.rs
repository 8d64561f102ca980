//! Any losses, delays, dead agents and restarts of the witness, in virtual time: no two nodes hold one grant.

use std::vec::Vec;

use proptest::bool::weighted as rarely;
use proptest::prelude::*;

use super::claimant::Claimant;
use super::tests::{LEASE, LENGTH, Room, key};
use super::wire::Reply;
use super::{GroupBits, QUIET};
use crate::pair::Side;
use crate::time::{Instant, Span};

/// One thing that happens, at most a quarter of a second after the one before.
#[derive(Clone, Debug)]
enum Happening {
    Ask { side: bool, claims: GroupBits, is_lost: bool, answer_is_lost: bool, slow_ms: u64 },
    GiveBack { side: bool, groups: GroupBits },
    AgentDies { side: bool },
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
        restarts => Just(Happening::WitnessRestarts),
        1 => Just(Happening::Quiet),
    ]
}

/// What is on its way: when it arrives, to whom, and the bytes.
type Flight = (Instant, Option<Side>, Vec<u8>);

/// Runs a schedule, and returns whether anything was granted.
fn play(happenings: &[(u64, Happening)], quiet: Span) -> Result<bool, TestCaseError> {
    let mut room = Room::settled();
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
            let both = room.nodes[0].granted(now) & room.nodes[1].granted(now);
            prop_assert_eq!(both, 0, "both may serve at {:?}", now);
            was_granted |= room.nodes[0].granted(now) != 0;
        }
        room.now = until;
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
            Happening::GiveBack { side, groups } => room.node(side_of(side)).give_back(*groups),
            Happening::AgentDies { side } => {
                runs += 1;
                *room.node(side_of(side)) = Claimant::new(side_of(side), [runs; 8], LENGTH, LEASE);
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
