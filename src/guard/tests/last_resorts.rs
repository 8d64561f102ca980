//! The watchdog and the fence, in the hands of a real guard.

use std::path::Path;
use std::time::Duration;

use crosswire::config::SafetyRule;
use crosswire::resource::{Fault, Order, Outcome, ReleaseOrder};
use crosswire::time::Span;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};

use super::rig::{GROUP, Rig, vip_alone, with_scripts};
use crate::clock::now;
use crate::guard::testing::{Veth, in_namespace, script_file};
use crate::ipc::FromGuard;
use crate::settings::{Convention, Fence, FenceAction, FenceMethod, Settings, Watchdog};

/// A device in the place of a driver: the timeout that it has and its boot status, then what is done to it.
fn pretend(device: &Path, first_line: &str) {
    std::fs::write(device, format!("{first_line}\n")).expect("written");
}

fn with_watchdog(mut settings: Settings, device: &Path) -> Settings {
    settings.watchdog = Some(Watchdog { device: device.to_owned(), timeout: Span::from_s(2) });
    settings
}

/// What was done to the device.
fn done_to(device: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(device).expect("it is there");
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Timeout, bound and boot status, as the agent is told.
fn told_of_watchdog(rig: &mut Rig) -> (u8, u8, u32) {
    let armed = |message: &FromGuard| match *message {
        FromGuard::Watchdog { timeout_s, bound_s, boot_status } => Some((timeout_s, bound_s, boot_status)),
        _ => None,
    };
    rig.find(armed).0
}

fn pets(device: &Path) -> usize {
    done_to(device).iter().filter(|line| *line == "pet").count()
}

#[test]
fn a_watchdog_is_armed_announced_petted_and_stopped_when_nothing_is_held() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let dir = tempfile::tempdir().expect("a directory");
        let device = dir.path().join("watchdog");
        pretend(&device, "2 32");
        let mut rig = Rig::start(&with_watchdog(vip_alone(), &device));
        assert_eq!(
            told_of_watchdog(&mut rig),
            (2, 3, 32),
            "as the driver has it, and 0.2 s for fresh orders, rounded up"
        );
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        let before = pets(&device);
        rig.renew_for(Span::from_ms(1_500));
        assert!(pets(&device) >= before + 2, "every 0.4 s: {:?}", done_to(&device));
        let token = rig.release(ReleaseOrder::ScriptsFirst);
        assert_eq!(rig.outcome(token), Outcome::Released);
        assert!(!done_to(&device).contains(&"stopped".to_owned()), "armed while it may hold something again");
        rig.say_farewell();
        rig.socket = None;
        assert_eq!(rig.exit_code(), 0);
        assert_eq!(done_to(&device).last().map(String::as_str), Some("stopped"));
    });
}

#[test]
fn a_watchdog_is_not_petted_for_an_agent_that_orders_nothing() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let dir = tempfile::tempdir().expect("a directory");
        let device = dir.path().join("watchdog");
        pretend(&device, "2 0");
        let mut rig = Rig::start(&with_watchdog(vip_alone(), &device));
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        rig.fall_silent();
        rig.renew_for(Span::from_ms(100));
        std::thread::sleep(Duration::from_millis(500));
        let before = pets(&device);
        std::thread::sleep(Duration::from_millis(1_500));
        assert_eq!(before, pets(&device), "{:?}", done_to(&device));
        let token = rig.renew();
        assert_eq!(rig.outcome(token), Outcome::Renewed);
        let give_up = now() + Span::from_s(8);
        while pets(&device) == before {
            assert!(now() < give_up, "it is petted again for an agent that is back");
            std::thread::sleep(Duration::from_millis(20));
            rig.renew();
        }
    });
}

#[test]
fn nothing_is_held_before_the_watchdog_is_armed() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let dir = tempfile::tempdir().expect("a directory");
        let device = dir.path().join("watchdog");
        let mut rig = Rig::start(&with_watchdog(vip_alone(), &device));
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Failed(Fault::NoWatchdog));
        assert_eq!(rig.vip_s(), None);
        pretend(&device, "2 0");
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving, "its driver has come");
        assert!(rig.vip_s().is_some());
    });
}

#[test]
fn the_peer_is_not_told_of_a_watchdog_that_stops_with_a_killed_guard() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let dir = tempfile::tempdir().expect("a directory");
        let device = dir.path().join("watchdog");
        // Without WDIOF_MAGICCLOSE: closing it is enough.
        pretend(&device, "2 0 0");
        let mut rig = Rig::start(&with_watchdog(vip_alone(), &device));
        let token = rig.acquire();
        assert_eq!(told_of_watchdog(&mut rig), (2, 0, 0));
        assert_eq!(
            rig.outcome(token),
            Outcome::Serving,
            "it is armed all the same: a kernel that hangs is something"
        );
    });
}

#[test]
fn what_is_exclusive_and_cannot_be_stopped_is_left_to_the_watchdog() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, mut settings) = with_scripts(&["say $1; [ $1 = start ]"]);
        let device = scripts.path().join("watchdog");
        pretend(&device, "2 0");
        settings.policy.groups[0].is_exclusive = true;
        let mut rig = Rig::start(&with_watchdog(settings, &device));
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        let token = rig.release(ReleaseOrder::ScriptsFirst);
        assert_eq!(rig.outcome(token), Outcome::Failed(Fault::ScriptStop(0)));
        let before = pets(&device);
        std::thread::sleep(Duration::from_millis(1_000));
        assert_eq!(pets(&device), before, "{:?}", done_to(&device));
        rig.say_farewell();
        rig.socket = None;
        rig.exit_code();
        assert!(!done_to(&device).contains(&"stopped".to_owned()));
    });
}

#[test]
fn what_is_exclusive_has_stopped_only_if_it_says_so() {
    for (is_exclusive, expected) in [(false, Fault::ScriptStart(0)), (true, Fault::ScriptStop(0))] {
        in_namespace(move || {
            let _veth = Veth::up("near", "far");
            let (_scripts, mut settings) = with_scripts(&["exit 1"]);
            settings.policy.groups[0].is_exclusive = is_exclusive;
            let mut rig = Rig::start(&settings);
            let token = rig.acquire();
            assert_eq!(rig.outcome(token), Outcome::Failed(expected), "exclusive: {is_exclusive}");
            rig.say_farewell();
            rig.socket = None;
            rig.exit_code();
        });
    }
}

fn fence_of(dir: &tempfile::TempDir, body: &str, timeout: Span) -> Fence {
    let program = script_file(dir, "fence", &format!("cd {}\n{body}", dir.path().display()));
    let (convention, action) = (Convention::FenceAgent, FenceAction::Off);
    Fence {
        method: FenceMethod::Program { program, convention, action, options: vec!["plug=2".to_owned()] },
        timeout,
    }
}

pub(super) fn with_fence(body: &str, timeout: Span) -> (tempfile::TempDir, Settings) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut settings = vip_alone();
    settings.fences = vec![fence_of(&dir, body, timeout)];
    settings.policy.groups[0].safety = SafetyRule::Fence;
    (dir, settings)
}

#[test]
fn a_fence_is_confirmed_by_its_program_and_refused_for_what_is_held() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (dir, settings) = with_fence("cat > input; echo run >> runs; sleep 1.5", Span::from_s(20));
        let mut rig = Rig::start(&settings);
        let [older, newer] =
            [rig.order(Order::Fence { group: GROUP }), rig.order(Order::Fence { group: GROUP })];
        assert_eq!(rig.outcome(older), Outcome::Failed(Fault::OutOfOrder));
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        rig.renew_for(Span::from_ms(1_000));
        assert_eq!(rig.outcome(newer), Outcome::Fenced);
        let token = rig.order(Order::Fence { group: GROUP });
        assert_eq!(rig.outcome(token), Outcome::Failed(Fault::OutOfOrder));
        let read = |name| std::fs::read_to_string(dir.path().join(name)).expect("written");
        assert_eq!(read("runs"), "run\n", "one for both");
        assert_eq!(read("input"), "action=off\nnodename=gw2\nplug=2\n");
    });
}

#[test]
fn a_fence_that_refuses_hangs_or_is_not_there_is_not_confirmed() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        for (body, timeout) in [("exit 1", Span::from_s(20)), ("trap '' TERM; sleep 60", Span::from_s(1))] {
            let (_dir, settings) = with_fence(body, timeout);
            let mut rig = Rig::start(&settings);
            let token = rig.order(Order::Fence { group: GROUP });
            assert_eq!(rig.outcome(token), Outcome::Failed(Fault::NoFence), "{body}");
        }
        let mut rig = Rig::start(&vip_alone());
        let token = rig.order(Order::Fence { group: GROUP });
        assert_eq!(rig.outcome(token), Outcome::Failed(Fault::NoFence));
    });
}

#[test]
fn a_fence_keeps_nothing_of_the_guard_open() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (dir, settings) = with_fence("echo $$ > pid.new; mv pid.new pid; sleep 20", Span::from_s(30));
        let mut rig = Rig::start(&settings);
        rig.order(Order::Fence { group: GROUP });
        let give_up = now() + Span::from_s(8);
        while !dir.path().join("pid").exists() {
            assert!(now() < give_up, "it does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        kill(rig.guard, Signal::SIGKILL).expect("killed");
        nix::sys::wait::waitpid(rig.guard, None).expect("it is gone");
        kill(rig.agent, Signal::SIGKILL).expect("killed");
        // The test's agent is a child of the guard and kept nothing either.
        assert!(rig.hears_the_end(), "somebody holds the guard's end of the socket");
        let pid = std::fs::read_to_string(dir.path().join("pid")).expect("written");
        let pid = nix::unistd::Pid::from_raw(pid.trim().parse().expect("a pid"));
        let leader = nix::unistd::getpgid(Some(pid)).expect("it lives");
        assert_eq!(leader, pid, "in a session of its own");
        assert_ne!(nix::sys::signal::killpg(leader, Signal::SIGKILL), Err(Errno::EPERM));
    });
}
