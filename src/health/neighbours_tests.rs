//! Which questions make an interface cut off, and what is known after a cut.

use std::vec::Vec;

use super::*;

const PACE: Pace = Pace { every: Span::from_ms(20), patience: Span::from_ms(100), quiet: Span::from_s(30) };

fn at(ms: u64) -> Instant {
    Instant::from_us(1_000_000) + Span::from_ms(ms)
}

/// Asks whenever it is due, from `from` until `until`, and says when it became cut off.
fn ask_until(neighbours: &mut Neighbours, from: u64, until: u64, pace: Pace) -> Option<u64> {
    let mut cut_off = None;
    for ms in from..until {
        if neighbours.judge(at(ms), pace) {
            cut_off = Some(ms);
        }
        if at(ms) >= neighbours.due_at(pace) {
            neighbours.ask(at(ms));
        }
    }
    cut_off
}

/// What was asked during a cut says nothing of what is there after it.
#[test]
fn after_a_cut_it_is_soon_known_who_is_there() {
    for cut_ms in [60, 400] {
        for is_somebody_there in [true, false] {
            let mut one = Neighbours::default();
            one.heard(at(0), at(0));
            let pressing = Pace { quiet: Span::ZERO, ..PACE };
            let cut_off = ask_until(&mut one, 10, cut_ms, pressing);
            assert_eq!(cut_off.is_some(), cut_ms == 400);
            one.peer_heard(at(cut_ms));
            assert!(one.is_lonely());
            let mut questions = 0;
            for ms in cut_ms..cut_ms + 20_000 {
                if ms % 50 == 0 {
                    one.peer_heard(at(ms));
                }
                one.judge(at(ms), PACE);
                if at(ms) >= one.due_at(PACE) {
                    one.ask(at(ms));
                    questions += 1;
                    let is_news = is_somebody_there && one.heard(at(ms), at(ms));
                    assert_eq!(is_news, is_somebody_there);
                }
                let is_told = ms < cut_ms + 100 || one.is_lonely() != is_somebody_there;
                assert!(is_told, "after {} ms", ms - cut_ms);
            }
            assert!(questions <= 15, "{questions}");
        }
    }
}

#[test]
fn five_unanswered_rounds_cut_off_what_was_proven_and_nothing_else() {
    let now = Pace { quiet: Span::ZERO, ..PACE };
    let mut known = Neighbours::default();
    known.heard(at(0), at(0));
    assert_eq!(ask_until(&mut known, 10, 400, now), Some(110));
    assert_eq!(known.state(), Interface::CutOff);
    let mut unknown = Neighbours::default();
    assert_eq!(ask_until(&mut unknown, 10, 400, now), None);
    assert_eq!(unknown.state(), Interface::Unknown);
}

#[test]
fn what_was_heard_before_the_first_unanswered_question_proves_nothing() {
    let mut neighbours = Neighbours::default();
    neighbours.heard(at(0), at(0));
    neighbours.ask(at(10));
    neighbours.heard(at(15), at(9));
    assert!(neighbours.is_asking(), "it may have been heard before the question");
    neighbours.heard(at(16), at(10));
    assert!(!neighbours.is_asking());
    assert_eq!(neighbours.view(at(9)), NeighbourView::Proven);
    assert_eq!(neighbours.view(at(10)), NeighbourView::Unproven);
}

#[test]
fn an_interface_without_carrier_says_nothing() {
    let mut neighbours = Neighbours::default();
    neighbours.heard(at(0), at(0));
    assert!(ask_until(&mut neighbours, 10, 200, Pace { quiet: Span::ZERO, ..PACE }).is_some());
    neighbours.note_carrier(false);
    assert_eq!(neighbours.view(at(1)), NeighbourView::Unknown, "nobody on it can be asked");
    neighbours.note_carrier(true);
    assert_eq!(neighbours.view(at(1)), NeighbourView::CutOff, "it was so, and nobody was heard since");
}

#[test]
fn a_quiet_lan_is_asked_once_in_half_a_minute() {
    let mut neighbours = Neighbours::default();
    neighbours.heard(at(0), at(0));
    let mut asked = Vec::new();
    for ms in 0..120_000 {
        if at(ms) >= neighbours.due_at(PACE) {
            neighbours.ask(at(ms));
            neighbours.heard(at(ms), at(ms));
            asked.push(ms);
        }
    }
    assert_eq!(asked, [30_000, 60_000, 90_000]);
}

#[test]
fn cut_off_is_over_when_a_neighbour_or_the_peer_is_heard() {
    let cut_off = || {
        let mut neighbours = Neighbours::default();
        neighbours.heard(at(0), at(0));
        assert!(ask_until(&mut neighbours, 10, 200, Pace { quiet: Span::ZERO, ..PACE }).is_some());
        neighbours
    };
    let mut by_neighbour = cut_off();
    by_neighbour.heard(at(300), at(5));
    assert_eq!(by_neighbour.state(), Interface::CutOff, "that was before");
    by_neighbour.heard(at(300), at(280));
    assert_eq!((by_neighbour.state(), by_neighbour.back_at()), (Interface::Proven, Some(at(300))));
    let mut by_peer = cut_off();
    by_peer.peer_heard(at(5));
    assert_eq!(by_peer.state(), Interface::CutOff, "that was before");
    by_peer.peer_heard(at(300));
    assert_eq!((by_peer.state(), by_peer.back_at()), (Interface::Unknown, None), "it is alone there");
    by_peer.heard(at(310), at(305));
    assert_eq!(by_peer.state(), Interface::Proven);
    let after = Neighbours::succeed(at(400), cut_off().deposit());
    assert_eq!(after.state(), Interface::CutOff, "another agent does not forget it");
}

#[test]
fn a_peer_that_is_cut_off_wants_a_fresh_proof() {
    let mut neighbours = Neighbours::default();
    neighbours.heard(at(0), at(0));
    neighbours.note_peer(at(10), Interface::CutOff);
    assert_eq!(neighbours.state(), Interface::Unknown);
    neighbours.heard(at(20), at(11));
    assert_eq!(neighbours.state(), Interface::Proven);
    neighbours.note_peer(at(30), Interface::CutOff);
    assert_eq!(neighbours.state(), Interface::Proven, "it has said so before");
}

#[test]
fn a_group_goes_over_after_ten_rounds_and_a_second() {
    let mut neighbours = Neighbours::default();
    neighbours.heard(at(0), at(0));
    let slow = Pace { every: SLOWEST_ROUND, patience: Span::from_ms(500), quiet: Span::ZERO };
    ask_until(&mut neighbours, 100, 1_000, slow);
    assert_eq!(neighbours.cut_off_at(), Some(at(600)));
    assert_eq!(neighbours.hands_over_at(), None, "nine rounds");
    ask_until(&mut neighbours, 1_000, 1_001, slow);
    assert_eq!(neighbours.hands_over_at(), Some(at(1_100)));
    ask_until(&mut neighbours, 1_001, 1_300, slow);
    assert_eq!(neighbours.due_at(slow), at(1_100) + TRIES_EVERY, "from then on it is tried seldom");
}

/// Whatever has happened: where [`Neighbours::quiet_since`] names an instant, a question is due so long after
/// it as it may be quiet, and nothing is judged before.
#[test]
fn where_nothing_but_quiet_counts_the_pace_of_questions_does_not() {
    let paces = [PACE, Pace { every: Span::from_ms(5), patience: Span::from_ms(25), ..PACE }];
    let mut named = 0;
    for seed in 0..4_000_u64 {
        let (mut one, mut rest) = (Neighbours::default(), seed);
        for ms in 0..6 {
            match rest % 7 {
                0 => drop(one.heard(at(ms), at(ms))),
                1 => one.ask(at(ms)),
                2 => one.peer_heard(at(ms)),
                3 => one.note_carrier(rest % 2 == 0),
                4 => drop(one.judge(at(1_000 + ms), PACE)),
                5 => one.forget_questions(),
                _ => one.note_peer(at(ms), Interface::CutOff),
            }
            rest = rest / 7 + seed * 31;
            let Some(since) = one.quiet_since() else { continue };
            named += 1;
            for pace in paces {
                assert_eq!((one.due_at(pace), one.judged_at(pace)), (since + pace.quiet, Instant::NEVER));
            }
        }
    }
    assert!(named > 1_000, "{named} of 24,000 states");
}
