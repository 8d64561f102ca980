//! The guard at work: what it has, and how it begins.

use std::os::fd::OwnedFd;
use std::path::Path;

use crosswire::custody::{Custody, Event, Plan, ScriptPlans};
use crosswire::pair::GroupId;
use crosswire::time::Instant;
use log::warn;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::group_resources::GroupResources;
use crate::clock::now;
use crate::gather::Gather;
use crate::guard::agent_process::process::AgentProcess;
use crate::guard::agent_process::recipe::Recipe;
use crate::guard::fencing::fence_process::FenceProcess;
use crate::guard::fencing::self_fence::SelfFence;
use crate::guard::fencing::watchdog::Watchdog;
use crate::guard::journal::process::{self, JournalProcess, ToldDrops};
use crate::guard::kernel::addresses::Addresses;
use crate::guard::kernel::ethernet::Sender;
use crate::guard::kernel::links::Links;
use crate::guard::run_dir::marker::{Left, LeftBehind, Marker};
use crate::guard::scheduling::Idleness;
use crate::guard::scripts::notifier::Notifier;
use crate::guard::scripts::output::Lingering;
use crate::guard::sd_notify::ServiceManager;
use crate::guard::serial::ports::Unopened;
use crate::guard::signals::{block_child_signal, signals_of_guard};
use crate::ipc::FromGuard;
use crate::settings::{Script, Settings, StopFailure};

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
}

impl<'a> Guard<'a> {
    /// Opens the guard's own sockets, takes away what an earlier run left behind, starts the first agent and
    /// reports the interfaces to it.
    pub fn start(
        settings: &'a Settings,
        run_dir: &'a Path,
        recipe: Recipe<'a>,
        (stop, left_behind): (OwnedFd, LeftBehind),
    ) -> nix::Result<Self> {
        block_child_signal()?;
        fcntl(&stop, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // What others have started, or a run that served, is none of a shadow's business.
        let (marker, left) = if settings.is_shadow() {
            (Marker::default(), Vec::new())
        } else {
            Marker::open(left_behind, &settings.groups)
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
            links: Links::open(&settings.interfaces)?,
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
        };
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
