//! The whole guard as a process of its own, seen by its agent: in a network namespace, on real interfaces.

use std::collections::VecDeque;
use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crosswire::config::{GroupId, PathId};
use crosswire::resource::{Fault, Order, Outcome, ReleaseOrder, Ticket, Token};
use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, send, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pause, pipe, read, write};
use nix::{cmsg_space, libc};

use super::addresses::Addresses;
use super::ethernet::{Hears, Listener};
use super::testing::{Stranger, Veth, address, in_namespace, settings};
use super::wire::{FromGuard, MAX_MESSAGE_BYTES, ToGuard};
use super::{open, run_to_end};
use crate::clock::now;
use crate::settings::{PathDevice, PathSettings, Script, Settings};

const GROUP: GroupId = GroupId(0);
const VIP: &str = "10.9.0.100/24@near";

/// A guard at work, and the agent's place, taken by the test.
struct Rig {
    guard: Pid,
    agent: Pid,
    socket: Option<OwnedFd>,
    stop: EventFd,
    dir: tempfile::TempDir,
    addresses: Addresses,
    heard: VecDeque<(FromGuard, Option<OwnedFd>)>,
    tokens: u32,
}

impl Rig {
    /// Starts a guard; its agent is a process that only waits to be killed.
    fn start(settings: &Settings) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (ours, guards) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("a pair");
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).expect("an eventfd");
        let (from_guard, to_us) = pipe().expect("a pipe");
        // SAFETY: the child runs on an allocator that survives a fork, uses nothing of other threads, and leaves by
        // _exit.
        let guard = match unsafe { fork() }.expect("a guard") {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop(ours);
                let code = Self::be_guard(settings, dir.path(), guards, &stop, &to_us);
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(code) }
            }
        };
        drop((guards, to_us));
        let mut pid = [0; 4];
        assert_eq!(read(&from_guard, &mut pid), Ok(4), "the guard started");
        let addresses = Addresses::open(settings.policy.lease).expect("a socket");
        let agent = Pid::from_raw(i32::from_ne_bytes(pid));
        Self { guard, agent, socket: Some(ours), stop, dir, addresses, heard: VecDeque::new(), tokens: 0 }
    }

    fn be_guard(settings: &Settings, run_dir: &Path, socket: OwnedFd, stop: &EventFd, pid_to: &OwnedFd) -> i32 {
        close_all_but(&[socket.as_raw_fd(), stop.as_fd().as_raw_fd(), pid_to.as_raw_fd()]);
        let opened = open(settings, run_dir).expect("opened");
        super::block_child_signal().expect("blocked");
        // SAFETY: the child only waits for a signal.
        let agent = match unsafe { fork() }.expect("an agent") {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                drop((socket, opened));
                loop {
                    pause();
                }
            }
        };
        write(pid_to, &agent.as_raw().to_ne_bytes()).expect("written");
        let stop = stop.as_fd().try_clone_to_owned().expect("a copy");
        i32::from(run_to_end(settings, run_dir, socket, agent, stop, opened))
    }

    fn say(&self, message: &ToGuard) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let bytes = postcard::to_slice(message, &mut buffer).expect("short");
        self.say_bytes(bytes);
    }

    fn say_bytes(&self, bytes: &[u8]) {
        let socket = self.socket.as_ref().expect("not closed");
        send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).expect("sent");
    }

    fn order_until(&mut self, order: Order, valid_until: Instant) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.say(&ToGuard::Order(Ticket { token, valid_until, order }));
        token
    }

    fn order(&mut self, order: Order) -> Token {
        self.order_until(order, now() + Span::from_ms(500))
    }

    fn acquire(&mut self) -> Token {
        self.order(Order::Acquire { group: GROUP, term: 7 })
    }

    fn renew(&mut self) -> Token {
        self.order(Order::Renew { group: GROUP })
    }

    fn release(&mut self, first: ReleaseOrder) -> Token {
        self.order(Order::Release { group: GROUP, first })
    }

    /// The next message; none after `wait`.
    fn hear(&mut self, wait: Duration) -> Option<(FromGuard, Option<OwnedFd>)> {
        let socket = self.socket.as_ref().expect("not closed");
        let timeout = PollTimeout::try_from(wait).expect("a short time");
        if poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout) != Ok(1) {
            return None;
        }
        let mut bytes = [0; MAX_MESSAGE_BYTES];
        let mut control = cmsg_space!([std::os::fd::RawFd; 1]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()).ok()?;
        let length = message.bytes;
        let descriptor = message.cmsgs().expect("control data").find_map(|control| match control {
            // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
            ControlMessageOwned::ScmRights(fds) => Some(unsafe { OwnedFd::from_raw_fd(fds[0]) }),
            _ => None,
        });
        (length > 0).then(|| (postcard::from_bytes(&bytes[..length]).expect("a message"), descriptor))
    }

    /// Waits for a message, keeping the others.
    fn find<T>(&mut self, what: impl Fn(&FromGuard) -> Option<T>) -> (T, Option<OwnedFd>) {
        let give_up = now() + Span::from_s(8);
        loop {
            if let Some(index) = self.heard.iter().position(|(message, _)| what(message).is_some()) {
                let (message, descriptor) = self.heard.remove(index).expect("it is there");
                return (what(&message).expect("the same"), descriptor);
            }
            assert!(now() < give_up, "only heard {:?}", self.heard);
            let next = self.hear(Duration::from_millis(100));
            self.heard.extend(next);
        }
    }

    fn outcome(&mut self, of: Token) -> Outcome {
        let done = |message: &FromGuard| match *message {
            FromGuard::Done { token, outcome } if token == of => Some(outcome),
            _ => None,
        };
        self.find(done).0
    }

    /// Seconds left of the VIP's life.
    fn vip_s(&mut self) -> Option<u32> {
        let vip = address(VIP).ip;
        self.addresses.dump().expect("a dump").iter().find(|seen| seen.place.ip == vip).map(|seen| seen.valid_s)
    }

    /// Renews every 100 ms for a time, and insists that it works.
    fn renew_for(&mut self, span: Span) {
        let end = now() + span;
        while now() < end {
            let token = self.renew();
            assert_eq!(self.outcome(token), Outcome::Renewed);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for the guard's end.
    fn exit_code(&mut self) -> i32 {
        let give_up = now() + Span::from_s(8);
        loop {
            match waitpid(self.guard, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => break code,
                Ok(WaitStatus::StillAlive) => assert!(now() < give_up, "the guard does not end"),
                other => panic!("{other:?}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that the scripts wrote into the log file of the test.
    fn story(&self, scripts: &tempfile::TempDir) -> Vec<String> {
        let text = fs::read_to_string(scripts.path().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Whatever the test came to: the guard ends its agent when that closes its end.
        self.socket = None;
        for _ in 0..100 {
            if waitpid(self.guard, Some(WaitPidFlag::WNOHANG)) != Ok(WaitStatus::StillAlive) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for pid in [self.guard, self.agent] {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = waitpid(self.guard, None);
    }
}

/// Closes what a fork has brought along from tests that run beside this one: their sockets would never see an end.
fn close_all_but(wanted: &[i32]) {
    let open = fs::read_dir("/proc/self/fd").expect("proc is mounted").flatten();
    let open: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2 && !wanted.contains(fd)) {
        let _ = nix::unistd::close(fd);
    }
}

fn vip_alone() -> Settings {
    settings("near", &[VIP, "fd00::100/64@near"])
}

/// A group with scripts: each is a line of shell that knows `$name`, `$1` and its environment.
fn with_scripts(bodies: &[&str]) -> (tempfile::TempDir, Settings) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut settings = vip_alone();
    for (name, body) in ["a", "b", "c"].into_iter().zip(bodies) {
        let program = dir.path().join(name);
        let log = dir.path().join("log");
        let text = format!("#!/bin/sh\nname={name}\nsay() {{ echo \"$@\" >> {}; }}\n{body}\n", log.display());
        fs::write(&program, text).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
        let timeout = Duration::from_secs(4);
        let text = format!("lsb:{name}");
        settings.groups[0].scripts.push(Script { text, program, start_timeout: timeout, stop_timeout: timeout });
    }
    (dir, settings)
}

const PLAIN: &str = "say $name $1 $CROSSWIRE_REASON";

#[test]
fn a_group_is_held_for_as_long_as_it_is_renewed_and_gone_when_released() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        let ordered = now();
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        assert!(now().since(ordered) < Span::from_ms(100));
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
        let late = rig.acquire();
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
        let mut rig = Rig::start(&vip_alone());
        let token = rig.acquire();
        rig.outcome(token);
        kill(rig.guard, Signal::SIGKILL).expect("killed");
        let killed = now();
        kill(rig.agent, Signal::SIGKILL).expect("killed");
        while rig.vip_s().is_some() {
            assert!(now() < killed + Span::from_ms(2_100), "the lease is 1 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn announcements_follow_the_addition_at_once_and_come_in_a_burst() {
    in_namespace(|| {
        let stranger = Stranger::behind("near");
        let listener = stranger.run(|| Listener::open("far", Hears::Arp, &[address(VIP).ip]).expect("a listener"));
        let mut rig = Rig::start(&vip_alone());
        let ordered = now();
        let token = rig.acquire();
        let mut frames = Vec::new();
        let mut first = None;
        while now() < ordered + Span::from_ms(700) {
            let mut frame = [0; 128];
            while read(&listener.socket, &mut frame).is_ok() {
                first.get_or_insert(now().since(ordered));
                frames.push(frame[21]);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(rig.outcome(token), Outcome::Serving);
        assert_eq!(frames, [1, 2, 1, 2, 1, 2], "three pairs of request and reply");
        assert!(first.expect("announced") < Span::from_ms(50), "{first:?}");
    });
}

#[test]
fn scripts_run_in_order_with_their_environment_while_renewals_go_on() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let slow = "[ $1 = start ] && sleep 1.5\nsay $name $1 $CROSSWIRE_TERM $CROSSWIRE_NODE $CROSSWIRE_PEER";
        let (scripts, settings) = with_scripts(&[slow, PLAIN]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        rig.renew_for(Span::from_ms(1_400));
        assert!(rig.vip_s().is_some(), "the lease is 1 s");
        assert!(rig.story(&scripts).is_empty(), "the first script has not ended");
        assert_eq!(rig.outcome(token), Outcome::Serving);
        let token = rig.release(ReleaseOrder::ScriptsFirst);
        assert_eq!(rig.outcome(token), Outcome::Released);
        assert_eq!(rig.story(&scripts), ["a start 7 gw1 gw2", "b start acquire", "b stop release", "a stop 7 gw1 gw2"]);
    });
}

#[test]
fn a_forced_release_confirms_the_addresses_gone_before_scripts_stop() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) = with_scripts(&["[ $1 = stop ] && sleep 0.5\nsay $name $1 $CROSSWIRE_REASON"]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        let token = rig.release(ReleaseOrder::AddressesFirst);
        assert_eq!(rig.outcome(token), Outcome::AddressesGone);
        assert_eq!((rig.vip_s(), rig.story(&scripts).len()), (None, 1), "gone while the script still stops");
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
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) = with_scripts(&["say $name $1\n[ $1 = start ] && sleep 60\ntrue"]);
        let mut rig = Rig::start(&settings);
        let acquire = rig.acquire();
        while rig.story(&scripts).is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let ordered = now();
        let release = rig.release(ReleaseOrder::ScriptsFirst);
        assert_eq!(rig.outcome(release), Outcome::Released);
        assert!(now().since(ordered) < Span::from_s(2), "TERM was enough");
        assert_eq!(rig.outcome(acquire), Outcome::Failed(Fault::ScriptStart(0)));
        assert_eq!((rig.vip_s(), rig.story(&scripts)), (None, vec!["a start".to_owned(), "a stop".to_owned()]));
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
fn the_death_of_the_agent_releases_everything() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) = with_scripts(&[PLAIN]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        let killed = now();
        kill(rig.agent, Signal::SIGKILL).expect("killed");
        while rig.vip_s().is_some() {
            assert!(now() < killed + Span::from_ms(300), "at once, not when the lease ends");
        }
        assert_eq!(rig.exit_code(), 1);
        assert_eq!(rig.story(&scripts), ["a start acquire", "a stop forced-release"]);
        assert_eq!(fs::read_dir(rig.dir.path()).expect("a directory").count(), 0, "the pid file is gone");
    });
}

#[test]
fn an_agent_that_closes_its_end_is_ended_and_reaped() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        let token = rig.acquire();
        rig.outcome(token);
        rig.socket = None;
        assert_eq!(rig.exit_code(), 1);
        assert_eq!((rig.vip_s(), kill(rig.agent, None)), (None, Err(Errno::ESRCH)));
    });
}

#[test]
fn a_hung_agent_is_killed_when_its_lease_has_run_out() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (scripts, settings) = with_scripts(&[PLAIN]);
        let mut rig = Rig::start(&settings);
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        rig.renew_for(Span::from_ms(300));
        let silent = now();
        assert_eq!(rig.exit_code(), 1);
        let took = now().since(silent);
        assert!(took > Span::from_ms(1_900) && took < Span::from_ms(3_500), "{took}");
        assert_eq!(rig.story(&scripts), ["a start acquire", "a stop forced-release"]);
    });
}

#[test]
fn a_stalled_box_does_not_cost_the_agent_its_life() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        let token = rig.acquire();
        rig.outcome(token);
        kill(rig.guard, Signal::SIGSTOP).expect("stopped");
        std::thread::sleep(Duration::from_millis(2_300));
        kill(rig.guard, Signal::SIGCONT).expect("goes on");
        std::thread::sleep(Duration::from_millis(300));
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
        rig.stop.write(1).expect("told to stop");
        rig.find(|message| (*message == FromGuard::Stop).then_some(()));
        rig.say(&ToGuard::Farewell);
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
        rig.say(&ToGuard::Farewell);
        rig.socket = None;
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
        let bad: [&dyn Fn(&Rig); 3] = [
            &|rig| rig.say_bytes(&[0xee; 12]),
            &|rig| rig.say(&ToGuard::Order(Ticket { token, valid_until, order: unknown_group })),
            &|rig| rig.say(&ToGuard::Reopen(PathId(9))),
        ];
        for say in bad {
            let mut rig = Rig::start(&vip_alone());
            let token = rig.acquire();
            rig.outcome(token);
            say(&rig);
            assert_eq!((rig.exit_code(), rig.vip_s()), (1, None));
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
        let mut rig = Rig::start(&settings);
        let carrier = |message: &FromGuard| match *message {
            FromGuard::Carrier { interface: 0, up } => Some(up),
            _ => None,
        };
        assert!(rig.find(carrier).0);
        for _ in 0..2 {
            let listener =
                |message: &FromGuard| matches!(message, FromGuard::Listener { interface: 0, .. }).then_some(());
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
