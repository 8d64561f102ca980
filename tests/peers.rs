//! A peer with another file, and one that errs: stories in virtual time.
//!
//! Times are those of the failure catalogue where nothing else is said: interval 100 ms, late_after 300 ms,
//! dead_after 500 ms, lease 1 s.

#[path = "../src/workbench/simulate/mod.rs"]
#[expect(dead_code, reason = "the stories use a part of the simulator")]
mod simulate;

use crosswire::config::{GroupPolicy, InJeopardy, PathTiming, Policy, Speed};
use crosswire::frame::message::{Ack, Beat, GroupReport, Standing};
use crosswire::frame::session::{Accepted, Entropy, Session};
use crosswire::frame::{Body, Key, Keyring, Version};
use crosswire::pair::{GroupId, PathId, PathKind, Role, Side, Word};
use crosswire::quorum::record::Record;
use crosswire::quorum::{Effect, Effects, Event};
use crosswire::reasons::ReleaseReason;
use crosswire::resource::{Order, Outcome, Token};
use crosswire::station::Station;
use crosswire::time::{Instant, Span};
use simulate::fault::{Fault, Way, WitnessId};
use simulate::files::{OTHER_DIGEST, OtherFile};
use simulate::setup::{Place, Setup, Wiring};
use simulate::trace::Trace;
use simulate::world::{SIDES, World};

const SERIAL: PathId = PathId(0);
const LAN: PathId = PathId(1);
const GATEWAY: GroupId = GroupId(0);
const ROUTER: WitnessId = WitnessId(0);

fn ms(ms: u64) -> Span {
    Span::from_ms(ms)
}

fn with_times(policy: &mut Policy, timing: PathTiming, lease: Span) {
    policy.paths.iter_mut().for_each(|path| path.timing = timing);
    policy.lease = lease;
}

fn with_witness(mut setup: Setup) -> Setup {
    setup.witnesses = vec![Place::Lan];
    setup.policy.witnesses = 1;
    setup.policy.in_jeopardy = InJeopardy::Witness;
    setup
}

/// Another file beside that of `setup`, and a box that has it from the beginning.
fn with_other(mut setup: Setup, differs: Option<Side>, change: impl Fn(&mut Policy)) -> Setup {
    let mut other = OtherFile::same(&setup.policy);
    change(&mut other.policy);
    (setup.other, setup.differs) = (Some(other), differs);
    setup
}

fn both_on(setup: Setup) -> World {
    let mut world = World::new(setup, 1);
    world.befall(Fault::PowerOn(Side::A));
    world.run_for(ms(37));
    world.befall(Fault::PowerOn(Side::B));
    world.begin_story();
    world
}

fn assert_no_overlap(world: &World) {
    assert_eq!(world.watch.past_overlaps, [], "two holders; story: {:#?}", world.story);
    assert_eq!(world.watch.violation, None, "story: {:#?}", world.story);
}

fn count(world: &World, is_it: impl Fn(&Record) -> bool) -> usize {
    world.recorded().filter(|(_, record)| is_it(record)).count()
}

fn is_taking(record: &Record) -> bool {
    matches!(record, Record::Taking { .. })
}

fn trace_breaks_nothing(text: &str) -> World {
    let trace = Trace::parse(text).expect("a trace");
    let mut world = World::new(trace.schedule.setup.clone(), trace.schedule.seed);
    world.begin_story();
    assert_eq!(trace.schedule.run_in(&mut world).violation, None);
    world
}

/// Normal and fast, in both places, with a witness: whoever goes first through a rolling change of times,
/// nothing moves.
#[test]
fn a_rolling_change_of_times_moves_nothing() {
    let speeds = [(Speed::Normal, Speed::Fast), (Speed::Fast, Speed::Normal), (Speed::Gentle, Speed::Fast)];
    for (here, there) in speeds {
        for is_change_under_way in [false, true] {
            let mut setup = with_witness(Setup::reference());
            with_times(&mut setup.policy, here.timing(), here.lease());
            setup.bauds[0] = 115_200;
            let differs = (!is_change_under_way).then_some(Side::B);
            let setup =
                with_other(setup, differs, |policy| with_times(policy, there.timing(), there.lease()));
            let mut world = both_on(setup);
            world.run_for(Span::from_s(10));
            assert_eq!(world.holders(GATEWAY), [Side::A]);
            if is_change_under_way {
                world.befall(Fault::Digest(Side::B, OTHER_DIGEST));
                world.befall(Fault::Kill(Side::B));
                world.befall(Fault::Start(Side::B));
            }
            for _ in 0..3_000 {
                world.run_for(ms(10));
                assert_eq!(world.holders(GATEWAY), [Side::A], "{here:?} and {there:?}: {:#?}", world.story);
            }
            let flaps =
                count(&world, |record| matches!(record, Record::Verdict { .. } | Record::Releasing { .. }));
            assert!(flaps <= 8, "{here:?} and {there:?}: {flaps}: {:#?}", world.story);
            assert_no_overlap(&world);
        }
    }
}

/// With two files the slower one counts for a takeover, and for who has to let go before it.
#[test]
fn a_power_cut_between_two_files_is_taken_over_by_the_slower_one() {
    for differs in SIDES {
        let mut setup = Setup::reference();
        setup.bauds[0] = 115_200;
        let setup = with_other(setup, Some(differs), |policy| {
            with_times(policy, Speed::Normal.timing(), Speed::Normal.lease());
        });
        let mut world = both_on(setup);
        world.run_for(Span::from_s(10));
        world.befall(Fault::PowerCut(Side::A));
        let took =
            world.run_until(Span::from_s(5), |world| world.holds(Side::B, GATEWAY)).expect("B takes over");
        assert!(took >= ms(1_250) && took <= ms(1_600), "{took}");
        assert_no_overlap(&world);
    }
}

/// One-way loss on both paths between two files, either way and either file: one holder, never two.
#[test]
fn one_way_loss_between_two_files_never_makes_two_holders() {
    for from in SIDES {
        for differs in SIDES {
            for phase in 0..20 {
                let mut setup = Setup::reference();
                setup.bauds[0] = 115_200;
                let setup = with_other(setup, Some(differs), |policy| {
                    with_times(policy, Speed::Normal.timing(), Speed::Normal.lease());
                });
                let mut world = both_on(setup);
                world.run_for(Span::from_s(10) + ms(13 * phase));
                for path in [SERIAL, LAN] {
                    world.befall(Fault::Cut(path, Way::From(from)));
                }
                world.run_for(Span::from_s(10));
                assert_eq!(world.holders(GATEWAY).len(), 1, "{:#?}", world.story);
                assert_no_overlap(&world);
            }
        }
    }
}

/// Both boot while the switch between them is still off, and each has itself for the preferred node, or each
/// the other one.
#[test]
fn two_files_that_prefer_different_nodes_settle_on_one() {
    for [first, second] in [[Side::A, Side::B], [Side::B, Side::A]] {
        for switch_on_ms in (0..2_000).step_by(40) {
            let mut setup = Setup::reference();
            setup.policy.cold_start = Span::from_s(5);
            setup.policy.groups[0].prefer = Some(first);
            let setup = with_other(setup, Some(Side::B), |policy| policy.groups[0].prefer = Some(second));
            let mut world = World::new(setup, switch_on_ms);
            world.befall(Fault::SwitchOff(LAN));
            world.befall(Fault::Cut(SERIAL, Way::Both));
            for side in SIDES {
                world.befall(Fault::PowerOn(side));
            }
            world.run_for(ms(4_500 + switch_on_ms));
            world.befall(Fault::SwitchOn(LAN));
            world.befall(Fault::Mend(SERIAL));
            world.run_for(Span::from_s(3));
            assert_eq!(
                world.holders(GATEWAY).len(),
                1,
                "settled, {switch_on_ms}: {:#?}",
                world.watch.violation
            );
            assert_eq!(world.watch.violation, None);
        }
    }
}

/// Two groups that beats cannot tell apart between two files: somebody serves both after a boot, and a split
/// ends.
#[test]
fn groups_that_cannot_be_told_apart_are_served_and_settled() {
    let mut setup = Setup::reference();
    let second = GroupPolicy { prefer: Some(Side::B), ..setup.policy.groups[0] };
    setup.policy.groups.push(second).expect("room");
    let mut setup = Setup::of(setup.policy);
    setup.policy.cold_start = Span::from_s(5);
    let mut world = both_on(with_other(setup, Some(Side::B), |_| {}));
    world.run_for(Span::from_s(3));
    let groups = [GroupId(0), GroupId(1)];
    groups.iter().for_each(|group| assert_eq!(world.holders(*group).len(), 1, "{:#?}", world.story));
    world.befall(Fault::Cut(LAN, Way::Both));
    world.befall(Fault::Cut(SERIAL, Way::Both));
    world.run_for(Span::from_s(5));
    groups.iter().for_each(|group| assert_eq!(world.holders(*group).len(), 2, "the documented split"));
    world.befall(Fault::Mend(LAN));
    world.run_for(Span::from_s(3));
    groups.iter().for_each(|group| assert_eq!(world.holders(*group).len(), 1, "{:#?}", world.story));
    assert_eq!(world.watch.violation, None);
}

/// A witness that only one of two files names moves nothing.
#[test]
fn a_witness_of_one_file_moves_nothing() {
    for differs in SIDES {
        let setup = with_other(with_witness(Setup::reference()), Some(differs), |policy| {
            (policy.witnesses, policy.in_jeopardy) = (0, InJeopardy::Hold);
        });
        let mut world = both_on(setup);
        world.run_for(Span::from_s(30));
        assert_eq!(count(&world, is_taking), 1, "{:#?}", world.story);
        assert_eq!(world.holders(GATEWAY), [Side::A]);
        assert_no_overlap(&world);
    }
}

/// A goodbye is worth dead_after. Then its sender may be back, and what it holds is asked for.
#[test]
fn an_old_goodbye_is_silence() {
    let world = trace_breaks_nothing(include_str!("traces/stale-goodbye-taken-without-a-probe.txt"));
    assert_no_overlap(&world);
    assert_eq!(world.holders(GATEWAY), [Side::A], "{:#?}", world.story);
}

/// The peer that said goodbye stays away: who could not take at once takes later, by the probe and the rule
/// of the group.
#[test]
fn what_a_peer_that_left_held_is_taken_later_too() {
    let mut world = both_on(Setup::reference());
    world.run_for(Span::from_s(4));
    world.befall(Fault::BadKernel(Side::B));
    world.befall(Fault::Stop(Side::A));
    world.run_for(Span::from_s(5));
    assert_eq!(world.holders(GATEWAY), []);
    world.befall(Fault::GoodKernel(Side::B));
    world.run_until(Span::from_s(15), |world| world.holds(Side::B, GATEWAY)).expect("B takes it");
    assert_no_overlap(&world);
}

/// The fastest preset with a witness: the standby's power cut, at any instant, costs the active node nothing.
#[test]
fn a_backup_that_loses_power_beside_a_witness_costs_nothing() {
    for wiring in [Wiring::Full, Wiring::Three] {
        for speed in [Speed::Fast, Speed::Normal] {
            for phase in 0..60 {
                let mut setup = with_witness(Setup::reference());
                with_times(&mut setup.policy, speed.timing(), speed.lease());
                (setup.bauds[0], setup.wirings[0]) = (115_200, wiring);
                let mut world = both_on(setup);
                world.run_for(Span::from_s(6) + ms(phase));
                world.befall(Fault::PowerCut(Side::B));
                for _ in 0..400 {
                    world.run_for(ms(10));
                    assert_eq!(world.holders(GATEWAY), [Side::A], "{speed:?}, {phase}: {:#?}", world.story);
                }
                assert_no_overlap(&world);
            }
        }
    }
}

/// A node that was restarted where it cannot be heard hears the other one on the cable, whose frames prove
/// nothing. Somebody who has our key is somebody.
#[test]
fn who_hears_somebody_with_our_key_takes_nothing() {
    let world = trace_breaks_nothing(include_str!("traces/restarted-in-doubt-takes.txt"));
    assert_no_overlap(&world);
    assert!(world.watch.taken[1][0].is_none(), "{:#?}", world.story);
}

/// A witness that loses half of its echoes moves a group once to and once fro.
#[test]
fn a_witness_that_loses_half_of_its_echoes_moves_little() {
    let mut world = both_on(with_witness(Setup::reference()));
    world.run_for(Span::from_s(5));
    world.befall(Fault::WitnessLoss(ROUTER, 500));
    world.run_for(Span::from_s(600));
    let moves =
        count(&world, |record| matches!(record, Record::Releasing { reason: ReleaseReason::WorseOff, .. }));
    assert!(moves <= 3, "{moves}");
    assert_no_overlap(&world);
}

/// Standby here, then `standby --force` there: both operators mean it.
#[test]
fn a_forced_standby_cancels_no_other() {
    for first in SIDES {
        let mut world = both_on(Setup::reference());
        world.run_for(Span::from_s(4));
        world.befall(Fault::Standby(first));
        world.run_for(Span::from_s(3));
        assert_eq!(world.holders(GATEWAY), [first.peer()]);
        world.befall(Fault::ForceStandby(first.peer()));
        world.run_for(Span::from_s(30));
        assert_eq!(world.holders(GATEWAY), [], "{first:?}: {:#?}", world.story);
    }
}

/// A node of the shipped core, its guard, and a peer that has the key and says what it likes.
struct Beside {
    node: Station,
    peer: Session,
    now: Instant,
    /// The last thing that the node said, and what the peer makes of it.
    heard: Option<Beat>,
    /// What the peer says of the group.
    says: (Role, u32, Word),
    /// It acknowledges no newer beat than this one.
    acks_at_most: u32,
    /// It says goodbye.
    says_goodbye: bool,
    /// It says that our kernel answers for what it serves.
    says_still_held: bool,
    /// Its kernel answers for the group's address.
    is_kernel_holding: bool,
    /// Our guard takes its time to confirm that we have the addresses: of this order, once there is one.
    unconfirmed: Option<Option<Token>>,
    records: Vec<Record>,
    orders: Vec<(Instant, Order)>,
}

const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

impl Beside {
    fn new() -> Self {
        Self::with_policy(Setup::reference().policy)
    }

    fn with_policy(policy: Policy) -> Self {
        let now = Instant::from_us(60_000_000);
        let keys = || Keyring::new("pair", &[Key { id: 1, bytes: [7; 16].into_iter().collect() }]);
        let entropy = |fill| Entropy { incarnation: [fill; 8], secret: [fill; 16] };
        let mut node = Station::new("pair", policy, Side::A, keys(), entropy(1), now);
        for event in [Event::PathOpened(LAN), Event::Carrier(GATEWAY, true)] {
            node.step(now, event, &mut Effects::new());
        }
        Self {
            node,
            peer: Session::new("pair", Side::B, keys(), entropy(2), ms(10), now),
            now,
            heard: None,
            says: (Role::Backup, 0, Word::None),
            acks_at_most: u32::MAX,
            says_goodbye: false,
            says_still_held: false,
            is_kernel_holding: false,
            unconfirmed: None,
            records: Vec::new(),
            orders: Vec::new(),
        }
    }

    fn step(&mut self, event: Event<'_>) {
        let mut effects = Effects::new();
        self.node.step(self.now, event, &mut effects);
        self.carry_out(effects);
    }

    fn hear(&mut self, body: &Body) {
        let mut effects = Effects::new();
        self.node.hear(self.now, LAN, body, &mut effects);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Send(LAN, body) => self.peer_hears(&body),
                Effect::Record(record) => self.records.push(record),
                Effect::Order(ticket) => {
                    self.orders.push((self.now, ticket.order));
                    let outcome = match ticket.order {
                        Order::Acquire { .. } if self.unconfirmed.is_some() => {
                            self.unconfirmed = Some(Some(ticket.token));
                            continue;
                        }
                        Order::Acquire { .. } => Outcome::Serving,
                        Order::Renew { .. } => Outcome::Renewed,
                        Order::Release { .. } => Outcome::Released,
                        Order::Probe { .. } => Outcome::Probed { at: self.now },
                        Order::Announce { .. } | Order::Fence { .. } => continue,
                    };
                    self.step(Event::Done(ticket.token, outcome));
                    if matches!(ticket.order, Order::Probe { .. }) && self.is_kernel_holding {
                        self.step(Event::VipAnswered(GATEWAY, THEIR_MAC, None));
                    }
                }
                _ => {}
            }
        }
    }

    /// The guard lives.
    fn tick(&mut self) {
        self.step(Event::GuardAlive);
        self.step(Event::Tick);
    }

    fn peer_hears(&mut self, body: &Body) {
        match self.peer.receive(self.now, LAN, PathKind::Lan, body) {
            Ok(Accepted::Beat(beat, _)) => self.heard = Some(beat),
            Ok(Accepted::Asked(answer) | Accepted::Adopted(answer)) => {
                let body = self.peer.seal_answer(LAN, answer);
                self.hear(&body);
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// The peer's beat: the node's own, but for what it says of the group.
    fn peer_speaks(&mut self) {
        let Some(mut beat) = self.heard.clone() else {
            let hello = self.peer.seal_hello(Version::Two, LAN);
            return self.hear(&hello);
        };
        let (role, term, word) = self.says;
        beat.ack = Ack::Whole(self.peer.newest().min(self.acks_at_most));
        beat.standing =
            Standing { leaving: self.says_goodbye, still_held: self.says_still_held, ..Standing::default() };
        beat.paths.iter_mut().for_each(|path| path.age_sixteenths = 0);
        beat.groups = [GroupReport { tag: 1, role, term, word }].into_iter().collect();
        let number = self.peer.next_number();
        if let Some(body) = self.peer.seal_beat(LAN, number, &beat) {
            self.hear(&body);
        }
    }

    fn run_for(&mut self, span: Span) {
        let until = self.now + span;
        while self.now < until {
            self.now = self.now + ms(50);
            self.tick();
            self.now = self.now + ms(50);
            self.peer_speaks();
            self.tick();
        }
    }

    fn role(&self) -> Role {
        self.node.status(self.now).groups[0].role
    }

    fn count(&self, is_it: impl Fn(&Record) -> bool) -> usize {
        self.records.iter().filter(|record| is_it(record)).count()
    }
}

/// A peer that asks for a group and does not take it is let have it once, and then ever more rarely.
#[test]
fn a_peer_that_asks_and_does_not_take_is_offered_ever_more_rarely() {
    let mut beside = Beside::new();
    beside.run_for(Span::from_s(5));
    assert_eq!(beside.role(), Role::Active);
    beside.says = (Role::Backup, 0, Word::Wanted);
    beside.run_for(Span::from_s(120));
    let moves = beside.count(|record| matches!(record, Record::Releasing { .. }));
    assert!((2..=5).contains(&moves), "{moves} moves in two minutes");
}

/// Nobody takes what nobody holds before the peer has heard that it would.
#[test]
fn a_claim_that_was_not_heard_is_none() {
    let mut beside = Beside::new();
    beside.acks_at_most = 1;
    beside.run_for(Span::from_s(5));
    assert_eq!(beside.role(), Role::Backup);
    beside.acks_at_most = u32::MAX;
    beside.run_for(Span::from_s(1));
    assert_eq!(beside.role(), Role::Active);
}

/// The node that goes second takes nothing while the first one says that it is about to.
#[test]
fn the_second_node_yields_to_a_claim_of_the_first() {
    let mut policy = Setup::reference().policy;
    policy.groups[0].prefer = Some(Side::B);
    let mut beside = Beside::with_policy(policy);
    beside.says = (Role::Backup, 0, Word::Wanted);
    beside.run_for(Span::from_s(20));
    assert_eq!(beside.role(), Role::Backup);
    beside.says = (Role::Backup, 0, Word::None);
    beside.run_for(Span::from_s(1));
    assert_eq!(beside.role(), Role::Active, "it claims no longer, and it had its time");
}

/// A peer with the key may say that it serves whenever this node does, and let go whenever it does not: by an
/// offer, as a vacant group, with a goodbye. How often that can move the group has a bound.
#[test]
fn a_peer_that_errs_without_end_moves_the_group_ever_more_rarely() {
    for (word, says_goodbye) in [(Word::Offered, false), (Word::None, false), (Word::None, true)] {
        let mut beside = Beside::new();
        beside.run_for(Span::from_s(5));
        let mut term = 1;
        let until = beside.now + Span::from_s(120);
        while beside.now < until {
            beside.now = beside.now + ms(5);
            if beside.role().is_holding() {
                term += 1;
                (beside.says, beside.says_goodbye) = ((Role::Active, term, Word::None), false);
            } else {
                (beside.says, beside.says_goodbye) = ((Role::Backup, term, word), says_goodbye);
            }
            beside.peer_speaks();
            beside.tick();
        }
        let moves = beside.count(|record| matches!(record, Record::Taking { .. }));
        assert!((5..=20).contains(&moves), "{word:?} {says_goodbye}: taken {moves} times in two minutes");
    }
}

/// The same with a peer that says everything in turn.
#[test]
fn a_peer_that_says_something_else_in_every_beat_moves_the_group_seldom() {
    let roles = [Role::Acquiring, Role::Active, Role::Releasing, Role::Faulty].map(|role| (role, Word::None));
    let words = [Word::None, Word::Offered, Word::Wanted, Word::Yielded, Word::Unable]
        .map(|word| (Role::Backup, word));
    let mut beside = Beside::new();
    beside.run_for(Span::from_s(5));
    for (role, word) in roles.into_iter().chain(words).cycle().take(12_000) {
        let term = beside.node.status(beside.now).groups[0].term;
        beside.now = beside.now + ms(1);
        beside.says = (role, term, word);
        beside.peer_speaks();
        beside.step(Event::Tick);
    }
    let moves = beside.count(|record| matches!(record, Record::Taking { .. }));
    assert!((2..=12).contains(&moves), "taken {moves} times in twelve seconds");
}

/// A peer that serves too, under a term that is not higher, and does not let go: that is shouted while it
/// lasts.
#[test]
fn two_that_serve_are_shouted_while_they_last() {
    let mut beside = Beside::new();
    beside.run_for(Span::from_s(5));
    let both_serve = |beside: &Beside| beside.node.status(beside.now).groups[0].both_serve;
    assert_eq!(both_serve(&beside), None);
    beside.says = (Role::Active, 1, Word::None);
    beside.run_for(Span::from_s(3));
    assert_eq!(beside.role(), Role::Active, "at one term the lower name keeps it");
    assert!(both_serve(&beside).is_some_and(|lasts| lasts >= Span::from_s(2)));
    assert_eq!(beside.count(|record| matches!(record, Record::BothServe(GATEWAY))), 1);
    assert_eq!(beside.count(|record| matches!(record, Record::Incident(_))), 0, "it is not over");
    beside.says = (Role::Backup, 1, Word::None);
    beside.run_for(Span::from_s(1));
    assert_eq!(both_serve(&beside), None);
    assert_eq!(beside.count(|record| matches!(record, Record::Incident(_))), 1);
}

/// A peer says that it has let a group go, and its kernel has not: the group is taken at once, the question
/// that leaves with that is answered, and the operator told.
#[test]
fn a_peer_whose_kernel_keeps_what_it_let_go_is_found_out() {
    // It is known by what it had announced, or by the MAC of its own address.
    for known_by in [Event::VipAnswered(GATEWAY, THEIR_MAC, None), Event::PeerAnswered(Some(LAN), THEIR_MAC)]
    {
        is_found_out(known_by);
    }
}

fn is_found_out(known_by: Event<'_>) {
    let mut beside = Beside::new();
    beside.says = (Role::Active, 1, Word::None);
    beside.is_kernel_holding = true;
    beside.run_for(Span::from_s(3));
    beside.step(known_by);
    assert_eq!(beside.role(), Role::Backup);
    beside.says = (Role::Backup, 1, Word::Offered);
    let offered_at = beside.now;
    beside.run_for(ms(100));
    assert_eq!(beside.role(), Role::Active, "a planned move waits for nothing");
    let asked =
        beside.orders.iter().any(|(at, order)| matches!(order, Order::Probe { .. }) && *at > offered_at);
    assert!(asked, "{:?}", beside.orders);
    beside.says = (Role::Backup, 1, Word::None);
    beside.run_for(Span::from_s(2));
    assert!(beside.node.status(beside.now).groups[0].both_serve.is_some());
    assert_eq!(
        beside.count(|record| matches!(record, Record::BothServe(GATEWAY))),
        1,
        "{:?}",
        beside.records
    );
    assert!(beside.heard.as_ref().is_some_and(|beat| beat.standing.still_held), "the peer is told");
    beside.is_kernel_holding = false;
    beside.run_for(Span::from_s(3));
    assert_eq!(beside.node.status(beside.now).groups[0].both_serve, None);
    assert_eq!(beside.count(|record| matches!(record, Record::Incident(_))), 1);
    assert_eq!(beside.role(), Role::Active);
}

/// Its kernel answers before ours has confirmed that we have the addresses too: both have them from then on,
/// and it is one incident.
#[test]
fn an_answer_that_overtakes_our_own_confirmation_begins_no_incident_of_its_own() {
    let mut beside = Beside::new();
    beside.says = (Role::Active, 1, Word::None);
    beside.is_kernel_holding = true;
    beside.run_for(Span::from_s(3));
    beside.step(Event::PeerAnswered(Some(LAN), THEIR_MAC));
    (beside.says, beside.unconfirmed) = ((Role::Backup, 1, Word::Offered), Some(None));
    beside.run_for(ms(200));
    assert_eq!(beside.role(), Role::Acquiring);
    beside.says = (Role::Backup, 1, Word::None);
    let token = beside.unconfirmed.take().flatten().expect("ordered");
    beside.step(Event::Done(token, Outcome::Serving));
    beside.run_for(Span::from_s(2));
    assert!(beside.node.status(beside.now).groups[0].both_serve.is_some());
    assert_eq!(
        beside.count(|record| matches!(record, Record::Incident(_))),
        0,
        "it is not over: {:?}",
        beside.records
    );
    beside.is_kernel_holding = false;
    beside.run_for(Span::from_s(3));
    assert_eq!(beside.count(|record| matches!(record, Record::Incident(_))), 1);
}

/// The same seen from the other side: a peer that serves says that our kernel answers still. The guard
/// removes what is there.
#[test]
fn who_is_told_that_it_holds_on_lets_go_again() {
    let mut beside = Beside::new();
    beside.says = (Role::Active, 1, Word::None);
    beside.run_for(Span::from_s(3));
    let releases = |beside: &Beside| beside.orders.iter().filter(|(_, order)| is_release(order)).count();
    assert_eq!(releases(&beside), 0);
    beside.says_still_held = true;
    beside.run_for(Span::from_s(3));
    assert!((2..=4).contains(&releases(&beside)), "{:?}", beside.orders);
    beside.says_still_held = false;
    beside.run_for(Span::from_s(2));
    let before = releases(&beside);
    beside.run_for(Span::from_s(3));
    assert_eq!((releases(&beside), beside.role()), (before, Role::Backup));
}

fn is_release(order: &Order) -> bool {
    matches!(order, Order::Release { .. })
}
