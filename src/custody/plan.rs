//! What custody has to know of the configuration.

use heapless::Vec;

use super::MAX_SCRIPTS;
use super::monitors::MonitorPlan;
use crate::config::{MAX_GROUPS, Policy, SafetyRule};
use crate::quorum::timing;
use crate::time::Span;

/// How each script of a group is watched, in their order; none where it is not.
pub type ScriptPlans = Vec<Option<MonitorPlan>, MAX_SCRIPTS>;

/// The part of the configuration that bears on what is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The groups, in their order.
    pub groups: Vec<GroupPlan, MAX_GROUPS>,
    /// How long the kernel keeps an address that is not renewed.
    pub lease: Span,
    /// An agent that says nothing for this long hangs: the shortest late_after, or three intervals.
    pub hang_after: Span,
    /// The longest that the scripts of any group may take to stop, one after the other.
    pub scripts_stop_within: Span,
    /// How many paths there are.
    pub paths: u8,
    /// How often the agent beats.
    pub interval: Span,
}

/// One group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupPlan {
    /// Its scripts.
    pub scripts: ScriptPlans,
    /// How many of them, from the left, start before any address comes.
    pub before: u8,
    /// Only one box may ever run them.
    pub is_exclusive: bool,
    /// Its safety rule asks for a fence.
    pub may_fence: bool,
    /// A script of it that cannot be stopped has to end with the box.
    pub must_end_with_box: bool,
}

impl Plan {
    /// What follows from a policy, with the scripts of each group, and how many of them come before its
    /// addresses.
    pub fn new(policy: &Policy, scripts: impl IntoIterator<Item = (u8, ScriptPlans)>) -> Self {
        let group =
            |(policy, (before, scripts)): (&crate::config::GroupPolicy, (u8, ScriptPlans))| GroupPlan {
                scripts,
                before,
                is_exclusive: policy.is_exclusive,
                may_fence: policy.safety == SafetyRule::Fence,
                must_end_with_box: policy.is_exclusive,
            };
        Self {
            groups: policy.groups.iter().zip(scripts).map(group).collect(),
            lease: policy.lease,
            hang_after: timing::hang_after(policy),
            scripts_stop_within: policy
                .groups
                .iter()
                .map(|group| group.stop_timeout)
                .max()
                .unwrap_or_default(),
            paths: u8::try_from(policy.paths.len()).unwrap_or(u8::MAX),
            interval: policy.interval(),
        }
    }
}
