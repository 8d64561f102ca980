//! What a node keeps about one group.

use serde::{Deserialize, Serialize};

use super::facts::{Fence, Wait};
use super::probe::Probe;
use super::record::Incident;
use super::timers::{Timer, Timers};
use crate::frame::message::{GroupReport, Incarnation, MAX_TERM};
use crate::pair::{GroupId, Role, Word};
use crate::resource::{Condition, Fault, ReleaseOrder, Token};
use crate::time::{Instant, Span};

/// How long a node that failed to serve waits before it may try again.
pub const RETRY_AFTER: Span = Span::from_s(10);
/// How long, on top of two leases, what was prepared may wait to be taken; then it is let go again. A peer
/// that has just died needs less than that to let go.
pub const PREPARED_FOR: Span = Span::from_s(10);
/// How long a fence is left alone that could not be confirmed. It may work all the same, and must not keep
/// the peer from booting.
pub const FENCE_AGAIN_AFTER: Span = Span::from_s(300);
/// How long nothing more is let go for a peer that did not take the last offer; twice as long each time.
pub const UNUSED_WAIT: Span = Span::from_s(10);
/// For so long after a group was taken from a peer that let it go, an answer of the peer means that its
/// kernel has not let it go.
pub const STILL_HELD_WITHIN: Span = Span::from_s(1);
/// Our own announcements answer a foreign claim at most this often, so that two holders do not flood the
/// wire.
pub const DEFEND_EVERY: Span = Span::from_s(1);
/// How long a foreign claim for what we serve is shown.
pub const CLAIM_SHOWN: Span = Span::from_s(60);
/// How long the guard may take to answer before the order is given once more. It may have hung, with its
/// socket full.
pub const REPEAT_AFTER: Span = Span::from_s(1);
/// How long an operator's request stands before it lapses.
pub const WISH_LASTS: Span = Span::from_s(10);
/// So many hasty wishes of the peer cost nothing: an operator tries a pair.
const FREE_WISHES: u8 = 3;
/// Further ones are so far apart. The request behind one stands for longer.
const HASTY_WAIT: Span = Span::from_s(5);
/// A group that was served this long has stopped flapping.
pub const STEADY_AFTER: Span = Span::from_s(3_600);
/// A failback waits at most two to the power of this times its setting.
pub const MAX_FLAPS: u8 = 5;
/// The least that a failback waits, before doubling, once the group was lost without a plan.
pub const FLAP_WAIT: Span = Span::from_s(5);

/// A renewal on its way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Renewal {
    /// Its order.
    pub token: Token,
    /// When it was ordered. Once it is confirmed, the new lease is reckoned from then.
    pub sent_at: Instant,
}

/// Both nodes serve a group.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Tied {
    /// When the first frame told us.
    pub seen_at: Instant,
    /// The earliest instant at which both can have begun to serve.
    pub began_at: Instant,
    /// How long no path had heard the peer before, if so.
    pub unheard: Option<Span>,
    /// The operator has been told that it lasts.
    pub is_said: bool,
}

/// One group as this node sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// What we are for it.
    pub role: Role,
    /// Newest term that we know of.
    pub term: u32,
    /// The term under which we hold it, or did last.
    pub held_term: u32,
    /// The acquire or release on its way.
    pub pending: Option<Token>,
    /// What the release on its way lets go of first.
    pub letting_go: ReleaseOrder,
    /// The renewal on its way.
    pub renewal: Option<Renewal>,
    /// What it waits for, and until when.
    pub timers: Timers,
    /// Until when the kernel keeps the addresses at least.
    pub lease_until: Instant,
    /// How many times in a row the peer did not take what was let go for it.
    pub unused_offers: u8,
    /// How many times the peer has asked for what was hardly served here, since it was last served for long.
    pub hasty_wishes: u8,
    /// The peer says that it has let the group go.
    pub has_peer_yielded: bool,
    /// The release on its way is for the peer.
    pub is_offering: bool,
    /// The release on its way ends in a fault.
    pub is_failing: bool,
    /// How its scripts are, while it is served.
    pub condition: Condition,
    /// Since when nobody holds it, as far as we are told.
    pub vacant_since: Option<Instant>,
    /// Since when we could not serve it.
    pub unable_since: Option<Instant>,
    /// Since when the peer could not, by what it says of itself.
    pub peer_unable_since: Option<Instant>,
    /// Since when nobody has served it, as far as we know.
    pub unserved_since: Option<Instant>,
    /// Since when nobody has served it, is about to take it, or lets it go.
    pub idle_since: Option<Instant>,
    /// Why it is not held here, or not all of it.
    pub fault: Option<Fault>,
    /// All interfaces have carrier.
    pub is_lit: bool,
    /// It has carrier enough to be served: what is dark is so on both nodes, and something is left.
    pub has_carrier: bool,
    /// Since when some interface of it has had none.
    pub dark_since: Option<Instant>,
    /// Since when the peer could serve it, by what it says.
    pub peer_able_since: Option<Instant>,
    /// The peer is asked whether it still can.
    pub is_asking_for_carrier: bool,
    /// We are cut off on an interface of it, and the peer is not.
    pub is_cut_off: bool,
    /// It could not be taken now: somebody answers for an address of it, or the guard does not ask.
    pub is_hindered: bool,
    /// Since when our beats have said that we would take it now, while nobody holds it.
    pub claims_since: Option<Instant>,
    /// The peer could not take it over from us, as we have said.
    pub is_peer_unable: bool,
    /// The run and the term of the peer's under which its lease of the group has lapsed.
    pub lapsed_there: Option<(Incarnation, u32)>,
    /// The peer claims it together with us: when it stops, we announce again.
    pub tied: Option<Tied>,
    /// Since when we have had it, if it was taken on the peer's word; and the MAC that had answered for one
    /// of its addresses by then, if any.
    pub taken_from: Option<(Option<[u8; 6]>, Instant)>,
    /// When the peer's kernel last answered for an address that the peer has let go for us.
    pub still_held_at: Option<Instant>,
    /// What the wire says.
    pub probe: Probe,
    /// How far the fence is.
    pub fence: Fence,
    /// The fence on its way.
    pub fence_token: Option<Token>,
    /// When a foreign claim may be answered again.
    pub defend_from: Instant,
    /// An operator has moved it to the peer: no failback undoes that.
    pub is_given_away: bool,
    /// The scripts that come before its addresses run. It takes a release to let it go.
    pub is_prepared: bool,
    /// Unplanned losses since the group was last served for long: each doubles the wait for a failback.
    pub flaps: u8,
    /// Since when we have served it.
    pub active_since: Option<Instant>,
    /// Why it is not taken, and until when, as was recorded last.
    pub said: Option<Wait>,
    /// The MAC that was last recorded to answer for one of its addresses.
    pub said_mac: Option<[u8; 6]>,
    /// The box that is neither node and was the last one to claim one of its addresses, and when.
    pub stranger: Option<([u8; 6], Instant)>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            role: Role::Backup,
            term: 0,
            held_term: 0,
            pending: None,
            letting_go: ReleaseOrder::AddressesFirst,
            renewal: None,
            timers: Timers::default(),
            lease_until: Instant::NEVER,
            unused_offers: 0,
            hasty_wishes: 0,
            has_peer_yielded: false,
            is_offering: false,
            is_failing: false,
            condition: Condition::Well,
            vacant_since: None,
            unable_since: None,
            peer_unable_since: None,
            unserved_since: None,
            idle_since: None,
            fault: None,
            is_lit: false,
            has_carrier: false,
            dark_since: None,
            peer_able_since: None,
            is_asking_for_carrier: false,
            is_cut_off: false,
            is_hindered: false,
            claims_since: None,
            is_peer_unable: false,
            lapsed_there: None,
            tied: None,
            taken_from: None,
            still_held_at: None,
            probe: Probe::default(),
            fence: Fence::Untried,
            fence_token: None,
            defend_from: Instant::ORIGIN,
            is_given_away: false,
            is_prepared: false,
            flaps: 0,
            active_since: None,
            said: None,
            said_mac: None,
            stranger: None,
        }
    }
}

impl Tied {
    /// The record of both serving it, once one of them has let go.
    pub fn incident(&self, now: Instant, group: GroupId, is_kept: bool) -> Incident {
        let began = now.since(self.began_at);
        Incident { group, is_kept, began, settled_in: now.since(self.seen_at), unheard: self.unheard }
    }
}

impl Group {
    /// Notes a term that we heard of, or are about to serve under. Says whether it has just become the
    /// highest possible one: from then on two that serve are told apart by their names alone.
    pub fn note_term(&mut self, term: u32) -> bool {
        let before = self.term;
        self.term = before.max(term).min(MAX_TERM);
        before < MAX_TERM && self.term == MAX_TERM
    }

    /// The scripts that come before its addresses run. Nothing is held, and the wire is asked as for a
    /// backup.
    pub fn is_preparing(&self) -> bool {
        self.role == Role::Acquiring && self.timers.is_set(Timer::Prepare)
    }

    /// The scripts that come before its addresses run. The addresses are ordered once everything was judged
    /// anew.
    pub fn stay_prepared(&mut self, now: Instant, lease: Span) {
        (self.is_prepared, self.pending, self.lease_until) = (true, None, Instant::NEVER);
        self.timers.stop(Timer::Renewal);
        self.timers.set(Timer::Prepare, now + PREPARED_FOR + lease + lease);
    }

    /// Notes since when it has had no carrier while the peer could serve it. Says whether the peer has to be
    /// asked now if it still can.
    pub fn note_carrier(&mut self, now: Instant, is_peer_able: bool, delay: Span) -> bool {
        self.dark_since = (!self.has_carrier).then(|| self.dark_since.unwrap_or(now));
        self.peer_able_since = is_peer_able.then(|| self.peer_able_since.unwrap_or(now));
        let is_asking = now >= self.dark_for(delay);
        !core::mem::replace(&mut self.is_asking_for_carrier, is_asking) && is_asking
    }

    /// When it has had no carrier for so long, while the peer could have served it.
    pub fn dark_for(&self, delay: Span) -> Instant {
        self.dark_since
            .zip(self.peer_able_since)
            .map_or(Instant::NEVER, |(dark, able)| dark.max(able) + delay)
    }

    /// The box that is neither node and has claimed one of its addresses lately.
    pub fn strangers_mac(&self, now: Instant) -> Option<[u8; 6]> {
        self.stranger.filter(|(_, at)| now < *at + CLAIM_SHOWN).map(|(mac, _)| mac)
    }

    /// Our kernel does not take one of its addresses.
    pub fn is_refused(&self) -> bool {
        self.fault.is_some_and(Fault::is_refusal)
    }

    /// No check of a group that is not held here fails.
    pub fn is_ready(&self) -> bool {
        !matches!(self.condition, Condition::Unready(_))
    }

    /// It has carrier, and could not be served here all the same.
    fn is_hampered(&self) -> bool {
        self.is_hindered || self.is_cut_off || self.is_refused()
    }

    /// Checks what must be so whatever comes in. It runs after every event, in tests and in the simulator.
    ///
    /// # Panics
    ///
    /// If it is not so, where debug assertions are on.
    pub fn assert_sound(&self) {
        let is_expecting = self.pending.is_some() || self.timers.is_set(Timer::ReleaseAgain);
        match self.role {
            Role::Backup | Role::Faulty => {
                debug_assert!(self.renewal.is_none(), "nothing is renewed that is not held");
            }
            Role::Acquiring => debug_assert!(
                self.pending.is_some() || self.timers.is_set(Timer::Prepare),
                "an acquisition is on its way, or waits"
            ),
            Role::Active => debug_assert!(self.pending.is_none(), "what is served waits for no order"),
            Role::Releasing => debug_assert!(is_expecting, "a release is on its way, or comes again"),
        }
        let is_taken = matches!(self.role, Role::Acquiring | Role::Active);
        debug_assert!(!is_taken || self.held_term > 0, "what is held has a term");
        debug_assert!(
            self.role.is_holding() || self.lease_until == Instant::NEVER,
            "nothing has a lease that is not held"
        );
        debug_assert_eq!(self.active_since.is_some(), self.role == Role::Active, "since when it is served");
        debug_assert!(self.tied.is_none() || self.role.is_holding(), "who holds nothing has no rival");
        debug_assert!(
            self.fence != Fence::Failed || self.timers.is_set(Timer::FenceAgain),
            "a fence that failed is tried again"
        );
        debug_assert!(self.held_term <= self.term, "no term is known that is higher than the highest");
        debug_assert!(self.claims_since.is_none() || self.role == Role::Backup, "nobody claims what it has");
        debug_assert!(
            self.fence_token.is_none() || self.fence == Fence::Pending,
            "a fence on its way is pending"
        );
    }

    /// It is on its way out in good order: its addresses are renewed while scripts stop.
    pub fn keeps_addresses(&self) -> bool {
        self.role == Role::Releasing && self.timers.is_set(Timer::Renewal)
    }

    /// What our beats say of it.
    pub fn report(&self, tag: u8) -> GroupReport {
        let word = match self.role {
            Role::Acquiring | Role::Active | Role::Releasing | Role::Faulty => Word::None,
            Role::Backup if self.timers.is_set(Timer::Offer) => Word::Offered,
            Role::Backup if self.claims_since.is_some() => Word::Wanted,
            Role::Backup if self.timers.is_set(Timer::Yield) => Word::Yielded,
            Role::Backup if !self.has_carrier || self.is_hampered() => Word::Unable,
            Role::Backup if !self.is_ready() => Word::Unready,
            Role::Backup if self.timers.is_set(Timer::Wanted) => Word::Wanted,
            Role::Backup => Word::None,
        };
        GroupReport { tag, role: self.role, term: self.said_term(), word }
    }

    /// The term under which it is held; if it is not held, the highest one that is known.
    pub fn said_term(&self) -> u32 {
        if self.role.is_holding() { self.held_term } else { self.term }
    }

    /// The peer's kernel has just answered for what the peer let go for us.
    pub fn is_still_held(&self, now: Instant) -> bool {
        self.role == Role::Active && self.still_held_at.is_some_and(|at| now.since(at) < STILL_HELD_WITHIN)
    }

    /// The peer did not take what was let go for it. When it asks the next time, it has to wait.
    pub fn note_unused_offer(&mut self, now: Instant) {
        let wait = UNUSED_WAIT.fraction(1u64.wrapping_shl(u32::from(self.unused_offers)), 1);
        self.timers.set(Timer::NextOffer, now + wait);
        self.unused_offers = self.unused_offers.saturating_add(1).min(MAX_FLAPS);
    }

    /// The peer holds what was let go for it. What it asks for hastily waits all the same.
    pub fn note_taken_offer(&mut self) {
        self.unused_offers = 0;
        if self.hasty_wishes <= FREE_WISHES {
            self.timers.stop(Timer::NextOffer);
        }
    }

    /// It was lost without a plan, and by what the peer said if `is_peers_doing`. The first such loss costs
    /// nothing; each further one keeps this node from taking it on the peer's word for twice as long as the
    /// last, so that no peer makes it go to and fro. What somebody has asked for is no loss: a restraint that
    /// came of it would leave nobody serving after the next move that is asked for.
    pub fn note_loss(&mut self, now: Instant, is_peers_doing: bool, dead_after: Span) {
        if is_peers_doing && self.flaps > 0 {
            let wait = dead_after.fraction(1u64.wrapping_shl(u32::from(self.flaps)), 1);
            self.timers.set(Timer::Unsteady, now + wait);
        }
        self.flaps = self.flaps.saturating_add(1).min(MAX_FLAPS);
    }

    /// The peer has asked for what was hardly served here. After some such wishes each next one waits, while
    /// it is served here, so that no peer makes it go to and fro without end.
    pub fn note_hasty_wish(&mut self, now: Instant) {
        self.hasty_wishes = self.hasty_wishes.saturating_add(1);
        if self.hasty_wishes > FREE_WISHES {
            self.timers.set(Timer::NextOffer, now + HASTY_WAIT);
        }
    }

    /// How long the preferred node has to be well before it asks for the group, where the configuration says
    /// `wait`: each unplanned loss doubles that, and the first one makes `immediate` a wait too.
    pub fn failback_wait(&self, wait: Span) -> Span {
        let flaps = u32::from(self.flaps.min(MAX_FLAPS));
        let least = if flaps == 0 { Span::ZERO } else { FLAP_WAIT };
        wait.max(least).fraction(1u64.wrapping_shl(flaps), 1)
    }

    /// What is held has no lease any more, and none is asked for.
    pub fn drop_lease(&mut self) {
        (self.renewal, self.lease_until) = (None, Instant::NEVER);
        self.timers.stop(Timer::Renewal);
    }
}
