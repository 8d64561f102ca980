//! What custody decides, in the operator's words.

use crosswire::custody::{Cause, Lapse, Next, Note};
use crosswire::pair::GroupId;
use crosswire::resource::{Fault, Outcome};
use log::{error, info, warn};
use nix::errno::Errno;

use super::state::Guard;
use crate::guard::sd_notify::ServiceManager;
use crate::settings::{GroupSettings, Script, VirtualAddress};

impl Guard<'_> {
    /// Tells the log.
    pub(super) fn note(&self, note: Note) {
        match note {
            Note::Held(id, term) => self.note_of(id, |group| {
                let addresses = match group.addresses.len() {
                    1 => "1 address".to_owned(),
                    count => format!("{count} addresses"),
                };
                info!("group {}: {addresses} held for term {term}", group.name);
            }),
            Note::NotHeld(id, fault) => self.note_of(id, |group| {
                warn!("group {}: cannot be held: {}", group.name, said(fault, group));
            }),
            Note::Renewal(id, Some(fault)) => self.note_of(id, |group| {
                warn!("group {}: not renewed: {}", group.name, said(fault, group));
            }),
            Note::Renewal(id, None) => self.note_of(id, |group| info!("group {}: renewed again", group.name)),
            Note::Ended(id, outcome) => self.note_of(id, |group| note_end(group, outcome)),
            Note::NewcomersAnswered(id) => self.note_of(id, |group| {
                warn!(
                    "group {}: somebody answers for an address that was added: it comes when nobody does",
                    group.name
                );
            }),
            Note::Restart(id, script) => self.note_of(id, |group| {
                let scripts =
                    self.resources.get(id.index()).map(|own| own.scripts.as_slice()).unwrap_or_default();
                warn!("group {}: {} is started again", group.name, label(scripts, script));
            }),
            Note::AgentLost(lapse, Next::InPlace) => {
                warn!("{}: another agent goes on in its place", lost(lapse))
            }
            Note::AgentLost(lapse, Next::EmptyHanded(_)) => {
                error!("{}: everything is released, then another agent begins anew", lost(lapse));
            }
            Note::AgentLost(lapse, Next::End) => error!("{}: this box runs no agent", lost(lapse)),
            Note::NobodyRenewed => error!("{}: everything is released", lost(Lapse::NotRenewed)),
            Note::AgentUnkillable => warn!("the agent cannot be killed, it hangs in the kernel"),
            Note::Stopping => {
                info!("told to stop: the agent hands over");
                self.service_manager.iter().for_each(ServiceManager::tell_stopping);
            }
            Note::WatchdogFires => {
                error!("a script could not be stopped: the watchdog is petted no more and resets this box")
            }
            Note::OverBudget(count) => {
                warn!("the agent asks for more than it can need: {count} requests were dropped")
            }
            Note::Leaving(cause) => note_leaving(cause),
        }
    }

    /// In shadow nothing becomes of a group, and what would be done is said elsewhere.
    fn note_of(&self, id: GroupId, note: impl FnMut(&GroupSettings)) {
        let group = self.settings.groups.get(id.index()).filter(|_| !self.settings.is_shadow());
        group.into_iter().for_each(note);
    }
}

fn lost(lapse: Lapse) -> &'static str {
    match lapse {
        Lapse::Died => "the agent has died",
        Lapse::ClosedItsEnd => "the agent has closed its end",
        Lapse::DoesNotRead => "the agent does not read what it is told",
        Lapse::Silent => "the agent hangs (nothing from it for late_after)",
        Lapse::Garbage => "the agent sent what is no order",
        Lapse::UnknownGroup | Lapse::UnknownPath => "the agent names what is not configured",
        Lapse::UnaskedFarewell => "the agent said farewell unasked",
        Lapse::NotRenewed => "no agent has renewed what is held within the lease",
    }
}

fn note_leaving(cause: Cause) {
    match cause {
        Cause::Farewell => info!("agent ended after handing over"),
        Cause::LeftHolding => error!("the agent left while something was held: everything is released"),
        Cause::AgentGone => error!("the agent is gone: everything is released"),
        Cause::NotInTime => error!("the agent did not stop in time: everything is released"),
        Cause::StoppedWithoutAgent => info!("told to stop while there is no agent: everything is released"),
        Cause::StoppedTwice => error!("told to stop a second time: everything is released"),
    }
}

fn note_end(group: &GroupSettings, outcome: Outcome) {
    match outcome {
        Outcome::Failed(fault) => warn!("group {}: {}", group.name, said(fault, group)),
        Outcome::Serving => info!("group {}: serving", group.name),
        Outcome::Released => info!("group {}: released", group.name),
        Outcome::Prepared => info!("group {}: the scripts before its addresses run", group.name),
        Outcome::Renewed | Outcome::AddressesGone | Outcome::Probed { .. } | Outcome::Fenced => {}
    }
}

fn label(scripts: &[Script], index: u8) -> &str {
    scripts.get(usize::from(index)).map_or("?", Script::label)
}

/// A fault in the operator's words.
pub(super) fn said(fault: Fault, group: &GroupSettings) -> String {
    match fault {
        Fault::TooLate => "the order came too late".to_owned(),
        Fault::OutOfOrder => "given up, since it was to be let go".to_owned(),
        Fault::NoInterface => "one of its interfaces does not exist".to_owned(),
        Fault::Kernel(errno) => {
            format!("the kernel refuses an address or a route: {}", Errno::from_raw(errno).desc())
        }
        Fault::AddressGone => "an address has gone, and is not put back".to_owned(),
        Fault::StillThere => {
            "an address is still there after its removal, perhaps on another interface".to_owned()
        }
        Fault::NoFence => "no fence could be confirmed".to_owned(),
        Fault::ProbeUnanswered => "the probe is not answered".to_owned(),
        Fault::NoWatchdog => "its watchdog cannot be armed".to_owned(),
        Fault::ScriptStart(index) => format!("{} did not start", label(&group.scripts, index)),
        Fault::ScriptStop(index) => format!("{} did not stop", label(&group.scripts, index)),
        Fault::Refused(index, errno) => {
            let address = group.addresses.get(usize::from(index));
            let place = address.map(VirtualAddress::to_string).unwrap_or_default();
            format!("the kernel refuses {place}: {}", Errno::from_raw(errno).desc())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::words;

    #[test]
    fn an_operator_reads_what_the_kernel_said() {
        let group = &crate::guard::settings_for_tests().groups[0];
        assert_eq!(
            said(Fault::Kernel(Errno::EACCES as i32), group),
            "the kernel refuses an address or a route: Permission denied"
        );
        assert_eq!(
            words::fault(Fault::Kernel(Errno::ENODEV as i32), "", words::ScriptEnd::UNKNOWN),
            "the kernel refused: No such device"
        );
    }
}
