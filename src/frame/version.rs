//! The protocol versions that this build speaks.
//!
//! A box is upgraded while its peer still runs the previous build, so each build speaks the previous version
//! too. A peer gets the highest version in which an authentic frame of its present run has come; before that,
//! hellos try each in turn.

/// A layout of frames.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// Payloads by postcard, exact to the byte.
    One,
    /// Payloads of fixed width; a later build may add to their end.
    Two,
}

impl Version {
    /// What is spoken to whoever understands it.
    pub const NEWEST: Self = Self::Two;

    /// The number of the version in a header.
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The version of a header; `None` if this build does not speak it.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }

    /// The version of the hello that follows one in this version: all in turn.
    pub const fn after(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }
}
