//! An agent that was taken over, in its place before a real guard: it says what it likes, as often as it
//! likes.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crosswire::pair::PathId;
use crosswire::reasons::Verdict;
use crosswire::resource::{Fault, Order, Outcome, ReleaseOrder, Ticket, Token};
use crosswire::time::{Instant, Span};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use nix::unistd::Pid;

use super::last_resorts::with_fence;
use super::rig::{GROUP, Rig, short_lease, vip_alone, with_scripts};
use crate::clock::now;
use crate::guard::testing::{Veth, in_fair_namespace, in_namespace};
use crate::ipc::{FromGuard, MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES, Notice, ToGuard};
use crate::settings::Settings;

/// Longer than the kernel lets a process compute that goes before all others.
const FLOOD: Span = Span::from_ms(2_000);
/// How much a guard may grow by anything that its agent says.
const MAX_GROWTH_KB: u64 = 1_024;
/// A turn of the guard's loop under a flood, on a busy machine.
const PROMPT: Span = Span::from_ms(800);

/// What an order comes to.
struct Row {
    /// While nothing is held.
    free: Option<Outcome>,
    /// While the group is held.
    held: Option<Outcome>,
    /// While nothing is held, or for a renewal while it is, when its last moment is over.
    late: Option<Outcome>,
}

/// One row for every order. Whoever adds an order says here what becomes of it.
fn row(order: Order) -> Row {
    let failed = |fault| Some(Outcome::Failed(fault));
    let out_of_order = || failed(Fault::OutOfOrder);
    let too_late = || failed(Fault::TooLate);
    match order {
        Order::Acquire { .. } => Row { free: Some(Outcome::Serving), held: out_of_order(), late: too_late() },
        Order::Renew { .. } => Row { free: out_of_order(), held: Some(Outcome::Renewed), late: too_late() },
        // Nothing stands in the way of letting go, however late.
        Order::Release { .. } => {
            let released = || Some(Outcome::Released);
            Row { free: released(), held: released(), late: released() }
        }
        // No group of the rig asks for one.
        Order::Fence { .. } => Row { free: failed(Fault::NoFence), held: out_of_order(), late: too_late() },
        Order::Announce { .. } => Row { free: None, held: None, late: None },
        Order::Probe { .. } => {
            let left = || Some(Outcome::Probed { at: Instant::ORIGIN });
            Row { free: left(), held: left(), late: too_late() }
        }
    }
}

fn orders() -> Vec<Order> {
    vec![
        Order::Acquire { group: GROUP, term: u32::MAX },
        Order::Renew { group: GROUP, puts_back: true },
        Order::Fence { group: GROUP },
        Order::Announce { group: GROUP },
        Order::Probe { group: GROUP },
        Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst },
        Order::Release { group: GROUP, first: ReleaseOrder::AddressesFirst },
    ]
}

/// What became of it; when its queries left is not compared.
fn outcome_of(rig: &mut Rig, order: Order, until: Instant) -> Option<Outcome> {
    let token = rig.order_until(order, until);
    if matches!(order, Order::Announce { .. }) {
        // It has no answer; the next order has.
        let next = rig.order(Order::Probe { group: GROUP });
        rig.outcome(next);
        return rig.has_heard_of(token).then_some(Outcome::Fenced);
    }
    match rig.outcome(token) {
        Outcome::Probed { .. } => Some(Outcome::Probed { at: Instant::ORIGIN }),
        outcome => Some(outcome),
    }
}

#[test]
fn each_order_has_a_state_in_which_it_is_allowed_and_a_last_moment() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let mut rig = Rig::start(&vip_alone());
        let let_go = |rig: &mut Rig| {
            let token = rig.release(ReleaseOrder::AddressesFirst);
            assert_eq!((rig.outcome(token), rig.vip_s()), (Outcome::Released, None));
        };
        for order in orders() {
            let Row { free, held, late } = row(order);
            assert_eq!(outcome_of(&mut rig, order, Instant::NEVER), free, "{order:?} while nothing is held");
            let_go(&mut rig);
            let is_renewal = matches!(order, Order::Renew { .. });
            let acquire = |rig: &mut Rig| {
                let token = rig.acquire();
                assert_eq!(rig.outcome(token), Outcome::Serving);
            };
            if is_renewal {
                acquire(&mut rig);
            }
            assert_eq!(outcome_of(&mut rig, order, Instant::ORIGIN), late, "{order:?} too late");
            if !is_renewal {
                acquire(&mut rig);
            }
            assert_eq!(outcome_of(&mut rig, order, Instant::NEVER), held, "{order:?} while it is held");
            let_go(&mut rig);
        }
    });
}

/// Everything that an agent can say, and whether it says it together with something else. Whoever adds a word
/// says here with what it floods.
fn floods() -> Vec<(&'static str, Vec<ToGuard>)> {
    let order = |order, valid_until| ToGuard::Order(Ticket { token: Token(u32::MAX), valid_until, order });
    let now_and_ever = |what| vec![order(what, Instant::NEVER), order(what, Instant::ORIGIN)];
    let mut floods: Vec<_> =
        orders().into_iter().map(|what| (name(&order(what, Instant::NEVER)), now_and_ever(what))).collect();
    let acquire = Order::Acquire { group: GROUP, term: 3 };
    let release = Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst };
    floods.push(("to and fro", vec![order(acquire, Instant::NEVER), order(release, Instant::NEVER)]));
    let words = [
        ToGuard::Reopen(PathId(0)),
        ToGuard::AskForPeer,
        ToGuard::Maintenance(true),
        ToGuard::Notice(Notice::Verdict(Verdict::Present, Verdict::Dead)),
        ToGuard::Answered(GROUP),
        ToGuard::Deposit,
        ToGuard::Farewell,
    ];
    floods.extend(words.map(|word| (name(&word), vec![word])));
    floods
}

/// No wildcard: a new word has to be put into [`floods`] too.
fn name(word: &ToGuard) -> &'static str {
    match word {
        ToGuard::Order(ticket) => match ticket.order {
            Order::Acquire { .. } => "acquire",
            Order::Renew { .. } => "renew",
            Order::Release { first: ReleaseOrder::ScriptsFirst, .. } => "release",
            Order::Release { first: ReleaseOrder::AddressesFirst, .. } => "forced release",
            Order::Fence { .. } => "fence",
            Order::Announce { .. } => "announce",
            Order::Probe { .. } => "probe",
        },
        ToGuard::Reopen(_) => "reopen",
        ToGuard::AskForPeer => "ask for peer",
        ToGuard::Farewell => "farewell",
        ToGuard::Maintenance(_) => "maintenance",
        ToGuard::Notice(_) => "notice",
        ToGuard::Answered(_) => "answered",
        ToGuard::Deposit => "deposit",
    }
}

/// As many of these as go into one datagram.
fn datagram_of(words: &[ToGuard]) -> Vec<u8> {
    let encode =
        |word: &ToGuard| postcard::to_slice(word, &mut [0; MAX_MESSAGE_BYTES]).expect("short").to_vec();
    if words == [ToGuard::Deposit] {
        return [encode(&ToGuard::Deposit), vec![0xee; MAX_DATAGRAM_BYTES - MAX_MESSAGE_BYTES]].concat();
    }
    let once = words.iter().flat_map(encode).collect::<Vec<_>>();
    once.repeat(MAX_DATAGRAM_BYTES / once.len())
}

/// Sends it as fast as it is taken, until that ends.
fn flood(socket: &OwnedFd, datagram: &[u8], is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        match send(socket.as_raw_fd(), datagram, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT) {
            Ok(_) => {}
            Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_micros(100)),
            Err(_) => return,
        }
    }
}

fn memory_kb(process: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it has memory");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}

/// A guard in whose group something is held, and an agent that floods it meanwhile.
fn under_flood(settings: &Settings, words: &[ToGuard], test: impl FnOnce(&mut Rig)) {
    let mut rig = Rig::start_as_in_use(settings);
    let token = rig.acquire();
    assert_eq!(rig.outcome(token), Outcome::Serving);
    let socket = rig.socket.as_ref().expect("not closed").try_clone().expect("a copy");
    let (datagram, is_over) = (datagram_of(words), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| flood(&socket, &datagram, &is_over));
        test(&mut rig);
        is_over.store(true, Ordering::Relaxed);
    });
}

/// Watches the guard's memory for as long as the kernel would let it compute, and longer; an agent may read
/// what it is told.
fn watch_memory(rig: &mut Rig, is_reading: bool) {
    let before = memory_kb(rig.guard);
    let mut most = before;
    let end = now() + FLOOD;
    while now() < end {
        if is_reading && rig.is_heard() {
            rig.hear_all();
        } else {
            std::thread::sleep(Duration::from_millis(5));
        }
        most = most.max(memory_kb(rig.guard));
    }
    assert!(most < before + MAX_GROWTH_KB, "the guard grew from {before} to {most} KB");
}

fn endure(words: &[ToGuard], is_reading: bool) {
    let veth = Veth::up("near", "far");
    under_flood(&short_lease(), words, |rig| {
        watch_memory(rig, is_reading);
        if is_reading && rig.is_heard() {
            let pulled = now();
            veth.pull();
            rig.forget();
            rig.find(|message| matches!(message, FromGuard::Carrier { up: false, .. }).then_some(()));
            assert!(now().since(pulled) < PROMPT, "the loop is late by {}", now().since(pulled));
        }
        let told = now();
        rig.stop_at_once();
        assert!(now().since(told) < PROMPT + PROMPT, "a signal took {}", now().since(told));
        assert_eq!(rig.vip_s(), None);
    });
}

#[test]
fn no_flood_of_words_keeps_the_guard_from_its_work_or_ends_it() {
    for (name, words) in floods() {
        eprintln!("{name}");
        in_fair_namespace(|| endure(&words, true));
    }
    let (_, answered) = floods().into_iter().find(|(name, _)| *name == "release").expect("it is one");
    in_fair_namespace(|| endure(&answered, false));
}

#[test]
fn a_signal_ends_an_agent_that_says_everything_at_once() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let is_farewell = |words: &[ToGuard]| words == [ToGuard::Farewell];
        let words = floods().into_iter().map(|(_, words)| words).filter(|words| !is_farewell(words));
        let words: Vec<_> = words.flatten().filter(|word| *word != ToGuard::Deposit).collect();
        under_flood(&short_lease(), &words, |rig| {
            rig.stop.write(1).expect("told to stop");
            let told = now();
            while !rig.has_ended() {
                rig.hear_all();
                assert!(now() < told + Span::from_s(40), "30 s, and no scripts");
            }
            assert_eq!(rig.vip_s(), None);
        });
    });
}

#[test]
fn a_flood_of_fences_is_two_and_none_for_what_is_held() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (dir, settings) = with_fence("cat > input; echo run >> runs", Span::from_s(20));
        let mut rig = Rig::start(&settings);
        let runs_of_a_flood = |rig: &mut Rig| {
            let end = now() + FLOOD;
            while now() < end {
                let newest = (0..50).map(|_| rig.order(Order::Fence { group: GROUP })).last();
                rig.outcome(newest.expect("some"));
                rig.forget();
            }
            fs::read_to_string(dir.path().join("runs")).unwrap_or_default().lines().count()
        };
        let token = rig.acquire();
        assert_eq!(rig.outcome(token), Outcome::Serving);
        assert_eq!(runs_of_a_flood(&mut rig), 0, "it is held");
        let token = rig.release(ReleaseOrder::AddressesFirst);
        assert_eq!(rig.outcome(token), Outcome::Released);
        assert_eq!(runs_of_a_flood(&mut rig), 2, "then one each five minutes");
    });
}

#[test]
fn a_script_that_writes_for_ever_does_not_end_the_guard() {
    in_namespace(|| {
        let _veth = Veth::up("near", "far");
        let (_scripts, settings) = with_scripts(&["[ $1 = start ] && exec yes"]);
        let mut rig = Rig::start_as_in_use(&settings);
        rig.acquire();
        watch_memory(&mut rig, true);
        let token = rig.release(ReleaseOrder::AddressesFirst);
        assert_eq!(rig.outcome(token), Outcome::AddressesGone);
    });
}
