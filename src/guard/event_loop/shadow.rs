//! A guard that touches nothing, beside another cluster that serves: what it would have done is told.
//!
//! [`InShadow`] says what becomes of each effect. What the guard does unasked is left out where it begins: in
//! `state.rs` what an earlier run left behind, in `effects.rs` the routes of a node that does not serve, in
//! `strays.rs` what others have put here, in `turn.rs` announcements, in `reload.rs` and `interfaces.rs` what
//! becomes of the addresses that are held.

use crosswire::custody::{Action, Effect, InShadow};
use crosswire::pair::GroupId;
use log::{info, warn};

use super::state::Guard;
use crate::ipc::FromGuard;
use crate::settings::GroupSettings;

impl Guard<'_> {
    /// What becomes of an effect here.
    pub(super) fn fate(&self, effect: Effect) -> InShadow {
        if self.settings.is_shadow() { effect.in_shadow() } else { InShadow::CarriedOut }
    }

    /// Tells the log, and the agent for `why`, what would be done now.
    pub(super) fn tell_what_would_be_done(&mut self, effect: Effect) {
        match effect {
            Effect::Add(id, _) => self.would(id, |_| "add its addresses".to_owned()),
            Effect::Remove(id) => self.would(id, |_| "remove its addresses".to_owned()),
            Effect::Run(group, script, action @ (Action::Start | Action::Stop), _) => {
                let is_start = action == Action::Start;
                let verb = if is_start { "start" } else { "stop" };
                let label = |group: &GroupSettings| {
                    let script = group.scripts.get(usize::from(script));
                    format!("{verb} {}", script.map_or("?", |script| script.label()))
                };
                self.would(group, label);
                self.tell(&FromGuard::Script { group, script, is_start }, None);
            }
            Effect::Fence(_) => warn!("shadow: {} would be fenced now", self.settings.peer_name()),
            _ => {}
        }
    }

    fn would(&self, id: GroupId, what: impl Fn(&GroupSettings) -> String) {
        if let Some(group) = self.settings.groups.get(id.index()) {
            info!("group {}: shadow: would {} now", group.name, what(group));
        }
    }
}
