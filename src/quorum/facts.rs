//! The facts of one group, as the node gathers them and the rules read them; and what can be decided.
//!
//! What time alone brings about is an instant of the [`Clock`]. A rule that has to wait for one says so with
//! [`Clock::reach`]: the same value decides, says why not, and until when.

use serde::{Deserialize, Serialize};

use super::probe::Finding;
use crate::config::{InJeopardy, SafetyRule};
use crate::health::{NeighbourView, WitnessView};
use crate::reasons::{Block, ReleaseReason, TakeReason, Verdict};
use crate::resource::ReleaseOrder;
use crate::time::Instant;
use crate::vote::VoteView;

/// What the peer is for the group, by what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Claim {
    /// It has said nothing yet in this incarnation; or it is not heard on time, and held nothing when it last
    /// spoke.
    Unknown,
    /// It serves, or is about to.
    Serves,
    /// It is letting go.
    Releases,
    /// It holds nothing and let the group go for us.
    Offers,
    /// It holds nothing; or it cannot serve, and its kernel must have let go.
    Free,
}

/// How two holders compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Tie {
    /// Not both claim the group.
    None,
    /// Both claim it and we keep it.
    WeWin,
    /// Both claim it and we let it go.
    TheyWin,
}

/// How far the fence of a group is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Fence {
    /// Not tried since the peer fell silent.
    Untried,
    /// On its way.
    Pending,
    /// It is certain that the peer holds nothing.
    Confirmed,
    /// It could not be confirmed.
    Failed,
}

/// What is asked of the node that serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Wish {
    /// Nothing.
    None,
    /// Hand over, asked for here.
    Handover,
    /// Hand over, asked for on the peer by its operator, or by itself as its failback.
    PeerWants,
}

/// Whether the operator wants the node to hold nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize)]
pub enum Standby {
    /// No.
    #[default]
    No,
    /// Yes, if the peer serves instead.
    Asked,
    /// Yes, whoever serves then.
    Forced,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Stay without the group, because of this.
    Wait(Wait),
    /// Acquire it.
    Take(TakeReason),
    /// Make certain that the peer holds nothing.
    Fence,
    /// Keep what we have.
    Keep,
    /// Keep it, and renew its lease.
    Renew,
    /// Let it go.
    Release(Release),
    /// It is on its way out: its addresses go now, and wait for its scripts no longer.
    Hurry,
}

/// Why a group is not taken, and until when.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wait {
    /// Why not.
    pub block: Block,
    /// When time alone ends that; [`Instant::NEVER`] where something has to happen.
    pub until: Instant,
}

/// How and why a group is let go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Release {
    /// What goes first.
    pub first: ReleaseOrder,
    /// Why.
    pub reason: ReleaseReason,
    /// Whether for the peer.
    pub offer: bool,
}

impl Decision {
    /// Waits for something that has to happen.
    pub const fn wait(block: Block) -> Self {
        Self::Wait(Wait { block, until: Instant::NEVER })
    }
}

/// Everything that bears on one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Situation {
    /// What is known of the peer.
    pub peer: PeerFacts,
    /// How this node stands.
    pub own: OwnFacts,
    /// What third parties say.
    pub wire: WireFacts,
    /// What time brings about, and when.
    pub clock: Clock,
    /// What the configuration asks for.
    pub rule: GroupRule,
}

/// What is known of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerFacts {
    /// What the paths say of it.
    pub verdict: Verdict,
    /// It was heard in this run.
    pub was_ever_heard: bool,
    /// An earlier agent of this node had heard it, and this one has not yet.
    pub was_known: bool,
    /// Some path hears it on time.
    pub is_on_time: bool,
    /// It was heard since our own loop was last late.
    pub is_heard_since_stall: bool,
    /// Its lines dropped in the middle of its beats.
    pub is_cut_short: bool,
    /// It is on time and says that it hears us on no path.
    pub is_deaf: bool,
    /// What it says of the group.
    pub claim: Claim,
    /// It says that it would take the group now.
    pub does_want: bool,
    /// By what it last said, it could serve the group if it were free.
    pub is_able: bool,
    /// How we compare with it if it claims what we claim.
    pub tie: Tie,
    /// When it was last heard, it said that it cannot serve: nobody there lets go by the ack deadline, only
    /// its kernel.
    pub is_troubled: bool,
    /// Somebody who was not understood was the last one on the cable.
    pub is_estranged: bool,
    /// Its lines say that its box has power.
    pub are_lines_on: bool,
    /// The operator said that it is off.
    pub is_off: bool,
    /// Its configuration is another one.
    pub is_file_different: bool,
    /// The voting witness has granted it something since it was last heard: it lived on after that.
    pub was_granted_since: bool,
    /// How far its fence is.
    pub fence: Fence,
}

/// How this node stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnFacts {
    /// All interfaces of the group have carrier, but for those that are dark on both nodes.
    pub has_carrier: bool,
    /// The guard carries out orders.
    pub is_able: bool,
    /// We were told to stop.
    pub is_stopping: bool,
    /// Our operator wants us to hold nothing.
    pub standby: Standby,
    /// What an operator asks.
    pub wish: Wish,
    /// Our kernel refuses one of the group's addresses.
    pub is_address_refused: bool,
    /// An address has gone from our kernel that may not be put back: the peer may have seen that.
    pub is_address_gone: bool,
    /// We are cut off on an interface of the group, and the peer is not.
    pub is_cut_off: bool,
    /// The group's scripts fail more often than they may be started again here.
    pub is_unfit: bool,
    /// No check of whether this node is ready for it fails.
    pub is_ready: bool,
    /// One of its scripts could not be stopped, and the guard has let the addresses go.
    pub is_stuck: bool,
    /// An operator has moved the group to the peer: it stays there.
    pub is_given_away: bool,
    /// Of two that could take what nobody holds, we are the first.
    pub goes_first: bool,
    /// The peer has heard that we would take the group now.
    pub is_claim_heard: bool,
    /// The release on its way stops scripts first, and the addresses are served meanwhile.
    pub keeps_addresses: bool,
}

/// What third parties say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WireFacts {
    /// What the wire says of the group's addresses.
    pub finding: Finding,
    /// What the witnesses say, given answers to requests after the peer's last frame, or after our newest
    /// acknowledged beat.
    pub witness: WitnessView,
    /// What the neighbours on the group's interfaces say.
    pub neighbours: NeighbourView,
    /// What the voting witness grants.
    pub vote: VoteView,
}

/// What the configuration asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupRule {
    /// The group's safety rule.
    pub safety: SafetyRule,
    /// The group is never taken from a peer whose scripts may still run.
    pub is_exclusive: bool,
    /// Scripts go with its addresses.
    pub has_scripts: bool,
    /// What to do with a doubtful peer.
    pub in_jeopardy: InJeopardy,
}

/// What time brings about: each is so from its instant on. [`Instant::NEVER`] where time alone does not bring
/// it, [`Instant::ORIGIN`] where it is so already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// The instant of the decision.
    pub now: Instant,
    /// Silence is judged: a stall of our own is over.
    pub judged_at: Instant,
    /// Our maintenance is over.
    pub maintained_until: Instant,
    /// The peer's maintenance is over, as it was last heard.
    pub peer_maintained_until: Instant,
    /// Cold start is over, and so is the wait of the node that goes second.
    pub listened_at: Instant,
    /// From here on the wire is asked, so that the answer is there when cold start is over.
    pub listening_asks_at: Instant,
    /// dead_after and the allowance for drift have passed since the peer's newest beat.
    pub silent_at: Instant,
    /// Every release mechanism that the peer announced must have fired; never, if it announced none.
    pub released_at: Instant,
    /// The peer's watchdog, if it has one, must have fired: nothing runs there any more.
    pub reset_at: Instant,
    /// A fence that failed is tried again.
    pub fence_again_at: Instant,
    /// The peer has not answered what we let go for it.
    pub offered_until: Instant,
    /// The peer's word, which has cost us the group again and again, counts again.
    pub unsteady_until: Instant,
    /// The node that goes second has waited for the first one.
    pub second_at: Instant,
    /// We have said for two beats that we would take it.
    pub claimed_at: Instant,
    /// A node that failed may try again.
    pub retry_at: Instant,
    /// The kernel lifetime of what we hold was not renewed in time.
    pub lease_until: Instant,
    /// The lease is renewed.
    pub renew_at: Instant,
    /// The release for the ack deadline has to start.
    pub deadline_at: Instant,
    /// From here on a holder needs a grant of the voting witness, where that counts.
    pub grant_needed_at: Instant,
    /// We have served alone for a full lease since the ack deadline.
    pub alone_at: Instant,
    /// We have lost carrier, and the peer has had it for long enough since.
    pub dark_at: Instant,
    /// The peer has long seen more witnesses than we do.
    pub outseen_at: Instant,
    /// Nobody has answered us for long enough to hand over to a peer whose neighbours answer.
    pub cut_off_at: Instant,
    /// We were cut off, and a peer that was cut off since knows it by now.
    pub back_at: Instant,
    /// Until then nothing is let go for a peer that did not take the last, unless our own operator asks.
    pub offer_unused_until: Instant,
    /// The preferred node has been well for as long as a failback asks.
    pub failback_at: Instant,
}

impl Clock {
    /// Its time has come.
    pub fn is_past(&self, at: Instant) -> bool {
        self.now >= at
    }

    /// Its time has come; else what is waited for, and until when.
    ///
    /// # Errors
    ///
    /// The wait, if it has not.
    pub fn reach(&self, at: Instant, block: Block) -> Result<(), Decision> {
        if self.is_past(at) { Ok(()) } else { Err(Decision::Wait(Wait { block, until: at })) }
    }
}

impl Situation {
    /// The peer could take the group if we let it go: it is heard on time, holds nothing, and is able.
    pub fn could_peer_take(&self) -> bool {
        self.peer.is_on_time && matches!(self.peer.claim, Claim::Free | Claim::Offers) && self.peer.is_able
    }

    /// Our operator wants nothing moved.
    pub fn is_in_maintenance(&self) -> bool {
        !self.clock.is_past(self.clock.maintained_until)
    }

    /// The peer's operator wanted nothing moved when the peer was last heard.
    pub fn is_peer_in_maintenance(&self) -> bool {
        !self.clock.is_past(self.clock.peer_maintained_until)
    }

    /// Our operator wants nothing held here, or nothing moved.
    pub fn is_restrained(&self) -> bool {
        self.own.standby != Standby::No || self.is_in_maintenance()
    }
}
