//! The checkers: one per invariant. They know what the world knows, and judge what the nodes do.

mod deadline;
mod hearing;
mod lease;
mod neighbours;
mod one_holder;
mod records;
mod routine;
mod scripts;
mod silence;

use crosswire::config::{MAX_GROUPS, MAX_PATHS};
use crosswire::pair::{PathId, Role, Side};
use crosswire::quorum::succession::Deposit;
use crosswire::reasons::TakeReason;
use crosswire::time::Instant;

pub use hearing::Hearing;
pub use lease::Held;
pub use one_holder::{Overlap, Reigns};
pub use silence::LineEvidence;

use super::setup::Setup;
use super::wire::{Mark, Stamp};

/// A broken invariant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When (true time).
    pub at: Instant,
    /// Which invariant.
    pub rule: &'static str,
    /// What was seen.
    pub text: String,
}

/// What the checkers remember.
#[derive(Clone)]
pub struct Watch {
    /// Nothing is judged: for other rules, which are known to break the invariants.
    pub is_off: bool,
    /// What asks for a copy of a node is left out: most of the time would go there.
    pub is_for_figures: bool,
    /// The first violation.
    pub violation: Option<Violation>,
    /// By side: what really arrived from its peer.
    pub hearing: [Hearing; 2],
    /// By side and group: what the agent may believe of its lease.
    pub held: [[Held; MAX_GROUPS]; 2],
    /// By side and group: the role that was last recorded.
    pub roles: [[Role; MAX_GROUPS]; 2],
    /// By side and group: since when it says that it lets go.
    pub releasing_since: [[Option<Instant>; MAX_GROUPS]; 2],
    /// By side and group: a script has not stopped when it should have, and still runs.
    pub is_unstopped: [[bool; MAX_GROUPS]; 2],
    /// By side and group: the term of its newest reign in this run.
    pub terms: [[u32; MAX_GROUPS]; 2],
    /// By group: the overlap that goes on.
    pub overlaps: Vec<Option<Overlap>>,
    /// By group: the reigns of the last overlap that was excused.
    pub excused: Vec<Option<Reigns>>,
    /// Overlaps that are over, excused or not: since when, until when.
    pub past_overlaps: Vec<(Instant, Instant)>,
    /// By side and group: when it last ordered a probe.
    pub asked: [[Instant; MAX_GROUPS]; 2],
    /// By side and group: when it last heard somebody else answer for an address of it, and when it had last
    /// asked before that.
    pub answered: [[Option<(Instant, Instant)>; MAX_GROUPS]; 2],
    /// What clients saw.
    pub service: super::service::Service,
    /// By side and group: when the peer had last been heard before the group was last taken.
    pub heard_before: [[Option<Instant>; MAX_GROUPS]; 2],
    /// By side and group: when it was last taken, and why.
    pub taken: [[Option<(Instant, TakeReason)>; MAX_GROUPS]; 2],
    /// By side and group: it was last taken by silence while its holder lived behind a cut, and no rule asked
    /// for more proof.
    pub is_split: [[bool; MAX_GROUPS]; 2],
    /// By side and interface, that of the LAN first: whether the node was told that it has no carrier.
    pub dark: [[bool; 1 + MAX_GROUPS]; 2],
    /// By side and interface: whether the peer said so of its own when it was last heard.
    pub dark_there: [[bool; 1 + MAX_GROUPS]; 2],
    /// By side and group: the peer's kernel has let the addresses go, and could be asked since.
    pub can_know_gone: [[bool; MAX_GROUPS]; 2],
    /// By side: the node says goodbye.
    pub is_leaving: [bool; 2],
    /// By side: since when the node has said that its guard does not act.
    pub troubled_since: [Option<Instant>; 2],
    /// By side and path: whether the node was told that it is open.
    pub open_paths: [[bool; MAX_PATHS]; 2],
    /// By side: its agents have found out that probes hear nobody, and nothing has changed since.
    pub is_known_deaf: [bool; 2],
    /// By side: no third party could hear or answer it.
    pub neighbourless: [Mark; 2],
    /// By side: its agents have heard a neighbour.
    pub knows_neighbours: [bool; 2],
    /// By side: its agent goes on in the place of one that was cut off, and nothing has ended that since.
    pub is_left_cut_off: [bool; 2],
    /// By side and group: when the voting witness last granted it.
    pub granted_at: [[Option<Instant>; MAX_GROUPS]; 2],
    /// The genuine frame that is being read.
    pub reading: Option<(PathId, Stamp)>,
}

impl Watch {
    /// Nothing was seen yet.
    pub fn new(setup: &Setup) -> Self {
        Self {
            is_off: false,
            is_for_figures: false,
            violation: None,
            hearing: [Hearing::default(), Hearing::default()],
            held: [[Held::default(); MAX_GROUPS]; 2],
            roles: [[Role::Backup; MAX_GROUPS]; 2],
            releasing_since: [[None; MAX_GROUPS]; 2],
            is_unstopped: [[false; MAX_GROUPS]; 2],
            terms: [[0; MAX_GROUPS]; 2],
            overlaps: vec![None; setup.policy.groups.len()],
            excused: vec![None; setup.policy.groups.len()],
            past_overlaps: Vec::new(),
            asked: [[Instant::ORIGIN; MAX_GROUPS]; 2],
            answered: [[None; MAX_GROUPS]; 2],
            service: Default::default(),
            heard_before: [[None; MAX_GROUPS]; 2],
            taken: [[None; MAX_GROUPS]; 2],
            is_split: [[false; MAX_GROUPS]; 2],
            dark: [[false; 1 + MAX_GROUPS]; 2],
            dark_there: [[false; 1 + MAX_GROUPS]; 2],
            can_know_gone: [[false; MAX_GROUPS]; 2],
            is_leaving: [false; 2],
            troubled_since: [None; 2],
            open_paths: [[false; MAX_PATHS]; 2],
            is_known_deaf: [false; 2],
            neighbourless: [Mark::new(Instant::ORIGIN); 2],
            knows_neighbours: [false; 2],
            is_left_cut_off: [false; 2],
            granted_at: [[None; MAX_GROUPS]; 2],
            reading: None,
        }
    }

    /// A node says this of a group from now on.
    pub fn note_role(&mut self, side: Side, group: usize, role: Role, now: Instant) {
        self.roles[side.index()][group] = role;
        let since = &mut self.releasing_since[side.index()][group];
        *since = (role == Role::Releasing).then(|| since.unwrap_or(now));
    }

    /// A fresh run of a side's daemon: it knows nothing.
    pub fn become_started(&mut self, side: Side, now: Instant) {
        let index = side.index();
        self.hearing[index] = Hearing::new(now);
        self.held[index] = [Held::default(); MAX_GROUPS];
        self.roles[index] = [Role::Backup; MAX_GROUPS];
        self.releasing_since[index] = [None; MAX_GROUPS];
        self.terms[index] = [0; MAX_GROUPS];
        self.answered[index] = [None; MAX_GROUPS];
        (self.dark[index], self.dark_there[index]) = ([false; 1 + MAX_GROUPS], [false; 1 + MAX_GROUPS]);
        (self.is_leaving[index], self.troubled_since[index], self.is_known_deaf[index]) =
            (false, None, false);
        self.open_paths[index] = [false; MAX_PATHS];
        (self.knows_neighbours[index], self.is_left_cut_off[index]) = (false, false);
    }

    /// An agent replaces another: it holds what that one held, has heard nobody, and knows of each path when
    /// that one heard the peer there; if the deposit says that it was heard lately, it may have been heard
    /// until now.
    pub fn become_succeeded(&mut self, side: Side, now: Instant, deposit: &Deposit) {
        let index = side.index();
        let before = std::mem::replace(&mut self.hearing[index], Hearing::new(now));
        let hearing = &mut self.hearing[index];
        (hearing.opened_at, hearing.sight, hearing.adopted_at) =
            (before.opened_at, before.sight, before.adopted_at);
        // Nobody has told it which witnesses answered after the last deposit, and which counted then.
        hearing.sight.forget_but(&deposit.witnesses, deposit.witnesses_that_count);
        hearing.known = if before.adopted == 0 { before.known } else { before.adopted };
        for (path, left) in deposit.paths.iter().enumerate() {
            hearing.read_at[path] = if left.is_heard { Some(now) } else { before.read_at[path] };
        }
        hearing.heard_at = hearing.read_at.iter().flatten().max().copied();
        self.answered[index] = [None; MAX_GROUPS];
        self.knows_neighbours[index] = false;
        self.is_left_cut_off[index] = deposit.neighbours.iter().any(|left| left.is_cut_off);
        // The guard that started it acts.
        self.troubled_since[index] = None;
    }

    /// The terms under which a side holds its groups.
    pub fn held_terms(&self, side: Side) -> [u32; MAX_GROUPS] {
        let index = side.index();
        std::array::from_fn(
            |group| if self.roles[index][group].is_holding() { self.terms[index][group] } else { 0 },
        )
    }
}
