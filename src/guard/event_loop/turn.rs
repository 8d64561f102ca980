//! The guard's loop. Each turn waits for something to happen, looks at everything in one order, and does what
//! is due: dead children first, then the agent's orders, the operator, the interfaces, scripts' output, and
//! the deadlines.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crosswire::custody::{Custody, End, Event, HeldGroup, Lapse, Phase, Plan, ScriptPlans, Word};
use crosswire::pair::{GroupId, PathId};
use crosswire::time::{Instant, Span};
use log::{info, warn};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, read};

use super::agent::Recipe;
use super::group_resources::GroupResources;
use super::notifier::Notifier;
use crate::clock::now;
use crate::guard::agent_process::link::{AgentLink, Received};
use crate::guard::fencing::watchdog::Watchdog;
use crate::guard::kernel::addresses::Addresses;
use crate::guard::kernel::ethernet::{Listener, Sender};
use crate::guard::kernel::links::{LinkEvent, Links};
use crate::guard::kernel::probe;
use crate::guard::run_dir::marker::{Left, LeftBehind, Marker};
use crate::guard::scheduling::Idleness;
use crate::guard::scripts::output::Output;
use crate::guard::scripts::run::{Ended, Run};
use crate::guard::sd_notify::ServiceManager;
use crate::guard::serial::ports::{OpenError, has_own_address};
use crate::guard::signals::{block_child_signal, signals_of_guard};
use crate::ipc::{FromGuard, ToGuard};
use crate::logger;
use crate::settings::neighbours::takes;
use crate::settings::{PathDevice, PathSettings, Script, Settings, StopFailure};

/// The exit code of a run that ended otherwise than planned.
pub const FAILED: u8 = 1;
/// Messages of the agent that one turn reads.
const MAX_BATCH: usize = 64;
/// Of one that has ended, all that it said counts, which is as much as its socket holds: some 280 datagrams
/// of a dozen messages.
pub(super) const MAX_LAST_WORDS: usize = 4_096;
/// Pipes of ended scripts that daemons keep open; beyond these the oldest is closed.
const MAX_LINGERING: usize = 32;
/// A sleep longer than this is continued.
const MAX_SLEEP_MS: u64 = 3_600_000;
/// How often it is looked which addresses the kernel would refuse.
const LOOK_EVERY: Span = Span::from_s(5);
/// Before the kernel is asked again to wait, when it could not.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// The guard at work.
pub struct Guard<'a> {
    pub(super) settings: &'a Settings,
    pub(super) run_dir: &'a Path,
    pub(super) addresses: Addresses,
    pub(super) sender: Sender,
    pub(super) resources: Vec<GroupResources>,
    /// The last word of every path that could not be opened, so that it is said once.
    pub(super) path_errors: Vec<Option<OpenError>>,
    /// None once nobody is listened to any more.
    pub(super) agent: Option<AgentLink>,
    /// None once it was reaped.
    pub(super) agent_pid: Option<Pid>,
    /// How agents are made.
    pub(super) recipe: Recipe<'a>,
    /// What the agent deposited last, as it came; empty if nothing.
    pub(super) deposit: Vec<u8>,
    /// It speaks of other witnesses than those of now.
    pub(super) has_other_witnesses: bool,
    /// What is held, and for whom.
    pub(super) custody: Custody,
    pub(super) links: Links,
    signals: SignalFd,
    pub(super) stop: OwnedFd,
    /// The fence that runs.
    pub(super) fence: Option<Run>,
    pub(super) notifier: Notifier,
    pub(super) watchdog: Option<Watchdog<'a>>,
    pub(super) service_manager: Option<ServiceManager>,
    /// When it is looked again which addresses the kernel would refuse.
    look_from: Instant,
    /// Before this no stray is looked for.
    pub(super) strays_from: Instant,
    /// This box was told to reset itself.
    pub(super) is_fencing_self: bool,
    /// What the next run knows of this one.
    pub(super) marker: Marker,
    /// Pipes of scripts that have ended.
    lingering: Vec<Output>,
    idleness: Idleness,
}

/// What woke the loop.
#[derive(Clone, Copy, Default)]
struct Ready {
    agent: bool,
    stop: bool,
    signals: bool,
    outputs: bool,
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
        let (marker, left) = Marker::open(left_behind, &settings.groups);
        let mut guard = Self {
            settings,
            run_dir,
            addresses: Addresses::open(settings.policy.lease)?,
            sender: Sender::open()?,
            resources: settings.groups.iter().map(GroupResources::new).collect(),
            path_errors: vec![None; settings.paths.len()],
            agent: None,
            agent_pid: None,
            recipe,
            deposit: Vec::new(),
            has_other_witnesses: false,
            custody: Custody::new(plan(settings), now()),
            links: Links::open(&settings.interfaces)?,
            signals: SignalFd::with_flags(
                &signals_of_guard(),
                SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
            )?,
            stop,
            fence: None,
            notifier: Notifier::default(),
            watchdog: Watchdog::of(settings),
            service_manager: ServiceManager::of_environment(),
            look_from: now(),
            strays_from: now(),
            is_fencing_self: false,
            marker,
            lingering: Vec::new(),
            idleness: Idleness::begin(),
        };
        let _ = guard.arm_watchdog();
        guard.remove_left_over(&guard.all_addresses(), "left over from an earlier run");
        for Left { group, started, term } in left {
            warn!(
                "group {}: scripts of an earlier run may still run: they are stopped first",
                group_name(settings, group)
            );
            guard.hand_in(Event::Inherited(group, started, term));
        }
        let first = guard.first_inheritance();
        guard.start_agent(first)?;
        guard.hand_in(Event::AgentStarted);
        let events = guard.links.refresh()?;
        guard.take_link_events(&events);
        Ok(guard)
    }

    /// Gives the agent the paths that were opened for it. The service manager hears that everything is ready.
    pub fn begin(&mut self, paths: Vec<Result<OwnedFd, OpenError>>) {
        self.hand_over(paths);
        self.service_manager.iter().for_each(ServiceManager::tell_ready);
    }

    /// Turns until everything is over; returns the exit code.
    pub fn run_to_end(&mut self) -> u8 {
        loop {
            let is_unread = self.agent.as_mut().is_some_and(|agent| agent.flush().is_err());
            if is_unread {
                self.hand_in(Event::AgentLost(Lapse::DoesNotRead));
            }
            if let Some(code) = self.exit_code() {
                self.owe_look(|_, _| true);
                let is_all_gone = self.look_for_strays();
                self.give_up_notices();
                self.marker.close();
                // What could not be taken away ends with the box.
                let may_stop = is_all_gone && !self.custody.must_watchdog_fire();
                self.watchdog.iter_mut().filter(|_| may_stop).for_each(Watchdog::disarm);
                return code;
            }
            let (began_at, deadline) = (now(), self.next_deadline());
            let ready = self.wait_until(deadline);
            self.idleness.note(began_at);
            self.hand_in(Event::Woke(deadline));
            self.turn(ready);
            self.service_manager.iter_mut().for_each(|service_manager| service_manager.tell_alive(now()));
        }
    }

    fn turn(&mut self, ready: Ready) {
        let mut is_reload_asked = false;
        if ready.signals {
            while let Ok(Some(signal)) = self.signals.read_signal() {
                is_reload_asked |= signal.ssi_signo == Signal::SIGHUP as u32;
            }
            self.reap_scripts();
        }
        // The agent's last words count, so they are read before its end is looked at.
        if ready.agent || ready.signals {
            self.hear_agent(MAX_BATCH);
        }
        if ready.signals {
            self.reap_agent();
        }
        if ready.stop {
            self.hear_operator();
        }
        // What the renewals of this turn have caused wakes nobody.
        self.hear_links();
        if now() >= self.look_from {
            self.tell_what_is_refused();
        }
        if ready.outputs {
            let fence = self.fence.iter_mut().chain(&mut self.notifier.run);
            self.resources
                .iter_mut()
                .filter_map(|own| own.run.as_mut())
                .chain(fence)
                .for_each(Run::read_output);
            self.lingering.retain_mut(Output::read);
        }
        self.pass_deadlines();
        if now() >= self.strays_from {
            self.look_for_strays();
        }
        if let Some(socket) = logger::turn(now()) {
            self.tell(&FromGuard::Log, Some(socket));
        }
        if is_reload_asked {
            self.reload();
        }
    }

    /// Sleeps until something happens or the deadline passes, and says what happened.
    fn wait_until(&self, deadline: Instant) -> Ready {
        let wanted = PollFlags::POLLIN;
        let mut agent_wanted = wanted;
        agent_wanted.set(PollFlags::POLLOUT, self.agent.as_ref().is_some_and(AgentLink::has_queued));
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), wanted),
            PollFd::new(self.stop.as_fd(), wanted),
            PollFd::new(self.links.as_fd(), wanted),
        ];
        fds.extend(self.agent.as_ref().map(|agent| PollFd::new(agent.as_fd(), agent_wanted)));
        let outputs_from = fds.len();
        let fence = self.fence.iter().chain(&self.notifier.run);
        let running =
            self.resources.iter().filter_map(|own| own.run.as_ref()).chain(fence).filter_map(Run::output);
        fds.extend(running.chain(&self.lingering).map(|output| PollFd::new(output.as_fd(), wanted)));
        // What is left of a datagram wakes nobody.
        let has_rest = self.agent.as_ref().is_some_and(AgentLink::has_rest);
        match poll(&mut fds, timeout_until(if has_rest { Instant::ORIGIN } else { deadline })) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ready::default(),
            Err(errno) => {
                // The kernel is out of memory, for now. Nothing that is looked at blocks, so everything is.
                warn!("the guard cannot wait: {}", errno.desc());
                std::thread::sleep(RETRY_WAIT);
                return Ready { agent: true, stop: true, signals: true, outputs: true };
            }
        }
        let is_ready = |index: usize| fds.get(index).is_some_and(|fd| fd.any().unwrap_or(true));
        Ready {
            signals: is_ready(0),
            stop: is_ready(1),
            agent: has_rest || self.agent.is_some() && is_ready(3),
            outputs: (outputs_from..fds.len()).any(is_ready),
        }
    }

    fn next_deadline(&self) -> Instant {
        let resources = self.resources.iter().map(GroupResources::deadline).min().unwrap_or(Instant::NEVER);
        let sign_of_life = self.service_manager.as_ref().map_or(Instant::NEVER, ServiceManager::deadline);
        let runs = self.fence.iter().chain(&self.notifier.run);
        let fence = runs.map(Run::deadline).min().unwrap_or(Instant::NEVER);
        let told = self.notices_end_at().unwrap_or(Instant::NEVER);
        let own = self.custody.due_at(now()).min(logger::due_at());
        own.min(resources).min(sign_of_life).min(fence).min(told)
    }

    /// The code to exit with, once nothing is held and everybody was told.
    fn exit_code(&self) -> Option<u8> {
        let is_well = self.custody.exit()?;
        let is_over = self.fence.is_none() && self.notices_end_at().is_none();
        is_over.then_some(if is_well { 0 } else { FAILED })
    }

    /// While the daemon ends and the operator's program has not been told everything: until when it may be.
    fn notices_end_at(&self) -> Option<Instant> {
        let Phase::Leaving { until, .. } = self.custody.phase() else { return None };
        self.is_telling(until).then_some(until)
    }

    fn pass_deadlines(&mut self) {
        for index in 0..self.resources.len() {
            self.pass_script_deadline(index);
        }
        if self.fence.as_mut().is_some_and(|run| !run.pass_deadline(now())) {
            self.fence_ended(None);
        }
        if self.notifier.run.as_mut().is_some_and(|run| !run.pass_deadline(now())) {
            self.notice_ended(None);
        }
        if now() >= self.custody.agent_due_at() {
            // What it said in the meantime was not read yet, if the loop was held up.
            self.hear_agent(MAX_BATCH);
        }
        self.hand_in(Event::Tick);
        self.announce_what_is_due();
    }

    fn announce_what_is_due(&mut self) {
        let ids = (0u8..).map(GroupId);
        for ((id, own), group) in ids.zip(&mut self.resources).zip(&self.settings.groups) {
            if self.custody.group(id).is_some_and(HeldGroup::is_serving) {
                own.announce_if_due(&self.sender, group, self.custody.held_until(id), now());
            } else {
                own.announce_no_more();
            }
        }
    }

    fn pass_script_deadline(&mut self, index: usize) {
        let Some(own) = self.resources.get_mut(index) else { return };
        if own.run.as_mut().is_some_and(|run| !run.pass_deadline(now())) {
            own.run = None;
            self.script_ended(index, End::Unknown);
        }
    }

    /// Sees which scripts have ended. They are looked at before they are reaped: until then their group's id
    /// is theirs, and what is left of it can be killed.
    fn reap_scripts(&mut self) {
        let fence = self.fence.as_ref().map(Run::pid);
        if let Some((pid, how)) = fence.and_then(|pid| Some((pid, how_ended(pid, WaitPidFlag::WNOWAIT)?))) {
            self.fence_ended(Some(how));
            how_ended(pid, WaitPidFlag::empty());
        }
        let notice = self.notifier.run.as_ref().map(Run::pid);
        if let Some((pid, how)) = notice.and_then(|pid| Some((pid, how_ended(pid, WaitPidFlag::WNOWAIT)?))) {
            self.notice_ended(Some((pid, how)));
        }
        for index in 0..self.resources.len() {
            let Some(own) = self.resources.get_mut(index) else { continue };
            let Some(how) = own.run.as_ref().and_then(|run| how_ended(run.pid(), WaitPidFlag::WNOWAIT))
            else {
                continue;
            };
            let Some(mut run) = own.run.take() else { continue };
            let end = run.ended(how);
            how_ended(run.pid(), WaitPidFlag::empty());
            self.lingering.extend(run.into_output());
            if self.lingering.len() > MAX_LINGERING {
                self.lingering.remove(0);
            }
            self.script_ended(index, end);
        }
    }

    fn script_ended(&mut self, index: usize, end: End) {
        if let Ok(id) = u8::try_from(index) {
            self.marker.note_run(GroupId(id), None);
            self.hand_in(Event::ScriptEnded(GroupId(id), end));
        }
    }

    fn reap_agent(&mut self) {
        let Some(pid) = self.agent_pid else { return };
        if let Some(how) = how_ended(pid, WaitPidFlag::empty()) {
            info!("the agent (process {pid}) has ended: {how}");
            self.agent_pid = None;
            self.hear_agent(MAX_LAST_WORDS);
            self.hand_in(Event::AgentReaped);
        }
    }

    fn hear_operator(&mut self) {
        if read(&self.stop, &mut [0; 8]).is_ok() {
            self.hand_in(Event::Stop);
        }
    }

    /// Reads so many messages of what the agent has sent.
    pub(super) fn hear_agent(&mut self, limit: usize) {
        for _ in 0..limit {
            let Some(agent) = &mut self.agent else { return };
            match agent.receive(&mut self.deposit) {
                Received::Nothing => break,
                Received::Gone => return self.hand_in(Event::AgentLost(Lapse::ClosedItsEnd)),
                Received::Garbage => return self.hand_in(Event::AgentLost(Lapse::Garbage)),
                Received::Message(message) => self.hear_message(message),
            }
        }
        self.hand_in(Event::AllSaid);
    }

    fn hear_message(&mut self, message: ToGuard) {
        let word = match message {
            ToGuard::Order(ticket) => Word::Order(ticket),
            // The link has put it where it belongs.
            ToGuard::Deposit => {
                self.has_other_witnesses = false;
                Word::Deposit
            }
            ToGuard::Farewell => Word::Farewell,
            ToGuard::Answered(group) => Word::Answered(group),
            ToGuard::Maintenance(is_on) => Word::HandsOff(is_on),
            ToGuard::Reopen(path) => Word::Reopen(path),
            ToGuard::AskForPeer => Word::AskForPeer,
            ToGuard::Notice(notice) => {
                self.notifier.heard = Some(notice);
                Word::Notice
            }
        };
        self.hand_in(Event::Said(word));
    }

    fn hear_links(&mut self) {
        let mut events = Vec::new();
        if let Err(errno) = self.links.read_events(&mut events) {
            warn!("the kernel does not say how the interfaces are: {}", errno.desc());
        }
        self.take_link_events(&events);
    }

    pub(super) fn take_link_events(&mut self, events: &[LinkEvent]) {
        for event in events {
            match *event {
                LinkEvent::CameUp(interface) => self.open_listeners(interface),
                LinkEvent::Carrier(interface, up) => self.tell(&FromGuard::Carrier { interface, up }, None),
                LinkEvent::AddressThere(seen) => {
                    let to_renew = self.addresses.note_seen(seen);
                    to_renew.into_iter().for_each(|first| self.tell_missing(|ip| ip == first));
                    let is_put = self.addresses.is_put(seen.place);
                    self.owe_look(|address, is_held| address.ip == seen.place.ip && !(is_held && is_put));
                    self.look_at_lans(|ip| ip == seen.place.ip, |_| false);
                }
                LinkEvent::AddressGone(seen) => {
                    self.look_from = now();
                    self.tell_missing(|ip| ip == seen.place.ip);
                    self.look_at_lans(|ip| ip == seen.place.ip, |_| true);
                }
                LinkEvent::Missed => {
                    self.look_from = now();
                    self.tell_missing(|_| true);
                    self.owe_look(|_, _| true);
                    self.look_at_lans(|_| true, |path| !has_own_address(path));
                }
            }
            if let LinkEvent::CameUp(interface) = *event {
                // It may have had another name.
                let name = self.settings.interfaces.get(usize::from(interface));
                self.owe_look(|address, is_held| !is_held && Some(&address.interface) == name);
            }
            if let LinkEvent::CameUp(interface) | LinkEvent::Carrier(interface, true) = *event {
                self.look_from = now();
                self.announce_again(interface);
            }
        }
    }

    /// Addresses have gone, and nobody here may have wanted it: what is held comes back.
    fn tell_missing(&mut self, is_meant: impl Fn(IpAddr) -> bool) {
        for (group, settings) in (0u8..).map(GroupId).zip(&self.settings.groups) {
            let is_held = self.custody.group(group).is_some_and(HeldGroup::is_held);
            if is_held && settings.addresses.iter().any(|address| is_meant(address.ip)) {
                self.tell(&FromGuard::Missing { group }, None);
            }
        }
    }

    /// Our own address on a LAN has gone, and its path is blind until it is back; or an address is there for
    /// which one waits.
    fn look_at_lans(&mut self, is_meant: impl Fn(IpAddr) -> bool, is_gone: impl Fn(&PathSettings) -> bool) {
        for (id, path) in (0u8..).map(PathId).zip(&self.settings.paths) {
            let is_one = matches!(path.device, PathDevice::Lan { local, .. } if is_meant(local));
            let is_away = self.path_errors.get(id.index()).is_some_and(Option::is_some);
            if is_one && is_gone(path) != is_away {
                self.reopen(id);
            }
        }
    }

    /// A node that could not take a group has to say so before it has to. No event says all of it, so it is
    /// asked now and then.
    fn tell_what_is_refused(&mut self) {
        self.look_from = now() + LOOK_EVERY;
        for (id, group) in (0u8..).map(GroupId).zip(&self.settings.groups) {
            let all = (0u8..).zip(&group.addresses);
            let mut refused = all.filter(|(_, address)| !takes(&address.interface, address.ip));
            let first = refused.next().filter(|(_, address)| self.addresses.is_up(&address.interface));
            let index = first.map(|(index, _)| index);
            let Some(own) = self.resources.get_mut(usize::from(id.0)) else { continue };
            let before = std::mem::replace(&mut own.refused, index);
            if let Some((_, address)) = first.filter(|_| before != index) {
                let (name, ip, interface) = (&group.name, address.ip, &address.interface);
                warn!(
                    "group {name}: the kernel takes no address like {ip} on {interface}: see disable_ipv6, \
                        and the MTU"
                );
            }
            if before.is_some() || index.is_some() {
                self.tell(&FromGuard::Refuses { group: id, address: index }, None);
            }
        }
    }

    fn open_listeners(&mut self, interface: u8) {
        let Some(name) = self.settings.interfaces.get(usize::from(interface)) else { return };
        for listener in probe::listeners(self.settings, name) {
            match listener {
                Ok(Listener { socket, mac }) => {
                    self.tell(&FromGuard::Listener { interface, mac }, Some(socket))
                }
                Err(errno) => warn!("{name}: probes cannot hear answers here: {}", errno.desc()),
            }
        }
    }

    /// A link that has just come knows nothing of us.
    fn announce_again(&mut self, interface: u8) {
        let name = self.settings.interfaces.get(usize::from(interface));
        for (own, group) in self.resources.iter_mut().zip(&self.settings.groups) {
            if group.addresses.iter().any(|address| Some(&address.interface) == name) {
                own.announce_from(now());
            }
        }
    }

    /// Tells the agent something, while there is one.
    pub(super) fn tell(&mut self, message: &FromGuard, descriptor: Option<OwnedFd>) {
        if let Some(agent) = &mut self.agent {
            agent.send(message, descriptor);
        }
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

/// How a child has ended, if it has; with `WNOWAIT` it is not reaped. One that is not there has ended
/// somehow.
pub(super) fn how_ended(pid: Pid, more: WaitPidFlag) -> Option<Ended> {
    match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | more) {
        Ok(WaitStatus::Exited(_, code)) => Some(Ended::Exited(code)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ended::Killed(signal)),
        Ok(_) | Err(Errno::EINTR) => None,
        Err(_) => Some(Ended::Exited(i32::from(FAILED))),
    }
}

/// Whole milliseconds, rounded up: a loop that wakes early would only turn once more.
fn timeout_until(deadline: Instant) -> PollTimeout {
    if deadline == Instant::NEVER {
        return PollTimeout::NONE;
    }
    let ms = deadline.since(now()).as_us().div_ceil(1_000);
    PollTimeout::try_from(ms.min(MAX_SLEEP_MS)).unwrap_or(PollTimeout::ZERO)
}
