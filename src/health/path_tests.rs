//! What a path has heard, and what its silence says.

use super::*;
use crate::config::Speed;

fn at(ms: u64) -> Instant {
    Instant::from_us(1_000_000) + Span::from_ms(ms)
}

/// 250 ms / 750 ms / 1.5 s, cold start 60 s, opened at 0.
fn detector(kind: PathKind) -> Detector {
    let mut detector = Detector::new(kind, Speed::Normal.timing(), Span::from_s(60), at(0));
    detector.become_open(at(0));
    detector
}

#[test]
fn only_a_path_that_heard_the_peer_is_broken_for_a_short_time() {
    let mut path = detector(PathKind::Lan);
    assert!(!path.is_broken_briefly(at(60_001)), "it never worked");
    path.hear(at(60_000), at(60_000));
    assert!(path.is_broken_briefly(at(61_501)));
    assert!(!path.is_broken_briefly(at(66_500)));
    path.become_open(at(67_000));
    assert!(!path.is_broken_briefly(at(70_000)), "not since it was opened again");
}

#[test]
fn a_path_ages_from_on_time_to_silent() {
    let mut path = detector(PathKind::Lan);
    assert_eq!(path.state(at(59_999), None), PathState::Unproven);
    assert_eq!(path.state(at(60_000), None), PathState::Silent, "after cold_start it counts as silent");
    path.hear(at(60_000), at(60_000));
    assert_eq!(path.state(at(60_749), None), PathState::OnTime);
    assert_eq!(path.state(at(60_750), None), PathState::Late);
    assert_eq!(path.state(at(61_499), None), PathState::Late);
    assert_eq!(path.state(at(61_500), None), PathState::Silent);
}

#[test]
fn silence_that_another_path_outlived_is_a_broken_path_until_it_hears_again() {
    let mut path = detector(PathKind::Serial);
    path.hear(at(0), at(0));
    assert_eq!(path.state(at(2_000), Some(at(1_500))), PathState::Silent, "heard as this one fell silent");
    assert_eq!(path.state(at(2_000), Some(at(1_501))), PathState::Broken);
    assert_eq!(
        path.state(at(99_000), Some(at(1_501))),
        PathState::Broken,
        "and stays so when both are silent"
    );
    path.hear(at(99_000), at(99_000));
    assert_eq!(path.state(at(99_000), Some(at(1_501))), PathState::OnTime);
}

/// Whatever is done to our own end of it: what is broken may be the other one, or a switch between.
#[test]
fn a_broken_path_that_is_opened_again_stays_broken_until_it_hears() {
    let mut path = detector(PathKind::Lan);
    path.hear(at(0), at(0));
    path.become_blind();
    path.become_open(at(6_000));
    assert_eq!(path.state(at(7_499), Some(at(6_100))), PathState::Unproven, "its own window");
    assert_eq!(path.state(at(7_500), Some(at(6_100))), PathState::Broken, "heard elsewhere meanwhile");
    assert_eq!(path.state(at(7_500), Some(at(1_500))), PathState::Silent, "nobody heard any more");
    path.hear(at(8_000), at(8_000));
    assert_eq!(path.state(at(9_500), Some(at(8_100))), PathState::Silent, "proven again");
}

#[test]
fn a_path_that_was_dark_from_the_start_is_broken_until_it_hears() {
    let mut path = Detector::new(PathKind::Lan, Speed::Normal.timing(), Span::from_s(60), at(0));
    path.become_open(at(90_000));
    assert_eq!(path.state(at(149_999), Some(at(90_100))), PathState::Unproven);
    assert_eq!(path.state(at(150_000), Some(at(90_100))), PathState::Broken);
    assert_eq!(path.state(at(150_000), None), PathState::Silent, "nobody was ever heard");
}

/// What another agent left says nothing of when its path was first watched.
#[test]
fn a_path_that_no_agent_has_heard_is_broken_once_another_has_heard() {
    let mut path = Detector::new(PathKind::Lan, Speed::Normal.timing(), Span::from_s(60), at(100_000));
    path.succeed(at(100_000), &PathDeposit { open_since: Some(at(99_000)), ..PathDeposit::default() });
    assert_eq!(path.state(at(159_000), Some(at(100_100))), PathState::Broken);
}

#[test]
fn a_path_on_which_beats_are_held_back_falls_silent_with_the_others_and_breaks_none_of_them() {
    let (mut cable, mut lan) = (detector(PathKind::Serial), detector(PathKind::Lan));
    for ms in (0..4_000).step_by(250) {
        cable.hear(at(ms), at(ms));
        if ms >= 2_000 {
            lan.hear(at(ms), at(ms - 2_000));
        }
    }
    assert_eq!(lan.state(at(3_750), cable.heard_at()), PathState::Broken, "no path, while the peer lives");
    assert_eq!(lan.quality.lag, Span::from_ms(2_000));
    for ms in (4_000..6_000).step_by(250) {
        lan.hear(at(ms), at(ms - 2_000));
    }
    assert_eq!(cable.state(at(6_000), lan.heard_at()), PathState::Silent, "nothing has outlived it");
}

#[test]
fn a_path_that_never_heard_the_peer_while_another_did_is_broken_and_not_silent() {
    let path = detector(PathKind::Lan);
    assert_eq!(path.state(at(60_000), Some(at(1_500))), PathState::Silent, "both fell silent together");
    assert_eq!(path.state(at(59_999), Some(at(1_501))), PathState::Unproven);
    assert_eq!(path.state(at(60_000), Some(at(1_501))), PathState::Broken);
}

#[test]
fn noise_proves_nothing_and_frames_among_it_make_it_harmless() {
    let mut path = detector(PathKind::Serial);
    path.hear(at(0), at(0));
    path.refuse(at(3_000), Reading::Noise);
    assert_eq!(path.state(at(3_000), None), PathState::Noisy);
    assert_eq!(path.state(at(4_500), None), PathState::Silent, "ends dead_after later");
    path.refuse(at(5_000), Reading::Noise);
    path.refuse(at(5_000), Reading::Echo);
    assert_eq!(path.state(at(5_000), None), PathState::Silent, "our own echo is neither noise nor a peer");
    assert!(path.is_looped(at(5_000)));
}

#[test]
fn a_stranger_on_the_cable_is_somebody_and_on_the_lan_nobody() {
    let mut serial = detector(PathKind::Serial);
    serial.refuse(at(100), Reading::Stranger);
    assert_eq!(serial.state(at(1_599), None), PathState::Refused);
    assert_eq!(serial.state(at(1_600), None), PathState::Unproven);
    let mut lan = detector(PathKind::Lan);
    lan.refuse(at(100), Reading::Stranger);
    assert_eq!(lan.state(at(100), None), PathState::Unproven);
}

#[test]
fn a_drop_cuts_the_beats_short_until_the_peer_is_heard_anywhere() {
    let lines = |peer_runs| Some(Lines { peer_runs, peer_holds: true });
    let mut path = detector(PathKind::Serial);
    for ms in (0..=2_000).step_by(250) {
        path.note_lines(at(ms), lines(true));
        path.hear(at(ms), at(ms));
    }
    path.note_lines(at(2_100), lines(false));
    assert!(path.is_cut_short(None));
    assert!(path.is_cut_short(Some(at(2_400))), "its rails fell 300 ms apart");
    assert!(!path.is_cut_short(Some(at(2_401))), "a cable that was pulled");
}

#[test]
fn blindness_is_our_own_and_leaving_it_starts_a_fresh_window() {
    let mut path = detector(PathKind::Serial);
    path.hear(at(0), at(0));
    path.become_blind();
    assert_eq!(path.state(at(5_000), None), PathState::Blind);
    path.become_open(at(5_000));
    assert_eq!(path.state(at(5_000), None), PathState::Unproven);
    assert_eq!(path.state(at(6_500), None), PathState::Silent);
}

#[test]
fn a_stall_of_our_own_is_not_the_peers_silence() {
    let mut path = detector(PathKind::Lan);
    path.hear(at(0), at(0));
    path.shift(Span::from_ms(5_000));
    assert_eq!(path.state(at(5_100), None), PathState::OnTime);
}
