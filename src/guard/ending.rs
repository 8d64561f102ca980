//! How the daemon ends: as the operator wishes, as the agent says, or because one of them is gone.

use crosswire::resource::ReleaseOrder;
use crosswire::time::{Instant, Span};
use log::{error, info, warn};
use nix::unistd::read;

use super::FAILED;
use super::supervisor::Supervisor;
use super::turns::Guard;
use super::wire::FromGuard;
use crate::clock::now;
use crate::settings::VirtualAddress;
use crate::words;

/// What the agent may take to hand over and say goodbye, beside the scripts.
const STOP_WITHIN: Span = Span::from_s(30);
/// What it may take to exit after its farewell, or to die of SIGKILL.
const EXIT_WITHIN: Span = Span::from_s(3);

/// How far the daemon's end has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The agent decides.
    Running,
    /// It was told to stop, and has until then.
    Stopping { until: Instant },
    /// It said farewell, and has until then to exit.
    Farewell { until: Instant },
    /// It is gone, or was killed and has until then to die; everything is let go, then the guard exits with this code.
    Leaving { until: Instant, code: u8 },
}

impl Guard<'_> {
    /// The operator wants the daemon to stop: once nicely, twice at once.
    pub(super) fn hear_operator(&mut self) {
        let mut count = [0; 8];
        if read(&self.stop, &mut count).is_err() {
            return;
        }
        match self.phase {
            Phase::Running if self.agent.is_none() => {
                let code = if self.is_everything_free() { 0 } else { FAILED };
                self.leave("told to stop while no agent is in office", code);
            }
            Phase::Running => {
                info!("told to stop: the agent hands over");
                self.supervisor.iter().for_each(Supervisor::tell_stopping);
                self.phase = Phase::Stopping { until: now() + STOP_WITHIN + self.scripts_stop_within() };
                self.tell(&FromGuard::Stop, None);
            }
            Phase::Stopping { .. } => self.leave("told to stop a second time", FAILED),
            Phase::Farewell { .. } | Phase::Leaving { .. } => {}
        }
    }

    /// The longest that the scripts of any group may take to stop, one after the other.
    fn scripts_stop_within(&self) -> Span {
        self.settings.policy.groups.iter().map(|group| group.stop_timeout).max().unwrap_or_default()
    }

    /// The agent is gone or about to be: planned, if it said farewell and holds nothing.
    pub(super) fn end_of_agent(&mut self) {
        match self.phase {
            Phase::Leaving { .. } => {}
            Phase::Farewell { .. } if self.is_everything_free() => self.leave("the agent said farewell", 0),
            Phase::Farewell { .. } => self.leave("the agent left while something was held", FAILED),
            Phase::Running | Phase::Stopping { .. } => self.leave("the agent is gone", FAILED),
        }
    }

    /// Listens to the agent no longer, ends it, and lets everything go: addresses first, then scripts.
    pub(super) fn leave(&mut self, reason: &str, code: u8) {
        if matches!(self.phase, Phase::Leaving { .. }) {
            return;
        }
        match code {
            0 => info!("{reason}"),
            _ => error!("{reason}: everything is released"),
        }
        self.dismiss();
        self.give_up_fence();
        self.phase = Phase::Leaving { until: now() + EXIT_WITHIN, code };
        for index in 0..self.duties.len() {
            self.release(index, None, ReleaseOrder::AddressesFirst);
        }
    }

    /// The code to exit with, once nothing is held and the agent was reaped, or cannot be.
    pub(super) fn exit_code(&mut self) -> Option<u8> {
        let Phase::Leaving { until, code } = self.phase else { return None };
        if self.agent_pid.is_some() && now() >= until {
            warn!("the agent cannot be killed, it hangs in the kernel");
            self.agent_pid = None;
        }
        let is_told = self.notifier.is_idle() || now() >= until;
        (self.is_everything_free() && self.agent_pid.is_none() && self.fence.is_none() && is_told).then_some(code)
    }

    /// When the phase does not last any longer.
    pub(super) fn phase_deadline(&self) -> Instant {
        match self.phase {
            Phase::Stopping { until } | Phase::Farewell { until } => until,
            Phase::Leaving { until, .. } if self.agent_pid.is_some() || self.is_telling(until) => until,
            Phase::Running | Phase::Leaving { .. } => Instant::NEVER,
        }
    }

    pub(super) fn pass_phase_deadline(&mut self) {
        match self.phase {
            Phase::Stopping { until } if now() >= until => self.leave("the agent did not stop in time", FAILED),
            Phase::Farewell { until } if now() >= until => self.end_of_agent(),
            Phase::Running | Phase::Stopping { .. } | Phase::Farewell { .. } | Phase::Leaving { .. } => {}
        }
    }

    /// The agent has released everything and said goodbye, or so it says.
    pub(super) fn hear_farewell(&mut self) {
        self.phase = Phase::Farewell { until: now() + EXIT_WITHIN };
    }

    pub(super) fn is_everything_free(&self) -> bool {
        self.duties.iter().all(|duty| duty.group.is_free())
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
                error!("an address that is {why} cannot be removed: {}", words::fault(fault));
                false
            }
        }
    }
}
