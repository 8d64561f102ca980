//! Resetting this box: the last means when a script does not stop and the peer has to be sure.

use std::fs::OpenOptions;
use std::io::Write;

use log::error;

use crate::settings::{GroupSettings, Settings, StopFailure};

/// The key that resets at once, without a sync (Documentation/admin-guide/sysrq.rst).
const RESET: &[u8] = b"b";

/// The reset of this box, once.
#[derive(Default)]
pub struct SelfFence {
    /// This box was told to reset itself.
    is_begun: bool,
}

impl SelfFence {
    /// Resets the box, if the group asks for that. The addresses of the group are gone, and something of it
    /// has not stopped while all else has.
    pub fn begin_if_asked(&mut self, settings: &Settings, group: &GroupSettings) {
        let is_asked = group.on_stop_failure == StopFailure::SelfFence;
        if !is_asked || std::mem::replace(&mut self.is_begun, true) {
            return;
        }
        let Some(reset) = settings.reset.as_deref() else { return };
        error!("group {}: a script does not stop: this box resets itself", group.name);
        let written = OpenOptions::new().write(true).open(reset).and_then(|mut file| file.write_all(RESET));
        if let Err(cause) = written {
            error!("{}: {cause}: this box does not reset itself", reset.display());
        }
    }
}
