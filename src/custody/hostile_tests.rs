//! An agent that was taken over: whatever it says, it cannot keep the guard, the peer, the wire or the
//! operator busy, and it cannot stay when the operator wants it to go.

use std::collections::VecDeque;
use std::vec::Vec;

use proptest::prelude::*;

use super::rig::{GROUP, at, plan};
use super::*;
use crate::pair::PathId;
use crate::resource::{Fault, Order, Outcome, ReleaseOrder};

/// Custody in a world where everything works, and what the agent was told.
struct World {
    custody: Custody,
    now: Instant,
    begun: Vec<Effect>,
    answers: Vec<(u32, Outcome)>,
    token: u32,
}

impl World {
    fn new() -> Self {
        let mut patient = plan(1);
        patient.hang_after = Span::from_s(10);
        let custody = Custody::new(patient, at(0));
        let mut world = Self { custody, now: at(0), begun: Vec::new(), answers: Vec::new(), token: 0 };
        world.hand_in(Event::AgentStarted);
        world.say(Word::Deposit);
        world
    }

    fn hand_in(&mut self, event: Event<'_>) {
        let mut waiting = VecDeque::from([self.step(event)]);
        while let Some(effects) = waiting.pop_front() {
            for effect in effects {
                self.begun.push(effect);
                let event = match effect {
                    Effect::Add(id, _) => Event::Added(id, Ok(())),
                    Effect::Route(id, _) => Event::Routed(id, Ok(())),
                    Effect::Remove(id) => Event::Removed(id, Ok(())),
                    Effect::Renew(id, token, ..) => Event::Renewed(id, token, Ok(())),
                    Effect::Run(id, ..) => Event::ScriptEnded(id, End::Done),
                    Effect::Answer(token, outcome) => {
                        self.answers.push((token.0, outcome));
                        continue;
                    }
                    _ => continue,
                };
                waiting.push_back(self.step(event));
            }
        }
    }

    fn step(&mut self, event: Event<'_>) -> Effects {
        let mut effects = Effects::new();
        self.custody.step(self.now, event, &mut effects);
        effects
    }

    fn say(&mut self, word: Word) {
        self.hand_in(Event::Said(word));
    }

    fn order(&mut self, order: Order) {
        self.token += 1;
        self.say(Word::Order(Ticket { token: Token(self.token), valid_until: Instant::NEVER, order }));
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now + Span::from_ms(ms);
        self.hand_in(Event::AllSaid);
        self.hand_in(Event::Tick);
    }

    fn count(&self, is_it: impl Fn(&Effect) -> bool) -> usize {
        self.begun.iter().filter(|effect| is_it(effect)).count()
    }

    fn fences(&self) -> usize {
        self.count(|effect| matches!(effect, Effect::Fence(_)))
    }
}

#[test]
fn a_farewell_that_is_repeated_has_one_end() {
    let mut world = World::new();
    world.order(Order::Acquire { group: GROUP, term: 7 });
    world.hand_in(Event::Stop);
    for _ in 0..3_900 / 100 {
        world.order(Order::Renew { group: GROUP, puts_back: true });
        world.say(Word::Farewell);
        world.hand_in(Event::Stop);
        world.wait(100);
        if world.now == at(3_000) {
            assert!(matches!(world.custody.phase(), Phase::Leaving { is_well: false, .. }));
        }
    }
    assert!(world.custody.is_everything_free());
    assert_eq!(
        world.count(|effect| matches!(effect, Effect::Renew(..))),
        0,
        "who has said farewell renews nothing"
    );
    world.hand_in(Event::AgentReaped);
    assert_eq!(world.custody.exit(), Some(false));
}

#[test]
fn a_farewell_that_nobody_asked_for_ends_the_agent_and_not_the_daemon() {
    let mut world = World::new();
    world.order(Order::Acquire { group: GROUP, term: 7 });
    world.say(Word::Farewell);
    assert!(world.begun.contains(&Effect::DismissAgent) && world.custody.is_everything_free());
    world.hand_in(Event::AgentReaped);
    world.wait(1_000);
    let anew = Effect::StartAgent { is_in_place: false, is_reload: false };
    assert_eq!((world.begun.last(), world.custody.phase()), (Some(&anew), Phase::Running));
}

#[test]
fn a_group_is_not_taken_and_let_go_again_and_again() {
    let mut world = World::new();
    for _ in 0..100 {
        for _ in 0..50 {
            world.order(Order::Acquire { group: GROUP, term: 7 });
            world.order(Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst });
            assert!(world.custody.is_everything_free());
        }
        world.wait(100);
    }
    let taken = world.count(|effect| matches!(effect, Effect::Add(..)));
    assert!((50..=16 + 40).contains(&taken), "{taken} times in 10 s");
}

#[test]
fn a_signal_ends_an_agent_that_goes_on_as_if_nothing_were() {
    let mut world = World::new();
    world.order(Order::Acquire { group: GROUP, term: 7 });
    world.hand_in(Event::Stop);
    while !matches!(world.custody.phase(), Phase::Leaving { .. }) {
        assert!(world.now < at(41_000), "30 s, and 10 s for the scripts");
        world.order(Order::Renew { group: GROUP, puts_back: true });
        world.say(Word::Deposit);
        world.wait(100);
    }
    assert!(world.custody.is_everything_free());
}

#[test]
fn a_peer_is_fenced_one_at_a_time_and_seldom() {
    let mut world = World::new();
    let mut story = Vec::new();
    for second in 0..700 {
        for _ in 0..50 {
            world.order(Order::Fence { group: GROUP });
        }
        if second % 10 == 9 {
            let before = world.fences();
            world.hand_in(Event::FenceEnded(Ok(())));
            assert_eq!(world.fences(), before);
        }
        if world.fences() > story.len() {
            story.push(second);
        }
        world.wait(1_000);
    }
    assert_eq!(story, [0, 10, 300, 600]);
    // Everybody is answered once, but who still waits.
    let mut tokens: Vec<u32> = world.answers.iter().map(|(token, _)| *token).collect();
    tokens.sort_unstable();
    assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(tokens.len(), 700 * 50);
    let notes = world.count(|effect| matches!(effect, Effect::Note(Note::OverBudget(_))));
    assert!(notes <= 12, "{notes} lines in 700 s");
}

#[test]
fn nobody_is_fenced_for_what_is_held_or_for_a_group_that_asks_for_no_fence() {
    let mut world = World::new();
    world.order(Order::Acquire { group: GROUP, term: 7 });
    world.order(Order::Fence { group: GROUP });
    assert_eq!(world.answers.last(), Some(&(2, Outcome::Failed(Fault::OutOfOrder))));
    let mut unasked = plan(0);
    unasked.groups[0].may_fence = false;
    world.custody = Custody::new(unasked, at(0));
    world.hand_in(Event::AgentStarted);
    world.order(Order::Fence { group: GROUP });
    assert_eq!(world.answers.last(), Some(&(3, Outcome::Failed(Fault::NoFence))));
    assert_eq!(world.fences(), 0);
}

#[test]
fn a_path_is_opened_again_for_everybody_who_asks_but_not_oftener_than_twice_a_second() {
    let mut world = World::new();
    let opened = |world: &World| world.count(|effect| *effect == Effect::Reopen(PathId(1)));
    (0..10_000).for_each(|_| world.say(Word::Reopen(PathId(1))));
    assert_eq!(opened(&world), 4);
    world.wait(499);
    assert_eq!(opened(&world), 4);
    assert_eq!(world.custody.due_at(world.now), at(500));
    world.wait(1);
    assert_eq!(
        (opened(&world), world.custody.awaited_at()),
        (5, Instant::NEVER),
        "once for all who have asked"
    );
    world.say(Word::Reopen(PathId(2)));
    assert_eq!(world.begun.last(), Some(&Effect::DismissAgent), "there is no such path");
}

#[test]
fn what_an_honest_agent_asks_for_is_never_refused() {
    let mut world = World::new();
    for tick in 0..6_000_u64 {
        world.say(Word::Deposit);
        world.order(Order::Probe { group: GROUP });
        if tick % 3 == 0 {
            world.say(Word::AskForPeer);
        }
        if tick % 10 == 0 {
            [Word::Notice; 3].into_iter().for_each(|word| world.say(word));
            world.say(Word::Reopen(PathId(0)));
        }
        if tick % 3_200 == 0 {
            world.order(Order::Fence { group: GROUP });
            world.hand_in(Event::FenceEnded(Err(Fault::NoFence)));
        }
        world.wait(100);
    }
    assert_eq!(world.count(|effect| matches!(effect, Effect::Note(Note::OverBudget(_)))), 0);
    assert_eq!((world.count(|effect| matches!(effect, Effect::Probe(_))), world.fences()), (6_000, 2));
}

fn any_word() -> impl Strategy<Value = Word> {
    let group = (0u8..2).prop_map(GroupId);
    let path = (0u8..3).prop_map(PathId);
    let order = (0u8..7, any::<u32>()).prop_map(|(kind, term)| match kind {
        0 => Order::Acquire { group: GROUP, term },
        1 => Order::Renew { group: GROUP, puts_back: true },
        2 => Order::Release { group: GROUP, first: ReleaseOrder::ScriptsFirst },
        3 => Order::Release { group: GROUP, first: ReleaseOrder::AddressesFirst },
        4 => Order::Fence { group: GROUP },
        5 => Order::Announce { group: GROUP },
        _ => Order::Probe { group: GROUP },
    });
    let ticket = (any::<u32>(), order).prop_map(|(token, order)| {
        Word::Order(Ticket { token: Token(token), valid_until: Instant::NEVER, order })
    });
    prop_oneof![
        20 => ticket,
        4 => Just(Word::Deposit),
        1 => Just(Word::Farewell),
        1 => any::<bool>().prop_map(Word::HandsOff),
        1 => group.prop_map(Word::Answered),
        4 => path.prop_map(Word::Reopen),
        2 => Just(Word::AskForPeer),
        2 => Just(Word::Notice),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any words at any time: no panic, what costs something is bounded by time, and a signal ends it all.
    #[test]
    fn no_words_of_an_agent_keep_anybody_busy_or_the_daemon_alive(
        words in proptest::collection::vec((any_word(), 0u64..100), 1..400),
        stop_after in 0usize..400,
    ) {
        let mut world = World::new();
        let mut stopped_at = None;
        for (index, (word, ms)) in words.iter().cycle().take(800).enumerate() {
            // One that floods says each word many times.
            for _ in 0..5 {
                world.say(*word);
            }
            if world.begun.contains(&Effect::DismissAgent) {
                world.hand_in(Event::AgentReaped);
            }
            if let Some(Effect::StartAgent { .. }) = world.begun.last() {
                world.hand_in(Event::AgentStarted);
            }
            if index == stop_after {
                stopped_at = Some(world.now);
                world.hand_in(Event::Stop);
            }
            world.wait(*ms);
        }
        let seconds = usize::try_from(world.now.since(at(0)).as_s_ceil()).expect("small");
        let limits: [(usize, usize); 4] = [
            (world.fences(), 2),
            (world.count(|effect| matches!(effect, Effect::Reopen(_))), 8 + 4 * seconds),
            (world.count(|effect| matches!(effect, Effect::AskForPeer)), 16 + 8 * seconds),
            (world.count(|effect| matches!(effect, Effect::Notify)), 128 + 4 * seconds),
        ];
        for (index, (count, most)) in limits.into_iter().enumerate() {
            prop_assert!(count <= most, "limit {index}: {count} in {seconds} s");
        }
        prop_assert!(world.count(|effect| matches!(effect, Effect::Probe(_))) <= 32 + 20 * seconds);
        let since = stopped_at.unwrap_or(world.now);
        if stopped_at.is_none() {
            world.hand_in(Event::Stop);
        }
        while world.custody.exit().is_none() {
            prop_assert!(world.now.since(since) <= Span::from_s(30 + 10 + 3 + 3), "it goes on for ever");
            world.say(Word::Deposit);
            world.wait(100);
            if world.begun.contains(&Effect::DismissAgent) {
                world.hand_in(Event::AgentReaped);
            }
        }
    }
}
