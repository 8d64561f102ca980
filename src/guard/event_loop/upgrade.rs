//! Executing the daemon anew in its place, at a signal that only root can send: what stands where this
//! program was started from, which may be a newer one, goes on with all that is held.
//!
//! The new program rehearses first, as a child. Then, at rest and right after a renewal, the agent is
//! dismissed as by a reload, and where another one would be started the guard executes the new program.
//! Until then nothing is touched; and if even that fails, another agent is started after all.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use crosswire::custody::{End, Event};
use crosswire::frame::VERSION;
use crosswire::time::Span;
use log::{error, info};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::unistd::{execv, getpid, read};

use super::hear::MAX_LAST_WORDS;
use super::state::{Guard, plan};
use crate::clock::now;
use crate::gather::Gather;
use crate::guard::carried::Carried;
use crate::guard::fencing::watchdog::Watchdog;
use crate::guard::journal::process::JournalProcess;
use crate::guard::program::{Upgrade, open_program, program_of};
use crate::guard::scheduling::{Process, become_realtime, give_back_limits};
use crate::guard::scripts::run::Run;
use crate::guard::scripts::spawn::{SEARCH_PATH, c_string, spawn_program};
use crate::sys::process::keep_on_exec;

/// A build that does not know it needs no room for it.
const IS_KNOWN: bool = cfg!(feature = "upgrade");
/// So many times what the rehearsal has taken fit into the lease.
const MARGIN: u64 = 3;

impl Guard<'_> {
    /// Begins an upgrade, if none is on its way.
    pub(super) fn upgrade(&mut self) {
        if IS_KNOWN && self.upgrade.is_none() {
            match self.rehearse() {
                Ok(upgrade) => self.upgrade = Some(upgrade),
                Err(why) => self.answer("upgrade", Err(vec![why])),
            }
        }
    }

    /// The longest that the rehearsal may take: so often, and late_after, fit into the lease when what is
    /// held was renewed an interval ago.
    fn longest_rehearsal(&self) -> Span {
        let policy = &self.settings.policy;
        let room = policy.lease.saturating_sub(policy.interval()).saturating_sub(policy.longest_late_after());
        room.fraction(1, MARGIN)
    }

    fn rehearse(&self) -> Result<Upgrade, String> {
        let path = program_of(Path::new("/proc/self/exe")).map_err(|error| format!("/proc: {error}"))?;
        let program = open_program(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let carried =
            self.carried().ok_or("the agent has yet to say its first word: try again in a moment")?;
        let errno = |errno: Errno| format!("no process for the rehearsal: {}", errno.desc());
        let state = carried.pipe().map_err(errno)?;
        let began_at = now();
        let deadline = began_at + self.longest_rehearsal();
        let arguments = self.command(&["--check", "--state", "0"]);
        let programs = [proc_path(&program).map_err(errno)?];
        let (environment, kept) = ([SEARCH_PATH.to_owned()], Some(program.as_raw_fd()));
        let spawned = spawn_program(&programs, &arguments, &environment, &state, kept);
        let (pid, output) = spawned.map_err(errno)?;
        info!("upgrade: {} rehearses, process {pid}", path.display());
        let rehearsal = Some(Run::quiet("rehearsal".to_owned(), pid, output, deadline));
        Ok(Upgrade { program, rehearsal, began_at, needs: Span::ZERO, is_going: false })
    }

    /// Our command line, and these words.
    fn command(&self, more: &[&str]) -> Vec<CString> {
        let more = more.iter().filter_map(|word| c_string(word.as_bytes()).ok());
        self.agent.command().iter().cloned().chain(more).gather()
    }

    /// Sees whether the rehearsal has ended.
    pub(super) fn reap_rehearsal(&mut self) {
        let Some(upgrade) = self.upgrade.as_mut().filter(|_| IS_KNOWN) else { return };
        let Some(end) = upgrade.rehearsal.as_mut().and_then(Run::reap) else { return };
        let took = now().since(upgrade.began_at);
        let run = upgrade.rehearsal.take();
        let said = run.as_ref().map(Run::said).unwrap_or_default();
        let longest = self.longest_rehearsal();
        match end {
            End::Done if took <= longest => {
                let needs = took.fraction(MARGIN, 1) + self.settings.policy.longest_late_after();
                self.upgrade.iter_mut().for_each(|upgrade| upgrade.needs = needs);
                info!("upgrade: the rehearsal took {took}");
            }
            End::Refused => self.refuse_upgrade(format!("the rehearsal failed: {said}")),
            End::Done | End::Unknown => self.refuse_upgrade(format!(
                "the rehearsal takes longer than {longest}: three times that, and late_after, have to fit \
                    into lease - interval; if it is the right program, a longer lease helps, or a restart"
            )),
        }
    }

    fn refuse_upgrade(&mut self, why: String) {
        self.upgrade = None;
        self.answer("upgrade", Err(vec![why]));
    }

    /// Ends a rehearsal that takes too long, and goes on at rest, right after a renewal.
    pub(super) fn tend_upgrade(&mut self) {
        let Some(upgrade) = self.upgrade.as_mut().filter(|_| IS_KNOWN) else { return };
        if let Some(run) = &mut upgrade.rehearsal {
            run.pass_deadline(now());
            return;
        }
        let (needs, until) = (upgrade.needs, upgrade.rests_until());
        if upgrade.is_going {
            return;
        }
        let what_is_held = self.custody.all_held_until();
        if self.what_goes_on().is_none() && what_is_held >= now() + needs {
            self.hear_agent(MAX_LAST_WORDS);
            if self.what_goes_on().is_none() {
                self.upgrade.iter_mut().for_each(|upgrade| upgrade.is_going = true);
                return self.hand_in(Event::Reloaded(&plan(self.settings)));
            }
        }
        if now() >= until {
            let what = self.what_goes_on().unwrap_or("what is held is not renewed in time");
            self.refuse_upgrade(format!("{what}: try again when that is over"));
        }
    }

    /// What another run of the guard could not go on with.
    fn what_goes_on(&self) -> Option<&'static str> {
        if self.resources.iter().any(|own| own.runs().next().is_some()) {
            Some("a script runs")
        } else if !self.notifier.is_idle() {
            Some("the notify program runs")
        } else if !self.custody.is_at_rest(now()) || self.fence.run().is_some() {
            Some("an order is pending, a script is not well, or the agent is being replaced")
        } else if self.agent.deposit().is_none() {
            Some("the agent has yet to say its first word")
        } else {
            None
        }
    }

    /// What is handed over; none while the agent has left nothing.
    fn carried(&self) -> Option<Carried> {
        Some(Carried {
            version: VERSION,
            custody: self.custody.legacy(),
            is_lifetime_ignored: self.addresses.is_lifetime_ignored(),
            journal: self.journal.as_ref().map_or(0, JournalProcess::pid),
            own: [self.lock, self.links.as_fd().as_raw_fd()],
            control: self.agent.keeps().to_vec(),
            outputs: self.lingering.descriptors(),
            watchdog: self.watchdog.as_ref().and_then(Watchdog::carried),
            deposit: self.agent.deposit()?.clone(),
            text: self.settings.text.clone(),
        })
    }

    /// Where another agent would be started: executes the new program instead, if there is one. Returns if
    /// that fails, and then everything goes on as if there had been none.
    pub(super) fn execute_upgrade(&mut self) {
        let Some(upgrade) = self.upgrade.take_if(|upgrade| IS_KNOWN && upgrade.is_going) else { return };
        let failed = self.execute(&upgrade.program);
        error!("upgrade: not executed");
        let _ = become_realtime(Process::Guard, self.settings.is_realtime);
        self.answer("upgrade", Err(vec![format!("it cannot be executed: {}", failed.desc())]));
    }

    fn execute(&mut self, program: &File) -> Errno {
        let stops: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        let Ok(before) = stops.thread_swap_mask(SigmaskHow::SIG_BLOCK) else { return Errno::EINVAL };
        // The wish to stop waits until the new program is ready for it.
        if read(&self.stop, &mut [0; 8]).is_ok() {
            let _ = kill(getpid(), Signal::SIGTERM);
        }
        let failed = self.try_to_execute(program).err().unwrap_or(Errno::EINVAL);
        let _ = before.thread_set_mask();
        failed
    }

    fn try_to_execute(&self, program: &File) -> nix::Result<()> {
        let carried = self.carried().ok_or(Errno::ENODATA)?;
        let state = carried.pipe()?;
        let descriptors: Vec<_> = carried.descriptors().into_iter().chain([state.as_raw_fd()]).gather();
        let (path, number) = (proc_path(program)?, state.as_raw_fd().to_string());
        let arguments = self.command(&["--state", &number]);
        log::logger().flush();
        give_back_limits();
        descriptors.iter().try_for_each(|descriptor| keep_on_exec(*descriptor, true))?;
        let failed = execv(&path, &arguments).err();
        let _ = descriptors.iter().try_for_each(|descriptor| keep_on_exec(*descriptor, false));
        failed.map_or(Ok(()), Err)
    }
}

/// What was opened, whatever stands there by now.
fn proc_path(program: &File) -> nix::Result<CString> {
    c_string(format!("/proc/self/fd/{}", program.as_raw_fd()).as_bytes())
}
