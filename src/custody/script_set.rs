//! Some of the scripts of a group.

use super::MAX_SCRIPTS;

/// A set of scripts, by their index in the group's list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScriptSet(u16);

// One bit for each.
const _: () = assert!(MAX_SCRIPTS <= 16);

impl ScriptSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);

    /// The set of these bits; the first script is the lowest bit.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The first script is the lowest bit.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// There is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The leftmost.
    pub fn first(self) -> Option<u8> {
        (0..16).find(|script| self.contains(*script))
    }

    /// The rightmost.
    pub fn last(self) -> Option<u8> {
        (0..16).rev().find(|script| self.contains(*script))
    }

    /// It is in it.
    pub fn contains(self, script: u8) -> bool {
        self.0 & bit(script) != 0
    }

    /// Those that are in either.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Puts it in.
    pub fn insert(&mut self, script: u8) {
        self.0 |= bit(script);
    }

    /// Takes it out.
    pub fn remove(&mut self, script: u8) {
        self.0 &= !bit(script);
    }
}

/// The bit of a script; none if no group can have that script.
fn bit(script: u8) -> u16 {
    1u16.checked_shl(u32::from(script)).unwrap_or(0)
}
