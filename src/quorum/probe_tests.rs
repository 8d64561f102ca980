//! What answers and silence on the wire show.

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
        probe.vip_answered(at(query + 1), None);
        sent(&mut probe, query + 2);
        assert_eq!(finding(&probe, query + 110), Finding::VipAnswers, "the next query is late");
    }
}

#[test]
fn an_answer_spoils_every_query_before_it() {
    let mut probe = Probe::default();
    sent(&mut probe, 0);
    probe.vip_answered(at(50), None);
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
    probe.vip_answered(at(50), None);
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

const LAN: PathId = PathId(1);

/// A question at that time, and who answers it 1 ms later.
fn asked(probe: &mut Probe, ms: u64, does_vip: bool, does_peer: bool) {
    probe.ask(at(ms), Token(1));
    if does_vip {
        probe.vip_answered(at(ms + 1), Some((0, LAN)));
    }
    sent(probe, ms);
    if does_peer {
        probe.peer_answered(at(ms + 1), Some(LAN));
    }
}

#[test]
fn a_vip_that_was_seen_to_go_is_told_from_one_that_was_never_seen() {
    for (is_seen, expected) in [(true, Finding::VipLetGo), (false, Finding::PeerAnswers)] {
        let mut probe = Probe::default();
        probe.watch(Some(at(0)), 1);
        asked(&mut probe, 100, is_seen, true);
        for ms in (200..=400).step_by(100) {
            asked(&mut probe, ms, false, true);
            assert_ne!(finding(&probe, ms + 2), Finding::VipLetGo, "{ms}");
        }
        asked(&mut probe, 500, false, true);
        assert_eq!(finding(&probe, 502), expected);
        asked(&mut probe, 600, false, false);
        assert_eq!(finding(&probe, 602), expected, "what is gone stays gone");
        probe.vip_answered(at(610), None);
        assert_eq!(finding(&probe, 611), Finding::VipAnswers);
    }
}

#[test]
fn the_next_question_follows_soon_where_the_vip_seems_to_be_gone() {
    let mut probe = Probe::default();
    probe.watch(Some(at(0)), 1);
    asked(&mut probe, 100, true, true);
    assert_eq!(probe.due_at(INTERVAL, WAIT), at(200));
    for ms in [200, 220, 240] {
        asked(&mut probe, ms, false, true);
        assert_eq!(probe.due_at(INTERVAL, WAIT), at(ms + 20));
    }
    asked(&mut probe, 260, false, true);
    assert_eq!(finding(&probe, 262), Finding::VipLetGo);
    assert_eq!(probe.due_at(INTERVAL, WAIT), at(360));
}

#[test]
fn what_was_found_of_a_vip_is_void_if_a_question_could_not_leave_or_the_lan_was_cut() {
    let fail = |probe: &mut Probe| {
        probe.fail(Fault::Kernel(105));
    };
    for spoil in [fail as fn(&mut Probe), Probe::doubt, Probe::reset] {
        let mut probe = Probe::default();
        probe.watch(Some(at(0)), 1);
        for ms in (100..=500).step_by(100) {
            asked(&mut probe, ms, ms == 100, true);
        }
        assert_eq!(finding(&probe, 502), Finding::VipLetGo);
        spoil(&mut probe);
        asked(&mut probe, 600, false, true);
        assert_ne!(finding(&probe, 602), Finding::VipLetGo);
    }
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
    probe.peer_answered(at(1), None);
    probe.vip_answered(at(2), None);
    sent(&mut probe, 0);
    probe.peer_answered(at(100), None);
    assert_eq!(finding(&probe, 105), Finding::VipAnswers, "not let go: the VIP's answer may be on its way");
    sent(&mut probe, 100);
    assert_eq!(finding(&probe, 199), Finding::VipAnswers);
}

#[test]
fn an_answer_to_what_was_asked_before_the_last_frame_says_no_more_than_the_frame() {
    for (heard, expected) in [(5, Finding::Clear), (0, Finding::PeerAnswers)] {
        let mut probe = Probe::default();
        probe.ask(at(3), Token(1));
        sent(&mut probe, 4);
        probe.vip_answered(at(6), None);
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

#[test]
fn an_answer_that_has_aged_counts_again_when_the_lines_are_back() {
    let mut probe = Probe::default();
    let aging = Aging { early: at(300), lasts: Span::from_ms(150) };
    probe.vip_answered(at(50), None);
    for query in [100, 200] {
        sent(&mut probe, query);
    }
    assert_eq!(finding(&probe, 300), Finding::PeerAnswers, "silence after an answer may be a cut LAN");
    probe.age(Some(aging));
    assert_eq!(finding(&probe, 300), Finding::Clear, "the box had power then");
    probe.age(None);
    assert_eq!(finding(&probe, 300), Finding::PeerAnswers, "its lines did not drop with its power");
}
