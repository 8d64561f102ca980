//! Resetting this box: what is left when a script does not stop and the peer has to be sure.

use std::fs::OpenOptions;
use std::io::Write;

use crosswire::pair::GroupId;
use log::error;

use super::turn::Guard;
use crate::settings::StopFailure;

/// Resets at once, without a sync (Documentation/admin-guide/sysrq.rst).
const RESET: &[u8] = b"b";

impl Guard<'_> {
    /// The addresses are gone, all that stops has stopped, and something has not: once, where the group asks
    /// for it.
    pub(super) fn fence_self_if_needed(&mut self, id: GroupId) {
        let Some(group) = self.settings.groups.get(id.index()) else { return };
        let is_asked = group.on_stop_failure == StopFailure::SelfFence;
        if !is_asked || std::mem::replace(&mut self.is_fencing_self, true) {
            return;
        }
        if let Some(reset) = self.settings.reset.as_deref() {
            error!("group {}: a script does not stop: this box resets itself", group.name);
            let written =
                OpenOptions::new().write(true).open(reset).and_then(|mut file| file.write_all(RESET));
            if let Err(cause) = written {
                error!("{}: {cause}: this box does not reset itself", reset.display());
            }
        }
    }
}
