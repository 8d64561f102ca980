//! The guard and the kernel of one box. What becomes of a group is decided by the guard that is shipped; what
//! surrounds it here does what the guard's loop does, in virtual time.

#[path = "../../guard/group.rs"]
pub mod group;

use std::collections::VecDeque;

use crosswire::resource::{Outcome, Ticket, Token};
use crosswire::time::Instant;
use group::Group;

use super::succession::tenure::Tenure;

/// How far the guard's end has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The agent decides.
    Running,
    /// Everything is let go; then the guard exits.
    Leaving,
}

/// One run of the guard.
#[derive(Clone)]
pub struct Guard {
    /// The how-manieth run of this box's daemon it belongs to.
    pub run: u32,
    /// It was stopped.
    pub is_stopped: bool,
    /// What the agent sent and nobody has read.
    pub orders: VecDeque<Ticket>,
    /// A turn is on its way.
    pub is_turn_due: bool,
    /// The groups.
    pub groups: Vec<Group>,
    /// By group: which script run is the present one.
    pub script_runs: Vec<u32>,
    /// By group: the term under which it was acquired last.
    pub terms: Vec<u32>,
    /// By group: until when the kernel keeps the addresses at least (true time).
    pub held_until: Vec<Instant>,
    /// By group: its agent was lost, and nobody has renewed it since.
    pub is_on_trial: Vec<bool>,
    /// What the shipped guard knows of its agents.
    pub tenure: Tenure,
    /// There is no agent, and another one is on its way.
    pub is_office_vacant: bool,
    /// When the agent last said something (true time).
    pub agent_heard: Instant,
    /// Whether the agent's silence is watched at present.
    pub is_watching: bool,
    /// What it is at.
    pub phase: Phase,
}

impl Guard {
    /// A fresh guard.
    pub fn new(run: u32, scripts: &[usize], now: Instant) -> Self {
        Self {
            run,
            is_stopped: false,
            orders: VecDeque::new(),
            is_turn_due: false,
            groups: scripts.iter().map(|count| Group::new(*count)).collect(),
            script_runs: vec![0; scripts.len()],
            terms: vec![0; scripts.len()],
            held_until: vec![Instant::ORIGIN; scripts.len()],
            is_on_trial: vec![false; scripts.len()],
            tenure: Tenure::new(),
            is_office_vacant: false,
            agent_heard: now,
            is_watching: false,
            phase: Phase::Running,
        }
    }

    /// Nothing is held and nothing runs.
    pub fn is_everything_free(&self) -> bool {
        self.groups.iter().all(Group::is_free)
    }
}

/// What the guard tells the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// What became of an order.
    Done(Token, Outcome),
    /// Told to stop.
    Stop,
    /// A link light or a port changed: look again.
    Links,
    /// It is gone.
    Lost,
}

/// The addresses of a box.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// By group: until when they stay if nobody does anything (true time).
    pub until: Vec<Option<Instant>>,
    /// It refuses new ones.
    pub is_bad: bool,
}
