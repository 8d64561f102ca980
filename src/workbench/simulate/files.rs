//! Two boxes with two files: what a node decides by if its configuration differs from the pair's.

use crosswire::config::{PathTiming, Policy};
use crosswire::pair::{GroupId, Side};
use crosswire::time::Span;

use super::chance::Chance;

/// The checksum of a configuration that is not the pair's.
pub const OTHER_DIGEST: u8 = 2;

/// Another file, by which a box that was started with it decides.
#[derive(Clone, PartialEq, Debug)]
pub struct OtherFile {
    /// Its policy. It has the paths of the pair, with times of its own.
    pub policy: Policy,
    /// By its own order of groups: which of the pair's each one is.
    pub groups: Vec<GroupId>,
}

impl OtherFile {
    /// The file of the pair, with the other checksum.
    pub fn same(policy: &Policy) -> Self {
        let mut policy = policy.clone();
        let groups = policy.group_ids().collect();
        policy.digest[0] = OTHER_DIGEST;
        Self { policy, groups }
    }

    /// A file that differs in some of the things in which two files can.
    pub fn random(
        policy: &Policy,
        has_witness: bool,
        timings: &[(PathTiming, u64)],
        chance: &mut Chance,
    ) -> Self {
        let mut file = Self::same(policy);
        let (timing, lease_s) = chance.pick(timings);
        if chance.below(2) == 0 {
            file.policy.paths.iter_mut().for_each(|path| path.timing = timing);
        }
        if chance.below(3) == 0 {
            file.policy.lease = Span::from_s(lease_s);
        }
        for group in &mut file.policy.groups {
            if chance.below(2) == 0 {
                group.prefer = chance.pick(&[Some(Side::A), Some(Side::B), None]);
            }
        }
        if chance.below(2) == 0 {
            file.policy.groups.reverse();
            file.groups.reverse();
        }
        if file.groups.len() > 1 && chance.below(3) == 0 {
            file.policy.groups.remove(0);
            file.groups.remove(0);
        }
        if chance.below(2) == 0 {
            file.policy.witnesses = u8::from(file.policy.witnesses == 0 && has_witness);
        }
        file
    }

    /// Its number for a group of the pair; `None` if it does not have the group.
    pub fn local(&self, group: GroupId) -> Option<GroupId> {
        (0u8..).zip(&self.groups).find(|(_, theirs)| **theirs == group).map(|(index, _)| GroupId(index))
    }

    /// Which group of the pair it means.
    pub fn of_pair(&self, local: GroupId) -> GroupId {
        self.groups.get(local.index()).copied().unwrap_or(local)
    }
}
