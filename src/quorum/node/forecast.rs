//! What one more fault would lead to: the situations of both nodes after it, from what this one knows of
//! both.

use heapless::Vec;

use super::{GuardState, Leaving, Node};
use crate::config::MAX_PATHS;
use crate::frame::message::Beat;
use crate::health::{PathState, WitnessView};
use crate::pair::{GroupId, Mechanisms, Role, Side, Trouble, Word};
use crate::quorum::facts::{Clock, Fence, OwnFacts, PeerFacts, Situation, Standby, WireFacts};
use crate::quorum::forecast::{
    Forecast, MAX_FORECASTS, NextFault, Prospect, Waits, in_silence, kept, parted, silenced, taken,
};
use crate::quorum::group::{CLAIM_SHOWN, Group};
use crate::quorum::probe::Finding;
use crate::quorum::timing;
use crate::quorum::verdict::{Testimony, verdict};
use crate::reasons::Verdict;
use crate::time::{Instant, Span};
use crate::vote::VoteView;

impl Node {
    /// What each further fault would lead to now.
    pub fn forecasts(&self, now: Instant) -> Vec<Forecast, MAX_FORECASTS> {
        let mut forecasts = Vec::new();
        // There is room for the forecast of each.
        let mut tell = |loss| drop(forecasts.push(self.forecast(now, loss)));
        self.policy.path_ids().for_each(|path| tell(NextFault::Path(path)));
        tell(NextFault::Power(Side::A));
        tell(NextFault::Power(Side::B));
        if self.witnesses.count() > 0 || self.policy.has_vote {
            tell(NextFault::Witness);
        }
        forecasts
    }

    fn forecast(&self, now: Instant, loss: NextFault) -> Forecast {
        let groups = self.policy.group_ids().map(|id| self.prospect(now, id, loss)).collect();
        let is_then_told = match loss {
            NextFault::Path(_) | NextFault::Witness => self.is_known(now) && self.is_heard_without(now, loss),
            NextFault::Power(_) => false,
        };
        let then = self
            .policy
            .group_ids()
            .filter(|_| is_then_told)
            .map(|id| self.after_servers_power(now, id, Some(loss)))
            .collect();
        Forecast { loss, groups, then }
    }

    fn prospect(&self, now: Instant, id: GroupId, loss: NextFault) -> Prospect {
        let Some((server, group)) = self.server(now, id).zip(self.groups.get(id.index())) else {
            return Prospect::Unknown;
        };
        let is_mine = server == self.me;
        match loss {
            NextFault::Power(side) if side == server => self.after_servers_power(now, id, None),
            NextFault::Path(_) | NextFault::Power(_) | NextFault::Witness if self.is_alone() && is_mine => {
                kept(self.mine_in_silence(now, id, group, Some(loss)))
            }
            NextFault::Path(_) | NextFault::Power(_) | NextFault::Witness if !self.is_known(now) => {
                Prospect::Unknown
            }
            NextFault::Power(_) if is_mine => kept(self.mine_in_silence(now, id, group, None)),
            NextFault::Power(_) => self.theirs(now, id, group, None).map_or(Prospect::Unknown, kept),
            NextFault::Path(_) | NextFault::Witness if self.is_heard_without(now, loss) => Prospect::ServedOn,
            NextFault::Path(_) | NextFault::Witness => self.after_parting(now, id, group, is_mine, loss),
        }
    }

    /// Who serves a group, as far as this node can tell.
    fn server(&self, now: Instant, id: GroupId) -> Option<Side> {
        let group = self.groups.get(id.index())?;
        let theirs =
            self.peer.group(id, &self.policy).filter(|_| self.is_heard(now)).map(|report| report.role);
        match (group.role, theirs) {
            (Role::Active, Some(Role::Active)) => None,
            (Role::Active, _) => Some(self.me),
            (_, Some(Role::Active)) => Some(self.me.peer()),
            _ => None,
        }
    }

    /// The peer is off, gone, or was never there.
    fn is_alone(&self) -> bool {
        matches!(self.verdict, Verdict::Dead | Verdict::Departed | Verdict::Doubtful)
    }

    /// Each node knows of the other what that one would go by.
    fn is_known(&self, now: Instant) -> bool {
        self.is_on_time(now)
            && now >= self.judge_from
            && self.peer.does_know_us()
            && !self.is_digest_different
            && !self.peer.has_left()
            && self.leaving == Leaving::No
            && self.paths.iter().all(|path| path.state != PathState::Refused)
    }

    /// Each node still hears the other then.
    fn is_heard_without(&self, now: Instant, loss: NextFault) -> bool {
        let is_left = |index: usize| !is_lost(index, Some(loss)) && self.is_on_time_on(now, index);
        let left = || (0..self.paths.len()).filter(|index| is_left(*index));
        left().next().is_some() && left().any(|index| !self.is_unheard_on(index))
    }

    fn is_on_time_on(&self, now: Instant, index: usize) -> bool {
        self.paths.get(index).is_some_and(|path| path.detector.state(now, None).is_heard())
    }

    /// What follows when the box that serves the group loses its power, after that other loss, if there was
    /// one.
    fn after_servers_power(&self, now: Instant, id: GroupId, before: Option<NextFault>) -> Prospect {
        let Some((server, group)) = self.server(now, id).zip(self.groups.get(id.index())) else {
            return Prospect::Unknown;
        };
        if server == self.me && self.is_alone() {
            return Prospect::NotAble;
        }
        if !self.is_known(now) {
            return Prospect::Unknown;
        }
        self.taken_by_other(now, id, group, server == self.me, before)
    }

    /// What the node that stands by would do beside silence.
    fn taken_by_other(
        &self,
        now: Instant,
        id: GroupId,
        group: &Group,
        is_mine: bool,
        before: Option<NextFault>,
    ) -> Prospect {
        if !is_mine {
            return match group.role {
                Role::Backup if group.is_refused() => Prospect::NotAble,
                Role::Backup => {
                    taken(self.mine_in_silence(now, id, group, before), self.waits(self.peer.mechanisms()))
                }
                Role::Faulty => Prospect::NotAble,
                Role::Acquiring | Role::Active | Role::Releasing => Prospect::Unknown,
            };
        }
        let Some(report) = self.peer.group(id, &self.policy) else { return Prospect::Unknown };
        // It would not take the group from a holder, and does from one that is gone.
        let is_able =
            matches!(report.word, Word::None | Word::Wanted | Word::Offered | Word::Yielded | Word::Unready);
        if report.role != Role::Backup || !is_able {
            return Prospect::NotAble;
        }
        let waits = self.waits(Some(self.mechanisms(now)));
        self.theirs(now, id, group, before).map_or(Prospect::Unknown, |situation| taken(situation, waits))
    }

    /// Both live, and neither hears the other any more.
    fn after_parting(
        &self,
        now: Instant,
        id: GroupId,
        group: &Group,
        is_mine: bool,
        loss: NextFault,
    ) -> Prospect {
        let is_one_way = (0..self.paths.len()).any(|index| {
            !is_lost(index, Some(loss)) && (self.is_on_time_on(now, index) || !self.is_unheard_on(index))
        });
        let holder = if is_mine {
            Some(self.mine_in_silence(now, id, group, Some(loss)))
        } else {
            self.theirs(now, id, group, Some(loss))
        };
        match holder.filter(|_| !is_one_way) {
            // The last loss silences every path at once: no path outlived it.
            Some(holder) => match (kept(holder), holder.wire.vote) {
                // The voting witness grants the other node nothing meanwhile.
                (Prospect::ServedOn, VoteView::Granted) => Prospect::ServedOn,
                (kept, _) => parted(kept, self.taken_by_other(now, id, group, is_mine, None)),
            },
            None => Prospect::Unknown,
        }
    }

    /// Our situation once the peer is silent.
    fn mine_in_silence(
        &self,
        now: Instant,
        id: GroupId,
        group: &Group,
        before: Option<NextFault>,
    ) -> Situation {
        let paths = self.testimonies(now);
        let paths = paths.iter().enumerate().map(|(index, path)| silenced(*path, is_lost(index, before)));
        let is_deaf = self.policy.path_ids().zip(&self.paths).any(|(path, kept)| {
            kept.detector.self_test.is_deaf()
                && self.policy.groups.get(id.index()).is_some_and(|group| group.is_on(path))
        });
        let s = in_silence(self.situation(now, id, group));
        let verdict = verdict(&paths.collect::<Vec<_, MAX_PATHS>>(), false);
        let finding = if is_deaf { Finding::Impossible } else { answer(self.claimant(now, group)) };
        let (witness, neighbours) = (self.sight(now, before, true), self.neighbours_now(id, true));
        let vote = self.vote_after(now, id, before, true);
        let wire = WireFacts { finding, witness, neighbours, vote };
        Situation { peer: PeerFacts { verdict, ..s.peer }, wire, ..s }
    }

    /// The peer's situation once we are silent, by what it says; `None` where that is not enough.
    fn theirs(
        &self,
        now: Instant,
        id: GroupId,
        group: &Group,
        before: Option<NextFault>,
    ) -> Option<Situation> {
        let Beat { standing, .. } = self.peer.beat()?;
        let is_server = self.server(now, id) == Some(self.me.peer());
        if standing.leaving || standing.cold_start || standing.shadow || (is_server && self.is_dark_there(id))
        {
            return None;
        }
        let path = |(index, path): (usize, &super::Path)| Testimony {
            kind: path.detector.kind(),
            state: match (self.is_unheard_on(index), is_lost(index, before)) {
                (false, false) => PathState::Silent,
                (true, _) | (false, true) => PathState::Broken,
            },
            lines: path.detector.lines(),
            is_cut_short: false,
            is_broken_briefly: false,
        };
        let paths: Vec<_, MAX_PATHS> = self.paths.iter().enumerate().map(path).collect();
        let s = in_silence(self.situation(now, id, group));
        Some(Situation {
            peer: PeerFacts {
                verdict: verdict(&paths, false),
                was_ever_heard: true,
                is_troubled: self.guard != GuardState::Fine,
                fence: Fence::Untried,
                ..s.peer
            },
            own: OwnFacts {
                has_carrier: true,
                is_able: standing.trouble == Trouble::None,
                is_stopping: false,
                standby: if standing.standby { Standby::Asked } else { Standby::No },
                is_unfit: false,
                is_ready: self.peer.group(id, &self.policy).is_none_or(|said| said.word != Word::Unready),
                is_stuck: false,
                is_address_refused: false,
                is_cut_off: false,
                ..s.own
            },
            wire: WireFacts {
                finding: answer(self.claimant(now, group)),
                witness: self.sight(now, before, false),
                neighbours: self.neighbours_now(id, false),
                vote: self.vote_after(now, id, before, false),
            },
            clock: Clock {
                maintained_until: standing.maintenance.map_or(Instant::ORIGIN, |left| now + left),
                peer_maintained_until: s.clock.maintained_until,
                unsteady_until: Instant::ORIGIN,
                alone_at: Instant::NEVER,
                dark_at: Instant::NEVER,
                outseen_at: Instant::NEVER,
                ..s.clock
            },
            ..s
        })
    }

    /// The box that is neither node and has claimed an address of the group lately: who serves it next would
    /// find that out.
    fn claimant(&self, now: Instant, group: &Group) -> Option<[u8; 6]> {
        let is_contested = group.role == Role::Active && now < group.defend_from + CLAIM_SHOWN;
        let is_peers = |mac: &[u8; 6]| self.paths.iter().any(|path| path.peer_mac == Some(*mac));
        let claimed = group.said_mac.filter(|mac| is_contested && !is_peers(mac));
        claimed.or(group.strangers_mac(now))
    }

    /// What the voting witness would grant a node after that fault: a holder claims first. Without the
    /// witness both nodes go by the rules of a pair without one, if they can still tell each other; what
    /// comes before they have is not granted.
    fn vote_after(&self, now: Instant, id: GroupId, before: Option<NextFault>, is_mine: bool) -> VoteView {
        if !self.is_vote_counted() {
            return VoteView::NotNeeded;
        }
        let is_lost = before == Some(NextFault::Witness);
        let is_held = is_mine == (self.server(now, id) == Some(self.me));
        match (is_lost, is_mine && self.is_vote_in_doubt(now)) {
            (false, false) => VoteView::Granted,
            (true, _) if self.is_heard_without(now, NextFault::Witness) => VoteView::NotNeeded,
            (true, _) | (false, true) if is_held && self.is_grant_standing(id) => VoteView::Granted,
            (true, _) | (false, true) => VoteView::Missing,
        }
    }

    /// What a node sees of the witnesses, by what each says now. A witness that neither node sees proves
    /// nothing, if both know that of each other.
    fn sight(&self, now: Instant, before: Option<NextFault>, is_mine: bool) -> WitnessView {
        let ours = self.witnesses.seen_bits(now, self.sight_window()) != 0;
        let theirs = self.witnesses.each().any(|(_, is_seen_there)| is_seen_there);
        let (sees, other) = if is_mine { (ours, theirs) } else { (theirs, ours) };
        let do_know = self.is_known(now);
        if self.witnesses.count() == 0 {
            WitnessView::None
        } else if before == Some(NextFault::Witness) {
            let is_exchanged = do_know && self.is_heard_without(now, NextFault::Witness);
            if is_exchanged { WitnessView::None } else { WitnessView::Unseen }
        } else if sees {
            WitnessView::Seen
        } else if do_know && !other {
            WitnessView::None
        } else {
            WitnessView::Unseen
        }
    }

    /// What passes until a node with these mechanisms is certain to have let go.
    fn waits(&self, armed: Option<Mechanisms>) -> Waits {
        let dead_after = self.slowest_dead_after();
        let armed = armed.filter(|armed| armed.lease_s > 0 || armed.watchdog_s > 0);
        let watched = armed.filter(|armed| armed.watchdog_s > 0);
        let seconds = |s: u8| Span::from_s(u64::from(s));
        let stopped =
            |armed: Mechanisms| timing::scripts_bound(dead_after, Span::from_s(u64::from(armed.stop_s)));
        Waits {
            silent: timing::takeover_after(dead_after),
            released: armed
                .map(|armed| timing::with_drift(timing::released_after(dead_after, dead_after, armed))),
            reset: watched
                .map(|armed| timing::with_drift(stopped(armed) + seconds(armed.watchdog_s) + self.pace())),
        }
    }
}

/// What a probe would show.
fn answer(claimant: Option<[u8; 6]>) -> Finding {
    if claimant.is_some() { Finding::VipAnswers } else { Finding::Clear }
}

fn is_lost(index: usize, loss: Option<NextFault>) -> bool {
    match loss {
        Some(NextFault::Path(path)) => path.index() == index,
        Some(NextFault::Power(_) | NextFault::Witness) | None => false,
    }
}
