//! Rows 2 to 5: the processes of a node die or stop, its kernel and its links live.

use std::thread;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::lab::clock::now;
use crate::lab::setup::Setup;
use crate::lab::testing;
use crate::scene::{PATIENCE, Scene, at_most, ms};

/// What the rules allow the kernel lifetime of an address to slip (section 7).
const LIFETIME_SLIP_MS: u64 = 1_100;

/// From the last beat until a peer whose box still answers is believed to hold nothing: dead_after,
/// lease, slip and 1 %.
const CERTAIN: Span = Span::from_ms(2_626);

/// gw1 lost its daemon at `since`: its address is gone in time; gw2 serves three intervals later, or
/// `certain` after `since` where it could not see the address go; and they never both did.
pub fn assert_peer_takes_what_the_kernel_let_go(row: &str, scene: &Scene, since: Instant, certain: Span) {
    let (held, served) = scene.wait_for_service_by(Side::B);
    let gone = scene.holds()[0].until.expect("gw1 holds it no more");
    println!("{row}: address gone after {}, peer serves {} later", gone.since(since), served.since(gone));
    let lifetime_ms = u64::from(scene.setup().lease_ms) + LIFETIME_SLIP_MS;
    assert!(gone.since(since).as_ms() <= lifetime_ms, "the address stayed for {}", gone.since(since));
    let limit = gone.max(since + certain) + at_most(u64::from(3 * scene.setup().interval_ms));
    assert!(served <= limit, "the client waited for {} more", served.since(gone));
    assert!(held >= gone);
    scene.assert_never_both();
}

/// Fault: kill -9 of guard and agent of the active node. Required: the kernel drops the address when its
/// lifetime ends; the peer serves three intervals after that at the latest, but not before dead_after;
/// overlap 0.
#[test]
fn row_3_kill_of_guard_and_agent_of_the_active() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let killed = now();
        scene.kill(Side::A).expect("both die");
        assert_peer_takes_what_the_kernel_let_go("row 3", &scene, killed, Span::ZERO);
        let taken = scene.holds()[1].from;
        assert!(
            taken.since(killed) >= Span::from_ms(400),
            "taken before dead_after had passed since the last beat"
        );
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

/// One node's agent was lost at `since`: another one has its place, and is on time on both paths `within_ms`
/// later, before the allowance; nothing moved, and the address was never gone.
fn assert_another_goes_on(
    row: &str,
    scene: &mut Scene,
    side: Side,
    lost: Pid,
    since: Instant,
    within_ms: u64,
) {
    let back = scene.expect_soon("another agent, on time", PATIENCE, |scene| {
        let is_new = scene
            .try_status(side)
            .is_some_and(|s| s["up_ms"].as_u64().is_some_and(|up| up < now().since(since).as_ms()));
        is_new && scene.is_at_rest(Side::A, "active") && scene.is_at_rest(Side::B, "backup")
    });
    println!("{row}: another agent on time after {}", back.since(since));
    assert!(back.since(since) <= at_most(within_ms) + COMMANDS, "it took {}", back.since(since));
    assert!(kill(lost, None).is_err(), "the lost agent is gone, and reaped");
    thread::sleep(ms(1_500));
    scene.assert_nothing_moved(Side::A, since);
    scene.assert_never_both();
    let takings = [Side::A, Side::B].map(|side| scene.log_of(side).matches(TAKING).count());
    assert_eq!(takings, [1, 0], "gw1 took the group at the start, and the peer stayed what it was");
    assert!(scene.log_of(side).contains("another one goes on in its place"));
}

/// How a log says that its node changes from standby to active.
const TAKING: &str = "taking it as term";

/// What it takes to ask both daemons how they are, again and again, on a busy machine.
const COMMANDS: Span = Span::from_s(2);

/// Fault: kill -9 of the agent of the active node, and later of the standby.
/// Required: no move, the address never gone; another agent back and on time within 300 ms.
#[test]
fn row_2_kill_of_an_agent() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        for side in [Side::A, Side::B] {
            let agent = scene.agent(side).expect("an agent");
            let killed = now();
            kill(agent, Signal::SIGKILL).expect("it lives");
            assert_another_goes_on("row 2", &mut scene, side, agent, killed, 300);
        }
    });
}

/// Fault: the agent of the active node is killed three times within a minute. Required: the third time the
/// node lets go of everything, the peer serves, and an agent comes back that holds nothing.
#[test]
fn row_2_an_agent_that_dies_again_and_again() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        for _ in 0..2 {
            let agent = scene.agent(Side::A).expect("an agent");
            let killed = now();
            kill(agent, Signal::SIGKILL).expect("it lives");
            assert_another_goes_on("row 2, again", &mut scene, Side::A, agent, killed, 300);
        }
        let agent = scene.agent(Side::A).expect("an agent");
        let killed = now();
        kill(agent, Signal::SIGKILL).expect("it lives");
        assert_peer_takes_what_the_kernel_let_go("row 2, third death", &scene, killed, CERTAIN);
        scene.settle(Side::B);
    });
}

/// How long row 4 stops both, and row 5 the standby.
const STOPPED_MS: u64 = 10_000;
const STALLED_MS: u64 = 20_000;

/// Waits until so much has passed since an instant.
pub fn sleep_until_ms(since: Instant, passed_ms: u64) {
    thread::sleep(ms(passed_ms.saturating_sub(now().since(since).as_ms())));
}

/// Fault: SIGSTOP of guard and agent of the active node for 10 s; then SIGCONT.
/// Required: as row 3, and nothing is taken back on waking.
#[test]
fn row_4_both_stopped_and_woken() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let stopped = now();
        scene.signal_all(Side::A, Signal::SIGSTOP).expect("both stop");
        assert_peer_takes_what_the_kernel_let_go("row 4", &scene, stopped, Span::ZERO);
        sleep_until_ms(stopped, STOPPED_MS);
        let woken = now();
        scene.signal_all(Side::A, Signal::SIGCONT).expect("both go on");
        thread::sleep(ms(1_500));
        assert_eq!(scene.holds().len(), 2, "nothing is taken back: {:?}", scene.holds());
        scene.assert_outage_below(at_most(50), woken);
        scene.assert_never_both();
    });
}

/// Fault: SIGSTOP of the agent of the active node, and later of the standby.
/// Required: as row 2, reckoned from late_after.
#[test]
fn row_4_agent_stopped() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        for side in [Side::A, Side::B] {
            let agent = scene.agent(side).expect("an agent");
            let stopped = now();
            kill(agent, Signal::SIGSTOP).expect("it lives");
            assert_another_goes_on("row 4, agent", &mut scene, side, agent, stopped, 600);
        }
    });
}

/// Fault: SIGSTOP of the guard of the active node for 10 s; then SIGCONT.
/// Required: as row 3, and nothing is taken back on waking.
#[test]
fn row_4_guard_stopped() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let pid = scene.guard(Side::A).expect("a guard");
        let stopped = now();
        kill(pid, Signal::SIGSTOP).expect("it lives");
        // The agent notices after late_after, and says so with its next beat.
        let certain = Span::from_ms(500) + CERTAIN;
        assert_peer_takes_what_the_kernel_let_go("row 4, guard", &scene, stopped, certain);
        sleep_until_ms(stopped, STOPPED_MS);
        let woken = now();
        kill(pid, Signal::SIGCONT).expect("it lives");
        thread::sleep(ms(1_500));
        assert_eq!(scene.holds().len(), 2, "nothing is taken back: {:?}", scene.holds());
        scene.assert_outage_below(at_most(50), woken);
        scene.assert_never_both();
    });
}

/// Both nodes say within late_after (and two intervals, for what wakes nobody) that this one cannot serve.
fn expect_both_say_that_it_cannot_serve(scene: &Scene, side: Side, since: Instant) {
    let trouble = "its guard does not answer";
    let limit = at_most(500);
    for (teller, place) in [(side, "/trouble"), (side.peer(), "/peer/trouble")] {
        let is_said = |scene: &Scene| {
            scene
                .try_status(teller)
                .is_some_and(|status| status.pointer(place).is_some_and(|said| said == trouble))
        };
        let said = scene.expect_soon("it is said", PATIENCE, is_said);
        println!("{teller:?} says so {} after the stop", said.since(since));
        assert!(said.since(since) <= limit, "{teller:?}: {}", said.since(since));
        assert!(scene.log_of(teller).contains("cannot serve"), "{}", scene.log_of(teller));
    }
}

/// Fault: SIGSTOP of the guard of the backup; then the active node loses power; then SIGCONT. Required: that
/// redundancy is lost is said by both within late_after of the stop, and nothing moves; on waking it serves.
#[test]
fn row_31_guard_of_the_backup_stopped() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving();
        let guard = scene.guard(Side::B).expect("a guard");
        let stopped = now();
        kill(guard, Signal::SIGSTOP).expect("it lives");
        expect_both_say_that_it_cannot_serve(&scene, Side::B, stopped);
        thread::sleep(ms(2_000));
        scene.assert_nothing_moved(Side::A, stopped);
        scene.power_cut(Side::A).expect("the power is cut");
        thread::sleep(ms(2_000));
        assert_eq!(scene.holder().expect("known"), None);
        let woken = now();
        kill(guard, Signal::SIGCONT).expect("it lives");
        let (_, served) = scene.wait_for_service_by(Side::B);
        println!("row 31: served {} after waking", served.since(woken));
        assert!(served.since(woken) <= at_most(1_000), "{}", served.since(woken));
        scene.assert_never_both();
    });
}

/// Fault: SIGSTOP of the guard of the active node for less than a lease, then SIGCONT.
/// Required: said by both within late_after, and taken back; nothing moves.
#[test]
fn row_31_guard_of_the_active_node_stopped_for_less_than_a_lease() {
    testing::in_fair_lab(|| {
        let mut scene = Scene::serving_with(Setup { lease_ms: 30_000, ..Setup::default() });
        let guard = scene.guard(Side::A).expect("a guard");
        let stopped = now();
        kill(guard, Signal::SIGSTOP).expect("it lives");
        expect_both_say_that_it_cannot_serve(&scene, Side::A, stopped);
        kill(guard, Signal::SIGCONT).expect("it lives");
        let is_well = |side: Side| {
            scene.log_of(side).contains(if side == Side::A { "answers again" } else { "can serve again" })
        };
        scene.expect_soon("it is over", PATIENCE, |_| [Side::A, Side::B].into_iter().all(is_well));
        thread::sleep(ms(2_000));
        scene.assert_nothing_moved(Side::A, stopped);
    });
}

/// Fault: the standby is stopped for 20 s, with good frames in its buffers.
/// Required: no takeover on waking.
#[test]
fn row_5_standby_stopped_and_woken() {
    testing::in_fair_lab(|| {
        let scene = Scene::serving();
        let stopped = now();
        scene.signal_all(Side::B, Signal::SIGSTOP).expect("both stop");
        sleep_until_ms(stopped, STALLED_MS);
        scene.signal_all(Side::B, Signal::SIGCONT).expect("both go on");
        thread::sleep(ms(500));
        scene.settle(Side::A);
        scene.assert_nothing_moved(Side::A, stopped);
    });
}
