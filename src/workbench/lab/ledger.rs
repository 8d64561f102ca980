//! Who held what when: the kernels' address events in their order, and what follows from it.

use std::net::IpAddr;

use crosswire::pair::Side;
use crosswire::time::{Instant, Span};

/// One node held one address for this long, on whatever interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Which node.
    pub side: Side,
    /// Since when.
    pub from: Instant,
    /// Until when; `None`: still.
    pub until: Option<Instant>,
}

/// What happened to one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact {
    /// Its kernel has this address on this interface from now on, or renewed it.
    Has(IpAddr, u32),
    /// Its kernel has it no more.
    HasNot(IpAddr, u32),
    /// It lost power: whatever its kernel still believes, nobody can hear it.
    PowerCut,
    /// It has power again; its kernel starts without addresses.
    PowerOn,
}

/// A fact about a node and when it was learned. Facts are listed in the order in which they became true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Which node.
    pub side: Side,
    /// When it was learned; never before it was true.
    pub at: Instant,
    /// What.
    pub fact: Fact,
}

/// All events of a run, in order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    events: Vec<Event>,
}

/// State of one node while the events are walked through.
#[derive(Default)]
struct Walk {
    interfaces: Vec<u32>,
    is_off: bool,
    holds: bool,
}

impl Walk {
    /// Applies a fact about `ip`; whether the node then holds it.
    fn apply(&mut self, ip: IpAddr, fact: Fact) -> bool {
        match fact {
            Fact::Has(has, interface) if has == ip && !self.interfaces.contains(&interface) => {
                self.interfaces.push(interface);
            }
            Fact::HasNot(lost, interface) if lost == ip => self.interfaces.retain(|i| *i != interface),
            Fact::Has(..) | Fact::HasNot(..) => {}
            Fact::PowerCut => self.is_off = true,
            Fact::PowerOn => {
                self.is_off = false;
                self.interfaces.clear();
            }
        }
        !self.is_off && !self.interfaces.is_empty()
    }
}

impl Ledger {
    /// Adds what was learned last.
    pub fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Everything so far.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Whether each node holds `ip` after the last event, by [`Side::index`].
    pub fn holders(&self, ip: IpAddr) -> [bool; 2] {
        let mut holders = [false; 2];
        self.walk(ip, |_, now_holding| holders = now_holding);
        holders
    }

    /// Since when the holders of `ip` are as `wanted`; `None` if they are not now, [`Instant::ORIGIN`] if
    /// they always were.
    pub fn since(&self, ip: IpAddr, wanted: impl Fn([bool; 2]) -> bool) -> Option<Instant> {
        let mut since = wanted([false; 2]).then_some(Instant::ORIGIN);
        self.walk(ip, |event, holders| {
            since = if wanted(holders) { since.or(Some(event.at)) } else { None };
        });
        since
    }

    /// Every hold of `ip`, by its start. A renewal starts none.
    pub fn holds(&self, ip: IpAddr) -> Vec<Hold> {
        let mut holds: Vec<Hold> = Vec::new();
        let mut before = [false; 2];
        self.walk(ip, |event, holders| {
            let index = event.side.index();
            if holders[index] && !before[index] {
                holds.push(Hold { side: event.side, from: event.at, until: None });
            } else if before[index] && !holders[index] {
                let open = holds.iter_mut().rev().find(|hold| hold.side == event.side);
                open.expect("a hold that ends has begun").until = Some(event.at);
            }
            before = holders;
        });
        holds
    }

    /// How long both nodes held `ip` at once, up to `now`. Decided by the order of the events alone; each
    /// overlap counts at least a microsecond, even if both events were read at the same instant, so that zero
    /// means that there was none.
    pub fn overlap(&self, ip: IpAddr, now: Instant) -> Span {
        let mut total_us = 0;
        let mut since: Option<Instant> = None;
        self.walk(ip, |event, holders| match (since, holders) {
            (None, [true, true]) => since = Some(event.at),
            (Some(start), [false, _] | [_, false]) => {
                total_us += event.at.since(start).as_us().max(1);
                since = None;
            }
            _ => {}
        });
        if let Some(start) = since {
            total_us += now.since(start).as_us().max(1);
        }
        Span::from_us(total_us)
    }

    fn walk(&self, ip: IpAddr, mut seen: impl FnMut(&Event, [bool; 2])) {
        let mut nodes = [Walk::default(), Walk::default()];
        for event in &self.events {
            let node = &mut nodes[event.side.index()];
            node.holds = node.apply(ip, event.fact);
            seen(event, [nodes[0].holds, nodes[1].holds]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 100));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const HAS: Fact = Fact::Has(VIP, 2);
    const HAS_NOT: Fact = Fact::HasNot(VIP, 2);

    fn ledger(events: &[(Side, u64, Fact)]) -> Ledger {
        let mut ledger = Ledger::default();
        for &(side, at_us, fact) in events {
            ledger.push(Event { side, at: Instant::from_us(at_us), fact });
        }
        ledger
    }

    fn overlap_us(events: &[(Side, u64, Fact)]) -> u64 {
        ledger(events).overlap(VIP, Instant::from_us(1_000)).as_us()
    }

    #[test]
    fn order_decides_even_at_the_same_instant() {
        assert_eq!(overlap_us(&[(Side::A, 1, HAS), (Side::A, 5, HAS_NOT), (Side::B, 5, HAS)]), 0);
        assert_eq!(overlap_us(&[(Side::A, 1, HAS), (Side::B, 5, HAS), (Side::A, 5, HAS_NOT)]), 1);
        assert_eq!(overlap_us(&[(Side::A, 1, HAS), (Side::B, 5, HAS), (Side::A, 25, HAS_NOT)]), 20);
    }

    #[test]
    fn an_overlap_that_lasts_grows_and_several_add_up() {
        assert_eq!(overlap_us(&[(Side::A, 100, HAS), (Side::B, 300, HAS)]), 700);
        let twice = [
            (Side::B, 1, HAS),
            (Side::A, 2, HAS),
            (Side::A, 4, HAS_NOT),
            (Side::A, 6, HAS),
            (Side::B, 9, HAS_NOT),
        ];
        assert_eq!(overlap_us(&twice), 5);
    }

    #[test]
    fn a_state_is_known_since_the_event_that_made_it() {
        let ledger = ledger(&[
            (Side::A, 1, HAS),
            (Side::A, 2, HAS),
            (Side::A, 4, HAS_NOT),
            (Side::B, 6, HAS),
            (Side::B, 8, HAS),
        ]);
        assert_eq!(ledger.since(VIP, |holders| holders == [false, true]), Some(Instant::from_us(6)));
        assert_eq!(ledger.since(VIP, |holders| holders[0]), None);
        assert_eq!(ledger.since(OTHER, |holders| holders == [false, false]), Some(Instant::ORIGIN));
    }

    #[test]
    fn a_renewal_is_no_new_hold_and_another_address_no_hold_at_all() {
        let ledger = ledger(&[
            (Side::A, 1, HAS),
            (Side::A, 2, HAS),
            (Side::A, 3, Fact::Has(OTHER, 2)),
            (Side::A, 4, HAS_NOT),
        ]);
        let hold = Hold { side: Side::A, from: Instant::from_us(1), until: Some(Instant::from_us(4)) };
        assert_eq!(ledger.holds(VIP), [hold]);
        assert_eq!(ledger.holders(VIP), [false, false]);
        assert_eq!(ledger.holders(OTHER), [true, false]);
    }

    #[test]
    fn an_address_on_two_interfaces_is_held_until_the_last_is_gone() {
        let mut ledger = ledger(&[(Side::B, 1, HAS), (Side::B, 2, Fact::Has(VIP, 3)), (Side::B, 3, HAS_NOT)]);
        assert_eq!(ledger.holders(VIP), [false, true]);
        ledger.push(Event { side: Side::B, at: Instant::from_us(4), fact: Fact::HasNot(VIP, 3) });
        assert_eq!(ledger.holders(VIP), [false, false]);
        assert_eq!(ledger.holds(VIP).len(), 1);
    }

    #[test]
    fn a_node_without_power_holds_nothing_whatever_its_kernel_does() {
        let cut = [
            (Side::A, 1, HAS),
            (Side::A, 10, Fact::PowerCut),
            (Side::B, 20, HAS),
            (Side::A, 30, HAS),
            (Side::A, 40, HAS_NOT),
        ];
        assert_eq!(overlap_us(&cut), 0);
        let holds = ledger(&cut).holds(VIP);
        assert_eq!(holds[0].until, Some(Instant::from_us(10)));
        assert_eq!(holds.len(), 2);
        let back = [
            (Side::A, 1, HAS),
            (Side::A, 2, Fact::PowerCut),
            (Side::B, 3, HAS),
            (Side::A, 4, Fact::PowerOn),
            (Side::A, 990, HAS),
        ];
        assert_eq!(overlap_us(&back), 10);
    }
}
