//! How long it counts where the peer is said to live.

use crosswire::time::Span;

use super::*;

const PEER: Mac = [2, 0, 0, 0, 0, 2];
const OTHER: Mac = [2, 0, 0, 0, 0, 3];

fn at(s: u64) -> Instant {
    Instant::from_us(1_000_000) + Span::from_s(s)
}

/// The peer said where it lives in every minute of ten.
fn met() -> Claims {
    let mut claims = Claims::new();
    (0..=10).for_each(|minute| claims.note(at(60 * minute), 0, PEER, false));
    claims
}

/// Who counts as the peer on the interface when what is old has lapsed.
fn peers(claims: &mut Claims, now: Instant) -> Vec<Mac> {
    (0..MAX_CLAIMS).for_each(|_| claims.lapse(now));
    [PEER, OTHER].into_iter().filter(|mac| claims.is_peer(0, *mac)).collect()
}

#[test]
fn what_was_said_once_lapses_although_the_peer_is_dead() {
    let mut claims = met();
    claims.note(at(650), 0, OTHER, false);
    assert_eq!(peers(&mut claims, at(651)), [PEER, OTHER], "it may be the peer");
    assert_eq!(peers(&mut claims, at(799)), [PEER, OTHER]);
    assert_eq!(peers(&mut claims, at(800)), [PEER]);
    assert_eq!(peers(&mut claims, at(90_000)), [PEER], "and the peer stays known");
}

#[test]
fn a_lie_that_comes_before_the_peer_was_heard_lapses() {
    let mut claims = Claims::new();
    claims.note(at(0), 0, OTHER, false);
    claims.note(at(10), 0, PEER, true);
    claims.note(at(70), 0, PEER, true);
    assert_eq!(peers(&mut claims, at(70)), [PEER, OTHER], "one lie makes no third party of the peer");
    assert_eq!(peers(&mut claims, at(150)), [PEER]);
}

#[test]
fn a_third_party_that_is_claimed_to_be_the_peer_stays_one() {
    let mut claims = met();
    for s in [650, 660, 790] {
        claims.note(at(s), 0, OTHER, true);
        assert_eq!(peers(&mut claims, at(s)), [PEER], "after {s} s");
    }
    assert_eq!(peers(&mut claims, at(2_000)), [PEER]);
    claims.note(at(2_001), 1, OTHER, false);
    assert!(!claims.is_peer(0, OTHER), "what is said on another interface counts there");
}

/// The peer has said it once; a liar says its own twice, and the peer is heard again.
#[test]
fn a_third_party_is_not_lost_to_a_lie_that_comes_right_after_the_first_word_of_the_peer() {
    let mut claims = Claims::new();
    claims.note(at(0), 0, PEER, false);
    claims.note(at(2), 0, OTHER, true);
    assert_eq!(peers(&mut claims, at(2)), [PEER]);
    claims.note(at(4), 0, OTHER, true);
    assert_eq!(peers(&mut claims, at(4)), [PEER, OTHER], "said again, and nothing else was");
    claims.note(at(30), 0, PEER, false);
    assert_eq!(peers(&mut claims, at(30)), [PEER]);
}

#[test]
fn a_box_that_answers_from_two_cards_is_the_peer_with_both() {
    let mut claims = Claims::new();
    claims.note(at(0), 0, PEER, false);
    claims.note(at(0), 0, OTHER, true);
    assert_eq!(peers(&mut claims, at(1)), [PEER, OTHER]);
}

#[test]
fn a_peer_with_another_network_card_is_known_by_that_one_in_the_end() {
    for is_doubted in [false, true] {
        let mut claims = met();
        for minute in 11..=16 {
            claims.note(at(60 * minute), 0, OTHER, is_doubted);
            claims.lapse(at(60 * minute));
        }
        assert_eq!(peers(&mut claims, at(970)), [OTHER], "doubted: {is_doubted}");
        assert_eq!(peers(&mut claims, at(90_000)), [OTHER], "doubted: {is_doubted}");
    }
}

#[test]
fn no_flood_of_lies_drives_the_peer_out() {
    let mut claims = met();
    (0..=255).for_each(|number| claims.note(at(650), 0, [2, 1, 1, 1, 1, number], false));
    assert_eq!(peers(&mut claims, at(650)), [PEER]);
    assert_eq!(claims.0.len(), MAX_CLAIMS);
}
