//! What custody is told, and what it has done.

use heapless::Vec;

use super::plan::{Plan, ScriptPlans};
use super::restart_policy::{Loss, Next};
use super::script_set::ScriptSet;
use crate::config::{MAX_GROUPS, MAX_PATHS};
use crate::pair::{GroupId, PathId};
use crate::resource::{Condition, Fault, Outcome, Ticket, Token};
use crate::time::{Instant, Span};

/// What a script is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// `start`
    Start,
    /// `stop`
    Stop,
    /// `status` or `monitor`
    Monitor,
}

/// How a script ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// It has done what it was asked.
    Done,
    /// It ended by itself, and said that it has not done it.
    Refused,
    /// It was cut short or killed, or never ran: nobody knows what it has done, or still does.
    Unknown,
}

/// Why a script is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The node takes the group.
    Acquire,
    /// It hands the group over in order.
    Release,
    /// It must let go at once.
    ForcedRelease,
    /// One of the group's scripts did not start: what was started is stopped.
    FailedStart,
    /// One of them is looked at.
    Monitor,
    /// The configuration was read anew.
    Reload,
    /// One of them has failed: it and those to its right are started again.
    Restart,
}

/// What an agent said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// An order.
    Order(Ticket),
    /// It left something for a successor.
    Deposit,
    /// It says that it has released everything and said goodbye.
    Farewell,
    /// The operator wants nothing changed, or not any longer.
    HandsOff(bool),
    /// Somebody answers for an address of the group, after [`Effect::AskForNew`].
    Answered(GroupId),
    /// A path has to be opened again.
    Reopen(PathId),
    /// The peer's own address has to be asked for.
    AskForPeer,
    /// The operator's program has to be told something.
    Notice,
}

/// The sign by which an agent is known to be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lapse {
    /// Its process has ended.
    Died,
    /// It closed its end of the socket pair.
    ClosedItsEnd,
    /// It does not read what it is told.
    DoesNotRead,
    /// It has said nothing for late_after.
    Silent,
    /// It sent something that is no order.
    Garbage,
    /// It names a group that is not configured.
    UnknownGroup,
    /// It names a path that is not configured.
    UnknownPath,
    /// It said farewell, and nobody had told it to go.
    UnaskedFarewell,
    /// It has not renewed what is held within the lease.
    NotRenewed,
}

impl Lapse {
    /// What kind of loss that is.
    pub fn loss(self) -> Loss {
        match self {
            Self::Died | Self::ClosedItsEnd => Loss::Died,
            Self::DoesNotRead | Self::Silent => Loss::Hung,
            Self::Garbage | Self::UnknownGroup | Self::UnknownPath | Self::UnaskedFarewell => Loss::Untrusted,
            Self::NotRenewed => Loss::NotServing,
        }
    }
}

/// Why the daemon ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The agent said farewell, and nothing is held.
    Farewell,
    /// It said farewell while something was held.
    LeftHolding,
    /// It is gone after it was told to stop, or no agent runs on this box.
    AgentGone,
    /// It did not stop in time.
    NotInTime,
    /// The operator said stop while there was no agent.
    StoppedWithoutAgent,
    /// The operator said stop twice.
    StoppedTwice,
}

/// Something happened. Outcomes come in the order of the effects that they answer.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The loop woke up. This is the instant at which it had wanted to.
    Woke(Instant),
    /// The agent said something.
    Said(Word),
    /// All that the agent had sent was read: renewals are carried out, in one batch.
    AllSaid,
    /// The box's watchdog was armed. It resets the box when it was not petted for this long.
    WatchdogArmed(Span),
    /// The addresses of a group were added and read back, or nothing is left of them.
    Added(GroupId, Result<(), Fault>),
    /// Its routes are there too, or none of them is.
    Routed(GroupId, Result<(), Fault>),
    /// They have another lease, or not.
    Renewed(GroupId, Token, Result<(), Fault>),
    /// They are confirmed gone, or a fault says what is left.
    Removed(GroupId, Result<(), Fault>),
    /// A script of a group ended, or could not be run at all.
    ScriptEnded(GroupId, End),
    /// An earlier run of the daemon had started these scripts of a group, for this term, and nobody has
    /// stopped them. Comes before the first agent is started.
    Inherited(GroupId, ScriptSet, u32),
    /// The peer was fenced, or a fault says why not.
    FenceEnded(Result<(), Fault>),
    /// An agent was started.
    AgentStarted,
    /// None could be started.
    AgentNotStarted,
    /// The agent is lost, by this sign.
    AgentLost(Lapse),
    /// The agent's process was reaped.
    AgentReaped,
    /// The operator wants the daemon to stop.
    Stop,
    /// A reload wants other scripts for a group: so many from the left are the same. Then come how many start
    /// before any address, and all their plans.
    NewScripts(GroupId, u8, (u8, &'a ScriptPlans)),
    /// A reload has added addresses to a held group: they are kept apart until [`Effect::Admit`].
    NewAddresses(GroupId),
    /// The question for these addresses has left, or not.
    Asked(GroupId, bool),
    /// A reload is done: another agent goes on with the new configuration.
    Reloaded(&'a Plan),
    /// Everything that had happened was handed in: see what is due.
    Tick,
}

/// Something that has to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Arm the watchdog, if there is one. Then add the group's addresses for one lease, not after this
    /// instant, and read them back; then [`Event::Added`].
    Add(GroupId, Instant),
    /// Add its routes, which need the addresses, not after this instant; then [`Event::Routed`].
    Route(GroupId, Instant),
    /// Give the addresses another lease, not after this instant; then [`Event::Renewed`]. Renewals that
    /// follow each other are one batch. Those that are missing are put back if that is so; otherwise it fails
    /// as [`Fault::AddressGone`].
    Renew(GroupId, Token, Instant, bool),
    /// Take the routes and the addresses away and confirm it; then [`Event::Removed`].
    Remove(GroupId),
    /// Run a script of the group; then, once, [`Event::ScriptEnded`].
    Run(GroupId, u8, Action, Reason),
    /// Write down which scripts of a group may run, and for which term, so that the next run of the daemon
    /// finds it.
    Mark(GroupId, ScriptSet, u32),
    /// Cut short the script that runs.
    Interrupt(GroupId),
    /// Take scripts from the list that the reload wanted, from now on.
    UseNewScripts(GroupId),
    /// Announce the group's addresses, again if need be.
    Announce(GroupId),
    /// Ask the wire for the addresses that a reload has added to the group, and tell the agent to say who
    /// answers; then [`Event::Asked`].
    AskForNew(GroupId),
    /// Nobody has these addresses: let them come with the next renewal.
    Admit(GroupId),
    /// Ask the wire; what comes of it is told to the agent.
    Probe(Ticket),
    /// Make certain that the peer holds nothing, not beginning after this instant; then, once,
    /// [`Event::FenceEnded`].
    Fence(Instant),
    /// Nobody waits for the fence any more.
    GiveUpFence,
    /// Open a path again and give it to the agent.
    Reopen(PathId),
    /// Ask the wire for the peer's own address.
    AskForPeer,
    /// Tell the operator's program what the agent has just said.
    Notify,
    /// Tell the agent what became of an order.
    Answer(Token, Outcome),
    /// Tell the agent how the scripts of a group are.
    Condition(GroupId, Condition),
    /// Give the agent a sign of life.
    TellAlive,
    /// Tell the agent to hand over, say goodbye, and exit.
    TellStop,
    /// Listen to the agent no longer, and end it if it was not reaped.
    DismissAgent,
    /// Start an agent; then [`Event::AgentStarted`] or [`Event::AgentNotStarted`]. It goes on with what was
    /// deposited, or it begins anew. Remove before what nobody holds.
    StartAgent {
        /// It gets what the last one left.
        is_in_place: bool,
        /// It is there because the configuration has changed.
        is_reload: bool,
    },
    /// A script of the group has not stopped; the addresses are gone, and everything else has.
    StopFailed(GroupId),
    /// Put the watchdog's reset off.
    Pet,
    /// Tell the operator's log.
    Note(Note),
}

/// What the log is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note {
    /// The addresses of a group are held for this term.
    Held(GroupId, u32),
    /// A group cannot be held.
    NotHeld(GroupId, Fault),
    /// It was not renewed, or it is again.
    Renewal(GroupId, Option<Fault>),
    /// What became of an order, where that is worth a line.
    Ended(GroupId, Outcome),
    /// Somebody answers for an address that a reload has added to the group: it does not come before that
    /// ends.
    NewcomersAnswered(GroupId),
    /// A script of the group is started again.
    Restart(GroupId, u8),
    /// The agent is lost, and this is done about it.
    AgentLost(Lapse, Next),
    /// Nobody renewed what is held within the lease, and there is no agent: everything is released.
    NobodyRenewed,
    /// The agent cannot be killed.
    AgentUnkillable,
    /// The operator wants the daemon to stop: the agent hands over.
    Stopping,
    /// A script that has to end with the box could not be stopped: the watchdog is petted no more.
    WatchdogFires,
    /// The agent asks for more than any honest one needs: so many requests were dropped.
    OverBudget(u32),
    /// The daemon ends, well or not.
    Leaving(Cause),
}

/// Most releases that wait for one group to let go; the agent never has more than a planned and a forced one.
pub(super) const MAX_WAITING: usize = 8;

/// Most answers of one step: to everybody who waits for a release, to the order to acquire, and one refusal.
pub const MAX_REPORTS: usize = MAX_WAITING + 2;

/// Most effects of one step: one group answers everybody who waits for it, each group takes one action, and
/// the daemon may end.
const MAX_EFFECTS: usize = MAX_REPORTS + MAX_REPORTS + 4 * MAX_GROUPS + MAX_PATHS + 8;

/// The effects of one step, in the order in which they have to be carried out.
pub type Effects = Vec<Effect, MAX_EFFECTS>;
