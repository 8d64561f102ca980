//! Two other rules, for comparison in the same world: a pair with one path only, and a pair that believes the
//! silence of all its paths without asking what it proves.

use crosswire::config::Policy;
use crosswire::frame::Body;
use crosswire::pair::{GroupId, PathId, PathKind, Side};
use crosswire::quorum::{Effect, Effects, Event};
use crosswire::resource::{Order, Outcome, ReleaseOrder, Ticket, Token};
use crosswire::time::{Instant, Span};

use super::setup::Setup;

/// The rule by which a pair decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The shipped core.
    Crosswire,
    /// One path (the first LAN); its silence is death. As VRRP.
    OnePath,
    /// All paths; when the last one is silent the peer is dead, and a path that was broken before counts as
    /// silent. As Heartbeat.
    AllSilent,
}

/// A node that goes by one of the other rules. It serves or it does not; its beats say which.
#[derive(Clone)]
pub struct Rival {
    rule: Rule,
    policy: Policy,
    me: Side,
    is_active: bool,
    started_at: Instant,
    heard_at: Vec<Option<Instant>>,
    peer_is_active: bool,
    beat_at: Instant,
    has_carrier: bool,
    token: u32,
}

impl Rival {
    /// A node that starts now.
    pub fn new(rule: Rule, setup: &Setup, me: Side, now: Instant) -> Self {
        Self {
            rule,
            policy: setup.policy.clone(),
            me,
            is_active: false,
            started_at: now,
            heard_at: vec![None; setup.policy.paths.len()],
            peer_is_active: false,
            beat_at: now,
            has_carrier: true,
            token: 0,
        }
    }

    /// The instant at which a tick is due.
    pub fn next_deadline(&self) -> Instant {
        self.beat_at
    }

    /// One event.
    pub fn step(&mut self, now: Instant, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Tick => self.tick(now, effects),
            Event::Carrier(_, is_up) => {
                if is_up && !self.has_carrier {
                    // As after a start: listen first.
                    self.started_at = now;
                    self.heard_at.fill(None);
                    self.peer_is_active = false;
                }
                self.has_carrier = is_up;
            }
            Event::Stop => {
                self.become_backup(effects);
                let _ = effects.push(Effect::Exit);
            }
            Event::Done(_, Outcome::Failed(_)) => self.is_active = false,
            _ => {}
        }
    }

    fn uses(&self, path: PathId) -> bool {
        let first_lan =
            self.policy.path_ids().find(|path| self.policy.paths[path.index()].kind == PathKind::Lan);
        self.rule == Rule::AllSilent || first_lan == Some(path)
    }

    /// Reads a beat: `S`, and whether its sender serves. It skips the delimiters of the cable.
    pub fn hear(&mut self, now: Instant, path: PathId, bytes: &[u8], effects: &mut Effects) {
        let Some(at) = bytes.iter().position(|byte| *byte == b'S') else { return };
        if !self.uses(path) {
            return;
        }
        self.heard_at[path.index()] = Some(now);
        self.peer_is_active = bytes.get(at + 1) == Some(&b'1');
        // If two serve, the one with the lower name keeps the addresses.
        if self.peer_is_active && self.is_active && self.me == Side::B {
            self.become_backup(effects);
        }
    }

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        let dead_after = self.policy.longest_dead_after();
        let first_wait = if self.me == Side::A { Span::ZERO } else { dead_after };
        let last = self.heard_at.iter().copied().flatten().max().unwrap_or(self.started_at + first_wait);
        let is_silent = now.since(last) >= dead_after;
        let is_vacant = !self.peer_is_active && now.since(self.started_at) >= dead_after + first_wait;
        if !self.is_active && self.has_carrier && (is_silent || is_vacant) {
            self.is_active = true;
            for group in self.policy.group_ids() {
                self.order(Order::Acquire { group, term: 1 }, effects);
            }
        }
        if !self.has_carrier {
            self.become_backup(effects);
        }
        if now >= self.beat_at {
            self.beat_at = now + self.policy.interval();
            let body = [b'S', if self.is_active { b'1' } else { b'0' }];
            for path in self.policy.path_ids().filter(|path| self.uses(*path)) {
                let _ = effects.push(Effect::Send(path, Body::from_slice(&body).unwrap_or_default()));
            }
        }
    }

    fn become_backup(&mut self, effects: &mut Effects) {
        if std::mem::take(&mut self.is_active) {
            for group in self.policy.group_ids() {
                self.release(group, effects);
            }
        }
    }

    fn release(&mut self, group: GroupId, effects: &mut Effects) {
        self.order(Order::Release { group, first: ReleaseOrder::AddressesFirst }, effects);
    }

    fn order(&mut self, order: Order, effects: &mut Effects) {
        self.token += 1;
        let ticket = Ticket { token: Token(self.token), valid_until: Instant::NEVER, order };
        let _ = effects.push(Effect::Order(ticket));
    }
}
