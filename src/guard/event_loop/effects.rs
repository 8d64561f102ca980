//! Carrying out what custody asks for. What became of it is handed in before anything else.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use crosswire::custody::{
    Action, Effect, Effects, End, Event, HeldGroup, InShadow, Phase, Reason, ScriptSet,
};
use crosswire::pair::{GroupId, PathId};
use crosswire::resource::{Fault, Outcome, Ticket, Token};
use crosswire::time::{Instant, Span};
use log::{info, warn};

use super::group_resources::GroupResources;
use super::notes::said;
use super::state::Guard;
use crate::clock::now;
use crate::gather::Gather;
use crate::guard::fencing::watchdog::{Armed, Watchdog};
use crate::guard::kernel::addresses::Renewal;
use crate::guard::kernel::{probe, vmac};
use crate::guard::scripts::run::Run;
use crate::guard::serial::ports::{OpenError, open_path};
use crate::ipc::FromGuard;
use crate::operator::words::ScriptEnd;

/// How often what a node has while it does not serve is put back.
const BACKUP_EVERY: Span = Span::from_s(1);

impl Guard<'_> {
    /// Hands in what has happened, and does what follows from it until nothing does.
    pub(super) fn hand_in(&mut self, event: Event<'_>) {
        let mut effects = Effects::new();
        self.custody.step(now(), event, &mut effects);
        if effects.is_empty() {
            return;
        }
        // There is room for many effects, and mostly there are one or two: the room itself is never moved.
        let mut waiting = std::mem::take(&mut self.waiting);
        effects.iter().for_each(|effect| waiting.push_back(*effect));
        while let Some(effect) = waiting.pop_front() {
            let events = match (self.fate(effect), effect) {
                (InShadow::CarriedOut, Effect::Renew(..)) => self.renew(effect, &mut waiting),
                (InShadow::CarriedOut, effect) => self.carry_out(effect).into_iter().gather(),
                (InShadow::Pretended(event), effect) => {
                    self.tell_what_would_be_done(effect);
                    vec![event]
                }
                (InShadow::Omitted, _) => Vec::new(),
            };
            for event in events {
                let mut effects = Effects::new();
                self.custody.step(now(), event, &mut effects);
                effects.iter().for_each(|effect| waiting.push_back(*effect));
            }
        }
        self.waiting = waiting;
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event<'static>> {
        match effect {
            Effect::Add(id, valid_until) => return Some(Event::Added(id, self.add(id, valid_until))),
            Effect::Route(id, valid_until) => return Some(Event::Routed(id, self.route(id, valid_until))),
            Effect::Remove(id) => return Some(Event::Removed(id, self.remove(id))),
            Effect::Run(id, script, action, reason) => return self.run_script(id, script, (action, reason)),
            Effect::StartAgent { is_in_place, is_reload } => {
                return Some(self.put_agent_in_place(is_in_place, is_reload));
            }
            // Renewals are a batch of their own.
            Effect::Renew(..) => {}
            Effect::Mark(id, started, term) => self.mark(id, started, term),
            Effect::Interrupt(id) => {
                let run = self.resources.get_mut(id.index()).and_then(|own| own.run.as_mut());
                run.into_iter().for_each(|run| run.interrupt(now()));
            }
            Effect::UseNewScripts(id) => {
                self.resources.get_mut(id.index()).into_iter().for_each(GroupResources::use_new_scripts)
            }
            Effect::Announce(id) => {
                self.resources.get_mut(id.index()).into_iter().for_each(|own| own.announce_from(now()));
            }
            Effect::AskForNew(id) => return Some(Event::Asked(id, self.ask_for_new(id))),
            Effect::Admit(id) => {
                self.resources.get_mut(id.index()).into_iter().for_each(|own| own.newcomers.clear())
            }
            Effect::Probe(ticket) => self.done(ticket.token, self.probe(ticket)),
            Effect::Fence(valid_until) => return self.fence(valid_until),
            Effect::GiveUpFence => self.fence.give_up(now()),
            Effect::Reopen(path) => self.reopen(path),
            Effect::AskForPeer => probe::ask_for_peers(&self.sender, self.settings),
            Effect::Notify => self.notifier.take_heard(self.settings),
            Effect::Answer(token, Outcome::Renewed) => {
                self.confirm(&FromGuard::Done { token, outcome: Outcome::Renewed })
            }
            Effect::TellAlive => self.confirm(&FromGuard::Alive),
            Effect::Answer(token, outcome) => self.done(token, outcome),
            Effect::Condition(group, condition) => self.tell(&FromGuard::Scripts { group, condition }, None),
            Effect::TellStop => self.tell(&FromGuard::Stop, None),
            Effect::DismissAgent => self.agent.dismiss(),
            Effect::StopFailed(id) => self.fence_self_if_needed(id),
            Effect::Pet => self.watchdog.iter_mut().for_each(Watchdog::pet),
            Effect::Note(note) => self.note(note),
        }
        None
    }

    /// Adds the addresses. The watchdog is armed first: what is held without it would outlive a guard that
    /// hangs.
    fn add(&mut self, id: GroupId, valid_until: Instant) -> Result<(), Fault> {
        let group = self.settings.groups.get(id.index()).ok_or(Fault::OutOfOrder)?;
        self.arm_watchdog()?;
        self.resources.get_mut(id.index()).into_iter().for_each(|own| own.has_backup_routes = false);
        self.addresses.remove_routes(&group.routes);
        self.addresses.keep_vmacs(&group.addresses, true)?;
        self.addresses.add(&group.addresses, valid_until)?;
        self.resources.get_mut(id.index()).into_iter().for_each(|own| own.newcomers.clear());
        self.tell_lifetime();
        Ok(())
    }

    fn route(&mut self, id: GroupId, valid_until: Instant) -> Result<(), Fault> {
        let group = self.settings.groups.get(id.index()).ok_or(Fault::OutOfOrder)?;
        self.addresses.add_routes(&group.routes, valid_until)
    }

    /// Gives this node what it has of the groups that it does not serve. What was removed by hand, or could
    /// not be added, is tried again.
    pub(super) fn tend_backup_routes(&mut self, now: Instant) {
        let is_due = now >= self.backup_from && self.custody.phase() == Phase::Running;
        if !is_due || self.settings.is_shadow() || self.custody.is_hands_off() {
            return;
        }
        self.backup_from = now + BACKUP_EVERY;
        for ((id, own), group) in (0u8..).map(GroupId).zip(&mut self.resources).zip(&self.settings.groups) {
            if self.custody.group(id).is_some_and(HeldGroup::is_free) {
                let was_added = std::mem::replace(&mut own.has_backup_routes, true);
                self.addresses.keep_backup_routes(&group.routes, was_added);
            }
        }
    }

    /// Arms the watchdog, if there is one that is not armed. Nothing may be held where this fails.
    pub(super) fn arm_watchdog(&mut self) -> Result<(), Fault> {
        let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| watchdog.armed().is_none()) else {
            return Ok(());
        };
        let armed = watchdog.arm().ok_or(Fault::NoWatchdog)?;
        // Nothing but pets follows from it.
        let event = Event::WatchdogArmed(Span::from_s(u64::from(armed.timeout_s)));
        self.custody.step(now(), event, &mut Effects::new());
        self.tell_watchdog();
        Ok(())
    }

    fn remove(&mut self, id: GroupId) -> Result<(), Fault> {
        let group = self.settings.groups.get(id.index()).ok_or(Fault::OutOfOrder)?;
        self.addresses.remove_routes(&group.routes);
        let removed = self.addresses.remove(&group.addresses);
        // From now on the switch learns from the peer alone; what takes longer waits until the peer knows.
        group.vmacs().for_each(|vmac| vmac::hush(vmac.name()));
        self.look_from = now();
        match removed {
            Ok(()) => {
                info!("group {}: addresses gone", group.name);
                self.backup_from = Instant::ORIGIN;
            }
            Err(fault) => warn!("group {}: {}", group.name, said(fault, group)),
        }
        removed
    }

    /// Tells the agent if the kernel ignores lifetimes: the peer has to know what it can count on.
    pub(super) fn tell_lifetime(&mut self) {
        if self.addresses.is_lifetime_ignored() {
            self.tell(&FromGuard::LifetimeIgnored, None);
        }
    }

    /// Renews this group's addresses and those of all that follow, in one batch.
    fn renew(&mut self, first: Effect, waiting: &mut VecDeque<Effect>) -> Vec<Event<'static>> {
        let puts_nothing_back = |effect: &Effect| matches!(effect, Effect::Renew(.., false));
        if puts_nothing_back(&first) || waiting.iter().any(puts_nothing_back) {
            // What has gone by now is known before it could come back.
            self.hear_links();
        }
        let (mut batch, mut renewed) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(Effect::Renew(id, token, valid_until, puts_back)) = next {
            if let (Some(group), Some(own)) =
                (self.settings.groups.get(id.index()), self.resources.get(id.index()))
            {
                for address in &group.addresses {
                    address.vmac.iter().for_each(|vmac| vmac::keep_apart(vmac, &address.interface));
                }
                let (addresses, routes) = (own.renewed(group), &group.routes[..]);
                batch.push(Renewal { addresses, routes, valid_until, puts_back });
                renewed.push((id, token));
            }
            next = waiting.pop_front_if(|effect| matches!(effect, Effect::Renew(..)));
        }
        let outcomes = self.addresses.renew(&batch);
        let mut events = Vec::new();
        for ((id, token), outcome) in renewed.into_iter().zip(outcomes) {
            if outcome.is_ok() {
                self.announce_news(id);
            }
            events.push(Event::Renewed(id, token, outcome));
        }
        events
    }

    /// Announces what a reload added and a renewal has brought. Only now it shows whether one of the
    /// operator's routes stands in the place of ours.
    fn announce_news(&mut self, id: GroupId) {
        let Some(own) = self.resources.get_mut(id.index()).filter(|own| own.newcomers.is_empty()) else {
            return;
        };
        if std::mem::take(&mut own.has_news) {
            own.announce_from(now());
            let _ = self.addresses.add_routes(&std::mem::take(&mut own.new_routes), Instant::NEVER);
        }
    }

    /// Runs one of a group's scripts; says so if there is no process for it.
    fn run_script(&mut self, group: GroupId, script: u8, what: (Action, Reason)) -> Option<Event<'static>> {
        let term = self.custody.term(group);
        let (Some(own), Some(settings)) =
            (self.resources.get_mut(group.index()), self.settings.groups.get(group.index()))
        else {
            return Some(Event::ScriptEnded(group, End::Unknown));
        };
        let begun = own.start_script(self.settings, settings, script, what, term, now());
        if what.0 != Action::Monitor {
            self.marker.note_run(group, own.run.as_ref().map(Run::pid));
            let is_start = what.0 == Action::Start;
            self.tell(&FromGuard::Script { group, script, is_start }, None);
        }
        let errno = begun.err()?;
        self.tell_failure(group, (script, what.0), ScriptEnd::not_run(errno));
        Some(Event::ScriptEnded(group, End::Unknown))
    }

    /// Asks the wire for new addresses. The agent hears the answers.
    fn ask_for_new(&mut self, group: GroupId) -> bool {
        self.tell(&FromGuard::Asking { group }, None);
        let newcomers =
            self.resources.get(group.index()).map(|own| own.newcomers.as_slice()).unwrap_or_default();
        probe::send(&self.sender, self.settings, newcomers).is_ok()
    }

    fn mark(&mut self, id: GroupId, started: ScriptSet, term: u32) {
        if let (Some(own), Some(group)) =
            (self.resources.get(id.index()), self.settings.groups.get(id.index()))
        {
            self.marker.mark(id, group, &own.scripts, started, term);
        }
    }

    fn probe(&self, ticket: Ticket) -> Outcome {
        let id = crosswire::custody::orders::group_of(ticket.order);
        let Some(group) = self.settings.groups.get(id.index()) else {
            return Outcome::Failed(Fault::OutOfOrder);
        };
        if now() > ticket.valid_until {
            return Outcome::Failed(Fault::TooLate);
        }
        let sent = probe::send(&self.sender, self.settings, &group.addresses);
        sent.map_or_else(Outcome::Failed, |()| Outcome::Probed { at: now() })
    }

    /// Opens a path again.
    pub(super) fn reopen(&mut self, path: PathId) {
        if let Some(settings) = self.settings.paths.get(path.index()) {
            self.report_path(path, open_path(settings));
        }
    }

    /// Tells the agent what it has to announce to the peer.
    fn tell_watchdog(&mut self) {
        if let Some(armed) = self.watchdog.as_ref().and_then(Watchdog::armed) {
            let Armed { timeout_s, bound_s, boot_status } = armed;
            self.tell(&FromGuard::Watchdog { timeout_s, bound_s, boot_status }, None);
        }
    }

    /// Gives the agent the paths that were opened for it, what it asks the witnesses with, and what it has to
    /// know of the watchdog.
    pub(super) fn hand_over(&mut self, paths: Vec<Result<OwnedFd, OpenError>>) {
        self.hand_over_journal();
        self.tell_watchdog();
        for (path, opened) in (0u8..).zip(paths) {
            self.report_path(PathId(path), opened);
        }
        self.hand_over_witnesses();
    }

    fn report_path(&mut self, path: PathId, opened: Result<OwnedFd, OpenError>) {
        let name = self.settings.path_name(path);
        self.unopened.note(path, name, opened.as_ref().err());
        let errno = opened.as_ref().err().map_or(0, |error| error.errno() as i32);
        self.tell(&FromGuard::Path { path, errno }, opened.ok());
    }

    /// Confirms that a renewal went as it should, or that nothing has happened: that is no news.
    fn confirm(&mut self, message: &FromGuard) {
        self.agent.confirm(message);
    }

    pub(super) fn done(&mut self, token: Token, outcome: Outcome) {
        self.tell(&FromGuard::Done { token, outcome }, None);
    }
}
