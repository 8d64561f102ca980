//! The guard and the kernel of one box. The shipped custody decides what is held; the code round it stands
//! for netlink, processes and signals, in virtual time.

use std::collections::VecDeque;

use crosswire::custody::{Custody, End, Plan, Word};
use crosswire::pair::GroupId;
use crosswire::quorum::succession::Differences;
use crosswire::resource::{Condition, Fault, Outcome, Token};
use crosswire::time::Instant;

/// With what a daemon was started: key, pair and checksum of the file.
pub type Started = (u8, u8, u8);

/// One run of the guard.
#[derive(Clone)]
pub struct Guard {
    /// The number of the run of this box's daemon.
    pub run: u32,
    /// It was stopped.
    pub is_stopped: bool,
    /// What the agent sent and nobody has read, with what it deposited.
    pub said: VecDeque<(Word, Vec<u8>)>,
    /// A turn is on its way.
    pub is_turn_due: bool,
    /// What is held, and for whom.
    pub custody: Custody,
    /// Scripts that have ended since the last turn.
    pub ended: VecDeque<(GroupId, End)>,
    /// How a fence has ended.
    pub fenced: Option<Result<(), Fault>>,
    /// What the agent deposited last, as it came.
    pub deposit: Vec<u8>,
    /// What reloads have changed since that deposit.
    pub differences: Differences,
    /// The daemon is to be executed anew in its place, with what its file says by then.
    pub upgrade: Option<Started>,
    /// That is under way until then (true time), and nothing else happens in this process.
    pub execution: Option<(Started, Instant)>,
    /// When the loop wants to wake up (true time), and by the box's own clock.
    pub wakes_at: (Instant, Instant),
    /// An agent is being started.
    pub is_forking: bool,
    /// An agent was started and not reaped yet.
    pub is_agent_there: bool,
    /// The operator has asked it to stop.
    pub is_stop_asked: bool,
}

impl Guard {
    /// A fresh guard, by the box's own clock.
    pub fn new(run: u32, plan: Plan, local: Instant) -> Self {
        Self {
            run,
            is_stopped: false,
            said: VecDeque::new(),
            is_turn_due: false,
            custody: Custody::new(plan, local),
            ended: VecDeque::new(),
            fenced: None,
            deposit: Vec::new(),
            differences: Differences::default(),
            upgrade: None,
            execution: None,
            wakes_at: (Instant::NEVER, Instant::NEVER),
            is_forking: false,
            is_agent_there: true,
            is_stop_asked: false,
        }
    }

    /// It may read its file anew, or be executed anew.
    pub fn is_free_to_reload(&self) -> bool {
        self.upgrade.is_none() && self.execution.is_none() && self.custody.may_reload()
    }
}

/// What the guard tells the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// What became of an order.
    Done(Token, Outcome),
    /// How the scripts of a group are.
    Scripts(GroupId, Condition),
    /// It lives.
    Alive,
    /// The addresses of a group that is held have gone.
    Missing(GroupId),
    /// The watchdog is armed, and this is what the peer can count on, in seconds.
    Watchdog(u8),
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
    /// By group: its routes are there, which go with its addresses.
    pub has_routes: Vec<bool>,
    /// It refuses new addresses.
    pub is_bad: bool,
    /// It refuses new routes.
    pub refuses_routes: bool,
}
