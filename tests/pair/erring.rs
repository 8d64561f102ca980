//! Beside a peer that has the key and errs (`tests/peer/erring.py`): what it says and what its kernel does
//! are two things, or it asks for what it does not want. Nothing moves to and fro, and an operator is told of
//! what cannot be settled.

use std::thread;

use crosswire::pair::Side;
use nix::unistd::Pid;

use crate::lab::address_log::Wanted;
use crate::lab::clock::now;
use crate::lab::setup::{GROUP, PREFIX, VIP};
use crate::lab::testing;
use crate::peer::{Foreign, serving_beside};
use crate::scene::{PATIENCE, Scene, ms};

const BOTH_SERVE: &str = "BOTH NODES SERVE IT";
/// Of the operator's program and of a monitor.
const EXIT_BOTH_SERVE: Option<i32> = Some(5);

fn beside() -> Option<(Scene, Foreign)> {
    serving_beside("erring.py", 2)
}

/// The peer has asked for the group, and serves it.
fn beside_one_that_was_asked() -> Option<(Scene, Foreign)> {
    let (scene, mut foreign) = beside()?;
    foreign.order("want");
    foreign.wait_for("role active");
    Some((scene.may_split(), foreign))
}

/// The daemon is asked to serve again by its own operator.
fn take_back(scene: &Scene) {
    let said = scene.say(Side::A, &["takeover", GROUP]);
    assert_eq!(said.code, Some(0), "{said:?}");
}

fn is_shouted(scene: &Scene) -> bool {
    let said = scene.say(Side::A, &["status"]);
    said.code == EXIT_BOTH_SERVE && said.text.contains(BOTH_SERVE)
}

fn expect_shouted_while_it_lasts(scene: &Scene) {
    scene.expect_soon("it is shouted", PATIENCE, is_shouted);
    thread::sleep(ms(2_000));
    assert!(is_shouted(scene), "while it lasts");
}

fn incidents(scene: &Scene) -> usize {
    scene.log_of(Side::A).matches("INCIDENT").count()
}

/// It was shouted once, and is over: one incident, and all is well.
fn expect_end(scene: &Scene, incidents_before: usize) {
    scene.expect_soon("it is over", PATIENCE, |scene| scene.say(Side::A, &["status"]).code == Some(0));
    assert_eq!(incidents(scene), incidents_before + 1, "{}", scene.log_of(Side::A));
    scene.wait_for(Wanted::Only(Side::A), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
}

/// Fault: the peer asks for the group for 25 s, and never takes it.
/// Required: let go for it once, and then ever more rarely; served for nearly all the time; overlap 0.
#[test]
fn a_peer_that_asks_and_does_not_take_gets_little() {
    testing::in_fair_lab(|| {
        let Some((scene, mut foreign)) = beside() else { return };
        foreign.order("tease");
        thread::sleep(ms(25_000));
        let ends = scene.holds().iter().filter(|hold| hold.until.is_some()).count();
        assert!((1..=3).contains(&ends), "{:?}", scene.holds());
        scene.assert_never_both();
    });
}

/// Fault: the peer serves too, at the same term as the daemon (which has the lower name) or at a lower one,
/// and holds the address. Required: while it lasts the log and `status` say so, with an exit code of its own;
/// afterwards it is one incident.
#[test]
fn a_peer_that_serves_without_a_right_is_shouted_while_it_does() {
    testing::in_fair_lab(|| {
        let Some((scene, mut foreign)) = beside_one_that_was_asked() else { return };
        take_back(&scene);
        foreign.wait_for("peer active 3");
        scene.wait_for(Wanted::Only(Side::A), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        for term in [3, 2] {
            let before = incidents(&scene);
            foreign.order(&format!("claim {term}"));
            expect_shouted_while_it_lasts(&scene);
            assert_eq!((scene.role(Side::A).as_str(), incidents(&scene)), ("active", before));
            assert!(scene.log_of(Side::A).contains(BOTH_SERVE), "{}", scene.log_of(Side::A));
            foreign.order("drop");
            expect_end(&scene, before);
        }
    });
}

/// Fault: the peer says that it has let go of the group, which is asked for here, and its kernel has not.
/// Required: taken at once, as a planned move is; found out by the question that leaves with the taking:
/// shouted, told to the peer, and over when its kernel has let go.
#[test]
fn a_peer_whose_kernel_keeps_what_was_handed_over_is_found_out() {
    testing::in_fair_lab(|| {
        let Some((scene, mut foreign)) = beside_one_that_was_asked() else { return };
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        let before = incidents(&scene);
        foreign.order("keep");
        take_back(&scene);
        scene.expect_soon("it is shouted", PATIENCE, is_shouted);
        foreign.wait_for("told that the kernel still answers");
        foreign.order("drop");
        expect_end(&scene, before);
    });
}

/// Fault: the same with a goodbye. Nobody is left who could be told.
/// Required: shouted until the operator has taken the address away there.
#[test]
fn a_goodbye_of_a_peer_whose_kernel_keeps_the_address_is_found_out() {
    testing::in_fair_lab(|| {
        let Some((scene, mut foreign)) = beside_one_that_was_asked() else { return };
        scene.wait_for(Wanted::Only(Side::B), PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        let before = incidents(&scene);
        foreign.order("keep");
        foreign.order("leave");
        foreign.wait_for("left");
        expect_shouted_while_it_lasts(&scene);
        let there = scene.namespace(Side::B).rtnl();
        there.delete_address(scene.interface(Side::B), VIP, PREFIX).expect("taken away");
        scene.expect_soon("it is over", PATIENCE, |scene| incidents(scene) == before + 1);
        assert!(!is_shouted(&scene), "{:?}", scene.say(Side::A, &["status"]));
    });
}

/// Fault: the peer sees three witnesses, of which neither file knows.
/// Required: nothing moves.
#[test]
fn witnesses_that_nobody_has_configured_move_nothing() {
    testing::in_fair_lab(|| {
        let Some((scene, mut foreign)) = beside() else { return };
        let since = now();
        foreign.order("witnesses 3");
        thread::sleep(ms(5_000));
        scene.assert_nothing_moved(Side::A, since);
    });
}

/// What it costs a daemon that its peer says something else of itself in every beat, for five seconds.
fn babble(what: &str) {
    let Some((mut scene, mut foreign)) = beside() else { return };
    let memory = |scene: &mut Scene| {
        let pids: Vec<_> = [scene.guard(Side::A), scene.agent(Side::A)].into_iter().flatten().collect();
        pids.into_iter().map(memory_kb).sum::<u64>()
    };
    let before = memory(&mut scene);
    let (lines, holds) = (scene.log_of(Side::A).lines().count(), scene.holds().len());
    foreign.order(&format!("babble {what}"));
    thread::sleep(ms(5_000));
    let lines = scene.log_of(Side::A).lines().count() - lines;
    let changes = scene.holds().len() - holds;
    let growth = memory(&mut scene).saturating_sub(before);
    println!("babble {what}: {lines} lines, taken {changes} times, {growth} KB");
    assert!(lines <= MOST_LINES, "{lines} lines in 5 s\n{}", scene.log_of(Side::A));
    assert!(changes <= MOST_CHANGES, "taken {changes} times: {:?}", scene.holds());
    assert!(growth < MOST_GROWTH_KB, "{growth} KB more");
    assert!(scene.try_status(Side::A).is_some(), "its operator is answered");
}

/// Both processes of a daemon together.
fn memory_kb(process: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it has memory");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

/// A dozen kinds of lines, a few of each, and those of each move.
const MOST_LINES: usize = 400;
/// A peer that asks, takes and gives back is let have its way each time, as its operator would be: one move a
/// tenth of a second.
const MOST_CHANGES: usize = 50;
const MOST_GROWTH_KB: u64 = 1_024;

/// Fault: the peer has the key, beats a thousand times a second, and says another digest, role, term or
/// incarnation each time. Required: what a stranger could cause and no more: a few lines of each kind, few
/// moves, no memory.
#[test]
fn a_peer_that_says_something_else_in_every_beat_costs_little() {
    for what in ["digest", "role", "term", "incarnation", "all"] {
        testing::in_fair_lab(|| babble(what));
    }
}
