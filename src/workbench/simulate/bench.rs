//! How fast it is: the simulator, and one step of the decision.

use std::fmt::Write;
use std::time::Instant as Wall;

use crosswire::frame::delimit::{Collector, Gathered, Line, wrap};
use crosswire::frame::message::{Beat, Incarnation, Message, SessionValue};
use crosswire::frame::seal::{Header, open, pair_id, seal};
use crosswire::frame::session::Entropy;
use crosswire::frame::{Key, Keyring, Version};
use crosswire::pair::{PathId, Side};
use crosswire::quorum::{Effect, Effects, Event};
use crosswire::station::Station;
use crosswire::time::{Instant, Span};

use super::schedule::{Schedule, begin};
use super::setup::Setup;
use super::world::World;

/// All figures.
pub fn run() -> String {
    let mut text = String::new();
    let mut world = World::new(Setup::reference(), 1);
    begin(&mut world);
    let started = Wall::now();
    let hours = 2;
    world.run_for(Span::from_s(3_600 * hours));
    let seconds = started.elapsed().as_secs_f64();
    let _ = writeln!(
        text,
        "a healthy pair at 10 beats a second: {:.2} pair-hours for each second of a processor",
        hours as f64 / seconds
    );
    let started = Wall::now();
    let mut lasted = Span::ZERO;
    for seed in 0..500 {
        lasted = lasted + Schedule::random(seed).run().lasted;
    }
    let seconds = started.elapsed().as_secs_f64();
    let _ = writeln!(
        text,
        "random schedules: {:.2} pair-hours for each second of a processor, {:.0} schedules",
        lasted.as_us() as f64 / 3.6e9 / seconds,
        500.0 / seconds
    );
    let started = Wall::now();
    let rounds = 20_000;
    let steps = exchange(rounds);
    let _ = writeln!(
        text,
        "two nodes without a world: {:.0} ns a step",
        started.elapsed().as_secs_f64() * 1e9 / steps as f64
    );
    text
}

/// Two nodes that send each other beats on a cable and a LAN for this many intervals, without a world around
/// them; says how many steps that took. Run twice under an instruction counter, the difference is the cost of
/// the steps alone.
pub fn exchange(rounds: u64) -> u64 {
    let (mut nodes, mut now) = strangers();
    let mut effects = Effects::new();
    (0..rounds).map(|_| round(&mut nodes, &mut now, &mut effects)).sum()
}

/// Makes a heartbeat of a pair with one group, as it goes out on a cable, and reads it `times` times: from
/// bytes to a checked message. Says how many were whole, for an instruction counter as above.
pub fn read_frames(times: u64) -> usize {
    let keys = keyring();
    let line = write_frame(1, &keys);
    let mut collector = Collector::default();
    let is_whole =
        |body: &[u8]| open(body).is_ok_and(|frame| frame.verify(&keys).is_ok() && frame.decode().is_ok());
    let mut read = |line: &[u8]| {
        let bodies = line.iter().filter(|byte| match collector.push(**byte) {
            Some(Gathered::Body(body)) => is_whole(body),
            Some(_) | None => false,
        });
        bodies.count()
    };
    (0..times).map(|_| read(&line)).sum()
}

/// Makes that heartbeat `times` times, and says how many bytes that was.
pub fn write_frames(times: u64) -> usize {
    let keys = keyring();
    (0..times).map(|number| write_frame(u32::try_from(number).unwrap_or(0), &keys).len()).sum()
}

fn write_frame(number: u32, keys: &Keyring) -> Line {
    let header = Header {
        version: Version::NEWEST,
        pair: pair_id("pair"),
        sender: Side::A,
        path: PathId(0),
        incarnation: Incarnation([1; 8]),
        echo: SessionValue([5; 4]),
        number,
    };
    wrap(&seal(&header, &Message::Beat(Beat::largest(2, 1, 2)), keys))
}

fn keyring() -> Keyring {
    Keyring::new("pair", &[Key { id: 1, bytes: std::iter::repeat_n(7, 16).collect() }])
}

/// Two nodes that hear each other on both paths; nothing but the caller's steps happens to them.
pub fn acquaintances() -> ([Station; 2], Instant) {
    let (mut nodes, mut now) = strangers();
    let mut effects = Effects::new();
    for _ in 0..20 {
        round(&mut nodes, &mut now, &mut effects);
    }
    (nodes, now)
}

fn strangers() -> ([Station; 2], Instant) {
    let setup = Setup::reference();
    let node = |side: Side, fill: u8| {
        let entropy = Entropy { incarnation: [fill; 8], secret: [fill; 16] };
        Station::new("pair", setup.policy.clone(), side, keyring(), entropy, Instant::from_us(1))
    };
    let mut nodes = [node(Side::A, 1), node(Side::B, 2)];
    let now = Instant::from_us(1_000_000);
    for node in &mut nodes {
        for path in setup.policy.path_ids() {
            node.step(now, Event::PathOpened(path), &mut Effects::new());
        }
    }
    (nodes, now)
}

/// One interval: each node ticks, half an interval after the other.
fn round(nodes: &mut [Station; 2], now: &mut Instant, effects: &mut Effects) -> u64 {
    let mut steps = 0;
    for from in 0..2 {
        *now = *now + Span::from_ms(50);
        steps += turn(nodes, from, *now, effects);
    }
    steps
}

/// One node ticks; what it sends is handed to the other, whose answers are handed back, until nobody answers.
fn turn(nodes: &mut [Station; 2], from: usize, now: Instant, effects: &mut Effects) -> u64 {
    let (mut speaker, mut steps) = (from, 1);
    nodes[from].step(now, Event::GuardAlive, effects);
    nodes[from].step(now, Event::Tick, effects);
    loop {
        let sent: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send(path, body) => Some((*path, body.clone())),
                Effect::Order(_)
                | Effect::Record(_)
                | Effect::Deposit
                | Effect::Reply(_)
                | Effect::AskNeighbours(_)
                | Effect::AskWitnesses
                | Effect::AskVote(_)
                | Effect::AskForPeer
                | Effect::ShowHolding(_)
                | Effect::Aside(..)
                | Effect::Exit => None,
            })
            .collect();
        effects.clear();
        if sent.is_empty() {
            return steps;
        }
        speaker = 1 - speaker;
        for (path, body) in sent {
            let line = wrap(&body);
            nodes[speaker].hear(now, path, if path.0 == 0 { &line } else { &body }, effects);
            steps += 1;
        }
    }
}
