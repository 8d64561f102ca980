//! The guard at work: what it has, and how it begins.

use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use crosswire::custody::{Custody, Effect, Effects, Event, Plan, ScriptPlans};
use crosswire::frame::BUILD;
use crosswire::pair::GroupId;
use crosswire::time::{Instant, Span};
use log::warn;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::group_resources::GroupResources;
use crate::clock::now;
use crate::gather::Gather;
use crate::guard::agent_process::process::AgentProcess;
use crate::guard::agent_process::recipe::Recipe;
use crate::guard::carried::{Carried, Fitted};
use crate::guard::fencing::fence_process::FenceProcess;
use crate::guard::fencing::self_fence::SelfFence;
use crate::guard::fencing::watchdog::Watchdog;
use crate::guard::journal::process::{self, JournalProcess, ToldDrops};
use crate::guard::kernel::addresses::Addresses;
use crate::guard::kernel::ethernet::Sender;
use crate::guard::kernel::links::Links;
use crate::guard::program::Upgrade;
use crate::guard::run_dir::marker::{Left, LeftBehind, Marker};
use crate::guard::scheduling::Idleness;
use crate::guard::scripts::notifier::Notifier;
use crate::guard::scripts::output::Lingering;
use crate::guard::sd_notify::ServiceManager;
use crate::guard::serial::ports::Unopened;
use crate::guard::signals::{block_child_signal, signals_of_guard};
use crate::ipc::FromGuard;
use crate::operator::words;
use crate::settings::{AppliedBy, Script, Settings, StopFailure, changes};
use crate::sys::process::take_over;

/// The guard at work.
pub struct Guard<'a> {
    pub(super) settings: &'a Settings,
    pub(super) run_dir: &'a Path,
    pub(super) addresses: Addresses,
    pub(super) sender: Sender,
    pub(super) resources: Vec<GroupResources>,
    pub(super) unopened: Unopened,
    pub(super) agent: AgentProcess<'a>,
    /// What is held, and for whom.
    pub(super) custody: Custody,
    /// Room for what custody asks for, made once.
    pub(super) waiting: VecDeque<Effect>,
    pub(super) links: Links,
    pub(super) signals: SignalFd,
    pub(super) stop: OwnedFd,
    /// The fence of the peer.
    pub(super) fence: FenceProcess,
    pub(super) notifier: Notifier,
    /// What writes the journal, where there is one.
    pub(super) journal: Option<JournalProcess>,
    pub(super) told_drops: ToldDrops,
    pub(super) watchdog: Option<Watchdog<'a>>,
    pub(super) service_manager: Option<ServiceManager>,
    /// When the guard looks again which addresses the kernel would refuse.
    pub(super) look_from: Instant,
    /// Before this no stray is looked for.
    pub(super) strays_from: Instant,
    /// Before this nothing is done for the routes of a group that this node does not serve.
    pub(super) backup_from: Instant,
    /// The reset of this box.
    pub(super) self_fence: SelfFence,
    /// What the next run knows of this one.
    pub(super) marker: Marker,
    pub(super) lingering: Lingering,
    pub(super) idleness: Idleness,
    /// The lock of this daemon, which others hold open for as long as we live.
    pub(super) lock: RawFd,
    /// The program that is to be executed in our place.
    pub(super) upgrade: Option<Upgrade>,
}

/// With what a guard begins.
pub struct Beginning {
    /// Written for every wish to stop.
    pub stop: OwnedFd,
    /// What an earlier run has left behind.
    pub left: LeftBehind,
    /// The lock.
    pub lock: RawFd,
    /// What a run hands over in whose place this one was executed, and how it fits.
    pub carried: Option<(Carried, Fitted)>,
}

impl<'a> Guard<'a> {
    /// Opens the guard's own sockets. Then it goes on with what was handed over; or it takes away what an
    /// earlier run left behind, starts the first agent and reports the interfaces to it.
    pub fn start(
        settings: &'a Settings,
        run_dir: &'a Path,
        recipe: Recipe<'a>,
        Beginning { stop, left, lock, carried }: Beginning,
    ) -> nix::Result<Self> {
        block_child_signal()?;
        fcntl(&stop, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // What others have started, or a run that served, is none of a shadow's business.
        let (marker, left) = if settings.is_shadow() {
            (Marker::default(), Vec::new())
        } else {
            Marker::open(left, &settings.groups)
        };
        let links = carried.as_ref().and_then(|(carried, _)| take_over(carried.own[1]).ok());
        let links = match links {
            Some(events) => Links::over(events, &settings.interfaces),
            None => Links::open(&settings.interfaces)?,
        };
        let mut guard = Self {
            settings,
            run_dir,
            addresses: Addresses::open(settings.policy.lease)?,
            sender: Sender::open()?,
            resources: settings.groups.iter().map(GroupResources::new).gather(),
            unopened: Unopened::of(settings.paths.len()),
            agent: AgentProcess::new(recipe),
            custody: Custody::new(plan(settings), now()),
            waiting: VecDeque::new(),
            links,
            signals: SignalFd::with_flags(
                &signals_of_guard(),
                SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
            )?,
            stop,
            fence: FenceProcess::default(),
            notifier: Notifier::default(),
            journal: process::process_of(settings, run_dir),
            told_drops: ToldDrops::default(),
            watchdog: Watchdog::of(settings),
            service_manager: ServiceManager::of_environment(),
            look_from: now(),
            strays_from: now(),
            backup_from: now(),
            self_fence: SelfFence::default(),
            marker,
            lingering: Lingering::default(),
            idleness: Idleness::begin(),
            lock,
            upgrade: None,
        };
        // A build that knows no upgrade is handed nothing, and has no code for it.
        if cfg!(feature = "upgrade")
            && let Some((carried, fitted)) = carried
        {
            guard.take_over(&carried, fitted)?;
            return Ok(guard);
        }
        let _ = guard.arm_watchdog();
        if settings.is_shadow() {
            warn!("shadow: this run decides, says what it would do, and touches nothing");
        } else {
            // Rules first, and with them what the kernel did not remove with the addresses.
            guard.remove_all_routes();
            guard.remove_left_over(&guard.all_addresses(), "left over from an earlier run");
            guard.addresses.remove_other_vmacs(&settings.groups);
        }
        for Left { group, started, term } in left {
            warn!(
                "group {}: scripts of an earlier run may still run: they are stopped first",
                group_name(settings, group)
            );
            guard.hand_in(Event::Inherited(group, started, term));
        }
        let first = guard.first_inheritance();
        guard.agent.start(settings, first)?;
        guard.hand_in(Event::AgentStarted);
        let events = guard.links.refresh()?;
        guard.take_link_events(&events);
        Ok(guard)
    }

    /// Goes on with what another run has handed over, by the settings of then, and applies those of now as a
    /// reload does. The agent is started in the first turn.
    fn take_over(&mut self, carried: &Carried, fitted: Fitted) -> nix::Result<()> {
        self.custody.take_over(now(), &carried.custody, &fitted.groups);
        self.agent.take_over(carried, &fitted);
        self.lingering.take_over(&carried.outputs);
        for ((own, left), group) in self.resources.iter_mut().zip(&fitted.groups).zip(&self.settings.groups) {
            own.has_backup_routes = left.held_until.is_none();
            if left.held_until.is_some() {
                own.announce_from(now());
                self.addresses.take_over(&group.addresses, carried.is_lifetime_ignored);
            }
        }
        let Fitted { new, places, .. } = fitted;
        if let (Some(watchdog), Some(armed)) = (&mut self.watchdog, carried.watchdog) {
            watchdog.take_over(armed);
            let timeout = Span::from_s(u64::from(armed.1.timeout_s));
            self.custody.step(now(), Event::WatchdogArmed(timeout), &mut Effects::new());
        }
        let _ = self.arm_watchdog();
        // What has changed since is older than what the kernel says when it is asked.
        self.hear_links();
        self.links.refresh()?;
        self.journal = process::process_of(&new, self.run_dir);
        self.journal.iter_mut().for_each(|journal| journal.take_over(carried.journal, now()));
        self.unopened = Unopened::of(new.paths.len());
        let keys = self.agent.keys().to_vec();
        let mut lines = changes(self.settings, &new, AppliedBy::Upgrade).unwrap_or_default();
        let added = new.groups.iter().zip(&places).filter(|(_, place)| place.is_none());
        lines.extend(added.map(|(group, _)| format!("group {} is added", group.name)));
        lines.push(format!("version {BUILD} goes on in the place of {}", words::version(carried.version)));
        self.change(new, keys)?;
        self.answer("upgrade", Ok(lines));
        Ok(())
    }

    /// Removes the routes and rules of all groups, which are those of nobody else.
    pub(super) fn remove_all_routes(&mut self) {
        if !self.settings.is_shadow() {
            self.settings.groups.iter().for_each(|group| self.addresses.remove_routes(&group.routes));
        }
    }

    /// Tells the agent something, while there is one.
    pub(super) fn tell(&mut self, message: &FromGuard, descriptor: Option<OwnedFd>) {
        self.agent.tell(message, descriptor);
    }
}

fn group_name(settings: &Settings, id: GroupId) -> &str {
    settings.groups.get(id.index()).map_or("?", |group| group.name.as_str())
}

/// What custody has to know of the settings.
pub(super) fn plan(settings: &Settings) -> Plan {
    let scripts = settings.groups.iter().map(|group| (group.before, script_plans(&group.scripts)));
    let mut plan = Plan::new(&settings.policy, scripts);
    for (plan, group) in plan.groups.iter_mut().zip(&settings.groups) {
        plan.must_end_with_box |= group.on_stop_failure == StopFailure::SelfFence;
    }
    plan
}

pub(super) fn script_plans(scripts: &[Script]) -> ScriptPlans {
    scripts.iter().map(|script| script.monitor).collect()
}
