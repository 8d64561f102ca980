//! What an agent is given: what it goes on with, paths, interfaces, witnesses.

use crosswire::custody::Event;
use crosswire::pair::GroupId;
use crosswire::resource::Condition;
use log::{error, info, warn};

use super::state::Guard;
use crate::gather::Gather;
use crate::guard::agent_process::recipe::Inheritance;
use crate::guard::kernel::witness;
use crate::guard::serial::ports::open_path;
use crate::ipc::FromGuard;
use crate::operator::words;
use crate::settings::VirtualAddress;

impl Guard<'_> {
    /// What the first agent has to know, which is nothing as a rule.
    pub(super) fn first_inheritance(&self) -> Option<Inheritance> {
        let inheritance = Inheritance { is_first: true, ..self.agent.inheritance(&self.custody) };
        inheritance.holdings.iter().any(Option::is_some).then_some(inheritance)
    }

    /// Starts another agent in the place of one that is gone, with what that one left or with nothing.
    pub(super) fn put_agent_in_place(&mut self, is_in_place: bool, is_reload: bool) -> Event<'static> {
        if is_in_place {
            self.execute_upgrade();
        } else {
            self.agent.forget_deposit();
        }
        // The dead agent may have ordered a failed release again: a free group must be free.
        self.owe_look(|_, is_held| !is_held);
        self.look_for_strays();
        let inheritance = Inheritance { is_reload, ..self.agent.inheritance(&self.custody) };
        match self.agent.start(self.settings, Some(inheritance)) {
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
        let paths = self.settings.paths.iter().map(open_path).gather();
        self.hand_over(paths);
        info!("agent started, process {}", self.agent.pid());
    }

    /// Tells an agent how the scripts are: it was not there when that was said.
    fn tell_conditions(&mut self) {
        for group in (0u8..).map(GroupId).take(self.settings.groups.len()) {
            let held = self.custody.condition(group);
            let free = self.resources.get(group.index()).map_or(held, |own| own.readiness.condition());
            let condition = if held == Condition::Well { free } else { held };
            self.tell(&FromGuard::Scripts { group, condition }, None);
        }
    }

    /// Every address of the configuration.
    pub(super) fn all_addresses(&self) -> Vec<VirtualAddress> {
        self.settings.groups.iter().flat_map(|group| group.addresses.iter().cloned()).gather()
    }

    /// Takes addresses off their interfaces, whoever put them there. Returns whether none is left.
    pub(super) fn remove_left_over(&mut self, addresses: &[VirtualAddress], why: &str) -> bool {
        match self.addresses.remove_left_over(addresses) {
            Ok(ips) => {
                ips.iter().for_each(|ip| warn!("{ip} was {why} and is removed"));
                true
            }
            Err(fault) => {
                error!(
                    "an address that is {why} cannot be removed: {}",
                    words::fault(fault, "", words::ScriptEnd::UNKNOWN)
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
