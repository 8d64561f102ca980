//! One pair from hello to goodbye in virtual time, by the shipped decision, as bytes: for the notes.

use std::collections::VecDeque;

use crosswire::config::{GroupPolicy, InJeopardy, PathPolicy, PathTiming, Policy};
use crosswire::frame::Body;
use crosswire::frame::message::{GroupReport, Message, SessionValue};
use crosswire::frame::seal::{group_tag, open};
use crosswire::frame::session::Entropy;
use crosswire::pair::{GroupId, PathId, PathKind, Role, Side, Word};
use crosswire::quorum::event::Demand;
use crosswire::quorum::{Effect, Effects, Event};
use crosswire::resource::{Order, Outcome, Ticket, Token};
use crosswire::station::Station;
use crosswire::time::{Instant, Span};

use crate::keys;
use crate::notes::shown;

const NAMES: [&str; 2] = ["gw1", "gw2"];
const WAY: Span = Span::from_ms(1);

/// What is under way to a node.
enum Thing {
    Datagram(Body),
    Done(Token, Outcome),
}

struct Pair {
    now: Instant,
    nodes: [Option<Station>; 2],
    coming: VecDeque<(Instant, Side, Thing)>,
    text: String,
    /// By side, what the newest beat that was shown said.
    shown: [Option<String>; 2],
}

fn policy() -> Policy {
    let ms = Span::from_ms;
    let timing = PathTiming { interval: ms(100), late_after: ms(300), dead_after: ms(500) };
    Policy {
        paths: [PathPolicy::new(PathKind::Lan, timing)].into_iter().collect(),
        groups: [GroupPolicy::addresses_only(group_tag("gateway"), Some(Side::A))].into_iter().collect(),
        lease: Span::from_s(1),
        cold_start: Span::from_s(60),
        in_jeopardy: InJeopardy::Hold,
        witnesses: 0,
        has_vote: false,
        carrier_delay: Span::from_ms(300),
        digest: [0xde, 0xad, 0xbe, 0xef],
    }
}

fn outcome(order: Order, at: Instant) -> Option<Outcome> {
    match order {
        Order::Acquire { .. } => Some(Outcome::Serving),
        Order::Renew { .. } => Some(Outcome::Renewed),
        Order::Release { .. } => Some(Outcome::Released),
        Order::Fence { .. } => Some(Outcome::Fenced),
        Order::Announce { .. } => None,
        Order::Probe { .. } => Some(Outcome::Probed { at }),
    }
}

fn role(group: &GroupReport) -> &'static str {
    match (group.role, group.word) {
        (Role::Backup, Word::None) => "backup",
        (Role::Backup, Word::Offered) => "backup that offers",
        (Role::Backup, Word::Wanted) => "backup that asks",
        (Role::Backup, Word::Yielded) => "backup that yielded",
        (Role::Backup, Word::Unable) => "backup that could not serve",
        (Role::Backup, Word::Unready) => "backup that is not ready",
        (Role::Acquiring, _) => "acquiring",
        (Role::Active, _) => "active",
        (Role::Releasing, _) => "releasing",
        (Role::Faulty, _) => "faulty",
    }
}

/// What a frame says, as far as an outsider follows it.
fn words(message: &Message, echo: SessionValue) -> String {
    match message {
        Message::Hello => "hello".into(),
        Message::Session(_) if echo == SessionValue::NONE => "session, answers the hello".into(),
        Message::Session(_) => "session, echoes the value".into(),
        Message::Beat(beat) => {
            let group = beat.groups.first().expect("one group");
            let flags = [(beat.standing.cold_start, ", in cold start"), (beat.standing.leaving, ", leaves")];
            let said = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag);
            format!("beat: {}, term {}{}", role(group), group.term, said.collect::<String>())
        }
        Message::Aside(_) => "aside".into(),
    }
}

impl Pair {
    fn new() -> Self {
        let now = Instant::from_us(1_000_000);
        let node = |side, number: u8| {
            let entropy = Entropy { incarnation: [number; 8], secret: [number; 16] };
            Some(Station::new("gateway", policy(), side, keys(), entropy, now))
        };
        let nodes = [node(Side::A, 0xa1), node(Side::B, 0xb2)];
        Self { now, nodes, coming: VecDeque::new(), text: String::new(), shown: [None, None] }
    }

    fn step(&mut self, side: Side, heard: Option<&Body>, events: &[Event<'_>]) {
        let mut effects = Effects::new();
        let Some(node) = &mut self.nodes[side.index()] else { return };
        heard.into_iter().for_each(|body| node.hear(self.now, PathId(0), body, &mut effects));
        for event in events {
            node.step(self.now, *event, &mut effects);
        }
        node.step(self.now, Event::GuardAlive, &mut effects);
        node.step(self.now, Event::Tick, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send(_, body) => {
                    self.show(side, &body);
                    self.coming.push_back((self.now + WAY, side.peer(), Thing::Datagram(body)));
                }
                Effect::Order(Ticket { token, order, .. }) => {
                    if let Some(outcome) = outcome(order, self.now) {
                        self.coming.push_back((self.now + WAY, side, Thing::Done(token, outcome)));
                    }
                }
                Effect::Exit => self.nodes[side.index()] = None,
                _ => {}
            }
        }
    }

    /// The handshake whole; of the beats those that say something new.
    fn show(&mut self, side: Side, body: &Body) {
        let opened = open(body).expect("one of ours");
        let message = opened.decode().expect("one of ours");
        let words = words(&message, opened.header.echo);
        if matches!(message, Message::Beat(_)) {
            let is_goodbye = words.ends_with("leaves");
            if self.shown[side.index()].as_ref() == Some(&words) && !is_goodbye {
                return;
            }
            self.shown[side.index()] = Some(words.clone());
        }
        let at = self.now.since(Instant::from_us(1_000_000));
        self.text += &format!("    {:4} ms  {}  {words}\n{}", at.as_ms(), NAMES[side.index()], shown(body));
    }

    /// Everything up to `ms` after the start.
    fn run_until(&mut self, ms: u64) {
        let end = Instant::from_us(1_000_000) + Span::from_ms(ms);
        loop {
            let due =
                |side: Side| self.nodes[side.index()].as_ref().map(|node| (node.due_at(self.now), side));
            let wake = [Side::A, Side::B].into_iter().filter_map(due).min();
            let arrives = self.coming.iter().map(|(at, ..)| *at).min();
            let next = wake.map(|(at, _)| at).into_iter().chain(arrives).min().unwrap_or(Instant::NEVER);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            let arrived = self.coming.iter().position(|(at, ..)| *at <= self.now);
            match (arrived.and_then(|index| self.coming.remove(index)), wake) {
                (Some((_, side, Thing::Datagram(body))), _) => self.step(side, Some(&body), &[]),
                (Some((_, side, Thing::Done(token, outcome))), _) => {
                    self.step(side, None, &[Event::Done(token, outcome)])
                }
                (None, Some((_, side))) => self.step(side, None, &[]),
                (None, None) => return,
            }
        }
    }

    fn say(&mut self, words: &str) {
        self.text += &format!("\n    {words}\n");
    }
}

/// The whole story.
pub fn text() -> String {
    let mut pair = Pair::new();
    for (side, starts_at) in [(Side::A, 0), (Side::B, 50)] {
        pair.run_until(starts_at);
        let begins =
            [Event::PathOpened(PathId(0)), Event::Interface(0, true), Event::Carrier(GroupId(0), true)];
        pair.step(side, None, &begins);
    }
    pair.run_until(3_000);
    pair.say("`crosswire handover gateway` on gw1");
    pair.step(Side::A, None, &[Event::Operator(Demand::Handover(GroupId(0)))]);
    pair.run_until(4_000);
    pair.say("gw2 is stopped");
    pair.step(Side::B, None, &[Event::Stop]);
    pair.run_until(4_500);
    pair.text
}
