//! The guard's loop. Each turn waits for something to happen, looks at everything in one order, and does what
//! is due: dead children first, then the agent's orders, the operator, the interfaces, scripts' output, and
//! the deadlines.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crosswire::custody::{End, Event, HeldGroup, Lapse, Phase};
use crosswire::pair::GroupId;
use crosswire::time::Instant;
use log::warn;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::read;

use super::group_resources::GroupResources;
use super::hear::MAX_BATCH;
use super::state::Guard;
use crate::clock::now;
use crate::guard::agent_process::link::AgentLink;
use crate::guard::fencing::watchdog::Watchdog;
use crate::guard::journal::process::JournalProcess;
use crate::guard::program::Upgrade;
#[cfg(feature = "moments")]
use crate::guard::run_dir::sign::{SIGN_EVERY, give_sign};
use crate::guard::scripts::run::Run;
use crate::guard::sd_notify::ServiceManager;
use crate::guard::serial::ports::OpenError;
use crate::guard::signals::UPGRADE;
use crate::ipc::FromGuard;
use crate::logger;

/// The exit code of a run that ended otherwise than planned.
pub const FAILED: u8 = 1;
/// A sleep longer than this is continued.
const MAX_SLEEP_MS: u64 = 3_600_000;
/// Signals, the stop, the interfaces and the agent.
const DESCRIPTORS_AT_REST: usize = 4;
/// How long the guard rests before it asks the kernel again to wait, when that failed.
const RETRY_WAIT: Duration = Duration::from_millis(100);

/// What woke the loop.
#[derive(Clone, Copy, Default)]
struct Ready {
    agent: bool,
    stop: bool,
    signals: bool,
    outputs: bool,
}

impl Guard<'_> {
    /// Gives the agent the paths that were opened for it. The service manager hears that everything is ready.
    pub fn begin(&mut self, paths: Vec<Result<OwnedFd, OpenError>>) {
        if self.agent.link().is_some() {
            self.hand_over(paths);
        }
        self.service_manager.iter().for_each(ServiceManager::tell_ready);
    }

    /// Turns until everything is over; returns the exit code.
    pub fn run_to_end(&mut self) -> u8 {
        loop {
            if !self.agent.does_read() {
                self.hand_in(Event::AgentLost(Lapse::DoesNotRead));
            }
            if let Some(code) = self.exit_code() {
                self.remove_all_routes();
                self.owe_look(|_, _| true);
                let is_all_gone = self.look_for_strays();
                self.remove_vmacs(&self.settings.groups, &[]);
                self.notifier.give_up();
                self.marker.close();
                self.journal.take().into_iter().for_each(JournalProcess::finish);
                // What could not be taken away ends with the box.
                let may_stop = is_all_gone && !self.custody.must_watchdog_fire();
                self.watchdog.iter_mut().filter(|_| may_stop).for_each(Watchdog::disarm);
                return code;
            }
            let began_at = now();
            let deadline = self.next_deadline(began_at).min(self.give_sign(began_at));
            let ready = self.wait_until(began_at, deadline);
            self.idleness.note(began_at, now());
            self.hand_in(Event::Woke(deadline));
            self.turn(ready);
            self.service_manager.iter_mut().for_each(|service_manager| service_manager.tell_alive(now()));
        }
    }

    fn turn(&mut self, ready: Ready) {
        let (mut is_reload_asked, mut is_upgrade_asked) = (false, false);
        if ready.signals {
            while let Ok(Some(signal)) = self.signals.read_signal() {
                is_reload_asked |= signal.ssi_signo == Signal::SIGHUP as u32;
                is_upgrade_asked |= signal.ssi_signo == UPGRADE as u32;
            }
            self.reap_scripts();
            self.reap_journal();
            self.reap_rehearsal();
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
        // What the renewals of this turn have caused is read now, so that it wakes nobody.
        self.hear_links();
        let now = now();
        if now >= self.look_from {
            self.tell_what_is_refused();
        }
        if ready.outputs {
            let fence = self.fence.run_mut().into_iter().chain(&mut self.notifier.run);
            self.resources
                .iter_mut()
                .flat_map(GroupResources::runs_mut)
                .chain(fence)
                .for_each(Run::read_output);
            self.lingering.read();
        }
        self.pass_deadlines(now);
        if now >= self.strays_from {
            self.look_for_strays();
        }
        if let Some(socket) = logger::turn(now) {
            self.tell(&FromGuard::Log, Some(socket));
        }
        if is_reload_asked {
            self.reload();
        }
        if is_upgrade_asked {
            self.upgrade();
        }
    }

    /// Sleeps until something happens or the deadline passes, and says what happened.
    fn wait_until(&self, now: Instant, deadline: Instant) -> Ready {
        let wanted = PollFlags::POLLIN;
        let mut agent_wanted = wanted;
        agent_wanted.set(PollFlags::POLLOUT, self.agent.link().is_some_and(AgentLink::has_queued));
        // Room for what is there at rest is made at once.
        let mut fds = Vec::with_capacity(DESCRIPTORS_AT_REST);
        fds.push(PollFd::new(self.signals.as_fd(), wanted));
        fds.push(PollFd::new(self.stop.as_fd(), wanted));
        fds.push(PollFd::new(self.links.as_fd(), wanted));
        fds.extend(self.agent.link().map(|agent| PollFd::new(agent.as_fd(), agent_wanted)));
        let outputs_from = fds.len();
        let fence = self.fence.run().into_iter().chain(&self.notifier.run);
        let running =
            self.resources.iter().flat_map(GroupResources::runs).chain(fence).filter_map(Run::output);
        fds.extend(running.chain(self.lingering.each()).map(|output| PollFd::new(output.as_fd(), wanted)));
        // The rest of a datagram does not wake poll.
        let has_rest = self.agent.link().is_some_and(AgentLink::has_rest);
        match poll(&mut fds, timeout(now, if has_rest { Instant::ORIGIN } else { deadline })) {
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
            agent: has_rest || self.agent.link().is_some() && is_ready(3),
            outputs: (outputs_from..fds.len()).any(is_ready),
        }
    }

    /// Gives a sign of life while there is no agent to answer for the daemon; returns when the next one is
    /// due.
    #[cfg(feature = "moments")]
    fn give_sign(&self, began_at: Instant) -> Instant {
        if self.agent.link().is_some() {
            return Instant::NEVER;
        }
        give_sign(self.run_dir);
        began_at + SIGN_EVERY
    }

    #[cfg(not(feature = "moments"))]
    const fn give_sign(&self, _: Instant) -> Instant {
        Instant::NEVER
    }

    fn next_deadline(&self, now: Instant) -> Instant {
        let resources = self.resources.iter().map(GroupResources::deadline).min().unwrap_or(Instant::NEVER);
        let sign_of_life = self.service_manager.as_ref().map_or(Instant::NEVER, ServiceManager::deadline);
        let runs = self.fence.run().into_iter().chain(&self.notifier.run);
        let fence = runs.map(Run::deadline).min().unwrap_or(Instant::NEVER);
        let upgrade = self.upgrade.as_ref().filter(|_| cfg!(feature = "upgrade"));
        let upgrade = upgrade.map_or(Instant::NEVER, Upgrade::deadline);
        let told = self.notices_end_at().unwrap_or(Instant::NEVER);
        let journal = self.journal.as_ref().map_or(Instant::NEVER, JournalProcess::due_at);
        let own = self.custody.due_at(now).min(logger::due_at()).min(journal);
        own.min(resources).min(sign_of_life).min(fence).min(told).min(upgrade)
    }

    /// The code to exit with, once nothing is held and everybody was told.
    fn exit_code(&self) -> Option<u8> {
        let is_well = self.custody.exit()?;
        let is_over = self.fence.run().is_none() && self.notices_end_at().is_none();
        is_over.then_some(if is_well { 0 } else { FAILED })
    }

    /// Until when the operator's program may be told the rest, while the daemon ends; none if it was told
    /// everything.
    fn notices_end_at(&self) -> Option<Instant> {
        let Phase::Leaving { until, .. } = self.custody.phase() else { return None };
        self.notifier.is_telling(until).then_some(until)
    }

    /// What has come due in the meantime is done in the next turn, which begins at once.
    fn pass_deadlines(&mut self, at: Instant) {
        for index in 0..self.resources.len() {
            self.pass_script_deadline(at, index);
        }
        if self.fence.run_mut().is_some_and(|run| !run.pass_deadline(at)) {
            self.fence_ended(None);
        }
        if self.notifier.run.as_mut().is_some_and(|run| !run.pass_deadline(at)) {
            self.notifier.ended(self.settings, None);
        }
        // Custody judges the agent by an instant of its own.
        if now() >= self.custody.agent_due_at() {
            // If the loop was held up, it has not yet read what the agent said in the meantime.
            self.hear_agent(MAX_BATCH);
        }
        self.hand_in(Event::Tick);
        self.tend_backup_routes(at);
        self.tend_checks(at);
        self.announce_what_is_due(at);
        self.tend_journal(at);
        self.tell_drops(at);
        self.tend_upgrade();
    }

    fn announce_what_is_due(&mut self, now: Instant) {
        let ids = (0u8..).map(GroupId);
        for ((id, own), group) in ids.zip(&mut self.resources).zip(&self.settings.groups) {
            let is_serving = self.custody.group(id).is_some_and(HeldGroup::is_serving);
            if is_serving && !self.settings.is_shadow() {
                own.announce_if_due(&self.sender, group, self.custody.held_until(id), now);
            } else {
                own.announce_no_more();
            }
        }
    }

    fn pass_script_deadline(&mut self, now: Instant, index: usize) {
        let Some(own) = self.resources.get_mut(index) else { return };
        if let Some(run) = own.run.take_if(|run| !run.pass_deadline(now)) {
            self.note_failure(index, &run);
            self.script_ended(index, End::Unknown);
        }
    }

    fn hear_operator(&mut self) {
        if read(&self.stop, &mut [0; 8]).is_ok() {
            self.hand_in(Event::Stop);
        }
    }
}

/// Whole milliseconds, rounded up: a loop that wakes early would only turn once more.
fn timeout(now: Instant, deadline: Instant) -> PollTimeout {
    if deadline == Instant::NEVER {
        return PollTimeout::NONE;
    }
    let ms = deadline.since(now).as_us().div_ceil(1_000);
    PollTimeout::try_from(ms.min(MAX_SLEEP_MS)).unwrap_or(PollTimeout::ZERO)
}
