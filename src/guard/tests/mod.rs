//! The whole guard as a process of its own, seen by its agent: in a network namespace, on real interfaces.

mod hostile;
mod last_resorts;
mod rig;
mod strays;

use std::fs;
use std::time::Duration;

use crosswire::pair::{GroupId, PathId};
use crosswire::resource::{Fault, Order, Outcome, ReleaseOrder, Ticket, Token};
use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::read;

use super::testing::{Stranger, Veth, address, in_fair_namespace, in_namespace};
use crate::clock::now;
use crate::guard::kernel::addresses::Addresses;
use crate::guard::kernel::ethernet::{Hears, Listener};
use crate::ipc::{FromGuard, ToGuard};
use crate::settings::{PathDevice, PathSettings};
use rig::{GROUP, NOTHING, PLAIN, Rig, VIP, short_lease, vip_alone, with_scripts};

#[test]
fn a_group_is_held_for_as_long_as_it_is_renewed_and_gone_when_released() {
    in_fair_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&short_lease());
        let ordered = now();
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        assert!(now().since(ordered) < Span::from_ms(300));
        rig.renew_for(Span::from_ms(2_500));
        assert!(rig.vip_s().is_some(), "two leases later");
        let token = rig.release(ReleaseOrder::ScriptsFirst);
        assert_eq!(rig.outcome(token), Outcome::Released);
        assert_eq!(rig.vip_s(), None);
        let token = rig.renew();
        assert_eq!(rig.outcome(token), Outcome::Failed(Fault::OutOfOrder), "a renewal revives nothing");
        assert_eq!(rig.vip_s(), None);
    });
}

#[test]
fn a_release_and_a_renewal_in_one_batch_leave_nothing() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        let token = rig.acquire();
        rig.outcome(token);
        kill(rig.guard, Signal::SIGSTOP).expect("stopped");
        let (first, release, last) = (rig.renew(), rig.release(ReleaseOrder::AddressesFirst), rig.renew());
        kill(rig.guard, Signal::SIGCONT).expect("goes on");
        assert_eq!(rig.outcome(release), Outcome::Released);
        assert_eq!(rig.outcome(first), Outcome::Failed(Fault::OutOfOrder));
        assert_eq!(rig.outcome(last), Outcome::Failed(Fault::OutOfOrder));
        assert_eq!(rig.vip_s(), None);
    });
}

#[test]
fn a_guard_that_was_stopped_takes_nothing_back_on_waking() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        kill(rig.guard, Signal::SIGSTOP).expect("stopped");
        let late = rig.order_until(Order::Acquire { group: GROUP, term: 7 }, now() + Span::from_ms(500));
        std::thread::sleep(Duration::from_millis(600));
        kill(rig.guard, Signal::SIGCONT).expect("goes on");
        assert_eq!(rig.outcome(late), Outcome::Failed(Fault::TooLate));
        assert_eq!(rig.vip_s(), None);
    });
}

#[test]
fn a_killed_guard_leaves_the_address_to_its_lifetime() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&short_lease());
        let token = rig.acquire();
        rig.outcome(token);
        // Its agent dies with it.
        kill(rig.guard, Signal::SIGKILL).expect("killed");
        let killed = now();
        while rig.vip_s().is_some() {
            assert!(now() < killed + Span::from_ms(6_300), "the lease is 1 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn announcements_follow_the_addition_at_once_and_come_in_a_burst() {
    in_fair_namespace(|| {
        let stranger = Stranger::behind("near");
        let listener =
            stranger.run(|| Listener::open("far", Hears::Arp, &[address(VIP).ip]).expect("a listener"));
        let mut rig = Rig::start(&vip_alone());
        let ordered = now();
        let token = rig.acquire();
        let mut frames = Vec::new();
        let mut first = None;
        // The next one after the burst is due after 2 s.
        while now() < ordered + Span::from_ms(1_500) {
            let mut frame = [0; 128];
            while read(&listener.socket, &mut frame).is_ok() {
                first.get_or_insert(now().since(ordered));
                frames.push(frame[21]);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(rig.outcome(token), Outcome::Serving);
        assert_eq!(frames, [1, 2, 1, 2, 1, 2], "three pairs of request and reply");
        assert!(first.expect("announced") < Span::from_ms(150), "{first:?}");
    });
}

#[test]
fn scripts_run_in_order_with_their_environment_while_renewals_go_on() {
    in_fair_namespace(|| {
        let _veth = Veth::up("near", "far");
        let slow =
            "[ $1 = start ] && sleep 1.5\nsay $name $1 $CROSSWIRE_TERM $CROSSWIRE_NODE $CROSSWIRE_PEER";
        let (scripts, mut settings) = with_scripts(&[slow, PLAIN]);
        settings.policy.lease = Span::from_s(1);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        rig.renew_for(Span::from_ms(1_400));
        assert!(rig.vip_s().is_some(), "the lease is 1 s");
        assert!(rig.story(&scripts).is_empty(), "the first script has not ended");
        assert_eq!(rig.outcome(token), Outcome::Serving);
        let token = rig.release(ReleaseOrder::ScriptsFirst);
        assert_eq!(rig.outcome(token), Outcome::Released);
        assert_eq!(
            rig.story(&scripts),
            ["a start 7 gw1 gw2", "b start acquire", "b stop release", "a stop 7 gw1 gw2"]
        );
    });
}

#[test]
fn a_forced_release_confirms_the_addresses_gone_before_scripts_stop() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) = with_scripts(&[
            "[ $1 = stop ] && while [ ! -e go ]; do sleep 0.1; done\nsay $name $1 $CROSSWIRE_REASON",
        ]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        let token = rig.release(ReleaseOrder::AddressesFirst);
        assert_eq!(rig.outcome(token), Outcome::AddressesGone);
        assert_eq!((rig.vip_s(), rig.story(&scripts).len()), (None, 1), "gone while the script still stops");
        fs::write(scripts.path().join("go"), "").expect("written");
        assert_eq!(rig.outcome(token), Outcome::Released);
        assert_eq!(rig.story(&scripts), ["a start acquire", "a stop forced-release"]);
    });
}

#[test]
fn a_script_that_fails_to_start_is_undone_and_leaves_nothing() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let failing = "say $name $1 $CROSSWIRE_REASON\n[ $1 = stop ]";
        let (scripts, settings) = with_scripts(&[PLAIN, failing, PLAIN]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Failed(Fault::ScriptStart(1)));
        assert_eq!(rig.vip_s(), None);
        assert_eq!(
            rig.story(&scripts),
            ["a start acquire", "b start acquire", "b stop failed-start", "a stop failed-start"]
        );
    });
}

#[test]
fn a_release_wins_over_a_start_that_hangs() {
    in_fair_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) = with_scripts(&["say $name $1\n[ $1 = start ] && sleep 60\ntrue"]);
        let mut rig = Rig::start(&settings);
        let acquire = rig.acquire();
        rig.wait_for_story(&scripts);
        let ordered = now();
        let release = rig.release(ReleaseOrder::ScriptsFirst);
        assert_eq!(rig.outcome(release), Outcome::Released);
        assert!(now().since(ordered) < Span::from_s(2), "TERM was enough");
        assert_eq!(rig.outcome(acquire), Outcome::Failed(Fault::ScriptStart(0)));
        assert_eq!(
            (rig.vip_s(), rig.story(&scripts)),
            (None, vec!["a start".to_owned(), "a stop".to_owned()])
        );
    });
}

#[test]
fn a_failed_stop_costs_the_address_first_and_is_reported() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) = with_scripts(&[PLAIN, "say $name $1\n[ $1 = start ]"]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        let token = rig.release(ReleaseOrder::ScriptsFirst);
        assert_eq!(rig.outcome(token), Outcome::Failed(Fault::ScriptStop(1)));
        assert_eq!(rig.vip_s(), None);
        assert_eq!(rig.story(&scripts), ["a start acquire", "b start", "b stop", "a stop release"]);
    });
}

#[test]
fn the_agent_s_death_costs_nothing_and_another_goes_on_with_what_is_held() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) = with_scripts(&[PLAIN]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        std::thread::sleep(Duration::from_millis(200));
        rig.die();
        let inherited = rig.next_agent();
        assert!(inherited.contains("term: 7") && inherited.contains("stage: Serving"), "{inherited}");
        assert!(
            inherited.ends_with(&format!("{token:?})")),
            "its tokens begin where the last one's ended: {inherited}"
        );
        assert!(rig.find(|message| matches!(message, FromGuard::Carrier { .. }).then_some(())).1.is_none());
        assert!(rig.find(|message| matches!(message, FromGuard::Listener { .. }).then_some(())).1.is_some());
        rig.find(|message| matches!(message, FromGuard::Path { .. }).then_some(()));
        rig.renew_for(Span::from_ms(1_500));
        assert!(rig.vip_s().is_some());
        assert_eq!(rig.story(&scripts), ["a start acquire"]);
        assert_eq!(rig.stop_at_once(), 1);
        assert_eq!(fs::read_dir(rig.dir.path()).expect("a directory").count(), 0, "the pid file is gone");
    });
}

#[test]
fn all_that_an_agent_said_counts_after_its_death() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        // What it is told meanwhile it never reads.
        std::thread::sleep(Duration::from_millis(200));
        rig.fall_silent();
        kill(rig.guard, Signal::SIGSTOP).expect("stopped");
        // More than is read of an agent that lives, in three turns.
        (0..240).for_each(|_| rig.say(&ToGuard::AskForPeer));
        rig.release(ReleaseOrder::AddressesFirst);
        rig.die();
        let stat = format!("/proc/{}/stat", rig.agent);
        while !fs::read_to_string(&stat).expect("it is not reaped").contains(") Z") {
            std::thread::sleep(Duration::from_millis(5));
        }
        kill(rig.guard, Signal::SIGCONT).expect("goes on");
        let inherited = rig.next_agent();
        assert!(inherited.contains("[None]"), "nothing is in hand: {inherited}");
        assert_eq!(rig.vip_s(), None);
    });
}

#[test]
fn a_start_and_a_stop_that_go_on_answer_the_agent_that_is_there_when_they_end() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (_scripts, settings) = with_scripts(&["say $name $1\nsleep 0.6"]);
        let mut rig = Rig::start(&settings);
        let acquire = rig.acquire();
        std::thread::sleep(Duration::from_millis(200));
        rig.die();
        let inherited = rig.next_agent();
        assert!(inherited.contains(&format!("Starting({acquire:?})")), "{inherited}");
        assert_eq!(rig.outcome(acquire), Outcome::Serving);
        let release = rig.release(ReleaseOrder::AddressesFirst);
        assert_eq!(rig.outcome(release), Outcome::AddressesGone);
        rig.die();
        let inherited = rig.next_agent();
        assert!(inherited.contains(&format!("Releasing(AddressesFirst, Some({release:?}))")), "{inherited}");
        assert_eq!(rig.outcome(release), Outcome::Released);
        assert_eq!(rig.vip_s(), None);
    });
}

#[test]
fn the_third_death_within_a_minute_releases_everything() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) = with_scripts(&[PLAIN]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        for _ in 0..2 {
            rig.renew_for(Span::from_ms(200));
            rig.die();
            assert_ne!(rig.next_agent(), NOTHING);
        }
        rig.renew_for(Span::from_ms(200));
        let died = now();
        rig.die();
        assert_eq!(rig.next_agent(), NOTHING, "empty-handed");
        assert!(now().since(died) >= Span::from_ms(900), "not at once");
        assert_eq!(
            (rig.vip_s(), rig.story(&scripts)),
            (None, vec!["a start acquire".into(), "a stop forced-release".into()])
        );
    });
}

#[test]
fn what_nobody_renews_within_the_lease_is_let_go_with_its_scripts() {
    in_fair_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, mut settings) = with_scripts(&[PLAIN]);
        settings.policy.lease = Span::from_s(2);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        std::thread::sleep(Duration::from_millis(200));
        rig.die();
        assert_ne!(rig.next_agent(), NOTHING);
        // It lives, and says so, but renews nothing.
        assert_eq!(rig.next_agent(), NOTHING);
        assert_eq!(
            (rig.vip_s(), rig.story(&scripts)),
            (None, vec!["a start acquire".into(), "a stop forced-release".into()])
        );
    });
}

#[test]
fn an_agent_that_closes_its_end_is_ended_reaped_and_replaced() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        let token = rig.acquire();
        rig.outcome(token);
        std::thread::sleep(Duration::from_millis(200));
        let first = rig.agent;
        rig.close();
        assert_ne!(rig.next_agent(), NOTHING);
        assert_eq!(kill(first, None), Err(Errno::ESRCH));
        rig.renew_for(Span::from_ms(200));
    });
}

#[test]
fn a_hung_agent_is_killed_after_late_after_and_replaced() {
    in_fair_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut settings = vip_alone();
        settings.policy.paths[0].timing.late_after = Span::from_ms(300);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        rig.renew_for(Span::from_ms(200));
        let first = rig.agent;
        rig.fall_silent();
        let silent = now();
        assert_ne!(rig.next_agent(), NOTHING);
        let took = now().since(silent);
        assert!(took >= Span::from_ms(200), "{took}");
        assert_eq!(kill(first, None), Err(Errno::ESRCH));
        let token = rig.renew();
        assert!(matches!(rig.outcome(token), Outcome::Renewed));
    });
}

#[test]
fn a_stalled_box_does_not_cost_the_agent_its_life() {
    in_fair_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut settings = short_lease();
        settings.policy.paths[0].timing.late_after = Span::from_ms(300);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        rig.outcome(token);
        rig.fall_silent();
        kill(rig.guard, Signal::SIGSTOP).expect("stopped");
        std::thread::sleep(Duration::from_millis(2_300));
        kill(rig.guard, Signal::SIGCONT).expect("goes on");
        std::thread::sleep(Duration::from_millis(100));
        rig.live();
        let token = rig.renew();
        assert_eq!(rig.outcome(token), Outcome::Renewed);
        assert!(rig.vip_s().is_some(), "it comes back by order, not by itself");
    });
}

#[test]
fn after_a_farewell_with_nothing_held_the_guard_ends_well() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        rig.say_farewell();
        kill(rig.agent, Signal::SIGTERM).expect("it ends");
        assert_eq!(rig.exit_code(), 0);
    });
}

#[test]
fn a_farewell_with_something_held_is_none() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        let token = rig.acquire();
        rig.outcome(token);
        rig.say_farewell();
        rig.close();
        assert_eq!((rig.exit_code(), rig.vip_s()), (1, None));
    });
}

#[test]
fn a_second_stop_does_not_wait_for_the_agent() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        let token = rig.acquire();
        rig.outcome(token);
        rig.stop.write(1).expect("told to stop");
        rig.find(|message| (*message == FromGuard::Stop).then_some(()));
        rig.stop.write(1).expect("told again");
        assert_eq!((rig.exit_code(), rig.vip_s()), (1, None));
    });
}

#[test]
fn an_agent_that_sends_anything_else_is_ended() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let token = Token(1);
        let valid_until = Instant::NEVER;
        let unknown_group = Order::Release { group: GroupId(1), first: ReleaseOrder::ScriptsFirst };
        let bad: [&dyn Fn(&Rig); 4] = [
            &|rig| rig.say(&ToGuard::Farewell),
            &|rig| rig.say_bytes(&[0xee; 12]),
            &|rig| rig.say(&ToGuard::Order(Ticket { token, valid_until, order: unknown_group })),
            &|rig| rig.say(&ToGuard::Reopen(PathId(9))),
        ];
        for say in bad {
            let mut rig = Rig::start(&vip_alone());
            let token = rig.acquire();
            rig.outcome(token);
            std::thread::sleep(Duration::from_millis(200));
            let first = rig.agent;
            say(&rig);
            assert_eq!(rig.next_agent(), NOTHING, "nothing that it left is trusted");
            assert_eq!((rig.vip_s(), kill(first, None)), (None, Err(Errno::ESRCH)));
            rig.stop_at_once();
        }
    });
}

#[test]
fn what_an_earlier_run_left_behind_is_removed_before_the_first_order() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
        addresses.add(&[address(VIP)], now() + Span::from_s(1)).expect("left over");
        let mut rig = Rig::start(&vip_alone());
        rig.find(|message| matches!(message, FromGuard::Carrier { .. }).then_some(()));
        assert_eq!(rig.vip_s(), None);
    });
}

#[test]
fn the_agent_gets_carriers_listeners_and_paths() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let mut settings = vip_alone();
        let device = PathDevice::Serial { device: "/dev/ttyUSB99".into(), baud: 19_200 };
        settings.paths.insert(0, PathSettings { name: "serial".to_owned(), device });
        let path = settings.policy.paths[0];
        settings.policy.paths.insert(0, path).expect("room");
        let mut rig = Rig::start(&settings);
        let carrier = |message: &FromGuard| match *message {
            FromGuard::Carrier { interface: 0, up } => Some(up),
            _ => None,
        };
        assert!(rig.find(carrier).0);
        for _ in 0..2 {
            let listener = |message: &FromGuard| {
                matches!(message, FromGuard::Listener { interface: 0, .. }).then_some(())
            };
            assert!(rig.find(listener).1.is_some(), "one for ARP, one for neighbour discovery");
        }
        let path = |message: &FromGuard| match *message {
            FromGuard::Path { path, errno } => Some((path, errno)),
            _ => None,
        };
        let (serial, no_descriptor) = rig.find(path);
        assert_eq!((serial, no_descriptor.is_none()), ((PathId(0), Errno::ENOENT as i32), true));
        let (lan, _) = rig.find(path);
        assert_eq!(lan, (PathId(1), Errno::EADDRNOTAVAIL as i32), "no address yet");
        let mut addresses = Addresses::open(Span::from_s(60)).expect("a socket");
        addresses.add(&[address("10.9.0.1/24@near")], now() + Span::from_s(1)).expect("added");
        rig.say(&ToGuard::Reopen(PathId(1)));
        let (lan, descriptor) = rig.find(path);
        assert_eq!((lan, descriptor.is_some()), ((PathId(1), 0), true));
        stranger.run(|| super::testing::set_up("far", false));
        assert!(!rig.find(carrier).0, "pulled");
    });
}

#[test]
fn a_probe_reports_when_the_queries_left() {
    in_namespace(|| {
        let _stranger = Stranger::behind("near");
        let mut rig = Rig::start(&vip_alone());
        let before = now();
        let token = rig.order(Order::Probe { group: GROUP });
        let outcome = rig.outcome(token);
        assert!(matches!(outcome, Outcome::Probed { at } if at > before && at < now()), "{outcome:?}");
        let token = rig.order_until(Order::Probe { group: GROUP }, before);
        assert_eq!(rig.outcome(token), Outcome::Failed(Fault::TooLate));
    });
}
