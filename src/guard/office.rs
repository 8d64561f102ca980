//! Starting an agent, losing it, and putting another one in its place.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crosswire::frame::Key;
use crosswire::quorum::succession::{Holding, MAX_DEPOSIT_BYTES};
use crosswire::resource::{ReleaseOrder, Token};
use crosswire::time::{Instant, Span};
use log::{error, info, warn};
use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{ForkResult, fork};

use super::agent_link::AgentLink;
use super::ending::Phase;
use super::ports::open_path;
use super::tenure::{Loss, Next};
use super::turns::Guard;
use super::{FAILED, witness};
use crate::clock::now;
use crate::settings::Settings;

/// An agent that has just been started may take this long before its first word.
const FIRST_WORD_WITHIN: Span = Span::from_s(2);
/// A descriptor above this is closed only where the kernel can close a range (Linux 5.9).
const MAX_DESCRIPTOR: RawFd = 4_096;

/// What an agent needs to go on in the place of another. The deposit is as the dead one wrote it: the guard does not read it.
/// It is empty for one that begins anew.
#[derive(Clone, Debug)]
pub struct Inheritance {
    /// Its encoded deposit.
    pub deposit: heapless::Vec<u8, MAX_DEPOSIT_BYTES>,
    /// By group, what is in hand.
    pub holdings: Vec<Option<Holding>>,
    /// The newest token that was used.
    pub last_token: Token,
    /// It is there because the settings have changed.
    pub is_reload: bool,
}

/// How a child of the guard becomes an agent: with the settings and keys of now, its end of the socket pair, and
/// what it goes on with. Returns its exit code.
pub type BecomeAgent<'a> = &'a dyn Fn(&Settings, &[Key], OwnedFd, Option<Inheritance>) -> u8;

/// How agents are made.
#[derive(Clone, Copy)]
pub struct Recipe<'a> {
    /// What the child does.
    pub become_agent: BecomeAgent<'a>,
    /// What it authenticates with.
    pub keys: &'a [Key],
    /// The descriptors that it needs beside its end of the socket pair, and standard input, output and error.
    pub keeps: &'a [RawFd],
}

impl Guard<'_> {
    /// Puts an agent into office: a child that has nothing of ours but one end of a socket pair.
    pub(super) fn start_agent(&mut self, inheritance: Option<Inheritance>) -> nix::Result<()> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        // Our handlers write to a pipe that both would share: no signal may meet the child before it ignores them.
        let stops: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        let before = stops.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
        // SAFETY: our only other thread waits for signals and holds no lock; glibc and musl reset the allocator's in the
        // child.
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            drop(ours);
            let mut keeps = vec![theirs.as_raw_fd()];
            keeps.extend_from_slice(self.recipe.keeps);
            close_all_but(&mut keeps);
            let code = (self.recipe.become_agent)(self.settings, self.recipe.keys, theirs, inheritance);
            // Nothing of the guard's may be dropped by its child.
            std::process::exit(i32::from(code));
        }
        before.thread_set_mask()?;
        if let ForkResult::Parent { child } = forked? {
            self.agent_pid = Some(child);
            let mut link = AgentLink::new(ours);
            // Without it the agent is woken by each.
            if let Ok((ours, theirs)) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags) {
                link.confirm_on(ours, theirs);
            }
            self.agent = Some(link);
            self.agent_heard = now() + FIRST_WORD_WITHIN;
        }
        Ok(())
    }

    /// The agent is lost while it should decide. Whatever it held is passed on, or let go.
    pub(super) fn lose_agent(&mut self, reason: &str, loss: Loss) {
        if self.agent.is_none() || matches!(self.phase, Phase::Leaving { .. }) {
            return;
        }
        if self.phase != Phase::Running {
            return self.end_of_agent();
        }
        match self.tenure.lose(now(), loss) {
            Next::End => self.leave(reason, FAILED),
            Next::EmptyHanded(at) => {
                error!("{reason}: everything is released, then another agent begins anew");
                self.dismiss();
                self.start_at = at;
                self.release_all();
            }
            Next::InPlace => {
                warn!("{reason}: another agent goes on in its place");
                self.put_another_in_its_place();
            }
        }
    }

    /// Another agent goes on in the place of this one, which did nothing wrong.
    pub(super) fn replace_agent(&mut self) {
        self.is_reloading = true;
        self.put_another_in_its_place();
    }

    fn put_another_in_its_place(&mut self) {
        self.dismiss();
        self.start_at = now();
        self.duties.iter_mut().for_each(|duty| duty.is_on_trial = duty.group.is_held());
    }

    fn release_all(&mut self) {
        (0..self.duties.len()).for_each(|index| self.release(index, None, ReleaseOrder::AddressesFirst));
    }

    /// Listens to the agent no longer, and ends it.
    pub(super) fn dismiss(&mut self) {
        self.agent = None;
        if let Some(pid) = self.agent_pid
            && let Err(errno) = kill(pid, Signal::SIGKILL)
        {
            warn!("the agent (process {pid}) cannot be killed: {}", errno.desc());
        }
    }

    /// When an agent wants to be started, or what is on trial has to be let go.
    pub(super) fn office_deadline(&self) -> Instant {
        let is_vacant = self.is_office_vacant();
        let trials = self.duties.iter().filter(|duty| duty.is_tried()).map(super::duty::Duty::held_until);
        trials.min().unwrap_or(Instant::NEVER).min(if is_vacant { self.start_at } else { Instant::NEVER })
    }

    fn is_office_vacant(&self) -> bool {
        let is_empty_handed = self.tenure.deposit.is_empty();
        self.phase == Phase::Running
            && self.agent.is_none()
            && self.agent_pid.is_none()
            && (!is_empty_handed || self.is_everything_free())
    }

    /// Lets go of what no agent has renewed in time, and starts the agent that is due.
    pub(super) fn pass_office_deadline(&mut self) {
        let is_lapsed = |duty: &super::duty::Duty| duty.is_tried() && now() >= duty.held_until();
        if self.phase == Phase::Running && self.duties.iter().any(is_lapsed) {
            self.lapse();
        }
        if self.is_office_vacant() && now() >= self.start_at {
            self.fill_office();
        }
    }

    /// The lease is over and nobody serves again: the kernel has let go, and so does everybody else.
    fn lapse(&mut self) {
        const REASON: &str = "no agent has renewed what is held within the lease";
        self.duties.iter_mut().for_each(|duty| duty.is_on_trial = false);
        if self.agent.is_some() {
            return self.lose_agent(REASON, Loss::NotServing);
        }
        error!("{REASON}: everything is released");
        self.tenure.deposit.clear();
        self.release_all();
    }

    fn fill_office(&mut self) {
        self.remove_what_nobody_holds();
        // Who begins anew knows of no maintenance.
        self.is_hands_off &= !self.tenure.deposit.is_empty();
        let inheritance = self.inheritance();
        match self.start_agent(Some(inheritance)) {
            Ok(()) => {
                self.is_reloading = false;
                self.hand_over_all();
            }
            Err(errno) => {
                error!("no other agent can be started: {}; tried again", errno.desc());
                self.start_at = now() + Span::from_ms(100);
            }
        }
    }

    /// Without a deposit, and with nothing in hand, for an agent that begins anew.
    fn inheritance(&self) -> Inheritance {
        let holding = |duty: &super::duty::Duty| {
            let stage = duty.group.stage()?;
            Some(Holding { term: duty.term, lease_until: duty.held_until(), stage })
        };
        Inheritance {
            deposit: heapless::Vec::from_slice(&self.tenure.deposit).unwrap_or_default(),
            holdings: self.duties.iter().map(holding).collect(),
            last_token: self.tenure.last_token,
            is_reload: self.is_reloading,
        }
    }

    /// The dead agent may have had a release ordered again that had failed: a free group must be free.
    fn remove_what_nobody_holds(&mut self) {
        let free = self.duties.iter().zip(&self.settings.groups).filter(|(duty, _)| duty.group.is_free());
        let addresses: Vec<_> = free.flat_map(|(_, group)| group.addresses.iter().cloned()).collect();
        self.remove_left_over(&addresses, "held by nobody");
    }

    /// Gives an agent that was not there from the start what the first one was given: interfaces, listeners, paths, witnesses.
    fn hand_over_all(&mut self) {
        let events = self.links.all();
        self.take_link_events(&events);
        self.tell_lifetime();
        self.tell_conditions();
        let paths = self.settings.paths.iter().map(open_path).collect();
        self.hand_over(paths);
        info!("an agent is in office: process {}", self.agent_pid.map_or(0, nix::unistd::Pid::as_raw));
    }

    pub(super) fn hand_over_witnesses(&mut self) {
        for is_v6 in witness::protocols(&self.settings.witnesses) {
            match witness::open(is_v6) {
                Ok(socket) => self.tell(&super::wire::FromGuard::Witnesses { is_v6 }, Some(socket)),
                Err(errno) => warn!("the witnesses cannot be asked: {}", errno.desc()),
            }
        }
    }
}

/// Closes every descriptor above standard error that is not listed.
pub fn close_all_but(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let limit = getrlimit(Resource::RLIMIT_NOFILE)
        .map_or(MAX_DESCRIPTOR, |(soft, _)| RawFd::try_from(soft).unwrap_or(MAX_DESCRIPTOR).min(MAX_DESCRIPTOR));
    let above = kept.last().map_or(3, |last| last + 1);
    let end = if close_range_from(above).is_ok() { above } else { limit };
    for descriptor in (3..end).filter(|descriptor| kept.binary_search(descriptor).is_err()) {
        // SAFETY: whoever owned it was the guard, of which this process keeps nothing and drops nothing.
        unsafe { libc::close(descriptor) };
    }
}

/// `close_range(first, ~0, 0)`, which has the same number everywhere.
fn close_range_from(first: RawFd) -> nix::Result<()> {
    const SYS_CLOSE_RANGE: libc::c_long = 436;
    // SAFETY: as for every single one of them, see the caller.
    let done = unsafe { libc::syscall(SYS_CLOSE_RANGE, first, u32::MAX, 0) };
    Errno::result(done).map(drop)
}
