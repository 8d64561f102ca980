//! Carrying out orders. Whatever the agent is owed for one is told when the kernel or the scripts have spoken.

use std::os::fd::OwnedFd;

use crosswire::config::{GroupId, PathId};
use crosswire::resource::{Fault, Order, Outcome, ReleaseOrder, Ticket, Token};
use crosswire::time::Instant;
use log::{info, warn};
use nix::errno::Errno;

use super::addresses::Renewal;
use super::duty::Reason;
use super::group::{Action, End, Next};
use super::monitor::Watches;
use super::ports::{OpenError, open_path};
use super::probe;
use super::turns::Guard;
use super::watchdog::{Armed, Watchdog};
use super::wire::FromGuard;
use crate::clock::now;
use crate::settings::{GroupSettings, Script};

/// What ends an agent that speaks of what is not configured.
const UNKNOWN_GROUP: &str = "the agent names a group that is not configured";
const UNKNOWN_PATH: &str = "the agent names a path that is not configured";

impl Guard<'_> {
    /// Carries out an order, or puts a renewal aside for the batch at the end of the turn. A renewal that came before
    /// a release in the same batch thereby comes after it, and finds nothing to revive.
    pub(super) fn carry_out(&mut self, ticket: Ticket, renewals: &mut Vec<Ticket>) -> Result<(), &'static str> {
        let index = group_of(&ticket).index();
        let group = self.settings.groups.get(index).ok_or(UNKNOWN_GROUP)?;
        match ticket.order {
            Order::Renew { .. } => renewals.push(ticket),
            Order::Acquire { term, .. } => self.acquire(ticket, index, term),
            Order::Release { first, .. } => self.release(index, Some(ticket.token), first),
            Order::Fence { .. } => self.fence(ticket),
            Order::Announce { .. } => self.announce_after_rival(index),
            Order::Probe { .. } => self.done(ticket.token, self.probe(ticket, group)),
        }
        Ok(())
    }

    fn acquire(&mut self, ticket: Ticket, index: usize, term: u32) {
        let (Some(duty), Some(group)) = (self.duties.get_mut(index), self.settings.groups.get(index)) else { return };
        if !duty.group.is_free() || duty.group.is_stuck() {
            return self.done(ticket.token, Outcome::Failed(Fault::OutOfOrder));
        }
        // Armed first: what is held without it would outlive a guard that hangs.
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.armed().is_none()
        {
            if watchdog.arm(now()).is_none() {
                return self.done(ticket.token, Outcome::Failed(Fault::NoWatchdog));
            }
            self.tell_watchdog();
        }
        let asked_at = now();
        if let Err(fault) = self.hold(group, ticket.valid_until) {
            warn!("group {}: cannot be held: {}", group.name, said(fault, group));
            return self.done(ticket.token, Outcome::Failed(fault));
        }
        self.tell_lifetime();
        let Some(duty) = self.duties.get_mut(index) else { return };
        info!("group {}: {} addresses held for term {term}", group.name, group.addresses.len());
        duty.term = term;
        duty.reason = Reason::Acquire;
        duty.renewal_fault = None;
        duty.extend(asked_at, self.settings.policy.lease);
        duty.announce_from(now());
        duty.group.acquired(ticket.token);
        duty.watches = Watches::new(&duty.scripts);
        self.advance(index);
    }

    /// Addresses first, which the routes need; both or neither. A node that cannot have its routes leaves the group to a peer
    /// that may.
    fn hold(&mut self, group: &GroupSettings, valid_until: Instant) -> Result<(), Fault> {
        self.addresses.add(&group.addresses, valid_until)?;
        let routed = self.addresses.add_routes(&group.routes, valid_until);
        if routed.is_err() {
            // The cause is worth more than how the clean-up went, and the lifetime ends what that should miss.
            let _ = self.addresses.remove(&group.addresses);
        }
        routed
    }

    /// The peer has to know what it can count on.
    pub(super) fn tell_lifetime(&mut self) {
        if self.addresses.is_lifetime_ignored() {
            self.tell(&FromGuard::LifetimeIgnored, None);
        }
    }

    /// A rival has let go: the neighbours must learn at once who is left.
    fn announce_after_rival(&mut self, index: usize) {
        if let Some(duty) = self.duties.get_mut(index).filter(|duty| duty.group.is_held()) {
            duty.announce_from(now());
        }
    }

    /// Lets a group go; `token` is none when the guard itself does.
    pub(super) fn release(&mut self, index: usize, token: Option<Token>, first: ReleaseOrder) {
        let Some(duty) = self.duties.get_mut(index) else { return };
        if token.is_none() && duty.group.is_free() && !duty.group.is_stuck() {
            return;
        }
        duty.reason = first.into();
        duty.group.release(token, first);
        self.advance(index);
    }

    /// Renews all tickets' groups in one batch.
    pub(super) fn renew(&mut self, tickets: &[Ticket]) {
        let (mut batch, mut renewed) = (Vec::new(), Vec::new());
        for ticket in tickets {
            let index = group_of(ticket).index();
            let is_held = self.duties.get(index).is_some_and(|duty| duty.group.is_held());
            match self.settings.groups.get(index) {
                Some(group) if is_held => {
                    let (addresses, routes) = (&group.addresses, &group.routes);
                    batch.push(Renewal { addresses, routes, valid_until: ticket.valid_until });
                    renewed.push((ticket.token, index));
                }
                Some(_) | None => self.done(ticket.token, Outcome::Failed(Fault::OutOfOrder)),
            }
        }
        if batch.is_empty() {
            return;
        }
        let asked_at = now();
        let outcomes = self.addresses.renew(&batch);
        for ((token, index), outcome) in renewed.into_iter().zip(outcomes) {
            self.note_renewal(index, asked_at, outcome);
            match outcome {
                Ok(()) => self.confirm(token),
                Err(fault) => self.done(token, Outcome::Failed(fault)),
            }
        }
    }

    fn note_renewal(&mut self, index: usize, asked_at: Instant, outcome: Result<(), Fault>) {
        let (Some(duty), Some(group)) = (self.duties.get_mut(index), self.settings.groups.get(index)) else { return };
        if outcome.is_ok() {
            duty.extend(asked_at, self.settings.policy.lease);
            if std::mem::take(&mut duty.has_news) {
                duty.announce_from(now());
                // The renewal has brought them; whether one of the operator's is in their place is seen only now.
                let _ = self.addresses.add_routes(&std::mem::take(&mut duty.new_routes), Instant::NEVER);
            }
        }
        let before = std::mem::replace(&mut duty.renewal_fault, outcome.err());
        match outcome {
            Err(fault) if before != Some(fault) => {
                warn!("group {}: not renewed: {}", group.name, said(fault, group));
            }
            Ok(()) if before.is_some() => info!("group {}: renewed again", group.name),
            Ok(()) | Err(_) => {}
        }
    }

    fn probe(&self, ticket: Ticket, group: &GroupSettings) -> Outcome {
        if now() > ticket.valid_until {
            return Outcome::Failed(Fault::TooLate);
        }
        let sent = probe::send(&self.sender, self.settings, &group.addresses);
        sent.map_or_else(Outcome::Failed, |()| Outcome::Probed { at: now() })
    }

    /// Opens a path again.
    pub(super) fn reopen(&mut self, path: PathId) -> Result<(), &'static str> {
        let opened = open_path(self.settings.paths.get(path.index()).ok_or(UNKNOWN_PATH)?);
        self.report_path(path, opened);
        Ok(())
    }

    /// What the agent has to announce to the peer.
    fn tell_watchdog(&mut self) {
        if let Some(armed) = self.watchdog.as_ref().and_then(Watchdog::armed) {
            let Armed { timeout_s, bound_s, boot_status } = armed;
            self.tell(&FromGuard::Watchdog { timeout_s, bound_s, boot_status }, None);
        }
    }

    /// Gives the agent the paths that were opened for it, what it asks the witnesses with, and what it has to know of the
    /// watchdog.
    pub fn hand_over(&mut self, paths: Vec<Result<OwnedFd, OpenError>>) {
        self.tell_watchdog();
        for (path, opened) in (0u8..).zip(paths) {
            self.report_path(PathId(path), opened);
        }
        self.hand_over_witnesses();
    }

    fn report_path(&mut self, path: PathId, opened: Result<OwnedFd, OpenError>) {
        let name = self.settings.path_name(path);
        let fault = opened.as_ref().err().cloned();
        if let Some(before) = self.path_errors.get_mut(path.index())
            && *before != fault
        {
            match &fault {
                Some(error) => warn!("path {name}: {error}; tried again from time to time"),
                None => info!("path {name}: open again"),
            }
            before.clone_from(&fault);
        }
        let errno = fault.map_or(0, |error| error.errno() as i32);
        self.tell(&FromGuard::Path { path, errno }, opened.ok());
    }

    /// Takes a group's steps until it has to wait.
    pub(super) fn advance(&mut self, index: usize) {
        while self.step(index) {}
        let Some(duty) = self.duties.get_mut(index) else { return };
        for (token, outcome) in duty.group.take_reports() {
            if let Some(group) = self.settings.groups.get(index) {
                log_end(group, outcome);
            }
            self.done(token, outcome);
        }
        self.fence_self_if_needed(index);
    }

    /// Takes one step; false when there is nothing to do for now.
    fn step(&mut self, index: usize) -> bool {
        let (Some(duty), Some(group)) = (self.duties.get_mut(index), self.settings.groups.get(index)) else {
            return false;
        };
        duty.take_next_scripts(now());
        match duty.group.next() {
            Next::Wait => return false,
            Next::Interrupt => {
                duty.run.iter_mut().for_each(|run| run.interrupt(now()));
                return false;
            }
            Next::Run(action, script) => {
                duty.group.script_began(action);
                if !duty.start_script(self.settings, group, (action, script), now()) {
                    self.note_script_end(index, action, End::Unknown);
                }
                if let (Ok(id), Ok(script)) = (u8::try_from(index), u8::try_from(script))
                    && action != Action::Monitor
                {
                    let is_start = action == Action::Start;
                    self.tell(&FromGuard::Script { group: GroupId(id), script, is_start }, None);
                }
            }
            Next::RemoveAddresses => {
                self.addresses.remove_routes(&group.routes);
                let removed = self.addresses.remove(&group.addresses);
                match removed {
                    Ok(()) => info!("group {}: addresses gone", group.name),
                    Err(fault) => warn!("group {}: {}", group.name, said(fault, group)),
                }
                duty.group.addresses_removed(removed);
            }
        }
        true
    }

    /// A renewal went as it should, which is no news.
    fn confirm(&mut self, token: Token) {
        if let Some(agent) = &mut self.agent {
            agent.confirm(&FromGuard::Done { token, outcome: Outcome::Renewed });
        }
    }

    pub(super) fn done(&mut self, token: Token, outcome: Outcome) {
        self.tell(&FromGuard::Done { token, outcome }, None);
    }
}

fn group_of(ticket: &Ticket) -> GroupId {
    match ticket.order {
        Order::Acquire { group, .. }
        | Order::Renew { group }
        | Order::Announce { group }
        | Order::Fence { group }
        | Order::Release { group, .. }
        | Order::Probe { group } => group,
    }
}

fn log_end(group: &GroupSettings, outcome: Outcome) {
    match outcome {
        Outcome::Failed(fault) => warn!("group {}: {}", group.name, said(fault, group)),
        Outcome::Serving => info!("group {}: serving", group.name),
        Outcome::Released => info!("group {}: released", group.name),
        Outcome::Renewed | Outcome::AddressesGone | Outcome::Probed { .. } | Outcome::Fenced => {}
    }
}

/// A fault in the operator's words.
fn said(fault: Fault, group: &GroupSettings) -> String {
    let script = |index: u8| group.scripts.get(usize::from(index)).map_or("?", Script::label);
    match fault {
        Fault::TooLate => "the order came too late".to_owned(),
        Fault::OutOfOrder => "given up, since it was to be let go".to_owned(),
        Fault::NoInterface => "one of its interfaces does not exist".to_owned(),
        Fault::Kernel(errno) => format!("the kernel refuses an address or a route: {}", Errno::from_raw(errno).desc()),
        Fault::StillThere => "an address is still there after its removal, perhaps on another interface".to_owned(),
        Fault::NoFence => "no fence could be confirmed".to_owned(),
        Fault::ProbeUnanswered => "the probe is not answered".to_owned(),
        Fault::NoWatchdog => "its watchdog cannot be armed".to_owned(),
        Fault::ScriptStart(index) => format!("{} did not start", script(index)),
        Fault::ScriptStop(index) => format!("{} did not stop", script(index)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words;

    #[test]
    fn an_operator_reads_what_the_kernel_said() {
        let group = &crate::guard::settings_for_tests().groups[0];
        assert_eq!(
            said(Fault::Kernel(Errno::EACCES as i32), group),
            "the kernel refuses an address or a route: Permission denied"
        );
        assert_eq!(words::fault(Fault::Kernel(Errno::ENODEV as i32)), "the kernel refused: No such device");
    }
}
