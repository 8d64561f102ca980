//! The agent's real loop, twice, facing each other over real descriptors; the tests take both guards' places.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::IoSlice;
use std::net::IpAddr;

use crosswire::config::{CARRIER_DELAY, GroupPolicy, InJeopardy, PathTiming, Policy};
#[cfg(feature = "cable-test")]
use crosswire::frame::delimit::{Collector, Gathered, wrap};
use crosswire::pair::{PathId, PathKind, Role, Side};
#[cfg(feature = "cable-test")]
use crosswire::quorum::event::Demand;
use crosswire::resource::{Order, Outcome};
use crosswire::time::Span;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socketpair,
};
use std::os::fd::AsRawFd;

use super::*;
use crate::ipc::{FromGuard, MAX_DATAGRAM_BYTES, MAX_MESSAGE_BYTES, ToGuard};
use crate::settings::VirtualAddress;
use crate::settings::neighbours::KernelTables;
#[cfg(feature = "cable-test")]
use crate::tty::test_protocol;

/// An agent with these sockets.
fn agent_of<'a>(
    settings: &'a Settings,
    key: &[Key],
    entropy: Entropy,
    (guard, control): (OwnedFd, OwnedFd),
) -> Agent<'a> {
    Agent::new(settings, key, entropy, (Sockets { guard, control, members: None }, KernelTables::default()))
}

/// Counts what the calling thread allocates.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends has no counter any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is left to the system's allocator; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn policy() -> Policy {
    let ms = Span::from_ms;
    let timing = PathTiming { interval: ms(20), late_after: ms(2_000), dead_after: ms(2_000) };
    Policy {
        paths: [PathKind::Serial, PathKind::Lan]
            .map(|kind| PathPolicy::new(kind, timing))
            .into_iter()
            .collect(),
        groups: [GroupPolicy::addresses_only(7, Some(Side::A))].into_iter().collect(),
        lease: Span::from_s(60),
        cold_start: Span::from_s(60),
        carrier_delay: CARRIER_DELAY,
        in_jeopardy: InJeopardy::Hold,
        witnesses: 0,
        has_vote: false,
        digest: [0; 4],
    }
}

fn settings(me: Side) -> Settings {
    let serial = PathDevice::Serial { device: "/dev/ttyS0".into(), baud: 115_200 };
    let ip = |last: u8| IpAddr::from([10, 9, 0, last]);
    let lan = PathDevice::Lan {
        interface: "near".to_owned(),
        local: ip(1),
        peer: ip(2),
        port: 694,
        is_crossover: false,
    };
    let vip = VirtualAddress::plain(ip(100), 24, "near".to_owned());
    let group = GroupSettings {
        name: "gateway".to_owned(),
        addresses: vec![vip],
        tracked: Vec::new(),
        routes: Vec::new(),
        scripts: Vec::new(),
        ready: Vec::new(),
        before: 0,
        on_stop_failure: crate::settings::StopFailure::Hold,
    };
    let path = |(name, device): (&str, PathDevice)| PathSettings { name: name.to_owned(), device };
    Settings {
        paths: [("serial", serial), ("lan", lan)].map(path).into(),
        groups: vec![group],
        policy: policy(),
        me,
        ..crate::guard::settings_for_tests()
    }
}

/// A guard's place: everything that is ordered succeeds at once.
struct Place {
    socket: OwnedFd,
}

impl Place {
    fn tell(&self, message: &FromGuard, descriptor: Option<OwnedFd>) {
        let mut room = [0; MAX_MESSAGE_BYTES];
        let bytes = postcard::to_slice(message, &mut room).expect("short");
        let fds: Vec<_> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() { &[] } else { &rights[..] };
        sendmsg::<()>(self.socket.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::empty(), None)
            .expect("told");
    }

    fn serve(&self) {
        let mut room = [0; MAX_DATAGRAM_BYTES];
        while let Ok(length) = recv(self.socket.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT) {
            self.tell(&FromGuard::Alive, None);
            let Ok((ToGuard::Order(ticket), _)) = postcard::take_from_bytes(&room[..length]) else {
                continue;
            };
            let outcome = match ticket.order {
                Order::Acquire { .. } => Outcome::Serving,
                Order::Renew { .. } => Outcome::Renewed,
                Order::Probe { .. } => Outcome::Probed { at: clock::now() },
                Order::Release { .. } => Outcome::Released,
                Order::Fence { .. } | Order::Announce { .. } => continue,
            };
            self.tell(&FromGuard::Done { token: ticket.token, outcome }, None);
        }
    }
}

fn pair(kind: SockType) -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, kind, None, flags).expect("a pair")
}

#[test]
fn a_pair_at_rest_allocates_nothing() {
    let both = [Side::A, Side::B].map(settings);
    let cable = pair(SockType::Stream);
    let lan = pair(SockType::Datagram);
    let key = [Key { id: 1, bytes: [7; 32].into_iter().collect() }];
    let mut agents = Vec::new();
    let mut places = Vec::new();
    let mut operators = Vec::new();
    for ((settings, ports), id) in both.iter().zip([(cable.0, lan.0), (cable.1, lan.1)]).zip(1u8..) {
        let (ours, theirs) = pair(SockType::SeqPacket);
        // Nobody asks anything.
        let (control, operator) = pair(SockType::SeqPacket);
        operators.push(operator);
        let entropy = Entropy { incarnation: [id; 8], secret: [id; 16] };
        agents.push(agent_of(settings, &key, entropy, (theirs, control)));
        let place = Place { socket: ours };
        place.tell(&FromGuard::Carrier { interface: 0, up: true }, None);
        place.tell(&FromGuard::Path { path: PathId(0), errno: 0 }, Some(ports.0));
        place.tell(&FromGuard::Path { path: PathId(1), errno: 0 }, Some(ports.1));
        places.push(place);
    }
    let turn = |agents: &mut Vec<Agent<'_>>| {
        let mut allocated = 0;
        for (agent, place) in agents.iter_mut().zip(&places) {
            let before = ALLOCATIONS.get();
            agent.turn();
            allocated += ALLOCATIONS.get() - before;
            place.serve();
        }
        allocated
    };
    let is_active =
        |agents: &[Agent<'_>]| agents[0].station.status(clock::now()).groups[0].role == Role::Active;
    let give_up = clock::now() + Span::from_s(60);
    while !is_active(&agents) {
        turn(&mut agents);
        assert!(clock::now() < give_up, "the first one serves once both have met");
    }
    let _: u64 = (0..50).map(|_| turn(&mut agents)).sum();
    let heard = |agents: &[Agent<'_>]| {
        agents[1].station.status(clock::now()).paths.iter().map(|p| p.beats_heard).sum::<u32>()
    };
    let before = heard(&agents);
    let allocated: u64 = (0..200).map(|_| turn(&mut agents)).sum();
    assert!(heard(&agents) > before + 20, "beats came and went meanwhile");
    assert!(is_active(&agents));
    assert_eq!(allocated, 0, "in 200 turns of each");
}

/// What the far end of a cable reads until the agent has turned so often: the frames of the pair, and those
/// of a test.
#[cfg(feature = "cable-test")]
fn read_frames(port: &OwnedFd, collector: &mut Collector) -> (u32, Vec<test_protocol::Message>) {
    let (mut beats, mut answers, mut room) = (0, Vec::new(), [0; 4_096]);
    while let Ok(length) = nix::unistd::read(port, &mut room) {
        for byte in &room[..length] {
            let Some(Gathered::Body(body)) = collector.push(*byte) else { continue };
            match test_protocol::decode(body) {
                Some((answer, test_protocol::DAEMON, _)) => answers.push(answer),
                Some(_) => panic!("not from the daemon"),
                None => beats += u32::from(crosswire::frame::seal::open(body).is_ok()),
            }
        }
    }
    (beats, answers)
}

#[cfg(feature = "cable-test")]
#[test]
fn a_test_of_the_cable_is_answered_between_beats_in_maintenance_only() {
    let (ours, theirs) = pair(SockType::SeqPacket);
    let (control, _operator) = pair(SockType::SeqPacket);
    let cable = pair(SockType::Stream);
    let settings = settings(Side::A);
    let key = [Key { id: 1, bytes: [7; 32].into_iter().collect() }];
    let entropy = Entropy { incarnation: [1; 8], secret: [1; 16] };
    let mut agent = agent_of(&settings, &key, entropy, (theirs, control));
    let place = Place { socket: ours };
    place.tell(&FromGuard::Path { path: PathId(0), errno: 0 }, Some(cable.0));
    let mut collector = Collector::default();
    let echo = test_protocol::Message::Echo([0; 24].into_iter().collect());
    let mut ask_for = |agent: &mut Agent<'_>, turns: u32| {
        let (mut allocated, mut beats, mut answers) = (0, 0, Vec::new());
        for _ in 0..turns {
            nix::unistd::write(&cable.1, &wrap(&test_protocol::encode([5; 4], test_protocol::DAEMON, &echo)))
                .expect("sent");
            let before = ALLOCATIONS.get();
            agent.turn();
            allocated += ALLOCATIONS.get() - before;
            place.serve();
            let (more_beats, more_answers) = read_frames(&cable.1, &mut collector);
            beats += more_beats;
            answers.extend(more_answers);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        (allocated, beats, answers)
    };
    let (_, beats, answers) = ask_for(&mut agent, 100);
    assert!(beats > 3 && answers.is_empty(), "a stranger: {beats} beats, {answers:?}");
    agent.step(clock::now(), Event::Operator(Demand::Maintenance(Span::from_s(60))));
    let (allocated, beats, answers) = ask_for(&mut agent, 100);
    assert_eq!(allocated, 0, "in 100 turns");
    assert!(beats > 3 && answers.len() > 20, "{beats} beats, {answers:?}");
    assert!(answers.len() <= 100 && answers.iter().all(|answer| *answer == echo), "{answers:?}");
    agent.step(clock::now(), Event::Operator(Demand::Maintenance(Span::ZERO)));
    let (_, _, answers) = ask_for(&mut agent, 20);
    assert_eq!(answers, [], "it is over");
}
