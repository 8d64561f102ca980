//! Standby and maintenance: what the operator told this node not to do.

use super::{Leaving, Node, emit};
use crate::pair::{Role, Side};
use crate::quorum::event::{Effect, Effects};
use crate::quorum::facts::Standby;
use crate::quorum::moves::{Standbys, yields_standby};
use crate::quorum::record::Record;
use crate::quorum::succession::Restraint;
use crate::reasons::Denial;
use crate::time::{Instant, Span};

impl Node {
    /// Takes over what the operator has told an earlier run. Called before the first step of a run that is no
    /// successor.
    pub fn restrain(&mut self, restraint: Restraint) {
        self.restraint = restraint;
    }

    pub(super) fn no_maintenance(&self) -> Result<(), Denial> {
        self.restraint.maintenance_until.map_or(Ok(()), |_| Err(Denial::Maintenance))
    }

    /// Begins standby; without `force` only if the peer can serve what we hold.
    pub(super) fn ask_standby(
        &mut self,
        now: Instant,
        force: bool,
        effects: &mut Effects,
    ) -> Result<(), Denial> {
        self.no_maintenance()?;
        if self.leaving != Leaving::No {
            return Err(Denial::Unable);
        }
        if !force {
            self.peer_could_serve_instead(now)?;
        }
        if self.restraint.standby == Standby::No {
            emit(effects, Effect::Record(Record::Standby(true)));
        }
        self.restraint.standby = if force { Standby::Forced } else { Standby::Asked };
        self.standby_asked_at = Some(now);
        self.is_urgent = true;
        Ok(())
    }

    fn peer_could_serve_instead(&self, now: Instant) -> Result<(), Denial> {
        if !self.is_on_time(now) {
            return Err(Denial::PeerNotHeard);
        }
        if self.is_peer_in_standby() {
            return Err(Denial::PeerStandby);
        }
        for (id, group) in self.policy.group_ids().zip(&self.groups) {
            if matches!(group.role, Role::Acquiring | Role::Active) {
                self.peer_could(now, id)?;
            }
        }
        Ok(())
    }

    pub(super) fn ask_online(&mut self, effects: &mut Effects) -> Result<(), Denial> {
        if self.restraint.standby != Standby::No {
            self.restraint.standby = Standby::No;
            self.is_urgent = true;
            emit(effects, Effect::Record(Record::Standby(false)));
        }
        Ok(())
    }

    /// Begins maintenance; zero ends it.
    pub(super) fn ask_maintenance(
        &mut self,
        now: Instant,
        lasts: Span,
        effects: &mut Effects,
    ) -> Result<(), Denial> {
        if lasts == Span::ZERO {
            self.end_maintenance(effects);
        } else {
            self.restraint.maintenance_until = Some(now + lasts);
            emit(effects, Effect::Record(Record::Maintenance(Some(lasts))));
        }
        self.is_urgent = true;
        Ok(())
    }

    fn end_maintenance(&mut self, effects: &mut Effects) {
        if self.restraint.maintenance_until.take().is_some() {
            emit(effects, Effect::Record(Record::Maintenance(None)));
        }
    }

    /// Ends maintenance when its time is over, and one of two standbys if it has to end.
    pub(super) fn keep_restraint(&mut self, now: Instant, effects: &mut Effects) {
        if self.restraint.maintenance_until.is_some_and(|until| now >= until) {
            self.end_maintenance(effects);
            self.is_urgent = true;
        }
        if self.restraint.standby != Standby::No && yields_standby(&self.standbys(now)) {
            self.restraint.standby = Standby::No;
            self.is_urgent = true;
            emit(effects, Effect::Record(Record::StandbyYielded));
        }
    }

    fn standbys(&self, now: Instant) -> Standbys {
        Standbys {
            standby: self.restraint.standby,
            is_lower: self.me == Side::A,
            is_on_time: self.is_on_time(now),
            asked_at: self.standby_asked_at,
            theirs_since: self.peer.standby_since(),
            acked_at: self.peer.acked_at(),
            late_after: self.times.shortest_late_after,
        }
    }

    fn is_peer_in_standby(&self) -> bool {
        self.peer.beat().is_some_and(|beat| beat.standing.standby)
    }
}
