//! The agent as the guard has it: a child, the socket pair to it, how it is made, and what it leaves to the
//! next one.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crosswire::custody::Custody;
use crosswire::frame::Key;
use crosswire::quorum::succession::Differences;
use log::{info, warn};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::WaitPidFlag;
use nix::unistd::{ForkResult, Pid};

use super::link::{AgentLink, Received};
use super::recipe::{Inheritance, Recipe};
use crate::guard::carried::{Carried, Fitted};
use crate::guard::scripts::run::how_ended;
use crate::ipc::{FromGuard, OpaqueDeposit, ToGuard};
use crate::logger;
use crate::settings::Settings;
use crate::sys::process::{close_all_but, fork};

/// The agent of now, or what remains between two agents.
pub struct AgentProcess<'a> {
    recipe: Recipe<'a>,
    /// None once nobody is listened to any more.
    link: Option<AgentLink>,
    /// None once it was reaped.
    pid: Option<Pid>,
    /// What was deposited last.
    deposit: OpaqueDeposit,
    /// What the file of the deposit says otherwise than that of now.
    differences: Differences,
    /// The version of the daemon that was there before, until an agent was started since.
    upgraded_from: Option<[u8; 3]>,
}

impl<'a> AgentProcess<'a> {
    /// None yet.
    pub fn new(recipe: Recipe<'a>) -> Self {
        let deposit = OpaqueDeposit::default();
        let differences = Differences::default();
        Self { recipe, link: None, pid: None, deposit, differences, upgraded_from: None }
    }

    /// Goes on with what the last agent of another run of the daemon has left.
    pub fn take_over(&mut self, carried: &Carried, fitted: &Fitted) {
        (self.upgraded_from, self.deposit) = (Some(carried.version), carried.deposit.clone());
        self.differences.groups = Some(fitted.places.clone());
    }

    /// What was deposited last; none if that was by another file than the one of now.
    pub fn deposit(&self) -> Option<&OpaqueDeposit> {
        (self.differences == Differences::default()).then_some(&self.deposit)
    }

    /// The descriptors that every agent gets.
    pub fn keeps(&self) -> &[RawFd] {
        self.recipe.keeps
    }

    /// The command line of this daemon.
    pub fn command(&self) -> &[CString] {
        self.recipe.command
    }

    /// Starts one: a child that has nothing of ours but one end of a socket pair.
    ///
    /// # Errors
    /// What the kernel says; then there is none.
    pub fn start(&mut self, settings: &Settings, inheritance: Option<Inheritance>) -> nix::Result<()> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        // Our handlers write to a pipe that both would share: no signal may meet the child before it ignores
        // them.
        let stops: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        let before = stops.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let forked = fork();
        if let Ok(ForkResult::Child) = forked {
            drop(ours);
            let mut keeps = logger::become_agent();
            keeps.push(theirs.as_raw_fd());
            keeps.extend_from_slice(self.recipe.keeps);
            close_all_but(&mut keeps);
            let code = (self.recipe.become_agent)(settings, &self.recipe.keys, theirs, inheritance);
            // Nothing of the guard's may be dropped by its child.
            std::process::exit(i32::from(code));
        }
        before.thread_set_mask()?;
        if let ForkResult::Parent { child } = forked? {
            self.pid = Some(child);
            self.upgraded_from = None;
            let mut link = AgentLink::new(ours);
            // Without it the agent is woken by each.
            if let Ok((ours, theirs)) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags) {
                link.confirm_on(ours, theirs);
            }
            self.link = Some(link);
        }
        Ok(())
    }

    /// Listens to it no longer, and ends it.
    pub fn dismiss(&mut self) {
        self.link = None;
        if let Some(pid) = self.pid
            && let Err(errno) = kill(pid, Signal::SIGKILL)
        {
            warn!("the agent (process {pid}) cannot be killed: {}", errno.desc());
        }
    }

    /// Whether it has ended. That is said once, and then it is reaped.
    pub fn has_ended(&mut self) -> bool {
        let Some(pid) = self.pid else { return false };
        let how = how_ended(pid, WaitPidFlag::empty());
        if let Some(how) = how {
            info!("the agent (process {pid}) has ended: {how}");
            self.pid = None;
        }
        how.is_some()
    }

    /// The socket pair, while it is listened to.
    pub fn link(&self) -> Option<&AgentLink> {
        self.link.as_ref()
    }

    /// Its process; 0 if there is none.
    pub fn pid(&self) -> i32 {
        self.pid.map_or(0, Pid::as_raw)
    }

    /// What it has said next; none if it is not listened to. What it deposits is kept.
    pub fn receive(&mut self) -> Option<Received> {
        let received = self.link.as_mut()?.receive(&mut self.deposit);
        if received == Received::Message(ToGuard::Deposit) {
            self.differences = Differences::default();
        }
        Some(received)
    }

    /// Tells it something, while there is one.
    pub fn tell(&mut self, message: &FromGuard, descriptor: Option<OwnedFd>) {
        if let Some(link) = &mut self.link {
            link.send(message, descriptor);
        }
    }

    /// Tells it something that wakes nobody.
    pub fn confirm(&mut self, message: &FromGuard) {
        if let Some(link) = &mut self.link {
            link.confirm(message);
        }
    }

    /// Sends what it was told. False if it does not read that.
    pub fn does_read(&mut self) -> bool {
        self.link.as_mut().is_none_or(|link| link.flush().is_ok())
    }

    /// What the next one goes on with.
    pub fn inheritance(&self, custody: &Custody) -> Inheritance {
        Inheritance {
            deposit: self.deposit.clone(),
            differences: self.differences.clone(),
            holdings: custody.holdings().to_vec(),
            last_token: custody.last_token(),
            is_reload: false,
            upgraded_from: self.upgraded_from,
            is_first: false,
        }
    }

    /// The next one begins anew.
    pub fn forget_deposit(&mut self) {
        self.deposit = OpaqueDeposit::default();
    }

    /// What it authenticates with.
    pub fn keys(&self) -> &[Key] {
        &self.recipe.keys
    }

    /// The next one has these keys, and another file than the one whose deposit it goes on with.
    pub fn change(&mut self, keys: Vec<Key>, differences: Differences) {
        self.recipe.keys = keys;
        self.differences.add(differences);
    }
}
