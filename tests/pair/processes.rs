//! Rows 2 to 5: the processes of a node die or stop, its kernel and its links live.

use std::thread;

use crosswire::config::Side;
use crosswire::time::{Instant, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::clock::now;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

/// Kernel lifetime of the address (1 s) and what the rules allow it to slip (section 7).
const LIFETIME_BOUND_MS: u64 = 2_100;

/// From the last beat, or the first word of trouble, until a peer whose box still answers is believed to hold nothing: interval,
/// lease, slip and 1 %.
const CERTAIN: Span = Span::from_ms(2_222);

/// gw1 lost its daemon at `since`: its address is gone in time; gw2 serves 300 ms later, or `certain` after `since` where it
/// could not see the address go; and they never both did.
fn assert_peer_takes_what_the_kernel_let_go(row: &str, scene: &Scene, since: Instant, certain: Span) {
    let (held, served) = scene.wait_for_service_by(Side::B);
    let gone = scene.holds()[0].until.expect("gw1 holds it no more");
    println!("{row}: address gone after {}, peer serves {} later", gone.since(since), served.since(gone));
    assert!(gone.since(since).as_ms() <= LIFETIME_BOUND_MS, "the address stayed for {}", gone.since(since));
    let limit = gone.max(since + certain) + at_most(300);
    assert!(served <= limit, "the client waited for {} more", served.since(gone));
    assert!(held >= gone);
    scene.assert_never_both();
}

/// Fault: kill -9 of guard and agent of the active node.
/// Required: the kernel drops the address when its lifetime ends; the peer serves 300 ms after that at the latest, but not before
/// dead_after; overlap 0.
#[test]
fn row_3_kill_of_guard_and_agent_of_the_active() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let killed = now();
        scene.kill(Side::A).expect("both die");
        assert_peer_takes_what_the_kernel_let_go("row 3", &scene, killed, Span::ZERO);
        let taken = scene.holds()[1].from;
        assert!(taken.since(killed) >= Span::from_ms(400), "taken before dead_after had passed since the last beat");
    });
}

/// Fault: kill -9 of the guard alone.
/// Required: as row 3; the agent says that it cannot serve, and ends.
#[test]
fn row_3_kill_of_the_guard_alone() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let guard = scene.guard(Side::A).expect("a guard");
        let killed = now();
        kill(guard, Signal::SIGKILL).expect("it lives");
        assert_peer_takes_what_the_kernel_let_go("row 3, guard", &scene, killed, CERTAIN);
        assert!(scene.log_of(Side::A).contains("the guard is gone: this node cannot serve"));
        scene.expect_soon("the end of the agent", PATIENCE, |scene| {
            scene.processes(Side::A).is_ok_and(|left| left.is_empty())
        });
    });
}

/// Fault: kill -9 of the agent of the active node.
/// Required of this version: the guard lets everything go at once and exits non-zero; the peer serves; overlap 0.
#[test]
fn row_2_kill_of_the_agent_of_the_active() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let agent = scene.agent(Side::A).expect("an agent");
        let killed = now();
        kill(agent, Signal::SIGKILL).expect("it lives");
        assert_peer_takes_what_the_kernel_let_go("row 2", &scene, killed, CERTAIN);
        let gone = scene.holds()[0].until.expect("gone");
        assert!(gone.since(killed) <= at_most(100), "the guard took {} to let go", gone.since(killed));
        let ended = scene.process(Side::A).expect("it was started").wait_for_end(PATIENCE).expect("the guard ends");
        assert_eq!(ended.code(), Some(1));
        assert!(scene.processes(Side::A).expect("/proc").is_empty());
    });
}

/// Fault: SIGSTOP of guard and agent of the active node; SIGCONT when the peer has served for a while.
/// Required: as row 3, and nothing is taken back on waking.
#[test]
fn row_4_both_stopped_and_woken() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let stopped = now();
        scene.signal_all(Side::A, Signal::SIGSTOP).expect("both stop");
        assert_peer_takes_what_the_kernel_let_go("row 4", &scene, stopped, Span::ZERO);
        thread::sleep(ms(1_000));
        let woken = now();
        scene.signal_all(Side::A, Signal::SIGCONT).expect("both go on");
        thread::sleep(ms(1_500));
        assert_eq!(scene.holds().len(), 2, "nothing is taken back: {:?}", scene.holds());
        scene.assert_outage_below(at_most(50), woken);
        scene.assert_never_both();
    });
}

/// Fault: SIGSTOP of the agent alone, or of the guard alone, of the active node; SIGCONT when the peer serves.
/// Required: no overlap, and somebody serves at the end.
fn one_process_stops(row: &str, find: impl FnOnce(&mut Scene) -> Pid, certain: Span) {
    let mut scene = Scene::serving();
    let pid = find(&mut scene);
    let stopped = now();
    kill(pid, Signal::SIGSTOP).expect("it lives");
    assert_peer_takes_what_the_kernel_let_go(row, &scene, stopped, certain);
    thread::sleep(ms(1_000));
    // ESRCH: its companion has killed it.
    let _ = kill(pid, Signal::SIGCONT);
    thread::sleep(ms(1_000));
    assert_eq!(scene.holds().len(), 2, "nothing is taken back: {:?}", scene.holds());
    scene.assert_never_both();
}

/// See [`one_process_stops`].
#[test]
fn row_4_agent_stopped() {
    testing::in_fair_lab(|| {
        one_process_stops("row 4, agent", |scene| scene.agent(Side::A).expect("an agent"), Span::ZERO);
    });
}

/// See [`one_process_stops`].
#[test]
fn row_4_guard_stopped() {
    testing::in_fair_lab(|| {
        // The agent notices when a lease has lapsed unconfirmed.
        let certain = Span::from_ms(1_100) + CERTAIN;
        one_process_stops("row 4, guard", |scene| scene.guard(Side::A).expect("a guard"), certain);
    });
}

/// Fault: the standby is stopped for 3 s, with good frames in its buffers.
/// Required: no takeover on waking.
#[test]
fn row_5_standby_stopped_and_woken() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let stopped = now();
        scene.signal_all(Side::B, Signal::SIGSTOP).expect("both stop");
        thread::sleep(ms(3_000));
        scene.signal_all(Side::B, Signal::SIGCONT).expect("both go on");
        thread::sleep(ms(500));
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, stopped);
    });
}
