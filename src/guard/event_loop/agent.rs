//! The agent as a process: how it is started, given what it needs, and ended.

use std::os::fd::AsRawFd;

use crosswire::custody::Event;
use crosswire::pair::GroupId;
use log::{error, info, warn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::ForkResult;

use super::state::Guard;
use crate::guard::agent_process::link::AgentLink;
use crate::guard::agent_process::recipe::Inheritance;
use crate::guard::kernel::witness;
use crate::guard::serial::ports::open_path;
use crate::ipc::{FromGuard, OpaqueDeposit};
use crate::logger;
use crate::operator::words;
use crate::settings::VirtualAddress;
use crate::sys::process::{close_all_but, fork};

impl Guard<'_> {
    /// Starts an agent: a child that has nothing of ours but one end of a socket pair.
    pub(super) fn start_agent(&mut self, inheritance: Option<Inheritance>) -> nix::Result<()> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        // Our handlers write to a pipe that both would share: no signal may meet the child before it ignores
        // them.
        let stops: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        let before = stops.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
        let forked = fork();
        if let Ok(ForkResult::Child) = forked {
            drop(ours);
            let mut keeps = logger::become_agent();
            keeps.push(theirs.as_raw_fd());
            keeps.extend_from_slice(self.recipe.keeps);
            close_all_but(&mut keeps);
            let code = (self.recipe.become_agent)(self.settings, &self.recipe.keys, theirs, inheritance);
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
        }
        Ok(())
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

    /// What the first agent has to know: nothing, as a rule.
    pub(super) fn first_inheritance(&self) -> Option<Inheritance> {
        let inheritance = Inheritance { is_first: true, ..self.inheritance() };
        inheritance.holdings.iter().any(Option::is_some).then_some(inheritance)
    }

    fn inheritance(&self) -> Inheritance {
        Inheritance {
            deposit: self.deposit.clone(),
            has_other_witnesses: self.has_other_witnesses,
            holdings: self.custody.holdings().to_vec(),
            last_token: self.custody.last_token(),
            is_reload: false,
            is_first: false,
        }
    }

    /// Starts another agent in the place of one that is gone, with what that one left or with nothing.
    pub(super) fn put_agent_in_place(&mut self, is_in_place: bool, is_reload: bool) -> Event<'static> {
        if !is_in_place {
            self.deposit = OpaqueDeposit::default();
        }
        // The dead agent may have had a release ordered again that had failed: a free group must be free.
        self.owe_look(|_, is_held| !is_held);
        self.look_for_strays();
        let inheritance = Inheritance { is_reload, ..self.inheritance() };
        match self.start_agent(Some(inheritance)) {
            Ok(()) => {
                self.hand_over_all();
                Event::AgentStarted
            }
            Err(errno) => {
                error!("no other agent can be started: {}; tried again", errno.desc());
                Event::AgentNotStarted
            }
        }
    }

    /// Gives an agent that was not there from the start what the first one was given: interfaces, listeners,
    /// paths, witnesses.
    fn hand_over_all(&mut self) {
        let events = self.links.all();
        self.take_link_events(&events);
        self.tell_lifetime();
        self.tell_conditions();
        let paths = self.settings.paths.iter().map(open_path).collect();
        self.hand_over(paths);
        info!("agent started, process {}", self.agent_pid.map_or(0, nix::unistd::Pid::as_raw));
    }

    /// What an agent has to know that was not there when it was said.
    fn tell_conditions(&mut self) {
        for group in (0u8..).map(GroupId).take(self.settings.groups.len()) {
            let condition = self.custody.condition(group);
            self.tell(&FromGuard::Scripts { group, condition }, None);
        }
    }

    /// Every address of the configuration.
    pub(super) fn all_addresses(&self) -> Vec<VirtualAddress> {
        self.settings.groups.iter().flat_map(|group| group.addresses.iter().cloned()).collect()
    }

    /// Takes addresses off their interfaces, whoever put them there.
    /// Whether none is left.
    pub(super) fn remove_left_over(&mut self, addresses: &[VirtualAddress], why: &str) -> bool {
        match self.addresses.remove_left_over(addresses) {
            Ok(ips) => {
                ips.iter().for_each(|ip| warn!("{ip} was {why} and is removed"));
                true
            }
            Err(fault) => {
                error!(
                    "an address that is {why} cannot be removed: {}",
                    words::fault(fault, words::Scripts::NONE)
                );
                false
            }
        }
    }

    pub(super) fn hand_over_witnesses(&mut self) {
        for is_v6 in witness::protocols(&self.settings.witnesses) {
            match witness::open(is_v6) {
                Ok(socket) => self.tell(&FromGuard::Witnesses { is_v6 }, Some(socket)),
                Err(errno) => warn!("the witnesses cannot be asked: {}", errno.desc()),
            }
        }
    }
}
